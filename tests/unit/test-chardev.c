/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of character devices: peers that are slow, go, and come again; files without room; sharing.
 */
#include "chardev/chardev-int.h"

#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "chardev/unix-socket.h"
#include "system/runstate.h"
#include "util/fd.h"
#include "util/machine-lock.h"

/* Far above anything that does not hang. */
#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))

/* How long a peer that does not read holds a guest up here. */
#define STALL_NS (50 * 1000 * 1000)

/* A front that keeps what comes. */
typedef struct Front {
    Chardev *chr;
    GString *input;
    size_t room;  /* for input */
    unsigned told; /* of room for output */
    unsigned opened, closed, breaks;
} Front;

static size_t front_can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void front_read(void *opaque, const uint8_t *data, size_t len)
{
    Front *front = opaque;

    g_assert_cmpuint(len, <=, front->room);
    front->room -= len;
    g_string_append_len(front->input, (const char *)data, (gssize)len);
}

static void front_can_write(void *opaque)
{
    ((Front *)opaque)->told++;
}

static void front_event(void *opaque, ChardevEvent event)
{
    Front *front = opaque;
    unsigned *const counters[] = { &front->opened, &front->closed, &front->breaks };

    (*counters[event])++;
}

static void attach(Front *front, const char *id, size_t room)
{
    static const ChardevOps ops = { front_can_read, front_read, front_can_write, front_event };

    *front = (Front) { .input = g_string_new(NULL), .room = room };
    front->chr = chardev_attach(id, &ops, front, NULL);
    g_assert_nonnull(front->chr);
}

static void detach(Front *front)
{
    chardev_detach(front->chr);
    g_string_free(front->input, TRUE);
}

static void give_room(Front *front, size_t room)
{
    front->room = room;
    chardev_accept_input(front->chr);
}

static bool add(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-chardev", text, "backend", errp);

    return opts && chardev_add(opts, errp);
}

static void add_fd(const char *id, int fd, const char *more)
{
    g_autofree char *text = g_strdup_printf("socket,id=%s,fd=%d%s", id, fd, more);
    g_autoptr(GError) err = NULL;

    add(text, &err);
    g_assert_no_error(err);
    g_assert_true(chardevs_start());
}

/* Turns the loop until CONDITION. */
#define WAIT_FOR(condition) \
    do { \
        int64_t deadline_ = event_clock_ns(EVENT_CLOCK_REAL) + WAIT_NS; \
        while (!(condition)) { \
            g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL), <, deadline_); \
            if (!event_loop_turn(event_loop_main(), false)) { \
                g_usleep(200); \
            } \
        } \
    } while (0)

/* All that is to be done at once. */
static void settle(void)
{
    while (event_loop_turn(event_loop_main(), false)) {
    }
}

/* A socket whose kernel buffers are as small as can be; ours is not inherited by anything. */
static int make_pair(int *ret_theirs)
{
    int fds[2], small = 1;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    fd_set_nonblock(fds[0], true);
    *ret_theirs = fds[1];
    return fds[0];
}

/* Reads what is there into TEXT. */
static void drain(int fd, GString *text)
{
    char data[4096];
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        g_string_append_len(text, data, n);
        settle();
    }
}

/* Writes a pattern of LEN bytes that begins at FROM; returns what was taken. */
static size_t write_pattern(Chardev *chr, size_t from, size_t len)
{
    g_autofree uint8_t *data = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)((from + i) * 31 >> 3);
    }
    return chardev_write(chr, data, len);
}

static void check_pattern(const GString *text)
{
    for (size_t i = 0; i < text->len; i++) {
        g_assert_cmphex((uint8_t)text->str[i], ==, (uint8_t)(i * 31 >> 3));
    }
}

/* ---- sockets --------------------------------------------------------------------------------------- */

static void test_both_ways(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 100);
    g_assert_cmpuint(chardev_write(front.chr, "hello", 5), ==, 5);
    g_assert_cmpint(write(ours, "world", 5), ==, 5);
    WAIT_FOR(front.input->len == 5);
    g_assert_cmpstr(front.input->str, ==, "world");
    drain(ours, text);
    g_assert_cmpstr(text->str, ==, "hello");
    detach(&front);
    chardevs_stop();
    g_assert_cmpint(read(ours, text->str, 1), ==, 0);
    close(ours);
}

/* Nothing is read that the front has no room for; nothing is lost. */
static void test_input_is_held_back(void)
{
    int theirs, ours = make_pair(&theirs);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 3);
    g_assert_cmpint(write(ours, "0123456789", 10), ==, 10);
    WAIT_FOR(front.input->len == 3);
    settle();
    g_assert_cmpuint(front.input->len, ==, 3);
    give_room(&front, 6);
    WAIT_FOR(front.input->len == 9);
    give_room(&front, 16);
    WAIT_FOR(front.input->len == 10);
    g_assert_cmpstr(front.input->str, ==, "0123456789");
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* The queue has its bound; what does not fit stays with the front, which is told when there is room. */
static void test_slow_reader_loses_nothing(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    const size_t total = 4 * CHARDEV_QUEUE;
    size_t sent = 0;
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 0);
    while (sent < total) {
        unsigned told = front.told;
        size_t taken = write_pattern(front.chr, sent, MIN(1000, total - sent));

        g_assert_cmpuint(chardev_room(front.chr), <=, CHARDEV_QUEUE);
        sent += taken;
        settle();
        if (taken < 1000 && sent < total) {
            g_assert_cmpuint(front.told, ==, told);
            drain(ours, text);
            WAIT_FOR(front.told > told);
        }
    }
    WAIT_FOR((drain(ours, text), text->len == total));
    check_pattern(text);
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* A peer that does not read holds the guest for a second; then what does not fit is dropped, until it reads. */
static void test_stalled_reader(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    int64_t began;
    size_t kept = 0, taken;
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 0);
    do {
        taken = write_pattern(front.chr, kept, 4096);
        kept += taken;
        settle();
    } while (taken == 4096);
    g_assert_cmpuint(kept, >=, CHARDEV_QUEUE);
    began = event_clock_ns(EVENT_CLOCK_REAL);
    WAIT_FOR(front.told == 1);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - began, >=, STALL_NS / 2);
    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmpuint(chardev_write(front.chr, "dropped dropped dropped", 23), ==, 23);
        settle();
    }
    /* What was kept comes, and a gap, and what is written from then on. */
    drain(ours, text);
    WAIT_FOR((drain(ours, text), text->len >= kept));
    g_assert_cmpuint(chardev_write(front.chr, "END", 3), ==, 3);
    WAIT_FOR((drain(ours, text), memcmp(text->str + text->len - 3, "END", 3) == 0));
    g_assert_cmpuint(text->len, <, kept + 23 * 1000);
    g_string_truncate(text, kept);
    check_pattern(text);
    /* It counts as a reader again: the next one that does not fit waits. */
    do {
        taken = write_pattern(front.chr, 0, 4096);
        settle();
    } while (taken == 4096);
    detach(&front);
    close(ours);
    settle();
    chardevs_stop();
}

/* What a peer has sent before it went is heard, as the front takes it; then it is gone. */
static void test_last_words(void)
{
    int theirs, ours = make_pair(&theirs);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 2);
    g_assert_cmpint(write(ours, "goodbye", 7), ==, 7);
    close(ours);
    WAIT_FOR(front.input->len == 2);
    settle();
    g_assert_cmpuint(front.closed, ==, 0);
    g_assert_cmpuint(chardev_write(front.chr, "x", 1), ==, 1); /* nobody reads it */
    give_room(&front, 100);
    WAIT_FOR(front.closed == 1);
    g_assert_cmpstr(front.input->str, ==, "goodbye");
    /* Without a peer everything is taken. */
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpuint(write_pattern(front.chr, 0, 4096), ==, 4096);
    }
    detach(&front);
    chardevs_stop();
}

/* They are not kept for ever: the next peer may wait. */
static void test_last_words_nobody_wants(void)
{
    int theirs, ours = make_pair(&theirs);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 0);
    g_assert_cmpint(write(ours, "goodbye", 7), ==, 7);
    close(ours);
    WAIT_FOR(front.closed == 1);
    g_assert_cmpuint(front.input->len, ==, 0);
    detach(&front);
    chardevs_stop();
}

/* A peer that goes while the front waits for room: the front goes on. */
static void test_gone_while_full(void)
{
    int theirs, ours = make_pair(&theirs);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 10);
    while (write_pattern(front.chr, 0, 4096) == 4096) {
        settle();
    }
    close(ours);
    WAIT_FOR(front.told == 1 && front.closed == 1);
    detach(&front);
    chardevs_stop();
}

/* The peer has sent all but still reads. */
static void test_half_closed(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 10);
    g_assert_cmpint(write(ours, "a", 1), ==, 1);
    shutdown(ours, SHUT_WR);
    WAIT_FOR(front.input->len == 1);
    settle();
    g_assert_cmpuint(front.closed, ==, 0);
    chardev_write(front.chr, "answer", 6);
    WAIT_FOR((drain(ours, text), text->len == 6));
    close(ours);
    WAIT_FOR(front.closed == 1);
    detach(&front);
    chardevs_stop();
}

/* Descriptors that a peer sends are closed. */
static void test_descriptors_are_closed(void)
{
    int theirs, ours = make_pair(&theirs), pipe_fds[2];
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { .iov_base = (char[]) { 'x' }, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    Front front;
    char byte;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    *(int *)(void *)CMSG_DATA(cmsg) = pipe_fds[1];
    add_fd("c0", theirs, "");
    attach(&front, "c0", 10);
    g_assert_cmpint(sendmsg(ours, &msg, 0), ==, 1);
    close(pipe_fds[1]);
    WAIT_FOR(front.input->len == 1);
    g_assert_cmpint(read(pipe_fds[0], &byte, 1), ==, 0); /* no writer is left */
    close(pipe_fds[0]);
    close(ours);
    detach(&front);
    chardevs_stop();
}

/* ---- listening ------------------------------------------------------------------------------------- */

typedef struct Place {
    char *dir, *path;
} Place;

static void place_setup(Place *place, gconstpointer data)
{
    place->dir = g_dir_make_tmp("chardev-XXXXXX", NULL);
    place->path = g_build_filename(place->dir, "s", NULL);
}

static void place_teardown(Place *place, gconstpointer data)
{
    unlink(place->path);
    g_assert_cmpint(rmdir(place->dir), ==, 0);
    g_free(place->dir);
    g_free(place->path);
}

static int connect_to(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    fd_set_nonblock(fd, true);
    return fd;
}

static void add_listening(const Place *place, const char *more)
{
    g_autofree char *text = g_strdup_printf("socket,id=c0,path=%s,server=on%s", place->path, more);
    g_autoptr(GError) err = NULL;

    add(text, &err);
    g_assert_no_error(err);
}

/* One peer at a time; the next one finds nothing of the one before. */
static void test_peers_one_after_the_other(Place *place, gconstpointer data)
{
    int first, second;
    g_autoptr(GString) text = g_string_new(NULL);
    Front front;

    add_listening(place, ",wait=off");
    attach(&front, "c0", 1000);
    first = connect_to(place->path);
    settle();
    g_assert_cmpuint(front.opened, ==, 0); /* before the start nobody is served */
    g_assert_true(chardevs_start());
    WAIT_FOR(front.opened == 1);
    second = connect_to(place->path);
    g_assert_cmpint(write(second, "2", 1), ==, 1);
    g_assert_cmpint(write(first, "1", 1), ==, 1);
    WAIT_FOR(front.input->len == 1);
    settle();
    g_assert_cmpstr(front.input->str, ==, "1");
    while (write_pattern(front.chr, 0, 4096) == 4096) {
        settle();
    }
    close(first);
    WAIT_FOR(front.opened == 2 && front.input->len == 2);
    g_assert_cmpstr(front.input->str, ==, "12");
    chardev_write(front.chr, "fresh", 5);
    WAIT_FOR((drain(second, text), text->len >= 5));
    g_assert_cmpstr(text->str, ==, "fresh");
    close(second);
    WAIT_FOR(front.closed == 2);
    detach(&front);
    chardevs_stop();
    g_assert_false(g_file_test(place->path, G_FILE_TEST_EXISTS));
}

static gboolean connect_later(gpointer path)
{
    int fd;

    g_usleep(50000);
    fd = connect_to(path);
    close(fd); /* who has gone again has come all the same */
    return TRUE;
}

static void test_wait(Place *place, gconstpointer data)
{
    GThread *thread;

    add_listening(place, "");
    thread = g_thread_new("peer", (GThreadFunc)(void *)connect_later, place->path);
    g_assert_true(chardevs_start()); /* returns when it has come */
    g_thread_join(thread);
    chardevs_stop();
}

static void test_two_on_one_path(Place *place, gconstpointer data)
{
    g_autofree char *text = g_strdup_printf("socket,id=c1,path=%s,server=on", place->path);
    g_autoptr(GError) err = NULL;

    add_listening(place, ",wait=off");
    g_assert_false(add(text, &err));
    g_assert_nonnull(strstr(err->message, "listens there already"));
    chardevs_stop();
}

/* ---- files ----------------------------------------------------------------------------------------- */

static void test_file(Place *place, gconstpointer data)
{
    g_autofree char *text = g_strdup_printf("file,id=c0,path=%s", place->path);
    g_autofree char *found = NULL;
    gsize len;
    Front front;

    g_assert_true(add(text, NULL));
    attach(&front, "c0", 0);
    for (unsigned i = 0; i < 40; i++) {
        g_assert_cmpuint(write_pattern(front.chr, i * 4096, 4096), ==, 4096);
        settle();
    }
    g_assert_cmpuint(chardev_write(front.chr, "end", 3), ==, 3); /* sent by the stop */
    detach(&front);
    chardevs_stop();
    g_assert_true(g_file_get_contents(place->path, &found, &len, NULL));
    g_assert_cmpuint(len, ==, 40 * 4096 + 3);
    g_assert_cmpmem(found + len - 3, 3, "end", 3);
}

/* Told once; the guest goes on, however much it writes. */
static void test_full_file_system(void)
{
    Front front;

    if (g_test_subprocess()) {
        g_assert_true(add("file,id=c0,path=/dev/full", NULL));
        attach(&front, "c0", 0);
        for (unsigned i = 0; i < 100; i++) {
            g_assert_cmpuint(write_pattern(front.chr, 0, 4096), ==, 4096);
            settle();
        }
        detach(&front);
        chardevs_stop();
        return;
    }
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*c0: No space left on device; output is lost*");
    g_test_trap_assert_stderr_unmatched("*No space left*No space left*");
}

/* A pipe with a reader is as good; when the reader goes, the output does. */
static void test_pipe(Place *place, gconstpointer data)
{
    g_autofree char *text = g_strdup_printf("file,id=c0,path=%s", place->path);
    g_autoptr(GString) found = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    Front front;
    int fd;

    g_assert_cmpint(mkfifo(place->path, 0600), ==, 0);
    g_assert_false(add(text, &err)); /* nobody reads it */
    g_assert_nonnull(strstr(err->message, "cannot be opened"));
    fd = open(place->path, O_RDONLY | O_NONBLOCK);
    g_assert_true(add(text, NULL));
    attach(&front, "c0", 0);
    chardev_write(front.chr, "hello", 5);
    WAIT_FOR((drain(fd, found), found->len == 5));
    close(fd);
    settle();
    for (unsigned i = 0; i < 100; i++) {
        g_assert_cmpuint(write_pattern(front.chr, 0, 4096), ==, 4096);
        settle();
    }
    detach(&front);
    chardevs_stop();
}

/* ---- sharing --------------------------------------------------------------------------------------- */

static void test_mux_focus(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front first, second;

    add_fd("c0", theirs, ",mux=on");
    g_assert_true(chardev_is_mux("c0"));
    attach(&first, "c0", 1000);
    attach(&second, "c0", 1000);
    g_assert_cmpint(write(ours, "a\001cb\001", 5), ==, 5);
    g_assert_cmpint(write(ours, "cc\001\001\001bd", 7), ==, 7);
    WAIT_FOR(first.input->len == 4);
    g_assert_cmpstr(first.input->str, ==, "ac\001d");
    g_assert_cmpstr(second.input->str, ==, "b");
    g_assert_cmpuint(first.breaks, ==, 1);
    g_assert_cmpuint(second.breaks, ==, 0);
    /* Both are shown. */
    settle();
    drain(ours, text);
    g_string_truncate(text, 0);
    chardev_write(first.chr, "1", 1);
    chardev_write(second.chr, "2", 1);
    WAIT_FOR((drain(ours, text), text->len == 2));
    g_assert_cmpstr(text->str, ==, "12");
    /* Who goes leaves the focus to another. */
    g_assert_cmpint(write(ours, "\001c", 2), ==, 2);
    WAIT_FOR(second.opened == 2);
    detach(&second);
    g_assert_cmpint(write(ours, "x", 1), ==, 1);
    WAIT_FOR(first.input->len == 5);
    detach(&first);
    g_assert_cmpint(write(ours, "nobody", 6), ==, 6);
    settle();
    chardevs_stop();
    close(ours);
}

/* A guest that is slow loses no input, one that hangs does, and not the keys. */
static void test_mux_input(void)
{
    int theirs, ours = make_pair(&theirs), big = 1 << 20;
    g_autofree char *data = g_strnfill(20000, 'y');
    Front front;

    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 0);
    g_assert_cmpint(write(ours, data, 20000), ==, 20000);
    settle();
    while (front.input->len < 20000) {
        give_room(&front, 16);
        WAIT_FOR(front.room == 0);
    }
    g_assert_cmpint(write(ours, data, 20000), ==, 20000);
    g_assert_cmpint(write(ours, "\001b", 2), ==, 2);
    settle();
    g_assert_cmpuint(front.breaks, ==, 0);
    WAIT_FOR(front.breaks == 1);
    give_room(&front, 20000);
    settle();
    g_assert_cmpuint(front.input->len, ==, 20000 + 4096);
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* Output of ports on a base that is full is told of room. */
static void test_mux_output(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    const size_t total = 3 * CHARDEV_QUEUE;
    size_t sent = 0;
    Front front;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 0);
    while (sent < total) {
        unsigned told = front.told;
        size_t want = MIN(1000, total - sent), taken = write_pattern(front.chr, sent, want);

        sent += taken;
        if (taken < want) {
            settle();
            drain(ours, text);
            WAIT_FOR(front.told > told);
        }
    }
    WAIT_FOR((drain(ours, text), text->len == total));
    check_pattern(text);
    detach(&front);
    chardevs_stop();
    close(ours);
}

static void test_mux_timestamps(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front front;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 10);
    g_assert_cmpint(write(ours, "\001t.", 3), ==, 3);
    WAIT_FOR(front.input->len == 1);
    g_assert_cmpuint(chardev_write(front.chr, "one\ntw", 6), ==, 6);
    g_assert_cmpuint(chardev_write(front.chr, "o\n", 2), ==, 2);
    settle();
    drain(ours, text);
    g_assert_true(g_regex_match_simple("^\\[00:00:0\\d\\.\\d{3}\\] one\n\\[00:00:0\\d\\.\\d{3}\\] two\n$", text->str,
                                       0, 0));
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* A monitor's output waits for the focus; the guest's does not mix with it. */
static void test_mux_monitor(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    char data[100];
    Front front;
    int terminal;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 100);
    terminal = chardev_mux_terminal("c0", &err);
    g_assert_no_error(err);
    g_assert_true(isatty(terminal));
    g_assert_true(chardevs_start());
    g_assert_cmpint(write(terminal, "prompt", 6), ==, 6);
    chardev_write(front.chr, "guest", 5);
    settle();
    drain(ours, text);
    g_assert_cmpstr(text->str, ==, "guest");
    g_assert_cmpint(write(ours, "\001c", 2), ==, 2);
    WAIT_FOR((drain(ours, text), strstr(text->str, "prompt")));
    g_assert_cmpint(write(ours, "info\r\001cx", 8), ==, 8);
    WAIT_FOR(front.input->len == 1);
    g_assert_cmpstr(front.input->str, ==, "x");
    WAIT_FOR(read(terminal, data, sizeof(data)) == 5);
    g_assert_cmpmem(data, 5, "info\n", 5);
    close(terminal);
    settle();
    detach(&front);
    chardevs_stop();
    close(ours);
}

static void test_mux_exit(void)
{
    int theirs, ours = make_pair(&theirs), status;
    Front front;

    if (g_test_subprocess()) {
        add_fd("c0", theirs, ",mux=on");
        attach(&front, "c0", 0);
        g_assert_cmpint(write(ours, "\001x", 2), ==, 2);
        WAIT_FOR(shutdown_requested(&status));
        g_assert_cmpint(status, ==, 0);
        detach(&front);
        chardevs_stop();
        return;
    }
    close(ours);
    close(theirs);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

static void test_mux_limit(void)
{
    static const ChardevOps ops = { NULL };
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GError) err = NULL;
    Chardev *ports[8];

    add_fd("c0", theirs, ",mux=on");
    for (unsigned i = 0; i < 8; i++) {
        ports[i] = chardev_attach("c0", &ops, NULL, NULL);
        g_assert_nonnull(ports[i]);
    }
    g_assert_null(chardev_attach("c0", &ops, NULL, &err));
    g_assert_nonnull(strstr(err->message, "8 share it"));
    chardevs_stop();
    /* Fronts that stay to the end may still write. */
    for (unsigned i = 0; i < 8; i++) {
        g_assert_cmpuint(chardev_write(ports[i], "x", 1), ==, 1);
        chardev_accept_input(ports[i]);
        chardev_detach(ports[i]);
    }
    close(ours);
}

/* ---- the rest -------------------------------------------------------------------------------------- */

static void test_front_outlives_the_backend(void)
{
    int theirs, ours = make_pair(&theirs);
    Front front;

    add_fd("c0", theirs, "");
    attach(&front, "c0", 10);
    chardevs_stop();
    g_assert_cmpuint(chardev_write(front.chr, "x", 1), ==, 1);
    chardev_accept_input(front.chr);
    detach(&front);
    settle();
    close(ours);
}

static void test_refused(void)
{
    static const struct { const char *text, *message; } cases[] = {
        { "vc,id=c1", "'vc' is no kind of device" },
        { "null", "it needs an id" },
        { "null,id=9", "it needs an id" },
        { "null,id=c0", "there is a device of this id" },
        { "null,id=c1,mux=on", "cannot be shared" },
        { "null,id=c1,banana=1", "banana" },
        { "file,id=c1", "path is missing" },
        { "file,id=c1,path=/dev/null,append=maybe", "append" },
        { "socket,id=c1", "needs path=PATH" },
        { "socket,id=c1,path=x,fd=3", "needs path=PATH" },
        { "socket,id=c1,fd=999", "999" },
        { "socket,id=c1,path=/no/such/socket", "cannot connect" },
        { "socket,id=c1,path=/no/such/socket,server=on", "cannot listen" },
        { "pty,id=c1,path=x", "path" },
    };

    g_assert_true(add("null,id=c0", NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(add(cases[i].text, &err));
        if (!strstr(err->message, cases[i].message)) {
            g_error("%s: %s", cases[i].text, err->message);
        }
        g_assert_false(chardev_exists("c1"));
    }
    chardevs_stop();
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } tests[] = {
        { "both-ways", test_both_ways },
        { "input-is-held-back", test_input_is_held_back },
        { "slow-reader-loses-nothing", test_slow_reader_loses_nothing },
        { "stalled-reader", test_stalled_reader },
        { "last-words", test_last_words },
        { "last-words-nobody-wants", test_last_words_nobody_wants },
        { "gone-while-full", test_gone_while_full },
        { "half-closed", test_half_closed },
        { "descriptors-are-closed", test_descriptors_are_closed },
        { "full-file-system", test_full_file_system },
        { "mux-focus", test_mux_focus },
        { "mux-input", test_mux_input },
        { "mux-output", test_mux_output },
        { "mux-timestamps", test_mux_timestamps },
        { "mux-monitor", test_mux_monitor },
        { "mux-exit", test_mux_exit },
        { "mux-limit", test_mux_limit },
        { "front-outlives-the-backend", test_front_outlives_the_backend },
        { "refused", test_refused },
    };
    static const struct { const char *name; void (*run)(Place *place, gconstpointer data); } placed[] = {
        { "peers-one-after-the-other", test_peers_one_after_the_other },
        { "wait", test_wait },
        { "two-on-one-path", test_two_on_one_path },
        { "file", test_file },
        { "pipe", test_pipe },
    };

    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    machine_lock();
    chardev_stall_ns = STALL_NS;
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/chardev/%s", tests[i].name);

        g_test_add_func(path, tests[i].run);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(placed); i++) {
        g_autofree char *path = g_strdup_printf("/chardev/%s", placed[i].name);

        g_test_add(path, Place, NULL, place_setup, placed[i].run, place_teardown);
    }
    return g_test_run();
}
