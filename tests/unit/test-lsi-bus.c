/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the lsi53c895a with a SCSI bus: phases, messages, disconnection, tags, data transfer, resets.
 *
 * The program under test is a small driver like those in the field: a table at DSA tells what to send; data moves are
 * table indirect; messages are answered by jumps.
 */
#include "lsi-rig.h"

/* Table entries at RIG_DSA, each a count and an address. */
enum {
    T_MSG = 0x00,
    T_CMD = 0x08,
    T_DATA = 0x10, /* up to 8 entries */
};

/* Buffers. */
#define B_MSG (RIG_BUF + 0x00)
#define B_CDB (RIG_BUF + 0x20)
#define B_STATUS (RIG_BUF + 0x40)
#define B_MSG_IN (RIG_BUF + 0x60)
#define B_DATA 0x20000u

/* Vectors of the program's interrupts. */
enum {
    V_DONE = 0x100,
    V_MESSAGE = 0x101,
    V_UNEXPECTED = 0x102,
};

static void set_entry(Rig *rig, unsigned entry, uint32_t count, uint32_t addr)
{
    rig_put32(rig, RIG_DSA + entry, count);
    rig_put32(rig, RIG_DSA + entry + 4, addr);
}

static void set_message(Rig *rig, unsigned len, ...)
{
    va_list ap;

    va_start(ap, len);
    for (unsigned i = 0; i < len; i++) {
        rig->ram[B_MSG + i] = (uint8_t)va_arg(ap, int);
    }
    va_end(ap);
    set_entry(rig, T_MSG, len, B_MSG);
}

static void set_cdb(Rig *rig, uint8_t opcode, unsigned lba, unsigned blocks)
{
    uint8_t *cdb = rig->ram + B_CDB;
    unsigned len = opcode == 0x12 || opcode == 0x00 ? 6 : 10;

    memset(cdb, 0, 16);
    cdb[0] = opcode;
    if (len == 6) {
        cdb[4] = (uint8_t)blocks;
    } else {
        cdb[4] = (uint8_t)(lba >> 8);
        cdb[5] = (uint8_t)lba;
        cdb[7] = (uint8_t)(blocks >> 8);
        cdb[8] = (uint8_t)blocks;
    }
    set_entry(rig, T_CMD, len, B_CDB);
}

/* STATUS, COMMAND COMPLETE and bus free, then V_DONE. */
static void emit_end(Rig *rig)
{
    rig_emit(rig, MOVE(LSI_STATUS, 1), B_STATUS);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WAIT_DISCONNECT, 0);
    rig_emit(rig, INT, V_DONE);
}

/* SELECT with ATN, message, command. */
static void emit_begin(Rig *rig, unsigned id)
{
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT_ATN(id), 0x3000);
    rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
    rig_emit(rig, MOVE_TBL(LSI_COMMAND), T_CMD);
    rig_write(rig, LSI_DSA, RIG_DSA, 4);
    rig->ram[B_STATUS] = 0xee;
    rig->ram[B_MSG_IN] = 0xee;
}

static void expect_end(Rig *rig, uint8_t status)
{
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, V_DONE);
    g_assert_cmphex(rig->ram[B_STATUS], ==, status);
    g_assert_cmphex(rig->ram[B_MSG_IN], ==, 0);
    g_assert_cmpint(rig->lsi->con.state, ==, LSI_BUS_FREE);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
    g_assert_cmpuint(rig->lsi->bus->live_requests, ==, 0);
    g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 0);
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

static void test_sequence(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x00, 0, 0);
    emit_begin(rig, 2);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    g_assert_cmphex(rig_read(rig, LSI_SDID, 1), ==, 2);
    /* An unknown command: CHECK CONDITION. */
    set_cdb(rig, 0x42, 0, 0);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 2);
    rig_free(rig);
}

static void test_absent(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    rig_emit(rig, SELECT_ATN(3), 0);
    rig_emit(rig, LOAD(LSI_SCRATCHA, 4), 0x5000);
    rig_emit(rig, UNLESS(WHEN_PHASE(INT, LSI_MSG_OUT)), 1);
    rig_emit(rig, INT, 2);
    rig_put32(rig, 0x5000, 0x12345678);
    rig_start(rig, RIG_CODE);
    /* SCRIPTS go on until they look at the bus; the time-out finds them there (sym53c8xx checks that). */
    rig_expect_scsi(rig, SIST1_STO << 8);
    g_assert_cmphex(rig_read(rig, LSI_DSP, 4), ==, RIG_CODE + 3 * 8);
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 4), ==, 0x12345678);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
    /* The chip's own id. */
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT_ATN(7), 0);
    rig_start(rig, RIG_CODE);
    rig_expect_scsi(rig, SIST1_STO << 8);
    rig_free(rig);
}

static void test_select_table(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 9, 0);
    rig_put32(rig, RIG_DSA + 0x80, 0x13091f00); /* SCNTL3, id, SXFER */
    rig_write(rig, LSI_DSA, RIG_DSA, 4);
    rig_emit(rig, 0x43000080, 0);
    rig_emit(rig, WHEN_PHASE(INT, LSI_MSG_OUT), 5);
    rig_expect_int(rig, 5);
    g_assert_cmphex(rig_read(rig, LSI_SCNTL3, 1), ==, 0x13);
    g_assert_cmphex(rig_read(rig, LSI_SXFER, 1), ==, 0x1f);
    g_assert_cmphex(rig_read(rig, LSI_SDID, 1), ==, 9);
    g_assert_cmphex(rig_read(rig, LSI_SCNTL2, 1) & SCNTL2_SDU, ==, SCNTL2_SDU);
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1) & ISTAT0_CON, ==, ISTAT0_CON);
    g_assert_cmphex(rig_read(rig, LSI_SBCL, 1), ==, SBCL_REQ | SBCL_BSY | SBCL_ATN | LSI_MSG_OUT);
    rig_free(rig);
}

/* SeaBIOS's program as it is: no ATN, 16 command bytes, no acknowledge at the end, a move of no bytes. */
static void seabios_program(Rig *rig, unsigned id, uint32_t dma)
{
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT(id), 0);
    rig_emit(rig, 0x06000001, B_MSG);
    rig_emit(rig, 0x02000010, B_CDB);
    rig_emit(rig, 0x87820000, 0x18);
    rig_emit(rig, 0x07000002, B_MSG_IN);
    rig_emit(rig, 0x50000000, 0);
    rig_emit(rig, 0x07000002, B_MSG_IN);
    rig_emit(rig, dma, B_DATA);
    rig_emit(rig, 0x03000001, B_STATUS);
    rig_emit(rig, 0x07000001, B_MSG_IN);
    rig_emit(rig, INT, 0);
}

static void test_seabios(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 1, 0);

    rig_write(rig, LSI_DIEN, 0, 1);
    rig_write(rig, LSI_SIEN0, 0, 2);
    rig->ram[B_MSG] = 0x80;
    for (unsigned pass = 0; pass < 2; pass++) {
        set_cdb(rig, 0x00, 0, 0);
        seabios_program(rig, 1, 0);
        rig_expect_int(rig, 0);
        g_assert_cmphex(rig->ram[B_STATUS], ==, 0);
        g_assert_cmphex(rig->ram[B_MSG_IN], ==, 0);
        set_cdb(rig, 0x28, 3, 2);
        seabios_program(rig, 1, 0x01000400);
        rig_expect_int(rig, 0);
        g_assert_cmphex(rig->ram[B_STATUS], ==, 0);
        g_assert_cmpmem(rig->ram + B_DATA, 1024, unit->store + 3 * 512, 1024);
        memset(rig->ram + B_DATA, 0x5a, 1024);
        set_cdb(rig, 0x2a, 7, 2);
        seabios_program(rig, 1, 0x00000400);
        rig_expect_int(rig, 0);
        g_assert_cmphex(unit->store[7 * 512 + 1023], ==, 0x5a);
        g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, 0);
        /* It never grants disconnection: a slow medium keeps the bus. */
        unit->hold = true;
        set_cdb(rig, 0x28, 3, 2);
        seabios_program(rig, 1, 0x01000400);
        rig_start(rig, RIG_CODE);
        rig_settle();
        g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_CON);
        fake_release(unit);
        rig_expect_dma(rig, DSTAT_SIR);
        g_assert_cmpmem(rig->ram + B_DATA, 1024, unit->store + 3 * 512, 1024);
        unit->hold = false;
    }
    rig_free(rig);
}

/* ---- data transfer ----------------------------------------------------------------------------------------------- */

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
        { 4096 }, { 1024, 3072 }, { 512, 512, 1024, 2048 }, { 1, 4095 }, { 1000, 1000, 1000, 1000, 96 },
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

    rig_unit(rig, 2, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad) * 2; i++) {
        bool to_disk = i & 1;

        set_message(rig, 1, 0x80);
        set_cdb(rig, to_disk ? 0x2a : 0x28, 5, 2);
        emit_begin(rig, 2);
        set_entry(rig, T_DATA, 512, B_DATA);
        set_entry(rig, T_DATA + 8, 512, bad[i / 2]);
        emit_data(rig, to_disk ? LSI_DATA_OUT : LSI_DATA_IN, 2, true);
        emit_end(rig);
        rig_start(rig, RIG_CODE);
        rig_expect_dma(rig, DSTAT_BF);
        g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, 0);
        /* The driver recovers with a bus reset. */
        rig_write(rig, LSI_SCNTL1, SCNTL1_RST, 1);
        rig_write(rig, LSI_SCNTL1, 0, 1);
        rig_expect_scsi(rig, SIST0_RST);
        ((FakeDisk *)rig->lsi->bus->bus.devices->pdata[0])->scsi.attention_count = 0;
    }
    g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 0);
    g_assert_cmpuint(rig->lsi->bus->live_requests, ==, 0);
    rig_free(rig);
}

/* Program and table change between the look ahead and the moves: the data land where the moves say. */
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
    rig_settle();
    g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 1);
    set_entry(rig, T_DATA + 8, 1024, B_DATA + 0x5000);
    fake_release(unit);
    expect_end(rig, 0);
    g_assert_cmpuint(unit->lent, ==, 1);
    g_assert_cmpmem(rig->ram + B_DATA, 1024, unit->store + 16 * 512, 1024);
    g_assert_cmpmem(rig->ram + B_DATA + 0x5000, 1024, unit->store + 18 * 512, 1024);
    rig_free(rig);
}

/* A failed read into lent memory: STATUS in place of data, as a phase mismatch with everything left. */
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

/* ---- phase mismatch ------------------------------------------------------------------------------------------------ */

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

/* ---- wide transfers -------------------------------------------------------------------------------------------------- */

/* Negotiates 16 bits with id 2. */
static void go_wide(Rig *rig)
{
    rig_write(rig, LSI_SCNTL3, SCNTL3_EWS, 1);
    set_message(rig, 5, 0x80, 1, 2, 3, 1);
    set_cdb(rig, 0x00, 0, 0);
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT_ATN(2), 0);
    rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
    rig_emit(rig, MOVE(LSI_MSG_IN, 4), B_MSG_IN);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, MOVE_TBL(LSI_COMMAND), T_CMD);
    emit_end(rig);
    rig_write(rig, LSI_DSA, RIG_DSA, 4);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_get32(rig, B_MSG_IN) & 0xffffff00, ==, 0x01030200);
    set_message(rig, 1, 0x80);
}

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
    g_assert_cmphex(rig_read(rig, LSI_SCRATCHA, 1) & (SCNTL2_WSR | SCNTL2_CHM), ==, SCNTL2_WSR | SCNTL2_CHM);
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

/* ---- messages ------------------------------------------------------------------------------------------------------ */

/* A message after IDENTIFY, the target's answer to it, and a command that works all the same. */
static void test_negotiation(void)
{
    static const struct {
        uint8_t msg[8];
        unsigned len;
        uint8_t answer[8];
        unsigned answer_len;
    } cases[] = {
        { { 1, 3, 1, 10, 31 }, 5, { 1, 3, 1, 10, 31 }, 5 },
        { { 1, 3, 1, 1, 255 }, 5, { 1, 3, 1, 10, 31 }, 5 },
        { { 1, 2, 3, 1 }, 4, { 1, 2, 3, 1 }, 4 },
        { { 1, 2, 3, 2 }, 4, { 1, 2, 3, 1 }, 4 },
        { { 1, 6, 4, 9, 0, 62, 1, 2 }, 8, { 1, 6, 4, 10, 0, 31, 1, 0 }, 8 },
        { { 1, 3, 4, 9, 0 }, 5, { 7 }, 1 },      /* PPR that is too short */
        { { 1, 2, 0x55, 9 }, 4, { 7 }, 1 },      /* unknown extended message */
        { { 0x11 }, 1, { 7 }, 1 },               /* unknown message */
        { { 0x2f, 1 }, 2, { 7 }, 1 },            /* unknown two-byte message */
        { { 1, 0xff, 3 }, 3, { 7 }, 1 },         /* longer than any */
    };
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    set_cdb(rig, 0x00, 0, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        rig->ram[B_MSG] = 0xc0;
        memcpy(rig->ram + B_MSG + 1, cases[i].msg, cases[i].len);
        set_entry(rig, T_MSG, cases[i].len + 1, B_MSG);
        rig_write(rig, LSI_DSA, RIG_DSA, 4);
        rig_at(rig, RIG_CODE);
        rig_emit(rig, SELECT_ATN(2), 0);
        rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
        rig_emit(rig, MOVE(LSI_MSG_IN, cases[i].answer_len), B_MSG_IN);
        rig_emit(rig, CLEAR_ACK, 0);
        rig_emit(rig, MOVE_TBL(LSI_COMMAND), T_CMD);
        rig_emit(rig, MOVE(LSI_STATUS, 1), B_STATUS);
        rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_STATUS + 1);
        rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
        rig_emit(rig, CLEAR_ACK, 0);
        rig_emit(rig, INT, V_DONE);
        rig_expect_int(rig, V_DONE);
        g_assert_cmpmem(rig->ram + B_MSG_IN, cases[i].answer_len, cases[i].answer, cases[i].answer_len);
        g_assert_cmphex(rig->ram[B_STATUS], ==, 0);
    }
    rig_free(rig);
}

/* A message that arrives in pieces: the target asks for the rest. */
static void test_message_in_pieces(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    set_message(rig, 6, 0xc0, 1, 3, 1, 10, 31);
    rig_emit(rig, SELECT_ATN(2), 0);
    rig_emit(rig, MOVE(LSI_MSG_OUT, 3), B_MSG);
    rig_emit(rig, MOVE(LSI_MSG_OUT, 3), B_MSG + 3);
    rig_emit(rig, MOVE(LSI_MSG_IN, 5), B_MSG_IN);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WHEN_PHASE(INT, LSI_COMMAND), 6);
    rig_expect_int(rig, 6);
    g_assert_cmpmem(rig->ram + B_MSG_IN, 5, rig->ram + B_MSG + 1, 5);
    rig_free(rig);
}

static void test_message_reject(void)
{
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    go_wide(rig);
    g_assert_true(rig->lsi->agreement[2].wide);
    /* The initiator rejects the target's answer: the agreement is off. */
    set_message(rig, 5, 0x80, 1, 2, 3, 1);
    rig->ram[B_MSG + 8] = 7;
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT_ATN(2), 0);
    rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
    rig_emit(rig, MOVE(LSI_MSG_IN, 4), B_MSG_IN);
    rig_emit(rig, SET_ATN, 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, MOVE(LSI_MSG_OUT, 1), B_MSG + 8);
    rig_emit(rig, WHEN_PHASE(INT, LSI_COMMAND), 6);
    rig_expect_int(rig, 6);
    g_assert_false(rig->lsi->agreement[2].wide);
    rig_free(rig);
}

/* The messages that end tasks lead to bus free; without SDU that is no error. */
static void test_kill_messages(void)
{
    static const struct {
        uint8_t msg;
        unsigned left, resets;
    } cases[] = {
        { 0x0d, 2, 0 }, /* ABORT TAG: one of three */
        { 0x06, 0, 0 }, /* ABORT */
        { 0x0e, 0, 0 }, /* CLEAR QUEUE */
        { 0x0c, 0, 1 }, /* BUS DEVICE RESET */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *rig = rig_new();
        FakeDisk *unit = rig_unit(rig, 2, 0);

        unit->hold = true;
        for (unsigned tag = 1; tag <= 3; tag++) {
            set_message(rig, 3, 0xc0, 0x20, tag);
            set_cdb(rig, 0x35, 0, 0);
            emit_begin(rig, 2);
            rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
            rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
            rig_emit(rig, CLEAR_ACK, 0);
            rig_emit(rig, WAIT_DISCONNECT, 0);
            rig_emit(rig, INT, 1);
            rig_write(rig, LSI_ISTAT0, ISTAT0_SIGP, 1);
            rig_expect_int(rig, 1);
            g_assert_cmphex(rig->ram[B_MSG_IN], ==, 4);
        }
        g_assert_cmpuint(rig->lsi->tasks.length, ==, 3);
        set_message(rig, 4, 0xc0, 0x20, 2, cases[i].msg);
        rig_at(rig, RIG_CODE);
        rig_emit(rig, SELECT_ATN(2), 0);
        rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
        rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
        rig_emit(rig, WAIT_DISCONNECT, 0);
        rig_emit(rig, INT, 2);
        rig_expect_int(rig, 2);
        g_assert_cmpuint(rig->lsi->tasks.length, ==, cases[i].left);
        g_assert_cmpuint(unit->cancelled, ==, 3 - cases[i].left);
        g_assert_cmpuint(unit->resets, ==, cases[i].resets);
        /* With SDU set the same is an unexpected disconnect. */
        rig_at(rig, RIG_CODE);
        rig_emit(rig, SELECT_ATN(2), 0);
        rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
        rig_start(rig, RIG_CODE);
        rig_expect_scsi(rig, SIST0_UDC);
        rig_free(rig);
    }
}

/* ---- disconnection ------------------------------------------------------------------------------------------------- */

/* Reselection at 0x3000: IDENTIFY and tag to B_MSG_IN, then data to B_DATA + tag * 0x1000, status, end. */
static void emit_reselect(Rig *rig, bool tagged)
{
    rig_at(rig, 0x3000);
    rig_emit(rig, WAIT_RESELECT, 0x3100);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_emit(rig, CLEAR_ACK, 0);
    if (tagged) {
        rig_emit(rig, MOVE(LSI_MSG_IN, 2), B_MSG_IN + 1);
        rig_emit(rig, CLEAR_ACK, 0);
    }
    rig_emit(rig, UNLESS(WHEN_PHASE(JUMP, LSI_DATA_IN)), rig->pc + 16);
    rig_emit(rig, MOVE(LSI_DATA_IN, 512), B_DATA);
    rig_emit(rig, MOVE(LSI_STATUS, 1), B_STATUS);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN + 3);
    rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WAIT_DISCONNECT, 0);
    rig_emit(rig, INT, V_DONE);
    rig_at(rig, 0x3100);
    rig_emit(rig, INT, V_MESSAGE);
}

static void issue_tagged(Rig *rig, unsigned id, unsigned tag, uint8_t opcode, unsigned lba)
{
    set_message(rig, 3, 0xc0, 0x20, tag);
    set_cdb(rig, opcode, lba, 1);
    emit_begin(rig, id);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WAIT_DISCONNECT, 0);
    rig_emit(rig, INT, 1);
    rig_write(rig, LSI_ISTAT0, ISTAT0_SIGP, 1);
    rig_expect_int(rig, 1);
    g_assert_cmphex(rig->ram[B_MSG_IN], ==, 4);
}

static void test_tags(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit[2] = { rig_unit(rig, 2, 0), rig_unit(rig, 3, 0) };
    static const struct {
        unsigned unit, tag, lba;
    } order[] = { { 0, 1, 10 }, { 1, 1, 20 }, { 0, 200, 30 }, { 1, 7, 40 }, { 0, 3, 50 } };

    unit[0]->hold = unit[1]->hold = true;
    emit_reselect(rig, true);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        issue_tagged(rig, 2 + order[i].unit, order[i].tag, 0x28, order[i].lba);
    }
    rig_read(rig, LSI_CTEST2, 1); /* takes SIGP */
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 5);
    rig_start(rig, 0x3000);
    rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT1, 1), ==, ISTAT1_SRUN);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        fake_release(unit[order[i].unit]);
        rig_expect_dma(rig, DSTAT_SIR);
        g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, V_DONE);
        g_assert_cmphex(rig_read(rig, LSI_SSID, 1), ==, 0x80 | (2 + order[i].unit));
        g_assert_cmphex(rig->ram[B_MSG_IN], ==, 0x80);
        g_assert_cmphex(rig->ram[B_MSG_IN + 1], ==, 0x20);
        g_assert_cmphex(rig->ram[B_MSG_IN + 2], ==, order[i].tag);
        g_assert_cmphex(rig->ram[B_STATUS], ==, 0);
        g_assert_cmpmem(rig->ram + B_DATA, 512, unit[order[i].unit]->store + order[i].lba * 512, 512);
        rig_start(rig, 0x3000);
    }
    rig_settle();
    /* All ready at once: they come one after the other. */
    rig_write(rig, LSI_ISTAT0, ISTAT0_ABRT, 1);
    rig_write(rig, LSI_ISTAT0, 0, 1);
    rig_expect_dma(rig, DSTAT_ABRT);
    for (unsigned tag = 1; tag <= 5; tag++) {
        issue_tagged(rig, 2, tag, 0x35, 0);
    }
    rig_read(rig, LSI_CTEST2, 1);
    for (unsigned tag = 1; tag <= 5; tag++) {
        fake_release(unit[0]);
    }
    for (unsigned tag = 1; tag <= 5; tag++) {
        rig_start(rig, 0x3000);
        rig_expect_dma(rig, DSTAT_SIR);
        g_assert_cmphex(rig->ram[B_MSG_IN + 2], ==, tag);
    }
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
    rig_free(rig);
}

static void test_reselect_beats_select(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    emit_reselect(rig, true);
    issue_tagged(rig, 2, 9, 0x35, 0);
    fake_release(unit);
    rig_read(rig, LSI_CTEST2, 1);
    /* The program's SELECT goes to its alternate address, where WAIT RESELECT falls through. */
    set_message(rig, 1, 0xc0);
    set_cdb(rig, 0x00, 0, 0);
    emit_begin(rig, 2);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig->ram[B_MSG_IN + 2], ==, 9);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 0);
    rig_free(rig);
}

/* A target keeps the bus while nobody wants it, and leaves when the host signals; data moved are saved first. */
static void test_yield(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    unit->chunk = 512;
    rig_write(rig, LSI_CCNTL0, CCNTL0_ENPMJ, 1);
    rig_write(rig, LSI_PMJAD1, 0x2000, 4);
    rig_at(rig, 0x2000);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN + 1);
    rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WAIT_DISCONNECT, 0);
    rig_emit(rig, INT, 0xcc);
    emit_reselect(rig, false);
    set_message(rig, 1, 0xc0);
    set_cdb(rig, 0x28, 10, 2);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_IN, 1024), B_DATA + 0x1000);
    rig_start(rig, RIG_CODE);
    rig_settle();
    fake_release(unit);
    rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_CON);
    g_assert_cmpuint(unit->held.length, ==, 1);
    /* Half is there; the target waits for its medium, lent memory in use. */
    rig_write(rig, LSI_ISTAT0, ISTAT0_SIGP, 1);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, 0xcc);
    g_assert_cmphex(rig->ram[B_MSG_IN], ==, 0x02);
    g_assert_cmphex(rig->ram[B_MSG_IN + 1], ==, 0x04);
    g_assert_cmphex(rig_read(rig, LSI_RBC, 4) & 0xffffff, ==, 512);
    g_assert_cmphex(rig_read(rig, LSI_UA, 4), ==, B_DATA + 0x1000 + 512);
    rig_read(rig, LSI_CTEST2, 1);
    rig_start(rig, 0x3000);
    rig_settle();
    fake_release(unit);
    rig_expect_dma(rig, DSTAT_SIR);
    /* The rest was read into the lent memory; the move after reselection names another place, and has it there. */
    g_assert_cmpmem(rig->ram + B_DATA + 0x1000, 512, unit->store + 10 * 512, 512);
    g_assert_cmpmem(rig->ram + B_DATA, 512, unit->store + 11 * 512, 512);
    g_assert_cmphex(rig->ram[B_STATUS], ==, 0);
    rig_free(rig);
}

static void test_queue_limit(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit[2] = { rig_unit(rig, 2, 0), rig_unit(rig, 3, 0) };

    unit[0]->hold = unit[1]->hold = true;
    for (unsigned i = 0; i < SCSI_REQUESTS_MAX; i++) {
        issue_tagged(rig, 2 + i / 128, i % 128, 0x35, 0);
    }
    set_message(rig, 3, 0xc0, 0x20, 0xf0);
    set_cdb(rig, 0x35, 0, 0);
    emit_begin(rig, 2);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig->ram[B_STATUS], ==, SCSI_STATUS_TASK_SET_FULL);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, SCSI_REQUESTS_MAX);
    rig_write(rig, LSI_SCNTL1, SCNTL1_RST, 1);
    rig_expect_scsi(rig, SIST0_RST);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
    g_assert_cmpuint(unit[0]->cancelled + unit[1]->cancelled, ==, SCSI_REQUESTS_MAX);
    rig_free(rig);
}

static void test_overlapped(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    issue_tagged(rig, 2, 5, 0x35, 0);
    set_message(rig, 3, 0xc0, 0x20, 5);
    emit_begin(rig, 2);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig->ram[B_STATUS], ==, SCSI_STATUS_BUSY);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 1);
    rig_free(rig);
}

/* ---- resets, unplug ------------------------------------------------------------------------------------------------- */

static void test_bus_reset(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    issue_tagged(rig, 2, 5, 0x35, 0);
    rig->lsi->agreement[2].wide = true;
    rig_write(rig, LSI_SCNTL1, SCNTL1_RST, 1);
    g_assert_cmphex(rig_read(rig, LSI_SSTAT0, 1), ==, SSTAT0_RST);
    g_assert_cmphex(rig_read(rig, LSI_SBCL, 1), ==, 0);
    g_assert_cmphex(rig_read(rig, LSI_SBDL, 2), ==, 0);
    rig_write(rig, LSI_SCNTL1, 0, 1);
    g_assert_cmphex(rig_read(rig, LSI_SSTAT0, 1), ==, 0);
    rig_expect_scsi(rig, SIST0_RST);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
    g_assert_cmpuint(unit->cancelled, ==, 1);
    g_assert_cmpuint(unit->resets, ==, 1);
    g_assert_false(rig->lsi->agreement[2].wide);
    /* The unit tells of it. */
    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x00, 0, 0);
    emit_begin(rig, 2);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    expect_end(rig, 2);
    rig_free(rig);
}

/* Soft reset in every phase of a command; a disconnected command survives it. */
static void test_soft_reset(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    for (unsigned insns = 1; insns <= 5; insns++) {
        set_message(rig, 1, 0x80);
        set_cdb(rig, 0x28, 1, 1);
        emit_begin(rig, 2);
        rig_emit(rig, MOVE(LSI_DATA_IN, 512), B_DATA);
        rig_emit(rig, MOVE(LSI_STATUS, 1), B_STATUS);
        rig_at(rig, RIG_CODE + insns * 8);
        rig_emit(rig, INT, 1);
        rig_expect_int(rig, 1);
        rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
        g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
        g_assert_cmpint(rig->lsi->con.state, ==, LSI_BUS_FREE);
        rig_write(rig, LSI_DIEN, 0x7d, 1);
    }
    unit->hold = true;
    issue_tagged(rig, 2, 5, 0x35, 0);
    rig_write(rig, LSI_ISTAT0, ISTAT0_SRST, 1);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 1);
    device_reset(&rig->lsi->pci.dev);
    g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
    rig_free(rig);
}

/* A unit that goes away in the middle: connected, disconnected, with lent memory. */
static void test_unplug(void)
{
    for (unsigned mode = 0; mode < 3; mode++) {
        Rig *rig = rig_new();
        FakeDisk *unit = rig_unit(rig, 2, 0);

        unit->hold = true;
        if (mode == 0) {
            issue_tagged(rig, 2, 5, 0x28, 0);
        } else {
            set_message(rig, 1, 0x80);
            set_cdb(rig, mode == 1 ? 0x28 : 0x2a, 1, 1);
            emit_begin(rig, 2);
            rig_emit(rig, MOVE(mode == 1 ? LSI_DATA_IN : LSI_DATA_OUT, mode == 1 ? 512 : 256), B_DATA);
            emit_end(rig);
            rig_start(rig, RIG_CODE);
            rig_settle();
            g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 1);
        }
        rig_unplug(unit);
        rig_settle();
        g_assert_cmpuint(rig->lsi->tasks.length, ==, 0);
        g_assert_cmpint(rig->lsi->con.state, ==, LSI_BUS_FREE);
        g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 0);
        rig_free(rig);
    }
}

static void test_handshake_timer(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    rig_write(rig, LSI_SIEN1, SIST1_HTH, 1);
    rig_write(rig, LSI_STIME0, 0x40, 1);
    set_message(rig, 1, 0x80);
    set_cdb(rig, 0x28, 1, 1);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_DATA_IN, 512), B_DATA);
    emit_end(rig);
    rig_start(rig, RIG_CODE);
    rig_settle();
    event_clock_step(event_loop_main(), 1000000000);
    rig_expect_scsi(rig, SIST1_HTH << 8);
    fake_release(unit);
    expect_end(rig, 0);
    rig_free(rig);
}

/* Random programs, registers and unit behaviour: nothing but a chip in a strange state may come of it. */
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
                SELECT_ATN(2), MOVE_TBL(LSI_MSG_OUT), MOVE_TBL(LSI_COMMAND), WAIT_DISCONNECT, WAIT_RESELECT, CLEAR_ACK,
                SET_ATN, MOVE(LSI_STATUS, 1), MOVE(LSI_MSG_IN, 1), CHMOV(LSI_DATA_IN, 333), CHMOV(LSI_DATA_OUT, 333),
                MEMORY_MOVE(64), REG_OP(4, LSI_SCNTL2, 0x7f), JUMP, CALL, RETURN,
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
    g_test_add_func("/lsi/bus/command-from-selection-to-bus-free", test_sequence);
    g_test_add_func("/lsi/bus/absent-target-times-out", test_absent);
    g_test_add_func("/lsi/bus/select-by-table", test_select_table);
    g_test_add_func("/lsi/bus/seabios-program", test_seabios);
    g_test_add_func("/lsi/data/pieces-chunks-lent-and-copied", test_transfers);
    g_test_add_func("/lsi/data/on-chip-ram", test_transfer_on_chip);
    g_test_add_func("/lsi/data/faults", test_transfer_faults);
    g_test_add_func("/lsi/data/program-changed-after-lookahead", test_lookahead_mismatch);
    g_test_add_func("/lsi/data/read-error", test_read_error);
    g_test_add_func("/lsi/mismatch/interrupt", test_mismatch_interrupt);
    g_test_add_func("/lsi/mismatch/jump", test_mismatch_jump);
    g_test_add_func("/lsi/wide/receive", test_wide_receive);
    g_test_add_func("/lsi/wide/mismatch", test_wide_mismatch);
    g_test_add_func("/lsi/wide/send", test_wide_send);
    g_test_add_func("/lsi/messages/negotiation", test_negotiation);
    g_test_add_func("/lsi/messages/in-pieces", test_message_in_pieces);
    g_test_add_func("/lsi/messages/reject-ends-agreement", test_message_reject);
    g_test_add_func("/lsi/messages/abort-and-reset", test_kill_messages);
    g_test_add_func("/lsi/disconnect/tags-of-two-targets", test_tags);
    g_test_add_func("/lsi/disconnect/reselection-beats-selection", test_reselect_beats_select);
    g_test_add_func("/lsi/disconnect/bus-is-given-up-when-wanted", test_yield);
    g_test_add_func("/lsi/disconnect/queue-limit", test_queue_limit);
    g_test_add_func("/lsi/disconnect/overlapped-command", test_overlapped);
    g_test_add_func("/lsi/reset/bus", test_bus_reset);
    g_test_add_func("/lsi/reset/soft", test_soft_reset);
    g_test_add_func("/lsi/reset/unplug", test_unplug);
    g_test_add_func("/lsi/timer/handshake", test_handshake_timer);
    g_test_add_func("/lsi/random-programs", test_random);
    return g_test_run();
}
