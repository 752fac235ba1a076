/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ROM at the reset vector (pc-firmware.h).
 *
 * Thread: main thread at start-up, with the machine lock held.  Runs in: mpqemu.
 */
#include "hw/i386/pc-firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "hw/i386/pc.h"
#include "util/error.h"
#include "util/fd.h"

#define FIRMWARE_DIRECTORY "/usr/share/seabios/"
#define LOW_END 0x100000u

/* As long as the program. */
static MemoryRegion rom, low_copy;

static bool map_rom(const void *data, uint64_t size, MemoryRegion *memory, GError **errp)
{
    RamBlock *block = ram_block_new_memfd("rom", size, true, errp);

    if (!block) {
        return false;
    }
    memcpy(block->host, data, size); /* nobody else knows it yet */
    memory_region_init_rom(&rom, NULL, "rom", block, 0, size);
    ram_block_unref(block);
    memory_region_add(memory, PC_HIGH_RAM_BASE - size, &rom, 0);
    return true;
}

/* Opens NAME, or the file of that name in FIRMWARE_DIRECTORY. */
static int open_firmware(const char *name, GError **errp)
{
    const int flags = O_RDONLY | O_NOCTTY | O_NONBLOCK;
    g_autofree char *installed = g_strconcat(FIRMWARE_DIRECTORY, name, NULL);
    g_autoptr(GError) err = NULL;
    int fd = fd_open_path(name, flags, &err);

    if (fd < 0 && strchr(name, '/')) {
        error_setg(errp, "%s; check the path, and that you may read it", err->message);
    } else if (fd < 0) {
        fd = fd_open_path(installed, flags, NULL);
        if (fd < 0) {
            error_setg(errp, "there is no file '%s' here or in " FIRMWARE_DIRECTORY "; install the package seabios, "
                       "give the path of another firmware, or a kernel with -kernel", name);
        }
    }
    return fd;
}

/* The whole of FD's file: *ret_size bytes, 0 to FIRMWARE_MAX + 1.  NULL with *errp. */
static uint8_t *read_all(const char *name, int fd, size_t *ret_size, GError **errp)
{
    g_autofree uint8_t *data = g_malloc(FIRMWARE_MAX + 1);
    size_t size = 0;

    while (size <= FIRMWARE_MAX) {
        ssize_t got = read(fd, data + size, FIRMWARE_MAX + 1 - size);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            error_setg_errno(errp, errno, "'%s' cannot be read; give a regular file", name);
            return NULL;
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    *ret_size = size;
    return g_steal_pointer(&data);
}

bool pc_firmware_load(const char *name, MemoryRegion *memory, MemoryRegion *pci_memory, GError **errp)
{
    auto_fd fd = open_firmware(name, errp);
    g_autofree uint8_t *data = NULL;
    size_t size = 0;
    uint64_t low;

    if (fd >= 0) {
        data = read_all(name, fd, &size, errp);
    }
    if (!data) {
        g_prefix_error(errp, "-bios: ");
        return false;
    }
    if (size == 0 || size > FIRMWARE_MAX || size % FIRMWARE_UNIT) {
        error_setg(errp, "-bios %s: the file has %s%zu bytes; firmware has a multiple of 64 KiB, and 16 MiB at most",
                   name, size > FIRMWARE_MAX ? "at least " : "", size);
        return false;
    }
    if (!map_rom(data, size, memory, errp)) {
        g_prefix_error(errp, "the firmware: ");
        return false;
    }
    low = MIN(size, FIRMWARE_LOW_MAX);
    memory_region_init_alias(&low_copy, NULL, "rom-low", &rom, size - low, low);
    memory_region_add(pci_memory, LOW_END - low, &low_copy, 1); /* before BARs */
    return true;
}

bool pc_firmware_boot_rom(const BootRomParams *params, MemoryRegion *memory, GError **errp)
{
    uint8_t image[BOOT_ROM_SIZE];

    memcpy(image, boot_rom, sizeof(image));
    memcpy(image + BOOT_ROM_PARAMS, params, sizeof(*params));
    return map_rom(image, sizeof(image), memory, errp);
}
