/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: what its own files share.
 * Thread: main loop only.  Runs in: both programs.
 */
#ifndef QOM_QOM_INT_H
#define QOM_QOM_INT_H

#include <stdbool.h>
#include "qom/object.h"

/* Frees the string fields of OBJ's properties; the base class's finalize calls it. */
void qom_property_free_strings(GObject *obj);

/* Whether NAME is a property of OBJ, "type" included. */
bool qom_has_property(QomObject *obj, const char *name);

/* A property by its exact name, or NULL with *errp. */
const QomProperty *qom_find_property(void *obj, const char *name, GError **errp);

/* Whether PROP of OBJ may be set now. */
bool qom_check_settable(QomObject *obj, const QomProperty *prop, GError **errp);

/* Whether PROP of OBJ may be read. */
bool qom_check_readable(QomObject *obj, const QomProperty *prop, GError **errp);

/* Sets a bool, number or enum: NUMBER as stored, two's complement when negative.  False: out of range. */
bool qom_property_store(void *obj, const QomProperty *prop, uint64_t number);
uint64_t qom_property_load(void *obj, const QomProperty *prop);
bool qom_property_is_signed(const QomProperty *prop);

/* The message about VALUE that PROP does not take. */
void qom_property_refuse(void *obj, const QomProperty *prop, const char *value, GError **errp);

#endif
