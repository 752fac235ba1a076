/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of util/event-timer.c, and of the clocks of util/event-loop.h.
 *
 * Runs in: neither program.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "event-rig.h"

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
