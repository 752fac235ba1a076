/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APIC: the timer.
 *
 * Runs in: mpqemu.
 *
 * Nothing counts: the current count follows from the time, and an event timer stands at the next expiry.
 */
#include "hw/intc/apic-int.h"

#include "trace/hw-intc.h"

static int64_t now_ns(void)
{
    return event_clock_ns(EVENT_CLOCK_VIRTUAL);
}

static uint32_t timer_mode(const LocalApic *apic)
{
    return apic->lvt[APIC_LVT_TIMER] & (APIC_LVT_PERIODIC | APIC_LVT_TSC_DEADLINE);
}

/* Nanoseconds of one count. */
static int64_t count_ns(const LocalApic *apic)
{
    unsigned bits = (apic->timer_divide & 3) | (apic->timer_divide >> 1 & 4);

    return 1 << ((bits + 1) & 7); /* 0: 2, 1: 4, ... 6: 128, 7: 1 */
}

static int64_t period_ns(const LocalApic *apic)
{
    return (int64_t)apic->timer_initial * count_ns(apic);
}

/* Nanoseconds since the present period began. */
static int64_t elapsed_ns(const LocalApic *apic)
{
    int64_t elapsed = MAX(now_ns() - apic->timer_start_ns, 0);

    return timer_mode(apic) == APIC_LVT_PERIODIC ? elapsed % period_ns(apic) : MIN(elapsed, period_ns(apic));
}

uint32_t apic_timer_current(const LocalApic *apic)
{
    return apic->timer_counts ? apic->timer_initial - (uint32_t)(elapsed_ns(apic) / count_ns(apic)) : 0;
}

/* Arms the event timer for what the registers say. */
static void rearm(LocalApic *apic)
{
    if (apic->tsc_deadline) {
        event_timer_arm(apic->timer, (int64_t)MIN(apic->tsc_deadline, (uint64_t)INT64_MAX));
    } else if (apic->timer_counts) {
        event_timer_arm(apic->timer, apic->timer_start_ns + period_ns(apic));
    } else {
        event_timer_disarm(apic->timer);
    }
}

static void expired(void *opaque)
{
    LocalApic *apic = opaque;

    trace_apic_timer(apic->vcpu->index);
    if (timer_mode(apic) == APIC_LVT_PERIODIC) {
        int64_t now = now_ns(), period = period_ns(apic);
        int64_t next;

        /* In steps of the period, so that a late loop does not slow the guest's clock down. */
        apic->timer_start_ns += MAX(now - apic->timer_start_ns, period) / period * period;
        next = apic->timer_start_ns + period;
        event_timer_arm(apic->timer, MAX(next, now + APIC_TIMER_MIN_NS));
    } else {
        apic->timer_counts = false;
        apic->tsc_deadline = 0;
    }
    apic_local_interrupt(apic, APIC_LVT_TIMER);
}

void apic_timer_init(LocalApic *apic)
{
    apic->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_VIRTUAL, expired, apic);
}

/* Nothing counts, nothing is waited for. */
static void stop(LocalApic *apic)
{
    apic->timer_initial = 0;
    apic->timer_counts = false;
    apic->tsc_deadline = 0;
    rearm(apic);
}

void apic_timer_reset(LocalApic *apic)
{
    apic->timer_divide = 0;
    stop(apic);
}

void apic_timer_set_mode(LocalApic *apic, uint32_t lvt)
{
    uint32_t old = timer_mode(apic);
    int64_t elapsed = apic->timer_counts ? elapsed_ns(apic) : 0;

    apic->lvt[APIC_LVT_TIMER] = lvt;
    if (timer_mode(apic) == old) {
        return;
    }
    if (timer_mode(apic) == APIC_LVT_TSC_DEADLINE || old == APIC_LVT_TSC_DEADLINE) {
        stop(apic);
    } else if (apic->timer_counts) {
        apic->timer_start_ns = now_ns() - elapsed; /* the present period is the last one, or the first */
        rearm(apic);
    }
}

void apic_timer_set_initial(LocalApic *apic, uint32_t count)
{
    if (timer_mode(apic) == APIC_LVT_TSC_DEADLINE) {
        return;
    }
    apic->timer_initial = count;
    apic->timer_counts = count > 0;
    apic->timer_start_ns = now_ns();
    rearm(apic);
}

/* The count goes on from where it is, at the new rate. */
void apic_timer_set_divide(LocalApic *apic, uint32_t divide)
{
    uint32_t current = apic_timer_current(apic);

    apic->timer_divide = divide & 0xb;
    if (apic->timer_counts) {
        apic->timer_start_ns = now_ns() - (int64_t)(apic->timer_initial - current) * count_ns(apic);
        rearm(apic);
    }
}

void apic_timer_set_deadline(LocalApic *apic, uint64_t tsc)
{
    if (timer_mode(apic) == APIC_LVT_TSC_DEADLINE) {
        apic->tsc_deadline = tsc;
        rearm(apic);
    }
}
