/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts a remote and a main emulator on the two ends of a new device link.
 * Runs in: neither program; a small launcher for guests that have no other.
 *
 * Usage: linkpair REMOTE ARGUMENT... -- MAIN ARGUMENT...
 *
 * The remote finds its end of the link as fd 10, the main emulator as fd 11; neither gets the other
 * end, so that each sees it when the other goes. linkpair waits for both, prints how they ended,
 * and succeeds if both exited with status 0.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REMOTE_FD = 10,
    MAIN_FD = 11,
};

/* Start a program with one end of the link as fd number; ends this program when that fails. */
static pid_t start(char **arguments, int end, int number)
{
    pid_t pid = fork();

    if (pid < 0) {
        perror("linkpair: fork");
        exit(EXIT_FAILURE);
    }
    if (pid == 0) {
        /* dup2 clears the close-on-exec flag that both ends of the pair have. */
        if (dup2(end, number) >= 0) {
            execvp(arguments[0], arguments);
        }
        perror(arguments[0]);
        _exit(127);
    }
    return pid;
}

/* Wait for one process; returns its wait status. */
static int finish(const char *name, pid_t pid)
{
    int status = 0;

    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) {
        printf("linkpair: %s ended by signal %d\n", name, WTERMSIG(status));
    } else {
        printf("linkpair: %s exited with status %d\n", name, WEXITSTATUS(status));
    }
    return status;
}

int main(int argc, char **argv)
{
    int ends[2];
    int split = 1;

    while (split < argc && strcmp(argv[split], "--") != 0) {
        split++;
    }
    if (split < 2 || split + 1 >= argc) {
        fprintf(stderr, "usage: linkpair REMOTE ARGUMENT... -- MAIN ARGUMENT...\n");
        return EXIT_FAILURE;
    }
    argv[split] = NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        perror("linkpair: socketpair");
        return EXIT_FAILURE;
    }

    pid_t remote_pid = start(&argv[1], ends[0], REMOTE_FD);
    pid_t main_pid = start(&argv[split + 1], ends[1], MAIN_FD);

    close(ends[0]);
    close(ends[1]);

    int main_status = finish("main", main_pid);
    int remote_status = finish("remote", remote_pid);

    return main_status == 0 && remote_status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
