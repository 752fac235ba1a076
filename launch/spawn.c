/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting processes: fork, set-up in the child, exec, and the news of a failure.
 *
 * Runs in: mpqemu-launch, and between fork and exec in its children.
 *
 * A close-on-exec pipe tells whether exec succeeded: it closes, or it carries what has failed.
 */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fd.h"

/*
 * What a remote sees of the environment.  It holds a device that a guest may break out of: nothing that was meant
 * for others (credentials, sockets of systemd) belongs there.
 */
static const char *const remote_environment[] = {
    "LANG", "LC_ALL", "LC_MESSAGES", "TZ", "TMPDIR",
    "ASAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS", /* builds for tests */
};

/* What a child writes into the pipe. */
typedef struct SpawnFailure {
    bool at_exec; /* else in its preparation */
    int error;    /* errno */
} SpawnFailure;

/* ---- in the child --------------------------------------------------------------------------------------------- */

static bool keep_fds(const LaunchProcess *process)
{
    for (guint i = 0; i < process->fds->len; i++) {
        if (fcntl(g_array_index(process->fds, int, i), F_SETFD, 0) < 0) {
            return false;
        }
    }
    return true;
}

static bool set_default_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        sigaction(number, &action, NULL); /* fails for those that have no other action */
    }
    sigemptyset(&none);
    return pthread_sigmask(SIG_SETMASK, &none, NULL) == 0;
}

static bool prepare_remote(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    /* The pipe to the launcher must live until exec: so the others are not closed here, but then. */
    return null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 &&
           close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0 && setsid() >= 0 && set_default_signals();
}

static bool prepare_emulator(const SpawnSignals *signals)
{
    return sigaction(SIGCHLD, &signals->child, NULL) == 0 && pthread_sigmask(SIG_SETMASK, &signals->mask, NULL) == 0;
}

static void G_GNUC_NORETURN run_child(const LaunchProcess *process, const SpawnSignals *signals, char *const *envp,
                                      pid_t launcher, int news)
{
    SpawnFailure failure = { .at_exec = false };

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
        (process->remote ? prepare_remote() : prepare_emulator(signals)) && keep_fds(process)) {
        if (getppid() != launcher) {
            _exit(LAUNCH_EXIT_FAILED); /* it died before prctl() */
        }
        failure.at_exec = true;
        if (process->remote) {
            execve(process->program, (char *const *)process->argv->pdata, envp);
        } else {
            execvp(process->program, (char *const *)process->argv->pdata);
        }
    }
    failure.error = errno;
    /* Not delivered only if the launcher is dead, and then so is this process. */
    _exit(write(news, &failure, sizeof(failure)) == sizeof(failure) ? LAUNCH_EXIT_FAILED : LAUNCH_EXIT_CANNOT_RUN);
}

/* ---- in the launcher ------------------------------------------------------------------------------------------ */

static GPtrArray *environment_of_remote(void)
{
    GPtrArray *env = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; i < G_N_ELEMENTS(remote_environment); i++) {
        const char *value = g_getenv(remote_environment[i]);

        if (value) {
            g_ptr_array_add(env, g_strdup_printf("%s=%s", remote_environment[i], value));
        }
    }
    g_ptr_array_add(env, NULL);
    return env;
}

/* Waits for the end of the pipe; true with *failure when something came. */
static bool read_failure(int news, SpawnFailure *failure)
{
    ssize_t got;

    do {
        got = read(news, failure, sizeof(*failure));
    } while (got < 0 && errno == EINTR);
    return got == sizeof(*failure);
}

/* A message and an exit status for ERROR of exec. */
static int exec_failed(bool remote, const char *title, const char *program, int error, GError **errp)
{
    error_setg_errno(errp, error, "%s: cannot run '%s'; correct %s", title, program,
                     remote ? "exec=, or make it executable" : "the word after '--', or make it executable");
    return remote ? LAUNCH_EXIT_FAILED : error == ENOENT ? LAUNCH_EXIT_NOT_FOUND : LAUNCH_EXIT_CANNOT_RUN;
}

bool spawn_process(LaunchProcess *process, const SpawnSignals *signals, int *ret_status, GError **errp)
{
    g_autoptr(GPtrArray) env = environment_of_remote();
    pid_t launcher = getpid(), pid;
    SpawnFailure failure;
    auto_fd news = -1;
    int ends[2];

    *ret_status = LAUNCH_EXIT_FAILED;
    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_setg_errno(errp, errno, "%s: no pipe for its start; raise the limit of descriptors (ulimit -n)",
                         process->title);
        return false;
    }
    news = ends[0];
    pid = fork();
    if (pid == 0) {
        run_child(process, signals, (char *const *)env->pdata, launcher, ends[1]);
    }
    fd_close(&ends[1]);
    if (pid < 0) {
        error_setg_errno(errp, errno, "%s: cannot start a process; raise the limit (ulimit -u)", process->title);
        return false;
    }
    if (!read_failure(news, &failure)) {
        process->pid = pid;
        return true;
    }
    waitpid(pid, NULL, 0); /* it has nothing left to do */
    if (failure.at_exec) {
        *ret_status = exec_failed(process->remote, process->title, process->program, failure.error, errp);
    } else {
        error_setg_errno(errp, failure.error, "%s: cannot prepare its process", process->title);
    }
    return false;
}

int spawn_replace(char *const *command, GError **errp)
{
    execvp(command[0], command);
    return exec_failed(false, "the emulator", command[0], errno, errp);
}
