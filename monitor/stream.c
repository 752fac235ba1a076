/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streams: the bytes between a client and its session.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  Nothing here blocks, whatever flags a peer has set on a shared open file description:
 * a socket is used with MSG_DONTWAIT; standard input and output, which others may share, are opened anew by
 * stdio_open() to get non-blocking descriptions of our own.  Where that is refused (no /proc, another user's
 * terminal), each call is made only after poll() has said that it will not wait (io/fd-stream.h).
 *
 * A file as standard input cannot be watched by epoll and is always ready; deferred calls take the place of readiness.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fd-stream.h"
#include "monitor-int.h"
#include "monitor/options.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* Sent bytes are cut off the front of the queue when they are this many. */
#define COMPACT_MIN (64u * 1024)

struct MonitorStream {
    int in_fd, out_fd; /* owned; the same for a socket */
    bool is_socket;
    bool is_terminal;
    EventSource *in_source;  /* of a socket: for both directions.  NULL: paused, or cannot be watched */
    EventSource *out_source; /* NULL: a socket, or cannot be watched */
    EventBh *bh;             /* what must not happen inside the caller's call */
    bool in_unwatchable;     /* a file: the deferred call reads */

    GByteArray *out;
    size_t out_sent;   /* bytes of `out` that have been sent */
    bool was_high;     /* `drained` is due when it is low again */
    FdSet received;    /* of the bytes under way */

    const MonitorStreamOps *ops; /* NULL: no session; sends what is left, then goes */
    void *session;
    bool paused;
    bool in_ended;     /* the client sends nothing more */
    bool gone;         /* it does not read either; told, or will be by `bh` */
    bool told_half, told_gone;
    unsigned busy;     /* inside callbacks */
    bool dead;         /* freed when no longer busy */

    MonitorStreamGone *on_free;
    void *on_free_opaque;
};

/* ---- life ------------------------------------------------------------------------------------ */

static void stream_destroy(MonitorStream *stream)
{
    fd_set_drop(&stream->received);
    if (stream->out_fd != stream->in_fd) {
        fd_close(&stream->out_fd);
    }
    fd_close(&stream->in_fd);
    g_byte_array_unref(stream->out);
    if (stream->on_free) {
        stream->on_free(stream->on_free_opaque);
    }
    g_free(stream);
}

void monitor_stream_free(MonitorStream *stream)
{
    if (!stream || stream->dead) {
        return;
    }
    stream->dead = true;
    stream->ops = NULL;
    event_source_remove(stream->in_source);
    event_source_remove(stream->out_source);
    event_bh_free(stream->bh);
    if (!stream->busy) {
        stream_destroy(stream);
    }
}

static void stream_enter(MonitorStream *stream)
{
    stream->busy++;
}

/* False: it was freed meanwhile. */
static bool stream_leave(MonitorStream *stream)
{
    bool alive = !stream->dead;

    if (--stream->busy == 0 && !alive) {
        stream_destroy(stream);
    }
    return alive;
}

/* ---- watching -------------------------------------------------------------------------------- */

static void stream_ready(int fd, unsigned ready, void *opaque);

static bool wants_input(const MonitorStream *stream)
{
    return stream->ops && !stream->paused && !stream->in_ended && !stream->gone;
}

static bool wants_output(const MonitorStream *stream)
{
    return !stream->gone && monitor_stream_unsent(stream) > 0;
}

/* Makes the sources watch for what is wanted now. */
static void stream_update(MonitorStream *stream)
{
    if (stream->dead) {
        return;
    }
    if (stream->is_socket) {
        event_source_set_events(stream->in_source, (wants_input(stream) ? EVENT_READ : 0) |
                                                       (wants_output(stream) ? EVENT_WRITE : 0));
        return;
    }
    if (stream->out_source) {
        event_source_set_events(stream->out_source, wants_output(stream) ? EVENT_WRITE : 0);
    }
    if (stream->in_unwatchable) {
        if (wants_input(stream)) {
            event_bh_schedule(stream->bh);
        }
    } else if (wants_input(stream) && !stream->in_source) {
        /* The hangup of a pipe cannot be muted: while nobody reads it is not watched at all. */
        stream->in_source = event_loop_add_fd(event_loop_main(), stream->in_fd, EVENT_READ, stream_ready, stream);
        if (!stream->in_source) {
            stream->gone = true;
            event_bh_schedule(stream->bh);
        }
    } else if (!wants_input(stream)) {
        event_source_remove(stream->in_source);
        stream->in_source = NULL;
    }
}

const SyscallTable monitor_stdio_syscalls = {
    "monitor on standard input", (const SyscallRule[]) {
        SYSCALL(poll, "whether a pipe or terminal takes more"),
        SYSCALL_END,
    },
};

/* ---- output ---------------------------------------------------------------------------------- */

/* Sends what the client takes. */
static void flush_output(MonitorStream *stream)
{
    while (wants_output(stream)) {
        ssize_t n = fd_stream_send(stream->out_fd, stream->is_socket, stream->out->data + stream->out_sent,
                                   monitor_stream_unsent(stream));

        if (n == -EAGAIN || n == -EINTR) {
            break;
        }
        if (n < 0) {
            stream->gone = true;
            break;
        }
        stream->out_sent += (size_t)n;
    }
    if (stream->gone || stream->out_sent == stream->out->len) {
        g_byte_array_set_size(stream->out, 0);
        stream->out_sent = 0;
    } else if (stream->out_sent >= COMPACT_MIN && stream->out_sent >= stream->out->len / 2) {
        g_byte_array_remove_range(stream->out, 0, (unsigned)stream->out_sent);
        stream->out_sent = 0;
    }
    if (stream->gone || (stream->was_high && monitor_stream_unsent(stream) < MONITOR_OUTPUT_HIGH)) {
        event_bh_schedule(stream->bh);
    }
}

void monitor_stream_write(MonitorStream *stream, const char *data, size_t len)
{
    if (stream->dead || stream->gone) {
        return;
    }
    if (monitor_stream_unsent(stream) + len > MONITOR_OUTPUT_MAX) {
        stream->gone = true;
    } else {
        g_byte_array_append(stream->out, (const guint8 *)data, (unsigned)len);
    }
    flush_output(stream);
    stream->was_high |= monitor_stream_unsent(stream) >= MONITOR_OUTPUT_HIGH;
    stream_update(stream);
}

size_t monitor_stream_unsent(const MonitorStream *stream)
{
    return stream->out->len - stream->out_sent;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* Reads once and gives it to the session. */
static void read_input(MonitorStream *stream)
{
    char data[MONITOR_CHUNK];
    ssize_t n = fd_stream_receive(stream->in_fd, stream->is_socket, data, sizeof(data), &stream->received);

    if (n == -EAGAIN || n == -EINTR) {
        return;
    }
    if (n > 0) {
        stream->ops->bytes(stream->session, data, (size_t)n);
        fd_set_drop(&stream->received);
        return;
    }
    stream->in_ended = true;
    if (n < 0) {
        stream->gone = true;
    }
}

unsigned monitor_stream_take_fds(MonitorStream *stream, int *fds)
{
    unsigned num = stream->received.num;

    G_STATIC_ASSERT(MONITOR_STREAM_FDS == FD_SOCKET_MAX);
    memcpy(fds, stream->received.fds, num * sizeof(*fds));
    stream->received.num = 0;
    return num;
}

void monitor_stream_pause(MonitorStream *stream, bool paused)
{
    stream->paused = paused;
    stream_update(stream);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

/* Tells the session what it has not heard yet. */
static void tell_session(MonitorStream *stream)
{
    if (stream->was_high && monitor_stream_unsent(stream) < MONITOR_OUTPUT_HIGH && !stream->gone) {
        stream->was_high = false;
        if (stream->ops && stream->ops->drained) {
            stream->ops->drained(stream->session);
        }
    }
    if (stream->ops && stream->in_ended && !stream->gone && !stream->told_half) {
        stream->told_half = true;
        stream->ops->closed(stream->session, true);
    }
    if (stream->ops && stream->gone && !stream->told_gone) {
        stream->told_gone = true;
        stream->ops->closed(stream->session, false);
    }
    /* Without a session the stream ends by itself. */
    if (!stream->dead && !stream->ops && !wants_output(stream)) {
        monitor_stream_free(stream);
    }
}

static void stream_ready(int fd, unsigned ready, void *opaque)
{
    MonitorStream *stream = opaque;
    bool is_input = stream->is_socket || fd == stream->in_fd;

    stream_enter(stream);
    if (is_input && wants_input(stream) && (ready & (EVENT_READ | EVENT_HANGUP))) {
        read_input(stream);
        /* Both directions are closed, and nothing is left to read. */
        stream->gone |= stream->is_socket && stream->in_ended && (ready & EVENT_HANGUP);
    } else if (ready & EVENT_HANGUP) {
        /* What is still to be read is not wanted now, and there will be no better time. */
        stream->gone = true;
    }
    if (!stream->dead && (ready & EVENT_WRITE)) {
        flush_output(stream);
    }
    if (!stream->dead) {
        tell_session(stream);
    }
    if (stream_leave(stream)) {
        stream_update(stream);
    }
}

/* What could not be told, or done, where it happened. */
static void stream_deferred(void *opaque)
{
    MonitorStream *stream = opaque;

    stream_enter(stream);
    if (stream->in_unwatchable && wants_input(stream)) {
        read_input(stream);
    }
    if (!stream->dead) {
        tell_session(stream);
    }
    if (stream_leave(stream)) {
        stream_update(stream);
    }
}

void monitor_stream_finish(MonitorStream *stream)
{
    stream->ops = NULL;
    if (!wants_output(stream)) {
        monitor_stream_free(stream);
        return;
    }
    stream_update(stream);
}

void monitor_stream_set_session(MonitorStream *stream, const MonitorStreamOps *ops, void *session)
{
    stream->ops = ops;
    stream->session = session;
    stream_update(stream);
}

bool monitor_stream_is_terminal(const MonitorStream *stream, int *ret_in, int *ret_out)
{
    *ret_in = stream->in_fd;
    *ret_out = stream->out_fd;
    return stream->is_terminal;
}

/* ---- making ---------------------------------------------------------------------------------- */

static MonitorStream *stream_new(int in_fd, int out_fd, MonitorStreamGone *gone, void *opaque)
{
    MonitorStream *stream = g_new0(MonitorStream, 1);

    stream->in_fd = in_fd;
    stream->out_fd = out_fd;
    stream->out = g_byte_array_new();
    stream->bh = event_bh_new(event_loop_main(), stream_deferred, stream);
    stream->on_free = gone;
    stream->on_free_opaque = opaque;
    return stream;
}

MonitorStream *monitor_stream_new_take_fd(int fd, MonitorStreamGone *gone, void *opaque, GError **errp)
{
    auto_fd owned = fd;
    MonitorStream *stream = stream_new(fd, fd, gone, opaque);

    stream->is_socket = true;
    stream->in_source = event_loop_add_fd(event_loop_main(), fd, 0, stream_ready, stream);
    if (!stream->in_source) {
        error_setg_errno(errp, errno, "the monitor's socket %d cannot be watched", fd);
        stream->in_fd = stream->out_fd = -1;
        stream->on_free = NULL;
        monitor_stream_free(stream);
        return NULL;
    }
    owned = -1;
    return stream;
}

MonitorStream *monitor_stream_new_take_fds(int in_fd, int out_fd)
{
    MonitorStream *stream = stream_new(in_fd, out_fd, NULL, NULL);

    stream->is_terminal = isatty(stream->in_fd) && isatty(stream->out_fd);
    stream->in_source = event_loop_add_fd(event_loop_main(), stream->in_fd, EVENT_READ, stream_ready, stream);
    stream->in_unwatchable = !stream->in_source;
    stream->out_source = event_loop_add_fd(event_loop_main(), stream->out_fd, 0, stream_ready, stream);
    return stream;
}
