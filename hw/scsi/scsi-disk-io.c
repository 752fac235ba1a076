/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI disks: block requests of a command, what happens when they fail, lent memory.
 *
 * Runs in: both.
 *
 * While a block request is under way the op holds a reference to its SCSI request; buffers and lent guest memory
 * therefore live until the kernel is done with them, whatever the HBA did meanwhile.  A block request's end comes from
 * the event loop only, so steps that chain pieces do not nest.
 *
 * A cancel does not stop what the kernel has begun: an aborted write may reach the disk later.  SAM wants an aborted
 * task to leave the medium alone once the abort is over, and an initiator that aborted a write may write the same
 * blocks anew.  So commands that touch blocks are held while such a request lingers, and the order on the medium is the
 * initiator's.
 */
#include "hw/scsi/scsi-disk.h"

#include <errno.h>
#include <string.h>
#include "system/runstate.h"
#include "trace/hw-scsi.h"

void scsi_disk_end_lending(ScsiDiskOp *op, uint64_t transferred)
{
    ScsiRequest *req = op->req;

    if (req->map) {
        dma_unmap(req->map, transferred);
        g_free(req->map);
        req->map = NULL;
        req->moved += transferred;
    }
}

/* One block request per op at a time: op->aio is the one that a cancel means. */
void scsi_disk_io(ScsiDiskOp *op, bool writes, bool has_lba, ScsiDiskStep *submit, ScsiDiskStep *done)
{
    op->io_writes = writes;
    op->io_has_lba = has_lba;
    op->submit = submit;
    op->done = done;
    scsi_req_hold(op->req);
    submit(op);
}

/* ---- held commands ------------------------------------------------------------------------------- */

bool scsi_disk_hold(ScsiDiskOp *op)
{
    if (op->disk->lingering == 0) {
        return false;
    }
    op->is_held = true;
    op->wait_link.data = op;
    g_queue_push_tail_link(&op->disk->held, &op->wait_link);
    return true;
}

void scsi_disk_unhold(ScsiDiskOp *op)
{
    if (op->is_held) {
        op->is_held = false;
        g_queue_unlink(&op->disk->held, &op->wait_link);
    }
}

/* A cancelled op's block request ended.  A held op that begins now may end at once, and its HBA cancel others. */
static void end_lingering(ScsiDiskOp *op)
{
    ScsiDisk *disk = op->disk;

    if (!op->lingers) {
        return;
    }
    op->lingers = false;
    disk->lingering--;
    while (disk->lingering == 0 && disk->held.head) {
        ScsiDiskOp *next = disk->held.head->data;

        scsi_disk_unhold(next);
        scsi_disk_begin(next);
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

/*
 * Sense data for errno values of the block layer (SBC-3 4.18, SPC-4 annex D).  The host does not tell which block of a
 * piece failed: INFORMATION names the piece's first one, all before it are good.
 */
static ScsiSense sense_of_errno(const ScsiDiskOp *op, int error)
{
    static const struct {
        int error;
        uint8_t key, asc, ascq;
    } table[] = {
        { ENOSPC, SENSE_DATA_PROTECT, 0x27, 0x07 },    /* space allocation failed write protect */
        { EDQUOT, SENSE_DATA_PROTECT, 0x27, 0x07 },
        { EROFS, SENSE_DATA_PROTECT, 0x27, 0x00 },     /* write protected */
        { EACCES, SENSE_DATA_PROTECT, 0x27, 0x00 },
        { EPERM, SENSE_DATA_PROTECT, 0x27, 0x00 },
        { ENOMEDIUM, SENSE_NOT_READY, 0x3a, 0x00 },    /* medium not present */
        { EINVAL, SENSE_ILLEGAL_REQUEST, 0x24, 0x00 }, /* invalid field in CDB */
        { ENOMEM, SENSE_HARDWARE_ERROR, 0x44, 0x00 },  /* internal target failure */
        { EOPNOTSUPP, SENSE_HARDWARE_ERROR, 0x44, 0x00 },
        { ECANCELED, SENSE_ABORTED_COMMAND, 0x00, 0x06 }, /* I/O process terminated */
    };
    ScsiSense sense;
    unsigned i;

    for (i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].error == error) {
            return scsi_sense(table[i].key, table[i].asc, table[i].ascq);
        }
    }
    /* Unrecovered read error; write error. */
    sense = op->io_writes ? scsi_sense(SENSE_MEDIUM_ERROR, 0x0c, 0x00) : scsi_sense(SENSE_MEDIUM_ERROR, 0x11, 0x00);
    sense.info_valid = op->io_has_lba;
    sense.info = op->lba;
    return sense;
}

/* Keeps OP (and the reference of scsi_disk_io()) until scsi_disk_retry_waiting() or a cancel. */
static void wait_for_machine(ScsiDiskOp *op, int error)
{
    trace_scsi_disk_stopped(op->req, error);
    op->is_waiting = true;
    op->wait_link.data = op;
    g_queue_push_tail_link(&op->disk->waiting, &op->wait_link);
    vm_stop(RUN_STATE_IO_ERROR); /* the event that says why is out */
}

static void stop_waiting(ScsiDiskOp *op)
{
    g_queue_unlink(&op->disk->waiting, &op->wait_link);
    op->is_waiting = false;
}

/* The medium became shorter than OP's piece while that was under way. */
static bool is_past_end(const ScsiDiskOp *op)
{
    uint64_t blocks = scsi_disk_blocks(op->disk), count = op->len / op->disk->block_size;

    return op->io_has_lba && blk_is_inserted(op->disk->blk) && (op->lba > blocks || count > blocks - op->lba);
}

/* Applies rerror/werror; true: the op waits for the machine and keeps its reference. */
static bool handle_error(ScsiDiskOp *op, int error)
{
    BlockErrorAction action = blk_error_action(op->disk->blk, op->io_writes);

    /* No error of the image, and it would be no better after a stop: as if the command came only now. */
    if (error == EIO && is_past_end(op)) {
        scsi_disk_end_lending(op, 0);
        scsi_req_check(op->req, scsi_sense_lba_out_of_range(op->lba));
        return false;
    }
    if (action == BLOCK_ERROR_ENOSPC) {
        action = error == ENOSPC ? BLOCK_ERROR_STOP : BLOCK_ERROR_REPORT;
    }
    /* The guest of another process runs on, and would wait for this request until it gives up. */
    if (action == BLOCK_ERROR_STOP && !runstate_resumable()) {
        action = BLOCK_ERROR_REPORT;
    }
    blk_report_error(op->disk->blk, op->io_writes, error, action);
    switch (action) {
    case BLOCK_ERROR_STOP:
        wait_for_machine(op, error);
        return true;
    case BLOCK_ERROR_IGNORE:
        /* A buffer that nothing was read into must not carry this process's memory to the guest. */
        if (!op->io_writes && !op->req->map && op->buf) {
            memset(op->check_data ? op->other : op->buf, 0, op->len);
        }
        op->done(op);
        return false;
    default:
        scsi_disk_end_lending(op, 0);
        scsi_req_check(op->req, sense_of_errno(op, error));
        return false;
    }
}

/* BlockCompletion of every block request here; drops the reference that scsi_disk_io() took. */
void scsi_disk_io_complete(void *opaque, int ret)
{
    ScsiDiskOp *op = opaque;
    ScsiRequest *req = op->req;

    op->aio = NULL;
    trace_scsi_disk_io_done(req, ret);
    if (req->closed) {
        scsi_disk_end_lending(op, 0);
        end_lingering(op);
    } else if (ret < 0) {
        if (handle_error(op, -ret)) {
            return;
        }
    } else {
        op->done(op);
    }
    scsi_req_release(req);
}

void scsi_disk_retry_waiting(ScsiDisk *disk)
{
    /* What fails at once again comes back by the event loop: the queue does not grow under this walk. */
    while (disk->waiting.head) {
        ScsiDiskOp *op = disk->waiting.head->data;

        stop_waiting(op);
        op->submit(op);
    }
}

/*
 * ScsiDeviceClass.cancel.  What waits is dropped at once; what the kernel has is asked back and, until it comes, counts
 * as lingering.
 */
void scsi_disk_cancel(ScsiDevice *dev, ScsiRequest *req)
{
    ScsiDiskOp *op = req->device_private;

    (void)dev;
    if (!op) {
        return;
    }
    if (op->is_waiting) {
        stop_waiting(op);
        scsi_disk_end_lending(op, 0);
        scsi_req_release(req);
    } else if (op->aio) {
        /* Lent memory is the guest's again as it sees it, though not yet as the kernel does. */
        if (req->map) {
            dma_map_abandon(req->map);
        }
        op->lingers = true;
        op->disk->lingering++;
        blk_cancel(op->aio);
    }
    scsi_disk_unhold(op);
}

/* ---- submissions ----------------------------------------------------------------------------- */

static uint64_t byte_offset(const ScsiDiskOp *op)
{
    return op->lba * op->disk->block_size;
}

/* Into lent memory, or the buffer that the command compares or sends. */
void scsi_disk_submit_read(ScsiDiskOp *op)
{
    struct iovec own = { op->check_data ? op->other : op->buf, op->len };
    const DmaMap *map = op->req->map;

    trace_scsi_disk_io(op->req, map ? "read, direct" : "read", op->lba, op->len);
    op->aio = blk_preadv(op->disk->blk, byte_offset(op), map ? map->iov : &own, map ? map->count : 1,
                         scsi_disk_io_complete, op);
}

void scsi_disk_submit_write(ScsiDiskOp *op)
{
    struct iovec own = { op->buf, op->len };
    const DmaMap *map = op->req->map;

    trace_scsi_disk_io(op->req, map ? "write, direct" : "write", op->lba, op->len);
    op->aio = blk_pwritev(op->disk->blk, byte_offset(op), map ? map->iov : &own, map ? map->count : 1,
                          op->write_flags, scsi_disk_io_complete, op);
}

void scsi_disk_submit_flush(ScsiDiskOp *op)
{
    trace_scsi_disk_io(op->req, "flush", 0, 0);
    op->aio = blk_flush(op->disk->blk, scsi_disk_io_complete, op);
}
