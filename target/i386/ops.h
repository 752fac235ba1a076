/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers of integer operations, as tables for the translator, and the macros they are written with.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Shapes (where the operands are):
 *   RR   reg, rm registers                 RI   reg register, imm
 *   RM   reg <- memory                     MR   memory <- reg         MI   memory <- imm
 *   L..  the same with LOCK
 * and of the memory operand:
 *   BD   base + disp                       BIS  base + (index << rm) + disp        EA   cpu->ea of an earlier operation
 * BD and BIS are for 64-bit addresses in segments without a base.
 */
#ifndef TARGET_I386_OPS_H
#define TARGET_I386_OPS_H

#include "target/i386/flags.h"
#include "target/i386/mem.h"

/* Index of operand sizes 1, 2, 4, 8. */
enum { X86_S8, X86_S16, X86_S32, X86_S64, X86_SIZES };
static inline unsigned x86_size_index(unsigned bytes)
{
    return (unsigned)__builtin_ctz(bytes);
}

enum { X86_BD, X86_BIS, X86_EA, X86_EAS };

/* The first eight in the order of ModRM.reg of group 1. */
enum {
    X86_ALU_ADD, X86_ALU_OR, X86_ALU_ADC, X86_ALU_SBB, X86_ALU_AND, X86_ALU_SUB, X86_ALU_XOR, X86_ALU_CMP, X86_ALU_TEST,
    X86_ALUS,
};

/* What the translator knows about cc_op when an operation runs. */
enum { X86_KNOWN_NONE, X86_KNOWN_SUB, X86_KNOWN_LOGIC, X86_KNOWN_RESULT, X86_KNOWNS };

#define X86_RD8(n) X86_R8(n)
#define X86_RD16(n) X86_R16(n)
#define X86_RD32(n) X86_R32(n)
#define X86_RD64(n) X86_R64(n)
#define X86_WR8(n, v) (X86_R8(n) = (uint8_t)(v))
#define X86_WR16(n, v) (X86_R16(n) = (uint16_t)(v))
#define X86_WR32(n, v) (cpu->regs[n] = (uint32_t)(v))
#define X86_WR64(n, v) (cpu->regs[n] = (uint64_t)(v))

#define X86_ADDR_BD (cpu->regs[op->base] + (int64_t)op->disp)
#define X86_ADDR_BIS (cpu->regs[op->base] + (cpu->regs[op->index] << op->rm) + (int64_t)op->disp)
#define X86_ADDR_EA (cpu->ea)

/*
 * A handler whose fast path would be slowed down by calls (registers saved) hands over to another one, which does all
 * of it: "X86_BECOME(that);".
 */
#define X86_SLOW_OP(name) __attribute__((cold, noinline)) X86_OP(name)
#if defined(__clang__) && !X86_TRAMPOLINE
#define X86_BECOME(name) __attribute__((musttail)) return name(cpu, op)
#else
#define X86_BECOME(name) return name(cpu, op)
#endif

/* [operation][size][1: without flags] */
extern X86Fn *const x86_alu_rr[X86_ALUS][X86_SIZES][2];
extern X86Fn *const x86_alu_ri[X86_ALUS][X86_SIZES][2];
extern X86Fn *const x86_alu_rm[X86_EAS][X86_ALUS][X86_SIZES][2];
extern X86Fn *const x86_alu_mr[X86_EAS][X86_ALUS][X86_SIZES][2];
extern X86Fn *const x86_alu_mi[X86_EAS][X86_ALUS][X86_SIZES][2];
extern X86Fn *const x86_alu_lmr[X86_ALUS][X86_SIZES];
extern X86Fn *const x86_alu_lmi[X86_ALUS][X86_SIZES];

extern X86Fn *const x86_mov_rr[X86_SIZES], *const x86_mov_ri[X86_SIZES]; /* RI: imm64 */
extern X86Fn *const x86_mov_rm[X86_EAS][X86_SIZES], *const x86_mov_mr[X86_EAS][X86_SIZES],
    *const x86_mov_mi[X86_EAS][X86_SIZES];
/* [0: zero, 1: sign][source size 8, 16, 32][destination size] */
extern X86Fn *const x86_movx_rr[2][3][X86_SIZES];
extern X86Fn *const x86_movx_rm[X86_EAS][2][3][X86_SIZES];
extern X86Fn *const x86_lea[2][X86_SIZES]; /* X86_BD, X86_BIS */
X86Fn x86_op_lea_general;                  /* aux: operand size; imm: address size */

#define X86_EA_WRITE 0x10000 /* in imm of x86_op_ea_general and x86_op_bit_address_general */
/* cpu->ea <- ... */
X86Fn x86_op_ea_bd, x86_op_ea_bis, x86_op_ea_seg, x86_op_ea_seg_bis, x86_op_ea_flat32, x86_op_ea_addr32,
    x86_op_ea_general;
X86Fn x86_op_ea_imm64;    /* imm64 in segment aux of 64-bit mode */
X86Fn x86_op_ea_xlat;     /* reg: address size; aux: segment */
X86Fn x86_op_bit_address; /* += the bytes of bit number reg; aux: operand size */
/* all of it, for addresses that wrap; aux: segment; imm: operand size + address size << 8, and X86_EA_WRITE */
X86Fn x86_op_bit_address_general;

/* One operand: reg register, or cpu->ea. */
enum { X86_UN_INC, X86_UN_DEC, X86_UN_NEG, X86_UN_NOT, X86_UNS };
extern X86Fn *const x86_unary_r[X86_UNS][X86_SIZES][2];
extern X86Fn *const x86_unary_m[X86_UNS][X86_SIZES];
extern X86Fn *const x86_unary_lm[X86_UNS][X86_SIZES];

/* Group 2 by ModRM.reg; the count is imm, or CL when aux is 1. */
extern X86Fn *const x86_shift_r[8][X86_SIZES], *const x86_shift_m[8][X86_SIZES];
extern X86Fn *const x86_shift_ri_nf[3][X86_SIZES]; /* SHL, SHR, SAR by imm (1 to 31 or 63) without flags */
extern X86Fn *const x86_shxd_r[2][X86_SIZES], *const x86_shxd_m[2][X86_SIZES]; /* SHLD, SHRD: rm/memory, reg */

/* Group 3: MUL, IMUL, DIV, IDIV */
extern X86Fn *const x86_muldiv_r[4][X86_SIZES], *const x86_muldiv_m[4][X86_SIZES];
extern X86Fn *const x86_imul_rr[X86_SIZES], *const x86_imul_rm[X86_SIZES];   /* reg *= rm/memory */
extern X86Fn *const x86_imul_rri[X86_SIZES], *const x86_imul_rmi[X86_SIZES]; /* reg = rm/memory * imm */
extern X86Fn *const x86_imul_rr_nf[X86_SIZES], *const x86_imul_rri_nf[X86_SIZES]; /* without flags */

extern X86Fn *const x86_xchg_rr[X86_SIZES], *const x86_xchg_mr[X86_SIZES];
extern X86Fn *const x86_xadd_rr[X86_SIZES], *const x86_xadd_mr[X86_SIZES]; /* always as if locked */
extern X86Fn *const x86_cmpxchg_rr[X86_SIZES], *const x86_cmpxchg_mr[X86_SIZES];
X86Fn x86_op_cmpxchg8b, x86_op_cmpxchg16b;

/* BT, BTS, BTR, BTC: rm/memory, reg or imm.  Memory with a register: cpu->ea is of bit 0. */
extern X86Fn *const x86_bit_rr[4][X86_SIZES], *const x86_bit_ri[4][X86_SIZES];
extern X86Fn *const x86_bit_mr[4][X86_SIZES], *const x86_bit_mi[4][X86_SIZES]; /* aux 1: LOCK */
extern X86Fn *const x86_bsf_rr[X86_SIZES], *const x86_bsf_rm[X86_SIZES], *const x86_bsr_rr[X86_SIZES],
    *const x86_bsr_rm[X86_SIZES];
extern X86Fn *const x86_popcnt_rr[X86_SIZES], *const x86_popcnt_rm[X86_SIZES];
extern X86Fn *const x86_crc32_rr[X86_SIZES], *const x86_crc32_rm[X86_SIZES]; /* by source size */
extern X86Fn *const x86_movbe_rm[X86_SIZES], *const x86_movbe_mr[X86_SIZES];
X86Fn x86_op_bswap32, x86_op_bswap64;

/* Conditions: [what is known][condition]. */
extern X86Fn *const x86_setcc_r[X86_KNOWNS][16];
X86Fn x86_op_setcc_m; /* imm: condition */
extern X86Fn *const x86_cmov_rr[X86_KNOWNS][16][X86_SIZES];
extern X86Fn *const x86_cmov_rm[X86_SIZES]; /* imm: condition; cpu->ea */
extern X86Fn *const x86_jcc[X86_KNOWNS][16]; /* aux: condition; imm: 1 when nothing needs the flags afterwards */
/* Compare or test, and branch: [1: without flags][size][condition]; NULL where there is none. */
extern X86Fn *const x86_cmp_rr_jcc[2][X86_SIZES][16], *const x86_cmp_ri_jcc[2][X86_SIZES][16];
extern X86Fn *const x86_test_rr_jcc[2][X86_SIZES][16], *const x86_test_ri_jcc[2][X86_SIZES][16];

/* Branches.  Target of direct ones: next instruction + disp. */
X86Fn x86_op_jmp;        /* in the page; becomes ..._linked */
X86Fn x86_op_jmp_linked;
X86Fn x86_op_jmp_page;   /* to another page */
X86Fn x86_op_next_page;  /* the same where no branch is: the block just ends */
X86Fn x86_op_exit;       /* where a conditional branch goes until it is linked; next: the branch */
X86Fn x86_op_call64, x86_op_call64_page, x86_op_call; /* the last one: aux operand size, any mode */
X86Fn x86_op_call_r64, x86_op_call_ea64, x86_op_call_r, x86_op_call_ea; /* reg, or memory at cpu->ea */
X86Fn x86_op_jmp_r64, x86_op_jmp_ea64, x86_op_jmp_r, x86_op_jmp_ea;
X86Fn x86_op_ret64, x86_op_ret; /* imm: bytes to pop besides; aux operand size */
X86Fn x86_op_loop;  /* rm: opcode & 3 (LOOPNE, LOOPE, LOOP, JCXZ); aux: address size; next as Jcc */
X86Fn x86_op_jmp_limit;  /* anywhere in a segment that ends below 4 GiB: a target beyond is the branch's fault */
X86Fn x86_op_limit; /* first operation of a block with X86_CODE_LIMIT; imm: bytes of the block */
X86Fn x86_op_cross; /* first operation of an instruction that goes on in the next page: see translate.c */

X86Fn x86_op_push_r64, x86_op_pop_r64, x86_op_push_i64;
X86Fn x86_op_push_r, x86_op_push_i, x86_op_push_m, x86_op_pop_r, x86_op_pop_m; /* aux operand size */
X86Fn x86_op_pusha, x86_op_popa, x86_op_enter, x86_op_leave_stack, x86_op_leave64;

/* Strings: aux operand size (bytes), rm segment of the source, base address size, index X86_REP_*. */
X86Fn x86_op_movs, x86_op_stos, x86_op_lods, x86_op_scas, x86_op_cmps, x86_op_ins, x86_op_outs;

X86Fn x86_op_cbw, x86_op_cwd; /* aux operand size */
X86Fn x86_op_clc, x86_op_stc, x86_op_cmc, x86_op_cld, x86_op_std, x86_op_lahf, x86_op_sahf, x86_op_salc;
X86Fn x86_op_xlat; /* cpu->ea is of the byte */
X86Fn x86_op_aaa, x86_op_aas, x86_op_daa, x86_op_das, x86_op_aam, x86_op_aad;
X86Fn x86_op_bound;
X86Fn x86_op_mfence;
X86Fn x86_op_clflush;
X86Fn x86_op_raise; /* imm: vector */
X86Fn x86_op_rdrand; /* reg, aux operand size */

/* ---- locked accesses --------------------------------------------------------------------------------------------- */

/*
 * Host address for an atomic read-modify-write of SIZE bytes, or NULL: the access crosses cache lines or pages, or goes
 * to a device, or to translated code.  Those are made by x86_ld_slow() and x86_st_slow() between x86_lock_bus() and
 * x86_unlock_bus(): for RAM no other processor is in guest code meanwhile; for devices they exclude one another, but no
 * plain access.  Faults are raised here in either case.
 */
uint8_t *x86_lock_target(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size);
void x86_lock_bus(X86Cpu *cpu);
void x86_unlock_bus(X86Cpu *cpu);

/* If *P is *EXPECTED it becomes DESIRED, else *EXPECTED is what it was; unaligned is fine. */
#define X86_CAS(bits, suffix) \
    static inline bool x86_cas##bits(uint8_t *p, uint##bits##_t *expected, uint##bits##_t desired) \
    { \
        bool same; \
        __asm__ volatile("lock cmpxchg" suffix " %3, %1" \
                         : "=@ccz"(same), "+m"(*(X86Mem##bits *)p), "+a"(*expected) \
                         : "r"(desired) \
                         : "memory"); \
        return same; \
    }
X86_CAS(8, "b")
X86_CAS(16, "w")
X86_CAS(32, "l")
X86_CAS(64, "q")

/* Memory <- NEW of what is there, atomically; the expression may use `a`.  Ends with `a` the old value. */
#define X86_ATOMIC_UPDATE(s, new) \
    do { \
        uint8_t *p_ = x86_lock_target(cpu, op, cpu->ea, s / 8); \
        if (p_ != NULL) { \
            a = *(X86Mem##s *)p_; \
            while (!x86_cas##s(p_, &a, new)) { \
            } \
        } else { \
            x86_lock_bus(cpu); \
            a = (uint##s##_t)x86_ld_slow(cpu, op, cpu->ea, s / 8); \
            x86_st_slow(cpu, op, cpu->ea, new, s / 8); \
            x86_unlock_bus(cpu); \
        } \
    } while (0)

/* ---- jumps within the engine ------------------------------------------------------------------------------------- */

/* The operations for RIP when the jump cache has them and nothing else is to be done; else NULL, with cpu->rip set. */
static inline const X86Op *x86_jump_target(X86Cpu *cpu, uint64_t rip)
{
    uint64_t linear = rip + cpu->cs_base;
    const X86JumpEntry *e = &cpu->jumps[(linear ^ (linear >> 12)) & (X86_JUMP_ENTRIES - 1)];

    if (likely(e->pc == linear && e->key == cpu->jump_key[linear >> 63] &&
               !atomic_load_explicit(&cpu->attention, memory_order_relaxed))) {
        cpu->regs[X86_REG_PAGE] = rip - (linear & (X86_PAGE - 1));
        return cpu->ops + e->op;
    }
    cpu->rip = rip;
    return NULL;
}
/* "X86_JUMP(rip);" ends a handler. */
#define X86_JUMP(target) \
    do { \
        const X86Op *to_ = x86_jump_target(cpu, target); \
        if (unlikely(to_ == NULL)) { \
            return NULL; \
        } \
        X86_DISPATCH(cpu, to_); \
    } while (0)

/* The way out of a block at NEXT, an operation to go on with, when there is something else to do. */
const X86Op *x86_attend(X86Cpu *cpu, const X86Op *next);
#define X86_GO(target) \
    do { \
        const X86Op *go_ = (target); \
        if (unlikely(atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0)) { \
            return x86_attend(cpu, go_); \
        } \
        X86_DISPATCH(cpu, go_); \
    } while (0)

#endif
