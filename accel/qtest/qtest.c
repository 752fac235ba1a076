/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qtest: connections, the thread, output.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The qtest thread reads a line, carries it out, writes the answer: two
 * system calls a command.  Interrupt events come from any thread that holds the machine lock and
 * must not wait for the client: they are written at once when nobody else is writing and there is
 * room, else they are queued, and whoever is writing sends them.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "accel/qtest.h"
#include "qtest-int.h"
#include "system/runstate.h"
#include "trace/accel-qtest.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/options.h"

/* First size of the line buffer; doubled up to QTEST_LINE_MAX as lines need it. */
#define LINE_BUF_SIZE 65536

/* Interrupt lines kept for a client that does not read; one that lets more pile up is cut off. */
#define QUEUE_MAX (1024u * 1024)

const SyscallTable qtest_syscalls = {
    "qtest", (const SyscallRule[]) {
        SYSCALL(accept4, "clients"),
        SYSCALL(read, "commands"),
        SYSCALL(write, "answers, and the log"),
        SYSCALL(poll, "waits for clients and commands"),
        SYSCALL(shutdown, "ends a client's connection under its thread", ARG_IS(1, SHUT_RDWR)),
        SYSCALL_END,
    },
};

static Qtest *qtest; /* NULL: not opened */

static bool qtest_accel_open(bool alone, GError **errp)
{
    return true;
}

static bool qtest_accel_init(const char *cpu_model, GError **errp)
{
    return true; /* there is none: -cpu is refused */
}

const Accel qtest_accel = {
    .name = "qtest",
    .description = "a test program plays the guest's CPU (with -qtest)",
    .manual_clock = true,
    .open = qtest_accel_open,
    .init = qtest_accel_init,
};

/* ---- output ---------------------------------------------------------------------------------- */

static void qtest_log_line(Qtest *q, char direction, const char *line)
{
    if (q->log) {
        double seconds = (double)(g_get_monotonic_time() - q->start_us) / 1e6;

        fprintf(q->log, "[%c +%.6f] %s%s", direction, seconds, line,
                g_str_has_suffix(line, "\n") ? "" : "\n");
        fflush(q->log);
    }
}

/*
 * Waits until a write of up to PIPE_BUF bytes to standard output cannot block: a pipe whose reader
 * sleeps must not hold up the end of the program.  (A socket's write is ended by shutdown(2).)
 * False: the thread shall end.
 */
static bool wait_writable(Qtest *q, int fd)
{
    struct pollfd fds[2] = {
        { .fd = fd, .events = POLLOUT },
        { .fd = q->stop_fd, .events = POLLIN },
    };

    while (poll(fds, 2, -1) < 0) {
    }
    return fds[1].revents == 0;
}

static bool write_all(Qtest *q, int fd, const char *text, size_t len)
{
    while (len > 0) {
        size_t piece = q->own_fds ? len : MIN(len, PIPE_BUF);
        ssize_t n;

        if (!q->own_fds && !wait_writable(q, fd)) {
            return false;
        }
        n = write(fd, text, piece);
        if (n < 0 && errno != EINTR) {
            return false; /* the client is gone; the reader finds out */
        }
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* The qtest thread: sends the answer in q->reply, and what was queued meanwhile. */
static void qtest_send_reply(Qtest *q)
{
    int fd;

    qtest_log_line(q, 'S', q->reply->str);
    pthread_mutex_lock(&q->lock);
    fd = q->out_fd;
    if (q->queue->len) {
        g_string_prepend_len(q->reply, q->queue->str, (gssize)q->queue->len);
        g_string_truncate(q->queue, 0);
    }
    q->writing = true;
    while (q->reply->len) {
        pthread_mutex_unlock(&q->lock);
        write_all(q, fd, q->reply->str, q->reply->len);
        g_string_truncate(q->reply, 0);
        pthread_mutex_lock(&q->lock);
        if (q->queue->len) {
            GString *queued = q->queue;

            q->queue = q->reply;
            q->reply = queued;
        }
    }
    q->writing = false;
    pthread_mutex_unlock(&q->lock);
}

static bool has_room(int fd)
{
    struct pollfd room = { .fd = fd, .events = POLLOUT };

    return poll(&room, 1, 0) == 1 && (room.revents & POLLOUT);
}

void qtest_send_event(Qtest *q, const char *line)
{
    size_t len = strlen(line);
    ssize_t n = 0;

    qtest_log_line(q, 'S', line);
    pthread_mutex_lock(&q->lock);
    if (q->out_fd >= 0) {
        if (!q->writing && q->queue->len == 0 && has_room(q->out_fd)) {
            n = write(q->out_fd, line, len);
            n = MAX(n, 0);
        }
        g_string_append_len(q->queue, line + n, (gssize)len - n);
        if (q->queue->len > QUEUE_MAX) {
            g_string_truncate(q->queue, 0);
            shutdown(q->out_fd, SHUT_RDWR);
        }
    }
    pthread_mutex_unlock(&q->lock);
}

/* ---- work for the main loop ------------------------------------------------------------------ */

/* Main loop: timers belong to it. */
static void qtest_do_step(void *opaque)
{
    Qtest *q = opaque;
    int64_t now = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    int64_t ns = q->step_ns;

    if (ns < 0) {
        int64_t deadline = event_clock_virtual_deadline(event_loop_main());

        ns = deadline == INT64_MAX ? 0 : MAX(deadline - now, 0);
    }
    event_clock_step(event_loop_main(), ns);

    pthread_mutex_lock(&q->lock);
    q->clock_ns = event_clock_ns(EVENT_CLOCK_VIRTUAL);
    q->work_done = true;
    pthread_cond_signal(&q->done_cond);
    pthread_mutex_unlock(&q->lock);
}

int64_t qtest_step_clock(Qtest *q, int64_t ns)
{
    int64_t now;

    pthread_mutex_lock(&q->lock);
    q->step_ns = ns;
    q->work_done = false;
    if (!q->stopping) {
        event_bh_schedule(q->work_bh);
    }
    while (!q->work_done && !q->stopping) {
        pthread_cond_wait(&q->done_cond, &q->lock);
    }
    now = q->clock_ns;
    pthread_mutex_unlock(&q->lock);
    return now;
}

/* ---- input ----------------------------------------------------------------------------------- */

/* Waits until FD can be read.  False: the thread shall end. */
static bool wait_readable(Qtest *q, int fd)
{
    struct pollfd fds[2] = {
        { .fd = fd, .events = POLLIN },
        { .fd = q->stop_fd, .events = POLLIN },
    };

    while (poll(fds, 2, -1) < 0) {
    }
    return fds[1].revents == 0;
}

/* The next line, 0-ended, without its newline, in q->line_buf; NULL: the client is gone. */
static char *next_line(Qtest *q)
{
    size_t searched = q->line_start;

    for (;;) {
        char *end = memchr(q->line_buf + searched, '\n', q->line_end - searched);
        ssize_t n;

        if (end) {
            char *line = q->line_buf + q->line_start;

            *end = '\0';
            q->line_start = (size_t)(end + 1 - q->line_buf);
            return line;
        }
        memmove(q->line_buf, q->line_buf + q->line_start, q->line_end - q->line_start);
        q->line_end -= q->line_start;
        q->line_start = 0;
        searched = q->line_end;
        if (q->line_end == q->line_size) {
            char *bigger = NULL;

            if (q->line_size < QTEST_LINE_MAX) {
                bigger = g_try_realloc(q->line_buf, q->line_size * 2);
            }
            if (!bigger) {
                log_error("-qtest: a line is longer than %u bytes; the client is cut off",
                          QTEST_LINE_MAX);
                return NULL;
            }
            q->line_buf = bigger;
            q->line_size *= 2;
        }
        /* A socket's read is ended by shutdown(2), another file's cannot be. */
        if (!q->own_fds && !wait_readable(q, q->in_fd)) {
            return NULL;
        }
        n = read(q->in_fd, q->line_buf + q->line_end, q->line_size - q->line_end);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return NULL;
        }
        q->line_end += (size_t)MAX(n, 0);
    }
}

static void qtest_serve_client(Qtest *q)
{
    char *line;

    q->line_start = q->line_end = 0;
    while ((line = next_line(q)) != NULL) {
        qtest_log_line(q, 'R', line);
        qtest_command(q, line);
        trace_qtest_command(q->reply->str);
        qtest_send_reply(q);
    }
    pthread_mutex_lock(&q->lock);
    q->out_fd = -1;
    g_string_truncate(q->queue, 0);
    pthread_mutex_unlock(&q->lock);
    if (q->own_fds) {
        fd_close(&q->in_fd);
    }
}

/* Waits for a client of the listening socket.  False: the thread shall end. */
static bool qtest_accept(Qtest *q)
{
    int fd = -1;

    while (fd < 0) {
        if (!wait_readable(q, q->listen_fd)) {
            return false;
        }
        fd = accept4(q->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            g_usleep(10000); /* out of descriptors: the client still waits; or it has gone */
        }
    }
    pthread_mutex_lock(&q->lock);
    q->in_fd = q->out_fd = fd;
    if (q->stopping) {
        shutdown(fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&q->lock);
    return true;
}

static gpointer qtest_thread(gpointer opaque)
{
    Qtest *q = opaque;

    if (q->listen_fd < 0) {
        qtest_serve_client(q);
        /* Nobody can come back. */
        shutdown_request(0);
        return NULL;
    }
    while (qtest_accept(q)) {
        qtest_serve_client(q);
    }
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static bool open_unix(Qtest *q, const char *text, GError **errp)
{
    static const char *const known[] = { "path", "server", "wait", NULL };
    g_autoptr(Options) opts = options_parse("-qtest", text, "path", errp);
    bool server = false, unused_wait = true;
    const char *path;
    auto_fd fd = -1;

    if (!opts || !options_get_bool(opts, "server", &server, errp) ||
        !options_get_bool(opts, "wait", &unused_wait, errp)) {
        return false;
    }
    path = options_get(opts, "path");
    if (!path) {
        error_setg(errp, "-qtest unix:%s: the path is missing; give unix:PATH,server=on", text);
        return false;
    }
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (options_has(opts, "wait") && !server) {
        error_setg(errp, "-qtest unix:%s: wait=%s is for one that listens; leave it out, or add server=on", path,
                   options_get(opts, "wait"));
        return false;
    }
    q->own_fds = true;
    fd = unix_socket_connect(path, server ? NULL : errp);
    if (!server) {
        if (fd < 0 || fd_set_nonblock(fd, false) < 0) {
            g_prefix_error(errp, "-qtest ");
            return false;
        }
        q->in_fd = q->out_fd = fd_steal(&fd);
        return true;
    }
    if (fd >= 0) {
        error_setg(errp, "-qtest unix:%s: another program listens there; end it, or give another path", path);
        return false;
    }
    q->listen_fd = unix_socket_listen(path, 1, &q->socket_file, errp);
    if (q->listen_fd < 0) {
        g_prefix_error(errp, "-qtest ");
        return false;
    }
    return true;
}

static bool open_chardev(Qtest *q, const char *chardev, GError **errp)
{
    if (g_str_equal(chardev, "stdio")) {
        q->in_fd = STDIN_FILENO;
        q->out_fd = STDOUT_FILENO;
        return true;
    }
    if (g_str_has_prefix(chardev, "unix:")) {
        return open_unix(q, chardev + strlen("unix:"), errp);
    }
    error_setg(errp, "-qtest %s: not supported; give unix:PATH[,server=on] or stdio", chardev);
    return false;
}

static void qtest_free(Qtest *q)
{
    unix_socket_file_remove(q->socket_file);
    if (q->own_fds) {
        fd_close(&q->in_fd);
    }
    fd_close(&q->listen_fd);
    fd_close(&q->stop_fd);
    if (q->log) {
        fclose(q->log);
    }
    event_bh_free(q->work_bh);
    g_string_free(q->queue, TRUE);
    g_string_free(q->reply, TRUE);
    g_free(q->line_buf);
    pthread_mutex_destroy(&q->lock);
    pthread_cond_destroy(&q->done_cond);
    g_free(q);
}

static Qtest *qtest_new(void)
{
    Qtest *q = g_new0(Qtest, 1);

    q->in_fd = q->out_fd = q->listen_fd = q->stop_fd = -1;
    q->queue = g_string_new(NULL);
    q->reply = g_string_new(NULL);
    q->line_size = LINE_BUF_SIZE;
    q->line_buf = g_malloc(q->line_size);
    q->start_us = g_get_monotonic_time();
    q->work_bh = event_bh_new(event_loop_main(), qtest_do_step, q);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->done_cond, NULL);
    return q;
}

bool qtest_open(const char *chardev, const char *log_path, GError **errp)
{
    Qtest *q = qtest_new();

    q->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->stop_fd < 0) {
        error_setg_errno(errp, errno, "-qtest: cannot make an eventfd; raise the limit of "
                         "descriptors (ulimit -n)");
        goto fail;
    }
    if (log_path) {
        q->log = fopen(log_path, "we");
        if (!q->log) {
            error_setg_errno(errp, errno,
                             "-qtest-log %s: cannot write; name a file that can be made", log_path);
            goto fail;
        }
    }
    if (!open_chardev(q, chardev, errp)) {
        goto fail;
    }
    qtest = q;
    return true;

fail:
    qtest_free(q);
    return false;
}

bool qtest_start(GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (!qtest) {
        return true;
    }
    qtest->thread = g_thread_try_new("qtest", qtest_thread, qtest, &err);
    if (!qtest->thread) {
        error_setg(errp, "-qtest: cannot start its thread: %s; raise the limit of threads "
                   "(ulimit -u)", err->message);
        return false;
    }
    return true;
}

void qtest_stop(void)
{
    Qtest *q = qtest;
    uint64_t one = 1;
    bool told, locked;

    if (!q) {
        return;
    }
    if (!q->thread) {
        qtest = NULL;
        qtest_free(q);
        return;
    }
    pthread_mutex_lock(&q->lock);
    q->stopping = true;
    pthread_cond_signal(&q->done_cond);
    if (q->own_fds && q->out_fd >= 0) {
        shutdown(q->out_fd, SHUT_RDWR);
    }
    told = write(q->stop_fd, &one, sizeof(one)) == sizeof(one);
    pthread_mutex_unlock(&q->lock);
    qtest = NULL;
    if (!told) {
        return; /* not reached with an eventfd of ours; the thread ends with the program */
    }
    /* The command at hand may need the lock to end. */
    locked = machine_locked();
    if (locked) {
        machine_unlock();
    }
    g_thread_join(q->thread);
    if (locked) {
        machine_lock();
    }
    /* Behind the last command, which may have been to intercept. */
    for (unsigned i = 0; i < q->pin_count; i++) {
        irq_intercept(q->pins[i], NULL, NULL, 0, true);
    }
    qtest_free(q);
}
