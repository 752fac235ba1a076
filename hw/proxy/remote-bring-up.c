/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a new process of a remote is given before it is ready: everything that the one before had; and links that end.
 *
 * Runs in: mpqemu.
 */
#include "hw/proxy/remote-int.h"

#include "util/error.h"
#include "util/fd.h"

static void bring_up_next(RemoteOp *op);

/* The proxy that was waited for is gone, and nothing else has ended the wait. */
static void attachment_gone(const GError *err, void *opaque)
{
    RemoteOp *op = ((RemoteProcess *)opaque)->current;

    if (op && op->reattaching && pci_proxy_state(op->device->proxy) == PCI_PROXY_GONE) {
        op->reattaching = false;
        bring_up_next(op);
    }
}

/*
 * A link that broke while the process seems alive means a process that lies or is stuck.  With one device to lose, or
 * when it shall be replaced anyway, the process is given up; else its other devices go on, when it lets go of this one.
 */
static void link_lost(RemoteProcess *remote, RemoteDevice *device, const char *reason)
{
    if (remote->on_death != REMOTE_ON_DEATH_DETACH || remote_count_controllers(remote) == 1) {
        g_autofree char *text = g_strdup_printf("link of device '%s': %s", device->id, reason);

        remote_died(remote, text);
    } else {
        remote_device_cut(remote, device->id);
    }
}

void remote_bring_up_check(RemoteProcess *remote)
{
    for (guint i = 0; i < remote->devices->len && remote_is_alive(remote); i++) {
        RemoteDevice *device = remote->devices->pdata[i];

        if (device->proxy && pci_proxy_state(device->proxy) == PCI_PROXY_DEAD) {
            link_lost(remote, device, "it ended before all were attached");
        }
    }
}

void remote_proxy_changed(PciProxyDev *proxy, PciProxyState from, PciProxyState to, const char *reason, void *opaque)
{
    RemoteDevice *device;
    RemoteProcess *remote = remote_of_proxy(proxy, &device);
    RemoteOp *op = remote ? remote->current : NULL;

    if (!remote) {
        return;
    }
    if (op && op->reattaching && op->device == device) {
        if (to == PCI_PROXY_DEAD) {
            error_setg(&op->failure, "device '%s': %s", device->id, reason);
        }
        if (to == PCI_PROXY_GONE) {
            remote_answer_later(NULL, attachment_gone, remote); /* a reset of the machine must not go on from there */
        }
        if (to == PCI_PROXY_DEAD || to == PCI_PROXY_READY) {
            op->reattaching = false;
            bring_up_next(op);
        }
        return;
    }
    if (to == PCI_PROXY_DEAD && remote_is_alive(remote)) {
        link_lost(remote, device, reason);
    }
}

/* ---- making everything again ----------------------------------------------------------------- */

static void bring_up_made(RemoteOp *op)
{
    if (!op->failure && op->device->controller) {
        op->device->link_fd = fd_steal(&op->link_fd);
    }
    bring_up_next(op);
}

static void bring_up_attach(RemoteOp *op)
{
    RemoteDevice *device = op->device;

    device->let_go = false;
    /* remote_proxy_changed() tells the end. */
    op->reattaching = device->controller && pci_proxy_state(device->proxy) != PCI_PROXY_GONE &&
                      pci_proxy_reattach_take_fd(device->proxy, fd_steal(&device->link_fd), &op->failure);
    if (!op->reattaching) {
        bring_up_next(op);
    }
}

void remote_bring_up_abort(RemoteProcess *remote)
{
    RemoteOp *op = remote->current;

    if (op && op->reattaching) {
        op->reattaching = false;
        error_setg(&op->failure, "the process has died");
        bring_up_next(op);
    }
}

static void bring_up_end(RemoteOp *op)
{
    for (guint i = 0; i < op->remote->devices->len; i++) {
        fd_close(&((RemoteDevice *)op->remote->devices->pdata[i])->link_fd);
    }
    remote_op_end(op);
}

/*
 * The object behind the one that was made last: drives first.  Controllers are given back to the guest when all is
 * made: a driver that is quick must not find its disks missing.
 */
static void bring_up_next(RemoteOp *op)
{
    RemoteProcess *remote = op->remote;
    unsigned drives = remote->drives->len, devices = remote->devices->len, index = op->index++;

    op->drive = NULL;
    op->device = NULL;
    if (op->failure || index >= drives + 2 * devices) {
        bring_up_end(op);
    } else if (index < drives) {
        op->drive = remote->drives->pdata[index];
        remote_drive_make(op, bring_up_next);
    } else if (index < drives + devices) {
        op->device = remote->devices->pdata[index - drives];
        remote_device_make(op, bring_up_made);
    } else {
        op->device = remote->devices->pdata[index - drives - devices];
        bring_up_attach(op);
    }
}

static void bring_up_types_known(RemoteOp *op)
{
    RemoteProcess *remote = op->remote;

    if (remote_op_failed(op)) {
        remote_op_end(op);
        return;
    }
    g_clear_pointer(&remote->pci_types, g_hash_table_unref);
    remote->pci_types = remote_op_names(op);
    bring_up_next(op);
}

static void bring_up_types(RemoteOp *op)
{
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "implements", "pci-device");
    json_object_set_boolean_member(args, "abstract", FALSE);
    remote_op_command(op, "qom-list-types", args, -1, bring_up_types_known);
}

/* From the least on (SandboxLevel). */
static const char *const levels[] = { "none", "log", "seccomp", "full" };

/* The process's own word, of which only ours are taken, since they are shown on terminals; "none" for all else. */
static unsigned read_level(const RemoteOp *op)
{
    JsonObject *info = op->value && JSON_NODE_HOLDS_OBJECT(op->value) ? json_node_get_object(op->value) : NULL;
    const char *told = info ? json_object_get_string_member_with_default(info, "level", "none") : "none";

    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        if (g_strcmp0(told, levels[i]) == 0) {
            return i;
        }
    }
    return 0;
}

/* A program that does not know what it was asked for must not pass for one that has done it; one that lies may. */
static void bring_up_sandbox_known(RemoteOp *op)
{
    static const unsigned least[] = { [REMOTE_SANDBOX_LOG] = 1, [REMOTE_SANDBOX_SECCOMP] = 2, [REMOTE_SANDBOX_ON] = 3 };
    RemoteProcess *remote = op->remote;
    unsigned level = read_level(op);

    g_free(remote->sandbox_level);
    remote->sandbox_level = g_strdup(levels[level]);
    if (level < least[remote->sandbox]) {
        error_setg(&op->failure, "its sandbox has the level '%s', and '%s' was asked for; leave sandbox= out to take "
                                 "what the program has", levels[level], levels[least[remote->sandbox]]);
        remote_op_end(op);
        return;
    }
    bring_up_types(op);
}

static void bring_up(RemoteOp *op)
{
    remote_op_command(op, "query-sandbox", NULL, -1, bring_up_sandbox_known);
}

static void brought_up(const GError *err, void *opaque)
{
    remote_brought_up(opaque, err);
}

void remote_bring_up(RemoteProcess *remote)
{
    remote_op_submit_first(remote_op_new(remote, bring_up, NULL, brought_up, remote));
}
