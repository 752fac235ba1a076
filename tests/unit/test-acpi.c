/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the ACPI tables: structure and checksums as placed, the firmware's way to the same bytes, and ACPICA's
 * tools as witnesses: iasl reads each table, acpiexec carries the namespace out.
 */
#include <string.h>

#include <glib/gstdio.h>

#include "hw/acpi/tables.h"
#include "util/machine-lock.h"

#define BASE 0x7ff0000u

static const AcpiConfig config = {
    .cpu_count = 3,
    .isa_devices = ACPI_ISA_COM1 | ACPI_ISA_RTC | ACPI_ISA_KEYBOARD,
    .pci_first = 0xc0000000,
    .pci_last = 0xfebfffff,
    .pci64_first = 0x200000000,
    .pci64_last = 0x2ffffffff,
};

/* What the guest sees: bytes at an address. */
typedef struct Image {
    GBytes *bytes;
    const uint8_t *data;
    gsize size;
    uint32_t base;
} Image;

static const uint8_t *at(const Image *image, uint64_t address, gsize size)
{
    g_assert_cmphex(address, >=, image->base);
    g_assert_cmpuint(address - image->base + size, <=, image->size);
    return image->data + (address - image->base);
}

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

/* The table at ADDRESS, with its signature and checksum looked at; *ret_size may be NULL. */
static const uint8_t *table(const Image *image, uint64_t address, const char *signature, uint32_t *ret_size)
{
    const uint8_t *p = at(image, address, 36);
    uint32_t size = (uint32_t)number(p + 4, 4);

    g_assert_cmpmem(p, 4, signature, 4);
    at(image, address, size);
    if (!g_str_equal(signature, "FACS")) {
        g_assert_cmphex(sum(p, size), ==, 0);
        g_assert_cmpmem(p + 10, 6, "MPQEMU", 6);
    }
    if (ret_size) {
        *ret_size = size;
    }
    return p;
}

static const uint8_t *rsdp_of(const Image *image, uint64_t address)
{
    const uint8_t *p = at(image, address, 36);

    g_assert_cmpmem(p, 8, "RSD PTR ", 8);
    g_assert_cmphex(sum(p, 20), ==, 0);
    g_assert_cmphex(sum(p, 36), ==, 0);
    g_assert_cmpuint(p[15], ==, 2);
    return p;
}

/* The N-th table below RSDT and XSDT, which agree. */
static uint64_t root_entry(const Image *image, const uint8_t *rsdp, unsigned n)
{
    uint32_t rsdt_size, xsdt_size;
    const uint8_t *rsdt = table(image, number(rsdp + 16, 4), "RSDT", &rsdt_size);
    const uint8_t *xsdt = table(image, number(rsdp + 24, 8), "XSDT", &xsdt_size);

    g_assert_cmpuint(rsdt_size, ==, 36 + 2 * 4);
    g_assert_cmpuint(xsdt_size, ==, 36 + 2 * 8);
    g_assert_cmphex(number(rsdt + 36 + 4 * n, 4), ==, number(xsdt + 36 + 8 * n, 8));
    return number(xsdt + 36 + 8 * n, 8);
}

/* Finished tables of C; image_clear() frees them.  Returns the RSDP's address. */
static uint64_t place(const AcpiConfig *c, Image *image)
{
    uint64_t rsdp_at;

    *image = (Image) { .base = BASE };
    image->bytes = acpi_tables_place(c, BASE, &rsdp_at);
    image->data = g_bytes_get_data(image->bytes, &image->size);
    return rsdp_at;
}

static void image_clear(Image *image)
{
    g_clear_pointer(&image->bytes, g_bytes_unref);
}

static void test_fadt(void)
{
    Image image;
    uint64_t rsdp_at = place(&config, &image);
    const uint8_t *fadt;
    uint32_t size;

    g_assert_cmphex(rsdp_at, ==, BASE);
    fadt = table(&image, root_entry(&image, rsdp_of(&image, rsdp_at), 0), "FACP", &size);
    g_assert_cmpuint(size, ==, 268);
    g_assert_cmpuint(number(fadt + 36, 4) % 64, ==, 0);
    table(&image, number(fadt + 36, 4), "FACS", &size);
    g_assert_cmpuint(size, ==, 64);
    g_assert_cmphex(number(fadt + 40, 4), ==, number(fadt + 140, 8));
    table(&image, number(fadt + 140, 8), "DSDT", NULL);
    g_assert_cmpuint(number(fadt + 46, 2), ==, 9);
    g_assert_cmphex(number(fadt + 56, 4), ==, 0x600);
    g_assert_cmphex(number(fadt + 64, 4), ==, 0x604);
    g_assert_cmphex(number(fadt + 76, 4), ==, 0x608);
    g_assert_cmphex(number(fadt + 80, 4), ==, 0xafe0);
    g_assert_cmpuint(fadt[108], ==, 0x32);
    g_assert_cmphex(number(fadt + 109, 2), ==, 0x7);
    g_assert_cmphex(number(fadt + 116, 1), ==, 1);
    g_assert_cmphex(number(fadt + 120, 8), ==, 0xcf9);
    g_assert_cmpuint(fadt[128], ==, 6);
    g_assert_cmphex(number(fadt + 152, 8), ==, 0x600);
    g_assert_cmphex(number(fadt + 176, 8), ==, 0x604);
    g_assert_cmphex(number(fadt + 212, 8), ==, 0x608);
    g_assert_cmphex(number(fadt + 224, 8), ==, 0xafe0);
    image_clear(&image);
}

/* Entries of the MADT by type, and the sum of the processors' ids. */
static void count_madt(const AcpiConfig *c, unsigned counts[16], uint64_t *ret_ids)
{
    Image image;
    uint64_t rsdp_at = place(c, &image);
    uint32_t size;
    const uint8_t *madt = table(&image, root_entry(&image, rsdp_of(&image, rsdp_at), 1), "APIC", &size);

    memset(counts, 0, 16 * sizeof(counts[0]));
    *ret_ids = 0;
    for (uint32_t i = 44; i < size; i += madt[i + 1]) {
        const uint8_t *entry = madt + i;

        g_assert_cmpuint(entry[1], >, 2);
        g_assert_cmpuint(i + entry[1], <=, size);
        g_assert_cmpuint(entry[0], <, 16);
        counts[entry[0]]++;
        *ret_ids += entry[0] == 0 ? entry[3] : entry[0] == 9 ? number(entry + 4, 4) : 0;
        if (entry[0] == 2 && entry[3] == 0) {
            g_assert_cmpuint(number(entry + 4, 4), ==, 2);
        } else if (entry[0] == 2) {
            g_assert_cmpuint(entry[3], ==, 9);
            g_assert_cmpuint(number(entry + 4, 4), ==, 9);
            g_assert_cmphex(number(entry + 8, 2), ==, 0xd);
        }
    }
    image_clear(&image);
}

static void test_madt(void)
{
    static const unsigned cpus[] = { 1, 3, 255, 256, ACPI_CPUS_MAX };

    for (unsigned i = 0; i < G_N_ELEMENTS(cpus); i++) {
        AcpiConfig c = config;
        unsigned counts[16], n = cpus[i];
        uint64_t ids;

        c.cpu_count = n;
        count_madt(&c, counts, &ids);
        g_assert_cmpuint(counts[0], ==, MIN(n, 255));
        g_assert_cmpuint(counts[9], ==, n - MIN(n, 255));
        g_assert_cmpuint(ids, ==, (uint64_t)n * (n - 1) / 2);
        g_assert_cmpuint(counts[1], ==, 1);
        g_assert_cmpuint(counts[2], ==, 2);
        g_assert_cmpuint(counts[4], ==, 1);
        g_assert_cmpuint(counts[10], ==, n > 255);
    }
}

/* ---- the firmware's way ---------------------------------------------------------------------- */

/* A file that the loader has given an address. */
typedef struct Loaded {
    const char *name;
    GByteArray *bytes;
    uint32_t address;
} Loaded;

static Loaded *loaded_find(Loaded *files, const uint8_t *name)
{
    for (unsigned i = 0; i < 2; i++) {
        if (g_str_equal(files[i].name, (const char *)name)) {
            return &files[i];
        }
    }
    g_error("unknown file '%s'", name);
}

/* Carries out one command as the specification says. */
static void obey(const uint8_t *command, Loaded *files)
{
    Loaded *file = loaded_find(files, command + 4);
    uint32_t offset = (uint32_t)number(command + 60, 4);

    switch (number(command, 4)) {
    case 1: /* allocate: the addresses are those of acpi_tables_place() */
        g_assert_cmpuint(file->address % offset, ==, 0);
        g_assert_cmpuint(command[64], ==, file == &files[0] ? 2 : 1);
        break;
    case 2: { /* add pointer */
        Loaded *target = loaded_find(files, command + 60);
        uint8_t size = command[120];
        uint64_t value;

        offset = (uint32_t)number(command + 116, 4);
        g_assert_cmpuint(offset + size, <=, file->bytes->len);
        value = number(file->bytes->data + offset, size);
        g_assert_cmpuint(value, <, target->bytes->len);
        value = GUINT64_TO_LE(value + target->address);
        memcpy(file->bytes->data + offset, &value, size);
        break;
    }
    case 3: { /* add checksum */
        uint32_t start = (uint32_t)number(command + 64, 4), length = (uint32_t)number(command + 68, 4);

        g_assert_cmpuint(start + length, <=, file->bytes->len);
        file->bytes->data[offset] = (uint8_t)(file->bytes->data[offset] - sum(file->bytes->data + start, length));
        break;
    }
    default:
        g_assert_not_reached();
    }
}

static void test_loader_makes_the_same(void)
{
    MemoryRegion root_mem, root_io;
    AddressSpace *mem;
    FwCfg *cfg;
    Image image;
    Loaded files[2] = {
        { "etc/acpi/rsdp", g_byte_array_new(), BASE },
        { "etc/acpi/tables", g_byte_array_new(), BASE + 64 },
    };
    const uint8_t *commands;
    gsize size;

    place(&config, &image);
    memory_region_init(&root_mem, NULL, "mem", MEMORY_SIZE_WHOLE);
    memory_region_init(&root_io, NULL, "io", 65536);
    mem = address_space_new(&root_mem, "mem");
    cfg = fw_cfg_new(&root_io, mem);
    acpi_tables_add_to_fw_cfg(&config, cfg);
    for (unsigned i = 0; i < 2; i++) {
        GBytes *file = fw_cfg_file(cfg, files[i].name);

        g_assert_nonnull(file);
        g_byte_array_append(files[i].bytes, g_bytes_get_data(file, NULL), (guint)g_bytes_get_size(file));
    }
    commands = g_bytes_get_data(fw_cfg_file(cfg, "etc/table-loader"), &size);
    g_assert_cmpuint(size % 128, ==, 0);
    for (gsize i = 0; i < size; i += 128) {
        obey(commands + i, files);
    }
    g_assert_cmpmem(files[0].bytes->data, files[0].bytes->len, image.data, 36);
    g_assert_cmpmem(files[1].bytes->data, files[1].bytes->len, image.data + 64, image.size - 64);
    fw_cfg_free(cfg);
    address_space_free(mem);
    memory_region_destroy(&root_mem);
    memory_region_destroy(&root_io);
    g_byte_array_unref(files[0].bytes);
    g_byte_array_unref(files[1].bytes);
    image_clear(&image);
}

/* ---- witnesses ------------------------------------------------------------------------------- */

/* Runs ARGV in WHERE; its output, standard error included.  The test fails when the program does. */
static char *run(const char *where, const char *const *argv)
{
    g_autofree char *err = NULL, *out = NULL;
    GError *error = NULL;
    int status;

    g_spawn_sync(where, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error);
    g_assert_no_error(error);
    if (status) {
        g_error("%s: status %d:\n%s%s", argv[0], status, out, err);
    }
    return g_strconcat(out, err, NULL);
}

static const char *const table_files[] = { "dsdt.dat", "facp.dat", "apic.dat" };

/* A fresh directory with the tables as files. */
static char *write_tables(const AcpiConfig *c)
{
    Image image = { 0 };
    const uint8_t *rsdp = rsdp_of(&image, place(c, &image)), *tables[3];
    char *where = g_dir_make_tmp("test-acpi-XXXXXX", NULL);

    g_assert_nonnull(where);
    tables[1] = table(&image, root_entry(&image, rsdp, 0), "FACP", NULL);
    tables[2] = table(&image, root_entry(&image, rsdp, 1), "APIC", NULL);
    tables[0] = table(&image, number(tables[1] + 140, 8), "DSDT", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(table_files); i++) {
        g_autofree char *path = g_build_filename(where, table_files[i], NULL);

        g_assert_true(g_file_set_contents(path, (const char *)tables[i], (gssize)number(tables[i] + 4, 4), NULL));
    }
    image_clear(&image);
    return where;
}

static void remove_tables(char *where)
{
    GDir *dir = g_dir_open(where, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(where, name, NULL);

        g_unlink(path);
    }
    g_dir_close(dir);
    g_rmdir(where);
    g_free(where);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        g_error("'%s' is not in:\n%s", part, text);
    }
}

static void test_iasl_reads_the_tables(void)
{
    char *where = write_tables(&config);

    for (unsigned i = 0; i < G_N_ELEMENTS(table_files); i++) {
        const char *const argv[] = { "iasl", "-d", table_files[i], NULL };
        g_autofree char *out = run(where, argv);

        g_assert_null(strstr(out, "Error"));
        g_assert_null(strstr(out, "Warning"));
        g_assert_null(strstr(out, "nvalid"));
        assert_contains(out, i == 0 ? "ASL Output:" : "Formatted output:");
    }
    remove_tables(where);
}

/* What acpiexec answers to COMMANDS ("a;b") in the namespace of C. */
static char *execute(const AcpiConfig *c, const char *commands)
{
    char *where = write_tables(c);
    const char *const argv[] = {
        "acpiexec", "-di", "-b", commands, table_files[0], table_files[1], table_files[2], NULL,
    };
    char *out = run(where, argv);

    remove_tables(where);
    return out;
}

/* One run for all: acpiexec takes half a second to end.  The part behind the evaluation of NAME. */
static const char *answer_of(const char *name)
{
    static char *out;
    g_autofree char *heading = g_strdup_printf("Evaluating \\%s\n", name);
    const char *found;

    if (!out) {
        out = execute(&config, "evaluate \\_SB.PCI0._CRS;"
                               "evaluate \\_SB.PCI0.ISA.COM1._STA;evaluate \\_SB.PCI0.ISA.COM2._STA;"
                               "evaluate \\_SB.PCI0.ISA.KBD._STA;evaluate \\_SB.PCI0.ISA.MOU._STA;"
                               "evaluate \\_SB.PCI0.ISA.RTC._STA;"
                               "evaluate \\_SB.LNKA._DIS;evaluate \\_SB.LNKA._STA;evaluate \\_SB.LNKA._CRS;"
                               "evaluate \\_SB.LNKD._SRS (23 00 08 18 79 00);evaluate \\_SB.LNKD._CRS;"
                               "evaluate \\_SB.LNKD._STA;evaluate \\_SB.LNKC._PRS;"
                               "evaluate \\_SB.PCI0.NTFY 0x80001004 3;evaluate \\_GPE._E01;"
                               "evaluate \\_SB.PCI0.CHKB 0x11;"
                               "evaluate \\_SB.PCI0.S1F._EJ0 1;evaluate \\_SB.PCI0.S1F._SUN;"
                               "evaluate \\_SB.PCI0.S1F._OST 3 0x81 0;evaluate \\_SB.PCI0.B0OS;"
                               "evaluate \\_SB.PCI0.S1F._ADR;evaluate \\_S5");
        g_assert_null(strstr(out, "ACPI Error"));
    }
    found = strstr(out, heading);
    if (!found) {
        g_error("no '%s' in:\n%s", heading, out);
    }
    return found + strlen(heading);
}

/* The answer to the evaluation of NAME, up to the next, has PART. */
static void expect_answer(const char *name, const char *part)
{
    const char *answer = answer_of(name), *end = strstr(answer, "Evaluating \\");
    g_autofree char *own = end ? g_strndup(answer, (gsize)(end - answer)) : g_strdup(answer);

    assert_contains(own, part);
}

static void test_pci_resources(void)
{
    AcpiConfig small = config;
    g_autofree char *without = NULL;

    expect_answer("_SB.PCI0._CRS", "0050: 02 00 87 17 00 00 0C 01 00 00 00 00 00 00 00 C0");
    expect_answer("_SB.PCI0._CRS", "0060: FF FF BF FE 00 00 00 00 00 00 C0 3E 8A 2B 00 00");
    expect_answer("_SB.PCI0._CRS", "0070: 0C 03 00 00 00 00 00 00 00 00 00 00 00 00 02 00");
    expect_answer("_SB.PCI0._CRS", "0080: 00 00 FF FF FF FF 02 00 00 00 00 00 00 00 00 00");
    expect_answer("_SB.PCI0._CRS", "0090: 00 00 00 00 00 00 01 00 00 00 79 00");
    small.pci64_first = small.pci64_last = 0;
    without = execute(&small, "evaluate \\_SB.PCI0._CRS");
    assert_contains(without, "[Buffer] Length 6E");
    assert_contains(without, "0060: FF FF BF FE 00 00 00 00 00 00 C0 3E 79 00");
}

static void test_isa_devices(void)
{
    expect_answer("_SB.PCI0.ISA.COM1._STA", "[Integer] = 000000000000000F");
    expect_answer("_SB.PCI0.ISA.COM2._STA", "[Integer] = 0000000000000000");
    expect_answer("_SB.PCI0.ISA.KBD._STA", "[Integer] = 000000000000000F");
    expect_answer("_SB.PCI0.ISA.MOU._STA", "[Integer] = 0000000000000000");
    expect_answer("_SB.PCI0.ISA.RTC._STA", "[Integer] = 000000000000000F");
}

/* acpiexec keeps a region's bytes as memory would, so link devices can be set and asked. */
static void test_link_devices(void)
{
    expect_answer("_SB.LNKA._STA", "[Integer] = 0000000000000009"); /* behind _DIS */
    expect_answer("_SB.LNKA._CRS", "0000: 23 00 00 18 79 00");
    expect_answer("_SB.LNKD._CRS", "0000: 23 00 08 18 79 00"); /* behind _SRS */
    expect_answer("_SB.LNKD._STA", "[Integer] = 000000000000000B");
    expect_answer("_SB.LNKC._PRS", "0000: 23 20 0C 18 79 00");
}

static void test_hotplug_methods(void)
{
    expect_answer("_SB.PCI0.NTFY", "[S02_]");
    expect_answer("_SB.PCI0.NTFY", "[S0C_]");
    expect_answer("_SB.PCI0.NTFY", "[S1F_]");
    expect_answer("_SB.PCI0.NTFY", "Value 0x03 (Eject Request)");
    expect_answer("_SB.PCI0.CHKB", "[PCI0]");
    expect_answer("_SB.PCI0.CHKB", "Value 0x00 (Bus Check)");
    expect_answer("_SB.PCI0.B0OS", "[Integer] = 000000000081031F"); /* behind _OST */
    expect_answer("_GPE._E01", "No object was returned");
    expect_answer("_SB.PCI0.S1F._EJ0", "No object was returned");
    expect_answer("_SB.PCI0.S1F._SUN", "[Integer] = 000000000000001F");
    expect_answer("_SB.PCI0.S1F._ADR", "[Integer] = 00000000001F0000");
}

static void test_sleep_package(void)
{
    expect_answer("_S5", "[Package] Contains 4 Elements:\n    [Integer] = 0000000000000000");
}

/* The disassembled DSDT. */
static void disassemble(char **ret_text)
{
    const char *const argv[] = { "iasl", "-d", table_files[0], NULL };
    char *where = write_tables(&config);
    g_autofree char *path = g_build_filename(where, "dsdt.dsl", NULL);

    g_free(run(where, argv));
    g_assert_true(g_file_get_contents(path, ret_text, NULL, NULL));
    remove_tables(where);
}

/* The next word behind *p that is no comment, separator or keyword of a package; moves *p. */
static char *next_element(const char **p)
{
    for (;;) {
        gsize length;

        *p += strspn(*p, " \t\n{},");
        if (g_str_has_prefix(*p, "//")) {
            *p += strcspn(*p, "\n");
        } else if (g_str_has_prefix(*p, "Package (0x04)")) {
            *p += strlen("Package (0x04)");
        } else {
            char *word;

            length = strcspn(*p, " \t\n{},");
            word = g_strndup(*p, length);
            *p += length;
            return word;
        }
    }
}

static void expect_element(const char **p, const char *want)
{
    g_autofree char *word = next_element(p);

    g_assert_cmpstr(word, ==, want);
}

/* All 128 entries of both routing tables; iasl writes 0 and 1 as words. */
static void test_interrupt_routing(void)
{
    static const char *const pins[] = { "Zero", "One", "0x02", "0x03" };
    g_autofree char *text = NULL;
    const char *apic, *pic;

    disassemble(&text);
    apic = strstr(text, "Name (PRTA, Package (0x80)");
    pic = strstr(text, "Name (PRTP, Package (0x80)");
    g_assert_nonnull(apic);
    g_assert_nonnull(pic);
    apic += strlen("Name (PRTA, Package (0x80)");
    pic += strlen("Name (PRTP, Package (0x80)");
    for (unsigned i = 0; i < 128; i++) {
        unsigned slot = i / 4, pin = i % 4, pirq = (slot + 3 + pin) & 3;
        g_autofree char *address = slot ? g_strdup_printf("0x%08X", slot << 16 | 0xffff) : g_strdup("0xFFFF");
        g_autofree char *gsi = g_strdup_printf("0x%02X", 16 + pirq), *link = g_strdup_printf("LNK%c", 'A' + pirq);

        expect_element(&apic, address);
        expect_element(&apic, pins[pin]);
        expect_element(&apic, "Zero");
        expect_element(&apic, gsi);
        expect_element(&pic, address);
        expect_element(&pic, pins[pin]);
        expect_element(&pic, link);
        expect_element(&pic, "Zero");
    }
}

int main(int argc, char **argv)
{
    int status;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/acpi/fadt", test_fadt);
    g_test_add_func("/acpi/madt", test_madt);
    g_test_add_func("/acpi/loader-makes-the-same", test_loader_makes_the_same);
    g_test_add_func("/acpi/iasl-reads-the-tables", test_iasl_reads_the_tables);
    g_test_add_func("/acpi/namespace/pci-resources", test_pci_resources);
    g_test_add_func("/acpi/namespace/isa-devices", test_isa_devices);
    g_test_add_func("/acpi/namespace/link-devices", test_link_devices);
    g_test_add_func("/acpi/namespace/hotplug-methods", test_hotplug_methods);
    g_test_add_func("/acpi/namespace/sleep-package", test_sleep_package);
    g_test_add_func("/acpi/namespace/interrupt-routing", test_interrupt_routing);
    status = g_test_run();
    machine_unlock();
    return status;
}
