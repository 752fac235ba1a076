/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: monitor sessions, QMP and HMP, against any client.
 * Runs in: fuzz target
 *
 * The first byte chooses (CHOOSE_*); the rest is what the client says, in pieces that NUL bytes end.  After a piece the
 * event loop turns, commands that take time (rdevice_del, query-remote) end, and the client reads, if it does at all.
 * The commands are those of a device process; paths open /dev/null, and there is no controller.  Checked, besides what
 * the sanitizers see: QMP's output is JSON objects, one a line; a session reads again once its client has read, and is
 * over when its client has gone; output is bounded.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "block/block.h"
#include "fuzz-stream.h"
#include "hw/scsi/scsi.h"
#include "monitor/commands.h"
#include "monitor/options.h"
#include "qom/object.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/json-stream.h"
#include "util/machine-lock.h"

#define CHOOSE_HMP 1u        /* else QMP */
#define CHOOSE_PRETTY 2u
#define CHOOSE_NEGOTIATED 4u /* QMP: the client begins well, with out-of-band commands */
#define CHOOSE_SILENT 8u     /* the client does not read before the end */
#define CHOOSE_HALF 16u      /* it ends by sending no more, else by going away */

#define PIECES_MAX 32
#define TURNS_MAX 64      /* of a piece: the longest that a session takes for a chunk */
#define PARSE_MAX 4096    /* longer answers (the schema) are not looked at */
/* A session that is not read stops after the answer that passes MONITOR_OUTPUT_HIGH. */
#define OUTPUT_MAX (MONITOR_OUTPUT_HIGH + 4u * 1024 * 1024)

static const char beginning[] = "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int __wrap_fd_open_path(const char *path, int flags, GError **errp);

static unsigned choice;
static GPtrArray *calls; /* QmpCall *, under way */

/* No file of the host's is touched. */
int __wrap_fd_open_path(const char *path, int flags, GError **errp)
{
    return open("/dev/null", flags | O_CLOEXEC);
}

static void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-monitor: %s", what);
    }
}

/* ---- commands that take time ------------------------------------------------------------------------------------- */

static bool takes_time(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    qmp_call_defer(call);
    g_ptr_array_add(calls, call);
    return true;
}

static const QmpCommandImpl slow_commands[] = {
    { "rdevice_del", takes_time },
    { "query-remote", takes_time },
    { NULL },
};

static void finish_calls(void)
{
    while (calls->len > 0) {
        qmp_call_finish(g_ptr_array_remove_index(calls, 0), NULL, NULL);
    }
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

/* A session writes whole lines. */
static void written(const char *data, size_t len)
{
    g_autoptr(JsonParser) parser = NULL;

    if ((choice & (CHOOSE_HMP | CHOOSE_PRETTY)) || len > PARSE_MAX) {
        return;
    }
    check(len > 2 && memcmp(data + len - 2, "\r\n", 2) == 0, "a line of QMP has no end");
    check(!memchr(data, '\n', len - 1), "QMP's output is more than a line");
    parser = json_parser_new_immutable();
    check(json_parser_load_from_data(parser, data, (gssize)len - 2, NULL) &&
              JSON_NODE_HOLDS_OBJECT(json_parser_get_root(parser)), "QMP's output is no JSON object");
}

static void settle(void)
{
    for (unsigned i = 0; i < TURNS_MAX && event_loop_turn(event_loop_main(), false); i++) {
        finish_calls();
    }
}

/* Gives LEN bytes to the session; one that stays paused though it has nothing to wait for is stuck. */
static void say(const char *data, size_t len)
{
    while (len > 0 && fuzz_stream()) {
        size_t n = MIN(len, MONITOR_CHUNK);

        if (!fuzz_stream_say(data, n)) {
            settle();
            if (choice & CHOOSE_SILENT) {
                return;
            }
            fuzz_stream_read();
            settle();
            if (!fuzz_stream()) {
                return;
            }
            check(fuzz_stream_say(data, n), "the session does not read on");
        }
        data += n;
        len -= n;
    }
}

static void say_piece(const uint8_t **data, size_t *left)
{
    const uint8_t *end = memchr(*data, 0, *left);
    size_t len = end ? (size_t)(end - *data) : *left;

    say((const char *)*data, len);
    len += end != NULL;
    *data += len;
    *left -= len;
    settle();
    check(!fuzz_stream() || monitor_stream_unsent(fuzz_stream()) <= OUTPUT_MAX, "output without bounds");
    if (!(choice & CHOOSE_SILENT)) {
        fuzz_stream_read();
    }
}

static void hang_up(void)
{
    finish_calls();
    fuzz_stream_read();
    settle();
    if (choice & CHOOSE_HALF) {
        fuzz_stream_hang_up(true);
        settle();
        fuzz_stream_read();
        settle();
        check(!fuzz_stream(), "the session goes on though its client sends no more");
    } else {
        fuzz_stream_hang_up(false);
        check(!fuzz_stream(), "the session goes on though its client has gone");
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    GType (*const types[])(void) = { scsi_hd_get_type, scsi_cd_get_type, NULL };

    machine_lock();
    calls = g_ptr_array_new();
    qom_register_types(types);
    qmp_register_objects();
    qmp_register_block();
    qmp_register(slow_commands);
    monitor_init();
    monitor_events_start();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    choice = *data++;
    size--;
    if (choice & CHOOSE_HMP) {
        hmp_session_open(fuzz_stream_new(written));
    } else {
        qmp_session_open(fuzz_stream_new(written), choice & CHOOSE_PRETTY);
    }
    if (choice & CHOOSE_NEGOTIATED) {
        say(beginning, strlen(beginning));
    }
    for (unsigned i = 0; i < PIECES_MAX && size && fuzz_stream(); i++) {
        say_piece(&data, &size);
    }
    if (fuzz_stream()) {
        hang_up();
    }
    finish_calls();
    block_cleanup();
    settle();
    return 0;
}
