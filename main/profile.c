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
#include <string.h>
#include <glib.h>

#include "accel/accel.h"
#include "accel/qtest.h"
#include "accel/vcpu.h"
#include "block/block.h"
#include "chardev/chardev.h"
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

static const SyscallTable *const main_tables[] = {
    &libc_syscalls, &thread_syscalls, &sanitizer_syscalls, &event_loop_syscalls, &log_syscalls, &fd_syscalls,
    &ram_syscalls, &ram_maker_syscalls, &mpqemu_link_syscalls, &mpqemu_link_client_syscalls, &dma_link_server_syscalls,
    &qmp_client_syscalls, &pci_proxy_syscalls, &remote_process_syscalls, &opener_client_syscalls, &block_syscalls,
    &monitor_listener_syscalls, &monitor_stdio_syscalls, &chardev_syscalls, &qtest_syscalls, &vcpu_syscalls, NULL,
};

const SyscallTable *const *main_profile(void)
{
    static const SyscallTable *all[G_N_ELEMENTS(main_tables) + 1];

    memcpy(all, main_tables, sizeof(main_tables));
    all[G_N_ELEMENTS(main_tables) - 1] = accel_current()->syscalls;
    return all;
}

static void print(const char *title, const SyscallTable *const *tables, bool first)
{
    g_autofree char *text = sandbox_profile_text(title, tables);

    printf("%s%s", first ? "" : "\n", text);
}

void main_profiles_print(void)
{
    print("main emulator", main_tables, true);
    for (unsigned i = 0; accels[i]; i++) {
        const SyscallTable *const added[] = { accels[i]->syscalls, NULL };
        g_autofree char *title = g_strdup_printf("main emulator with -accel %s, on top", accels[i]->name);

        if (accels[i]->syscalls) {
            print(title, added, false);
        }
    }
    print("opener", opener_profile, false);
}
