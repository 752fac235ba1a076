/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan: which processes are started, each with its arguments and its ends of the socketpairs.
 *
 * Thread: the only one.  Runs in: mpqemu-launch.
 *
 * A number in an argument is the descriptor's number in the launcher; a child keeps it under the same number.
 */
#ifndef LAUNCH_PLAN_H
#define LAUNCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <glib.h>
#include "config.h"

typedef struct LaunchProcess {
    char *title;      /* for messages: "remote 'disk'"; owned */
    char *program;    /* absolute path, or for the emulator what PATH is searched for; owned */
    GPtrArray *argv;  /* owned char *, NULL-ended */
    GArray *fds;      /* int; close-on-exec here, kept by the child; owned */
    char *devices;    /* "lsi0, lsi1", for messages; NULL: none; owned */
    bool remote;      /* gets a remote's surroundings (spawn.h) */

    /* Set by spawn.c, then watch.c's. */
    pid_t pid;        /* 0: not started */
    bool ended;
    int status;       /* wait status, when it has ended */
    bool told;        /* its end needs no word any more */
    int64_t ended_us; /* g_get_monotonic_time() when that was seen */
} LaunchProcess;

typedef struct LaunchPlan {
    LaunchProcess *emulator;
    GPtrArray *remotes; /* LaunchProcess, owned; in the order of the command line */
    unsigned grace;     /* seconds */
} LaunchPlan;

/*
 * Makes the socketpairs and the argument lists.  Fails when there are no descriptors left, when a place
 * (@fd:ID@, @control:RID@) names nothing, or when there is no qemu-remote to be found.
 */
LaunchPlan *launch_plan_new(const LaunchConfig *config, GError **errp);

/* Closes what is still open; processes go on. */
void launch_plan_free(LaunchPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LaunchPlan, launch_plan_free)

/*
 * The emulator's command line for a run without remotes: each argument with a place is left out together with the
 * option before it.  The array is the caller's, the strings are argv's; NULL-ended.
 */
GPtrArray *launch_plain_command(char *const *command);

#endif
