/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: help, how a wrong use is told, how a size is written.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include <string.h>

char *hmp_size_text(uint64_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double)size;
    unsigned unit = 0;
    char number[G_ASCII_DTOSTR_BUF_SIZE];

    while (value >= 999.5 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1024;
        unit++;
    }
    g_ascii_formatd(number, sizeof(number), "%.3g", value);
    return g_strdup_printf("%s %s", number, units[unit]);
}

static void print_row(HmpSession *hmp, const HmpCommand *row)
{
    hmp_printf(hmp, "%s%s%s %s -- %s\n", row->name, row->alias ? "|" : "", row->alias ? row->alias : "",
               row->args, row->help);
}

void hmp_usage(HmpSession *hmp, const char *fmt, ...)
{
    const HmpCommand *row = hmp_session_command(hmp);
    g_autofree char *problem = NULL;
    va_list args;

    va_start(args, fmt);
    problem = g_strdup_vprintf(fmt, args);
    va_end(args);
    hmp_printf(hmp, "%s: %s\nTry \"help %s\" for more information\n", row->name, problem, row->name);
}

/* Prints the rows that are "info" rows, or those that are not. */
static void print_rows(HmpSession *hmp, bool info)
{
    g_autoptr(GPtrArray) rows = hmp_sorted();

    for (guint i = 0; i < rows->len; i++) {
        if (hmp_is_info(rows->pdata[i]) == info) {
            print_row(hmp, rows->pdata[i]);
        }
    }
}

/* "info" alone. */
static void run_info(HmpSession *hmp, const char *args)
{
    print_rows(hmp, true);
}

static void run_help(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 0, 2);
    g_autofree char *name = NULL;
    const HmpCommand *row;

    if (!words) {
        return;
    }
    name = g_strjoinv(" ", words);
    if (!*name) {
        print_rows(hmp, false);
        return;
    }
    if (g_str_equal(name, "info")) {
        print_rows(hmp, true);
        return;
    }
    row = hmp_find(name);
    if (row) {
        print_row(hmp, row);
    } else {
        hmp_printf(hmp, "unknown command: '%s'\n", name);
    }
}

const HmpCommand hmp_help_commands[] = {
    { "help", "?", "[COMMAND]", "list the commands, or explain one", run_help, hmp_complete_command },
    { "info", NULL, "[NAME]", "show something of the machine; without NAME: list what there is", run_info },
    { NULL },
};
