/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the local APICs' timers.
 *
 * Runs in: tests
 */
#include "apic-rig.h"
#include "util/event-loop.h"

static void step(int64_t ns)
{
    event_clock_step(event_loop_main(), ns);
}

static void test_timer_one_shot(Fixture *f, gconstpointer data)
{
    wr(0, APIC_REG_LVT, 0x31);
    wr(0, APIC_REG_TIMER_DIVIDE, 0xb); /* by 1 */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    step(400);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 600);
    step(599);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x31);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 0);
    step(100000);
    check_nobody(f);
    /* A change to periodic does not start it again. */
    wr(0, APIC_REG_LVT, 0x31 | APIC_LVT_PERIODIC);
    step(100000);
    check_nobody(f);
    /* Other rates. */
    wr(0, APIC_REG_LVT, 0x31);
    wr(0, APIC_REG_TIMER_DIVIDE, 0x3); /* by 16 */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    step(8000);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 500);
    wr(0, APIC_REG_TIMER_DIVIDE, 0x0); /* by 2: goes on from where it is */
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 500);
    step(999);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x31);
    /* 0 stops it. */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    wr(0, APIC_REG_TIMER_INITIAL, 0);
    step(100000);
    check_nobody(f);
}

static void test_timer_periodic(Fixture *f, gconstpointer data)
{
    unsigned count = 0;

    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC);
    wr(0, APIC_REG_TIMER_DIVIDE, 0xb);
    wr(0, APIC_REG_TIMER_INITIAL, 1000000);
    for (unsigned i = 0; i < 100; i++) {
        step(100000);
        count += take(f, 0) == 0x32;
    }
    g_assert_cmpuint(count, ==, 10);
    step(250000);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 750000);
    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC | APIC_LVT_MASKED);
    step(10000000);
    check_nobody(f);
    /* The shortest period keeps the main loop no busier than this. */
    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC);
    wr(0, APIC_REG_TIMER_INITIAL, 1);
    count = 0;
    for (unsigned i = 0; i < 100; i++) {
        step(APIC_TIMER_MIN_NS / 10);
        count += take(f, 0) == 0x32;
    }
    g_assert_cmpuint(count, >=, 9);
    g_assert_cmpuint(count, <=, 11);
}

static void test_timer_deadline(Fixture *f, gconstpointer data)
{
    uint64_t now = (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL), value;

    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 1)); /* not in this mode */
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
    wr(0, APIC_REG_LVT, 0x33 | APIC_LVT_TSC_DEADLINE);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 500));
    wr(0, APIC_REG_TIMER_INITIAL, 10); /* nor this one in this */
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_INITIAL), ==, 0);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, now + 500);
    step(499);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x33);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 1000));
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, 0));
    step(10000);
    check_nobody(f);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, UINT64_MAX));
    step(10000);
    check_nobody(f);
    wr(0, APIC_REG_LVT, 0x33); /* leaving the mode disarms */
    wr(0, APIC_REG_LVT, 0x33 | APIC_LVT_TSC_DEADLINE);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
}

int main(int argc, char **argv)
{
    static const ApicTest tests[] = {
        { "/apic/timer/one-shot", test_timer_one_shot },
        { "/apic/timer/periodic", test_timer_periodic },
        { "/apic/timer/tsc-deadline", test_timer_deadline },
    };

    return apic_rig_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
