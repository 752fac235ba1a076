/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the processors of one machine share (machine.h).
 *
 * Thread: any processor's.  Runs in: mpqemu.
 */
#include <sys/mman.h>
#include <time.h>
#include "target/i386/bus.h"
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"

#define MARKS_BYTES (X86_MARKS * sizeof(uint64_t))

X86Machine *x86_machine_new(void)
{
    pthread_condattr_t monotonic;
    X86Machine *machine;
    /* Pages of it come into being where RAM is executed. */
    void *marks = mmap(NULL, MARKS_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (marks == MAP_FAILED) {
        return NULL;
    }
    machine = g_new0(X86Machine, 1);
    g_mutex_init(&machine->bus_lock);
    pthread_mutex_init(&machine->guest_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&machine->guest_changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    machine->marks = marks;
    return machine;
}

void x86_machine_free(X86Machine *machine)
{
    if (machine != NULL) {
        munmap((void *)machine->marks, MARKS_BYTES);
        g_mutex_clear(&machine->bus_lock);
        pthread_mutex_destroy(&machine->guest_lock);
        pthread_cond_destroy(&machine->guest_changed);
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
    pthread_cond_wait(&machine->guest_changed, &machine->guest_lock);
    machine->waiting--;
}

/* The same until UNTIL at most. */
static void wait_for_change_until(X86Machine *machine, int64_t until)
{
    const struct timespec then = {
        .tv_sec = until / G_USEC_PER_SEC, .tv_nsec = until % G_USEC_PER_SEC * 1000,
    };

    machine->waiting++;
    pthread_cond_timedwait(&machine->guest_changed, &machine->guest_lock, &then);
    machine->waiting--;
}

static void tell_change(X86Machine *machine)
{
    if (machine->waiting > 0) {
        pthread_cond_broadcast(&machine->guest_changed);
    }
}

/*
 * Those that stood go on for as long as they stood, from when they were asked to until the last one is back: one that
 * does nothing but wish to be alone leaves them half of the time.  With a bound, should the host have kept one of them
 * from running.
 */
#define REST_MAX_US 2000

static void rest_after(X86Machine *machine)
{
    const int64_t now = g_get_monotonic_time();

    machine->rest_until = now + MIN(now - machine->alone_since, REST_MAX_US);
}

void x86_guest_wait(X86Cpu *cpu)
{
    X86Machine *machine = cpu->machine;

    pthread_mutex_lock(&machine->guest_lock);
    atomic_store(&cpu->in_guest, false);
    machine->standing++;
    tell_change(machine);
    while (atomic_load(&machine->exclusive)) {
        wait_for_change(machine);
    }
    atomic_store(&cpu->in_guest, true);
    if (--machine->standing == 0) {
        rest_after(machine);
        tell_change(machine);
    }
    pthread_mutex_unlock(&machine->guest_lock);
}

void x86_guest_left(X86Cpu *cpu)
{
    pthread_mutex_lock(&cpu->machine->guest_lock);
    tell_change(cpu->machine);
    pthread_mutex_unlock(&cpu->machine->guest_lock);
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

/*
 * With guest_lock held.  Nobody is alone before those that stood for the last one are in guest code again, where they
 * come at least to the end of a block.
 */
static void wait_for_turn(X86Machine *machine, uint64_t ticket)
{
    for (;;) {
        if (machine->ticket_served != ticket || machine->standing > 0) {
            wait_for_change(machine);
        } else if (g_get_monotonic_time() < machine->rest_until) {
            wait_for_change_until(machine, machine->rest_until);
        } else {
            return;
        }
    }
}

void x86_exclusive_begin(X86Cpu *cpu)
{
    X86Machine *machine = cpu->machine;

    pthread_mutex_lock(&machine->guest_lock);
    atomic_store(&cpu->in_guest, false); /* for another one that wants the same */
    tell_change(machine);
    wait_for_turn(machine, machine->tickets++);
    atomic_store(&machine->exclusive, true);
    machine->alone_since = g_get_monotonic_time();
    while (others_inside(cpu)) {
        wait_for_change(machine);
    }
    atomic_store(&cpu->in_guest, true);
    pthread_mutex_unlock(&machine->guest_lock);
}

void x86_exclusive_end(X86Cpu *cpu)
{
    X86Machine *machine = cpu->machine;

    pthread_mutex_lock(&machine->guest_lock);
    atomic_store(&machine->exclusive, false);
    machine->ticket_served++;
    tell_change(machine);
    pthread_mutex_unlock(&machine->guest_lock);
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
