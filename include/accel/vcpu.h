/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual CPUs: one thread each, and how the rest of the program starts, stops and reaches them.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The threads live from vcpus_create() to vcpus_destroy().  Each turns in one loop: do what
 * others asked for (reset, INIT, start-up IPI), wait while the machine does not run or the vCPU sleeps, else
 * Accel.vcpu_run(). That returns when the vCPU was kicked, sleeps, or the guest cannot go on.
 *
 *     PARKED     the machine does not run: by runstate, from and to any other state
 *     WAIT_SIPI  an application processor after reset or INIT; left by a start-up IPI.  With an interrupt controller in
 *                the kernel that one keeps this state, and here the vCPU is RUNNING
 *     RUNNING    in Accel.vcpu_run(), or about to
 *     HALTED     HLT; left by vcpu_wake()
 *     DEAD       after a triple fault, or when the accelerator gave up on it (VCPU_ERROR); left by reset and INIT
 *
 * Locks.  A vCPU thread holds no lock while it runs guest code.  Whatever may wait there, a device's register, the
 * machine lock, the interrupt controller, stands between vcpu_device_begin() and vcpu_device_end().  In between, the
 * vCPU counts as one that does not execute guest code: who stops it, or wants something done between two of its
 * instructions, does not wait for it but is ahead of it at vcpu_device_end().  So none of the functions here ever drops
 * the machine lock (their callers are in the middle of a device's state), none waits for a device process that does not
 * answer, and the longest wait is that of a kicked vCPU that leaves guest code.
 *
 * What follows from that: after vcpus_pause() a vCPU may be in the middle of an access that it had begun.  The access
 * goes to its end, and then the vCPU stands.  Who cannot live with that, reset, waits in the main loop until
 * vcpus_stand().
 */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "util/syscalls.h"

#define VCPUS_MAX 8

struct LocalApic;

/* How processors are put together, for what the guest is told; each number at least 1. */
typedef struct VcpuTopology {
    unsigned sockets;
    unsigned cores;   /* of a socket */
    unsigned threads; /* of a core */
} VcpuTopology;

static inline unsigned vcpu_topology_count(const VcpuTopology *t)
{
    return t->sockets * t->cores * t->threads;
}

/* Bits of an APIC ID that tell COUNT things apart. */
static inline unsigned vcpu_topology_bits(unsigned count)
{
    unsigned bits = 0;

    while ((1u << bits) < count) {
        bits++;
    }
    return bits;
}

/*
 * Whether the APIC IDs, which have bits of their own for the thread, the core and the socket, are 0, 1, 2 and so on:
 * the only ones there are in this version.
 */
static inline bool vcpu_topology_is_dense(const VcpuTopology *t)
{
    return (t->cores == 1 || 1u << vcpu_topology_bits(t->threads) == t->threads) &&
           (t->sockets == 1 || 1u << vcpu_topology_bits(t->cores * t->threads) == t->cores * t->threads);
}

typedef struct Vcpu Vcpu;

/* Made by vcpus_create(); fields are read-only for others unless noted. */
struct Vcpu {
    unsigned index;          /* 0: the bootstrap processor */
    unsigned total;          /* how many there are going to be */
    VcpuTopology topology;   /* the same for all; the index counts threads first, then cores */
    uint32_t apic_id;        /* = index */
    struct LocalApic *apic;  /* set by the board before the first reset; NULL: in the kernel, or none (qtest) */
    void *accel_data;        /* the accelerator's; set by Accel.vcpu_init() */
    struct VcpuThread *thread; /* private to vcpu.c */
};

/*
 * Makes the vCPUs of TOPOLOGY (1 to VCPUS_MAX, dense) of the accelerator in use, without their threads.  Main thread,
 * after the accelerator's init, before the board; with the machine lock held.  Nothing for an accelerator without vCPUs.
 */
bool vcpus_create(const VcpuTopology *topology, GError **errp);

/*
 * Makes the threads, which inherit the confinement of the caller.  They are parked until the machine runs, reset by
 * system_reset(), and run and stop with the run state.  On failure vcpus_destroy() is still due.
 */
bool vcpus_start(GError **errp);

/*
 * Ends the threads and frees the vCPUs.  Before accel_cleanup(), and when the devices are gone: that ends accesses that
 * wait for another process.  With the machine lock held, which is dropped while waiting.
 */
void vcpus_destroy(void);

unsigned vcpu_count(void);
Vcpu *vcpu_get(unsigned index); /* NULL when there is none; any thread */
Vcpu *vcpu_current(void);       /* the calling thread's; NULL on other threads */

/* ---- for everybody ------------------------------------------------------------------------------- */

/* Makes VCPU leave guest code soon and look for work.  Any thread, any lock; cheap when it is not in guest code. */
void vcpu_kick(Vcpu *vcpu);

/* An interrupt is there: as vcpu_kick(), and ends HALTED.  Any thread, any lock. */
void vcpu_wake(Vcpu *vcpu);

/* A start-up IPI with VECTOR reaches VCPU: nothing unless it waits for one.  With the machine lock held. */
void vcpu_sipi(Vcpu *vcpu, uint8_t vector);

/* INIT reaches VCPU: it resets as by INIT; all but the bootstrap processor then wait for SIPI.  Machine lock held. */
void vcpu_init_signal(Vcpu *vcpu);

/*
 * FN(vcpu, opaque), by the calling thread, while VCPU stands between two guest instructions, or is between
 * vcpu_device_begin() and vcpu_device_end(): what it has cached must be looked up again after the latter.  FN takes no
 * lock and calls nothing of this header.  With the machine lock held; also by vCPU threads, for their own, too.
 */
void vcpu_run_on(Vcpu *vcpu, void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);

/* The same for each vCPU in turn.  For changes that a vCPU must not see half of: RAM that goes away. */
void vcpu_run_on_all(void (*fn)(Vcpu *vcpu, void *opaque), void *opaque);

/*
 * Stops every vCPU and keeps it there until vcpus_resume(); nests.  When it returns, none executes guest code; one that
 * is in a device access comes to stand at its end.  With the machine lock held; called by a vCPU thread (in a device
 * access) it does not wait for that one either.
 */
void vcpus_pause(void);
void vcpus_resume(void);

/* True when all stand between two instructions.  With the machine lock held. */
bool vcpus_stand(void);

/* ---- for accelerators, on the vCPU's thread -------------------------------------------------------- */

/*
 * Around all that may wait.  They do not nest.  Registers must be consistent enough to be shown, and what
 * vcpu_run_on() changes is looked up again behind the end.
 */
void vcpu_device_begin(Vcpu *vcpu);
void vcpu_device_end(Vcpu *vcpu);

/* ---- for monitors ----------------------------------------------------------------------------------- */

typedef enum VcpuState {
    VCPU_STATE_PARKED,
    VCPU_STATE_WAIT_SIPI,
    VCPU_STATE_RUNNING,
    VCPU_STATE_HALTED,
    VCPU_STATE_DEAD,
} VcpuState;

/* A snapshot; any thread.  A parked vCPU that would sleep is told as HALTED or WAIT_SIPI. */
VcpuState vcpu_state(Vcpu *vcpu);
long vcpu_thread_id(Vcpu *vcpu); /* of the kernel */

/* System calls of the threads. */
extern const SyscallTable vcpu_syscalls;

#endif
