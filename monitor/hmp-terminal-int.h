/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a terminal: what its two halves share.
 *
 * Thread: as each field says.  Runs in: both programs.
 *
 * Theory of operation.  libedit waits for its user inside el_gets(), also in the middle of an escape sequence.  So
 * it has a thread of its own (hmp-editor.c), which does nothing but edit, and write what commands print.  The thread
 * never touches the machine and never takes its lock: a line, or a question for completions, is put down under `lock`
 * and the main loop (hmp-terminal.c) is woken by a deferred call; the thread then waits for output, for an answer, or
 * for the word to read the next line.  All of libedit is called from the thread.
 *
 * Signals from keys are off while the terminal is ours: Ctrl-C gives an empty line and does not end the machine, as
 * it would in QEMU.  Ctrl-D on an empty line ends the monitor; the machine runs on, and Ctrl-C is a signal again.
 *
 * End.  `stop` and a byte in wake_fd get the thread out of every wait.  libedit's own writes do not wait: what it
 * draws on a terminal whose other end does not read is lost.  The modes of the terminal are put back by the main
 * thread whatever the thread does, at exit() too.
 */
#ifndef MONITOR_HMP_TERMINAL_INT_H
#define MONITOR_HMP_TERMINAL_INT_H

#include <histedit.h>
#include <pthread.h>
#include <stdio.h>
#include <termios.h>
#include "monitor/hmp-int.h"
#include "monitor/monitor-int.h"
#include "util/event-loop.h"

/* Lines that arrow-up and "info history" find. */
#define HMP_HISTORY_MAX 500

typedef struct HmpTerminal {
    pthread_mutex_t lock; /* of the fields up to the next comment; no other lock is taken with it held */
    pthread_cond_t cond; /* told at each change that the thread, or the end, waits for */
    char *line;           /* typed; the main loop takes it */
    char *question;       /* text before the cursor, to be completed; the main loop takes it */
    GPtrArray *answer;    /* its completions; the thread takes them */
    size_t answer_start;  /* where in the text the completed word begins */
    GString *output;      /* printed; the thread takes it */
    bool prompt;          /* the next line may be read */
    bool stop;            /* the thread must end */
    bool finished;        /* the thread has ended, but for its return */

    /* The thread's. */
    EditLine *el;
    History *history;
    FILE *in;
    FILE *out;
    bool interrupted; /* Ctrl-C ended el_gets() */

    /* Constant while the thread lives. */
    int fd;      /* the terminal, opened anew: its modes are shared, its O_NONBLOCK is not (open_terminal()) */
    int wake_fd; /* eventfd: `stop` was set */
    EventBh *bh;

    /* The main loop's. */
    pthread_t thread;
    bool started; /* there is a thread */
    struct termios modes; /* as they were */
    HmpSession *hmp;
    MonitorStream *stream;
    GPtrArray *lines; /* for "info history" */
} HmpTerminal;

/* The thread; OPAQUE is the HmpTerminal. */
void *hmp_editor_thread(void *opaque);

#endif
