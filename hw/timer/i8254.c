/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 interval timer.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  No counter is stepped.  A counter knows how many ticks it had counted at some tick, so that
 * its count and its output at any other are a matter of arithmetic; pit_sync() only brings in a new count of modes 2
 * and 3 whose time has come.  A timer of the event loop is armed for the next rising edge of counter 0.
 */
#include "hw/timer/i8254.h"

#define PIT_BASE 0x40u
#define PORT61 0x61u
#define PORT61_GATE 0x01u
#define PORT61_WRITABLE 0x0fu
#define PORT61_REFRESH 0x10u
#define PORT61_OUT2 0x20u
#define REFRESH_TICKS 18 /* about 15 us: the row refresh of the first pc's memory */

#define CONTROL_PORT 3u
#define CONTROL_BCD 0x01u
#define CONTROL_STORED 0x3fu
#define READ_BACK 3u /* in the counter's place */
#define READ_BACK_NO_COUNT 0x20u
#define READ_BACK_NO_STATUS 0x10u
#define STATUS_OUT 0x80u
#define STATUS_NULL_COUNT 0x40u

enum {
    ACCESS_LATCH = 0, /* a command, not stored */
    ACCESS_LOW = 1,
    ACCESS_HIGH = 2,
    ACCESS_BOTH = 3,
};

#define NS_PER_S 1000000000
#define NEVER INT64_MAX

QOM_DEFINE_TYPE(Pit, pit, "isa-pit", TYPE_ISA_DEVICE, 0)

/* ---- time ------------------------------------------------------------------------------------ */

static int64_t pit_now(void)
{
    int64_t ns = event_clock_ns(EVENT_CLOCK_VIRTUAL);

    return ns / NS_PER_S * PIT_HZ + ns % NS_PER_S * PIT_HZ / NS_PER_S;
}

/* The first nanosecond of TICK. */
static int64_t pit_ns(int64_t tick)
{
    return tick / PIT_HZ * NS_PER_S + (tick % PIT_HZ * NS_PER_S + PIT_HZ - 1) / PIT_HZ;
}

/* ---- counters -------------------------------------------------------------------------------- */

static unsigned channel_access(const PitChannel *ch)
{
    return (ch->control >> 4) & 3;
}

/* 0 to 5; 6 and 7 are 2 and 3. */
static unsigned channel_mode(const PitChannel *ch)
{
    unsigned mode = (ch->control >> 1) & 7;

    return mode > 5 ? mode - 4 : mode;
}

static bool channel_periodic(const PitChannel *ch)
{
    return channel_mode(ch) == 2 || channel_mode(ch) == 3;
}

static uint32_t channel_modulus(const PitChannel *ch)
{
    return ch->control & CONTROL_BCD ? 10000 : 65536;
}

/* Ticks counted from the load to NOW; negative before it. */
static int64_t channel_elapsed(const PitChannel *ch, int64_t now)
{
    return ch->counting ? ch->elapsed + (now - ch->start) : ch->elapsed;
}

/* Mode 3: ticks with the output high, out of COUNT. */
static int64_t high_half(uint32_t count)
{
    return (count + 1) / 2;
}

/* Loads the count that was written: it counts from the tick behind NOW. */
static void channel_load(PitChannel *ch, int64_t now, bool counting)
{
    ch->count = ch->reload;
    ch->loaded = true;
    ch->waiting = false;
    ch->counting = counting;
    ch->start = now;
    ch->elapsed = -1;
    ch->reload_at = NEVER;
}

/* Modes 2 and 3: a new count that was written during a period (mode 3: half a period) begins at its end. */
static void channel_sync(PitChannel *ch, int64_t now)
{
    int64_t elapsed;

    if (now < ch->reload_at) {
        return;
    }
    elapsed = channel_elapsed(ch, ch->reload_at);
    ch->elapsed = elapsed % ch->count ? high_half(ch->reload) : 0; /* within the period: the low half begins */
    ch->start = ch->reload_at;
    ch->count = ch->reload;
    ch->reload_at = NEVER;
}

/* When the period, or in mode 3 its half, that runs at NOW ends. */
static int64_t channel_period_end(const PitChannel *ch, int64_t now)
{
    int64_t position = channel_elapsed(ch, now) % ch->count;
    int64_t end = channel_mode(ch) == 3 && position < high_half(ch->count) ? high_half(ch->count) : ch->count;

    return now + end - position;
}

/* The counting element, as a number. */
static uint32_t channel_count(const PitChannel *ch, int64_t now)
{
    int64_t elapsed = MAX(channel_elapsed(ch, now), 0);
    int64_t position;

    if (!ch->loaded) {
        return 0; /* undefined in the part */
    }
    position = elapsed % ch->count;
    switch (channel_mode(ch)) {
    case 2:
        return ch->count - (uint32_t)position;
    case 3: /* by twos, in each half from the start */
        position -= position >= high_half(ch->count) ? high_half(ch->count) : 0;
        return (ch->count & ~1u) - 2 * (uint32_t)position;
    default: /* goes on below zero */
        return (ch->count + channel_modulus(ch) - (uint32_t)(elapsed % channel_modulus(ch))) % channel_modulus(ch);
    }
}

static bool channel_out(const PitChannel *ch, int64_t now)
{
    int64_t elapsed = channel_elapsed(ch, now);
    unsigned mode = channel_mode(ch);

    if (!ch->loaded || elapsed < 0 || (channel_periodic(ch) && (!ch->counting || ch->count == 1))) {
        return mode != 0; /* a period of 1 is not allowed; it does nothing */
    }
    switch (mode) {
    case 0:
    case 1:
        return elapsed >= ch->count;
    case 2:
        return elapsed % ch->count != ch->count - 1;
    case 3:
        return elapsed % ch->count < high_half(ch->count);
    default: /* 4 and 5: low for one tick */
        return elapsed != ch->count;
    }
}

/* The first tick behind NOW at which the output rises, or NEVER.  For counters whose gate stays high. */
static int64_t channel_next_rise(const PitChannel *ch, int64_t now)
{
    int64_t elapsed = channel_elapsed(ch, now);
    int64_t at;

    if (!ch->loaded || !ch->counting) {
        return NEVER;
    }
    if (!channel_periodic(ch)) {
        at = channel_mode(ch) >= 4 ? (int64_t)ch->count + 1 : (int64_t)ch->count;
        return elapsed < at ? now + (at - elapsed) : NEVER;
    }
    if (ch->count == 1 && ch->reload_at == NEVER) {
        return NEVER;
    }
    at = elapsed < 0 ? now - elapsed + ch->count : now + ch->count - elapsed % ch->count;
    /* A new count that begins with the low half of mode 3. */
    return at > ch->reload_at ? ch->reload_at + ch->reload / 2 : at;
}

static uint32_t from_bcd(unsigned raw)
{
    return (raw >> 12) * 1000 + ((raw >> 8) & 15) * 100 + ((raw >> 4) & 15) * 10 + (raw & 15);
}

static uint16_t to_bcd(uint32_t value)
{
    return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

static uint16_t channel_read_count(const PitChannel *ch, int64_t now)
{
    uint32_t count = channel_count(ch, now);

    return ch->control & CONTROL_BCD ? to_bcd(count) : (uint16_t)count;
}

static void channel_write_count(PitChannel *ch, unsigned raw, int64_t now)
{
    uint32_t value = ch->control & CONTROL_BCD ? from_bcd(raw) : raw;

    ch->reload = value ? value : channel_modulus(ch);
    switch (channel_mode(ch)) {
    case 1:
    case 5:
        ch->waiting = true;
        break;
    case 2:
    case 3:
        if (ch->loaded && ch->counting && channel_elapsed(ch, now) >= 0) {
            ch->reload_at = channel_period_end(ch, now);
            break;
        }
        channel_load(ch, now, ch->gate);
        break;
    default:
        channel_load(ch, now, ch->gate);
        break;
    }
}

static void channel_set_gate(PitChannel *ch, bool gate, int64_t now)
{
    unsigned mode = channel_mode(ch);

    if (gate == ch->gate) {
        return;
    }
    ch->gate = gate;
    if (mode == 1 || mode == 5) {
        if (gate && (ch->loaded || ch->waiting)) {
            channel_load(ch, now, true);
        }
    } else if (!gate) {
        ch->elapsed = channel_elapsed(ch, now);
        ch->counting = false;
        ch->waiting |= ch->reload_at != NEVER; /* for the next rising edge */
        ch->reload_at = NEVER;
    } else if (ch->loaded && channel_periodic(ch)) {
        channel_load(ch, now, true);
    } else if (ch->loaded) {
        ch->counting = true;
        ch->start = now;
    }
}

/* ---- interrupts of counter 0 ----------------------------------------------------------------- */

/* Whether missed ticks are made up for: at twice the rate they must not come too often. */
static bool pit_makes_up(const PitChannel *ch)
{
    return channel_periodic(ch) && pit_ns(ch->count) >= 2 * PIT_MIN_INTERVAL_NS;
}

/* Arms the timer for what comes first behind NOW, which is LAST_NS, the time of the last interrupt, or a write. */
static void pit_arm(Pit *pit, int64_t now, int64_t last_ns, bool spaced)
{
    PitChannel *ch = &pit->channels[0];
    int64_t deadline;

    pit->next_edge = channel_next_rise(ch, now);
    if (pit->next_edge == NEVER) {
        event_timer_disarm(pit->timer);
        return;
    }
    deadline = pit_ns(pit->next_edge);
    if (pit->backlog > 0) {
        deadline = MIN(deadline, last_ns + pit_ns(ch->count) / 2);
    } else if (spaced) {
        deadline = MAX(deadline, last_ns + PIT_MIN_INTERVAL_NS);
    }
    event_timer_arm(pit->timer, deadline);
}

static void pit_tick(void *opaque)
{
    Pit *pit = opaque;
    PitChannel *ch = &pit->channels[0];
    int64_t now = pit_now();

    if (pit->next_edge > now) { /* between two edges */
        pit->backlog -= pit->backlog > 0;
    } else if (pit_makes_up(ch)) {
        uint64_t missed = (uint64_t)(now - pit->next_edge) / ch->count;
        uint64_t room = PIT_BACKLOG_MAX - pit->backlog;

        pit->backlog += (unsigned)MIN(missed, room);
        pit->dropped += missed - MIN(missed, room);
    }
    channel_sync(ch, now);
    if (!pit_makes_up(ch)) { /* a new count may have begun */
        pit->backlog = 0;
    }
    irq_set(pit->irq, 0);
    irq_set(pit->irq, 1);
    pit_arm(pit, now, event_clock_ns(EVENT_CLOCK_VIRTUAL), true);
}

/* After a write to counter 0. */
static void pit_reprogrammed(Pit *pit, int64_t now)
{
    PitChannel *ch = &pit->channels[0];

    irq_set(pit->irq, channel_out(ch, now));
    if (!pit_makes_up(ch)) {
        pit->backlog = 0;
    }
    pit_arm(pit, now, event_clock_ns(EVENT_CLOCK_VIRTUAL), false);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void channel_latch_count(PitChannel *ch, int64_t now)
{
    if (ch->latched == 0) {
        ch->latch = channel_read_count(ch, now);
        ch->latched = channel_access(ch) == ACCESS_BOTH ? 2 : 1;
    }
}

static void channel_latch_status(PitChannel *ch, int64_t now)
{
    bool null_count = !ch->loaded || ch->waiting || ch->reload_at != NEVER || channel_elapsed(ch, now) < 0;

    if (!ch->status_latched) {
        ch->status = ch->control | (channel_out(ch, now) ? STATUS_OUT : 0) | (null_count ? STATUS_NULL_COUNT : 0);
        ch->status_latched = true;
    }
}

static void pit_write_control(Pit *pit, uint8_t value, int64_t now)
{
    unsigned n = value >> 6;
    PitChannel *ch;

    if (n == READ_BACK) {
        for (unsigned i = 0; i < PIT_CHANNELS; i++) {
            if (!(value & (2u << i))) {
                continue;
            }
            if (!(value & READ_BACK_NO_COUNT)) {
                channel_latch_count(&pit->channels[i], now);
            }
            if (!(value & READ_BACK_NO_STATUS)) {
                channel_latch_status(&pit->channels[i], now);
            }
        }
        return;
    }
    ch = &pit->channels[n];
    if (((value >> 4) & 3) == ACCESS_LATCH) {
        channel_latch_count(ch, now);
        return;
    }
    *ch = (PitChannel) { .control = value & CONTROL_STORED, .gate = ch->gate, .reload_at = NEVER };
    if (n == 0) {
        pit->backlog = 0;
        pit_reprogrammed(pit, now);
    }
}

static void pit_write_counter(Pit *pit, unsigned n, uint8_t value, int64_t now)
{
    PitChannel *ch = &pit->channels[n];

    if (channel_access(ch) != ACCESS_BOTH) {
        channel_write_count(ch, channel_access(ch) == ACCESS_HIGH ? (unsigned)value << 8 : value, now);
    } else if (ch->write_high_next) {
        ch->write_high_next = false;
        channel_write_count(ch, (unsigned)value << 8 | ch->write_low, now);
    } else {
        ch->write_high_next = true;
        ch->write_low = value;
        if (channel_mode(ch) == 0) {
            ch->loaded = false; /* stops, and lowers the output, until the second byte */
        }
    }
    if (n == 0) {
        pit_reprogrammed(pit, now);
    }
}

static uint8_t pit_read_counter(PitChannel *ch, int64_t now)
{
    uint16_t count;
    bool high;

    if (ch->status_latched) {
        ch->status_latched = false;
        return ch->status;
    }
    if (ch->latched > 0) {
        count = ch->latch;
        high = channel_access(ch) == ACCESS_HIGH || (channel_access(ch) == ACCESS_BOTH && ch->latched == 1);
        ch->latched--;
    } else {
        count = channel_read_count(ch, now);
        high = channel_access(ch) == ACCESS_HIGH || ch->read_high_next;
        ch->read_high_next = channel_access(ch) == ACCESS_BOTH && !ch->read_high_next;
    }
    return high ? count >> 8 : count & 0xff;
}

static MemResult pit_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Pit *pit = opaque;
    int64_t now = pit_now();

    if (addr == CONTROL_PORT) {
        *ret_value = 0xff; /* nothing answers */
        return MEM_OK;
    }
    channel_sync(&pit->channels[addr], now);
    *ret_value = pit_read_counter(&pit->channels[addr], now);
    return MEM_OK;
}

static MemResult pit_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Pit *pit = opaque;
    int64_t now = pit_now();

    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        channel_sync(&pit->channels[i], now);
    }
    if (addr == CONTROL_PORT) {
        pit_write_control(pit, value, now);
    } else {
        pit_write_counter(pit, addr, value, now);
    }
    return MEM_OK;
}

static MemResult pit_port61_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Pit *pit = opaque;
    int64_t now = pit_now();

    channel_sync(&pit->channels[2], now);
    *ret_value = pit->port61 | (now / REFRESH_TICKS & 1 ? PORT61_REFRESH : 0) |
                 (channel_out(&pit->channels[2], now) ? PORT61_OUT2 : 0);
    return MEM_OK;
}

static MemResult pit_port61_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Pit *pit = opaque;
    int64_t now = pit_now();

    channel_sync(&pit->channels[2], now);
    pit->port61 = value & PORT61_WRITABLE;
    channel_set_gate(&pit->channels[2], value & PORT61_GATE, now);
    return MEM_OK;
}

static const MemoryRegionOps pit_ops = { pit_read, pit_write, .max_size = 1 };
static const MemoryRegionOps pit_port61_ops = { pit_port61_read, pit_port61_write, .max_size = 1 };

/* ---- life cycle ------------------------------------------------------------------------------ */

Pit *pit_create(IsaBus *bus, GError **errp)
{
    Pit *pit = PIT(device_new(TYPE_PIT));

    return isa_realize_board_device(bus, pit, "isa-pit", errp) ? pit : NULL;
}

static bool pit_realize(Device *dev, GError **errp)
{
    Pit *pit = PIT(dev);

    if (!isa_add_ports(&pit->isa, &pit->io, &pit_ops, "pit", PIT_BASE, 4, errp) ||
        !isa_add_ports(&pit->isa, &pit->port61_io, &pit_port61_ops, "port61", PORT61, 1, errp)) {
        return false;
    }
    pit->irq = isa_bus_irq(isa_device_bus(&pit->isa), 0);
    pit->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_VIRTUAL, pit_tick, pit);
    return true;
}

static void pit_unrealize(Device *dev)
{
    event_timer_free(PIT(dev)->timer);
}

static void pit_reset(Device *dev)
{
    Pit *pit = PIT(dev);

    for (unsigned i = 0; i < PIT_CHANNELS; i++) {
        pit->channels[i] = (PitChannel) { .control = ACCESS_BOTH << 4, .gate = i != 2, .reload_at = NEVER };
    }
    pit->port61 = 0;
    pit->backlog = 0;
    pit->next_edge = NEVER;
    event_timer_disarm(pit->timer);
    irq_set(pit->irq, 0);
}

static void pit_class_init(PitClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = pit_realize;
    device_class->unrealize = pit_unrealize;
    device_class->reset = pit_reset;
    device_class->qom_class.internal = true;
}

static void pit_init(Pit *self)
{
}
