/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of mpqemu-launch, parsed: which remotes, which emulator.
 *
 * Thread: the only one.  Runs in: mpqemu-launch.
 *
 * Strings point into argv where they are not "owned"; argv must live as long as the config.
 */
#ifndef LAUNCH_CONFIG_H
#define LAUNCH_CONFIG_H

#include <stdbool.h>
#include <glib.h>

/* Seconds that remotes get to end by themselves, again after SIGTERM, and again after SIGKILL. */
#define LAUNCH_GRACE_DEFAULT 5
#define LAUNCH_GRACE_MAX 3600

/* One --remote. */
typedef struct LaunchRemote {
    char *rid;          /* owned */
    char *program;      /* absolute path; owned; NULL: the qemu-remote beside this program */
    GPtrArray *devices; /* ids (owned char *) that it serves, in order; may be empty when there is control */
    bool control;       /* its monitor goes to the emulator */
    char *const *args;  /* the user's arguments for it ... */
    int arg_count;      /* ... this many */
} LaunchRemote;

typedef struct LaunchConfig {
    bool only_help;       /* --help or --version: all is printed, nothing else is set */
    char *vm_name;        /* for process titles; owned */
    unsigned grace;       /* seconds */
    GPtrArray *remotes;   /* LaunchRemote, owned; at least one */
    char *const *emulator; /* program and arguments, NULL-ended */
    bool no_guest;        /* the emulator is asked for help or for its capabilities: no remotes */
} LaunchConfig;

/* NULL with *errp when the line is not understood; the message names option, value and remedy. */
LaunchConfig *launch_config_parse(int argc, char *const *argv, GError **errp);

void launch_config_free(LaunchConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LaunchConfig, launch_config_free)

#endif
