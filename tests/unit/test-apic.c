/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the local APICs: registers as the guest sees them, priorities, and messages between processors.
 *
 * Runs in: tests
 */
#include "apic-rig.h"
#include "system/reset.h"

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

int main(int argc, char **argv)
{
    static const ApicTest tests[] = {
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
    };

    return apic_rig_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
