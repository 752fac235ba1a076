/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-remote: a process that holds PCI devices for the guest of another process.
 *
 * Runs in: qemu-remote.
 *
 * Theory of operation.  The program has one thread, which holds the machine lock all its life, and the event
 * loop.  Start: the whole command line is parsed, then carried out step by step (config.h), then the process confines
 * itself (sandbox/sandbox.h), and then the event loop turns; the first failure ends the program with status 1 before
 * anything was answered.  End: by the last link's end (status 0, or 1
 * when a peer was cut off for breaking the protocol), by a monitor's quit, or by SIGTERM, SIGINT, SIGHUP
 * (status 0); devices are unrealized, images flushed and unlocked in all cases.  A process that was told to outlive its
 * links waits for whoever manages it; when that one has gone, too, it ends with its last link.
 */

#include "block/block.h"
#include "config.h"
#include "hw/core/bus.h"
#include "hw/remote/pci-host.h"
#include "hw/remote/remote-object.h"
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "io/eventfd-signal.h"
#include "monitor/commands.h"
#include "monitor/monitor.h"
#include "remote/profile.h"
#include "sandbox/sandbox.h"
#include "system/ram.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/machine-lock.h"
#include "util/trace.h"

/* What a user of this program can make by -device and -object. */
static GType (*const types[])(void) = {
    lsi53c895a_get_type,
    scsi_hd_get_type,
    scsi_cd_get_type,
    memory_backend_memfd_get_type,
    memory_backend_file_get_type,
    remote_object_get_type,
    NULL,
};

/* ---- start ------------------------------------------------------------------------------------------------------- */

/* The last act before anybody is answered: the event loop has not turned, no link was read, no monitor has greeted. */
static bool remote_confine(const RemoteConfig *remote_config, GError **errp)
{
    SandboxConfig config = remote_config->sandbox;

    /* What can be made no more afterwards.  Why it could not is told to who wants an interrupt or a disk. */
    eventfd_signal_init();
    block_init_io(NULL);
    if (!config.on) {
        return true;
    }
    config.fixed_files = !monitor_wanted(&remote_config->monitor); /* nobody can add or resize an image */
    monitor_allow_editing(false); /* it needs a thread */
    fd_forbid_paths(NULL);
    return sandbox_confine(&config, remote_profile(monitor_listens(), monitor_on_stdio()), errp);
}

static bool remote_start(const RemoteConfig *config, GError **errp)
{
    monitor_set_vm_name(config->monitor.start.vm_name);
    remote_set_auto_shutdown(config->auto_shutdown);
    monitor_set_alone_handler(remote_end_with_links);
    if (!start_run(&config->monitor.start, START_FDS, START_LATE_OBJECTS, errp) ||
        !monitor_open(&config->monitor, errp) || !remote_confine(config, errp) || !monitor_start()) {
        return false;
    }
    if (config->monitor.start.actions[START_LATE_OBJECTS]->len == 0 && !monitor_wanted(&config->monitor)) {
        log_warn("no device is served; add -object x-remote-object,id=ID,devid=DEVICE,fd=N");
    }
    if (!config->stopped) {
        vm_start();
    }
    return true;
}

/* system_reset of a monitor; the guest's machine resets each device by its link. */
static void reset_devices(void *opaque)
{
    bus_reset(opaque);
}

/* ---- end ------------------------------------------------------------------------------------------------------ */

/* Undoes the steps in reverse: links first, so that nobody uses a device that goes; images last. */
static void remote_stop(PciBus *bus)
{
    QomObject *objects = qom_container("/objects");
    const char *hung;

    while (objects->children->len > 0) {
        qom_unparent(g_ptr_array_index(objects->children, objects->children->len - 1));
    }
    while (BUS(bus)->devices->len > 0) {
        device_unrealize(g_ptr_array_index(BUS(bus)->devices, BUS(bus)->devices->len - 1));
    }
    remote_pci_host_free();
    hung = block_cleanup();
    monitor_stop(); /* last: who sees its end may use the images */
    end_hung_storage(hung);
}

int main(int argc, char **argv)
{
    g_autoptr(RemoteConfig) config = NULL;
    g_autoptr(GError) err = NULL;
    int status = 1;
    PciBus *bus;

    fd_open_standard();
    log_init("qemu-remote");
    trace_init(trace_event_tables);
    ram_guard_install();
    monitor_init();
    machine_lock();
    qom_register_types(types);
    qmp_register_objects();
    qmp_register_block();

    config = remote_config_parse(argc, argv, &err);
    if (!config) {
        log_error("%s", err->message);
        return 1;
    }
    if (config->monitor.start.only_help) {
        return 0;
    }
    if (!sandbox_enter(&config->sandbox, "qemu-remote", &err)) {
        log_error("%s", err->message);
        return 1;
    }
    bus = remote_pci_host_new();
    reset_register(reset_devices, bus);
    if (shutdown_signals_start(&err) && remote_start(config, &err)) {
        event_loop_run(event_loop_main());
        shutdown_announce();
    }
    if (err) {
        log_error("%s", err->message);
    } else {
        shutdown_requested(&status);
    }
    remote_stop(bus);
    shutdown_signals_stop();
    return status;
}
