/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts through the interrupt table of the mode.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Theory of operation.  Delivery reads the table, checks, pushes the frame, and changes registers last.  A fault on the
 * way is raised as any other: the run loop then calls x86_deliver_exception() with it.  X86Cpu.event tells that one
 * what it interrupts:
 *
 *     none            not delivering: an instruction faults
 *     benign          the new exception is delivered in its place
 *     contributory    another contributory one makes a double fault
 *     page fault      a contributory one or another page fault makes a double fault
 *     double          any exception makes a shutdown
 *
 * Software interrupts are instructions: what faults in them is the instruction's fault, without the EXT bit.
 *
 * Sources: AMD APM volume 2, chapter 8; Intel SDM volume 3, chapter 6.
 */
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define RPL 3u
#define EXT 1u     /* error code: not caused by the program */
#define IN_IDT 2u  /* error code: the index is one of the IDT */

#define DR6_BITS 0xe00fu /* B0-B3, BD, BS, BT */
#define DR7_GD 0x2000u

/* What is delivered. */
typedef struct Event {
    uint8_t vector;
    bool software;
    bool has_error;
    bool is_fault; /* the saved flags have RF set: a breakpoint on the instruction does not hit again */
    uint32_t error;
    uint64_t rip;  /* to save */
} Event;

static uint32_t idt_error(X86Cpu *cpu, const Event *event)
{
    return event->vector * 8u + IN_IDT + cpu->event.ext;
}

static uint64_t saved_flags(X86Cpu *cpu, const Event *event)
{
    return x86_get_rflags(cpu) | (event->is_fault ? X86_RF : 0);
}

/* Reads the IDT's gate, of 16 bytes when WIDE, and checks its DPL, type and presence; WIDE has fewer types. */
static uint64_t get_gate(X86Cpu *cpu, const Event *event, bool wide, uint64_t *ret_high)
{
    uint32_t offset = event->vector * (wide ? 16u : 8u);
    uint64_t addr = x86_system_linear(cpu, cpu->idt_base + offset);

    if (offset + (wide ? 15 : 7) > cpu->idt_limit) {
        x86_raise(cpu, X86_EXC_GP, idt_error(cpu, event));
    }
    X86Desc gate = { .low = x86_ld_sys(cpu, addr, 8) };
    *ret_high = wide ? x86_ld_sys(cpu, addr + 8, 8) : 0;
    unsigned type = x86_desc_type(&gate);
    bool ok = type == X86_TYPE_INT32 || type == X86_TYPE_TRAP32 ||
              (!wide && (type == X86_TYPE_INT16 || type == X86_TYPE_TRAP16 || type == X86_TYPE_TASK_GATE));
    if (!ok || !x86_desc_is_system(&gate) || (event->software && x86_desc_dpl(&gate) < cpu->cpl)) {
        x86_raise(cpu, X86_EXC_GP, idt_error(cpu, event));
    }
    if (!x86_desc_present(&gate)) {
        x86_raise(cpu, X86_EXC_NP, idt_error(cpu, event));
    }
    return gate.low;
}

/* The handler's code segment. */
static void get_handler_code(X86Cpu *cpu, uint16_t selector, X86Desc *ret_desc)
{
    uint32_t error = selector & ~RPL;

    if (error == 0) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    x86_get_descriptor(cpu, selector, X86_EXC_GP, ret_desc);
    bool bad_long = x86_long_mode(cpu) && (!x86_desc_long(ret_desc) || x86_desc_big(ret_desc));
    if (!x86_desc_is_code(ret_desc) || x86_desc_dpl(ret_desc) > cpu->cpl || bad_long) {
        x86_raise_ext(cpu, X86_EXC_GP, error);
    }
    if (!x86_desc_present(ret_desc)) {
        x86_raise_ext(cpu, X86_EXC_NP, error);
    }
}

/* Flags in the handler: an interrupt gate also masks interrupts. */
static void enter_flags(X86Cpu *cpu, bool interrupt_gate)
{
    cpu->rflags &= ~(uint64_t)(X86_TF | X86_NT | X86_RF | X86_VM | (interrupt_gate ? X86_IF : 0));
}

static void deliver_real(X86Cpu *cpu, const Event *event)
{
    uint32_t offset = event->vector * 4u;
    X86Stack stack;

    if (offset + 3 > cpu->idt_limit) {
        x86_raise(cpu, X86_EXC_GP, idt_error(cpu, event));
    }
    uint32_t target = x86_ld_sys(cpu, x86_system_linear(cpu, cpu->idt_base + offset), 4);
    if ((target & 0xffff) > cpu->seg[X86_CS].limit) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    x86_current_stack(cpu, &stack);
    x86_stack_push(cpu, &stack, saved_flags(cpu, event), 2);
    x86_stack_push(cpu, &stack, cpu->seg[X86_CS].selector, 2);
    x86_stack_push(cpu, &stack, event->rip, 2);
    cpu->regs[X86_RSP] = stack.sp;
    cpu->rflags &= ~(uint64_t)X86_AC;
    enter_flags(cpu, true);
    x86_set_real_segment(cpu, X86_CS, target >> 16);
    cpu->rip = target & 0xffff;
}

static void deliver_long(X86Cpu *cpu, const Event *event)
{
    uint64_t high, gate = get_gate(cpu, event, true, &high);
    uint16_t selector = gate >> 16;
    unsigned ist = gate >> 32 & 7;
    uint64_t rip = (gate & 0xffff) | (gate >> 32 & 0xffff0000u) | high << 32;
    X86Stack stack = { .mask = ~0ull, .flat = true, .ss = cpu->seg[X86_SS] };
    X86Desc desc;

    get_handler_code(cpu, selector, &desc);
    unsigned level = x86_desc_is_conforming(&desc) ? cpu->cpl : x86_desc_dpl(&desc);
    stack.user = level == 3;
    if (ist != 0 || level < cpu->cpl) {
        stack.sp = x86_tss_stack64(cpu, level, ist);
    } else {
        stack.sp = cpu->regs[X86_RSP];
    }
    if (level < cpu->cpl) {
        x86_null_segment(&stack.ss, level);
    }
    stack.sp &= ~15ull;
    x86_check_rip(cpu, &desc, rip);
    x86_stack_push(cpu, &stack, cpu->seg[X86_SS].selector, 8);
    x86_stack_push(cpu, &stack, cpu->regs[X86_RSP], 8);
    x86_stack_push(cpu, &stack, saved_flags(cpu, event), 8);
    x86_stack_push(cpu, &stack, cpu->seg[X86_CS].selector, 8);
    x86_stack_push(cpu, &stack, event->rip, 8);
    if (event->has_error) {
        x86_stack_push(cpu, &stack, event->error, 8);
    }
    x86_mark_accessed(cpu, &desc);
    cpu->seg[X86_SS] = stack.ss;
    cpu->regs[X86_RSP] = stack.sp;
    enter_flags(cpu, (gate >> 40 & 0xf) == X86_TYPE_INT32);
    x86_set_cs(cpu, selector, &desc, level, rip);
}

/* The inner stack of LEVEL that a legacy handler runs on. */
static void get_inner_stack(X86Cpu *cpu, unsigned level, X86Stack *ret_stack)
{
    X86Desc desc;
    uint16_t selector;
    uint64_t sp;

    x86_tss_stack(cpu, level, &selector, &sp);
    if ((selector & ~RPL) == 0) {
        x86_raise_ext(cpu, X86_EXC_TS, 0);
    }
    x86_get_stack_descriptor(cpu, selector, level, X86_EXC_TS, &desc);
    x86_mark_accessed(cpu, &desc);
    *ret_stack = (X86Stack){
        .sp = sp, .mask = x86_desc_big(&desc) ? 0xffffffffu : 0xffffu, .error = selector & ~RPL,
    };
    x86_desc_segment(&desc, selector, &ret_stack->ss);
}

static void deliver_by_task(X86Cpu *cpu, const Event *event, uint64_t gate)
{
    X86Desc desc = { .low = gate };

    x86_task_gate(cpu, &desc, X86_TASK_CALL, event->rip);
    if (event->has_error) {
        X86Stack stack;

        x86_current_stack(cpu, &stack);
        x86_stack_push(cpu, &stack, event->error,
                       (cpu->tr.attr & X86_SEG_TYPE) == X86_TYPE_TSS16_BUSY ? 2 : 4);
        cpu->regs[X86_RSP] = stack.sp;
    }
}

static void deliver_legacy(X86Cpu *cpu, const Event *event)
{
    static const uint8_t vm_segments[] = { X86_GS, X86_FS, X86_DS, X86_ES };
    uint64_t unused, gate = get_gate(cpu, event, false, &unused);
    unsigned type = gate >> 40 & 0xf;
    unsigned size = type == X86_TYPE_INT32 || type == X86_TYPE_TRAP32 ? 4 : 2;
    uint16_t selector = gate >> 16;
    uint64_t rip = (gate & 0xffff) | (size == 4 ? gate >> 32 & 0xffff0000u : 0);
    bool from_vm = cpu->rflags & X86_VM;
    X86Stack stack;
    X86Desc desc;

    if (type == X86_TYPE_TASK_GATE) {
        deliver_by_task(cpu, event, gate);
        return;
    }
    get_handler_code(cpu, selector, &desc);
    unsigned level = x86_desc_is_conforming(&desc) ? cpu->cpl : x86_desc_dpl(&desc);
    if (from_vm && level != 0) {
        x86_raise_ext(cpu, X86_EXC_GP, selector & ~RPL);
    }
    bool inner = level < cpu->cpl;
    if (inner) {
        get_inner_stack(cpu, level, &stack);
    } else {
        x86_current_stack(cpu, &stack);
    }
    x86_check_rip(cpu, &desc, rip);
    if (from_vm) {
        for (unsigned i = 0; i < G_N_ELEMENTS(vm_segments); i++) {
            x86_stack_push(cpu, &stack, cpu->seg[vm_segments[i]].selector, size);
        }
    }
    if (inner) {
        x86_stack_push(cpu, &stack, cpu->seg[X86_SS].selector, size);
        x86_stack_push(cpu, &stack, cpu->regs[X86_RSP], size);
    }
    x86_stack_push(cpu, &stack, saved_flags(cpu, event), size);
    x86_stack_push(cpu, &stack, cpu->seg[X86_CS].selector, size);
    x86_stack_push(cpu, &stack, event->rip, size);
    if (event->has_error) {
        x86_stack_push(cpu, &stack, event->error, size);
    }
    x86_mark_accessed(cpu, &desc);
    if (from_vm) {
        for (unsigned i = 0; i < G_N_ELEMENTS(vm_segments); i++) {
            x86_null_segment(&cpu->seg[vm_segments[i]], 0);
        }
    }
    cpu->seg[X86_SS] = stack.ss;
    cpu->regs[X86_RSP] = stack.sp;
    enter_flags(cpu, type == X86_TYPE_INT32 || type == X86_TYPE_INT16);
    x86_set_cs(cpu, selector, &desc, level, rip);
}

static void deliver(X86Cpu *cpu, const Event *event)
{
    if (!(cpu->cr0 & X86_CR0_PE)) {
        deliver_real(cpu, event);
    } else if (x86_long_mode(cpu)) {
        deliver_long(cpu, event);
    } else {
        deliver_legacy(cpu, event);
    }
    cpu->shadow = false;
    cpu->halted = false;
    x86_delivery_done(cpu);
    x86_mode_changed(cpu);
}

/* ---- what the run loop calls ----------------------------------------------------------------------------------- */

static bool is_contributory(int vector)
{
    return vector == X86_EXC_DE || (vector >= X86_EXC_TS && vector <= X86_EXC_GP);
}

static X86EventClass class_of(int vector)
{
    return vector == X86_EXC_PF ? X86_EVENT_PAGE_FAULT
           : is_contributory(vector) ? X86_EVENT_CONTRIBUTORY
                                     : X86_EVENT_BENIGN;
}

/* True when an exception of class NEXT during the delivery of one of class FIRST cannot be handled after it. */
static bool doubles(X86EventClass first, X86EventClass next)
{
    return (first == X86_EVENT_CONTRIBUTORY && next == X86_EVENT_CONTRIBUTORY) ||
           (first == X86_EVENT_PAGE_FAULT && next != X86_EVENT_BENIGN);
}

bool x86_deliver_exception(X86Cpu *cpu)
{
    Event event = {
        .vector = cpu->fault.vector, .has_error = cpu->fault.has_error, .error = cpu->fault.error, .rip = cpu->rip,
    };
    X86EventClass next = class_of(event.vector);

    if (cpu->event.delivering == X86_EVENT_DOUBLE) {
        return false;
    }
    if (doubles(cpu->event.delivering, next)) {
        event.vector = X86_EXC_DF;
        event.has_error = true;
        event.error = 0;
        next = X86_EVENT_DOUBLE;
    }
    event.is_fault = event.vector != X86_EXC_DB && event.vector != X86_EXC_DF && event.vector != X86_EXC_MC;
    if (event.vector == X86_EXC_DB) {
        cpu->dr[7] &= ~(uint64_t)DR7_GD;
    }
    cpu->event.delivering = next;
    cpu->event.ext = EXT;
    cpu->op = NULL;
    deliver(cpu, &event);
    return true;
}

bool x86_deliver_interrupt(X86Cpu *cpu, uint8_t vector)
{
    Event event = { .vector = vector, .rip = cpu->rip };

    cpu->event.delivering = X86_EVENT_BENIGN;
    cpu->event.ext = EXT;
    cpu->op = NULL;
    cpu->halted = false;
    deliver(cpu, &event);
    return true;
}

bool x86_deliver_debug_trap(X86Cpu *cpu, uint64_t dr6_bits)
{
    cpu->dr[6] |= dr6_bits & DR6_BITS;
    cpu->fault.vector = X86_EXC_DB;
    cpu->fault.has_error = false;
    return x86_deliver_exception(cpu);
}

void x86_software_interrupt(X86Cpu *cpu, uint8_t vector, uint64_t return_rip)
{
    Event event = { .vector = vector, .software = true, .rip = return_rip };

    deliver(cpu, &event);
    cpu->stepping = false; /* the handler's first instruction is not trapped before */
}

void x86_trap_interrupt(X86Cpu *cpu, uint8_t vector, uint64_t return_rip)
{
    Event event = { .vector = vector, .rip = return_rip };

    deliver(cpu, &event);
    cpu->stepping = false;
}

void x86_delivery_done(X86Cpu *cpu)
{
    cpu->event.delivering = X86_EVENT_NONE;
    cpu->event.ext = 0;
}
