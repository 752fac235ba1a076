/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A monitor's stream without a socket: what the fuzz target says goes to the session, what the session says is counted.
 * Linked in place of monitor/stream.c.
 * Thread: main loop.  Runs in: fuzz targets
 */
#ifndef TESTS_FUZZ_STREAM_H
#define TESTS_FUZZ_STREAM_H

#include "monitor/monitor-int.h"

/* A new stream, for qmp_session_open() or hmp_session_open(); WRITTEN is called with what the session writes. */
MonitorStream *fuzz_stream_new(void (*written)(const char *data, size_t len));

/* The stream made last: NULL once its session has let go of it. */
MonitorStream *fuzz_stream(void);

/* Gives the client's LEN bytes, at most MONITOR_CHUNK, to the session.  False: the session has paused. */
bool fuzz_stream_say(const char *data, size_t len);

/* The client reads what waits. */
void fuzz_stream_read(void);

/* The client sends nothing more (HALF), or is gone. */
void fuzz_stream_hang_up(bool half);

#endif
