/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The spawner: from fork to exec in the child.
 *
 * Runs in: mpqemu's spawner, in the child that becomes a remote process.
 *
 * System calls only: nothing here allocates, and nothing returns.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/proxy/spawner-int.h"
#include "sandbox/helper.h"

/* The keep list begins behind the standard descriptors. */
#define FIRST_KEPT 3

static G_NORETURN void fail(int error_fd, SpawnerStep step, int error)
{
    SpawnerExecError report = { .step = step, .error = error };

    /* Smaller than PIPE_BUF into an empty pipe: whole.  A dead reader means that nobody wants to know. */
    if (write(error_fd, &report, sizeof(report)) < 0) {
        _exit(126);
    }
    _exit(127);
}

/*
 * Puts the keep list at 3 and up and closes all above it but the error pipe, which takes the next number.
 * Through numbers above all targets first, so that none is overwritten before it was moved.  Returns the
 * pipe's new number.
 */
static int place_fds(const SpawnerImage *image, int error_fd)
{
    const int end = FIRST_KEPT + (int)image->fd_count;
    int high[SPAWNER_FDS_MAX];
    int high_error = fcntl(error_fd, F_DUPFD_CLOEXEC, end + 1);

    if (high_error < 0) {
        fail(error_fd, SPAWNER_STEP_PLACE, errno);
    }
    for (unsigned i = 0; i < image->fd_count; i++) {
        high[i] = fcntl(image->fds[i], F_DUPFD_CLOEXEC, end + 1);
        if (high[i] < 0) {
            fail(high_error, SPAWNER_STEP_PLACE, errno);
        }
    }
    for (unsigned i = 0; i < image->fd_count; i++) {
        /* dup2() leaves the copy open across exec. */
        if (dup2(high[i], FIRST_KEPT + (int)i) < 0) {
            fail(high_error, SPAWNER_STEP_PLACE, errno);
        }
    }
    if (dup3(high_error, end, O_CLOEXEC) < 0 || close_range((unsigned)end + 1, ~0u, 0) < 0) {
        fail(high_error, SPAWNER_STEP_PLACE, errno);
    }
    return end;
}

/* Asked before execve(), whose EACCES says about a directory the same as about a file without permission. */
static void check_regular(const char *path, int error_fd)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0) {
        fail(error_fd, SPAWNER_STEP_OPEN, errno);
    }
    if (!S_ISREG(st.st_mode)) {
        fail(error_fd, SPAWNER_STEP_REGULAR, 0);
    }
    close(fd);
}

void spawner_exec(const SpawnerImage *image, int error_fd)
{
    struct pollfd reader = { .fd = error_fd, .events = 0 };
    sigset_t none;

    helper_reset_signal_actions();
    /*
     * The spawner may have died before the kernel heard of the signal: then nobody reads the pipe.  getppid() does not
     * tell inside a PID namespace.
     */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (poll(&reader, 1, 0) != 0) {
        _exit(126);
    }
    if (image->comm) {
        prctl(PR_SET_NAME, image->comm);
    }
    error_fd = place_fds(image, error_fd);
    check_regular(image->path, error_fd);
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    /* By path and not by descriptor: a #! interpreter could not open the descriptor of a close-on-exec script. */
    execve(image->path, image->argv, image->envp);
    fail(error_fd, SPAWNER_STEP_EXEC, errno);
}
