/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace events: named, typed, switchable at run time, nearly free while off.
 *
 * Thread: any.  Runs in: both programs.
 *
 * Events are declared in the file `trace-events` of a source directory, one a line:
 *     NAME(TYPE ARG[, TYPE ARG ...]) "printf-style text"
 * (`void` for no arguments; a line beginning with # is a comment).  The build makes "trace/DIR.h"
 * (slashes of DIR become dashes: "trace/hw-scsi.h") with an inline function trace_NAME(args) for
 * each.  While the event is off the call costs one load and one branch; arguments with side effects
 * are evaluated all the same.
 *
 * A line of output: "SECONDS.MICROS PID NAME text", to standard error or the file given with -trace
 * file=.
 */
#ifndef UTIL_TRACE_H
#define UTIL_TRACE_H

#include <stdbool.h>
#include <glib.h>

typedef struct TraceEvent {
    const char *name;
    bool enabled; /* relaxed atomic: read on hot paths, written by trace_enable_pattern() */
} TraceEvent;

/* True while EVENT is on; the generated functions call it. */
static inline bool trace_event_on(const TraceEvent *event)
{
    return G_UNLIKELY(__atomic_load_n(&event->enabled, __ATOMIC_RELAXED));
}

/* Writes one line for EVENT; only generated code calls it. */
void trace_emit(const TraceEvent *event, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * Registers the events of TABLES: a NULL-ended array of NULL-ended arrays, one a directory.  At
 * program start, before other threads exist.
 */
void trace_init(TraceEvent *const *const *tables);

/* The generated table of the program's directories, for trace_init(). */
extern TraceEvent *const *const trace_event_tables[];

/*
 * Turns all events that match the shell-style PATTERN on or off ("mpqemu_link_*", "*"; a leading
 * '-' turns off). Returns false with *errp when nothing matches.
 */
bool trace_enable_pattern(const char *pattern, bool enable, GError **errp);

/*
 * The argument of -trace: "PATTERN", "help", or keys enable=PATTERN, events=FILE (a pattern a
 * line), file=PATH. "help" prints all names and sets *ret_exit.
 */
bool trace_parse_option(const char *arg, bool *ret_exit, GError **errp);

/* Appends what is traced from now on to the file PATH, which is made when it is not there; OPTION begins *errp. */
bool trace_open_output(const char *option, const char *path, GError **errp);

/* Calls FN(name, enabled, opaque) for each event, sorted by name. */
void trace_foreach(void (*fn)(const char *name, bool enabled, void *opaque), void *opaque);

#endif
