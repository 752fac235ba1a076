/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DMA choke point.
 * Runs in: both programs.
 */
#include <string.h>
#include "system/dirty-log.h"
#include "system/dma.h"
#include "util/rcu.h"
#include "trace/system.h"

void dma_context_init(DmaContext *dma, AddressSpace *as)
{
    *dma = (DmaContext) { .as = as };
}

static MemResult failed(DmaContext *dma, hwaddr addr, uint64_t len, bool write, MemResult result)
{
    dma->errors++;
    trace_dma_error(addr, len, write);
    return result;
}

MemResult dma_read(DmaContext *dma, hwaddr addr, void *buf, uint64_t len)
{
    MemResult result;

    if (!dma->enabled) {
        memset(buf, 0xff, len);
        return failed(dma, addr, len, false, MEM_DECODE_ERROR);
    }
    result = dma->bounce ? dma_bounce_read(dma->bounce, addr, buf, len)
                         : address_space_copy_from(dma->as, addr, buf, len, true);
    if (result != MEM_OK) {
        return failed(dma, addr, len, false, result);
    }
    dma->read_bytes += len;
    return MEM_OK;
}

MemResult dma_write(DmaContext *dma, hwaddr addr, const void *buf, uint64_t len)
{
    MemResult result;

    if (!dma->enabled) {
        return failed(dma, addr, len, true, MEM_DECODE_ERROR);
    }
    result = dma->bounce ? dma_bounce_write(dma->bounce, addr, buf, len)
                         : address_space_copy_to(dma->as, addr, buf, len, true);
    if (result != MEM_OK) {
        return failed(dma, addr, len, true, result);
    }
    dma->write_bytes += len;
    return MEM_OK;
}

MemResult dma_read_bytes(DmaContext *dma, const hwaddr *addrs, uint8_t *bytes, unsigned count)
{
    MemResult result = MEM_OK;

    if (!dma->enabled) {
        result = MEM_DECODE_ERROR;
    } else if (dma->bounce) {
        result = dma_bounce_read_bytes(dma->bounce, addrs, bytes, count);
    }
    for (unsigned i = 0; i < count && result == MEM_OK && !dma->bounce; i++) {
        result = address_space_copy_from(dma->as, addrs[i], bytes + i, 1, true);
    }
    if (result != MEM_OK) {
        return failed(dma, addrs[0], count, false, result);
    }
    dma->read_bytes += count;
    return MEM_OK;
}

MemResult dma_read_le32(DmaContext *dma, hwaddr addr, uint32_t *ret_value)
{
    uint32_t raw;
    MemResult result = dma_read(dma, addr, &raw, sizeof(raw));

    *ret_value = GUINT32_FROM_LE(raw);
    return result;
}

MemResult dma_write_le32(DmaContext *dma, hwaddr addr, uint32_t value)
{
    uint32_t raw = GUINT32_TO_LE(value);

    return dma_write(dma, addr, &raw, sizeof(raw));
}

void dma_map_init(DmaMap *map, DmaContext *dma, DmaDirection direction)
{
    map->dma = dma;
    map->direction = direction;
    map->count = 0;
    map->size = 0;
    map->bounce = NULL;
    map->abandoned = false;
}

/* Drops the entries from FIRST on. */
static void drop_entries(DmaMap *map, unsigned first)
{
    while (map->count > first) {
        ram_block_unref(map->blocks[--map->count]);
    }
}

/* The device has written to MAP's memory, or to an unknown part of it: how much is not known of one that failed. */
static void log_entries(const DmaMap *map)
{
    rcu_read_lock();
    for (unsigned i = 0; i < map->count; i++) {
        ram_block_dirty(map->blocks[i], (uint64_t)((uint8_t *)map->iov[i].iov_base - map->blocks[i]->host),
                        map->iov[i].iov_len);
    }
    rcu_read_unlock();
}

/* Appends an entry of the window: never merged, as each stands for a guest range of its own. */
static bool add_bounced(DmaMap *map, hwaddr addr, uint64_t len)
{
    DmaBounce *bounce = map->dma->bounce;
    uint8_t *host;

    if (len == 0) {
        return true;
    }
    /* What was begun on another link, or none, cannot go on here. */
    if (map->count == DMA_MAP_MAX || (map->count && map->bounce != bounce) ||
        !dma_bounce_lend(bounce, addr, len, &host, &map->blocks[map->count])) {
        return false;
    }
    if (map->count == 0) {
        map->bounce = dma_bounce_ref(bounce);
    }
    map->addrs[map->count] = addr;
    map->iov[map->count++] = (struct iovec) { host, len };
    return true;
}

/* The end of a bounced MAP but for its entries' references: what was TRANSFERRED reaches the guest. */
static void end_bounced(DmaMap *map, uint64_t transferred)
{
    DmaBounce *bounce = g_steal_pointer(&map->bounce);

    if (map->direction == DMA_FROM_DEVICE && !map->abandoned &&
        dma_bounce_copy_lent(bounce, true, map->addrs, map->iov, MIN(transferred, map->size)) != MEM_OK) {
        failed(map->dma, map->addrs[0], transferred, true, MEM_ERROR);
    }
    for (unsigned i = 0; i < map->count; i++) {
        dma_bounce_give_back(bounce, map->iov[i].iov_base, map->iov[i].iov_len);
    }
    map->abandoned = false;
    dma_bounce_unref(bounce);
}

/* Appends entries for [addr, addr + len) that point to guest RAM, or leaves MAP as it was. */
static bool add_mapped(DmaMap *map, hwaddr addr, uint64_t len)
{
    const unsigned old_count = map->count;
    const size_t old_tail = old_count ? map->iov[old_count - 1].iov_len : 0;

    if (map->bounce) {
        return false; /* begun on a link that has ended */
    }
    while (len) {
        struct iovec *tail = map->count ? &map->iov[map->count - 1] : NULL;
        RamBlock *block;
        uint64_t piece = len;
        uint8_t *host = address_space_map_ram(map->dma->as, addr, &piece,
                                              map->direction == DMA_FROM_DEVICE, &block);

        if (host && tail && (uint8_t *)tail->iov_base + tail->iov_len == host &&
            map->blocks[map->count - 1] == block) {
            tail->iov_len += piece;
            ram_block_unref(block);
        } else if (host && map->count < DMA_MAP_MAX) {
            map->iov[map->count] = (struct iovec) { host, piece };
            map->blocks[map->count++] = block;
        } else {
            if (host) {
                ram_block_unref(block);
            }
            drop_entries(map, old_count);
            if (old_count) {
                map->iov[old_count - 1].iov_len = old_tail;
            }
            return false;
        }
        addr += piece;
        len -= piece;
    }
    return true;
}

bool dma_map_add(DmaMap *map, hwaddr addr, uint64_t len)
{
    if (!map->dma->enabled ||
        !(map->dma->bounce ? add_bounced(map, addr, len) : add_mapped(map, addr, len))) {
        return false;
    }
    if (!map->size && map->count) {
        map->dma->mapped++;
    }
    map->size += len;
    return true;
}

bool dma_map_fill(DmaMap *map)
{
    if (!map->bounce || map->direction == DMA_FROM_DEVICE) {
        return true;
    }
    if (dma_bounce_copy_lent(map->bounce, false, map->addrs, map->iov, map->size) == MEM_OK) {
        return true;
    }
    failed(map->dma, map->addrs[0], map->size, false, MEM_ERROR);
    return false;
}

void dma_map_abandon(DmaMap *map)
{
    if (map->bounce) {
        map->abandoned = true;
    } else if (map->size && !map->abandoned) {
        map->abandoned = true;
        map->dma->abandoned++;
        map->dma->abandons++;
    }
}

void dma_unmap(DmaMap *map, uint64_t transferred)
{
    DmaContext *dma = map->dma;
    bool was_mapped = map->size != 0;

    if (map->bounce) {
        end_bounced(map, transferred);
    } else if (map->direction == DMA_FROM_DEVICE) {
        log_entries(map);
    }
    drop_entries(map, 0);
    map->size = 0;
    dma->abandoned -= map->abandoned;
    map->abandoned = false;
    if (map->direction == DMA_TO_DEVICE) {
        dma->read_bytes += transferred;
    } else {
        dma->write_bytes += transferred;
    }
    if (was_mapped && --dma->mapped == 0 && dma->idle) {
        dma->idle(dma->idle_opaque);
    }
}
