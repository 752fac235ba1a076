/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-pit": the 8254 interval timer of a pc, with the system control port that holds its gate.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 8254 data sheet (order 231164); port 0x61 as NMISC in the PIIX3 data sheet (order 290550).
 * Ports 0x40 to 0x43, and 0x61: bit 0 gate of counter 2, bit 1 speaker (stored; there is no sound), bits 2 and
 * 3 stored, bit 4 toggles with each memory refresh, bit 5 output of counter 2.  Counter 0 drives ISA interrupt 0,
 * counter 1 nothing.
 *
 * Time is the virtual clock in ticks of 1193182 Hz since its zero; a register access sees the count of its very tick.
 * A count that is written is loaded one tick later, as in the part.
 *
 * The line of counter 0 is driven where it matters to an edge-triggered input: at each rising edge of the output (it
 * falls right before), and where a write changes the output.
 *
 * Ticks that the event loop misses are not lost.  Each rising edge of modes 2 and 3 that passed unseen is made up for,
 * at twice the programmed rate, up to PIT_BACKLOG_MAX of them; the rest is dropped.  Interrupts come at most every
 * PIT_MIN_INTERVAL_NS: a guest that programs a shorter period gets fewer.  Of a period below twice that none are made
 * up for.
 *
 * The part has no reset: here it brings counters that wait for their first count with a low output, as after control
 * words for mode 0.
 */
#ifndef HW_TIMER_I8254_H
#define HW_TIMER_I8254_H

#include "hw/isa/isa-bus.h"
#include "util/event-loop.h"

#define PIT_HZ 1193182
#define PIT_CHANNELS 3
#define PIT_BACKLOG_MAX 100u          /* 100 ms of a 1 kHz tick: a longer stall is better noticed by the guest */
#define PIT_MIN_INTERVAL_NS 100000    /* 10 kHz: no driver wants more, and a turn of the event loop is not free */

/* One counter.  Ticks are absolute. */
typedef struct PitChannel {
    uint8_t control;      /* the control word's bits 5 to 0: access, mode, BCD */
    uint8_t write_low;    /* first byte of two */
    bool write_high_next; /* the second is to come */
    bool read_high_next;
    bool gate;

    bool loaded;          /* the counting element has a count */
    bool waiting;         /* a count was written that the next rising edge of the gate loads */
    bool counting;        /* the clock is not held by the gate */
    uint32_t reload;      /* the count last written: 1 to 65536, BCD 1 to 10000 */
    uint32_t count;       /* the one that is loaded */
    int64_t start;        /* counting: the tick at which `elapsed` was true */
    int64_t elapsed;      /* ticks counted until `start`, -1 before the load */
    int64_t reload_at;    /* modes 2 and 3: `reload` is loaded at this tick; INT64_MAX: it is `count` */

    uint8_t latched;      /* bytes of `latch` still to be read */
    uint16_t latch;
    bool status_latched;
    uint8_t status;
} PitChannel;

typedef struct Pit {
    IsaDevice isa;
    PitChannel channels[PIT_CHANNELS];
    MemoryRegion io, port61_io;
    EventTimer *timer;    /* next rising edge of counter 0, or a tick to be made up for */
    IrqLine *irq;
    int64_t next_edge;    /* tick; INT64_MAX: none */
    unsigned backlog;     /* ticks to be made up for */
    uint64_t dropped;     /* ticks beyond PIT_BACKLOG_MAX, since the start */
    uint8_t port61;       /* bits 0 to 3 */
} Pit;

typedef struct PitClass {
    IsaDeviceClass isa_class;
} PitClass;

QOM_DECLARE_TYPE(Pit, pit, PIT)
#define TYPE_PIT (pit_get_type())

/* Makes the board's timer on BUS; owned by the tree.  NULL with *errp. */
Pit *pit_create(IsaBus *bus, GError **errp);

#endif
