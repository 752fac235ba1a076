/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: requests, their limits and their ends.
 *
 * Runs in: the test program test-block.
 */
#include "tests/unit/block-test.h"
#include "util/iov.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* ---- data ------------------------------------------------------------------------------------ */

/* A list of random pieces of BUF, multiples of GRANULE, LEN bytes in all. */
static unsigned random_list(struct iovec *iov, unsigned max, uint8_t *buf, size_t len, size_t granule, GRand *rand)
{
    unsigned count = 0;

    while (len > 0) {
        size_t piece = count + 1 == max ? len : (size_t)g_rand_int_range(rand, 1, 9) * granule;

        piece = MIN(piece, len);
        iov[count++] = (struct iovec) { .iov_base = buf, .iov_len = piece };
        buf += piece;
        len -= piece;
    }
    return count;
}

/* One of many requests in flight. */
typedef struct Slot {
    Result result;
    bool is_write;
    uint64_t offset;
    size_t len;
    uint8_t *buf;
    uint8_t *base; /* what is to be freed */
} Slot;

#define SLOTS 96
#define AREA (64 * KIB) /* each slot has its own part of the image, so requests do not race */

static void start_slot(BlockBackend *blk, Slot *slot, unsigned index, uint8_t *model, GRand *rand, unsigned misalign)
{
    struct iovec iov[40];
    unsigned count;

    slot->result = (Result) { 0 };
    slot->is_write = g_rand_boolean(rand);
    slot->len = (size_t)g_rand_int_range(rand, 1, 65) * 512;
    slot->offset = (uint64_t)index * AREA + (uint64_t)g_rand_int_range(rand, 0, 64) * 512;
    slot->base = g_malloc(slot->len + misalign);
    slot->buf = slot->base + misalign;
    if (slot->is_write) {
        for (size_t i = 0; i < slot->len; i++) {
            slot->buf[i] = g_rand_int(rand);
        }
        memcpy(model + slot->offset, slot->buf, slot->len);
    } else {
        memset(slot->buf, 0xee, slot->len);
    }
    count = random_list(iov, G_N_ELEMENTS(iov), slot->buf, slot->len, misalign ? 7 : 512, rand);
    if (slot->is_write) {
        blk_pwritev(blk, slot->offset, iov, count, g_rand_int_range(rand, 0, 20) ? 0 : BLOCK_REQ_FUA, on_done,
                    &slot->result);
    } else {
        blk_preadv(blk, slot->offset, iov, count, on_done, &slot->result);
    }
}

static void end_slot(Slot *slot, const uint8_t *model)
{
    g_assert_cmpint(wait_result(&slot->result), ==, 0);
    if (!slot->is_write) {
        g_assert_cmpmem(slot->buf, slot->len, model + slot->offset, slot->len);
    }
    g_free(slot->base);
}

/* Random lists at random offsets, SLOTS at once, against a model in memory. */
static void round_trips(const char *options, unsigned misalign)
{
    g_autofree char *path = make_image("round-trips.img", SLOTS * AREA);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", path, options);
    g_autofree uint8_t *model = g_malloc(SLOTS * AREA);
    g_autofree uint8_t *all = g_malloc(SLOTS * AREA);
    g_autofree Slot *slots = g_new0(Slot, SLOTS);
    g_autofree char *contents = NULL;
    GRand *rand = g_rand_new_with_seed(4711);
    gsize length;

    g_assert_cmpint(blk_length(blk), ==, SLOTS * AREA);
    g_assert_cmpint(do_read(blk, 0, model, SLOTS * AREA), ==, 0);
    for (unsigned i = 0; i < SLOTS * AREA; i++) {
        g_assert_cmpint(model[i], ==, pattern_byte(i));
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        start_slot(blk, &slots[i], i, model, rand, misalign);
    }
    g_assert_cmpint(blk_in_flight(blk), ==, SLOTS);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < SLOTS; i++) {
            end_slot(&slots[i], model);
            start_slot(blk, &slots[i], i, model, rand, misalign);
        }
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        end_slot(&slots[i], model);
    }
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(do_read(blk, 0, all, SLOTS * AREA), ==, 0);
    g_assert_cmpmem(all, SLOTS * AREA, model, SLOTS * AREA);
    close_drive(blk);
    /* The file itself has it too. */
    g_assert_true(g_file_get_contents(path, &contents, &length, NULL));
    g_assert_cmpmem(contents, length, model, SLOTS * AREA);
    g_rand_free(rand);
}

static void test_round_trips_cached(void)
{
    round_trips("cache=writeback", 0);
}

static void test_round_trips_direct(void)
{
    if (have_direct()) {
        round_trips("cache=none", 0);
    }
}

static void test_round_trips_direct_misaligned(void)
{
    if (have_direct()) {
        round_trips("cache=directsync", 1);
    }
}

static void test_round_trips_unsafe(void)
{
    round_trips("cache=unsafe", 3);
}

static void test_window(void)
{
    g_autofree char *path = make_image("window.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,offset=4096,size=8192", path);
    uint8_t buf[512];

    g_assert_cmpint(blk_length(blk), ==, 8192);
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[17], ==, pattern_byte(4096 + 512 + 17));
    g_assert_cmpint(do_read(blk, 8192, buf, 512), ==, -EIO);
    g_assert_cmpint(do_write(blk, 7680, buf, 512, 0), ==, 0);
    close_drive(blk);
}

static void test_null_reads_zeroes(void)
{
    BlockBackend *blk = open_drive(true, "file=null-co://,format=raw");
    uint8_t buf[1024];

    memset(buf, 0xee, sizeof(buf));
    g_assert_cmpint(blk_length(blk), ==, 1024ull * MIB);
    g_assert_cmpint(do_read(blk, 512, buf, 1024), ==, 0);
    g_assert_true(is_zero(buf, 1024));
    g_assert_cmpint(do_write(blk, 0, buf, 1024, BLOCK_REQ_FUA), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    close_drive(blk);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_image_end(void)
{
    g_autofree char *path = make_image("end.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    static uint8_t buf[16384];
    static const struct {
        uint64_t offset;
        size_t len;
        int ret;
    } cases[] = {
        { 7680, 512, 0 },
        { 0, 8192, 0 },
        { 8192, 0, 0 }, /* nothing, at the very end */
        { 8192, 512, -EIO },
        { 7680, 1024, -EIO },
        { 0, 8704, -EIO },
        { UINT64_MAX - 511, 512, -EIO },
        { UINT64_MAX - 511, 8192, -EIO },
        { UINT64_MAX / 2 + 1, 512, -EIO },
        { 1, 512, -EINVAL },
        { 511, 1, -EINVAL },
        { 0, 100, -EINVAL },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(do_read(blk, cases[i].offset, buf, cases[i].len), ==, cases[i].ret);
        g_assert_cmpint(do_write(blk, cases[i].offset, buf, cases[i].len, 0), ==, cases[i].ret);
        g_assert_cmpint(do_discard(blk, cases[i].offset, cases[i].len), ==, cases[i].ret);
        g_assert_cmpint(do_zeroes(blk, cases[i].offset, cases[i].len, 0), ==, cases[i].ret);
    }
    g_assert_cmpint(do_discard(blk, 0, UINT64_MAX - 511), ==, -EIO);
    /* Its end would wrap to 0. */
    g_assert_cmpint(do_discard(blk, 512, UINT64_MAX - 511), ==, -EIO);
    g_assert_cmpint(do_zeroes(blk, 512, UINT64_MAX - 511, 0), ==, -EIO);
    close_drive(blk);
}

static void test_request_size(void)
{
    g_autofree char *path = test_path("big.img");
    g_autofree uint8_t *buf = g_malloc0(BLOCK_REQUEST_MAX + 512);
    BlockBackend *blk;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_assert_cmpint(truncate(path, 64 * MIB), ==, 0);
    blk = open_drive(true, "file=%s,format=raw", path);
    g_assert_cmpint(do_write(blk, 0, buf, BLOCK_REQUEST_MAX, 0), ==, 0);
    g_assert_cmpint(do_read(blk, 0, buf, BLOCK_REQUEST_MAX), ==, 0);
    g_assert_cmpint(do_write(blk, 0, buf, BLOCK_REQUEST_MAX + 512, 0), ==, -EINVAL);
    g_assert_cmpint(do_read(blk, 0, buf, BLOCK_REQUEST_MAX + 512), ==, -EINVAL);
    /* No such limit for what moves no data. */
    g_assert_cmpint(do_zeroes(blk, 0, 64 * MIB, 0), ==, 0);
    close_drive(blk);
}

static void test_list_length(void)
{
    g_autofree char *path = make_image("list.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    g_autofree uint8_t *buf = g_malloc0(MIB);
    g_autofree struct iovec *iov = g_new(struct iovec, BLOCK_IOV_MAX + 1);
    struct iovec huge[2] = { { buf, SIZE_MAX - 511 }, { buf, 1024 } };
    Result result = { 0 };

    for (unsigned i = 0; i <= BLOCK_IOV_MAX; i++) {
        iov[i] = (struct iovec) { .iov_base = buf + i * 512, .iov_len = 512 };
    }
    blk_preadv(blk, 0, iov, BLOCK_IOV_MAX, on_done, &result);
    g_assert_cmpint(wait_result(&result), ==, 0);
    for (unsigned i = 0; i < BLOCK_IOV_MAX * 512; i++) {
        g_assert_cmpint(buf[i], ==, pattern_byte(i));
    }
    result = (Result) { 0 };
    blk_preadv(blk, 0, iov, BLOCK_IOV_MAX + 1, on_done, &result);
    g_assert_cmpint(wait_result(&result), ==, -EINVAL);
    /* Lengths whose sum would wrap to 512. */
    result = (Result) { 0 };
    blk_pwritev(blk, 0, huge, 2, 0, on_done, &result);
    g_assert_cmpint(wait_result(&result), ==, -EINVAL);
    close_drive(blk);
    /* The kernel would have noticed that; this one would not. */
    blk = open_drive(true, "file=null-co://,format=raw");
    result = (Result) { 0 };
    blk_pwritev(blk, 0, huge, 2, 0, on_done, &result);
    g_assert_cmpint(wait_result(&result), ==, -EINVAL);
    close_drive(blk);
}

/* Lists may have empty pieces, and the array is the caller's again at once. */
static void test_odd_lists(void)
{
    g_autofree char *path = make_image("odd.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint8_t buf[1024];
    struct iovec iov[5] = {
        { NULL, 0 }, { buf, 1 }, { buf, 0 }, { buf + 1, 1022 }, { buf + 1023, 1 },
    };
    Result result = { 0 };

    blk_preadv(blk, 1024, iov, 5, on_done, &result);
    memset(iov, 0xff, sizeof(iov));
    g_assert_cmpint(wait_result(&result), ==, 0);
    for (unsigned i = 0; i < sizeof(buf); i++) {
        g_assert_cmpint(buf[i], ==, pattern_byte(1024 + i));
    }
    result = (Result) { 0 };
    blk_preadv(blk, 0, NULL, 0, on_done, &result);
    g_assert_cmpint(wait_result(&result), ==, 0);
    close_drive(blk);
}

static void test_more_than_in_flight_max(void)
{
    g_autofree char *path = make_image("queue.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    unsigned many = 5 * BLOCK_IN_FLIGHT_MAX + 7;
    g_autofree uint8_t *buf = g_malloc((size_t)many * 512);
    int calls = 0;

    for (unsigned i = 0; i < many; i++) {
        struct iovec iov = { .iov_base = buf + (size_t)i * 512, .iov_len = 512 };

        blk_preadv(blk, i % 2048 * 512, &iov, 1, on_count, &calls);
    }
    g_assert_cmpint(calls, ==, 0);
    g_assert_cmpint(blk_in_flight(blk), ==, many);
    wait_calls(&calls, many);
    g_assert_cmpint(blk_in_flight(blk), ==, 0);
    for (unsigned i = 0; i < many; i++) {
        g_assert_cmpint(buf[(size_t)i * 512 + 5], ==, pattern_byte(i % 2048 * 512 + 5));
    }
    close_drive(blk);
}

/* More drives than the ring has room for at once. */
static void test_more_than_the_ring_holds(void)
{
    unsigned drives = 6, each = BLOCK_IN_FLIGHT_MAX;
    BlockBackend *blk[6];
    static uint8_t buf[512];
    int calls = 0;

    for (unsigned d = 0; d < drives; d++) {
        g_autofree char *name = g_strdup_printf("ring%u.img", d);
        g_autofree char *path = make_image(name, MIB);
        g_autofree char *text = g_strdup_printf("id=r%u,if=none,format=raw,file=%s", d, path);

        blk[d] = try_drive(text, NULL);
        g_assert_true(blk_attach(blk[d], "disk", true, NULL));
        for (unsigned i = 0; i < each; i++) {
            struct iovec iov = { .iov_base = buf, .iov_len = 512 };

            /* Flushes stay in the kernel for a while. */
            if (i % 8) {
                blk_pwritev(blk[d], i * 512, &iov, 1, 0, on_count, &calls);
            } else {
                blk_flush(blk[d], on_count, &calls);
            }
        }
    }
    wait_calls(&calls, drives * each);
    for (unsigned d = 0; d < drives; d++) {
        blk_detach(blk[d]);
    }
    block_cleanup();
}

/* ---- cancellation and draining --------------------------------------------------------------- */

static void test_cancel_at_once(void)
{
    g_autofree char *path = make_image("cancel.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    Result result = { 0 };
    BlockRequest *req = blk_preadv(blk, 0, &iov, 1, on_done, &result);

    blk_cancel(req);
    blk_cancel(req);
    g_assert_cmpint(result.calls, ==, 0);
    g_assert_cmpint(wait_result(&result), ==, -ECANCELED);
    /* A request whose result is there keeps it. */
    result = (Result) { 0 };
    req = blk_preadv(blk, 3, &iov, 1, on_done, &result);
    blk_cancel(req);
    blk_drain(blk, INT64_MAX);
    g_assert_cmpint(result.calls, ==, 1);
    g_assert_cmpint(result.ret, ==, -EINVAL);
    close_drive(blk);
}

/* Requests in all places, cancelled in all orders, mixed with turns of the loop and drains: one callback each. */
static void test_cancel_everywhere(void)
{
    g_autofree char *path = make_image("cancel2.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    enum { COUNT = 3 * BLOCK_IN_FLIGHT_MAX };
    g_autofree Result *results = g_new(Result, COUNT);
    g_autofree BlockRequest **reqs = g_new(BlockRequest *, COUNT);
    g_autofree uint8_t *buf = g_malloc0(COUNT * 512);
    GRand *rand = g_rand_new_with_seed(99);

    for (unsigned round = 0; round < 12; round++) {
        unsigned cancelled = 0;

        for (unsigned i = 0; i < COUNT; i++) {
            struct iovec iov = { .iov_base = buf + i * 512, .iov_len = 512 };
            uint64_t offset = (uint64_t)g_rand_int_range(rand, 0, 2000) * 512;

            results[i] = (Result) { 0 };
            switch (g_rand_int_range(rand, 0, 5)) {
            case 0:
                reqs[i] = blk_preadv(blk, offset, &iov, 1, on_done, &results[i]);
                break;
            case 1:
                reqs[i] = blk_pwritev(blk, offset, &iov, 1, BLOCK_REQ_FUA, on_done, &results[i]);
                break;
            case 2:
                reqs[i] = blk_discard(blk, offset, 4096, on_done, &results[i]);
                break;
            case 3:
                reqs[i] = blk_write_zeroes(blk, offset, 4096, BLOCK_REQ_FUA, on_done, &results[i]);
                break;
            case 4:
                reqs[i] = blk_flush(blk, on_done, &results[i]);
                break;
            }
            if (g_rand_int_range(rand, 0, 100) == 0) {
                event_loop_turn(event_loop_main(), false);
            }
        }
        for (unsigned i = 0; i < COUNT; i++) {
            unsigned victim = g_rand_int_range(rand, 0, COUNT);

            if (!results[victim].calls) {
                blk_cancel(reqs[victim]);
            }
            if (round % 3 == 0 && g_rand_int_range(rand, 0, 20) == 0) {
                event_loop_turn(event_loop_main(), false);
            }
        }
        blk_drain(blk, INT64_MAX);
        for (unsigned i = 0; i < COUNT; i++) {
            g_assert_cmpint(results[i].calls, ==, 1);
            g_assert_true(results[i].ret == 0 || results[i].ret == -ECANCELED);
            cancelled += results[i].ret != 0;
        }
        g_assert_cmpint(cancelled, >, 0);
        g_assert_cmpint(blk_in_flight(blk), ==, 0);
    }
    /* Nothing is left over from cancellations. */
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_rand_free(rand);
    close_drive(blk);
}

/*
 * A callback that submits the next request, cancels another one, and drains a second backend, which delivers further
 * completions inside it.
 */
typedef struct Chain {
    BlockBackend *blk, *other;
    int left;
    int calls, victim_calls, other_calls;
    uint8_t buf[512];
} Chain;

static void on_any(void *opaque, int ret)
{
    g_assert_true(ret == 0 || ret == -ECANCELED);
    ++*(int *)opaque;
}

static void on_chain(void *opaque, int ret)
{
    Chain *chain = opaque;
    struct iovec iov = { .iov_base = chain->buf, .iov_len = 512 };
    BlockRequest *victim;

    g_assert_cmpint(ret, ==, 0);
    chain->calls++;
    if (!chain->left--) {
        return;
    }
    victim = blk_flush(chain->blk, on_any, &chain->victim_calls);
    blk_flush(chain->other, on_any, &chain->other_calls);
    blk_preadv(chain->blk, 0, &iov, 1, on_chain, chain);
    blk_cancel(victim);
    blk_drain(chain->other, INT64_MAX);
    g_assert_cmpint(blk_in_flight(chain->other), ==, 0);
}

static void test_work_in_callbacks(void)
{
    g_autofree char *path = make_image("chain.img", 8192);
    g_autofree char *other = make_image("chain2.img", 8192);
    g_autofree char *text = g_strdup_printf("id=d1,if=none,format=raw,file=%s", other);
    Chain chain = { .left = 49 };
    BlockRequest *first;
    struct iovec iov = { .iov_base = chain.buf, .iov_len = 512 };

    chain.blk = open_drive(true, "file=%s,format=raw", path);
    chain.other = try_drive(text, NULL);
    g_assert_true(blk_attach(chain.other, "disk1", true, NULL));
    first = blk_preadv(chain.blk, 0, &iov, 1, on_chain, &chain);
    g_assert_nonnull(first);
    wait_calls(&chain.calls, 50);
    blk_drain(chain.blk, INT64_MAX);
    g_assert_cmpint(chain.victim_calls, ==, 49);
    g_assert_cmpint(chain.other_calls, ==, 49);
    blk_detach(chain.other);
    close_drive(chain.blk);
}

/* What blk_drain() does not run: a device's reset must not be re-entered by its link. */
static void on_bh(void *opaque)
{
    ++*(int *)opaque;
}

static void test_drain_runs_no_other_handlers(void)
{
    g_autofree char *path = make_image("drain.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    int calls = 0, bh_calls = 0;
    EventBh *bh = event_bh_new(event_loop_main(), on_bh, &bh_calls);

    for (unsigned i = 0; i < 2000; i++) {
        blk_flush(blk, on_count, &calls);
    }
    event_bh_schedule(bh);
    blk_drain(blk, INT64_MAX);
    g_assert_cmpint(calls, ==, 2000);
    g_assert_cmpint(bh_calls, ==, 0);
    event_bh_free(bh);
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block/round-trips/cached", test_round_trips_cached);
    g_test_add_func("/block/round-trips/direct", test_round_trips_direct);
    g_test_add_func("/block/round-trips/direct-misaligned", test_round_trips_direct_misaligned);
    g_test_add_func("/block/round-trips/unsafe", test_round_trips_unsafe);
    g_test_add_func("/block/raw-shows-a-window", test_window);
    g_test_add_func("/block/null-reads-zeroes", test_null_reads_zeroes);
    g_test_add_func("/block/refuses-beyond-image-end", test_image_end);
    g_test_add_func("/block/refuses-overlong-requests", test_request_size);
    g_test_add_func("/block/refuses-overlong-lists", test_list_length);
    g_test_add_func("/block/copies-lists", test_odd_lists);
    g_test_add_func("/block/queues-beyond-in-flight-max", test_more_than_in_flight_max);
    g_test_add_func("/block/queues-beyond-the-ring", test_more_than_the_ring_holds);
    g_test_add_func("/block/cancel/before-submission", test_cancel_at_once);
    g_test_add_func("/block/cancel/everywhere-once", test_cancel_everywhere);
    g_test_add_func("/block/callbacks-may-submit-cancel-drain", test_work_in_callbacks);
    g_test_add_func("/block/drain-runs-no-other-handlers", test_drain_runs_no_other_handlers);
    return block_test_run();
}
