/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -remote, -rdrive, -rdevice: the command line's half.  The work is done by hw/proxy/remote-*.c.
 *
 * Runs in: mpqemu.
 *
 * Order.  All additions are asked for at once, so that processes start side by side; one process carries its own out in
 * order, drives first.  Which device needs which is known to the remote only.  So what was refused is tried again after
 * the others, as long as a round brings something new; then the refusal is the user's to read.
 */
#include "remote-options.h"

#include "hw/core/device.h"
#include "hw/proxy/remote-process.h"
#include "system/runstate.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/event-loop.h"

bool main_opt_remote(const char *arg, void *opaque, GError **errp)
{
    return cmdline_action_add(((MainConfig *)opaque)->remotes, "-remote", arg, "rid", errp);
}

bool main_opt_rdrive(const char *arg, void *opaque, GError **errp)
{
    return cmdline_action_add(((MainConfig *)opaque)->rdrives, "-rdrive", arg, NULL, errp);
}

bool main_opt_rdevice(const char *arg, void *opaque, GError **errp)
{
    MainConfig *config = opaque;

    /* As the monitor's rdevice_add: of this program's devices, which are qemu-remote's too. */
    if (device_print_help(arg)) {
        config->monitor.start.only_help = true;
        return true;
    }
    return cmdline_action_add(config->rdevices, "-rdevice", arg, "driver", errp);
}

/* One addition under way. */
typedef struct Addition {
    const CmdlineAction *action;
    void (*add)(Options *opts, RemoteDone *done, void *opaque);
    unsigned *waiting;
    GError *err; /* owned; NULL: made, or not ended yet */
} Addition;

static void addition_free(gpointer opaque)
{
    Addition *addition = opaque;

    g_clear_error(&addition->err);
    g_free(addition);
}

static void addition_done(const GError *err, void *opaque)
{
    Addition *addition = opaque;

    addition->err = err ? g_error_copy(err) : NULL;
    (*addition->waiting)--;
}

static void collect(GPtrArray *additions, const GPtrArray *actions,
                    void (*add)(Options *opts, RemoteDone *done, void *opaque))
{
    for (guint i = 0; i < actions->len; i++) {
        Addition *addition = g_new0(Addition, 1);

        addition->action = actions->pdata[i];
        addition->add = add;
        g_ptr_array_add(additions, addition);
    }
}

/* Tries all of ADDITIONS; those that were made leave it.  False: none was. */
static bool try_round(GPtrArray *additions)
{
    unsigned waiting = additions->len;
    bool progress = false;
    int status;

    for (guint i = 0; i < additions->len; i++) {
        Addition *addition = additions->pdata[i];

        g_clear_error(&addition->err);
        addition->waiting = &waiting;
        addition->add(addition->action->opts, addition_done, addition);
    }
    while (waiting > 0) {
        event_loop_turn(event_loop_main(), true);
        if (shutdown_requested(&status)) {
            remote_processes_stop(); /* which ends all additions */
        }
    }
    for (guint i = additions->len; i > 0; i--) {
        if (!((Addition *)additions->pdata[i - 1])->err) {
            g_ptr_array_remove_index(additions, i - 1);
            progress = true;
        }
    }
    return progress;
}

bool main_configure_remotes(const MainConfig *config, GError **errp)
{
    return cmdline_actions_run(config->remotes, remote_configure, errp);
}

bool main_make_remotes(const MainConfig *config, GError **errp)
{
    g_autoptr(GPtrArray) additions = g_ptr_array_new_with_free_func(addition_free);
    Addition *first;
    int status;

    collect(additions, config->rdrives, remote_drive_add);
    collect(additions, config->rdevices, remote_device_add);
    while (additions->len > 0 && !shutdown_requested(&status) && try_round(additions)) {
    }
    if (additions->len == 0 || shutdown_requested(&status)) {
        return additions->len == 0; /* who ends the program early needs no error */
    }
    first = additions->pdata[0];
    g_propagate_error(errp, g_steal_pointer(&first->err));
    cmdline_action_prefix_error(first->action, errp);
    return false;
}
