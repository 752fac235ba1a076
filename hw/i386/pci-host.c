/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI host bridge: config mechanism 1.
 *
 * Runs in: mpqemu.
 *
 * Source: PCI Local Bus 3.0, section 3.2.2.3.2; Intel 82441FX data sheet (order 290549), CONFADD
 * and CONFDATA.
 *
 * The registers are `unlocked`: a config access to a proxied function waits for another process,
 * and nobody else shall wait with it.  The function is looked up, and given back, with the machine
 * lock held; the access itself takes that lock when the function's class wants it.
 */
#include "hw/i386/pci-host.h"
#include "util/machine-lock.h"

#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA 0xcfc
#define RESET_CONTROL_LANE 1 /* 0xcf9 */

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

struct PciHost {
    PciBus *bus;
    MemoryRegion address_mr;
    MemoryRegion data_mr;
    MemoryRegion *reset_control; /* NULL: none */
    uint32_t address; /* atomic */
};

/*
 * The register exists as a double word only.  Other accesses pass through to the bus: a byte at 0xcf9 to the ISA
 * bridge's reset control, the rest to nobody.
 */
static bool is_reset_control(const PciHost *host, hwaddr addr, unsigned size)
{
    return host->reset_control && addr == RESET_CONTROL_LANE && size == 1;
}

static MemResult pci_host_address_read(void *opaque, hwaddr addr, uint64_t *ret_value,
                                       unsigned size)
{
    PciHost *host = opaque;

    if (is_reset_control(host, addr, size)) {
        return memory_region_read(host->reset_control, 0, ret_value, 1);
    }
    if (size != 4) {
        *ret_value = UINT64_MAX;
        return MEM_DECODE_ERROR;
    }
    *ret_value = __atomic_load_n(&host->address, __ATOMIC_RELAXED);
    return MEM_OK;
}

static MemResult pci_host_address_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    PciHost *host = opaque;

    if (is_reset_control(host, addr, size)) {
        return memory_region_write(host->reset_control, 0, value, 1);
    }
    if (size != 4) {
        return MEM_DECODE_ERROR;
    }
    __atomic_store_n(&host->address, value & ADDRESS_WRITABLE, __ATOMIC_RELAXED);
    return MEM_OK;
}

static const MemoryRegionOps pci_host_address_ops = {
    .read = pci_host_address_read,
    .write = pci_host_address_write,
    .max_size = 4,
    .unlocked = true,
};

/* Takes the machine lock unless the caller has it (a device model's or monitor's access). */
static bool pci_host_lock(void)
{
    if (machine_locked()) {
        return false;
    }
    machine_lock();
    return true;
}

static void pci_host_unlock(bool locked)
{
    if (locked) {
        machine_unlock();
    }
}

/*
 * The function the latch selects, with a reference, and the register at byte LANE of the data port;
 * NULL when mechanism, bus or slot is not there.
 */
static PciDevice *pci_host_select(PciHost *host, unsigned lane, unsigned *ret_addr)
{
    uint32_t address = __atomic_load_n(&host->address, __ATOMIC_RELAXED);
    uint8_t bus = address >> 16, devfn = address >> 8;
    PciDevice *dev;
    bool locked;

    if (!(address & ADDRESS_ENABLE) || bus != 0) {
        return NULL;
    }
    *ret_addr = (address & 0xfc) | lane;
    locked = pci_host_lock();
    dev = pci_bus_device(host->bus, devfn);
    if (dev) {
        g_object_ref(dev);
    }
    pci_host_unlock(locked);
    return dev;
}

static void pci_host_release(PciDevice *dev)
{
    bool locked = pci_host_lock();

    g_object_unref(dev);
    pci_host_unlock(locked);
}

static MemResult pci_host_data_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    unsigned reg;
    PciDevice *dev = pci_host_select(opaque, addr, &reg);
    uint32_t value;

    if (dev == NULL) {
        *ret_value = UINT64_MAX;
        return MEM_OK; /* a master abort, which a host bridge turns into all ones */
    }
    pci_config_read(dev, reg, &value, size);
    pci_host_release(dev);
    *ret_value = value;
    return MEM_OK;
}

static MemResult pci_host_data_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    unsigned reg;
    PciDevice *dev = pci_host_select(opaque, addr, &reg);

    if (dev != NULL) {
        pci_config_write(dev, reg, value, size);
        pci_host_release(dev);
    }
    return MEM_OK;
}

static const MemoryRegionOps pci_host_data_ops = {
    .read = pci_host_data_read,
    .write = pci_host_data_write,
    .max_size = 4,
    .unlocked = true,
};

PciHost *pci_host_new(PciBus *bus, MemoryRegion *io)
{
    PciHost *host = g_new0(PciHost, 1);

    host->bus = bus;
    memory_region_init_io(&host->address_mr, NULL, &pci_host_address_ops, host, "pci-conf-idx", 4);
    memory_region_init_io(&host->data_mr, NULL, &pci_host_data_ops, host, "pci-conf-data", 4);
    memory_region_add(io, PCI_CONFIG_ADDRESS, &host->address_mr, 0);
    memory_region_add(io, PCI_CONFIG_DATA, &host->data_mr, 0);
    return host;
}

void pci_host_reset(PciHost *host)
{
    __atomic_store_n(&host->address, 0, __ATOMIC_RELAXED);
}

void pci_host_set_reset_control(PciHost *host, MemoryRegion *reset_control)
{
    host->reset_control = reset_control;
}
