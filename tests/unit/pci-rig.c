/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI bus with guest RAM and one function.
 * Runs in: tests
 */
#include "pci-rig.h"

#include "util/event-loop.h"
#include "util/machine-lock.h"

static unsigned rig_map_irq(PciDevice *dev, unsigned pin)
{
    return pin;
}

static void rig_set_irq(void *opaque, int line, int level)
{
    PciRig *rig = opaque;

    rig->irq_edges += level && !rig->irq;
    rig->irq = level;
}

void pci_rig_init(PciRig *rig, uint64_t ram_size)
{
    static unsigned buses;
    g_autofree char *name = g_strdup_printf("pci.%u", buses++);
    GError *error = NULL;

    *rig = (PciRig) { .ram_size = ram_size };
    machine_lock();
    rig->block = ram_block_new_memfd("ram", ram_size, true, &error);
    g_assert_no_error(error);
    rig->ram = rig->block->host;
    memory_region_init(&rig->root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&rig->root_io, NULL, "io", 65536);
    memory_region_init_ram(&rig->ram_region, NULL, "ram", rig->block, 0, ram_size);
    memory_region_add(&rig->root_mem, 0, &rig->ram_region, 0);
    rig->mem = address_space_new(&rig->root_mem, "mem");
    rig->io = address_space_new(&rig->root_io, "io");
    rig->bus = pci_root_bus_new(name, &rig->root_mem, &rig->root_io, rig->mem, 0);
    pci_bus_set_irqs(rig->bus, rig_map_irq, rig_set_irq, rig, 4);
}

static void config_write(PciRig *rig, unsigned offset, uint32_t value)
{
    g_assert_true(pci_config_write(rig->dev, offset, value, 4));
}

void pci_rig_map(PciRig *rig)
{
    uint32_t io = PCI_RIG_IO, mem = PCI_RIG_MMIO;

    for (unsigned i = 0; i < PCI_ROM_SLOT; i++) {
        const PciBar *bar = &rig->dev->bars[i];
        uint32_t *next = bar->type & PCI_BASE_ADDRESS_SPACE_IO ? &io : &mem;
        uint32_t step = MAX((uint32_t)bar->size, next == &io ? 0 : PCI_RIG_BAR_STEP);

        if (bar->size == 0) {
            continue;
        }
        *next = (*next + step - 1) & ~(step - 1);
        config_write(rig, PCI_BASE_ADDRESS_0 + 4 * i, *next);
        *next += step;
    }
    config_write(rig, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

PciDevice *pci_rig_plug(PciRig *rig, GType type)
{
    Device *dev = device_new(type);
    GError *error = NULL;

    rig->dev = PCI_DEVICE(dev);
    g_assert_true(device_realize(dev, &rig->bus->bus, &error));
    g_assert_no_error(error);
    g_object_unref(dev);
    pci_rig_map(rig);
    return rig->dev;
}

void pci_rig_unplug(PciRig *rig)
{
    device_unrealize(&rig->dev->dev);
    rig->dev = NULL;
}

void pci_rig_cleanup(PciRig *rig)
{
    pci_rig_settle();
    if (rig->dev) {
        pci_rig_unplug(rig);
    }
    pci_rig_settle();
    bus_free(&rig->bus->bus);
    address_space_free(rig->mem);
    address_space_free(rig->io);
    memory_region_destroy(&rig->ram_region);
    memory_region_destroy(&rig->root_mem);
    memory_region_destroy(&rig->root_io);
    ram_block_unref(rig->block);
    machine_unlock();
}

void pci_rig_settle(void)
{
    for (int i = 0; i < 1000; i++) {
        if (!event_loop_turn(event_loop_main(), false)) {
            break;
        }
    }
}
