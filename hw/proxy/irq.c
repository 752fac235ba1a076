/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the remote's interrupt, by a pair of eventfds.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The remote adds to the interrupt eventfd when its line rises.  The main
 * loop then raises the function's INTx line, and further events change nothing.  When the guest
 * ends the interrupt (gsi.h), the line is lowered and the resample eventfd signalled; a remote
 * whose line is still high adds to the interrupt eventfd again.  That is what KVM does with an
 * irqfd with a resample eventfd.
 *
 * And where the interrupt controllers are KVM's they do (gsi_has_irqfd): both eventfds are theirs while the device is
 * live, no interrupt passes through this program, and "lower the line" is to take the eventfds away from them.  Which
 * of their inputs that is may change with the guest's doings (GsiNotifier.moved).
 *
 * Reset.  The PCI core lowers the line at once.  An event of the time before may still come, until
 * the remote has answered the reset: it finds `irq_raised` set or raises the line, and the answer
 * then has both brought to "nothing has happened yet" and the remote asked again.  The same at the end
 * of a re-attachment, until which the new remote's eventfd is not heard.
 *
 * The peer has both eventfds and the flags of their open files.  It may
 *  - send events without end: a second one while the line is raised makes the loop ignore the
 *    eventfd until the line is lowered, so a storm costs two turns of the loop per guest EOI;
 *  - empty the eventfd before we read it: RWF_NOWAIT never waits.  An empty one is no event, since a guest's end of
 *    interrupt between epoll and us empties it too, and has then asked the remote again; but a row of them counts as
 *    one, so this is no way around the limit above;
 *  - fill the resample eventfd and clear its O_NONBLOCK: the write is done by the worker, which may
 *    wait, right after the flag was set again.  Should the peer win even that race, it holds the
 *    thread of its own connection, until we empty the eventfd at the connection's end.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

/* Wake-ups for nothing in a row, after which they count as an event; a guest's end of interrupt explains one. */
#define EMPTY_EVENTS_MAX 16u

/* Empties an eventfd.  False: it was empty. */
static bool drain(int fd)
{
    uint64_t count;
    struct iovec iov = { &count, sizeof(count) };

    return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) > 0;
}

/* CONN's events count.  Main loop. */
static bool irq_is_heard(const ProxyConn *conn)
{
    PciProxyDev *proxy = conn->proxy;

    return proxy->conn == conn && proxy_is_live(proxy) && !proxy->retired && !proxy_is_retiring(proxy);
}

static void irq_mute(ProxyConn *conn, bool mute)
{
    conn->irq_muted = mute;
    event_source_set_events(conn->irq_source, mute ? 0 : EVENT_READ);
}

static void irqfd_remove(ProxyConn *conn)
{
    if (conn->irqfd_added) {
        gsi_irqfd_remove(conn->irqfd_input, conn->irq_fd, conn->resample_fd);
        conn->irqfd_added = false;
    }
}

static bool irqfd_add(ProxyConn *conn, GError **errp)
{
    conn->irqfd_input = gsi_irqfd_input((unsigned)conn->irqfd_gsi);
    conn->irqfd_added = gsi_irqfd_add(conn->irqfd_input, conn->irq_fd, conn->resample_fd, errp);
    return conn->irqfd_added;
}

/* Brings line and eventfd to "nothing has happened yet". */
static void irq_lower(PciProxyDev *proxy)
{
    if (proxy->conn) {
        irqfd_remove(proxy->conn);
        drain(proxy->conn->irq_fd);
    }
    if (proxy->irq_raised) {
        proxy->irq_raised = false;
        pci_set_irq(&proxy->pci, 0);
    }
}

/* Main loop: the remote raised its line. */
static void proxy_irq_event(int fd, unsigned ready, void *opaque)
{
    ProxyConn *conn = opaque;
    PciProxyDev *proxy = conn->proxy;

    if (!drain(conn->irq_fd) && ++conn->irq_empty < EMPTY_EVENTS_MAX) {
        return;
    }
    conn->irq_empty = 0;
    if (!irq_is_heard(conn) || proxy->irq_raised) {
        trace_proxy_irq_mute(proxy->name);
        irq_mute(conn, true);
        return;
    }
    trace_proxy_irq_raise(proxy->name);
    PROXY_COUNT(proxy, irqs);
    proxy->irq_raised = true;
    pci_set_irq(&proxy->pci, 1);
}

/* Asks the remote whether its line is still high. */
static void irq_resample(PciProxyDev *proxy)
{
    if (proxy->conn) {
        proxy_conn_post(proxy->conn, PROXY_CONN_RESAMPLE);
    }
}

/* The guest ended the interrupt of our GSI, perhaps another device's. */
static void proxy_irq_eoi(GsiNotifier *notifier)
{
    PciProxyDev *proxy = (PciProxyDev *)((char *)notifier - offsetof(PciProxyDev, gsi));

    if (!proxy->irq_raised) {
        return;
    }
    trace_proxy_irq_eoi(proxy->name);
    irq_lower(proxy);
    irq_resample(proxy);
    if (proxy->retired || (proxy->conn && proxy->conn->irq_muted)) {
        proxy_kick(proxy); /* only the loop's own thread may touch its sources */
    }
}

bool proxy_irq_may_be_handled(PciProxyDev *proxy)
{
    return proxy_is_live(proxy) && (proxy->irq_raised || proxy->conn->irqfd_gsi >= 0);
}

void proxy_irq_update(PciProxyDev *proxy)
{
    ProxyConn *conn = proxy->conn;

    if (!proxy_is_live(proxy) || proxy_is_retiring(proxy)) {
        irq_lower(proxy);
        return;
    }
    if (proxy->retired) {
        irqfd_remove(conn);
        return;
    }
    if (__atomic_exchange_n(&proxy->irq_resync, false, __ATOMIC_ACQ_REL)) {
        irq_lower(proxy);
        irq_resample(proxy);
    }
    if (conn->irq_muted && !proxy->irq_raised && conn->irq_source) {
        irq_mute(conn, false);
    }
    if (conn->irqfd_gsi >= 0 && !conn->irqfd_added) {
        g_autoptr(GError) err = NULL;

        if (!irqfd_add(conn, &err)) {
            log_error("%s has no interrupt any more: %s", proxy->name, err->message);
        }
    }
}

void proxy_irq_signal_resample(ProxyConn *conn)
{
    uint64_t one = 1;

    /*
     * A full counter means that the remote has a signal it has not looked at: nothing is lost when
     * the write is refused.
     */
    fd_set_nonblock(conn->resample_fd, true);
    if (write(conn->resample_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

void proxy_irq_free_resample(ProxyConn *conn)
{
    drain(conn->resample_fd);
}

/* The peer has closed its end, or we did, while nobody was talking to it. */
static void proxy_hangup_event(int fd, unsigned ready, void *opaque)
{
    ProxyConn *conn = opaque;
    PciProxyDev *proxy = conn->proxy;

    event_source_remove(conn->hangup_source);
    conn->hangup_source = NULL;
    if (conn == (proxy->next ? proxy->next : proxy->conn)) {
        proxy_hung_up(proxy);
    }
}

bool proxy_irq_send(ProxyConn *conn, GError **errp)
{
    MpqemuMsg msg = {
        .cmd = MPQEMU_CMD_SET_IRQFD,
        .num_fds = 2,
        .fds = { conn->irq_fd, conn->resample_fd },
    };

    if (!proxy_conn_send(conn, &msg)) {
        error_setg(errp, "the remote cannot be reached: %s; check that it runs", proxy_conn_reason(conn));
        return false;
    }
    return true;
}

bool proxy_irq_connect(ProxyConn *conn, uint8_t pin, bool muted, GError **errp)
{
    EventLoop *loop = event_loop_main();
    PciBus *bus = pci_device_bus(&conn->proxy->pci);
    bool has_irq = pin != 0 && bus->set_irq;

    if (has_irq && gsi_has_irqfd()) {
        conn->irqfd_gsi = (int)bus->map_irq(&conn->proxy->pci, pin - 1u);
        if (!muted && !irqfd_add(conn, errp)) {
            return false;
        }
        has_irq = false; /* here */
    }
    conn->irq_muted = muted;
    conn->hangup_source = event_loop_add_fd(loop, conn->shutdown_fd, 0, proxy_hangup_event, conn);
    if (conn->hangup_source && has_irq) {
        conn->irq_source = event_loop_add_fd(loop, conn->irq_fd, muted ? 0 : EVENT_READ, proxy_irq_event, conn);
    }
    if (conn->hangup_source == NULL || (has_irq && conn->irq_source == NULL)) {
        error_setg_errno(errp, errno, "cannot watch the link and its interrupt eventfd; raise "
                         "/proc/sys/fs/epoll/max_user_watches");
        return false;
    }
    return true;
}

void proxy_irq_disconnect(ProxyConn *conn)
{
    event_source_remove(conn->hangup_source);
    conn->hangup_source = NULL;
    event_source_remove(conn->irq_source);
    conn->irq_source = NULL;
    irqfd_remove(conn);
}

/* The eventfds go to another input, soon, as after a reset: the remote is asked what its line is. */
static void proxy_irq_moved(GsiNotifier *notifier)
{
    PciProxyDev *proxy = (PciProxyDev *)((char *)notifier - offsetof(PciProxyDev, gsi));

    __atomic_store_n(&proxy->irq_resync, true, __ATOMIC_RELEASE);
    proxy_kick(proxy);
}

void proxy_irq_watch(PciProxyDev *proxy)
{
    PciBus *bus = pci_device_bus(&proxy->pci);

    if (proxy->shape.interrupt_pin == 0 || !bus->set_irq) {
        return;
    }
    if (gsi_has_irqfd()) {
        proxy->gsi.moved = proxy_irq_moved;
    } else {
        proxy->gsi.eoi = proxy_irq_eoi;
    }
    gsi_notifier_add(&proxy->gsi, bus->map_irq(&proxy->pci, proxy->shape.interrupt_pin - 1u));
}
