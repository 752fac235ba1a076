/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI host bridge's config mechanism.  Its function at 00:00.0 is hw/i386/i440fx.h.
 *
 * Thread: main thread at start-up; the registers answer in any thread.  Runs in: mpqemu.
 */
#ifndef HW_I386_PCI_HOST_H
#define HW_I386_PCI_HOST_H

#include "hw/pci/pci.h"

typedef struct PciHost PciHost;

/* Puts the config mechanism for BUS at 0xcf8 and 0xcfc of IO.  Lives as long as the program. */
PciHost *pci_host_new(PciBus *bus, MemoryRegion *io);

/* The address register's state after power-on: nothing is selected.  Machine lock held. */
void pci_host_reset(PciHost *host);

/*
 * RESET_CONTROL, a region of one byte, answers to byte accesses at 0xcf9, inside the config mechanism's double word.
 * Before the guest runs.
 */
void pci_host_set_reset_control(PciHost *host, MemoryRegion *reset_control);

#endif
