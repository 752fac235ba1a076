/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for hmp*.c until these are there; goes when they come.
 *
 * Runs in: both programs.
 */
#include "monitor-int.h"

void hmp_session_open(MonitorStream *stream)
{
    monitor_stream_finish(stream);
}

void hmp_sessions_stop(void)
{
}

void hmp_run_line(const char *line, void (*done)(const char *text, void *opaque), void *opaque)
{
    done("", opaque);
}
