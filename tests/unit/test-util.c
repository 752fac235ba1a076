/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/: error, fd, iov, log, machine-lock, rcu, trace.
 *
 * Runs in: neither program.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <glib/gstdio.h>
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/iov.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/rcu.h"
#include "tests-unit.h"

/* ---- helpers -------------------------------------------------------------------------------- */

/* Redirects descriptor FD to a memory file; capture_end() gives the text written since. */
typedef struct Capture {
    int fd, saved, file;
} Capture;

static Capture capture_begin(int fd)
{
    Capture capture = { fd, dup(fd), memfd_create("capture", MFD_CLOEXEC) };

    g_assert_cmpint(capture.saved, >=, 0);
    g_assert_cmpint(capture.file, >=, 0);
    fflush(stdout);
    g_assert_cmpint(dup2(capture.file, fd), ==, fd);
    return capture;
}

static char *capture_end(Capture *capture)
{
    off_t len;
    char *text;

    fflush(stdout);
    g_assert_cmpint(dup2(capture->saved, capture->fd), ==, capture->fd);
    len = lseek(capture->file, 0, SEEK_END);
    text = g_malloc0((gsize)len + 1);
    g_assert_cmpint(pread(capture->file, text, (size_t)len, 0), ==, len);
    fd_close(&capture->saved);
    fd_close(&capture->file);
    return text;
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        g_error("'%s' not in '%s'", part, text);
    }
}

/* ---- error ---------------------------------------------------------------------------------- */

static void test_error(void)
{
    g_autoptr(GError) err = NULL;

    error_setg(&err, "a %d", 1);
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    g_assert_cmpstr(err->message, ==, "a 1");
    g_clear_error(&err);
    error_setg_errno(&err, ENOENT, "open '%s'", "x%s");
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    g_assert_cmpstr(err->message, ==, "open 'x%s': No such file or directory");
    g_clear_error(&err);
    error_set(&err, ERROR_CLASS_DEVICE_NOT_FOUND, "no '%s'", "x");
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_assert_cmpstr(err->message, ==, "no 'x'");
    error_setg(NULL, "a");
    error_setg_errno(NULL, ENOENT, "a");
    error_set(NULL, ERROR_CLASS_GENERIC, "a");
}

/* ---- fd ------------------------------------------------------------------------------------- */

static void check_kind(int fd, FdKind kind, const char *name)
{
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fd_kind(fd), ==, kind);
    g_assert_cmpstr(fd_kind_name(fd_kind(fd)), ==, name);
    close(fd);
    g_assert_cmpint(fd_kind(fd), ==, FD_KIND_INVALID);
}

static void test_fd_kinds(void)
{
    static const char other[] = "another kind of descriptor";
    sigset_t none;
    int pipe_fds[2], closed_fd = dup(STDOUT_FILENO);
    int huge;

    sigemptyset(&none);
    close(closed_fd);
    g_assert_cmpint(fd_kind(-1), ==, FD_KIND_INVALID);
    g_assert_cmpint(fd_kind(closed_fd), ==, FD_KIND_INVALID);
    g_assert_cmpstr(fd_kind_name(FD_KIND_INVALID), ==, "not an open descriptor");
    g_assert_cmpstr(fd_kind_name((FdKind)99), ==, other);

    check_kind(socket(AF_UNIX, SOCK_STREAM, 0), FD_KIND_SOCKET, "a socket");
    check_kind(socket(AF_INET, SOCK_DGRAM, 0), FD_KIND_SOCKET, "a socket");
    check_kind(eventfd(0, 0), FD_KIND_EVENTFD, "an eventfd");
    check_kind(eventfd(7, EFD_SEMAPHORE | EFD_NONBLOCK), FD_KIND_EVENTFD, "an eventfd");
    check_kind(memfd_create("x", 0), FD_KIND_SHMEM, "shared memory");
    check_kind(memfd_create("x", MFD_ALLOW_SEALING), FD_KIND_SHMEM, "shared memory");
    huge = memfd_create("x", MFD_HUGETLB);
    if (huge >= 0) { /* not every kernel has them */
        check_kind(huge, FD_KIND_SHMEM, "shared memory");
    }
    check_kind(open("/proc/self/status", O_RDONLY), FD_KIND_FILE, "a regular file");
    check_kind(open("/dev/null", O_RDWR), FD_KIND_CHAR, "a character device");
    check_kind(open("/", O_RDONLY | O_DIRECTORY), FD_KIND_OTHER, other);
    check_kind(epoll_create1(0), FD_KIND_OTHER, other);
    check_kind(timerfd_create(CLOCK_MONOTONIC, 0), FD_KIND_OTHER, other);
    check_kind(signalfd(-1, &none, 0), FD_KIND_OTHER, other);
    check_kind(inotify_init1(0), FD_KIND_OTHER, other);
    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    check_kind(pipe_fds[0], FD_KIND_OTHER, other);
    check_kind(pipe_fds[1], FD_KIND_OTHER, other);
}

/* Needs the right to make a device node; its driver is not touched. */
static void test_fd_kind_block(void)
{
    g_autofree char *dir = g_dir_make_tmp("util-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "block", NULL);

    g_assert_nonnull(dir);
    if (mknod(path, S_IFBLK | 0600, makedev(7, 0)) == 0) {
        check_kind(open(path, O_PATH), FD_KIND_BLOCK, "a block device");
        g_unlink(path);
    } else {
        g_test_skip("may not make device nodes");
    }
    g_rmdir(dir);
}

/* Looking does not disturb: the count stays, also a full one, and a sleeper is not woken. */
static void test_fd_kind_no_side_effect(void)
{
    auto_fd fd = eventfd(0, EFD_NONBLOCK);
    auto_fd epoll_fd = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    uint64_t value = UINT64_MAX - 1;

    g_assert_cmpint(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), ==, 0);
    g_assert_cmpint(fd_kind(fd), ==, FD_KIND_EVENTFD);
    g_assert_cmpint(epoll_wait(epoll_fd, &event, 1, 0), ==, 0);
    g_assert_cmpint(read(fd, &value, sizeof(value)), ==, -1);
    g_assert_cmpint(errno, ==, EAGAIN);
    g_assert_cmpint(write(fd, &value, sizeof(value)), ==, sizeof(value));
    g_assert_cmpint(fd_kind(fd), ==, FD_KIND_EVENTFD);
    value = 0;
    g_assert_cmpint(read(fd, &value, sizeof(value)), ==, sizeof(value));
    g_assert_cmpuint(value, ==, UINT64_MAX - 1);
}

static void test_fd_ownership(void)
{
    int fd = dup(STDOUT_FILENO), copy = fd, stolen;

    errno = EXDEV;
    fd_close(&fd);
    g_assert_cmpint(fd, ==, -1);
    g_assert_cmpint(errno, ==, EXDEV);
    g_assert_cmpint(fcntl(copy, F_GETFD), ==, -1);
    fd_close(&fd);
    g_assert_cmpint(fd, ==, -1);
    {
        auto_fd scoped = dup(STDOUT_FILENO);
        auto_fd kept = dup(STDOUT_FILENO);

        copy = scoped;
        stolen = fd_steal(&kept);
        g_assert_cmpint(kept, ==, -1);
    }
    g_assert_cmpint(fcntl(copy, F_GETFD), ==, -1);
    g_assert_cmpint(fcntl(stolen, F_GETFD), !=, -1);
    close(stolen);
}

static void test_fd_flags(void)
{
    auto_fd fd = eventfd(0, 0);
    auto_fd copy = fd_dup(fd);

    g_assert_cmpint(copy, >=, 0);
    g_assert_cmpint(fcntl(copy, F_GETFD), ==, FD_CLOEXEC);
    g_assert_cmpint(fd_dup(-1), ==, -EBADF);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, 0);
    g_assert_cmpint(fd_set_cloexec(fd), ==, 0);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
    g_assert_cmpint(fd_set_cloexec(-1), ==, -EBADF);
    g_assert_cmpint(fd_set_nonblock(fd, true), ==, 0);
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    g_assert_cmpint(fd_set_nonblock(fd, false), ==, 0);
    g_assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    g_assert_cmpint(fd_set_nonblock(-1, true), ==, -EBADF);
}

static void test_fd_parse(void)
{
    static const char *const bad[] = { "", "x", "-1", "1x", "2147483648", "99999999999999999999" };
    g_autoptr(GError) err = NULL;
    auto_fd fd = dup(STDOUT_FILENO);
    g_autofree char *text = g_strdup_printf("%d", fd);

    g_assert_cmpint(fd_parse("-fd", text, &err), ==, fd);
    g_assert_no_error(err);
    fd_close(&fd);
    g_assert_cmpint(fd_parse("-fd", text, &err), ==, -1);
    assert_contains(err->message, "-fd: descriptor ");
    assert_contains(err->message, "is not open; ");
    g_clear_error(&err);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_cmpint(fd_parse("-fd", bad[i], &err), ==, -1);
        assert_contains(err->message, "is not a descriptor number; ");
        g_clear_error(&err);
    }
}

/* Opens PATH and tells the access mode, or -1 with a message that contains PART. */
static int opened_mode(const char *path, int flags, const char *part)
{
    g_autoptr(GError) err = NULL;
    auto_fd fd = fd_open_path(path, flags, &err);

    if (fd < 0) {
        g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
        assert_contains(err->message, part);
        assert_contains(err->message, path);
        return -1;
    }
    g_assert_no_error(err);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
    return fcntl(fd, F_GETFL) & O_ACCMODE;
}

static void test_fd_open_path(void)
{
    g_assert_cmpint(opened_mode("/dev/null", O_RDONLY, ""), ==, O_RDONLY);
    g_assert_cmpint(opened_mode("/dev/null", O_RDWR, ""), ==, O_RDWR);
    g_assert_cmpint(opened_mode("/no/such/file", O_RDONLY, "No such file"), ==, -1);
}

static void test_fdset(void)
{
    g_autoptr(GError) err = NULL;
    int fd, closed_fd;

    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDONLY, "no such descriptor set; "), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/x", O_RDONLY, "names no descriptor set; "), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/-1", O_RDONLY, "names no descriptor set; "), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/", O_RDONLY, "names no descriptor set; "), ==, -1);

    fd = open("/dev/null", O_RDONLY);
    g_assert_true(fdset_add_take_fd(1, fd, "mine", &err));
    g_assert_no_error(err);
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDONLY, ""), ==, O_RDONLY);
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDWR, "no read-write descriptor"), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_WRONLY, "(read-only, mine); "), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/2", O_RDONLY, "no such descriptor set; "), ==, -1);

    /* A read-write one serves the others, but an exact match is preferred. */
    g_assert_true(fdset_add_take_fd(2, open("/dev/null", O_RDWR), NULL, &err));
    g_assert_cmpint(opened_mode("/dev/fdset/2", O_RDONLY, ""), ==, O_RDWR);
    g_assert_true(fdset_add_take_fd(2, open("/dev/null", O_RDONLY), NULL, &err));
    g_assert_true(fdset_add_take_fd(2, open("/dev/null", O_WRONLY), NULL, &err));
    g_assert_cmpint(opened_mode("/dev/fdset/2", O_RDONLY, ""), ==, O_RDONLY);
    g_assert_cmpint(opened_mode("/dev/fdset/2", O_WRONLY, ""), ==, O_WRONLY);
    g_assert_cmpint(opened_mode("/dev/fdset/2", O_RDWR, ""), ==, O_RDWR);

    closed_fd = dup(STDOUT_FILENO);
    close(closed_fd);
    g_assert_false(fdset_add_take_fd(3, closed_fd, NULL, &err));
    assert_contains(err->message, "Bad file descriptor; ");
    g_clear_error(&err);
    /* Taken on failure too. */
    fd = dup(STDOUT_FILENO);
    g_assert_false(fdset_add_take_fd(-1, fd, NULL, &err));
    assert_contains(err->message, "descriptor set -1 ");
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
}

/* Appends "SET:OPAQUE " to the string DATA. */
static void list_member(int64_t set_id, int fd, const char *opaque, void *data)
{
    g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
    g_string_append_printf(data, "%d:%s ", (int)set_id, opaque ? opaque : "-");
}

static void test_fdset_remove(void)
{
    g_autoptr(GString) list = g_string_new(NULL);
    auto_fd used = -1;
    int first, second, other;

    /* The sets live as long as the program: others' members do not count. */
    fdset_remove(1, -1);
    fdset_remove(2, -1);
    g_assert_cmpuint(fdset_count(), ==, 0);
    g_assert_cmpint(fdset_free_id(), ==, 0);

    g_assert_true(fdset_add_take_fd(1, first = open("/dev/null", O_RDONLY), "a", NULL));
    g_assert_true(fdset_add_take_fd(0, other = open("/dev/null", O_RDONLY), NULL, NULL));
    g_assert_true(fdset_add_take_fd(1, second = open("/dev/zero", O_RDWR), "b", NULL));
    g_assert_true(fdset_add_take_fd(3, open("/dev/null", O_RDONLY), "c", NULL));
    g_assert_cmpint(fdset_free_id(), ==, 2);
    g_assert_cmpuint(fdset_count(), ==, 4);
    fdset_foreach(list_member, list);
    g_assert_cmpstr(list->str, ==, "1:a 0:- 1:b 3:c ");

    used = fd_open_path("/dev/fdset/1", O_RDWR, NULL);
    g_assert_cmpint(used, >=, 0);
    g_assert_cmpuint(fdset_remove(1, other), ==, 0);
    g_assert_cmpuint(fdset_remove(7, -1), ==, 0);
    g_assert_cmpuint(fdset_remove(1, second), ==, 1);
    g_assert_cmpint(fcntl(second, F_GETFD), ==, -1);
    g_assert_cmpint(read(used, &(char){ 1 }, 1), ==, 1); /* who has opened it keeps it */
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDWR, "no read-write descriptor"), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDONLY, ""), ==, O_RDONLY);
    g_assert_cmpuint(fdset_remove(1, -1), ==, 1);
    g_assert_cmpint(fcntl(first, F_GETFD), ==, -1);
    g_assert_cmpint(opened_mode("/dev/fdset/1", O_RDONLY, "no such descriptor set; "), ==, -1);
    g_assert_cmpint(fdset_free_id(), ==, 1);
    fdset_remove(0, -1);
    fdset_remove(3, -1);
    g_assert_cmpuint(fdset_count(), ==, 0);
}

/* ---- iov ------------------------------------------------------------------------------------ */

/* Pieces of 3, 0, 5 and 2 bytes of MEMORY, with a gap of a byte after each. */
static void make_iov(char memory[16], struct iovec iov[4])
{
    memset(memory, '.', 15);
    memory[15] = 0;
    iov[0] = (struct iovec) { memory, 3 };
    iov[1] = (struct iovec) { memory + 4, 0 };
    iov[2] = (struct iovec) { memory + 4, 5 };
    iov[3] = (struct iovec) { memory + 10, 2 };
}

static void test_iov_copy(void)
{
    char memory[16], back[16] = "";
    struct iovec iov[4];

    make_iov(memory, iov);
    g_assert_cmpuint(iov_from_buf(iov, 4, 0, "abcdefghijkl", 12), ==, 10);
    g_assert_cmpstr(memory, ==, "abc.defgh.ij...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 2, "CDE", 3), ==, 3);
    g_assert_cmpstr(memory, ==, "abC.DEfgh.ij...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 8, "XYZ", 3), ==, 2);
    g_assert_cmpstr(memory, ==, "abC.DEfgh.XY...");
    g_assert_cmpuint(iov_from_buf(iov, 4, 10, "!", 1), ==, 0);
    g_assert_cmpuint(iov_from_buf(iov, 4, SIZE_MAX, "!", 1), ==, 0);
    g_assert_cmpuint(iov_from_buf(iov, 4, 0, NULL, 0), ==, 0);
    g_assert_cmpuint(iov_to_buf(iov, 4, 1, back, 15), ==, 9);
    g_assert_cmpstr(back, ==, "bCDEfghXY");
    g_assert_cmpuint(iov_to_buf(iov, 2, 0, back, 15), ==, 3);
    g_assert_cmpuint(iov_memset(iov, 4, 3, '#', 6), ==, 6);
    g_assert_cmpstr(memory, ==, "abC.#####.#Y...");
    g_assert_cmpuint(iov_memset(iov, 4, 9, '*', SIZE_MAX), ==, 1);
    g_assert_cmpstr(memory, ==, "abC.#####.#*...");
}

/* ---- log ------------------------------------------------------------------------------------ */

static void test_log_lines(void)
{
    Capture capture = capture_begin(STDERR_FILENO);
    g_autofree char *text = NULL;

    log_error("bad %d%%", 7);
    log_warn("odd\n");
    log_guest_error("x\x1b[2Jy\nz\x7f\tu\xc3\xa4");
    text = capture_end(&capture);
    g_assert_cmpstr(text, ==, "test-util: bad 7%\n"
                    "test-util: warning: odd\n"
                    "test-util: guest error: x?[2Jy z? u\xc3\xa4\n");
}

static void test_log_long_line(void)
{
    g_autofree char *just = g_strnfill(4095 - strlen("test-util: "), 'a');
    g_autofree char *longer = g_strconcat(just, "b", NULL);
    Capture capture = capture_begin(STDERR_FILENO);
    g_autofree char *text = NULL;

    log_error("%s", just);
    log_error("%s", longer);
    text = capture_end(&capture);
    g_assert_cmpuint(strlen(text), ==, 2 * 4096);
    g_assert_cmpint(text[4095], ==, '\n');
    g_assert_cmpint(text[4094], ==, 'a');
    g_assert_true(g_str_has_suffix(text, "aaa...\n"));
}

static void test_log_rate(void)
{
    enum { BURST = 1000 };
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL), seconds;
    unsigned written = 0, suppressed = 0;
    Capture capture;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    capture = capture_begin(STDERR_FILENO);
    for (int i = 0; i < BURST; i++) {
        log_guest_error("line %d", i);
    }
    seconds = (event_clock_ns(EVENT_CLOCK_REAL) - start) / 1000000000;
    /* The next second tells how many were dropped. */
    g_usleep(1100000);
    log_guest_error("line %d", BURST);
    text = capture_end(&capture);

    lines = g_strsplit(text, "\n", -1);
    for (; lines[written][0]; written++) {
        const char *note = strstr(lines[written], " (");
        unsigned count = 0;

        if (note && sscanf(note, " (%u earlier such lines suppressed)", &count) == 1) {
            suppressed += count;
        }
    }
    g_assert_cmpuint(written + suppressed, ==, BURST + 1);
    g_assert_cmpuint(written, <=, 10 * (seconds + 2) + 1);
    g_assert_cmpuint(written, >=, 8); /* the test before took one of this second's lines */
}

/* ---- machine lock --------------------------------------------------------------------------- */

enum { LOCK_THREADS = 3, LOCK_ROUNDS = 5000 };

static int guarded; /* machine lock; ThreadSanitizer checks that */

static void *lock_rounds(void *opaque)
{
    for (int i = 0; i < LOCK_ROUNDS; i++) {
        g_assert_false(machine_locked());
        machine_lock();
        g_assert_true(machine_locked());
        guarded++;
        machine_unlock();
    }
    return NULL;
}

static void test_machine_lock(void)
{
    pthread_t threads[LOCK_THREADS];

    machine_lock();
    for (int i = 0; i < LOCK_THREADS; i++) {
        /* They see their own state, not ours. */
        pthread_create(&threads[i], NULL, lock_rounds, NULL);
    }
    guarded = 0;
    machine_unlock();
    for (int i = 0; i < LOCK_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    g_assert_cmpint(guarded, ==, LOCK_THREADS * LOCK_ROUNDS);
    g_assert_false(machine_locked());
}

/* ---- rcu ------------------------------------------------------------------------------------ */

enum { RCU_READERS = 3, RCU_UPDATES = 100, RCU_MAGIC = 0x5a5a5a5a };

typedef struct View {
    int magic, copy;
} View;

static View *view; /* RCU */
static atomic_bool readers_stop;
static atomic_int readers_started;

static void check_view(const View *seen)
{
    g_assert_cmpint(seen->magic, ==, RCU_MAGIC);
    g_assert_cmpint(seen->copy, ==, RCU_MAGIC);
}

static void *read_views(void *opaque)
{
    atomic_fetch_add(&readers_started, 1);
    while (!atomic_load(&readers_stop)) {
        const View *seen;

        rcu_read_lock();
        seen = rcu_load(&view);
        check_view(seen);
        rcu_read_lock();
        check_view(rcu_load(&view));
        rcu_read_unlock();
        /* The inner section's end does not end ours. */
        check_view(seen);
        rcu_read_unlock();
        sched_yield(); /* be preempted here rather than in the section: the writers wait less */
    }
    return NULL;
}

static View *new_view(void)
{
    View *made = g_new(View, 1);

    made->magic = made->copy = RCU_MAGIC;
    return made;
}

static void *read_once(void *opaque)
{
    rcu_read_lock();
    check_view(rcu_load(&view));
    rcu_read_unlock();
    return NULL;
}

static void *update_views(void *opaque)
{
    for (int i = 0; i < RCU_UPDATES; i++) {
        View *old;

        machine_lock(); /* writers exclude each other, as the memory topology's do */
        old = view;
        rcu_store(&view, new_view());
        machine_unlock();
        rcu_synchronize();
        old->magic = old->copy = 0;
        g_free(old);
    }
    return NULL;
}

static void test_rcu_readers(void)
{
    pthread_t readers[RCU_READERS], writers[2];

    view = new_view();
    for (int i = 0; i < RCU_READERS; i++) {
        pthread_create(&readers[i], NULL, read_views, NULL);
    }
    while (atomic_load(&readers_started) < RCU_READERS) {
        g_usleep(100);
    }
    for (int i = 0; i < 2; i++) {
        pthread_create(&writers[i], NULL, update_views, NULL);
    }
    /* Threads that come and go meanwhile register and unregister. */
    for (int i = 0; i < 50; i++) {
        pthread_t brief;

        pthread_create(&brief, NULL, read_once, NULL);
        pthread_join(brief, NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(writers[i], NULL);
    }
    atomic_store(&readers_stop, true);
    for (int i = 0; i < RCU_READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    rcu_synchronize();
    g_clear_pointer(&view, g_free);
}

static atomic_bool synchronized;

static void *synchronize(void *opaque)
{
    rcu_synchronize();
    atomic_store(&synchronized, true);
    return NULL;
}

static void test_rcu_waits(void)
{
    pthread_t thread;

    rcu_synchronize();
    rcu_read_lock();
    rcu_read_lock();
    pthread_create(&thread, NULL, synchronize, NULL);
    rcu_read_unlock();
    /* Can only find an error, never make one: the thread may be slow, but it may not be done. */
    for (int i = 0; i < 20; i++) {
        g_usleep(1000);
        g_assert_false(atomic_load(&synchronized));
    }
    rcu_read_unlock();
    pthread_join(thread, NULL);
    g_assert_true(atomic_load(&synchronized));
}

/* ---- trace ---------------------------------------------------------------------------------- */

static TraceEvent *const *const tables[] = { trace_events_tests_unit, NULL };

static void append_state(const char *name, bool enabled, void *opaque)
{
    g_string_append_printf(opaque, "%s=%d;", name, enabled);
}

static char *event_states(void)
{
    GString *text = g_string_new(NULL);

    trace_foreach(append_state, text);
    return g_string_free(text, FALSE);
}

#define ASSERT_STATES(expected) \
    do { \
        g_autofree char *states_ = event_states(); \
        g_assert_cmpstr(states_, ==, expected); \
    } while (0)

static void test_trace_patterns(void)
{
    g_autoptr(GError) err = NULL;

    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
    g_assert_true(trace_enable_pattern("test_[nv]*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    g_assert_true(trace_enable_pattern("-test_v*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=0;");
    g_assert_true(trace_enable_pattern("*", true, &err));
    ASSERT_STATES("test_numbers=1;test_text=1;test_void=1;");
    g_assert_true(trace_enable_pattern("*", false, &err));
    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
    g_assert_no_error(err);
    g_assert_false(trace_enable_pattern("-nothing*", true, &err));
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
    assert_contains(err->message, "'nothing*'; ");
}

static void test_trace_output(void)
{
    g_autofree char *huge = g_strnfill(5000, 'x');
    g_autofree char *pid = g_strdup_printf(" %d test_", (int)getpid());
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Capture capture = capture_begin(STDERR_FILENO);

    trace_test_numbers(1, 2, 3);
    g_assert_true(trace_enable_pattern("*", true, NULL));
    trace_test_void();
    trace_test_numbers(-5, UINT64_MAX, 6);
    trace_test_text("a\n\x1b" "b", NULL, true);
    trace_test_text(huge, NULL, true);
    g_assert_true(trace_enable_pattern("*", false, NULL));
    trace_test_void();
    text = capture_end(&capture);

    lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 5);
    for (int i = 0; i < 4; i++) {
        unsigned seconds, micros;

        g_assert_cmpint(sscanf(lines[i], "%u.%6u ", &seconds, &micros), ==, 2);
        assert_contains(lines[i], pid);
    }
    g_assert_true(g_str_has_suffix(lines[0], " test_void nothing to tell"));
    g_assert_true(g_str_has_suffix(lines[1],
                                   " test_numbers count=-5 addr=0xffffffffffffffff len=6"));
    g_assert_true(g_str_has_suffix(lines[2], " test_text name=\"a??b\" ptr=(nil) flag=1"));
    g_assert_cmpuint(strlen(lines[3]), <, 1024);
    g_assert_true(g_str_has_suffix(lines[3], "xxxx"));
}

static void test_trace_option(void)
{
    g_autofree char *dir = g_dir_make_tmp("util-XXXXXX", NULL);
    g_autofree char *output = g_build_filename(dir, "output", NULL);
    g_autofree char *events = g_build_filename(dir, "events", NULL);
    g_autofree char *arg = g_strdup_printf("events=%s,file=%s", events, output);
    g_autofree char *text = NULL;
    g_autoptr(GError) err = NULL;
    bool ret_exit = false;

    g_assert_true(g_file_set_contents(events, "# comment\n\n  test_*  \n-test_text\n", -1, NULL));
    g_assert_true(trace_parse_option(arg, &ret_exit, &err));
    g_assert_no_error(err);
    g_assert_false(ret_exit);
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    trace_test_void();
    g_assert_true(g_file_get_contents(output, &text, NULL, NULL));
    assert_contains(text, " test_void nothing to tell\n");
    /* Once more: appends, and closes the first. */
    g_assert_true(trace_parse_option(arg, &ret_exit, &err));
    trace_test_void();
    g_free(text);
    g_assert_true(g_file_get_contents(output, &text, NULL, NULL));
    g_assert_true(g_strstr_len(strstr(text, "tell\n") + 5, -1, "tell\n") != NULL);

    g_assert_true(trace_parse_option("-test_void", &ret_exit, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=0;");
    g_assert_true(trace_parse_option("enable=test_void", &ret_exit, &err));
    ASSERT_STATES("test_numbers=1;test_text=0;test_void=1;");
    g_assert_true(trace_enable_pattern("*", false, NULL));

    g_assert_true(g_file_set_contents(events, "test_void\nnothing\n", -1, NULL));
    g_assert_false(trace_parse_option(arg, &ret_exit, &err));
    assert_contains(err->message, "events:2: ");
    assert_contains(err->message, "'nothing'; ");
    g_assert_true(trace_enable_pattern("*", false, NULL));
    g_unlink(events);
    g_unlink(output);
    g_rmdir(dir);
}

static void test_trace_option_errors(void)
{
    static const struct {
        const char *arg, *part;
    } bad[] = {
        { "nothing", "-trace: no trace event matches 'nothing'; " },
        { "colour=red", "-trace: unknown parameter 'colour' (value 'red'); " },
        { "events=/no/such", "'events' does not accept '/no/such': " },
        { "file=/no/such/dir/x", "'file': Could not open '/no/such/dir/x': No such file" },
        { "a b=c", "-trace: " },
    };
    bool ret_exit = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(trace_parse_option(bad[i].arg, &ret_exit, &err));
        g_assert_nonnull(err);
        assert_contains(err->message, bad[i].part);
        g_assert_false(ret_exit);
    }
    ASSERT_STATES("test_numbers=0;test_text=0;test_void=0;");
}

static void test_trace_help(void)
{
    Capture capture = capture_begin(STDOUT_FILENO);
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    bool ret_exit = false;
    bool ok = trace_parse_option("help", &ret_exit, &err);

    text = capture_end(&capture);
    g_assert_true(ok);
    g_assert_true(ret_exit);
    g_assert_cmpstr(text, ==, "test_numbers\ntest_text\ntest_void\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    log_init("test-util");
    trace_init(tables);
    g_test_add_func("/error/class-and-text", test_error);
    g_test_add_func("/fd/kinds", test_fd_kinds);
    g_test_add_func("/fd/kind-of-block-device", test_fd_kind_block);
    g_test_add_func("/fd/kind-has-no-side-effect", test_fd_kind_no_side_effect);
    g_test_add_func("/fd/ownership", test_fd_ownership);
    g_test_add_func("/fd/flags", test_fd_flags);
    g_test_add_func("/fd/parse-refuses-what-is-not-open", test_fd_parse);
    g_test_add_func("/fd/open-path", test_fd_open_path);
    g_test_add_func("/fd/fdset-fits-access-mode", test_fdset);
    g_test_add_func("/fd/fdset-members-can-be-removed", test_fdset_remove);
    g_test_add_func("/iov/copy", test_iov_copy);
    g_test_add_func("/log/lines-without-control-characters", test_log_lines);
    g_test_add_func("/log/cuts-long-lines", test_log_long_line);
    g_test_add_func("/log/guest-errors-at-limited-rate", test_log_rate);
    g_test_add_func("/machine-lock/excludes", test_machine_lock);
    g_test_add_func("/rcu/readers-see-live-objects", test_rcu_readers);
    g_test_add_func("/rcu/synchronize-waits-for-section", test_rcu_waits);
    g_test_add_func("/trace/patterns", test_trace_patterns);
    g_test_add_func("/trace/output-lines", test_trace_output);
    g_test_add_func("/trace/option", test_trace_option);
    g_test_add_func("/trace/option-errors", test_trace_option_errors);
    g_test_add_func("/trace/help-lists-names", test_trace_help);
    return g_test_run();
}
