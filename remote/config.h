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
#include "monitor/options.h"
#include "sandbox/sandbox.h"

typedef struct RemoteConfig {
    MonitorOptions monitor; /* first: the shared option handlers use it */
    bool auto_shutdown;     /* end with the last link */
    bool stopped;           /* -S */
    SandboxConfig sandbox;
} RemoteConfig;

/* Parses the command line; options that print something (help, version) have printed.  Free the result. */
RemoteConfig *remote_config_parse(int argc, char *const *argv, GError **errp);
void remote_config_free(RemoteConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteConfig, remote_config_free)

#endif
