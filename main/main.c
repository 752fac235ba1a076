/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mpqemu: the main emulator.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The whole command line is parsed, then carried out step by step
 * (config.h); the first failure ends the program with status 1.  The main thread then is the event
 * loop: it holds the machine lock except while it waits.  The program ends by SIGTERM, SIGINT,
 * SIGHUP, or when the only possible qtest client has gone: devices are unrealized, images flushed.
 */
#include "accel/qtest.h"
#include "block/block.h"
#include "config.h"
#include "hw/core/device.h"
#include "hw/i386/pc.h"
#include "hw/intc/ioapic.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "machine.h"
#include "system/ram.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/cmdline.h"
#include "util/event-loop.h"
#include "util/fd-name.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/trace.h"

static GType (*const types[])(void) = {
    memory_backend_memfd_get_type,
    memory_backend_file_get_type,
    ioapic_get_type,
    i440fx_get_type,
    pci_proxy_dev_get_type,
    lsi53c895a_get_type,
    scsi_hd_get_type,
    scsi_cd_get_type,
    NULL,
};

/* ---- steps of the start ---------------------------------------------------------------------- */

static bool start_fd(Options *opts, GError **errp)
{
    return fd_add_option(opts, true, errp);
}

static bool start_object(Options *opts, GError **errp)
{
    return user_creatable_add(opts, errp) != NULL;
}

static bool start_drive(Options *opts, GError **errp)
{
    return drive_add(opts, errp) != NULL;
}

static bool start_device(Options *opts, GError **errp)
{
    return device_add(opts, errp) != NULL;
}

static bool (*const start[MAIN_STEP_MAX])(Options *opts, GError **errp) = {
    [MAIN_STEP_FDS] = start_fd,
    [MAIN_STEP_OBJECTS] = start_object,
    [MAIN_STEP_BLOCKDEV] = blockdev_add,
    [MAIN_STEP_DRIVE] = start_drive,
    [MAIN_STEP_DEVICE] = start_device,
};

static bool main_start(const MainConfig *config, GError **errp)
{
    event_clock_set_manual(); /* qtest steps it; nothing else runs a guest in this version */
    for (MainStep step = 0; step < MAIN_STEP_DEVICE; step++) {
        if (!cmdline_actions_run(config->actions[step], start[step], errp)) {
            return false;
        }
    }
    if (!machine_create(config, errp) ||
        !cmdline_actions_run(config->actions[MAIN_STEP_DEVICE], start_device, errp)) {
        return false;
    }
    system_reset();
    if (config->qtest && !qtest_start(config->qtest, config->qtest_log, errp)) {
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
 * and with it what the qtest thread is doing.
 */
static void main_stop(void)
{
    machine_destroy_devices();
    qtest_stop();
    block_cleanup();
}

int main(int argc, char **argv)
{
    g_autoptr(MainConfig) config = NULL;
    g_autoptr(GError) err = NULL;
    int status = 1;

    log_init("mpqemu");
    trace_init(trace_event_tables);
    ram_guard_install();
    runstate_set_resumable(false); /* there is no monitor */
    machine_lock();
    qom_register_types(types);

    config = main_config_parse(argc, argv, &err);
    if (!config) {
        log_error("%s", err->message);
        return 1;
    }
    if (config->only_help) {
        return 0;
    }
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    if (!shutdown_signals_start(&err) || !main_start(config, &err)) {
        log_error("%s", err->message);
    } else {
        event_loop_run(event_loop_main());
        shutdown_requested(&status);
    }
    main_stop();
    shutdown_signals_stop();
    return status;
}
