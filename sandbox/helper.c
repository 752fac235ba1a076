/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every helper process begins with.
 *
 * Runs in: mpqemu and its helpers.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox/helper.h"
#include "util/error.h"
#include "util/fd.h"

/* ---- the main emulator ------------------------------------------------------------------------------------------- */

bool helper_start(const char *name, void (*run)(int sock, pid_t parent), int *ret_sock, pid_t *ret_pid, GError **errp)
{
    const pid_t parent = getpid();
    sigset_t all, before;
    int socks[2], err;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0) {
        error_setg(errp, "cannot make the %s's socket: %s; raise the limit (ulimit -n)", name, errno_text(errno));
        return false;
    }
    /* No signal may run a handler of the main emulator's in the helper. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid = fork();
    if (pid == 0) {
        run(socks[1], parent);
        _exit(1);
    }
    err = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fd_close(&socks[1]);
    if (pid < 0) {
        fd_close(&socks[0]);
        error_setg(errp, "cannot fork the %s: %s; raise the limit of processes (ulimit -u)", name, errno_text(err));
        return false;
    }
    *ret_sock = socks[0];
    *ret_pid = pid;
    return true;
}

/* ---- the helper ----------------------------------------------------------------------------------------------- */

void helper_reset_signal_actions(void)
{
    /* Numbers that cannot be changed (SIGKILL, SIGSTOP, those of the C library) are refused, which is fine. */
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL);
    }
}

/*
 * What ps shows instead of the main emulator's command line: the kernel reads it from the memory where
 * the arguments were at exec, whose place /proc tells.  Without /proc it stays as it is.
 */
static void set_title(const char *title)
{
    unsigned long start = 0, end = 0;
    char stat[1024];
    auto_fd fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, stat, sizeof(stat) - 1);
    char *field;

    if (n <= 0) {
        return;
    }
    stat[n] = '\0';
    /* Field 2, the name, may contain anything; the arguments' bounds are fields 48 and 49. */
    field = strrchr(stat, ')');
    for (int i = 2; field && i < 48; i++) {
        field = strchr(field + 1, ' ');
    }
    /* NOLINTNEXTLINE(cert-err34-c): the kernel writes numbers that fit */
    if (field && sscanf(field, " %lu %lu", &start, &end) == 2 && start && end > start) {
        size_t room = end - start;
        size_t len = MIN(strlen(title), room - 1);

        memset((char *)start, 0, room);
        memcpy((char *)start, title, len);
    }
}

/* Standard input from /dev/null, SOCK at its number, and nothing else above standard error. */
static bool arrange_fds(int sock)
{
    int null;

    /* The launcher may have closed standard descriptors, and the socket have got such a number. */
    sock = fcntl(sock, F_DUPFD_CLOEXEC, HELPER_SOCK_FD + 1);
    null = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, HELPER_SOCK_FD + 1);
    if (sock < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0) {
        return false;
    }
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        int flags = fcntl(fd, F_GETFD);

        /* Close-on-exec was not inherited: it is something of the main emulator's. */
        if ((flags < 0 || (flags & FD_CLOEXEC)) && dup2(null, fd) < 0) {
            return false;
        }
    }
    return dup3(sock, HELPER_SOCK_FD, O_CLOEXEC) >= 0 && close_range(HELPER_SOCK_FD + 1, ~0u, 0) == 0;
}

int helper_begin(const char *name, int sock, pid_t parent)
{
    g_autofree char *comm = g_strconcat("mpqemu-", name, NULL);
    g_autofree char *title = g_strconcat("mpqemu: ", name, NULL);
    auto_fd signals = -1;
    sigset_t heard;

    helper_reset_signal_actions(); /* an ignored SIGCHLD would reap a helper's children for it */
    /* A terminal's signals, for the session, are for the main emulator to decide on. */
    setsid();
    prctl(PR_SET_NAME, comm);
    set_title(title);
    sigemptyset(&heard);
    sigaddset(&heard, SIGCHLD);
    sigaddset(&heard, HELPER_PARENT_DIED);
    if (!arrange_fds(sock)) {
        return -1;
    }
    signals = signalfd(-1, &heard, SFD_CLOEXEC | SFD_NONBLOCK);
    prctl(PR_SET_PDEATHSIG, HELPER_PARENT_DIED);
    return getppid() == parent ? fd_steal(&signals) : -1;
}
