/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about devices: what there is, adding, removing.
 *
 * Runs in: both programs.
 */
#include "hw/core/device.h"
#include "monitor/commands-int.h"
#include "util/error.h"

static void describe_property(const QomProperty *prop, void *opaque)
{
    JsonNode *fallback = qom_property_default(prop);
    JsonObject *entry;

    if (prop->flags & QOM_PROP_STATE) {
        return;
    }
    entry = json_object_new();
    json_object_set_string_member(entry, "name", prop->name);
    json_object_set_string_member(entry, "type", qom_property_type_name(prop));
    if (prop->description) {
        json_object_set_string_member(entry, "description", prop->description);
    }
    if (fallback) {
        json_object_set_member(entry, "default-value", fallback);
    }
    json_array_add_object_element(opaque, entry);
}

static bool cmd_device_list_properties(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *name = json_object_get_string_member(args, "typename");
    GType type = qom_type_by_name(name);
    JsonArray *list;

    if (!type) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found; qom-list-types lists the types", name);
        return false;
    }
    if (G_TYPE_IS_ABSTRACT(type) || !g_type_is_a(type, TYPE_DEVICE)) {
        error_setg(errp, "Parameter 'typename' expects a non-abstract device type");
        return false;
    }
    list = json_array_new();
    qom_foreach_property(type, describe_property, list);
    *ret_value = node_take_array(list);
    return true;
}

static void device_add_done(Device *dev, const GError *err, void *opaque)
{
    QmpCall *call = opaque;

    qmp_call_finish(call, NULL, err ? g_error_copy(err) : NULL);
}

static bool cmd_device_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    g_autoptr(Options) opts = options_from_json("device_add", args, errp);

    if (!opts) {
        return false;
    }
    qmp_call_defer(call);
    device_add_async(opts, device_add_done, call);
    return true;
}

static bool cmd_device_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return device_del(json_object_get_string_member(args, "id"), errp);
}

const QmpCommandImpl device_commands[] = {
    { "device-list-properties", cmd_device_list_properties },
    { "device_add", cmd_device_add },
    { "device_del", cmd_device_del },
    { NULL },
};
