/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-qmp-schema: the tables as JSON.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  Commands and events are written first; each type that is named on the way goes into
 * a list once and is written when its turn comes, which may lengthen the list.  So just what is reachable
 * is told.
 */
#include "qapi/qapi.h"

typedef struct Walk {
    JsonArray *result;
    GHashTable *names;  /* schema name -> shown name, both owned: what has been named */
    GQueue todo;        /* const QapiType *, named but not written */
    unsigned next_number;
} Walk;

/* What a command returns that returns nothing. */
static const QapiMember no_members[] = { { NULL } };
static const QapiType empty_type = { .name = "q_empty", .kind = QAPI_OBJECT, .members = no_members };

static const char *builtin_name(QapiKind kind)
{
    switch (kind) {
    case QAPI_STR:
        return "str";
    case QAPI_INT:
        return "int"; /* limits are not told, as in QEMU */
    case QAPI_NUMBER:
        return "number";
    case QAPI_BOOL:
        return "bool";
    case QAPI_NULL:
        return "null";
    case QAPI_ANY:
        return "any";
    default:
        return NULL;
    }
}

static const char *type_name(Walk *walk, const QapiType *type)
{
    const char *known = g_hash_table_lookup(walk->names, type->name);
    const char *builtin = builtin_name(type->kind);
    char *name;

    if (known) {
        return known;
    }
    if (builtin) {
        name = g_strdup(builtin);
    } else if (type->kind == QAPI_ARRAY) {
        name = g_strdup_printf("[%s]", type_name(walk, type->element));
    } else {
        name = g_strdup_printf("%u", walk->next_number++);
    }
    g_hash_table_insert(walk->names, g_strdup(type->name), name);
    g_queue_push_tail(&walk->todo, (void *)type);
    return name;
}

static JsonObject *new_entry(Walk *walk, const char *name, const char *meta_type)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "meta-type", meta_type);
    json_array_add_object_element(walk->result, entry);
    return entry;
}

/* A new object at the end of ARRAY. */
static JsonObject *add_object(JsonArray *array)
{
    JsonObject *object = json_object_new();

    json_array_add_object_element(array, object);
    return object;
}

/* A new array as member NAME of OBJECT. */
static JsonArray *add_array(JsonObject *object, const char *name)
{
    JsonArray *array = json_array_new();

    json_object_set_array_member(object, name, array);
    return array;
}

static void write_builtin(Walk *walk, const QapiType *type)
{
    static const char *const json_types[] = {
        [QAPI_STR] = "string",   [QAPI_INT] = "int",   [QAPI_NUMBER] = "number",
        [QAPI_BOOL] = "boolean", [QAPI_NULL] = "null", [QAPI_ANY] = "value",
    };

    json_object_set_string_member(new_entry(walk, builtin_name(type->kind), "builtin"), "json-type",
                                  json_types[type->kind]);
}

static void write_enum(Walk *walk, const QapiType *type)
{
    JsonObject *entry = new_entry(walk, type_name(walk, type), "enum");
    JsonArray *members = add_array(entry, "members"), *values = add_array(entry, "values");

    for (const char *const *value = type->values; *value; value++) {
        json_object_set_string_member(add_object(members), "name", *value);
        json_array_add_string_element(values, *value);
    }
}

static void write_object(Walk *walk, const QapiType *type)
{
    JsonObject *entry = new_entry(walk, type_name(walk, type), "object");
    JsonArray *members = add_array(entry, "members");

    for (const QapiMember *member = type->members; member->name; member++) {
        JsonObject *object = add_object(members);

        json_object_set_string_member(object, "name", member->name);
        json_object_set_string_member(object, "type", type_name(walk, member->type));
        if (member->optional) {
            json_object_set_null_member(object, "default");
        }
    }
    if (type->tag) {
        JsonArray *variants = add_array(entry, "variants");

        json_object_set_string_member(entry, "tag", type->tag);
        for (const QapiVariant *variant = type->variants; variant->name; variant++) {
            JsonObject *object = add_object(variants);

            json_object_set_string_member(object, "case", variant->name);
            json_object_set_string_member(object, "type", type_name(walk, variant->type));
        }
    }
    if (type->open) {
        json_array_add_string_element(add_array(entry, "features"), "open");
    }
}

static void write_alternate(Walk *walk, const QapiType *type)
{
    JsonArray *members = add_array(new_entry(walk, type_name(walk, type), "alternate"), "members");

    for (const QapiVariant *variant = type->variants; variant->name; variant++) {
        json_object_set_string_member(add_object(members), "type", type_name(walk, variant->type));
    }
}

static void write_type(Walk *walk, const QapiType *type)
{
    switch (type->kind) {
    case QAPI_ENUM:
        write_enum(walk, type);
        break;
    case QAPI_ARRAY:
        json_object_set_string_member(new_entry(walk, type_name(walk, type), "array"), "element-type",
                                      type_name(walk, type->element));
        break;
    case QAPI_OBJECT:
        write_object(walk, type);
        break;
    case QAPI_ALTERNATE:
        write_alternate(walk, type);
        break;
    default:
        write_builtin(walk, type);
    }
}

/* Integer types of different limits are shown by one name, which must be told once. */
static void write_types(Walk *walk)
{
    g_autoptr(GHashTable) written = g_hash_table_new(g_str_hash, g_str_equal);
    const QapiType *type;

    while ((type = g_queue_pop_head(&walk->todo)) != NULL) {
        if (g_hash_table_add(written, (void *)type_name(walk, type))) {
            write_type(walk, type);
        }
    }
}

JsonNode *qapi_introspect(bool (*have)(const char *command, void *opaque), void *opaque)
{
    Walk walk = {
        .result = json_array_new(),
        .names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
        .todo = G_QUEUE_INIT,
    };
    JsonNode *node;

    for (const QapiCommand *command = qapi_commands; command->name; command++) {
        JsonObject *entry;

        if (!have(command->name, opaque)) {
            continue;
        }
        entry = new_entry(&walk, command->name, "command");
        json_object_set_string_member(entry, "arg-type", type_name(&walk, command->args));
        json_object_set_string_member(entry, "ret-type",
                                      type_name(&walk, command->ret ? command->ret : &empty_type));
        if (command->allow_oob) {
            json_object_set_boolean_member(entry, "allow-oob", TRUE);
        }
    }
    for (const QapiEvent *event = qapi_events; event->name; event++) {
        json_object_set_string_member(new_entry(&walk, event->name, "event"), "arg-type",
                                      type_name(&walk, event->data));
    }
    write_types(&walk);
    node = json_node_init_array(json_node_alloc(), walk.result);
    json_array_unref(walk.result);
    g_hash_table_unref(walk.names);
    return node;
}
