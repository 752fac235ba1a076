/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting the processes of a plan.
 *
 * Thread: the only one.  Runs in: mpqemu-launch.
 *
 * Every child: killed with the launcher (parent-death signal SIGKILL, with the check against the race); its own
 * ends of the socketpairs and no other's.
 *
 * A remote also: a session of its own, so that no terminal signal reaches it; standard input from /dev/null, standard
 * output is the launcher's standard error (the emulator's output may be a protocol); no inherited descriptor above 2;
 * default signal actions, an empty signal mask; of the environment only what remote_environment (spawn.c) names;
 * execve(2) of the absolute path.
 *
 * The emulator also: the launcher's process group, signal mask and actions as the launcher found them, all
 * inherited descriptors and the whole environment; its program is searched in PATH.
 */
#ifndef LAUNCH_SPAWN_H
#define LAUNCH_SPAWN_H

#include <stdbool.h>
#include <signal.h>
#include "plan.h"

/* Exit statuses of the launcher's own; else it has the emulator's.  As env(1) and shells have them. */
#define LAUNCH_EXIT_USAGE 2
#define LAUNCH_EXIT_FAILED 125     /* the launcher or a remote could not start */
#define LAUNCH_EXIT_CANNOT_RUN 126 /* the emulator is there, but exec failed */
#define LAUNCH_EXIT_NOT_FOUND 127  /* the emulator is not there */

/* How signals were when the launcher was started. */
typedef struct SpawnSignals {
    sigset_t mask;
    struct sigaction child; /* of SIGCHLD, the only action that the launcher changes */
} SpawnSignals;

/*
 * Starts PROCESS; returns when its exec has succeeded (then its pid is set) or failed: false with *errp, and
 * *ret_status the exit status to end with.
 */
bool spawn_process(LaunchProcess *process, const SpawnSignals *signals, int *ret_status, GError **errp);

/* Becomes the emulator of COMMAND (NULL-ended).  Returns the exit status with *errp, since it has failed. */
int spawn_replace(char *const *command, GError **errp);

#endif
