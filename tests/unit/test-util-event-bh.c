/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/event-loop.c: deferred calls.
 *
 * Runs in: neither program.
 */
#include <pthread.h>
#include <stdatomic.h>
#include "event-rig.h"

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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event-loop/bh/order-and-idempotence", test_bh_order);
    g_test_add_func("/event-loop/bh/schedules-itself", test_bh_schedules_itself);
    g_test_add_func("/event-loop/bh/free-pending-and-running", test_bh_free);
    g_test_add_func("/event-loop/bh/free-with-loop", test_bh_free_with_loop);
    g_test_add_func("/event-loop/bh/nested", test_bh_nested);
    g_test_add_func("/event-loop/bh/none-lost-from-threads", test_bh_threads);
    g_test_add_func("/event-loop/bh/publishes-data", test_bh_publishes);
    return g_test_run();
}
