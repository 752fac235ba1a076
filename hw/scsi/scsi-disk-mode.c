/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: MODE SENSE and MODE SELECT (SPC-4 6.11 to 6.14, 7.5; SBC-3 6.5; MMC-5 7).
 *
 * Runs in: both.
 *
 * A page is made by its fill() in one of three views: current values, changeable bits, defaults.  The only bit a guest
 * can change is WCE of the caching page.  MODE SELECT takes a page when all bits outside the changeable ones equal the
 * current ones, checks the whole list before it applies any page, and names the offending byte otherwise.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

typedef enum ModeView {
    VIEW_CURRENT = 0, /* codes of the PC field */
    VIEW_CHANGEABLE = 1,
    VIEW_DEFAULT = 2,
    VIEW_SAVED = 3, /* refused: SAVING PARAMETERS NOT SUPPORTED */
} ModeView;

enum { PAGE_CACHING = 0x08, PAGE_ALL = 0x3f, WCE = 0x04, SUBPAGE_ALL = 0xff };

/* All pages together, headers and descriptors included, stay below this. */
#define MODE_DATA_MAX 256

typedef struct ModePage {
    uint8_t code;
    uint8_t flags; /* CMD_HD, CMD_CD */
    uint8_t len;   /* of the part after the two-byte page header */
    void (*fill)(ScsiDisk *disk, ModeView view, uint8_t *p); /* P: zeroed, LEN bytes, after the page header */
} ModePage;

/* Read-write error recovery: AWRE on disks; one read retry on CDs. */
static void fill_error_recovery(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    if (view != VIEW_CHANGEABLE) {
        p[0] = scsi_disk_is_cd(disk) ? 0 : 0x80;
        p[1] = scsi_disk_is_cd(disk) ? 0x20 : 0;
    }
}

/* Rigid disk geometry (obsolete, still asked for by partitioning tools): 16 heads, 63 sectors at page 03's place. */
static void fill_rigid_geometry(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    uint64_t cylinders = scsi_disk_blocks(disk) / (16 * 63);

    if (view != VIEW_CHANGEABLE) {
        uint32_t shown = (uint32_t)MIN(MAX(cylinders, 1), 0xffffff);

        scsi_put_be24(p, shown);
        p[3] = 16;
        scsi_put_be24(p + 4, shown);  /* no write precompensation */
        scsi_put_be24(p + 7, shown);  /* no reduced write current */
        scsi_put_be16(p + 10, 200);   /* step rate, 100 ns units */
        scsi_put_be24(p + 12, 0xffffff); /* landing zone: retract by itself */
        scsi_put_be16(p + 18, disk->rotation_rate > 1 ? disk->rotation_rate : 5400);
    }
}

/* Caching: WCE, the one bit that can change, and on disks only. */
static void fill_caching(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    bool on = view == VIEW_DEFAULT ? disk->default_wce : view == VIEW_CURRENT ? blk_write_cache_enabled(disk->blk)
                                                                               : !scsi_disk_is_cd(disk);

    p[0] = on ? WCE : 0;
}

/* Control: no log parameters are saved (GLTSD), commands may be reordered, no limit of the busy time. */
static void fill_control(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    (void)disk;
    if (view != VIEW_CHANGEABLE) {
        p[0] = 0x02;
        p[1] = 0x10;
        scsi_put_be16(p + 6, 0xffff);
    }
}

/* CD audio control: the default channel routing at full volume; there is no audio output. */
static void fill_audio(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    (void)disk;
    if (view != VIEW_CHANGEABLE) {
        p[0] = 0x04; /* IMMED */
        p[6] = 0x01;
        p[7] = 0xff;
        p[8] = 0x02;
        p[9] = 0xff;
    }
}

/* MM capabilities and mechanical status (MMC-3 6.3.11): reads CD-R/RW and DVD; tray, lock, eject; 50 x 176 kB/s. */
static void fill_capabilities(ScsiDisk *disk, ModeView view, uint8_t *p)
{
    if (view != VIEW_CHANGEABLE) {
        p[0] = 0x3b; /* CD-R, CD-RW, method 2, DVD-ROM, DVD-R, DVD-RAM read */
        p[2] = 0x70; /* mode 2 form 1, form 2, multi-session */
        p[4] = 0x29 | (disk->prevented ? 0x02 : 0); /* tray, eject, lock; lock state */
        scsi_put_be16(p + 6, 50 * 176);
        scsi_put_be16(p + 8, 2);
        scsi_put_be16(p + 10, 2048); /* buffer, kB */
        scsi_put_be16(p + 12, 50 * 176);
    }
}

/* In ascending order, as page 3F shows them. */
static const ModePage pages[] = {
    { 0x01, CMD_ALL, 0x0a, fill_error_recovery },
    { 0x04, CMD_HD, 0x16, fill_rigid_geometry },
    { PAGE_CACHING, CMD_ALL, 0x12, fill_caching },
    { 0x0a, CMD_ALL, 0x0a, fill_control },
    { 0x0e, CMD_CD, 0x0e, fill_audio },
    { 0x2a, CMD_CD, 0x14, fill_capabilities },
};

static bool page_offered(ScsiDisk *disk, const ModePage *page)
{
    return page->flags & (scsi_disk_is_cd(disk) ? CMD_CD : CMD_HD);
}

/* Writes PAGE with its header; returns its whole length. */
static unsigned put_page(ScsiDisk *disk, const ModePage *page, ModeView view, uint8_t *p)
{
    p[0] = page->code;
    p[1] = page->len;
    memset(p + 2, 0, page->len);
    page->fill(disk, view, p + 2);
    return 2 + page->len;
}

/* ---- MODE SENSE ------------------------------------------------------------------------------ */

/* Block descriptor, short (8 bytes) or long LBA (16); CDs have none (MMC-5 7.2).  Changeable bits: none. */
static unsigned put_block_descriptor(ScsiDisk *disk, bool is_long, ModeView view, uint8_t *p)
{
    uint64_t blocks = scsi_disk_blocks(disk);

    memset(p, 0, 16);
    if (view != VIEW_CHANGEABLE && is_long) {
        scsi_put_be64(p, blocks);
        scsi_put_be32(p + 12, disk->block_size);
    } else if (view != VIEW_CHANGEABLE) {
        scsi_put_be32(p, (uint32_t)MIN(blocks, UINT32_MAX));
        scsi_put_be24(p + 5, disk->block_size);
    }
    return is_long ? 16 : 8;
}

/* MODE SENSE(6), (10): one page or all (3Fh); subpage FFh means "all subpages", of which there is only 0. */
void scsi_disk_mode_sense(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    ScsiDisk *disk = op->disk;
    bool is10 = scsi_cdb_length(cdb[0]) == 10, is_long = is10 && cdb[1] & 0x10, found = false;
    unsigned code = cdb[2] & 0x3f, subpage = cdb[3];
    ModeView view = cdb[2] >> 6;
    uint8_t buf[MODE_DATA_MAX] = { 0 };
    unsigned header = is10 ? 8 : 4, descriptor = 0, len, i;
    uint8_t specific = 0;

    if (view == VIEW_SAVED) {
        scsi_disk_check(op, scsi_sense(SENSE_ILLEGAL_REQUEST, 0x39, 0x00));
        return;
    }
    if (subpage != 0 && subpage != SUBPAGE_ALL) {
        scsi_disk_bad_cdb(op, 3);
        return;
    }
    if (!scsi_disk_is_cd(disk)) {
        /* WP, DPOFUA. */
        specific = (scsi_disk_write_protected(disk) ? 0x80 : 0) | 0x10;
        if (!(cdb[1] & 0x08)) {
            descriptor = put_block_descriptor(disk, is_long, view, buf + header);
        }
    }
    len = header + descriptor;
    for (i = 0; i < G_N_ELEMENTS(pages); i++) {
        if ((code == PAGE_ALL || code == pages[i].code) && page_offered(disk, &pages[i])) {
            len += put_page(disk, &pages[i], view, buf + len);
            found = true;
        }
    }
    if (!found) {
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    if (is10) {
        scsi_put_be16(buf, (uint16_t)(len - 2));
        buf[3] = specific;
        buf[4] = descriptor == 16 ? 0x01 : 0;
        scsi_put_be16(buf + 6, (uint16_t)descriptor);
    } else {
        buf[0] = (uint8_t)(len - 1);
        buf[2] = specific;
        buf[3] = (uint8_t)descriptor;
    }
    scsi_disk_answer(op, buf, len, is10 ? scsi_get_be16(cdb + 7) : cdb[4]);
}

/* ---- MODE SELECT ----------------------------------------------------------------------------- */

/* PARAMETER LIST LENGTH ERROR: the list ends inside a header, descriptor or page. */
static const ScsiSense list_length_error = { .key = SENSE_ILLEGAL_REQUEST, .asc = 0x1a };

/* The descriptor at list offset AT must say what is there already; the number of blocks may also be 0. */
static bool check_descriptor(ScsiDiskOp *op, unsigned at, unsigned len, bool is_long)
{
    const uint8_t *p = op->buf + at;
    uint8_t current[16];
    unsigned number_len = is_long ? 8 : 4, i;
    bool zero = true;

    put_block_descriptor(op->disk, is_long, VIEW_CURRENT, current);
    for (i = 0; i < number_len; i++) {
        zero = zero && p[i] == 0;
    }
    for (i = zero ? number_len : 0; i < len; i++) {
        if (p[i] != current[i]) {
            scsi_disk_check(op, scsi_sense_invalid_field_in_list(at + i));
            return false;
        }
    }
    return true;
}

/* The page at list offset AT, LEFT bytes from the end; its length to *ret_len. */
static bool check_page(ScsiDiskOp *op, unsigned at, unsigned left, unsigned *ret_len)
{
    const uint8_t *p = op->buf + at;
    uint8_t current[2 + UINT8_MAX], changeable[2 + UINT8_MAX];
    const ModePage *page = NULL;
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (pages[i].code == (p[0] & 0x3f) && page_offered(op->disk, &pages[i])) {
            page = &pages[i];
        }
    }
    /* Bit 7 (PS) is reserved here, bit 6 says "subpage": there are none. */
    if (!page || p[0] & 0x40) {
        scsi_disk_check(op, scsi_sense_invalid_field_in_list(at));
        return false;
    }
    if (left < 2) {
        scsi_disk_check(op, list_length_error);
        return false;
    }
    if (p[1] != page->len) {
        scsi_disk_check(op, scsi_sense_invalid_field_in_list(at + 1));
        return false;
    }
    if (left < 2u + page->len) {
        scsi_disk_check(op, list_length_error);
        return false;
    }
    put_page(op->disk, page, VIEW_CURRENT, current);
    put_page(op->disk, page, VIEW_CHANGEABLE, changeable);
    for (i = 2; i < 2u + page->len; i++) {
        if ((p[i] ^ current[i]) & ~changeable[i]) {
            scsi_disk_check(op, scsi_sense_invalid_field_in_list(at + i));
            return false;
        }
    }
    *ret_len = 2 + page->len;
    return true;
}

/* Applies checked pages; a cache that is switched off is flushed first of all. */
static void apply_pages(ScsiDiskOp *op, unsigned at, unsigned end)
{
    bool flush = false;

    for (; at < end; at += 2u + op->buf[at + 1]) {
        if ((op->buf[at] & 0x3f) == PAGE_CACHING && !scsi_disk_is_cd(op->disk)) {
            bool on = op->buf[at + 2] & WCE;

            flush = flush || (!on && blk_write_cache_enabled(op->disk->blk));
            blk_set_write_cache(op->disk->blk, on);
        }
    }
    if (flush) {
        scsi_disk_io(op, true, false, scsi_disk_submit_flush, scsi_disk_good);
    } else {
        scsi_disk_good(op);
    }
}

/* The list came: header, at most one block descriptor, pages to the end. */
static void mode_select_list(ScsiDiskOp *op)
{
    bool is10 = scsi_cdb_length(op->req->cdb[0]) == 10, is_long;
    unsigned list_len = (unsigned)op->req->xfer_len, header = is10 ? 8 : 4;
    unsigned descriptor, begin, at, len;

    if (list_len < header) {
        scsi_disk_check(op, list_length_error);
        return;
    }
    is_long = is10 && op->buf[4] & 0x01;
    descriptor = is10 ? scsi_get_be16(op->buf + 6) : op->buf[3];
    /* One descriptor or none. */
    if (descriptor != 0 && (descriptor != (is_long ? 16u : 8u) || scsi_disk_is_cd(op->disk))) {
        scsi_disk_check(op, scsi_sense_invalid_field_in_list(is10 ? 6 : 3));
        return;
    }
    begin = header + descriptor;
    if (list_len < begin) {
        scsi_disk_check(op, list_length_error);
        return;
    }
    if (descriptor != 0 && !check_descriptor(op, header, descriptor, is_long)) {
        return;
    }
    for (at = begin; at < list_len; at += len) {
        if (!check_page(op, at, list_len - at, &len)) {
            return;
        }
    }
    apply_pages(op, begin, list_len);
}

void scsi_disk_mode_select(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    unsigned list_len = scsi_cdb_length(cdb[0]) == 10 ? scsi_get_be16(cdb + 7) : cdb[4];

    /* SP: pages cannot be saved.  Without PF the pages would have a vendor's format. */
    if (cdb[1] & 0x01 || (list_len > 0 && !(cdb[1] & 0x10))) {
        scsi_disk_bad_cdb(op, 1);
    } else if (list_len == 0) {
        scsi_disk_good(op);
    } else {
        scsi_disk_get_list(op, list_len, mode_select_list);
    }
}
