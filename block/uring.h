/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's io_uring: one ring for all images, watched by the main event loop.
 *
 * Thread: main loop; uring_submit() and uring_cancel() also any thread that holds the machine lock.
 * Runs in: both programs.
 *
 * Theory of operation.  An operation waits in a list until uring_process(), a deferred call of the event loop, moves
 * it to the submission queue; so all that one turn submits costs one system call.  Reads that the page cache satisfies
 * are complete when that call returns and are reaped at once.
 *
 * No more operations are in the kernel than the completion queue has entries: it cannot overflow.
 */
#ifndef BLOCK_URING_H
#define BLOCK_URING_H

#include <stdbool.h>
#include <glib.h>
#include <liburing.h>

typedef struct UringOp UringOp;

typedef enum UringState {
    URING_IDLE,      /* not in the ring: before uring_submit(), and from before done() is called */
    URING_WAITING,   /* in the list, from uring_submit() until uring_process() or uring_cancel() */
    URING_SUBMITTED, /* in a queue shared with the kernel, until done() */
} UringState;

struct UringOp {
    /* Fills SQE (all but user_data).  Called once per submission, later than uring_submit(). */
    void (*prep)(UringOp *op, struct io_uring_sqe *sqe);
    /* The result as the kernel gave it (-errno or a count).  May submit OP again. */
    void (*done)(UringOp *op, int res);

    /* Private to uring.c. */
    UringState state;
    bool cancel;       /* in the list of cancellations */
    UringOp *next;     /* in the waiting list */
    UringOp *next_cancel;
};

/* Makes the ring unless it is there.  Fails when the kernel or a container's policy does not give one. */
bool uring_init(GError **errp);

/* Nothing is in flight.  Accepts that there is no ring. */
void uring_cleanup(void);

/* Queues OP, which stays the caller's and in place until done(). */
void uring_submit(UringOp *op);

/*
 * Asks for OP's early end.  An operation that still waits ends with done(-ECANCELED) inside this call; for one in the
 * kernel, done() comes later with -ECANCELED, -EINTR, or the true result.
 */
void uring_cancel(UringOp *op);

/* Submits what waits, reaps what is complete and calls done().  Never sleeps. */
void uring_process(void);

/*
 * Sleeps until an operation has completed, a signal came, or EVENT_CLOCK_REAL shows DEADLINE_NS, or for less; not at
 * all when uring_process() has something to submit.  Accepts that there is no ring.  Main loop's thread only.
 */
void uring_wait(int64_t deadline_ns);

#endif
