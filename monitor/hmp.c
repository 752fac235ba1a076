/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: sessions, the table of commands, how a line becomes a command.
 *
 * Runs in: both programs.
 *
 * Life of a session.  The front owns one reference.  A line that is being run and a QMP command under way own
 * one each: the front may go at any time, inside its own functions too, and the answer then finds no front.
 */
#include "monitor/hmp-int.h"

#include <string.h>
#include "monitor/monitor.h"

struct HmpSession {
    int refs;
    const HmpFront *front; /* NULL: has gone */
    void *opaque;
    const HmpCommand *command; /* the row that is being run; NULL: idle */
    char *args;  /* of the row */
    bool running; /* inside hmp_session_run() */
    bool pending; /* a QMP command is under way */
    HmpPrinter *print; /* of the QMP command */
};

/* ---- the table --------------------------------------------------------------------------------- */

static GPtrArray *tables; /* const HmpCommand *, each the first row of a table */

void hmp_register(const HmpCommand *table)
{
    if (!tables) {
        tables = g_ptr_array_new();
    }
    g_ptr_array_add(tables, (gpointer)table);
}

void hmp_commands_init(void)
{
    static const HmpCommand *const own[] = {
        hmp_help_commands, hmp_machine_commands, hmp_device_commands, hmp_block_commands,
        hmp_info_commands, hmp_tree_commands, hmp_remote_commands, hmp_cpu_commands,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++) {
        hmp_register(own[i]);
    }
}

static bool is_offered(const HmpCommand *row)
{
    return !row->qmp || qmp_has_command(row->qmp);
}

const HmpCommand *hmp_find(const char *name)
{
    for (guint i = 0; tables && i < tables->len; i++) {
        for (const HmpCommand *row = tables->pdata[i]; row->name; row++) {
            if ((g_str_equal(row->name, name) || g_strcmp0(row->alias, name) == 0) && is_offered(row)) {
                return row;
            }
        }
    }
    return NULL;
}

static int compare_rows(gconstpointer a, gconstpointer b)
{
    return strcmp((*(const HmpCommand *const *)a)->name, (*(const HmpCommand *const *)b)->name);
}

GPtrArray *hmp_sorted(void)
{
    GPtrArray *rows = g_ptr_array_new();

    for (guint i = 0; tables && i < tables->len; i++) {
        for (const HmpCommand *row = tables->pdata[i]; row->name; row++) {
            if (is_offered(row)) {
                g_ptr_array_add(rows, (gpointer)row);
            }
        }
    }
    g_ptr_array_sort(rows, compare_rows);
    return rows;
}

bool hmp_is_info(const HmpCommand *row)
{
    return g_str_has_prefix(row->name, "info ");
}

/* ---- sessions ---------------------------------------------------------------------------------- */

HmpSession *hmp_session_new(const HmpFront *front, void *opaque)
{
    HmpSession *hmp = g_new0(HmpSession, 1);

    hmp->refs = 1;
    hmp->front = front;
    hmp->opaque = opaque;
    return hmp;
}

static void session_unref(HmpSession *hmp)
{
    if (--hmp->refs == 0) {
        g_free(hmp->args);
        g_free(hmp);
    }
}

void hmp_session_free(HmpSession *hmp)
{
    if (hmp) {
        hmp->front = NULL;
        session_unref(hmp);
    }
}

bool hmp_session_busy(const HmpSession *hmp)
{
    return hmp->running || hmp->pending;
}

const HmpCommand *hmp_session_command(const HmpSession *hmp)
{
    return hmp->command;
}

const char *hmp_session_args(const HmpSession *hmp)
{
    return hmp->args ? hmp->args : "";
}

const GPtrArray *hmp_session_history(const HmpSession *hmp)
{
    return hmp->front && hmp->front->history ? hmp->front->history(hmp->opaque) : NULL;
}

int hmp_session_take_fd(HmpSession *hmp)
{
    return hmp->front && hmp->front->take_fd ? hmp->front->take_fd(hmp->opaque) : -1;
}

/* The front may go in any of its functions: nothing of it is used behind the call. */
static void session_write(HmpSession *hmp, const char *text)
{
    g_autoptr(GString) lines = NULL;

    if (!hmp->front || !*text) {
        return;
    }
    lines = g_string_new(text);
    /* Some of it may be a remote process's words, or a name that a client chose: no command to the user's terminal. */
    for (char *p = lines->str; *p; p++) {
        *p = g_ascii_iscntrl(*p) && *p != '\n' && *p != '\t' ? '?' : *p;
    }
    if (hmp->front->crlf) {
        g_string_replace(lines, "\n", "\r\n", 0);
    }
    hmp->front->write(lines->str, lines->len, hmp->opaque);
}

void hmp_printf(HmpSession *hmp, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    session_write(hmp, text);
}

void hmp_error(HmpSession *hmp, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start(args, fmt);
    text = g_strdup_vprintf(fmt, args);
    va_end(args);
    hmp_printf(hmp, "Error: %s\n", text);
}

static void session_idle(HmpSession *hmp)
{
    hmp->command = NULL;
    g_clear_pointer(&hmp->args, g_free);
    if (hmp->front) {
        hmp->front->idle(hmp->opaque);
    }
}

/* ---- lines ------------------------------------------------------------------------------------- */

/* Takes the first word of *TEXT, which moves to what follows behind blanks. */
static char *take_word(const char **text)
{
    const char *start = *text;
    size_t len = strcspn(start, " \t");

    *text = start + len + strspn(start + len, " \t");
    return g_strndup(start, len);
}

static void run_command(HmpSession *hmp, const char *line)
{
    const char *args = line;
    g_autofree char *name = take_word(&args);

    if (g_str_equal(name, "info")) {
        g_autofree char *what = take_word(&args);

        if (*what) {
            g_free(name);
            name = g_strconcat("info ", what, NULL);
        }
    }
    hmp->command = hmp_find(name);
    if (hmp->command) {
        hmp->args = g_strdup(args);
        hmp->command->run(hmp, hmp->args);
    } else {
        hmp_printf(hmp, "unknown command: '%s'\n", name);
    }
}

void hmp_session_run(HmpSession *hmp, const char *line)
{
    bool too_long = strlen(line) > HMP_LINE_MAX;
    g_autofree char *text = g_strstrip(g_strndup(line, HMP_LINE_MAX));

    hmp->refs++;
    hmp->running = true;
    if (too_long) {
        hmp_error(hmp, "the line is longer than %d bytes; it was not run", HMP_LINE_MAX);
    } else if (!g_utf8_validate(text, -1, NULL)) {
        hmp_error(hmp, "the line is no UTF-8 text; it was not run");
    } else if (*text) {
        run_command(hmp, text);
    }
    hmp->running = false;
    if (!hmp->pending) {
        session_idle(hmp);
    }
    session_unref(hmp);
}

/* ---- QMP commands ------------------------------------------------------------------------------ */

static void command_done(JsonNode *value, const GError *err, void *opaque)
{
    HmpSession *hmp = opaque;

    if (err) {
        hmp_error(hmp, "%s", err->message);
    } else if (hmp->print) {
        hmp->print(hmp, value);
    }
    hmp->pending = false;
    /* Inside hmp_session_run() that goes on to the end by itself. */
    if (!hmp->running) {
        session_idle(hmp);
    }
    session_unref(hmp);
}

void hmp_qmp(HmpSession *hmp, const char *name, JsonObject *args, HmpPrinter *print)
{
    hmp->refs++;
    hmp->pending = true;
    hmp->print = print;
    qmp_dispatch(name, args, command_done, hmp);
    if (args) {
        json_object_unref(args);
    }
}

/* ---- answers ----------------------------------------------------------------------------------- */

static JsonNode *member(JsonObject *obj, const char *name)
{
    return obj && json_object_has_member(obj, name) ? json_object_get_member(obj, name) : NULL;
}

const char *hmp_json_str(JsonObject *obj, const char *name)
{
    JsonNode *node = member(obj, name);

    return node && json_node_get_value_type(node) == G_TYPE_STRING ? json_node_get_string(node) : "";
}

int64_t hmp_json_int(JsonObject *obj, const char *name)
{
    JsonNode *node = member(obj, name);

    return node && JSON_NODE_HOLDS_VALUE(node) ? json_node_get_int(node) : 0;
}

bool hmp_json_bool(JsonObject *obj, const char *name)
{
    JsonNode *node = member(obj, name);

    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_boolean(node);
}

JsonObject *hmp_json_node_obj(JsonNode *value)
{
    return value && JSON_NODE_HOLDS_OBJECT(value) ? json_node_get_object(value) : NULL;
}

JsonArray *hmp_json_node_array(JsonNode *value)
{
    return value && JSON_NODE_HOLDS_ARRAY(value) ? json_node_get_array(value) : NULL;
}

JsonObject *hmp_json_obj(JsonObject *obj, const char *name)
{
    return hmp_json_node_obj(member(obj, name));
}

JsonArray *hmp_json_array(JsonObject *obj, const char *name)
{
    return hmp_json_node_array(member(obj, name));
}

void hmp_json_foreach(HmpSession *hmp, JsonArray *array, void (*fn)(HmpSession *hmp, JsonObject *obj))
{
    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonObject *obj = hmp_json_node_obj(json_array_get_element(array, i));

        if (obj) {
            fn(hmp, obj);
        }
    }
}
