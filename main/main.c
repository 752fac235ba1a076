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
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

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
#include "util/error.h"
#include "util/event-loop.h"
#include "util/fd-name.h"
#include "util/fd.h"
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
    static const char *const known[] = { "fd", "set", "opaque", NULL };
    const char *fd_text = options_get(opts, "fd");
    const char *opaque = options_get(opts, "opaque");
    uint64_t set = 0;
    int fd, copy;

    if (!fd_text || !options_has(opts, "set")) {
        error_setg(errp, "-add-fd: %s is missing; give fd=N,set=ID", fd_text ? "set" : "fd");
        return false;
    }
    if (!options_get_uint(opts, "set", INT64_MAX, &set, errp) ||
        !options_check_unused(opts, known, errp)) {
        return false;
    }
    fd = fd_parse("fd", fd_text, errp);
    if (fd < 0) {
        return false;
    }
    /* The text about it is also a name by which fd= properties find it. */
    if (opaque && id_wellformed(opaque)) {
        copy = fd_dup(fd);
        if (copy < 0 || !fd_name_add_take_fd(opaque, copy, NULL)) {
            error_setg_errno(errp, -copy, "-add-fd: descriptor %d cannot be duplicated", fd);
            return false;
        }
    }
    return fdset_add_take_fd((int64_t)set, fd, opaque, errp);
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

/* A message that does not name its option yet gets the option as the user wrote it. */
static bool run_step(const MainConfig *config, MainStep step, GError **errp)
{
    for (guint i = 0; i < config->actions[step]->len; i++) {
        MainAction *action = config->actions[step]->pdata[i];
        GError *err = NULL;

        if (!start[step](action->opts, &err)) {
            if (!g_str_has_prefix(err->message, action->option)) {
                g_prefix_error(&err, "%s %s: ", action->option, action->arg);
            }
            g_propagate_error(errp, err);
            return false;
        }
    }
    return true;
}

static bool main_start(const MainConfig *config, GError **errp)
{
    event_clock_set_manual(); /* qtest steps it; nothing else runs a guest in this version */
    for (MainStep step = 0; step < MAIN_STEP_DEVICE; step++) {
        if (!run_step(config, step, errp)) {
            return false;
        }
    }
    if (!machine_create(config, errp) || !run_step(config, MAIN_STEP_DEVICE, errp)) {
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

static void handle_signal(int fd, unsigned ready, void *opaque)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        log_warn("terminating on signal %u from pid %u", info.ssi_signo, info.ssi_pid);
        shutdown_request(0);
    }
}

/*
 * Makes the terminating signals events of the loop, before there are other threads: *ret_fd, which the
 * source returned watches.  NULL with *errp.
 */
static EventSource *watch_signals(int *ret_fd, GError **errp)
{
    EventSource *source = NULL;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*ret_fd >= 0) {
        source = event_loop_add_fd(event_loop_main(), *ret_fd, EVENT_READ, handle_signal, NULL);
    }
    if (!source) {
        error_setg_errno(errp, errno, "cannot watch for signals");
    }
    return source;
}

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
    auto_fd signal_fd = -1;
    EventSource *signals;
    int status = 1;

    log_init("mpqemu");
    trace_init(trace_event_tables);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* an image past RLIMIT_FSIZE is an I/O error, not our end */
    ram_guard_install();
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
    signals = watch_signals(&signal_fd, &err);
    event_loop_set_wait_hooks(event_loop_main(), machine_unlock, machine_lock);
    if (!signals || !main_start(config, &err)) {
        log_error("%s", err->message);
    } else {
        event_loop_run(event_loop_main());
        shutdown_requested(&status);
    }
    main_stop();
    event_source_remove(signals);
    return status;
}
