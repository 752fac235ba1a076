/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accelerators: what executes the guest's instructions.
 *
 * Thread: main thread at start-up with the machine lock held; vcpu_* on the vCPU's own thread, without locks, except
 * where noted.  What may wait there stands between vcpu_device_begin() and vcpu_device_end() (accel/vcpu.h).
 * Runs in: mpqemu.
 *
 *   qtest  a test program plays the CPU (accel/qtest); no vCPUs
 *   emu    the built-in engine (accel/emu on target/i386)
 *   kvm    the host's KVM (accel/kvm)
 *
 * "-accel A[:B...]" and repeated -accel options name candidates in order: the first whose open() succeeds is taken, and
 * each one that was passed over is told in one line with its reason.
 */
#ifndef ACCEL_ACCEL_H
#define ACCEL_ACCEL_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "accel/vcpu.h"
#include "util/syscalls.h"

/* Why vcpu_run() came back. */
typedef enum VcpuExit {
    VCPU_KICKED,   /* vcpu_kick(), or a signal: look for work and go on */
    VCPU_HALTED,   /* HLT with nothing pending */
    VCPU_SHUTDOWN, /* triple fault: the machine is to be reset */
    VCPU_ERROR,    /* cannot go on; already logged.  The machine stops */
} VcpuExit;

typedef struct Accel {
    const char *name;
    const char *description; /* one line of -accel help */
    bool manual_clock;       /* guest time is stepped (qtest) */
    bool kernel_irqchip;     /* 8259s, I/O APIC, local APICs and 8254 are the kernel's: the board makes none */

    /*
     * Finds out whether this accelerator works here, and keeps what needs a path open; before confinement.  ALONE:
     * there is no other candidate, so what might work is tried.
     */
    bool (*open)(bool alone, GError **errp);
    /* Makes the virtual machine of CPU_MODEL (-cpu; NULL: the default); RAM comes later, by a MemoryListener. */
    bool (*init)(const char *cpu_model, GError **errp);
    void (*cleanup)(void); /* after vcpus_destroy() */

    /* Prints what -cpu takes, for -cpu help.  NULL: nothing. */
    void (*cpu_print)(void);

    /*
     * Both by the main thread with the machine lock held, before the vCPU's thread runs and when it has ended.
     * vcpu_init is NULL: no vCPUs.
     */
    bool (*vcpu_init)(Vcpu *vcpu, GError **errp);
    void (*vcpu_free)(Vcpu *vcpu);
    /* To the state after power-on, or after INIT (caches, FPU, MTRRs kept) when BY_INIT.  Waits for nothing. */
    void (*vcpu_reset)(Vcpu *vcpu, bool by_init);
    /* An application processor starts at VECTOR << 12.  NULL with kernel_irqchip. */
    void (*vcpu_sipi)(Vcpu *vcpu, uint8_t vector);
    VcpuExit (*vcpu_run)(Vcpu *vcpu);
    /*
     * Makes vcpu_run() return soon: the one under way, or the next one, at its beginning, when it is only about to be
     * called.  One that returns for another reason may leave the kick to the next.  Any thread, any lock.
     */
    void (*vcpu_kick)(Vcpu *vcpu);

    /*
     * The processor's interrupt inputs, driven by the local APIC or, without one, the 8259: INTR is a level, NMI and
     * SMI are edges.  Any thread with the machine lock held.  NULL with kernel_irqchip.
     */
    void (*vcpu_set_intr)(Vcpu *vcpu, bool level);
    void (*vcpu_nmi)(Vcpu *vcpu);

    /* For kernel_irqchip; machine lock held.  NULL else. */
    void (*set_gsi)(unsigned gsi, int level);
    /*
     * Interrupt GSI is raised by each event of TRIGGER_FD and lowered at the guest's EOI, when RESAMPLE_FD is
     * signalled.  Both stay the caller's.  Undone by irqfd_remove() before they are closed.
     */
    bool (*irqfd_add)(unsigned gsi, int trigger_fd, int resample_fd, GError **errp);
    void (*irqfd_remove)(unsigned gsi, int trigger_fd, int resample_fd);
    void (*send_msi)(uint64_t address, uint32_t data);

    /*
     * Registers of VCPU as text for "info registers".  Called as vcpu_run_on() calls, by the main thread.  Caller
     * frees.  May be NULL.
     */
    char *(*vcpu_text)(Vcpu *vcpu);

    const SyscallTable *syscalls; /* on top of vcpu_syscalls */
} Accel;

/* All that were built in, in order of preference; the last one is NULL.  The table is the program's (main/accels.c). */
extern const Accel *const accels[];

/* The one in use; NULL before accel_select().  Any thread. */
const Accel *accel_current(void);

/* For accel_select(), and for tests of what uses one. */
void accel_set_current(const Accel *accel);

/*
 * Takes the first of NAMES ("kvm:emu" split at colons) that opens; its reason for each one passed over is logged.
 * False with the reasons of all when none does, or one is unknown; then nothing is in use.
 */
bool accel_select(const char *const *names, GError **errp);

/* True when there is an accelerator of this name in accels[]. */
bool accel_exists(const char *name);

/* Ends the use of the one that was selected: cleanup(), when init() was called. */
void accel_cleanup(void);

/* Calls init(); once, after accel_select(). */
bool accel_init(const char *cpu_model, GError **errp);

/* Prints the list for -accel help. */
void accel_print(void);

#endif
