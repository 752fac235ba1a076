/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hmp-rig.h"

#include <string.h>
#include "block/block.h"
#include "monitor/monitor.h"
#include "util/error.h"
#include "util/event-loop.h"

static struct {
    char *json;
    char *error;
    bool defer;
    GString *last;
    char *missing;
    QmpDone *done; /* of a command under way */
    void *opaque;
} qmp;

void rig_qmp_answer(const char *json, const char *error)
{
    g_free(qmp.json);
    g_free(qmp.error);
    qmp.json = g_strdup(json);
    qmp.error = g_strdup(error);
}

void rig_qmp_defer(bool defer)
{
    qmp.defer = defer;
}

bool rig_qmp_pending(void)
{
    return qmp.done != NULL;
}

void rig_qmp_finish(void)
{
    g_autoptr(JsonNode) value = json_from_string(qmp.json ? qmp.json : "{}", NULL);
    g_autoptr(GError) err = NULL;
    QmpDone *done = qmp.done;

    g_assert_nonnull(value);
    if (qmp.error) {
        error_setg(&err, "%s", qmp.error);
    }
    qmp.done = NULL;
    done(err ? NULL : value, err, qmp.opaque);
}

const char *rig_qmp_last(void)
{
    static char *text;

    g_free(text);
    text = qmp.last ? g_string_free(qmp.last, FALSE) : g_strdup("");
    qmp.last = NULL;
    return text;
}

void rig_qmp_missing(const char *missing)
{
    g_free(qmp.missing);
    qmp.missing = g_strdup(missing);
}

bool qmp_has_command(const char *name)
{
    return g_strcmp0(name, qmp.missing) != 0;
}

void qmp_dispatch(const char *name, JsonObject *args, QmpDone *done, void *opaque)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autofree char *text = NULL;

    g_assert_null(qmp.done);
    if (args) {
        json_node_set_object(node, args);
    } else {
        json_node_take_object(node, json_object_new());
    }
    text = json_to_string(node, FALSE);
    rig_qmp_last(); /* forgets the one before */
    qmp.last = g_string_new(NULL);
    g_string_printf(qmp.last, "%s %s", name, text);
    qmp.done = done;
    qmp.opaque = opaque;
    if (!qmp.defer) {
        rig_qmp_finish();
    }
}

/* ---- the stream -------------------------------------------------------------------------------- */

void rig_stream_init(MonitorStream *stream)
{
    *stream = (MonitorStream) { .out = g_string_new(NULL), .terminal = -1 };
}

void rig_stream_clear(MonitorStream *stream)
{
    g_string_free(stream->out, TRUE);
}

const char *rig_stream_output(MonitorStream *stream)
{
    static char *text;

    g_free(text);
    text = g_strdup(stream->out->str);
    g_string_truncate(stream->out, 0);
    return text;
}

void rig_turn(void)
{
    while (event_loop_turn(event_loop_main(), false)) {
    }
}

void rig_stream_type(MonitorStream *stream, const char *data, size_t len)
{
    while (len > 0 && !stream->paused && !stream->freed) {
        size_t count = MIN(len, MONITOR_CHUNK);

        stream->ops->bytes(stream->session, data, count);
        data += count;
        len -= count;
        rig_turn();
    }
}

void monitor_stream_set_session(MonitorStream *stream, const MonitorStreamOps *ops, void *session)
{
    stream->ops = ops;
    stream->session = session;
}

void monitor_stream_write(MonitorStream *stream, const char *data, size_t len)
{
    g_string_append_len(stream->out, data, (gssize)len);
}

size_t monitor_stream_unsent(const MonitorStream *stream)
{
    return stream->unsent;
}

void monitor_stream_pause(MonitorStream *stream, bool paused)
{
    stream->paused = paused;
}

unsigned monitor_stream_take_fds(MonitorStream *stream, int *fds)
{
    unsigned count = stream->fd_count;

    memcpy(fds, stream->fds, sizeof(fds[0]) * count);
    stream->fd_count = 0;
    return count;
}

bool monitor_stream_is_terminal(const MonitorStream *stream, int *ret_in, int *ret_out)
{
    *ret_in = stream->terminal;
    *ret_out = stream->terminal;
    return stream->terminal >= 0;
}

void monitor_stream_free(MonitorStream *stream)
{
    stream->freed = true;
}

void monitor_stream_finish(MonitorStream *stream)
{
    stream->finished = true;
    stream->freed = true;
}

/* ---- drives ------------------------------------------------------------------------------------ */

struct BlockBackend {
    const char *name;
};

void block_foreach_backend(void (*fn)(BlockBackend *blk, void *opaque), void *opaque)
{
    BlockBackend drives[] = { { "drive1" }, { "drive0" } };

    for (unsigned i = 0; i < G_N_ELEMENTS(drives); i++) {
        fn(&drives[i], opaque);
    }
}

const char *blk_name(const BlockBackend *blk)
{
    return blk->name;
}
