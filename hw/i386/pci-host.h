/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The i440FX-class PCI host bridge.
 *
 * Thread: main thread at start-up; the registers answer in any thread.  Runs in: mpqemu.
 */
#ifndef HW_I386_PCI_HOST_H
#define HW_I386_PCI_HOST_H

#include "hw/pci/pci.h"

typedef struct PciHost PciHost;

/*
 * Puts the config mechanism for BUS at 0xcf8 and 0xcfc of IO, and the bridge's own function at
 * 00:00.0.  Lives as long as the program.
 */
bool pci_host_init(PciBus *bus, MemoryRegion *io, GError **errp);

#endif
