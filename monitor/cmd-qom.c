/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about objects: the tree, properties, types, -object's objects.
 *
 * Runs in: both programs.
 */
#include "monitor/commands.h"
#include "monitor/commands-int.h"
#include "qom/object.h"
#include "util/error.h"
#include "util/event-loop.h"

/* ---- the tree and its properties ------------------------------------------------------------- */

static void add_property(JsonArray *list, const char *name, const char *type)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_object_set_string_member(entry, "type", type);
    json_array_add_object_element(list, entry);
}

static void list_property(const QomProperty *prop, void *opaque)
{
    add_property(opaque, prop->name, qom_property_type_name(prop));
}

static bool cmd_qom_list(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    QomObject *obj = qom_find(json_object_get_string_member(args, "path"), errp);
    JsonArray *list;

    if (!obj) {
        return false;
    }
    list = json_array_new();
    add_property(list, "type", "string");
    qom_foreach_property(G_OBJECT_TYPE(obj), list_property, list);
    for (guint i = 0; i < obj->children->len; i++) {
        QomObject *child = obj->children->pdata[i];
        g_autofree char *type = g_strdup_printf("child<%s>", G_OBJECT_TYPE_NAME(child));

        add_property(list, child->name, type);
    }
    *ret_value = node_take_array(list);
    return true;
}

static bool cmd_qom_get(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    QomObject *obj = qom_find(json_object_get_string_member(args, "path"), errp);

    *ret_value = obj ? qom_get_json(obj, json_object_get_string_member(args, "property"), errp) : NULL;
    return *ret_value != NULL;
}

static bool cmd_qom_set(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    QomObject *obj = qom_find(json_object_get_string_member(args, "path"), errp);

    return obj && qom_set_json(obj, json_object_get_string_member(args, "property"),
                               json_object_get_member(args, "value"), errp);
}

/* ---- types ----------------------------------------------------------------------------------- */

static JsonObject *describe_type(GType type)
{
    GType parent = g_type_parent(type);
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", g_type_name(type));
    if (G_TYPE_IS_ABSTRACT(type)) {
        json_object_set_boolean_member(entry, "abstract", TRUE);
    }
    if (g_type_is_a(parent, QOM_TYPE_OBJECT)) {
        json_object_set_string_member(entry, "parent", g_type_name(parent));
    }
    return entry;
}

/* The type or interface NAME of the object model; 0: there is none. */
static GType base_by_name(const char *name)
{
    GType type = qom_type_by_name(name);

    return !type && g_str_equal(name, g_type_name(QOM_TYPE_USER_CREATABLE)) ? QOM_TYPE_USER_CREATABLE : type;
}

/* implements=NAME: only what is a NAME; a name of nothing gives an empty list.  abstract=true: those, too. */
static bool cmd_qom_list_types(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *implements = json_object_get_string_member_with_default(args, "implements", NULL);
    bool abstract = json_object_get_boolean_member_with_default(args, "abstract", FALSE);
    GType base = implements ? base_by_name(implements) : QOM_TYPE_OBJECT;
    unsigned count;
    g_autofree GType *types = qom_all_types(&count);
    JsonArray *list = json_array_new();

    for (unsigned i = 0; i < count; i++) {
        if (base && g_type_is_a(types[i], base) && (abstract || !G_TYPE_IS_ABSTRACT(types[i]))) {
            json_array_add_object_element(list, describe_type(types[i]));
        }
    }
    *ret_value = node_take_array(list);
    return true;
}

/* ---- objects of the user --------------------------------------------------------------------- */

static bool cmd_object_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    g_autoptr(Options) opts = options_from_json("object-add", args, errp);

    return opts && user_creatable_add(opts, errp);
}

/*
 * An object-del that waits for the end of what the object does to others' memory.  No longer than a disk needs that
 * does not hang: who hangs has been told to stop.
 */
#define QUIESCE_LIMIT_NS (2 * G_GINT64_CONSTANT(1000000000))
#define QUIESCE_POLL_NS G_GINT64_CONSTANT(1000000)

typedef struct Deletion {
    QmpCall *call;
    char *id;
    QomObject *obj; /* referenced: another one may have got its id, when somebody else has deleted it */
    EventTimer *timer;
    int64_t limit; /* EVENT_CLOCK_REAL */
} Deletion;

static QomObject *user_object(const char *id)
{
    return qom_child(qom_container("/objects"), id);
}

static void deletion_turn(void *opaque)
{
    Deletion *deletion = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    bool is_there = user_object(deletion->id) == deletion->obj;
    GError *err = NULL;

    if (is_there && !user_creatable_quiesce(deletion->id) && now < deletion->limit) {
        event_timer_arm(deletion->timer, now + QUIESCE_POLL_NS);
        return;
    }
    if (is_there) {
        user_creatable_del(deletion->id, &err);
    }
    g_object_unref(deletion->obj);
    qmp_call_finish(deletion->call, NULL, err);
    event_timer_free(deletion->timer);
    g_free(deletion->id);
    g_free(deletion);
}

static bool cmd_object_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *id = json_object_get_string_member(args, "id");
    Deletion *deletion;

    if (user_creatable_quiesce(id)) {
        return user_creatable_del(id, errp);
    }
    deletion = g_new(Deletion, 1);
    *deletion = (Deletion) { .call = call, .id = g_strdup(id), .obj = g_object_ref(user_object(id)) };
    deletion->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, deletion_turn, deletion);
    deletion->limit = event_clock_ns(EVENT_CLOCK_REAL) + QUIESCE_LIMIT_NS;
    qmp_call_defer(call);
    event_timer_arm(deletion->timer, deletion->limit - QUIESCE_LIMIT_NS + QUIESCE_POLL_NS);
    return true;
}

const QmpCommandImpl qom_commands[] = {
    { "qom-list", cmd_qom_list },
    { "qom-get", cmd_qom_get },
    { "qom-set", cmd_qom_set },
    { "qom-list-types", cmd_qom_list_types },
    { "object-add", cmd_object_add },
    { "object-del", cmd_object_del },
    { NULL },
};

void qmp_register_objects(void)
{
    static const char *const always[] = { "/machine/peripheral", "/machine/peripheral-anon", "/machine/unattached",
                                          "/objects" };

    /* Clients list these without looking whether there is anything in them. */
    for (unsigned i = 0; i < G_N_ELEMENTS(always); i++) {
        qom_container(always[i]);
    }
    qmp_register(qom_commands);
    qmp_register(device_commands);
    qmp_register(pci_commands);
}
