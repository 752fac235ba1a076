/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor: what stays of a process whose work is done by a child in a PID namespace.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  One is born into a PID namespace, one cannot enter it.  So a process that was not started as
 * the first of one forks; the child goes on, the parent holds nothing but standard error, waits, passes on the signals
 * that ask a program to end, and ends as the child did.  Who dies first takes the other along: the child has SIGKILL as
 * its parent-death signal, and the parent has nothing else to wait for.  It also removes the sockets' files of monitors
 * at the end, which the child can reach no more.
 *
 * Being the first process of its namespace, the child gets only signals that it handles, but SIGKILL and SIGSTOP from
 * outside, and those of a fault or of the filter.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/fd-socket.h"
#include "sandbox/sandbox-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/own-file.h"

/* Passed on; SIGKILL and SIGSTOP cannot be, the first by the parent-death signal. */
static const int passed_on[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP, SIGCONT };

/* Monitors that listen, each with a file. */
#define LEFT_FILES_MAX 64

/* ---- the parent ----------------------------------------------------------------------------------------------- */

/* Ends this process as the child ended. */
static void G_GNUC_NORETURN end_as(int status, const char *name)
{
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        sigset_t set;

        if (number == SIGSYS) {
            log_error("%s has made a system call that its sandbox forbids, and was killed; -sandbox log tells which",
                      name);
        }
        signal(number, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, number);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        kill(getpid(), number);
        _exit(128 + number); /* one that does not kill */
    }
    _exit(WEXITSTATUS(status));
}

/* Files to be removed at the end. */
static struct {
    char *path;
    OwnFile file;
} left_files[LEFT_FILES_MAX];
static unsigned left_count;

static void note_file(const char *path)
{
    if (left_count < LEFT_FILES_MAX && own_file_note(path, &left_files[left_count].file)) {
        left_files[left_count++].path = g_strdup(path);
    }
}

static void remove_files(void)
{
    for (unsigned i = 0; i < left_count; i++) {
        own_file_remove(&left_files[i].file, left_files[i].path);
    }
}

/*
 * One message of the child's, which has not dealt with anybody yet: a path, or a descriptor, which is returned.  -1: a
 * path;
 * -2: the end.
 */
static int receive_message(int socket)
{
    char text[PATH_MAX + 1];
    FdSet fds;
    ssize_t n = fd_socket_receive(socket, text, sizeof(text) - 1, &fds, 0);

    if (n <= 0) {
        fd_set_drop(&fds);
        return -2;
    }
    if (fds.num == 1) {
        return fds.fds[0];
    }
    fd_set_drop(&fds);
    text[n] = '\0';
    note_file(text);
    return -1;
}

/* A terminal's SIGTSTP stops both, as one process; SIGCONT, which is seen when we go on, the child again. */
static void pass_on(pid_t child, int number)
{
    kill(child, number == SIGTSTP ? SIGSTOP : number);
    if (number == SIGTSTP) {
        kill(getpid(), SIGSTOP);
    }
}

static void G_GNUC_NORETURN supervise(pid_t child, int signals, int socket, const char *name)
{
    /* The last two: what the child sends until it is confined; what its filter reports. */
    struct pollfd fds[] = {
        { .fd = signals, .events = POLLIN },
        { .fd = socket, .events = POLLIN },
        { .fd = -1, .events = POLLIN },
    };
    int status;
    pid_t ended;

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(fds, G_N_ELEMENTS(fds), -1) < 0) {
            continue;
        }
        if (fds[1].revents) {
            int got = receive_message(socket);

            fds[1].fd = got == -2 ? -1 : socket;
            fds[2].fd = got >= 0 ? got : fds[2].fd;
        }
        if (fds[2].revents & POLLIN) {
            notifier_report(fds[2].fd, name);
        } else if (fds[2].revents) {
            fds[2].fd = -1;
        }
        while (read(signals, &info, sizeof(info)) == sizeof(info)) {
            if (info.ssi_signo != SIGCHLD) {
                pass_on(child, (int)info.ssi_signo);
            }
        }
        ended = waitpid(child, &status, WNOHANG);
        if (ended < 0) {
            _exit(1); /* somebody else has reaped it */
        }
        if (ended == child) {
            /* What it said last may not have been read. */
            while (fds[1].fd >= 0 && receive_message(socket) == -1) {
                continue;
            }
            remove_files();
            end_as(status, name);
        }
    }
}

/* Everything but standard error and the two, which are above it. */
static void close_all_but(int a, int b)
{
    int low = MIN(a, b), high = MAX(a, b);

    close(STDIN_FILENO);
    close(STDOUT_FILENO);
    if (low > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, (unsigned)low - 1, 0);
    }
    if (high > low + 1) {
        close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    }
    close_range((unsigned)high + 1, ~0u, 0);
}

/*
 * It holds nothing worth having; all the same nobody shall trace it, and it leaves no core when it ends as the child
 * did.
 */
static void confine_supervisor(void)
{
    process_hide(NULL);
    privileges_no_new(NULL);
}

/* ---- the child ------------------------------------------------------------------------------------------------ */

void supervisor_die_with(int socket)
{
    struct pollfd fd = { .fd = socket, .events = 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have died before the kernel heard of the signal; from inside the namespace it cannot be asked for. */
    if (poll(&fd, 1, 0) != 0) {
        _exit(1);
    }
}

/* ---- both ----------------------------------------------------------------------------------------------------- */

static int watch_signals(sigset_t *ret_before)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (unsigned i = 0; i < G_N_ELEMENTS(passed_on); i++) {
        sigaddset(&set, passed_on[i]);
    }
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, it would never come */
    pthread_sigmask(SIG_BLOCK, &set, ret_before);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * The signals of before, but for those that end the program: the first process of a PID namespace never gets one for
 * which it has no handler, so they wait until it asks for them (shutdown_signals_start()).
 */
static void keep_endings(const sigset_t *before)
{
    sigset_t set = *before;

    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

bool supervisor_fork(const SandboxConfig *config, const char *name, int *ret_socket, GError **errp)
{
    int pair[2] = { -1, -1 };
    char own_name[16]; /* TASK_COMM_LEN */
    sigset_t before;
    auto_fd signals = watch_signals(&before);
    pid_t child = -1;

    *ret_socket = -1;
    /* Before the child can be seen to work: who looks for the working process goes by this name. */
    prctl(PR_GET_NAME, own_name);
    prctl(PR_SET_NAME, "sandbox");
    if (signals >= 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0) {
        child = config->namespaces ? sandbox_fork() : fork();
    }
    if (child < 0) {
        error_setg_errno(errp, errno, "-sandbox: no process can be started; raise the limits (ulimit -n, ulimit -u)");
        fd_close(&pair[0]);
        fd_close(&pair[1]);
        return false;
    }
    if (child > 0) {
        fd_close(&pair[0]);
        close_all_but(signals, pair[1]);
        confine_supervisor();
        supervise(child, signals, pair[1], name);
    }
    fd_close(&pair[1]);
    prctl(PR_SET_NAME, own_name);
    supervisor_die_with(pair[0]);
    keep_endings(&before);
    if (config->namespaces && getpid() != 1) {
        error_setg(errp, "-sandbox: no PID namespace can be made; " SANDBOX_ALLOW_USER_NAMESPACES
                   "; or ask for less with -sandbox on,ns=off");
        fd_close(&pair[0]);
        return false;
    }
    *ret_socket = pair[0];
    return true;
}

void supervisor_send_file(int socket, const char *path)
{
    fd_socket_send(socket, path, strlen(path), NULL, 0, 0);
}

bool supervisor_send_notifier(int socket, int notifier_fd, GError **errp)
{
    auto_fd notifier = notifier_fd;
    ssize_t n = fd_socket_send(socket, "", 1, &notifier, 1, 0);

    if (n != 1) {
        error_setg_errno(errp, (int)-n, "-sandbox log: the supervisor, which prints what is reported, has gone; start "
                                        "again");
        return false;
    }
    return true;
}
