/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices on descriptors: sockets, terminals, pipes, files.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Fronts put bytes into the queue and say that they have room, from whatever thread has the
 * machine lock; both schedule one deferred call, in which the main loop does everything that concerns descriptors.
 * So a guest that writes byte by byte costs a system call per turn of the loop, not per byte.
 *
 * No call blocks, whatever flags others set on a shared open file description (io/fd-stream.h).
 *
 * End of a peer.  A socket's hangup says that it will not read, so the queue is dropped; what it has sent is still
 * given to the front, as long as that takes something within CHARDEV_STALL_NS.  A hangup cannot be muted, so such a
 * descriptor is not watched any more.
 */
#include "chardev/chardev-int.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/fd-stream.h"
#include "trace/chardev.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

/* Bytes read at once. */
#define READ_CHUNK 4096

static StreamChardev *of(Chardev *chr)
{
    return (StreamChardev *)(void *)chr;
}

static bool wants_input(StreamChardev *stream)
{
    return stream->started && stream->in_fd >= 0 && !stream->in_ended && chardev_front_can_read(&stream->chr) > 0;
}

/* ---- the end of a peer --------------------------------------------------------------------------- */

static void drop_queue(StreamChardev *stream)
{
    stream->first = 0;
    stream->count = 0;
    stream->stalled = false;
}

static void close_output(StreamChardev *stream)
{
    event_source_remove(stream->out_source);
    stream->out_source = NULL;
    if (stream->out_fd != stream->in_fd) {
        fd_close(&stream->out_fd);
    }
    stream->out_fd = -1;
    drop_queue(stream);
}

static void close_all(StreamChardev *stream)
{
    event_source_remove(stream->in_source);
    stream->in_source = NULL;
    close_output(stream);
    fd_close(&stream->in_fd);
    event_timer_disarm(stream->stall_timer);
    stream->in_unwatchable = stream->in_ended = stream->hung = false;
}

static void lose_peer(StreamChardev *stream)
{
    trace_chardev_gone(stream->chr.id);
    close_all(stream);
    chardev_front_event(&stream->chr, CHARDEV_EVENT_CLOSED);
    if (stream->gone) {
        stream->gone(stream);
    }
}

static void arm_stall_timer(StreamChardev *stream)
{
    event_timer_arm(stream->stall_timer, event_clock_ns(EVENT_CLOCK_REAL) + chardev_stall_ns);
}

/* The peer reads nothing more. */
static void hang_up(StreamChardev *stream)
{
    if (!stream->is_socket || stream->in_ended || !stream->chr.ops) {
        lose_peer(stream);
        return;
    }
    event_source_remove(stream->in_source);
    stream->in_source = NULL;
    stream->hung = true;
    drop_queue(stream);
    arm_stall_timer(stream);
}

/* ---- output -------------------------------------------------------------------------------------- */

/* A file that is full, or whose disk is broken, loses bytes; anything else that fails has gone. */
static void output_failed(StreamChardev *stream, int error)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        if (!stream->told_error) {
            log_warn("chardev %s: %s; output is lost until there is room", stream->chr.id, errno_text(error));
        }
        stream->told_error = true;
        drop_queue(stream);
    } else if (stream->is_socket) {
        hang_up(stream);
    } else {
        log_warn("chardev %s: %s; no more output", stream->chr.id, errno_text(error));
        close_output(stream);
    }
}

static void flush_output(StreamChardev *stream)
{
    bool progress = false;

    while (stream->count > 0) {
        size_t run = MIN(stream->count, CHARDEV_QUEUE - stream->first);
        ssize_t n = fd_stream_send(stream->out_fd, stream->is_socket, stream->queue + stream->first, run);

        if (n == -EAGAIN || n == -EINTR || n == 0) {
            break;
        }
        if (n < 0) {
            output_failed(stream, (int)-n);
            return;
        }
        progress = true;
        stream->told_error = false;
        stream->first = (stream->first + (size_t)n) % CHARDEV_QUEUE;
        stream->count -= (size_t)n;
    }
    if (progress) {
        stream->stalled = false;
        event_timer_disarm(stream->stall_timer);
    }
}

/* The front waits for room: tells it, or gives the peer its time. */
static void tell_room(StreamChardev *stream)
{
    if (stream->full && (stream->count < CHARDEV_QUEUE || stream->stalled)) {
        stream->full = false;
        chardev_front_can_write(&stream->chr);
    }
}

static void stall_expired(void *opaque)
{
    StreamChardev *stream = opaque;

    if (stream->hung) {
        lose_peer(stream);
        return;
    }
    trace_chardev_stalled(stream->chr.id, stream->count);
    stream->stalled = true;
    tell_room(stream);
}

static void wait_for_room(StreamChardev *stream)
{
    if (!stream->full) {
        stream->full = true;
        arm_stall_timer(stream);
    }
}

size_t stream_chardev_write(Chardev *chr, const uint8_t *data, size_t len)
{
    StreamChardev *stream = of(chr);
    size_t taken = MIN(len, CHARDEV_QUEUE - stream->count);
    size_t end = (stream->first + stream->count) % CHARDEV_QUEUE, run = MIN(taken, CHARDEV_QUEUE - end);

    if (stream->out_fd < 0 || stream->hung) {
        return len;
    }
    memcpy(stream->queue + end, data, run);
    memcpy(stream->queue, data + run, taken - run);
    stream->count += taken;
    event_bh_schedule(stream->bh);
    if (taken < len && stream->stalled) {
        trace_chardev_drop(chr->id, len - taken);
        return len;
    }
    if (taken < len) {
        wait_for_room(stream);
    }
    return taken;
}

size_t stream_chardev_room(Chardev *chr)
{
    StreamChardev *stream = of(chr);

    if (stream->out_fd < 0 || stream->hung || stream->stalled) {
        return CHARDEV_QUEUE;
    }
    if (stream->count == CHARDEV_QUEUE) {
        wait_for_room(stream);
    }
    return CHARDEV_QUEUE - stream->count;
}

/* ---- input --------------------------------------------------------------------------------------- */

/* One attempt; bytes received, 0 at the end, or a negative errno. */
static ssize_t receive_some(StreamChardev *stream, uint8_t *data, size_t len)
{
    FdSet received = { .num = 0 };
    ssize_t n = fd_stream_receive(stream->in_fd, stream->is_socket, data, len, &received);

    fd_set_drop(&received); /* nobody wants descriptors here */
    return n;
}

/* Reads once, as much as the front takes. */
static void read_input(StreamChardev *stream)
{
    uint8_t data[READ_CHUNK];
    ssize_t n = receive_some(stream, data, MIN(sizeof(data), chardev_front_can_read(&stream->chr)));

    if (n == -EAGAIN && stream->hung && stream->is_socket) {
        lose_peer(stream); /* it only refuses what we say, and is not gone: nothing would tell of its next words */
        return;
    }
    if (n == -EAGAIN || n == -EINTR) {
        return;
    }
    if (n > 0) {
        if (stream->hung) {
            arm_stall_timer(stream);
        }
        chardev_front_read(&stream->chr, data, (size_t)n);
        return;
    }
    stream->in_ended = true;
    if (stream->is_socket && (n < 0 || stream->hung)) {
        lose_peer(stream);
    }
}

/* ---- the main loop's side ------------------------------------------------------------------------ */

static void stream_ready(int fd, unsigned ready, void *opaque);

/* Makes the sources watch for what is wanted now. */
static void update_watch(StreamChardev *stream)
{
    bool input = wants_input(stream);

    if (stream->hung || stream->in_unwatchable) {
        if (input) {
            event_bh_schedule(stream->bh);
        }
    } else if (stream->is_socket) {
        if (stream->in_source) {
            event_source_set_events(stream->in_source,
                                    (input ? EVENT_READ : 0) | (stream->count > 0 ? EVENT_WRITE : 0));
        }
    } else if (input && !stream->in_source) {
        /* The hangup of a pipe cannot be muted: while nobody reads it is not watched at all. */
        stream->in_source = event_loop_add_fd(event_loop_main(), stream->in_fd, EVENT_READ, stream_ready, stream);
        stream->in_ended = !stream->in_source;
    } else if (!input) {
        event_source_remove(stream->in_source);
        stream->in_source = NULL;
    }
    if (stream->out_source) {
        event_source_set_events(stream->out_source, stream->count > 0 ? EVENT_WRITE : 0);
    }
}

static void stream_ready(int fd, unsigned ready, void *opaque)
{
    StreamChardev *stream = opaque;
    bool is_input = stream->is_socket || fd == stream->in_fd;

    chardev_ref(&stream->chr);
    if (is_input && (ready & (EVENT_READ | EVENT_HANGUP)) && wants_input(stream)) {
        read_input(stream);
    }
    if (ready & EVENT_HANGUP && stream->is_socket && stream->in_fd >= 0 && !stream->hung) {
        hang_up(stream);
    } else if (ready & EVENT_HANGUP && !is_input) {
        close_output(stream);
    }
    if (ready & EVENT_WRITE && stream->out_fd >= 0) {
        flush_output(stream);
    }
    tell_room(stream);
    update_watch(stream);
    chardev_unref(&stream->chr);
}

static void stream_step(void *opaque)
{
    StreamChardev *stream = opaque;

    chardev_ref(&stream->chr);
    if ((stream->hung || stream->in_unwatchable) && wants_input(stream)) {
        read_input(stream);
    }
    flush_output(stream);
    tell_room(stream);
    update_watch(stream);
    chardev_unref(&stream->chr);
}

void stream_chardev_accept_input(Chardev *chr)
{
    StreamChardev *stream = of(chr);

    if (stream->in_fd >= 0) {
        event_bh_schedule(stream->bh);
    }
}

/* ---- making, ending ------------------------------------------------------------------------------ */

const ChardevClass stream_chardev_class = {
    .name = "stream",
    .write = stream_chardev_write,
    .room = stream_chardev_room,
    .accept_input = stream_chardev_accept_input,
    .detached = stream_chardev_detached,
    .start = stream_chardev_start,
    .stop = stream_chardev_stop,
    .free = stream_chardev_free,
};

void stream_chardev_init(StreamChardev *stream, const ChardevClass *klass, const char *id)
{
    chardev_init(&stream->chr, klass, id);
    stream->in_fd = stream->out_fd = -1;
    stream->queue = g_malloc(CHARDEV_QUEUE);
    stream->bh = event_bh_new(event_loop_main(), stream_step, stream);
    stream->stall_timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, stall_expired, stream);
}

bool stream_chardev_take_fds(StreamChardev *stream, int in_fd, int out_fd, bool is_socket)
{
    stream->in_fd = in_fd;
    stream->out_fd = out_fd;
    stream->is_socket = is_socket;
    if (is_socket) {
        stream->in_source = event_loop_add_fd(event_loop_main(), in_fd, 0, stream_ready, stream);
        if (!stream->in_source) {
            close_all(stream);
            return false;
        }
    } else {
        if (in_fd >= 0) {
            stream->in_source = event_loop_add_fd(event_loop_main(), in_fd, EVENT_READ, stream_ready, stream);
            stream->in_unwatchable = !stream->in_source;
        }
        if (out_fd >= 0) {
            stream->out_source = event_loop_add_fd(event_loop_main(), out_fd, 0, stream_ready, stream);
        }
    }
    update_watch(stream);
    return true;
}

void stream_chardev_detached(Chardev *chr)
{
    event_bh_schedule(of(chr)->bh);
}

void stream_chardev_start(Chardev *chr)
{
    of(chr)->started = true;
    event_bh_schedule(of(chr)->bh);
}

/* The last words of a guest tell why it ended: who reads slowly gets a moment more. */
void stream_chardev_stop(Chardev *chr)
{
    StreamChardev *stream = of(chr);
    int64_t deadline = event_clock_ns(EVENT_CLOCK_REAL) + chardev_stall_ns;

    flush_output(stream);
    while (stream->count > 0 && !stream->stalled && event_clock_ns(EVENT_CLOCK_REAL) < deadline) {
        poll(&(struct pollfd) { .fd = stream->out_fd, .events = POLLOUT }, 1, 10);
        flush_output(stream);
    }
    close_all(stream);
}

void stream_chardev_free(Chardev *chr)
{
    StreamChardev *stream = of(chr);

    if (stream->freed) {
        stream->freed(stream);
    }
    close_all(stream);
    event_bh_free(stream->bh);
    event_timer_free(stream->stall_timer);
    g_free(stream->queue);
    g_free(stream);
}
