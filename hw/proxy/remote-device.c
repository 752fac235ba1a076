/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices of remote processes: made there; a PCI function gets a link and a pci-proxy-dev here.
 *
 * Runs in: mpqemu.
 *
 * The main emulator does not know what a remote device is.  The remote says which of its drivers are PCI functions; a
 * device of such a driver is a controller.  Its bus=, addr= and multifunction= mean this machine's PCI bus, its dma=
 * what of this machine it can reach: these go to the proxy, all else goes to the remote.
 *
 * Text and types.  The user writes text; a QMP command has typed values, and QEMU insists.  So the remote is asked for
 * the types of the driver's properties first; what does not read as its type is sent as text, for the remote to refuse.
 */
#include "hw/proxy/remote-int.h"

#include <errno.h>
#include <sys/socket.h>

#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd-name.h"
#include "util/fd.h"

static const char *const proxy_keys[] = { "bus", "addr", "multifunction", "dma", NULL };

static bool is_pci_driver(const RemoteProcess *remote, const char *driver)
{
    return remote->pci_types && g_hash_table_contains(remote->pci_types, driver);
}

/* ---- the remote's half ----------------------------------------------------------------------- */

/* The last command of an undoing: what it says does not matter, the first failure counts. */
static void device_undone(RemoteOp *op)
{
    op->made(op);
}

static void device_undo(RemoteOp *op)
{
    remote_op_command(op, "device_del", remote_id_args(op->device->id), -1, device_undone);
}

/* When object-add failed the name was not taken. */
static void device_undo_fd(RemoteOp *op)
{
    g_autofree char *name = remote_link_name(op->device->id);
    JsonObject *args = json_object_new();

    json_object_set_string_member(args, "fdname", name);
    remote_op_command(op, "closefd", args, -1, device_undo);
}

static void device_linked(RemoteOp *op)
{
    if (remote_op_failed(op)) {
        device_undo_fd(op);
        return;
    }
    op->made(op);
}

static void device_link_passed(RemoteOp *op)
{
    g_autofree char *name = remote_link_name(op->device->id);
    JsonObject *args;

    if (remote_op_failed(op)) {
        device_undo(op);
        return;
    }
    args = remote_id_args(name);
    json_object_set_string_member(args, "qom-type", "x-remote-object");
    json_object_set_string_member(args, "devid", op->device->id);
    json_object_set_string_member(args, "fd", name);
    remote_op_command(op, "object-add", args, -1, device_linked);
}

static void device_link(RemoteOp *op)
{
    g_autofree char *name = remote_link_name(op->device->id);
    JsonObject *args;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        error_setg_errno(&op->failure, errno, "cannot make a socket pair; raise the limit of descriptors (ulimit -n)");
        device_undo(op);
        return;
    }
    fd_close(&op->link_fd);
    op->link_fd = pair[0];
    args = json_object_new();
    json_object_set_string_member(args, "fdname", name);
    remote_op_command(op, "getfd", args, pair[1], device_link_passed);
    fd_close(&pair[1]);
}

static void device_type_known(RemoteOp *op)
{
    const char *type;
    bool controller;

    if (remote_op_failed(op)) {
        device_undo(op);
        return;
    }
    type = JSON_NODE_HOLDS_VALUE(op->value) ? json_node_get_string(op->value) : NULL;
    controller = type && is_pci_driver(op->remote, type);
    /* Made again, it must be what it was: a controller has a proxy, another device has none. */
    if (op->device != op->new_device && controller != op->device->controller) {
        error_setg(&op->failure, "device '%s' is %s PCI function, unlike before", op->device->id,
                   controller ? "a" : "no");
        device_undo(op);
        return;
    }
    op->device->controller = controller;
    if (controller) {
        device_link(op);
    } else {
        op->made(op);
    }
}

static void device_added(RemoteOp *op)
{
    g_autofree char *path = g_strconcat("/machine/peripheral/", op->device->id, NULL);
    JsonObject *args;

    if (remote_op_failed(op)) {
        op->made(op);
        return;
    }
    args = json_object_new();
    json_object_set_string_member(args, "path", path);
    json_object_set_string_member(args, "property", "type");
    remote_op_command(op, "qom-get", args, -1, device_type_known);
}

/* TEXT as a value of property type TYPE (NULL: not known). */
static JsonNode *typed_value(const char *type, const char *text)
{
    JsonNode *node = json_node_new(JSON_NODE_VALUE);
    int64_t number;
    uint64_t size;
    bool on;

    if (type && g_str_equal(type, "bool") && parse_bool(text, &on)) {
        json_node_set_boolean(node, on);
    } else if (type && (g_str_has_prefix(type, "int") || g_str_has_prefix(type, "uint")) &&
               parse_int64(text, &number)) {
        json_node_set_int(node, number);
    } else if (type && g_str_equal(type, "size") && parse_size(text, 'B', &size) && size <= INT64_MAX) {
        json_node_set_int(node, (int64_t)size);
    } else {
        json_node_set_string(node, text);
    }
    return node;
}

typedef struct AddContext {
    JsonObject *args;
    GHashTable *types;
} AddContext;

static bool add_typed_member(const char *key, const char *value, void *opaque, GError **errp)
{
    AddContext *context = opaque;
    const char *type = context->types ? g_hash_table_lookup(context->types, key) : NULL;

    json_object_set_member(context->args, key, typed_value(type, value));
    return true;
}

/*
 * The device is made again while a guest's driver waits for commands that are lost: a controller that can tell it does
 * so (hw/scsi/lsi53c895a-notice.c).  Not while the guest has not switched it on, when there is no such driver.
 */
static void add_notice(RemoteOp *op, JsonObject *args)
{
    static const char property[] = "bus-reset-pending";
    RemoteDevice *device = op->device;

    device->watches_reset = device->watches_reset && device->proxy && pci_proxy_is_bus_master(device->proxy) &&
                            g_hash_table_contains(op->prop_types, property);
    if (device->watches_reset) {
        json_object_set_boolean_member(args, property, TRUE);
    }
}

/* By the user's options: the process's word on trays is not needed for it, and would make device_add fail. */
static bool has_tray(const RemoteDevice *device)
{
    const char *text = options_get(device->opts, "removable");
    bool removable = g_str_equal(device->driver, "scsi-cd");

    return (!text || parse_bool(text, &removable)) && removable;
}

/* A medium that the guest had ejected is not in its drive again. */
static void add_tray(RemoteOp *op, JsonObject *args)
{
    static const char property[] = "tray-open";
    const char *id = options_get(op->device->opts, "drive");
    RemoteDrive *drive = id ? remote_drive_find(op->remote, id) : NULL;

    if (!drive) {
        return;
    }
    drive->tray_open = drive->tray_open && op->device != op->new_device;
    if (drive->tray_open && has_tray(op->device) && g_hash_table_contains(op->prop_types, property)) {
        json_object_set_boolean_member(args, property, TRUE);
    }
}

/* An unknown driver has no properties; device_add says so in better words. */
static void device_types_known(RemoteOp *op)
{
    static const char *const nothing[] = { NULL };
    RemoteDevice *device = op->device;
    g_autoptr(Options) opts = NULL;
    AddContext context = { .args = json_object_new() };

    g_clear_pointer(&op->prop_types, g_hash_table_unref);
    op->prop_types = remote_op_names(op);
    context.types = op->prop_types;
    opts = remote_copy_options(device->opts, is_pci_driver(op->remote, device->driver) ? proxy_keys : nothing);
    options_foreach(opts, add_typed_member, &context, NULL);
    add_notice(op, context.args);
    add_tray(op, context.args);
    remote_op_command(op, "device_add", context.args, -1, device_added);
}

void remote_device_make(RemoteOp *op, RemoteOpStep *made)
{
    JsonObject *args = json_object_new();

    op->made = made;
    json_object_set_string_member(args, "typename", op->device->driver);
    remote_op_command(op, "device-list-properties", args, -1, device_types_known);
}

/* ---- our half -------------------------------------------------------------------------------- */

static void device_finish(RemoteOp *op)
{
    if (!op->failure) {
        g_ptr_array_add(op->remote->devices, g_steal_pointer(&op->new_device));
    }
    remote_op_end(op);
}

static void device_unlinked(RemoteOp *op)
{
    op->made = device_finish;
    device_undo(op);
}

/*
 * Our end of a link, as the proxy's property names it.  The user names descriptors too (getfd), and the newer one of a
 * name replaces the older: hence a name that nobody takes.
 */
static char *proxy_fd_name(const RemoteDevice *device)
{
    return g_strconcat("link of remote device ", device->id, NULL);
}

/* There is no proxy, for op->failure: the remote's half goes, too. */
static void device_unlink(RemoteOp *op)
{
    g_autofree char *name = remote_link_name(op->new_device->id);

    remote_op_command(op, "object-del", remote_id_args(name), -1, device_unlinked);
}

static void proxy_added(Device *dev, const GError *err, void *opaque)
{
    RemoteOp *op = opaque;
    g_autofree char *name = proxy_fd_name(op->new_device);

    op->adding_proxy = false;
    fd_name_remove(name); /* a refusal may come before the proxy has taken it */
    if (!dev) {
        op->failure = g_error_copy(err);
        device_unlink(op);
        return;
    }
    if (remote_stopping()) {
        device_unplugged(dev);
        error_setg(&op->failure, "the program ends");
        device_unlink(op);
        return;
    }
    op->new_device->proxy = g_object_ref(PCI_PROXY_DEV(dev));
    pci_proxy_set_notify(op->new_device->proxy, remote_proxy_changed, NULL);
    /* Had the process died by now, its links would have been cut without this one. */
    if (!remote_is_alive(op->remote)) {
        pci_proxy_kill(op->new_device->proxy, "the remote process has died");
    }
    device_finish(op);
}

/* The options of the proxy of op->new_device; NULL with op->failure set. */
static Options *proxy_options(RemoteOp *op)
{
    RemoteDevice *device = op->new_device;
    g_autofree char *name = proxy_fd_name(device);
    g_autofree char *timeout = g_strdup_printf("%u", op->remote->timeout_ms);
    Options *opts;

    if (!fd_name_add_take_fd(name, fd_steal(&op->link_fd), &op->failure)) {
        return NULL;
    }
    opts = options_new("rdevice");
    options_set(opts, "driver", "pci-proxy-dev");
    options_set(opts, "id", device->id);
    options_set(opts, "fd", name);
    options_set(opts, "timeout", timeout);
    for (unsigned i = 0; proxy_keys[i]; i++) {
        const char *value = options_get(device->opts, proxy_keys[i]);

        if (value) {
            options_set(opts, proxy_keys[i], value);
        }
    }
    return opts;
}

static void device_made(RemoteOp *op)
{
    g_autoptr(Options) opts = NULL;

    if (op->failure || !op->new_device->controller) {
        device_finish(op);
        return;
    }
    opts = proxy_options(op);
    if (opts) {
        op->adding_proxy = true;
        device_add_async(opts, proxy_added, op);
    } else {
        device_unlink(op);
    }
}

void remote_device_abort(RemoteProcess *remote)
{
    RemoteOp *op = remote->current;
    QomObject *proxy = NULL;

    if (op && op->adding_proxy) {
        proxy = qom_child(qom_container("/machine/peripheral"), op->new_device->id);
    }
    if (IS_PCI_PROXY_DEV(proxy)) {
        pci_proxy_kill(PCI_PROXY_DEV(proxy), "the remote process has died");
    }
}

static void device_start(RemoteOp *op)
{
    op->device = op->new_device;
    remote_device_make(op, device_made);
}

/* The id in "ID.N", the name of a bus of device ID; NULL: not of this form. */
static char *bus_owner(const char *bus)
{
    const char *dot = bus ? strrchr(bus, '.') : NULL;

    return dot ? g_strndup(bus, (size_t)(dot - bus)) : NULL;
}

void remote_device_add(Options *opts, RemoteDone *done, void *opaque)
{
    static const char *const skip[] = { "rid", NULL };
    GError *err = NULL;
    RemoteProcess *remote = NULL;
    RemoteOp *op;

    if (!options_has(opts, "driver")) {
        error_setg(&err, "%s: driver is missing; give DRIVER,id=NAME,rid=PROCESS", options_name(opts));
    } else if (options_has(opts, "id") && device_find(options_get(opts, "id"))) {
        error_setg(&err, "%s: id=%s is in use by another device; choose another id", options_name(opts),
                   options_get(opts, "id"));
    } else {
        remote = remote_of_new_object(opts, &err);
    }
    if (!remote) {
        remote_answer_later(err, done, opaque);
        return;
    }
    op = remote_op_new(remote, device_start, NULL, done, opaque);
    op->new_device = g_new0(RemoteDevice, 1);
    *op->new_device = (RemoteDevice) {
        .id = g_strdup(options_get(opts, "id")),
        .driver = g_strdup(options_get(opts, "driver")),
        .opts = remote_copy_options(opts, skip),
        .parent_id = bus_owner(options_get(opts, "bus")),
        .link_fd = -1,
    };
    op->id = g_strdup(op->new_device->id);
    remote_op_submit(op);
}
