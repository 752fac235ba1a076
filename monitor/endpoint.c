/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where clients come from: listening sockets, connected sockets, standard input and output, or a share of them.
 *
 * Runs in: both programs.
 */
#include <errno.h>
#include <sys/socket.h>

#include "chardev/chardev.h"
#include "chardev/unix-socket.h"
#include "endpoint.h"
#include "monitor-int.h"
#include "monitor/options.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

const SyscallTable monitor_listener_syscalls = {
    "listening monitor", (const SyscallRule[]) {
        SYSCALL(accept4, "clients of a monitor that listens"),
        SYSCALL_END,
    },
};

/* Without descriptors to accept a client, the next attempt comes when a client leaves, or after this. */
#define ACCEPT_RETRY_NS (100 * 1000 * 1000)

typedef struct Listener {
    char *path;
    UnixSocketFile *file;
    int fd;
    EventSource *source;
    EventTimer *retry;
    MonitorMode mode;
    unsigned clients;
    bool waiting; /* for the first client */
    unsigned refs; /* itself, and one a client: streams may outlive endpoints_stop() by their callbacks */
} Listener;

static GPtrArray *listeners; /* Listener *, not owned */
static unsigned connected;   /* sockets that were connected when they were given, and are still */
static bool on_stdio;
static void (*alone)(void);  /* NULL: nobody wants to know */

/* Streams that wait for endpoints_begin(); NULL after it. */
typedef struct Waiting {
    MonitorStream *stream;
    MonitorMode mode;
} Waiting;

static GArray *waiting_streams;
static bool begun;

static void begin_session(MonitorStream *stream, MonitorMode mode)
{
    if (!begun) {
        Waiting waiting = { stream, mode };

        waiting_streams = waiting_streams ? waiting_streams : g_array_new(false, false, sizeof(waiting));
        g_array_append_val(waiting_streams, waiting);
    } else if (mode == MONITOR_READLINE) {
        hmp_session_open(stream);
    } else {
        qmp_session_open(stream, mode == MONITOR_CONTROL_PRETTY);
    }
}

void endpoints_begin(void)
{
    begun = true;
    for (unsigned i = 0; listeners && i < listeners->len; i++) {
        event_source_set_events(((Listener *)g_ptr_array_index(listeners, i))->source, EVENT_READ);
    }
    for (unsigned i = 0; waiting_streams && i < waiting_streams->len; i++) {
        Waiting *waiting = &g_array_index(waiting_streams, Waiting, i);

        begin_session(waiting->stream, waiting->mode);
    }
    g_clear_pointer(&waiting_streams, g_array_unref);
}

bool monitor_listens(void)
{
    return listeners != NULL;
}

bool monitor_on_stdio(void)
{
    return on_stdio;
}

/* ---- listening ------------------------------------------------------------------------------- */

static void listener_unref(Listener *listener)
{
    if (--listener->refs == 0) {
        g_free(listener->path);
        g_free(listener);
    }
}

static void listener_accept_more(void *opaque)
{
    Listener *listener = opaque;

    if (listener->source) {
        event_source_set_events(listener->source, listener->clients < MONITOR_CLIENTS_MAX ? EVENT_READ : 0);
    }
}

/* A client's stream has gone. */
static void client_gone(void *opaque)
{
    Listener *listener = opaque;

    listener->clients--;
    listener_accept_more(listener);
    listener_unref(listener);
}

static void listener_ready(int fd, unsigned ready, void *opaque)
{
    Listener *listener = opaque;
    g_autoptr(GError) err = NULL;
    MonitorStream *stream;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            /* The client still waits and would keep the loop busy. */
            event_source_set_events(listener->source, 0);
            event_timer_arm(listener->retry, event_clock_ns(EVENT_CLOCK_REAL) + ACCEPT_RETRY_NS);
        }
        return;
    }
    stream = monitor_stream_new_take_fd(client, client_gone, listener, &err);
    if (!stream) {
        log_warn("%s: %s", listener->path, err->message);
        return;
    }
    listener->refs++;
    listener->clients++;
    listener->waiting = false;
    listener_accept_more(listener);
    begin_session(stream, listener->mode);
}

bool endpoint_listen(const char *path, bool wait, MonitorMode mode, GError **errp)
{
    UnixSocketFile *file;
    auto_fd fd = unix_socket_listen(path, MONITOR_CLIENTS_MAX, &file, errp);
    EventSource *source;
    Listener *listener;

    if (fd < 0) {
        return false;
    }
    listener = g_new0(Listener, 1);
    source = event_loop_add_fd(event_loop_main(), fd, begun ? EVENT_READ : 0, listener_ready, listener);
    if (!source) {
        error_setg_errno(errp, errno, "unix:%s: the socket cannot be watched", path);
        unix_socket_file_remove(file);
        g_free(listener);
        return false;
    }
    *listener = (Listener) {
        .path = g_strdup(path),
        .file = file,
        .fd = fd_steal(&fd),
        .source = source,
        .retry = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, listener_accept_more, listener),
        .mode = mode,
        .waiting = wait,
        .refs = 1,
    };
    if (!listeners) {
        listeners = g_ptr_array_new();
    }
    g_ptr_array_add(listeners, listener);
    return true;
}

bool endpoints_waiting(void)
{
    for (unsigned i = 0; listeners && i < listeners->len; i++) {
        Listener *listener = g_ptr_array_index(listeners, i);

        if (listener->waiting) {
            return true;
        }
    }
    return false;
}

void endpoints_stop(void)
{
    for (unsigned i = 0; listeners && i < listeners->len; i++) {
        Listener *listener = g_ptr_array_index(listeners, i);

        event_source_remove(listener->source);
        listener->source = NULL;
        event_timer_free(listener->retry);
        fd_close(&listener->fd);
        unix_socket_file_remove(listener->file);
        listener_unref(listener);
    }
    g_clear_pointer(&listeners, g_ptr_array_unref);
}

/* ---- one client ------------------------------------------------------------------------------ */

void monitor_set_alone_handler(void (*handler)(void))
{
    alone = handler;
}

static void connected_gone(void *opaque)
{
    connected--;
    if (connected == 0 && !listeners && !on_stdio && alone) {
        alone();
    }
}

bool endpoint_take_fd(int fd, MonitorMode mode, GError **errp)
{
    auto_fd owned = fd;
    MonitorStream *stream;

    if (!unix_socket_check_connected(fd, errp)) {
        return false;
    }
    stream = monitor_stream_new_take_fd(fd_steal(&owned), connected_gone, NULL, errp);
    if (!stream) {
        return false;
    }
    connected++;
    begin_session(stream, mode);
    return true;
}

bool endpoint_connect(const char *path, MonitorMode mode, GError **errp)
{
    int fd = unix_socket_connect(path, errp);

    return fd >= 0 && endpoint_take_fd(fd, mode, errp);
}

bool endpoint_stdio(MonitorMode mode, GError **errp)
{
    MonitorStream *stream = NULL;
    int in_fd, out_fd;

    if (stdio_claim(errp) && stdio_open(&in_fd, &out_fd, errp)) {
        stream = monitor_stream_new_take_fds(in_fd, out_fd);
        on_stdio = true;
        begin_session(stream, mode);
    }
    return stream != NULL;
}

bool endpoint_mux(const char *id, MonitorMode mode, GError **errp)
{
    auto_fd in_fd = chardev_mux_terminal(id, errp);
    auto_fd out_fd = in_fd >= 0 ? fd_dup(in_fd) : -1;

    if (in_fd < 0) {
        return false;
    }
    if (out_fd < 0) {
        error_setg_errno(errp, -out_fd, "chardev=%s: no more descriptors; raise the limit (ulimit -n)", id);
        return false;
    }
    on_stdio = true;
    begin_session(monitor_stream_new_take_fds(fd_steal(&in_fd), fd_steal(&out_fd)), mode);
    return true;
}
