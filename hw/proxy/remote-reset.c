/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Remote processes: what a reset of the machine waits for.
 *
 * Runs in: mpqemu.
 *
 * A proxy's own barrier (pending.c) is over when its remote has answered, and when it is dead.  But the process that
 * was behind a dead one may still work on guest RAM, until the kernel says that it has ended, or until it has let go of
 * the link.  Of a launcher's process nobody here knows that.
 */
#include "hw/proxy/remote-int.h"

#include "system/reset.h"
#include "util/log.h"

/*
 * Twice the default time limit of a link, as a proxy's own limit is; a process that was killed needs longer only when
 * the kernel does not let go of it, over storage that hangs.
 */
#define LIMIT_MS 10000

static EventTimer *limit; /* armed while a reset waits for us */
static bool waits;
static bool limit_passed;

/* Of a process that has ended nothing is left to let go of; the next one has new links. */
static bool has_cuts(const RemoteProcess *remote)
{
    return remote->cuts > 0 && remote_is_alive(remote);
}

static void on_limit(void *opaque)
{
    limit_passed = true;
    log_warn("a remote process that was given up has not ended after %u ms; the machine is reset all the same",
             LIMIT_MS);
    reset_gate_changed();
}

static void begin(ResetBarrier *barrier)
{
    event_timer_disarm(limit);
    waits = limit_passed = false;
}

static bool is_over(ResetBarrier *barrier)
{
    if (limit_passed || (remote_children_cut() == 0 && !remote_any(has_cuts))) {
        begin(barrier);
        return true;
    }
    if (!waits) {
        waits = true;
        event_timer_arm(limit, event_clock_ns(EVENT_CLOCK_REAL) + LIMIT_MS * NS_PER_MS);
    }
    return false;
}

void remote_watch_reset(void)
{
    static ResetBarrier barrier = { begin, is_over };

    if (!limit) {
        limit = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, on_limit, NULL);
        reset_barrier_register(&barrier);
    }
}
