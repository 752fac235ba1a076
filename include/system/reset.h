/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine reset: a list of functions called in order of registration.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef SYSTEM_RESET_H
#define SYSTEM_RESET_H

typedef void ResetHandler(void *opaque);

void reset_register(ResetHandler *handler, void *opaque);
void reset_unregister(ResetHandler *handler, void *opaque);

/* Resets the whole machine now. */
void system_reset(void);

#endif
