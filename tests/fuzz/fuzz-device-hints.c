/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device fuzzer: what programs of the 53C895A and SCSI commands are made of.
 * Runs in: fuzz target
 */
#include "fuzz-device.h"

#include <glib.h>
#include <string.h>
#include "../unit/lsi-rig.h"

/* The instructions of SCRIPTS, one of each kind at least; counts and data come by xor. */
static const uint32_t lsi_words[] = {
    SELECT_ATN(0), SELECT_ATN(2), SELECT_ATN(5), SELECT_ATN(9), SELECT(0), SELECT_ATN(0) | 0x02000000,
    WAIT_DISCONNECT, WAIT_RESELECT, SET_ATN, CLEAR_ACK, 0x58000040, 0x60000008,
    MOVE(LSI_MSG_OUT, 0), MOVE(LSI_COMMAND, 0), MOVE(LSI_DATA_OUT, 0), MOVE(LSI_DATA_IN, 0), MOVE(LSI_STATUS, 1),
    MOVE(LSI_MSG_IN, 1), CHMOV(LSI_DATA_IN, 0), CHMOV(LSI_DATA_OUT, 0), MOVE_TBL(LSI_MSG_OUT), MOVE_TBL(LSI_COMMAND),
    MOVE_TBL(LSI_DATA_OUT), MOVE_TBL(LSI_DATA_IN), 0x20000000 | LSI_DATA_IN << 24, MOVE(4, 0), MOVE(5, 0),
    JUMP, CALL, RETURN, INT, INTFLY, IF_DATA(JUMP, 0), IF_CARRY(JUMP), WHEN_PHASE(JUMP, LSI_MSG_IN),
    WHEN_PHASE(JUMP, LSI_DATA_IN), IF_PHASE(JUMP, LSI_STATUS), WHEN_PHASE(INT, LSI_COMMAND),
    REG_OP(0, LSI_SFBR, 0), REG_OP(4, LSI_SCNTL2, 0x7f), REG_OP(6, LSI_SCRATCHA, 1), REG_OP(2, LSI_ISTAT0, 0x40),
    REG_OP(2, LSI_DCNTL, 4), FROM_REG(2, LSI_SSID, 0), TO_REG(0, LSI_SDID, 0), LOAD(LSI_SCRATCHA, 0), LOAD(LSI_DSA, 4),
    STORE(LSI_SCRATCHA, 0), STORE(LSI_DSP, 0) | DSA_RELATIVE, MEMORY_MOVE(0), MEMORY_MOVE(0) | 0x01000000,
};

const FuzzHints *fuzz_hints(const char *type)
{
    static const uint32_t zero;
    static const FuzzHints table[] = {
        { TYPE_LSI53C895A_NAME, lsi_words, G_N_ELEMENTS(lsi_words), INT },
    };
    static const FuzzHints none = { NULL, &zero, 1, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        if (g_str_equal(table[i].type, type)) {
            return &table[i];
        }
    }
    return &none;
}

/* Operation codes, and the second byte of those that have several services. */
static const struct {
    uint8_t opcode, service;
} commands[] = {
    { 0x00, 0 }, { 0x03, 0 }, { 0x08, 0 }, { 0x0a, 0 }, { 0x12, 0 }, { 0x12, 1 }, { 0x15, 0x10 }, { 0x16, 0 },
    { 0x17, 0 }, { 0x1a, 0 }, { 0x1b, 0 }, { 0x1d, 4 }, { 0x1e, 0 }, { 0x25, 0 }, { 0x28, 0 }, { 0x28, 8 },
    { 0x2a, 0 }, { 0x2a, 8 }, { 0x2e, 0 }, { 0x2e, 2 }, { 0x2f, 0 }, { 0x2f, 2 }, { 0x2f, 4 }, { 0x35, 0 },
    { 0x41, 0 }, { 0x41, 8 }, { 0x42, 0 }, { 0x43, 0 }, { 0x43, 2 }, { 0x46, 0 }, { 0x4a, 1 }, { 0x51, 0 },
    { 0x55, 0x10 }, { 0x56, 0 }, { 0x57, 0 }, { 0x5a, 0 }, { 0x88, 0 }, { 0x8a, 0 }, { 0x8e, 2 }, { 0x8f, 2 },
    { 0x91, 0 }, { 0x93, 0 }, { 0x93, 8 }, { 0x93, 1 }, { 0x9e, 0x10 }, { 0xa0, 0 }, { 0xa3, 0x0c }, { 0xa8, 0 },
    { 0xaa, 0 }, { 0xae, 2 }, { 0xaf, 2 }, { 0xbd, 0 }, { 0xbe, 0 }, { 0xff, 0 }, { 0x7f, 0 },
};

void fuzz_scsi_cdb(unsigned index, uint16_t lba, uint16_t len, uint8_t cdb[16])
{
    uint8_t opcode = commands[index % G_N_ELEMENTS(commands)].opcode;
    /* Where the low bytes of block address and length stand, by the group of the operation code. */
    static const struct {
        uint8_t lba, len;
    } places[8] = { { 2, 4 }, { 4, 7 }, { 4, 7 }, { 4, 7 }, { 8, 12 }, { 4, 8 }, { 4, 8 }, { 4, 8 } };
    unsigned group = opcode >> 5;

    memset(cdb, 0, 16);
    cdb[0] = opcode;
    cdb[1] = commands[index % G_N_ELEMENTS(commands)].service;
    cdb[places[group].lba] = (uint8_t)(lba >> 8);
    cdb[places[group].lba + 1] = (uint8_t)lba;
    if (group == 0) {
        cdb[4] = (uint8_t)len;
    } else {
        cdb[places[group].len] = (uint8_t)(len >> 8);
        cdb[places[group].len + 1] = (uint8_t)len;
    }
}
