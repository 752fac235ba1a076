/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The management interface's schema as tables: types, commands, events; checks against it; events.
 *
 * Thread: main loop with the machine lock held; the tables are constant.  Runs in: both programs.
 *
 * One source.  qapi/ *.json (QEMU's schema language) is the only place where a command, an event or a
 * type is described.  scripts/qapi-gen.py makes of it the tables declared here, and the reference
 * page.  The monitor checks every command's arguments against the tables before a handler sees them,
 * and answers query-qmp-schema from them.
 *
 * Values are json-glib nodes; an int is a 64-bit number, as there.
 */
#ifndef QAPI_QAPI_H
#define QAPI_QAPI_H

#include <stdbool.h>
#include <stdint.h>
#include <json-glib/json-glib.h>

typedef enum QapiKind {
    QAPI_STR,
    QAPI_INT,    /* within min..max of the type */
    QAPI_NUMBER, /* int or float */
    QAPI_BOOL,
    QAPI_NULL,
    QAPI_ANY,
    QAPI_ENUM,
    QAPI_ARRAY,
    QAPI_OBJECT,    /* struct; with `tag` a flat union */
    QAPI_ALTERNATE, /* one of several types, told apart by the JSON type */
} QapiKind;

typedef struct QapiType QapiType;

typedef struct QapiMember {
    const char *name; /* NULL ends a table */
    const QapiType *type;
    bool optional;
} QapiMember;

/* A branch of a union (NAME: the tag's value) or alternate (NAME: the branch's own). */
typedef struct QapiVariant {
    const char *name; /* NULL ends a table */
    const QapiType *type;
} QapiVariant;

struct QapiType {
    const char *name; /* "BlockdevOptions", "[str]", "int" */
    QapiKind kind;
    int64_t min;                 /* QAPI_INT */
    uint64_t max;                /* QAPI_INT; 0: INT64_MAX */
    const char *const *values;   /* QAPI_ENUM: NULL-ended */
    const QapiType *element;     /* QAPI_ARRAY */
    const QapiMember *members;   /* QAPI_OBJECT: the base's first */
    const char *tag;             /* QAPI_OBJECT: member that chooses the variant; NULL: no union */
    const QapiVariant *variants; /* union, alternate */
    bool open; /* QAPI_OBJECT: members that are not in the table are left to the handler (device_add) */
};

typedef struct QapiCommand {
    const char *name;      /* NULL ends the table */
    const QapiType *args;  /* an object; never NULL (an empty one) */
    const QapiType *ret;   /* NULL: the empty object */
    bool allow_oob;        /* may be run by exec-oob */
    bool allow_preconfig;
} QapiCommand;

typedef struct QapiEvent {
    const char *name;
    const QapiType *data; /* an object; never NULL */
} QapiEvent;

/* Generated, sorted by name. */
extern const QapiCommand qapi_commands[];
extern const QapiEvent qapi_events[];

/* NULL when there is none of the name. */
const QapiCommand *qapi_command_find(const char *name);
const QapiEvent *qapi_event_find(const char *name);

/*
 * Checks NODE against TYPE, to any depth.  PATH is the value's name for the message ("" at the top).
 * Messages are QEMU's: "Parameter 'x' is missing", "Parameter 'x' is unexpected", "Invalid parameter
 * type for 'x', expected: string", "Parameter 'x' does not accept value 'y'".
 */
bool qapi_check(const QapiType *type, JsonNode *node, const char *path, GError **errp);

/*
 * The answer of query-qmp-schema for the commands for which HAVE(name, opaque) is true, and all
 * events, with the types that these reach (names of non-builtin types masked by numbers, as in QEMU).
 * A new node.
 */
JsonNode *qapi_introspect(bool (*have)(const char *command, void *opaque), void *opaque);

/* ---- events ---------------------------------------------------------------------------------- */

/*
 * Any thread that holds the machine lock.  Tells all monitors that EVENT happened.  DATA is taken; NULL: no
 * members.  What is emitted fits the schema (checked; a mismatch is a bug, which is logged, and is not
 * sent).  Costs nothing when there is no monitor.
 */
void qapi_event_emit(const char *event, JsonObject *data);

/*
 * The object of an event as clients see it, stamped with the time of now: a new node.  DATA (may be NULL) stays
 * the caller's.
 */
JsonNode *qapi_event_node(const char *event, JsonObject *data);

/*
 * Where events go: the monitor sets it, a test may.  NODE is the whole event object with "event",
 * "data" and "timestamp"; it stays the caller's.
 */
typedef void QapiEventSink(const char *event, JsonNode *node, void *opaque);
void qapi_set_event_sink(QapiEventSink *sink, void *opaque);

#endif
