/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs: what they hold, and the messages between them.
 *
 * Runs in: mpqemu.  The manual is include/hw/intc/apic.h.
 *
 * Theory of operation.  A fixed interrupt sets its bit in IRR.  INTR is high as long as the highest bit there is of a
 * higher class (its upper four bits) than the processor's priority, or the 8259 asks by ExtINT.  The processor's
 * acknowledge moves the bit from IRR to ISR, which raises its priority; EOI clears the highest one of ISR.  Whatever
 * changes one of these calls apic_update().
 */
#include "hw/intc/apic-int.h"

#include <string.h>

#include "accel/accel.h"
#include "system/reset.h"
#include "trace/hw-intc.h"

/* The shorthands of the ICR. */
enum {
    SHORTHAND_SELF = 1,
    SHORTHAND_ALL = 2,
    SHORTHAND_OTHERS = 3,
};

static LocalApic *apics[VCPUS_MAX];
static unsigned apic_count;
static unsigned last_lowest; /* who got the last lowest-priority message; those of equal priority take turns */

static Ioapic *apics_ioapic;
static IrqLine **pic_line;
static bool pic_level;
static uint8_t (*pic_acknowledge)(void *opaque);
static void *pic_opaque;

/* ---- bits -------------------------------------------------------------------------------------------- */

static void set_bit(uint32_t *map, uint8_t vector, bool value)
{
    uint32_t bit = 1u << (vector & 31);

    map[vector / 32] = value ? map[vector / 32] | bit : map[vector / 32] & ~bit;
}

static bool get_bit(const uint32_t *map, uint8_t vector)
{
    return map[vector / 32] >> (vector & 31) & 1;
}

/* The highest vector, or -1. */
static int highest(const uint32_t *map)
{
    for (int i = 7; i >= 0; i--) {
        if (map[i]) {
            return i * 32 + 31 - __builtin_clz(map[i]);
        }
    }
    return -1;
}

/* ---- INTR --------------------------------------------------------------------------------------------- */

uint8_t apic_ppr(const LocalApic *apic)
{
    int in_service = MAX(highest(apic->isr), 0) & 0xf0;

    return (uint8_t)((apic->tpr & 0xf0) >= (uint32_t)in_service ? apic->tpr : (uint32_t)in_service);
}

/* The fixed interrupt that the processor may take now, or -1. */
static int deliverable(const LocalApic *apic)
{
    int vector = highest(apic->irr);
    bool takes = apic_is_enabled(apic) && (apic->svr & APIC_SVR_ENABLE);

    return takes && vector >= 0 && (vector & 0xf0) > (apic_ppr(apic) & 0xf0) ? vector : -1;
}

/* Whether the 8259 asks APIC's processor.  Without the APIC its output is the processor's pin. */
static bool pic_asks(const LocalApic *apic)
{
    uint32_t lint0 = apic->lvt[APIC_LVT_LINT0];

    if (apic->extint) {
        return true;
    }
    if (!pic_level || apic->vcpu->index != 0) {
        return false;
    }
    return !apic_is_enabled(apic) ||
           (!(lint0 & APIC_LVT_MASKED) && (lint0 >> APIC_MODE_SHIFT & 7) == APIC_MODE_EXTINT);
}

void apic_update(LocalApic *apic)
{
    bool intr = deliverable(apic) >= 0 || pic_asks(apic);

    if (intr == apic->intr) {
        return;
    }
    apic->intr = intr;
    accel_current()->vcpu_set_intr(apic->vcpu, intr);
    if (intr) {
        vcpu_wake(apic->vcpu);
    }
}

int apic_accept(LocalApic *apic)
{
    int vector;

    if (pic_asks(apic)) {
        apic->extint = false;
        vector = pic_acknowledge ? pic_acknowledge(pic_opaque) : -1; /* lowers the line, or not */
    } else {
        vector = deliverable(apic);
        if (vector >= 0) {
            set_bit(apic->irr, (uint8_t)vector, false);
            set_bit(apic->isr, (uint8_t)vector, true);
        }
    }
    trace_apic_accept(apic->vcpu->index, vector);
    apic_update(apic);
    return vector;
}

void apic_eoi(LocalApic *apic)
{
    int vector = highest(apic->isr);

    if (vector < 0) {
        return;
    }
    set_bit(apic->isr, (uint8_t)vector, false);
    apic_update(apic);
    trace_apic_eoi(apic->vcpu->index, vector);
    if (!apics_ioapic) {
        return;
    }
    if (get_bit(apic->tmr, (uint8_t)vector)) {
        ioapic_eoi(apics_ioapic, (uint8_t)vector);
    } else {
        ioapic_eoi_edge(apics_ioapic, (uint8_t)vector);
    }
}

/* ---- interrupts that come ------------------------------------------------------------------------------- */

void apic_error(LocalApic *apic, uint32_t error)
{
    apic->errors |= error;
    /* Not by way of an LVT entry that is itself wrong, for ever. */
    if ((apic->lvt[APIC_LVT_ERROR] & 0xff) >= 16) {
        apic_local_interrupt(apic, APIC_LVT_ERROR);
    }
}

bool apic_accept_fixed(LocalApic *apic, uint8_t vector, bool level)
{
    if (!(apic->svr & APIC_SVR_ENABLE)) {
        return false;
    }
    if (vector < 16) {
        apic_error(apic, APIC_ERROR_RECEIVE_VECTOR);
        return false;
    }
    set_bit(apic->irr, vector, true);
    set_bit(apic->tmr, vector, level);
    apic_update(apic);
    return true;
}

static void apic_nmi(LocalApic *apic)
{
    accel_current()->vcpu_nmi(apic->vcpu);
    vcpu_wake(apic->vcpu);
}

void apic_local_interrupt(LocalApic *apic, ApicLvt entry)
{
    uint32_t lvt = apic->lvt[entry];
    unsigned mode = entry == APIC_LVT_TIMER || entry == APIC_LVT_ERROR ? APIC_MODE_FIXED : lvt >> APIC_MODE_SHIFT & 7;

    if (lvt & APIC_LVT_MASKED) {
        return;
    }
    if (mode == APIC_MODE_FIXED) {
        apic_accept_fixed(apic, (uint8_t)lvt, false);
    } else if (mode == APIC_MODE_NMI) {
        apic_nmi(apic);
    }
    /* ExtINT is a level, see pic_asks(); INIT and SMI: nothing that a board wires. */
}

static void pic_set(void *opaque, int n, int level)
{
    bool rising = level && !pic_level;

    pic_level = level;
    if (apic_count) {
        if (rising && apic_is_enabled(apics[0])) {
            apic_local_interrupt(apics[0], APIC_LVT_LINT0);
        }
        apic_update(apics[0]);
    }
}

IrqLine *apic_pic_line(void)
{
    return pic_line[0];
}

void apic_set_pic(uint8_t (*acknowledge)(void *opaque), void *opaque)
{
    pic_acknowledge = acknowledge;
    pic_opaque = opaque;
}

void apic_nmi_button(void)
{
    for (unsigned i = 0; i < apic_count; i++) {
        if (apic_is_enabled(apics[i])) {
            apic_local_interrupt(apics[i], APIC_LVT_LINT1);
        } else if (i == 0) {
            apic_nmi(apics[i]); /* without the APIC it is the processor's pin */
        }
    }
}

/* ---- messages ------------------------------------------------------------------------------------------- */

uint32_t apic_ldr(const LocalApic *apic)
{
    uint32_t id = apic->vcpu->apic_id;

    return apic_is_x2(apic) ? (id >> 4) << 16 | 1u << (id & 15) : apic->ldr;
}

static bool matches_logical(const LocalApic *apic, const ApicMessage *msg)
{
    uint32_t ldr = apic_ldr(apic), dest = msg->dest;

    if (apic_is_x2(apic)) {
        return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
    }
    if (dest > 0xff) {
        return false;
    }
    ldr >>= 24;
    if (apic->dfr >> 28 == 0xf) { /* flat */
        return dest & ldr;
    }
    return (dest >> 4 == ldr >> 4 || dest >> 4 == 0xf) && (dest & ldr & 0xf);
}

/* Whether MSG means APIC. */
static bool matches(const LocalApic *apic, const ApicMessage *msg)
{
    if (!apic_is_enabled(apic)) {
        return false;
    }
    if (msg->dest == (msg->wide ? UINT32_MAX : 0xff)) {
        return true;
    }
    return msg->logical ? matches_logical(apic, msg) : msg->dest == apic->vcpu->apic_id;
}

/* Whether APIC takes MSG. */
static bool deliver_to(LocalApic *apic, const ApicMessage *msg)
{
    trace_apic_deliver(apic->vcpu->index, msg->mode, msg->vector);
    switch (msg->mode) {
    case APIC_MODE_FIXED:
    case APIC_MODE_LOWEST:
        return apic_accept_fixed(apic, msg->vector, msg->level);
    case APIC_MODE_NMI:
        apic_nmi(apic);
        break;
    case APIC_MODE_INIT:
        apic_reset_registers(apic);
        vcpu_init_signal(apic->vcpu);
        break;
    case APIC_MODE_SIPI:
        vcpu_sipi(apic->vcpu, msg->vector);
        break;
    case APIC_MODE_EXTINT:
        apic->extint = true;
        apic_update(apic);
        break;
    default: /* SMI, reserved */
        break;
    }
    return true;
}

/* The one of TARGETS, a bit an APIC, that takes a lowest-priority message; -1: none can. */
static int choose_lowest(unsigned targets)
{
    int best = -1;

    for (unsigned i = 1; i <= apic_count; i++) {
        unsigned n = (last_lowest + i) % apic_count;

        if ((targets >> n & 1) && (apics[n]->svr & APIC_SVR_ENABLE) &&
            (best < 0 || apic_ppr(apics[n]) < apic_ppr(apics[best]))) {
            best = (int)n;
        }
    }
    return best;
}

static bool deliver_to_all(unsigned targets, const ApicMessage *msg)
{
    bool taken = false;

    if (msg->mode == APIC_MODE_LOWEST) {
        int n = choose_lowest(targets);

        if (n < 0) {
            return false;
        }
        last_lowest = (unsigned)n;
        return deliver_to(apics[n], msg);
    }
    for (unsigned i = 0; i < apic_count; i++) {
        if (targets >> i & 1) {
            taken |= deliver_to(apics[i], msg);
        }
    }
    return taken;
}

bool apic_deliver(const ApicMessage *msg)
{
    unsigned targets = 0;

    for (unsigned i = 0; i < apic_count; i++) {
        targets |= (unsigned)matches(apics[i], msg) << i;
    }
    return deliver_to_all(targets, msg);
}

void apic_takes_more(void)
{
    if (apics_ioapic) {
        ioapic_send_refused(apics_ioapic);
    }
}

void apic_deliver_shorthand(LocalApic *apic, unsigned shorthand, const ApicMessage *msg)
{
    unsigned self = 1u << apic->vcpu->index, targets = 0;

    for (unsigned i = 0; i < apic_count; i++) {
        targets |= (unsigned)apic_is_enabled(apics[i]) << i;
    }
    targets = shorthand == SHORTHAND_SELF ? self : shorthand == SHORTHAND_ALL ? targets : targets & ~self;
    deliver_to_all(targets, msg);
}

static bool deliver_ioapic(void *opaque, const IoapicMessage *msg)
{
    const ApicMessage message = {
        .dest = msg->dest,
        .logical = msg->logical,
        .level = msg->level,
        .mode = msg->mode,
        .vector = msg->vector,
    };

    return apic_deliver(&message);
}

/* Address and data as in the SDM's "Message Signalled Interrupts". */
void apic_send_msi(uint64_t address, uint32_t data)
{
    const ApicMessage message = {
        .dest = address >> 12 & 0xff,
        .logical = address >> 2 & 1,
        .level = data >> 15 & 1,
        .mode = data >> 8 & 7,
        .vector = (uint8_t)data,
    };

    if (address >> 20 == APIC_BASE >> 20) {
        apic_deliver(&message);
    }
}

/* ---- life ------------------------------------------------------------------------------------------------ */

void apic_reset_registers(LocalApic *apic)
{
    apic->tpr = 0;
    apic->ldr = 0;
    apic->dfr = UINT32_MAX;
    apic->svr = 0xff;
    apic->esr = apic->errors = 0;
    apic->icr = apic->icr_high = 0;
    for (unsigned i = 0; i < APIC_LVT_COUNT; i++) {
        apic->lvt[i] = APIC_LVT_MASKED;
    }
    if (apic->vcpu->index == 0) {
        /* Virtual wire mode, for which there is no firmware that would set it. */
        apic->lvt[APIC_LVT_LINT0] = APIC_MODE_EXTINT << APIC_MODE_SHIFT;
    }
    memset(apic->irr, 0, sizeof(apic->irr));
    memset(apic->isr, 0, sizeof(apic->isr));
    memset(apic->tmr, 0, sizeof(apic->tmr));
    apic->extint = false;
    apic_timer_reset(apic);
    apic_update(apic);
}

static void apics_reset(void *opaque)
{
    last_lowest = 0;
    for (unsigned i = 0; i < apic_count; i++) {
        apics[i]->base = APIC_BASE | APIC_BASE_ENABLE | (i == 0 ? APIC_BASE_BSP : 0);
        apic_reset_registers(apics[i]);
    }
}

void apics_create(MemoryRegion *memory, Ioapic *ioapic)
{
    pic_line = irq_new_lines(pic_set, NULL, 1);
    while (apic_count < vcpu_count()) {
        LocalApic *apic = g_new0(LocalApic, 1);

        apic->vcpu = vcpu_get(apic_count);
        apic->vcpu->apic = apic;
        apic_timer_init(apic);
        apics[apic_count++] = apic;
    }
    apics_reset(NULL);
    reset_register(apics_reset, NULL);
    apics_ioapic = ioapic;
    if (ioapic) {
        ioapic_set_deliver(ioapic, deliver_ioapic, NULL);
    }
    apic_regs_map(memory);
}

void apics_destroy(void)
{
    apic_regs_unmap();
    reset_unregister(apics_reset, NULL);
    if (apics_ioapic) {
        ioapic_set_deliver(apics_ioapic, NULL, NULL);
        apics_ioapic = NULL;
    }
    while (apic_count > 0) {
        LocalApic *apic = apics[--apic_count];

        event_timer_free(apic->timer);
        apic->vcpu->apic = NULL;
        g_free(apic);
    }
    irq_free_lines(pic_line, 1);
    pic_line = NULL;
    pic_level = false;
    pic_acknowledge = NULL;
}
