/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's memory as firmware tells it an operating system: the E820 table.
 *
 * Thread: any; pure.  Runs in: mpqemu.
 *
 * Source: ACPI 6.4, section 15 (INT 15h E820h, address range types).
 */
#ifndef HW_I386_E820_H
#define HW_I386_E820_H

#include <stdint.h>

enum {
    E820_RAM = 1,
    E820_RESERVED = 2,
    E820_ACPI = 3, /* tables: RAM again when the system has read them */
};

typedef struct E820Entry {
    uint64_t address;
    uint64_t size;
    uint32_t type;
} E820Entry;

#define E820_ENTRIES_MAX 8

#define E820_LOW_END 0xa0000u      /* of the RAM below the VGA window */
#define E820_BIOS_BASE 0xe0000u    /* where firmware's lower copy and its tables are */
#define E820_BIOS_END 0x100000u

/*
 * The map of a board with RAM_SIZE bytes whose own tables take TABLES_SIZE bytes at the end of the RAM below 4 GiB.
 * Returns the number of entries, in order of their addresses.
 */
unsigned pc_e820(uint64_t ram_size, uint64_t tables_size, E820Entry ret_entries[E820_ENTRIES_MAX]);

#endif
