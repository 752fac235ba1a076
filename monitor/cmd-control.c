/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about the monitor itself: negotiation, version, commands, schema, the monitor for people.
 *
 * Runs in: both programs.
 */
#include <stdio.h>

#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "util/error.h"

static bool cmd_capabilities(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    QmpSession *session = qmp_call_session(call);
    JsonArray *enable = json_object_has_member(args, "enable") ? json_object_get_array_member(args, "enable") : NULL;

    if (!session) {
        error_set(errp, ERROR_CLASS_COMMAND_NOT_FOUND, "qmp_capabilities is for QMP sessions only");
        return false;
    }
    /* The schema has one capability. */
    qmp_session_negotiated(session, enable && json_array_get_length(enable) > 0);
    return true;
}

/* ---- what there is --------------------------------------------------------------------------- */

JsonObject *monitor_version(void)
{
    JsonObject *version = json_object_new(), *triple = json_object_new();
    int parts[3] = { 0, 0, 0 };

    /* NOLINTNEXTLINE(cert-err34-c): a string of ours */
    sscanf(MPQEMU_VERSION, "%d.%d.%d", &parts[0], &parts[1], &parts[2]);
    json_object_set_int_member(triple, "major", parts[0]);
    json_object_set_int_member(triple, "minor", parts[1]);
    json_object_set_int_member(triple, "micro", parts[2]);
    json_object_set_object_member(version, "qemu", triple);
    json_object_set_string_member(version, "package", "mpqemu " MPQEMU_VERSION);
    return version;
}

static bool cmd_version(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    *ret_value = node_take_object(monitor_version());
    return true;
}

static bool cmd_commands(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *result = json_array_new();

    for (const QapiCommand *command = qapi_commands; command->name; command++) {
        if (qmp_has_command(command->name)) {
            JsonObject *info = json_object_new();

            json_object_set_string_member(info, "name", command->name);
            json_array_add_object_element(result, info);
        }
    }
    *ret_value = node_take_array(result);
    return true;
}

static bool have_command(const char *name, void *opaque)
{
    return qmp_has_command(name);
}

static bool cmd_schema(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    *ret_value = qapi_introspect(have_command, NULL);
    return true;
}

/* ---- names ----------------------------------------------------------------------------------- */

static char *vm_name; /* NULL: none */

void monitor_set_vm_name(const char *name)
{
    g_free(vm_name);
    vm_name = g_strdup(name);
}

static bool cmd_name(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonObject *info = json_object_new();

    if (vm_name) {
        json_object_set_string_member(info, "name", vm_name);
    }
    *ret_value = node_take_object(info);
    return true;
}

/* ---- the monitor for people ------------------------------------------------------------------ */

static void human_done(const char *text, void *opaque)
{
    JsonNode *value = json_node_new(JSON_NODE_VALUE);

    json_node_set_string(value, text);
    qmp_call_finish(opaque, value, NULL);
}

static bool cmd_human(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    qmp_call_defer(call);
    hmp_run_line(json_object_get_string_member(args, "command-line"), human_done, call);
    return true;
}

const QmpCommandImpl qmp_control_commands[] = {
    { "qmp_capabilities", cmd_capabilities },
    { "query-version", cmd_version },
    { "query-commands", cmd_commands },
    { "query-qmp-schema", cmd_schema },
    { "query-name", cmd_name },
    { "human-monitor-command", cmd_human },
    { NULL },
};
