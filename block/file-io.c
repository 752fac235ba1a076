/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the operations mean on a file or block device: reads, writes, flushes, discards, zeroing.
 *
 * Runs in: both.
 *
 * Stable storage.  A flush is fdatasync(2).  A FUA write carries RWF_DSYNC.  Zeroing with FUA is followed by
 * fdatasync.  When fdatasync fails, Linux drops the dirty pages and the next call succeeds though their data is lost;
 * so through the page cache a failed flush is final: all later ones fail too.  With O_DIRECT nothing is in the page
 * cache and a flush may be repeated.
 *
 * Discard is fallocate(2) PUNCH_HOLE on files and block devices: on the latter the kernel has the device write zeroes
 * with permission to deallocate, which we can wait for asynchronously, unlike ioctl BLKDISCARD.  A discard is only
 * a hint, so where it cannot be done nothing happens.
 *
 * Zeroing tries PUNCH_HOLE (when the guest permits to deallocate), then ZERO_RANGE, then writes zeroes in pieces.
 */
#include <errno.h>
#include <linux/falloc.h>
#include "block/file-int.h"
#include "trace/block.h"

/* One piece of zeroing by writing.  Never written to, so the kernel's zero page stands for all of it. */
#define ZERO_PIECE (1024u * 1024)
static char zero_piece[ZERO_PIECE] __attribute__((aligned(4096)));

G_STATIC_ASSERT(sizeof(FileOp) <= BLOCK_OP_SCRATCH);

static void complete(FileOp *f, int ret)
{
    block_op_complete(file_op_owner(f), ret);
}

/* ---- flush ----------------------------------------------------------------------------------- */

static void sync_prep(UringOp *ring, struct io_uring_sqe *sqe)
{
    io_uring_prep_fsync(sqe, ((FileOp *)ring)->s->fd, IORING_FSYNC_DATASYNC);
}

static void sync_done(UringOp *ring, int res)
{
    FileOp *f = (FileOp *)ring;

    if (res < 0 && file_op_retry(f, res)) {
        return;
    }
    if (res < 0 && !f->s->direct && !file_op_is_transient(res)) {
        f->s->flush_error = res;
    }
    complete(f, file_op_result(f, res));
}

/* Ends F with a flush: its whole for BLOCK_OP_FLUSH, its last step for zeroing with FUA. */
static void start_sync(FileOp *f)
{
    if (f->s->flush_error) {
        complete(f, f->s->flush_error);
        return;
    }
    f->tries = 0;
    f->ring.prep = sync_prep;
    f->ring.done = sync_done;
    uring_submit(&f->ring);
}

/* cache=unsafe means that the user does not want any; a read-only image has nothing to flush. */
static void submit_flush(BlockNode *node, BlockOp *op, FileOp *f)
{
    if (node->no_flush || node->read_only) {
        complete(f, 0);
    } else {
        start_sync(f);
    }
}

/* ---- read and write -------------------------------------------------------------------------- */

static void submit_read(BlockNode *node, BlockOp *op, FileOp *f)
{
    file_rw(f, false, op->iov, op->iov_count, op->offset, op->len, complete);
}

static void write_done(FileOp *f, int ret)
{
    if (ret == -EIO && f->dsync && !f->s->direct) {
        /* It may have been the fdatasync part, see above. */
        f->s->flush_error = ret;
    }
    complete(f, ret);
}

static void submit_write(BlockNode *node, BlockOp *op, FileOp *f)
{
    f->dsync = (op->flags & BLOCK_REQ_FUA) && !node->no_flush;
    file_rw(f, true, op->iov, op->iov_count, op->offset, op->len, write_done);
}

/* ---- fallocate ------------------------------------------------------------------------------- */

static void falloc_prep(UringOp *ring, struct io_uring_sqe *sqe)
{
    FileOp *f = (FileOp *)ring;

    io_uring_prep_fallocate(sqe, f->s->fd, f->falloc_mode, f->zero_pos, f->zero_left);
}

/* The range is free. */
static void falloc_go(FileOp *f)
{
    uring_submit(&f->ring);
}

/* fallocate(MODE) on [zero_pos, zero_pos + zero_left). */
static void start_falloc(FileOp *f, int mode, void (*done)(UringOp *ring, int res))
{
    f->falloc_mode = mode | FALLOC_FL_KEEP_SIZE;
    f->tries = 0;
    f->ring.prep = falloc_prep;
    f->ring.done = done;
    file_range_enter(f, f->zero_pos, f->zero_left, falloc_go);
}

/* EINVAL: a block device does not like the range. */
static bool is_unsupported(int res)
{
    return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV || res == -EINVAL;
}

/* A file system that cannot do a thing is not asked for it again. */
static void remember_unsupported(FileOp *f, int res)
{
    if (res == -EINVAL) {
        return; /* another range may do */
    }
    if (f->falloc_mode & FALLOC_FL_PUNCH_HOLE) {
        f->s->no_punch = true;
    } else {
        f->s->no_zero_range = true;
    }
}

static void discard_done(UringOp *ring, int res)
{
    FileOp *f = (FileOp *)ring;

    if (res < 0 && file_op_retry(f, res)) {
        return;
    }
    file_range_leave(f);
    if (is_unsupported(res)) {
        remember_unsupported(f, res);
        res = 0;
    }
    complete(f, file_op_result(f, res));
}

/* Shrinks the range to whole blocks: a hint may be followed in part. */
static void submit_discard(BlockNode *node, BlockOp *op, FileOp *f)
{
    uint64_t block = f->s->block_size;
    uint64_t start = (op->offset + block - 1) / block * block;
    uint64_t end = (op->offset + op->len) / block * block;

    if (f->s->no_punch || start >= end) {
        complete(f, 0);
        return;
    }
    f->zero_pos = start;
    f->zero_left = end - start;
    start_falloc(f, FALLOC_FL_PUNCH_HOLE, discard_done);
}

/* ---- write zeroes ---------------------------------------------------------------------------- */

/* The zeroes are written, or not. */
static void zeroes_done(FileOp *f, int ret)
{
    BlockOp *op = file_op_owner(f);

    if (!ret && (op->flags & BLOCK_REQ_FUA) && !op->node->no_flush) {
        start_sync(f);
    } else {
        complete(f, ret);
    }
}

/* The piece of f->len bytes before, if any, ended with RET: go on with the next. */
static void write_zero_piece(FileOp *f, int ret)
{
    size_t len;

    f->zero_pos += f->len;
    f->zero_left -= f->len;
    if (!ret && file_op_owner(f)->cancelled && f->zero_left) {
        ret = -ECANCELED;
    }
    if (ret || !f->zero_left) {
        zeroes_done(f, ret);
        return;
    }
    len = MIN(f->zero_left, ZERO_PIECE);
    f->zero_iov = (struct iovec) { .iov_base = zero_piece, .iov_len = len };
    file_rw(f, true, &f->zero_iov, 1, f->zero_pos, len, write_zero_piece);
}

static void start_zeroes(FileOp *f, bool may_punch);

static void zero_falloc_done(UringOp *ring, int res)
{
    FileOp *f = (FileOp *)ring;

    if (res < 0 && file_op_retry(f, res)) {
        return;
    }
    file_range_leave(f);
    if (is_unsupported(res)) {
        remember_unsupported(f, res);
        if (f->falloc_mode & FALLOC_FL_PUNCH_HOLE) {
            start_zeroes(f, false);
        } else {
            write_zero_piece(f, 0);
        }
        return;
    }
    zeroes_done(f, file_op_result(f, res));
}

/* Tries the best way that is left. */
static void start_zeroes(FileOp *f, bool may_punch)
{
    if (may_punch && !f->s->no_punch) {
        start_falloc(f, FALLOC_FL_PUNCH_HOLE, zero_falloc_done);
    } else if (!f->s->no_zero_range) {
        start_falloc(f, FALLOC_FL_ZERO_RANGE, zero_falloc_done);
    } else {
        write_zero_piece(f, 0);
    }
}

static void submit_zeroes(BlockNode *node, BlockOp *op, FileOp *f)
{
    f->zero_pos = op->offset;
    f->zero_left = op->len;
    start_zeroes(f, op->flags & BLOCK_REQ_MAY_UNMAP);
}

/* ---- the driver's operations ----------------------------------------------------------------- */

void file_submit(BlockNode *node, BlockOp *op)
{
    static void (*const submit[])(BlockNode *node, BlockOp *op, FileOp *f) = {
        [BLOCK_OP_READ] = submit_read,
        [BLOCK_OP_WRITE] = submit_write,
        [BLOCK_OP_FLUSH] = submit_flush,
        [BLOCK_OP_DISCARD] = submit_discard,
        [BLOCK_OP_WRITE_ZEROES] = submit_zeroes,
    };
    FileOp *f = (FileOp *)op->scratch;

    *f = (FileOp) { .s = node->state };
    submit[op->type](node, op, f);
}

void file_cancel(BlockNode *node, BlockOp *op)
{
    FileOp *f = (FileOp *)op->scratch;

    if (file_rw_stop_waiting(f)) {
        complete(f, -ECANCELED);
    } else {
        uring_cancel(&f->ring);
    }
}
