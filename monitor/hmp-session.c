/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: where sessions begin and end; single lines for human-monitor-command.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"
#include "monitor/hmp-stream.h"
#include "monitor/options.h"
#include "util/log.h"

static bool editing = true;

void monitor_allow_editing(bool allow)
{
    editing = allow;
}

void hmp_session_open(MonitorStream *stream)
{
    g_autoptr(GError) err = NULL;
    int in_fd;
    int out_fd;

    if (editing && monitor_stream_is_terminal(stream, &in_fd, &out_fd)) {
        if (hmp_terminal_open(stream, in_fd, out_fd, &err)) {
            return;
        }
        log_warn("%s", err->message);
    }
    hmp_stream_open(stream);
}

void hmp_sessions_stop(void)
{
    hmp_terminal_stop();
    hmp_streams_stop();
}

/* ---- human-monitor-command --------------------------------------------------------------------- */

typedef struct SingleLine {
    HmpSession *hmp;
    GString *text;
    void (*done)(const char *text, void *opaque);
    void *opaque;
} SingleLine;

static void single_write(const char *text, size_t len, void *opaque)
{
    SingleLine *single = opaque;

    g_string_append_len(single->text, text, (gssize)len);
}

static void single_idle(void *opaque)
{
    SingleLine *single = opaque;

    single->done(single->text->str, single->opaque);
    hmp_session_free(single->hmp);
    g_string_free(single->text, TRUE);
    g_free(single);
}

void hmp_run_line(const char *line, void (*done)(const char *text, void *opaque), void *opaque)
{
    static const HmpFront front = { .write = single_write, .idle = single_idle, .crlf = true };
    SingleLine *single = g_new0(SingleLine, 1);

    single->text = g_string_new(NULL);
    single->done = done;
    single->opaque = opaque;
    single->hmp = hmp_session_new(&front, single);
    hmp_session_run(single->hmp, line);
}
