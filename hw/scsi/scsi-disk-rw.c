/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: READ, WRITE, VERIFY, WRITE AND VERIFY in their 6, 10, 12 and 16 byte forms (SBC-3), READ CD (MMC-5).
 *
 * Runs in: both.
 *
 * A transfer goes in pieces.  READ offers the next piece; the HBA lends guest memory, which the block layer fills, or
 * asks for a buffer.  WRITE asks for a piece, which comes in the buffer or as lent memory.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

/* LBA and count as the command's group places them (SPC-4 4.3.3). */
static void parse_range(const uint8_t *cdb, uint64_t *ret_lba, uint32_t *ret_count)
{
    switch (scsi_cdb_length(cdb[0])) {
    case 6:
        *ret_lba = scsi_get_be24(cdb + 1) & 0x1fffff;
        *ret_count = cdb[4] ? cdb[4] : 256;
        break;
    case 10:
        *ret_lba = scsi_get_be32(cdb + 2);
        *ret_count = scsi_get_be16(cdb + 7);
        break;
    case 12:
        *ret_lba = scsi_get_be32(cdb + 2);
        *ret_count = scsi_get_be32(cdb + 6);
        break;
    default:
        *ret_lba = scsi_get_be64(cdb + 2);
        *ret_count = scsi_get_be32(cdb + 10);
    }
}

/* Sets OP's range; false: the request has ended (nothing to move, or out of range). */
static bool take_range(ScsiDiskOp *op, uint64_t lba, uint32_t count)
{
    if (!scsi_disk_check_range(op, lba, count)) {
        return false;
    }
    if (count == 0) {
        scsi_disk_good(op);
        return false;
    }
    op->lba = lba;
    op->blocks = count;
    return true;
}

/* Length of the next piece, at most LIMIT. */
static size_t next_piece(const ScsiDiskOp *op, size_t limit)
{
    return (size_t)MIN(op->blocks * op->disk->block_size, (uint64_t)limit);
}

/* The piece of op->len bytes is done. */
static void advance(ScsiDiskOp *op)
{
    uint64_t blocks = op->len / op->disk->block_size;

    op->lba += blocks;
    op->blocks -= blocks;
}

/* ---- READ ------------------------------------------------------------------------------------ */

/* Nothing is read before the HBA answers: it may lend the memory to read into. */
static void offer_piece(ScsiDiskOp *op)
{
    if (op->blocks == 0) {
        scsi_disk_good(op);
    } else {
        scsi_req_offer_in(op->req, next_piece(op, SCSI_OFFER_MAX));
    }
}

/* The piece was read: into lent memory, so it is over there already, or into op->buf for the HBA to take. */
static void read_done(ScsiDiskOp *op)
{
    if (op->req->map) {
        scsi_disk_end_lending(op, op->len);
        advance(op);
        offer_piece(op);
    } else {
        scsi_req_data_in(op->req, op->buf, op->len);
    }
}

/* The HBA took a buffered piece. */
static void read_taken(ScsiDiskOp *op)
{
    advance(op);
    offer_piece(op);
}

/* The HBA answered an offer. */
void scsi_disk_fetch_piece(ScsiDiskOp *op)
{
    if (op->req->map) {
        op->len = op->req->map->size;
    } else {
        op->len = next_piece(op, SCSI_CHUNK_MAX);
        if (!scsi_disk_buffer(op, op->len)) {
            return;
        }
    }
    scsi_disk_io(op, false, true, scsi_disk_submit_read, read_done);
}

/* The length is limited by nothing but the medium: pieces bound what one request keeps. */
static void start_read(ScsiDiskOp *op, uint64_t lba, uint32_t count, bool fua)
{
    if (take_range(op, lba, count)) {
        op->req->xfer_len = op->blocks * op->disk->block_size;
        op->req->granule = op->disk->block_size;
        op->data = read_taken;
        if (fua && blk_write_cache_enabled(op->disk->blk) && !scsi_disk_write_protected(op->disk)) {
            scsi_disk_io(op, true, false, scsi_disk_submit_flush, offer_piece);
        } else {
            offer_piece(op);
        }
    }
}

/*
 * READ(6), (10), (12), (16).  FUA (SBC-3 4.15): what is read is on the medium, so a volatile cache,
 * the host's, is written there first.  DPO is a hint.
 */
void scsi_disk_read(ScsiDiskOp *op)
{
    uint64_t lba;
    uint32_t count;

    parse_range(op->req->cdb, &lba, &count);
    start_read(op, lba, count, scsi_cdb_length(op->req->cdb[0]) != 6 && op->req->cdb[1] & 0x08);
}

/* READ CD, MMC-5 6.21: the 2048 user data bytes of data sectors; other parts of a sector are not in an image. */
void scsi_disk_read_cd(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    unsigned sector_type = cdb[1] >> 2 & 7;

    /* Any type, Mode 1, Mode 2 Form 1. */
    if (sector_type != 0 && sector_type != 2 && sector_type != 4) {
        scsi_disk_bad_cdb(op, 1);
    } else if (cdb[9] == 0) {
        scsi_disk_good(op);
    } else if (cdb[9] != 0x10) {
        scsi_disk_bad_cdb(op, 9);
    } else {
        start_read(op, scsi_get_be32(cdb + 2), scsi_get_be24(cdb + 6), false);
    }
}

/* ---- WRITE, WRITE AND VERIFY, VERIFY with data ----------------------------------------------- */

/* The buffer is there before the data phase begins: no memory is BUSY status, not a transfer cut off. */
static void ask_piece(ScsiDiskOp *op)
{
    if (op->blocks == 0) {
        scsi_disk_good(op);
        return;
    }
    op->len = next_piece(op, SCSI_CHUNK_MAX);
    if (scsi_disk_buffer(op, op->len)) {
        scsi_req_data_out(op->req, op->buf, op->len);
    }
}

/* What was read back is in op->other, what it should be in op->buf. */
static void compare_piece(ScsiDiskOp *op)
{
    size_t at;

    for (at = 0; at < op->len; at += op->disk->block_size) {
        if (memcmp(op->buf + at, op->other + at, op->disk->block_size) != 0) {
            ScsiSense sense = scsi_sense(SENSE_MISCOMPARE, 0x1d, 0x00);

            sense.info_valid = true;
            sense.info = op->lba + at / op->disk->block_size;
            scsi_disk_check(op, sense);
            return;
        }
    }
    advance(op);
    ask_piece(op);
}

/* The first piece is the longest: op->other is made once. */
static void read_back(ScsiDiskOp *op)
{
    if (!op->other) {
        op->other = g_try_malloc0(op->len);
        if (!op->other) {
            scsi_req_done(op->req, SCSI_STATUS_BUSY);
            return;
        }
    }
    scsi_disk_io(op, false, true, scsi_disk_submit_read, compare_piece);
}

/* Lent memory goes back before anything else happens with the request. */
static void write_done(ScsiDiskOp *op)
{
    scsi_disk_end_lending(op, op->len);
    if (op->check_data) {
        read_back(op);
    } else {
        advance(op);
        ask_piece(op);
    }
}

/* The piece came, in op->buf or as lent memory, which may be a part of what was asked for. */
static void write_piece(ScsiDiskOp *op)
{
    if (op->req->map) {
        op->len = op->req->map->size;
    }
    scsi_disk_io(op, true, true, scsi_disk_submit_write, write_done);
}

/* Common begin of commands with data from the initiator. */
static void start_out(ScsiDiskOp *op, ScsiDiskStep *data)
{
    uint64_t lba;
    uint32_t count;

    parse_range(op->req->cdb, &lba, &count);
    if (take_range(op, lba, count)) {
        op->req->xfer_len = op->blocks * op->disk->block_size;
        op->req->to_device = true;
        op->data = data;
        ask_piece(op);
    }
}

/* WRITE(6), (10), (12), (16). */
void scsi_disk_write(ScsiDiskOp *op)
{
    bool fua = scsi_cdb_length(op->req->cdb[0]) != 6 && op->req->cdb[1] & 0x08;

    op->write_flags = fua ? BLOCK_REQ_FUA : 0;
    op->req->granule = op->disk->block_size;
    start_out(op, write_piece);
}

/* WRITE AND VERIFY(10), (12), (16): on the medium first, then read back and compared, whatever BYTCHK says. */
void scsi_disk_write_verify(ScsiDiskOp *op)
{
    op->write_flags = BLOCK_REQ_FUA;
    op->check_data = true;
    start_out(op, write_piece);
}

/* ---- VERIFY ---------------------------------------------------------------------------------- */

static void verify_piece(ScsiDiskOp *op);

static void verify_done(ScsiDiskOp *op)
{
    advance(op);
    verify_piece(op);
}

/* Reads and forgets: an error is what counts. */
static void verify_piece(ScsiDiskOp *op)
{
    if (op->blocks == 0) {
        scsi_disk_good(op);
        return;
    }
    op->len = next_piece(op, SCSI_CHUNK_MAX);
    scsi_disk_io(op, false, true, scsi_disk_submit_read, verify_done);
}

/*
 * VERIFY(10), (12), (16): BYTCHK 0 reads the blocks, 1 compares them with the initiator's data; 2 is reserved and 3
 * (one block compared with all) not offered.
 */
void scsi_disk_verify(ScsiDiskOp *op)
{
    unsigned bytchk = op->req->cdb[1] >> 1 & 3;
    uint64_t lba;
    uint32_t count;

    if (bytchk > 1) {
        scsi_disk_bad_cdb(op, 1);
    } else if (bytchk == 1) {
        op->check_data = true;
        start_out(op, read_back);
    } else {
        parse_range(op->req->cdb, &lba, &count);
        if (take_range(op, lba, count) && scsi_disk_buffer(op, next_piece(op, SCSI_CHUNK_MAX))) {
            verify_piece(op);
        }
    }
}
