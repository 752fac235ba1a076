/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the state, exchanges on the link, pending work and the thread that does it.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  Threads that must not wait (the main loop, anybody with the machine lock)
 * post work.  Threads that may wait take the link lock by proxy_link_begin(), which first does what
 * is posted; so the order "post, then access" is kept without any waiting by the poster.  The
 * worker does nothing else than to begin and end whenever something was posted.
 */
#include <errno.h>
#include <sys/socket.h>
#include <time.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/log.h"
#include "util/machine-lock.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Longest wait for the worker to end.  It can only be exceeded by the race in irq.c. */
#define WORKER_STOP_SECONDS 1

static const char *const state_names[] = {
    [PCI_PROXY_STARTING] = "starting",
    [PCI_PROXY_READY] = "ready",
    [PCI_PROXY_DEAD] = "dead",
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
        .failed = __atomic_load_n(&s->failed, __ATOMIC_RELAXED),
        .dropped_reads = __atomic_load_n(&s->dropped_reads, __ATOMIC_RELAXED),
        .dropped_writes = __atomic_load_n(&s->dropped_writes, __ATOMIC_RELAXED),
        .irqs = __atomic_load_n(&s->irqs, __ATOMIC_RELAXED),
        .syncs = __atomic_load_n(&s->syncs, __ATOMIC_RELAXED),
        .resets = __atomic_load_n(&s->resets, __ATOMIC_RELAXED),
    };
}

static bool proxy_quitting(PciProxyDev *proxy)
{
    bool quitting;

    pthread_mutex_lock(&proxy->pending_lock);
    quitting = proxy->pending & PROXY_WORK_QUIT;
    pthread_mutex_unlock(&proxy->pending_lock);
    return quitting;
}

/* The only place that changes the state.  Link lock (or realize). */
static void proxy_set_state(PciProxyDev *proxy, PciProxyState to, const char *reason)
{
    PciProxyState from = pci_proxy_state(proxy);

    trace_proxy_state(proxy->name, state_names[from], state_names[to], reason ? reason : "");
    __atomic_store_n(&proxy->state, to, __ATOMIC_RELEASE);
    if (to != PCI_PROXY_DEAD) {
        return;
    }
    mpqemu_link_close(proxy->link, reason ? reason : "device removed");
    if (proxy->hangup_fd >= 0) {
        /* The duplicate would keep the connection open: the peer must see its end now. */
        shutdown(proxy->hangup_fd, SHUT_RDWR);
    }
    if (from == PCI_PROXY_READY && !proxy_quitting(proxy)) {
        log_error("pci-proxy-dev '%s': %s; the device is dead, it reads all ones from now on",
                  proxy->name, reason);
    }
    proxy_irq_kick(proxy);
}

const char *proxy_dead_reason(PciProxyDev *proxy)
{
    const char *reason = mpqemu_link_reason(proxy->link);

    return reason ? reason : "the link is open";
}

/* ---- exchanges ------------------------------------------------------------------------------- */

/* Nanoseconds for the next exchange; start-up as a whole has no more time than one exchange. */
static int64_t proxy_time_left(PciProxyDev *proxy)
{
    if (pci_proxy_state(proxy) == PCI_PROXY_STARTING) {
        return proxy->start_deadline - event_clock_ns(EVENT_CLOCK_REAL);
    }
    return proxy->timeout_ms * NS_PER_MS;
}

/* Sends MSG, and waits for the reply when RET_VALUE is given.  False: DEAD. */
static bool proxy_exchange(PciProxyDev *proxy, const MpqemuMsg *msg, uint64_t *ret_value)
{
    int64_t left;
    int ret;

    if (pci_proxy_state(proxy) == PCI_PROXY_DEAD) {
        return false;
    }
    left = proxy_time_left(proxy);
    if (left <= 0) {
        proxy_set_state(proxy, PCI_PROXY_DEAD, "no time left for start-up");
        return false;
    }
    PROXY_COUNT(proxy, exchanges);
    ret = ret_value ? mpqemu_link_call(proxy->link, msg, ret_value, left)
                    : mpqemu_link_send(proxy->link, msg, left);
    if (mpqemu_link_state(proxy->link) == MPQEMU_LINK_CLOSED) {
        proxy_set_state(proxy, PCI_PROXY_DEAD, proxy_dead_reason(proxy));
        return false;
    }
    if (ret < 0 && ret_value) {
        /* Not sent: no such access can be put into a message. */
        *ret_value = MPQEMU_RET_ERROR;
    }
    return true;
}

bool proxy_call(PciProxyDev *proxy, const MpqemuMsg *msg, uint64_t *ret_value)
{
    return proxy_exchange(proxy, msg, ret_value);
}

bool proxy_send(PciProxyDev *proxy, const MpqemuMsg *msg)
{
    return proxy_exchange(proxy, msg, NULL);
}

bool proxy_config_call(PciProxyDev *proxy, MpqemuCmd cmd, unsigned addr, unsigned len, uint32_t val,
                       uint32_t *ret_value)
{
    MpqemuMsg msg = { .cmd = cmd, .conf = { .addr = addr, .val = val, .len = len } };
    uint64_t value;

    if (!proxy_call(proxy, &msg, &value) || value == MPQEMU_RET_ERROR) {
        return false;
    }
    if (ret_value) {
        *ret_value = len == 4 ? value : value & ((1u << (8 * len)) - 1);
    }
    return true;
}

/* ---- pending work ---------------------------------------------------------------------------- */

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

static void proxy_do_reset(PciProxyDev *proxy)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_DEVICE_RESET };
    uint64_t value;

    trace_proxy_reset(proxy->name);
    if (!proxy_call(proxy, &msg, &value)) {
        return;
    }
    PROXY_COUNT(proxy, resets);
    /* An interrupt of the time before the reset may have come after our own line was lowered. */
    __atomic_store_n(&proxy->irq_resync, true, __ATOMIC_RELEASE);
    proxy_irq_kick(proxy);
}

uint64_t proxy_do_pending(PciProxyDev *proxy)
{
    ProxyMemTable table;
    uint64_t ticket;
    unsigned work;

    for (;;) {
        pthread_mutex_lock(&proxy->pending_lock);
        work = proxy->pending & PROXY_WORK_OF_LINK;
        proxy->pending &= ~PROXY_WORK_OF_LINK;
        ticket = proxy->resets_asked;
        if (work & PROXY_WORK_SYNC) {
            table = proxy->table;
            for (unsigned i = 0; i < table.count; i++) {
                ram_block_ref(table.ranges[i].block);
            }
        }
        pthread_mutex_unlock(&proxy->pending_lock);
        if (work == 0) {
            return ticket;
        }
        if (work & PROXY_WORK_SYNC) {
            proxy_sync_send(proxy, &table);
        }
        if (work & PROXY_WORK_RESET) {
            proxy_do_reset(proxy);
        }
        if ((work & PROXY_WORK_HANGUP) && pci_proxy_state(proxy) == PCI_PROXY_READY) {
            proxy_set_state(proxy, PCI_PROXY_DEAD, "the remote has closed the connection");
        }
    }
}

uint64_t proxy_link_begin(PciProxyDev *proxy)
{
    pthread_mutex_lock(&proxy->link_lock);
    return proxy_do_pending(proxy);
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

/* ---- the worker ------------------------------------------------------------------------------ */

static gpointer proxy_worker(gpointer opaque)
{
    PciProxyDev *proxy = opaque;
    unsigned work;

    do {
        pthread_mutex_lock(&proxy->pending_lock);
        while (proxy->pending == 0) {
            pthread_cond_wait(&proxy->pending_cond, &proxy->pending_lock);
        }
        work = proxy->pending;
        proxy->pending &= ~PROXY_WORK_RESAMPLE;
        pthread_mutex_unlock(&proxy->pending_lock);

        if (work & PROXY_WORK_RESAMPLE) {
            proxy_irq_signal_resample(proxy);
        }
        if (work & PROXY_WORK_OF_LINK) {
            proxy_link_begin(proxy);
            proxy_link_end(proxy);
        }
    } while (!(work & PROXY_WORK_QUIT));

    pthread_mutex_lock(&proxy->link_lock);
    if (pci_proxy_state(proxy) != PCI_PROXY_DEAD) {
        proxy_set_state(proxy, PCI_PROXY_DEAD, NULL);
    }
    pthread_mutex_unlock(&proxy->link_lock);

    pthread_mutex_lock(&proxy->pending_lock);
    proxy->worker_running = false;
    pthread_cond_broadcast(&proxy->pending_cond);
    pthread_mutex_unlock(&proxy->pending_lock);
    return NULL;
}

bool proxy_start_worker(PciProxyDev *proxy, GError **errp)
{
    g_autofree char *thread_name = g_strdup_printf("proxy/%s", proxy->name);
    g_autoptr(GError) err = NULL;

    proxy_set_state(proxy, PCI_PROXY_READY, NULL);
    proxy->worker_running = true;
    proxy->worker = g_thread_try_new(thread_name, proxy_worker, proxy, &err);
    if (proxy->worker == NULL) {
        proxy->worker_running = false;
        error_setg(errp, "cannot start the proxy's thread: %s; raise the limit of threads "
                   "(ulimit -u)", err->message);
        return false;
    }
    return true;
}

bool proxy_stop_worker(PciProxyDev *proxy)
{
    bool locked = machine_locked();
    struct timespec deadline;
    bool running;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += WORKER_STOP_SECONDS;
    proxy_post(proxy, PROXY_WORK_QUIT);
    shutdown(proxy->hangup_fd, SHUT_RDWR); /* ends an exchange under way */
    /* A vCPU may hold the link lock and want the machine lock before it can give it back. */
    if (locked) {
        machine_unlock();
    }
    pthread_mutex_lock(&proxy->pending_lock);
    while (proxy->worker_running &&
           pthread_cond_clockwait(&proxy->pending_cond, &proxy->pending_lock, CLOCK_MONOTONIC,
                                  &deadline) == 0) {
    }
    running = proxy->worker_running;
    pthread_mutex_unlock(&proxy->pending_lock);
    if (locked) {
        machine_lock();
    }
    if (running) {
        /* Held in a write by a peer that won the race in irq.c: the thread keeps the object. */
        g_object_ref(proxy);
        g_thread_unref(proxy->worker);
    } else {
        g_thread_join(proxy->worker);
    }
    proxy->worker = NULL;
    return !running;
}
