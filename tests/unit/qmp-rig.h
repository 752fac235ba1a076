/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of io/qmp-client.c: a client whose callbacks are written down, and its peer.
 *
 * Runs in: tests.  The peer is in the same thread: what it does is done between turns of the event loop.
 */
#ifndef TESTS_QMP_RIG_H
#define TESTS_QMP_RIG_H

#include <stdbool.h>
#include "io/qmp-client.h"
#include "util/error.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"

/* One client and its peer. */
typedef struct Rig {
    QmpClient *client;
    int peer;            /* -1: closed */
    GString *got;        /* what the peer has read and not looked at */
    unsigned got_fds;    /* descriptors that came with it */
    GString *log;        /* of callbacks: "ready;", "event NAME DATA;", "TAG=VALUE;", "TAG!ERROR;", "closed REASON;" */
    int events;
    bool free_in_event, free_in_done, free_in_closed;
    unsigned chain;      /* commands that a callback issues again */
} Rig;

extern const QmpClientOps rig_ops; /* opaque: the Rig */

Rig *rig_new(void);

/* A client in READY. */
Rig *rig_ready(void);
void rig_free(Rig *rig);

/* A command NAME, which is also its name in the log.  When it fails, the error's class is ERROR_CLASS. */
void command(Rig *rig, const char *name);
void command_full(Rig *rig, const char *name, JsonObject *args, int fd, unsigned limit_ms, ErrorClass error_class);

/* Turns the loop until nothing more happens. */
void settle(void);

/* Waits until the log says something of TEXT. */
void wait_log(Rig *rig, const char *text);

/* The peer reads what the client has sent; says TEXT, and the client hears it. */
void peer_read(Rig *rig);
void peer_say(Rig *rig, const char *text);

/* The next text that the client has sent must be command NAME; returns its id. */
char *peer_expect(Rig *rig, const char *name);

/* Answers the command with ID: MEMBER is "\"return\": ..." or "\"error\": ...".  Serve: both. */
void peer_answer(Rig *rig, const char *id, const char *member);
void peer_serve(Rig *rig, const char *name, const char *member);

void assert_peer_got_nothing(Rig *rig);

#endif
