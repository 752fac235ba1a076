/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the real-time clock.
 */
#include "hw/rtc/mc146818.h"
#include "isa-rig.h"
#include "util/error.h"
#include "util/machine-lock.h"

#define S G_GINT64_CONSTANT(1000000000)
#define MS G_GINT64_CONSTANT(1000000)

/* 1999-12-31T23:59:58, a Friday. */
#define BASE 946684798

#define A_RUNS 0x20
#define A_HELD 0x70

typedef struct Fixture {
    IsaRig rig;
    Rtc *rtc;
} Fixture;

static void setup(Fixture *f, gconstpointer data)
{
    isa_rig_setup(&f->rig);
    f->rtc = rtc_create(f->rig.bus, BASE, NULL);
    g_assert_nonnull(f->rtc);
}

static void teardown(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
}

static uint8_t get(Fixture *f, uint8_t index)
{
    isa_out(&f->rig, 0x70, index);
    return isa_in(&f->rig, 0x71);
}

static void set(Fixture *f, uint8_t index, uint8_t value)
{
    isa_out(&f->rig, 0x70, index);
    isa_out(&f->rig, 0x71, value);
}

/* The bytes as they stand there: date as 0xCCYYMMDD, time as 0xHHMMSS. */
static void expect_time(Fixture *f, uint32_t date, uint32_t time)
{
    g_assert_cmphex((uint32_t)get(f, RTC_CENTURY) << 24 | (uint32_t)get(f, RTC_YEAR) << 16 |
                    (uint32_t)get(f, RTC_MONTH) << 8 | get(f, RTC_DAY_OF_MONTH), ==, date);
    g_assert_cmphex((uint32_t)get(f, RTC_HOURS) << 16 | (uint32_t)get(f, RTC_MINUTES) << 8 | get(f, RTC_SECONDS), ==,
                    time);
}

static void set_time(Fixture *f, uint32_t date, uint32_t time)
{
    set(f, RTC_CENTURY, (uint8_t)(date >> 24));
    set(f, RTC_YEAR, (uint8_t)(date >> 16));
    set(f, RTC_MONTH, (uint8_t)(date >> 8));
    set(f, RTC_DAY_OF_MONTH, (uint8_t)date);
    set(f, RTC_HOURS, (uint8_t)(time >> 16));
    set(f, RTC_MINUTES, (uint8_t)(time >> 8));
    set(f, RTC_SECONDS, (uint8_t)time);
}

static void set_alarm(Fixture *f, uint32_t time)
{
    set(f, RTC_HOURS_ALARM, (uint8_t)(time >> 16));
    set(f, RTC_MINUTES_ALARM, (uint8_t)(time >> 8));
    set(f, RTC_SECONDS_ALARM, (uint8_t)time);
}

static void test_time_goes(Fixture *f, gconstpointer data)
{
    expect_time(f, 0x19991231, 0x235958);
    g_assert_cmphex(get(f, RTC_DAY_OF_WEEK), ==, 6);
    isa_rig_step(S);
    expect_time(f, 0x19991231, 0x235959);
    isa_rig_step(S - 1);
    expect_time(f, 0x19991231, 0x235959);
    isa_rig_step(1);
    expect_time(f, 0x20000101, 0x000000);
    g_assert_cmphex(get(f, RTC_DAY_OF_WEEK), ==, 7);
    isa_rig_step((31 + 28) * 86400 * S);
    expect_time(f, 0x20000229, 0x000000);
    isa_rig_step(86400 * S);
    expect_time(f, 0x20000301, 0x000000);
}

static void test_registers(Fixture *f, gconstpointer data)
{
    g_assert_cmphex(get(f, RTC_REG_A), ==, 0x26);
    g_assert_cmphex(get(f, RTC_REG_B), ==, RTC_B_24H);
    g_assert_cmphex(get(f, RTC_REG_C), ==, 0);
    g_assert_cmphex(get(f, RTC_REG_D), ==, RTC_D_VRT);
    set(f, RTC_REG_C, 0xff);
    set(f, RTC_REG_D, 0x00);
    g_assert_cmphex(get(f, RTC_REG_C), ==, 0);
    g_assert_cmphex(get(f, RTC_REG_D), ==, RTC_D_VRT);
    set(f, RTC_REG_A, 0xaf);
    g_assert_cmphex(get(f, RTC_REG_A), ==, 0x2f);
    g_assert_cmphex(isa_in(&f->rig, 0x70), ==, 0xff);
    /* Memory: first and last byte; the NMI mask is no part of the index. */
    set(f, 0x0e, 0x5a);
    set(f, 0x7f, 0xa5);
    g_assert_cmphex(get(f, 0x8e), ==, 0x5a);
    g_assert_cmphex(get(f, 0xff), ==, 0xa5);
    rtc_set_cmos(f->rtc, 0x10, 0x44);
    g_assert_cmphex(get(f, 0x10), ==, 0x44);
    g_assert_cmphex(rtc_get_cmos(f->rtc, 0x0e), ==, 0x5a);
}

static void test_formats(Fixture *f, gconstpointer data)
{
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_BINARY);
    expect_time(f, 19u << 24 | 99u << 16 | 12u << 8 | 31, 23u << 16 | 59u << 8 | 58);
    set(f, RTC_REG_B, RTC_B_BINARY);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x80 | 11);
    set(f, RTC_REG_B, 0);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x91);
    isa_rig_step(2 * S);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x12); /* midnight */
    isa_rig_step(3600 * S);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x01);
    isa_rig_step(11 * 3600 * S);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x92); /* noon */
    /* Set in the same format. */
    set(f, RTC_HOURS, 0x12);
    set(f, RTC_REG_B, RTC_B_24H);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x00);
    set(f, RTC_REG_B, 0);
    set(f, RTC_HOURS, 0x87);
    set(f, RTC_REG_B, RTC_B_24H);
    g_assert_cmphex(get(f, RTC_HOURS), ==, 0x19);
}

static void test_set(Fixture *f, gconstpointer data)
{
    isa_rig_step(300 * MS);
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_SET | RTC_B_UIE);
    g_assert_cmphex(get(f, RTC_REG_B), ==, RTC_B_24H | RTC_B_SET); /* SET clears UIE */
    isa_rig_step(10 * S);
    expect_time(f, 0x19991231, 0x235958);
    set_time(f, 0x20240229, 0x115930);
    isa_rig_step(10 * S);
    expect_time(f, 0x20240229, 0x115930);
    set(f, RTC_REG_B, RTC_B_24H);
    expect_time(f, 0x20240229, 0x115930);
    g_assert_cmphex(get(f, RTC_DAY_OF_WEEK), ==, 5); /* whatever stood there */
    isa_rig_step(700 * MS - 1); /* the divider went on */
    expect_time(f, 0x20240229, 0x115930);
    isa_rig_step(1);
    expect_time(f, 0x20240229, 0x115931);
    /* Without SET, byte by byte. */
    set(f, RTC_YEAR, 0x25);
    expect_time(f, 0x20250301, 0x115931); /* which has no 29th of February */
    set(f, RTC_CENTURY, 0x19);
    expect_time(f, 0x19250301, 0x115931);
}

static void test_divider_reset(Fixture *f, gconstpointer data)
{
    isa_rig_step(900 * MS);
    /* As Linux does. */
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_SET);
    set(f, RTC_REG_A, A_HELD | 6);
    set_time(f, 0x20240229, 0x115930);
    set(f, RTC_REG_B, RTC_B_24H);
    isa_rig_step(5 * S);
    expect_time(f, 0x20240229, 0x115930);
    set(f, RTC_REG_A, A_RUNS | 6);
    isa_rig_step(500 * MS - 1);
    expect_time(f, 0x20240229, 0x115930);
    isa_rig_step(1);
    expect_time(f, 0x20240229, 0x115931);
    /* The divider first, then SET. */
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_SET);
    set(f, RTC_REG_A, A_HELD | 6);
    set(f, RTC_REG_A, A_RUNS | 6);
    isa_rig_step(400 * MS);
    set(f, RTC_REG_B, RTC_B_24H);
    isa_rig_step(100 * MS);
    expect_time(f, 0x20240229, 0x115932);
}

static void test_nonsense_in_the_registers(Fixture *f, gconstpointer data)
{
    static const uint8_t values[] = { 0x00, 0xff, 0x7f, 0x9a };

    for (unsigned b = 0; b < 8; b += 2) {
        for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
            for (unsigned index = 0; index < RTC_CMOS_SIZE; index++) {
                if (index != RTC_REG_B && index != RTC_REG_A) {
                    set(f, (uint8_t)index, values[i]);
                }
            }
            set(f, RTC_REG_B, (uint8_t)(RTC_B_SET | b));
            for (unsigned index = 0; index < RTC_REG_A; index++) {
                set(f, (uint8_t)index, values[i]);
            }
            set(f, RTC_CENTURY, values[i]);
            set(f, RTC_REG_B, (uint8_t)(b | RTC_B_AIE | RTC_B_UIE));
            isa_rig_step(S);
            g_assert_true(get(f, RTC_REG_C) & RTC_C_UF);
            get(f, RTC_YEAR);
        }
    }
}

static void test_uip(Fixture *f, gconstpointer data)
{
    isa_rig_step(S - 244001);
    g_assert_false(get(f, RTC_REG_A) & RTC_A_UIP);
    isa_rig_step(1);
    g_assert_true(get(f, RTC_REG_A) & RTC_A_UIP);
    isa_rig_step(243999);
    g_assert_true(get(f, RTC_REG_A) & RTC_A_UIP);
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_SET);
    g_assert_false(get(f, RTC_REG_A) & RTC_A_UIP);
    set(f, RTC_REG_B, RTC_B_24H);
    isa_rig_step(1);
    g_assert_false(get(f, RTC_REG_A) & RTC_A_UIP);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static void test_update_interrupt(Fixture *f, gconstpointer data)
{
    isa_rig_step(500 * MS);
    get(f, RTC_REG_C);
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_UIE);
    isa_rig_step(500 * MS - 1);
    g_assert_cmpint(f->rig.level[8], ==, 0);
    isa_rig_step(1);
    g_assert_cmpint(f->rig.level[8], ==, 1);
    isa_rig_step(3 * S);
    g_assert_cmpuint(f->rig.raised[8], ==, 1); /* stays until C is read */
    g_assert_cmphex(get(f, RTC_REG_C) & (RTC_C_IRQF | RTC_C_UF), ==, RTC_C_IRQF | RTC_C_UF);
    g_assert_cmpint(f->rig.level[8], ==, 0);
    g_assert_cmphex(get(f, RTC_REG_C), ==, 0);
    isa_rig_step(S);
    g_assert_cmpuint(f->rig.raised[8], ==, 2);
    /* Without the enable the flag comes, and no interrupt. */
    set(f, RTC_REG_B, RTC_B_24H);
    g_assert_cmpint(f->rig.level[8], ==, 0);
    get(f, RTC_REG_C);
    isa_rig_step(S);
    g_assert_cmpuint(f->rig.raised[8], ==, 2);
    /* Enabled while the flag is set: at once. */
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_UIE);
    g_assert_cmpint(f->rig.level[8], ==, 1);
}

static void test_periodic_interrupt(Fixture *f, gconstpointer data)
{
    static const struct {
        uint8_t rate;
        unsigned hz;
    } rates[] = { { 1, 256 }, { 2, 128 }, { 3, 8192 }, { 6, 1024 }, { 15, 2 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
        unsigned count = 0;

        set(f, RTC_REG_A, A_RUNS | rates[i].rate);
        get(f, RTC_REG_C);
        set(f, RTC_REG_B, RTC_B_24H | RTC_B_PIE);
        for (unsigned step = 0; step < 10000; step++) {
            isa_rig_step(100000);
            if (f->rig.level[8]) {
                g_assert_true(get(f, RTC_REG_C) & RTC_C_PF);
                count++;
            }
        }
        set(f, RTC_REG_B, RTC_B_24H);
        /* The second begins anywhere in a period. */
        g_assert_cmpuint(count, >=, rates[i].hz - 1);
        g_assert_cmpuint(count, <=, rates[i].hz);
    }
    set(f, RTC_REG_A, A_RUNS);
    get(f, RTC_REG_C);
    isa_rig_step(10 * S);
    g_assert_false(get(f, RTC_REG_C) & RTC_C_PF);
    /* A held divider makes none; SET does not matter. */
    set(f, RTC_REG_A, A_HELD | 6);
    isa_rig_step(S);
    g_assert_false(get(f, RTC_REG_C) & RTC_C_PF);
    set(f, RTC_REG_A, A_RUNS | 6);
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_SET | RTC_B_PIE);
    isa_rig_step(2 * MS);
    g_assert_cmphex(get(f, RTC_REG_C), ==, RTC_C_IRQF | RTC_C_PF);
}

static void test_alarm(Fixture *f, gconstpointer data)
{
    set(f, RTC_REG_A, A_RUNS);
    set_alarm(f, 0x000130);
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_AIE);
    isa_rig_step(92 * S - 1);
    g_assert_cmpint(f->rig.level[8], ==, 0);
    isa_rig_step(1);
    g_assert_cmpint(f->rig.level[8], ==, 1);
    expect_time(f, 0x20000101, 0x000130);
    g_assert_cmphex(get(f, RTC_REG_C), ==, RTC_C_IRQF | RTC_C_AF | RTC_C_UF);
    isa_rig_step(86400 * S - 1);
    g_assert_cmpuint(f->rig.raised[8], ==, 1);
    isa_rig_step(1);
    g_assert_cmpuint(f->rig.raised[8], ==, 2);
    get(f, RTC_REG_C);
    /* Every hour, minute, second. */
    set_alarm(f, 0xff0130);
    isa_rig_step(3600 * S);
    g_assert_cmpuint(f->rig.raised[8], ==, 3);
    get(f, RTC_REG_C);
    set_alarm(f, 0xc0ff30);
    isa_rig_step(60 * S);
    g_assert_cmpuint(f->rig.raised[8], ==, 4);
    get(f, RTC_REG_C);
    set_alarm(f, 0xffffff);
    isa_rig_step(S);
    g_assert_cmpuint(f->rig.raised[8], ==, 5);
    get(f, RTC_REG_C);
    /* Never. */
    set_alarm(f, 0xffff61);
    isa_rig_step(2 * 86400 * S);
    g_assert_cmpuint(f->rig.raised[8], ==, 5);
    /* Seen also when nobody looked at the time, and with the clock late. */
    set_alarm(f, 0x120000);
    get(f, RTC_REG_C);
    isa_rig_stall(2 * 86400 * S);
    g_assert_true(get(f, RTC_REG_C) & RTC_C_AF);
}

static void test_reset(Fixture *f, gconstpointer data)
{
    set(f, RTC_REG_B, RTC_B_24H | RTC_B_BINARY | RTC_B_UIE | RTC_B_PIE | RTC_B_AIE | RTC_B_SQWE);
    set(f, 0x40, 0x12);
    isa_rig_step(S);
    g_assert_cmpint(f->rig.level[8], ==, 1);
    device_reset(DEVICE(f->rtc));
    g_assert_cmpint(f->rig.level[8], ==, 0);
    g_assert_cmphex(get(f, RTC_REG_B), ==, RTC_B_24H | RTC_B_BINARY);
    g_assert_cmphex(get(f, RTC_REG_C), ==, 0);
    g_assert_cmphex(get(f, 0x40), ==, 0x12);
    g_assert_cmpuint(get(f, RTC_SECONDS), ==, 59);
    isa_rig_step(3 * S);
    g_assert_cmpuint(f->rig.raised[8], ==, 1);
}

/* ---- base ------------------------------------------------------------------------------------ */

static void expect_base(const char *text, int64_t base)
{
    int64_t got = -1;

    g_assert_true(rtc_parse_base(text, &got, NULL));
    g_assert_cmpint(got, ==, base);
}

static void expect_no_base(const char *text)
{
    g_autoptr(GError) err = NULL;
    int64_t got;

    g_assert_false(rtc_parse_base(text, &got, &err));
    g_assert_nonnull(strstr(err->message, text));
}

static void test_base(void)
{
    int64_t now = g_get_real_time() / 1000000;
    int64_t got;

    expect_base("1999-12-31T23:59:58", BASE);
    expect_base("1970-01-01", 0);
    expect_base("1969-12-31T23:59:59", -1);
    expect_base("2006-06-17", 1150502400);
    expect_no_base("2006-02-30");
    expect_no_base("2006-06-17T25:00:00");
    expect_no_base("2006-06-17T10:00");
    expect_no_base("2006-06-17T10:00:60");
    expect_no_base("2006-06- 7");
    expect_no_base("2006-06-7T10:00:00");
    expect_no_base("");
    expect_no_base("2006-06-17T10:00:00Z");
    expect_no_base("2006-06-17 ");
    expect_no_base("2006-6-17");
    expect_no_base("20060-06-17");
    expect_no_base("-006-06-17");
    expect_no_base("yesterday");
    g_assert_true(rtc_parse_base("utc", &got, NULL));
    g_assert_cmpint(ABS(got - now), <=, 2);
    g_setenv("TZ", "XYZ-05:30", true);
    g_assert_true(rtc_parse_base("localtime", &got, NULL));
    g_assert_cmpint(ABS(got - now - 5 * 3600 - 1800), <=, 2);
}

static void test_before_1970(Fixture *f, gconstpointer data)
{
    isa_rig_teardown(&f->rig);
    isa_rig_setup(&f->rig);
    f->rtc = rtc_create(f->rig.bus, -1, NULL);
    expect_time(f, 0x19691231, 0x235959);
    isa_rig_step(S);
    expect_time(f, 0x19700101, 0x000000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/mc146818/base", test_base);
#define ADD(name, fn) g_test_add("/mc146818/" name, Fixture, NULL, setup, fn, teardown)
    ADD("time-goes", test_time_goes);
    ADD("registers", test_registers);
    ADD("formats", test_formats);
    ADD("set", test_set);
    ADD("divider-reset", test_divider_reset);
    ADD("nonsense-in-the-registers", test_nonsense_in_the_registers);
    ADD("uip", test_uip);
    ADD("update-interrupt", test_update_interrupt);
    ADD("periodic-interrupt", test_periodic_interrupt);
    ADD("alarm", test_alarm);
    ADD("reset", test_reset);
    ADD("before-1970", test_before_1970);
    return g_test_run();
}
