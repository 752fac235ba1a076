/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "port92": system control port A of the PS/2, with the fast reset and the A20 gate.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: PIIX3 data sheet (order 290550).  Bit 0: a change from 0 to 1 resets the machine.  Bit 1:
 * A20.  The gate is on always, and no address line is ever forced low; the bit is stored, and on at reset.
 */
#ifndef HW_MISC_PORT92_H
#define HW_MISC_PORT92_H

#include "hw/isa/isa-bus.h"

typedef struct Port92 {
    IsaDevice isa;
    MemoryRegion io;
    uint8_t value;
    IsaResetRequest *reset; /* NULL: nobody listens */
    void *reset_opaque;
} Port92;

typedef struct Port92Class {
    IsaDeviceClass isa_class;
} Port92Class;

QOM_DECLARE_TYPE(Port92, port92, PORT92)
#define TYPE_PORT92 (port92_get_type())

/* Makes the board's port on BUS; owned by the tree.  NULL with *errp. */
Port92 *port92_create(IsaBus *bus, IsaResetRequest *reset, void *opaque, GError **errp);

#endif
