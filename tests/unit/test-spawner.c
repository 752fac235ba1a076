/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of hw/proxy/spawner*.c: real processes.
 *
 * Runs in: neither program.
 *
 * The spawner is forked at the beginning of main(), as in mpqemu.  Children are looked at through /proc.  The
 * test is a "subreaper": orphans of spawners that die become its children, so their ends can be waited for.
 * What needs a main emulator that dies is this program again, with "--helper NAME".
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hw/proxy/spawner-int.h"
#include "io/fd-socket.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"

/* What happened to one process. */
typedef struct Child {
    SpawnedProcess *process;
    GString *log; /* "started;", "failed REASON;", "exited STATUS;" */
    pid_t pid;
    int pidfd;
    bool ended;
    bool forget_in_started, forget_in_end;
    struct Child *respawn; /* asked for when this one has ended */
} Child;

static void child_spawn(Child *child, const char *const *argv);

static void on_started(SpawnedProcess *process, pid_t pid, int pidfd, void *opaque)
{
    Child *child = opaque;

    g_assert_true(process == child->process);
    g_assert_cmpint(pidfd, >=, 0);
    g_assert_true(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
    child->pid = pid;
    child->pidfd = pidfd;
    g_string_append(child->log, "started;");
    if (child->forget_in_started) {
        spawned_process_forget(process);
    }
}

static void child_ended(Child *child, SpawnedProcess *process)
{
    g_assert_true(process == child->process);
    child->ended = true;
    if (child->forget_in_end) {
        spawned_process_forget(process);
    }
    child->process = NULL;
    if (child->respawn) {
        child_spawn(child->respawn, (const char *const[]) { "/bin/true", NULL });
    }
}

static void on_failed(SpawnedProcess *process, const GError *err, void *opaque)
{
    Child *child = opaque;

    g_string_append_printf(child->log, "failed %s;", err->message);
    child_ended(child, process);
}

static void on_exited(SpawnedProcess *process, int status, void *opaque)
{
    Child *child = opaque;

    g_string_append_printf(child->log, "exited %d;", status);
    child_ended(child, process);
}

static const SpawnOps ops = { .started = on_started, .failed = on_failed, .exited = on_exited };

static void child_init(Child *child)
{
    *child = (Child) { .log = g_string_new(NULL), .pidfd = -1 };
}

static void child_clear(Child *child)
{
    g_string_free(child->log, TRUE);
    fd_close(&child->pidfd);
}

/* argv[0] is the path, too. */
static void child_spawn(Child *child, const char *const *argv)
{
    SpawnRequest request = { .path = argv[0], .argv = argv };
    g_autoptr(GError) err = NULL;

    child->process = spawner_spawn(&request, &ops, child, &err);
    g_assert_no_error(err);
    g_assert_nonnull(child->process);
    g_assert_cmpstr(child->log->str, ==, ""); /* never inside the call */
}

static void turn(void)
{
    event_loop_turn(event_loop_main(), true);
}

static void wait_started(Child *child)
{
    while (child->pid == 0 && !child->ended) {
        turn();
    }
    g_assert_cmpstr(child->log->str, ==, "started;");
}

static void wait_ended(Child *child)
{
    while (!child->ended) {
        turn();
    }
}

/* Kills a child that runs and waits for its end. */
static void child_kill(Child *child)
{
    g_assert_cmpint(syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0), ==, 0);
    wait_ended(child);
    g_assert_cmpstr(child->log->str, ==, "started;exited 9;");
    child_clear(child);
}

static char *proc_read(pid_t pid, const char *name, size_t *ret_len)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
    g_autoptr(GError) err = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, ret_len, &err);
    g_assert_no_error(err);
    return text;
}

/* The value of FIELD ("SigIgn:") in /proc/PID/status. */
static char *proc_status(pid_t pid, const char *field)
{
    g_autofree char *text = proc_read(pid, "status", NULL);
    char *line = strstr(text, field);

    g_assert_nonnull(line);
    line += strlen(field);
    return g_strstrip(g_strndup(line, strcspn(line, "\n")));
}

/* The open descriptors of PID in order: "0 1 2 ". */
static char *proc_fds(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd", (int)pid);
    GString *list = g_string_new(NULL);
    DIR *dir = opendir(path);
    bool open[4096] = { false };
    struct dirent *entry;

    g_assert_nonnull(dir);
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (g_ascii_isdigit(entry->d_name[0]) && (pid != getpid() || fd != dirfd(dir))) {
            open[fd] = true;
        }
    }
    closedir(dir);
    for (unsigned i = 0; i < G_N_ELEMENTS(open); i++) {
        if (open[i]) {
            g_string_append_printf(list, "%u ", i);
        }
    }
    return g_string_free(list, FALSE);
}

/* A child is seen opening its libraries for a moment, and a spawner closing what it has told. */
static void wait_fds(pid_t pid, const char *expected)
{
    g_autofree char *fds = proc_fds(pid);

    for (int ms = 0; ms < 20000 && strcmp(fds, expected) != 0; ms++) {
        g_usleep(1000);
        g_free(fds);
        fds = proc_fds(pid);
    }
    g_assert_cmpstr(fds, ==, expected);
}

static void assert_fd_is(pid_t pid, int fd, const char *target)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", (int)pid, fd);
    g_autofree char *link = g_file_read_link(path, NULL);

    g_assert_cmpstr(link, ==, target);
}

static pid_t parent_of(pid_t pid)
{
    g_autofree char *ppid = proc_status(pid, "PPid:");

    return atoi(ppid);
}

static const char *const sleeper[] = { "/bin/sleep", "100000", NULL };

static pid_t spawner_pid(void)
{
    Child child;
    pid_t pid;

    child_init(&child);
    child_spawn(&child, sleeper);
    wait_started(&child);
    pid = parent_of(child.pid);
    child_kill(&child);
    g_assert_cmpint(pid, !=, getpid());
    return pid;
}

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
    child.process = spawner_spawn(&request, &ops, &child, &err);
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
    child.process = spawner_spawn(&request, &ops, &child, NULL);
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
        child.process = spawner_spawn(&request, &ops, &child, NULL);
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
    child.process = spawner_spawn(&request, &ops, &child, NULL);
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
        child.process = spawner_spawn(&request, &ops, &child, NULL);
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

static void assert_refused(const SpawnRequest *request, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(spawner_spawn(request, &ops, NULL, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, message));
}

static void assert_runs(const SpawnRequest *request)
{
    g_autoptr(GError) err = NULL;
    Child child;

    child_init(&child);
    child.process = spawner_spawn(request, &ops, &child, &err);
    g_assert_no_error(err);
    wait_ended(&child);
    g_assert_cmpstr(child.log->str, ==, "started;exited 0;");
    child_clear(&child);
}

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
    child.process = spawner_spawn(&request, &ops, &child, NULL);
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
    child.process = spawner_spawn(request, &ops, &child, NULL);
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
        children[i].process = spawner_spawn(&request, &ops, &children[i], NULL);
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
        execl("/proc/self/exe", "test-spawner", "--helper", name, NULL);
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
    child->process = spawner_spawn(&request, &ops, child, &err);
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
    sigset_t some;
    int status;

    for (unsigned i = 0; argc == 3 && g_str_equal(argv[1], "--helper") && i < G_N_ELEMENTS(helpers); i++) {
        if (g_str_equal(argv[2], helpers[i].name)) {
            helpers[i].run();
        }
    }
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
    prctl(PR_SET_CHILD_SUBREAPER, 1);

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
    g_test_add_func("/spawner/spawner-dies", test_spawner_dies);
    g_test_add_func("/spawner/stop-tells-nobody", test_stop_tells_nobody);
    g_test_add_func("/spawner/main-emulator-dies", test_main_emulator_dies);
    g_test_add_func("/spawner/main-emulator-dies-but-not-its-socket", test_main_emulator_dies_but_not_its_socket);
    g_test_add_func("/spawner/closed-standard-descriptors", test_closed_standard_descriptors);
    g_test_add_func("/spawner/malformed-requests", test_malformed_requests);
    g_test_add_func("/spawner/too-short-or-long-ends-the-spawner", test_too_short_or_long_ends_the_spawner);
    g_test_add_func("/spawner/spawner-counts-children-itself", test_spawner_counts_children_itself);
    status = g_test_run();
    spawner_stop();
    return status;
}
