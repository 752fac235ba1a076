/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of hw/proxy/spawner*.c: how it ends, and a main emulator that was taken over.
 *
 * Runs in: neither program.
 *
 * The test is a "subreaper": orphans of spawners that die become its children, so their ends can be waited for.
 * What needs a main emulator that dies is this program again, with "--helper NAME".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hw/proxy/spawner-int.h"
#include "io/fd-socket.h"
#include "spawner-rig.h"
#include "util/error.h"
#include "util/event-loop.h"

/* ---- ends ----------------------------------------------------------------------------------------- */

/* PID becomes our child when its parent has died, and then ends. */
static void wait_orphan(pid_t pid, int *ret_status)
{
    while (waitpid(pid, ret_status, 0) != pid) {
        g_assert_cmpint(errno, ==, ECHILD);
        g_usleep(1000);
    }
}

static void test_spawner_dies(void)
{
    Child child, asked;
    pid_t pid = spawner_pid();
    SpawnRequest request = { .path = sleeper[0], .argv = sleeper };
    g_autoptr(GError) err = NULL;
    int status;

    child_init(&child);
    child_spawn(&child, sleeper);
    wait_started(&child);
    g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
    child_init(&asked);
    child_spawn(&asked, sleeper);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    wait_ended(&child);
    wait_ended(&asked);
    g_assert_cmpstr(child.log->str, ==, "started;exited -1;");
    g_assert_nonnull(strstr(asked.log->str, "failed cannot start '/bin/sleep': the spawner process has ended"));
    g_assert_null(strstr(asked.log->str, "exited"));
    assert_refused(&request, "the spawner process has ended, and its children with it; restart mpqemu");
    wait_orphan(child.pid, &status);
    g_assert_cmpint(status, ==, SIGKILL);
    child_clear(&child);
    child_clear(&asked);
    spawner_stop();
    assert_refused(&request, "there is no spawner");
    spawner_stop();
    g_assert_true(spawner_start(&err));
    g_assert_no_error(err);
    g_assert_cmpint(spawner_pid(), !=, pid);
}

static void test_stop_tells_nobody(void)
{
    Child child, forgotten;
    g_autoptr(GError) err = NULL;

    child_init(&child);
    child_spawn(&child, sleeper);
    child_init(&forgotten);
    child_spawn(&forgotten, sleeper);
    spawned_process_forget(forgotten.process);
    wait_started(&child);
    spawner_stop();
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_cmpstr(child.log->str, ==, "started;");
    spawned_process_forget(child.process);
    child_clear(&child);
    child_clear(&forgotten);
    g_assert_true(spawner_start(&err));
}

/* Starts this program as helper NAME with OUT as its standard output. */
static pid_t start_helper(const char *name, int out)
{
    pid_t pid = fork();

    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        execl("/proc/self/exe", "test-spawner-ends", "--helper", name, NULL);
        _exit(127);
    }
    g_assert_cmpint(pid, >, 0);
    return pid;
}

/* Returns the PID of the spawner. */
static pid_t helper_spawn(const char *script, int fd)
{
    const char *argv[] = { "sh", "-c", script, NULL };
    int fds[] = { fd };
    SpawnRequest request = { .path = "/bin/sh", .argv = argv, .fds = fds, .fd_count = 1 };
    g_autoptr(GError) err = NULL;
    Child *child = g_new(Child, 1);

    child_init(child);
    child->process = spawner_spawn(&request, &child_ops, child, &err);
    g_assert_no_error(err);
    wait_started(child);
    return parent_of(child->pid);
}

/* Children that end by the end of their socket, by SIGTERM, and by neither. */
static void helper_main_dies(void)
{
    g_autoptr(GError) err = NULL;
    int socks[2];

    g_assert_true(spawner_start(&err));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks), ==, 0);
    helper_spawn("echo ready1; cat <&3; echo by-eof", socks[1]);
    close(socks[1]);
    helper_spawn("trap 'echo by-term; exit' TERM; echo ready2; while :; do sleep 0.1; done", STDIN_FILENO);
    dprintf(STDOUT_FILENO, "spawner %d\n",
            helper_spawn("trap '' TERM; echo ready3; while :; do sleep 0.1; done", STDIN_FILENO));
    for (;;) {
        pause();
    }
}

/* As if the main emulator had leaked its end of the socket to a process that lives on. */
static void helper_socket_is_held(void)
{
    g_autoptr(GError) err = NULL;
    pid_t holder;

    g_assert_true(spawner_start(&err));
    holder = fork();
    if (holder == 0) {
        close(STDOUT_FILENO);
        for (;;) {
            pause();
        }
    }
    dprintf(STDOUT_FILENO, "holder %d spawner %d\n", holder, helper_spawn("exec sleep 100000", STDIN_FILENO));
    for (;;) {
        pause();
    }
}

/* Reads from FD until MARK has been read, or to the end when that is NULL. */
static void read_until(int fd, GString *text, const char *mark)
{
    char bytes[256];
    ssize_t n;

    while ((!mark || !strstr(text->str, mark)) && (n = read(fd, bytes, sizeof(bytes))) > 0) {
        g_string_append_len(text, bytes, n);
    }
}

/*
 * The pipe's end means that nobody has it any more: main emulator, spawner and all children are gone, the
 * grandchildren too.
 */
static void test_main_emulator_dies(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    int out[2], status;
    pid_t pid;
    const char *by_eof, *by_term;

    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    pid = start_helper("main-dies", out[1]);
    close(out[1]);
    read_until(out[0], text, "ready1");
    read_until(out[0], text, "ready2");
    read_until(out[0], text, "ready3");
    read_until(out[0], text, "spawner ");
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    read_until(out[0], text, NULL);
    by_eof = strstr(text->str, "by-eof");
    by_term = strstr(text->str, "by-term");
    g_assert_nonnull(by_eof);
    g_assert_nonnull(by_term);
    g_assert_true(by_eof < by_term);
    close(out[0]);
    /* The spawner itself, an orphan of ours now, has ended well. */
    pid = atoi(strstr(text->str, "spawner ") + strlen("spawner "));
    wait_orphan(pid, &status);
    g_assert_cmpint(status, ==, 0);
}

static void test_main_emulator_dies_but_not_its_socket(void)
{
    g_autoptr(GString) text = g_string_new(NULL);
    int out[2], status, holder, spawner;
    pid_t pid;

    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    pid = start_helper("socket-is-held", out[1]);
    close(out[1]);
    read_until(out[0], text, "\n");
    g_assert_cmpint(sscanf(text->str, "holder %d spawner %d", &holder, &spawner), ==, 2);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    read_until(out[0], text, NULL);
    wait_orphan(spawner, &status);
    g_assert_cmpint(status, ==, 0);
    g_assert_cmpint(kill(holder, SIGKILL), ==, 0);
    wait_orphan(holder, &status);
    close(out[0]);
}

/* The launcher has closed all standard descriptors. */
static void helper_closed_stdio(void)
{
    g_autoptr(GError) err = NULL;
    pid_t spawner;
    Child child;

    close_range(0, ~0u, 0);
    g_assert_true(spawner_start(&err));
    child_init(&child);
    child_spawn(&child, sleeper);
    wait_started(&child);
    wait_fds(child.pid, "0 1 2 ");
    for (int fd = 0; fd < 3; fd++) {
        assert_fd_is(child.pid, fd, "/dev/null");
    }
    spawner = parent_of(child.pid);
    child_kill(&child);
    wait_fds(spawner, "0 1 2 3 4 ");
    _exit(0);
}

static void test_closed_standard_descriptors(void)
{
    int status;
    pid_t pid = start_helper("closed-stdio", STDOUT_FILENO);

    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* ---- a main emulator that was taken over ---------------------------------------------------------- */

/* A spawner of the test's own, and its socket. */
static pid_t raw_spawner(int *ret_sock)
{
    int socks[2];
    pid_t parent = getpid();
    pid_t pid;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks), ==, 0);
    pid = fork();
    if (pid == 0) {
        sigset_t all;

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        spawner_child_main(socks[1], parent);
    }
    close(socks[1]);
    *ret_sock = socks[0];
    return pid;
}

static void raw_end(pid_t pid, int sock)
{
    int status;

    close(sock);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* Sends a request with TEXT of LEN bytes; returns the answer's step. */
static SpawnerStep raw_request(int sock, const SpawnerRequest *header, const char *text, size_t len, unsigned fd_count)
{
    g_autofree char *message = g_malloc(sizeof(*header) + len);
    int fds[FD_SOCKET_MAX] = { 0 };
    SpawnerAnswer answer = { 0 };

    memcpy(message, header, sizeof(*header));
    memcpy(message + sizeof(*header), text, len);
    g_assert_cmpint(fd_socket_send(sock, message, sizeof(*header) + len, fds, fd_count, 0), >, 0);
    g_assert_cmpint(recv(sock, &answer, sizeof(answer), 0), ==, sizeof(answer));
    g_assert_cmpuint(answer.serial, ==, header->serial);
    g_assert_cmpuint(answer.kind, ==, SPAWNER_FAILED);
    return answer.step;
}

static void test_malformed_requests(void)
{
    static const struct {
        uint32_t argc, envc, fd_count, fds;
        const char *text;
        size_t len;
    } cases[] = {
        { 1, 0, 0, 0, "", 0 },
        { 1, 0, 0, 0, "/bin/true", 9 },              /* no NUL */
        { 1, 0, 0, 0, "/bin/true", 10 },             /* no argument */
        { 0, 0, 0, 0, "/bin/true", 10 },
        { 1, 0, 0, 0, "bin/true\0a", 11 },           /* relative */
        { 1, 0, 0, 0, "\0a", 3 },                    /* empty */
        { 1, 0, 0, 0, "/bin/true\0a\0b", 14 },       /* one too many */
        { 2, 0, 0, 0, "/bin/true\0a", 12 },          /* one too few */
        { 1, 1, 0, 0, "/bin/true\0a", 12 },
        { 1, 0, 1, 0, "/bin/true\0a", 12 },          /* descriptors that did not come */
        { 1, 0, 0, 1, "/bin/true\0a", 12 },          /* ... that were not announced */
        { UINT32_MAX, 0, 0, 0, "/bin/true\0a", 12 },
        { 1, UINT32_MAX, 0, 0, "/bin/true\0a", 12 },
        { SPAWNER_STRINGS_MAX, 1, 0, 0, "/bin/true\0a", 12 },
        { 1, 0, UINT32_MAX, 0, "/bin/true\0a", 12 },
    };
    int sock;
    pid_t pid = raw_spawner(&sock);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SpawnerRequest header = {
            .serial = 1000 + i,
            .argc = cases[i].argc,
            .envc = cases[i].envc,
            .fd_count = cases[i].fd_count,
        };

        g_test_message("request %u", i);
        g_assert_cmpint(raw_request(sock, &header, cases[i].text, cases[i].len, cases[i].fds), ==,
                        SPAWNER_STEP_REQUEST);
    }
    raw_end(pid, sock);
}

static void test_too_short_or_long_ends_the_spawner(void)
{
    g_autofree char *big = g_malloc0(SPAWNER_REQUEST_MAX + 1);
    const size_t sizes[] = { 1, sizeof(SpawnerRequest) - 1, SPAWNER_REQUEST_MAX + 1 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        int sock;
        pid_t pid = raw_spawner(&sock);
        char byte;

        g_assert_cmpint(send(sock, big, sizes[i], MSG_NOSIGNAL), ==, (ssize_t)sizes[i]);
        g_assert_cmpint(recv(sock, &byte, 1, 0), <=, 0);
        raw_end(pid, sock);
    }
}

static void test_spawner_counts_children_itself(void)
{
    static const char text[] = "/bin/sleep\0sleep\0" "100000";
    g_autofree char *message = g_malloc0(sizeof(SpawnerRequest) + sizeof(text));
    SpawnerRequest header = { .argc = 2 };
    SpawnerAnswer answer;
    int sock;
    pid_t pid = raw_spawner(&sock);

    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        header.serial = 7; /* the same for all: nobody but its sender cares */
        memcpy(message, &header, sizeof(header));
        memcpy(message + sizeof(header), text, sizeof(text));
        g_assert_cmpint(send(sock, message, sizeof(header) + sizeof(text), 0), >, 0);
    }
    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        g_assert_cmpint(recv(sock, &answer, sizeof(answer), 0), ==, sizeof(answer));
        g_assert_cmpuint(answer.kind, ==, SPAWNER_STARTED);
    }
    g_assert_cmpint(raw_request(sock, &header, text, sizeof(text), 0), ==, SPAWNER_STEP_CHILDREN);
    /* A child that ends makes room. */
    g_assert_cmpint(kill(answer.pid, SIGKILL), ==, 0);
    g_assert_cmpint(recv(sock, &answer, sizeof(answer), 0), ==, sizeof(answer));
    g_assert_cmpuint(answer.kind, ==, SPAWNER_EXITED);
    g_assert_cmpint(send(sock, message, sizeof(header) + sizeof(text), 0), >, 0);
    g_assert_cmpint(recv(sock, &answer, sizeof(answer), 0), ==, sizeof(answer));
    g_assert_cmpuint(answer.kind, ==, SPAWNER_STARTED);
    /* All sleepers go by SIGTERM. */
    raw_end(pid, sock);
}

/* Tells the spawner at SOCK that only `/bin/true -a b` and `/bin/false` may be started; LEN bytes of it. */
static void raw_restrict(int sock, size_t len)
{
    static const char forms[] = "/bin/true\0-a\0b\0\0/bin/false\0";
    g_autofree SpawnerRequest *message = g_malloc0(sizeof(*message) + sizeof(forms));

    message->restricts = 1;
    memcpy(message->text, forms, sizeof(forms));
    g_assert_cmpint(send(sock, message, sizeof(*message) + MIN(len, sizeof(forms)), MSG_NOSIGNAL), >, 0);
}

static void test_restricted_spawner_starts_only_what_was_named(void)
{
    static const struct {
        uint32_t argc, envc;
        const char *text;
        size_t len;
    } cases[] = {
        { 1, 0, "/bin/sh\0x", 10 },                 /* another program */
        { 1, 0, "/bin/true\0x", 12 },               /* arguments missing */
        { 2, 0, "/bin/true\0x\0-a", 15 },
        { 3, 0, "/bin/true\0x\0b\0-a", 17 },        /* in another order */
        { 4, 0, "/bin/true\0x\0-a\0b\0c", 19 },     /* one more */
        { 2, 0, "/bin/false\0x\0-a", 16 },
        { 1, 0, "-a\0x", 5 },                       /* an argument is no program: refused as malformed */
        { 3, 1, "/bin/true\0x\0-a\0b\0LD_PRELOAD=x", 30 },
        { 1, 0, "/bin/../bin/false\0x", 20 },
    };
    static const char good[] = "/bin/true\0any title\0-a\0b";
    SpawnerRequest header = { .argc = 3 };
    g_autofree char *message = g_malloc0(sizeof(header) + sizeof(good));
    SpawnerAnswer answer;
    int sock;
    pid_t pid = raw_spawner(&sock);

    raw_restrict(sock, SIZE_MAX);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SpawnerRequest bad = { .argc = cases[i].argc, .envc = cases[i].envc };

        g_test_message("request %u", i);
        g_assert_cmpint(raw_request(sock, &bad, cases[i].text, cases[i].len, 0), ==,
                        cases[i].text[0] == '/' ? SPAWNER_STEP_FORM : SPAWNER_STEP_REQUEST);
    }
    memcpy(message, &header, sizeof(header));
    memcpy(message + sizeof(header), good, sizeof(good));
    g_assert_cmpint(send(sock, message, sizeof(header) + sizeof(good), 0), >, 0);
    g_assert_cmpint(recv(sock, &answer, sizeof(answer), 0), ==, sizeof(answer));
    g_assert_cmpuint(answer.kind, ==, SPAWNER_STARTED);
    /* It cannot be said again. */
    raw_restrict(sock, SIZE_MAX);
    while (recv(sock, &answer, sizeof(answer), 0) > 0) {
    }
    raw_end(pid, sock);
}

static void test_restriction_without_a_final_nul_ends_the_spawner(void)
{
    int sock;
    pid_t pid = raw_spawner(&sock);
    char byte;

    raw_restrict(sock, 5);
    g_assert_cmpint(recv(sock, &byte, 1, 0), <=, 0);
    raw_end(pid, sock);
}

/* ---- main ----------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(void);
} helpers[] = {
    { "main-dies", helper_main_dies },
    { "socket-is-held", helper_socket_is_held },
    { "closed-stdio", helper_closed_stdio },
};

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    int status;

    for (unsigned i = 0; argc == 3 && g_str_equal(argv[1], "--helper") && i < G_N_ELEMENTS(helpers); i++) {
        if (g_str_equal(argv[2], helpers[i].name)) {
            helpers[i].run();
        }
    }
    if (!spawner_start(&err)) {
        g_error("%s", err->message);
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spawner-ends/spawner-dies", test_spawner_dies);
    g_test_add_func("/spawner-ends/restricted-spawner-starts-only-what-was-named",
                    test_restricted_spawner_starts_only_what_was_named);
    g_test_add_func("/spawner-ends/restriction-without-a-final-nul-ends-the-spawner",
                    test_restriction_without_a_final_nul_ends_the_spawner);
    g_test_add_func("/spawner-ends/stop-tells-nobody", test_stop_tells_nobody);
    g_test_add_func("/spawner-ends/main-emulator-dies", test_main_emulator_dies);
    g_test_add_func("/spawner-ends/main-emulator-dies-but-not-its-socket", test_main_emulator_dies_but_not_its_socket);
    g_test_add_func("/spawner-ends/closed-standard-descriptors", test_closed_standard_descriptors);
    g_test_add_func("/spawner-ends/malformed-requests", test_malformed_requests);
    g_test_add_func("/spawner-ends/too-short-or-long-ends-the-spawner", test_too_short_or_long_ends_the_spawner);
    g_test_add_func("/spawner-ends/spawner-counts-children-itself", test_spawner_counts_children_itself);
    status = g_test_run();
    spawner_stop();
    return status;
}
