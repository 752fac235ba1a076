/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ROM at the reset vector: firmware from a file, or the boot ROM.
 *
 * Thread: main thread at start-up, with the machine lock held.  Runs in: mpqemu.
 *
 * It ends at 4 GiB.  Of firmware, the last 128 KiB are also below 1 MiB, in PCI memory: behind RAM that the host bridge
 * shows there.  Guests cannot change it, so reset has nothing to do.
 */
#ifndef HW_I386_PC_FIRMWARE_H
#define HW_I386_PC_FIRMWARE_H

#include "hw/i386/bootrom.h"
#include "system/memory.h"

#define FIRMWARE_UNIT 0x10000u   /* sizes are multiples of it */
#define FIRMWARE_MAX 0x1000000u  /* 16 MiB: below are the interrupt controllers */
#define FIRMWARE_LOW_MAX 0x20000u

/*
 * Puts the firmware in file NAME at the end of 4 GiB of MEMORY, and its copy into PCI_MEMORY.  A NAME without a slash
 * that is not in the working directory is looked for where Debian's package seabios has its files.  Once.
 */
bool pc_firmware_load(const char *name, MemoryRegion *memory, MemoryRegion *pci_memory, GError **errp);

/* Puts the boot ROM with PARAMS there.  Once. */
bool pc_firmware_boot_rom(const BootRomParams *params, MemoryRegion *memory, GError **errp);

#endif
