/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The object model: QEMU's names and paths over GObject's types.
 *
 * Thread: main loop only (with the machine lock held in mpqemu).  Runs in: both programs.
 *
 * Types.  A QOM type is a GType registered under its user-visible name ("lsi53c895a",
 * "x-remote-object").  A program makes its types known with an explicit table of get_type functions
 * (qom_register_types()); there are no constructors, so a program holds just the types it lists.
 *
 * Composition tree.  Every object but the root has one parent and a name that is unique there; the
 * tree owns a reference.  "/machine/peripheral/lsi0" is the canonical path of -device
 * lsi53c895a,id=lsi0; "/objects/ID" of an -object.
 *
 * Properties.  A table of QomProperty in class_init becomes GParamSpecs; values live in the
 * instance struct at the stated offset.  Names are shown exactly as in the table
 * ("logical_block_size").  A property is set before the object is realized or completed, later only
 * when QOM_PROP_RUNTIME is given.
 */
#ifndef QOM_OBJECT_H
#define QOM_OBJECT_H

#include <stdbool.h>
#include <stdint.h>
#include <glib-object.h>
#include <json-glib/json-glib.h>
#include "util/options.h"

typedef struct QomObject QomObject;
typedef struct QomObjectClass QomObjectClass;

struct QomObject {
    GObject gobject;
    char *name;          /* component name in the parent; NULL while not in the tree */
    QomObject *parent;   /* not owned */
    GPtrArray *children; /* owned references, in order of insertion */
    bool sealed;         /* realized or completed: only QOM_PROP_RUNTIME properties may change */
};

struct QomObjectClass {
    GObjectClass gobject_class;
    const char *description; /* one line for "-device help"; NULL: none */
    bool internal;           /* cannot be made by a user's -device or -object */
};

#define QOM_TYPE_OBJECT (qom_object_get_type())
GType qom_object_get_type(void);
#define QOM_OBJECT(obj) ((QomObject *)(void *)(obj))
#define QOM_OBJECT_GET_CLASS(obj) G_TYPE_INSTANCE_GET_CLASS((obj), QOM_TYPE_OBJECT, QomObjectClass)

/*
 * Declares a type in its header: PREFIX_get_type(), checked cast CAST(obj), test IS_##CAST(obj),
 * class access CAST##_GET_CLASS(obj).  The structs must be called Instance and InstanceClass.
 */
#define QOM_DECLARE_TYPE(Instance, prefix, CAST) \
    GType prefix##_get_type(void) G_GNUC_CONST; \
    G_GNUC_UNUSED static inline Instance *CAST(void *obj) \
    { \
        return (Instance *)(void *)g_type_check_instance_cast(obj, prefix##_get_type()); \
    } \
    G_GNUC_UNUSED static inline bool IS_##CAST(void *obj) \
    { \
        return obj != NULL && g_type_check_instance_is_a(obj, prefix##_get_type()); \
    } \
    G_GNUC_UNUSED static inline Instance##Class *CAST##_GET_CLASS(void *obj) \
    { \
        return (Instance##Class *)((GTypeInstance *)obj)->g_class; \
    }

/*
 * Defines it in its source file under the user-visible NAME.  The file provides static functions
 * PREFIX_class_init(InstanceClass *) and PREFIX_init(Instance *); parent_class is
 * `PREFIX_parent_class`. FLAGS: 0 or G_TYPE_FLAG_ABSTRACT.
 */
#define QOM_DEFINE_TYPE(Instance, prefix, NAME, PARENT_TYPE, FLAGS) \
    QOM_DEFINE_TYPE_WITH_CODE(Instance, prefix, NAME, PARENT_TYPE, FLAGS, (void)type)

/*
 * CODE runs once right after registration with the variable `GType type`: G_IMPLEMENT-style
 * interface additions.
 */
#define QOM_DEFINE_TYPE_WITH_CODE(Instance, prefix, NAME, PARENT_TYPE, FLAGS, CODE) \
    static void prefix##_class_init(Instance##Class *klass); \
    static void prefix##_init(Instance *self); \
    G_GNUC_UNUSED static gpointer prefix##_parent_class; \
    static void prefix##_class_init_trampoline(gpointer klass, gpointer data) \
    { \
        (void)data; \
        prefix##_parent_class = g_type_class_peek_parent(klass); \
        prefix##_class_init(klass); \
    } \
    static void prefix##_init_trampoline(GTypeInstance *instance, gpointer klass) \
    { \
        (void)klass; \
        prefix##_init((Instance *)(void *)instance); \
    } \
    GType prefix##_get_type(void) \
    { \
        static gsize once; \
        if (g_once_init_enter(&once)) { \
            GType type = g_type_register_static_simple( \
                PARENT_TYPE, NAME, sizeof(Instance##Class), prefix##_class_init_trampoline, \
                sizeof(Instance), prefix##_init_trampoline, (GTypeFlags)(FLAGS)); \
            CODE; \
            g_once_init_leave(&once, type); \
        } \
        return once; \
    }

/* ---- types ----------------------------------------------------------------------------------- */

/* Calls each function of the NULL-ended TABLE, so that qom_type_by_name() finds the types. */
void qom_register_types(GType (*const *table)(void));

/* The type called NAME when it is a QOM object type made known, else 0. */
GType qom_type_by_name(const char *name);

/* All known concrete types derived from BASE, or that have interface BASE, by name; free the array with g_free(). */
GType *qom_types_of(GType base, unsigned *ret_count);

/* All known types, abstract ones too, likewise. */
GType *qom_all_types(unsigned *ret_count);

/* ---- composition tree ------------------------------------------------------------------------ */

/* The root "/"; made at first use. */
QomObject *qom_root(void);

/* The container at PATH ("/machine/peripheral"), with missing parts made.  Not a new reference. */
QomObject *qom_container(const char *path);

/*
 * Adds CHILD (takes a reference of its own) under NAME.  Fails when the name is taken there, also by a
 * property.
 */
bool qom_add_child(QomObject *parent, const char *name, void *child, GError **errp);

/*
 * Takes OBJ out of its parent, which drops the tree's reference; nothing for an object outside the
 * tree.
 */
void qom_unparent(void *obj);

/* A child by name, or NULL; not a new reference. */
QomObject *qom_child(QomObject *parent, const char *name);

/* Longest path that is looked for: deeper than any tree here, so a longer one names nothing. */
#define QOM_PATH_MAX 4096u

/*
 * An object by absolute path, or by an unambiguous last component (an id); NULL when absent.  Not a
 * new reference.
 */
QomObject *qom_resolve(const char *path);

/*
 * The same for a monitor's user: NULL with *errp, of class DeviceNotFound, or generic when several
 * objects answer to the name.
 */
QomObject *qom_find(const char *path, GError **errp);

/* Canonical path of OBJ; free with g_free(). */
char *qom_path(void *obj);

/* ---- properties ------------------------------------------------------------------------------ */

typedef enum QomPropertyKind {
    QOM_PROP_KIND_BOOL,   /* bool */
    QOM_PROP_KIND_UINT8,  /* uint8_t */
    QOM_PROP_KIND_UINT16, /* uint16_t */
    QOM_PROP_KIND_UINT32, /* uint32_t */
    QOM_PROP_KIND_INT32,  /* int32_t */
    QOM_PROP_KIND_UINT64, /* uint64_t */
    QOM_PROP_KIND_SIZE,   /* uint64_t; text may have a size suffix */
    QOM_PROP_KIND_STRING, /* char *, owned, may be NULL */
    QOM_PROP_KIND_ENUM,   /* int: index into `names` */
} QomPropertyKind;

enum {
    QOM_PROP_RUNTIME = 1 << 0,    /* may be set after the object was sealed */
    QOM_PROP_REQUIRED = 1 << 1,   /* strings: realize or complete fails while it is NULL */
    QOM_PROP_READ_ONLY = 1 << 2,  /* shown, not settable */
    QOM_PROP_WRITE_ONLY = 1 << 3, /* settable, not shown */
    QOM_PROP_STATE = 1 << 4,      /* with READ_ONLY: tells how the object is; not in the help */
};

typedef struct QomProperty {
    const char *name;
    QomPropertyKind kind;
    size_t offset;             /* of the field in the instance struct */
    int64_t min;               /* numbers */
    uint64_t max;              /* numbers; 0 means the kind's maximum */
    int64_t default_value;     /* numbers, bool, enum */
    const char *default_text;  /* strings; NULL: none */
    const char *const *names;  /* enum: NULL-ended */
    unsigned flags;            /* QOM_PROP_* */
    const char *description;   /* one line for "-device NAME,help" */
    const char *enum_name;     /* enum: the type's name for monitors ("OnOffAuto"); NULL: "enum" */
} QomProperty;

/*
 * Installs a table ended by an entry with name == NULL.  Call once in class_init.  Storage,
 * defaults, range checks, the g_object_get/set functions and freeing of strings are done by the
 * object model.
 */
void qom_class_add_properties(void *klass, const QomProperty *table);

/*
 * Sets property NAME from text, with a message naming object type, property, value and accepted
 * form.
 */
bool qom_set_str(void *obj, const char *name, const char *value, GError **errp);

/*
 * The property as text; free with g_free().  NULL with *errp when there is none or it cannot be
 * read.
 */
char *qom_get_str(void *obj, const char *name, GError **errp);

/* Sets every pair of OPTS but the keys in SKIP (NULL-ended, may be NULL). */
bool qom_set_options(void *obj, Options *opts, const char *const *skip, GError **errp);

/* Calls FN for each property of TYPE, base classes first. */
void qom_foreach_property(GType type, void (*fn)(const QomProperty *prop, void *opaque),
                          void *opaque);

/*
 * The property as a JSON value (bool, number, string); a new node.  "type" (the type's name) is a
 * property of every object, and a child's name is one whose value is the child's path.  A number above
 * 2^63 - 1, which a JSON number cannot hold here, is decimal text.  NULL with *errp as qom_get_str().
 */
JsonNode *qom_get_json(void *obj, const char *name, GError **errp);

/*
 * Sets property NAME from a JSON value: of the fitting type, or a string, which is taken as
 * qom_set_str() does.
 */
bool qom_set_json(void *obj, const char *name, JsonNode *value, GError **errp);

/* The property's type for qom-list and device-list-properties: "bool", "uint8", "str", "size", ... */
const char *qom_property_type_name(const QomProperty *prop);

/* The default of PROP as a JSON value; NULL for those without: strings, what only tells a state. */
JsonNode *qom_property_default(const QomProperty *prop);

/* Checks QOM_PROP_REQUIRED and seals; device_realize() and user_creatable_complete() call it. */
bool qom_seal(void *obj, GError **errp);

/* ---- objects made by -object ----------------------------------------------------------------- */

typedef struct UserCreatableInterface {
    GTypeInterface parent;
    /* All properties are set; make the object work.  Called once. */
    bool (*complete)(QomObject *obj, GError **errp);
    /* May it be deleted now (object-del)?  NULL: always. */
    bool (*can_be_deleted)(QomObject *obj, GError **errp);
    /* See user_creatable_quiesce().  NULL: there is nothing. */
    bool (*quiesce)(QomObject *obj);
} UserCreatableInterface;

#define QOM_TYPE_USER_CREATABLE (user_creatable_get_type())
GType user_creatable_get_type(void);

/*
 * -object TYPE,id=ID[,prop=value...] (implied key "qom-type"): makes, sets, completes and puts it
 * at /objects/ID. Nothing is left behind on failure.  "help" forms are handled by the caller.
 */
QomObject *user_creatable_add(Options *opts, GError **errp);

/*
 * "-object help" lists the types, "-object TYPE,help" the properties of one: prints to stdout and
 * returns true; false when ARG asks for no help, or for that of no such type.
 */
bool user_creatable_print_help(const char *arg);

/*
 * Before user_creatable_del(): ends what the object ID does to memory that is not its own, and tells whether that is
 * over; to be called again, for a limited time, until it is.  True for an object that there is not, or that cannot be
 * deleted.
 */
bool user_creatable_quiesce(const char *id);

/* Takes the object ID away.  Fails, generic as in QEMU, when there is none or it is in use. */
bool user_creatable_del(const char *id, GError **errp);

/*
 * Prints "-object help" / "-object TYPE,help" / "-device ..." style lists of TYPE's properties to
 * stdout.
 */
void qom_print_properties(GType type);

#endif
