/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP on a pseudo-terminal whose other end is the test: keys in, screen out.
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "hmp-rig.h"
#include "monitor/hmp-int.h"
#include "qom/object.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"
#include "util/trace.h"

TraceEvent *const *const trace_event_tables[] = { NULL };

/* libedit keeps the names of functions added to it, libtinfo a few strings: once a program, a few hundred bytes. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:wcsdup\nleak:_nc_trim_sgr0\nleak:libedit\nleak:libtinfo";
}

#define WAIT_US (60 * G_USEC_PER_SEC)

typedef struct Screen {
    MonitorStream stream;
    int master;
    int slave;
    GString *text; /* shown and not looked for yet */
    struct termios modes; /* before */
} Screen;

/* Takes what the terminal shows, and lets the main loop run. */
static void look(Screen *s)
{
    struct pollfd pfd = { .fd = s->master, .events = POLLIN };
    char bytes[4096];

    rig_turn();
    if (poll(&pfd, 1, 5) > 0) {
        ssize_t count = read(s->master, bytes, sizeof(bytes));

        if (count > 0) {
            g_string_append_len(s->text, bytes, count);
        }
    }
}

/* Waits until TEXT is shown and forgets all up to its end. */
static void expect(Screen *s, const char *text)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_US;
    char *found;

    while (!(found = strstr(s->text->str, text))) {
        if (g_get_monotonic_time() > deadline) {
            g_error("'%s' does not come; there is '%s'", text, s->text->str);
        }
        look(s);
    }
    g_string_erase(s->text, 0, found + strlen(text) - s->text->str);
}

static void wait_until(Screen *s, bool (*done)(Screen *s))
{
    gint64 deadline = g_get_monotonic_time() + WAIT_US;

    while (!done(s)) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        look(s);
    }
}

static void type(Screen *s, const char *keys)
{
    g_assert_cmpint(write(s->master, keys, strlen(keys)), ==, strlen(keys));
}

static void expect_command(Screen *s, const char *command)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_US;
    const char *last;

    while (!*(last = rig_qmp_last())) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        look(s);
    }
    g_assert_cmpstr(last, ==, command);
}

static void begin(Screen *s)
{
    struct winsize size = { .ws_row = 24, .ws_col = 80 };

    g_assert_cmpint(openpty(&s->master, &s->slave, NULL, NULL, &size), ==, 0);
    fd_set_nonblock(s->master, true);
    g_assert_cmpint(tcgetattr(s->slave, &s->modes), ==, 0);
    s->text = g_string_new(NULL);
    rig_stream_init(&s->stream);
    s->stream.terminal = s->slave;
    rig_qmp_answer(NULL, NULL);
    hmp_session_open(&s->stream);
    expect(s, "mpqemu " MPQEMU_VERSION " monitor - type 'help' for more information\r\n");
    expect(s, "(qemu) ");
}

static void end(Screen *s)
{
    struct termios modes;

    hmp_sessions_stop();
    g_assert_true(s->stream.freed);
    g_assert_cmpint(tcgetattr(s->slave, &modes), ==, 0);
    /* A process without this controlling terminal does not see itself in the foreground: libedit put them back. */
    g_assert_cmphex(modes.c_lflag, ==, s->modes.c_lflag);
    g_assert_cmphex(modes.c_iflag, ==, s->modes.c_iflag);
    close(s->master);
    close(s->slave);
    g_string_free(s->text, TRUE);
    rig_stream_clear(&s->stream);
    rig_qmp_last();
}

static void test_line(void)
{
    Screen s;

    begin(&s);
    type(&s, "stop\r");
    expect_command(&s, "stop {}");
    expect(&s, "(qemu) ");
    type(&s, "foo\r");
    expect(&s, "unknown command: 'foo'\r\n(qemu) ");
    type(&s, "\r");
    expect(&s, "(qemu) ");
    type(&s, "\xc3\xa4\r");
    expect(&s, "unknown command: '\xc3\xa4'\r\n(qemu) ");
    end(&s);
}

static void test_editing(void)
{
    Screen s;

    begin(&s);
    type(&s, "sop\x1b[D\x1b[Dt\r"); /* cursor left, twice */
    expect_command(&s, "stop {}");
    type(&s, "cont\r");
    expect_command(&s, "cont {}");
    type(&s, "\x1b[A\x1b[A\r"); /* cursor up, twice */
    expect_command(&s, "stop {}");
    expect(&s, "(qemu) ");
    type(&s, "info history\r");
    expect(&s, "0: 'stop'\r\n1: 'cont'\r\n2: 'stop'\r\n3: 'info history'\r\n(qemu) ");
    end(&s);
}

static void test_completion(void)
{
    Screen s;

    begin(&s);
    type(&s, "system_r\t\r");
    expect_command(&s, "system_reset {}");
    expect(&s, "(qemu) ");
    type(&s, "device_\t");
    expect(&s, "device_add  device_del\r\n");
    type(&s, "d\tx\r");
    expect_command(&s, "device_del {\"id\":\"x\"}");
    type(&s, "qom-list /machine/per\t\r");
    expect_command(&s, "qom-list {\"path\":\"/machine/peripheral\"}");
    end(&s);
}

static void test_interrupt(void)
{
    Screen s;

    begin(&s);
    type(&s, "quit\x03");
    expect(&s, "^C\r\n(qemu) ");
    type(&s, "stop\r");
    expect_command(&s, "stop {}");
    end(&s);
}

static bool has_ended(Screen *s)
{
    return s->stream.freed;
}

static void test_eof(void)
{
    Screen s;

    begin(&s);
    type(&s, "\x04");
    wait_until(&s, has_ended);
    expect(&s, "The monitor has ended, the program runs on.\r\n");
    end(&s);
}

static void test_hangup(void)
{
    Screen s;

    begin(&s);
    s.stream.ops->closed(s.stream.session, false);
    g_assert_true(s.stream.freed);
    end(&s);
}

/* The thread waits for the rest of an escape sequence; the main loop and the end do not. */
static void test_lone_escape(void)
{
    Screen s;

    begin(&s);
    type(&s, "\x1b");
    for (unsigned i = 0; i < 20; i++) {
        look(&s);
    }
    end(&s);
}

static void test_deferred(void)
{
    Screen s;

    begin(&s);
    rig_qmp_answer(NULL, "late");
    rig_qmp_defer(true);
    type(&s, "stop\rcont\r"); /* typed ahead */
    expect_command(&s, "stop {}");
    for (unsigned i = 0; i < 20; i++) {
        look(&s);
    }
    g_assert_cmpstr(rig_qmp_last(), ==, "");
    rig_qmp_finish();
    expect(&s, "Error: late\r\n");
    expect_command(&s, "cont {}");
    hmp_sessions_stop(); /* with a command under way */
    rig_qmp_finish();
    rig_qmp_defer(false);
    end(&s);
}

/* Nobody reads what a command prints, and the program ends. */
static void test_blocked_output(void)
{
    g_autofree char *much = g_strnfill(1024 * 1024, 'x');
    g_autofree char *json = g_strdup_printf("{\"name\":\"%s\"}", much);
    Screen s;

    begin(&s);
    rig_qmp_answer(json, NULL);
    type(&s, "info name\r");
    while (!*rig_qmp_last()) {
        rig_turn();
        g_usleep(1000);
    }
    end(&s);
}

static void test_second_terminal(void)
{
    MonitorStream second;
    Screen s;

    begin(&s);
    rig_stream_init(&second);
    second.terminal = s.slave;
    hmp_session_open(&second);
    g_assert_true(g_str_has_suffix(rig_stream_output(&second), "(qemu) "));
    end(&s);
    g_assert_true(second.freed);
    rig_stream_clear(&second);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_setenv("TERM", "vt100", TRUE);
    machine_lock();
    trace_init(trace_event_tables);
    qom_container("/machine/peripheral");
    hmp_commands_init();
    g_test_add_func("/hmp-terminal/lines-are-run", test_line);
    g_test_add_func("/hmp-terminal/editing-and-history", test_editing);
    g_test_add_func("/hmp-terminal/completion", test_completion);
    g_test_add_func("/hmp-terminal/ctrl-c-drops-the-line", test_interrupt);
    g_test_add_func("/hmp-terminal/ctrl-d-ends-the-monitor", test_eof);
    g_test_add_func("/hmp-terminal/hangup", test_hangup);
    g_test_add_func("/hmp-terminal/lone-escape-holds-nobody", test_lone_escape);
    g_test_add_func("/hmp-terminal/typed-ahead-and-end-under-a-command", test_deferred);
    g_test_add_func("/hmp-terminal/end-while-nobody-reads", test_blocked_output);
    g_test_add_func("/hmp-terminal/one-terminal-only", test_second_terminal);
    return g_test_run();
}
