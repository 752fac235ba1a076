/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buses.
 * Runs in: both programs.
 */
#include "hw/core/bus.h"
#include "util/error.h"

QOM_DEFINE_TYPE(Bus, bus, "bus", QOM_TYPE_OBJECT, G_TYPE_FLAG_ABSTRACT)

static GPtrArray *all_buses; /* Bus *, in order of creation; no references */

static void bus_finalize(GObject *gobject)
{
    Bus *bus = BUS(gobject);

    g_ptr_array_unref(bus->devices);
    g_free(bus->bus_name);
    G_OBJECT_CLASS(bus_parent_class)->finalize(gobject);
}

static void bus_class_init(BusClass *klass)
{
    ((GObjectClass *)klass)->finalize = bus_finalize;
    klass->qom_class.internal = true;
}

static void bus_init(Bus *self)
{
    self->devices = g_ptr_array_new();
}

Bus *bus_new(GType type, Device *parent, const char *name)
{
    Bus *bus = g_object_new(type, NULL);

    if (!all_buses) {
        all_buses = g_ptr_array_new();
    }
    bus->parent = parent;
    if (name) {
        bus->bus_name = g_strdup(name);
    } else if (parent->id) {
        bus->bus_name = g_strdup_printf("%s.%u", parent->id, parent->buses->len);
    } else {
        g_autofree char *kind = g_ascii_strdown(G_OBJECT_TYPE_NAME(bus), -1);

        bus->bus_name = g_strdup_printf("%s.%u", kind, BUS_GET_CLASS(bus)->unnamed++);
    }
    if (parent) {
        g_ptr_array_add(parent->buses, bus);
    }
    qom_add_child(parent ? QOM_OBJECT(parent) : qom_container("/machine"), bus->bus_name, bus,
                  NULL);
    g_object_unref(bus); /* the tree's reference keeps it */
    g_ptr_array_add(all_buses, bus);
    return bus;
}

void bus_free(Bus *bus)
{
    g_ptr_array_remove(all_buses, bus);
    if (bus->parent) {
        g_ptr_array_remove(bus->parent->buses, bus);
        bus->parent = NULL;
    }
    qom_unparent(bus);
}

Bus *bus_find(const char *name)
{
    QomObject *obj;

    for (guint i = 0; all_buses && i < all_buses->len; i++) {
        Bus *bus = all_buses->pdata[i];

        if (g_str_equal(bus->bus_name, name)) {
            return bus;
        }
    }
    obj = name[0] == '/' ? qom_resolve(name) : NULL;
    return IS_BUS(obj) ? BUS(obj) : NULL;
}

static bool bus_is_full(Bus *bus)
{
    BusClass *klass = BUS_GET_CLASS(bus);

    return klass->is_full && klass->is_full(bus);
}

Bus *bus_find_by_type(GType type, bool *ret_any)
{
    *ret_any = false;
    for (guint i = 0; all_buses && i < all_buses->len; i++) {
        Bus *bus = all_buses->pdata[i];

        if (!g_type_is_a(G_OBJECT_TYPE(bus), type)) {
            continue;
        }
        *ret_any = true;
        if (!bus_is_full(bus)) {
            return bus;
        }
    }
    return NULL;
}

bool bus_exists(Bus *bus)
{
    return all_buses && g_ptr_array_find(all_buses, bus, NULL);
}

void bus_foreach(GType type, void (*fn)(Bus *bus, void *opaque), void *opaque)
{
    for (guint i = 0; all_buses && i < all_buses->len; i++) {
        Bus *bus = all_buses->pdata[i];

        if (g_type_is_a(G_OBJECT_TYPE(bus), type)) {
            fn(bus, opaque);
        }
    }
}

void bus_reset(Bus *bus)
{
    BusClass *klass = BUS_GET_CLASS(bus);

    for (guint i = 0; i < bus->devices->len; i++) {
        device_reset(bus->devices->pdata[i]);
    }
    if (klass->reset) {
        klass->reset(bus);
    }
}
