/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI config space: checked access, the core's side effects, where the BARs are mapped.
 * Runs in: both programs.
 */
#include "hw/pci/msi.h"
#include "util/machine-lock.h"
#include "trace/hw-pci.h"

/* PCI allows 1, 2 and 4 bytes inside the space; a guest or peer may ask for anything. */
static bool access_fits(const PciDevice *dev, unsigned addr, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && addr < dev->config_size &&
           size <= dev->config_size - addr;
}

/*
 * Whoever looked the function up holds a reference, but it may have been unplugged since: then its
 * config space is gone.  With the machine lock held; a class with `unlocked_config` sees to that by
 * itself.
 */
static bool is_unplugged(const PciDevice *dev, const PciDeviceClass *klass)
{
    return !klass->unlocked_config && !dev->config;
}

static uint32_t all_ones(unsigned size)
{
    return size == 1 ? 0xff : size == 2 ? 0xffff : UINT32_MAX;
}

static bool lock_for(const PciDeviceClass *klass)
{
    if (klass->unlocked_config || machine_locked()) {
        return false;
    }
    machine_lock();
    return true;
}

bool pci_config_read(PciDevice *dev, unsigned addr, uint32_t *ret_value, unsigned size)
{
    PciDeviceClass *klass = PCI_DEVICE_GET_CLASS(dev);
    bool locked, there;

    *ret_value = all_ones(size);
    if (!access_fits(dev, addr, size)) {
        return false;
    }
    locked = lock_for(klass);
    there = !is_unplugged(dev, klass);
    if (there) {
        *ret_value = klass->config_read(dev, addr, size);
    }
    if (locked) {
        machine_unlock();
    }
    trace_pci_config_read(dev->dev.id ? dev->dev.id : "", addr, *ret_value, size);
    return there;
}

bool pci_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    PciDeviceClass *klass = PCI_DEVICE_GET_CLASS(dev);
    bool locked, there;

    if (!access_fits(dev, addr, size)) {
        return false;
    }
    trace_pci_config_write(dev->dev.id ? dev->dev.id : "", addr, value, size);
    locked = lock_for(klass);
    there = !is_unplugged(dev, klass);
    if (there) {
        klass->config_write(dev, addr, value, size);
    }
    if (locked) {
        machine_unlock();
    }
    return there;
}

uint32_t pci_default_config_read(PciDevice *dev, unsigned addr, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)dev->config[addr + i] << (8 * i);
    }
    return value;
}

/* True when [addr, addr + size) touches [start, start + len). */
static bool touches(unsigned addr, unsigned size, unsigned start, unsigned len)
{
    return addr < start + len && start < addr + size;
}

void pci_default_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        uint8_t wmask = dev->wmask[addr + i];
        uint8_t w1c = dev->w1cmask[addr + i];

        dev->config[addr + i] = (uint8_t)((dev->config[addr + i] & ~wmask) | (byte & wmask));
        dev->config[addr + i] &= (uint8_t)~(byte & w1c);
    }
    if (touches(addr, size, PCI_COMMAND, 2) || touches(addr, size, PCI_BASE_ADDRESS_0, 24) ||
        touches(addr, size, PCI_ROM_ADDRESS, 4)) {
        pci_update_mappings(dev);
    }
    if (touches(addr, size, PCI_COMMAND, 2)) {
        pci_update_irq(dev);
    }
    if (addr >= PCI_STD_HEADER_SIZEOF) {
        msi_config_written(dev);
    }
}

/* Where BAR INDEX decodes by its register and the command register, or PCI_BAR_UNMAPPED. */
static uint64_t bar_address(const PciDevice *dev, unsigned index)
{
    const PciBar *bar = &dev->bars[index];
    uint16_t command = pci_get_word(dev->config + PCI_COMMAND);
    uint64_t mask = ~(bar->size - 1);
    uint64_t addr, last;

    if (index == PCI_ROM_SLOT) {
        uint32_t rom = pci_get_long(dev->config + PCI_ROM_ADDRESS);

        if (!(command & PCI_COMMAND_MEMORY) || !(rom & PCI_ROM_ADDRESS_ENABLE)) {
            return PCI_BAR_UNMAPPED;
        }
        addr = rom & mask;
    } else {
        const uint8_t *reg = dev->config + PCI_BASE_ADDRESS_0 + 4 * index;
        bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;

        if (!(command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY))) {
            return PCI_BAR_UNMAPPED;
        }
        addr = pci_get_long(reg);
        if (!io && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
            addr |= (uint64_t)pci_get_long(reg + 4) << 32;
            last = (addr & mask) + bar->size - 1;
            /* All ones is how software sizes a BAR; zero is an address never given. */
            return last < bar->size - 1 || last == UINT64_MAX || !(addr & mask) ? PCI_BAR_UNMAPPED
                                                                                : addr & mask;
        }
        if (io) {
            addr &= mask;
            last = addr + bar->size - 1;
            return !addr || last > 0xffff ? PCI_BAR_UNMAPPED : addr;
        }
        addr &= mask;
    }
    last = addr + bar->size - 1;
    return !addr || last >= UINT32_MAX ? PCI_BAR_UNMAPPED : addr;
}

void pci_update_mappings(PciDevice *dev)
{
    PciBus *bus = pci_device_bus(dev);

    dev->dma.enabled = pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_MASTER;
    memory_transaction_begin();
    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        PciBar *bar = &dev->bars[i];
        bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
        uint64_t addr;

        if (!bar->size) {
            continue;
        }
        addr = bar_address(dev, i);
        if (addr == bar->addr) {
            continue;
        }
        trace_pci_bar_map(dev->dev.id ? dev->dev.id : "", i, bar->addr, addr);
        if (bar->space) {
            memory_region_remove(bar->space, bar->mr);
            bar->space = NULL;
        }
        bar->addr = addr;
        if (addr != PCI_BAR_UNMAPPED) {
            if (bus->per_function_spaces) {
                bar->space = io ? &dev->bar_io : &dev->bar_mem;
            } else {
                bar->space = io ? bus->io : bus->mem;
            }
            memory_region_add(bar->space, addr, bar->mr, 1);
        }
    }
    memory_transaction_commit();
}
