/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the state machine, and what the main loop does about it.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The state is changed by the threads that use the link (an exchange failed: link lock), by
 * the main loop (kill, suspect, re-attach, unplug: machine lock) and by a worker whose attachment ended (machine
 * lock, and link lock for READY).  So a change names the states that it is meant for, and is nothing when another
 * one came before.  That it means the right connection is kept by the locks: a connection takes the place of another
 * with both of them held, so who holds either of them and knows a connection to be the one in use cannot hit its
 * successor.
 *
 * What must be done on the main loop (the interrupt line, event sources, freeing, telling) is done there a little
 * later, by one deferred call that looks at everything.
 */
#include "hw/proxy/proxy-int.h"
#include "qapi/qapi.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

static const char *const state_names[] = {
    [PCI_PROXY_STARTING] = "starting",
    [PCI_PROXY_READY] = "ready",
    [PCI_PROXY_SUSPECT] = "suspect",
    [PCI_PROXY_DEAD] = "dead",
    [PCI_PROXY_REATTACHING] = "reattaching",
    [PCI_PROXY_GONE] = "gone",
};

const char *pci_proxy_state_name(PciProxyState state)
{
    return state_names[state];
}

PciProxyState pci_proxy_state(PciProxyDev *proxy)
{
    return __atomic_load_n(&proxy->state, __ATOMIC_ACQUIRE);
}

void pci_proxy_stats(PciProxyDev *proxy, PciProxyStats *ret_stats)
{
    const PciProxyStats *s = &proxy->stats;

    *ret_stats = (PciProxyStats) {
        .exchanges = __atomic_load_n(&s->exchanges, __ATOMIC_RELAXED),
        .bytes = __atomic_load_n(&s->bytes, __ATOMIC_RELAXED),
        .failed = __atomic_load_n(&s->failed, __ATOMIC_RELAXED),
        .timeouts = __atomic_load_n(&s->timeouts, __ATOMIC_RELAXED),
        .worst_wait_ns = __atomic_load_n(&s->worst_wait_ns, __ATOMIC_RELAXED),
        .dropped_reads = __atomic_load_n(&s->dropped_reads, __ATOMIC_RELAXED),
        .dropped_writes = __atomic_load_n(&s->dropped_writes, __ATOMIC_RELAXED),
        .irqs = __atomic_load_n(&s->irqs, __ATOMIC_RELAXED),
        .syncs = __atomic_load_n(&s->syncs, __ATOMIC_RELAXED),
        .resets = __atomic_load_n(&s->resets, __ATOMIC_RELAXED),
        .reattached = __atomic_load_n(&s->reattached, __ATOMIC_RELAXED),
        .bounced_bytes = __atomic_load_n(&s->bounced_bytes, __ATOMIC_RELAXED),
    };
}

bool proxy_change_state(PciProxyDev *proxy, unsigned from, PciProxyState to, const char *reason)
{
    PciProxyState was;
    bool ok;

    pthread_mutex_lock(&proxy->pending_lock);
    was = proxy->state;
    ok = from >> was & 1;
    if (ok) {
        __atomic_store_n(&proxy->state, to, __ATOMIC_RELEASE);
        proxy->changes++;
        if (to == PCI_PROXY_DEAD) {
            g_free(proxy->reason);
            proxy->reason = g_strdup(reason);
        }
        /* Posted work can be done from READY on. */
        pthread_cond_broadcast(&proxy->pending_cond);
    }
    pthread_mutex_unlock(&proxy->pending_lock);
    if (!ok) {
        return false;
    }
    trace_proxy_state(proxy->name, state_names[was], state_names[to], reason ? reason : "");
    proxy_kick(proxy);
    return true;
}

static void log_death(PciProxyDev *proxy, const char *reason)
{
    log_error("pci-proxy-dev '%s': %s; the device is dead, it reads all ones until it is re-attached", proxy->name,
              reason);
}

void proxy_fail(ProxyConn *conn, const char *reason)
{
    const char *told = proxy_bounce_reason(conn->bounce);

    reason = told ? told : reason;
    proxy_bounce_stop(conn->bounce); /* before anybody can find the device dead */
    if (proxy_change_state(conn->proxy, PROXY_IN_LIVE, PCI_PROXY_DEAD, reason)) {
        log_death(conn->proxy, reason);
    }
    proxy_conn_end(conn);
}

/* ---- what the owner of the device asks for --------------------------------------------------- */

void pci_proxy_set_suspect(PciProxyDev *proxy, bool suspect)
{
    proxy_change_state(proxy, suspect ? PROXY_IN_READY : PROXY_IN_SUSPECT,
                       suspect ? PCI_PROXY_SUSPECT : PCI_PROXY_READY, NULL);
}

/* Not the link lock, whose holder may be waiting for the peer; what it finds then is a socket that is shut down. */
static bool give_up(PciProxyDev *proxy, const char *reason)
{
    ProxyConn *conn = proxy->next ? proxy->next : proxy->conn;

    if (proxy->prepare && !proxy->prepare_over) {
        proxy_conn_end(proxy->next); /* the preparation fails, as if the peer had ended the link */
        return false;
    }
    if (conn && (PROXY_IN_LIVE | PROXY_IN_REATTACHING) >> pci_proxy_state(proxy) & 1) {
        proxy_bounce_stop(conn->bounce); /* before anybody can find the device dead */
    }
    if (!proxy_change_state(proxy, PROXY_IN_LIVE | PROXY_IN_REATTACHING, PCI_PROXY_DEAD, reason)) {
        return false;
    }
    proxy_conn_end(conn);
    proxy->next = NULL;
    proxy_irq_update(proxy);
    return true;
}

void pci_proxy_kill(PciProxyDev *proxy, const char *reason)
{
    give_up(proxy, reason);
}

void proxy_give_up(PciProxyDev *proxy, const char *reason)
{
    if (give_up(proxy, reason)) {
        log_death(proxy, reason);
    }
}

void proxy_hung_up(PciProxyDev *proxy)
{
    ProxyConn *conn = proxy->next ? proxy->next : proxy->conn;
    const char *reason = proxy_bounce_reason(conn->bounce);

    proxy_give_up(proxy, reason ? reason : "the remote has closed the connection");
}

bool pci_proxy_reattach_take_fd(PciProxyDev *proxy, int fd, GError **errp)
{
    auto_fd owned = fd;
    ProxyConn *conn;

    if (pci_proxy_state(proxy) != PCI_PROXY_DEAD) {
        error_setg(errp, "device '%s' is %s; only a dead device can be attached to a new remote", proxy->name,
                   state_names[pci_proxy_state(proxy)]);
        return false;
    }
    proxy_irq_update(proxy); /* the death may be news */
    proxy_conns_reap(proxy);
    if (g_slist_length(proxy->conns) >= PROXY_CONNS_MAX) {
        error_setg(errp, "device '%s': its former remotes hold %u connections; end their processes first", proxy->name,
                   PROXY_CONNS_MAX);
        return false;
    }
    conn = proxy_conn_new_take_fd(proxy, fd_steal(&owned), errp);
    if (conn == NULL) {
        return false;
    }
    if (!proxy_irq_connect(conn, proxy->shape.interrupt_pin, true, errp) ||
        !proxy_conn_start_worker(conn, proxy_attach_again, errp)) {
        proxy_conns_reap(proxy);
        return false;
    }
    proxy->next = conn;
    proxy_change_state(proxy, PROXY_IN_DEAD, PCI_PROXY_REATTACHING, NULL);
    return true;
}

/* ---- the main loop's part -------------------------------------------------------------------- */

static void emit_state(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason)
{
    g_autofree char *path = qom_path(proxy);
    JsonObject *data = json_object_new();

    if (proxy->pci.dev.id) {
        json_object_set_string_member(data, "device", proxy->pci.dev.id);
    }
    json_object_set_string_member(data, "path", path);
    json_object_set_string_member(data, "from", state_names[from]);
    json_object_set_string_member(data, "to", state_names[to]);
    if (reason) {
        json_object_set_string_member(data, "reason", reason);
    }
    qapi_event_emit("REMOTE_LINK_STATE", data);
}

static void proxy_tell(PciProxyDev *proxy)
{
    g_autofree char *reason = NULL;
    PciProxyState from = proxy->told;
    PciProxyState to;
    bool changed;

    pthread_mutex_lock(&proxy->pending_lock);
    to = proxy->state;
    changed = proxy->changes != proxy->changes_told;
    proxy->changes_told = proxy->changes;
    if (to == PCI_PROXY_DEAD) {
        reason = g_strdup(proxy->reason);
    }
    pthread_mutex_unlock(&proxy->pending_lock);
    proxy->told = to;
    if (from != to && to != PCI_PROXY_GONE) {
        emit_state(proxy, from, to, reason);
    }
    if (changed && to != PCI_PROXY_GONE && proxy->notify) {
        proxy->notify(proxy, from, to, reason, proxy->notify_opaque);
    }
    if (changed) {
        reset_gate_changed(); /* proxy_reset_is_over() */
    }
}

void pci_proxy_set_notify(PciProxyDev *proxy, PciProxyNotify *fn, void *opaque)
{
    proxy->notify = NULL;
    proxy_tell(proxy); /* the monitors; FN hears of what comes from now on */
    proxy->notify = fn;
    proxy->notify_opaque = opaque;
}

/* The preparation is over: realize comes now, or the end of the device. */
static void proxy_prepare_end(PciProxyDev *proxy)
{
    if (proxy->prepare && proxy->prepare_over) {
        device_prepared(g_steal_pointer(&proxy->prepare), g_steal_pointer(&proxy->prepare_error));
    }
}

static void proxy_work(void *opaque)
{
    PciProxyDev *proxy = g_object_ref(opaque); /* what is told may be answered by an unplug */

    proxy_irq_update(proxy);
    proxy_conns_reap(proxy);
    proxy_tell(proxy);
    proxy_retire_update(proxy);
    proxy_prepare_end(proxy); /* a device that was not made has no path afterwards */
    g_object_unref(proxy);
}

void proxy_bh_create(PciProxyDev *proxy)
{
    EventBh *bh = event_bh_new(event_loop_main(), proxy_work, proxy);

    pthread_mutex_lock(&proxy->pending_lock);
    proxy->bh = bh;
    pthread_mutex_unlock(&proxy->pending_lock);
}

void proxy_bh_free(PciProxyDev *proxy)
{
    EventBh *bh;

    pthread_mutex_lock(&proxy->pending_lock);
    bh = g_steal_pointer(&proxy->bh);
    pthread_mutex_unlock(&proxy->pending_lock);
    event_bh_free(bh);
}

void proxy_kick(PciProxyDev *proxy)
{
    /* Under the lock, so that the call is not freed meanwhile. */
    pthread_mutex_lock(&proxy->pending_lock);
    if (proxy->bh) {
        event_bh_schedule(proxy->bh);
    }
    pthread_mutex_unlock(&proxy->pending_lock);
}
