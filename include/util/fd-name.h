/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors from the user: -add-fd, and what may be written for "fd=" instead of a number.
 *
 * Thread: main loop only.  Runs in: both programs.
 *
 * Names come from -add-fd fd=N,set=ID,opaque=NAME and from getfd.  A name serves one use: taking it removes it.
 */
#ifndef UTIL_FD_NAME_H
#define UTIL_FD_NAME_H

#include <stdbool.h>
#include <glib.h>
#include "util/options.h"

/* Names FD, which is taken (on failure too), NAME; an earlier one of that name is closed. */
bool fd_name_add_take_fd(const char *name, int fd, GError **errp);

/* Closes the descriptor called NAME.  False: there is none. */
bool fd_name_remove(const char *name);

/* How many names there are. */
unsigned fd_name_count(void);

/*
 * A client may leave this many descriptors with us, in names and sets: more than any machine needs, less than
 * a process may have open (1024 by default), so that disks and links still get theirs.
 */
#define FD_STORE_MAX 512

/* To be asked before a client's descriptor is named or put into a set; false with *errp: there are FD_STORE_MAX. */
bool fd_store_check_room(GError **errp);

/*
 * The owned descriptor that VALUE of option OPTION (for the message) means: a number of an open
 * descriptor inherited from the launching program, or a name.  A number can be used once: a
 * descriptor that is close-on-exec was not inherited, it belongs to another part of this program.
 * Returns -1 with *errp set.
 */
int fd_name_or_number_take(const char *option, const char *value, GError **errp);

/*
 * The whole of -add-fd fd=N,set=ID[,opaque=TEXT]: puts N, which is taken, into the set (util/fd.h).
 * With NAMED, a TEXT that is a valid id also names a duplicate.
 */
bool fd_add_option(Options *opts, bool named, GError **errp);

#endif
