/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: backends: names, users, the medium, what a device may do.
 *
 * Runs in: the test program test-block-backend.
 */
#include "tests/unit/block-test.h"

/* ---- read-only, no medium -------------------------------------------------------------------- */

static void test_read_only(void)
{
    g_autofree char *path = make_image("ro.img", 8192);
    BlockBackend *blk = open_drive(false, "file=%s,format=raw,readonly=on", path);
    g_autoptr(GError) err = NULL;
    uint8_t buf[512];

    g_assert_true(blk_is_read_only(blk));
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, -EROFS);
    g_assert_cmpint(do_discard(blk, 0, 512), ==, -EROFS);
    g_assert_cmpint(do_zeroes(blk, 0, 512, 0), ==, -EROFS);
    g_assert_cmpint(do_flush(blk), ==, 0);
    blk_detach(blk);
    g_assert_false(blk_attach(blk, "disk1", true, &err));
    g_assert_nonnull(strstr(err->message, "read-only"));
    block_cleanup();
}

/* A device that only reads cannot write by mistake, though the image could be written. */
static void test_reader_on_writable_image(void)
{
    g_autofree char *path = make_image("rw.img", 8192);
    BlockBackend *blk = open_drive(false, "file=%s,format=raw", path);
    uint8_t buf[512];

    g_assert_false(blk_is_read_only(blk));
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, -EROFS);
    close_drive(blk);
}

static int changes;

static void on_change(void *opaque)
{
    changes++;
}

static void test_eject(void)
{
    g_autofree char *path = make_image("eject.img", 8192);
    BlockBackend *blk = open_drive(false, "file=%s,format=raw,media=cdrom", path);
    struct iovec iov;
    Result result = { 0 };
    uint8_t buf[512];

    changes = 0;
    blk_set_change_handler(blk, on_change, NULL);
    blk_lock_medium(blk, true);
    blk_eject(blk);
    g_assert_true(blk_is_inserted(blk));
    blk_lock_medium(blk, false);
    iov = (struct iovec) { .iov_base = buf, .iov_len = 512 };
    blk_preadv(blk, 512, &iov, 1, on_done, &result);
    blk_eject(blk);
    g_assert_cmpint(changes, ==, 1);
    g_assert_false(blk_is_inserted(blk));
    g_assert_cmpint(blk_length(blk), ==, 0);
    /* The request under way ends as if nothing had happened. */
    g_assert_cmpint(wait_result(&result), ==, 0);
    g_assert_cmpint(buf[3], ==, pattern_byte(512 + 3));
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, -ENOMEDIUM);
    g_assert_cmpint(do_flush(blk), ==, -ENOMEDIUM);
    blk_eject(blk);
    g_assert_cmpint(changes, ==, 1);
    close_drive(blk);
}

/* ---- names and users ------------------------------------------------------------------------- */

static void test_one_device_each(void)
{
    g_autofree char *path = make_image("one.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    g_autoptr(GError) err = NULL;

    g_assert_true(blk_by_name("d0", NULL) == blk);
    g_assert_false(blk_attach(blk, "disk1", true, &err));
    g_assert_nonnull(strstr(err->message, "'disk0'"));
    blk_detach(blk);
    g_assert_true(blk_attach(blk, "disk1", true, NULL));
    close_drive(blk);
}

static void test_nodes_and_their_users(void)
{
    g_autofree char *path = make_image("nodes.img", 8192);
    g_autofree char *leaf = g_strdup_printf("{\"driver\":\"file\",\"node-name\":\"f\",\"filename\":\"%s\","
                                            "\"cache\":{\"direct\":false},\"discard\":\"unmap\"}", path);
    GError *err = NULL;
    BlockBackend *a, *b;

    g_assert_true(try_blockdev(leaf, &err));
    g_assert_true(try_blockdev("driver=raw,node-name=a,file=f,discard=unmap", &err));
    g_assert_true(try_blockdev("driver=raw,node-name=b,file=f,offset=512", &err));
    g_assert_no_error(err);
    a = blk_by_name("a", &err);
    b = blk_by_name("b", &err);
    g_assert_no_error(err);
    g_assert_true(blk_by_name("a", NULL) == a);
    g_assert_true(blk_discard_enabled(a));
    g_assert_false(blk_discard_enabled(b));
    g_assert_cmpint(blk_length(b), ==, 7680);
    /* Readers share; a writer is alone. */
    g_assert_true(blk_attach(a, "disk0", false, &err));
    g_assert_true(blk_attach(b, "disk1", false, &err));
    blk_detach(b);
    b = blk_by_name("b", NULL);
    g_assert_false(blk_attach(b, "disk1", true, &err));
    g_assert_nonnull(strstr(err->message, "'f' is in use"));
    g_clear_error(&err);
    blk_detach(a);
    g_assert_true(blk_by_name("b", NULL) == b);
    g_assert_true(blk_attach(b, "disk1", true, &err));
    a = blk_by_name("a", NULL);
    g_assert_false(blk_attach(a, "disk0", false, NULL));
    blk_detach(b);
    g_assert_true(blk_attach(a, "disk0", true, &err));
    g_assert_no_error(err);
    blk_detach(a);
    block_cleanup();
}

static void test_error_actions(void)
{
    g_autofree char *path = make_image("actions.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);

    g_assert_cmpint(blk_error_action(blk, false), ==, BLOCK_ERROR_REPORT);
    g_assert_cmpint(blk_error_action(blk, true), ==, BLOCK_ERROR_ENOSPC);
    close_drive(blk);
    blk = open_drive(true, "file=%s,format=raw,werror=stop,rerror=ignore", path);
    g_assert_cmpint(blk_error_action(blk, false), ==, BLOCK_ERROR_IGNORE);
    g_assert_cmpint(blk_error_action(blk, true), ==, BLOCK_ERROR_STOP);
    blk_set_error_action(blk, false, BLOCK_ERROR_STOP);
    g_assert_cmpint(blk_error_action(blk, false), ==, BLOCK_ERROR_STOP);
    g_assert_cmpint(blk_error_action(blk, true), ==, BLOCK_ERROR_STOP);
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-backend/read-only-refuses-writes", test_read_only);
    g_test_add_func("/block-backend/reader-cannot-write", test_reader_on_writable_image);
    g_test_add_func("/block-backend/eject-keeps-requests", test_eject);
    g_test_add_func("/block-backend/one-device-per-drive", test_one_device_each);
    g_test_add_func("/block-backend/nodes-share-readers-not-writers", test_nodes_and_their_users);
    g_test_add_func("/block-backend/error-actions", test_error_actions);
    return block_test_run();
}
