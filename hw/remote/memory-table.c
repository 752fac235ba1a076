/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory table: applies SYNC_SYSMEM to an address space of one link's own.
 *
 * Runs in: qemu-remote.
 *
 * Theory of operation.  A table is a container region with a RAM region per range, each on a RamBlock that maps
 * the peer's descriptor.  An apply first checks the whole message and maps what is new, so that every refusal
 * happens before the address space changes; it then swaps the ranges in one transaction.
 *
 * Memory that leaves the table may be in use by transfers: each holds a reference on the block (dma_map()).  We keep a
 * reference too and call the block drained when ours is the last.
 */
#include "hw/remote/memory-table.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "trace/hw-remote.h"
#include "util/error.h"
#include "util/fd.h"

typedef struct MemoryRange {
    MemoryRegion mr;
    RamBlock *block; /* a reference of our own */
    uint64_t gpa;
    uint64_t size;
    uint64_t offset;
    dev_t dev;       /* the file's identity: it cannot be reused while `block` keeps it open */
    ino_t ino;
} MemoryRange;

struct MemoryTable {
    char *name;
    MemoryRegion root;
    AddressSpace *as;
    unsigned count;
    MemoryRange *ranges[MPQEMU_FDS_MAX];
    GPtrArray *leaving; /* RamBlock *, references: dropped from the table, perhaps still in use */
};

MemoryTable *memory_table_new(const char *name)
{
    MemoryTable *table = g_new0(MemoryTable, 1);

    table->name = g_strdup(name);
    memory_region_init(&table->root, NULL, "remote-link", MEMORY_SIZE_WHOLE);
    table->as = address_space_new(&table->root, table->name);
    table->leaving = g_ptr_array_new_with_free_func((GDestroyNotify)ram_block_unref);
    return table;
}

void memory_table_free(MemoryTable *table)
{
    if (!table) {
        return;
    }
    memory_table_clear(table);
    address_space_free(table->as);
    memory_region_destroy(&table->root);
    g_ptr_array_unref(table->leaving);
    g_free(table->name);
    g_free(table);
}

AddressSpace *memory_table_as(MemoryTable *table)
{
    return table->as;
}

unsigned memory_table_count(const MemoryTable *table)
{
    return table->count;
}

/* Frees a range that is in no container. */
static void memory_range_free(MemoryRange *range)
{
    memory_region_destroy(&range->mr);
    ram_block_unref(range->block);
    g_free(range);
}

/* Checks the numbers of range I of SYNC; all tables are small, so overlaps are found pairwise. */
static bool memory_table_check(const MpqemuSyncSysmem *sync, unsigned i, GError **errp)
{
    uint64_t gpa = sync->gpas[i], size = sync->sizes[i], total = size;

    if (size == 0) {
        error_setg(errp, "range %u at 0x%" PRIx64 " is empty", i, gpa);
        return false;
    }
    if (gpa >= MEMORY_TABLE_LIMIT || size > MEMORY_TABLE_LIMIT - gpa) {
        error_setg(errp, "range %u, 0x%" PRIx64 " bytes at 0x%" PRIx64 ", ends above the limit of 0x%" PRIx64, i,
                   size, gpa, MEMORY_TABLE_LIMIT);
        return false;
    }
    for (unsigned j = 0; j < i; j++) {
        total += sync->sizes[j];
        if (gpa < sync->gpas[j] + sync->sizes[j] && sync->gpas[j] < gpa + size) {
            error_setg(errp, "ranges %u and %u overlap at 0x%" PRIx64, j, i, MAX(gpa, sync->gpas[j]));
            return false;
        }
    }
    if (total > MEMORY_TABLE_BYTES) {
        error_setg(errp, "ranges 0 to %u have 0x%" PRIx64 " bytes together; the limit is 0x%" PRIx64, i, total,
                   MEMORY_TABLE_BYTES);
        return false;
    }
    return true;
}

/*
 * The range of the present table that range I of MSG repeats, or NULL.  A file that has become too short since, or
 * was for a moment (its block is "lost": it has zero pages of ours), is mapped anew and thereby checked.
 */
static MemoryRange *memory_table_find(MemoryTable *table, const MpqemuMsg *msg, unsigned i, const struct stat *st)
{
    for (unsigned j = 0; j < table->count; j++) {
        MemoryRange *range = table->ranges[j];

        if (range->gpa == msg->sync.gpas[i] && range->size == msg->sync.sizes[i] &&
            range->offset == msg->sync.offsets[i] && range->dev == st->st_dev && range->ino == st->st_ino &&
            (uint64_t)st->st_size >= range->offset + range->size &&
            !__atomic_load_n(&range->block->lost, __ATOMIC_RELAXED)) {
            return range;
        }
    }
    return NULL;
}

static MemoryRange *memory_range_new(MemoryTable *table, MpqemuMsg *msg, unsigned i, const struct stat *st,
                                     GError **errp)
{
    g_autofree char *name = g_strdup_printf("%s.ram%u", table->name, i);
    MemoryRange *range;
    RamBlock *block = ram_block_new_take_fd(name, mpqemu_msg_take_fd(msg, i), msg->sync.offsets[i],
                                            msg->sync.sizes[i], false, errp);

    if (!block) {
        g_prefix_error(errp, "range %u: ", i);
        return NULL;
    }
    range = g_new0(MemoryRange, 1);
    range->block = block;
    range->gpa = msg->sync.gpas[i];
    range->size = msg->sync.sizes[i];
    range->offset = msg->sync.offsets[i];
    range->dev = st->st_dev;
    range->ino = st->st_ino;
    memory_region_init_ram(&range->mr, NULL, "remote-ram", block, 0, range->size);
    return range;
}

/* Makes the COUNT ranges of NEXT the table, in one transaction; frees the ranges that are in the table only. */
static void memory_table_swap(MemoryTable *table, MemoryRange *const *next, unsigned count)
{
    MemoryRange *old[MPQEMU_FDS_MAX];
    unsigned num_old = 0;

    memory_transaction_begin();
    for (unsigned i = 0; i < table->count; i++) {
        bool kept = false;

        for (unsigned j = 0; j < count; j++) {
            kept |= next[j] == table->ranges[i];
        }
        if (!kept) {
            memory_region_remove(&table->root, &table->ranges[i]->mr);
            old[num_old++] = table->ranges[i];
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (!next[i]->mr.container) {
            memory_region_add(&table->root, next[i]->gpa, &next[i]->mr, 0);
        }
        table->ranges[i] = next[i];
    }
    table->count = count;
    memory_transaction_commit();

    for (unsigned i = 0; i < num_old; i++) {
        g_ptr_array_add(table->leaving, ram_block_ref(old[i]->block));
        memory_range_free(old[i]);
    }
}

bool memory_table_apply(MemoryTable *table, MpqemuMsg *msg, GError **errp)
{
    MemoryRange *next[MPQEMU_FDS_MAX];
    bool is_new[MPQEMU_FDS_MAX];
    unsigned count;

    for (count = 0; count < msg->num_fds; count++) {
        struct stat st;

        if (!memory_table_check(&msg->sync, count, errp)) {
            goto fail;
        }
        if (fd_stat(msg->fds[count], &st) < 0) {
            error_setg_errno(errp, errno, "range %u: cannot examine its descriptor", count);
            goto fail;
        }
        next[count] = memory_table_find(table, msg, count, &st);
        is_new[count] = !next[count];
        if (is_new[count]) {
            next[count] = memory_range_new(table, msg, count, &st, errp);
        }
        if (!next[count]) {
            goto fail;
        }
        trace_memory_table_range(table->name, count, next[count]->gpa, next[count]->size, next[count]->offset,
                                 is_new[count]);
    }
    memory_table_swap(table, next, count);
    return true;

fail:
    for (unsigned i = 0; i < count; i++) {
        if (is_new[i]) {
            memory_range_free(next[i]);
        }
    }
    memory_table_clear(table);
    return false;
}

void memory_table_clear(MemoryTable *table)
{
    memory_table_swap(table, NULL, 0);
    memory_table_stop_draining(table);
}

void memory_table_stop_draining(MemoryTable *table)
{
    g_ptr_array_set_size(table->leaving, 0);
}

bool memory_table_draining(MemoryTable *table)
{
    for (unsigned i = 0; i < table->leaving->len;) {
        RamBlock *block = g_ptr_array_index(table->leaving, i);

        if (__atomic_load_n(&block->refs, __ATOMIC_ACQUIRE) == 1) {
            g_ptr_array_remove_index_fast(table->leaving, i);
        } else {
            i++;
        }
    }
    return table->leaving->len > 0;
}
