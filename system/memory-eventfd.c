/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eventfds of I/O regions: registering, their places in flat views, and writes that match.
 * Runs in: both programs.
 */
#include <errno.h>
#include <unistd.h>
#include "system/memory-int.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/log.h"

static bool size_valid(unsigned size)
{
    return size == 1 || size == 2 || size == 4 || size == 8;
}

/* Whether one write could match both. */
static bool collide(const MemoryEventfd *a, const MemoryEventfd *b)
{
    return a->addr == b->addr && a->size == b->size && (!a->match_data || !b->match_data || a->data == b->data);
}

static bool check(const MemoryRegion *mr, const MemoryEventfd *eventfd, GError **errp)
{
    FdKind kind = fd_kind(eventfd->fd);

    if (mr->kind != MEMORY_REGION_IO) {
        error_setg(errp, "%s: an eventfd needs an I/O region", mr->name);
    } else if (kind != FD_KIND_EVENTFD) {
        error_setg(errp, "%s: the descriptor is %s; pass an eventfd", mr->name, fd_kind_name(kind));
    } else if (!size_valid(eventfd->size) || eventfd->addr >= mr->size || eventfd->size > mr->size - eventfd->addr) {
        error_setg(errp, "%s: an eventfd cannot be for %u bytes at 0x%" G_GINT64_MODIFIER "x; use 1, 2, 4 or 8 of the "
                   "region's 0x%" G_GINT64_MODIFIER "x", mr->name, eventfd->size, eventfd->addr, mr->size);
    } else if (eventfd->size < 8 && eventfd->data >> (8 * eventfd->size)) {
        error_setg(errp, "%s: the value 0x%" G_GINT64_MODIFIER "x of an eventfd does not fit into %u bytes", mr->name,
                   eventfd->data, eventfd->size);
    } else if (!eventfd->match_data && eventfd->data) {
        error_setg(errp, "%s: an eventfd for all values has none of its own", mr->name);
    } else if (mr->eventfds && mr->eventfds->len >= MEMORY_EVENTFDS_MAX) {
        error_setg(errp, "%s: a region has %u eventfds at most", mr->name, MEMORY_EVENTFDS_MAX);
    } else {
        return true;
    }
    return false;
}

bool memory_region_add_eventfd(MemoryRegion *mr, const MemoryEventfd *eventfd, GError **errp)
{
    if (!check(mr, eventfd, errp)) {
        return false;
    }
    for (guint i = 0; mr->eventfds && i < mr->eventfds->len; i++) {
        if (collide(&g_array_index(mr->eventfds, MemoryEventfd, i), eventfd)) {
            error_setg(errp, "%s: there is an eventfd for this write at 0x%" G_GINT64_MODIFIER "x already", mr->name,
                       eventfd->addr);
            return false;
        }
    }
    if (!mr->eventfds) {
        mr->eventfds = g_array_new(FALSE, FALSE, sizeof(MemoryEventfd));
    }
    g_array_append_val(mr->eventfds, *eventfd);
    memory_topology_changed();
    return true;
}

void memory_region_del_eventfd(MemoryRegion *mr, const MemoryEventfd *eventfd)
{
    for (guint i = 0; mr->eventfds && i < mr->eventfds->len; i++) {
        if (memory_eventfd_compare(&g_array_index(mr->eventfds, MemoryEventfd, i), eventfd) == 0) {
            g_array_remove_index_fast(mr->eventfds, i);
            memory_topology_changed();
            return;
        }
    }
}

/* ---- in a view ------------------------------------------------------------------------------------------------- */

#define COMPARE(x, y) (((x) > (y)) - ((x) < (y)))

int memory_eventfd_compare(gconstpointer pa, gconstpointer pb)
{
    const MemoryEventfd *a = pa, *b = pb;
    int order = COMPARE(a->addr, b->addr);

    order = order ? order : COMPARE(a->size, b->size);
    order = order ? order : COMPARE(a->match_data, b->match_data);
    order = order ? order : COMPARE(a->data, b->data);
    return order ? order : COMPARE(a->fd, b->fd);
}

void flat_view_find_eventfds(FlatView *view)
{
    g_autoptr(GArray) found = NULL;

    for (unsigned i = 0; i < view->count; i++) {
        const FlatRange *range = &view->ranges[i];

        for (guint n = 0; range->mr->eventfds && n < range->mr->eventfds->len; n++) {
            MemoryEventfd eventfd = g_array_index(range->mr->eventfds, MemoryEventfd, n);

            /* One that is covered in part is not there: no access reaches all its bytes. */
            if (eventfd.addr < range->offset || eventfd.addr - range->offset >= range->size ||
                eventfd.size > range->size - (eventfd.addr - range->offset)) {
                continue;
            }
            eventfd.addr += range->start - range->offset;
            found = found ? found : g_array_new(FALSE, FALSE, sizeof(MemoryEventfd));
            g_array_append_val(found, eventfd);
        }
    }
    if (found) {
        g_array_sort(found, memory_eventfd_compare);
        view->eventfd_count = found->len;
        view->eventfds = (MemoryEventfd *)(void *)g_array_free(g_steal_pointer(&found), FALSE);
    }
}

bool memory_eventfds_equal(const FlatView *a, const FlatView *b)
{
    if (a->eventfd_count != b->eventfd_count) {
        return false;
    }
    for (unsigned i = 0; i < a->eventfd_count; i++) {
        if (memory_eventfd_compare(&a->eventfds[i], &b->eventfds[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Calls FN for those of A that B has not; both are sorted. */
static void tell_missing(MemoryListener *listener, const FlatView *a, const FlatView *b,
                         void (*fn)(MemoryListener *listener, const MemoryEventfd *eventfd))
{
    unsigned n = 0;

    for (unsigned i = 0; fn && i < a->eventfd_count; i++) {
        while (n < b->eventfd_count && memory_eventfd_compare(&b->eventfds[n], &a->eventfds[i]) < 0) {
            n++;
        }
        if (n == b->eventfd_count || memory_eventfd_compare(&b->eventfds[n], &a->eventfds[i]) != 0) {
            fn(listener, &a->eventfds[i]);
        }
    }
}

void memory_listener_tell_eventfds(MemoryListener *listener, const FlatView *old, const FlatView *new_view)
{
    tell_missing(listener, old, new_view, listener->eventfd_del);
    tell_missing(listener, new_view, old, listener->eventfd_add);
}

/* The index of the first eventfd at or above ADDR. */
static unsigned first_at(const FlatView *view, hwaddr addr)
{
    unsigned low = 0;
    unsigned high = view->eventfd_count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;

        if (view->eventfds[mid].addr < addr) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static void signal_fd(int fd)
{
    const uint64_t one = 1;

    /* Full (EAGAIN) means signalled. */
    if (write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
        log_error("an eventfd of a device cannot be signalled: %s", errno_text(errno));
    }
}

bool flat_view_signal(const FlatView *view, hwaddr addr, uint64_t value, unsigned size)
{
    if (G_LIKELY(!view->eventfd_count)) {
        return false;
    }
    value = size < 8 ? value & ((UINT64_C(1) << (8 * size)) - 1) : value;
    for (unsigned i = first_at(view, addr); i < view->eventfd_count && view->eventfds[i].addr == addr; i++) {
        const MemoryEventfd *eventfd = &view->eventfds[i];

        if (eventfd->size == size && (!eventfd->match_data || eventfd->data == value)) {
            signal_fd(eventfd->fd);
            return true;
        }
    }
    return false;
}
