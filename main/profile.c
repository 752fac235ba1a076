/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a confined main emulator.
 *
 * Runs in: mpqemu.
 *
 * One profile: any of its parts may be added by a monitor at run time.
 */
#include "main/profile.h"

#include <stdio.h>
#include <glib.h>

#include "accel/qtest.h"
#include "block/block.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/proxy/remote-process.h"
#include "io/dma-link.h"
#include "io/mpqemu-link.h"
#include "io/qmp-client.h"
#include "monitor/options.h"
#include "sandbox/libc.h"
#include "sandbox/opener.h"
#include "sandbox/sandbox.h"
#include "system/ram.h"
#include "util/event-loop.h"
#include "util/fd.h"
#include "util/log.h"

const SyscallTable *const main_profile[] = {
    &libc_syscalls, &thread_syscalls, &sanitizer_syscalls, &event_loop_syscalls, &log_syscalls, &fd_syscalls,
    &ram_syscalls, &ram_maker_syscalls, &mpqemu_link_syscalls, &mpqemu_link_client_syscalls, &dma_link_server_syscalls,
    &qmp_client_syscalls, &pci_proxy_syscalls, &remote_process_syscalls, &opener_client_syscalls, &block_syscalls,
    &monitor_listener_syscalls, &monitor_stdio_syscalls, &qtest_syscalls, NULL,
};

static const struct {
    const char *title;
    const SyscallTable *const *tables;
} profiles[] = {
    { "main emulator", main_profile },
    { "opener", opener_profile },
};

void main_profiles_print(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(profiles); i++) {
        g_autofree char *text = sandbox_profile_text(profiles[i].title, profiles[i].tables);

        printf("%s%s", i ? "\n" : "", text);
    }
}
