/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel files: bzImage and ELF with a PVH entry.  Sources: linux-image.h.
 *
 * Thread: any.  Runs in: mpqemu.
 */
#include "hw/i386/linux-image.h"

#include <elf.h>
#include <string.h>

#include "util/error.h"

/* ---- bytes ----------------------------------------------------------------------------------- */

typedef struct Bytes {
    const uint8_t *data;
    uint64_t size;
} Bytes;

/* Copies LEN bytes at OFFSET; false when the file has not all of them. */
static bool bytes_copy(const Bytes *bytes, uint64_t offset, void *buf, uint64_t len)
{
    if (offset > bytes->size || len > bytes->size - offset) {
        return false;
    }
    memcpy(buf, bytes->data + offset, len);
    return true;
}

/* ---- bzImage --------------------------------------------------------------------------------- */

/* Fields of the setup header, by their offset in the file. */
enum {
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    BOOT_FLAG = 0x1fe,
    JUMP_OFFSET = 0x201, /* of the jump at 0x200: the header ends where it goes */
    MAGIC = 0x202,
    VERSION = 0x206,
    LOADFLAGS = 0x211,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE_KERNEL = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260,
    HEADER_212_END = 0x264,
};

#define SECTOR 512u
#define BOOT_FLAG_VALUE 0xaa55u
#define MAGIC_VALUE 0x53726448u /* "HdrS" */
#define VERSION_XLOADFLAGS 0x020cu
#define LOADED_HIGH (1u << 0)
#define XLF_KERNEL_64 (1u << 0)
#define XLF_CAN_BE_LOADED_ABOVE_4G (1u << 1)
#define ENTRY_64 0x200u
#define SETUP_SECTS_DEFAULT 4u

/* Header fields are little-endian and within `header` by HEADER_212_END. */
static uint64_t header_field(const LinuxImage *image, unsigned offset, unsigned len)
{
    uint64_t value = 0;

    memcpy(&value, image->header + (offset - LINUX_HEADER_START), len);
    return GUINT64_FROM_LE(value);
}

static bool is_bzimage(const Bytes *bytes)
{
    uint16_t boot_flag;
    uint32_t magic;

    return bytes_copy(bytes, BOOT_FLAG, &boot_flag, sizeof(boot_flag)) &&
           bytes_copy(bytes, MAGIC, &magic, sizeof(magic)) &&
           GUINT16_FROM_LE(boot_flag) == BOOT_FLAG_VALUE && GUINT32_FROM_LE(magic) == MAGIC_VALUE;
}

/* Copies the header, so that later looks see the same bytes. */
static bool read_header(const Bytes *bytes, LinuxImage *image, GError **errp)
{
    uint64_t end, version;

    if (!bytes_copy(bytes, LINUX_HEADER_START, image->header, HEADER_212_END - LINUX_HEADER_START)) {
        error_setg(errp, "the file ends in its header; it is truncated, get it anew");
        return false;
    }
    version = header_field(image, VERSION, 2);
    if (version < VERSION_XLOADFLAGS) {
        error_setg(errp, "boot protocol %u.%02u has no 64-bit entry; use a kernel with 2.12 (Linux 3.8) or later",
                   (unsigned)version >> 8, (unsigned)version & 0xff);
        return false;
    }
    end = MAGIC + header_field(image, JUMP_OFFSET, 1);
    image->header_size = (unsigned)(CLAMP(end, HEADER_212_END, LINUX_HEADER_END) - LINUX_HEADER_START);
    if (!bytes_copy(bytes, LINUX_HEADER_START, image->header, image->header_size)) {
        error_setg(errp, "the file ends in its header; it is truncated, get it anew");
        return false;
    }
    return true;
}

static bool parse_bzimage(const Bytes *bytes, LinuxImage *image, GError **errp)
{
    LinuxSegment *kernel = &image->segments[0];
    uint64_t setup_sects, xloadflags, init_size;

    if (!read_header(bytes, image, errp)) {
        return false;
    }
    xloadflags = header_field(image, XLOADFLAGS, 2);
    if (!(xloadflags & XLF_KERNEL_64) || !(header_field(image, LOADFLAGS, 1) & LOADED_HIGH)) {
        error_setg(errp, "this kernel has no 64-bit entry; use one for x86-64");
        return false;
    }
    setup_sects = header_field(image, SETUP_SECTS, 1);
    kernel->offset = ((setup_sects ? setup_sects : SETUP_SECTS_DEFAULT) + 1) * SECTOR;
    if (kernel->offset + ENTRY_64 >= bytes->size ||
        bytes->size - kernel->offset + 15 < header_field(image, SYSSIZE, 4) * 16) {
        error_setg(errp, "the file has %" G_GUINT64_FORMAT " bytes, its header speaks of %" G_GUINT64_FORMAT
                   "; it is truncated, get it anew", bytes->size,
                   kernel->offset + MAX(header_field(image, SYSSIZE, 4) * 16, ENTRY_64 + 1));
        return false;
    }
    kernel->file_size = bytes->size - kernel->offset;
    kernel->address = header_field(image, PREF_ADDRESS, 8);
    init_size = header_field(image, INIT_SIZE, 4);
    kernel->mem_size = MAX(init_size, kernel->file_size);
    if (kernel->address > UINT64_MAX - kernel->mem_size) {
        error_setg(errp, "its header wants it at 0x%" G_GINT64_MODIFIER "x, beyond all memory; the file is damaged",
                   kernel->address);
        return false;
    }
    image->segment_count = 1;
    image->entry = ENTRY_64;
    image->relocatable = header_field(image, RELOCATABLE_KERNEL, 1) != 0;
    image->alignment = header_field(image, KERNEL_ALIGNMENT, 4);
    if (image->relocatable && (image->alignment == 0 || (image->alignment & (image->alignment - 1)))) {
        error_setg(errp, "its header's alignment, 0x%" G_GINT64_MODIFIER "x, is no power of 2; the file is damaged",
                   image->alignment);
        return false;
    }
    image->initrd_max = xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G ? UINT64_MAX : header_field(image, INITRD_ADDR_MAX, 4);
    image->cmdline_max = (uint32_t)header_field(image, CMDLINE_SIZE, 4);
    return true;
}

/* ---- ELF ------------------------------------------------------------------------------------- */

#define NOTE_PHYS32_ENTRY 18u /* XEN_ELFNOTE_PHYS32_ENTRY */
#define NOTES_MAX 64u         /* looked at in one segment; Linux has about 15 */

/* What both classes' headers say, in 64 bits. */
typedef struct ElfFile {
    bool is_64;
    uint16_t machine;
    uint64_t phoff;
    uint16_t phentsize;
    uint16_t phnum;
} ElfFile;

static bool read_elf_header(const Bytes *bytes, ElfFile *ret_elf)
{
    Elf64_Ehdr wide;
    Elf32_Ehdr narrow;
    uint8_t ident[EI_NIDENT];

    if (!bytes_copy(bytes, 0, ident, sizeof(ident)) || ident[EI_DATA] != ELFDATA2LSB) {
        return false;
    }
    if (ident[EI_CLASS] == ELFCLASS64 && bytes_copy(bytes, 0, &wide, sizeof(wide))) {
        *ret_elf = (ElfFile) { true, GUINT16_FROM_LE(wide.e_machine), GUINT64_FROM_LE(wide.e_phoff),
                               GUINT16_FROM_LE(wide.e_phentsize), GUINT16_FROM_LE(wide.e_phnum) };
        return ret_elf->machine == EM_X86_64 && ret_elf->phentsize >= sizeof(Elf64_Phdr);
    }
    if (ident[EI_CLASS] == ELFCLASS32 && bytes_copy(bytes, 0, &narrow, sizeof(narrow))) {
        *ret_elf = (ElfFile) { false, GUINT16_FROM_LE(narrow.e_machine), GUINT32_FROM_LE(narrow.e_phoff),
                               GUINT16_FROM_LE(narrow.e_phentsize), GUINT16_FROM_LE(narrow.e_phnum) };
        return (ret_elf->machine == EM_386 || ret_elf->machine == EM_X86_64) &&
               ret_elf->phentsize >= sizeof(Elf32_Phdr);
    }
    return false;
}

/* Program header I; false when the file has not all of it. */
static bool read_program_header(const Bytes *bytes, const ElfFile *elf, unsigned i, uint32_t *ret_type,
                                LinuxSegment *ret_segment)
{
    uint64_t at = elf->phoff + (uint64_t)i * elf->phentsize;
    Elf64_Phdr wide;
    Elf32_Phdr narrow;

    if (at < elf->phoff) {
        return false;
    }
    if (elf->is_64) {
        if (!bytes_copy(bytes, at, &wide, sizeof(wide))) {
            return false;
        }
        *ret_type = GUINT32_FROM_LE(wide.p_type);
        *ret_segment = (LinuxSegment) { GUINT64_FROM_LE(wide.p_offset), GUINT64_FROM_LE(wide.p_filesz),
                                        GUINT64_FROM_LE(wide.p_paddr), GUINT64_FROM_LE(wide.p_memsz) };
        return true;
    }
    if (!bytes_copy(bytes, at, &narrow, sizeof(narrow))) {
        return false;
    }
    *ret_type = GUINT32_FROM_LE(narrow.p_type);
    *ret_segment = (LinuxSegment) { GUINT32_FROM_LE(narrow.p_offset), GUINT32_FROM_LE(narrow.p_filesz),
                                    GUINT32_FROM_LE(narrow.p_paddr), GUINT32_FROM_LE(narrow.p_memsz) };
    return true;
}

static bool segment_in_file(const Bytes *bytes, const LinuxSegment *segment)
{
    return segment->offset <= bytes->size && segment->file_size <= bytes->size - segment->offset;
}

static bool add_segment(const Bytes *bytes, const LinuxSegment *segment, LinuxImage *image, GError **errp)
{
    if (segment->mem_size == 0) {
        return true;
    }
    if (image->segment_count == LINUX_SEGMENTS_MAX) {
        error_setg(errp, "it has more than %u segments to load; use a plain vmlinux or a bzImage", LINUX_SEGMENTS_MAX);
        return false;
    }
    if (!segment_in_file(bytes, segment) || segment->file_size > segment->mem_size ||
        segment->address > UINT64_MAX - segment->mem_size) {
        error_setg(errp, "the segment for address 0x%" G_GINT64_MODIFIER "x is not all in the file; it is truncated or "
                   "damaged, get it anew", segment->address);
        return false;
    }
    for (unsigned i = 0; i < image->segment_count; i++) {
        const LinuxSegment *other = &image->segments[i];

        if (segment->address < other->address + other->mem_size &&
            other->address < segment->address + segment->mem_size) {
            error_setg(errp, "the segments for addresses 0x%" G_GINT64_MODIFIER "x and 0x%" G_GINT64_MODIFIER
                       "x overlap; the file is damaged", other->address, segment->address);
            return false;
        }
    }
    image->segments[image->segment_count++] = *segment;
    return true;
}

/* Looks for the PVH entry among the notes of SEGMENT, which is in the file. */
static bool find_entry(const Bytes *bytes, const LinuxSegment *segment, uint64_t *ret_entry)
{
    const Bytes notes = { bytes->data + segment->offset, segment->file_size };
    uint64_t at = 0;

    for (unsigned i = 0; i < NOTES_MAX; i++) {
        Elf32_Nhdr head; /* the same in both classes */
        char name[4];
        uint64_t desc = 0, desc_at, desc_size;

        if (!bytes_copy(&notes, at, &head, sizeof(head))) {
            return false;
        }
        desc_at = at + sizeof(head) + ((GUINT32_FROM_LE(head.n_namesz) + UINT64_C(3)) & ~UINT64_C(3));
        desc_size = GUINT32_FROM_LE(head.n_descsz);
        if (GUINT32_FROM_LE(head.n_type) == NOTE_PHYS32_ENTRY && GUINT32_FROM_LE(head.n_namesz) == sizeof(name) &&
            bytes_copy(&notes, at + sizeof(head), name, sizeof(name)) && memcmp(name, "Xen", sizeof(name)) == 0 &&
            (desc_size == 4 || desc_size == 8) && bytes_copy(&notes, desc_at, &desc, desc_size)) {
            *ret_entry = GUINT64_FROM_LE(desc);
            return true;
        }
        at = desc_at + ((desc_size + 3) & ~UINT64_C(3));
    }
    return false;
}

static bool entry_in_segments(const LinuxImage *image)
{
    for (unsigned i = 0; i < image->segment_count; i++) {
        const LinuxSegment *segment = &image->segments[i];

        if (image->entry >= segment->address && image->entry - segment->address < segment->mem_size) {
            return true;
        }
    }
    return false;
}

static bool parse_elf(const Bytes *bytes, LinuxImage *image, GError **errp)
{
    ElfFile elf;
    bool has_entry = false;

    if (!read_elf_header(bytes, &elf)) {
        error_setg(errp, "this ELF file is not for x86, or damaged; use a bzImage or a vmlinux for x86-64");
        return false;
    }
    for (unsigned i = 0; i < elf.phnum; i++) {
        LinuxSegment segment;
        uint32_t type;

        if (!read_program_header(bytes, &elf, i, &type, &segment)) {
            error_setg(errp, "the file ends in its program headers; it is truncated, get it anew");
            return false;
        }
        if (type == PT_LOAD && !add_segment(bytes, &segment, image, errp)) {
            return false;
        }
        if (type == PT_NOTE && !has_entry && segment_in_file(bytes, &segment)) {
            has_entry = find_entry(bytes, &segment, &image->entry);
        }
    }
    if (!has_entry) {
        error_setg(errp, "this ELF file has no PVH entry (note XEN_ELFNOTE_PHYS32_ENTRY); use a bzImage, or a vmlinux "
                   "with CONFIG_PVH");
        return false;
    }
    if (!entry_in_segments(image)) {
        error_setg(errp, "its PVH entry, 0x%" G_GINT64_MODIFIER "x, is in none of its segments; the file is damaged",
                   image->entry);
        return false;
    }
    image->pvh = true;
    image->cmdline_max = UINT32_MAX;
    image->initrd_max = UINT32_MAX;
    return true;
}

/* ---- entry point ----------------------------------------------------------------------------- */

bool linux_image_parse(const uint8_t *data, uint64_t size, LinuxImage *ret_image, GError **errp)
{
    const Bytes bytes = { data, size };
    uint8_t magic[SELFMAG];

    *ret_image = (LinuxImage) { 0 };
    if (bytes_copy(&bytes, 0, magic, sizeof(magic)) && memcmp(magic, ELFMAG, SELFMAG) == 0) {
        return parse_elf(&bytes, ret_image, errp);
    }
    if (is_bzimage(&bytes)) {
        return parse_bzimage(&bytes, ret_image, errp);
    }
    error_setg(errp, "this is neither a bzImage nor an ELF kernel; give Linux's bzImage (vmlinuz), or a vmlinux with a "
               "PVH entry");
    return false;
}
