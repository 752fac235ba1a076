/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitor: commands and who runs them.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * A command is described in the schema (qapi/), implemented by one QmpHandler, and made known by
 * qmp_register().  A session (QMP on a socket or stdio, or HMP) calls it through qmp_dispatch(), which
 * has checked the arguments.  HMP commands (monitor/hmp.h) are text in front of the same handlers.
 *
 * Nothing here waits.  A handler that needs time (a remote process must answer) defers its call and
 * finishes it later from the event loop; meanwhile all sessions, and out-of-band commands of the same
 * session, go on.  In-band commands of one session run one after the other, so its answers come in
 * the order of its commands.
 *
 * Clients are not trusted to read: a session whose unsent output has passed a limit gets no further
 * commands read, and loses events (which is counted and told), until the client has caught up.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include <stdbool.h>
#include <json-glib/json-glib.h>
#include "qapi/qapi.h"

typedef struct QmpCall QmpCall; /* one command under way */

/*
 * Runs a command.  ARGS fits the schema; never NULL.  On success *ret_value is a new node that fits
 * the schema, or is left NULL for the empty object.  Returns false with *errp set on failure; its
 * ErrorClass becomes the answer's class.  After qmp_call_defer() the return value is ignored (return
 * true) and nothing may be set.
 */
typedef bool QmpHandler(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp);

typedef struct QmpCommandImpl {
    const char *name; /* as in the schema; NULL ends the table */
    QmpHandler *run;
} QmpCommandImpl;

/* Makes the monitor's own commands known; at program start. */
void monitor_init(void);

/* Makes the commands of TABLE (static) known; at program start.  A name that is not in the schema is a bug. */
void qmp_register(const QmpCommandImpl *table);

/* Whether this program has the command NAME. */
bool qmp_has_command(const char *name);

/* Called once when a dispatched command has ended: ERR NULL is success.  Both stay the callee's. */
typedef void QmpDone(JsonNode *value, const GError *err, void *opaque);

/*
 * Runs command NAME with ARGS (NULL: none), checked against the schema.  DONE may come at once, inside
 * the call, or later from the event loop.  Used by HMP and by tests; QMP sessions have their own way in.
 */
void qmp_dispatch(const char *name, JsonObject *args, QmpDone *done, void *opaque);

/*
 * The handler's call ends later.  The call is the handler's until qmp_call_finish(), which must follow,
 * once.  When the session ends before, the finish is accepted and goes nowhere.
 */
void qmp_call_defer(QmpCall *call);

/* Ends a deferred call: VALUE (taken; NULL: the empty object), or failure with ERR (taken). */
void qmp_call_finish(QmpCall *call, JsonNode *value, GError *err);

/* Takes the oldest descriptor that came with this command by SCM_RIGHTS; -1: there is none. */
int qmp_call_take_fd(QmpCall *call);

/* The name of the machine (-name), or NULL; for query-name.  NAME is copied. */
void monitor_set_vm_name(const char *name);

#endif
