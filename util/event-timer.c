/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Timers and clocks of the event loop.
 *
 * Runs in: both.
 *
 * Theory of operation.  A loop has a few timers, so each clock has a plain list sorted by deadline.
 * A look for expired timers (a "pass") only runs timers armed before it began: a handler that arms
 * its own timer in the past cannot keep the loop from turning.
 */
#include <time.h>
#include "util/event-loop-internal.h"

struct EventTimer {
    EventLoop *loop;
    EventClock clock;
    EventHandler *handler;
    void *opaque;
    int64_t deadline_ns;
    uint64_t armed_in;         /* the loop's timer_pass when it was armed */
    EventTimer *next, *prev;   /* in loop->timers[clock] while armed */
    bool armed;
    bool running; /* its handler is on the stack; not entered again by a nested turn */
    bool dead;    /* freed by its own handler */
};

/* ---- clocks --------------------------------------------------------------------------------- */

/*
 * The virtual clock in one word, so that any thread can read it at any time: while it runs, the monotonic time at which
 * it was 0, times 2; while it stands, its value, times 2, plus 1.  0 means that nobody has asked for it yet.
 */
static _Atomic int64_t virtual_word;
#define VIRTUAL_STANDS 1

/* The manual virtual clock.  The flag is set once, before the threads that read the clock exist. */
static atomic_bool virtual_manual;
static _Atomic int64_t virtual_manual_ns;

static int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

/* Virtual time at monotonic time NOW. */
static int64_t virtual_at(int64_t now)
{
    int64_t word;

    if (atomic_load(&virtual_manual)) {
        return atomic_load(&virtual_manual_ns);
    }
    word = atomic_load(&virtual_word);
    if (word == 0 && atomic_compare_exchange_strong(&virtual_word, &word, now * 2)) {
        word = now * 2;
    }
    if (word & VIRTUAL_STANDS) {
        return word >> 1;
    }
    return MAX(now - (word >> 1), 0); /* another thread's first look may have been a little later */
}

/* Whether the machine is stopped: virtual timers wait then, also those that have expired. */
static bool virtual_stands(void)
{
    return !atomic_load(&virtual_manual) && (atomic_load(&virtual_word) & VIRTUAL_STANDS);
}

int64_t event_clock_ns(EventClock clock)
{
    int64_t now = monotonic_ns();

    return clock == EVENT_CLOCK_VIRTUAL ? virtual_at(now) : now;
}

void event_clock_set_running(bool running)
{
    int64_t now = monotonic_ns();
    int64_t value = virtual_at(now);

    if (!atomic_load(&virtual_manual) && running == virtual_stands()) {
        atomic_store(&virtual_word, running ? (now - value) * 2 : value * 2 + VIRTUAL_STANDS);
    }
}

void event_clock_set_manual(void)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);

    atomic_store(&virtual_manual_ns, now);
    atomic_store(&virtual_manual, true);
}

/* ---- timers --------------------------------------------------------------------------------- */

EventTimer *event_timer_new(EventLoop *loop, EventClock clock, EventHandler *handler, void *opaque)
{
    EventTimer *timer = g_new0(EventTimer, 1);

    timer->loop = loop;
    timer->clock = clock;
    timer->handler = handler;
    timer->opaque = opaque;
    return timer;
}

void event_timer_free(EventTimer *timer)
{
    if (!timer) {
        return;
    }
    event_timer_disarm(timer);
    if (timer->running) {
        timer->dead = true;
    } else {
        g_free(timer);
    }
}

void event_timer_disarm(EventTimer *timer)
{
    if (!timer->armed) {
        return;
    }
    timer->armed = false;
    if (timer->prev) {
        timer->prev->next = timer->next;
    } else {
        timer->loop->timers[timer->clock] = timer->next;
    }
    if (timer->next) {
        timer->next->prev = timer->prev;
    }
}

void event_timer_arm(EventTimer *timer, int64_t deadline_ns)
{
    EventTimer **link = &timer->loop->timers[timer->clock];
    EventTimer *prev = NULL;

    event_timer_disarm(timer);
    /* Behind those with the same deadline: they fire in the order of arming. */
    while (*link && (*link)->deadline_ns <= deadline_ns) {
        prev = *link;
        link = &prev->next;
    }
    timer->deadline_ns = deadline_ns;
    timer->armed_in = timer->loop->timer_pass;
    timer->armed = true;
    timer->prev = prev;
    timer->next = *link;
    if (timer->next) {
        timer->next->prev = timer;
    }
    *link = timer;
    if (!prev) {
        event_loop_wake(timer->loop);
    }
}

/* The first armed timer of CLOCK whose handler can be called. */
static EventTimer *first_timer(EventLoop *loop, EventClock clock)
{
    EventTimer *timer = loop->timers[clock];

    while (timer && timer->running) {
        timer = timer->next;
    }
    return timer;
}

static void fire(EventTimer *timer)
{
    event_timer_disarm(timer);
    timer->running = true;
    timer->handler(timer->opaque);
    timer->running = false;
    if (timer->dead) {
        g_free(timer);
    }
}

/*
 * Nanoseconds from NOW to DEADLINE, not negative, without overflow for deadlines near the ends of
 * time.
 */
static int64_t distance(int64_t now, int64_t deadline)
{
    int64_t ns;

    if (deadline <= now) {
        return 0;
    }
    return __builtin_sub_overflow(deadline, now, &ns) ? INT64_MAX : ns;
}

int64_t event_timers_timeout(EventLoop *loop)
{
    EventTimer *real = first_timer(loop, EVENT_CLOCK_REAL);
    EventTimer *virt = first_timer(loop, EVENT_CLOCK_VIRTUAL);
    int64_t timeout_ns = INT64_MAX;
    int64_t now;

    if (!real && !virt) {
        return -1;
    }
    now = monotonic_ns();
    if (real) {
        timeout_ns = distance(now, real->deadline_ns);
    }
    if (virt && !virtual_stands()) {
        int64_t ns = distance(virtual_at(now), virt->deadline_ns);

        /* A manual clock does not move while the loop sleeps. */
        if (ns == 0 || !atomic_load(&virtual_manual)) {
            timeout_ns = MIN(timeout_ns, ns);
        }
    }
    return timeout_ns == INT64_MAX ? -1 : timeout_ns;
}

bool event_timers_run(EventLoop *loop)
{
    const uint64_t pass = ++loop->timer_pass;
    const int64_t now = monotonic_ns();
    bool progress = false;

    for (EventClock clock = 0; clock < EVENT_CLOCKS; clock++) {
        int64_t clock_now = clock == EVENT_CLOCK_VIRTUAL ? virtual_at(now) : now;
        EventTimer *timer = loop->timers[clock];

        if (clock == EVENT_CLOCK_VIRTUAL && virtual_stands()) {
            continue;
        }
        while (timer && timer->deadline_ns <= clock_now) {
            if (timer->running || timer->armed_in >= pass) {
                timer = timer->next;
                continue;
            }
            fire(timer);
            progress = true;
            timer = loop->timers[clock]; /* the handler may have changed the list in any way */
        }
    }
    return progress;
}

int64_t event_clock_virtual_deadline(EventLoop *loop)
{
    EventTimer *first = loop->timers[EVENT_CLOCK_VIRTUAL];

    return first ? first->deadline_ns : INT64_MAX;
}

/*
 * The first timer to fire at or before TARGET.  One armed in the present pass for a time that is
 * not ahead of the clock waits for the next pass, that is, until the clock has moved.
 */
static EventTimer *next_to_step(EventLoop *loop, int64_t clock_now, int64_t target)
{
    EventTimer *timer = loop->timers[EVENT_CLOCK_VIRTUAL];

    while (timer && (timer->running || (timer->deadline_ns <= clock_now &&
                                        timer->armed_in >= loop->timer_pass))) {
        timer = timer->next;
    }
    return timer && timer->deadline_ns <= target ? timer : NULL;
}

void event_clock_step(EventLoop *loop, int64_t ns)
{
    int64_t clock_now = atomic_load(&virtual_manual_ns);
    int64_t target;
    EventTimer *timer;

    if (__builtin_add_overflow(clock_now, ns, &target)) {
        target = INT64_MAX;
    }
    loop->timer_pass++;
    while ((timer = next_to_step(loop, clock_now, target))) {
        if (timer->deadline_ns > clock_now) {
            clock_now = timer->deadline_ns;
            atomic_store(&virtual_manual_ns, clock_now);
            loop->timer_pass++;
        }
        fire(timer);
    }
    atomic_store(&virtual_manual_ns, target);
}
