/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operations on segments: their registers, tables and checks, far transfers, interrupts by instruction.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Functions with locals whose addresses escape are not inlined into handlers that go on by a tail call.
 *
 * Source: AMD APM volume 3; Intel SDM volume 2.
 */
#include "target/i386/descriptor.h"
#include "target/i386/flags.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define RPL 3u
#define TI 4u

/* CR4.UMIP: programs cannot look at system tables' places. */
static void check_umip(X86Cpu *cpu)
{
    if ((cpu->cr4 & X86_CR4_UMIP) && cpu->cpl != 0) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
}

static uint64_t load(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    return size == 8   ? x86_ld64(cpu, cpu->op, addr)
           : size == 4 ? x86_ld32(cpu, cpu->op, addr)
                       : x86_ld16(cpu, cpu->op, addr);
}

/* Into general register N with operand size SIZE. */
static void set_reg(X86Cpu *cpu, unsigned n, unsigned size, uint64_t value)
{
    if (size == 2) {
        X86_R16(n) = value;
    } else {
        cpu->regs[n] = size == 4 ? (uint32_t)value : value;
    }
}

static void set_zf(X86Cpu *cpu, bool on)
{
    x86_cc_flags(cpu, (x86_cc_all(cpu) & ~X86_ZF) | (on ? X86_ZF : 0));
}

/* ---- LDTR and TR ----------------------------------------------------------------------------------------------- */

X86_OP(x86_op_sldt_r)
{
    cpu->op = op;
    check_umip(cpu);
    set_reg(cpu, op->rm, op->aux, cpu->ldt.selector);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_sldt_m)
{
    cpu->op = op;
    check_umip(cpu);
    x86_st16(cpu, op, cpu->ea, cpu->ldt.selector);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_str_r)
{
    cpu->op = op;
    check_umip(cpu);
    set_reg(cpu, op->rm, op->aux, cpu->tr.selector);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_str_m)
{
    cpu->op = op;
    check_umip(cpu);
    x86_st16(cpu, op, cpu->ea, cpu->tr.selector);
    return x86_leave(cpu, op);
}

/* The GDT's descriptor of SELECTOR, for LLDT and LTR. */
static void get_system_descriptor(X86Cpu *cpu, uint16_t selector, unsigned type, unsigned other_type,
                                  X86Desc *ret_desc)
{
    bool ok = !(selector & TI) && x86_find_descriptor(cpu, selector, true, ret_desc) &&
              x86_desc_is_system(ret_desc) &&
              (x86_desc_type(ret_desc) == type || x86_desc_type(ret_desc) == other_type) &&
              !(ret_desc->high >> 40 & 0x1f);

    if (!ok) {
        x86_raise(cpu, X86_EXC_GP, selector & ~RPL);
    }
    if (!x86_desc_present(ret_desc)) {
        x86_raise(cpu, X86_EXC_NP, selector & ~RPL);
    }
}

static const X86Op *lldt(X86Cpu *cpu, const X86Op *op, uint16_t selector)
{
    X86Desc desc;

    if ((selector & ~RPL) == 0) {
        x86_null_segment(&cpu->ldt, selector);
    } else {
        get_system_descriptor(cpu, selector, X86_TYPE_LDT, X86_TYPE_LDT, &desc);
        x86_desc_segment(&desc, selector, &cpu->ldt);
    }
    return x86_leave(cpu, op);
}

X86_OP(x86_op_lldt_r)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return lldt(cpu, op, cpu->regs[op->rm]);
}

X86_OP(x86_op_lldt_m)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return lldt(cpu, op, x86_ld16(cpu, op, cpu->ea));
}

static const X86Op *ltr(X86Cpu *cpu, const X86Op *op, uint16_t selector)
{
    X86Desc desc;

    if ((selector & ~RPL) == 0) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    get_system_descriptor(cpu, selector, X86_TYPE_TSS32, x86_long_mode(cpu) ? X86_TYPE_TSS32 : X86_TYPE_TSS16, &desc);
    x86_mark_descriptor(cpu, &desc, X86_TYPE_BUSY);
    x86_desc_segment(&desc, selector, &cpu->tr);
    return x86_leave(cpu, op);
}

X86_OP(x86_op_ltr_r)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return ltr(cpu, op, cpu->regs[op->rm]);
}

X86_OP(x86_op_ltr_m)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    return ltr(cpu, op, x86_ld16(cpu, op, cpu->ea));
}

/* ---- checks of selectors --------------------------------------------------------------------------------------- */

/* DESC can be seen with SELECTOR from the current level. */
static bool is_visible(X86Cpu *cpu, const X86Desc *desc, uint16_t selector)
{
    return x86_desc_is_conforming(desc) ||
           (cpu->cpl <= x86_desc_dpl(desc) && (selector & RPL) <= x86_desc_dpl(desc));
}

/* VERR and VERW */
static __attribute__((noinline)) void verify(X86Cpu *cpu, uint16_t selector, bool write)
{
    X86Desc desc;
    bool ok = x86_find_descriptor(cpu, selector, false, &desc) && !x86_desc_is_system(&desc) &&
              is_visible(cpu, &desc, selector) &&
              (write ? x86_desc_is_writable(&desc) : x86_desc_is_readable(&desc));

    set_zf(cpu, ok);
}

X86_OP(x86_op_verr_r)
{
    cpu->op = op;
    verify(cpu, cpu->regs[op->rm], false);
    NEXT;
}

X86_OP(x86_op_verr_m)
{
    cpu->op = op;
    verify(cpu, x86_ld16(cpu, op, cpu->ea), false);
    NEXT;
}

X86_OP(x86_op_verw_r)
{
    cpu->op = op;
    verify(cpu, cpu->regs[op->rm], true);
    NEXT;
}

X86_OP(x86_op_verw_m)
{
    cpu->op = op;
    verify(cpu, x86_ld16(cpu, op, cpu->ea), true);
    NEXT;
}

/* System types that LAR and LSL tell about, as bits; in long mode, and else. */
#define BIT(type) (1u << (type))
#define LSL_TYPES_LONG (BIT(X86_TYPE_LDT) | BIT(X86_TYPE_TSS32) | BIT(X86_TYPE_TSS32_BUSY))
#define LSL_TYPES (LSL_TYPES_LONG | BIT(X86_TYPE_TSS16) | BIT(X86_TYPE_TSS16_BUSY))
#define LAR_TYPES_LONG (LSL_TYPES_LONG | BIT(X86_TYPE_CALL32))
#define LAR_TYPES (LSL_TYPES | BIT(X86_TYPE_CALL16) | BIT(X86_TYPE_TASK_GATE) | BIT(X86_TYPE_CALL32))

static bool look_up(X86Cpu *cpu, uint16_t selector, unsigned types_long, unsigned types, X86Desc *ret_desc)
{
    if (!x86_find_descriptor(cpu, selector, false, ret_desc)) {
        return false;
    }
    if (x86_desc_is_system(ret_desc) &&
        !((x86_long_mode(cpu) ? types_long : types) >> x86_desc_type(ret_desc) & 1)) {
        return false;
    }
    return is_visible(cpu, ret_desc, selector);
}

static __attribute__((noinline)) void lar(X86Cpu *cpu, const X86Op *op, uint16_t selector)
{
    X86Desc desc;
    bool ok = look_up(cpu, selector, LAR_TYPES_LONG, LAR_TYPES, &desc);

    if (ok) {
        set_reg(cpu, op->reg, op->aux, desc.low >> 32 & 0xf0ff00);
    }
    set_zf(cpu, ok);
}

X86_OP(x86_op_lar_r)
{
    cpu->op = op;
    lar(cpu, op, cpu->regs[op->rm]);
    NEXT;
}

X86_OP(x86_op_lar_m)
{
    cpu->op = op;
    lar(cpu, op, x86_ld16(cpu, op, cpu->ea));
    NEXT;
}

static __attribute__((noinline)) void lsl(X86Cpu *cpu, const X86Op *op, uint16_t selector)
{
    X86Desc desc;
    bool ok = look_up(cpu, selector, LSL_TYPES_LONG, LSL_TYPES, &desc);

    if (ok) {
        set_reg(cpu, op->reg, op->aux, x86_desc_limit(&desc));
    }
    set_zf(cpu, ok);
}

X86_OP(x86_op_lsl_r)
{
    cpu->op = op;
    lsl(cpu, op, cpu->regs[op->rm]);
    NEXT;
}

X86_OP(x86_op_lsl_m)
{
    cpu->op = op;
    lsl(cpu, op, x86_ld16(cpu, op, cpu->ea));
    NEXT;
}

X86_OP(x86_op_arpl_r)
{
    uint16_t value = X86_R16(op->rm);
    unsigned rpl = cpu->regs[op->reg] & RPL;
    bool lower = (value & RPL) < rpl;

    if (lower) {
        X86_R16(op->rm) = (value & ~RPL) | rpl;
    }
    set_zf(cpu, lower);
    NEXT;
}

X86_OP(x86_op_arpl_m)
{
    uint16_t value = x86_ld16(cpu, op, cpu->ea);
    unsigned rpl = cpu->regs[op->reg] & RPL;
    bool lower = (value & RPL) < rpl;

    x86_st16(cpu, op, cpu->ea, lower ? (value & ~RPL) | rpl : value);
    set_zf(cpu, lower);
    NEXT;
}

/* ---- GDTR and IDTR --------------------------------------------------------------------------------------------- */

static const X86Op *store_table(X86Cpu *cpu, const X86Op *op, uint64_t base, uint16_t limit)
{
    cpu->op = op;
    check_umip(cpu);
    if (x86_is_64(cpu)) {
        x86_probe_write(cpu, op, cpu->ea, 10);
        x86_st16(cpu, op, cpu->ea, limit);
        x86_st64(cpu, op, cpu->ea + 2, base);
    } else {
        x86_probe_write(cpu, op, cpu->ea, 6);
        x86_st16(cpu, op, cpu->ea, limit);
        x86_st32(cpu, op, cpu->ea + 2, base);
    }
    return x86_leave(cpu, op);
}

X86_OP(x86_op_sgdt)
{
    return store_table(cpu, op, cpu->gdt_base, cpu->gdt_limit);
}

X86_OP(x86_op_sidt)
{
    return store_table(cpu, op, cpu->idt_base, cpu->idt_limit);
}

static const X86Op *load_table(X86Cpu *cpu, const X86Op *op, uint64_t *base, uint32_t *limit)
{
    cpu->op = op;
    x86_require_cpl0(cpu);
    uint16_t new_limit = x86_ld16(cpu, op, cpu->ea);
    uint64_t new_base;

    if (x86_is_64(cpu)) {
        new_base = x86_ld64(cpu, op, cpu->ea + 2);
        if (!x86_canonical(new_base)) {
            x86_raise(cpu, X86_EXC_GP, 0);
        }
    } else {
        new_base = x86_ld32(cpu, op, cpu->ea + 2) & (op->aux == 2 ? 0xffffffu : 0xffffffffu);
    }
    *base = new_base;
    *limit = new_limit;
    return x86_leave(cpu, op);
}

X86_OP(x86_op_lgdt)
{
    return load_table(cpu, op, &cpu->gdt_base, &cpu->gdt_limit);
}

X86_OP(x86_op_lidt)
{
    return load_table(cpu, op, &cpu->idt_base, &cpu->idt_limit);
}

/* ---- segment registers ----------------------------------------------------------------------------------------- */

static void check_segment_number(X86Cpu *cpu, unsigned seg)
{
    if (seg >= X86_SEGMENTS) {
        x86_raise(cpu, X86_EXC_UD, 0);
    }
}

X86_OP(x86_op_mov_from_seg_r)
{
    cpu->op = op;
    check_segment_number(cpu, op->reg);
    set_reg(cpu, op->rm, op->aux, cpu->seg[op->reg].selector);
    NEXT;
}

X86_OP(x86_op_mov_from_seg_m)
{
    cpu->op = op;
    check_segment_number(cpu, op->reg);
    x86_st16(cpu, op, cpu->ea, cpu->seg[op->reg].selector);
    NEXT;
}

static const X86Op *mov_to_seg(X86Cpu *cpu, const X86Op *op, uint16_t selector)
{
    x86_load_segment(cpu, op->reg, selector);
    x86_mode_changed(cpu);
    cpu->shadow = op->reg == X86_SS;
    return x86_leave(cpu, op);
}

static void check_loadable(X86Cpu *cpu, unsigned seg)
{
    if (seg >= X86_SEGMENTS || seg == X86_CS) {
        x86_raise(cpu, X86_EXC_UD, 0);
    }
}

X86_OP(x86_op_mov_to_seg_r)
{
    cpu->op = op;
    check_loadable(cpu, op->reg);
    return mov_to_seg(cpu, op, cpu->regs[op->rm]);
}

X86_OP(x86_op_mov_to_seg_m)
{
    cpu->op = op;
    check_loadable(cpu, op->reg);
    return mov_to_seg(cpu, op, x86_ld16(cpu, op, cpu->ea));
}

static __attribute__((noinline)) void push_segment(X86Cpu *cpu, const X86Op *op)
{
    uint64_t sp = cpu->regs[X86_RSP];

    x86_push(cpu, &sp, cpu->seg[op->reg].selector, op->aux);
    cpu->regs[X86_RSP] = sp;
}

X86_OP(x86_op_push_seg)
{
    cpu->op = op;
    push_segment(cpu, op);
    NEXT;
}

X86_OP(x86_op_pop_seg)
{
    uint64_t sp = cpu->regs[X86_RSP];

    cpu->op = op;
    x86_load_segment(cpu, op->reg, x86_pop(cpu, &sp, op->aux));
    cpu->regs[X86_RSP] = sp;
    x86_mode_changed(cpu);
    cpu->shadow = op->reg == X86_SS;
    return x86_leave(cpu, op);
}

/* Offset and selector of a far pointer in memory. */
static uint16_t load_far_pointer(X86Cpu *cpu, const X86Op *op, uint64_t *ret_offset)
{
    *ret_offset = load(cpu, cpu->ea, op->aux);
    return x86_ld16(cpu, op, cpu->ea + op->aux);
}

X86_OP(x86_op_load_far)
{
    uint64_t offset;

    cpu->op = op;
    x86_load_segment(cpu, op->rm, load_far_pointer(cpu, op, &offset));
    set_reg(cpu, op->reg, op->aux, offset);
    x86_mode_changed(cpu);
    return x86_leave(cpu, op);
}

/* ---- far transfers --------------------------------------------------------------------------------------------- */

static uint64_t immediate_offset(const X86Op *op)
{
    return op->aux == 2 ? (uint16_t)op->disp : (uint32_t)op->disp;
}

X86_OP(x86_op_jmp_far_imm)
{
    cpu->op = op;
    x86_far_jump(cpu, op->imm, immediate_offset(op), op->aux);
    return NULL;
}

X86_OP(x86_op_call_far_imm)
{
    cpu->op = op;
    x86_far_call(cpu, op->imm, immediate_offset(op), op->aux, x86_next_rip(cpu, op));
    return NULL;
}

X86_OP(x86_op_jmp_far_m)
{
    uint64_t offset;

    cpu->op = op;
    uint16_t selector = load_far_pointer(cpu, op, &offset);
    x86_far_jump(cpu, selector, offset, op->aux);
    return NULL;
}

X86_OP(x86_op_call_far_m)
{
    uint64_t offset;

    cpu->op = op;
    uint16_t selector = load_far_pointer(cpu, op, &offset);
    x86_far_call(cpu, selector, offset, op->aux, x86_next_rip(cpu, op));
    return NULL;
}

X86_OP(x86_op_ret_far)
{
    cpu->op = op;
    x86_far_return(cpu, op->aux, (uint16_t)op->imm);
    return NULL;
}

X86_OP(x86_op_iret)
{
    cpu->op = op;
    x86_iret(cpu, op->aux);
    return NULL;
}

/* ---- interrupts ------------------------------------------------------------------------------------------------ */

X86_OP(x86_op_int)
{
    cpu->op = op;
    if ((cpu->rflags & X86_VM) && (cpu->rflags & X86_IOPL) != X86_IOPL) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    x86_software_interrupt(cpu, op->imm, x86_next_rip(cpu, op));
    return NULL;
}

X86_OP(x86_op_int3)
{
    cpu->op = op;
    x86_software_interrupt(cpu, X86_EXC_BP, x86_next_rip(cpu, op));
    return NULL;
}

X86_OP(x86_op_int1)
{
    cpu->op = op;
    x86_trap_interrupt(cpu, X86_EXC_DB, x86_next_rip(cpu, op));
    return NULL;
}

X86_OP(x86_op_into)
{
    cpu->op = op;
    if (x86_cc_all(cpu) & X86_OF) {
        x86_software_interrupt(cpu, X86_EXC_OF, x86_next_rip(cpu, op));
        return NULL;
    }
    return x86_leave(cpu, op);
}
