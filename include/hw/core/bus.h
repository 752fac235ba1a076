/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buses: what devices plug into.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef HW_CORE_BUS_H
#define HW_CORE_BUS_H

#include "hw/core/device.h"

typedef struct BusClass BusClass;

struct Bus {
    QomObject qom;
    char *bus_name;      /* "lsi0.0", "pci.0": what bus= names */
    Device *parent;      /* NULL: a root bus */
    GPtrArray *devices;  /* Device *, plugged, in order; no references held */
};

struct BusClass {
    QomObjectClass qom_class;
    unsigned unnamed; /* buses named after their kind so far ("scsi.0"): their device has no id */
    /*
     * Gives DEV its address on the bus (from its properties) and refuses what cannot be plugged
     * (slot taken, out of range), naming property, value and remedy.  Called before realize.
     */
    bool (*plug)(Bus *bus, Device *dev, GError **errp);
    void (*unplug)(Bus *bus, Device *dev);
    bool (*is_full)(Bus *bus);
    /* Resets the bus itself, after its devices; NULL: nothing to do. */
    void (*reset)(Bus *bus);
};

QOM_DECLARE_TYPE(Bus, bus, BUS)
#define TYPE_BUS (bus_get_type())

/*
 * Makes a bus of TYPE called NAME.  With NAME NULL it is "ID.N" from PARENT's id and the number of
 * its buses so far; a PARENT without an id gets "KIND.N", as in QEMU ("scsi.0", "scsi.1").  A root
 * bus has PARENT NULL.  Lives until bus_free() or until its parent is unrealized.
 */
Bus *bus_new(GType type, Device *parent, const char *name);
void bus_free(Bus *bus);

/* A bus by name or by canonical path, or NULL. */
Bus *bus_find(const char *name);

/*
 * The first bus that is a TYPE and not full; NULL: none.  *ret_any tells whether any bus of TYPE
 * exists.
 */
Bus *bus_find_by_type(GType type, bool *ret_any);

/* Whether BUS, to which the caller holds a reference, has not been freed by bus_free(). */
bool bus_exists(Bus *bus);

/* Calls FN for each bus that is a TYPE, in order of creation.  FN makes and frees no bus. */
void bus_foreach(GType type, void (*fn)(Bus *bus, void *opaque), void *opaque);

/* Resets every device below and the bus. */
void bus_reset(Bus *bus);

#endif
