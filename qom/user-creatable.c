/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: objects made by the user with -object.
 * Runs in: both programs.
 */
#include <stdio.h>
#include "qom/object.h"
#include "util/error.h"

GType user_creatable_get_type(void)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        GType type = g_type_register_static_simple(
            G_TYPE_INTERFACE, "user-creatable", sizeof(UserCreatableInterface), NULL, 0, NULL, 0);

        g_type_interface_add_prerequisite(type, QOM_TYPE_OBJECT);
        g_once_init_leave(&once, type);
    }
    return once;
}

QomObject *user_creatable_add(Options *opts, GError **errp)
{
    static const char *const skip[] = { "qom-type", "id", NULL };
    const char *type_name = options_get(opts, "qom-type");
    const char *id = options_get(opts, "id");
    g_autoptr(GObject) gobject = NULL;
    UserCreatableInterface *iface;
    QomObject *obj;
    GType type;

    type = type_name ? qom_type_by_name(type_name) : 0;
    if (!type || G_TYPE_IS_ABSTRACT(type) || !g_type_is_a(type, QOM_TYPE_USER_CREATABLE)) {
        error_setg(errp, "%s: '%s' is not an object type; '%s help' lists them", options_name(opts),
                   type_name ? type_name : "", options_name(opts));
        return NULL;
    }
    if (!id || !id_wellformed(id)) {
        error_setg(errp,
                   "%s %s: id '%s' is missing or malformed; give id=NAME (a letter, then letters, "
                   "digits, '-', '.', '_')",
                   options_name(opts), type_name, id ? id : "");
        return NULL;
    }

    gobject = g_object_new(type, NULL);
    obj = QOM_OBJECT(gobject);
    if (!qom_set_options(obj, opts, skip, errp) ||
        !qom_add_child(qom_container("/objects"), id, obj, errp)) {
        return NULL;
    }
    iface = G_TYPE_INSTANCE_GET_INTERFACE(obj, QOM_TYPE_USER_CREATABLE, UserCreatableInterface);
    if (!qom_seal(obj, errp) || !iface->complete(obj, errp)) {
        qom_unparent(obj);
        return NULL;
    }
    return obj;
}

bool user_creatable_print_help(const char *arg)
{
    g_auto(GStrv) words = g_strsplit(arg, ",", -1);
    g_autofree GType *types = NULL;
    unsigned count;
    GType type;

    if (words[0] && (g_str_equal(words[0], "help") || g_str_equal(words[0], "?"))) {
        types = qom_types_of(QOM_TYPE_USER_CREATABLE, &count);
        printf("List of user creatable objects:\n");
        for (unsigned i = 0; i < count; i++) {
            printf("  %s\n", g_type_name(types[i]));
        }
        return true;
    }
    type = words[0] && words[1] && g_str_equal(words[1], "help") ? qom_type_by_name(words[0]) : 0;
    if (!type || !g_type_is_a(type, QOM_TYPE_USER_CREATABLE)) {
        return false; /* user_creatable_add() tells what is wrong */
    }
    qom_print_properties(type);
    return true;
}

/* The user's object ID and its interface; both NULL: there is none. */
static UserCreatableInterface *find_object(const char *id, QomObject **ret_obj)
{
    QomObject *obj = *ret_obj = qom_child(qom_container("/objects"), id);

    return obj ? G_TYPE_INSTANCE_GET_INTERFACE(obj, QOM_TYPE_USER_CREATABLE, UserCreatableInterface) : NULL;
}

bool user_creatable_quiesce(const char *id)
{
    QomObject *obj;
    UserCreatableInterface *iface = find_object(id, &obj);

    return !iface || !iface->quiesce || (iface->can_be_deleted && !iface->can_be_deleted(obj, NULL)) ||
           iface->quiesce(obj);
}

bool user_creatable_del(const char *id, GError **errp)
{
    QomObject *obj;
    UserCreatableInterface *iface = find_object(id, &obj);

    if (!iface) {
        error_setg(errp, "object '%s' not found; give the id of an -object or object-add", id);
        return false;
    }
    if (iface->can_be_deleted && !iface->can_be_deleted(obj, errp)) {
        return false;
    }
    qom_unparent(obj);
    return true;
}
