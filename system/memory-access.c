/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory access: finding the region of an address, and calling it by its size rules.
 * Runs in: both programs; any thread.
 *
 * Look-up happens in an RCU section.  RAM is copied inside it (a few bytes, or at most COPY_PIECE).
 * An unlocked region is entered by counting up `entered` inside the section, which
 * memory_region_destroy() waits for.  For a locked region the look-up is repeated with the machine
 * lock held, so that the topology stands still during the call.
 */
#include <string.h>
#include "system/dirty-log.h"
#include "system/memory-int.h"
#include "util/machine-lock.h"
#include "util/rcu.h"
#include "trace/system.h"

/* RAM bytes copied in one RCU section: bounds how long a topology change waits for a reader. */
#define COPY_PIECE (64u * 1024)

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

/* ---- one region ------------------------------------------------------------------------------ */

/* Reads SIZE bytes at OFFSET of RAM; little-endian by the interface's definition. */
static uint64_t load_le(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, p, size);
    return GUINT64_FROM_LE(value);
}

static void store_le(uint8_t *p, uint64_t value, unsigned size)
{
    value = GUINT64_TO_LE(value);
    memcpy(p, &value, size);
}

static unsigned ops_max_size(const MemoryRegionOps *ops)
{
    return ops->max_size ? ops->max_size : 8;
}

/*
 * The largest access that MR takes at ADDR for SIZE remaining bytes: a power of two, aligned unless
 * `unaligned`.
 */
static unsigned piece_size(const MemoryRegionOps *ops, hwaddr addr, unsigned size)
{
    unsigned piece = ops_max_size(ops);

    while (piece > size || (!ops->unaligned && (addr & (piece - 1)))) {
        piece >>= 1;
    }
    return piece;
}

/* Reads PIECE bytes, widened to the region's minimum when that is larger. */
static MemResult io_read_piece(MemoryRegion *mr, hwaddr addr, uint64_t *ret_value, unsigned piece)
{
    unsigned min_size = MAX(mr->ops->min_size, 1u);
    hwaddr aligned = addr & ~(hwaddr)(min_size - 1);
    uint64_t value = 0;
    MemResult result;

    if (piece >= min_size) {
        return mr->ops->read(mr->opaque, addr, ret_value, piece);
    }
    if (aligned + min_size > mr->size) {
        return MEM_ERROR;
    }
    result = mr->ops->read(mr->opaque, aligned, &value, min_size);
    *ret_value = (value >> ((addr - aligned) * 8)) & ones(piece);
    return result;
}

static MemResult io_access(MemoryRegion *mr, hwaddr addr, uint64_t *value, unsigned size,
                           bool write)
{
    MemResult result = MEM_OK;
    uint64_t joined = 0;

    for (unsigned done = 0; done < size;) {
        unsigned piece = piece_size(mr->ops, addr + done, size - done);
        uint64_t part = 0;

        if (write) {
            part = (*value >> (done * 8)) & ones(piece);
            result |= piece < mr->ops->min_size
                          ? MEM_ERROR
                          : mr->ops->write(mr->opaque, addr + done, part, piece);
        } else {
            MemResult r = io_read_piece(mr, addr + done, &part, piece);

            joined |= (r == MEM_OK ? part & ones(piece) : ones(piece)) << (done * 8);
            result |= r;
        }
        done += piece;
    }
    if (!write) {
        *value = joined;
    }
    return result;
}

/*
 * Calls an I/O region that cannot go meanwhile: the caller holds its lock, or answers for its life.
 */
static MemResult io_access_counted(MemoryRegion *mr, hwaddr addr, uint64_t *value, unsigned size,
                                   bool write)
{
    MemResult result;

    __atomic_fetch_add(&mr->entered, 1, __ATOMIC_ACQ_REL);
    result = io_access(mr, addr, value, size, write);
    __atomic_fetch_sub(&mr->entered, 1, __ATOMIC_ACQ_REL);
    return result;
}

static MemResult region_access(MemoryRegion *mr, hwaddr addr, uint64_t *value, unsigned size,
                               bool write)
{
    bool take_lock;
    MemResult result;

    while (mr->kind == MEMORY_REGION_ALIAS) {
        addr += mr->alias_offset;
        mr = mr->alias;
    }
    if (addr >= mr->size || size > mr->size - addr || mr->kind == MEMORY_REGION_CONTAINER) {
        if (!write) {
            *value = ones(size);
        }
        return MEM_DECODE_ERROR;
    }
    if (mr->kind == MEMORY_REGION_RAM) {
        uint8_t *host = mr->ram->host + mr->ram_offset + addr;

        if (!write) {
            *value = load_le(host, size);
        } else if (!mr->readonly) {
            rcu_read_lock();
            store_le(host, *value, size);
            ram_block_dirty(mr->ram, mr->ram_offset + addr, size);
            rcu_read_unlock();
        }
        return MEM_OK;
    }
    take_lock = !mr->ops->unlocked && !machine_locked();
    if (take_lock) {
        machine_lock();
    }
    result = io_access_counted(mr, addr, value, size, write);
    if (take_lock) {
        machine_unlock();
    }
    return result;
}

MemResult memory_region_read(MemoryRegion *mr, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    return region_access(mr, addr, ret_value, size, false);
}

MemResult memory_region_write(MemoryRegion *mr, hwaddr addr, uint64_t value, unsigned size)
{
    return region_access(mr, addr, &value, size, true);
}

/* ---- address spaces -------------------------------------------------------------------------- */

/*
 * The range at ADDR and how many of SIZE bytes lie in it (or in the hole, up to SIZE).  In an RCU
 * section.
 */
static const FlatRange *find_range(AddressSpace *as, hwaddr addr, uint64_t size, uint64_t *ret_len)
{
    const FlatView *view = rcu_load(&as->view);
    const FlatRange *range = flat_view_find(view, addr);

    if (range) {
        *ret_len = MIN(size, range->size - (addr - range->start));
        return range;
    }
    /* A hole: it ends at the next range, so that an access across its end finds what is there. */
    *ret_len = size;
    for (unsigned i = 0; i < view->count; i++) {
        if (view->ranges[i].start > addr) {
            *ret_len = MIN(size, view->ranges[i].start - addr);
            break;
        }
    }
    return NULL;
}

/*
 * Accesses at most SIZE (<= 8) bytes at ADDR that lie in one range; *ret_len tells how many were
 * done.  WHOLE: these are all bytes of the guest's access, so that an eventfd may match.
 */
static MemResult access_once(AddressSpace *as, hwaddr addr, uint64_t *value, unsigned size,
                             bool write, bool whole, unsigned *ret_len)
{
    const FlatRange *range;
    MemoryRegion *mr;
    hwaddr offset;
    uint64_t len;
    MemResult result;

    rcu_read_lock();
    range = find_range(as, addr, size, &len);
    *ret_len = (unsigned)len;
    if (!range) {
        rcu_read_unlock();
        trace_memory_unassigned(as->name, addr, (unsigned)len, write);
        if (!write) {
            *value = ones((unsigned)len);
        }
        return MEM_DECODE_ERROR;
    }
    mr = range->mr;
    offset = addr - range->start + range->offset;
    if (range->ram) {
        uint8_t *host = range->ram->host + range->ram_offset + (addr - range->start);

        if (!write) {
            *value = load_le(host, (unsigned)len);
        } else if (!range->readonly) {
            store_le(host, *value, (unsigned)len);
            ram_block_dirty(range->ram, range->ram_offset + (addr - range->start), len);
        }
        rcu_read_unlock();
        return MEM_OK;
    }
    if (write && whole && len == size && flat_view_signal(rcu_load(&as->view), addr, *value, size)) {
        rcu_read_unlock();
        return MEM_OK;
    }
    if (mr->ops->unlocked) {
        __atomic_fetch_add(&mr->entered, 1, __ATOMIC_ACQ_REL);
        rcu_read_unlock();
        result = io_access(mr, offset, value, (unsigned)len, write);
        __atomic_fetch_sub(&mr->entered, 1, __ATOMIC_ACQ_REL);
        return result;
    }
    rcu_read_unlock();
    if (!machine_locked()) {
        /* Look again with the topology held still. */
        machine_lock();
        result = access_once(as, addr, value, size, write, whole, ret_len);
        machine_unlock();
        return result;
    }
    return io_access_counted(mr, offset, value, (unsigned)len, write);
}

static MemResult access_all(AddressSpace *as, hwaddr addr, uint64_t *value, unsigned size,
                            bool write)
{
    MemResult result = MEM_OK;
    uint64_t joined = 0;

    for (unsigned done = 0; done < size;) {
        uint64_t part = write ? *value >> (done * 8) : 0;
        unsigned len;

        result |= access_once(as, addr + done, &part, size - done, write, done == 0, &len);
        joined |= (part & ones(len)) << (done * 8);
        done += len;
    }
    if (!write) {
        *value = joined;
    }
    return result;
}

MemResult address_space_read(AddressSpace *as, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    return access_all(as, addr, ret_value, size, false);
}

MemResult address_space_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size)
{
    return access_all(as, addr, &value, size, true);
}

/* The largest naturally aligned access at ADDR of at most LEN bytes. */
static unsigned natural_size(hwaddr addr, uint64_t len)
{
    unsigned size = 8;

    while (size > len || (addr & (size - 1))) {
        size >>= 1;
    }
    return size;
}

/* Copies the piece of LEN bytes at ADDR that lies in one RAM range; 0: ADDR is no RAM. */
static uint64_t copy_ram(AddressSpace *as, hwaddr addr, uint8_t *buf, uint64_t len, bool write,
                         MemResult *result)
{
    const FlatRange *range;
    uint64_t piece;

    rcu_read_lock();
    range = find_range(as, addr, MIN(len, COPY_PIECE), &piece);
    if (!range || !range->ram) {
        rcu_read_unlock();
        return 0;
    }
    if (!write) {
        memcpy(buf, range->ram->host + range->ram_offset + (addr - range->start), piece);
    } else if (range->readonly) {
        *result |= MEM_ERROR;
    } else {
        memcpy(range->ram->host + range->ram_offset + (addr - range->start), buf, piece);
        ram_block_dirty(range->ram, range->ram_offset + (addr - range->start), piece);
    }
    rcu_read_unlock();
    return piece;
}

static MemResult copy(AddressSpace *as, hwaddr addr, uint8_t *buf, uint64_t len, bool write,
                      bool ram_only)
{
    MemResult result = MEM_OK;

    while (len) {
        uint64_t piece = copy_ram(as, addr, buf, len, write, &result);

        if (!piece && ram_only) {
            if (!write) {
                memset(buf, 0xff, len);
            }
            return result | MEM_DECODE_ERROR;
        }
        if (!piece) {
            uint64_t value = 0;

            piece = natural_size(addr, len);
            if (write) {
                value = load_le(buf, (unsigned)piece);
                result |= address_space_write(as, addr, value, (unsigned)piece);
            } else {
                result |= address_space_read(as, addr, &value, (unsigned)piece);
                store_le(buf, value, (unsigned)piece);
            }
        }
        addr += piece;
        buf += piece;
        len -= piece;
    }
    return result;
}

MemResult address_space_copy_from(AddressSpace *as, hwaddr addr, void *buf, uint64_t len,
                                  bool ram_only)
{
    return copy(as, addr, buf, len, false, ram_only);
}

MemResult address_space_copy_to(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len,
                                bool ram_only)
{
    return copy(as, addr, (uint8_t *)buf, len, true, ram_only);
}

void *address_space_map_ram(AddressSpace *as, hwaddr addr, uint64_t *len, bool write,
                            RamBlock **ret_block)
{
    const FlatRange *range;
    uint64_t piece;
    void *host = NULL;

    rcu_read_lock();
    range = find_range(as, addr, *len, &piece);
    if (range && range->ram && !(write && range->readonly)) {
        *len = piece;
        *ret_block = ram_block_ref(range->ram);
        host = range->ram->host + range->ram_offset + (addr - range->start);
    }
    rcu_read_unlock();
    return host;
}
