/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP client: commands out one at a time, answers and events in, from a peer that is not trusted.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  At most two of our texts are unanswered: a command and a heartbeat.  Each is a
 * QmpRequest in `command` or `ping`, where its answer finds it by the id, and in `out` as long as the socket
 * has not taken all its bytes; commands wait in `queue` for their turn.  What was refused waits in `failed`
 * for the deferred call, which is also what begins to send: so no callback runs inside a function of the
 * public interface but qmp_client_free().
 *
 * Receiving: one recv() a turn of the loop, and of the texts in it TEXTS_PER_TURN a turn; while some are
 * left nothing more is read.  A peer that floods us is slowed down by its own socket.
 *
 * Ending: client_close() is the only way to CLOSED but qmp_client_free().  It runs in the event loop only, so
 * the callbacks come at once: commands first, then `closed`.
 *
 * Freeing: callbacks may free the client.  Functions that call back hold `busy`; the memory goes when the
 * last of them has returned.
 */
#include "io/qmp-client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "io/qmp-text.h"
#include "trace/io.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/json-stream.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

const SyscallTable qmp_client_syscalls = {
    "control channel", (const SyscallRule[]) {
        SYSCALL(sendmsg, "commands, and the descriptors with them", FD_SOCKET_SENDS_AT_ONCE),
        SYSCALL(recvfrom, "answers and events"),
        SYSCALL(getsockopt, "a channel must be a stream", ARG_IS(1, SOL_SOCKET), ARG_IS(2, SO_TYPE)),
        SYSCALL_END,
    },
};

/* Bytes of one recv(): some hundred events. */
#define RECEIVE_MAX (16u * 1024)

/* A text is a few microseconds of parsing and a callback. */
#define TEXTS_PER_TURN 32

/* Our ids: a peer's own numbers cannot be mistaken for them. */
#define ID_PREFIX "mpqemu-"

typedef enum ClientState { CLIENT_GREETING, CLIENT_READY, CLIENT_CLOSED } ClientState;

/* A command from qmp_client_command() to its answer. */
typedef struct QmpRequest {
    uint64_t number; /* of its id */
    char *line;      /* what is sent */
    size_t sent;
    int fd; /* goes with the first byte; owned; -1: none or gone */
    unsigned limit_ms;
    int64_t since_ns;    /* when its turn to be sent came */
    QmpClientDone *done; /* NULL: the client's own */
    void *opaque;
    GError *err; /* in `failed`: why */
} QmpRequest;

struct QmpClient {
    int fd; /* -1 in CLOSED */
    ClientState state;
    bool greeted;
    bool freed;
    unsigned busy;
    const QmpClientOps *ops;
    void *opaque;
    EventSource *source;
    EventBh *work_bh;
    EventTimer *limit_timer;
    JsonStream *stream;
    bool texts_left;    /* the stream may hold whole texts: nothing is read before they are handled */
    char *close_reason; /* in CLOSED */
    char *send_error;   /* why nothing can be sent any more; what has come is still handled */
    GQueue queue;     /* of QmpRequest: commands, oldest first */
    GQueue out;       /* of QmpRequest, not owned: not sent completely */
    GQueue failed;    /* of QmpRequest: their callbacks are due */
    QmpRequest *command, *ping; /* unanswered */
    uint64_t last_number;
    int64_t heard_ns; /* the last received byte; at first, the beginning */
    uint64_t received, sent;
};

static const char *const state_names[] = {
    [CLIENT_GREETING] = "greeting",
    [CLIENT_READY] = "ready",
    [CLIENT_CLOSED] = "closed",
};

/* ---- requests ------------------------------------------------------------------------------------ */

static void request_free(QmpRequest *request)
{
    fd_close(&request->fd);
    g_clear_error(&request->err);
    g_free(request->line);
    g_free(request);
}

static char *request_id(const QmpRequest *request)
{
    return g_strdup_printf(ID_PREFIX "%" G_GUINT64_FORMAT, request->number);
}

/* ARGS is taken.  Not put anywhere yet. */
static QmpRequest *request_new(QmpClient *client, const char *command, JsonObject *args)
{
    QmpRequest *request = g_new0(QmpRequest, 1);
    g_autofree char *id = NULL;
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    JsonObject *object = json_object_new();

    request->number = ++client->last_number;
    request->fd = -1;
    id = request_id(request);
    json_object_set_string_member(object, "execute", command);
    if (args) {
        json_object_set_object_member(object, "arguments", args);
    }
    json_object_set_string_member(object, "id", id);
    json_node_take_object(node, object);
    request->line = json_line(node);
    return request;
}

static void client_hold(QmpClient *client)
{
    client->busy++;
}

/* The counterpart; frees a client that was freed by a callback. */
static void client_release(QmpClient *client)
{
    if (--client->busy == 0 && client->freed) {
        g_free(client->close_reason);
        g_free(client->send_error);
        g_free(client);
    }
}

/* REQUEST, taken, has ended.  The client may be freed by this. */
static void request_done(QmpClient *client, QmpRequest *request, JsonNode *value, const GError *err)
{
    client_hold(client);
    if (request->done) {
        request->done(value, err, request->opaque);
    }
    request_free(request);
    client_release(client);
}

/* Calls those back whose end is known.  New ones that come meanwhile are left for the next call. */
static void finish_failed(QmpClient *client)
{
    client_hold(client);
    for (unsigned left = client->failed.length; left > 0 && !client->freed; left--) {
        QmpRequest *request = g_queue_pop_head(&client->failed);

        request_done(client, request, NULL, request->err);
    }
    client_release(client);
}

/* All commands that have not been answered are due to fail for REASON. */
static void fail_all(QmpClient *client, const char *reason)
{
    QmpRequest *request;

    g_queue_clear(&client->out);
    if (client->ping) {
        request_free(g_steal_pointer(&client->ping));
    }
    if (client->command) {
        g_queue_push_head(&client->queue, g_steal_pointer(&client->command));
    }
    while ((request = g_queue_pop_head(&client->queue))) {
        error_setg(&request->err, "%s", reason);
        g_queue_push_tail(&client->failed, request);
    }
}

/* ---- states -------------------------------------------------------------------------------------- */

static void set_state(QmpClient *client, ClientState to, const char *reason)
{
    trace_qmp_client_state(client->fd, state_names[client->state], state_names[to], reason);
    client->state = to;
}

static void close_transport(QmpClient *client)
{
    g_clear_pointer(&client->source, event_source_remove);
    event_timer_disarm(client->limit_timer);
    fd_close(&client->fd);
}

/* Calls back at once: only from the event loop, with the client held. */
static void client_close(QmpClient *client, const char *reason)
{
    if (client->state == CLIENT_CLOSED) {
        return;
    }
    set_state(client, CLIENT_CLOSED, reason);
    client->close_reason = g_strdup(reason);
    close_transport(client);
    client->texts_left = false;
    client_hold(client);
    fail_all(client, client->close_reason);
    finish_failed(client);
    if (!client->freed && client->ops->closed) {
        client->ops->closed(client, client->close_reason, client->opaque);
    }
    client_release(client);
}

bool qmp_client_is_ready(const QmpClient *client)
{
    return client->state == CLIENT_READY;
}

/* ---- sending ------------------------------------------------------------------------------------- */

static void watch(QmpClient *client)
{
    if (client->source) {
        event_source_set_events(client->source, (client->texts_left ? 0 : EVENT_READ) |
                                                (g_queue_is_empty(&client->out) ? 0 : EVENT_WRITE));
    }
}

/* The descriptor of REQUEST, the first of `out`, cannot be passed: it fails, the rest goes on. */
static void drop_request(QmpClient *client, QmpRequest *request, int error)
{
    g_queue_pop_head(&client->out);
    if (request == client->ping) {
        /* The next heartbeat tries again. */
        request_free(g_steal_pointer(&client->ping));
        return;
    }
    event_timer_disarm(client->limit_timer);
    error_setg(&request->err, "cannot send the command: %s", errno_text(error));
    g_queue_push_tail(&client->failed, g_steal_pointer(&client->command));
    event_bh_schedule(client->work_bh);
}

/* Bytes of REQUEST, as many as the socket takes now.  False: it takes no more. */
static bool send_some(QmpClient *client, QmpRequest *request)
{
    const char *rest = request->line + request->sent;
    ssize_t n = fd_socket_send(client->fd, rest, strlen(rest), &request->fd, request->fd >= 0, MSG_DONTWAIT);

    if (n == -EAGAIN) {
        return false;
    }
    if (n < 0 && n != -EPIPE && n != -ECONNRESET && request->fd >= 0) {
        drop_request(client, request, (int)-n);
        return true;
    }
    if (n < 0) {
        client->send_error = g_strdup_printf("cannot send to the peer: %s", errno_text((int)-n));
        /* What the peer has said before stays readable, and then the end is read. */
        shutdown(client->fd, SHUT_RDWR);
        g_queue_clear(&client->out);
        return false;
    }
    fd_close(&request->fd);
    request->sent += (size_t)n;
    client->sent += (uint64_t)n;
    return true;
}

static void send_out(QmpClient *client)
{
    QmpRequest *request;

    while ((request = g_queue_peek_head(&client->out))) {
        if (request->line[request->sent] == '\0') {
            g_queue_pop_head(&client->out);
        } else if (!send_some(client, request)) {
            break;
        }
    }
    watch(client);
}

/* It is REQUEST's turn: from now on the peer owes its answer. */
static void begin_request(QmpClient *client, QmpRequest *request)
{
    request->since_ns = event_clock_ns(EVENT_CLOCK_REAL);
    trace_qmp_client_send(client->fd, request->number, request->line);
    if (!client->send_error) {
        g_queue_push_tail(&client->out, request);
    }
}

static void send_next_command(QmpClient *client)
{
    if (client->state != CLIENT_READY || client->command || g_queue_is_empty(&client->queue)) {
        return;
    }
    client->command = g_queue_pop_head(&client->queue);
    begin_request(client, client->command);
    if (client->command->limit_ms) {
        event_timer_arm(client->limit_timer, client->command->since_ns + client->command->limit_ms * NS_PER_MS);
    }
}

static void limit_passed(void *opaque)
{
    QmpClient *client = opaque;
    g_autofree char *reason = NULL;

    if (client->command) {
        reason = g_strdup_printf("the peer has not answered within %u ms", client->command->limit_ms);
        client_hold(client);
        client_close(client, reason);
        client_release(client);
    }
}

/* ---- receiving ----------------------------------------------------------------------------------- */

/*
 * The handlers of texts.  Each may close the client; a callback in it may free it, but for the memory, which
 * the caller holds.
 */
static void handle_greeting(QmpClient *client)
{
    if (client->greeted) {
        client_close(client, "the peer sent a second greeting");
        return;
    }
    client->greeted = true;
    client->command = request_new(client, "qmp_capabilities", NULL);
    begin_request(client, client->command);
}

static void handle_event(QmpClient *client, const QmpText *text)
{
    if (!client->greeted) {
        client_close(client, "the peer sent an event before its greeting");
        return;
    }
    trace_qmp_client_event(client->fd, text->name);
    if (client->ops->event) {
        client->ops->event(client, text->name, text->data, client->opaque);
    }
}

/* Where the unanswered request with ID is, or NULL. */
static QmpRequest **find_request(QmpClient *client, const char *id)
{
    QmpRequest **places[] = { &client->command, &client->ping };

    for (unsigned i = 0; id && i < G_N_ELEMENTS(places); i++) {
        if (*places[i]) {
            g_autofree char *own = request_id(*places[i]);

            if (g_str_equal(id, own)) {
                return places[i];
            }
        }
    }
    return NULL;
}

/* The answer to qmp_capabilities, with ERR or not. */
static void handle_ready(QmpClient *client, const GError *err)
{
    if (err) {
        g_autofree char *reason = g_strdup_printf("the peer refuses qmp_capabilities: %s", err->message);

        client_close(client, reason);
        return;
    }
    set_state(client, CLIENT_READY, "");
    if (client->ops->ready) {
        client->ops->ready(client, client->opaque);
    }
}

static void handle_answer(QmpClient *client, const QmpText *text)
{
    QmpRequest **place = find_request(client, text->id);
    QmpRequest *request;

    if (!place) {
        /* One without an id is what QEMU says to a command that it could not read. */
        g_autofree char *reason = g_strdup_printf("the peer sent an answer that nobody asked for%s%s",
                                                  text->err ? ": " : "", text->err ? text->err->message : "");

        client_close(client, reason);
        return;
    }
    if (g_queue_find(&client->out, *place)) {
        client_close(client, "the peer answered a command that it had not got yet");
        return;
    }
    request = g_steal_pointer(place);
    trace_qmp_client_answer(client->fd, request->number, text->err ? text->err->message : "");
    if (place == &client->command) {
        event_timer_disarm(client->limit_timer);
        if (client->state == CLIENT_GREETING) {
            request_free(request);
            handle_ready(client, text->err);
            return;
        }
    }
    request_done(client, request, text->value, text->err);
}

static void handle_text(QmpClient *client, JsonObject *object)
{
    QmpText text;
    const char *wrong = qmp_text_parse(object, &text);

    if (wrong) {
        g_autofree char *reason = g_strdup_printf("the peer sent %s", wrong);

        client_close(client, reason);
    } else if (text.kind == QMP_TEXT_GREETING) {
        handle_greeting(client);
    } else if (text.kind == QMP_TEXT_EVENT) {
        handle_event(client, &text);
    } else {
        handle_answer(client, &text);
    }
    g_clear_error(&text.err);
}

/* Handles the texts received, up to a turn's share; the rest waits for the next turn. */
static void handle_texts(QmpClient *client)
{
    client->texts_left = true;
    for (unsigned i = 0; i < TEXTS_PER_TURN && client->state != CLIENT_CLOSED; i++) {
        g_autoptr(JsonNode) node = NULL;
        g_autoptr(GError) err = NULL;

        if (!json_stream_next(client->stream, &node, &err)) {
            client->texts_left = false;
            break;
        }
        if (err) {
            g_autofree char *reason = g_strdup_printf("the peer sent no QMP: %s", err->message);

            client_close(client, reason);
        } else {
            handle_text(client, json_node_get_object(node));
        }
    }
    if (client->state != CLIENT_CLOSED) {
        event_bh_schedule(client->work_bh);
    }
}

static void receive(QmpClient *client)
{
    char bytes[RECEIVE_MAX];
    /* Descriptors from the peer, which nobody wants, are closed by the kernel. */
    ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        /* Also ECONNRESET: it closed without reading all that we sent. */
        client_close(client, client->send_error ? client->send_error : "the peer closed the connection");
        return;
    }
    client->received += (uint64_t)n;
    client->heard_ns = event_clock_ns(EVENT_CLOCK_REAL);
    json_stream_push(client->stream, bytes, (size_t)n);
    handle_texts(client);
}

/* ---- event loop ---------------------------------------------------------------------------------- */

static void client_ready(int fd, unsigned ready, void *opaque)
{
    QmpClient *client = opaque;

    client_hold(client);
    if (ready & EVENT_WRITE) {
        send_out(client);
    }
    if ((ready & (EVENT_READ | EVENT_HANGUP)) && !client->texts_left) {
        receive(client);
    }
    client_release(client);
}

/* What was left for later: failures, texts, sending. */
static void client_work(void *opaque)
{
    QmpClient *client = opaque;

    client_hold(client);
    finish_failed(client);
    if (client->texts_left) {
        handle_texts(client);
    }
    if (client->state != CLIENT_CLOSED) {
        send_next_command(client);
        send_out(client);
    }
    client_release(client);
}

/* ---- interface ----------------------------------------------------------------------------------- */

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t len = sizeof(type);

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

QmpClient *qmp_client_new_take_fd(int fd, const QmpClientOps *ops, void *opaque, GError **errp)
{
    auto_fd owned = fd;
    EventLoop *loop = event_loop_main();
    QmpClient *client;

    if (!is_stream_socket(fd)) {
        error_setg(errp, "descriptor %d is %s, but a monitor is reached by a connected stream socket", fd,
                   fd_kind_name(fd_kind(fd)));
        return NULL;
    }
    fd_set_cloexec(fd);
    client = g_new0(QmpClient, 1);
    client->source = event_loop_add_fd(loop, fd, EVENT_READ, client_ready, client);
    if (!client->source) {
        error_setg(errp, "cannot watch descriptor %d: %s; raise /proc/sys/fs/epoll/max_user_watches", fd,
                   errno_text(errno));
        g_free(client);
        return NULL;
    }
    client->fd = fd_steal(&owned);
    client->ops = ops;
    client->opaque = opaque;
    client->stream = json_stream_new();
    client->work_bh = event_bh_new(loop, client_work, client);
    client->limit_timer = event_timer_new(loop, EVENT_CLOCK_REAL, limit_passed, client);
    client->heard_ns = event_clock_ns(EVENT_CLOCK_REAL);
    return client;
}

void qmp_client_say_last(QmpClient *client, const char *command)
{
    QmpRequest *request;

    if (client && client->state == CLIENT_READY && !client->send_error && g_queue_is_empty(&client->out)) {
        request = request_new(client, command, NULL);
        fd_socket_send(client->fd, request->line, strlen(request->line), NULL, 0, MSG_DONTWAIT);
        request_free(request);
    }
}

void qmp_client_free(QmpClient *client)
{
    QmpRequest *request;

    if (!client || client->freed) {
        return;
    }
    client_hold(client);
    client->freed = true;
    client->state = CLIENT_CLOSED;
    close_transport(client);
    g_clear_pointer(&client->work_bh, event_bh_free);
    g_clear_pointer(&client->limit_timer, event_timer_free);
    g_clear_pointer(&client->stream, json_stream_free);
    fail_all(client, "the connection was given up");
    while ((request = g_queue_pop_head(&client->failed))) {
        request_done(client, request, NULL, request->err);
    }
    client_release(client);
}

/* Why no command can be taken; false: one can. */
static bool is_refused(const QmpClient *client, GError **ret_err)
{
    unsigned count = client->queue.length + (client->state == CLIENT_READY && client->command);

    if (client->freed) {
        error_setg(ret_err, "the connection was given up");
    } else if (client->state == CLIENT_CLOSED) {
        error_setg(ret_err, "%s", client->close_reason);
    } else if (count >= QMP_CLIENT_QUEUE_MAX) {
        error_setg(ret_err, "%u commands wait for the peer's answers; wait, or restart it", count);
    } else {
        return false;
    }
    return true;
}

void qmp_client_command(QmpClient *client, const char *command, JsonObject *args, int fd, unsigned limit_ms,
                        QmpClientDone *done, void *opaque)
{
    QmpRequest *request = request_new(client, command, args);

    request->limit_ms = limit_ms;
    request->done = done;
    request->opaque = opaque;
    if (!is_refused(client, &request->err) && fd >= 0) {
        request->fd = fd_dup(fd);
        if (request->fd < 0) {
            error_setg(&request->err, "descriptor %d cannot be duplicated: %s; raise the limit (ulimit -n)", fd,
                       errno_text(-request->fd));
            request->fd = -1;
        }
    }
    g_queue_push_tail(request->err ? &client->failed : &client->queue, request);
    if (!client->freed) {
        event_bh_schedule(client->work_bh);
    }
}

void qmp_client_counters(const QmpClient *client, uint64_t *ret_received, uint64_t *ret_sent)
{
    *ret_received = client->received;
    *ret_sent = client->sent;
}

/* Nanoseconds for which the peer has owed us something; 0: it owes nothing. */
static int64_t silent_ns(const QmpClient *client)
{
    int64_t since = INT64_MAX;

    if (client->state == CLIENT_CLOSED) {
        return 0;
    }
    if (client->command) {
        since = client->command->since_ns;
    }
    if (client->ping) {
        since = MIN(since, client->ping->since_ns);
    }
    if (!client->greeted) {
        since = client->heard_ns;
    }
    return since == INT64_MAX ? 0 : event_clock_ns(EVENT_CLOCK_REAL) - MAX(since, client->heard_ns);
}

void qmp_client_ping(QmpClient *client, int64_t *ret_silent_ms)
{
    *ret_silent_ms = silent_ns(client) / NS_PER_MS;
    if (client->state == CLIENT_READY && !client->ping) {
        client->ping = request_new(client, "query-status", NULL);
        begin_request(client, client->ping);
        event_bh_schedule(client->work_bh);
    }
}
