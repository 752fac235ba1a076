/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Object model: what its own files share.
 * Thread: main loop only.  Runs in: both programs.
 */
#ifndef QOM_QOM_INT_H
#define QOM_QOM_INT_H

#include <glib-object.h>

/* Frees the string fields of OBJ's properties; the base class's finalize calls it. */
void qom_property_free_strings(GObject *obj);

#endif
