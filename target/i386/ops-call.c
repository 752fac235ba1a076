/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ways into the system and back that look at no descriptors: SYSCALL, SYSENTER and their kin; FS and GS bases.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Source: AMD APM volume 3; Intel SDM volume 2.
 */
#include "target/i386/cpuid.h"
#include "target/i386/descriptor.h"
#include "target/i386/flags.h"
#include "target/i386/system.h"

#define RPL 3u

/* Attributes of the flat segments that SYSCALL and SYSENTER make without looking at descriptors */
#define ATTR_FLAT (X86_SEG_G | X86_SEG_P | X86_SEG_S | X86_TYPE_RW | X86_TYPE_ACCESSED)
#define ATTR_FLAT_DATA (ATTR_FLAT | X86_SEG_DB)
#define ATTR_FLAT_CODE32 (ATTR_FLAT | X86_SEG_DB | X86_TYPE_CODE)
#define ATTR_FLAT_CODE64 (ATTR_FLAT | X86_SEG_L | X86_TYPE_CODE)

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
    x86_require(cpu, x86_is_64(cpu) && (cpu->efer & X86_EFER_SCE), X86_EXC_UD);
    uint64_t rflags = x86_get_rflags(cpu);
    cpu->regs[X86_RCX] = x86_next_rip(cpu, op);
    cpu->regs[11] = rflags & ~(uint64_t)X86_RF;
    x86_set_rflags(cpu, (rflags & ~(cpu->fmask | X86_RF)) | 2);
    cpu->stepping = cpu->stepping && (cpu->rflags & X86_TF); /* masked before the trap would be taken */
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
    x86_require(cpu, x86_is_64(cpu) && (cpu->efer & X86_EFER_SCE), X86_EXC_UD);
    x86_require_cpl0(cpu);
    x86_require(cpu, !to_64 || x86_canonical(rip), X86_EXC_GP);
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
    x86_require(cpu, (cpu->cr0 & X86_CR0_PE) && selector != 0, X86_EXC_GP);
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
    x86_require(cpu, (cpu->cr0 & X86_CR0_PE) && selector != 0 && cpu->cpl == 0, X86_EXC_GP);
    x86_require(cpu, !to_64 || (x86_canonical(rip) && x86_canonical(sp)), X86_EXC_GP);
    set_flat_segments(cpu, selector + (to_64 ? 32 : 16), selector + (to_64 ? 40 : 24), 3, to_64);
    cpu->regs[X86_RSP] = to_64 ? sp : (uint32_t)sp;
    x86_mode_changed(cpu);
    return x86_leave_to(cpu, to_64 ? rip : (uint32_t)rip);
}

X86_OP(x86_op_swapgs)
{
    uint64_t base = cpu->seg[X86_GS].base;

    cpu->op = op;
    x86_require(cpu, x86_is_64(cpu), X86_EXC_UD);
    x86_require_cpl0(cpu);
    cpu->seg[X86_GS].base = cpu->kernel_gs_base;
    cpu->kernel_gs_base = base;
    return x86_leave(cpu, op);
}

static void check_fsgsbase(X86Cpu *cpu)
{
    x86_require(cpu, x86_is_64(cpu) && (cpu->cr4 & X86_CR4_FSGSBASE), X86_EXC_UD);
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
    x86_require(cpu, x86_canonical(value), X86_EXC_GP);
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
