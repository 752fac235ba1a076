/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI interrupt routing table ("$PIR"), for kernels that do without ACPI.
 *
 * Thread: any; no state.  Runs in: mpqemu.
 *
 * Source: Microsoft, PCI IRQ Routing Table Specification 1.0.  A kernel looks for it at multiples of 16 from 0xf0000 to
 * 0xfffff; firmware makes one of its own.  It says which PIRQ each pin of each slot is (include/hw/i386/pc.h), that the
 * PIIX3 routes them, by which of its registers, and to which ISA interrupts it may.
 */
#ifndef HW_I386_PIR_H
#define HW_I386_PIR_H

#include <glib.h>

/* The caller drops the reference. */
GBytes *pir_table(void);

#endif
