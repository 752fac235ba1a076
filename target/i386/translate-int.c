/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: arithmetic, moves, strings.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

/* ---- operands ---------------------------------------------------------------------------------------------------- */

unsigned x86_insn_size(const X86Insn *insn, const X86Row *row)
{
    return row->attr & X86_A_BYTE ? 1 : insn->opsize;
}

uint8_t x86_reg_operand(const X86Insn *insn, unsigned n, unsigned size)
{
    if (size != 1) {
        return (uint8_t)n;
    }
    return insn->rex || n < 4 ? (uint8_t)(n * 8) : (uint8_t)((n - 4) * 8 + 1);
}

unsigned x86_low_register(const X86Insn *insn)
{
    return (insn->opcode & 7) | (insn->rex & 1) << 3;
}

void x86_set_address(X86Op *op, const X86Insn *insn)
{
    op->base = insn->base;
    op->index = insn->index;
    op->rm = insn->scale;
    op->disp = insn->disp;
}

/*
 * An operation on INSN's memory operand by the handler of FNS ([X86_EAS]) for its address; a missing one (NULL) and
 * addresses that need it are computed by an operation before.
 */
static X86Op *emit_mem(X86Translation *t, const X86Insn *insn, X86Fn *const fns[X86_EAS], unsigned size,
                       X86Access access)
{
    unsigned form = X86_EA;
    X86Op *op;

    if ((t->code_flags & X86_CODE_64) && insn->addrsize == 8 && insn->seg < X86_FS) {
        form = insn->index == X86_REG_ZERO ? X86_BD : X86_BIS;
        if (fns[form] == NULL) {
            form = X86_EA;
        }
    }
    if (form == X86_EA) {
        x86_emit_ea(t, insn, size, access);
        return x86_emit(t, insn, fns[X86_EA]);
    }
    op = x86_emit(t, insn, fns[form]);
    x86_set_address(op, insn);
    return op;
}

X86Op *x86_emit_ea_op(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access, X86Fn *fn)
{
    x86_emit_ea(t, insn, size, access);
    return x86_emit(t, insn, fn);
}

X86Op *x86_emit_reg_rm(X86Translation *t, const X86Insn *insn, unsigned size, X86Fn *rr, X86Fn *rm)
{
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, size, X86_READ, rm);
    } else {
        op = x86_emit(t, insn, rr);
        op->rm = x86_reg_operand(insn, insn->rm, size);
    }
    op->reg = insn->reg;
    return op;
}

/* ---- two operands ------------------------------------------------------------------------------------------------ */

static void know(X86Translation *t, unsigned alu)
{
    if (t->flags_dead) {
        t->known = X86_KNOWN_NONE;
    } else if (alu == X86_ALU_SUB || alu == X86_ALU_CMP) {
        t->known = X86_KNOWN_SUB;
    } else if (alu == X86_ALU_AND || alu == X86_ALU_OR || alu == X86_ALU_XOR || alu == X86_ALU_TEST) {
        t->known = X86_KNOWN_LOGIC;
    } else {
        t->known = X86_KNOWN_RESULT;
    }
}

static X86Access access_of(unsigned alu)
{
    return alu == X86_ALU_CMP || alu == X86_ALU_TEST ? X86_READ : X86_WRITE;
}

void x86_tr_alu_rm_r(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned alu = row->arg, size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_rr[alu][s][t->flags_dead]);
        op->reg = x86_reg_operand(insn, insn->rm, size);
        op->rm = x86_reg_operand(insn, insn->reg, size);
    } else if (insn->lock) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, x86_alu_lmr[alu][s]);
        op->reg = x86_reg_operand(insn, insn->reg, size);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_alu_mr[X86_BD][alu][s][t->flags_dead], x86_alu_mr[X86_BIS][alu][s][t->flags_dead],
            x86_alu_mr[X86_EA][alu][s][t->flags_dead],
        };

        op = emit_mem(t, insn, fns, size, access_of(alu));
        op->reg = x86_reg_operand(insn, insn->reg, size);
    }
    know(t, alu);
}

void x86_tr_alu_r_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned alu = row->arg, size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_rr[alu][s][t->flags_dead]);
        op->rm = x86_reg_operand(insn, insn->rm, size);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_alu_rm[X86_BD][alu][s][t->flags_dead], x86_alu_rm[X86_BIS][alu][s][t->flags_dead],
            x86_alu_rm[X86_EA][alu][s][t->flags_dead],
        };

        op = emit_mem(t, insn, fns, size, X86_READ);
    }
    op->reg = x86_reg_operand(insn, insn->reg, size);
    know(t, alu);
}

void x86_tr_alu_acc_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(x86_insn_size(insn, row));
    X86Op *op = x86_emit(t, insn, x86_alu_ri[row->arg][s][t->flags_dead]);

    op->imm = (int32_t)insn->imm;
    know(t, row->arg);
}

void x86_tr_alu_rm_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned alu = row->arg, size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_ri[alu][s][t->flags_dead]);
        op->reg = x86_reg_operand(insn, insn->rm, size);
    } else if (insn->lock) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, x86_alu_lmi[alu][s]);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_alu_mi[X86_BD][alu][s][t->flags_dead], x86_alu_mi[X86_BIS][alu][s][t->flags_dead],
            x86_alu_mi[X86_EA][alu][s][t->flags_dead],
        };

        op = emit_mem(t, insn, fns, size, access_of(alu));
    }
    op->imm = (int32_t)insn->imm;
    know(t, alu);
}

/* ---- one operand, shifts, multiplication ------------------------------------------------------------------------- */

void x86_tr_unary(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);

    if (!insn->is_mem) {
        x86_emit(t, insn, x86_unary_r[row->arg][s][t->flags_dead])->reg = x86_reg_operand(insn, insn->rm, size);
    } else {
        x86_emit_ea_op(t, insn, size, X86_WRITE, insn->lock ? x86_unary_lm[row->arg][s] : x86_unary_m[row->arg][s]);
    }
    if (row->arg != X86_UN_NOT) {
        t->known = t->flags_dead ? X86_KNOWN_NONE : row->arg == X86_UN_NEG ? X86_KNOWN_SUB : X86_KNOWN_RESULT;
    }
}

/* INC and DEC of opcodes 40 to 4F */
void x86_tr_unary_low(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_unary_r[row->arg][x86_size_index(insn->opsize)][t->flags_dead]);

    op->reg = (uint8_t)x86_low_register(insn);
    t->known = t->flags_dead ? X86_KNOWN_NONE : X86_KNOWN_RESULT;
}

static void shift(X86Translation *t, const X86Insn *insn, const X86Row *row, bool by_cl, unsigned count)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size), kind = row->arg;
    X86Op *op;

    if (!insn->is_mem) {
        const bool plain = !by_cl && t->flags_dead && kind >= 4 && (count & (size == 8 ? 63 : 31)) != 0;

        op = x86_emit(t, insn, plain ? x86_shift_ri_nf[kind == 7 ? 2 : kind == 5 ? 1 : 0][s] : x86_shift_r[kind][s]);
        op->reg = x86_reg_operand(insn, insn->rm, size);
        count &= size == 8 ? 63 : 31;
    } else {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, x86_shift_m[kind][s]);
    }
    op->aux = by_cl;
    op->imm = (int32_t)count;
}

void x86_tr_shift_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    shift(t, insn, row, false, (uint8_t)insn->imm);
}

void x86_tr_shift_1(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    shift(t, insn, row, false, 1);
}

void x86_tr_shift_cl(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    shift(t, insn, row, true, 0);
}

static void double_shift(X86Translation *t, const X86Insn *insn, const X86Row *row, bool by_cl)
{
    const unsigned s = x86_size_index(insn->opsize);
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, insn->opsize, X86_WRITE, x86_shxd_m[row->arg][s]);
    } else {
        op = x86_emit(t, insn, x86_shxd_r[row->arg][s]);
        op->rm = insn->rm;
    }
    op->reg = insn->reg;
    op->aux = by_cl;
    op->imm = (int32_t)insn->imm;
}

void x86_tr_shxd_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    double_shift(t, insn, row, false);
}

void x86_tr_shxd_cl(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    double_shift(t, insn, row, true);
}

void x86_tr_muldiv(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);

    if (insn->is_mem) {
        x86_emit_ea_op(t, insn, size, X86_READ, x86_muldiv_m[row->arg - 4][s]);
    } else {
        x86_emit(t, insn, x86_muldiv_r[row->arg - 4][s])->reg = x86_reg_operand(insn, insn->rm, size);
    }
}

void x86_tr_imul(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);

    x86_emit_reg_rm(t, insn, insn->opsize, t->flags_dead ? x86_imul_rr_nf[s] : x86_imul_rr[s], x86_imul_rm[s]);
}

void x86_tr_imul_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);

    X86Fn *const rri = t->flags_dead ? x86_imul_rri_nf[s] : x86_imul_rri[s];

    x86_emit_reg_rm(t, insn, insn->opsize, rri, x86_imul_rmi[s])->imm = (int32_t)insn->imm;
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

void x86_tr_mov_rm_r(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_rr[s]);
        op->reg = x86_reg_operand(insn, insn->rm, size);
        op->rm = x86_reg_operand(insn, insn->reg, size);
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_mr[X86_BD][s], x86_mov_mr[X86_BIS][s], x86_mov_mr[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_WRITE)->reg = x86_reg_operand(insn, insn->reg, size);
    }
}

void x86_tr_mov_r_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_rr[s]);
        op->reg = x86_reg_operand(insn, insn->reg, size);
        op->rm = x86_reg_operand(insn, insn->rm, size);
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_rm[X86_BD][s], x86_mov_rm[X86_BIS][s], x86_mov_rm[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_READ)->reg = x86_reg_operand(insn, insn->reg, size);
    }
}

void x86_tr_mov_rm_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_ri[s]);
        op->reg = x86_reg_operand(insn, insn->rm, size);
        op->imm64 = (uint64_t)insn->imm;
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_mi[X86_BD][s], x86_mov_mi[X86_BIS][s], x86_mov_mi[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_WRITE)->imm = (int32_t)insn->imm;
    }
}

void x86_tr_mov_low_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row);
    X86Op *op = x86_emit(t, insn, x86_mov_ri[x86_size_index(size)]);

    op->reg = x86_reg_operand(insn, x86_low_register(insn), size);
    op->imm64 = (uint64_t)insn->imm;
}

/* The operand at a 16- to 64-bit offset of the instruction. */
static X86Op *emit_moffs(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access, X86Fn *fn)
{
    X86Insn at = *insn;

    if (insn->addrsize == 8) {
        /* No operation has room for a displacement of 64 bits: the address comes as a number, then the segment. */
        X86Op *op = x86_emit(t, insn, x86_op_ea_imm64);

        op->imm64 = (uint64_t)insn->imm;
        op->aux = insn->seg;
    } else {
        at.disp = (int32_t)insn->imm;
        x86_emit_ea(t, &at, size, access);
    }
    return x86_emit(t, insn, fn);
}

void x86_tr_mov_acc_moffs(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row);

    emit_moffs(t, insn, size, X86_READ, x86_mov_rm[X86_EA][x86_size_index(size)]);
}

void x86_tr_mov_moffs_acc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = x86_insn_size(insn, row);

    emit_moffs(t, insn, size, X86_WRITE, x86_mov_mr[X86_EA][x86_size_index(size)]);
}

void x86_tr_movx(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned sign = row->arg & 1, from = row->arg >> 1, s = x86_size_index(insn->opsize);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_movx_rr[sign][from][s]);
        op->rm = x86_reg_operand(insn, insn->rm, 1u << from);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_movx_rm[X86_BD][sign][from][s], x86_movx_rm[X86_BIS][sign][from][s], x86_movx_rm[X86_EA][sign][from][s],
        };

        op = emit_mem(t, insn, fns, 1u << from, X86_READ);
    }
    op->reg = insn->reg;
}

void x86_tr_lea(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op;

    if ((t->code_flags & X86_CODE_64) && insn->addrsize == 8) {
        op = x86_emit(t, insn, x86_lea[insn->index == X86_REG_ZERO ? X86_BD : X86_BIS][x86_size_index(insn->opsize)]);
    } else {
        op = x86_emit(t, insn, x86_op_lea_general);
        op->aux = insn->opsize;
        op->imm = insn->addrsize;
    }
    x86_set_address(op, insn);
    op->reg = insn->reg;
}

/* ---- strings and the rest ---------------------------------------------------------------------------------------- */

void x86_tr_string(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, row->fn);
    const bool port = row->fn == x86_op_ins || row->fn == x86_op_outs;
    const unsigned size = x86_insn_size(insn, row);

    op->aux = (uint8_t)(port && size == 8 ? 4 : size);
    op->rm = insn->seg;
    op->base = insn->addrsize;
    op->index = insn->rep;
}

void x86_tr_xlat(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_op_ea_xlat);

    op->reg = insn->addrsize;
    op->aux = insn->seg;
    x86_emit(t, insn, x86_op_xlat);
}

void x86_tr_bound(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit_ea_op(t, insn, 2u * insn->opsize, X86_READ, x86_op_bound);

    op->reg = insn->reg;
    op->aux = insn->opsize;
}

void x86_set_operands(X86Op *op, const X86Insn *insn)
{
    op->reg = insn->reg;
    op->rm = insn->rm;
    op->aux = insn->opsize;
    op->imm = (int32_t)insn->imm;
}

void x86_tr_simple(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_set_operands(x86_emit(t, insn, row->fn), insn);
    t->ended = row->attr & X86_A_END;
}

void x86_tr_ea(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit_ea_op(t, insn, row->arg & 0xff ? row->arg & 0xff : insn->opsize,
                               row->arg & 256 ? X86_WRITE : X86_READ, row->fn);

    x86_set_operands(op, insn);
    t->ended = row->attr & X86_A_END;
}

void x86_tr_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    if (insn->is_mem) {
        const X86Row memory = { NULL, row->attr, row->arg, row->fn_mem };

        x86_tr_ea(t, insn, &memory);
    } else {
        x86_tr_simple(t, insn, row);
    }
}

/* Takes no operation at all. */
void x86_tr_nop(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
}

void x86_tr_ud(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit_raise(t, insn, X86_EXC_UD);
}
