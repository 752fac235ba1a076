/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands: who has which, checking, running, deferring; events on their way to sessions.
 *
 * Runs in: both programs.
 */
#include <string.h>

#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "trace/monitor.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

struct QmpCall {
    QmpDone *done; /* NULL: nobody wants to know any more */
    void *opaque;
    QmpSession *session;
    FdBatch *fds;
    const QapiCommand *command;
    bool in_handler; /* its end is told when the handler has returned */
    bool deferred;
    bool finished;   /* qmp_call_finish() came inside the handler */
    JsonNode *value;
    GError *err;
};

/* ---- descriptors ----------------------------------------------------------------------------- */

FdBatch *fd_batch_new(void)
{
    FdBatch *batch = g_new0(FdBatch, 1);

    batch->refs = 1;
    return batch;
}

void fd_batch_add_take_fd(FdBatch *batch, int fd)
{
    if (batch->num < MONITOR_STREAM_FDS) {
        batch->fds[batch->num++] = fd;
    } else {
        fd_close(&fd);
    }
}

FdBatch *fd_batch_ref(FdBatch *batch)
{
    if (batch) {
        batch->refs++;
    }
    return batch;
}

void fd_batch_unref(FdBatch *batch)
{
    if (batch && --batch->refs == 0) {
        for (unsigned i = 0; i < batch->num; i++) {
            fd_close(&batch->fds[i]);
        }
        g_free(batch);
    }
}

int qmp_call_take_fd(QmpCall *call)
{
    for (unsigned i = 0; call->fds && i < call->fds->num; i++) {
        if (call->fds->fds[i] >= 0) {
            return fd_steal(&call->fds->fds[i]);
        }
    }
    return -1;
}

/* ---- who has which --------------------------------------------------------------------------- */

static GHashTable *handlers; /* name -> QmpCommandImpl * */

void qmp_register(const QmpCommandImpl *table)
{
    if (!handlers) {
        handlers = g_hash_table_new(g_str_hash, g_str_equal);
    }
    for (; table->name; table++) {
        /* A bug of ours that the first start shows, not something that anybody sends. */
        g_assert(qapi_command_find(table->name) != NULL);
        g_hash_table_insert(handlers, (void *)table->name, (void *)table);
    }
}

static QmpHandler *find_handler(const char *name)
{
    const QmpCommandImpl *impl = handlers ? g_hash_table_lookup(handlers, name) : NULL;

    return impl ? impl->run : NULL;
}

bool qmp_has_command(const char *name)
{
    return find_handler(name) != NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

static void call_free(QmpCall *call)
{
    fd_batch_unref(call->fds);
    g_clear_pointer(&call->value, json_node_unref);
    g_clear_error(&call->err);
    g_free(call);
}

/* Tells how the call ended. */
static void call_end(QmpCall *call)
{
    if (!call->done) {
        return;
    }
    if (!call->err && !call->value) {
        call->value = node_take_object(json_object_new());
    }
    call->done(call->err ? NULL : call->value, call->err, call->opaque);
}

/* An answer that does not fit the schema is a bug; a client that relies on the schema must not see it. */
static void check_answer(QmpCall *call)
{
    g_autoptr(GError) err = NULL;

    if (!call->err && call->value && call->command->ret &&
        !qapi_check(call->command->ret, call->value, "return", &err)) {
        error_setg(&call->err, "internal error: the answer of %s does not fit the schema: %s", call->command->name,
                   err->message);
    }
}

static bool check_args(const QapiCommand *command, JsonObject *args, GError **errp)
{
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), args);

    return qapi_check(command->args, node, "", errp);
}

QmpCall *qmp_call_start(const QapiCommand *command, JsonObject *args, FdBatch *fds, QmpSession *session,
                        QmpDone *done, void *opaque)
{
    g_autoptr(JsonObject) object = args ? json_object_ref(args) : json_object_new();
    QmpCall *call = g_new0(QmpCall, 1);

    *call = (QmpCall) {
        .done = done,
        .opaque = opaque,
        .session = session,
        .fds = fd_batch_ref(fds),
        .command = command,
    };
    if (check_args(command, object, &call->err)) {
        call->in_handler = true;
        find_handler(command->name)(call, object, &call->value, &call->err);
        call->in_handler = false;
        if (call->deferred && !call->finished) {
            return call;
        }
    }
    check_answer(call);
    call_end(call);
    call_free(call);
    return NULL;
}

void qmp_call_defer(QmpCall *call)
{
    call->deferred = true;
}

void qmp_call_finish(QmpCall *call, JsonNode *value, GError *err)
{
    call->value = value;
    call->err = err;
    call->finished = true;
    if (!call->in_handler) {
        check_answer(call);
        call_end(call);
        call_free(call);
    }
}

void qmp_call_orphan(QmpCall *call)
{
    call->done = NULL;
    call->session = NULL;
}

QmpSession *qmp_call_session(QmpCall *call)
{
    return call->session;
}

void qmp_dispatch(const char *name, JsonObject *args, QmpDone *done, void *opaque)
{
    const QapiCommand *command = qmp_has_command(name) ? qapi_command_find(name) : NULL;

    if (!command) {
        g_autoptr(GError) err = NULL;

        error_set(&err, ERROR_CLASS_COMMAND_NOT_FOUND, "The command %s has not been found", name);
        done(NULL, err, opaque);
        return;
    }
    qmp_call_start(command, args, NULL, NULL, done, opaque);
}

/* ---- events ---------------------------------------------------------------------------------- */

/*
 * Sessions belong to the main loop's thread.  A device may emit an event on a vCPU's thread (with the machine lock
 * held); it is kept until the loop's next turn, and later ones behind it, so that the order stays.
 */
static GThread *loop_thread;
static GQueue late_events = G_QUEUE_INIT; /* JsonNode *, owned */
static EventBh *late_bh;

/* A guest can make events as fast as it likes; what the loop has not come to by then is lost. */
#define LATE_EVENTS_MAX 4096

static void send_late_events(void *opaque)
{
    JsonNode *node;

    while ((node = g_queue_pop_head(&late_events)) != NULL) {
        qmp_sessions_event(node);
        json_node_unref(node);
    }
}

static void monitor_event(const char *event, JsonNode *node, void *opaque)
{
    trace_qmp_event(event);
    if (g_thread_self() == loop_thread) {
        send_late_events(NULL);
        qmp_sessions_event(node);
    } else if (g_queue_get_length(&late_events) < LATE_EVENTS_MAX) {
        g_queue_push_tail(&late_events, json_node_ref(node));
        event_bh_schedule(late_bh);
    }
}

void monitor_events_start(void)
{
    loop_thread = g_thread_self();
    late_bh = event_bh_new(event_loop_main(), send_late_events, NULL);
    qapi_set_event_sink(monitor_event, NULL);
}

void monitor_events_stop(void)
{
    qapi_set_event_sink(NULL, NULL);
    event_bh_free(late_bh);
    late_bh = NULL;
    g_queue_clear_full(&late_events, (GDestroyNotify)json_node_unref);
}
