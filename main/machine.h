/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine types, and the guest's RAM.
 *
 * Thread: main thread, with the machine lock held.  Runs in: mpqemu.
 */
#ifndef MAIN_MACHINE_H
#define MAIN_MACHINE_H

#include "config.h"

/* True when there is a machine type NAME. */
bool machine_type_exists(const char *name);

/* "-machine help". */
void machine_print_types(void);

/*
 * Makes the machine of CONFIG with its processors, without their threads, and RAM: the memory backends of -numa or memory-backend=, else
 * sealed anonymous memory.  The objects exist already.  Call once.
 */
bool machine_create(const MainConfig *config, GError **errp);

/* Unrealizes what the user has put on the machine's PCI bus. */
void machine_destroy_devices(void);

#endif
