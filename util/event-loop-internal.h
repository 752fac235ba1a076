/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the event loop share: event-loop.c and event-timer.c.
 *
 * Thread: the loop's own thread, except the three atomic members.  Runs in: both.
 */
#ifndef UTIL_EVENT_LOOP_INTERNAL_H
#define UTIL_EVENT_LOOP_INTERNAL_H

#include <stdatomic.h>
#include <sys/epoll.h>
#include "util/event-loop.h"

/*
 * Events taken from the kernel at once.  More only make a turn longer; the kernel rotates its list,
 * so none starves.
 */
#define EVENTS_PER_TURN 64

#define EVENT_CLOCKS (EVENT_CLOCK_VIRTUAL + 1)

struct EventLoop {
    int epoll_fd;
    int wake_fd; /* eventfd in the epoll set: ends the sleep */

    /* Any thread. */
    _Atomic(EventBh *) posted; /* stack of scheduled calls, newest first */
    atomic_bool sleeping;      /* the loop may be in its wait, or is about to enter it */
    atomic_bool quit;

    /* Calls taken from `posted`, in the order of their scheduling. */
    EventBh *pending_head, *pending_tail;
    uint64_t pending_pass; /* counts the runs through the queue */

    /* Readiness collected from the kernel; a nested turn replaces what is left of it. */
    struct epoll_event ready[EVENTS_PER_TURN];
    unsigned ready_next, ready_count;

    EventTimer *timers[EVENT_CLOCKS]; /* armed, earliest first */
    uint64_t timer_pass;              /* counts the looks for expired timers */

    void (*before_wait)(void);
    void (*after_wait)(void);
    bool coarse_wait; /* the kernel has no epoll_pwait2(): whole milliseconds */
};

/* Ends LOOP's sleep when it sleeps.  Any thread, and signal handlers: atomics and write(2) only. */
void event_loop_wake(EventLoop *loop);

/* Nanoseconds until the first armed timer, 0 when one has expired, -1 when there is none. */
int64_t event_timers_timeout(EventLoop *loop);

/*
 * Runs the timers that have expired by now and were armed before the call.  Returns true when there
 * was one.
 */
bool event_timers_run(EventLoop *loop);

#endif
