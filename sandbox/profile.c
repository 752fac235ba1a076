/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Profiles: composed from the modules' tables, counted, printed.
 *
 * Runs in: both programs; at build time, for the printed list.
 */
#include "sandbox/profile-int.h"

#include <stdbool.h>
#include <string.h>

#include "sandbox/sandbox.h"
#include "util/error.h"

bool syscall_rule_is_plain(const SyscallRule *rule)
{
    return rule->args[0].mask == 0;
}

/* ---- composing ------------------------------------------------------------------------------------------------ */

static bool same_rule(const SyscallRule *a, const SyscallRule *b)
{
    return a->number == b->number && a->error == b->error && memcmp(a->args, b->args, sizeof(a->args)) == 0;
}

/* A makes B needless. */
static bool covers(const SyscallRule *a, const SyscallRule *b)
{
    return a->number == b->number && a->error == 0 && syscall_rule_is_plain(a) &&
           (b->error || !syscall_rule_is_plain(b));
}

static int compare_entries(const void *pa, const void *pb)
{
    const SyscallRule *a = ((const ProfileEntry *)pa)->rule, *b = ((const ProfileEntry *)pb)->rule;
    int order = (a->error != 0) - (b->error != 0);

    order = order ? order : strcmp(a->name, b->name);
    return order ? order : memcmp(a->args, b->args, sizeof(a->args));
}

static void clear_entry(void *pointer)
{
    ProfileEntry *entry = pointer;

    g_free((char *)entry->modules);
    g_free((char *)entry->whys);
}

static char *append(const char *list, const char *separator, const char *word)
{
    return g_strconcat(list, separator, word, NULL);
}

static void add_rule(GArray *entries, const SyscallTable *table, const SyscallRule *rule)
{
    ProfileEntry entry = { .rule = rule, .modules = g_strdup(table->module), .whys = g_strdup(rule->why) };

    for (guint i = 0; i < entries->len; i++) {
        ProfileEntry *other = &g_array_index(entries, ProfileEntry, i);

        if (same_rule(other->rule, rule)) {
            char *modules = strstr(other->modules, table->module) ? g_strdup(other->modules)
                                                                  : append(other->modules, ", ", table->module);
            char *whys = append(other->whys, "; ", rule->why);

            clear_entry(&entry);
            clear_entry(other);
            other->modules = modules;
            other->whys = whys;
            return;
        }
    }
    g_array_append_val(entries, entry);
}

static bool is_covered(const SyscallTable *const *profile, const SyscallRule *rule)
{
    for (; *profile; profile++) {
        for (const SyscallRule *other = (*profile)->rules; other->name; other++) {
            if (covers(other, rule)) {
                return true;
            }
        }
    }
    return false;
}

GArray *profile_compose(const SyscallTable *const *profile)
{
    GArray *entries = g_array_new(false, false, sizeof(ProfileEntry));

    g_array_set_clear_func(entries, clear_entry);
    for (unsigned i = 0; profile[i]; i++) {
        for (const SyscallRule *rule = profile[i]->rules; rule->name; rule++) {
            if (!is_covered(profile, rule)) {
                add_rule(entries, profile[i], rule);
            }
        }
    }
    g_array_sort(entries, compare_entries);
    return entries;
}

/* ---- printing ------------------------------------------------------------------------------------------------- */

void sandbox_profile_foreach(const SyscallTable *const *profile, void (*fn)(const char *name, void *opaque),
                             void *opaque)
{
    g_autoptr(GArray) entries = profile_compose(profile);
    int last = -1;

    /* Sorted: rules of one call are neighbours. */
    for (guint i = 0; i < entries->len; i++) {
        const SyscallRule *rule = g_array_index(entries, ProfileEntry, i).rule;

        if (rule->error == 0 && rule->number != last) {
            last = rule->number;
            fn(rule->name, opaque);
        }
    }
}

static void count_one(const char *name, void *opaque)
{
    ++*(unsigned *)opaque;
}

unsigned sandbox_profile_count(const SyscallTable *const *profile)
{
    unsigned count = 0;

    sandbox_profile_foreach(profile, count_one, &count);
    return count;
}

static void append_conditions(GString *text, const SyscallRule *rule)
{
    for (unsigned i = 0; i < SYSCALL_ARGS_MAX && rule->args[i].mask; i++) {
        const SyscallArg *arg = &rule->args[i];

        g_string_append_printf(text, "%sarg%u", i ? ", " : " ", arg->index);
        if (arg->mask != UINT32_MAX) {
            g_string_append_printf(text, " & 0x%x", arg->mask);
        }
        g_string_append_printf(text, " == 0x%x", arg->value);
    }
}

static void append_entries(GString *text, const GArray *entries, bool refused)
{
    for (guint i = 0; i < entries->len; i++) {
        const ProfileEntry *entry = &g_array_index(entries, ProfileEntry, i);

        if ((entry->rule->error != 0) == refused) {
            g_string_append_printf(text, "  %s", entry->rule->name);
            append_conditions(text, entry->rule);
            if (refused) {
                g_string_append_printf(text, " -> %s", strerrorname_np(entry->rule->error));
            }
            g_string_append_printf(text, "\n      %s: %s\n", entry->modules, entry->whys);
        }
    }
}

char *sandbox_profile_text(const char *title, const SyscallTable *const *profile)
{
    g_autoptr(GArray) entries = profile_compose(profile);
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s: %u system calls\n", title, sandbox_profile_count(profile));
    append_entries(text, entries, false);
    g_string_append_printf(text, "%s: not made, but no reason to die\n", title);
    append_entries(text, entries, true);
    return g_string_free(text, FALSE);
}
