/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The set of key/value pairs of one option: access, typed reads, use tracking.  Its syntaxes are in
 * options-parse.c.
 *
 * Runs in: both.
 */
#include <string.h>
#include "util/error.h"
#include "util/options.h"

typedef struct Pair {
    char *key;
    char *value;
    bool used; /* somebody has read this value */
} Pair;

/* A handful of pairs, in the user's order: a look-up is a walk. */
struct Options {
    char *option; /* "-device", for messages */
    char *prefix; /* what options_take_prefix() cut off, so that messages name the user's keys */
    GPtrArray *pairs;
};

static void pair_free(void *opaque)
{
    Pair *pair = opaque;

    g_free(pair->key);
    g_free(pair->value);
    g_free(pair);
}

static Options *new_with_prefix(const char *option, const char *outer_prefix, const char *prefix)
{
    Options *opts = g_new0(Options, 1);

    opts->option = g_strdup(option);
    opts->prefix = g_strconcat(outer_prefix, prefix, NULL);
    opts->pairs = g_ptr_array_new_with_free_func(pair_free);
    return opts;
}

Options *options_new(const char *option)
{
    return new_with_prefix(option, "", "");
}

void options_free(Options *opts)
{
    if (!opts) {
        return;
    }
    g_ptr_array_unref(opts->pairs);
    g_free(opts->option);
    g_free(opts->prefix);
    g_free(opts);
}

static Pair *pair_at(const Options *opts, unsigned i)
{
    return g_ptr_array_index(opts->pairs, i);
}

static Pair *find(const Options *opts, const char *key)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        if (!strcmp(pair_at(opts, i)->key, key)) {
            return pair_at(opts, i);
        }
    }
    return NULL;
}

const char *options_name(const Options *opts)
{
    return opts->option;
}

void options_set(Options *opts, const char *key, const char *value)
{
    Pair *pair = find(opts, key);

    if (pair) {
        char *old = pair->value;

        pair->value = g_strdup(value); /* before the free: VALUE may be the old one */
        pair->used = false;
        g_free(old);
        return;
    }
    pair = g_new0(Pair, 1);
    pair->key = g_strdup(key);
    pair->value = g_strdup(value);
    g_ptr_array_add(opts->pairs, pair);
}

void options_remove(Options *opts, const char *key)
{
    Pair *pair = find(opts, key);

    if (pair) {
        g_ptr_array_remove(opts->pairs, pair);
    }
}

const char *options_get(Options *opts, const char *key)
{
    Pair *pair = find(opts, key);

    if (!pair) {
        return NULL;
    }
    pair->used = true;
    return pair->value;
}

unsigned options_count(const Options *opts)
{
    return opts->pairs->len;
}

bool options_has(const Options *opts, const char *key)
{
    return find(opts, key) != NULL;
}

/* ---- typed reads ---------------------------------------------------------------------------- */

/* "-drive: parameter 'cache.direct' does not accept 'maybe'; use on or off" */
static bool bad_value(const Options *opts, const char *key, const char *value, const char *remedy,
                      GError **errp)
{
    error_setg(errp, "%s: parameter '%s%s' does not accept '%s'; %s", opts->option, opts->prefix,
               key, value, remedy);
    return false;
}

bool options_get_bool(Options *opts, const char *key, bool *ret, GError **errp)
{
    const char *value = options_get(opts, key);

    return !value || parse_bool(value, ret) ||
           bad_value(opts, key, value, "use on or off", errp);
}

bool options_get_uint(Options *opts, const char *key, uint64_t max, uint64_t *ret, GError **errp)
{
    const char *value = options_get(opts, key);
    g_autofree char *remedy = NULL;
    uint64_t number;

    if (!value) {
        return true;
    }
    if (parse_uint64(value, &number) && number <= max) {
        *ret = number;
        return true;
    }
    remedy = g_strdup_printf("use a whole number from 0 to %" G_GUINT64_FORMAT, max);
    return bad_value(opts, key, value, remedy, errp);
}

bool options_get_size(Options *opts, const char *key, uint64_t *ret, GError **errp)
{
    const char *value = options_get(opts, key);

    return !value || parse_size(value, 'B', ret) ||
           bad_value(opts, key, value,
                     "use a number of bytes below 16E; K, M, G, T, P and E are powers of 1024",
                     errp);
}

bool options_get_enum(Options *opts, const char *key, const char *const *names, int *ret,
                      GError **errp)
{
    const char *value = options_get(opts, key);
    g_autofree char *list = NULL;
    g_autofree char *remedy = NULL;

    if (!value) {
        return true;
    }
    for (int i = 0; names[i]; i++) {
        if (!strcmp(names[i], value)) {
            *ret = i;
            return true;
        }
    }
    list = g_strjoinv(", ", (char **)names);
    remedy = g_strdup_printf("use one of: %s", list);
    return bad_value(opts, key, value, remedy, errp);
}

/* ---- the whole set -------------------------------------------------------------------------- */

Options *options_take_prefix(Options *opts, const char *prefix)
{
    Options *sub = new_with_prefix(opts->option, opts->prefix, prefix);
    size_t len = strlen(prefix);

    for (unsigned i = 0; i < opts->pairs->len; i++) {
        Pair *pair = pair_at(opts, i);

        if (g_str_has_prefix(pair->key, prefix) && pair->key[len]) {
            options_set(sub, pair->key + len, pair->value);
            pair->used = true;
        }
    }
    return sub;
}

bool options_check_unused(const Options *opts, const char *const *known, GError **errp)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        const Pair *pair = pair_at(opts, i);
        g_autofree char *list = NULL;

        if (pair->used) {
            continue;
        }
        if (known && known[0]) {
            list = g_strjoinv(", ", (char **)known);
        }
        error_setg(errp, "%s: unknown parameter '%s%s' (value '%s'); %s%s", opts->option,
                   opts->prefix, pair->key, pair->value,
                   list ? "use one of: " : "remove it", list ? list : "");
        return false;
    }
    return true;
}

bool options_foreach(Options *opts,
                     bool (*fn)(const char *key, const char *value, void *opaque, GError **errp),
                     void *opaque, GError **errp)
{
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        pair_at(opts, i)->used = true;
    }
    for (unsigned i = 0; i < opts->pairs->len; i++) {
        if (!fn(pair_at(opts, i)->key, pair_at(opts, i)->value, opaque, errp)) {
            return false;
        }
    }
    return true;
}
