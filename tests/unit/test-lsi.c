/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the lsi53c895a without a SCSI bus: config space, registers, interrupts, SCRIPTS
 * instructions.
 */
#include "lsi-rig.h"

static void test_config_space(void)
{
    Rig *rig = rig_new();
    PciDevice *pci = &rig->lsi->pci;

    g_assert_cmphex(pci_get_long(pci->config + PCI_VENDOR_ID), ==, 0x00121000);
    g_assert_cmphex(pci_get_long(pci->config + PCI_CLASS_REVISION), ==, 0x01000000);
    g_assert_cmphex(pci_get_long(pci->config + PCI_SUBSYSTEM_VENDOR_ID), ==, 0x10000000);
    g_assert_cmphex(pci->config[PCI_INTERRUPT_PIN], ==, 1);
    g_assert_cmphex(pci->bars[0].size, ==, 256);
    g_assert_cmphex(pci->bars[0].type, ==, PCI_BASE_ADDRESS_SPACE_IO);
    g_assert_cmphex(pci->bars[1].size, ==, 1024);
    g_assert_cmphex(pci->bars[2].size, ==, 8192);
    g_assert_cmpuint(pci->bars[3].size, ==, 0);
    rig_free(rig);
}

static void test_reset_values(void)
{
    static const struct {
        uint8_t reg, value;
    } expect[] = {
        { LSI_SCNTL0, 0xc0 }, { LSI_DSTAT, 0x80 }, { LSI_SSTAT2, 0x02 }, { LSI_ISTAT0, 0 },
        { LSI_STEST4, 0xc0 }, { LSI_CTEST2, 0x31 }, { LSI_GPCNTL, 0x0f }, { LSI_GPREG, 0x0f },
        { LSI_SCID, 7 }, { 0xe0, 0 }, { 0xff, 0 },
    };
    Rig *rig = rig_new();

    for (unsigned reg = 0; reg < 256; reg++) {
        if (reg != LSI_ISTAT0 && reg != LSI_DSP + 3 && reg != LSI_SCNTL1 && reg != LSI_DCNTL) {
            rig_write(rig, reg, 0xff, 1);
        }
    }
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++) {
        g_assert_cmphex(rig_read(rig, expect[i].reg, 1), ==, expect[i].value);
    }
    g_assert_cmphex(rig_read(rig, LSI_DSA, 4), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHC + 8, 4), ==, 0);
    rig_free(rig);
}

static void test_masks(void)
{
    static const struct {
        uint8_t reg, readback;
    } expect[] = {
        { LSI_SCNTL0, 0xfb }, { LSI_SDID, 0x0f }, { LSI_SCID, 0x6f }, { LSI_SSID, 0 },
        { LSI_SBCL, 0 }, { LSI_DIEN, 0x7d }, { LSI_SIEN1, 0x17 }, { LSI_SCNTL2, 0xf6 },
        { LSI_MACNTL, 0x0f }, { LSI_SIDL, 0 }, { LSI_SWIDE, 0 },
        { LSI_STEST0, 3 }, { LSI_MBOX1, 0xff }, { LSI_CCNTL0, 0xf3 },
    };
    Rig *rig = rig_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(expect); i++) {
        rig_write(rig, expect[i].reg, 0xff, 1);
        g_assert_cmphex(rig_read(rig, expect[i].reg, 1), ==, expect[i].readback);
    }
    /* DBC is 24 bits with the command above it; the register file repeats through BAR 1. */
    rig_write(rig, LSI_DBC, 0x81234567, 4);
    g_assert_cmphex(rig_read(rig, LSI_DCMD, 1), ==, 0x81);
    g_assert_cmphex(rig_read(rig, 0x300 + LSI_DBC, 4), ==, 0x81234567);
    /* Ten bits of DBC show in DFIFO and CTEST5: the FIFO is empty. */
    g_assert_cmphex(rig_read(rig, LSI_DFIFO, 1), ==, 0x67);
    g_assert_cmphex(rig_read(rig, LSI_CTEST5, 1) & 3, ==, 0x45 & 3);
    /* STEST4.LOCK follows the clock quadrupler. */
    rig_write(rig, LSI_STEST1, STEST1_QEN, 1);
    g_assert_cmphex(rig_read(rig, LSI_STEST4, 1), ==, 0xe0);
    /* CTEST2.PCICIE shows the BARs. */
    rig_write(rig, LSI_CTEST2, CTEST2_PCICIE, 1);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 4), ==, RIG_MMIO);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHB, 4), ==, RIG_SRAM);
    rig_free(rig);
}

static void test_gen_timer(void)
{
    Rig *rig = rig_new();

    rig_write(rig, LSI_SIEN0, 0, 2);
    rig_write(rig, LSI_SCNTL3, 4, 1);
    rig_write(rig, LSI_STIME1, 8, 1);
    event_clock_step(event_loop_main(), 27 * 1000000);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
    /* 27.8 ms: drivers compute 40 MHz from that. */
    event_clock_step(event_loop_main(), 1000000);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, SIST1_GEN << 8);
    /* Written as 0 it does not fire; enabled it interrupts, without stopping SCRIPTS. */
    rig_write(rig, LSI_SIEN1, SIST1_GEN, 1);
    rig_write(rig, LSI_STIME1, 1, 1);
    rig_write(rig, LSI_STIME1, 0, 1);
    event_clock_step(event_loop_main(), 1000000000);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_write(rig, LSI_STIME1, 1, 1);
    rig_emit(rig, WAIT_RESELECT, 0);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    event_clock_step(event_loop_main(), 1000000000);
    g_assert_cmpint(rig->pci.irq, ==, 1);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    rig_expect_scsi(rig, SIST1_GEN << 8);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_free(rig);
}

/* ---- interrupts ------------------------------------------------------------------------------ */

static void test_stacking(void)
{
    Rig *rig = rig_new();

    rig_write(rig, LSI_DIEN, 0x7d, 1);
    lsi_raise_scsi(rig->lsi, SIST0_MA, 0);
    lsi_raise_dma(rig->lsi, DSTAT_ABRT);
    lsi_raise_scsi(rig->lsi, 0, SIST1_STO);
    g_assert_cmpint(rig->pci.irq, ==, 1);
    /* The first alone is visible; then, together, those behind it. */
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_SIP);
    g_assert_cmphex(rig_read(rig, LSI_DSTAT, 1), ==, DSTAT_DFE);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, SIST0_MA);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_SIP | ISTAT0_DIP);
    g_assert_cmpint(rig->pci.irq, ==, 1);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 1), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SIST1, 1), ==, SIST1_STO);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_DIP);
    g_assert_cmphex(rig_read(rig, LSI_DSTAT, 1), ==, DSTAT_DFE | DSTAT_ABRT);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, 0);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_free(rig);
}

static void test_masking(void)
{
    Rig *rig = rig_new();

    rig_write(rig, LSI_DIEN, 0, 1);
    rig_write(rig, LSI_SIEN0, 0, 2);
    /* A masked fatal condition shows in ISTAT without driving the pin, and stops SCRIPTS. */
    rig_emit(rig, INT, 0x55);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_DIP);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    /* Unmasking drives it; IRQD and ISTAT1.SI hold it back. */
    rig_write(rig, LSI_DIEN, DSTAT_SIR, 1);
    g_assert_cmpint(rig->pci.irq, ==, 1);
    rig_write(rig, LSI_DCNTL, DCNTL_IRQD, 1);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_write(rig, LSI_DCNTL, 0, 1);
    rig_write(rig, LSI_ISTAT1, ISTAT1_SI, 1);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_write(rig, LSI_ISTAT1, 0, 1);
    g_assert_cmpint(rig->pci.irq, ==, 1);
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_free(rig);
}

static void test_intfly(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, INTFLY, 0);
    rig_emit(rig, WAIT_RESELECT, 0);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmpint(rig->pci.irq, ==, 1);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_INTF);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    rig_write(rig, LSI_ISTAT0, ISTAT0_INTF, 1);
    g_assert_cmpint(rig->pci.irq, ==, 0);
    rig_free(rig);
}

static void test_sigp(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, WAIT_RESELECT, 0x2000);
    rig_at(rig, 0x2000);
    rig_emit(rig, FROM_REG(2, LSI_CTEST2, 0), 0);
    rig_emit(rig, INT, 0x77);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    rig_write(rig, LSI_ISTAT0, ISTAT0_SIGP | ISTAT0_SEM, 1);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, 0x77);
    /* SCRIPTS took the signal; the semaphore stays. */
    g_assert_cmphex(rig_read(rig, LSI_SFBR, 1) & CTEST2_SIGP, ==, CTEST2_SIGP);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_SEM);
    rig_free(rig);
}

static void test_abort(void)
{
    Rig *rig = rig_new();

    /* An endless loop: other work gets its turns, and the host can stop it. */
    rig_emit(rig, JUMP, RIG_CODE);
    rig_start(rig, RIG_CODE);
    for (int i = 0; i < 20; i++) {
        g_assert_true(event_loop_turn(event_loop_main(), false));
        g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    }
    rig_write(rig, LSI_ISTAT0, ISTAT0_ABRT, 1);
    rig_write(rig, LSI_ISTAT0, 0, 1);
    rig_expect_dma(rig, DSTAT_ABRT);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
    /* And a waiting one. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, WHEN_PHASE(JUMP, LSI_MSG_IN), 0);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    rig_write(rig, LSI_ISTAT0, ISTAT0_ABRT, 1);
    rig_expect_dma(rig, DSTAT_ABRT);
    rig_free(rig);
}

/* ---- SCRIPTS --------------------------------------------------------------------------------- */

static void test_register_operations(void)
{
    static const struct {
        uint8_t op, value, data;
        bool carry;
        uint8_t result;
        bool carry_after;
    } cases[] = {
        { 0, 0x12, 0x34, false, 0x34, false }, { 1, 0x81, 0, false, 0x02, true },
        { 1, 0x01, 0, true, 0x03, false },     { 2, 0x0f, 0xf0, true, 0xff, true },
        { 3, 0xff, 0x0f, false, 0xf0, false }, { 4, 0x3c, 0x0f, false, 0x0c, false },
        { 5, 0x01, 0, false, 0x00, true },     { 5, 0x02, 0, true, 0x81, false },
        { 6, 0xff, 0x01, true, 0x00, true },   { 6, 0x10, 0x01, true, 0x11, false },
        { 7, 0xff, 0x00, true, 0x00, true },   { 7, 0x10, 0x01, false, 0x11, false },
    };
    Rig *rig = rig_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            uint32_t from = LSI_SCRATCHA + 1, to = LSI_SCRATCHA + 1;

            rig_at(rig, RIG_CODE);
            rig_emit(rig, cases[i].carry ? 0x58000400 : 0x60000400, 0);
            switch (kind) {
            case 0:
                rig_emit(rig, REG_OP(cases[i].op, from, cases[i].data), 0);
                break;
            case 1:
                rig_emit(rig, FROM_REG(cases[i].op, from, cases[i].data), 0);
                to = LSI_SFBR;
                break;
            case 2:
                from = LSI_SFBR;
                to = 0x9c; /* above 0x7f: bit 7 of the first dword */
                rig_emit(rig, TO_REG(cases[i].op, to, cases[i].data), 0);
                break;
            default: /* data from SFBR */
                rig_emit(rig, REG_OP(cases[i].op, from, 0) | 0x00800000, 0);
                break;
            }
            rig_emit(rig, IF_CARRY(INT), 1);
            rig_emit(rig, INT, 0);
            rig_write(rig, LSI_SFBR, kind == 3 ? cases[i].data : 0, 1);
            rig_write(rig, from, cases[i].value, 1);
            rig_start(rig, RIG_CODE);
            rig_expect_dma(rig, DSTAT_SIR);
            g_assert_cmphex(rig_read(rig, to, 1), ==, cases[i].result);
            g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, cases[i].carry_after);
        }
    }
    rig_free(rig);
}

static void test_transfer_control(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, 0x80000000, 0xdead);                     /* no condition, to be false */
    rig_emit(rig, FROM_REG(0, 0, 0x5a), 0);                /* SFBR = 5a */
    rig_emit(rig, IF_DATA(INT, 0x5b), 1);
    rig_emit(rig, UNLESS(IF_DATA(INT, 0x5a)), 2);
    rig_emit(rig, UNLESS(IF_DATA(INT, 0x5f | 0x0f00)), 3); /* low nibble masked */
    rig_emit(rig, CALL | 0x00800000, 0x10);                /* relative: over the next two */
    rig_emit(rig, IF_DATA(INT, 0x66), 0x900d);
    rig_emit(rig, INT, 4);
    rig_emit(rig, FROM_REG(0, 0, 0x66), 0);
    rig_emit(rig, IF_PHASE(INT, 0), 5);                    /* not connected: no phase matches */
    rig_emit(rig, RETURN, 0);
    rig_expect_int(rig, 0x900d);
    g_assert_cmphex(rig_read(rig, LSI_TEMP, 4), ==, RIG_CODE + 6 * 8);
    g_assert_cmphex(rig_read(rig, LSI_DSP, 4), ==, RIG_CODE + 7 * 8);
    /* Relative backwards. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, JUMP, RIG_CODE + 0x10);
    rig_emit(rig, INT, 0xb);
    rig_emit(rig, JUMP | 0x00800000, (uint32_t)-0x10);
    rig_expect_int(rig, 0xb);
    rig_free(rig);
}

static void test_jump_64(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, 0x80480000, RIG_CODE + 0x20);
    rig_emit1(rig, 0);
    rig_at(rig, RIG_CODE + 0x20);
    rig_emit(rig, 0x80480000, 0x3000);
    rig_emit1(rig, 5); /* there is no memory at 5 0000 3000 */
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_BF);
    g_assert_cmphex(rig_read(rig, LSI_SFS, 4), ==, 5);
    rig_free(rig);
}

static void test_load_store(void)
{
    Rig *rig = rig_new();

    rig_put32(rig, 0x5000, 0x11223344);
    rig_put32(rig, RIG_DSA + 0x10, 0xaabbccdd);
    rig_write(rig, LSI_DSA, RIG_DSA + 0x20, 4);
    rig_emit(rig, LOAD(LSI_SCRATCHA, 4), 0x5000);
    rig_emit(rig, LOAD(0x9c, 4) | DSA_RELATIVE, 0x00fffff0); /* 24-bit offset -0x10 */
    rig_emit(rig, LOAD(LSI_TEMP + 1, 2), 0x5001);
    rig_emit(rig, STORE(LSI_SCRATCHA + 3, 1), 0x5007);
    rig_emit(rig, STORE(0x9c, 4) | DSA_RELATIVE, 0x40);
    rig_emit(rig, INT, 9);
    rig_expect_int(rig, 9);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 4), ==, 0x11223344);
    g_assert_cmphex(rig_read(rig, 0x9c, 4), ==, 0xaabbccdd);
    g_assert_cmphex(rig_read(rig, LSI_TEMP, 4), ==, 0x00223300);
    g_assert_cmphex(rig_get32(rig, 0x5004), ==, 0x11000000);
    g_assert_cmphex(rig_get32(rig, RIG_DSA + 0x60), ==, 0xaabbccdd);
    rig_free(rig);
}

static void test_illegal(void)
{
    static const uint32_t cases[][2] = {
        { LOAD(LSI_SCRATCHA, 0), 0x5000 },              /* no byte */
        { LOAD(LSI_SCRATCHA, 5), 0x5000 },              /* too many */
        { LOAD(LSI_SCRATCHA + 2, 3), 0x5002 },          /* across a dword */
        { LOAD(LSI_SCRATCHA, 2), 0x5002 },              /* differently aligned */
        { LOAD(LSI_SCRATCHA, 4), RIG_MMIO + 0x10 },     /* the chip's own registers */
        { STORE(LSI_SCRATCHA, 4), RIG_MMIO + 0x14 },
        { MEMORY_MOVE(0), 0x5000 },
        { 0xa0080000, 0 },                              /* transfer control, reserved opcode */
    };
    Rig *rig = rig_new();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        rig_at(rig, RIG_CODE);
        rig_emit(rig, cases[i][0], cases[i][1]);
        rig_emit(rig, INT, 1);
        rig_start(rig, RIG_CODE);
        rig_expect_dma(rig, DSTAT_IID);
        g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
    }
    /* Target mode. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, 0x58000200, 0);
    rig_emit(rig, SELECT(1), 0);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_IID);
    rig_free(rig);
}

static void test_memory_move(void)
{
    Rig *rig = rig_new();

    for (unsigned i = 0; i < 10000; i++) {
        rig->ram[0x20000 + i] = (uint8_t)(i * 3);
    }
    rig_emit(rig, MEMORY_MOVE(10000), 0x20000);
    rig_emit1(rig, 0x30001);
    rig_emit(rig, MEMORY_MOVE(4), 0x20003);
    rig_emit1(rig, RIG_MMIO + LSI_SCRATCHA); /* older drivers load registers like this */
    rig_emit(rig, MEMORY_MOVE(16), 0x20000);
    rig_emit1(rig, RIG_SRAM + 0x1ff0);
    rig_emit(rig, MEMORY_MOVE(8), RIG_SRAM + 0x1ff4);
    rig_emit1(rig, 0x6000);
    rig_emit(rig, INT, 3);
    rig_expect_int(rig, 3);
    g_assert_cmpmem(rig->ram + 0x30001, 10000, rig->ram + 0x20000, 10000);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 4), ==, 0x120f0c09);
    g_assert_cmpmem(rig->ram + 0x6000, 8, rig->ram + 0x20004, 8);
    rig_free(rig);
}

static void test_own_registers(void)
{
    Rig *rig = rig_new();

    /*
     * A program that restarts, resets and stops the chip through its own BAR: no recursion, no
     * crash.
     */
    rig_put32(rig, 0x5000, RIG_CODE);
    rig_emit(rig, MEMORY_MOVE(4), 0x5000);
    rig_emit1(rig, RIG_MMIO + LSI_DSP);
    rig_start(rig, RIG_CODE);
    for (int i = 0; i < 5; i++) {
        event_loop_turn(event_loop_main(), false);
    }
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    rig_put32(rig, 0x5000, ISTAT0_SRST);
    rig_at(rig, RIG_CODE);
    rig_emit(rig, MEMORY_MOVE(1), 0x5000);
    rig_emit1(rig, RIG_MMIO + LSI_ISTAT0);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_DSP, 4), ==, 0);
    /* Over the whole register file, and SCRIPTS fetched from it. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, MEMORY_MOVE(0x400), 0x20000);
    rig_emit1(rig, RIG_MMIO);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    rig_write(rig, LSI_SCRATCHA, INT, 4);
    rig_start(rig, RIG_MMIO + LSI_SCRATCHA);
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_DSTAT, 1), ==, DSTAT_DFE | DSTAT_SIR);
    rig_free(rig);
}

static void test_on_chip_ram(void)
{
    Rig *rig = rig_new();
    uint64_t value;

    rig_at(rig, RIG_SRAM + 0x100);
    rig_emit(rig, LOAD(LSI_SCRATCHA, 4), RIG_SRAM + 0x80);
    rig_emit(rig, REG_OP(6, LSI_SCRATCHA, 1), 0);
    rig_emit(rig, STORE(LSI_SCRATCHA, 4), RIG_SRAM + 0x84);
    rig_emit(rig, INT, 8);
    rig_put32(rig, RIG_SRAM + 0x80, 0x01020304);
    rig_start(rig, RIG_SRAM + 0x100);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_get32(rig, RIG_SRAM + 0x84), ==, 0x01020305);
    /* The guest sees it in BAR 2. */
    g_assert_cmpint(memory_region_read(&rig->lsi->ram_region, 0x84, &value, 4), ==, MEM_OK);
    g_assert_cmphex(value, ==, 0x01020305);
    rig_free(rig);
}

static void test_bus_fault(void)
{
    Rig *rig = rig_new();

    rig_start(rig, RIG_NOWHERE);
    rig_expect_dma(rig, DSTAT_BF);
    rig_emit(rig, LOAD(LSI_SCRATCHA, 4), RIG_NOWHERE);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_BF);
    rig_at(rig, RIG_CODE);
    rig_emit(rig, MEMORY_MOVE(0xffffff), 0);
    rig_emit1(rig, 0x80000);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_BF);
    /* Across the end of RAM, and with a segment register that points nowhere. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, LOAD(LSI_SCRATCHA, 4), 0x5000);
    rig_write(rig, LSI_MMRS, 1, 4);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_BF);
    rig_start(rig, RIG_RAM_SIZE - 4);
    rig_expect_dma(rig, DSTAT_BF);
    /* Not allowed to master the bus. */
    rig_write(rig, LSI_MMRS, 0, 4);
    rig->lsi->pci.dma.enabled = false;
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_BF);
    rig_free(rig);
}

static void test_single_step(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, FROM_REG(0, 0, 1), 0);
    rig_emit(rig, FROM_REG(0, 0, 2), 0);
    rig_emit(rig, INT, 4);
    rig_write(rig, LSI_DCNTL, DCNTL_SSM, 1);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SSI);
    g_assert_cmphex(rig_read(rig, LSI_SFBR, 1), ==, 1);
    rig_write(rig, LSI_DCNTL, DCNTL_SSM | DCNTL_STD, 1);
    rig_expect_dma(rig, DSTAT_SSI);
    g_assert_cmphex(rig_read(rig, LSI_SFBR, 1), ==, 2);
    rig_write(rig, LSI_DCNTL, DCNTL_STD, 1);
    rig_expect_dma(rig, DSTAT_SIR);
    rig_free(rig);
}

static void test_manual_start(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, INT, 4);
    rig_write(rig, LSI_DMODE, DMODE_MAN, 1);
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, 0);
    rig_write(rig, LSI_DCNTL, DCNTL_STD, 1);
    rig_expect_dma(rig, DSTAT_SIR);
    /* Written byte by byte, the highest starts. */
    rig_write(rig, LSI_DMODE, 0, 1);
    for (unsigned i = 0; i < 4; i++) {
        pci_rig_settle();
        g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, 0);
        rig_write(rig, LSI_DSP + i, RIG_CODE >> 8 * i & 0xff, 1);
    }
    rig_expect_dma(rig, DSTAT_SIR);
    rig_free(rig);
}

/* What sym53c8xx does to find out whether the chip and the host see each other's writes. */
static void test_snoop(void)
{
    Rig *rig = rig_new();

    rig_emit(rig, LOAD(LSI_SCRATCHA, 4) | DSA_RELATIVE | 0x02000000, 0x40);
    rig_emit(rig, STORE(LSI_TEMP, 4) | DSA_RELATIVE | 0x02000000, 0x40);
    rig_emit(rig, LOAD(LSI_TEMP, 4) | DSA_RELATIVE | 0x02000000, 0x40);
    rig_emit(rig, INT, 99);
    rig_put32(rig, RIG_DSA + 0x40, 1);
    rig_write(rig, LSI_TEMP, 2, 4);
    rig_write(rig, LSI_DSA, RIG_DSA, 4);
    rig_expect_int(rig, 99);
    g_assert_cmphex(rig_read(rig, LSI_DSP, 4), ==, RIG_CODE + 4 * 8);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 4), ==, 1);
    g_assert_cmphex(rig_get32(rig, RIG_DSA + 0x40), ==, 2);
    g_assert_cmphex(rig_read(rig, LSI_TEMP, 4), ==, 2);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    event_clock_set_manual();
    g_test_add_func("/lsi/config-space-as-stock-shows-it", test_config_space);
    g_test_add_func("/lsi/registers/soft-reset-restores-values", test_reset_values);
    g_test_add_func("/lsi/registers/writable-masks", test_masks);
    g_test_add_func("/lsi/registers/general-purpose-timer", test_gen_timer);
    g_test_add_func("/lsi/interrupts/stack-in-order", test_stacking);
    g_test_add_func("/lsi/interrupts/masking", test_masking);
    g_test_add_func("/lsi/interrupts/on-the-fly", test_intfly);
    g_test_add_func("/lsi/interrupts/sigp-ends-wait-reselect", test_sigp);
    g_test_add_func("/lsi/interrupts/abort-ends-endless-loop", test_abort);
    g_test_add_func("/lsi/scripts/register-operations", test_register_operations);
    g_test_add_func("/lsi/scripts/transfer-control", test_transfer_control);
    g_test_add_func("/lsi/scripts/jump-64", test_jump_64);
    g_test_add_func("/lsi/scripts/load-store", test_load_store);
    g_test_add_func("/lsi/scripts/illegal-instructions", test_illegal);
    g_test_add_func("/lsi/scripts/memory-move", test_memory_move);
    g_test_add_func("/lsi/scripts/own-registers-do-not-recurse", test_own_registers);
    g_test_add_func("/lsi/scripts/on-chip-ram", test_on_chip_ram);
    g_test_add_func("/lsi/scripts/bus-fault", test_bus_fault);
    g_test_add_func("/lsi/scripts/single-step", test_single_step);
    g_test_add_func("/lsi/scripts/manual-and-bytewise-start", test_manual_start);
    g_test_add_func("/lsi/scripts/snoop-test", test_snoop);
    return g_test_run();
}
