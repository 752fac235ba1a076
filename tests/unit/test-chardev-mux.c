/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of character devices that several fronts share.
 *
 * Runs in: tests
 */
#include "chardev-rig.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "system/runstate.h"
#include "util/machine-lock.h"

static void test_mux_focus(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front first, second;

    add_fd("c0", theirs, ",mux=on");
    g_assert_true(chardev_is_mux("c0"));
    attach(&first, "c0", 1000);
    attach(&second, "c0", 1000);
    g_assert_cmpint(write(ours, "a\001cb\001", 5), ==, 5);
    g_assert_cmpint(write(ours, "cc\001\001\001bd", 7), ==, 7);
    WAIT_FOR(first.input->len == 4);
    g_assert_cmpstr(first.input->str, ==, "ac\001d");
    g_assert_cmpstr(second.input->str, ==, "b");
    g_assert_cmpuint(first.breaks, ==, 1);
    g_assert_cmpuint(second.breaks, ==, 0);
    /* Both are shown. */
    settle();
    drain(ours, text);
    g_string_truncate(text, 0);
    chardev_write(first.chr, "1", 1);
    chardev_write(second.chr, "2", 1);
    WAIT_FOR((drain(ours, text), text->len == 2));
    g_assert_cmpstr(text->str, ==, "12");
    /* Who goes leaves the focus to another. */
    g_assert_cmpint(write(ours, "\001c", 2), ==, 2);
    WAIT_FOR(second.opened == 2);
    detach(&second);
    g_assert_cmpint(write(ours, "x", 1), ==, 1);
    WAIT_FOR(first.input->len == 5);
    detach(&first);
    g_assert_cmpint(write(ours, "nobody", 6), ==, 6);
    settle();
    chardevs_stop();
    close(ours);
}

/* A guest that is slow loses no input, one that hangs does, and not the keys. */
static void test_mux_input(void)
{
    int theirs, ours = make_pair(&theirs), big = 1 << 20;
    g_autofree char *data = g_strnfill(20000, 'y');
    Front front;

    setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 0);
    g_assert_cmpint(write(ours, data, 20000), ==, 20000);
    settle();
    while (front.input->len < 20000) {
        give_room(&front, 16);
        WAIT_FOR(front.room == 0);
    }
    g_assert_cmpint(write(ours, data, 20000), ==, 20000);
    g_assert_cmpint(write(ours, "\001b", 2), ==, 2);
    settle();
    g_assert_cmpuint(front.breaks, ==, 0);
    WAIT_FOR(front.breaks == 1);
    give_room(&front, 20000);
    settle();
    g_assert_cmpuint(front.input->len, ==, 20000 + 4096);
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* Output of ports on a base that is full is told of room. */
static void test_mux_output(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    const size_t total = 3 * CHARDEV_QUEUE;
    size_t sent = 0;
    Front front;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 0);
    while (sent < total) {
        unsigned told = front.told;
        size_t want = MIN(1000, total - sent), taken = write_pattern(front.chr, sent, want);

        sent += taken;
        if (taken < want) {
            settle();
            drain(ours, text);
            WAIT_FOR(front.told > told);
        }
    }
    WAIT_FOR((drain(ours, text), text->len == total));
    check_pattern(text);
    detach(&front);
    chardevs_stop();
    close(ours);
}

static void test_mux_timestamps(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    Front front;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 10);
    g_assert_cmpint(write(ours, "\001t.", 3), ==, 3);
    WAIT_FOR(front.input->len == 1);
    g_assert_cmpuint(chardev_write(front.chr, "one\ntw", 6), ==, 6);
    g_assert_cmpuint(chardev_write(front.chr, "o\n", 2), ==, 2);
    settle();
    drain(ours, text);
    g_assert_true(g_regex_match_simple("^\\[00:00:0\\d\\.\\d{3}\\] one\n\\[00:00:0\\d\\.\\d{3}\\] two\n$", text->str,
                                       0, 0));
    detach(&front);
    chardevs_stop();
    close(ours);
}

/* A monitor's output waits for the focus; the guest's does not mix with it. */
static void test_mux_monitor(void)
{
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GString) text = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    char data[100];
    Front front;
    int terminal;

    add_fd("c0", theirs, ",mux=on");
    attach(&front, "c0", 100);
    terminal = chardev_mux_terminal("c0", &err);
    g_assert_no_error(err);
    g_assert_true(isatty(terminal));
    g_assert_true(chardevs_start());
    g_assert_cmpint(write(terminal, "prompt", 6), ==, 6);
    chardev_write(front.chr, "guest", 5);
    settle();
    drain(ours, text);
    g_assert_cmpstr(text->str, ==, "guest");
    g_assert_cmpint(write(ours, "\001c", 2), ==, 2);
    WAIT_FOR((drain(ours, text), strstr(text->str, "prompt")));
    g_assert_cmpint(write(ours, "info\r\001cx", 8), ==, 8);
    WAIT_FOR(front.input->len == 1);
    g_assert_cmpstr(front.input->str, ==, "x");
    WAIT_FOR(read(terminal, data, sizeof(data)) == 5);
    g_assert_cmpmem(data, 5, "info\n", 5);
    close(terminal);
    settle();
    detach(&front);
    chardevs_stop();
    close(ours);
}

static void test_mux_exit(void)
{
    int theirs, ours = make_pair(&theirs), status;
    Front front;

    if (g_test_subprocess()) {
        add_fd("c0", theirs, ",mux=on");
        attach(&front, "c0", 0);
        g_assert_cmpint(write(ours, "\001x", 2), ==, 2);
        WAIT_FOR(shutdown_requested(&status));
        g_assert_cmpint(status, ==, 0);
        detach(&front);
        chardevs_stop();
        return;
    }
    close(ours);
    close(theirs);
    g_test_trap_subprocess(NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

static void test_mux_limit(void)
{
    static const ChardevOps ops = { NULL };
    int theirs, ours = make_pair(&theirs);
    g_autoptr(GError) err = NULL;
    Chardev *ports[8];

    add_fd("c0", theirs, ",mux=on");
    for (unsigned i = 0; i < 8; i++) {
        ports[i] = chardev_attach("c0", &ops, NULL, NULL);
        g_assert_nonnull(ports[i]);
    }
    g_assert_null(chardev_attach("c0", &ops, NULL, &err));
    g_assert_nonnull(strstr(err->message, "8 share it"));
    chardevs_stop();
    /* Fronts that stay to the end may still write. */
    for (unsigned i = 0; i < 8; i++) {
        g_assert_cmpuint(chardev_write(ports[i], "x", 1), ==, 1);
        chardev_accept_input(ports[i]);
        chardev_detach(ports[i]);
    }
    close(ours);
}

int main(int argc, char **argv)
{
    static const struct { const char *name; void (*run)(void); } tests[] = {
        { "mux-focus", test_mux_focus },
        { "mux-input", test_mux_input },
        { "mux-output", test_mux_output },
        { "mux-timestamps", test_mux_timestamps },
        { "mux-monitor", test_mux_monitor },
        { "mux-exit", test_mux_exit },
        { "mux-limit", test_mux_limit },
    };

    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    machine_lock();
    chardev_stall_ns = STALL_NS;
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strdup_printf("/chardev/%s", tests[i].name);

        g_test_add_func(path, tests[i].run);
    }
    return g_test_run();
}
