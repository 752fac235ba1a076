/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory regions, address spaces, flat views: how an address finds its RAM or its device.
 *
 * Thread: topology changes with the machine lock held; accesses to address spaces, and their
 * views, from any thread without a lock.  Runs in: both programs.
 *
 * Theory of operation.  A MemoryRegion is a container, RAM, ROM, I/O (callbacks) or an alias of
 * another region's part.  Regions are placed into containers at offsets with priorities (higher
 * wins; later wins at equal priority).  An AddressSpace renders its root into a FlatView: a sorted
 * array of non-overlapping ranges, each naming its final region.  A change marks the topology
 * dirty; the outermost memory_transaction_commit() (every change outside a transaction is its own)
 * renders new views, publishes them by RCU, and tells listeners.
 *
 * Dispatch.  A reader finds the range by binary search in an RCU section.  RAM is copied inside the
 * section.  A region marked `unlocked` is counted as entered, which memory_region_destroy() waits
 * for, and called behind the section without a lock.  All others are looked up again and called
 * with the machine lock held.  An access is cut at range borders and by the region's access sizes.
 *
 * Addresses and sizes are uint64_t in bytes; MEMORY_SIZE_WHOLE is a region over the whole 64-bit
 * space (its last byte stays unassigned).  Values are little-endian numbers: byte 0 is the least
 * significant.
 */
#ifndef SYSTEM_MEMORY_H
#define SYSTEM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include "qom/object.h"
#include "system/ram.h"

typedef uint64_t hwaddr;
#define MEMORY_SIZE_WHOLE UINT64_MAX

typedef struct MemoryRegion MemoryRegion;
typedef struct AddressSpace AddressSpace;
typedef struct FlatView FlatView;

/* Result of an access; bits are or-ed over the parts of one access. */
typedef enum MemResult {
    MEM_OK = 0,
    MEM_ERROR = 1 << 0,        /* the device refused (wrong size or alignment) or is gone */
    MEM_DECODE_ERROR = 1 << 1, /* nothing there; reads give all ones */
} MemResult;

/*
 * Callbacks of an I/O region.  ADDR is the offset in the region; SIZE is 1, 2, 4 or 8 bytes, within
 * [min_size, max_size] and naturally aligned unless `unaligned`.  Accesses outside these bounds are
 * split or widened to fit (a widened read drops the surplus bytes; a narrow write below min_size is
 * refused with MEM_ERROR).
 */
typedef struct MemoryRegionOps {
    MemResult (*read)(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size);
    MemResult (*write)(void *opaque, hwaddr addr, uint64_t value, unsigned size);
    unsigned min_size; /* 0 means 1 */
    unsigned max_size; /* 0 means 8 */
    bool unaligned;
    bool unlocked;     /* called without the machine lock, from several threads at once */
} MemoryRegionOps;

/*
 * An eventfd of an I/O region, the hook of doorbells ("ioeventfd"): a write of SIZE bytes at ADDR adds 1 to FD and does
 * nothing else; the region's write() is not called for it.
 */
typedef struct MemoryEventfd {
    hwaddr addr;     /* in the region; in a flat view: in the address space */
    unsigned size;   /* 1, 2, 4 or 8 bytes: exactly the guest's access */
    bool match_data; /* only when the value written is `data` */
    uint64_t data;   /* 0 without match_data */
    int fd;
} MemoryEventfd;

#define MEMORY_EVENTFDS_MAX 256 /* of one region */

typedef enum MemoryRegionKind {
    MEMORY_REGION_CONTAINER,
    MEMORY_REGION_RAM, /* and ROM: read-only for the bus */
    MEMORY_REGION_IO,
    MEMORY_REGION_ALIAS,
} MemoryRegionKind;

/* Embedded in its owner's struct; fields are private to memory.c except where noted. */
struct MemoryRegion {
    const char *name;          /* readable by anybody; static or interned */
    QomObject *owner;          /* whose memory this is; no reference; NULL: the board's */
    MemoryRegionKind kind;
    bool readonly;
    bool enabled;
    uint64_t size;
    const MemoryRegionOps *ops;
    void *opaque;
    RamBlock *ram;             /* kind RAM: a reference */
    uint64_t ram_offset;
    MemoryRegion *alias;       /* kind ALIAS */
    hwaddr alias_offset;
    MemoryRegion *container;
    hwaddr addr;               /* offset in the container */
    int priority;
    GPtrArray *subregions;     /* sorted by priority, highest first */
    unsigned entered;          /* I/O: calls in progress; atomic */
    GArray *eventfds;          /* I/O: MemoryEventfd; NULL: none */
};

/* Initialise an embedded region.  OWNER's life bounds the region's; NAME must stay valid. */
void memory_region_init(MemoryRegion *mr, QomObject *owner, const char *name, uint64_t size);
void memory_region_init_io(MemoryRegion *mr, QomObject *owner, const MemoryRegionOps *ops,
                           void *opaque, const char *name, uint64_t size);
/* Takes a reference of its own on BLOCK. */
void memory_region_init_ram(MemoryRegion *mr, QomObject *owner, const char *name, RamBlock *block,
                            uint64_t offset, uint64_t size);
void memory_region_init_rom(MemoryRegion *mr, QomObject *owner, const char *name, RamBlock *block,
                            uint64_t offset, uint64_t size);
void memory_region_init_alias(MemoryRegion *mr, QomObject *owner, const char *name,
                              MemoryRegion *target, hwaddr offset, uint64_t size);

/*
 * Takes MR out of its container and its parts out of MR, waits until no thread dispatches through
 * it any more, drops what it holds.  For an `unlocked` region the machine lock is released while a
 * call is in progress, which lasts as long as the callback does: the owner first makes its
 * callbacks return (a proxy ends its link).  Not inside a callback of MR.
 */
void memory_region_destroy(MemoryRegion *mr);

void memory_region_add(MemoryRegion *container, hwaddr addr, MemoryRegion *mr, int priority);
void memory_region_remove(MemoryRegion *container, MemoryRegion *mr);
void memory_region_set_enabled(MemoryRegion *mr, bool enabled);
void memory_region_set_address(MemoryRegion *mr, hwaddr addr);
/* RAM below MR, an alias or container, cannot be written through it, or can again. */
void memory_region_set_readonly(MemoryRegion *mr, bool readonly);

/*
 * Calls MR's own callback or RAM directly with an offset in it, as dispatch would: size rules
 * included.
 */
MemResult memory_region_read(MemoryRegion *mr, hwaddr addr, uint64_t *ret_value, unsigned size);
MemResult memory_region_write(MemoryRegion *mr, hwaddr addr, uint64_t value, unsigned size);

/*
 * Adds EVENTFD to MR, an I/O region, or takes away what was added with the same values.  Writes find it wherever MR is
 * in a flat view with all its bytes (behind aliases, too; not where another region covers a part), by every way that
 * leads through an address space; memory_region_write() does not look.  With KVM the kernel carries it out, and the
 * vCPU does not leave the guest; other accelerators come here.
 *
 * The descriptor stays the caller's, which keeps it open until the outermost commit after memory_region_del_eventfd()
 * or memory_region_destroy() has returned.  It is an eventfd with EFD_NONBLOCK; whoever else has it could take that
 * flag away and fill the counter, so that a vCPU waits for him: only a peer that is confined against F_SETFL gets a
 * copy.
 *
 * False with *errp, nothing changed: MR is no I/O region, EVENTFD does not fit into it, its data does not fit into its
 * size, a write would match another one, too, or there are MEMORY_EVENTFDS_MAX.
 */
bool memory_region_add_eventfd(MemoryRegion *mr, const MemoryEventfd *eventfd, GError **errp);
void memory_region_del_eventfd(MemoryRegion *mr, const MemoryEventfd *eventfd);

/* Several changes as one. Nests. */
void memory_transaction_begin(void);
void memory_transaction_commit(void);

/* One range of a flat view.  [start, start + size) of the address space is [offset, ...) of mr. */
typedef struct FlatRange {
    hwaddr start;
    uint64_t size;
    MemoryRegion *mr;
    uint64_t offset;
    bool readonly;
    RamBlock *ram; /* RAM and ROM: a reference held by the view, with ram_offset of the range's
                      first byte */
    uint64_t ram_offset;
} FlatRange;

struct FlatView {
    int refs;
    unsigned count;
    unsigned eventfd_count;
    MemoryEventfd *eventfds; /* sorted by address; descriptors are not the view's */
    FlatRange ranges[];
};

/* Makes AS over ROOT. */
AddressSpace *address_space_new(MemoryRegion *root, const char *name);
void address_space_free(AddressSpace *as);
MemoryRegion *address_space_root(AddressSpace *as);

/* The current view with a reference for the caller; drop with flat_view_unref().  Any thread. */
FlatView *address_space_view(AddressSpace *as);
void flat_view_unref(FlatView *view);

/* The range that contains ADDR, or NULL.  Any thread that keeps VIEW. */
const FlatRange *flat_view_find(const FlatView *view, hwaddr addr);

/*
 * A bus access of 1, 2, 4 or 8 bytes at any address.  Any thread, without locks held (the machine
 * lock is allowed). Reads of nothing give all ones.
 */
MemResult address_space_read(AddressSpace *as, hwaddr addr, uint64_t *ret_value, unsigned size);
MemResult address_space_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size);

/*
 * Copies LEN bytes from or to RAM and devices alike (devices see accesses of up to 8 aligned
 * bytes).  With RAM_ONLY, ranges that are no RAM count as MEM_DECODE_ERROR and no callback is
 * called.
 */
MemResult address_space_copy_from(AddressSpace *as, hwaddr addr, void *buf, uint64_t len,
                                  bool ram_only);
MemResult address_space_copy_to(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len,
                                bool ram_only);

/*
 * Direct pointer to RAM: on success *len is lowered to the contiguous length at ADDR,
 * *ret_block gets a reference that the caller drops with ram_block_unref() when done.  NULL when
 * ADDR is no RAM (or ROM and WRITE).
 */
void *address_space_map_ram(AddressSpace *as, hwaddr addr, uint64_t *len, bool write,
                            RamBlock **ret_block);

/*
 * Who follows an address space, an accelerator.  All callbacks come with the machine lock held, behind a commit that
 * changed what they tell of; each may be NULL.
 */
typedef struct MemoryListener MemoryListener;
struct MemoryListener {
    /* The ranges of AS's view; OLD and NEW live during the call. */
    void (*changed)(MemoryListener *listener, const FlatView *old, const FlatView *new_view);
    /*
     * One of the view's eventfds has come, with its address there, or has gone: first all that went, then those that
     * came.  Who cannot take one leaves it: a write that comes to address_space_write() finds it there.
     */
    void (*eventfd_add)(MemoryListener *listener, const MemoryEventfd *eventfd);
    void (*eventfd_del)(MemoryListener *listener, const MemoryEventfd *eventfd);
    /*
     * Dirty logs (system/dirty-log.h), of whichever address space BLOCK is in.  log_changed: BLOCK began to be logged,
     * or ended (ram_block_is_logged()).  log_collect: what the listener knows of written pages goes to
     * ram_block_dirty() now.  log_cleared: a page that is written from now on must be told again.
     */
    void (*log_changed)(MemoryListener *listener, RamBlock *block);
    void (*log_collect)(MemoryListener *listener, RamBlock *block);
    void (*log_cleared)(MemoryListener *listener, RamBlock *block);
    AddressSpace *as; /* private */
};

/* Registering calls changed() once with an empty old view, and eventfd_add(); unregistering calls eventfd_del(). */
void memory_listener_register(MemoryListener *listener, AddressSpace *as);
void memory_listener_unregister(MemoryListener *listener);

/*
 * Read-only walks, for monitors.  With the machine lock held; FN must not change the topology.
 *
 * One region of a tree, shown before its parts.  [start, last] is where it is in the walk's root, cut to 64 bits.
 */
typedef struct MemoryRegionVisit {
    const MemoryRegion *mr;
    unsigned depth; /* 0: the root */
    hwaddr start;
    hwaddr last;
} MemoryRegionVisit;

/* Calls FN for ROOT and all below it, highest priority first.  Aliases are shown, not followed. */
void memory_region_foreach(const MemoryRegion *root, void (*fn)(const MemoryRegionVisit *visit, void *opaque),
                           void *opaque);

/* Calls FN for each address space in order of their making. */
void address_space_foreach(void (*fn)(AddressSpace *as, const char *name, void *opaque), void *opaque);

/* The program's system memory and I/O port space (64 KiB), made at first use by the main thread. */
AddressSpace *system_memory(void);
AddressSpace *system_io(void);

#endif
