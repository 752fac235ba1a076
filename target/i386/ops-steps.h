/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Steps: the operations that one handler carries out together with the next one (translate-pairs.c).
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * What an interpreter of operations this small spends is not their work but what is between them: an indirect jump
 * each, and a register that goes through memory.  A handler of two or three steps saves the jumps, and hands on the
 * result of a step by X86Last when the translator knows that the next one wants it (X86_LINK_*).
 *
 * A step returns true, or false and has done nothing: a memory operand needs the slow path, which the operation's
 * own handler takes.  Operations after the first one keep their own handler (or one of a shorter chain), so that
 * one that could not be carried out goes on there by itself, and its faults are its own.
 */
#ifndef TARGET_I386_OPS_STEPS_H
#define TARGET_I386_OPS_STEPS_H

#include "target/i386/ops.h"

typedef struct X86Last {
    uint64_t value;       /* all 64 bits of the register the step before wrote */
    const X86TlbEntry *t; /* entry that the step before hit */
} X86Last;

#define X86_LINK_REG 1u  /* register reg is what the step before wrote */
#define X86_LINK_PAGE 2u /* base + disp with the same base, and the same direction, as the step before */

#define X86_STEP(name) \
    static inline __attribute__((always_inline)) bool x86_step_##name(X86Cpu *cpu, const X86Op *op, X86Last *last, \
                                                                      unsigned link)
#define X86_STEP_RESULT(v) \
    do { \
        cpu->regs[op->reg] = last->value = (v); \
        return true; \
    } while (0)

/* reg <- f(rm), f(reg, rm), f(reg, imm); X86_FN_name is its own handler. */
#define X86_STEP_MOVE(name, v) \
    X86_STEP(name) \
    { \
        X86_STEP_RESULT(v); \
    }
#define X86_STEP_ALU(name, s, f, source) \
    X86_STEP(name) \
    { \
        const uint##s##_t a = (uint##s##_t)(link & X86_LINK_REG ? last->value : cpu->regs[op->reg]); \
        const uint##s##_t b = (uint##s##_t)(source); \
        X86_STEP_RESULT((uint##s##_t)(f)); \
    }
#define X86_STEP_RR(name, s, f) X86_STEP_ALU(name, s, f, cpu->regs[op->rm])
#define X86_STEP_RI(name, s, f) X86_STEP_ALU(name, s, f, (int64_t)op->imm)

X86_STEP_MOVE(mov32, X86_R32(op->rm))
X86_STEP_MOVE(mov64, cpu->regs[op->rm])
X86_STEP_MOVE(lea32, (uint32_t)X86_ADDR_BD)
X86_STEP_MOVE(lea64, X86_ADDR_BD)
X86_STEP_MOVE(lea64x, X86_ADDR_BIS)
X86_STEP_MOVE(zx8, X86_R8(op->rm))
X86_STEP_MOVE(sx32, (uint64_t)(int64_t)(int32_t)X86_R32(op->rm))
X86_STEP_RR(add32, 32, a + b)
X86_STEP_RR(add64, 64, a + b)
X86_STEP_RR(sub32, 32, a - b)
X86_STEP_RR(sub64, 64, a - b)
X86_STEP_RR(xor32, 32, a ^ b)
X86_STEP_RR(xor64, 64, a ^ b)
X86_STEP_RR(and32, 32, a & b)
X86_STEP_RR(imul32, 32, a * b)
X86_STEP_RR(imul64, 64, a * b)
X86_STEP_RI(addi32, 32, a + b)
X86_STEP_RI(addi64, 64, a + b)
X86_STEP_RI(andi32, 32, a & b)
X86_STEP_RI(shl32, 32, a << (b & 31))
X86_STEP_RI(shl64, 64, a << (b & 63))
X86_STEP_RI(shr32, 32, a >> (b & 31))
X86_STEP_RI(shr64, 64, a >> (b & 63))
X86_STEP_RI(sar32, 32, (int32_t)a >> (b & 31))

#define X86_FN_mov32 x86_mov_rr[X86_S32]
#define X86_FN_mov64 x86_mov_rr[X86_S64]
#define X86_FN_lea32 x86_lea[X86_BD][X86_S32]
#define X86_FN_lea64 x86_lea[X86_BD][X86_S64]
#define X86_FN_lea64x x86_lea[X86_BIS][X86_S64]
#define X86_FN_zx8 x86_movx_rr[0][X86_S8][X86_S32]
#define X86_FN_sx32 x86_movx_rr[1][X86_S32][X86_S64]
#define X86_FN_add32 x86_alu_rr[X86_ALU_ADD][X86_S32][1]
#define X86_FN_add64 x86_alu_rr[X86_ALU_ADD][X86_S64][1]
#define X86_FN_sub32 x86_alu_rr[X86_ALU_SUB][X86_S32][1]
#define X86_FN_sub64 x86_alu_rr[X86_ALU_SUB][X86_S64][1]
#define X86_FN_xor32 x86_alu_rr[X86_ALU_XOR][X86_S32][1]
#define X86_FN_xor64 x86_alu_rr[X86_ALU_XOR][X86_S64][1]
#define X86_FN_and32 x86_alu_rr[X86_ALU_AND][X86_S32][1]
#define X86_FN_imul32 x86_imul_rr_nf[X86_S32]
#define X86_FN_imul64 x86_imul_rr_nf[X86_S64]
#define X86_FN_addi32 x86_alu_ri[X86_ALU_ADD][X86_S32][1]
#define X86_FN_addi64 x86_alu_ri[X86_ALU_ADD][X86_S64][1]
#define X86_FN_andi32 x86_alu_ri[X86_ALU_AND][X86_S32][1]
#define X86_FN_shl32 x86_shift_ri_nf[0][X86_S32]
#define X86_FN_shl64 x86_shift_ri_nf[0][X86_S64]
#define X86_FN_shr32 x86_shift_ri_nf[1][X86_S32]
#define X86_FN_shr64 x86_shift_ri_nf[1][X86_S64]
#define X86_FN_sar32 x86_shift_ri_nf[2][X86_S32]

/*
 * Memory.  With X86_LINK_PAGE the entry that was hit holds when all of the operand is in its page: it is hit as the
 * step before was, since an entry's tag for reading, or for writing, that was equal to a page is that page's address.
 */
#define X86_STEP_MEMORY(name, bits, hit, tag, address) \
    static inline __attribute__((always_inline)) bool x86_place_##name(X86Cpu *cpu, const X86Op *op, X86Last *last, \
                                                                       unsigned link, X86Mem##bits **ret_place) \
    { \
        const uint64_t addr = address; \
        if (link & X86_LINK_PAGE) { \
            if (unlikely(addr - last->t->tag > X86_PAGE - bits / 8)) { \
                return false; \
            } \
        } else { \
            last->t = x86_tlb_entry(cpu, addr); \
            if (unlikely(!hit(last->t, addr, bits / 8))) { \
                return false; \
            } \
        } \
        *ret_place = (X86Mem##bits *)x86_hit_host(last->t, addr); \
        return true; \
    }
#define X86_STEP_LOAD(name, bits, address) \
    X86_STEP_MEMORY(name, bits, x86_hit_read, tag_read, address) \
    X86_STEP(name) \
    { \
        X86Mem##bits *p; \
        if (unlikely(!x86_place_##name(cpu, op, last, link, &p))) { \
            return false; \
        } \
        X86_STEP_RESULT(*p); \
    }
#define X86_STEP_STORE(name, bits, address) \
    X86_STEP_MEMORY(name, bits, x86_hit_write, tag_write, address) \
    X86_STEP(name) \
    { \
        X86Mem##bits *p; \
        if (unlikely(!x86_place_##name(cpu, op, last, link, &p))) { \
            return false; \
        } \
        *p = X86_RD##bits(op->reg); \
        return true; \
    }
X86_STEP_LOAD(ld8, 8, X86_ADDR_BD)
X86_STEP_LOAD(ld8x, 8, X86_ADDR_BIS)
X86_STEP_LOAD(ld16, 16, X86_ADDR_BD)
X86_STEP_LOAD(ld32, 32, X86_ADDR_BD)
X86_STEP_LOAD(ld64, 64, X86_ADDR_BD)
X86_STEP_LOAD(ld64x, 64, X86_ADDR_BIS)
X86_STEP_STORE(st32, 32, X86_ADDR_BD)
X86_STEP_STORE(st64, 64, X86_ADDR_BD)
X86_STEP_STORE(st8x, 8, X86_ADDR_BIS)
#define X86_FN_ld8 x86_movx_rm[X86_BD][0][X86_S8][X86_S32]
#define X86_FN_ld8x x86_movx_rm[X86_BIS][0][X86_S8][X86_S32]
#define X86_FN_ld16 x86_movx_rm[X86_BD][0][X86_S16][X86_S32]
#define X86_FN_ld32 x86_mov_rm[X86_BD][X86_S32]
#define X86_FN_ld64 x86_mov_rm[X86_BD][X86_S64]
#define X86_FN_ld64x x86_mov_rm[X86_BIS][X86_S64]
#define X86_FN_st32 x86_mov_mr[X86_BD][X86_S32]
#define X86_FN_st64 x86_mov_mr[X86_BD][X86_S64]
#define X86_FN_st8x x86_mov_mr[X86_BIS][X86_S8]

/* PUSH and POP: RSP is what they hand on, which is not for POP RSP. */
#define X86_STEP_SP (link & X86_LINK_PAGE ? last->value : cpu->regs[X86_RSP])
X86_STEP_MEMORY(push, 64, x86_hit_write, tag_write, X86_STEP_SP - 8)
X86_STEP(push)
{
    X86Mem64 *p;

    if (unlikely(!x86_place_push(cpu, op, last, link, &p))) {
        return false;
    }
    *p = cpu->regs[op->reg];
    cpu->regs[X86_RSP] = last->value = X86_STEP_SP - 8;
    return true;
}
X86_STEP_MEMORY(pop, 64, x86_hit_read, tag_read, X86_STEP_SP)
X86_STEP(pop)
{
    X86Mem64 *p;

    if (unlikely(!x86_place_pop(cpu, op, last, link, &p))) {
        return false;
    }
    const uint64_t value = *p;
    cpu->regs[X86_RSP] = last->value = X86_STEP_SP + 8;
    cpu->regs[op->reg] = value;
    return true;
}
#define X86_FN_push x86_op_push_r64
#define X86_FN_pop x86_op_pop_r64

/*
 * All steps: LIST(X) makes X(name) of each, LIST2(X, a) X(a, name); the preprocessor does not expand a list within
 * itself.
 */
#define X86_MOVE_STEPS(X) X(mov32) X(mov64) X(lea32) X(lea64) X(lea64x) X(zx8) X(sx32)
#define X86_ALU_STEPS(X) \
    X(add32) X(add64) X(sub32) X(sub64) X(xor32) X(xor64) X(and32) X(imul32) X(imul64) \
    X(addi32) X(addi64) X(andi32) X(shl32) X(shl64) X(shr32) X(shr64) X(sar32)
#define X86_MEMORY_STEPS(X) X(ld8) X(ld8x) X(ld16) X(ld32) X(ld64) X(ld64x) X(st32) X(st64) X(st8x) X(push) X(pop)
#define X86_STEPS(X) X86_MOVE_STEPS(X) X86_ALU_STEPS(X) X86_MEMORY_STEPS(X)
#define X86_MOVE_STEPS2(X, a) \
    X(a, mov32) X(a, mov64) X(a, lea32) X(a, lea64) X(a, lea64x) X(a, zx8) X(a, sx32)
#define X86_ALU_STEPS2(X, a) \
    X(a, add32) X(a, add64) X(a, sub32) X(a, sub64) X(a, xor32) X(a, xor64) X(a, and32) X(a, imul32) X(a, imul64) \
    X(a, addi32) X(a, addi64) X(a, andi32) X(a, shl32) X(a, shl64) X(a, shr32) X(a, shr64) X(a, sar32)
#define X86_MEMORY_STEPS2(X, a) \
    X(a, ld8) X(a, ld8x) X(a, ld16) X(a, ld32) X(a, ld64) X(a, ld64x) X(a, st32) X(a, st64) X(a, st8x) X(a, push) \
    X(a, pop)

/* Those that leave what they read in X86Last.value. */
#define X86_LOAD_STEPS(X) X(ld8) X(ld8x) X(ld16) X(ld32) X(ld64) X(ld64x)

enum {
#define X86_STEP_NUMBER(name) X86_STEP_##name,
    X86_STEPS(X86_STEP_NUMBER)
#undef X86_STEP_NUMBER
    X86_STEP_COUNT,
    X86_REG_STEP_COUNT = X86_STEP_ld8,
    X86_MEM_STEP_COUNT = X86_STEP_COUNT - X86_REG_STEP_COUNT,
};

/* ---- handlers of several steps ----------------------------------------------------------------------------------- */

/* The first step of OP, or all of it by its own handler; a later one, the Nth, or what is left from there. */
#define X86_FIRST(a) \
    X86Last last = { 0 }; \
    if (unlikely(!x86_step_##a(cpu, op, &last, 0))) { \
        X86_BECOME(X86_FN_##a); \
    }
#define X86_THEN(n, b, link) \
    if (unlikely(!x86_step_##b(cpu, op + n, &last, link))) { \
        X86_DISPATCH(cpu, op + n); \
    }

#define X86_DEF_PAIR(prefix, a, b, link) \
    static X86_OP(prefix##_##a##_##b) \
    { \
        X86_FIRST(a) \
        X86_THEN(1, b, link) \
        X86_DISPATCH(cpu, op + 2); \
    }
/*
 * [first][second] step; memory steps count from X86_REG_STEP_COUNT on.  NULL: none.  In _pair_reg and _load_reg the
 * second one has X86_LINK_REG, in _page X86_LINK_PAGE.
 */
extern X86Fn *const x86_pair[X86_REG_STEP_COUNT][X86_REG_STEP_COUNT];
extern X86Fn *const x86_pair_reg[X86_REG_STEP_COUNT][X86_REG_STEP_COUNT];
extern X86Fn *const x86_pair_mem_reg[X86_MEM_STEP_COUNT][X86_REG_STEP_COUNT];
extern X86Fn *const x86_pair_load_reg[X86_MEM_STEP_COUNT][X86_REG_STEP_COUNT];
extern X86Fn *const x86_pair_reg_mem[X86_REG_STEP_COUNT][X86_MEM_STEP_COUNT];
extern X86Fn *const x86_pair_mem_mem[X86_MEM_STEP_COUNT][X86_MEM_STEP_COUNT];
extern X86Fn *const x86_pair_page[X86_MEM_STEP_COUNT][X86_MEM_STEP_COUNT];
/* Three and four of a kind in one page. */
extern X86Fn *const x86_triple_page[X86_MEM_STEP_COUNT], *const x86_quad_page[X86_MEM_STEP_COUNT];

/* A step and a comparison that branches: [1: without flags][step][X86_TAIL_*][operand size][condition]. */
enum { X86_TAIL_CMP_RR, X86_TAIL_CMP_RI, X86_TAIL_TEST_RR, X86_TAILS };
extern X86Fn *const x86_pair_branch[2][X86_STEP_COUNT][X86_TAILS][X86_SIZES][16];

/* An operation that sets flags and a conditional branch, which is x86_jcc[KNOWN][condition]. */
typedef struct X86FlagsBranch {
    X86Fn *const *fn; /* of the operation */
    unsigned known;
    X86Fn *branch[2][16]; /* [1: without flags]; NULL: none */
} X86FlagsBranch;
extern const X86FlagsBranch x86_flags_branch[];
extern const unsigned x86_flags_branches;

#endif
