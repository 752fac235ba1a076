/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices: objects with a life cycle (made, realized, reset, unrealized) that sit on a bus.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * A device never knows in which program it runs.  realize() gets everything it needs from its
 * properties and its parent bus, and undoes itself when it fails; reset() brings the power-on state
 * and cannot fail; unrealize() leaves nothing behind (no timer, request, region).
 *
 * Hot-plug.  Everything that a user makes with -device can also come and go while the machine runs: a
 * device is reset at the end of its realize, and its bus tells the guest what the bus knows to tell.
 * Devices of the board (the PCI host bridge, the I/O APIC) stay: their class is not hotpluggable, and
 * they sit below /machine/unattached or /machine, not below /machine/peripheral or peripheral-anon.
 */
#ifndef HW_CORE_DEVICE_H
#define HW_CORE_DEVICE_H

#include "qom/object.h"

typedef struct Bus Bus;
typedef struct Device Device;
typedef struct DeviceClass DeviceClass;
typedef struct DevicePrepare DevicePrepare; /* a device_add_async() under way */

struct Device {
    QomObject qom;
    char *id;          /* the user's id or NULL */
    Bus *parent_bus;   /* NULL: the device needs none; holds no reference */
    GPtrArray *buses;  /* Bus *, those it provides, in order; owned by the composition tree */
    bool realized;        /* property */
    bool hotplugged;      /* property; made by device_add_async() */
    bool removing;        /* device_del() was asked for and waits for something: */
    bool unplug_asked;    /* for the guest (DeviceGuestHooks), not for a handler */
    bool given_up;        /* by the guest (device_unplug_granted()) */
    char *unplug_blocker; /* device_set_unplug_blocker(); NULL: none */
};

struct DeviceClass {
    QomObjectClass qom_class;
    GType bus_type;   /* type of the bus it plugs into; 0: none */
    const char *category; /* heading in "-device help": "Storage", ... */
    bool hotpluggable;

    /*
     * Each class calls its parent's realize first and its parent's unrealize last, where there is
     * one.
     */
    bool (*realize)(Device *dev, GError **errp);
    void (*unrealize)(Device *dev);
    /*
     * What must be done before realize() and may take time (a proxy asks its remote).  NULL: nothing.
     * Ends by device_prepared(), once, from the event loop.  Not called at start-up, where realize()
     * does the same by itself and waits.
     */
    void (*prepare)(Device *dev, Bus *bus, DevicePrepare *prepare);
    /*
     * Before DEV is unplugged, by whomever: ends what it would still do to the machine (a proxy's remote writes guest
     * RAM). True: that takes time, and device_unplugged() is the class's to call, in limited time; false, or NULL:
     * there is nothing.  Neither at the end of the program nor at a reset, when nobody can see it.
     */
    bool (*retire)(Device *dev);
    void (*reset)(Device *dev);
};

QOM_DECLARE_TYPE(Device, device, DEVICE)
#define TYPE_DEVICE (device_get_type())

/*
 * Makes a device of TYPE, not realized, outside the tree, plugged nowhere.  The caller owns the
 * reference.
 */
Device *device_new(GType type);

/*
 * Plugs DEV into BUS (NULL for devices without one), puts it into the tree (below
 * /machine/peripheral when it has an id, else /machine/peripheral-anon) when it is not there yet,
 * seals its properties and calls realize. On failure nothing is left plugged or in the tree.
 */
bool device_realize(Device *dev, Bus *bus, GError **errp);

/*
 * Unrealizes the devices on DEV's buses, then DEV, unplugs and takes it out of the tree (drops the
 * tree's reference).
 */
void device_unrealize(Device *dev);

/* Resets DEV, then all below its buses. */
void device_reset(Device *dev);

/*
 * The whole of -device: OPTS (implied key "driver") with driver, id, bus and the device's
 * properties.  Finds the bus (bus=NAME or path, else the first of the fitting type with room),
 * makes and realizes. Returns a borrowed pointer, or NULL with *errp set and nothing half-made.
 */
Device *device_add(Options *opts, GError **errp);

/*
 * The same at run time (hot-plug), without waiting for anything: DONE is called once, inside the call or
 * later from the event loop, with the device (borrowed), or NULL and ERR (which stays the caller's).
 * A device whose class cannot be hot-plugged is refused.  OPTS stays the caller's; it is not used later.
 *
 * While its class prepares, the device is in the tree, sealed and not realized: its id is taken, a
 * monitor can look at it, device_find() and device_del() do not know it yet.  It gets its place on the
 * bus when it is realized.
 */
typedef void DeviceAddDone(Device *dev, const GError *err, void *opaque);
void device_add_async(Options *opts, DeviceAddDone *done, void *opaque);

/* The end of DeviceClass.prepare: ERR (taken) NULL is success, and the device is realized now. */
void device_prepared(DevicePrepare *prepare, GError *err);

/*
 * Unplugs the device with ID (or at a canonical path) and all below it, and emits DEVICE_DELETED for each.
 * Fails with DeviceNotFound, for devices of the board, for one that is being added or removed, and while DEV
 * or a device below it has an unplug blocker.  Where there is a guest to ask (device_set_guest_hooks()), it is asked
 * first, and the device stays until it answers; a second call asks again.  Else, and then, the device is removed at
 * once, or a handler set by device_set_del_handler() takes over.
 */
bool device_del(const char *id, GError **errp);

/*
 * How the guest hears of devices that come and go.  One set of hooks a program, which a board makes and which lives as
 * long; NULL: none.
 */
typedef struct DeviceGuestHooks {
    /* DEV was added at run time. */
    void (*plugged)(Device *dev, void *opaque);
    /*
     * Asks the guest to give up DEV; true: device_unplug_granted() or _refused() may come, or never.  False: there is
     * nobody to ask.
     */
    bool (*unplug_request)(Device *dev, void *opaque);
    /* DEV goes now, whoever wanted it; it is still plugged. */
    void (*unplugged)(Device *dev, void *opaque);
    void *opaque;
} DeviceGuestHooks;
void device_set_guest_hooks(const DeviceGuestHooks *hooks);

/*
 * Asks the guest to give up DEV, as device_del() does, and leaves the rest to its answer.  False: there is nobody to
 * ask, and nothing was done.
 */
bool device_ask_guest(Device *dev);

/*
 * The guest has given up DEV, asked or of its own accord: it is removed, as by device_del() without a guest.  Nothing
 * for a device that device_del() would refuse.
 */
void device_unplug_granted(Device *dev);

/*
 * The machine is being reset, and no device works on guest RAM: a removal of DEV that was asked for and waits, for the
 * guest or for anything else, is completed before it returns.  Nothing for other devices.
 */
void device_unplug_at_reset(Device *dev);

/* The guest that was asked for DEV keeps it: the removal is off, which DEVICE_UNPLUG_GUEST_ERROR tells. */
void device_unplug_refused(Device *dev);

/*
 * While REASON (copied; "it is served by ...; delete that first") is not NULL, device_del() refuses DEV, and
 * what DEV is below, with it.
 */
void device_set_unplug_blocker(Device *dev, const char *reason);

/*
 * FN sees each device_del() of a user first and returns true when it takes care of the device itself: then
 * it keeps a reference, and calls device_unplugged() later (or within FN).  `removing` is set meanwhile; FN's
 * owner clears it when the removal is called off.  One handler a program; NULL: none.
 */
typedef bool DeviceDelHandler(Device *dev, void *opaque);
void device_set_del_handler(DeviceDelHandler *fn, void *opaque);

/*
 * Unrealizes DEV and all below it with DEVICE_DELETED for each, children first: the end of every unplug.
 * Nothing for a device that is not realized (any more).
 */
void device_unplugged(Device *dev);

/*
 * Handles "-device help" and "-device NAME,help": prints to stdout and returns true; false when ARG
 * asks for no help.
 */
bool device_print_help(const char *arg);

/* A realized device by the user's id, or NULL. */
Device *device_find(const char *id);

#endif
