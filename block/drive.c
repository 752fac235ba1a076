/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option -drive: its own keys, and from the rest the options of a chain of nodes.
 *
 * Runs in: both.
 *
 * Theory of operation.  "-drive id=d0,file=PATH,format=raw" is short for a "raw" node on a "file" node and a backend
 * "d0" on top.  The drive's own keys are read here; "file" becomes "file.filename"; all other keys are copied to the
 * top node's options, so "file.locking=off" or "file.driver=blkdebug" need no code here.
 */
#include <string.h>
#include "block/block-int.h"
#include "util/error.h"

/* Keys that are not passed to the top node.  The last two are there for messages only. */
static const char *const drive_keys[] = {
    "id", "file", "format", "if", "media", "readonly", "cache", "cache.writeback", "aio", "werror", "rerror",
    "snapshot", "file.filename", "file.locking", NULL,
};
#define DRIVE_KEYS_COUNT (G_N_ELEMENTS(drive_keys) - 3)

/* Keys of nodes that an empty drive may have too. */
static const char *const harmless_keys[] = {
    "node-name", "read-only", "auto-read-only", "discard", "detect-zeroes", "cache.direct", "cache.no-flush", NULL,
};

typedef struct CacheMode {
    bool write_cache, direct, no_flush;
} CacheMode;

static const char *const cache_names[] = { "writeback", "none", "unsafe", "writethrough", "directsync", NULL };
static const CacheMode cache_modes[] = {
    { .write_cache = true },
    { .write_cache = true, .direct = true },
    { .write_cache = true, .no_flush = true },
    { .write_cache = false },
    { .write_cache = false, .direct = true },
};

/* What the drive's own keys say. */
typedef struct DriveConfig {
    const char *id;
    const char *file;   /* path; NULL: none */
    const char *driver; /* of the top node; NULL: not said */
    CacheMode cache;
    bool read_only;
    int on_read_error, on_write_error;
} DriveConfig;

/* Keys that ask for something that if=none or this program does not have. */
static bool check_refused_keys(Options *opts, GError **errp)
{
    static const char *const if_names[] = { "none", NULL };
    static const char *const placement[] = { "index", "bus", "unit", "addr" };
    bool snapshot = false;
    int ignored;

    if (!options_get_enum(opts, "if", if_names, &ignored, errp) ||
        !options_get_bool(opts, "snapshot", &snapshot, errp)) {
        return false;
    }
    if (snapshot) {
        error_setg(errp, "%s: snapshot=on is not supported; work on a copy of the image", options_name(opts));
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(placement); i++) {
        if (options_has(opts, placement[i])) {
            error_setg(errp, "%s: '%s' does not go with if=none; say where the disk sits at its device (-device "
                       "scsi-hd,drive=ID,bus=...,scsi-id=...)", options_name(opts), placement[i]);
            return false;
        }
    }
    return true;
}

/* Of two spellings of one option at most one may be there.  Returns that one's value in *ret, or leaves NULL. */
static bool get_alias(Options *opts, const char *key, const char *alias, const char **ret, GError **errp)
{
    const char *value = options_get(opts, key);
    const char *other = options_get(opts, alias);

    if (value && other) {
        error_setg(errp, "%s: '%s' and '%s' mean the same; give one of them", options_name(opts), key, alias);
        return false;
    }
    *ret = value ? value : other;
    return true;
}

/* Reads the drive's own keys.  The strings in *config belong to OPTS. */
static bool read_config(DriveConfig *config, Options *opts, GError **errp)
{
    /* The engine is io_uring for all of them: they differ in speed in QEMU, not in meaning. */
    static const char *const aio_names[] = { "io_uring", "threads", "native", NULL };
    static const char *const media_names[] = { "disk", "cdrom", NULL };
    /* In the order of BlockErrorAction. */
    static const char *const action_names[] = { "report", "ignore", "stop", "enospc", NULL };
    static const char *const read_action_names[] = { "report", "ignore", "stop", NULL };
    const char *file, *read_only;
    int cache = 0, media = 0, aio;

    *config = (DriveConfig) {
        .on_read_error = BLOCK_ERROR_REPORT,
        .on_write_error = BLOCK_ERROR_ENOSPC,
    };
    if (!check_refused_keys(opts, errp) ||
        !get_alias(opts, "format", "driver", &config->driver, errp) ||
        !get_alias(opts, "readonly", "read-only", &read_only, errp) ||
        !options_get_bool(opts, "readonly", &config->read_only, errp) ||
        !options_get_bool(opts, "read-only", &config->read_only, errp) ||
        !options_get_enum(opts, "media", media_names, &media, errp) ||
        !options_get_enum(opts, "aio", aio_names, &aio, errp) ||
        !options_get_enum(opts, "werror", action_names, &config->on_write_error, errp) ||
        !options_get_enum(opts, "rerror", read_action_names, &config->on_read_error, errp) ||
        !options_get_enum(opts, "cache", cache_names, &cache, errp)) {
        return false;
    }
    config->cache = cache_modes[cache];
    if (!options_get_bool(opts, "cache.writeback", &config->cache.write_cache, errp)) {
        return false;
    }
    config->read_only |= media == 1;
    config->id = options_get(opts, "id");
    file = options_get(opts, "file");
    config->file = file && file[0] ? file : NULL;
    return true;
}

static bool is_listed(const char *key, const char *const *list, unsigned count)
{
    for (unsigned i = 0; i < count && list[i]; i++) {
        if (!strcmp(key, list[i])) {
            return true;
        }
    }
    return false;
}

typedef struct CopyContext {
    Options *to;
    bool has_image; /* a key was copied that means a medium */
} CopyContext;

/* For options_foreach(): marks each key as used; unknown ones are then found by the node that gets them. */
static bool copy_node_key(const char *key, const char *value, void *opaque, GError **errp)
{
    CopyContext *context = opaque;

    if (!is_listed(key, drive_keys, DRIVE_KEYS_COUNT)) {
        options_set(context->to, key, value);
        context->has_image |= !is_listed(key, harmless_keys, G_N_ELEMENTS(harmless_keys));
    }
    return true;
}

/*
 * Adds what file=NAME means to the top node's options: a path, or one of two pseudo-protocols.  A path with a colon
 * before its first slash looks like a protocol to QEMU, and so it does to us.
 */
static bool set_file(Options *node_opts, const DriveConfig *config, GError **errp)
{
    const char *option = options_name(node_opts);
    const char *child = block_driver_child_key(config->driver ? config->driver : "raw");
    g_autofree char *prefix = child ? g_strconcat(child, ".", NULL) : g_strdup("");
    g_autofree char *filename_key = g_strconcat(prefix, "filename", NULL);
    g_autofree char *driver_key = g_strconcat(prefix, "driver", NULL);
    const char *file = config->file;
    size_t protocol = strcspn(file, ":/");

    if (options_has(node_opts, filename_key)) {
        error_setg(errp, "%s: file=%s and %s mean the same; give one of them", option, file, filename_key);
        return false;
    }
    if (!strcmp(file, "null-co://")) {
        options_set(node_opts, driver_key, "null-co");
        return true;
    }
    if (g_str_has_prefix(file, "file:")) {
        file += strlen("file:");
    } else if (file[protocol] == ':') {
        error_setg(errp, "%s: file=%s: unknown protocol '%.*s'; use a local file or block device (./NAME for a name "
                   "with a colon)", option, file, (int)protocol, file);
        return false;
    }
    options_set(node_opts, filename_key, file);
    return true;
}

/* The chain of nodes that OPTS describe; NULL without *errp: an empty drive. */
static BlockNode *open_chain(Options *opts, const DriveConfig *config, GError **errp)
{
    g_autoptr(Options) node_opts = options_new(options_name(opts));
    CopyContext context = { .to = node_opts };
    BlockInherit inherit = {
        .is_drive = true,
        .drive_keys = drive_keys,
        .read_only = config->read_only,
        .direct = config->cache.direct,
        .no_flush = config->cache.no_flush,
    };
    const char *format;
    BlockNode *node;

    options_foreach(opts, copy_node_key, &context, NULL);
    if (!config->file && !config->driver && !context.has_image) {
        return NULL;
    }
    if (config->file && !set_file(node_opts, config, errp)) {
        return NULL;
    }
    options_set(node_opts, "driver", config->driver ? config->driver : "raw");
    node = block_node_open(node_opts, &inherit, errp);
    /* What the user said is taken as it is; only a guess is checked. */
    if (!node || config->driver) {
        return node;
    }
    format = block_probe_format(node);
    if (format) {
        error_setg(errp, "%s: the image %s is in format %s, which is not supported; convert it with qemu-img convert "
                   "-O raw, or give format=raw to let the guest see its bytes as they are", options_name(opts),
                   config->file ? config->file : "", format);
        block_node_unref(node);
        return NULL;
    }
    return node;
}

BlockBackend *drive_add(Options *opts, GError **errp)
{
    static unsigned next_anonymous;
    g_autofree char *made_up = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) root = NULL;
    DriveConfig config;
    BlockBackend *blk;

    if (!read_config(&config, opts, errp)) {
        return NULL;
    }
    if (!config.id) {
        made_up = g_strdup_printf("none%u", next_anonymous++);
        config.id = made_up;
    }
    if (!block_check_new_name(options_name(opts), "id", config.id, errp)) {
        return NULL;
    }
    /* An empty drive is NULL without an error, hence the error variable of our own. */
    root = open_chain(opts, &config, &err);
    if (err) {
        g_propagate_error(errp, g_steal_pointer(&err));
        return NULL;
    }
    blk = block_backend_new(config.id, root, BLOCK_ACCESS_READ, errp);
    if (blk) {
        g_steal_pointer(&root);
        blk->is_drive = true;
        blk->write_cache = config.cache.write_cache;
        blk->on_read_error = config.on_read_error;
        blk->on_write_error = config.on_write_error;
    }
    return blk;
}
