/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: what memory.c, flat-view.c and memory-access.c share.
 * Thread: as include/system/memory.h.  Runs in: both programs.
 */
#ifndef SYSTEM_MEMORY_INT_H
#define SYSTEM_MEMORY_INT_H

#include "system/memory.h"

struct AddressSpace {
    char *name;
    MemoryRegion *root;
    FlatView *view;   /* RCU: read by any thread, replaced with the machine lock held */
    GPtrArray *listeners; /* MemoryListener *; not owned */
};

/* Renders ROOT; the result has one reference. */
FlatView *flat_view_render(MemoryRegion *root);

/* The view without ranges. */
FlatView *flat_view_empty(void);

bool flat_view_equal(const FlatView *a, const FlatView *b);

#endif
