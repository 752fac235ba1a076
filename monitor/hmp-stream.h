/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two places that HMP sessions stand on: a stream and a terminal.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef MONITOR_HMP_STREAM_H
#define MONITOR_HMP_STREAM_H

#include <glib.h>
#include "monitor/monitor-int.h"

/* A session in line mode on STREAM (taken), until its client goes. */
void hmp_stream_open(MonitorStream *stream);

/* Ends all of them. */
void hmp_streams_stop(void);

/*
 * A session with editing on the terminal IN_FD, OUT_FD, which belongs to STREAM (taken, and never read from).  One a
 * program.  Fails (STREAM stays the caller's) when the terminal cannot be used.
 */
bool hmp_terminal_open(MonitorStream *stream, int in_fd, int out_fd, GError **errp);

/* Ends it and gives the terminal its modes back.  Waits for the session's thread, which does not wait for anything. */
void hmp_terminal_stop(void);

#endif
