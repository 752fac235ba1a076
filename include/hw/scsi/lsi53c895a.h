/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "lsi53c895a": the LSI (Symbios) 53C895A PCI to Ultra2 SCSI controller, PCI id 1000:0012.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * The device plugs into a PCI bus and provides one SCSI bus ("ID.0") with 16 targets of 8 units;
 * the chip itself sits at id 7.  It has the three BARs of the data sheet: 256 bytes of I/O ports
 * and 1 KiB of memory with the operating registers, 8 KiB of on-chip RAM for SCRIPTS.  Drivers
 * known to work are named in docs/devel.
 *
 * All work of the SCRIPTS processor happens in the event loop, in slices of bounded length, never
 * inside a register access: a guest whose program never ends gets a busy device, not a stuck
 * emulator.
 */
#ifndef HW_SCSI_LSI53C895A_H
#define HW_SCSI_LSI53C895A_H

#include <glib-object.h>

#define TYPE_LSI53C895A_NAME "lsi53c895a"

GType lsi53c895a_get_type(void) G_GNUC_CONST;

#endif
