/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A monitor's stream without a socket.
 * Runs in: fuzz targets
 */
#include "fuzz-stream.h"

#include "util/error.h"

struct MonitorStream {
    const MonitorStreamOps *ops; /* NULL: no session any more */
    void *session;
    void (*written)(const char *data, size_t len);
    size_t unsent;
    bool paused, was_high;
    bool gone;
    unsigned busy; /* inside callbacks */
    bool dead;     /* freed when no longer busy */
};

static MonitorStream *current;

static void enter(MonitorStream *stream)
{
    stream->busy++;
}

static void leave(MonitorStream *stream)
{
    if (--stream->busy == 0 && stream->dead) {
        g_free(stream);
    }
}

MonitorStream *fuzz_stream_new(void (*written)(const char *data, size_t len))
{
    current = g_new0(MonitorStream, 1);
    current->written = written;
    return current;
}

MonitorStream *fuzz_stream(void)
{
    return current;
}

bool fuzz_stream_say(const char *data, size_t len)
{
    MonitorStream *stream = current;

    if (!stream || stream->paused) {
        return false;
    }
    enter(stream);
    stream->ops->bytes(stream->session, data, len);
    leave(stream);
    return true;
}

void fuzz_stream_read(void)
{
    MonitorStream *stream = current;

    if (!stream) {
        return;
    }
    stream->unsent = 0;
    enter(stream);
    if (stream->was_high) {
        stream->was_high = false;
        stream->ops->drained(stream->session);
    }
    leave(stream);
}

void fuzz_stream_hang_up(bool half)
{
    MonitorStream *stream = current;

    if (stream) {
        enter(stream);
        stream->gone = !half;
        stream->ops->closed(stream->session, half);
        leave(stream);
    }
}

/* ---- monitor-int.h ------------------------------------------------------------------------------------------- */

void monitor_stream_set_session(MonitorStream *stream, const MonitorStreamOps *ops, void *session)
{
    stream->ops = ops;
    stream->session = session;
}

void monitor_stream_write(MonitorStream *stream, const char *data, size_t len)
{
    if (!stream->dead && !stream->gone) {
        stream->written(data, len);
        stream->unsent += len;
        stream->was_high |= stream->unsent >= MONITOR_OUTPUT_HIGH;
    }
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
    return 0;
}

bool monitor_stream_is_terminal(const MonitorStream *stream, int *ret_in, int *ret_out)
{
    return false;
}

void monitor_stream_free(MonitorStream *stream)
{
    if (!stream || stream->dead) {
        return;
    }
    current = NULL;
    stream->dead = true;
    if (stream->busy == 0) {
        g_free(stream);
    }
}

void monitor_stream_finish(MonitorStream *stream)
{
    monitor_stream_free(stream);
}

MonitorStream *monitor_stream_new_take_fd(int fd, MonitorStreamGone *gone, void *opaque, GError **errp)
{
    error_setg(errp, "a fuzz target has no sockets");
    return NULL;
}

MonitorStream *monitor_stream_new_take_fds(int in_fd, int out_fd)
{
    g_assert_not_reached(); /* a fuzz target has no monitor on standard input */
}
