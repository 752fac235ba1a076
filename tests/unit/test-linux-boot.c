/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of direct kernel boot: what kernel files are taken and refused, what goes where, what is written.
 */
#include <elf.h>
#include <string.h>
#include <unistd.h>

#include "hw/i386/linux-boot.h"
#include "hw/i386/pc.h"
#include "system/memory.h"
#include "util/machine-lock.h"

#define MIB UINT64_C(0x100000)
#define GIB UINT64_C(0x40000000)
#define RAM_SIZE (64 * MIB)
#define SETUP 1024u /* of the synthetic bzImage: one sector of setup */

static void put(uint8_t *at, uint64_t value, unsigned size)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, size);
}

static uint64_t get(const uint8_t *at, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, at, size);
    return GUINT64_FROM_LE(value);
}

static void expect_error(GError **err, const char *words)
{
    g_assert_nonnull(*err);
    if (!strstr((*err)->message, words)) {
        g_error("'%s' is not in '%s'", words, (*err)->message);
    }
    g_assert_null(strchr((*err)->message, '\n'));
    g_clear_error(err);
}

/* ---- bzImage --------------------------------------------------------------------------------- */

#define BZ_SIZE (SETUP + 4096u)

/* A kernel that wants 8 MiB at 16 MiB. */
static void make_bzimage(uint8_t file[BZ_SIZE])
{
    memset(file, 0, SETUP);
    memset(file + SETUP, 0xcc, BZ_SIZE - SETUP);
    put(file + 0x1f1, 1, 1);
    put(file + 0x1f4, 4096 / 16, 4);
    put(file + 0x1fe, 0xaa55, 2);
    put(file + 0x200, 0x6aeb, 2); /* jump over the header, whose end is 0x202 + 0x6a */
    memcpy(file + 0x202, "HdrS", 4);
    put(file + 0x206, 0x20f, 2);
    put(file + 0x211, 1, 1);
    put(file + 0x22c, 0x7fffffff, 4);
    put(file + 0x230, 0x200000, 4);
    put(file + 0x234, 1, 1);
    put(file + 0x236, 1, 2);
    put(file + 0x238, 2047, 4);
    put(file + 0x258, 16 * MIB, 8);
    put(file + 0x260, 8 * MIB, 4);
}

static void test_bzimage(void)
{
    uint8_t file[BZ_SIZE];
    LinuxImage image;

    make_bzimage(file);
    g_assert_true(linux_image_parse(file, sizeof(file), &image, NULL));
    g_assert_false(image.pvh);
    g_assert_cmpuint(image.segment_count, ==, 1);
    g_assert_cmphex(image.segments[0].offset, ==, SETUP);
    g_assert_cmphex(image.segments[0].file_size, ==, 4096);
    g_assert_cmphex(image.segments[0].address, ==, 16 * MIB);
    g_assert_cmphex(image.segments[0].mem_size, ==, 8 * MIB);
    g_assert_cmphex(image.entry, ==, 0x200);
    g_assert_cmphex(image.initrd_max, ==, 0x7fffffff);
    g_assert_cmpuint(image.cmdline_max, ==, 2047);
    g_assert_cmphex(image.header_size, ==, 0x202 + 0x6a - 0x1f1);
    g_assert_cmpmem(image.header, image.header_size, file + 0x1f1, image.header_size);

    put(file + 0x236, 3, 2);
    put(file + 0x1f1, 0, 1); /* means 4 sectors */
    put(file + 0x1f4, 0x10, 4);
    g_assert_true(linux_image_parse(file, sizeof(file), &image, NULL));
    g_assert_cmphex(image.initrd_max, ==, UINT64_MAX);
    g_assert_cmphex(image.segments[0].offset, ==, 5 * 512);

    put(file + 0x200, 0xffeb, 2); /* longer than boot_params has room for */
    g_assert_true(linux_image_parse(file, sizeof(file), &image, NULL));
    g_assert_cmphex(image.header_size, ==, 0x290 - 0x1f1);
    put(file + 0x200, 0x00eb, 2); /* shorter than what is read */
    g_assert_true(linux_image_parse(file, sizeof(file), &image, NULL));
    g_assert_cmphex(image.header_size, ==, 0x264 - 0x1f1);
}

static void test_bzimage_refused(void)
{
    static const struct {
        unsigned offset, size;
        uint64_t value;
        const char *words;
    } cases[] = {
        { 0x1fe, 2, 0x55aa, "neither a bzImage" },
        { 0x202, 4, 0x53726447, "neither a bzImage" },
        { 0x206, 2, 0x20b, "2.11 has no 64-bit entry" },
        { 0x236, 2, 2, "no 64-bit entry" },
        { 0x211, 1, 0, "no 64-bit entry" },
        { 0x1f4, 4, 4096 / 16 + 1, "truncated" },
        { 0x1f4, 4, UINT32_MAX, "truncated" },
        { 0x1f1, 1, 255, "truncated" },
        { 0x258, 8, UINT64_MAX - 8 * MIB + 1, "beyond all memory" },
        { 0x230, 4, 0, "no power of 2" },
        { 0x230, 4, 0x300000, "no power of 2" },
    };
    uint8_t file[BZ_SIZE];
    LinuxImage image;
    GError *err = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        make_bzimage(file);
        put(file + cases[i].offset, cases[i].value, cases[i].size);
        g_assert_false(linux_image_parse(file, sizeof(file), &image, &err));
        expect_error(&err, cases[i].words);
    }
}

/* No prefix of a file is taken for the whole, and none is read beyond its end (sanitizers watch an exact copy). */
static void test_truncated_files(void)
{
    uint8_t file[BZ_SIZE];
    LinuxImage image;

    make_bzimage(file);
    for (size_t size = 0; size < sizeof(file) - 15; size += size < 0x280 ? 1 : 61) {
        g_autofree uint8_t *part = g_malloc(size + 1); /* malloc(0) would be NULL */

        memcpy(part + 1, file, size);
        g_assert_false(linux_image_parse(part + 1, size, &image, NULL));
    }
}

/* ---- ELF ------------------------------------------------------------------------------------- */

#define ELF_SIZE 4096u
#define ELF_PHDRS sizeof(Elf64_Ehdr)
#define ELF_NOTE 0x200u
#define ELF_DATA 0x400u

static Elf64_Phdr *elf_phdr(uint8_t *file, unsigned i)
{
    return (Elf64_Phdr *)(file + ELF_PHDRS) + i;
}

/* 1 KiB of code and as much of zeroes at 2 MiB, entered at its byte 0x10; a foreign note before ours. */
static void make_elf(uint8_t *file)
{
    Elf64_Ehdr *head = (Elf64_Ehdr *)file;
    uint8_t *note = file + ELF_NOTE;

    memset(file, 0, ELF_SIZE);
    memcpy(head->e_ident, ELFMAG, SELFMAG);
    head->e_ident[EI_CLASS] = ELFCLASS64;
    head->e_ident[EI_DATA] = ELFDATA2LSB;
    head->e_machine = EM_X86_64;
    head->e_phoff = ELF_PHDRS;
    head->e_phentsize = sizeof(Elf64_Phdr);
    head->e_phnum = 2;
    *elf_phdr(file, 0) = (Elf64_Phdr) { .p_type = PT_LOAD, .p_offset = ELF_DATA, .p_paddr = 2 * MIB, .p_filesz = 1024,
                                        .p_memsz = 2048 };
    *elf_phdr(file, 1) = (Elf64_Phdr) { .p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = 64 };
    put(note, 4, 4);
    put(note + 4, 5, 4);
    put(note + 8, 18, 4);
    memcpy(note + 12, "GNU", 4);
    put(note + 24, 4, 4); /* behind 5 bytes in 8 */
    put(note + 28, 8, 4);
    put(note + 32, 18, 4);
    memcpy(note + 36, "Xen", 4);
    put(note + 40, 2 * MIB + 0x10, 8);
    memset(file + ELF_DATA, 0x5a, 1024);
}

static void test_elf(void)
{
    g_autofree uint8_t *file = g_malloc(ELF_SIZE);
    LinuxImage image;

    make_elf(file);
    g_assert_true(linux_image_parse(file, ELF_SIZE, &image, NULL));
    g_assert_true(image.pvh);
    g_assert_cmpuint(image.segment_count, ==, 1);
    g_assert_cmphex(image.entry, ==, 2 * MIB + 0x10);
    g_assert_cmphex(image.segments[0].address, ==, 2 * MIB);
    g_assert_cmphex(image.segments[0].mem_size, ==, 2048);

    put(file + ELF_NOTE + 28, 4, 4);
    g_assert_true(linux_image_parse(file, ELF_SIZE, &image, NULL));
    g_assert_cmphex(image.entry, ==, 2 * MIB + 0x10);
}

static void test_elf32(void)
{
    g_autofree uint8_t *file = g_malloc(ELF_SIZE);
    Elf32_Ehdr *head = (Elf32_Ehdr *)file;
    Elf32_Phdr *phdr = (Elf32_Phdr *)(file + sizeof(*head));
    LinuxImage image;

    make_elf(file);
    memset(file + EI_NIDENT, 0, ELF_NOTE - EI_NIDENT);
    head->e_ident[EI_CLASS] = ELFCLASS32;
    head->e_machine = EM_386;
    head->e_phoff = sizeof(*head);
    head->e_phentsize = sizeof(*phdr);
    head->e_phnum = 2;
    phdr[0] = (Elf32_Phdr) { .p_type = PT_LOAD, .p_offset = ELF_DATA, .p_paddr = 2 * MIB, .p_filesz = 1024,
                             .p_memsz = 1024 };
    phdr[1] = (Elf32_Phdr) { .p_type = PT_NOTE, .p_offset = ELF_NOTE, .p_filesz = 64 };
    g_assert_true(linux_image_parse(file, ELF_SIZE, &image, NULL));
    g_assert_cmphex(image.entry, ==, 2 * MIB + 0x10);
    g_assert_cmphex(image.segments[0].offset, ==, ELF_DATA);
}

/* SPOIL changes a good file. */
static void expect_elf_refused(void (*spoil)(uint8_t *file), const char *words)
{
    g_autofree uint8_t *file = g_malloc(ELF_SIZE);
    LinuxImage image;
    GError *err = NULL;

    make_elf(file);
    spoil(file);
    g_assert_false(linux_image_parse(file, ELF_SIZE, &image, &err));
    expect_error(&err, words);
}

static void spoil_machine(uint8_t *file) { ((Elf64_Ehdr *)file)->e_machine = EM_ARM; }
static void spoil_class(uint8_t *file) { file[EI_CLASS] = 7; }
static void spoil_order(uint8_t *file) { file[EI_DATA] = ELFDATA2MSB; }
static void spoil_phoff(uint8_t *file) { ((Elf64_Ehdr *)file)->e_phoff = UINT64_MAX - 16; }
static void spoil_phentsize(uint8_t *file) { ((Elf64_Ehdr *)file)->e_phentsize = 8; }
static void spoil_phnum(uint8_t *file) { ((Elf64_Ehdr *)file)->e_phnum = 0xffff; }
static void spoil_note(uint8_t *file) { put(file + ELF_NOTE + 32, 17, 4); }
static void spoil_note_name(uint8_t *file) { file[ELF_NOTE + 36] = 'Y'; }
static void spoil_note_size(uint8_t *file) { put(file + ELF_NOTE + 4, UINT32_MAX, 4); }
static void spoil_entry(uint8_t *file) { put(file + ELF_NOTE + 40, 2 * MIB + 2048, 8); }
static void spoil_offset(uint8_t *file) { elf_phdr(file, 0)->p_offset = UINT64_MAX - 4; }
static void spoil_filesz(uint8_t *file) { elf_phdr(file, 0)->p_filesz = 2049; }
static void spoil_length(uint8_t *file) { elf_phdr(file, 0)->p_offset = ELF_SIZE - 1023; }
static void spoil_paddr(uint8_t *file) { elf_phdr(file, 0)->p_paddr = UINT64_MAX - 2047; }

/* The same program header 17 times, one too many; the notes are elsewhere then, but that is told later. */
static void spoil_count(uint8_t *file)
{
    ((Elf64_Ehdr *)file)->e_phnum = LINUX_SEGMENTS_MAX + 1;
    for (unsigned i = 1; i <= LINUX_SEGMENTS_MAX; i++) {
        *elf_phdr(file, i) = *elf_phdr(file, 0);
        elf_phdr(file, i)->p_paddr += i * 0x10000000;
    }
}

static void spoil_overlap(uint8_t *file)
{
    ((Elf64_Ehdr *)file)->e_phnum = 2;
    *elf_phdr(file, 1) = *elf_phdr(file, 0);
    elf_phdr(file, 1)->p_paddr += elf_phdr(file, 0)->p_memsz - 1;
}

static void test_elf_refused(void)
{
    expect_elf_refused(spoil_machine, "not for x86");
    expect_elf_refused(spoil_class, "not for x86");
    expect_elf_refused(spoil_order, "not for x86");
    expect_elf_refused(spoil_phentsize, "not for x86");
    expect_elf_refused(spoil_phoff, "truncated");
    expect_elf_refused(spoil_phnum, "truncated");
    expect_elf_refused(spoil_note, "no PVH entry");
    expect_elf_refused(spoil_note_name, "no PVH entry");
    expect_elf_refused(spoil_note_size, "no PVH entry");
    expect_elf_refused(spoil_entry, "in none of its segments");
    expect_elf_refused(spoil_offset, "not all in the file");
    expect_elf_refused(spoil_filesz, "not all in the file");
    expect_elf_refused(spoil_length, "not all in the file");
    expect_elf_refused(spoil_paddr, "not all in the file");
    expect_elf_refused(spoil_count, "more than 16 segments");
    expect_elf_refused(spoil_overlap, "overlap");
}

/* ---- places ---------------------------------------------------------------------------------- */

static const LinuxRam ram_64m = { RAM_SIZE, PC_HIGH_RAM_BASE };

static LinuxImage bz_image(void)
{
    uint8_t file[BZ_SIZE];
    LinuxImage image;

    make_bzimage(file);
    g_assert_true(linux_image_parse(file, sizeof(file), &image, NULL));
    return image;
}

static void test_kernel_at_its_preferred_place(void)
{
    LinuxImage image = bz_image();
    LinuxPlan plan;

    g_assert_true(linux_boot_plan(&image, &ram_64m, 0, 0, &plan, NULL));
    g_assert_cmphex(plan.move, ==, 0);
    g_assert_cmphex(plan.entry, ==, 16 * MIB + 0x200);
    g_assert_true(linux_boot_plan(&image, &(LinuxRam) { 24 * MIB, PC_HIGH_RAM_BASE }, 0, 0, &plan, NULL));
    g_assert_cmphex(plan.move, ==, 0);
}

static void test_kernel_moves_when_ram_is_small(void)
{
    LinuxImage image = bz_image();
    GError *err = NULL;
    LinuxPlan plan;

    g_assert_true(linux_boot_plan(&image, &(LinuxRam) { 24 * MIB - 1, PC_HIGH_RAM_BASE }, 0, 0, &plan, NULL));
    g_assert_cmphex(plan.entry, ==, 2 * MIB + 0x200);
    g_assert_true(linux_boot_plan(&image, &(LinuxRam) { 10 * MIB, PC_HIGH_RAM_BASE }, 0, 0, &plan, NULL));
    g_assert_false(linux_boot_plan(&image, &(LinuxRam) { 10 * MIB - 1, PC_HIGH_RAM_BASE }, 0, 0, &plan, &err));
    expect_error(&err, "-kernel: it needs 10 MiB of memory, and there are only 9; give -m 26");
    image.relocatable = false;
    g_assert_false(linux_boot_plan(&image, &(LinuxRam) { 24 * MIB - 1, PC_HIGH_RAM_BASE }, 0, 0, &plan, &err));
    expect_error(&err, "needs 24 MiB");
    image.segments[0].address = 0x9000;
    g_assert_false(linux_boot_plan(&image, &ram_64m, 0, 0, &plan, &err));
    expect_error(&err, "but can have 1 MiB to 3 GiB");
    image.segments[0].address = UINT64_MAX - 8 * MIB;
    g_assert_false(linux_boot_plan(&image, &ram_64m, 0, 0, &plan, &err));
    expect_error(&err, "but can have 1 MiB to 3 GiB");
}

static void test_initrd_places(void)
{
    LinuxImage image = bz_image();
    const LinuxRam with_high = { RAM_SIZE, 5 * GIB };
    GError *err = NULL;
    LinuxPlan plan;

    g_assert_true(linux_boot_plan(&image, &ram_64m, 5000, 0, &plan, NULL));
    g_assert_cmphex(plan.initrd, ==, RAM_SIZE - 0x2000);
    g_assert_true(linux_boot_plan(&image, &ram_64m, 40 * MIB, 0, &plan, NULL)); /* up to the kernel's end */
    g_assert_cmphex(plan.initrd, ==, 24 * MIB);
    g_assert_false(linux_boot_plan(&image, &ram_64m, 40 * MIB + 1, 0, &plan, &err));
    expect_error(&err, "-initrd: its 41 MiB do not fit into the memory beside the kernel; give -m 81");

    image.initrd_max = 32 * MIB - 1; /* low */
    g_assert_true(linux_boot_plan(&image, &ram_64m, 0x1000, 0, &plan, NULL));
    g_assert_cmphex(plan.initrd, ==, 32 * MIB - 0x1000);
    g_assert_false(linux_boot_plan(&image, &with_high, 8 * MIB + 1, 0, &plan, &err));
    expect_error(&err, "do not fit where this kernel looks for it, below address 0x2000000");
    image.initrd_max = 0;
    g_assert_false(linux_boot_plan(&image, &ram_64m, 1, 0, &plan, &err));
    expect_error(&err, "where this kernel looks");

    image.initrd_max = UINT64_MAX; /* above 4 GiB */
    g_assert_true(linux_boot_plan(&image, &with_high, 40 * MIB + 1, 0, &plan, NULL));
    g_assert_cmphex(plan.initrd, ==, 5 * GIB - 40 * MIB - 0x1000);
    g_assert_false(linux_boot_plan(&image, &with_high, UINT64_MAX, 0, &plan, &err));
    expect_error(&err, "-initrd");
}

static void test_command_line_length(void)
{
    LinuxImage image = bz_image();
    GError *err = NULL;
    LinuxPlan plan;

    g_assert_true(linux_boot_plan(&image, &ram_64m, 0, 2047, &plan, NULL));
    g_assert_false(linux_boot_plan(&image, &ram_64m, 0, 2048, &plan, &err));
    expect_error(&err, "-append: the text has 2048 characters; this kernel takes 2047");
    image.cmdline_max = UINT32_MAX;
    g_assert_true(linux_boot_plan(&image, &ram_64m, 0, LINUX_CMDLINE_MAX, &plan, NULL));
    g_assert_false(linux_boot_plan(&image, &ram_64m, 0, LINUX_CMDLINE_MAX + 1, &plan, &err));
    expect_error(&err, "takes 65535");
}

static void test_e820(void)
{
    E820Entry map[E820_ENTRIES_MAX];

    g_assert_cmpuint(pc_e820(5 * GIB, 0x20000, map), ==, 6);
    g_assert_cmphex(map[0].size, ==, 0xa0000);
    g_assert_cmphex(map[1].address, ==, 0xe0000);
    g_assert_cmpuint(map[1].type, ==, E820_RESERVED);
    g_assert_cmphex(map[2].address + map[2].size, ==, 3 * GIB - 0x20000);
    g_assert_cmphex(map[3].address + map[3].size, ==, 3 * GIB);
    g_assert_cmpuint(map[3].type, ==, E820_ACPI);
    g_assert_cmphex(map[5].address, ==, 4 * GIB);
    g_assert_cmphex(map[5].size, ==, 2 * GIB);
    g_assert_cmpuint(pc_e820(0x80000, 0, map), ==, 3);
    g_assert_cmphex(map[0].size, ==, 0x80000);
    g_assert_cmphex(map[1].address, ==, 0xe0000);
}

/* ---- what is written ------------------------------------------------------------------------- */

static char *make_file(const void *data, gsize size)
{
    char *path = NULL;
    int fd = g_file_open_tmp("test-linux-boot-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
    close(fd);
    return path;
}

static void remove_file(char *path)
{
    unlink(path);
    g_free(path);
}

static void read_guest(uint64_t address, void *buf, uint64_t size)
{
    g_assert_cmpint(address_space_copy_from(system_memory(), address, buf, size, true), ==, MEM_OK);
}

static uint64_t read_number(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    read_guest(address, &value, size);
    return GUINT64_FROM_LE(value);
}

static void test_bzimage_in_memory(void)
{
    uint8_t file[BZ_SIZE], params[4096], code[4096];
    char *kernel, *initrd = make_file("the initrd", 10);
    E820Entry map[E820_ENTRIES_MAX];
    LinuxBoot *boot;
    BootRomParams rom;
    char text[32];

    make_bzimage(file);
    kernel = make_file(file, sizeof(file));
    boot = linux_boot_open(kernel, initrd, "console=ttyS0", &ram_64m, NULL);
    g_assert_nonnull(boot);
    linux_boot_set_board(boot, map, pc_e820(RAM_SIZE, 0, map), 0xe1234);
    rom = linux_boot_params(boot);
    g_assert_cmphex(rom.mode, ==, BOOT_ROM_LINUX64);
    g_assert_cmphex(rom.page_table, ==, LINUX_PAGE_TABLES);
    g_assert_cmphex(rom.entry, ==, 16 * MIB + 0x200);
    g_assert_cmphex(rom.argument, ==, LINUX_BOOT_PARAMS);

    for (unsigned again = 0; again < 2; again++) { /* what the guest has made of it meanwhile does not count */
        memset(params, 0xee, sizeof(params));
        address_space_copy_to(system_memory(), LINUX_BOOT_PARAMS, params, sizeof(params), true);
        address_space_copy_to(system_memory(), 16 * MIB, params, sizeof(params), true);
        linux_boot_load(boot);
        read_guest(16 * MIB, code, sizeof(code));
        g_assert_cmpmem(code, sizeof(code), file + SETUP, 4096);
        read_guest(LINUX_BOOT_PARAMS, params, sizeof(params));
        g_assert_cmpmem(params + 0x1f1, 0x1f, file + 0x1f1, 0x1f); /* up to type_of_loader */
        g_assert_cmphex(get(params + 0x210, 1), ==, 0xff);
        g_assert_cmphex(get(params + 0x218, 4), ==, RAM_SIZE - 0x1000);
        g_assert_cmphex(get(params + 0x21c, 4), ==, 10);
        g_assert_cmphex(get(params + 0x0c0, 4), ==, 0);
        g_assert_cmphex(get(params + 0x228, 4), ==, LINUX_CMDLINE);
        g_assert_cmphex(get(params + 0x070, 8), ==, 0xe1234);
        g_assert_cmphex(get(params + 0x000, 8), ==, 0);
        g_assert_cmpuint(get(params + 0x1e8, 1), ==, 4);
        g_assert_cmphex(get(params + 0x2d0 + 2 * 20, 8), ==, MIB);
        g_assert_cmphex(get(params + 0x2d0 + 2 * 20 + 8, 8), ==, RAM_SIZE - MIB);
        g_assert_cmphex(get(params + 0x2d0 + 2 * 20 + 16, 4), ==, E820_RAM);
        read_guest(RAM_SIZE - 0x1000, text, 10);
        g_assert_cmpmem(text, 10, "the initrd", 10);
        read_guest(LINUX_CMDLINE, text, 14);
        g_assert_cmpstr(text, ==, "console=ttyS0");
    }
    linux_boot_free(boot);
    remove_file(kernel);
    remove_file(initrd);
}

/* Walks the tables as a processor does. */
static uint64_t walk(uint64_t address)
{
    uint64_t entry = read_number(LINUX_PAGE_TABLES + (address >> 39) * 8, 8);

    entry = read_number((entry & ~UINT64_C(0xfff)) + (address >> 30 & 511) * 8, 8);
    g_assert_cmphex(entry & 0x83, ==, 0x03);
    entry = read_number((entry & ~UINT64_C(0xfff)) + (address >> 21 & 511) * 8, 8);
    g_assert_cmphex(entry & 0x83, ==, 0x83);
    return (entry & ~UINT64_C(0x1fffff)) + (address & 0x1fffff);
}

static void test_page_tables_map_low_4g(void)
{
    g_assert_cmphex(walk(0), ==, 0);
    g_assert_cmphex(walk(0x1000200), ==, 0x1000200);
    g_assert_cmphex(walk(0x7fffffff), ==, 0x7fffffff);
    g_assert_cmphex(walk(BOOT_ROM_BASE), ==, BOOT_ROM_BASE);
    g_assert_cmphex(read_number(LINUX_PAGE_TABLES + 8, 8), ==, 0);
    g_assert_cmphex(read_number(LINUX_PAGE_TABLES + 0x1000 + 4 * 8, 8), ==, 0);
}

static void test_pvh_in_memory(void)
{
    g_autofree uint8_t *file = g_malloc(ELF_SIZE);
    char *kernel, *initrd = make_file("the initrd", 10);
    E820Entry map[E820_ENTRIES_MAX];
    uint8_t info[0x100], code[2048];
    LinuxBoot *boot;
    BootRomParams rom;

    make_elf(file);
    kernel = make_file(file, ELF_SIZE);
    boot = linux_boot_open(kernel, initrd, NULL, &ram_64m, NULL);
    g_assert_nonnull(boot);
    linux_boot_set_board(boot, map, pc_e820(RAM_SIZE, 0, map), 0xe1234);
    rom = linux_boot_params(boot);
    g_assert_cmphex(rom.mode, ==, BOOT_ROM_PVH);
    g_assert_cmphex(rom.entry, ==, 2 * MIB + 0x10);
    g_assert_cmphex(rom.argument, ==, LINUX_START_INFO);
    memset(code, 0xee, sizeof(code));
    address_space_copy_to(system_memory(), 2 * MIB, code, sizeof(code), true);
    linux_boot_load(boot);
    read_guest(2 * MIB, code, sizeof(code));
    g_assert_cmpmem(code, 1024, file + ELF_DATA, 1024);
    for (unsigned i = 1024; i < sizeof(code); i++) {
        g_assert_cmphex(code[i], ==, 0);
    }
    read_guest(LINUX_START_INFO, info, sizeof(info));
    g_assert_cmphex(get(info, 4), ==, 0x336ec578);
    g_assert_cmpuint(get(info + 4, 4), ==, 1);
    g_assert_cmpuint(get(info + 12, 4), ==, 1);
    g_assert_cmphex(read_number(get(info + 16, 8), 8), ==, RAM_SIZE - 0x1000);
    g_assert_cmpuint(read_number(get(info + 16, 8) + 8, 8), ==, 10);
    g_assert_cmphex(read_number(get(info + 24, 8), 1), ==, 0); /* an empty command line */
    g_assert_cmphex(get(info + 32, 8), ==, 0xe1234);
    g_assert_cmpuint(get(info + 48, 4), ==, 4);
    g_assert_cmphex(read_number(get(info + 40, 8) + 2 * 24 + 8, 8), ==, RAM_SIZE - MIB);
    g_assert_cmphex(read_number(get(info + 40, 8) + 2 * 24 + 16, 4), ==, E820_RAM);
    linux_boot_free(boot);
    remove_file(kernel);
    remove_file(initrd);
}

static void test_files_that_cannot_be_used(void)
{
    uint8_t file[BZ_SIZE];
    char *kernel, *empty = make_file("", 0);
    GError *err = NULL;

    make_bzimage(file);
    kernel = make_file(file, sizeof(file));
    g_assert_null(linux_boot_open("/no/such/kernel", NULL, NULL, &ram_64m, &err));
    expect_error(&err, "-kernel: Could not open '/no/such/kernel'");
    g_assert_null(linux_boot_open("/", NULL, NULL, &ram_64m, &err));
    expect_error(&err, "a directory; give a regular file");
    g_assert_null(linux_boot_open("/dev/zero", NULL, NULL, &ram_64m, &err));
    expect_error(&err, "a character device; give a regular file");
    g_assert_null(linux_boot_open(kernel, empty, NULL, &ram_64m, &err));
    expect_error(&err, "an empty file; give a regular file that is not empty");
    g_assert_null(linux_boot_open(kernel, "/no/such/initrd", NULL, &ram_64m, &err));
    expect_error(&err, "-initrd: Could not open");
    g_assert_null(linux_boot_open(empty, NULL, NULL, &ram_64m, &err));
    expect_error(&err, "-kernel");
    remove_file(kernel);
    remove_file(empty);
}

/* ---- the ROM --------------------------------------------------------------------------------- */

static void test_boot_rom_vector(void)
{
    uint16_t start = (uint16_t)(BOOT_ROM_VECTOR + 3 + get(boot_rom + BOOT_ROM_VECTOR + 1, 2));

    /* At 0xfff0 a near jump, 16 bits, into the page, to CLI; other processors begin with the page's first byte. */
    g_assert_cmphex(boot_rom[BOOT_ROM_VECTOR], ==, 0xe9);
    g_assert_cmpuint(start, <, BOOT_ROM_PARAMS);
    g_assert_cmphex(boot_rom[start], ==, 0xfa);
    g_assert_cmphex(boot_rom[0], ==, 0xfa);
    /* A far jump to the next instruction, by the segment in which the copy's offsets are the reset vector's. */
    g_assert_cmphex(boot_rom[1], ==, 0xea);
    g_assert_cmphex(get(boot_rom + 2, 2), ==, 0xf006);
    g_assert_cmphex((get(boot_rom + 4, 2) << 4) + 0xf000, ==, BOOT_ROM_COPY);
    for (unsigned i = 0; i < sizeof(BootRomParams); i++) {
        g_assert_cmphex(boot_rom[BOOT_ROM_PARAMS + i], ==, 0);
    }
    G_STATIC_ASSERT(offsetof(BootRomParams, mode) == BOOT_ROM_MODE);
    G_STATIC_ASSERT(offsetof(BootRomParams, page_table) == BOOT_ROM_PAGE_TABLE);
    G_STATIC_ASSERT(offsetof(BootRomParams, entry) == BOOT_ROM_ENTRY);
    G_STATIC_ASSERT(offsetof(BootRomParams, argument) == BOOT_ROM_ARGUMENT);
}

int main(int argc, char **argv)
{
    MemoryRegion ram;
    RamBlock *block;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, RAM_SIZE);
    memory_region_add(address_space_root(system_memory()), 0, &ram, 0);
    g_test_add_func("/linux-boot/bzimage", test_bzimage);
    g_test_add_func("/linux-boot/bzimage-refused", test_bzimage_refused);
    g_test_add_func("/linux-boot/truncated-files", test_truncated_files);
    g_test_add_func("/linux-boot/elf", test_elf);
    g_test_add_func("/linux-boot/elf32", test_elf32);
    g_test_add_func("/linux-boot/elf-refused", test_elf_refused);
    g_test_add_func("/linux-boot/kernel-at-its-preferred-place", test_kernel_at_its_preferred_place);
    g_test_add_func("/linux-boot/kernel-moves-when-ram-is-small", test_kernel_moves_when_ram_is_small);
    g_test_add_func("/linux-boot/initrd-places", test_initrd_places);
    g_test_add_func("/linux-boot/command-line-length", test_command_line_length);
    g_test_add_func("/linux-boot/e820", test_e820);
    g_test_add_func("/linux-boot/bzimage-in-memory", test_bzimage_in_memory);
    g_test_add_func("/linux-boot/page-tables-map-low-4g", test_page_tables_map_low_4g);
    g_test_add_func("/linux-boot/pvh-in-memory", test_pvh_in_memory);
    g_test_add_func("/linux-boot/files-that-cannot-be-used", test_files_that_cannot_be_used);
    g_test_add_func("/linux-boot/boot-rom-vector", test_boot_rom_vector);
    return g_test_run();
}
