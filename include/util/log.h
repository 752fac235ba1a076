/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages for the person who runs the program: errors and warnings, and rate-limited reports on a
 * guest's or peer's misbehaviour.
 *
 * Thread: any.  Runs in: both programs.
 *
 * All text goes to standard error as "PROGRAM: text", one write(2) a line.  Library code does not
 * log: it returns errors; main(), monitors and event-loop edges log them once.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include <stdbool.h>
#include <glib.h>
#include "util/syscalls.h"

/*
 * Sets the program's name for messages; NAME must stay valid.  Messages of GLib's own, failed assertions among them,
 * come here too from then on.
 */
void log_init(const char *program_name);

/* "PROGRAM: text": something the user asked for failed. */
void log_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* "PROGRAM: warning: text". */
void log_warn(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* "PROGRAM: info: text": for the record. */
void log_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/*
 * "PROGRAM: guest error: text" for what a guest or a peer did wrong.  At most 10 lines a second in
 * all, since a limit for each source would grow with the sources; the number of suppressed lines is
 * told with the next one, so a hostile guest cannot fill a disk.
 */
void log_guest_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

extern const SyscallTable log_syscalls;

#endif
