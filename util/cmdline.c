/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines: parsing and help text from one table.  The manual is include/util/cmdline.h.
 *
 * Runs in: both.
 */
#include <string.h>

#include "util/cmdline.h"
#include "util/error.h"

/* Width of the option column in the help text. */
#define HELP_COLUMN 20

static const CmdlineOption *find_option(const CmdlineOption *table, const char *name)
{
    for (const CmdlineOption *opt = table; opt->name != NULL; opt++) {
        if (strcmp(opt->name, name) == 0) {
            return opt;
        }
    }
    return NULL;
}

/* The syntax of an argument may have lines of its own in the help text; here it is part of one. */
static void set_missing(GError **errp, const char *word, const char *syntax)
{
    g_auto(GStrv) lines = g_strsplit(syntax, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        g_strstrip(lines[i]);
    }
    g_autofree char *line = g_strjoinv(" ", lines);
    error_setg(errp, "%s: its argument is missing; give %s %s", word, word, line);
}

bool cmdline_parse(const CmdlineOption *table, int argc, char *const *argv, void *opaque,
                   GError **errp)
{
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        const char *arg = NULL;
        const CmdlineOption *opt;

        if (word[0] != '-' || word[1] == '\0') {
            error_setg(errp, "unexpected argument '%s'; options begin with '-', see -help", word);
            return false;
        }
        opt = find_option(table, word + (word[1] == '-' ? 2 : 1));
        if (opt == NULL) {
            error_setg(errp, "%s: unknown option; -help lists the options", word);
            return false;
        }
        if (opt->arg_name != NULL) {
            if (i + 1 == argc) {
                set_missing(errp, word, opt->arg_name);
                return false;
            }
            arg = argv[++i];
        }
        if (!opt->handler(arg, opaque, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- actions --------------------------------------------------------------------------------- */

static void action_free(gpointer data)
{
    CmdlineAction *action = data;

    options_free(action->opts);
    g_free(action);
}

GPtrArray *cmdline_actions_new(void)
{
    return g_ptr_array_new_with_free_func(action_free);
}

bool cmdline_action_add(GPtrArray *actions, const char *option, const char *arg,
                        const char *implied_key, GError **errp)
{
    Options *opts = options_parse(option, arg, implied_key, errp);
    CmdlineAction *action;

    if (!opts) {
        return false;
    }
    action = g_new(CmdlineAction, 1);
    *action = (CmdlineAction) { .opts = opts, .option = option, .arg = arg };
    g_ptr_array_add(actions, action);
    return true;
}

void cmdline_action_prefix_error(const CmdlineAction *action, GError **errp)
{
    if (errp && !g_str_has_prefix((*errp)->message, action->option)) {
        g_prefix_error(errp, "%s %s: ", action->option, action->arg);
    }
}

bool cmdline_actions_run(const GPtrArray *actions, bool (*run)(Options *opts, GError **errp),
                         GError **errp)
{
    for (guint i = 0; i < actions->len; i++) {
        CmdlineAction *action = actions->pdata[i];

        if (!run(action->opts, errp)) {
            cmdline_action_prefix_error(action, errp);
            return false;
        }
    }
    return true;
}

/* ---- help ------------------------------------------------------------------------------------ */

/* Appends the lines of HELP at the help column; the cursor is at COLUMN. */
static void append_help(GString *text, size_t column, const char *help)
{
    g_auto(GStrv) lines = g_strsplit(help, "\n", -1);

    for (unsigned i = 0; lines[i] != NULL; i++) {
        if (i > 0 || column >= HELP_COLUMN) {
            g_string_append_c(text, '\n');
            column = 0;
        }
        g_string_append_printf(text, "%*s%s", (int)(HELP_COLUMN - column), "", lines[i]);
    }
    g_string_append_c(text, '\n');
}

char *cmdline_help(const CmdlineOption *table, const char *usage)
{
    GString *text = g_string_new(NULL);

    g_string_append_printf(text, "%s\n\n", usage);
    for (const CmdlineOption *opt = table; opt->name != NULL;) {
        const CmdlineOption *other = opt + 1;
        size_t start = text->len;

        if (opt->heading != NULL) {
            g_string_append_printf(text, "%s%s:\n", opt == table ? "" : "\n", opt->heading);
            start = text->len;
        }
        g_string_append_printf(text, "-%s", opt->name);
        /* The rows without a help text that follow are other spellings of this one. */
        for (; other->name != NULL && other->help == NULL; other++) {
            g_string_append_printf(text, ", -%s", other->name);
        }
        if (opt->arg_name != NULL) {
            g_string_append_printf(text, " %s", opt->arg_name);
        }
        append_help(text, text->len - start, opt->help);
        opt = other;
    }
    return g_string_free(text, FALSE);
}
