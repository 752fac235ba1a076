/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: removable media (both kinds of units) and the multi-media commands of scsi-cd (MMC-5).
 *
 * Runs in: both.
 *
 * The medium of a scsi-cd is one session with one data track from block 0 to the end of the image.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

enum {
    PROFILE_NONE = 0x0000,
    PROFILE_CD_ROM = 0x0008,
    TRACK_DATA = 0x14,   /* ADR 1, control: data track */
    LEAD_OUT = 0xaa,     /* track number of the lead-out */
    EVENT_MEDIA = 1 << 4, /* notification class 4 as a mask */
};

/* ---- tray and medium ------------------------------------------------------------------------- */

/* A medium put onto an open tray is found when the tray is closed. */
void scsi_cd_medium_changed(ScsiDisk *disk)
{
    bool inserted = blk_is_inserted(disk->blk);

    if (disk->tray_open) {
        return;
    }
    disk->media_event = inserted ? MEDIA_EVENT_NEW : MEDIA_EVENT_REMOVED;
    if (inserted) {
        scsi_device_set_unit_attention(&disk->scsi, scsi_sense(SENSE_UNIT_ATTENTION, 0x28, 0x00));
    }
}

/*
 * The guest opens or closes the tray, or the user opens it.  The medium stays on it, out of reach, until the tray is
 * closed again or the user takes it away; the initiator is told to look at it anew.
 */
static void move_tray(ScsiDisk *disk, bool open)
{
    if (open == disk->tray_open) {
        return;
    }
    disk->tray_open = open;
    blk_tray_moved(disk->blk, open);
    disk->media_event = open ? MEDIA_EVENT_REMOVED : MEDIA_EVENT_NONE;
    if (!open && blk_is_inserted(disk->blk)) {
        disk->media_event = MEDIA_EVENT_NEW;
        scsi_device_set_unit_attention(&disk->scsi, scsi_sense(SENSE_UNIT_ATTENTION, 0x28, 0x00));
    }
}

/* The guest has locked the medium; it hears of the wish when it polls for events, and may let go of it. */
static void eject_requested(void *opaque)
{
    ((ScsiDisk *)opaque)->media_event = MEDIA_EVENT_EJECT_REQUEST;
}

static void eject_by_user(void *opaque)
{
    move_tray(opaque, true);
}

const BlockTrayOps scsi_cd_tray_ops = {
    .request = eject_requested,
    .open = eject_by_user,
};

/* The cache is on the medium: now it may go. */
static void eject_now(ScsiDiskOp *op)
{
    move_tray(op->disk, true);
    scsi_disk_good(op);
}

/*
 * START STOP UNIT, SBC-3 5.25: byte 4 has LOEJ (bit 1) and START (bit 0); power conditions are not offered.  A disk
 * that was stopped is not ready until it is started; a CD drive starts by itself when it is read (MMC-5 6.48).
 */
void scsi_disk_start_stop(ScsiDiskOp *op)
{
    ScsiDisk *disk = op->disk;
    bool loej = op->req->cdb[4] & 0x02, start = op->req->cdb[4] & 0x01;
    bool has_data = blk_is_inserted(disk->blk) && !scsi_disk_write_protected(disk);

    if (loej && !scsi_disk_is_removable(disk)) {
        scsi_disk_bad_cdb(op, 4);
        return;
    }
    if (loej && !start && !disk->tray_open) {
        if (disk->prevented) {
            /* Medium removal prevented. */
            scsi_disk_check(op, scsi_sense(SENSE_ILLEGAL_REQUEST, 0x53, 0x02));
        } else if (has_data) {
            scsi_disk_io(op, true, false, scsi_disk_submit_flush, eject_now);
        } else {
            eject_now(op);
        }
        return;
    }
    if (loej) {
        move_tray(disk, !start);
    }
    if (scsi_disk_is_cd(disk)) {
        scsi_disk_good(op);
        return;
    }
    disk->stopped = !start;
    /* A stopped disk has nothing left in its cache. */
    if (!start && has_data) {
        scsi_disk_io(op, true, false, scsi_disk_submit_flush, scsi_disk_good);
    } else {
        scsi_disk_good(op);
    }
}

/* PREVENT ALLOW MEDIUM REMOVAL, SBC-3 5.13; on a fixed disk there is nothing to prevent. */
void scsi_disk_prevent_allow(ScsiDiskOp *op)
{
    ScsiDisk *disk = op->disk;

    if (scsi_disk_is_removable(disk)) {
        disk->prevented = op->req->cdb[4] & 0x01;
        blk_lock_medium(disk->blk, disk->prevented);
    }
    scsi_disk_good(op);
}

/* ---- READ TOC -------------------------------------------------------------------------------- */

/* Block LBA as an address of 4 bytes at P: the number, or minute, second, frame (75 a second, 2 seconds of lead). */
static void put_address(uint8_t *p, uint64_t lba, bool msf)
{
    uint64_t frames = lba + 150;

    if (!msf) {
        scsi_put_be32(p, (uint32_t)MIN(lba, UINT32_MAX));
        return;
    }
    p[0] = 0;
    p[1] = (uint8_t)MIN(frames / (75 * 60), 255);
    p[2] = (uint8_t)(frames / 75 % 60);
    p[3] = (uint8_t)(frames % 75);
}

static unsigned put_track(uint8_t *p, uint8_t track, uint64_t lba, bool msf)
{
    p[0] = 0;
    p[1] = TRACK_DATA;
    p[2] = track;
    p[3] = 0;
    put_address(p + 4, lba, msf);
    return 8;
}

/* One entry of the raw table of contents: POINT and its address. */
static unsigned put_raw_entry(uint8_t *p, uint8_t point, uint8_t min, uint8_t sec, uint8_t frame)
{
    const uint8_t entry[11] = { 1, TRACK_DATA, 0, point, 0, 0, 0, 0, min, sec, frame };

    memcpy(p, entry, sizeof(entry));
    return sizeof(entry);
}

void scsi_cd_read_toc(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    uint64_t blocks = scsi_disk_blocks(op->disk);
    /* SFF-8020 had the format in the control byte; Linux's sr still asks that way. */
    unsigned format = cdb[2] ? cdb[2] : cdb[9] >> 6;
    unsigned track = cdb[6], len = 4;
    bool msf = cdb[1] & 0x02;
    uint8_t buf[4 + 4 * 11] = { 0, 0, 1, 1 }; /* first and last track, or session */
    uint8_t address[4];

    switch (format) {
    case 0: /* tracks from TRACK on, and the lead-out */
        if (track > 1 && track != LEAD_OUT) {
            scsi_disk_bad_cdb(op, 6);
            return;
        }
        if (track <= 1) {
            len += put_track(buf + len, 1, 0, msf);
        }
        len += put_track(buf + len, LEAD_OUT, blocks, msf);
        break;
    case 1: /* the last session's first track */
        len += put_track(buf + len, 1, 0, msf);
        break;
    case 2: /* raw: first track, last track, lead-out, track 1 */
        put_address(address, blocks, true);
        len += put_raw_entry(buf + len, 0xa0, 1, 0, 0);
        len += put_raw_entry(buf + len, 0xa1, 1, 0, 0);
        len += put_raw_entry(buf + len, 0xa2, address[1], address[2], address[3]);
        len += put_raw_entry(buf + len, 1, 0, 2, 0);
        break;
    default:
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    scsi_put_be16(buf, (uint16_t)(len - 2));
    scsi_disk_answer(op, buf, len, scsi_get_be16(cdb + 7));
}

/* ---- GET CONFIGURATION (MMC-5 5, 6.6) -------------------------------------------------------- */

typedef struct Feature {
    uint16_t code;
    uint8_t flags;      /* version << 2, persistent << 1 */
    bool needs_medium;  /* current only with one */
    uint8_t len;
    uint8_t data[8];
} Feature;

static const Feature features[] = {
    { 0x0000, 0x02, false, 4, { PROFILE_CD_ROM >> 8, PROFILE_CD_ROM & 0xff, 0, 0 } }, /* profile list */
    { 0x0001, 0x0a, false, 8, { 0, 0, 0, 1, 0x01, 0, 0, 0 } }, /* core: SCSI family; DBE (event status) */
    { 0x0002, 0x06, false, 4, { 0, 0, 0, 0 } },                /* morphing: no operational change requests */
    { 0x0003, 0x06, false, 4, { 0x29, 0, 0, 0 } },             /* removable: tray, eject, lock */
    { 0x0010, 0x00, true, 8, { 0, 0, 0x08, 0, 0, 0x01, 0, 0 } }, /* random readable: 2048 bytes, blocks of 1 */
    { 0x001e, 0x08, true, 4, { 0, 0, 0, 0 } },                 /* CD read: user data only */
};

void scsi_cd_get_configuration(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    unsigned requested = cdb[1] & 0x03, start = scsi_get_be16(cdb + 2), len = 8, i;
    ScsiSense not_ready;
    bool ready = scsi_disk_ready(op->disk, &not_ready);
    uint8_t buf[8 + G_N_ELEMENTS(features) * 12] = { 0 };

    /* 0: all from START on, 1: the current ones of them, 2: START alone. */
    if (requested == 3) {
        scsi_disk_bad_cdb(op, 1);
        return;
    }
    for (i = 0; i < G_N_ELEMENTS(features); i++) {
        const Feature *feature = &features[i];
        bool current = ready || !feature->needs_medium;
        uint8_t *p = buf + len;

        if (feature->code < start || (requested == 2 && feature->code != start) || (requested == 1 && !current)) {
            continue;
        }
        scsi_put_be16(p, feature->code);
        p[2] = feature->flags | (current ? 0x01 : 0);
        p[3] = feature->len;
        memcpy(p + 4, feature->data, feature->len);
        if (feature->code == 0x0000) {
            p[6] = ready ? 0x01 : 0; /* the profile is current with a medium */
        }
        len += 4u + feature->len;
    }
    scsi_put_be32(buf, len - 4);
    scsi_put_be16(buf + 6, ready ? PROFILE_CD_ROM : PROFILE_NONE);
    scsi_disk_answer(op, buf, len, scsi_get_be16(cdb + 7));
}

/* ---- status commands ------------------------------------------------------------------------- */

/* GET EVENT STATUS NOTIFICATION, MMC-5 6.7: polled only; the media class is the one there is. */
void scsi_cd_get_event_status(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    ScsiDisk *disk = op->disk;
    unsigned alloc = scsi_get_be16(cdb + 7), len = 4;
    uint8_t buf[8] = { [3] = EVENT_MEDIA };

    if (!(cdb[1] & 0x01)) {
        scsi_disk_bad_cdb(op, 1);
        return;
    }
    if (cdb[4] & EVENT_MEDIA) {
        buf[2] = 4; /* the class's number */
        buf[4] = disk->media_event;
        buf[5] = disk->tray_open ? 0x01 : blk_is_inserted(disk->blk) ? 0x02 : 0;
        len = 8;
        if (alloc > 4) {
            disk->media_event = MEDIA_EVENT_NONE; /* told */
        }
    } else {
        buf[2] = 0x80; /* no event available */
    }
    scsi_put_be16(buf, (uint16_t)(len - 2));
    scsi_disk_answer(op, buf, len, alloc);
}

/* READ DISC INFORMATION, MMC-5 6.22: a finished disc of one session; nothing can be added. */
void scsi_cd_read_disc_information(ScsiDiskOp *op)
{
    uint8_t buf[34] = {
        [1] = sizeof(buf) - 2, [2] = 0x0e, [3] = 1, [4] = 1, [5] = 1, [6] = 1, [7] = 0x20,
        [16] = 0xff, [17] = 0xff, [18] = 0xff, [19] = 0xff, [20] = 0xff, [21] = 0xff, [22] = 0xff, [23] = 0xff,
    };

    /* Only the standard disc information. */
    if (op->req->cdb[1] & 0x07) {
        scsi_disk_bad_cdb(op, 1);
        return;
    }
    scsi_disk_answer(op, buf, sizeof(buf), scsi_get_be16(op->req->cdb + 7));
}

/* MECHANISM STATUS, MMC-5 6.10: no changer, the door's state. */
void scsi_cd_mechanism_status(ScsiDiskOp *op)
{
    uint8_t buf[8] = { [1] = op->disk->tray_open ? 0x10 : 0, [5] = 1 };

    scsi_disk_answer(op, buf, sizeof(buf), scsi_get_be16(op->req->cdb + 8));
}
