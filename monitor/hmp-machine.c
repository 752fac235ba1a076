/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HMP: the machine, trace events, descriptors.
 *
 * Runs in: both programs.
 */
#include "monitor/hmp-int.h"

#include "util/error.h"
#include "util/fd.h"
#include "util/fd-name.h"
#include "util/options.h"

static void run_plain(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, NULL, NULL);
}

static const char *const fd_members[] = { "fdname", NULL };

/*
 * A descriptor that came with the line is named as QMP's getfd does it; without one the QMP command tells what
 * is missing.
 */
static void run_getfd(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 1, 1);
    g_autoptr(GError) err = NULL;
    auto_fd fd = words ? hmp_session_take_fd(hmp) : -1;

    if (!words) {
        return;
    }
    if (fd < 0) {
        hmp_run_words(hmp, args, fd_members, NULL);
    } else if (!fd_store_check_room(&err) || !fd_name_add_take_fd(words[0], fd_steal(&fd), &err)) {
        hmp_error(hmp, "%s", err->message);
    }
}

static void run_closefd(HmpSession *hmp, const char *args)
{
    hmp_run_words(hmp, args, fd_members, NULL);
}

static void run_trace_event(HmpSession *hmp, const char *args)
{
    g_auto(GStrv) words = hmp_words(hmp, args, 2, 2);
    JsonObject *json;
    bool on;

    if (!words) {
        return;
    }
    if (!parse_bool(words[1], &on)) {
        hmp_usage(hmp, "Expected 'on' or 'off'");
        return;
    }
    json = json_object_new();
    json_object_set_string_member(json, "name", words[0]);
    json_object_set_boolean_member(json, "enable", on);
    hmp_qmp(hmp, "trace-event-set-state", json, NULL);
}

const HmpCommand hmp_machine_commands[] = {
    { "stop", "s", "", "stop the machine", run_plain, .qmp = "stop" },
    { "cont", "c", "", "let the machine go on", run_plain, .qmp = "cont" },
    { "system_reset", NULL, "", "reset the machine", run_plain, .qmp = "system_reset" },
    { "quit", "q", "", "end the program", run_plain, .qmp = "quit" },
    { "getfd", NULL, "NAME", "name the descriptor that was sent along with the line", run_getfd, .qmp = "getfd" },
    { "closefd", NULL, "NAME", "close a descriptor named by getfd", run_closefd, .qmp = "closefd" },
    { "trace-event", NULL, "NAME on|off", "switch trace events (NAME may be a pattern)", run_trace_event,
      hmp_complete_trace, "trace-event-set-state" },
    { NULL },
};
