/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the device side: interrupt hub, memory table, link server.
 *
 * The peer of a link is tests/unit/remote-rig.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "under-valgrind.h"
#include "hw/remote/iohub.h"
#include "hw/remote/memory-table.h"
#include "hw/remote/pci-host.h"
#include "remote-rig.h"
#include "util/error.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define KIB 1024ull

static EventLoop *loop;

/* Events that wait in a non-blocking eventfd; takes them. */
static uint64_t take_events(int fd)
{
    uint64_t count = 0;

    return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

static void add_events(int fd, uint64_t count)
{
    g_assert_cmpint(write(fd, &count, sizeof(count)), ==, sizeof(count));
}

/* ---- interrupt hub -------------------------------------------------------------------------------------------- */

typedef struct HubFixture {
    IoHub hub;
    int irq;      /* our own copies of the pair */
    int resample;
} HubFixture;

static void hub_give_pair(HubFixture *f)
{
    f->irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    g_assert_cmpint(iohub_set_fds_take_fd(&f->hub, fd_dup(f->irq), fd_dup(f->resample)), ==, 0);
}

static void hub_setup(HubFixture *f, gconstpointer data)
{
    iohub_init(&f->hub);
    hub_give_pair(f);
}

static void hub_teardown(HubFixture *f, gconstpointer data)
{
    iohub_reset(&f->hub);
    close(f->irq);
    close(f->resample);
}

static void test_hub_edge(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    iohub_set_level(&f->hub, 0, false);
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

/* One eventfd as both of the pair: each signal would ask for the next one, for ever. */
static void test_hub_one_eventfd(HubFixture *f, gconstpointer data)
{
    auto_fd both = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    g_assert_cmpint(iohub_set_fds_take_fd(&f->hub, fd_dup(both), fd_dup(both)), ==, 0);
    iohub_set_level(&f->hub, 0, true);
    turn();
    g_assert_null(f->hub.irq);
    g_assert_cmpuint(f->hub.raised, <, 100);
    g_assert_false(event_loop_turn(loop, false));
    /* An honest pair works again. */
    close(f->irq);
    close(f->resample);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

static void test_hub_level_is_no_count(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    iohub_set_level(&f->hub, 0, true);
    iohub_set_level(&f->hub, 0, false);
    take_events(f->irq);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
}

static void test_hub_sources(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 3, true);
    iohub_set_level(&f->hub, IOHUB_SOURCES - 1, true);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, 3, false);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    iohub_set_level(&f->hub, IOHUB_SOURCES - 1, false);
    add_events(f->resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
}

static void test_hub_resample(HubFixture *f, gconstpointer data)
{
    iohub_set_level(&f->hub, 0, true);
    take_events(f->irq);
    for (int i = 0; i < 3; i++) {
        add_events(f->resample, 1);
        turn();
        g_assert_cmpuint(take_events(f->irq), ==, 1);
    }
    g_assert_cmpuint(f->hub.resampled, ==, 3);
}

static void test_hub_replace(HubFixture *f, gconstpointer data)
{
    unsigned fds = count_fds();
    int old_irq = f->irq, old_resample = f->resample;

    iohub_set_level(&f->hub, 0, true);
    take_events(old_irq);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    g_assert_cmpuint(take_events(old_irq), ==, 0);
    add_events(old_resample, 1);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 0);
    close(old_irq);
    close(old_resample);
    g_assert_cmpuint(count_fds(), ==, fds);
}

static void test_hub_late_pair(HubFixture *f, gconstpointer data)
{
    iohub_reset(&f->hub);
    iohub_set_level(&f->hub, 0, true);
    close(f->irq);
    close(f->resample);
    hub_give_pair(f);
    g_assert_cmpuint(take_events(f->irq), ==, 1);
}

/* A peer may make its eventfds blocking, fill one and empty the other: none may make us wait. */
static void test_hub_blocking(HubFixture *f, gconstpointer data)
{
    fd_set_nonblock(f->irq, false);
    fd_set_nonblock(f->resample, false);
    add_events(f->irq, UINT64_MAX - 1);
    iohub_set_level(&f->hub, 0, true);
    g_assert_cmpuint(f->hub.dropped, ==, 0);
    g_assert_cmpuint(take_events(f->irq), ==, UINT64_MAX); /* the kernel's own signal stops at the maximum */
    g_assert_cmpint(fcntl(f->irq, F_GETFL) & O_NONBLOCK, ==, 0);
    add_events(f->resample, 5);
    turn();
    g_assert_cmpuint(take_events(f->irq), ==, 1);
    g_assert_cmpuint(f->hub.resampled, ==, 1);
}

/* ---- memory table --------------------------------------------------------------------------------------------- */

typedef struct Range {
    uint64_t gpa, size, offset;
    int fd; /* the test's; the table gets a copy */
} Range;

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

/* ---- link server ---------------------------------------------------------------------------------------------- */

static void send_sync(ServerFixture *f, const Range *ranges, unsigned count)
{
    uint64_t payload[24] = { 0 };
    uint8_t wire[16 + 192];
    int fds[16];

    for (unsigned i = 0; i < count; i++) {
        payload[i % 8] = ranges[i].gpa;
        payload[8 + i % 8] = ranges[i].size;
        payload[16 + i % 8] = ranges[i].offset;
        fds[i] = ranges[i].fd;
    }
    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SYNC_SYSMEM, payload, sizeof(payload)), fds, count);
}

static void test_server_config(ServerFixture *f, gconstpointer data)
{
    assert_alive(f);
    for (unsigned addr = 253; addr < 256; addr++) {
        g_assert_cmphex(config(f, false, addr, 0, 1), ==, 0);
    }
    g_assert_cmphex(config(f, false, 254, 0, 2), ==, 0);
    g_assert_cmphex(config(f, false, 256, 0, 1), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 254, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(config(f, true, 255, 0, 2), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 0, 0, 3), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, 0, 0, 256), ==, UINT64_MAX);
    g_assert_cmphex(config(f, false, UINT32_MAX, 0, 4), ==, UINT64_MAX);
    assert_alive(f);
}

static void test_server_bar(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(4 * PAGE);
    Range range = { .gpa = 0, .size = 4 * PAGE, .offset = 0, .fd = fd };
    uint32_t ram = 0;

    g_assert_cmphex(bar(f, true, true, MEM_BASE, 0x1122334455667788, 8), ==, 0);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 8), ==, 0x1122334455667788);
    g_assert_cmphex(bar(f, false, false, IO_BASE, 0, 4), ==, 0x55667788);
    /* Nothing there, another space, beyond the end, across it, bad sizes: an error, and on it goes. */
    g_assert_cmphex(bar(f, false, true, 0x1000, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, IO_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, MEM_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, IO_BASE + 256, 0, 1), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, true, true, MEM_BASE + PAGE - 4, 0, 8), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 3), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 16), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, true, UINT64_MAX, 0, 8), ==, UINT64_MAX);

    /* Guest RAM is no BAR. */
    send_sync(f, &range, 1);
    g_assert_cmphex(bar(f, true, true, 0x100, 0x41414141, 4), ==, UINT64_MAX);
    g_assert_cmpint(pread(fd, &ram, 4, 0x100), ==, 4);
    g_assert_cmphex(ram, ==, 0);

    /* The command register decides. */
    config(f, true, PCI_COMMAND, PCI_COMMAND_IO, 2);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, UINT64_MAX);
    g_assert_cmphex(bar(f, false, false, IO_BASE, 0, 4), ==, 0x55667788);
    assert_alive(f);
}

/* Two functions with BARs and RAM at the same addresses on two links see each their own. */
static void test_server_neighbours(ServerFixture *f, gconstpointer data)
{
    ServerFixture other = { 0 };
    auto_fd fd = make_memfd(PAGE);
    Range range = { .gpa = 0, .size = PAGE, .offset = 0, .fd = fd };
    uint32_t value;

    server_setup(&other, NULL);
    bar(f, true, true, MEM_BASE, 1, 4);
    bar(&other, true, true, MEM_BASE, 2, 4);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, 1);
    g_assert_cmphex(bar(&other, false, true, MEM_BASE, 0, 4), ==, 2);

    send_sync(&other, &range, 1);
    assert_alive(&other);
    g_assert_cmpint(dma_read_le32(&other.dev->pci.dma, 0, &value), ==, MEM_OK);
    g_assert_cmpint(dma_read_le32(&f->dev->pci.dma, 0, &value), ==, MEM_DECODE_ERROR);

    /* A neighbour that breaks the protocol ends alone. */
    send_msg(&other, 99, NULL, 0);
    turn();
    g_assert_cmpuint(other.ends, ==, 1);
    g_assert_cmpint(other.how, ==, LINK_SERVER_END_PROTOCOL);
    g_assert_cmpuint(f->ends, ==, 0);
    assert_alive(f);
    g_assert_cmphex(bar(f, false, true, MEM_BASE, 0, 4), ==, 1);
    server_teardown(&other, NULL);
}

static void test_server_one_object_per_device(ServerFixture *f, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    unsigned fds = count_fds();
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_assert_null(link_server_new_take_fd(pair[1], &f->dev->pci, "second", server_ended, f, &err));
    g_assert_nonnull(strstr(err->message, "served"));
    close(pair[0]);
    g_assert_cmpuint(count_fds(), ==, fds);
    assert_alive(f);
}

static void test_server_reset(ServerFixture *f, gconstpointer data)
{
    unsigned resets = f->dev->resets;
    uint8_t wire[16 + 8];
    uint64_t size;

    bar(f, true, true, MEM_BASE, 7, 4);
    send_msg(f, MPQEMU_CMD_DEVICE_RESET, NULL, 0);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), ==, 16);
    memcpy(&size, wire + 8, 8);
    g_assert_cmpuint(size, ==, 0);
    g_assert_cmpuint(f->dev->resets, ==, resets + 1);
    g_assert_cmphex(config(f, false, PCI_COMMAND, 0, 2), ==, 0);
    assert_alive(f);
}

static void test_server_interrupt(ServerFixture *f, gconstpointer data)
{
    auto_fd irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int fds[2] = { irq, resample };
    uint8_t wire[16 + 192];

    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SET_IRQFD, NULL, 0), fds, 2);
    bar(f, true, true, MEM_BASE + 8, 1, 4);
    g_assert_cmpuint(take_events(irq), ==, 1);
    add_events(resample, 1);
    turn();
    g_assert_cmpuint(take_events(irq), ==, 1);
    bar(f, true, true, MEM_BASE + 8, 0, 4);
    add_events(resample, 1);
    turn();
    g_assert_cmpuint(take_events(irq), ==, 0);

    /* Interrupt disable of the command register. */
    config(f, true, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE, 2);
    bar(f, true, true, MEM_BASE + 8, 1, 4);
    g_assert_cmpuint(take_events(irq), ==, 0);
    config(f, true, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    g_assert_cmpuint(take_events(irq), ==, 1);
}

/* Memory that is in use: the reply to what follows the SYNC_SYSMEM waits for the transfer. */
static void test_server_barrier(ServerFixture *f, gconstpointer data)
{
    auto_fd a = make_memfd(PAGE);
    auto_fd b = make_memfd(PAGE);
    Range first = { 0, PAGE, 0, a }, second = { 0, PAGE, 0, b };
    g_autofree DmaMap *map = g_new0(DmaMap, 1);
    uint32_t payload[3] = { 0, 0, 4 };
    uint64_t value;

    send_sync(f, &first, 1);
    assert_alive(f);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));

    send_sync(f, &second, 1);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    dma_unmap(map, 0);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(loop, true); /* the server's timer ends the wait */
    }
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0x56781234);
}

/* Waits until the server leaves DRAINING by its timer. */
static void wait_drained(ServerFixture *f)
{
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(loop, true);
    }
}

/* A transfer that the guest believes to be over, but the host still works on. */
static DmaMap *abandoned_transfer(ServerFixture *f)
{
    DmaMap *map = g_new0(DmaMap, 1);

    g_assert_cmpuint(config(f, true, PCI_COMMAND, PCI_COMMAND_MASTER, 2), ==, 0);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));
    assert_alive(f); /* a transfer at work delays nothing */
    dma_map_abandon(map);
    dma_map_abandon(map);
    g_assert_cmpuint(f->dev->pci.dma.abandoned, ==, 1);
    return map;
}

/* The guest sees no answer, that to a reset included, before the device is done with its memory. */
static void test_server_abandoned(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *map = NULL;
    uint8_t wire[16 + 8];
    uint64_t value;

    send_sync(f, &range, 1);
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    dma_unmap(map, 64);
    g_assert_cmpuint(f->dev->pci.dma.abandoned, ==, 0);
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
    g_assert_cmphex(value, ==, 0x56781234);
    assert_alive(f);

    g_free(g_steal_pointer(&map));
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_DEVICE_RESET, NULL, 0);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), <, 0);
    dma_unmap(map, 0);
    wait_drained(f);
    turn();
    g_assert_cmpint(recv(f->peer, wire, sizeof(wire), MSG_DONTWAIT), ==, 16);
    assert_alive(f);
}

/* A disk that hangs delays one answer; the link goes on as ever until something new is given up. */
static void test_server_abandoned_limit(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *hung = NULL, *other = NULL;
    uint64_t value;

    send_sync(f, &range, 1);
    hung = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
    assert_alive(f);
    send_sync(f, NULL, 0);
    turn();
    wait_drained(f);
    send_sync(f, &range, 1);
    assert_alive(f); /* the hung transfer's old memory is not waited for again */
    other = g_new0(DmaMap, 1);
    dma_map_init(other, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(other, 0, 64));
    dma_map_abandon(other);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    g_assert_false(take_reply(f, &value));
    dma_unmap(hung, 0);
    dma_unmap(other, 0);
    wait_drained(f);
    g_assert_true(take_reply(f, &value));
}

/* The link may end while a reply is held. */
static void test_server_abandoned_end(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range range = { 0, PAGE, 0, fd };
    uint32_t payload[3] = { 0, 0, 4 };
    g_autofree DmaMap *map = NULL;

    send_sync(f, &range, 1);
    map = abandoned_transfer(f);
    send_msg(f, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    turn();
    close(f->peer);
    f->peer = -1;
    dma_unmap(map, 0);
    wait_drained(f);
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_ENDED);
}

/* A transfer that never ends holds the link up for a limited time only. */
static void test_server_barrier_limit(ServerFixture *f, gconstpointer data)
{
    auto_fd a = make_memfd(PAGE);
    auto_fd b = make_memfd(PAGE);
    Range first = { 0, PAGE, 0, a }, second = { 0, PAGE, 0, b };
    g_autofree DmaMap *map = g_new0(DmaMap, 1);
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);

    send_sync(f, &first, 1);
    assert_alive(f);
    dma_map_init(map, &f->dev->pci.dma, DMA_FROM_DEVICE);
    g_assert_true(dma_map_add(map, 0, 64));
    send_sync(f, &second, 1);
    turn();
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_DRAINING);
    while (link_server_state(f->server) == LINK_SERVER_DRAINING) {
        event_loop_turn(loop, true);
    }
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 5 * G_GINT64_CONSTANT(1000000000));
    assert_alive(f);
    dma_unmap(map, 0);
}

/* A peer that sends and never reads: we stop, keep nothing, and go on when it reads. */
static void test_server_unread_replies(ServerFixture *f, gconstpointer data)
{
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    unsigned sent = 0, received = 0;
    uint64_t value;

    for (bool progress = true; progress;) {
        progress = false;
        while (send(f->peer, wire, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size) {
            sent++;
            progress = true;
        }
        for (unsigned i = 0; event_loop_turn(loop, false); i++) {
            g_assert_cmpuint(i, <, 100000); /* else it spins */
        }
    }
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_BLOCKED);
    while (take_reply(f, &value)) {
        g_assert_cmphex(value, ==, 0x56781234);
        received++;
    }
    g_assert_cmpuint(received, ==, sent);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_SERVING);
    assert_alive(f);
}

/* The peer dies while we wait for it to read. */
static void test_server_blocked_peer_dies(ServerFixture *f, gconstpointer data)
{
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));

    while (link_server_state(f->server) != LINK_SERVER_BLOCKED) {
        send(f->peer, wire, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        turn();
    }
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_LOST);
}

/* One link's flood does not starve another. */
static void test_server_fair(ServerFixture *f, gconstpointer data)
{
    ServerFixture other = { 0 };
    uint32_t payload[3] = { 0, 0, 4 };
    uint8_t wire[16 + 192];
    size_t size = encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    char reply[24];
    unsigned answered = 0;
    int turns;

    server_setup(&other, NULL);
    for (int i = 0; i < 140; i++) {
        g_assert_cmpint(send(f->peer, wire, size, 0), ==, size);
    }
    g_assert_cmpint(send(other.peer, wire, size, 0), ==, size);
    for (turns = 0; recv(other.peer, reply, sizeof(reply), MSG_DONTWAIT) < 0; turns++) {
        g_assert_cmpint(turns, <, 3);
        event_loop_turn(loop, false);
    }
    while (recv(f->peer, reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply)) {
        answered++;
    }
    g_assert_cmpuint(answered, <, 60);
    turn();
    while (recv(f->peer, reply, sizeof(reply), MSG_DONTWAIT) == (ssize_t)sizeof(reply)) {
        answered++;
    }
    g_assert_cmpuint(answered, ==, 140);
    server_teardown(&other, NULL);
}

/* What came by the link goes with it: descriptors, RAM, interrupt; the device is reset. */
static void test_server_end_frees(ServerFixture *f, gconstpointer data)
{
    auto_fd irq = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    auto_fd fd = make_memfd(PAGE);
    Range range = { .gpa = 0, .size = PAGE, .offset = 0, .fd = fd };
    int fds[2] = { irq, resample };
    uint8_t wire[16 + 192];
    unsigned open_before, resets = f->dev->resets;
    uint32_t value;

    g_assert_cmpint(eventfd_signal_init(), ==, 0); /* the ring of all interrupts stays */
    open_before = count_fds();
    send_sync(f, &range, 1);
    send_bytes(f, wire, encode(wire, MPQEMU_CMD_SET_IRQFD, NULL, 0), fds, 2);
    assert_alive(f);
    g_assert_cmpuint(count_fds(), ==, open_before + 3); /* RAM, irq, resample */
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_EOF);
    g_assert_cmpint(link_server_state(f->server), ==, LINK_SERVER_ENDED);
    g_assert_cmpuint(f->dev->resets, ==, resets + 1);
    g_assert_cmpuint(count_fds(), ==, open_before - 2); /* both ends of the link too */
    f->dev->pci.dma.enabled = true;
    g_assert_cmpint(dma_read_le32(&f->dev->pci.dma, 0, &value), ==, MEM_DECODE_ERROR);
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
}

static void test_server_bad_tables(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range nine[9], overlap[2] = { { 0, PAGE, 0, fd }, { 0, PAGE, 0, fd } };
    unsigned open_before = count_fds();

    for (unsigned i = 0; i < 9; i++) {
        nine[i] = (Range) { i * PAGE, PAGE, 0, fd };
    }
    if (GPOINTER_TO_UINT(data) == 9) {
        send_sync(f, nine, 9);
    } else {
        send_sync(f, overlap, 2);
    }
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_PROTOCOL);
    g_assert_cmpuint(count_fds(), ==, open_before - 1); /* the server's end of the link */
}

static void test_server_eight_ranges(ServerFixture *f, gconstpointer data)
{
    auto_fd fd = make_memfd(PAGE);
    Range eight[8];

    for (unsigned i = 0; i < 8; i++) {
        eight[i] = (Range) { i * PAGE, PAGE, 0, fd };
    }
    send_sync(f, eight, 8);
    assert_alive(f);
    g_assert_cmpuint(f->ends, ==, 0);
}

static void test_server_half_message(ServerFixture *f, gconstpointer data)
{
    uint8_t wire[16 + 192];
    uint32_t payload[3] = { 0, 0, 4 };

    encode(wire, MPQEMU_CMD_PCI_CFGREAD, payload, sizeof(payload));
    send_bytes(f, wire, 20, NULL, 0);
    turn();
    g_assert_cmpuint(f->ends, ==, 0);
    close(f->peer);
    f->peer = -1;
    turn();
    g_assert_cmpuint(f->ends, ==, 1);
    g_assert_cmpint(f->how, ==, LINK_SERVER_END_LOST);
}

int main(int argc, char **argv)
{
    int ret;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    ram_guard_install();
    loop = event_loop_main();
    remote_pci_host_new();

#define HUB(name, fn) g_test_add("/iohub/" name, HubFixture, NULL, hub_setup, fn, hub_teardown)
    HUB("raises-once-per-rising-edge", test_hub_edge);
    HUB("level-is-not-a-count", test_hub_level_is_no_count);
    HUB("line-is-the-or-of-its-sources", test_hub_sources);
    HUB("resample-raises-again-while-high", test_hub_resample);
    HUB("second-pair-replaces-and-raises", test_hub_replace);
    HUB("level-waits-for-the-first-pair", test_hub_late_pair);
    HUB("hostile-eventfds-never-block", test_hub_blocking);
    HUB("one-eventfd-as-a-pair-does-not-spin", test_hub_one_eventfd);

    g_test_add_func("/memory-table/maps-eight-ranges", test_table_eight);
    g_test_add_func("/memory-table/maps-unaligned-ranges", test_table_unaligned);
    g_test_add_func("/memory-table/refusal-leaves-an-empty-table", test_table_refuses);
    g_test_add_func("/memory-table/maps-up-to-the-limits", test_table_limit);
    g_test_add_func("/memory-table/keeps-what-is-unchanged", test_table_keeps);
    g_test_add_func("/memory-table/survives-a-shrunk-file", test_table_shrunk);
    g_test_add_func("/memory-table/drains-when-the-last-transfer-ends", test_table_draining);

#define SERVER(name, fn, data) \
    g_test_add("/link-server/" name, ServerFixture, GUINT_TO_POINTER(data), server_setup, fn, server_teardown)
    SERVER("config-access-is-checked-exactly", test_server_config, 0);
    SERVER("bar-access-hits-own-bars-only", test_server_bar, 0);
    SERVER("links-never-meet", test_server_neighbours, 0);
    SERVER("a-device-has-one-link", test_server_one_object_per_device, 0);
    SERVER("reset-is-answered-empty", test_server_reset, 0);
    SERVER("interrupts-reach-the-eventfd", test_server_interrupt, 0);
    SERVER("reply-waits-for-transfers", test_server_barrier, 0);
    SERVER("reply-waits-for-a-limited-time", test_server_barrier_limit, 0);
    SERVER("reply-waits-for-abandoned-transfers", test_server_abandoned, 0);
    SERVER("abandoned-transfers-are-waited-for-once", test_server_abandoned_limit, 0);
    SERVER("peer-dies-while-a-reply-is-held", test_server_abandoned_end, 0);
    SERVER("unread-replies-stop-the-reading", test_server_unread_replies, 0);
    SERVER("blocked-peer-may-die", test_server_blocked_peer_dies, 0);
    SERVER("flood-on-one-link-is-fair-to-others", test_server_fair, 0);
    SERVER("end-frees-everything", test_server_end_frees, 0);
    SERVER("eight-ranges-are-accepted", test_server_eight_ranges, 0);
    SERVER("nine-ranges-end-the-link", test_server_bad_tables, 9);
    SERVER("overlap-ends-the-link", test_server_bad_tables, 2);
    SERVER("half-a-message-at-the-end-is-a-loss", test_server_half_message, 0);

    ret = g_test_run();
    remote_pci_host_free();
    machine_unlock();
    return ret;
}
