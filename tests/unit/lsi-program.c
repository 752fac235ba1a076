/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The initiator's program of the lsi53c895a tests.
 */
#include "lsi-program.h"

void set_entry(Rig *rig, unsigned entry, uint32_t count, uint32_t addr)
{
    rig_put32(rig, RIG_DSA + entry, count);
    rig_put32(rig, RIG_DSA + entry + 4, addr);
}

void set_message(Rig *rig, unsigned len, ...)
{
    va_list ap;

    va_start(ap, len);
    for (unsigned i = 0; i < len; i++) {
        rig->ram[B_MSG + i] = (uint8_t)va_arg(ap, int);
    }
    va_end(ap);
    set_entry(rig, T_MSG, len, B_MSG);
}

void set_cdb(Rig *rig, uint8_t opcode, unsigned lba, unsigned blocks)
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

void emit_end(Rig *rig)
{
    rig_emit(rig, MOVE(LSI_STATUS, 1), B_STATUS);
    rig_emit(rig, MOVE(LSI_MSG_IN, 1), B_MSG_IN);
    rig_emit(rig, REG_OP(4, LSI_SCNTL2, 0x7f), 0);
    rig_emit(rig, CLEAR_ACK, 0);
    rig_emit(rig, WAIT_DISCONNECT, 0);
    rig_emit(rig, INT, V_DONE);
}

void emit_begin(Rig *rig, unsigned id)
{
    rig_at(rig, RIG_CODE);
    rig_emit(rig, SELECT_ATN(id), 0x3000);
    rig_emit(rig, MOVE_TBL(LSI_MSG_OUT), T_MSG);
    rig_emit(rig, MOVE_TBL(LSI_COMMAND), T_CMD);
    rig_write(rig, LSI_DSA, RIG_DSA, 4);
    rig->ram[B_STATUS] = 0xee;
    rig->ram[B_MSG_IN] = 0xee;
}

void expect_end(Rig *rig, uint8_t status)
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

void go_wide(Rig *rig)
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
