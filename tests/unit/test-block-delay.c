/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Slow images (blkdebug's inject-delay): delays and their end by a cancel, and what a device leaves behind that goes
 * while its image is slow.
 *
 * Runs in: tests
 */
#include "block-test.h"

#define KIB 1024u
#define MS (1000 * 1000LL)

static BlockBackend *open_slow(const char *rules)
{
    g_autofree char *path = make_image("slow.img", 64 * KIB);

    return open_drive(true, "format=raw,discard=unmap,file.driver=blkdebug,file.image.filename=%s,%s", path, rules);
}

static int64_t now(void)
{
    return event_clock_ns(EVENT_CLOCK_REAL);
}

/* ---- delays ---------------------------------------------------------------------------------- */

static void test_only_what_a_rule_hits_is_slow(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.sector=8,"
                                  "file.inject-delay.0.ns=200000000");
    uint8_t buf[512], other[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result slow = { 0 };
    int64_t start = now();

    blk_preadv(blk, 4096, &iov, 1, on_done, &slow);
    /* Others overtake it. */
    g_assert_cmpint(do_read(blk, 0, other, 512), ==, 0);
    g_assert_cmpint(do_write(blk, 8192, other, 512, 0), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(slow.calls, ==, 0);
    g_assert_cmpint(wait_result(&slow), ==, 0);
    g_assert_cmpint(now() - start, >=, 200 * MS);
    g_assert_cmpint(buf[100], ==, pattern_byte(4096 + 100));
    close_drive(blk);
}

/* Each ends in its own time, not in the order of submission. */
static void test_delays_end_in_their_own_order(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=150000000,"
                                  "file.inject-delay.1.event=flush_to_disk,file.inject-delay.1.ns=20000000,"
                                  "file.inject-delay.2.event=none,file.inject-delay.2.iotype=discard,"
                                  "file.inject-delay.2.ns=60000000");
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result reading = { 0 }, discarding = { 0 }, flushing = { 0 };

    blk_preadv(blk, 0, &iov, 1, on_done, &reading);
    blk_flush(blk, on_done, &flushing);
    blk_discard(blk, 0, 4096, on_done, &discarding);
    g_assert_cmpint(wait_result(&flushing), ==, 0);
    g_assert_cmpint(reading.calls + discarding.calls, ==, 0);
    g_assert_cmpint(wait_result(&discarding), ==, 0);
    g_assert_cmpint(reading.calls, ==, 0);
    g_assert_cmpint(wait_result(&reading), ==, 0);
    close_drive(blk);
}

static void test_states_and_once(void)
{
    BlockBackend *blk = open_slow("file.set-state.0.event=flush_to_disk,file.set-state.0.new_state=2,"
                                  "file.inject-delay.0.event=write_aio,file.inject-delay.0.state=2,"
                                  "file.inject-delay.0.once=on,file.inject-delay.0.ns=100000000");
    uint8_t buf[512] = { 0 };
    int64_t start = now();

    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(now() - start, >=, 100 * MS);
    for (unsigned i = 0; i < 50; i++) {
        g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    }
    /* 51 delays would be 5.1 s. */
    g_assert_cmpint(now() - start, <, 5000 * MS);
    close_drive(blk);
}

static void test_slow_failure(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=50000000,"
                                  "file.inject-error.0.event=read_aio,file.inject-error.0.errno=28");
    uint8_t buf[512];
    int64_t start = now();

    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, -ENOSPC);
    g_assert_cmpint(now() - start, >=, 50 * MS);
    close_drive(blk);
}

#define HOUR "3600000000000"

static void test_cancel_ends_a_delay(void)
{
    enum { COUNT = 40 };
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=" HOUR);
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result results[COUNT] = { 0 };
    BlockRequest *reqs[COUNT];
    GRand *rand = g_rand_new_with_seed(4);

    for (unsigned i = 0; i < COUNT; i++) {
        reqs[i] = blk_preadv(blk, 0, &iov, 1, on_done, &results[i]);
    }
    event_loop_turn(event_loop_main(), false);
    /* In any order: first, last and in the middle of the list. */
    for (unsigned left = COUNT; left > 0;) {
        unsigned i = g_rand_int_range(rand, 0, COUNT);

        if (!results[i].calls) {
            blk_cancel(reqs[i]);
            blk_cancel(reqs[i]);
            g_assert_cmpint(results[i].calls, ==, 0);
            g_assert_cmpint(wait_result(&results[i]), ==, -ECANCELED);
            left--;
        }
    }
    g_assert_true(blk_drain(blk, 0));
    g_rand_free(rand);
    close_drive(blk);
}

/* As a host that hangs: the request ends in its time, with its true result. */
static void test_hung_request_is_not_cancelled(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=200000000,"
                                  "file.inject-delay.0.cancellable=off");
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result result = { 0 };
    BlockRequest *req = blk_preadv(blk, 512, &iov, 1, on_done, &result);
    int64_t start = now();

    blk_cancel(req);
    g_assert_cmpint(wait_result(&result), ==, 0);
    g_assert_cmpint(now() - start, >=, 150 * MS);
    g_assert_cmpint(buf[0], ==, pattern_byte(512));
    close_drive(blk);
}

/* More than a backend lets into its nodes: the rest waits in its queue, and all end. */
static void test_more_than_fit(void)
{
    enum { COUNT = 3 * BLOCK_IN_FLIGHT_MAX };
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=10000000");
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    int calls = 0;

    for (unsigned i = 0; i < COUNT; i++) {
        blk_preadv(blk, 0, &iov, 1, on_count, &calls);
    }
    g_assert_true(blk_drain(blk, WAIT_LIMIT_NS));
    g_assert_cmpint(calls, ==, COUNT);
    close_drive(blk);
}

/* ---- draining -------------------------------------------------------------------------------- */

static void test_drain_has_a_limit(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=read_aio,file.inject-delay.0.ns=400000000");
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result result = { 0 };
    int64_t start = now();

    blk_preadv(blk, 0, &iov, 1, on_done, &result);
    g_assert_false(blk_drain(blk, 0));
    g_assert_false(blk_drain(blk, 30 * MS));
    g_assert_cmpint(result.calls, ==, 0);
    g_assert_true(blk_drain(blk, INT64_MAX));
    g_assert_cmpint(now() - start, >=, 400 * MS);
    g_assert_cmpint(result.calls, ==, 1);
    close_drive(blk);
}

/* ---- a device that goes ---------------------------------------------------------------------- */

/* The image is locked, and nobody gets the drive, until the last request has ended. */
static void test_drive_is_free_when_the_last_request_has_ended(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=write_aio,file.inject-delay.0.ns=300000000,"
                                  "file.inject-delay.0.cancellable=off,file.inject-delay.0.once=on");
    g_autofree char *path = test_path("slow.img");
    g_autofree char *again = g_strdup_printf("id=d1,if=none,format=raw,file=%s", path);
    uint8_t buf[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    g_autoptr(GError) err = NULL;
    Result result = { 0 };

    blk_pwritev(blk, 0, &iov, 1, 0, on_done, &result);
    blk_detach(blk);
    g_assert_null(blk_device(blk));
    g_assert_true(blk_find("d0") == blk);
    g_assert_false(blk_attach(blk, "disk1", true, &err));
    g_assert_nonnull(strstr(err->message, "requests of a removed device under way"));
    g_clear_error(&err);
    g_assert_null(try_drive(again, &err)); /* its lock for writing is still there */
    g_clear_error(&err);
    g_assert_cmpint(wait_result(&result), ==, 0);
    g_assert_true(blk_attach(blk, "disk1", true, &err));
    g_assert_no_error(err);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    close_drive(blk);
}

static void test_deleted_drive_is_closed_when_the_last_request_has_ended(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=write_aio,file.inject-delay.0.ns=300000000,"
                                  "file.inject-delay.0.cancellable=off");
    g_autofree char *path = test_path("slow.img");
    g_autofree char *same_name = make_image("other.img", 64 * KIB);
    g_autofree char *other = g_strdup_printf("id=d0,if=none,format=raw,file=%s", same_name);
    g_autofree char *again = g_strdup_printf("id=d1,if=none,format=raw,file=%s", path);
    uint8_t buf[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    g_autoptr(GError) err = NULL;
    Result results[3] = { 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        blk_pwritev(blk, 512 * i, &iov, 1, 0, on_done, &results[i]);
    }
    blk_detach(blk);
    g_assert_true(drive_del("d0", &err));
    g_assert_null(blk_find("d0"));
    g_assert_nonnull(try_drive(other, &err));
    g_assert_null(try_drive(again, &err));
    g_clear_error(&err);
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        g_assert_cmpint(wait_result(&results[i]), ==, 0);
    }
    g_assert_nonnull(try_drive(again, &err));
    g_assert_no_error(err);
    g_assert_null(block_cleanup());
}

static void test_node_is_free_when_the_last_request_has_ended(void)
{
    g_autofree char *path = make_image("slow.img", 64 * KIB);
    g_autofree char *file = g_strdup_printf("driver=file,node-name=f,filename=%s", path);
    const char *slow = "driver=blkdebug,node-name=n,image=f,inject-delay.0.event=read_aio,"
                       "inject-delay.0.ns=200000000,inject-delay.0.cancellable=off";
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    g_autoptr(GError) err = NULL;
    Result result = { 0 };
    BlockBackend *blk;

    g_assert_true(try_blockdev(file, NULL) && try_blockdev(slow, NULL));
    blk = blk_by_name("n", NULL);
    g_assert_true(blk_attach(blk, "disk0", true, NULL));
    blk_preadv(blk, 0, &iov, 1, on_done, &result);
    blk_detach(blk);
    g_assert_true(blk_by_name("n", NULL) == blk);
    g_assert_false(blk_attach(blk, "disk1", true, NULL));
    g_assert_false(blockdev_del("n", &err));
    g_assert_nonnull(strstr(err->message, "request that is under way"));
    g_clear_error(&err);
    g_assert_cmpint(wait_result(&result), ==, 0);
    blk = blk_by_name("n", NULL);
    g_assert_true(blk_attach(blk, "disk1", true, NULL));
    blk_detach(blk);
    g_assert_true(blockdev_del("n", &err));
    g_assert_true(blockdev_del("f", &err));
    g_assert_null(block_cleanup());
}

/* The end of the program in the middle of it. */
static void test_cleanup_waits_for_what_was_left(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=write_aio,file.inject-delay.0.ns=300000000,"
                                  "file.inject-delay.0.cancellable=off");
    uint8_t buf[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result result = { 0 };

    blk_pwritev(blk, 0, &iov, 1, 0, on_done, &result);
    blk_detach(blk);
    g_assert_null(block_cleanup());
    g_assert_cmpint(result.calls, ==, 1);
}

/* Storage that hangs; the second call finds what the first left as it was. */
static void test_cleanup_has_a_limit(void)
{
    BlockBackend *blk = open_slow("file.inject-delay.0.event=write_aio,file.inject-delay.0.ns=14000000000,"
                                  "file.inject-delay.0.cancellable=off");
    uint8_t buf[512] = { 0 };
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result result = { 0 };
    int64_t start = now();

    blk_pwritev(blk, 0, &iov, 1, 0, on_done, &result);
    g_assert_cmpstr(block_cleanup(), ==, "d0");
    g_assert_cmpint(now() - start, >=, BLOCK_CLEANUP_LIMIT_NS);
    g_assert_cmpint(now() - start, <, BLOCK_CLEANUP_LIMIT_NS + 3500 * MS);
    g_assert_cmpint(result.calls, ==, 0);
    g_assert_null(block_cleanup());
    g_assert_cmpint(result.calls, ==, 1);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-delay/only-what-a-rule-hits-is-slow", test_only_what_a_rule_hits_is_slow);
    g_test_add_func("/block-delay/each-ends-in-its-own-time", test_delays_end_in_their_own_order);
    g_test_add_func("/block-delay/states-and-once", test_states_and_once);
    g_test_add_func("/block-delay/slow-failure", test_slow_failure);
    g_test_add_func("/block-delay/cancel-ends-it", test_cancel_ends_a_delay);
    g_test_add_func("/block-delay/hung-request-is-not-cancelled", test_hung_request_is_not_cancelled);
    g_test_add_func("/block-delay/more-than-fit", test_more_than_fit);
    g_test_add_func("/block-delay/drain-has-a-limit", test_drain_has_a_limit);
    g_test_add_func("/block-delay/leaving/drive", test_drive_is_free_when_the_last_request_has_ended);
    g_test_add_func("/block-delay/leaving/deleted-drive", test_deleted_drive_is_closed_when_the_last_request_has_ended);
    g_test_add_func("/block-delay/leaving/node", test_node_is_free_when_the_last_request_has_ended);
    g_test_add_func("/block-delay/leaving/end-of-the-program", test_cleanup_waits_for_what_was_left);
    g_test_add_func("/block-delay/end-of-the-program-has-a-limit", test_cleanup_has_a_limit);
    return block_test_run();
}
