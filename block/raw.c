/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver "raw": the bytes of its child as they are, or a window of them (options offset, size).
 *
 * Runs in: both.
 */
#include "block/block-int.h"
#include "util/error.h"

typedef struct RawState {
    uint64_t offset; /* where the window begins in the child */
    bool has_size;   /* the window's size is fixed ... */
    uint64_t size;   /* ... at this, as far as the child goes */
} RawState;

static bool raw_open(BlockNode *node, Options *opts, GError **errp)
{
    RawState *s = node->state;
    uint64_t size;

    if (!options_get_size(opts, "offset", &s->offset, errp)) {
        return false;
    }
    if (s->offset % BLOCK_SECTOR || s->offset > node->child->length) {
        error_setg(errp, "%s: raw: offset=%" G_GUINT64_FORMAT " is not valid; use a multiple of 512 inside the image "
                   "of %" G_GUINT64_FORMAT " bytes", options_name(opts), s->offset, node->child->length);
        return false;
    }
    size = node->child->length - s->offset;
    if (!options_get_size(opts, "size", &size, errp)) {
        return false;
    }
    if (size % BLOCK_SECTOR || size > node->child->length - s->offset) {
        error_setg(errp, "%s: raw: size=%" G_GUINT64_FORMAT " is not valid; use a multiple of 512, at most the %"
                   G_GUINT64_FORMAT " bytes from the offset to the image's end", options_name(opts), size,
                   node->child->length - s->offset);
        return false;
    }
    s->has_size = options_has(opts, "size");
    s->size = size;
    node->length = size;
    return true;
}

static bool raw_child_size(const BlockNode *node, uint64_t size, uint64_t *ret_child_size, GError **errp)
{
    const RawState *s = node->state;

    if (s->has_size) {
        error_setg(errp, "block node '%s' is a window of fixed size (size=); resize the node below it, or make the "
                   "window without size=", node->name);
        return false;
    }
    /* No overflow: both are lengths of files. */
    *ret_child_size = size + s->offset;
    return true;
}

/* A child that shrinks takes the window's end along, and gives it back when it grows. */
static uint64_t raw_length_over(const BlockNode *node, uint64_t child_length)
{
    const RawState *s = node->state;
    uint64_t left = child_length > s->offset ? child_length - s->offset : 0;

    return s->has_size ? MIN(s->size, left) : left;
}

static void raw_submit(BlockNode *node, BlockOp *op)
{
    RawState *s = node->state;

    /* No overflow: the request lies inside the window, which lies inside the child. */
    op->offset += s->offset;
    block_node_submit(node->child, op);
}

const BlockDriver block_driver_raw = {
    .name = "raw",
    .state_size = sizeof(RawState),
    .child_key = "file",
    .keys = (const char *const[]) { "file", "offset", "size", NULL },
    .open = raw_open,
    .child_size = raw_child_size,
    .length_over = raw_length_over,
    .submit = raw_submit,
};
