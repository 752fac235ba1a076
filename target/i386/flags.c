/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lazy arithmetic flags: evaluation.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include "target/i386/flags.h"

bool x86_cc_carry(const X86Cpu *cpu)
{
    uint64_t a = cpu->cc_a, b = cpu->cc_b, r = cpu->cc_dst;

    switch (cpu->cc_op) {
    case X86_CC_FLAGS:
        return a & X86_CF;
    case X86_CC_ADD:
        return r < a;
    case X86_CC_ADC:
        return ((a & b) | ((a | b) & ~r)) >> 63;
    case X86_CC_SUB:
        return a < b;
    case X86_CC_SBB:
        return ((~a & b) | ((~a | b) & r)) >> 63;
    case X86_CC_INC:
    case X86_CC_DEC:
    case X86_CC_CO:
        return b;
    default:
        return false;
    }
}

static bool overflow(const X86Cpu *cpu)
{
    uint64_t a = cpu->cc_a, b = cpu->cc_b, r = cpu->cc_dst;

    switch (cpu->cc_op) {
    case X86_CC_FLAGS:
        return a & X86_OF;
    case X86_CC_ADD:
    case X86_CC_ADC:
        return ((a ^ r) & (b ^ r)) >> 63;
    case X86_CC_SUB:
    case X86_CC_SBB:
        return ((a ^ b) & (a ^ r)) >> 63;
    case X86_CC_INC:
        return (~a & r) >> 63;
    case X86_CC_DEC:
        return (a & ~r) >> 63;
    case X86_CC_CO:
        return a;
    default:
        return false;
    }
}

static bool adjust(const X86Cpu *cpu)
{
    switch (cpu->cc_op) {
    case X86_CC_FLAGS:
        return cpu->cc_a & X86_AF;
    case X86_CC_ADD:
    case X86_CC_ADC:
    case X86_CC_SUB:
    case X86_CC_SBB:
        return (cpu->cc_a ^ cpu->cc_b ^ cpu->cc_dst) & 0x10;
    case X86_CC_INC:
    case X86_CC_DEC:
        return (cpu->cc_a ^ cpu->cc_dst) & 0x10;
    default:
        return false;
    }
}

static bool zero(const X86Cpu *cpu)
{
    return cpu->cc_op == X86_CC_FLAGS ? (cpu->cc_a & X86_ZF) != 0 : cpu->cc_dst == 0;
}

static bool sign(const X86Cpu *cpu)
{
    return cpu->cc_op == X86_CC_FLAGS ? (cpu->cc_a & X86_SF) != 0 : (int64_t)cpu->cc_dst < 0;
}

static bool parity(const X86Cpu *cpu)
{
    return cpu->cc_op == X86_CC_FLAGS ? (cpu->cc_a & X86_PF) != 0 : !__builtin_parity(cpu->cc_dst & 0xff);
}

uint32_t x86_cc_all(const X86Cpu *cpu)
{
    if (cpu->cc_op == X86_CC_FLAGS) {
        return (uint32_t)cpu->cc_a;
    }
    return (x86_cc_carry(cpu) ? X86_CF : 0) | (parity(cpu) ? X86_PF : 0) | (adjust(cpu) ? X86_AF : 0) |
           (zero(cpu) ? X86_ZF : 0) | (sign(cpu) ? X86_SF : 0) | (overflow(cpu) ? X86_OF : 0);
}

bool x86_cc_test(const X86Cpu *cpu, unsigned condition)
{
    bool yes;

    switch (condition >> 1) {
    case 0:
        yes = overflow(cpu);
        break;
    case 1:
        yes = x86_cc_carry(cpu);
        break;
    case 2:
        yes = zero(cpu);
        break;
    case 3:
        yes = zero(cpu) || x86_cc_carry(cpu);
        break;
    case 4:
        yes = sign(cpu);
        break;
    case 5:
        yes = parity(cpu);
        break;
    case 6:
        yes = sign(cpu) != overflow(cpu);
        break;
    default:
        yes = zero(cpu) || sign(cpu) != overflow(cpu);
        break;
    }
    return yes != (condition & 1);
}

uint64_t x86_get_rflags(X86Cpu *cpu)
{
    return cpu->rflags | x86_cc_all(cpu);
}

void x86_set_rflags(X86Cpu *cpu, uint64_t value)
{
    x86_cc_flags(cpu, (uint32_t)value);
    cpu->rflags = (value & ~(uint64_t)X86_ARITH) | 2;
}
