/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory table: one link's view of guest RAM, as its last SYNC_SYSMEM message told.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * Each x-remote-object has a table, and with it an address space, of its own; a device can reach no memory but what
 * its own link was given.  A table replaces the one before as a whole, as one memory transaction: DMA sees the
 * old one or the new one, nothing between.  A range that both have (same file, offset, size and address) keeps its
 * mapping.
 *
 * The peer is hostile.  Refused: ranges that are empty, wrap, overlap each other, reach beyond MEMORY_TABLE_LIMIT or
 * the end of their file (which is never grown), or exceed MEMORY_TABLE_BYTES together; descriptors that cannot be
 * mapped.  A file that is
 * shrunk later costs its owner the data, not us the process (ram_guard_install()).
 */
#ifndef HW_REMOTE_MEMORY_TABLE_H
#define HW_REMOTE_MEMORY_TABLE_H

#include "io/mpqemu-link.h"
#include "system/memory.h"

/* Highest guest address: 46 bits, what x86-64 guests without 5-level paging can have. */
#define MEMORY_TABLE_LIMIT (UINT64_C(1) << 46)

/*
 * Most bytes of one table: 1 TiB.  So REMOTE_LINKS_MAX links, each with an old and a new table at the moment of an
 * exchange, fit into the 47 bits of our own address space, and no link can take from another the room that it needs.
 */
#define MEMORY_TABLE_BYTES (UINT64_C(1) << 40)

typedef struct MemoryTable MemoryTable;

/* An empty table.  NAME (copied) is for traces and messages. */
MemoryTable *memory_table_new(const char *name);

/* DMA in flight keeps the memory it uses mapped until it ends.  Accepts NULL. */
void memory_table_free(MemoryTable *table);

/* The address space that shows the table; valid as long as the table. */
AddressSpace *memory_table_as(MemoryTable *table);

/*
 * Replaces the table by the ranges of MSG (a valid SYNC_SYSMEM, 0 to MPQEMU_FDS_MAX of them) and takes its
 * descriptors.  On failure the table is empty, and *errp says which range was refused and why.
 */
bool memory_table_apply(MemoryTable *table, MpqemuMsg *msg, GError **errp);

/* Drops all ranges, for good: there is nothing to wait for.  (An apply of no ranges is one that can be waited for.) */
void memory_table_clear(MemoryTable *table);

/* Number of ranges now. */
unsigned memory_table_count(const MemoryTable *table);

/*
 * True while a device still transfers to or from memory that an apply has dropped.  The link server answers nothing
 * meanwhile, which makes "the reply to a later message" a barrier for the other side.
 */
bool memory_table_draining(MemoryTable *table);

/* Waits no longer for the transfers of now; they keep their memory mapped. */
void memory_table_stop_draining(MemoryTable *table);

#endif
