/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a terminal: editing, history and completion by libedit.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  libedit waits for its user inside el_gets(), also in the middle of an escape sequence.  So it
 * has a thread of its own, which does nothing but edit, and write what commands print.  The thread never touches
 * the machine and never takes its lock: a line, or a question for completions, is put down under `lock` and the main loop
 * is woken by a deferred call; the thread then waits for output, for an answer, or for the word to read the next line.
 * All of libedit is called from the thread.
 *
 * Signals from keys are off while the terminal is ours: Ctrl-C gives an empty line and does not end the
 * machine, as it would in QEMU.  Ctrl-D on an empty line ends the monitor; the machine runs on, and Ctrl-C is a signal again.
 *
 * End.  `stop` and a byte in wake_fd get the thread out of every wait but one: a write to a terminal whose other end does
 * not read.  For that one the output is thrown away.  The modes of the terminal are put back by the main thread
 * whatever the thread does, at exit() too.
 */
#include "monitor/hmp-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>
#include "monitor/hmp-int.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* Lines that arrow-up finds. */
#define HISTORY_MAX 500

/* The thread gets out of a write within this time, twice, or is left behind. */
#define STOP_WAIT_US (G_USEC_PER_SEC)

typedef struct HmpTerminal {
    GMutex lock; /* of the fields up to the next comment; no other lock is taken with it held */
    GCond cond;  /* told at each change that the thread, or the end, waits for */
    char *line;           /* typed; the main loop takes it */
    char *question;       /* text before the cursor, to be completed; the main loop takes it */
    GPtrArray *answer;    /* its completions; the thread takes them */
    size_t answer_start;  /* where in the text the completed word begins */
    GString *output;      /* printed; the thread takes it */
    bool prompt;          /* the next line may be read */
    bool eof;             /* the thread reads no more lines */
    bool stop;            /* the thread must end */
    bool finished;        /* it has, but for its return */

    /* The thread's. */
    EditLine *el;
    History *history;
    FILE *in;
    FILE *out;
    bool interrupted; /* Ctrl-C ended el_gets() */

    /* Constant while the thread lives. */
    int fd;      /* the terminal, opened anew: its modes are shared, its O_NONBLOCK is not */
    int wake_fd; /* eventfd: `stop` was set */
    EventBh *bh;

    /* The main loop's. */
    GThread *thread;
    struct termios modes; /* as they were */
    HmpSession *hmp;
    MonitorStream *stream;
    GPtrArray *lines; /* for "info history" */
} HmpTerminal;

static HmpTerminal *terminal; /* the only one; main thread */

/* ---- the thread: waiting, writing -------------------------------------------------------------- */

/* Writes what commands print until the next line may be read; false: the end. */
static bool wait_for_prompt(HmpTerminal *t)
{
    bool go_on;

    g_mutex_lock(&t->lock);
    while (t->output->len > 0 || (!t->stop && !t->prompt)) {
        if (t->output->len > 0) {
            g_autofree char *text = g_string_free(t->output, FALSE);

            t->output = g_string_new(NULL);
            g_mutex_unlock(&t->lock);
            fputs(text, t->out);
            fflush(t->out);
            g_mutex_lock(&t->lock);
        } else {
            g_cond_wait(&t->cond, &t->lock);
        }
    }
    t->prompt = false;
    go_on = !t->stop;
    g_mutex_unlock(&t->lock);
    return go_on;
}

static bool is_stopped(HmpTerminal *t)
{
    bool stop;

    g_mutex_lock(&t->lock);
    stop = t->stop;
    g_mutex_unlock(&t->lock);
    return stop;
}

/* Gives LINE (taken) to the main loop. */
static void hand_over(HmpTerminal *t, char *line)
{
    g_mutex_lock(&t->lock);
    t->line = line;
    g_mutex_unlock(&t->lock);
    event_bh_schedule(t->bh);
}

/* The completions of TEXT (taken), or NULL at the end. */
static GPtrArray *ask(HmpTerminal *t, char *text, size_t *ret_start)
{
    GPtrArray *answer;

    g_mutex_lock(&t->lock);
    t->question = text;
    event_bh_schedule(t->bh);
    while (!t->answer && !t->stop) {
        g_cond_wait(&t->cond, &t->lock);
    }
    answer = g_steal_pointer(&t->answer);
    *ret_start = t->answer_start;
    g_mutex_unlock(&t->lock);
    return answer;
}

/* ---- the thread: libedit's functions ----------------------------------------------------------- */

static char *prompt_text(EditLine *el)
{
    static char prompt[] = HMP_PROMPT;

    return prompt;
}

static HmpTerminal *of_editline(EditLine *el)
{
    void *data = NULL;

    el_get(el, EL_CLIENTDATA, &data);
    return data;
}

/* One byte; false: the terminal has gone, or the end has come. */
static bool read_byte(HmpTerminal *t, char *ret_byte)
{
    struct pollfd fds[2] = { { .fd = t->fd, .events = POLLIN }, { .fd = t->wake_fd, .events = POLLIN } };

    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (fds[1].revents) {
            return false;
        }
        ssize_t count = read(t->fd, ret_byte, 1);

        if (count == 1) {
            return true;
        }
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        }
    }
}

/* libedit's read function: a character; 0 at the end.  Bytes that are no UTF-8 are dropped. */
static int read_char(EditLine *el, wchar_t *ret_char)
{
    HmpTerminal *t = of_editline(el);
    mbstate_t state = { 0 };
    char byte;

    while (read_byte(t, &byte)) {
        size_t used = mbrtowc(ret_char, &byte, 1, &state);

        if (used <= 1) {
            return 1;
        }
        if (used == (size_t)-1) {
            memset(&state, 0, sizeof(state));
        }
    }
    return 0;
}

static unsigned char key_interrupt(EditLine *el, int ch)
{
    of_editline(el)->interrupted = true;
    return CC_EOF;
}

/* How many bytes all of WORDS have in common at their beginnings. */
static size_t common_prefix(const GPtrArray *words)
{
    const char *first = words->pdata[0];
    size_t len = strlen(first);

    for (guint i = 1; i < words->len; i++) {
        const char *word = words->pdata[i];
        size_t same = 0;

        while (same < len && word[same] == first[same]) {
            same++;
        }
        len = same;
    }
    while (len > 0 && ((unsigned char)first[len] & 0xc0) == 0x80) {
        len--; /* not through a character */
    }
    return len;
}

/* Lists WORDS in columns below the line. */
static void list_words(HmpTerminal *t, const GPtrArray *words)
{
    struct winsize size = { 0 };
    size_t widest = 0;
    size_t columns;

    for (guint i = 0; i < words->len; i++) {
        widest = MAX(widest, strlen(words->pdata[i]));
    }
    ioctl(t->fd, TIOCGWINSZ, &size);
    columns = MAX(1, (size.ws_col ? size.ws_col : 80) / (widest + 2));
    for (guint i = 0; i < words->len; i++) {
        fprintf(t->out, "%s%-*s", i % columns ? "  " : "\n", (int)widest, (const char *)words->pdata[i]);
    }
    fputs("\n", t->out);
}

/* Completes WORD, what stands before the cursor, with WORDS. */
static unsigned char complete_word(HmpTerminal *t, const char *word, const GPtrArray *words)
{
    const char *first = words->len > 0 ? words->pdata[0] : "";
    size_t common = words->len > 0 ? common_prefix(words) : 0;
    size_t typed = strlen(word);

    if (common > typed) {
        g_autofree char *rest = g_strndup(first + typed, common - typed);

        el_insertstr(t->el, rest);
    }
    if (words->len == 1 && common > 0 && !strchr("=/", first[common - 1])) {
        el_insertstr(t->el, " ");
    }
    if (words->len > 1 && common <= typed) {
        list_words(t, words);
        return CC_REDISPLAY;
    }
    return words->len > 0 ? CC_REFRESH : CC_ERROR;
}

static unsigned char key_complete(EditLine *el, int ch)
{
    HmpTerminal *t = of_editline(el);
    const LineInfo *info = el_line(el);
    g_autofree char *text = g_strndup(info->buffer, (gsize)(info->cursor - info->buffer));
    g_autoptr(GPtrArray) words = NULL;
    size_t start;

    words = ask(t, g_strdup(text), &start);
    return words ? complete_word(t, text + start, words) : CC_EOF;
}

/* ---- the thread itself ------------------------------------------------------------------------- */

static bool editing_begin(HmpTerminal *t)
{
    auto_fd in_fd = fd_dup(t->fd);
    auto_fd out_fd = fd_dup(t->fd);
    HistEvent event;

    t->in = in_fd >= 0 ? fdopen(in_fd, "r") : NULL;
    if (t->in) {
        fd_steal(&in_fd);
    }
    t->out = out_fd >= 0 ? fdopen(out_fd, "w") : NULL;
    if (t->out) {
        fd_steal(&out_fd);
    }
    t->history = history_init();
    t->el = t->in && t->out ? el_init("mpqemu", t->in, t->out, t->out) : NULL;
    if (!t->el || !t->history) {
        return false;
    }
    history(t->history, &event, H_SETSIZE, HISTORY_MAX);
    history(t->history, &event, H_SETUNIQUE, 1);
    el_set(t->el, EL_CLIENTDATA, t);
    el_set(t->el, EL_PROMPT, prompt_text);
    el_set(t->el, EL_GETCFN, read_char);
    el_set(t->el, EL_SIGNAL, 0);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_HIST, history, t->history);
    /* While editing and while a command runs: no signals from keys, no stop of the output, no echo of early keys. */
    el_set(t->el, EL_SETTY, "-d", "-isig", "-ixon", NULL);
    el_set(t->el, EL_SETTY, "-x", "-isig", "-ixon", "-echo", NULL);
    el_set(t->el, EL_ADDFN, "monitor-interrupt", "Drop the line", key_interrupt);
    el_set(t->el, EL_ADDFN, "monitor-complete", "Complete the word", key_complete);
    el_set(t->el, EL_BIND, "^C", "monitor-interrupt", NULL);
    el_set(t->el, EL_BIND, "^I", "monitor-complete", NULL);
    el_set(t->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    return true;
}

static void editing_end(HmpTerminal *t)
{
    if (t->el) {
        el_end(t->el);
    }
    if (t->history) {
        history_end(t->history);
    }
    if (t->in) {
        fclose(t->in);
    }
    if (t->out) {
        fclose(t->out);
    }
}

/* Reads a line and gives it to the main loop; false: there will be none. */
static bool read_line(HmpTerminal *t)
{
    const char *text;
    HistEvent event;
    char *line;
    int count;

    do {
        t->interrupted = false;
        el_resize(t->el); /* its size may have changed; nobody tells a thread */
        text = el_gets(t->el, &count);
        if (t->interrupted) {
            fputs("^C\n", t->out);
        }
    } while (t->interrupted && !is_stopped(t));
    if (!text || count <= 0 || is_stopped(t)) {
        return false;
    }
    line = g_strndup(text, (gsize)count);
    g_strchomp(line);
    if (*line) {
        history(t->history, &event, H_ENTER, line);
    }
    hand_over(t, line);
    return true;
}

static gpointer thread_main(gpointer opaque)
{
    HmpTerminal *t = opaque;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    bool edits;

    if (utf8) {
        uselocale(utf8); /* of this thread */
    }
    edits = editing_begin(t);
    while (edits && wait_for_prompt(t) && read_line(t)) {
    }
    if (edits && !is_stopped(t)) {
        fputs("\nThe monitor has ended, the program runs on.\n", t->out);
    } else if (edits) {
        fputs("\n", t->out);
    }
    editing_end(t);
    if (utf8) {
        uselocale(LC_GLOBAL_LOCALE);
        freelocale(utf8);
    }
    g_mutex_lock(&t->lock);
    t->eof = true;
    t->finished = true;
    event_bh_schedule(t->bh);
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
    return NULL;
}

/* ---- the main loop's side ---------------------------------------------------------------------- */

/* In the background the terminal is somebody else's. */
static void restore_modes(void)
{
    if (terminal && tcgetpgrp(terminal->fd) == getpgrp()) {
        tcsetattr(terminal->fd, TCSANOW, &terminal->modes);
    }
}

static void answer(HmpTerminal *t, const char *question)
{
    size_t start;
    GPtrArray *words = hmp_complete(question, &start);

    g_mutex_lock(&t->lock);
    t->answer = words;
    t->answer_start = start;
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
}

static void remember(HmpTerminal *t, const char *line)
{
    if (*line) {
        if (t->lines->len == HISTORY_MAX) {
            g_ptr_array_remove_index(t->lines, 0);
        }
        g_ptr_array_add(t->lines, g_strdup(line));
    }
}

/* The thread has put something down. */
static void terminal_bh(void *opaque)
{
    HmpTerminal *t = opaque;
    g_autofree char *question = NULL;
    g_autofree char *line = NULL;
    bool eof;

    g_mutex_lock(&t->lock);
    question = g_steal_pointer(&t->question);
    line = g_steal_pointer(&t->line);
    eof = t->eof;
    g_mutex_unlock(&t->lock);
    if (question) {
        answer(t, question);
    }
    if (line) {
        remember(t, line);
        hmp_session_run(t->hmp, line);
    }
    if (eof) {
        hmp_terminal_stop();
    }
}

static void front_write(const char *text, size_t len, void *opaque)
{
    HmpTerminal *t = opaque;

    g_mutex_lock(&t->lock);
    g_string_append_len(t->output, text, (gssize)len);
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
}

static void front_idle(void *opaque)
{
    HmpTerminal *t = opaque;

    g_mutex_lock(&t->lock);
    t->prompt = true;
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
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

/* The terminal behind FD with flags of its own; where its name does not lead to it, a duplicate of FD. */
static int open_terminal(int fd)
{
    char name[64];
    int own = ttyname_r(fd, name, sizeof(name)) == 0 ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;

    return own >= 0 ? own : fd_dup(fd);
}

static void terminal_free(HmpTerminal *t)
{
    event_bh_free(t->bh);
    fd_close(&t->fd);
    fd_close(&t->wake_fd);
    g_free(t->line);
    g_free(t->question);
    g_clear_pointer(&t->answer, g_ptr_array_unref);
    g_string_free(t->output, TRUE);
    g_ptr_array_unref(t->lines);
    g_mutex_clear(&t->lock);
    g_cond_clear(&t->cond);
    g_free(t);
}

static HmpTerminal *terminal_new(int in_fd)
{
    HmpTerminal *t = g_new0(HmpTerminal, 1);

    g_mutex_init(&t->lock);
    g_cond_init(&t->cond);
    t->output = g_string_new(NULL);
    t->lines = g_ptr_array_new_with_free_func(g_free);
    t->bh = event_bh_new(event_loop_main(), terminal_bh, t);
    t->fd = open_terminal(in_fd);
    t->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return t;
}

/* Signals of the program are the main thread's, but for those of job control, which stop all of it. */
static GThread *start_thread(HmpTerminal *t, GError **errp)
{
    sigset_t all;
    sigset_t before;
    GThread *thread;

    sigfillset(&all);
    sigdelset(&all, SIGTSTP);
    sigdelset(&all, SIGTTIN);
    sigdelset(&all, SIGTTOU);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread = g_thread_try_new("monitor", thread_main, t, errp);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return thread;
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
    t->thread = start_thread(t, errp);
    if (!t->thread) {
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
    gint64 deadline = g_get_monotonic_time() + STOP_WAIT_US;
    bool finished;

    g_mutex_lock(&t->lock);
    while (!t->finished && g_cond_wait_until(&t->cond, &t->lock, deadline)) {
    }
    finished = t->finished;
    g_mutex_unlock(&t->lock);
    return finished;
}

void hmp_terminal_stop(void)
{
    HmpTerminal *t = terminal;
    bool finished;

    if (!t) {
        return;
    }
    g_mutex_lock(&t->lock);
    t->stop = true;
    g_cond_broadcast(&t->cond);
    g_mutex_unlock(&t->lock);
    eventfd_write(t->wake_fd, 1);
    finished = wait_finished(t);
    if (!finished) {
        tcflow(t->fd, TCOON);
        tcflush(t->fd, TCOFLUSH);
        finished = wait_finished(t);
    }
    restore_modes();
    terminal = NULL;
    hmp_session_free(t->hmp);
    monitor_stream_free(t->stream);
    if (finished) {
        g_thread_join(t->thread);
        terminal_free(t);
    }
}
