/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * "socket": a Unix socket, listened on, connected to, or inherited.
 *
 * Runs in: mpqemu.
 *
 * A listening socket has one peer at a time; others wait to be accepted until it has gone.
 */
#include "chardev/chardev-int.h"

#include <errno.h>
#include <sys/socket.h>
#include "chardev/unix-socket.h"
#include "trace/chardev.h"
#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

/* Those who wait for their turn. */
#define BACKLOG 4

/* Without descriptors to accept a peer, the next attempt comes after this. */
#define ACCEPT_RETRY_NS (100 * 1000 * 1000)

typedef struct SocketChardev {
    StreamChardev stream; /* without descriptors while nobody is connected */
    int listen_fd;        /* -1: it does not listen */
    EventSource *source;
    EventTimer *retry;
    UnixSocketFile *file;
    bool is_waiting; /* for the first peer */
} SocketChardev;

static SocketChardev *of(Chardev *chr)
{
    return (SocketChardev *)(void *)chr;
}

static void accept_more(void *opaque)
{
    SocketChardev *self = opaque;

    if (self->source) {
        event_source_set_events(self->source, self->stream.started && self->stream.in_fd < 0 ? EVENT_READ : 0);
    }
}

static void peer_gone(StreamChardev *stream)
{
    accept_more(of(&stream->chr));
}

static void listener_ready(int fd, unsigned ready, void *opaque)
{
    SocketChardev *self = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (peer < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* It still waits, and would keep the loop busy. */
            event_source_set_events(self->source, 0);
            event_timer_arm(self->retry, event_clock_ns(EVENT_CLOCK_REAL) + ACCEPT_RETRY_NS);
        }
        return;
    }
    if (stream_chardev_take_fds(&self->stream, peer, peer, true)) {
        self->is_waiting = false;
        accept_more(self);
        trace_chardev_accept(self->stream.chr.id);
        chardev_front_event(&self->stream.chr, CHARDEV_EVENT_OPENED);
    }
}

static void socket_start(Chardev *chr)
{
    stream_chardev_start(chr);
    accept_more(of(chr));
}

static bool socket_waiting(Chardev *chr)
{
    return of(chr)->is_waiting;
}

static void socket_stop(Chardev *chr)
{
    SocketChardev *self = of(chr);

    event_source_remove(self->source);
    self->source = NULL;
    event_timer_free(self->retry);
    self->retry = NULL;
    fd_close(&self->listen_fd);
    unix_socket_file_remove(self->file);
    self->file = NULL;
    stream_chardev_stop(chr);
}

static const ChardevClass socket_class = {
    .name = "socket",
    .write = stream_chardev_write,
    .room = stream_chardev_room,
    .accept_input = stream_chardev_accept_input,
    .detached = stream_chardev_detached,
    .start = socket_start,
    .waiting = socket_waiting,
    .stop = socket_stop,
    .free = stream_chardev_free,
};

static Chardev *socket_new(const char *id)
{
    SocketChardev *self = g_new0(SocketChardev, 1);

    stream_chardev_init(&self->stream, &socket_class, id);
    self->stream.gone = peer_gone;
    self->listen_fd = -1;
    return &self->stream.chr;
}

static Chardev *open_listening(const char *id, const char *path, bool wait, GError **errp)
{
    UnixSocketFile *file;
    int fd = unix_socket_listen(path, BACKLOG, &file, errp);
    SocketChardev *self;

    if (fd < 0) {
        return NULL;
    }
    self = of(socket_new(id));
    self->stream.chr.filename = g_strdup_printf("unix:%s,server=on", path);
    self->listen_fd = fd;
    self->file = file;
    self->is_waiting = wait;
    self->retry = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, accept_more, self);
    self->source = event_loop_add_fd(event_loop_main(), fd, 0, listener_ready, self);
    if (!self->source) {
        error_setg_errno(errp, errno, "unix:%s: the socket cannot be watched", path);
        socket_stop(&self->stream.chr);
        chardev_unref(&self->stream.chr);
        return NULL;
    }
    return &self->stream.chr;
}

/* FD is taken.  PATH: what it is connected to; NULL: unknown. */
static Chardev *open_connected(const char *id, const char *path, int fd, GError **errp)
{
    Chardev *chr = socket_new(id);

    chr->filename = path ? g_strdup_printf("unix:%s", path) : g_strdup("fd");
    if (!stream_chardev_take_fds(&of(chr)->stream, fd, fd, true)) {
        error_setg_errno(errp, errno, "the socket cannot be watched");
        chardev_unref(chr);
        return NULL;
    }
    return chr;
}

Chardev *chardev_open_socket(const char *id, Options *opts, GError **errp)
{
    const char *path = options_get(opts, "path"), *fd_text = options_get(opts, "fd");
    bool server = false, wait = true;
    int fd;

    if (!options_get_bool(opts, "server", &server, errp) || !options_get_bool(opts, "wait", &wait, errp)) {
        return NULL;
    }
    if (!path == !fd_text || (path && !*path)) {
        error_setg(errp, "a socket needs path=PATH, or fd=N of a connected socket");
        return NULL;
    }
    if (fd_text && server) {
        error_setg(errp, "fd=%s: server=on is for path= only; leave it out, and pass a connected socket", fd_text);
        return NULL;
    }
    if (options_has(opts, "wait") && !server) {
        error_setg(errp, "wait=%s is for one that listens; leave it out, or add server=on", options_get(opts, "wait"));
        return NULL;
    }
    if (path && server) {
        return open_listening(id, path, wait, errp);
    }
    fd = path ? unix_socket_connect(path, errp) : fd_name_or_number_take("fd", fd_text, errp);
    if (fd < 0 || !unix_socket_check_connected(fd, errp)) {
        fd_close(&fd);
        return NULL;
    }
    return open_connected(id, path, fd, errp);
}
