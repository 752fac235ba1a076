/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of io/qmp-client.c: peers that lie, babble and flood.
 *
 * Runs in: neither program.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "qmp-rig.h"
#include "util/fd.h"
#include "util/json-stream.h"

/* ---- the hostile peer ----------------------------------------------------------------------------- */

/* What a peer says in READY, while command "c" is unanswered; $ stands for its id. */
static const struct {
    const char *says, *reason;
} hostile[] = {
    { "{\"return\": {}}", "that nobody asked for" },
    { "{\"return\": {}, \"id\": \"mpqemu-1\"}", "that nobody asked for" },
    { "{\"return\": {}, \"id\": \"mpqemu-99\"}", "that nobody asked for" },
    { "{\"return\": {}, \"id\": 2}", "that nobody asked for" },
    { "{\"return\": {}, \"id\": {\"a\": []}}", "that nobody asked for" },
    { "{\"return\": {}, \"id\": null}", "that nobody asked for" },
    { "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}",
      "that nobody asked for: JSON parse error" },
    { "{\"return\": {}, \"id\": \"$\"}{\"return\": {}, \"id\": \"$\"}", "that nobody asked for" },
    { "{\"error\": {}, \"id\": \"$\"}", "an error without a description" },
    { "{\"error\": \"x\", \"id\": \"$\"}", "an error without a description" },
    { "{\"error\": {\"desc\": 1}, \"id\": \"$\"}", "an error without a description" },
    { "{\"error\": null, \"id\": \"$\"}", "an error without a description" },
    { "{\"return\": {}, \"error\": {\"desc\": \"x\"}, \"id\": \"$\"}", "of two kinds" },
    { "{\"return\": {}, \"event\": \"x\", \"id\": \"$\"}", "of two kinds" },
    { "{\"event\": \"x\", \"QMP\": {}}", "of two kinds" },
    { "{}", "no answer, no event and no greeting" },
    { "{\"id\": \"$\"}", "no answer, no event and no greeting" },
    { GREETING, "a second greeting" },
    { "{\"event\": 1}", "an event without a name" },
    { "{\"event\": {}}", "an event without a name" },
    { "{\"event\": null}", "an event without a name" },
    { "{\"event\": \"x\", \"data\": []}", "an event whose data is no object" },
    { "{\"event\": \"x\", \"data\": null}", "an event whose data is no object" },
    { "[]", "no QMP" },
    { "42\n", "no QMP" },
    { "hello\n", "no QMP" },
    { "{\"event\": \"\xff\"}", "not UTF-8" },
    { "{\"event\": ", "closed the connection" }, /* and closes */
};

static void test_hostile_texts(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(hostile); i++) {
        Rig *rig = rig_ready();
        g_autofree char *id = NULL;
        g_auto(GStrv) parts = g_strsplit(hostile[i].says, "$", -1);
        g_autofree char *says = NULL;

        g_test_message("text %u", i);
        command(rig, "c");
        id = peer_expect(rig, "c");
        says = g_strjoinv(id, parts);
        peer_say(rig, says);
        fd_close(&rig->peer);
        settle();
        g_assert_true(g_str_has_prefix(rig->log->str, "c!") || g_str_has_prefix(rig->log->str, "c={};"));
        g_assert_nonnull(strstr(rig->log->str, "closed "));
        g_assert_nonnull(strstr(strstr(rig->log->str, "closed "), hostile[i].reason));
        rig_free(rig);
    }
}

static void test_hostile_beginnings(void)
{
    static const struct {
        const char *says, *reason;
    } cases[] = {
        { "{\"event\": \"x\"}", "an event before its greeting" },
        { "{\"return\": {}}", "that nobody asked for" },
        { "{\"return\": {}, \"id\": \"mpqemu-1\"}", "that nobody asked for" },
        { "{\"QMP\": 1}", "a greeting that is none" },
        { GREETING GREETING, "a second greeting" },
        { "SSH-2.0-OpenSSH_9.2\r\n", "no QMP" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *rig = rig_new();

        command_full(rig, "c", NULL, -1, 0, ERROR_CLASS_GENERIC);
        peer_say(rig, cases[i].says);
        g_assert_nonnull(strstr(rig->log->str, cases[i].reason));
        g_assert_true(g_str_has_prefix(rig->log->str, "c!"));
        rig_free(rig);
    }
}

static void test_refused_capabilities(void)
{
    Rig *rig = rig_new();

    command(rig, "c");
    peer_say(rig, GREETING);
    peer_serve(rig, "qmp_capabilities", "\"error\": {\"class\": \"GenericError\", \"desc\": \"never\"}");
    g_assert_cmpstr(rig->log->str, ==, "c!the peer refuses qmp_capabilities: never;"
                                       "closed the peer refuses qmp_capabilities: never;");
    rig_free(rig);
}

/* It answers what it cannot have read, since it does not read. */
static void test_answer_ahead_of_the_command(void)
{
    Rig *rig = rig_ready();
    JsonObject *args = json_object_new();
    g_autofree char *big = g_strnfill(1000 * 1000, 'x');

    json_object_set_string_member(args, "big", big);
    command_full(rig, "c", args, -1, 0, ERROR_CLASS_GENERIC);
    settle();
    peer_say(rig, "{\"return\": {}, \"id\": \"mpqemu-2\"}");
    g_assert_cmpstr(rig->log->str, ==, "c!the peer answered a command that it had not got yet;"
                                       "closed the peer answered a command that it had not got yet;");
    rig_free(rig);
}

static void test_text_without_end(void)
{
    Rig *rig = rig_ready();
    g_autofree char *piece = g_strnfill(4096, 'x');
    uint64_t received, sent;

    command(rig, "c");
    peer_say(rig, "{\"event\": \"");
    for (unsigned i = 0; !strstr(rig->log->str, "closed"); i++) {
        g_assert_cmpuint(i, <=, JSON_STREAM_MAX / 4096);
        peer_say(rig, piece);
    }
    g_assert_nonnull(strstr(rig->log->str, "longer than"));
    qmp_client_counters(rig->client, &received, &sent);
    g_assert_cmpuint(received, <=, JSON_STREAM_MAX + 16 * 1024);
    rig_free(rig);
}

static void test_nesting_without_end(void)
{
    Rig *rig = rig_ready();
    g_autofree char *brackets = g_strnfill(4096, '[');

    peer_say(rig, "{\"return\": ");
    peer_say(rig, brackets);
    g_assert_nonnull(strstr(rig->log->str, "nests deeper"));
    rig_free(rig);
}

/* The main loop's other work goes on while a peer floods it, and memory does not grow. */
static void test_flood_takes_a_share_of_each_turn(void)
{
    Rig *rig = rig_ready();
    g_autoptr(GString) flood = g_string_new(NULL);
    ssize_t said;
    unsigned turns = 0;

    for (int i = 0; i < 2000; i++) {
        g_string_append(flood, "{\"event\":\"E\"}");
    }
    said = send(rig->peer, flood->str, flood->len, MSG_DONTWAIT);
    g_assert_cmpint(said, >, 100 * 13);
    for (;; turns++) {
        int before = rig->events;

        if (!event_loop_turn(event_loop_main(), false)) {
            break;
        }
        g_assert_cmpint(rig->events - before, <=, 64);
    }
    g_assert_cmpint(rig->events, ==, (int)(said / 13));
    g_assert_cmpuint(turns, >=, said / 13 / 64);
    rig_free(rig);
}

static void test_descriptors_of_the_peer_are_closed(void)
{
    Rig *rig = rig_ready();
    const char *event = "{\"event\": \"E\"}";
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int next = dup(null);
    int fds[2] = { null, null };

    close(next);
    g_assert_cmpint(fd_socket_send(rig->peer, event, strlen(event), fds, 2, 0), ==, (ssize_t)strlen(event));
    settle();
    g_assert_cmpstr(rig->log->str, ==, "event E -1;");
    g_assert_cmpint(dup(null), ==, next);
    close(next);
    close(null);
    rig_free(rig);
}

static void test_not_a_stream_socket(void)
{
    g_autoptr(GError) err = NULL;
    int fds[2];

    g_assert_null(qmp_client_new_take_fd(open("/dev/null", O_RDWR | O_CLOEXEC), &rig_ops, NULL, &err));
    g_assert_nonnull(strstr(err->message, "is a character device, but"));
    g_clear_error(&err);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), ==, 0);
    g_assert_null(qmp_client_new_take_fd(fds[0], &rig_ops, NULL, &err));
    g_assert_nonnull(err);
    g_assert_cmpint(fcntl(fds[0], F_GETFD), ==, -1); /* taken */
    close(fds[1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-hostile/hostile-texts", test_hostile_texts);
    g_test_add_func("/qmp-hostile/hostile-beginnings", test_hostile_beginnings);
    g_test_add_func("/qmp-hostile/refused-capabilities", test_refused_capabilities);
    g_test_add_func("/qmp-hostile/answer-ahead-of-the-command", test_answer_ahead_of_the_command);
    g_test_add_func("/qmp-hostile/text-without-end", test_text_without_end);
    g_test_add_func("/qmp-hostile/nesting-without-end", test_nesting_without_end);
    g_test_add_func("/qmp-hostile/flood-takes-a-share-of-each-turn", test_flood_takes_a_share_of_each_turn);
    g_test_add_func("/qmp-hostile/descriptors-of-the-peer-are-closed", test_descriptors_of_the_peer_are_closed);
    g_test_add_func("/qmp-hostile/not-a-stream-socket", test_not_a_stream_socket);
    return g_test_run();
}
