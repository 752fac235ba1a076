/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host bridge's function i440FX.
 *
 * Runs in: mpqemu.  The manual is hw/i386/i440fx.h.
 *
 * Theory of operation.  Each segment has two regions, an alias of RAM and one whose callbacks take reads and writes to
 * different places; at most one is enabled, and PCI memory is what shows when none is.
 */
#include "hw/i386/i440fx.h"

#include "hw/i386/pc.h"

#define SMRAM_BASE 0xa0000u
#define SMRAM_SIZE 0x20000u
#define SMRAM_SEGMENT_A 0x02u /* C_BASE_SEG: hardwired */
#define SEGMENT_SMALL 0x4000u
#define SEGMENT_LAST 0x10000u

typedef struct Segment {
    I440fx *bridge;
    hwaddr base;
    MemoryRegion ram;
    MemoryRegion split;
} Segment;

struct I440fx {
    PciDevice pci;
    MemoryRegion *ram;
    MemoryRegion *pci_memory;
    AddressSpace *pci_space; /* reads and writes of split segments; made when first needed */
    AddressSpace *ram_space;
    Segment segments[I440FX_PAM_SEGMENTS];
    MemoryRegion smram;
};

typedef struct I440fxClass {
    PciDeviceClass pci_class;
} I440fxClass;

QOM_DEFINE_TYPE(I440fx, i440fx, "i440FX", TYPE_PCI_DEVICE, 0)

static I440fx *bridge_of(PciDevice *dev)
{
    return (I440fx *)dev;
}

/* ---- split segments -------------------------------------------------------------------------- */

static MemResult split_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Segment *segment = opaque;

    return address_space_read(segment->bridge->pci_space, segment->base + addr, ret_value, size);
}

static MemResult split_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Segment *segment = opaque;

    return address_space_write(segment->bridge->ram_space, segment->base + addr, value, size);
}

/* `unlocked`, as what is behind it may be. */
static const MemoryRegionOps split_ops = {
    .read = split_read,
    .write = split_write,
    .unaligned = true,
    .unlocked = true,
};

/* ---- registers ------------------------------------------------------------------------------- */

/* The two bits of segment N: 12 is the one at 0xf0000. */
static unsigned segment_bits(const I440fx *bridge, unsigned n)
{
    const uint8_t *pam = bridge->pci.config + I440FX_PAM0;
    unsigned half = n == 12 ? pam[0] >> 4 : pam[1 + n / 2] >> (4 * (n & 1));

    return half & (I440FX_PAM_READ | I440FX_PAM_WRITE);
}

static void i440fx_update(I440fx *bridge)
{
    uint8_t smram = bridge->pci.config[I440FX_SMRAM];

    memory_transaction_begin();
    for (unsigned n = 0; n < I440FX_PAM_SEGMENTS; n++) {
        Segment *segment = &bridge->segments[n];
        unsigned bits = segment_bits(bridge, n);

        if (bits == I440FX_PAM_WRITE && !bridge->pci_space) {
            bridge->pci_space = address_space_new(bridge->pci_memory, "pci-memory");
            bridge->ram_space = address_space_new(bridge->ram, "ram");
        }
        memory_region_set_readonly(&segment->ram, !(bits & I440FX_PAM_WRITE));
        memory_region_set_enabled(&segment->ram, bits & I440FX_PAM_READ);
        memory_region_set_enabled(&segment->split, bits == I440FX_PAM_WRITE);
    }
    memory_region_set_enabled(&bridge->smram, (smram & (I440FX_SMRAM_ENABLE | I440FX_SMRAM_OPEN)) ==
                                                  (I440FX_SMRAM_ENABLE | I440FX_SMRAM_OPEN) &&
                                              !(smram & I440FX_SMRAM_CLOSE));
    memory_transaction_commit();
}

static void i440fx_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size)
{
    uint8_t *smram = dev->config + I440FX_SMRAM;

    pci_default_config_write(dev, addr, value, size);
    if (*smram & I440FX_SMRAM_LOCK) {
        *smram &= (uint8_t)~I440FX_SMRAM_OPEN;
        dev->wmask[I440FX_SMRAM] = I440FX_SMRAM_ENABLE | I440FX_SMRAM_CLOSE;
    }
    if (addr <= I440FX_SMRAM && addr + size > I440FX_PAM0) {
        i440fx_update(bridge_of(dev));
    }
}

static void i440fx_reset(PciDevice *dev)
{
    for (unsigned reg = I440FX_PAM0; reg <= I440FX_PAM0 + 6; reg++) {
        dev->config[reg] = 0;
    }
    dev->config[I440FX_SMRAM] = SMRAM_SEGMENT_A;
    dev->wmask[I440FX_SMRAM] = I440FX_SMRAM_ENABLE | I440FX_SMRAM_LOCK | I440FX_SMRAM_CLOSE | I440FX_SMRAM_OPEN;
    i440fx_update(bridge_of(dev));
}

void i440fx_open_ram(I440fx *bridge)
{
    bridge->pci.config[I440FX_PAM0] = 0x30;
    for (unsigned reg = I440FX_PAM1; reg < I440FX_PAM1 + 6; reg++) {
        bridge->pci.config[reg] = 0x33;
    }
    i440fx_update(bridge);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static bool i440fx_realize(PciDevice *dev, GError **errp)
{
    dev->wmask[I440FX_PAM0] = 0x30;
    for (unsigned reg = I440FX_PAM1; reg < I440FX_PAM1 + 6; reg++) {
        dev->wmask[reg] = 0x33;
    }
    return true;
}

static void i440fx_class_init(I440fxClass *klass)
{
    klass->pci_class.vendor_id = 0x8086;
    klass->pci_class.device_id = 0x1237;
    klass->pci_class.revision = 2;
    klass->pci_class.class_code = 0x060000; /* host bridge */
    klass->pci_class.realize = i440fx_realize;
    klass->pci_class.reset = i440fx_reset;
    klass->pci_class.config_write = i440fx_config_write;
    klass->pci_class.device_class.qom_class.internal = true;
    klass->pci_class.device_class.hotpluggable = false;
}

static void i440fx_init(I440fx *self)
{
}

/* Before the first reset, which enables what shows. */
static void add_regions(I440fx *bridge, MemoryRegion *memory)
{
    for (unsigned n = 0; n < I440FX_PAM_SEGMENTS; n++) {
        Segment *segment = &bridge->segments[n];
        uint64_t size = n == 12 ? SEGMENT_LAST : SEGMENT_SMALL;

        segment->bridge = bridge;
        segment->base = I440FX_PAM_BASE + n * SEGMENT_SMALL;
        memory_region_init_alias(&segment->ram, NULL, "pam-ram", bridge->ram, segment->base, size);
        memory_region_init_io(&segment->split, NULL, &split_ops, segment, "pam-split", size);
        memory_region_set_enabled(&segment->ram, false);
        memory_region_set_enabled(&segment->split, false);
        memory_region_add(memory, segment->base, &segment->ram, 0);
        memory_region_add(memory, segment->base, &segment->split, 0);
    }
    memory_region_init_alias(&bridge->smram, NULL, "smram", bridge->ram, SMRAM_BASE, SMRAM_SIZE);
    memory_region_set_enabled(&bridge->smram, false);
    memory_region_add(memory, SMRAM_BASE, &bridge->smram, 0);
}

I440fx *i440fx_new(PciBus *bus, MemoryRegion *memory, MemoryRegion *ram, MemoryRegion *pci_memory, GError **errp)
{
    g_autoptr(GObject) object = G_OBJECT(device_new(i440fx_get_type()));
    I440fx *bridge = (I440fx *)object;

    bridge->ram = ram;
    bridge->pci_memory = pci_memory;
    add_regions(bridge, memory);
    bridge->pci.addr = PCI_DEVFN_OF(0, 0);
    if (!qom_add_child(qom_container("/machine/unattached"), "i440FX", object, errp) ||
        !device_realize(DEVICE(object), BUS(bus), errp)) {
        return NULL;
    }
    return bridge; /* the tree's reference keeps it */
}
