/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev: the table of guest RAM that the remote maps, or with dma=bounce may ask for.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  After each change of system memory the listener collects the RAM a remote
 * can map: writable for the bus, with a file descriptor, cut to whole pages; neighbours in memory
 * and file are merged.  Other RAM is skipped.  When the table differs from the last one it is
 * posted.  Sending takes references, so a file lives here at least as long as a remote may use it.
 *
 * Taking memory away.  The protocol does not acknowledge a table.  But a remote works off one
 * message after the other, so the reply to a config read behind a table that took something away
 * tells that the old one is no longer in use.
 *
 * With dma=bounce the table is told without descriptors, and each copy is checked against the memory map of its
 * moment (bounce.c).  So the table is a hint, RAM that no other process could map is in it, too, and there is nothing
 * to wait for when a range leaves it.
 *
 * Too many ranges.  A message carries 8.  With more the remote gets an empty table: the device can
 * do no DMA, which its driver sees as failing requests.  Sending a part would hand the driver a
 * device that fails for some pages only, and keeping the last table (as QEMU does) would let the
 * device write to memory that is something else now.  It is logged once; when 8 ranges suffice
 * again, DMA works again.  At start-up it is an error.
 */
#include <string.h>
#include <unistd.h>

#include "hw/proxy/proxy-int.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/log.h"

void proxy_table_take_newest(PciProxyDev *proxy, ProxyMemTable *ret_table)
{
    *ret_table = proxy->table;
    for (unsigned i = 0; i < ret_table->count; i++) {
        ram_block_ref(ret_table->ranges[i].block);
    }
}

void proxy_table_clear(ProxyMemTable *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        ram_block_unref(table->ranges[i].block);
    }
    *table = (ProxyMemTable) { 0 };
}

static bool range_follows(const ProxyMemRange *a, const ProxyMemRange *b)
{
    return a->block == b->block && a->gpa + a->size == b->gpa &&
           a->fd_offset + a->size == b->fd_offset;
}

/* What of RANGE a remote can reach; false: nothing. */
static bool range_of_view(const FlatRange *range, int dma, ProxyMemRange *ret)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t skip;

    if (range->ram == NULL || range->readonly || (dma == PROXY_DMA_MAP && range->ram->fd < 0)) {
        return false;
    }
    *ret = (ProxyMemRange) {
        .gpa = range->start,
        .size = range->size,
        .fd_offset = range->ram->fd_offset + range->ram_offset,
        .block = range->ram,
    };
    if (dma == PROXY_DMA_BOUNCE) {
        return true;
    }
    /* Whole pages of the file, inward: mmap() takes nothing else. */
    skip = -ret->fd_offset & (page - 1);
    if (skip >= ret->size) {
        return false;
    }
    ret->gpa += skip;
    ret->fd_offset += skip;
    ret->size = (ret->size - skip) & ~(page - 1);
    return ret->size != 0;
}

/* Collects VIEW's ranges with references. */
static void table_of_view(const FlatView *view, int dma, ProxyMemTable *ret)
{
    unsigned total = 0;

    *ret = (ProxyMemTable) { 0 };
    for (unsigned i = 0; i < view->count; i++) {
        ProxyMemRange *last = ret->count ? &ret->ranges[ret->count - 1] : NULL;
        ProxyMemRange range;

        if (!range_of_view(&view->ranges[i], dma, &range)) {
            continue;
        }
        if (last && total == ret->count && range_follows(last, &range)) {
            last->size += range.size;
            continue;
        }
        total++;
        if (ret->count < MPQEMU_FDS_MAX) {
            ram_block_ref(range.block);
            ret->ranges[ret->count++] = range;
        }
    }
    if (total > MPQEMU_FDS_MAX) {
        proxy_table_clear(ret);
        ret->overflow = total;
    }
}

static bool table_equal(const ProxyMemTable *a, const ProxyMemTable *b)
{
    /* All fields of a range are 8 bytes wide: no padding. */
    return a->count == b->count && a->overflow == b->overflow &&
           memcmp(a->ranges, b->ranges, a->count * sizeof(a->ranges[0])) == 0;
}

static void proxy_memory_changed(MemoryListener *listener, const FlatView *old,
                                 const FlatView *new_view)
{
    PciProxyDev *proxy = (PciProxyDev *)((char *)listener - offsetof(PciProxyDev, listener));
    ProxyMemTable table;
    bool changed;

    table_of_view(new_view, proxy->dma, &table);
    pthread_mutex_lock(&proxy->pending_lock);
    changed = !table_equal(&table, &proxy->table);
    if (changed) {
        ProxyMemTable previous = proxy->table;

        proxy->table = table;
        table = previous;
    }
    pthread_mutex_unlock(&proxy->pending_lock);
    if (changed) {
        trace_proxy_sync_post(proxy->name, proxy->table.count, proxy->table.overflow);
        proxy_post(proxy, PROXY_WORK_SYNC);
    }
    proxy_table_clear(&table);
}

/* Every byte of A is at the same place in TABLE. */
static bool range_kept(const ProxyMemRange *a, const ProxyMemTable *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        const ProxyMemRange *b = &table->ranges[i];

        if (a->block == b->block && a->gpa >= b->gpa && a->gpa - b->gpa <= b->size &&
            a->size <= b->size - (a->gpa - b->gpa) &&
            a->fd_offset - b->fd_offset == a->gpa - b->gpa) {
            return true;
        }
    }
    return false;
}

static MpqemuMsg map_message(const ProxyMemTable *table)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SYNC_SYSMEM, .num_fds = table->count };

    for (unsigned i = 0; i < table->count; i++) {
        msg.sync.gpas[i] = table->ranges[i].gpa;
        msg.sync.sizes[i] = table->ranges[i].size;
        msg.sync.offsets[i] = table->ranges[i].fd_offset;
        msg.fds[i] = table->ranges[i].block->fd;
    }
    return msg;
}

static MpqemuMsg bounce_message(const ProxyMemTable *table)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SYNC_BOUNCE, .bounce.count = table->count };

    for (unsigned i = 0; i < table->count; i++) {
        msg.bounce.gpas[i] = table->ranges[i].gpa;
        msg.bounce.sizes[i] = table->ranges[i].size;
    }
    return msg;
}

void proxy_sync_send(ProxyConn *conn, ProxyMemTable *table)
{
    PciProxyDev *proxy = conn->proxy;
    MpqemuMsg msg = conn->bounce ? bounce_message(table) : map_message(table);
    MpqemuMsg barrier = { .cmd = MPQEMU_CMD_PCI_CFGREAD, .conf = { .addr = PCI_VENDOR_ID, .len = 2 } };
    uint64_t unused;
    bool removed = false;

    if (table->overflow && !conn->overflow_told) {
        log_error("pci-proxy-dev '%s': guest memory has %u parts, the link carries %u; the device "
                  "can do no DMA until there are fewer (use fewer memory backends)", proxy->name,
                  table->overflow, MPQEMU_FDS_MAX);
    }
    conn->overflow_told = table->overflow != 0;
    if (table_equal(table, &conn->sent)) {
        proxy_table_clear(table);
        return;
    }
    for (unsigned i = 0; i < conn->sent.count && !conn->bounce; i++) {
        removed = removed || !range_kept(&conn->sent.ranges[i], table);
    }
    trace_proxy_sync_send(proxy->name, table->count, removed);
    if (proxy_conn_send(conn, &msg)) {
        PROXY_COUNT(proxy, syncs);
        if (removed) {
            proxy_conn_call(conn, &barrier, &unused);
        }
    }
    /* Sent, or the link is closed and the remote has lost its right to all of it. */
    proxy_table_clear(&conn->sent);
    conn->sent = *table;
}

/* Guest RAM, as opposed to a device's own memory, comes from memory backends. */
static bool check_shareable(PciProxyDev *proxy, GError **errp)
{
    FlatView *view = address_space_view(system_memory());
    const char *hidden = NULL;

    for (unsigned i = 0; i < view->count && hidden == NULL; i++) {
        const FlatRange *range = &view->ranges[i];

        if (range->ram && !range->readonly && range->ram->fd < 0 &&
            IS_MEMORY_BACKEND(range->mr->owner)) {
            hidden = range->ram->name;
        }
    }
    if (hidden) {
        error_setg(errp, "guest memory '%s' is private to this process (share=off), a remote "
                   "device could not reach it; use memory-backend-memfd, or memory-backend-file "
                   "with share=on, or give the device dma=bounce", hidden);
    }
    flat_view_unref(view);
    return hidden == NULL;
}

bool proxy_sync_start(PciProxyDev *proxy, GError **errp)
{
    if (proxy->dma == PROXY_DMA_MAP && !check_shareable(proxy, errp)) {
        return false;
    }
    proxy->listener.changed = proxy_memory_changed;
    memory_listener_register(&proxy->listener, system_memory());
    if (proxy->table.overflow) {
        error_setg(errp, "guest memory has %u parts, the link to a remote device carries %u; use "
                   "fewer memory backends", proxy->table.overflow, MPQEMU_FDS_MAX);
    } else if (proxy->table.count == 0) {
        error_setg(errp, "the machine has no memory that a remote device could reach; "
                   "give -m SIZE");
    } else {
        return true;
    }
    proxy_sync_stop(proxy);
    return false;
}

void proxy_sync_stop(PciProxyDev *proxy)
{
    if (proxy->listener.as) {
        memory_listener_unregister(&proxy->listener);
    }
}
