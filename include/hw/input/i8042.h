/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "i8042": the keyboard controller of a pc, with a PS/2 keyboard and a PS/2 mouse.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 8042 data sheet; IBM PC/AT and PS/2 technical references, "Keyboard controller".  Ports 0x60 (data)
 * and 0x64 (status, commands); ISA interrupts 1 and 12.
 *
 * Commands: 0x20 and 0x60 config byte, 0xa4 password test (there is none), 0xa7 to 0xa9 mouse off, on, test, 0xaa
 * self-test, 0xab keyboard test, 0xad and 0xae keyboard off, on, 0xc0 input port, 0xd0 and 0xd1 output port, 0xd2 and
 * 0xd3 write as if keyboard or mouse had sent it, 0xd4 write to the mouse, 0xdd and 0xdf A20, 0xe0 test inputs, 0xf0
 * to 0xff pulse.  Others do nothing.
 *
 * A20 is on always, and no address line is ever forced low; the bit in the output port is stored and can be read.  At
 * reset both interfaces are off and codes are translated to set 1, as after a controller's own reset.
 *
 * Keys are not repeated while they are held.  The mouse never moves.
 */
#ifndef HW_INPUT_I8042_H
#define HW_INPUT_I8042_H

#include "hw/isa/isa-bus.h"

typedef struct I8042 I8042;
typedef struct I8042Class I8042Class;

QOM_DECLARE_TYPE(I8042, i8042, I8042_DEVICE)
#define TYPE_I8042 (i8042_get_type())

/* Makes the board's controller on BUS; owned by the tree.  RESET hears the guest's pulses.  NULL with *errp. */
I8042 *i8042_create(IsaBus *bus, IsaResetRequest *reset, void *opaque, GError **errp);

/*
 * Presses (DOWN) or releases key CODE: its code in set 1, 0x01 to 0x7f, plus 0xe000 for those with the prefix (right
 * control: 0xe01d).  False when it is lost: no such code, the keyboard's buffer is full, or the guest has switched it
 * off.
 */
bool i8042_key(I8042 *kbc, unsigned code, bool down);

/* The A20 bit of the output port. */
bool i8042_a20(const I8042 *kbc);

/* What the guest wants to be lit: bit 0 scroll lock, 1 num lock, 2 caps lock. */
unsigned i8042_leds(const I8042 *kbc);

#endif
