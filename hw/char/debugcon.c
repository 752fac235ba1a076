/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "isa-debugcon": an I/O port that shows what is written to it, for firmware's messages.
 *
 * Runs in: mpqemu.
 *
 * The guest knows the port by its reading as 0xe9.  It cannot wait: what the backend does not take is lost.
 */
#include "hw/char/debugcon.h"
#include "hw/isa/isa-bus.h"

#define READBACK 0xe9u

typedef struct DebugCon {
    IsaDevice isa;
    MemoryRegion port;
    Chardev *chr;
    char *chardev;
    uint32_t iobase;
} DebugCon;

typedef struct DebugConClass {
    IsaDeviceClass isa_class;
} DebugConClass;

QOM_DEFINE_TYPE(DebugCon, debugcon, "isa-debugcon", TYPE_ISA_DEVICE, 0)

static MemResult port_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = READBACK;
    return MEM_OK;
}

static MemResult port_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    uint8_t byte = (uint8_t)value;

    chardev_write(((DebugCon *)opaque)->chr, &byte, 1);
    return MEM_OK;
}

static const MemoryRegionOps port_ops = {
    .read = port_read,
    .write = port_write,
    .max_size = 1,
};

static bool debugcon_realize(Device *dev, GError **errp)
{
    static const ChardevOps ops = { NULL };
    DebugCon *self = (DebugCon *)(void *)dev;

    self->chr = chardev_attach(self->chardev, &ops, self, errp);
    if (!self->chr) {
        return false;
    }
    if (!isa_add_ports(ISA_DEVICE(dev), &self->port, &port_ops, "debugcon", self->iobase, 1, errp)) {
        chardev_detach(g_steal_pointer(&self->chr));
        return false;
    }
    return true;
}

static void debugcon_unrealize(Device *dev)
{
    chardev_detach(g_steal_pointer(&((DebugCon *)(void *)dev)->chr));
}

static const QomProperty debugcon_properties[] = {
    { .name = "chardev", .kind = QOM_PROP_KIND_STRING, .offset = offsetof(DebugCon, chardev),
      .flags = QOM_PROP_REQUIRED, .description = "id of the -chardev that shows it" },
    { .name = "iobase", .kind = QOM_PROP_KIND_UINT32, .offset = offsetof(DebugCon, iobase), .max = ISA_PORTS - 1,
      .default_value = READBACK, .description = "its I/O port" },
    { .name = NULL },
};

static void debugcon_class_init(DebugConClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = debugcon_realize;
    device_class->unrealize = debugcon_unrealize;
    device_class->category = "Misc";
    device_class->qom_class.description = "port for messages of firmware";
    qom_class_add_properties(klass, debugcon_properties);
}

static void debugcon_init(DebugCon *self)
{
}
