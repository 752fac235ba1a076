/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a terminal: the thread in which libedit edits (hmp-terminal-int.h).
 *
 * Runs in: both programs, in the thread "monitor".
 */
#include "monitor/hmp-terminal-int.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include "util/fd.h"

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
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): the state is ours */
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
    history(t->history, &event, H_SETSIZE, HMP_HISTORY_MAX);
    history(t->history, &event, H_SETUNIQUE, 1);
    el_set(t->el, EL_CLIENTDATA, t);
    el_set(t->el, EL_PROMPT, prompt_text);
    el_set(t->el, EL_GETCFN, read_char);
    el_set(t->el, EL_SIGNAL, 0);
    el_set(t->el, EL_EDITOR, "emacs");
    el_set(t->el, EL_HIST, history, t->history);
    /*
     * While editing and while a command runs: no signals from keys, no stop of the output.  Keys that come early
     * (libedit sets its modes only behind the prompt) are kept as they are and not shown.
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

void *hmp_editor_thread(void *opaque)
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
