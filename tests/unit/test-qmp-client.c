/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of io/qmp-client.c: an honest peer, ends, limits; stock QEMU's monitor.
 *
 * Runs in: neither program.
 */
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qmp-rig.h"
#include "util/fd.h"

/* ---- the honest peer ------------------------------------------------------------------------------ */

static void test_commands_wait_for_the_greeting(void)
{
    Rig *rig = rig_new();

    command(rig, "stop");
    command(rig, "cont");
    assert_peer_got_nothing(rig);
    peer_say(rig, GREETING);
    peer_serve(rig, "qmp_capabilities", "\"return\": {}");
    peer_serve(rig, "stop", "\"return\": {\"a\": 1}");
    peer_serve(rig, "cont", "\"return\": []");
    g_assert_cmpstr(rig->log->str, ==, "ready;stop={\"a\":1};cont=[];");
    rig_free(rig);
}

static void test_one_command_at_a_time(void)
{
    Rig *rig = rig_ready();
    g_autofree char *id = NULL;

    command(rig, "a");
    command(rig, "b");
    id = peer_expect(rig, "a");
    assert_peer_got_nothing(rig);
    peer_answer(rig, id, "\"return\": {}");
    peer_serve(rig, "b", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "a={};b={};");
    rig_free(rig);
}

static void test_arguments_and_descriptor_arrive(void)
{
    Rig *rig = rig_ready();
    JsonObject *args = json_object_new();
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    json_object_set_string_member(args, "fdname", "x\n\"\xc3\xa4");
    command_full(rig, "getfd", args, fd, 0, ERROR_CLASS_GENERIC);
    fd_close(&fd);
    settle();
    peer_read(rig);
    g_assert_cmpuint(rig->got_fds, ==, 1);
    g_assert_nonnull(strstr(rig->got->str, "\"arguments\":{\"fdname\":\"x\\n\\\"\xc3\xa4\"}"));
    peer_serve(rig, "getfd", "\"return\": {}");
    command(rig, "plain");
    peer_serve(rig, "plain", "\"return\": {}");
    g_assert_cmpuint(rig->got_fds, ==, 1);
    g_assert_cmpstr(rig->log->str, ==, "getfd={};plain={};");
    rig_free(rig);
}

static void test_errors_keep_words_and_class(void)
{
    static const struct {
        const char *error;
        ErrorClass error_class;
    } cases[] = {
        { "\"class\": \"GenericError\", \"desc\": \"D %s 'x'\"", ERROR_CLASS_GENERIC },
        { "\"class\": \"CommandNotFound\", \"desc\": \"D %s 'x'\"", ERROR_CLASS_COMMAND_NOT_FOUND },
        { "\"class\": \"DeviceNotFound\", \"desc\": \"D %s 'x'\"", ERROR_CLASS_DEVICE_NOT_FOUND },
        { "\"class\": \"DeviceNotActive\", \"desc\": \"D %s 'x'\"", ERROR_CLASS_DEVICE_NOT_ACTIVE },
        { "\"class\": \"KVMMissingCap\", \"desc\": \"D %s 'x'\"", ERROR_CLASS_GENERIC },
        { "\"class\": 7, \"desc\": \"D %s 'x'\"", ERROR_CLASS_GENERIC },
        { "\"desc\": \"D %s 'x'\"", ERROR_CLASS_GENERIC },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *rig = rig_ready();
        g_autofree char *member = g_strconcat("\"error\": {", cases[i].error, "}", NULL);

        command_full(rig, "c", NULL, -1, 0, cases[i].error_class);
        peer_serve(rig, "c", member);
        g_assert_cmpstr(rig->log->str, ==, "c!D %s 'x';");
        g_assert_true(qmp_client_is_ready(rig->client));
        rig_free(rig);
    }
}

static void test_events_come_through(void)
{
    Rig *rig = rig_ready();

    command(rig, "c");
    peer_say(rig, "{\"event\": \"A\", \"data\": {\"x\": 1, \"y\": 2}, \"timestamp\": {\"seconds\": 1}}");
    peer_say(rig, "{\"event\": \"B\"}{\"ev");
    g_assert_cmpstr(rig->log->str, ==, "event A 2;event B -1;");
    peer_say(rig, "ent\": \"C\", \"timestamp\": 5}");
    peer_serve(rig, "c", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "event A 2;event B -1;event C -1;c={};");
    rig_free(rig);
}

static void test_callback_issues_the_next_command(void)
{
    Rig *rig = rig_ready();

    rig->chain = 2;
    command(rig, "a");
    peer_serve(rig, "a", "\"return\": {}");
    peer_serve(rig, "chained", "\"return\": {}");
    peer_serve(rig, "chained", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "a={};chained={};chained={};");
    rig_free(rig);
}

static void test_counters(void)
{
    Rig *rig = rig_new();
    uint64_t received, sent;

    qmp_client_counters(rig->client, &received, &sent);
    g_assert_cmpuint(received + sent, ==, 0);
    peer_say(rig, GREETING);
    peer_read(rig);
    qmp_client_counters(rig->client, &received, &sent);
    g_assert_cmpuint(received, ==, strlen(GREETING));
    g_assert_cmpuint(sent, ==, rig->got->len);
    rig_free(rig);
}

/* A peer that does not read: nothing waits, and all arrives when it reads. */
static void test_big_command_is_sent_in_pieces(void)
{
    Rig *rig = rig_ready();
    JsonObject *args = json_object_new();
    g_autofree char *big = g_strnfill(1000 * 1000, 'x');
    int small = 4096;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    g_assert_cmpint(setsockopt(rig->peer, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), ==, 0);
    json_object_set_string_member(args, "big", big);
    command_full(rig, "c", args, fd, 0, ERROR_CLASS_GENERIC);
    fd_close(&fd);
    settle();
    peer_serve(rig, "c", "\"return\": {}");
    g_assert_cmpuint(rig->got_fds, ==, 1);
    g_assert_cmpstr(rig->log->str, ==, "c={};");
    rig_free(rig);
}

/* ---- heartbeat ------------------------------------------------------------------------------------ */

static void test_ping_overtakes_what_waits(void)
{
    Rig *rig = rig_ready();
    int64_t silent;
    g_autofree char *a = NULL;
    g_autofree char *ping = NULL;

    command(rig, "a");
    command(rig, "b");
    a = peer_expect(rig, "a");
    qmp_client_ping(rig->client, &silent);
    qmp_client_ping(rig->client, &silent); /* one is unanswered: not another */
    ping = peer_expect(rig, "query-status");
    assert_peer_got_nothing(rig);
    peer_answer(rig, a, "\"return\": {}");
    peer_answer(rig, ping, "\"return\": {\"status\": \"running\"}");
    peer_serve(rig, "b", "\"return\": {}");
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, ==, 0);
    peer_serve(rig, "query-status", "\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}");
    g_assert_cmpstr(rig->log->str, ==, "a={};b={};");
    g_assert_true(qmp_client_is_ready(rig->client));
    rig_free(rig);
}

static void sleep_ms(unsigned ms)
{
    g_usleep(ms * 1000);
}

static void test_ping_tells_silence(void)
{
    Rig *rig = rig_ready();
    int64_t silent;

    sleep_ms(5);
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, ==, 0); /* it owed nothing */
    settle();
    sleep_ms(20);
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, >=, 20);
    sleep_ms(20);
    peer_say(rig, " "); /* half a sign of life */
    qmp_client_ping(rig->client, &silent);
    sleep_ms(10);
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, >=, 10);
    peer_serve(rig, "query-status", "\"return\": {}");
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, ==, 0);
    rig_free(rig);
}

static void test_ping_tells_a_missing_greeting(void)
{
    Rig *rig = rig_new();
    int64_t silent;

    sleep_ms(10);
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, >=, 10);
    assert_peer_got_nothing(rig);
    fd_close(&rig->peer);
    settle();
    qmp_client_ping(rig->client, &silent);
    g_assert_cmpint(silent, ==, 0);
    rig_free(rig);
}

/* ---- limits --------------------------------------------------------------------------------------- */

static void test_limit_closes(void)
{
    Rig *rig = rig_ready();

    command_full(rig, "a", NULL, -1, 20, ERROR_CLASS_GENERIC);
    command(rig, "b");
    wait_log(rig, "closed");
    g_assert_cmpstr(rig->log->str, ==, "a!the peer has not answered within 20 ms;"
                                       "b!the peer has not answered within 20 ms;"
                                       "closed the peer has not answered within 20 ms;");
    rig_free(rig);
}

/* Events are no answer. */
static void test_limit_closes_in_a_flood_of_events(void)
{
    Rig *rig = rig_ready();

    command_full(rig, "a", NULL, -1, 20, ERROR_CLASS_GENERIC);
    while (!strstr(rig->log->str, "closed")) {
        const char *event = "{\"event\": \"E\"}\n";

        (void)!send(rig->peer, event, strlen(event), MSG_DONTWAIT | MSG_NOSIGNAL);
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_nonnull(strstr(rig->log->str, "a!the peer has not answered"));
    rig_free(rig);
}

static void test_limit_counts_from_the_turn(void)
{
    Rig *rig = rig_ready();
    g_autofree char *id = NULL;

    command(rig, "a");
    command_full(rig, "b", NULL, -1, 60000, ERROR_CLASS_GENERIC);
    id = peer_expect(rig, "a");
    sleep_ms(5);
    peer_answer(rig, id, "\"return\": {}");
    peer_serve(rig, "b", "\"return\": {}");
    /* No timer is left. */
    command(rig, "c");
    peer_serve(rig, "c", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "a={};b={};c={};");
    rig_free(rig);
}

static void test_queue_has_a_limit(void)
{
    Rig *rig = rig_ready();

    command(rig, "first");
    settle();
    for (int i = 1; i < QMP_CLIENT_QUEUE_MAX; i++) {
        command(rig, "x");
    }
    settle();
    g_assert_cmpstr(rig->log->str, ==, "");
    command(rig, "more");
    settle();
    g_assert_cmpstr(rig->log->str, ==, "more!256 commands wait for the peer's answers; wait, or restart it;");
    g_string_truncate(rig->log, 0);
    peer_serve(rig, "first", "\"return\": {}");
    command(rig, "again");
    settle();
    g_assert_cmpstr(rig->log->str, ==, "first={};");
    rig_free(rig);
}

static void test_descriptor_that_is_not_open(void)
{
    Rig *rig = rig_ready();

    command_full(rig, "c", NULL, 9999, 0, ERROR_CLASS_GENERIC);
    settle();
    g_assert_nonnull(strstr(rig->log->str, "c!descriptor 9999 cannot be duplicated"));
    g_assert_true(qmp_client_is_ready(rig->client));
    rig_free(rig);
}

/* The kernel passes no descriptor of an io_uring (from Linux 6.7 on). */
static void test_descriptor_that_cannot_be_passed(void)
{
    Rig *rig = rig_ready();
    struct io_uring ring;
    const char *failed = "a!cannot send the command: Invalid argument;";

    if (io_uring_queue_init(1, &ring, 0) < 0) {
        g_test_skip("no io_uring");
        rig_free(rig);
        return;
    }
    command_full(rig, "a", NULL, ring.ring_fd, 60000, ERROR_CLASS_GENERIC);
    command(rig, "b");
    settle();
    if (!g_str_has_prefix(rig->log->str, failed)) {
        peer_serve(rig, "a", "\"return\": {}");
        failed = "a={};";
    }
    peer_serve(rig, "b", "\"return\": {}");
    g_assert_true(g_str_has_prefix(rig->log->str, failed));
    g_assert_cmpstr(rig->log->str + strlen(failed), ==, "b={};");
    io_uring_queue_exit(&ring);
    rig_free(rig);
}

/* ---- ends ----------------------------------------------------------------------------------------- */

static void test_peer_closes(void)
{
    Rig *rig = rig_ready();

    command(rig, "a");
    command(rig, "b");
    settle();
    fd_close(&rig->peer);
    settle();
    g_assert_cmpstr(rig->log->str, ==, "a!the peer closed the connection;b!the peer closed the connection;"
                                       "closed the peer closed the connection;");
    command(rig, "late");
    settle();
    g_assert_nonnull(strstr(rig->log->str, "late!the peer closed the connection;"));
    rig_free(rig);
}

/* As quit: the last answer is not lost, though a command that follows cannot be sent any more. */
static void test_last_words_are_heard(void)
{
    Rig *rig = rig_ready();
    g_autofree char *id = NULL;
    g_autofree char *text = NULL;

    command(rig, "quit");
    id = peer_expect(rig, "quit");
    text = g_strdup_printf("{\"event\": \"SHUTDOWN\"}{\"return\": {}, \"id\": \"%s\"}", id);
    g_assert_cmpint(send(rig->peer, text, strlen(text), 0), ==, (ssize_t)strlen(text));
    fd_close(&rig->peer);
    qmp_client_ping(rig->client, &(int64_t) { 0 });
    command(rig, "b");
    settle();
    g_assert_true(g_str_has_prefix(rig->log->str, "event SHUTDOWN -1;quit={};b!"));
    g_assert_nonnull(strstr(rig->log->str, "closed "));
    rig_free(rig);
}

static void test_peer_shuts_down_its_reading(void)
{
    Rig *rig = rig_ready();

    g_assert_cmpint(shutdown(rig->peer, SHUT_RD), ==, 0);
    command(rig, "a");
    settle();
    g_assert_cmpstr(rig->log->str, ==, "a!cannot send to the peer: Broken pipe;"
                                       "closed cannot send to the peer: Broken pipe;");
    rig_free(rig);
}

static void test_peer_shuts_down_its_writing(void)
{
    Rig *rig = rig_ready();

    g_assert_cmpint(shutdown(rig->peer, SHUT_WR), ==, 0);
    settle();
    g_assert_cmpstr(rig->log->str, ==, "closed the peer closed the connection;");
    rig_free(rig);
}

static void test_free_fails_commands(void)
{
    Rig *rig = rig_ready();

    command(rig, "a");
    settle();
    command(rig, "b");
    qmp_client_ping(rig->client, &(int64_t) { 0 });
    qmp_client_free(g_steal_pointer(&rig->client));
    g_assert_cmpstr(rig->log->str, ==, "a!the connection was given up;b!the connection was given up;");
    settle();
    rig_free(rig);
    qmp_client_free(NULL);
}

static void test_free_in_callbacks(void)
{
    Rig *rig = rig_ready();

    rig->free_in_done = true;
    command(rig, "a");
    command(rig, "b");
    peer_serve(rig, "a", "\"return\": {}");
    g_assert_cmpstr(rig->log->str, ==, "a={};b!the connection was given up;");
    rig_free(rig);

    rig = rig_ready();
    rig->free_in_event = true;
    command(rig, "a");
    peer_say(rig, "{\"event\": \"A\"}{\"event\": \"B\"}");
    g_assert_cmpstr(rig->log->str, ==, "event A -1;a!the connection was given up;");
    rig_free(rig);

    rig = rig_ready();
    rig->free_in_closed = true;
    fd_close(&rig->peer);
    settle();
    g_assert_cmpstr(rig->log->str, ==, "closed the peer closed the connection;");
    g_assert_null(rig->client);
    rig_free(rig);

    rig = rig_ready();
    rig->free_in_done = true;
    command(rig, "a");
    command(rig, "b");
    fd_close(&rig->peer);
    settle();
    g_assert_cmpstr(rig->log->str, ==, "a!the peer closed the connection;b!the peer closed the connection;");
    rig_free(rig);
}

/* ---- stock QEMU ----------------------------------------------------------------------------------- */

static void test_stock_qemu(void)
{
    g_autofree char *qemu = g_find_program_in_path("qemu-system-x86_64");
    Rig *rig = g_new0(Rig, 1);
    g_autoptr(GError) err = NULL;
    JsonObject *args;
    int64_t silent;
    int fds[2], null, status;
    pid_t pid;

    if (!qemu) {
        g_test_skip("there is no qemu-system-x86_64");
        g_free(rig);
        return;
    }
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], 10);
        execl(qemu, qemu, "-machine", "none", "-nodefaults", "-display", "none", "-chardev", "socket,id=c,fd=10",
              "-mon", "chardev=c,mode=control", NULL);
        _exit(127);
    }
    close(fds[1]);
    rig->peer = -1;
    rig->got = g_string_new(NULL);
    rig->log = g_string_new(NULL);
    rig->client = qmp_client_new_take_fd(fds[0], &rig_ops, rig, &err);
    g_assert_no_error(err);
    command_full(rig, "nosuch", NULL, -1, 0, ERROR_CLASS_COMMAND_NOT_FOUND);
    wait_log(rig, "nosuch!");
    g_assert_cmpstr(rig->log->str, ==, "ready;nosuch!The command nosuch has not been found;");

    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    args = json_object_new();
    json_object_set_string_member(args, "fdname", "null");
    command_full(rig, "getfd", args, null, 0, ERROR_CLASS_GENERIC);
    event_loop_turn(event_loop_main(), false);
    qmp_client_ping(rig->client, &silent); /* right behind a descriptor */
    wait_log(rig, "getfd=");
    args = json_object_new();
    json_object_set_string_member(args, "fdname", "null");
    command_full(rig, "closefd", args, -1, 0, ERROR_CLASS_GENERIC);
    wait_log(rig, "closefd={}");

    args = json_object_new();
    json_object_set_string_member(args, "id", "x");
    command_full(rig, "device_del", args, -1, 60000, ERROR_CLASS_DEVICE_NOT_FOUND);
    wait_log(rig, "device_del!Device 'x' not found;");
    command(rig, "stop");
    wait_log(rig, "stop={}");
    g_assert_nonnull(strstr(rig->log->str, "event STOP "));
    command(rig, "quit");
    wait_log(rig, "closed the peer closed the connection;");
    g_assert_nonnull(strstr(rig->log->str, "quit={}"));
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    close(null);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp-client/commands-wait-for-the-greeting", test_commands_wait_for_the_greeting);
    g_test_add_func("/qmp-client/one-command-at-a-time", test_one_command_at_a_time);
    g_test_add_func("/qmp-client/arguments-and-descriptor-arrive", test_arguments_and_descriptor_arrive);
    g_test_add_func("/qmp-client/errors-keep-words-and-class", test_errors_keep_words_and_class);
    g_test_add_func("/qmp-client/events-come-through", test_events_come_through);
    g_test_add_func("/qmp-client/callback-issues-the-next-command", test_callback_issues_the_next_command);
    g_test_add_func("/qmp-client/counters", test_counters);
    g_test_add_func("/qmp-client/big-command-is-sent-in-pieces", test_big_command_is_sent_in_pieces);
    g_test_add_func("/qmp-client/ping-overtakes-what-waits", test_ping_overtakes_what_waits);
    g_test_add_func("/qmp-client/ping-tells-silence", test_ping_tells_silence);
    g_test_add_func("/qmp-client/ping-tells-a-missing-greeting", test_ping_tells_a_missing_greeting);
    g_test_add_func("/qmp-client/limit-closes", test_limit_closes);
    g_test_add_func("/qmp-client/limit-closes-in-a-flood-of-events", test_limit_closes_in_a_flood_of_events);
    g_test_add_func("/qmp-client/limit-counts-from-the-turn", test_limit_counts_from_the_turn);
    g_test_add_func("/qmp-client/queue-has-a-limit", test_queue_has_a_limit);
    g_test_add_func("/qmp-client/descriptor-that-is-not-open", test_descriptor_that_is_not_open);
    g_test_add_func("/qmp-client/descriptor-that-cannot-be-passed", test_descriptor_that_cannot_be_passed);
    g_test_add_func("/qmp-client/peer-closes", test_peer_closes);
    g_test_add_func("/qmp-client/last-words-are-heard", test_last_words_are_heard);
    g_test_add_func("/qmp-client/peer-shuts-down-its-reading", test_peer_shuts_down_its_reading);
    g_test_add_func("/qmp-client/peer-shuts-down-its-writing", test_peer_shuts_down_its_writing);
    g_test_add_func("/qmp-client/free-fails-commands", test_free_fails_commands);
    g_test_add_func("/qmp-client/free-in-callbacks", test_free_in_callbacks);
    g_test_add_func("/qmp-client/stock-qemu", test_stock_qemu);
    return g_test_run();
}
