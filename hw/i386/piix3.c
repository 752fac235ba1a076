/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3 ISA bridge.
 *
 * Runs in: mpqemu.  The manual is hw/i386/piix3.h.
 */
#include "hw/i386/piix3.h"

#define ISA_IRQS 16u
#define ROUTABLE 0xdef8u /* ISA interrupts that a PIRQ can be: not 0, 1, 2, 8, 13 */

#define RESET_HARD (1u << 1)
#define RESET_CPU (1u << 2)

struct Piix3 {
    PciDevice pci;
    Piix3Hooks hooks;
    uint8_t pirqs;         /* bit n: PIRQ n is asserted */
    uint16_t isa_asserted; /* what set_isa_irq() was told last */
    uint8_t reset_control;
    MemoryRegion reset_control_mr;
};

typedef struct Piix3Class {
    PciDeviceClass pci_class;
} Piix3Class;

QOM_DEFINE_TYPE(Piix3, piix3, "PIIX3", TYPE_PCI_DEVICE, 0)

/* Registers with a value after reset; PIRQRC can be written, the rest is what firmware finds. */
static const struct {
    uint8_t reg, value, wmask;
} reset_values[] = {
    { 0x4c, 0x4d, 0x00 },          /* ISA recovery times */
    { 0x4e, 0x03, 0xff },          /* XBCS: chip selects and BIOS write enable; the ROM is read only all the same */
    { PIIX3_PIRQRC + 0, PIIX3_PIRQRC_DISABLE, 0x8f },
    { PIIX3_PIRQRC + 1, PIIX3_PIRQRC_DISABLE, 0x8f },
    { PIIX3_PIRQRC + 2, PIIX3_PIRQRC_DISABLE, 0x8f },
    { PIIX3_PIRQRC + 3, PIIX3_PIRQRC_DISABLE, 0x8f },
    { 0x69, 0x02, 0x00 },          /* top of memory for ISA masters */
};

int piix3_route(Piix3 *piix3, unsigned pirq)
{
    uint8_t pirqrc = piix3->pci.config[PIIX3_PIRQRC + pirq];
    unsigned irq = pirqrc & 15;

    return !(pirqrc & PIIX3_PIRQRC_DISABLE) && (ROUTABLE & 1u << irq) ? (int)irq : -1;
}

static void update_isa_irqs(Piix3 *piix3)
{
    uint16_t asserted = 0, changed;

    for (unsigned pirq = 0; pirq < PIIX3_PIRQS; pirq++) {
        int irq = piix3_route(piix3, pirq);

        if ((piix3->pirqs & 1u << pirq) && irq >= 0) {
            asserted |= (uint16_t)(1u << irq);
        }
    }
    changed = asserted ^ piix3->isa_asserted;
    piix3->isa_asserted = asserted;
    for (unsigned irq = 0; irq < ISA_IRQS; irq++) {
        if (changed & 1u << irq) {
            piix3->hooks.set_isa_irq(piix3->hooks.opaque, irq, asserted >> irq & 1);
        }
    }
}

void piix3_set_pirq(Piix3 *piix3, unsigned pirq, int level)
{
    uint8_t bit = (uint8_t)(1u << pirq);

    piix3->pirqs = level ? piix3->pirqs | bit : piix3->pirqs & (uint8_t)~bit;
    update_isa_irqs(piix3);
}

static void reroute(Piix3 *piix3)
{
    update_isa_irqs(piix3);
    piix3->hooks.rerouted(piix3->hooks.opaque);
}

static void piix3_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    pci_default_config_write(dev, addr, value, size);
    if (addr < PIIX3_PIRQRC + PIIX3_PIRQS && addr + size > PIIX3_PIRQRC) {
        reroute((Piix3 *)dev);
    }
}

/* ---- reset control --------------------------------------------------------------------------- */

static MemResult reset_control_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = ((Piix3 *)opaque)->reset_control;
    return MEM_OK;
}

static MemResult reset_control_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Piix3 *piix3 = opaque;

    piix3->reset_control = value & RESET_HARD;
    if (value & RESET_CPU) {
        piix3->hooks.reset(piix3->hooks.opaque, value & RESET_HARD);
    }
    return MEM_OK;
}

static const MemoryRegionOps reset_control_ops = {
    .read = reset_control_read,
    .write = reset_control_write,
    .max_size = 1,
};

MemoryRegion *piix3_reset_control(Piix3 *piix3)
{
    return &piix3->reset_control_mr;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static bool piix3_realize(PciDevice *dev, GError **errp)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(reset_values); i++) {
        dev->wmask[reset_values[i].reg] = reset_values[i].wmask;
    }
    return true;
}

static void piix3_reset(PciDevice *dev)
{
    Piix3 *piix3 = (Piix3 *)dev;

    for (unsigned i = 0; i < G_N_ELEMENTS(reset_values); i++) {
        dev->config[reset_values[i].reg] = reset_values[i].value;
    }
    /* It answers at fixed places and masters for ISA DMA; firmware expects that. */
    pci_set_word(dev->config + PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    piix3->reset_control = 0;
    reroute(piix3);
}

static void piix3_class_init(Piix3Class *klass)
{
    klass->pci_class.vendor_id = 0x8086;
    klass->pci_class.device_id = 0x7000;
    klass->pci_class.class_code = 0x060100; /* ISA bridge */
    klass->pci_class.realize = piix3_realize;
    klass->pci_class.reset = piix3_reset;
    klass->pci_class.config_write = piix3_config_write;
    klass->pci_class.device_class.qom_class.internal = true;
    klass->pci_class.device_class.hotpluggable = false;
}

static void piix3_init(Piix3 *self)
{
}

Piix3 *piix3_new(PciBus *bus, uint8_t devfn, const Piix3Hooks *hooks, GError **errp)
{
    g_autoptr(GObject) object = G_OBJECT(device_new(piix3_get_type()));
    Piix3 *piix3 = (Piix3 *)object;

    piix3->hooks = *hooks;
    piix3->pci.addr = devfn;
    piix3->pci.multifunction = true;
    memory_region_init_io(&piix3->reset_control_mr, NULL, &reset_control_ops, piix3, "reset-control", 1);
    if (!qom_add_child(qom_container("/machine/unattached"), "PIIX3", object, errp) ||
        !device_realize(DEVICE(object), BUS(bus), errp)) {
        return NULL;
    }
    return piix3; /* the tree's reference keeps it */
}
