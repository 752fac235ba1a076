/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one text of a QMP server says: greeting, event or answer.
 *
 * Runs in: mpqemu.
 */
#include "io/qmp-text.h"

#include <string.h>

#include "util/error.h"

/* The member NAME when it is a string that may go on into our own answers and messages, or NULL. */
static const char *string_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    if (!node || !JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING ||
        !g_utf8_validate(json_node_get_string(node), -1, NULL)) {
        return NULL;
    }
    return json_node_get_string(node);
}

/* The member NAME when it is an object, or NULL. */
static JsonObject *object_member(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static const char *parse_greeting(JsonObject *object, QmpText *text)
{
    text->kind = QMP_TEXT_GREETING;
    return object_member(object, "QMP") ? NULL : "a greeting that is none";
}

static const char *parse_event(JsonObject *object, QmpText *text)
{
    text->kind = QMP_TEXT_EVENT;
    text->name = string_member(object, "event");
    text->data = object_member(object, "data");
    if (!text->name) {
        return "an event without a name";
    }
    return text->data || !json_object_has_member(object, "data") ? NULL : "an event whose data is no object";
}

static const char *parse_return(JsonObject *object, QmpText *text)
{
    text->kind = QMP_TEXT_ANSWER;
    text->id = string_member(object, "id");
    text->value = json_object_get_member(object, "return");
    return NULL;
}

/* QEMU had more classes once; what we do not know is generic. */
static ErrorClass class_of(const char *name)
{
    static const char *const names[] = {
        [ERROR_CLASS_GENERIC] = "GenericError",
        [ERROR_CLASS_COMMAND_NOT_FOUND] = "CommandNotFound",
        [ERROR_CLASS_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [ERROR_CLASS_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    };

    for (unsigned i = 0; name && i < G_N_ELEMENTS(names); i++) {
        if (g_str_equal(name, names[i])) {
            return i;
        }
    }
    return ERROR_CLASS_GENERIC;
}

static const char *parse_error(JsonObject *object, QmpText *text)
{
    JsonObject *error = object_member(object, "error");
    const char *desc = error ? string_member(error, "desc") : NULL;

    if (!desc) {
        return "an error without a description";
    }
    text->kind = QMP_TEXT_ANSWER;
    text->id = string_member(object, "id");
    error_set(&text->err, class_of(string_member(error, "class")), "%s", desc);
    return NULL;
}

/* The member that makes a text what it is. */
static const struct {
    const char *member;
    const char *(*parse)(JsonObject *object, QmpText *text);
} kinds[] = {
    { "return", parse_return },
    { "error", parse_error },
    { "event", parse_event },
    { "QMP", parse_greeting },
};

const char *qmp_text_parse(JsonObject *object, QmpText *ret_text)
{
    int found = -1;

    memset(ret_text, 0, sizeof(*ret_text));
    for (int i = 0; i < (int)G_N_ELEMENTS(kinds); i++) {
        if (json_object_has_member(object, kinds[i].member)) {
            if (found >= 0) {
                return "a text of two kinds at once";
            }
            found = i;
        }
    }
    return found < 0 ? "a text that is no answer, no event and no greeting" : kinds[found].parse(object, ret_text);
}
