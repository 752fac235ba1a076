/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes test cases: a few instructions, and a state to start from.
 *
 * Thread: any (no state but the generator's own).  Runs in: tests.
 */
#ifndef TESTS_EMU_GENERATE_H
#define TESTS_EMU_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "native.h"

#define CASE_CODE_MAX 160

typedef struct Case {
    uint8_t code[CASE_CODE_MAX];
    unsigned size;          /* with the INT3 at the end */
    char text[64];          /* what is tested, for the report */
    NativeState state;
    uint32_t undefined;     /* flags whose value after it the architecture leaves open */
    bool open_when_zero;    /* with ZF set afterwards the destination is undefined (BSF, BSR) */
    bool x87;               /* the x87 part of the image counts */
    bool environment;       /* memory gets the pointers to the last x87 instruction, which are each side's own */
    uint64_t address;       /* of the memory operand; 0: none */
} Case;

typedef struct Generator {
    uint64_t seed;
} Generator;

uint64_t generate_random(Generator *g);
/* Below LIMIT. */
unsigned generate_below(Generator *g, unsigned limit);

/* Fills SIZE bytes with values that are interesting more often than random ones. */
void generate_data(Generator *g, uint8_t *data, unsigned size);

/* Integer instructions, by templates with defined results; COMPAT: 32-bit code. */
void generate_integer(Generator *g, Case *c, bool compat);

/*
 * Several integer instructions of 64-bit code.  An exception in the middle may find flags of an earlier one: what the
 * engine leaves out when they are overwritten later.
 */
void generate_sequence(Generator *g, Case *c);

/* Any opcode of the SSE maps: MAP is 1 to 3 (0F, 0F 38, 0F 3A), PREFIX 0, 0x66, 0xf3 or 0xf2.  False: not a case. */
bool generate_sse(Generator *g, Case *c, unsigned map, unsigned opcode, unsigned prefix);

/* Any escape (0xd8 to 0xdf) and ModRM. */
void generate_x87(Generator *g, Case *c, unsigned escape, unsigned modrm);

#endif
