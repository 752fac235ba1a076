/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: what arrives in image files, odd sizes, lack of space, injected errors.
 *
 * Runs in: the test program test-block-image.
 */
#include <sys/mount.h>
#include "tests/unit/block-test.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static uint64_t allocated(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return (uint64_t)st.st_blocks * 512;
}

/* ---- discard and zeroes ---------------------------------------------------------------------- */

static void test_discard_makes_holes(void)
{
    g_autofree char *path = make_image("discard.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    uint8_t buf[512];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    g_assert_true(blk_discard_enabled(blk));
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(lseek(fd, 0, SEEK_HOLE), ==, MIB);
    g_assert_cmpint(do_discard(blk, 256 * KIB, 512 * KIB), ==, 0);
    g_assert_cmpint(lseek(fd, 0, SEEK_HOLE), ==, 256 * KIB);
    g_assert_cmpint(lseek(fd, 256 * KIB, SEEK_DATA), ==, 768 * KIB);
    g_assert_cmpint(do_read(blk, 256 * KIB, buf, 512), ==, 0);
    g_assert_true(is_zero(buf, 512));
    g_assert_cmpint(do_read(blk, 256 * KIB - 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[0], ==, pattern_byte(256 * KIB - 512));
    close(fd);
    close_drive(blk);
}

static void test_ignored_discard_keeps_data(void)
{
    g_autofree char *path = make_image("keep.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint64_t before = allocated(path);
    uint8_t buf[512];

    g_assert_false(blk_discard_enabled(blk));
    g_assert_cmpint(do_discard(blk, 0, MIB), ==, 0);
    g_assert_cmpint(do_read(blk, 4096, buf, 512), ==, 0);
    g_assert_cmpint(buf[0], ==, pattern_byte(4096));
    g_assert_cmpint(allocated(path), ==, before);
    /* Zeroing with permission to deallocate does not deallocate either. */
    g_assert_cmpint(do_zeroes(blk, 0, MIB, BLOCK_REQ_MAY_UNMAP), ==, 0);
    g_assert_cmpint(allocated(path), >=, MIB);
    close_drive(blk);
}

/* All of [from, to) and nothing else is zero. */
static void check_zeroes(BlockBackend *blk, uint64_t from, uint64_t to)
{
    uint64_t length = blk_length(blk);
    g_autofree uint8_t *buf = g_malloc(length);

    g_assert_cmpint(do_read(blk, 0, buf, length), ==, 0);
    for (uint64_t i = 0; i < length; i++) {
        g_assert_cmpint(buf[i], ==, i >= from && i < to ? 0 : pattern_byte(i));
    }
}

static void zeroes(const char *path, const char *options)
{
    static const struct {
        uint64_t from, to;
        unsigned flags;
    } cases[] = {
        { 0, 512, 0 },
        { 512, 4096 + 512, 0 },
        { 4096, 8192, BLOCK_REQ_MAY_UNMAP },
        { 1024, 3 * MIB + 512, BLOCK_REQ_MAY_UNMAP | BLOCK_REQ_FUA },
        { 512, 4 * MIB, BLOCK_REQ_FUA },
        { 0, 4 * MIB, BLOCK_REQ_MAY_UNMAP },
    };
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", path, options);
    g_autofree uint8_t *pattern = g_malloc(4 * MIB);

    for (unsigned i = 0; i < 4 * MIB; i++) {
        pattern[i] = pattern_byte(i);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(do_write(blk, 0, pattern, 4 * MIB, 0), ==, 0);
        g_assert_cmpint(do_zeroes(blk, cases[i].from, cases[i].to - cases[i].from, cases[i].flags), ==, 0);
        check_zeroes(blk, cases[i].from, cases[i].to);
    }
    close_drive(blk);
}

static void test_write_zeroes(void)
{
    static const char *const options[] = {
        "discard=unmap", "discard=ignore", "cache=unsafe", "cache=none,discard=unmap", "cache=directsync",
    };
    g_autofree char *path = make_image("zeroes.img", 4 * MIB);
    BlockBackend *blk;

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        if (i < 3 || have_direct()) {
            zeroes(path, options[i]);
        }
    }
    blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    g_assert_cmpint(do_zeroes(blk, 0, 4 * MIB, BLOCK_REQ_MAY_UNMAP), ==, 0);
    g_assert_cmpint(allocated(path), ==, 0);
    close_drive(blk);
}

/* tmpfs can punch holes, but not zero a range: the third way is taken. */
static void test_write_zeroes_by_writing(void)
{
    g_autofree char *path = g_strdup_printf("/dev/shm/mpqemu-block-%d.img", getpid());
    g_autofree char *data = g_malloc0(4 * MIB);

    if (!g_file_set_contents(path, data, 4 * MIB, NULL)) {
        g_test_skip("/dev/shm cannot be written");
        return;
    }
    zeroes(path, "discard=ignore");
    zeroes(path, "discard=unmap");
    g_unlink(path);
}

/* ---- odd sizes ------------------------------------------------------------------------------- */

static void partial_sector(const char *options)
{
    g_autofree char *path = make_image("partial.img", 1000);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", path, options);
    struct stat st;
    uint8_t buf[1024];

    g_assert_cmpint(blk_length(blk), ==, 1024);
    memset(buf, 0xee, sizeof(buf));
    g_assert_cmpint(do_read(blk, 0, buf, 1024), ==, 0);
    for (unsigned i = 0; i < 1024; i++) {
        g_assert_cmpint(buf[i], ==, i < 1000 ? pattern_byte(i) : 0);
    }
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[487], ==, pattern_byte(999));
    g_assert_true(is_zero(buf + 488, 24));
    g_assert_cmpint(do_read(blk, 512, buf, 1024), ==, -EIO);
    /* A write of that sector makes it whole. */
    memset(buf, 0x55, 512);
    g_assert_cmpint(do_write(blk, 512, buf, 512, 0), ==, 0);
    memset(buf, 0, 512);
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[511], ==, 0x55);
    close_drive(blk);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 1024);
}

static void test_partial_last_sector(void)
{
    partial_sector("cache=writeback");
    if (have_direct()) {
        partial_sector("cache=none");
    }
}

static void test_empty_image(void)
{
    g_autofree char *path = make_image("empty.img", 0);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint8_t buf[512];

    g_assert_true(blk_is_inserted(blk));
    g_assert_cmpint(blk_length(blk), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, -EIO);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, -EIO);
    close_drive(blk);
}

static void truncated(const char *options)
{
    g_autofree char *path = make_image("truncated.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", path, options);
    uint8_t buf[8192];

    g_assert_cmpint(truncate(path, 10000), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 8192), ==, 0);
    g_assert_cmpint(do_read(blk, 8192, buf, 4096), ==, -EIO);
    g_assert_cmpint(do_read(blk, 32768, buf, 512), ==, -EIO);
    /* Writing goes on; what is written can be read again. */
    memset(buf, 0x77, sizeof(buf));
    g_assert_cmpint(do_write(blk, 32768, buf, 8192, 0), ==, 0);
    memset(buf, 0, sizeof(buf));
    g_assert_cmpint(do_read(blk, 32768, buf, 8192), ==, 0);
    g_assert_cmpint(buf[8191], ==, 0x77);
    close_drive(blk);
}

static void test_truncated_image(void)
{
    truncated("cache=writeback");
    if (have_direct()) {
        truncated("cache=none");
    }
}

/* ---- no space -------------------------------------------------------------------------------- */

static void test_no_space(void)
{
    g_autofree char *dir = test_path("small");
    g_autofree char *path = g_build_filename(dir, "disk.img", NULL);
    g_autofree uint8_t *buf = g_malloc(2 * MIB);
    BlockBackend *blk;

    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    if (mount("none", dir, "tmpfs", 0, "size=1m") < 0) {
        g_rmdir(dir);
        g_test_skip("needs root to mount a small file system");
        return;
    }
    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_assert_cmpint(truncate(path, 4 * MIB), ==, 0);
    memset(buf, 0x11, 2 * MIB);
    blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    /* Some of it fits; the whole does not. */
    g_assert_cmpint(do_write(blk, 0, buf, 2 * MIB, 0), ==, -ENOSPC);
    g_assert_cmpint(do_write(blk, 3 * MIB, buf, 4096, BLOCK_REQ_FUA), ==, -ENOSPC);
    /* It works again when there is space. */
    g_assert_cmpint(do_discard(blk, 0, 2 * MIB), ==, 0);
    g_assert_cmpint(do_write(blk, 3 * MIB, buf, 4096, BLOCK_REQ_FUA), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    close_drive(blk);
    g_assert_cmpint(umount(dir), ==, 0);
    g_rmdir(dir);
}

/* ---- injected errors ------------------------------------------------------------------------- */

static BlockBackend *open_blkdebug(const char *rules)
{
    g_autofree char *path = make_image("blkdebug.img", 64 * KIB);

    return open_drive(true, "format=raw,discard=unmap,file.driver=blkdebug,file.image.filename=%s,%s", path, rules);
}

static void test_inject_by_sector(void)
{
    BlockBackend *blk = open_blkdebug("file.inject-error.0.event=read_aio,file.inject-error.0.sector=8,"
                                      "file.inject-error.1.event=write_aio,file.inject-error.1.errno=28,"
                                      "file.inject-error.1.once=on");
    uint8_t buf[4096] = { 0 };

    g_assert_cmpint(do_read(blk, 3584, buf, 512), ==, 0);
    g_assert_cmpint(do_read(blk, 4096, buf, 512), ==, -EIO);
    g_assert_cmpint(do_read(blk, 4608, buf, 512), ==, 0);
    g_assert_cmpint(do_read(blk, 1024, buf, 3072), ==, 0);
    g_assert_cmpint(do_read(blk, 1024, buf, 3584), ==, -EIO);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, -ENOSPC);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_read(blk, 4096, buf, 512), ==, -EIO);
    g_assert_cmpint(do_flush(blk), ==, 0);
    close_drive(blk);
}

/* With a flush that fails it shows which requests flush. */
static void test_flush_and_fua_reach_the_node(void)
{
    BlockBackend *blk = open_blkdebug("file.inject-error.0.event=flush_to_disk");
    uint8_t buf[512] = { 0 };

    g_assert_cmpint(do_flush(blk), ==, -EIO);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_write(blk, 0, buf, 512, BLOCK_REQ_FUA), ==, -EIO);
    g_assert_cmpint(do_zeroes(blk, 0, 512, 0), ==, 0);
    g_assert_cmpint(do_zeroes(blk, 0, 512, BLOCK_REQ_FUA), ==, -EIO);
    g_assert_cmpint(do_discard(blk, 0, 512), ==, 0);
    blk_set_write_cache(blk, false);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, -EIO);
    g_assert_cmpint(do_zeroes(blk, 0, 512, 0), ==, -EIO);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    blk_set_write_cache(blk, true);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    close_drive(blk);
}

static void test_inject_states(void)
{
    /* The third read fails, and after the next flush all is well. */
    BlockBackend *blk = open_blkdebug("file.set-state.0.event=read_aio,file.set-state.0.state=1,"
                                      "file.set-state.0.new_state=2,"
                                      "file.set-state.1.event=read_aio,file.set-state.1.state=2,"
                                      "file.set-state.1.new_state=3,"
                                      "file.set-state.2.event=flush_to_os,file.set-state.2.new_state=9,"
                                      "file.inject-error.0.event=read_aio,file.inject-error.0.state=3");
    uint8_t buf[512];

    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, -EIO);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, -EIO);
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    close_drive(blk);
}

static void test_inject_by_kind(void)
{
    BlockBackend *blk = open_blkdebug("file.inject-error.0.event=none,file.inject-error.0.iotype=discard,"
                                      "file.inject-error.1.event=pwritev_zero,file.inject-error.1.errno=28");
    uint8_t buf[512] = { 0 };

    g_assert_cmpint(do_discard(blk, 0, 4096), ==, -EIO);
    g_assert_cmpint(do_zeroes(blk, 0, 4096, 0), ==, -ENOSPC);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-image/discard-makes-holes", test_discard_makes_holes);
    g_test_add_func("/block-image/discard-ignore-keeps-data", test_ignored_discard_keeps_data);
    g_test_add_func("/block-image/write-zeroes", test_write_zeroes);
    g_test_add_func("/block-image/write-zeroes-by-writing", test_write_zeroes_by_writing);
    g_test_add_func("/block-image/partial-last-sector", test_partial_last_sector);
    g_test_add_func("/block-image/empty", test_empty_image);
    g_test_add_func("/block-image/truncated-is-eio", test_truncated_image);
    g_test_add_func("/block-image/no-space", test_no_space);
    g_test_add_func("/block-image/blkdebug/sector", test_inject_by_sector);
    g_test_add_func("/block-image/blkdebug/flush-and-fua-reach-the-node", test_flush_and_fua_reach_the_node);
    g_test_add_func("/block-image/blkdebug/states", test_inject_states);
    g_test_add_func("/block-image/blkdebug/kinds", test_inject_by_kind);
    return block_test_run();
}
