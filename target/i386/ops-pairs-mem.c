/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs and triples of steps (ops-steps.h) with memory operands.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops-steps.h"

/* A memory operand and registers, either first. */
#define DEF_FREE(a, b) X86_DEF_PAIR(mem, a, b, 0)
#define DEF_LINKED(a, b) X86_DEF_PAIR(mem_reg, a, b, X86_LINK_REG)
#define DEF_MEMORY_ROW(a) X86_MOVE_STEPS2(DEF_FREE, a) X86_ALU_STEPS2(DEF_FREE, a)
#define DEF_LOAD_ROW(a) X86_ALU_STEPS2(DEF_LINKED, a)
#define DEF_REG_ROW(a) X86_MEMORY_STEPS2(DEF_FREE, a)
X86_MEMORY_STEPS(DEF_MEMORY_ROW)
X86_LOAD_STEPS(DEF_LOAD_ROW)
X86_MOVE_STEPS(DEF_REG_ROW)
X86_ALU_STEPS(DEF_REG_ROW)

#define ENTRY(a, b) [X86_STEP_##b] = mem_##a##_##b,
#define MEMORY_ROW(a) [X86_STEP_##a - X86_REG_STEP_COUNT] = { X86_MOVE_STEPS2(ENTRY, a) X86_ALU_STEPS2(ENTRY, a) },
X86Fn *const x86_pair_mem_reg[X86_MEM_STEP_COUNT][X86_REG_STEP_COUNT] = { X86_MEMORY_STEPS(MEMORY_ROW) };

#define ENTRY_LINKED(a, b) [X86_STEP_##b] = mem_reg_##a##_##b,
#define LOAD_ROW(a) [X86_STEP_##a - X86_REG_STEP_COUNT] = { X86_ALU_STEPS2(ENTRY_LINKED, a) },
X86Fn *const x86_pair_load_reg[X86_MEM_STEP_COUNT][X86_REG_STEP_COUNT] = { X86_LOAD_STEPS(LOAD_ROW) };

#define ENTRY_MEMORY(a, b) [X86_STEP_##b - X86_REG_STEP_COUNT] = mem_##a##_##b,
#define REG_ROW(a) [X86_STEP_##a] = { X86_MEMORY_STEPS2(ENTRY_MEMORY, a) },
X86Fn *const x86_pair_reg_mem[X86_REG_STEP_COUNT][X86_MEM_STEP_COUNT] = {
    X86_MOVE_STEPS(REG_ROW) X86_ALU_STEPS(REG_ROW)
};

/* Two memory operands: anywhere, and with one look into the TLB. */
#define DEF_MEMORY_MEMORY_ROW(a) X86_MEMORY_STEPS2(DEF_FREE, a)
X86_MEMORY_STEPS(DEF_MEMORY_MEMORY_ROW)

#define MEMORY_MEMORY_ROW(a) [X86_STEP_##a - X86_REG_STEP_COUNT] = { X86_MEMORY_STEPS2(ENTRY_MEMORY, a) },
X86Fn *const x86_pair_mem_mem[X86_MEM_STEP_COUNT][X86_MEM_STEP_COUNT] = { X86_MEMORY_STEPS(MEMORY_MEMORY_ROW) };

#define FOR_PAGE_PAIRS(X) \
    X(ld32, ld32) X(ld32, ld64) X(ld64, ld32) X(ld64, ld64) X(st32, st32) X(st32, st64) X(st64, st32) X(st64, st64) \
    X(push, push) X(pop, pop)
#define DEF_PAGE_PAIR(a, b) X86_DEF_PAIR(page, a, b, X86_LINK_PAGE)
FOR_PAGE_PAIRS(DEF_PAGE_PAIR)
#define PAGE_ENTRY(a, b) [X86_STEP_##a - X86_REG_STEP_COUNT][X86_STEP_##b - X86_REG_STEP_COUNT] = page_##a##_##b,
X86Fn *const x86_pair_page[X86_MEM_STEP_COUNT][X86_MEM_STEP_COUNT] = { FOR_PAGE_PAIRS(PAGE_ENTRY) };

#define FOR_RUNS(X) X(ld32) X(ld64) X(st32) X(st64) X(push) X(pop)
#define DEF_TRIPLE(a) \
    static X86_OP(triple_##a) \
    { \
        X86_FIRST(a) \
        X86_THEN(1, a, X86_LINK_PAGE) \
        X86_THEN(2, a, X86_LINK_PAGE) \
        X86_DISPATCH(cpu, op + 3); \
    }
FOR_RUNS(DEF_TRIPLE)
#define TRIPLE_ENTRY(a) [X86_STEP_##a - X86_REG_STEP_COUNT] = triple_##a,
X86Fn *const x86_triple_page[X86_MEM_STEP_COUNT] = { FOR_RUNS(TRIPLE_ENTRY) };
#define DEF_QUAD(a) \
    static X86_OP(quad_##a) \
    { \
        X86_FIRST(a) \
        X86_THEN(1, a, X86_LINK_PAGE) \
        X86_THEN(2, a, X86_LINK_PAGE) \
        X86_THEN(3, a, X86_LINK_PAGE) \
        X86_DISPATCH(cpu, op + 4); \
    }
FOR_RUNS(DEF_QUAD)
#define QUAD_ENTRY(a) [X86_STEP_##a - X86_REG_STEP_COUNT] = quad_##a,
X86Fn *const x86_quad_page[X86_MEM_STEP_COUNT] = { FOR_RUNS(QUAD_ENTRY) };
