/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about trace events.
 *
 * Runs in: both programs.
 */
#include <fnmatch.h>
#include <string.h>

#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "util/error.h"
#include "util/trace.h"

static bool is_pattern(const char *name)
{
    return strpbrk(name, "*?") != NULL;
}

typedef struct TraceQuery {
    const char *pattern;
    JsonArray *result;
} TraceQuery;

static void add_event(const char *name, bool enabled, void *opaque)
{
    TraceQuery *query = opaque;
    JsonObject *info;

    if (fnmatch(query->pattern, name, 0) != 0) {
        return;
    }
    info = json_object_new();
    json_object_set_string_member(info, "name", name);
    json_object_set_string_member(info, "state", enabled ? "enabled" : "disabled");
    json_object_set_boolean_member(info, "vcpu", FALSE);
    json_array_add_object_element(query->result, info);
}

/* The events that match PATTERN; NULL with *errp when a plain name is not there. */
static JsonArray *find_events(const char *pattern, GError **errp)
{
    TraceQuery query = { pattern, json_array_new() };

    trace_foreach(add_event, &query);
    if (json_array_get_length(query.result) == 0 && !is_pattern(pattern)) {
        error_setg(errp, "unknown event \"%s\"", pattern);
        g_clear_pointer(&query.result, json_array_unref);
    }
    return query.result;
}

static bool cmd_get_state(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *events = find_events(json_object_get_string_member(args, "name"), errp);

    if (!events) {
        return false;
    }
    *ret_value = node_take_array(events);
    return true;
}

static bool cmd_set_state(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    bool enable = json_object_get_boolean_member(args, "enable");
    g_autoptr(JsonArray) events = find_events(json_object_get_string_member(args, "name"), errp);

    if (!events) {
        return false;
    }
    for (unsigned i = 0; i < json_array_get_length(events); i++) {
        JsonObject *info = json_array_get_object_element(events, i);

        trace_enable_pattern(json_object_get_string_member(info, "name"), enable, NULL);
    }
    return true;
}

const QmpCommandImpl qmp_trace_commands[] = {
    { "trace-event-get-state", cmd_get_state },
    { "trace-event-set-state", cmd_set_state },
    { NULL },
};
