/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port that tells of crashes.
 *
 * Runs in: mpqemu.
 */
#include "hw/isa/isa-bus.h"
#include "hw/misc/pvpanic.h"
#include "qapi/qapi.h"
#include "system/runstate.h"

typedef struct Pvpanic {
    IsaDevice isa;
    MemoryRegion io;
    uint32_t ioport;
    uint8_t told; /* PVPANIC_* since the reset */
} Pvpanic;

typedef struct PvpanicClass {
    IsaDeviceClass isa_class;
} PvpanicClass;

QOM_DEFINE_TYPE(Pvpanic, pvpanic, "pvpanic", TYPE_ISA_DEVICE, 0)

static void pvpanic_emit(const char *event, const char *action)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "action", action);
    qapi_event_emit(event, data);
}

static MemResult pvpanic_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = PVPANIC_PANICKED | PVPANIC_CRASH_LOADED;
    return MEM_OK;
}

static MemResult pvpanic_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Pvpanic *self = opaque;
    unsigned news = value & (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED) & ~self->told;

    self->told |= news;
    if (news & PVPANIC_CRASH_LOADED) {
        pvpanic_emit("GUEST_CRASHLOADED", "run");
    }
    if (news & PVPANIC_PANICKED) {
        pvpanic_emit("GUEST_PANICKED", "poweroff");
        shutdown_request_for(0, SHUTDOWN_CAUSE_GUEST_PANIC);
    }
    return MEM_OK;
}

static const MemoryRegionOps pvpanic_ops = { pvpanic_read, pvpanic_write, .max_size = 1 };

static const QomProperty pvpanic_properties[] = {
    { "ioport", QOM_PROP_KIND_UINT32, offsetof(Pvpanic, ioport), .max = ISA_PORTS - 1, .default_value = 0x505,
      .description = "I/O port" },
    { NULL },
};

static bool pvpanic_realize(Device *dev, GError **errp)
{
    Pvpanic *self = (Pvpanic *)(void *)dev;

    return isa_add_ports(&self->isa, &self->io, &pvpanic_ops, "pvpanic", self->ioport, 1, errp);
}

static void pvpanic_reset(Device *dev)
{
    ((Pvpanic *)(void *)dev)->told = 0;
}

static void pvpanic_class_init(PvpanicClass *klass)
{
    DeviceClass *device_class = &klass->isa_class.device_class;

    device_class->realize = pvpanic_realize;
    device_class->reset = pvpanic_reset;
    device_class->qom_class.description = "a guest's word that it has crashed";
    qom_class_add_properties(klass, pvpanic_properties);
}

static void pvpanic_init(Pvpanic *self)
{
}
