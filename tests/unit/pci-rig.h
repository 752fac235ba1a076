/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI bus with guest RAM and one function, for unit tests and fuzz targets of devices.
 * Thread: the test's, with the machine lock held.  Runs in: tests
 *
 * The function gets its BARs mapped as firmware would, each at a multiple of PCI_RIG_BAR_STEP above PCI_RIG_MMIO
 * (memory) or PCI_RIG_IO, and may decode and master the bus.  Both spaces are the owner's: more may be added to
 * `root_mem`.
 */
#ifndef TESTS_UNIT_PCI_RIG_H
#define TESTS_UNIT_PCI_RIG_H

#include "hw/pci/pci.h"

#define PCI_RIG_IO 0xc000u
#define PCI_RIG_MMIO 0x10000000u
#define PCI_RIG_BAR_STEP 0x2000u /* of memory BARs; larger ones are aligned to their size */

typedef struct PciRig {
    RamBlock *block;       /* guest RAM, at address 0 */
    uint8_t *ram;
    uint64_t ram_size;
    MemoryRegion root_mem, root_io, ram_region;
    AddressSpace *mem, *io;
    PciBus *bus;
    PciDevice *dev;        /* NULL: not plugged */
    int irq;               /* level of its INTx line */
    unsigned irq_edges;    /* times it went up */
} PciRig;

/* Takes the machine lock.  A failure is fatal to the test. */
void pci_rig_init(PciRig *rig, uint64_t ram_size);

/* Plugs a new function of TYPE and maps it. */
PciDevice *pci_rig_plug(PciRig *rig, GType type);

/* Maps the function's BARs as pci_rig_plug() did, after a reset. */
void pci_rig_map(PciRig *rig);

/* Takes the function away, and all below it. */
void pci_rig_unplug(PciRig *rig);

/* Unplugs, frees everything and gives up the machine lock. */
void pci_rig_cleanup(PciRig *rig);

/* Turns the event loop until nothing is left to do, at most 1000 times. */
void pci_rig_settle(void);

#endif
