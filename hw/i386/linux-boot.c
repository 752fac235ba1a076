/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot (linux-boot.h): the files, the places, the tables.
 *
 * Thread: main thread, with the machine lock held.  Runs in: mpqemu.
 */
#include "hw/i386/linux-boot.h"

#include <fcntl.h>
#include <string.h>

#include "hw/i386/pc.h"
#include "system/memory.h"
#include "util/error.h"
#include "util/fd.h"

#define PAGE 0x1000u
#define MIB(bytes) (((bytes) + 0xfffffu) >> 20)

struct LinuxBoot {
    RamBlock *kernel; /* the files, mapped privately; reads of what somebody cuts off later give zeroes */
    RamBlock *initrd; /* NULL: none */
    char *cmdline;
    LinuxImage image;
    LinuxPlan plan;
    E820Entry map[E820_ENTRIES_MAX];
    unsigned map_count;
    uint64_t rsdp;
};

/* ---- places ---------------------------------------------------------------------------------- */

/* Where bytes [ret_start, ret_end) of the kernel are in memory, before they are moved. */
static void image_extent(const LinuxImage *image, uint64_t *ret_start, uint64_t *ret_end)
{
    *ret_start = UINT64_MAX;
    *ret_end = 0;
    for (unsigned i = 0; i < image->segment_count; i++) {
        *ret_start = MIN(*ret_start, image->segments[i].address);
        *ret_end = MAX(*ret_end, image->segments[i].address + image->segments[i].mem_size);
    }
}

/* INITRD_SIZE is for the advice only: whoever follows it shall not meet the next error. */
static bool plan_kernel(const LinuxImage *image, const LinuxRam *ram, uint64_t initrd_size, LinuxPlan *plan,
                        uint64_t *ret_end, GError **errp)
{
    uint64_t start, end, size, lowest;

    image_extent(image, &start, &end);
    if (start >= LINUX_KERNEL_MIN && end <= ram->low_end) {
        *ret_end = end;
        return true;
    }
    size = end - start;
    lowest = image->relocatable ? (LINUX_KERNEL_MIN + image->alignment - 1) & ~(image->alignment - 1) : start;
    if (image->relocatable && size <= ram->low_end && lowest <= ram->low_end - size) {
        plan->move = lowest - start;
        *ret_end = lowest + size;
        return true;
    }
    if (lowest < LINUX_KERNEL_MIN || lowest > PC_LOW_RAM_MAX || size > PC_LOW_RAM_MAX - lowest) {
        error_setg(errp, "it wants memory from 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER "x, but can have "
                   "1 MiB to 3 GiB; use another kernel", start, end);
        return false;
    }
    error_setg(errp, "it needs %" G_GUINT64_FORMAT " MiB of memory, and there are only %" G_GUINT64_FORMAT "; give -m %"
               G_GUINT64_FORMAT " or more", MIB(lowest + size), ram->low_end >> 20,
               MIB(lowest + size) + MIB(initrd_size) + 16);
    return false;
}

/* The highest page for SIZE bytes in [START, END) whose last byte is not above MAX_ADDRESS.  False: none. */
static bool place_high(uint64_t start, uint64_t end, uint64_t max_address, uint64_t size, uint64_t *ret_address)
{
    if (max_address < end) {
        end = max_address + 1; /* no overflow: below END */
    }
    if (end < size) {
        return false;
    }
    *ret_address = (end - size) & ~(uint64_t)(PAGE - 1);
    return *ret_address >= start;
}

static bool plan_initrd(const LinuxImage *image, const LinuxRam *ram, uint64_t kernel_end, uint64_t size,
                        LinuxPlan *plan, GError **errp)
{
    uint64_t reach = MIN(image->initrd_max, PC_LOW_RAM_MAX - 1) + 1;

    if (size == 0 || place_high(kernel_end, ram->low_end, image->initrd_max, size, &plan->initrd) ||
        place_high(PC_HIGH_RAM_BASE, ram->high_end, image->initrd_max, size, &plan->initrd)) {
        return true;
    }
    if (place_high(kernel_end, PC_LOW_RAM_MAX, image->initrd_max, size, &plan->initrd)) {
        error_setg(errp, "its %" G_GUINT64_FORMAT " MiB do not fit into the memory beside the kernel; give -m %"
                   G_GUINT64_FORMAT " or more", MIB(size), MIB(kernel_end) + MIB(size) + 16);
    } else {
        error_setg(errp, "its %" G_GUINT64_FORMAT " MiB do not fit where this kernel looks for it, below address 0x%"
                   G_GINT64_MODIFIER "x; use a smaller one", MIB(size), reach);
    }
    return false;
}

bool linux_boot_plan(const LinuxImage *image, const LinuxRam *ram, uint64_t initrd_size, size_t cmdline_len,
                     LinuxPlan *ret_plan, GError **errp)
{
    uint32_t cmdline_max = MIN(image->cmdline_max, LINUX_CMDLINE_MAX);
    uint64_t kernel_end;

    *ret_plan = (LinuxPlan) { 0 };
    if (!plan_kernel(image, ram, initrd_size, ret_plan, &kernel_end, errp)) {
        g_prefix_error(errp, "-kernel: ");
        return false;
    }
    if (!plan_initrd(image, ram, kernel_end, initrd_size, ret_plan, errp)) {
        g_prefix_error(errp, "-initrd: ");
        return false;
    }
    if (cmdline_len > cmdline_max) {
        error_setg(errp, "-append: the text has %zu characters; this kernel takes %u, shorten it", cmdline_len,
                   cmdline_max);
        return false;
    }
    ret_plan->entry = image->entry + ret_plan->move + (image->pvh ? 0 : image->segments[0].address);
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

static RamBlock *map_file(const char *option, const char *path, GError **errp)
{
    g_autofree char *name = g_strdup_printf("%s %s", option, path);
    g_autoptr(GError) err = NULL;
    auto_fd fd = fd_open_path(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, &err);
    struct stat st = { 0 };

    if (fd < 0) {
        error_setg(errp, "%s: %s; check the path, and that you may read it", option, err->message);
        return NULL;
    }
    if (fd_stat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0) {
        error_setg(errp, "%s: this is %s; give a regular file that is not empty", name,
                   S_ISDIR(st.st_mode) ? "a directory" :
                   fd_kind(fd) == FD_KIND_FILE || fd_kind(fd) == FD_KIND_SHMEM ? "an empty file" :
                   fd_kind_name(fd_kind(fd)));
        return NULL;
    }
    return ram_block_new_private_take_fd(name, fd_steal(&fd), (uint64_t)st.st_size, errp);
}

LinuxBoot *linux_boot_open(const char *kernel, const char *initrd, const char *cmdline, const LinuxRam *ram,
                           GError **errp)
{
    g_autoptr(LinuxBoot) boot = g_new0(LinuxBoot, 1);

    boot->cmdline = g_strdup(cmdline ? cmdline : "");
    boot->kernel = map_file("-kernel", kernel, errp);
    if (!boot->kernel) {
        return NULL;
    }
    if (!linux_image_parse(boot->kernel->host, boot->kernel->size, &boot->image, errp)) {
        g_prefix_error(errp, "-kernel %s: ", kernel);
        return NULL;
    }
    boot->initrd = initrd ? map_file("-initrd", initrd, errp) : NULL;
    if ((initrd && !boot->initrd) ||
        !linux_boot_plan(&boot->image, ram, boot->initrd ? boot->initrd->size : 0, strlen(boot->cmdline), &boot->plan,
                         errp)) {
        return NULL;
    }
    return g_steal_pointer(&boot);
}

void linux_boot_free(LinuxBoot *boot)
{
    if (boot) {
        ram_block_unref(boot->kernel);
        ram_block_unref(boot->initrd);
        g_free(boot->cmdline);
        g_free(boot);
    }
}

void linux_boot_set_board(LinuxBoot *boot, const E820Entry *map, unsigned count, uint64_t rsdp)
{
    boot->map_count = MIN(count, E820_ENTRIES_MAX);
    memcpy(boot->map, map, boot->map_count * sizeof(*map));
    boot->rsdp = rsdp;
}

BootRomParams linux_boot_params(const LinuxBoot *boot)
{
    return (BootRomParams) {
        .mode = GUINT32_TO_LE(boot->image.pvh ? BOOT_ROM_PVH : BOOT_ROM_LINUX64),
        .page_table = GUINT32_TO_LE(boot->image.pvh ? 0 : LINUX_PAGE_TABLES),
        .entry = GUINT64_TO_LE(boot->plan.entry),
        .argument = GUINT64_TO_LE(boot->image.pvh ? LINUX_START_INFO : LINUX_BOOT_PARAMS),
    };
}

/* ---- guest memory ---------------------------------------------------------------------------- */

/* The plan has made sure that there is RAM; a BAR that the guest has put over it stays the guest's problem. */
static void write_guest(uint64_t address, const void *data, uint64_t size)
{
    address_space_copy_to(system_memory(), address, data, size, true);
}

static void zero_guest(uint64_t address, uint64_t size)
{
    static const uint8_t zeroes[0x10000];

    for (uint64_t part; size > 0; address += part, size -= part) {
        part = MIN(size, sizeof(zeroes));
        write_guest(address, zeroes, part);
    }
}

static void put_le(uint8_t *at, uint64_t value, unsigned size)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, size);
}

static void load_segments(const LinuxBoot *boot)
{
    for (unsigned i = 0; i < boot->image.segment_count; i++) {
        const LinuxSegment *segment = &boot->image.segments[i];
        uint64_t address = segment->address + boot->plan.move;

        write_guest(address, boot->kernel->host + segment->offset, segment->file_size);
        /* A bzImage unpacks itself into the rest. */
        if (boot->image.pvh) {
            zero_guest(address + segment->file_size, segment->mem_size - segment->file_size);
        }
    }
}

/* ---- bzImage --------------------------------------------------------------------------------- */

/* Offsets in boot_params, which has the setup header at its offsets in the file. */
enum {
    ACPI_RSDP_ADDR = 0x070,
    EXT_RAMDISK_IMAGE = 0x0c0, /* bits 63 to 32 */
    EXT_RAMDISK_SIZE = 0x0c4,
    E820_ENTRIES = 0x1e8,
    TYPE_OF_LOADER = 0x210,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    E820_TABLE = 0x2d0, /* of 20 bytes each */
    BOOT_PARAMS_SIZE = 0x1000,
};

#define LOADER_UNDEFINED 0xff
#define E820_ENTRY_SIZE 20

static void load_boot_params(const LinuxBoot *boot)
{
    uint64_t initrd_size = boot->initrd ? boot->initrd->size : 0;
    uint8_t params[BOOT_PARAMS_SIZE] = { 0 };

    memcpy(params + LINUX_HEADER_START, boot->image.header, boot->image.header_size);
    put_le(params + ACPI_RSDP_ADDR, boot->rsdp, 8);
    params[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    put_le(params + RAMDISK_IMAGE, boot->plan.initrd & UINT32_MAX, 4);
    put_le(params + RAMDISK_SIZE, initrd_size & UINT32_MAX, 4);
    put_le(params + EXT_RAMDISK_IMAGE, boot->plan.initrd >> 32, 4);
    put_le(params + EXT_RAMDISK_SIZE, initrd_size >> 32, 4);
    put_le(params + CMD_LINE_PTR, LINUX_CMDLINE, 4);
    params[E820_ENTRIES] = (uint8_t)boot->map_count;
    for (unsigned i = 0; i < boot->map_count; i++) {
        uint8_t *entry = params + E820_TABLE + i * E820_ENTRY_SIZE;

        put_le(entry, boot->map[i].address, 8);
        put_le(entry + 8, boot->map[i].size, 8);
        put_le(entry + 16, boot->map[i].type, 4);
    }
    write_guest(LINUX_BOOT_PARAMS, params, sizeof(params));
}

#define TABLE_ENTRIES 512u
#define GIBIBYTES 4u
#define TABLE_NEXT 0x3u       /* present, writable */
#define TABLE_LARGE_PAGE 0x83u /* and 2 MiB */

/* Page map, directory pointers, and a directory for each GiB; in the order of their pages. */
static void load_page_tables(void)
{
    uint64_t table[TABLE_ENTRIES] = { GUINT64_TO_LE(LINUX_PAGE_TABLES + PAGE + TABLE_NEXT) };
    uint64_t directories = LINUX_PAGE_TABLES + 2 * PAGE;

    write_guest(LINUX_PAGE_TABLES, table, sizeof(table));
    table[0] = 0;
    for (unsigned i = 0; i < GIBIBYTES; i++) {
        table[i] = GUINT64_TO_LE(directories + i * PAGE + TABLE_NEXT);
    }
    write_guest(LINUX_PAGE_TABLES + PAGE, table, sizeof(table));
    for (uint64_t i = 0; i < GIBIBYTES; i++) {
        for (uint64_t j = 0; j < TABLE_ENTRIES; j++) {
            table[j] = GUINT64_TO_LE(((i << 30) | (j << 21)) + TABLE_LARGE_PAGE);
        }
        write_guest(directories + i * PAGE, table, sizeof(table));
    }
}

/* ---- PVH ------------------------------------------------------------------------------------- */

#define START_INFO_MAGIC 0x336ec578u
#define START_INFO_VERSION 1u /* with a memory map */

/* Offsets in the page at LINUX_START_INFO: hvm_start_info, hvm_modlist_entry, then hvm_memmap_table_entry. */
enum {
    START_INFO_SIZE = 56,
    MODULES = 0x80,
    MODULE_SIZE = 32,
    MEMORY_MAP = 0x100,
    MEMORY_MAP_ENTRY_SIZE = 24,
    START_INFO_ALL = MEMORY_MAP + E820_ENTRIES_MAX * MEMORY_MAP_ENTRY_SIZE,
};

static void load_start_info(const LinuxBoot *boot)
{
    uint8_t page[START_INFO_ALL] = { 0 };

    put_le(page, START_INFO_MAGIC, 4);
    put_le(page + 4, START_INFO_VERSION, 4);
    if (boot->initrd) {
        put_le(page + 12, 1, 4); /* number of modules */
        put_le(page + 16, LINUX_START_INFO + MODULES, 8);
        put_le(page + MODULES, boot->plan.initrd, 8);
        put_le(page + MODULES + 8, boot->initrd->size, 8);
    }
    put_le(page + 24, LINUX_CMDLINE, 8);
    put_le(page + 32, boot->rsdp, 8);
    put_le(page + 40, LINUX_START_INFO + MEMORY_MAP, 8);
    put_le(page + 48, boot->map_count, 4);
    for (unsigned i = 0; i < boot->map_count; i++) {
        uint8_t *entry = page + MEMORY_MAP + i * MEMORY_MAP_ENTRY_SIZE;

        put_le(entry, boot->map[i].address, 8);
        put_le(entry + 8, boot->map[i].size, 8);
        put_le(entry + 16, boot->map[i].type, 4);
    }
    write_guest(LINUX_START_INFO, page, sizeof(page));
}

/* ---- reset ----------------------------------------------------------------------------------- */

void linux_boot_load(const LinuxBoot *boot)
{
    load_segments(boot);
    if (boot->initrd) {
        write_guest(boot->plan.initrd, boot->initrd->host, boot->initrd->size);
    }
    write_guest(LINUX_CMDLINE, boot->cmdline, strlen(boot->cmdline) + 1);
    if (boot->image.pvh) {
        load_start_info(boot);
    } else {
        load_boot_params(boot);
        load_page_tables();
    }
}
