/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String operations: MOVS, STOS, LODS, SCAS, CMPS, INS, OUTS, alone and repeated.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Registers are put back after each step, so a fault or an interrupt finds the instruction where it is and it goes on
 * from there.  A repeated MOVS or STOS that goes upward through plain RAM is done by whole parts of pages.
 *
 * op->aux: element size; op->rm: segment of the source; op->base: address size; op->index: X86_REP_*.
 */
#include <string.h>
#include "target/i386/bus.h"
#include "target/i386/decode.h"
#include "target/i386/ops.h"
#include "target/i386/system.h"

typedef struct String {
    X86Cpu *cpu;
    const X86Op *op;
    unsigned size;
    uint64_t mask;  /* of offsets and of the count */
    int64_t step;
    bool flat;      /* no bases, no limits */
} String;

static String string_begin(X86Cpu *cpu, const X86Op *op)
{
    const bool code64 = x86_is_64(cpu);

    cpu->op = op;
    return (String) {
        .cpu = cpu, .op = op, .size = op->aux,
        .mask = op->base == 8 ? ~(uint64_t)0 : op->base == 4 ? 0xffffffffu : 0xffffu,
        .step = cpu->rflags & X86_DF ? -(int64_t)op->aux : op->aux,
        .flat = code64 || (cpu->code_flags & X86_CODE_FLAT && op->rm != X86_CS && op->rm < X86_FS),
    };
}

/* A register by the address size. */
static void set_register(const String *s, unsigned reg, uint64_t value)
{
    X86Cpu *cpu = s->cpu;

    if (s->op->base == 2) {
        X86_R16(reg) = (uint16_t)value;
    } else {
        cpu->regs[reg] = value & s->mask;
    }
}

static uint64_t source(const String *s, X86Access access)
{
    X86Cpu *cpu = s->cpu;
    const uint64_t offset = cpu->regs[X86_RSI] & s->mask;

    if (s->flat) {
        return s->op->rm >= X86_FS ? offset + cpu->seg[s->op->rm].base : offset;
    }
    return x86_segment_address(cpu, s->op->rm, offset, s->size, access);
}

static uint64_t destination(const String *s, X86Access access)
{
    X86Cpu *cpu = s->cpu;
    const uint64_t offset = cpu->regs[X86_RDI] & s->mask;

    return s->flat ? offset : x86_segment_address(cpu, X86_ES, offset, s->size, access);
}

static uint64_t load(const String *s, uint64_t addr)
{
    switch (s->size) {
    case 1:
        return x86_ld8(s->cpu, s->op, addr);
    case 2:
        return x86_ld16(s->cpu, s->op, addr);
    case 4:
        return x86_ld32(s->cpu, s->op, addr);
    default:
        return x86_ld64(s->cpu, s->op, addr);
    }
}

static void store(const String *s, uint64_t addr, uint64_t value)
{
    switch (s->size) {
    case 1:
        x86_st8(s->cpu, s->op, addr, (uint8_t)value);
        break;
    case 2:
        x86_st16(s->cpu, s->op, addr, (uint16_t)value);
        break;
    case 4:
        x86_st32(s->cpu, s->op, addr, (uint32_t)value);
        break;
    default:
        x86_st64(s->cpu, s->op, addr, value);
        break;
    }
}

static void advance(const String *s, bool si, bool di, uint64_t elements)
{
    if (si) {
        set_register(s, X86_RSI, s->cpu->regs[X86_RSI] + (uint64_t)s->step * elements);
    }
    if (di) {
        set_register(s, X86_RDI, s->cpu->regs[X86_RDI] + (uint64_t)s->step * elements);
    }
}

/* One element of each operation. */
typedef void Step(const String *s);

static void movs(const String *s)
{
    store(s, destination(s, X86_WRITE), load(s, source(s, X86_READ)));
    advance(s, true, true, 1);
}

static void stos(const String *s)
{
    store(s, destination(s, X86_WRITE), s->cpu->regs[X86_RAX]);
    advance(s, false, true, 1);
}

static void lods(const String *s)
{
    X86Cpu *cpu = s->cpu;
    const uint64_t value = load(s, source(s, X86_READ));

    switch (s->size) {
    case 1:
        X86_R8(0) = (uint8_t)value;
        break;
    case 2:
        X86_R16(X86_RAX) = (uint16_t)value;
        break;
    default:
        cpu->regs[X86_RAX] = value;
        break;
    }
    advance(s, true, false, 1);
}

static int64_t extend(uint64_t value, unsigned size)
{
    return size == 1 ? (int8_t)value : size == 2 ? (int16_t)value : size == 4 ? (int32_t)value : (int64_t)value;
}

static void compare(const String *s, uint64_t a, uint64_t b)
{
    x86_cc_set(s->cpu, X86_CC_SUB, extend(a - b, s->size), extend(a, s->size), extend(b, s->size));
}

static void scas(const String *s)
{
    compare(s, s->cpu->regs[X86_RAX], load(s, destination(s, X86_READ)));
    advance(s, false, true, 1);
}

static void cmps(const String *s)
{
    const uint64_t b = load(s, destination(s, X86_READ)); /* faults first, as on processors seen */

    compare(s, load(s, source(s, X86_READ)), b);
    advance(s, true, true, 1);
}

static void ins(const String *s)
{
    X86Cpu *cpu = s->cpu;
    const uint16_t port = X86_R16(X86_RDX);
    const uint64_t addr = destination(s, X86_WRITE);

    x86_check_io(cpu, port, s->size);
    x86_probe_write(cpu, s->op, addr, s->size);
    store(s, addr, x86_bus_port_in(cpu, port, s->size));
    advance(s, false, true, 1);
}

static void outs(const String *s)
{
    X86Cpu *cpu = s->cpu;
    const uint16_t port = X86_R16(X86_RDX);

    x86_check_io(cpu, port, s->size);
    x86_bus_port_out(cpu, port, (uint32_t)load(s, source(s, X86_READ)), s->size);
    advance(s, true, false, 1);
}

/* How many whole elements from ADDR on lie in its page, at most COUNT. */
static uint64_t in_page(uint64_t addr, uint64_t count, unsigned size)
{
    const uint64_t room = (X86_PAGE - (addr & (X86_PAGE - 1))) / size;

    return room < count ? room : count;
}

/* Does a part of a repeated MOVS or STOS at once; how many elements, 0 when one must go the general way. */
static uint64_t bulk_stos(const String *s, uint64_t count)
{
    X86Cpu *cpu = s->cpu;
    const uint64_t value = cpu->regs[X86_RAX];
    const uint64_t addr = cpu->regs[X86_RDI] & s->mask;
    const uint64_t n = in_page(addr, count, s->size);
    X86TlbEntry *t = x86_tlb_entry(cpu, addr);
    uint8_t *p;

    if (n == 0 || !x86_hit_write(t, addr, 1)) {
        return 0;
    }
    p = x86_hit_host(t, addr);
    if (s->size == 1 || value == 0) {
        memset(p, (int)(uint8_t)value, n * s->size);
    } else {
        for (uint64_t i = 0; i < n; i++, p += s->size) {
            memcpy(p, &value, s->size);
        }
    }
    advance(s, false, true, n);
    return n;
}

static uint64_t bulk_movs(const String *s, uint64_t count)
{
    X86Cpu *cpu = s->cpu;
    const uint64_t from = source(s, X86_READ), to = cpu->regs[X86_RDI] & s->mask;
    const uint64_t n = in_page(from, in_page(to, count, s->size), s->size);
    X86TlbEntry *tf = x86_tlb_entry(cpu, from), *tt = x86_tlb_entry(cpu, to);
    uint8_t *pf, *pt;

    if (n == 0 || !x86_hit_read(tf, from, 1) || !x86_hit_write(tt, to, 1)) {
        return 0;
    }
    pf = x86_hit_host(tf, from);
    pt = x86_hit_host(tt, to);
    if ((uintptr_t)pt - (uintptr_t)pf < n * s->size) {
        /* The destination overlaps what is still to be read: elements repeat. */
        for (uint64_t i = 0; i < n; i++, pf += s->size, pt += s->size) {
            uint64_t value = 0;

            memcpy(&value, pf, s->size);
            memcpy(pt, &value, s->size);
        }
    } else {
        memmove(pt, pf, n * s->size);
    }
    advance(s, true, true, n);
    return n;
}

typedef uint64_t Bulk(const String *s, uint64_t count);

/* Whether the instruction is finished; else it is to be left for an interrupt, and begun again. */
static bool repeat(X86Cpu *cpu, const X86Op *op, Step *step, Bulk *bulk, bool conditional)
{
    const String s = string_begin(cpu, op);
    uint64_t count;

    if (op->index == X86_REP_NONE) {
        step(&s);
        return true;
    }
    if (cpu->one_insn || !s.flat || s.step < 0) {
        bulk = NULL;
    }
    count = cpu->regs[X86_RCX] & s.mask;
    if (count == 0) {
        if (step == ins || step == outs) {
            x86_check_io_rights(cpu, X86_R16(X86_RDX), s.size); /* which comes before the count */
        }
        return true;
    }
    for (;;) {
        const uint64_t done = bulk ? bulk(&s, count) : 0;

        if (done == 0) {
            step(&s);
        }
        count -= done ? done : 1;
        set_register(&s, X86_RCX, count);
        if (count == 0 || (conditional && x86_cc_test(cpu, 4) != (op->index == X86_REP_F3))) {
            return true;
        }
        if (atomic_load_explicit(&cpu->attention, memory_order_relaxed)) {
            return false;
        }
    }
}

#define DEF_STRING(name, bulk, conditional) \
    static __attribute__((noinline)) bool name##_all(X86Cpu *cpu, const X86Op *op) \
    { \
        return repeat(cpu, op, name, bulk, conditional); \
    } \
    X86_OP(x86_op_##name) \
    { \
        if (unlikely(!name##_all(cpu, op))) { \
            return x86_leave_to(cpu, x86_op_rip(cpu, op)); \
        } \
        NEXT; \
    }
DEF_STRING(movs, bulk_movs, false)
DEF_STRING(stos, bulk_stos, false)
DEF_STRING(lods, NULL, false)
DEF_STRING(scas, NULL, true)
DEF_STRING(cmps, NULL, true)
DEF_STRING(ins, NULL, false)
DEF_STRING(outs, NULL, false)
