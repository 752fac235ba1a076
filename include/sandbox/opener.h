/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The opener: a small process that opens images for a main emulator that has given up to open files.
 *
 * Thread: main loop with the machine lock held, but opener_start().  Runs in: mpqemu.
 *
 * It is a helper (sandbox/helper.h) with a filter of its own from the start.  It opens what is there, for reading or
 * for reading and writing, and makes nothing; it hands out regular files and block devices only, and none of the
 * kernel's own file systems (/proc, /sys, ...).  What it hands out after opener_seal() it tells on standard error,
 * which the main emulator cannot prevent.  It also removes the files of sockets at the end, which the main emulator
 * cannot either.
 *
 * What it does not prevent: whoever has taken over the main emulator can ask it for any file that the user may open.
 */
#ifndef SANDBOX_OPENER_H
#define SANDBOX_OPENER_H

#include <stdbool.h>
#include <glib.h>

#include "util/syscalls.h"

/* How long the main emulator waits: a file system may hang. */
#define OPENER_WAIT_MS 5000

/* Forks the opener and makes it known to fd_open_path().  At the start of the program, as spawner_start(). */
bool opener_start(GError **errp);

/*
 * The socket's file PATH, which is there, is removed at the end.  Before opener_seal(); does nothing without an opener.
 */
void opener_remove_at_end(const char *path);

/* From now on the main emulator is not trusted.  Fails when the opener could not be started or confined. */
bool opener_seal(GError **errp);

/* Lets it remove the files and end, and waits for that, for a bounded time.  Accepts not started. */
void opener_stop(void);

/*
 * Opens PATH, for writing too when FLAGS of open(2) have O_RDWR.  An owned close-on-exec descriptor in the non-blocking
 * mode, or -1 with *errp.  As fd_open_path() calls it.
 */
int opener_open(const char *path, int flags, GError **errp);

/* What the main emulator needs to ask; no call of it opens anything. */
extern const SyscallTable opener_client_syscalls;

/* The opener's own profile, NULL-ended. */
extern const SyscallTable *const opener_profile[];

#endif
