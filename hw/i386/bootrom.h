/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot ROM: brings the bootstrap processor from reset to the entry of a kernel that is in RAM already, and leaves
 * all processors' memory types as firmware does.
 *
 * Thread: main thread.  Runs in: mpqemu (these declarations); the code in bootrom.S runs in the guest.
 *
 * It is the last page below 4 GiB and holds code, a GDT, the reset vector and a block of parameters, which the loader
 * fills in:
 *
 *   0xfffff000  code and GDT
 *   0xffffff80  struct BootRomParams
 *   0xfffffff0  reset vector: a jump to the start of the page
 *
 * Its first BOOT_ROM_CODE_SIZE bytes are also at BOOT_ROM_COPY, where the board has put them and the memory map says
 * that they are reserved: the other processors begin there.
 *
 * The state at the entry is, for BOOT_ROM_LINUX64, that of the 64-bit boot protocol (Linux,
 * Documentation/arch/x86/boot.rst): long mode, paging by the loader's tables, CS 0x10, DS = ES = SS 0x18, interrupts
 * off, RSI = argument; for BOOT_ROM_PVH that of the PVH ABI: 32-bit protected mode, no paging, flat segments,
 * interrupts off, EBX = argument.
 */
#ifndef HW_I386_BOOTROM_H
#define HW_I386_BOOTROM_H

#define BOOT_ROM_BASE 0xfffff000
#define BOOT_ROM_SIZE 0x1000
#define BOOT_ROM_PARAMS 0xf80 /* offset */
#define BOOT_ROM_CODE_SIZE BOOT_ROM_PARAMS
#define BOOT_ROM_COPY 0xf9000
#define BOOT_ROM_VECTOR 0xff0 /* offset */

/* Offsets in BootRomParams. */
#define BOOT_ROM_MODE 0
#define BOOT_ROM_PAGE_TABLE 4
#define BOOT_ROM_ENTRY 8
#define BOOT_ROM_ARGUMENT 16

/* Modes. */
#define BOOT_ROM_HALT 0 /* nothing to start */
#define BOOT_ROM_LINUX64 1
#define BOOT_ROM_PVH 2

/* Selectors of its GDT; the 64-bit ones are __BOOT_CS and __BOOT_DS of the boot protocol. */
#define BOOT_ROM_CODE32 0x08
#define BOOT_ROM_CODE64 0x10
#define BOOT_ROM_DATA 0x18

#ifndef __ASSEMBLER__

#include <stdint.h>

/* Little-endian, as all of it. */
typedef struct BootRomParams {
    uint32_t mode;
    uint32_t page_table; /* for CR3; LINUX64 only */
    uint64_t entry;
    uint64_t argument;
} BootRomParams;

/* The ROM without parameters (BOOT_ROM_HALT). */
extern const uint8_t boot_rom[BOOT_ROM_SIZE];

#endif
#endif
