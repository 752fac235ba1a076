/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the type; prepare, realize and unrealize.
 *
 * Runs in: mpqemu.  The manual is include/hw/proxy/pci-proxy-dev.h.
 */
#include "hw/proxy/proxy-int.h"
#include "util/fd-name.h"

QOM_DEFINE_TYPE(PciProxyDev, pci_proxy_dev, "pci-proxy-dev", TYPE_PCI_DEVICE, 0)

/* The function's registers as the remote reports them; in realize, over what the core put there. */
static void proxy_take_shape(PciProxyDev *proxy)
{
    const ProxyShape *shape = &proxy->shape;
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

/* What comes before the first exchange: takes the socket of property fd, makes the first memory table. */
static bool proxy_open(PciProxyDev *proxy, GError **errp)
{
    const char *id = proxy->pci.dev.id;
    int fd = fd_name_or_number_take("fd", proxy->fd_text, errp);

    proxy->name = id ? id : "pci-proxy-dev";
    if (fd < 0) {
        return false;
    }
    proxy->next = proxy_conn_new_take_fd(proxy, fd, errp);
    if (proxy->next == NULL || !proxy_sync_start(proxy, errp)) {
        return false;
    }
    proxy_bh_create(proxy);
    return true;
}

/* Undoes what prepare and realize have done so far, in any state of it. */
static void proxy_tear_down(PciProxyDev *proxy)
{
    proxy_sync_stop(proxy);
    proxy_barrier_remove(proxy);
    gsi_notifier_remove(&proxy->gsi);
    if (!proxy_conns_end(proxy)) {
        g_object_ref(proxy); /* held by a peer that won the race in irq.c: the thread keeps the object */
    }
    proxy_bars_destroy(proxy);
    proxy_bh_free(proxy);
}

/* Hot-plug: the exchanges are the worker's. */
static void proxy_prepare(Device *dev, Bus *bus, DevicePrepare *prepare)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);

    proxy->prepare = prepare;
    if (!proxy_open(proxy, &proxy->prepare_error) ||
        !proxy_conn_start_worker(proxy->next, proxy_attach_prepare, &proxy->prepare_error)) {
        proxy->prepare_over = true;
        if (proxy->bh == NULL) {
            proxy_bh_create(proxy);
        }
        proxy_kick(proxy);
    }
}

/* Start-up: the exchanges are done here. */
static bool proxy_start(PciProxyDev *proxy, GError **errp)
{
    return proxy_open(proxy, errp) && proxy_greet(proxy->next, &proxy->shape, errp) &&
           proxy_conn_start_worker(proxy->next, NULL, errp);
}

static bool proxy_realize(PciDevice *dev, GError **errp)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);

    if (proxy->prepare_over || proxy_start(proxy, errp)) {
        proxy_take_shape(proxy);
        if (proxy_irq_connect(proxy->next, proxy->shape.interrupt_pin, false, errp)) {
            proxy_irq_watch(proxy);
            proxy_barrier_add(proxy);
            proxy_attached(proxy->next);
            return true;
        }
    }
    proxy_change_state(proxy, PROXY_IN_STARTING, PCI_PROXY_DEAD, "it could not be started");
    proxy_tear_down(proxy);
    return false;
}

static void proxy_unrealize(PciDevice *dev)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);
    bool untold = pci_proxy_state(proxy) == PCI_PROXY_REATTACHING || proxy->changes != proxy->changes_told;
    PciProxyNotify *notify = g_steal_pointer(&proxy->notify);

    proxy_change_state(proxy, ~0u, PCI_PROXY_GONE, NULL);
    proxy_tear_down(proxy);
    proxy_retire_end(proxy);
    if (untold && notify) {
        notify(proxy, proxy->told, PCI_PROXY_GONE, NULL, proxy->notify_opaque);
    }
}

static void proxy_reset(PciDevice *dev)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(dev);

    proxy_decoding_update(proxy);
    proxy_post(proxy, PROXY_WORK_RESET);
}

static void proxy_finalize(GObject *gobject)
{
    PciProxyDev *proxy = PCI_PROXY_DEV(gobject);

    proxy_sync_stop(proxy);
    /* Prepared, or being so, and never realized: no peer can hold its worker, which did not get to serving. */
    while (proxy->conns && !proxy_conns_end(proxy)) {
    }
    proxy_bh_free(proxy);
    g_clear_error(&proxy->prepare_error);
    proxy_table_clear(&proxy->table);
    g_free(proxy->reason);
    pthread_mutex_destroy(&proxy->link_lock);
    pthread_mutex_destroy(&proxy->pending_lock);
    pthread_cond_destroy(&proxy->pending_cond);
    G_OBJECT_CLASS(pci_proxy_dev_parent_class)->finalize(gobject);
}

static const char *const dma_names[] = { [PROXY_DMA_MAP] = "map", [PROXY_DMA_BOUNCE] = "bounce", NULL };

const char *pci_proxy_dma_name(PciProxyDev *proxy)
{
    return dma_names[proxy->dma];
}

bool pci_proxy_is_bus_master(PciProxyDev *proxy)
{
    return proxy->pci.config && (pci_get_word(proxy->pci.config + PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static const QomProperty proxy_properties[] = {
    { "fd", QOM_PROP_KIND_STRING, offsetof(PciProxyDev, fd_text), .flags = QOM_PROP_REQUIRED,
      .description = "socket of the remote device: a descriptor's number, or its name" },
    { "timeout", QOM_PROP_KIND_UINT32, offsetof(PciProxyDev, timeout_ms), .min = 1,
      .max = 3600000, .default_value = 5000,
      .description = "milliseconds to wait for each answer before the device is given up" },
    { "dma", QOM_PROP_KIND_ENUM, offsetof(PciProxyDev, dma), .names = dma_names, .default_value = PROXY_DMA_MAP,
      .description = "the remote maps guest RAM (map), or asks for copies of what it needs (bounce)" },
    { 0 },
};

static void pci_proxy_dev_class_init(PciProxyDevClass *klass)
{
    PciDeviceClass *pci = &klass->pci_class;

    ((GObjectClass *)klass)->finalize = proxy_finalize;
    pci->device_class.qom_class.description = "PCI device in another process";
    pci->device_class.prepare = proxy_prepare;
    pci->device_class.retire = proxy_retire;
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
}
