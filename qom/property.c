/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: properties.  Tables of QomProperty become GParamSpecs; text goes in and out.
 * Runs in: both programs.
 */
#include <stdio.h>
#include <string.h>
#include "qom/object.h"
#include "qom/qom-int.h"
#include "util/error.h"

/* What the kinds are called in messages and help, and the largest value each holds. */
static const struct {
    const char *type_name;
    const char *accepted;
    size_t size;
    uint64_t max;
} kinds[] = {
    [QOM_PROP_KIND_BOOL] = { "bool", "on or off", sizeof(bool), 1 },
    [QOM_PROP_KIND_UINT8] = { "uint8", "a number", sizeof(uint8_t), UINT8_MAX },
    [QOM_PROP_KIND_UINT16] = { "uint16", "a number", sizeof(uint16_t), UINT16_MAX },
    [QOM_PROP_KIND_UINT32] = { "uint32", "a number", sizeof(uint32_t), UINT32_MAX },
    [QOM_PROP_KIND_INT32] = { "int32", "a number", sizeof(int32_t), INT32_MAX },
    [QOM_PROP_KIND_UINT64] = { "uint64", "a number", sizeof(uint64_t), UINT64_MAX },
    [QOM_PROP_KIND_SIZE] = { "size", "a size such as 512, 4K or 1G", sizeof(uint64_t), UINT64_MAX },
    [QOM_PROP_KIND_STRING] = { "str", "text", sizeof(char *), 0 },
    [QOM_PROP_KIND_ENUM] = { "enum", "a name", sizeof(int), INT32_MAX },
};

static GQuark property_quark(void)
{
    return g_quark_from_static_string("qom-property");
}

static const QomProperty *pspec_property(GParamSpec *pspec)
{
    return g_param_spec_get_qdata(pspec, property_quark());
}

static uint64_t property_max(const QomProperty *prop)
{
    return prop->max ? prop->max : kinds[prop->kind].max;
}

static void *property_field(void *obj, const QomProperty *prop)
{
    return (uint8_t *)obj + prop->offset;
}

/*
 * Stores the low bytes of VALUE in the field (little-endian hosts and others alike: by the field's
 * own type).
 */
static void store_number(void *obj, const QomProperty *prop, uint64_t value)
{
    void *field = property_field(obj, prop);

    switch (prop->kind) {
    case QOM_PROP_KIND_BOOL:
        *(bool *)field = value != 0;
        break;
    case QOM_PROP_KIND_UINT8:
        *(uint8_t *)field = (uint8_t)value;
        break;
    case QOM_PROP_KIND_UINT16:
        *(uint16_t *)field = (uint16_t)value;
        break;
    case QOM_PROP_KIND_UINT32:
        *(uint32_t *)field = (uint32_t)value;
        break;
    case QOM_PROP_KIND_INT32:
        *(int32_t *)field = (int32_t)value;
        break;
    case QOM_PROP_KIND_ENUM:
        *(int *)field = (int)value;
        break;
    default:
        *(uint64_t *)field = value;
    }
}

/* The field's number; signed kinds are sign-extended. */
uint64_t qom_property_load(void *obj, const QomProperty *prop)
{
    void *field = property_field(obj, prop);

    switch (prop->kind) {
    case QOM_PROP_KIND_BOOL:
        return *(bool *)field;
    case QOM_PROP_KIND_UINT8:
        return *(uint8_t *)field;
    case QOM_PROP_KIND_UINT16:
        return *(uint16_t *)field;
    case QOM_PROP_KIND_UINT32:
        return *(uint32_t *)field;
    case QOM_PROP_KIND_INT32:
        return (uint64_t)(int64_t)*(int32_t *)field;
    case QOM_PROP_KIND_ENUM:
        return (uint64_t)(int64_t)*(int *)field;
    default:
        return *(uint64_t *)field;
    }
}

static void property_set(GObject *obj, guint id, const GValue *value, GParamSpec *pspec)
{
    const QomProperty *prop = pspec_property(pspec);

    if (prop->kind == QOM_PROP_KIND_STRING) {
        char **field = property_field(obj, prop);

        g_free(*field);
        *field = g_value_dup_string(value);
    } else if (prop->kind == QOM_PROP_KIND_BOOL) {
        store_number(obj, prop, g_value_get_boolean(value));
    } else if (G_VALUE_HOLDS_INT64(value)) {
        store_number(obj, prop, (uint64_t)g_value_get_int64(value));
    } else {
        store_number(obj, prop, g_value_get_uint64(value));
    }
}

static void property_get(GObject *obj, guint id, GValue *value, GParamSpec *pspec)
{
    const QomProperty *prop = pspec_property(pspec);

    if (prop->kind == QOM_PROP_KIND_STRING) {
        g_value_set_string(value, *(char **)property_field(obj, prop));
    } else if (prop->kind == QOM_PROP_KIND_BOOL) {
        g_value_set_boolean(value, qom_property_load(obj, prop) != 0);
    } else if (G_VALUE_HOLDS_INT64(value)) {
        g_value_set_int64(value, (int64_t)qom_property_load(obj, prop));
    } else {
        g_value_set_uint64(value, qom_property_load(obj, prop));
    }
}

bool qom_property_is_signed(const QomProperty *prop)
{
    return prop->kind == QOM_PROP_KIND_INT32 || prop->kind == QOM_PROP_KIND_ENUM;
}

static GParamSpec *make_pspec(const QomProperty *prop)
{
    GParamFlags flags = G_PARAM_STATIC_NICK | G_PARAM_STATIC_BLURB;

    if (!(prop->flags & QOM_PROP_WRITE_ONLY)) {
        flags |= G_PARAM_READABLE;
    }
    if (!(prop->flags & QOM_PROP_READ_ONLY)) {
        flags |= G_PARAM_WRITABLE | G_PARAM_CONSTRUCT;
    }
    if (prop->kind == QOM_PROP_KIND_STRING) {
        return g_param_spec_string(prop->name, prop->name, prop->description, prop->default_text,
                                   flags);
    }
    if (prop->kind == QOM_PROP_KIND_BOOL) {
        return g_param_spec_boolean(prop->name, prop->name, prop->description,
                                    prop->default_value != 0, flags);
    }
    if (qom_property_is_signed(prop)) {
        int64_t min = prop->min;

        if (prop->kind == QOM_PROP_KIND_INT32 && !prop->min && !prop->max) {
            min = INT32_MIN;
        }
        return g_param_spec_int64(prop->name, prop->name, prop->description,
                                  MIN(min, prop->default_value), (int64_t)property_max(prop),
                                  prop->default_value, flags);
    }
    return g_param_spec_uint64(prop->name, prop->name, prop->description, 0, property_max(prop),
                               (uint64_t)prop->default_value, flags);
}

void qom_property_free_strings(GObject *obj)
{
    guint count;
    g_autofree GParamSpec **pspecs =
        g_object_class_list_properties(G_OBJECT_GET_CLASS(obj), &count);

    for (guint i = 0; i < count; i++) {
        const QomProperty *prop = pspec_property(pspecs[i]);

        if (prop && prop->kind == QOM_PROP_KIND_STRING) {
            g_clear_pointer((char **)property_field(obj, prop), g_free);
        }
    }
}

void qom_class_add_properties(void *klass, const QomProperty *table)
{
    GObjectClass *gobject_class = klass;
    guint id = 1;

    gobject_class->set_property = property_set;
    gobject_class->get_property = property_get;
    for (; table->name; table++) {
        GParamSpec *pspec = make_pspec(table);

        g_param_spec_set_qdata(pspec, property_quark(), (gpointer)table);
        g_object_class_install_property(gobject_class, id++, pspec);
    }
}

/* ---- text ------------------------------------------------------------------------------------ */

/* GObject's look-up takes '-' for '_' and "TYPE::NAME"; names here are exact. */
static const QomProperty *lookup(void *obj, const char *name)
{
    GParamSpec *pspec = g_object_class_find_property(G_OBJECT_GET_CLASS(obj), name);
    const QomProperty *prop = pspec ? pspec_property(pspec) : NULL;

    return prop && g_str_equal(prop->name, name) ? prop : NULL;
}

bool qom_has_property(QomObject *obj, const char *name)
{
    return g_str_equal(name, "type") || lookup(obj, name);
}

const QomProperty *qom_find_property(void *obj, const char *name, GError **errp)
{
    const QomProperty *prop = lookup(obj, name);

    if (!prop) {
        error_setg(errp, "Property '%s.%s' not found; '%s,help' lists the properties",
                   G_OBJECT_TYPE_NAME(obj), name, G_OBJECT_TYPE_NAME(obj));
    }
    return prop;
}

/* The lowest number that PROP takes; kinds without a sign have none below 0. */
static int64_t property_min(const QomProperty *prop)
{
    return prop->kind == QOM_PROP_KIND_INT32 && !prop->min && !prop->max ? INT32_MIN : prop->min;
}

/* Whether PROP takes NUMBER. */
static bool in_range(const QomProperty *prop, uint64_t number)
{
    int64_t value = (int64_t)number;

    if (prop->kind == QOM_PROP_KIND_ENUM) {
        return number < g_strv_length((char **)prop->names);
    }
    if (qom_property_is_signed(prop)) {
        return value >= property_min(prop) && (value < 0 || number <= property_max(prop));
    }
    return number <= property_max(prop) && number >= (uint64_t)prop->min;
}

/* Parses VALUE as PROP's kind into *RET (numbers, bools, enums).  False when malformed. */
static bool parse_number(const QomProperty *prop, const char *value, uint64_t *ret)
{
    bool flag;
    int64_t number;

    switch (prop->kind) {
    case QOM_PROP_KIND_BOOL:
        if (!parse_bool(value, &flag)) {
            return false;
        }
        *ret = flag;
        return true;
    case QOM_PROP_KIND_ENUM:
        for (int i = 0; prop->names[i]; i++) {
            if (g_str_equal(prop->names[i], value)) {
                *ret = (uint64_t)i;
                return true;
            }
        }
        return false;
    case QOM_PROP_KIND_INT32:
        if (!parse_int64(value, &number)) {
            return false;
        }
        *ret = (uint64_t)number;
        return true;
    case QOM_PROP_KIND_SIZE:
        return parse_size(value, 'B', ret);
    default:
        return parse_uint64(value, ret);
    }
}

/* "a number from 0 to 255", "one of a, b, c": what PROP accepts; free with g_free(). */
static char *describe_accepted(const QomProperty *prop)
{
    if (prop->kind == QOM_PROP_KIND_ENUM) {
        g_autofree char *list = g_strjoinv(", ", (char **)prop->names);

        return g_strdup_printf("one of %s", list);
    }
    if (prop->kind == QOM_PROP_KIND_BOOL || prop->kind == QOM_PROP_KIND_STRING) {
        return g_strdup(kinds[prop->kind].accepted);
    }
    return g_strdup_printf("%s from %" G_GINT64_FORMAT " to %" G_GUINT64_FORMAT,
                           kinds[prop->kind].accepted, property_min(prop), property_max(prop));
}

void qom_property_refuse(void *obj, const QomProperty *prop, const char *value, GError **errp)
{
    g_autofree char *accepted = describe_accepted(prop);

    error_setg(errp, "Property '%s.%s' does not take the value '%s'; it takes %s",
               G_OBJECT_TYPE_NAME(obj), prop->name, value, accepted);
}

bool qom_check_settable(QomObject *obj, const QomProperty *prop, GError **errp)
{
    if (prop->flags & QOM_PROP_READ_ONLY) {
        error_setg(errp, "Property '%s.%s' is read-only; leave it out", G_OBJECT_TYPE_NAME(obj),
                   prop->name);
        return false;
    }
    if (obj->sealed && !(prop->flags & QOM_PROP_RUNTIME)) {
        error_setg(errp, "Property '%s.%s' cannot be changed after the object was made; "
                   "give it when the object is made",
                   G_OBJECT_TYPE_NAME(obj), prop->name);
        return false;
    }
    return true;
}

bool qom_property_store(void *obj, const QomProperty *prop, uint64_t number)
{
    if (!in_range(prop, number)) {
        return false;
    }
    store_number(obj, prop, number);
    return true;
}

bool qom_set_str(void *object, const char *name, const char *value, GError **errp)
{
    QomObject *obj = object;
    const QomProperty *prop = qom_find_property(obj, name, errp);
    uint64_t number;

    if (!prop || !qom_check_settable(obj, prop, errp)) {
        return false;
    }
    if (prop->kind == QOM_PROP_KIND_STRING) {
        g_object_set(obj, prop->name, value, NULL);
        return true;
    }
    if (!parse_number(prop, value, &number) || !qom_property_store(obj, prop, number)) {
        qom_property_refuse(obj, prop, value, errp);
        return false;
    }
    return true;
}

static char *number_text(const QomProperty *prop, uint64_t value)
{
    if (prop->kind == QOM_PROP_KIND_BOOL) {
        return g_strdup(value ? "on" : "off");
    }
    if (prop->kind == QOM_PROP_KIND_ENUM) {
        return g_strdup(prop->names[value]);
    }
    if (qom_property_is_signed(prop)) {
        return g_strdup_printf("%" G_GINT64_FORMAT, (int64_t)value);
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT, value);
}

bool qom_check_readable(QomObject *obj, const QomProperty *prop, GError **errp)
{
    if (prop->flags & QOM_PROP_WRITE_ONLY) {
        error_setg(errp, "Property '%s.%s' can only be set; ask for another",
                   G_OBJECT_TYPE_NAME(obj), prop->name);
        return false;
    }
    return true;
}

char *qom_get_str(void *obj, const char *name, GError **errp)
{
    const QomProperty *prop = qom_find_property(obj, name, errp);
    const char *text;

    if (!prop || !qom_check_readable(obj, prop, errp)) {
        return NULL;
    }
    if (prop->kind == QOM_PROP_KIND_STRING) {
        text = *(char **)property_field(obj, prop);
        return g_strdup(text ? text : "");
    }
    return number_text(prop, qom_property_load(obj, prop));
}

typedef struct SetOptions {
    void *obj;
    const char *const *skip;
} SetOptions;

static bool set_one_option(const char *key, const char *value, void *opaque, GError **errp)
{
    SetOptions *set = opaque;

    if (set->skip && g_strv_contains(set->skip, key)) {
        return true;
    }
    return qom_set_str(set->obj, key, value, errp);
}

bool qom_set_options(void *obj, Options *opts, const char *const *skip, GError **errp)
{
    SetOptions set = { obj, skip };

    return options_foreach(opts, set_one_option, &set, errp);
}

void qom_foreach_property(GType type, void (*fn)(const QomProperty *prop, void *opaque),
                          void *opaque)
{
    GObjectClass *klass = g_type_class_ref(type);
    guint count;
    g_autofree GParamSpec **pspecs = g_object_class_list_properties(klass, &count);

    for (guint i = 0; i < count; i++) {
        const QomProperty *prop = pspec_property(pspecs[i]);

        if (prop) {
            fn(prop, opaque);
        }
    }
    g_type_class_unref(klass);
}

bool qom_seal(void *object, GError **errp)
{
    QomObject *obj = object;
    guint count;
    g_autofree GParamSpec **pspecs =
        g_object_class_list_properties(G_OBJECT_GET_CLASS(obj), &count);

    for (guint i = 0; i < count; i++) {
        const QomProperty *prop = pspec_property(pspecs[i]);

        if (prop && (prop->flags & QOM_PROP_REQUIRED) && !*(char **)property_field(obj, prop)) {
            error_setg(errp, "%s: property '%s' is missing; give %s=... (%s)",
                       G_OBJECT_TYPE_NAME(obj), prop->name, prop->name, prop->description);
            return false;
        }
    }
    obj->sealed = true;
    return true;
}

static void print_property(const QomProperty *prop, void *opaque)
{
    g_autofree char *left = g_strdup_printf("%s=<%s>", prop->name, kinds[prop->kind].type_name);
    g_autofree char *fallback = NULL;

    if (prop->flags & QOM_PROP_STATE) {
        return;
    }
    if (prop->kind == QOM_PROP_KIND_STRING) {
        fallback = g_strdup(prop->default_text);
    } else if (!(prop->flags & QOM_PROP_READ_ONLY)) {
        fallback = number_text(prop, (uint64_t)prop->default_value);
    }
    printf("  %-30s - %s", left, prop->description ? prop->description : "");
    if (prop->kind == QOM_PROP_KIND_ENUM) {
        g_autofree char *list = g_strjoinv(", ", (char **)prop->names);

        printf(" (%s)", list);
    }
    if (prop->flags & QOM_PROP_REQUIRED) {
        printf(" (required)");
    } else if (fallback) {
        printf(" (default: %s)", fallback);
    }
    putchar('\n');
}

const char *qom_property_type_name(const QomProperty *prop)
{
    return prop->enum_name ? prop->enum_name : kinds[prop->kind].type_name;
}

void qom_print_properties(GType type)
{
    printf("%s options:\n", g_type_name(type));
    qom_foreach_property(type, print_property, NULL);
}
