/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine reset: a list of functions called in order of registration.
 *
 * Thread: main loop with the machine lock held, except where a function says "any thread".  Runs in: both programs.
 *
 * Whoever executes guest code must stand meanwhile: that is what the gate is for.  A vCPU that is in the middle of a
 * device access may need longer, since the device may be a process that does not answer.  The reset then waits for it,
 * and the main loop turns on.
 *
 * Devices in other processes write guest RAM by themselves.  The next guest's memory must not be what the last one's
 * disk still reads into, so the reset waits for them, too: that is what barriers are for.
 */
#ifndef SYSTEM_RESET_H
#define SYSTEM_RESET_H

#include "system/runstate.h"

typedef void ResetHandler(void *opaque);

/* For those who live as long as the machine: HANDLER is called at each reset from now on. */
void reset_register(ResetHandler *handler, void *opaque);
void reset_unregister(ResetHandler *handler, void *opaque); /* nothing when it is not registered */

/* Calls the handlers, now. */
void system_reset(void);

/*
 * Resets the machine for CAUSE, at somebody's word, and emits RESET: before it returns when all vCPUs stand and all
 * barriers are over at once, else as soon as they do and are.  With -no-reboot it ends the program instead.
 */
void system_reset_for(ShutdownCause cause);

/* The same, soon, by the main loop.  Any thread: a guest's write to a reset register, a triple fault. */
void reset_request(ShutdownCause cause);

/* -no-reboot: a reset is a request for shutdown. */
void reset_set_shutdown(bool shutdown);

/* ---- for those who execute guest code (accel/vcpu.c) --------------------------------------------------- */

typedef struct ResetGate {
    void (*close)(void);     /* nobody begins to execute guest code from now on; does not wait for device accesses */
    bool (*is_closed)(void); /* nobody is in guest code or a device access */
    void (*open)(void);
} ResetGate;

/* GATE is static; NULL: there is nobody. */
void reset_set_gate(const ResetGate *gate);

/* What is_closed() or a barrier's is_over() tells may have changed.  Any thread; cheap. */
void reset_gate_changed(void);

/* ---- for devices that work on guest RAM beside us (hw/proxy) ---------------------------------------------- */

/*
 * Used when the gate is closed: begin() asks for the end of all transfers, then the reset waits until is_over(), which
 * must come in limited time.  Neither waits, nor registers or unregisters barriers.  Without a gate nobody could
 * see a late transfer before the device, and there is no wait.
 */
typedef struct ResetBarrier ResetBarrier;
struct ResetBarrier {
    void (*begin)(ResetBarrier *barrier);
    bool (*is_over)(ResetBarrier *barrier);
};

/* BARRIER stays the caller's until it is unregistered, which is nothing when it is not registered. */
void reset_barrier_register(ResetBarrier *barrier);
void reset_barrier_unregister(ResetBarrier *barrier);

#endif
