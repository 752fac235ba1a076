/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of hw/proxy/spawner*.c: starting real processes, what they get, limits.
 *
 * Runs in: neither program.
 *
 * The spawner is forked at the beginning of main(), as in mpqemu.  Children are looked at through /proc.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "spawner-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* ---- starting ------------------------------------------------------------------------------------- */

static void test_start_and_exit(void)
{
    static const struct {
        const char *script, *log;
    } cases[] = {
        { "exit 0", "started;exited 0;" },
        { "exit 7", "started;exited 1792;" },
        { "kill -9 $$", "started;exited 9;" },
        { "kill -15 $$", "started;exited 15;" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Child child;
        struct pollfd polled;

        child_init(&child);
        child_spawn(&child, (const char *const[]) { "/bin/sh", "-c", cases[i].script, NULL });
        wait_ended(&child);
        g_assert_cmpstr(child.log->str, ==, cases[i].log);
        polled = (struct pollfd) { .fd = child.pidfd, .events = POLLIN };
        g_assert_cmpint(poll(&polled, 1, 0), ==, 1);
        child_clear(&child);
    }
}

/* Writes TEXT into a new file of MODE in DIR. */
static char *make_file(const char *dir, const char *name, const char *text, int mode)
{
    char *path = g_build_filename(dir, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
    return path;
}

static void assert_fails(const char *path, const char *reason)
{
    g_autofree char *log = g_strdup_printf("failed cannot start '%s': %s;", path, reason);
    Child child;

    child_init(&child);
    child_spawn(&child, (const char *const[]) { path, NULL });
    wait_ended(&child);
    g_assert_cmpstr(child.log->str, ==, log);
    g_assert_cmpint(child.pid, ==, 0);
    child_clear(&child);
}

static void test_what_cannot_be_started(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-spawner-XXXXXX", NULL);
    g_autofree char *plain = make_file(dir, "plain", "x", 0644);
    g_autofree char *garbage = make_file(dir, "garbage", "x", 0755);
    g_autofree char *script = make_file(dir, "script", "#!/nonexistent/sh\n", 0755);
    g_autofree char *through = g_strconcat(plain, "/x", NULL);

    assert_fails("/nonexistent/qemu-remote",
                 "No such file or directory; give the absolute path of the program");
    assert_fails(dir, "it is no regular file; give the absolute path of the program");
    assert_fails("/dev/null", "it is no regular file; give the absolute path of the program");
    assert_fails(through, "Not a directory; give the absolute path of the program");
    assert_fails(plain, "Permission denied; give the path of a program that may be executed");
    assert_fails(garbage, "Exec format error; give the path of a program that may be executed");
    assert_fails(script, "No such file or directory; give the path of a program that may be executed");
    g_unlink(plain);
    g_unlink(garbage);
    g_unlink(script);
    g_rmdir(dir);
}

static void test_script_is_started(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-spawner-XXXXXX", NULL);
    g_autofree char *script = make_file(dir, "script", "#!/bin/sh\nexit $1\n", 0755);
    Child child;

    child_init(&child);
    child_spawn(&child, (const char *const[]) { script, "3", NULL });
    wait_ended(&child);
    g_assert_cmpstr(child.log->str, ==, "started;exited 768;");
    child_clear(&child);
    g_unlink(script);
    g_rmdir(dir);
}

/* ---- what a child gets ---------------------------------------------------------------------------- */

static void test_child_is_clean(void)
{
    const char *argv[] = { "qemu-remote: vm/r0", "100000", NULL };
    SpawnRequest request = { .path = "/bin/sleep", .argv = argv, .comm = "remote" };
    g_autoptr(GError) err = NULL;
    g_autofree char *cmdline = NULL, *environ_text = NULL;
    size_t len;
    Child child;

    child_init(&child);
    child.process = spawner_spawn(&request, &child_ops, &child, &err);
    g_assert_no_error(err);
    wait_started(&child);

    cmdline = proc_read(child.pid, "cmdline", &len);
    g_assert_cmpmem(cmdline, len, "qemu-remote: vm/r0\0" "100000", 26);
    environ_text = proc_read(child.pid, "environ", &len);
    g_assert_cmpuint(len, ==, 0);
    wait_fds(child.pid, "0 1 2 ");
    assert_fd_is(child.pid, 0, "/dev/null");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const fields[] = { "SigBlk:", "SigIgn:", "SigCgt:" };
        g_autofree char *mask = proc_status(child.pid, fields[i]);

        /* Nothing that main() or a sanitizer has set; 32 and 33 are the C library's. */
        g_assert_cmpuint(g_ascii_strtoull(mask, NULL, 16) & ~(3ull << 31), ==, 0);
    }
    g_assert_cmpint(getsid(child.pid), !=, getsid(0));
    child_kill(&child);
}

static void test_environment_is_what_is_named(void)
{
    const char *argv[] = { "sleep", "100000", NULL };
    const char *envp[] = { "A=1", "B=", NULL };
    SpawnRequest request = { .path = "/bin/sleep", .argv = argv, .envp = envp };
    g_autofree char *text = NULL;
    size_t len;
    Child child;

    child_init(&child);
    child.process = spawner_spawn(&request, &child_ops, &child, NULL);
    wait_started(&child);
    text = proc_read(child.pid, "environ", &len);
    g_assert_cmpmem(text, len, "A=1\0B=", 7);
    child_kill(&child);
}

static void test_keep_list_in_order(void)
{
    for (unsigned count = 1; count <= SPAWNER_FDS_MAX; count++) {
        const char *argv[] = { "sleep", "100000", NULL };
        int fds[SPAWNER_FDS_MAX];
        SpawnRequest request = { .path = "/bin/sleep", .argv = argv, .fds = fds, .fd_count = count };
        g_autoptr(GString) expected = g_string_new("0 1 2 ");
        Child child;

        for (unsigned i = 0; i < count; i++) {
            g_autofree char *name = g_strdup_printf("kept%u", i);

            fds[i] = memfd_create(name, MFD_CLOEXEC);
            g_string_append_printf(expected, "%u ", 3 + i);
        }
        child_init(&child);
        child.process = spawner_spawn(&request, &child_ops, &child, NULL);
        for (unsigned i = 0; i < count; i++) {
            g_assert_cmpint(fcntl(fds[i], F_GETFD), !=, -1); /* still the caller's */
            close(fds[i]);
        }
        wait_started(&child);
        wait_fds(child.pid, expected->str);
        for (unsigned i = 0; i < count; i++) {
            g_autofree char *target = g_strdup_printf("/memfd:kept%u (deleted)", i);

            assert_fd_is(child.pid, 3 + (int)i, target);
        }
        child_kill(&child);
    }
}

static void test_one_descriptor_kept_twice(void)
{
    const char *argv[] = { "sleep", "100000", NULL };
    int fd = memfd_create("kept", MFD_CLOEXEC);
    int fds[] = { fd, fd };
    SpawnRequest request = { .path = "/bin/sleep", .argv = argv, .fds = fds, .fd_count = 2 };
    Child child;

    child_init(&child);
    child.process = spawner_spawn(&request, &child_ops, &child, NULL);
    close(fd);
    wait_started(&child);
    assert_fd_is(child.pid, 3, "/memfd:kept (deleted)");
    assert_fd_is(child.pid, 4, "/memfd:kept (deleted)");
    child_kill(&child);
}

/* ---- the spawner itself --------------------------------------------------------------------------- */

static void test_spawner_is_small(void)
{
    pid_t pid = spawner_pid();
    g_autofree char *comm = proc_read(pid, "comm", NULL);
    g_autofree char *cmdline = proc_read(pid, "cmdline", NULL);
    g_autofree char *threads = proc_status(pid, "Threads:");

    g_assert_cmpstr(comm, ==, "mpqemu-spawner\n");
    g_assert_cmpstr(cmdline, ==, "mpqemu: spawner");
    wait_fds(pid, "0 1 2 3 4 ");
#ifndef __SANITIZE_THREAD__ /* has a thread of its own in each process */
    g_assert_cmpstr(threads, ==, "1");
#endif
    g_assert_cmpint(getsid(pid), ==, pid);
}

static void test_spawner_ignores_signals(void)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP };
    pid_t pid = spawner_pid();

    for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++) {
        g_assert_cmpint(kill(pid, signals[i]), ==, 0);
    }
    g_assert_cmpint(spawner_pid(), ==, pid);
}

static void test_many_in_a_row_leave_nothing(void)
{
    pid_t pid = spawner_pid();
    g_autofree char *own_before = proc_fds(getpid());
    g_autofree char *own_after = NULL;
    int fd = memfd_create("kept", MFD_CLOEXEC);
    const char *argv[] = { "true", NULL };
    SpawnRequest request = { .path = "/bin/true", .argv = argv, .fds = &fd, .fd_count = 1 };

    for (int i = 0; i < 300; i++) {
        Child child;

        child_init(&child);
        child.process = spawner_spawn(&request, &child_ops, &child, NULL);
        g_assert_nonnull(child.process);
        wait_ended(&child);
        g_assert_cmpstr(child.log->str, ==, "started;exited 0;");
        child_clear(&child);
    }
    close(fd);
    own_after = proc_fds(getpid());
    g_assert_cmpstr(own_after, ==, own_before);
    wait_fds(pid, "0 1 2 3 4 ");
}

static void test_failures_leave_nothing(void)
{
    pid_t pid = spawner_pid();
    g_autofree char *own_before = proc_fds(getpid());
    g_autofree char *own_after = NULL;

    for (int i = 0; i < 50; i++) {
        assert_fails("/nonexistent", "No such file or directory; give the absolute path of the program");
    }
    own_after = proc_fds(getpid());
    g_assert_cmpstr(own_after, ==, own_before);
    wait_fds(pid, "0 1 2 3 4 ");
}

static void test_side_by_side(void)
{
    Child children[32];

    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++) {
        g_autofree char *script = g_strdup_printf("exit %u", i);

        child_init(&children[i]);
        child_spawn(&children[i], (const char *const[]) { "/bin/sh", "-c", script, NULL });
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++) {
        g_autofree char *log = g_strdup_printf("started;exited %u;", i << 8);

        wait_ended(&children[i]);
        g_assert_cmpstr(children[i].log->str, ==, log);
        child_clear(&children[i]);
    }
}

static void test_callback_asks_for_another(void)
{
    Child first, second;

    child_init(&first);
    child_init(&second);
    first.respawn = &second;
    first.forget_in_end = true;
    child_spawn(&first, (const char *const[]) { "/bin/true", NULL });
    wait_ended(&second);
    g_assert_cmpstr(second.log->str, ==, "started;exited 0;");
    child_clear(&first);
    child_clear(&second);
}

static void test_forgotten_is_not_heard_of(void)
{
    Child child, other;

    child_init(&child);
    child_spawn(&child, (const char *const[]) { "/bin/true", NULL });
    spawned_process_forget(child.process);
    spawned_process_forget(NULL);
    child_init(&other);
    child_spawn(&other, (const char *const[]) { "/bin/true", NULL });
    wait_ended(&other);
    g_assert_cmpstr(child.log->str, ==, "");
    child_clear(&child);
    child_clear(&other);

    child_init(&child);
    child.forget_in_started = true;
    child_spawn(&child, sleeper);
    wait_started(&child);
    g_assert_cmpint(kill(child.pid, SIGKILL), ==, 0);
    /* It is reaped all the same. */
    while (kill(child.pid, 0) == 0) {
        g_usleep(1000);
    }
    child_init(&other);
    child_spawn(&other, (const char *const[]) { "/bin/true", NULL });
    wait_ended(&other);
    g_assert_cmpstr(child.log->str, ==, "started;");
    child_clear(&child);
    child_clear(&other);
}

/* ---- limits --------------------------------------------------------------------------------------- */

static void test_requests_have_limits(void)
{
    g_autofree char *big = g_strnfill(SPAWNER_TEXT_MAX, 'x');
    const char *argv[] = { "true", big, NULL };
    const char *many[SPAWNER_STRINGS_MAX + 2] = { NULL };
    const char *const none[] = { NULL };
    int fds[SPAWNER_FDS_MAX + 1];
    SpawnRequest request = { .path = "/bin/true", .argv = argv };

    big[SPAWNER_TEXT_MAX - 1 - strlen("/bin/true") - 1 - strlen("true") - 1] = '\0';
    assert_runs(&request);
    request.path = "/bin//true";
    assert_refused(&request, "65537 bytes in 2 arguments and environment strings; at most 65536");

    request = (SpawnRequest) { .path = "/bin/true", .argv = many };
    for (unsigned i = 0; i < SPAWNER_STRINGS_MAX; i++) {
        many[i] = "a";
    }
    assert_runs(&request);
    many[SPAWNER_STRINGS_MAX] = "a";
    assert_refused(&request, "in 1025 arguments");
    many[SPAWNER_STRINGS_MAX] = NULL;
    request.envp = (const char *const[]) { "A=1", NULL };
    assert_refused(&request, "in 1025 arguments");

    for (unsigned i = 0; i <= SPAWNER_FDS_MAX; i++) {
        fds[i] = 0;
    }
    argv[1] = NULL;
    request = (SpawnRequest) { .path = "/bin/true", .argv = argv, .fds = fds, .fd_count = SPAWNER_FDS_MAX };
    assert_runs(&request);
    request.fd_count++;
    assert_refused(&request, "9 descriptors are to be kept; at most 8");

    assert_refused(&(SpawnRequest) { .path = "bin/true", .argv = argv }, "the path is not absolute; begin it with '/'");
    assert_refused(&(SpawnRequest) { .path = "", .argv = argv }, "the path is not absolute");
    assert_refused(&(SpawnRequest) { .path = "/bin/true", .argv = none }, "there is no argument");
    fds[0] = 9999;
    request.fd_count = 1;
    assert_refused(&request, "descriptor 9999 cannot be duplicated");
}

static void test_children_have_a_limit(void)
{
    g_autofree Child *children = g_new0(Child, SPAWNER_CHILDREN_MAX);
    SpawnRequest request = { .path = sleeper[0], .argv = sleeper };

    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        child_init(&children[i]);
        child_spawn(&children[i], sleeper);
    }
    assert_refused(&request, "256 processes are alive, which is the limit; remove remote devices first");
    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        wait_started(&children[i]);
    }
    assert_refused(&request, "256 processes are alive");
    child_kill(&children[7]);
    child_init(&children[7]);
    child_spawn(&children[7], sleeper);
    wait_started(&children[7]);
    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        child_kill(&children[i]);
    }
}

/* The kernel passes no descriptor of an io_uring (from Linux 6.7 on). */
static void test_descriptor_that_cannot_be_passed(void)
{
    const char *argv[] = { "true", NULL };
    struct io_uring ring;
    SpawnRequest request = { .path = "/bin/true", .argv = argv, .fds = &ring.ring_fd, .fd_count = 1 };
    Child child;

    if (io_uring_queue_init(1, &ring, 0) < 0) {
        g_test_skip("no io_uring");
        return;
    }
    child_init(&child);
    child.process = spawner_spawn(&request, &child_ops, &child, NULL);
    g_assert_nonnull(child.process);
    wait_ended(&child);
    if (child.pid == 0) {
        g_assert_cmpstr(child.log->str, ==, "failed cannot start '/bin/true': the spawner cannot be asked: "
                        "Invalid argument; raise the limit (ulimit -n);");
    }
    child_clear(&child);
    io_uring_queue_exit(&ring);
    request.fd_count = 0;
    assert_runs(&request);
}

static void set_fd_limit(pid_t pid, rlim_t limit)
{
    struct rlimit both = { .rlim_cur = limit, .rlim_max = 1024 };

    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &both, NULL), ==, 0);
}

static void assert_request_fails(const SpawnRequest *request, const char *reason)
{
    Child child;

    child_init(&child);
    child.process = spawner_spawn(request, &child_ops, &child, NULL);
    g_assert_nonnull(child.process);
    wait_ended(&child);
    g_assert_true(g_str_has_prefix(child.log->str, "failed cannot start '/bin/true': "));
    g_assert_nonnull(strstr(child.log->str, reason));
    child_clear(&child);
}

static void test_spawner_without_descriptors(void)
{
    const char *argv[] = { "true", NULL };
    int fds[] = { 0, 0 };
    SpawnRequest request = { .path = "/bin/true", .argv = argv, .fds = fds };
    pid_t pid = spawner_pid();

    wait_fds(pid, "0 1 2 3 4 ");
    set_fd_limit(pid, 5);
    assert_request_fails(&request, "no new process: Too many open files; raise the limits");
    request.fd_count = 2;
    assert_request_fails(&request, "its descriptors did not reach the spawner: Too many open files; raise");
    set_fd_limit(pid, 9); /* two descriptors and the pipe fit, their copies do not */
    assert_request_fails(&request, "its descriptors cannot be put in their places: ");
    set_fd_limit(pid, 1024);
    assert_runs(&request);
    wait_fds(pid, "0 1 2 3 4 ");
}

/* A spawner that does not run, so its socket is full: the main emulator does not wait. */
static void test_requests_wait_for_a_slow_spawner(void)
{
    g_autofree char *big = g_strnfill(SPAWNER_TEXT_MAX / 2, 'x');
    const char *argv[] = { "/bin/true", big, NULL };
    Child children[64];
    int fd = memfd_create("kept", MFD_CLOEXEC);
    SpawnRequest request = { .path = "/bin/true", .argv = argv, .fds = &fd, .fd_count = 1 };
    g_autofree char *before = NULL, *after = NULL;
    pid_t pid = spawner_pid();

    before = proc_fds(getpid());
    g_assert_cmpint(kill(pid, SIGSTOP), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++) {
        child_init(&children[i]);
        children[i].process = spawner_spawn(&request, &child_ops, &children[i], NULL);
        g_assert_nonnull(children[i].process);
    }
    g_assert_cmpint(kill(pid, SIGCONT), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++) {
        wait_ended(&children[i]);
        g_assert_cmpstr(children[i].log->str, ==, "started;exited 0;");
        child_clear(&children[i]);
    }
    after = proc_fds(getpid());
    g_assert_cmpstr(after, ==, before);
    close(fd);
}

/* The main emulator does not read for a while: everything is told when it does. */
static void test_ends_wait_for_a_slow_main_emulator(void)
{
    g_autofree Child *children = g_new0(Child, SPAWNER_CHILDREN_MAX);

    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        child_init(&children[i]);
        child_spawn(&children[i], (const char *const[]) { "/bin/true", NULL });
    }
    g_usleep(300 * 1000); /* not to be read meanwhile; nothing depends on how long */
    for (unsigned i = 0; i < SPAWNER_CHILDREN_MAX; i++) {
        wait_ended(&children[i]);
        g_assert_cmpstr(children[i].log->str, ==, "started;exited 0;");
        child_clear(&children[i]);
    }
}

/* ---- main ----------------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    sigset_t some;
    int status;

    /* A launcher's and our own settings that no child may inherit. */
    signal(SIGHUP, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_BLOCK, &some, NULL);
    g_setenv("MPQEMU_TEST_LEFTOVER", "1", TRUE);
    if (dup2(STDERR_FILENO, 200) < 0 || !spawner_start(&err)) {
        g_error("%s", err ? err->message : "dup2");
    }
    signal(SIGCHLD, SIG_DFL);

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spawner/start-and-exit", test_start_and_exit);
    g_test_add_func("/spawner/what-cannot-be-started", test_what_cannot_be_started);
    g_test_add_func("/spawner/script-is-started", test_script_is_started);
    g_test_add_func("/spawner/child-is-clean", test_child_is_clean);
    g_test_add_func("/spawner/environment-is-what-is-named", test_environment_is_what_is_named);
    g_test_add_func("/spawner/keep-list-in-order", test_keep_list_in_order);
    g_test_add_func("/spawner/one-descriptor-kept-twice", test_one_descriptor_kept_twice);
    g_test_add_func("/spawner/spawner-is-small", test_spawner_is_small);
    g_test_add_func("/spawner/spawner-ignores-signals", test_spawner_ignores_signals);
    g_test_add_func("/spawner/many-in-a-row-leave-nothing", test_many_in_a_row_leave_nothing);
    g_test_add_func("/spawner/failures-leave-nothing", test_failures_leave_nothing);
    g_test_add_func("/spawner/side-by-side", test_side_by_side);
    g_test_add_func("/spawner/callback-asks-for-another", test_callback_asks_for_another);
    g_test_add_func("/spawner/forgotten-is-not-heard-of", test_forgotten_is_not_heard_of);
    g_test_add_func("/spawner/requests-have-limits", test_requests_have_limits);
    g_test_add_func("/spawner/children-have-a-limit", test_children_have_a_limit);
    g_test_add_func("/spawner/descriptor-that-cannot-be-passed", test_descriptor_that_cannot_be_passed);
    g_test_add_func("/spawner/spawner-without-descriptors", test_spawner_without_descriptors);
    g_test_add_func("/spawner/requests-wait-for-a-slow-spawner", test_requests_wait_for_a_slow_spawner);
    g_test_add_func("/spawner/ends-wait-for-a-slow-main-emulator", test_ends_wait_for_a_slow_main_emulator);
    status = g_test_run();
    spawner_stop();
    return status;
}
