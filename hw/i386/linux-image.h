/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel files: what a bzImage or an ELF kernel with a PVH entry says about itself.
 *
 * Thread: any; a pure function of its input.  Runs in: mpqemu.
 *
 * Sources: Linux, Documentation/arch/x86/boot.rst (boot protocol, header fields by offset) and zero-page.rst; the PVH
 * boot ABI as Xen's docs/misc/pvh.pandoc describes it; System V ABI, AMD64 supplement (ELF).
 *
 * The file is hostile: every offset and size in it is checked against the file and against the address space before it
 * is used, and each field is read once.  Whether the result fits into a machine is linux-boot.c's matter.
 */
#ifndef HW_I386_LINUX_IMAGE_H
#define HW_I386_LINUX_IMAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* The setup header of a bzImage: bytes of the file that become the same bytes of boot_params. */
#define LINUX_HEADER_START 0x1f1u
#define LINUX_HEADER_END 0x290u /* the longest; what follows in boot_params is the loader's */

/* Linux has 5 or 6; a kernel with more is refused. */
#define LINUX_SEGMENTS_MAX 16u

/* SIZE bytes of the file from OFFSET go to ADDRESS, up to MEM_SIZE zeroes behind them. */
typedef struct LinuxSegment {
    uint64_t offset;
    uint64_t file_size;
    uint64_t address;
    uint64_t mem_size; /* at least file_size */
} LinuxSegment;

typedef struct LinuxImage {
    bool pvh;           /* else bzImage, entered in 64-bit mode */
    uint32_t cmdline_max; /* longest command line, without the NUL */
    uint64_t initrd_max;  /* highest address for the last byte of an initrd */

    /* ELF: where it has to lie.  bzImage: one segment, whose address is the preferred one. */
    unsigned segment_count;
    LinuxSegment segments[LINUX_SEGMENTS_MAX];
    uint64_t entry; /* ELF: the 32-bit entry's address.  bzImage: offset of the 64-bit entry in the segment */

    /* bzImage only */
    bool relocatable;
    uint64_t alignment;   /* of its address when it is not the preferred one; a power of 2 */
    unsigned header_size; /* bytes of `header` that the file has */
    uint8_t header[LINUX_HEADER_END - LINUX_HEADER_START];
} LinuxImage;

/*
 * Reads the SIZE bytes at DATA, which may change meanwhile (a mapped file).  The error's text says what is wrong and
 * what would do, without the name of the file.
 */
bool linux_image_parse(const uint8_t *data, uint64_t size, LinuxImage *ret_image, GError **errp);

#endif
