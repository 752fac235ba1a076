/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-sandbox.
 *
 * Runs in: both programs.
 */
#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "sandbox/sandbox.h"

static void add_call(const char *name, void *opaque)
{
    json_array_add_string_element(opaque, name);
}

static bool cmd_sandbox(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    const SandboxState *state = sandbox_state();
    JsonObject *info = json_object_new();
    JsonArray *calls = json_array_new();

    if (state->profile) {
        sandbox_profile_foreach(state->profile, add_call, calls);
    }
    json_object_set_string_member(info, "level", sandbox_level_name(state->level));
    json_object_set_int_member(info, "landlock", state->landlock);
    json_object_set_array_member(info, "syscalls", calls);
    *ret_value = node_take_object(info);
    return true;
}

const QmpCommandImpl qmp_sandbox_commands[] = {
    { "query-sandbox", cmd_sandbox },
    { NULL },
};
