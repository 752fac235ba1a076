/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-remote: a process that holds PCI devices for the guest of another process.
 *
 * Runs in: qemu-remote.
 *
 * Theory of operation.  The program has one thread, which holds the machine lock all its life, and the event
 * loop.  Start: the whole command line is parsed, then carried out step by step (config.h); the first failure ends the
 * program with status 1 before anything was answered.  End: by the last link's end (status 0, or 1 when a peer
 * was cut off for breaking the protocol) or by SIGTERM, SIGINT, SIGHUP (status 0); devices are unrealized, images
 * flushed and unlocked in both cases.
 */

#include "block/block.h"
#include "config.h"
#include "hw/core/bus.h"
#include "hw/remote/pci-host.h"
#include "hw/remote/remote-object.h"
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "system/ram.h"
#include "system/runstate.h"
#include "util/event-loop.h"
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

/* ---- start -------------------------------------------------------------------------------------------------------- */

static bool remote_start(const RemoteConfig *config, GError **errp)
{
    remote_set_auto_shutdown(config->auto_shutdown);
    return start_run(&config->start, START_FDS, START_LATE_OBJECTS, errp);
}

/* ---- end ------------------------------------------------------------------------------------------------------ */

/* Undoes the steps in reverse: links first, so that nobody uses a device that goes; images last. */
static void remote_stop(PciBus *bus)
{
    QomObject *objects = qom_container("/objects");

    while (objects->children->len > 0) {
        qom_unparent(g_ptr_array_index(objects->children, objects->children->len - 1));
    }
    while (BUS(bus)->devices->len > 0) {
        device_unrealize(g_ptr_array_index(BUS(bus)->devices, BUS(bus)->devices->len - 1));
    }
    remote_pci_host_free();
    block_cleanup();
}

int main(int argc, char **argv)
{
    g_autoptr(RemoteConfig) config = NULL;
    g_autoptr(GError) err = NULL;
    int status = 1;
    PciBus *bus;

    log_init("qemu-remote");
    trace_init(trace_event_tables);
    ram_guard_install();
    runstate_set_resumable(false); /* there is no monitor */
    machine_lock();
    qom_register_types(types);

    config = remote_config_parse(argc, argv, &err);
    if (!config) {
        log_error("%s", err->message);
        return 1;
    }
    if (config->start.only_help) {
        return 0;
    }
    bus = remote_pci_host_new();
    if (!shutdown_signals_start(&err) || !remote_start(config, &err)) {
        log_error("%s", err->message);
    } else {
        if (config->start.actions[START_LATE_OBJECTS]->len == 0) {
            log_warn("no device is served; add -object x-remote-object,id=ID,devid=DEVICE,fd=N");
        }
        vm_start();
        event_loop_run(event_loop_main());
        shutdown_requested(&status);
    }
    remote_stop(bus);
    shutdown_signals_stop();
    return status;
}
