/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: properties as JSON values, for monitors.
 * Runs in: both programs.
 */
#include "qom/object.h"
#include "qom/qom-int.h"
#include "util/error.h"

static JsonNode *new_string(const char *text)
{
    return json_node_init_string(json_node_alloc(), text);
}

/* A bool, number or enum as stored. */
static JsonNode *number_node(const QomProperty *prop, uint64_t number)
{
    char text[24];

    if (prop->kind == QOM_PROP_KIND_BOOL) {
        return json_node_init_boolean(json_node_alloc(), number != 0);
    }
    if (prop->kind == QOM_PROP_KIND_ENUM) {
        return new_string(prop->names[number]);
    }
    if (number > INT64_MAX && !qom_property_is_signed(prop)) {
        g_snprintf(text, sizeof(text), "%" G_GUINT64_FORMAT, number);
        return new_string(text);
    }
    return json_node_init_int(json_node_alloc(), (int64_t)number);
}

JsonNode *qom_get_json(void *object, const char *name, GError **errp)
{
    QomObject *obj = object;
    QomObject *child = qom_child(obj, name);
    const QomProperty *prop;
    g_autofree char *text = NULL;

    if (child) {
        text = qom_path(child);
        return new_string(text);
    }
    if (g_str_equal(name, "type")) {
        return new_string(G_OBJECT_TYPE_NAME(obj));
    }
    prop = qom_find_property(obj, name, errp);
    if (!prop || !qom_check_readable(obj, prop, errp)) {
        return NULL;
    }
    if (prop->kind == QOM_PROP_KIND_STRING) {
        text = qom_get_str(obj, name, errp);
        return text ? new_string(text) : NULL;
    }
    return number_node(prop, qom_property_load(obj, prop));
}

JsonNode *qom_property_default(const QomProperty *prop)
{
    if (prop->kind == QOM_PROP_KIND_STRING || (prop->flags & QOM_PROP_READ_ONLY)) {
        return NULL;
    }
    return number_node(prop, (uint64_t)prop->default_value);
}

/* What a JSON value of PROP is called in QEMU's messages. */
static const char *expected_type(const QomProperty *prop)
{
    switch (prop->kind) {
    case QOM_PROP_KIND_BOOL:
        return "boolean";
    case QOM_PROP_KIND_STRING:
    case QOM_PROP_KIND_ENUM:
        return "string";
    default:
        return "integer";
    }
}

/* The number that VALUE means for PROP; false: it is of another type. */
static bool node_number(const QomProperty *prop, JsonNode *value, uint64_t *ret_number)
{
    GType type = JSON_NODE_HOLDS_VALUE(value) ? json_node_get_value_type(value) : G_TYPE_NONE;

    if (prop->kind == QOM_PROP_KIND_BOOL && type == G_TYPE_BOOLEAN) {
        *ret_number = json_node_get_boolean(value);
        return true;
    }
    if (type == G_TYPE_INT64 && g_str_equal(expected_type(prop), "integer")) {
        *ret_number = (uint64_t)json_node_get_int(value);
        return true;
    }
    return false;
}

/* A negative number must not become a huge one of a kind without sign. */
static bool store(QomObject *obj, const QomProperty *prop, JsonNode *value, uint64_t number)
{
    bool negative = json_node_get_value_type(value) == G_TYPE_INT64 && json_node_get_int(value) < 0;

    return !(negative && !qom_property_is_signed(prop)) && qom_property_store(obj, prop, number);
}

bool qom_set_json(void *object, const char *name, JsonNode *value, GError **errp)
{
    QomObject *obj = object;
    const QomProperty *prop;
    uint64_t number;

    if (g_str_equal(name, "type") || qom_child(obj, name)) {
        error_setg(errp, "Property '%s.%s' is not writable; it tells what the object is", G_OBJECT_TYPE_NAME(obj),
                   name);
        return false;
    }
    if (JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING) {
        return qom_set_str(obj, name, json_node_get_string(value), errp);
    }
    prop = qom_find_property(obj, name, errp);
    if (!prop || !qom_check_settable(obj, prop, errp)) {
        return false;
    }
    if (!node_number(prop, value, &number)) {
        error_setg(errp, "Invalid parameter type for '%s', expected: %s", name, expected_type(prop));
        return false;
    }
    if (!store(obj, prop, value, number)) {
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, (int64_t)number);

        qom_property_refuse(obj, prop, text, errp);
        return false;
    }
    return true;
}
