/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: block devices, and locks that other programs respect.
 *
 * Runs in: the test program test-block-device.
 *
 * Tests with block devices need root and loop devices, those of locks qemu-io; they are skipped without.
 */
#include <stdio.h>
#include "tests/unit/block-test.h"
#include "util/fd.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* ---- locks ----------------------------------------------------------------------------------- */

/* Whether qemu-io can open the image, for writing or only reading. */
static bool tool_opens(const char *path, bool writable)
{
    g_autofree char *out = NULL;
    int status = writable ? run(&out, "qemu-io", "-f", "raw", "-c", "read 0 512", path, NULL)
                          : run(&out, "qemu-io", "-r", "-f", "raw", "-c", "read 0 512", path, NULL);

    g_assert_cmpint(status, >=, 0);
    if (status) {
        g_assert_nonnull(strstr(out, "lock"));
    }
    return status == 0;
}

static void test_tools_respect_our_locks(void)
{
    g_autofree char *path = make_image("locks.img", 64 * KIB);
    BlockBackend *blk;

    if (!have_program("qemu-io")) {
        return;
    }
    g_assert_true(tool_opens(path, true));
    blk = open_drive(true, "file=%s,format=raw", path);
    g_assert_false(tool_opens(path, true));
    g_assert_cmpint(run(NULL, "qemu-img", "resize", "-q", "-f", "raw", path, "128k", NULL), ==, 1);
    /* Without the device nobody writes, but the drive still wants the image unchanged. */
    blk_detach(blk);
    g_assert_false(tool_opens(path, true));
    g_assert_true(tool_opens(path, false));
    g_assert_true(blk_attach(blk, "again", true, NULL));
    close_drive(blk);
    g_assert_true(tool_opens(path, true));

    blk = open_drive(false, "file=%s,format=raw,readonly=on", path);
    g_assert_false(tool_opens(path, true));
    g_assert_true(tool_opens(path, false));
    close_drive(blk);

    blk = open_drive(true, "file=%s,format=raw,file.locking=off", path);
    g_assert_true(tool_opens(path, true));
    close_drive(blk);

    blk = open_drive(true, "file=%s,format=raw", path);
    blk_drain(blk, INT64_MAX);
    blk_detach(blk);
    blk_eject(blk);
    g_assert_true(tool_opens(path, true));
    block_cleanup();
}

/* qemu-io that keeps the image open. */
typedef struct Holder {
    GPid pid;
    int in, out;
} Holder;

static Holder hold(const char *path, bool writable)
{
    const char *rw_argv[] = { "qemu-io", "-f", "raw", path, NULL };
    const char *ro_argv[] = { "qemu-io", "-r", "-f", "raw", path, NULL };
    g_autoptr(GError) err = NULL;
    Holder holder;
    char prompt;

    g_spawn_async_with_pipes(NULL, (char **)(writable ? rw_argv : ro_argv), NULL,
                             G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &holder.pid, &holder.in,
                             &holder.out, NULL, &err);
    g_assert_no_error(err);
    /* The prompt comes when the image is open. */
    g_assert_cmpint(read(holder.out, &prompt, 1), ==, 1);
    return holder;
}

static void let_go(Holder *holder)
{
    int status;

    close(holder->in);
    g_assert_cmpint(waitpid(holder->pid, &status, 0), ==, holder->pid);
    close(holder->out);
    g_spawn_close_pid(holder->pid);
}

static void test_we_respect_their_locks(void)
{
    g_autofree char *path = make_image("theirs.img", 64 * KIB);
    g_autofree char *rw = g_strdup_printf("id=d,format=raw,file=%s", path);
    g_autofree char *ro = g_strdup_printf("id=d,format=raw,readonly=on,file=%s", path);
    g_autofree char *off = g_strdup_printf("id=d,format=raw,file.locking=off,file=%s", path);
    GError *err = NULL;
    BlockBackend *blk;
    Holder holder;

    if (!have_program("qemu-io")) {
        return;
    }
    holder = hold(path, true);
    g_assert_null(try_drive(rw, &err));
    g_assert_nonnull(strstr(err->message, path));
    g_assert_nonnull(strstr(err->message, "in use"));
    g_assert_nonnull(strstr(err->message, "locking=off"));
    g_clear_error(&err);
    g_assert_null(try_drive(ro, NULL));
    blk = try_drive(off, NULL);
    g_assert_nonnull(blk);
    block_cleanup();
    let_go(&holder);

    holder = hold(path, false);
    blk = try_drive(ro, &err);
    g_assert_no_error(err);
    g_assert_true(blk_attach(blk, "x", false, &err));
    close_drive(blk);
    let_go(&holder);
    blk = try_drive(rw, &err);
    g_assert_no_error(err);
    g_assert_true(blk_attach(blk, "x", true, &err));
    close_drive(blk);
}

/* Two of ours, as if in two processes: each open has its own locks. */
/* A program that locks whole files for itself, as many do that know nothing of QEMU's bytes. */
static void test_whole_file_lock_is_told_as_use(void)
{
    g_autofree char *path = make_image("whole.img", 64 * KIB);
    g_autofree char *text = g_strdup_printf("id=d,format=raw,file=%s", path);
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    auto_fd fd = open(path, O_RDWR | O_CLOEXEC);
    GError *err = NULL;

    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &whole), ==, 0);
    g_assert_null(try_drive(text, &err));
    g_assert_nonnull(strstr(err->message, "is in use"));
    g_clear_error(&err);
    fd_close(&fd);
    close_drive(open_drive(true, "file=%s,format=raw", path));
}

static void test_two_of_ours(void)
{
    g_autofree char *path = make_image("two.img", 64 * KIB);
    g_autofree char *second = g_strdup_printf("id=d1,format=raw,file=%s", path);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    BlockBackend *other;
    GError *err = NULL;

    g_assert_null(try_drive(second, &err));
    g_assert_nonnull(strstr(err->message, "writes to it"));
    g_clear_error(&err);
    blk_detach(blk);
    g_assert_true(blk_attach(blk, "reader", false, NULL));
    /* Both read: no conflict, until one wants to write. */
    other = try_drive(second, &err);
    g_assert_no_error(err);
    g_assert_false(blk_attach(other, "writer", true, &err));
    g_assert_nonnull(strstr(err->message, "does not let others write"));
    g_clear_error(&err);
    g_assert_true(blk_attach(other, "reader2", false, NULL));
    blk_detach(other);
    blk_detach(blk);
    block_cleanup();
}

/* ---- block devices --------------------------------------------------------------------------- */

/* A loop device with these sectors on a new image, or NULL after g_test_skip(). */
static char *make_loop(const char *name, uint64_t size, const char *sector)
{
    g_autofree char *path = make_image(name, size);
    char *out = NULL;

    if (geteuid() != 0 || run(&out, "losetup", "-f", "--show", "-b", sector, path, NULL) != 0) {
        g_free(out);
        g_test_skip("needs root and loop devices");
        return NULL;
    }
    return g_strchomp(out);
}

static void free_loop(char *device)
{
    run(NULL, "losetup", "-d", device, NULL);
    g_free(device);
}

/* Writes and zeroings of neighbouring sectors of the same blocks, all in flight together, against a model. */
static void sector_storm(const char *device, const char *options)
{
    enum { SECTORS = 256, ROUNDS = 40 };
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", device, options);
    g_autofree uint8_t *model = g_malloc(SECTORS * 512);
    g_autofree uint8_t *buf = g_malloc(SECTORS * 512);
    g_autofree uint8_t *all = g_malloc(SECTORS * 512);
    GRand *rand = g_rand_new_with_seed(1);

    g_assert_cmpint(do_read(blk, 0, model, SECTORS * 512), ==, 0);
    g_assert_cmpint(model[700], ==, pattern_byte(700));
    for (unsigned round = 0; round < ROUNDS; round++) {
        int calls = 0, started = 0;
        unsigned count;

        for (unsigned sector = 0; sector < SECTORS; sector += count, started++) {
            uint8_t *data = buf + sector * 512;
            struct iovec iov;

            count = g_rand_int_range(rand, 1, 6);
            count = MIN(count, SECTORS - sector);
            iov = (struct iovec) { .iov_base = data, .iov_len = count * 512 };
            if (g_rand_int_range(rand, 0, 4) == 0) {
                memset(model + sector * 512, 0, count * 512);
                blk_write_zeroes(blk, sector * 512, count * 512, g_rand_boolean(rand) ? BLOCK_REQ_MAY_UNMAP : 0,
                                 on_count, &calls);
            } else {
                memset(data, g_rand_int(rand), count * 512);
                memcpy(model + sector * 512, data, count * 512);
                blk_pwritev(blk, sector * 512, &iov, 1, 0, on_count, &calls);
            }
        }
        wait_calls(&calls, started);
        g_assert_cmpint(do_read(blk, 0, all, SECTORS * 512), ==, 0);
        g_assert_cmpmem(all, SECTORS * 512, model, SECTORS * 512);
        /* Partial reads of blocks too. */
        g_assert_cmpint(do_read(blk, 3584, all, 1024), ==, 0);
        g_assert_cmpmem(all, 1024, model + 3584, 1024);
    }
    g_rand_free(rand);
    close_drive(blk);
}

static void test_large_sectors(void)
{
    static const char *const options[] = {
        "cache=none", "cache=none,discard=unmap", "cache=directsync", "cache=writeback,discard=unmap",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        char *device = make_loop("large.img", MIB, "4096");

        if (!device) {
            return;
        }
        sector_storm(device, options[i]);
        free_loop(device);
    }
}

/* A partial write must not bring back what was zeroed meanwhile in the rest of its block. */
static void test_zeroing_under_partial_writes(void)
{
    char *device = make_loop("under.img", MIB, "4096");
    uint8_t data[512], block[4096];
    struct iovec iov = { .iov_base = data, .iov_len = 512 };
    BlockBackend *blk;

    if (!device) {
        return;
    }
    blk = open_drive(true, "file=%s,format=raw,cache=none,discard=unmap", device);
    memset(data, 0x33, sizeof(data));
    for (unsigned i = 0; i < 100; i++) {
        int calls = 0;

        memset(block, 0x44, sizeof(block));
        g_assert_cmpint(do_write(blk, 0, block, 4096, 0), ==, 0);
        blk_pwritev(blk, 512, &iov, 1, 0, on_count, &calls);
        if (i % 2) {
            blk_write_zeroes(blk, 0, 8192, BLOCK_REQ_MAY_UNMAP, on_count, &calls);
        } else {
            blk_discard(blk, 0, 8192, on_count, &calls);
        }
        blk_pwritev(blk, 1024, &iov, 1, 0, on_count, &calls);
        wait_calls(&calls, 3);
        g_assert_cmpint(do_read(blk, 0, block, 4096), ==, 0);
        g_assert_true(is_zero(block, 512));
        g_assert_true(is_zero(block + 1536, 2560));
        g_assert_cmpmem(block + 1024, 512, data, 512);
    }
    close_drive(blk);
    free_loop(device);
}

/* Requests that wait for a block or for memory can be cancelled, and each gets its callback. */
static void test_cancel_waiting_for_blocks(void)
{
    enum { COUNT = 400 };
    char *device = make_loop("cancel.img", 16 * MIB, "4096");
    g_autofree Result *results = g_new0(Result, COUNT);
    g_autofree BlockRequest **reqs = g_new(BlockRequest *, COUNT);
    g_autofree uint8_t *buf = g_malloc0(8 * MIB);
    unsigned cancelled = 0;
    BlockBackend *blk;

    if (!device) {
        return;
    }
    blk = open_drive(true, "file=%s,format=raw,cache=none", device);
    for (unsigned i = 0; i < COUNT; i++) {
        /* Every eighth is large and misaligned in memory; the others are partial writes of one block. */
        struct iovec iov = { .iov_base = buf + 1, .iov_len = i % 8 ? 512 : 7 * MIB };

        reqs[i] = blk_pwritev(blk, i % 8 * 512, &iov, 1, 0, on_done, &results[i]);
    }
    event_loop_turn(event_loop_main(), false);
    for (unsigned i = COUNT; i-- > 0;) {
        if (i % 3 && !results[i].calls) {
            blk_cancel(reqs[i]);
        }
    }
    blk_drain(blk, INT64_MAX);
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpint(results[i].calls, ==, 1);
        g_assert_true(results[i].ret == 0 || (results[i].ret == -ECANCELED && i % 3));
        cancelled += results[i].ret != 0;
    }
    g_assert_cmpint(cancelled, >, COUNT / 3);
    g_assert_cmpint(do_write(blk, 512, buf, 512, 0), ==, 0);
    close_drive(blk);
    free_loop(device);
}

static void test_host_device(void)
{
    char *device = make_loop("device.img", MIB, "512");
    g_autofree char *wrong = g_strdup_printf("driver=file,node-name=n,filename=%s", device);
    g_autofree char *right = g_strdup_printf("driver=host_device,node-name=n,filename=%s,discard=unmap", device);
    g_autoptr(GError) err = NULL;
    uint8_t buf[4096];
    BlockBackend *blk;

    if (!device) {
        return;
    }
    g_assert_false(try_blockdev(wrong, &err));
    g_assert_nonnull(strstr(err->message, "is a block device"));
    g_assert_nonnull(strstr(err->message, "driver=host_device"));
    g_assert_true(try_blockdev(right, NULL));
    blk = blk_by_name("n", NULL);
    g_assert_true(blk_attach(blk, "disk0", true, NULL));
    g_assert_cmpint(blk_length(blk), ==, MIB);
    g_assert_cmpint(do_read(blk, 4096, buf, 4096), ==, 0);
    g_assert_cmpint(buf[0], ==, pattern_byte(4096));
    g_assert_cmpint(do_discard(blk, 512, 8192), ==, 0);
    g_assert_cmpint(do_zeroes(blk, 4096, 4096, 0), ==, 0);
    g_assert_cmpint(do_read(blk, 4096, buf, 4096), ==, 0);
    g_assert_true(is_zero(buf, 4096));
    g_assert_cmpint(do_read(blk, MIB - 512, buf, 512), ==, 0);
    g_assert_cmpint(do_read(blk, MIB, buf, 512), ==, -EIO);
    close_drive(blk);
    free_loop(device);
}

/* The number of flushes that the kernel has sent to DEVICE. */
static unsigned flush_count(const char *device)
{
    g_autofree char *name = g_path_get_basename(device);
    g_autofree char *path = g_strdup_printf("/sys/block/%s/stat", name);
    g_autofree char *text = NULL;
    unsigned value = 0;

    /* Documentation/ABI/stable/sysfs-block: the 16th field. */
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpint(sscanf(text, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %u", &value), ==, 1);
    return value;
}

/* Not only our nodes: the disk itself sees flushes. */
static void flushes(const char *device, const char *options, bool expected)
{
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", device, options);
    uint8_t buf[512] = { 0 };
    unsigned before = flush_count(device);

    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(flush_count(device), ==, before);
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(flush_count(device) > before, ==, expected);
    before = flush_count(device);
    g_assert_cmpint(do_write(blk, 0, buf, 512, BLOCK_REQ_FUA), ==, 0);
    g_assert_cmpint(flush_count(device) > before, ==, expected);
    before = flush_count(device);
    g_assert_cmpint(do_zeroes(blk, 0, 4096, BLOCK_REQ_FUA), ==, 0);
    g_assert_cmpint(flush_count(device) > before, ==, expected);
    before = flush_count(device);
    blk_set_write_cache(blk, false);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(flush_count(device) > before, ==, expected);
    close_drive(blk);
}

static void test_flushes_reach_the_disk(void)
{
    char *device = make_loop("flush.img", MIB, "512");

    if (!device) {
        return;
    }
    flushes(device, "cache=writeback", true);
    flushes(device, "cache=none", true);
    flushes(device, "cache=unsafe", false);
    free_loop(device);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-device/locks/tools-respect-ours", test_tools_respect_our_locks);
    g_test_add_func("/block-device/locks/we-respect-theirs", test_we_respect_their_locks);
    g_test_add_func("/block-device/locks/whole-file-lock-is-told-as-use", test_whole_file_lock_is_told_as_use);
    g_test_add_func("/block-device/locks/two-of-ours", test_two_of_ours);
    g_test_add_func("/block-device/host-device", test_host_device);
    g_test_add_func("/block-device/large-sectors", test_large_sectors);
    g_test_add_func("/block-device/zeroing-under-partial-writes", test_zeroing_under_partial_writes);
    g_test_add_func("/block-device/cancel-waiting-for-blocks", test_cancel_waiting_for_blocks);
    g_test_add_func("/block-device/flushes-reach-the-disk", test_flushes_reach_the_disk);
    return block_test_run();
}
