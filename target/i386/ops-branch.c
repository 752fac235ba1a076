/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Branches within a code segment, conditions, and the ways out of a block.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * A branch inside of its page is linked to its target's operations at its first use and then goes there without any
 * lookup: both belong to one page, so what holds for one holds for the other (code-cache.h).  Every other branch goes
 * through the jump cache.  Taken branches and ends of blocks look at X86Cpu.attention.
 */
#include "target/i386/descriptor.h"
#include "target/i386/code-cache.h"
#include "target/i386/conditions.h"
#include "target/i386/ops.h"
#include "target/i386/system.h"

/* RIP of a direct branch's target: the next instruction's + disp. */
static inline uint64_t target(const X86Cpu *cpu, const X86Op *op)
{
    const uint64_t rip = cpu->regs[X86_REG_PAGE] + op->pc_off + op->len + (int64_t)op->disp;

    return likely(cpu->code_flags & X86_CODE_64) ? rip : op->aux == 2 ? (uint16_t)rip : (uint32_t)rip;
}

/* A near target outside of CS's limit, or one that is not canonical, faults before anything changes. */
static void check_target(X86Cpu *cpu, const X86Op *op, uint64_t rip)
{
    if (x86_is_64(cpu) ? !x86_canonical(rip) : rip > cpu->seg[X86_CS].limit) {
        x86_raise_op(cpu, op, X86_EXC_GP, 0);
    }
}

static bool leaves_block(const X86Op *op)
{
    return op->fn == x86_op_exit || op->fn == x86_op_jmp_page || op->fn == x86_op_jmp_limit;
}

const X86Op *x86_attend(X86Cpu *cpu, const X86Op *next)
{
    const bool stub = leaves_block(next);
    const uint64_t rip = stub ? target(cpu, next) : x86_op_rip(cpu, next);

    if (stub) {
        check_target(cpu, next, rip);
    }
    return x86_leave_to(cpu, rip);
}

static X86_SLOW_OP(leave_to_target)
{
    return x86_leave_to(cpu, target(cpu, op));
}

/* After x86_jump_target(), which has left the target: those that the jump cache does not have are looked at. */
static X86_SLOW_OP(missed)
{
    check_target(cpu, op, cpu->rip);
    return NULL;
}

X86_OP(x86_op_jmp_page)
{
    const X86Op *next = x86_jump_target(cpu, target(cpu, op));

    if (unlikely(next == NULL)) {
        X86_BECOME(missed);
    }
    X86_DISPATCH(cpu, next);
}

/* Where no address is it is the next instruction that faults. */
X86_OP(x86_op_next_page)
{
    X86_JUMP(target(cpu, op));
}

X86_OP(x86_op_jmp_limit)
{
    const uint64_t rip = target(cpu, op);

    check_target(cpu, op, rip);
    X86_JUMP(rip);
}

/*
 * The block's last byte is beyond the limit: its instructions run one at a time, for which no byte is fetched from
 * there (x86_code_one()).
 */
X86_OP(x86_op_limit)
{
    const uint64_t rip = x86_op_rip(cpu, op);

    if (unlikely(rip + (uint32_t)op->imm - 1 > cpu->seg[X86_CS].limit)) {
        cpu->force_one = true;
        return x86_leave_to(cpu, rip);
    }
    NEXT;
}

X86_OP(x86_op_jmp_linked)
{
    if (unlikely(atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0)) {
        X86_BECOME(leave_to_target);
    }
    X86_DISPATCH(cpu, op->next);
}

/* The operations of a target in the page of OP, or NULL with cpu->rip set. */
static __attribute__((noinline)) const X86Op *find_in_page(X86Cpu *cpu, const X86Op *op)
{
    const uint64_t rip = target(cpu, op);

    if (atomic_load_explicit(&cpu->attention, memory_order_relaxed) != 0) {
        cpu->rip = rip;
        return NULL;
    }
    return x86_code_in_page(cpu, rip);
}

X86_OP(x86_op_jmp)
{
    const X86Op *to = find_in_page(cpu, op);
    X86Op *self = (X86Op *)op;

    if (to == NULL) {
        return NULL;
    }
    self->next = to;
    self->fn = x86_op_jmp_linked;
    X86_DISPATCH(cpu, to);
}

X86_OP(x86_op_exit)
{
    const X86Op *to = find_in_page(cpu, op);

    if (to == NULL) {
        return NULL;
    }
    ((X86Op *)op->next)->next = to;
    X86_DISPATCH(cpu, to);
}

/* ---- conditions -------------------------------------------------------------------------------------------------- */

#define COND_sub(c) X86_SUB_##c((int64_t)cpu->cc_a, (int64_t)cpu->cc_b, (int64_t)cpu->cc_dst)
#define COND_logic(c) X86_LOGIC_##c((int64_t)cpu->cc_dst)

/* DEF(knowledge, condition) for all conditions that have a formula. */
#define FOR_CONDITIONS(DEF, k) \
    DEF(k, B) DEF(k, AE) DEF(k, E) DEF(k, NE) DEF(k, BE) DEF(k, A) DEF(k, S) DEF(k, NS) \
    DEF(k, L) DEF(k, GE) DEF(k, LE) DEF(k, G)

#define DEF_JCC(k, c) \
    static X86_OP(jcc_##k##_##c) \
    { \
        if (COND_##k(c)) { \
            X86_GO(op->next); \
        } \
        NEXT; \
    }
FOR_CONDITIONS(DEF_JCC, sub)
FOR_CONDITIONS(DEF_JCC, logic)

static X86_OP(jcc_general)
{
    if (x86_cc_test(cpu, op->aux)) {
        X86_GO(op->next);
    }
    NEXT;
}

#define CONDITIONS(x, g) \
    { g, g, x##_B, x##_AE, x##_E, x##_NE, x##_BE, x##_A, x##_S, x##_NS, g, g, x##_L, x##_GE, x##_LE, x##_G }
/* ZF and SF come from the result whatever made it. */
#define RESULT_CONDITIONS(x, g) { g, g, g, g, x##_E, x##_NE, g, g, x##_S, x##_NS, g, g, g, g, g, g }
#define GENERAL(g) { g, g, g, g, g, g, g, g, g, g, g, g, g, g, g, g }
#define KNOWNS(x, g) \
    { [X86_KNOWN_NONE] = GENERAL(g), [X86_KNOWN_SUB] = CONDITIONS(x##_sub, g), \
      [X86_KNOWN_LOGIC] = CONDITIONS(x##_logic, g), [X86_KNOWN_RESULT] = RESULT_CONDITIONS(x##_logic, g) }
X86Fn *const x86_jcc[X86_KNOWNS][16] = KNOWNS(jcc, jcc_general);

#define DEF_SETCC(k, c) \
    static X86_OP(setcc_##k##_##c) \
    { \
        X86_R8(op->reg) = COND_##k(c); \
        NEXT; \
    }
FOR_CONDITIONS(DEF_SETCC, sub)
FOR_CONDITIONS(DEF_SETCC, logic)

static X86_OP(setcc_general)
{
    X86_R8(op->reg) = x86_cc_test(cpu, (unsigned)op->imm);
    NEXT;
}
X86Fn *const x86_setcc_r[X86_KNOWNS][16] = KNOWNS(setcc, setcc_general);

X86_OP(x86_op_setcc_m)
{
    x86_st8(cpu, op, cpu->ea, x86_cc_test(cpu, (unsigned)op->imm));
    NEXT;
}

/* CMOVcc of 32 bits clears the upper half in either case. */
#define DEF_CMOV(k, c) \
    static X86_OP(cmov_##k##_##c##_16) \
    { \
        if (COND_##k(c)) { \
            X86_R16(op->reg) = X86_R16(op->rm); \
        } \
        NEXT; \
    } \
    static X86_OP(cmov_##k##_##c##_32) \
    { \
        cpu->regs[op->reg] = COND_##k(c) ? X86_R32(op->rm) : X86_R32(op->reg); \
        NEXT; \
    } \
    static X86_OP(cmov_##k##_##c##_64) \
    { \
        cpu->regs[op->reg] = COND_##k(c) ? cpu->regs[op->rm] : cpu->regs[op->reg]; \
        NEXT; \
    }
FOR_CONDITIONS(DEF_CMOV, sub)
FOR_CONDITIONS(DEF_CMOV, logic)

#define DEF_CMOV_GENERAL(s) \
    static X86_OP(cmov_general_##s) \
    { \
        const uint##s##_t value = x86_cc_test(cpu, (unsigned)op->imm) ? X86_R##s(op->rm) : X86_R##s(op->reg); \
        if (s == 16) { \
            X86_R16(op->reg) = (uint16_t)value; \
        } else { \
            cpu->regs[op->reg] = value; \
        } \
        NEXT; \
    } \
    static X86_OP(cmov_m_##s) \
    { \
        const uint##s##_t other = x86_ld##s(cpu, op, cpu->ea); \
        const uint##s##_t value = x86_cc_test(cpu, (unsigned)op->imm) ? other : X86_R##s(op->reg); \
        if (s == 16) { \
            X86_R16(op->reg) = (uint16_t)value; \
        } else { \
            cpu->regs[op->reg] = value; \
        } \
        NEXT; \
    }
DEF_CMOV_GENERAL(16)
DEF_CMOV_GENERAL(32)
DEF_CMOV_GENERAL(64)

#define CS(x) { NULL, x##_16, x##_32, x##_64 }
#define CMOV_CONDITIONS(x, g) \
    { CS(g), CS(g), CS(x##_B), CS(x##_AE), CS(x##_E), CS(x##_NE), CS(x##_BE), CS(x##_A), CS(x##_S), CS(x##_NS), CS(g), \
      CS(g), CS(x##_L), CS(x##_GE), CS(x##_LE), CS(x##_G) }
#define CMOV_RESULT(x, g) \
    { CS(g), CS(g), CS(g), CS(g), CS(x##_E), CS(x##_NE), CS(g), CS(g), CS(x##_S), CS(x##_NS), CS(g), CS(g), \
      CS(g), CS(g), CS(g), CS(g) }
#define CMOV_GENERAL(g) \
    { CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g), CS(g) }
X86Fn *const x86_cmov_rr[X86_KNOWNS][16][X86_SIZES] = {
    [X86_KNOWN_NONE] = CMOV_GENERAL(cmov_general),
    [X86_KNOWN_SUB] = CMOV_CONDITIONS(cmov_sub, cmov_general),
    [X86_KNOWN_LOGIC] = CMOV_CONDITIONS(cmov_logic, cmov_general),
    [X86_KNOWN_RESULT] = CMOV_RESULT(cmov_logic, cmov_general),
};
X86Fn *const x86_cmov_rm[X86_SIZES] = CS(cmov_m);

/* ---- compare and branch ------------------------------------------------------------------------------------------ */

#define DEF_COMPARE(f, s, c) \
    static X86_OP(f##_cmp_rr_##s##_##c) \
    { \
        X86_CMP_JCC(FLAGS_##f, s, c, (int##s##_t)X86_RD##s(op->rm)); \
    } \
    static X86_OP(f##_cmp_ri_##s##_##c) \
    { \
        X86_CMP_JCC(FLAGS_##f, s, c, op->imm); \
    } \
    static X86_OP(f##_test_rr_##s##_##c) \
    { \
        X86_TEST_JCC(FLAGS_##f, s, c, X86_RD##s(op->rm)); \
    } \
    static X86_OP(f##_test_ri_##s##_##c) \
    { \
        X86_TEST_JCC(FLAGS_##f, s, c, (uint64_t)(int64_t)op->imm); \
    }
#define FLAGS_f 1
#define FLAGS_n 0
#define DEF_COMPARE_f(s, c) DEF_COMPARE(f, s, c)
#define DEF_COMPARE_n(s, c) DEF_COMPARE(n, s, c)
#define DEF_COMPARES(s) FOR_CONDITIONS(DEF_COMPARE_f, s) FOR_CONDITIONS(DEF_COMPARE_n, s)
DEF_COMPARES(8)
DEF_COMPARES(16)
DEF_COMPARES(32)
DEF_COMPARES(64)
#define SIZES(x) \
    { CONDITIONS(x##_8, NULL), CONDITIONS(x##_16, NULL), CONDITIONS(x##_32, NULL), CONDITIONS(x##_64, NULL) }
#define COMPARES(x) { SIZES(f_##x), SIZES(n_##x) }
X86Fn *const x86_cmp_rr_jcc[2][X86_SIZES][16] = COMPARES(cmp_rr);
X86Fn *const x86_cmp_ri_jcc[2][X86_SIZES][16] = COMPARES(cmp_ri);
X86Fn *const x86_test_rr_jcc[2][X86_SIZES][16] = COMPARES(test_rr);
X86Fn *const x86_test_ri_jcc[2][X86_SIZES][16] = COMPARES(test_ri);

/* ---- CALL, RET, indirect JMP: 64 bits ---------------------------------------------------------------------------- */

/* A CALL that has its target, in X86Cpu.rip: a target in memory is read once. */
static X86_SLOW_OP(call64_to_rip)
{
    const uint64_t to = cpu->rip;
    const uint64_t sp = cpu->regs[X86_RSP] - 8;

    check_target(cpu, op, to);
    x86_st_slow(cpu, op, sp, x86_next_rip(cpu, op), 8);
    cpu->regs[X86_RSP] = sp;
    X86_JUMP(to);
}

/* X86_JUMP() with the return address on the stack. */
#define DEF_CALL64(name, where) \
    X86_OP(name) \
    { \
        const uint64_t to = where; \
        const uint64_t sp = cpu->regs[X86_RSP] - 8; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, sp); \
        if (unlikely(!x86_hit_write(t, sp, 8))) { \
            cpu->rip = to; \
            X86_BECOME(call64_to_rip); \
        } \
        const uint64_t back = cpu->regs[X86_REG_PAGE] + op->pc_off + op->len; \
        const X86Op *next = x86_jump_target(cpu, to); \
        if (unlikely(next == NULL)) { \
            X86_BECOME(call64_to_rip); \
        } \
        *(X86Mem64 *)x86_hit_host(t, sp) = back; \
        cpu->regs[X86_RSP] = sp; \
        X86_DISPATCH(cpu, next); \
    }
DEF_CALL64(x86_op_call64_page, cpu->regs[X86_REG_PAGE] + op->pc_off + op->len + (int64_t)op->disp)
DEF_CALL64(x86_op_call_r64, cpu->regs[op->reg])
DEF_CALL64(x86_op_call_ea64, x86_ld64(cpu, op, cpu->ea))

/* In the page: the operation that follows is an x86_op_jmp to the target. */
static X86_SLOW_OP(call64_slow)
{
    const uint64_t sp = cpu->regs[X86_RSP] - 8;

    x86_st_slow(cpu, op, sp, x86_next_rip(cpu, op), 8);
    cpu->regs[X86_RSP] = sp;
    NEXT;
}

X86_OP(x86_op_call64)
{
    const uint64_t sp = cpu->regs[X86_RSP] - 8;
    const X86TlbEntry *t = x86_tlb_entry(cpu, sp);

    if (unlikely(!x86_hit_write(t, sp, 8))) {
        X86_BECOME(call64_slow);
    }
    *(X86Mem64 *)x86_hit_host(t, sp) = cpu->regs[X86_REG_PAGE] + op->pc_off + op->len;
    cpu->regs[X86_RSP] = sp;
    if (likely(op[1].fn == x86_op_jmp_linked)) {
        X86_GO(op[1].next);
    }
    NEXT;
}

static X86_SLOW_OP(ret64_slow)
{
    const uint64_t rip = x86_ld_slow(cpu, op, cpu->regs[X86_RSP], 8);

    check_target(cpu, op, rip);
    cpu->regs[X86_RSP] += 8 + (uint32_t)op->imm;
    X86_JUMP(rip);
}

X86_OP(x86_op_ret64)
{
    const uint64_t sp = cpu->regs[X86_RSP];
    const X86TlbEntry *t = x86_tlb_entry(cpu, sp);

    if (unlikely(!x86_hit_read(t, sp, 8))) {
        X86_BECOME(ret64_slow);
    }
    const X86Op *next = x86_jump_target(cpu, *(X86Mem64 *)x86_hit_host(t, sp));
    if (unlikely(next == NULL)) {
        X86_BECOME(ret64_slow);
    }
    cpu->regs[X86_RSP] = sp + 8 + (uint32_t)op->imm;
    X86_DISPATCH(cpu, next);
}

#define DEF_JMP64(name, where) \
    X86_OP(name) \
    { \
        const X86Op *next = x86_jump_target(cpu, where); \
        if (unlikely(next == NULL)) { \
            X86_BECOME(missed); \
        } \
        X86_DISPATCH(cpu, next); \
    }
DEF_JMP64(x86_op_jmp_r64, cpu->regs[op->reg])
DEF_JMP64(x86_op_jmp_ea64, x86_ld64(cpu, op, cpu->ea))

/* ---- the same in any mode; aux is the operand size --------------------------------------------------------------- */

static uint64_t load_by_size(X86Cpu *cpu, const X86Op *op)
{
    return op->aux == 8 ? x86_ld64(cpu, op, cpu->ea) : op->aux == 4 ? x86_ld32(cpu, op, cpu->ea)
                                                                    : x86_ld16(cpu, op, cpu->ea);
}

static uint64_t cut(uint64_t value, unsigned size)
{
    return size == 8 ? value : size == 4 ? (uint32_t)value : (uint16_t)value;
}

static __attribute__((noinline)) uint64_t call_near(X86Cpu *cpu, const X86Op *op, uint64_t rip)
{
    uint64_t sp = cpu->regs[X86_RSP];

    check_target(cpu, op, rip);
    cpu->op = op;
    x86_push(cpu, &sp, x86_next_rip(cpu, op), op->aux);
    x86_set_sp(cpu, sp);
    return rip;
}

X86_OP(x86_op_call)
{
    X86_JUMP(call_near(cpu, op, target(cpu, op)));
}

X86_OP(x86_op_call_r)
{
    X86_JUMP(call_near(cpu, op, cut(cpu->regs[op->reg], op->aux)));
}

X86_OP(x86_op_call_ea)
{
    X86_JUMP(call_near(cpu, op, load_by_size(cpu, op)));
}

static __attribute__((noinline)) uint64_t ret_near(X86Cpu *cpu, const X86Op *op)
{
    uint64_t sp = cpu->regs[X86_RSP];
    uint64_t rip;

    cpu->op = op;
    rip = x86_pop(cpu, &sp, op->aux);
    check_target(cpu, op, rip);
    x86_set_sp(cpu, sp + (uint32_t)op->imm);
    return rip;
}

X86_OP(x86_op_ret)
{
    X86_JUMP(ret_near(cpu, op));
}

X86_OP(x86_op_jmp_r)
{
    const uint64_t rip = cut(cpu->regs[op->reg], op->aux);

    check_target(cpu, op, rip);
    X86_JUMP(rip);
}

X86_OP(x86_op_jmp_ea)
{
    const uint64_t rip = load_by_size(cpu, op);

    check_target(cpu, op, rip);
    X86_JUMP(rip);
}

/* LOOPNE, LOOPE, LOOP, JCXZ: the count register has the address size. */
X86_OP(x86_op_loop)
{
    uint64_t count = cut(cpu->regs[X86_RCX], op->aux);
    bool taken;

    if (op->rm == 3) {
        taken = count == 0;
    } else {
        count = cut(count - 1, op->aux);
        taken = count != 0 && (op->rm == 2 || x86_cc_test(cpu, 4) == (op->rm == 1));
        if (taken && leaves_block(op->next) && op->next->pc_off == op->pc_off) {
            /* Its own way out, not yet linked to a block: while the register is what it was. */
            check_target(cpu, op, target(cpu, op->next));
        }
        if (op->aux == 2) {
            X86_R16(X86_RCX) = (uint16_t)count;
        } else {
            cpu->regs[X86_RCX] = count;
        }
    }
    if (taken) {
        X86_GO(op->next);
    }
    NEXT;
}
