/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP sessions over a socketpair in one process, with handlers that take time: order, out of band, clients that vanish,
 * bounds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/monitor-int.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* ---- handlers under test --------------------------------------------------------------------- */

/* Calls under way, in order of their start; the schema's rdevice_del stands for "takes time". */
static GPtrArray *calls;
static unsigned started;
static bool finish_inside;

static bool takes_time(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    started++;
    qmp_call_defer(call);
    if (finish_inside) {
        qmp_call_finish(call, NULL, NULL);
    } else {
        g_ptr_array_add(calls, call);
    }
    return true;
}

/* The schema allows it out of band, so it must not take time. */
static bool takes_time_out_of_band(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return takes_time(call, args, ret_value, errp);
}

/* Does not fit the schema: an array. */
static bool answers_nonsense(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    *ret_value = json_node_init_int(json_node_alloc(), 7);
    return true;
}

static bool fails_by_class(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    error_set(errp, ERROR_CLASS_DEVICE_NOT_ACTIVE, "%s", json_object_get_string_member(args, "id"));
    return false;
}

/* device_del: with id "keep" holds the descriptor that came. */
static int kept_fd = -1;

static bool keeps_fd(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    kept_fd = qmp_call_take_fd(call);
    return takes_time(call, args, ret_value, errp);
}

static const QmpCommandImpl impls[] = {
    { "rdevice_del", takes_time },
    { "query-remote", takes_time_out_of_band },
    { "query-block", answers_nonsense },
    { "device_del", fails_by_class },
    { "object-del", keeps_fd },
    { NULL },
};

static void finish_next(const char *error)
{
    QmpCall *call = g_ptr_array_index(calls, 0);
    GError *err = NULL;

    g_ptr_array_remove_index(calls, 0);
    if (error) {
        error_setg(&err, "%s", error);
    }
    qmp_call_finish(call, NULL, err);
}

/* ---- a client -------------------------------------------------------------------------------- */

typedef struct Client {
    int fd;
    GString *input; /* received, not taken */
} Client;

static void turn(void)
{
    for (int i = 0; i < 20; i++) {
        event_loop_turn(event_loop_main(), false);
    }
}

static void client_send(Client *client, const char *text)
{
    g_assert_cmpint(send(client->fd, text, strlen(text), MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
    turn();
}

/* The next line, without its end; "" when there is none. */
static char *client_line(Client *client)
{
    char *end, *line;

    turn();
    for (;;) {
        char data[4096];
        ssize_t n = recv(client->fd, data, sizeof(data), MSG_DONTWAIT);

        if (n <= 0) {
            break;
        }
        g_string_append_len(client->input, data, n);
        turn();
    }
    end = strstr(client->input->str, "\r\n");
    if (!end) {
        return g_strdup("");
    }
    line = g_strndup(client->input->str, (size_t)(end - client->input->str));
    g_string_erase(client->input, 0, end - client->input->str + 2);
    return line;
}

static void expect(Client *client, const char *wanted)
{
    g_autofree char *line = client_line(client);

    g_assert_cmpstr(line, ==, wanted);
}

static void expect_part(Client *client, const char *part)
{
    g_autofree char *line = client_line(client);

    if (!strstr(line, part)) {
        g_error("'%s' does not contain '%s'", line, part);
    }
}

static Client *client_new(const char *capabilities)
{
    Client *client = g_new0(Client, 1);
    g_autoptr(GError) err = NULL;
    MonitorStream *stream;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    client->fd = fds[0];
    client->input = g_string_new(NULL);
    stream = monitor_stream_new_take_fd(fds[1], NULL, NULL, &err);
    g_assert_no_error(err);
    qmp_session_open(stream, false);
    expect_part(client, "{\"QMP\":{\"version\":{\"qemu\":{\"major\":");
    if (capabilities) {
        g_autofree char *text = g_strdup_printf("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[%s]}}",
                                                capabilities);

        client_send(client, text);
        expect(client, "{\"return\":{}}");
    }
    return client;
}

static void client_free(Client *client)
{
    fd_close(&client->fd);
    turn();
    g_string_free(client->input, TRUE);
    g_free(client);
}

static void send_with_fd(Client *client, const char *text, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec iov = { (void *)text, strlen(text) };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    g_assert_cmpint(sendmsg(client->fd, &mh, MSG_NOSIGNAL), ==, (ssize_t)strlen(text));
    turn();
}

#define SLOW(id) "{\"execute\":\"rdevice_del\",\"arguments\":{\"id\":\"x\"},\"id\":" #id "}"
#define FAST(id) "{\"execute\":\"query-name\",\"id\":" #id "}"

/* ---- order ----------------------------------------------------------------------------------- */

static void test_answers_come_in_order(void)
{
    Client *client = client_new("");

    client_send(client, FAST(1) SLOW(2) FAST(3) "{bad}" SLOW(4) FAST(5));
    expect(client, "{\"return\":{},\"id\":1}");
    expect(client, "");
    g_assert_cmpuint(started, ==, 1);
    finish_next(NULL);
    expect(client, "{\"return\":{},\"id\":2}");
    expect(client, "{\"return\":{},\"id\":3}");
    expect_part(client, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"JSON parse error");
    expect(client, "");
    g_assert_cmpuint(started, ==, 2);
    finish_next("no \"luck\"");
    expect(client, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no \\\"luck\\\"\"},\"id\":4}");
    expect(client, "{\"return\":{},\"id\":5}");
    expect(client, "");
    client_free(client);
}

static void test_sessions_do_not_wait_for_each_other(void)
{
    Client *slow = client_new(""), *fast = client_new("");

    client_send(slow, SLOW(1));
    client_send(fast, FAST(1) SLOW(2));
    expect(fast, "{\"return\":{},\"id\":1}");
    g_assert_cmpuint(calls->len, ==, 2);
    finish_next(NULL);
    expect(slow, "{\"return\":{},\"id\":1}");
    expect(fast, "");
    finish_next(NULL);
    expect(fast, "{\"return\":{},\"id\":2}");
    client_free(slow);
    client_free(fast);
}

static void test_finish_inside_the_handler(void)
{
    Client *client = client_new("");

    finish_inside = true;
    client_send(client, SLOW(1) FAST(2));
    finish_inside = false;
    expect(client, "{\"return\":{},\"id\":1}");
    expect(client, "{\"return\":{},\"id\":2}");
    client_free(client);
}

static void test_out_of_band_overtakes(void)
{
    Client *client = client_new("\"oob\"");

    client_send(client, SLOW(1) FAST(2) "{\"exec-oob\":\"query-status\",\"id\":3}{\"exec-oob\":\"stop\",\"id\":4}");
    expect_part(client, "\"status\":\"prelaunch\"},\"id\":3}");
    expect(client, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"The command stop does not support "
                   "OOB\"},\"id\":4}");
    expect(client, "");
    finish_next(NULL);
    expect(client, "{\"return\":{},\"id\":1}");
    expect(client, "{\"return\":{},\"id\":2}");
    client_free(client);
}

static void test_out_of_band_must_not_take_time(void)
{
    Client *client = client_new("\"oob\"");

    client_send(client, "{\"exec-oob\":\"query-remote\",\"id\":1}");
    expect(client, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"The command query-remote takes longer than a "
                   "command out of band may\"},\"id\":1}");
    finish_next(NULL);
    expect(client, "");
    client_free(client);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_client_vanishes_while_its_command_runs(void)
{
    for (int half = 0; half < 2; half++) {
        Client *client = client_new("");

        started = 0;
        client_send(client, SLOW(1) SLOW(2) FAST(3));
        if (half) {
            shutdown(client->fd, SHUT_WR);
            turn();
            finish_next(NULL);
            turn();
            g_assert_cmpuint(started, ==, 2); /* it still wants to know */
            finish_next(NULL);
            expect(client, "{\"return\":{},\"id\":1}");
            expect(client, "{\"return\":{},\"id\":2}");
            expect(client, "{\"return\":{},\"id\":3}");
            g_assert_cmpint(recv(client->fd, &(char){ 0 }, 1, MSG_DONTWAIT), ==, 0);
            client_free(client);
        } else {
            client_free(client);
            finish_next("nobody hears");
            turn();
            g_assert_cmpuint(started, ==, 1); /* what waited is not begun */
        }
        g_assert_cmpuint(calls->len, ==, 0);
    }
}

static void test_end_of_the_program_while_a_command_runs(void)
{
    Client *client = client_new("");

    client_send(client, SLOW(1) FAST(2));
    qmp_sessions_stop();
    finish_next(NULL);
    turn();
    g_assert_cmpint(recv(client->fd, &(char){ 0 }, 1, MSG_DONTWAIT), ==, 0);
    client_free(client);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void test_commands_behind_a_slow_one_are_left_unread(void)
{
    Client *client = client_new("\"oob\"");
    unsigned sent = 0, answered = 0;

    client_send(client, SLOW(0));
    while (send(client->fd, FAST(1), strlen(FAST(1)), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)strlen(FAST(1))) {
        sent++;
        turn();
        g_assert_cmpuint(sent, <, 1000000);
    }
    finish_next(NULL);
    expect(client, "{\"return\":{},\"id\":0}");
    for (;;) {
        g_autofree char *line = client_line(client);

        if (!*line) {
            break;
        }
        answered++;
    }
    g_assert_cmpuint(answered, >=, sent);
    client_free(client);
}

static void test_descriptor_lives_as_long_as_its_command(void)
{
    Client *client = client_new("");
    int pipe_fds[2], second[2];

    g_assert_cmpint(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), ==, 0);
    g_assert_cmpint(pipe2(second, O_CLOEXEC | O_NONBLOCK), ==, 0);
    send_with_fd(client, SLOW(1), pipe_fds[1]);
    fd_close(&pipe_fds[1]);
    g_assert_cmpint(read(pipe_fds[0], &(char){ 0 }, 1), ==, -1); /* open: it belongs to the command that runs */
    send_with_fd(client, "{\"execute\":\"object-del\",\"arguments\":{\"id\":\"x\"},\"id\":2}", second[1]);
    fd_close(&second[1]);
    finish_next(NULL);
    expect(client, "{\"return\":{},\"id\":1}");
    g_assert_cmpint(read(pipe_fds[0], &(char){ 0 }, 1), ==, 0);
    g_assert_cmpint(kept_fd, >=, 0);
    g_assert_cmpint(fcntl(kept_fd, F_GETFD), ==, FD_CLOEXEC);
    finish_next(NULL);
    expect(client, "{\"return\":{},\"id\":2}");
    g_assert_cmpint(read(second[0], &(char){ 0 }, 1), ==, -1); /* who took it has it */
    fd_close(&kept_fd);
    g_assert_cmpint(read(second[0], &(char){ 0 }, 1), ==, 0);
    fd_close(&pipe_fds[0]);
    fd_close(&second[0]);
    client_free(client);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void test_error_classes(void)
{
    Client *client = client_new("");

    client_send(client, "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"d\"}}");
    expect(client, "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"d\"}}");
    client_free(client);
}

static void test_answer_beyond_the_schema_is_kept_back(void)
{
    Client *client = client_new("");

    client_send(client, "{\"execute\":\"query-block\"}");
    expect_part(client, "\"desc\":\"internal error: the answer of query-block does not fit the schema");
    client_free(client);
}

static void note_end(JsonNode *value, const GError *err, void *opaque)
{
    *(char **)opaque = err ? g_strdup(err->message) : json_to_string(value, FALSE);
}

static void test_dispatch_without_a_session(void)
{
    g_autofree char *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    g_autoptr(JsonObject) args = json_object_new();

    qmp_dispatch("nosuch", NULL, note_end, &a);
    g_assert_cmpstr(a, ==, "The command nosuch has not been found");
    qmp_dispatch("rdevice_del", NULL, note_end, &b);
    g_assert_cmpstr(b, ==, "Parameter 'id' is missing");
    json_object_set_string_member(args, "id", "x");
    qmp_dispatch("rdevice_del", args, note_end, &c);
    g_assert_null(c);
    finish_next(NULL);
    g_assert_cmpstr(c, ==, "{}");
    qmp_dispatch("qmp_capabilities", NULL, note_end, &d);
    g_assert_cmpstr(d, ==, "qmp_capabilities is for QMP sessions only");
    g_assert_true(qmp_has_command("stop"));
    g_assert_false(qmp_has_command("blockdev-add"));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void *emit_from_a_thread(void *opaque)
{
    qapi_event_emit("STOP", NULL);
    qapi_event_emit("RESUME", NULL);
    return NULL;
}

static void test_events_of_other_threads_keep_their_order(void)
{
    Client *client = client_new("");
    pthread_t thread;

    pthread_create(&thread, NULL, emit_from_a_thread, NULL);
    pthread_join(thread, NULL);
    qapi_event_emit("STOP", NULL);
    expect_part(client, "\"event\":\"STOP\"");
    expect_part(client, "\"event\":\"RESUME\"");
    expect_part(client, "\"event\":\"STOP\"");
    expect(client, "");
    client_free(client);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    calls = g_ptr_array_new();
    monitor_init();
    qmp_register(impls);
    monitor_events_start();
    g_test_add_func("/monitor/answers-come-in-order", test_answers_come_in_order);
    g_test_add_func("/monitor/sessions-do-not-wait-for-each-other", test_sessions_do_not_wait_for_each_other);
    g_test_add_func("/monitor/finish-inside-the-handler", test_finish_inside_the_handler);
    g_test_add_func("/monitor/out-of-band-overtakes", test_out_of_band_overtakes);
    g_test_add_func("/monitor/out-of-band-must-not-take-time", test_out_of_band_must_not_take_time);
    g_test_add_func("/monitor/client-vanishes-while-its-command-runs", test_client_vanishes_while_its_command_runs);
    g_test_add_func("/monitor/end-of-the-program-while-a-command-runs", test_end_of_the_program_while_a_command_runs);
    g_test_add_func("/monitor/commands-behind-a-slow-one-are-left-unread",
                    test_commands_behind_a_slow_one_are_left_unread);
    g_test_add_func("/monitor/descriptor-lives-as-long-as-its-command", test_descriptor_lives_as_long_as_its_command);
    g_test_add_func("/monitor/error-classes", test_error_classes);
    g_test_add_func("/monitor/answer-beyond-the-schema-is-kept-back", test_answer_beyond_the_schema_is_kept_back);
    g_test_add_func("/monitor/dispatch-without-a-session", test_dispatch_without_a_session);
    g_test_add_func("/monitor/events-of-other-threads-keep-their-order", test_events_of_other_threads_keep_their_order);
    status = g_test_run();
    qmp_sessions_stop();
    monitor_events_stop();
    event_loop_free(event_loop_main());
    g_ptr_array_unref(calls);
    return status;
}
