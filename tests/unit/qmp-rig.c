/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of io/qmp-client.c: a client whose callbacks are written down, and its peer.
 *
 * Runs in: tests.
 */
#include <string.h>
#include <sys/socket.h>

#include "io/fd-socket.h"
#include "qmp-rig.h"
#include "util/fd.h"

/* The opaque of a command: its name in the log. */
typedef struct Tag {
    Rig *rig;
    const char *name;
    ErrorClass error_class;
} Tag;

static void on_ready(QmpClient *client, void *opaque)
{
    Rig *rig = opaque;

    g_assert_true(qmp_client_is_ready(client));
    g_string_append(rig->log, "ready;");
}

static void on_event(QmpClient *client, const char *name, JsonObject *data, void *opaque)
{
    Rig *rig = opaque;

    rig->events++;
    if (rig->events <= 3) {
        g_string_append_printf(rig->log, "event %s %d;", name, data ? (int)json_object_get_size(data) : -1);
    }
    if (rig->free_in_event) {
        qmp_client_free(g_steal_pointer(&rig->client));
    }
}

static void on_closed(QmpClient *client, const char *reason, void *opaque)
{
    Rig *rig = opaque;

    g_assert_false(qmp_client_is_ready(client));
    g_string_append_printf(rig->log, "closed %s;", reason);
    if (rig->free_in_closed) {
        qmp_client_free(g_steal_pointer(&rig->client));
    }
}

const QmpClientOps rig_ops = { .ready = on_ready, .event = on_event, .closed = on_closed };

static void on_done(JsonNode *value, const GError *err, void *opaque)
{
    g_autofree Tag *tag = opaque;
    Rig *rig = tag->rig;

    g_assert_true(!value != !err);
    if (err) {
        g_assert_true(err->domain == MPQEMU_ERROR);
        g_assert_cmpint(err->code, ==, tag->error_class);
        g_string_append_printf(rig->log, "%s!%s;", tag->name, err->message);
    } else {
        g_autofree char *text = json_to_string(value, FALSE);

        g_string_append_printf(rig->log, "%s=%s;", tag->name, text);
    }
    if (rig->chain) {
        Tag *next = g_new(Tag, 1);

        rig->chain--;
        *next = (Tag) { .rig = rig, .name = "chained" };
        qmp_client_command(rig->client, "chained", NULL, -1, 0, on_done, next);
    }
    if (rig->free_in_done) {
        rig->free_in_done = false;
        qmp_client_free(g_steal_pointer(&rig->client));
    }
}

void command_full(Rig *rig, const char *name, JsonObject *args, int fd, unsigned limit_ms,
                         ErrorClass error_class)
{
    Tag *tag = g_new(Tag, 1);
    g_autofree char *before = g_strdup(rig->log->str);

    *tag = (Tag) { .rig = rig, .name = name, .error_class = error_class };
    qmp_client_command(rig->client, name, args, fd, limit_ms, on_done, tag);
    g_assert_cmpstr(rig->log->str, ==, before); /* never inside the call */
}

void command(Rig *rig, const char *name)
{
    command_full(rig, name, NULL, -1, 0, ERROR_CLASS_GENERIC);
}

Rig *rig_new(void)
{
    Rig *rig = g_new0(Rig, 1);
    g_autoptr(GError) err = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    rig->got = g_string_new(NULL);
    rig->log = g_string_new(NULL);
    rig->peer = fds[1];
    rig->client = qmp_client_new_take_fd(fds[0], &rig_ops, rig, &err);
    g_assert_no_error(err);
    g_assert_nonnull(rig->client);
    g_assert_false(qmp_client_is_ready(rig->client));
    return rig;
}

void rig_free(Rig *rig)
{
    qmp_client_free(rig->client);
    fd_close(&rig->peer);
    g_string_free(rig->got, TRUE);
    g_string_free(rig->log, TRUE);
    g_free(rig);
}

void settle(void)
{
    while (event_loop_turn(event_loop_main(), false)) {
    }
}

void peer_read(Rig *rig)
{
    char bytes[4096];
    FdSet fds;
    ssize_t n;

    while ((n = fd_socket_receive(rig->peer, bytes, sizeof(bytes), &fds, MSG_DONTWAIT)) > 0) {
        g_string_append_len(rig->got, bytes, n);
        rig->got_fds += fds.num;
        fd_set_drop(&fds);
    }
}

void peer_say(Rig *rig, const char *text)
{
    g_assert_cmpint(send(rig->peer, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
    settle();
}

char *peer_expect(Rig *rig, const char *name)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) err = NULL;
    JsonObject *object;
    char *end;

    while (!(end = strchr(rig->got->str, '\n'))) {
        settle();
        peer_read(rig);
    }
    json_parser_load_from_data(parser, rig->got->str, end - rig->got->str, &err);
    g_assert_no_error(err);
    g_string_erase(rig->got, 0, end - rig->got->str + 1);
    object = json_node_get_object(json_parser_get_root(parser));
    g_assert_cmpstr(json_object_get_string_member(object, "execute"), ==, name);
    return g_strdup(json_object_get_string_member(object, "id"));
}

void peer_answer(Rig *rig, const char *id, const char *member)
{
    g_autofree char *text = g_strdup_printf("{\"id\": \"%s\", %s}\n", id, member);

    peer_say(rig, text);
}

void peer_serve(Rig *rig, const char *name, const char *member)
{
    g_autofree char *id = peer_expect(rig, name);

    peer_answer(rig, id, member);
}

void assert_peer_got_nothing(Rig *rig)
{
    settle();
    peer_read(rig);
    g_assert_cmpstr(rig->got->str, ==, "");
}

Rig *rig_ready(void)
{
    Rig *rig = rig_new();

    peer_say(rig, GREETING);
    peer_serve(rig, "qmp_capabilities", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "ready;");
    g_string_truncate(rig->log, 0);
    return rig;
}

void wait_log(Rig *rig, const char *text)
{
    while (!strstr(rig->log->str, text)) {
        event_loop_turn(event_loop_main(), true);
    }
}
