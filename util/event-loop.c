/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: epoll, deferred calls, quitting.  Timers are in event-timer.c.
 *
 * Runs in: both.
 *
 * Theory of operation.  A turn is: wait, dispatch the readiness collected, run expired timers, run
 * deferred calls.  The common turn has one ready descriptor and nothing else, and a proxied
 * register access waits for it; it makes one system call, allocates nothing, reads no clock unless
 * a timer is armed, and touches the eventfd only when another thread signalled it.
 *
 * Sleeping.  The loop sets `sleeping` and then looks for posted calls once more; another thread
 * posts and then looks at `sleeping`.  Both are sequentially consistent, so one of them sees the
 * other: a call is never left behind by a sleeping loop, and a thread that finds the loop awake
 * saves the write to the eventfd.
 *
 * Nesting.  A handler may turn the loop (blk_drain()).  The readiness collected lies in the loop,
 * not on the stack: the nested turn replaces what the interrupted one has not dispatched yet.
 * Nothing is lost, since the kernel reports again what is still so, and nothing is dispatched on
 * old news. No handler is entered again while it runs: the nested turn skips it.  A running source
 * that is reported as ready is parked, that is, muted in the kernel until its handler returns;
 * otherwise the nested turn would spin on it.
 *
 * Freeing.  Nothing but the running handler itself can still refer to an object at its removal,
 * since entries in `ready` are cleared; an object whose handler runs is marked dead and freed when
 * the handler returns.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "util/error.h"
#include "util/event-loop-internal.h"
#include "util/fd.h"

struct EventSource {
    EventLoop *loop;
    int fd; /* the user's */
    unsigned events;
    EventFdHandler *handler;
    void *opaque;
    bool running; /* its handler is on the stack */
    bool parked;  /* muted by a nested turn until the handler returns */
    bool dead;    /* removed by its own handler */
};

struct EventBh {
    EventLoop *loop;
    EventHandler *handler;
    void *opaque;
    EventBh *next;         /* in `posted` or the pending queue */
    uint64_t queued_in;    /* the loop's pending_pass when it came into the pending queue */
    atomic_bool scheduled; /* from event_bh_schedule() until right before the handler runs */
    bool running;
    bool held_back; /* came up again in a nested turn; goes back to the queue after its handler */
    bool dead;      /* freed by its user; the memory goes when queue and handler are done with it */
};

const SyscallTable event_loop_syscalls = {
    "event loop", (const SyscallRule[]) {
        SYSCALL(epoll_pwait2, "waits for links, monitors, completions and timers"),
        SYSCALL(epoll_ctl, "links, monitors and interrupts come and go"),
        SYSCALL(read, "empties the loop's eventfd and the signalfd; bytes of a monitor on standard input"),
        SYSCALL(clock_gettime, "timers, where the clock of the host has no vDSO"),
        SYSCALL_END,
    },
};

/* ---- life ----------------------------------------------------------------------------------- */

EventLoop *event_loop_new(GError **errp)
{
    auto_fd epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    auto_fd wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    EventLoop *loop;
    /* The loop's own address marks the eventfd; sources carry theirs. */
    struct epoll_event wake = { .events = EPOLLIN };

    if (epoll_fd < 0 || wake_fd < 0) {
        error_setg(errp, "event loop: cannot get descriptors: %s; raise the limit (ulimit -n)",
                   errno_text(errno));
        return NULL;
    }
    loop = g_new0(EventLoop, 1);
    wake.data.ptr = loop;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake) < 0) {
        error_setg(errp, "event loop: epoll refuses its eventfd: %s; raise "
                   "/proc/sys/fs/epoll/max_user_watches", errno_text(errno));
        g_free(loop);
        return NULL;
    }
    loop->epoll_fd = fd_steal(&epoll_fd);
    loop->wake_fd = fd_steal(&wake_fd);
    return loop;
}

static void collect_posted(EventLoop *loop);
static EventBh *pop_pending(EventLoop *loop);

void event_loop_free(EventLoop *loop)
{
    EventBh *bh;

    if (!loop) {
        return;
    }
    collect_posted(loop);
    while ((bh = pop_pending(loop))) {
        if (bh->dead) {
            g_free(bh);
        }
    }
    fd_close(&loop->epoll_fd);
    fd_close(&loop->wake_fd);
    g_free(loop);
}

EventLoop *event_loop_main(void)
{
    static EventLoop *main_loop;

    if (!main_loop) {
        g_autoptr(GError) err = NULL;

        main_loop = event_loop_new(&err);
        if (!main_loop) {
            /* At program start, before there is anything to serve or to save. */
            fprintf(stderr, "%s\n", err->message);
            exit(EXIT_FAILURE); /* NOLINT(concurrency-mt-unsafe): no thread was started yet */
        }
    }
    return main_loop;
}

void event_loop_set_wait_hooks(EventLoop *loop, void (*before)(void), void (*after)(void))
{
    loop->before_wait = before;
    loop->after_wait = after;
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static uint32_t to_epoll(unsigned events)
{
    return (events & EVENT_READ ? EPOLLIN : 0) | (events & EVENT_WRITE ? EPOLLOUT : 0);
}

static unsigned from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? EVENT_READ : 0) | (events & EPOLLOUT ? EVENT_WRITE : 0) |
           (events & (EPOLLHUP | EPOLLERR) ? EVENT_HANGUP : 0);
}

EventSource *event_loop_add_fd(EventLoop *loop, int fd, unsigned events, EventFdHandler *handler,
                               void *opaque)
{
    EventSource *source = g_new0(EventSource, 1);
    struct epoll_event event = { .events = to_epoll(events), .data.ptr = source };

    *source = (EventSource) {
        .loop = loop,
        .fd = fd,
        .events = events,
        .handler = handler,
        .opaque = opaque,
    };
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        int saved_errno = errno;

        g_free(source);
        errno = saved_errno;
        return NULL;
    }
    return source;
}

/* EPOLL_CTL_MOD allocates nothing, so it cannot fail on a descriptor that is open and watched. */
static void modify(EventSource *source, uint32_t epoll_events)
{
    struct epoll_event event = { .events = epoll_events, .data.ptr = source };

    epoll_ctl(source->loop->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void event_source_set_events(EventSource *source, unsigned events)
{
    if (source->events == events) {
        return;
    }
    source->events = events;
    if (!source->parked) {
        modify(source, to_epoll(events));
    }
}

/*
 * Mutes a running source for nested turns.  A hangup can be asked not to be reported only by
 * EPOLLONESHOT: after one more report, which is skipped too, the kernel says nothing until the next
 * EPOLL_CTL_MOD.
 */
static void park(EventSource *source)
{
    if (!source->parked) {
        source->parked = true;
        modify(source, EPOLLONESHOT);
    }
}

void event_source_remove(EventSource *source)
{
    EventLoop *loop;

    if (!source) {
        return;
    }
    loop = source->loop;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL) < 0) {
        /* Its descriptor was closed: if anybody holds a copy, the set keeps it, with a pointer to freed memory. */
        g_error("event loop: descriptor %d was closed before its source was removed", source->fd);
    }
    for (unsigned i = loop->ready_next; i < loop->ready_count; i++) {
        if (loop->ready[i].data.ptr == source) {
            loop->ready[i].data.ptr = NULL;
        }
    }
    if (source->running) {
        source->dead = true;
    } else {
        g_free(source);
    }
}

static bool dispatch_source(EventSource *source, unsigned ready)
{
    if (source->running) {
        park(source);
        return false;
    }
    /* A handler of this turn may have asked for less since the readiness was collected. */
    ready &= source->events | EVENT_HANGUP;
    if (!ready) {
        return false;
    }

    source->running = true;
    source->handler(source->fd, ready, source->opaque);
    source->running = false;
    if (source->dead) {
        g_free(source);
    } else if (source->parked) {
        source->parked = false;
        modify(source, to_epoll(source->events));
    }
    return true;
}

static void reset_wake_fd(EventLoop *loop)
{
    uint64_t count;

    /* Fails only with EAGAIN: a nested turn was faster. */
    if (read(loop->wake_fd, &count, sizeof(count)) < 0) {
        return;
    }
}

/* Dispatches all that is collected; a handler may nest, which ends the outer run early. */
static bool dispatch_ready(EventLoop *loop)
{
    bool progress = false;

    while (loop->ready_next < loop->ready_count) {
        struct epoll_event *event = &loop->ready[loop->ready_next++];

        if (event->data.ptr == loop) {
            reset_wake_fd(loop);
        } else if (event->data.ptr) {
            progress |= dispatch_source(event->data.ptr, from_epoll(event->events));
        }
    }
    return progress;
}

/* ---- deferred calls ------------------------------------------------------------------------- */

void event_loop_wake(EventLoop *loop)
{
    static const uint64_t one = 1;

    if (atomic_exchange(&loop->sleeping, false)) {
        int saved_errno = errno;

        /* EAGAIN means that the counter is full: the loop wakes all the same. */
        if (write(loop->wake_fd, &one, sizeof(one)) < 0) {
            errno = saved_errno;
        }
    }
}

EventBh *event_bh_new(EventLoop *loop, EventHandler *handler, void *opaque)
{
    EventBh *bh = g_new0(EventBh, 1);

    bh->loop = loop;
    bh->handler = handler;
    bh->opaque = opaque;
    return bh;
}

void event_bh_schedule(EventBh *bh)
{
    EventLoop *loop = bh->loop;
    EventBh *head;

    if (atomic_exchange(&bh->scheduled, true)) {
        return;
    }
    head = atomic_load(&loop->posted);
    do {
        bh->next = head;
    } while (!atomic_compare_exchange_weak(&loop->posted, &head, bh));
    event_loop_wake(loop);
}

static void push_pending(EventLoop *loop, EventBh *bh)
{
    bh->next = NULL;
    bh->queued_in = loop->pending_pass;
    if (loop->pending_tail) {
        loop->pending_tail->next = bh;
    } else {
        loop->pending_head = bh;
    }
    loop->pending_tail = bh;
}

static EventBh *pop_pending(EventLoop *loop)
{
    EventBh *bh = loop->pending_head;

    if (bh) {
        loop->pending_head = bh->next;
        if (!loop->pending_head) {
            loop->pending_tail = NULL;
        }
    }
    return bh;
}

/* Moves the posted calls to the end of the pending queue, oldest first. */
static void collect_posted(EventLoop *loop)
{
    EventBh *newest, *oldest = NULL;

    if (!atomic_load_explicit(&loop->posted, memory_order_relaxed)) {
        return;
    }
    newest = atomic_exchange(&loop->posted, NULL);
    while (newest) {
        EventBh *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        EventBh *next = oldest->next;

        push_pending(loop, oldest);
        oldest = next;
    }
}

void event_bh_free(EventBh *bh)
{
    if (!bh) {
        return;
    }
    if (bh->running || atomic_load(&bh->scheduled)) {
        bh->dead = true;
    } else {
        g_free(bh);
    }
}

/* Runs BH, just taken from the queue.  Returns false when there was nothing to run. */
static bool run_bh(EventBh *bh)
{
    if (bh->running) {
        bh->held_back = true;
        return false;
    }
    if (bh->dead) {
        g_free(bh);
        return false;
    }

    bh->running = true;
    /* Before the handler: what another thread schedules from now on needs another run. */
    atomic_exchange(&bh->scheduled, false);
    bh->handler(bh->opaque);
    bh->running = false;
    if (bh->held_back) {
        bh->held_back = false;
        push_pending(bh->loop, bh);
    } else if (bh->dead && !atomic_load(&bh->scheduled)) {
        g_free(bh);
    }
    return true;
}

/*
 * Runs the calls scheduled so far; one scheduled by them waits for the next turn, so descriptors
 * get theirs.
 */
static bool run_bhs(EventLoop *loop)
{
    bool progress = false;
    uint64_t pass;

    collect_posted(loop);
    pass = ++loop->pending_pass;
    while (loop->pending_head && loop->pending_head->queued_in < pass) {
        progress |= run_bh(pop_pending(loop));
    }
    return progress;
}

/* ---- turning -------------------------------------------------------------------------------- */

/* Collects readiness for up to TIMEOUT_NS (-1: without end) and returns the number of events. */
static unsigned wait_for_events(EventLoop *loop, int64_t timeout_ns)
{
    int n = -1;

    /* One call for all: a confined process has it, and not its older relatives. */
    if (!loop->coarse_wait) {
        struct timespec timeout = {
            .tv_sec = timeout_ns / 1000000000,
            .tv_nsec = timeout_ns % 1000000000,
        };

        n = epoll_pwait2(loop->epoll_fd, loop->ready, EVENTS_PER_TURN, timeout_ns < 0 ? NULL : &timeout, NULL);
        loop->coarse_wait = n < 0 && errno == ENOSYS;
    }
    if (loop->coarse_wait) {
        int64_t ms = MIN(timeout_ns / 1000000 + (timeout_ns % 1000000 > 0), INT_MAX);

        n = epoll_wait(loop->epoll_fd, loop->ready, EVENTS_PER_TURN, timeout_ns < 0 ? -1 : (int)ms);
    }
    /*
     * An interrupting signal's handler may have posted something: the turn goes on without events.
     */
    return n > 0 ? n : 0;
}

/* HEED_QUIT: a quit that was asked for before the sleep keeps the loop from sleeping. */
static bool turn(EventLoop *loop, bool may_block, bool heed_quit)
{
    bool progress;
    bool timer_due = false;
    bool timers_armed;
    int64_t timeout_ns = may_block ? -1 : 0;

    timers_armed = loop->timers[EVENT_CLOCK_REAL] || loop->timers[EVENT_CLOCK_VIRTUAL];
    if (may_block && timers_armed) {
        timeout_ns = event_timers_timeout(loop);
        timer_due = timeout_ns == 0;
    }
    /* Before the hook lets other threads in: a timer that one of them arms must end this sleep. */
    if (timeout_ns != 0) {
        atomic_store(&loop->sleeping, true);
    }
    if (may_block && loop->before_wait) {
        loop->before_wait();
    }
    if (timeout_ns != 0) {
        if (loop->pending_head || atomic_load(&loop->posted) ||
            (heed_quit && atomic_load(&loop->quit))) {
            timeout_ns = 0;
        }
    }
    loop->ready_next = 0;
    loop->ready_count = wait_for_events(loop, timeout_ns);
    atomic_store_explicit(&loop->sleeping, false, memory_order_relaxed);
    if (may_block && loop->after_wait) {
        loop->after_wait();
    }

    /*
     * Readiness may have come in the stead of a deadline; a timer that expired meanwhile is found
     * by the next turn's event_timers_timeout(), which spares the common turn a second look at the
     * clock.
     */
    timer_due |= timers_armed && (loop->ready_count == 0 || !may_block);
    progress = dispatch_ready(loop);
    if (timer_due) {
        progress |= event_timers_run(loop);
    }
    progress |= run_bhs(loop);
    return progress;
}

bool event_loop_turn(EventLoop *loop, bool may_block)
{
    return turn(loop, may_block, false);
}

void event_loop_run(EventLoop *loop)
{
    while (!atomic_load(&loop->quit)) {
        turn(loop, true, true);
    }
    atomic_store(&loop->quit, false);
}

void event_loop_quit(EventLoop *loop)
{
    atomic_store(&loop->quit, true);
    event_loop_wake(loop);
}
