/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events: the registry, switching by pattern, output.
 *
 * Runs in: both.
 *
 * The registry is filled at program start, before other threads exist, and then only read.  Events
 * are switched by relaxed atomics: a hot path that misses a switch for a moment is no harm.
 */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "util/error.h"
#include "util/fd.h"
#include "util/options.h"
#include "util/trace.h"

/*
 * Longest line with its newline; the text of an event is short, strings of a peer in it need not
 * be.
 */
#define LINE_MAX_BYTES 1024

static GPtrArray *registry; /* TraceEvent *, sorted by name */

/* Where lines go.  A file is opened in append mode, so several processes can share it. */
static atomic_int output_fd = STDERR_FILENO;

/* Kept: inside a PID namespace of its own a process has another number than its user knows, or may not ask. */
static int own_pid;

/*
 * The number by which the user knows this process: that of the PID namespace for which /proc was mounted, also when we
 * are the first process of a new one.
 */
static int outside_pid(void)
{
    char text[16] = "";
    int pid = 0;

    if (readlink("/proc/self", text, sizeof(text) - 1) > 0) {
        pid = (int)strtol(text, NULL, 10);
    }
    return pid > 0 ? pid : (int)getpid();
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(TraceEvent *const *)a)->name, (*(TraceEvent *const *)b)->name);
}

void trace_init(TraceEvent *const *const *tables)
{
    if (!registry) {
        registry = g_ptr_array_new();
    }
    for (; *tables; tables++) {
        for (TraceEvent *const *event = *tables; *event; event++) {
            g_ptr_array_add(registry, *event);
        }
    }
    g_ptr_array_sort(registry, compare_names);
    own_pid = outside_pid();
}

static TraceEvent *event_at(unsigned i)
{
    return g_ptr_array_index(registry, i);
}

static unsigned event_count(void)
{
    return registry ? registry->len : 0;
}

void trace_emit(const TraceEvent *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    const size_t room = sizeof(line); /* the newline takes the end mark's place */
    struct timespec now;
    va_list args;
    size_t len;
    int wanted;

    clock_gettime(CLOCK_REALTIME, &now);
    len = (size_t)snprintf(line, room, "%lld.%06ld %d %s ", (long long)now.tv_sec,
                           now.tv_nsec / 1000, own_pid, event->name);
    if (len < room) {
        va_start(args, fmt);
        wanted = vsnprintf(line + len, room - len, fmt, args);
        va_end(args);
        len += wanted > 0 ? (size_t)wanted : 0;
    }
    len = MIN(len, room - 1);
    /* A string argument may come from a peer: it must not forge lines or command a terminal. */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[len++] = '\n';
    /* Tracing never fails its user: a full disk loses lines. */
    if (write(atomic_load_explicit(&output_fd, memory_order_relaxed), line, len) < 0) {
        return;
    }
}

bool trace_enable_pattern(const char *pattern, bool enable, GError **errp)
{
    const char *glob = pattern[0] == '-' ? pattern + 1 : pattern;
    bool found = false;

    for (unsigned i = 0; i < event_count(); i++) {
        if (fnmatch(glob, event_at(i)->name, 0) == 0) {
            __atomic_store_n(&event_at(i)->enabled, enable && glob == pattern, __ATOMIC_RELAXED);
            found = true;
        }
    }
    if (!found) {
        error_setg(errp, "no trace event matches '%s'; list them with -trace help", glob);
    }
    return found;
}

/*
 * Turns on the patterns in file PATH, one a line; empty lines and lines beginning with # are
 * skipped.
 */
static bool enable_from_file(const char *path, GError **errp)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(GError) err = NULL;

    if (!g_file_get_contents(path, &text, NULL, &err)) {
        error_setg(errp, "-trace: parameter 'events' does not accept '%s': %s; name a file with a "
                   "pattern a line", path, err->message);
        return false;
    }
    lines = g_strsplit(text, "\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);

        if (*line && *line != '#' && !trace_enable_pattern(line, true, &err)) {
            error_setg(errp, "-trace: %s:%u: %s", path, i + 1, err->message);
            return false;
        }
    }
    return true;
}

bool trace_open_output(const char *option, const char *path, GError **errp)
{
    g_autoptr(GError) err = NULL;
    int fd = fd_open_path(path, O_WRONLY | O_CREAT | O_APPEND, &err);
    int old;

    if (fd < 0) {
        error_setg(errp, "%s: %s; give a file that can be made or written to", option, err->message);
        return false;
    }
    old = atomic_exchange(&output_fd, fd);
    if (old != STDERR_FILENO) {
        fd_close(&old);
    }
    return true;
}

static void print_name(const char *name, bool enabled, void *opaque)
{
    puts(name);
}

bool trace_parse_option(const char *arg, bool *ret_exit, GError **errp)
{
    static const char *const known[] = { "enable", "events", "file", NULL };
    g_autoptr(Options) opts = NULL;
    const char *pattern, *events, *file;

    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        trace_foreach(print_name, NULL);
        *ret_exit = true;
        return true;
    }
    opts = options_parse("-trace", arg, "enable", errp);
    if (!opts) {
        return false;
    }
    pattern = options_get(opts, "enable");
    events = options_get(opts, "events");
    file = options_get(opts, "file");
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (pattern && !trace_enable_pattern(pattern, true, errp)) {
        g_prefix_error(errp, "-trace: ");
        return false;
    }
    if (events && !enable_from_file(events, errp)) {
        return false;
    }
    return !file || trace_open_output("-trace: parameter 'file'", file, errp);
}

void trace_foreach(void (*fn)(const char *name, bool enabled, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < event_count(); i++) {
        fn(event_at(i)->name, trace_event_on(event_at(i)), opaque);
    }
}
