/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the built-in processor, by guest code.
 * Runs in: fuzz target
 *
 * Byte 0 chooses the mode, what is near an end (a page's, the code segment's), and #AC; bytes 1 to 8 change what
 * follows: the sixteen registers, by a nibble each.  The rest is code. When the processor halts, or after 10 ms, it
 * gets an interrupt, an NMI, other bytes in its code page as if from a device, and the fourth time it ends.  Checked,
 * besides what the sanitizers see: it comes back, and memory outside of the guest's is not touched.
 */
#include <glib.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../unit/emu-system-rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLEARED (1u << 20) /* what programs reach most, and all tables */
#define HEADER 9u

static SysRig rig;
static atomic_bool running;

/* Kicks a processor that runs for longer than a turn of this thread. */
static gpointer watch(gpointer opaque)
{
    for (;;) {
        g_usleep(10000);
        if (atomic_load(&running)) {
            x86_cpu_kick(rig.cpu);
        }
    }
    return NULL;
}

static void set_mode(unsigned mode)
{
    switch (mode % 8) {
    case 0:
        sys_real(&rig);
        break;
    case 1:
        sys_protected(&rig);
        break;
    case 2:
        sys_protected_paging(&rig, false);
        break;
    case 3:
        sys_protected_paging(&rig, true);
        break;
    case 4:
        sys_protected_paging(&rig, false);
        sys_user32(&rig);
        break;
    case 5:
        sys_user64(&rig);
        break;
    case 6:
        sys_long(&rig);
        break;
    default:
        sys_vm86(&rig, mode & 0x10 ? 0 : 3);
        break;
    }
    if (mode & 0x20) {
        rig.state.cr0 |= X86_CR0_AM;
        rig.state.rflags |= X86_AC;
    }
}

/* Addresses of what is there, their ends, and numbers. */
static void set_registers(const uint8_t *nibbles)
{
    static const uint64_t values[16] = {
        0,          1,
        0x80,       0xffffffffffffffff,
        0x7fffffff, 0x8000000000000000,
        SYS_DATA,   SYS_DATA + 0xffd,
        SYS_KERNEL, SYS_USER,
        SYS_GDT,    SYS_IDT,
        SYS_PT,     SYS_RAM_SIZE - 3,
        0xfee00000, 0x40000000c0000080,
    };

    for (unsigned i = 0; i < 16; i++) {
        const unsigned n = nibbles[i / 2] >> (i % 2 * 4) & 15;

        if (i != X86_RSP || n != 0) {
            rig.state.gpr[i] = values[n];
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    const uint32_t mask = 0xfff;
    uint32_t at;

    if (!made) {
        made = true;
        sys_rig_init(&rig, "max");
        g_thread_new("watch", watch, NULL);
    }
    if (size <= HEADER || size > 2048) {
        return 0;
    }
    memset(rig.ram, 0, CLEARED);
    memset(rig.ram + SYS_HANDLERS, 0xf4, 256 * 16);
    x86_cpu_reset(rig.cpu, false);
    x86_cpu_get_state(rig.cpu, &rig.state);
    set_mode(data[0]);
    set_registers(data + 1);
    at = (uint32_t)(rig.state.segment[X86_CS].base + rig.state.rip) & (SYS_RAM_SIZE - 1);
    at = data[0] & 8 ? (at | mask) - 20 : at; /* over the end of a page */
    rig.state.rip += data[0] & 8 ? mask - 20 : 0;
    if (data[0] & 0x10) {
        rig.state.segment[X86_CS].limit = (uint32_t)rig.state.rip + 40;
    }
    memcpy(rig.ram + at, data + HEADER, size - HEADER);
    x86_cpu_set_state(rig.cpu, &rig.state);
    for (unsigned turn = 0; turn < 4; turn++) {
        X86Exit why;

        atomic_store(&running, true);
        why = x86_cpu_run(rig.cpu);
        atomic_store(&running, false);
        if (why == X86_EXIT_SHUTDOWN) {
            break;
        }
        /* HLT handlers: an interrupt goes on behind them. */
        if (turn == 0) {
            rig.interrupt = 0x40;
            x86_cpu_set_intr(rig.cpu, true);
        } else if (turn == 1) {
            rig.ram[at] ^= 0x40;
            x86_cpu_nmi(rig.cpu);
        } else {
            x86_cpu_flush_memory(rig.cpu);
            x86_cpu_nmi(rig.cpu);
        }
    }
    g_free(x86_cpu_text(rig.cpu));
    x86_cpu_set_intr(rig.cpu, false);
    rig.interrupt = -1;
    return 0;
}
