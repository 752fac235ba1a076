/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far JMP, CALL and RET, and IRET.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Each function reads and checks everything, pushes what is to be pushed, and only then changes registers: what raises
 * has changed nothing but memory below the stack pointer.
 *
 * Sources: AMD APM volume 3 (CALL, JMP, RET, IRET); Intel SDM volume 2 and volume 3, section 5.8.
 */
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define RPL 3u

/* What a far transfer starts from. */
typedef enum Transfer { FAR_JUMP, FAR_CALL } Transfer;

static bool is_null(uint16_t selector)
{
    return (selector & ~RPL) == 0;
}

/* A 64-bit and a 32-bit code segment at once is none. */
static bool is_bad_long(X86Cpu *cpu, const X86Desc *desc)
{
    return x86_long_mode(cpu) && x86_desc_long(desc) && x86_desc_big(desc);
}

/* ---- real mode ------------------------------------------------------------------------------------------------- */

static void check_real_rip(X86Cpu *cpu, uint64_t rip)
{
    if (rip > cpu->seg[X86_CS].limit) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
}

static void real_jump(X86Cpu *cpu, uint16_t selector, uint64_t rip)
{
    x86_set_real_segment(cpu, X86_CS, selector);
    cpu->rip = rip;
    x86_mode_changed(cpu);
}

/* ---- JMP and CALL ---------------------------------------------------------------------------------------------- */

/* CS:RIP of the caller, on STACK. */
static void push_return(X86Cpu *cpu, X86Stack *stack, unsigned size, uint64_t return_rip)
{
    x86_stack_push(cpu, stack, cpu->seg[X86_CS].selector, size);
    x86_stack_push(cpu, stack, return_rip, size);
}

/* To code segment DESC at the current level. */
static void same_level(X86Cpu *cpu, Transfer transfer, uint16_t selector, X86Desc *desc, uint64_t rip, unsigned size,
                       uint64_t return_rip)
{
    X86Stack stack;

    x86_check_rip(cpu, desc, rip);
    x86_current_stack(cpu, &stack);
    if (transfer == FAR_CALL) {
        push_return(cpu, &stack, size, return_rip);
    }
    x86_mark_accessed(cpu, desc);
    cpu->regs[X86_RSP] = stack.sp;
    x86_set_cs(cpu, selector, desc, cpu->cpl, rip);
}

/* Through a call gate of SIZE (4 or 2) to inner level LEVEL, with COUNT parameters to copy. */
static void inner_level(X86Cpu *cpu, uint16_t selector, X86Desc *desc, uint64_t rip, unsigned size, unsigned count,
                        uint64_t return_rip)
{
    unsigned level = x86_desc_dpl(desc);
    uint64_t old_mask = cpu->seg[X86_SS].attr & X86_SEG_DB ? 0xffffffffu : 0xffffu;
    X86Stack stack = { .flat = x86_long_mode(cpu) };
    X86Desc ss_desc;
    uint16_t ss;

    if (stack.flat) {
        stack.sp = x86_tss_stack64(cpu, level, 0);
        stack.mask = ~0ull;
        ss = level;
        x86_null_segment(&stack.ss, ss);
        count = 0;
    } else {
        x86_tss_stack(cpu, level, &ss, &stack.sp);
        if (is_null(ss)) {
            x86_raise(cpu, X86_EXC_TS, 0);
        }
        x86_get_stack_descriptor(cpu, ss, level, X86_EXC_TS, &ss_desc);
        x86_mark_accessed(cpu, &ss_desc);
        x86_desc_segment(&ss_desc, ss, &stack.ss);
        stack.mask = x86_desc_big(&ss_desc) ? 0xffffffffu : 0xffffu;
    }
    stack.error = ss & ~RPL;
    x86_check_rip(cpu, desc, rip);
    x86_stack_push(cpu, &stack, cpu->seg[X86_SS].selector, size);
    x86_stack_push(cpu, &stack, cpu->regs[X86_RSP], size);
    for (unsigned i = count; i-- > 0;) {
        uint64_t offset = (cpu->regs[X86_RSP] + (uint64_t)i * size) & old_mask;
        uint64_t addr = x86_segment_address(cpu, X86_SS, offset, size, X86_READ);

        x86_stack_push(cpu, &stack, size == 4 ? x86_ld32(cpu, cpu->op, addr) : x86_ld16(cpu, cpu->op, addr), size);
    }
    push_return(cpu, &stack, size, return_rip);
    x86_mark_accessed(cpu, desc);
    cpu->seg[X86_SS] = stack.ss;
    cpu->regs[X86_RSP] = stack.sp;
    x86_set_cs(cpu, selector, desc, level, rip);
}

static void call_gate(X86Cpu *cpu, Transfer transfer, const X86Desc *gate, uint64_t return_rip)
{
    bool wide = x86_long_mode(cpu);
    unsigned size = wide ? 8 : x86_desc_type(gate) == X86_TYPE_CALL32 ? 4 : 2;
    uint16_t selector = gate->low >> 16;
    uint64_t rip = (gate->low & 0xffff) | (size == 2 ? 0 : gate->low >> 32 & 0xffff0000u) | gate->high << 32;
    X86Desc desc;

    if (is_null(selector)) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    x86_get_descriptor(cpu, selector, X86_EXC_GP, &desc);
    bool conforming = x86_desc_is_conforming(&desc);
    bool inner = !conforming && x86_desc_dpl(&desc) < cpu->cpl;
    if (!x86_desc_is_code(&desc) || x86_desc_dpl(&desc) > cpu->cpl || (inner && transfer == FAR_JUMP) ||
        (wide && (!x86_desc_long(&desc) || x86_desc_big(&desc)))) {
        x86_raise(cpu, X86_EXC_GP, selector & ~RPL);
    }
    if (!x86_desc_present(&desc)) {
        x86_raise(cpu, X86_EXC_NP, selector & ~RPL);
    }
    if (inner) {
        inner_level(cpu, selector, &desc, rip, size, gate->low >> 32 & 0x1f, return_rip);
    } else if (wide && transfer == FAR_CALL) {
        /* The stack is a 64-bit one already, also when the caller is not. */
        X86Stack stack = {
            .sp = cpu->regs[X86_RSP], .mask = ~0ull, .flat = true, .user = cpu->cpl == 3, .ss = cpu->seg[X86_SS],
        };

        x86_check_rip(cpu, &desc, rip);
        push_return(cpu, &stack, size, return_rip);
        x86_mark_accessed(cpu, &desc);
        cpu->regs[X86_RSP] = stack.sp;
        x86_set_cs(cpu, selector, &desc, cpu->cpl, rip);
    } else {
        same_level(cpu, transfer, selector, &desc, rip, size, return_rip);
    }
}

/* SELECTOR leads to a gate or a TSS. */
static void system_transfer(X86Cpu *cpu, Transfer transfer, uint16_t selector, uint64_t return_rip)
{
    X86TaskSwitch reason = transfer == FAR_CALL ? X86_TASK_CALL : X86_TASK_JUMP;
    uint32_t error = selector & ~RPL;
    X86Desc gate;

    if (!x86_find_descriptor(cpu, selector, true, &gate)) {
        x86_raise(cpu, X86_EXC_GP, error);
    }
    unsigned type = x86_desc_type(&gate);
    bool is_call = type == X86_TYPE_CALL32 || (type == X86_TYPE_CALL16 && !x86_long_mode(cpu));
    bool is_task = !x86_long_mode(cpu) &&
                   (type == X86_TYPE_TASK_GATE || type == X86_TYPE_TSS16 || type == X86_TYPE_TSS32);
    /* The upper half's type must be 0, lest it be taken for a descriptor of its own. */
    bool bad_upper = x86_long_mode(cpu) && (gate.high >> 40 & 0x1f);

    if ((!is_call && !is_task) || bad_upper || x86_desc_dpl(&gate) < cpu->cpl ||
        x86_desc_dpl(&gate) < (selector & RPL)) {
        x86_raise(cpu, X86_EXC_GP, error);
    }
    if (!x86_desc_present(&gate)) {
        x86_raise(cpu, X86_EXC_NP, error);
    }
    if (is_call) {
        call_gate(cpu, transfer, &gate, return_rip);
    } else if (type == X86_TYPE_TASK_GATE) {
        x86_task_gate(cpu, &gate, reason, return_rip);
    } else {
        x86_task_switch(cpu, selector, reason, return_rip);
    }
}

static void protected_transfer(X86Cpu *cpu, Transfer transfer, uint16_t selector, uint64_t rip, unsigned size,
                               uint64_t return_rip)
{
    uint32_t error = selector & ~RPL;
    X86Desc desc;

    if (is_null(selector)) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    x86_get_descriptor(cpu, selector, X86_EXC_GP, &desc);
    if (x86_desc_is_system(&desc)) {
        system_transfer(cpu, transfer, selector, return_rip);
    } else {
        unsigned dpl = x86_desc_dpl(&desc);
        bool reachable = x86_desc_is_conforming(&desc) ? dpl <= cpu->cpl
                                                       : (selector & RPL) <= cpu->cpl && dpl == cpu->cpl;

        if (!x86_desc_is_code(&desc) || !reachable || is_bad_long(cpu, &desc)) {
            x86_raise(cpu, X86_EXC_GP, error);
        }
        if (!x86_desc_present(&desc)) {
            x86_raise(cpu, X86_EXC_NP, error);
        }
        same_level(cpu, transfer, selector, &desc, rip, size, return_rip);
    }
    x86_mode_changed(cpu);
}

void x86_far_jump(X86Cpu *cpu, uint16_t selector, uint64_t offset, unsigned size)
{
    if (x86_real_segments(cpu)) {
        check_real_rip(cpu, offset);
        real_jump(cpu, selector, offset);
    } else {
        protected_transfer(cpu, FAR_JUMP, selector, offset, size, x86_next_rip(cpu, cpu->op));
    }
}

void x86_far_call(X86Cpu *cpu, uint16_t selector, uint64_t offset, unsigned size, uint64_t return_rip)
{
    if (x86_real_segments(cpu)) {
        uint64_t sp = cpu->regs[X86_RSP];

        check_real_rip(cpu, offset);
        x86_push(cpu, &sp, cpu->seg[X86_CS].selector, size);
        x86_push(cpu, &sp, return_rip, size);
        cpu->regs[X86_RSP] = sp;
        real_jump(cpu, selector, offset);
    } else {
        protected_transfer(cpu, FAR_CALL, selector, offset, size, return_rip);
    }
}

/* ---- RET and IRET ---------------------------------------------------------------------------------------------- */

/* The code segment that a return to SELECTOR goes to. */
static void get_return_code(X86Cpu *cpu, uint16_t selector, X86Desc *ret_desc)
{
    uint32_t error = selector & ~RPL;
    unsigned rpl = selector & RPL;

    if (is_null(selector)) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    x86_get_descriptor(cpu, selector, X86_EXC_GP, ret_desc);
    bool level_ok = x86_desc_is_conforming(ret_desc) ? x86_desc_dpl(ret_desc) <= rpl : x86_desc_dpl(ret_desc) == rpl;
    if (rpl < cpu->cpl || !x86_desc_is_code(ret_desc) || !level_ok || is_bad_long(cpu, ret_desc)) {
        x86_raise(cpu, X86_EXC_GP, error);
    }
    if (!x86_desc_present(ret_desc)) {
        x86_raise(cpu, X86_EXC_NP, error);
    }
}

/* The stack segment that comes with it.  64-bit code of inner levels can do without one. */
static void get_return_stack(X86Cpu *cpu, uint16_t selector, unsigned level, bool to_64, X86Segment *ret_segment)
{
    X86Desc desc;

    if (is_null(selector)) {
        if (!to_64 || level == 3 || (selector & RPL) != level) {
            x86_raise(cpu, X86_EXC_GP, 0);
        }
        x86_null_segment(ret_segment, selector);
        return;
    }
    x86_get_stack_descriptor(cpu, selector, level, X86_EXC_GP, &desc);
    x86_mark_accessed(cpu, &desc);
    x86_desc_segment(&desc, selector, ret_segment);
}

/* Data segments that the outer level could not have loaded do not outlive the return. */
static void drop_inner_segments(X86Cpu *cpu)
{
    static const uint8_t data_segments[] = { X86_ES, X86_DS, X86_FS, X86_GS };

    for (unsigned i = 0; i < G_N_ELEMENTS(data_segments); i++) {
        X86Segment *s = &cpu->seg[data_segments[i]];
        bool conforming = (s->attr & (X86_TYPE_CODE | X86_TYPE_CONFORMING)) == (X86_TYPE_CODE | X86_TYPE_CONFORMING);

        if ((s->attr & X86_SEG_P) && !conforming && x86_seg_dpl(s) < cpu->cpl) {
            x86_null_segment(s, 0);
        }
    }
}

/* Goes back to an outer level, or to the same one with a stack of its own. */
static void commit_return(X86Cpu *cpu, uint16_t selector, X86Desc *desc, uint64_t rip, const X86Segment *ss,
                          uint64_t sp)
{
    unsigned level = selector & RPL;
    bool outer = level > cpu->cpl;
    bool to_64 = x86_long_mode(cpu) && x86_desc_long(desc);

    cpu->seg[X86_SS] = *ss;
    if (to_64) {
        cpu->regs[X86_RSP] = sp;
    } else if (ss->attr & X86_SEG_DB) {
        cpu->regs[X86_RSP] = (uint32_t)sp;
    } else {
        X86_R16(X86_RSP) = sp;
    }
    x86_set_cs(cpu, selector, desc, level, rip);
    if (outer) {
        drop_inner_segments(cpu);
    }
}

void x86_far_return(X86Cpu *cpu, unsigned size, unsigned pop_bytes)
{
    uint64_t sp = cpu->regs[X86_RSP];
    uint64_t rip = x86_pop(cpu, &sp, size);
    uint16_t selector = x86_pop(cpu, &sp, size);
    X86Desc desc;

    if (x86_real_segments(cpu)) {
        check_real_rip(cpu, rip);
        x86_set_sp(cpu, sp + pop_bytes);
        real_jump(cpu, selector, rip);
        return;
    }
    get_return_code(cpu, selector, &desc);
    x86_check_rip(cpu, &desc, rip);
    if ((selector & RPL) == cpu->cpl) {
        x86_mark_accessed(cpu, &desc);
        x86_set_sp(cpu, sp + pop_bytes);
        x86_set_cs(cpu, selector, &desc, cpu->cpl, rip);
    } else {
        X86Segment ss;

        sp += pop_bytes;
        uint64_t outer_sp = x86_pop(cpu, &sp, size);
        uint16_t outer_ss = x86_pop(cpu, &sp, size);
        get_return_stack(cpu, outer_ss, selector & RPL, x86_long_mode(cpu) && x86_desc_long(&desc), &ss);
        x86_mark_accessed(cpu, &desc);
        commit_return(cpu, selector, &desc, rip, &ss, outer_sp + pop_bytes);
    }
    x86_mode_changed(cpu);
}

/* EFLAGS out of VALUE, as far as IRET of SIZE at CPL may set them. */
static void return_flags(X86Cpu *cpu, uint64_t value, unsigned size, unsigned cpl)
{
    uint64_t mask = X86_ARITH | X86_TF | X86_DF | X86_NT;

    if (size > 2) {
        mask |= X86_RF | X86_AC | X86_ID;
    }
    if (cpl == 0) {
        mask |= X86_IOPL | (size > 2 ? X86_VIF | X86_VIP : 0);
    }
    if (cpl <= (cpu->rflags & X86_IOPL) >> X86_IOPL_SHIFT) {
        mask |= X86_IF;
    }
    x86_set_rflags(cpu, (x86_get_rflags(cpu) & ~mask) | (value & mask));
}

static void iret_real(X86Cpu *cpu, unsigned size)
{
    uint64_t sp = cpu->regs[X86_RSP];

    if ((cpu->rflags & X86_VM) && (cpu->rflags & X86_IOPL) != X86_IOPL) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    uint64_t rip = x86_pop(cpu, &sp, size);
    uint16_t selector = x86_pop(cpu, &sp, size);
    uint64_t flags = x86_pop(cpu, &sp, size);

    check_real_rip(cpu, rip);
    if (cpu->rflags & X86_VM) {
        return_flags(cpu, flags, size, 3);
    } else {
        /* Virtual interrupts are not for real mode. */
        return_flags(cpu, (flags & ~(uint64_t)(X86_VIF | X86_VIP)) | (cpu->rflags & (X86_VIF | X86_VIP)), size, 0);
    }
    cpu->regs[X86_RSP] = sp;
    real_jump(cpu, selector, rip);
}

/* From level 0 to virtual-8086 mode: nine words, of which *SP is past the first three. */
static void iret_to_vm(X86Cpu *cpu, uint64_t *sp, uint64_t rip, uint16_t cs, uint64_t flags)
{
    static const uint8_t order[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    uint64_t new_sp = x86_pop(cpu, sp, 4);
    uint16_t ss = x86_pop(cpu, sp, 4);
    uint16_t data[G_N_ELEMENTS(order)];

    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        data[i] = x86_pop(cpu, sp, 4);
    }
    if ((uint32_t)rip > 0xffff) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    return_flags(cpu, flags, 4, 0);
    cpu->rflags |= X86_VM;
    x86_set_real_segment(cpu, X86_CS, cs);
    x86_set_real_segment(cpu, X86_SS, ss);
    for (unsigned i = 0; i < G_N_ELEMENTS(order); i++) {
        x86_set_real_segment(cpu, order[i], data[i]);
    }
    cpu->regs[X86_RSP] = new_sp;
    cpu->cpl = 3;
    cpu->rip = rip;
}

static void iret_protected(X86Cpu *cpu, unsigned size)
{
    uint64_t sp = cpu->regs[X86_RSP];
    unsigned cpl = cpu->cpl;
    X86Segment ss;
    X86Desc desc;

    if (cpu->rflags & X86_NT) {
        if (x86_long_mode(cpu)) {
            x86_raise(cpu, X86_EXC_GP, 0);
        }
        x86_task_switch(cpu, 0, X86_TASK_IRET, x86_next_rip(cpu, cpu->op));
        return;
    }
    uint64_t rip = x86_pop(cpu, &sp, size);
    uint16_t selector = x86_pop(cpu, &sp, size);
    uint64_t flags = x86_pop(cpu, &sp, size);

    if ((flags & X86_VM) && size == 4 && cpl == 0 && !x86_long_mode(cpu)) {
        iret_to_vm(cpu, &sp, rip, selector, flags);
        return;
    }
    get_return_code(cpu, selector, &desc);
    x86_check_rip(cpu, &desc, rip);
    if (x86_is_64(cpu) || (selector & RPL) > cpl) {
        uint64_t new_sp = x86_pop(cpu, &sp, size);
        uint16_t new_ss = x86_pop(cpu, &sp, size);

        get_return_stack(cpu, new_ss, selector & RPL, x86_long_mode(cpu) && x86_desc_long(&desc), &ss);
        x86_mark_accessed(cpu, &desc);
        return_flags(cpu, flags, size, cpl);
        commit_return(cpu, selector, &desc, rip, &ss, new_sp);
    } else {
        x86_mark_accessed(cpu, &desc);
        return_flags(cpu, flags, size, cpl);
        cpu->regs[X86_RSP] = sp;
        x86_set_cs(cpu, selector, &desc, cpl, rip);
    }
}

void x86_iret(X86Cpu *cpu, unsigned size)
{
    cpu->iret_pending = true;
    if (x86_real_segments(cpu)) {
        iret_real(cpu, size);
    } else {
        iret_protected(cpu, size);
        x86_mode_changed(cpu);
    }
    x86_iret_done(cpu);
    x86_check_interrupts(cpu);
}

void x86_iret_done(X86Cpu *cpu)
{
    cpu->iret_pending = false;
    if (cpu->nmi_blocked) {
        cpu->nmi_blocked = false;
        if (atomic_load_explicit(&cpu->pending, memory_order_relaxed) & X86_PENDING_NMI) {
            atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
        }
    }
}
