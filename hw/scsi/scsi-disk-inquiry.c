/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: INQUIRY, standard data and vital product data pages (SPC-4 6.4, 7.8; SBC-3 6.6).
 *
 * Runs in: both.
 *
 * Texts and designators are QEMU's, so that names under /dev/disk/by-id stay when a guest moves to this controller.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

/* Longest page: device identification with all designators. */
#define VPD_MAX 256

enum { TYPE_DISK = 0x00, TYPE_CD = 0x05 };

/* TEXT at P, LEN bytes, padded with spaces. */
static void put_text(uint8_t *p, size_t len, const char *text)
{
    memset(p, ' ', len);
    memcpy(p, text, MIN(strlen(text), len)); /* NOLINT(bugprone-not-null-terminated-result): padded, by SPC */
}

/* ---- pages: each writes from byte 4 on and returns the length there -------------------------- */

typedef struct VpdPage {
    uint8_t code;
    bool hd_only;
    bool (*offered)(ScsiDisk *disk); /* NULL: always */
    unsigned (*fill)(ScsiDisk *disk, uint8_t *p);
} VpdPage;

static unsigned fill_supported(ScsiDisk *disk, uint8_t *p);

static bool has_serial(ScsiDisk *disk)
{
    return disk->serial != NULL;
}

static unsigned fill_serial(ScsiDisk *disk, uint8_t *p)
{
    size_t len = strlen(disk->serial);

    memcpy(p, disk->serial, len);
    return (unsigned)len;
}

/* A designator of at most 255 bytes (SPC-4 7.8.6.1); returns its whole length. */
static unsigned put_designator(uint8_t *p, uint8_t code_set, uint8_t kind, const void *data, unsigned len)
{
    p[0] = code_set;
    p[1] = kind;
    p[2] = 0;
    p[3] = (uint8_t)len;
    memcpy(p + 4, data, len);
    return 4 + len;
}

/* Device identification: our name for the unit, its NAA name, NAA name and number of the port. */
static unsigned fill_identification(ScsiDisk *disk, uint8_t *p)
{
    const char *id = disk->device_id ? disk->device_id : disk->serial ? disk->serial : disk->drive;
    unsigned len = 0;
    uint8_t number[8];

    /* ASCII; vendor specific, of the logical unit. */
    len += put_designator(p + len, 0x02, 0x00, id, (unsigned)MIN(strlen(id), SCSI_DISK_DEVICE_ID_MAX));
    if (disk->wwn) {
        scsi_put_be64(number, disk->wwn);
        len += put_designator(p + len, 0x01, 0x03, number, 8);
    }
    if (disk->port_wwn) {
        /* PIV, of the target port; protocol 1h is parallel SCSI. */
        scsi_put_be64(number, disk->port_wwn);
        len += put_designator(p + len, 0x11, 0x93, number, 8);
    }
    if (disk->port_index) {
        scsi_put_be32(number, disk->port_index);
        len += put_designator(p + len, 0x11, 0x94, number, 4);
    }
    return len;
}

/* Block limits, SBC-3 6.6.4. */
static unsigned fill_limits(ScsiDisk *disk, uint8_t *p)
{
    memset(p, 0, 0x3c);
    p[0] = 0x01; /* WSNZ: WRITE SAME of 0 blocks is refused */
    scsi_put_be16(p + 2, (uint16_t)MIN(disk->min_io_size / disk->block_size, UINT16_MAX));
    /* p + 4: no limit of the transfer length, transfers go in pieces. */
    scsi_put_be32(p + 8, (uint32_t)MIN(disk->opt_io_size / disk->block_size, UINT32_MAX));
    if (scsi_disk_is_thin(disk)) {
        scsi_put_be32(p + 16, (uint32_t)(SCSI_DISK_UNMAP_MAX / disk->block_size));
        scsi_put_be32(p + 20, SCSI_DISK_UNMAP_RANGES);
        scsi_put_be32(p + 24, (uint32_t)(disk->discard_granularity / disk->block_size));
    }
    scsi_put_be64(p + 32, SCSI_DISK_WRITE_SAME_MAX);
    return 0x3c;
}

static unsigned fill_characteristics(ScsiDisk *disk, uint8_t *p)
{
    memset(p, 0, 0x3c);
    scsi_put_be16(p, disk->rotation_rate);
    return 0x3c;
}

/* Logical block provisioning: UNMAP and WRITE SAME(16), (10) with UNMAP; thin. */
static unsigned fill_provisioning(ScsiDisk *disk, uint8_t *p)
{
    p[0] = 0;
    p[1] = scsi_disk_is_thin(disk) ? 0xe0 : 0;
    p[2] = scsi_disk_is_thin(disk) ? 0x02 : 0;
    p[3] = 0;
    return 4;
}

/* In ascending order, as page 00 shows them. */
static const VpdPage pages[] = {
    { 0x00, false, NULL, fill_supported },
    { 0x80, false, has_serial, fill_serial },
    { 0x83, false, NULL, fill_identification },
    { 0xb0, true, NULL, fill_limits },
    { 0xb1, true, NULL, fill_characteristics },
    { 0xb2, true, NULL, fill_provisioning },
};

static bool page_offered(ScsiDisk *disk, const VpdPage *page)
{
    return !(page->hd_only && scsi_disk_is_cd(disk)) && (!page->offered || page->offered(disk));
}

static unsigned fill_supported(ScsiDisk *disk, uint8_t *p)
{
    unsigned i, len = 0;

    for (i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (page_offered(disk, &pages[i])) {
            p[len++] = pages[i].code;
        }
    }
    return len;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void standard_inquiry(ScsiDiskOp *op, unsigned alloc)
{
    ScsiDisk *disk = op->disk;
    bool is_cd = scsi_disk_is_cd(disk);
    uint8_t buf[36] = { 0 };

    buf[0] = is_cd ? TYPE_CD : TYPE_DISK;
    buf[1] = scsi_disk_is_removable(disk) ? 0x80 : 0;
    buf[2] = SCSI_VERSION_SPC3;
    buf[3] = 0x12; /* HISUP: REPORT LUNS numbers; response data format 2 */
    buf[4] = sizeof(buf) - 5;
    /* SYNC, CMDQUE; WBUS16 when the host adapter's bus is wide. */
    buf[7] = 0x12 | (op->req->bus->targets > 8 ? 0x20 : 0);
    put_text(buf + 8, SCSI_DISK_VENDOR_LEN, disk->vendor);
    put_text(buf + 16, SCSI_DISK_PRODUCT_LEN, disk->product ? disk->product : is_cd ? "QEMU CD-ROM" : "QEMU HARDDISK");
    put_text(buf + 32, SCSI_DISK_VERSION_LEN, disk->version);
    scsi_disk_answer(op, buf, sizeof(buf), alloc);
}

void scsi_disk_inquiry(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    unsigned alloc = scsi_get_be16(cdb + 3), i;
    uint8_t buf[VPD_MAX];

    if (!(cdb[1] & 0x01)) {
        if (cdb[2] != 0) {
            scsi_disk_bad_cdb(op, 2);
        } else {
            standard_inquiry(op, alloc);
        }
        return;
    }
    for (i = 0; i < G_N_ELEMENTS(pages); i++) {
        if (pages[i].code == cdb[2] && page_offered(op->disk, &pages[i])) {
            unsigned len = pages[i].fill(op->disk, buf + 4);

            buf[0] = scsi_disk_is_cd(op->disk) ? TYPE_CD : TYPE_DISK;
            buf[1] = cdb[2];
            scsi_put_be16(buf + 2, (uint16_t)len);
            scsi_disk_answer(op, buf, 4 + len, alloc);
            return;
        }
    }
    scsi_disk_bad_cdb(op, 2);
}
