/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: WRITE SAME and UNMAP (SBC-3 5.43, 5.44, 5.28; limits in VPD page B0).
 *
 * Runs in: both.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

/* Bytes zeroed or discarded by one block request: a cancel takes effect within one. */
#define ERASE_PIECE (256u * 1024 * 1024)

static void advance(ScsiDiskOp *op)
{
    uint64_t blocks = op->len / op->disk->block_size;

    op->lba += blocks;
    op->blocks -= blocks;
}

/* ---- WRITE SAME ------------------------------------------------------------------------------ */

/* The block layer picks the cheapest way to make blocks read as zeroes; MAY_UNMAP lets it free them. */
static void submit_zeroes(ScsiDiskOp *op)
{
    op->aio = blk_write_zeroes(op->disk->blk, op->lba * op->disk->block_size, op->len, op->write_flags,
                               scsi_disk_io_complete, op);
}

static void zero_piece(ScsiDiskOp *op);

static void zero_done(ScsiDiskOp *op)
{
    advance(op);
    zero_piece(op);
}

/* Zeroes up to ERASE_PIECE bytes from op->lba on, until op->blocks is 0. */
static void zero_piece(ScsiDiskOp *op)
{
    if (op->blocks == 0) {
        scsi_disk_good(op);
        return;
    }
    op->len = (size_t)MIN(op->blocks * op->disk->block_size, (uint64_t)ERASE_PIECE);
    scsi_disk_io(op, true, true, submit_zeroes, zero_done);
}

static void pattern_piece(ScsiDiskOp *op);

static void pattern_done(ScsiDiskOp *op)
{
    advance(op);
    pattern_piece(op);
}

/* op->buf is filled with the block, all over. */
static void pattern_piece(ScsiDiskOp *op)
{
    if (op->blocks == 0) {
        scsi_disk_good(op);
        return;
    }
    op->len = (size_t)MIN(op->blocks * op->disk->block_size, (uint64_t)op->buf_size);
    scsi_disk_io(op, true, true, scsi_disk_submit_write, pattern_done);
}

/* Each byte equals the next, the first is 0. */
static bool is_zero(const uint8_t *buf, size_t len)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, len - 1) == 0;
}

/* The block to write has come. */
static void write_same_data(ScsiDiskOp *op)
{
    size_t block_size = op->disk->block_size, size, at;
    g_autofree uint8_t *block = NULL;

    if (is_zero(op->buf, block_size)) {
        zero_piece(op);
        return;
    }
    /* UNMAP may be honoured only where unmapped blocks read as the data given: not here. */
    op->write_flags &= ~(unsigned)BLOCK_REQ_MAY_UNMAP;
    block = g_memdup2(op->buf, block_size);
    size = (size_t)MIN(op->blocks * block_size, (uint64_t)SCSI_CHUNK_MAX);
    if (!scsi_disk_buffer(op, size)) {
        return;
    }
    for (at = 0; at < size; at += block_size) {
        memcpy(op->buf + at, block, block_size);
    }
    pattern_piece(op);
}

/* WRITE SAME(10), (16): byte 1 has ANCHOR (bit 4, not offered), UNMAP (bit 3), NDOB (bit 0, only (16)). */
void scsi_disk_write_same(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    bool is16 = scsi_cdb_length(cdb[0]) == 16;
    uint64_t lba = is16 ? scsi_get_be64(cdb + 2) : scsi_get_be32(cdb + 2);
    uint32_t count = is16 ? scsi_get_be32(cdb + 10) : scsi_get_be16(cdb + 7);

    if (cdb[1] & 0x08 && !scsi_disk_is_thin(op->disk)) {
        scsi_disk_bad_cdb(op, 1);
        return;
    }
    /* VPD page B0: WSNZ, no "to the end of the medium" by 0; and a maximum. */
    if (count == 0 || count > SCSI_DISK_WRITE_SAME_MAX) {
        scsi_disk_bad_cdb(op, is16 ? 10 : 7);
        return;
    }
    if (!scsi_disk_check_range(op, lba, count)) {
        return;
    }
    op->lba = lba;
    op->blocks = count;
    op->write_flags = cdb[1] & 0x08 ? BLOCK_REQ_MAY_UNMAP : 0;
    if (is16 && cdb[1] & 0x01) {
        zero_piece(op);
    } else {
        scsi_disk_get_list(op, op->disk->block_size, write_same_data);
    }
}

/* ---- UNMAP ----------------------------------------------------------------------------------- */

/* Contents of unmapped blocks are not promised (LBPRZ 0). */
static void submit_discard(ScsiDiskOp *op)
{
    op->aio = blk_discard(op->disk->blk, op->lba * op->disk->block_size, op->len, scsi_disk_io_complete, op);
}

static void unmap_piece(ScsiDiskOp *op);

static void unmap_done(ScsiDiskOp *op)
{
    advance(op);
    unmap_piece(op);
}

/* op->buf_size covers the list; op->index is the range under way, op->blocks what is left of it. */
static void unmap_piece(ScsiDiskOp *op)
{
    unsigned ranges = scsi_get_be16(op->buf + 2) / 16;

    while (op->blocks == 0) {
        const uint8_t *range;

        if (op->index == ranges) {
            scsi_disk_good(op);
            return;
        }
        range = op->buf + 8 + 16 * op->index++;
        op->lba = scsi_get_be64(range);
        op->blocks = scsi_get_be32(range + 8);
    }
    op->len = (size_t)MIN(op->blocks * op->disk->block_size, (uint64_t)ERASE_PIECE);
    scsi_disk_io(op, true, true, submit_discard, unmap_done);
}

/* Checks all ranges before any is unmapped. */
static void unmap_list(ScsiDiskOp *op)
{
    unsigned list_len = scsi_get_be16(op->req->cdb + 7), i;
    unsigned ranges_len = scsi_get_be16(op->buf + 2);
    uint64_t total = 0;

    if (ranges_len % 16 || ranges_len / 16 > SCSI_DISK_UNMAP_RANGES) {
        scsi_disk_check(op, scsi_sense_invalid_field_in_list(2));
        return;
    }
    if (8 + ranges_len > list_len) {
        scsi_disk_check(op, scsi_sense(SENSE_ILLEGAL_REQUEST, 0x1a, 0x00));
        return;
    }
    for (i = 0; i < ranges_len / 16; i++) {
        const uint8_t *range = op->buf + 8 + 16 * i;
        uint32_t count = scsi_get_be32(range + 8);

        if (!scsi_disk_check_range(op, scsi_get_be64(range), count)) {
            return;
        }
        total += count;
        if (total > SCSI_DISK_UNMAP_MAX / op->disk->block_size) {
            scsi_disk_check(op, scsi_sense_invalid_field_in_list(8 + 16 * i + 8));
            return;
        }
    }
    /* A hint: with discard=ignore it is taken and nothing happens. */
    if (!blk_discard_enabled(op->disk->blk)) {
        scsi_disk_good(op);
        return;
    }
    unmap_piece(op);
}

/* UNMAP: a list of at most 65535 bytes; an empty one is no error (SBC-3 5.28.1). */
void scsi_disk_unmap(ScsiDiskOp *op)
{
    unsigned list_len = scsi_get_be16(op->req->cdb + 7);

    if (list_len == 0) {
        scsi_disk_good(op);
    } else if (list_len < 8) {
        scsi_disk_check(op, scsi_sense(SENSE_ILLEGAL_REQUEST, 0x1a, 0x00));
    } else {
        scsi_disk_get_list(op, list_len, unmap_list);
    }
}
