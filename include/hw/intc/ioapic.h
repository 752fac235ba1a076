/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APIC: 24 interrupt pins, each with a redirection entry that says what message its assertion
 * becomes.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 82093AA data sheet (order 290566), sections 3.0 to 3.2; the EOI register at 0x40
 * of version 0x20 parts as in the ICH data sheets.  QOM path on the pc board: /machine/ioapic; its
 * inputs answer to qtest's irq_intercept_in and set_irq_in.
 *
 * Polarity.  A pin's level here means "asserted", whatever the entry's polarity bit says; the bit
 * is stored and read back.  (KVM does the same: a guest that chooses the wrong polarity for a
 * virtual line would else see it asserted for ever.)
 */
#ifndef HW_INTC_IOAPIC_H
#define HW_INTC_IOAPIC_H

#include "hw/core/device.h"
#include "hw/core/irq.h"
#include "system/memory.h"

#define IOAPIC_PINS 24
#define IOAPIC_BASE 0xfec00000u /* where the pc board maps the register window */
#define IOAPIC_WINDOW_SIZE 0x1000u

/* Offsets in the register window. */
enum {
    IOAPIC_SELECT = 0x00, /* index of the register behind IOAPIC_DATA; 8 bits */
    IOAPIC_DATA = 0x10,
    IOAPIC_EOI = 0x40, /* write: the vector whose interrupt has ended */
};

/* Indices of registers; the redirection entry of pin n is at IOAPIC_REG_REDIR + 2n (low), + 1. */
enum {
    IOAPIC_REG_ID = 0x00,
    IOAPIC_REG_VERSION = 0x01,
    IOAPIC_REG_ARBITRATION = 0x02,
    IOAPIC_REG_REDIR = 0x10,
};

/* Fields of a redirection entry. */
#define IOAPIC_ENTRY_VECTOR 0xffull
#define IOAPIC_ENTRY_MODE_SHIFT 8
#define IOAPIC_ENTRY_LOGICAL (1ull << 11)
#define IOAPIC_ENTRY_PENDING (1ull << 12) /* delivery status; our deliveries take no time: 0 */
#define IOAPIC_ENTRY_ACTIVE_LOW (1ull << 13)
#define IOAPIC_ENTRY_REMOTE_IRR (1ull << 14) /* level: accepted, not yet ended */
#define IOAPIC_ENTRY_LEVEL (1ull << 15)
#define IOAPIC_ENTRY_MASKED (1ull << 16)
#define IOAPIC_ENTRY_DEST_SHIFT 56

/* What goes to the local APICs. */
typedef struct IoapicMessage {
    uint8_t vector;
    uint8_t mode;  /* 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT */
    uint8_t dest;
    bool logical;  /* dest is a logical id */
    bool level;
} IoapicMessage;

/* False: no local APIC took it (none is meant, or it is disabled). */
typedef bool IoapicDeliver(void *opaque, const IoapicMessage *msg);

typedef struct Ioapic {
    Device dev;
    MemoryRegion window;
    IrqLine **pins;      /* IOAPIC_PINS inputs */
    uint8_t select;
    uint8_t apic_id;     /* 4 bits */
    uint32_t asserted;   /* bit n: pin n is asserted now */
    uint64_t redir[IOAPIC_PINS];
    IoapicDeliver *deliver; /* NULL: a machine without CPUs (qtest); messages end here */
    void *deliver_opaque;
    uint64_t delivered;  /* messages sent */
    uint32_t refused;    /* bit n: nobody took pin n's last message, and it is still asserted, a level */
} Ioapic;

typedef struct IoapicClass {
    DeviceClass device_class;
} IoapicClass;

QOM_DECLARE_TYPE(Ioapic, ioapic, IOAPIC)
#define TYPE_IOAPIC (ioapic_get_type())

/* Messages go to DELIVER from now on. */
void ioapic_set_deliver(Ioapic *ioapic, IoapicDeliver *deliver, void *opaque);

/* A local APIC may take now what it would not before: messages that were refused are sent again. */
void ioapic_send_refused(Ioapic *ioapic);

/* The local APICs' broadcast that the interrupt with VECTOR has ended (also the EOI register). */
void ioapic_eoi(Ioapic *ioapic, uint8_t vector);

/*
 * The same of an interrupt that was an edge: no remote IRR is touched, but the sources of edge pins with VECTOR are
 * told (hw/intc/gsi.h).
 */
void ioapic_eoi_edge(Ioapic *ioapic, uint8_t vector);

#endif
