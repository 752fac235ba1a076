/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/event-loop.c: descriptors, turns within handlers, the end, the hooks.
 *
 * Runs in: neither program.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "event-rig.h"
#include "util/error.h"
#include "util/fd.h"

static void make_pair(int fds[2])
{
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
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

static void no_handler(int fd, unsigned ready, void *opaque)
{
    g_assert_not_reached();
}

static void test_fd_refused(void)
{
    g_autoptr(EventLoop) loop = new_loop();
    auto_fd file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(file, >=, 0);
    errno = 0;
    g_assert_null(event_loop_add_fd(loop, file, EVENT_READ, no_handler, NULL));
    g_assert_cmpint(errno, ==, EPERM);
    g_assert_null(event_loop_add_fd(loop, -1, EVENT_READ, no_handler, NULL));
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
    g_test_add_func("/event-loop/quit/before-run", test_quit_before_run);
    g_test_add_func("/event-loop/quit/from-thread", test_quit_thread);
    g_test_add_func("/event-loop/quit/from-signal-handler", test_quit_signal);
    g_test_add_func("/event-loop/quit/nested-turn-still-sleeps", test_quit_then_nested_sleep);
    g_test_add_func("/event-loop/wait-hooks", test_hooks);
    g_test_add_func("/event-loop/new-without-descriptors", test_new_fails);
    g_test_add_func("/event-loop/main-loop-is-one", test_main_loop);
    return g_test_run();
}
