/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of remote processes that go: removed by the user, lost with a link that was given up, or gone in the remote.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  A controller may still write to guest RAM what it was asked to read.  So it leaves the machine,
 * and the guest hears of it, when its process has answered a reset of it (pci_proxy_retire()), has let go of the link
 * by its own word on the control channel, or is gone; a process that does none of these within the time limits of link
 * and channel is killed.  Where a launcher started it there is nothing to be done but to cut it off.
 *
 * The same holds when a link was given up and the process lives on for its other controllers.
 */
#include "hw/proxy/remote-int.h"

#include "system/reset.h"
#include "util/error.h"
#include "util/log.h"

/* An answered command of OP: the next step of OP runs from the event loop, and knows whether the process has ended. */
static void look_later(RemoteOp *op, RemoteDone *step)
{
    remote_answer_later(NULL, step, op);
}

/* The process does not say that it has let go of the link of controller ID, which was given up: so is the process. */
static void keeps_link(RemoteProcess *remote, const char *id, const GError *err)
{
    g_autofree char *text = g_strdup_printf("it does not let go of the link of device '%s', which was given up: %s", id,
                                            err->message);

    remote_give_up(remote, text);
}

/* Takes the proxy out of the machine; its link ends with it. */
static void unplug_proxy(RemoteDevice *device)
{
    g_autoptr(GObject) proxy = (GObject *)g_steal_pointer(&device->proxy);

    if (proxy) {
        pci_proxy_set_notify(PCI_PROXY_DEV(proxy), NULL, NULL);
        if (DEVICE(proxy)->realized) {
            device_unplugged(DEVICE(proxy));
        }
    }
}

unsigned remote_count_controllers(const RemoteProcess *remote)
{
    unsigned count = 0;

    for (guint i = 0; i < remote->devices->len; i++) {
        count += ((RemoteDevice *)remote->devices->pdata[i])->controller;
    }
    return count;
}

/*
 * A device that has lost its bus now that device ID has left the list, or NULL.  One without bus= is on some
 * controller's, so it goes with the last of them.  The bus= of a controller means this machine's.
 */
static RemoteDevice *find_orphan(RemoteProcess *remote, const char *id)
{
    bool no_bus = remote_count_controllers(remote) == 0;

    for (guint i = remote->devices->len; i > 0; i--) {
        RemoteDevice *device = remote->devices->pdata[i - 1];

        if (!device->controller && (device->parent_id ? g_str_equal(device->parent_id, id) : no_bus)) {
            return device;
        }
    }
    return NULL;
}

/* It leaves the list first: a remote may have taken devices whose buses are each other's. */
void remote_device_forget(RemoteProcess *remote, const char *id)
{
    RemoteDevice *device = remote_device_find(remote, id), *orphan;
    guint index;

    if (!device || !g_ptr_array_find(remote->devices, device, &index)) {
        return;
    }
    g_ptr_array_steal_index(remote->devices, index);
    while ((orphan = find_orphan(remote, device->id))) {
        remote_device_forget(remote, orphan->id);
    }
    unplug_proxy(device);
    remote_device_free(device);
}

static void device_forget(RemoteOp *op)
{
    remote_device_forget(op->remote, op->id);
    remote_op_end(op);
}

static void device_deleted(RemoteOp *op)
{
    RemoteDevice *device = remote_device_find(op->remote, op->id);

    /* Of a controller nothing is left here: an error is told, but the device is not kept. */
    if (remote_is_alive(op->remote) && remote_op_failed(op) && device && !device->controller) {
        remote_op_end(op);
        return;
    }
    device_forget(op);
}

static void device_unserved(RemoteOp *op)
{
    remote_op_command(op, "device_del", remote_id_args(op->id), -1, device_deleted);
}

/* The end of the link is sent away; NEXT follows. */
static void link_delete(RemoteOp *op, RemoteOpStep *next)
{
    g_autofree char *name = remote_link_name(op->id);

    remote_op_command(op, "object-del", remote_id_args(name), -1, next);
}

/* The link is gone, guest RAM with it, or the process. */
static void device_is_let_go(const GError *none, void *opaque)
{
    RemoteOp *op = opaque;
    RemoteDevice *device = remote_device_find(op->remote, op->id);

    if (op->err && remote_is_alive(op->remote)) {
        keeps_link(op->remote, op->id, op->err);
    }
    if (op->remote->dying) {
        op->awaits_death = true;
        return;
    }
    if (device) {
        unplug_proxy(device);
    }
    device_unserved(op);
}

/* The answer to link_delete(), for lack of one to the reset. */
static void device_let_go(RemoteOp *op)
{
    look_later(op, device_is_let_go);
}

/* The machine first, when it may: the guest's view does not depend on how quick the remote is. */
static void device_retired(const GError *err, void *opaque)
{
    RemoteOp *op = opaque;
    RemoteDevice *device = remote_device_find(op->remote, op->id);

    op->at_rest = op->at_rest || (device && device->let_go);
    if (device && op->at_rest) {
        unplug_proxy(device);
    }
    link_delete(op, op->at_rest ? device_unserved : device_let_go);
}

/* Perhaps from inside the device's unrealize: the rest comes later. */
static void proxy_retired(PciProxyDev *proxy, bool reset, void *opaque)
{
    RemoteOp *op = opaque;

    op->at_rest = reset;
    remote_answer_later(NULL, device_retired, op);
}

static void device_delete(RemoteOp *op)
{
    RemoteDevice *device = remote_device_find(op->remote, op->id);

    if (!device) {
        error_set(&op->failure, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found", op->id);
        remote_op_end(op);
    } else if (!device->controller) {
        device_unserved(op);
    } else if (device->proxy && DEVICE(device->proxy)->realized) {
        DEVICE(device->proxy)->removing = true;
        DEVICE(device->proxy)->unplug_asked = false;
        pci_proxy_retire(device->proxy, proxy_retired, op);
    } else { /* a reset of the machine was quicker */
        link_delete(op, device_unserved);
    }
}

void remote_device_death_over(RemoteProcess *remote)
{
    RemoteOp *op = remote->current;

    if (op && op->awaits_death) {
        op->awaits_death = false;
        device_forget(op);
    }
}

/*
 * The guest answers later, and remote_device_del_handler() goes on; false: nobody to ask, or that is over.  Not for a
 * dead device, with which a driver can do no more than wait for its time limits.
 */
static bool ask_guest(RemoteDevice *device)
{
    Device *dev = (Device *)device->proxy;

    return dev && dev->realized && (!dev->removing || dev->unplug_asked) &&
           pci_proxy_state(device->proxy) != PCI_PROXY_DEAD && device_ask_guest(dev);
}

static void submit_removal(RemoteProcess *remote, const char *id, bool sure, RemoteDone *done, void *opaque)
{
    RemoteOp *op = remote_op_new(remote, device_delete, device_forget, done, opaque);

    op->id = g_strdup(id);
    op->sure = sure;
    remote_op_submit(op);
}

void remote_device_del(const char *rdev_id, const char *id, bool force, RemoteDone *done, void *opaque)
{
    GError *err = NULL;
    RemoteProcess *remote = remote_find(rdev_id, &err);

    if (remote && !remote_device_find(remote, id)) {
        error_set(&err, ERROR_CLASS_DEVICE_NOT_FOUND, "remote process '%s' has no device '%s'; query-remote lists its "
                  "devices", remote->rid, id);
        remote = NULL;
    }
    if (!remote || (!force && ask_guest(remote_device_find(remote, id)))) {
        remote_answer_later(err, done, opaque);
        return;
    }
    submit_removal(remote, id, false, done, opaque);
}

/* A removal that was called off may be asked for again. */
static void proxy_removed(const GError *err, void *opaque)
{
    g_autoptr(GObject) proxy = opaque;

    if (err && DEVICE(proxy)->realized) {
        log_warn("pci-proxy-dev '%s' stays: %s", DEVICE(proxy)->id, err->message);
        DEVICE(proxy)->given_up = false; /* if it was: the guest is told again of what it finds in the slot */
    }
    DEVICE(proxy)->removing = false;
}

bool remote_device_del_handler(Device *dev, void *opaque)
{
    RemoteDevice *device;
    RemoteProcess *remote = IS_PCI_PROXY_DEV(dev) ? remote_of_proxy(PCI_PROXY_DEV(dev), &device) : NULL;

    if (!remote) {
        return false;
    }
    /* `removing` sees to it that there is one: whoever wants the device away does not come here again. */
    submit_removal(remote, device->id, true, proxy_removed, g_object_ref(dev));
    return true;
}

/* ---- a link that was given up ---------------------------------------------------------------- */

/* The link is gone, or the device, or the process. */
static void cut_over(RemoteOp *op)
{
    op->remote->cuts--;
    reset_gate_changed();
    remote_op_end(op);
}

static void link_is_cut(const GError *none, void *opaque)
{
    RemoteOp *op = opaque;
    RemoteProcess *remote = op->remote;
    RemoteDevice *device = remote_device_find(remote, op->id);

    if (op->err && remote_is_alive(remote)) {
        keeps_link(remote, op->id, op->err);
    } else if (device && remote_is_alive(remote)) {
        device->let_go = true;
    }
    cut_over(op);
}

static void link_cut(RemoteOp *op)
{
    look_later(op, link_is_cut);
}

/* It may have been removed, or have got another link, with a new process, or have been let go of, meanwhile. */
static void cut_link(RemoteOp *op)
{
    RemoteDevice *device = remote_device_find(op->remote, op->id);

    if (device && device->proxy && !device->let_go && pci_proxy_state(device->proxy) == PCI_PROXY_DEAD) {
        link_delete(op, link_cut);
    } else {
        cut_over(op);
    }
}

void remote_device_cut(RemoteProcess *remote, const char *id)
{
    RemoteOp *op = remote_op_new(remote, cut_link, cut_over, NULL, NULL);

    op->id = g_strdup(id);
    op->sure = true; /* one of a device, until it is attached again */
    remote->cuts++;
    remote_op_submit(op);
}
