/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pc board: what is where, and which interrupt goes to whom.
 *
 * Thread: main thread at start-up, with the machine lock held.  Runs in: mpqemu.
 *
 * Memory map.
 *
 *   0x00000000  RAM, to the end of RAM or PC_LOW_RAM_MAX (3 GiB)
 *   0x000a0000  PCI memory (VGA's place), seen when SMRAM is closed
 *   0x000c0000  RAM or ROM in pieces of 16 KiB, 64 KiB from 0xf0000, by the host bridge's PAM registers
 *   0xc0000000  PCI memory hole: BARs
 *   0xfec00000  I/O APIC
 *   0xfee00000  local APIC, each vCPU its own
 *   0xfffc0000  firmware or the boot ROM; its last 128 KiB also below 1 MiB
 *   4 GiB       the rest of RAM
 *
 * PCI memory is the whole address space behind everything else: BARs work wherever no RAM or board device is.
 *
 * I/O ports.  0xcf8 and 0xcfc are the config mechanism (PCI Local Bus 3.0, section 3.2.2.3.2); ISA devices have their
 * classic places; 0x600 is the power management block, 0x510 fw_cfg, 0xae00 ACPI PCI hot-plug; the rest belongs to PCI
 * I/O BARs.
 *
 * Interrupts.  GSI n is pin n of the I/O APIC, but ISA interrupt 0 (the 8254) is pin 2.  GSIs 0 to 15 are the ISA
 * interrupts, and go to the 8259s, too.  Pin INTA to INTD (0 to 3) of the function in slot s is PIRQ (s - 1 + pin) & 3,
 * as SeaBIOS's tables for this kind of board say; so do ACPI's _PRT and, for a kernel without firmware, the $PIR table.
 * A PIRQ is GSI 16 + its number, and the ISA interrupt that the PIIX3 routes it to.  The PCI bus's lines are numbered
 * by GSI.
 *
 * QOM paths: /machine/ioapic, /machine/pci.0 (bus "pci.0"), the host bridge at slot 0, PIIX3 and PIIX4 PM at slot 1.
 */
#ifndef HW_I386_PC_H
#define HW_I386_PC_H

#include "hw/core/device.h"
#include "system/memory.h"

#define PC_BASE_RAM_END 0xa0000ull
#define PC_LOW_RAM_BASE 0x100000ull
#define PC_LOW_RAM_MAX 0xc0000000ull
#define PC_HIGH_RAM_BASE 0x100000000ull
#define PC_FIRMWARE_BASE 0xfffc0000ull /* told as reserved; large firmware begins lower */

/* Where BARs have room, as ACPI tells it: from here to the I/O APIC, and 64 GiB behind RAM. */
#define PC_PCI_MEMORY_BASE 0xc0000000u
#define PC_PCI64_ALIGN 0x40000000ull
#define PC_PCI64_SIZE 0x1000000000ull

#define PC_PCI_GSI_FIRST 16u /* INTx uses four GSIs from here */

static inline unsigned pc_pirq(unsigned slot, unsigned pin)
{
    return (slot + 3 + pin) & 3;
}

/* What firmware is looked for when the user has not named any. */
#define PC_FIRMWARE_DEFAULT "bios-256k.bin"

/* What the user may choose; paths and texts are used during pc_init() only. */
typedef struct PcConfig {
    MemoryRegion *ram; /* lives as long as the program */
    uint64_t ram_size;
    unsigned serial_ports; /* bit n: COM(n + 1) will be there; ACPI tells of it */
    int64_t rtc_base;   /* the clock's time at the start, in seconds since 1970 (rtc_parse_base()) */
    const char *kernel; /* -kernel: booted directly; NULL: firmware is */
    const char *initrd; /* -initrd, -append: NULL, or with a kernel */
    const char *append;
    const char *bios;   /* -bios: NULL with a kernel; without, NULL is a ROM with nothing in it */
} PcConfig;

/* Builds the board.  All files are opened here. */
bool pc_init(const PcConfig *config, GError **errp);

/* Types of the board's devices, for qom_register_types(). */
extern GType (*const pc_types[])(void);

#endif
