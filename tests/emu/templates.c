/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer instructions by templates.
 *
 * Runs in: tests.  The manual is generate.h.
 *
 * A template says how an instruction is encoded and which flags it leaves undefined.  Instructions that leave the
 * user's world, or whose result is the machine's business (CPUID, RDTSC, SYSCALL), have none.
 *
 * Source: AMD64 APM volume 3.
 */
#include <stdio.h>
#include <string.h>

#include "generate-int.h"

enum {
    CF = 0x001,
    PF = 0x004,
    AF = 0x010,
    ZF = 0x040,
    SF = 0x080,
    OF = 0x800,
    ARITH = CF | PF | AF | ZF | SF | OF,
};

/* How the operands are encoded. */
typedef enum Shape {
    PLAIN,   /* nothing but the opcode */
    MODRM,   /* any register in reg */
    GROUP,   /* reg is `group` */
    OPREG,   /* a register in the opcode */
    BRANCH,  /* 8-bit displacement over a few bytes */
    BRANCH4, /* the same with 32 bits */
    ENTER,   /* a 16-bit and an 8-bit immediate */
    STRING,  /* RSI and RDI are addresses, RCX a small count */
} Shape;

enum {
    BYTE = 0x01,    /* the opcode's low bit 0 is the 8-bit form */
    ONLY8 = 0x02,   /* 8-bit operands only */
    IMM8 = 0x04,
    IMMZ = 0x08,    /* 16 or 32 bits, or 8 for the 8-bit form */
    IMMV = 0x10,    /* up to 64 bits */
    LOCK = 0x20,    /* may be locked */
    MEMORY = 0x40,  /* memory operands only */
    REP = 0x80,     /* may be repeated */
    SHIFT = 0x100,  /* flags depend on the count: the immediate's, or CL */
    COUNT1 = 0x200, /* its count is 1 */
    NO16 = 0x400,   /* not with 66 */
    STACK = 0x800,  /* 64-bit operands, or 16 */
    NONZERO = 0x1000, /* of a source of 0 the result is undefined */
    DOUBLE = 0x2000,  /* SHLD, SHRD: a 16-bit operand with a count above 16 is undefined */
};

typedef struct Template {
    const char *name;
    uint8_t bytes[4];
    uint8_t size;
    uint8_t shape;
    uint16_t attr;
    uint8_t group;
    uint16_t undefined;
} Template;

#define ALU(name, base, undefined) \
    { name, { base }, 1, MODRM, BYTE | LOCK, 0, undefined }, \
    { name, { base + 2 }, 1, MODRM, BYTE, 0, undefined }, \
    { name, { base + 4 }, 1, PLAIN, BYTE | IMMZ, 0, undefined }, \
    { name, { 0x80 }, 1, GROUP, BYTE | IMMZ | LOCK, base / 8, undefined }, \
    { name, { 0x83 }, 1, GROUP, IMM8 | LOCK, base / 8, undefined }
#define SHIFTS(name, group) \
    { name, { 0xc0 }, 1, GROUP, BYTE | IMM8 | SHIFT, group, 0 }, \
    { name, { 0xd0 }, 1, GROUP, BYTE | SHIFT | COUNT1, group, 0 }, \
    { name, { 0xd2 }, 1, GROUP, BYTE | SHIFT, group, 0 }
#define BITS(name, opcode, group) \
    { name, { 0x0f, opcode }, 2, MODRM, group == 4 ? 0 : LOCK, 0, CF * 0 | OF | SF | AF | PF }, \
    { name, { 0x0f, 0xba }, 2, GROUP, group == 4 ? IMM8 : IMM8 | LOCK, group, OF | SF | AF | PF }

static const Template templates[] = {
    ALU("add", 0x00, 0), ALU("or", 0x08, AF), ALU("adc", 0x10, 0), ALU("sbb", 0x18, 0), ALU("and", 0x20, AF),
    ALU("sub", 0x28, 0), ALU("xor", 0x30, AF),
    { "cmp", { 0x38 }, 1, MODRM, BYTE, 0, 0 }, { "cmp", { 0x3a }, 1, MODRM, BYTE, 0, 0 },
    { "cmp", { 0x3c }, 1, PLAIN, BYTE | IMMZ, 0, 0 }, { "cmp", { 0x80 }, 1, GROUP, BYTE | IMMZ, 7, 0 },
    { "cmp", { 0x83 }, 1, GROUP, IMM8, 7, 0 },
    { "test", { 0x84 }, 1, MODRM, BYTE, 0, AF }, { "test", { 0xa8 }, 1, PLAIN, BYTE | IMMZ, 0, AF },
    { "test", { 0xf6 }, 1, GROUP, BYTE | IMMZ, 0, AF }, { "test", { 0xf6 }, 1, GROUP, BYTE | IMMZ, 1, AF },
    { "not", { 0xf6 }, 1, GROUP, BYTE | LOCK, 2, 0 }, { "neg", { 0xf6 }, 1, GROUP, BYTE | LOCK, 3, 0 },
    { "mul", { 0xf6 }, 1, GROUP, BYTE, 4, SF | ZF | AF | PF },
    { "imul", { 0xf6 }, 1, GROUP, BYTE, 5, SF | ZF | AF | PF },
    { "div", { 0xf6 }, 1, GROUP, BYTE, 6, ARITH }, { "idiv", { 0xf6 }, 1, GROUP, BYTE, 7, ARITH },
    { "inc", { 0xfe }, 1, GROUP, BYTE | LOCK, 0, 0 }, { "dec", { 0xfe }, 1, GROUP, BYTE | LOCK, 1, 0 },
    { "imul", { 0x0f, 0xaf }, 2, MODRM, 0, 0, SF | ZF | AF | PF },
    { "imul", { 0x69 }, 1, MODRM, IMMZ, 0, SF | ZF | AF | PF },
    { "imul", { 0x6b }, 1, MODRM, IMM8, 0, SF | ZF | AF | PF },
    { "mov", { 0x88 }, 1, MODRM, BYTE, 0, 0 }, { "mov", { 0x8a }, 1, MODRM, BYTE, 0, 0 },
    { "mov", { 0xc6 }, 1, GROUP, BYTE | IMMZ, 0, 0 }, { "mov", { 0xb0 }, 1, OPREG, ONLY8 | IMM8, 0, 0 },
    { "mov", { 0xb8 }, 1, OPREG, IMMV, 0, 0 },
    { "movzx", { 0x0f, 0xb6 }, 2, MODRM, 0, 0, 0 }, { "movzx", { 0x0f, 0xb7 }, 2, MODRM, 0, 0, 0 },
    { "movsx", { 0x0f, 0xbe }, 2, MODRM, 0, 0, 0 }, { "movsx", { 0x0f, 0xbf }, 2, MODRM, 0, 0, 0 },
    { "movsxd", { 0x63 }, 1, MODRM, NO16, 0, 0 }, /* of 16 bits AMD's read 32, Intel's 16 */
    { "lea", { 0x8d }, 1, MODRM, MEMORY, 0, 0 },
    { "movnti", { 0x0f, 0xc3 }, 2, MODRM, MEMORY | NO16, 0, 0 },
    { "xchg", { 0x86 }, 1, MODRM, BYTE | LOCK, 0, 0 }, { "xchg", { 0x90 }, 1, OPREG, 0, 0, 0 },
    { "xadd", { 0x0f, 0xc0 }, 2, MODRM, BYTE | LOCK, 0, 0 }, { "cmpxchg", { 0x0f, 0xb0 }, 2, MODRM, BYTE | LOCK, 0, 0 },
    { "cmpxchg8b", { 0x0f, 0xc7 }, 2, GROUP, MEMORY | LOCK | NO16, 1, 0 },
    SHIFTS("rol", 0), SHIFTS("ror", 1), SHIFTS("rcl", 2), SHIFTS("rcr", 3), SHIFTS("shl", 4), SHIFTS("shr", 5),
    SHIFTS("sal", 6), SHIFTS("sar", 7),
    { "shld", { 0x0f, 0xa4 }, 2, MODRM, IMM8 | SHIFT | DOUBLE, 0, 0 },
    { "shld", { 0x0f, 0xa5 }, 2, MODRM, SHIFT | DOUBLE, 0, 0 },
    { "shrd", { 0x0f, 0xac }, 2, MODRM, IMM8 | SHIFT | DOUBLE, 0, 0 },
    { "shrd", { 0x0f, 0xad }, 2, MODRM, SHIFT | DOUBLE, 0, 0 },
    BITS("bt", 0xa3, 4), BITS("bts", 0xab, 5), BITS("btr", 0xb3, 6), BITS("btc", 0xbb, 7),
    { "bsf", { 0x0f, 0xbc }, 2, MODRM, NONZERO, 0, CF | OF | SF | AF | PF },
    { "bsr", { 0x0f, 0xbd }, 2, MODRM, NONZERO, 0, CF | OF | SF | AF | PF },
    { "popcnt", { 0xf3, 0x0f, 0xb8 }, 3, MODRM, 0, 0, 0 }, { "bswap", { 0x0f, 0xc8 }, 2, OPREG, NO16, 0, 0 },
    { "crc32", { 0xf2, 0x0f, 0x38, 0xf0 }, 4, MODRM, BYTE, 0, 0 },
    { "cbw", { 0x98 }, 1, PLAIN, 0, 0, 0 }, { "cwd", { 0x99 }, 1, PLAIN, 0, 0, 0 },
    { "clc", { 0xf8 }, 1, PLAIN, NO16, 0, 0 }, { "stc", { 0xf9 }, 1, PLAIN, NO16, 0, 0 },
    { "cmc", { 0xf5 }, 1, PLAIN, NO16, 0, 0 }, { "cld", { 0xfc }, 1, PLAIN, NO16, 0, 0 },
    { "std", { 0xfd }, 1, PLAIN, NO16, 0, 0 }, { "lahf", { 0x9f }, 1, PLAIN, NO16, 0, 0 },
    { "sahf", { 0x9e }, 1, PLAIN, NO16, 0, 0 }, { "nop", { 0x90 }, 1, PLAIN, 0, 0, 0 },
    { "long nop", { 0x0f, 0x1f }, 2, MODRM, 0, 0, 0 },
    { "push", { 0x50 }, 1, OPREG, STACK, 0, 0 }, { "pop", { 0x58 }, 1, OPREG, STACK, 0, 0 },
    { "push", { 0x6a }, 1, PLAIN, IMM8 | STACK, 0, 0 }, { "push", { 0x68 }, 1, PLAIN, IMMZ | STACK, 0, 0 },
    { "push", { 0xff }, 1, GROUP, STACK, 6, 0 }, { "pop", { 0x8f }, 1, GROUP, STACK, 0, 0 },
    { "leave", { 0xc9 }, 1, PLAIN, STACK, 0, 0 }, { "enter", { 0xc8 }, 1, ENTER, STACK, 0, 0 },
    { "movs", { 0xa4 }, 1, STRING, BYTE | REP, 0, 0 }, { "cmps", { 0xa6 }, 1, STRING, BYTE | REP, 0, 0 },
    { "stos", { 0xaa }, 1, STRING, BYTE | REP, 0, 0 }, { "lods", { 0xac }, 1, STRING, BYTE | REP, 0, 0 },
    { "scas", { 0xae }, 1, STRING, BYTE | REP, 0, 0 },
    { "xlat", { 0xd7 }, 1, STRING, NO16, 0, 0 },
    { "jrcxz", { 0xe3 }, 1, BRANCH, 0, 0, 0 }, { "loop", { 0xe2 }, 1, BRANCH, 0, 0, 0 },
    { "loope", { 0xe1 }, 1, BRANCH, 0, 0, 0 },
    { "loopne", { 0xe0 }, 1, BRANCH, 0, 0, 0 }, { "jmp", { 0xeb }, 1, BRANCH, 0, 0, 0 },
    { "jmp", { 0xe9 }, 1, BRANCH4, 0, 0, 0 },
    { "call", { 0xe8 }, 1, BRANCH4, 0, 0, 0 },
    /* all sixteen conditions: choose() adds to the last byte */
    { "jcc", { 0x70 }, 1, BRANCH, 0, 16, 0 }, { "jcc", { 0x0f, 0x80 }, 2, BRANCH4, 0, 16, 0 },
    { "setcc", { 0x0f, 0x90 }, 2, MODRM, ONLY8, 16, 0 }, { "cmovcc", { 0x0f, 0x40 }, 2, MODRM, 0, 16, 0 },
    { "ud2", { 0x0f, 0x0b }, 2, PLAIN, NO16, 0, 0 }, { "hlt", { 0xf4 }, 1, PLAIN, NO16, 0, 0 },
    { "in", { 0xec }, 1, PLAIN, BYTE, 0, 0 }, { "cli", { 0xfa }, 1, PLAIN, NO16, 0, 0 },
};

/* What only 32-bit code has. */
static const Template compat_templates[] = {
    { "daa", { 0x27 }, 1, PLAIN, NO16, 0, OF }, { "das", { 0x2f }, 1, PLAIN, NO16, 0, OF },
    { "aaa", { 0x37 }, 1, PLAIN, NO16, 0, OF | SF | ZF | PF },
    { "aas", { 0x3f }, 1, PLAIN, NO16, 0, OF | SF | ZF | PF },
    { "aam", { 0xd4 }, 1, PLAIN, IMM8 | NO16, 0, OF | AF | CF },
    { "aad", { 0xd5 }, 1, PLAIN, IMM8 | NO16, 0, OF | AF | CF },
    { "inc", { 0x40 }, 1, OPREG, 0, 0, 0 }, { "dec", { 0x48 }, 1, OPREG, 0, 0, 0 },
    { "pusha", { 0x60 }, 1, PLAIN, 0, 0, 0 }, { "popa", { 0x61 }, 1, PLAIN, 0, 0, 0 },
    { "bound", { 0x62 }, 1, MODRM, MEMORY, 0, 0 }, { "arpl", { 0x63 }, 1, MODRM, NO16, 0, 0 },
    { "push ss", { 0x16 }, 1, PLAIN, 0, 0, 0 }, { "push cs", { 0x0e }, 1, PLAIN, 0, 0, 0 },
    { "push ds", { 0x1e }, 1, PLAIN, 0, 0, 0 }, { "push es", { 0x06 }, 1, PLAIN, 0, 0, 0 },
    { "into", { 0xce }, 1, PLAIN, NO16, 0, 0 }, { "salc", { 0xd6 }, 1, PLAIN, NO16, 0, 0 },
    { "bound", { 0x62 }, 1, MODRM, NO16, 0, 0 },
};

/* What a shift or rotation by COUNT of an operand of SIZE bytes leaves undefined. */
static uint32_t shift_undefined(unsigned group, bool is_double, unsigned count, unsigned size)
{
    uint32_t undefined = 0;

    count &= size == 8 ? 63 : 31;
    if (count == 0) {
        return 0;
    }
    if (is_double || group >= 4) {
        undefined |= AF;
    }
    if (count != 1) {
        undefined |= OF;
    }
    if (is_double ? count >= size * 8 : group >= 4 && group != 7 && count >= size * 8) {
        undefined |= CF;
    }
    return undefined;
}

static void add_immediate(Generator *g, Case *c, unsigned bytes)
{
    uint64_t value;

    generate_data(g, (uint8_t *)&value, 8);
    case_bytes(c, (const uint8_t *)&value, bytes);
}

/* One instruction of template T; SIZE of its operands in bytes. */
static void add_instruction(Generator *g, Case *c, const Template *t, unsigned size, unsigned prefix)
{
    uint8_t opcode[4];
    unsigned reg = t->shape == GROUP ? t->group : generate_below(g, 16), rm = generate_below(g, 16), rex = 0;
    const bool compat = c->state.compat, address16 = compat && generate_below(g, 8) == 0;
    bool memory = t->shape == STRING, modrm = t->shape == MODRM || t->shape == GROUP;

    memcpy(opcode, t->bytes, sizeof(opcode));
    if (compat) {
        reg &= 7;
        rm &= 7;
    }
    if (t->group == 16) {
        opcode[t->size - 1] += (uint8_t)generate_below(g, 16);
        reg &= 15;
    }
    if ((t->attr & BYTE) && size != 1) {
        opcode[t->size - 1] |= 1;
    }
    if (modrm) {
        memory = (t->attr & MEMORY) || generate_below(g, 2);
        /* RSP stays a stack pointer. */
        reg = t->shape == MODRM && reg == 4 && size != 1 ? 5 : reg;
        rm = rm == 4 ? 5 : rm;
    }
    if (t->shape == OPREG && rm == 4) {
        rm = 5;
    }
    if (memory && (t->attr & LOCK) && generate_below(g, 2)) {
        case_byte(c, 0xf0);
    }
    if (prefix) {
        case_byte(c, prefix);
    }
    if (size == 2) {
        case_byte(c, 0x66);
    }
    if (address16 && modrm && memory) {
        case_byte(c, 0x67);
    }
    if (size == 8 && !(t->attr & STACK)) {
        rex |= 0x48;
    }
    if (modrm || t->shape == OPREG) {
        rex |= t->shape == MODRM && reg > 7 ? 0x44 : 0;
        rex |= !memory && rm > 7 ? 0x41 : 0;
        /* SPL to DIL instead of AH to BH */
        rex |= size == 1 && generate_below(g, 3) == 0 ? 0x40 : 0;
        if (size == 1 && ((t->shape == MODRM && reg == 4) || (!memory && rm == 4)) && rex) {
            rex |= 0x45; /* SPL would be changed */
        }
    }
    /* Mandatory prefixes come before REX. */
    unsigned mandatory = opcode[0] == 0xf2 || opcode[0] == 0xf3 ? 1 : 0;
    case_bytes(c, opcode, mandatory);
    if (rex && !compat) {
        case_byte(c, rex);
    }
    if (t->shape == OPREG) {
        opcode[t->size - 1] |= rm & 7;
    }
    case_bytes(c, opcode + mandatory, t->size - mandatory);
    if (modrm) {
        if (memory && address16) {
            case_memory16(g, c, reg);
        } else if (memory) {
            case_memory(g, c, reg, size);
        } else {
            case_byte(c, 0xc0 | (reg & 7) << 3 | (rm & 7));
        }
        c->open_when_zero = t->attr & NONZERO;
    } else if (t->shape == STRING) {
        case_address(g, c, 6, 1);
        case_address(g, c, 7, 1);
        if (opcode[0] == 0xd7) {
            case_address(g, c, 3, 1);
        }
        c->state.gpr[1] = generate_below(g, 40);
        c->state.rflags |= generate_below(g, 3) == 0 ? 0x400 : 0;
    }
    if (t->shape == ENTER) {
        case_byte(c, generate_below(g, 256));
        case_byte(c, generate_below(g, 16) == 0 ? generate_below(g, 256) : 0);
        case_byte(c, generate_below(g, 4) ? generate_below(g, 4) : generate_below(g, 256));
        if (generate_below(g, 4)) {
            c->state.gpr[5] = CASE_STACK - 0x400 + generate_below(g, 256);
        }
    }
    if (t->attr & (SHIFT)) {
        unsigned count = t->attr & COUNT1 ? 1 : t->attr & IMM8 ? generate_below(g, 256) : (uint8_t)c->state.gpr[1];

        if ((t->attr & DOUBLE) && size == 2) {
            count &= 15;
            if (!(t->attr & IMM8)) {
                c->state.gpr[1] = count;
            }
        }
        if (t->attr & IMM8) {
            case_byte(c, count);
        }
        c->undefined |= shift_undefined(t->group, t->attr & DOUBLE, count, size);
    } else if (t->attr & IMM8) {
        add_immediate(g, c, 1);
    } else if (t->attr & IMMZ) {
        add_immediate(g, c, size > 4 ? 4 : size);
    } else if (t->attr & IMMV) {
        add_immediate(g, c, size);
    }
    if (t->shape == BRANCH || t->shape == BRANCH4) {
        /* Over three bytes: XOR RBX, RBX.  CALL lands there too. */
        const uint8_t over[] = { 0x48, 0x31, 0xdb };

        case_byte(c, 3);
        if (t->shape == BRANCH4) {
            case_bytes(c, (const uint8_t[]) { 0, 0, 0 }, 3);
        }
        case_bytes(c, over, sizeof(over));
        c->undefined |= AF;
    }
    c->undefined |= t->undefined;
}

void generate_integer(Generator *g, Case *c, bool compat)
{
    static const unsigned sizes[] = { 1, 2, 4, 8 };
    const Template *t = &templates[generate_below(g, sizeof(templates) / sizeof(templates[0]))];
    unsigned size = sizes[generate_below(g, 4)], prefix = 0;

    if (compat && generate_below(g, 4) == 0) {
        t = &compat_templates[generate_below(g, sizeof(compat_templates) / sizeof(compat_templates[0]))];
    }

    if (t->attr & ONLY8) {
        size = 1;
    } else if (size == 1 && !(t->attr & BYTE)) {
        size = 4;
    }
    if (size == 2 && (t->attr & NO16)) {
        size = 4;
    }
    if (t->attr & STACK) {
        size = size == 2 ? 2 : 8;
    }
    if (compat && size == 8) {
        size = 4;
    }
    if (t->shape == BRANCH || t->shape == BRANCH4) {
        size = 4;
    }
    if ((t->attr & REP) && generate_below(g, 2)) {
        prefix = generate_below(g, 2) ? 0xf3 : 0xf2;
    }
    case_begin(g, c);
    c->state.compat = compat;
    add_instruction(g, c, t, size, prefix);
    for (unsigned i = 0; i < 16 && compat; i++) {
        c->state.gpr[i] = i < 8 ? (uint32_t)c->state.gpr[i] : 0;
    }
    c->address = compat ? (uint32_t)c->address : c->address;
    snprintf(c->text, sizeof(c->text), "%s %02x %02x size %u%s", t->name, t->bytes[0], t->bytes[1], size,
             prefix ? " repeated" : "");
    case_end(c);
}
