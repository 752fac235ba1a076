/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequences of the instructions that the engine carries out several at a time.  The manual is generate.h.
 *
 * RSI and RDI are addresses, often in one page and now and then at its end or where there is nothing, R10 is a small
 * index; few other registers are used, so that an instruction often takes what the one before it made.
 */
#include "generate-int.h"

#include <stdio.h>
#include <string.h>

#define AF 0x10u
#define OF 0x800u
#define AFTER_IMUL 0xd4u /* SF, ZF, AF, PF */

enum { RSP = 4, RSI = 6, RDI = 7, R10 = 10, R11 = 11 };

typedef enum Form {
    RM_R,    /* reg field: source, register operand: destination */
    R_RM,    /* the other way round */
    ADDRESS, /* LEA */
    INDEXED, /* LEA with an index */
    IMMEDIATE,
    COUNT,   /* shift by an immediate */
    LOAD, LOAD_INDEXED, STORE, STORE_INDEXED,
    PUSH, POP,
    /* and a conditional branch over an instruction */
    COMPARE, COMPARE_IMMEDIATE, COMPARE_MEMORY, COMPARE_INDEXED,
} Form;

static const struct {
    Form form;
    uint8_t opcode[2];
    uint8_t group;      /* ModRM.reg */
    bool immediate;     /* 8 bits of it behind the memory operand */
    uint16_t undefined; /* flags afterwards; 0xffff: it leaves flags alone */
} kinds[] = {
    { RM_R, { 0x89 }, 0, false, 0xffff },      { R_RM, { 0x8b }, 0, false, 0xffff },
    { ADDRESS, { 0x8d }, 0, false, 0xffff },   { INDEXED, { 0x8d }, 0, false, 0xffff },
    { R_RM, { 0x0f, 0xb6 }, 0, false, 0xffff }, { R_RM, { 0x63 }, 0, false, 0xffff },
    { RM_R, { 0x01 }, 0, false, 0 },           { RM_R, { 0x29 }, 0, false, 0 },
    { RM_R, { 0x31 }, 0, false, AF },          { RM_R, { 0x21 }, 0, false, AF },
    { R_RM, { 0x0f, 0xaf }, 0, false, AFTER_IMUL },
    { RM_R, { 0x11 }, 0, false, 0 },           { RM_R, { 0x19 }, 0, false, 0 }, /* read the carry */
    { IMMEDIATE, { 0x83 }, 0, false, 0 },      { IMMEDIATE, { 0x83 }, 4, false, AF },
    { IMMEDIATE, { 0x83 }, 5, false, 0 },
    { COUNT, { 0xc1 }, 4, false, AF | OF },    { COUNT, { 0xc1 }, 5, false, AF | OF },
    { COUNT, { 0xc1 }, 7, false, AF | OF },
    { LOAD, { 0x8b }, 0, false, 0xffff },      { LOAD, { 0x0f, 0xb6 }, 0, false, 0xffff },
    { LOAD, { 0x0f, 0xb7 }, 0, false, 0xffff }, { LOAD_INDEXED, { 0x0f, 0xb6 }, 0, false, 0xffff },
    { LOAD_INDEXED, { 0x8b }, 0, false, 0xffff },
    { STORE, { 0x89 }, 0, false, 0xffff },     { STORE_INDEXED, { 0x88 }, 0, false, 0xffff },
    { PUSH, { 0x50 }, 0, false, 0xffff },      { POP, { 0x58 }, 0, false, 0xffff },
    { COMPARE, { 0x39 }, 0, false, 0 },        { COMPARE, { 0x85 }, 0, false, AF },
    { COMPARE_IMMEDIATE, { 0x83 }, 7, false, 0 }, { COMPARE_IMMEDIATE, { 0x83 }, 0, false, 0 },
    { COMPARE_IMMEDIATE, { 0x83 }, 4, false, AF }, { COMPARE_IMMEDIATE, { 0x83 }, 5, false, 0 },
    { COMPARE_MEMORY, { 0x39 }, 0, false, 0 }, { COMPARE_MEMORY, { 0x3b }, 0, false, 0 },
    { COMPARE_MEMORY, { 0x38 }, 0, false, 0 }, { COMPARE_MEMORY, { 0x80 }, 7, true, 0 },
    { COMPARE_MEMORY, { 0x83 }, 7, true, 0 },
    { COMPARE_INDEXED, { 0x39 }, 0, false, 0 }, { COMPARE_INDEXED, { 0x3b }, 0, false, 0 },
    { COMPARE_INDEXED, { 0x38 }, 0, false, 0 }, { COMPARE_INDEXED, { 0x80 }, 7, true, 0 },
    { COMPARE_INDEXED, { 0x83 }, 7, true, 0 },
};

static unsigned pick(Generator *g)
{
    static const unsigned registers[] = { 0, 1, 2, 3, 8, 9 };

    return registers[generate_below(g, 6)];
}

static void opcode(Case *c, const uint8_t bytes[2], bool wide, unsigned reg, unsigned index, unsigned base)
{
    const unsigned rex = (wide ? 8 : 0) | (reg > 7 ? 4 : 0) | (index > 7 ? 2 : 0) | (base > 7 ? 1 : 0);

    if (rex) {
        case_byte(c, 0x40 | rex);
    }
    case_bytes(c, bytes, bytes[0] == 0x0f ? 2 : 1);
}

static void branch_over_one(Generator *g, Case *c)
{
    const unsigned reg = generate_below(g, 4);

    case_byte(c, 0x70 | generate_below(g, 16));
    case_byte(c, 2);
    case_byte(c, 0x89); /* MOV of 32 bits */
    case_byte(c, 0xc0 | reg);
}

static void add(Generator *g, Case *c, unsigned kind)
{
    const uint8_t *bytes = kinds[kind].opcode;
    const Form form = kinds[kind].form;
    const bool wide = generate_below(g, 2);
    unsigned reg = pick(g), rm = pick(g), base = generate_below(g, 4) ? RSI : RDI;
    /* Often all in one page, and close together. */
    const unsigned disp = generate_below(g, 8) * (generate_below(g, 3) ? 8 : 3) & 0x7f;

    switch (form) {
    case RM_R:
    case R_RM:
        opcode(c, bytes, wide || bytes[0] == 0x63, reg, 0, rm);
        case_byte(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
        break;
    case COMPARE:
        opcode(c, bytes, wide, reg, 0, rm);
        case_byte(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
        branch_over_one(g, c);
        break;
    case IMMEDIATE:
    case COMPARE_IMMEDIATE:
    case COUNT:
        opcode(c, bytes, wide, 0, 0, rm);
        case_byte(c, 0xc0 | kinds[kind].group << 3 | (rm & 7));
        case_byte(c, form == COUNT ? 1 + generate_below(g, 31) : generate_below(g, 256));
        if (form == COMPARE_IMMEDIATE) {
            branch_over_one(g, c);
        }
        break;
    case COMPARE_INDEXED:
    case STORE_INDEXED:
    case INDEXED:
    case LOAD_INDEXED:
        reg = kinds[kind].immediate ? kinds[kind].group : wide ? reg : reg & 3;
        opcode(c, bytes, wide || form == INDEXED, reg, R10, base);
        case_byte(c, 0x44 | (reg & 7) << 3);
        case_byte(c, generate_below(g, 4) << 6 | (R10 & 7) << 3 | base);
        case_byte(c, disp);
        break;
    case LOAD:
        reg = generate_below(g, 24) == 0 ? base : reg;
        /* fall through */
    case COMPARE_MEMORY:
    case ADDRESS:
    case STORE:
        reg = kinds[kind].immediate ? kinds[kind].group : reg;
        opcode(c, bytes, wide, reg, 0, base);
        case_byte(c, 0x40 | (reg & 7) << 3 | base);
        case_byte(c, disp);
        break;
    case PUSH:
    case POP:
        reg = generate_below(g, 16) == 0 ? RSP : reg;
        if (reg > 7) {
            case_byte(c, 0x41);
        }
        case_byte(c, bytes[0] | (reg & 7));
        break;
    }
    if (kinds[kind].immediate) {
        case_byte(c, generate_below(g, 256));
    }
    if (form == COMPARE_MEMORY || form == COMPARE_INDEXED) {
        branch_over_one(g, c);
    }
    if (kinds[kind].undefined != 0xffff) {
        c->undefined = kinds[kind].undefined;
    }
}

/* What is from START on once more, while R11 counts. */
static void loop(Generator *g, Case *c, unsigned start)
{
    static const uint8_t counts[][4] = {
        { 0x41, 0x83, 0xeb, 1 },  /* SUB, */
        { 0x49, 0x83, 0xc3, (uint8_t)-1 }, /* ADD, */
        { 0x41, 0xff, 0xcb },     /* DEC */
    };
    const unsigned count = generate_below(g, 3);

    c->state.gpr[R11] = 1 + generate_below(g, 3);
    case_bytes(c, counts[count], count == 2 ? 3 : 4);
    if (generate_below(g, 2)) {
        case_bytes(c, (const uint8_t[]) { 0x4d, 0x85, 0xdb }, 3); /* TEST */
        c->undefined = AF;
    } else {
        c->undefined = 0;
    }
    case_byte(c, 0x75);
    case_byte(c, start - c->size - 1);
}

void generate_sequence(Generator *g, Case *c)
{
    const unsigned length = 2 + generate_below(g, 6);
    unsigned kind = generate_below(g, sizeof(kinds) / sizeof(kinds[0])), start;

    case_begin(g, c);
    case_address(g, c, RSI, 8);
    case_address(g, c, RDI, 8);
    c->state.gpr[R10] = generate_below(g, 32);
    if (generate_below(g, 4) == 0) {
        /* a page's start */
        c->state.gpr[RSP] = NATIVE_DATA + 0x3000 + 8 * generate_below(g, 5) - generate_below(g, 2) * 4;
    } else if (generate_below(g, 16) == 0) {
        c->state.gpr[RSP] = NATIVE_DATA + 8 * generate_below(g, 4); /* the memory's start */
    }
    start = c->size;
    for (unsigned i = 0; i < length; i++) {
        /* Runs of one kind are what functions begin and end with. */
        if (i > 0 && generate_below(g, 3) != 0) {
            kind = generate_below(g, sizeof(kinds) / sizeof(kinds[0]));
        }
        add(g, c, kind);
    }
    if (generate_below(g, 2)) {
        loop(g, c, start);
        for (unsigned i = generate_below(g, 3); i > 0; i--) {
            add(g, c, generate_below(g, sizeof(kinds) / sizeof(kinds[0])));
        }
    }
    snprintf(c->text, sizeof(c->text), "sequence of %u", length);
    case_end(c);
}
