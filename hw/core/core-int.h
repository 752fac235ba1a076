/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices and buses: what their own files share.
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef HW_CORE_CORE_INT_H
#define HW_CORE_CORE_INT_H

#include "hw/core/bus.h"

/*
 * Puts DEV below /machine/peripheral (by its id) or peripheral-anon, unless it is in the tree
 * already.
 */
bool device_add_to_tree(Device *dev, GError **errp);

/*
 * The first half of device_add(): a device as OPTS says, with its properties set, plugged nowhere.
 * Returns a reference and the bus it is for (NULL: needs none), or NULL with *errp.  HOTPLUG: a class
 * that cannot come at run time is refused.
 */
Device *device_new_from_options(Options *opts, bool hotplug, Bus **ret_bus, GError **errp);

/* "-device DRIVER,id=ID: ", what messages about OPTS begin with; free with g_free(). */
char *device_describe(Options *opts);

/* Puts that in front of *errp's message. */
void device_prefix_error(Options *opts, GError **errp);

#endif
