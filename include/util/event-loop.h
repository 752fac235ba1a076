/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: descriptors, timers, deferred calls, on epoll.
 *
 * Thread: the loop's own thread only, except where a function says "any thread".  Timers may also
 * be armed and disarmed by another thread that holds the lock of the wait hooks (in mpqemu, the
 * machine lock), so that a vCPU may enter a device that keeps time.  Runs in: both programs.
 *
 * Why not GMainLoop: it rebuilds and scans its poll array at each turn.  Measured on a socketpair
 * echo, a GLib turn costs about 3 us where an epoll turn costs nearly nothing above the two system
 * calls of the echo; a proxied register access is one such turn (docs/devel/multi-process.rst,
 * "Event loop").
 *
 * Each program has one main loop, event_loop_main().  In mpqemu its handlers run with the machine
 * lock held: the loop drops it around epoll_wait() by the hooks of event_loop_set_wait_hooks().
 *
 * Re-entrancy: any object may be removed inside any handler, its own included; a removed object's
 * handler is not called again, not even for readiness that was already collected.  A handler may
 * turn the loop (event_loop_turn()); no handler is entered again while it runs: nested turns skip
 * the object until the handler has returned.
 */
#ifndef UTIL_EVENT_LOOP_H
#define UTIL_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "util/syscalls.h"

typedef struct EventLoop EventLoop;
typedef struct EventSource EventSource; /* a watched descriptor */
typedef struct EventTimer EventTimer;
typedef struct EventBh EventBh; /* "bottom half": a call deferred to the loop's next turn */

/* Readiness bits of descriptors. */
enum {
    EVENT_READ = 1 << 0,
    EVENT_WRITE = 1 << 1,
    EVENT_HANGUP = 1 << 2, /* peer closed both directions, or error; reported without asking */
};

/* Clocks of timers, in nanoseconds. */
typedef enum EventClock {
    EVENT_CLOCK_REAL,    /* CLOCK_MONOTONIC: heartbeats, time-outs, I/O */
    EVENT_CLOCK_VIRTUAL, /* the guest's time: stands while the machine is stopped; qtest steps it */
} EventClock;

typedef void EventFdHandler(int fd, unsigned ready, void *opaque);
typedef void EventHandler(void *opaque);

/* Makes a loop; NULL with *errp when the kernel refuses. */
EventLoop *event_loop_new(GError **errp);

/* Frees LOOP (NULL is accepted) after all that was made on it has been freed. */
void event_loop_free(EventLoop *loop);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EventLoop, event_loop_free)

/*
 * The program's main loop, made at the first call (by the main thread, before any other thread
 * exists).
 */
EventLoop *event_loop_main(void);

/*
 * Watches FD (stays the caller's; remove the source before closing it) for EVENTS (EVENT_READ |
 * EVENT_WRITE). Level-triggered.  Returns NULL with errno set when epoll refuses the descriptor (a
 * regular file: EPERM).
 */
EventSource *event_loop_add_fd(EventLoop *loop, int fd, unsigned events, EventFdHandler *handler,
                               void *opaque);

/* Changes what SOURCE waits for; 0 leaves only EVENT_HANGUP. */
void event_source_set_events(EventSource *source, unsigned events);

/*
 * Stops watching and frees SOURCE; accepts NULL.  Before its descriptor is closed: an epoll set keeps a closed one that
 * another process holds, too, so that is fatal.
 */
void event_source_remove(EventSource *source);

/* A timer, not armed.  Free it with event_timer_free(), which disarms; it accepts NULL. */
EventTimer *event_timer_new(EventLoop *loop, EventClock clock, EventHandler *handler, void *opaque);
void event_timer_free(EventTimer *timer);

/*
 * Arms TIMER to fire once at DEADLINE_NS of its clock (in the past: at the next turn); replaces an
 * earlier deadline.
 */
void event_timer_arm(EventTimer *timer, int64_t deadline_ns);
void event_timer_disarm(EventTimer *timer);

/* Now, in nanoseconds of CLOCK.  Any thread. */
int64_t event_clock_ns(EventClock clock);

/*
 * Lets EVENT_CLOCK_VIRTUAL run with real time, or stand: its timers wait then.  It runs from the start of the program
 * until this says otherwise.  Nothing for a manual clock, and when it is so already.  With the machine lock held, by
 * the loop's thread (system/runstate.c).
 */
void event_clock_set_running(bool running);

/*
 * Makes EVENT_CLOCK_VIRTUAL manual (qtest): it stands at its value until event_clock_step(). Before
 * any timer of it is armed.
 */
void event_clock_set_manual(void);

/*
 * Advances the manual virtual clock by NS >= 0 and runs LOOP's expired virtual timers, each at its
 * own deadline.
 */
void event_clock_step(EventLoop *loop, int64_t ns);

/* Earliest virtual deadline armed on LOOP, or INT64_MAX. */
int64_t event_clock_virtual_deadline(EventLoop *loop);

/*
 * A deferred call.  Schedule is idempotent until it ran, and wakes the loop.  Making and scheduling: any thread.
 */
EventBh *event_bh_new(EventLoop *loop, EventHandler *handler, void *opaque);
void event_bh_schedule(EventBh *bh);
void event_bh_free(EventBh *bh); /* loop thread; a pending call is dropped; accepts NULL */

/* Runs until event_loop_quit() (any thread, and a signal handler). */
void event_loop_run(EventLoop *loop);
void event_loop_quit(EventLoop *loop);

/* One turn; waits for work only when MAY_BLOCK.  Returns true when any handler ran. */
bool event_loop_turn(EventLoop *loop, bool may_block);

/*
 * BEFORE runs right before the loop may sleep, AFTER right after it woke (mpqemu: unlock and lock
 * the machine).  They run in each turn that may block, even when work is pending and it does not
 * sleep, so that deferred calls that keep scheduling themselves do not lock the others out.
 */
void event_loop_set_wait_hooks(EventLoop *loop, void (*before)(void), void (*after)(void));

/* What turning a loop needs. */
extern const SyscallTable event_loop_syscalls;

#endif
