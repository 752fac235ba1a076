/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON texts in a stream: a scanner for their ends in front of json-glib's parser.
 *
 * Runs in: both.  The manual is include/util/json-stream.h.
 *
 * Theory of operation.  Each byte is looked at once when it is scanned, wherever the stream was cut by its
 * transport: the scanner's state is kept between pushes.  It knows only strings, escapes and brackets;
 * whether what is inside makes sense is found out when a text is complete: its words are checked here, since
 * json-glib takes more than JSON's and wraps large numbers; the rest is the parser's affair.  Brackets are
 * not matched by kind, since the parser refuses "[}" anyway.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "util/error.h"
#include "util/json-stream.h"

struct JsonStream {
    GByteArray *buffer;
    size_t scanned;   /* bytes of `buffer` behind the scanner */
    size_t start;     /* where the text begins; bytes before are done with */
    unsigned depth;   /* open brackets of the text */
    unsigned values;  /* of the text, about */
    size_t last_size; /* of the text handed out last */
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
    stream->depth = stream->values = 0;
    stream->in_text = stream->in_string = stream->escaped = false;
    stream->skipping = skipping;
}

/* json-glib reads comments and single-quoted strings, which the scanner does not. */
static bool is_foreign(char c)
{
    return !g_ascii_isalnum(c) && !g_ascii_isspace(c) && !strchr("{}[]:,+-.\"", c);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* A string after its opening quote; returns what is behind the closing one, NULL with *errp. */
/* The number of the four hexadecimal digits at P, or -1. */
static int read_hex4(const char *p)
{
    int value = 0;

    for (unsigned i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(p[i]);

        if (digit < 0) {
            return -1; /* also at the end of the text */
        }
        value = value << 4 | digit;
    }
    return value;
}

/*
 * The last digit of the escape whose digits begin at P, or NULL with *errp.  json-glib makes invalid UTF-8 of a half of
 * a surrogate pair, which nobody could read again.
 */
static const char *check_code_point(const char *p, GError **errp)
{
    int value = read_hex4(p);
    bool pair = value >= 0xd800 && value <= 0xdbff && p[4] == '\\' && p[5] == 'u';
    int low = pair ? read_hex4(p + 6) : 0;

    /* It would end the string for C: what is checked and what is used would not be the same. */
    if (value == 0) {
        error_setg(errp, "JSON parse error: '\\u0000' in a string");
        return NULL;
    }
    if (value < 0 || (value >= 0xd800 && value <= 0xdfff && !(pair && low >= 0xdc00 && low <= 0xdfff))) {
        error_setg(errp, "JSON parse error: '\\u' in a string without the four digits of a character, or half a "
                         "surrogate pair");
        return NULL;
    }
    return p + (pair ? 9 : 3);
}

static const char *check_string(const char *p, GError **errp)
{
    for (; *p != '"'; p++) {
        if ((unsigned char)*p < 0x20) {
            error_setg(errp, "JSON parse error: control character 0x%02x in a string; write \\u%04x", *p, *p);
            return NULL;
        }
        if (*p != '\\') {
            continue;
        }
        p++;
        if (!strchr("\"\\/bfnrtu", *p)) {
            error_setg(errp, "JSON parse error: unknown escape '\\%c' in a string", g_ascii_isgraph(*p) ? *p : '?');
            return NULL;
        }
        if (*p == 'u') {
            p = check_code_point(p + 1, errp);
            if (!p) {
                return NULL;
            }
        }
    }
    return p + 1;
}

static const char *skip_digits(const char *p)
{
    while (g_ascii_isdigit(*p)) {
        p++;
    }
    return p;
}

/* Skips at least one digit; NULL: there is none. */
static const char *need_digits(const char *p)
{
    return p && g_ascii_isdigit(*p) ? skip_digits(p) : NULL;
}

/* The end of the number at P; NULL: it is none of JSON's (json-glib knows 0x10, 010, .5, 1.). */
static const char *number_end(const char *p, bool *ret_is_int)
{
    *ret_is_int = true;
    p += *p == '-';
    p = *p == '0' ? p + 1 : need_digits(p);
    if (p && *p == '.') {
        *ret_is_int = false;
        p = need_digits(p + 1);
    }
    if (p && (*p == 'e' || *p == 'E')) {
        *ret_is_int = false;
        p++;
        p = need_digits(p + (*p == '-' || *p == '+'));
    }
    return p && (g_ascii_isalnum(*p) || *p == '.') ? NULL : p;
}

/*
 * A number.  An integer beyond 64 bits, which json-glib would wrap, is made a number with a fraction: COPY gets the
 * text up to here (from *from on) and ".0".
 */
static const char *check_number(const char *p, const char **from, GString *copy, GError **errp)
{
    bool is_int;
    const char *end = number_end(p, &is_int);

    if (!end) {
        error_setg(errp, "JSON parse error: invalid number");
        return NULL;
    }
    if (!isfinite(g_ascii_strtod(p, NULL))) {
        error_setg(errp, "JSON parse error: a number is out of range");
        return NULL;
    }
    if (is_int) {
        errno = 0;
        g_ascii_strtoll(p, NULL, 10);
        if (errno == ERANGE) {
            g_string_append_len(copy, *from, end - *from);
            g_string_append(copy, ".0");
            *from = end;
        }
    }
    return end;
}

static const char *check_keyword(const char *p, GError **errp)
{
    static const char *const keywords[] = { "true", "false", "null", NULL };
    const char *end = p;
    g_autofree char *word = NULL;

    while (g_ascii_isalnum(*end)) {
        end++;
    }
    word = g_strndup(p, (size_t)(end - p));
    if (!g_strv_contains(keywords, word)) {
        error_setg(errp, "JSON parse error: invalid keyword '%.20s'", word);
        return NULL;
    }
    return end;
}

/*
 * TEXT, 0-ended, as json-glib reads it right: its words are JSON's and fit into our types.  A new string; NULL with
 * *errp.  *ret_members gets how many members its objects have, as written.  How the words follow each other is
 * json-glib's affair.
 */
static char *check_words(const char *text, unsigned *ret_members, GError **errp)
{
    g_autoptr(GString) copy = g_string_new(NULL);
    const char *from = text, *p = text;

    *ret_members = 0;
    while (p && *p) {
        if (*p == '"') {
            p = check_string(p + 1, errp);
        } else if (*p == '-' || *p == '.' || *p == '+' || g_ascii_isdigit(*p)) {
            p = check_number(p, &from, copy, errp);
        } else if (g_ascii_isalpha(*p)) {
            p = check_keyword(p, errp);
        } else {
            *ret_members += *p == ':';
            p++; /* blanks, brackets and what is between words */
        }
    }
    if (!p) {
        return NULL;
    }
    g_string_append(copy, from);
    return g_string_free(g_steal_pointer(&copy), FALSE);
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* json-glib's message quotes the text, which may be long and have line ends. */
static void set_parse_error(GError **errp, char *message)
{
    if (g_utf8_strlen(message, -1) > 200) {
        *g_utf8_offset_to_pointer(message, 200) = '\0';
    }
    for (char *p = message; *p; p++) {
        *p = g_ascii_iscntrl(*p) ? '?' : *p;
    }
    error_setg(errp, "JSON parse error: %s", message);
}

/* How many members the objects in NODE have together. */
static unsigned count_members(JsonNode *node)
{
    unsigned count = 0;

    if (JSON_NODE_HOLDS_OBJECT(node)) {
        JsonObject *object = json_node_get_object(node);
        JsonObjectIter iter;
        JsonNode *member;

        json_object_iter_init(&iter, object);
        while (json_object_iter_next(&iter, NULL, &member)) {
            count += 1 + count_members(member);
        }
    } else if (JSON_NODE_HOLDS_ARRAY(node)) {
        JsonArray *array = json_node_get_array(node);

        for (unsigned i = 0; i < json_array_get_length(array); i++) {
            count += count_members(json_array_get_element(array, i));
        }
    }
    return count;
}

static bool parse_text(const char *data, size_t len, JsonNode **ret_node, GError **errp)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL, *checked = NULL;
    unsigned members;

    if (!g_utf8_validate(data, (gssize)len, NULL)) {
        error_setg(errp, "JSON parse error: the text is not UTF-8");
        return false;
    }
    text = g_strndup(data, len);
    checked = check_words(text, &members, errp);
    if (!checked) {
        return false;
    }
    if (!json_parser_load_from_data(parser, checked, -1, &err)) {
        set_parse_error(errp, err->message);
        return false;
    }
    *ret_node = json_parser_steal_root(parser);
    if (!JSON_NODE_HOLDS_OBJECT(*ret_node)) {
        g_clear_pointer(ret_node, json_node_unref);
        error_setg(errp, "QMP input must be a JSON object");
        return false;
    }
    /* json-glib keeps the last of several: who reads the text otherwise would see another command. */
    if (count_members(*ret_node) != members) {
        g_clear_pointer(ret_node, json_node_unref);
        error_setg(errp, "JSON parse error: duplicate key; an object has each key once");
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
    if ((c == ',' || c == '{' || c == '[') && ++stream->values > JSON_STREAM_VALUES) {
        error_setg(errp, "JSON parse error: the text has more than %d values", JSON_STREAM_VALUES);
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
        if (end >= 0 && stream->in_text && stream->scanned - stream->start > JSON_STREAM_MAX) {
            error_setg(errp, "JSON parse error: the text is longer than %u bytes", JSON_STREAM_MAX);
            end = -1;
        }
        if (end < 0) {
            stream_restart(stream, c != '\n');
            return true;
        }
        if (end > 0) {
            const char *text = (const char *)stream->buffer->data + stream->start;

            stream->last_size = stream->scanned - stream->start;
            parse_text(text, stream->last_size, ret_node, errp);
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

size_t json_stream_last_size(const JsonStream *stream)
{
    return stream->last_size;
}

/*
 * json-glib puts ".0" behind every floating-point number without a point, also behind an exponent: 3e+232.0 is no
 * number of JSON's.  Takes that away, in place; strings stay as they are.
 */
static void mend_exponents(char *text)
{
    bool in_string = false, in_exponent = false;
    char *to = text;

    for (const char *from = text; *from; from++) {
        if (in_string) {
            in_string = *from != '"';
            if (*from == '\\') {
                *to++ = *from++;
            }
        } else if (in_exponent && from[0] == '.' && from[1] == '0') {
            from++;
            continue;
        } else {
            in_string = *from == '"';
            in_exponent = (in_exponent && (g_ascii_isdigit(*from) || *from == '+' || *from == '-')) ||
                          (*from == 'e' && from > text && g_ascii_isdigit(from[-1]));
        }
        *to++ = *from;
    }
    *to = '\0';
}

char *json_text(JsonNode *node, bool pretty)
{
    char *text = json_to_string(node, pretty);

    mend_exponents(text);
    return text;
}

char *json_line(JsonNode *node)
{
    g_autofree char *text = json_text(node, false);

    return g_strconcat(text, "\n", NULL);
}
