/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON texts in a stream: a scanner for their ends in front of json-glib's parser.
 *
 * Runs in: both.  The manual is include/util/json-stream.h.
 *
 * Theory of operation.  Each byte is looked at once when it is scanned, wherever the stream was cut
 * by its transport: the scanner's state is kept between pushes.  It knows only strings, escapes and
 * brackets; whether what is inside makes sense is the parser's affair.  Brackets are not matched by
 * kind, since the parser refuses "[}" anyway.
 */
#include <string.h>
#include "util/error.h"
#include "util/json-stream.h"

struct JsonStream {
    GByteArray *buffer;
    size_t scanned;   /* bytes of `buffer` behind the scanner */
    size_t start;     /* where the text begins; bytes before are done with */
    unsigned depth;   /* open brackets of the text */
    bool in_text;
    bool in_string;
    bool escaped;     /* the next byte belongs to a backslash */
    bool skipping;    /* a text was refused: up to the next newline */
};

JsonStream *json_stream_new(void)
{
    JsonStream *stream = g_new0(JsonStream, 1);

    stream->buffer = g_byte_array_new();
    return stream;
}

void json_stream_free(JsonStream *stream)
{
    if (stream) {
        g_byte_array_unref(stream->buffer);
        g_free(stream);
    }
}

void json_stream_push(JsonStream *stream, const void *data, size_t len)
{
    /* What has been handed out is dropped here, once a push, so that no text is moved byte by byte. */
    if (stream->start > 0) {
        g_byte_array_remove_range(stream->buffer, 0, stream->start);
        stream->scanned -= stream->start;
        stream->start = 0;
    }
    g_byte_array_append(stream->buffer, data, len);
}

/* Forgets the text under way; what follows is looked at from the scanner's place on. */
static void stream_restart(JsonStream *stream, bool skipping)
{
    stream->start = stream->scanned;
    stream->depth = 0;
    stream->in_text = stream->in_string = stream->escaped = false;
    stream->skipping = skipping;
}

/* json-glib reads comments and single-quoted strings, which the scanner does not. */
static bool is_foreign(char c)
{
    return !g_ascii_isalnum(c) && !g_ascii_isspace(c) && !strchr("{}[]:,+-.\"", c);
}

static bool parse_text(const char *text, size_t len, JsonNode **ret_node, GError **errp)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) err = NULL;

    if (!g_utf8_validate(text, (gssize)len, NULL)) {
        error_setg(errp, "JSON parse error: the text is not UTF-8");
        return false;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)len, &err)) {
        error_setg(errp, "JSON parse error: %s", err->message);
        return false;
    }
    *ret_node = json_parser_steal_root(parser);
    if (!JSON_NODE_HOLDS_OBJECT(*ret_node)) {
        g_clear_pointer(ret_node, json_node_unref);
        error_setg(errp, "QMP input must be a JSON object");
        return false;
    }
    return true;
}

/* Looks at byte C.  Returns 1 when a text ends with it, 0 when it goes on, -1 with *errp. */
static int scan_byte(JsonStream *stream, char c, GError **errp)
{
    if (stream->in_string) {
        if (stream->escaped) {
            stream->escaped = false;
        } else if (c == '\\') {
            stream->escaped = true;
        } else if (c == '"') {
            stream->in_string = false;
        }
        return 0;
    }
    if (!stream->in_text) {
        if (g_ascii_isspace(c)) {
            stream->start = stream->scanned;
            return 0;
        }
        if (c != '{' && c != '[') {
            error_setg(errp, "JSON parse error: an object begins with '{'");
            return -1;
        }
        stream->in_text = true;
    }
    if (is_foreign(c)) {
        error_setg(errp, "JSON parse error: unexpected character 0x%02x; strings are in double quotes",
                   (unsigned char)c);
        return -1;
    }
    if (c == '"') {
        stream->in_string = true;
    } else if (c == '{' || c == '[') {
        if (++stream->depth > JSON_STREAM_DEPTH) {
            error_setg(errp, "JSON parse error: the text nests deeper than %d", JSON_STREAM_DEPTH);
            return -1;
        }
    } else if ((c == '}' || c == ']') && --stream->depth == 0) {
        return 1;
    }
    return 0;
}

bool json_stream_next(JsonStream *stream, JsonNode **ret_node, GError **errp)
{
    *ret_node = NULL;
    while (stream->scanned < stream->buffer->len) {
        char c = (char)stream->buffer->data[stream->scanned++];
        int end;

        if (stream->skipping) {
            stream->skipping = c != '\n';
            stream->start = stream->scanned;
            continue;
        }
        end = scan_byte(stream, c, errp);
        if (end == 0 && stream->in_text && stream->scanned - stream->start > JSON_STREAM_MAX) {
            error_setg(errp, "JSON parse error: the text is longer than %u bytes", JSON_STREAM_MAX);
            end = -1;
        }
        if (end < 0) {
            stream_restart(stream, c != '\n');
            return true;
        }
        if (end > 0) {
            const char *text = (const char *)stream->buffer->data + stream->start;

            parse_text(text, stream->scanned - stream->start, ret_node, errp);
            stream_restart(stream, false);
            return true;
        }
    }
    return false;
}

bool json_stream_is_partial(const JsonStream *stream)
{
    return stream->in_text;
}

char *json_line(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, FALSE);

    return g_strconcat(text, "\n", NULL);
}
