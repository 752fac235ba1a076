/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State, operands, and the MMX, SSE and x87 cases.  The manual is generate.h.
 */
#include "generate.h"

#include <stdio.h>
#include <string.h>

#include "generate-int.h"

/* SplitMix64, by Sebastiano Vigna, in the public domain. */
uint64_t generate_random(Generator *g)
{
    uint64_t z = g->seed += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

unsigned generate_below(Generator *g, unsigned limit)
{
    return (unsigned)(generate_random(g) % limit);
}

static uint64_t interesting(Generator *g)
{
    static const uint64_t values[] = {
        0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
        0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff, 0xfffffffffffffffe, 0xffffffff80000000,
        0x3f8000003f800000, 0xbf80000080000000, 0x7f800000ff800000, 0x7fc000007f800001, 0x0000000100800000, /* floats */
        /* doubles */
        0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff8000000000000, 0x7ff0000000000001,
        0x0000000000000001, 0x0010000000000000, 0x41dfffffffc00000, 0x43e0000000000000, 0x4330000000000001,
    };
    uint64_t value = generate_random(g);

    switch (value & 7) {
    case 0:
    case 1:
    case 2:
        return values[(value >> 8) % (sizeof(values) / sizeof(values[0]))];
    case 3:
        return value >> (8 + (value >> 3 & 31)); /* small */
    case 4: /* a double of a magnitude that computes */
        return (value & 0x800fffffffffffffu) | (uint64_t)(1023 - 40 + (value >> 52) % 80) << 52;
    default:
        return generate_random(g);
    }
}

void generate_data(Generator *g, uint8_t *data, unsigned size)
{
    for (unsigned i = 0; i + 8 <= size; i += 8) {
        uint64_t value = interesting(g);

        memcpy(data + i, &value, 8);
    }
}

void case_begin(Generator *g, Case *c)
{
    uint32_t mxcsr = 0x1f80, choice = generate_below(g, 16);
    uint16_t control = 0x37f;

    memset(c, 0, sizeof(*c));
    for (unsigned i = 0; i < 16; i++) {
        c->state.gpr[i] = interesting(g);
    }
    c->state.gpr[4] = CASE_STACK;
    c->state.rip = NATIVE_CODE;
    c->state.rflags = generate_random(g) & 0x8d5;
    if (choice < 4) {
        mxcsr |= choice << 13; /* rounding */
    } else if (choice < 6) {
        mxcsr |= generate_random(g) & 0xe07f;
    } else if (choice == 6) {
        mxcsr = generate_random(g) & 0xffff; /* unmasked exceptions */
    }
    if (choice >= 8 && choice < 12) {
        control = (uint16_t)(0x7f | (generate_random(g) & 0xf00));
    } else if (choice == 12) {
        control = (uint16_t)(0x40 | (generate_random(g) & 0xf3f));
    }
    memcpy(c->state.fxsave, &control, 2);
    memcpy(c->state.fxsave + 24, &mxcsr, 4);
    generate_data(g, c->state.fxsave + 160, 256);
}

void case_end(Case *c)
{
    c->code[c->size++] = 0xcc;
}

void case_bytes(Case *c, const uint8_t *bytes, unsigned size)
{
    memcpy(c->code + c->size, bytes, size);
    c->size += size;
}

void case_byte(Case *c, unsigned byte)
{
    c->code[c->size++] = (uint8_t)byte;
}

unsigned case_address(Generator *g, Case *c, unsigned base, unsigned align)
{
    unsigned choice = generate_below(g, 48);
    uint64_t address = NATIVE_DATA + 0x1000 + generate_below(g, 0x1000 / align) * align;

    if (choice == 0) {
        address = 0x30000000 + generate_below(g, 64); /* nothing there */
    } else if (choice == 1) {
        address = 0x8000000000000000u + generate_below(g, 64); /* not canonical */
    } else if (choice == 2) {
        address = NATIVE_DATA + NATIVE_DATA_SIZE - generate_below(g, 32); /* over the end */
    } else if (choice < 6) {
        address = NATIVE_DATA + 0x2000 - generate_below(g, 32); /* over the end of a page */
    } else if (choice < 9) {
        address += generate_below(g, align); /* not aligned */
    }
    c->state.gpr[base] = address;
    return base;
}

void case_memory(Generator *g, Case *c, unsigned reg, unsigned align)
{
    /* Not RSP, RBP and their extended twins (which need other encodings), nor what string instructions use. */
    static const unsigned bases[] = { 0, 3, 6, 7, 2 };
    unsigned base = case_address(g, c, bases[generate_below(g, 5)], align);
    int32_t disp = (int32_t)generate_below(g, 512) - 256;

    c->address = c->state.gpr[base];
    reg = (reg & 7) << 3;
    switch (generate_below(g, 4)) {
    case 0:
        case_byte(c, reg | base);
        break;
    case 1:
        disp /= 2;
        c->state.gpr[base] -= (int64_t)disp;
        case_byte(c, 0x40 | reg | base);
        case_byte(c, (uint8_t)disp);
        break;
    case 2:
        c->state.gpr[base] -= (int64_t)disp;
        case_byte(c, 0x80 | reg | base);
        case_bytes(c, (const uint8_t *)&disp, 4);
        break;
    default:
        /* base + RCX << scale */
        c->state.gpr[1] = (uint64_t)(int64_t)((int)generate_below(g, 64) - 32);
        case_byte(c, 0x04 | reg);
        disp = (int32_t)generate_below(g, 4);
        c->state.gpr[base] -= c->state.gpr[1] << disp;
        case_byte(c, (unsigned)disp << 6 | 1 << 3 | base);
        break;
    }
}

void case_memory16(Generator *g, Case *c, unsigned reg)
{
    unsigned mod = generate_below(g, 3), rm = generate_below(g, 8), disp = generate_below(g, 0x10000);

    case_byte(c, mod << 6 | (reg & 7) << 3 | rm);
    if (mod == 1) {
        case_byte(c, disp & 0xff);
    } else if (mod == 2 || rm == 6) {
        case_byte(c, disp & 0xff);
        case_byte(c, disp >> 8);
    }
}

/* ---- MMX and SSE --------------------------------------------------------------------------------- */

/* Opcodes whose results are the machine's business, that enter the kernel, or that are the integer templates'. */
static bool is_excluded(unsigned map, unsigned opcode, unsigned prefix)
{
    if (map != 1) {
        /* Nothing but SSSE3 to SSE4.2, AES and PCLMUL has a meaning everywhere. */
        return map == 2 ? opcode > 0x41 && !(opcode >= 0xdb && opcode <= 0xdf)
                        : opcode > 0x63 && opcode != 0xdf;
    }
    return opcode < 0x10 || (opcode >= 0x18 && opcode < 0x28) || (opcode >= 0x30 && opcode < 0x50) ||
           (opcode >= 0x78 && opcode < 0x7c) || (opcode >= 0x80 && opcode < 0xc2) || opcode == 0xc3 ||
           opcode >= 0xff || (opcode >= 0xc7 && opcode < 0xd0) || opcode == 0xae;
}

static bool has_immediate(unsigned map, unsigned opcode)
{
    return map == 3 || (map == 1 && ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
                                     (opcode >= 0xc4 && opcode <= 0xc6)));
}

bool generate_sse(Generator *g, Case *c, unsigned map, unsigned opcode, unsigned prefix)
{
    bool wide = generate_below(g, 4) == 0;
    unsigned reg = generate_below(g, 8), rm = generate_below(g, 8);

    if (is_excluded(map, opcode, prefix)) {
        return false;
    }
    case_begin(g, c);
    c->x87 = prefix == 0 || (map == 1 && (opcode == 0xd6 || (opcode >= 0x2a && opcode <= 0x2d)));
    if (c->x87) {
        generate_data(g, c->state.fxsave + 32, 128);
        for (unsigned i = 0; i < 8; i++) {
            memset(c->state.fxsave + 32 + i * 16 + 10, 0, 6);
        }
        c->state.fxsave[4] = 0xff;
    }
    if (map == 3 && (opcode == 0x60 || opcode == 0x61)) { /* lengths */
        c->state.gpr[0] = generate_below(g, 40) - 20u;
        c->state.gpr[2] = generate_below(g, 40) - 20u;
    }
    if (prefix) {
        case_byte(c, prefix);
    }
    if (wide) {
        case_byte(c, 0x48);
    }
    case_byte(c, 0x0f);
    if (map != 1) {
        case_byte(c, map == 2 ? 0x38 : 0x3a);
    }
    case_byte(c, opcode);
    if (map == 1 && opcode == 0x77) {
        /* no ModRM */
    } else if (generate_below(g, 2)) {
        case_byte(c, 0xc0 | reg << 3 | rm);
    } else {
        case_memory(g, c, reg, 16);
    }
    if (map == 1 && opcode == 0xf7) {
        case_address(g, c, 7, 16);
        c->environment = true; /* which of the bytes a fault names is the processor's choice */
    }
    if (has_immediate(map, opcode)) {
        case_byte(c, generate_below(g, 256));
    }
    snprintf(c->text, sizeof(c->text), "map %u opcode %02x prefix %02x%s", map, opcode, prefix, wide ? " REX.W" : "");
    case_end(c);
    return true;
}

/* ---- x87 -------------------------------------------------------------------------------------------- */

/* Eight registers, of which some are empty. */
static void x87_state(Generator *g, Case *c)
{
    static const uint16_t exponents[] = {
        0, 1, 0x3fff, 0x4000, 0x403e, 0x7ffe, 0x7fff, 0xbfff, 0xffff, 0x3ffe, 0x401e
    };
    uint16_t status = (uint16_t)(generate_below(g, 8) << 11 | (generate_random(g) & 0x4700));

    for (unsigned i = 0; i < 8; i++) {
        uint64_t mantissa = interesting(g);
        uint16_t exponent = (uint16_t)(0x3fff + generate_below(g, 64) - 32);
        unsigned kind = generate_below(g, 8);

        if (kind == 0) {
            exponent = exponents[generate_below(g, 11)];
        }
        if (kind != 1) {
            mantissa |= 1ull << 63; /* else an unnormal number */
        }
        if (kind == 2) {
            mantissa = 0, exponent = 0;
        }
        memcpy(c->state.fxsave + 32 + i * 16, &mantissa, 8);
        memcpy(c->state.fxsave + 32 + i * 16 + 8, &exponent, 2);
    }
    memcpy(c->state.fxsave + 2, &status, 2);
    c->state.fxsave[4] = generate_below(g, 2) ? 0xff : (uint8_t)generate_random(g);
}

void generate_x87(Generator *g, Case *c, unsigned escape, unsigned modrm)
{
    case_begin(g, c);
    x87_state(g, c);
    c->x87 = true;
    case_byte(c, escape);
    if (modrm < 0xc0) {
        case_memory(g, c, modrm >> 3 & 7, 8);
        /* FLDENV, FNSTENV, FRSTOR, FNSAVE */
        c->environment = (escape == 0xd9 || escape == 0xdd) && ((modrm >> 3 & 7) == 4 || (modrm >> 3 & 7) == 6);
    } else {
        case_byte(c, modrm);
    }
    snprintf(c->text, sizeof(c->text), "x87 %02x /%u modrm %02x", escape, modrm >> 3 & 7, modrm);
    case_end(c);
}
