/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual CPUs: one thread each, and how the rest of the program starts, stops and reaches them.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The threads live from vcpus_create() to vcpus_destroy().  Each turns in one loop: do what others
 * asked for (vcpu_run_on_all, reset), wait while the machine does not run or the vCPU sleeps, else Accel.vcpu_run().
 * That returns when the vCPU was kicked, sleeps, or the guest cannot go on.
 *
 *     PARKED     the machine does not run: by runstate, from and to any other state
 *     WAIT_SIPI  an application processor after reset or INIT; left by a start-up IPI.  With an interrupt controller in
 *                the kernel that one keeps this state, and here the vCPU is RUNNING
 *     RUNNING    in Accel.vcpu_run(), or about to
 *     HALTED     HLT; left by vcpu_wake()
 *     DEAD       the accelerator gave up on it (VCPU_ERROR); left by reset
 *
 * A vCPU thread holds no lock while it runs guest code.  Device accesses go through address_space_read/write(), which
 * take the machine lock when a region wants it.
 */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "util/syscalls.h"

#define VCPUS_MAX 8

struct LocalApic;

typedef struct Vcpu Vcpu;

/* Made by vcpus_create(); fields are read-only for others unless noted. */
struct Vcpu {
    unsigned index;          /* 0: the bootstrap processor */
    uint32_t apic_id;        /* = index */
    struct LocalApic *apic;  /* set by the board before the first reset; NULL: in the kernel, or none (qtest) */
    void *accel_data;        /* the accelerator's; set by Accel.vcpu_init() */
    struct VcpuThread *thread; /* private to vcpu.c */
};

/*
 * Makes COUNT vCPUs (1 to VCPUS_MAX) of the accelerator in use, with their threads, parked.  Main thread, after the
 * accelerator's init and RAM, before devices; with the machine lock held.  Nothing for an accelerator without vCPUs.
 */
bool vcpus_create(unsigned count, GError **errp);

/* Ends the threads.  Before the accelerator's state and devices go; with the machine lock held (dropped while waiting). */
void vcpus_destroy(void);

unsigned vcpu_count(void);
Vcpu *vcpu_get(unsigned index); /* NULL when there is none; any thread */
Vcpu *vcpu_current(void);       /* the calling thread's; NULL on other threads */

/*
 * Makes VCPU leave guest code soon and look for work: interrupt flags, requests.  Any thread, any lock; cheap when it
 * is not in guest code.
 */
void vcpu_kick(Vcpu *vcpu);

/* An interrupt or a start-up IPI is there: as vcpu_kick(), and ends HALTED.  Any thread. */
void vcpu_wake(Vcpu *vcpu);

/* A start-up IPI with VECTOR reaches VCPU: nothing unless it waits for one.  With the machine lock held. */
void vcpu_sipi(Vcpu *vcpu, uint8_t vector);

/* INIT reaches VCPU: it resets as by INIT, and waits for SIPI unless it is the bootstrap processor.  Machine lock held. */
void vcpu_init_signal(Vcpu *vcpu);

/*
 * FN(vcpu, opaque) on each vCPU's own thread, between two guest instructions, and waits for all of them.  With the
 * machine lock held, which is dropped while waiting; from a vCPU thread its own call comes first.  For changes that a
 * vCPU must not see half of: the memory map.
 */
void vcpu_run_on_all(void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);

/*
 * Stops every vCPU between two instructions and keeps it there until vcpus_resume(); nests.  Returns when all stand.
 * With the machine lock held, which is dropped while waiting.  Called by runstate changes and reset.
 */
void vcpus_pause(void);
void vcpus_resume(void);

/* System calls of the threads. */
extern const SyscallTable vcpu_syscalls;

#endif
