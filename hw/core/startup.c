/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both programs' command lines make at the start.
 *
 * Runs in: both programs.
 */
#include "hw/core/startup.h"

#include <sys/prctl.h>
#include <unistd.h>

#include "block/block.h"
#include "hw/core/device.h"
#include "util/cmdline.h"
#include "util/fd-name.h"
#include "util/log.h"
#include "util/trace.h"

void start_options_init(StartOptions *start)
{
    for (StartStep step = 0; step < START_STEPS; step++) {
        start->actions[step] = cmdline_actions_new();
    }
}

void start_options_clear(StartOptions *start)
{
    for (StartStep step = 0; step < START_STEPS; step++) {
        g_ptr_array_unref(start->actions[step]);
    }
    g_free(start->vm_name);
}

/* ---- reading --------------------------------------------------------------------------------- */

bool start_opt_add_fd(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;

    return cmdline_action_add(start->actions[START_FDS], "-add-fd", arg, NULL, errp);
}

bool start_opt_object(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;
    StartStep step = START_OBJECTS;

    if (user_creatable_print_help(arg)) {
        start->only_help = true;
        return true;
    }
    if (start->late_object_type) {
        g_autoptr(Options) probe = options_parse("-object", arg, "qom-type", errp);

        if (!probe) {
            return false;
        }
        if (g_strcmp0(options_get(probe, "qom-type"), start->late_object_type) == 0) {
            step = START_LATE_OBJECTS;
        }
    }
    return cmdline_action_add(start->actions[step], "-object", arg, "qom-type", errp);
}

bool start_opt_blockdev(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;

    return cmdline_action_add(start->actions[START_BLOCKDEV], "-blockdev", arg, "driver", errp);
}

bool start_opt_drive(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;

    return cmdline_action_add(start->actions[START_DRIVE], "-drive", arg, NULL, errp);
}

bool start_opt_device(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;

    if (device_print_help(arg)) {
        start->only_help = true;
        return true;
    }
    return cmdline_action_add(start->actions[START_DEVICE], "-device", arg, "driver", errp);
}

bool start_opt_name(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "guest", "process", "debug-threads", NULL };
    StartOptions *start = opaque;
    g_autoptr(Options) opts = options_parse("-name", arg, "guest", errp);
    const char *process;
    bool debug_threads = false;

    if (!opts) {
        return false;
    }
    g_free(start->vm_name);
    start->vm_name = g_strdup(options_get(opts, "guest"));
    process = options_get(opts, "process");
    if (!options_get_bool(opts, "debug-threads", &debug_threads, errp) || !options_check_unused(opts, known, errp)) {
        return false;
    }
    if (process) {
        prctl(PR_SET_NAME, process);
    }
    return true;
}

bool start_opt_trace(const char *arg, void *opaque, GError **errp)
{
    StartOptions *start = opaque;

    return trace_parse_option(arg, &start->only_help, errp);
}

bool start_opt_trace_file(const char *arg, void *opaque, GError **errp)
{
    return trace_open_output("-D", arg, errp);
}

/* ---- carrying out ---------------------------------------------------------------------------- */

static bool run_fd(Options *opts, GError **errp)
{
    return fd_add_option(opts, false, errp);
}

static bool run_named_fd(Options *opts, GError **errp)
{
    return fd_add_option(opts, true, errp);
}

static bool run_object(Options *opts, GError **errp)
{
    return user_creatable_add(opts, errp) != NULL;
}

static bool run_drive(Options *opts, GError **errp)
{
    return drive_add(opts, errp) != NULL;
}

static bool run_device(Options *opts, GError **errp)
{
    return device_add(opts, errp) != NULL;
}

bool start_run(const StartOptions *start, StartStep first, StartStep last, GError **errp)
{
    bool (*const run[START_STEPS])(Options *opts, GError **errp) = {
        [START_FDS] = start->named_fds ? run_named_fd : run_fd,
        [START_OBJECTS] = run_object,
        [START_BLOCKDEV] = blockdev_add,
        [START_DRIVE] = run_drive,
        [START_DEVICE] = run_device,
        [START_LATE_OBJECTS] = run_object,
    };

    for (StartStep step = first; step <= last; step++) {
        if (!cmdline_actions_run(start->actions[step], run[step], errp)) {
            return false;
        }
    }
    return true;
}

/* Not exit(): what it would tear down may still be in use by the kernel, and waits for it. */
void end_hung_storage(const char *name)
{
    if (name) {
        log_error("storage does not answer: requests to '%s' are given up, their data may be lost", name);
        _exit(1);
    }
}
