/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -kernel, -initrd, -append, -bios, -boot, -rtc: what the machine starts with.
 *
 * Thread: main thread.  Runs in: mpqemu.
 */
#ifndef MAIN_BOOT_OPTIONS_H
#define MAIN_BOOT_OPTIONS_H

#include "config.h"

/* Option handlers; OPAQUE is the MainConfig. */
bool main_opt_kernel(const char *arg, void *opaque, GError **errp);
bool main_opt_initrd(const char *arg, void *opaque, GError **errp);
bool main_opt_append(const char *arg, void *opaque, GError **errp);
bool main_opt_bios(const char *arg, void *opaque, GError **errp);
bool main_opt_boot(const char *arg, void *opaque, GError **errp);
bool main_opt_rtc(const char *arg, void *opaque, GError **errp);

/* Behind the last option: that they go together. */
bool boot_options_check(const MainConfig *config, GError **errp);

#endif
