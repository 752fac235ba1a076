/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "lsi53c895a": the LSI (Symbios) 53C895A PCI to Ultra2 SCSI controller, PCI id 1000:0012.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * The device plugs into a PCI bus and provides one SCSI bus ("ID.0") with 16 targets of 8 units;
 * the chip itself sits at id 7.  It has the three BARs of the data sheet: 256 bytes of I/O ports
 * and 1 KiB of memory with the operating registers, 8 KiB of on-chip RAM for SCRIPTS.  The drivers
 * it is tested with are Linux's sym53c8xx and SeaBIOS's.
 *
 * Where it departs from the data sheet, because drivers in the field rely on it: ISTAT0.SRST clears
 * itself; an absent target is reported without waiting for the time-out, even with STIME0 at 0; a
 * target takes IDENTIFY after a selection without ATN/, and up to 16 command bytes; a block move of
 * 0 bytes does nothing.  Not offered: target mode, low-level bus control by SOCL and SODL (but ATN/
 * and ACK/), parity errors, the serial EEPROM (absent).
 *
 * Property bus-reset-pending, for a controller that takes the place of one that was lost with its process: it
 * interrupts with SIST0.RST as soon as the command register lets it master the bus, with SIEN0.RST set as the driver
 * had it.
 *  That the driver had it so is told by the event SCSI_BUS_RESET_WATCH (qapi/qdev.json).  Made with it, the first reset through PCI after a
 * write to config space (the proxy's attachment) changes nothing about that; the next one, and a software reset, end
 * it.
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
