/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls of X86Bus, and who may be in guest code while another processor must not.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A locked access that no instruction of the host can make (it crosses cache lines or pages, or changes translated
 * code) is made while no other processor is in guest code: between x86_exclusive_begin() and x86_exclusive_end().  Others are
 * stopped at the end of a block.  A processor is in guest code from x86_guest_enter() to x86_guest_leave(); it is not
 * while it is in a callback of X86Bus, which may wait for anything, and while it waits itself.  So a processor that
 * wants to be alone waits for nobody but processors that come to the end of a block, and its own section has neither a
 * callback nor a wait in it.
 *
 * Who wants to be alone is so by turns, and those that stood for one run before the next one is (machine.c).
 */
#ifndef TARGET_I386_BUS_H
#define TARGET_I386_BUS_H

#include "target/i386/cpu.h"
#include "target/i386/machine.h"

/* x86_guest_enter() waits as long as another processor is alone. */
void x86_guest_wait(X86Cpu *cpu);
void x86_guest_left(X86Cpu *cpu);

static inline void x86_guest_enter(X86Cpu *cpu)
{
    atomic_store(&cpu->in_guest, true); /* before the flag is read: who sets it reads in the other order */
    if (unlikely(atomic_load(&cpu->machine->exclusive))) {
        x86_guest_wait(cpu);
    }
}
static inline void x86_guest_leave(X86Cpu *cpu)
{
    atomic_store(&cpu->in_guest, false);
    if (unlikely(atomic_load(&cpu->machine->exclusive))) {
        x86_guest_left(cpu);
    }
}

void x86_exclusive_begin(X86Cpu *cpu);
void x86_exclusive_end(X86Cpu *cpu);

/* CALL, with the processor outside of guest code meanwhile.  MSRs are read for CPUID from outside, too. */
#define X86_OUTSIDE(cpu, call) \
    do { \
        const bool inside_ = atomic_load_explicit(&(cpu)->in_guest, memory_order_relaxed); \
        if (inside_) { \
            x86_guest_leave(cpu); \
        } \
        call; \
        if (inside_) { \
            x86_guest_enter(cpu); \
        } \
    } while (0)

static inline uint64_t x86_bus_mmio_read(X86Cpu *cpu, uint64_t gpa, unsigned size)
{
    uint64_t value;

    X86_OUTSIDE(cpu, value = cpu->bus->mmio_read(cpu->opaque, gpa, size));
    return value;
}
static inline void x86_bus_mmio_write(X86Cpu *cpu, uint64_t gpa, uint64_t value, unsigned size)
{
    X86_OUTSIDE(cpu, cpu->bus->mmio_write(cpu->opaque, gpa, value, size));
}
static inline uint32_t x86_bus_port_in(X86Cpu *cpu, uint16_t port, unsigned size)
{
    uint32_t value;

    X86_OUTSIDE(cpu, value = cpu->bus->port_in(cpu->opaque, port, size));
    return value;
}
static inline void x86_bus_port_out(X86Cpu *cpu, uint16_t port, uint32_t value, unsigned size)
{
    X86_OUTSIDE(cpu, cpu->bus->port_out(cpu->opaque, port, value, size));
}
static inline int x86_bus_interrupt_ack(X86Cpu *cpu)
{
    int vector;

    X86_OUTSIDE(cpu, vector = cpu->bus->interrupt_ack(cpu->opaque));
    return vector;
}
static inline uint8_t x86_bus_tpr_get(X86Cpu *cpu)
{
    uint8_t value;

    X86_OUTSIDE(cpu, value = cpu->bus->tpr_get(cpu->opaque));
    return value;
}
static inline void x86_bus_tpr_set(X86Cpu *cpu, uint8_t value)
{
    X86_OUTSIDE(cpu, cpu->bus->tpr_set(cpu->opaque, value));
}
static inline bool x86_bus_msr_read(X86Cpu *cpu, uint32_t msr, uint64_t *value)
{
    bool known;

    X86_OUTSIDE(cpu, known = cpu->bus->msr_read(cpu->opaque, msr, value));
    return known;
}
static inline bool x86_bus_msr_write(X86Cpu *cpu, uint32_t msr, uint64_t value)
{
    bool known;

    X86_OUTSIDE(cpu, known = cpu->bus->msr_write(cpu->opaque, msr, value));
    return known;
}

#endif
