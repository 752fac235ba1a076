/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices from the user's words: -device DRIVER,... and its help.
 * Runs in: both programs.
 */
#include <stdio.h>
#include <string.h>
#include "hw/core/bus.h"
#include "hw/core/core-int.h"
#include "util/error.h"

/* The user-visible second names that users of QEMU type. */
static const struct {
    const char *alias;
    const char *type_name;
} device_aliases[] = {
    { "x-pci-proxy-dev", "pci-proxy-dev" },
    { "lsi", "lsi53c895a" },
};

static GType device_type_by_driver(const char *driver)
{
    GType type;

    for (unsigned i = 0; i < G_N_ELEMENTS(device_aliases); i++) {
        if (g_str_equal(driver, device_aliases[i].alias)) {
            driver = device_aliases[i].type_name;
            break;
        }
    }
    type = qom_type_by_name(driver);
    if (!type || !g_type_is_a(type, TYPE_DEVICE) || G_TYPE_IS_ABSTRACT(type)) {
        return 0;
    }
    return type;
}

static bool device_type_is_internal(GType type)
{
    QomObjectClass *klass = g_type_class_ref(type);
    bool internal = klass->internal;

    g_type_class_unref(klass);
    return internal;
}

static GType device_type_bus(GType type)
{
    DeviceClass *klass = g_type_class_ref(type);
    GType bus_type = klass->bus_type;

    g_type_class_unref(klass);
    return bus_type;
}

/* Finds the bus for a device that needs one of BUS_TYPE; BUS_NAME may be NULL. */
static Bus *find_bus(Options *opts, const char *driver, GType bus_type, const char *bus_name,
                     GError **errp)
{
    const char *wanted = g_type_name(bus_type);
    bool any;
    Bus *bus;

    if (bus_name) {
        bus = bus_find(bus_name);
        if (!bus) {
            error_setg(errp,
                       "%s %s: bus=%s: there is no bus of this name; give the name of a %s bus or "
                       "leave bus= out",
                       options_name(opts), driver, bus_name, wanted);
        } else if (!g_type_is_a(G_OBJECT_TYPE(bus), bus_type)) {
            error_setg(errp, "%s %s: bus=%s is a %s bus; name a %s bus, or leave bus= out",
                       options_name(opts), driver, bus_name, G_OBJECT_TYPE_NAME(bus), wanted);
            bus = NULL;
        }
        return bus;
    }
    bus = bus_find_by_type(bus_type, &any);
    if (!bus && any) {
        error_setg(errp, "%s %s: all %s buses are full; add a controller", options_name(opts),
                   driver, wanted);
    } else if (!bus) {
        error_setg(errp, "%s %s: no '%s' bus found; add a device or machine that has one",
                   options_name(opts), driver, wanted);
    }
    return bus;
}

static bool device_type_is_hotpluggable(GType type)
{
    DeviceClass *klass = g_type_class_ref(type);
    bool hotpluggable = klass->hotpluggable;

    g_type_class_unref(klass);
    return hotpluggable;
}

/* The type that OPTS asks for, or 0 with *errp. */
static GType device_type_from_options(Options *opts, bool hotplug, GError **errp)
{
    const char *driver = options_get(opts, "driver");
    const char *id = options_get(opts, "id");
    GType type = driver ? device_type_by_driver(driver) : 0;

    if (!type || device_type_is_internal(type)) {
        error_setg(errp, "%s: '%s' is not a valid device model name; '%s help' lists them",
                   options_name(opts), driver ? driver : "", options_name(opts));
        return 0;
    }
    if (hotplug && !device_type_is_hotpluggable(type)) {
        error_setg(errp, "Device '%s' does not support hotplugging; give it with -device at the start", driver);
        return 0;
    }
    if (id && !id_wellformed(id)) {
        error_setg(
            errp,
            "%s %s: id=%s is malformed; an id is a letter, then letters, digits, '-', '.', '_'",
            options_name(opts), driver, id);
        return 0;
    }
    return type;
}

char *device_describe(Options *opts)
{
    const char *id = options_get(opts, "id");

    return g_strconcat(options_name(opts), " ", options_get(opts, "driver"), id ? ",id=" : "", id ? id : "", ": ",
                       NULL);
}

void device_prefix_error(Options *opts, GError **errp)
{
    g_autofree char *what = device_describe(opts);

    g_prefix_error(errp, "%s", what);
}

Device *device_new_from_options(Options *opts, bool hotplug, Bus **ret_bus, GError **errp)
{
    static const char *const skip[] = { "driver", "id", "bus", NULL };
    GType type = device_type_from_options(opts, hotplug, errp);
    const char *driver = options_get(opts, "driver");
    const char *bus_name = options_get(opts, "bus");
    g_autoptr(GObject) gobject = NULL;
    GType bus_type;

    if (!type) {
        return NULL;
    }
    *ret_bus = NULL;
    bus_type = device_type_bus(type);
    if (bus_type) {
        *ret_bus = find_bus(opts, driver, bus_type, bus_name, errp);
        if (!*ret_bus) {
            return NULL;
        }
    } else if (bus_name) {
        error_setg(errp, "%s %s: bus=%s: the device takes no bus; leave bus= out",
                   options_name(opts), driver, bus_name);
        return NULL;
    }
    gobject = G_OBJECT(device_new(type));
    DEVICE(gobject)->id = g_strdup(options_get(opts, "id"));
    if (!qom_set_options(gobject, opts, skip, errp)) {
        device_prefix_error(opts, errp);
        return NULL;
    }
    return DEVICE(g_steal_pointer(&gobject));
}

Device *device_add(Options *opts, GError **errp)
{
    Bus *bus;
    g_autoptr(GObject) gobject = (GObject *)device_new_from_options(opts, false, &bus, errp);

    if (!gobject) {
        return NULL;
    }
    if (!device_realize(DEVICE(gobject), bus, errp)) {
        device_prefix_error(opts, errp);
        return NULL;
    }
    return DEVICE(gobject); /* the tree's reference keeps it */
}

static void print_device_list(void)
{
    unsigned count;
    g_autofree GType *types = qom_types_of(TYPE_DEVICE, &count);
    g_autoptr(GHashTable) done = g_hash_table_new(g_str_hash, g_str_equal);

    for (unsigned i = 0; i < count; i++) {
        DeviceClass *heading = g_type_class_ref(types[i]);

        if (!heading->qom_class.internal && g_hash_table_add(done, (gpointer)heading->category)) {
            printf("%s%s devices:\n", g_hash_table_size(done) > 1 ? "\n" : "", heading->category);
            for (unsigned j = i; j < count; j++) {
                DeviceClass *klass = g_type_class_ref(types[j]);

                if (!klass->qom_class.internal && g_str_equal(klass->category, heading->category)) {
                    printf("name \"%s\"", g_type_name(types[j]));
                    if (klass->bus_type) {
                        printf(", bus %s", g_type_name(klass->bus_type));
                    }
                    if (klass->qom_class.description) {
                        printf(", desc \"%s\"", klass->qom_class.description);
                    }
                    putchar('\n');
                }
                g_type_class_unref(klass);
            }
        }
        g_type_class_unref(heading);
    }
}

bool device_print_help(const char *arg)
{
    g_auto(GStrv) parts = g_strsplit(arg, ",", -1);
    GType type;

    if (parts[0] && (g_str_equal(parts[0], "help") || g_str_equal(parts[0], "?"))) {
        print_device_list();
        return true;
    }
    if (!parts[0] || !g_strv_contains((const char *const *)parts + 1, "help")) {
        return false;
    }
    type = device_type_by_driver(parts[0]);
    if (!type) {
        return false; /* device_add() tells what is wrong */
    }
    qom_print_properties(type);
    return true;
}
