/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run state and shutdown.
 * Runs in: both programs.
 */
#include <glib.h>
#include "system/runstate.h"
#include "util/event-loop.h"
#include "trace/system.h"

typedef struct RunStateEntry {
    RunStateHandler *handler;
    void *opaque;
} RunStateEntry;

static RunState current = RUN_STATE_PRELAUNCH;
static GList *entries; /* RunStateEntry * */
static bool can_resume = true;

/* -1: not asked; any thread or signal handler may set it, once. */
static int shutdown_status = -1;

RunState runstate_get(void)
{
    return current;
}

const char *runstate_name(RunState state)
{
    static const char *const names[] = {
        [RUN_STATE_PRELAUNCH] = "prelaunch", [RUN_STATE_RUNNING] = "running",
        [RUN_STATE_PAUSED] = "paused",       [RUN_STATE_IO_ERROR] = "io-error",
        [RUN_STATE_SHUTDOWN] = "shutdown",
    };

    return names[state];
}

/* The one place that changes the state. */
static void set_state(RunState state)
{
    bool was_running = current == RUN_STATE_RUNNING;
    bool running = state == RUN_STATE_RUNNING;
    GList *next;

    trace_runstate_set(runstate_name(current), runstate_name(state));
    current = state;
    if (running == was_running) {
        return;
    }
    for (GList *link = entries; link; link = next) {
        RunStateEntry *entry = link->data;

        next = link->next;
        entry->handler(running, state, entry->opaque);
    }
}

void runstate_register(RunStateHandler *handler, void *opaque)
{
    RunStateEntry *entry = g_new(RunStateEntry, 1);

    *entry = (RunStateEntry) { handler, opaque };
    entries = g_list_append(entries, entry);
}

void runstate_unregister(RunStateHandler *handler, void *opaque)
{
    for (GList *link = entries; link; link = link->next) {
        RunStateEntry *entry = link->data;

        if (entry->handler == handler && entry->opaque == opaque) {
            entries = g_list_delete_link(entries, link);
            g_free(entry);
            return;
        }
    }
}

void vm_start(void)
{
    if (current != RUN_STATE_RUNNING && current != RUN_STATE_SHUTDOWN) {
        set_state(RUN_STATE_RUNNING);
    }
}

void vm_stop(RunState reason)
{
    if (current == RUN_STATE_RUNNING) {
        set_state(reason);
    }
}

void runstate_set_resumable(bool resumable)
{
    can_resume = resumable;
}

bool runstate_resumable(void)
{
    return can_resume;
}

void shutdown_request(int exit_status)
{
    int expected = -1;

    __atomic_compare_exchange_n(&shutdown_status, &expected, exit_status, false, __ATOMIC_RELEASE,
                                __ATOMIC_RELAXED);
    event_loop_quit(event_loop_main());
}

bool shutdown_requested(int *ret_exit_status)
{
    int status = __atomic_load_n(&shutdown_status, __ATOMIC_ACQUIRE);

    if (status >= 0) {
        *ret_exit_status = status;
    }
    return status >= 0;
}
