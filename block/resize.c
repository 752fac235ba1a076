/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Resizing an image while devices use it.
 *
 * Runs in: both.
 *
 * The size is given for one node; filters say what that means below them, down to the leaf, whose driver does it.  From
 * the leaf the new lengths spread to every node above it, whoever uses these.
 */
#include "block/block-int.h"
#include "trace/block.h"
#include "util/error.h"

static uint64_t length_over(const BlockNode *node, uint64_t child_length)
{
    return node->driver->length_over ? node->driver->length_over(node, child_length) : child_length;
}

/* ---- before ---------------------------------------------------------------------------------- */

/* A size that a node may get, and whether a request under way would lie beyond it. */
typedef struct Shrink {
    uint64_t length;
    bool is_in_use;
} Shrink;

static void check_parent(BlockNode *node, void *opaque)
{
    Shrink *below = opaque;
    Shrink own = { .length = length_over(node, below->length) };

    own.is_in_use = block_requests_reach(node, own.length);
    block_node_foreach_parent(node, check_parent, &own);
    below->is_in_use |= own.is_in_use;
}

/* The kernel has been given the request: a write would make the file longer again than it is told to be. */
static bool check_requests(BlockNode *leaf, uint64_t size, GError **errp)
{
    Shrink shrink = { .length = size, .is_in_use = block_requests_reach(leaf, size) };

    block_node_foreach_parent(leaf, check_parent, &shrink);
    if (shrink.is_in_use) {
        error_setg(errp, "block node '%s' cannot shrink to %" G_GUINT64_FORMAT " bytes: a request beyond that is under "
                   "way; try again", leaf->name, size);
    }
    return !shrink.is_in_use;
}

/* From NODE down: the size that the leaf must have for NODE to have *SIZE. */
static bool find_leaf_size(BlockNode *node, uint64_t *size, GError **errp)
{
    for (; node->child; node = node->child) {
        if (node->driver->child_size && !node->driver->child_size(node, *size, size, errp)) {
            return false;
        }
    }
    if (*size > INT64_MAX) {
        error_setg(errp, "block node '%s': size %" G_GUINT64_FORMAT " is beyond the largest file", node->name, *size);
        return false;
    }
    return true;
}

/* ---- after ----------------------------------------------------------------------------------- */

static void tell_backends(BlockNode *node)
{
    GPtrArray *backends = block_backends();

    block_requests_cut(node);
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (blk->root == node && blk->changed) {
            blk->changed(blk->changed_opaque);
        }
    }
}

static void update_parent(BlockNode *node, void *opaque)
{
    uint64_t length = length_over(node, node->child->length);

    if (length != node->length) {
        node->length = length;
        block_node_foreach_parent(node, update_parent, NULL);
        tell_backends(node);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

/*
 * With the locks of a writer: one that is attached has them.  Readers of this process are told of the change; those of
 * others have no way to learn of it.
 */
static bool resize_leaf(BlockNode *leaf, uint64_t size, GError **errp)
{
    BlockAccess access = leaf->writer ? BLOCK_ACCESS_WRITE : leaf->readers ? BLOCK_ACCESS_READ : BLOCK_ACCESS_NONE;
    bool ok;

    if (leaf->driver->set_access && !leaf->driver->set_access(leaf, BLOCK_ACCESS_WRITE, errp)) {
        return false;
    }
    ok = leaf->driver->resize(leaf, size, errp);
    if (leaf->driver->set_access) {
        leaf->driver->set_access(leaf, access, NULL);
    }
    return ok;
}

bool block_resize(const char *node_name, uint64_t size, GError **errp)
{
    BlockNode *node = block_node_find(node_name);
    BlockNode *leaf = node ? block_node_leaf(node) : NULL;
    uint64_t before;

    if (!node) {
        error_setg(errp, "Cannot find device='' nor node-name='%s'", node_name);
        return false;
    }
    if (size % BLOCK_SECTOR) {
        error_setg(errp, "size %" G_GUINT64_FORMAT " is no multiple of %u; use one", size, BLOCK_SECTOR);
        return false;
    }
    if (node->read_only) {
        error_setg(errp, "block node '%s' is read-only and cannot be resized; remove readonly=on", node_name);
        return false;
    }
    if (!leaf->driver->resize) {
        error_setg(errp, "block node '%s' cannot be resized: driver %s has no size to change", node_name,
                   leaf->driver->name);
        return false;
    }
    if (size > INT64_MAX) {
        error_setg(errp, "size %" G_GUINT64_FORMAT " is beyond the largest file", size);
        return false;
    }
    before = leaf->length;
    if (!find_leaf_size(node, &size, errp) || !check_requests(leaf, size, errp) || !resize_leaf(leaf, size, errp)) {
        return false;
    }
    if (leaf->length != before) {
        block_node_foreach_parent(leaf, update_parent, NULL);
        tell_backends(leaf);
    }
    return true;
}
