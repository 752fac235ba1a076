/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: work that is left for the next user of the link.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Threads that must not wait (the main loop, anybody with the machine lock) post work.
 * Threads that may wait take the link lock by proxy_link_begin(), which first does what is posted; so the order
 * "post, then access" is kept without any waiting by the poster.  The worker of the connection does nothing else
 * than to begin and end whenever something was posted.
 *
 * While the device is not READY or SUSPECT, posted work stays posted: nobody could do it.  A re-attachment does what it
 * finds by itself (restore.c), and what is posted meanwhile is done before the first access.
 *
 * Reset of the machine.  The remote works on guest RAM by itself, and answers a reset when it has stopped (ours: or
 * after 2 seconds, when its host's storage does not let go).  So a reset is posted before that of the machine, which
 * waits for the answer, or for the device's death: what is loaded into RAM for the next guest is not written over by a
 * read of the last one's.  A process that is dead to us and not yet to its kernel may still do that, until it has been
 * killed: that is waited for by its owner (remote-reset.c), who must know of the death before the proxy's barrier is
 * over.
 *
 * Limit.  The worker sends the reset within the link's time limit, which an exchange under way may have used up before.
 * A peer can hold the worker where no time limit counts (irq.c); so the machine has one of its own, and a device
 * that has used it up is given up.
 */
#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"

void proxy_post(PciProxyDev *proxy, unsigned work)
{
    pthread_mutex_lock(&proxy->pending_lock);
    proxy->pending |= work;
    if (work & PROXY_WORK_RESET) {
        proxy->resets_asked++;
    }
    pthread_cond_broadcast(&proxy->pending_cond);
    pthread_mutex_unlock(&proxy->pending_lock);
}

static void proxy_do_reset(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_DEVICE_RESET };
    uint64_t value;

    trace_proxy_reset(proxy->name);
    if (!proxy_conn_call(conn, &msg, &value)) {
        return;
    }
    PROXY_COUNT(proxy, resets);
    /* An interrupt of the time before the reset may have come after our own line was lowered. */
    __atomic_store_n(&proxy->irq_resync, true, __ATOMIC_RELEASE);
    proxy_kick(proxy);
}

/* The remote has answered (or is lost, which counts for nothing more). */
static void note_reset_done(PciProxyDev *proxy, uint64_t ticket)
{
    pthread_mutex_lock(&proxy->pending_lock);
    proxy->resets_done = ticket;
    pthread_mutex_unlock(&proxy->pending_lock);
    reset_gate_changed();
    proxy_kick(proxy); /* for retire.c */
}

uint64_t proxy_link_begin(PciProxyDev *proxy)
{
    ProxyMemTable table;
    uint64_t ticket;
    unsigned work;

    pthread_mutex_lock(&proxy->link_lock);
    for (;;) {
        pthread_mutex_lock(&proxy->pending_lock);
        ticket = proxy->resets_asked;
        work = proxy_is_live(proxy) ? proxy->pending : 0;
        proxy->pending &= ~work;
        if (work & PROXY_WORK_SYNC) {
            proxy_table_take_newest(proxy, &table);
        }
        pthread_mutex_unlock(&proxy->pending_lock);
        if (work == 0) {
            return ticket;
        }
        if (work & PROXY_WORK_SYNC) {
            proxy_sync_send(proxy->conn, &table);
        }
        if (work & PROXY_WORK_RESET) {
            proxy_do_reset(proxy->conn);
            note_reset_done(proxy, ticket);
        }
    }
}

void proxy_link_end(PciProxyDev *proxy)
{
    pthread_mutex_unlock(&proxy->link_lock);
}

bool proxy_ticket_valid(PciProxyDev *proxy, uint64_t ticket)
{
    bool valid;

    pthread_mutex_lock(&proxy->pending_lock);
    valid = proxy->resets_asked == ticket;
    pthread_mutex_unlock(&proxy->pending_lock);
    return valid;
}

static PciProxyDev *proxy_of(ResetBarrier *barrier)
{
    return (PciProxyDev *)((char *)barrier - offsetof(PciProxyDev, barrier));
}

uint64_t proxy_post_reset(PciProxyDev *proxy)
{
    uint64_t ticket;

    proxy_post(proxy, PROXY_WORK_RESET);
    pthread_mutex_lock(&proxy->pending_lock);
    ticket = proxy->resets_asked;
    pthread_mutex_unlock(&proxy->pending_lock);
    return ticket;
}

bool proxy_reset_is_over(PciProxyDev *proxy, uint64_t ticket, bool *ret_answered)
{
    bool live, told;

    pthread_mutex_lock(&proxy->pending_lock);
    live = proxy_is_live(proxy);
    told = proxy->changes == proxy->changes_told;
    *ret_answered = live && proxy->resets_done >= ticket;
    pthread_mutex_unlock(&proxy->pending_lock);
    return live ? *ret_answered : told;
}

static void barrier_begin(ResetBarrier *barrier)
{
    PciProxyDev *proxy = proxy_of(barrier);

    proxy->barrier_ticket = proxy_post_reset(proxy);
    event_timer_arm(proxy->barrier_limit, event_clock_ns(EVENT_CLOCK_REAL) + INT64_C(2000000) * proxy->timeout_ms);
}

static bool barrier_is_over(ResetBarrier *barrier)
{
    PciProxyDev *proxy = proxy_of(barrier);
    bool answered;

    return proxy_reset_is_over(proxy, proxy->barrier_ticket, &answered);
}

static void barrier_limit(void *opaque)
{
    PciProxyDev *proxy = opaque;

    if (!barrier_is_over(&proxy->barrier)) {
        proxy_give_up(proxy, "it has not answered the reset of the machine in time");
    }
}

void proxy_barrier_add(PciProxyDev *proxy)
{
    proxy->barrier_limit = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, barrier_limit, proxy);
    proxy->barrier = (ResetBarrier) { barrier_begin, barrier_is_over };
    reset_barrier_register(&proxy->barrier);
}

void proxy_barrier_remove(PciProxyDev *proxy)
{
    reset_barrier_unregister(&proxy->barrier);
    event_timer_free(proxy->barrier_limit);
    proxy->barrier_limit = NULL;
}

bool proxy_call(PciProxyDev *proxy, const MpqemuMsg *msg, uint64_t *ret_value)
{
    /* With the link lock held a live device keeps its connection, even when it dies now. */
    return proxy_is_live(proxy) && !proxy_is_retiring(proxy) && proxy_conn_call(proxy->conn, msg, ret_value);
}
