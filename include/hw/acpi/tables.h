/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of the pc board: RSDP, RSDT, XSDT, FADT, FACS, MADT, DSDT.
 *
 * Thread: any; no state.  Runs in: mpqemu.
 *
 * Source: ACPI 5.0, section 5.2.  The DSDT is hw/acpi/dsdt.asl.
 *
 * The tables are built once, with each pointer to a table as an offset and each checksum left open, and a list of both.
 * Then either acpi_tables_place() finishes them for an address, for a kernel that is booted without firmware, or
 * acpi_tables_add_to_fw_cfg() hands tables and list to the firmware, which places them:
 *
 *   etc/acpi/rsdp      the RSDP
 *   etc/acpi/tables    all others, one after the other
 *   etc/table-loader   commands (allocate, add pointer, add checksum) of 128 bytes each
 *
 * Interrupts as in include/hw/i386/pc.h: ISA interrupt n is GSI n, but 0 is GSI 2; SCI is 9, active high, level;
 * processors have LINT1 as NMI.  Local APIC ids are 0 up to the number of processors; 255 and up are x2APIC entries.
 */
#ifndef HW_ACPI_TABLES_H
#define HW_ACPI_TABLES_H

#include <stdint.h>
#include <glib.h>

#include "hw/nvram/fw_cfg.h"

/* Devices of the ISA bus that the namespace has; those of a guest that probes for itself may be left out. */
enum {
    ACPI_ISA_COM1 = 1 << 0,
    ACPI_ISA_COM2 = 1 << 1,
    ACPI_ISA_KEYBOARD = 1 << 2,
    ACPI_ISA_MOUSE = 1 << 3,
    ACPI_ISA_RTC = 1 << 4,
};

typedef struct AcpiConfig {
    unsigned cpu_count;    /* 1 to ACPI_CPUS_MAX */
    unsigned isa_devices;  /* ACPI_ISA_* */
    uint32_t pci_first;    /* memory for BARs below 4 GiB, first and last byte */
    uint32_t pci_last;
    uint64_t pci64_first;  /* memory for BARs above it; 0 and 0: none */
    uint64_t pci64_last;
} AcpiConfig;

#define ACPI_CPUS_MAX 1024u
#define ACPI_TABLES_ALIGN 64u

/*
 * Finished tables for address BASE, a multiple of ACPI_TABLES_ALIGN below 4 GiB, in memory that the memory map says is
 * ACPI's (or reserved).  *ret_rsdp gets the RSDP's address, which is BASE.  The caller drops the reference.
 */
GBytes *acpi_tables_place(const AcpiConfig *config, uint32_t base, uint64_t *ret_rsdp);

/* The three files.  Again: replaces them. */
void acpi_tables_add_to_fw_cfg(const AcpiConfig *config, FwCfg *cfg);

#endif
