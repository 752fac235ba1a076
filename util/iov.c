/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scatter-gather lists: copying and filling arrays of struct iovec.
 *
 * Runs in: both.
 *
 * All walks are the same: skip OFFSET bytes, then visit pieces until LEN bytes or the list's end.
 * Lengths are never added up, so no sum can wrap.
 */
#include <stdint.h>
#include <string.h>
#include <glib.h>
#include "util/iov.h"

typedef enum IovOp {
    IOV_OP_FROM_BUF,
    IOV_OP_TO_BUF,
    IOV_OP_SET,
} IovOp;

/* The common walk.  BUF is only written for IOV_OP_TO_BUF; VALUE is only used for IOV_OP_SET. */
static size_t walk(const struct iovec *iov, unsigned count, size_t offset, char *buf, int value,
                   size_t len, IovOp op)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < len; i++) {
        char *piece = iov[i].iov_base;
        size_t piece_len;

        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        piece += offset;
        piece_len = MIN(iov[i].iov_len - offset, len - done);
        offset = 0;
        switch (op) {
        case IOV_OP_FROM_BUF:
            memcpy(piece, buf + done, piece_len);
            break;
        case IOV_OP_TO_BUF:
            memcpy(buf + done, piece, piece_len);
            break;
        case IOV_OP_SET:
            memset(piece, value, piece_len);
            break;
        }
        done += piece_len;
    }
    return done;
}

size_t iov_from_buf(const struct iovec *iov, unsigned count, size_t offset, const void *buf,
                    size_t len)
{
    return walk(iov, count, offset, (char *)buf, 0, len, IOV_OP_FROM_BUF);
}

size_t iov_to_buf(const struct iovec *iov, unsigned count, size_t offset, void *buf, size_t len)
{
    return walk(iov, count, offset, buf, 0, len, IOV_OP_TO_BUF);
}

size_t iov_memset(const struct iovec *iov, unsigned count, size_t offset, int value, size_t len)
{
    return walk(iov, count, offset, NULL, value, len, IOV_OP_SET);
}
