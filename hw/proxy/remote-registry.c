/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The remote processes by rid, their configuration (-remote), and what query-remote tells.
 *
 * Runs in: mpqemu.
 */
#include "hw/proxy/remote-int.h"

#include <string.h>

#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

#define HEARTBEAT_INTERVAL_MS 1000
#define HEARTBEAT_LIMIT_MS 5000
#define TIMEOUT_MS 5000

static GPtrArray *remotes; /* RemoteProcess *, in the order of their making; NULL before the first */

static const char *const on_death_names[] = { "detach", "restart", "pause", "exit", NULL };

const char *remote_on_death_name(RemoteOnDeath policy)
{
    return on_death_names[policy];
}

/* As an id, but it may begin with a digit: QEMU's users call their first process "0". */
bool remote_rid_wellformed(const char *rid)
{
    size_t len = strlen(rid);

    if (len == 0 || len > 127 || !g_ascii_isalnum(rid[0])) {
        return false;
    }
    return strspn(rid, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

/* ---- objects --------------------------------------------------------------------------------- */

void remote_drive_free(gpointer opaque)
{
    RemoteDrive *drive = opaque;

    options_free(drive->opts);
    fd_close(&drive->image);
    g_free(drive->file_key);
    g_free(drive->id);
    g_free(drive);
}

void remote_device_free(gpointer opaque)
{
    RemoteDevice *device = opaque;

    if (device->proxy) {
        pci_proxy_set_notify(device->proxy, NULL, NULL);
        g_object_unref(device->proxy);
    }
    fd_close(&device->link_fd);
    options_free(device->opts);
    g_free(device->parent_id);
    g_free(device->driver);
    g_free(device->id);
    g_free(device);
}

RemoteDrive *remote_drive_find(RemoteProcess *remote, const char *id)
{
    for (guint i = 0; i < remote->drives->len; i++) {
        RemoteDrive *drive = remote->drives->pdata[i];

        if (g_str_equal(drive->id, id)) {
            return drive;
        }
    }
    return NULL;
}

RemoteDevice *remote_device_find(RemoteProcess *remote, const char *id)
{
    for (guint i = 0; i < remote->devices->len; i++) {
        RemoteDevice *device = remote->devices->pdata[i];

        if (g_str_equal(device->id, id)) {
            return device;
        }
    }
    return NULL;
}

/* ---- processes ------------------------------------------------------------------------------- */

static RemoteProcess *find_rid(const char *rid)
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        RemoteProcess *remote = remotes->pdata[i];

        if (g_str_equal(remote->rid, rid)) {
            return remote;
        }
    }
    return NULL;
}

static void remote_free(gpointer opaque)
{
    RemoteProcess *remote = opaque;

    remote_process_clear(remote);
    event_bh_free(remote->next_op);
    g_ptr_array_unref(remote->devices);
    g_ptr_array_unref(remote->drives);
    fd_close(&remote->given_control);
    g_free(remote->exec);
    g_free(remote->sandbox_level);
    g_free(remote->reason);
    g_free(remote->rid);
    g_free(remote);
}

RemoteProcess *remote_get(const char *rid, GError **errp)
{
    RemoteProcess *remote = find_rid(rid);

    if (remote) {
        return remote;
    }
    if (!remote_rid_wellformed(rid)) {
        error_setg(errp, "rid=%s is malformed; a rid is a letter or digit, then letters, digits, '-', '.', '_'", rid);
        return NULL;
    }
    if (remotes && remotes->len >= REMOTE_PROCESSES_MAX) {
        error_setg(errp, "rid=%s: there are %u remote processes, the most that can be; put devices into one of these",
                   rid, REMOTE_PROCESSES_MAX);
        return NULL;
    }
    if (!remotes) {
        remotes = g_ptr_array_new_with_free_func(remote_free);
    }
    remote = g_new0(RemoteProcess, 1);
    *remote = (RemoteProcess) {
        .rid = g_strdup(rid),
        .given_control = -1,
        .state = REMOTE_GONE,
        .heartbeat_interval_ms = HEARTBEAT_INTERVAL_MS,
        .heartbeat_limit_ms = HEARTBEAT_LIMIT_MS,
        .timeout_ms = TIMEOUT_MS,
        .drives = g_ptr_array_new_with_free_func(remote_drive_free),
        .devices = g_ptr_array_new_with_free_func(remote_device_free),
    };
    g_queue_init(&remote->ops);
    g_ptr_array_add(remotes, remote);
    return remote;
}

void remote_drop(RemoteProcess *remote)
{
    remote_set_state(remote, REMOTE_GONE, NULL, NULL);
    if (!remote->configured) {
        g_ptr_array_remove(remotes, remote);
    }
}

RemoteProcess *remote_of_object(const char *id)
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        RemoteProcess *remote = remotes->pdata[i];

        if (remote_drive_find(remote, id) || remote_device_find(remote, id)) {
            return remote;
        }
    }
    return NULL;
}

static bool op_makes(const RemoteOp *op, const char *id)
{
    return op && op->id && (op->new_drive || op->new_device) && g_str_equal(op->id, id);
}

/* Two additions of one id, to two processes, would both succeed. */
RemoteProcess *remote_of_id(const char *id)
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        RemoteProcess *remote = remotes->pdata[i];

        if (op_makes(remote->current, id)) {
            return remote;
        }
        for (GList *link = remote->ops.head; link; link = link->next) {
            if (op_makes(link->data, id)) {
                return remote;
            }
        }
    }
    return remote_of_object(id);
}

RemoteProcess *remote_of_proxy(PciProxyDev *proxy, RemoteDevice **ret_device)
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        RemoteProcess *remote = remotes->pdata[i];

        for (guint j = 0; j < remote->devices->len; j++) {
            RemoteDevice *device = remote->devices->pdata[j];

            if (device->proxy == proxy) {
                *ret_device = device;
                return remote;
            }
        }
    }
    return NULL;
}

RemoteProcess *remote_find(const char *rdev_id, GError **errp)
{
    RemoteProcess *remote = find_rid(rdev_id);

    remote = remote ? remote : remote_of_object(rdev_id);
    if (!remote) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "there is no remote process '%s', nor one with an object of this "
                  "id; query-remote lists them", rdev_id);
    }
    return remote;
}

const char *remote_rid_of(const char *rdev_id)
{
    RemoteProcess *remote = remote_find(rdev_id, NULL);

    return remote ? remote->rid : NULL;
}

void remote_for_all(void (*fn)(RemoteProcess *remote))
{
    for (guint i = remotes ? remotes->len : 0; i > 0; i--) {
        fn(remotes->pdata[i - 1]);
    }
}

bool remote_any(bool (*test)(const RemoteProcess *remote))
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        if (test(remotes->pdata[i])) {
            return true;
        }
    }
    return false;
}

/* ---- -remote --------------------------------------------------------------------------------- */

static bool read_ms(Options *opts, const char *key, uint32_t *field, GError **errp)
{
    uint64_t value = *field;

    if (!options_get_uint(opts, key, 3600000, &value, errp)) {
        return false;
    }
    if (value == 0) {
        error_setg(errp, "%s: %s=0: give milliseconds above 0", options_name(opts), key);
        return false;
    }
    *field = (uint32_t)value;
    return true;
}

static bool read_sandbox(RemoteProcess *remote, Options *opts, GError **errp)
{
    static const char *const names[] = { "off", "log", "seccomp", "on", NULL };
    int choice = 0;

    if (!options_get_enum(opts, "sandbox", names, &choice, errp)) {
        return false;
    }
    remote->sandbox = REMOTE_SANDBOX_OFF + choice;
    return true;
}

/* exec=, fd=, sandbox=: what the process is. */
static bool read_process(RemoteProcess *remote, Options *opts, GError **errp)
{
    const char *exec = options_get(opts, "exec"), *fd = options_get(opts, "fd");
    const char *sandbox = options_get(opts, "sandbox");

    if (exec && fd) {
        error_setg(errp, "%s rid=%s: exec= and fd= exclude each other: a process whose control channel is passed runs "
                   "already; leave one out", options_name(opts), remote->rid);
        return false;
    }
    if (exec && exec[0] != '/') {
        error_setg(errp, "%s rid=%s: exec=%s is not absolute; give the whole path, no search path is looked at",
                   options_name(opts), remote->rid, exec);
        return false;
    }
    if (sandbox && !read_sandbox(remote, opts, errp)) {
        return false;
    }
    if (sandbox && fd) {
        error_setg(errp, "%s rid=%s: sandbox= and fd= exclude each other: a process whose control channel is passed "
                         "runs already; give -sandbox to that one", options_name(opts), remote->rid);
        return false;
    }
    if (fd) {
        auto_fd control = fd_name_or_number_take("fd", fd, errp);

        if (control < 0) {
            return false;
        }
        if (fd_kind(control) != FD_KIND_SOCKET) {
            error_setg(errp, "%s rid=%s: fd=%s is %s, not a socket; pass one end of a socketpair, the other end of "
                       "which is the process's QMP monitor", options_name(opts), remote->rid, fd,
                       fd_kind_name(fd_kind(control)));
            return false;
        }
        remote->launched = true;
        remote->given_control = fd_steal(&control);
    }
    remote->exec = g_strdup(exec);
    return true;
}

static bool read_policy(RemoteProcess *remote, Options *opts, GError **errp)
{
    int policy = REMOTE_ON_DEATH_DETACH;

    if (!options_get_enum(opts, "on-death", on_death_names, &policy, errp) ||
        !read_ms(opts, "heartbeat-interval", &remote->heartbeat_interval_ms, errp) ||
        !read_ms(opts, "heartbeat-limit", &remote->heartbeat_limit_ms, errp) ||
        !read_ms(opts, "timeout", &remote->timeout_ms, errp)) {
        return false;
    }
    remote->on_death = (RemoteOnDeath)policy;
    if (remote->launched && policy == REMOTE_ON_DEATH_RESTART) {
        error_setg(errp, "%s rid=%s: on-death=restart needs a process that this program starts; leave fd= out, or let "
                   "the launcher do it", options_name(opts), remote->rid);
        return false;
    }
    if (remote->heartbeat_limit_ms <= remote->heartbeat_interval_ms) {
        error_setg(errp, "%s rid=%s: heartbeat-limit=%u is not above heartbeat-interval=%u; a silence that long is "
                   "never seen", options_name(opts), remote->rid, remote->heartbeat_limit_ms,
                   remote->heartbeat_interval_ms);
        return false;
    }
    return true;
}

bool remote_configure(Options *opts, GError **errp)
{
    static const char *const known[] = {
        "rid", "exec", "fd", "sandbox", "on-death", "heartbeat-interval", "heartbeat-limit", "timeout", NULL,
    };
    const char *rid = options_get(opts, "rid");
    RemoteProcess *remote;

    if (!rid) {
        error_setg(errp, "%s: rid is missing; give rid=NAME, as the devices of the process have it",
                   options_name(opts));
        return false;
    }
    if (find_rid(rid)) {
        error_setg(errp, "%s rid=%s: this process is configured already; say it once", options_name(opts), rid);
        return false;
    }
    remote = remote_get(rid, errp);
    if (!remote) {
        return false;
    }
    if (!read_process(remote, opts, errp) || !read_policy(remote, opts, errp) ||
        !options_check_unused(opts, known, errp)) {
        g_ptr_array_remove(remotes, remote);
        return false;
    }
    remote->configured = true;
    return true;
}

/* ---- query-remote ---------------------------------------------------------------------------- */

void remote_foreach(void (*fn)(RemoteProcess *remote, const RemoteInfo *info, void *opaque), void *opaque)
{
    for (guint i = 0; remotes && i < remotes->len; i++) {
        RemoteProcess *remote = remotes->pdata[i];
        RemoteInfo info = {
            .rid = remote->rid,
            .pid = remote->child ? remote_child_pid(remote->child) : 0,
            .process = remote->exec,
            .state = remote->state,
            .reason = remote->state == REMOTE_DEAD ? remote->reason : NULL,
            .sandbox = remote->sandbox_level ? remote->sandbox_level : "none",
            .on_death = remote->on_death,
            .restarts = remote->restarts,
            .control_received = remote->control_received,
            .control_sent = remote->control_sent,
        };

        if (remote->control) {
            uint64_t received, sent;

            qmp_client_counters(remote->control, &received, &sent);
            info.control_received += received;
            info.control_sent += sent;
        }
        fn(remote, &info, opaque);
    }
}

void remote_foreach_device(RemoteProcess *remote, void (*fn)(const RemoteObjectInfo *info, void *opaque), void *opaque)
{
    for (guint i = 0; i < remote->devices->len; i++) {
        const RemoteDevice *device = remote->devices->pdata[i];
        RemoteObjectInfo info = { device->id, device->driver, device->controller };

        fn(&info, opaque);
    }
}

void remote_foreach_drive(RemoteProcess *remote, void (*fn)(const RemoteObjectInfo *info, void *opaque), void *opaque)
{
    for (guint i = 0; i < remote->drives->len; i++) {
        const RemoteDrive *drive = remote->drives->pdata[i];
        RemoteObjectInfo info = { .id = drive->id };

        fn(&info, opaque);
    }
}
