/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands on remote processes: rdevice_*, rdrive_*, rblock_resize, remote_restart, query-remote.
 *
 * Runs in: mpqemu.
 *
 * All but query-remote ask another process, so their calls are deferred until it has answered.  query-remote answers
 * from what is known here.
 */
#include "hw/core/device.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/proxy/remote-process.h"
#include "monitor/commands.h"
#include "monitor/commands-int.h"
#include "util/error.h"

/* RemoteDone of a deferred call. */
static void remote_call_done(const GError *err, void *opaque)
{
    qmp_call_finish(opaque, NULL, err ? g_error_copy(err) : NULL);
}

/*
 * The process that ARGS name: "rid", or "rdev_id" as the first patches of multi-process QEMU called it.  NULL with
 * *errp.
 */
static const char *get_rid(JsonObject *args, GError **errp)
{
    const char *rid = json_object_get_string_member_with_default(args, "rid", NULL);
    const char *rdev_id = json_object_get_string_member_with_default(args, "rdev_id", NULL);

    if (!rid && !rdev_id) {
        error_setg(errp, "Parameter 'rid' is missing; give the process, or the id of one of its objects");
    } else if (rid && rdev_id) {
        error_setg(errp, "Parameters 'rid' and 'rdev_id' mean the same; give one of them");
        rid = rdev_id = NULL;
    }
    return rid ? rid : rdev_id;
}

/* The options of COMMAND's ARGS with "rid" for the process, which may be a new one; NULL with *errp. */
static Options *get_options(const char *command, JsonObject *args, GError **errp)
{
    const char *rid = get_rid(args, errp);
    g_autoptr(Options) opts = rid ? options_from_json(command, args, errp) : NULL;

    if (rid && json_object_has_member(args, "rdev_id") && remote_rid_of(rid)) {
        rid = remote_rid_of(rid);
    }
    if (!opts) {
        return NULL;
    }
    options_set(opts, "rid", rid);
    options_remove(opts, "rdev_id");
    return g_steal_pointer(&opts);
}

static bool run_add(void (*add)(Options *opts, RemoteDone *done, void *opaque), const char *command, QmpCall *call,
                    JsonObject *args, GError **errp)
{
    g_autoptr(Options) opts = get_options(command, args, errp);

    if (!opts) {
        return false;
    }
    qmp_call_defer(call);
    add(opts, remote_call_done, call);
    return true;
}

static bool qmp_rdevice_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return run_add(remote_device_add, "rdevice_add", call, args, errp);
}

static bool qmp_rdrive_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return run_add(remote_drive_add, "rdrive_add", call, args, errp);
}

static bool qmp_rdevice_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *rid = get_rid(args, errp);
    bool force = json_object_get_boolean_member_with_default(args, "force", false);

    if (!rid) {
        return false;
    }
    qmp_call_defer(call);
    remote_device_del(rid, json_object_get_string_member(args, "id"), force, remote_call_done, call);
    return true;
}

static bool qmp_rdrive_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *rid = get_rid(args, errp);

    if (!rid) {
        return false;
    }
    qmp_call_defer(call);
    remote_drive_del(rid, json_object_get_string_member(args, "id"), remote_call_done, call);
    return true;
}

static bool qmp_rblock_resize(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *rid = get_rid(args, errp);
    int64_t size = json_object_get_int_member(args, "size");

    if (!rid) {
        return false;
    }
    if (size < 0) {
        error_setg(errp, "Parameter 'size' expects a number of bytes from 0 on");
        return false;
    }
    qmp_call_defer(call);
    remote_block_resize(rid, json_object_get_string_member(args, "device"), (uint64_t)size, remote_call_done, call);
    return true;
}

static bool qmp_remote_restart(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    qmp_call_defer(call);
    remote_restart(json_object_get_string_member(args, "rid"), remote_call_done, call);
    return true;
}

/* ---- query-remote ---------------------------------------------------------------------------- */

static JsonObject *link_info(PciProxyDev *proxy)
{
    JsonObject *link = json_object_new();
    PciProxyStats stats;

    pci_proxy_stats(proxy, &stats);
    json_object_set_string_member(link, "state", pci_proxy_state_name(pci_proxy_state(proxy)));
    json_object_set_int_member(link, "messages", (int64_t)stats.exchanges);
    json_object_set_int_member(link, "bytes", (int64_t)stats.bytes);
    json_object_set_int_member(link, "failed", (int64_t)stats.failed);
    json_object_set_int_member(link, "timeouts", (int64_t)stats.timeouts);
    json_object_set_int_member(link, "worst-wait-ns", (int64_t)stats.worst_wait_ns);
    json_object_set_int_member(link, "dropped-reads", (int64_t)stats.dropped_reads);
    json_object_set_int_member(link, "dropped-writes", (int64_t)stats.dropped_writes);
    json_object_set_int_member(link, "interrupts", (int64_t)stats.irqs);
    json_object_set_int_member(link, "reattached", (int64_t)stats.reattached);
    json_object_set_string_member(link, "dma", pci_proxy_dma_name(proxy));
    json_object_set_int_member(link, "bounced-bytes", (int64_t)stats.bounced_bytes);
    return link;
}

static void add_device(const RemoteObjectInfo *info, void *opaque)
{
    JsonObject *device = json_object_new();
    Device *proxy = info->controller ? device_find(info->id) : NULL;

    json_object_set_string_member(device, "id", info->id);
    json_object_set_string_member(device, "driver", info->driver);
    json_object_set_boolean_member(device, "controller", info->controller);
    if (IS_PCI_PROXY_DEV(proxy)) {
        json_object_set_object_member(device, "link", link_info(PCI_PROXY_DEV(proxy)));
    }
    json_array_add_object_element(opaque, device);
}

static void add_drive(const RemoteObjectInfo *info, void *opaque)
{
    JsonObject *drive = json_object_new();

    json_object_set_string_member(drive, "id", info->id);
    json_array_add_object_element(opaque, drive);
}

static void add_remote(RemoteProcess *remote, const RemoteInfo *info, void *opaque)
{
    JsonObject *object = json_object_new(), *control = json_object_new();
    JsonArray *devices = json_array_new(), *drives = json_array_new();

    json_object_set_string_member(object, "id", info->rid);
    if (info->pid > 0) {
        json_object_set_int_member(object, "pid", info->pid);
    }
    if (info->process) {
        json_object_set_string_member(object, "process", info->process);
    }
    json_object_set_string_member(object, "state", remote_state_name(info->state));
    if (info->reason) {
        json_object_set_string_member(object, "reason", info->reason);
    }
    json_object_set_string_member(object, "sandbox", info->sandbox);
    json_object_set_string_member(object, "on-death", remote_on_death_name(info->on_death));
    remote_foreach_device(remote, add_device, devices);
    json_object_set_array_member(object, "devices", devices);
    remote_foreach_drive(remote, add_drive, drives);
    json_object_set_array_member(object, "drives", drives);
    json_object_set_int_member(object, "restarts", info->restarts);
    json_object_set_int_member(control, "received", (int64_t)info->control_received);
    json_object_set_int_member(control, "sent", (int64_t)info->control_sent);
    json_object_set_object_member(object, "control", control);
    json_array_add_object_element(opaque, object);
}

static bool qmp_query_remote(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *list = json_array_new();

    remote_foreach(add_remote, list);
    *ret_value = node_take_array(list);
    return true;
}

static const QmpCommandImpl commands[] = {
    { "query-remote", qmp_query_remote },
    { "rblock_resize", qmp_rblock_resize },
    { "rdevice_add", qmp_rdevice_add },
    { "rdevice_del", qmp_rdevice_del },
    { "rdrive_add", qmp_rdrive_add },
    { "rdrive_del", qmp_rdrive_del },
    { "remote_restart", qmp_remote_restart },
    { NULL, NULL },
};

void qmp_register_remote(void)
{
    qmp_register(commands);
}
