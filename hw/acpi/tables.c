/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables of the pc board.
 *
 * Runs in: mpqemu.  The manual is include/hw/acpi/tables.h.
 */
#include <string.h>

#include "dsdt.h"
#include "hw/acpi/pm.h"
#include "hw/acpi/tables-int.h"

#define OEM_ID "MPQEMU"
#define OEM_TABLE_ID "MPQEMUPC"
#define CREATOR_ID "MPQE"

#define TABLE_HEADER_SIZE 36u
#define TABLE_CHECKSUM 9u     /* offset in the header */
#define FACS_SIZE 64u
#define FADT_SIZE 268u
#define RSDP_SIZE 36u
#define RSDP_SIZE_REV_0 20u

#define LOCAL_APIC_BASE 0xfee00000u
#define IO_APIC_BASE 0xfec00000u
#define TIMER_GSI 2u
#define RESET_PORT 0xcf9u
#define RESET_VALUE 0x06u
#define CMOS_CENTURY 0x32u

/* ---- building blocks ------------------------------------------------------------------------- */

static void put(GByteArray *out, uint64_t value, unsigned size)
{
    uint64_t raw = GUINT64_TO_LE(value);

    g_byte_array_append(out, (const guint8 *)&raw, size);
}

static void put_text(GByteArray *out, const char *text)
{
    g_byte_array_append(out, (const guint8 *)text, (guint)strlen(text));
}

static void put_zeroes(GByteArray *out, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        put(out, 0, 1);
    }
}

static GByteArray *tables_of(AcpiTables *t)
{
    return t->bytes[ACPI_PIECE_TABLES];
}

static void add_checksum(AcpiTables *t, AcpiPiece piece, uint32_t offset, uint32_t start, uint32_t length)
{
    AcpiChecksum checksum = { piece, offset, start, length };

    g_array_append_val(t->checksums, checksum);
}

/* Appends a pointer of SIZE bytes to what stands at TARGET. */
static void put_pointer(AcpiTables *t, AcpiPiece piece, uint32_t target, uint8_t size)
{
    AcpiPointer pointer = { piece, t->bytes[piece]->len, size };

    g_array_append_val(t->pointers, pointer);
    put(t->bytes[piece], target, size);
}

/* Each table starts at a multiple of 16, the FACS at one of 64. */
static void align(GByteArray *out, unsigned to)
{
    put_zeroes(out, -out->len & (to - 1));
}

/* The header of a table, whose length and checksum table_end() fills in.  Returns where it starts. */
static uint32_t table_begin(AcpiTables *t, const char *signature, uint8_t revision)
{
    GByteArray *out = tables_of(t);
    uint32_t start;

    align(out, 16);
    start = out->len;
    put_text(out, signature);
    put(out, 0, 4);
    put(out, revision, 1);
    put(out, 0, 1);
    put_text(out, OEM_ID);
    put_text(out, OEM_TABLE_ID);
    put(out, 1, 4);
    put_text(out, CREATOR_ID);
    put(out, 1, 4);
    return start;
}

static void table_end(AcpiTables *t, uint32_t start)
{
    GByteArray *out = tables_of(t);
    uint32_t length = out->len - start, raw = GUINT32_TO_LE(length);

    memcpy(out->data + start + 4, &raw, sizeof(raw));
    add_checksum(t, ACPI_PIECE_TABLES, start + TABLE_CHECKSUM, start, length);
}

/* A generic address (section 5.2.3.1): an I/O port. */
static void put_port(GByteArray *out, uint16_t port, unsigned bytes)
{
    static const uint8_t access_size[] = { [1] = 1, [2] = 2, [4] = 3 };

    put(out, 1, 1);
    put(out, bytes * 8, 1);
    put(out, 0, 1);
    put(out, access_size[bytes], 1);
    put(out, port, 8);
}

/* ---- DSDT ------------------------------------------------------------------------------------ */

/* Opcodes of the byte code (section 20.2). */
enum { AML_NAME = 0x08, AML_DWORD = 0x0c, AML_QWORD = 0x0e };

/*
 * Gives the integer NAME of the DSDT at START the VALUE: Name (NAME, <number of SIZE bytes>).  The source has each of
 * these once; that it has is the test's to see.
 */
static void patch_name(GByteArray *out, uint32_t start, const char *name, uint64_t value, unsigned size)
{
    uint8_t pattern[6] = { AML_NAME, 0, 0, 0, 0, size == 8 ? AML_QWORD : AML_DWORD };
    uint64_t raw = GUINT64_TO_LE(value);
    uint8_t *found;

    memcpy(pattern + 1, name, 4);
    found = memmem(out->data + start, out->len - start, pattern, sizeof(pattern));
    g_assert(found); /* the program's own source */
    memcpy(found + sizeof(pattern), &raw, size);
}

static uint32_t add_dsdt(AcpiTables *t, const AcpiConfig *config)
{
    GByteArray *out = tables_of(t);
    uint32_t start;

    align(out, 16);
    start = out->len;
    g_byte_array_append(out, dsdt_aml, sizeof(dsdt_aml));
    out->data[start + TABLE_CHECKSUM] = 0;
    patch_name(out, start, "MS32", config->pci_first, 4);
    patch_name(out, start, "ME32", config->pci_last, 4);
    patch_name(out, start, "MS64", config->pci64_first, 8);
    patch_name(out, start, "ME64", config->pci64_last, 8);
    patch_name(out, start, "ISAD", config->isa_devices, 4);
    table_end(t, start);
    return start;
}

/* ---- FACS and FADT --------------------------------------------------------------------------- */

/* Section 5.2.10; it has no checksum. */
static uint32_t add_facs(AcpiTables *t)
{
    GByteArray *out = tables_of(t);
    uint32_t start;

    align(out, ACPI_TABLES_ALIGN);
    start = out->len;
    put_text(out, "FACS");
    put(out, FACS_SIZE, 4);
    put_zeroes(out, 24);
    put(out, 2, 1); /* version */
    put_zeroes(out, start + FACS_SIZE - out->len);
    return start;
}

/* IAPC_BOOT_ARCH (section 5.2.9.3). */
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_8042 = 1 << 1, BOOT_NO_VGA = 1 << 2, BOOT_NO_CMOS_RTC = 1 << 5 };
/* Fixed feature flags (section 5.2.9). */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_NO_SLEEP_BUTTON = 1 << 5, /* neither of the fixed kind */
    FADT_NO_FIXED_RTC = 1 << 6,
    FADT_RESET_REGISTER = 1 << 10,
};

static uint32_t add_fadt(AcpiTables *t, const AcpiConfig *config, uint32_t facs, uint32_t dsdt)
{
    GByteArray *out = tables_of(t);
    uint32_t start = table_begin(t, "FACP", 5);
    bool rtc = config->isa_devices & ACPI_ISA_RTC;

    put_pointer(t, ACPI_PIECE_TABLES, facs, 4);
    put_pointer(t, ACPI_PIECE_TABLES, dsdt, 4);
    put(out, 0, 1);
    put(out, 1, 1);                      /* preferred profile: desktop */
    put(out, PM_SCI_IRQ, 2);
    put(out, PM_APM_CONTROL, 4);
    put(out, PM_ACPI_ENABLE, 1);
    put(out, PM_ACPI_DISABLE, 1);
    put(out, 0, 2);                      /* S4BIOS_REQ, PSTATE_CNT */
    put(out, PM_BASE + PM1_STATUS, 4);
    put(out, 0, 4);
    put(out, PM_BASE + PM1_CONTROL, 4);
    put(out, 0, 8);                      /* PM1b control, PM2 control */
    put(out, PM_BASE + PM_TIMER, 4);
    put(out, PM_GPE0_BASE, 4);
    put(out, 0, 4);
    put(out, 4, 1);                      /* lengths: PM1 event, */
    put(out, 2, 1);                      /* PM1 control, */
    put(out, 0, 1);
    put(out, 4, 1);                      /* PM timer, */
    put(out, PM_GPE0_SIZE, 1);
    put(out, 0, 3);                      /* GPE1, CST_CNT */
    put(out, 0xffff, 2);                 /* latencies of C2 and C3: there are none */
    put(out, 0xffff, 2);
    put(out, 0, 4);                      /* FLUSH_SIZE, FLUSH_STRIDE */
    put(out, 0, 4);                      /* duty cycle; alarms */
    put(out, rtc ? CMOS_CENTURY : 0, 1);
    put(out, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | (config->isa_devices & ACPI_ISA_KEYBOARD ? BOOT_8042 : 0) |
        (rtc ? 0 : BOOT_NO_CMOS_RTC), 2);
    put(out, 0, 1);
    put(out, FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_FIXED_RTC | FADT_RESET_REGISTER, 4);
    put_port(out, RESET_PORT, 1);
    put(out, RESET_VALUE, 1);
    put_zeroes(out, 3);
    put(out, 0, 8);                      /* X_FIRMWARE_CTRL: the short one counts */
    put_pointer(t, ACPI_PIECE_TABLES, dsdt, 8);
    put_port(out, PM_BASE + PM1_STATUS, 4);
    put_zeroes(out, 12);
    put_port(out, PM_BASE + PM1_CONTROL, 2);
    put_zeroes(out, 24);
    put_port(out, PM_BASE + PM_TIMER, 4);
    put_port(out, PM_GPE0_BASE, PM_GPE0_SIZE);
    put_zeroes(out, start + FADT_SIZE - out->len); /* GPE1; sleep registers of reduced hardware */
    table_end(t, start);
    return start;
}

/* ---- MADT ------------------------------------------------------------------------------------ */

/* Types of entries and flags (section 5.2.12). */
enum { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_NMI = 4, MADT_X2APIC = 9, MADT_X2APIC_NMI = 10 };
#define MADT_HAS_8259 1u
#define MADT_ENABLED 1u
#define MADT_HIGH_LEVEL 0x0du /* polarity active high, trigger mode level */
#define XAPIC_IDS 255u

static void put_cpu(GByteArray *out, unsigned id)
{
    if (id < XAPIC_IDS) {
        put(out, MADT_LOCAL_APIC, 1);
        put(out, 8, 1);
        put(out, id, 1); /* processor's number */
        put(out, id, 1);
        put(out, MADT_ENABLED, 4);
    } else {
        put(out, MADT_X2APIC, 1);
        put(out, 16, 1);
        put(out, 0, 2);
        put(out, id, 4);
        put(out, MADT_ENABLED, 4);
        put(out, id, 4);
    }
}

static void put_override(GByteArray *out, uint8_t irq, uint32_t gsi, uint16_t flags)
{
    put(out, MADT_OVERRIDE, 1);
    put(out, 10, 1);
    put(out, 0, 1); /* ISA */
    put(out, irq, 1);
    put(out, gsi, 4);
    put(out, flags, 2);
}

static uint32_t add_madt(AcpiTables *t, const AcpiConfig *config)
{
    GByteArray *out = tables_of(t);
    uint32_t start = table_begin(t, "APIC", 3);

    put(out, LOCAL_APIC_BASE, 4);
    put(out, MADT_HAS_8259, 4);
    for (unsigned id = 0; id < config->cpu_count; id++) {
        put_cpu(out, id);
    }
    put(out, MADT_IO_APIC, 1);
    put(out, 12, 1);
    put(out, 0, 2); /* its id, 0 */
    put(out, IO_APIC_BASE, 4);
    put(out, 0, 4);
    put_override(out, 0, TIMER_GSI, 0);
    put_override(out, PM_SCI_IRQ, PM_SCI_IRQ, MADT_HIGH_LEVEL);
    put(out, MADT_NMI, 1);
    put(out, 6, 1);
    put(out, 0xff, 1); /* all processors */
    put(out, 0, 2);
    put(out, 1, 1);    /* LINT1 */
    if (config->cpu_count > XAPIC_IDS) {
        put(out, MADT_X2APIC_NMI, 1);
        put(out, 12, 1);
        put(out, 0, 2);
        put(out, UINT32_MAX, 4);
        put(out, 1, 4); /* LINT1 and three bytes of nothing */
    }
    table_end(t, start);
    return start;
}

/* ---- roots ----------------------------------------------------------------------------------- */

/* RSDT or XSDT: pointers of SIZE bytes to FADT and MADT. */
static uint32_t add_root_table(AcpiTables *t, const char *signature, uint8_t size, uint32_t fadt, uint32_t madt)
{
    uint32_t start = table_begin(t, signature, 1);

    put_pointer(t, ACPI_PIECE_TABLES, fadt, size);
    put_pointer(t, ACPI_PIECE_TABLES, madt, size);
    table_end(t, start);
    return start;
}

/* Section 5.2.5.3; the first checksum is of the part that revision 0 had. */
static void add_rsdp(AcpiTables *t, uint32_t rsdt, uint32_t xsdt)
{
    GByteArray *out = t->bytes[ACPI_PIECE_RSDP];

    put_text(out, "RSD PTR ");
    put(out, 0, 1);
    put_text(out, OEM_ID);
    put(out, 2, 1);
    put_pointer(t, ACPI_PIECE_RSDP, rsdt, 4);
    put(out, RSDP_SIZE, 4);
    put_pointer(t, ACPI_PIECE_RSDP, xsdt, 8);
    put(out, 0, 4); /* extended checksum, reserved */
    add_checksum(t, ACPI_PIECE_RSDP, 8, 0, RSDP_SIZE_REV_0);
    add_checksum(t, ACPI_PIECE_RSDP, 32, 0, RSDP_SIZE);
}

AcpiTables *acpi_tables_build(const AcpiConfig *config)
{
    AcpiTables *t = g_new0(AcpiTables, 1);
    uint32_t facs, dsdt, fadt, madt, rsdt, xsdt;

    g_assert(config->cpu_count >= 1 && config->cpu_count <= ACPI_CPUS_MAX);
    t->bytes[ACPI_PIECE_RSDP] = g_byte_array_new();
    t->bytes[ACPI_PIECE_TABLES] = g_byte_array_new();
    t->pointers = g_array_new(FALSE, FALSE, sizeof(AcpiPointer));
    t->checksums = g_array_new(FALSE, FALSE, sizeof(AcpiChecksum));
    facs = add_facs(t);
    dsdt = add_dsdt(t, config);
    fadt = add_fadt(t, config, facs, dsdt);
    madt = add_madt(t, config);
    rsdt = add_root_table(t, "RSDT", 4, fadt, madt);
    xsdt = add_root_table(t, "XSDT", 8, fadt, madt);
    add_rsdp(t, rsdt, xsdt);
    return t;
}

void acpi_tables_free(AcpiTables *tables)
{
    g_byte_array_unref(tables->bytes[ACPI_PIECE_RSDP]);
    g_byte_array_unref(tables->bytes[ACPI_PIECE_TABLES]);
    g_array_unref(tables->pointers);
    g_array_unref(tables->checksums);
    g_free(tables);
}

/* ---- placing --------------------------------------------------------------------------------- */

static void apply_pointer(AcpiTables *t, const AcpiPointer *pointer, uint32_t tables_at)
{
    uint8_t *p = t->bytes[pointer->piece]->data + pointer->offset;
    uint64_t raw = 0;

    memcpy(&raw, p, pointer->size);
    raw = GUINT64_TO_LE(GUINT64_FROM_LE(raw) + tables_at);
    memcpy(p, &raw, pointer->size);
}

static void apply_checksum(AcpiTables *t, const AcpiChecksum *checksum)
{
    uint8_t *data = t->bytes[checksum->piece]->data;
    uint8_t sum = 0;

    for (uint32_t i = 0; i < checksum->length; i++) {
        sum = (uint8_t)(sum + data[checksum->start + i]);
    }
    data[checksum->offset] = (uint8_t)-sum;
}

GBytes *acpi_tables_place(const AcpiConfig *config, uint32_t base, uint64_t *ret_rsdp)
{
    g_autoptr(AcpiTables) t = acpi_tables_build(config);
    GByteArray *out = g_byte_array_new();

    G_STATIC_ASSERT(RSDP_SIZE <= ACPI_TABLES_ALIGN);
    g_assert(base % ACPI_TABLES_ALIGN == 0);
    for (guint i = 0; i < t->pointers->len; i++) {
        apply_pointer(t, &g_array_index(t->pointers, AcpiPointer, i), base + ACPI_TABLES_ALIGN);
    }
    for (guint i = 0; i < t->checksums->len; i++) {
        apply_checksum(t, &g_array_index(t->checksums, AcpiChecksum, i));
    }
    g_byte_array_append(out, t->bytes[ACPI_PIECE_RSDP]->data, t->bytes[ACPI_PIECE_RSDP]->len);
    align(out, ACPI_TABLES_ALIGN);
    g_byte_array_append(out, tables_of(t)->data, tables_of(t)->len);
    *ret_rsdp = base;
    return g_byte_array_free_to_bytes(out);
}
