/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where clients come from: listening sockets, connected sockets, standard input and output.
 *
 * Runs in: both programs.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "endpoint.h"
#include "monitor-int.h"
#include "monitor/options.h"
#include "sandbox/sandbox.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/own-file.h"

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
    OwnFile file; /* that was bound, so that nobody else's is removed */
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

static bool set_address(struct sockaddr_un *addr, const char *path, GError **errp)
{
    *addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof(addr->sun_path)) {
        error_setg(errp, "unix:%s: the path is longer than %zu bytes; use a shorter one", path,
                   sizeof(addr->sun_path) - 1);
        return false;
    }
    strcpy(addr->sun_path, path); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): length checked */
    return true;
}

static int socket_for(const char *path, struct sockaddr_un *addr, GError **errp)
{
    int fd;

    if (!set_address(addr, path, errp)) {
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        error_setg_errno(errp, errno, "unix:%s: cannot make a socket; raise the limit (ulimit -n)", path);
    }
    return fd;
}

/*
 * As QEMU does: whatever socket is there is replaced.  Other files are not.  False with *errp for a socket of our own,
 * which nobody could reach any more.
 */
static bool remove_old_socket(const char *path, GError **errp)
{
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) {
        return true;
    }
    for (unsigned i = 0; listeners && i < listeners->len; i++) {
        if (own_file_is_at(&((Listener *)g_ptr_array_index(listeners, i))->file, path)) {
            error_setg(errp, "unix:%s: another monitor listens there; give each a path of its own", path);
            return false;
        }
    }
    unlink(path);
    return true;
}

bool endpoint_listen(const char *path, bool wait, MonitorMode mode, GError **errp)
{
    struct sockaddr_un addr;
    auto_fd fd = socket_for(path, &addr, errp);
    EventSource *source;
    Listener *listener;
    OwnFile file;

    if (fd < 0 || !remove_old_socket(path, errp)) {
        return false;
    }
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, MONITOR_CLIENTS_MAX) < 0 ||
        !own_file_note(path, &file)) {
        error_setg_errno(errp, errno, "unix:%s: cannot listen; give a path that can be made", path);
        return false;
    }
    listener = g_new0(Listener, 1);
    source = event_loop_add_fd(event_loop_main(), fd, begun ? EVENT_READ : 0, listener_ready, listener);
    if (!source) {
        error_setg_errno(errp, errno, "unix:%s: the socket cannot be watched", path);
        unlink(path);
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
    sandbox_remove_at_end(path);
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
        own_file_remove(&listener->file, listener->path);
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
    int type;
    socklen_t len = sizeof(int);
    MonitorStream *stream;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM) {
        error_setg(errp, "descriptor %d is %s; give a connected stream socket", fd, fd_kind_name(fd_kind(fd)));
        return false;
    }
    if (getpeername(fd, &(struct sockaddr) { 0 }, &(socklen_t) { sizeof(struct sockaddr) }) < 0) {
        error_setg(errp, "descriptor %d is a socket without a peer; give a connected stream socket", fd);
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
    struct sockaddr_un addr;
    auto_fd fd = socket_for(path, &addr, errp);

    if (fd < 0) {
        return false;
    }
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_setg_errno(errp, errno, "unix:%s: cannot connect; start the program that listens there first, or add "
                         "server=on to listen", path);
        return false;
    }
    return endpoint_take_fd(fd_steal(&fd), mode, errp);
}

bool endpoint_stdio(MonitorMode mode, GError **errp)
{
    MonitorStream *stream = monitor_stream_new_stdio(NULL, NULL, errp);

    if (stream) {
        on_stdio = true;
        begin_session(stream, mode);
    }
    return stream != NULL;
}
