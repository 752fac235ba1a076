/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "pvpanic": a port by which a guest says that it has crashed.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 *   -device pvpanic[,ioport=PORT]
 *
 * Source: QEMU's "PVPANIC DEVICE" specification, and Linux's driver.  The port (0x505) reads as the set of bits that
 * are understood.  A write of bit 0: the guest has panicked, event GUEST_PANICKED, and the program ends.  Of bit 1: it
 * has, and goes on with a crash kernel, event GUEST_CRASHLOADED.  Each is told once until the machine is reset: a
 * guest that repeats itself shall not flood its monitors.
 */
#ifndef HW_MISC_PVPANIC_H
#define HW_MISC_PVPANIC_H

#include <glib-object.h>

#define PVPANIC_PANICKED 0x01u
#define PVPANIC_CRASH_LOADED 0x02u

GType pvpanic_get_type(void) G_GNUC_CONST;
#define TYPE_PVPANIC (pvpanic_get_type())

#endif
