/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: the memory table.
 *
 * Runs in: tests
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/remote/memory-table.h"
#include "remote-rig.h"
#include "under-valgrind.h"
#include "util/fd.h"

static void make_sync(MpqemuMsg *msg, const Range *ranges, unsigned count)
{
    *msg = (MpqemuMsg) { .cmd = MPQEMU_CMD_SYNC_SYSMEM, .num_fds = count };
    for (unsigned i = 0; i < count; i++) {
        msg->sync.gpas[i] = ranges[i].gpa;
        msg->sync.sizes[i] = ranges[i].size;
        msg->sync.offsets[i] = ranges[i].offset;
        msg->fds[i] = fd_dup(ranges[i].fd);
    }
}

static bool apply(MemoryTable *table, const Range *ranges, unsigned count, GError **errp)
{
    MpqemuMsg msg;
    bool ok;

    make_sync(&msg, ranges, count);
    ok = memory_table_apply(table, &msg, errp);
    mpqemu_msg_clear(&msg);
    return ok;
}

static void apply_ok(MemoryTable *table, const Range *ranges, unsigned count)
{
    g_autoptr(GError) err = NULL;

    apply(table, ranges, count, &err);
    g_assert_no_error(err);
}

/* The table must refuse RANGES with a message that holds WORDS, and be empty then. */
static void apply_refused(MemoryTable *table, const Range *ranges, unsigned count, const char *words)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(apply(table, ranges, count, &err));
    g_assert_nonnull(strstr(err->message, words));
    g_assert_cmpuint(memory_table_count(table), ==, 0);
}

static uint32_t read32(MemoryTable *table, uint64_t addr, MemResult expected)
{
    uint32_t value = 0;

    g_assert_cmpint(address_space_copy_from(memory_table_as(table), addr, &value, sizeof(value), true), ==, expected);
    return value;
}

/* Where ADDR of the table is mapped in this process. */
static void *mapping(MemoryTable *table, uint64_t addr)
{
    RamBlock *block = NULL;
    uint64_t len = 1;
    void *host = address_space_map_ram(memory_table_as(table), addr, &len, true, &block);

    ram_block_unref(block);
    return host;
}

static void test_table_eight(void)
{
    MemoryTable *table = memory_table_new("test");
    Range ranges[MPQEMU_FDS_MAX];
    unsigned fds;

    for (unsigned i = 0; i < MPQEMU_FDS_MAX; i++) {
        uint32_t mark = 0xa0 + i;

        ranges[i] = (Range) { .gpa = i * 0x100000, .size = 2 * PAGE, .offset = i * PAGE,
                              .fd = make_memfd((i + 2) * PAGE) };
        g_assert_cmpint(pwrite(ranges[i].fd, &mark, 4, (off_t)(i * PAGE)), ==, 4);
    }
    fds = count_fds();
    apply_ok(table, ranges, MPQEMU_FDS_MAX);
    g_assert_cmpuint(memory_table_count(table), ==, MPQEMU_FDS_MAX);
    for (unsigned i = 0; i < MPQEMU_FDS_MAX; i++) {
        g_assert_cmpuint(read32(table, ranges[i].gpa, MEM_OK), ==, 0xa0 + i);
        read32(table, ranges[i].gpa + 2 * PAGE, MEM_DECODE_ERROR);
    }
    apply_ok(table, NULL, 0);
    g_assert_false(memory_table_draining(table));
    g_assert_cmpuint(count_fds(), ==, fds);
    read32(table, 0, MEM_DECODE_ERROR);
    for (unsigned i = 0; i < MPQEMU_FDS_MAX; i++) {
        close(ranges[i].fd);
    }
    memory_table_free(table);
}

static void test_table_unaligned(void)
{
    MemoryTable *table = memory_table_new("test");
    auto_fd fd = make_memfd(4 * PAGE);
    Range range = { .gpa = 0x12344, .size = 5000, .offset = 123, .fd = fd };
    uint32_t mark = 0x5eed;

    g_assert_cmpint(pwrite(fd, &mark, 4, 123 + 16), ==, 4);
    apply_ok(table, &range, 1);
    g_assert_cmpuint(read32(table, 0x12354, MEM_OK), ==, 0x5eed);
    read32(table, 0x12344 + 5000 - 4, MEM_OK);
    read32(table, 0x12344 + 5000 - 3, MEM_DECODE_ERROR);
    memory_table_free(table);
}

static void test_table_refuses(void)
{
    MemoryTable *table = memory_table_new("test");
    unsigned fds = count_fds();
    auto_fd fd = make_memfd(16 * PAGE);
    auto_fd event = eventfd(0, EFD_CLOEXEC);
    auto_fd zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
    struct stat st;
    const struct {
        Range ranges[2];
        unsigned count;
        const char *words;
    } cases[] = {
        { { { 0, 2 * PAGE, 0, fd }, { PAGE, PAGE, 0, fd } }, 2, "overlap" },
        { { { PAGE, PAGE, 0, fd }, { 0, 4 * PAGE, 0, fd } }, 2, "overlap" },
        { { { PAGE, PAGE, 0, fd }, { PAGE, PAGE, 0, fd } }, 2, "overlap" },
        { { { 0, PAGE, 0, fd }, { PAGE, 0, 0, fd } }, 2, "empty" },
        { { { UINT64_MAX - PAGE + 1, 2 * PAGE, 0, fd } }, 1, "limit" },
        { { { MEMORY_TABLE_LIMIT, PAGE, 0, fd } }, 1, "limit" },
        { { { 0, MEMORY_TABLE_LIMIT + PAGE, 0, fd } }, 1, "limit" },
        { { { 0, 17 * PAGE, 0, fd } }, 1, "inside the file" },
        { { { 0, PAGE, 16 * PAGE, fd } }, 1, "inside the file" },
        { { { 0, PAGE, INT64_MAX - PAGE + 1, fd } }, 1, "inside the file" },
        { { { 0, PAGE, 0, event } }, 1, "eventfd" },
        { { { 0, PAGE, 0, zero } }, 1, "character device" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Range good = { .gpa = 0, .size = PAGE, .offset = 0, .fd = fd };

        apply_ok(table, &good, 1);
        apply_refused(table, cases[i].ranges, cases[i].count, cases[i].words);
        read32(table, 0, MEM_DECODE_ERROR);
    }
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 16 * PAGE); /* never grown */
    g_assert_false(memory_table_draining(table));
    memory_table_free(table);
    fd_close(&fd);
    fd_close(&event);
    fd_close(&zero);
    g_assert_cmpuint(count_fds(), ==, fds);
}

static void test_table_limit(void)
{
#ifdef __SANITIZE_THREAD__
    g_test_skip("ThreadSanitizer's own memory map leaves no certain room for 1 TiB");
    return;
#endif
    if (skip_under_valgrind("it has less than 1 TiB of address space for the program")) {
        return;
    }
    MemoryTable *table = memory_table_new("test");
    auto_fd fd = make_memfd(MEMORY_TABLE_BYTES); /* sparse */
    Range ranges[] = { { MEMORY_TABLE_LIMIT - PAGE, PAGE, 0, fd }, { 0, MEMORY_TABLE_BYTES - PAGE, 0, fd } };

    apply_ok(table, ranges, 2);
    read32(table, MEMORY_TABLE_LIMIT - 4, MEM_OK);
    read32(table, MEMORY_TABLE_BYTES - PAGE - 4, MEM_OK);
    ranges[1].size++;
    apply_refused(table, ranges, 2, "together");
    memory_table_free(table);
}

static void test_table_keeps(void)
{
    MemoryTable *table = memory_table_new("test");
    auto_fd a = make_memfd(4 * PAGE);
    auto_fd b = make_memfd(4 * PAGE);
    Range ranges[] = { { 0, 4 * PAGE, 0, a }, { 0x100000, 4 * PAGE, 0, b } };
    Range moved = { 0, 4 * PAGE, 0, b };
    void *first, *second;

    apply_ok(table, ranges, 2);
    first = mapping(table, 0);
    second = mapping(table, 0x100000);
    apply_ok(table, ranges, 2);
    g_assert_true(mapping(table, 0) == first && mapping(table, 0x100000) == second);
    g_assert_false(memory_table_draining(table));

    /* Same address and size, another file: must not be taken for the old one. */
    apply_ok(table, &moved, 1);
    g_assert_cmpint(pwrite(b, "bbbb", 4, 0), ==, 4);
    g_assert_cmphex(read32(table, 0, MEM_OK), ==, 0x62626262);
    read32(table, 0x100000, MEM_DECODE_ERROR);
    memory_table_free(table);
}

static void test_table_shrunk(void)
{
    MemoryTable *table = memory_table_new("test");
    auto_fd fd = make_memfd(4 * PAGE);
    Range range = { .gpa = 0, .size = 4 * PAGE, .offset = 0, .fd = fd };

    apply_ok(table, &range, 1);
    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    read32(table, 2 * PAGE, MEM_OK); /* zeroes or an error would do; a SIGBUS would not */
    apply_refused(table, &range, 1, "inside the file");

    /* Regrown: the old mapping has lost its page for good, the new table must see the file again. */
    g_assert_cmpint(ftruncate(fd, 4 * PAGE), ==, 0);
    apply_ok(table, &range, 1);
    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    read32(table, 2 * PAGE, MEM_OK);
    g_assert_cmpint(ftruncate(fd, 4 * PAGE), ==, 0);
    g_assert_cmpint(pwrite(fd, "file", 4, 2 * PAGE), ==, 4);
    apply_ok(table, &range, 1);
    g_assert_cmphex(read32(table, 2 * PAGE, MEM_OK), ==, 0x656c6966);
    memory_table_free(table);
}

static void test_table_draining(void)
{
    MemoryTable *table = memory_table_new("test");
    auto_fd fd = make_memfd(4 * PAGE);
    Range range = { .gpa = 0, .size = 4 * PAGE, .offset = 0, .fd = fd };
    DmaContext dma;
    g_autofree DmaMap *map = g_new0(DmaMap, 1);

    apply_ok(table, &range, 1);
    dma_context_init(&dma, memory_table_as(table));
    dma.enabled = true;
    dma_map_init(map, &dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, PAGE, PAGE));
    g_assert_false(memory_table_draining(table));
    apply_ok(table, NULL, 0);
    g_assert_true(memory_table_draining(table));
    memset(map->iov[0].iov_base, 0x77, PAGE); /* still mapped */
    dma_unmap(map, PAGE);
    g_assert_false(memory_table_draining(table));
    memory_table_free(table);
}

static void add_tests(void)
{
    g_test_add_func("/memory-table/maps-eight-ranges", test_table_eight);
    g_test_add_func("/memory-table/maps-unaligned-ranges", test_table_unaligned);
    g_test_add_func("/memory-table/refusal-leaves-an-empty-table", test_table_refuses);
    g_test_add_func("/memory-table/maps-up-to-the-limits", test_table_limit);
    g_test_add_func("/memory-table/keeps-what-is-unchanged", test_table_keeps);
    g_test_add_func("/memory-table/survives-a-shrunk-file", test_table_shrunk);
    g_test_add_func("/memory-table/drains-when-the-last-transfer-ends", test_table_draining);
}

int main(int argc, char **argv)
{
    return remote_rig_main(argc, argv, add_tests);
}
