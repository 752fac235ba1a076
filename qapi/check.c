/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The schema's tables: finding entries, and checking values against types.
 *
 * Runs in: both programs.
 *
 * Recursion ends with the value, whose nesting util/json-stream.h has bounded.
 */
#include <string.h>
#include "qapi/qapi.h"
#include "util/error.h"

const QapiCommand *qapi_command_find(const char *name)
{
    for (const QapiCommand *command = qapi_commands; command->name; command++) {
        if (strcmp(command->name, name) == 0) {
            return command;
        }
    }
    return NULL;
}

const QapiEvent *qapi_event_find(const char *name)
{
    for (const QapiEvent *event = qapi_events; event->name; event++) {
        if (strcmp(event->name, name) == 0) {
            return event;
        }
    }
    return NULL;
}

/* ---- scalars --------------------------------------------------------------------------------- */

/* The kind of NODE's JSON type: STR, INT, NUMBER (with a fraction), BOOL, NULL, ARRAY, OBJECT. */
static QapiKind json_kind(JsonNode *node)
{
    GType type;

    switch (json_node_get_node_type(node)) {
    case JSON_NODE_OBJECT:
        return QAPI_OBJECT;
    case JSON_NODE_ARRAY:
        return QAPI_ARRAY;
    case JSON_NODE_VALUE:
        type = json_node_get_value_type(node);
        return type == G_TYPE_STRING ? QAPI_STR : type == G_TYPE_BOOLEAN ? QAPI_BOOL :
               type == G_TYPE_INT64 ? QAPI_INT : QAPI_NUMBER;
    default:
        return QAPI_NULL;
    }
}

/* Whether a value of JSON kind HAVE can be of TYPE, as far as the JSON type tells. */
static bool kind_fits(const QapiType *type, QapiKind have)
{
    switch (type->kind) {
    case QAPI_ENUM:
        return have == QAPI_STR;
    case QAPI_NUMBER:
        return have == QAPI_INT || have == QAPI_NUMBER;
    case QAPI_ANY:
        return true;
    default:
        return have == type->kind;
    }
}

static bool wrong_type(const QapiType *type, const char *path, GError **errp)
{
    static const char *const names[] = {
        [QAPI_STR] = "string",   [QAPI_INT] = "integer", [QAPI_NUMBER] = "number", [QAPI_BOOL] = "boolean",
        [QAPI_NULL] = "null",    [QAPI_ANY] = "any",     [QAPI_ENUM] = "string",   [QAPI_ARRAY] = "array",
        [QAPI_OBJECT] = "object",
    };

    error_setg(errp, "Invalid parameter type for '%s', expected: %s", path,
               type->kind == QAPI_ALTERNATE ? type->name : names[type->kind]);
    return false;
}

static bool check_int(const QapiType *type, int64_t value, const char *path, GError **errp)
{
    uint64_t max = type->max ? type->max : INT64_MAX;

    if (value < type->min || (value > 0 && (uint64_t)value > max)) {
        error_setg(errp, "Parameter '%s' does not accept value '%" G_GINT64_FORMAT "'; give a number from %"
                   G_GINT64_FORMAT " to %" G_GUINT64_FORMAT, path, value, type->min, max);
        return false;
    }
    return true;
}

static bool check_enum(const QapiType *type, const char *value, const char *path, GError **errp)
{
    if (!g_strv_contains(type->values, value)) {
        error_setg(errp, "Parameter '%s' does not accept value '%s'", path, value);
        return false;
    }
    return true;
}

/* ---- compounds ------------------------------------------------------------------------------- */

static char *member_path(const char *path, const char *name)
{
    return *path ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
}

static bool check_array(const QapiType *type, JsonArray *array, const char *path, GError **errp)
{
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        g_autofree char *element = g_strdup_printf("%s[%u]", path, i);

        if (!qapi_check(type->element, json_array_get_element(array, i), element, errp)) {
            return false;
        }
    }
    return true;
}

static bool check_members(const QapiMember *members, JsonObject *object, const char *path, GError **errp)
{
    for (const QapiMember *member = members; member->name; member++) {
        JsonNode *node = json_object_get_member(object, member->name);
        g_autofree char *name = NULL;

        if (!node && member->optional) {
            continue;
        }
        name = member_path(path, member->name);
        if (!node) {
            error_setg(errp, "Parameter '%s' is missing", name);
            return false;
        }
        if (!qapi_check(member->type, node, name, errp)) {
            return false;
        }
    }
    return true;
}

static bool has_member(const QapiType *type, const char *name)
{
    for (const QapiMember *member = type->members; member->name; member++) {
        if (strcmp(member->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The branch of union TYPE that OBJECT, whose own members have been checked, is of; NULL: it adds nothing. */
static const QapiType *find_branch(const QapiType *type, JsonObject *object)
{
    const char *tag = type->tag ? json_object_get_string_member(object, type->tag) : NULL;

    for (const QapiVariant *variant = type->variants; tag && variant->name; variant++) {
        if (strcmp(variant->name, tag) == 0) {
            return variant->type;
        }
    }
    return NULL;
}

static bool check_object(const QapiType *type, JsonObject *object, const char *path, GError **errp)
{
    const QapiType *branch;
    JsonObjectIter iter;
    const char *name;

    if (!check_members(type->members, object, path, errp)) {
        return false;
    }
    branch = find_branch(type, object);
    if (branch && !check_members(branch->members, object, path, errp)) {
        return false;
    }
    if (type->open || (branch && branch->open)) {
        return true;
    }
    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (!has_member(type, name) && !(branch && has_member(branch, name))) {
            g_autofree char *full = member_path(path, name);

            error_setg(errp, "Parameter '%s' is unexpected", full);
            return false;
        }
    }
    return true;
}

static bool check_alternate(const QapiType *type, JsonNode *node, const char *path, GError **errp)
{
    QapiKind have = json_kind(node);

    for (const QapiVariant *variant = type->variants; variant->name; variant++) {
        if (kind_fits(variant->type, have)) {
            return qapi_check(variant->type, node, path, errp);
        }
    }
    return wrong_type(type, path, errp);
}

bool qapi_check(const QapiType *type, JsonNode *node, const char *path, GError **errp)
{
    if (type->kind == QAPI_ALTERNATE) {
        return check_alternate(type, node, path, errp);
    }
    if (!kind_fits(type, json_kind(node))) {
        return wrong_type(type, path, errp);
    }
    switch (type->kind) {
    case QAPI_INT:
        return check_int(type, json_node_get_int(node), path, errp);
    case QAPI_ENUM:
        return check_enum(type, json_node_get_string(node), path, errp);
    case QAPI_ARRAY:
        return check_array(type, json_node_get_array(node), path, errp);
    case QAPI_OBJECT:
        return check_object(type, json_node_get_object(node), path, errp);
    default:
        return true;
    }
}
