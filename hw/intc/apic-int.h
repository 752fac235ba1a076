/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APIC inside: what its files share.  apic.c holds interrupts and sends messages, apic-regs.c has the registers,
 * apic-timer.c the timer.
 *
 * Thread: any, with the machine lock held.  Runs in: mpqemu.
 */
#ifndef HW_INTC_APIC_INT_H
#define HW_INTC_APIC_INT_H

#include "hw/intc/apic.h"
#include "util/event-loop.h"

#define APIC_VERSION 0x14u

struct LocalApic {
    Vcpu *vcpu;
    uint64_t base; /* APIC_MSR_BASE */
    uint32_t tpr;
    uint32_t ldr;  /* xAPIC; in x2APIC mode it follows from the id */
    uint32_t dfr;
    uint32_t svr;
    uint32_t esr;         /* as read */
    uint32_t errors;      /* since the last write to ESR */
    uint32_t icr;
    uint32_t icr_high;    /* x2APIC: the destination; xAPIC: bits 31:24 are */
    uint32_t lvt[APIC_LVT_COUNT];

    /* One bit a vector. */
    uint32_t irr[8];
    uint32_t isr[8];
    uint32_t tmr[8];

    bool extint;  /* an ExtINT message (not LINT0) has come */
    bool intr;    /* what Accel.vcpu_set_intr() was told last */

    EventTimer *timer;
    bool timer_counts;      /* from timer_start_ns on; not after a one-shot has come to its end */
    uint32_t timer_initial;
    uint32_t timer_divide;  /* register */
    int64_t timer_start_ns; /* when timer_initial was loaded */
    uint64_t tsc_deadline;  /* 0: disarmed */
};

static inline bool apic_is_enabled(const LocalApic *apic)
{
    return apic->base & APIC_BASE_ENABLE;
}

static inline bool apic_is_x2(const LocalApic *apic)
{
    return apic->base & APIC_BASE_X2;
}

/* A message on its way to the local APICs. */
typedef struct ApicMessage {
    uint32_t dest;
    bool wide;    /* DEST has 32 bits (x2APIC); else 8 */
    bool logical;
    bool level;   /* trigger */
    uint8_t mode;
    uint8_t vector;
} ApicMessage;

/* Sends MSG to all APICs that it means.  False: none took it. */
bool apic_deliver(const ApicMessage *msg);

/* After a change by which an APIC may take messages that it did not before: what the I/O APIC holds comes again. */
void apic_takes_more(void);

/* Sends MSG as APIC's own, to those that SHORTHAND (of the ICR, not 0) means. */
void apic_deliver_shorthand(LocalApic *apic, unsigned shorthand, const ApicMessage *msg);

/* Takes fixed interrupt VECTOR; false: not, it is disabled or the vector is none. */
bool apic_accept_fixed(LocalApic *apic, uint8_t vector, bool level);

/* The interrupt of an LVT entry that is not masked. */
void apic_local_interrupt(LocalApic *apic, ApicLvt entry);

/* Notes ERROR for the ESR, and tells it. */
void apic_error(LocalApic *apic, uint32_t error);

/* End of interrupt. */
void apic_eoi(LocalApic *apic);

uint8_t apic_ppr(const LocalApic *apic);
uint32_t apic_ldr(const LocalApic *apic);

/* Drives INTR; after whatever may change it. */
void apic_update(LocalApic *apic);

/* State after power-on or INIT; the base MSR stays. */
void apic_reset_registers(LocalApic *apic);

/* The windows. */
void apic_regs_map(MemoryRegion *memory);
void apic_regs_unmap(void);

/* ---- timer ----------------------------------------------------------------------------------------- */

void apic_timer_init(LocalApic *apic);
void apic_timer_reset(LocalApic *apic);
/* Writes the LVT entry: a change between the modes has consequences. */
void apic_timer_set_mode(LocalApic *apic, uint32_t lvt);
void apic_timer_set_initial(LocalApic *apic, uint32_t count);
void apic_timer_set_divide(LocalApic *apic, uint32_t divide);
uint32_t apic_timer_current(const LocalApic *apic);
void apic_timer_set_deadline(LocalApic *apic, uint64_t tsc);

#endif
