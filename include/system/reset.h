/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine reset: a list of functions called in order of registration.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef SYSTEM_RESET_H
#define SYSTEM_RESET_H

#include "system/runstate.h"

typedef void ResetHandler(void *opaque);

/* For boards, which live as long as the program: HANDLER is called at each reset from now on. */
void reset_register(ResetHandler *handler, void *opaque);

/* Resets the whole machine now. */
void system_reset(void);

/* The same in a machine that was started, at somebody's word: emits RESET. */
void system_reset_for(ShutdownCause cause);

#endif
