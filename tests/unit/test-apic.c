/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the local APICs: registers as the guest sees them, priorities, and messages between processors.
 *
 * An accelerator that executes nothing notes what it is told.  The registers are reached by the window, from each
 * vCPU's thread, as a guest would.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "accel/accel.h"
#include "hw/intc/apic.h"
#include "system/reset.h"
#include "system/runstate.h"
#include "util/event-loop.h"
#include "util/machine-lock.h"

#define COUNT 3u
#define WAIT_US (10 * G_USEC_PER_SEC)

/* An access that a vCPU's thread makes for the test. */
typedef struct Job {
    bool write;
    hwaddr addr;
    uint64_t value;
    MemResult result;
} Job;

typedef struct FakeCpu {
    bool intr;
    unsigned nmis, inits;
    int sipi;
    atomic_bool kicked;
    _Atomic(Job *) job;
} FakeCpu;

static FakeCpu fake[COUNT];

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

/* ---- fixture -------------------------------------------------------------------------------------- */

typedef struct Fixture {
    Ioapic *ioapic;
    LocalApic *apic[COUNT];
    uint8_t pic_vector;
    unsigned pic_acks;
} Fixture;

static uint8_t pic_acknowledge(void *opaque)
{
    Fixture *f = opaque;

    f->pic_acks++;
    irq_set(apic_pic_line(), 0);
    return f->pic_vector;
}

static Job do_job(unsigned cpu, Job job)
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

static uint32_t rd(unsigned cpu, unsigned reg)
{
    return (uint32_t)do_job(cpu, (Job) { .addr = APIC_BASE + reg }).value;
}

static void wr(unsigned cpu, unsigned reg, uint32_t value)
{
    do_job(cpu, (Job) { .write = true, .addr = APIC_BASE + reg, .value = value });
}

/* Waits until the vCPUs have done their resets and the like. */
static void settle(void)
{
    for (unsigned i = 0; i < COUNT; i++) {
        gint64 end_us = g_get_monotonic_time() + WAIT_US;

        while (vcpu_state(vcpu_get(i)) == VCPU_STATE_RUNNING) {
            g_assert_cmpint(g_get_monotonic_time(), <, end_us);
            g_usleep(10);
        }
    }
}

static void start_others(void)
{
    for (unsigned i = 1; i < COUNT; i++) {
        vcpu_sipi(vcpu_get(i), 1);
    }
    settle();
}

/* All enabled, flat logical ids 1, 2, 4. */
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

/* Takes the interrupt of CPU and ends it. */
static int take(Fixture *f, unsigned cpu)
{
    int vector = fake[cpu].intr ? apic_accept(f->apic[cpu]) : -1;

    if (vector >= 0) {
        wr(cpu, APIC_REG_EOI, 0);
    }
    return vector;
}

static void check_nobody(const Fixture *f)
{
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_false(fake[i].intr);
    }
}

static void icr(unsigned cpu, uint8_t dest, uint32_t value)
{
    wr(cpu, APIC_REG_ICR_HIGH, (uint32_t)dest << 24);
    wr(cpu, APIC_REG_ICR, value);
}

/* ---- registers ------------------------------------------------------------------------------------- */

static void test_reset_values(Fixture *f, gconstpointer data)
{
    static const struct {
        unsigned reg;
        uint32_t value;
    } values[] = {
        { APIC_REG_VERSION, 0x00050014 }, { APIC_REG_TPR, 0 }, { APIC_REG_PPR, 0 }, { APIC_REG_LDR, 0 },
        { APIC_REG_DFR, 0xffffffff }, { APIC_REG_SVR, 0xff }, { APIC_REG_ESR, 0 }, { APIC_REG_ICR, 0 },
        { APIC_REG_LVT, 0x10000 }, { APIC_REG_LVT + 0x10, 0x10000 }, { APIC_REG_LVT + 0x20, 0x10000 },
        { APIC_REG_LVT + 0x40, 0x10000 }, { APIC_REG_LVT + 0x50, 0x10000 }, { APIC_REG_TIMER_INITIAL, 0 },
        { APIC_REG_TIMER_CURRENT, 0 }, { APIC_REG_TIMER_DIVIDE, 0 }, { APIC_REG_ISR, 0 }, { APIC_REG_IRR + 0x70, 0 },
    };
    uint64_t base;

    apic_send_msi(0xfee00000, 0x50);
    wr(0, APIC_REG_TPR, 0x20);
    system_reset();
    start_others();
    for (unsigned cpu = 0; cpu < COUNT; cpu++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
            g_assert_cmphex(rd(cpu, values[i].reg), ==, values[i].value);
        }
        g_assert_cmphex(rd(cpu, APIC_REG_ID), ==, cpu << 24);
        /* Virtual wire mode on the bootstrap processor. */
        g_assert_cmphex(rd(cpu, APIC_REG_LVT + 0x30), ==, cpu ? 0x10000 : 0x700);
        g_assert_true(apic_msr_read(f->apic[cpu], APIC_MSR_BASE, &base));
        g_assert_cmphex(base, ==, cpu ? 0xfee00800 : 0xfee00900);
    }
    check_nobody(f);
}

static void test_writable_bits(Fixture *f, gconstpointer data)
{
    static const struct {
        unsigned reg;
        uint32_t value; /* after a write of all ones */
    } values[] = {
        { APIC_REG_ID, 0 }, { APIC_REG_VERSION, 0x00050014 }, { APIC_REG_TPR, 0xff }, { APIC_REG_LDR, 0xff000000 },
        { APIC_REG_DFR, 0xffffffff }, { APIC_REG_SVR, 0x1ff }, { APIC_REG_ICR_HIGH, 0xff000000 },
        { APIC_REG_LVT, 0x700ff }, { APIC_REG_LVT + 0x10, 0x107ff }, { APIC_REG_LVT + 0x30, 0x1a7ff },
        { APIC_REG_LVT + 0x50, 0x100ff }, { APIC_REG_TIMER_DIVIDE, 0xb }, { APIC_REG_TIMER_CURRENT, 0 },
        { APIC_REG_ISR, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        wr(0, values[i].reg, UINT32_MAX);
        g_assert_cmphex(rd(0, values[i].reg), ==, values[i].value);
    }
    wr(0, APIC_REG_DFR, 0);
    g_assert_cmphex(rd(0, APIC_REG_DFR), ==, 0x0fffffff);
}

static void test_software_disable(Fixture *f, gconstpointer data)
{
    wr(0, APIC_REG_LVT, 0x20031);
    wr(0, APIC_REG_SVR, 0xff);
    g_assert_cmphex(rd(0, APIC_REG_LVT), ==, 0x30031);
    wr(0, APIC_REG_LVT, 0x20031); /* stays masked */
    g_assert_cmphex(rd(0, APIC_REG_LVT), ==, 0x30031);
    apic_send_msi(0xfee00000, 0x50);
    wr(0, APIC_REG_SVR, 0x1ff);
    check_nobody(f);
}

static void test_errors(Fixture *f, gconstpointer data)
{
    wr(0, APIC_REG_LVT + 0x50, 0x60);
    icr(0, 0, 0x0f); /* an illegal vector */
    g_assert_cmphex(rd(0, APIC_REG_ESR), ==, 0); /* not before it is written */
    wr(0, APIC_REG_ESR, 0);
    g_assert_cmphex(rd(0, APIC_REG_ESR), ==, APIC_ERROR_SEND_VECTOR);
    g_assert_cmpint(take(f, 0), ==, 0x60);
    apic_send_msi(0xfee00000, 0x0f);
    g_assert_cmpint(take(f, 0), ==, 0x60);
    rd(0, 0x3f0); /* there is none */
    g_assert_cmpint(take(f, 0), ==, 0x60);
    wr(0, APIC_REG_ESR, 0);
    g_assert_cmphex(rd(0, APIC_REG_ESR), ==, APIC_ERROR_RECEIVE_VECTOR | APIC_ERROR_REGISTER);
    wr(0, APIC_REG_ESR, 0);
    g_assert_cmphex(rd(0, APIC_REG_ESR), ==, 0);
    /* An error of the error entry itself does not go on for ever. */
    wr(0, APIC_REG_LVT + 0x50, 0x01);
    icr(0, 0, 0x0f);
    check_nobody(f);
}

/* ---- priorities ------------------------------------------------------------------------------------- */

static void test_priorities(Fixture *f, gconstpointer data)
{
    apic_send_msi(0xfee00000, 0x51);
    apic_send_msi(0xfee00000, 0x93);
    apic_send_msi(0xfee00000, 0x55);
    g_assert_cmphex(rd(0, APIC_REG_IRR + 0x20), ==, 1u << 0x11 | 1u << 0x15);
    g_assert_cmphex(rd(0, APIC_REG_IRR + 0x40), ==, 1u << 0x13);
    g_assert_cmpint(apic_accept(f->apic[0]), ==, 0x93);
    g_assert_cmphex(rd(0, APIC_REG_ISR + 0x40), ==, 1u << 0x13);
    g_assert_cmphex(rd(0, APIC_REG_PPR), ==, 0x90);
    g_assert_false(fake[0].intr); /* the others have to wait */
    g_assert_cmpint(apic_accept(f->apic[0]), ==, -1);
    apic_send_msi(0xfee00000, 0x9f); /* same class */
    g_assert_false(fake[0].intr);
    apic_send_msi(0xfee00000, 0xa0);
    g_assert_true(fake[0].intr);
    g_assert_cmpint(apic_accept(f->apic[0]), ==, 0xa0);
    wr(0, APIC_REG_EOI, 0); /* 0xa0 */
    g_assert_false(fake[0].intr);
    wr(0, APIC_REG_EOI, 0); /* 0x93 */
    g_assert_cmpint(take(f, 0), ==, 0x9f);
    g_assert_cmpint(take(f, 0), ==, 0x55);
    g_assert_cmpint(take(f, 0), ==, 0x51);
    check_nobody(f);
    wr(0, APIC_REG_EOI, 0); /* nothing in service */
}

static void test_task_priority(Fixture *f, gconstpointer data)
{
    apic_tpr_set(f->apic[0], 5);
    g_assert_cmphex(rd(0, APIC_REG_TPR), ==, 0x50);
    apic_send_msi(0xfee00000, 0x5f);
    g_assert_false(fake[0].intr);
    wr(0, APIC_REG_TPR, 0x4f);
    g_assert_cmpuint(apic_tpr_get(f->apic[0]), ==, 4);
    g_assert_cmphex(rd(0, APIC_REG_PPR), ==, 0x4f);
    g_assert_true(fake[0].intr);
    wr(0, APIC_REG_TPR, 0x50);
    g_assert_false(fake[0].intr);
    wr(0, APIC_REG_TPR, 0);
    g_assert_cmpint(take(f, 0), ==, 0x5f);
}

/* ---- messages ---------------------------------------------------------------------------------------- */

/* That exactly the CPUs of MASK have VECTOR. */
static void check_who(Fixture *f, unsigned mask, int vector)
{
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpint(take(f, i), ==, mask >> i & 1 ? vector : -1);
    }
    check_nobody(f);
}

static void test_ipi_destinations(Fixture *f, gconstpointer data)
{
    icr(0, 1, 0x40);
    check_who(f, 2, 0x40);
    icr(1, 7, 0x40); /* nobody */
    check_who(f, 0, 0);
    icr(1, 0xff, 0x41);
    check_who(f, 7, 0x41);
    icr(1, 0x05, 0x42 | APIC_ICR_LOGICAL);
    check_who(f, 5, 0x42);
    icr(0, 0, 0x43 | 1u << APIC_ICR_SHORTHAND_SHIFT);
    check_who(f, 1, 0x43);
    icr(0, 0, 0x44 | 2u << APIC_ICR_SHORTHAND_SHIFT);
    check_who(f, 7, 0x44);
    icr(2, 0, 0x45 | 3u << APIC_ICR_SHORTHAND_SHIFT);
    check_who(f, 3, 0x45);
}

static void test_cluster(Fixture *f, gconstpointer data)
{
    static const uint32_t ldr[COUNT] = { 0x11000000, 0x12000000, 0x21000000 };

    for (unsigned i = 0; i < COUNT; i++) {
        wr(i, APIC_REG_DFR, 0x0fffffff);
        wr(i, APIC_REG_LDR, ldr[i]);
    }
    icr(0, 0x13, 0x40 | APIC_ICR_LOGICAL);
    check_who(f, 3, 0x40);
    icr(0, 0x21, 0x40 | APIC_ICR_LOGICAL);
    check_who(f, 4, 0x40);
    icr(0, 0x22, 0x40 | APIC_ICR_LOGICAL);
    check_who(f, 0, 0);
    icr(0, 0xf1, 0x40 | APIC_ICR_LOGICAL); /* all clusters */
    check_who(f, 5, 0x40);
}

static void test_lowest_priority(Fixture *f, gconstpointer data)
{
    unsigned got[COUNT] = { 0 };

    wr(0, APIC_REG_TPR, 0x20);
    wr(1, APIC_REG_TPR, 0x10);
    wr(2, APIC_REG_TPR, 0x30);
    icr(0, 0x07, 0x40 | APIC_ICR_LOGICAL | APIC_MODE_LOWEST << APIC_MODE_SHIFT);
    check_who(f, 2, 0x40);
    wr(1, APIC_REG_SVR, 0xff);
    icr(0, 0x07, 0x40 | APIC_ICR_LOGICAL | APIC_MODE_LOWEST << APIC_MODE_SHIFT);
    check_who(f, 1, 0x40);
    wr(1, APIC_REG_SVR, 0x1ff);
    /* Equals take turns. */
    for (unsigned i = 0; i < COUNT; i++) {
        wr(i, APIC_REG_TPR, 0);
    }
    for (unsigned n = 0; n < 2 * COUNT; n++) {
        icr(0, 0x07, 0x40 | APIC_ICR_LOGICAL | APIC_MODE_LOWEST << APIC_MODE_SHIFT);
        for (unsigned i = 0; i < COUNT; i++) {
            got[i] += take(f, i) == 0x40;
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpuint(got[i], ==, 2);
    }
}

static void test_init_sipi_nmi(Fixture *f, gconstpointer data)
{
    icr(0, 1, APIC_MODE_NMI << APIC_MODE_SHIFT);
    g_assert_cmpuint(fake[1].nmis, ==, 1);
    wr(1, APIC_REG_TPR, 0x30);
    icr(0, 1, APIC_MODE_INIT << APIC_MODE_SHIFT | APIC_ICR_LEVEL | APIC_ICR_ASSERT);
    icr(0, 1, APIC_MODE_INIT << APIC_MODE_SHIFT | APIC_ICR_LEVEL); /* de-assert */
    settle();
    g_assert_cmpint(vcpu_state(vcpu_get(1)), ==, VCPU_STATE_WAIT_SIPI);
    icr(0, 1, 0x9a | APIC_MODE_SIPI << APIC_MODE_SHIFT);
    icr(0, 1, 0x9b | APIC_MODE_SIPI << APIC_MODE_SHIFT);
    settle();
    g_assert_cmphex(rd(1, APIC_REG_TPR), ==, 0);
    g_assert_cmphex(rd(1, APIC_REG_SVR), ==, 0xff);
    g_assert_cmpint(fake[1].sipi, ==, 0x9a);
    g_assert_cmpuint(fake[1].inits, ==, 1);
    g_assert_cmpuint(fake[2].inits, ==, 0);
}

static void test_ioapic(Fixture *f, gconstpointer data)
{
    f->ioapic->redir[5] = 0x61 | IOAPIC_ENTRY_LEVEL | 2ull << IOAPIC_ENTRY_DEST_SHIFT;
    irq_set(f->ioapic->pins[5], 1);
    g_assert_true(fake[2].intr);
    g_assert_cmphex(rd(2, APIC_REG_TMR + 0x30), ==, 1u << 1);
    g_assert_true(f->ioapic->redir[5] & IOAPIC_ENTRY_REMOTE_IRR);
    g_assert_cmpint(take(f, 2), ==, 0x61);
    g_assert_true(fake[2].intr); /* still asserted: EOI has brought the next one */
    irq_set(f->ioapic->pins[5], 0);
    g_assert_cmpint(take(f, 2), ==, 0x61);
    g_assert_false(f->ioapic->redir[5] & IOAPIC_ENTRY_REMOTE_IRR);
    check_nobody(f);
    /* The end of an edge with the same vector does not end the level. */
    irq_set(f->ioapic->pins[5], 1);
    apic_send_msi(0xfee00000, 0x61);
    g_assert_cmpint(take(f, 0), ==, 0x61);
    g_assert_true(f->ioapic->redir[5] & IOAPIC_ENTRY_REMOTE_IRR);
    irq_set(f->ioapic->pins[5], 0);
    g_assert_cmpint(take(f, 2), ==, 0x61);
}

/* A level that comes while no APIC takes it is there when one does: enabled, or addressed by a new logical id. */
static void test_ioapic_level_waits_for_an_apic(Fixture *f, gconstpointer data)
{
    wr(2, APIC_REG_SVR, 0xff);
    f->ioapic->redir[5] = 0x61 | IOAPIC_ENTRY_LEVEL | 2ull << IOAPIC_ENTRY_DEST_SHIFT;
    irq_set(f->ioapic->pins[5], 1);
    check_nobody(f);
    g_assert_false(f->ioapic->redir[5] & IOAPIC_ENTRY_REMOTE_IRR);
    wr(2, APIC_REG_SVR, 0x1ff);
    g_assert_true(f->ioapic->redir[5] & IOAPIC_ENTRY_REMOTE_IRR);
    irq_set(f->ioapic->pins[5], 0);
    g_assert_cmpint(take(f, 2), ==, 0x61);

    f->ioapic->redir[6] = 0x62 | IOAPIC_ENTRY_LEVEL | IOAPIC_ENTRY_LOGICAL | 0x80ull << IOAPIC_ENTRY_DEST_SHIFT |
                          APIC_MODE_LOWEST << IOAPIC_ENTRY_MODE_SHIFT;
    irq_set(f->ioapic->pins[6], 1);
    check_nobody(f);
    g_assert_false(f->ioapic->redir[6] & IOAPIC_ENTRY_REMOTE_IRR);
    wr(1, APIC_REG_LDR, 0x80000000);
    irq_set(f->ioapic->pins[6], 0);
    g_assert_cmpint(take(f, 1), ==, 0x62);
    check_nobody(f);

    /* An id that nobody has. */
    f->ioapic->redir[7] = 0x63 | IOAPIC_ENTRY_LEVEL | 9ull << IOAPIC_ENTRY_DEST_SHIFT;
    irq_set(f->ioapic->pins[7], 1);
    g_assert_false(f->ioapic->redir[7] & IOAPIC_ENTRY_REMOTE_IRR);
    irq_set(f->ioapic->pins[7], 0);
    check_nobody(f);
}

static void test_msi(Fixture *f, gconstpointer data)
{
    apic_send_msi(0xfee01000, 0x70);
    check_who(f, 2, 0x70);
    apic_send_msi(0xfee06004, 0x71); /* logical */
    check_who(f, 6, 0x71);
    apic_send_msi(0xfed01000, 0x70); /* elsewhere */
    apic_send_msi(0x1fee01000, 0x70);
    check_who(f, 0, 0);
    wr(0, 0x2000, 0x72); /* a processor's write behind the window */
    check_who(f, 4, 0x72);
    /* Of no processor: address and data of a message also where the window is. */
    g_assert_cmpint(address_space_write(system_memory(), 0xfee00000, 0x73, 4), ==, MEM_OK);
    check_who(f, 1, 0x73);
}

/* ---- local interrupts --------------------------------------------------------------------------------- */

static void test_extint(Fixture *f, gconstpointer data)
{
    f->pic_vector = 0x08;
    wr(0, APIC_REG_LVT + 0x30, APIC_MODE_EXTINT << APIC_MODE_SHIFT);
    irq_set(apic_pic_line(), 1);
    g_assert_true(fake[0].intr);
    g_assert_false(fake[1].intr);
    g_assert_cmpint(apic_accept(f->apic[0]), ==, 0x08);
    g_assert_cmpuint(f->pic_acks, ==, 1);
    check_nobody(f);
    wr(0, APIC_REG_LVT + 0x30, APIC_LVT_MASKED | APIC_MODE_EXTINT << APIC_MODE_SHIFT);
    irq_set(apic_pic_line(), 1);
    check_nobody(f);
    wr(0, APIC_REG_LVT + 0x30, APIC_MODE_EXTINT << APIC_MODE_SHIFT);
    g_assert_true(fake[0].intr);
    irq_set(apic_pic_line(), 0);
    check_nobody(f);
    /* As a fixed interrupt: the edge counts. */
    wr(0, APIC_REG_LVT + 0x30, 0x80);
    irq_set(apic_pic_line(), 1);
    g_assert_cmpint(take(f, 0), ==, 0x80);
    check_nobody(f);
    irq_set(apic_pic_line(), 0);
    /* With the APIC off it is the processor's pin. */
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_BASE, APIC_BASE | APIC_BASE_BSP));
    irq_set(apic_pic_line(), 1);
    g_assert_cmpint(apic_accept(f->apic[0]), ==, 0x08);
}

static void test_nmi_button(Fixture *f, gconstpointer data)
{
    apic_nmi_button();
    g_assert_cmpuint(fake[0].nmis + fake[1].nmis + fake[2].nmis, ==, 0);
    wr(0, APIC_REG_LVT + 0x40, APIC_MODE_NMI << APIC_MODE_SHIFT);
    apic_nmi_button();
    g_assert_cmpuint(fake[0].nmis, ==, 1);
    g_assert_cmpuint(fake[1].nmis + fake[2].nmis, ==, 0);
}

/* ---- timer --------------------------------------------------------------------------------------------- */

static void step(int64_t ns)
{
    event_clock_step(event_loop_main(), ns);
}

static void test_timer_one_shot(Fixture *f, gconstpointer data)
{
    wr(0, APIC_REG_LVT, 0x31);
    wr(0, APIC_REG_TIMER_DIVIDE, 0xb); /* by 1 */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    step(400);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 600);
    step(599);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x31);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 0);
    step(100000);
    check_nobody(f);
    /* A change to periodic does not start it again. */
    wr(0, APIC_REG_LVT, 0x31 | APIC_LVT_PERIODIC);
    step(100000);
    check_nobody(f);
    /* Other rates. */
    wr(0, APIC_REG_LVT, 0x31);
    wr(0, APIC_REG_TIMER_DIVIDE, 0x3); /* by 16 */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    step(8000);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 500);
    wr(0, APIC_REG_TIMER_DIVIDE, 0x0); /* by 2: goes on from where it is */
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 500);
    step(999);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x31);
    /* 0 stops it. */
    wr(0, APIC_REG_TIMER_INITIAL, 1000);
    wr(0, APIC_REG_TIMER_INITIAL, 0);
    step(100000);
    check_nobody(f);
}

static void test_timer_periodic(Fixture *f, gconstpointer data)
{
    unsigned count = 0;

    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC);
    wr(0, APIC_REG_TIMER_DIVIDE, 0xb);
    wr(0, APIC_REG_TIMER_INITIAL, 1000000);
    for (unsigned i = 0; i < 100; i++) {
        step(100000);
        count += take(f, 0) == 0x32;
    }
    g_assert_cmpuint(count, ==, 10);
    step(250000);
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_CURRENT), ==, 750000);
    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC | APIC_LVT_MASKED);
    step(10000000);
    check_nobody(f);
    /* The shortest period keeps the main loop no busier than this. */
    wr(0, APIC_REG_LVT, 0x32 | APIC_LVT_PERIODIC);
    wr(0, APIC_REG_TIMER_INITIAL, 1);
    count = 0;
    for (unsigned i = 0; i < 100; i++) {
        step(APIC_TIMER_MIN_NS / 10);
        count += take(f, 0) == 0x32;
    }
    g_assert_cmpuint(count, >=, 9);
    g_assert_cmpuint(count, <=, 11);
}

static void test_timer_deadline(Fixture *f, gconstpointer data)
{
    uint64_t now = (uint64_t)event_clock_ns(EVENT_CLOCK_VIRTUAL), value;

    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 1)); /* not in this mode */
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
    wr(0, APIC_REG_LVT, 0x33 | APIC_LVT_TSC_DEADLINE);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 500));
    wr(0, APIC_REG_TIMER_INITIAL, 10); /* nor this one in this */
    g_assert_cmpuint(rd(0, APIC_REG_TIMER_INITIAL), ==, 0);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, now + 500);
    step(499);
    check_nobody(f);
    step(1);
    g_assert_cmpint(take(f, 0), ==, 0x33);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, now + 1000));
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, 0));
    step(10000);
    check_nobody(f);
    g_assert_true(apic_msr_write(f->apic[0], APIC_MSR_TSC_DEADLINE, UINT64_MAX));
    step(10000);
    check_nobody(f);
    wr(0, APIC_REG_LVT, 0x33); /* leaving the mode disarms */
    wr(0, APIC_REG_LVT, 0x33 | APIC_LVT_TSC_DEADLINE);
    g_assert_true(apic_msr_read(f->apic[0], APIC_MSR_TSC_DEADLINE, &value));
    g_assert_cmpuint(value, ==, 0);
}

/* ---- x2APIC ---------------------------------------------------------------------------------------------- */

static void to_x2(Fixture *f)
{
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t base;

        g_assert_true(apic_msr_read(f->apic[i], APIC_MSR_BASE, &base));
        g_assert_true(apic_msr_write(f->apic[i], APIC_MSR_BASE, base | APIC_BASE_X2));
    }
}

static bool x2_write(Fixture *f, unsigned cpu, unsigned reg, uint64_t value)
{
    return apic_msr_write(f->apic[cpu], APIC_MSR_X2 + reg / 16, value);
}

static void test_base_msr(Fixture *f, gconstpointer data)
{
    const uint64_t x1 = APIC_BASE | APIC_BASE_ENABLE, x2 = x1 | APIC_BASE_X2;
    uint64_t value;

    g_assert_false(apic_msr_write(f->apic[1], APIC_MSR_BASE, APIC_BASE | APIC_BASE_X2));
    g_assert_false(apic_msr_write(f->apic[1], APIC_MSR_BASE, x1 | 1));
    g_assert_false(apic_msr_write(f->apic[1], APIC_MSR_BASE, x1 | 1ull << 60));
    g_assert_false(apic_msr_read(f->apic[1], APIC_MSR_X2 + 2, &value));
    g_assert_true(apic_msr_write(f->apic[1], APIC_MSR_BASE, x2 | APIC_BASE_BSP)); /* it does not become that */
    g_assert_true(apic_msr_read(f->apic[1], APIC_MSR_BASE, &value));
    g_assert_cmphex(value, ==, x2);
    g_assert_false(apic_msr_write(f->apic[1], APIC_MSR_BASE, x1));
    g_assert_true(apic_msr_write(f->apic[1], APIC_MSR_BASE, APIC_BASE));
    g_assert_false(apic_msr_write(f->apic[1], APIC_MSR_BASE, x2));
    g_assert_true(apic_msr_write(f->apic[1], APIC_MSR_BASE, x1));
    g_assert_cmphex(rd(1, APIC_REG_SVR), ==, 0xff);
    /* Disabled: no window, no messages. */
    g_assert_true(apic_msr_write(f->apic[1], APIC_MSR_BASE, APIC_BASE));
    g_assert_cmpint(do_job(1, (Job) { .addr = APIC_BASE + APIC_REG_SVR }).result, ==, MEM_DECODE_ERROR);
    apic_send_msi(0xfee01000, 0x50);
    check_nobody(f);
}

static void test_x2_registers(Fixture *f, gconstpointer data)
{
    uint64_t value;

    to_x2(f);
    g_assert_cmpint(do_job(2, (Job) { .addr = APIC_BASE + APIC_REG_SVR }).result, ==, MEM_DECODE_ERROR);
    g_assert_true(apic_msr_read(f->apic[2], 0x802, &value));
    g_assert_cmpuint(value, ==, 2);
    g_assert_true(apic_msr_read(f->apic[2], 0x80d, &value));
    g_assert_cmphex(value, ==, 4);
    /* What does not exist, or only to be written, or read. */
    g_assert_false(apic_msr_read(f->apic[2], 0x80e, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x80b, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x831, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x83f, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x800, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x8ff, &value));
    g_assert_false(apic_msr_read(f->apic[2], 0x900, &value));
    g_assert_false(apic_msr_write(f->apic[2], 0x802, 0));
    g_assert_false(apic_msr_write(f->apic[2], 0x80d, 0));
    g_assert_false(apic_msr_write(f->apic[2], 0x831, 0));
    /* Reserved bits. */
    g_assert_false(x2_write(f, 2, APIC_REG_EOI, 1));
    g_assert_true(x2_write(f, 2, APIC_REG_EOI, 0));
    g_assert_false(x2_write(f, 2, APIC_REG_ESR, 1));
    g_assert_true(x2_write(f, 2, APIC_REG_ESR, 0));
    g_assert_false(x2_write(f, 2, APIC_REG_TPR, 0x100));
    g_assert_true(x2_write(f, 2, APIC_REG_TPR, 0x10));
    g_assert_false(x2_write(f, 2, APIC_REG_SVR, 1ull << 32));
    g_assert_false(x2_write(f, 2, APIC_REG_LVT, 1u << 20));
    g_assert_false(x2_write(f, 2, APIC_REG_SELF_IPI, 0x100));
}

static void test_x2_messages(Fixture *f, gconstpointer data)
{
    int vector = 0x48;
    uint64_t value;

    to_x2(f);
    g_assert_true(x2_write(f, 0, APIC_REG_ICR, 1ull << 32 | 0x48));
    g_assert_true(apic_msr_read(f->apic[0], 0x830, &value));
    g_assert_cmphex(value, ==, 1ull << 32 | 0x48);
    g_assert_cmpint(apic_accept(f->apic[1]), ==, vector);
    g_assert_true(x2_write(f, 1, APIC_REG_EOI, 0));
    g_assert_true(x2_write(f, 0, APIC_REG_ICR, 0xffull << 32 | 0x48)); /* id 255: nobody */
    check_nobody(f);
    g_assert_true(x2_write(f, 0, APIC_REG_ICR, 6ull << 32 | 0x49 | APIC_ICR_LOGICAL));
    g_assert_false(fake[0].intr);
    g_assert_true(fake[1].intr && fake[2].intr);
    g_assert_cmpint(apic_accept(f->apic[1]), ==, 0x49);
    g_assert_cmpint(apic_accept(f->apic[2]), ==, 0x49);
    g_assert_true(x2_write(f, 1, APIC_REG_EOI, 0));
    g_assert_true(x2_write(f, 2, APIC_REG_EOI, 0));
    g_assert_true(x2_write(f, 0, APIC_REG_ICR, 0x10001ull << 32 | 0x49 | APIC_ICR_LOGICAL)); /* another cluster */
    check_nobody(f);
    g_assert_true(x2_write(f, 0, APIC_REG_ICR, 0xffffffffull << 32 | 0x4a));
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpint(apic_accept(f->apic[i]), ==, 0x4a);
        g_assert_true(x2_write(f, i, APIC_REG_EOI, 0));
    }
    g_assert_true(x2_write(f, 0, APIC_REG_SELF_IPI, 0x4b));
    g_assert_cmpint(apic_accept(f->apic[0]), ==, 0x4b);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*fn)(Fixture *f, gconstpointer data);
    } tests[] = {
        { "/apic/reset-values", test_reset_values },
        { "/apic/writable-bits", test_writable_bits },
        { "/apic/software-disable", test_software_disable },
        { "/apic/errors", test_errors },
        { "/apic/priorities", test_priorities },
        { "/apic/task-priority", test_task_priority },
        { "/apic/ipi-destinations", test_ipi_destinations },
        { "/apic/cluster", test_cluster },
        { "/apic/lowest-priority", test_lowest_priority },
        { "/apic/init-sipi-nmi", test_init_sipi_nmi },
        { "/apic/ioapic", test_ioapic },
        { "/apic/ioapic-level-waits-for-an-apic", test_ioapic_level_waits_for_an_apic },
        { "/apic/msi", test_msi },
        { "/apic/extint", test_extint },
        { "/apic/nmi-button", test_nmi_button },
        { "/apic/timer/one-shot", test_timer_one_shot },
        { "/apic/timer/periodic", test_timer_periodic },
        { "/apic/timer/tsc-deadline", test_timer_deadline },
        { "/apic/base-msr", test_base_msr },
        { "/apic/x2/registers", test_x2_registers },
        { "/apic/x2/messages", test_x2_messages },
    };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    event_clock_set_manual();
    accel_set_current(&fake_accel);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_test_add(tests[i].path, Fixture, NULL, setup, tests[i].fn, teardown);
    }
    return g_test_run();
}
