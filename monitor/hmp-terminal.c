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
 * End.  `stop` and a byte in wake_fd get the thread out of every wait.  libedit's own writes do not wait: what it
 * draws on a terminal whose other end does not read is lost.  The modes of the terminal are put back by the main
 * thread whatever the thread does, at exit() too.
 */
#include "monitor/hmp-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include "monitor/hmp-int.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* Lines that arrow-up finds. */
#define HISTORY_MAX 500

/* The thread ends at once.  Should a terminal's driver hold it for longer, it is left behind. */
#define STOP_WAIT_S 2

typedef struct HmpTerminal {
    pthread_mutex_t lock; /* of the fields up to the next comment; no other lock is taken with it held */
    pthread_cond_t cond; /* told at each change that the thread, or the end, waits for */
    char *line;           /* typed; the main loop takes it */
    char *question;       /* text before the cursor, to be completed; the main loop takes it */
    GPtrArray *answer;    /* its completions; the thread takes them */
    size_t answer_start;  /* where in the text the completed word begins */
    GString *output;      /* printed; the thread takes it */
    bool prompt;          /* the next line may be read */
    bool stop;            /* the thread must end */
    bool finished;        /* the thread has ended, but for its return */

    /* The thread's. */
    EditLine *el;
    History *history;
    FILE *in;
    FILE *out;
    bool interrupted; /* Ctrl-C ended el_gets() */

    /* Constant while the thread lives. */
    int fd;      /* the terminal, opened anew: its modes are shared, its O_NONBLOCK is not (open_terminal()) */
    int wake_fd; /* eventfd: `stop` was set */
    EventBh *bh;

    /* The main loop's. */
    pthread_t thread;
    bool started; /* there is a thread */
    struct termios modes; /* as they were */
    HmpSession *hmp;
    MonitorStream *stream;
    GPtrArray *lines; /* for "info history" */
} HmpTerminal;

static HmpTerminal *terminal; /* the only one; main thread */

/* ---- the thread: waiting, writing -------------------------------------------------------------- */

/* So few bytes do not block when the terminal has room at all. */
#define WRITE_CHUNK 128

/* Writes TEXT; what the terminal does not take before the end is dropped. */
static void write_text(HmpTerminal *t, const char *text)
{
    struct pollfd fds[2] = { { .fd = t->fd, .events = POLLOUT }, { .fd = t->wake_fd, .events = POLLIN } };
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t count;

        if (poll(fds, 2, -1) < 0) {
            continue; /* EINTR */
        }
        if (!fds[0].revents) {
            return;
        }
        count = write(t->fd, text, MIN(left, WRITE_CHUNK));
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
        if (count > 0) {
            text += count;
            left -= (size_t)count;
        }
    }
}

/* Writes what commands print until the next line may be read; false: the end. */
static bool wait_for_prompt(HmpTerminal *t)
{
    bool go_on;

    pthread_mutex_lock(&t->lock);
    while (t->output->len > 0 || (!t->stop && !t->prompt)) {
        if (t->output->len > 0) {
            g_autofree char *text = g_string_free(t->output, FALSE);

            t->output = g_string_new(NULL);
            pthread_mutex_unlock(&t->lock);
            write_text(t, text);
            pthread_mutex_lock(&t->lock);
        } else {
            pthread_cond_wait(&t->cond, &t->lock);
        }
    }
    t->prompt = false;
    go_on = !t->stop;
    pthread_mutex_unlock(&t->lock);
    return go_on;
}

static bool is_stopped(HmpTerminal *t)
{
    bool stop;

    pthread_mutex_lock(&t->lock);
    stop = t->stop;
    pthread_mutex_unlock(&t->lock);
    return stop;
}

/* Gives LINE (taken) to the main loop. */
static void hand_over(HmpTerminal *t, char *line)
{
    pthread_mutex_lock(&t->lock);
    t->line = line;
    pthread_mutex_unlock(&t->lock);
    event_bh_schedule(t->bh);
}

/* The completions of TEXT (taken), or NULL at the end. */
static GPtrArray *ask(HmpTerminal *t, char *text, size_t *ret_start)
{
    GPtrArray *answer;

    pthread_mutex_lock(&t->lock);
    t->question = text;
    event_bh_schedule(t->bh);
    while (!t->answer && !t->stop) {
        pthread_cond_wait(&t->cond, &t->lock);
    }
    answer = g_steal_pointer(&t->answer);
    *ret_start = t->answer_start;
    pthread_mutex_unlock(&t->lock);
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
    g_autoptr(GString) list = g_string_new(NULL);
    struct winsize size = { 0 };
    size_t widest = 0;
    size_t columns;

    for (guint i = 0; i < words->len; i++) {
        widest = MAX(widest, strlen(words->pdata[i]));
    }
    ioctl(t->fd, TIOCGWINSZ, &size);
    columns = MAX(1, (size.ws_col ? size.ws_col : 80) / (widest + 2));
    for (guint i = 0; i < words->len; i++) {
        g_string_append_printf(list, "%s%-*s", i % columns ? "  " : "\n", (int)widest, (const char *)words->pdata[i]);
    }
    g_string_append_c(list, '\n');
    write_text(t, list->str);
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
    /*
     * While editing and while a command runs: no signals from keys, no stop of the output.  Keys that come early, which is
     * before libedit has set its own modes behind the prompt, too, are kept as they are and not shown.
     */
    el_set(t->el, EL_SETTY, "-d", "-isig", "-ixon", NULL);
    el_set(t->el, EL_SETTY, "-x", "-isig", "-ixon", "-echo", "-icanon", NULL);
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
            write_text(t, "^C\n");
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

static void *thread_main(void *opaque)
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
    write_text(t, is_stopped(t) ? "\n" : "\nThe monitor has ended, the program runs on.\n");
    editing_end(t);
    if (utf8) {
        uselocale(LC_GLOBAL_LOCALE);
        freelocale(utf8);
    }
    pthread_mutex_lock(&t->lock);
    t->finished = true;
    event_bh_schedule(t->bh);
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

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
        if (t->lines->len == HISTORY_MAX) {
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
    ret = pthread_create(&t->thread, NULL, thread_main, t);
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
