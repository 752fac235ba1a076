/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI root buses: slots, address spaces, INTx lines.
 * Runs in: both programs.
 */
#include "hw/pci/pci.h"
#include "util/error.h"

QOM_DEFINE_TYPE(PciBus, pci_bus, "PCI", TYPE_BUS, 0)

/* Whether a function other than 0 is in DEVFN's slot: function 0 may have gone before it. */
static bool slot_has_others(PciBus *bus, unsigned devfn)
{
    for (unsigned fn = 1; fn < 8; fn++) {
        if (bus->devices[(devfn & ~7u) + fn]) {
            return true;
        }
    }
    return false;
}

/* The first slot that is free, by its function 0, or -1. */
static int find_free_slot(PciBus *bus)
{
    for (unsigned devfn = bus->devfn_min; devfn < PCI_DEVFN_MAX; devfn += 8) {
        if (!bus->devices[devfn] && !slot_has_others(bus, devfn)) {
            return (int)devfn;
        }
    }
    return -1;
}

/* One or two hex digits, "0x" before them allowed, up to MAX.  Moves *text behind them. */
static bool parse_hex(const char **text, unsigned max, unsigned *ret)
{
    const char *p = *text + (g_str_has_prefix(*text, "0x") ? 2 : 0);
    unsigned digits = 0;

    for (*ret = 0; digits < 2 && g_ascii_isxdigit(*p); p++, digits++) {
        *ret = *ret * 16 + (unsigned)g_ascii_xdigit_value(*p);
    }
    *text = p;
    return digits > 0 && *ret <= max;
}

/* Parses "SLOT" or "SLOT.FUNCTION" in hex (as QEMU writes it).  Returns the devfn or -1. */
static int parse_addr(const char *text)
{
    unsigned slot, fn = 0;

    if (!parse_hex(&text, 31, &slot)) {
        return -1;
    }
    if (*text == '.') {
        text++;
        if (!parse_hex(&text, 7, &fn)) {
            return -1;
        }
    }
    return *text ? -1 : PCI_DEVFN_OF(slot, fn);
}

static bool pci_bus_plug(Bus *base, Device *device, GError **errp)
{
    PciBus *bus = PCI_BUS(base);
    PciDevice *dev = PCI_DEVICE(device);
    int devfn;

    if (!dev->addr_text || !*dev->addr_text) {
        devfn = dev->addr >= 0 ? dev->addr : find_free_slot(bus);
        if (devfn < 0) {
            error_setg(errp, "PCI bus '%s' has no free slot; give addr= or take a device away",
                       base->bus_name);
            return false;
        }
    } else {
        devfn = parse_addr(dev->addr_text);
        if (devfn < 0) {
            error_setg(
                errp,
                "addr=%s is no PCI address; give SLOT or SLOT.FUNCTION in hex, 0 to 1f and 0 to 7",
                dev->addr_text);
            return false;
        }
    }
    if (bus->devices[devfn]) {
        error_setg(errp, "PCI slot %x.%x of bus '%s' is taken by %s; choose another addr=",
                   PCI_SLOT_OF(devfn), PCI_FUNC_OF(devfn), base->bus_name,
                   G_OBJECT_TYPE_NAME(bus->devices[devfn]));
        return false;
    }
    if (PCI_FUNC_OF(devfn) &&
        !(bus->devices[devfn & ~7] && bus->devices[devfn & ~7]->multifunction)) {
        error_setg(errp,
                   "addr=%s: the slot has no function 0 with multifunction=on; add that first",
                   dev->addr_text);
        return false;
    }
    if (!PCI_FUNC_OF(devfn) && !dev->multifunction && slot_has_others(bus, devfn)) {
        error_setg(errp, "addr=%s: the slot has other functions; give multifunction=on or another addr=",
                   dev->addr_text ? dev->addr_text : "");
        return false;
    }
    dev->devfn = (uint8_t)devfn;
    bus->devices[devfn] = dev;
    return true;
}

static void pci_bus_unplug(Bus *base, Device *device)
{
    PCI_BUS(base)->devices[PCI_DEVICE(device)->devfn] = NULL;
}

static bool pci_bus_is_full(Bus *base)
{
    return find_free_slot(PCI_BUS(base)) < 0;
}

static void pci_bus_class_init(PciBusClass *klass)
{
    klass->bus_class.plug = pci_bus_plug;
    klass->bus_class.unplug = pci_bus_unplug;
    klass->bus_class.is_full = pci_bus_is_full;
}

static void pci_bus_init(PciBus *self)
{
}

PciBus *pci_root_bus_new(const char *name, MemoryRegion *mem, MemoryRegion *io,
                         AddressSpace *dma_as, uint8_t devfn_min)
{
    PciBus *bus = PCI_BUS(bus_new(TYPE_PCI_BUS, NULL, name));

    bus->mem = mem;
    bus->io = io;
    bus->per_function_spaces = !mem;
    bus->dma_as = dma_as;
    bus->devfn_min = devfn_min;
    return bus;
}

void pci_bus_set_irqs(PciBus *bus, unsigned (*map)(PciDevice *dev, unsigned pin), IrqHandler *set,
                      void *opaque, unsigned count)
{
    bus->map_irq = map;
    bus->set_irq = set;
    bus->irq_opaque = opaque;
    bus->irq_line_count = count;
}

PciDevice *pci_bus_device(PciBus *bus, uint8_t devfn)
{
    return bus->devices[devfn];
}
