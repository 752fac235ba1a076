/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: the base type, the type tables and the composition tree.
 * Runs in: both programs.
 */
#include <string.h>
#include "qom/object.h"
#include "qom/qom-int.h"
#include "util/error.h"

QOM_DEFINE_TYPE(QomObject, qom_object, "object", G_TYPE_OBJECT, G_TYPE_FLAG_ABSTRACT)

static void qom_object_finalize(GObject *gobject)
{
    QomObject *obj = QOM_OBJECT(gobject);

    qom_property_free_strings(gobject);
    while (obj->children->len) {
        qom_unparent(obj->children->pdata[obj->children->len - 1]);
    }
    g_ptr_array_unref(obj->children);
    g_free(obj->name);
    G_OBJECT_CLASS(qom_object_parent_class)->finalize(gobject);
}

static void qom_object_class_init(QomObjectClass *klass)
{
    klass->gobject_class.finalize = qom_object_finalize;
}

static void qom_object_init(QomObject *self)
{
    self->children = g_ptr_array_new();
}

/* ---- containers: plain nodes of the tree ----------------------------------------------------- */

typedef struct Container {
    QomObject qom;
} Container;
typedef struct ContainerClass {
    QomObjectClass qom_class;
} ContainerClass;

static GType container_get_type(void);
QOM_DEFINE_TYPE(Container, container, "container", QOM_TYPE_OBJECT, 0)

static void container_class_init(ContainerClass *klass)
{
    klass->qom_class.internal = true;
}

static void container_init(Container *self)
{
}

/* ---- types ----------------------------------------------------------------------------------- */

void qom_register_types(GType (*const *table)(void))
{
    for (; *table; table++) {
        (*table)();
    }
}

GType qom_type_by_name(const char *name)
{
    GType type = g_type_from_name(name);

    return type && g_type_is_a(type, QOM_TYPE_OBJECT) ? type : 0;
}

/* Appends TYPE and what is derived from it, where it is a BASE, to FOUND. */
static void collect_types(GType type, GType base, bool abstract, GArray *found)
{
    guint count;
    g_autofree GType *children = g_type_children(type, &count);

    if (g_type_is_a(type, base) && (abstract || !G_TYPE_IS_ABSTRACT(type))) {
        g_array_append_val(found, type);
    }
    for (guint i = 0; i < count; i++) {
        collect_types(children[i], base, abstract, found);
    }
}

static int compare_type_names(const void *a, const void *b)
{
    return g_strcmp0(g_type_name(*(const GType *)a), g_type_name(*(const GType *)b));
}

static GType *sorted_types(GType base, bool abstract, unsigned *ret_count)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(GType));

    collect_types(QOM_TYPE_OBJECT, base, abstract, found);
    g_array_sort(found, compare_type_names);
    *ret_count = found->len;
    return (GType *)(void *)g_array_free(found, FALSE);
}

GType *qom_types_of(GType base, unsigned *ret_count)
{
    return sorted_types(base, false, ret_count);
}

GType *qom_all_types(unsigned *ret_count)
{
    return sorted_types(QOM_TYPE_OBJECT, true, ret_count);
}

/* ---- composition tree ------------------------------------------------------------------------ */

QomObject *qom_root(void)
{
    static QomObject *root;

    if (!root) {
        root = g_object_new(container_get_type(), NULL);
    }
    return root;
}

QomObject *qom_child(QomObject *parent, const char *name)
{
    for (guint i = 0; i < parent->children->len; i++) {
        QomObject *child = parent->children->pdata[i];

        if (g_str_equal(child->name, name)) {
            return child;
        }
    }
    return NULL;
}

bool qom_add_child(QomObject *parent, const char *name, void *child, GError **errp)
{
    QomObject *obj = QOM_OBJECT(child);

    if (qom_child(parent, name) || qom_has_property(parent, name)) {
        g_autofree char *path = qom_path(parent);

        error_setg(errp, "id '%s' is already in use below %s; choose another id", name, path);
        return false;
    }
    g_free(obj->name);
    obj->name = g_strdup(name);
    obj->parent = parent;
    g_ptr_array_add(parent->children, g_object_ref(obj));
    return true;
}

void qom_unparent(void *child)
{
    QomObject *obj = QOM_OBJECT(child);

    if (!obj->parent) {
        return;
    }
    g_ptr_array_remove(obj->parent->children, obj);
    obj->parent = NULL;
    g_object_unref(obj);
}

QomObject *qom_container(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    QomObject *obj = qom_root();

    for (char **part = parts; *part; part++) {
        QomObject *next;

        if (!**part) {
            continue;
        }
        next = qom_child(obj, *part);
        if (!next) {
            next = g_object_new(container_get_type(), NULL);
            qom_add_child(obj, *part, next, NULL);
            g_object_unref(next);
        }
        obj = next;
    }
    return obj;
}

/* Follows PARTS from OBJ; NULL when a component is missing. */
static QomObject *walk(QomObject *obj, char **parts)
{
    for (; obj && *parts; parts++) {
        if (**parts) {
            obj = qom_child(obj, *parts);
        }
    }
    return obj;
}

/* Counts the places below OBJ from which PARTS can be followed; the last hit goes to *ret_found. */
static unsigned find_partial(QomObject *obj, char **parts, QomObject **ret_found)
{
    QomObject *hit = walk(obj, parts);
    unsigned hits = 0;

    if (hit && hit != obj) {
        *ret_found = hit;
        hits++;
    }
    for (guint i = 0; i < obj->children->len; i++) {
        hits += find_partial(obj->children->pdata[i], parts, ret_found);
    }
    return hits;
}

static bool is_too_long(const char *path)
{
    return strnlen(path, QOM_PATH_MAX + 1) > QOM_PATH_MAX;
}

/* Number of objects that PATH may mean; *ret_found gets one of them. */
static unsigned resolve(const char *path, QomObject **ret_found)
{
    g_auto(GStrv) parts = NULL;

    *ret_found = NULL;
    if (is_too_long(path)) {
        return 0;
    }
    parts = g_strsplit(path, "/", -1);
    if (path[0] == '/') {
        *ret_found = walk(qom_root(), parts);
        return *ret_found ? 1 : 0;
    }
    return find_partial(qom_root(), parts, ret_found);
}

QomObject *qom_resolve(const char *path)
{
    QomObject *found;

    return resolve(path, &found) == 1 ? found : NULL;
}

QomObject *qom_find(const char *path, GError **errp)
{
    QomObject *found;
    unsigned hits = resolve(path, &found);

    if (hits == 1) {
        return found;
    }
    if (hits > 1) {
        error_setg(errp, "Path '%s' is ambiguous; give the whole path, from '/' on", path);
    } else if (is_too_long(path)) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device not found: its path is longer than %u bytes, which "
                  "none is; give the path that qom-list shows", QOM_PATH_MAX);
    } else {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found; qom-list shows what there is", path);
    }
    return NULL;
}

char *qom_path(void *object)
{
    GString *path = g_string_new(NULL);

    for (QomObject *obj = object; obj && obj->parent; obj = obj->parent) {
        g_string_prepend(path, obj->name);
        g_string_prepend_c(path, '/');
    }
    if (!path->len) {
        g_string_append_c(path, '/');
    }
    return g_string_free(path, FALSE);
}
