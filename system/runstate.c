/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run state and shutdown.
 * Runs in: both programs.
 */
#include <glib.h>
#include "qapi/qapi.h"
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

/* -1: not asked; else status and cause in one word.  Any thread or signal handler may set it, once. */
static int shutdown_word = -1;
#define CAUSE_SHIFT 8
static bool shutdown_announced;

RunState runstate_get(void)
{
    return current;
}

const char *runstate_name(RunState state)
{
    static const char *const names[] = {
        [RUN_STATE_PRELAUNCH] = "prelaunch", [RUN_STATE_RUNNING] = "running",
        [RUN_STATE_PAUSED] = "paused",       [RUN_STATE_IO_ERROR] = "io-error",
        [RUN_STATE_SHUTDOWN] = "shutdown",   [RUN_STATE_INTERNAL_ERROR] = "internal-error",
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
    /* Time passes as long as anybody may look at it. */
    if (running) {
        event_clock_set_running(true);
    }
    for (GList *link = entries; link; link = next) {
        RunStateEntry *entry = link->data;

        next = link->next;
        entry->handler(running, state, entry->opaque);
    }
    if (!running) {
        event_clock_set_running(false);
    }
    qapi_event_emit(running ? "RESUME" : "STOP", NULL);
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
    if (current != RUN_STATE_RUNNING && current != RUN_STATE_SHUTDOWN && current != RUN_STATE_INTERNAL_ERROR) {
        set_state(RUN_STATE_RUNNING);
    }
}

void vm_stop(RunState reason)
{
    if (current == RUN_STATE_RUNNING) {
        set_state(reason);
    }
}

void runstate_reset(void)
{
    if (current != RUN_STATE_RUNNING) {
        set_state(RUN_STATE_PRELAUNCH);
    }
}

static void stop_for_internal_error(void *opaque)
{
    vm_stop(RUN_STATE_INTERNAL_ERROR);
}

void internal_error_request(void)
{
    static gsize once;
    static EventBh *bh;

    if (g_once_init_enter(&once)) {
        bh = event_bh_new(event_loop_main(), stop_for_internal_error, NULL);
        g_once_init_leave(&once, 1);
    }
    event_bh_schedule(bh);
}

void runstate_set_resumable(bool resumable)
{
    can_resume = resumable;
}

bool runstate_resumable(void)
{
    return can_resume;
}

/* ---- shutdown -------------------------------------------------------------------------------- */

void shutdown_cause_emit(const char *name, ShutdownCause cause)
{
    static const char *const names[] = {
        "none", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui", "guest-shutdown",
        "guest-reset", "guest-panic", "subsystem-reset", "snapshot-load",
    };
    bool guest = cause >= SHUTDOWN_CAUSE_GUEST_SHUTDOWN && cause <= SHUTDOWN_CAUSE_GUEST_PANIC;
    JsonObject *data = json_object_new();

    json_object_set_boolean_member(data, "guest", guest);
    json_object_set_string_member(data, "reason", names[cause]);
    qapi_event_emit(name, data);
}

void shutdown_request_for(int exit_status, ShutdownCause cause)
{
    int expected = -1;
    int word = exit_status | (int)cause << CAUSE_SHIFT;

    __atomic_compare_exchange_n(&shutdown_word, &expected, word, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    event_loop_quit(event_loop_main());
}

static bool keep_after_shutdown;

void shutdown_set_keep(bool keep)
{
    keep_after_shutdown = keep;
}

static void stop_for_shutdown(void *opaque)
{
    if (current == RUN_STATE_RUNNING) {
        shutdown_cause_emit("SHUTDOWN", SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        vm_stop(RUN_STATE_SHUTDOWN);
    }
}

void shutdown_request_guest(void)
{
    static gsize once;
    static EventBh *bh;

    if (!keep_after_shutdown) {
        shutdown_request_for(0, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        return;
    }
    if (g_once_init_enter(&once)) {
        bh = event_bh_new(event_loop_main(), stop_for_shutdown, NULL);
        g_once_init_leave(&once, 1);
    }
    event_bh_schedule(bh);
}

void shutdown_request(int exit_status)
{
    shutdown_request_for(exit_status, exit_status ? SHUTDOWN_CAUSE_HOST_ERROR : SHUTDOWN_CAUSE_NONE);
}

bool shutdown_requested(int *ret_exit_status)
{
    int word = __atomic_load_n(&shutdown_word, __ATOMIC_ACQUIRE);

    if (word >= 0) {
        *ret_exit_status = word & ((1 << CAUSE_SHIFT) - 1);
    }
    return word >= 0;
}

void shutdown_announce(void)
{
    int word = __atomic_load_n(&shutdown_word, __ATOMIC_ACQUIRE);

    if (word >= 0 && !shutdown_announced) {
        shutdown_announced = true;
        shutdown_cause_emit("SHUTDOWN", (ShutdownCause)(word >> CAUSE_SHIFT));
    }
}

/* ---- power button ------------------------------------------------------------------------------ */

static PowerdownHandler *powerdown_handler;
static void *powerdown_opaque;

void powerdown_set_handler(PowerdownHandler *handler, void *opaque)
{
    powerdown_handler = handler;
    powerdown_opaque = opaque;
}

void powerdown_request(void)
{
    qapi_event_emit("POWERDOWN", NULL);
    if (powerdown_handler) {
        powerdown_handler(powerdown_opaque);
    }
}
