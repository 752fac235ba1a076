/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages on standard error: one write(2) a line, no control characters, guest errors at a limited
 * rate.
 *
 * Runs in: both.
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "util/event-loop.h"
#include "util/log.h"

/*
 * Longest line with its newline.  PIPE_BUF of Linux: one write up to this size is not torn when
 * several processes share a pipe or a terminal.
 */
#define LINE_MAX_BYTES 4096
#define CUT_MARK "..."

#define GUEST_LINES_PER_WINDOW 10
#define GUEST_WINDOW_NS G_GINT64_CONSTANT(1000000000)

const SyscallTable log_syscalls = {
    "log", (const SyscallRule[]) {
        SYSCALL(write, "messages and traces; the loop's eventfd; monitors on standard output"),
        SYSCALL_END,
    },
};

static const char *program_name = "mpqemu";

/*
 * Text may hold a peer's or a guest's strings: they must not forge lines or command the user's
 * terminal.
 */
static void blunt_control_characters(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = text[i] == '\n' || text[i] == '\t' ? ' ' : '?';
        }
    }
}

static void G_GNUC_PRINTF(2, 0) write_line(const char *prefix, const char *fmt, va_list args,
                                           unsigned suppressed)
{
    char line[LINE_MAX_BYTES];
    char tail[64] = "";
    size_t room, len;
    int wanted;

    if (suppressed) {
        snprintf(tail, sizeof(tail), " (%u earlier such lines suppressed)", suppressed);
    }
    room = sizeof(line) - strlen(tail); /* the newline takes the end mark's place */
    len = MIN((size_t)snprintf(line, room, "%s: %s", program_name, prefix), room - 1);
    wanted = vsnprintf(line + len, room - len, fmt, args);
    if (wanted < 0) {
        return;
    }
    if ((size_t)wanted >= room - len) {
        len = room - 1;
        memcpy(line + len - strlen(CUT_MARK), CUT_MARK, strlen(CUT_MARK));
    } else {
        len += wanted;
    }
    while (len > 0 && line[len - 1] == '\n') {
        len--;
    }
    memcpy(line + len, tail, strlen(tail));
    len += strlen(tail);
    blunt_control_characters(line, len);
    line[len++] = '\n';
    /* Nobody is left to tell when standard error itself fails. */
    if (write(STDERR_FILENO, line, len) < 0) {
        return;
    }
}

void log_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("", fmt, args, 0);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("warning: ", fmt, args, 0);
    va_end(args);
}

void log_info(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    write_line("info: ", fmt, args, 0);
    va_end(args);
}

/* A failed assertion of GLib's kind says why before it aborts. */
static void write_glib_text(const char *text)
{
    log_error("%s", text);
}

/* GLib's own would ask about terminals and character sets first, which kills a confined process. */
static GLogWriterOutput write_glib_log(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer opaque)
{
    for (gsize i = 0; i < count; i++) {
        if (g_str_equal(fields[i].key, "MESSAGE") && !(level & (G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG))) {
            log_error("%s", (const char *)fields[i].value);
        }
    }
    return G_LOG_WRITER_HANDLED;
}

void log_init(const char *name)
{
    program_name = name;
    g_log_set_writer_func(write_glib_log, NULL, NULL);
    g_set_printerr_handler(write_glib_text);
}

/*
 * Takes one line of the current second's allowance.  Returns false when it is used up; otherwise
 * *ret_suppressed gets the number of lines refused since the last one that passed.
 */
static bool guest_line_allowed(unsigned *ret_suppressed)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static int64_t window_start;
    static unsigned lines, suppressed;
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL);
    bool allowed;

    pthread_mutex_lock(&mutex);
    if (lines == 0 || now - window_start >= GUEST_WINDOW_NS) {
        window_start = now;
        lines = 0;
    }
    allowed = lines < GUEST_LINES_PER_WINDOW;
    if (allowed) {
        lines++;
        *ret_suppressed = suppressed;
        suppressed = 0;
    } else if (suppressed < UINT_MAX) {
        suppressed++;
    }
    pthread_mutex_unlock(&mutex);
    return allowed;
}

void log_guest_error(const char *fmt, ...)
{
    unsigned suppressed;
    va_list args;

    if (!guest_line_allowed(&suppressed)) {
        return;
    }
    va_start(args, fmt);
    write_line("guest error: ", fmt, args, suppressed);
    va_end(args);
}
