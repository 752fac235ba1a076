/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APIC: registers, by the window at 0xfee00000 and by MSR.
 *
 * Runs in: mpqemu.
 *
 * Both ways come to reg_read() and reg_write() with the window's offsets.  In x2APIC mode what xAPIC ignores is #GP: a
 * register that does not exist, a write to one that is read-only, a reserved bit that is set.
 */
#include "hw/intc/apic-int.h"

#include "trace/hw-intc.h"
#include "util/log.h"

/* Guest-physical addresses have at most this many bits. */
#define ADDRESS_BITS 52

/* ---- what can be written --------------------------------------------------------------------------- */

/* Bits of each LVT entry that software writes. */
static const uint32_t lvt_writable[APIC_LVT_COUNT] = {
    [APIC_LVT_TIMER] = 0x700ff,
    [APIC_LVT_THERMAL] = 0x107ff,
    [APIC_LVT_PERFORMANCE] = 0x107ff,
    [APIC_LVT_LINT0] = 0x1a7ff,
    [APIC_LVT_LINT1] = 0x1a7ff,
    [APIC_LVT_ERROR] = 0x100ff,
};

/* Bits of a register that may be 1 in a write; 0: read-only, or there is none. */
static uint32_t writable_bits(const LocalApic *apic, unsigned reg)
{
    switch (reg) {
    case APIC_REG_TPR:
        return 0xff;
    case APIC_REG_EOI:
    case APIC_REG_ESR:
        return apic_is_x2(apic) ? 0 : UINT32_MAX; /* MSRs take 0 only */
    case APIC_REG_LDR:
        return apic_is_x2(apic) ? 0 : 0xff000000;
    case APIC_REG_DFR:
        return apic_is_x2(apic) ? 0 : 0xf0000000;
    case APIC_REG_SVR:
        return 0x1ff;
    case APIC_REG_ICR:
        return 0xcdfff & ~(1u << 12);
    case APIC_REG_ICR_HIGH:
        return apic_is_x2(apic) ? UINT32_MAX : 0xff000000;
    case APIC_REG_TIMER_INITIAL:
        return UINT32_MAX;
    case APIC_REG_TIMER_DIVIDE:
        return 0xb;
    case APIC_REG_SELF_IPI:
        return apic_is_x2(apic) ? 0xff : 0;
    default:
        if (reg >= APIC_REG_LVT && reg < APIC_REG_LVT + 16 * APIC_LVT_COUNT) {
            return lvt_writable[(reg - APIC_REG_LVT) / 16];
        }
        return 0;
    }
}

/* Whether a write to REG, with no reserved bit, does something. */
static bool is_writable(const LocalApic *apic, unsigned reg)
{
    return writable_bits(apic, reg) || (apic_is_x2(apic) && (reg == APIC_REG_EOI || reg == APIC_REG_ESR));
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* REG of a bit map at FIRST; false: it is none of it. */
static bool read_map(const uint32_t *map, unsigned first, unsigned reg, uint32_t *ret_value)
{
    if (reg < first || reg >= first + 8 * 16) {
        return false;
    }
    *ret_value = map[(reg - first) / 16];
    return true;
}

/* False: there is no such register. */
static bool reg_read(LocalApic *apic, unsigned reg, uint32_t *ret_value)
{
    *ret_value = 0;
    switch (reg) {
    case APIC_REG_ID:
        *ret_value = apic_is_x2(apic) ? apic->vcpu->apic_id : apic->vcpu->apic_id << 24;
        return true;
    case APIC_REG_VERSION:
        *ret_value = APIC_VERSION | (APIC_LVT_COUNT - 1) << 16;
        return true;
    case APIC_REG_TPR:
        *ret_value = apic->tpr;
        return true;
    case APIC_REG_APR: /* not in parts that have no arbitration bus, and 0 in others */
        return !apic_is_x2(apic);
    case APIC_REG_PPR:
        *ret_value = apic_ppr(apic);
        return true;
    case APIC_REG_EOI: /* write-only */
    case APIC_REG_SELF_IPI:
        return false;
    case APIC_REG_LDR:
        *ret_value = apic_ldr(apic);
        return true;
    case APIC_REG_DFR:
        *ret_value = apic->dfr;
        return !apic_is_x2(apic);
    case APIC_REG_SVR:
        *ret_value = apic->svr;
        return true;
    case APIC_REG_ESR:
        *ret_value = apic->esr;
        return true;
    case APIC_REG_ICR:
        *ret_value = apic->icr;
        return true;
    case APIC_REG_ICR_HIGH:
        *ret_value = apic->icr_high;
        return !apic_is_x2(apic);
    case APIC_REG_TIMER_INITIAL:
        *ret_value = apic->timer_initial;
        return true;
    case APIC_REG_TIMER_CURRENT:
        *ret_value = apic_timer_current(apic);
        return true;
    case APIC_REG_TIMER_DIVIDE:
        *ret_value = apic->timer_divide;
        return true;
    default:
        break;
    }
    if (reg >= APIC_REG_LVT && reg < APIC_REG_LVT + 16 * APIC_LVT_COUNT) {
        *ret_value = apic->lvt[(reg - APIC_REG_LVT) / 16];
        return true;
    }
    return read_map(apic->isr, APIC_REG_ISR, reg, ret_value) || read_map(apic->tmr, APIC_REG_TMR, reg, ret_value) ||
           read_map(apic->irr, APIC_REG_IRR, reg, ret_value);
}

/* ---- writing ------------------------------------------------------------------------------------------ */

static void write_icr(LocalApic *apic, uint32_t value)
{
    unsigned shorthand = value >> APIC_ICR_SHORTHAND_SHIFT & 3;
    const ApicMessage msg = {
        .dest = apic_is_x2(apic) ? apic->icr_high : apic->icr_high >> 24,
        .wide = apic_is_x2(apic),
        .logical = value & APIC_ICR_LOGICAL,
        .mode = value >> APIC_MODE_SHIFT & 7,
        .vector = (uint8_t)value,
    };

    apic->icr = value;
    /* INIT level de-assert: since the Pentium 4 it does nothing. */
    if (msg.mode == APIC_MODE_INIT && (value & APIC_ICR_LEVEL) && !(value & APIC_ICR_ASSERT)) {
        return;
    }
    if ((msg.mode == APIC_MODE_FIXED || msg.mode == APIC_MODE_LOWEST) && msg.vector < 16) {
        apic_error(apic, APIC_ERROR_SEND_VECTOR);
        return;
    }
    if (shorthand) {
        apic_deliver_shorthand(apic, shorthand, &msg);
    } else {
        apic_deliver(&msg);
    }
}

static void write_lvt(LocalApic *apic, ApicLvt entry, uint32_t value)
{
    if (!(apic->svr & APIC_SVR_ENABLE)) {
        value |= APIC_LVT_MASKED;
    }
    if (entry == APIC_LVT_TIMER) {
        apic_timer_set_mode(apic, value);
    } else {
        apic->lvt[entry] = value;
    }
    apic_update(apic); /* LINT0 may pass the 8259 on now, or not any more */
}

static void write_svr(LocalApic *apic, uint32_t value)
{
    apic->svr = value;
    if (!(value & APIC_SVR_ENABLE)) {
        for (unsigned i = 0; i < APIC_LVT_COUNT; i++) {
            apic->lvt[i] |= APIC_LVT_MASKED;
        }
    }
    apic_update(apic);
    apic_takes_more();
}

/* REG is writable, and VALUE has no other bits. */
static void reg_write(LocalApic *apic, unsigned reg, uint32_t value)
{
    trace_apic_reg_write(apic->vcpu->index, reg, value);
    switch (reg) {
    case APIC_REG_TPR:
        apic->tpr = value;
        apic_update(apic);
        break;
    case APIC_REG_EOI:
        apic_eoi(apic);
        break;
    case APIC_REG_LDR:
        apic->ldr = value;
        apic_takes_more();
        break;
    case APIC_REG_DFR:
        apic->dfr = value | 0x0fffffff;
        apic_takes_more();
        break;
    case APIC_REG_SVR:
        write_svr(apic, value);
        break;
    case APIC_REG_ESR:
        apic->esr = apic->errors;
        apic->errors = 0;
        break;
    case APIC_REG_ICR:
        write_icr(apic, value);
        break;
    case APIC_REG_ICR_HIGH:
        apic->icr_high = value;
        break;
    case APIC_REG_TIMER_INITIAL:
        apic_timer_set_initial(apic, value);
        break;
    case APIC_REG_TIMER_DIVIDE:
        apic_timer_set_divide(apic, value);
        break;
    case APIC_REG_SELF_IPI:
        apic_accept_fixed(apic, (uint8_t)value, false);
        break;
    default:
        write_lvt(apic, (ApicLvt)((reg - APIC_REG_LVT) / 16), value);
        break;
    }
}

/* ---- window -------------------------------------------------------------------------------------------- */

/* The registers are at multiples of 16, 32 bits wide; a narrower access takes or gives the low bits. */
static MemResult window_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Vcpu *vcpu = vcpu_current();
    uint32_t value;

    if (addr >= APIC_WINDOW_SIZE || !vcpu || !apic_is_enabled(vcpu->apic) || apic_is_x2(vcpu->apic)) {
        *ret_value = UINT64_MAX;
        return MEM_DECODE_ERROR;
    }
    if (!reg_read(vcpu->apic, addr & ~0xfull, &value)) {
        apic_error(vcpu->apic, APIC_ERROR_REGISTER);
    }
    *ret_value = addr & 0xf ? 0 : value;
    return MEM_OK;
}

static MemResult window_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Vcpu *vcpu = vcpu_current();
    LocalApic *apic = vcpu ? vcpu->apic : NULL;
    unsigned reg = (unsigned)addr;

    if (!apic || addr >= APIC_WINDOW_SIZE) {
        apic_send_msi(APIC_BASE + addr, (uint32_t)value);
        return MEM_OK;
    }
    if (!apic_is_enabled(apic) || apic_is_x2(apic)) {
        return MEM_DECODE_ERROR;
    }
    if ((addr & 0xf) || !is_writable(apic, reg)) {
        uint32_t unused;

        if (!reg_read(apic, reg & ~0xfu, &unused)) {
            apic_error(apic, APIC_ERROR_REGISTER);
        }
        return MEM_OK;
    }
    reg_write(apic, reg, (uint32_t)value & writable_bits(apic, reg));
    return MEM_OK;
}

static const MemoryRegionOps window_ops = {
    .read = window_read,
    .write = window_write,
    .max_size = 4,
};

static MemoryRegion window;

void apic_regs_map(MemoryRegion *memory)
{
    memory_region_init_io(&window, NULL, &window_ops, NULL, "apic", APIC_MSI_SIZE);
    memory_region_add(memory, APIC_BASE, &window, 1);
}

void apic_regs_unmap(void)
{
    memory_region_destroy(&window);
}

/* ---- MSRs ---------------------------------------------------------------------------------------------- */

static bool write_base(LocalApic *apic, uint64_t value)
{
    const uint64_t flags = APIC_BASE_BSP | APIC_BASE_X2 | APIC_BASE_ENABLE;
    const uint64_t address = (((uint64_t)1 << ADDRESS_BITS) - 1) & ~0xfffull;
    const uint64_t modes = APIC_BASE_X2 | APIC_BASE_ENABLE;
    uint64_t from = apic->base & modes, to = value & modes;

    if ((value & ~(flags | address)) || to == APIC_BASE_X2) {
        return false;
    }
    /* x2APIC mode is entered from xAPIC mode only, and left by disabling only. */
    if ((from == 0 && to == modes) || (from == modes && to == APIC_BASE_ENABLE)) {
        return false;
    }
    if ((value & address) != APIC_BASE) {
        log_guest_error("vCPU %u moves its APIC to 0x%" G_GINT64_MODIFIER "x; it stays at 0x%x", apic->vcpu->index,
                        value & address, APIC_BASE);
    }
    apic->base = APIC_BASE | (apic->base & APIC_BASE_BSP) | to;
    if (from && !to) {
        apic_reset_registers(apic);
    }
    apic->icr_high = from == to ? apic->icr_high : 0; /* it means something else now */
    apic_update(apic);
    apic_takes_more();
    return true;
}

bool apic_msr_read(LocalApic *apic, uint32_t msr, uint64_t *ret_value)
{
    unsigned reg = (msr - APIC_MSR_X2) * 16;
    uint32_t value;

    switch (msr) {
    case APIC_MSR_BASE:
        *ret_value = apic->base;
        return true;
    case APIC_MSR_TSC_DEADLINE:
        *ret_value = apic->tsc_deadline;
        return true;
    default:
        break;
    }
    if (msr < APIC_MSR_X2 || msr > APIC_MSR_X2 + 0xff || !apic_is_x2(apic) || !reg_read(apic, reg, &value)) {
        return false;
    }
    *ret_value = reg == APIC_REG_ICR ? (uint64_t)apic->icr_high << 32 | value : value;
    return true;
}

bool apic_msr_write(LocalApic *apic, uint32_t msr, uint64_t value)
{
    unsigned reg = (msr - APIC_MSR_X2) * 16;
    uint64_t bits;

    switch (msr) {
    case APIC_MSR_BASE:
        return write_base(apic, value);
    case APIC_MSR_TSC_DEADLINE:
        apic_timer_set_deadline(apic, value);
        return true;
    default:
        break;
    }
    if (msr < APIC_MSR_X2 || msr > APIC_MSR_X2 + 0xff || !apic_is_x2(apic) || reg == APIC_REG_ICR_HIGH ||
        !is_writable(apic, reg)) {
        return false;
    }
    bits = writable_bits(apic, reg);
    if (reg == APIC_REG_ICR) {
        bits |= (uint64_t)UINT32_MAX << 32;
    }
    if (value & ~bits) {
        return false;
    }
    if (reg == APIC_REG_ICR) {
        apic->icr_high = (uint32_t)(value >> 32);
    }
    reg_write(apic, reg, (uint32_t)value);
    return true;
}

uint8_t apic_tpr_get(const LocalApic *apic)
{
    return (uint8_t)(apic->tpr >> 4);
}

void apic_tpr_set(LocalApic *apic, uint8_t cr8)
{
    apic->tpr = (uint32_t)(cr8 & 0xf) << 4;
    apic_update(apic);
}
