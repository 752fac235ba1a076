/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: the words of a line, options as JSON, commands that are made of a few words.
 *
 * Runs in: both programs.
 *
 * A word ends at a blank.  One that begins with '"' goes on to the next '"'; in it \n, \r, \", \' and \\ stand
 * for a newline, a carriage return, and for what follows the backslash.
 */
#include "monitor/hmp-int.h"

#include <string.h>
#include "util/error.h"

/* Appends what *TEXT (behind a backslash) stands for to WORD. */
static bool take_escape(const char **text, GString *word, GError **errp)
{
    static const char known[] = "nr\"'\\";
    static const char meaning[] = "\n\r\"'\\";
    const char *found = **text ? strchr(known, **text) : NULL;

    if (!found) {
        error_setg(errp, "unsupported escape code '\\%.1s' in quotes; write \\\\ for a backslash", *text);
        return false;
    }
    g_string_append_c(word, meaning[found - known]);
    (*text)++;
    return true;
}

/* Takes a word in quotes; *TEXT is behind the first one. */
static char *take_quoted(const char **text, GError **errp)
{
    g_autoptr(GString) word = g_string_new(NULL);

    while (**text != '"') {
        if (!**text) {
            error_setg(errp, "unterminated string; end it with '\"'");
            return NULL;
        }
        if (**text != '\\') {
            g_string_append_c(word, *(*text)++);
            continue;
        }
        (*text)++;
        if (!take_escape(text, word, errp)) {
            return NULL;
        }
    }
    (*text)++;
    return g_string_free(g_steal_pointer(&word), FALSE);
}

static char *take_word(const char **text, GError **errp)
{
    size_t len;

    if (**text == '"') {
        (*text)++;
        return take_quoted(text, errp);
    }
    len = strcspn(*text, " \t");
    *text += len;
    return g_strndup(*text - len, len);
}

static char **split(const char *args, GError **errp)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

    args += strspn(args, " \t");
    while (*args) {
        char *word = take_word(&args, errp);

        if (!word) {
            return NULL;
        }
        g_ptr_array_add(words, word);
        args += strspn(args, " \t");
    }
    g_ptr_array_add(words, NULL);
    g_ptr_array_set_free_func(words, NULL); /* the words go to the caller */
    return (char **)g_ptr_array_free(g_steal_pointer(&words), FALSE);
}

char **hmp_words(HmpSession *hmp, const char *args, unsigned min, unsigned max)
{
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) words = split(args, &err);
    unsigned count;

    if (!words) {
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): split() has set it */
        hmp_usage(hmp, "%s", err->message);
        return NULL;
    }
    count = g_strv_length(words);
    if (count > max) {
        hmp_usage(hmp, "extraneous characters at the end of line");
    } else if (count < min) {
        hmp_usage(hmp, "%s expected", hmp_session_command(hmp)->args);
    } else {
        return g_steal_pointer(&words);
    }
    return NULL;
}

Options *hmp_options(HmpSession *hmp, const char *option, const char *args, const char *implied_key)
{
    g_autoptr(GError) err = NULL;
    g_auto(GStrv) words = *args == '{' ? NULL : hmp_words(hmp, args, 1, 1);
    Options *opts;

    if (*args != '{' && !words) {
        return NULL;
    }
    opts = options_parse(option, words ? words[0] : args, implied_key, &err);
    if (!opts) {
        hmp_error(hmp, "%s", err->message);
    }
    return opts;
}

bool hmp_size(HmpSession *hmp, const char *word, int64_t *ret_size)
{
    uint64_t size;

    if (!parse_size(word, 'M', &size) || size > INT64_MAX) {
        hmp_usage(hmp, "invalid size");
        return false;
    }
    *ret_size = (int64_t)size;
    return true;
}

void hmp_run_words(HmpSession *hmp, const char *args, const char *const *members, HmpPrinter *print)
{
    unsigned count = members ? g_strv_length((char **)members) : 0;
    g_auto(GStrv) words = hmp_words(hmp, args, count, count);
    JsonObject *json;

    if (!words) {
        return;
    }
    json = json_object_new();
    for (unsigned i = 0; i < count; i++) {
        json_object_set_string_member(json, members[i], words[i]);
    }
    hmp_qmp(hmp, hmp_session_command(hmp)->qmp, json, print);
}

/* The object below MEMBER of PARENT, made when there is none. */
static JsonObject *object_below(JsonObject *parent, const char *name)
{
    JsonObject *below = hmp_json_obj(parent, name);

    if (!below) {
        below = json_object_new();
        json_object_set_object_member(parent, name, below);
    }
    return below;
}

static bool add_option(const char *key, const char *value, void *opaque, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(key, ".", -1);
    JsonObject *obj = opaque;
    unsigned i;

    for (i = 0; parts[i + 1]; i++) {
        obj = object_below(obj, parts[i]);
    }
    json_object_set_string_member(obj, parts[i], value);
    return true;
}

JsonObject *hmp_options_to_json(Options *opts)
{
    JsonObject *args = json_object_new();

    options_foreach(opts, add_option, args, NULL);
    return args;
}
