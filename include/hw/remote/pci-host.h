/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote machine's PCI host bridge and root bus.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * The bus is called "remote-pci", as in a stock remote, for the user's bus= property.  It has no memory, no I/O
 * ports and no config mechanism of its own: every function has its own BAR spaces, and is reached by the link server
 * that serves it only.  A function without a link can reach no memory, and nobody hears its interrupts.
 */
#ifndef HW_REMOTE_PCI_HOST_H
#define HW_REMOTE_PCI_HOST_H

#include "hw/pci/pci.h"
#include "hw/remote/iohub.h"

#define REMOTE_PCI_BUS_NAME "remote-pci"

/* Links of one process: the bus has 64 interrupt lines, of which one is for functions without a link. */
#define REMOTE_LINKS_MAX 63u

/* Makes the bus; once, before any device. */
PciBus *remote_pci_host_new(void);

/* Frees it, after its devices. */
void remote_pci_host_free(void);

/*
 * Joins DEV, a function on the bus, to a link's interrupt hub and memory.  Refused for a device that is joined already
 * (NAME is for the message), that is not on this bus, and when REMOTE_LINKS_MAX are.
 */
bool remote_pci_host_connect(PciDevice *dev, IoHub *hub, AddressSpace *dma_as, const char *name, GError **errp);

/* Undoes it; DEV must have been reset, so that it drives no interrupt. */
void remote_pci_host_disconnect(PciDevice *dev);

#endif
