/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving bytes between an image and memory: the whole of what was asked for, or an error.
 *
 * Runs in: both.
 *
 * io_uring, like pread(2), may move less than asked for.  What remains is then submitted again.  Moving nothing means
 * the end of the image for a reader: inside the last, partial sector of a file zeroes are supplied, before it the file
 * has been truncated by somebody, which is -EIO.  For a writer it means that there is no space (block devices).
 */
#include <errno.h>
#include "block/file-int.h"
#include "util/iov.h"

/* Interruptions in a row before an operation fails: it must not go round for ever. */
#define TRIES_MAX 100

bool file_op_retry(FileOp *f, int res)
{
    if (!file_op_is_transient(res) || file_op_owner(f)->cancelled || f->tries == TRIES_MAX) {
        return false;
    }
    f->tries++;
    uring_submit(&f->ring);
    return true;
}

int file_op_result(FileOp *f, int res)
{
    return !file_op_is_transient(res) ? res : file_op_owner(f)->cancelled ? -ECANCELED : -EIO;
}

/* One buffer goes without a list: the kernel has less to copy and check. */
static void xfer_prep(UringOp *ring, struct io_uring_sqe *sqe)
{
    FileOp *f = (FileOp *)ring;
    const struct iovec *iov = f->xfer_iov;

    if (f->xfer_count > 1) {
        (f->xfer_write ? io_uring_prep_writev : io_uring_prep_readv)(sqe, f->s->fd, iov, f->xfer_count, f->xfer_pos);
    } else if (f->xfer_write) {
        io_uring_prep_write(sqe, f->s->fd, iov->iov_base, iov->iov_len, f->xfer_pos);
    } else {
        io_uring_prep_read(sqe, f->s->fd, iov->iov_base, iov->iov_len, f->xfer_pos);
    }
    sqe->rw_flags = f->xfer_write && f->dsync ? RWF_DSYNC : 0;
}

/* Drops the first N bytes of what is left to move. */
static void advance(FileOp *f, size_t n)
{
    f->xfer_pos += n;
    f->xfer_left -= n;
    while (f->xfer_left && n >= f->xfer_iov->iov_len) {
        n -= f->xfer_iov->iov_len;
        f->xfer_iov++;
        f->xfer_count--;
    }
    if (f->xfer_left) {
        f->xfer_iov->iov_base = (char *)f->xfer_iov->iov_base + n;
        f->xfer_iov->iov_len -= n;
    }
}

/* After N more bytes were moved: 1 when the rest should be submitted, otherwise the result of the whole. */
static int go_on(FileOp *f, int n)
{
    FileState *s = f->s;

    advance(f, n);
    if (f->xfer_write && !s->is_block) {
        s->file_size = MAX(s->file_size, f->xfer_pos);
    }
    if (!f->xfer_left) {
        return 0;
    }
    if (!f->xfer_write && !s->is_block && f->xfer_pos >= s->file_size) {
        iov_memset(f->xfer_iov, f->xfer_count, 0, 0, f->xfer_left);
        return 0;
    }
    /* Direct I/O stops inside a block only where the file ends. */
    if (n == 0 || n % s->offset_align) {
        return f->xfer_write ? -ENOSPC : -EIO;
    }
    return 1;
}

/* The kernel's answer: an error, all of it, or a part. */
static void xfer_done(UringOp *ring, int res)
{
    FileOp *f = (FileOp *)ring;

    if (res < 0) {
        if (!file_op_retry(f, res)) {
            f->xfer_then(f, file_op_result(f, res));
        }
        return;
    }
    res = go_on(f, res);
    if (res > 0 && file_op_owner(f)->cancelled) {
        res = -ECANCELED; /* it came too late for this piece, and there shall be no other */
    }
    if (res > 0) {
        f->tries = 0;
        uring_submit(&f->ring);
    } else {
        f->xfer_then(f, res);
    }
}

void file_xfer(FileOp *f, bool is_write, struct iovec *iov, unsigned count, uint64_t pos, size_t len, FileThen *then)
{
    f->xfer_write = is_write;
    f->xfer_iov = iov;
    f->xfer_count = count;
    f->xfer_pos = pos;
    f->xfer_left = len;
    f->xfer_then = then;
    f->tries = 0;
    f->ring.prep = xfer_prep;
    f->ring.done = xfer_done;
    uring_submit(&f->ring);
}
