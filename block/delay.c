/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations that a filter keeps back for a time.
 *
 * Runs in: both.
 *
 * All of the process are in one list, oldest first, with one timer for the earliest of them: there are as many as
 * backends let into their nodes, at most.  What a delayed operation waits for is in its scratch area, which is the
 * leaf's only from the time on when the leaf has it.
 */
#include <errno.h>
#include "block/block-int.h"

typedef struct Delayed {
    int64_t deadline_ns; /* EVENT_CLOCK_REAL */
    bool cancellable;
    BlockDelayDone *go;
    int argument;
} Delayed;

G_STATIC_ASSERT(sizeof(Delayed) <= BLOCK_OP_SCRATCH);

static struct {
    BlockOp *head, **tail;
    EventTimer *timer; /* made at the first use; armed for the earliest */
} delayed;

static Delayed *delayed_of(BlockOp *op)
{
    return (Delayed *)op->scratch;
}

static void delay_due(void *opaque)
{
    block_poll();
}

int64_t block_delay_deadline(void)
{
    int64_t first = INT64_MAX;

    for (BlockOp *op = delayed.head; op; op = op->next) {
        first = MIN(first, delayed_of(op)->deadline_ns);
    }
    return first;
}

static void arm(void)
{
    if (delayed.head) {
        event_timer_arm(delayed.timer, block_delay_deadline());
    } else {
        event_timer_disarm(delayed.timer);
    }
}

void block_delay(BlockOp *op, int64_t ns, bool cancellable, BlockDelayDone *go, int argument)
{
    if (!delayed.timer) {
        delayed.timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, delay_due, NULL);
    }
    *delayed_of(op) = (Delayed) {
        .deadline_ns = event_clock_ns(EVENT_CLOCK_REAL) + ns,
        .cancellable = cancellable,
        .go = go,
        .argument = argument,
    };
    if (!delayed.head) {
        delayed.tail = &delayed.head;
    }
    op->next = NULL;
    *delayed.tail = op;
    delayed.tail = &op->next;
    arm();
}

/* Takes out the operation that *LINK leads to. */
static BlockOp *unlink_op(BlockOp **link)
{
    BlockOp *op = *link;

    *link = op->next;
    if (!*link) {
        delayed.tail = link;
    }
    return op;
}

void block_delay_cancel(BlockOp *op)
{
    BlockOp **link = &delayed.head;

    if (!delayed_of(op)->cancellable) {
        return;
    }
    while (*link != op) {
        link = &(*link)->next;
    }
    unlink_op(link);
    arm();
    block_op_complete(op, -ECANCELED);
}

void block_delay_process(void)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    BlockOp **link = &delayed.head;
    BlockOp *due = NULL, **due_tail = &due;

    if (!delayed.head) {
        return;
    }
    while (*link) {
        if (delayed_of(*link)->deadline_ns > now) {
            link = &(*link)->next;
        } else {
            *due_tail = unlink_op(link);
            due_tail = &(*due_tail)->next;
        }
    }
    *due_tail = NULL;
    arm();
    while (due) {
        BlockOp *op = due;
        Delayed delay = *delayed_of(op);

        due = op->next;
        delay.go(op, delay.argument);
    }
}

void block_delay_cleanup(void)
{
    event_timer_free(delayed.timer);
    delayed.timer = NULL;
}
