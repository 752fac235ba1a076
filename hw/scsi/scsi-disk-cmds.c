/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: the command table, the checks before every command, the simple commands.
 *
 * Runs in: both.
 *
 * The table is the one list of what the units understand.  Its usage masks check command blocks (any bit set that the
 * command does not know is INVALID FIELD IN CDB with a pointer to its byte) and are what REPORT SUPPORTED OPERATION
 * CODES shows.  RESERVE and RELEASE keep no state: a bus has one initiator, which never conflicts with itself.
 */
#include "hw/scsi/scsi-disk.h"

#include <string.h>

static ScsiDiskStep cmd_test_unit_ready, cmd_common, cmd_reserve_release, cmd_send_diagnostic, cmd_read_capacity_10,
    cmd_read_capacity_16, cmd_synchronize_cache, cmd_report_opcodes;

/* Bytes from 1 on; the last one is the control byte, whose bits are checked for all units in scsi-request.c. */
#define LBA4 0xff, 0xff, 0xff, 0xff
#define LBA8 LBA4, LBA4
#define LEN2 0xff, 0xff
#define LEN4 0xff, 0xff, 0xff, 0xff

#define CMD_BLOCKS (CMD_MEDIUM | CMD_IO)

static const ScsiDiskCmd commands[] = {
    { 0x00, 0, CMD_ALL | CMD_MEDIUM, "TEST UNIT READY", cmd_test_unit_ready, { 0 } },
    { 0x03, 0, CMD_ALL, "REQUEST SENSE", cmd_common, { 0, 0x01, 0, 0, 0xff } },
    { 0x08, 0, CMD_HD | CMD_BLOCKS, "READ(6)", scsi_disk_read, { 0, 0x1f, 0xff, 0xff, 0xff } },
    { 0x0a, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE(6)", scsi_disk_write, { 0, 0x1f, 0xff, 0xff, 0xff } },
    { 0x12, 0, CMD_ALL, "INQUIRY", scsi_disk_inquiry, { 0, 0x01, 0xff, LEN2 } },
    { 0x15, 0, CMD_ALL, "MODE SELECT(6)", scsi_disk_mode_select, { 0, 0x11, 0, 0, 0xff } },
    { 0x16, 0, CMD_ALL, "RESERVE(6)", cmd_reserve_release, { 0 } },
    { 0x17, 0, CMD_ALL, "RELEASE(6)", cmd_reserve_release, { 0 } },
    { 0x1a, 0, CMD_ALL, "MODE SENSE(6)", scsi_disk_mode_sense, { 0, 0x08, 0xff, 0xff, 0xff } },
    { 0x1b, 0, CMD_ALL, "START STOP UNIT", scsi_disk_start_stop, { 0, 0x01, 0, 0, 0x07 } },
    { 0x1d, 0, CMD_ALL, "SEND DIAGNOSTIC", cmd_send_diagnostic, { 0, 0x07 } },
    { 0x1e, 0, CMD_ALL, "PREVENT ALLOW MEDIUM REMOVAL", scsi_disk_prevent_allow, { 0, 0, 0, 0, 0x01 } },
    { 0x25, 0, CMD_ALL | CMD_MEDIUM, "READ CAPACITY(10)", cmd_read_capacity_10, { 0, 0, LBA4, 0, 0, 0x01 } },
    { 0x28, 0, CMD_ALL | CMD_BLOCKS, "READ(10)", scsi_disk_read, { 0, 0x18, LBA4, 0, LEN2 } },
    { 0x2a, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE(10)", scsi_disk_write, { 0, 0x18, LBA4, 0, LEN2 } },
    { 0x2e, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE AND VERIFY(10)", scsi_disk_write_verify,
      { 0, 0x12, LBA4, 0, LEN2 } },
    { 0x2f, 0, CMD_ALL | CMD_BLOCKS, "VERIFY(10)", scsi_disk_verify, { 0, 0x16, LBA4, 0, LEN2 } },
    { 0x35, 0, CMD_ALL | CMD_BLOCKS, "SYNCHRONIZE CACHE(10)", cmd_synchronize_cache, { 0, 0x02, LBA4, 0, LEN2 } },
    { 0x41, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE SAME(10)", scsi_disk_write_same,
      { 0, 0x08, LBA4, 0, LEN2 } },
    { 0x42, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES | CMD_THIN, "UNMAP", scsi_disk_unmap,
      { 0, 0, 0, 0, 0, 0, 0, LEN2 } },
    { 0x43, 0, CMD_CD | CMD_MEDIUM, "READ TOC/PMA/ATIP", scsi_cd_read_toc, { 0, 0x02, 0x0f, 0, 0, 0, 0xff, LEN2 } },
    { 0x46, 0, CMD_CD, "GET CONFIGURATION", scsi_cd_get_configuration, { 0, 0x03, 0xff, 0xff, 0, 0, 0, LEN2 } },
    { 0x4a, 0, CMD_CD, "GET EVENT STATUS NOTIFICATION", scsi_cd_get_event_status,
      { 0, 0x01, 0, 0, 0xff, 0, 0, LEN2 } },
    { 0x51, 0, CMD_CD | CMD_MEDIUM, "READ DISC INFORMATION", scsi_cd_read_disc_information,
      { 0, 0x07, 0, 0, 0, 0, 0, LEN2 } },
    { 0x55, 0, CMD_ALL, "MODE SELECT(10)", scsi_disk_mode_select, { 0, 0x11, 0, 0, 0, 0, 0, LEN2 } },
    { 0x56, 0, CMD_ALL, "RESERVE(10)", cmd_reserve_release, { 0 } },
    { 0x57, 0, CMD_ALL, "RELEASE(10)", cmd_reserve_release, { 0 } },
    { 0x5a, 0, CMD_ALL, "MODE SENSE(10)", scsi_disk_mode_sense, { 0, 0x18, 0xff, 0xff, 0, 0, 0, LEN2 } },
    { 0x88, 0, CMD_HD | CMD_BLOCKS, "READ(16)", scsi_disk_read, { 0, 0x18, LBA8, LEN4 } },
    { 0x8a, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE(16)", scsi_disk_write, { 0, 0x18, LBA8, LEN4 } },
    { 0x8e, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE AND VERIFY(16)", scsi_disk_write_verify,
      { 0, 0x12, LBA8, LEN4 } },
    { 0x8f, 0, CMD_HD | CMD_BLOCKS, "VERIFY(16)", scsi_disk_verify, { 0, 0x16, LBA8, LEN4 } },
    { 0x91, 0, CMD_HD | CMD_BLOCKS, "SYNCHRONIZE CACHE(16)", cmd_synchronize_cache, { 0, 0x02, LBA8, LEN4 } },
    { 0x93, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE SAME(16)", scsi_disk_write_same, { 0, 0x09, LBA8, LEN4 } },
    { 0x9e, 0x10, CMD_HD | CMD_MEDIUM | CMD_SA, "READ CAPACITY(16)", cmd_read_capacity_16,
      { 0, 0x1f, LBA8, LEN4, 0x01 } },
    { 0xa0, 0, CMD_ALL, "REPORT LUNS", cmd_common, { 0, 0, 0xff, 0, 0, 0, LEN4 } },
    { 0xa3, 0x0c, CMD_ALL | CMD_SA, "REPORT SUPPORTED OPERATION CODES", cmd_report_opcodes,
      { 0, 0x1f, 0x87, 0xff, 0xff, 0xff, LEN4 } },
    { 0xa8, 0, CMD_ALL | CMD_BLOCKS, "READ(12)", scsi_disk_read, { 0, 0x18, LBA4, LEN4 } },
    { 0xaa, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE(12)", scsi_disk_write, { 0, 0x18, LBA4, LEN4 } },
    { 0xae, 0, CMD_HD | CMD_BLOCKS | CMD_WRITES, "WRITE AND VERIFY(12)", scsi_disk_write_verify,
      { 0, 0x12, LBA4, LEN4 } },
    { 0xaf, 0, CMD_HD | CMD_BLOCKS, "VERIFY(12)", scsi_disk_verify, { 0, 0x16, LBA4, LEN4 } },
    { 0xbd, 0, CMD_CD, "MECHANISM STATUS", scsi_cd_mechanism_status, { 0, 0, 0, 0, 0, 0, 0, 0, LEN2 } },
    { 0xbe, 0, CMD_CD | CMD_BLOCKS, "READ CD", scsi_disk_read_cd, { 0, 0x1c, LBA4, 0xff, 0xff, 0xff, 0xff } },
};

static uint8_t first_by_opcode[256]; /* index + 1 of an operation code's first entry; 0: none */

/* Entries of one operation code stand side by side in the table; the index names the first of them. */
void scsi_disk_cmds_init(void)
{
    unsigned i;

    for (i = G_N_ELEMENTS(commands); i-- > 0;) {
        first_by_opcode[commands[i].opcode] = (uint8_t)(i + 1);
    }
}

/* Whether DISK's kind of unit has CMD at all. */
static bool offers(ScsiDisk *disk, const ScsiDiskCmd *cmd)
{
    return cmd->flags & (scsi_disk_is_cd(disk) ? CMD_CD : CMD_HD) &&
           (!(cmd->flags & CMD_THIN) || scsi_disk_is_thin(disk));
}

/*
 * The entry for OPCODE (and SERVICE_ACTION where it has some), or NULL; *ret_has_sa: the operation code is known and
 * has service actions.
 */
static const ScsiDiskCmd *find_command(ScsiDisk *disk, uint8_t opcode, unsigned service_action, bool *ret_has_sa)
{
    unsigned i = first_by_opcode[opcode];

    *ret_has_sa = false;
    for (; i > 0 && i <= G_N_ELEMENTS(commands) && commands[i - 1].opcode == opcode; i++) {
        const ScsiDiskCmd *cmd = &commands[i - 1];

        if (!offers(disk, cmd)) {
            continue;
        }
        *ret_has_sa = cmd->flags & CMD_SA;
        if (!*ret_has_sa || cmd->service_action == service_action) {
            return cmd;
        }
    }
    return NULL;
}

/* ---- life of an op --------------------------------------------------------------------------- */

void scsi_disk_good(ScsiDiskOp *op)
{
    scsi_req_done(op->req, SCSI_STATUS_GOOD);
}

void scsi_disk_check(ScsiDiskOp *op, ScsiSense sense)
{
    scsi_req_check(op->req, sense);
}

void scsi_disk_bad_cdb(ScsiDiskOp *op, unsigned byte)
{
    scsi_req_check(op->req, scsi_sense_invalid_field_in_cdb(byte));
}

void scsi_disk_answer(ScsiDiskOp *op, const uint8_t *buf, size_t len, size_t alloc)
{
    scsi_req_answer(op->req, buf, len, alloc);
}

/* SIZE is bounded by SCSI_CHUNK_MAX at each caller; kept for the op's later pieces. */
bool scsi_disk_buffer(ScsiDiskOp *op, size_t size)
{
    if (op->buf_size >= size) {
        return true;
    }
    g_free(op->buf);
    op->buf = g_try_malloc(size);
    op->buf_size = op->buf ? size : 0;
    if (!op->buf) {
        scsi_req_done(op->req, SCSI_STATUS_BUSY);
        return false;
    }
    return true;
}

/* Parameter lists are at most 64 KiB - 1 by the width of their length fields, or one block. */
void scsi_disk_get_list(ScsiDiskOp *op, size_t len, ScsiDiskStep *then)
{
    op->data = then;
    op->req->to_device = true;
    op->req->xfer_len = len;
    if (scsi_disk_buffer(op, len)) {
        scsi_req_data_out(op->req, op->buf, len);
    }
}

/* In 64 bits without overflow: COUNT is compared with what is left behind LBA.  An empty range may end the medium. */
bool scsi_disk_check_range(ScsiDiskOp *op, uint64_t lba, uint64_t count)
{
    uint64_t blocks = scsi_disk_blocks(op->disk);

    if (lba > blocks || count > blocks - lba || (count > 0 && lba == blocks)) {
        scsi_disk_check(op, scsi_sense_lba_out_of_range(lba));
        return false;
    }
    return true;
}

/* Byte of the first bit in CDB that CMD does not know; 0: none.  The control byte was checked before. */
static unsigned unknown_bit(const ScsiDiskCmd *cmd, const uint8_t *cdb)
{
    unsigned last = scsi_cdb_length(cdb[0]) - 1, i;

    for (i = 1; i < last; i++) {
        if (cdb[i] & ~cmd->usage[i]) {
            return i;
        }
    }
    return 0;
}

/*
 * ScsiDeviceClass.execute.  Order of the checks: operation code, reserved bits, then what depends on the unit's state
 * (scsi_disk_begin()); a unit attention came before all of them.
 */
void scsi_disk_execute(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiDisk *disk = SCSI_DISK(dev);
    bool has_sa;
    const ScsiDiskCmd *cmd = find_command(disk, req->cdb[0], req->cdb[1] & 0x1f, &has_sa);
    ScsiDiskOp *op;
    unsigned bad;

    if (!cmd) {
        scsi_req_check(req, has_sa ? scsi_sense_invalid_field_in_cdb(1) : scsi_sense_invalid_opcode());
        return;
    }
    bad = unknown_bit(cmd, req->cdb);
    if (bad) {
        scsi_req_check(req, scsi_sense_invalid_field_in_cdb(bad));
        return;
    }
    op = g_new0(ScsiDiskOp, 1);
    op->disk = disk;
    op->req = req;
    op->cmd = cmd;
    req->device_private = op;
    if (!(cmd->flags & CMD_IO) || !scsi_disk_hold(op)) {
        scsi_disk_begin(op);
    }
}

/* The checks of what may have changed while OP was held, then the command. */
void scsi_disk_begin(ScsiDiskOp *op)
{
    ScsiSense sense;

    if (op->cmd->flags & CMD_MEDIUM && !scsi_disk_ready(op->disk, &sense)) {
        scsi_disk_check(op, sense);
    } else if (op->cmd->flags & CMD_WRITES && scsi_disk_write_protected(op->disk)) {
        scsi_disk_check(op, scsi_sense(SENSE_DATA_PROTECT, 0x27, 0x00));
    } else {
        op->cmd->handler(op);
    }
}

/* ScsiDeviceClass.data_done: only commands that set op->data ask for or buffer data. */
void scsi_disk_data_done(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiDiskOp *op = req->device_private;

    (void)dev;
    op->data(op);
}

/* ScsiDeviceClass.fetch: only reads offer. */
void scsi_disk_fetch(ScsiDevice *dev, ScsiRequest *req)
{
    (void)dev;
    scsi_disk_fetch_piece(req->device_private);
}

/* ScsiDeviceClass.release: no I/O is in flight, it would hold a reference. */
void scsi_disk_release(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiDiskOp *op = req->device_private;

    (void)dev;
    if (op) {
        scsi_disk_unhold(op);
        g_free(op->buf);
        g_free(op->other);
        g_free(op);
    }
}

/* ---- simple commands ------------------------------------------------------------------------- */

/* The table's CMD_MEDIUM has asked already. */
static void cmd_test_unit_ready(ScsiDiskOp *op)
{
    scsi_disk_good(op);
}

static void cmd_common(ScsiDiskOp *op)
{
    scsi_device_execute_common(&op->disk->scsi, op->req);
}

/* See the head of the file. */
static void cmd_reserve_release(ScsiDiskOp *op)
{
    scsi_disk_good(op);
}

/* SPC-4 6.42: only the default self-test, which a unit without mechanics always passes. */
static void cmd_send_diagnostic(ScsiDiskOp *op)
{
    if (op->req->cdb[1] & 0x04) {
        scsi_disk_good(op);
    } else {
        scsi_disk_bad_cdb(op, 1);
    }
}

/* SBC-3 5.15: address of the last block and block length; all ones when it needs READ CAPACITY(16). */
static void cmd_read_capacity_10(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    uint64_t last = scsi_disk_blocks(op->disk) - 1;
    uint8_t buf[8];

    /* PMI is obsolete; without it the address must be 0. */
    if (!(cdb[8] & 0x01) && scsi_get_be32(cdb + 2) != 0) {
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    scsi_put_be32(buf, (uint32_t)MIN(last, UINT32_MAX));
    scsi_put_be32(buf + 4, op->disk->block_size);
    scsi_disk_answer(op, buf, sizeof(buf), sizeof(buf));
}

/* SBC-3 5.16: also physical block size and provisioning (LBPME; LBPRZ is not promised). */
static void cmd_read_capacity_16(ScsiDiskOp *op)
{
    ScsiDisk *disk = op->disk;
    uint8_t buf[32] = { 0 };
    uint64_t lba = scsi_get_be64(op->req->cdb + 2);

    if (!(op->req->cdb[14] & 0x01) && lba != 0) {
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    scsi_put_be64(buf, scsi_disk_blocks(disk) - 1);
    scsi_put_be32(buf + 8, disk->block_size);
    buf[13] = (uint8_t)(g_bit_nth_lsf((gulong)disk->physical_block_size, -1) - g_bit_nth_lsf(disk->block_size, -1));
    buf[14] = scsi_disk_is_thin(disk) ? 0x80 : 0;
    scsi_disk_answer(op, buf, sizeof(buf), scsi_get_be32(op->req->cdb + 10));
}

/* SBC-3 5.22: the whole cache is flushed, whatever the range; IMMED waits all the same, as it may. */
static void cmd_synchronize_cache(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    bool is16 = scsi_cdb_length(cdb[0]) == 16;
    uint64_t lba = is16 ? scsi_get_be64(cdb + 2) : scsi_get_be32(cdb + 2);
    uint64_t count = is16 ? scsi_get_be32(cdb + 10) : scsi_get_be16(cdb + 7);

    if (!scsi_disk_check_range(op, lba, count)) {
        return;
    }
    if (scsi_disk_write_protected(op->disk)) {
        scsi_disk_good(op);
    } else {
        scsi_disk_io(op, true, false, scsi_disk_submit_flush, scsi_disk_good);
    }
}

/* ---- REPORT SUPPORTED OPERATION CODES (SPC-4 6.37) ------------------------------------------- */

/* Time-outs descriptor: 12 bytes, all zero: nothing is promised. */
enum { TIMEOUTS_LEN = 12 };

/* All commands of this kind of unit: 8 bytes each, 20 with time-outs. */
static void report_all_opcodes(ScsiDiskOp *op, bool timeouts, uint32_t alloc)
{
    uint8_t buf[4 + G_N_ELEMENTS(commands) * (8 + TIMEOUTS_LEN)] = { 0 };
    unsigned i, len = 4;

    for (i = 0; i < G_N_ELEMENTS(commands); i++) {
        const ScsiDiskCmd *cmd = &commands[i];
        uint8_t *p = buf + len;

        if (!offers(op->disk, cmd)) {
            continue;
        }
        p[0] = cmd->opcode;
        scsi_put_be16(p + 2, cmd->service_action);
        p[5] = (timeouts ? 0x02 : 0) | (cmd->flags & CMD_SA ? 0x01 : 0);
        scsi_put_be16(p + 6, (uint16_t)scsi_cdb_length(cmd->opcode));
        len += 8;
        if (timeouts) {
            scsi_put_be16(buf + len, TIMEOUTS_LEN - 2);
            len += TIMEOUTS_LEN;
        }
    }
    scsi_put_be32(buf, len - 4);
    scsi_disk_answer(op, buf, len, alloc);
}

/* One command: whether it is there, its length and usage data.  CMD NULL: it is not. */
static void report_one_opcode(ScsiDiskOp *op, const ScsiDiskCmd *cmd, bool timeouts, uint32_t alloc)
{
    uint8_t buf[4 + SCSI_CDB_MAX + TIMEOUTS_LEN] = { 0 };
    unsigned len = 4;

    if (!cmd) {
        buf[1] = 0x01; /* not supported */
    } else {
        unsigned cdb_len = scsi_cdb_length(cmd->opcode);

        buf[1] = 0x03 | (timeouts ? 0x80 : 0); /* supported as the standard says */
        scsi_put_be16(buf + 2, (uint16_t)cdb_len);
        memcpy(buf + 4, cmd->usage, cdb_len);
        buf[4] = cmd->opcode;
        if (cmd->flags & CMD_SA) {
            buf[5] = cmd->service_action | (cmd->usage[1] & 0xe0);
        }
        len += cdb_len;
        if (timeouts) {
            scsi_put_be16(buf + len, TIMEOUTS_LEN - 2);
            len += TIMEOUTS_LEN;
        }
    }
    scsi_disk_answer(op, buf, len, alloc);
}

static void cmd_report_opcodes(ScsiDiskOp *op)
{
    const uint8_t *cdb = op->req->cdb;
    unsigned options = cdb[2] & 0x07, service_action = scsi_get_be16(cdb + 4);
    bool timeouts = cdb[2] & 0x80, has_sa;
    uint32_t alloc = scsi_get_be32(cdb + 6);
    const ScsiDiskCmd *cmd;

    if (options == 0) {
        report_all_opcodes(op, timeouts, alloc);
        return;
    }
    if (options > 3) {
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    cmd = find_command(op->disk, cdb[3], service_action, &has_sa);
    /* 1: an operation code without, 2: one with service actions; 3: either, by what fits. */
    if ((options == 1 && has_sa) || (options == 2 && cmd && !has_sa)) {
        scsi_disk_bad_cdb(op, 2);
        return;
    }
    if (options == 3 && cmd && !has_sa && service_action != 0) {
        cmd = NULL;
    }
    report_one_opcode(op, cmd, timeouts, alloc);
}
