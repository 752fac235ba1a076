/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the user asked of qemu-remote on its command line.
 *
 * Thread: main thread.  Runs in: qemu-remote.
 */
#ifndef REMOTE_CONFIG_H
#define REMOTE_CONFIG_H

#include <stdbool.h>
#include <glib.h>
#include "util/options.h"

/*
 * The steps of the start, in this order whatever the order of the options was; inside a step the command line's
 * order holds.  What a step makes is needed by the steps after it.
 */
typedef enum RemoteStep {
    REMOTE_STEP_FDS,      /* -add-fd */
    REMOTE_STEP_OBJECTS,  /* -object, but x-remote-object */
    REMOTE_STEP_BLOCKDEV, /* -blockdev */
    REMOTE_STEP_DRIVE,    /* -drive */
    REMOTE_STEP_DEVICE,   /* -device */
    REMOTE_STEP_LINK,     /* -object x-remote-object */
    REMOTE_STEP_MAX,
} RemoteStep;

typedef struct RemoteConfig {
    GPtrArray *actions[REMOTE_STEP_MAX]; /* cmdline_actions_new() */
    bool auto_shutdown;                  /* end with the last link */
    bool only_help;                      /* help or version was printed: do nothing else */
} RemoteConfig;

/* Parses the command line; options that print something (help, version) have printed.  Free the result. */
RemoteConfig *remote_config_parse(int argc, char *const *argv, GError **errp);
void remote_config_free(RemoteConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteConfig, remote_config_free)

#endif
