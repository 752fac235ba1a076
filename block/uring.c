/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's io_uring: set-up, submission in batches, completion, cancellation.
 *
 * Runs in: both.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include "block/block-int.h"
#include "block/uring.h"
#include "trace/block.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/uring-restrict.h"

#define SQ_ENTRIES 256u  /* one batch; 16 KiB */
#define CQ_ENTRIES 2048u /* most operations in the kernel at once; 32 KiB */

/* user_data of a cancellation, whose own result tells nothing; no UringOp has an odd address. */
#define CANCEL_DATA 1u

/*
 * Kernel threads for what cannot be done without blocking (fdatasync, fallocate, writes through the page cache).  The
 * default grows with the machine's processors, and a guest decides how many are used.
 */
#define WORKERS_MAX 32u

/* How long to wait when the kernel had no memory for a submission and nothing in flight will wake us. */
#define RETRY_NS (1000 * 1000)

/* The longest sleep of uring_wait(), which is called in a loop; below a second. */
#define WAIT_MAX_NS (500 * 1000 * 1000)

static struct {
    bool ready;            /* ring, source and timer exist */
    struct io_uring ring;
    EventSource *source;   /* of the ring's descriptor: completions */
    EventTimer *retry;     /* armed while prepared entries could not be submitted */
    int broken;            /* the kernel refuses submissions for good with this -errno, or 0 */
    UringOp *wait_head, **wait_tail;
    UringOp *cancels;      /* operations to be cancelled */
    /* What the entries in the submission queue that the kernel has not taken belong to; NULL: a cancellation. */
    UringOp *prepared[SQ_ENTRIES];
    unsigned prepared_first, prepared_count;
    unsigned in_kernel;    /* completions to come, those of `prepared` included */
} uring;

const SyscallTable block_syscalls = {
    "block", (const SyscallRule[]) {
        SYSCALL(io_uring_enter, "reads, writes, flushes and discards of images"),
        SYSCALL(preadv2, "the start of an image that is opened: its format, what direct I/O needs"),
        SYSCALL(ftruncate, "an image that is resized"),
        SYSCALL(ioctl, "size of a block device", ARG_IS(1, BLKGETSIZE64)),
        SYSCALL(ioctl, "sector size of a block device", ARG_IS(1, BLKSSZGET)),
        SYSCALL(fcntl, "locks of images that other programs respect", ARG_IS(1, F_OFD_SETLK)),
        SYSCALL(fcntl, "who holds such a lock", ARG_IS(1, F_OFD_GETLK)),
        SYSCALL_REFUSED(statx, ENOSYS, "what direct I/O needs: a read tells it, too"),
        SYSCALL_END,
    },
};

/* ---- life ------------------------------------------------------------------------------------ */

/*
 * The best flags come first; older kernels refuse with EINVAL what they do not know.  COOP_TASKRUN (Linux 5.19): we are
 * not interrupted for a completion, it is worked on when we enter the kernel or sleep in it.  Not DEFER_TASKRUN: with
 * it a completion need not wake an epoll_wait() on the ring (seen on Linux 6.18), and an eventfd costs two more
 * system calls each time.
 */
static const unsigned setup_flags[] = { IORING_SETUP_COOP_TASKRUN, 0 };

/* There is no fall-back to threads: what the sandbox must allow would depend on the machine. */
static void explain_no_ring(int err, GError **errp)
{
    static const struct {
        int err;
        const char *remedy;
    } remedies[] = {
        { ENOSYS, "run a kernel with CONFIG_IO_URING, or allow the system call in the container's seccomp profile" },
        { EPERM, "set the sysctl kernel.io_uring_disabled to 0, or allow io_uring in the container's "
                 "seccomp profile" },
        { ENOMEM, "raise the limit of locked memory (ulimit -l)" },
        { EMFILE, "raise the limit of open descriptors (ulimit -n)" },
    };
    const char *remedy = "disk images need it";

    for (unsigned i = 0; i < G_N_ELEMENTS(remedies); i++) {
        if (remedies[i].err == err) {
            remedy = remedies[i].remedy;
        }
    }
    error_setg(errp, "io_uring is not available: %s; %s", errno_text(err), remedy);
}

/* The ring's descriptor is readable while there are completions; reaping them makes it quiet again. */
static void ring_ready(int fd, unsigned ready, void *opaque)
{
    block_poll();
}

/* The kernel had no memory a moment ago. */
static void retry_due(void *opaque)
{
    block_poll();
}

/* Not even a process that was taken over opens a file or makes a socket by this ring. */
static int restrict_ring(struct io_uring *ring)
{
    static const uint8_t operations[] = {
        IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FALLOCATE,
        IORING_OP_ASYNC_CANCEL,
    };

    return uring_restrict(ring, operations, G_N_ELEMENTS(operations), NULL, 0);
}

/* Why block_init_io() failed: told to who wants a disk later, when making a ring may not be allowed any more. */
static GError *init_failure;

bool uring_init(GError **errp)
{
    unsigned workers[2] = { WORKERS_MAX, WORKERS_MAX }; /* for files, for all else */
    int ret = -EINVAL;

    if (uring.ready) {
        return true;
    }
    if (init_failure) {
        g_propagate_error(errp, g_error_copy(init_failure));
        return false;
    }
    memset(&uring, 0, sizeof(uring));
    uring.wait_tail = &uring.wait_head;
    for (unsigned i = 0; i < G_N_ELEMENTS(setup_flags) && ret == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = setup_flags[i] | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
            .cq_entries = CQ_ENTRIES,
        };

        ret = io_uring_queue_init_params(SQ_ENTRIES, &uring.ring, &params);
    }
    if (ret < 0) {
        explain_no_ring(-ret, errp);
        return false;
    }
    /* A kernel before 5.15 keeps its default. */
    io_uring_register_iowq_max_workers(&uring.ring, workers);
    ret = restrict_ring(&uring.ring);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "io_uring cannot be restricted to disk operations; run Linux 5.10 or newer");
        io_uring_queue_exit(&uring.ring);
        return false;
    }
    uring.source = event_loop_add_fd(event_loop_main(), uring.ring.ring_fd, EVENT_READ, ring_ready, NULL);
    if (!uring.source) {
        error_setg_errno(errp, errno, "io_uring: the event loop cannot watch it; raise "
                         "/proc/sys/fs/epoll/max_user_watches");
        io_uring_queue_exit(&uring.ring);
        return false;
    }
    uring.retry = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, retry_due, NULL);
    uring.ready = true;
    trace_block_uring_init(uring.ring.flags);
    return true;
}

bool block_init_io(GError **errp)
{
    if (!init_failure && !uring_init(&init_failure)) {
        g_propagate_error(errp, g_error_copy(init_failure));
    }
    return !init_failure;
}

void uring_cleanup(void)
{
    if (uring.ready) {
        event_source_remove(uring.source);
        event_timer_free(uring.retry);
        io_uring_queue_exit(&uring.ring);
        uring.ready = false;
    }
}

/* ---- submission ------------------------------------------------------------------------------ */

void uring_submit(UringOp *op)
{
    op->state = URING_WAITING;
    op->cancel = false;
    op->next = NULL;
    *uring.wait_tail = op;
    uring.wait_tail = &op->next;
    block_schedule_poll();
}

static UringOp *pop_waiting(void)
{
    UringOp *op = uring.wait_head;

    uring.wait_head = op->next;
    if (!uring.wait_head) {
        uring.wait_tail = &uring.wait_head;
    }
    return op;
}

static void unlink_waiting(UringOp *op)
{
    UringOp **link = &uring.wait_head;

    while (*link != op) {
        link = &(*link)->next;
    }
    *link = op->next;
    if (!*link) {
        uring.wait_tail = link;
    }
}

static void unlink_cancel(UringOp *op)
{
    UringOp **link = &uring.cancels;

    while (*link != op) {
        link = &(*link)->next_cancel;
    }
    *link = op->next_cancel;
    op->cancel = false;
}

/* The one place that calls done().  OP may be freed or submitted again in there. */
static void finish(UringOp *op, int res)
{
    if (op->cancel) {
        unlink_cancel(op);
    }
    op->state = URING_IDLE;
    op->done(op, res);
}

/* The cancellation itself is submitted with the next batch: OP may still be in front of it in the same queue. */
void uring_cancel(UringOp *op)
{
    switch (op->state) {
    case URING_IDLE:
        break;
    case URING_WAITING:
        unlink_waiting(op);
        finish(op, -ECANCELED);
        break;
    case URING_SUBMITTED:
        if (!op->cancel) {
            op->cancel = true;
            op->next_cancel = uring.cancels;
            uring.cancels = op;
            block_schedule_poll();
        }
        break;
    }
}

static bool has_room(void)
{
    return uring.in_kernel < CQ_ENTRIES && uring.prepared_count < SQ_ENTRIES;
}

/* A free submission entry, accounted for OP (NULL: a cancellation); NULL when a queue is full. */
static struct io_uring_sqe *take_sqe(UringOp *op)
{
    struct io_uring_sqe *sqe;

    sqe = has_room() ? io_uring_get_sqe(&uring.ring) : NULL;
    if (sqe) {
        uring.prepared[(uring.prepared_first + uring.prepared_count) % SQ_ENTRIES] = op;
        uring.prepared_count++;
        uring.in_kernel++;
    }
    return sqe;
}

/* Moves operations and cancellations to the submission queue as far as there is room. */
static void prepare(void)
{
    struct io_uring_sqe *sqe;

    while (uring.wait_head && (sqe = take_sqe(uring.wait_head))) {
        UringOp *op = pop_waiting();

        op->prep(op, sqe);
        io_uring_sqe_set_data(sqe, op);
        op->state = URING_SUBMITTED;
    }
    /* After the operations: a cancellation finds its target in the kernel by then. */
    while (uring.cancels && (sqe = take_sqe(NULL))) {
        UringOp *op = uring.cancels;

        unlink_cancel(op);
        io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
        io_uring_sqe_set_data64(sqe, CANCEL_DATA);
    }
}

/*
 * The kernel will not take entries any more (a seccomp filter, for instance).  What it has not taken ends with an
 * error; the queue keeps dead entries, so nothing is ever submitted again.
 */
static void give_up(int err)
{
    uring.broken = err;
    trace_block_uring_broken(err);
    while (uring.prepared_count) {
        UringOp *op = uring.prepared[uring.prepared_first];

        uring.prepared_first = (uring.prepared_first + 1) % SQ_ENTRIES;
        uring.prepared_count--;
        uring.in_kernel--;
        if (op) {
            finish(op, -EIO);
        }
    }
}

/* One system call: gives the kernel what is prepared. */
static void enter(void)
{
    int ret = io_uring_submit(&uring.ring);

    if (ret > 0) {
        uring.prepared_first = (uring.prepared_first + ret) % SQ_ENTRIES;
        uring.prepared_count -= ret;
    }
    switch (ret) {
    case -EINTR:
        block_schedule_poll();
        break;
    case -EAGAIN: /* no memory for requests */
    case -EBUSY:  /* completions to be reaped first; we do that next */
        event_timer_arm(uring.retry, event_clock_ns(EVENT_CLOCK_REAL) + RETRY_NS);
        break;
    default:
        if (ret < 0) {
            give_up(ret);
        } else if (uring.prepared_count) {
            /* It stopped at an entry that it found wrong; that one has its completion. */
            block_schedule_poll();
        }
    }
}

/* ---- completion ------------------------------------------------------------------------------ */

static void reap(void)
{
    struct io_uring_cqe *cqe;

    /* Only what is there already, not what done() may add: a turn of the loop is bounded. */
    for (unsigned budget = io_uring_cq_ready(&uring.ring); budget > 0; budget--) {
        uint64_t data;
        int res;

        if (io_uring_peek_cqe(&uring.ring, &cqe) < 0) {
            break;
        }
        data = cqe->user_data;
        res = cqe->res;
        io_uring_cqe_seen(&uring.ring, cqe);
        uring.in_kernel--;
        if (data != CANCEL_DATA) {
            finish((UringOp *)(uintptr_t)data, res);
        }
    }
}

/*
 * Called once a turn at most (block_poll()), and in a loop by blk_drain().  Order matters: what is prepared is
 * submitted before reaping, so reads from the page cache, complete at once, are delivered in this call.
 */
void uring_process(void)
{
    if (!uring.ready) {
        return;
    }
    if (!uring.broken) {
        prepare();
    }
    if (uring.prepared_count && !uring.broken) {
        enter();
    }
    reap();
    if (uring.broken) {
        while (uring.wait_head) {
            finish(pop_waiting(), -EIO);
        }
    } else if ((uring.wait_head || uring.cancels) && has_room()) {
        /* Reaped completions made room, or done() submitted.  Without room the next completion brings us here. */
        block_schedule_poll();
    }
}

void uring_wait(int64_t deadline_ns)
{
    /* When entries are prepared, but the kernel has no memory for them, nothing will wake us. */
    int64_t most = uring.prepared_count ? RETRY_NS : WAIT_MAX_NS;
    struct __kernel_timespec timeout = {
        .tv_nsec = CLAMP(deadline_ns - event_clock_ns(EVENT_CLOCK_REAL), 0, most),
    };
    struct io_uring_cqe *cqe;

    if ((uring.wait_head || uring.cancels) && has_room()) {
        return;
    }
    /*
     * A kernel before 5.11 has no time limit for its wait, and a sleep of another kind would be one more system call.
     */
    if (uring.ready && (uring.ring.features & IORING_FEAT_EXT_ARG)) {
        io_uring_wait_cqe_timeout(&uring.ring, &cqe, &timeout);
    }
}
