/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: what the last word of an unfinished line may become.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include <string.h>
#include "block/block.h"
#include "hw/core/device.h"
#include "util/trace.h"

/* More are of no help to a person, and the list is copied to another thread. */
#define WORDS_MAX 400

static void offer(GPtrArray *words, const char *prefix, const char *word)
{
    if (words->len < WORDS_MAX && g_str_has_prefix(word, prefix)) {
        g_ptr_array_add(words, g_strdup(word));
    }
}

/* ---- commands ---------------------------------------------------------------------------------- */

/* The "info" rows, without that word, or the others. */
static void offer_rows(GPtrArray *words, const char *prefix, bool info)
{
    g_autoptr(GPtrArray) rows = hmp_sorted();

    for (guint i = 0; i < rows->len; i++) {
        const HmpCommand *row = rows->pdata[i];

        if (hmp_is_info(row) == info) {
            offer(words, prefix, row->name + (info ? strlen("info ") : 0));
        }
    }
}

void hmp_complete_command(unsigned n, const char *prefix, GPtrArray *words)
{
    /* The second word of help can only be that of "help info NAME"; other first words have none. */
    offer_rows(words, prefix, n > 0);
}

/* ---- types and their properties ---------------------------------------------------------------- */

typedef struct PropertyOffer {
    GPtrArray *words;
    const char *prefix; /* the whole word so far */
    size_t kept;        /* bytes of it before the property's name */
} PropertyOffer;

static void offer_property(const QomProperty *prop, void *opaque)
{
    PropertyOffer *offered = opaque;
    g_autofree char *word = g_strdup_printf("%.*s%s=", (int)offered->kept, offered->prefix, prop->name);

    offer(offered->words, offered->prefix, word);
}

/* PREFIX is "TYPE" or "TYPE,...,PART-OF-A-KEY". */
static void offer_typed(GType base, const char *prefix, GPtrArray *words)
{
    const char *comma = strrchr(prefix, ',');
    g_autofree char *name = NULL;
    unsigned count = 0;
    GType type;

    if (!comma) {
        g_autofree GType *types = qom_types_of(base, &count);

        for (unsigned i = 0; i < count; i++) {
            QomObjectClass *klass = g_type_class_ref(types[i]);

            if (!klass->internal) {
                offer(words, prefix, g_type_name(types[i]));
            }
            g_type_class_unref(klass);
        }
        return;
    }
    name = g_strndup(prefix, strcspn(prefix, ","));
    type = qom_type_by_name(name);
    if (type && g_type_is_a(type, base)) {
        PropertyOffer offered = { words, prefix, (size_t)(comma + 1 - prefix) };
        g_autofree char *id = g_strdup_printf("%.*sid=", (int)offered.kept, prefix);

        offer(words, prefix, id);
        qom_foreach_property(type, offer_property, &offered);
    }
}

void hmp_complete_driver(unsigned n, const char *prefix, GPtrArray *words)
{
    if (n == 0) {
        offer_typed(TYPE_DEVICE, prefix, words);
    }
}

void hmp_complete_object_type(unsigned n, const char *prefix, GPtrArray *words)
{
    if (n == 0) {
        offer_typed(QOM_TYPE_USER_CREATABLE, prefix, words);
    }
}

/* ---- names of what there is -------------------------------------------------------------------- */

static void offer_children(const char *path, const char *prefix, GPtrArray *words)
{
    QomObject *parent = qom_resolve(path);

    for (guint i = 0; parent && i < parent->children->len; i++) {
        offer(words, prefix, ((QomObject *)parent->children->pdata[i])->name);
    }
}

void hmp_complete_device(unsigned n, const char *prefix, GPtrArray *words)
{
    if (n == 0) {
        offer_children("/machine/peripheral", prefix, words);
    }
}

void hmp_complete_object(unsigned n, const char *prefix, GPtrArray *words)
{
    if (n == 0) {
        offer_children("/objects", prefix, words);
    }
}

typedef struct NameOffer {
    GPtrArray *words;
    const char *prefix;
} NameOffer;

static void offer_backend(BlockBackend *blk, void *opaque)
{
    NameOffer *offered = opaque;

    offer(offered->words, offered->prefix, blk_name(blk));
}

void hmp_complete_drive(unsigned n, const char *prefix, GPtrArray *words)
{
    NameOffer offered = { words, prefix };

    if (n == 0) {
        block_foreach_backend(offer_backend, &offered);
    }
}

static void offer_trace(const char *name, bool enabled, void *opaque)
{
    NameOffer *offered = opaque;

    offer(offered->words, offered->prefix, name);
}

void hmp_complete_trace(unsigned n, const char *prefix, GPtrArray *words)
{
    NameOffer offered = { words, prefix };

    if (n == 0) {
        trace_foreach(offer_trace, &offered);
    } else if (n == 1) {
        offer(words, prefix, "on");
        offer(words, prefix, "off");
    }
}

void hmp_complete_qom(unsigned n, const char *prefix, GPtrArray *words)
{
    const char *slash = strrchr(prefix, '/');
    g_autofree char *parent_path = NULL;
    QomObject *parent;

    if (n > 0 || !slash) {
        offer(words, prefix, n > 0 ? "type" : "/");
        return;
    }
    parent_path = slash == prefix ? g_strdup("/") : g_strndup(prefix, (gsize)(slash - prefix));
    parent = qom_resolve(parent_path);
    for (guint i = 0; parent && i < parent->children->len; i++) {
        QomObject *child = parent->children->pdata[i];
        g_autofree char *word = g_strdup_printf("%.*s/%s%s", (int)(slash - prefix), prefix, child->name,
                                                child->children->len ? "/" : "");

        offer(words, prefix, word);
    }
}

/* ---- lines ------------------------------------------------------------------------------------- */

static int compare_words(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts WORDS and drops doubles (a property that a class has from its parent too). */
static void tidy(GPtrArray *words)
{
    g_ptr_array_sort(words, compare_words);
    for (guint i = words->len; i > 1; i--) {
        if (g_str_equal(words->pdata[i - 1], words->pdata[i - 2])) {
            g_ptr_array_remove_index(words, i - 1);
        }
    }
}

/* The words before the last one; a line that ends in a blank has an empty last one. */
static GPtrArray *words_before(const char *line, size_t end)
{
    g_autofree char *head = g_strndup(line, end);
    g_auto(GStrv) all = g_strsplit_set(head, " \t", -1);
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    for (char **word = all; *word; word++) {
        if (**word) {
            g_ptr_array_add(words, g_strdup(*word));
        }
    }
    return words;
}

GPtrArray *hmp_complete(const char *line, size_t *ret_start)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) before = NULL;
    const HmpCommand *row;
    size_t start = strlen(line);
    bool info;

    while (start > 0 && !strchr(" \t", line[start - 1])) {
        start--;
    }
    *ret_start = start;
    before = words_before(line, start);
    info = before->len > 0 && g_str_equal(before->pdata[0], "info");
    if (before->len == (info ? 1 : 0)) {
        offer_rows(words, line + start, info);
    } else {
        g_autofree char *name = info ? g_strdup_printf("info %s", (char *)before->pdata[1])
                                     : g_strdup(before->pdata[0]);

        row = hmp_find(name);
        if (row && row->complete) {
            row->complete(before->len - (info ? 2 : 1), line + start, words);
        }
    }
    tidy(words);
    return words;
}
