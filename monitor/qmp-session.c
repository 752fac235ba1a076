/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP sessions: greeting, negotiation, commands in order and out of band, answers, events.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  Bytes become texts (util/json-stream.h), texts become requests.  In-band requests go
 * through a short queue, texts that are no requests too, so that errors come in order; one runs at a time.  A
 * request out of band runs at once.  Input is left unread while the queue is full or the client does not read
 * its answers, so a client costs bounded memory.  A turn of the loop looks at a few texts only; a deferred
 * call goes on with the rest, so that other clients and devices get their share.
 *
 * Descriptors belong to all commands that end in the bytes that they came with, or that these bytes begin; each takes
 * what it needs, the rest is closed when the last of these commands has ended.
 */
#include <string.h>

#include "monitor-int.h"
#include "trace/monitor.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/json-stream.h"

#define QUEUE_MAX 8                  /* requests that wait; as in QEMU */
#define QUEUE_BYTES_MAX (64u * 1024) /* when their texts are this long together, there will be no more */
#define TEXTS_PER_TURN 8             /* of one session */

/* A text of the client's. */
typedef struct Request {
    JsonNode *id;               /* NULL: none */
    const QapiCommand *command; /* NULL: `err` is the answer */
    JsonObject *args;           /* NULL: none */
    bool oob;
    size_t size;                /* of its text */
    FdBatch *fds;
    GError *err;
} Request;

struct QmpSession {
    MonitorStream *stream;
    JsonStream *json;
    bool pretty;
    bool negotiated;
    bool oob;           /* enabled by the client */
    bool more;          /* `json` may hold a complete text */
    bool input_ended;
    FdBatch *fds;       /* for the texts that end next; NULL: none */
    GQueue queue;       /* Request *, owned, in band */
    size_t queue_bytes; /* of their texts */
    Request *current;   /* whose command runs; owned */
    QmpCall *call;      /* of `current`, deferred */
    EventBh *bh;        /* goes on with what was left */
    uint64_t events_lost;
};

static GPtrArray *sessions; /* QmpSession * */

/* ---- life ------------------------------------------------------------------------------------ */

static void request_free(Request *request)
{
    if (request) {
        g_clear_pointer(&request->id, json_node_unref);
        g_clear_pointer(&request->args, json_object_unref);
        fd_batch_unref(request->fds);
        g_clear_error(&request->err);
        g_free(request);
    }
}

/* The stream has been freed or given away. */
static void session_free(QmpSession *session)
{
    trace_monitor_session_close(session);
    g_ptr_array_remove_fast(sessions, session);
    if (session->call) {
        qmp_call_orphan(session->call);
    }
    request_free(session->current);
    g_queue_clear_full(&session->queue, (GDestroyNotify)request_free);
    fd_batch_unref(session->fds);
    json_stream_free(session->json);
    event_bh_free(session->bh);
    g_free(session);
}

/* ---- output ---------------------------------------------------------------------------------- */

static void session_send(QmpSession *session, JsonNode *node)
{
    g_autofree char *text = json_text(node, session->pretty);
    g_autofree char *line = g_strconcat(text, "\r\n", NULL); /* as QEMU ends them */

    monitor_stream_write(session->stream, line, strlen(line));
}

static const char *class_name(const GError *err)
{
    static const char *const names[] = {
        [ERROR_CLASS_GENERIC] = "GenericError",
        [ERROR_CLASS_COMMAND_NOT_FOUND] = "CommandNotFound",
        [ERROR_CLASS_DEVICE_NOT_FOUND] = "DeviceNotFound",
        [ERROR_CLASS_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    };

    return err->domain == MPQEMU_ERROR && (unsigned)err->code < G_N_ELEMENTS(names) ? names[err->code] : names[0];
}

/* Answers with VALUE, or with ERR when it is not NULL. */
static void session_answer(QmpSession *session, JsonNode *id, JsonNode *value, const GError *err)
{
    JsonObject *object = json_object_new();
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);

    json_object_unref(object);
    if (err) {
        JsonObject *error = json_object_new();

        trace_qmp_error(session, err->message);
        json_object_set_string_member(error, "class", class_name(err));
        json_object_set_string_member(error, "desc", err->message);
        json_object_set_object_member(object, "error", error);
    } else {
        json_object_set_member(object, "return", json_node_ref(value));
    }
    if (id) {
        json_object_set_member(object, "id", json_node_ref(id));
    }
    session_send(session, node);
}

static void session_greet(QmpSession *session)
{
    JsonObject *object = json_object_new(), *greeting = json_object_new();
    JsonArray *capabilities = json_array_new();
    g_autoptr(JsonNode) node = json_node_init_object(json_node_alloc(), object);

    json_object_unref(object);
    json_array_add_string_element(capabilities, "oob");
    json_object_set_object_member(greeting, "version", monitor_version());
    json_object_set_array_member(greeting, "capabilities", capabilities);
    json_object_set_object_member(object, "QMP", greeting);
    session_send(session, node);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Reads one member of the request object. */
static bool read_member(QmpSession *session, Request *request, const char *key, JsonNode *node, const char **ret_name,
                        GError **errp)
{
    bool oob = g_str_equal(key, "exec-oob") && session->oob;

    if (g_str_equal(key, "id")) {
        return true;
    }
    if (oob || g_str_equal(key, "execute")) {
        if (!JSON_NODE_HOLDS_VALUE(node) || json_node_get_value_type(node) != G_TYPE_STRING) {
            error_setg(errp, "QMP input member '%s' must be a string", key);
            return false;
        }
        if (*ret_name) {
            error_setg(errp, "QMP input member 'execute' clashes with 'exec-oob'");
            return false;
        }
        *ret_name = json_node_get_string(node);
        request->oob = oob;
        return true;
    }
    if (g_str_equal(key, "arguments")) {
        if (!JSON_NODE_HOLDS_OBJECT(node)) {
            error_setg(errp, "QMP input member 'arguments' must be an object");
            return false;
        }
        request->args = json_node_dup_object(node);
        return true;
    }
    error_setg(errp, "QMP input member '%s' is unexpected", key);
    return false;
}

/* Finds the command NAME, if the session may have it now. */
static bool find_command(QmpSession *session, Request *request, const char *name, GError **errp)
{
    bool negotiates = g_str_equal(name, "qmp_capabilities");

    if (!session->negotiated && !negotiates) {
        error_set(errp, ERROR_CLASS_COMMAND_NOT_FOUND,
                  "Expecting capabilities negotiation with 'qmp_capabilities'");
        return false;
    }
    if (session->negotiated && negotiates) {
        error_set(errp, ERROR_CLASS_COMMAND_NOT_FOUND,
                  "Capabilities negotiation is already complete, command ignored");
        return false;
    }
    request->command = qmp_has_command(name) ? qapi_command_find(name) : NULL;
    if (!request->command) {
        error_set(errp, ERROR_CLASS_COMMAND_NOT_FOUND, "The command %s has not been found", name);
        return false;
    }
    if (request->oob && !request->command->allow_oob) {
        request->command = NULL;
        error_setg(errp, "The command %s does not support OOB", name);
        return false;
    }
    return true;
}

/*
 * The request of OBJECT; with `err` when it is none.  What the negotiation allows is looked at when it runs: it may be
 * about to change.
 */
static Request *request_new(QmpSession *session, JsonNode *node, GError *parse_err)
{
    Request *request = g_new0(Request, 1);

    request->err = parse_err;
    if (node) {
        JsonObject *object = json_node_get_object(node);
        JsonNode *id = json_object_get_member(object, "id");

        request->id = id ? json_node_copy(id) : NULL;
        request->args = json_object_ref(object); /* the whole text, until it is looked at */
    }
    return request;
}

/* Looks at the text of REQUEST; true when it is a request that may run now. */
static bool request_read(QmpSession *session, Request *request, GError **errp)
{
    g_autoptr(JsonObject) object = g_steal_pointer(&request->args);
    const char *name = NULL, *key;
    JsonObjectIter iter;
    JsonNode *node;

    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &key, &node)) {
        if (!read_member(session, request, key, node, &name, errp)) {
            return false;
        }
    }
    if (!name) {
        error_setg(errp, "QMP input lacks member 'execute'");
        return false;
    }
    trace_qmp_command(session, name);
    return find_command(session, request, name, errp);
}

/* ---- running --------------------------------------------------------------------------------- */

static void session_go_on(QmpSession *session)
{
    event_bh_schedule(session->bh);
}

/* The in-band command has ended. */
static void current_done(JsonNode *value, const GError *err, void *opaque)
{
    QmpSession *session = opaque;

    session_answer(session, session->current->id, value, err);
    g_clear_pointer(&session->current, request_free);
    if (session->call) {
        session->call = NULL;
        session_go_on(session);
    }
}

typedef struct OobCall {
    QmpSession *session;
    Request *request;
} OobCall;

/* A command out of band has ended. */
static void oob_done(JsonNode *value, const GError *err, void *opaque)
{
    OobCall *oob = opaque;

    session_answer(oob->session, oob->request->id, value, err);
}

static bool is_output_high(const QmpSession *session)
{
    return monitor_stream_unsent(session->stream) >= MONITOR_OUTPUT_HIGH;
}

/* Runs what waits, in order, until one takes longer. */
static void run_queue(QmpSession *session)
{
    while (!session->current && !is_output_high(session) && !g_queue_is_empty(&session->queue)) {
        Request *request = g_queue_pop_head(&session->queue);

        session->queue_bytes -= request->size;
        session->current = request;
        if (request->err || !request_read(session, request, &request->err)) {
            session_answer(session, request->id, NULL, request->err);
            g_clear_pointer(&session->current, request_free);
            continue;
        }
        session->call = qmp_call_start(request->command, request->args, request->fds, session, current_done, session);
    }
}

/* Whether the text asks for a run out of band, which the client has enabled. */
static bool is_oob(const QmpSession *session, JsonNode *node)
{
    return node && session->oob && json_object_has_member(json_node_get_object(node), "exec-oob");
}

static void run_oob(QmpSession *session, Request *request)
{
    OobCall oob = { session, request };
    QmpCall *call = NULL;

    if (request_read(session, request, &request->err)) {
        call = qmp_call_start(request->command, request->args, request->fds, session, oob_done, &oob);
        if (call) {
            qmp_call_orphan(call);
            error_setg(&request->err, "The command %s takes longer than a command out of band may",
                       request->command->name);
        }
    }
    if (request->err) {
        session_answer(session, request->id, NULL, request->err);
    }
    request_free(request);
}

/* Takes the next text.  False: there is none. */
static bool take_text(QmpSession *session)
{
    g_autoptr(JsonNode) node = NULL;
    GError *err = NULL;
    Request *request;

    if (!json_stream_next(session->json, &node, &err)) {
        return false;
    }
    request = request_new(session, node, err);
    request->fds = fd_batch_ref(session->fds);
    request->size = json_stream_last_size(session->json);
    if (is_oob(session, node)) {
        run_oob(session, request);
    } else {
        session->queue_bytes += request->size;
        g_queue_push_tail(&session->queue, request);
        run_queue(session);
    }
    return true;
}

/* All of the client's commands have been answered and nothing more comes. */
static bool is_over(const QmpSession *session)
{
    return session->input_ended && !session->more && !session->current && !session->queue.length;
}

/* Nothing more may be taken in for now. */
static bool is_full(const QmpSession *session)
{
    return is_output_high(session) || session->queue.length >= QUEUE_MAX || session->queue_bytes >= QUEUE_BYTES_MAX;
}

/* Does a turn's share of what there is to do; frees the session when that was the last. */
static void session_run(QmpSession *session)
{
    run_queue(session);
    for (unsigned texts = 0; session->more && !is_full(session) && texts < TEXTS_PER_TURN; texts++) {
        session->more = take_text(session);
        if (!session->more && !json_stream_is_partial(session->json)) {
            g_clear_pointer(&session->fds, fd_batch_unref);
        }
    }
    if (is_over(session)) {
        monitor_stream_finish(session->stream);
        session_free(session);
        return;
    }
    if (session->more && !is_full(session)) {
        session_go_on(session);
    }
    monitor_stream_pause(session->stream, session->more || is_full(session));
}

static void session_deferred(void *opaque)
{
    session_run(opaque);
}

/* ---- the stream's side ----------------------------------------------------------------------- */

static void session_bytes(void *opaque, const char *data, size_t len)
{
    QmpSession *session = opaque;
    int fds[MONITOR_STREAM_FDS];
    unsigned num = monitor_stream_take_fds(session->stream, fds);

    if (num > 0 && !session->fds) {
        session->fds = fd_batch_new();
    }
    for (unsigned i = 0; i < num; i++) {
        fd_batch_add_take_fd(session->fds, fds[i]);
    }
    json_stream_push(session->json, data, len);
    session->more = true;
    session_run(session);
}

static void session_drained(void *opaque)
{
    QmpSession *session = opaque;

    if (session->events_lost) {
        g_autoptr(JsonObject) data = json_object_new();
        g_autoptr(JsonNode) node = NULL;

        json_object_set_int_member(data, "count", (int64_t)session->events_lost);
        session->events_lost = 0;
        node = qapi_event_node("EVENTS_LOST", data);
        session_send(session, node);
    }
    session_run(session);
}

static void session_closed(void *opaque, bool half)
{
    QmpSession *session = opaque;

    if (half) {
        session->input_ended = true;
        session_run(session);
        return;
    }
    monitor_stream_free(session->stream);
    session_free(session);
}

static const MonitorStreamOps session_ops = {
    .bytes = session_bytes,
    .drained = session_drained,
    .closed = session_closed,
};

void qmp_session_open(MonitorStream *stream, bool pretty)
{
    QmpSession *session = g_new0(QmpSession, 1);

    session->stream = stream;
    session->pretty = pretty;
    session->json = json_stream_new();
    session->bh = event_bh_new(event_loop_main(), session_deferred, session);
    g_queue_init(&session->queue);
    if (!sessions) {
        sessions = g_ptr_array_new();
    }
    g_ptr_array_add(sessions, session);
    trace_monitor_session_open(session);
    monitor_stream_set_session(stream, &session_ops, session);
    session_greet(session);
}

void qmp_session_negotiated(QmpSession *session, bool oob)
{
    session->negotiated = true;
    session->oob = oob;
}

void qmp_sessions_event(JsonNode *node)
{
    for (unsigned i = 0; sessions && i < sessions->len; i++) {
        QmpSession *session = g_ptr_array_index(sessions, i);

        if (!session->negotiated) {
            continue;
        }
        if (session->events_lost || monitor_stream_unsent(session->stream) >= MONITOR_EVENTS_HIGH) {
            session->events_lost++;
        } else {
            session_send(session, node);
        }
    }
}

void qmp_sessions_stop(void)
{
    while (sessions && sessions->len > 0) {
        QmpSession *session = g_ptr_array_index(sessions, 0);

        monitor_stream_free(session->stream);
        session_free(session);
    }
    g_clear_pointer(&sessions, g_ptr_array_unref);
}
