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

/* Marks the topology changed; renders at once outside a transaction. */
void memory_topology_changed(void);

/* Renders ROOT; the result has one reference. */
FlatView *flat_view_render(MemoryRegion *root);

/* The view without ranges. */
FlatView *flat_view_empty(void);

/* Whether the ranges are the same; eventfds are not looked at. */
bool flat_view_equal(const FlatView *a, const FlatView *b);

/* Whether the eventfds are the same. */
bool memory_eventfds_equal(const FlatView *a, const FlatView *b);

/* memory-eventfd.c: fills in VIEW's eventfds from its ranges. */
void flat_view_find_eventfds(FlatView *view);

/* A number below, equal to or above 0: the order of a view's eventfds. */
int memory_eventfd_compare(gconstpointer a, gconstpointer b);

/* Signals the eventfd that a write of VALUE, SIZE bytes at ADDR, matches.  False: none.  In an RCU section. */
bool flat_view_signal(const FlatView *view, hwaddr addr, uint64_t value, unsigned size);

/* Calls those of LISTENER's functions that tell what differs in the eventfds of OLD and NEW. */
void memory_listener_tell_eventfds(MemoryListener *listener, const FlatView *old, const FlatView *new_view);

/* Every listener of every address space; machine lock held. */
void memory_listener_foreach(void (*fn)(MemoryListener *listener, void *opaque), void *opaque);

#endif
