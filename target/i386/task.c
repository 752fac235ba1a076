/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task state segments: stacks of inner levels, I/O permission map, and task switches by hardware.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 *
 * Task switches are between 32-bit TSSs only; one to a 16-bit TSS (80286) raises #TS.  No system of the last decades
 * makes any; 32-bit Linux uses one task, for double faults.
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
#define TSS_EIP 32u
#define TSS_EFLAGS 36u
#define TSS_EAX 40u
#define TSS_ES 72u
#define TSS_LDT 96u
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

void x86_check_io(X86Cpu *cpu, uint16_t port, unsigned size)
{
    unsigned iopl = (cpu->rflags & X86_IOPL) >> X86_IOPL_SHIFT;

    if (!(cpu->cr0 & X86_CR0_PE) || (!(cpu->rflags & X86_VM) && cpu->cpl <= iopl)) {
        return;
    }
    if ((cpu->tr.attr & (X86_SEG_P | X86_SEG_TYPE)) == (X86_SEG_P | X86_TYPE_TSS32_BUSY) &&
        cpu->tr.limit >= TSS_SIZE - 1) {
        uint32_t offset = tss_read(cpu, TSS_IO_MAP, 2) + port / 8;

        /* A port's bits may be in two bytes, so that both are read whatever the port is. */
        if (offset + 1 <= cpu->tr.limit) {
            unsigned bits = tss_read(cpu, offset, 2) >> (port & 7);

            if (!(bits & ((1u << size) - 1))) {
                return;
            }
        }
    }
    x86_raise(cpu, X86_EXC_GP, 0);
}

/* ---- task switch ----------------------------------------------------------------------------------------------- */

/* In the order of the TSS. */
static const uint8_t tss_segments[] = { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS };

typedef struct TaskState {
    uint32_t cr3, eip, eflags;
    uint32_t gpr[8];
    uint16_t segment[6];
    uint16_t ldt;
    bool trap;
} TaskState;

static void read_task(X86Cpu *cpu, uint64_t base, TaskState *ret_task)
{
    ret_task->cr3 = x86_ld_sys(cpu, (uint32_t)(base + TSS_CR3), 4);
    ret_task->eip = x86_ld_sys(cpu, (uint32_t)(base + TSS_EIP), 4);
    ret_task->eflags = x86_ld_sys(cpu, (uint32_t)(base + TSS_EFLAGS), 4);
    for (unsigned i = 0; i < 8; i++) {
        ret_task->gpr[i] = x86_ld_sys(cpu, (uint32_t)(base + TSS_EAX + i * 4), 4);
    }
    for (unsigned i = 0; i < 6; i++) {
        ret_task->segment[i] = x86_ld_sys(cpu, (uint32_t)(base + TSS_ES + i * 4), 2);
    }
    ret_task->ldt = x86_ld_sys(cpu, (uint32_t)(base + TSS_LDT), 2);
    ret_task->trap = x86_ld_sys(cpu, (uint32_t)(base + TSS_TRAP), 2) & 1;
}

static void save_task(X86Cpu *cpu, uint32_t rip, uint32_t flags)
{
    uint64_t base = cpu->tr.base;

    x86_st_sys(cpu, (uint32_t)(base + TSS_EIP), rip, 4);
    x86_st_sys(cpu, (uint32_t)(base + TSS_EFLAGS), flags, 4);
    for (unsigned i = 0; i < 8; i++) {
        x86_st_sys(cpu, (uint32_t)(base + TSS_EAX + i * 4), (uint32_t)cpu->regs[i], 4);
    }
    for (unsigned i = 0; i < 6; i++) {
        x86_st_sys(cpu, (uint32_t)(base + TSS_ES + i * 4), cpu->seg[tss_segments[i]].selector, 2);
    }
}

/* Segments of the new task, already in cpu->seg[] as selectors without descriptors. */
static void load_task_segments(X86Cpu *cpu, const TaskState *task)
{
    uint16_t cs = task->segment[X86_CS];
    X86Desc desc;

    if ((task->ldt & ~RPL) != 0) {
        if ((task->ldt & TI) || !x86_find_descriptor(cpu, task->ldt, true, &desc) || !x86_desc_is_system(&desc) ||
            x86_desc_type(&desc) != X86_TYPE_LDT || !x86_desc_present(&desc)) {
            x86_raise_ext(cpu, X86_EXC_TS, task->ldt & ~RPL);
        }
        x86_desc_segment(&desc, task->ldt, &cpu->ldt);
    }
    if (task->eflags & X86_VM) {
        for (unsigned i = 0; i < 6; i++) {
            x86_set_real_segment(cpu, i, task->segment[i]);
        }
        return;
    }
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
    x86_load_segment(cpu, X86_ES, task->segment[X86_ES]);
    x86_load_segment(cpu, X86_DS, task->segment[X86_DS]);
    x86_load_segment(cpu, X86_FS, task->segment[X86_FS]);
    x86_load_segment(cpu, X86_GS, task->segment[X86_GS]);
    if (task->eip > cpu->seg[X86_CS].limit) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
}

/* The new task's registers, without what can fault. */
static void load_task(X86Cpu *cpu, const TaskState *task)
{
    if (cpu->cr0 & X86_CR0_PG) {
        cpu->cr3 = task->cr3;
        x86_tlb_flush(cpu, cpu->cr4 & X86_CR4_PGE);
    }
    for (unsigned i = 0; i < 8; i++) {
        cpu->regs[i] = task->gpr[i];
    }
    x86_set_rflags(cpu, (task->eflags & 0x3f7fd7u) | 2);
    for (unsigned i = 0; i < 6; i++) {
        x86_null_segment(&cpu->seg[i], task->segment[i]);
    }
    x86_null_segment(&cpu->ldt, task->ldt);
    cpu->cpl = task->eflags & X86_VM ? 3 : task->segment[X86_CS] & RPL;
    cpu->rip = task->eip;
    cpu->cr0 |= X86_CR0_TS;
    cpu->dr[7] &= ~(uint64_t)0x155; /* local breakpoints */
}

void x86_task_switch(X86Cpu *cpu, uint16_t selector, X86TaskSwitch reason, uint64_t return_rip)
{
    int vector = reason == X86_TASK_IRET ? X86_EXC_TS : X86_EXC_GP;
    uint32_t flags = x86_get_rflags(cpu);
    X86Desc desc, old;
    TaskState task;

    if (reason == X86_TASK_IRET) {
        check_tss(cpu, TSS_LINK, 2);
        selector = tss_read(cpu, TSS_LINK, 2);
    }
    uint32_t error = selector & ~RPL;
    unsigned wanted = reason == X86_TASK_IRET ? X86_TYPE_TSS32_BUSY : X86_TYPE_TSS32;
    if ((selector & TI) || !x86_find_descriptor(cpu, selector, false, &desc) || !x86_desc_is_system(&desc) ||
        x86_desc_type(&desc) != wanted) {
        x86_raise_ext(cpu, vector, error);
    }
    if (!x86_desc_present(&desc)) {
        x86_raise_ext(cpu, X86_EXC_NP, error);
    }
    if (x86_desc_limit(&desc) < TSS_SIZE - 1 || (cpu->tr.attr & X86_SEG_TYPE) != X86_TYPE_TSS32_BUSY ||
        cpu->tr.limit < TSS_SIZE - 1) {
        x86_raise_ext(cpu, X86_EXC_TS, error);
    }
    X86Segment tr;
    x86_desc_segment(&desc, selector, &tr);
    read_task(cpu, tr.base, &task);
    if (!x86_find_descriptor(cpu, cpu->tr.selector, false, &old)) {
        x86_raise_ext(cpu, X86_EXC_TS, cpu->tr.selector & ~RPL);
    }
    if ((cpu->cr0 & X86_CR0_PG) && (cpu->cr4 & X86_CR4_PAE) && !x86_load_pdptes(cpu, task.cr3)) {
        x86_raise_ext(cpu, X86_EXC_GP, 0);
    }
    /* All that can fault in the old task has been tried, but for pages of the old TSS: these come first. */
    save_task(cpu, return_rip, reason == X86_TASK_IRET ? flags & ~X86_NT : flags);
    if (reason != X86_TASK_CALL) {
        x86_st_sys(cpu, (uint32_t)(old.addr + 5), (old.low >> 40 & 0xff) & ~X86_TYPE_BUSY, 1);
    } else {
        x86_st_sys(cpu, (uint32_t)(tr.base + TSS_LINK), cpu->tr.selector, 2);
        task.eflags |= X86_NT;
    }
    x86_mark_descriptor(cpu, &desc, X86_TYPE_BUSY);
    x86_desc_segment(&desc, selector, &cpu->tr);
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
