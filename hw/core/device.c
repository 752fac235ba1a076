/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices: life cycle.
 * Runs in: both programs.
 */
#include "hw/core/bus.h"
#include "hw/core/core-int.h"
#include "util/error.h"
#include "trace/hw-core.h"

QOM_DEFINE_TYPE(Device, device, "device", QOM_TYPE_OBJECT, G_TYPE_FLAG_ABSTRACT)

static void device_finalize(GObject *gobject)
{
    Device *dev = DEVICE(gobject);

    g_ptr_array_unref(dev->buses);
    g_free(dev->id);
    g_free(dev->unplug_blocker);
    G_OBJECT_CLASS(device_parent_class)->finalize(gobject);
}

static const QomProperty device_properties[] = {
    { "realized", QOM_PROP_KIND_BOOL, offsetof(Device, realized),
      .flags = QOM_PROP_READ_ONLY | QOM_PROP_STATE, .description = "at work" },
    { "hotplugged", QOM_PROP_KIND_BOOL, offsetof(Device, hotplugged),
      .flags = QOM_PROP_READ_ONLY | QOM_PROP_STATE, .description = "added while the machine ran" },
    { 0 },
};

static void device_class_init(DeviceClass *klass)
{
    ((GObjectClass *)klass)->finalize = device_finalize;
    klass->category = "Misc";
    klass->hotpluggable = true;
    qom_class_add_properties(klass, device_properties);
}

static void device_init(Device *self)
{
    self->buses = g_ptr_array_new();
}

Device *device_new(GType type)
{
    return g_object_new(type, NULL);
}

bool device_add_to_tree(Device *dev, GError **errp)
{
    static unsigned anonymous;
    g_autofree char *name = NULL;

    if (dev->qom.parent) {
        return true;
    }
    if (dev->id) {
        return qom_add_child(qom_container("/machine/peripheral"), dev->id, dev, errp);
    }
    name = g_strdup_printf("device[%u]", anonymous++);
    return qom_add_child(qom_container("/machine/peripheral-anon"), name, dev, errp);
}

static bool device_plug(Device *dev, Bus *bus, GError **errp)
{
    BusClass *klass = BUS_GET_CLASS(bus);

    if (klass->plug && !klass->plug(bus, dev, errp)) {
        return false;
    }
    dev->parent_bus = bus;
    g_ptr_array_add(bus->devices, dev);
    return true;
}

static void device_unplug(Device *dev)
{
    Bus *bus = dev->parent_bus;
    BusClass *klass;

    if (!bus) {
        return;
    }
    klass = BUS_GET_CLASS(bus);
    g_ptr_array_remove(bus->devices, dev);
    if (klass->unplug) {
        klass->unplug(bus, dev);
    }
    dev->parent_bus = NULL;
}

/* Frees the buses that a failed or undone realize left. */
static void device_free_buses(Device *dev)
{
    while (dev->buses->len) {
        bus_free(dev->buses->pdata[dev->buses->len - 1]);
    }
}

bool device_realize(Device *dev, Bus *bus, GError **errp)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);
    bool was_in_tree = dev->qom.parent != NULL;

    if (!qom_seal(dev, errp) || !device_add_to_tree(dev, errp)) {
        return false;
    }
    if ((bus && !device_plug(dev, bus, errp)) || (klass->realize && !klass->realize(dev, errp))) {
        device_free_buses(dev);
        device_unplug(dev);
        if (!was_in_tree) {
            qom_unparent(dev);
        }
        return false;
    }
    dev->realized = true;
    trace_device_realize(G_OBJECT_TYPE_NAME(dev), dev->id ? dev->id : "");
    if (klass->reset) {
        klass->reset(dev);
    }
    return true;
}

void device_unrealize(Device *dev)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);

    trace_device_unrealize(G_OBJECT_TYPE_NAME(dev), dev->id ? dev->id : "");
    dev->realized = false; /* first: nobody shall find or use a device that is going */
    for (guint i = 0; i < dev->buses->len; i++) {
        Bus *bus = dev->buses->pdata[i];

        while (bus->devices->len) {
            device_unrealize(bus->devices->pdata[bus->devices->len - 1]);
        }
    }
    if (klass->unrealize) {
        klass->unrealize(dev);
    }
    device_free_buses(dev);
    device_unplug(dev);
    qom_unparent(dev);
}

void device_reset(Device *dev)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);

    trace_device_reset(G_OBJECT_TYPE_NAME(dev), dev->id ? dev->id : "");
    if (klass->reset) {
        klass->reset(dev);
    }
    for (guint i = 0; i < dev->buses->len; i++) {
        bus_reset(dev->buses->pdata[i]);
    }
}

Device *device_find(const char *id)
{
    QomObject *obj = qom_child(qom_container("/machine/peripheral"), id);

    return IS_DEVICE(obj) && DEVICE(obj)->realized ? DEVICE(obj) : NULL;
}
