/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The E820 table of the board's memory.
 *
 * Thread: any.  Runs in: mpqemu.
 */
#include "hw/i386/e820.h"

#include <glib.h>

#include "hw/i386/pc.h"

static void add(E820Entry *entries, unsigned *count, uint64_t start, uint64_t end, uint32_t type)
{
    if (start < end) {
        entries[(*count)++] = (E820Entry) { start, end - start, type };
    }
}

unsigned pc_e820(uint64_t ram_size, uint64_t tables_size, E820Entry ret_entries[E820_ENTRIES_MAX])
{
    uint64_t low_end = MIN(ram_size, PC_LOW_RAM_MAX);
    uint64_t tables = low_end > E820_BIOS_END + tables_size ? low_end - tables_size : low_end;
    unsigned count = 0;

    add(ret_entries, &count, 0, MIN(low_end, E820_LOW_END), E820_RAM);
    add(ret_entries, &count, E820_BIOS_BASE, E820_BIOS_END, E820_RESERVED);
    add(ret_entries, &count, E820_BIOS_END, tables, E820_RAM);
    add(ret_entries, &count, tables, low_end, E820_ACPI);
    add(ret_entries, &count, PC_FIRMWARE_BASE, PC_HIGH_RAM_BASE, E820_RESERVED);
    add(ret_entries, &count, PC_HIGH_RAM_BASE, PC_HIGH_RAM_BASE + ram_size - low_end, E820_RAM);
    return count;
}
