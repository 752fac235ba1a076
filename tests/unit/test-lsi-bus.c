/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unit tests of the lsi53c895a with a SCSI bus: selection, messages, disconnection, tags, resets.
 */
#include "lsi-program.h"

/* ---- selection ------------------------------------------------------------------------------- */

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
    /*
     * SCRIPTS go on until they look at the bus; the time-out finds them there (sym53c8xx checks
     * that).
     */
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

/*
 * SeaBIOS's program as it is: no ATN, 16 command bytes, no acknowledge at the end, a move of no
 * bytes.
 */
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
        pci_rig_settle();
        g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1), ==, ISTAT0_CON);
        fake_release(unit);
        rig_expect_dma(rig, DSTAT_SIR);
        g_assert_cmpmem(rig->ram + B_DATA, 1024, unit->store + 3 * 512, 1024);
        unit->hold = false;
    }
    rig_free(rig);
}

/* ---- messages -------------------------------------------------------------------------------- */

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
        { { 1, 2, 1, 10 }, 4, { 7 }, 1 },        /* so is this SDTR; the WDTR is too long */
        { { 1, 3, 3, 1, 0 }, 5, { 7 }, 1 },
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
        g_assert_cmpmem(rig->ram + B_MSG_IN, cases[i].answer_len, cases[i].answer,
                        cases[i].answer_len);
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

/* What the initiator did not like, or nothing at all: the target goes on where it was. */
static void test_messages_without_an_answer(void)
{
    static const uint8_t messages[] = { 0x05, 0x08, 0x09 }; /* INITIATOR DETECTED ERROR, NO OPERATION, PARITY ERROR */
    Rig *rig = rig_new();

    rig_unit(rig, 2, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(messages); i++) {
        set_message(rig, 2, 0xc0, messages[i]);
        set_cdb(rig, 0x00, 0, 0);
        emit_begin(rig, 2);
        emit_end(rig);
        rig_start(rig, RIG_CODE);
        expect_end(rig, 0);
    }
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

/* ---- disconnection --------------------------------------------------------------------------- */

/*
 * Reselection at 0x3000: IDENTIFY and tag to B_MSG_IN, then data to B_DATA + tag * 0x1000, status,
 * end.
 */
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

/* An initiator that rejects the DISCONNECT message keeps the target on the bus until its command has ended. */
static void test_rejected_disconnection(void)
{
    Rig *rig = rig_new();
    FakeDisk *unit = rig_unit(rig, 2, 0);

    unit->hold = true;
    set_message(rig, 3, 0xc0, 0x20, 5);
    rig->ram[B_MSG + 8] = 7;
    set_cdb(rig, 0x28, 9, 1);
    emit_begin(rig, 2);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN + 3);
    rig_emit(rig, SET_ATN, 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, MOVE(LSI_MSG_OUT, 1), B_MSG + 8);
    rig_emit(rig, MOVE(LSI_DATA_IN, 512), B_DATA);
    emit_end(rig);
    rig_write(rig, LSI_ISTAT0, ISTAT0_SIGP, 1); /* there is other work, for which the target would leave */
    rig_start(rig, RIG_CODE);
    pci_rig_settle();
    g_assert_cmphex(rig->ram[B_MSG_IN + 3], ==, 4);
    g_assert_cmpint(rig->lsi->con.state, !=, LSI_BUS_FREE);
    fake_release(unit);
    expect_end(rig, 0);
    g_assert_cmpmem(rig->ram + B_DATA, 512, unit->store + 9 * 512, 512);
    rig_free(rig);
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
    pci_rig_settle();
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
        g_assert_cmpmem(rig->ram + B_DATA, 512,
                        unit[order[i].unit]->store + order[i].lba * 512, 512);
        rig_start(rig, 0x3000);
    }
    pci_rig_settle();
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

/*
 * A target keeps the bus while nobody wants it, and leaves when the host signals; data moved are
 * saved first.
 */
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
    pci_rig_settle();
    fake_release(unit);
    pci_rig_settle();
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
    pci_rig_settle();
    fake_release(unit);
    rig_expect_dma(rig, DSTAT_SIR);
    /*
     * The rest was read into the lent memory; the move after reselection names another place, and
     * has it there.
     */
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

/* ---- resets, unplug -------------------------------------------------------------------------- */

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
            rig_emit(rig, mode == 1 ? MOVE(LSI_DATA_IN, 512) : MOVE(LSI_DATA_OUT, 256), B_DATA);
            emit_end(rig);
            rig_start(rig, RIG_CODE);
            pci_rig_settle();
            g_assert_cmpuint(rig->lsi->pci.dma.mapped, ==, 1);
        }
        rig_unplug(unit);
        pci_rig_settle();
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
    pci_rig_settle();
    event_clock_step(event_loop_main(), 1000000000);
    rig_expect_scsi(rig, SIST1_HTH << 8);
    fake_release(unit);
    expect_end(rig, 0);
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    event_clock_set_manual();
    g_test_add_func("/lsi/bus/command-from-selection-to-bus-free", test_sequence);
    g_test_add_func("/lsi/bus/absent-target-times-out", test_absent);
    g_test_add_func("/lsi/bus/select-by-table", test_select_table);
    g_test_add_func("/lsi/bus/seabios-program", test_seabios);
    g_test_add_func("/lsi/messages/negotiation", test_negotiation);
    g_test_add_func("/lsi/messages/in-pieces", test_message_in_pieces);
    g_test_add_func("/lsi/messages/reject-ends-agreement", test_message_reject);
    g_test_add_func("/lsi/messages/without-an-answer", test_messages_without_an_answer);
    g_test_add_func("/lsi/messages/abort-and-reset", test_kill_messages);
    g_test_add_func("/lsi/disconnect/rejected", test_rejected_disconnection);
    g_test_add_func("/lsi/disconnect/tags-of-two-targets", test_tags);
    g_test_add_func("/lsi/disconnect/reselection-beats-selection", test_reselect_beats_select);
    g_test_add_func("/lsi/disconnect/bus-is-given-up-when-wanted", test_yield);
    g_test_add_func("/lsi/disconnect/queue-limit", test_queue_limit);
    g_test_add_func("/lsi/disconnect/overlapped-command", test_overlapped);
    g_test_add_func("/lsi/reset/bus", test_bus_reset);
    g_test_add_func("/lsi/reset/soft", test_soft_reset);
    g_test_add_func("/lsi/reset/unplug", test_unplug);
    g_test_add_func("/lsi/timer/handshake", test_handshake_timer);
    return g_test_run();
}
