/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of memory: regions, flat views, access rules, RAM blocks, DMA, concurrent readers.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/memfd.h>
#include "system/dma.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/machine-lock.h"

/* An I/O region that records its accesses and reads as a function of the address. */
typedef struct Probe {
    MemoryRegion mr;
    struct {
        hwaddr addr;
        uint64_t value;
        unsigned size;
        bool write;
    } log[32];
    unsigned count;
    MemResult result;
} Probe;

static MemResult probe_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    Probe *probe = opaque;
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)(uint8_t)(addr + i) << (8 * i);
    }
    if (probe->count < 32) {
        probe->log[probe->count++] = (typeof(probe->log[0])) { addr, value, size, false };
    }
    *ret_value = value;
    return probe->result;
}

static MemResult probe_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Probe *probe = opaque;

    if (probe->count < 32) {
        probe->log[probe->count++] = (typeof(probe->log[0])) { addr, value, size, true };
    }
    return probe->result;
}

static const MemoryRegionOps probe_any = { probe_read, probe_write };
static const MemoryRegionOps probe_dword = { probe_read, probe_write, .min_size = 4, .max_size = 4 };
static const MemoryRegionOps probe_bytes = { probe_read, probe_write, .max_size = 1 };
static const MemoryRegionOps probe_unaligned = { probe_read, probe_write, .unaligned = true };

typedef struct Space {
    MemoryRegion root;
    AddressSpace *as;
} Space;

static void space_init(Space *space)
{
    memory_region_init(&space->root, NULL, "root", MEMORY_SIZE_WHOLE);
    space->as = address_space_new(&space->root, "test");
}

static void space_destroy(Space *space)
{
    address_space_free(space->as);
    memory_region_destroy(&space->root);
}

static uint64_t rd(Space *space, hwaddr addr, unsigned size)
{
    uint64_t value;

    address_space_read(space->as, addr, &value, size);
    return value;
}

static void test_unassigned_reads_all_ones(void)
{
    Space space;
    uint64_t value;

    space_init(&space);
    g_assert_cmpint(address_space_read(space.as, 0x1000, &value, 2), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(value, ==, 0xffff);
    g_assert_cmpint(address_space_read(space.as, UINT64_MAX - 3, &value, 8), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(value, ==, UINT64_MAX);
    g_assert_cmpint(address_space_write(space.as, 0x1000, 1, 8), ==, MEM_DECODE_ERROR);
    space_destroy(&space);
}

static void test_priorities_and_gaps(void)
{
    Space space;
    Probe low = { 0 }, high = { 0 };
    FlatView *view;

    space_init(&space);
    memory_region_init_io(&low.mr, NULL, &probe_any, &low, "low", 0x3000);
    memory_region_init_io(&high.mr, NULL, &probe_any, &high, "high", 0x1000);
    memory_region_add(&space.root, 0x1000, &low.mr, 0);
    memory_region_add(&space.root, 0x2000, &high.mr, 1);
    view = address_space_view(space.as);
    g_assert_cmpuint(view->count, ==, 3);
    g_assert_true(view->ranges[0].mr == &low.mr && view->ranges[0].size == 0x1000);
    g_assert_true(view->ranges[1].mr == &high.mr);
    g_assert_true(view->ranges[2].mr == &low.mr && view->ranges[2].offset == 0x2000);
    flat_view_unref(view);

    /* An access over the border is cut there. */
    rd(&space, 0x1ffc, 8);
    g_assert_cmpuint(low.count, ==, 1);
    g_assert_cmpuint(low.log[0].addr, ==, 0xffc);
    g_assert_cmpuint(high.count, ==, 1);
    g_assert_cmpuint(high.log[0].addr, ==, 0);

    memory_region_set_enabled(&high.mr, false);
    view = address_space_view(space.as);
    g_assert_cmpuint(view->count, ==, 1);
    flat_view_unref(view);
    memory_region_set_address(&low.mr, 0x8000);
    g_assert_cmphex(rd(&space, 0x1000, 4), ==, 0xffffffff);
    g_assert_cmphex(rd(&space, 0x8004, 4), ==, 0x07060504);
    memory_region_destroy(&low.mr);
    memory_region_destroy(&high.mr);
    g_assert_cmphex(rd(&space, 0x8004, 4), ==, 0xffffffff);
    space_destroy(&space);
}

static void test_aliases(void)
{
    Space space;
    Probe io = { 0 };
    MemoryRegion box, alias;
    FlatView *view;

    space_init(&space);
    memory_region_init(&box, NULL, "box", 0x10000);
    memory_region_init_io(&io.mr, NULL, &probe_any, &io, "io", 0x1000);
    memory_region_add(&box, 0x4000, &io.mr, 0);
    /* Bytes [0x4800, 0x6000) of the box at address 0x100: its start lies below zero. */
    memory_region_init_alias(&alias, NULL, "alias", &box, 0x4800, 0x1800);
    memory_region_add(&space.root, 0x100, &alias, 0);
    view = address_space_view(space.as);
    g_assert_cmpuint(view->count, ==, 1);
    g_assert_cmphex(view->ranges[0].start, ==, 0x100);
    g_assert_cmphex(view->ranges[0].size, ==, 0x800);
    g_assert_cmphex(view->ranges[0].offset, ==, 0x800);
    flat_view_unref(view);
    /* An alias of itself ends. */
    memory_region_destroy(&alias);
    memory_region_init_alias(&alias, NULL, "loop", &box, 0, 0x10000);
    memory_region_add(&box, 0x8000, &alias, 0);
    memory_region_add(&space.root, 0, &box, 0);
    g_assert_cmphex(rd(&space, 0x4000, 1), ==, 0);
    memory_region_destroy(&alias);
    memory_region_destroy(&io.mr);
    memory_region_destroy(&box);
    space_destroy(&space);
}

static void test_access_sizes(void)
{
    static const struct {
        const MemoryRegionOps *ops;
        hwaddr addr;
        unsigned size;
        unsigned calls;
        unsigned first_size;
    } cases[] = {
        { &probe_any, 0x0, 8, 1, 8 },       { &probe_any, 0x1, 4, 3, 1 },   { &probe_any, 0x2, 8, 3, 2 },
        { &probe_dword, 0x0, 8, 2, 4 },     { &probe_dword, 0x5, 1, 1, 4 }, { &probe_dword, 0x6, 2, 1, 4 },
        { &probe_bytes, 0x3, 4, 4, 1 },     { &probe_unaligned, 0x3, 4, 1, 4 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Space space;
        Probe io = { 0 };
        uint64_t expected = 0;

        space_init(&space);
        memory_region_init_io(&io.mr, NULL, cases[i].ops, &io, "io", 0x100);
        memory_region_add(&space.root, 0, &io.mr, 0);
        for (unsigned b = 0; b < cases[i].size; b++) {
            expected |= (cases[i].addr + b) << (8 * b);
        }
        g_assert_cmphex(rd(&space, cases[i].addr, cases[i].size), ==, expected);
        g_assert_cmpuint(io.count, ==, cases[i].calls);
        g_assert_cmpuint(io.log[0].size, ==, cases[i].first_size);
        memory_region_destroy(&io.mr);
        space_destroy(&space);
    }
}

static void test_narrow_write_is_refused(void)
{
    Space space;
    Probe io = { 0 };

    space_init(&space);
    memory_region_init_io(&io.mr, NULL, &probe_dword, &io, "io", 0x100);
    memory_region_add(&space.root, 0, &io.mr, 0);
    g_assert_cmpint(address_space_write(space.as, 4, 0x12, 1), ==, MEM_ERROR);
    g_assert_cmpuint(io.count, ==, 0);
    g_assert_cmpint(address_space_write(space.as, 4, 0x1122334455667788, 8), ==, MEM_OK);
    g_assert_cmpuint(io.count, ==, 2);
    g_assert_cmphex(io.log[1].value, ==, 0x11223344);
    io.result = MEM_ERROR;
    g_assert_cmphex(rd(&space, 4, 4), ==, 0xffffffff);
    memory_region_destroy(&io.mr);
    space_destroy(&space);
}

static void test_direct_region_access_is_bounded(void)
{
    Probe io = { 0 };
    uint64_t value;

    memory_region_init_io(&io.mr, NULL, &probe_any, &io, "io", 0x10);
    g_assert_cmpint(memory_region_read(&io.mr, 0xc, &value, 4), ==, MEM_OK);
    g_assert_cmpint(memory_region_read(&io.mr, 0xd, &value, 4), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(value, ==, 0xffffffff);
    g_assert_cmpint(memory_region_write(&io.mr, 0x10, 0, 1), ==, MEM_DECODE_ERROR);
    g_assert_cmpint(memory_region_write(&io.mr, UINT64_MAX, 0, 8), ==, MEM_DECODE_ERROR);
    memory_region_destroy(&io.mr);
}

static void test_ram_and_rom(void)
{
    Space space;
    MemoryRegion ram, rom;
    RamBlock *block = ram_block_new_memfd("ram", 0x4000, true, NULL);
    uint8_t buf[0x3000], back[0x3000];

    space_init(&space);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, 0x2000);
    memory_region_init_rom(&rom, NULL, "rom", block, 0x2000, 0x2000);
    memory_region_add(&space.root, 0x10000, &ram, 0);
    memory_region_add(&space.root, 0x12000, &rom, 0);
    for (unsigned i = 0; i < sizeof(buf); i++) {
        buf[i] = (uint8_t)(i * 7);
    }
    g_assert_cmpint(address_space_copy_to(space.as, 0x10000, buf, 0x2000, true), ==, MEM_OK);
    g_assert_cmpint(address_space_copy_from(space.as, 0x10000, back, 0x2000, true), ==, MEM_OK);
    g_assert_cmpmem(buf, 0x2000, back, 0x2000);
    g_assert_cmpint(address_space_copy_to(space.as, 0x11000, buf, 0x3000, true), ==, MEM_ERROR);
    g_assert_cmphex(rd(&space, 0x12000, 8), ==, 0);
    g_assert_cmpint(address_space_write(space.as, 0x12000, 0xff, 1), ==, MEM_OK);
    g_assert_cmphex(rd(&space, 0x12000, 8), ==, 0);
    /* Over the end: the rest reads as ones and is told. */
    g_assert_cmpint(address_space_copy_from(space.as, 0x13000, back, 0x2000, true), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(back[0], ==, 0);
    g_assert_cmphex(back[0x1000], ==, 0xff);
    memory_region_destroy(&ram);
    memory_region_destroy(&rom);
    ram_block_unref(block);
    space_destroy(&space);
}

static void test_dma_reaches_ram_only(void)
{
    Space space;
    MemoryRegion ram;
    Probe io = { 0 };
    DmaContext dma;
    DmaMap map;
    RamBlock *block = ram_block_new_memfd("ram", 0x4000, true, NULL);
    uint32_t value;

    space_init(&space);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, 0x4000);
    memory_region_add(&space.root, 0, &ram, 0);
    memory_region_init_io(&io.mr, NULL, &probe_any, &io, "io", 0x1000);
    memory_region_add(&space.root, 0x4000, &io.mr, 0);
    dma_context_init(&dma, space.as);

    g_assert_cmpint(dma_write_le32(&dma, 0, 1), ==, MEM_DECODE_ERROR); /* no bus master */
    dma.enabled = true;
    g_assert_cmpint(dma_write_le32(&dma, 0, 0x12345678), ==, MEM_OK);
    g_assert_cmpint(dma_read_le32(&dma, 0, &value), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x12345678);
    g_assert_cmpint(dma_read_le32(&dma, 0x4000, &value), ==, MEM_DECODE_ERROR);
    g_assert_cmphex(value, ==, 0xffffffff);
    g_assert_cmpint(dma_write_le32(&dma, 0x3ffe, 0), ==, MEM_DECODE_ERROR);
    g_assert_cmpuint(io.count, ==, 0);

    dma_map_init(&map, &dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(&map, 0x1000, 0x1000));
    g_assert_true(dma_map_add(&map, 0x2000, 0x800)); /* adjoins: merged */
    g_assert_cmpuint(map.count, ==, 1);
    g_assert_true(dma_map_add(&map, 0x100, 0x10));
    g_assert_cmpuint(map.count, ==, 2);
    g_assert_false(dma_map_add(&map, 0x3000, 0x1001)); /* ends in the device */
    g_assert_cmpuint(map.count, ==, 2);
    g_assert_cmpuint(map.size, ==, 0x1810);
    g_assert_cmpuint(dma.mapped, ==, 1);
    /* The memory goes away under the transfer: the mapping stays until its end. */
    memory_region_destroy(&ram);
    ram_block_unref(block);
    memset(map.iov[0].iov_base, 0x55, map.iov[0].iov_len);
    dma_unmap(&map, 0x1810);
    g_assert_cmpuint(dma.mapped, ==, 0);
    g_assert_cmpuint(dma.write_bytes, ==, 4 + 0x1810);
    memory_region_destroy(&io.mr);
    space_destroy(&space);
}

static void test_dma_map_runs_out_of_entries(void)
{
    Space space;
    MemoryRegion ram;
    DmaContext dma;
    g_autofree DmaMap *map = g_new(DmaMap, 1);
    RamBlock *block = ram_block_new_memfd("ram", 0x400000, true, NULL);

    space_init(&space);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, 0x400000);
    memory_region_add(&space.root, 0, &ram, 0);
    dma_context_init(&dma, space.as);
    dma.enabled = true;
    dma_map_init(map, &dma, DMA_TO_DEVICE);
    for (unsigned i = 0; i < DMA_MAP_MAX; i++) {
        g_assert_true(dma_map_add(map, i * 0x2000, 0x1000));
    }
    g_assert_false(dma_map_add(map, DMA_MAP_MAX * 0x2000, 0x1000));
    g_assert_cmpuint(map->count, ==, DMA_MAP_MAX);
    g_assert_cmpuint(map->size, ==, DMA_MAP_MAX * 0x1000);
    dma_unmap(map, 0);
    memory_region_destroy(&ram);
    ram_block_unref(block);
    space_destroy(&space);
}

static void test_ram_block_refuses_what_is_no_memory(void)
{
    GError *error = NULL;
    int fd = memfd_create("x", 0);

    g_assert_cmpint(ftruncate(fd, 8192), ==, 0);
    g_assert_null(ram_block_new_take_fd("x", dup(fd), 4096, 4097, false, &error));
    g_assert_nonnull(strstr(error->message, "not inside the file"));
    g_clear_error(&error);
    g_assert_null(ram_block_new_take_fd("x", dup(fd), UINT64_MAX - 4095, 4096, false, &error));
    g_clear_error(&error);
    g_assert_null(ram_block_new_take_fd("x", dup(fd), 0, 0, false, &error));
    g_clear_error(&error);
    g_assert_null(ram_block_new_take_fd("x", eventfd(0, 0), 0, 4096, false, &error));
    g_assert_nonnull(strstr(error->message, "eventfd"));
    g_clear_error(&error);
    g_assert_null(ram_block_new_take_fd("x", open("/dev/null", O_RDWR), 0, 4096, false, &error));
    g_clear_error(&error);
    close(fd);
}

static void test_unaligned_offset_of_a_peer_is_mapped(void)
{
    int fd = memfd_create("x", 0);
    RamBlock *block;

    g_assert_cmpint(ftruncate(fd, 12288), ==, 0);
    g_assert_cmpint(pwrite(fd, "needle", 6, 5000), ==, 6);
    block = ram_block_new_take_fd("x", fd, 5000, 100, false, NULL);
    g_assert_nonnull(block);
    g_assert_cmpmem(block->host, 6, "needle", 6);
    ram_block_unref(block);
}

static void test_shrunk_file_reads_zero_and_is_told(void)
{
    int fd = memfd_create("x", 0);
    RamBlock *block;

    g_assert_cmpint(ftruncate(fd, 8192), ==, 0);
    block = ram_block_new_take_fd("x", dup(fd), 0, 8192, false, NULL);
    memset(block->host, 1, 8192);
    g_assert_cmpint(ftruncate(fd, 4096), ==, 0);
    g_assert_cmpint(block->host[0], ==, 1);
    g_assert_false(block->lost);
    g_assert_cmpint(*(volatile uint8_t *)&block->host[5000], ==, 0);
    g_assert_true(__atomic_load_n(&block->lost, __ATOMIC_RELAXED));
    ram_block_unref(block);
    close(fd);
}

static unsigned count_mappings(const char *name)
{
    g_autofree char *maps = NULL;
    unsigned count = 0;

    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    for (const char *p = strstr(maps, name); p; p = strstr(p + 1, name)) {
        count++;
    }
    return count;
}

/* A part of a huge page can be mapped, but neither unmapped nor replaced by zero pages alone. */
static void test_part_of_a_huge_page(void)
{
    const off_t huge = 2 << 20;
    int fd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB);
    RamBlock *block;
    void *probe;

    if (fd < 0 || ftruncate(fd, 2 * huge) < 0) {
        g_test_skip("no huge pages in this kernel");
        return;
    }
    probe = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (probe == MAP_FAILED) {
        g_test_skip("no huge pages free (sysctl vm.nr_hugepages)");
        close(fd);
        return;
    }
    munmap(probe, 2 * huge);
    block = ram_block_new_take_fd("part", dup(fd), 4096, 4096, false, NULL);
    g_assert_nonnull(block);
    g_assert_cmpuint(count_mappings("memfd:huge"), ==, 1);
    ram_block_unref(block);
    g_assert_cmpuint(count_mappings("memfd:huge"), ==, 0);

    block = ram_block_new_take_fd("part", dup(fd), huge - 4096, 8192, false, NULL);
    g_assert_nonnull(block);
    memset(block->host, 1, 8192);
    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_assert_cmpint(*(volatile uint8_t *)&block->host[5000], ==, 0);
    g_assert_true(__atomic_load_n(&block->lost, __ATOMIC_RELAXED));
    ram_block_unref(block);
    close(fd);
}

/* The order in which an owner destroys its regions is its own affair. */
static void test_container_may_go_before_its_parts(void)
{
    MemoryRegion outer, part;
    RamBlock *block = ram_block_new_memfd("part", 4096, true, NULL);
    AddressSpace *as;
    uint64_t value;

    memory_region_init(&outer, NULL, "outer", 0x10000);
    as = address_space_new(&outer, "outer");
    memory_region_init_ram(&part, NULL, "part", block, 0, 4096);
    memory_region_add(&outer, 0x1000, &part, 0);
    g_assert_cmpint(address_space_read(as, 0x1000, &value, 4), ==, MEM_OK);
    memory_region_destroy(&outer);
    g_assert_cmpint(address_space_read(as, 0x1000, &value, 4), ==, MEM_DECODE_ERROR);
    memory_region_destroy(&part);
    address_space_free(as);
    g_assert_cmpint(block->refs, ==, 1);
    ram_block_unref(block);
}

static int listener_calls;
static unsigned listener_ranges;

static void listener_changed(MemoryListener *listener, const FlatView *old, const FlatView *new_view)
{
    listener_calls++;
    listener_ranges = new_view->count;
}

static void test_listener_hears_changes_only(void)
{
    Space space;
    Probe io = { 0 };
    MemoryListener listener = { .changed = listener_changed };

    listener_calls = 0;
    space_init(&space);
    memory_listener_register(&listener, space.as);
    g_assert_cmpint(listener_calls, ==, 1);
    memory_region_init_io(&io.mr, NULL, &probe_any, &io, "io", 0x100);
    memory_transaction_begin();
    memory_region_add(&space.root, 0, &io.mr, 0);
    memory_region_set_address(&io.mr, 0x200);
    g_assert_cmpint(listener_calls, ==, 1);
    memory_transaction_commit();
    g_assert_cmpint(listener_calls, ==, 2);
    g_assert_cmpuint(listener_ranges, ==, 1);
    memory_transaction_begin();
    memory_region_set_address(&io.mr, 0x300);
    memory_region_set_address(&io.mr, 0x200);
    memory_transaction_commit();
    g_assert_cmpint(listener_calls, ==, 2); /* nothing changed in the end */
    memory_listener_unregister(&listener);
    memory_region_destroy(&io.mr);
    g_assert_cmpint(listener_calls, ==, 2);
    space_destroy(&space);
}

/* ---- several threads ------------------------------------------------------------------------------------------ */

typedef struct Hammer {
    Space *space;
    bool stop;
    uint64_t bad;
} Hammer;

static MemResult counter_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0x42;
    return MEM_OK;
}

static MemResult counter_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    return MEM_OK;
}

static const MemoryRegionOps unlocked_ops = { counter_read, counter_write, .max_size = 4, .unlocked = true };
static const MemoryRegionOps locked_ops = { counter_read, counter_write, .max_size = 4 };

static gpointer hammer_thread(gpointer data)
{
    Hammer *hammer = data;

    while (!__atomic_load_n(&hammer->stop, __ATOMIC_RELAXED)) {
        uint64_t a, b;

        address_space_read(hammer->space->as, 0x1000, &a, 4);
        address_space_read(hammer->space->as, 0x2000, &b, 4);
        if ((a != 0x42 && a != 0xffffffff) || (b != 0x42 && b != 0xffffffff)) {
            __atomic_fetch_add(&hammer->bad, 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static void test_readers_run_while_regions_come_and_go(void)
{
    Space space;
    Hammer hammer = { .space = &space };
    GThread *threads[3];

    machine_lock();
    space_init(&space);
    machine_unlock();
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = g_thread_new("reader", hammer_thread, &hammer);
    }
    for (unsigned i = 0; i < 300; i++) {
        MemoryRegion *unlocked = g_new(MemoryRegion, 1);
        MemoryRegion *locked = g_new(MemoryRegion, 1);

        machine_lock();
        memory_region_init_io(unlocked, NULL, &unlocked_ops, NULL, "unlocked", 0x100);
        memory_region_init_io(locked, NULL, &locked_ops, NULL, "locked", 0x100);
        memory_region_add(&space.root, 0x1000, unlocked, 0);
        memory_region_add(&space.root, 0x2000, locked, 0);
        machine_unlock();
        g_thread_yield();
        machine_lock();
        memory_region_destroy(unlocked);
        memory_region_destroy(locked);
        machine_unlock();
        g_free(unlocked);
        g_free(locked);
    }
    __atomic_store_n(&hammer.stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 3; i++) {
        g_thread_join(threads[i]);
    }
    g_assert_cmpuint(hammer.bad, ==, 0);
    machine_lock();
    space_destroy(&space);
    machine_unlock();
}

/* ---- backends ---------------------------------------------------------------------------------------------------- */

static QomObject *add_object(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-object", text, "qom-type", errp);

    return opts ? user_creatable_add(opts, errp) : NULL;
}

static void test_memory_backends(void)
{
    GError *error = NULL;
    g_autofree char *dir = g_dir_make_tmp("mpqemu-XXXXXX", NULL);
    g_autofree char *file_opts = g_strdup_printf("memory-backend-file,id=f,size=8K,share=on,mem-path=%s/ram", dir);
    g_autofree char *private_opts = g_strdup_printf("memory-backend-file,id=p,size=8K,mem-path=%s/ram", dir);
    g_autofree char *path = g_strdup_printf("%s/ram", dir);
    QomObject *obj;

    obj = add_object("memory-backend-memfd,id=m,size=1M", &error);
    g_assert_no_error(error);
    g_assert_cmpint(fcntl(MEMORY_BACKEND(obj)->block->fd, F_GET_SEALS), ==, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    obj = add_object("memory-backend-memfd,id=u,size=1M,seal=off", &error);
    g_assert_no_error(error);
    g_assert_cmpint(fcntl(MEMORY_BACKEND(obj)->block->fd, F_GET_SEALS), ==, F_SEAL_SEAL);
    obj = add_object(file_opts, &error);
    g_assert_no_error(error);
    g_assert_cmpint(MEMORY_BACKEND(obj)->block->fd, >=, 0);
    obj = add_object(private_opts, &error);
    g_assert_no_error(error);
    g_assert_cmpint(MEMORY_BACKEND(obj)->block->fd, ==, -1);

    g_assert_null(add_object("memory-backend-memfd,id=x,size=1000", &error));
    g_assert_nonnull(strstr(error->message, "size 1000"));
    g_clear_error(&error);
    g_assert_null(add_object("memory-backend-memfd,id=x", &error));
    g_clear_error(&error);
    g_assert_null(add_object("memory-backend-file,id=x,size=4K,mem-path=/nonexistent/y", &error));
    g_assert_nonnull(strstr(error->message, "/nonexistent/y"));
    g_clear_error(&error);
    MEMORY_BACKEND(qom_resolve("/objects/m"))->mapped = true;
    g_assert_false(user_creatable_del("m", &error));
    g_clear_error(&error);
    MEMORY_BACKEND(qom_resolve("/objects/m"))->mapped = false;
    g_assert_true(user_creatable_del("m", NULL));
    g_assert_true(user_creatable_del("u", NULL));
    g_assert_true(user_creatable_del("f", NULL));
    g_assert_true(user_creatable_del("p", NULL));
    unlink(path);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = { memory_backend_memfd_get_type, memory_backend_file_get_type, NULL };

    g_test_init(&argc, &argv, NULL);
    qom_register_types(types);
    ram_guard_install();
    g_test_add_func("/memory/unassigned-reads-all-ones", test_unassigned_reads_all_ones);
    g_test_add_func("/memory/priorities-and-gaps", test_priorities_and_gaps);
    g_test_add_func("/memory/aliases", test_aliases);
    g_test_add_func("/memory/access-sizes", test_access_sizes);
    g_test_add_func("/memory/narrow-write-is-refused", test_narrow_write_is_refused);
    g_test_add_func("/memory/direct-region-access-is-bounded", test_direct_region_access_is_bounded);
    g_test_add_func("/memory/ram-and-rom", test_ram_and_rom);
    g_test_add_func("/memory/dma-reaches-ram-only", test_dma_reaches_ram_only);
    g_test_add_func("/memory/dma-map-runs-out-of-entries", test_dma_map_runs_out_of_entries);
    g_test_add_func("/memory/ram-block-refuses-what-is-no-memory", test_ram_block_refuses_what_is_no_memory);
    g_test_add_func("/memory/unaligned-offset-of-a-peer-is-mapped", test_unaligned_offset_of_a_peer_is_mapped);
    g_test_add_func("/memory/shrunk-file-reads-zero-and-is-told", test_shrunk_file_reads_zero_and_is_told);
    g_test_add_func("/memory/part-of-a-huge-page", test_part_of_a_huge_page);
    g_test_add_func("/memory/container-may-go-before-its-parts", test_container_may_go_before_its_parts);
    g_test_add_func("/memory/listener-hears-changes-only", test_listener_hears_changes_only);
    g_test_add_func("/memory/readers-run-while-regions-come-and-go", test_readers_run_while_regions_come_and_go);
    g_test_add_func("/memory/backends", test_memory_backends);
    return g_test_run();
}
