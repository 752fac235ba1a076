/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host bridge's function i440FX (82441FX) at 00:00.0: what is where between 640 KiB and 1 MiB.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 82441FX data sheet (order 290549), registers PAM and SMRAM.
 *
 * The board puts no RAM of its own there.  PAM registers 0x59 to 0x5f choose for each of 13 segments, 16 KiB each from
 * 0xc0000 and 64 KiB at 0xf0000:
 *
 *   read  write
 *   0     0      PCI memory, where the board has the firmware's ROM (after reset)
 *   1     1      RAM
 *   1     0      RAM, write protected
 *   0     1      reads come from PCI memory, writes go to RAM: how a ROM is copied over itself.  Each access is a call
 *                of the device, so under KVM nothing can be executed there meanwhile
 *
 * SMRAM register 0x72 opens the 128 KiB of RAM at 0xa0000 (D_OPEN and G_SMRAME set, D_CLS clear) until it is locked
 * (D_LCK, until reset).  There is no system management mode, so closed SMRAM is nobody's.
 */
#ifndef HW_I386_I440FX_H
#define HW_I386_I440FX_H

#include "hw/pci/pci.h"

#define I440FX_PAM_BASE 0xc0000u
#define I440FX_PAM_SEGMENTS 13u

/* Registers in config space. */
enum {
    I440FX_PAM0 = 0x59, /* upper half: the segment at 0xf0000 */
    I440FX_PAM1 = 0x5a, /* to 0x5f: two segments of 16 KiB each, the lower half the lower one */
    I440FX_SMRAM = 0x72,
};
/* Bits of half a PAM register. */
enum { I440FX_PAM_READ = 1, I440FX_PAM_WRITE = 2 };
/* Bits of SMRAM. */
enum {
    I440FX_SMRAM_ENABLE = 1 << 3, /* G_SMRAME */
    I440FX_SMRAM_LOCK = 1 << 4,
    I440FX_SMRAM_CLOSE = 1 << 5,
    I440FX_SMRAM_OPEN = 1 << 6,
};

typedef struct I440fx I440fx;

/*
 * Makes the function at 00:00.0 of BUS.  RAM, the whole of guest RAM from its byte 0, shows in MEMORY (system memory),
 * in whose background PCI_MEMORY lies.  Lives as long as the program.
 */
I440fx *i440fx_new(PciBus *bus, MemoryRegion *memory, MemoryRegion *ram, MemoryRegion *pci_memory, GError **errp);

/*
 * All of PAM to RAM, as firmware leaves it: for a board that boots a kernel without firmware.  Until the next reset.
 */
void i440fx_open_ram(I440fx *bridge);

GType i440fx_get_type(void);

#endif
