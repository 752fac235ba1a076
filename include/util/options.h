/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options in QEMU syntax: "key=value,key=value" with an implied first key, and the same as JSON.
 *
 * Thread: main loop only.  Runs in: both programs.
 *
 * Syntax.  Pairs are parted by commas; a comma in a value is written twice.  A first item without
 * "=" is the value of the implied key ("-device lsi53c895a,id=x": driver).  Another item without
 * "=" is a switch: "key" means key=on, "nokey" means key=off.  A string that starts with '{' is a
 * JSON object: nested objects and arrays become dotted keys ("file.filename",
 * "inject-error.0.event"), true/false become on/off, numbers their decimal text. A repeated key
 * replaces the earlier value.
 */
#ifndef UTIL_OPTIONS_H
#define UTIL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>
#include <json-glib/json-glib.h>

/* An ordered set of key/value strings that remembers which of them were used. */
typedef struct Options Options;

/*
 * Parses TEXT given to option OPTION ("-device").  IMPLIED_KEY may be NULL.  NULL with *errp on bad
 * syntax.
 */
Options *options_parse(const char *option, const char *text, const char *implied_key,
                       GError **errp);

/*
 * The same from a JSON object that was parsed elsewhere (a monitor's arguments, which may nest at most
 * JSON_STREAM_DEPTH deep).
 */
Options *options_from_json(const char *option, JsonObject *object, GError **errp);
Options *options_new(const char *option);
void options_free(Options *opts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)

/* The option's name for messages ("-device"). */
const char *options_name(const Options *opts);

/* Adds or replaces a pair. */
void options_set(Options *opts, const char *key, const char *value);

/* Removes KEY's pair; nothing when there is none. */
void options_remove(Options *opts, const char *key);

/* The value of KEY, marked used, or NULL.  Valid until the pair is replaced. */
const char *options_get(Options *opts, const char *key);

/* Number of pairs. */
unsigned options_count(const Options *opts);

/* True when KEY is there; does not mark it. */
bool options_has(const Options *opts, const char *key);

/*
 * Typed reads: a missing KEY leaves *ret untouched and succeeds (set the default before).  A
 * malformed value fails with a message that names option, key, value and the accepted form.
 */
bool options_get_bool(Options *opts, const char *key, bool *ret, GError **errp);
bool options_get_uint(Options *opts, const char *key, uint64_t max, uint64_t *ret, GError **errp);
bool options_get_size(Options *opts, const char *key, uint64_t *ret, GError **errp);

/* KEY must be one of the NULL-ended NAMES; *ret gets its index. */
bool options_get_enum(Options *opts, const char *key, const char *const *names, int *ret,
                      GError **errp);

/*
 * The pairs below PREFIX ("file." gives "filename" of "file.filename") as a new set; they are
 * marked used.
 */
Options *options_take_prefix(Options *opts, const char *prefix);

/*
 * Fails naming the first key that was never read.  KNOWN (NULL-ended, may be NULL) lists the valid
 * keys for the message.
 */
bool options_check_unused(const Options *opts, const char *const *known, GError **errp);

/* Calls FN for each pair in order; stops and returns false when FN does.  Marks all used. */
bool options_foreach(Options *opts,
                     bool (*fn)(const char *key, const char *value, void *opaque, GError **errp),
                     void *opaque, GError **errp);

/*
 * Value parsers, shared with the property system.  Each returns false without touching *ret on
 * malformed text.
 */
bool parse_bool(const char *text, bool *ret);         /* on, yes, true, y / off, no, false, n */
bool parse_uint64(const char *text, uint64_t *ret); /* decimal, 0x hex, 0 octal; nothing after it */
bool parse_int64(const char *text, int64_t *ret);
/* B K M G T P E, fractions ("1.5G") */
bool parse_size(const char *text, char default_suffix, uint64_t *ret);

/* A valid id: a letter, then letters, digits, '-', '.', '_'; at most 127 bytes. */
bool id_wellformed(const char *id);

#endif
