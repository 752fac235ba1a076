/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop: interrupts, exceptions, single steps, and blocks one after the other.
 *
 * Thread: the processor's own, except x86_cpu_kick(), x86_cpu_set_intr(), x86_cpu_nmi().  Runs in: mpqemu.
 */
#include "target/i386/bus.h"
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"
#include "target/i386/mem.h"
#include "target/i386/ops.h"
#include "target/i386/system.h"

#define DR6_BS 0x4000u
/* Vectors with an error code. */
#define VECTORS_WITH_ERROR \
    (1u << X86_EXC_DF | 1u << X86_EXC_TS | 1u << X86_EXC_NP | 1u << X86_EXC_SS | 1u << X86_EXC_GP | 1u << X86_EXC_PF | \
     1u << X86_EXC_AC)

/* ---- exceptions -------------------------------------------------------------------------------------------------- */

_Noreturn void x86_raise(X86Cpu *cpu, int vector, uint32_t error)
{
    if (cpu->op != NULL) {
        cpu->rip = x86_op_rip(cpu, cpu->op);
        cpu->op = NULL;
    }
    cpu->fault.vector = vector;
    cpu->fault.has_error = (VECTORS_WITH_ERROR >> vector) & 1;
    cpu->fault.error = error;
    longjmp(cpu->fault_jmp, 1);
}

_Noreturn void x86_raise_op(X86Cpu *cpu, const X86Op *op, int vector, uint32_t error)
{
    cpu->op = op;
    x86_raise(cpu, vector, error);
}

_Noreturn void x86_page_fault(X86Cpu *cpu, uint64_t linear, uint32_t error)
{
    cpu->cr2 = linear;
    x86_raise(cpu, X86_EXC_PF, error);
}

/* ---- from other threads ------------------------------------------------------------------------------------------ */

static void set_pending(X86Cpu *cpu, unsigned pending)
{
    atomic_fetch_or(&cpu->pending, pending);
    atomic_store(&cpu->attention, 1);
}

void x86_cpu_kick(X86Cpu *cpu)
{
    set_pending(cpu, X86_PENDING_KICK);
}

void x86_cpu_nmi(X86Cpu *cpu)
{
    set_pending(cpu, X86_PENDING_NMI);
}

void x86_cpu_set_intr(X86Cpu *cpu, bool level)
{
    if (level) {
        set_pending(cpu, X86_PENDING_INTR);
    } else {
        atomic_fetch_and(&cpu->pending, ~X86_PENDING_INTR);
    }
}

/* ---- between blocks ---------------------------------------------------------------------------------------------- */

static void clear_pending(X86Cpu *cpu, unsigned pending)
{
    atomic_fetch_and(&cpu->pending, ~pending);
}

/* What is cleared is what is served: one that comes meanwhile stays. */
static void serve_other_processors(X86Cpu *cpu)
{
    const unsigned pending = atomic_fetch_and(&cpu->pending, ~(X86_PENDING_MARKS | X86_PENDING_CODE));

    if (pending & X86_PENDING_MARKS) {
        x86_tlb_drop_marked(cpu);
    }
    if (pending & X86_PENDING_CODE) {
        x86_exec_flush(cpu, false);
    }
    if (cpu->gave_up_page) {
        cpu->gave_up_page = false;
        x86_machine_tell_others(cpu, X86_PENDING_CODE);
    }
}

typedef enum Turn { TURN_RUN, TURN_AGAIN, TURN_KICKED, TURN_SHUTDOWN } Turn;

/* What waits, in the order of its priority. */
static Turn serve_pending(X86Cpu *cpu)
{
    unsigned pending;

    atomic_store(&cpu->attention, 0);
    if (atomic_load(&cpu->machine->exclusive)) {
        x86_guest_wait(cpu);
    }
    pending = atomic_load(&cpu->pending);
    if (pending & (X86_PENDING_MARKS | X86_PENDING_CODE)) {
        serve_other_processors(cpu);
    }
    if (pending & X86_PENDING_KICK) {
        clear_pending(cpu, X86_PENDING_KICK);
        return TURN_KICKED;
    }
    if (cpu->shadow) {
        return TURN_RUN;
    }
    if ((pending & X86_PENDING_NMI) && !cpu->nmi_blocked) {
        clear_pending(cpu, X86_PENDING_NMI);
        cpu->halted = false;
        cpu->nmi_blocked = true; /* until IRET */
        if (!x86_deliver_interrupt(cpu, X86_EXC_NMI)) {
            return TURN_SHUTDOWN;
        }
        x86_delivery_done(cpu);
        return TURN_AGAIN;
    }
    if ((pending & X86_PENDING_INTR) && (cpu->rflags & X86_IF)) {
        const int vector = x86_bus_interrupt_ack(cpu);

        if (vector >= 0) {
            cpu->halted = false;
            if (!x86_deliver_interrupt(cpu, (uint8_t)vector)) {
                return TURN_SHUTDOWN;
            }
            x86_delivery_done(cpu);
            return TURN_AGAIN;
        }
        /* The pin says there is one and the controller says no: the pin follows soon. */
    }
    return TURN_RUN;
}

static void execute(X86Cpu *cpu, const X86Op *op)
{
    while (op != NULL) {
        op = op->fn(cpu, op);
    }
    cpu->op = NULL;
}

/* DR6 bits of instruction breakpoints at RIP. */
static uint64_t instruction_breakpoints(const X86Cpu *cpu)
{
    const uint64_t linear = cpu->rip + cpu->cs_base;
    uint64_t hit = 0;

    for (unsigned i = 0; i < 4; i++) {
        if ((cpu->dr[7] >> 2 * i & 3) && (cpu->dr[7] >> (16 + 4 * i) & 3) == 0 && cpu->dr[i] == linear) {
            hit |= UINT64_C(1) << i;
        }
    }
    return hit;
}

/*
 * One instruction by itself: after STI or MOV SS, with EFLAGS.TF or RF, with breakpoints, or when it changes the block
 * it is in.  False: shutdown.
 */
static bool step(X86Cpu *cpu)
{
    const X86Op *op;

    if ((cpu->dr[7] & 0xff) && !(cpu->rflags & X86_RF)) {
        const uint64_t hit = instruction_breakpoints(cpu);

        if (hit != 0) {
            cpu->dr[6] |= hit;
            x86_raise(cpu, X86_EXC_DB, 0);
        }
    }
    if (!cpu->shadow) {
        cpu->dr6_pending = 0; /* what MOV SS met waits for the instruction behind it */
    }
    cpu->stepping = cpu->rflags & X86_TF;
    op = x86_code_one(cpu);
    cpu->force_one = false;
    cpu->shadow = false;
    cpu->one_insn = true;
    /* Branches and ends of blocks then come back here. */
    atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
    /* RF is for the instruction that begins; IRET and the like set it for the next one. */
    cpu->rflags &= ~(uint64_t)X86_RF;
    execute(cpu, op);
    cpu->one_insn = false;
    if ((cpu->stepping || cpu->dr6_pending) && !cpu->shadow) {
        const uint64_t bits = cpu->dr6_pending | (cpu->stepping ? DR6_BS : 0);

        cpu->dr6_pending = 0;
        cpu->halted = false;
        if (!x86_deliver_debug_trap(cpu, bits)) {
            return false;
        }
        x86_delivery_done(cpu);
    }
    return true;
}

static X86Exit run(X86Cpu *cpu)
{
    for (;;) {
        if (atomic_load_explicit(&cpu->attention, memory_order_relaxed) || cpu->halted) {
            switch (serve_pending(cpu)) {
            case TURN_KICKED:
                return X86_EXIT_KICKED;
            case TURN_SHUTDOWN:
                return X86_EXIT_SHUTDOWN;
            case TURN_AGAIN:
                continue;
            default:
                break;
            }
            if (cpu->halted) {
                return X86_EXIT_HALTED;
            }
        }
        if (unlikely((cpu->code_flags & X86_CODE_ONE) || cpu->force_one || cpu->shadow || (cpu->rflags & X86_RF))) {
            if (!step(cpu)) {
                return X86_EXIT_SHUTDOWN;
            }
        } else {
            execute(cpu, x86_code_lookup(cpu));
        }
        x86_check_interrupts(cpu);
    }
}

/* After x86_raise() or a request to begin an instruction again.  False: shutdown. */
static bool recover(X86Cpu *cpu)
{
    cpu->one_insn = false;
    if (cpu->bus_locked) {
        /* A device's read in the middle took the page away. */
        x86_unlock_bus(cpu);
    }
    if (cpu->iret_pending && !cpu->fault.restart) {
        x86_iret_done(cpu);
    }
    if (cpu->fault.restart) {
        cpu->fault.restart = false;
        if (cpu->op != NULL) {
            cpu->rip = x86_op_rip(cpu, cpu->op);
        }
        cpu->force_one = true;
        cpu->iret_pending = false;
    } else if (!x86_deliver_exception(cpu)) {
        cpu->op = NULL;
        return false;
    } else {
        x86_delivery_done(cpu);
    }
    cpu->op = NULL;
    cpu->fault.vector = -1;
    return true;
}

X86Exit x86_cpu_run(X86Cpu *cpu)
{
    X86Exit why;

    /* What was pending when it last returned may be due now. */
    atomic_store(&cpu->attention, 1);
    x86_guest_enter(cpu);
    if (setjmp(cpu->fault_jmp) != 0 && !recover(cpu)) {
        cpu->fault.vector = -1;
        why = X86_EXIT_SHUTDOWN;
    } else {
        why = run(cpu);
    }
    x86_guest_leave(cpu);
    return why;
}
