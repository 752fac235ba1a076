/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: the trees of devices, objects and memory regions.
 *
 * Runs in: both programs.
 *
 * There is no QMP command that gives these as a whole, as in QEMU; they are walked here, read-only.
 */
#include "monitor/hmp-int.h"

#include <inttypes.h>
#include <string.h>
#include "hw/core/bus.h"
#include "system/memory.h"

static bool no_args(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 0);

    return words != NULL;
}

/* ---- info qtree ---------------------------------------------------------------------------------- */

typedef struct QtreeDevice {
    HmpSession *hmp;
    Device *dev;
    unsigned indent;
} QtreeDevice;

static void print_property_value(HmpSession *hmp, const QomProperty *prop, const char *text)
{
    uint64_t number = g_ascii_strtoull(text, NULL, 0);
    g_autofree char *readable = NULL;

    switch (prop->kind) {
    case QOM_PROP_KIND_BOOL:
        hmp_printf(hmp, "%s\n", g_str_equal(text, "on") || g_str_equal(text, "true") ? "true" : "false");
        break;
    case QOM_PROP_KIND_SIZE:
        readable = hmp_size_text(number);
        hmp_printf(hmp, "%" PRIu64 " (%s)\n", number, readable);
        break;
    case QOM_PROP_KIND_UINT8:
    case QOM_PROP_KIND_UINT16:
    case QOM_PROP_KIND_UINT32:
    case QOM_PROP_KIND_UINT64:
        hmp_printf(hmp, "%" PRIu64 " (0x%" PRIx64 ")\n", number, number);
        break;
    case QOM_PROP_KIND_INT32:
        hmp_printf(hmp, "%s\n", text);
        break;
    case QOM_PROP_KIND_STRING:
    case QOM_PROP_KIND_ENUM:
        hmp_printf(hmp, "\"%s\"\n", text);
        break;
    }
}

static void print_property(const QomProperty *prop, void *opaque)
{
    QtreeDevice *shown = opaque;
    GObjectClass *base = g_type_class_peek(TYPE_DEVICE);
    g_autofree char *text = NULL;

    /* What every device has says nothing about this one. */
    if (!g_object_class_find_property(base, prop->name) && !(prop->flags & QOM_PROP_WRITE_ONLY)) {
        text = qom_get_str(shown->dev, prop->name, NULL);
    }
    if (text) {
        hmp_printf(shown->hmp, "%*s%s = ", (int)shown->indent, "", prop->name);
        print_property_value(shown->hmp, prop, text);
    }
}

static void print_bus(HmpSession *hmp, Bus *bus, unsigned indent);

static void print_device(HmpSession *hmp, Device *dev, unsigned indent)
{
    QtreeDevice shown = { hmp, dev, indent + 2 };

    hmp_printf(hmp, "%*sdev: %s, id \"%s\"\n", (int)indent, "", G_OBJECT_TYPE_NAME(dev), dev->id ? dev->id : "");
    qom_foreach_property(G_OBJECT_TYPE(dev), print_property, &shown);
    for (guint i = 0; dev->buses && i < dev->buses->len; i++) {
        print_bus(hmp, dev->buses->pdata[i], indent + 2);
    }
}

static void print_bus(HmpSession *hmp, Bus *bus, unsigned indent)
{
    hmp_printf(hmp, "%*sbus: %s\n%*s  type %s\n", (int)indent, "", bus->bus_name, (int)indent, "",
               G_OBJECT_TYPE_NAME(bus));
    for (guint i = 0; i < bus->devices->len; i++) {
        print_device(hmp, bus->devices->pdata[i], indent + 2);
    }
}

/* Devices on no bus and buses of no device, wherever they stand in the object tree. */
static void print_roots(HmpSession *hmp, QomObject *obj)
{
    if (IS_BUS(obj) && !BUS(obj)->parent) {
        print_bus(hmp, BUS(obj), 2);
    } else if (IS_DEVICE(obj) && !DEVICE(obj)->parent_bus) {
        print_device(hmp, DEVICE(obj), 2);
    } else if (!IS_BUS(obj) && !IS_DEVICE(obj)) {
        for (guint i = 0; i < obj->children->len; i++) {
            print_roots(hmp, obj->children->pdata[i]);
        }
    }
}

static void run_qtree(HmpSession *hmp, const char *args)
{
    if (no_args(hmp, args)) {
        hmp_printf(hmp, "bus: main-system-bus\n  type System\n");
        print_roots(hmp, qom_container("/machine"));
    }
}

/* ---- info qom-tree ------------------------------------------------------------------------------- */

static void print_object(HmpSession *hmp, QomObject *obj, const char *name, unsigned indent)
{
    hmp_printf(hmp, "%*s%s%s (%s)\n", (int)indent, "", *name == '/' ? "" : "/", name, G_OBJECT_TYPE_NAME(obj));
    for (guint i = 0; i < obj->children->len; i++) {
        QomObject *child = obj->children->pdata[i];

        print_object(hmp, child, child->name, indent + 2);
    }
}

static void run_qom_tree(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 1);
    QomObject *obj;

    if (!words) {
        return;
    }
    obj = words[0] ? qom_resolve(words[0]) : qom_container("/machine");
    if (!obj) {
        hmp_error(hmp, "Device '%s' not found", words[0]);
    } else {
        g_autofree char *path = qom_path(obj);

        print_object(hmp, obj, path, 0);
    }
}

/* ---- info mtree ---------------------------------------------------------------------------------- */

typedef struct MtreeWalk {
    HmpSession *hmp;
    GPtrArray *shown;  /* roots that were or will be printed */
    unsigned views;    /* flat views so far */
} MtreeWalk;

static const char *region_kind(const MemoryRegion *mr, bool readonly)
{
    bool ram = mr->kind == MEMORY_REGION_RAM;

    return ram ? readonly ? "rom" : "ram" : "i/o";
}

/* The root of the tree that MR stands in. */
static const MemoryRegion *region_root(const MemoryRegion *mr)
{
    while (mr->container) {
        mr = mr->container;
    }
    return mr;
}

static void print_region(const MemoryRegionVisit *visit, void *opaque)
{
    const MemoryRegion *mr = visit->mr;
    MtreeWalk *walk = opaque;

    hmp_printf(walk->hmp, "%*s%016" PRIx64 "-%016" PRIx64 " (prio %d, ", (int)(2 + 2 * visit->depth), "", visit->start,
               visit->last, mr->priority);
    if (mr->kind == MEMORY_REGION_ALIAS) {
        const MemoryRegion *root = region_root(mr->alias);

        if (!g_ptr_array_find(walk->shown, root, NULL)) {
            g_ptr_array_add(walk->shown, (gpointer)root);
        }
        hmp_printf(walk->hmp, "%s): alias %s @%s %016" PRIx64 "-%016" PRIx64, region_kind(mr->alias, mr->readonly),
                   mr->name, mr->alias->name, mr->alias_offset, mr->alias_offset + (visit->last - visit->start));
    } else {
        hmp_printf(walk->hmp, "%s): %s", region_kind(mr, mr->readonly), mr->name);
    }
    hmp_printf(walk->hmp, "%s\n", mr->enabled ? "" : " [disabled]");
}

static void print_address_space(AddressSpace *as, const char *name, void *opaque)
{
    MtreeWalk *walk = opaque;

    hmp_printf(walk->hmp, "address-space: %s\n", name);
    memory_region_foreach(address_space_root(as), print_region, walk);
    hmp_printf(walk->hmp, "\n");
}

static void note_root(AddressSpace *as, const char *name, void *opaque)
{
    MtreeWalk *walk = opaque;

    g_ptr_array_add(walk->shown, address_space_root(as));
}

static void print_trees(MtreeWalk *walk)
{
    guint roots;

    address_space_foreach(note_root, walk);
    roots = walk->shown->len;
    address_space_foreach(print_address_space, walk);
    /* Trees that only aliases lead to; they may lead to more. */
    for (guint i = roots; i < walk->shown->len; i++) {
        const MemoryRegion *root = walk->shown->pdata[i];

        hmp_printf(walk->hmp, "memory-region: %s\n", root->name);
        memory_region_foreach(root, print_region, walk);
        hmp_printf(walk->hmp, "\n");
    }
}

static void print_flat_view(AddressSpace *as, const char *name, void *opaque)
{
    MtreeWalk *walk = opaque;
    FlatView *view = address_space_view(as);
    const char *root = address_space_root(as)->name;

    hmp_printf(walk->hmp, "FlatView #%u\n AS \"%s\", root: %s\n Root memory region: %s\n", walk->views++, name, root,
               root);
    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];

        hmp_printf(walk->hmp, "  %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s", range->start,
                   range->start + (range->size - 1), range->mr->priority, region_kind(range->mr, range->readonly),
                   range->mr->name);
        if (range->offset) {
            hmp_printf(walk->hmp, " @%016" PRIx64, range->offset);
        }
        hmp_printf(walk->hmp, "\n");
    }
    if (view->count == 0) {
        hmp_printf(walk->hmp, "  No rendered FlatView\n");
    }
    for (unsigned i = 0; i < view->eventfd_count; i++) {
        const MemoryEventfd *eventfd = &view->eventfds[i];

        hmp_printf(walk->hmp, "  %016" PRIx64 "-%016" PRIx64 " (eventfd %d", eventfd->addr,
                   eventfd->addr + (eventfd->size - 1), eventfd->fd);
        if (eventfd->match_data) {
            hmp_printf(walk->hmp, ", value 0x%" PRIx64, eventfd->data);
        }
        hmp_printf(walk->hmp, ")\n");
    }
    hmp_printf(walk->hmp, "\n");
    flat_view_unref(view);
}

static void run_mtree(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 1);
    g_autoptr(GPtrArray) shown = g_ptr_array_new();
    MtreeWalk walk = { .hmp = hmp, .shown = shown };

    if (!words) {
        return;
    }
    if (!words[0]) {
        print_trees(&walk);
    } else if (g_str_equal(words[0], "-f")) {
        address_space_foreach(print_flat_view, &walk);
    } else {
        hmp_usage(hmp, "'%s' is unknown; only -f may follow", words[0]);
    }
}

const HmpCommand hmp_tree_commands[] = {
    { "info qtree", NULL, "", "show the devices, bus by bus", run_qtree },
    { "info qom-tree", NULL, "[PATH]", "show the object tree below PATH, or the machine's", run_qom_tree,
      hmp_complete_qom },
    { "info mtree", NULL, "[-f]", "show the memory regions; -f: the flat view of each address space", run_mtree },
    { NULL },
};
