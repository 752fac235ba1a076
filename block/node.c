/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes: the table of drivers, opening a chain from options, names, references, who may use a node.
 *
 * Runs in: both.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include "block/block-int.h"
#include "trace/block.h"
#include "util/error.h"
#include "util/fd.h"

/* Sorted by name, for messages. */
static const BlockDriver *const drivers[] = {
    &block_driver_blkdebug, &block_driver_file, &block_driver_host_device, &block_driver_null_co,
    &block_driver_raw,
};

/* The options of every node; a driver's own come in addition. */
static const char *const common_keys[] = {
    "driver", "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes", "cache.direct",
    "cache.no-flush", NULL,
};

static GPtrArray *nodes;        /* all, in the order of their making, no references; NULL: none */
static GPtrArray *blockdevs;    /* the references of -blockdev, in the order of their making */
static unsigned next_anonymous; /* for made-up names */

/* ---- drivers --------------------------------------------------------------------------------- */

/* The driver of that name; the message lists all of them and says how to get there from another format. */
static const BlockDriver *find_driver(const char *option, const char *name, GError **errp)
{
    g_autoptr(GString) list = g_string_new(NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (!strcmp(drivers[i]->name, name)) {
            return drivers[i];
        }
        g_string_append_printf(list, "%s%s", i ? ", " : "", drivers[i]->name);
    }
    error_setg(errp, "%s: image format or driver '%s' is not supported; use one of: %s (qemu-img convert -O raw "
               "makes a raw image)", option, name, list->str);
    return NULL;
}

/*
 * The driver for FILENAME by what it is now.  The driver looks again at what it opened, so a change in between is
 * an error and not a risk.
 */
static const BlockDriver *driver_for_filename(const char *filename)
{
    struct stat st = { 0 };

    /* In a confined process, too, a look at what will be opened. */
    if (g_str_has_prefix(filename, "/dev/fdset/") || fd_paths_forbidden()) {
        auto_fd fd = fd_open_path(filename, O_RDONLY | O_NONBLOCK, NULL);

        if (fd >= 0 && fd_stat(fd, &st) < 0) {
            st.st_mode = 0;
        }
    } else if (stat(filename, &st) < 0) {
        st.st_mode = 0;
    }
    return S_ISBLK(st.st_mode) ? &block_driver_host_device : &block_driver_file;
}

/* Called before the driver's name is known to be right: an unknown one is found out when its node is opened. */
const char *block_driver_child_key(const char *driver_name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(drivers); i++) {
        if (!strcmp(drivers[i]->name, driver_name)) {
            return drivers[i]->child_key;
        }
    }
    return NULL;
}

/* "driver", or below -drive what the file name tells. */
static const BlockDriver *choose_driver(Options *opts, const BlockInherit *inherit, GError **errp)
{
    const char *name = options_get(opts, "driver");

    if (name) {
        return find_driver(options_name(opts), name, errp);
    }
    if (inherit && inherit->is_drive && options_has(opts, "filename")) {
        return driver_for_filename(options_get(opts, "filename"));
    }
    error_setg(errp, "%s: parameter 'driver' is missing; give it for each node (driver=raw, file.driver=file, ...)",
               options_name(opts));
    return NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Reads the options that every node has into NODE. */
static bool read_common_options(BlockNode *node, Options *opts, const BlockInherit *inherit, GError **errp)
{
    static const char *const discard_names[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detect_names[] = { "off", NULL };
    int discard = 0, detect = 0;

    if (inherit) {
        node->read_only = inherit->read_only;
        node->auto_read_only = inherit->auto_read_only;
        node->direct = inherit->direct;
        node->no_flush = inherit->no_flush;
        discard = inherit->discard ? 2 : 0;
    }
    if (!options_get_bool(opts, "read-only", &node->read_only, errp) ||
        !options_get_bool(opts, "auto-read-only", &node->auto_read_only, errp) ||
        !options_get_bool(opts, "cache.direct", &node->direct, errp) ||
        !options_get_bool(opts, "cache.no-flush", &node->no_flush, errp) ||
        !options_get_enum(opts, "discard", discard_names, &discard, errp) ||
        !options_get_enum(opts, "detect-zeroes", detect_names, &detect, errp)) {
        return false;
    }
    node->discard = discard >= 2;
    return true;
}

/* Opens or finds the child that OPTS describe: "KEY=node-name", or nested options "KEY.driver=...". */
static BlockNode *open_child(const BlockNode *node, Options *opts, const BlockInherit *inherit, GError **errp)
{
    const char *key = node->driver->child_key;
    g_autofree char *prefix = g_strconcat(key, ".", NULL);
    g_autoptr(Options) nested = options_take_prefix(opts, prefix);
    const char *name = options_get(opts, key);
    BlockInherit child_inherit = {
        .is_drive = inherit && inherit->is_drive,
        .read_only = node->read_only,
        .auto_read_only = node->auto_read_only,
        .direct = node->direct,
        .no_flush = node->no_flush,
        /* What the node above lets through, its own child shall not stop. */
        .discard = true,
    };
    bool is_nested = options_has(nested, "driver") || options_has(nested, "filename");
    BlockNode *child;

    if (name && is_nested) {
        error_setg(errp, "%s: '%s' is given both as the node '%s' and by nested options; remove one of them",
                   options_name(opts), key, name);
        return NULL;
    }
    if (is_nested) {
        return block_node_open(nested, &child_inherit, errp);
    }
    if (!name) {
        error_setg(errp, "%s: '%s' is missing for driver=%s; give the name of a block node, %s.driver=..., or for a "
                   "drive file=PATH", options_name(opts), key, node->driver->name, key);
        return NULL;
    }
    child = block_node_find(name);
    if (!child) {
        error_setg(errp, "%s: %s=%s: there is no such block node; define it before with -blockdev node-name=%s,...",
                   options_name(opts), key, name, name);
        return NULL;
    }
    return block_node_ref(child);
}

/*
 * Refuses keys that nobody read.  The message lists every key the node could have had, a drive's own keys included when
 * it is a drive's top node.
 */
static bool check_unused(const BlockNode *node, const Options *opts, const BlockInherit *inherit, GError **errp)
{
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    const char *const *lists[] = { common_keys, node->driver->keys, inherit ? inherit->drive_keys : NULL };

    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (const char *const *key = lists[i]; key && *key; key++) {
            if (!g_ptr_array_find_with_equal_func(known, *key, g_str_equal, NULL)) {
                g_ptr_array_add(known, (char *)*key);
            }
        }
    }
    g_ptr_array_add(known, NULL);
    return options_check_unused(opts, (const char *const *)known->pdata, errp);
}

/* The last step of opening, so a name never leads to a node that is half there.  Takes no reference. */
static void register_name(BlockNode *node, const char *name)
{
    node->name = name ? g_strdup(name) : g_strdup_printf("#block%u", next_anonymous++);
    if (!nodes) {
        nodes = g_ptr_array_new();
    }
    g_ptr_array_add(nodes, node);
}

/* Frees NODE, whose driver is closed or was never opened. */
static void node_free(BlockNode *node)
{
    if (node->name) {
        g_ptr_array_remove(nodes, node);
    }
    block_node_unref(node->child);
    g_free(node->state);
    g_free(node->name);
    g_free(node);
}

/* Children first: a driver's open() may look at its child's length. */
BlockNode *block_node_open(Options *opts, const BlockInherit *inherit, GError **errp)
{
    const BlockDriver *driver = choose_driver(opts, inherit, errp);
    const char *name = options_get(opts, "node-name");
    BlockNode *node;

    if (!driver || (name && !block_check_new_name(options_name(opts), "node-name", name, errp))) {
        return NULL;
    }
    node = g_new0(BlockNode, 1);
    node->driver = driver;
    node->refs = 1;
    node->state = g_malloc0(driver->state_size);
    if (!read_common_options(node, opts, inherit, errp)) {
        goto fail;
    }
    if (driver->child_key) {
        node->child = open_child(node, opts, inherit, errp);
        if (!node->child) {
            goto fail;
        }
        node->read_only |= node->child->read_only;
        node->discard &= node->child->discard;
        node->length = node->child->length;
    }
    if (!driver->open(node, opts, errp)) {
        goto fail;
    }
    if (!check_unused(node, opts, inherit, errp)) {
        if (driver->close) {
            driver->close(node);
        }
        goto fail;
    }
    register_name(node, name);
    trace_block_node_open(node->name, driver->name, node->length, node->read_only);
    return node;

fail:
    node_free(node);
    return NULL;
}

BlockNode *block_node_ref(BlockNode *node)
{
    node->refs++;
    return node;
}

void block_node_unref(BlockNode *node)
{
    if (!node || --node->refs > 0) {
        return;
    }
    trace_block_node_close(node->name);
    if (node->driver->close) {
        node->driver->close(node);
    }
    node_free(node);
}

/* There are as many as a user has made: a walk is enough. */
BlockNode *block_node_find(const char *name)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);

        if (!strcmp(node->name, name)) {
            return node;
        }
    }
    return NULL;
}

void block_node_foreach_parent(const BlockNode *child, void (*fn)(BlockNode *node, void *opaque), void *opaque)
{
    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        BlockNode *node = g_ptr_array_index(nodes, i);

        if (!child || node->child == child) {
            fn(node, opaque);
        }
    }
}

/* ---- what is told of a node ------------------------------------------------------------------ */

void block_node_fill_info(BlockNode *node, BlockImageInfo *ret_info)
{
    const BlockNode *leaf = block_node_leaf(node);

    *ret_info = (BlockImageInfo) {
        .node_name = node->name,
        .driver = node->driver->name,
        .filename = leaf->driver->filename ? leaf->driver->filename(leaf) : leaf->driver->name,
        .child = node->child ? node->child->name : NULL,
        .length = node->length,
        .allocated = leaf->driver->allocated ? leaf->driver->allocated(leaf) : 0,
        .highest_write = node->highest_write,
        .read_only = node->read_only,
        .direct = node->direct,
        .no_flush = node->no_flush,
    };
}

bool block_node_info(const char *node_name, BlockImageInfo *ret_info)
{
    BlockNode *node = block_node_find(node_name);

    if (node) {
        block_node_fill_info(node, ret_info);
    }
    return node != NULL;
}

static bool is_blockdev(const BlockNode *node)
{
    return blockdevs && g_ptr_array_find(blockdevs, node, NULL);
}

void block_foreach_node(void (*fn)(const char *node_name, void *opaque), void *opaque)
{
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; nodes && i < nodes->len; i++) {
            BlockNode *node = g_ptr_array_index(nodes, i);

            if (is_blockdev(node) == (turn == 0)) {
                fn(node->name, opaque);
            }
        }
    }
}

/* ---- who may use a node ---------------------------------------------------------------------- */

/* Whether a user that goes from access FROM to TO gets on with NODE's other users. */
static bool check_users(const BlockNode *node, BlockAccess from, BlockAccess to, GError **errp)
{
    bool other_writer = node->writer && from != BLOCK_ACCESS_WRITE;
    unsigned other_readers = node->readers - (from == BLOCK_ACCESS_READ);

    if (to == BLOCK_ACCESS_WRITE && node->read_only) {
        error_setg(errp, "block node '%s' is read-only; use a device that only reads (scsi-cd), or remove "
                   "readonly=on and make the image writable", node->name);
        return false;
    }
    if (other_writer || (other_readers && to == BLOCK_ACCESS_WRITE)) {
        error_setg(errp, "block node '%s' is in use by another %s; give each device an image of its own, or make all "
                   "of its users read-only", node->name, other_writer ? "writer" : "reader");
        return false;
    }
    return true;
}

/*
 * The child first, then the node itself: only a leaf has something that can fail then.  FROM is what the same user
 * said last, so the counters are right without a list of users.
 */
bool block_node_change_access(BlockNode *node, BlockAccess from, BlockAccess to, GError **errp)
{
    BlockAccess now;

    if (to > from && !check_users(node, from, to, errp)) {
        return false;
    }
    if (node->child) {
        /* The node is one user of its child, however many users it has itself: the strongest access counts. */
        now = MAX(to, node->readers > (from == BLOCK_ACCESS_READ) ? BLOCK_ACCESS_READ : BLOCK_ACCESS_NONE);
        if (!block_node_change_access(node->child, node->child_access, now, errp)) {
            return false;
        }
        node->child_access = now;
    }
    node->readers += (to == BLOCK_ACCESS_READ) - (from == BLOCK_ACCESS_READ);
    node->writer = to == BLOCK_ACCESS_WRITE || (node->writer && from != BLOCK_ACCESS_WRITE);
    now = node->writer ? BLOCK_ACCESS_WRITE : node->readers ? BLOCK_ACCESS_READ : BLOCK_ACCESS_NONE;
    if (node->driver->set_access && !node->driver->set_access(node, now, errp)) {
        /* Only a leaf has locks, so no child has to be told. */
        node->readers -= (to == BLOCK_ACCESS_READ) - (from == BLOCK_ACCESS_READ);
        node->writer = from == BLOCK_ACCESS_WRITE;
        return false;
    }
    return true;
}

/* ---- -blockdev ------------------------------------------------------------------------------- */

bool blockdev_add(Options *opts, GError **errp)
{
    BlockNode *node;

    if (!options_has(opts, "node-name")) {
        error_setg(errp, "%s: parameter 'node-name' is missing; give the node a name to be used by",
                   options_name(opts));
        return false;
    }
    node = block_node_open(opts, NULL, errp);
    if (!node) {
        return false;
    }
    if (!blockdevs) {
        blockdevs = g_ptr_array_new();
    }
    g_ptr_array_add(blockdevs, node);
    return true;
}

/* For block_node_foreach_parent(): any name will do. */
static void take_name(BlockNode *node, void *opaque)
{
    *(const char **)opaque = node->name;
}

/* Tells who keeps NODE. */
static void explain_use(const BlockNode *node, GError **errp)
{
    GPtrArray *backends = block_backends();
    const char *parent = NULL;

    for (unsigned i = 0; backends && i < backends->len; i++) {
        const BlockBackend *blk = g_ptr_array_index(backends, i);

        if (blk->root == node && !blk->leaving) {
            error_setg(errp, "block node '%s' is in use by device '%s'; remove the device first", node->name,
                       blk_device(blk) ? blk_device(blk) : blk->name);
            return;
        }
    }
    block_node_foreach_parent(node, take_name, &parent);
    if (parent) {
        error_setg(errp, "block node '%s' is in use by block node '%s'; remove that first", node->name, parent);
    } else {
        error_setg(errp, "block node '%s' is in use by a request that is under way; try again", node->name);
    }
}

bool blockdev_del(const char *node_name, GError **errp)
{
    BlockNode *node = block_node_find(node_name);

    if (!node) {
        error_setg(errp, "Failed to find node with node-name='%s'", node_name);
        return false;
    }
    if (!is_blockdev(node)) {
        error_setg(errp, "block node '%s' was not made by blockdev-add; remove the drive or the node that it belongs "
                   "to", node_name);
        return false;
    }
    block_backends_forget(node);
    if (node->refs > 1) {
        explain_use(node, errp);
        return false;
    }
    g_ptr_array_remove(blockdevs, node);
    block_node_unref(node);
    return true;
}

void block_nodes_cleanup(void)
{
    /* The last first: later nodes stand on earlier ones. */
    while (blockdevs && blockdevs->len) {
        block_node_unref(g_ptr_array_steal_index(blockdevs, blockdevs->len - 1));
    }
    g_clear_pointer(&blockdevs, g_ptr_array_unref);
    g_clear_pointer(&nodes, g_ptr_array_unref);
}
