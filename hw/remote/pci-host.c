/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine's PCI root bus: per-function spaces, and an interrupt line per link.
 *
 * Runs in: qemu-remote.
 *
 * The bus core asks for an interrupt line by function.  Line 0 goes nowhere and is for functions without a link;
 * each link gets a line of its own from 1 on, so two links can never meet on one.
 */
#include "hw/remote/pci-host.h"

#include "util/error.h"

#define LINE_NOWHERE 0

static struct {
    PciBus *bus;
    MemoryRegion no_memory;          /* empty: what a function without a link can reach */
    AddressSpace *no_memory_as;
    uint8_t line[PCI_DEVFN_MAX];     /* interrupt line of each function */
    IoHub *hubs[REMOTE_LINKS_MAX + 1]; /* by line; NULL: free */
} host;

static unsigned remote_pci_map_irq(PciDevice *dev, unsigned pin)
{
    return host.line[dev->devfn];
}

static void remote_pci_set_irq(void *opaque, int line, int level)
{
    IoHub *hub = host.hubs[line];

    if (hub) {
        iohub_set_level(hub, 0, level != 0);
    }
}

PciBus *remote_pci_host_new(void)
{
    g_return_val_if_fail(!host.bus, host.bus);
    memory_region_init(&host.no_memory, NULL, "remote-no-memory", MEMORY_SIZE_WHOLE);
    host.no_memory_as = address_space_new(&host.no_memory, "remote-no-memory");
    host.bus = pci_root_bus_new(REMOTE_PCI_BUS_NAME, NULL, NULL, host.no_memory_as, 0);
    pci_bus_set_irqs(host.bus, remote_pci_map_irq, remote_pci_set_irq, NULL, REMOTE_LINKS_MAX + 1);
    return host.bus;
}

void remote_pci_host_free(void)
{
    bus_free(BUS(host.bus));
    host.bus = NULL;
    address_space_free(host.no_memory_as);
    host.no_memory_as = NULL;
    memory_region_destroy(&host.no_memory);
}

bool remote_pci_host_connect(PciDevice *dev, IoHub *hub, AddressSpace *dma_as, const char *name, GError **errp)
{
    unsigned line = LINE_NOWHERE + 1;

    if (pci_device_bus(dev) != host.bus) {
        error_setg(errp, "device '%s' is not on the bus " REMOTE_PCI_BUS_NAME "; plug it there", name);
        return false;
    }
    if (host.line[dev->devfn] != LINE_NOWHERE) {
        error_setg(errp, "device '%s' is served by another object already; give each object a device of its own",
                   name);
        return false;
    }
    while (line <= REMOTE_LINKS_MAX && host.hubs[line]) {
        line++;
    }
    if (line > REMOTE_LINKS_MAX) {
        error_setg(errp, "device '%s' cannot be served: a process has at most %u links; use another process", name,
                   REMOTE_LINKS_MAX);
        return false;
    }
    host.hubs[line] = hub;
    host.line[dev->devfn] = (uint8_t)line;
    dev->dma.as = dma_as;
    return true;
}

void remote_pci_host_disconnect(PciDevice *dev)
{
    unsigned line = host.line[dev->devfn];

    host.hubs[line] = NULL;
    host.line[dev->devfn] = LINE_NOWHERE;
    dev->dma.as = host.no_memory_as;
}
