/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of character devices: peers that are slow, go, and come again; files without room.
 *
 * Runs in: tests
 */
#include "chardev-rig.h"

#include <signal.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "util/fd.h"
#include "util/machine-lock.h"

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
