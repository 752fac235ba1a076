/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the board's interrupts go (include/hw/i386/pc.h): from the ISA and PCI buses' lines to the controllers.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * An ISA interrupt has one source on the ISA bus or the board (SCI), and those that the PIIX3 routes to it.  The 8259s
 * and the I/O APIC see the two together: the MP table that SeaBIOS makes sends PCI interrupts to the I/O APIC's pins of
 * their ISA interrupts.  Who knows the pins 16 to 19 from ACPI masks those.
 *
 * The end of a level-triggered interrupt is told as a GSI's (hw/intc/gsi.h), by either controller; that of an ISA
 * interrupt is told on, here, as the end of each PIRQ that is routed to it.
 */
#ifndef HW_I386_PC_IRQ_H
#define HW_I386_PC_IRQ_H

#include "accel/accel.h"
#include "hw/i386/piix3.h"
#include "hw/intc/gsi.h"
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
    GsiNotifier isa_eoi[16];
} PcIrqs;

/* Begins to tell the ends of routed interrupts on.  IRQS lives as long as the program. */
void pc_irq_init(PcIrqs *irqs);

/* ISA interrupt N, from the ISA bus or the board. */
void pc_irq_set_isa(void *opaque, int n, int level);

/* ISA interrupt IRQ, from the PIIX3. */
void pc_irq_set_routed(void *opaque, unsigned irq, int level);

/* GSI of a PCI interrupt, from the PCI bus. */
void pc_irq_set_pci(void *opaque, int gsi, int level);

/* The guest has ended level-triggered ISA interrupt IRQ at the 8259s. */
void pc_irq_pic_eoi(void *opaque, unsigned irq);

#endif
