/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the host bridge's function: PAM and SMRAM, and the config mechanism's byte for the reset control.
 */
#include <string.h>

#include "hw/i386/i440fx.h"
#include "hw/i386/pci-host.h"
#include "util/machine-lock.h"

#define RAM_SIZE 0x200000u
#define ROM_BYTE 0x5a

static RamBlock *ram_block, *rom_block;
static MemoryRegion root_mem, root_io, ram, rom, pci_memory;
static AddressSpace *mem, *io;
static PciBus *bus;
static PciHost *host;
static I440fx *bridge;

static void config_write(unsigned reg, uint8_t value)
{
    address_space_write(io, 0xcf8, 0x80000000u | (reg & 0xfc), 4);
    address_space_write(io, 0xcfc + (reg & 3), value, 1);
}

static uint8_t config_read(unsigned reg)
{
    uint64_t value;

    address_space_write(io, 0xcf8, 0x80000000u | (reg & 0xfc), 4);
    address_space_read(io, 0xcfc + (reg & 3), &value, 1);
    return (uint8_t)value;
}

static uint64_t get(hwaddr addr)
{
    uint64_t value;

    address_space_read(mem, addr, &value, 1);
    return value;
}

static void put(hwaddr addr, uint8_t value)
{
    address_space_write(mem, addr, value, 1);
}

/* Fresh registers, the marks of RAM. */
static void set_up(void)
{
    device_reset(DEVICE(bridge));
    memset(ram_block->host, 0x11, RAM_SIZE);
}

static void test_reset_shows_pci(void)
{
    set_up();
    g_assert_cmphex(get(0x9ffff), ==, 0xff); /* not ours: the board's */
    g_assert_cmphex(get(0xa0000), ==, 0xff);
    g_assert_cmphex(get(0xc0000), ==, 0xff);
    g_assert_cmphex(get(0xe0000), ==, ROM_BYTE);
    g_assert_cmphex(get(0xfffff), ==, ROM_BYTE);
    g_assert_cmphex(config_read(0x59), ==, 0);
    g_assert_cmphex(config_read(I440FX_SMRAM), ==, 0x02);
    g_assert_cmphex(config_read(PCI_CLASS_DEVICE + 1), ==, 0x06);
}

static void test_each_segment_alone(void)
{
    for (unsigned n = 0; n < I440FX_PAM_SEGMENTS; n++) {
        hwaddr base = n == 12 ? 0xf0000 : 0xc0000 + n * 0x4000, last = base + (n == 12 ? 0x10000 : 0x4000) - 1;
        unsigned reg = n == 12 ? 0x59 : 0x5a + n / 2;

        set_up();
        config_write(reg, n == 12 || n & 1 ? 0xf0 : 0x0f);
        g_assert_cmphex(config_read(reg), ==, n == 12 || n & 1 ? 0x30 : 0x03); /* reserved bits stay 0 */
        g_assert_cmphex(get(base), ==, 0x11);
        g_assert_cmphex(get(last), ==, 0x11);
        g_assert_cmphex(get(base - 1), !=, 0x11);
        g_assert_cmphex(get(last + 1), !=, 0x11);
        put(base, 0x22);
        g_assert_cmphex(ram_block->host[base], ==, 0x22);
    }
}

static void test_read_only(void)
{
    set_up();
    config_write(0x59, 0x10);
    g_assert_cmphex(get(0xf1234), ==, 0x11);
    put(0xf1234, 0x22);
    g_assert_cmphex(ram_block->host[0xf1234], ==, 0x11);
    g_assert_cmphex(rom_block->host[0x11234], ==, ROM_BYTE);
}

/* How a ROM gets into the RAM behind it. */
static void test_write_only(void)
{
    uint64_t value;

    set_up();
    config_write(0x59, 0x20);
    g_assert_cmphex(get(0xf1234), ==, ROM_BYTE);
    put(0xf1234, 0x22);
    g_assert_cmphex(get(0xf1234), ==, ROM_BYTE);
    g_assert_cmphex(ram_block->host[0xf1234], ==, 0x22);
    address_space_write(mem, 0xf2001, 0x8877665544332211, 8); /* unaligned */
    g_assert_cmpmem(ram_block->host + 0xf2001, 8, "\x11\x22\x33\x44\x55\x66\x77\x88", 8);
    config_write(0x5a, 0x02);
    address_space_read(mem, 0xc0000, &value, 4); /* nobody is there */
    g_assert_cmphex(value, ==, 0xffffffff);
    config_write(0x59, 0x10);
    g_assert_cmphex(get(0xf1234), ==, 0x22);
}

static void test_open_ram_until_reset(void)
{
    set_up();
    i440fx_open_ram(bridge);
    g_assert_cmphex(get(0xc0000), ==, 0x11);
    g_assert_cmphex(get(0xfffff), ==, 0x11);
    g_assert_cmphex(config_read(0x59), ==, 0x30);
    g_assert_cmphex(config_read(0x5f), ==, 0x33);
    device_reset(DEVICE(bridge));
    g_assert_cmphex(get(0xfffff), ==, ROM_BYTE);
}

static void test_smram_opens_closes_locks(void)
{
    set_up();
    config_write(I440FX_SMRAM, 0x40); /* open, but not enabled */
    g_assert_cmphex(get(0xa0000), ==, 0xff);
    config_write(I440FX_SMRAM, 0x4a);
    g_assert_cmphex(get(0xa0000), ==, 0x11);
    g_assert_cmphex(get(0xbffff), ==, 0x11);
    config_write(I440FX_SMRAM, 0x6a); /* closed for data */
    g_assert_cmphex(get(0xa0000), ==, 0xff);
    config_write(I440FX_SMRAM, 0x4a);
    config_write(I440FX_SMRAM, 0x5a);
    g_assert_cmphex(get(0xa0000), ==, 0xff);
    g_assert_cmphex(config_read(I440FX_SMRAM), ==, 0x1a);
    config_write(I440FX_SMRAM, 0x4a); /* too late */
    g_assert_cmphex(config_read(I440FX_SMRAM), ==, 0x1a);
    g_assert_cmphex(get(0xa0000), ==, 0xff);
    set_up();
    config_write(I440FX_SMRAM, 0x4f);
    g_assert_cmphex(config_read(I440FX_SMRAM), ==, 0x4a);
}

static uint64_t reset_byte;

static MemResult reset_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = reset_byte;
    return MEM_OK;
}

static MemResult reset_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    reset_byte = value;
    return MEM_OK;
}

static void test_reset_control_inside_config_address(void)
{
    static const MemoryRegionOps ops = { .read = reset_read, .write = reset_write };
    MemoryRegion control;
    uint64_t value;

    g_assert_cmphex(address_space_write(io, 0xcf9, 6, 1), ==, MEM_DECODE_ERROR);
    memory_region_init_io(&control, NULL, &ops, NULL, "reset", 1);
    pci_host_set_reset_control(host, &control);
    address_space_write(io, 0xcf8, 0x80000658, 4);
    g_assert_cmphex(reset_byte, ==, 0);
    address_space_write(io, 0xcf9, 6, 1);
    g_assert_cmphex(reset_byte, ==, 6);
    address_space_read(io, 0xcf9, &value, 1);
    g_assert_cmphex(value, ==, 6);
    address_space_read(io, 0xcf8, &value, 4);
    g_assert_cmphex(value, ==, 0x80000658);
    g_assert_cmphex(address_space_write(io, 0xcfa, 1, 1), ==, MEM_DECODE_ERROR);
    pci_host_set_reset_control(host, NULL);
    memory_region_destroy(&control);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    ram_block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    rom_block = ram_block_new_memfd("rom", 0x20000, true, NULL);
    memset(rom_block->host, ROM_BYTE, 0x20000);
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    memory_region_init(&pci_memory, NULL, "pci-memory", MEMORY_SIZE_WHOLE);
    memory_region_init_ram(&ram, NULL, "ram", ram_block, 0, RAM_SIZE);
    memory_region_init_rom(&rom, NULL, "rom", rom_block, 0, 0x20000);
    memory_region_add(&pci_memory, 0xe0000, &rom, 0);
    memory_region_add(&root_mem, 0, &pci_memory, -1);
    mem = address_space_new(&root_mem, "mem");
    io = address_space_new(&root_io, "io");
    bus = pci_root_bus_new("pci.0", &pci_memory, &root_io, mem, PCI_DEVFN_OF(1, 0));
    host = pci_host_new(bus, &root_io);
    bridge = i440fx_new(bus, &root_mem, &ram, &pci_memory, NULL);
    g_assert_nonnull(bridge);
    g_test_add_func("/i440fx/reset-shows-pci", test_reset_shows_pci);
    g_test_add_func("/i440fx/each-segment-alone", test_each_segment_alone);
    g_test_add_func("/i440fx/read-only", test_read_only);
    g_test_add_func("/i440fx/write-only", test_write_only);
    g_test_add_func("/i440fx/open-ram-until-reset", test_open_ram_until_reset);
    g_test_add_func("/i440fx/smram-opens-closes-locks", test_smram_opens_closes_locks);
    g_test_add_func("/i440fx/reset-control-inside-config-address", test_reset_control_inside_config_address);
    status = g_test_run();
    machine_unlock();
    return status;
}
