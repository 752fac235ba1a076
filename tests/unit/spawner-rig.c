/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the spawner: children whose life is written down, and what /proc says of them.
 *
 * Runs in: tests.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "spawner-rig.h"
#include "util/event-loop.h"
#include "util/fd.h"

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

const SpawnOps child_ops = { .started = on_started, .failed = on_failed, .exited = on_exited };

void child_init(Child *child)
{
    *child = (Child) { .log = g_string_new(NULL), .pidfd = -1 };
}

void child_clear(Child *child)
{
    g_string_free(child->log, TRUE);
    fd_close(&child->pidfd);
}

void child_spawn(Child *child, const char *const *argv)
{
    SpawnRequest request = { .path = argv[0], .argv = argv };
    g_autoptr(GError) err = NULL;

    child->process = spawner_spawn(&request, &child_ops, child, &err);
    g_assert_no_error(err);
    g_assert_nonnull(child->process);
    g_assert_cmpstr(child->log->str, ==, ""); /* never inside the call */
}

void wait_started(Child *child)
{
    while (child->pid == 0 && !child->ended) {
        event_loop_turn(event_loop_main(), true);
    }
    g_assert_cmpstr(child->log->str, ==, "started;");
}

void wait_ended(Child *child)
{
    while (!child->ended) {
        event_loop_turn(event_loop_main(), true);
    }
}

void child_kill(Child *child)
{
    g_assert_cmpint(syscall(SYS_pidfd_send_signal, child->pidfd, SIGKILL, NULL, 0), ==, 0);
    wait_ended(child);
    g_assert_cmpstr(child->log->str, ==, "started;exited 9;");
    child_clear(child);
}

char *proc_read(pid_t pid, const char *name, size_t *ret_len)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, name);
    g_autoptr(GError) err = NULL;
    char *text = NULL;

    g_file_get_contents(path, &text, ret_len, &err);
    g_assert_no_error(err);
    return text;
}

char *proc_status(pid_t pid, const char *field)
{
    g_autofree char *text = proc_read(pid, "status", NULL);
    char *line = strstr(text, field);

    g_assert_nonnull(line);
    line += strlen(field);
    return g_strstrip(g_strndup(line, strcspn(line, "\n")));
}

char *proc_fds(pid_t pid)
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

void wait_fds(pid_t pid, const char *expected)
{
    g_autofree char *fds = proc_fds(pid);

    for (int ms = 0; ms < 20000 && strcmp(fds, expected) != 0; ms++) {
        g_usleep(1000);
        g_free(fds);
        fds = proc_fds(pid);
    }
    g_assert_cmpstr(fds, ==, expected);
}

void assert_fd_is(pid_t pid, int fd, const char *target)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/fd/%d", (int)pid, fd);
    g_autofree char *link = g_file_read_link(path, NULL);

    g_assert_cmpstr(link, ==, target);
}

pid_t parent_of(pid_t pid)
{
    g_autofree char *ppid = proc_status(pid, "PPid:");

    return atoi(ppid);
}

const char *const sleeper[] = { "/bin/sleep", "100000", NULL };

pid_t spawner_pid(void)
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

void assert_refused(const SpawnRequest *request, const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(spawner_spawn(request, &child_ops, NULL, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, message));
}

void assert_runs(const SpawnRequest *request)
{
    g_autoptr(GError) err = NULL;
    Child child;

    child_init(&child);
    child.process = spawner_spawn(request, &child_ops, &child, &err);
    g_assert_no_error(err);
    wait_ended(&child);
    g_assert_cmpstr(child.log->str, ==, "started;exited 0;");
    child_clear(&child);
}
