/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: system instructions, x87, MMX and SSE.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

/* ---- system ------------------------------------------------------------------------------------------------------ */

/* The instruction after STI runs before any interrupt: it is in the block, or STI says so (aux). */
void x86_tr_sti(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit(t, insn, x86_op_sti)->aux = t->last;
    t->ended = t->last;
}

/* IN and OUT; arg: whether the size is a byte */
void x86_tr_port(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, row->fn);

    op->aux = row->attr & X86_A_BYTE ? 1 : insn->opsize == 2 ? 2 : 4;
    op->imm = (uint8_t)insn->imm;
    t->ended = true;
}

/* PUSH and POP of a segment register; arg: its number */
void x86_tr_segment_push(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, row->fn);

    op->reg = (uint8_t)row->arg;
    op->aux = insn->opsize;
    t->ended = row->attr & X86_A_END;
}

void x86_tr_load_far(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit_ea_op(t, insn, insn->opsize + 2u, X86_READ, x86_op_load_far);

    op->reg = insn->reg;
    op->rm = (uint8_t)row->arg;
    op->aux = insn->opsize;
    t->ended = true;
}

void x86_tr_far_imm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, row->fn);

    op->disp = (int32_t)insn->imm;
    op->imm = insn->imm2;
    op->aux = insn->opsize;
    t->ended = true;
}

void x86_tr_far_m(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit_ea_op(t, insn, insn->opsize + 2u, X86_READ, row->fn)->aux = insn->opsize;
    t->ended = true;
}

void x86_tr_ret_far(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_set_operands(x86_emit(t, insn, row->fn), insn);
    t->ended = true;
}

void x86_tr_int(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit(t, insn, row->fn)->imm = (uint8_t)insn->imm;
    t->ended = true;
}

/* 63 is MOVSXD in 64-bit mode and ARPL elsewhere. */
void x86_tr_arpl_movsxd(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    static const X86Row arpl = { NULL, 0, 2 | 256, x86_op_arpl_r, x86_op_arpl_m };

    if (t->code_flags & X86_CODE_64) {
        x86_tr_movx(t, insn, row);
        return;
    }
    t->known = X86_KNOWN_NONE;
    if (t->code_flags & X86_CODE_REAL) {
        x86_emit_raise(t, insn, X86_EXC_UD);
    } else {
        x86_tr_rm(t, insn, &arpl);
    }
}

void x86_tr_mov_from_seg(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    static const X86Row mov = { NULL, 0, 2 | 256, x86_op_mov_from_seg_r, x86_op_mov_from_seg_m };

    if ((insn->reg & 7) >= X86_SEGMENTS) {
        x86_emit_raise(t, insn, X86_EXC_UD);
        return;
    }
    x86_tr_rm(t, insn, &mov);
    t->ops[t->count - 1].reg &= 7;
}

void x86_tr_mov_to_seg(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    static const X86Row mov = { NULL, X86_A_END, 2, x86_op_mov_to_seg_r, x86_op_mov_to_seg_m };

    if ((insn->reg & 7) >= X86_SEGMENTS || (insn->reg & 7) == X86_CS) {
        x86_emit_raise(t, insn, X86_EXC_UD);
        return;
    }
    x86_tr_rm(t, insn, &mov);
    t->ops[t->count - 1].reg &= 7;
}

/* 0F 01: by ModRM.reg with memory, by all of ModRM without */
void x86_tr_group7(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    static const X86Row memory[8] = {
        { NULL, X86_A_END, 6 | 256, x86_op_sgdt }, { NULL, X86_A_END, 6 | 256, x86_op_sidt },
        { NULL, X86_A_END, 6, x86_op_lgdt }, { NULL, X86_A_END, 6, x86_op_lidt }, /* 10 where nothing has a limit */
        { NULL, X86_A_END, 2 | 256, x86_op_smsw_m }, { NULL }, { NULL, X86_A_END, 2, x86_op_lmsw_m },
        { NULL, X86_A_END, 1, x86_op_invlpg },
    };
    static const struct { uint8_t modrm; bool only64; uint32_t feature; X86Fn *fn; } registers[] = {
        { 0xc8, false, 0, x86_op_monitor }, { 0xc9, false, 0, x86_op_mwait },
        { 0xca, false, X86_FEAT_SMAP, x86_op_clac }, { 0xcb, false, X86_FEAT_SMAP, x86_op_stac },
        { 0xd0, false, X86_FEAT_XSAVE, x86_op_xgetbv }, { 0xd1, false, X86_FEAT_XSAVE, x86_op_xsetbv },
        { 0xf8, true, 0, x86_op_swapgs }, { 0xf9, false, X86_FEAT_RDTSCP, x86_op_rdtscp },
    };
    const unsigned group = insn->modrm >> 3 & 7;
    X86Row one = { NULL, X86_A_END };

    if (insn->is_mem) {
        one = memory[group];
    } else if (group == 4 || group == 6) {
        one.fn = group == 4 ? x86_op_smsw_r : x86_op_lmsw_r;
    } else {
        for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
            if (registers[i].modrm == insn->modrm && !(registers[i].feature & ~t->cpu->features) &&
                !(registers[i].only64 && !(t->code_flags & X86_CODE_64))) {
                one.fn = registers[i].fn;
            }
        }
    }
    if (one.fn == NULL) {
        x86_emit_raise(t, insn, X86_EXC_UD);
    } else if (insn->is_mem) {
        x86_tr_ea(t, insn, &one);
    } else {
        x86_tr_simple(t, insn, &one);
    }
}

void x86_tr_random(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_op_rdrand);

    op->reg = insn->rm;
    op->aux = insn->opsize;
}

/* ---- x87, MMX, SSE ----------------------------------------------------------------------------------------------- */

/* Puts the address of an operand described as in X86SseRow into cpu->ea. */
static void emit_operand(X86Translation *t, const X86Insn *insn, unsigned operand)
{
    unsigned size = operand & X86_OPERAND_BYTES;

    if (operand & X86_OPERAND_GENERAL) {
        size = insn->opsize == 8 ? 8 : 4;
    } else if ((operand & X86_OPERAND_WIDE) && insn->opsize != 2) {
        size += 14;
    }
    x86_emit_ea(t, insn, size, operand & X86_OPERAND_WRITE ? X86_WRITE : X86_READ);
}

/* True: the instruction raises an exception whatever it is. */
static bool unavailable(X86Translation *t, const X86Insn *insn, bool wait)
{
    if (wait ? (t->code_flags & X86_CODE_MP) && (t->code_flags & X86_CODE_TS)
             : t->code_flags & (X86_CODE_EM | X86_CODE_TS)) {
        x86_emit_raise(t, insn, X86_EXC_NM);
        return true;
    }
    return false;
}

void x86_tr_fwait(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    if (!unavailable(t, insn, true)) {
        x86_emit(t, insn, x86_op_fwait);
    }
}

void x86_tr_x87(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned escape = insn->opcode & 7;
    X86Fn *fn = insn->is_mem ? x86_x87_mem[escape][insn->modrm >> 3 & 7] : x86_x87_reg[escape][insn->modrm & 0x3f];
    X86Op *op;

    if (unavailable(t, insn, false)) {
        return;
    }
    if (fn == NULL) {
        x86_emit_raise(t, insn, X86_EXC_UD);
        return;
    }
    if (insn->is_mem) {
        emit_operand(t, insn, x86_x87_operand[escape][insn->modrm >> 3 & 7]);
    }
    op = x86_emit(t, insn, fn);
    op->reg = insn->modrm >> 3 & 7;
    op->rm = insn->modrm & 7;
    op->aux = insn->opsize;
    op->imm = (int32_t)(escape << 8 | insn->modrm);
}

void x86_tr_sse(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const X86SseRow *sse = insn->sse;
    X86Op *op;

    if (!(sse->attr & X86_SSE_ANY)) {
        if ((t->code_flags & X86_CODE_EM) || (!(sse->attr & X86_SSE_MMX) && (t->code_flags & X86_CODE_NOSSE))) {
            x86_emit_raise(t, insn, X86_EXC_UD);
            return;
        }
        if (t->code_flags & X86_CODE_TS) {
            x86_emit_raise(t, insn, X86_EXC_NM);
            return;
        }
    }
    if (insn->is_mem) {
        emit_operand(t, insn, sse->operand);
    } else if (insn->map == X86_MAP_0F && insn->opcode == 0xf7) {
        X86Insn implied = *insn; /* MASKMOVDQU, MASKMOVQ: DS:[RDI] */

        implied.base = X86_RDI;
        emit_operand(t, &implied, sse->operand);
    }
    op = x86_emit(t, insn, insn->is_mem ? sse->mem : sse->reg);
    op->reg = insn->reg;
    op->rm = insn->rm;
    op->aux = insn->opsize;
    op->imm = (uint8_t)insn->imm;
    t->ended = sse->attr & X86_SSE_END;
}
