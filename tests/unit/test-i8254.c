/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the 8254 and of port 0x61.  Time is given in ticks of the part's clock.
 */
#include "hw/timer/i8254.h"
#include "isa-rig.h"
#include "util/machine-lock.h"

#define PORT(n) (uint16_t)(0x40 + (n))
#define CONTROL 0x43
#define SYSTEM 0x61

/* Control words: counter, access, mode. */
#define CW(n, access, mode) (uint8_t)((n) << 6 | (access) << 4 | (mode) << 1)
#define LOW 1u
#define HIGH 2u
#define BOTH 3u
#define BCD 1u

enum {
    OUT_BIT = 0x80,
    NULL_COUNT_BIT = 0x40,
};

typedef struct Fixture {
    IsaRig rig;
    Pit *pit;
} Fixture;

static int64_t tick_ns(int64_t tick)
{
    return (int64_t)(((__int128)tick * 1000000000 + PIT_HZ - 1) / PIT_HZ);
}

/* Goes to the first nanosecond of the tick TICKS behind the present one. */
static void run(Fixture *f, int64_t ticks)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    int64_t tick = (int64_t)((__int128)now * PIT_HZ / 1000000000);

    isa_rig_step(tick_ns(tick + ticks) - now);
}

static void stall(Fixture *f, int64_t ticks)
{
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    int64_t tick = (int64_t)((__int128)now * PIT_HZ / 1000000000);

    isa_rig_stall(tick_ns(tick + ticks) - now);
}

static void setup(Fixture *f, gconstpointer data)
{
    isa_rig_setup(&f->rig);
    f->pit = pit_create(f->rig.bus, NULL);
    g_assert_nonnull(f->pit);
    run(f, 1000003);
}

static void teardown(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
}

static void out(Fixture *f, uint16_t port, uint8_t value)
{
    isa_out(&f->rig, port, value);
}

static uint8_t in(Fixture *f, uint16_t port)
{
    return isa_in(&f->rig, port);
}

static void program(Fixture *f, unsigned n, unsigned mode, unsigned count)
{
    out(f, CONTROL, CW(n, BOTH, mode));
    out(f, PORT(n), (uint8_t)count);
    out(f, PORT(n), (uint8_t)(count >> 8));
}

/* The live count of a counter with access BOTH. */
static unsigned count(Fixture *f, unsigned n)
{
    unsigned low = in(f, PORT(n));

    return low | (unsigned)in(f, PORT(n)) << 8;
}

static uint8_t status(Fixture *f, unsigned n)
{
    out(f, CONTROL, (uint8_t)(0xe0 | 2u << n));
    return in(f, PORT(n));
}

static bool output(Fixture *f, unsigned n)
{
    return status(f, n) & OUT_BIT;
}

static void expect_out2(Fixture *f, bool level)
{
    g_assert_cmpint(output(f, 2), ==, level);
    g_assert_cmpint(!!(in(f, SYSTEM) & 0x20), ==, level);
}

static void gate(Fixture *f, bool level)
{
    out(f, SYSTEM, level);
}

/* ---- modes, on counter 2 where the gate can be moved ----------------------------------------- */

static void test_mode0(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 0, 100);
    g_assert_true(status(f, 2) & NULL_COUNT_BIT);
    expect_out2(f, false);
    run(f, 1);
    g_assert_false(status(f, 2) & NULL_COUNT_BIT);
    g_assert_cmpuint(count(f, 2), ==, 100);
    run(f, 99);
    g_assert_cmpuint(count(f, 2), ==, 1);
    expect_out2(f, false);
    run(f, 1);
    g_assert_cmpuint(count(f, 2), ==, 0);
    expect_out2(f, true);
    run(f, 1);
    g_assert_cmpuint(count(f, 2), ==, 0xffff); /* goes on */
    run(f, 200000);
    expect_out2(f, true);
    /* The first byte of a new count stops, the second starts. */
    out(f, PORT(2), 10);
    expect_out2(f, false);
    run(f, 50);
    expect_out2(f, false);
    out(f, PORT(2), 0);
    run(f, 10);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
}

static void test_mode0_gate_holds(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 0, 100);
    run(f, 41);
    g_assert_cmpuint(count(f, 2), ==, 60);
    gate(f, false);
    run(f, 1000);
    g_assert_cmpuint(count(f, 2), ==, 60);
    expect_out2(f, false);
    gate(f, true);
    run(f, 59);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
}

static void test_mode1(Fixture *f, gconstpointer data)
{
    program(f, 2, 1, 50);
    expect_out2(f, true);
    run(f, 200);
    expect_out2(f, true);
    g_assert_true(status(f, 2) & NULL_COUNT_BIT);
    gate(f, true);
    run(f, 1);
    expect_out2(f, false);
    g_assert_false(status(f, 2) & NULL_COUNT_BIT);
    gate(f, false); /* the level does not matter */
    run(f, 49);
    expect_out2(f, false);
    g_assert_cmpuint(count(f, 2), ==, 1);
    run(f, 1);
    expect_out2(f, true);
    /* Triggered again; a new count waits for the trigger after. */
    gate(f, true);
    run(f, 21);
    out(f, PORT(2), 5);
    out(f, PORT(2), 0);
    run(f, 10);
    g_assert_cmpuint(count(f, 2), ==, 20);
    expect_out2(f, false);
    gate(f, false);
    gate(f, true);
    run(f, 5);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
}

static void test_mode2(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 2, 4);
    run(f, 1);
    for (unsigned i = 0; i < 12; i++) {
        g_assert_cmpuint(count(f, 2), ==, 4 - i % 4);
        expect_out2(f, i % 4 != 3);
        run(f, 1);
    }
    run(f, 1);
    /* A new count begins with the next period. */
    out(f, PORT(2), 10);
    out(f, PORT(2), 0);
    g_assert_true(status(f, 2) & NULL_COUNT_BIT);
    g_assert_cmpuint(count(f, 2), ==, 3);
    run(f, 2);
    g_assert_cmpuint(count(f, 2), ==, 1);
    run(f, 1);
    g_assert_cmpuint(count(f, 2), ==, 10);
    g_assert_false(status(f, 2) & NULL_COUNT_BIT);
    run(f, 9);
    expect_out2(f, false);
    /* The gate raises the output, and starts a whole period. */
    gate(f, false);
    expect_out2(f, true);
    run(f, 77);
    expect_out2(f, true);
    gate(f, true);
    run(f, 1);
    g_assert_cmpuint(count(f, 2), ==, 10);
}

static void test_mode3_even(Fixture *f, gconstpointer data)
{
    static const unsigned counts[] = { 6, 4, 2 };

    gate(f, true);
    program(f, 2, 3, 6);
    run(f, 1);
    for (unsigned i = 0; i < 12; i++) {
        g_assert_cmpuint(count(f, 2), ==, counts[i % 3]);
        expect_out2(f, i % 6 < 3);
        run(f, 1);
    }
}

static void test_mode3_odd(Fixture *f, gconstpointer data)
{
    static const unsigned counts[] = { 4, 2, 0, 4, 2 };

    gate(f, true);
    program(f, 2, 3, 5);
    run(f, 1);
    for (unsigned i = 0; i < 15; i++) {
        g_assert_cmpuint(count(f, 2), ==, counts[i % 5]);
        expect_out2(f, i % 5 < 3);
        run(f, 1);
    }
    gate(f, false);
    expect_out2(f, true);
}

static void test_mode3_new_count_at_half(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 3, 10);
    run(f, 1 + 2);
    out(f, PORT(2), 4);
    out(f, PORT(2), 0);
    run(f, 2);
    expect_out2(f, true);
    run(f, 1); /* five ticks high; then two low, two high */
    expect_out2(f, false);
    g_assert_cmpuint(count(f, 2), ==, 4);
    run(f, 1);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
    run(f, 2);
    expect_out2(f, false);
    /* In the low half: from the next period. */
    out(f, PORT(2), 8);
    out(f, PORT(2), 0);
    run(f, 2);
    for (unsigned i = 0; i < 8; i++) {
        expect_out2(f, i < 4);
        run(f, 1);
    }
}

static void test_mode4(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 4, 20);
    expect_out2(f, true);
    run(f, 20);
    expect_out2(f, true);
    run(f, 1);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
    run(f, 70000);
    expect_out2(f, true);
    out(f, PORT(2), 3);
    run(f, 10);
    out(f, PORT(2), 0);
    run(f, 4);
    expect_out2(f, false);
}

static void test_mode5(Fixture *f, gconstpointer data)
{
    program(f, 2, 5, 20);
    run(f, 100);
    expect_out2(f, true);
    gate(f, true);
    run(f, 11);
    gate(f, false);
    gate(f, true); /* again from the start */
    run(f, 20);
    expect_out2(f, true);
    run(f, 1);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
}

static void test_modes_6_and_7(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 6, 4);
    run(f, 4);
    expect_out2(f, false);
    g_assert_cmphex(status(f, 2) & 0x3f, ==, 0x3c);
    program(f, 2, 7, 4);
    run(f, 3);
    expect_out2(f, false);
}

static void test_smallest_and_largest(Fixture *f, gconstpointer data)
{
    gate(f, true);
    program(f, 2, 2, 0);
    run(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0); /* 65536 */
    run(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0xffff);
    run(f, 65534);
    expect_out2(f, false);
    /* A period of 1 is not allowed. */
    for (unsigned mode = 2; mode <= 3; mode++) {
        program(f, 2, mode, 1);
        program(f, 0, mode, 1);
        run(f, 100);
        expect_out2(f, true);
        g_assert_cmpuint(f->rig.raised[0], <=, 1);
    }
    program(f, 2, 0, 1);
    run(f, 1);
    expect_out2(f, false);
    run(f, 1);
    expect_out2(f, true);
}

/* ---- reading and writing --------------------------------------------------------------------- */

static void test_access_modes(Fixture *f, gconstpointer data)
{
    gate(f, true);
    out(f, CONTROL, CW(2, LOW, 2));
    out(f, PORT(2), 0x40);
    run(f, 1);
    g_assert_cmphex(in(f, PORT(2)), ==, 0x40);
    run(f, 1);
    g_assert_cmphex(in(f, PORT(2)), ==, 0x3f);
    out(f, CONTROL, CW(2, HIGH, 2));
    out(f, PORT(2), 0x12);
    run(f, 1);
    g_assert_cmphex(in(f, PORT(2)), ==, 0x12);
    run(f, 1);
    g_assert_cmphex(in(f, PORT(2)), ==, 0x11);
    g_assert_cmphex(in(f, CONTROL), ==, 0xff);
}

static void test_latch(Fixture *f, gconstpointer data)
{
    program(f, 0, 2, 0x1234);
    run(f, 1);
    out(f, CONTROL, CW(0, 0, 0));
    run(f, 0x100);
    out(f, CONTROL, CW(0, 0, 0)); /* held until it is read */
    g_assert_cmphex(count(f, 0), ==, 0x1234);
    g_assert_cmphex(count(f, 0), ==, 0x1134);
    /* One byte of the latch, for each access. */
    out(f, CONTROL, CW(0, HIGH, 2));
    out(f, PORT(0), 0x20);
    run(f, 1);
    out(f, CONTROL, CW(0, 0, 0));
    run(f, 0x100);
    g_assert_cmphex(in(f, PORT(0)), ==, 0x20);
    g_assert_cmphex(in(f, PORT(0)), ==, 0x1f);
    /* A control word forgets the latch. */
    out(f, CONTROL, CW(0, 0, 0));
    program(f, 0, 2, 0x5000);
    run(f, 1);
    g_assert_cmphex(count(f, 0), ==, 0x5000);
}

static void test_read_back(Fixture *f, gconstpointer data)
{
    program(f, 0, 2, 0x1000);
    program(f, 1, 3, 0x2000);
    run(f, 1);
    out(f, CONTROL, 0xc6); /* count and status of 0 and 1 */
    run(f, 8);
    g_assert_cmphex(in(f, PORT(0)), ==, OUT_BIT | 0x34);
    g_assert_cmphex(count(f, 0), ==, 0x1000);
    g_assert_cmphex(count(f, 0), ==, 0x1000 - 8);
    g_assert_cmphex(in(f, PORT(1)), ==, OUT_BIT | 0x36);
    g_assert_cmphex(count(f, 1), ==, 0x2000);
    /* The status is held until read, too. */
    out(f, CONTROL, 0xe2);
    out(f, CONTROL, CW(0, BOTH, 0));
    g_assert_cmphex(in(f, PORT(0)), ==, 0); /* but not over a control word */
    out(f, CONTROL, 0xe2);
    g_assert_cmphex(in(f, PORT(0)), ==, NULL_COUNT_BIT | 0x30);
    out(f, CONTROL, 0xd2); /* count only */
    g_assert_cmphex(count(f, 0), ==, 0);
    out(f, CONTROL, 0xf2); /* neither */
    out(f, CONTROL, 0xc0); /* of none */
}

static void test_bcd(Fixture *f, gconstpointer data)
{
    gate(f, true);
    out(f, CONTROL, CW(2, BOTH, 0) | BCD);
    out(f, PORT(2), 0x00);
    out(f, PORT(2), 0x12);
    run(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0x1200);
    run(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0x1199);
    run(f, 1199);
    g_assert_cmphex(count(f, 2), ==, 0x0000);
    expect_out2(f, true);
    run(f, 1);
    g_assert_cmphex(count(f, 2), ==, 0x9999);
    /* 0 is 10000. */
    out(f, CONTROL, CW(2, BOTH, 2) | BCD);
    out(f, PORT(2), 0);
    out(f, PORT(2), 0);
    run(f, 1 + 9999);
    expect_out2(f, false);
    g_assert_cmphex(count(f, 2), ==, 1);
    /* What is no decimal digit does no harm. */
    for (unsigned mode = 0; mode < 6; mode++) {
        out(f, CONTROL, CW(0, BOTH, mode) | BCD);
        out(f, PORT(0), 0xff);
        out(f, PORT(0), 0xff);
        run(f, 40000);
        count(f, 0);
    }
}

static void test_port61(Fixture *f, gconstpointer data)
{
    uint8_t refresh;

    out(f, SYSTEM, 0xff);
    g_assert_cmphex(in(f, SYSTEM) & 0xcf, ==, 0x0f);
    out(f, SYSTEM, 0x02);
    g_assert_cmphex(in(f, SYSTEM) & 0xcf, ==, 0x02);
    refresh = in(f, SYSTEM) & 0x10;
    run(f, 18);
    g_assert_cmphex(in(f, SYSTEM) & 0x10, !=, refresh);
    run(f, 18);
    g_assert_cmphex(in(f, SYSTEM) & 0x10, ==, refresh);
}

/* ---- interrupt 0 ----------------------------------------------------------------------------- */

static void test_periodic_interrupt(Fixture *f, gconstpointer data)
{
    for (unsigned mode = 2; mode <= 3; mode++) {
        unsigned before;

        program(f, 0, mode, 1193);
        before = f->rig.raised[0];
        run(f, 1193);
        g_assert_cmpuint(f->rig.raised[0], ==, before);
        run(f, 1);
        g_assert_cmpuint(f->rig.raised[0], ==, before + 1);
        run(f, 1193 * 1000);
        g_assert_cmpuint(f->rig.raised[0], ==, before + 1001);
    }
}

static void test_exact_rate(Fixture *f, gconstpointer data)
{
    unsigned before;

    program(f, 0, 2, 11932);
    before = f->rig.raised[0];
    isa_rig_step(1000 * G_GINT64_CONSTANT(1000000000));
    g_assert_cmpuint(f->rig.raised[0] - before, ==, G_GUINT64_CONSTANT(1000) * PIT_HZ / 11932);
}

static void test_one_shots(Fixture *f, gconstpointer data)
{
    unsigned before;

    out(f, CONTROL, CW(0, BOTH, 0));
    g_assert_cmpint(f->rig.level[0], ==, 0);
    out(f, PORT(0), 100);
    out(f, PORT(0), 0);
    run(f, 100);
    g_assert_cmpint(f->rig.level[0], ==, 0);
    run(f, 1);
    g_assert_cmpint(f->rig.level[0], ==, 1);
    before = f->rig.raised[0];
    run(f, 1000000);
    g_assert_cmpuint(f->rig.raised[0], ==, before);

    program(f, 0, 4, 100);
    before = f->rig.raised[0];
    run(f, 101);
    g_assert_cmpuint(f->rig.raised[0], ==, before);
    run(f, 1);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 1);
    /* Armed again by the count alone. */
    out(f, PORT(0), 50);
    out(f, PORT(0), 0);
    run(f, 52);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 2);
    /* Modes 1 and 5 need a trigger, which counter 0 never gets. */
    program(f, 0, 1, 10);
    program(f, 0, 5, 10);
    before = f->rig.raised[0];
    run(f, 1000);
    g_assert_cmpuint(f->rig.raised[0], ==, before);
}

static void test_new_rate(Fixture *f, gconstpointer data)
{
    unsigned before;

    program(f, 0, 2, 2000);
    run(f, 1 + 500);
    out(f, PORT(0), 0xe8);
    out(f, PORT(0), 0x03);
    before = f->rig.raised[0];
    run(f, 1499);
    g_assert_cmpuint(f->rig.raised[0], ==, before);
    run(f, 1);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 1);
    run(f, 10 * 1000);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 11);
    /* Mode 3: the new count begins with the low half. */
    program(f, 0, 3, 2000);
    run(f, 1 + 500);
    out(f, PORT(0), 0xe8);
    out(f, PORT(0), 0x03);
    before = f->rig.raised[0];
    run(f, 500 + 499);
    g_assert_cmpuint(f->rig.raised[0], ==, before);
    run(f, 1);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 1);
    run(f, 10 * 1000);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 11);
}

static void test_missed_ticks(Fixture *f, gconstpointer data)
{
    unsigned before;

    program(f, 0, 2, 1200);
    run(f, 1);
    before = f->rig.raised[0];
    stall(f, 10 * 1200);
    isa_rig_step(0);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 1);
    /* Nine are to be made up for, one in each period. */
    run(f, 1199);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 2);
    run(f, 1 + 19 * 1200);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 30);
    g_assert_cmpuint(f->pit->dropped, ==, 0);

    /* The most, and one more. */
    stall(f, (PIT_BACKLOG_MAX + 1) * 1200);
    isa_rig_step(0);
    g_assert_cmpuint(f->pit->backlog, ==, PIT_BACKLOG_MAX);
    g_assert_cmpuint(f->pit->dropped, ==, 0);
    run(f, (PIT_BACKLOG_MAX + 1) * 1200);
    g_assert_cmpuint(f->pit->backlog, ==, 0);
    stall(f, (PIT_BACKLOG_MAX + 2) * 1200);
    isa_rig_step(0);
    g_assert_cmpuint(f->pit->backlog, ==, PIT_BACKLOG_MAX);
    g_assert_cmpuint(f->pit->dropped, ==, 1);
    /* Programming forgets them. */
    program(f, 0, 2, 1200);
    before = f->rig.raised[0];
    run(f, 1 + 10 * 1200);
    g_assert_cmpuint(f->rig.raised[0], ==, before + 10);
}

/* Made up for at twice the rate, ticks must not come more often than any may. */
static void test_missed_ticks_of_short_periods(Fixture *f, gconstpointer data)
{
    program(f, 0, 2, 238); /* 199 us */
    run(f, 1);
    stall(f, 10 * 238);
    isa_rig_step(0);
    g_assert_cmpuint(f->pit->backlog, ==, 0);
    program(f, 0, 2, 239); /* 200 us */
    run(f, 1);
    stall(f, 10 * 239);
    isa_rig_step(0);
    g_assert_cmpuint(f->pit->backlog, ==, 9);
}

static void test_too_fast(Fixture *f, gconstpointer data)
{
    unsigned before;

    program(f, 0, 2, 2);
    before = f->rig.raised[0];
    isa_rig_step(1000000000);
    g_assert_cmpuint(f->rig.raised[0] - before, >=, 9000);
    g_assert_cmpuint(f->rig.raised[0] - before, <=, 10001);
    g_assert_cmpuint(f->pit->backlog, ==, 0);
}

static void test_reset(Fixture *f, gconstpointer data)
{
    unsigned before;

    gate(f, true);
    program(f, 0, 2, 1200);
    program(f, 2, 2, 1200);
    run(f, 600);
    g_assert_cmpint(f->rig.level[0], ==, 1);
    device_reset(DEVICE(f->pit));
    g_assert_cmpint(f->rig.level[0], ==, 0);
    g_assert_cmphex(in(f, SYSTEM) & 0xef, ==, 0);
    g_assert_cmphex(status(f, 0), ==, NULL_COUNT_BIT | 0x30);
    before = f->rig.raised[0];
    run(f, 100000);
    g_assert_cmpuint(f->rig.raised[0], ==, before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
#define ADD(name, fn) g_test_add("/i8254/" name, Fixture, NULL, setup, fn, teardown)
    ADD("mode-0", test_mode0);
    ADD("mode-0-gate-holds", test_mode0_gate_holds);
    ADD("mode-1", test_mode1);
    ADD("mode-2", test_mode2);
    ADD("mode-3-even", test_mode3_even);
    ADD("mode-3-odd", test_mode3_odd);
    ADD("mode-3-new-count-at-half", test_mode3_new_count_at_half);
    ADD("mode-4", test_mode4);
    ADD("mode-5", test_mode5);
    ADD("modes-6-and-7", test_modes_6_and_7);
    ADD("smallest-and-largest", test_smallest_and_largest);
    ADD("access-modes", test_access_modes);
    ADD("latch", test_latch);
    ADD("read-back", test_read_back);
    ADD("bcd", test_bcd);
    ADD("port-61", test_port61);
    ADD("periodic-interrupt", test_periodic_interrupt);
    ADD("exact-rate", test_exact_rate);
    ADD("one-shots", test_one_shots);
    ADD("new-rate", test_new_rate);
    ADD("missed-ticks", test_missed_ticks);
    ADD("missed-ticks-of-short-periods", test_missed_ticks_of_short_periods);
    ADD("too-fast", test_too_fast);
    ADD("reset", test_reset);
    return g_test_run();
}
