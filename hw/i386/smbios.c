/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS tables.
 *
 * Runs in: mpqemu.  The manual is hw/i386/smbios.h.
 */
#include "hw/i386/smbios.h"

#include <string.h>

#define MAJOR 2u
#define MINOR 8u
#define ENTRY_SIZE 31u
#define ENTRY_MIDDLE 16u /* the part with the second checksum */
#define TABLES_OFFSET 32u
#define HIGH_RAM_BASE 0x100000000ull

/* Handles of structures that others name, or that there is more than one of. */
enum {
    HANDLE_FIRMWARE = 0x000,
    HANDLE_SYSTEM = 0x100,
    HANDLE_ENCLOSURE = 0x300,
    HANDLE_CPU = 0x400,
    HANDLE_ARRAY = 0x1000,
    HANDLE_MEMORY = 0x1100,
    HANDLE_LOW_RANGE = 0x1300,
    HANDLE_HIGH_RANGE = 0x1301,
    HANDLE_BOOT = 0x2000,
    HANDLE_END = 0x7f00,
};
#define NO_HANDLE 0xffffu
#define NO_ERROR_HANDLE 0xfffeu

/* All structures, and what the entry point tells of them. */
typedef struct Tables {
    GByteArray *out;
    GPtrArray *strings; /* of the structure under way; static */
    uint32_t start;     /* of it */
    unsigned count;
    unsigned largest;
} Tables;

static void put(GByteArray *out, uint64_t value, unsigned size)
{
    uint64_t raw = GUINT64_TO_LE(value);

    g_byte_array_append(out, (const guint8 *)&raw, size);
}

/* A reference to TEXT, whose bytes follow the structure: its number, from 1. */
static void put_string(Tables *t, const char *text)
{
    g_ptr_array_add(t->strings, (void *)text);
    put(t->out, t->strings->len, 1);
}

static void begin(Tables *t, uint8_t type, uint16_t handle)
{
    t->start = t->out->len;
    put(t->out, type, 1);
    put(t->out, 0, 1);
    put(t->out, handle, 2);
}

/* The length does not count the strings; the largest size does. */
static void end(Tables *t)
{
    t->out->data[t->start + 1] = (uint8_t)(t->out->len - t->start);
    for (guint i = 0; i < t->strings->len; i++) {
        const char *text = t->strings->pdata[i];

        g_byte_array_append(t->out, (const guint8 *)text, (guint)strlen(text) + 1);
    }
    put(t->out, 0, t->strings->len ? 1 : 2);
    g_ptr_array_set_size(t->strings, 0);
    t->count++;
    t->largest = MAX(t->largest, t->out->len - t->start);
}

/* Section 7.1. */
static void add_firmware(Tables *t)
{
    begin(t, 0, HANDLE_FIRMWARE);
    put_string(t, "mpqemu");
    put_string(t, MPQEMU_VERSION);
    put(t->out, 0xe000, 2);     /* segment where it starts */
    put_string(t, "01/01/2026");
    put(t->out, 1, 1);          /* 128 KiB */
    put(t->out, 1u << 3, 8);    /* characteristics are not told, */
    put(t->out, 1u << 0, 1);    /* but it has ACPI, */
    put(t->out, 1u << 4, 1);    /* and describes a virtual machine */
    put(t->out, 0xffffffff, 4); /* no releases of firmware and embedded controller */
    end(t);
}

/* Section 7.2; the first three fields of the UUID are little endian (section 7.2.1). */
static void add_system(Tables *t, const uint8_t *uuid)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    begin(t, 1, HANDLE_SYSTEM);
    put_string(t, "mpqemu");
    put_string(t, "pc");
    put_string(t, MPQEMU_VERSION);
    put(t->out, 0, 1); /* serial number */
    for (unsigned i = 0; i < 16; i++) {
        put(t->out, uuid ? uuid[order[i]] : 0, 1);
    }
    put(t->out, 6, 1); /* woken by the power switch */
    put(t->out, 0, 2); /* SKU, family */
    end(t);
}

/* Section 7.4. */
static void add_enclosure(Tables *t)
{
    begin(t, 3, HANDLE_ENCLOSURE);
    put_string(t, "mpqemu");
    put(t->out, 1, 1);        /* other */
    put(t->out, 0, 3);        /* version, serial number, asset tag */
    put(t->out, 0x030303, 3); /* boot, power, thermal: safe */
    put(t->out, 2, 1);        /* security: unknown */
    put(t->out, 0, 4);
    put(t->out, 0, 5);        /* height, cords, contained elements, SKU */
    end(t);
}

/* Section 7.5. */
static void add_processor(Tables *t, unsigned cpu_count)
{
    unsigned cores = MIN(cpu_count, 255); /* 255: that, or more */

    begin(t, 4, HANDLE_CPU);
    put_string(t, "CPU 0");
    put(t->out, 3, 1);     /* central processor */
    put(t->out, 1, 1);     /* family: other */
    put_string(t, "mpqemu");
    put(t->out, 0, 8);     /* id, */
    put(t->out, 0, 1);     /* version, */
    put(t->out, 0, 1);     /* voltage, */
    put(t->out, 0, 6);     /* clocks: CPUID tells */
    put(t->out, 0x41, 1);  /* there and enabled */
    put(t->out, 1, 1);     /* upgrade: other */
    put(t->out, NO_HANDLE, 2);
    put(t->out, NO_HANDLE, 2);
    put(t->out, NO_HANDLE, 2);
    put(t->out, 0, 3);     /* serial number, asset tag, part number */
    put(t->out, cores, 1);
    put(t->out, cores, 1);
    put(t->out, cores, 1); /* threads */
    put(t->out, 1u << 1, 2); /* characteristics: unknown */
    put(t->out, 1, 2);     /* family: other */
    end(t);
}

/* Section 7.17. */
static void add_memory_array(Tables *t, uint64_t size)
{
    uint64_t kib = size / 1024;

    begin(t, 16, HANDLE_ARRAY);
    put(t->out, 1, 1); /* location: other */
    put(t->out, 3, 1); /* system memory */
    put(t->out, 3, 1); /* no error correction */
    put(t->out, kib < 0x80000000 ? kib : 0x80000000, 4);
    put(t->out, NO_ERROR_HANDLE, 2);
    put(t->out, 1, 2); /* one device */
    put(t->out, kib < 0x80000000 ? 0 : size, 8);
    end(t);
}

/* Section 7.18. */
static void add_memory_device(Tables *t, uint64_t size)
{
    uint64_t mib = size / (1024 * 1024);

    begin(t, 17, HANDLE_MEMORY);
    put(t->out, HANDLE_ARRAY, 2);
    put(t->out, NO_ERROR_HANDLE, 2);
    put(t->out, 0xffffffff, 4); /* widths: unknown */
    put(t->out, mib < 0x7fff ? mib : 0x7fff, 2);
    put(t->out, 9, 1);          /* DIMM */
    put(t->out, 0, 1);
    put_string(t, "DIMM 0");
    put(t->out, 0, 1);
    put(t->out, 7, 1);          /* RAM */
    put(t->out, 1u << 1, 2);    /* other */
    put(t->out, 0, 2);          /* speed */
    put(t->out, 0, 4);          /* manufacturer, serial number, asset tag, part number */
    put(t->out, 0, 1);
    put(t->out, mib < 0x7fff ? 0 : MIN(mib, 0x7fffffff), 4);
    put(t->out, 0, 8);          /* configured speed, voltages */
    end(t);
}

/* Section 7.20: [start, start + size). */
static void add_memory_range(Tables *t, uint16_t handle, uint64_t start, uint64_t size)
{
    uint64_t last = start + size - 1;
    bool fits = last / 1024 < UINT32_MAX;

    begin(t, 19, handle);
    put(t->out, fits ? start / 1024 : UINT32_MAX, 4);
    put(t->out, fits ? last / 1024 : UINT32_MAX, 4);
    put(t->out, HANDLE_ARRAY, 2);
    put(t->out, 1, 1); /* devices in a row of it */
    put(t->out, fits ? 0 : start, 8);
    put(t->out, fits ? 0 : last, 8);
    end(t);
}

/* Sections 7.33 and 7.45. */
static void add_boot_status_and_end(Tables *t)
{
    begin(t, 32, HANDLE_BOOT);
    put(t->out, 0, 6);
    put(t->out, 0, 1); /* no error */
    end(t);
    begin(t, 127, HANDLE_END);
    end(t);
}

static GByteArray *build_tables(const SmbiosConfig *config, unsigned *ret_count, unsigned *ret_largest)
{
    g_autoptr(GPtrArray) strings = g_ptr_array_new();
    Tables t = { .out = g_byte_array_new(), .strings = strings };

    add_firmware(&t);
    add_system(&t, config->uuid);
    add_enclosure(&t);
    add_processor(&t, config->cpu_count);
    add_memory_array(&t, config->low_ram + config->high_ram);
    add_memory_device(&t, config->low_ram + config->high_ram);
    add_memory_range(&t, HANDLE_LOW_RANGE, 0, config->low_ram);
    if (config->high_ram) {
        add_memory_range(&t, HANDLE_HIGH_RANGE, HIGH_RAM_BASE, config->high_ram);
    }
    add_boot_status_and_end(&t);
    *ret_count = t.count;
    *ret_largest = t.largest;
    return t.out;
}

/* Makes the sum of SIZE bytes 0 by the byte at CHECKSUM, now 0. */
static void fix_sum(uint8_t *data, unsigned size, unsigned checksum)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < size; i++) {
        sum = (uint8_t)(sum + data[i]);
    }
    data[checksum] = (uint8_t)-sum;
}

/* Section 5.2.1. */
static GByteArray *build_entry(const GByteArray *tables, unsigned count, unsigned largest, uint32_t address)
{
    GByteArray *out = g_byte_array_new();

    put(out, 0x5f4d535f, 4);     /* "_SM_" */
    put(out, 0, 1);
    put(out, ENTRY_SIZE, 1);
    put(out, MAJOR, 1);
    put(out, MINOR, 1);
    put(out, largest, 2);
    put(out, 0, 6);
    put(out, 0x5f494d445f, 5);   /* "_DMI_" */
    put(out, 0, 1);
    put(out, tables->len, 2);
    put(out, address, 4);
    put(out, count, 2);
    put(out, MAJOR << 4 | MINOR, 1);
    fix_sum(out->data + ENTRY_MIDDLE, ENTRY_SIZE - ENTRY_MIDDLE, 5);
    fix_sum(out->data, ENTRY_SIZE, 4);
    return out;
}

GBytes *smbios_place(const SmbiosConfig *config, uint32_t base)
{
    unsigned count, largest;
    g_autoptr(GByteArray) tables = build_tables(config, &count, &largest);
    GByteArray *out = build_entry(tables, count, largest, base + TABLES_OFFSET);

    put(out, 0, TABLES_OFFSET - ENTRY_SIZE);
    g_byte_array_append(out, tables->data, tables->len);
    return g_byte_array_free_to_bytes(out);
}

void smbios_add_to_fw_cfg(const SmbiosConfig *config, FwCfg *cfg)
{
    unsigned count, largest;
    g_autoptr(GByteArray) tables = build_tables(config, &count, &largest);
    g_autoptr(GByteArray) entry = build_entry(tables, count, largest, 0);

    fw_cfg_set_file_copy(cfg, "etc/smbios/smbios-anchor", entry->data, entry->len);
    fw_cfg_set_file_copy(cfg, "etc/smbios/smbios-tables", tables->data, tables->len);
}
