/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: integer and system instructions.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static unsigned size_of(const X86Insn *insn, const X86Row *row)
{
    return row->attr & X86_A_BYTE ? 1 : insn->opsize;
}

/* How an operation names general register N as an operand of SIZE bytes. */
static uint8_t reg(const X86Insn *insn, unsigned n, unsigned size)
{
    if (size != 1) {
        return (uint8_t)n;
    }
    return insn->rex || n < 4 ? (uint8_t)(n * 8) : (uint8_t)((n - 4) * 8 + 1);
}

/* The register in the opcode's low bits. */
static unsigned low(const X86Insn *insn)
{
    return (insn->opcode & 7) | (insn->rex & 1) << 3;
}

static void set_address(X86Op *op, const X86Insn *insn)
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
    set_address(op, insn);
    return op;
}

X86Op *x86_emit_ea_op(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access, X86Fn *fn)
{
    x86_emit_ea(t, insn, size, access);
    return x86_emit(t, insn, fn);
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
    const unsigned alu = row->arg, size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_rr[alu][s][t->flags_dead]);
        op->reg = reg(insn, insn->rm, size);
        op->rm = reg(insn, insn->reg, size);
    } else if (insn->lock) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, x86_alu_lmr[alu][s]);
        op->reg = reg(insn, insn->reg, size);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_alu_mr[X86_BD][alu][s][t->flags_dead], x86_alu_mr[X86_BIS][alu][s][t->flags_dead],
            x86_alu_mr[X86_EA][alu][s][t->flags_dead],
        };

        op = emit_mem(t, insn, fns, size, access_of(alu));
        op->reg = reg(insn, insn->reg, size);
    }
    know(t, alu);
}

void x86_tr_alu_r_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned alu = row->arg, size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_rr[alu][s][t->flags_dead]);
        op->rm = reg(insn, insn->rm, size);
    } else {
        X86Fn *const fns[X86_EAS] = {
            x86_alu_rm[X86_BD][alu][s][t->flags_dead], x86_alu_rm[X86_BIS][alu][s][t->flags_dead],
            x86_alu_rm[X86_EA][alu][s][t->flags_dead],
        };

        op = emit_mem(t, insn, fns, size, X86_READ);
    }
    op->reg = reg(insn, insn->reg, size);
    know(t, alu);
}

void x86_tr_alu_acc_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(size_of(insn, row));
    X86Op *op = x86_emit(t, insn, x86_alu_ri[row->arg][s][t->flags_dead]);

    op->imm = (int32_t)insn->imm;
    know(t, row->arg);
}

void x86_tr_alu_rm_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned alu = row->arg, size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_alu_ri[alu][s][t->flags_dead]);
        op->reg = reg(insn, insn->rm, size);
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
    const unsigned size = size_of(insn, row), s = x86_size_index(size);

    if (!insn->is_mem) {
        x86_emit(t, insn, x86_unary_r[row->arg][s][t->flags_dead])->reg = reg(insn, insn->rm, size);
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
    x86_emit(t, insn, x86_unary_r[row->arg][x86_size_index(insn->opsize)][t->flags_dead])->reg = (uint8_t)low(insn);
    t->known = t->flags_dead ? X86_KNOWN_NONE : X86_KNOWN_RESULT;
}

static void shift(X86Translation *t, const X86Insn *insn, const X86Row *row, bool by_cl, unsigned count)
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size), kind = row->arg;
    X86Op *op;

    if (!insn->is_mem) {
        const bool plain = !by_cl && t->flags_dead && kind >= 4 && (count & (size == 8 ? 63 : 31)) != 0;

        op = x86_emit(t, insn, plain ? x86_shift_ri_nf[kind == 7 ? 2 : kind == 5 ? 1 : 0][s] : x86_shift_r[kind][s]);
        op->reg = reg(insn, insn->rm, size);
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
    const unsigned size = size_of(insn, row), s = x86_size_index(size);

    if (insn->is_mem) {
        x86_emit_ea_op(t, insn, size, X86_READ, x86_muldiv_m[row->arg - 4][s]);
    } else {
        x86_emit(t, insn, x86_muldiv_r[row->arg - 4][s])->reg = reg(insn, insn->rm, size);
    }
}

/* An operation with a register destination and a register or memory source. */
static X86Op *reg_from_rm(X86Translation *t, const X86Insn *insn, unsigned size, X86Fn *rr, X86Fn *rm)
{
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, size, X86_READ, rm);
    } else {
        op = x86_emit(t, insn, rr);
        op->rm = reg(insn, insn->rm, size);
    }
    op->reg = insn->reg;
    return op;
}

void x86_tr_imul(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);

    reg_from_rm(t, insn, insn->opsize, x86_imul_rr[s], x86_imul_rm[s]);
}

void x86_tr_imul_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);

    reg_from_rm(t, insn, insn->opsize, x86_imul_rri[s], x86_imul_rmi[s])->imm = (int32_t)insn->imm;
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

void x86_tr_mov_rm_r(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_rr[s]);
        op->reg = reg(insn, insn->rm, size);
        op->rm = reg(insn, insn->reg, size);
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_mr[X86_BD][s], x86_mov_mr[X86_BIS][s], x86_mov_mr[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_WRITE)->reg = reg(insn, insn->reg, size);
    }
}

void x86_tr_mov_r_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_rr[s]);
        op->reg = reg(insn, insn->reg, size);
        op->rm = reg(insn, insn->rm, size);
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_rm[X86_BD][s], x86_mov_rm[X86_BIS][s], x86_mov_rm[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_READ)->reg = reg(insn, insn->reg, size);
    }
}

void x86_tr_mov_rm_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_mov_ri[s]);
        op->reg = reg(insn, insn->rm, size);
        op->imm64 = (uint64_t)insn->imm;
    } else {
        X86Fn *const fns[X86_EAS] = { x86_mov_mi[X86_BD][s], x86_mov_mi[X86_BIS][s], x86_mov_mi[X86_EA][s] };

        emit_mem(t, insn, fns, size, X86_WRITE)->imm = (int32_t)insn->imm;
    }
}

void x86_tr_mov_low_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row);
    X86Op *op = x86_emit(t, insn, x86_mov_ri[x86_size_index(size)]);

    op->reg = reg(insn, low(insn), size);
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
    const unsigned size = size_of(insn, row);

    emit_moffs(t, insn, size, X86_READ, x86_mov_rm[X86_EA][x86_size_index(size)]);
}

void x86_tr_mov_moffs_acc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row);

    emit_moffs(t, insn, size, X86_WRITE, x86_mov_mr[X86_EA][x86_size_index(size)]);
}

void x86_tr_movx(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned sign = row->arg & 1, from = row->arg >> 1, s = x86_size_index(insn->opsize);
    X86Op *op;

    if (!insn->is_mem) {
        op = x86_emit(t, insn, x86_movx_rr[sign][from][s]);
        op->rm = reg(insn, insn->rm, 1u << from);
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
    set_address(op, insn);
    op->reg = insn->reg;
}

void x86_tr_xchg(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, x86_xchg_mr[s]);
    } else {
        op = x86_emit(t, insn, x86_xchg_rr[s]);
        op->rm = reg(insn, insn->rm, size);
    }
    op->reg = reg(insn, insn->reg, size);
}

void x86_tr_xchg_acc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_xchg_rr[x86_size_index(insn->opsize)]);

    op->reg = X86_RAX;
    op->rm = (uint8_t)low(insn);
}

/* 90: NOP, PAUSE, or XCHG with R8 */
void x86_tr_nop90(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    if (insn->rex & 1) {
        x86_tr_xchg_acc(t, insn, row);
    } else if (insn->rep == X86_REP_F3 && t->cpu->count > 1) {
        x86_emit(t, insn, x86_op_pause);
    }
}

static void exchange(X86Translation *t, const X86Insn *insn, const X86Row *row, X86Fn *const rr[], X86Fn *const mr[])
{
    const unsigned size = size_of(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, mr[s]);
    } else {
        op = x86_emit(t, insn, rr[s]);
        op->rm = reg(insn, insn->rm, size);
    }
    op->reg = reg(insn, insn->reg, size);
}

void x86_tr_xadd(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    exchange(t, insn, row, x86_xadd_rr, x86_xadd_mr);
}

void x86_tr_cmpxchg(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    exchange(t, insn, row, x86_cmpxchg_rr, x86_cmpxchg_mr);
    t->known = X86_KNOWN_SUB;
}

void x86_tr_cmpxchg8b(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    if (!(insn->rex & 8)) {
        x86_emit_ea_op(t, insn, 8, X86_WRITE, x86_op_cmpxchg8b);
    } else if (t->cpu->features & X86_FEAT_CX16) {
        x86_emit_ea_op(t, insn, 16, X86_WRITE, x86_op_cmpxchg16b);
    } else {
        x86_emit_raise(t, insn, X86_EXC_UD);
    }
}

/* ---- stack ------------------------------------------------------------------------------------------------------- */

void x86_tr_push_low(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_push_r64 : x86_op_push_r);

    op->reg = (uint8_t)low(insn);
    op->aux = insn->opsize;
}

void x86_tr_pop_low(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_pop_r64 : x86_op_pop_r);

    op->reg = (uint8_t)low(insn);
    op->aux = insn->opsize;
}

void x86_tr_push_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_push_i64 : x86_op_push_i);

    op->imm = (int32_t)insn->imm;
    op->aux = insn->opsize;
}

void x86_tr_push_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, insn->opsize, X86_READ, x86_op_push_m);
    } else {
        op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_push_r64 : x86_op_push_r);
        op->reg = insn->rm;
    }
    op->aux = insn->opsize;
}

void x86_tr_pop_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op;

    if (insn->is_mem) {
        X86Insn at = *insn;

        /* The address is computed after RSP was incremented. */
        if (at.base == X86_RSP) {
            at.disp += insn->opsize;
        }
        op = x86_emit_ea_op(t, &at, insn->opsize, X86_WRITE, x86_op_pop_m);
    } else {
        op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_pop_r64 : x86_op_pop_r);
        op->reg = insn->rm;
    }
    op->aux = insn->opsize;
}

void x86_tr_enter(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_op_enter);

    op->imm = (int32_t)insn->imm;
    op->rm = (uint8_t)insn->imm2;
    op->aux = insn->opsize;
}

void x86_tr_leave(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit(t, insn, insn->opsize == 8 ? x86_op_leave64 : x86_op_leave_stack)->aux = insn->opsize;
}

/* ---- branches ---------------------------------------------------------------------------------------------------- */

/* A comparison of registers right before that can branch itself; NULL: none. */
static X86Fn *fused(const X86Op *op, unsigned condition)
{
    for (unsigned s = 0; s < X86_SIZES; s++) {
        if (op->fn == x86_alu_rr[X86_ALU_CMP][s][0]) {
            return x86_cmp_rr_jcc[s][condition];
        }
        if (op->fn == x86_alu_ri[X86_ALU_CMP][s][0]) {
            return x86_cmp_ri_jcc[s][condition];
        }
        if (op->fn == x86_alu_rr[X86_ALU_TEST][s][0]) {
            return x86_test_rr_jcc[s][condition];
        }
        if (op->fn == x86_alu_ri[X86_ALU_TEST][s][0]) {
            return x86_test_ri_jcc[s][condition];
        }
    }
    return NULL;
}

void x86_tr_jcc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned condition = insn->opcode & 15;

    if (t->previous_op + 1 == t->count && t->insn_op == t->count) {
        X86Op *previous = &t->ops[t->previous_op];
        X86Fn *fn = fused(previous, condition);

        if (fn != NULL) {
            previous->fn = fn;
            x86_add_exit(t, insn, t->previous_op);
            return;
        }
    }
    x86_emit(t, insn, x86_jcc[t->known][condition])->aux = (uint8_t)condition;
    x86_add_exit(t, insn, t->count - 1);
}

void x86_tr_loop(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_op_loop);

    op->rm = insn->opcode & 3;
    op->aux = insn->addrsize;
    x86_add_exit(t, insn, t->count - 1);
}

void x86_tr_jmp(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit_jump(t, insn);
}

void x86_tr_call(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op;

    if (insn->opsize == 8) {
        const int64_t to = (int64_t)insn->pc_off + insn->len + insn->imm;

        if (to >= 0 && to < (int64_t)X86_PAGE) {
            x86_emit(t, insn, x86_op_call64);
            x86_emit_jump(t, insn);
            return;
        }
        op = x86_emit(t, insn, x86_op_call64_page);
    } else {
        op = x86_emit(t, insn, x86_op_call);
    }
    op->disp = (int32_t)insn->imm;
    op->aux = insn->opsize;
    t->ended = true;
}

void x86_tr_ret(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_ret64 : x86_op_ret);

    op->imm = (int32_t)insn->imm;
    op->aux = insn->opsize;
    t->ended = true;
}

static void branch_rm(X86Translation *t, const X86Insn *insn, X86Fn *r64, X86Fn *ea64, X86Fn *r, X86Fn *ea)
{
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, insn->opsize, X86_READ, insn->opsize == 8 ? ea64 : ea);
    } else {
        op = x86_emit(t, insn, insn->opsize == 8 ? r64 : r);
        op->reg = insn->rm;
    }
    op->aux = insn->opsize;
    t->ended = true;
}

void x86_tr_jmp_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    branch_rm(t, insn, x86_op_jmp_r64, x86_op_jmp_ea64, x86_op_jmp_r, x86_op_jmp_ea);
}

void x86_tr_call_rm(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    branch_rm(t, insn, x86_op_call_r64, x86_op_call_ea64, x86_op_call_r, x86_op_call_ea);
}

void x86_tr_setcc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned condition = insn->opcode & 15;
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, 1, X86_WRITE, x86_op_setcc_m);
    } else {
        op = x86_emit(t, insn, x86_setcc_r[t->known][condition]);
        op->reg = reg(insn, insn->rm, 1);
    }
    op->imm = (int32_t)condition;
}

void x86_tr_cmov(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned condition = insn->opcode & 15, s = x86_size_index(insn->opsize);

    reg_from_rm(t, insn, insn->opsize, x86_cmov_rr[t->known][condition][s], x86_cmov_rm[s])->imm = (int32_t)condition;
}

/* ---- bits -------------------------------------------------------------------------------------------------------- */

void x86_tr_bit_r(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);
    X86Op *op;

    if (insn->is_mem) {
        if (insn->addrsize == 8) {
            op = x86_emit_ea_op(t, insn, insn->opsize, row->arg ? X86_WRITE : X86_READ, x86_op_bit_address);
            op->aux = insn->opsize;
        } else {
            op = x86_emit(t, insn, x86_op_bit_address_general);
            set_address(op, insn);
            op->aux = insn->seg;
            op->imm = insn->opsize | insn->addrsize << 8 | (row->arg ? X86_EA_WRITE : 0);
        }
        op->reg = insn->reg;
        op = x86_emit(t, insn, x86_bit_mr[row->arg][s]);
        op->aux = insn->lock;
    } else {
        op = x86_emit(t, insn, x86_bit_rr[row->arg][s]);
        op->rm = insn->rm;
    }
    op->reg = insn->reg;
}

void x86_tr_bit_i(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned s = x86_size_index(insn->opsize);
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, insn->opsize, row->arg ? X86_WRITE : X86_READ, x86_bit_mi[row->arg][s]);
        op->aux = insn->lock;
    } else {
        op = x86_emit(t, insn, x86_bit_ri[row->arg][s]);
        op->rm = insn->rm;
    }
    op->imm = (int32_t)insn->imm;
}

void x86_tr_scan(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = row->arg == X86_SCAN_CRC32_8 ? 1 : insn->opsize, s = x86_size_index(size);

    switch (row->arg) {
    case X86_SCAN_BSF:
        reg_from_rm(t, insn, size, x86_bsf_rr[s], x86_bsf_rm[s]);
        break;
    case X86_SCAN_BSR:
        reg_from_rm(t, insn, size, x86_bsr_rr[s], x86_bsr_rm[s]);
        break;
    case X86_SCAN_POPCNT:
        reg_from_rm(t, insn, size, x86_popcnt_rr[s], x86_popcnt_rm[s]);
        break;
    default:
        reg_from_rm(t, insn, size, x86_crc32_rr[s], x86_crc32_rm[s]);
        break;
    }
}

void x86_tr_bswap(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit(t, insn, insn->opsize == 8 ? x86_op_bswap64 : x86_op_bswap32)->reg = (uint8_t)low(insn);
}

void x86_tr_movbe_load(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit_ea_op(t, insn, insn->opsize, X86_READ, x86_movbe_rm[x86_size_index(insn->opsize)])->reg = insn->reg;
}

void x86_tr_movbe_store(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit_ea_op(t, insn, insn->opsize, X86_WRITE, x86_movbe_mr[x86_size_index(insn->opsize)])->reg = insn->reg;
}

void x86_tr_movnti(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned size = insn->opsize == 8 ? 8 : 4;

    x86_emit_ea_op(t, insn, size, X86_WRITE, x86_mov_mr[X86_EA][x86_size_index(size)])->reg = insn->reg;
}

/* ---- strings and the rest ---------------------------------------------------------------------------------------- */

void x86_tr_string(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, row->fn);
    const bool port = row->fn == x86_op_ins || row->fn == x86_op_outs;
    const unsigned size = size_of(insn, row);

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
