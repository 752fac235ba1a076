/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the board's interrupts go (include/hw/i386/pc.h): from the ISA and PCI buses' lines to the controllers.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * An ISA interrupt has one source on the ISA bus or the board (SCI), and those that the PIIX3 routes to it.  The 8259s
 * see the two together, the I/O APIC the first alone.  With the controllers in the kernel, GSI n is both, so there the
 * I/O APIC sees the routed ones, too; operating systems that use it mask those pins.
 *
 * The end of a level-triggered interrupt is told as a GSI's (hw/intc/gsi.h): by the I/O APIC itself, and for the 8259s
 * here, as that of the ISA interrupt and of each PIRQ that is routed to it.
 */
#ifndef HW_I386_PC_IRQ_H
#define HW_I386_PC_IRQ_H

#include "accel/accel.h"
#include "hw/i386/piix3.h"
#include "hw/intc/i8259.h"
#include "hw/intc/ioapic.h"

/* The board fills in what it has; zero at first. */
typedef struct PcIrqs {
    I8259 *pic;         /* both NULL: `kernel` has them */
    Ioapic *ioapic;
    const Accel *kernel; /* NULL: they are here */
    Piix3 *piix3;
    uint16_t isa;       /* bit n: ISA interrupt n is asserted by its own source */
    uint16_t routed;    /* by a PIRQ */
} PcIrqs;

/* ISA interrupt N, from the ISA bus or the board. */
void pc_irq_set_isa(void *opaque, int n, int level);

/* ISA interrupt IRQ, from the PIIX3. */
void pc_irq_set_routed(void *opaque, unsigned irq, int level);

/* GSI of a PCI interrupt, from the PCI bus. */
void pc_irq_set_pci(void *opaque, int gsi, int level);

/* The guest has ended level-triggered ISA interrupt IRQ at the 8259s. */
void pc_irq_pic_eoi(void *opaque, unsigned irq);

#endif
