/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the spawner: children whose life is written down, and what /proc says of them.
 *
 * Runs in: tests.
 */
#ifndef TESTS_SPAWNER_RIG_H
#define TESTS_SPAWNER_RIG_H

#include <stdbool.h>
#include <sys/types.h>
#include <glib.h>
#include "hw/proxy/spawner.h"

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

extern const SpawnOps child_ops; /* opaque: the Child */

void child_init(Child *child);
void child_clear(Child *child);

/* Asks for a child; argv[0] is the path, too. */
void child_spawn(Child *child, const char *const *argv);

/* Turn the event loop until it runs, or has ended. */
void wait_started(Child *child);
void wait_ended(Child *child);

/* Kills a child that runs, waits for its end and clears it. */
void child_kill(Child *child);

/* REQUEST is refused at once, for MESSAGE among others. */
void assert_refused(const SpawnRequest *request, const char *message);

/* REQUEST runs and ends with status 0. */
void assert_runs(const SpawnRequest *request);

/* The file /proc/PID/NAME; RET_LEN may be NULL. */
char *proc_read(pid_t pid, const char *name, size_t *ret_len);

/* The value of FIELD ("SigIgn:") in /proc/PID/status. */
char *proc_status(pid_t pid, const char *field);
pid_t parent_of(pid_t pid);

/* The open descriptors of PID in order: "0 1 2 ". */
char *proc_fds(pid_t pid);

/*
 * Waits until the open descriptors of PID are those: a child is seen opening its libraries for a moment, and a
 * spawner closing what it has told.
 */
void wait_fds(pid_t pid, const char *expected);
void assert_fd_is(pid_t pid, int fd, const char *target);

extern const char *const sleeper[]; /* arguments of a child that does nothing for ever */

/* The process that starts our children. */
pid_t spawner_pid(void);

#endif
