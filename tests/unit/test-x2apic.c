/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the local APICs' base register and x2APIC mode.
 *
 * Runs in: tests
 */
#include "apic-rig.h"

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
    static const ApicTest tests[] = {
        { "/apic/base-msr", test_base_msr },
        { "/apic/x2/registers", test_x2_registers },
        { "/apic/x2/messages", test_x2_messages },
    };

    return apic_rig_main(argc, argv, tests, G_N_ELEMENTS(tests));
}
