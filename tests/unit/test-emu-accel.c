/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of what is between the built-in engine and the machine, with an engine that executes calls of the test's
 * instead of instructions.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "accel/emu.h"
#include "hw/intc/apic.h"
#include "system/dirty-log.h"
#include "system/memory.h"
#include "system/reset.h"
#include "target/i386/engine.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define COUNT 2u
#define WAIT_US (10 * G_USEC_PER_SEC)
#define RAM_SIZE 0x10000u
#define MMIO_BASE 0x20000u
#define PORT 0x70u

/* ---- the engine ------------------------------------------------------------------------------------- */

typedef void Program(X86Cpu *cpu);

struct X86Machine {
    int unused;
};

struct X86Cpu {
    const X86Bus *bus;
    void *opaque;
    unsigned index, count;
    atomic_bool kicked, intr;
    atomic_uint nmis, flushes, resets, logs;
    atomic_bool log_writes;
    _Atomic(Program *) program; /* executed once */
    atomic_bool spin;           /* then never stand by itself */
    uint8_t *page;              /* kept, as a TLB does, until it is flushed */
    uint64_t value;
    int vector;
    bool ok;
};

static X86Cpu *cpus[COUNT];

bool x86_cpu_model_check(const char *model, GError **errp)
{
    if (g_str_equal(model, "good")) {
        return true;
    }
    g_set_error_literal(errp, G_FILE_ERROR, G_FILE_ERROR_FAILED, "no such model");
    return false;
}

void x86_cpu_models_print(void)
{
}

X86Machine *x86_machine_new(void)
{
    return g_new0(X86Machine, 1);
}

void x86_machine_free(X86Machine *machine)
{
    g_free(machine);
}

X86Cpu *x86_cpu_new(X86Machine *machine, const X86CpuConfig *config, const X86Bus *bus, void *opaque, GError **errp)
{
    X86Cpu *cpu = g_new0(X86Cpu, 1);

    g_assert_cmpstr(config->model, ==, "good");
    cpu->bus = bus;
    cpu->opaque = opaque;
    cpu->index = config->index;
    cpu->count = config->count;
    cpus[config->index] = cpu;
    return cpu;
}

void x86_cpu_free(X86Cpu *cpu)
{
    g_free(cpu);
}

void x86_cpu_reset(X86Cpu *cpu, bool by_init)
{
    atomic_fetch_add(&cpu->resets, 1);
}

void x86_cpu_sipi(X86Cpu *cpu, uint8_t vector)
{
}

X86Exit x86_cpu_run(X86Cpu *cpu)
{
    while (!atomic_exchange(&cpu->kicked, false)) {
        Program *program = atomic_load(&cpu->program);

        if (program) {
            program(cpu);
            atomic_store(&cpu->program, NULL);
        } else if (!atomic_load(&cpu->spin)) {
            return X86_EXIT_HALTED;
        } else if (cpu->page) {
            cpu->page[0]++; /* a fault when it has gone */
        }
    }
    return X86_EXIT_KICKED;
}

void x86_cpu_kick(X86Cpu *cpu)
{
    atomic_store(&cpu->kicked, true);
}

void x86_cpu_set_intr(X86Cpu *cpu, bool level)
{
    atomic_store(&cpu->intr, level);
}

void x86_cpu_nmi(X86Cpu *cpu)
{
    atomic_fetch_add(&cpu->nmis, 1);
}

void x86_cpu_flush_memory(X86Cpu *cpu)
{
    cpu->page = NULL;
    atomic_fetch_add(&cpu->flushes, 1);
}

void x86_cpu_log_writes(X86Cpu *cpu, bool on)
{
    atomic_store(&cpu->log_writes, on);
    atomic_fetch_add(&cpu->logs, 1);
}

char *x86_cpu_text(X86Cpu *cpu)
{
    return g_strdup_printf("cpu %u", cpu->index);
}

/* ---- the machine ------------------------------------------------------------------------------------- */

static MemoryRegion ram_mr, device_mr, port_mr;
static uint64_t written;
static bool map_in_callback; /* a device that takes RAM away when it is written */

static MemResult device_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    g_assert_true(machine_locked());
    g_assert_nonnull(vcpu_current());
    *ret_value = 0x1122334455667788ull >> (8 * addr);
    return MEM_OK;
}

static MemResult device_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    written = value;
    if (map_in_callback) {
        memory_region_set_enabled(&ram_mr, value);
    }
    return MEM_OK;
}

static const MemoryRegionOps device_ops = { .read = device_read, .write = device_write };

static void setup(void)
{
    MemoryRegion *memory = address_space_root(system_memory());
    RamBlock *block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);

    memory_region_init_ram(&ram_mr, NULL, "ram", block, 0, RAM_SIZE);
    ram_block_unref(block);
    memory_region_init_io(&device_mr, NULL, &device_ops, NULL, "device", 0x100);
    memory_region_init_io(&port_mr, NULL, &device_ops, NULL, "port", 4);
    g_assert_true(emu_accel.open(true, NULL));
    accel_set_current(&emu_accel);
    g_assert_true(emu_accel.init("good", NULL));
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, COUNT, 1 }, NULL));
    memory_region_add(memory, 0x1000, &ram_mr, 0);
    memory_region_add(memory, MMIO_BASE, &device_mr, 0);
    memory_region_add(address_space_root(system_io()), PORT, &port_mr, 0);
    apics_create(memory, NULL);
    g_assert_true(vcpus_start(NULL));
    system_reset();
    vm_start();
    vcpu_sipi(vcpu_get(1), 1);
}

static void teardown(void)
{
    vm_stop(RUN_STATE_PAUSED);
    apics_destroy();
    vcpus_destroy();
    memory_region_destroy(&ram_mr);
    memory_region_destroy(&device_mr);
    memory_region_destroy(&port_mr);
    emu_accel.cleanup();
}

/* PROGRAM on CPU; waits for its end. */
static void run(unsigned cpu, Program *program)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;

    atomic_store(&cpus[cpu]->program, program);
    vcpu_wake(vcpu_get(cpu));
    machine_unlock();
    while (atomic_load(&cpus[cpu]->program)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(10);
    }
    machine_lock();
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_model(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(emu_accel.init("bad", &err));
    g_assert_cmpstr(err->message, ==, "no such model");
}

static void program_ram(X86Cpu *cpu)
{
    bool writable = false;

    cpu->ok = !cpu->bus->ram_page(cpu->opaque, 0, &writable) &&
              !cpu->bus->ram_page(cpu->opaque, MMIO_BASE, &writable) &&
              !cpu->bus->ram_page(cpu->opaque, 0x11000, &writable);
    cpu->page = cpu->bus->ram_page(cpu->opaque, 0x10000, &writable);
    cpu->ok &= writable;
    cpu->page[5] = 0x5a;
}

static void test_ram(void)
{
    uint64_t value;

    setup();
    run(0, program_ram);
    g_assert_true(cpus[0]->ok);
    g_assert_cmpint(address_space_read(system_memory(), 0x10005, &value, 1), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x5a);
    g_assert_cmpuint(cpus[0]->count, ==, COUNT);
    g_assert_cmpuint(cpus[1]->index, ==, 1);
    teardown();
}

/* RAM that goes away is taken from vCPUs that use it, that sleep, and that make it go. */
static void program_unmap(X86Cpu *cpu)
{
    cpu->bus->mmio_write(cpu->opaque, MMIO_BASE, 0, 4);
    cpu->ok = cpu->page == NULL;
    cpu->bus->mmio_write(cpu->opaque, MMIO_BASE, 1, 4);
}

static void test_ram_goes(void)
{
    unsigned flushes;

    setup();
    run(0, program_ram);
    run(1, program_ram);
    atomic_store(&cpus[1]->spin, true);
    vcpu_wake(vcpu_get(1));
    flushes = atomic_load(&cpus[1]->flushes);
    memory_region_set_enabled(&ram_mr, false);
    g_assert_null(cpus[0]->page);
    g_assert_cmpuint(atomic_load(&cpus[1]->flushes), ==, flushes + 1);
    memory_region_set_enabled(&ram_mr, true);
    run(0, program_ram);
    run(1, program_ram);
    map_in_callback = true;
    flushes = atomic_load(&cpus[1]->flushes);
    run(0, program_unmap);
    map_in_callback = false;
    g_assert_true(cpus[0]->ok);
    g_assert_cmpuint(atomic_load(&cpus[1]->flushes), ==, flushes + 2);
    teardown();
}

static void program_ram_written(X86Cpu *cpu)
{
    cpu->bus->ram_written(cpu->opaque, 0x3000);
}

/* Every vCPU tells of its writes while some block is logged, and anew whenever the bits were taken. */
static void test_dirty_log(void)
{
    DirtyLog *log, *second;
    uint64_t bits;

    setup();
    log = dirty_log_start(ram_mr.ram);
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_true(atomic_load(&cpus[i]->log_writes));
        g_assert_cmpuint(atomic_load(&cpus[i]->logs), ==, 1);
    }
    run(1, program_ram_written);
    g_assert_cmpuint(dirty_log_take(log, &bits), ==, 1);
    g_assert_cmphex(bits, ==, 1 << 2); /* RAM begins at 0x1000 */
    g_assert_cmpuint(atomic_load(&cpus[0]->logs), ==, 2);
    second = dirty_log_start(ram_mr.ram);
    dirty_log_stop(log);
    g_assert_true(atomic_load(&cpus[0]->log_writes));
    dirty_log_stop(second);
    g_assert_false(atomic_load(&cpus[0]->log_writes));
    g_assert_false(atomic_load(&cpus[1]->log_writes));
    run(1, program_ram_written); /* late: nobody is there to hear it */
    teardown();
}

static void program_devices(X86Cpu *cpu)
{
    const X86Bus *bus = cpu->bus;

    cpu->ok = bus->mmio_read(cpu->opaque, MMIO_BASE, 8) == 0x1122334455667788ull &&
              (bus->mmio_read(cpu->opaque, MMIO_BASE + 1, 1) & 0xff) == 0x77 &&
              bus->port_in(cpu->opaque, PORT, 2) == 0x7788 && (bus->port_in(cpu->opaque, PORT + 8, 1) & 0xff) == 0xff &&
              (bus->mmio_read(cpu->opaque, 0x80000000, 4) & UINT32_MAX) == UINT32_MAX;
    bus->port_out(cpu->opaque, PORT, 0xabcd, 2);
}

static void test_devices(void)
{
    setup();
    run(0, program_devices);
    g_assert_true(cpus[0]->ok);
    g_assert_cmphex(written, ==, 0xabcd);
    teardown();
}

static void program_apic(X86Cpu *cpu)
{
    const X86Bus *bus = cpu->bus;

    cpu->vector = bus->interrupt_ack(cpu->opaque);
    bus->tpr_set(cpu->opaque, 7);
    cpu->ok = bus->tpr_get(cpu->opaque) == 7 && bus->msr_read(cpu->opaque, APIC_MSR_BASE, &cpu->value) &&
              !bus->msr_read(cpu->opaque, 0x10, &cpu->value) && !bus->msr_write(cpu->opaque, APIC_MSR_BASE, 1);
    bus->mmio_write(cpu->opaque, APIC_BASE + APIC_REG_EOI, 0, 4);
}

static void program_enable(X86Cpu *cpu)
{
    cpu->bus->mmio_write(cpu->opaque, APIC_BASE + APIC_REG_SVR, 0x1ff, 4);
}

static void test_apic(void)
{
    setup();
    run(1, program_enable);
    apic_send_msi(0xfee01000, 0x44);
    g_assert_true(atomic_load(&cpus[1]->intr));
    run(1, program_apic);
    g_assert_cmpint(cpus[1]->vector, ==, 0x44);
    g_assert_true(cpus[1]->ok);
    g_assert_false(atomic_load(&cpus[1]->intr));
    run(0, program_apic); /* nothing there */
    g_assert_cmpint(cpus[0]->vector, ==, -1);
    apic_send_msi(0xfee01000, 0x400);
    g_assert_cmpuint(atomic_load(&cpus[1]->nmis), ==, 1);
    teardown();
}

static void program_time(X86Cpu *cpu)
{
    cpu->value = cpu->bus->tsc(cpu->opaque);
}

static void test_time(void)
{
    uint64_t before;

    setup();
    before = (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL);
    run(0, program_time);
    g_assert_cmpuint(cpus[0]->value, >=, before);
    g_assert_cmpuint(cpus[0]->value, <=, (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL));
    teardown();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/emu-accel/model", test_model);
    g_test_add_func("/emu-accel/ram", test_ram);
    g_test_add_func("/emu-accel/ram-goes", test_ram_goes);
    g_test_add_func("/emu-accel/dirty-log", test_dirty_log);
    g_test_add_func("/emu-accel/devices", test_devices);
    g_test_add_func("/emu-accel/apic", test_apic);
    g_test_add_func("/emu-accel/time", test_time);
    return g_test_run();
}
