/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "mc146818rtc": the real-time clock of a pc with its 128 bytes of CMOS memory.
 *
 * Thread: with the machine lock held, but rtc_parse_base().  Runs in: mpqemu.
 *
 * Source: Motorola MC146818 data sheet; the century at index 0x32 as in IBM's AT and the ACPI FADT.  Port 0x70 takes
 * the index (bit 7, the NMI mask, is ignored) and reads as 0xff; port 0x71 is the byte.  Drives ISA interrupt 8.
 *
 * The clock starts at the base that is given when it is made, and goes with the virtual clock: it stands while the
 * machine is stopped.  The guest may set it.  Time, CMOS memory and registers A and B survive a reset of the machine,
 * as with a battery, but for what the part's RESET pin clears: the interrupt enables and SQWE of register B, and
 * register C.
 *
 * Not there: daylight saving (DSE is stored), the square wave output (SQWE is stored).  The day of the week follows
 * the date, whatever the guest writes.  UIP is set for the last 244 us of a second; the update then takes no time.  A
 * periodic interrupt that comes while the one before is not read from register C is lost, as in the part.
 */
#ifndef HW_RTC_MC146818_H
#define HW_RTC_MC146818_H

#include "hw/isa/isa-bus.h"
#include "util/event-loop.h"

#define RTC_CMOS_SIZE 128

/* Indices. */
enum {
    RTC_SECONDS = 0x00,
    RTC_SECONDS_ALARM = 0x01,
    RTC_MINUTES = 0x02,
    RTC_MINUTES_ALARM = 0x03,
    RTC_HOURS = 0x04,
    RTC_HOURS_ALARM = 0x05,
    RTC_DAY_OF_WEEK = 0x06, /* 1 is Sunday */
    RTC_DAY_OF_MONTH = 0x07,
    RTC_MONTH = 0x08,
    RTC_YEAR = 0x09,
    RTC_REG_A = 0x0a,
    RTC_REG_B = 0x0b,
    RTC_REG_C = 0x0c,
    RTC_REG_D = 0x0d,
    RTC_CENTURY = 0x32,
};

#define RTC_A_UIP 0x80u
#define RTC_A_DIVIDER 0x70u
#define RTC_A_RATE 0x0fu
#define RTC_B_SET 0x80u
#define RTC_B_PIE 0x40u
#define RTC_B_AIE 0x20u
#define RTC_B_UIE 0x10u
#define RTC_B_SQWE 0x08u
#define RTC_B_BINARY 0x04u
#define RTC_B_24H 0x02u
#define RTC_B_DSE 0x01u
#define RTC_C_IRQF 0x80u
#define RTC_C_PF 0x40u
#define RTC_C_AF 0x20u
#define RTC_C_UF 0x10u
#define RTC_D_VRT 0x80u

typedef struct Rtc {
    IsaDevice isa;
    MemoryRegion io;
    EventTimer *timer;   /* the next interrupt that is enabled */
    IrqLine *irq;
    uint8_t index;
    uint8_t cmos[RTC_CMOS_SIZE]; /* while the clock goes, the time in it is old */
    int64_t base;        /* seconds since 1970, as the guest shall see them, when the clock is made */
    int64_t origin;      /* virtual time, in ns, at which second `second` began */
    int64_t second;      /* of the guest's time, since 1970 */
    int64_t seen;        /* virtual time up to which register C tells what has happened */
} Rtc;

typedef struct RtcClass {
    IsaDeviceClass isa_class;
} RtcClass;

QOM_DECLARE_TYPE(Rtc, rtc, RTC)
#define TYPE_RTC (rtc_get_type())

/*
 * -rtc base=: "utc", "localtime" or a date ("2006-06-17", "2006-06-17T16:01:21", in UTC), as seconds for
 * rtc_create().  May read the host's time zone from a file.  Any thread.
 */
bool rtc_parse_base(const char *text, int64_t *ret_base, GError **errp);

/* Makes the board's clock on BUS, which starts at BASE; owned by the tree.  NULL with *errp. */
Rtc *rtc_create(IsaBus *bus, int64_t base, GError **errp);

/* For boards and firmware tables: byte INDEX (RTC_REG_D + 1 to 127, but not RTC_CENTURY) of the CMOS memory. */
void rtc_set_cmos(Rtc *rtc, unsigned index, uint8_t value);
uint8_t rtc_get_cmos(const Rtc *rtc, unsigned index);

#endif
