/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translators of integer and system instructions, named in the rows of opcodes.c.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#ifndef TARGET_I386_TRANSLATE_INT_H
#define TARGET_I386_TRANSLATE_INT_H

#include "target/i386/translate.h"

/* An operation on the memory operand, of SIZE bytes, whose address is computed by one before. */
X86Op *x86_emit_ea_op(X86Translation *t, const X86Insn *insn, unsigned size, X86Access access, X86Fn *fn);
/* An operation with a register destination and a register (RR) or memory source (RM, which uses cpu->ea). */
X86Op *x86_emit_reg_rm(X86Translation *t, const X86Insn *insn, unsigned size, X86Fn *rr, X86Fn *rm);
/* base, index, scale (rm) and disp of INSN's memory operand. */
void x86_set_address(X86Op *op, const X86Insn *insn);
/* Of the operands of INSN, in bytes. */
unsigned x86_insn_size(const X86Insn *insn, const X86Row *row);
/* How an operation names general register N as an operand of SIZE bytes. */
uint8_t x86_reg_operand(const X86Insn *insn, unsigned n, unsigned size);
/* The register in the opcode's low bits. */
unsigned x86_low_register(const X86Insn *insn);
/* reg and rm from ModRM, aux: operand size, imm. */
void x86_set_operands(X86Op *op, const X86Insn *insn);

/* arg: X86_ALU_* */
X86Translate x86_tr_alu_rm_r, x86_tr_alu_r_rm, x86_tr_alu_acc_i, x86_tr_alu_rm_i;
/* arg: X86_UN_* */
X86Translate x86_tr_unary, x86_tr_unary_low;
/* arg: ModRM.reg of group 2 or 3 */
X86Translate x86_tr_shift_i, x86_tr_shift_1, x86_tr_shift_cl, x86_tr_muldiv;
X86Translate x86_tr_imul, x86_tr_imul_i;
X86Translate x86_tr_shxd_i, x86_tr_shxd_cl; /* arg 0: SHLD, 1: SHRD */
X86Translate x86_tr_mov_rm_r, x86_tr_mov_r_rm, x86_tr_mov_rm_i, x86_tr_mov_low_i, x86_tr_mov_acc_moffs,
    x86_tr_mov_moffs_acc;
X86Translate x86_tr_movx; /* arg: 1 sign, + 2 * index of the source size */
X86Translate x86_tr_lea, x86_tr_xchg, x86_tr_xchg_acc, x86_tr_xadd, x86_tr_cmpxchg, x86_tr_cmpxchg8b;
X86Translate x86_tr_push_low, x86_tr_pop_low, x86_tr_push_i, x86_tr_push_rm, x86_tr_pop_rm;
X86Translate x86_tr_enter, x86_tr_leave;
X86Translate x86_tr_jcc, x86_tr_jmp, x86_tr_call, x86_tr_loop, x86_tr_ret, x86_tr_jmp_rm, x86_tr_call_rm;
X86Translate x86_tr_setcc, x86_tr_cmov;
X86Translate x86_tr_bit_r, x86_tr_bit_i; /* arg: BT, BTS, BTR, BTC */
X86Translate x86_tr_scan;                /* arg: an X86Scan */
X86Translate x86_tr_bswap, x86_tr_movbe_load, x86_tr_movbe_store, x86_tr_movnti;
X86Translate x86_tr_string, x86_tr_xlat, x86_tr_bound;
X86Translate x86_tr_simple; /* fn; reg and rm from ModRM, aux: operand size, imm; arg: X86_TR_* */
X86Translate x86_tr_ea;     /* the same with a memory operand; arg: bytes accessed + 256 for writing */
/* fn for a register, fn_mem for memory of arg bytes (+ 256 for writing), 0: the operand size */
X86Translate x86_tr_rm;
X86Translate x86_tr_nop, x86_tr_nop90, x86_tr_ud;
X86Translate x86_tr_fwait, x86_tr_x87, x86_tr_sse;
X86Translate x86_tr_sti, x86_tr_port, x86_tr_segment_push, x86_tr_load_far, x86_tr_far_imm, x86_tr_far_m,
    x86_tr_ret_far, x86_tr_int;
X86Translate x86_tr_arpl_movsxd, x86_tr_mov_from_seg, x86_tr_mov_to_seg, x86_tr_group7, x86_tr_random;

enum { X86_SCAN_BSF, X86_SCAN_BSR, X86_SCAN_POPCNT, X86_SCAN_CRC32_8, X86_SCAN_CRC32 };

#endif
