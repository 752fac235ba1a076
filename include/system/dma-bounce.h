/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounced DMA: guest memory that this process does not map, reached by copies that another process makes.
 *
 * Thread: with the machine lock held.  Runs in: qemu-remote.
 *
 * What it is.  A window of memory is shared with the process that has guest RAM.  That process copies pieces between
 * guest RAM and the window when asked (the `copy` function, which waits for the end of it).  system/dma.c is the only
 * user: a DmaContext with a `bounce` reads and writes through it, and its maps are room in the window:
 *
 *   DMA_TO_DEVICE    the guest's bytes are copied in by dma_map_fill();
 *   DMA_FROM_DEVICE  what was transferred is copied out by dma_unmap(), unless the map was abandoned.
 *
 * So guest memory is touched inside a call of the device only, never behind its back: memory that is taken away, and
 * transfers that were given up, need not be waited for.
 *
 * Bounds.  A part of the window is kept for dma_read() and dma_write(), so that these work whatever is mapped.  A map
 * that finds no room is refused, and the device copies piecewise.
 *
 * The other process is not trusted: it can put any bytes into the window at any time.  They are data to the device, as
 * guest RAM's are, and copied once before they are looked at (dma_read()).
 */
#ifndef SYSTEM_DMA_BOUNCE_H
#define SYSTEM_DMA_BOUNCE_H

#include <sys/uio.h>
#include "system/memory.h"

/* [addr, addr + len) of guest memory and where in the window it goes to or comes from. */
typedef struct DmaBouncePiece {
    hwaddr addr;
    uint32_t len;
    uint32_t offset;
} DmaBouncePiece;

#define DMA_BOUNCE_PIECES_MAX 16 /* of one copy */
#define DMA_BOUNCE_RANGES_MAX 8  /* of dma_bounce_set_ram() */

/* Copies COUNT pieces: window to guest when WRITE, else guest to window; returns when it is done. */
typedef MemResult DmaBounceCopy(void *opaque, bool write, const DmaBouncePiece *pieces, unsigned count);

typedef struct DmaBounce DmaBounce;

/* On a WINDOW of some 100 KiB at least (its own reference), without RAM yet. */
DmaBounce *dma_bounce_new(RamBlock *window, DmaBounceCopy *copy, void *opaque);

/* Maps hold references, as their transfers use the window until they end. */
DmaBounce *dma_bounce_ref(DmaBounce *bounce);
void dma_bounce_unref(DmaBounce *bounce); /* accepts NULL */

/* The copying process is gone: from now on nothing is copied, all fails with MEM_ERROR. */
void dma_bounce_end(DmaBounce *bounce);

/* What is RAM: COUNT ranges that do not wrap or overlap.  Other addresses are MEM_DECODE_ERROR without asking. */
void dma_bounce_set_ram(DmaBounce *bounce, const uint64_t *addrs, const uint64_t *sizes, unsigned count);

/* As dma_read() and dma_write(). */
MemResult dma_bounce_read(DmaBounce *bounce, hwaddr addr, void *buf, uint64_t len);
MemResult dma_bounce_write(DmaBounce *bounce, hwaddr addr, const void *buf, uint64_t len);

/* As dma_read_bytes(). */
MemResult dma_bounce_read_bytes(DmaBounce *bounce, const hwaddr *addrs, uint8_t *bytes, unsigned count);

/*
 * Room in the window for guest range [addr, addr + len).  False: it is not all RAM, or there is no room.  *ret_block
 * has a reference for the caller.
 */
bool dma_bounce_lend(DmaBounce *bounce, hwaddr addr, uint64_t len, uint8_t **ret_host, RamBlock **ret_block);
void dma_bounce_give_back(DmaBounce *bounce, const uint8_t *host, uint64_t len);

/* Copies the first LEN bytes of the lent list IOV to (WRITE) or from the guest ranges that begin at ADDRS. */
MemResult dma_bounce_copy_lent(DmaBounce *bounce, bool write, const hwaddr *addrs, const struct iovec *iov,
                               uint64_t len);

#endif
