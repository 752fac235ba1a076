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
 * Controllers in the kernel take a remote's eventfds (hw/intc/gsi.h) for one input each, so one of the two must be
 * chosen: the I/O APIC's own pin for an operating system that has said by ACPI's \_PIC that it goes by those, at a port
 * that our namespace writes (hw/acpi/dsdt.asl); before, and for all others, the ISA interrupt of the PIRQ's route,
 * which is at both controllers.  A PIRQ without a route stays at its own pin.
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
#define PC_IRQ_MODEL_PORT 0xae20u /* a byte: 1: pins 16 to 19; 0, as after reset: PIRQ routes */

typedef struct PcIrqs {
    I8259 *pic;         /* both NULL: `kernel` has them */
    Ioapic *ioapic;
    const Accel *kernel; /* NULL: they are here */
    Piix3 *piix3;
    uint16_t isa;       /* bit n: ISA interrupt n is asserted by its own source */
    uint16_t routed;    /* by a PIRQ */
    GsiNotifier isa_eoi[16];
    bool own_pins;      /* the port's value */
    unsigned inputs[PIIX3_PIRQS]; /* what pc_irq_input() gave last for each PIRQ */
    MemoryRegion model;
} PcIrqs;

/* Begins to tell the ends of routed interrupts on.  IRQS lives as long as the program. */
void pc_irq_init(PcIrqs *irqs);

/* With controllers in the kernel: the port, in IO, and the choice, which is told by gsi_moved(). */
void pc_irq_add_model(PcIrqs *irqs, MemoryRegion *io);
void pc_irq_model_reset(PcIrqs *irqs);
unsigned pc_irq_input(const PcIrqs *irqs, unsigned gsi);

/* The PIIX3's routes have changed. */
void pc_irq_rerouted(void *opaque);

/* ISA interrupt N, from the ISA bus or the board. */
void pc_irq_set_isa(void *opaque, int n, int level);

/* ISA interrupt IRQ, from the PIIX3. */
void pc_irq_set_routed(void *opaque, unsigned irq, int level);

/* GSI of a PCI interrupt, from the PCI bus. */
void pc_irq_set_pci(void *opaque, int gsi, int level);

/* The guest has ended level-triggered ISA interrupt IRQ at the 8259s. */
void pc_irq_pic_eoi(void *opaque, unsigned irq);

#endif
