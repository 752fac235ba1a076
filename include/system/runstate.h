/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run state of the machine (running, stopped and why) and the end of the program.
 *
 * Thread: main loop with the machine lock held, except where a function says "any thread".  Runs
 * in: both programs.
 */
#ifndef SYSTEM_RUNSTATE_H
#define SYSTEM_RUNSTATE_H

#include <stdbool.h>
#include <glib.h>

typedef enum RunState {
    RUN_STATE_PRELAUNCH, /* start-up, or reset while it did not run; left by vm_start() */
    RUN_STATE_RUNNING,   /* entered by vm_start() */
    RUN_STATE_PAUSED,    /* entered by vm_stop() on a user's word; left by vm_start() */
    RUN_STATE_IO_ERROR,  /* entered by vm_stop() from a device with werror/rerror=stop; left by
                            vm_start() */
    RUN_STATE_INTERNAL_ERROR, /* a processor cannot go on; left by runstate_reset() */
    RUN_STATE_SHUTDOWN,  /* the guest switched the machine off, and -no-shutdown keeps it; left by runstate_reset() */
} RunState;

RunState runstate_get(void);
const char *runstate_name(RunState state);

/*
 * STOP and RESUME are emitted at each change of "running", and the virtual clock (util/event-loop.h) runs with it.
 *
 * Tells every registered function about a change of "running".  Devices retry stopped requests on
 * running == true.
 */
typedef void RunStateHandler(bool running, RunState state, void *opaque);
void runstate_register(RunStateHandler *handler, void *opaque);
void runstate_unregister(RunStateHandler *handler, void *opaque);

void vm_start(void);
void vm_stop(RunState reason); /* nothing when not running */
void runstate_reset(void);     /* the machine was reset: one that does not run is as if never started */

/*
 * Whether somebody could let a stopped machine go on.  Set to false at the start of a program
 * without a monitor: a device with werror/rerror=stop then reports errors instead of waiting for
 * ever.
 */
void runstate_set_resumable(bool resumable);
bool runstate_resumable(void);

/* Why the machine ends or is reset: ShutdownCause of the schema (qapi/run-state.json), in its order. */
typedef enum ShutdownCause {
    SHUTDOWN_CAUSE_NONE,
    SHUTDOWN_CAUSE_HOST_ERROR,
    SHUTDOWN_CAUSE_HOST_QMP_QUIT,
    SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET,
    SHUTDOWN_CAUSE_HOST_SIGNAL,
    SHUTDOWN_CAUSE_HOST_UI,
    SHUTDOWN_CAUSE_GUEST_SHUTDOWN,
    SHUTDOWN_CAUSE_GUEST_RESET,
    SHUTDOWN_CAUSE_GUEST_PANIC,
    SHUTDOWN_CAUSE_SUBSYSTEM_RESET,
    SHUTDOWN_CAUSE_SNAPSHOT_LOAD,
} ShutdownCause;

/* Emits event NAME ("SHUTDOWN", "RESET") with CAUSE. */
void shutdown_cause_emit(const char *name, ShutdownCause cause);

/* Ends the main loop with EXIT_STATUS for CAUSE; the first call counts.  Any thread. */
void shutdown_request_for(int exit_status, ShutdownCause cause);

/*
 * For devices: the guest switched the machine off.  As shutdown_request_for(), but with -no-shutdown the machine only
 * stops, in RUN_STATE_SHUTDOWN, after SHUTDOWN was emitted.  Any thread.
 */
void shutdown_request_guest(void);

/* -no-shutdown.  Before the machine is started. */
void shutdown_set_keep(bool keep);

/* For accelerators: a processor cannot go on, which is already logged.  The machine stops.  Any thread. */
void internal_error_request(void);

/*
 * The power button: FN is called by powerdown_request() until it is removed.  A machine has one at most; one that is
 * pressed where there is none does nothing.
 */
typedef void PowerdownHandler(void *opaque);
void powerdown_set_handler(PowerdownHandler *handler, void *opaque);

/* Somebody presses the power button: emits POWERDOWN. */
void powerdown_request(void);

/* The same without a cause, or for one of ours (HOST_ERROR) when EXIT_STATUS is not 0. */
void shutdown_request(int exit_status);

/* Emits SHUTDOWN, once, when shutdown was requested.  main() calls it behind the loop, quit before its answer. */
void shutdown_announce(void);
bool shutdown_requested(int *ret_exit_status);

/*
 * Makes SIGTERM, SIGINT and SIGHUP requests for shutdown with status 0, handled by the main loop,
 * and ignores what would end the program for an error it hears of anyway: SIGPIPE (a peer has gone)
 * and SIGXFSZ (an image past RLIMIT_FSIZE).  Main thread, before other threads exist.  The signals
 * stay blocked when it is undone.
 */
bool shutdown_signals_start(GError **errp);
void shutdown_signals_stop(void);

#endif
