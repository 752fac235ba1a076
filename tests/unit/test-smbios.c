/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the SMBIOS tables: entry point, structures, sizes.
 */
#include <string.h>

#include "hw/i386/smbios.h"
#include "util/machine-lock.h"

#define BASE 0xf5000u
#define GIB (1024ull * 1024 * 1024)

static const uint8_t uuid[16] = {
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
};

static uint64_t number(const uint8_t *p, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, p, size);
    return GUINT64_FROM_LE(value);
}

static uint8_t sum(const uint8_t *p, gsize size)
{
    uint8_t value = 0;

    while (size--) {
        value = (uint8_t)(value + *p++);
    }
    return value;
}

/* Structures by type, the first of each, and their count. */
typedef struct Parsed {
    const uint8_t *first[128];
    unsigned counts[128];
    unsigned total;
    unsigned largest;
} Parsed;

/* Size of the structure at P with its strings; no further than END. */
static gsize structure_size(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *q = p + p[1];

    while (q + 1 < end && (q[0] || q[1])) {
        q++;
    }
    g_assert_true(q + 1 < end);
    return (gsize)(q + 2 - p);
}

/* String N of the structure at P. */
static const char *string_of(const uint8_t *p, unsigned n)
{
    const char *text = (const char *)p + p[1];

    while (--n) {
        text += strlen(text) + 1;
    }
    return text;
}

static void parse(const uint8_t *p, gsize size, Parsed *ret)
{
    const uint8_t *end = p + size;

    *ret = (Parsed) { 0 };
    while (p < end) {
        gsize whole = structure_size(p, end);

        g_assert_cmpuint(p[0], <, 128);
        if (!ret->counts[p[0]]++) {
            ret->first[p[0]] = p;
        }
        ret->total++;
        ret->largest = MAX(ret->largest, (unsigned)whole);
        p += whole;
    }
    g_assert_cmpuint(ret->counts[127], ==, 1);
}

/* The entry point at ENTRY against what the tables are. */
static void check_entry(const uint8_t *entry, const Parsed *parsed, gsize tables_size, uint32_t address)
{
    g_assert_cmpmem(entry, 4, "_SM_", 4);
    g_assert_cmpuint(entry[5], ==, 31);
    g_assert_cmphex(sum(entry, 31), ==, 0);
    g_assert_cmpmem(entry + 16, 5, "_DMI_", 5);
    g_assert_cmphex(sum(entry + 16, 15), ==, 0);
    g_assert_cmpuint(number(entry + 8, 2), ==, parsed->largest);
    g_assert_cmpuint(number(entry + 0x16, 2), ==, tables_size);
    g_assert_cmphex(number(entry + 0x18, 4), ==, address);
    g_assert_cmpuint(number(entry + 0x1c, 2), ==, parsed->total);
}

static void test_placed(void)
{
    const SmbiosConfig config = { .cpu_count = 4, .low_ram = 3 * GIB, .high_ram = 5 * GIB, .uuid = uuid };
    g_autoptr(GBytes) bytes = smbios_place(&config, BASE);
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size), *p;
    Parsed parsed;

    parse(data + 32, size - 32, &parsed);
    check_entry(data, &parsed, size - 32, BASE + 32);
    g_assert_cmpuint(parsed.total, ==, 10);
    p = parsed.first[0];
    g_assert_cmpuint(p[1], ==, 24);
    g_assert_cmphex(p[0x13], ==, 0x10); /* a virtual machine */
    g_assert_cmpstr(string_of(p, p[4]), ==, "mpqemu");
    p = parsed.first[1];
    g_assert_cmpuint(p[1], ==, 27);
    g_assert_cmpmem(p + 8, 16, "\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
    g_assert_cmpstr(string_of(p, p[5]), ==, "pc");
    g_assert_cmpuint(parsed.first[3][1], ==, 22);
    p = parsed.first[4];
    g_assert_cmpuint(p[1], ==, 42);
    g_assert_cmpuint(p[0x23], ==, 4);
    p = parsed.first[16];
    g_assert_cmpuint(p[1], ==, 23);
    g_assert_cmpuint(number(p + 7, 4), ==, 8 * 1024 * 1024);
    p = parsed.first[17];
    g_assert_cmpuint(p[1], ==, 40);
    g_assert_cmpuint(number(p + 0x0c, 2), ==, 8192);
    g_assert_cmpuint(number(p + 0x1c, 4), ==, 0);
    p = parsed.first[19];
    g_assert_cmpuint(p[1], ==, 31);
    g_assert_cmpuint(parsed.counts[19], ==, 2);
    g_assert_cmpuint(number(p + 4, 4), ==, 0);
    g_assert_cmpuint(number(p + 8, 4), ==, 3 * 1024 * 1024 - 1);
    p += structure_size(p, data + size);
    g_assert_cmpuint(number(p + 4, 4), ==, 4 * 1024 * 1024);
    g_assert_cmpuint(number(p + 8, 4), ==, 9 * 1024 * 1024 - 1);
    g_assert_cmpuint(parsed.first[32][1], ==, 11);
}

/* Where the short fields end: 32 GiB - 1 MiB of a device, 2 TiB of an array, 4 TiB of addresses, 255 cores. */
static void test_large(void)
{
    const SmbiosConfig config = { .cpu_count = 300, .low_ram = 3 * GIB, .high_ram = 4096 * GIB };
    g_autoptr(GBytes) bytes = smbios_place(&config, BASE);
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size), *p;
    Parsed parsed;

    parse(data + 32, size - 32, &parsed);
    g_assert_cmpmem(parsed.first[1] + 8, 16, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    g_assert_cmpuint(parsed.first[4][0x23], ==, 255);
    p = parsed.first[16];
    g_assert_cmphex(number(p + 7, 4), ==, 0x80000000);
    g_assert_cmpuint(number(p + 15, 8), ==, 4099 * GIB);
    p = parsed.first[17];
    g_assert_cmphex(number(p + 0x0c, 2), ==, 0x7fff);
    g_assert_cmpuint(number(p + 0x1c, 4), ==, 4099 * 1024);
    p = parsed.first[19];
    p += structure_size(p, data + size);
    g_assert_cmphex(number(p + 4, 4), ==, UINT32_MAX);
    g_assert_cmphex(number(p + 8, 4), ==, UINT32_MAX);
    g_assert_cmphex(number(p + 15, 8), ==, 4 * GIB);
    g_assert_cmphex(number(p + 23, 8), ==, 4100 * GIB - 1);
}

static void test_files(void)
{
    const SmbiosConfig config = { .cpu_count = 1, .low_ram = 64 * 1024 * 1024 };
    MemoryRegion root_mem, root_io;
    AddressSpace *mem;
    FwCfg *cfg;
    Parsed parsed;
    GBytes *anchor, *tables;

    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    mem = address_space_new(&root_mem, "mem");
    cfg = fw_cfg_new(&root_io, mem);
    smbios_add_to_fw_cfg(&config, cfg);
    anchor = fw_cfg_file(cfg, "etc/smbios/smbios-anchor");
    tables = fw_cfg_file(cfg, "etc/smbios/smbios-tables");
    g_assert_nonnull(anchor);
    g_assert_cmpuint(g_bytes_get_size(anchor), ==, 31);
    parse(g_bytes_get_data(tables, NULL), g_bytes_get_size(tables), &parsed);
    check_entry(g_bytes_get_data(anchor, NULL), &parsed, g_bytes_get_size(tables), 0);
    g_assert_cmpuint(parsed.counts[19], ==, 1);
    fw_cfg_free(cfg);
    address_space_free(mem);
    memory_region_destroy(&root_mem);
    memory_region_destroy(&root_io);
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/smbios/placed", test_placed);
    g_test_add_func("/smbios/large", test_large);
    g_test_add_func("/smbios/files", test_files);
    status = g_test_run();
    machine_unlock();
    return status;
}
