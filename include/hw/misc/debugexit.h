/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-debug-exit": a port by which a guest ends the program with a status of its own, for test programs that run as
 * guests.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 *   -device isa-debug-exit[,iobase=PORT][,iosize=COUNT]
 *
 * A write of V ends with status (V << 1) | 1, of which the host sees 8 bits: never 0, which is left to a machine that
 * is switched off.  Reads give 0.  The defaults are 0x501 and 2, as in QEMU.
 */
#ifndef HW_MISC_DEBUGEXIT_H
#define HW_MISC_DEBUGEXIT_H

#include <glib-object.h>

GType debug_exit_get_type(void) G_GNUC_CONST;
#define TYPE_DEBUG_EXIT (debug_exit_get_type())

#endif
