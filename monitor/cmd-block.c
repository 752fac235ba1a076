/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about block devices: query-block, query-blockstats, blockdev-add, blockdev-del, drive_add, drive_del,
 * block_resize, eject.
 *
 * Runs in: both.
 *
 * The shapes are QEMU's; members for what this block layer does not have (limits, merging, backing files) hold what
 * QEMU says where it is not in use.
 */
#include "block/block.h"
#include "monitor/commands.h"
#include "monitor/commands-int.h"
#include "util/error.h"
#include "util/event-loop.h"

/* The string member NAME, or NULL when it is not there. */
static const char *get_text(JsonObject *args, const char *name)
{
    return json_object_get_string_member_with_default(args, name, NULL);
}

/* ---- query-block ----------------------------------------------------------------------------- */

static JsonObject *image_object(const BlockImageInfo *info)
{
    JsonObject *image = json_object_new();

    json_object_set_string_member(image, "filename", info->filename);
    json_object_set_string_member(image, "format", info->driver);
    json_object_set_int_member(image, "virtual-size", (gint64)info->length);
    json_object_set_int_member(image, "actual-size", (gint64)info->allocated);
    return image;
}

static JsonObject *cache_object(const BlockBackend *blk, const BlockImageInfo *info)
{
    JsonObject *cache = json_object_new();

    json_object_set_boolean_member(cache, "writeback", blk_write_cache_enabled(blk));
    json_object_set_boolean_member(cache, "direct", info->direct);
    json_object_set_boolean_member(cache, "no-flush", info->no_flush);
    return cache;
}

static JsonObject *inserted_object(const BlockBackend *blk, const BlockImageInfo *info)
{
    static const char *const unused[] = {
        "backing_file_depth", "bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr", "write_threshold",
    };
    JsonObject *inserted = json_object_new();

    json_object_set_string_member(inserted, "file", info->filename);
    json_object_set_string_member(inserted, "node-name", info->node_name);
    json_object_set_string_member(inserted, "drv", info->driver);
    json_object_set_boolean_member(inserted, "ro", info->read_only);
    json_object_set_boolean_member(inserted, "encrypted", FALSE);
    json_object_set_string_member(inserted, "detect_zeroes", "off");
    json_object_set_object_member(inserted, "image", image_object(info));
    json_object_set_object_member(inserted, "cache", cache_object(blk, info));
    for (unsigned i = 0; i < G_N_ELEMENTS(unused); i++) {
        json_object_set_int_member(inserted, unused[i], 0);
    }
    return inserted;
}

static void add_backend(BlockBackend *blk, void *opaque)
{
    static const char *const status_names[] = {
        [BLOCK_IO_OK] = "ok", [BLOCK_IO_FAILED] = "failed", [BLOCK_IO_NOSPACE] = "nospace",
    };
    JsonObject *element = json_object_new();
    BlockImageInfo info;
    BlockIoStatus status;
    bool open;

    json_object_set_string_member(element, "device", blk_drive_id(blk));
    if (blk_device(blk)) {
        json_object_set_string_member(element, "qdev", blk_device(blk));
    }
    json_object_set_string_member(element, "type", "unknown");
    json_object_set_boolean_member(element, "removable", blk_is_removable(blk));
    json_object_set_boolean_member(element, "locked", blk_is_locked(blk));
    if (blk_image_info(blk, &info)) {
        json_object_set_object_member(element, "inserted", inserted_object(blk, &info));
    }
    if (blk_tray(blk, &open)) {
        json_object_set_boolean_member(element, "tray_open", open);
    }
    if (blk_io_status(blk, &status)) {
        json_object_set_string_member(element, "io-status", status_names[status]);
    }
    json_array_add_object_element(opaque, element);
}

static bool query_block(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *array = json_array_new();

    block_foreach_backend(add_backend, array);
    *ret_value = node_take_array(array);
    return true;
}

/* ---- query-blockstats ------------------------------------------------------------------------ */

/* Members of one kind of requests: "rd_operations" and so on. */
static void add_counters(JsonObject *object, const BlockStats *stats, unsigned type)
{
    static const char *const names[] = {
        [BLOCK_STATS_READ] = "rd", [BLOCK_STATS_WRITE] = "wr", [BLOCK_STATS_FLUSH] = "flush",
        [BLOCK_STATS_UNMAP] = "unmap",
    };
    const struct {
        const char *format;
        uint64_t value;
        bool moves_data; /* flushes do not have it */
    } members[] = {
        { "%s_operations", stats->type[type].operations, false },
        { "%s_total_time_ns", stats->type[type].time_ns, false },
        { "failed_%s_operations", stats->type[type].failed, false },
        { "invalid_%s_operations", stats->type[type].invalid, false },
        { "%s_bytes", stats->type[type].bytes, true },
        { "%s_merged", 0, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        char name[32];

        if (type != BLOCK_STATS_FLUSH || !members[i].moves_data) {
            g_snprintf(name, sizeof(name), members[i].format, names[type]);
            json_object_set_int_member(object, name, (gint64)members[i].value);
        }
    }
}

/* OWN: they are a backend's, who counts; a node knows only how far it was written. */
static JsonObject *stats_object(const BlockStats *stats, bool own)
{
    JsonObject *object = json_object_new();

    for (unsigned type = 0; type < G_N_ELEMENTS(stats->type); type++) {
        add_counters(object, stats, type);
    }
    json_object_set_int_member(object, "wr_highest_offset", (gint64)stats->highest_write);
    if (stats->last_ns) {
        json_object_set_int_member(object, "idle_time_ns", event_clock_ns(EVENT_CLOCK_REAL) - stats->last_ns);
    }
    json_object_set_boolean_member(object, "account_invalid", own);
    json_object_set_boolean_member(object, "account_failed", own);
    json_object_set_array_member(object, "timed_stats", json_array_new());
    return object;
}

/* NODE_NAME with the nodes below as its "parent", and so on, as QEMU calls it. */
static JsonObject *node_stats(const char *node_name)
{
    JsonObject *element = json_object_new();
    BlockStats stats = { 0 };
    BlockImageInfo info;

    if (block_node_info(node_name, &info)) {
        stats.highest_write = info.highest_write;
        if (info.child) {
            json_object_set_object_member(element, "parent", node_stats(info.child));
        }
    }
    json_object_set_string_member(element, "node-name", node_name);
    json_object_set_object_member(element, "stats", stats_object(&stats, false));
    return element;
}

static void add_node_stats(const char *node_name, void *opaque)
{
    json_array_add_object_element(opaque, node_stats(node_name));
}

static void add_backend_stats(BlockBackend *blk, void *opaque)
{
    JsonObject *element = json_object_new();
    BlockImageInfo info;
    BlockStats stats;

    json_object_set_string_member(element, "device", blk_drive_id(blk));
    if (blk_device(blk)) {
        json_object_set_string_member(element, "qdev", blk_device(blk));
    }
    if (blk_image_info(blk, &info)) {
        json_object_set_string_member(element, "node-name", info.node_name);
        if (info.child) {
            json_object_set_object_member(element, "parent", node_stats(info.child));
        }
    }
    blk_stats(blk, &stats);
    json_object_set_object_member(element, "stats", stats_object(&stats, true));
    json_array_add_object_element(opaque, element);
}

static bool query_blockstats(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *array = json_array_new();

    if (json_object_get_boolean_member_with_default(args, "query-nodes", FALSE)) {
        block_foreach_node(add_node_stats, array);
    } else {
        block_foreach_backend(add_backend_stats, array);
    }
    *ret_value = node_take_array(array);
    return true;
}

/* ---- making and removing --------------------------------------------------------------------- */

static bool run_blockdev_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    g_autoptr(Options) opts = options_from_json("blockdev-add", args, errp);

    return opts && blockdev_add(opts, errp);
}

static bool run_blockdev_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return blockdev_del(get_text(args, "node-name"), errp);
}

static bool run_drive_add(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    g_autoptr(Options) opts = options_from_json("drive_add", args, errp);

    return opts && drive_add(opts, errp);
}

static bool run_drive_del(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    return drive_del(get_text(args, "id"), errp);
}

/* ---- block_resize, eject --------------------------------------------------------------------- */

/* The node that the arguments of block_resize mean: DEVICE is looked for first, as in QEMU.  Both may be NULL. */
static const char *find_node(const char *device, const char *node_name, GError **errp)
{
    BlockBackend *blk = device ? blk_find(device) : NULL;
    BlockImageInfo info;

    if (blk) {
        if (blk_image_info(blk, &info)) {
            return info.node_name;
        }
        error_setg(errp, "Device '%s' has no medium", device);
        return NULL;
    }
    if (node_name && block_node_info(node_name, &info)) {
        return node_name;
    }
    error_setg(errp, "Cannot find device='%s' nor node-name='%s'", device ? device : "", node_name ? node_name : "");
    return NULL;
}

static bool run_block_resize(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    gint64 size = json_object_get_int_member(args, "size");
    const char *node_name = find_node(get_text(args, "device"), get_text(args, "node-name"), errp);

    if (!node_name) {
        return false;
    }
    if (size < 0) {
        error_setg(errp, "Parameter 'size' expects a >0 size");
        return false;
    }
    return block_resize(node_name, (uint64_t)size, errp);
}

static bool run_eject(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const char *device = get_text(args, "device"), *id = get_text(args, "id");
    BlockBackend *blk;

    if (!device == !id) {
        error_setg(errp, "Need exactly one of 'device' and 'id'");
        return false;
    }
    blk = device ? blk_find(device) : blk_of_device(id);
    if (!blk) {
        error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "Device '%s' not found", device ? device : id);
        return false;
    }
    return block_eject(blk, json_object_get_boolean_member_with_default(args, "force", FALSE), errp);
}

void qmp_register_block(void)
{
    static const QmpCommandImpl table[] = {
        { "query-block", query_block },
        { "query-blockstats", query_blockstats },
        { "blockdev-add", run_blockdev_add },
        { "blockdev-del", run_blockdev_del },
        { "drive_add", run_drive_add },
        { "drive_del", run_drive_del },
        { "block_resize", run_block_resize },
        { "eject", run_eject },
        { NULL },
    };

    qmp_register(table);
}
