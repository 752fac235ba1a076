/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: drives and what is in them.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include <inttypes.h>
#include <string.h>
#include "util/error.h"

static void print_ok(HmpSession *hmp, JsonNode *value)
{
    hmp_printf(hmp, "OK\n");
}

/* "drive_add 0 if=none,id=..": the first word was an address once; users' scripts still write one. */
static void run_drive_add(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 1, 2);
    g_autoptr(GError) err = NULL;
    g_autoptr(Options) opts = NULL;

    if (!words) {
        return;
    }
    if (!words[1] && !strchr(words[0], '=')) {
        hmp_usage(hmp, "%s expected", hmp_session_command(hmp)->args);
        return;
    }
    opts = options_parse("drive_add", words[1] ? words[1] : words[0], NULL, &err);
    if (opts) {
        hmp_qmp(hmp, "drive_add", hmp_options_to_json(opts), print_ok);
    } else {
        hmp_error(hmp, "%s", err->message);
    }
}

static void run_drive_del(HmpSession *hmp, const char *args)
{
    static const char *const members[] = { "id", NULL };

    hmp_run_words(hmp, args, members, NULL);
}

static void run_block_resize(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 2, 2);
    JsonObject *json;
    int64_t size;

    if (!words || !hmp_size(hmp, words[1], &size)) {
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "device", words[0]);
    json_object_set_int_member(json, "size", size);
    hmp_qmp(hmp, "block_resize", json, NULL);
}

static void run_eject(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 1, 2);
    JsonObject *json;
    bool force;

    if (!words) {
        return;
    }
    force = g_str_equal(words[0], "-f");
    if (force != (words[1] != NULL)) {
        hmp_usage(hmp, "%s expected", hmp_session_command(hmp)->args);
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "device", words[force]);
    json_object_set_boolean_member(json, "force", force);
    hmp_qmp(hmp, "eject", json, NULL);
}

/* ---- info block -------------------------------------------------------------------------------- */

static void print_image(HmpSession *hmp, JsonObject *inserted)
{
    JsonObject *image = hmp_json_obj(inserted, "image");
    int64_t size = hmp_json_int(image, "virtual-size");
    g_autofree char *readable = hmp_size_text((uint64_t)MAX(size, 0));

    hmp_printf(hmp, "\nImages:\nimage: %s\nfile format: %s\nvirtual size: %s (%" PRId64 " bytes)\n",
               hmp_json_str(image, "filename"), hmp_json_str(image, "format"), readable, size);
}

static const char *cache_mode(JsonObject *cache)
{
    if (hmp_json_bool(cache, "no-flush")) {
        return "unsafe";
    }
    if (hmp_json_bool(cache, "writeback")) {
        return hmp_json_bool(cache, "direct") ? "none" : "writeback";
    }
    return hmp_json_bool(cache, "direct") ? "directsync" : "writethrough";
}

static void print_medium(HmpSession *hmp, JsonObject *inserted)
{
    hmp_printf(hmp, ": %s (%s%s)\n", hmp_json_str(inserted, "file"), hmp_json_str(inserted, "drv"),
               hmp_json_bool(inserted, "ro") ? ", read-only" : "");
}

static void print_block(HmpSession *hmp, JsonObject *block, bool verbose)
{
    JsonObject *inserted = hmp_json_obj(block, "inserted");
    const char *name = hmp_json_str(block, "device");
    const char *qdev = hmp_json_str(block, "qdev");
    const char *node = hmp_json_str(inserted, "node-name");

    hmp_printf(hmp, "%s", *name ? name : qdev);
    if (*node) {
        hmp_printf(hmp, "%s(%s)", *name || *qdev ? " " : "", node);
    }
    if (inserted) {
        print_medium(hmp, inserted);
    } else {
        hmp_printf(hmp, ": [not inserted]\n");
    }
    if (*qdev) {
        hmp_printf(hmp, "    Attached to:      %s\n", qdev);
    }
    if (hmp_json_bool(block, "removable")) {
        hmp_printf(hmp, "    Removable device: %slocked, tray %s\n", hmp_json_bool(block, "locked") ? "" : "not ",
                   hmp_json_bool(block, "tray_open") ? "open" : "closed");
    }
    if (inserted) {
        hmp_printf(hmp, "    Cache mode:       %s\n", cache_mode(hmp_json_obj(inserted, "cache")));
    }
    if (inserted && verbose) {
        print_image(hmp, inserted);
    }
}

/* "[-v] [DEVICE]" */
typedef struct InfoBlockArgs {
    bool verbose;
    const char *device; /* NULL: all; of the words */
} InfoBlockArgs;

static bool parse_info_block(char *const *words, InfoBlockArgs *ret)
{
    ret->verbose = words[0] && g_str_equal(words[0], "-v");
    ret->device = words[ret->verbose];
    return !ret->device || (*ret->device != '-' && !words[ret->verbose + 1]);
}

static bool is_named(JsonObject *block, const char *name)
{
    return !name || g_str_equal(hmp_json_str(block, "device"), name) ||
           g_str_equal(hmp_json_str(block, "qdev"), name) ||
           g_str_equal(hmp_json_str(hmp_json_obj(block, "inserted"), "node-name"), name);
}

static void print_blocks(HmpSession *hmp, JsonNode *value)
{
    g_auto(GStrv) words = hmp_words(hmp, hmp_session_args(hmp), 0, 2);
    JsonArray *blocks = hmp_json_node_array(value);
    unsigned printed = 0;
    InfoBlockArgs want;

    parse_info_block(words, &want);
    for (guint i = 0; blocks && i < json_array_get_length(blocks); i++) {
        JsonObject *block = hmp_json_node_obj(json_array_get_element(blocks, i));

        if (is_named(block, want.device)) {
            hmp_printf(hmp, "%s", printed++ > 0 ? "\n" : "");
            print_block(hmp, block, want.verbose);
        }
    }
    if (want.device && printed == 0) {
        hmp_error(hmp, "Device '%s' not found", want.device);
    }
}

static void run_info_block(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 2);
    InfoBlockArgs want;

    if (!words) {
        return;
    }
    if (parse_info_block(words, &want)) {
        hmp_qmp(hmp, "query-block", NULL, print_blocks);
    } else {
        hmp_usage(hmp, "%s expected", hmp_session_command(hmp)->args);
    }
}

static void print_stats_row(HmpSession *hmp, JsonObject *row)
{
    static const char *const shown[] = {
        "rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "flush_operations", "wr_total_time_ns",
        "rd_total_time_ns", "flush_total_time_ns", "rd_merged", "wr_merged", "idle_time_ns",
    };
    JsonObject *stats = hmp_json_obj(row, "stats");
    const char *name = hmp_json_str(row, "device");

    hmp_printf(hmp, "%s:", *name ? name : hmp_json_str(row, "node-name"));
    for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
        if (stats && json_object_has_member(stats, shown[i])) {
            hmp_printf(hmp, " %s=%" PRId64, shown[i], hmp_json_int(stats, shown[i]));
        }
    }
    hmp_printf(hmp, "\n");
}

static void print_stats(HmpSession *hmp, JsonNode *value)
{
    hmp_json_foreach(hmp, hmp_json_node_array(value), print_stats_row);
}

static void run_info_blockstats(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, print_stats);
}

const HmpCommand hmp_block_commands[] = {
    { "drive_add", NULL, "[ADDRESS] if=none,id=ID[,option=value...]",
      "add a drive, as -drive does; ADDRESS means nothing", run_drive_add, .qmp = "drive_add" },
    { "drive_del", NULL, "ID", "remove a drive that no device has", run_drive_del, hmp_complete_drive,
      "drive_del" },
    { "block_resize", NULL, "DEVICE SIZE", "resize an image to SIZE (M when no suffix is given)", run_block_resize,
      hmp_complete_drive, "block_resize" },
    { "eject", NULL, "[-f] DEVICE", "take the medium out; -f: though it is locked", run_eject, hmp_complete_drive,
      "eject" },
    { "info block", NULL, "[-v] [DEVICE]", "show drives and their images; -v: with their sizes", run_info_block,
      hmp_complete_drive, "query-block" },
    { "info blockstats", NULL, "", "show the counters of drives", run_info_blockstats, .qmp = "query-blockstats" },
    { NULL },
};
