/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on control, debug and model-specific registers, system calls, flags and ports.
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

#define RPL 3u

/* Attributes of the flat segments that SYSCALL and SYSENTER make without looking at descriptors */
#define ATTR_FLAT (X86_SEG_G | X86_SEG_P | X86_SEG_S | X86_TYPE_RW | X86_TYPE_ACCESSED)
#define ATTR_FLAT_DATA (ATTR_FLAT | X86_SEG_DB)
#define ATTR_FLAT_CODE32 (ATTR_FLAT | X86_SEG_DB | X86_TYPE_CODE)
#define ATTR_FLAT_CODE64 (ATTR_FLAT | X86_SEG_L | X86_TYPE_CODE)

static void require_cpl0(X86Cpu *cpu)
{
    if (cpu->cpl != 0) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
}

static void require(X86Cpu *cpu, bool condition, int vector)
{
    if (!condition) {
        x86_raise(cpu, vector, 0);
    }
}

static unsigned iopl(const X86Cpu *cpu)
{
    return (cpu->rflags & X86_IOPL) >> X86_IOPL_SHIFT;
}

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

    require(cpu, value <= 0xffffffffu, X86_EXC_GP);
    require(cpu, !(value & X86_CR0_PG) || (value & X86_CR0_PE), X86_EXC_GP);
    require(cpu, !(value & X86_CR0_NW) || (value & X86_CR0_CD), X86_EXC_GP);
    value = (value & CR0_BITS) | X86_CR0_ET;
    changed = value ^ cpu->cr0;
    if (changed & value & X86_CR0_PG) {
        if (efer & X86_EFER_LME) {
            require(cpu, (cpu->cr4 & X86_CR4_PAE) && !(cpu->seg[X86_CS].attr & X86_SEG_L), X86_EXC_GP);
            efer |= X86_EFER_LMA;
        }
    } else if (changed & X86_CR0_PG) {
        require(cpu, !x86_is_64(cpu) && !(cpu->cr4 & X86_CR4_PCIDE), X86_EXC_GP);
        efer &= ~(uint64_t)X86_EFER_LMA;
    }
    if ((changed & CR0_PDPTE_BITS) && has_pdptes(value, cpu->cr4, efer)) {
        require(cpu, x86_load_pdptes(cpu, cpu->cr3), X86_EXC_GP);
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
        require(cpu, value < 1ull << X86_PHYS_BITS, X86_EXC_GP);
    } else if (has_pdptes(cpu->cr0, cpu->cr4, cpu->efer)) {
        require(cpu, x86_load_pdptes(cpu, value), X86_EXC_GP);
    }
    cpu->cr3 = value;
    x86_tlb_flush(cpu, cpu->cr4 & X86_CR4_PGE);
}

static void set_cr4(X86Cpu *cpu, uint64_t value)
{
    uint64_t changed = value ^ cpu->cr4;

    require(cpu, !(value & ~x86_cpuid_cr4(cpu)), X86_EXC_GP);
    require(cpu, !x86_long_mode(cpu) || (value & X86_CR4_PAE), X86_EXC_GP);
    if (changed & value & X86_CR4_PCIDE) {
        require(cpu, x86_long_mode(cpu) && !(cpu->cr3 & CR3_PCID), X86_EXC_GP);
    }
    if ((changed & CR4_PDPTE_BITS) && has_pdptes(cpu->cr0, value, cpu->efer)) {
        require(cpu, x86_load_pdptes(cpu, cpu->cr3), X86_EXC_GP);
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
    require_cpl0(cpu);
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
    require_cpl0(cpu);
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
        require(cpu, value <= 15, X86_EXC_GP);
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
    require_cpl0(cpu);
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
    require_cpl0(cpu);
    return lmsw(cpu, op, cpu->regs[op->rm]);
}

X86_OP(x86_op_lmsw_m)
{
    cpu->op = op;
    require_cpl0(cpu);
    return lmsw(cpu, op, x86_ld16(cpu, op, cpu->ea));
}

static void check_umip(X86Cpu *cpu)
{
    require(cpu, !(cpu->cr4 & X86_CR4_UMIP) || cpu->cpl == 0, X86_EXC_GP);
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
    require_cpl0(cpu);
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
        require(cpu, value <= 0xffffffffu, X86_EXC_GP);
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
    require_cpl0(cpu);
    if (!x86_is_64(cpu) || x86_canonical(cpu->ea)) {
        x86_tlb_flush_page(cpu, cpu->ea);
    }
    return x86_leave(cpu, op);
}

enum { INVPCID_ADDRESS, INVPCID_SINGLE, INVPCID_ALL, INVPCID_ALL_BUT_GLOBAL };

X86_OP(x86_op_invpcid)
{
    cpu->op = op;
    require_cpl0(cpu);
    uint64_t type = x86_is_64(cpu) ? cpu->regs[op->reg] : (uint32_t)cpu->regs[op->reg];
    uint64_t pcid = x86_ld64(cpu, op, cpu->ea);
    uint64_t linear = x86_ld64(cpu, op, cpu->ea + 8);

    require(cpu, type <= INVPCID_ALL_BUT_GLOBAL && pcid <= CR3_PCID, X86_EXC_GP);
    if (type <= INVPCID_SINGLE) {
        require(cpu, pcid == 0 || (cpu->cr4 & X86_CR4_PCIDE), X86_EXC_GP);
    }
    if (type == INVPCID_ADDRESS) {
        require(cpu, x86_canonical(linear), X86_EXC_GP);
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
    require_cpl0(cpu);
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
    require_cpl0(cpu);
    require(cpu, x86_rdmsr(cpu, cpu->regs[X86_RCX], &value), X86_EXC_GP);
    set_edx_eax(cpu, value);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_wrmsr)
{
    cpu->op = op;
    require_cpl0(cpu);
    require(cpu, x86_wrmsr(cpu, cpu->regs[X86_RCX], edx_eax(cpu)), X86_EXC_GP);
    return x86_leave(cpu, op);
}

/* CPL is 0 in real mode, where TSD does not count. */
static void check_tsd(X86Cpu *cpu)
{
    require(cpu, !(cpu->cr4 & X86_CR4_TSD) || cpu->cpl == 0, X86_EXC_GP);
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
    require(cpu, x86_cpuid_has(cpu, X86_CPUID_RDTSCP), X86_EXC_UD);
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
    require(cpu, cpu->cr4 & X86_CR4_OSXSAVE, X86_EXC_UD);
    require(cpu, (uint32_t)cpu->regs[X86_RCX] == 0, X86_EXC_GP);
    set_edx_eax(cpu, cpu->xcr0);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_xsetbv)
{
    uint64_t value = edx_eax(cpu);

    cpu->op = op;
    require(cpu, cpu->cr4 & X86_CR4_OSXSAVE, X86_EXC_UD);
    require_cpl0(cpu);
    require(cpu, (uint32_t)cpu->regs[X86_RCX] == 0 && (value & 1) && !(value & ~(uint64_t)X86_XCR0_BITS), X86_EXC_GP);
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

/* ---- system calls ---------------------------------------------------------------------------------------------- */

/* CS and SS without their descriptors, for level LEVEL; SS is the next selector. */
static void set_flat_segments(X86Cpu *cpu, uint16_t cs, uint16_t ss, unsigned level, bool to_64)
{
    uint16_t dpl = level << X86_SEG_DPL_SHIFT;

    cpu->seg[X86_CS] = (X86Segment){
        .selector = (cs & ~RPL) | level, .limit = 0xffffffffu,
        .attr = (to_64 ? ATTR_FLAT_CODE64 : ATTR_FLAT_CODE32) | dpl,
    };
    cpu->seg[X86_SS] = (X86Segment){
        .selector = (ss & ~RPL) | level, .limit = 0xffffffffu, .attr = ATTR_FLAT_DATA | dpl,
    };
    cpu->cpl = level;
}

/* As Intel's: from 64-bit code only. */
X86_OP(x86_op_syscall)
{
    uint16_t selector = cpu->star >> 32;

    cpu->op = op;
    require(cpu, x86_is_64(cpu) && (cpu->efer & X86_EFER_SCE), X86_EXC_UD);
    uint64_t rflags = x86_get_rflags(cpu);
    cpu->regs[X86_RCX] = x86_next_rip(cpu, op);
    cpu->regs[11] = rflags & ~(uint64_t)X86_RF;
    x86_set_rflags(cpu, (rflags & ~(cpu->fmask | X86_RF)) | 2);
    set_flat_segments(cpu, selector, selector + 8, 0, true);
    x86_mode_changed(cpu);
    return x86_leave_to(cpu, cpu->lstar);
}

#define SYSRET_FLAGS 0x3c7fd7u

X86_OP(x86_op_sysret)
{
    uint16_t selector = cpu->star >> 48;
    bool to_64 = op->aux == 8;
    uint64_t rip = cpu->regs[X86_RCX];

    cpu->op = op;
    require(cpu, x86_is_64(cpu) && (cpu->efer & X86_EFER_SCE), X86_EXC_UD);
    require_cpl0(cpu);
    require(cpu, !to_64 || x86_canonical(rip), X86_EXC_GP);
    x86_set_rflags(cpu, (cpu->regs[11] & SYSRET_FLAGS) | 2);
    set_flat_segments(cpu, to_64 ? selector + 16 : selector, selector + 8, 3, to_64);
    x86_mode_changed(cpu);
    x86_check_interrupts(cpu);
    return x86_leave_to(cpu, to_64 ? rip : (uint32_t)rip);
}

X86_OP(x86_op_sysenter)
{
    bool to_64 = x86_long_mode(cpu);
    uint16_t selector = cpu->sysenter_cs & ~RPL;

    cpu->op = op;
    require(cpu, (cpu->cr0 & X86_CR0_PE) && selector != 0, X86_EXC_GP);
    cpu->rflags &= ~(uint64_t)(X86_VM | X86_IF | X86_RF);
    cpu->regs[X86_RSP] = to_64 ? cpu->sysenter_esp : (uint32_t)cpu->sysenter_esp;
    set_flat_segments(cpu, selector, selector + 8, 0, to_64);
    x86_mode_changed(cpu);
    return x86_leave_to(cpu, to_64 ? cpu->sysenter_eip : (uint32_t)cpu->sysenter_eip);
}

X86_OP(x86_op_sysexit)
{
    uint16_t selector = cpu->sysenter_cs & ~RPL;
    bool to_64 = op->aux == 8;
    uint64_t rip = cpu->regs[X86_RDX], sp = cpu->regs[X86_RCX];

    cpu->op = op;
    require(cpu, (cpu->cr0 & X86_CR0_PE) && selector != 0 && cpu->cpl == 0, X86_EXC_GP);
    require(cpu, !to_64 || (x86_canonical(rip) && x86_canonical(sp)), X86_EXC_GP);
    set_flat_segments(cpu, selector + (to_64 ? 32 : 16), selector + (to_64 ? 40 : 24), 3, to_64);
    cpu->regs[X86_RSP] = to_64 ? sp : (uint32_t)sp;
    x86_mode_changed(cpu);
    return x86_leave_to(cpu, to_64 ? rip : (uint32_t)rip);
}

X86_OP(x86_op_swapgs)
{
    uint64_t base = cpu->seg[X86_GS].base;

    cpu->op = op;
    require(cpu, x86_is_64(cpu), X86_EXC_UD);
    require_cpl0(cpu);
    cpu->seg[X86_GS].base = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
    return x86_leave(cpu, op);
}

static void check_fsgsbase(X86Cpu *cpu)
{
    require(cpu, x86_is_64(cpu) && (cpu->cr4 & X86_CR4_FSGSBASE), X86_EXC_UD);
}

static const X86Op *read_base(X86Cpu *cpu, const X86Op *op, unsigned seg)
{
    cpu->op = op;
    check_fsgsbase(cpu);
    cpu->regs[op->rm] = op->aux == 8 ? cpu->seg[seg].base : (uint32_t)cpu->seg[seg].base;
    return x86_leave(cpu, op);
}

static const X86Op *write_base(X86Cpu *cpu, const X86Op *op, unsigned seg)
{
    uint64_t value = op->aux == 8 ? cpu->regs[op->rm] : (uint32_t)cpu->regs[op->rm];

    cpu->op = op;
    check_fsgsbase(cpu);
    require(cpu, x86_canonical(value), X86_EXC_GP);
    cpu->seg[seg].base = value;
    return x86_leave(cpu, op);
}

X86_OP(x86_op_rdfsbase)
{
    return read_base(cpu, op, X86_FS);
}

X86_OP(x86_op_rdgsbase)
{
    return read_base(cpu, op, X86_GS);
}

X86_OP(x86_op_wrfsbase)
{
    return write_base(cpu, op, X86_FS);
}

X86_OP(x86_op_wrgsbase)
{
    return write_base(cpu, op, X86_GS);
}

/* ---- flags ----------------------------------------------------------------------------------------------------- */

X86_OP(x86_op_hlt)
{
    cpu->op = op;
    require_cpl0(cpu);
    cpu->halted = true;
    return x86_leave(cpu, op);
}

/* IF can be changed: CPL <= IOPL; virtual-8086 mode runs at CPL 3. */
static void check_iopl(X86Cpu *cpu)
{
    require(cpu, cpu->cpl <= iopl(cpu), X86_EXC_GP);
}

X86_OP(x86_op_cli)
{
    cpu->op = op;
    check_iopl(cpu);
    cpu->rflags &= ~(uint64_t)X86_IF;
    NEXT;
}

X86_OP(x86_op_sti)
{
    bool was_clear = !(cpu->rflags & X86_IF);

    cpu->op = op;
    check_iopl(cpu);
    cpu->rflags |= X86_IF;
    x86_check_interrupts(cpu);
    if (op->aux == 1) {
        cpu->shadow = was_clear;
        return x86_leave(cpu, op);
    }
    NEXT;
}

/* CLAC and STAC */
static const X86Op *set_ac(X86Cpu *cpu, const X86Op *op, bool on)
{
    cpu->op = op;
    require(cpu, x86_cpuid_has(cpu, X86_CPUID_SMAP) && cpu->cpl == 0, X86_EXC_UD);
    cpu->rflags = on ? cpu->rflags | X86_AC : cpu->rflags & ~(uint64_t)X86_AC;
    x86_mode_changed(cpu);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_clac)
{
    return set_ac(cpu, op, false);
}

X86_OP(x86_op_stac)
{
    return set_ac(cpu, op, true);
}

static void check_vm_iopl(X86Cpu *cpu)
{
    require(cpu, !(cpu->rflags & X86_VM) || iopl(cpu) == 3, X86_EXC_GP);
}

/* The working copy of RSP is here, not in the handler, which goes on by a tail call. */
static __attribute__((noinline)) void push_flags(X86Cpu *cpu, unsigned size)
{
    uint64_t sp = cpu->regs[X86_RSP];

    x86_push(cpu, &sp, x86_get_rflags(cpu) & ~(uint64_t)(X86_VM | X86_RF), size);
    cpu->regs[X86_RSP] = sp;
}

X86_OP(x86_op_pushf)
{
    cpu->op = op;
    check_vm_iopl(cpu);
    push_flags(cpu, op->aux);
    NEXT;
}

X86_OP(x86_op_popf)
{
    uint64_t sp = cpu->regs[X86_RSP];
    uint64_t mask = X86_ARITH | X86_TF | X86_DF | X86_NT;

    cpu->op = op;
    check_vm_iopl(cpu);
    uint64_t value = x86_pop(cpu, &sp, op->aux);
    if (op->aux > 2) {
        mask |= X86_AC | X86_ID;
    }
    if (cpu->cpl == 0) {
        mask |= X86_IOPL;
    }
    if (cpu->cpl <= iopl(cpu)) {
        mask |= X86_IF;
    }
    cpu->regs[X86_RSP] = sp;
    x86_set_rflags(cpu, (x86_get_rflags(cpu) & ~(mask | X86_RF)) | (value & mask));
    x86_mode_changed(cpu);
    x86_check_interrupts(cpu);
    return x86_leave(cpu, op);
}

/* ---- ports ----------------------------------------------------------------------------------------------------- */

static const X86Op *port_in(X86Cpu *cpu, const X86Op *op, uint16_t port)
{
    cpu->op = op;
    x86_check_io(cpu, port, op->aux);
    uint32_t value = x86_bus_port_in(cpu, port, op->aux);

    if (op->aux == 4) {
        cpu->regs[X86_RAX] = value;
    } else if (op->aux == 2) {
        X86_R16(X86_RAX) = value;
    } else {
        X86_R8(0) = value;
    }
    return x86_leave(cpu, op);
}

static const X86Op *port_out(X86Cpu *cpu, const X86Op *op, uint16_t port)
{
    uint32_t value = cpu->regs[X86_RAX];

    cpu->op = op;
    x86_check_io(cpu, port, op->aux);
    x86_bus_port_out(cpu, port, op->aux == 4 ? value : op->aux == 2 ? (uint16_t)value : (uint8_t)value,
                       op->aux);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_in_imm)
{
    return port_in(cpu, op, (uint8_t)op->imm);
}

X86_OP(x86_op_in_dx)
{
    return port_in(cpu, op, cpu->regs[X86_RDX]);
}

X86_OP(x86_op_out_imm)
{
    return port_out(cpu, op, (uint8_t)op->imm);
}

X86_OP(x86_op_out_dx)
{
    return port_out(cpu, op, cpu->regs[X86_RDX]);
}
