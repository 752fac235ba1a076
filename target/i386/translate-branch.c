/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: stack, branches, conditions.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/translate-int.h"

/* ---- stack ------------------------------------------------------------------------------------------------------- */

void x86_tr_push_low(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_push_r64 : x86_op_push_r);

    op->reg = (uint8_t)x86_low_register(insn);
    op->aux = insn->opsize;
}

void x86_tr_pop_low(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, insn->opsize == 8 ? x86_op_pop_r64 : x86_op_pop_r);

    op->reg = (uint8_t)x86_low_register(insn);
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
        bool late = false;

        /* The address is computed after RSP was incremented. */
        if (at.base == X86_RSP && __builtin_add_overflow(insn->disp, insn->opsize, &at.disp) && insn->addrsize == 8) {
            at.disp = insn->disp;
            late = true;
        }
        op = x86_emit_ea_op(t, &at, insn->opsize, X86_WRITE, x86_op_pop_m);
        op->imm = late ? insn->opsize : 0;
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

/* A comparison of registers right before that can branch itself, without flags when DEAD; NULL: none. */
static X86Fn *fused(const X86Op *op, unsigned condition, bool dead)
{
    for (unsigned s = 0; s < X86_SIZES; s++) {
        if (op->fn == x86_alu_rr[X86_ALU_CMP][s][0]) {
            return x86_cmp_rr_jcc[dead][s][condition];
        }
        if (op->fn == x86_alu_ri[X86_ALU_CMP][s][0]) {
            return x86_cmp_ri_jcc[dead][s][condition];
        }
        if (op->fn == x86_alu_rr[X86_ALU_TEST][s][0]) {
            return x86_test_rr_jcc[dead][s][condition];
        }
        if (op->fn == x86_alu_ri[X86_ALU_TEST][s][0]) {
            return x86_test_ri_jcc[dead][s][condition];
        }
    }
    return NULL;
}

void x86_tr_jcc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned condition = insn->opcode & 15;
    X86Op *op;

    if (t->previous_op + 1 == t->count && t->insn_op == t->count) {
        X86Op *previous = &t->ops[t->previous_op];
        X86Fn *fn = fused(previous, condition, t->flags_dead);

        if (fn != NULL) {
            previous->fn = fn;
            x86_add_exit(t, insn, t->previous_op);
            if (t->flags_dead) {
                t->known = X86_KNOWN_NONE;
            }
            return;
        }
    }
    op = x86_emit(t, insn, x86_jcc[t->known][condition]);
    op->aux = (uint8_t)condition;
    op->imm = t->flags_dead;
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
        op->reg = x86_reg_operand(insn, insn->rm, 1);
    }
    op->imm = (int32_t)condition;
}

void x86_tr_cmov(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    const unsigned condition = insn->opcode & 15, s = x86_size_index(insn->opsize);
    X86Op *op = x86_emit_reg_rm(t, insn, insn->opsize, x86_cmov_rr[t->known][condition][s], x86_cmov_rm[s]);

    op->imm = (int32_t)condition;
}
