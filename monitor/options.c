/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -qmp, -monitor, -chardev, -mon, and the start and end of all monitors.
 *
 * Runs in: both programs.
 *
 * Each option is kept as the user wrote it.  -qmp and -monitor are one monitor each; a -chardev does nothing until a
 * -mon names it, in whatever order they stand.
 */
#include <string.h>

#include "chardev/chardev.h"
#include "endpoint.h"
#include "monitor-int.h"
#include "monitor/hmp.h"
#include "monitor/options.h"
#include "system/runstate.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd-name.h"

void monitor_options_init(MonitorOptions *options)
{
    start_options_init(&options->start);
    options->chardevs = cmdline_actions_new();
    options->monitors = cmdline_actions_new();
}

void monitor_options_clear(MonitorOptions *options)
{
    start_options_clear(&options->start);
    g_ptr_array_unref(options->chardevs);
    g_ptr_array_unref(options->monitors);
}

bool monitor_wanted(const MonitorOptions *options)
{
    return options->monitors->len > 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* -qmp and -monitor: "unix:PATH,server=on" is "unix" with the options path=PATH,server=on. */
static bool add_legacy(const char *option, const char *arg, void *opaque, GError **errp)
{
    MonitorOptions *options = opaque;
    g_autofree char *text = NULL;

    options->given = true;
    if (g_str_equal(arg, "none") || g_str_equal(arg, "null")) {
        return true; /* nobody ever comes */
    }
    if (g_str_has_prefix(arg, "unix:")) {
        text = g_strdup_printf("backend=unix,%s%s", g_str_has_prefix(arg, "unix:path=") ? "" : "path=",
                               arg + strlen("unix:"));
    } else if (g_str_equal(arg, "stdio")) {
        text = g_strdup("backend=stdio");
    } else {
        error_setg(errp, "%s %s: not supported; give unix:PATH,server=on, stdio, null or none, or -chardev and -mon",
                   option, arg);
        return false;
    }
    if (!cmdline_action_add(options->monitors, option, text, NULL, errp)) {
        return false;
    }
    /* What the user wrote, not our text, which goes. */
    ((CmdlineAction *)g_ptr_array_index(options->monitors, options->monitors->len - 1))->arg = arg;
    return true;
}

bool monitor_opt_qmp(const char *arg, void *opaque, GError **errp)
{
    return add_legacy("-qmp", arg, opaque, errp);
}

bool monitor_opt_monitor(const char *arg, void *opaque, GError **errp)
{
    return add_legacy("-monitor", arg, opaque, errp);
}

bool monitor_opt_chardev(const char *arg, void *opaque, GError **errp)
{
    MonitorOptions *options = opaque;

    return cmdline_action_add(options->chardevs, "-chardev", arg, "backend", errp);
}

bool monitor_opt_mon(const char *arg, void *opaque, GError **errp)
{
    MonitorOptions *options = opaque;

    options->given = true;
    return cmdline_action_add(options->monitors, "-mon", arg, "chardev", errp);
}

/* ---- carrying out ---------------------------------------------------------------------------- */

static bool open_socket(Options *opts, MonitorMode mode, GError **errp)
{
    static const char *const known[] = { "path", "server", "wait", "fd", NULL };
    const char *path = options_get(opts, "path"), *fd_text = options_get(opts, "fd");
    bool server = false, wait = true;
    int fd;

    if (!options_get_bool(opts, "server", &server, errp) || !options_get_bool(opts, "wait", &wait, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    if (!path == !fd_text || (path && !*path)) {
        error_setg(errp, "a monitor's socket needs path=PATH, or fd=N of a connected socket");
        return false;
    }
    if (options_has(opts, "wait") && !server) {
        error_setg(errp, "wait=%s is for one that listens; leave it out, or add server=on", options_get(opts, "wait"));
        return false;
    }
    if (path) {
        return server ? endpoint_listen(path, wait, mode, errp) : endpoint_connect(path, mode, errp);
    }
    if (server) {
        error_setg(errp, "fd=%s: server=on is for path= only; leave it out, and pass a connected socket", fd_text);
        return false;
    }
    fd = fd_name_or_number_take("fd", fd_text, errp);
    return fd >= 0 && endpoint_take_fd(fd, mode, errp);
}

/* Begins a monitor of MODE on the device that OPTS describe. */
static bool open_device(Options *opts, MonitorMode mode, GError **errp)
{
    static const char *const none[] = { NULL };
    const char *backend = options_get(opts, "backend");
    const char *id = options_get(opts, "id");

    if (id && chardev_is_mux(id)) {
        return endpoint_mux(id, mode, errp);
    }
    if (id && chardev_exists(id)) {
        error_setg(errp, "chardev=%s: it is a serial port's; add mux=on to share it", id);
        return false;
    }
    if (g_strcmp0(backend, "socket") == 0 || g_strcmp0(backend, "unix") == 0) {
        return open_socket(opts, mode, errp);
    }
    if (!options_check_unused(opts, none, errp)) {
        return false;
    }
    if (g_strcmp0(backend, "null") == 0) {
        return true; /* nobody ever comes */
    }
    return endpoint_stdio(mode, errp);
}

/* The options of the -chardev with ID. */
static Options *find_chardev(const MonitorOptions *options, const char *id)
{
    for (unsigned i = 0; i < options->chardevs->len; i++) {
        CmdlineAction *action = g_ptr_array_index(options->chardevs, i);

        if (g_strcmp0(options_get(action->opts, "id"), id) == 0) {
            return action->opts;
        }
    }
    return NULL;
}

/* -mon [chardev=]ID,mode=,pretty=: the device's options, taken out of the list of free ones. */
static Options *read_mon(const MonitorOptions *options, Options *opts, GHashTable *used, MonitorMode *ret_mode,
                         GError **errp)
{
    static const char *const known[] = { "chardev", "mode", "pretty", "id", NULL };
    static const char *const modes[] = { "readline", "control", NULL };
    const char *id = options_get(opts, "chardev");
    Options *device = id ? find_chardev(options, id) : NULL;
    bool pretty = false;
    int mode = 0;

    options_get(opts, "id");
    if (!options_get_enum(opts, "mode", modes, &mode, errp) || !options_get_bool(opts, "pretty", &pretty, errp) ||
        !options_check_unused(opts, known, errp)) {
        return NULL;
    }
    if (!id) {
        error_setg(errp, "chardev is missing; give the id of a -chardev");
        return NULL;
    }
    if (!device) {
        error_setg(errp, "chardev=%s: there is no such device; add -chardev socket,id=%s,...", id, id);
        return NULL;
    }
    if (!g_hash_table_add(used, device) && !chardev_is_mux(id)) {
        error_setg(errp, "chardev=%s: it has another monitor already; give each its own -chardev", id);
        return NULL;
    }
    *ret_mode = mode == 0 ? MONITOR_READLINE : pretty ? MONITOR_CONTROL_PRETTY : MONITOR_CONTROL;
    return device;
}

static bool start_one(const MonitorOptions *options, CmdlineAction *action, GHashTable *used, GError **errp)
{
    MonitorMode mode = g_str_equal(action->option, "-qmp") ? MONITOR_CONTROL : MONITOR_READLINE;
    Options *device = action->opts;

    if (g_str_equal(action->option, "-mon")) {
        device = read_mon(options, action->opts, used, &mode, errp);
    }
    return device && open_device(device, mode, errp);
}

/* All of them, those too that no -mon names: a mistake in an option is told whether or not it would matter. */
static bool check_chardevs(const MonitorOptions *options, GError **errp)
{
    static const char *const backends[] = { "socket", "stdio", "null", NULL };

    for (unsigned i = 0; i < options->chardevs->len; i++) {
        CmdlineAction *action = g_ptr_array_index(options->chardevs, i);
        const char *id = options_get(action->opts, "id"), *backend = options_get(action->opts, "backend");

        if (id && find_chardev(options, id) == action->opts && chardev_exists(id)) {
            continue; /* a serial port's: it was looked at when it was made */
        }
        if (!backend || !g_strv_contains(backends, backend)) {
            error_setg(errp, "-chardev %s: '%s' is no device for a -mon; give socket, stdio or null", action->arg,
                       backend ? backend : "");
            return false;
        }
        if (!id || !id_wellformed(id) || find_chardev(options, id) != action->opts) {
            error_setg(errp, "-chardev %s: it needs an id of its own; give id=ID, letters and digits", action->arg);
            return false;
        }
    }
    return true;
}

bool monitor_open(const MonitorOptions *options, GError **errp)
{
    g_autoptr(GHashTable) used = g_hash_table_new(NULL, NULL);

    if (!check_chardevs(options, errp)) {
        return false;
    }
    runstate_set_resumable(monitor_wanted(options));
    if (!monitor_wanted(options)) {
        return true;
    }
    monitor_events_start();
    for (unsigned i = 0; i < options->monitors->len; i++) {
        CmdlineAction *action = g_ptr_array_index(options->monitors, i);

        if (!start_one(options, action, used, errp)) {
            cmdline_action_prefix_error(action, errp);
            return false;
        }
    }
    return true;
}

bool monitor_start(void)
{
    int status;

    endpoints_begin();
    while (endpoints_waiting() && !shutdown_requested(&status)) {
        event_loop_turn(event_loop_main(), true);
    }
    return !endpoints_waiting();
}

void monitor_stop(void)
{
    monitor_events_stop();
    endpoints_stop();
    qmp_sessions_stop();
    hmp_sessions_stop();
}

void monitor_init(void)
{
    qmp_register(qmp_control_commands);
    qmp_register(qmp_machine_commands);
    qmp_register(qmp_fd_commands);
    qmp_register(qmp_trace_commands);
    qmp_register(qmp_sandbox_commands);
    hmp_commands_init();
}
