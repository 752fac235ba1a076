/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty logs: which pages of a RAM block were written, for a migration or whoever else follows the guest's memory.
 *
 * Thread: with the machine lock held, except ram_block_dirty() and ram_block_is_logged(): any thread, without locks.
 * Runs in: both programs; logs are kept by mpqemu only.
 *
 * Theory of operation.  While a block has a log it has a bitmap (RamBlock.dirty) with a bit for each page, which
 * everybody who writes sets after, or together with, the write; without one they look at a pointer and go on:
 *
 *   memory dispatch, DMA of devices in this process and copies for a bouncing device process (memory-access.c, dma.c)
 *                  set it by ram_block_dirty(); a transfer into mapped memory (dma_map_add()) at its end, dma_unmap()
 *   accelerators   follow by the log_*() functions of a MemoryListener.  KVM keeps a bitmap per slot of its own, which
 *                  is collected.  The built-in engine's TLBs give up their pages for writing, and tell of each page
 *                  before they take it again.  qtest writes by the memory dispatch
 *
 * dirty_log_take() collects, takes the bits away, and has the accelerators tell of each page anew.  The contract:
 * what was written to a page before dirty_log_take() told of it can be read afterwards, and what is written later is
 * told by the next call.  So a copy of all RAM made after dirty_log_start(), followed by copies of what each call
 * tells, is the guest's memory when the last call comes after all writers have stopped.
 *
 * Not covered:
 *
 *   - A device process that maps guest RAM (pci-proxy-dev without dma=bounce) writes to it past all this, and nothing
 *     here tells of its writes.  A migration has to ask it: its own DMA goes through one place, dma.c, where the same
 *     bitmap could be kept in memory shared with us (a descriptor for each block, given with the memory table, and a
 *     message to begin and end), collected like KVM's; or it refuses such a guest, or attaches the device again with
 *     dma=bounce first.  A process that was taken over by its guest can leave bits out, which harms the copy of that
 *     guest's memory only
 *   - A transfer that is under way counts when it ends: the last call comes after they have (DmaContext.mapped)
 */
#ifndef SYSTEM_DIRTY_LOG_H
#define SYSTEM_DIRTY_LOG_H

#include "system/ram.h"

#define DIRTY_PAGE 4096u

typedef struct DirtyLog DirtyLog;

/*
 * Begins a log on BLOCK, of which it keeps a reference.  It is empty: all that the caller wants to know of the memory
 * until here, it reads after the call.  A block may have several, which do not see each other.
 */
DirtyLog *dirty_log_start(RamBlock *block);
void dirty_log_stop(DirtyLog *log); /* frees it; accepts NULL */

/* How many pages the block has; the last one may be a part. */
uint64_t dirty_log_pages(const DirtyLog *log);

/*
 * The pages written since the start or the last call, as bits of BITMAP (dirty_log_pages() bits, bit 0 of word 0 is
 * page 0; the rest of the last word is cleared).  NULL: the number only.  Returns how many.
 */
uint64_t dirty_log_take(DirtyLog *log, uint64_t *bitmap);

/* ---- for those who write to RAM, and listeners ------------------------------------------------------------------- */

static inline bool ram_block_is_logged(const RamBlock *block)
{
    return __atomic_load_n(&block->dirty, __ATOMIC_ACQUIRE) != NULL;
}

void ram_block_dirty_logged(RamBlock *block, uint64_t offset, uint64_t size);

/*
 * SIZE bytes at OFFSET of BLOCK were written.  In the RCU section of the write, or by a vCPU between two of whose
 * instructions log_changed() and log_cleared() reach it.
 */
static inline void ram_block_dirty(RamBlock *block, uint64_t offset, uint64_t size)
{
    if (G_UNLIKELY(ram_block_is_logged(block))) {
        ram_block_dirty_logged(block, offset, size);
    }
}

/* For ram.c: BLOCK ends. */
void dirty_state_free(RamBlock *block);

#endif
