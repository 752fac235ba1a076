/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the lsi53c895a: data transfer lent and copied, phase mismatch, wide residue, random
 * programs.
 */
#include "lsi-program.h"

/* ---- data transfer --------------------------------------------------------------------------- */

static void emit_data(Rig *rig, LsiPhase phase, unsigned entries, bool chained)
{
    for (unsigned i = 0; i < entries; i++) {
        rig_emit(rig, MOVE_TBL(phase) & (chained ? ~0x08000000u : ~0u), T_DATA + 8 * i);
    }
}

/* One READ or WRITE of 8 blocks through the given pieces; lending or copying. */
static void transfer(Rig *rig, FakeDisk *unit, bool to_disk, const uint32_t *pieces, unsigned count)
{
    uint32_t addr = B_DATA;

    set_message(rig, 1, 0xc0);
    set_cdb(rig, to_disk ? 0x2a : 0x28, 16, 8);
    emit_begin(rig, 2);
    for (unsigned i = 0; i < count; i++) {
        set_entry(rig, T_DATA + 8 * i, pieces[i], addr);
        addr += pieces[i] + 0x1000;
    }
    emit_data(rig, to_disk ? LSI_DATA_OUT : LSI_DATA_IN, count, true);
    emit_end(rig);
    for (uint32_t i = 0; i < 0x10000; i++) {
        rig->ram[B_DATA + i] = to_disk ? (uint8_t)(i * 5 + 1) : 0xee;
    }
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    addr = B_DATA;
    for (unsigned i = 0, done = 0; i < count; i++) {
        g_assert_cmpmem(rig->ram + addr, pieces[i], unit->store + 16 * 512 + done, pieces[i]);
        if (!to_disk) {
            g_assert_cmphex(rig->ram[addr + pieces[i]], ==, 0xee);
        }
        done += pieces[i];
        addr += pieces[i] + 0x1000;
    }
}

static void test_transfers(void)
{
    static const uint32_t pieces[][5] = {
        { 4096 }, { 1024, 3072 }, { 512, 512, 1024, 2048 }, { 1, 4095 },
        { 1000, 1000, 1000, 1000, 96 },
    };
    static const unsigned counts[] = { 1, 2, 4, 2, 5 };
    static const size_t chunks[] = { 0, 512, 1536, 777 };
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        for (unsigned c = 0; c < G_N_ELEMENTS(chunks); c++) {
            for (unsigned mode = 0; mode < 4; mode++) {
                unit->chunk = chunks[c];
                unit->no_lending = (mode & 1) || chunks[c] == 777;
                unit->lent = unit->copied = 0;
                transfer(rig, unit, mode & 2, pieces[i], counts[i]);
                g_assert_cmpuint(unit->no_lending ? unit->lent : unit->copied, ==, 0);
                g_assert_cmpuint(unit->no_lending ? unit->copied : unit->lent, >, 0);
            }
        }
    }
    rig_free(rig);
}

/* A unit that turns to a data phase without a byte: the move meets STATUS. */
static void test_empty(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    for (unsigned out = 0; out < 2; out++) {
        set_message(rig, 1, 0x80);
        set_cdb(rig, out ? 0x3b : 0x12, 0, 0);
        emit_begin(rig, 2);
        rig_emit(rig, out ? MOVE(LSI_DATA_OUT, 4) : MOVE(LSI_DATA_IN, 4), B_DATA);
        rig_write(rig, LSI_SODL, 0x55, 1);
        rig_start(rig, RIG_CODE);
        rig_expect_scsi(rig, SIST0_MA);
        rig_at(rig, RIG_CODE);
        emit_end(rig);
        rig_start(rig, RIG_CODE);
        expect_end(rig, 0);
    }
    rig_free(rig);
}

/* Data moves into and out of the chip's RAM cannot be lent, and work. */
static void test_transfer_on_chip(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x28, 5, 2);
    emit_begin(rig, 2);
    set_entry(rig, T_DATA, 512, B_DATA);
    set_entry(rig, T_DATA + 8, 512, RIG_SRAM + 0x1e00);
    emit_data(rig, LSI_DATA_IN, 2, true);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmpmem(rig->lsi->ram + 0x1e00, 512, unit->store + 6 * 512, 512);
    set_cdb(rig, 0x2a, 9, 2);
    emit_begin(rig, 2);
    emit_data(rig, LSI_DATA_OUT, 2, true);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmpmem(unit->store + 9 * 512, 1024, unit->store + 5 * 512, 1024);
    rig_free(rig);
}

static void test_transfer_faults(void)
{
    static const uint32_t bad[] = { RIG_NOWHERE, RIG_RAM_SIZE - 256, RIG_MMIO, RIG_SRAM + 0x1f00 };
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad) * 4; i++) {
        bool to_disk = i & 1;

        unit->no_lending = i & 2;
        set_message(rig, 1, 0x80);
        set_cdb(rig, to_disk ? 0x2a : 0x28, 5, 2);
        emit_begin(rig, 2);
        set_entry(rig, T_DATA, 512, B_DATA);
        set_entry(rig, T_DATA + 8, 512, bad[i / 4]);
        emit_data(rig, to_disk ? LSI_DATA_OUT : LSI_DATA_IN, 2, true);
        emit_end(rig);
        rig_start(rig, RIG_CODE);
        rig_expect_dma(rig, DSTAT_BF);
        g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
        /* The driver recovers with a bus reset. */
        rig_write(rig, LSI_SCNTL1, SCNTL1_RST, 1);
        rig_write(rig, LSI_SCNTL1, 0, 1);
        rig_expect_scsi(rig, SIST0_RST);
        unit->scsi.attention_count = 0;
    }
    g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 0);
    g_assert_cmpuint(rig->lsi->bus->live_requests, ==, 0);
    rig_free(rig);
}

/*
 * Program and table change between the look ahead and the moves: the data land where the moves say.
 */
static void test_lookahead_mismatch(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x28, 16, 4);
    emit_begin(rig, 2);
    set_entry(rig, T_DATA, 1024, B_DATA);
    set_entry(rig, T_DATA + 8, 1024, B_DATA + 0x1000);
    emit_data(rig, LSI_DATA_IN, 2, true);
    emit_end(rig);
    unit->hold = true;
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 1);
    set_entry(rig, T_DATA + 8, 1024, B_DATA + 0x5000);
    fake_release(unit);
    expect_end(rig, 0);
    g_assert_cmpuint(unit->lent, ==, 1);
    g_assert_cmpmem(rig->ram + B_DATA, 1024, unit->store + 16 * 512, 1024);
    g_assert_cmpmem(rig->ram + B_DATA + 0x5000, 1024, unit->store + 18 * 512, 1024);
    rig_free(rig);
}

/*
 * A failed read into lent memory: STATUS in place of data, as a phase mismatch with everything
 * left.
 */
static void test_read_error(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x28, 16, 4);
    emit_begin(rig, 2);
    set_entry(rig, T_DATA, 2048, B_DATA);
    emit_data(rig, LSI_DATA_IN, 1, false);
    emit_end(rig);
    unit->fail_status = 2;
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST0_MA);
    g_assert_cmphex(rig_read(rig, LSI_DBC, 4), ==, 0x19000800);
    g_assert_cmphex(rig_read(rig, LSI_DNAD, 4), ==, B_DATA);
    g_assert_cmphex(rig_read(rig, LSI_SBCL, 1) & 7, ==, LSI_STATUS);
    rig_at(rig, RIG_CODE);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 2);
    rig_free(rig);
}

/* Where a move's upper address bits come from; there is memory below 4 GiB only. */
static void test_addresses(void)
{
    static const struct {
        uint8_t ccntl1;
        uint32_t insn;       /* CHMOV of 512 bytes in some form */
        uint32_t table_count;
        uint32_t selector;   /* register written with the upper bits */
        bool reached;
    } cases[] = {
        { 0, CHMOV(LSI_DATA_IN, 512), 0, LSI_SBMS, true },
        { 0, 0x11000000, 512, LSI_SBMS, true },
        { 0, 0x11000000, 0x01000200, LSI_MMRS, false },
        { CCNTL1_EN64TIBMV, 0x11000000, 0x03000200, LSI_SCRATCHC + 12, true },
        { CCNTL1_EN64TIBMV, 0x11000000, 0x10000200, LSI_MMRS, true },
        { CCNTL1_EN64TIBMV, 0x11000000, 0x15000200, LSI_DBMS, true },
        { CCNTL1_EN64TIBMV, 0x11000000, 0x1f000200, LSI_SBMS, false },
        { CCNTL1_EN64TIBMV | CCNTL1_64TIMOD, 0x11000000, 0x00000200, LSI_SBMS, false },
        { 0, 0x21000200, 0, LSI_SBMS, true },
    };
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases) * 2; i++) {
        uint32_t insn = cases[i / 2].insn;
        bool used = i & 1;

        rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
        rig_write(rig, LSI_DIEN, 0x7d, 1);
        rig_write(rig, LSI_CCNTL1, cases[i / 2].ccntl1, 1);
        set_message(rig, 1, 0x80);
        set_cdb(rig, 0x28, 3, 1);
        emit_begin(rig, 2);
        set_entry(rig, T_DATA, cases[i / 2].table_count, B_DATA);
        rig_put32(rig, 0x5000, B_DATA);
        rig_emit(rig, insn, insn & 0x10000000 ? T_DATA : insn & 0x20000000 ? 0x5000 : B_DATA);
        rig_emit(rig, INT, 1);
        memset(rig->ram + B_DATA, 0, 512);
        rig_write(rig, cases[i / 2].selector, used, 4);
        rig_start(rig, RIG_CODE);
        if (used && cases[i / 2].reached) {
            rig_expect_dma(rig, DSTAT_BF);
        } else {
            rig_expect_dma(rig, DSTAT_SIR);
            g_assert_cmpmem(rig->ram + B_DATA, 512, unit->store + 3 * 512, 512);
        }
    }
    /* The 40-bit form, and the third dword of a direct move. */
    for (unsigned upper = 0; upper < 2; upper++) {
        for (unsigned direct = 0; direct < 2; direct++) {
            rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
            rig_write(rig, LSI_DIEN, 0x7d, 1);
            rig_write(rig, LSI_CCNTL1, CCNTL1_EN64TIBMV | CCNTL1_64TIMOD | CCNTL1_EN64DBMV, 1);
            emit_begin(rig, 2);
            set_entry(rig, T_DATA, upper << 24 | 512, B_DATA);
            if (direct) {
                rig_emit(rig, CHMOV(LSI_DATA_IN, 512), B_DATA);
                rig_emit1(rig, upper);
            } else {
                rig_emit(rig, 0x11000000, T_DATA);
            }
            rig_emit(rig, INT, 1);
            rig_start(rig, RIG_CODE);
            rig_expect_dma(rig, upper ? DSTAT_BF : DSTAT_SIR);
        }
    }
    rig_free(rig);
}

/* ---- phase mismatch -------------------------------------------------------------------------- */

static void test_mismatch_interrupt(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    /* In: 36 bytes of 100. */
    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x12, 0, 36);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_IN, 100), B_DATA);
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST0_MA);
    g_assert_cmphex(rig_read(rig, LSI_DBC, 4), ==, 0x09000000 | 64);
    g_assert_cmphex(rig_read(rig, LSI_DNAD, 4), ==, B_DATA + 36);
    g_assert_cmphex(rig_read(rig, LSI_DFIFO, 1), ==, 64);
    g_assert_cmphex(rig_read(rig, LSI_DSP, 4), ==, RIG_CODE + 4 * 8);
    rig_at(rig, RIG_CODE);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    /* Out: the target wants 1024 of 2048 bytes. */
    set_cdb(rig, 0x2a, 0, 2);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_OUT, 2048), B_DATA);
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST0_MA);
    g_assert_cmphex(rig_read(rig, LSI_DBC, 4), ==, 0x08000000 | 1024);
    rig_at(rig, RIG_CODE);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    /* The wrong direction. */
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_IN, 2048), B_DATA);
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST0_MA);
    rig_free(rig);
}

static void test_mismatch_jump(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    rig_write(rig, LSI_CCNTL0, CCNTL0_ENPMJ | CCNTL0_PMJCTL, 1);
    rig_write(rig, LSI_PMJAD1, 0x2000, 4);
    rig_write(rig, LSI_PMJAD2, 0x2100, 4);
    rig_at(rig, 0x2000);
    rig_emit(rig, INT, 0xa0);
    rig_at(rig, 0x2100);
    rig_emit(rig, INT, 0xa1);
    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x12, 0, 36);
    emit_begin(rig, 2);
    set_entry(rig, T_DATA, 0x5a000000 | 100, B_DATA);
    rig_emit(rig, MOVE_TBL(LSI_DATA_IN), T_DATA);
    rig_expect_int(rig, 0xa1);
    g_assert_cmphex(rig_read(rig, LSI_RBC, 4), ==, 0x5a000000 | 64);
    g_assert_cmphex(rig_read(rig, LSI_UA, 4), ==, B_DATA + 36);
    g_assert_cmphex(rig_read(rig, LSI_IA, 4), ==, RIG_CODE + 3 * 8);
    g_assert_cmphex(rig_read(rig, LSI_ESA, 4), ==, RIG_DSA + T_DATA);
    g_assert_cmphex(rig_read(rig, LSI_SBC, 4) & 0xffffff, ==, 36);
    rig_at(rig, RIG_CODE);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    set_cdb(rig, 0x2a, 0, 2);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_OUT, 1536), B_DATA);
    rig_expect_int(rig, 0xa0);
    g_assert_cmphex(rig_read(rig, LSI_RBC, 4), ==, 0x08000000 | 512);
    /* Other phases interrupt unless ENNDJ is set: the target is in STATUS. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST0_MA);
    rig_write(rig, LSI_CCNTL0, CCNTL0_ENPMJ | CCNTL0_PMJCTL | CCNTL0_ENNDJ, 1);
    rig_expect_int(rig, 0xa1);
    /* PMJCTL clear: WSR decides. */
    rig_write(rig, LSI_CCNTL0, CCNTL0_ENPMJ | CCNTL0_ENNDJ, 1);
    rig_expect_int(rig, 0xa0);
    rig_free(rig);
}

/* ---- wide transfers -------------------------------------------------------------------------- */

static void test_wide_receive(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    go_wide(rig);
    /* Odd pieces: the second byte of a pair waits in SWIDE for the next move. */
    set_cdb(rig, 0x12, 0, 10);
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 3), B_DATA);
    rig_emit(rig, FROM_REG(2, LSI_SCNTL2, 0), 0);
    rig_emit(rig, TO_REG(2, LSI_SCRATCHA, 0), 0);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 1), B_DATA + 3);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 6), B_DATA + 4);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmpmem(rig->ram + B_DATA, 10, unit->store, 10);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 1) & (SCNTL2_WSR | SCNTL2_CHM), ==,
                    SCNTL2_WSR | SCNTL2_CHM);
    g_assert_cmphex(rig_read(rig, LSI_SCNTL2, 1) & SCNTL2_WSR, ==, 0);
    /* An odd length: padding in SWIDE, then IGNORE WIDE RESIDUE. */
    set_cdb(rig, 0x12, 0, 5);
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 5), B_DATA);
    rig_emit(rig, FROM_REG(2, LSI_SCNTL2, 0), 0);
    rig_emit(rig, TO_REG(2, LSI_SCRATCHA, 0), 0);
    rig_emit(rig, REG_OP(2, LSI_SCNTL2, SCNTL2_WSR), 0);
    rig_emit(rig, MOVE(LSI_MSG_IN, 2), B_MSG_IN + 8);
    rig_emit(rig, CLEAR_ACK, 0);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 1) & SCNTL2_WSR, ==, SCNTL2_WSR);
    g_assert_cmphex(rig_read(rig, LSI_SCNTL2, 1) & SCNTL2_WSR, ==, 0);
    g_assert_cmphex(rig->ram[B_MSG_IN + 8], ==, 0x23);
    g_assert_cmphex(rig->ram[B_MSG_IN + 9], ==, 1);
    /* With room for it the padding goes to memory. */
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 6), B_DATA);
    rig_emit(rig, MOVE(LSI_MSG_IN, 2), B_MSG_IN + 8);
    rig_emit(rig, CLEAR_ACK, 0);
    emit_end(rig);
    rig->ram[B_DATA + 5] = 0xee;
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmphex(rig->ram[B_DATA + 5], ==, 0);
    rig_free(rig);
}

static void test_wide_mismatch(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    go_wide(rig);
    rig_write(rig, LSI_CCNTL0, CCNTL0_ENPMJ, 1);
    rig_write(rig, LSI_PMJAD1, 0x2000, 4);
    rig_write(rig, LSI_PMJAD2, 0x2100, 4);
    rig_at(rig, 0x2000);
    rig_emit(rig, INT, 0xa0);
    rig_at(rig, 0x2100);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 1), B_DATA + 0x100);
    rig_emit(rig, INT, 0xa1);
    set_cdb(rig, 0x12, 0, 4);
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 3), B_DATA);
    rig_emit(rig, CHMOV(LSI_DATA_IN, 8), B_DATA + 0x100);
    rig_expect_int(rig, 0xa1);
    /* The byte in SWIDE counts as received; the handler stores it with a move that needs no bus. */
    g_assert_cmphex(rig_read(rig, LSI_RBC, 4) & 0xffffff, ==, 7);
    g_assert_cmphex(rig_read(rig, LSI_UA, 4), ==, B_DATA + 0x100);
    g_assert_cmphex(rig->ram[B_DATA + 0x100], ==, (uint8_t)(3 * 7));
    rig_free(rig);
}

static void test_wide_send(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    go_wide(rig);
    for (unsigned i = 0; i < 16; i++) {
        rig->ram[B_DATA + i] = (uint8_t)(0x90 + i);
    }
    set_cdb(rig, 0x3b, 0, 8);
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_OUT, 3), B_DATA);
    rig_emit(rig, FROM_REG(2, LSI_SCNTL2, 0), 0);
    rig_emit(rig, TO_REG(2, LSI_SCRATCHA, 0), 0);
    rig_emit(rig, CHMOV(LSI_DATA_OUT, 5), B_DATA + 3);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmpmem(unit->store, 8, rig->ram + B_DATA, 8);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 1) & SCNTL2_WSS, ==, SCNTL2_WSS);
    /* Drivers pad an odd length; the target drops the padding. */
    memset(unit->store, 0, 16);
    set_cdb(rig, 0x3b, 0, 7);
    emit_begin(rig, 2);
    rig_emit(rig, CHMOV(LSI_DATA_OUT, 8), B_DATA);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmpmem(unit->store, 7, rig->ram + B_DATA, 7);
    g_assert_cmphex(unit->store[7], ==, 0);
    rig_free(rig);
}

/*
 * Random programs, registers and unit behaviour: nothing but a chip in a strange state may come of
 * it.
 */
static void test_random(void)
{
    GRand *rand = g_rand_new_with_seed(895);

    for (unsigned round = 0; round < 60; round++) {
        Rig *rig = rig_new();
        FakeDisk *unit = rig_unit(rig, 2, 0);

        set_message(rig, 3, 0xc0, 0x20, 1);
        set_cdb(rig, round & 1 ? 0x28 : 0x2a, 1, 8);
        for (unsigned i = 0; i < 8; i++) {
            set_entry(rig, T_DATA + 8 * i, g_rand_int_range(rand, 0, 1200), B_DATA + 0x1000 * i);
        }
        unit->chunk = round % 3 ? 512 : 0;
        rig_write(rig, LSI_SCNTL3, round & 4 ? SCNTL3_EWS : 0, 1);
        rig->lsi->agreement[2].wide = round & 4;
        rig_write(rig, LSI_CCNTL0, round & 8 ? 0xe0 : 0, 1);
        rig_write(rig, LSI_PMJAD1, RIG_CODE + 0x100, 4);
        rig_write(rig, LSI_PMJAD2, RIG_CODE + 0x180, 4);
        for (unsigned step = 0; step < 60; step++) {
            static const uint32_t usual[] = {
                SELECT_ATN(2), MOVE_TBL(LSI_MSG_OUT), MOVE_TBL(LSI_COMMAND), WAIT_DISCONNECT,
                WAIT_RESELECT, CLEAR_ACK, SET_ATN, MOVE(LSI_STATUS, 1), MOVE(LSI_MSG_IN, 1),
                CHMOV(LSI_DATA_IN, 333), CHMOV(LSI_DATA_OUT, 333), MEMORY_MOVE(64),
                REG_OP(4, LSI_SCNTL2, 0x7f), JUMP, CALL, RETURN,
            };

            rig_at(rig, RIG_CODE);
            emit_begin(rig, 2);
            for (unsigned i = 0; i < 64; i++) {
                uint32_t first = usual[g_rand_int_range(rand, 0, G_N_ELEMENTS(usual))];
                uint32_t second = B_DATA + (uint32_t)g_rand_int_range(rand, 0, 0x4000);

                switch (g_rand_int_range(rand, 0, 12)) {
                case 0:
                    first = g_rand_int(rand);
                    second = RIG_MMIO + (uint32_t)g_rand_int_range(rand, -8, 0x3000);
                    break;
                case 1:
                    first = MOVE_TBL(round & 1);
                    second = T_DATA + 8 * (uint32_t)g_rand_int_range(rand, 0, 9);
                    break;
                case 2:
                case 3:
                    first = MOVE_TBL(round & 1) & ~0x08000000u;
                    second = T_DATA + 8 * (uint32_t)g_rand_int_range(rand, 0, 9);
                    break;
                default:
                    if (first == JUMP || first == CALL) {
                        second = RIG_CODE + 8 * (uint32_t)g_rand_int_range(rand, 0, 66);
                    } else if (first == MOVE_TBL(LSI_MSG_OUT) || first == MOVE_TBL(LSI_COMMAND)) {
                        second = first == MOVE_TBL(LSI_COMMAND) ? T_CMD : T_MSG;
                    }
                    break;
                }
                rig_emit(rig, first, second);
            }
            unit->hold = g_rand_boolean(rand);
            unit->no_lending = g_rand_int_range(rand, 0, 4) == 0;
            rig_start(rig, RIG_CODE);
            for (unsigned i = 0; i < 4; i++) {
                event_loop_turn(event_loop_main(), false);
                if (!g_queue_is_empty(&unit->held) && g_rand_boolean(rand)) {
                    fake_release(unit);
                }
                if (g_rand_int_range(rand, 0, 6) == 0) {
                    rig_write(rig, (unsigned)g_rand_int_range(rand, 0, 256), g_rand_int(rand), 1);
                }
            }
            rig_read(rig, LSI_DSTAT, 1);
            rig_read(rig, LSI_SIST0, 2);
            unit->scsi.attention_count = 0;
        }
        /* It always comes back: after a reset the driver's program works. */
        unit->hold = unit->no_lending = false;
        rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
        rig_write(rig, LSI_SCNTL1, SCNTL1_RST, 1);
        rig_write(rig, LSI_SCNTL1, 0, 1);
        rig_expect_scsi(rig, SIST0_RST);
        unit->scsi.attention_count = 0;
        set_message(rig, 1, 0x80);
        set_cdb(rig, 0x00, 0, 0);
        emit_begin(rig, 2);
        emit_end(rig);
        rig_start(rig, RIG_CODE);
        expect_end(rig, 0);
        rig_free(rig);
    }
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    event_clock_set_manual();
    g_test_add_func("/lsi/data/pieces-chunks-lent-and-copied", test_transfers);
    g_test_add_func("/lsi/data/address-forms", test_addresses);
    g_test_add_func("/lsi/data/empty-data-phase", test_empty);
    g_test_add_func("/lsi/data/on-chip-ram", test_transfer_on_chip);
    g_test_add_func("/lsi/data/faults", test_transfer_faults);
    g_test_add_func("/lsi/data/program-changed-after-lookahead", test_lookahead_mismatch);
    g_test_add_func("/lsi/data/read-error", test_read_error);
    g_test_add_func("/lsi/mismatch/interrupt", test_mismatch_interrupt);
    g_test_add_func("/lsi/mismatch/jump", test_mismatch_jump);
    g_test_add_func("/lsi/wide/receive", test_wide_receive);
    g_test_add_func("/lsi/wide/mismatch", test_wide_mismatch);
    g_test_add_func("/lsi/wide/send", test_wide_send);
    g_test_add_func("/lsi/random-programs", test_random);
    return g_test_run();
}
