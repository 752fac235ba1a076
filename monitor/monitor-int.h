/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside monitor/: the stream below a session, and what QMP and HMP are to each other.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Layers.  An endpoint (endpoint.c) makes streams: one for each client of a listening socket, one for a
 * connected socket, one for standard input and output.  A stream (stream.c) carries bytes and bounds them.
 * On top of it sits one session, QMP (qmp-session.c) or HMP (hmp*.c).
 *
 * Ownership.  A stream owns its descriptors.  It lives until its session calls monitor_stream_free(); the
 * session owns the stream from the call of its open function on.
 */
#ifndef MONITOR_MONITOR_INT_H
#define MONITOR_MONITOR_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <glib.h>
#include "monitor/monitor.h"

/* ---- streams --------------------------------------------------------------------------------- */

typedef struct MonitorStream MonitorStream;

/* Bytes given to a session at once, and so the longest that one client holds the loop by its input. */
#define MONITOR_CHUNK 4096

/* A client that lets more than this pile up (a single answer, or HMP text) is cut off. */
#define MONITOR_OUTPUT_MAX (32u * 1024 * 1024)

/* With this much unsent, events are dropped. */
#define MONITOR_EVENTS_HIGH (1024u * 1024)

/* With this much unsent a session should stop taking commands (QMP and HMP do). */
#define MONITOR_OUTPUT_HIGH (256u * 1024)

/* Called by the stream, always from the event loop, never inside a function of the stream. */
typedef struct MonitorStreamOps {
    /*
     * LEN bytes came, at most MONITOR_CHUNK.  The session looks at all of them or keeps the rest itself; to
     * get no more it calls monitor_stream_pause().
     */
    void (*bytes)(void *session, const char *data, size_t len);
    /* Unsent output has fallen below MONITOR_OUTPUT_HIGH after it was above.  NULL: nobody wants to know. */
    void (*drained)(void *session);
    /*
     * The client will send nothing more, but still reads (HALF), or it is gone.  Not called again after it
     * was gone.  The session frees the stream, at once or when its last answer is out (monitor_stream_finish()).
     */
    void (*closed)(void *session, bool half);
} MonitorStreamOps;

/* To be called by the session's open function.  OPS is static. */
void monitor_stream_set_session(MonitorStream *stream, const MonitorStreamOps *ops, void *session);

/* Queues LEN bytes and sends what the client takes.  Cannot fail: what a client that is gone does not get is lost. */
void monitor_stream_write(MonitorStream *stream, const char *data, size_t len);

/* Bytes that wait to be sent. */
size_t monitor_stream_unsent(const MonitorStream *stream);

/* No bytes are read, or given to the session, until it is called with false. */
void monitor_stream_pause(MonitorStream *stream, bool paused);

/*
 * Moves the descriptors that came with the bytes given last to FDS (room for MONITOR_STREAM_FDS); returns their number.
 * What is not taken inside ops->bytes is closed.
 */
#define MONITOR_STREAM_FDS 8
unsigned monitor_stream_take_fds(MonitorStream *stream, int *fds);

/* The descriptors when this is a terminal; false: it is none. */
bool monitor_stream_is_terminal(const MonitorStream *stream, int *ret_in, int *ret_out);

/* Called once when STREAM is freed, by whoever made it. */
typedef void MonitorStreamGone(void *opaque);

/*
 * On connected socket FD: NULL with *errp; GONE may be NULL.  Or on two descriptors, which are different numbers, of
 * terminals, pipes or files.
 */
MonitorStream *monitor_stream_new_take_fd(int fd, MonitorStreamGone *gone, void *opaque, GError **errp);
MonitorStream *monitor_stream_new_take_fds(int in_fd, int out_fd);

/* Closes it at once.  Allowed inside the stream's callbacks.  Accepts NULL. */
void monitor_stream_free(MonitorStream *stream);

/* Sends what is queued in the background, then closes.  The session hears no more and must not use it again. */
void monitor_stream_finish(MonitorStream *stream);

/* ---- commands -------------------------------------------------------------------------------- */

/* Descriptors that came with some bytes, for the commands in them.  Counted references. */
typedef struct FdBatch {
    unsigned refs;
    unsigned num;
    int fds[MONITOR_STREAM_FDS]; /* -1: taken */
} FdBatch;

FdBatch *fd_batch_new(void);
void fd_batch_add_take_fd(FdBatch *batch, int fd); /* closed when there is no room */
FdBatch *fd_batch_ref(FdBatch *batch);             /* accepts NULL */
void fd_batch_unref(FdBatch *batch);               /* closes what is left; accepts NULL */

typedef struct QmpSession QmpSession;

/*
 * Runs COMMAND for SESSION (NULL: none) with ARGS (NULL: none) and the descriptors FDS (may be NULL).  Returns NULL
 * when DONE has been called, else the call that is under way.
 */
QmpCall *qmp_call_start(const QapiCommand *command, JsonObject *args, FdBatch *fds, QmpSession *session,
                        QmpDone *done, void *opaque);

/* Nobody waits for CALL (under way) any more: DONE will not be called. */
void qmp_call_orphan(QmpCall *call);

/* The session that the call came from; NULL: none. */
QmpSession *qmp_call_session(QmpCall *call);

/* Begins and ends the sending of events to sessions. */
void monitor_events_start(void);
void monitor_events_stop(void);

/* Called for each event, from the event loop. */
void qmp_sessions_event(JsonNode *node);

/* What the session enabled in qmp_capabilities. */
void qmp_session_negotiated(QmpSession *session, bool oob);

/* The version as the greeting and query-version tell it; a new object. */
JsonObject *monitor_version(void);

/* Tables of this directory. */
extern const QmpCommandImpl qmp_control_commands[], qmp_machine_commands[], qmp_fd_commands[], qmp_trace_commands[],
                            qmp_sandbox_commands[];

/* ---- sessions -------------------------------------------------------------------------------- */

/* Begin a session on STREAM (taken). */
void qmp_session_open(MonitorStream *stream, bool pretty);
void hmp_session_open(MonitorStream *stream); /* hmp*.c */

/*
 * Ends all sessions at the end of the program (STREAM is freed, what is queued was sent as far as the client
 * took it at once).
 */
void qmp_sessions_stop(void);
void hmp_sessions_stop(void); /* hmp*.c */

/*
 * Runs one line as HMP does, for human-monitor-command.  DONE is called once, inside or later, with what the
 * command printed (stays the callee's).  hmp*.c
 */
void hmp_run_line(const char *line, void (*done)(const char *text, void *opaque), void *opaque);

#endif
