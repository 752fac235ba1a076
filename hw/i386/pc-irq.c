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

/* ---- the input for eventfds -------------------------------------------------------------------- */

unsigned pc_irq_input(const PcIrqs *irqs, unsigned gsi)
{
    int route = irqs->own_pins || !irqs->piix3 ? -1 : piix3_route(irqs->piix3, gsi - PC_PCI_GSI_FIRST);

    return route < 0 ? gsi : (unsigned)route;
}

void pc_irq_rerouted(void *opaque)
{
    PcIrqs *irqs = opaque;

    for (unsigned pirq = 0; irqs->kernel && pirq < PIIX3_PIRQS; pirq++) {
        unsigned gsi = PC_PCI_GSI_FIRST + pirq, input = pc_irq_input(irqs, gsi);

        if (input != irqs->inputs[pirq]) {
            irqs->inputs[pirq] = input;
            gsi_moved(gsi);
        }
    }
}

static void set_model(PcIrqs *irqs, bool own_pins)
{
    irqs->own_pins = own_pins;
    pc_irq_rerouted(irqs);
}

static MemResult model_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = ((PcIrqs *)opaque)->own_pins;
    return MEM_OK;
}

static MemResult model_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    set_model(opaque, value == 1);
    return MEM_OK;
}

static const MemoryRegionOps model_ops = {
    .read = model_read,
    .write = model_write,
    .max_size = 1,
};

void pc_irq_add_model(PcIrqs *irqs, MemoryRegion *io)
{
    memory_region_init_io(&irqs->model, NULL, &model_ops, irqs, "interrupt-model", 1);
    memory_region_add(io, PC_IRQ_MODEL_PORT, &irqs->model, 0);
    for (unsigned pirq = 0; pirq < PIIX3_PIRQS; pirq++) {
        irqs->inputs[pirq] = PC_PCI_GSI_FIRST + pirq;
    }
}

void pc_irq_model_reset(PcIrqs *irqs)
{
    set_model(irqs, false);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void pc_irq_init(PcIrqs *irqs)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(irqs->isa_eoi); i++) {
        irqs->isa_eoi[i].eoi = isa_ended;
        gsi_notifier_add(&irqs->isa_eoi[i], i);
    }
}
