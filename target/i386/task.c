/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task state segments: stacks of inner levels, I/O permission map, and task switches by hardware.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Tasks have TSSs of 32 or (80286) 16 bits and switch between both; in long mode there are none.  No system of the last
 * decades makes much use of them; 32-bit Linux has one task, for double faults.
 *
 * Sources: Intel SDM volume 3, chapter 7; AMD APM volume 2, chapter 12.
 */
#include "target/i386/descriptor.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define RPL 3u
#define TI 4u

/* Offsets in a 32-bit TSS */
#define TSS_LINK 0u
#define TSS_CR3 28u
#define TSS_TRAP 100u
#define TSS_IO_MAP 102u
#define TSS_SIZE 104u
/* Offset in a 64-bit TSS */
#define TSS64_RSP0 4u
#define TSS64_IST1 36u

static uint64_t tss_read(X86Cpu *cpu, uint32_t offset, unsigned size)
{
    return x86_ld_sys(cpu, x86_system_linear(cpu, cpu->tr.base + offset), size);
}

static void check_tss(X86Cpu *cpu, uint32_t offset, unsigned size)
{
    if (!(cpu->tr.attr & X86_SEG_P) || (uint64_t)offset + size - 1 > cpu->tr.limit) {
        x86_raise_ext(cpu, X86_EXC_TS, cpu->tr.selector & ~RPL);
    }
}

void x86_tss_stack(X86Cpu *cpu, unsigned level, uint16_t *ret_ss, uint64_t *ret_sp)
{
    bool wide = (cpu->tr.attr & X86_SEG_TYPE) == X86_TYPE_TSS32_BUSY;
    uint32_t offset = wide ? 4 + level * 8 : 2 + level * 4;

    check_tss(cpu, offset, wide ? 6 : 4);
    *ret_sp = tss_read(cpu, offset, wide ? 4 : 2);
    *ret_ss = tss_read(cpu, offset + (wide ? 4 : 2), 2);
}

uint64_t x86_tss_stack64(X86Cpu *cpu, unsigned level, unsigned ist)
{
    uint32_t offset = ist != 0 ? TSS64_IST1 + (ist - 1) * 8 : TSS64_RSP0 + level * 8;

    check_tss(cpu, offset, 8);
    return tss_read(cpu, offset, 8);
}

static bool may_use_port(X86Cpu *cpu, uint16_t port, unsigned size)
{
    unsigned iopl = (cpu->rflags & X86_IOPL) >> X86_IOPL_SHIFT;

    if (!(cpu->cr0 & X86_CR0_PE) || (!(cpu->rflags & X86_VM) && cpu->cpl <= iopl)) {
        return true;
    }
    if ((cpu->tr.attr & (X86_SEG_P | X86_SEG_TYPE)) == (X86_SEG_P | X86_TYPE_TSS32_BUSY) &&
        cpu->tr.limit >= TSS_SIZE - 1) {
        uint32_t offset = tss_read(cpu, TSS_IO_MAP, 2) + port / 8;

        /* A port's bits may be in two bytes, so that both are read whatever the port is. */
        if (offset + 1 <= cpu->tr.limit) {
            unsigned bits = tss_read(cpu, offset, 2) >> (port & 7);

            return !(bits & ((1u << size) - 1));
        }
    }
    return false;
}

void x86_check_io_rights(X86Cpu *cpu, uint16_t port, unsigned size)
{
    if (!may_use_port(cpu, port, size)) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
}

void x86_check_io(X86Cpu *cpu, uint16_t port, unsigned size)
{
    x86_check_io_rights(cpu, port, size);
    x86_watch_port(cpu, port, size);
}

/* ---- task switch ----------------------------------------------------------------------------------------------- */

#define GPRS 8

/* Where a TSS of 16 or 32 bits has what a task switch saves and loads. */
typedef struct TssLayout {
    uint8_t size;     /* the least there has to be */
    uint8_t word;     /* bytes of a register */
    uint8_t ip, flags, gpr, segments, ldt;
    uint8_t segment_step;
    uint8_t segment_count; /* in the order ES, CS, SS, DS, FS, GS */
} TssLayout;

static const TssLayout layout_16 = {
    .size = 44, .word = 2, .ip = 14, .flags = 16, .gpr = 18, .segments = 34, .segment_step = 2, .segment_count = 4,
    .ldt = 42,
};
static const TssLayout layout_32 = {
    .size = TSS_SIZE, .word = 4, .ip = 32, .flags = 36, .gpr = 40, .segments = 72, .segment_step = 4,
    .segment_count = 6, .ldt = 96,
};

/* TYPE is that of a TSS, busy or not. */
static const TssLayout *layout_of(unsigned type)
{
    return (type & ~X86_TYPE_BUSY) == X86_TYPE_TSS16 ? &layout_16 : &layout_32;
}

typedef struct TaskState {
    uint32_t cr3, eip, eflags;
    uint32_t gpr[GPRS];
    uint16_t segment[X86_SEGMENTS];
    uint16_t ldt;
    bool trap;
} TaskState;

static uint32_t read_field(X86Cpu *cpu, uint64_t base, unsigned offset, unsigned size)
{
    return x86_ld_sys(cpu, (uint32_t)(base + offset), size);
}

static void write_field(X86Cpu *cpu, uint64_t base, unsigned offset, uint32_t value, unsigned size)
{
    x86_st_sys(cpu, (uint32_t)(base + offset), value, size);
}

/* A 16-bit TSS has no CR3, FS, GS and trap bit; the registers' upper halves are left 0. */
static void read_task(X86Cpu *cpu, const TssLayout *layout, uint64_t base, TaskState *ret_task)
{
    bool wide = layout == &layout_32;

    *ret_task = (TaskState){
        .cr3 = wide ? read_field(cpu, base, TSS_CR3, 4) : 0,
        .eip = read_field(cpu, base, layout->ip, layout->word),
        .eflags = read_field(cpu, base, layout->flags, layout->word),
        .ldt = read_field(cpu, base, layout->ldt, 2),
        .trap = wide && (read_field(cpu, base, TSS_TRAP, 2) & 1),
    };
    for (unsigned i = 0; i < GPRS; i++) {
        ret_task->gpr[i] = read_field(cpu, base, layout->gpr + i * layout->word, layout->word);
    }
    for (unsigned i = 0; i < layout->segment_count; i++) {
        ret_task->segment[i] = read_field(cpu, base, layout->segments + i * layout->segment_step, 2);
    }
}

static void save_task(X86Cpu *cpu, const TssLayout *layout, uint32_t rip, uint32_t flags)
{
    uint64_t base = cpu->tr.base;

    write_field(cpu, base, layout->ip, rip, layout->word);
    write_field(cpu, base, layout->flags, flags, layout->word);
    for (unsigned i = 0; i < GPRS; i++) {
        write_field(cpu, base, layout->gpr + i * layout->word, (uint32_t)cpu->regs[i], layout->word);
    }
    for (unsigned i = 0; i < layout->segment_count; i++) {
        write_field(cpu, base, layout->segments + i * layout->segment_step, cpu->seg[i].selector, 2);
    }
}

static void load_task_ldt(X86Cpu *cpu, uint16_t selector)
{
    X86Desc desc;

    if ((selector & ~RPL) == 0) {
        return;
    }
    if ((selector & TI) || !x86_find_descriptor(cpu, selector, true, &desc) || !x86_desc_is_system(&desc) ||
        x86_desc_type(&desc) != X86_TYPE_LDT || !x86_desc_present(&desc)) {
        x86_raise_ext(cpu, X86_EXC_TS, selector & ~RPL);
    }
    x86_desc_segment(&desc, selector, &cpu->ldt);
}

/* A data segment of the new task: as a program loads it, but what is wrong with it is #TS. */
static void load_task_data(X86Cpu *cpu, unsigned seg, uint16_t selector)
{
    uint32_t error = selector & ~RPL;
    X86Desc desc;

    if (error == 0) {
        return; /* null it is already */
    }
    x86_get_descriptor(cpu, selector, X86_EXC_TS, &desc);
    unsigned dpl = x86_desc_dpl(&desc);
    if (!x86_desc_is_readable(&desc) ||
        (!x86_desc_is_conforming(&desc) && ((selector & RPL) > dpl || cpu->cpl > dpl))) {
        x86_raise_ext(cpu, X86_EXC_TS, error);
    }
    if (!x86_desc_present(&desc)) {
        x86_raise_ext(cpu, X86_EXC_NP, error);
    }
    x86_mark_accessed(cpu, &desc);
    x86_desc_segment(&desc, selector, &cpu->seg[seg]);
}

/* Segments of the new task, already in cpu->seg[] as selectors without descriptors. */
static void load_task_segments(X86Cpu *cpu, const TaskState *task)
{
    static const uint8_t data_segments[] = { X86_ES, X86_DS, X86_FS, X86_GS };
    uint16_t cs = task->segment[X86_CS];
    X86Desc desc;

    load_task_ldt(cpu, task->ldt);
    if (task->eflags & X86_VM) {
        for (unsigned i = 0; i < X86_SEGMENTS; i++) {
            x86_set_real_segment(cpu, i, task->segment[i]);
        }
    } else {
        if (!x86_find_descriptor(cpu, cs, false, &desc) || !x86_desc_is_code(&desc) ||
            (x86_desc_is_conforming(&desc) ? x86_desc_dpl(&desc) > (cs & RPL) : x86_desc_dpl(&desc) != (cs & RPL))) {
            x86_raise_ext(cpu, X86_EXC_TS, cs & ~RPL);
        }
        if (!x86_desc_present(&desc)) {
            x86_raise_ext(cpu, X86_EXC_NP, cs & ~RPL);
        }
        x86_mark_accessed(cpu, &desc);
        x86_set_cs(cpu, cs, &desc, cs & RPL, task->eip);
        x86_get_stack_descriptor(cpu, task->segment[X86_SS], cpu->cpl, X86_EXC_TS, &desc);
        x86_mark_accessed(cpu, &desc);
        x86_desc_segment(&desc, task->segment[X86_SS], &cpu->seg[X86_SS]);
        x86_mode_changed(cpu);
        for (unsigned i = 0; i < sizeof(data_segments); i++) {
            load_task_data(cpu, data_segments[i], task->segment[data_segments[i]]);
        }
    }
    if (task->eip > cpu->seg[X86_CS].limit) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
}

/*
 * The first of the new task's registers, and the only one that can fault: TR has the new task already, all others are
 * the old one's.
 */
static void load_task_cr3(X86Cpu *cpu, const TssLayout *layout, uint32_t cr3)
{
    if (!(cpu->cr0 & X86_CR0_PG) || layout != &layout_32) {
        return;
    }
    if ((cpu->cr4 & X86_CR4_PAE) && !x86_load_pdptes(cpu, cr3)) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    cpu->cr3 = cr3;
    x86_tlb_flush(cpu, cpu->cr4 & X86_CR4_PGE);
}

/* The new task's registers, without what can fault. */
static void load_task(X86Cpu *cpu, const TaskState *task)
{
    for (unsigned i = 0; i < GPRS; i++) {
        cpu->regs[i] = task->gpr[i];
    }
    x86_set_rflags(cpu, (task->eflags & 0x3f7fd7u) | 2);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        x86_null_segment(&cpu->seg[i], task->segment[i]);
    }
    x86_null_segment(&cpu->ldt, task->ldt);
    cpu->cpl = task->eflags & X86_VM ? 3 : task->segment[X86_CS] & RPL;
    cpu->rip = task->eip;
    cpu->cr0 |= X86_CR0_TS;
    cpu->dr[7] &= ~(uint64_t)0x155; /* local breakpoints */
}

/* The TSS that SELECTOR leads to, busy for IRET and not for the others. */
static void get_tss(X86Cpu *cpu, uint16_t selector, X86TaskSwitch reason, X86Desc *ret_desc)
{
    int vector = reason == X86_TASK_IRET ? X86_EXC_TS : X86_EXC_GP;
    unsigned busy = reason == X86_TASK_IRET ? X86_TYPE_BUSY : 0;
    uint32_t error = selector & ~RPL;

    if ((selector & TI) || !x86_find_descriptor(cpu, selector, false, ret_desc) || !x86_desc_is_system(ret_desc) ||
        (x86_desc_type(ret_desc) != (X86_TYPE_TSS32 | busy) && x86_desc_type(ret_desc) != (X86_TYPE_TSS16 | busy))) {
        x86_raise_ext(cpu, vector, error);
    }
    if (!x86_desc_present(ret_desc)) {
        x86_raise_ext(cpu, X86_EXC_NP, error);
    }
    if (x86_desc_limit(ret_desc) < layout_of(x86_desc_type(ret_desc))->size - 1u) {
        x86_raise_ext(cpu, X86_EXC_TS, error);
    }
}

void x86_task_switch(X86Cpu *cpu, uint16_t selector, X86TaskSwitch reason, uint64_t return_rip)
{
    uint32_t flags = x86_get_rflags(cpu);
    X86Desc desc, old;
    X86Segment tr;
    TaskState task;

    if (reason == X86_TASK_IRET) {
        check_tss(cpu, TSS_LINK, 2);
        selector = tss_read(cpu, TSS_LINK, 2);
    }
    get_tss(cpu, selector, reason, &desc);
    const TssLayout *layout = layout_of(x86_desc_type(&desc)), *old_layout = layout_of(cpu->tr.attr & X86_SEG_TYPE);
    check_tss(cpu, 0, old_layout->size);
    x86_desc_segment(&desc, selector, &tr);
    read_task(cpu, layout, tr.base, &task);
    if (!x86_find_descriptor(cpu, cpu->tr.selector, false, &old)) {
        x86_raise_ext(cpu, X86_EXC_TS, cpu->tr.selector & ~RPL);
    }
    /* All that can fault in the old task, before anything is written. */
    x86_probe_sys(cpu, (uint32_t)cpu->tr.base, old_layout->size);
    x86_probe_sys(cpu, old.addr, 8);
    x86_probe_sys(cpu, desc.addr, 8);
    x86_probe_sys(cpu, (uint32_t)tr.base, 2);
    save_task(cpu, old_layout, return_rip, reason == X86_TASK_IRET ? flags & ~X86_NT : flags);
    if (reason != X86_TASK_CALL) {
        x86_st_sys(cpu, (uint32_t)(old.addr + 5), (old.low >> 40 & 0xff) & ~X86_TYPE_BUSY, 1);
    } else {
        write_field(cpu, tr.base, TSS_LINK, cpu->tr.selector, 2);
        task.eflags |= X86_NT;
    }
    x86_mark_descriptor(cpu, &desc, X86_TYPE_BUSY);
    x86_desc_segment(&desc, selector, &cpu->tr);
    load_task_cr3(cpu, layout, task.cr3);
    load_task(cpu, &task);
    x86_mode_changed(cpu);
    cpu->op = NULL;
    load_task_segments(cpu, &task);
    x86_mode_changed(cpu);
    if (task.trap) {
        cpu->dr[6] |= 0x8000; /* BT */
        x86_raise(cpu, X86_EXC_DB, 0);
    }
}

void x86_task_gate(X86Cpu *cpu, const X86Desc *gate, X86TaskSwitch reason, uint64_t return_rip)
{
    uint16_t selector = gate->low >> 16;

    if ((selector & ~RPL) == 0) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    x86_task_switch(cpu, selector, reason, return_rip);
}
