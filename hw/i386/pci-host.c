/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI host bridge: config mechanism 1 and the bridge's own function.
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
#include "hw/i386/pc.h"
#include "hw/i386/pci-host.h"
#include "util/machine-lock.h"

#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_DATA 0xcfc

#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu

struct PciHost {
    PciBus *bus;
    MemoryRegion address_mr;
    MemoryRegion data_mr;
    uint32_t address; /* atomic */
};

/* ---- the function at 00:00.0 ----------------------------------------------------------------- */

typedef struct I440fx {
    PciDevice pci;
} I440fx;

typedef struct I440fxClass {
    PciDeviceClass pci_class;
} I440fxClass;

QOM_DEFINE_TYPE(I440fx, i440fx, "i440FX", TYPE_PCI_DEVICE, 0)

static void i440fx_class_init(I440fxClass *klass)
{
    klass->pci_class.vendor_id = 0x8086;
    klass->pci_class.device_id = 0x1237;
    klass->pci_class.revision = 2;
    klass->pci_class.class_code = 0x060000; /* host bridge */
    klass->pci_class.device_class.qom_class.internal = true;
    klass->pci_class.device_class.hotpluggable = false;
}

static void i440fx_init(I440fx *self)
{
}

/* ---- the config mechanism -------------------------------------------------------------------- */

/* The register exists as a double word only; other accesses pass through to the bus, to nobody. */
static MemResult pci_host_address_read(void *opaque, hwaddr addr, uint64_t *ret_value,
                                       unsigned size)
{
    PciHost *host = opaque;

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

bool pci_host_init(PciBus *bus, MemoryRegion *io, GError **errp)
{
    PciHost *host = g_new0(PciHost, 1);
    g_autoptr(GObject) bridge = G_OBJECT(device_new(i440fx_get_type()));

    host->bus = bus;
    memory_region_init_io(&host->address_mr, NULL, &pci_host_address_ops, host, "pci-conf-idx", 4);
    memory_region_init_io(&host->data_mr, NULL, &pci_host_data_ops, host, "pci-conf-data", 4);
    memory_region_add(io, PCI_CONFIG_ADDRESS, &host->address_mr, 0);
    memory_region_add(io, PCI_CONFIG_DATA, &host->data_mr, 0);
    PCI_DEVICE(bridge)->addr = PCI_DEVFN_OF(0, 0);
    if (!qom_add_child(qom_container("/machine/unattached"), "i440FX", bridge, errp)) {
        return false;
    }
    return device_realize(DEVICE(bridge), BUS(bus), errp);
}
