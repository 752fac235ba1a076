/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON texts in a stream of bytes from somebody who is not trusted: where each ends, and what it says.
 *
 * Thread: any, one stream by one thread at a time.  Runs in: both programs.
 *
 * QMP's wire format (RFC 8259 objects, one after the other, blanks between them; newlines mean
 * nothing).  The parser proper is json-glib's; this finds the ends of the texts, bounds their size
 * and nesting before the parser sees them, and refuses json-glib's extensions (comments, single
 * quotes, single values, hexadecimal numbers, ...).  An integer that does not fit into 64 bits with sign becomes a
 * floating-point number; one that fits neither, and a string with U+0000, is an error.
 */
#ifndef UTIL_JSON_STREAM_H
#define UTIL_JSON_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <json-glib/json-glib.h>

/* Longest text.  A command with a JSON blockdev tree is a few KiB; a peer gets no more than this. */
#define JSON_STREAM_MAX (1024u * 1024)

/* Deepest nesting of objects and arrays: json-glib's parser recurses. */
#define JSON_STREAM_DEPTH 64

/* Most values (commas and opening brackets) of a text: in memory each takes up to some hundred times its text. */
#define JSON_STREAM_VALUES 32768

typedef struct JsonStream JsonStream;

JsonStream *json_stream_new(void);
void json_stream_free(JsonStream *stream); /* accepts NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonStream, json_stream_free)

/* Appends LEN received bytes. */
void json_stream_push(JsonStream *stream, const void *data, size_t len);

/*
 * Takes the next complete text.  True: *ret_node is a node of the caller's (json_node_unref()), or
 * NULL with *errp when the text is no JSON object; the stream then goes on behind it.  False: there
 * is none yet.  Text beyond the limits is an error at once, and what follows up to
 * the next newline is dropped, so that a client can find its way again.
 */
bool json_stream_next(JsonStream *stream, JsonNode **ret_node, GError **errp);

/* True when json_stream_next() has seen the beginning of a text, but not yet its end. */
bool json_stream_is_partial(const JsonStream *stream);

/* Bytes of the text that json_stream_next() has handed out last. */
size_t json_stream_last_size(const JsonStream *stream);

/* NODE as text; free with g_free().  In place of json_to_string(), whose large and small numbers are not JSON's. */
char *json_text(JsonNode *node, bool pretty);

/* NODE as one line with a final newline; free with g_free().  Non-ASCII text stays UTF-8. */
char *json_line(JsonNode *node);

#endif
