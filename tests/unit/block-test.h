/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Helpers of the tests of the block layer: images in a temporary directory, drives from option text, requests that are
 * waited for.
 *
 * Runs in: the test programs test-block*.
 */
#ifndef TESTS_UNIT_BLOCK_TEST_H
#define TESTS_UNIT_BLOCK_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <glib.h>
#include <glib/gstdio.h>
#include "block/block.h"
#include "util/error.h"
#include "util/event-loop.h"

/* No wait of a test is longer. */
#define WAIT_LIMIT_NS (60LL * 1000 * 1000 * 1000)

/* What a request came to. */
typedef struct Result {
    int calls;
    int ret;
} Result;

static char *test_dir; /* of this program; removed at its end */

static inline void block_test_init(int *argc, char ***argv)
{
    g_test_init(argc, argv, NULL);
    /* On a real file system where there is one: tmpfs has neither zero ranges nor, before Linux 6.6, direct I/O. */
    test_dir = g_strdup("mpqemu-block-XXXXXX");
    if (g_access("/var/tmp", W_OK) == 0) {
        g_free(test_dir);
        test_dir = g_strdup("/var/tmp/mpqemu-block-XXXXXX");
    }
    g_assert_nonnull(g_mkdtemp(test_dir));
}

static inline int block_test_run(void)
{
    int ret = g_test_run();
    GDir *dir = g_dir_open(test_dir, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(test_dir, name, NULL);

        g_remove(path);
    }
    g_dir_close(dir);
    g_rmdir(test_dir);
    g_free(test_dir);
    return ret;
}

static inline char *test_path(const char *name)
{
    return g_build_filename(test_dir, name, NULL);
}

/* An image of SIZE bytes whose byte at offset I is (I / 512 + I) mod 251. */
static inline uint8_t pattern_byte(uint64_t offset)
{
    return (offset / 512 + offset) % 251;
}

static inline char *make_image(const char *name, uint64_t size)
{
    char *path = test_path(name);
    g_autofree uint8_t *data = g_malloc(size ? size : 1);

    for (uint64_t i = 0; i < size; i++) {
        data[i] = pattern_byte(i);
    }
    g_assert_true(g_file_set_contents(path, (char *)data, size, NULL));
    return path;
}

/* tmpfs has no direct I/O before Linux 6.6: tests of it are skipped there. */
static inline bool have_direct(void)
{
    g_autofree char *path = test_path("direct");
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);

    if (fd < 0) {
        g_test_skip("the file system of the temporary directory has no direct I/O");
        return false;
    }
    close(fd);
    return true;
}

static inline BlockBackend *try_drive(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-drive", text, NULL, errp);

    return opts ? drive_add(opts, errp) : NULL;
}

static inline bool try_blockdev(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-blockdev", text, "driver", errp);

    return opts && blockdev_add(opts, errp);
}

/* A drive "d0" with these options, attached to a device. */
static inline BlockBackend *open_drive(bool writable, const char *format, ...) G_GNUC_PRINTF(2, 3);
static inline BlockBackend *open_drive(bool writable, const char *format, ...)
{
    g_autofree char *text = NULL;
    g_autofree char *all = NULL;
    GError *err = NULL;
    BlockBackend *blk;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    all = g_strconcat("id=d0,if=none,", text, NULL);
    blk = try_drive(all, &err);
    g_assert_no_error(err);
    g_assert_true(blk_attach(blk, "disk0", writable, &err));
    g_assert_no_error(err);
    return blk;
}

/* Detaches BLK and frees everything. */
static inline void close_drive(BlockBackend *blk)
{
    blk_drain(blk, INT64_MAX);
    blk_detach(blk);
    block_cleanup();
}

static inline void on_done(void *opaque, int ret)
{
    Result *result = opaque;

    result->calls++;
    result->ret = ret;
}

/* For many requests that must succeed: counts them in an int. */
static inline void on_count(void *opaque, int ret)
{
    g_assert_cmpint(ret, ==, 0);
    ++*(int *)opaque;
}

static inline void on_wait_limit(void *opaque)
{
    g_error("a wait took too long");
}

/* Turns the event loop until *CALLS is at least WANTED. */
static inline void wait_calls(const int *calls, int wanted)
{
    EventTimer *limit = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, on_wait_limit, NULL);

    event_timer_arm(limit, event_clock_ns(EVENT_CLOCK_REAL) + WAIT_LIMIT_NS);
    while (*calls < wanted) {
        event_loop_turn(event_loop_main(), true);
    }
    event_timer_free(limit);
    g_assert_cmpint(*calls, ==, wanted);
}

static inline int wait_result(Result *result)
{
    wait_calls(&result->calls, 1);
    return result->ret;
}

static inline int do_read(BlockBackend *blk, uint64_t offset, void *buf, size_t len)
{
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    Result result = { 0 };

    blk_preadv(blk, offset, &iov, 1, on_done, &result);
    g_assert_cmpint(result.calls, ==, 0);
    return wait_result(&result);
}

static inline int do_write(BlockBackend *blk, uint64_t offset, const void *buf, size_t len, unsigned flags)
{
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    Result result = { 0 };

    blk_pwritev(blk, offset, &iov, 1, flags, on_done, &result);
    g_assert_cmpint(result.calls, ==, 0);
    return wait_result(&result);
}

static inline int do_flush(BlockBackend *blk)
{
    Result result = { 0 };

    blk_flush(blk, on_done, &result);
    g_assert_cmpint(result.calls, ==, 0);
    return wait_result(&result);
}

static inline int do_discard(BlockBackend *blk, uint64_t offset, uint64_t len)
{
    Result result = { 0 };

    blk_discard(blk, offset, len, on_done, &result);
    g_assert_cmpint(result.calls, ==, 0);
    return wait_result(&result);
}

static inline int do_zeroes(BlockBackend *blk, uint64_t offset, uint64_t len, unsigned flags)
{
    Result result = { 0 };

    blk_write_zeroes(blk, offset, len, flags, on_done, &result);
    g_assert_cmpint(result.calls, ==, 0);
    return wait_result(&result);
}

static inline bool is_zero(const uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (buf[i]) {
            return false;
        }
    }
    return true;
}

/* Runs a program; returns its exit status, and its output in *ret_out when that is not NULL.  -1: it is not there. */
static inline int run(char **ret_out, const char *program, ...) G_GNUC_NULL_TERMINATED;
static inline int run(char **ret_out, const char *program, ...)
{
    g_autoptr(GPtrArray) args = g_ptr_array_new();
    g_autofree char *out = NULL;
    g_autofree char *errors = NULL;
    g_autofree char *path = g_find_program_in_path(program);
    const char *arg;
    va_list list;
    int status;

    if (!path) {
        return -1;
    }
    g_ptr_array_add(args, path);
    va_start(list, program);
    while ((arg = va_arg(list, const char *))) {
        g_ptr_array_add(args, (char *)arg);
    }
    va_end(list);
    g_ptr_array_add(args, NULL);
    if (!g_spawn_sync(NULL, (char **)args->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &errors, &status, NULL)) {
        return -1;
    }
    if (ret_out) {
        *ret_out = g_strconcat(out, errors, NULL);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool have_program(const char *name)
{
    g_autofree char *path = g_find_program_in_path(name);

    if (!path) {
        g_autofree char *text = g_strdup_printf("%s is not installed", name);

        g_test_skip(text);
    }
    return path != NULL;
}

#endif
