/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: devices, objects, the object tree.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include <errno.h>
#include <string.h>
#include "hw/core/device.h"
#include "util/json-stream.h"

/* ---- help on types ------------------------------------------------------------------------------- */

static void print_type(HmpSession *hmp, GType type)
{
    QomObjectClass *klass = g_type_class_ref(type);

    if (!klass->internal) {
        hmp_printf(hmp, "name \"%s\"%s%s\n", g_type_name(type), klass->description ? ", desc " : "",
                   klass->description ? klass->description : "");
    }
    g_type_class_unref(klass);
}

static void print_type_property(const QomProperty *prop, void *opaque)
{
    hmp_printf(opaque, "  %s%s%s\n", prop->name, prop->description ? " - " : "",
               prop->description ? prop->description : "");
}

bool hmp_help_on_types(HmpSession *hmp, const char *args, GType base)
{
    g_autofree char *name = g_strndup(args, strcspn(args, ","));
    GType type = qom_type_by_name(name);
    g_autofree GType *types = NULL;
    unsigned count;

    if (g_str_equal(args, "help") || g_str_equal(args, "?")) {
        types = qom_types_of(base, &count);
        for (unsigned i = 0; i < count; i++) {
            print_type(hmp, types[i]);
        }
        return true;
    }
    if (!g_str_has_suffix(args, ",help") || !type || !g_type_is_a(type, base)) {
        return false;
    }
    hmp_printf(hmp, "%s options:\n", name);
    qom_foreach_property(type, print_type_property, hmp);
    return true;
}

/* ---- devices, objects ---------------------------------------------------------------------------- */

/* Runs the row's QMP command with the options ARGS; help is about the types derived from BASE. */
static void run_options(HmpSession *hmp, const char *args, const char *implied_key, GType base)
{
    const HmpCommand *row = hmp_session_command(hmp);
    g_autoptr(Options) opts = NULL;

    if (hmp_help_on_types(hmp, args, base)) {
        return;
    }
    opts = hmp_options(hmp, row->name, args, implied_key);
    if (opts) {
        hmp_qmp(hmp, row->qmp, hmp_options_to_json(opts), NULL);
    }
}

static void run_device_add(HmpSession *hmp, const char *args)
{
    run_options(hmp, args, "driver", TYPE_DEVICE);
}

static void run_object_add(HmpSession *hmp, const char *args)
{
    run_options(hmp, args, "qom-type", QOM_TYPE_USER_CREATABLE);
}

static void run_del(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "id", NULL };

    hmp_run_words(hmp, args, members, NULL);
}

/* ---- the object tree --------------------------------------------------------------------------- */

static void print_property(HmpSession *hmp, JsonObject *obj)
{
    hmp_printf(hmp, "%s (%s)\n", hmp_json_str(obj, "name"), hmp_json_str(obj, "type"));
}

static void print_qom_list(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_property);
}

static void run_qom_list(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "path", NULL };

    hmp_run_words(hmp, *args ? args : "/", members, print_qom_list);
}

static void print_value(HmpSession *hmp, JsonNode *value)
{
    g_autofree char *text = value ? json_text(value, true) : NULL;

    hmp_printf(hmp, "%s\n", text ? text : "{}");
}

static void run_qom_get(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "path", "property", NULL };

    hmp_run_words(hmp, args, members, print_value);
}

/* A word that is a whole number of 64 bits, true or false is that; anything else is text. */
static JsonNode *value_of_word(const char *word)
{
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    gint64 number;
    char *end;

    if (g_str_equal(word, "true") || g_str_equal(word, "false")) {
        json_node_set_boolean(node, *word == 't');
        return node;
    }
    errno = 0;
    number = g_ascii_strtoll(word, &end, 10);
    if (end != word && *end == '\0' && errno == 0) {
        json_node_set_int(node, number);
    } else {
        json_node_set_string(node, word);
    }
    return node;
}

static void run_qom_set(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 3, 3);
    JsonObject *json;

    if (!words) {
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "path", words[0]);
    json_object_set_string_member(json, "property", words[1]);
    json_object_set_member(json, "value", value_of_word(words[2]));
    hmp_qmp(hmp, "qom-set", json, NULL);
}

const HmpCommand hmp_device_commands[] = {
    { "device_add", NULL, "DRIVER[,prop=value...]", "add a device, as -device does (also: help; DRIVER,help)",
      run_device_add, hmp_complete_driver, "device_add" },
    { "device_del", NULL, "ID", "remove a device", run_del, hmp_complete_device, "device_del" },
    { "object_add", NULL, "TYPE,id=ID[,prop=value...]", "make an object, as -object does (also: help; TYPE,help)",
      run_object_add, hmp_complete_object_type, "object-add" },
    { "object_del", NULL, "ID", "delete an object", run_del, hmp_complete_object, "object-del" },
    { "qom-list", NULL, "[PATH]", "list the properties and children of an object", run_qom_list, hmp_complete_qom,
      "qom-list" },
    { "qom-get", NULL, "PATH PROPERTY", "show a property", run_qom_get, hmp_complete_qom, "qom-get" },
    { "qom-set", NULL, "PATH PROPERTY VALUE", "set a property", run_qom_set, hmp_complete_qom, "qom-set" },
    { NULL },
};
