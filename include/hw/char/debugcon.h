/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-debugcon": what is written to an I/O port (0xe9; OVMF uses 0x402) goes to a character device.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Properties: chardev, iobase.
 */
#ifndef HW_CHAR_DEBUGCON_H
#define HW_CHAR_DEBUGCON_H

#include "chardev/chardev.h"
#include "qom/object.h"

GType debugcon_get_type(void);

#endif
