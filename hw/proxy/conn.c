/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: one connection to a remote: its descriptors, its thread, its exchanges, its end.
 *
 * Runs in: mpqemu.
 *
 * Each connection has a worker of its own, so that a peer that manages to hold one (irq.c) does not hinder the
 * attachment to the next.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/machine-lock.h"

const SyscallTable pci_proxy_syscalls = {
    "pci-proxy-dev", (const SyscallRule[]) {
        SYSCALL(eventfd2, "the interrupt of a device that is plugged or attached again"),
        SYSCALL(shutdown, "ends what waits for a device that goes", ARG_IS(1, SHUT_RDWR)),
        SYSCALL(preadv2, "takes an interrupt, never waiting"),
        SYSCALL(write, "tells the end of an interrupt"),
        SYSCALL_END,
    },
};

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Longest wait for the workers to end.  It can only be exceeded by the race in irq.c. */
#define WORKER_STOP_MS 1000
/* How often a worker that is held is let go meanwhile. */
#define WORKER_FREE_MS 10

/* ---- life ------------------------------------------------------------------------------------ */

/* Main loop; no thread may know CONN any more. */
static void conn_free(ProxyConn *conn)
{
    proxy_irq_disconnect(conn);
    if (conn->worker) {
        g_thread_join(conn->worker);
    }
    mpqemu_link_free(conn->link);
    proxy_bounce_free(conn->bounce);
    proxy_table_clear(&conn->sent);
    fd_close(&conn->shutdown_fd);
    fd_close(&conn->irq_fd);
    fd_close(&conn->resample_fd);
    g_free(conn);
}

static bool conn_open(ProxyConn *conn, int fd, GError **errp)
{
    auto_fd owned = fd;

    if (fd_kind(fd) == FD_KIND_SOCKET) { /* what it is otherwise, the link tells */
        conn->shutdown_fd = fd_dup(fd);
        conn->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        conn->resample_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (conn->shutdown_fd < 0 || conn->irq_fd < 0 || conn->resample_fd < 0) {
            conn->shutdown_fd = MAX(conn->shutdown_fd, -1);
            error_setg_errno(errp, errno, "cannot get the descriptors of a connection; raise the limit of descriptors "
                             "(ulimit -n)");
            return false;
        }
    }
    conn->link = mpqemu_link_new_take_fd(fd_steal(&owned), MPQEMU_ROLE_CLIENT, conn->proxy->name, errp);
    if (conn->link == NULL || conn->proxy->dma == PROXY_DMA_MAP) {
        return conn->link != NULL;
    }
    conn->bounce = proxy_bounce_new(conn->proxy, conn->shutdown_fd, errp);
    return conn->bounce != NULL;
}

ProxyConn *proxy_conn_new_take_fd(PciProxyDev *proxy, int fd, GError **errp)
{
    ProxyConn *conn = g_new0(ProxyConn, 1);

    conn->proxy = proxy;
    conn->shutdown_fd = -1;
    conn->irq_fd = -1;
    conn->irqfd_gsi = -1;
    conn->resample_fd = -1;
    if (!conn_open(conn, fd, errp)) {
        conn_free(conn);
        return NULL;
    }
    conn->deadline = event_clock_ns(EVENT_CLOCK_REAL) + proxy->timeout_ms * NS_PER_MS;
    proxy->conns = g_slist_prepend(proxy->conns, conn);
    return conn;
}

void proxy_conn_post(ProxyConn *conn, unsigned work)
{
    PciProxyDev *proxy = conn->proxy;

    pthread_mutex_lock(&proxy->pending_lock);
    conn->work |= work;
    pthread_cond_broadcast(&proxy->pending_cond);
    pthread_mutex_unlock(&proxy->pending_lock);
}

void proxy_conn_end(ProxyConn *conn)
{
    proxy_bounce_stop(conn->bounce);
    proxy_conn_post(conn, PROXY_CONN_END);
    /* The duplicate would keep the connection open after the link's end: the peer must see it now. */
    shutdown(conn->shutdown_fd, SHUT_RDWR);
}

static bool conn_is_running(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    bool running;

    pthread_mutex_lock(&proxy->pending_lock);
    running = conn->worker_running;
    pthread_mutex_unlock(&proxy->pending_lock);
    return running;
}

void proxy_conns_reap(PciProxyDev *proxy)
{
    GSList *link = proxy->conns;

    while (link) {
        ProxyConn *conn = link->data;

        link = link->next;
        if (conn == proxy->next || (conn == proxy->conn && proxy_is_live(proxy))) {
            continue;
        }
        if (conn_is_running(conn)) {
            proxy_irq_free_resample(conn); /* that may be why */
        } else {
            proxy->conns = g_slist_remove(proxy->conns, conn);
            conn_free(conn);
        }
    }
}

static bool any_running(PciProxyDev *proxy)
{
    for (GSList *link = proxy->conns; link; link = link->next) {
        if (((ProxyConn *)link->data)->worker_running) {
            return true;
        }
    }
    return false;
}

/* Waits until no worker runs, or MS milliseconds.  No lock.  False: one does. */
static bool wait_for_workers(PciProxyDev *proxy, unsigned ms)
{
    int64_t at = event_clock_ns(EVENT_CLOCK_REAL) + ms * NS_PER_MS;
    struct timespec deadline = { .tv_sec = at / 1000000000, .tv_nsec = at % 1000000000 };
    bool running;

    pthread_mutex_lock(&proxy->pending_lock);
    while (any_running(proxy) &&
           pthread_cond_clockwait(&proxy->pending_cond, &proxy->pending_lock, CLOCK_MONOTONIC, &deadline) == 0) {
    }
    running = any_running(proxy);
    pthread_mutex_unlock(&proxy->pending_lock);
    return !running;
}

bool proxy_conns_end(PciProxyDev *proxy)
{
    bool locked = machine_locked();

    proxy->next = NULL;
    for (GSList *link = proxy->conns; link; link = link->next) {
        proxy_irq_disconnect(link->data);
        proxy_conn_end(link->data);
    }
    /* A worker, or a vCPU with the link lock that a worker needs, may want the machine lock before it can end. */
    if (locked) {
        machine_unlock();
    }
    for (unsigned ms = 0; ms < WORKER_STOP_MS && !wait_for_workers(proxy, WORKER_FREE_MS); ms += WORKER_FREE_MS) {
        for (GSList *link = proxy->conns; link; link = link->next) {
            proxy_irq_free_resample(link->data);
        }
    }
    if (locked) {
        machine_lock();
    }
    proxy_conns_reap(proxy);
    return proxy->conns == NULL;
}

/* ---- the worker ------------------------------------------------------------------------------ */

/* Waits for work; returns that of the connection (PROXY_CONN_*), 0 when it is the link's. */
static unsigned conn_wait(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    unsigned work;

    pthread_mutex_lock(&proxy->pending_lock);
    /* A live device's connections but the one in use have PROXY_CONN_END. */
    while (conn->work == 0 && !(proxy->pending && proxy_is_live(proxy))) {
        pthread_cond_wait(&proxy->pending_cond, &proxy->pending_lock);
    }
    work = conn->work;
    conn->work &= ~PROXY_CONN_RESAMPLE;
    pthread_mutex_unlock(&proxy->pending_lock);
    return work;
}

static void conn_serve(ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;
    unsigned work;

    do {
        work = conn_wait(conn);
        if (work & PROXY_CONN_RESAMPLE) {
            proxy_irq_signal_resample(conn);
        }
        if (work == 0) {
            proxy_link_begin(proxy);
            proxy_link_end(proxy);
        }
    } while (!(work & PROXY_CONN_END));
}

static gpointer conn_worker(gpointer opaque)
{
    ProxyConn *conn = opaque;
    PciProxyDev *proxy = conn->proxy;

    if (conn->attach == NULL || conn->attach(conn)) {
        conn_serve(conn);
    }

    proxy_conn_end(conn);
    pthread_mutex_lock(&proxy->link_lock);
    mpqemu_link_close(conn->link, "no longer used");
    proxy_table_clear(&conn->sent);
    machine_lock();
    if (proxy->conn == conn) {
        proxy->conn = NULL;
    }
    machine_unlock();
    pthread_mutex_unlock(&proxy->link_lock);

    pthread_mutex_lock(&proxy->pending_lock);
    conn->worker_running = false;
    pthread_cond_broadcast(&proxy->pending_cond);
    if (proxy->bh) {
        event_bh_schedule(proxy->bh); /* CONN may be gone as soon as the lock is */
    }
    pthread_mutex_unlock(&proxy->pending_lock);
    return NULL;
}

bool proxy_conn_start_worker(ProxyConn *conn, bool (*attach)(ProxyConn *conn), GError **errp)
{
    g_autofree char *thread_name = g_strdup_printf("proxy/%s", conn->proxy->name);
    g_autoptr(GError) err = NULL;

    conn->attach = attach;
    conn->worker_running = true;
    conn->worker = g_thread_try_new(thread_name, conn_worker, conn, &err);
    if (conn->worker == NULL) {
        conn->worker_running = false;
        error_setg(errp, "cannot start the proxy's thread: %s; raise the limit of threads (ulimit -u)", err->message);
        return false;
    }
    return true;
}

/* ---- exchanges ------------------------------------------------------------------------------- */

bool proxy_conn_is_open(const ProxyConn *conn)
{
    return mpqemu_link_state(conn->link) == MPQEMU_LINK_OPEN;
}

const char *proxy_conn_reason(const ProxyConn *conn)
{
    const char *reason = mpqemu_link_reason(conn->link);

    return reason ? reason : "the link is open";
}

/* Nanoseconds for the next exchange; an attachment as a whole has no more time than one exchange. */
static int64_t conn_time_left(const ProxyConn *conn)
{
    return conn->attached ? conn->proxy->timeout_ms * NS_PER_MS : conn->deadline - event_clock_ns(EVENT_CLOCK_REAL);
}

static void conn_count(ProxyConn *conn, int ret)
{
    const MpqemuLinkStats *link = mpqemu_link_stats(conn->link);
    PciProxyStats *stats = &conn->proxy->stats;
    uint64_t worst = __atomic_load_n(&stats->worst_wait_ns, __ATOMIC_RELAXED);
    uint64_t bytes = link->bytes_in + link->bytes_out;

    PROXY_COUNT_BY(conn->proxy, bytes, bytes - conn->bytes_counted);
    conn->bytes_counted = bytes;
    if (ret == -ETIMEDOUT) {
        PROXY_COUNT(conn->proxy, timeouts);
    }
    while (link->worst_wait_ns > worst &&
           !__atomic_compare_exchange_n(&stats->worst_wait_ns, &worst, link->worst_wait_ns, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
    }
}

/* Sends MSG, and waits for the reply when RET_VALUE is given.  False: the link is closed. */
static bool conn_exchange(ProxyConn *conn, const MpqemuMsg *msg, uint64_t *ret_value)
{
    int64_t left = conn_time_left(conn);
    int ret;

    if (!proxy_conn_is_open(conn)) {
        return false;
    }
    if (left > 0) {
        PROXY_COUNT(conn->proxy, exchanges);
        mpqemu_link_check_silence(conn->link); /* when it closes the link, so will the next call say */
        ret = ret_value ? mpqemu_link_call(conn->link, msg, ret_value, left)
                        : mpqemu_link_send(conn->link, msg, left);
    } else {
        mpqemu_link_close(conn->link, "no time left");
        ret = -ETIMEDOUT;
    }
    conn_count(conn, ret);
    if (!proxy_conn_is_open(conn)) {
        if (conn->attached) {
            proxy_fail(conn, proxy_conn_reason(conn));
        }
        return false;
    }
    if (ret < 0 && ret_value) {
        /* Not sent: no such access can be put into a message. */
        *ret_value = MPQEMU_RET_ERROR;
    }
    return true;
}

bool proxy_conn_call(ProxyConn *conn, const MpqemuMsg *msg, uint64_t *ret_value)
{
    bool ok;

    proxy_bounce_fence(conn->bounce);
    ok = conn_exchange(conn, msg, ret_value);
    proxy_bounce_fence(conn->bounce);
    return ok;
}

bool proxy_conn_send(ProxyConn *conn, const MpqemuMsg *msg)
{
    return conn_exchange(conn, msg, NULL);
}

static bool conn_config_call(ProxyConn *conn, MpqemuCmd cmd, MpqemuPciConf conf, uint64_t *ret_value, GError **errp)
{
    MpqemuMsg msg = { .cmd = cmd, .conf = conf };

    if (!proxy_conn_call(conn, &msg, ret_value)) {
        error_setg(errp, "the remote does not answer: %s", proxy_conn_reason(conn));
        return false;
    }
    if (*ret_value == MPQEMU_RET_ERROR) {
        error_setg(errp, "the remote refuses to %s config space at 0x%x",
                   cmd == MPQEMU_CMD_PCI_CFGREAD ? "read" : "write", conf.addr);
        return false;
    }
    return true;
}

bool proxy_conn_config_read(ProxyConn *conn, unsigned addr, unsigned len, uint32_t *ret_value, GError **errp)
{
    MpqemuPciConf conf = { .addr = addr, .len = len };
    uint64_t value;

    if (!conn_config_call(conn, MPQEMU_CMD_PCI_CFGREAD, conf, &value, errp)) {
        return false;
    }
    *ret_value = len == 4 ? value : value & ((1u << (8 * len)) - 1);
    return true;
}

bool proxy_conn_config_write(ProxyConn *conn, unsigned addr, unsigned len, uint32_t value, GError **errp)
{
    MpqemuPciConf conf = { .addr = addr, .val = value, .len = len };
    uint64_t reply;

    return conn_config_call(conn, MPQEMU_CMD_PCI_CFGWRITE, conf, &reply, errp);
}
