/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver "null-co": reads zeroes and forgets writes; for benchmarks and tests.
 *
 * Runs in: both.
 *
 * read-zeroes=off, where QEMU leaves a reader's buffer as it is, is accepted but reads zeroes too: a buffer of ours may
 * hold anything.
 */
#include "block/block-int.h"
#include "util/error.h"
#include "util/iov.h"

#define DEFAULT_SIZE (1024ull * 1024 * 1024)

static bool null_open(BlockNode *node, Options *opts, GError **errp)
{
    uint64_t size = DEFAULT_SIZE;
    bool read_zeroes = true;

    if (!options_get_size(opts, "size", &size, errp) ||
        !options_get_bool(opts, "read-zeroes", &read_zeroes, errp)) {
        return false;
    }
    if (size % BLOCK_SECTOR || size > INT64_MAX) {
        error_setg(errp, "%s: null-co: size=%" G_GUINT64_FORMAT " is not valid; use a multiple of 512 below 8E",
                   options_name(opts), size);
        return false;
    }
    node->length = size;
    return true;
}

static void null_submit(BlockNode *node, BlockOp *op)
{
    if (op->type == BLOCK_OP_READ) {
        iov_memset(op->iov, op->iov_count, 0, 0, op->len);
    }
    block_op_complete(op, 0);
}

static const char *null_filename(const BlockNode *node)
{
    return "null-co://";
}

const BlockDriver block_driver_null_co = {
    .name = "null-co",
    .keys = (const char *const[]) { "size", "read-zeroes", NULL },
    .open = null_open,
    .submit = null_submit,
    .filename = null_filename,
};
