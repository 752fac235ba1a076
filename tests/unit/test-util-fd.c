/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/fd.c: kinds, ownership, descriptor sets.
 *
 * Runs in: neither program.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "util/fd.h"
#include "util-rig.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fd/kinds", test_fd_kinds);
    g_test_add_func("/fd/kind-of-block-device", test_fd_kind_block);
    g_test_add_func("/fd/kind-has-no-side-effect", test_fd_kind_no_side_effect);
    g_test_add_func("/fd/ownership", test_fd_ownership);
    g_test_add_func("/fd/flags", test_fd_flags);
    g_test_add_func("/fd/parse-refuses-what-is-not-open", test_fd_parse);
    g_test_add_func("/fd/open-path", test_fd_open_path);
    g_test_add_func("/fd/fdset-fits-access-mode", test_fdset);
    g_test_add_func("/fd/fdset-members-can-be-removed", test_fdset_remove);
    return g_test_run();
}
