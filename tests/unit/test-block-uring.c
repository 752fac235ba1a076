/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the block layer: what it makes of a kernel that does less than it was asked for.
 *
 * Runs in: the test program test-block-uring, linked with --wrap for the functions below.
 */
#include <liburing.h>
#include <sys/eventfd.h>
#include "tests/unit/block-test.h"

#define KIB 1024u
#define MIB (1024u * KIB)

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params);
int __real_fcntl64(int fd, int cmd, ...);
int __wrap_fcntl64(int fd, int cmd, ...);

/* How the kernel shall behave. */
static struct {
    int init_error;        /* io_uring_setup fails with this ... */
    int init_failures;     /* ... so many times */
    unsigned inits;        /* calls so far */
    int submit_error;      /* io_uring_enter fails with this ... */
    int submit_failures;   /* ... so many times */
    unsigned submits;      /* calls that went through */
    unsigned entries;      /* entries in them */
    unsigned shorten;      /* reads and writes of one buffer are cut to this many bytes */
    int again;             /* so many entries give -EAGAIN instead of being executed */
    int fail_fsync;        /* so many fsyncs fail (EINVAL) */
    bool no_fallocate;     /* the file system can neither punch holes nor zero ranges (ENODEV) */
    unsigned fallocates;   /* how often it was asked to */
    int lock_error;        /* locks of files fail with this; 0: they work */
    BlockRequest *cancel;  /* is cancelled when the kernel has its entry, before the result is seen */
} kernel;

/* A descriptor whose read is -EAGAIN. */
static int dry_fd(void)
{
    static int fd = -1;

    if (fd < 0) {
        fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    return fd;
}

static bool is_transfer(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_WRITE;
}

static void spoil(struct io_uring_sqe *sqe)
{
    static uint64_t number;

    if (is_transfer(sqe) && kernel.again > 0) {
        kernel.again--;
        io_uring_prep_rw(IORING_OP_READ, sqe, dry_fd(), &number, sizeof(number), 0);
        sqe->rw_flags = RWF_NOWAIT;
    } else if (is_transfer(sqe) && kernel.shorten && sqe->len > kernel.shorten) {
        sqe->len = kernel.shorten;
    } else if (sqe->opcode == IORING_OP_FSYNC && kernel.fail_fsync > 0) {
        kernel.fail_fsync--;
        sqe->fd = dry_fd();
    } else if (sqe->opcode == IORING_OP_FALLOCATE && kernel.no_fallocate) {
        kernel.fallocates++;
        sqe->fd = dry_fd();
    }
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    int ret;

    if (kernel.submit_failures > 0) {
        kernel.submit_failures--;
        return kernel.submit_error;
    }
    for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
        uint64_t data = sqe->user_data;

        spoil(sqe);
        sqe->user_data = data;
    }
    ret = __real_io_uring_submit(ring);
    kernel.submits++;
    kernel.entries += ret;
    if (kernel.cancel) {
        blk_cancel(kernel.cancel);
        kernel.cancel = NULL;
    }
    return ret;
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring, struct io_uring_params *params)
{
    kernel.inits++;
    if (kernel.init_failures > 0) {
        kernel.init_failures--;
        return kernel.init_error;
    }
    return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_fcntl64(int fd, int cmd, ...)
{
    va_list args;
    void *arg;

    va_start(args, cmd);
    arg = va_arg(args, void *);
    va_end(args);
    if (kernel.lock_error && (cmd == F_OFD_SETLK || cmd == F_OFD_GETLK)) {
        errno = kernel.lock_error;
        return -1;
    }
    return __real_fcntl64(fd, cmd, arg);
}

static void reset(void)
{
    memset(&kernel, 0, sizeof(kernel));
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void test_no_io_uring(void)
{
    static const struct {
        int error;
        const char *word;
    } cases[] = {
        { ENOSYS, "CONFIG_IO_URING" },
        { EPERM, "kernel.io_uring_disabled" },
        { ENOMEM, "ulimit -l" },
        { EMFILE, "ulimit -n" },
        { EFAULT, "Bad address" },
    };
    g_autofree char *path = make_image("none.img", 8192);
    g_autofree char *text = g_strdup_printf("id=d,format=raw,file=%s", path);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        reset();
        kernel.init_error = -cases[i].error;
        kernel.init_failures = 10;
        g_assert_null(try_drive(text, &err));
        g_assert_nonnull(strstr(err->message, "io_uring is not available"));
        g_assert_nonnull(strstr(err->message, cases[i].word));
        g_assert_cmpint(kernel.inits, ==, 1);
    }
    /* What needs no ring works without. */
    g_assert_nonnull(try_drive("id=n,driver=null-co", NULL));
    block_cleanup();
}

/* A kernel that does not know the best flags. */
static void test_older_kernel(void)
{
    g_autofree char *path = make_image("older.img", 8192);
    BlockBackend *blk;
    uint8_t buf[512];

    reset();
    kernel.init_error = -EINVAL;
    kernel.init_failures = 1;
    blk = open_drive(true, "file=%s,format=raw", path);
    g_assert_cmpint(kernel.inits, ==, 2);
    g_assert_cmpint(do_write(blk, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(do_flush(blk), ==, 0);
    close_drive(blk);
}

/* ---- submission ------------------------------------------------------------------------------ */

static void test_one_call_a_turn(void)
{
    g_autofree char *path = make_image("batch.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    static uint8_t buf[64 * 512];
    int calls = 0;

    reset();
    for (unsigned i = 0; i < 64; i++) {
        struct iovec iov = { .iov_base = buf + i * 512, .iov_len = 512 };

        blk_preadv(blk, i * 512, &iov, 1, on_count, &calls);
    }
    wait_calls(&calls, 64);
    g_assert_cmpint(kernel.submits, ==, 1);
    g_assert_cmpint(kernel.entries, ==, 64);
    close_drive(blk);
}

static void busy_kernel(int error, int failures)
{
    g_autofree char *path = make_image("busy.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    static uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };
    int calls = 0;

    for (unsigned drain = 0; drain < 2; drain++) {
        reset();
        calls = 0;
        kernel.submit_error = error;
        kernel.submit_failures = failures;
        /* More than the submission queue holds. */
        for (unsigned i = 0; i < 600; i++) {
            blk_preadv(blk, i * 512, &iov, 1, on_count, &calls);
        }
        if (drain) {
            blk_drain(blk, INT64_MAX);
            g_assert_cmpint(calls, ==, 600);
        } else {
            wait_calls(&calls, 600);
        }
        g_assert_cmpint(kernel.submit_failures, ==, 0);
        g_assert_cmpint(kernel.entries, ==, 600);
    }
    close_drive(blk);
}

static void test_busy_kernel(void)
{
    busy_kernel(-EAGAIN, 5);
    busy_kernel(-EBUSY, 5);
    busy_kernel(-EINTR, 20);
}

/* A filter that forbids io_uring_enter: errors, no hang, and no later surprise. */
static void test_forbidden_submission(void)
{
    g_autofree char *path = make_image("forbidden.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    Result results[400] = { 0 };
    uint8_t buf[512];
    struct iovec iov = { .iov_base = buf, .iov_len = 512 };

    reset();
    kernel.submit_error = -EPERM;
    kernel.submit_failures = 1;
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        blk_preadv(blk, i * 512, &iov, 1, on_done, &results[i]);
    }
    blk_drain(blk, INT64_MAX);
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        g_assert_cmpint(results[i].calls, ==, 1);
        g_assert_cmpint(results[i].ret, ==, -EIO);
    }
    g_assert_cmpint(do_flush(blk), ==, -EIO);
    g_assert_cmpint(kernel.submits, ==, 0);
    close_drive(blk);
    /* A new ring is a new chance. */
    blk = open_drive(true, "file=%s,format=raw", path);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    close_drive(blk);
}

/* ---- completion ------------------------------------------------------------------------------ */

static void short_transfers(const char *options, unsigned piece)
{
    g_autofree char *path = make_image("short.img", 64 * KIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,%s", path, options);
    void *memory = NULL;
    uint8_t *buf;

    g_assert_cmpint(posix_memalign(&memory, 4096, 64 * KIB), ==, 0);
    buf = memory;
    reset();
    kernel.shorten = piece;
    memset(buf, 0, 64 * KIB);
    g_assert_cmpint(do_read(blk, 0, buf, 64 * KIB), ==, 0);
    g_assert_cmpint(kernel.entries, >=, 64 * KIB / piece);
    for (unsigned i = 0; i < 64 * KIB; i++) {
        g_assert_cmpint(buf[i], ==, pattern_byte(i));
        buf[i] = ~pattern_byte(i);
    }
    g_assert_cmpint(do_write(blk, 0, buf, 64 * KIB, BLOCK_REQ_FUA), ==, 0);
    memset(buf, 0, 64 * KIB);
    g_assert_cmpint(do_read(blk, 0, buf, 64 * KIB), ==, 0);
    for (unsigned i = 0; i < 64 * KIB; i++) {
        g_assert_cmpint(buf[i], ==, (uint8_t)~pattern_byte(i));
    }
    g_assert_cmpint(do_zeroes(blk, 512, 32 * KIB, 0), ==, 0);
    free(memory);
    close_drive(blk);
}

static void test_short_transfers(void)
{
    short_transfers("cache=writeback", 700);
    if (have_direct()) {
        short_transfers("cache=none", 4096);
    }
}

/* A cancellation that the kernel was faster than still ends the request: no other piece follows. */
static void test_cancel_between_pieces(void)
{
    g_autofree char *path = make_image("pieces.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    g_autofree uint8_t *buf = g_malloc0(MIB);
    struct iovec iov = { buf, MIB };
    Result result = { 0 };

    reset();
    kernel.shorten = 4096;
    kernel.cancel = blk_preadv(blk, 0, &iov, 1, on_done, &result);
    blk_drain(blk, INT64_MAX);
    g_assert_cmpint(result.calls, ==, 1);
    g_assert_cmpint(result.ret, ==, -ECANCELED);
    g_assert_cmpuint(kernel.entries, <=, 2); /* the piece, and the cancellation */
    close_drive(blk);
}

static void test_interrupted_requests(void)
{
    g_autofree char *path = make_image("again.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint8_t buf[512];

    reset();
    kernel.again = 50;
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    g_assert_cmpint(buf[1], ==, pattern_byte(513));
    g_assert_cmpint(kernel.again, ==, 0);
    /* Not for ever. */
    kernel.again = 100000;
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, -EIO);
    g_assert_cmpint(kernel.again, >, 0);
    kernel.again = 0;
    g_assert_cmpint(do_read(blk, 512, buf, 512), ==, 0);
    close_drive(blk);
}

/* Linux forgets dirty pages that it could not write; we do not. */
static void test_failed_flush_is_final(void)
{
    g_autofree char *path = make_image("flush.img", 8192);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw", path);
    uint8_t buf[512];

    reset();
    g_assert_cmpint(do_flush(blk), ==, 0);
    kernel.fail_fsync = 1;
    g_assert_cmpint(do_flush(blk), ==, -EINVAL);
    g_assert_cmpint(do_flush(blk), ==, -EINVAL);
    g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
    close_drive(blk);
    /* cache=unsafe never asks. */
    blk = open_drive(true, "file=%s,format=raw,cache=unsafe", path);
    kernel.fail_fsync = 1;
    g_assert_cmpint(do_flush(blk), ==, 0);
    g_assert_cmpint(kernel.fail_fsync, ==, 1);
    close_drive(blk);
    if (!have_direct()) {
        return;
    }
    /* Past the page cache nothing is forgotten. */
    blk = open_drive(true, "file=%s,format=raw,cache=none", path);
    kernel.fail_fsync = 1;
    g_assert_cmpint(do_flush(blk), ==, -EINVAL);
    g_assert_cmpint(do_flush(blk), ==, 0);
    close_drive(blk);
}

/* ---- file systems that cannot do everything ---------------------------------------------------- */

/* NFS without a lock daemon, FUSE: the image is used without locks, unless they were asked for. */
static void test_file_system_without_locks(void)
{
    g_autofree char *path = make_image("locks.img", 8192);
    static const int errors[] = { ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS };
    static const struct {
        const char *locking;
        int error;
    } refused[] = { { "on", ENOLCK }, { "on", ENOSYS }, { "auto", EIO } };
    uint8_t buf[512];

    reset();
    for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
        BlockBackend *blk;

        kernel.lock_error = errors[i];
        blk = open_drive(true, "file=%s,format=raw", path);
        g_assert_cmpint(do_read(blk, 0, buf, 512), ==, 0);
        close_drive(blk);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *text = g_strdup_printf("id=d0,if=none,file=%s,format=raw,file.locking=%s", path,
                                                refused[i].locking);
        g_autoptr(GError) err = NULL;
        BlockBackend *blk;

        kernel.lock_error = refused[i].error;
        blk = try_drive(text, &err);
        g_assert_false(blk && blk_attach(blk, "disk0", true, &err));
        g_assert_nonnull(strstr(err->message, "cannot be locked; give locking=off"));
        g_assert_nonnull(strstr(err->message, g_strerror(refused[i].error)));
        kernel.lock_error = 0;
        block_cleanup();
    }
}

/* Discards are hints, so they succeed; zeroes are written.  Neither is asked for twice. */
static void test_file_system_without_holes(void)
{
    g_autofree char *path = make_image("holes.img", MIB);
    BlockBackend *blk = open_drive(true, "file=%s,format=raw,discard=unmap", path);
    g_autofree uint8_t *buf = g_malloc(64 * KIB);
    unsigned asked;

    reset();
    kernel.no_fallocate = true;
    g_assert_cmpint(do_discard(blk, 0, 64 * KIB), ==, 0);
    g_assert_cmpint(do_zeroes(blk, 128 * KIB, 64 * KIB, 0), ==, 0);
    asked = kernel.fallocates;
    g_assert_cmpint(asked, >, 0);
    g_assert_cmpint(do_discard(blk, 0, 64 * KIB), ==, 0);
    g_assert_cmpint(do_zeroes(blk, 256 * KIB, 64 * KIB, 0), ==, 0);
    g_assert_cmpint(kernel.fallocates, ==, asked);
    for (unsigned at = 128; at <= 256; at += 128) {
        g_assert_cmpint(do_read(blk, at * KIB, buf, 64 * KIB), ==, 0);
        g_assert_true(is_zero(buf, 64 * KIB));
    }
    g_assert_cmpint(do_read(blk, 0, buf, 64 * KIB), ==, 0);
    g_assert_cmpint(buf[513], ==, pattern_byte(513));
    close_drive(blk);
}

/* ---- memory for what direct I/O cannot take as it is ------------------------------------------- */

#define BIG (15 * MIB)
#define BIG_THAT_FIT 4 /* into the memory that there is for all at once */

static uint8_t *make_pattern(size_t len)
{
    uint8_t *pattern = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        pattern[i] = pattern_byte(i);
    }
    return pattern;
}

static void wait_submission(void)
{
    while (kernel.submits == 0) {
        event_loop_turn(event_loop_main(), true);
    }
}

/* The memory is bounded: what does not fit waits for what came before, and is done all the same. */
static void test_bounce_memory_is_waited_for(void)
{
    g_autofree char *path = make_image("memory.img", 16 * MIB);
    g_autofree uint8_t *data = g_malloc(BIG_THAT_FIT * BIG + 4096);
    g_autofree uint8_t *more = g_malloc(2 * BIG + 4096);
    g_autofree uint8_t *pattern = make_pattern(BIG);
    BlockBackend *blk;
    Result results[BIG_THAT_FIT + 2] = { 0 };

    if (!have_direct()) {
        return;
    }
    blk = open_drive(true, "file=%s,format=raw,cache=none", path);
    reset();
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        /* An odd address, so that none is taken as it is. */
        uint8_t *place = i < BIG_THAT_FIT ? data + i * BIG + 1 : more + (i - BIG_THAT_FIT) * BIG + 1;
        struct iovec iov = { .iov_base = place, .iov_len = BIG };

        if (i == BIG_THAT_FIT) {
            memcpy(place, pattern, BIG);
            blk_pwritev(blk, 0, &iov, 1, 0, on_done, &results[i]);
        } else {
            blk_preadv(blk, 0, &iov, 1, on_done, &results[i]);
        }
    }
    wait_submission();
    g_assert_cmpint(kernel.entries, ==, BIG_THAT_FIT);
    for (unsigned i = 0; i < G_N_ELEMENTS(results); i++) {
        g_assert_cmpint(wait_result(&results[i]), ==, 0);
    }
    g_assert_true(memcmp(data + (BIG_THAT_FIT - 1) * BIG + 1, pattern, BIG) == 0);
    g_assert_true(memcmp(more + BIG + 1, pattern, BIG) == 0);
    close_drive(blk);
}

/* A request that is given up while it waits for memory does not hold back those behind it that would fit. */
static void test_cancelled_memory_waiter_lets_others_pass(void)
{
    g_autofree char *path = make_image("waiter.img", 16 * MIB);
    g_autofree uint8_t *data = g_malloc(BIG + 4096);
    g_autofree uint8_t *pattern = make_pattern(512);
    uint8_t small[512 + 1];
    struct iovec iov = { .iov_base = data + 1, .iov_len = BIG };
    struct iovec small_iov = { .iov_base = small + 1, .iov_len = 512 };
    Result small_result = { 0 }, given_up = { 0 };
    BlockRequest *waiter;
    BlockBackend *blk;
    int calls = 0;

    if (!have_direct()) {
        return;
    }
    blk = open_drive(true, "file=%s,format=raw,cache=none", path);
    reset();
    for (unsigned i = 0; i < BIG_THAT_FIT; i++) {
        blk_preadv(blk, 0, &iov, 1, on_count, &calls);
    }
    waiter = blk_preadv(blk, 0, &iov, 1, on_done, &given_up);
    blk_preadv(blk, 0, &small_iov, 1, on_done, &small_result);
    blk_cancel(waiter);
    wait_submission();
    g_assert_cmpint(kernel.entries, ==, BIG_THAT_FIT + 1);
    g_assert_cmpint(wait_result(&small_result), ==, 0);
    g_assert_cmpint(wait_result(&given_up), ==, -ECANCELED);
    g_assert_true(memcmp(small + 1, pattern, 512) == 0);
    wait_calls(&calls, BIG_THAT_FIT);
    close_drive(blk);
}

int main(int argc, char **argv)
{
    block_test_init(&argc, &argv);
    g_test_add_func("/block-uring/absent-is-told", test_no_io_uring);
    g_test_add_func("/block-uring/older-kernel", test_older_kernel);
    g_test_add_func("/block-uring/one-call-a-turn", test_one_call_a_turn);
    g_test_add_func("/block-uring/busy-kernel", test_busy_kernel);
    g_test_add_func("/block-uring/forbidden-submission", test_forbidden_submission);
    g_test_add_func("/block-uring/short-transfers", test_short_transfers);
    g_test_add_func("/block-uring/cancel-between-pieces", test_cancel_between_pieces);
    g_test_add_func("/block-uring/interrupted-requests", test_interrupted_requests);
    g_test_add_func("/block-uring/failed-flush-is-final", test_failed_flush_is_final);
    g_test_add_func("/block-uring/file-system-without-locks", test_file_system_without_locks);
    g_test_add_func("/block-uring/file-system-without-holes", test_file_system_without_holes);
    g_test_add_func("/block-uring/bounce-memory-is-waited-for", test_bounce_memory_is_waited_for);
    g_test_add_func("/block-uring/cancelled-memory-waiter-lets-others-pass",
                    test_cancelled_memory_waiter_lets_others_pass);
    return block_test_run();
}
