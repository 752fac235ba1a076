/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA bus: who has which ports.
 *
 * Runs in: mpqemu.
 */
#include "hw/isa/isa-bus.h"
#include "util/error.h"

typedef struct IsaRange {
    const char *name;
    Device *owner;    /* NULL, and no region: the board's */
    MemoryRegion *mr;
    uint32_t base;
    uint32_t last;
} IsaRange;

QOM_DEFINE_TYPE(IsaBus, isa_bus, "ISA", TYPE_BUS, 0)
QOM_DEFINE_TYPE(IsaDevice, isa_device, "isa-device", TYPE_DEVICE, G_TYPE_FLAG_ABSTRACT)

IsaBus *isa_bus_new(Device *parent, MemoryRegion *io, IrqHandler *set_irq, void *opaque)
{
    IsaBus *bus = ISA_BUS(bus_new(TYPE_ISA_BUS, parent, "isa.0"));

    bus->io = io;
    bus->irqs = irq_new_lines(set_irq, opaque, ISA_IRQS);
    return bus;
}

IrqLine *isa_bus_irq(IsaBus *bus, unsigned n)
{
    return bus->irqs[n];
}

IsaBus *isa_device_bus(IsaDevice *dev)
{
    return ISA_BUS(dev->dev.parent_bus);
}

bool isa_add_ports(IsaDevice *dev, MemoryRegion *mr, const MemoryRegionOps *ops, const char *name, uint32_t base,
                   uint32_t count, GError **errp)
{
    IsaBus *bus = isa_device_bus(dev);
    IsaRange own = { G_OBJECT_TYPE_NAME(dev), DEVICE(dev), mr, base, base + count - 1 };

    if (base >= ISA_PORTS || count > ISA_PORTS - base) {
        error_setg(errp, "I/O port 0x%x: %u ports do not fit there, 0x%x is the last; choose a lower one", base, count,
                   ISA_PORTS - 1);
        return false;
    }
    for (guint i = 0; i < bus->ranges->len; i++) {
        IsaRange *other = &g_array_index(bus->ranges, IsaRange, i);

        if (own.base <= other->last && other->base <= own.last) {
            error_setg(errp, "I/O ports 0x%x to 0x%x: '%s' has 0x%x to 0x%x; choose others", own.base, own.last,
                       other->name, other->base, other->last);
            return false;
        }
    }
    g_array_append_val(bus->ranges, own);
    memory_region_init_io(mr, QOM_OBJECT(dev), ops, dev, name, count);
    memory_region_add(bus->io, base, mr, 0);
    return true;
}

void isa_reserve_ports(IsaBus *bus, const char *name, uint32_t base, uint32_t count)
{
    IsaRange range = { name, NULL, NULL, base, base + count - 1 };

    g_array_append_val(bus->ranges, range);
}

/* BusClass.unplug: behind the device's unrealize, and when its realize has failed. */
static void isa_bus_unplug(Bus *parent, Device *dev)
{
    IsaBus *bus = ISA_BUS(parent);

    for (guint i = bus->ranges->len; i-- > 0;) {
        IsaRange *range = &g_array_index(bus->ranges, IsaRange, i);

        if (range->owner == dev) {
            memory_region_destroy(range->mr);
            g_array_remove_index(bus->ranges, i);
        }
    }
}

bool isa_realize_board_device(IsaBus *bus, void *dev, const char *name, GError **errp)
{
    g_autoptr(GObject) owned = dev;

    if (!qom_add_child(qom_container("/machine/unattached"), name, owned, errp)) {
        return false;
    }
    if (!device_realize(DEVICE(owned), BUS(bus), errp)) {
        qom_unparent(owned);
        return false;
    }
    return true;
}

static void isa_bus_finalize(GObject *gobject)
{
    IsaBus *bus = ISA_BUS(gobject);

    irq_free_lines(bus->irqs, ISA_IRQS);
    g_array_unref(bus->ranges);
    G_OBJECT_CLASS(isa_bus_parent_class)->finalize(gobject);
}

static void isa_bus_class_init(IsaBusClass *klass)
{
    ((GObjectClass *)klass)->finalize = isa_bus_finalize;
    klass->bus_class.unplug = isa_bus_unplug;
}

static void isa_bus_init(IsaBus *self)
{
    self->ranges = g_array_new(false, false, sizeof(IsaRange));
}

static void isa_device_class_init(IsaDeviceClass *klass)
{
    klass->device_class.bus_type = TYPE_ISA_BUS;
    klass->device_class.hotpluggable = false;
}

static void isa_device_init(IsaDevice *self)
{
}
