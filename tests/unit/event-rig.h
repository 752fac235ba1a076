/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of util/event-loop.c: a watched descriptor and a deferred call that note what happens to them.
 *
 * Runs in: tests.
 *
 * No test expects anything to be fast: what must not happen early is checked against the clock,
 * what must happen is waited for, and the test driver's time limit ends a wait that is in vain.
 */
#ifndef TESTS_EVENT_RIG_H
#define TESTS_EVENT_RIG_H

#include <glib.h>
#include "util/event-loop.h"

#define MS G_GINT64_CONSTANT(1000000)

EventLoop *new_loop(void);

/* An eventfd that is ready to read (and stays so), or not. */
int new_fd(bool ready);

/* One watched descriptor of a test. */
typedef struct Watch {
    EventLoop *loop;
    EventSource *source;
    int fd;
    unsigned ready; /* of the last call */
    int calls;
    int depth, max_depth;                /* of calls on the stack */
    void (*action)(struct Watch *watch); /* what the handler does, may be NULL */
    struct Watch *other;                 /* for the action */
} Watch;

/* Watches FD, which it owns, until unwatch(). */
void watch_fd(Watch *watch, EventLoop *loop, int fd, unsigned events);
void unwatch(Watch *watch);

/* Reads the eventfd. */
void consume(Watch *watch);

/* One deferred call of a test. */
typedef struct Call {
    EventLoop *loop;
    EventBh *bh;
    GString *log; /* one letter a call */
    char letter;
    int again; /* times it schedules itself */
    bool free_self, nest, busy;
} Call;

/* COUNT deferred calls, with the letters from 'a' on, that write into LOG. */
void init_calls(Call *calls, unsigned count, EventLoop *loop, GString *log);
void free_calls(Call *calls, unsigned count);

#endif
