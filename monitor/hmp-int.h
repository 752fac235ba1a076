/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP inside: sessions and what is in front of them.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * An HmpSession runs lines, one after the other.  Where the lines come from and where the text goes is its
 * front's: a stream (hmp-stream.c), a terminal (hmp-terminal.c), or human-monitor-command.
 */
#ifndef MONITOR_HMP_INT_H
#define MONITOR_HMP_INT_H

#include <stddef.h>
#include "monitor/hmp.h"

/* Longest line.  A device_add with JSON is below 1 KiB; a peer cannot make us keep more than this. */
#define HMP_LINE_MAX 16384

#define HMP_PROMPT "(qemu) "
#define HMP_BANNER "mpqemu " MPQEMU_VERSION " monitor - type 'help' for more information\n"

typedef struct HmpFront {
    void (*write)(const char *text, size_t len, void *opaque);
    /* The line has ended, with all that it printed; the next may come.  May come inside hmp_session_run(). */
    void (*idle)(void *opaque);
    const GPtrArray *(*history)(void *opaque); /* lines typed before; NULL: the front keeps none */
    int (*take_fd)(void *opaque); /* oldest descriptor that came with the line; -1: none.  NULL: none comes here */
    bool crlf; /* lines end with CR LF, as QEMU's do everywhere but on a cooked terminal */
} HmpFront;

/* FRONT is static.  Free with hmp_session_free(). */
HmpSession *hmp_session_new(const HmpFront *front, void *opaque);

/*
 * The front goes: it is not called any more.  A command under way goes on to its end, and its answer nowhere.
 * Accepts NULL; allowed inside the front's functions.
 */
void hmp_session_free(HmpSession *hmp);

/* Runs LINE (without its end); the session must be idle. */
void hmp_session_run(HmpSession *hmp, const char *line);

/* A command is under way: no further line now. */
bool hmp_session_busy(const HmpSession *hmp);

/* The row that is being run, for usage messages; NULL while idle. */
const HmpCommand *hmp_session_command(const HmpSession *hmp);

/* What follows the row's name in the line, for printers; "" while idle. */
const char *hmp_session_args(const HmpSession *hmp);

/* Lines typed before, oldest first, or NULL. */
const GPtrArray *hmp_session_history(const HmpSession *hmp);

/* The oldest descriptor that the client has sent along, owned by the caller, or -1. */
int hmp_session_take_fd(HmpSession *hmp);

/* ---- the table ------------------------------------------------------------------------------------- */

/* The row of NAME ("device_add", "c", "info block"), when this program offers it; else NULL. */
const HmpCommand *hmp_find(const char *name);

/* All rows that are offered, sorted by name; the array is the caller's, the rows are static. */
GPtrArray *hmp_sorted(void);

/* Whether ROW is an "info NAME". */
bool hmp_is_info(const HmpCommand *row);

/* ---- help, usage, completion ------------------------------------------------------------------------ */

extern const HmpCommand hmp_help_commands[];

/* "NAME: PROBLEM" and where help is. */
void hmp_usage(HmpSession *hmp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/*
 * What may stand for the last word of LINE (text up to the cursor): sorted, no doubles, never NULL.
 * *ret_start gets the offset of that word in LINE.
 */
GPtrArray *hmp_complete(const char *line, size_t *ret_start);

/* Completers: each offers for argument 0 only, but where said. */
void hmp_complete_command(unsigned n, const char *prefix, GPtrArray *words);  /* all arguments of help */
void hmp_complete_driver(unsigned n, const char *prefix, GPtrArray *words);   /* and properties behind a comma */
void hmp_complete_object_type(unsigned n, const char *prefix, GPtrArray *words);
void hmp_complete_device(unsigned n, const char *prefix, GPtrArray *words);
void hmp_complete_object(unsigned n, const char *prefix, GPtrArray *words);
void hmp_complete_drive(unsigned n, const char *prefix, GPtrArray *words);
void hmp_complete_qom(unsigned n, const char *prefix, GPtrArray *words);      /* 0: path, 1: its properties (any) */
void hmp_complete_trace(unsigned n, const char *prefix, GPtrArray *words);    /* 0: event, 1: on, off */

/* ---- what many commands do -------------------------------------------------------------------------- */

/* WORD as a size in bytes, megabytes without a suffix.  False: the usage has been printed. */
bool hmp_size(HmpSession *hmp, const char *word, int64_t *ret_size);

/*
 * Runs the row's QMP command.  ARGS must be as many words as MEMBERS (NULL-ended; NULL: none) names, and each becomes
 * the member of its place.
 */
void hmp_run_words(HmpSession *hmp, const char *args, const char *const *members, HmpPrinter *print);

/* Prints what "help" or "TYPE,help" asks for, of the types derived from BASE.  False: ARGS asks for no help. */
bool hmp_help_on_types(HmpSession *hmp, const char *args, GType base);

/* ---- tables of commands ----------------------------------------------------------------------------- */

extern const HmpCommand hmp_machine_commands[];
extern const HmpCommand hmp_device_commands[];
extern const HmpCommand hmp_block_commands[];
extern const HmpCommand hmp_info_commands[];
extern const HmpCommand hmp_tree_commands[];
extern const HmpCommand hmp_remote_commands[];
extern const HmpCommand hmp_cpu_commands[];

/* SIZE for people: "8 MiB", "1.5 GiB"; three digits.  Free with g_free(). */
char *hmp_size_text(uint64_t size);

/* ---- reading QMP answers: a member that is absent or of another type reads as "", 0, false, NULL ------ */

const char *hmp_json_str(JsonObject *obj, const char *name);
int64_t hmp_json_int(JsonObject *obj, const char *name);
bool hmp_json_bool(JsonObject *obj, const char *name);
JsonObject *hmp_json_obj(JsonObject *obj, const char *name);
JsonArray *hmp_json_array(JsonObject *obj, const char *name);

/* The elements of VALUE when it is an array, each that is an object; calls FN in order. */
void hmp_json_foreach(HmpSession *hmp, JsonArray *array, void (*fn)(HmpSession *hmp, JsonObject *obj));

/* The array in VALUE, or NULL. */
JsonArray *hmp_json_node_array(JsonNode *value);
JsonObject *hmp_json_node_obj(JsonNode *value);

#endif
