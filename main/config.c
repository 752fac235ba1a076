/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of mpqemu, by one table.  The handlers of the larger options are in *-options.c.
 *
 * Runs in: mpqemu.
 *
 * An option of QEMU's is carried out; or it says what is so anyway and is accepted (-nodefaults,
 * -display none); or it asks for what this version cannot do and is refused with the reason.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "boot-options.h"
#include "hw/rtc/mc146818.h"
#include "machine-options.h"
#include "main/profile.h"
#include "remote-options.h"
#include "serial-options.h"
#include "util/cmdline.h"
#include "util/error.h"
#include "util/trace.h"

#define PROGRAM "mpqemu"

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

static bool opt_no_reboot(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->no_reboot = true;
    return true;
}

static bool opt_no_shutdown(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->no_shutdown = true;
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

/* -d ITEM[,ITEM...]: what a guest does wrong is told anyway, at most ten lines a second. */
static bool opt_debug(const char *arg, void *opaque, GError **errp)
{
    g_auto(GStrv) items = g_strsplit(arg, ",", -1);

    if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
        printf("Log items (comma separated):\n"
               "guest_errors    what the guest does wrong; on anyway\n"
               "trace:PATTERN   trace events; '-trace help' lists them\n");
        ((MainConfig *)opaque)->monitor.start.only_help = true;
        return true;
    }
    for (unsigned i = 0; items[i]; i++) {
        if (g_str_has_prefix(items[i], "trace:")) {
            if (!trace_enable_pattern(items[i] + strlen("trace:"), true, errp)) {
                return false;
            }
        } else if (!g_str_equal(items[i], "guest_errors")) {
            error_setg(errp, "-d %s: there is no log item '%s'; -d help lists them", arg, items[i]);
            return false;
        }
    }
    return true;
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
ACCEPT_NONE(opt_parallel, "-parallel")
ACCEPT_NONE(opt_vga, "-vga")
ACCEPT_NONE(opt_net, "-net")
ACCEPT_NONE(opt_nic, "-nic")

static bool opt_nographic(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->nographic = true;
    return true;
}

static bool opt_nodefaults(const char *arg, void *opaque, GError **errp)
{
    ((MainConfig *)opaque)->nodefaults = true;
    return true;
}

static bool opt_daemonize(const char *arg, void *opaque, GError **errp)
{
    error_setg(errp, "-daemonize is not supported; let the launcher that holds the remotes start "
               "this program in the background");
    return false;
}

static const CmdlineOption options[] = {
    { "machine", "[type=]NAME[,memory-backend=ID][,accel=A[:B...]]",
      "the machine (default: pc); '-machine help' lists them", main_opt_machine, "Machine" },
    { "M", "NAME", NULL, main_opt_machine },
    { "accel", "A[:B...]",
      "what executes the guest's instructions: the first of these that works here\n"
      "(default: the first of '-accel help' that does; with -qtest: qtest)", main_opt_accel },
    { "cpu", "MODEL", "the processor the guest sees; '-cpu help' lists models", main_opt_cpu },
    { "smp", "[cpus=]N[,sockets=S][,cores=C][,threads=T]", "number of processors (default: 1)", main_opt_smp },
    { "m", "[size=]SIZE", "guest memory, in megabytes without a suffix (default: 128)",
      main_opt_memory },
    { "numa", "node,memdev=ID[,nodeid=N]", "makes a memory backend part of guest memory",
      main_opt_numa },
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

    { "serial",
      "stdio | mon:stdio | unix:PATH[,server=on][,wait=off] | file:PATH | pty | null |\n        chardev:ID | none",
      "the next of the serial ports COM1 to COM4.  mon: shares the terminal with a monitor,\n"
      "by Ctrl-A c; Ctrl-A h lists the other keys", main_opt_serial, "Serial ports" },
    { "debugcon", "DEVICE", "shows what the guest writes to I/O port 0xe9; as -serial", main_opt_debugcon },
    { "nographic", NULL, "-serial mon:stdio, unless something else is said or -nodefaults given", opt_nographic },
    { "nodefaults", NULL, "no serial port by default", opt_nodefaults },

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

    { "kernel", "FILE", "boots this Linux kernel: a bzImage, or an ELF file with a PVH entry", main_opt_kernel,
      "Boot" },
    { "initrd", "FILE", "gives the kernel this initial RAM disk", main_opt_initrd },
    { "append", "TEXT", "gives the kernel this command line", main_opt_append },
    { "bios", "FILE", "boots this firmware; without it and a kernel it is SeaBIOS", main_opt_bios },
    { "boot", "[order=]c[,menu=off][,strict=on|off]", "what firmware does anyway: it boots from disks, then CDs",
      main_opt_boot },
    { "rtc", "[base=utc|localtime|DATE]",
      "what the guest's clock shows at the start (default: utc); DATE is 2026-06-17T16:01:21\nor 2026-06-17, in UTC",
      main_opt_rtc },

    { "qtest", "unix:PATH[,server=on] | stdio", "a test program plays the guest's CPU", opt_qtest,
      "Running" },
    { "qtest-log", "PATH | none", "writes the qtest conversation to a file", opt_qtest_log },
    { "S", NULL, "does not start the machine", opt_stopped },
    { "no-reboot", NULL, "ends the program when the machine would be reset", opt_no_reboot },
    { "no-shutdown", NULL, "keeps the program, and the machine stopped, when the guest switches it off",
      opt_no_shutdown },
    MONITOR_OPTION_ROWS,
    { "sandbox", "on|off[,ns=off] | list",
      "confines the process before its devices are made (default: off); it keeps its user and\nnamespaces.  '-sandbox "
      "help' explains, '-sandbox list' prints the system calls", opt_sandbox },
    { "trace", "PATTERN | [enable=PATTERN][,events=FILE][,file=PATH]",
      "switches trace events on; '-trace help' lists them", start_opt_trace },
    { "d", "ITEM[,ITEM...]", "logs more; '-d help' lists items", opt_debug },
    { "D", "PATH", "writes traces to a file", start_opt_trace_file },
    { "version", NULL, "prints the version", opt_version },
    { "help", NULL, "prints this text", opt_help },
    { "h", NULL, NULL, opt_help },

    { "no-user-config", NULL, "accepted: no configuration file is read", opt_accepted,
      "Accepted for QEMU's command lines" },
    { "display", "none", "accepted", opt_display },
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
    ((MainConfig *)opaque)->monitor.start.only_help = true;
    return true;
}

/* What the machine has nothing for: a user who says it expects something of it. */
static bool check_machine(const MainConfig *config, GError **errp)
{
    const char *option = NULL, *arg = NULL, *lacks = NULL;

    if (g_str_equal(config->accels->pdata[0], "qtest") &&
        (config->cpu_model || vcpu_topology_count(&config->cpus) > 1)) {
        error_setg(errp, "%s: with qtest a test program plays the CPU, and there are no processors; leave it out",
                   config->cpu_model ? "-cpu" : "-smp");
        return false;
    }
    if (!g_str_equal(config->machine, "none")) {
        return true;
    }
    for (unsigned i = 0; i < config->num_serials && !option; i++) {
        if (!g_str_equal(config->serials[i].arg, "none")) {
            option = "-serial";
            arg = config->serials[i].arg;
            lacks = "serial ports";
        }
    }
    if (config->debugcon.arg && !g_str_equal(config->debugcon.arg, "none")) {
        option = "-debugcon";
        arg = config->debugcon.arg;
        lacks = "I/O ports";
    } else if (config->rtc_arg) {
        option = "-rtc";
        arg = config->rtc_arg;
        lacks = "clock";
    }
    if (option) {
        error_setg(errp, "%s %s: -machine none has no %s; leave it out, or use -machine pc", option, arg, lacks);
        return false;
    }
    return true;
}

MainConfig *main_config_parse(int argc, char *const *argv, GError **errp)
{
    g_autoptr(MainConfig) config = g_new0(MainConfig, 1);

    config->machine = "pc";
    if (!rtc_parse_base("utc", &config->rtc_base, errp)) {
        return NULL;
    }
    config->machine_opts = options_new("-machine");
    config->cpus = (VcpuTopology){ 1, 1, 1 };
    config->accels = g_ptr_array_new_with_free_func(g_free);
    config->numa_memdevs = g_ptr_array_new_with_free_func(g_free);
    config->remotes = cmdline_actions_new();
    config->rdrives = cmdline_actions_new();
    config->rdevices = cmdline_actions_new();
    monitor_options_init(&config->monitor);
    config->monitor.start.named_fds = true; /* for pci-proxy-dev's fd=NAME */
    if (!cmdline_parse(options, argc, argv, config, errp)) {
        return NULL;
    }
    if (!machine_options_complete(config, errp)) {
        return NULL;
    }
    if (!boot_options_check(config, errp) || !check_machine(config, errp)) {
        return NULL;
    }
    machine_options_warn(config);
    return g_steal_pointer(&config);
}

void main_config_free(MainConfig *config)
{
    if (!config) {
        return;
    }
    monitor_options_clear(&config->monitor);
    g_ptr_array_unref(config->accels);
    g_ptr_array_unref(config->numa_memdevs);
    g_ptr_array_unref(config->remotes);
    g_ptr_array_unref(config->rdrives);
    g_ptr_array_unref(config->rdevices);
    options_free(config->machine_opts);
    g_free(config);
}
