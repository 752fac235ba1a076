/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty logs.  The manual is include/system/dirty-log.h.
 * Runs in: both programs.
 *
 * Writers know one bitmap per block.  Each log has one of its own; whoever takes from one log moves the block's bits to
 * all of them first.
 */
#include <string.h>
#include "system/dirty-log.h"
#include "system/memory-int.h"
#include "util/rcu.h"

/* RamBlock.dirty_state: made by the first log, and kept until the block ends, so that a late writer hits no hole. */
typedef struct DirtyState {
    uint64_t *bits; /* RamBlock.dirty, while there are logs.  Atomic */
    uint64_t pages;
    GPtrArray *logs; /* DirtyLog *, not owned */
} DirtyState;

struct DirtyLog {
    RamBlock *block; /* a reference */
    uint64_t *bits;
};

static uint64_t words(const DirtyState *state)
{
    return (state->pages + 63) / 64;
}

static DirtyState *state_of(RamBlock *block)
{
    if (!block->dirty_state) {
        DirtyState *state = g_new0(DirtyState, 1);

        state->pages = (block->size + DIRTY_PAGE - 1) / DIRTY_PAGE;
        state->bits = g_new0(uint64_t, words(state));
        state->logs = g_ptr_array_new();
        block->dirty_state = state;
    }
    return block->dirty_state;
}

void dirty_state_free(RamBlock *block)
{
    DirtyState *state = block->dirty_state;

    if (state) {
        g_free(state->bits);
        g_ptr_array_unref(state->logs);
        g_free(state);
    }
}

static void tell_changed(MemoryListener *listener, void *opaque)
{
    if (listener->log_changed) {
        listener->log_changed(listener, opaque);
    }
}

static void tell_collect(MemoryListener *listener, void *opaque)
{
    if (listener->log_collect) {
        listener->log_collect(listener, opaque);
    }
}

static void tell_cleared(MemoryListener *listener, void *opaque)
{
    if (listener->log_cleared) {
        listener->log_cleared(listener, opaque);
    }
}

/*
 * Moves the block's bits to its logs.  A vCPU of the built-in engine may have a page for writing whose bit is taken
 * here: it loses the page by log_cleared(), behind which all that it has written can be read.
 */
static void distribute(RamBlock *block)
{
    DirtyState *state = block->dirty_state;

    memory_listener_foreach(tell_collect, block);
    for (uint64_t i = 0; i < words(state); i++) {
        uint64_t bits = __atomic_load_n(&state->bits[i], __ATOMIC_RELAXED)
                            ? __atomic_exchange_n(&state->bits[i], 0, __ATOMIC_SEQ_CST)
                            : 0;

        for (guint n = 0; bits && n < state->logs->len; n++) {
            ((DirtyLog *)state->logs->pdata[n])->bits[i] |= bits;
        }
    }
    memory_listener_foreach(tell_cleared, block);
}

DirtyLog *dirty_log_start(RamBlock *block)
{
    DirtyState *state = state_of(block);
    DirtyLog *log = g_new0(DirtyLog, 1);

    log->block = ram_block_ref(block);
    log->bits = g_new0(uint64_t, words(state));
    if (state->logs->len) {
        /* The others' news are older than this one. */
        distribute(block);
    } else {
        memset(state->bits, 0, words(state) * sizeof(uint64_t));
        __atomic_store_n(&block->dirty, state->bits, __ATOMIC_RELEASE);
        /* Who has looked before that has written before the caller reads. */
        rcu_synchronize();
        memory_listener_foreach(tell_changed, block);
    }
    g_ptr_array_add(state->logs, log);
    return log;
}

void dirty_log_stop(DirtyLog *log)
{
    RamBlock *block;

    if (!log) {
        return;
    }
    block = log->block;
    g_ptr_array_remove(block->dirty_state->logs, log);
    if (!block->dirty_state->logs->len) {
        __atomic_store_n(&block->dirty, NULL, __ATOMIC_RELEASE);
        memory_listener_foreach(tell_changed, block);
        /* No late bit falls into the next log's first words. */
        rcu_synchronize();
    }
    ram_block_unref(block);
    g_free(log->bits);
    g_free(log);
}

uint64_t dirty_log_pages(const DirtyLog *log)
{
    return log->block->dirty_state->pages;
}

uint64_t dirty_log_take(DirtyLog *log, uint64_t *bitmap)
{
    const uint64_t count = words(log->block->dirty_state);
    uint64_t pages = 0;

    distribute(log->block);
    for (uint64_t i = 0; i < count; i++) {
        pages += (uint64_t)__builtin_popcountll(log->bits[i]);
    }
    if (bitmap) {
        memcpy(bitmap, log->bits, count * sizeof(uint64_t));
    }
    memset(log->bits, 0, count * sizeof(uint64_t));
    return pages;
}

void ram_block_dirty_logged(RamBlock *block, uint64_t offset, uint64_t size)
{
    uint64_t *bits = __atomic_load_n(&block->dirty, __ATOMIC_ACQUIRE);
    uint64_t last;

    if (!bits || !size) {
        return;
    }
    last = (offset + size - 1) / DIRTY_PAGE;
    for (uint64_t page = offset / DIRTY_PAGE; page <= last; page++) {
        /*
         * Also when the bit is set: the exchange that takes it away must come before the write is visible, or after
         * this.
         */
        __atomic_fetch_or(&bits[page / 64], UINT64_C(1) << (page % 64), __ATOMIC_SEQ_CST);
    }
}
