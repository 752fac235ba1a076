/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounced DMA: the window and what lies in it.
 * Runs in: qemu-remote.
 *
 * The window's first STAGE_SIZE bytes serve dma_read() and dma_write(), one after the other.  The rest is lent to maps
 * in units, found by a search that begins where the last one ended: transfers live shortly and end about in order.
 */
#include <string.h>
#include "system/dma-bounce.h"

/* Large enough that a round trip costs little beside the copying; small beside the window. */
#define STAGE_SIZE (UINT64_C(64) * 1024)

/* What is lent begins on a sector, so that direct I/O on common disks needs no further copy. */
#define UNIT 512u

struct DmaBounce {
    RamBlock *window;
    DmaBounceCopy *copy;
    void *opaque;
    int refs;
    bool ended;
    unsigned count;   /* ranges of RAM */
    uint64_t addrs[DMA_BOUNCE_RANGES_MAX];
    uint64_t sizes[DMA_BOUNCE_RANGES_MAX];
    size_t units;
    size_t next;      /* where the search begins */
    uint8_t *used;    /* by unit: 1 when lent or part of the stage */
};

DmaBounce *dma_bounce_new(RamBlock *window, DmaBounceCopy *copy, void *opaque)
{
    DmaBounce *bounce = g_new0(DmaBounce, 1);

    bounce->window = ram_block_ref(window);
    bounce->copy = copy;
    bounce->opaque = opaque;
    bounce->refs = 1;
    bounce->units = window->size / UNIT;
    bounce->used = g_malloc0(bounce->units);
    memset(bounce->used, 1, STAGE_SIZE / UNIT);
    return bounce;
}

DmaBounce *dma_bounce_ref(DmaBounce *bounce)
{
    bounce->refs++;
    return bounce;
}

void dma_bounce_unref(DmaBounce *bounce)
{
    if (bounce && --bounce->refs == 0) {
        ram_block_unref(bounce->window);
        g_free(bounce->used);
        g_free(bounce);
    }
}

void dma_bounce_end(DmaBounce *bounce)
{
    bounce->ended = true;
}

void dma_bounce_set_ram(DmaBounce *bounce, const uint64_t *addrs, const uint64_t *sizes, unsigned count)
{
    bounce->count = count;
    memcpy(bounce->addrs, addrs, count * sizeof(*addrs));
    memcpy(bounce->sizes, sizes, count * sizeof(*sizes));
}

/* How many of LEN bytes from ADDR are RAM without a gap. */
static uint64_t ram_length(const DmaBounce *bounce, hwaddr addr, uint64_t len)
{
    uint64_t found = 0;
    bool more = true;

    /* Ranges may adjoin, in any order. */
    while (more && found < len && addr + found >= addr) {
        more = false;
        for (unsigned i = 0; i < bounce->count && !more; i++) {
            hwaddr at = addr + found;

            if (at >= bounce->addrs[i] && at - bounce->addrs[i] < bounce->sizes[i]) {
                found += MIN(len - found, bounce->sizes[i] - (at - bounce->addrs[i]));
                more = true;
            }
        }
    }
    return found;
}

static MemResult copy(DmaBounce *bounce, bool write, const DmaBouncePiece *pieces, unsigned count)
{
    return bounce->ended ? MEM_ERROR : bounce->copy(bounce->opaque, write, pieces, count);
}

/* One piece through the stage: as much of LEN as is RAM and fits; *ret_len tells how much that was. */
static MemResult copy_staged(DmaBounce *bounce, bool write, hwaddr addr, uint64_t len, uint64_t *ret_len)
{
    DmaBouncePiece piece = { .addr = addr, .offset = 0 };

    *ret_len = ram_length(bounce, addr, MIN(len, STAGE_SIZE));
    piece.len = (uint32_t)*ret_len;
    return *ret_len == 0 ? MEM_DECODE_ERROR : copy(bounce, write, &piece, 1);
}

MemResult dma_bounce_read(DmaBounce *bounce, hwaddr addr, void *buf, uint64_t len)
{
    uint8_t *p = buf;

    while (len) {
        uint64_t n;
        MemResult result = copy_staged(bounce, false, addr, len, &n);

        if (result != MEM_OK) {
            memset(p, 0xff, len);
            return result;
        }
        memcpy(p, bounce->window->host, n);
        p += n;
        addr += n;
        len -= n;
    }
    return MEM_OK;
}

MemResult dma_bounce_write(DmaBounce *bounce, hwaddr addr, const void *buf, uint64_t len)
{
    const uint8_t *p = buf;

    while (len) {
        uint64_t n;
        MemResult result;

        memcpy(bounce->window->host, p, MIN(len, STAGE_SIZE));
        result = copy_staged(bounce, true, addr, len, &n);
        if (result != MEM_OK) {
            return result;
        }
        p += n;
        addr += n;
        len -= n;
    }
    return MEM_OK;
}

MemResult dma_bounce_read_bytes(DmaBounce *bounce, const hwaddr *addrs, uint8_t *bytes, unsigned count)
{
    MemResult result = MEM_OK;

    for (unsigned i = 0; i < count && result == MEM_OK;) {
        DmaBouncePiece pieces[DMA_BOUNCE_PIECES_MAX];
        unsigned n = 0;

        while (n < MIN(count - i, DMA_BOUNCE_PIECES_MAX) && ram_length(bounce, addrs[i + n], 1)) {
            pieces[n] = (DmaBouncePiece) { .addr = addrs[i + n], .len = 1, .offset = n };
            n++;
        }
        result = n == 0 ? MEM_DECODE_ERROR : copy(bounce, false, pieces, n);
        memcpy(bytes + i, bounce->window->host, n);
        i += n;
    }
    return result;
}

/* ---- lending ------------------------------------------------------------------------------------- */

/* COUNT free units in a row within [FROM, TO), or -1. */
static ssize_t find_units(const DmaBounce *bounce, size_t from, size_t to, size_t count)
{
    size_t run = 0;

    for (size_t i = from; i < to; i++) {
        run = bounce->used[i] ? 0 : run + 1;
        if (run == count) {
            return (ssize_t)(i + 1 - count);
        }
    }
    return -1;
}

static uint32_t offset_of(const DmaBounce *bounce, const uint8_t *host)
{
    return (uint32_t)(host - bounce->window->host);
}

bool dma_bounce_lend(DmaBounce *bounce, hwaddr addr, uint64_t len, uint8_t **ret_host, RamBlock **ret_block)
{
    size_t count;
    ssize_t first;

    if (bounce->ended || len == 0 || len > bounce->window->size || ram_length(bounce, addr, len) != len) {
        return false;
    }
    count = (len + UNIT - 1) / UNIT;
    first = find_units(bounce, bounce->next, bounce->units, count);
    if (first < 0) {
        first = find_units(bounce, 0, bounce->units, count);
    }
    if (first < 0) {
        return false;
    }
    memset(bounce->used + first, 1, count);
    bounce->next = (size_t)first + count;
    *ret_host = bounce->window->host + (size_t)first * UNIT;
    *ret_block = ram_block_ref(bounce->window);
    return true;
}

void dma_bounce_give_back(DmaBounce *bounce, const uint8_t *host, uint64_t len)
{
    memset(bounce->used + offset_of(bounce, host) / UNIT, 0, (len + UNIT - 1) / UNIT);
}

MemResult dma_bounce_copy_lent(DmaBounce *bounce, bool write, const hwaddr *addrs, const struct iovec *iov,
                               uint64_t len)
{
    DmaBouncePiece pieces[DMA_BOUNCE_PIECES_MAX];
    MemResult result = MEM_OK;

    for (unsigned i = 0; len && result == MEM_OK;) {
        unsigned count = 0;

        while (len && count < DMA_BOUNCE_PIECES_MAX) {
            uint32_t n = (uint32_t)MIN(len, iov[i].iov_len);

            pieces[count++] = (DmaBouncePiece) {
                .addr = addrs[i],
                .len = n,
                .offset = offset_of(bounce, iov[i].iov_base),
            };
            len -= n;
            i++;
        }
        result = copy(bounce, write, pieces, count);
    }
    return result;
}
