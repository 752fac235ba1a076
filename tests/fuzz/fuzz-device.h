/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device fuzzer: the input's language, and what it knows of single types of devices.
 * Runs in: fuzz target
 *
 * Input: records of FUZZ_RECORD bytes, of which the first FUZZ_RECORDS_MAX count.  Numbers are little-endian.
 *     1 byte    the operation, FuzzOp modulo their number
 *     1 byte    SEL
 *     2 bytes   OFF
 *     4 bytes   VALUE
 * tests/fuzz/device_seeds.py writes the seeds; libFuzzer's mutations work on whole records (fuzz-device-mutate.c).
 *
 * Where an operation needs a guest's address ("VALUE as an address"), bits 24 to 26 choose what is there and bits 0 to
 * 23 where in it: 0 and 1 guest RAM, 2 the read-only memory, 3 nothing, 4 to 6 the first three of the function's BARs,
 * 7 any multiple of 256.
 */
#ifndef TESTS_FUZZ_DEVICE_H
#define TESTS_FUZZ_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_RECORD 8u
#define FUZZ_RECORDS_MAX 128u /* a driver's start and a few commands; more would cost speed */

typedef enum FuzzOp {
    FUZZ_CONFIG_READ,   /* SEL: size; OFF: register */
    FUZZ_CONFIG_WRITE,  /* the same, of VALUE */
    FUZZ_REG_READ,      /* SEL: bits 0 to 2 the BAR, 4 and 5 the size; OFF in it */
    FUZZ_REG_WRITE,     /* the same, of VALUE */
    FUZZ_REG_ADDRESS,   /* the same, of VALUE as an address, 32 bits */
    FUZZ_REG_ACK,       /* reads, and writes what was read */
    FUZZ_MEM_WRITE,     /* VALUE, 32 bits, to (SEL, OFF) as an address */
    FUZZ_MEM_ADDRESS,   /* VALUE as an address, 32 bits, likewise */
    FUZZ_MEM_READ,      /* SEL and OFF: the address, VALUE: the size */
    FUZZ_PROGRAM_AT,    /* the next FUZZ_PROGRAM goes to VALUE as an address */
    FUZZ_PROGRAM,       /* word SEL of the type's with OFF xor'ed in, then VALUE as an address */
    FUZZ_CDB,           /* a SCSI command at OFF in RAM; SEL: which, VALUE: 16 bits of block address, 16 of length */
    FUZZ_TURN,          /* SEL: turns of the event loop, up to 8 */
    FUZZ_COMPLETE,      /* ends a block request; SEL: of which drive, OFF: which, VALUE: how */
    FUZZ_DRIVE_MODE,    /* SEL: drive; OFF: bit 0 completes by itself, bit 1 cannot be cancelled, bit 2 no discard */
    FUZZ_CLOCK,         /* VALUE us of virtual time pass */
    FUZZ_RESET,         /* of the function, with all below it; it stays unmapped */
    FUZZ_MAP,           /* its BARs are mapped again */
    FUZZ_MEDIUM,        /* SEL: drive; OFF: blocks of its new medium, 0: none */
    FUZZ_TRAY,          /* SEL: drive; OFF: the user asks for the medium, or opens the tray */
    FUZZ_RUN,           /* the machine stops (OFF even) or goes on */
    FUZZ_PLUG,          /* SEL: disk; it goes, or comes again */
    FUZZ_REPLUG,        /* the function goes and a new one comes, with new disks */
    FUZZ_OPS,
} FuzzOp;

/* What FUZZ_PROGRAM may write for a type of devices. */
typedef struct FuzzHints {
    const char *type;
    const uint32_t *words;
    unsigned num;
    uint32_t fill; /* what guest RAM holds at first: a program that runs away ends soon */
} FuzzHints;

/* Those for TYPE; of a type without any, one word of zero, and zeroes. */
const FuzzHints *fuzz_hints(const char *type);

/* Command number INDEX of those that SCSI disks know, and some that they do not, to CDB. */
void fuzz_scsi_cdb(unsigned index, uint16_t lba, uint16_t len, uint8_t cdb[16]);

#endif
