/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a socket, a pipe or a file: lines in, text and a prompt out, no echo and no editing.
 *
 * Runs in: both programs.
 *
 * Who writes may be a person with socat or telnet, an expect script, or an attacker.  A line ends with LF, CR LF
 * or CR.  Backspace takes a character back, Ctrl-C and Ctrl-U the line; escape sequences, telnet's commands and other
 * control characters are dropped.
 *
 * Bounds.  At most one chunk of input is kept besides the line; while some is kept the stream is paused.  One line
 * is run in a turn of the loop, none while a command is under way or while the client does not read.
 */
#include "monitor/hmp-stream.h"

#include <string.h>
#include "monitor/hmp-int.h"
#include "monitor/monitor-int.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* What the bytes before the next one were. */
typedef enum InputState {
    INPUT_TEXT,
    INPUT_CR,         /* a line ended with CR: LF now is part of its end */
    INPUT_ESC,        /* ESC */
    INPUT_CSI,        /* ESC [ ...: ends with a byte from '@' to '~' */
    INPUT_ESC_FINAL,  /* ESC O: one more byte */
    INPUT_IAC,        /* telnet's 255 */
    INPUT_IAC_OPTION, /* 255, then WILL, WONT, DO or DONT: one more byte */
    INPUT_IAC_SUB,    /* 255 250 ...: ends with 255 240 */
    INPUT_IAC_SUB_IAC,
} InputState;

enum { TELNET_SE = 240, TELNET_SB = 250, TELNET_WILL = 251, TELNET_DONT = 254, TELNET_IAC = 255 };

typedef struct HmpStream {
    MonitorStream *stream;
    HmpSession *hmp;
    EventBh *bh;      /* takes the next line of `input` */
    GString *line;    /* so far; one byte more than HMP_LINE_MAX tells that it is too long */
    GString *input;   /* bytes not looked at yet */
    InputState state;
    bool half;        /* the client will send no more */
    int fds[MONITOR_STREAM_FDS]; /* that came with the input last, oldest first, -1 when taken */
    unsigned fd_count;
} HmpStream;

static GPtrArray *streams; /* HmpStream *, those that live */

/* ---- bytes to lines ---------------------------------------------------------------------------- */

/* Takes the last character, all its bytes. */
static void take_back(GString *line)
{
    while (line->len > 0) {
        unsigned char last = (unsigned char)line->str[line->len - 1];

        g_string_truncate(line, line->len - 1);
        if ((last & 0xc0) != 0x80) {
            return;
        }
    }
}

/* A byte outside of any sequence; true: it ends the line. */
static bool text_byte(HmpStream *s, unsigned char c)
{
    switch (c) {
    case '\r':
        s->state = INPUT_CR;
        return true;
    case '\n':
        return true;
    case '\b':
    case 0x7f:
        take_back(s->line);
        break;
    case 'C' - '@':
    case 'U' - '@':
        g_string_truncate(s->line, 0);
        break;
    case 0x1b:
        s->state = INPUT_ESC;
        break;
    case TELNET_IAC:
        s->state = INPUT_IAC;
        break;
    default:
        if ((c >= ' ' || c == '\t') && s->line->len <= HMP_LINE_MAX) {
            g_string_append_c(s->line, (char)c);
        }
    }
    return false;
}

static bool input_byte(HmpStream *s, unsigned char c)
{
    InputState state = s->state;

    s->state = INPUT_TEXT;
    switch (state) {
    case INPUT_TEXT:
        return text_byte(s, c);
    case INPUT_CR:
        return c != '\n' && text_byte(s, c);
    case INPUT_ESC:
        if (c == '[' || c == 'O') {
            s->state = c == '[' ? INPUT_CSI : INPUT_ESC_FINAL;
        }
        break;
    case INPUT_CSI:
        /* A control character is in no sequence: a line's end is not lost to a broken one. */
        if (c < ' ') {
            return text_byte(s, c);
        }
        if (c < '@' || c > '~') {
            s->state = INPUT_CSI;
        }
        break;
    case INPUT_IAC:
        if (c == TELNET_SB) {
            s->state = INPUT_IAC_SUB;
        } else if (c >= TELNET_WILL && c <= TELNET_DONT) {
            s->state = INPUT_IAC_OPTION;
        }
        break;
    case INPUT_IAC_SUB:
        s->state = c == TELNET_IAC ? INPUT_IAC_SUB_IAC : INPUT_IAC_SUB;
        break;
    case INPUT_IAC_SUB_IAC:
        s->state = c == TELNET_SE ? INPUT_TEXT : INPUT_IAC_SUB;
        break;
    case INPUT_ESC_FINAL:
    case INPUT_IAC_OPTION:
        break;
    }
    return false;
}

/* Looks at the kept input up to a line's end; true: s->line is a line. */
static bool take_line(HmpStream *s)
{
    gsize used = 0;
    bool complete = false;

    while (used < s->input->len && !complete) {
        complete = input_byte(s, (unsigned char)s->input->str[used++]);
    }
    g_string_erase(s->input, 0, (gssize)used);
    return complete;
}

/* ---- life -------------------------------------------------------------------------------------- */

static void close_fds(HmpStream *s)
{
    for (unsigned i = 0; i < s->fd_count; i++) {
        fd_close(&s->fds[i]);
    }
    s->fd_count = 0;
}

static void stream_free(HmpStream *s)
{
    close_fds(s);
    g_ptr_array_remove_fast(streams, s);
    hmp_session_free(s->hmp);
    event_bh_free(s->bh);
    g_string_free(s->line, TRUE);
    g_string_free(s->input, TRUE);
    g_free(s);
}

/* Goes on with the kept input in the next turn; with none, the client may send, or has ended. */
static void stream_continue(HmpStream *s)
{
    if (hmp_session_busy(s->hmp) || monitor_stream_unsent(s->stream) >= MONITOR_OUTPUT_HIGH) {
        return; /* stream_idle() or stream_drained() comes */
    }
    if (s->input->len > 0 || s->half) {
        event_bh_schedule(s->bh);
    } else {
        monitor_stream_pause(s->stream, false);
    }
}

static void stream_step(void *opaque)
{
    HmpStream *s = opaque;

    if (hmp_session_busy(s->hmp) || monitor_stream_unsent(s->stream) >= MONITOR_OUTPUT_HIGH) {
        return;
    }
    if (take_line(s)) {
        g_autofree char *line = g_strndup(s->line->str, s->line->len);

        g_string_truncate(s->line, 0);
        hmp_session_run(s->hmp, line);
    } else if (s->half) {
        monitor_stream_finish(s->stream);
        stream_free(s);
        return;
    }
    stream_continue(s);
}

static void stream_bytes(void *session, const char *data, size_t len)
{
    HmpStream *s = session;
    int fds[MONITOR_STREAM_FDS];
    unsigned count = monitor_stream_take_fds(s->stream, fds);

    if (count > 0) {
        close_fds(s); /* nobody wanted the earlier ones */
        s->fd_count = count;
        memcpy(s->fds, fds, sizeof(fds[0]) * count);
    }
    g_string_append_len(s->input, data, (gssize)len);
    monitor_stream_pause(s->stream, true);
    stream_continue(s);
}

static void stream_drained(void *session)
{
    stream_continue(session);
}

static void stream_closed(void *session, bool half)
{
    HmpStream *s = session;

    if (half) {
        s->half = true;
        stream_continue(s);
        return;
    }
    monitor_stream_free(s->stream);
    stream_free(s);
}

/* ---- the session's front ----------------------------------------------------------------------- */

static void front_write(const char *text, size_t len, void *opaque)
{
    HmpStream *s = opaque;

    monitor_stream_write(s->stream, text, len);
}

static int front_take_fd(void *opaque)
{
    HmpStream *s = opaque;

    for (unsigned i = 0; i < s->fd_count; i++) {
        if (s->fds[i] >= 0) {
            return fd_steal(&s->fds[i]);
        }
    }
    return -1;
}

static void front_idle(void *opaque)
{
    HmpStream *s = opaque;

    front_write(HMP_PROMPT, sizeof(HMP_PROMPT) - 1, s);
    stream_continue(s);
}

void hmp_stream_open(MonitorStream *stream)
{
    static const MonitorStreamOps ops = { stream_bytes, stream_drained, stream_closed };
    static const HmpFront front = {
        .write = front_write,
        .idle = front_idle,
        .take_fd = front_take_fd,
        .crlf = true,
    };
    HmpStream *s = g_new0(HmpStream, 1);

    s->stream = stream;
    s->line = g_string_new(NULL);
    s->input = g_string_new(NULL);
    s->bh = event_bh_new(event_loop_main(), stream_step, s);
    s->hmp = hmp_session_new(&front, s);
    if (!streams) {
        streams = g_ptr_array_new();
    }
    g_ptr_array_add(streams, s);
    monitor_stream_set_session(stream, &ops, s);
    hmp_printf(s->hmp, "%s", HMP_BANNER);
    front_idle(s);
}

void hmp_streams_stop(void)
{
    while (streams && streams->len > 0) {
        HmpStream *s = streams->pdata[streams->len - 1];

        monitor_stream_free(s->stream);
        stream_free(s);
    }
}
