/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backends: names, attachment to devices, properties, the medium.
 *
 * Runs in: both.
 *
 * Backends live until block_cleanup(): a device may come and go.  Requests are in request.c.
 */
#include "block/block-int.h"
#include "block/uring.h"
#include "trace/block.h"
#include "util/error.h"

static GPtrArray *backends; /* of BlockBackend, in the order of their making; NULL before the first */

/* A handful of drives: a walk is enough. */
static BlockBackend *find(const char *name)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (!g_strcmp0(blk->name, name)) {
            return blk;
        }
    }
    return NULL;
}

/* Drives and nodes share one name space, as in QEMU: drive=NAME of a device may mean either. */
bool block_check_new_name(const char *option, const char *key, const char *name, GError **errp)
{
    if (!id_wellformed(name)) {
        error_setg(errp, "%s: %s=%s is not a valid name; use a letter, then letters, digits, '-', '.' and '_'",
                   option, key, name);
        return false;
    }
    if (find(name) || block_node_find(name)) {
        error_setg(errp, "%s: %s=%s is in use already by another drive or block node; choose another name",
                   option, key, name);
        return false;
    }
    return true;
}

/* Called by drive_add(), and for a node-name the first time that a device asks for it. */
BlockBackend *block_backend_new(const char *name, BlockNode *root, BlockAccess idle, GError **errp)
{
    BlockBackend *blk;

    if (root && !block_node_change_access(root, BLOCK_ACCESS_NONE, idle, errp)) {
        return NULL;
    }
    blk = g_new0(BlockBackend, 1);
    blk->name = g_strdup(name);
    blk->root = root;
    blk->idle = idle;
    blk->access = root ? idle : BLOCK_ACCESS_NONE;
    blk->write_cache = true;
    blk->on_read_error = BLOCK_ERROR_REPORT;
    blk->on_write_error = BLOCK_ERROR_ENOSPC;
    if (!backends) {
        backends = g_ptr_array_new();
    }
    g_ptr_array_add(backends, blk);
    return blk;
}

BlockBackend *blk_by_name(const char *name, GError **errp)
{
    BlockBackend *blk = find(name);
    BlockNode *node;

    if (blk) {
        return blk;
    }
    node = block_node_find(name);
    if (!node) {
        error_setg(errp, "there is no drive and no block node '%s'; define it with -drive id=%s,... or "
                   "-blockdev node-name=%s,...", name, name, name);
        return NULL;
    }
    return block_backend_new(name, block_node_ref(node), BLOCK_ACCESS_NONE, errp);
}

/* ---- attachment ------------------------------------------------------------------------------ */

/*
 * Here, and not when the drive is made, the image is locked for writing: a drive that only a reader uses leaves the
 * image to other readers.
 */
bool blk_attach(BlockBackend *blk, const char *dev_id, bool writable, GError **errp)
{
    BlockAccess access = writable ? BLOCK_ACCESS_WRITE : BLOCK_ACCESS_READ;

    if (blk->owner) {
        error_setg(errp, "drive '%s' is in use by device '%s'; give each device a drive of its own", blk->name,
                   blk->owner);
        return false;
    }
    if (blk->root) {
        if (!block_node_change_access(blk->root, blk->access, access, errp)) {
            return false;
        }
        blk->access = access;
    }
    blk->owner = g_strdup(dev_id ? dev_id : "");
    trace_block_attach(blk->name, blk->owner, writable);
    return true;
}

/* Dropping access cannot fail, so neither can this; the node stays open for the next device. */
void blk_detach(BlockBackend *blk)
{
    trace_block_detach(blk->name);
    if (blk->root) {
        block_node_change_access(blk->root, blk->access, blk->idle, NULL);
        blk->access = blk->idle;
    }
    g_free(blk->owner);
    blk->owner = NULL;
    blk->medium_locked = false;
    blk->changed = NULL;
}

/* ---- the medium ------------------------------------------------------------------------------ */

/* Requests in flight keep the node open by references of their own. */
static void drop_root(BlockBackend *blk)
{
    if (blk->root) {
        block_node_change_access(blk->root, blk->access, BLOCK_ACCESS_NONE, NULL);
        blk->access = BLOCK_ACCESS_NONE;
        block_node_unref(blk->root);
        blk->root = NULL;
    }
}

/* The user's eject: a guest that opens the tray keeps the medium on it. */
void blk_eject(BlockBackend *blk)
{
    if (!blk->medium_locked && blk->root) {
        trace_block_eject(blk->name);
        drop_root(blk);
        if (blk->changed) {
            blk->changed(blk->changed_opaque);
        }
    }
}

void blk_lock_medium(BlockBackend *blk, bool locked)
{
    blk->medium_locked = locked;
}

void blk_set_change_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque)
{
    blk->changed = fn;
    blk->changed_opaque = opaque;
}

/*
 * Backends before nodes, as references go; the ring last.  Devices need not be gone: what they have in flight is
 * delivered to them here, and nothing after that.
 */
void block_cleanup(void)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        blk_drain(blk);
        drop_root(blk);
        g_free(blk->owner);
        g_free(blk->name);
        g_free(blk);
    }
    g_clear_pointer(&backends, g_ptr_array_unref);
    block_nodes_cleanup();
    block_requests_cleanup();
    uring_cleanup();
}

/* ---- properties ------------------------------------------------------------------------------ */

const char *blk_name(const BlockBackend *blk)
{
    return blk->name;
}

bool blk_is_inserted(const BlockBackend *blk)
{
    return blk->root != NULL;
}

bool blk_is_read_only(const BlockBackend *blk)
{
    return !blk->root || blk->root->read_only;
}

uint64_t blk_length(const BlockBackend *blk)
{
    return blk->root ? blk->root->length : 0;
}

bool blk_write_cache_enabled(const BlockBackend *blk)
{
    return blk->write_cache;
}

void blk_set_write_cache(BlockBackend *blk, bool enabled)
{
    blk->write_cache = enabled;
}

bool blk_discard_enabled(const BlockBackend *blk)
{
    return blk->root && blk->root->discard && !blk->root->read_only;
}

BlockErrorAction blk_error_action(const BlockBackend *blk, bool is_write)
{
    return is_write ? blk->on_write_error : blk->on_read_error;
}

void blk_set_error_action(BlockBackend *blk, bool is_write, BlockErrorAction action)
{
    *(is_write ? &blk->on_write_error : &blk->on_read_error) = action;
}
