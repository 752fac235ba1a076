/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator "emu": the built-in engine (target/i386) in the machine.
 *
 * Thread: as accel/accel.h says.  Runs in: mpqemu.
 *
 * What it brings together.  The engine uses RAM by host pointers, which it gets by page from the flat view of
 * system_memory(): each vCPU has a view of its own, which is changed between two of its instructions, together with all
 * that the engine has learned from the old one, before the old one goes.  All other memory and all ports are
 * address_space_read() and address_space_write().  Interrupts, CR8 and their MSRs are the local APIC's.  The time stamp
 * counter is the virtual clock: it counts at 1 GHz and stands while the machine is stopped.
 */
#ifndef ACCEL_EMU_H
#define ACCEL_EMU_H

#include "accel/accel.h"

extern const Accel emu_accel;

#endif
