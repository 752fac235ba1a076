/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flat views: rendering a tree of memory regions into sorted, non-overlapping ranges.
 * Runs in: both programs.
 *
 * Rendering goes from the highest priority to the lowest: each leaf fills the gaps that are left in
 * its window. Window arithmetic is signed and 128 bits wide, since an alias may place its target's
 * start below zero and a region may end at 2^64.
 */
#include "system/memory-int.h"

/*
 * Limits of what a tree may render to; more ranges are dropped.  A guest chooses BAR addresses, not
 * their number.
 */
#define FLAT_RANGES_MAX 4096
#define ALIAS_DEPTH_MAX 16

typedef __int128 Wide;

/* A half-open window of the address space. */
typedef struct Window {
    Wide start;
    Wide end;
} Window;

static Window window_intersect(Window a, Window b)
{
    return (Window) { MAX(a.start, b.start), MIN(a.end, b.end) };
}

static void insert_range(GArray *ranges, guint index, MemoryRegion *mr, Wide base, Window window,
                         bool readonly)
{
    FlatRange range = {
        .start = (hwaddr)window.start,
        .size = (uint64_t)(window.end - window.start),
        .mr = mr,
        .offset = (uint64_t)(window.start - base),
        .readonly = readonly || mr->readonly,
    };

    if (ranges->len >= FLAT_RANGES_MAX) {
        return;
    }
    if (mr->kind == MEMORY_REGION_RAM) {
        range.ram = mr->ram;
        range.ram_offset = mr->ram_offset + range.offset;
    }
    g_array_insert_val(ranges, index, range);
}

/* Puts leaf MR, whose offset 0 is at BASE, into the gaps of RANGES inside WINDOW. */
static void fill_gaps(GArray *ranges, MemoryRegion *mr, Wide base, Window window, bool readonly)
{
    for (guint i = 0; window.start < window.end; i++) {
        const FlatRange *range = i < ranges->len ? &g_array_index(ranges, FlatRange, i) : NULL;
        Wide next_start = range ? (Wide)range->start : window.end;
        Wide next_end = range ? next_start + range->size : window.end;

        if (next_end <= window.start) {
            continue;
        }
        if (window.start < next_start) {
            Window gap = { window.start, MIN(next_start, window.end) };

            insert_range(ranges, i, mr, base, gap, readonly);
            window.start = gap.end;
            if (next_start >= window.end) {
                break;
            }
            i++; /* past the range just inserted: the old one is at i now */
        }
        window.start = next_end;
    }
}

static void render(GArray *ranges, MemoryRegion *mr, Wide base, Window window, bool readonly,
                   unsigned depth)
{
    Wide size = mr->size == MEMORY_SIZE_WHOLE ? (Wide)1 << 64 : (Wide)mr->size;

    if (!mr->enabled || depth > ALIAS_DEPTH_MAX) {
        return;
    }
    window = window_intersect(window, (Window) { base, base + size });
    if (window.start >= window.end) {
        return;
    }
    readonly |= mr->readonly;
    for (guint i = 0; mr->subregions && i < mr->subregions->len; i++) {
        MemoryRegion *sub = mr->subregions->pdata[i];

        render(ranges, sub, base + sub->addr, window, readonly, depth + 1);
    }
    if (mr->kind == MEMORY_REGION_ALIAS) {
        render(ranges, mr->alias, base - mr->alias_offset, window, readonly, depth + 1);
    } else if (mr->kind != MEMORY_REGION_CONTAINER) {
        fill_gaps(ranges, mr, base, window, readonly);
    }
}

FlatView *flat_view_empty(void)
{
    FlatView *view = g_new0(FlatView, 1);

    view->refs = 1;
    return view;
}

FlatView *flat_view_render(MemoryRegion *root)
{
    g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    FlatView *view;

    render(ranges, root, 0, (Window) { 0, (Wide)1 << 64 }, false, 0);
    view = g_malloc0(sizeof(FlatView) + ranges->len * sizeof(FlatRange));
    view->refs = 1;
    view->count = ranges->len;
    for (guint i = 0; i < ranges->len; i++) {
        view->ranges[i] = g_array_index(ranges, FlatRange, i);
        if (view->ranges[i].ram) {
            ram_block_ref(view->ranges[i].ram);
        }
    }
    flat_view_find_eventfds(view);
    return view;
}

bool flat_view_equal(const FlatView *a, const FlatView *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (unsigned i = 0; i < a->count; i++) {
        const FlatRange *x = &a->ranges[i];
        const FlatRange *y = &b->ranges[i];

        if (x->start != y->start || x->size != y->size || x->mr != y->mr ||
            x->offset != y->offset || x->readonly != y->readonly || x->ram != y->ram ||
            x->ram_offset != y->ram_offset) {
            return false;
        }
    }
    return true;
}

const FlatRange *flat_view_find(const FlatView *view, hwaddr addr)
{
    unsigned low = 0;
    unsigned high = view->count;

    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        const FlatRange *range = &view->ranges[mid];

        if (addr < range->start) {
            high = mid;
        } else if (addr - range->start >= range->size) {
            low = mid + 1;
        } else {
            return range;
        }
    }
    return NULL;
}

void flat_view_unref(FlatView *view)
{
    if (__atomic_sub_fetch(&view->refs, 1, __ATOMIC_ACQ_REL)) {
        return;
    }
    for (unsigned i = 0; i < view->count; i++) {
        ram_block_unref(view->ranges[i].ram);
    }
    g_free(view->eventfds);
    g_free(view);
}
