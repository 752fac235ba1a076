/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port that ends the program.
 *
 * Runs in: mpqemu.
 */
#include "hw/isa/isa-bus.h"
#include "hw/misc/debugexit.h"
#include "system/runstate.h"

typedef struct DebugExit {
    IsaDevice isa;
    MemoryRegion io;
    uint32_t iobase;
    uint32_t iosize;
} DebugExit;

typedef struct DebugExitClass {
    IsaDeviceClass isa_class;
} DebugExitClass;

QOM_DEFINE_TYPE(DebugExit, debug_exit, "isa-debug-exit", TYPE_ISA_DEVICE, 0)

static MemResult debug_exit_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0;
    return MEM_OK;
}

static MemResult debug_exit_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    shutdown_request_for((int)((value << 1 | 1) & 0xff), SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    return MEM_OK;
}

static const MemoryRegionOps debug_exit_ops = { debug_exit_read, debug_exit_write, .max_size = 4, .unaligned = true };

static const QomProperty debug_exit_properties[] = {
    { "iobase", QOM_PROP_KIND_UINT32, offsetof(DebugExit, iobase), .max = ISA_PORTS - 1, .default_value = 0x501,
      .description = "first I/O port" },
    { "iosize", QOM_PROP_KIND_UINT32, offsetof(DebugExit, iosize), .min = 1, .max = 4, .default_value = 2,
      .description = "number of I/O ports, 1 to 4" },
    { NULL },
};

static bool debug_exit_realize(Device *dev, GError **errp)
{
    DebugExit *self = (DebugExit *)(void *)dev;

    return isa_add_ports(&self->isa, &self->io, &debug_exit_ops, "isa-debug-exit", self->iobase, self->iosize, errp);
}

static void debug_exit_class_init(DebugExitClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = debug_exit_realize;
    device_class->qom_class.description = "ends the program with a status that the guest gives";
    qom_class_add_properties(klass, debug_exit_properties);
}

static void debug_exit_init(DebugExit *self)
{
}
