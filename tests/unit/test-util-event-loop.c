/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/event-loop.c and util/event-timer.c.
 *
 * Runs in: neither program.
 *
 * No test expects anything to be fast: what must not happen early is checked against the clock,
 * what must happen is waited for, and the test driver's time limit ends a wait that is in vain.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

#define MS G_GINT64_CONSTANT(1000000)

static EventLoop *new_loop(void)
{
    g_autoptr(GError) err = NULL;
    EventLoop *loop = event_loop_new(&err);

    g_assert_no_error(err);
    g_assert_nonnull(loop);
    return loop;
}

/* An eventfd that is ready to read (and stays so), or not. */
static int new_fd(bool ready)
{
    int fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void make_pair(int fds[2])
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
}

/* One watched descriptor of a test. */
typedef struct Watch {
    EventLoop *loop;
    EventSource *source;
    int fd;
    unsigned ready; /* of the last call */
    int calls;
    int depth, max_depth;                /* of calls on the stack */
    void (*action)(struct Watch *watch); /* what the handler does, may be NULL */
    struct Watch *other;                 /* for the action */
} Watch;

static void watch_handler(int fd, unsigned ready, void *opaque)
{
    Watch *watch = opaque;

    g_assert_cmpint(fd, ==, watch->fd);
    watch->ready = ready;
    watch->calls++;
    watch->depth++;
    watch->max_depth = MAX(watch->max_depth, watch->depth);
    if (watch->action) {
        watch->action(watch);
    }
    watch->depth--;
}

static void watch_fd(Watch *watch, EventLoop *loop, int fd, unsigned events)
{
    watch->loop = loop;
    watch->fd = fd;
    watch->source = event_loop_add_fd(loop, fd, events, watch_handler, watch);
    g_assert_nonnull(watch->source);
}

static void unwatch(Watch *watch)
{
    event_source_remove(watch->source);
    watch->source = NULL;
    fd_close(&watch->fd);
}

static void consume(Watch *watch)
{
    uint64_t value;

    g_assert_cmpint(read(watch->fd, &value, sizeof(value)), ==, sizeof(value));
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static void test_fd_level_triggered(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { 0 };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpint(watch.calls, ==, 2);
    g_assert_cmpuint(watch.ready, ==, EVENT_READ);
    consume(&watch);
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpint(watch.calls, ==, 2);
    unwatch(&watch);
}

static void test_fd_set_events(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { 0 };

    watch_fd(&watch, loop, new_fd(true), 0);
    g_assert_false(event_loop_turn(loop, false));
    event_source_set_events(watch.source, EVENT_WRITE);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpuint(watch.ready, ==, EVENT_WRITE);
    event_source_set_events(watch.source, EVENT_READ | EVENT_WRITE);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpuint(watch.ready, ==, EVENT_READ | EVENT_WRITE);
    event_source_set_events(watch.source, 0);
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpint(watch.calls, ==, 2);
    unwatch(&watch);
}

static void test_fd_hangup(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { 0 };
    int fds[2];

    make_pair(fds);
    watch_fd(&watch, loop, fds[0], 0);
    g_assert_false(event_loop_turn(loop, false));
    fd_close(&fds[1]);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpuint(watch.ready, ==, EVENT_HANGUP);
    event_source_set_events(watch.source, EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpuint(watch.ready, ==, EVENT_READ | EVENT_HANGUP);
    unwatch(&watch);
}

static void test_fd_refused(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    auto_fd file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(file, >=, 0);
    errno = 0;
    g_assert_null(event_loop_add_fd(loop, file, EVENT_READ, watch_handler, NULL));
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_null(event_loop_add_fd(loop, -1, EVENT_READ, watch_handler, NULL));
    g_assert_cmpint(errno, ==, EBADF);
    event_source_remove(NULL);
}

/* More descriptors than one turn takes: each gets its calls, and none is starved. */
static void test_fd_many(void)
{
    enum { COUNT = 200 };
    g_autoptr(EventLoop) loop = new_loop();
    g_autofree Watch *watches = g_new0(Watch, COUNT);
    int calls = 0;

    for (int i = 0; i < COUNT; i++) {
        watch_fd(&watches[i], loop, new_fd(true), EVENT_READ);
        watches[i].action = consume;
    }
    while (event_loop_turn(loop, false)) {
        calls++;
    }
    g_assert_cmpint(calls, <=, COUNT);
    for (int i = 0; i < COUNT; i++) {
        g_assert_cmpint(watches[i].calls, ==, 1);
        unwatch(&watches[i]);
    }
}

static void remove_self(Watch *watch)
{
    event_source_remove(watch->source);
    watch->source = NULL;
}

static void test_fd_remove_self(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = remove_self };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpint(watch.calls, ==, 1);
    fd_close(&watch.fd);
}

static void remove_other(Watch *watch)
{
    event_source_remove(watch->other->source);
    watch->other->source = NULL;
}

static void silence_other(Watch *watch)
{
    event_source_set_events(watch->other->source, 0);
}

/* Both are collected by one turn; whichever comes first takes the other's call away. */
static void check_take_away(void (*action)(Watch *watch))
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watches[2] = { { .action = action }, { .action = action } };

    watches[0].other = &watches[1];
    watches[1].other = &watches[0];
    watch_fd(&watches[0], loop, new_fd(true), EVENT_READ);
    watch_fd(&watches[1], loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpint(watches[0].calls + watches[1].calls, ==, 1);
    unwatch(&watches[0]);
    unwatch(&watches[1]);
}

static void test_fd_remove_collected(void)
{
    check_take_away(remove_other);
}

static void test_fd_silence_collected(void)
{
    check_take_away(silence_other);
}

/* ---- nesting -------------------------------------------------------------------------------- */

static void consume_and_nest(Watch *watch)
{
    consume(watch);
    while (event_loop_turn(watch->loop, false)) {
        continue;
    }
}

/* Every descriptor's handler turns the loop: all are called, each exactly once. */
static void test_nest_no_loss(void)
{
    enum { COUNT = 100 };
    g_autoptr(EventLoop) loop = new_loop();
    g_autofree Watch *watches = g_new0(Watch, COUNT);

    for (int i = 0; i < COUNT; i++) {
        watch_fd(&watches[i], loop, new_fd(true), EVENT_READ);
        watches[i].action = consume_and_nest;
    }
    g_assert_true(event_loop_turn(loop, true));
    /* The first handler's nested turns have done everything. */
    g_assert_false(event_loop_turn(loop, false));
    for (int i = 0; i < COUNT; i++) {
        g_assert_cmpint(watches[i].calls, ==, 1);
        unwatch(&watches[i]);
    }
}

static void nest_only(Watch *watch)
{
    for (int i = 0; i < 5; i++) {
        g_assert_false(event_loop_turn(watch->loop, false));
    }
}

static void test_nest_not_entered_again(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = nest_only };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(watch.calls, ==, 1);
    /* Still ready, and heard again once the handler has returned. */
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(watch.calls, ==, 2);
    g_assert_cmpint(watch.max_depth, ==, 1);
    /* What it asks for while it is muted counts afterwards. */
    watch.action = NULL;
    event_source_set_events(watch.source, EVENT_WRITE);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpuint(watch.ready, ==, EVENT_WRITE);
    unwatch(&watch);
}

static void nest_and_switch(Watch *watch)
{
    nest_only(watch);
    event_source_set_events(watch->source, EVENT_WRITE);
    nest_only(watch);
}

static void test_nest_set_events_while_muted(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = nest_and_switch };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    watch.action = NULL;
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpuint(watch.ready, ==, EVENT_WRITE);
    unwatch(&watch);
}

static void nest_and_remove(Watch *watch)
{
    nest_only(watch);
    remove_self(watch);
    nest_only(watch);
}

static void test_nest_remove_while_muted(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = nest_and_remove };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpint(watch.calls, ==, 1);
    fd_close(&watch.fd);
}

static void nest_removing_outer(Watch *watch)
{
    remove_other(watch);
    consume(watch);
}

static void nest_until_other_ran(Watch *watch)
{
    Watch *other = watch->other;

    g_assert_cmpint(write(other->fd, &(uint64_t) { 1 }, sizeof(uint64_t)), ==, sizeof(uint64_t));
    while (other->calls == 0) {
        event_loop_turn(watch->loop, true);
    }
}

static void test_nest_remove_outer(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch inner = { .action = nest_removing_outer };
    Watch outer = { .action = nest_until_other_ran, .other = &inner };

    inner.other = &outer;
    watch_fd(&inner, loop, new_fd(false), EVENT_READ);
    watch_fd(&outer, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(outer.calls, ==, 1);
    g_assert_cmpint(inner.calls, ==, 1);
    g_assert_false(event_loop_turn(loop, false));
    unwatch(&inner);
    fd_close(&outer.fd);
}

static void set_flag(void *opaque)
{
    *(bool *)opaque = true;
}

/*
 * A hangup cannot be asked not to be reported: the nested turns must sleep all the same, not spin.
 */
static void nest_blocking(Watch *watch)
{
    bool fired = false;
    EventTimer *timer = event_timer_new(watch->loop, EVENT_CLOCK_REAL, set_flag, &fired);
    int turns = 0;

    event_timer_arm(timer, event_clock_ns(EVENT_CLOCK_REAL) + 20 * MS);
    while (!fired) {
        event_loop_turn(watch->loop, true);
        turns++;
    }
    g_assert_cmpint(turns, <=, 8);
    event_timer_free(timer);
}

static void test_nest_hangup_does_not_spin(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = nest_blocking };
    int fds[2];

    make_pair(fds);
    watch_fd(&watch, loop, fds[0], EVENT_READ);
    fd_close(&fds[1]);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(watch.calls, ==, 1);
    watch.action = NULL;
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpuint(watch.ready, ==, EVENT_READ | EVENT_HANGUP);
    unwatch(&watch);
}

/* ---- deferred calls ------------------------------------------------------------------------- */

typedef struct Call {
    EventLoop *loop;
    EventBh *bh;
    GString *log; /* one letter a call */
    char letter;
    int again; /* times it schedules itself */
    bool free_self, nest, busy;
} Call;

static void call_handler(void *opaque)
{
    Call *call = opaque;

    g_assert_false(call->busy);
    call->busy = true;
    g_string_append_c(call->log, call->letter);
    if (call->again > 0) {
        call->again--;
        event_bh_schedule(call->bh);
    }
    if (call->nest) {
        while (event_loop_turn(call->loop, false)) {
            continue;
        }
    }
    if (call->free_self) {
        event_bh_free(call->bh);
        call->bh = NULL;
    }
    call->busy = false;
}

static void init_calls(Call *calls, unsigned count, EventLoop *loop, GString *log)
{
    for (unsigned i = 0; i < count; i++) {
        calls[i] = (Call) { .loop = loop, .log = log, .letter = (char)('a' + i) };
        calls[i].bh = event_bh_new(loop, call_handler, &calls[i]);
    }
}

static void free_calls(Call *calls, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        event_bh_free(calls[i].bh);
    }
}

static void test_bh_order(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Call calls[3];

    init_calls(calls, 3, loop, log);
    g_assert_false(event_loop_turn(loop, false));
    event_bh_schedule(calls[2].bh);
    event_bh_schedule(calls[0].bh);
    event_bh_schedule(calls[1].bh);
    event_bh_schedule(calls[2].bh);
    /* Does not sleep although it may. */
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "cab");
    g_assert_false(event_loop_turn(loop, false));
    event_bh_schedule(calls[1].bh);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpstr(log->str, ==, "cabb");
    free_calls(calls, 3);
    event_bh_free(NULL);
}

static void test_bh_schedules_itself(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Watch watch = { 0 };
    Call calls[1];

    init_calls(calls, 1, loop, log);
    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    calls[0].again = 3;
    event_bh_schedule(calls[0].bh);
    for (int turn = 1; turn <= 4; turn++) {
        g_assert_true(event_loop_turn(loop, true));
        g_assert_cmpuint(log->len, ==, turn);
        /* Descriptors get their turns beside it. */
        g_assert_cmpint(watch.calls, ==, turn);
    }
    unwatch(&watch);
    g_assert_false(event_loop_turn(loop, false));
    free_calls(calls, 1);
}

static void test_bh_free(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Call calls[3];

    init_calls(calls, 3, loop, log);
    /* Pending: dropped.  Its own handler: fine, also when it has scheduled itself. */
    event_bh_schedule(calls[0].bh);
    event_bh_free(calls[0].bh);
    calls[1].free_self = true;
    calls[2].free_self = true;
    calls[2].again = 1;
    event_bh_schedule(calls[1].bh);
    event_bh_schedule(calls[2].bh);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpstr(log->str, ==, "bc");
}

/* A loop that goes away with dropped calls still in its queue frees them. */
static void test_bh_free_with_loop(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Call calls[1];

    init_calls(calls, 1, loop, log);
    event_bh_schedule(calls[0].bh);
    event_bh_free(calls[0].bh);
    g_assert_cmpstr(log->str, ==, "");
}

static void test_bh_nested(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Call calls[3];

    init_calls(calls, 3, loop, log);
    calls[0].nest = true;
    calls[0].again = 1;
    for (int i = 0; i < 3; i++) {
        event_bh_schedule(calls[i].bh);
    }
    g_assert_true(event_loop_turn(loop, true));
    /* The others in the nested turn; itself only after it has returned. */
    g_assert_cmpstr(log->str, ==, "abc");
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abca");
    g_assert_false(event_loop_turn(loop, false));

    calls[0].again = 1;
    calls[0].free_self = true;
    event_bh_schedule(calls[0].bh);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_false(event_loop_turn(loop, false));
    g_assert_cmpstr(log->str, ==, "abcaa");
    free_calls(calls, 3);
}

/*
 * Threads hand work over by a counter and a deferred call; not one unit may be left behind by a
 * sleeping loop.
 */
enum { THREADS = 4, UNITS_PER_THREAD = 5000 };

typedef struct Handover {
    EventLoop *loop;
    EventBh *bh;
    int plain[THREADS]; /* not atomic: event_bh_schedule() itself must order it */
    atomic_int published[THREADS];
    int taken;
} Handover;

typedef struct Giver {
    Handover *handover;
    int index;
} Giver;

static void *give(void *opaque)
{
    Giver *giver = opaque;
    Handover *handover = giver->handover;

    for (int i = 0; i < UNITS_PER_THREAD; i++) {
        atomic_fetch_add_explicit(&handover->published[giver->index], 1, memory_order_relaxed);
        event_bh_schedule(handover->bh);
    }
    return NULL;
}

static void take(void *opaque)
{
    Handover *handover = opaque;

    for (int i = 0; i < THREADS; i++) {
        handover->taken += atomic_exchange_explicit(&handover->published[i], 0,
                                                    memory_order_relaxed);
    }
    if (handover->taken == THREADS * UNITS_PER_THREAD) {
        event_loop_quit(handover->loop);
    }
}

static void test_bh_threads(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Handover handover = { .loop = loop };
    pthread_t threads[THREADS];
    Giver givers[THREADS];

    handover.bh = event_bh_new(loop, take, &handover);
    for (int i = 0; i < THREADS; i++) {
        givers[i] = (Giver) { &handover, i };
        pthread_create(&threads[i], NULL, give, &givers[i]);
    }
    event_loop_run(loop);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    g_assert_cmpint(handover.taken, ==, THREADS * UNITS_PER_THREAD);
    event_loop_turn(loop, false);
    event_bh_free(handover.bh);
}

/*
 * Data written before event_bh_schedule() is visible in the handler; ThreadSanitizer checks the
 * order.
 */
static void *write_and_schedule(void *opaque)
{
    Handover *handover = opaque;

    handover->plain[0] = 42;
    event_bh_schedule(handover->bh);
    return NULL;
}

static void read_and_quit(void *opaque)
{
    Handover *handover = opaque;

    g_assert_cmpint(handover->plain[0], ==, 42);
    event_loop_quit(handover->loop);
}

static void test_bh_publishes(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Handover handover = { .loop = loop };
    pthread_t thread;

    handover.bh = event_bh_new(loop, read_and_quit, &handover);
    pthread_create(&thread, NULL, write_and_schedule, &handover);
    event_loop_run(loop);
    pthread_join(thread, NULL);
    event_bh_free(handover.bh);
}

/* ---- quitting ------------------------------------------------------------------------------- */

static void test_quit_before_run(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { 0 };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    event_loop_quit(loop);
    event_loop_run(loop);
    g_assert_cmpint(watch.calls, ==, 0);
    /* Asked once, it quits once. */
    g_assert_true(event_loop_turn(loop, true));
    unwatch(&watch);
}

static void *quit_thread(void *opaque)
{
    event_loop_quit(opaque);
    return NULL;
}

static void test_quit_thread(void)
{
    for (int i = 0; i < 200; i++) {
        g_autoptr(EventLoop) loop = new_loop();
        pthread_t thread;

        pthread_create(&thread, NULL, quit_thread, loop);
        event_loop_run(loop);
        pthread_join(thread, NULL);
    }
}

static EventLoop *signal_loop;

static void quit_on_signal(int signum)
{
    event_loop_quit(signal_loop);
}

static void *send_signal(void *opaque)
{
    pthread_kill(*(pthread_t *)opaque, SIGUSR1);
    return NULL;
}

static void test_quit_signal(void)
{
    struct sigaction action = { .sa_handler = quit_on_signal }, old;
    pthread_t self = pthread_self();

    g_assert_cmpint(sigaction(SIGUSR1, &action, &old), ==, 0);
    for (int i = 0; i < 50; i++) {
        g_autoptr(EventLoop) loop = new_loop();
        pthread_t thread;

        signal_loop = loop;
        pthread_create(&thread, NULL, send_signal, &self);
        event_loop_run(loop);
        pthread_join(thread, NULL);
    }
    g_assert_cmpint(sigaction(SIGUSR1, &old, NULL), ==, 0);
}

/* A nested blocking turn still sleeps while a quit waits for the outer loop. */
static void quit_and_nest(Watch *watch)
{
    consume(watch);
    event_loop_quit(watch->loop);
    nest_blocking(watch);
}

static void test_quit_then_nested_sleep(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    Watch watch = { .action = quit_and_nest };

    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    event_loop_run(loop);
    g_assert_cmpint(watch.calls, ==, 1);
    unwatch(&watch);
}

/* ---- hooks and life ------------------------------------------------------------------------- */

static int before_calls, after_calls;

static void count_before(void)
{
    g_assert_cmpint(before_calls, ==, after_calls);
    before_calls++;
}

static void count_after(void)
{
    after_calls++;
    g_assert_cmpint(before_calls, ==, after_calls);
}

static void check_in_handler(Watch *watch)
{
    g_assert_cmpint(before_calls, ==, after_calls);
}

static void test_hooks(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Watch watch = { .action = check_in_handler };
    Call calls[1];

    init_calls(calls, 1, loop, log);
    event_loop_set_wait_hooks(loop, count_before, count_after);
    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(after_calls, ==, 1);
    g_assert_true(event_loop_turn(loop, false));
    g_assert_cmpint(after_calls, ==, 1);
    /* Also when work is pending, so that others get the lock. */
    event_bh_schedule(calls[0].bh);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(after_calls, ==, 2);
    event_loop_set_wait_hooks(loop, NULL, NULL);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpint(after_calls, ==, 2);
    free_calls(calls, 1);
    unwatch(&watch);
}

static void test_new_fails(void)
{
    g_autoptr(GError) err = NULL;
    struct rlimit old, low;
    int lowest = dup(STDOUT_FILENO);

    close(lowest);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    for (int more = 0; more < 2; more++) {
        low = (struct rlimit) { (rlim_t)(lowest + more), old.rlim_max };
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
        g_assert_null(event_loop_new(&err));
        g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
        g_assert_error(err, MPQEMU_ERROR, ERROR_CLASS_GENERIC);
        g_clear_error(&err);
    }
    /* Nothing leaked. */
    g_assert_cmpint(dup(STDOUT_FILENO), ==, lowest);
    close(lowest);
}

static void test_main_loop(void)
{
    EventLoop *loop = event_loop_main();

    g_assert_nonnull(loop);
    g_assert_true(loop == event_loop_main());
    event_loop_free(NULL);
}

/* ---- timers --------------------------------------------------------------------------------- */

typedef struct Alarm {
    EventLoop *loop;
    EventClock clock;
    EventTimer *timer;
    GString *log;
    char letter;
    int64_t deadline;
    int64_t step; /* for the next deadline, when `again` > 0 */
    int again, calls;
    bool free_self, nest, busy;
    GArray *fired_at; /* int64_t; may be NULL */
} Alarm;

static void alarm_arm(Alarm *alarm, int64_t deadline)
{
    alarm->deadline = deadline;
    event_timer_arm(alarm->timer, deadline);
}

static void alarm_handler(void *opaque)
{
    Alarm *alarm = opaque;
    int64_t now = event_clock_ns(alarm->clock);

    g_assert_false(alarm->busy);
    alarm->busy = true;
    g_assert_cmpint(now, >=, alarm->deadline);
    alarm->calls++;
    g_string_append_c(alarm->log, alarm->letter);
    if (alarm->fired_at) {
        g_array_append_val(alarm->fired_at, now);
    }
    if (alarm->again > 0) {
        alarm->again--;
        alarm_arm(alarm, alarm->deadline + alarm->step);
    }
    if (alarm->nest) {
        while (event_loop_turn(alarm->loop, false)) {
            continue;
        }
    }
    if (alarm->free_self) {
        event_timer_free(alarm->timer);
        alarm->timer = NULL;
    }
    alarm->busy = false;
}

static void init_alarms(Alarm *alarms, unsigned count, EventLoop *loop, EventClock clock,
                        GString *log)
{
    for (unsigned i = 0; i < count; i++) {
        alarms[i] = (Alarm) { .loop = loop, .clock = clock, .log = log, .letter = (char)('a' + i) };
        alarms[i].timer = event_timer_new(loop, clock, alarm_handler, &alarms[i]);
    }
}

static void free_alarms(Alarm *alarms, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        event_timer_free(alarms[i].timer);
    }
}

static void check_timer_order(EventClock clock)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    int64_t now = event_clock_ns(clock);
    Alarm alarms[5];

    init_alarms(alarms, 5, loop, clock, log);
    alarm_arm(&alarms[0], now + 6 * MS);
    alarm_arm(&alarms[1], now + 2 * MS);
    alarm_arm(&alarms[2], now + 4 * MS + 1);
    alarm_arm(&alarms[3], now + 4 * MS + 1);
    alarm_arm(&alarms[4], INT64_MAX);
    /* Re-arming replaces. */
    alarm_arm(&alarms[1], now + 5 * MS);
    while (log->len < 4) {
        event_loop_turn(loop, true);
    }
    g_assert_cmpstr(log->str, ==, "cdba");
    g_assert_false(event_loop_turn(loop, false));
    free_alarms(alarms, 5);
    event_timer_free(NULL);
}

static void test_timer_order(void)
{
    check_timer_order(EVENT_CLOCK_REAL);
}

static void test_timer_virtual(void)
{
    check_timer_order(EVENT_CLOCK_VIRTUAL);
}

static void test_timer_disarm(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    int64_t past = event_clock_ns(EVENT_CLOCK_REAL) - MS;
    Alarm alarms[3];

    init_alarms(alarms, 3, loop, EVENT_CLOCK_REAL, log);
    for (int i = 0; i < 3; i++) {
        alarm_arm(&alarms[i], past + i);
    }
    event_timer_disarm(alarms[1].timer);
    event_timer_disarm(alarms[1].timer);
    event_timer_free(alarms[0].timer);
    alarms[0].timer = NULL;
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "c");
    free_alarms(alarms, 3);
}

/*
 * One that always arms itself in the past, even before all time, gets one call a turn and holds
 * nobody up.
 */
static void test_timer_in_the_past(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Alarm alarms[2];

    init_alarms(alarms, 2, loop, EVENT_CLOCK_REAL, log);
    alarms[0].again = 3;
    alarm_arm(&alarms[0], INT64_MIN);
    alarm_arm(&alarms[1], event_clock_ns(EVENT_CLOCK_REAL));
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "ab");
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "aba");
    g_assert_true(event_loop_turn(loop, false));
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abaaa");
    g_assert_false(event_loop_turn(loop, false));
    free_alarms(alarms, 2);
}

/* A descriptor that is always ready does not starve an expired timer. */
static void test_timer_beside_busy_fd(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Watch watch = { 0 };
    Alarm alarms[1];

    init_alarms(alarms, 1, loop, EVENT_CLOCK_REAL, log);
    watch_fd(&watch, loop, new_fd(true), EVENT_READ);
    alarm_arm(&alarms[0], event_clock_ns(EVENT_CLOCK_REAL) + MS);
    while (event_clock_ns(EVENT_CLOCK_REAL) < alarms[0].deadline) {
        event_loop_turn(loop, true);
    }
    event_loop_turn(loop, true);
    g_assert_cmpstr(log->str, ==, "a");
    unwatch(&watch);
    free_alarms(alarms, 1);
}

static void test_timer_nested(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    Alarm alarms[3];

    init_alarms(alarms, 3, loop, EVENT_CLOCK_REAL, log);
    /*
     * Re-arms itself in the past, then nests: the nested turn runs the others, and does not enter
     * it again.
     */
    alarms[0].again = 2;
    alarms[0].nest = true;
    alarms[1].free_self = true;
    for (int i = 0; i < 3; i++) {
        alarm_arm(&alarms[i], now);
    }
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abc");
    g_assert_true(event_loop_turn(loop, true));
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abcaa");
    g_assert_false(event_loop_turn(loop, false));
    alarms[0].free_self = true;
    alarm_arm(&alarms[0], now);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abcaaa");
    free_alarms(alarms, 3);
}

/*
 * An old kernel, or a filter that does not know epoll_pwait2(): coarser, never early, not spinning.
 */
static void check_without_pwait2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { G_N_ELEMENTS(code), code };
    g_autoptr(EventLoop) loop = NULL;
    g_autoptr(GString) log = g_string_new(NULL);
    Alarm alarms[1];
    int turns = 0;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        g_test_message("no seccomp here");
        return;
    }
    loop = new_loop();
    init_alarms(alarms, 1, loop, EVENT_CLOCK_REAL, log);
    alarm_arm(&alarms[0], event_clock_ns(EVENT_CLOCK_REAL) + 3 * MS + 1);
    while (alarms[0].calls == 0) {
        event_loop_turn(loop, true);
        turns++;
    }
    g_assert_cmpint(turns, <=, 3);
    free_alarms(alarms, 1);
}

static void test_timer_without_pwait2(void)
{
    if (g_test_subprocess()) {
        check_without_pwait2();
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

/* ---- the virtual clock of a machine that stops and goes on ---------------------------------- */

static void test_virtual_stands(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Alarm alarms[2], real;
    int64_t now;

    event_clock_set_running(false);
    now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    g_usleep(1000);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now);
    init_alarms(alarms, 2, loop, EVENT_CLOCK_VIRTUAL, log);
    init_alarms(&real, 1, loop, EVENT_CLOCK_REAL, log);
    real.letter = 'r';
    alarm_arm(&alarms[0], now + 100);
    alarm_arm(&alarms[1], now - 100);
    g_assert_false(event_loop_turn(loop, false)); /* what has expired waits, too */
    alarm_arm(&real, event_clock_ns(EVENT_CLOCK_REAL) + MS);
    g_assert_true(event_loop_turn(loop, true)); /* it sleeps until the real one */
    g_assert_cmpstr(log->str, ==, "r");
    event_clock_set_running(false); /* again: nothing */
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now);

    event_clock_set_running(true);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), >=, now);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), <, now + 1000000000); /* no jump */
    while (log->len < 3) {
        g_assert_true(event_loop_turn(loop, true));
    }
    g_assert_cmpstr(log->str, ==, "rba");
    event_clock_set_running(true);
    now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    while (event_clock_ns(EVENT_CLOCK_VIRTUAL) == now) {
    }
    free_alarms(alarms, 2);
    free_alarms(&real, 1);
}

/* ---- the manual virtual clock; from here on it is manual ------------------------------------ */

static void test_manual_stands(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Alarm alarms[2];
    int64_t now;

    event_clock_set_manual();
    now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    g_assert_cmpint(event_clock_virtual_deadline(loop), ==, INT64_MAX);
    init_alarms(alarms, 2, loop, EVENT_CLOCK_VIRTUAL, log);
    alarm_arm(&alarms[0], now + 1);
    alarm_arm(&alarms[1], now);
    g_assert_cmpint(event_clock_virtual_deadline(loop), ==, now);
    g_usleep(100);
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now);
    /* What has expired runs in a turn, the rest waits for the clock. */
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "b");
    g_assert_false(event_loop_turn(loop, false));
    event_clock_step(loop, 0);
    g_assert_cmpstr(log->str, ==, "b");
    event_clock_step(loop, 1);
    g_assert_cmpstr(log->str, ==, "ba");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now + 1);
    g_assert_cmpint(event_clock_virtual_deadline(loop), ==, INT64_MAX);
    free_alarms(alarms, 2);
}

static void test_manual_step(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    g_autoptr(GArray) fired_at = g_array_new(FALSE, FALSE, sizeof(int64_t));
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    Alarm alarms[3];

    init_alarms(alarms, 3, loop, EVENT_CLOCK_VIRTUAL, log);
    /* Periodic: a handler sees the time of its own deadline. */
    alarms[0].again = 3;
    alarms[0].step = 10;
    alarms[0].fired_at = fired_at;
    alarm_arm(&alarms[0], now + 10);
    alarm_arm(&alarms[1], now + 25);
    alarm_arm(&alarms[2], now + 36);
    event_clock_step(loop, 35);
    g_assert_cmpstr(log->str, ==, "aaba");
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(g_array_index(fired_at, int64_t, i), ==, now + 10 * (i + 1));
    }
    g_assert_cmpint(event_clock_virtual_deadline(loop), ==, now + 36);
    event_clock_step(loop, 5);
    g_assert_cmpstr(log->str, ==, "aabaca");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now + 40);
    free_alarms(alarms, 3);
}

/* A timer that arms itself for the present moment for ever does not stop the clock. */
static void test_manual_step_standing_timer(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    Alarm alarms[2];

    init_alarms(alarms, 2, loop, EVENT_CLOCK_VIRTUAL, log);
    alarms[0].again = 1000000;
    alarm_arm(&alarms[0], now + 5);
    alarm_arm(&alarms[1], now + 7);
    event_clock_step(loop, 10);
    /* Once at each moment the clock stands still, and at the next turn. */
    g_assert_cmpstr(log->str, ==, "aba");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now + 10);
    g_assert_true(event_loop_turn(loop, true));
    g_assert_cmpstr(log->str, ==, "abaa");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, now + 10);
    free_alarms(alarms, 2);
}

static void test_manual_step_end_of_time(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    g_autoptr(GString) log = g_string_new(NULL);
    Alarm alarms[1];

    init_alarms(alarms, 1, loop, EVENT_CLOCK_VIRTUAL, log);
    alarm_arm(&alarms[0], INT64_MAX);
    event_clock_step(loop, INT64_MAX);
    g_assert_cmpstr(log->str, ==, "a");
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_VIRTUAL), ==, INT64_MAX);
    free_alarms(alarms, 1);
}

/* ---- a timer armed by another thread under the lock of the wait hooks ------------------------ */

static pthread_mutex_t hook_lock = PTHREAD_MUTEX_INITIALIZER;

static void hook_unlock(void)
{
    pthread_mutex_unlock(&hook_lock);
}

static void hook_relock(void)
{
    pthread_mutex_lock(&hook_lock);
}

static void quit_loop(void *opaque)
{
    event_loop_quit(opaque);
}

static void *arm_from_thread(void *opaque)
{
    pthread_mutex_lock(&hook_lock);
    event_timer_arm(opaque, event_clock_ns(EVENT_CLOCK_REAL) + MS);
    pthread_mutex_unlock(&hook_lock);
    return NULL;
}

static void test_timer_armed_by_thread(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    EventTimer *timer = event_timer_new(loop, EVENT_CLOCK_REAL, quit_loop, loop);

    event_loop_set_wait_hooks(loop, hook_unlock, hook_relock);
    for (int round = 0; round < 50; round++) {
        pthread_t thread;

        /* The loop has no other reason to wake: a lost timer would leave it asleep for ever. */
        pthread_mutex_lock(&hook_lock);
        g_assert_cmpint(pthread_create(&thread, NULL, arm_from_thread, timer), ==, 0);
        event_loop_run(loop);
        pthread_mutex_unlock(&hook_lock);
        pthread_join(thread, NULL);
    }
    event_timer_free(timer);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event-loop/fd/level-triggered", test_fd_level_triggered);
    g_test_add_func("/event-loop/fd/set-events", test_fd_set_events);
    g_test_add_func("/event-loop/fd/hangup-always-reported", test_fd_hangup);
    g_test_add_func("/event-loop/fd/regular-file-refused", test_fd_refused);
    g_test_add_func("/event-loop/fd/more-than-a-turn-takes", test_fd_many);
    g_test_add_func("/event-loop/fd/removes-itself", test_fd_remove_self);
    g_test_add_func("/event-loop/fd/removed-after-collection", test_fd_remove_collected);
    g_test_add_func("/event-loop/fd/silenced-after-collection", test_fd_silence_collected);
    g_test_add_func("/event-loop/nest/nothing-lost-or-doubled", test_nest_no_loss);
    g_test_add_func("/event-loop/nest/handler-not-entered-again", test_nest_not_entered_again);
    g_test_add_func("/event-loop/nest/set-events-while-muted", test_nest_set_events_while_muted);
    g_test_add_func("/event-loop/nest/remove-while-muted", test_nest_remove_while_muted);
    g_test_add_func("/event-loop/nest/remove-running-outer", test_nest_remove_outer);
    g_test_add_func("/event-loop/nest/hangup-does-not-spin", test_nest_hangup_does_not_spin);
    g_test_add_func("/event-loop/bh/order-and-idempotence", test_bh_order);
    g_test_add_func("/event-loop/bh/schedules-itself", test_bh_schedules_itself);
    g_test_add_func("/event-loop/bh/free-pending-and-running", test_bh_free);
    g_test_add_func("/event-loop/bh/free-with-loop", test_bh_free_with_loop);
    g_test_add_func("/event-loop/bh/nested", test_bh_nested);
    g_test_add_func("/event-loop/bh/none-lost-from-threads", test_bh_threads);
    g_test_add_func("/event-loop/bh/publishes-data", test_bh_publishes);
    g_test_add_func("/event-loop/quit/before-run", test_quit_before_run);
    g_test_add_func("/event-loop/quit/from-thread", test_quit_thread);
    g_test_add_func("/event-loop/quit/from-signal-handler", test_quit_signal);
    g_test_add_func("/event-loop/quit/nested-turn-still-sleeps", test_quit_then_nested_sleep);
    g_test_add_func("/event-loop/wait-hooks", test_hooks);
    g_test_add_func("/event-loop/new-without-descriptors", test_new_fails);
    g_test_add_func("/event-loop/main-loop-is-one", test_main_loop);
    g_test_add_func("/event-loop/timer/order", test_timer_order);
    g_test_add_func("/event-loop/timer/virtual-order", test_timer_virtual);
    g_test_add_func("/event-loop/timer/disarm", test_timer_disarm);
    g_test_add_func("/event-loop/timer/past-runs-once-a-turn", test_timer_in_the_past);
    g_test_add_func("/event-loop/timer/not-starved-by-descriptor", test_timer_beside_busy_fd);
    g_test_add_func("/event-loop/timer/nested", test_timer_nested);
    g_test_add_func("/event-loop/timer/without-epoll-pwait2", test_timer_without_pwait2);
    g_test_add_func("/event-loop/timer/armed-by-thread-ends-the-sleep", test_timer_armed_by_thread);
    g_test_add_func("/event-loop/virtual-clock/stands", test_virtual_stands);
    g_test_add_func("/event-loop/manual-clock/stands", test_manual_stands);
    g_test_add_func("/event-loop/manual-clock/step-visits-deadlines", test_manual_step);
    g_test_add_func("/event-loop/manual-clock/standing-timer", test_manual_step_standing_timer);
    g_test_add_func("/event-loop/manual-clock/end-of-time", test_manual_step_end_of_time);
    return g_test_run();
}
