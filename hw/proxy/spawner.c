/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spawner seen from the main emulator: requests out, answers in.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Each process that was asked for is in a table, by the serial number of its
 * request, until it has failed or ended: forgotten ones too, so that their number is known.  Requests that
 * the socket does not take wait in a queue, which the table's bound bounds.  A request that cannot be sent
 * fails by a deferred call, so that no callback runs inside spawner_spawn().  That the spawner has gone is
 * seen at the end of its socket only, behind all that it has told.
 */
#include "hw/proxy/spawner-int.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "sandbox/helper.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

#define SPAWNER_GONE "the spawner process has ended, and its children with it; restart mpqemu"

/* Answers handled in one turn of the loop. */
#define ANSWERS_PER_TURN 32

struct SpawnedProcess {
    uint64_t serial;
    char *path;
    const SpawnOps *ops; /* NULL: forgotten */
    void *opaque;
    bool started;
    bool orphaned;      /* outlived spawner_stop(): spawned_process_forget() frees it */
    GError *send_error; /* its request could not be sent */
};

/* A request that waits for the socket. */
typedef struct Waiting {
    uint64_t serial;
    GByteArray *request;
    FdSet fds; /* duplicates */
} Waiting;

static struct {
    int sock;  /* -1: none */
    bool used; /* there was one */
    pid_t pid;
    EventSource *source;
    EventBh *fail_bh;
    GHashTable *processes; /* &serial -> SpawnedProcess, owned; NULL: not started */
    GQueue waiting;        /* of Waiting */
    uint64_t last_serial;
} spawner = { .sock = -1, .waiting = G_QUEUE_INIT };

/* What failed, and what can be done about it. */
static const struct {
    const char *what, *remedy;
} step_texts[SPAWNER_STEPS] = {
    [SPAWNER_STEP_REQUEST] = { "the spawner refuses the request", "this is a bug" },
    [SPAWNER_STEP_FDS] = { "its descriptors did not reach the spawner", "raise the limit (ulimit -n)" },
    [SPAWNER_STEP_FORM] = { "mpqemu is confined, and its command line does not name that program with those arguments",
                            "restart mpqemu with -remote rid=RID,exec=PATH" },
    [SPAWNER_STEP_CHILDREN] = { "too many processes are alive", "remove remote devices first" },
    [SPAWNER_STEP_FORK] = { "no new process", "raise the limits (ulimit -u, ulimit -n, the cgroup's pids.max)" },
    [SPAWNER_STEP_PIDFD] = { "no process descriptor", "raise the limit (ulimit -n); Linux 5.3 is needed" },
    [SPAWNER_STEP_PLACE] = { "its descriptors cannot be put in their places",
                             "raise the limit (ulimit -n); Linux 5.9 is needed" },
    [SPAWNER_STEP_OPEN] = { NULL, "give the absolute path of the program" },
    [SPAWNER_STEP_REGULAR] = { "it is no regular file", "give the absolute path of the program" },
    [SPAWNER_STEP_EXEC] = { NULL, "give the path of a program that may be executed" },
};

/* ---- life ---------------------------------------------------------------------------------------- */

static void process_free(SpawnedProcess *process)
{
    g_clear_error(&process->send_error);
    g_free(process->path);
    g_free(process);
}

static void waiting_free(void *opaque)
{
    Waiting *waiting = opaque;

    g_byte_array_unref(waiting->request);
    fd_set_drop(&waiting->fds);
    g_free(waiting);
}

static void close_socket(void)
{
    g_clear_pointer(&spawner.source, event_source_remove);
    fd_close(&spawner.sock);
    g_queue_clear_full(&spawner.waiting, waiting_free);
}

/* The spawner ends some time after its socket; a zombie of it takes no more than its number. */
static void reap_spawner(void)
{
    if (spawner.pid > 0 && waitpid(spawner.pid, NULL, WNOHANG) != 0) {
        spawner.pid = 0;
    }
}

static void spawner_readable(int fd, unsigned ready, void *opaque);
static void fail_processes(void *opaque);
static void send_waiting(void);

bool spawner_start(GError **errp)
{
    g_assert(!spawner.used);
    reap_spawner();
    if (!helper_start("spawner", spawner_child_main, &spawner.sock, &spawner.pid, errp)) {
        return false;
    }
    spawner.used = true;
    spawner.processes = g_hash_table_new(g_int64_hash, g_int64_equal);
    spawner.fail_bh = event_bh_new(event_loop_main(), fail_processes, NULL);
    spawner.source = event_loop_add_fd(event_loop_main(), spawner.sock, EVENT_READ, spawner_readable, NULL);
    if (!spawner.source) {
        error_setg(errp, "cannot watch the spawner: %s; raise /proc/sys/fs/epoll/max_user_watches",
                   errno_text(errno));
        spawner_stop();
        return false;
    }
    return true;
}

void spawner_stop(void)
{
    GHashTableIter iter;
    SpawnedProcess *process;

    if (!spawner.used) {
        return;
    }
    spawner.used = false;
    close_socket();
    g_clear_pointer(&spawner.fail_bh, event_bh_free);
    reap_spawner();
    g_hash_table_iter_init(&iter, spawner.processes);
    while (g_hash_table_iter_next(&iter, NULL, (void **)&process)) {
        g_hash_table_iter_steal(&iter);
        process->orphaned = true;
        if (!process->ops) {
            process_free(process);
        }
    }
    g_clear_pointer(&spawner.processes, g_hash_table_unref);
}

/* ---- answers ------------------------------------------------------------------------------------- */

static void call_failed(SpawnedProcess *process, const GError *err)
{
    trace_spawner_failed(process->serial, err->message);
    if (process->ops) {
        process->ops->failed(process, err, process->opaque);
    }
}

static void call_exited(SpawnedProcess *process, int status)
{
    trace_spawner_exited(process->serial, status);
    if (process->ops) {
        process->ops->exited(process, status, process->opaque);
    }
}

static void set_step_error(const SpawnerAnswer *answer, const char *path, GError **errp)
{
    SpawnerStep step = answer->step < SPAWNER_STEPS ? answer->step : SPAWNER_STEP_REQUEST;
    const char *what = step_texts[step].what;

    error_setg(errp, "cannot start '%s'%s%s%s%s; %s", path, what ? ": " : "", what ? what : "",
               answer->error ? ": " : "", answer->error ? errno_text(answer->error) : "",
               step_texts[step].remedy);
}

/* Calls back for ANSWER; *pidfd is taken when somebody wants it. */
static void handle_answer(const SpawnerAnswer *answer, int *pidfd)
{
    SpawnedProcess *process = g_hash_table_lookup(spawner.processes, &answer->serial);
    g_autoptr(GError) err = NULL;

    if (!process) {
        return;
    }
    if (answer->kind == SPAWNER_STARTED) {
        trace_spawner_started(process->serial, answer->pid);
        process->started = true;
        if (process->ops) {
            process->ops->started(process, answer->pid, fd_steal(pidfd), process->opaque);
        }
        return;
    }
    g_hash_table_steal(spawner.processes, &answer->serial);
    if (answer->kind == SPAWNER_EXITED) {
        call_exited(process, answer->status);
    } else {
        set_step_error(answer, process->path, &err);
        call_failed(process, err);
    }
    process_free(process);
}

/* One that will not be answered for: all when the spawner has died, else one whose request was not sent. */
static SpawnedProcess *next_to_fail(void)
{
    GHashTableIter iter;
    SpawnedProcess *process;

    if (!spawner.used) {
        return NULL;
    }
    g_hash_table_iter_init(&iter, spawner.processes);
    while (g_hash_table_iter_next(&iter, NULL, (void **)&process)) {
        if (spawner.sock < 0 || process->send_error) {
            return process;
        }
    }
    return NULL;
}

static void fail_processes(void *opaque)
{
    SpawnedProcess *process;

    /* From the beginning each time: a callback may ask for processes, forget some, or stop the spawner. */
    while ((process = next_to_fail())) {
        g_hash_table_steal(spawner.processes, &process->serial);
        if (process->started) {
            call_exited(process, -1);
        } else {
            if (!process->send_error) {
                error_setg(&process->send_error, "cannot start '%s': " SPAWNER_GONE, process->path);
            }
            call_failed(process, process->send_error);
        }
        process_free(process);
    }
}

static void spawner_readable(int fd, unsigned ready, void *opaque)
{
    for (int i = 0; i < ANSWERS_PER_TURN && spawner.sock >= 0; i++) {
        SpawnerAnswer answer;
        FdSet fds;
        auto_fd pidfd = -1;
        ssize_t n = fd_socket_receive(spawner.sock, &answer, sizeof(answer), &fds, MSG_DONTWAIT);

        if (n == -EAGAIN || n == -EINTR) {
            break;
        }
        if (fds.num) {
            pidfd = fd_steal(&fds.fds[0]);
        }
        fd_set_drop(&fds);
        if (n != sizeof(answer)) {
            /* Its death takes its children with it. */
            close_socket();
            reap_spawner();
            fail_processes(NULL);
            return;
        }
        handle_answer(&answer, &pidfd);
    }
    if (spawner.sock >= 0) {
        send_waiting();
    }
}

/* ---- requests ------------------------------------------------------------------------------------ */

/* The request with SERIAL could not be sent; its process, if it is still there, fails soon. */
static void send_failed(uint64_t serial, int error)
{
    SpawnedProcess *process = g_hash_table_lookup(spawner.processes, &serial);

    if (process) {
        error_setg(&process->send_error, "cannot start '%s': the spawner cannot be asked: %s; raise the limit "
                   "(ulimit -n)", process->path, errno_text(error));
        event_bh_schedule(spawner.fail_bh);
    }
}

/* Sends what waits, as far as the socket takes it. */
static void send_waiting(void)
{
    Waiting *waiting;

    while ((waiting = g_queue_peek_head(&spawner.waiting))) {
        ssize_t n = fd_socket_send(spawner.sock, waiting->request->data, waiting->request->len,
                                   waiting->fds.fds, waiting->fds.num, MSG_DONTWAIT);

        if (n == -EAGAIN) {
            break;
        }
        if (n == -EPIPE || n == -ECONNRESET) {
            /* All end when the end of the socket is read. */
            waiting = NULL;
            break;
        }
        if (n < 0) {
            send_failed(waiting->serial, (int)-n);
        }
        waiting_free(g_queue_pop_head(&spawner.waiting));
    }
    event_source_set_events(spawner.source, EVENT_READ | (waiting ? EVENT_WRITE : 0));
}

static unsigned append_strings(GByteArray *request, const char *const *strings)
{
    unsigned count = 0;

    for (; strings && strings[count]; count++) {
        g_byte_array_append(request, (const guint8 *)strings[count], strlen(strings[count]) + 1);
    }
    return count;
}

static GByteArray *build_request(const SpawnRequest *r, uint64_t serial)
{
    GByteArray *request = g_byte_array_new();
    SpawnerRequest header = { .serial = serial, .fd_count = r->fd_count, .pid_namespace = r->pid_namespace };

    g_byte_array_set_size(request, sizeof(header));
    g_byte_array_append(request, (const guint8 *)r->path, strlen(r->path) + 1);
    header.argc = append_strings(request, r->argv);
    header.envc = append_strings(request, r->envp);
    if (r->comm) {
        g_strlcpy(header.comm, r->comm, sizeof(header.comm));
    }
    memcpy(request->data, &header, sizeof(header));
    return request;
}

bool spawner_restrict(const SpawnForm *forms, unsigned count, GError **errp)
{
    g_autoptr(GByteArray) request = g_byte_array_new();
    SpawnerRequest header = { .restricts = 1 };
    ssize_t n;

    g_byte_array_append(request, (const guint8 *)&header, sizeof(header));
    for (unsigned i = 0; i < count; i++) {
        g_byte_array_append(request, (const guint8 *)forms[i].path, strlen(forms[i].path) + 1);
        append_strings(request, forms[i].args);
        g_byte_array_append(request, (const guint8 *)"", 1);
    }
    n = request->len > SPAWNER_REQUEST_MAX ? -EMSGSIZE
                                           : fd_socket_send(spawner.sock, request->data, request->len, NULL, 0,
                                                            MSG_DONTWAIT);
    if (n < 0) {
        error_setg_errno(errp, (int)-n, "the spawner cannot be told what programs it may start; give fewer -remote");
        return false;
    }
    return true;
}

static bool check_request(const SpawnRequest *r, GError **errp)
{
    size_t text = strlen(r->path) + 1;
    size_t count = 0;

    if (r->path[0] != '/') {
        error_setg(errp, "cannot start '%s': the path is not absolute; begin it with '/'", r->path);
        return false;
    }
    for (const char *const *arg = r->argv; arg && *arg; arg++, count++) {
        text += strlen(*arg) + 1;
    }
    if (count == 0) {
        error_setg(errp, "cannot start '%s': there is no argument; give at least its name", r->path);
        return false;
    }
    for (const char *const *env = r->envp; env && *env; env++, count++) {
        text += strlen(*env) + 1;
    }
    if (text > SPAWNER_TEXT_MAX || count > SPAWNER_STRINGS_MAX) {
        error_setg(errp, "cannot start '%s': %zu bytes in %zu arguments and environment strings; at most %u in "
                   "%u are possible", r->path, text, count, SPAWNER_TEXT_MAX, SPAWNER_STRINGS_MAX);
        return false;
    }
    if (r->fd_count > SPAWNER_FDS_MAX) {
        error_setg(errp, "cannot start '%s': %u descriptors are to be kept; at most %d are possible", r->path,
                   r->fd_count, SPAWNER_FDS_MAX);
        return false;
    }
    return true;
}

static bool check_spawner(const SpawnRequest *r, GError **errp)
{
    if (spawner.sock < 0) {
        error_setg(errp, "cannot start '%s': %s", r->path,
                   spawner.used ? SPAWNER_GONE
                                : "there is no spawner; start the process with a launcher and pass its fd");
        return false;
    }
    if (g_hash_table_size(spawner.processes) >= SPAWNER_CHILDREN_MAX) {
        error_setg(errp, "cannot start '%s': %d processes are alive, which is the limit; remove remote "
                   "devices first", r->path, SPAWNER_CHILDREN_MAX);
        return false;
    }
    return true;
}

/* Duplicates are what waits: the caller may close its own at once. */
static Waiting *waiting_new(const SpawnRequest *r, uint64_t serial, GError **errp)
{
    g_autoptr(GByteArray) request = build_request(r, serial);
    Waiting *waiting = g_new0(Waiting, 1);

    waiting->serial = serial;
    waiting->request = g_steal_pointer(&request);
    for (unsigned i = 0; i < r->fd_count; i++) {
        int copy = fd_dup(r->fds[i]);

        if (copy < 0) {
            waiting_free(waiting);
            error_setg(errp, "cannot start '%s': descriptor %d cannot be duplicated: %s; raise the limit "
                       "(ulimit -n)", r->path, r->fds[i], errno_text(-copy));
            return NULL;
        }
        waiting->fds.fds[waiting->fds.num++] = copy;
    }
    return waiting;
}

SpawnedProcess *spawner_spawn(const SpawnRequest *request, const SpawnOps *ops, void *opaque, GError **errp)
{
    SpawnedProcess *process;
    Waiting *waiting;

    if (!check_request(request, errp) || !check_spawner(request, errp)) {
        return NULL;
    }
    waiting = waiting_new(request, spawner.last_serial + 1, errp);
    if (!waiting) {
        return NULL;
    }
    process = g_new0(SpawnedProcess, 1);
    *process = (SpawnedProcess) {
        .serial = ++spawner.last_serial,
        .path = g_strdup(request->path),
        .ops = ops,
        .opaque = opaque,
    };
    trace_spawner_spawn(process->serial, request->path, request->fd_count);
    g_hash_table_insert(spawner.processes, &process->serial, process);
    g_queue_push_tail(&spawner.waiting, waiting);
    send_waiting();
    return process;
}

void spawned_process_forget(SpawnedProcess *process)
{
    if (!process) {
        return;
    }
    process->ops = NULL;
    if (process->orphaned) {
        process_free(process);
    }
}
