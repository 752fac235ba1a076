/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: JSON texts in a stream of bytes.
 * Runs in: fuzz target
 *
 * The first byte is the length of the pieces in which the rest arrives, 0: all at once.  Checked, besides what the
 * sanitizers see: how the bytes are cut makes no difference; what was read is the same when it is written and read
 * again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "util/json-stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "fuzz-json: %s\n", what);
        abort(); /* not g_error(), which traps: libFuzzer keeps no input then */
    }
}

/* All texts of DATA, a line each; "!" for one that is refused. */
static char *read_all(const uint8_t *data, size_t size, size_t piece)
{
    g_autoptr(JsonStream) stream = json_stream_new();
    GString *lines = g_string_new(NULL);

    while (size > 0) {
        size_t n = piece ? MIN(piece, size) : size;
        JsonNode *node;
        g_autoptr(GError) err = NULL;

        json_stream_push(stream, data, n);
        while (json_stream_next(stream, &node, &err)) {
            check(!node == !!err, "neither a text nor an error");
            if (node) {
                g_autofree char *line = json_line(node);

                g_string_append(lines, line);
                json_node_unref(node);
            } else {
                g_string_append(lines, "!\n");
                g_clear_error(&err);
            }
        }
        data += n;
        size -= n;
    }
    return g_string_free(lines, FALSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *whole = NULL;
    g_autofree char *pieces = NULL;
    g_autofree char *again = NULL;

    if (size == 0) {
        return 0;
    }
    whole = read_all(data + 1, size - 1, 0);
    pieces = read_all(data + 1, size - 1, data[0]);
    check(g_str_equal(whole, pieces), "the cuts make a difference");
    if (!strchr(whole, '!')) {
        again = read_all((const uint8_t *)whole, strlen(whole), 0);
        check(g_str_equal(whole, again), "another text when written and read again");
    }
    return 0;
}
