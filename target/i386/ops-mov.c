/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves: MOV, MOVZX, MOVSX, LEA, addresses of memory operands, PUSH and POP.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"
#include "target/i386/system.h"

/* ---- MOV --------------------------------------------------------------------------------------------------------- */

#define DEF_MOV(s) \
    static X86_OP(mov_rr##s) \
    { \
        X86_WR##s(op->reg, X86_RD##s(op->rm)); \
        NEXT; \
    } \
    static X86_OP(mov_ri##s) \
    { \
        X86_WR##s(op->reg, op->imm64); \
        NEXT; \
    }
DEF_MOV(8)
DEF_MOV(16)
DEF_MOV(32)
DEF_MOV(64)

/* reg (of DS bits) <- memory (SS bits) converted by CONVERT. */
#define DEF_LOAD(name, ss, ds, e, convert) \
    static X86_SLOW_OP(name##_slow) \
    { \
        X86_WR##ds(op->reg, (convert)x86_ld_slow(cpu, op, X86_ADDR_##e, ss / 8)); \
        NEXT; \
    } \
    static X86_OP(name) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(!x86_hit_read(t, addr, ss / 8))) { \
            X86_BECOME(name##_slow); \
        } \
        X86_WR##ds(op->reg, (convert)*(X86Mem##ss *)x86_hit_host(t, addr)); \
        NEXT; \
    }
#define DEF_STORE(name, s, e, source) \
    static X86_SLOW_OP(name##_slow) \
    { \
        x86_st_slow(cpu, op, X86_ADDR_##e, (uint##s##_t)(source), s / 8); \
        NEXT; \
    } \
    static X86_OP(name) \
    { \
        const uint64_t addr = X86_ADDR_##e; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(!x86_hit_write(t, addr, s / 8))) { \
            X86_BECOME(name##_slow); \
        } \
        *(X86Mem##s *)x86_hit_host(t, addr) = (uint##s##_t)(source); \
        NEXT; \
    }
#define DEF_MOV_E(s, e) \
    DEF_LOAD(mov_rm##s##e, s, s, e, uint##s##_t) \
    DEF_STORE(mov_mr##s##e, s, e, X86_RD##s(op->reg)) \
    DEF_STORE(mov_mi##s##e, s, e, (int64_t)op->imm)
#define DEF_MOV_S(s) DEF_MOV_E(s, BD) DEF_MOV_E(s, BIS) DEF_MOV_E(s, EA)
DEF_MOV_S(8)
DEF_MOV_S(16)
DEF_MOV_S(32)
DEF_MOV_S(64)

#define SIZES(x) { x##8, x##16, x##32, x##64 }
#define SIZES_E(x, e) { x##8##e, x##16##e, x##32##e, x##64##e }
#define EAS(x) { [X86_BD] = SIZES_E(x, BD), [X86_BIS] = SIZES_E(x, BIS), [X86_EA] = SIZES_E(x, EA) }
X86Fn *const x86_mov_rr[X86_SIZES] = SIZES(mov_rr);
X86Fn *const x86_mov_ri[X86_SIZES] = SIZES(mov_ri);
X86Fn *const x86_mov_rm[X86_EAS][X86_SIZES] = EAS(mov_rm);
X86Fn *const x86_mov_mr[X86_EAS][X86_SIZES] = EAS(mov_mr);
X86Fn *const x86_mov_mi[X86_EAS][X86_SIZES] = EAS(mov_mi);

/* ---- MOVZX, MOVSX, MOVSXD ---------------------------------------------------------------------------------------- */

#define DEF_MOVX(x, c, ss, ds) \
    static X86_OP(x##_rr_##ss##_##ds) \
    { \
        X86_WR##ds(op->reg, (c##ss##_t)X86_RD##ss(op->rm)); \
        NEXT; \
    } \
    DEF_LOAD(x##_rm_##ss##_##ds##BD, ss, ds, BD, c##ss##_t) \
    DEF_LOAD(x##_rm_##ss##_##ds##BIS, ss, ds, BIS, c##ss##_t) \
    DEF_LOAD(x##_rm_##ss##_##ds##EA, ss, ds, EA, c##ss##_t)
#define DEF_MOVX_S(x, c) \
    DEF_MOVX(x, c, 8, 16) DEF_MOVX(x, c, 8, 32) DEF_MOVX(x, c, 8, 64) \
    DEF_MOVX(x, c, 16, 16) DEF_MOVX(x, c, 16, 32) DEF_MOVX(x, c, 16, 64)
DEF_MOVX_S(zx, uint)
DEF_MOVX_S(sx, int)
DEF_MOVX(sx, int, 32, 32)
DEF_MOVX(sx, int, 32, 64)
/* MOVSXD with a 16-bit operand moves 16 bits. */
#define MOVX_ZX(k, e) { { NULL, zx_##k##_8_16##e, zx_##k##_8_32##e, zx_##k##_8_64##e }, \
                        { NULL, zx_##k##_16_16##e, zx_##k##_16_32##e, zx_##k##_16_64##e } }
#define MOVX_SX(k, e) { { NULL, sx_##k##_8_16##e, sx_##k##_8_32##e, sx_##k##_8_64##e }, \
                        { NULL, sx_##k##_16_16##e, sx_##k##_16_32##e, sx_##k##_16_64##e }, \
                        { NULL, sx_##k##_16_16##e, sx_##k##_32_32##e, sx_##k##_32_64##e } }
X86Fn *const x86_movx_rr[2][3][X86_SIZES] = { MOVX_ZX(rr, ), MOVX_SX(rr, ) };
X86Fn *const x86_movx_rm[X86_EAS][2][3][X86_SIZES] = {
    [X86_BD] = { MOVX_ZX(rm, BD), MOVX_SX(rm, BD) },
    [X86_BIS] = { MOVX_ZX(rm, BIS), MOVX_SX(rm, BIS) },
    [X86_EA] = { MOVX_ZX(rm, EA), MOVX_SX(rm, EA) },
};

/* ---- LEA and operand addresses ----------------------------------------------------------------------------------- */

#define DEF_LEA(s) \
    static X86_OP(lea_bd##s) \
    { \
        X86_WR##s(op->reg, X86_ADDR_BD); \
        NEXT; \
    } \
    static X86_OP(lea_bis##s) \
    { \
        X86_WR##s(op->reg, X86_ADDR_BIS); \
        NEXT; \
    }
DEF_LEA(16)
DEF_LEA(32)
DEF_LEA(64)
X86Fn *const x86_lea[2][X86_SIZES] = {
    [X86_BD] = { NULL, lea_bd16, lea_bd32, lea_bd64 },
    [X86_BIS] = { NULL, lea_bis16, lea_bis32, lea_bis64 },
};

/* The offset by address size SIZE. */
static inline uint64_t offset(const X86Cpu *cpu, const X86Op *op, unsigned size)
{
    uint64_t value = X86_ADDR_BIS;

    return size == 8 ? value : size == 4 ? (uint32_t)value : (uint16_t)value;
}

X86_OP(x86_op_lea_general)
{
    uint64_t value = offset(cpu, op, (unsigned)op->imm);

    switch (op->aux) {
    case 2:
        X86_WR16(op->reg, value);
        break;
    case 4:
        X86_WR32(op->reg, value);
        break;
    default:
        X86_WR64(op->reg, value);
        break;
    }
    NEXT;
}

X86_OP(x86_op_ea_bd)
{
    cpu->ea = X86_ADDR_BD;
    NEXT;
}

X86_OP(x86_op_ea_bis)
{
    cpu->ea = X86_ADDR_BIS;
    NEXT;
}

/* 64-bit mode, FS or GS (aux). */
X86_OP(x86_op_ea_seg)
{
    cpu->ea = X86_ADDR_BD + cpu->seg[op->aux].base;
    NEXT;
}

X86_OP(x86_op_ea_seg_bis)
{
    cpu->ea = X86_ADDR_BIS + cpu->seg[op->aux].base;
    NEXT;
}

/* Flat segments, 32-bit address size. */
X86_OP(x86_op_ea_flat32)
{
    cpu->ea = (uint32_t)X86_ADDR_BIS;
    NEXT;
}

/* 64-bit mode with an address-size prefix; aux: segment. */
X86_OP(x86_op_ea_addr32)
{
    cpu->ea = (uint32_t)X86_ADDR_BIS + (op->aux >= X86_FS ? cpu->seg[op->aux].base : 0);
    NEXT;
}

/* reg: address size; aux: segment; imm: bytes accessed, and X86_EA_WRITE. */
X86_OP(x86_op_ea_general)
{
    cpu->op = op;
    cpu->ea = x86_segment_address(cpu, op->aux, offset(cpu, op, op->reg), op->imm & 0xffff,
                                  op->imm & X86_EA_WRITE ? X86_WRITE : X86_READ);
    NEXT;
}

X86_OP(x86_op_ea_imm64)
{
    cpu->ea = op->imm64 + (op->aux >= X86_FS ? cpu->seg[op->aux].base : 0);
    NEXT;
}

X86_OP(x86_op_ea_xlat)
{
    const uint64_t value = cpu->regs[X86_RBX] + X86_R8(0);

    cpu->op = op;
    cpu->ea = x86_segment_address(cpu, op->aux,
                                  op->reg == 8   ? value
                                  : op->reg == 4 ? (uint32_t)value
                                                 : (uint16_t)value,
                                  1, X86_READ);
    NEXT;
}

/* BT and its kin with a bit number in a register reach memory on both sides of the operand. */
static inline uint64_t bit_offset(const X86Cpu *cpu, const X86Op *op, unsigned size)
{
    const uint64_t value = cpu->regs[op->reg];
    const int64_t bit = size == 2 ? (int16_t)value : size == 4 ? (int32_t)value : (int64_t)value;

    return (uint64_t)(bit >> 3 & ~(int64_t)(size - 1));
}

X86_OP(x86_op_bit_address)
{
    cpu->ea += bit_offset(cpu, op, op->aux);
    NEXT;
}

X86_OP(x86_op_bit_address_general)
{
    const unsigned size = op->imm & 0xff, address_size = op->imm >> 8 & 0xff;
    const uint64_t at = X86_ADDR_BIS + bit_offset(cpu, op, size);

    cpu->op = op;
    cpu->ea = x86_segment_address(cpu, op->aux,
                                  address_size == 8   ? at
                                  : address_size == 4 ? (uint32_t)at
                                                      : (uint16_t)at,
                                  size, op->imm & X86_EA_WRITE ? X86_WRITE : X86_READ);
    NEXT;
}

/* ---- PUSH and POP ------------------------------------------------------------------------------------------------ */

#define DEF_PUSH(name, source) \
    static X86_SLOW_OP(name##_slow) \
    { \
        const uint64_t addr = cpu->regs[X86_RSP] - 8; \
        x86_st_slow(cpu, op, addr, source, 8); \
        cpu->regs[X86_RSP] = addr; \
        NEXT; \
    } \
    X86_OP(name) \
    { \
        const uint64_t addr = cpu->regs[X86_RSP] - 8; \
        const X86TlbEntry *t = x86_tlb_entry(cpu, addr); \
        if (unlikely(!x86_hit_write(t, addr, 8))) { \
            X86_BECOME(name##_slow); \
        } \
        *(X86Mem64 *)x86_hit_host(t, addr) = source; \
        cpu->regs[X86_RSP] = addr; \
        NEXT; \
    }
DEF_PUSH(x86_op_push_r64, cpu->regs[op->reg])
DEF_PUSH(x86_op_push_i64, (uint64_t)(int64_t)op->imm)

static X86_SLOW_OP(pop_r64_slow)
{
    const uint64_t value = x86_ld_slow(cpu, op, cpu->regs[X86_RSP], 8);

    cpu->regs[X86_RSP] += 8;
    cpu->regs[op->reg] = value;
    NEXT;
}

X86_OP(x86_op_pop_r64)
{
    const uint64_t addr = cpu->regs[X86_RSP];
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (unlikely(!x86_hit_read(t, addr, 8))) {
        X86_BECOME(pop_r64_slow);
    }
    const uint64_t value = *(X86Mem64 *)x86_hit_host(t, addr);
    cpu->regs[X86_RSP] = addr + 8;
    cpu->regs[op->reg] = value;
    NEXT;
}

static __attribute__((noinline)) void push(X86Cpu *cpu, const X86Op *op, uint64_t value)
{
    uint64_t sp = cpu->regs[X86_RSP];

    cpu->op = op;
    x86_push(cpu, &sp, value, op->aux);
    x86_set_sp(cpu, sp);
}

static __attribute__((noinline)) uint64_t pop(X86Cpu *cpu, const X86Op *op)
{
    uint64_t sp = cpu->regs[X86_RSP];
    uint64_t value;

    cpu->op = op;
    value = x86_pop(cpu, &sp, op->aux);
    x86_set_sp(cpu, sp);
    return value;
}

X86_OP(x86_op_push_r)
{
    push(cpu, op, cpu->regs[op->reg]);
    NEXT;
}

X86_OP(x86_op_push_i)
{
    push(cpu, op, (uint64_t)(int64_t)op->imm);
    NEXT;
}

X86_OP(x86_op_push_m)
{
    push(cpu, op, op->aux == 8 ? x86_ld64(cpu, op, cpu->ea) : op->aux == 4 ? x86_ld32(cpu, op, cpu->ea)
                                                                          : x86_ld16(cpu, op, cpu->ea));
    NEXT;
}

X86_OP(x86_op_pop_r)
{
    const uint64_t value = pop(cpu, op);

    switch (op->aux) {
    case 2:
        X86_WR16(op->reg, value);
        break;
    case 4:
        X86_WR32(op->reg, value);
        break;
    default:
        X86_WR64(op->reg, value);
        break;
    }
    NEXT;
}

/*
 * POP memory.  RSP as the base of the operand counts as after the pop (by the translator, in disp); a fault of the
 * write leaves RSP alone.
 */
X86_OP(x86_op_pop_m)
{
    const uint64_t sp = cpu->regs[X86_RSP];
    const uint64_t addr = cpu->ea + (uint64_t)op->imm; /* what the displacement has no room for */
    const uint64_t value = pop(cpu, op);
    const uint64_t after = cpu->regs[X86_RSP];

    cpu->regs[X86_RSP] = sp;
    switch (op->aux) {
    case 2:
        x86_st16(cpu, op, addr, (uint16_t)value);
        break;
    case 4:
        x86_st32(cpu, op, addr, (uint32_t)value);
        break;
    default:
        x86_st64(cpu, op, addr, value);
        break;
    }
    cpu->regs[X86_RSP] = after;
    NEXT;
}

static __attribute__((noinline)) void pusha(X86Cpu *cpu, const X86Op *op)
{
    uint64_t sp = cpu->regs[X86_RSP];

    cpu->op = op;
    x86_probe_push(cpu, sp, 8, op->aux);
    for (unsigned i = 0; i < 8; i++) {
        x86_push(cpu, &sp, cpu->regs[i], op->aux);
    }
    x86_set_sp(cpu, sp);
}

X86_OP(x86_op_pusha)
{
    pusha(cpu, op);
    NEXT;
}

static __attribute__((noinline)) void popa(X86Cpu *cpu, const X86Op *op)
{
    uint64_t sp = cpu->regs[X86_RSP];
    uint64_t value[8];

    cpu->op = op;
    for (unsigned i = 8; i-- > 0;) {
        value[i] = x86_pop(cpu, &sp, op->aux);
    }
    x86_set_sp(cpu, sp);
    for (unsigned i = 0; i < 8; i++) {
        if (i == X86_RSP) {
            continue;
        }
        if (op->aux == 2) {
            X86_WR16(i, value[i]);
        } else {
            X86_WR32(i, value[i]);
        }
    }
}

X86_OP(x86_op_popa)
{
    popa(cpu, op);
    NEXT;
}

/* imm: bytes of locals; rm: nesting level. */
static __attribute__((noinline)) void enter(X86Cpu *cpu, const X86Op *op)
{
    const uint64_t stack_mask =
        x86_is_64(cpu) ? ~(uint64_t)0 : cpu->code_flags & X86_CODE_SS32 ? 0xffffffffu : 0xffffu;
    const unsigned level = op->rm & 31;
    uint64_t sp = cpu->regs[X86_RSP], bp = cpu->regs[X86_RBP], frame;

    cpu->op = op;
    x86_push(cpu, &sp, bp, op->aux);
    frame = sp;
    for (unsigned i = 1; i < level; i++) {
        uint64_t from;

        bp -= op->aux;
        from = bp & stack_mask;
        x86_push(cpu, &sp, x86_pop(cpu, &from, op->aux), op->aux);
    }
    if (level > 0) {
        x86_push(cpu, &sp, frame, op->aux);
    }
    sp -= (uint32_t)op->imm;
    /* The stack with the locals is checked as if it were written to, though what is pushed has been. */
    x86_probe_write(cpu, op, x86_segment_address(cpu, X86_SS, sp & stack_mask, op->aux, X86_WRITE), op->aux);
    x86_set_sp(cpu, sp);
    if (op->aux == 2) {
        X86_WR16(X86_RBP, frame);
    } else if (op->aux == 4) {
        X86_WR32(X86_RBP, frame);
    } else {
        X86_WR64(X86_RBP, frame);
    }
}

X86_OP(x86_op_enter)
{
    enter(cpu, op);
    NEXT;
}

X86_OP(x86_op_leave64)
{
    const uint64_t addr = cpu->regs[X86_RBP];
    const uint64_t value = x86_ld64(cpu, op, addr);

    cpu->regs[X86_RSP] = addr + 8;
    cpu->regs[X86_RBP] = value;
    NEXT;
}

static __attribute__((noinline)) void leave_stack(X86Cpu *cpu, const X86Op *op)
{
    const bool wide = cpu->code_flags & (X86_CODE_64 | X86_CODE_SS32);
    uint64_t sp = wide ? cpu->regs[X86_RBP] : (cpu->regs[X86_RSP] & ~(uint64_t)0xffff) | (uint16_t)cpu->regs[X86_RBP];
    uint64_t value;

    cpu->op = op;
    value = x86_pop(cpu, &sp, op->aux);
    x86_set_sp(cpu, sp);
    if (op->aux == 2) {
        X86_WR16(X86_RBP, value);
    } else if (op->aux == 4) {
        X86_WR32(X86_RBP, value);
    } else {
        X86_WR64(X86_RBP, value);
    }
}

X86_OP(x86_op_leave_stack)
{
    leave_stack(cpu, op);
    NEXT;
}
