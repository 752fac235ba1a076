/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a remote process tells by itself (its QMP events), and what processes have to do with the machine's run state.
 *
 * Runs in: mpqemu.
 *
 * The remote is not trusted.  An event costs what its text costs; nothing is kept of it but one bit of each device and
 * drive.
 * What is passed on to our own monitors is lost there when a client does not read.  The one thing that it can do to the
 * machine is to stop it, when the user has allowed that by a drive's werror= or rerror=: once for each time that
 * somebody lets the machine go on.
 */
#include "hw/proxy/remote-int.h"

#include "qapi/qapi.h"
#include "system/runstate.h"
#include "trace/hw-proxy.h"
#include "util/log.h"

/* ---- events ---------------------------------------------------------------------------------- */

static bool is_stop(const char *action)
{
    return action && (g_str_equal(action, "stop") || g_str_equal(action, "enospc"));
}

/* Whether an error of a drive may stop the machine, by what the user said and the defaults (werror=enospc). */
static bool may_stop(const RemoteProcess *remote)
{
    for (guint i = 0; i < remote->drives->len; i++) {
        const RemoteDrive *drive = remote->drives->pdata[i];
        const char *werror = options_get(drive->opts, "werror");

        if (is_stop(options_get(drive->opts, "rerror")) || (werror ? is_stop(werror) : !drive->read_only)) {
            return true;
        }
    }
    for (guint i = 0; i < remote->devices->len; i++) {
        const RemoteDevice *device = remote->devices->pdata[i];

        if (is_stop(options_get(device->opts, "rerror")) || is_stop(options_get(device->opts, "werror"))) {
            return true;
        }
    }
    return false;
}

/*
 * A drive's error has stopped the remote; the guest is here, so it is stopped here.  No rate is needed: a machine that
 * stands is stopped no more, and it goes on only when somebody says "cont".
 */
static void on_stop(RemoteProcess *remote, const char *name, JsonObject *data)
{
    remote->io_stopped = true;
    if (may_stop(remote)) {
        vm_stop(RUN_STATE_IO_ERROR);
    } else if (!remote->stop_refused) {
        remote->stop_refused = true;
        log_warn("remote process '%s' has stopped, but none of its drives may stop the machine, which runs on; its "
                 "devices may hang until 'stop' and 'cont'", remote->rid);
    }
}

/* Passed on with the process's rid, so that a manager need not watch each process. */
static void on_relayed(RemoteProcess *remote, const char *name, JsonObject *data)
{
    const QapiEvent *event = qapi_event_find(name);
    JsonObject *copy = json_object_new();
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);
    g_autoptr(GError) err = NULL;
    JsonObjectIter iter;
    const char *key;
    JsonNode *value;

    if (data) {
        json_object_iter_init_ordered(&iter, data);
        while (json_object_iter_next_ordered(&iter, &key, &value)) {
            json_object_set_member(copy, key, json_node_copy(value));
        }
    }
    json_object_set_string_member(copy, "rid", remote->rid);
    json_node_set_object(node, copy);
    /* The remote is not trusted: what does not fit our schema goes no further. */
    if (event && qapi_check(event->data, node, "", &err)) {
        qapi_event_emit(name, copy);
    } else {
        json_object_unref(copy);
    }
}

static void on_device_deleted(RemoteProcess *remote, const char *name, JsonObject *data)
{
    const char *id = data ? json_object_get_string_member_with_default(data, "device", NULL) : NULL;
    RemoteDevice *device = id ? remote_device_find(remote, id) : NULL;

    /* While everything is made again, or is about to be, nobody has asked for a removal. */
    if (device && remote_is_alive(remote)) {
        /* Of a controller the machine tells, when its proxy goes. */
        if (!device->controller) {
            on_relayed(remote, name, data);
        }
        remote_device_forget(remote, id);
    }
}

/* Where the guest has left the tray, for the process after this one. */
static void on_tray_moved(RemoteProcess *remote, const char *name, JsonObject *data)
{
    const char *id = data ? json_object_get_string_member_with_default(data, "device", NULL) : NULL;
    RemoteDrive *drive = id ? remote_drive_find(remote, id) : NULL;

    if (drive) {
        drive->tray_open = json_object_get_boolean_member_with_default(data, "tray-open", FALSE);
    }
    on_relayed(remote, name, data);
}

/* The word of a controller counts for its own replacement only. */
static void on_bus_reset_watch(RemoteProcess *remote, const char *name, JsonObject *data)
{
    const char *id = data ? json_object_get_string_member_with_default(data, "device", NULL) : NULL;
    RemoteDevice *device = id ? remote_device_find(remote, id) : NULL;

    if (device) {
        device->watches_reset = json_object_get_boolean_member_with_default(data, "enabled", FALSE);
    }
}

static const struct {
    const char *name;
    void (*handle)(RemoteProcess *remote, const char *name, JsonObject *data);
} remote_events[] = {
    { "BLOCK_IO_ERROR", on_relayed },
    { "DEVICE_DELETED", on_device_deleted },
    { "DEVICE_TRAY_MOVED", on_tray_moved },
    { "SCSI_BUS_RESET_WATCH", on_bus_reset_watch },
    { "STOP", on_stop },
};

void remote_event(QmpClient *client, const char *name, JsonObject *data, void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(remote_events); i++) {
        if (g_str_equal(remote_events[i].name, name)) {
            remote_events[i].handle(opaque, name, data);
        }
    }
}

/* ---- run state ------------------------------------------------------------------------------- */

static void ignore_answer(JsonNode *value, const GError *err, void *opaque)
{
}

static bool is_paused(const RemoteProcess *remote)
{
    return remote->paused_vm;
}

static void resume_remote(RemoteProcess *remote)
{
    remote->paused_vm = false; /* whoever let the machine go on: a later stop is not of our making */
    if (remote->io_stopped && remote->control) {
        remote->io_stopped = false;
        qmp_client_command(remote->control, "cont", NULL, -1, remote->timeout_ms, ignore_answer, NULL);
    }
}

/* RunStateHandler: a machine that goes on lets the remotes retry what stopped it. */
static void remote_runstate(bool running, RunState state, void *opaque)
{
    if (running) {
        remote_for_all(resume_remote);
    }
}

void remote_watch_runstate(void)
{
    static bool watching;

    if (!watching) {
        watching = true;
        runstate_register(remote_runstate, NULL);
    }
}

void remote_pause(RemoteProcess *remote)
{
    if (runstate_get() == RUN_STATE_RUNNING) {
        remote->paused_vm = true;
        vm_stop(RUN_STATE_PAUSED);
    } else if (remote_any(is_paused)) {
        remote->paused_vm = true; /* that one's return is not enough */
    }
}

void remote_pause_end(RemoteProcess *remote)
{
    if (remote->paused_vm) {
        remote->paused_vm = false;
        /* Whatever it stands as now (a reset changes the word for it): it has not gone on since. */
        if (!remote_any(is_paused)) {
            vm_start();
        }
    }
}
