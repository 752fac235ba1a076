/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HLT and PAUSE, interrupts on and off, EFLAGS as a whole, ports.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Source: AMD APM volume 3; Intel SDM volume 2.
 */
#include <sched.h>
#include "target/i386/bus.h"
#include "target/i386/cpuid.h"
#include "target/i386/flags.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

/* ---- waiting --------------------------------------------------------------------------------------------------- */

/* ---- flags ----------------------------------------------------------------------------------------------------- */

X86_OP(x86_op_hlt)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    cpu->halted = true;
    return x86_leave(cpu, op);
}

/*
 * A processor that spins on what another one holds may be what keeps that one from running, when the host has fewer
 * cores than the guest: from time to time it lets others run.  The number is a compromise: an iteration of a spinning
 * loop takes some 10 ns, a yield to nobody less than a microsecond.
 */
#define PAUSES_PER_YIELD 64

static __attribute__((noinline)) void yield(X86Cpu *cpu)
{
    cpu->pauses = 0;
    sched_yield();
}

X86_OP(x86_op_pause)
{
    if (++cpu->pauses == PAUSES_PER_YIELD) {
        yield(cpu);
    }
    NEXT;
}

/* ---- flags ----------------------------------------------------------------------------------------------------- */

static unsigned iopl(const X86Cpu *cpu)
{
    return (cpu->rflags & X86_IOPL) >> X86_IOPL_SHIFT;
}

/* IF can be changed: CPL <= IOPL; virtual-8086 mode runs at CPL 3. */
static void check_iopl(X86Cpu *cpu)
{
    x86_require(cpu, cpu->cpl <= iopl(cpu), X86_EXC_GP);
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
    x86_require(cpu, x86_cpuid_has(cpu, X86_CPUID_SMAP) && cpu->cpl == 0, X86_EXC_UD);
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
    x86_require(cpu, !(cpu->rflags & X86_VM) || iopl(cpu) == 3, X86_EXC_GP);
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
