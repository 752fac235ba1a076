/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the type, realize and unrealize.
 *
 * Runs in: mpqemu.  The manual is include/hw/proxy/pci-proxy-dev.h.
 */
#include <unistd.h>

#include "hw/proxy/proxy-int.h"
#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

QOM_DEFINE_TYPE(PciProxyDev, pci_proxy_dev, "pci-proxy-dev", TYPE_PCI_DEVICE, 0)

/* The function's registers as the remote reports them; in realize, over what the core put there. */
static void proxy_take_shape(PciProxyDev *proxy, const ProxyShape *shape)
{
    PciDevice *dev = &proxy->pci;

    pci_set_word(dev->config + PCI_VENDOR_ID, shape->vendor_id);
    pci_set_word(dev->config + PCI_DEVICE_ID, shape->device_id);
    dev->config[PCI_REVISION_ID] = shape->revision;
    dev->config[PCI_CLASS_PROG] = shape->class_code;
    pci_set_word(dev->config + PCI_CLASS_DEVICE, shape->class_code >> 8);
    pci_set_word(dev->config + PCI_SUBSYSTEM_VENDOR_ID, shape->subsystem_vendor_id);
    pci_set_word(dev->config + PCI_SUBSYSTEM_ID, shape->subsystem_id);
    dev->config[PCI_INTERRUPT_PIN] = shape->interrupt_pin;
    /* The class gives every proxy room for 4096 bytes; the function at hand may have fewer. */
    dev->config_size = shape->express ? PCIE_CONFIG_SIZE : PCI_CONFIG_SIZE;
    proxy_bars_create(proxy, shape);
}

/* Takes the socket of property fd and makes the link on it. */
static bool proxy_open_link(PciProxyDev *proxy, GError **errp)
{
    int fd = fd_name_or_number_take("fd", proxy->fd_text, errp);

    if (fd < 0) {
        return false;
    }
    proxy->hangup_fd = fd_kind(fd) == FD_KIND_SOCKET ? fd_dup(fd) : -1;
    proxy->link = mpqemu_link_new_take_fd(fd, MPQEMU_ROLE_CLIENT, proxy->name, errp);
    return proxy->link != NULL;
}

/* All exchanges of the start-up. */
static bool proxy_exchange_first(PciProxyDev *proxy, ProxyShape *ret_shape, GError **errp)
{
    proxy_do_pending(proxy); /* sends the memory table */
    if (pci_proxy_state(proxy) == PCI_PROXY_DEAD) {
        error_setg(errp, "the remote cannot be reached: %s; check that it runs",
                   proxy_dead_reason(proxy));
        return false;
    }
    return proxy_irq_create(proxy, errp) && proxy_probe(proxy, ret_shape, errp);
}

/* As above; the message about a remote that is gone or silent gets a remedy. */
static bool proxy_start_link(PciProxyDev *proxy, ProxyShape *ret_shape, GError **errp)
{
    g_autoptr(GError) err = NULL;

    if (proxy_exchange_first(proxy, ret_shape, &err)) {
        return true;
    }
    if (pci_proxy_state(proxy) != PCI_PROXY_DEAD) {
        g_propagate_error(errp, g_steal_pointer(&err));
    } else if (proxy->sent.count == MPQEMU_FDS_MAX) {
        error_setg(errp, "%s; if the remote is QEMU: it takes %u parts of guest memory and "
                   "there are %u, use fewer memory backends", err->message, MPQEMU_FDS_MAX - 1,
                   MPQEMU_FDS_MAX);
    } else {
        error_setg(errp, "%s; look whether the remote process runs, and what it printed",
                   err->message);
    }
    return false;
}

/* Undoes what realize has done so far, in any state of it; all but the locks. */
static void proxy_tear_down(PciProxyDev *proxy)
{
    bool ended = true;

    proxy_sync_stop(proxy);
    if (proxy->worker) {
        ended = proxy_stop_worker(proxy);
    }
    proxy_irq_disconnect(proxy);
    proxy_bars_destroy(proxy);
    if (ended) {
        proxy_irq_destroy(proxy);
    }
}

static bool proxy_realize(PciDevice *dev, GError **errp)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);
    ProxyShape shape;
    bool ok;

    proxy->name = dev->dev.id ? dev->dev.id : "pci-proxy-dev";
    if (!proxy_open_link(proxy, errp)) {
        return false;
    }
    proxy->start_deadline = event_clock_ns(EVENT_CLOCK_REAL) + proxy->timeout_ms * NS_PER_MS;
    if (!proxy_sync_start(proxy, errp)) {
        return false;
    }
    ok = proxy_start_link(proxy, &shape, errp);
    if (ok) {
        proxy_take_shape(proxy, &shape);
        ok = proxy_irq_connect(proxy, errp) && proxy_start_worker(proxy, errp);
    }
    if (!ok) {
        proxy_tear_down(proxy);
    }
    return ok;
}

static void proxy_unrealize(PciDevice *dev)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);

    proxy->gone = true;
    proxy_tear_down(proxy);
}

static void proxy_reset(PciDevice *dev)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);

    proxy_bars_update(proxy);
    proxy_post(proxy, PROXY_WORK_RESET);
}

static void proxy_finalize(GObject *gobject)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(gobject);

    mpqemu_link_free(proxy->link);
    fd_close(&proxy->hangup_fd);
    proxy_table_clear(&proxy->table);
    proxy_table_clear(&proxy->sent);
    pthread_mutex_destroy(&proxy->link_lock);
    pthread_mutex_destroy(&proxy->pending_lock);
    pthread_cond_destroy(&proxy->pending_cond);
    G_OBJECT_CLASS(pci_proxy_dev_parent_class)->finalize(gobject);
}

static const QomProperty proxy_properties[] = {
    { "fd", QOM_PROP_KIND_STRING, offsetof(PciProxyDev, fd_text), .flags = QOM_PROP_REQUIRED,
      .description = "socket of the remote device: a descriptor's number, or its name" },
    { "timeout", QOM_PROP_KIND_UINT32, offsetof(PciProxyDev, timeout_ms), .min = 1,
      .max = 3600000, .default_value = 5000,
      .description = "milliseconds to wait for each answer before the device is given up" },
    { 0 },
};

static void pci_proxy_dev_class_init(PciProxyDevClass *klass)
{
    PciDeviceClass *pci = &klass->pci_class;

    ((GObjectClass *)klass)->finalize = proxy_finalize;
    pci->device_class.qom_class.description = "PCI device in another process";
    pci->express = true;
    pci->unlocked_config = true;
    pci->realize = proxy_realize;
    pci->unrealize = proxy_unrealize;
    pci->reset = proxy_reset;
    pci->config_read = proxy_config_read;
    pci->config_write = proxy_config_write;
    qom_class_add_properties(klass, proxy_properties);
}

static void pci_proxy_dev_init(PciProxyDev *self)
{
    pthread_mutex_init(&self->link_lock, NULL);
    pthread_mutex_init(&self->pending_lock, NULL);
    pthread_cond_init(&self->pending_cond, NULL);
    self->irq_fd = -1;
    self->resample_fd = -1;
    self->hangup_fd = -1;
}
