/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -remote, -rdrive, -rdevice: devices in processes that this program manages.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_REMOTE_OPTIONS_H
#define MAIN_REMOTE_OPTIONS_H

#include "config.h"

/* Option handlers; OPAQUE is the MainConfig. */
bool main_opt_remote(const char *arg, void *opaque, GError **errp);
bool main_opt_rdrive(const char *arg, void *opaque, GError **errp);
bool main_opt_rdevice(const char *arg, void *opaque, GError **errp);

/* Carries -remote out: nothing is started yet. */
bool main_configure_remotes(const MainConfig *config, GError **errp);

/*
 * Carries the others out, and waits for the processes: on success all are made and ready.  The options' order does not
 * matter: drives come before devices, and a device whose bus another one provides after that.  The machine exists.
 */
bool main_make_remotes(const MainConfig *config, GError **errp);

#endif
