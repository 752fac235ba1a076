/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction decoder.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <pthread.h>
#include <string.h>
#include "target/i386/decode.h"

/* What is left of the instruction's bytes. */
typedef struct Cursor {
    const uint8_t *bytes;
    unsigned at, available;
    bool more; /* ran off the end */
} Cursor;

static uint64_t take(Cursor *c, unsigned size)
{
    uint64_t value = 0;

    if (c->at + size > c->available) {
        c->more = true;
        c->at = c->available;
        return 0;
    }
    memcpy(&value, c->bytes + c->at, size);
    c->at += size;
    return value;
}

static int64_t take_signed(Cursor *c, unsigned size)
{
    const uint64_t value = take(c, size);

    return size == 1 ? (int8_t)value : size == 2 ? (int16_t)value : size == 4 ? (int32_t)value : (int64_t)value;
}

static void prefixes(Cursor *c, uint32_t code_flags, X86Insn *insn, bool *has67)
{
    const bool code64 = code_flags & X86_CODE_64;

    for (;;) {
        const uint8_t byte = (uint8_t)take(c, 1);

        switch (c->more ? 0 : byte) {
        case 0x26: case 0x2e: case 0x36: case 0x3e:
            /* In 64-bit mode these segments are what they are without a prefix; a later one still undoes FS or GS. */
            if (!code64) {
                insn->seg_override = (int8_t)(byte >> 3 & 3);
            }
            break;
        case 0x64: case 0x65:
            insn->seg_override = byte == 0x64 ? X86_FS : X86_GS;
            break;
        case 0x66:
            insn->has66 = true;
            break;
        case 0x67:
            *has67 = true;
            break;
        case 0xf0:
            insn->lock = true;
            break;
        case 0xf2:
            insn->rep = X86_REP_F2;
            break;
        case 0xf3:
            insn->rep = X86_REP_F3;
            break;
        default:
            if (code64 && !c->more && (byte & 0xf0) == 0x40) {
                insn->rex = byte;
                continue; /* counts only right before the opcode */
            }
            if (!c->more) {
                c->at--;
            }
            return;
        }
        insn->rex = 0;
    }
}

static void memory16(Cursor *c, X86Insn *insn)
{
    static const struct { uint8_t base, index, seg;
    } forms[8] = {
        { X86_RBX, X86_RSI, X86_DS },      { X86_RBX, X86_RDI, X86_DS },      { X86_RBP, X86_RSI, X86_SS },
        { X86_RBP, X86_RDI, X86_SS },      { X86_RSI, X86_REG_ZERO, X86_DS }, { X86_RDI, X86_REG_ZERO, X86_DS },
        { X86_RBP, X86_REG_ZERO, X86_SS }, { X86_RBX, X86_REG_ZERO, X86_DS },
    };
    const unsigned rm = insn->modrm & 7;

    if (insn->mod == 0 && rm == 6) {
        insn->base = X86_REG_ZERO;
        insn->disp = (int32_t)take_signed(c, 2);
        insn->seg = X86_DS;
        return;
    }
    insn->base = forms[rm].base;
    insn->index = forms[rm].index;
    insn->seg = forms[rm].seg;
    insn->disp = insn->mod == 1 ? (int32_t)take_signed(c, 1) : insn->mod == 2 ? (int32_t)take_signed(c, 2) : 0;
}

/* True: RIP-relative, the end of the instruction is still to be added. */
static bool memory(Cursor *c, uint32_t code_flags, X86Insn *insn)
{
    unsigned base = insn->modrm & 7;
    bool relative = false;

    insn->seg = X86_DS;
    if (base == 4) {
        const uint8_t sib = (uint8_t)take(c, 1);
        const unsigned index = (sib >> 3 & 7) | (insn->rex & 2) << 2;

        base = sib & 7;
        insn->scale = sib >> 6;
        if (index != 4) {
            insn->index = (uint8_t)index;
        }
        insn->base = (uint8_t)(base | (insn->rex & 1) << 3);
        if (base == 5 && insn->mod == 0) {
            insn->base = X86_REG_ZERO;
            insn->disp = (int32_t)take_signed(c, 4);
        }
    } else if (base == 5 && insn->mod == 0) {
        insn->disp = (int32_t)take_signed(c, 4);
        relative = code_flags & X86_CODE_64;
        insn->base = relative ? X86_REG_PAGE : X86_REG_ZERO;
    } else {
        insn->base = (uint8_t)(base | (insn->rex & 1) << 3);
    }
    if (insn->mod == 1) {
        insn->disp = (int32_t)take_signed(c, 1);
    } else if (insn->mod == 2) {
        insn->disp = (int32_t)take_signed(c, 4);
    }
    if (insn->base == X86_RSP || insn->base == X86_RBP) {
        insn->seg = X86_SS;
    }
    return relative;
}

static void immediates(Cursor *c, uint32_t attr, X86Insn *insn)
{
    const unsigned z = insn->opsize == 2 ? 2 : 4;

    if (attr & X86_A_IMM8) {
        insn->imm = take_signed(c, 1);
    } else if (attr & X86_A_IMMZ) {
        insn->imm = take_signed(c, z);
    } else if (attr & X86_A_IMMV) {
        insn->imm = take_signed(c, insn->opsize);
    } else if (attr & X86_A_IMM16) {
        insn->imm = (int64_t)take(c, 2);
    } else if (attr & X86_A_MOFFS) {
        insn->imm = (int64_t)take(c, insn->addrsize);
    } else if (attr & X86_A_FARPTR) {
        insn->imm = (int64_t)take(c, z);
        insn->imm2 = (uint16_t)take(c, 2);
    } else if (attr & X86_A_ENTER) {
        insn->imm = (int64_t)take(c, 2);
        insn->imm2 = (uint16_t)take(c, 1);
    }
}

/* ---- rows of MMX and SSE ----------------------------------------------------------------------------------------- */

/* By map and opcode: 1 + the index of the first row in `order`; rows of one opcode are neighbours. */
static uint16_t sse_first[X86_MAPS][257];
static uint16_t *sse_order;
static pthread_once_t sse_indexed = PTHREAD_ONCE_INIT;

static void sse_index(void)
{
    unsigned n = 0;

    sse_order = g_new(uint16_t, x86_sse_row_count + 1);
    for (unsigned map = 0; map < X86_MAPS; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++) {
            sse_first[map][opcode] = (uint16_t)n;
            for (unsigned i = 0; i < x86_sse_row_count; i++) {
                if (x86_sse_rows[i].map == map && x86_sse_rows[i].opcode == opcode) {
                    sse_order[n++] = (uint16_t)i;
                }
            }
        }
        sse_first[map][256] = (uint16_t)n;
    }
}

static const X86SseRow *find_sse(const X86Cpu *cpu, const X86Insn *insn)
{
    const X86SseRow *best = NULL;

    pthread_once(&sse_indexed, sse_index);
    for (unsigned i = sse_first[insn->map][insn->opcode]; i < sse_first[insn->map][insn->opcode + 1]; i++) {
        const X86SseRow *row = &x86_sse_rows[sse_order[i]];

        if (row->pp != insn->pp || (row->group && row->group != X86_SSE_GROUP(insn->modrm >> 3 & 7)) ||
            ((row->attr & X86_SSE_W) && !(insn->rex & 8)) || (insn->is_mem ? row->mem : row->reg) == NULL ||
            (row->feature & ~cpu->features)) {
            continue;
        }
        if (best == NULL || (row->attr & X86_SSE_W)) {
            best = row;
        }
    }
    return best;
}

/* ---- one instruction --------------------------------------------------------------------------------------------- */

static const X86Row *find_row(const X86Cpu *cpu, X86Insn *insn)
{
    const X86Row *row = x86_sparse_row(cpu, insn);

    if (row != NULL) {
        return row;
    }
    if (insn->map == X86_MAP_1) {
        row = &x86_map_1[insn->opcode];
    } else if (insn->map == X86_MAP_0F) {
        row = &x86_map_0f[insn->opcode];
    }
    if (row != NULL && (row->attr & X86_A_GROUP)) {
        row = &x86_groups[row->arg][insn->modrm >> 3 & 7];
    }
    if (row != NULL && row->translate != NULL) {
        return row;
    }
    if (insn->map != X86_MAP_1) {
        insn->sse = find_sse(cpu, insn);
        if (insn->sse != NULL) {
            return insn->sse->attr & X86_SSE_IMM8 ? &x86_sse_row_imm8
                   : insn->sse->attr & X86_SSE_END ? &x86_sse_row_end : &x86_sse_row;
        }
    }
    return NULL;
}

static bool has_modrm(const X86Insn *insn)
{
    switch (insn->map) {
    case X86_MAP_1:
        return x86_map_1[insn->opcode].attr & X86_A_MODRM;
    case X86_MAP_0F:
        /* What is not in the table is MMX or SSE, of which only EMMS has none. */
        return insn->opcode != 0x77 &&
               (x86_map_0f[insn->opcode].translate == NULL || (x86_map_0f[insn->opcode].attr & X86_A_MODRM));
    default:
        return true;
    }
}

static bool legal(const X86Insn *insn, uint32_t code_flags, uint32_t attr)
{
    const bool code64 = code_flags & X86_CODE_64;

    return !((attr & X86_A_NO64) && code64) && !((attr & X86_A_ONLY64) && !code64) &&
           !((attr & X86_A_MEM) && !insn->is_mem) && !((attr & X86_A_REG) && insn->is_mem) &&
           !((attr & X86_A_PROT) && (code_flags & X86_CODE_REAL)) &&
           !(insn->lock && !((attr & X86_A_LOCK) && insn->is_mem));
}

static unsigned operand_size(const X86Insn *insn, uint32_t code_flags, uint32_t attr)
{
    if (code_flags & X86_CODE_64) {
        if (attr & X86_A_F64) {
            return 8;
        }
        if (attr & X86_A_D64) {
            return insn->has66 && !(insn->rex & 8) ? 2 : 8;
        }
        return insn->rex & 8 ? 8 : insn->has66 ? 2 : 4;
    }
    return insn->has66 != ((code_flags & X86_CODE_32) != 0) ? 4 : 2;
}

X86DecodeResult x86_decode(const X86Cpu *cpu, uint32_t code_flags, const uint8_t *bytes, unsigned available,
                           uint16_t pc_off, X86Insn *insn, const X86Row **row)
{
    Cursor c = { .bytes = bytes, .available = available };
    const bool code64 = code_flags & X86_CODE_64;
    bool has67 = false, relative = false;

    *insn =
        (X86Insn){ .seg_override = -1, .base = X86_REG_ZERO, .index = X86_REG_ZERO, .seg = X86_DS, .pc_off = pc_off };
    prefixes(&c, code_flags, insn, &has67);
    insn->opcode = (uint8_t)take(&c, 1);
    if (insn->opcode == 0x0f && !c.more) {
        insn->map = X86_MAP_0F;
        insn->opcode = (uint8_t)take(&c, 1);
        if (insn->opcode == 0x38 || insn->opcode == 0x3a) {
            insn->map = insn->opcode == 0x38 ? X86_MAP_0F38 : X86_MAP_0F3A;
            insn->opcode = (uint8_t)take(&c, 1);
        }
    }
    insn->pp = insn->rep == X86_REP_F3   ? X86_PP_F3
               : insn->rep == X86_REP_F2 ? X86_PP_F2
               : insn->has66             ? X86_PP_66
                                         : X86_PP_NONE;
    insn->addrsize = code64 ? (has67 ? 4 : 8) : has67 != ((code_flags & X86_CODE_32) != 0) ? 4 : 2;
    if (has_modrm(insn)) {
        insn->modrm = (uint8_t)take(&c, 1);
        insn->mod = insn->modrm >> 6;
        insn->reg = (uint8_t)((insn->modrm >> 3 & 7) | (insn->rex & 4) << 1);
        insn->rm = (uint8_t)((insn->modrm & 7) | (insn->rex & 1) << 3);
        insn->is_mem = insn->mod != 3;
    }
    if (c.more) {
        return available == X86_INSN_MAX ? X86_DECODE_TOO_LONG : X86_DECODE_MORE;
    }
    *row = find_row(cpu, insn);
    if (*row == NULL || !legal(insn, code_flags, (*row)->attr)) {
        return X86_DECODE_UD;
    }
    insn->opsize = (uint8_t)operand_size(insn, code_flags, (*row)->attr);
    if (insn->is_mem && !((*row)->attr & X86_A_NO_MEM)) {
        if (insn->addrsize == 2) {
            memory16(&c, insn);
        } else {
            relative = memory(&c, code_flags, insn);
        }
    } else {
        insn->is_mem = false;
    }
    if (insn->seg_override >= 0) {
        insn->seg = (uint8_t)insn->seg_override;
    }
    immediates(&c, (*row)->attr, insn);
    if (c.more) {
        return available == X86_INSN_MAX ? X86_DECODE_TOO_LONG : X86_DECODE_MORE;
    }
    insn->len = (uint8_t)c.at;
    if (relative) {
        const int64_t disp = (int64_t)insn->disp + pc_off + insn->len;

        /* A displacement so near to 2 GiB that it does not fit when counted from the page: no program has one. */
        if (disp != (int32_t)disp) {
            return X86_DECODE_UD;
        }
        insn->disp = (int32_t)disp;
    }
    return X86_DECODE_OK;
}
