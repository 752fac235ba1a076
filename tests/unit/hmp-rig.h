/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands below HMP in its unit tests: QMP commands that answer what the test says, a stream in memory, and two
 * drives that are but a name each.
 */
#ifndef TESTS_UNIT_HMP_RIG_H
#define TESTS_UNIT_HMP_RIG_H

#include <stdbool.h>
#include <glib.h>
#include "monitor/monitor-int.h"

/* ---- QMP ---- */

/* The answer to the next commands: JSON text, or an error message; NULL and NULL: the empty object. */
void rig_qmp_answer(const char *json, const char *error);

/* Commands do not end until rig_qmp_finish(). */
void rig_qmp_defer(bool defer);
bool rig_qmp_pending(void);
void rig_qmp_finish(void);

/* "NAME {json}" of the last command, or "" when there was none; forgets it. */
const char *rig_qmp_last(void);

/* Whether command NAME exists is said by qmp_has_command(); MISSING names one that does not (NULL: all do). */
void rig_qmp_missing(const char *missing);

/* ---- a stream ---- */

struct MonitorStream {
    const MonitorStreamOps *ops;
    void *session;
    GString *out;   /* what the session wrote */
    size_t unsent;
    bool paused;
    bool freed;
    bool finished;
    int terminal;   /* descriptor, or -1: no terminal */
    int fds[MONITOR_STREAM_FDS];
    unsigned fd_count;
};

void rig_stream_init(MonitorStream *stream);
void rig_stream_clear(MonitorStream *stream);

/* What the session wrote since the last call. */
const char *rig_stream_output(MonitorStream *stream);

/* Gives the session bytes in chunks, as it takes them, and turns the loop until it has no more to do. */
void rig_stream_type(MonitorStream *stream, const char *data, size_t len);

/* Turns the loop until it has no more to do. */
void rig_turn(void);

#endif
