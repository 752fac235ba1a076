/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bits: BT and its kin, BSF, BSR, POPCNT, CRC32; bytes in the other order.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/ops.h"

#define S4(x) { x##8, x##16, x##32, x##64 }
#define S3(x) { NULL, x##16, x##32, x##64 }

#define V_BT(a, mask) ((void)(mask), (a))
#define V_BTS(a, mask) ((a) | (mask))
#define V_BTR(a, mask) ((a) & ~(mask))
#define V_BTC(a, mask) ((a) ^ (mask))
#define W_BT 0
#define W_BTS 1
#define W_BTR 1
#define W_BTC 1

/* SHAPE_r: the bit number is in a register, SHAPE_i: an immediate. */
#define DEF_BIT(o, s, shape, number, target) \
    static X86_OP(shape##r_##o##s) \
    { \
        const uint##s##_t a = X86_RD##s(target); \
        const unsigned n = (number) & (s - 1); \
        if (W_##o) { \
            X86_WR##s(target, V_##o(a, (uint##s##_t)1 << n)); \
        } \
        x86_cc_set_carry(cpu, a >> n & 1); \
        NEXT; \
    } \
    static __attribute__((noinline)) void shape##memory_##o##s(X86Cpu *cpu, const X86Op *op) \
    { \
        const unsigned n = (number) & (s - 1); \
        const uint##s##_t mask = (uint##s##_t)((uint##s##_t)1 << n); \
        uint##s##_t a; \
        if (!W_##o) { \
            a = x86_ld##s(cpu, op, cpu->ea); \
        } else if (op->aux) { \
            X86_ATOMIC_UPDATE(s, (uint##s##_t)V_##o(a, mask)); \
        } else { \
            x86_probe_write(cpu, op, cpu->ea, s / 8); \
            a = x86_ld##s(cpu, op, cpu->ea); \
            x86_st##s(cpu, op, cpu->ea, (uint##s##_t)V_##o(a, mask)); \
        } \
        x86_cc_set_carry(cpu, a >> n & 1); \
    } \
    static X86_OP(shape##m_##o##s) \
    { \
        shape##memory_##o##s(cpu, op); \
        NEXT; \
    }
#define DEF_BIT_S(o, s) DEF_BIT(o, s, r, cpu->regs[op->reg], op->rm) DEF_BIT(o, s, i, (unsigned)op->imm, op->rm)
#define DEF_BITS(o) DEF_BIT_S(o, 16) DEF_BIT_S(o, 32) DEF_BIT_S(o, 64)
DEF_BITS(BT)
DEF_BITS(BTS)
DEF_BITS(BTR)
DEF_BITS(BTC)
X86Fn *const x86_bit_rr[4][X86_SIZES] = { S3(rr_BT), S3(rr_BTS), S3(rr_BTR), S3(rr_BTC) };
X86Fn *const x86_bit_ri[4][X86_SIZES] = { S3(ir_BT), S3(ir_BTS), S3(ir_BTR), S3(ir_BTC) };
X86Fn *const x86_bit_mr[4][X86_SIZES] = { S3(rm_BT), S3(rm_BTS), S3(rm_BTR), S3(rm_BTC) };
X86Fn *const x86_bit_mi[4][X86_SIZES] = { S3(im_BT), S3(im_BTS), S3(im_BTR), S3(im_BTC) };

/* BSF and BSR of 0 leave the destination.  The other flags are undefined; ZF tells of a source of 0. */
#define DEF_SCAN(s) \
    static void bsf##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        if (v != 0) { \
            X86_WR##s(op->reg, (unsigned)__builtin_ctzll(v)); \
        } \
        x86_cc_logic(cpu, v != 0); \
    } \
    static void bsr##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        if (v != 0) { \
            X86_WR##s(op->reg, 63u - (unsigned)__builtin_clzll(v)); \
        } \
        x86_cc_logic(cpu, v != 0); \
    } \
    static void popcnt##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        X86_WR##s(op->reg, (unsigned)__builtin_popcountll(v)); \
        x86_cc_flags(cpu, v == 0 ? X86_ZF : 0); \
    }
DEF_SCAN(16)
DEF_SCAN(32)
DEF_SCAN(64)

static uint32_t crc32_step(uint32_t crc, uint64_t value, unsigned bits)
{
    /* Remainders of four bits by the reflected polynomial 82F63B78. */
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    for (unsigned i = 0; i < bits; i += 8) {
        crc ^= (uint8_t)(value >> i);
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return crc;
}
/* By the size of the source; the destination has 32 bits, cleared above. */
#define DEF_CRC32(s) \
    static void crc32_##s(X86Cpu *cpu, const X86Op *op, uint##s##_t v) \
    { \
        cpu->regs[op->reg] = crc32_step(X86_R32(op->reg), v, s); \
    }
DEF_CRC32(8)
DEF_CRC32(16)
DEF_CRC32(32)
DEF_CRC32(64)

#define DEF_SOURCE(name, f, s) \
    static X86_OP(name##_rr##s) \
    { \
        f##s(cpu, op, X86_RD##s(op->rm)); \
        NEXT; \
    } \
    static X86_OP(name##_rm##s) \
    { \
        f##s(cpu, op, x86_ld##s(cpu, op, cpu->ea)); \
        NEXT; \
    }
#define DEF_SOURCES(name) DEF_SOURCE(name, name, 16) DEF_SOURCE(name, name, 32) DEF_SOURCE(name, name, 64)
DEF_SOURCES(bsf)
DEF_SOURCES(bsr)
DEF_SOURCES(popcnt)
DEF_SOURCE(crc32, crc32_, 8)
DEF_SOURCE(crc32, crc32_, 16)
DEF_SOURCE(crc32, crc32_, 32)
DEF_SOURCE(crc32, crc32_, 64)
X86Fn *const x86_bsf_rr[X86_SIZES] = S3(bsf_rr);
X86Fn *const x86_bsf_rm[X86_SIZES] = S3(bsf_rm);
X86Fn *const x86_bsr_rr[X86_SIZES] = S3(bsr_rr);
X86Fn *const x86_bsr_rm[X86_SIZES] = S3(bsr_rm);
X86Fn *const x86_popcnt_rr[X86_SIZES] = S3(popcnt_rr);
X86Fn *const x86_popcnt_rm[X86_SIZES] = S3(popcnt_rm);
X86Fn *const x86_crc32_rr[X86_SIZES] = S4(crc32_rr);
X86Fn *const x86_crc32_rm[X86_SIZES] = S4(crc32_rm);

#define DEF_MOVBE(s) \
    static X86_OP(movbe_rm##s) \
    { \
        X86_WR##s(op->reg, __builtin_bswap##s(x86_ld##s(cpu, op, cpu->ea))); \
        NEXT; \
    } \
    static X86_OP(movbe_mr##s) \
    { \
        x86_st##s(cpu, op, cpu->ea, __builtin_bswap##s(X86_RD##s(op->reg))); \
        NEXT; \
    }
DEF_MOVBE(16)
DEF_MOVBE(32)
DEF_MOVBE(64)
X86Fn *const x86_movbe_rm[X86_SIZES] = S3(movbe_rm);
X86Fn *const x86_movbe_mr[X86_SIZES] = S3(movbe_mr);

X86_OP(x86_op_bswap32)
{
    cpu->regs[op->reg] = __builtin_bswap32(X86_R32(op->reg));
    NEXT;
}

X86_OP(x86_op_bswap64)
{
    cpu->regs[op->reg] = __builtin_bswap64(cpu->regs[op->reg]);
    NEXT;
}
