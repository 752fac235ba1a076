/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: what a user does to drives and nodes while the program runs: deletion, resizing, eject,
 * counters, events, locks of passed descriptors.
 *
 * Runs in: the test program test-block-runtime.
 */
#include <sys/resource.h>
#include "count-fds.h"
#include "qapi/qapi.h"
#include "tests/unit/block-test.h"
#include "util/fd.h"

#define KIB 1024u
#define BACKEND_LIMIT 512 /* BLOCK_IN_FLIGHT_MAX */

static void add_drive(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void add_drive(const char *format, ...)
{
    g_autofree char *text = NULL;
    GError *err = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    try_drive(text, &err);
    g_assert_no_error(err);
}

static void add_node(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void add_node(const char *format, ...)
{
    g_autofree char *text = NULL;
    GError *err = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    try_blockdev(text, &err);
    g_assert_no_error(err);
}

/* A device takes the backend that NAME means. */
static BlockBackend *attach(const char *name, bool writable)
{
    GError *err = NULL;
    BlockBackend *blk = blk_by_name(name, &err);

    g_assert_no_error(err);
    g_assert_true(blk_attach(blk, "disk0", writable, &err));
    g_assert_no_error(err);
    return blk;
}

/* OK is false and ERR says all of the words up to NULL. */
static void expect_error(bool ok, GError **err, ...) G_GNUC_NULL_TERMINATED;
static void expect_error(bool ok, GError **err, ...)
{
    const char *word;
    va_list args;

    g_assert_false(ok);
    g_assert_nonnull(*err);
    va_start(args, err);
    while ((word = va_arg(args, const char *))) {
        if (!strstr((*err)->message, word)) {
            g_error("'%s' is not in '%s'", word, (*err)->message);
        }
    }
    va_end(args);
    g_clear_error(err);
}

/* ---- deletion -------------------------------------------------------------------------------- */

static void test_drive_del(void)
{
    g_autofree char *path = make_image("drive.img", 64 * KIB);
    GError *err = NULL;
    BlockBackend *blk;
    struct iovec iov;
    Result result = { 0 };
    uint8_t buf[512];

    g_assert_false(drive_del("d0", &err));
    g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_clear_error(&err);
    for (unsigned i = 0; i < 3; i++) {
        add_drive("id=d0,file=%s,format=raw,node-name=n0", path);
        blk = attach("d0", true);
        g_assert_true(blk_find("d0") == blk);
        g_assert_true(blk_of_device("disk0") == blk);
        expect_error(drive_del("d0", &err), &err, "'d0'", "'disk0'", NULL);
        g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
        blk_detach(blk);
        /* Somebody reads without being a device. */
        iov = (struct iovec) { .iov_base = buf, .iov_len = 512 };
        result = (Result) { 0 };
        blk_preadv(blk, 0, &iov, 1, on_done, &result);
        expect_error(drive_del("d0", &err), &err, "under way", NULL);
        g_assert_cmpint(wait_result(&result), ==, 0);
        /* A node stands on the drive's. */
        add_node("driver=raw,node-name=top,file=n0");
        expect_error(drive_del("d0", &err), &err, "'n0'", NULL);
        expect_error(blockdev_del("n0", &err), &err, "'n0'", "blockdev-add", NULL);
        g_assert_true(blockdev_del("top", &err));
        g_assert_true(drive_del("d0", &err));
        g_assert_null(blk_find("d0"));
        g_assert_null(blk_of_device("disk0"));
    }
    block_cleanup();
}

static void test_blockdev_del(void)
{
    g_autofree char *path = make_image("node.img", 64 * KIB);
    GError *err = NULL;
    BlockBackend *blk;

    expect_error(blockdev_del("f", &err), &err, "node-name='f'", NULL);
    add_node("driver=file,node-name=f,filename=%s", path);
    add_node("driver=raw,node-name=r,file=f");
    expect_error(blockdev_del("f", &err), &err, "'f'", "'r'", NULL);
    blk = attach("r", true);
    expect_error(blockdev_del("r", &err), &err, "'r'", "'disk0'", NULL);
    expect_error(drive_del("r", &err), &err, "'r'", NULL);
    blk_detach(blk);
    g_assert_true(blockdev_del("r", &err));
    expect_error(blk_by_name("r", &err) != NULL, &err, "'r'", NULL);
    g_assert_true(blockdev_del("f", &err));
    /* The names are free again, and so is the image. */
    add_node("driver=file,node-name=r,filename=%s", path);
    g_assert_true(blockdev_del("r", &err));
    block_cleanup();
}

/* A device whose start failed leaves nothing in the way. */
static void test_backend_without_device(void)
{
    GError *err = NULL;
    BlockBackend *blk;

    add_node("driver=null-co,node-name=n,read-only=on");
    blk = blk_by_name("n", NULL);
    expect_error(blk_attach(blk, "disk0", true, &err), &err, "read-only", NULL);
    g_assert_true(blk_by_name("n", NULL) == blk);
    g_assert_true(blockdev_del("n", &err));
    /* Policies of one device are not those of the next one. */
    add_node("driver=null-co,node-name=n");
    blk = attach("n", true);
    blk_set_error_action(blk, true, BLOCK_ERROR_IGNORE);
    blk_set_write_cache(blk, false);
    blk_detach(blk);
    blk = attach("n", true);
    g_assert_cmpint(blk_error_action(blk, true), ==, BLOCK_ERROR_ENOSPC);
    g_assert_true(blk_write_cache_enabled(blk));
    blk_detach(blk);
    block_cleanup();
}

/* A device with an empty tray does not keep the node that was on it. */
static void test_node_after_eject(void)
{
    BlockBackend *blk, *other;

    add_node("driver=null-co,node-name=cd,read-only=on");
    blk = attach("cd", false);
    blk_eject(blk);
    g_assert_true(blockdev_del("cd", NULL));
    add_node("driver=null-co,node-name=cd,read-only=on");
    other = blk_by_name("cd", NULL);
    g_assert_true(other != blk);
    g_assert_true(blk_attach(other, "disk1", false, NULL));
    g_assert_true(blk_of_device("disk0") == blk);
    blk_detach(blk);
    blk_detach(other);
    block_cleanup();
}

/* Makes, uses and removes a chain of nodes and a drive, N times. */
static void come_and_go(const char *path, unsigned n)
{
    const uint8_t buf[512] = { 1 };

    for (unsigned i = 0; i < n; i++) {
        BlockBackend *blk;

        add_node("driver=file,node-name=f,filename=%s", path);
        add_node("driver=raw,node-name=r,file=f");
        blk = attach("r", true);
        g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
        blk_detach(blk);
        g_assert_true(blockdev_del("r", NULL));
        g_assert_true(blockdev_del("f", NULL));
        add_drive("id=d,file=%s,format=raw", path);
        blk = attach("d", true);
        blk_detach(blk);
        g_assert_true(drive_del("d", NULL));
    }
    block_cleanup();
}

static void test_no_leak(void)
{
    g_autofree char *path = make_image("loop.img", 64 * KIB);
    unsigned before;

    come_and_go(path, 1);
    before = count_fds();
    come_and_go(path, 1000);
    g_assert_cmpuint(count_fds(), ==, before);
}

/* ---- resizing -------------------------------------------------------------------------------- */

static unsigned changes;

static void on_change(void *opaque)
{
    changes++;
}

static int64_t size_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_size;
}

static void test_resize(void)
{
    g_autofree char *path = make_image("resize.img", 64 * KIB);
    GError *err = NULL;
    BlockBackend *top, *window;
    uint8_t buf[512];

    add_node("driver=file,node-name=f,filename=%s", path);
    add_node("driver=blkdebug,node-name=b,image=f");
    add_node("driver=raw,node-name=top,file=b,offset=4096");
    add_node("driver=raw,node-name=window,file=f,offset=8192,size=8192");
    top = attach("top", false);
    blk_set_change_handler(top, on_change, NULL);
    window = blk_by_name("window", NULL);
    g_assert_true(blk_attach(window, "disk1", false, NULL));
    blk_set_change_handler(window, on_change, NULL);
    changes = 0;

    g_assert_true(block_resize("top", 128 * KIB, &err));
    g_assert_cmpint(size_of(path), ==, 132 * KIB);
    g_assert_cmpuint(blk_length(top), ==, 128 * KIB);
    g_assert_cmpuint(blk_length(window), ==, 8 * KIB);
    g_assert_cmpuint(changes, ==, 1);
    g_assert_cmpint(do_read(top, 128 * KIB - 512, buf, 512), ==, 0);
    g_assert_true(is_zero(buf, 512));
    g_assert_cmpint(do_read(top, 128 * KIB, buf, 512), ==, -EIO);
    /* The same again changes nothing. */
    g_assert_true(block_resize("top", 128 * KIB, &err));
    g_assert_cmpuint(changes, ==, 1);
    /* Shrinking takes both along, down to nothing. */
    g_assert_true(block_resize("f", 12 * KIB, &err));
    g_assert_cmpuint(blk_length(top), ==, 8 * KIB);
    g_assert_cmpuint(blk_length(window), ==, 4 * KIB);
    g_assert_cmpuint(changes, ==, 3);
    g_assert_cmpint(do_read(window, 4 * KIB, buf, 512), ==, -EIO);
    g_assert_true(block_resize("f", 0, &err));
    g_assert_cmpuint(blk_length(top), ==, 0);
    g_assert_cmpuint(blk_length(window), ==, 0);
    g_assert_cmpint(do_read(top, 0, buf, 512), ==, -EIO);
    /* The window comes back with the image. */
    g_assert_true(block_resize("f", 64 * KIB, &err));
    g_assert_cmpuint(blk_length(window), ==, 8 * KIB);
    g_assert_no_error(err);
    blk_detach(top);
    blk_detach(window);
    block_cleanup();
}

static void test_resize_behind_our_back(void)
{
    g_autofree char *path = make_image("behind.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,node-name=n", path);
    uint8_t buf[512];

    changes = 0;
    blk_set_change_handler(blk, on_change, NULL);
    g_assert_cmpint(truncate(path, 96 * KIB), ==, 0);
    g_assert_cmpuint(blk_length(blk), ==, 64 * KIB);
    g_assert_true(block_resize("n", 96 * KIB, NULL));
    g_assert_cmpuint(blk_length(blk), ==, 96 * KIB);
    g_assert_cmpint(do_read(blk, 96 * KIB - 512, buf, 512), ==, 0);
    /* Half a sector at its end. */
    g_assert_cmpint(truncate(path, 32 * KIB + 100), ==, 0);
    g_assert_true(block_resize("n", 32 * KIB, NULL));
    g_assert_cmpint(size_of(path), ==, 32 * KIB);
    g_assert_cmpuint(changes, ==, 2);
    close_drive(blk);
}

static void test_resize_direct(void)
{
    g_autofree char *path = make_image("direct.img", 64 * KIB);
    BlockBackend *blk;
    uint8_t buf[512] = { 7 }, back[512];

    if (!have_direct()) {
        return;
    }
    blk = open_drive(true, "file=%s,format=raw,node-name=n,cache=none", path);
    g_assert_true(block_resize("n", 64 * KIB + 512, NULL));
    g_assert_cmpint(do_write(blk, 64 * KIB, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_read(blk, 64 * KIB, back, 512), ==, 0);
    g_assert_cmpmem(buf, 512, back, 512);
    g_assert_cmpint(do_write(blk, 64 * KIB + 512, buf, 512, 0), ==, -EIO);
    close_drive(blk);
}

/* The device grows by somebody else's hand: a loop device, where this program may make one. */
static void test_resize_block_device(void)
{
    g_autofree char *path = make_image("loop-backing.img", 64 * KIB);
    g_autofree char *device = NULL;
    GError *err = NULL;
    BlockBackend *blk;

    if (run(&device, "losetup", "-f", "--show", path, NULL) != 0) {
        g_test_skip("loop devices cannot be made here");
        return;
    }
    g_strstrip(device);
    blk = open_drive(true, "file=%s,format=raw,node-name=n", device);
    g_assert_cmpuint(blk_length(blk), ==, 64 * KIB);
    expect_error(block_resize("n", 128 * KIB, &err), &err, device, "65536", NULL);
    g_assert_cmpint(truncate(path, 128 * KIB), ==, 0);
    g_assert_cmpint(run(NULL, "losetup", "-c", device, NULL), ==, 0);
    g_assert_true(block_resize("n", 128 * KIB, &err));
    g_assert_cmpuint(blk_length(blk), ==, 128 * KIB);
    /* It is not made smaller; its size is taken as it is. */
    g_assert_true(block_resize("n", 4 * KIB, &err));
    g_assert_cmpuint(blk_length(blk), ==, 128 * KIB);
    g_assert_no_error(err);
    close_drive(blk);
    g_assert_cmpint(run(NULL, "losetup", "-d", device, NULL), ==, 0);
}

static void test_resize_refusals(void)
{
    g_autofree char *path = make_image("refuse.img", 64 * KIB);
    struct rlimit limit, small = { 1024 * KIB, 1024 * KIB };
    GError *err = NULL;

    expect_error(block_resize("nope", 512, &err), &err, "node-name='nope'", NULL);
    add_node("driver=file,node-name=ro,filename=%s,read-only=on", path);
    expect_error(block_resize("ro", 512, &err), &err, "'ro'", "read-only", NULL);
    add_node("driver=null-co,node-name=null");
    expect_error(block_resize("null", 512, &err), &err, "'null'", "null-co", NULL);
    add_node("driver=file,node-name=f,filename=%s", path);
    add_node("driver=raw,node-name=window,file=f,size=512");
    add_node("driver=raw,node-name=r,file=f,offset=512");
    expect_error(block_resize("window", 1024, &err), &err, "'window'", "fixed", NULL);
    expect_error(block_resize("f", 513, &err), &err, "513", "512", NULL);
    expect_error(block_resize("f", 1ull << 63, &err), &err, "9223372036854775808", NULL);
    expect_error(block_resize("r", INT64_MAX / 512 * 512, &err), &err, "largest file", NULL);
    /* What the file system refuses. */
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    small.rlim_max = limit.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    expect_error(block_resize("f", 1024 * KIB + 512, &err), &err, path, "1049088", "File too large", NULL);
    g_assert_true(block_resize("f", 1024 * KIB, &err));
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    g_assert_cmpint(size_of(path), ==, 1024 * KIB);
    block_cleanup();
}

/* Somebody else reads the image and does not stand changes; then he goes. */
static void test_resize_respects_locks(void)
{
    g_autofree char *path = make_image("locked.img", 64 * KIB);
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 201, .l_len = 1 };
    GError *err = NULL;
    auto_fd fd = open(path, O_RDWR | O_CLOEXEC);

    add_drive("id=d,file=%s,format=raw,node-name=n", path);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    expect_error(block_resize("n", 128 * KIB, &err), &err, path, "in use", NULL);
    g_assert_cmpint(size_of(path), ==, 64 * KIB);
    fd_close(&fd);
    g_assert_true(block_resize("n", 128 * KIB, &err));
    /* Afterwards the drive holds what a reader holds: another reader may come. */
    fd = open(path, O_RDWR | O_CLOEXEC);
    lock.l_type = F_WRLCK;
    lock.l_start = 101;
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    block_cleanup();
}

/* What is in the kernel's hands is not cut off; what waits behind it is. */
static void test_resize_with_requests(void)
{
    g_autofree char *path = make_image("requests.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,node-name=n", path);
    Result inside = { 0 }, cut = { 0 };
    GError *err = NULL;
    BlockStats stats;
    int done = 0;
    uint8_t buf[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };

    for (unsigned i = 0; i < BACKEND_LIMIT; i++) {
        blk_preadv(blk, i % 8 * 512, &iov, 1, on_count, &done);
    }
    blk_pwritev(blk, 32 * KIB - 512, &iov, 1, 0, on_done, &inside);
    blk_pwritev(blk, 32 * KIB, &iov, 1, 0, on_done, &cut);
    expect_error(block_resize("n", 3584, &err), &err, "under way", NULL);
    g_assert_cmpint(size_of(path), ==, 64 * KIB);
    g_assert_true(block_resize("n", 32 * KIB, &err));
    g_assert_cmpint(cut.calls, ==, 0);
    wait_calls(&done, BACKEND_LIMIT);
    g_assert_cmpint(wait_result(&inside), ==, 0);
    g_assert_cmpint(wait_result(&cut), ==, -EIO);
    g_assert_cmpint(size_of(path), ==, 32 * KIB);
    blk_stats(blk, &stats);
    g_assert_cmpuint(stats.type[BLOCK_STATS_WRITE].operations, ==, 1);
    g_assert_cmpuint(stats.type[BLOCK_STATS_WRITE].invalid, ==, 1);
    close_drive(blk);
}

/* ---- eject ----------------------------------------------------------------------------------- */

static unsigned requests_seen;

static void tray_request(void *opaque)
{
    requests_seen++;
}

static void tray_open(void *opaque)
{
    blk_tray_moved(opaque, true);
}

static const BlockTrayOps tray_ops = { .request = tray_request, .open = tray_open };

static void test_eject_by_user(void)
{
    g_autofree char *path = make_image("eject.img", 64 * KIB);
    GError *err = NULL;
    BlockBackend *blk;
    bool open;

    /* A drive that no device has. */
    add_drive("id=d0,file=%s,format=raw,media=cdrom", path);
    blk = blk_find("d0");
    g_assert_true(blk_is_removable(blk));
    g_assert_true(block_eject(blk, false, &err));
    g_assert_false(blk_is_inserted(blk));
    g_assert_true(block_eject(blk, false, &err));
    g_assert_true(drive_del("d0", &err));
    /* A fixed disk. */
    blk = open_drive(true, "file=%s,format=raw", path);
    g_assert_false(blk_is_removable(blk));
    expect_error(block_eject(blk, true, &err), &err, "'d0'", "not removable", NULL);
    blk_detach(blk);
    /* A tray that is locked, asked, forced. */
    g_assert_true(blk_attach(blk, "cd0", false, &err));
    blk_set_tray(blk, &tray_ops, blk, false);
    g_assert_true(blk_tray(blk, &open));
    g_assert_false(open);
    blk_lock_medium(blk, true);
    requests_seen = 0;
    expect_error(block_eject(blk, false, &err), &err,
                 "Device 'd0' is locked and force was not specified, wait for tray to open and try again", NULL);
    g_assert_cmpuint(requests_seen, ==, 1);
    g_assert_true(blk_is_inserted(blk));
    g_assert_true(block_eject(blk, true, &err));
    g_assert_false(blk_is_inserted(blk));
    g_assert_true(blk_tray(blk, &open));
    g_assert_true(open);
    g_assert_no_error(err);
    close_drive(blk);
}

/* ---- counters -------------------------------------------------------------------------------- */

static void test_stats(void)
{
    g_autofree char *path = make_image("stats.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "format=raw,discard=unmap,file.driver=blkdebug,file.image.driver=file,"
                                   "file.image.filename=%s,file.inject-error.0.event=read_aio,"
                                   "file.inject-error.0.sector=100", path);
    BlockImageInfo info;
    BlockStats stats;
    uint8_t buf[2048];

    blk_stats(blk, &stats);
    g_assert_cmpint(stats.last_ns, ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(do_read(blk, 512 * i, buf, 1024), ==, 0);
    }
    g_assert_cmpint(do_read(blk, 100 * 512, buf, 512), ==, -EIO);
    g_assert_cmpint(do_read(blk, 64 * KIB, buf, 512), ==, -EIO);
    g_assert_cmpint(do_write(blk, 4096, buf, 2048, 0), ==, 0);
    g_assert_cmpint(do_zeroes(blk, 0, 4096, 0), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(do_discard(blk, 8192, 4096), ==, 0);
    blk_stats(blk, &stats);
    g_assert_cmpuint(stats.type[BLOCK_STATS_READ].operations, ==, 3);
    g_assert_cmpuint(stats.type[BLOCK_STATS_READ].bytes, ==, 3072);
    g_assert_cmpuint(stats.type[BLOCK_STATS_READ].failed, ==, 1);
    g_assert_cmpuint(stats.type[BLOCK_STATS_READ].invalid, ==, 1);
    g_assert_cmpuint(stats.type[BLOCK_STATS_READ].time_ns, >, 0);
    g_assert_cmpuint(stats.type[BLOCK_STATS_WRITE].operations, ==, 2);
    g_assert_cmpuint(stats.type[BLOCK_STATS_WRITE].bytes, ==, 6144);
    g_assert_cmpuint(stats.type[BLOCK_STATS_WRITE].failed, ==, 0);
    g_assert_cmpuint(stats.type[BLOCK_STATS_FLUSH].operations, ==, 1);
    g_assert_cmpuint(stats.type[BLOCK_STATS_UNMAP].operations, ==, 1);
    g_assert_cmpuint(stats.type[BLOCK_STATS_UNMAP].bytes, ==, 4096);
    g_assert_cmpuint(stats.highest_write, ==, 6144);
    g_assert_cmpint(stats.last_ns, >, 0);
    g_assert_true(blk_image_info(blk, &info));
    g_assert_cmpstr(info.filename, ==, path);
    g_assert_cmpstr(info.driver, ==, "raw");
    g_assert_cmpuint(info.length, ==, 64 * KIB);
    g_assert_true(block_node_info(info.child, &info));
    g_assert_cmpstr(info.driver, ==, "blkdebug");
    g_assert_true(block_node_info(info.child, &info));
    g_assert_cmpstr(info.driver, ==, "file");
    g_assert_cmpuint(info.highest_write, ==, 6144);
    g_assert_null(info.child);
    close_drive(blk);
}

/* ---- events ---------------------------------------------------------------------------------- */

static struct {
    int count; /* for wait_calls() */
    JsonNode *last;
    char *name;
} seen;

static void on_event(const char *event, JsonNode *node, void *opaque)
{
    seen.count++;
    g_clear_pointer(&seen.last, json_node_unref);
    g_free(seen.name);
    seen.last = json_node_copy(node);
    seen.name = g_strdup(event);
}

static void begin_events(void)
{
    seen.count = 0;
    qapi_set_event_sink(on_event, NULL);
}

static void end_events(void)
{
    qapi_set_event_sink(NULL, NULL);
    g_clear_pointer(&seen.last, json_node_unref);
    g_clear_pointer(&seen.name, g_free);
}

static JsonObject *event_data(void)
{
    return json_object_get_object_member(json_node_get_object(seen.last), "data");
}

static const char *event_text(const char *member)
{
    return json_object_get_string_member(event_data(), member);
}

static void test_error_events(void)
{
    g_autofree char *path = make_image("events.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,node-name=n,werror=stop", path);
    BlockIoStatus status;

    begin_events();
    blk_report_error(blk, false, EIO, BLOCK_ERROR_REPORT);
    g_assert_cmpint(seen.count, ==, 1);
    g_assert_cmpstr(seen.name, ==, "BLOCK_IO_ERROR");
    g_assert_cmpstr(event_text("device"), ==, "d0");
    g_assert_cmpstr(event_text("node-name"), ==, "n");
    g_assert_cmpstr(event_text("operation"), ==, "read");
    g_assert_cmpstr(event_text("action"), ==, "report");
    g_assert_cmpstr(event_text("reason"), ==, "Input/output error");
    g_assert_false(json_object_get_boolean_member(event_data(), "nospace"));
    g_assert_true(blk_io_status(blk, &status));
    g_assert_cmpint(status, ==, BLOCK_IO_OK);
    /* A thousand more are one, a second later, the latest. */
    for (unsigned i = 0; i < 1000; i++) {
        blk_report_error(blk, i == 999, EIO, i == 999 ? BLOCK_ERROR_IGNORE : BLOCK_ERROR_REPORT);
    }
    g_assert_cmpint(seen.count, ==, 1);
    wait_calls(&seen.count, 2);
    g_assert_cmpstr(event_text("action"), ==, "ignore");
    /* What stops the machine is told at once, and once. */
    blk_report_error(blk, true, ENOSPC, BLOCK_ERROR_STOP);
    g_assert_cmpint(seen.count, ==, 3);
    g_assert_cmpstr(event_text("operation"), ==, "write");
    g_assert_cmpstr(event_text("action"), ==, "stop");
    g_assert_cmpstr(event_text("reason"), ==, "No space left on device");
    g_assert_true(json_object_get_boolean_member(event_data(), "nospace"));
    g_assert_true(blk_io_status(blk, &status));
    g_assert_cmpint(status, ==, BLOCK_IO_NOSPACE);
    blk_report_error(blk, true, EIO, BLOCK_ERROR_STOP);
    g_assert_cmpint(seen.count, ==, 3);
    blk_io_status(blk, &status);
    g_assert_cmpint(status, ==, BLOCK_IO_NOSPACE);
    blk_reset_io_status(blk);
    blk_report_error(blk, true, EIO, BLOCK_ERROR_STOP);
    g_assert_cmpint(seen.count, ==, 4);
    blk_io_status(blk, &status);
    g_assert_cmpint(status, ==, BLOCK_IO_FAILED);
    /* What waits when the device goes is not lost. */
    blk_report_error(blk, false, EIO, BLOCK_ERROR_REPORT);
    blk_detach(blk);
    g_assert_cmpint(seen.count, ==, 5);
    g_assert_false(blk_io_status(blk, &status));
    g_assert_cmpint(status, ==, BLOCK_IO_OK);
    end_events();
    block_cleanup();
}

static void test_tray_events(void)
{
    BlockBackend *blk;

    add_node("driver=null-co,node-name=cd,read-only=on");
    blk = attach("cd", false);
    blk_set_tray(blk, &tray_ops, blk, false);
    begin_events();
    blk_tray_moved(blk, true);
    g_assert_cmpint(seen.count, ==, 0);
    wait_calls(&seen.count, 1);
    g_assert_cmpstr(seen.name, ==, "DEVICE_TRAY_MOVED");
    g_assert_cmpstr(event_text("device"), ==, "");
    g_assert_cmpstr(event_text("id"), ==, "disk0");
    g_assert_true(json_object_get_boolean_member(event_data(), "tray-open"));
    /* Many moves within the second: the last state, if it is another one. */
    for (unsigned i = 0; i < 1001; i++) {
        blk_tray_moved(blk, i & 1);
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_cmpint(seen.count, ==, 1);
    wait_calls(&seen.count, 2);
    g_assert_false(json_object_get_boolean_member(event_data(), "tray-open"));
    end_events();
    blk_detach(blk);
    block_cleanup();
}

/* ---- locks of a descriptor that somebody passed ---------------------------------------------- */

/* In a process of its own: opens the image by the passed descriptor, takes it as a writer, and dies with it. */
static void take_image_and_die(int passed)
{
    uint8_t buf[512] = { 9 };
    BlockBackend *blk;

    g_assert_true(fdset_add_take_fd(3, fd_dup(passed), NULL, NULL));
    blk = open_drive(true, "file=/dev/fdset/3,format=raw");
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    raise(SIGKILL);
}

/* Whether somebody else holds BYTE (see block/file-lock.c). */
static bool is_locked(int fd, short byte)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };

    g_assert_cmpint(fcntl(fd, F_OFD_GETLK, &lock), ==, 0);
    return lock.l_type != F_UNLCK;
}

static void test_passed_descriptor(void)
{
    g_autofree char *path = make_image("passed.img", 64 * KIB);
    auto_fd passed = open(path, O_RDWR | O_CLOEXEC);
    auto_fd other = open(path, O_RDWR | O_CLOEXEC);
    GError *err = NULL;
    int status;

    /* Twice: the second process finds the locks of the first, who died, on its own description. */
    for (unsigned i = 0; i < 2; i++) {
        GPid pid = fork();

        if (pid == 0) {
            take_image_and_die(passed);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        /* Whoever opens the image anew sees it in use as long as the passer has it. */
        g_assert_true(is_locked(other, 101));
    }
    /* The passer itself, by a duplicate. */
    g_assert_true(fdset_add_take_fd(4, fd_dup(passed), NULL, NULL));
    add_drive("id=d0,file=/dev/fdset/4,format=raw");
    blk_detach(attach("d0", true));
    g_assert_true(drive_del("d0", &err));
    /* Its last user has given the locks back. */
    g_assert_false(is_locked(other, 100) || is_locked(other, 101) || is_locked(other, 201));
    block_cleanup();
}

/* The passer has turned direct I/O on for a drive that did not ask for it. */
static void test_passed_direct(void)
{
    g_autofree char *path = make_image("passeddirect.img", 64 * KIB);
    BlockBackend *blk;
    uint8_t buf[1024];

    if (!have_direct()) {
        return;
    }
    g_assert_true(fdset_add_take_fd(6, open(path, O_RDWR | O_DIRECT | O_CLOEXEC), NULL, NULL));
    blk = open_drive(true, "file=/dev/fdset/6,format=raw");
    g_assert_cmpint(do_read(blk, 512, buf + 1, 512), ==, 0);
    g_assert_cmphex(buf[1], ==, pattern_byte(512));
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-runtime/del/drive", test_drive_del);
    g_test_add_func("/block-runtime/del/node", test_blockdev_del);
    g_test_add_func("/block-runtime/del/after-failed-device", test_backend_without_device);
    g_test_add_func("/block-runtime/del/node-after-eject", test_node_after_eject);
    g_test_add_func("/block-runtime/del/thousand-times", test_no_leak);
    g_test_add_func("/block-runtime/resize/reaches-all-above", test_resize);
    g_test_add_func("/block-runtime/resize/behind-our-back", test_resize_behind_our_back);
    g_test_add_func("/block-runtime/resize/direct", test_resize_direct);
    g_test_add_func("/block-runtime/resize/block-device-is-measured", test_resize_block_device);
    g_test_add_func("/block-runtime/resize/refuses", test_resize_refusals);
    g_test_add_func("/block-runtime/resize/respects-locks", test_resize_respects_locks);
    g_test_add_func("/block-runtime/resize/with-requests", test_resize_with_requests);
    g_test_add_func("/block-runtime/eject", test_eject_by_user);
    g_test_add_func("/block-runtime/stats", test_stats);
    g_test_add_func("/block-runtime/events/io-error-is-limited", test_error_events);
    g_test_add_func("/block-runtime/events/tray-is-limited", test_tray_events);
    g_test_add_func("/block-runtime/locks/passed-descriptor", test_passed_descriptor);
    g_test_add_func("/block-runtime/locks/passed-direct", test_passed_direct);
    return block_test_run();
}
