/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory regions, transactions, address spaces and listeners.  Access is in memory-access.c,
 * rendering in flat-view.c, eventfds in memory-eventfd.c.
 * Runs in: both programs.
 */
#include <unistd.h>
#include "system/memory-int.h"
#include "util/machine-lock.h"
#include "util/rcu.h"
#include "trace/system.h"

/* All with the machine lock held. */
static GList *address_spaces;
static unsigned transaction_depth;
static bool topology_dirty;

/* ---- regions --------------------------------------------------------------------------------- */

static void region_init(MemoryRegion *mr, QomObject *owner, MemoryRegionKind kind, const char *name,
                        uint64_t size)
{
    *mr = (MemoryRegion) {
        .name = name,
        .owner = owner,
        .kind = kind,
        .size = size,
        .enabled = true,
    };
}

void memory_region_init(MemoryRegion *mr, QomObject *owner, const char *name, uint64_t size)
{
    region_init(mr, owner, MEMORY_REGION_CONTAINER, name, size);
}

void memory_region_init_io(MemoryRegion *mr, QomObject *owner, const MemoryRegionOps *ops,
                           void *opaque, const char *name, uint64_t size)
{
    region_init(mr, owner, MEMORY_REGION_IO, name, size);
    mr->ops = ops;
    mr->opaque = opaque;
}

void memory_region_init_ram(MemoryRegion *mr, QomObject *owner, const char *name, RamBlock *block,
                            uint64_t offset, uint64_t size)
{
    region_init(mr, owner, MEMORY_REGION_RAM, name, size);
    mr->ram = ram_block_ref(block);
    mr->ram_offset = offset;
    mr->readonly = block->readonly;
}

void memory_region_init_rom(MemoryRegion *mr, QomObject *owner, const char *name, RamBlock *block,
                            uint64_t offset, uint64_t size)
{
    memory_region_init_ram(mr, owner, name, block, offset, size);
    mr->readonly = true;
}

void memory_region_init_alias(MemoryRegion *mr, QomObject *owner, const char *name,
                              MemoryRegion *target, hwaddr offset, uint64_t size)
{
    region_init(mr, owner, MEMORY_REGION_ALIAS, name, size);
    mr->alias = target;
    mr->alias_offset = offset;
}

void memory_topology_changed(void)
{
    memory_transaction_begin();
    topology_dirty = true;
    memory_transaction_commit();
}

/* Takes MR out of the tree: out of its container, and its parts out of MR. */
static void region_detach(MemoryRegion *mr)
{
    memory_transaction_begin();
    if (mr->container) {
        memory_region_remove(mr->container, mr);
    }
    if (mr->subregions) {
        for (guint i = 0; i < mr->subregions->len; i++) {
            ((MemoryRegion *)mr->subregions->pdata[i])->container = NULL;
        }
        g_clear_pointer(&mr->subregions, g_ptr_array_unref);
        memory_topology_changed();
    }
    memory_transaction_commit();
}

void memory_region_destroy(MemoryRegion *mr)
{
    region_detach(mr);
    /*
     * Readers that found MR before it left the views are gone after the grace period, or counted in
     * `entered`.
     */
    rcu_synchronize();
    while (mr->ops && mr->ops->unlocked && __atomic_load_n(&mr->entered, __ATOMIC_ACQUIRE)) {
        /* An unlocked callback may want the machine lock before it can return. */
        bool locked = machine_locked();

        if (locked) {
            machine_unlock();
        }
        usleep(100);
        if (locked) {
            machine_lock();
        }
    }
    ram_block_unref(mr->ram);
    mr->ram = NULL;
    g_clear_pointer(&mr->eventfds, g_array_unref);
    mr->enabled = false;
}

void memory_region_add(MemoryRegion *container, hwaddr addr, MemoryRegion *mr, int priority)
{
    guint index = 0;

    mr->container = container;
    mr->addr = addr;
    mr->priority = priority;
    if (!container->subregions) {
        container->subregions = g_ptr_array_new();
    }
    /* Highest priority first; at equal priority the later one first, so that it wins. */
    while (index < container->subregions->len &&
           ((MemoryRegion *)container->subregions->pdata[index])->priority > priority) {
        index++;
    }
    g_ptr_array_insert(container->subregions, (gint)index, mr);
    memory_topology_changed();
}

void memory_region_remove(MemoryRegion *container, MemoryRegion *mr)
{
    g_ptr_array_remove(container->subregions, mr);
    mr->container = NULL;
    memory_topology_changed();
}

void memory_region_set_enabled(MemoryRegion *mr, bool enabled)
{
    if (mr->enabled != enabled) {
        mr->enabled = enabled;
        memory_topology_changed();
    }
}

void memory_region_set_readonly(MemoryRegion *mr, bool readonly)
{
    if (mr->readonly != readonly) {
        mr->readonly = readonly;
        memory_topology_changed();
    }
}

void memory_region_set_address(MemoryRegion *mr, hwaddr addr)
{
    if (mr->addr != addr) {
        mr->addr = addr;
        memory_topology_changed();
    }
}

/* ---- address spaces -------------------------------------------------------------------------- */

/* Renders AS anew; when that changed anything, publishes it and tells the listeners. */
static void address_space_update(AddressSpace *as)
{
    FlatView *old = as->view;
    FlatView *new_view = flat_view_render(as->root);
    bool same_ranges = flat_view_equal(old, new_view);

    if (same_ranges && memory_eventfds_equal(old, new_view)) {
        flat_view_unref(new_view);
        return;
    }
    trace_flat_view_changed(as->name, new_view->count);
    rcu_store(&as->view, new_view);
    for (guint i = 0; i < as->listeners->len; i++) {
        MemoryListener *listener = as->listeners->pdata[i];

        if (!same_ranges && listener->changed) {
            listener->changed(listener, old, new_view);
        }
        memory_listener_tell_eventfds(listener, old, new_view);
    }
    rcu_synchronize();
    flat_view_unref(old);
}

AddressSpace *address_space_new(MemoryRegion *root, const char *name)
{
    AddressSpace *as = g_new0(AddressSpace, 1);

    as->name = g_strdup(name);
    as->root = root;
    as->view = flat_view_render(root);
    as->listeners = g_ptr_array_new();
    address_spaces = g_list_append(address_spaces, as);
    return as;
}

void address_space_free(AddressSpace *as)
{
    if (!as) {
        return;
    }
    address_spaces = g_list_remove(address_spaces, as);
    rcu_synchronize();
    flat_view_unref(as->view);
    g_ptr_array_unref(as->listeners);
    g_free(as->name);
    g_free(as);
}

MemoryRegion *address_space_root(AddressSpace *as)
{
    return as->root;
}

FlatView *address_space_view(AddressSpace *as)
{
    FlatView *view;

    rcu_read_lock();
    view = rcu_load(&as->view);
    __atomic_fetch_add(&view->refs, 1, __ATOMIC_RELAXED);
    rcu_read_unlock();
    return view;
}

void memory_transaction_begin(void)
{
    transaction_depth++;
}

void memory_transaction_commit(void)
{
    if (--transaction_depth || !topology_dirty) {
        return;
    }
    topology_dirty = false;
    for (GList *link = address_spaces; link; link = link->next) {
        address_space_update(link->data);
    }
}

void memory_listener_register(MemoryListener *listener, AddressSpace *as)
{
    FlatView *empty = flat_view_empty();

    listener->as = as;
    g_ptr_array_add(as->listeners, listener);
    if (listener->changed) {
        listener->changed(listener, empty, as->view);
    }
    memory_listener_tell_eventfds(listener, empty, as->view);
    flat_view_unref(empty);
}

void memory_listener_unregister(MemoryListener *listener)
{
    FlatView *empty = flat_view_empty();

    memory_listener_tell_eventfds(listener, listener->as->view, empty);
    flat_view_unref(empty);
    g_ptr_array_remove(listener->as->listeners, listener);
    listener->as = NULL;
}

void memory_listener_foreach(void (*fn)(MemoryListener *listener, void *opaque), void *opaque)
{
    for (GList *link = address_spaces; link; link = link->next) {
        AddressSpace *as = link->data;

        for (guint i = 0; i < as->listeners->len; i++) {
            fn(as->listeners->pdata[i], opaque);
        }
    }
}

/* ---- walks ------------------------------------------------------------------------------------- */

static void region_visit(const MemoryRegion *mr, unsigned depth, hwaddr start,
                         void (*fn)(const MemoryRegionVisit *visit, void *opaque), void *opaque)
{
    /* A size of 2^64 is written one less (MEMORY_SIZE_WHOLE), so its last byte is that of the space. */
    uint64_t span = mr->size == MEMORY_SIZE_WHOLE ? UINT64_MAX : mr->size ? mr->size - 1 : 0;
    MemoryRegionVisit visit = { mr, depth, start, start + MIN(span, UINT64_MAX - start) };

    fn(&visit, opaque);
    for (guint i = 0; mr->subregions && i < mr->subregions->len; i++) {
        const MemoryRegion *sub = mr->subregions->pdata[i];

        region_visit(sub, depth + 1, start + sub->addr, fn, opaque);
    }
}

void memory_region_foreach(const MemoryRegion *root, void (*fn)(const MemoryRegionVisit *visit, void *opaque),
                           void *opaque)
{
    region_visit(root, 0, 0, fn, opaque);
}

void address_space_foreach(void (*fn)(AddressSpace *as, const char *name, void *opaque), void *opaque)
{
    for (GList *link = address_spaces; link; link = link->next) {
        AddressSpace *as = link->data;

        fn(as, as->name, opaque);
    }
}

AddressSpace *system_memory(void)
{
    static MemoryRegion root;
    static AddressSpace *as;

    if (!as) {
        memory_region_init(&root, NULL, "system", MEMORY_SIZE_WHOLE);
        as = address_space_new(&root, "memory");
    }
    return as;
}

AddressSpace *system_io(void)
{
    static MemoryRegion root;
    static AddressSpace *as;

    if (!as) {
        memory_region_init(&root, NULL, "io", 65536);
        as = address_space_new(&root, "I/O");
    }
    return as;
}
