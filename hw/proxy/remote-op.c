/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on a remote process: chains of QMP commands.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  What a user asks for takes several commands, each answered later.  A chain is a row of small
 * functions (steps); each sends a command and names the step that looks at its answer.  The chains of a process run one
 * after the other, so no chain sees another's half-made things.  A chain that fails undoes what it did, with further
 * commands, and keeps its first error.  When the process dies the command under way fails, and the steps that undo find
 * it dead and go on without it: every chain comes to its end.
 */
#include "hw/proxy/remote-int.h"

#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"

RemoteOp *remote_op_new(RemoteProcess *remote, RemoteOpStep *first, RemoteOpStep *if_dead, RemoteDone *done,
                        void *opaque)
{
    RemoteOp *op = g_new0(RemoteOp, 1);

    *op = (RemoteOp) {
        .remote = remote,
        .first = first,
        .if_dead = if_dead,
        .done = done,
        .opaque = opaque,
        .link_fd = -1,
    };
    return op;
}

static void op_free(RemoteOp *op)
{
    g_clear_pointer(&op->value, json_node_unref);
    g_clear_error(&op->err);
    g_clear_error(&op->failure);
    g_clear_pointer(&op->new_drive, remote_drive_free);
    g_clear_pointer(&op->new_device, remote_device_free);
    g_clear_pointer(&op->prop_types, g_hash_table_unref);
    fd_close(&op->link_fd);
    g_free(op->id);
    g_free(op);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void op_run(RemoteOp *op, RemoteOpStep *step)
{
    op->remote->current = op;
    trace_remote_op_run(op->remote->rid, op->id ? op->id : "");
    step(op);
}

/* Whether the process is on its way to READY or DEAD, which will call remote_ops_continue(). */
static bool in_between(const RemoteProcess *remote)
{
    return remote->state == REMOTE_STARTING || remote->state == REMOTE_RESTARTING || remote->dying;
}

/* A launcher's process is kept while it lives: we could not start it again. */
static bool is_unneeded(const RemoteProcess *remote)
{
    return remote->drives->len == 0 && remote->devices->len == 0 && !(remote->launched && remote_is_alive(remote));
}

/* How a dead process comes back, for messages; free with g_free(). */
static char *remedy(const RemoteProcess *remote)
{
    return remote->launched ? g_strdup("its launcher can start it again, with a new machine")
                            : g_strdup_printf("remote_restart %s starts it again", remote->rid);
}

/* From the event loop: the operation whose turn it is. */
static void remote_next_op(void *opaque)
{
    RemoteProcess *remote = opaque;
    RemoteOp *op = g_queue_peek_head(&remote->ops);

    if (remote->current || (in_between(remote) && !(op && op->bring_up))) {
        return;
    }
    g_queue_pop_head(&remote->ops);
    if (!op) {
        if (is_unneeded(remote)) {
            remote_end(remote); /* nothing needs it; frees it, perhaps */
        }
    } else if (remote_is_alive(remote) || (op->bring_up && !remote->dying)) {
        op_run(op, op->first);
    } else if (op->if_dead) {
        op_run(op, op->if_dead);
    } else {
        g_autofree char *how = remedy(remote);

        remote->current = op;
        error_setg(&op->failure, "remote process '%s' is dead: %s; %s", remote->rid,
                   remote->dying ? remote->dying : remote->reason ? remote->reason : "it was not started", how);
        remote_op_end(op);
    }
}

void remote_ops_continue(RemoteProcess *remote)
{
    if (!remote->next_op) {
        remote->next_op = event_bh_new(event_loop_main(), remote_next_op, remote);
    }
    event_bh_schedule(remote->next_op);
}

void remote_op_submit(RemoteOp *op)
{
    RemoteProcess *remote = op->remote;
    GError *err = NULL;

    if (remote->ops.length >= REMOTE_OPS_MAX && !op->sure) {
        error_setg(&err, "%u operations wait for remote process '%s'; wait for their ends, or restart it",
                   REMOTE_OPS_MAX, remote->rid);
        remote_answer_later(err, op->done, op->opaque);
        op_free(op);
        return;
    }
    g_queue_push_tail(&remote->ops, op);
    if (remote->state == REMOTE_GONE) {
        remote_start(remote);
    }
    remote_ops_continue(remote);
}

void remote_op_submit_first(RemoteOp *op)
{
    op->bring_up = true;
    g_queue_push_head(&op->remote->ops, op);
    remote_ops_continue(op->remote);
}

/* Tells the end of OP, which is in no place any more, and frees it. */
static void op_finish(RemoteOp *op)
{
    trace_remote_op_end(op->remote->rid, op->id ? op->id : "", op->failure ? op->failure->message : "");
    if (op->done) {
        op->done(op->failure, op->opaque);
    }
    op_free(op);
}

void remote_op_end(RemoteOp *op)
{
    RemoteProcess *remote = op->remote;

    remote->current = NULL;
    op_finish(op);
    remote_ops_continue(remote);
}

void remote_ops_clear(RemoteProcess *remote)
{
    RemoteOp *op;

    while ((op = g_queue_pop_head(&remote->ops))) {
        error_setg(&op->failure, "the program ends");
        op_finish(op);
    }
}

void remote_ops_drop_bring_up(RemoteProcess *remote)
{
    RemoteOp *op = g_queue_peek_head(&remote->ops);

    if (op && op->bring_up) {
        op_free(g_queue_pop_head(&remote->ops));
    }
}

/* ---- commands -------------------------------------------------------------------------------- */

static void op_answered(JsonNode *value, const GError *err, void *opaque)
{
    RemoteOp *op = opaque;
    RemoteOpStep *next = op->next;

    g_clear_pointer(&op->value, json_node_unref);
    g_clear_error(&op->err);
    op->value = value ? json_node_ref(value) : NULL;
    op->err = err ? g_error_copy(err) : NULL;
    next(op);
}

/*
 * Without a channel the answer comes all the same, and at once: nothing is re-entered, a step is its chain's last act.
 */
void remote_op_command(RemoteOp *op, const char *command, JsonObject *args, int fd, RemoteOpStep *next)
{
    RemoteProcess *remote = op->remote;
    g_autoptr(GError) err = NULL;

    op->next = next;
    if (remote->control) {
        qmp_client_command(remote->control, command, args, fd, remote->timeout_ms, op_answered, op);
        return;
    }
    if (args) {
        json_object_unref(args);
    }
    error_setg(&err, "remote process '%s' is dead: %s", remote->rid,
               remote->dying ? remote->dying : remote->reason ? remote->reason : "it has ended");
    op_answered(NULL, err, op);
}

bool remote_op_failed(RemoteOp *op)
{
    if (op->err && !op->failure) {
        op->failure = g_steal_pointer(&op->err);
    }
    return op->failure != NULL;
}

JsonObject *remote_id_args(const char *id)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "id", id);
    return args;
}

char *remote_link_name(const char *id)
{
    return g_strconcat("link-", id, NULL);
}

GHashTable *remote_op_names(const RemoteOp *op)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    JsonArray *list = op->value && JSON_NODE_HOLDS_ARRAY(op->value) ? json_node_get_array(op->value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonNode *node = json_array_get_element(list, i);
        JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
        const char *name = object ? json_object_get_string_member_with_default(object, "name", NULL) : NULL;

        if (name) {
            g_hash_table_insert(names, g_strdup(name),
                                g_strdup(json_object_get_string_member_with_default(object, "type", NULL)));
        }
    }
    return names;
}

/* ---- answers without an operation ------------------------------------------------------------ */

typedef struct Answer {
    EventBh *bh;
    GError *err;
    RemoteDone *done;
    void *opaque;
} Answer;

static void answer(void *opaque)
{
    Answer *a = opaque;

    a->done(a->err, a->opaque);
    event_bh_free(a->bh);
    g_clear_error(&a->err);
    g_free(a);
}

void remote_answer_later(GError *err, RemoteDone *done, void *opaque)
{
    Answer *a = g_new(Answer, 1);

    *a = (Answer) { event_bh_new(event_loop_main(), answer, a), err, done, opaque };
    event_bh_schedule(a->bh);
}
