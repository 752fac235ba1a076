/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A.
 *
 * Runs in: mpqemu.
 */
#include "hw/misc/port92.h"

#define PORT92_PORT 0x92u
#define PORT92_RESET 0x01u
#define PORT92_A20 0x02u

QOM_DEFINE_TYPE(Port92, port92, "port92", TYPE_ISA_DEVICE, 0)

static MemResult port92_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Port92 *port = opaque;

    *ret_value = port->value;
    return MEM_OK;
}

static MemResult port92_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Port92 *port = opaque;
    bool reset = (value & PORT92_RESET) && !(port->value & PORT92_RESET);

    port->value = value & (PORT92_RESET | PORT92_A20);
    if (reset && port->reset != NULL) {
        port->reset(port->reset_opaque);
    }
    return MEM_OK;
}

static const MemoryRegionOps port92_ops = { port92_read, port92_write, .max_size = 1 };

Port92 *port92_create(IsaBus *bus, IsaResetRequest *reset, void *opaque, GError **errp)
{
    Port92 *port = PORT92(device_new(TYPE_PORT92));

    port->reset = reset;
    port->reset_opaque = opaque;
    return isa_realize_board_device(bus, port, "port92", errp) ? port : NULL;
}

static bool port92_realize(Device *dev, GError **errp)
{
    Port92 *port = PORT92(dev);

    return isa_add_ports(&port->isa, &port->io, &port92_ops, "port92", PORT92_PORT, 1, errp);
}

static void port92_device_reset(Device *dev)
{
    PORT92(dev)->value = PORT92_A20;
}

static void port92_class_init(Port92Class *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = port92_realize;
    device_class->reset = port92_device_reset;
    device_class->qom_class.internal = true;
}

static void port92_init(Port92 *self)
{
}
