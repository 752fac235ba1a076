/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of qemu-remote: a stock remote's options, by one table.
 *
 * Runs in: qemu-remote.
 *
 * An option of stock's falls in one of four classes: it is carried out; it says what is so anyway and is accepted
 * (-nodefaults, -display none); it means a part that a device process does not have and is accepted without effect
 * (-m, -accel); or it asks for what this version cannot do and is refused with the reason.  Never is something that
 * the user relies on dropped silently.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "hw/core/device.h"
#include "hw/remote/remote-object.h"
#include "remote/profile.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/log.h"

#define PROGRAM "qemu-remote"
#define MACHINE "x-remote"

/* ---- machine -------------------------------------------------------------------------------------------------- */

static bool opt_machine(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "type", "vfio-user", "auto-shutdown", NULL };
    RemoteConfig *config = opaque;
    g_autoptr(Options) opts = NULL;
    const char *type;
    bool vfio_user = false;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        printf("Supported machines are:\n" MACHINE "             PCI devices for another process's guest\n");
        config->monitor.start.only_help = true;
        return true;
    }
    opts = options_parse("-machine", arg, "type", errp);
    if (!opts) {
        return false;
    }
    if (options_has(opts, "help")) {
        printf(MACHINE "-machine options:\n"
               "  auto-shutdown=<bool>   - end the process when its last link has ended (default: on)\n"
               "  vfio-user=<bool>       - off; the vfio-user protocol is not in this version\n");
        config->monitor.start.only_help = true;
        return true;
    }
    type = options_get(opts, "type");
    if (g_strcmp0(type, MACHINE) != 0) {
        error_setg(errp, "-machine %s: unsupported machine type '%s'; this program has one, " MACHINE, arg,
                   type ? type : "");
        return false;
    }
    if (!options_get_bool(opts, "vfio-user", &vfio_user, errp) ||
        !options_get_bool(opts, "auto-shutdown", &config->auto_shutdown, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    if (vfio_user) {
        error_setg(errp, "-machine %s: vfio-user=on is not in this version; leave it out and use -object "
                   TYPE_REMOTE_OBJECT_NAME, arg);
        return false;
    }
    return true;
}

static bool opt_no_shutdown(const char *arg, void *opaque, GError **errp)
{
    ((RemoteConfig *)opaque)->auto_shutdown = false;
    return true;
}

/* ---- help ----------------------------------------------------------------------------------------------------- */

static bool opt_version(const char *arg, void *opaque, GError **errp)
{
    printf(PROGRAM " (mpqemu) version " MPQEMU_VERSION "\n");
    ((RemoteConfig *)opaque)->monitor.start.only_help = true;
    return true;
}

static bool opt_help(const char *arg, void *opaque, GError **errp);

/* ---- options without effect, and refused ones --------------------------------------------------------------- */

/* What a device process is like anyway, or has no use for. */
static bool opt_accepted(const char *arg, void *opaque, GError **errp)
{
    return true;
}

static bool accept_only(const char *option, const char *accepted, const char *arg, const char *why, GError **errp)
{
    if (g_str_equal(arg, accepted)) {
        return true;
    }
    error_setg(errp, "%s %s: %s; only '%s' is accepted", option, arg, why, accepted);
    return false;
}

/* NAME: the function; OPTION takes only VALUE, because WHY. */
#define ACCEPT_ONLY(name, option, value, why) \
    static bool name(const char *arg, void *opaque, GError **errp) \
    { \
        return accept_only(option, value, arg, why, errp); \
    }

#define NO_SUCH_DEVICE "a device process has none unless -device makes it"

ACCEPT_ONLY(opt_display, "-display", "none", "there is no display")
ACCEPT_ONLY(opt_serial, "-serial", "none", NO_SUCH_DEVICE)
ACCEPT_ONLY(opt_parallel, "-parallel", "none", NO_SUCH_DEVICE)
ACCEPT_ONLY(opt_vga, "-vga", "none", NO_SUCH_DEVICE)
ACCEPT_ONLY(opt_net, "-net", "none", NO_SUCH_DEVICE)
ACCEPT_ONLY(opt_nic, "-nic", "none", NO_SUCH_DEVICE)

static bool opt_sandbox(const char *arg, void *opaque, GError **errp)
{
    RemoteConfig *config = opaque;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        printf("-sandbox options:\n"
               "  on             - namespaces, an empty root, no capabilities, an allow-list of system calls\n"
               "                   (default)\n"
               "  on,ns=off      - without the namespaces and the empty root, where they are not to be had\n"
               "  log[,ns=off]   - a system call that is not on the list is reported and done\n"
               "  off            - nothing\n"
               "  list           - prints the lists of system calls\n");
        config->monitor.start.only_help = true;
        return true;
    }
    if (g_str_equal(arg, "list")) {
        remote_profiles_print();
        config->monitor.start.only_help = true;
        return true;
    }
    return sandbox_parse(arg, true, &config->sandbox, errp);
}

static bool opt_daemonize(const char *arg, void *opaque, GError **errp)
{
    error_setg(errp, "-daemonize is not supported: the launcher that holds the link's other end starts this program in "
               "the background");
    return false;
}

static bool opt_stopped(const char *arg, void *opaque, GError **errp)
{
    ((RemoteConfig *)opaque)->stopped = true;
    return true;
}

static const CmdlineOption options[] = {
    { "device", "DRIVER[,prop=value...]",
      "adds a device; also as JSON.  '-device help' lists them,\n'-device DRIVER,help' the properties of one",
      start_opt_device, "Devices and disks" },
    { "drive", "[file=PATH][,id=ID][,format=raw][,if=none][,option=value...]",
      "adds a disk image for a device's drive= property", start_opt_drive },
    { "blockdev", "[driver=]DRIVER,node-name=NAME[,option=value...]", "adds a block node; also as JSON",
      start_opt_blockdev },
    { "object", "TYPE,id=ID[,prop=value...]",
      "adds an object; also as JSON.  '-object x-remote-object,id=ID,devid=DEVICE,fd=N'\n"
      "serves a PCI device on the connected socket N; there may be several",
      start_opt_object },
    { "add-fd", "fd=N,set=ID[,opaque=TEXT]", "puts an inherited descriptor into a set, opened as /dev/fdset/ID",
      start_opt_add_fd },

    { "machine", "x-remote[,auto-shutdown=on|off]", "the machine; may be left out", opt_machine, "Process" },
    { "M", "x-remote", NULL, opt_machine },
    { "no-shutdown", NULL, "goes on running when the last link has ended", opt_no_shutdown },
    { "name", "[guest=]NAME[,process=NAME]", "names the process", start_opt_name },
    MONITOR_OPTION_ROWS,
    { "S", NULL, "does not start the devices; needs a monitor", opt_stopped },
    { "sandbox", SANDBOX_OPTION_SYNTAX " | list",
      "confines the process before it serves anybody (default: on);\n'-sandbox help' explains, '-sandbox list' prints "
      "the system calls", opt_sandbox },
    { "trace", "PATTERN | [enable=PATTERN][,events=FILE][,file=PATH]",
      "switches trace events on; '-trace help' lists them", start_opt_trace },
    { "D", "PATH", "writes traces to a file", start_opt_trace_file },
    { "version", NULL, "prints the version", opt_version },
    { "help", NULL, "prints this text", opt_help },
    { "h", NULL, NULL, opt_help },

    { "nodefaults", NULL, "accepted: there are no default devices", opt_accepted, "Accepted for stock launchers" },
    { "nographic", NULL, "accepted: there is no display", opt_accepted },
    { "no-user-config", NULL, "accepted: no configuration file is read", opt_accepted },
    { "m", "SIZE", "accepted without effect: guest memory comes by the link", opt_accepted },
    { "accel", "NAME", "accepted without effect: there is no CPU", opt_accepted },
    { "display", "none", "accepted", opt_display },
    { "serial", "none", "accepted", opt_serial },
    { "parallel", "none", "accepted", opt_parallel },
    { "vga", "none", "accepted", opt_vga },
    { "net", "none", "accepted", opt_net },
    { "nic", "none", "accepted", opt_nic },

    { "daemonize", NULL, "let the launcher do it", opt_daemonize, "Refused" },
    { NULL },
};

static bool opt_help(const char *arg, void *opaque, GError **errp)
{
    g_autofree char *text = cmdline_help(options, "usage: " PROGRAM " [options]");

    fputs(text, stdout);
    ((RemoteConfig *)opaque)->monitor.start.only_help = true;
    return true;
}

RemoteConfig *remote_config_parse(int argc, char *const *argv, GError **errp)
{
    g_autoptr(RemoteConfig) config = g_new0(RemoteConfig, 1);

    config->auto_shutdown = true;
    config->sandbox = (SandboxConfig) { .on = MPQEMU_SANDBOX_DEFAULT, .namespaces = MPQEMU_SANDBOX_DEFAULT };
    monitor_options_init(&config->monitor);
    config->monitor.start.late_object_type = TYPE_REMOTE_OBJECT_NAME; /* it serves a device */
    if (!cmdline_parse(options, argc, argv, config, errp)) {
        return NULL;
    }
    if (config->stopped && !monitor_wanted(&config->monitor)) {
        error_setg(errp, "-S: there is no monitor that could start the devices; add -qmp or -monitor, or leave it out");
        return NULL;
    }
    return g_steal_pointer(&config);
}

void remote_config_free(RemoteConfig *config)
{
    if (config) {
        monitor_options_clear(&config->monitor);
    }
    g_free(config);
}
