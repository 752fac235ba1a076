/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qtest: what its source files share.  The manual is include/accel/qtest.h.
 *
 * Runs in: mpqemu.
 */
#ifndef ACCEL_QTEST_INT_H
#define ACCEL_QTEST_INT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <glib.h>
#include "chardev/unix-socket.h"
#include "hw/core/irq.h"
#include "util/event-loop.h"

/* Bytes of one read or write command; bounds the memory that one line can cost. */
#define QTEST_DATA_MAX (16u * 1024 * 1024)

/* A line: the data in hex and some words. */
#define QTEST_LINE_MAX (2 * QTEST_DATA_MAX + 256)

/* Interrupt pins that can be watched: bits of Qtest.pin_levels. */
#define QTEST_PINS_MAX 64

typedef struct Qtest Qtest;

struct Qtest {
    /* The qtest thread's. */
    int in_fd;
    char *line_buf;     /* received, not yet worked off: [line_start, line_end) */
    size_t line_size, line_start, line_end;
    GString *reply;     /* of the command at hand */

    /* Main thread before and after the qtest thread's life. */
    int listen_fd;      /* -1: a connection that was made at start */
    UnixSocketFile *socket_file; /* of listen_fd; NULL: none */
    bool own_fds;       /* in_fd and out_fd are the same socket, ours to close; not with stdio */
    int stop_fd;        /* eventfd: the thread shall end */
    FILE *log;          /* NULL: none; stdio locks it */
    gint64 start_us;
    GThread *thread;

    pthread_mutex_t lock;
    /* Lock; nothing is called under it but write(2) where poll(2) promised room. */
    int out_fd;         /* -1: no client */
    GString *queue;     /* lines that wait for the one who is writing */
    bool writing;
    bool stopping;
    pthread_cond_t done_cond;    /* work_done or stopping */
    bool work_done;

    /* Work for the main loop: set by the qtest thread, which then waits. */
    EventBh *work_bh;
    int64_t step_ns;    /* nanoseconds to step the virtual clock by; -1: to the next deadline */
    int64_t clock_ns;   /* result */

    /* Machine lock. */
    IrqLine **pins;     /* intercepted; NULL: none */
    unsigned pin_count;
    uint64_t pin_levels;
};

/* Carries out LINE (0-ended; it is changed); the answer with its newline is in q->reply then. */
void qtest_command(Qtest *q, char *line);

/* Sends a line that answers no command; any thread, never waits. */
void qtest_send_event(Qtest *q, const char *line);

/*
 * Lets the main loop step the virtual clock by NS, or to the next deadline with -1, and waits for
 * it.  Returns the new time.  The qtest thread's.
 */
int64_t qtest_step_clock(Qtest *q, int64_t ns);

#endif
