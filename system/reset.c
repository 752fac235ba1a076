/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine reset.
 * Runs in: both programs.
 */
#include <stdatomic.h>
#include <glib.h>
#include "system/reset.h"
#include "util/event-loop.h"

typedef struct ResetEntry {
    ResetHandler *handler;
    void *opaque;
} ResetEntry;

static GList *reset_entries; /* ResetEntry *, in order of registration */
static const ResetGate *reset_gate;
static GSList *barriers; /* ResetBarrier * */
static bool reset_ends_program;

/* ---- handlers ---------------------------------------------------------------------------------- */

void reset_register(ResetHandler *handler, void *opaque)
{
    ResetEntry *entry = g_new(ResetEntry, 1);

    *entry = (ResetEntry) { handler, opaque };
    reset_entries = g_list_append(reset_entries, entry);
}

void reset_unregister(ResetHandler *handler, void *opaque)
{
    for (GList *link = reset_entries; link; link = link->next) {
        ResetEntry *entry = link->data;

        if (entry->handler == handler && entry->opaque == opaque) {
            reset_entries = g_list_delete_link(reset_entries, link);
            g_free(entry);
            return;
        }
    }
}

void system_reset(void)
{
    for (GList *link = reset_entries; link; link = link->next) {
        ResetEntry *entry = link->data;

        entry->handler(entry->opaque);
    }
}

/* ---- a running machine ---------------------------------------------------------------------------- */

/* The reset that waits for the gate; -1: none. */
static int waiting_cause = -1;
/* The cause that reset_request() left; -1: none.  Any thread sets it, the first one until it is done. */
static atomic_int requested_cause = -1;
/* The barriers know of the reset that waits. */
static bool barriers_begun;
/* reset_gate_changed() is of interest. */
static atomic_bool gate_watched;

static EventBh *reset_bh; /* runs reset_turn(); made by reset_set_gate() or the first request */

static void reset_now(ShutdownCause cause)
{
    system_reset();
    runstate_reset();
    shutdown_cause_emit("RESET", cause);
}

/* The gate is closed: whether nobody else works on guest RAM either. */
static bool barriers_are_over(void)
{
    if (!barriers_begun) {
        barriers_begun = true;
        for (GSList *link = barriers; link; link = link->next) {
            ResetBarrier *barrier = link->data;

            barrier->begin(barrier);
        }
    }
    for (GSList *link = barriers; link; link = link->next) {
        ResetBarrier *barrier = link->data;

        if (!barrier->is_over(barrier)) {
            return false;
        }
    }
    return true;
}

/* Does the reset that waits when nobody executes guest code or works on guest RAM. */
static void reset_try(void)
{
    ShutdownCause cause = (ShutdownCause)waiting_cause;

    /* Watched first: a change after the look is not missed. */
    atomic_store(&gate_watched, true);
    if (reset_gate && (!reset_gate->is_closed() || !barriers_are_over())) {
        return;
    }
    atomic_store(&gate_watched, false);
    barriers_begun = false;
    waiting_cause = -1;
    reset_now(cause);
    if (reset_gate) {
        reset_gate->open();
    }
}

void system_reset_for(ShutdownCause cause)
{
    if (reset_ends_program) {
        shutdown_request_for(0, cause);
    } else if (waiting_cause < 0) { /* else one is about to come */
        waiting_cause = (int)cause;
        if (reset_gate) {
            reset_gate->close();
        }
        reset_try();
    }
}

static void reset_turn(void *opaque)
{
    int cause = atomic_exchange(&requested_cause, -1);

    if (waiting_cause >= 0) {
        reset_try();
    } else if (cause >= 0) {
        system_reset_for((ShutdownCause)cause);
    }
}

static void make_bh(void)
{
    static gsize once;

    if (g_once_init_enter(&once)) {
        reset_bh = event_bh_new(event_loop_main(), reset_turn, NULL);
        g_once_init_leave(&once, 1);
    }
}

void reset_request(ShutdownCause cause)
{
    int none = -1;

    make_bh();
    atomic_compare_exchange_strong(&requested_cause, &none, (int)cause);
    event_bh_schedule(reset_bh);
}

void reset_set_shutdown(bool shutdown)
{
    reset_ends_program = shutdown;
}

void reset_set_gate(const ResetGate *gate)
{
    make_bh();
    reset_gate = gate;
}

void reset_gate_changed(void)
{
    if (atomic_load(&gate_watched)) {
        event_bh_schedule(reset_bh);
    }
}

void reset_barrier_register(ResetBarrier *barrier)
{
    barriers = g_slist_prepend(barriers, barrier);
}

void reset_barrier_unregister(ResetBarrier *barrier)
{
    barriers = g_slist_remove(barriers, barrier);
    reset_gate_changed(); /* it may be what was waited for */
}
