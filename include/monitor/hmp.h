/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: the monitor for people.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * A command is a row of a table: name, arguments as help shows them, a line of help, a function.  The
 * function turns words into a QMP command's arguments and the answer into text; it has no way to the
 * machine that QMP does not have.  "info NAME" commands are rows called "info NAME".
 */
#ifndef MONITOR_HMP_H
#define MONITOR_HMP_H

#include <stdbool.h>
#include <json-glib/json-glib.h>
#include "util/options.h"

typedef struct HmpSession HmpSession;

/* ARGS: what follows the command's name, without blanks around it; "" when nothing does. */
typedef void HmpHandler(HmpSession *hmp, const char *args);

/*
 * Adds to WORDS (g_strdup()ed) what may stand for the N-th argument (from 0) of a line that begins
 * with PREFIX.
 */
typedef void HmpCompleter(unsigned n, const char *prefix, GPtrArray *words);

typedef struct HmpCommand {
    const char *name;      /* "device_add", "info block"; NULL ends the table */
    const char *alias;     /* a short form ("c" for "cont", "q" for "quit"), or NULL */
    const char *args;      /* for help: "DRIVER[,prop=value...]"; "": none */
    const char *help;      /* one line */
    HmpHandler *run;
    HmpCompleter *complete; /* NULL: nothing to offer */
    const char *qmp;        /* QMP command that it needs: without it the row is not offered; NULL: none */
} HmpCommand;

/* Makes the commands of TABLE (static) known; at program start.  A later row of the same name is not reached. */
void hmp_register(const HmpCommand *table);

/* Text to the session's person; control characters but for newline and tab become '?'. */
void hmp_printf(HmpSession *hmp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* "Error: MESSAGE"; how every failed HMP command ends. */
void hmp_error(HmpSession *hmp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Prints the answer of a command that was run for HMP. */
typedef void HmpPrinter(HmpSession *hmp, JsonNode *value);

/*
 * Runs QMP command NAME with ARGS (taken; NULL: none) for the session.  The session takes no further
 * line until it has ended; then PRINT (NULL: prints nothing) or "Error: ..." follows, and the prompt.
 * The last thing that a handler does.
 */
void hmp_qmp(HmpSession *hmp, const char *name, JsonObject *args, HmpPrinter *print);

/*
 * Splits ARGS at blanks into at least MIN and at most MAX words ("..." and \ as in QEMU).  With the wrong
 * number it prints the usage and returns NULL.  Free with g_strfreev().
 */
char **hmp_words(HmpSession *hmp, const char *args, unsigned min, unsigned max);

/*
 * OPTS as the arguments of a QMP command: dotted keys nest, values stay text.  Of a key that is a value and
 * has keys below it ("a=1,a.b=2") the later one stays.
 */
JsonObject *hmp_options_to_json(Options *opts);

/*
 * ARGS, the whole rest of a line, as options named after OPTION: one word (maybe in quotes), or JSON up to the
 * line's end.  NULL: the usage or the error has been printed.
 */
Options *hmp_options(HmpSession *hmp, const char *option, const char *args, const char *implied_key);

/* Makes the commands of this directory known; at program start, after all qmp_register(). */
void hmp_commands_init(void);

#endif
