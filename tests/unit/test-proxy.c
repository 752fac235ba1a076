/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of pci-proxy-dev at work: accesses, memory table, interrupts, reset, death, unplugging.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/intc/gsi.h"
#include "proxy-rig.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define LINE 16 /* the rig routes INTA there */

static void setup(Rig *rig, gconstpointer data)
{
    rig_init(rig);
    fake_bar(&rig->remote, 0, 4096, 0);
    fake_bar(&rig->remote, 1, 256, PCI_BASE_ADDRESS_SPACE_IO);
    rig_start(rig);
}

static uint64_t take_resample(Rig *rig)
{
    uint64_t count = 0;

    return eventfd_read(rig->remote.resample_fd, &count) == 0 ? count : 0;
}

static uint64_t resampled;

static bool has_resample(Rig *rig)
{
    resampled += take_resample(rig);
    return resampled > 0;
}

/* Lets the interrupt work of the start's reset pass by. */
static void quiesce(Rig *rig)
{
    rig_settle(rig);
    resampled = 0;
    rig_wait(rig, has_resample);
    rig->line_changes = 0;
    resampled = 0;
}

/* ---- accesses -------------------------------------------------------------------------------- */

static void test_bar_access(Rig *rig, gconstpointer data)
{
    static const unsigned sizes[] = { 1, 2, 4, 8 };

    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff); /* not mapped yet */
    rig_map_bar(rig);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        unsigned size = sizes[i];
        uint64_t value = 0x8877665544332211ull >> (64 - 8 * size);

        vcpu_write(RIG_BAR_ADDR + 0x31, value, size);
        g_assert_cmphex(rig->remote.last_bar.addr, ==, RIG_BAR_ADDR + 0x31);
        g_assert_cmpuint(rig->remote.last_bar.size, ==, size);
        g_assert_cmphex(rig->remote.last_bar.val, ==, value);
        g_assert_true(rig->remote.last_bar.memory);
        g_assert_cmphex(vcpu_read(RIG_BAR_ADDR + 0xff0, size), ==, value);
        g_assert_cmphex(rig->remote.last_bar.addr, ==, RIG_BAR_ADDR + 0xff0);
    }
}

static void test_io_bar_access(Rig *rig, gconstpointer data)
{
    uint64_t value;

    vcpu_config_write(rig, PCI_BASE_ADDRESS_1, 0xc000, 4);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_IO, 2);
    machine_unlock();
    address_space_write(system_io(), 0xc0fe, 0xbeef, 2);
    address_space_read(system_io(), 0xc0fe, &value, 2);
    machine_lock();
    g_assert_cmphex(value, ==, 0xbeef);
    g_assert_cmphex(rig->remote.last_bar.addr, ==, 0xc0fe);
    g_assert_false(rig->remote.last_bar.memory);
}

static void test_config_writes_reach_both(Rig *rig, gconstpointer data)
{
    vcpu_config_write(rig, PCI_INTERRUPT_LINE, 0x0b, 1);
    g_assert_cmphex(rig->remote.config[PCI_INTERRUPT_LINE], ==, 0x0b);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->config[PCI_INTERRUPT_LINE], ==, 0x0b);
    /* What only the remote has. */
    rig->remote.wmask[0x80] = 0xf0;
    vcpu_config_write(rig, 0x80, 0xff, 1);
    g_assert_cmphex(vcpu_config_read(rig, 0x80, 1), ==, 0xf0);
    /* The last byte, and beyond the end. */
    rig->remote.config[255] = 0x77;
    g_assert_cmphex(vcpu_config_read(rig, 255, 1), ==, 0x77);
    g_assert_cmphex(vcpu_config_read(rig, 254, 4), ==, 0xffffffff);
}

/* QEMU as a remote ends its process at the first narrow access to the last 4 bytes. */
static void test_config_tail(Rig *rig, gconstpointer data)
{
    unsigned before;

    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.die_at_tail = true;
    pci_set_long(rig->remote.config + 252, 0x44332211);
    pci_set_long(rig->remote.wmask + 252, 0xffff00ff);
    pthread_mutex_unlock(&rig->remote.lock);
    g_assert_cmphex(vcpu_config_read(rig, 252, 1), ==, 0x11);
    g_assert_cmphex(vcpu_config_read(rig, 253, 1), ==, 0x22);
    g_assert_cmphex(vcpu_config_read(rig, 254, 1), ==, 0x33);
    g_assert_cmphex(vcpu_config_read(rig, 255, 1), ==, 0x44);
    g_assert_cmphex(vcpu_config_read(rig, 253, 2), ==, 0x3322);
    g_assert_cmphex(vcpu_config_read(rig, 254, 2), ==, 0x4433);
    vcpu_config_write(rig, 255, 0xa5, 1);
    g_assert_cmphex(pci_get_long(rig->remote.config + 252), ==, 0xa5332211);
    vcpu_config_write(rig, 253, 0xbbcc, 2); /* 253 is read-only */
    g_assert_cmphex(pci_get_long(rig->remote.config + 252), ==, 0xa5bb2211);
    vcpu_config_write(rig, 254, 0xddee, 2);
    g_assert_cmphex(vcpu_config_read(rig, 252, 4), ==, 0xddee2211);
    /* When the remote will not read, nothing is written. */
    rig_set_manner(rig, FAKE_FAILED, 1u << MPQEMU_CMD_PCI_CFGREAD);
    before = rig->remote.messages;
    vcpu_config_write(rig, 255, 0, 1);
    g_assert_cmpuint(rig->remote.messages, ==, before + 1);
    g_assert_cmphex(vcpu_config_read(rig, 255, 1) & 0xff, ==, 0xff);
    rig_set_manner(rig, FAKE_HONEST, ~0u);
    g_assert_cmphex(vcpu_config_read(rig, 255, 1), ==, 0xdd);
}

/* A remote that calls itself multifunction is not, here; a slot that is shared is. */
static void test_multifunction_bit_is_ours(Rig *rig, gconstpointer data)
{
    PciDevice *dev = PCI_DEVICE(rig->proxy);

    rig->remote.config[PCI_HEADER_TYPE] = 0x80;
    g_assert_cmphex(vcpu_config_read(rig, PCI_HEADER_TYPE, 1), ==, 0);
    g_assert_cmphex(vcpu_config_read(rig, PCI_CACHE_LINE_SIZE, 4), ==, 0);
    rig->remote.config[PCI_HEADER_TYPE] = 0;
    rig->remote.config[PCI_BIST] = 0x11;
    dev->multifunction = true;
    g_assert_cmphex(vcpu_config_read(rig, PCI_HEADER_TYPE, 1), ==, 0x80);
    g_assert_cmphex(vcpu_config_read(rig, PCI_HEADER_TYPE, 2), ==, 0x1180);
    g_assert_cmphex(vcpu_config_read(rig, PCI_CACHE_LINE_SIZE, 4), ==, 0x11800000);
    g_assert_cmphex(vcpu_config_read(rig, PCI_BIST, 1), ==, 0x11);
}

static void test_failed_accesses(Rig *rig, gconstpointer data)
{
    rig_map_bar(rig);
    rig_set_manner(rig, FAKE_FAILED, ~0u);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
    g_assert_cmphex(vcpu_config_read(rig, 0, 2) & 0xffff, ==, 0xffff);
    vcpu_write(RIG_BAR_ADDR, 1, 4);
    /* A refused config write changes nothing here either: the BAR stays where the remote has it. */
    vcpu_config_write(rig, PCI_COMMAND, 0, 2);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].addr, ==, RIG_BAR_ADDR);
    g_assert_cmpuint(rig_stats(rig).failed, ==, 4);
    rig_set_manner(rig, FAKE_HONEST, ~0u);
    g_assert_cmphex(vcpu_config_read(rig, 0, 2), ==, 0x1234);
}

static void test_machine_lock_holder_never_waits(Rig *rig, gconstpointer data)
{
    unsigned before;
    uint32_t value;
    uint64_t wide;

    rig_map_bar(rig);
    rig_settle(rig);
    before = rig->remote.messages;
    g_assert_true(pci_config_read(PCI_DEVICE(rig->proxy), 0, &value, 4));
    g_assert_cmphex(value, ==, 0x56781234);
    pci_config_write(PCI_DEVICE(rig->proxy), PCI_COMMAND, 0, 2);
    address_space_read(system_memory(), RIG_BAR_ADDR, &wide, 4);
    g_assert_cmphex(wide, ==, 0xffffffff);
    address_space_write(system_memory(), RIG_BAR_ADDR, 0, 4);
    g_assert_cmpuint(rig->remote.messages, ==, before);
    g_assert_cmpuint(rig_stats(rig).dropped_writes, ==, 2);
    g_assert_cmpuint(rig_stats(rig).dropped_reads, ==, 1);
}

/* ---- death ----------------------------------------------------------------------------------- */

static void expect_dead(Rig *rig)
{
    PciProxyStats before = rig_stats(rig);
    /* After a reset no BAR access gets to the device. */
    unsigned bar = PCI_DEVICE(rig->proxy)->bars[0].addr == RIG_BAR_ADDR;

    g_assert_true(rig_is_dead(rig));
    g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0xffffffff);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 8), ==, UINT64_MAX);
    vcpu_write(RIG_BAR_ADDR, 1, 4);
    vcpu_config_write(rig, PCI_COMMAND, 0, 2);
    g_assert_cmpuint(rig_stats(rig).dropped_reads, ==, before.dropped_reads + 1 + bar);
    g_assert_cmpuint(rig_stats(rig).dropped_writes, ==, before.dropped_writes + 1 + bar);
    g_assert_cmpuint(rig_stats(rig).exchanges, ==, before.exchanges);
    rig_wait(rig, rig_remote_has_ended);
}

static void do_access(Rig *rig, MpqemuCmd cmd)
{
    switch (cmd) {
    case MPQEMU_CMD_PCI_CFGREAD:
        g_assert_cmphex(vcpu_config_read(rig, 0, 4), ==, 0xffffffff);
        break;
    case MPQEMU_CMD_PCI_CFGWRITE:
        vcpu_config_write(rig, PCI_COMMAND, 0, 2);
        break;
    case MPQEMU_CMD_BAR_READ:
        g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
        break;
    case MPQEMU_CMD_BAR_WRITE:
        vcpu_write(RIG_BAR_ADDR, 0, 4);
        break;
    default: /* DEVICE_RESET */
        device_reset(DEVICE(rig->proxy));
        rig_wait(rig, rig_is_dead);
        break;
    }
}

static void test_death(gconstpointer data)
{
    static const FakeManner manners[] = { FAKE_HANG_UP, FAKE_HALF_HEADER, FAKE_HALF_PAYLOAD };
    MpqemuCmd cmd = GPOINTER_TO_UINT(data);
    static Rig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(manners); i++) {
        setup(&rig, NULL);
        rig_map_bar(&rig);
        rig_settle(&rig);
        rig_set_manner(&rig, manners[i], 1u << cmd);
        do_access(&rig, cmd);
        expect_dead(&rig);
        rig_teardown(&rig, NULL);
    }
}

static void test_time_out(gconstpointer data)
{
    MpqemuCmd cmd = GPOINTER_TO_UINT(data);
    static Rig rig;
    int64_t start;

    rig_init(&rig);
    fake_bar(&rig.remote, 0, 4096, 0);
    g_assert_true(rig_try_start(&rig, 1000, NULL));
    rig_map_bar(&rig);
    rig_settle(&rig);
    rig_set_manner(&rig, FAKE_SILENT, 1u << cmd);
    start = event_clock_ns(EVENT_CLOCK_REAL);
    do_access(&rig, cmd);
    start = event_clock_ns(EVENT_CLOCK_REAL) - start;
    g_assert_cmpint(start, >=, SECOND_NS * 9 / 10);
    g_assert_cmpint(start, <, SECOND_NS * 5);
    expect_dead(&rig);
    rig_cleanup(&rig);
}

static void test_death_while_idle(Rig *rig, gconstpointer data)
{
    uint64_t one = 1;

    rig_map_bar(rig);
    rig_settle(rig);
    g_assert_cmpint(write(rig->remote.stop_fd, &one, sizeof(one)), ==, sizeof(one));
    rig_wait(rig, rig_is_dead);
    expect_dead(rig);
}

static bool line_is_high(Rig *rig)
{
    return rig->line[LINE] == 1;
}

static bool line_is_low(Rig *rig)
{
    return rig->line[LINE] == 0;
}

static void test_death_lowers_the_line(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
    rig_set_manner(rig, FAKE_HANG_UP, ~0u);
    vcpu_config_read(rig, 0, 4);
    rig_wait(rig, line_is_low);
    /* The dead device's eventfd has no effect any more. */
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_true(line_is_low(rig));
}

/* ---- reset ----------------------------------------------------------------------------------- */

static void test_reset_before_the_next_access(Rig *rig, gconstpointer data)
{
    unsigned resets;

    rig_map_bar(rig);
    resets = rig->remote.resets;
    device_reset(DEVICE(rig->proxy));
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].addr, ==, PCI_BAR_UNMAPPED);
    g_assert_cmphex(vcpu_config_read(rig, PCI_COMMAND, 2), ==, 0);
    g_assert_cmpuint(rig->remote.resets, ==, resets + 1);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 0xffffffff);
    rig_map_bar(rig);
    vcpu_write(RIG_BAR_ADDR, 5, 4);
    g_assert_cmphex(vcpu_read(RIG_BAR_ADDR, 4), ==, 5);
}

static void set_delay(Rig *rig, useconds_t us)
{
    pthread_mutex_lock(&rig->remote.lock);
    rig->remote.delay_us = us;
    pthread_mutex_unlock(&rig->remote.lock);
}

static gpointer map_bar_thread(gpointer opaque)
{
    Rig *rig = opaque;

    pci_config_write(PCI_DEVICE(rig->proxy), PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    return NULL;
}

static bool write_is_there(Rig *rig)
{
    return rig->remote.config[PCI_COMMAND] == PCI_COMMAND_MEMORY;
}

/* A reset that comes while a config write is under way wins on both sides. */
static void test_reset_during_a_config_write(Rig *rig, gconstpointer data)
{
    GThread *thread;

    vcpu_config_write(rig, PCI_BASE_ADDRESS_0, RIG_BAR_ADDR, 4);
    set_delay(rig, 50000);
    thread = g_thread_new("vcpu", map_bar_thread, rig);
    rig_wait(rig, write_is_there); /* the remote has it, and has not answered yet */
    device_reset(DEVICE(rig->proxy));
    machine_unlock();
    g_thread_join(thread);
    machine_lock();
    set_delay(rig, 0);
    g_assert_cmphex(vcpu_config_read(rig, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(pci_get_word(PCI_DEVICE(rig->proxy)->config + PCI_COMMAND), ==, 0);
    g_assert_cmphex(PCI_DEVICE(rig->proxy)->bars[0].addr, ==, PCI_BAR_UNMAPPED);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_memory_table(Rig *rig, gconstpointer data)
{
    MemoryRegion more, rom, private_ram, hole;
    g_autoptr(GError) err = NULL;
    RamBlock *block = ram_block_new_memfd("more", 4 * PAGE, true, NULL);
    RamBlock *private_block;
    MemoryRegion *memory = address_space_root(system_memory());
    int fd = memfd_create("private", MFD_CLOEXEC);
    uint64_t syncs;

    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
    g_assert_cmphex(rig->remote.table.sizes[0], ==, RIG_RAM);

    /* RAM elsewhere, ROM, RAM that cannot be shared, and a change that is none for a device. */
    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    private_block = ram_block_new_private_take_fd("private", fd, PAGE, &err);
    g_assert_no_error(err);
    memory_region_init_ram(&more, NULL, "more", block, PAGE, 2 * PAGE);
    memory_region_init_rom(&rom, NULL, "rom", block, 0, PAGE);
    memory_region_init_ram(&private_ram, NULL, "private", private_block, 0, PAGE);
    memory_region_add(memory, 0x80000000, &more, 0);
    memory_region_add(memory, 0x90000000, &rom, 0);
    memory_region_add(memory, 0xa0000000, &private_ram, 0);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 2);
    g_assert_cmphex(rig->remote.table.gpas[1], ==, 0x80000000);
    g_assert_cmphex(rig->remote.table.sizes[1], ==, 2 * PAGE);
    g_assert_cmphex(rig->remote.table.offsets[1], ==, PAGE);
    syncs = rig_stats(rig).syncs;
    memory_region_remove(memory, &rom);
    rig_settle(rig);
    g_assert_cmpuint(rig_stats(rig).syncs, ==, syncs);

    /* A hole of 16 bytes in the middle of RAM costs the remote the whole page. */
    memory_region_init_rom(&hole, NULL, "hole", block, 0, 16);
    memory_region_add(memory, PAGE + 32, &hole, 1);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 3);
    g_assert_cmphex(rig->remote.table.sizes[0], ==, PAGE);
    g_assert_cmphex(rig->remote.table.gpas[1], ==, 2 * PAGE);
    g_assert_cmphex(rig->remote.table.offsets[1], ==, 2 * PAGE);
    memory_region_remove(memory, &hole);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 2);

    memory_region_destroy(&hole);
    memory_region_destroy(&rom);
    memory_region_destroy(&more);
    memory_region_destroy(&private_ram);
    ram_block_unref(private_block);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
    ram_block_unref(block);
}

/* Neighbours in file and memory are one range, whatever regions they come from. */
static void test_memory_is_merged(Rig *rig, gconstpointer data)
{
    MemoryRegion alias[2];
    MemoryRegion *memory = address_space_root(system_memory());

    for (int i = 0; i < 2; i++) {
        memory_region_init_alias(&alias[i], NULL, "alias", &rig->ram, (hwaddr)i * PAGE, PAGE);
        memory_region_add(memory, 0x80000000u + (hwaddr)i * PAGE, &alias[i], 0);
    }
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 2);
    g_assert_cmphex(rig->remote.table.sizes[1], ==, 2 * PAGE);
    memory_region_destroy(&alias[0]);
    memory_region_destroy(&alias[1]);
}

static void test_removal_has_a_barrier(Rig *rig, gconstpointer data)
{
    MemoryRegion alias;
    MemoryRegion *memory = address_space_root(system_memory());
    unsigned at;

    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    rig_settle(rig);
    at = rig->remote.messages;
    memory_region_add(memory, 0x80000000, &alias, 0);
    rig_settle(rig);
    /* Addition: the table, and rig_settle()'s read. */
    g_assert_cmpuint(rig->remote.messages, ==, at + 2);
    g_assert_cmpuint(rig->remote.log[at], ==, MPQEMU_CMD_SYNC_SYSMEM);
    at = rig->remote.messages;
    memory_region_remove(memory, &alias);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.messages, ==, at + 3);
    g_assert_cmpuint(rig->remote.log[at], ==, MPQEMU_CMD_SYNC_SYSMEM);
    g_assert_cmpuint(rig->remote.log[at + 1], ==, MPQEMU_CMD_PCI_CFGREAD);
    memory_region_destroy(&alias);
}

static void test_too_many_ranges(Rig *rig, gconstpointer data)
{
    static MemoryRegion alias[MPQEMU_FDS_MAX];
    MemoryRegion *memory = address_space_root(system_memory());

    for (unsigned i = 0; i < MPQEMU_FDS_MAX; i++) {
        memory_region_init_alias(&alias[i], NULL, "alias", &rig->ram, 0, PAGE);
    }
    memory_transaction_begin();
    for (unsigned i = 0; i + 1 < MPQEMU_FDS_MAX; i++) {
        memory_region_add(memory, 0x80000000 + 2ull * PAGE * i, &alias[i], 0);
    }
    memory_transaction_commit();
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, MPQEMU_FDS_MAX);

    /* One more: nothing old may stay, and the device lives. */
    memory_region_add(memory, 0xc0000000, &alias[MPQEMU_FDS_MAX - 1], 0);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, 0);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    memory_region_remove(memory, &alias[0]);
    rig_settle(rig);
    g_assert_cmpuint(rig->remote.table_count, ==, MPQEMU_FDS_MAX);
    for (unsigned i = 0; i < MPQEMU_FDS_MAX; i++) {
        memory_region_destroy(&alias[i]);
    }
}

static bool table_has_two(Rig *rig)
{
    return rig->remote.table_count == 2;
}

/* Nobody accesses the device: the worker tells the remote all the same. */
static void test_worker_sends_the_table(Rig *rig, gconstpointer data)
{
    MemoryRegion alias;

    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &alias, 0);
    rig_wait(rig, table_has_two);
    memory_region_destroy(&alias);
}

/* RAM without a file below all other does not keep the rest from being sent. */
static void test_private_range_comes_first(Rig *rig, gconstpointer data)
{
    g_autoptr(GError) err = NULL;
    MemoryRegion first;
    RamBlock *block;
    int fd = memfd_create("private", MFD_CLOEXEC);

    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    block = ram_block_new_private_take_fd("private", fd, PAGE, &err);
    g_assert_no_error(err);
    memory_region_init_ram(&first, NULL, "first", block, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0, &first, 1);
    rig_settle(rig);
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    g_assert_cmpuint(rig->remote.table_count, ==, 1);
    g_assert_cmphex(rig->remote.table.gpas[0], ==, PAGE);
    g_assert_cmphex(rig->remote.table.sizes[0], ==, RIG_RAM - PAGE);
    memory_region_destroy(&first);
    ram_block_unref(block);
}

/* Unplug sends no last table, and what happens to memory afterwards is no business of the proxy. */
static void test_no_table_after_unplug(Rig *rig, gconstpointer data)
{
    MemoryRegion alias;
    unsigned messages;

    rig_settle(rig);
    messages = rig->remote.messages;
    rig_unplug(rig);
    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &alias, 0);
    rig_wait(rig, rig_remote_has_ended);
    g_assert_cmpuint(rig->remote.messages, ==, messages);
    memory_region_destroy(&alias);
}

static void test_private_guest_ram_is_refused(void)
{
    static Rig rig;
    g_autoptr(GError) err = NULL;
    MemoryBackend *backend = g_object_new(memory_backend_memfd_get_type(), NULL);
    RamBlock *block;
    MemoryRegion private_ram;
    int fd;

    rig_init(&rig);
    fd = memfd_create("private", MFD_CLOEXEC);
    g_assert_cmpint(ftruncate(fd, PAGE), ==, 0);
    block = ram_block_new_private_take_fd("node1", fd, PAGE, NULL);
    memory_region_init_ram(&private_ram, QOM_OBJECT(backend), "node1", block, 0, PAGE);
    memory_region_add(address_space_root(system_memory()), 0x80000000, &private_ram, 0);
    g_assert_false(rig_try_start(&rig, 5000, &err));
    g_assert_nonnull(strstr(err->message, "share=on"));
    memory_region_destroy(&private_ram);
    ram_block_unref(block);
    g_object_unref(backend);
    rig_cleanup(&rig);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static void test_irq_and_resample(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
        rig_wait(rig, line_is_high);
        g_assert_cmpuint(take_resample(rig), ==, 0);
        gsi_eoi(LINE + 1); /* another's */
        g_assert_true(line_is_high(rig));
        gsi_eoi(LINE);
        g_assert_true(line_is_low(rig)); /* at once, then the resample */
        resampled = 0;
        rig_wait(rig, has_resample);
        g_assert_cmpuint(resampled, ==, 1);
    }
    g_assert_cmpuint(rig_stats(rig).irqs, ==, 3);
    /* The end of somebody else's interrupt on the same GSI: the remote is not asked. */
    gsi_eoi(LINE);
    g_assert_cmpuint(rig->line_changes, ==, 6);
    rig_unplug(rig); /* the worker has ended then */
    g_assert_cmpuint(take_resample(rig), ==, 0);
}

static void test_irq_events_before_eoi_are_one(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    for (unsigned i = 0; i < 5; i++) {
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1000), ==, 0);
        rig_wait(rig, line_is_high);
    }
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    g_assert_cmpuint(rig->line_changes, ==, 1);
    gsi_eoi(LINE);
    while (event_loop_turn(event_loop_main(), false)) {
    }
    g_assert_true(line_is_low(rig));
    /* And the eventfd is heard again. */
    rig_wait(rig, has_resample);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
}

static void test_irq_storm_does_not_turn_the_loop(Rig *rig, gconstpointer data)
{
    unsigned busy = 0;

    quiesce(rig);
    for (unsigned i = 0; i < 1000; i++) {
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
        busy += event_loop_turn(event_loop_main(), false);
    }
    g_assert_true(line_is_high(rig));
    g_assert_cmpuint(busy, <=, 3);
}

static void test_irq_disable_bit(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    vcpu_config_write(rig, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    for (unsigned i = 0; i < 5; i++) {
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_true(line_is_low(rig));
    vcpu_config_write(rig, PCI_COMMAND, 0, 2);
    g_assert_true(line_is_high(rig));
}

/* A peer that fills the resample eventfd and makes writes to it wait holds up nobody. */
static void test_full_resample_eventfd(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
    g_assert_cmpint(eventfd_write(rig->remote.resample_fd, UINT64_MAX - 1), ==, 0);
    g_assert_cmpint(fcntl(rig->remote.resample_fd, F_SETFL, 0), ==, 0);
    gsi_eoi(LINE);
    g_assert_true(line_is_low(rig));
    /* The proxy goes on: an unplug ends its worker. */
    g_assert_cmphex(vcpu_config_read(rig, 0, 2), ==, 0x1234);
    rig_unplug(rig);
}

/* A peer that empties the interrupt eventfd itself, and makes reads of it wait. */
static void test_drained_irq_eventfd(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    g_assert_cmpint(fcntl(rig->remote.irq_fd, F_SETFL, 0), ==, 0);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
    gsi_eoi(LINE); /* reads the empty eventfd */
    g_assert_true(line_is_low(rig));
}

/* Another descriptor of the same turn, handled first: takes the interrupt event away. */
static void take_irq_event(int fd, unsigned ready, void *opaque)
{
    Rig *rig = opaque;
    eventfd_t count;

    g_assert_cmpint(eventfd_read(fd, &count), ==, 0);
    g_assert_cmpint(eventfd_read(rig->remote.irq_fd, &count), ==, 0);
}

static void test_irq_event_that_was_taken_away_is_none(Rig *rig, gconstpointer data)
{
    auto_fd first = eventfd(0, EFD_CLOEXEC);
    EventSource *source = event_loop_add_fd(event_loop_main(), first, EVENT_READ, take_irq_event, rig);

    quiesce(rig);
    /* One is explained by an end of interrupt that came in between; 16 in a row are a peer that plays with us. */
    for (unsigned i = 1; i <= 16; i++) {
        g_assert_true(line_is_low(rig));
        g_assert_cmpint(eventfd_write(first, 1), ==, 0);
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_true(line_is_high(rig));
    g_assert_cmpuint(rig_stats(rig).irqs, ==, 1);
    event_source_remove(source);
}

static void test_reset_lowers_the_line(Rig *rig, gconstpointer data)
{
    quiesce(rig);
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_wait(rig, line_is_high);
    device_reset(DEVICE(rig->proxy));
    g_assert_true(line_is_low(rig));
    /* An interrupt of the time before, that comes late, is asked about again. */
    g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
    rig_settle(rig);
    rig_wait(rig, has_resample);
    g_assert_true(line_is_low(rig));
}

/* ---- unplugging and threads ------------------------------------------------------------------ */

typedef struct Vcpu {
    Rig *rig;
    PciDevice *dev; /* a reference */
    unsigned accesses;
    bool stop;
    unsigned seed;
} Vcpu;

static gpointer read_once_thread(gpointer opaque)
{
    Vcpu *v = opaque;
    uint32_t value;

    pci_config_read(v->dev, 0, &value, 4);
    return GUINT_TO_POINTER(value);
}

static bool read_is_waiting(Rig *rig)
{
    return rig->remote.messages > rig->remote.tamper_count;
}

static void test_unplug_ends_a_waiting_access(Rig *rig, gconstpointer data)
{
    Vcpu v = { .rig = rig, .dev = g_object_ref(PCI_DEVICE(rig->proxy)) };
    int64_t start = event_clock_ns(EVENT_CLOCK_REAL);
    GThread *thread;

    rig_settle(rig);
    rig_set_manner(rig, FAKE_SILENT, ~0u);
    rig->remote.tamper_count = rig->remote.messages;
    thread = g_thread_new("vcpu", read_once_thread, &v);
    rig_wait(rig, read_is_waiting);
    rig_unplug(rig);
    machine_unlock();
    g_assert_cmphex(GPOINTER_TO_UINT(g_thread_join(thread)), ==, 0xffffffff);
    machine_lock();
    g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL) - start, <, 4 * SECOND_NS);
    g_object_unref(v.dev);
}

static gpointer hammer_thread(gpointer opaque)
{
    Vcpu *v = opaque;
    uint32_t value;
    uint64_t wide;

    while (!__atomic_load_n(&v->stop, __ATOMIC_RELAXED)) {
        switch (v->seed++ % 7) {
        case 0:
            pci_config_read(v->dev, PCI_VENDOR_ID, &value, 4);
            g_assert_true(value == 0x56781234 || value == 0xffffffff);
            break;
        case 1:
            pci_config_write(v->dev, PCI_BASE_ADDRESS_0, RIG_BAR_ADDR, 4);
            break;
        case 2:
            pci_config_write(v->dev, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
            break;
        case 3:
            address_space_write(system_memory(), RIG_BAR_ADDR + 8, 0x11223344, 4);
            break;
        case 6:
            pci_config_write(v->dev, PCI_COMMAND, 0, 2);
            break;
        default:
            address_space_read(system_memory(), RIG_BAR_ADDR + 8, &wide, 4);
            break;
        }
        __atomic_fetch_add(&v->accesses, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

/*
 * Two vCPUs, a machine that changes its memory and resets the device, interrupts and their ends;
 * at last the remote dies, or the device is unplugged, in the middle of it.
 */
static void hammer(Rig *rig, bool unplug)
{
    MemoryRegion alias;
    MemoryRegion *memory = address_space_root(system_memory());
    Vcpu v[2] = { { .seed = 0 }, { .seed = 3 } };
    GThread *threads[2];

    memory_region_init_alias(&alias, NULL, "alias", &rig->ram, 0, PAGE);
    rig_settle(rig);
    for (unsigned i = 0; i < 2; i++) {
        v[i].rig = rig;
        v[i].dev = g_object_ref(PCI_DEVICE(rig->proxy));
        threads[i] = g_thread_new("vcpu", hammer_thread, &v[i]);
    }
    for (unsigned i = 0; i < 300; i++) {
        if (i % 3 == 0) {
            memory_region_add(memory, 0x80000000, &alias, 0);
        } else if (i % 3 == 1) {
            memory_region_remove(memory, &alias);
        }
        if (i % 10 == 0) {
            device_reset(DEVICE(rig->proxy));
        }
        pthread_mutex_lock(&rig->remote.lock);
        g_assert_cmpint(eventfd_write(rig->remote.irq_fd, 1), ==, 0);
        pthread_mutex_unlock(&rig->remote.lock);
        event_loop_turn(event_loop_main(), false);
        gsi_eoi(LINE);
        machine_unlock();
        g_usleep(500);
        machine_lock();
    }
    g_assert_cmpint(pci_proxy_state(rig->proxy), ==, PCI_PROXY_READY);
    if (unplug) {
        rig_unplug(rig);
    } else {
        rig_set_manner(rig, FAKE_HANG_UP, ~0u);
        rig_wait(rig, rig_is_dead);
    }
    for (unsigned i = 0; i < 2; i++) {
        __atomic_store_n(&v[i].stop, true, __ATOMIC_RELAXED);
        machine_unlock();
        g_thread_join(threads[i]);
        machine_lock();
        g_assert_cmpuint(v[i].accesses, >, 100);
        g_object_unref(v[i].dev);
    }
    memory_region_destroy(&alias);
}

static void test_hammer_until_death(Rig *rig, gconstpointer data)
{
    hammer(rig, false);
}

static void test_hammer_until_unplugged(Rig *rig, gconstpointer data)
{
    hammer(rig, true);
}

int main(int argc, char **argv)
{
    static GType (*const types[])(void) = {
        pci_proxy_dev_get_type, memory_backend_memfd_get_type, NULL,
    };
    static const MpqemuCmd commands[] = {
        MPQEMU_CMD_PCI_CFGREAD, MPQEMU_CMD_PCI_CFGWRITE, MPQEMU_CMD_BAR_READ,
        MPQEMU_CMD_BAR_WRITE, MPQEMU_CMD_DEVICE_RESET,
    };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    qom_register_types(types);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
#define ADD(name, fn) g_test_add("/proxy/" name, Rig, NULL, setup, fn, rig_teardown)
    ADD("bar-access", test_bar_access);
    ADD("io-bar-access", test_io_bar_access);
    ADD("config-writes-reach-both", test_config_writes_reach_both);
    ADD("last-config-bytes-do-not-end-the-remote", test_config_tail);
    ADD("multifunction-bit-is-ours", test_multifunction_bit_is_ours);
    ADD("failed-accesses", test_failed_accesses);
    ADD("machine-lock-holder-never-waits", test_machine_lock_holder_never_waits);
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        const char *name = mpqemu_cmd_name(commands[i]);
        g_autofree char *death = g_strdup_printf("/proxy/death/%s", name);
        g_autofree char *time_out = g_strdup_printf("/proxy/time-out/%s", name);

        g_test_add_data_func(death, GUINT_TO_POINTER(commands[i]), test_death);
        g_test_add_data_func(time_out, GUINT_TO_POINTER(commands[i]), test_time_out);
    }
    ADD("death/while-idle", test_death_while_idle);
    ADD("death/lowers-the-line", test_death_lowers_the_line);
    ADD("reset/before-the-next-access", test_reset_before_the_next_access);
    ADD("reset/during-a-config-write", test_reset_during_a_config_write);
    ADD("memory/table", test_memory_table);
    ADD("memory/merged", test_memory_is_merged);
    ADD("memory/removal-has-a-barrier", test_removal_has_a_barrier);
    ADD("memory/too-many-ranges", test_too_many_ranges);
    ADD("memory/worker-sends-the-table", test_worker_sends_the_table);
    ADD("memory/private-range-comes-first", test_private_range_comes_first);
    ADD("memory/no-table-after-unplug", test_no_table_after_unplug);
    g_test_add_func("/proxy/memory/private-guest-ram-is-refused",
                    test_private_guest_ram_is_refused);
    ADD("irq/raise-and-resample", test_irq_and_resample);
    ADD("irq/events-before-eoi-are-one", test_irq_events_before_eoi_are_one);
    ADD("irq/storm-does-not-turn-the-loop", test_irq_storm_does_not_turn_the_loop);
    ADD("irq/disable-bit", test_irq_disable_bit);
    ADD("irq/full-resample-eventfd", test_full_resample_eventfd);
    ADD("irq/drained-irq-eventfd", test_drained_irq_eventfd);
    ADD("irq/event-that-was-taken-away-is-none", test_irq_event_that_was_taken_away_is_none);
    ADD("irq/reset-lowers-the-line", test_reset_lowers_the_line);
    ADD("unplug-ends-a-waiting-access", test_unplug_ends_a_waiting_access);
    ADD("hammer/until-death", test_hammer_until_death);
    ADD("hammer/until-unplugged", test_hammer_until_unplugged);
    return g_test_run();
}
