/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backends: names, attachment to devices, properties, the medium.
 *
 * Runs in: both.
 *
 * A drive's backend lives until drive_del(): devices may come and go.  One for a node-name lives as long as a device
 * has it; what is left of a device that took none (its start failed) is used for the next one or goes with the node.
 * Requests are in request.c.
 *
 * A device may leave its backend while requests of it are in the host's hands.  Such a backend is "leaving": nobody can
 * have it, and the image stays open and locked, until the last of them has ended.  drive_del() of it takes the name at
 * once; what is left is then as a backend for a node-name.
 */
#include <string.h>
#include "block/file-int.h"
#include "trace/block.h"
#include "util/error.h"

static GPtrArray *backends; /* of BlockBackend, in the order of their making; NULL before the first */

GPtrArray *block_backends(void)
{
    return backends;
}

/* A handful of drives: a walk is enough. */
static BlockBackend *find_drive(const char *name)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (blk->is_drive && !strcmp(blk->name, name)) {
            return blk;
        }
    }
    return NULL;
}

/* The backend made for NODE, or NULL.  One whose medium was ejected stands for no node any more. */
static BlockBackend *find_for_node(const BlockNode *node)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (!blk->is_drive && blk->root == node) {
            return blk;
        }
    }
    return NULL;
}

BlockBackend *blk_of_device(const char *name)
{
    for (unsigned i = 0; backends && i < backends->len; i++) {
        BlockBackend *blk = g_ptr_array_index(backends, i);

        if (blk->owner && (!strcmp(blk->owner, name) || !g_strcmp0(blk->device_path, name))) {
            return blk;
        }
    }
    return NULL;
}

BlockBackend *blk_find(const char *name)
{
    BlockBackend *blk = find_drive(name);

    return blk ? blk : blk_of_device(name);
}

void block_foreach_backend(void (*fn)(BlockBackend *blk, void *opaque), void *opaque)
{
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; backends && i < backends->len; i++) {
            BlockBackend *blk = g_ptr_array_index(backends, i);

            if (turn == 0 ? blk->is_drive : !blk->is_drive && blk->owner) {
                fn(blk, opaque);
            }
        }
    }
}

/* Drives and nodes share one name space, as in QEMU: drive=NAME of a device may mean either. */
bool block_check_new_name(const char *option, const char *key, const char *name, GError **errp)
{
    if (!id_wellformed(name)) {
        error_setg(errp, "%s: %s=%s is not a valid name; use a letter, then letters, digits, '-', '.' and '_'",
                   option, key, name);
        return false;
    }
    if (find_drive(name) || block_node_find(name)) {
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
    BlockBackend *blk = find_drive(name);
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
    blk = find_for_node(node);
    return blk ? blk : block_backend_new(name, block_node_ref(node), BLOCK_ACCESS_NONE, errp);
}

static void drop_root(BlockBackend *blk);

/* No request of BLK is left. */
static void backend_free(BlockBackend *blk)
{
    block_news_flush(blk);
    drop_root(blk);
    g_free(blk->owner);
    g_free(blk->device_path);
    g_free(blk->name);
    g_free(blk);
}

void block_backends_forget(const BlockNode *node)
{
    BlockBackend *blk = find_for_node(node);

    if (blk && !blk->owner && !blk->leaving) {
        g_ptr_array_remove(backends, blk);
        backend_free(blk);
    }
}

bool drive_del(const char *name, GError **errp)
{
    BlockBackend *blk = find_drive(name);

    if (!blk) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found", name);
        return false;
    }
    if (blk->owner) {
        error_setg(errp, "drive '%s' is in use by device '%s'; remove the device first", name, blk->owner);
        return false;
    }
    if (blk->in_flight && !blk->leaving) {
        error_setg(errp, "drive '%s' has a request under way; try again", name);
        return false;
    }
    if (blk->root) {
        block_backends_forget(blk->root);
        if (blk->root->refs > 1 + blk->in_flight) {
            error_setg(errp, "drive '%s': its block node '%s' is in use by others; remove these first", name,
                       blk->root->name);
            return false;
        }
    }
    blk->is_drive = false;
    if (!blk->leaving) {
        block_backend_left(blk);
    }
    return true;
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
    if (blk->leaving) {
        error_setg(errp, "drive '%s' still has requests of a removed device under way; try again when they have ended",
                   blk->name);
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

/* Dropping access cannot fail; a drive's node stays open for the next device. */
void block_backend_left(BlockBackend *blk)
{
    blk->leaving = false;
    if (!blk->is_drive) {
        g_ptr_array_remove(backends, blk);
        backend_free(blk);
    } else if (blk->root) {
        block_node_change_access(blk->root, blk->access, blk->idle, NULL);
        blk->access = blk->idle;
    }
}

void blk_detach(BlockBackend *blk)
{
    trace_block_detach(blk->name, blk->in_flight);
    block_news_flush(blk);
    g_free(blk->owner);
    blk->owner = NULL;
    g_clear_pointer(&blk->device_path, g_free);
    blk->medium_locked = false;
    blk->changed = NULL;
    blk->tray = NULL;
    blk->tray_open = false;
    blk->io_status = BLOCK_IO_OK;
    if (blk->in_flight) {
        blk->leaving = true;
    } else {
        block_backend_left(blk);
    }
}

void blk_set_device_path(BlockBackend *blk, const char *path)
{
    g_free(blk->device_path);
    blk->device_path = g_strdup(path);
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

static void take_medium(BlockBackend *blk)
{
    if (blk->root) {
        trace_block_eject(blk->name);
        drop_root(blk);
        if (blk->changed) {
            blk->changed(blk->changed_opaque);
        }
    }
}

void blk_eject(BlockBackend *blk)
{
    if (!blk->medium_locked) {
        take_medium(blk);
    }
}

/* A guest that opens the tray itself keeps the medium on it; the user takes it away. */
bool block_eject(BlockBackend *blk, bool force, GError **errp)
{
    const char *name = blk->is_drive ? blk->name : blk->owner;

    if (blk->owner && !blk->tray) {
        error_setg(errp, "Device '%s' is not removable", name);
        return false;
    }
    if (blk->medium_locked && !blk->tray_open && !force) {
        blk->tray->request(blk->tray_opaque);
        error_setg(errp, "Device '%s' is locked and force was not specified, wait for tray to open and try again",
                   name);
        return false;
    }
    if (blk->tray && !blk->tray_open) {
        blk->tray->open(blk->tray_opaque);
    }
    take_medium(blk);
    return true;
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
const char *block_cleanup(void)
{
    int64_t deadline = event_clock_ns(EVENT_CLOCK_REAL) + BLOCK_CLEANUP_LIMIT_NS;

    while (backends && backends->len) {
        BlockBackend *blk = g_ptr_array_index(backends, 0);

        blk->leaving = false; /* freed here, not by its last request */
        if (!blk_drain(blk, MAX(0, deadline - event_clock_ns(EVENT_CLOCK_REAL)))) {
            return blk->name;
        }
        g_ptr_array_remove_index(backends, 0);
        backend_free(blk);
    }
    g_clear_pointer(&backends, g_ptr_array_unref);
    block_nodes_cleanup();
    if (!file_wait_closed(deadline)) {
        return "an image that is being closed";
    }
    block_requests_cleanup();
    uring_cleanup();
    return NULL;
}

/* ---- what is told of a backend ---------------------------------------------------------------- */

void blk_stats(const BlockBackend *blk, BlockStats *ret_stats)
{
    *ret_stats = blk->stats;
}

bool blk_image_info(const BlockBackend *blk, BlockImageInfo *ret_info)
{
    if (blk->root) {
        block_node_fill_info(blk->root, ret_info);
    }
    return blk->root != NULL;
}

const char *blk_device(const BlockBackend *blk)
{
    return blk->owner;
}

const char *blk_drive_id(const BlockBackend *blk)
{
    return blk->is_drive ? blk->name : "";
}

bool blk_is_locked(const BlockBackend *blk)
{
    return blk->medium_locked;
}

bool blk_is_removable(const BlockBackend *blk)
{
    return !blk->owner || blk->tray;
}

bool blk_tray(const BlockBackend *blk, bool *ret_open)
{
    *ret_open = blk->tray_open;
    return blk->tray != NULL;
}

void blk_set_tray(BlockBackend *blk, const BlockTrayOps *ops, void *opaque, bool open)
{
    blk->tray_open = blk->news.tray_told = open;
    blk->tray = ops;
    blk->tray_opaque = opaque;
}

static bool may_stop(BlockErrorAction action)
{
    return action == BLOCK_ERROR_STOP || action == BLOCK_ERROR_ENOSPC;
}

bool blk_io_status(const BlockBackend *blk, BlockIoStatus *ret_status)
{
    *ret_status = blk->io_status;
    return blk->owner && (may_stop(blk->on_read_error) || may_stop(blk->on_write_error));
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
