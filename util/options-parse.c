/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two syntaxes of an option's text: "key=value,..." and JSON.
 *
 * Runs in: both.
 *
 * Both end in the same flat pairs; include/util/options.h has the rules.
 */
#include <string.h>
#include <json-glib/json-glib.h>
#include "util/error.h"
#include "util/options.h"

/* Longest key; longer ones are typing errors or attacks on the reader of the message. */
#define KEY_MAX_BYTES 255

/*
 * Deepest JSON nesting.  Block nodes nest about ten deep; the JSON parser recurses, so its stack
 * needs a limit.
 */
#define JSON_MAX_DEPTH 64

/* Most values of one JSON object: each is looked for among those before it. */
#define JSON_MAX_VALUES 1024u

/* ---- key=value ------------------------------------------------------------------------------ */

/*
 * A key is letters, digits, '-', '_' and '.', and not empty: what all names of properties are made
 * of.
 */
static bool check_key(const char *option, const char *key, GError **errp)
{
    size_t len = strlen(key);

    if (len > KEY_MAX_BYTES) {
        error_setg(errp, "%s: parameter name '%.32s...' is longer than %d bytes; write KEY=VALUE",
                   option, key, KEY_MAX_BYTES);
        return false;
    }
    if (len == 0) {
        error_setg(errp, "%s: empty parameter name; write KEY=VALUE, and a comma in a value twice",
                   option);
        return false;
    }
    for (const char *c = key; *c; c++) {
        if (!g_ascii_isalnum(*c) && !strchr("-_.", *c)) {
            error_setg(errp, "%s: '%s' is not a parameter name; write KEY=VALUE, and a comma in a "
                       "value twice", option, key);
            return false;
        }
    }
    return true;
}

/*
 * Copies a value up to a single comma or the end, making one comma of two.  Moves *text behind the
 * comma.
 */
static char *take_value(const char **text)
{
    GString *value = g_string_new(NULL);
    const char *p = *text;

    while (*p) {
        if (*p == ',') {
            p++;
            if (*p != ',') {
                break;
            }
        }
        g_string_append_c(value, *p++);
    }
    *text = p;
    return g_string_free(value, FALSE);
}

/* Adds "KEY" as on, or "noKEY" as KEY=off. */
static void set_switch(Options *opts, const char *name)
{
    if (g_str_has_prefix(name, "no") && name[2]) {
        options_set(opts, name + 2, "off");
    } else {
        options_set(opts, name, "on");
    }
}

static bool parse_keyval(Options *opts, const char *text, const char *implied_key, GError **errp)
{
    const char *option = options_name(opts);

    for (bool first = true; *text; first = false) {
        size_t name_len = strcspn(text, "=,");
        g_autofree char *name = NULL;
        g_autofree char *value = NULL;

        if (text[name_len] != '=' && first && implied_key) {
            value = take_value(&text);
            options_set(opts, implied_key, value);
            continue;
        }
        name = g_strndup(text, name_len);
        if (!check_key(option, name, errp)) {
            return false;
        }
        text += name_len;
        if (*text == '=') {
            text++;
            value = take_value(&text);
            options_set(opts, name, value);
        } else {
            text += *text == ',';
            set_switch(opts, name);
        }
    }
    return true;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static bool add_node(Options *opts, const char *key, JsonNode *node, GError **errp);

static bool add_value(Options *opts, const char *key, JsonNode *node, GError **errp)
{
    GType type = json_node_get_value_type(node);
    char text[G_ASCII_DTOSTR_BUF_SIZE];

    if (options_count(opts) >= JSON_MAX_VALUES) {
        error_setg(errp, "%s: more than %u parameters; leave some out", options_name(opts), JSON_MAX_VALUES);
        return false;
    }
    if (type == G_TYPE_STRING) {
        options_set(opts, key, json_node_get_string(node));
    } else if (type == G_TYPE_BOOLEAN) {
        options_set(opts, key, json_node_get_boolean(node) ? "on" : "off");
    } else if (type == G_TYPE_INT64) {
        g_snprintf(text, sizeof(text), "%" G_GINT64_FORMAT, json_node_get_int(node));
        options_set(opts, key, text);
    } else {
        options_set(opts, key, g_ascii_dtostr(text, sizeof(text), json_node_get_double(node)));
    }
    return true;
}

/* Adds the member NAME of the object or array whose dotted key is PARENT ("" at the top). */
static bool add_member(Options *opts, const char *parent, const char *name, JsonNode *node,
                       GError **errp)
{
    g_autofree char *key = g_strconcat(parent, parent[0] ? "." : "", name, NULL);

    return check_key(options_name(opts), name, errp) &&
           check_key(options_name(opts), key, errp) && add_node(opts, key, node, errp);
}

static bool add_object(Options *opts, const char *key, JsonObject *object, GError **errp)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *member;

    json_object_iter_init_ordered(&iter, object);
    while (json_object_iter_next_ordered(&iter, &name, &member)) {
        if (!add_member(opts, key, name, member, errp)) {
            return false;
        }
    }
    return true;
}

static bool add_array(Options *opts, const char *key, JsonArray *array, GError **errp)
{
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        char index[16];

        g_snprintf(index, sizeof(index), "%u", i);
        if (!add_member(opts, key, index, json_array_get_element(array, i), errp)) {
            return false;
        }
    }
    return true;
}

static bool add_node(Options *opts, const char *key, JsonNode *node, GError **errp)
{
    switch (json_node_get_node_type(node)) {
    case JSON_NODE_OBJECT:
        return add_object(opts, key, json_node_get_object(node), errp);
    case JSON_NODE_ARRAY:
        return add_array(opts, key, json_node_get_array(node), errp);
    case JSON_NODE_VALUE:
        return add_value(opts, key, node, errp);
    default:
        error_setg(errp, "%s: parameter '%s' is null; give a value or leave it out",
                   options_name(opts), key);
        return false;
    }
}

/*
 * Checks what json-glib does not: nesting, one value only, and none of its extensions (comments),
 * in which this look for the strings' ends would go astray.  Other errors are left to the parser.
 */
static bool check_json(const char *option, const char *text, GError **errp)
{
    bool in_string = false;
    int depth = 0;

    for (const char *c = text; *c; c++) {
        if (in_string) {
            if (*c == '\\' && c[1]) {
                c++;
            } else if (*c == '"') {
                in_string = false;
            }
            continue;
        }
        if (depth == 0 && c > text && !g_ascii_isspace(*c)) {
            error_setg(errp, "%s: text follows the JSON object: '%s'; remove it", option, c);
            return false;
        }
        if (*c == '"') {
            in_string = true;
        } else if (*c == '{' || *c == '[') {
            if (++depth > JSON_MAX_DEPTH) {
                error_setg(errp, "%s: the JSON text nests deeper than %d; remove levels", option,
                           JSON_MAX_DEPTH);
                return false;
            }
        } else if (*c == '}' || *c == ']') {
            depth--;
        } else if (!g_ascii_isalnum(*c) && !g_ascii_isspace(*c) && !strchr(":,+-.", *c)) {
            error_setg(errp, "%s: not valid JSON at '%s'; strings are in double quotes", option, c);
            return false;
        }
    }
    return true;
}

static bool parse_json(Options *opts, const char *text, GError **errp)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) err = NULL;
    JsonNode *root;

    if (!check_json(options_name(opts), text, errp)) {
        return false;
    }
    if (!json_parser_load_from_data(parser, text, -1, &err)) {
        error_setg(errp, "%s: not valid JSON: %s; correct it there", options_name(opts),
                   err->message);
        return false;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        error_setg(errp, "%s: the JSON text is not an object; write {\"KEY\": VALUE, ...}",
                   options_name(opts));
        return false;
    }
    return add_object(opts, "", json_node_get_object(root), errp);
}

Options *options_from_json(const char *option, JsonObject *object, GError **errp)
{
    g_autoptr(Options) opts = options_new(option);

    return add_object(opts, "", object, errp) ? g_steal_pointer(&opts) : NULL;
}

Options *options_parse(const char *option, const char *text, const char *implied_key, GError **errp)
{
    g_autoptr(Options) opts = options_new(option);
    bool ok = text[0] == '{' ? parse_json(opts, text, errp)
                             : parse_keyval(opts, text, implied_key, errp);

    return ok ? g_steal_pointer(&opts) : NULL;
}
