/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of mpqemu, by one table.
 *
 * Runs in: mpqemu.
 *
 * An option of QEMU's is carried out; or it says what is so anyway and is accepted (-nodefaults,
 * -display none); or it asks for what this version cannot do and is refused with the reason.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "machine.h"
#include "main/profile.h"
#include "remote-options.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/trace.h"

#define PROGRAM "mpqemu"

/* A guest with 40 address bits has no room for more. */
#define RAM_SIZE_MAX (1ull << 39)

/* ---- machine and memory ---------------------------------------------------------------------- */

static bool set_accel(MainConfig *config, const char *option, const char *name, GError **errp)
{
    if (!g_str_equal(name, "qtest")) {
        error_setg(errp, "%s %s: not in this version, which has no CPU; use -accel qtest with "
                   "-qtest", option, name);
        return false;
    }
    config->accel = "qtest";
    return true;
}

static bool opt_accel(const char *arg, void *opaque, GError **errp)
{
    return set_accel(opaque, "-accel", arg, errp);
}

/* Keeps KEY of OPTS, when it is there: a later -machine replaces only what it says. */
static void machine_keep(MainConfig *config, Options *opts, const char *key, const char **ret)
{
    const char *value = options_get(opts, key);

    if (value) {
        options_set(config->machine_opts, key, value);
        *ret = options_get(config->machine_opts, key);
    }
}

static bool opt_machine(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "type", "memory-backend", "accel", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = NULL;
    const char *accel;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        machine_print_types();
        config->monitor.start.only_help = true;
        return true;
    }
    opts = options_parse("-machine", arg, "type", errp);
    if (!opts) {
        return false;
    }
    machine_keep(config, opts, "type", &config->machine);
    machine_keep(config, opts, "memory-backend", &config->memory_backend);
    accel = options_get(opts, "accel");
    if (!machine_type_exists(config->machine)) {
        error_setg(errp, "-machine %s: unsupported machine type '%s'; -machine help lists them",
                   arg, config->machine);
        return false;
    }
    return options_check_unused(opts, known, errp) &&
           (!accel || set_accel(config, "-machine accel", accel, errp));
}

/* -m [size=]SIZE: megabytes without a suffix. */
static bool opt_memory(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "size", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-m", arg, "size", errp);
    const char *text;

    if (!opts) {
        return false;
    }
    if (options_has(opts, "slots") || options_has(opts, "maxmem")) {
        error_setg(errp, "-m %s: memory cannot be added at run time in this version; leave slots= "
                   "and maxmem= out", arg);
        return false;
    }
    text = options_get(opts, "size");
    if (!text || !options_check_unused(opts, known, errp)) {
        if (!text) {
            error_setg(errp, "-m %s: the size is missing; give -m SIZE", arg);
        }
        return false;
    }
    if (!parse_size(text, 'M', &config->ram_size) || config->ram_size == 0 ||
        config->ram_size > RAM_SIZE_MAX || config->ram_size % (uint64_t)sysconf(_SC_PAGESIZE)) {
        error_setg(errp, "-m %s: '%s' is no size; give megabytes (256), or a number with a suffix "
                   "(256M, 1G), in whole pages, at most 512G", arg, text);
        return false;
    }
    return true;
}

/*
 * -numa node,memdev=ID[,nodeid=N]: all a machine without CPUs has to do with nodes is their RAM,
 * which lies in memory in the order of the nodes.
 */
static bool opt_numa(const char *arg, void *opaque, GError **errp)
{
    static const char *const known[] = { "type", "memdev", "nodeid", NULL };
    MainConfig *config = opaque;
    g_autoptr(Options) opts = options_parse("-numa", arg, "type", errp);
    const char *type, *memdev;
    uint64_t node = config->numa_memdevs->len;

    if (!opts || !options_get_uint(opts, "nodeid", UINT64_MAX, &node, errp)) {
        return false;
    }
    type = options_get(opts, "type");
    memdev = options_get(opts, "memdev");
    if (g_strcmp0(type, "node") != 0 || !memdev) {
        error_setg(errp, "-numa %s: not supported; give -numa node,memdev=ID with the id of a "
                   "memory backend", arg);
        return false;
    }
    if (!options_check_unused(opts, known, errp)) {
        return false;
    }
    if (node != config->numa_memdevs->len) {
        error_setg(errp, "-numa %s: this is the node with nodeid=%u; give the nodes in order", arg,
                   config->numa_memdevs->len);
        return false;
    }
    g_ptr_array_add(config->numa_memdevs, g_strdup(memdev));
    return true;
}

/* ---- run and debug --------------------------------------------------------------------------- */

static bool opt_qtest(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->qtest = g_str_equal(arg, "none") ? NULL : arg;
    return true;
}

static bool opt_qtest_log(const char *arg, void *opaque, GError **errp)
{
    static const char *const nowhere[] = { "none", "/dev/null", NULL };

    ((MainConfig *)opaque)->qtest_log = g_strv_contains(nowhere, arg) ? NULL : arg;
    return true;
}

static bool opt_stopped(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->stopped = true;
    return true;
}

static bool opt_sandbox(const char *arg, void *opaque, GError **errp)
{
    MainConfig *config = opaque;

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        printf("-sandbox options:\n"
               "  on    - no capabilities, an allow-list of system calls: no program is started and no file opened\n"
               "          but by the spawner and the opener, two processes that are forked at the start\n"
               "  off   - nothing (default)\n"
               "  list  - prints the list of system calls\n"
               "User, namespaces and the view of the file system stay the user's (ns=off).\n");
        config->monitor.start.only_help = true;
        return true;
    }
    if (g_str_equal(arg, "list")) {
        main_profiles_print();
        config->monitor.start.only_help = true;
        return true;
    }
    if (!sandbox_parse(arg, false, &config->sandbox, errp)) {
        return false;
    }
    if (config->sandbox.log) {
        error_setg(errp, "-sandbox %s: log is for qemu-remote; this program has several threads, which it cannot "
                         "watch: use on or off", arg);
        return false;
    }
    if (config->sandbox.namespaces) {
        error_setg(errp, "-sandbox %s: this program keeps its namespaces in this version; use ns=off, or run it in "
                         "some", arg);
        return false;
    }
    return true;
}

static bool opt_trace(const char *arg, void *opaque, GError **errp)
{
    bool printed = false;

    if (!trace_parse_option(arg, &printed, errp)) {
        return false;
    }
    ((MainConfig *)opaque)->monitor.start.only_help |= printed;
    return true;
}

static bool opt_log_file(const char *arg, void *opaque, GError **errp)
{
    g_autofree char *trace_file = g_strconcat("file=", arg, NULL);

    return opt_trace(trace_file, opaque, errp);
}

static bool opt_version(const char *arg, void *opaque, GError **errp)
{
    printf(PROGRAM " version " MPQEMU_VERSION "\n");
    ((MainConfig *)opaque)->monitor.start.only_help = true;
    return true;
}

static bool opt_help(const char *arg, void *opaque, GError **errp);

/* ---- options without effect, and refused ones ------------------------------------------------ */

static bool opt_accepted(const char *arg, void *opaque, GError **errp)
{
    return true;
}

static bool accept_none(const char *option, const char *arg, GError **errp)
{
    if (g_str_equal(arg, "none")) {
        return true;
    }
    error_setg(errp, "%s %s: not in this version; only 'none' is accepted", option, arg);
    return false;
}

/* NAME: the function of OPTION, which takes only "none". */
#define ACCEPT_NONE(name, option) \
    static bool name(const char *arg, void *opaque, GError **errp) \
    { \
        return accept_none(option, arg, errp); \
    }

ACCEPT_NONE(opt_display, "-display")
ACCEPT_NONE(opt_serial, "-serial")
ACCEPT_NONE(opt_parallel, "-parallel")
ACCEPT_NONE(opt_vga, "-vga")
ACCEPT_NONE(opt_net, "-net")

static bool opt_daemonize(const char *arg, void *opaque, GError **errp)
{
    error_setg(errp, "-daemonize is not supported; let the launcher that holds the remotes start "
               "this program in the background");
    return false;
}

static const CmdlineOption options[] = {
    { "machine", "[type=]NAME[,memory-backend=ID][,accel=qtest]",
      "the machine (default: pc); '-machine help' lists them", opt_machine, "Machine" },
    { "M", "NAME", NULL, opt_machine },
    { "accel", "qtest", "what plays the guest's CPU; this version has qtest only", opt_accel },
    { "m", "[size=]SIZE", "guest memory, in megabytes without a suffix (default: 128)",
      opt_memory },
    { "numa", "node,memdev=ID[,nodeid=N]", "makes a memory backend part of guest memory",
      opt_numa },
    { "name", "[guest=]NAME[,process=NAME]", "names the machine, and the process", start_opt_name },

    { "device", "DRIVER[,prop=value...]",
      "adds a device; also as JSON.  '-device help' lists them,\n'-device DRIVER,help' the "
      "properties of one.\n'-device pci-proxy-dev,id=ID,fd=N' is a device in another process,\n"
      "at the other end of the socket N",
      start_opt_device, "Devices and disks" },
    { "drive", "[file=PATH][,id=ID][,format=raw][,if=none][,option=value...]",
      "adds a disk image for a device's drive= property", start_opt_drive },
    { "blockdev", "[driver=]DRIVER,node-name=NAME[,option=value...]",
      "adds a block node; also as JSON", start_opt_blockdev },
    { "object", "TYPE,id=ID[,prop=value...]",
      "adds an object; also as JSON.  '-object help' lists the types", start_opt_object },
    { "add-fd", "fd=N,set=ID[,opaque=NAME]",
      "puts an inherited descriptor into a set, opened as /dev/fdset/ID,\nand names it for fd=",
      start_opt_add_fd },

    { "rdevice", "DRIVER,id=ID,rid=RID[,prop=value...]",
      "adds a device in the remote process RID, which is started when there is\nnone.  A PCI device appears here "
      "under its id; bus= and addr= place it",
      main_opt_rdevice, "Devices in processes of their own" },
    { "rdrive", "id=ID,file=PATH,rid=RID[,option=value...]",
      "adds a disk image for a device in process RID; the options of -drive.\nThe image is opened here and passed",
      main_opt_rdrive },
    { "remote", "rid=RID[,exec=PATH][,fd=N][,on-death=POLICY][,heartbeat-interval=MS]\n"
      "        [,heartbeat-limit=MS][,timeout=MS][,sandbox=on|seccomp|log|off]",
      "what differs from the defaults for process RID: its program, the control\nchannel N (a QMP monitor) of a "
      "process that a launcher has started,\nand what its death means: detach (default), restart, pause or exit",
      main_opt_remote },

    { "qtest", "unix:PATH[,server=on] | stdio", "a test program plays the guest's CPU", opt_qtest,
      "Running" },
    { "qtest-log", "PATH | none", "writes the qtest conversation to a file", opt_qtest_log },
    { "S", NULL, "does not start the machine", opt_stopped },
    MONITOR_OPTION_ROWS,
    { "sandbox", "on|off[,ns=off] | list",
      "confines the process before its devices are made (default: off); it keeps its user and\nnamespaces.  '-sandbox "
      "help' explains, '-sandbox list' prints the system calls", opt_sandbox },
    { "trace", "PATTERN | [enable=PATTERN][,events=FILE][,file=PATH]",
      "switches trace events on; '-trace help' lists them", opt_trace },
    { "D", "PATH", "writes traces to a file", opt_log_file },
    { "version", NULL, "prints the version", opt_version },
    { "help", NULL, "prints this text", opt_help },
    { "h", NULL, NULL, opt_help },

    { "nodefaults", NULL, "accepted: there are no default devices", opt_accepted,
      "Accepted for QEMU's command lines" },
    { "nographic", NULL, "accepted: there is no display", opt_accepted },
    { "no-user-config", NULL, "accepted: no configuration file is read", opt_accepted },
    { "no-reboot", NULL, "accepted without effect", opt_accepted },
    { "no-shutdown", NULL, "accepted without effect", opt_accepted },
    { "display", "none", "accepted", opt_display },
    { "serial", "none", "accepted", opt_serial },
    { "parallel", "none", "accepted", opt_parallel },
    { "vga", "none", "accepted", opt_vga },
    { "net", "none", "accepted", opt_net },

    { "daemonize", NULL, "let the launcher do it", opt_daemonize, "Refused" },
    { NULL },
};

static bool opt_help(const char *arg, void *opaque, GError **errp)
{
    g_autofree char *text = cmdline_help(options, "usage: " PROGRAM " [options]");

    fputs(text, stdout);
    ((MainConfig *)opaque)->monitor.start.only_help = true;
    return true;
}

MainConfig *main_config_parse(int argc, char *const *argv, GError **errp)
{
    g_autoptr(MainConfig) config = g_new0(MainConfig, 1);

    config->machine = "pc";
    config->machine_opts = options_new("-machine");
    config->numa_memdevs = g_ptr_array_new_with_free_func(g_free);
    config->remotes = cmdline_actions_new();
    config->rdrives = cmdline_actions_new();
    config->rdevices = cmdline_actions_new();
    monitor_options_init(&config->monitor);
    config->monitor.start.named_fds = true; /* for pci-proxy-dev's fd=NAME */
    if (!cmdline_parse(options, argc, argv, config, errp)) {
        return NULL;
    }
    if (!config->monitor.start.only_help && !config->accel && !config->qtest) {
        error_setg(errp, "there is nothing to run the guest in this version but a test program; "
                   "give -accel qtest -qtest unix:PATH,server=on");
        return NULL;
    }
    return g_steal_pointer(&config);
}

void main_config_free(MainConfig *config)
{
    if (!config) {
        return;
    }
    monitor_options_clear(&config->monitor);
    g_ptr_array_unref(config->numa_memdevs);
    g_ptr_array_unref(config->remotes);
    g_ptr_array_unref(config->rdrives);
    g_ptr_array_unref(config->rdevices);
    options_free(config->machine_opts);
    g_free(config);
}
