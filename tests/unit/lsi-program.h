/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small initiator's program for the lsi53c895a tests, like those in the field: a table at DSA
 * tells what to send, data moves are table indirect.
 */
#ifndef TESTS_UNIT_LSI_PROGRAM_H
#define TESTS_UNIT_LSI_PROGRAM_H

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

void set_entry(Rig *rig, unsigned entry, uint32_t count, uint32_t addr);

/* The LEN bytes of the next MESSAGE OUT. */
void set_message(Rig *rig, unsigned len, ...);

/*
 * The next command: a READ, WRITE and so on of BLOCKS from LBA, or with BLOCKS as allocation
 * length.
 */
void set_cdb(Rig *rig, uint8_t opcode, unsigned lba, unsigned blocks);

/* SELECT with ATN, message, command. */
void emit_begin(Rig *rig, unsigned id);

/* STATUS, COMMAND COMPLETE and bus free, then V_DONE. */
void emit_end(Rig *rig);

/* Settles, and expects V_DONE with STATUS and nothing left behind. */
void expect_end(Rig *rig, uint8_t status);

/* Negotiates 16 bits with id 2. */
void go_wide(Rig *rig);

#endif
