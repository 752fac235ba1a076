/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables before they have an address: what builder and loader share.
 * Thread: any.  Runs in: mpqemu.
 */
#ifndef HW_ACPI_TABLES_INT_H
#define HW_ACPI_TABLES_INT_H

#include "hw/acpi/tables.h"

/* The two pieces that are placed on their own. */
typedef enum AcpiPiece {
    ACPI_PIECE_RSDP,
    ACPI_PIECE_TABLES,
} AcpiPiece;

/* SIZE bytes at OFFSET of PIECE hold an offset in ACPI_PIECE_TABLES, to become an address. */
typedef struct AcpiPointer {
    AcpiPiece piece;
    uint32_t offset;
    uint8_t size;
} AcpiPointer;

/* The byte at OFFSET of PIECE, now 0, makes the sum of LENGTH bytes from START 0. */
typedef struct AcpiChecksum {
    AcpiPiece piece;
    uint32_t offset;
    uint32_t start;
    uint32_t length;
} AcpiChecksum;

typedef struct AcpiTables {
    GByteArray *bytes[2]; /* by AcpiPiece */
    GArray *pointers;     /* AcpiPointer */
    GArray *checksums;    /* AcpiChecksum, in the order in which they are to be made, behind all pointers */
} AcpiTables;

AcpiTables *acpi_tables_build(const AcpiConfig *config);
void acpi_tables_free(AcpiTables *tables);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AcpiTables, acpi_tables_free)

#endif
