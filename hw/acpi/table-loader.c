/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables as fw_cfg files that the firmware places.
 *
 * Runs in: mpqemu.  The manual is include/hw/acpi/tables.h.
 *
 * Source: the linker/loader commands as SeaBIOS carries them out (its src/fw/romfile_loader.h): 128 bytes each, numbers
 * little endian.
 */
#include <string.h>

#include "hw/acpi/tables-int.h"

#define RSDP_FILE "etc/acpi/rsdp"
#define TABLES_FILE "etc/acpi/tables"
#define LOADER_FILE "etc/table-loader"

enum { COMMAND_ALLOCATE = 1, COMMAND_ADD_POINTER = 2, COMMAND_ADD_CHECKSUM = 3 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 }; /* anywhere; where old systems look for the RSDP */

typedef struct Command {
    uint32_t command;
    union {
        struct {
            char file[FW_CFG_FILE_NAME_SIZE];
            uint32_t align;
            uint8_t zone;
        } allocate;
        struct {
            char file[FW_CFG_FILE_NAME_SIZE];
            char target[FW_CFG_FILE_NAME_SIZE];
            uint32_t offset;
            uint8_t size;
        } pointer;
        struct {
            char file[FW_CFG_FILE_NAME_SIZE];
            uint32_t offset;
            uint32_t start;
            uint32_t length;
        } checksum;
        uint8_t pad[124];
    };
} Command;
G_STATIC_ASSERT(sizeof(Command) == 128);

static const char *const files[] = {
    [ACPI_PIECE_RSDP] = RSDP_FILE,
    [ACPI_PIECE_TABLES] = TABLES_FILE,
};

static void add_allocate(GByteArray *out, AcpiPiece piece, uint32_t align, uint8_t zone)
{
    Command command = { .command = GUINT32_TO_LE(COMMAND_ALLOCATE) };

    g_strlcpy(command.allocate.file, files[piece], FW_CFG_FILE_NAME_SIZE);
    command.allocate.align = GUINT32_TO_LE(align);
    command.allocate.zone = zone;
    g_byte_array_append(out, (const guint8 *)&command, sizeof(command));
}

static void add_pointer(GByteArray *out, const AcpiPointer *pointer)
{
    Command command = { .command = GUINT32_TO_LE(COMMAND_ADD_POINTER) };

    g_strlcpy(command.pointer.file, files[pointer->piece], FW_CFG_FILE_NAME_SIZE);
    g_strlcpy(command.pointer.target, TABLES_FILE, FW_CFG_FILE_NAME_SIZE);
    command.pointer.offset = GUINT32_TO_LE(pointer->offset);
    command.pointer.size = pointer->size;
    g_byte_array_append(out, (const guint8 *)&command, sizeof(command));
}

static void add_checksum(GByteArray *out, const AcpiChecksum *checksum)
{
    Command command = { .command = GUINT32_TO_LE(COMMAND_ADD_CHECKSUM) };

    g_strlcpy(command.checksum.file, files[checksum->piece], FW_CFG_FILE_NAME_SIZE);
    command.checksum.offset = GUINT32_TO_LE(checksum->offset);
    command.checksum.start = GUINT32_TO_LE(checksum->start);
    command.checksum.length = GUINT32_TO_LE(checksum->length);
    g_byte_array_append(out, (const guint8 *)&command, sizeof(command));
}

void acpi_tables_add_to_fw_cfg(const AcpiConfig *config, FwCfg *cfg)
{
    g_autoptr(AcpiTables) t = acpi_tables_build(config);
    g_autoptr(GByteArray) loader = g_byte_array_new();

    add_allocate(loader, ACPI_PIECE_RSDP, 16, ZONE_FSEG);
    add_allocate(loader, ACPI_PIECE_TABLES, ACPI_TABLES_ALIGN, ZONE_HIGH);
    for (guint i = 0; i < t->pointers->len; i++) {
        add_pointer(loader, &g_array_index(t->pointers, AcpiPointer, i));
    }
    for (guint i = 0; i < t->checksums->len; i++) {
        add_checksum(loader, &g_array_index(t->checksums, AcpiChecksum, i));
    }
    for (AcpiPiece piece = ACPI_PIECE_RSDP; piece <= ACPI_PIECE_TABLES; piece++) {
        fw_cfg_set_file_copy(cfg, files[piece], t->bytes[piece]->data, t->bytes[piece]->len);
    }
    fw_cfg_set_file_copy(cfg, LOADER_FILE, loader->data, loader->len);
}
