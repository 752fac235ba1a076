/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside io/: what one text of a QMP server says.
 *
 * Thread: any.  Runs in: mpqemu.
 */
#ifndef IO_QMP_TEXT_H
#define IO_QMP_TEXT_H

#include <stdbool.h>
#include <json-glib/json-glib.h>

typedef enum QmpTextKind {
    QMP_TEXT_GREETING,
    QMP_TEXT_EVENT,  /* .name, .data */
    QMP_TEXT_ANSWER, /* .id, and .value or .err */
} QmpTextKind;

/* Strings and nodes belong to the object that was parsed, but ERR. */
typedef struct QmpText {
    QmpTextKind kind;
    const char *name;
    JsonObject *data; /* NULL: none */
    const char *id;   /* NULL: none, or no string */
    JsonNode *value;
    GError *err; /* the peer's words and class, owned: free with g_clear_error() */
} QmpText;

/*
 * Returns NULL, or what OBJECT is instead of something a server says.  An event has a name, an error a
 * description; all strings are valid UTF-8.
 */
const char *qmp_text_parse(JsonObject *object, QmpText *ret_text);

#endif
