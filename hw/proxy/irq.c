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
 * Reset.  The PCI core lowers the line at once.  An event of the time before may still come, until
 * the remote has answered the reset: it finds `irq_raised` set or raises the line, and the answer
 * then has both brought to "nothing has happened yet" and the remote asked again.
 *
 * The peer has both eventfds and the flags of their open files.  It may
 *  - send events without end: a second one while the line is raised makes the loop ignore the
 *    eventfd until the line is lowered, so a storm costs two turns of the loop per guest EOI;
 *  - empty the eventfd before we read it: RWF_NOWAIT never waits, and the event counts anyway;
 *  - fill the resample eventfd and clear its O_NONBLOCK: the write is done by the worker, which may
 *    wait, right after the flag was set again.  Should the peer win even that race, it holds a
 *    thread of its own device.
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

static void proxy_irq_drain(PciProxyDev *proxy)
{
    uint64_t count;
    struct iovec iov = { &count, sizeof(count) };

    /* Nothing to do when it was empty. */
    if (preadv2(proxy->irq_fd, &iov, 1, -1, RWF_NOWAIT) < 0) {
        return;
    }
}

/* Brings line and eventfd to "nothing has happened yet". */
static void proxy_irq_lower(PciProxyDev *proxy)
{
    proxy_irq_drain(proxy);
    proxy->irq_raised = false;
    pci_set_irq(&proxy->pci, 0);
    if (proxy->irq_muted) {
        proxy_irq_kick(proxy); /* only the loop's own thread may touch its sources */
    }
}

/* Main loop: the remote raised its line. */
static void proxy_irq_event(int fd, unsigned ready, void *opaque)
{
    PciProxyDev *proxy = opaque;

    proxy_irq_drain(proxy);
    if (proxy->irq_raised) {
        trace_proxy_irq_mute(proxy->name);
        proxy->irq_muted = true;
        event_source_set_events(proxy->irq_source, 0);
        return;
    }
    trace_proxy_irq_raise(proxy->name);
    PROXY_COUNT(proxy, irqs);
    proxy->irq_raised = true;
    pci_set_irq(&proxy->pci, 1);
}

/* The guest ended the interrupt of our GSI, perhaps another device's. */
static void proxy_irq_eoi(GsiNotifier *notifier)
{
    PciProxyDev *proxy = (PciProxyDev *)((char *)notifier - offsetof(PciProxyDev, eoi));

    if (!proxy->irq_raised) {
        return;
    }
    trace_proxy_irq_eoi(proxy->name);
    proxy_irq_lower(proxy);
    proxy_post(proxy, PROXY_WORK_RESAMPLE);
}

/* Main loop, asked for by proxy_irq_kick(). */
static void proxy_irq_work(void *opaque)
{
    PciProxyDev *proxy = opaque;

    if (pci_proxy_state(proxy) == PCI_PROXY_DEAD) {
        proxy_irq_disconnect(proxy);
        return;
    }
    if (__atomic_exchange_n(&proxy->irq_resync, false, __ATOMIC_ACQ_REL)) {
        proxy_irq_lower(proxy);
        proxy_post(proxy, PROXY_WORK_RESAMPLE);
    }
    if (proxy->irq_muted && !proxy->irq_raised && proxy->irq_source) {
        proxy->irq_muted = false;
        event_source_set_events(proxy->irq_source, EVENT_READ);
    }
}

void proxy_irq_kick(PciProxyDev *proxy)
{
    if (proxy->irq_bh) {
        event_bh_schedule(proxy->irq_bh);
    }
}

void proxy_irq_signal_resample(PciProxyDev *proxy)
{
    uint64_t one = 1;

    /*
     * A full counter means that the remote has a signal it has not looked at: nothing is lost when
     * the write is refused.
     */
    fd_set_nonblock(proxy->resample_fd, true);
    if (write(proxy->resample_fd, &one, sizeof(one)) < 0) {
        return;
    }
}

/* The peer has closed its end while nobody was talking to it. */
static void proxy_hangup_event(int fd, unsigned ready, void *opaque)
{
    PciProxyDev *proxy = opaque;

    event_source_remove(proxy->hangup_source);
    proxy->hangup_source = NULL;
    proxy_post(proxy, PROXY_WORK_HANGUP);
}

bool proxy_irq_create(PciProxyDev *proxy, GError **errp)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SET_IRQFD, .num_fds = 2 };

    proxy->irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    proxy->resample_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (proxy->irq_fd < 0 || proxy->resample_fd < 0) {
        error_setg_errno(errp, errno, "cannot make an eventfd; raise the limit of descriptors "
                         "(ulimit -n)");
        return false;
    }
    msg.fds[0] = proxy->irq_fd;
    msg.fds[1] = proxy->resample_fd;
    if (!proxy_send(proxy, &msg)) {
        error_setg(errp, "the remote cannot be reached: %s; check that it runs",
                   proxy_dead_reason(proxy));
        return false;
    }
    proxy->irq_bh = event_bh_new(event_loop_main(), proxy_irq_work, proxy);
    return true;
}

bool proxy_irq_connect(PciProxyDev *proxy, GError **errp)
{
    PciDevice *dev = &proxy->pci;
    PciBus *bus = pci_device_bus(dev);
    uint8_t pin = dev->config[PCI_INTERRUPT_PIN];

    proxy->hangup_source = event_loop_add_fd(event_loop_main(), proxy->hangup_fd, 0,
                                             proxy_hangup_event, proxy);
    if (proxy->hangup_source == NULL) {
        error_setg_errno(errp, errno, "cannot watch the link; raise "
                         "/proc/sys/fs/epoll/max_user_watches");
        return false;
    }
    if (pin == 0 || bus->set_irq == NULL) {
        return true;
    }
    proxy->irq_source = event_loop_add_fd(event_loop_main(), proxy->irq_fd, EVENT_READ,
                                          proxy_irq_event, proxy);
    if (proxy->irq_source == NULL) {
        error_setg_errno(errp, errno, "cannot watch the interrupt eventfd; raise "
                         "/proc/sys/fs/epoll/max_user_watches");
        return false;
    }
    proxy->eoi.eoi = proxy_irq_eoi;
    gsi_notifier_add(&proxy->eoi, bus->map_irq(dev, pin - 1u));
    return true;
}

void proxy_irq_disconnect(PciProxyDev *proxy)
{
    event_source_remove(proxy->hangup_source);
    proxy->hangup_source = NULL;
    if (proxy->irq_source) {
        event_source_remove(proxy->irq_source);
        proxy->irq_source = NULL;
        gsi_notifier_remove(&proxy->eoi);
    }
    proxy->irq_raised = false;
    proxy->irq_muted = false;
    if (!proxy->gone) {
        pci_set_irq(&proxy->pci, 0);
    }
}

void proxy_irq_destroy(PciProxyDev *proxy)
{
    event_bh_free(proxy->irq_bh);
    proxy->irq_bh = NULL;
    fd_close(&proxy->irq_fd);
    fd_close(&proxy->resample_fd);
}
