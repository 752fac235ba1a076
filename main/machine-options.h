/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -machine, -accel, -cpu, -smp, -m, -numa: the machine, its processors and its memory.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_MACHINE_OPTIONS_H
#define MAIN_MACHINE_OPTIONS_H

#include "config.h"

/* Option handlers; OPAQUE is the MainConfig. */
bool main_opt_machine(const char *arg, void *opaque, GError **errp);
bool main_opt_accel(const char *arg, void *opaque, GError **errp);
bool main_opt_cpu(const char *arg, void *opaque, GError **errp);
bool main_opt_smp(const char *arg, void *opaque, GError **errp);
bool main_opt_memory(const char *arg, void *opaque, GError **errp);
bool main_opt_numa(const char *arg, void *opaque, GError **errp);

/* Behind the last option: the accelerators, ended by NULL, are what the user named, or what suits the others. */
bool machine_options_complete(MainConfig *config, GError **errp);

/*
 * More memory than there is can be asked for, and may be what is wanted (a guest that uses little of it); but the
 * machine's end comes without a word, so one is said here.
 */
void machine_options_warn(const MainConfig *config);

#endif
