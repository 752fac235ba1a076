/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on control, debug and model-specific registers, TLB and caches.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Source: AMD APM volumes 2 and 3; Intel SDM volume 2 and volume 3, sections 2.5 and 17.2.
 */
#include "target/i386/bus.h"
#include "target/i386/cpuid.h"
#include "target/i386/descriptor.h"
#include "target/i386/flags.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

static uint64_t edx_eax(const X86Cpu *cpu)
{
    return (uint32_t)cpu->regs[X86_RAX] | cpu->regs[X86_RDX] << 32;
}

static void set_edx_eax(X86Cpu *cpu, uint64_t value)
{
    cpu->regs[X86_RAX] = (uint32_t)value;
    cpu->regs[X86_RDX] = value >> 32;
}

/* ---- CR0, CR3, CR4 --------------------------------------------------------------------------------------------- */

#define CR0_BITS \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM | \
     X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
/* Changes of these reload PAE paging's registers. */
#define CR0_PDPTE_BITS (X86_CR0_PG | X86_CR0_CD | X86_CR0_NW)
#define CR4_PDPTE_BITS (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP)
/* Changes of these make translations void, also those that the processor keeps with their rights. */
#define CR0_TLB_BITS (X86_CR0_PG | X86_CR0_WP | X86_CR0_PE)
#define CR4_TLB_BITS \
    (X86_CR4_PAE | X86_CR4_PGE | X86_CR4_PSE | X86_CR4_SMEP | X86_CR4_SMAP | X86_CR4_PCIDE)
#define CR3_NO_FLUSH (1ull << 63)
#define CR3_PCID 0xfffu

static bool has_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & X86_EFER_LMA);
}

static void set_cr0(X86Cpu *cpu, uint64_t value)
{
    uint64_t changed, efer = cpu->efer;

    x86_require(cpu, value <= 0xffffffffu, X86_EXC_GP);
    x86_require(cpu, !(value & X86_CR0_PG) || (value & X86_CR0_PE), X86_EXC_GP);
    x86_require(cpu, !(value & X86_CR0_NW) || (value & X86_CR0_CD), X86_EXC_GP);
    value = (value & CR0_BITS) | X86_CR0_ET;
    changed = value ^ cpu->cr0;
    if (changed & value & X86_CR0_PG) {
        if (efer & X86_EFER_LME) {
            x86_require(cpu, (cpu->cr4 & X86_CR4_PAE) && !(cpu->seg[X86_CS].attr & X86_SEG_L), X86_EXC_GP);
            efer |= X86_EFER_LMA;
        }
    } else if (changed & X86_CR0_PG) {
        x86_require(cpu, !x86_is_64(cpu) && !(cpu->cr4 & X86_CR4_PCIDE), X86_EXC_GP);
        efer &= ~(uint64_t)X86_EFER_LMA;
    }
    if ((changed & CR0_PDPTE_BITS) && has_pdptes(value, cpu->cr4, efer)) {
        x86_require(cpu, x86_load_pdptes(cpu, cpu->cr3), X86_EXC_GP);
    }
    cpu->efer = efer;
    cpu->cr0 = value;
    if (changed & CR0_TLB_BITS) {
        x86_tlb_flush(cpu, false);
    }
    x86_mode_changed(cpu);
}

static void set_cr3(X86Cpu *cpu, uint64_t value)
{
    if (cpu->cr4 & X86_CR4_PCIDE) {
        /* No translation outlives the load: "keep those of the other address space" keeps none. */
        value &= ~CR3_NO_FLUSH;
    }
    if (x86_long_mode(cpu)) {
        x86_require(cpu, value < 1ull << X86_PHYS_BITS, X86_EXC_GP);
    } else if (has_pdptes(cpu->cr0, cpu->cr4, cpu->efer)) {
        x86_require(cpu, x86_load_pdptes(cpu, value), X86_EXC_GP);
    }
    cpu->cr3 = value;
    x86_tlb_flush(cpu, cpu->cr4 & X86_CR4_PGE);
}

static void set_cr4(X86Cpu *cpu, uint64_t value)
{
    uint64_t changed = value ^ cpu->cr4;

    x86_require(cpu, !(value & ~x86_cpuid_cr4(cpu)), X86_EXC_GP);
    x86_require(cpu, !x86_long_mode(cpu) || (value & X86_CR4_PAE), X86_EXC_GP);
    if (changed & value & X86_CR4_PCIDE) {
        x86_require(cpu, x86_long_mode(cpu) && !(cpu->cr3 & CR3_PCID), X86_EXC_GP);
    }
    if ((changed & CR4_PDPTE_BITS) && has_pdptes(cpu->cr0, value, cpu->efer)) {
        x86_require(cpu, x86_load_pdptes(cpu, cpu->cr3), X86_EXC_GP);
    }
    cpu->cr4 = value;
    if (changed & CR4_TLB_BITS) {
        x86_tlb_flush(cpu, false);
    }
    x86_mode_changed(cpu);
}

X86_OP(x86_op_mov_from_cr)
{
    uint64_t value;

    cpu->op = op;
    x86_require_cpl0(cpu);
    switch (op->reg) {
    case 0:
        value = cpu->cr0;
        break;
    case 2:
        value = cpu->cr2;
        break;
    case 3:
        value = cpu->cr3;
        break;
    case 4:
        value = cpu->cr4;
        break;
    case 8:
        value = x86_bus_tpr_get(cpu) & 0xf;
        break;
    default:
        x86_raise(cpu, X86_EXC_UD, 0);
    }
    cpu->regs[op->rm] = x86_is_64(cpu) ? value : (uint32_t)value;
    return x86_leave(cpu, op);
}

X86_OP(x86_op_mov_to_cr)
{
    uint64_t value = x86_is_64(cpu) ? cpu->regs[op->rm] : (uint32_t)cpu->regs[op->rm];

    cpu->op = op;
    x86_require_cpl0(cpu);
    switch (op->reg) {
    case 0:
        set_cr0(cpu, value);
        break;
    case 2:
        cpu->cr2 = value;
        break;
    case 3:
        set_cr3(cpu, value);
        break;
    case 4:
        set_cr4(cpu, value);
        break;
    case 8:
        x86_require(cpu, value <= 15, X86_EXC_GP);
        x86_bus_tpr_set(cpu, value);
        break;
    default:
        x86_raise(cpu, X86_EXC_UD, 0);
    }
    return x86_leave(cpu, op);
}

X86_OP(x86_op_clts)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    cpu->cr0 &= ~(uint64_t)X86_CR0_TS;
    x86_mode_changed(cpu);
    return x86_leave(cpu, op);
}

/* PE can be set by LMSW, not cleared. */
static const X86Op *lmsw(X86Cpu *cpu, const X86Op *op, uint16_t value)
{
    set_cr0(cpu, (cpu->cr0 & ~0xeull) | (value & 0xf));
    return x86_leave(cpu, op);
}

X86_OP(x86_op_lmsw_r)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return lmsw(cpu, op, cpu->regs[op->rm]);
}

X86_OP(x86_op_lmsw_m)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return lmsw(cpu, op, x86_ld16(cpu, op, cpu->ea));
}

static void check_umip(X86Cpu *cpu)
{
    x86_require(cpu, !(cpu->cr4 & X86_CR4_UMIP) || cpu->cpl == 0, X86_EXC_GP);
}

X86_OP(x86_op_smsw_r)
{
    cpu->op = op;
    check_umip(cpu);
    if (op->aux == 2) {
        X86_R16(op->rm) = cpu->cr0;
    } else {
        cpu->regs[op->rm] = cpu->cr0;
    }
    return x86_leave(cpu, op);
}

X86_OP(x86_op_smsw_m)
{
    cpu->op = op;
    check_umip(cpu);
    x86_st16(cpu, op, cpu->ea, cpu->cr0);
    return x86_leave(cpu, op);
}

/* ---- debug registers ------------------------------------------------------------------------------------------- */

#define DR6_ONES 0xffff0ff0u
#define DR6_WRITABLE 0xe00fu
#define DR6_BD 0x2000u
#define DR7_ONES 0x400u
#define DR7_WRITABLE 0xffff23ffu
#define DR7_GD 0x2000u
#define DR7_ENABLES 0xffu

/* 4 and 5 are other names of 6 and 7 as long as CR4.DE does not forbid them. */
static unsigned debug_register(X86Cpu *cpu, unsigned n)
{
    x86_require_cpl0(cpu);
    if (n >= 8 || ((n == 4 || n == 5) && (cpu->cr4 & X86_CR4_DE))) {
        x86_raise(cpu, X86_EXC_UD, 0);
    }
    if (cpu->dr[7] & DR7_GD) {
        cpu->dr[6] |= DR6_BD;
        x86_raise(cpu, X86_EXC_DB, 0);
    }
    return n == 4 || n == 5 ? n + 2 : n;
}

X86_OP(x86_op_mov_from_dr)
{
    cpu->op = op;
    unsigned n = debug_register(cpu, op->reg);

    cpu->regs[op->rm] = x86_is_64(cpu) ? cpu->dr[n] : (uint32_t)cpu->dr[n];
    return x86_leave(cpu, op);
}

X86_OP(x86_op_mov_to_dr)
{
    uint64_t value = x86_is_64(cpu) ? cpu->regs[op->rm] : (uint32_t)cpu->regs[op->rm];

    cpu->op = op;
    unsigned n = debug_register(cpu, op->reg);
    uint64_t enables = cpu->dr[7] & DR7_ENABLES;
    if (n >= 6) {
        x86_require(cpu, value <= 0xffffffffu, X86_EXC_GP);
        value = n == 6 ? (value & DR6_WRITABLE) | DR6_ONES : (value & DR7_WRITABLE) | DR7_ONES;
    }
    cpu->dr[n] = value;
    if (enables || (cpu->dr[7] & DR7_ENABLES)) {
        /* Pages with watched data are marked in the TLB. */
        x86_tlb_flush(cpu, false);
    }
    x86_mode_changed(cpu);
    return x86_leave(cpu, op);
}

/* ---- TLB and caches -------------------------------------------------------------------------------------------- */

X86_OP(x86_op_invlpg)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    if (!x86_is_64(cpu) || x86_canonical(cpu->ea)) {
        x86_tlb_flush_page(cpu, cpu->ea);
    }
    return x86_leave(cpu, op);
}

enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

X86_OP(x86_op_invpcid)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    uint64_t type = x86_is_64(cpu) ? cpu->regs[op->reg] : (uint32_t)cpu->regs[op->reg];
    uint64_t pcid = x86_ld64(cpu, op, cpu->ea);
    uint64_t linear = x86_ld64(cpu, op, cpu->ea + 8);

    x86_require(cpu, type <= INVPCID_ALL_BUT_GLOBAL && pcid <= CR3_PCID, X86_EXC_GP);
    if (type <= INVPCID_SINGLE) {
        x86_require(cpu, pcid == 0 || (cpu->cr4 & X86_CR4_PCIDE), X86_EXC_GP);
    }
    if (type == INVPCID_ADDRESS) {
        x86_require(cpu, x86_canonical(linear), X86_EXC_GP);
        x86_tlb_flush_page(cpu, linear);
    } else {
        x86_tlb_flush(cpu, type != INVPCID_ALL);
    }
    return x86_leave(cpu, op);
}

/* Nothing is cached but by the host. */
X86_OP(x86_op_wbinvd)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_invd)
{
    return x86_op_wbinvd(cpu, op);
}

/* ---- MSRs, time, CPUID, XCR0 ----------------------------------------------------------------------------------- */

X86_OP(x86_op_rdmsr)
{
    uint64_t value;

    cpu->op = op;
    x86_require_cpl0(cpu);
    x86_require(cpu, x86_rdmsr(cpu, cpu->regs[X86_RCX], &value), X86_EXC_GP);
    set_edx_eax(cpu, value);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_wrmsr)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    x86_require(cpu, x86_wrmsr(cpu, cpu->regs[X86_RCX], edx_eax(cpu)), X86_EXC_GP);
    return x86_leave(cpu, op);
}

/* CPL is 0 in real mode, where TSD does not count. */
static void check_tsd(X86Cpu *cpu)
{
    x86_require(cpu, !(cpu->cr4 & X86_CR4_TSD) || cpu->cpl == 0, X86_EXC_GP);
}

X86_OP(x86_op_rdtsc)
{
    cpu->op = op;
    check_tsd(cpu);
    set_edx_eax(cpu, x86_tsc(cpu));
    return x86_leave(cpu, op);
}

X86_OP(x86_op_rdtscp)
{
    cpu->op = op;
    x86_require(cpu, x86_cpuid_has(cpu, X86_CPUID_RDTSCP), X86_EXC_UD);
    check_tsd(cpu);
    set_edx_eax(cpu, x86_tsc(cpu));
    cpu->regs[X86_RCX] = cpu->tsc_aux;
    return x86_leave(cpu, op);
}

/* There are no counters. */
X86_OP(x86_op_rdpmc)
{
    x86_raise_op(cpu, op, X86_EXC_GP, 0);
}

X86_OP(x86_op_cpuid)
{
    uint32_t out[4];

    x86_cpuid(cpu, cpu->regs[X86_RAX], cpu->regs[X86_RCX], out);
    cpu->regs[X86_RAX] = out[0];
    cpu->regs[X86_RBX] = out[1];
    cpu->regs[X86_RCX] = out[2];
    cpu->regs[X86_RDX] = out[3];
    return x86_leave(cpu, op);
}

X86_OP(x86_op_xgetbv)
{
    cpu->op = op;
    x86_require(cpu, cpu->cr4 & X86_CR4_OSXSAVE, X86_EXC_UD);
    x86_require(cpu, (uint32_t)cpu->regs[X86_RCX] == 0, X86_EXC_GP);
    set_edx_eax(cpu, cpu->xcr0);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_xsetbv)
{
    uint64_t value = edx_eax(cpu);

    cpu->op = op;
    x86_require(cpu, cpu->cr4 & X86_CR4_OSXSAVE, X86_EXC_UD);
    x86_require_cpl0(cpu);
    x86_require(cpu, (uint32_t)cpu->regs[X86_RCX] == 0 && (value & 1) && !(value & ~(uint64_t)X86_XCR0_BITS),
                X86_EXC_GP);
    cpu->xcr0 = value;
    return x86_leave(cpu, op);
}

/* CPUID does not tell of them. */
X86_OP(x86_op_monitor)
{
    x86_raise_op(cpu, op, X86_EXC_UD, 0);
}

X86_OP(x86_op_mwait)
{
    x86_raise_op(cpu, op, X86_EXC_UD, 0);
}
