/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a device process.
 *
 * Runs in: qemu-remote.
 */
#include "remote/profile.h"

#include <stdio.h>
#include <glib.h>

#include "block/block.h"
#include "hw/remote/iohub.h"
#include "io/dma-link.h"
#include "io/eventfd-signal.h"
#include "io/mpqemu-link.h"
#include "monitor/options.h"
#include "sandbox/libc.h"
#include "sandbox/sandbox.h"
#include "system/ram.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

/* Links, disks, and monitors on sockets that were connected from the start: what every device process has. */
#define DEVICE_TABLES \
    &libc_syscalls, &sanitizer_syscalls, &event_loop_syscalls, &log_syscalls, &fd_syscalls, &ram_syscalls, \
    &mpqemu_link_syscalls, &dma_link_client_syscalls, &eventfd_signal_syscalls, &iohub_syscalls, &block_syscalls

static const SyscallTable *const device[] = { DEVICE_TABLES, NULL };
static const SyscallTable *const device_listening[] = { DEVICE_TABLES, &monitor_listener_syscalls, NULL };
static const SyscallTable *const device_stdio[] = { DEVICE_TABLES, &monitor_stdio_syscalls, NULL };
static const SyscallTable *const device_both[] = {
    DEVICE_TABLES, &monitor_listener_syscalls, &monitor_stdio_syscalls, NULL,
};

/* By the kinds of monitors: bit 0 for a listening one, bit 1 for one on standard input. */
static const struct {
    const char *title;
    const SyscallTable *const *tables;
} profiles[] = {
    { "device", device },
    { "device with a listening monitor", device_listening },
    { "device with a monitor on standard input", device_stdio },
    { "device with both kinds of monitors", device_both },
};

const SyscallTable *const *remote_profile(bool listens, bool on_stdio)
{
    return profiles[listens | on_stdio << 1].tables;
}

void remote_profiles_print(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(profiles); i++) {
        g_autofree char *text = sandbox_profile_text(profiles[i].title, profiles[i].tables);

        printf("%s%s", i ? "\n" : "", text);
    }
}
