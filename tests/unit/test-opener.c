/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of sandbox/opener*.c: a main emulator that was taken over, and the ends of the opener.
 *
 * Runs in: neither program.  What it opens and refuses is shown by tests/qtest/test_main_sandbox.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib.h>
#include <glib/gstdio.h>

#include "io/fd-socket.h"
#include "sandbox/helper.h"
#include "sandbox/opener-int.h"
#include "util/fd.h"

typedef struct Raw {
    int sock;
    pid_t pid;
} Raw;

static Raw raw_opener(void)
{
    g_autoptr(GError) err = NULL;
    Raw raw;

    g_assert_true(helper_start("opener", opener_child_main, &raw.sock, &raw.pid, &err));
    g_assert_no_error(err);
    return raw;
}

/* It has ended by itself, or does so now that its socket is closed; with status 0. */
static void raw_end(Raw *raw)
{
    int status;

    fd_close(&raw->sock);
    g_assert_cmpint(waitpid(raw->pid, &status, 0), ==, raw->pid);
    g_assert_cmpint(status, ==, 0);
}

static void send_raw(Raw *raw, uint32_t kind, uint32_t writable, const char *path, size_t len, unsigned fds)
{
    g_autofree OpenerRequest *request = g_malloc0(sizeof(*request) + len);
    const int numbers[2] = { 0, 0 };

    *request = (OpenerRequest) { .serial = 77, .kind = kind, .writable = writable };
    memcpy(request->path, path, len);
    g_assert_cmpint(fd_socket_send(raw->sock, request, sizeof(*request) + len, numbers, fds, 0), ==,
                    (ssize_t)(sizeof(*request) + len));
}

/* The answer's step; *ret_fd is -1 without a descriptor. */
static OpenerStep receive_raw(Raw *raw, int *ret_fd)
{
    OpenerAnswer answer;
    FdSet fds;

    g_assert_cmpint(fd_socket_receive(raw->sock, &answer, sizeof(answer), &fds, 0), ==, sizeof(answer));
    g_assert_cmpuint(answer.serial, ==, 77);
    *ret_fd = fds.num ? fd_steal(&fds.fds[0]) : -1;
    fd_set_drop(&fds);
    return answer.step;
}

/* What the main emulator never sends ends the opener. */
static void test_malformed_request_ends_it(void)
{
    static const char path[] = "/etc/passwd";
    g_autofree char *too_long = g_strnfill(PATH_MAX, 'x');
    const struct {
        uint32_t kind, writable;
        const char *path;
        size_t len;
        unsigned fds;
    } cases[] = {
        { OPENER_OPEN, 0, path, sizeof(path) - 1, 0 },   /* no NUL */
        { OPENER_OPEN, 0, "/etc\0/passwd", 13, 0 },      /* one too many */
        { OPENER_OPEN, 0, path, 0, 0 },                  /* no path */
        { OPENER_OPEN, 0, too_long, PATH_MAX + 1, 0 },   /* no room */
        { OPENER_OPEN, 2, path, sizeof(path), 0 },
        { OPENER_OPEN, 0, path, sizeof(path), 1 },       /* a descriptor */
        { OPENER_OPEN, 0, path, sizeof(path), 2 },
        { OPENER_KINDS, 0, path, sizeof(path), 0 },
        { UINT32_MAX, 0, path, sizeof(path), 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Raw raw = raw_opener();
        char byte;

        send_raw(&raw, cases[i].kind, cases[i].writable, cases[i].path, cases[i].len, cases[i].fds);
        g_assert_cmpint(recv(raw.sock, &byte, 1, 0), <=, 0);
        raw_end(&raw);
    }
}

static void test_longest_path_is_answered(void)
{
    g_autofree char *path = g_strnfill(PATH_MAX - 1, '/');
    Raw raw = raw_opener();
    int fd;

    send_raw(&raw, OPENER_OPEN, 0, path, PATH_MAX, 0);
    g_assert_cmpuint(receive_raw(&raw, &fd), ==, OPENER_STEP_KIND); /* the root directory */
    g_assert_cmpint(fd, ==, -1);
    raw_end(&raw);
}

static void test_descriptor_has_the_access_that_was_asked_for(void)
{
    g_autofree char *path = NULL;
    auto_fd file = g_file_open_tmp("test-opener-XXXXXX", &path, NULL);
    Raw raw = raw_opener();

    g_assert_cmpint(file, >=, 0);
    for (uint32_t writable = 0; writable < 2; writable++) {
        auto_fd fd = -1;

        send_raw(&raw, OPENER_OPEN, writable, path, strlen(path) + 1, 0);
        g_assert_cmpuint(receive_raw(&raw, &fd), ==, OPENER_DONE);
        g_assert_cmpint(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK), ==, O_NONBLOCK | (writable ? O_RDWR : O_RDONLY));
    }
    raw_end(&raw);
    g_assert_cmpint(g_unlink(path), ==, 0);
}

/* After the seal no file can be named for removal: trying it ends the opener, and the file stays. */
static void test_nothing_is_removed_that_was_named_after_the_seal(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-opener-XXXXXX", NULL);
    g_autofree char *before = g_build_filename(dir, "before", NULL);
    g_autofree char *after = g_build_filename(dir, "after", NULL);
    Raw raw = raw_opener();
    int fd;

    g_assert_true(g_file_set_contents(before, "", 0, NULL));
    g_assert_true(g_file_set_contents(after, "", 0, NULL));
    send_raw(&raw, OPENER_REMOVE, 0, before, strlen(before) + 1, 0);
    send_raw(&raw, OPENER_SEAL, 0, "", 1, 0);
    g_assert_cmpuint(receive_raw(&raw, &fd), ==, OPENER_DONE);
    send_raw(&raw, OPENER_REMOVE, 0, after, strlen(after) + 1, 0);
    raw_end(&raw);
    g_assert_false(g_file_test(before, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(after, G_FILE_TEST_EXISTS));
    g_assert_cmpint(g_unlink(after), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

static void test_file_of_another_at_that_place_is_kept(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-opener-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "file", NULL);
    g_autofree char *other = g_build_filename(dir, "other", NULL);
    Raw raw = raw_opener();
    int fd;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_assert_true(g_file_set_contents(other, "", 0, NULL));
    send_raw(&raw, OPENER_REMOVE, 0, path, strlen(path) + 1, 0);
    send_raw(&raw, OPENER_SEAL, 0, "", 1, 0);
    receive_raw(&raw, &fd);
    g_assert_cmpint(g_rename(other, path), ==, 0);
    raw_end(&raw);
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

/* Who does not read answers is given up, without the opener waiting for him or growing. */
static void test_client_that_does_not_read_ends_it(void)
{
    static const char path[] = "/nonexistent";
    Raw raw = raw_opener();
    ssize_t n = 0;

    for (unsigned i = 0; i < 1000000 && n >= 0; i++) {
        g_autofree OpenerRequest *request = g_malloc0(sizeof(*request) + sizeof(path));

        memcpy(request->path, path, sizeof(path));
        n = fd_socket_send(raw.sock, request, sizeof(*request) + sizeof(path), NULL, 0, 0);
    }
    g_assert_true(n == -EPIPE || n == -ECONNRESET); /* by whether it left some unread */
    raw_end(&raw);
}

static void test_signal_of_a_stranger_changes_nothing(void)
{
    Raw raw = raw_opener();
    int fd;

    send_raw(&raw, OPENER_SEAL, 0, "", 1, 0);
    receive_raw(&raw, &fd);
    g_assert_cmpint(kill(raw.pid, HELPER_PARENT_DIED), ==, 0);
    send_raw(&raw, OPENER_SEAL, 0, "", 1, 0);
    g_assert_cmpuint(receive_raw(&raw, &fd), ==, OPENER_DONE);
    raw_end(&raw);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/opener/malformed-request-ends-it", test_malformed_request_ends_it);
    g_test_add_func("/opener/longest-path-is-answered", test_longest_path_is_answered);
    g_test_add_func("/opener/descriptor-has-the-access-that-was-asked-for",
                    test_descriptor_has_the_access_that_was_asked_for);
    g_test_add_func("/opener/nothing-is-removed-that-was-named-after-the-seal",
                    test_nothing_is_removed_that_was_named_after_the_seal);
    g_test_add_func("/opener/file-of-another-at-that-place-is-kept", test_file_of_another_at_that_place_is_kept);
    g_test_add_func("/opener/client-that-does-not-read-ends-it", test_client_that_does_not_read_ends_it);
    g_test_add_func("/opener/signal-of-a-stranger-changes-nothing", test_signal_of_a_stranger_changes_nothing);
    return g_test_run();
}
