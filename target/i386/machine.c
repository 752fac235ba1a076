/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processors of one machine share (machine.h).
 *
 * Thread: any processor's.  Runs in: mpqemu.
 */
#include <sys/mman.h>
#include "target/i386/bus.h"
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"

#define MARKS_BYTES (X86_MARKS * sizeof(uint64_t))

X86Machine *x86_machine_new(void)
{
    X86Machine *machine;
    /* Pages of it come into being where RAM is executed. */
    void *marks = mmap(NULL, MARKS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (marks == MAP_FAILED) {
        return NULL;
    }
    machine = g_new0(X86Machine, 1);
    g_mutex_init(&machine->bus_lock);
    g_mutex_init(&machine->guest_lock);
    g_cond_init(&machine->guest_changed);
    machine->marks = marks;
    return machine;
}

void x86_machine_free(X86Machine *machine)
{
    if (machine != NULL) {
        munmap((void *)machine->marks, MARKS_BYTES);
        g_mutex_clear(&machine->bus_lock);
        g_mutex_clear(&machine->guest_lock);
        g_cond_clear(&machine->guest_changed);
        g_free(machine);
    }
}

void x86_machine_tell_others(X86Cpu *cpu, unsigned pending)
{
    for (unsigned i = 0; i < X86_CPUS_MAX; i++) {
        X86Cpu *other = atomic_load(&cpu->machine->cpus[i]);

        if (other != NULL && other != cpu) {
            atomic_fetch_or(&other->pending, pending);
            atomic_store(&other->attention, 1);
        }
    }
}

/* ---- one processor alone (bus.h) --------------------------------------------------------------------------------- */

/* With guest_lock held. */
static void wait_for_change(X86Machine *machine)
{
    machine->waiting++;
    g_cond_wait(&machine->guest_changed, &machine->guest_lock);
    machine->waiting--;
}

static void tell_change(X86Machine *machine)
{
    if (machine->waiting > 0) {
        g_cond_broadcast(&machine->guest_changed);
    }
}

void x86_guest_wait(X86Cpu *cpu)
{
    X86Machine *machine = cpu->machine;

    g_mutex_lock(&machine->guest_lock);
    atomic_store(&cpu->in_guest, false);
    tell_change(machine);
    while (atomic_load(&machine->exclusive)) {
        wait_for_change(machine);
    }
    atomic_store(&cpu->in_guest, true);
    g_mutex_unlock(&machine->guest_lock);
}

void x86_guest_left(X86Cpu *cpu)
{
    g_mutex_lock(&cpu->machine->guest_lock);
    tell_change(cpu->machine);
    g_mutex_unlock(&cpu->machine->guest_lock);
}

/* Some other processor is in guest code; all are asked to look up. */
static bool others_inside(X86Cpu *cpu)
{
    bool inside = false;

    for (unsigned i = 0; i < X86_CPUS_MAX; i++) {
        X86Cpu *other = atomic_load(&cpu->machine->cpus[i]);

        if (other != NULL && other != cpu && atomic_load(&other->in_guest)) {
            atomic_store(&other->attention, 1);
            inside = true;
        }
    }
    return inside;
}

void x86_exclusive_begin(X86Cpu *cpu)
{
    X86Machine *machine = cpu->machine;

    g_mutex_lock(&machine->guest_lock);
    atomic_store(&cpu->in_guest, false); /* for another one that wants the same */
    tell_change(machine);
    while (atomic_load(&machine->exclusive)) {
        wait_for_change(machine);
    }
    atomic_store(&machine->exclusive, true);
    while (others_inside(cpu)) {
        wait_for_change(machine);
    }
    atomic_store(&cpu->in_guest, true);
    g_mutex_unlock(&machine->guest_lock);
}

void x86_exclusive_end(X86Cpu *cpu)
{
    g_mutex_lock(&cpu->machine->guest_lock);
    atomic_store(&cpu->machine->exclusive, false);
    tell_change(cpu->machine);
    g_mutex_unlock(&cpu->machine->guest_lock);
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

void x86_machine_mark(X86Cpu *cpu, const uint8_t *host, uint64_t lines)
{
    /* Sequentially consistent, as the fence of translate() in mem.c. */
    if (atomic_fetch_or(x86_marks(cpu, host), lines) == 0) {
        x86_tlb_drop_marked(cpu);
        x86_machine_tell_others(cpu, X86_PENDING_MARKS);
    }
}

void x86_machine_written(X86Cpu *cpu, const uint8_t *host)
{
    atomic_store(x86_marks(cpu, host), 0);
    x86_code_drop(cpu, host);
    x86_machine_tell_others(cpu, X86_PENDING_CODE);
}
