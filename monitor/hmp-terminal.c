/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a terminal: the main loop's half, begin and end (hmp-terminal-int.h).
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-terminal-int.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include "monitor/hmp-stream.h"
#include "util/error.h"
#include "util/fd.h"

/* The thread ends at once.  Should a terminal's driver hold it for longer, it is left behind. */
#define STOP_WAIT_S 2

static HmpTerminal *terminal; /* the only one; main thread */

/* ---- the main loop's side ---------------------------------------------------------------------- */

/* In the background the terminal is somebody else's. */
static void restore_modes(void)
{
    pid_t foreground = terminal ? tcgetpgrp(terminal->fd) : -1;

    if (terminal && (foreground < 0 || foreground == getpgrp())) {
        tcsetattr(terminal->fd, TCSANOW, &terminal->modes);
    }
}

static void answer(HmpTerminal *t, const char *question)
{
    size_t start;
    GPtrArray *words = hmp_complete(question, &start);

    pthread_mutex_lock(&t->lock);
    t->answer = words;
    t->answer_start = start;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static void remember(HmpTerminal *t, const char *line)
{
    if (*line) {
        if (t->lines->len == HMP_HISTORY_MAX) {
            g_ptr_array_remove_index(t->lines, 0);
        }
        g_ptr_array_add(t->lines, g_strdup(line));
    }
}

/* The thread has finished, or was never started. */
static void terminal_free(HmpTerminal *t)
{
    if (t->started) {
        pthread_join(t->thread, NULL);
    }
    event_bh_free(t->bh);
    fd_close(&t->fd);
    fd_close(&t->wake_fd);
    g_free(t->line);
    g_free(t->question);
    g_clear_pointer(&t->answer, g_ptr_array_unref);
    g_string_free(t->output, TRUE);
    g_ptr_array_unref(t->lines);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->cond);
    g_free(t);
}

/* The thread has put something down. */
static void terminal_bh(void *opaque)
{
    HmpTerminal *t = opaque;
    g_autofree char *question = NULL;
    g_autofree char *line = NULL;
    bool finished;

    pthread_mutex_lock(&t->lock);
    question = g_steal_pointer(&t->question);
    line = g_steal_pointer(&t->line);
    finished = t->finished;
    pthread_mutex_unlock(&t->lock);
    if (t != terminal) { /* was left behind */
        if (finished) {
            terminal_free(t);
        }
        return;
    }
    if (question) {
        answer(t, question);
    }
    if (line) {
        remember(t, line);
        hmp_session_run(t->hmp, line);
    }
    if (finished) {
        hmp_terminal_stop();
    }
}

static void front_write(const char *text, size_t len, void *opaque)
{
    HmpTerminal *t = opaque;

    pthread_mutex_lock(&t->lock);
    g_string_append_len(t->output, text, (gssize)len);
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static void front_idle(void *opaque)
{
    HmpTerminal *t = opaque;

    pthread_mutex_lock(&t->lock);
    t->prompt = true;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

static const GPtrArray *front_history(void *opaque)
{
    return ((HmpTerminal *)opaque)->lines;
}

/* The stream is paused: no bytes come. */
static void stream_bytes(void *session, const char *data, size_t len)
{
}

static void stream_closed(void *session, bool half)
{
    hmp_terminal_stop();
}

/* ---- begin and end ----------------------------------------------------------------------------- */

/*
 * The terminal behind FD with flags of its own, which does not block.  Where its name does not lead to it, a duplicate
 * of FD, which does as FD does: the flags are shared with whoever started us.
 */
static int open_terminal(int fd)
{
    char name[64];
    int flags = O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
    int own = ttyname_r(fd, name, sizeof(name)) == 0 ? open(name, flags) : -1;

    return own >= 0 ? own : fd_dup(fd);
}

static HmpTerminal *terminal_new(int in_fd)
{
    HmpTerminal *t = g_new0(HmpTerminal, 1);

    pthread_condattr_t monotonic;

    pthread_mutex_init(&t->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&t->cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
    t->output = g_string_new(NULL);
    t->lines = g_ptr_array_new_with_free_func(g_free);
    t->bh = event_bh_new(event_loop_main(), terminal_bh, t);
    t->fd = open_terminal(in_fd);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return t;
}

/* Signals of the program are the main thread's, but for those of job control, which stop all of it. */
static bool start_thread(HmpTerminal *t, GError **errp)
{
    sigset_t all;
    sigset_t before;
    int ret;

    sigfillset(&all);
    sigdelset(&all, SIGTSTP);
    sigdelset(&all, SIGTTIN);
    sigdelset(&all, SIGTTOU);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ret = pthread_create(&t->thread, NULL, hmp_editor_thread, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (ret) {
        error_setg_errno(errp, ret, "monitor without editing: cannot start a thread");
        return false;
    }
    pthread_setname_np(t->thread, "monitor");
    t->started = true;
    return true;
}

bool hmp_terminal_open(MonitorStream *stream, int in_fd, int out_fd, GError **errp)
{
    static const MonitorStreamOps ops = { .bytes = stream_bytes, .closed = stream_closed };
    static const HmpFront front = { .write = front_write, .idle = front_idle, .history = front_history };
    static bool restores_at_exit;
    HmpTerminal *t;

    if (terminal) {
        error_setg(errp, "the terminal has a monitor already; this one does without editing");
        return false;
    }
    t = terminal_new(in_fd);
    if (t->fd < 0 || t->wake_fd < 0 || tcgetattr(t->fd, &t->modes) < 0) {
        error_setg_errno(errp, errno, "monitor without editing: the terminal cannot be used");
        terminal_free(t);
        return false;
    }
    if (!start_thread(t, errp)) {
        terminal_free(t);
        return false;
    }
    terminal = t;
    if (!restores_at_exit) {
        atexit(restore_modes);
        restores_at_exit = true;
    }
    t->stream = stream;
    monitor_stream_set_session(stream, &ops, t);
    monitor_stream_pause(stream, true);
    t->hmp = hmp_session_new(&front, t);
    hmp_printf(t->hmp, "%s", HMP_BANNER);
    front_idle(t);
    return true;
}

/* Waits for the thread's end for a bounded time; true: it came. */
static bool wait_finished(HmpTerminal *t)
{
    struct timespec deadline;
    bool finished;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&t->lock);
    while (!t->finished && pthread_cond_timedwait(&t->cond, &t->lock, &deadline) == 0) {
    }
    finished = t->finished;
    pthread_mutex_unlock(&t->lock);
    return finished;
}

void hmp_terminal_stop(void)
{
    HmpTerminal *t = terminal;
    bool finished;

    if (!t) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
    eventfd_write(t->wake_fd, 1);
    finished = wait_finished(t);
    restore_modes();
    terminal = NULL;
    hmp_session_free(t->hmp);
    monitor_stream_free(t->stream);
    if (finished) {
        terminal_free(t);
    }
}
