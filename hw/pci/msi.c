/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MSI and MSI-X.
 * Runs in: both programs.
 */
#include <string.h>
#include "hw/pci/msi.h"
#include "util/error.h"
#include "trace/hw-pci.h"

static void send_message(PciDevice *dev, uint64_t addr, uint32_t data)
{
    PciBus *bus = pci_device_bus(dev);

    trace_pci_msi(dev->dev.id ? dev->dev.id : "", addr, data);
    bus->send_msi(bus->msi_opaque, dev, addr, data);
}

static bool bus_has_msi(PciDevice *dev, GError **errp)
{
    if (pci_device_bus(dev)->send_msi) {
        return true;
    }
    error_setg(errp, "%s: bus '%s' does not deliver message-signalled interrupts; "
               "use a bus that does",
               G_OBJECT_TYPE_NAME(dev), dev->dev.parent_bus->bus_name);
    return false;
}

/* ---- MSI: 64-bit layout, PCI 3.0 section 6.8.1 ----------------------------------------------- */

static uint8_t *msi_reg(const PciDevice *dev, unsigned offset)
{
    return dev->config + dev->msi_cap + offset;
}

static bool msi_maskable(const PciDevice *dev)
{
    return pci_get_word(msi_reg(dev, PCI_MSI_FLAGS)) & PCI_MSI_FLAGS_MASKBIT;
}

/* Vectors that the guest enabled. */
static unsigned msi_vectors(const PciDevice *dev)
{
    return 1u << ((pci_get_word(msi_reg(dev, PCI_MSI_FLAGS)) & PCI_MSI_FLAGS_QSIZE) >> 4);
}

bool msi_init(PciDevice *dev, uint8_t offset, unsigned vectors, bool maskable, GError **errp)
{
    unsigned log2_vectors = (unsigned)__builtin_ctz(vectors);
    uint16_t flags = (uint16_t)(PCI_MSI_FLAGS_64BIT | (log2_vectors << 1) |
                                (maskable ? PCI_MSI_FLAGS_MASKBIT : 0));
    uint8_t size = maskable ? PCI_MSI_PENDING_64 + 4 : PCI_MSI_DATA_64 + 2;
    uint8_t cap;

    if (!bus_has_msi(dev, errp)) {
        return false;
    }
    cap = pci_add_capability(dev, PCI_CAP_ID_MSI, offset, size, errp);
    if (!cap) {
        return false;
    }
    dev->msi_cap = cap;
    pci_set_word(dev->config + cap + PCI_MSI_FLAGS, flags);
    pci_set_word(dev->wmask + cap + PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
    pci_set_long(dev->wmask + cap + PCI_MSI_ADDRESS_LO, 0xfffffffc);
    pci_set_long(dev->wmask + cap + PCI_MSI_ADDRESS_HI, UINT32_MAX);
    pci_set_word(dev->wmask + cap + PCI_MSI_DATA_64, UINT16_MAX);
    if (maskable) {
        pci_set_long(dev->wmask + cap + PCI_MSI_MASK_64, (uint32_t)((1ull << vectors) - 1));
    }
    return true;
}

bool msi_enabled(const PciDevice *dev)
{
    return dev->msi_cap && (pci_get_word(msi_reg(dev, PCI_MSI_FLAGS)) & PCI_MSI_FLAGS_ENABLE);
}

static void msi_send(PciDevice *dev, unsigned vector)
{
    uint64_t addr = pci_get_long(msi_reg(dev, PCI_MSI_ADDRESS_LO)) |
                    (uint64_t)pci_get_long(msi_reg(dev, PCI_MSI_ADDRESS_HI)) << 32;
    uint32_t data = pci_get_word(msi_reg(dev, PCI_MSI_DATA_64));

    /* The function may change the low bits of the data that the enabled vectors need. */
    send_message(dev, addr, (data & ~(msi_vectors(dev) - 1)) | vector);
}

void msi_notify(PciDevice *dev, unsigned vector)
{
    if (!msi_enabled(dev)) {
        return;
    }
    vector %= msi_vectors(dev);
    if (msi_maskable(dev)) {
        uint32_t bit = 1u << vector;

        if (pci_get_long(msi_reg(dev, PCI_MSI_MASK_64)) & bit) {
            pci_set_long(msi_reg(dev, PCI_MSI_PENDING_64),
                         pci_get_long(msi_reg(dev, PCI_MSI_PENDING_64)) | bit);
            return;
        }
    }
    msi_send(dev, vector);
}

static void msi_send_unmasked(PciDevice *dev)
{
    uint32_t pending, ready;

    if (!msi_enabled(dev) || !msi_maskable(dev)) {
        return;
    }
    pending = pci_get_long(msi_reg(dev, PCI_MSI_PENDING_64));
    ready = pending & ~pci_get_long(msi_reg(dev, PCI_MSI_MASK_64));
    pci_set_long(msi_reg(dev, PCI_MSI_PENDING_64), pending & ~ready);
    for (unsigned vector = 0; ready; vector++, ready >>= 1) {
        if (ready & 1) {
            msi_send(dev, vector);
        }
    }
}

/* ---- MSI-X: PCI 3.0 section 6.8.2 ------------------------------------------------------------ */

struct PciMsix {
    PciDevice *dev;
    uint8_t cap;
    unsigned vectors;
    uint8_t *table; /* vectors * MSIX_ENTRY_SIZE bytes */
    uint8_t *pba;   /* one bit a vector, in whole quadwords */
    unsigned pba_size;
    MemoryRegion table_mr;
    MemoryRegion pba_mr;
    MemoryRegion *bar;
};

static bool msix_flag(const PciDevice *dev, uint16_t flag)
{
    return pci_get_word(dev->config + dev->msix->cap + PCI_MSIX_FLAGS) & flag;
}

bool msix_enabled(const PciDevice *dev)
{
    return dev->msix && msix_flag(dev, PCI_MSIX_FLAGS_ENABLE);
}

static bool msix_masked(const PciDevice *dev, unsigned vector)
{
    const uint8_t *entry = dev->msix->table + vector * MSIX_ENTRY_SIZE;

    return msix_flag(dev, PCI_MSIX_FLAGS_MASKALL) ||
           (entry[PCI_MSIX_ENTRY_VECTOR_CTRL] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static void msix_send(PciDevice *dev, unsigned vector)
{
    const uint8_t *entry = dev->msix->table + vector * MSIX_ENTRY_SIZE;
    uint64_t addr = pci_get_long(entry + PCI_MSIX_ENTRY_LOWER_ADDR) |
                    (uint64_t)pci_get_long(entry + PCI_MSIX_ENTRY_UPPER_ADDR) << 32;

    send_message(dev, addr, pci_get_long(entry + PCI_MSIX_ENTRY_DATA));
}

void msix_notify(PciDevice *dev, unsigned vector)
{
    if (!msix_enabled(dev) || vector >= dev->msix->vectors) {
        return;
    }
    if (msix_masked(dev, vector)) {
        dev->msix->pba[vector / 8] |= (uint8_t)(1u << (vector % 8));
    } else {
        msix_send(dev, vector);
    }
}

/* Sends VECTOR when it is pending and no longer masked. */
static void msix_send_unmasked(PciDevice *dev, unsigned vector)
{
    uint8_t bit = (uint8_t)(1u << (vector % 8));

    if (msix_enabled(dev) && (dev->msix->pba[vector / 8] & bit) && !msix_masked(dev, vector)) {
        dev->msix->pba[vector / 8] &= (uint8_t)~bit;
        msix_send(dev, vector);
    }
}

static MemResult msix_table_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    struct PciMsix *msix = opaque;

    *ret_value = pci_get_long(msix->table + addr);
    return MEM_OK;
}

static MemResult msix_table_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    struct PciMsix *msix = opaque;

    pci_set_long(msix->table + addr, (uint32_t)value);
    msix_send_unmasked(msix->dev, (unsigned)addr / MSIX_ENTRY_SIZE);
    return MEM_OK;
}

static MemResult msix_pba_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    struct PciMsix *msix = opaque;

    *ret_value = pci_get_long(msix->pba + addr);
    return MEM_OK;
}

static MemResult msix_pba_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    return MEM_OK; /* read-only for software */
}

static const MemoryRegionOps msix_table_ops = { msix_table_read, msix_table_write, .min_size = 4,
                                                .max_size = 4 };
static const MemoryRegionOps msix_pba_ops = { msix_pba_read, msix_pba_write, .min_size = 4,
                                              .max_size = 4 };

bool msix_init(PciDevice *dev, uint8_t offset, unsigned vectors, MemoryRegion *bar,
               unsigned bar_index, uint32_t table_offset, uint32_t pba_offset, GError **errp)
{
    struct PciMsix *msix;
    uint8_t cap;

    if (!bus_has_msi(dev, errp)) {
        return false;
    }
    cap = pci_add_capability(dev, PCI_CAP_ID_MSIX, offset, PCI_CAP_MSIX_SIZEOF, errp);
    if (!cap) {
        return false;
    }
    msix = g_new0(struct PciMsix, 1);
    msix->dev = dev;
    msix->cap = cap;
    msix->vectors = vectors;
    msix->table = g_malloc0(vectors * MSIX_ENTRY_SIZE);
    msix->pba_size = (vectors + 63) / 64 * 8;
    msix->pba = g_malloc0(msix->pba_size);
    msix->bar = bar;
    dev->msix = msix;
    pci_set_word(dev->config + cap + PCI_MSIX_FLAGS, (uint16_t)(vectors - 1));
    pci_set_word(dev->wmask + cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    pci_set_long(dev->config + cap + PCI_MSIX_TABLE, table_offset | bar_index);
    pci_set_long(dev->config + cap + PCI_MSIX_PBA, pba_offset | bar_index);
    memory_region_init_io(&msix->table_mr, QOM_OBJECT(dev), &msix_table_ops, msix, "msix-table",
                          vectors * MSIX_ENTRY_SIZE);
    memory_region_init_io(&msix->pba_mr, QOM_OBJECT(dev), &msix_pba_ops, msix, "msix-pba",
                          msix->pba_size);
    memory_region_add(bar, table_offset, &msix->table_mr, 1);
    memory_region_add(bar, pba_offset, &msix->pba_mr, 1);
    msi_reset(dev);
    return true;
}

void msix_uninit(PciDevice *dev)
{
    struct PciMsix *msix = dev->msix;

    if (!msix) {
        return;
    }
    memory_region_destroy(&msix->table_mr);
    memory_region_destroy(&msix->pba_mr);
    g_free(msix->table);
    g_free(msix->pba);
    g_free(msix);
    dev->msix = NULL;
}

/* ---- hooks of the core ----------------------------------------------------------------------- */

void msi_config_written(PciDevice *dev)
{
    if (dev->msi_cap) {
        msi_send_unmasked(dev);
    }
    for (unsigned vector = 0; dev->msix && vector < dev->msix->vectors; vector++) {
        msix_send_unmasked(dev, vector);
    }
}

void msi_reset(PciDevice *dev)
{
    if (dev->msi_cap) {
        uint16_t fixed = pci_get_word(msi_reg(dev, PCI_MSI_FLAGS)) &
                         ~(PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);

        pci_set_word(msi_reg(dev, PCI_MSI_FLAGS), fixed);
        if (msi_maskable(dev)) {
            pci_set_long(msi_reg(dev, PCI_MSI_MASK_64), 0);
            pci_set_long(msi_reg(dev, PCI_MSI_PENDING_64), 0);
        }
    }
    if (dev->msix) {
        struct PciMsix *msix = dev->msix;

        pci_set_word(dev->config + msix->cap + PCI_MSIX_FLAGS, (uint16_t)(msix->vectors - 1));
        memset(msix->table, 0, msix->vectors * MSIX_ENTRY_SIZE);
        memset(msix->pba, 0, msix->pba_size);
        for (unsigned vector = 0; vector < msix->vectors; vector++) {
            msix->table[vector * MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] =
                PCI_MSIX_ENTRY_CTRL_MASKBIT;
        }
    }
}
