/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS tables of the pc board: what a guest's inventory says it is.
 *
 * Thread: any; no state.  Runs in: mpqemu.
 *
 * Source: DMTF DSP0134 (SMBIOS) 2.8.  Types 0 (firmware), 1 (system), 3 (enclosure), 4 (one processor with all cores),
 * 16, 17 and 19 (memory), 32 (boot status), 127 (end).
 *
 * A kernel that is booted without firmware looks for the entry point at multiples of 16 from 0xf0000 to 0xfffff;
 * smbios_place() is to be given a base there, and the memory map says that the range is reserved.  Firmware gets the
 * files etc/smbios/smbios-anchor (the entry point) and etc/smbios/smbios-tables, and places them itself.
 */
#ifndef HW_I386_SMBIOS_H
#define HW_I386_SMBIOS_H

#include <stdint.h>
#include <glib.h>

#include "hw/nvram/fw_cfg.h"

typedef struct SmbiosConfig {
    unsigned cpu_count;
    uint64_t low_ram;     /* bytes of RAM below 4 GiB, from 0 */
    uint64_t high_ram;    /* bytes of RAM from 4 GiB */
    const uint8_t *uuid;  /* 16 bytes as RFC 4122 writes them; NULL: not set */
} SmbiosConfig;

/*
 * Entry point and tables for address BASE (a multiple of 16 below 4 GiB), where the entry point is first.  The caller
 * drops the reference.
 */
GBytes *smbios_place(const SmbiosConfig *config, uint32_t base);

/* The two files.  Again: replaces them. */
void smbios_add_to_fw_cfg(const SmbiosConfig *config, FwCfg *cfg);

#endif
