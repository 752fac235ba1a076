/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside chardev/: pseudo-terminals.
 *
 * Thread: main loop.  Runs in: mpqemu.
 */
#ifndef CHARDEV_PTY_H
#define CHARDEV_PTY_H

#include <stdbool.h>
#include <glib.h>

/*
 * Makes one: our end, twice, since each direction is watched by itself, and the TERMINAL of whom it is for.  All are
 * non-blocking and the caller's.  False with *errp.
 */
bool pty_open(int *ret_in, int *ret_out, int *ret_terminal, GError **errp);

#endif
