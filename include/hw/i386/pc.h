/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board: RAM, PCI host bridge, I/O APIC.
 *
 * Thread: main thread at start-up, with the machine lock held.  Runs in: mpqemu.
 *
 * Memory map.  RAM from 0 to PC_LOW_RAM_MAX (3 GiB), the rest from 4 GiB on.  PCI memory is the
 * whole address space behind everything else: BARs work wherever no RAM or board device is; the
 * hole below 4 GiB is where firmware puts them.  The I/O APIC's window is at 0xfec00000.
 *
 * I/O ports.  0xcf8 and 0xcfc are the config mechanism (PCI Local Bus 3.0, section 3.2.2.3.2), the
 * rest belongs to PCI I/O BARs.
 *
 * Interrupts.  GSI n is pin n of the I/O APIC.  Pin INTA to INTD (0 to 3) of the function in slot s
 * is routed to GSI 16 + ((s + pin) & 3); the PCI bus's lines are numbered by GSI.
 *
 * QOM paths: /machine/ioapic, /machine/pci.0 (bus "pci.0"), the host bridge at slot 0.
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "hw/core/device.h"
#include "system/memory.h"

#define PC_LOW_RAM_MAX 0xc0000000ull
#define PC_HIGH_RAM_BASE 0x100000000ull

#define PC_PCI_GSI_FIRST 16u /* INTx uses four GSIs from here */

/* Builds the board on RAM, a region of RAM_SIZE bytes that lives as long as the program. */
bool pc_init(MemoryRegion *ram, uint64_t ram_size, GError **errp);

/* The host bridge function "i440FX" (8086:1237); internal. */
GType i440fx_get_type(void);

#endif
