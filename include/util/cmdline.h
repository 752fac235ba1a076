/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines: one table of options gives the parser, its error messages and the help text.
 *
 * Thread: main thread, before others exist.  Runs in: both programs.
 *
 * Form.  An option is "-name" or "--name"; an argument is always the next word ("-device
 * lsi53c895a,id=x").  The handlers only collect what the user asked for (in the struct behind
 * OPAQUE); the program acts after the whole line was accepted, so that a mistake in the last
 * option starts nothing.
 */
#ifndef UTIL_CMDLINE_H
#define UTIL_CMDLINE_H

#include <stdbool.h>
#include <glib.h>
#include "util/options.h"

/*
 * Called for each option in order.  ARG is the option's argument, valid as long as argv; NULL for
 * options without.  Returns false with *errp set to end the parsing; the message names option,
 * value and remedy.
 */
typedef bool CmdlineHandler(const char *arg, void *opaque, GError **errp);

typedef struct CmdlineOption {
    const char *name;        /* without dashes; NULL ends the table */
    const char *arg_name;    /* form of the argument for the help text; NULL: takes none */
    const char *help; /* what it does, lines of text; NULL: other spelling of the row above */
    CmdlineHandler *handler; /* never NULL */
    const char *heading; /* begins a group in the help text; NULL: goes on with the group */
} CmdlineOption;

/*
 * Parses argv[1..argc-1] by TABLE.  Fails on a word that is no option of the table, on a missing
 * argument and when a handler does; handlers called before have run.
 */
bool cmdline_parse(const CmdlineOption *table, int argc, char *const *argv, void *opaque,
                   GError **errp);

/* An option to be carried out when the whole line has been accepted. */
typedef struct CmdlineAction {
    Options *opts;
    const char *option; /* "-device"; static */
    const char *arg;    /* as the user wrote it; of argv */
} CmdlineAction;

/* An empty list of CmdlineAction, which it owns; end it with g_ptr_array_unref(). */
GPtrArray *cmdline_actions_new(void);

/* Parses ARG of OPTION (as options_parse()) and keeps it in ACTIONS. */
bool cmdline_action_add(GPtrArray *actions, const char *option, const char *arg,
                        const char *implied_key, GError **errp);

/* Puts ACTION's option, as the user wrote it, before a message (ERRP may be NULL) that does not begin with it. */
void cmdline_action_prefix_error(const CmdlineAction *action, GError **errp);

/* Calls RUN for each of ACTIONS in order, up to the first that fails, whose message gets its option in front. */
bool cmdline_actions_run(const GPtrArray *actions, bool (*run)(Options *opts, GError **errp),
                         GError **errp);

/* The help text: USAGE, then a paragraph for each row of TABLE.  Free with g_free(). */
char *cmdline_help(const CmdlineOption *table, const char *usage);

#endif
