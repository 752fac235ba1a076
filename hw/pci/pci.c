/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions: realize, BARs, capabilities, INTx, reset.
 * Runs in: both programs.
 */
#include <string.h>
#include "hw/pci/msi.h"
#include "util/error.h"
#include "trace/hw-pci.h"

QOM_DEFINE_TYPE(PciDevice, pci_device, "pci-device", TYPE_DEVICE, G_TYPE_FLAG_ABSTRACT)

#define COMMAND_WRITABLE \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define STATUS_W1C \
    (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT | \
     PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

uint16_t pci_get_word(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

uint32_t pci_get_long(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void pci_set_word(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

void pci_set_long(uint8_t *p, uint32_t value)
{
    pci_set_word(p, (uint16_t)value);
    pci_set_word(p + 2, (uint16_t)(value >> 16));
}

PciBus *pci_device_bus(PciDevice *dev)
{
    return PCI_BUS(dev->dev.parent_bus);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* Header type 0 with the class's ids (PCI 3.0 section 6.1) and the masks of its registers. */
static void init_config(PciDevice *dev, const PciDeviceClass *klass)
{
    uint8_t *config = dev->config;

    pci_set_word(config + PCI_VENDOR_ID, klass->vendor_id);
    pci_set_word(config + PCI_DEVICE_ID, klass->device_id);
    config[PCI_REVISION_ID] = klass->revision;
    config[PCI_CLASS_PROG] = (uint8_t)klass->class_code;
    pci_set_word(config + PCI_CLASS_DEVICE, (uint16_t)(klass->class_code >> 8));
    config[PCI_HEADER_TYPE] = dev->multifunction ? 0x80 : 0x00;
    pci_set_word(config + PCI_SUBSYSTEM_VENDOR_ID, klass->subsystem_vendor_id);
    pci_set_word(config + PCI_SUBSYSTEM_ID, klass->subsystem_id);
    config[PCI_INTERRUPT_PIN] = klass->interrupt_pin;

    pci_set_word(dev->wmask + PCI_COMMAND, COMMAND_WRITABLE);
    pci_set_word(dev->w1cmask + PCI_STATUS, STATUS_W1C);
    dev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    dev->wmask[PCI_LATENCY_TIMER] = 0xff;
    dev->wmask[PCI_INTERRUPT_LINE] = 0xff;
    memset(dev->cap_used, 1, PCI_STD_HEADER_SIZEOF);
}

static void free_config(PciDevice *dev)
{
    g_clear_pointer(&dev->config, g_free);
    g_clear_pointer(&dev->wmask, g_free);
    g_clear_pointer(&dev->w1cmask, g_free);
    g_clear_pointer(&dev->cap_used, g_free);
}

static void unmap_bars(PciDevice *dev)
{
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        PciBar *bar = &dev->bars[i];

        if (bar->space) {
            memory_region_remove(bar->space, bar->mr);
            bar->space = NULL;
            bar->addr = PCI_BAR_UNMAPPED;
        }
    }
}

static void init_spaces(PciDevice *dev)
{
    dma_context_init(&dev->dma, pci_device_bus(dev)->dma_as);
    memory_region_init(&dev->bar_mem, QOM_OBJECT(dev), "pci-function-memory", MEMORY_SIZE_WHOLE);
    memory_region_init(&dev->bar_io, QOM_OBJECT(dev), "pci-function-io", 65536);
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        dev->bars[i] = (PciBar) { .addr = PCI_BAR_UNMAPPED };
    }
}

static void destroy_spaces(PciDevice *dev)
{
    unmap_bars(dev);
    memory_region_destroy(&dev->bar_mem);
    memory_region_destroy(&dev->bar_io);
}

static bool pci_device_realize(Device *device, GError **errp)
{
    PciDevice *dev = PCI_DEVICE(device);
    PciDeviceClass *klass = PCI_DEVICE_GET_CLASS(dev);

    dev->config_size = klass->express ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE;
    dev->config = g_malloc0(dev->config_size);
    dev->wmask = g_malloc0(dev->config_size);
    dev->w1cmask = g_malloc0(dev->config_size);
    dev->cap_used = g_malloc0(dev->config_size);
    init_config(dev, klass);
    init_spaces(dev);
    if (klass->realize && !klass->realize(dev, errp)) {
        msix_uninit(dev);
        destroy_spaces(dev);
        free_config(dev);
        return false;
    }
    return true;
}

static void pci_device_unrealize(Device *device)
{
    PciDevice *dev = PCI_DEVICE(device);
    PciDeviceClass *klass = PCI_DEVICE_GET_CLASS(dev);

    pci_set_irq(dev, 0);
    unmap_bars(dev);
    if (klass->unrealize) {
        klass->unrealize(dev);
    }
    msix_uninit(dev);
    destroy_spaces(dev);
    free_config(dev);
}

static void pci_device_reset(Device *device)
{
    PciDevice *dev = PCI_DEVICE(device);
    PciDeviceClass *klass = PCI_DEVICE_GET_CLASS(dev);

    pci_set_irq(dev, 0);
    pci_set_word(dev->config + PCI_COMMAND, 0);
    dev->config[PCI_CACHE_LINE_SIZE] = 0;
    dev->config[PCI_LATENCY_TIMER] = 0;
    dev->config[PCI_INTERRUPT_LINE] = 0;
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        if (dev->bars[i].size) {
            unsigned offset =
                i == PCI_ROM_SLOT ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4u * (unsigned)i;

            pci_set_long(dev->config + offset, dev->bars[i].type);
            if (dev->bars[i].type & PCI_BASE_ADDRESS_MEM_TYPE_64 && i != PCI_ROM_SLOT) {
                pci_set_long(dev->config + offset + 4, 0);
            }
        }
    }
    pci_update_mappings(dev);
    msi_reset(dev);
    if (klass->reset) {
        klass->reset(dev);
    }
}

static void pci_device_finalize(GObject *gobject)
{
    free_config(PCI_DEVICE(gobject));
    G_OBJECT_CLASS(pci_device_parent_class)->finalize(gobject);
}

static const QomProperty pci_device_properties[] = {
    { "addr", QOM_PROP_KIND_STRING, offsetof(PciDevice, addr_text),
      .description = "slot and optional function, in hex (3 or 3.1)" },
    { "multifunction", QOM_PROP_KIND_BOOL, offsetof(PciDevice, multifunction),
      .description = "other functions may share the slot" },
    { 0 },
};

static void pci_device_class_init(PciDeviceClass *klass)
{
    ((GObjectClass *)klass)->finalize = pci_device_finalize;
    klass->device_class.bus_type = TYPE_PCI_BUS;
    klass->device_class.realize = pci_device_realize;
    klass->device_class.unrealize = pci_device_unrealize;
    klass->device_class.reset = pci_device_reset;
    klass->config_read = pci_default_config_read;
    klass->config_write = pci_default_config_write;
    qom_class_add_properties(klass, pci_device_properties);
}

static void pci_device_init(PciDevice *self)
{
    self->addr = -1;
}

/* ---- BARs ------------------------------------------------------------------------------------ */

void pci_register_bar(PciDevice *dev, unsigned index, uint8_t type, MemoryRegion *mr)
{
    unsigned offset = index == PCI_ROM_SLOT ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * index;
    uint64_t mask = ~(mr->size - 1);

    dev->bars[index] =
        (PciBar) { .size = mr->size, .type = type, .mr = mr, .addr = PCI_BAR_UNMAPPED };
    pci_set_long(dev->config + offset, type);
    if (index == PCI_ROM_SLOT) {
        pci_set_long(dev->wmask + offset, (uint32_t)mask | PCI_ROM_ADDRESS_ENABLE);
        return;
    }
    pci_set_long(dev->wmask + offset, (uint32_t)mask);
    if (!(type & PCI_BASE_ADDRESS_SPACE_IO) && (type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
        pci_set_long(dev->wmask + offset + 4, (uint32_t)(mask >> 32));
    }
}

int pci_find_bar(PciDevice *dev, bool memory, uint64_t addr, unsigned size, uint64_t *ret_offset)
{
    for (int i = 0; i < PCI_NUM_REGIONS; i++) {
        const PciBar *bar = &dev->bars[i];
        bool is_memory = !(bar->type & PCI_BASE_ADDRESS_SPACE_IO);

        if (bar->addr != PCI_BAR_UNMAPPED && is_memory == memory && addr >= bar->addr &&
            addr - bar->addr < bar->size && size <= bar->size - (addr - bar->addr)) {
            *ret_offset = addr - bar->addr;
            return i;
        }
    }
    return -1;
}

/* ---- capabilities ---------------------------------------------------------------------------- */

/* First offset at or after 0x40, aligned to 4, with SIZE free bytes; 0: none. */
static unsigned find_free_capability(PciDevice *dev, unsigned size)
{
    for (unsigned offset = PCI_STD_HEADER_SIZEOF; offset + size <= PCI_CONFIG_SIZE; offset += 4) {
        if (!memchr(dev->cap_used + offset, 1, size)) {
            return offset;
        }
    }
    return 0;
}

uint8_t pci_add_capability(PciDevice *dev, uint8_t cap_id, uint8_t offset, uint8_t size,
                           GError **errp)
{
    unsigned at = offset ? offset : find_free_capability(dev, size);

    if (!at || at + size > PCI_CONFIG_SIZE || memchr(dev->cap_used + at, 1, size)) {
        error_setg(errp, "%s: no room for PCI capability %#x of %u bytes at offset %#x",
                   G_OBJECT_TYPE_NAME(dev), cap_id, size, at);
        return 0;
    }
    memset(dev->cap_used + at, 1, size);
    dev->config[at + PCI_CAP_LIST_ID] = cap_id;
    dev->config[at + PCI_CAP_LIST_NEXT] = dev->config[PCI_CAPABILITY_LIST];
    dev->config[PCI_CAPABILITY_LIST] = (uint8_t)at;
    dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    return (uint8_t)at;
}

/* ---- INTx ------------------------------------------------------------------------------------ */

/* Brings the bus line in step with the function's level and its interrupt disable bit. */
void pci_update_irq(PciDevice *dev)
{
    PciBus *bus = pci_device_bus(dev);
    bool disabled = pci_get_word(dev->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE;
    bool level = dev->irq_level && !disabled;
    unsigned line;

    if (level == dev->irq_delivered || !dev->config[PCI_INTERRUPT_PIN] || !bus->set_irq) {
        return;
    }
    dev->irq_delivered = level;
    line = bus->map_irq(dev, dev->config[PCI_INTERRUPT_PIN] - 1u);
    if (level) {
        if (bus->irq_asserted[line]++ == 0) {
            bus->set_irq(bus->irq_opaque, (int)line, 1);
        }
    } else if (--bus->irq_asserted[line] == 0) {
        bus->set_irq(bus->irq_opaque, (int)line, 0);
    }
}

void pci_set_irq(PciDevice *dev, int level)
{
    if (dev->irq_level == (level != 0)) {
        return;
    }
    dev->irq_level = level != 0;
    trace_pci_set_irq(dev->dev.id ? dev->dev.id : "", dev->irq_level);
    if (dev->irq_level) {
        dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    }
    pci_update_irq(dev);
}
