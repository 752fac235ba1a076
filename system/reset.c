/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine reset.
 * Runs in: both programs.
 */
#include <glib.h>
#include "system/reset.h"

typedef struct ResetEntry {
    ResetHandler *handler;
    void *opaque;
} ResetEntry;

static GList *reset_entries; /* ResetEntry *, in order of registration */

void reset_register(ResetHandler *handler, void *opaque)
{
    ResetEntry *entry = g_new(ResetEntry, 1);

    *entry = (ResetEntry) { handler, opaque };
    reset_entries = g_list_append(reset_entries, entry);
}

void system_reset(void)
{
    for (GList *link = reset_entries; link; link = link->next) {
        ResetEntry *entry = link->data;

        entry->handler(entry->opaque);
    }
}

void system_reset_for(ShutdownCause cause)
{
    system_reset();
    runstate_reset();
    shutdown_cause_emit("RESET", cause);
}
