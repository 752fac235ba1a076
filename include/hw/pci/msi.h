/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Message-signalled interrupts of a PCI function: MSI and MSI-X (PCI 3.0 section 6.8).
 *
 * Thread: with the machine lock held.  Runs in: both programs.
 *
 * A masked vector is kept pending and sent when it is unmasked.  On a bus that cannot deliver
 * messages (PciBus.send_msi is NULL) the init functions fail and the device uses INTx alone.
 */
#ifndef HW_PCI_MSI_H
#define HW_PCI_MSI_H

#include "hw/pci/pci.h"

#define MSI_VECTORS_MAX 32
#define MSIX_VECTORS_MAX 2048
#define MSIX_ENTRY_SIZE 16u

/*
 * Adds the MSI capability at OFFSET (0 chooses) with VECTORS (a power of two up to 32), 64-bit
 * addresses, and per-vector masks when MASKABLE.  In realize.
 */
bool msi_init(PciDevice *dev, uint8_t offset, unsigned vectors, bool maskable, GError **errp);
bool msi_enabled(const PciDevice *dev);

/* Raises VECTOR (cut to the number the guest enabled).  Nothing while MSI is off. */
void msi_notify(PciDevice *dev, unsigned vector);

/*
 * Adds the MSI-X capability for VECTORS entries.  The table is placed at TABLE_OFFSET and the
 * pending bits at PBA_OFFSET (both multiples of 8, inside) of BAR, a region that the device
 * registers as BAR number BAR_INDEX.  In realize.
 */
bool msix_init(PciDevice *dev, uint8_t offset, unsigned vectors, MemoryRegion *bar,
               unsigned bar_index, uint32_t table_offset, uint32_t pba_offset, GError **errp);
void msix_uninit(PciDevice *dev); /* in unrealize; accepts a device without */
bool msix_enabled(const PciDevice *dev);
void msix_notify(PciDevice *dev, unsigned vector);

/* The core calls these after a config write and on reset. */
void msi_config_written(PciDevice *dev);
void msi_reset(PciDevice *dev);

#endif
