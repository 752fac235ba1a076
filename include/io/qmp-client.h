/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP client: commands to a monitor at the other end of a socket, answers and events back.
 *
 * Thread: main loop with the machine lock held.  Runs in: mpqemu (the control channel of a remote).
 *
 * Nothing waits: a command is queued, its answer comes by a callback from the event loop.  Commands
 * go out one at a time, the next one when the one before was answered, in order; only heartbeats
 * (qmp_client_ping()) may overtake commands that wait to be sent.  Works with QEMU's monitor
 * and ours.
 *
 * The peer is hostile.  Its texts are bounded (util/json-stream.h); an answer nobody asked for, a
 * text that is no answer, no event and no greeting, and anything that is too long, ends the
 * connection.  What has not been answered then fails with the reason.
 *
 * States: GREETING (made; waits for the greeting, then sends qmp_capabilities; commands queue) ->
 * READY (commands run) -> CLOSED (final; from both).
 */
#ifndef IO_QMP_CLIENT_H
#define IO_QMP_CLIENT_H

#include <stdbool.h>
#include <json-glib/json-glib.h>
#include "util/event-loop.h"
#include "util/syscalls.h"

typedef struct QmpClient QmpClient;

/* Commands that wait or run; more are refused, so a peer that is silent costs bounded memory. */
#define QMP_CLIENT_QUEUE_MAX 256

typedef struct QmpClientOps {
    /* The peer has accepted qmp_capabilities.  NULL: nobody wants to know. */
    void (*ready)(QmpClient *client, void *opaque);
    /* DATA NULL: the event has none.  Both stay the client's. */
    void (*event)(QmpClient *client, const char *name, JsonObject *data, void *opaque);
    /* The connection has ended, for REASON ("the peer closed the connection", ...).  Once, after the
     * callbacks of all commands; not called by qmp_client_free().  The client may be freed inside. */
    void (*closed)(QmpClient *client, const char *reason, void *opaque);
} QmpClientOps;

/*
 * The end of a command: VALUE its "return", or ERR with the peer's words unchanged and the ErrorClass
 * of its class.  Both stay the client's.  Called once for each command, never inside
 * qmp_client_command().
 */
typedef void QmpClientDone(JsonNode *value, const GError *err, void *opaque);

/* On connected stream socket FD, which is taken (on failure too).  OPS stays the caller's. */
QmpClient *qmp_client_new_take_fd(int fd, const QmpClientOps *ops, void *opaque, GError **errp);

/*
 * Ends without callbacks but those of unanswered commands, which fail, now.  May be called inside any
 * callback.  Accepts NULL.
 */
void qmp_client_free(QmpClient *client);

/*
 * Sends COMMAND now if that can be done without waiting, as the last that the peer hears from us ("quit"); its answer
 * goes nowhere.  Only qmp_client_free() may follow.  Accepts NULL.
 */
void qmp_client_say_last(QmpClient *client, const char *command);

/* True in READY. */
bool qmp_client_is_ready(const QmpClient *client);

/*
 * Queues COMMAND with ARGS (taken; NULL: none) and the descriptor FD (a duplicate is sent; it stays
 * the caller's; -1: none).  LIMIT_MS: it fails, and the connection is closed, when there is no answer
 * that long after it was sent (the answer might come later and be taken for another's); 0: no limit.
 * Without place in the queue or in CLOSED it fails by the callback too.
 */
void qmp_client_command(QmpClient *client, const char *command, JsonObject *args, int fd,
                        unsigned limit_ms, QmpClientDone *done, void *opaque);

/* The bytes received and sent so far. */
void qmp_client_counters(const QmpClient *client, uint64_t *ret_received, uint64_t *ret_sent);

/*
 * Heartbeat.  In READY sends a command of its own (query-status) in front of those that wait, also while a
 * command is unanswered; not while the heartbeat before is.  *ret_silent_ms tells how long the peer has owed
 * us an answer to the oldest thing sent, or its greeting (0: it owes none); any bytes received count as life.
 * Never waits.
 */
void qmp_client_ping(QmpClient *client, int64_t *ret_silent_ms);

extern const SyscallTable qmp_client_syscalls;

#endif
