/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about the machine's run state.
 *
 * Runs in: both programs.
 */
#include "monitor/commands-int.h"
#include "monitor/monitor-int.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/error.h"

static bool cmd_status(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonObject *info = json_object_new();

    json_object_set_boolean_member(info, "running", runstate_get() == RUN_STATE_RUNNING);
    json_object_set_boolean_member(info, "singlestep", FALSE);
    json_object_set_string_member(info, "status", runstate_name(runstate_get()));
    *ret_value = node_take_object(info);
    return true;
}

static bool cmd_stop(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    vm_stop(RUN_STATE_PAUSED);
    return true;
}

static bool cmd_cont(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    if (runstate_get() == RUN_STATE_SHUTDOWN) {
        error_setg(errp, "the guest has switched the machine off; use system_reset first");
        return false;
    }
    if (runstate_get() == RUN_STATE_INTERNAL_ERROR) {
        error_setg(errp, "a processor cannot go on, for a reason that was logged; use system_reset first");
        return false;
    }
    vm_start();
    return true;
}

static bool cmd_reset(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    system_reset_for(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return true;
}

/* The event comes before the answer, as in QEMU. */
static bool cmd_quit(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    shutdown_request_for(0, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    shutdown_announce();
    return true;
}

const QmpCommandImpl qmp_machine_commands[] = {
    { "query-status", cmd_status },
    { "stop", cmd_stop },
    { "cont", cmd_cont },
    { "system_reset", cmd_reset },
    { "quit", cmd_quit },
    { NULL },
};
