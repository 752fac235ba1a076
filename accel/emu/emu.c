/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accelerator "emu".
 *
 * Runs in: mpqemu.  The manual is include/accel/emu.h.
 */
#include "accel/emu.h"

#include <sys/mman.h>
#include <sys/random.h>

#include "hw/intc/apic.h"
#include "system/dirty-log.h"
#include "system/memory.h"
#include "target/i386/engine.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define PAGE_SIZE 4096u
#define LARGE_PAGE_SIZE (2u << 20)

/* Vcpu.accel_data, and the engine's OPAQUE. */
typedef struct EmuCpu {
    Vcpu *vcpu;
    X86Cpu *cpu;
    FlatView *view; /* a reference; changed by vcpu_run_on() only, so the thread reads it without a lock */
} EmuCpu;

static X86Machine *machine;
static char *model; /* -cpu; NULL: the default */
static unsigned logged; /* RAM blocks; machine lock */

static X86Cpu *x86(const Vcpu *vcpu)
{
    return ((EmuCpu *)vcpu->accel_data)->cpu;
}

/* ---- memory and ports --------------------------------------------------------------------------- */

/* A page that is RAM in part only is left to mmio_read() and mmio_write(), which can do it. */
static uint8_t *ram_page(void *opaque, uint64_t gpa, bool *writable)
{
    EmuCpu *emu = opaque;
    const FlatRange *range = flat_view_find(emu->view, gpa);

    if (!range || !range->ram || range->size - (gpa - range->start) < PAGE_SIZE) {
        return NULL;
    }
    *writable = !range->readonly;
    return range->ram->host + range->ram_offset + (gpa - range->start);
}

static void ram_written(void *opaque, uint64_t gpa)
{
    EmuCpu *emu = opaque;
    const FlatRange *range = flat_view_find(emu->view, gpa);

    ram_block_dirty(range->ram, range->ram_offset + (gpa - range->start), PAGE_SIZE);
}

static void wait_begin(void *opaque)
{
    vcpu_device_begin(((EmuCpu *)opaque)->vcpu);
}

static void wait_end(void *opaque)
{
    vcpu_device_end(((EmuCpu *)opaque)->vcpu);
}

static uint64_t bus_read(EmuCpu *emu, AddressSpace *as, uint64_t addr, unsigned size)
{
    uint64_t value = UINT64_MAX;

    vcpu_device_begin(emu->vcpu);
    address_space_read(as, addr, &value, size);
    vcpu_device_end(emu->vcpu);
    return value;
}

static void bus_write(EmuCpu *emu, AddressSpace *as, uint64_t addr, uint64_t value, unsigned size)
{
    vcpu_device_begin(emu->vcpu);
    address_space_write(as, addr, value, size);
    vcpu_device_end(emu->vcpu);
}

static uint64_t mmio_read(void *opaque, uint64_t gpa, unsigned size)
{
    return bus_read(opaque, system_memory(), gpa, size);
}

static void mmio_write(void *opaque, uint64_t gpa, uint64_t value, unsigned size)
{
    bus_write(opaque, system_memory(), gpa, value, size);
}

static uint32_t port_in(void *opaque, uint16_t port, unsigned size)
{
    return (uint32_t)bus_read(opaque, system_io(), port, size);
}

static void port_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    bus_write(opaque, system_io(), port, value, size);
}

/* vcpu_run_on(): from the old view to OPAQUE's. */
static void take_view(Vcpu *vcpu, void *opaque)
{
    EmuCpu *emu = vcpu->accel_data;

    flat_view_unref(emu->view);
    emu->view = address_space_view(system_memory());
    x86_cpu_flush_memory(emu->cpu);
}

/*
 * Large pages of the host, where it gives them to shared memory (shmem_enabled "advise"): with small ones a guest that
 * looks around in memory misses the host's TLB besides the engine's.  Where it does not nothing changes.
 */
static void want_large_pages(const FlatView *view)
{
    for (unsigned i = 0; i < view->count; i++) {
        const RamBlock *ram = view->ranges[i].ram;

        if (ram && !ram->readonly && ram->map_size >= LARGE_PAGE_SIZE) {
            (void)madvise(ram->map_base, ram->map_size, MADV_HUGEPAGE);
        }
    }
}

static void memory_changed(MemoryListener *listener, const FlatView *old, const FlatView *new_view)
{
    want_large_pages(new_view);
    vcpu_run_on_all(take_view, NULL);
}

/* vcpu_run_on(): what is written from now on is told. */
static void log_writes(Vcpu *vcpu, void *opaque)
{
    x86_cpu_log_writes(x86(vcpu), logged != 0);
}

static void log_changed(MemoryListener *listener, RamBlock *block)
{
    logged += ram_block_is_logged(block) ? 1 : -1;
    vcpu_run_on_all(log_writes, NULL);
}

static void log_cleared(MemoryListener *listener, RamBlock *block)
{
    vcpu_run_on_all(log_writes, NULL);
}

static MemoryListener listener = {
    .changed = memory_changed,
    .log_changed = log_changed,
    .log_cleared = log_cleared,
};

/* ---- interrupts, time -------------------------------------------------------------------------------- */

/* The local APIC, with the lock that it needs; NULL: the board has none, and nothing is locked. */
static LocalApic *apic_enter(EmuCpu *emu)
{
    if (!emu->vcpu->apic) {
        return NULL;
    }
    vcpu_device_begin(emu->vcpu);
    machine_lock();
    return emu->vcpu->apic;
}

static void apic_leave(EmuCpu *emu)
{
    machine_unlock();
    vcpu_device_end(emu->vcpu);
}

static int interrupt_ack(void *opaque)
{
    LocalApic *apic = apic_enter(opaque);
    int vector = -1;

    if (apic) {
        vector = apic_accept(apic);
        apic_leave(opaque);
    }
    return vector;
}

static uint8_t tpr_get(void *opaque)
{
    LocalApic *apic = apic_enter(opaque);
    uint8_t value = 0;

    if (apic) {
        value = apic_tpr_get(apic);
        apic_leave(opaque);
    }
    return value;
}

static void tpr_set(void *opaque, uint8_t value)
{
    LocalApic *apic = apic_enter(opaque);

    if (apic) {
        apic_tpr_set(apic, value);
        apic_leave(opaque);
    }
}

static bool msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    LocalApic *apic = apic_enter(opaque);
    bool ok = false;

    if (apic) {
        ok = apic_msr_read(apic, msr, value);
        apic_leave(opaque);
    }
    return ok;
}

static bool msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    LocalApic *apic = apic_enter(opaque);
    bool ok = false;

    if (apic) {
        ok = apic_msr_write(apic, msr, value);
        apic_leave(opaque);
    }
    return ok;
}

static uint64_t tsc(void *opaque)
{
    return (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL);
}

static const X86Bus bus = {
    .ram_page = ram_page,
    .ram_written = ram_written,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .port_in = port_in,
    .port_out = port_out,
    .interrupt_ack = interrupt_ack,
    .tsc = tsc,
    .tpr_get = tpr_get,
    .tpr_set = tpr_set,
    .msr_read = msr_read,
    .msr_write = msr_write,
    .wait_begin = wait_begin,
    .wait_end = wait_end,
};

/* ---- accelerator ---------------------------------------------------------------------------------------- */

static bool emu_open(bool alone, GError **errp)
{
    return true; /* it needs nothing */
}

static bool emu_init(const char *cpu_model, GError **errp)
{
    if (cpu_model && !x86_cpu_model_check(cpu_model, errp)) {
        return false;
    }
    model = g_strdup(cpu_model);
    logged = 0;
    machine = x86_machine_new();
    memory_listener_register(&listener, system_memory());
    return true;
}

static void emu_cleanup(void)
{
    memory_listener_unregister(&listener);
    x86_machine_free(machine);
    machine = NULL;
    g_clear_pointer(&model, g_free);
}

static bool emu_vcpu_init(Vcpu *vcpu, GError **errp)
{
    const X86CpuConfig config = {
        .model = model, .index = vcpu->index, .count = vcpu->total, .cores = vcpu->topology.cores,
        .threads = vcpu->topology.threads,
    };
    EmuCpu *emu = g_new0(EmuCpu, 1);

    emu->vcpu = vcpu;
    emu->cpu = x86_cpu_new(machine, &config, &bus, emu, errp);
    if (!emu->cpu) {
        g_free(emu);
        return false;
    }
    emu->view = address_space_view(system_memory());
    vcpu->accel_data = emu;
    return true;
}

static void emu_vcpu_free(Vcpu *vcpu)
{
    EmuCpu *emu = vcpu->accel_data;

    x86_cpu_free(emu->cpu);
    flat_view_unref(emu->view);
    g_free(emu);
    vcpu->accel_data = NULL;
}

static void emu_vcpu_reset(Vcpu *vcpu, bool by_init)
{
    x86_cpu_reset(x86(vcpu), by_init);
}

static void emu_vcpu_sipi(Vcpu *vcpu, uint8_t vector)
{
    x86_cpu_sipi(x86(vcpu), vector);
}

static VcpuExit emu_vcpu_run(Vcpu *vcpu)
{
    static const VcpuExit exits[] = {
        [X86_EXIT_KICKED] = VCPU_KICKED,
        [X86_EXIT_HALTED] = VCPU_HALTED,
        [X86_EXIT_SHUTDOWN] = VCPU_SHUTDOWN,
    };

    return exits[x86_cpu_run(x86(vcpu))];
}

static void emu_vcpu_kick(Vcpu *vcpu)
{
    x86_cpu_kick(x86(vcpu));
}

static void emu_vcpu_set_intr(Vcpu *vcpu, bool level)
{
    x86_cpu_set_intr(x86(vcpu), level);
}

static void emu_vcpu_nmi(Vcpu *vcpu)
{
    x86_cpu_nmi(x86(vcpu));
}

static char *emu_vcpu_text(Vcpu *vcpu)
{
    return x86_cpu_text(x86(vcpu));
}

static const SyscallTable emu_syscalls = {
    "emu", (const SyscallRule[]) {
        SYSCALL(sched_yield, "PAUSE: a guest's processor waits for another one"),
        SYSCALL(getrandom, "RDRAND and RDSEED", ARG_IS(2, GRND_NONBLOCK)),
        SYSCALL_END,
    },
};

const Accel emu_accel = {
    .name = "emu",
    .description = "the built-in engine: executes guest code in software",
    .open = emu_open,
    .cpu_print = x86_cpu_models_print,
    .init = emu_init,
    .cleanup = emu_cleanup,
    .vcpu_init = emu_vcpu_init,
    .vcpu_free = emu_vcpu_free,
    .vcpu_reset = emu_vcpu_reset,
    .vcpu_sipi = emu_vcpu_sipi,
    .vcpu_run = emu_vcpu_run,
    .vcpu_kick = emu_vcpu_kick,
    .vcpu_set_intr = emu_vcpu_set_intr,
    .vcpu_nmi = emu_vcpu_nmi,
    .vcpu_text = emu_vcpu_text,
    .syscalls = &emu_syscalls,
};
