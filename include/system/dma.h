/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DMA choke point: every access of a device to guest memory goes through here.
 *
 * Thread: with the machine lock held.  Runs in: both programs.
 *
 * A DmaContext is a device's window on memory: its address space, whether it may master the bus
 * now, and counters. DMA reaches RAM only: an address that decodes to a device register is refused
 * with MEM_DECODE_ERROR, so a device cannot re-enter itself or another device by its own DMA.  (A
 * device whose data sheet allows it to address its own on-chip memory, as the 53C895A does,
 * resolves that before it comes here.)
 *
 * A context with a `bounce` has no RAM in its address space: everything goes through that instead
 * (system/dma-bounce.h), with the same results.
 *
 * In-flight DMA (dma_map) holds references on the RAM blocks: memory that a peer has taken back
 * stays mapped until the last transfer ends; `idle` tells when that is.
 */
#ifndef SYSTEM_DMA_H
#define SYSTEM_DMA_H

#include <sys/uio.h>
#include "system/dma-bounce.h"
#include "system/memory.h"

typedef struct DmaContext {
    AddressSpace *as;
    DmaBounce *bounce; /* no reference: its owner sets it, and NULL before that ends */
    bool enabled; /* PCI bus master bit; a disabled master's accesses fail with MEM_DECODE_ERROR */
    unsigned mapped;     /* DmaMaps alive */
    unsigned abandoned;  /* of these, given up by their device (dma_map_abandon()) */
    uint64_t abandons;   /* times that one was given up, ever */
    uint64_t read_bytes; /* counters for monitors */
    uint64_t write_bytes;
    uint64_t errors;
    void (*idle)(void *opaque); /* called when `mapped` falls to 0; may be NULL */
    void *idle_opaque;
} DmaContext;

void dma_context_init(DmaContext *dma, AddressSpace *as);

/* Copies; MEM_OK or error bits.  A failed read fills BUF's failed part with 0xff. */
MemResult dma_read(DmaContext *dma, hwaddr addr, void *buf, uint64_t len);
MemResult dma_write(DmaContext *dma, hwaddr addr, const void *buf, uint64_t len);

/*
 * One byte at each of COUNT addresses.  With a bounce in a few copies, not in COUNT.  When not MEM_OK, all of BYTES is
 * undefined.
 */
MemResult dma_read_bytes(DmaContext *dma, const hwaddr *addrs, uint8_t *bytes, unsigned count);

/* Little-endian 32-bit read and write, the unit of most descriptors. */
MemResult dma_read_le32(DmaContext *dma, hwaddr addr, uint32_t *ret_value);
MemResult dma_write_le32(DmaContext *dma, hwaddr addr, uint32_t value);

/*
 * A scatter list of direct pointers to guest RAM for I/O without a copy (bounced: to the window).
 * The device reads it (TO_DEVICE) or writes it (FROM_DEVICE) at any time until dma_unmap().
 */
typedef enum DmaDirection {
    DMA_TO_DEVICE,
    DMA_FROM_DEVICE,
} DmaDirection;

#define DMA_MAP_MAX 256 /* entries: a 1 MiB transfer in 4 KiB pages */

typedef struct DmaMap {
    DmaContext *dma;
    DmaDirection direction;
    unsigned count;
    uint64_t size;                     /* sum of the lengths */
    struct iovec iov[DMA_MAP_MAX];
    RamBlock *blocks[DMA_MAP_MAX];     /* a reference each */
    DmaBounce *bounce;                 /* a reference; NULL: not bounced, or empty */
    hwaddr addrs[DMA_MAP_MAX];         /* bounced: what each entry stands for */
    bool abandoned;
} DmaMap;

/* An empty map. */
void dma_map_init(DmaMap *map, DmaContext *dma, DmaDirection direction);

/*
 * Appends guest range [addr, addr + len) to MAP.  Adjoining host memory is merged.  Returns false,
 * leaving MAP as it was, when the range is not all RAM (writable for FROM_DEVICE), the master is
 * disabled, or entries (bounced: the window's room) run out: the caller then copies with dma_read()/dma_write().
 */
bool dma_map_add(DmaMap *map, hwaddr addr, uint64_t len);

/*
 * MAP is complete, and the device is going to read (TO_DEVICE) or write it.  False: it is bounced, and the guest's
 * bytes could not be copied in.
 */
bool dma_map_fill(DmaMap *map);

/*
 * The guest has been or will be told that MAP's transfer is over (an abort, a reset), but the host
 * still works on it: until dma_unmap() the memory may yet be read and written.  A link server lets
 * no answer to the guest overtake that.  (A bounced MAP does not reach the guest any more, and
 * does not count as abandoned.)
 */
void dma_map_abandon(DmaMap *map);

/*
 * Ends the transfer and drops the references; MAP is empty again.  TRANSFERRED bytes go to the
 * counters.  Bounced and FROM_DEVICE: these bytes are copied to the guest first; when that fails,
 * the memory is no RAM any more, or the peer is gone, and only `errors` tells.
 */
void dma_unmap(DmaMap *map, uint64_t transferred);

#endif
