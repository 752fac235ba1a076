/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's interrupt routing (pc-irq.h).
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 */
#include "hw/i386/pc-irq.h"

#include <stddef.h>

#include "hw/i386/pc.h"

#define IOAPIC_PIN_OF_TIMER 2

static void set_bit(uint16_t *bits, unsigned n, int level)
{
    *bits = (uint16_t)(level ? *bits | 1u << n : *bits & ~(1u << n));
}

/* Tells the controllers of ISA interrupt N. */
static void update_isa(PcIrqs *irqs, unsigned n)
{
    int level = (irqs->isa | irqs->routed) >> n & 1;

    if (irqs->kernel) {
        irqs->kernel->set_gsi(n, level);
    } else {
        irq_set(irqs->pic->pins[n], level);
        irq_set(irqs->ioapic->pins[n ? n : IOAPIC_PIN_OF_TIMER], level);
    }
}

void pc_irq_set_isa(void *opaque, int n, int level)
{
    PcIrqs *irqs = opaque;

    set_bit(&irqs->isa, (unsigned)n, level);
    update_isa(irqs, (unsigned)n);
}

void pc_irq_set_routed(void *opaque, unsigned irq, int level)
{
    PcIrqs *irqs = opaque;

    set_bit(&irqs->routed, irq, level);
    update_isa(irqs, irq);
}

void pc_irq_set_pci(void *opaque, int gsi, int level)
{
    PcIrqs *irqs = opaque;

    if (irqs->kernel) {
        irqs->kernel->set_gsi((unsigned)gsi, level);
    } else {
        irq_set(irqs->ioapic->pins[gsi], level);
    }
    if (irqs->piix3) {
        piix3_set_pirq(irqs->piix3, (unsigned)gsi - PC_PCI_GSI_FIRST, level);
    }
}

void pc_irq_pic_eoi(void *opaque, unsigned irq)
{
    gsi_eoi(irq);
}

/* An ISA interrupt's end is that of what is routed to it. */
static void isa_ended(GsiNotifier *notifier)
{
    PcIrqs *irqs = (PcIrqs *)(void *)((char *)(notifier - notifier->gsi) - offsetof(PcIrqs, isa_eoi));

    for (unsigned pirq = 0; pirq < PIIX3_PIRQS; pirq++) {
        if (piix3_route(irqs->piix3, pirq) == (int)notifier->gsi) {
            gsi_eoi(PC_PCI_GSI_FIRST + pirq);
        }
    }
}

void pc_irq_init(PcIrqs *irqs)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(irqs->isa_eoi); i++) {
        irqs->isa_eoi[i].eoi = isa_ended;
        gsi_notifier_add(&irqs->isa_eoi[i], i);
    }
}
