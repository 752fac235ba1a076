/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locked accesses: which ones the host's instructions can make, and the others (ops.h).
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A locked instruction of the host on guest RAM is atomic towards everybody.  One that crosses cache lines would stop
 * all processors of the host for a microsecond or so, and where the kernel does not put up with that
 * (split_lock_detect) it would end the emulator: such a one never reaches the host.  It is made by plain accesses
 * while this guest's other processors stand (bus.h).  Device memory has no such access at all; there locked accesses
 * exclude one another only.
 */
#include "target/i386/bus.h"
#include "target/i386/mem.h"
#include "target/i386/ops.h"

#define HOST_LINE 64u

static bool crosses_line(uint64_t addr, unsigned size)
{
    return (addr & (HOST_LINE - 1)) + size > HOST_LINE;
}

/* Whether the TLB has ADDR for writing. */
static bool is_probed(X86Cpu *cpu, uint64_t addr)
{
    return (x86_tlb_entry(cpu, addr)->tag_write & ~(uint64_t)X86_TLB_SLOW) == (addr & X86_PAGE_MASK);
}

/* The place in RAM that the TLB, filled by a probe, has for ADDR; NULL: a device's, or it is lost again. */
static uint8_t *probed_ram(X86Cpu *cpu, uint64_t addr)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (!is_probed(cpu, addr)) {
        return NULL;
    }
    return x86_ram_host(cpu, (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1)), true);
}

/*
 * RAM that is slow for this processor only (a data breakpoint): others have it for fast access, so the host's atomics
 * are needed here, too.  Not where there is code in the page, in whatever lines: a plain write finds out afterwards whether
 * somebody has translated just that line meanwhile.
 */
static __attribute__((noinline)) uint8_t *slow_target(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    const uint64_t last = x86_long_mode(cpu) ? addr + size - 1 : (uint32_t)(addr + size - 1);
    uint8_t *p;

    /* The second page's probe may make the TLB lose the first one (heed_marks()), but not twice. */
    x86_probe_write(cpu, op, addr, size);
    if (!is_probed(cpu, addr)) {
        x86_probe_write(cpu, op, addr, size);
    }
    p = probed_ram(cpu, addr);
    if (p != NULL && !crosses_line(addr, size) &&
        atomic_load_explicit(x86_marks(cpu, p), memory_order_relaxed) == 0) {
        x86_check_watch(cpu, addr, size, X86_WRITE);
        x86_ram_written(cpu, x86_tlb_entry(cpu, addr)->gpa);
        return p;
    }
    cpu->lock_alone = p != NULL && probed_ram(cpu, last) != NULL;
    return NULL;
}

uint8_t *x86_lock_target(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (unlikely(!x86_hit_write(t, addr, size) || crosses_line(addr, size))) {
        return slow_target(cpu, op, addr, size);
    }
    return x86_hit_host(t, addr);
}

/* Who has it may be in a device, and wait for somebody who waits for this processor to leave guest code. */
static void lock_devices(X86Cpu *cpu)
{
    if (g_mutex_trylock(&cpu->machine->bus_lock)) {
        return;
    }
    x86_guest_leave(cpu);
    if (cpu->bus->wait_begin != NULL) {
        cpu->bus->wait_begin(cpu->opaque);
    }
    g_mutex_lock(&cpu->machine->bus_lock);
    if (cpu->bus->wait_end != NULL) {
        cpu->bus->wait_end(cpu->opaque);
    }
    x86_guest_enter(cpu);
}

void x86_lock_bus(X86Cpu *cpu)
{
    if (cpu->lock_alone) {
        x86_exclusive_begin(cpu);
    } else {
        lock_devices(cpu);
    }
    cpu->bus_locked = true;
}

void x86_unlock_bus(X86Cpu *cpu)
{
    cpu->bus_locked = false;
    if (cpu->lock_alone) {
        x86_exclusive_end(cpu);
    } else {
        g_mutex_unlock(&cpu->machine->bus_lock);
    }
}
