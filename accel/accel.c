/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accelerators: which there are, and which is in use.
 *
 * Runs in: mpqemu.
 */
#include "accel/accel.h"

#include <stdio.h>

#include "util/error.h"
#include "util/log.h"

static bool initialised;

static const Accel *find(const char *name)
{
    for (unsigned i = 0; accels[i]; i++) {
        if (g_str_equal(accels[i]->name, name)) {
            return accels[i];
        }
    }
    return NULL;
}

bool accel_exists(const char *name)
{
    return find(name) != NULL;
}

/* Opens ACCEL; else adds its reason to REASONS. */
static bool try_open(const Accel *accel, bool alone, GString *reasons)
{
    g_autoptr(GError) err = NULL;

    if (accel->open(alone, &err)) {
        return true;
    }
    g_string_append_printf(reasons, "%s%s: %s", reasons->len ? "; " : "", accel->name, err->message);
    return false;
}

bool accel_select(const char *const *names, GError **errp)
{
    g_autoptr(GString) reasons = g_string_new(NULL);
    g_autofree char *list = NULL;

    /* A misspelt name is told whether or not it comes to its turn. */
    for (unsigned i = 0; names[i]; i++) {
        if (!find(names[i])) {
            error_setg(errp, "-accel %s: there is no accelerator of this name; -accel help lists them", names[i]);
            return false;
        }
    }
    for (unsigned i = 0; names[i]; i++) {
        const Accel *accel = find(names[i]);

        if (try_open(accel, names[1] == NULL, reasons)) {
            if (reasons->len) {
                log_info("accelerator %s is used (%s)", accel->name, reasons->str);
            }
            accel_set_current(accel);
            return true;
        }
    }
    list = g_strjoinv(":", (char **)names);
    error_setg(errp, "-accel %s: none works here: %s", list, reasons->str);
    return false;
}

bool accel_init(const char *cpu_model, GError **errp)
{
    if (!accel_current()->init(cpu_model, errp)) {
        return false;
    }
    initialised = true;
    return true;
}

void accel_cleanup(void)
{
    if (initialised && accel_current()->cleanup) {
        accel_current()->cleanup();
    }
    initialised = false;
    accel_set_current(NULL);
}

void accel_print(void)
{
    printf("Accelerators in this program:\n");
    for (unsigned i = 0; accels[i]; i++) {
        printf("%-20s %s\n", accels[i]->name, accels[i]->description);
    }
}
