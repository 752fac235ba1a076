/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An accelerator that executes nothing notes what it is told.  The registers are reached by the window, from each
 * vCPU's thread, as a guest would.
 *
 * Runs in: tests
 */
#include "apic-rig.h"

#include <string.h>
#include "accel/accel.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define WAIT_US (10 * G_USEC_PER_SEC)

FakeCpu fake[COUNT];

static bool fake_vcpu_init(Vcpu *vcpu, GError **errp)
{
    fake[vcpu->index].sipi = -1;
    return true;
}

static void fake_vcpu_free(Vcpu *vcpu)
{
}

static void fake_reset(Vcpu *vcpu, bool by_init)
{
    fake[vcpu->index].inits += by_init;
}

static void fake_sipi(Vcpu *vcpu, uint8_t vector)
{
    fake[vcpu->index].sipi = vector;
}

static void fake_kick(Vcpu *vcpu)
{
    atomic_store(&fake[vcpu->index].kicked, true);
}

static VcpuExit fake_run(Vcpu *vcpu)
{
    FakeCpu *cpu = &fake[vcpu->index];
    Job *job = atomic_load(&cpu->job);

    atomic_store(&cpu->kicked, false);
    if (!job) {
        return VCPU_HALTED;
    }
    vcpu_device_begin(vcpu);
    if (job->write) {
        job->result = address_space_write(system_memory(), job->addr, job->value, 4);
    } else {
        job->result = address_space_read(system_memory(), job->addr, &job->value, 4);
    }
    vcpu_device_end(vcpu);
    atomic_store(&cpu->job, NULL);
    return VCPU_KICKED;
}

static void fake_set_intr(Vcpu *vcpu, bool level)
{
    fake[vcpu->index].intr = level;
}

static void fake_nmi(Vcpu *vcpu)
{
    fake[vcpu->index].nmis++;
}

static const Accel fake_accel = {
    .name = "fake", .vcpu_init = fake_vcpu_init, .vcpu_free = fake_vcpu_free, .vcpu_reset = fake_reset,
    .vcpu_sipi = fake_sipi, .vcpu_run = fake_run, .vcpu_kick = fake_kick, .vcpu_set_intr = fake_set_intr,
    .vcpu_nmi = fake_nmi,
};

static uint8_t pic_acknowledge(void *opaque)
{
    Fixture *f = opaque;

    f->pic_acks++;
    irq_set(apic_pic_line(), 0);
    return f->pic_vector;
}

Job do_job(unsigned cpu, Job job)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;

    atomic_store(&fake[cpu].job, &job);
    vcpu_wake(vcpu_get(cpu));
    machine_unlock();
    while (atomic_load(&fake[cpu].job)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(10);
    }
    machine_lock();
    return job;
}

uint32_t rd(unsigned cpu, unsigned reg)
{
    return (uint32_t)do_job(cpu, (Job) { .addr = APIC_BASE + reg }).value;
}

void wr(unsigned cpu, unsigned reg, uint32_t value)
{
    do_job(cpu, (Job) { .write = true, .addr = APIC_BASE + reg, .value = value });
}

void settle(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        gint64 end_us = g_get_monotonic_time() + WAIT_US;

        while (vcpu_state(vcpu_get(i)) == VCPU_STATE_RUNNING) {
            g_assert_cmpint(g_get_monotonic_time(), <, end_us);
            g_usleep(10);
        }
    }
}

void start_others(void)
{
    for (unsigned i = 1; i < COUNT; i++) {
        vcpu_sipi(vcpu_get(i), 1);
    }
    settle();
}

static void setup(Fixture *f, gconstpointer data)
{
    memset(fake, 0, sizeof(fake));
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, COUNT, 1 }, NULL));
    f->ioapic = IOAPIC(device_new(TYPE_IOAPIC));
    g_assert_true(device_realize(DEVICE(f->ioapic), NULL, NULL));
    apics_create(address_space_root(system_memory()), f->ioapic);
    apic_set_pic(pic_acknowledge, f);
    g_assert_true(vcpus_start(NULL));
    system_reset();
    vm_start();
    start_others();
    for (unsigned i = 0; i < COUNT; i++) {
        f->apic[i] = vcpu_get(i)->apic;
        wr(i, APIC_REG_SVR, 0x1ff);
        wr(i, APIC_REG_LDR, 1u << (24 + i));
    }
}

static void teardown(Fixture *f, gconstpointer data)
{
    vm_stop(RUN_STATE_PAUSED);
    vcpus_pause();
    apics_destroy();
    vcpus_destroy();
    vcpus_resume();
    device_unrealize(DEVICE(f->ioapic));
    g_object_unref(f->ioapic);
}

int take(Fixture *f, unsigned cpu)
{
    int vector = fake[cpu].intr ? apic_accept(f->apic[cpu]) : -1;

    if (vector >= 0) {
        wr(cpu, APIC_REG_EOI, 0);
    }
    return vector;
}

void check_nobody(const Fixture *f)
{
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_false(fake[i].intr);
    }
}

void icr(unsigned cpu, uint8_t dest, uint32_t value)
{
    wr(cpu, APIC_REG_ICR_HIGH, (uint32_t)dest << 24);
    wr(cpu, APIC_REG_ICR, value);
}

void check_who(Fixture *f, unsigned mask, int vector)
{
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpint(take(f, i), ==, mask >> i & 1 ? vector : -1);
    }
    check_nobody(f);
}

int apic_rig_main(int argc, char **argv, const ApicTest *tests, unsigned count)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    event_clock_set_manual();
    accel_set_current(&fake_accel);
    for (unsigned i = 0; i < count; i++) {
        g_test_add(tests[i].path, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    return g_test_run();
}
