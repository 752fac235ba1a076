/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come and go while the machine runs.
 *
 * Runs in: both programs.
 *
 * Theory of operation.  An addition has up to three steps: the device is made from the options; its class
 * prepares what may take time, without holding up the event loop; it is realized as at the start.  A removal
 * has up to four: the checks; the guest is asked, and may never answer; somebody else (device_set_del_handler()), or
 * the device's class, ends what the device would still do; the unplug.  A reset of the machine does at once what is
 * left.
 */
#include "hw/core/bus.h"
#include "hw/core/core-int.h"
#include "qapi/qapi.h"
#include "util/error.h"
#include "util/log.h"
#include "trace/hw-core.h"

static const DeviceGuestHooks *guest;

void device_set_guest_hooks(const DeviceGuestHooks *hooks)
{
    guest = hooks;
}

/* ---- adding ---------------------------------------------------------------------------------- */

struct DevicePrepare {
    Device *dev;    /* a reference */
    Bus *bus;       /* a reference; NULL: the device needs none */
    char *what;     /* "device_add DRIVER,id=ID: " for messages */
    DeviceAddDone *done;
    void *opaque;
};

static void device_prepare_free(DevicePrepare *prepare)
{
    g_object_unref(prepare->dev);
    g_clear_object(&prepare->bus);
    g_free(prepare->what);
    g_free(prepare);
}

/* Realizes and tells; the prefix of the message is still to come. */
static bool realize_prepared(DevicePrepare *prepare, GError **errp)
{
    if (prepare->bus && !bus_exists(prepare->bus)) {
        error_setg(errp, "bus '%s' was removed meanwhile; name another", prepare->bus->bus_name);
        return false;
    }
    if (!device_realize(prepare->dev, prepare->bus, errp)) {
        return false;
    }
    if (guest) {
        guest->plugged(prepare->dev, guest->opaque);
    }
    return true;
}

void device_prepared(DevicePrepare *prepare, GError *err)
{
    if (!err) {
        realize_prepared(prepare, &err);
    }
    if (err) {
        g_prefix_error(&err, "%s", prepare->what);
        qom_unparent(prepare->dev);
    }
    trace_device_prepared(prepare->what, err ? err->message : "");
    prepare->done(err ? NULL : prepare->dev, err, prepare->opaque);
    g_clear_error(&err);
    device_prepare_free(prepare);
}

/* Takes the id and closes the properties, so that nothing changes while the class prepares. */
static bool reserve(Device *dev, GError **errp)
{
    return qom_seal(dev, errp) && device_add_to_tree(dev, errp);
}

void device_add_async(Options *opts, DeviceAddDone *done, void *opaque)
{
    g_autoptr(GError) err = NULL;
    Bus *bus;
    Device *dev = device_new_from_options(opts, true, &bus, &err);
    DeviceClass *klass;
    DevicePrepare *prepare;

    if (dev && !reserve(dev, &err)) {
        device_prefix_error(opts, &err);
        g_clear_object(&dev);
    }
    if (!dev) {
        done(NULL, err, opaque);
        return;
    }
    dev->hotplugged = true;
    prepare = g_new(DevicePrepare, 1);
    *prepare = (DevicePrepare) {
        .dev = dev,
        .bus = bus ? g_object_ref(bus) : NULL,
        .what = device_describe(opts),
        .done = done,
        .opaque = opaque,
    };
    klass = DEVICE_GET_CLASS(dev);
    if (klass->prepare) {
        klass->prepare(dev, bus, prepare);
    } else {
        device_prepared(prepare, NULL);
    }
}

/* ---- removing -------------------------------------------------------------------------------- */

static DeviceDelHandler *del_handler;
static void *del_opaque;

void device_set_del_handler(DeviceDelHandler *fn, void *opaque)
{
    del_handler = fn;
    del_opaque = opaque;
}

void device_set_unplug_blocker(Device *dev, const char *reason)
{
    g_free(dev->unplug_blocker);
    dev->unplug_blocker = g_strdup(reason);
}

/* The device that the user means, which may be in any state of its life; NULL with *errp. */
static Device *find_for_del(const char *id, GError **errp)
{
    QomObject *obj;

    if (id[0] == '/') {
        obj = qom_find(id, errp);
    } else {
        obj = qom_child(qom_container("/machine/peripheral"), id);
        if (!obj) {
            error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found; give the id of a -device or "
                      "device_add", id);
        }
    }
    if (obj && !IS_DEVICE(obj)) {
        error_setg(errp, "%s is not a hotpluggable device; give the id or path of a device", id);
        return NULL;
    }
    return obj ? DEVICE(obj) : NULL;
}

/* A user's devices are in these two places; all others came with the machine. */
static bool is_users(const Device *dev)
{
    return dev->qom.parent == qom_container("/machine/peripheral") ||
           dev->qom.parent == qom_container("/machine/peripheral-anon");
}

/* Calls FN for DEV after all below it; false when FN did for one. */
static bool foreach_below(Device *dev, bool (*fn)(Device *dev, void *opaque, GError **errp), void *opaque,
                          GError **errp)
{
    for (guint i = 0; i < dev->buses->len; i++) {
        Bus *bus = dev->buses->pdata[i];

        for (guint j = 0; j < bus->devices->len; j++) {
            if (!foreach_below(bus->devices->pdata[j], fn, opaque, errp)) {
                return false;
            }
        }
    }
    return fn(dev, opaque, errp);
}

static bool check_blocker(Device *dev, void *opaque, GError **errp)
{
    const char *id = opaque;

    if (dev->unplug_blocker) {
        error_setg(errp, "Device '%s' cannot be removed: %s", id, dev->unplug_blocker);
        return false;
    }
    return true;
}

static bool check_del(Device *dev, const char *id, GError **errp)
{
    if (!DEVICE_GET_CLASS(dev)->hotpluggable || !is_users(dev)) {
        error_setg(errp, "Device '%s' does not support hotplugging; it belongs to the machine",
                   G_OBJECT_TYPE_NAME(dev));
        return false;
    }
    if (!dev->realized) {
        error_setg(errp, "Device '%s' is still being added; try again when device_add has ended", id);
        return false;
    }
    if (dev->removing && !dev->unplug_asked) {
        error_setg(errp, "Device %s is already in the process of unplug; wait for DEVICE_DELETED", id);
        return false;
    }
    return foreach_below(dev, check_blocker, (void *)id, errp);
}

/* DEV has passed the checks and the guest does not need it. */
static void remove_now(Device *dev)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);

    dev->removing = true;
    dev->unplug_asked = false;
    if ((!del_handler || !del_handler(dev, del_opaque)) && (!klass->retire || !klass->retire(dev))) {
        device_unplugged(dev);
    }
}

bool device_ask_guest(Device *dev)
{
    if (!guest || !guest->unplug_request(dev, guest->opaque)) {
        return false;
    }
    dev->removing = true;
    dev->unplug_asked = true;
    return true;
}

bool device_del(const char *id, GError **errp)
{
    g_autoptr(GObject) keep = NULL;
    Device *dev = find_for_del(id, errp);

    if (!dev || !check_del(dev, id, errp)) {
        return false;
    }
    keep = g_object_ref((GObject *)dev);
    if (!device_ask_guest(dev)) {
        remove_now(dev);
    }
    return true;
}

void device_unplug_granted(Device *dev)
{
    g_autoptr(GError) err = NULL;

    g_object_ref(dev);
    if (check_del(dev, dev->id ? dev->id : G_OBJECT_TYPE_NAME(dev), &err)) {
        dev->given_up = true;
        remove_now(dev);
    } else if (dev->unplug_asked) { /* a blocker came meanwhile: the removal is off */
        log_warn("the guest gave up a device that stays: %s", err->message);
        dev->removing = false;
        dev->unplug_asked = false;
    }
    g_object_unref(dev);
}

void device_unplug_at_reset(Device *dev)
{
    g_object_ref(dev);
    if (dev->unplug_asked) {
        device_unplug_granted(dev);
    }
    if (dev->removing) {
        device_unplugged(dev);
    }
    g_object_unref(dev);
}

/* What events tell of DEV. */
static JsonObject *event_data(Device *dev)
{
    JsonObject *data = json_object_new();
    g_autofree char *path = qom_path(dev);

    if (dev->id) {
        json_object_set_string_member(data, "device", dev->id);
    }
    json_object_set_string_member(data, "path", path);
    return data;
}

void device_unplug_refused(Device *dev)
{
    if (dev->unplug_asked) {
        dev->removing = false;
        dev->unplug_asked = false;
        qapi_event_emit("DEVICE_UNPLUG_GUEST_ERROR", event_data(dev));
    }
}

/* Notes DEVICE_DELETED's data while DEV still has its path. */
static bool note_deleted(Device *dev, void *opaque, GError **errp)
{
    g_ptr_array_add(opaque, event_data(dev));
    return true;
}

void device_unplugged(Device *dev)
{
    g_autoptr(GPtrArray) deleted = g_ptr_array_new();

    if (!dev->realized) {
        return;
    }
    foreach_below(dev, note_deleted, deleted, NULL);
    if (guest) {
        guest->unplugged(dev, guest->opaque);
    }
    device_unrealize(dev);
    for (guint i = 0; i < deleted->len; i++) {
        qapi_event_emit("DEVICE_DELETED", deleted->pdata[i]);
    }
}
