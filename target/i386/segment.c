/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers, and what all that change them need: descriptors, stacks, addresses.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Sources: AMD APM volume 2, chapter 4; Intel SDM volume 3, chapters 3 and 5.
 */
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define RPL 3u
#define TI 4u /* selector: in the LDT */

/* ---- descriptors ----------------------------------------------------------------------------------------------- */

uint32_t x86_desc_limit(const X86Desc *d)
{
    uint32_t limit = (d->low & 0xffff) | (d->low >> 32 & 0xf0000);

    return d->low >> 55 & 1 ? limit << 12 | 0xfff : limit;
}

void x86_desc_segment(const X86Desc *d, uint16_t selector, X86Segment *ret_segment)
{
    ret_segment->selector = selector;
    ret_segment->attr = d->low >> 40 & 0xf0ff;
    ret_segment->limit = x86_desc_limit(d);
    ret_segment->base = (d->low >> 16 & 0xffffff) | (d->low >> 32 & 0xff000000) | d->high << 32;
}

void x86_raise_ext(X86Cpu *cpu, int vector, uint32_t error)
{
    x86_raise(cpu, vector, error | cpu->event.ext);
}

bool x86_find_descriptor(X86Cpu *cpu, uint16_t selector, bool system, X86Desc *ret_desc)
{
    bool wide = system && x86_long_mode(cpu);
    uint32_t offset = selector & ~7u;
    uint64_t base = cpu->gdt_base;
    uint32_t limit = cpu->gdt_limit;

    if (selector & TI) {
        base = cpu->ldt.base;
        limit = cpu->ldt.limit;
        if (!(cpu->ldt.attr & X86_SEG_P)) {
            return false;
        }
    } else if (offset == 0) {
        return false;
    }
    if ((uint64_t)offset + (wide ? 15 : 7) > limit) {
        return false;
    }
    ret_desc->addr = x86_system_linear(cpu, base + offset);
    ret_desc->low = x86_ld_sys(cpu, ret_desc->addr, 8);
    ret_desc->high = wide ? x86_ld_sys(cpu, x86_system_linear(cpu, ret_desc->addr + 8), 8) : 0;
    return true;
}

void x86_get_descriptor(X86Cpu *cpu, uint16_t selector, int vector, X86Desc *ret_desc)
{
    if (!x86_find_descriptor(cpu, selector, false, ret_desc)) {
        x86_raise_ext(cpu, vector, selector & ~RPL);
    }
}

void x86_mark_descriptor(X86Cpu *cpu, X86Desc *desc, unsigned bits)
{
    uint64_t low = desc->low | (uint64_t)bits << 40;

    if (low != desc->low) {
        x86_st_sys(cpu, x86_system_linear(cpu, desc->addr + 5), low >> 40 & 0xff, 1);
        desc->low = low;
    }
}

void x86_mark_accessed(X86Cpu *cpu, X86Desc *desc)
{
    x86_mark_descriptor(cpu, desc, X86_TYPE_ACCESSED);
}

void x86_get_stack_descriptor(X86Cpu *cpu, uint16_t selector, unsigned level, int vector, X86Desc *ret_desc)
{
    uint32_t error = selector & ~RPL;

    x86_get_descriptor(cpu, selector, vector, ret_desc);
    if ((selector & RPL) != level || x86_desc_dpl(ret_desc) != level || !x86_desc_is_writable(ret_desc)) {
        x86_raise_ext(cpu, vector, error);
    }
    if (!x86_desc_present(ret_desc)) {
        x86_raise_ext(cpu, X86_EXC_SS, error);
    }
}

/* ---- segment registers ----------------------------------------------------------------------------------------- */

void x86_null_segment(X86Segment *s, uint16_t selector)
{
    *s = (X86Segment){ .selector = selector, .attr = (selector & RPL) << X86_SEG_DPL_SHIFT };
}

void x86_set_real_segment(X86Cpu *cpu, unsigned seg, uint16_t selector)
{
    X86Segment *s = &cpu->seg[seg];

    s->selector = selector;
    s->base = (uint64_t)selector << 4;
    if (cpu->rflags & X86_VM) {
        s->limit = 0xffff;
        s->attr = X86_SEG_P | 3u << X86_SEG_DPL_SHIFT | X86_SEG_S | X86_TYPE_RW | X86_TYPE_ACCESSED;
    }
}

void x86_set_cs(X86Cpu *cpu, uint16_t selector, const X86Desc *desc, unsigned level, uint64_t rip)
{
    x86_desc_segment(desc, (selector & ~RPL) | level, &cpu->seg[X86_CS]);
    cpu->cpl = level;
    cpu->rip = rip;
}

void x86_check_rip(X86Cpu *cpu, const X86Desc *desc, uint64_t rip)
{
    bool bad = x86_long_mode(cpu) && x86_desc_long(desc) ? !x86_canonical(rip) : rip > x86_desc_limit(desc);

    if (bad) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
}

/* The null selector: not for SS, but for 64-bit mode's inner levels, which need no stack segment. */
static void load_null(X86Cpu *cpu, unsigned seg, uint16_t selector)
{
    if (seg == X86_SS && (!x86_is_64(cpu) || cpu->cpl == 3 || (selector & RPL) != cpu->cpl)) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    x86_null_segment(&cpu->seg[seg], selector);
}

void x86_load_segment(X86Cpu *cpu, unsigned seg, uint16_t selector)
{
    X86Desc desc;
    unsigned rpl = selector & RPL;

    if (x86_real_segments(cpu)) {
        x86_set_real_segment(cpu, seg, selector);
        return;
    }
    if ((selector & ~RPL) == 0) {
        load_null(cpu, seg, selector);
        return;
    }
    if (seg == X86_SS) {
        x86_get_stack_descriptor(cpu, selector, cpu->cpl, X86_EXC_GP, &desc);
    } else {
        x86_get_descriptor(cpu, selector, X86_EXC_GP, &desc);
        bool reachable = x86_desc_is_conforming(&desc) ||
                         (rpl <= x86_desc_dpl(&desc) && cpu->cpl <= x86_desc_dpl(&desc));
        if (!x86_desc_is_readable(&desc) || !reachable) {
            x86_raise_ext(cpu, X86_EXC_GP, selector & ~RPL);
        }
        if (!x86_desc_present(&desc)) {
            x86_raise_ext(cpu, X86_EXC_NP, selector & ~RPL);
        }
    }
    x86_mark_accessed(cpu, &desc);
    x86_desc_segment(&desc, selector, &cpu->seg[seg]);
}

/* ---- addresses ------------------------------------------------------------------------------------------------- */

bool x86_segment_holds(const X86Segment *s, uint32_t offset, unsigned size)
{
    uint64_t last = (uint64_t)offset + size - 1;

    if ((s->attr & (X86_SEG_S | X86_TYPE_CODE | X86_TYPE_EXPAND_DOWN)) == (X86_SEG_S | X86_TYPE_EXPAND_DOWN)) {
        return offset > s->limit && last <= (s->attr & X86_SEG_DB ? 0xffffffffu : 0xffffu);
    }
    return last <= s->limit;
}

/* True when S's rights allow ACCESS; instruction fetches are the business of who loads CS. */
static bool segment_allows(const X86Segment *s, X86Access access)
{
    if (!(s->attr & X86_SEG_P)) {
        return false;
    }
    if (access == X86_WRITE) {
        return (s->attr & (X86_TYPE_CODE | X86_TYPE_RW)) == X86_TYPE_RW;
    }
    return access == X86_EXEC || !(s->attr & X86_TYPE_CODE) || (s->attr & X86_TYPE_RW);
}

uint64_t x86_segment_address(X86Cpu *cpu, unsigned seg, uint64_t offset, unsigned size, X86Access access)
{
    const X86Segment *s = &cpu->seg[seg];
    int vector = seg == X86_SS ? X86_EXC_SS : X86_EXC_GP;

    if (x86_is_64(cpu)) {
        uint64_t linear = offset + (seg == X86_FS || seg == X86_GS ? s->base : 0);

        if (!x86_canonical(linear) || !x86_canonical(linear + size - 1)) {
            x86_raise(cpu, vector, 0);
        }
        return linear;
    }
    if ((!x86_real_segments(cpu) && !segment_allows(s, access)) || !x86_segment_holds(s, offset, size)) {
        x86_raise(cpu, vector, 0);
    }
    return (uint32_t)(s->base + offset);
}

/* ---- stacks ---------------------------------------------------------------------------------------------------- */

static uint64_t stack_mask(X86Cpu *cpu)
{
    return x86_is_64(cpu) ? ~0ull : cpu->seg[X86_SS].attr & X86_SEG_DB ? 0xffffffffu : 0xffffu;
}

void x86_current_stack(X86Cpu *cpu, X86Stack *ret_stack)
{
    *ret_stack = (X86Stack){
        .ss = cpu->seg[X86_SS], .sp = cpu->regs[X86_RSP], .mask = stack_mask(cpu), .flat = x86_is_64(cpu),
        .user = cpu->cpl == 3,
    };
}

void x86_stack_push(X86Cpu *cpu, X86Stack *stack, uint64_t value, unsigned size)
{
    uint64_t offset = (stack->sp - size) & stack->mask;
    uint64_t linear = offset;
    bool bad;

    if (stack->flat) {
        bad = !x86_canonical(offset) || !x86_canonical(offset + size - 1);
    } else {
        linear = (uint32_t)(stack->ss.base + offset);
        bad = !x86_segment_holds(&stack->ss, offset, size);
    }
    if (bad) {
        x86_raise_ext(cpu, X86_EXC_SS, stack->error);
    }
    if (!stack->user) {
        x86_st_sys(cpu, linear, value, size);
    } else if (size == 8) {
        x86_st64(cpu, cpu->op, linear, value);
    } else if (size == 4) {
        x86_st32(cpu, cpu->op, linear, value);
    } else {
        x86_st16(cpu, cpu->op, linear, value);
    }
    stack->sp = (stack->sp & ~stack->mask) | offset;
}

void x86_push(X86Cpu *cpu, uint64_t *sp, uint64_t value, unsigned size)
{
    uint64_t mask = stack_mask(cpu);
    uint64_t offset = (*sp - size) & mask;
    uint64_t linear = x86_segment_address(cpu, X86_SS, offset, size, X86_WRITE);

    if (size == 8) {
        x86_st64(cpu, cpu->op, linear, value);
    } else if (size == 4) {
        x86_st32(cpu, cpu->op, linear, value);
    } else {
        x86_st16(cpu, cpu->op, linear, value);
    }
    *sp = (*sp & ~mask) | offset;
}

void x86_probe_push(X86Cpu *cpu, uint64_t sp, unsigned count, unsigned size)
{
    uint64_t mask = stack_mask(cpu);

    for (unsigned i = 0; i < count; i++) {
        sp -= size;
        x86_probe_write(cpu, cpu->op, x86_segment_address(cpu, X86_SS, sp & mask, size, X86_WRITE), size);
    }
}

uint64_t x86_pop(X86Cpu *cpu, uint64_t *sp, unsigned size)
{
    uint64_t mask = stack_mask(cpu);
    uint64_t linear = x86_segment_address(cpu, X86_SS, *sp & mask, size, X86_READ);
    uint64_t value = size == 8   ? x86_ld64(cpu, cpu->op, linear)
                     : size == 4 ? x86_ld32(cpu, cpu->op, linear)
                                 : x86_ld16(cpu, cpu->op, linear);

    *sp = (*sp & ~mask) | ((*sp + size) & mask);
    return value;
}

void x86_set_sp(X86Cpu *cpu, uint64_t sp)
{
    uint64_t mask = stack_mask(cpu);

    cpu->regs[X86_RSP] = (cpu->regs[X86_RSP] & ~mask) | (sp & mask);
}
