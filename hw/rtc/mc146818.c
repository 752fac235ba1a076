/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818 real-time clock.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The divider chain is the virtual clock since `origin`, so that seconds and the ticks of the
 * periodic interrupt are arithmetic.  The time is in the CMOS bytes only while it is frozen, by SET or by a divider
 * that is held; else it is worked out at each read.  What has happened since the last look is brought into register C
 * by rtc_catch_up(), which begins every access and every timer; rtc_update() ends them.  A timer is armed only for an
 * interrupt that is enabled and whose flag is not set yet: a guest that does not read register C costs nothing.
 */
#include <string.h>
#include <time.h>
#include "hw/rtc/mc146818.h"
#include "util/error.h"

#define RTC_PORT 0x70u
#define RTC_IRQ 8u
#define INDEX_MASK 0x7fu /* of port 0x70: bit 7 is the NMI mask */

#define NS_PER_S 1000000000
#define S_PER_DAY 86400
#define DIVIDER_HZ 32768
#define UIP_NS 244000             /* data sheet: time of UIP before the update */
#define DIVIDER_RELEASE_NS 500000000 /* the first update comes half a second after the divider is let go */

#define DIVIDER_32KHZ 0x20u
#define ALARM_ANY 0xc0u           /* this and above: every second, minute, hour */
#define HOURS_PM 0x80u
#define NEVER INT64_MAX

/* GDate's day number of 1970-01-01. */
#define JULIAN_1970 719163

QOM_DEFINE_TYPE(Rtc, rtc, "mc146818rtc", TYPE_ISA_DEVICE, 0)

/* ---- the divider chain ----------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static bool divider_runs(const Rtc *rtc)
{
    return (rtc->cmos[RTC_REG_A] & RTC_A_DIVIDER) == DIVIDER_32KHZ;
}

/* Whether the time in the CMOS bytes stands still. */
static bool time_frozen(const Rtc *rtc)
{
    return (rtc->cmos[RTC_REG_B] & RTC_B_SET) || !divider_runs(rtc);
}

static int64_t seconds_at(const Rtc *rtc, int64_t now)
{
    return rtc->second + floor_div(now - rtc->origin, NS_PER_S);
}

/* Ticks of 32768 Hz since the origin. */
static int64_t divider_ticks(const Rtc *rtc, int64_t now)
{
    int64_t ns = now - rtc->origin;

    return ns / NS_PER_S * DIVIDER_HZ + ns % NS_PER_S * DIVIDER_HZ / NS_PER_S;
}

static int64_t divider_tick_time(const Rtc *rtc, int64_t tick)
{
    return rtc->origin + tick / DIVIDER_HZ * NS_PER_S + (tick % DIVIDER_HZ * NS_PER_S + DIVIDER_HZ - 1) / DIVIDER_HZ;
}

/* Of the periodic interrupt, in ticks; 0: none.  The two fastest selections are slow ones again. */
static int64_t periodic_ticks(const Rtc *rtc)
{
    unsigned rate = rtc->cmos[RTC_REG_A] & RTC_A_RATE;

    return rate == 0 ? 0 : 1 << (rate < 3 ? rate + 6 : rate - 1);
}

/* ---- the time in its registers --------------------------------------------------------------- */

static uint8_t rtc_encode(const Rtc *rtc, unsigned value)
{
    return rtc->cmos[RTC_REG_B] & RTC_B_BINARY ? value : value / 10 % 10 << 4 | value % 10;
}

static unsigned rtc_decode(const Rtc *rtc, uint8_t raw)
{
    return rtc->cmos[RTC_REG_B] & RTC_B_BINARY ? raw : (raw >> 4) * 10u + (raw & 15);
}

static unsigned rtc_decode_hours(const Rtc *rtc, uint8_t raw)
{
    if (rtc->cmos[RTC_REG_B] & RTC_B_24H) {
        return rtc_decode(rtc, raw);
    }
    return rtc_decode(rtc, raw & ~HOURS_PM) % 12 + (raw & HOURS_PM ? 12 : 0);
}

static uint8_t rtc_encode_hours(const Rtc *rtc, unsigned hours)
{
    if (rtc->cmos[RTC_REG_B] & RTC_B_24H) {
        return rtc_encode(rtc, hours);
    }
    return rtc_encode(rtc, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

/* Puts the time of NOW into the CMOS bytes. */
static void rtc_show(Rtc *rtc, int64_t now)
{
    int64_t seconds = seconds_at(rtc, now);
    int64_t day = MAX(floor_div(seconds, S_PER_DAY) + JULIAN_1970, 1); /* a guest's day 0 of year 0 is none */
    unsigned of_day = (unsigned)(seconds - floor_div(seconds, S_PER_DAY) * S_PER_DAY);
    unsigned year;
    GDate date;

    g_date_clear(&date, 1);
    g_date_set_julian(&date, (guint32)day);
    year = g_date_get_year(&date);
    rtc->cmos[RTC_SECONDS] = rtc_encode(rtc, of_day % 60);
    rtc->cmos[RTC_MINUTES] = rtc_encode(rtc, of_day / 60 % 60);
    rtc->cmos[RTC_HOURS] = rtc_encode_hours(rtc, of_day / 3600);
    rtc->cmos[RTC_DAY_OF_WEEK] = rtc_encode(rtc, g_date_get_weekday(&date) % 7 + 1);
    rtc->cmos[RTC_DAY_OF_MONTH] = rtc_encode(rtc, g_date_get_day(&date));
    rtc->cmos[RTC_MONTH] = rtc_encode(rtc, g_date_get_month(&date));
    rtc->cmos[RTC_YEAR] = rtc_encode(rtc, year % 100);
    rtc->cmos[RTC_CENTURY] = rtc_encode(rtc, year / 100);
}

/* Takes the time from the CMOS bytes as that of NOW.  Values out of range carry over: month 13 is the next January. */
static void rtc_take(Rtc *rtc, int64_t now)
{
    unsigned year = rtc_decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 + rtc_decode(rtc, rtc->cmos[RTC_YEAR]);
    unsigned month = rtc_decode(rtc, rtc->cmos[RTC_MONTH]) + 11; /* from January of the year before */
    int64_t seconds;
    GDate date;

    year = MAX(year, 2) + month / 12 - 1;
    g_date_clear(&date, 1);
    g_date_set_dmy(&date, 1, (GDateMonth)(month % 12 + 1), (GDateYear)year);
    seconds = (int64_t)g_date_get_julian(&date) - JULIAN_1970 + rtc_decode(rtc, rtc->cmos[RTC_DAY_OF_MONTH]) - 1;
    seconds = seconds * S_PER_DAY + rtc_decode_hours(rtc, rtc->cmos[RTC_HOURS]) * 3600 +
              rtc_decode(rtc, rtc->cmos[RTC_MINUTES]) * 60 + rtc_decode(rtc, rtc->cmos[RTC_SECONDS]);
    rtc->second += seconds - seconds_at(rtc, now);
}

static bool is_time(unsigned index)
{
    return index == RTC_CENTURY || (index >= RTC_DAY_OF_WEEK && index <= RTC_YEAR) ||
           (index <= RTC_HOURS && index % 2 == 0);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

/* Seconds from SECONDS to the next alarm, 1 to a day's; 0: it never comes.  Whole hours and minutes are skipped. */
static unsigned rtc_alarm_in(const Rtc *rtc, int64_t seconds)
{
    uint8_t s = rtc->cmos[RTC_SECONDS_ALARM], m = rtc->cmos[RTC_MINUTES_ALARM], h = rtc->cmos[RTC_HOURS_ALARM];
    unsigned of_day = (unsigned)(seconds - floor_div(seconds, S_PER_DAY) * S_PER_DAY);
    unsigned in = 1;

    /* What no time is would be looked for a second after the other. */
    if ((s < ALARM_ANY && rtc_decode(rtc, s) > 59) || (m < ALARM_ANY && rtc_decode(rtc, m) > 59) ||
        (h < ALARM_ANY && rtc_decode_hours(rtc, h) > 23)) {
        return 0;
    }
    while (in <= S_PER_DAY) {
        unsigned at = (of_day + in) % S_PER_DAY;

        if (h < ALARM_ANY && rtc_decode_hours(rtc, h) != at / 3600) {
            in += 3600 - at % 3600;
        } else if (m < ALARM_ANY && rtc_decode(rtc, m) != at / 60 % 60) {
            in += 60 - at % 60;
        } else if (s < ALARM_ANY && rtc_decode(rtc, s) != at % 60) {
            in++;
        } else {
            return in;
        }
    }
    return 0;
}

/* Brings what has happened until NOW into register C. */
static void rtc_catch_up(Rtc *rtc, int64_t now)
{
    int64_t period = periodic_ticks(rtc);
    int64_t seconds = seconds_at(rtc, rtc->seen);
    int64_t passed = seconds_at(rtc, now) - seconds;
    unsigned alarm;

    if (period && divider_runs(rtc) &&
        floor_div(divider_ticks(rtc, now), period) != floor_div(divider_ticks(rtc, rtc->seen), period)) {
        rtc->cmos[RTC_REG_C] |= RTC_C_PF;
    }
    if (passed > 0 && !time_frozen(rtc)) {
        rtc->cmos[RTC_REG_C] |= RTC_C_UF;
        alarm = rtc->cmos[RTC_REG_C] & RTC_C_AF ? 0 : rtc_alarm_in(rtc, seconds);
        if (alarm && alarm <= passed) {
            rtc->cmos[RTC_REG_C] |= RTC_C_AF;
        }
    }
    rtc->seen = now;
}

/* When the next interrupt comes whose flag is not set, or NEVER. */
static int64_t rtc_next_interrupt(const Rtc *rtc, int64_t now)
{
    unsigned wanted = rtc->cmos[RTC_REG_B] & ~rtc->cmos[RTC_REG_C];
    int64_t second = rtc->origin + floor_div(now - rtc->origin, NS_PER_S) * NS_PER_S;
    int64_t period = periodic_ticks(rtc);
    int64_t next = NEVER;
    unsigned alarm;

    if ((wanted & RTC_B_PIE) && period && divider_runs(rtc)) {
        next = divider_tick_time(rtc, (floor_div(divider_ticks(rtc, now), period) + 1) * period);
    }
    if (time_frozen(rtc)) {
        return next;
    }
    if (wanted & RTC_B_UIE) {
        next = MIN(next, second + NS_PER_S);
    }
    if (wanted & RTC_B_AIE) {
        alarm = rtc_alarm_in(rtc, seconds_at(rtc, now));
        next = alarm ? MIN(next, second + (int64_t)alarm * NS_PER_S) : next;
    }
    return next;
}

/* After anything that may have changed flags, enables or times. */
static void rtc_update(Rtc *rtc, int64_t now)
{
    uint8_t *c = &rtc->cmos[RTC_REG_C];
    bool level = *c & rtc->cmos[RTC_REG_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF);
    int64_t next = rtc_next_interrupt(rtc, now);

    if (level != !!(*c & RTC_C_IRQF)) {
        *c ^= RTC_C_IRQF;
        irq_set(rtc->irq, level);
    }
    if (next == NEVER) {
        event_timer_disarm(rtc->timer);
    } else {
        event_timer_arm(rtc->timer, next);
    }
}

static void rtc_timer(void *opaque)
{
    Rtc *rtc = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);

    rtc_catch_up(rtc, now);
    rtc_update(rtc, now);
}

/* ---- ports ----------------------------------------------------------------------------------- */

/* Registers A and B become A and B: what freezes or frees the time. */
static void rtc_control(Rtc *rtc, uint8_t a, uint8_t b, int64_t now)
{
    bool was_frozen = time_frozen(rtc);
    bool ran = divider_runs(rtc);

    if (!was_frozen) {
        rtc_show(rtc, now); /* in the old format: the part converts nothing */
    }
    rtc->cmos[RTC_REG_A] = a & (RTC_A_DIVIDER | RTC_A_RATE);
    rtc->cmos[RTC_REG_B] = b & RTC_B_SET ? b & ~RTC_B_UIE : b;
    if (!ran && divider_runs(rtc)) {
        rtc->origin = now - DIVIDER_RELEASE_NS;
    }
    if (was_frozen && !time_frozen(rtc)) {
        rtc_take(rtc, now);
    }
}

static void rtc_write_byte(Rtc *rtc, unsigned index, uint8_t value, int64_t now)
{
    switch (index) {
    case RTC_REG_A:
        rtc_control(rtc, value, rtc->cmos[RTC_REG_B], now);
        break;
    case RTC_REG_B:
        rtc_control(rtc, rtc->cmos[RTC_REG_A], value, now);
        break;
    case RTC_REG_C:
    case RTC_REG_D: /* read-only */
        break;
    default:
        if (!is_time(index) || time_frozen(rtc)) {
            rtc->cmos[index] = value;
            break;
        }
        rtc_show(rtc, now);
        rtc->cmos[index] = value;
        rtc_take(rtc, now);
        break;
    }
}

static uint8_t rtc_read_byte(Rtc *rtc, unsigned index, int64_t now)
{
    bool frozen = time_frozen(rtc);
    uint8_t value;

    if (is_time(index) && !frozen) {
        rtc_show(rtc, now);
    }
    value = rtc->cmos[index];
    if (index == RTC_REG_A && !frozen &&
        now - rtc->origin - floor_div(now - rtc->origin, NS_PER_S) * NS_PER_S >= NS_PER_S - UIP_NS) {
        value |= RTC_A_UIP;
    }
    if (index == RTC_REG_C) {
        if (value & RTC_C_IRQF) {
            irq_set(rtc->irq, 0);
        }
        rtc->cmos[RTC_REG_C] = 0;
    }
    return value;
}

static MemResult rtc_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Rtc *rtc = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);

    if (addr == 0) {
        *ret_value = 0xff; /* the index can only be written */
        return MEM_OK;
    }
    rtc_catch_up(rtc, now);
    rtc_update(rtc, now);
    *ret_value = rtc_read_byte(rtc, rtc->index, now);
    rtc_update(rtc, now);
    return MEM_OK;
}

static MemResult rtc_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Rtc *rtc = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);

    if (addr == 0) {
        rtc->index = value & INDEX_MASK;
        return MEM_OK;
    }
    rtc_catch_up(rtc, now);
    rtc_write_byte(rtc, rtc->index, value, now);
    rtc_update(rtc, now);
    return MEM_OK;
}

static const MemoryRegionOps rtc_ops = { rtc_read, rtc_write, .max_size = 1 };

/* ---- for the board --------------------------------------------------------------------------- */

void rtc_set_cmos(Rtc *rtc, unsigned index, uint8_t value)
{
    rtc->cmos[index] = value;
}

uint8_t rtc_get_cmos(const Rtc *rtc, unsigned index)
{
    return rtc->cmos[index];
}

/* "YYYY-MM-DD" or "YYYY-MM-DDTHH:MM:SS" and nothing else, or NULL. */
static GDateTime *parse_date(const char *text)
{
    size_t len = strlen(text);
    struct tm tm = { 0 };
    const char *end = strptime(text, len > 10 ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d", &tm);

    /* The number of characters rules out what strptime() is lenient about, but for blanks. */
    if (end == NULL || *end != '\0' || (len != 10 && len != 19) || strchr(text, ' ') != NULL) {
        return NULL;
    }
    return g_date_time_new_utc(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool rtc_parse_base(const char *text, int64_t *ret_base, GError **errp)
{
    g_autoptr(GDateTime) date = NULL;

    if (g_str_equal(text, "utc")) {
        date = g_date_time_new_now_utc();
    } else if (g_str_equal(text, "localtime")) {
        date = g_date_time_new_now_local();
    } else {
        date = parse_date(text);
    }
    if (date == NULL) {
        error_setg(errp, "-rtc base=%s: no such time; give utc, localtime, or a date like 2006-06-17T16:01:21 or "
                   "2006-06-17", text);
        return false;
    }
    *ret_base = g_date_time_to_unix(date) + g_date_time_get_utc_offset(date) / G_TIME_SPAN_SECOND;
    return true;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

Rtc *rtc_create(IsaBus *bus, int64_t base, GError **errp)
{
    Rtc *rtc = RTC(device_new(TYPE_RTC));

    rtc->base = base;
    return isa_realize_board_device(bus, rtc, "rtc", errp) ? rtc : NULL;
}

static bool rtc_realize(Device *dev, GError **errp)
{
    Rtc *rtc = RTC(dev);

    if (!isa_add_ports(&rtc->isa, &rtc->io, &rtc_ops, "rtc", RTC_PORT, 2, errp)) {
        return false;
    }
    rtc->irq = isa_bus_irq(isa_device_bus(&rtc->isa), RTC_IRQ);
    rtc->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_VIRTUAL, rtc_timer, rtc);
    rtc->origin = rtc->seen = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    rtc->second = rtc->base;
    rtc->cmos[RTC_REG_A] = DIVIDER_32KHZ | 6; /* 1024 Hz, as firmware leaves it */
    rtc->cmos[RTC_REG_B] = RTC_B_24H;
    rtc->cmos[RTC_REG_D] = RTC_D_VRT;
    return true;
}

static void rtc_unrealize(Device *dev)
{
    event_timer_free(RTC(dev)->timer);
}

static void rtc_reset(Device *dev)
{
    Rtc *rtc = RTC(dev);

    rtc->cmos[RTC_REG_B] &= ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE | RTC_B_SQWE);
    rtc->cmos[RTC_REG_C] = 0;
    rtc->seen = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    event_timer_disarm(rtc->timer);
    irq_set(rtc->irq, 0);
}

static void rtc_class_init(RtcClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = rtc_realize;
    device_class->unrealize = rtc_unrealize;
    device_class->reset = rtc_reset;
    device_class->qom_class.internal = true;
}

static void rtc_init(Rtc *self)
{
}
