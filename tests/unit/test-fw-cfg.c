/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of fw_cfg: ports, directory, DMA, and what a hostile guest asks for.
 */
#include <string.h>

#include "hw/nvram/fw_cfg.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define RAM_SIZE 0x400000u
#define ROM_AT 0x800000u
#define REQUEST 0x1000u

static RamBlock *block;
static MemoryRegion root_mem, root_io, ram_region, rom_region;
static AddressSpace *mem, *io;
static FwCfg *cfg;

static void out(unsigned port, uint64_t value, unsigned size)
{
    address_space_write(io, port, value, size);
}

static uint64_t in(unsigned port, unsigned size)
{
    uint64_t value;

    address_space_read(io, port, &value, size);
    return value;
}

static void port_bytes(uint16_t key, void *buf, unsigned size)
{
    out(0x510, key, 2);
    for (unsigned i = 0; i < size; i++) {
        ((uint8_t *)buf)[i] = (uint8_t)in(0x511, 1);
    }
}

static void put_be(uint8_t *p, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        p[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
    }
}

static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t control(void)
{
    return get_be32(block->host + REQUEST);
}

/* Starts a request at REQUEST and returns its control as it is then. */
static uint32_t dma(uint32_t control_word, uint32_t length, uint64_t address)
{
    uint8_t *p = block->host + REQUEST;

    put_be(p, control_word, 4);
    put_be(p + 4, length, 4);
    put_be(p + 8, address, 8);
    out(0x514, 0, 4);
    out(0x518, GUINT32_SWAP_LE_BE(REQUEST), 4);
    return control();
}

static void settle(void)
{
    for (unsigned i = 0; i < 100 && event_loop_turn(event_loop_main(), false); i++) {
    }
}

static void set_up(void)
{
    memset(block->host, 0xaa, RAM_SIZE);
    cfg = fw_cfg_new(&root_io, mem);
}

static void tear_down(void)
{
    settle();
    g_clear_pointer(&cfg, fw_cfg_free);
}

static void test_items_by_ports(void)
{
    uint8_t bytes[12];

    set_up();
    port_bytes(FW_CFG_SIGNATURE, bytes, 6);
    g_assert_cmpmem(bytes, 6, "QEMU\0\0", 6);
    port_bytes(FW_CFG_ID, bytes, 4);
    g_assert_cmpmem(bytes, 4, "\3\0\0\0", 4);
    fw_cfg_set_number(cfg, FW_CFG_RAM_SIZE, 0x1122334455667788, 8);
    port_bytes(FW_CFG_RAM_SIZE, bytes, 9);
    g_assert_cmpmem(bytes, 9, "\x88\x77\x66\x55\x44\x33\x22\x11\0", 9);
    fw_cfg_set_number(cfg, FW_CFG_NB_CPUS, 3, 2);
    port_bytes(FW_CFG_NB_CPUS, bytes, 3);
    g_assert_cmpmem(bytes, 3, "\3\0\0", 3);
    port_bytes(0xffff, bytes, 3); /* no such item */
    g_assert_cmpmem(bytes, 3, "\0\0\0", 3);
    tear_down();
}

static void test_odd_port_accesses_do_nothing(void)
{
    uint8_t byte;

    set_up();
    port_bytes(FW_CFG_SIGNATURE, &byte, 1);
    out(0x510, FW_CFG_ID, 1); /* a narrow selection */
    out(0x511, 0x55, 1);      /* a write of data */
    g_assert_cmphex(in(0x510, 1), ==, 0);
    g_assert_cmphex(in(0x511, 1), ==, 'E');
    fw_cfg_reset(cfg);
    g_assert_cmphex(in(0x511, 1), ==, 'Q');
    tear_down();
}

static void test_directory(void)
{
    uint8_t dir[4 + 2 * 64 + 1];
    g_autofree char *longest = g_strnfill(FW_CFG_FILE_NAME_SIZE - 1, 'n');
    char text[4];

    set_up();
    port_bytes(FW_CFG_FILE_DIR, dir, 4);
    g_assert_cmpuint(get_be32(dir), ==, 0);
    fw_cfg_set_file_copy(cfg, "etc/one", "abc", 3);
    fw_cfg_set_file_copy(cfg, longest, "", 0);
    fw_cfg_set_file_copy(cfg, "etc/one", "abcd", 4); /* replaced, with its key */
    port_bytes(FW_CFG_FILE_DIR, dir, sizeof(dir));
    g_assert_cmpuint(get_be32(dir), ==, 2);
    g_assert_cmpuint(get_be32(dir + 4), ==, 4);
    g_assert_cmphex(get_be32(dir + 8), ==, 0x00200000);
    g_assert_cmpstr((char *)dir + 12, ==, "etc/one");
    g_assert_cmpuint(get_be32(dir + 68), ==, 0);
    g_assert_cmphex(get_be32(dir + 72), ==, 0x00210000);
    g_assert_cmpstr((char *)dir + 76, ==, longest);
    g_assert_cmphex(dir[sizeof(dir) - 1], ==, 0);
    port_bytes(0x20, text, 4);
    g_assert_cmpmem(text, 4, "abcd", 4);
    g_assert_null(fw_cfg_file(cfg, "etc/none"));
    g_assert_cmpuint(g_bytes_get_size(fw_cfg_file(cfg, "etc/one")), ==, 4);
    tear_down();
}

static void test_e820(void)
{
    static const FwCfgE820 map[] = { { 0, 0xa0000, FW_CFG_E820_RAM }, { 0x100000000, 0x1000, FW_CFG_E820_RESERVED } };
    uint8_t bytes[41];

    set_up();
    fw_cfg_set_e820(cfg, map, G_N_ELEMENTS(map));
    port_bytes(0x20, bytes, sizeof(bytes));
    g_assert_cmpmem(bytes, 20, "\0\0\0\0\0\0\0\0\0\0\x0a\0\0\0\0\0\1\0\0\0", 20);
    g_assert_cmpmem(bytes + 20, 21, "\0\0\0\0\1\0\0\0\0\x10\0\0\0\0\0\0\2\0\0\0\0", 21);
    tear_down();
}

static void test_dma_reads_and_skips(void)
{
    set_up();
    g_assert_cmphex(in(0x514, 4), ==, 0x554d4551); /* "QEMU" in memory order */
    g_assert_cmphex(in(0x518, 4), ==, 0x47464320);
    fw_cfg_set_file_copy(cfg, "f", "0123456789", 10);
    g_assert_cmphex(dma(0x20u << 16 | FW_CFG_DMA_SELECT, 99, 0), ==, 0); /* selects and nothing else */
    g_assert_cmphex(block->host[0], ==, 0xaa);
    g_assert_cmphex(dma(FW_CFG_DMA_SKIP, 4, 0), ==, 0);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 3, 0x2000), ==, 0);
    g_assert_cmpmem(block->host + 0x2000, 4, "456\xaa", 4);
    g_assert_cmphex(in(0x511, 1), ==, '7'); /* one position for both */
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, 0x2000), ==, 0);
    g_assert_cmpmem(block->host + 0x2000, 5, "89\0\0\xaa", 5);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 1, 0x2000), ==, 0);
    g_assert_cmpmem(block->host + 0x2000, 1, "\0", 1);
    g_assert_cmphex(dma(FW_CFG_DMA_SKIP, UINT32_MAX, 0), ==, 0);
    g_assert_cmphex(dma(0xbeefu << 16 | FW_CFG_DMA_SELECT | FW_CFG_DMA_READ, 1, 0x3000), ==, 0);
    g_assert_cmpmem(block->host + 0x3000, 2, "\0\xaa", 2);
    tear_down();
}

static void test_dma_errors(void)
{
    uint8_t byte;

    set_up();
    fw_cfg_set_file_copy(cfg, "f", "0123456789", 10);
    g_assert_cmphex(dma(0x20u << 16 | FW_CFG_DMA_SELECT | FW_CFG_DMA_WRITE, 4, 0x2000), ==, FW_CFG_DMA_ERROR);
    port_bytes(0x20, &byte, 1);
    g_assert_cmphex(byte, ==, '0');
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, RAM_SIZE), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, RAM_SIZE - 3), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, RAM_SIZE - 4), ==, 0);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, ROM_AT), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(dma(FW_CFG_DMA_READ, 4, UINT64_MAX - 1), ==, FW_CFG_DMA_ERROR);
    /* The request itself is not there, or only its first half, which hears of it. */
    out(0x514, 0xffffffff, 4);
    out(0x518, 0, 4);
    put_be(block->host + RAM_SIZE - 8, FW_CFG_DMA_READ, 4);
    out(0x518, GUINT32_SWAP_LE_BE(RAM_SIZE - 8), 4);
    g_assert_cmphex(get_be32(block->host + RAM_SIZE - 8), ==, FW_CFG_DMA_ERROR);
    /* A narrow write is none. */
    put_be(block->host + REQUEST, FW_CFG_DMA_READ, 4);
    out(0x518, 0x10, 2);
    g_assert_cmphex(control(), ==, FW_CFG_DMA_READ);
    tear_down();
}

static void test_long_requests_take_turns(void)
{
    const uint32_t length = 3 * FW_CFG_DMA_SLICE + 1;
    g_autofree uint8_t *data = g_malloc(length);

    memset(data, 0x42, length);
    set_up();
    fw_cfg_set_file_copy(cfg, "f", data, length);
    g_assert_cmphex(dma(0x20u << 16 | FW_CFG_DMA_SELECT | FW_CFG_DMA_READ, FW_CFG_DMA_SLICE, 0x2000), ==, 0);
    g_assert_cmphex(dma(0x20u << 16 | FW_CFG_DMA_SELECT | FW_CFG_DMA_READ, length, 0x2000), !=, 0);
    g_assert_cmphex(block->host[0x2000 + FW_CFG_DMA_SLICE - 1], ==, 0x42);
    g_assert_cmphex(block->host[0x2000 + FW_CFG_DMA_SLICE], ==, 0xaa);
    settle();
    g_assert_cmphex(control(), ==, 0);
    g_assert_cmpmem(block->host + 0x2000, length, data, length);
    g_assert_cmphex(block->host[0x2000 + length], ==, 0xaa);
    tear_down();
}

static void test_long_requests_are_called_off(void)
{
    const uint32_t op = FW_CFG_DMA_SELECT | FW_CFG_DMA_READ;

    set_up();
    /* All of 4 GiB: it ends where RAM does. */
    g_assert_cmphex(dma(op, UINT32_MAX, 0x2000), ==, op);
    settle();
    g_assert_cmphex(control(), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(dma(op, UINT32_MAX, 0x2000), ==, op);
    out(0x510, 0, 2);
    g_assert_cmphex(control(), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(dma(op, UINT32_MAX, 0x2000), ==, op);
    fw_cfg_reset(cfg);
    g_assert_cmphex(control(), ==, FW_CFG_DMA_ERROR);
    /* The next request's memory is elsewhere. */
    g_assert_cmphex(dma(op, UINT32_MAX, 0x2000), ==, op);
    put_be(block->host + 0x800, FW_CFG_DMA_READ, 4);
    put_be(block->host + 0x804, 2, 4);
    put_be(block->host + 0x808, 0x900, 8);
    out(0x518, GUINT32_SWAP_LE_BE(0x800), 4);
    g_assert_cmphex(control(), ==, FW_CFG_DMA_ERROR);
    g_assert_cmphex(get_be32(block->host + 0x800), ==, 0);
    settle();
    g_assert_cmphex(control(), ==, FW_CFG_DMA_ERROR);
    tear_down();
}

static void test_request_that_reads_over_itself(void)
{
    set_up();
    fw_cfg_set_file_copy(cfg, "f", "0123456789abcdef", 16);
    g_assert_cmphex(dma(0x20u << 16 | FW_CFG_DMA_SELECT | FW_CFG_DMA_READ, 16, REQUEST), ==, 0);
    g_assert_cmpmem(block->host + REQUEST, 8, "\0\0\0\0" "4567", 8);
    tear_down();
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    memory_region_init_ram(&ram_region, NULL, "ram", block, 0, RAM_SIZE);
    memory_region_init_rom(&rom_region, NULL, "rom", block, 0, 0x1000);
    memory_region_add(&root_mem, 0, &ram_region, 0);
    memory_region_add(&root_mem, ROM_AT, &rom_region, 0);
    mem = address_space_new(&root_mem, "mem");
    io = address_space_new(&root_io, "io");
    g_test_add_func("/fw-cfg/items-by-ports", test_items_by_ports);
    g_test_add_func("/fw-cfg/odd-port-accesses-do-nothing", test_odd_port_accesses_do_nothing);
    g_test_add_func("/fw-cfg/directory", test_directory);
    g_test_add_func("/fw-cfg/e820", test_e820);
    g_test_add_func("/fw-cfg/dma-reads-and-skips", test_dma_reads_and_skips);
    g_test_add_func("/fw-cfg/dma-errors", test_dma_errors);
    g_test_add_func("/fw-cfg/long-requests-take-turns", test_long_requests_take_turns);
    g_test_add_func("/fw-cfg/long-requests-are-called-off", test_long_requests_are_called_off);
    g_test_add_func("/fw-cfg/request-that-reads-over-itself", test_request_that_reads_over_itself);
    status = g_test_run();
    address_space_free(mem);
    address_space_free(io);
    memory_region_destroy(&ram_region);
    memory_region_destroy(&rom_region);
    memory_region_destroy(&root_mem);
    memory_region_destroy(&root_io);
    ram_block_unref(block);
    machine_unlock();
    return status;
}
