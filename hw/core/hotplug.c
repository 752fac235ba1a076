/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices that come while the machine runs: just enough for the tests of a class that prepares.
 *
 * Runs in: both programs.  At the merge the branch of object commands brings the whole of this file.
 */
#include "hw/core/bus.h"
#include "util/error.h"

struct DevicePrepare {
    Device *dev; /* a reference */
    Bus *bus;
    DeviceAddDone *done;
    void *opaque;
};

void device_prepared(DevicePrepare *prepare, GError *err)
{
    bool ok = !err && device_realize(prepare->dev, prepare->bus, &err);

    prepare->done(ok ? prepare->dev : NULL, err, prepare->opaque);
    g_clear_error(&err);
    g_object_unref(prepare->dev);
    g_free(prepare);
}

void device_add_async(Options *opts, DeviceAddDone *done, void *opaque)
{
    static const char *const skip[] = { "driver", "id", NULL };
    Device *dev = device_new(qom_type_by_name(options_get(opts, "driver")));
    DeviceClass *klass = DEVICE_GET_CLASS(dev);
    DevicePrepare *prepare = g_new(DevicePrepare, 1);
    g_autoptr(GError) err = NULL;

    *prepare = (DevicePrepare) { dev, bus_find_by_type(klass->bus_type, &(bool) { false }), done, opaque };
    dev->id = g_strdup(options_get(opts, "id"));
    if (!qom_set_options(dev, opts, skip, &err) || !qom_seal(dev, &err) || !klass->prepare) {
        device_prepared(prepare, g_steal_pointer(&err));
        return;
    }
    klass->prepare(dev, prepare->bus, prepare);
}
