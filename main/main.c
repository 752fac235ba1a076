/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu: the main emulator.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The whole command line is parsed, then carried out step by step
 * (config.h); the first failure ends the program with status 1.  With -sandbox on it confines itself on the way.  The
 * main thread then is the event loop: it holds the machine lock except while it waits.  The program ends by a monitor's
 * quit, SIGTERM, SIGINT, SIGHUP, or when the only possible qtest client has gone: devices are unrealized, images
 * flushed.
 */
#include <sys/prctl.h>

#include "accel/accel.h"
#include "accel/qtest.h"
#include "block/block.h"
#include "chardev/chardev.h"
#include "config.h"
#include "hw/char/debugcon.h"
#include "hw/core/bus.h"
#include "hw/i386/pc.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/proxy/remote-process.h"
#include "hw/proxy/spawner.h"
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "machine.h"
#include "main/profile.h"
#include "monitor/commands.h"
#include "monitor/monitor.h"
#include "remote-options.h"
#include "serial-options.h"
#include "sandbox/opener.h"
#include "sandbox/sandbox.h"
#include "system/ram.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/trace.h"

static GType (*const types[])(void) = {
    memory_backend_memfd_get_type,
    memory_backend_file_get_type,
    pci_proxy_dev_get_type,
    lsi53c895a_get_type,
    scsi_hd_get_type,
    scsi_cd_get_type,
    isa_serial_get_type,
    debugcon_get_type,
    NULL,
};

/* ---- start --------------------------------------------------------------------------------------- */

/* Who waits for the other ends' connections sees them when all is ready; confined, when it can still be connected. */
static bool open_endpoints(const MainConfig *config, GError **errp)
{
    return monitor_open(&config->monitor, errp) &&
           (!config->qtest || qtest_open(config->qtest, config->qtest_log, errp));
}

/*
 * Before there are threads, and before a remote process is talked to: they inherit all of it, or find it done.  What
 * the command line names by path has been opened; the images of -rdrive come from the opener.
 */
static bool main_confine(GError **errp)
{
    block_init_io(NULL); /* without io_uring there are no disks, which is told to who wants one */
    remote_find_default_program();
    if (!remote_restrict_programs(errp)) {
        return false;
    }
    monitor_allow_editing(false); /* it reads files of the user's and of the terminal's */
    fd_forbid_paths(opener_open);
    return sandbox_confine_main(main_profile(), errp);
}

static bool main_start(MainConfig *config, GError **errp)
{
    monitor_set_vm_name(config->monitor.start.vm_name);
    remote_set_vm_name(config->monitor.start.vm_name);
    if (!accel_select((const char *const *)config->accels->pdata, errp)) {
        return false;
    }
    if (accel_current()->manual_clock) {
        event_clock_set_manual();
    } else {
        event_clock_set_running(false);
    }
    reset_set_shutdown(config->no_reboot);
    shutdown_set_keep(config->no_shutdown);
    if (!start_run(&config->monitor.start, START_FDS, START_FDS, errp) || !serial_options_open(config, errp) ||
        !start_run(&config->monitor.start, START_OBJECTS, START_DRIVE, errp) || !machine_create(config, errp) ||
        !serial_create_all(config, (IsaBus *)bus_find("isa.0"), errp) || !main_configure_remotes(config, errp) ||
        (config->sandbox.on && (!open_endpoints(config, errp) || !main_confine(errp))) ||
        !vcpus_start(errp) || !start_run(&config->monitor.start, START_DEVICE, START_LATE_OBJECTS, errp) ||
        !main_make_remotes(config, errp)) {
        return false;
    }
    system_reset();
    if ((!config->sandbox.on && !open_endpoints(config, errp)) || !monitor_start() || !chardevs_start() ||
        !qtest_start(errp)) {
        return false;
    }
    if (!config->stopped) {
        vm_start();
    }
    return true;
}

/* ---- end ------------------------------------------------------------------------------------- */

/*
 * Devices first, in a living machine: taking a proxy away ends an access that waits for its remote,
 * and with it what a vCPU or the qtest thread is doing.
 */
static void main_stop(void)
{
    const char *hung;

    vcpus_pause();
    machine_destroy_devices();
    remote_processes_stop();
    qtest_stop();
    vcpus_destroy();
    accel_cleanup();
    hung = block_cleanup();
    chardevs_stop();
    monitor_stop(); /* last: who sees its end may use the images */
    end_hung_storage(hung);
}

int main(int argc, char **argv)
{
    g_autoptr(MainConfig) config = NULL;
    g_autoptr(GError) err = NULL;
    int status = 1;

    fd_open_standard();
    log_init("mpqemu");
    trace_init(trace_event_tables);
    ram_guard_install();
    monitor_init();
    machine_lock();
    qom_register_types(types);
    qom_register_types(pc_types);
    qmp_register_objects();
    qmp_register_remote();
    qmp_register_block();
    qmp_register_cpus();

    config = main_config_parse(argc, argv, &err);
    if (!config) {
        log_error("%s", err->message);
        return 1;
    }
    if (config->monitor.start.only_help) {
        return 0;
    }
    if (!spawner_start(&err) || (config->sandbox.on && !opener_start(&err))) {
        log_error("%s", err->message);
        return 1;
    }
    /* Guest timers: the kernel would let each be 50 us late.  Threads inherit it. */
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    if (shutdown_signals_start(&err) && main_start(config, &err)) {
        event_loop_run(event_loop_main());
        shutdown_announce();
    }
    if (err) {
        log_error("%s", err->message);
    } else {
        shutdown_requested(&status);
    }
    main_stop();
    shutdown_signals_stop();
    spawner_stop();
    opener_stop();
    return status;
}
