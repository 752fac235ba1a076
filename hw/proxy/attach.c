/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: how a connection becomes the one in use: at start-up, at hot-plug, at re-attachment.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The first exchanges wait for the peer, so at run time a worker does them, on a connection
 * that nobody else uses.  It needs the machine lock only to look at its end whether it is still wanted: `next` is
 * its connection unless the main loop has given it up (kill, unplug), which also shuts its socket down, so that it
 * ends soon.
 */
#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/log.h"
#include "util/machine-lock.h"

static bool greet(ProxyConn *conn, ProxyShape *ret_shape, GError **errp)
{
    PciProxyDev *proxy = conn->proxy;
    ProxyMemTable table;

    pthread_mutex_lock(&proxy->pending_lock);
    proxy_table_take_newest(proxy, &table);
    pthread_mutex_unlock(&proxy->pending_lock);
    proxy_sync_send(conn, &table);
    if (!proxy_conn_is_open(conn)) {
        error_setg(errp, "the remote cannot be reached: %s; check that it runs", proxy_conn_reason(conn));
        return false;
    }
    return proxy_irq_send(conn, errp) && proxy_probe(conn, ret_shape, errp);
}

bool proxy_greet(ProxyConn *conn, ProxyShape *ret_shape, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (conn->bounce && !proxy_bounce_offer(conn, errp)) {
        return false;
    }
    if (greet(conn, ret_shape, &err)) {
        return true;
    }
    /* A remote that is gone or silent: the message gets a remedy. */
    if (proxy_conn_is_open(conn)) {
        g_propagate_error(errp, g_steal_pointer(&err));
    } else if (conn->sent.count == MPQEMU_FDS_MAX) {
        error_setg(errp, "%s; if the remote is QEMU: it takes %u parts of guest memory and "
                   "there are %u, use fewer memory backends", err->message, MPQEMU_FDS_MAX - 1,
                   MPQEMU_FDS_MAX);
    } else {
        error_setg(errp, "%s; look whether the remote process runs, and what it printed",
                   err->message);
    }
    return false;
}

void proxy_attached(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;

    conn->attached = true;
    proxy->conn = conn;
    proxy->next = NULL;
    proxy_bounce_update(proxy);
    proxy_change_state(proxy, PROXY_IN_STARTING | PROXY_IN_REATTACHING, PCI_PROXY_READY, NULL);
}

bool proxy_attach_prepare(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    g_autoptr(GError) err = NULL;
    ProxyShape shape;
    bool ok = proxy_greet(conn, &shape, &err);

    machine_lock();
    if (proxy->next != conn) {
        ok = false; /* nobody wants to know */
    } else {
        if (ok) {
            proxy->shape = shape;
        } else {
            proxy->next = NULL;
            proxy_change_state(proxy, PROXY_IN_STARTING, PCI_PROXY_DEAD, err->message);
            proxy->prepare_error = g_steal_pointer(&err);
        }
        proxy->prepare_over = true;
        proxy_kick(proxy);
    }
    machine_unlock();
    return ok;
}

static bool attach_again(ProxyConn *conn, GError **errp)
{
    g_autofree char *difference = NULL;
    ProxyShape shape;

    trace_proxy_reattach(conn->proxy->name);
    if (!proxy_greet(conn, &shape, errp)) {
        return false;
    }
    difference = proxy_shape_difference(&conn->proxy->shape, &shape);
    if (difference) {
        error_setg(errp, "the remote is another device: %s; start it with the options that it had", difference);
        return false;
    }
    return proxy_restore(conn, errp);
}

bool proxy_attach_again(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    g_autoptr(GError) err = NULL;
    bool ok = attach_again(conn, &err);

    pthread_mutex_lock(&proxy->link_lock);
    machine_lock();
    if (proxy->next != conn) {
        ok = false; /* killed meanwhile, which has told why */
    } else if (ok) {
        PROXY_COUNT(proxy, reattached);
        __atomic_store_n(&proxy->irq_resync, true, __ATOMIC_RELEASE);
        proxy_attached(conn);
    } else {
        proxy->next = NULL;
        if (proxy_change_state(proxy, PROXY_IN_REATTACHING, PCI_PROXY_DEAD, err->message)) {
            log_error("pci-proxy-dev '%s': it was not re-attached: %s; the device stays dead", proxy->name,
                      err->message);
        }
    }
    machine_unlock();
    pthread_mutex_unlock(&proxy->link_lock);
    return ok;
}
