/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From decoded instructions to operations: exchanges, bits, bytes in other orders.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"
#include "target/i386/translate-int.h"

/* ---- exchanges --------------------------------------------------------------------------------------------------- */

static void exchange(X86Translation *t, const X86Insn *insn, const X86Row *row, X86Fn *const rr[], X86Fn *const mr[])
{
    const unsigned size = x86_insn_size(insn, row), s = x86_size_index(size);
    X86Op *op;

    if (insn->is_mem) {
        op = x86_emit_ea_op(t, insn, size, X86_WRITE, mr[s]);
    } else {
        op = x86_emit(t, insn, rr[s]);
        op->rm = x86_reg_operand(insn, insn->rm, size);
    }
    op->reg = x86_reg_operand(insn, insn->reg, size);
}

void x86_tr_xchg(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    exchange(t, insn, row, x86_xchg_rr, x86_xchg_mr);
}

void x86_tr_xchg_acc(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    X86Op *op = x86_emit(t, insn, x86_xchg_rr[x86_size_index(insn->opsize)]);

    op->reg = X86_RAX;
    op->rm = (uint8_t)x86_low_register(insn);
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
            x86_set_address(op, insn);
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
        x86_emit_reg_rm(t, insn, size, x86_bsf_rr[s], x86_bsf_rm[s]);
        break;
    case X86_SCAN_BSR:
        x86_emit_reg_rm(t, insn, size, x86_bsr_rr[s], x86_bsr_rm[s]);
        break;
    case X86_SCAN_POPCNT:
        x86_emit_reg_rm(t, insn, size, x86_popcnt_rr[s], x86_popcnt_rm[s]);
        break;
    default:
        x86_emit_reg_rm(t, insn, size, x86_crc32_rr[s], x86_crc32_rm[s]);
        break;
    }
}

void x86_tr_bswap(X86Translation *t, const X86Insn *insn, const X86Row *row)
{
    x86_emit(t, insn, insn->opsize == 8 ? x86_op_bswap64 : x86_op_bswap32)->reg = (uint8_t)x86_low_register(insn);
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
