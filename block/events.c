/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events about backends: BLOCK_IO_ERROR, DEVICE_TRAY_MOVED.
 *
 * Runs in: both.
 *
 * A guest causes them, and shall not flood a monitor with them: of each backend one of a kind is told a second.  What
 * comes sooner replaces what waits for its second to be over.  The first error that stops the machine is told at once,
 * whatever was told before: it is why the machine stands.
 */
#include <errno.h>
#include "block/block-int.h"
#include "qapi/qapi.h"
#include "util/error.h"

#define INTERVAL_NS (1000ll * 1000 * 1000)

/* When the next event of a kind may be told; TOLD_NS: the last one, 0: never. */
static int64_t due_ns(int64_t told_ns)
{
    return told_ns ? told_ns + INTERVAL_NS : 0;
}

static void tell_error(BlockBackend *blk)
{
    blk->news.error_ns = event_clock_ns(EVENT_CLOCK_REAL);
    qapi_event_emit("BLOCK_IO_ERROR", g_steal_pointer(&blk->news.error));
}

static void tell_tray(BlockBackend *blk)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "device", blk_drive_id(blk));
    json_object_set_string_member(data, "id", blk->owner ? blk->owner : "");
    json_object_set_boolean_member(data, "tray-open", blk->tray_open);
    blk->news.tray_told = blk->tray_open;
    blk->news.tray_ns = event_clock_ns(EVENT_CLOCK_REAL);
    qapi_event_emit("DEVICE_TRAY_MOVED", data);
}

static bool tray_waits(const BlockBackend *blk)
{
    return blk->tray_open != blk->news.tray_told;
}

/* Tells what is due, and comes back for the rest. */
static void tell_news(void *opaque)
{
    BlockBackend *blk = opaque;
    BlockNews *news = &blk->news;
    int64_t now = event_clock_ns(EVENT_CLOCK_REAL), next = INT64_MAX;

    if (news->error && due_ns(news->error_ns) <= now) {
        tell_error(blk);
    }
    if (tray_waits(blk) && due_ns(news->tray_ns) <= now) {
        tell_tray(blk);
    }
    if (news->error) {
        next = due_ns(news->error_ns);
    }
    if (tray_waits(blk)) {
        next = MIN(next, due_ns(news->tray_ns));
    }
    if (next == INT64_MAX) {
        return;
    }
    if (!news->timer) {
        news->timer = event_timer_new(event_loop_main(), EVENT_CLOCK_REAL, tell_news, blk);
    }
    event_timer_arm(news->timer, next);
}

void block_news_flush(BlockBackend *blk)
{
    BlockNews *news = &blk->news;

    if (news->error) {
        tell_error(blk);
    }
    g_clear_pointer(&news->timer, event_timer_free);
    g_clear_pointer(&news->bh, event_bh_free);
    *news = (BlockNews) { 0 };
}

/* The guest's command may run on a vCPU's thread; monitors belong to the main loop's. */
void blk_tray_moved(BlockBackend *blk, bool open)
{
    blk->tray_open = open;
    if (!blk->news.bh) {
        blk->news.bh = event_bh_new(event_loop_main(), tell_news, blk);
    }
    event_bh_schedule(blk->news.bh);
}

void blk_report_error(BlockBackend *blk, bool is_write, int error, BlockErrorAction action)
{
    static const char *const action_names[] = {
        [BLOCK_ERROR_REPORT] = "report", [BLOCK_ERROR_IGNORE] = "ignore", [BLOCK_ERROR_STOP] = "stop",
        [BLOCK_ERROR_ENOSPC] = "report", /* a policy, no action */
    };
    bool stops = action == BLOCK_ERROR_STOP && blk->io_status == BLOCK_IO_OK;
    JsonObject *data = json_object_new();

    if (stops) {
        blk->io_status = error == ENOSPC ? BLOCK_IO_NOSPACE : BLOCK_IO_FAILED;
    }
    json_object_set_string_member(data, "device", blk_drive_id(blk));
    if (blk->root) {
        json_object_set_string_member(data, "node-name", blk->root->name);
    }
    json_object_set_string_member(data, "operation", is_write ? "write" : "read");
    json_object_set_string_member(data, "action", action_names[action]);
    json_object_set_boolean_member(data, "nospace", error == ENOSPC);
    json_object_set_string_member(data, "reason", errno_text(error));
    g_clear_pointer(&blk->news.error, json_object_unref);
    blk->news.error = data;
    if (stops) {
        tell_error(blk);
    } else {
        tell_news(blk);
    }
}

void blk_reset_io_status(BlockBackend *blk)
{
    blk->io_status = BLOCK_IO_OK;
}
