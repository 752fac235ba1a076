/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The built-in processor before x86-64: 16- and 32-bit protected mode, tasks, real mode, by running guest code.
 */
#include <string.h>
#include "emu-system-rig.h"

/* ---- 16- and 32-bit protected mode ----------------------------------------------------------------------------- */

GUEST(limit_read, 32, "mov $0x88, %eax\n mov %eax, %ds\n mov 12, %eax\n mov 13, %eax\n");
GUEST(limit_push, 32, "mov $0x88, %eax\n mov %eax, %ss\n mov $16, %esp\n pop %eax\n");
GUEST(write_code, 32, "mov %eax, %cs:0x70000\n");
GUEST(null_data, 32, "xor %eax, %eax\n mov %eax, %ds\n mov 0, %eax\n");
GUEST(int_legacy, 32, "int $0x80\n");

static void test_segment_limits(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_put(&rig, SYS_DATA + 12, 0x99887766, 4);
    SYS_CODE(&rig, SYS_KERNEL, limit_read);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x99887766);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL + (limit_read_end - limit_read) - 5);
    sys_protected(&rig);
    SYS_CODE(&rig, SYS_KERNEL, limit_push);
    SYS_RUN_VECTOR(&rig, X86_EXC_SS);
    sys_protected(&rig);
    SYS_CODE(&rig, SYS_KERNEL, write_code);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_protected(&rig);
    SYS_CODE(&rig, SYS_KERNEL, null_data);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

static void test_legacy_interrupt(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_user32(&rig);
    SYS_CODE(&rig, SYS_USER, int_legacy);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.segment[X86_SS].selector, ==, SYS_DS);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_INNER_STACK - 20);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, SYS_USER + 2);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_USER_CS32);
    g_assert_cmphex(sys_stack(&rig, 3, 4), ==, SYS_USER_STACK);
    g_assert_cmphex(sys_stack(&rig, 4, 4), ==, SYS_USER_DS);
    /* A 16-bit gate pushes words. */
    sys_protected(&rig);
    sys_gate(&rig, 0x80, SYS_CS32, 0xfff0, 6, 3, 0);
    sys_put(&rig, 0xfff0, 0xf4, 1);
    SYS_CODE(&rig, SYS_KERNEL, int_legacy);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_KERNEL_STACK - 6);
    g_assert_cmphex(sys_stack(&rig, 0, 2), ==, (SYS_KERNEL + 2) & 0xffff);
    g_assert_cmphex(sys_stack(&rig, 1, 2), ==, SYS_CS32);
    sys_rig_clear(&rig);
}

GUEST(call_gate32, 32, "push $0x1111\n push $0x2222\n lcall $0x6b, $0\n mov %esp, %ebx\n int $0x80\n");
GUEST(gate_target, 32, "mov 8(%esp), %eax\n mov 12(%esp), %ecx\n mov %ss, %edx\n lret $8\n");

/* To level 0 with two parameters, and back. */
static void test_call_gate(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_user32(&rig);
    sys_put(&rig, SYS_GDT + SYS_GATE,
            (SYS_KERNEL & 0xffff) | SYS_CS32 << 16 | 2ull << 32 | 0xecull << 40 | (uint64_t)(SYS_KERNEL >> 16) << 48,
            8);
    SYS_CODE(&rig, SYS_KERNEL, gate_target);
    SYS_CODE(&rig, SYS_USER, call_gate32);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x2222);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x1111);
    g_assert_cmphex(rig.state.gpr[X86_RDX], ==, SYS_DS);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, SYS_USER_STACK);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_USER_CS32);
    /* The gate's DPL. */
    sys_protected(&rig);
    sys_user32(&rig);
    sys_put(&rig, SYS_GDT + SYS_GATE + 5, 0x8c, 1);
    SYS_CODE(&rig, SYS_USER, call_gate32);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, SYS_GATE);
    sys_rig_clear(&rig);
}

/* ---- tasks ----------------------------------------------------------------------------------------------------- */

/* A task of 32-bit code at handler 0x40, with CR3. */
static void put_task32(SysRig *rig, uint32_t cr3)
{
    sys_put(rig, SYS_TSS2 + 28, cr3, 4);
    sys_put(rig, SYS_TSS2 + 32, SYS_HANDLERS + 0x40 * 16, 4);
    sys_put(rig, SYS_TSS2 + 36, 2, 4);
    sys_put(rig, SYS_TSS2 + 40 + X86_RSP * 4, SYS_IST, 4);
    sys_put(rig, SYS_TSS2 + 40 + X86_RBX * 4, 0xb0b, 4);
    for (unsigned i = 0; i < 6; i++) {
        sys_put(rig, SYS_TSS2 + 72 + i * 4, i == X86_CS ? SYS_CS32 : SYS_DS, 4);
    }
}

/* #DF by task gate: the new task has its own stack and tables. */
static void test_task_gate(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    put_task32(&rig, 0);
    sys_put(&rig, SYS_IDT + X86_EXC_GP * 8 + 5, 0, 1); /* so that #GP is #DF */
    sys_put(&rig, SYS_IDT + X86_EXC_DF * 8, (uint64_t)SYS_TR2 << 16 | 0x85ull << 40, 8);
    SYS_CODE(&rig, SYS_KERNEL, write_code); /* #GP */
    rig.state.gpr[X86_RSI] = 0x51;
    SYS_RUN_VECTOR(&rig, 0x40);
    g_assert_cmphex(rig.state.tr.selector, ==, SYS_TR2);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0xb0b);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_IST - 4);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
    g_assert_cmphex(rig.state.rflags & X86_NT, ==, X86_NT);
    g_assert_cmphex(rig.state.cr0 & X86_CR0_TS, ==, X86_CR0_TS);
    g_assert_cmphex(sys_get(&rig, SYS_TSS2, 2), ==, SYS_TR);
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 32, 4), ==, SYS_KERNEL);
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 40 + X86_RSI * 4, 4), ==, 0x51);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR2 + 5, 1), ==, 0x8b);
    sys_rig_clear(&rig);
}

GUEST(jump_task32, 32, "ljmp $0x60, $0\n");

/* The new task's page directory pointers are the general registers of the old one, as it is saved. */
static void test_task_saved_before_pdptes(void)
{
    const uint32_t tss = SYS_TSS + 24, pdpt = tss + 40;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, true);
    sys_descriptor(&rig, SYS_TR, tss, 0x67, 0x8b);
    rig.state.tr.base = tss;
    memset(rig.ram + pdpt, 0xff, 32);
    memset(rig.state.gpr, 0, sizeof(rig.state.gpr));
    rig.state.gpr[X86_RAX] = SYS_PD | 1;
    rig.state.gpr[X86_RSP] = SYS_KERNEL_STACK;
    put_task32(&rig, pdpt);
    SYS_CODE(&rig, SYS_KERNEL, jump_task32);
    SYS_RUN_VECTOR(&rig, 0x40);
    g_assert_cmphex(rig.state.cr3, ==, pdpt);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0xb0b);
    sys_rig_clear(&rig);
}

/* Page directory pointers with reserved bits are met when all but TR is still the old task's, and that one saved. */
static void test_task_bad_pdptes(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, true);
    memset(rig.ram + SYS_DATA, 0xff, 32);
    put_task32(&rig, SYS_DATA);
    SYS_CODE(&rig, SYS_KERNEL, jump_task32);
    rig.state.gpr[X86_RSI] = 0x51;
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL);
    g_assert_cmphex(rig.state.cr3, ==, SYS_PDPT);
    g_assert_cmphex(rig.state.gpr[X86_RSI], ==, 0x51);
    g_assert_cmphex(rig.state.tr.selector, ==, SYS_TR2);
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 32, 4), ==, SYS_KERNEL + (jump_task32_end - jump_task32));
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 40 + X86_RSI * 4, 4), ==, 0x51);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR + 5, 1), ==, 0x89);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR2 + 5, 1), ==, 0x8b);
    sys_rig_clear(&rig);
}

#define TSS16 0x98 /* selector of a 16-bit TSS at SYS_TSS2 */

/* A task of 16-bit code, at OFFSET in CS16. */
static void put_task16(SysRig *rig, uint16_t offset)
{
    static const uint16_t segments[] = { SYS_DS, SYS_CS16, SYS_DS16, SYS_DS };

    sys_descriptor(rig, SYS_CS16, SYS_KERNEL, 0xffff, 0x9b);
    sys_descriptor(rig, TSS16, SYS_TSS2, 43, 0x81);
    memset(rig->ram + SYS_TSS2, 0, 104);
    sys_put(rig, SYS_TSS2 + 14, offset, 2);
    sys_put(rig, SYS_TSS2 + 16, X86_CF | 2, 2);
    for (unsigned i = 0; i < 8; i++) {
        sys_put(rig, SYS_TSS2 + 18 + i * 2, i == X86_RSP ? 0xe000 : 0x1111 * (i + 1), 2);
    }
    for (unsigned i = 0; i < 4; i++) {
        sys_put(rig, SYS_TSS2 + 34 + i * 2, segments[i], 2);
    }
}

GUEST(call_task, 32, "mov $0x55667788, %edi\n lcall $0x98, $0\n mov $0x77, %ecx\n hlt\n");
GUEST(jump_task, 32, "ljmp $0x98, $0\n");
GUEST(task16, 16, "mov %ax, %fs:0\n");
GUEST(task16_returns, 16, "inc %bx\n iret\n mov $0x99, %bx\n hlt\n");
GUEST(task16_halts, 16, "setc %al\n hlt\n");

static void test_task16(void)
{
    SysRig rig;

    /* CALL and IRET. */
    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    put_task16(&rig, 0x100);
    sys_code(&rig, SYS_KERNEL + 0x100, task16_returns, task16_returns_end);
    SYS_CODE(&rig, SYS_KERNEL, call_task);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x77);
    g_assert_cmphex(rig.state.gpr[X86_RDI], ==, 0x55667788);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_KERNEL_STACK);
    g_assert_cmphex(rig.state.segment[X86_CS].selector, ==, SYS_CS32);
    g_assert_cmphex(rig.state.tr.selector, ==, SYS_TR);
    g_assert_cmphex(sys_get(&rig, SYS_TSS2, 2), ==, SYS_TR);
    g_assert_cmphex(sys_get(&rig, SYS_TSS2 + 18 + X86_RBX * 2, 2), ==, 0x4445);
    g_assert_cmphex(sys_get(&rig, SYS_TSS2 + 14, 2), ==, 0x102); /* after IRET */
    g_assert_cmphex(sys_get(&rig, SYS_TSS2 + 16, 2) & X86_NT, ==, 0);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + TSS16 + 5, 1), ==, 0x81);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR + 5, 1), ==, 0x8b);
    /* JMP: nothing to return to; no FS and GS; words of registers. */
    sys_protected(&rig);
    put_task16(&rig, 0x100);
    sys_code(&rig, SYS_KERNEL + 0x100, task16_halts, task16_halts_end);
    SYS_CODE(&rig, SYS_KERNEL, jump_task);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_HALTED);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x1101);
    g_assert_cmphex(rig.state.gpr[X86_RDI], ==, 0x8888);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, 0xe000);
    g_assert_cmphex(rig.state.segment[X86_FS].selector, ==, 0);
    g_assert_cmphex(rig.state.rflags & X86_NT, ==, 0);
    g_assert_cmphex(rig.state.tr.selector, ==, TSS16);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + TSS16 + 5, 1), ==, 0x83);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR + 5, 1), ==, 0x89);
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 32, 4), ==, SYS_KERNEL + 7);
    sys_protected(&rig);
    put_task16(&rig, 0x100);
    sys_code(&rig, SYS_KERNEL + 0x100, task16, task16_end);
    SYS_CODE(&rig, SYS_KERNEL, jump_task);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP); /* the null FS */
    sys_rig_clear(&rig);
}

static void test_task16_faults(void)
{
    static const struct {
        uint16_t limit;
        uint8_t attr;
        int vector;
    } cases[] = {
        { 42, 0x81, X86_EXC_TS }, /* too short */
        { 43, 0x83, X86_EXC_GP }, /* busy */
        { 43, 0x01, X86_EXC_NP },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_protected(&rig);
        put_task16(&rig, 0x100);
        sys_descriptor(&rig, TSS16, SYS_TSS2, cases[i].limit, cases[i].attr);
        SYS_CODE(&rig, SYS_KERNEL, call_task);
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        g_assert_cmphex(sys_stack(&rig, 0, 4), ==, TSS16);
        g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL + 5);
        g_assert_cmphex(rig.state.tr.selector, ==, SYS_TR);
        g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR + 5, 1), ==, 0x8b);
    }
    /* What is wrong with a data segment of the new task is #TS of that task. */
    sys_protected(&rig);
    put_task16(&rig, 0x100);
    sys_put(&rig, SYS_TSS2 + 40, TSS16, 2); /* DS */
    SYS_CODE(&rig, SYS_KERNEL, jump_task);
    SYS_RUN_VECTOR(&rig, X86_EXC_TS);
    g_assert_cmphex(rig.state.tr.selector, ==, TSS16);
    g_assert_cmphex(rig.state.gpr[X86_RSP] & 0xffff, ==, 0xe000 - 16);
    /* The page of the old TSS cannot be written: nothing has happened. */
    sys_protected_paging(&rig, false);
    put_task16(&rig, 0x100);
    sys_descriptor(&rig, TSS16, 0x71000, 43, 0x81);
    memcpy(rig.ram + 0x71000, rig.ram + SYS_TSS2, 44);
    sys_put(&rig, SYS_PT + 3 * 4, 0x3001, 4);
    SYS_CODE(&rig, SYS_KERNEL, jump_task);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.cr2, ==, SYS_TSS);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + TSS16 + 5, 1), ==, 0x81);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + SYS_TR + 5, 1), ==, 0x8b);
    sys_rig_clear(&rig);
}

/* An exception by a task gate: its error code is a word for a 16-bit task. */
static void test_task16_gate(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    put_task16(&rig, 0x100);
    sys_code(&rig, SYS_KERNEL + 0x100, task16_halts, task16_halts_end);
    sys_put(&rig, SYS_IDT + X86_EXC_GP * 8, (uint64_t)TSS16 << 16 | 0x85ull << 40, 8);
    SYS_CODE(&rig, SYS_KERNEL, write_code);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_HALTED);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, 0xe000 - 2);
    g_assert_cmphex(rig.state.rflags & X86_NT, ==, X86_NT);
    sys_rig_clear(&rig);
}

/* Inner stacks out of a 16-bit TSS, by an interrupt gate and by a call gate of 16 bits with a parameter. */
GUEST(call_gate16, 32, "pushw $0x4321\n lcall $0x6b, $0\n int $0x80\n");
GUEST(gate16_target, 16, "mov %sp, %bp\n mov 4(%bp), %ax\n mov 6(%bp), %cx\n mov 8(%bp), %dx\n lretw $2\n");

static void test_tss16_stacks(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_user32(&rig);
    sys_descriptor(&rig, SYS_CS16, SYS_KERNEL, 0xffff, 0x9b);
    rig.state.tr = (X86SegmentState){ .selector = SYS_TR, .base = SYS_TSS2, .limit = 43, .attr = 0x83 };
    sys_put(&rig, SYS_TSS2 + 2, 0xd000, 2);
    sys_put(&rig, SYS_TSS2 + 4, SYS_DS16, 2);
    sys_put(&rig, SYS_GDT + SYS_GATE, 0x40 | SYS_CS16 << 16 | 1ull << 32 | 0xe4ull << 40, 8);
    sys_code(&rig, SYS_KERNEL + 0x40, gate16_target, gate16_target_end);
    SYS_CODE(&rig, SYS_USER, call_gate16);
    /* The target returns with 16 bits of EIP only. */
    sys_descriptor(&rig, SYS_USER_CS32 & ~7, SYS_USER, 0xffff, 0x40fb);
    rig.state.segment[X86_CS].base = SYS_USER;
    rig.state.segment[X86_CS].limit = 0xffff;
    rig.state.rip = 0;
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX] & 0xffff, ==, 0x4321);
    g_assert_cmphex(rig.state.gpr[X86_RCX] & 0xffff, ==, (SYS_USER_STACK - 2) & 0xffff);
    g_assert_cmphex(rig.state.gpr[X86_RDX] & 0xffff, ==, SYS_USER_DS);
    g_assert_cmphex(rig.state.segment[X86_SS].selector, ==, SYS_DS16);
    g_assert_cmphex(rig.state.gpr[X86_RSP] & 0xffff, ==, 0xd000 - 20);
    sys_rig_clear(&rig);
}

/* ---- real mode ------------------------------------------------------------------------------------------------- */

GUEST(real_int, 16, "sti\n int $0x21\n hlt\n");
GUEST(real_back, 16, "iret\n");
GUEST(real_far, 16, "lcall $0x3000, $0x10\n mov %cs, %cx\n hlt\n");
GUEST(real_ret, 16, "mov %cs, %bx\n lret\n");
GUEST(real_div, 16, "xor %cx, %cx\n div %cx\n");

static void test_real(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_real(&rig);
    sys_put(&rig, 0x21 * 4, (SYS_USER >> 4) << 16, 4);
    SYS_CODE(&rig, SYS_USER, real_back);
    SYS_CODE(&rig, SYS_KERNEL, real_int);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.rip, ==, real_int_end - real_int);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, 0xf000);
    g_assert_cmphex(rig.state.rflags & X86_IF, ==, X86_IF);
    g_assert_cmphex(sys_get(&rig, 0xf000 - 4, 2), ==, SYS_KERNEL >> 4);
    sys_real(&rig);
    SYS_CODE(&rig, SYS_USER + 0x10, real_ret);
    SYS_CODE(&rig, SYS_KERNEL, real_far);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0x3000);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, SYS_KERNEL >> 4);
    sys_real(&rig);
    SYS_CODE(&rig, SYS_KERNEL, real_div);
    SYS_RUN_VECTOR(&rig, X86_EXC_DE);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, 0xf000 - 6);
    g_assert_cmphex(sys_stack(&rig, 0, 2), ==, 2);
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-legacy/segment-limits", test_segment_limits);
    g_test_add_func("/emu-legacy/interrupt", test_legacy_interrupt);
    g_test_add_func("/emu-legacy/call-gate", test_call_gate);
    g_test_add_func("/emu-legacy/task/gate", test_task_gate);
    g_test_add_func("/emu-legacy/task/saved-before-pdptes-are-loaded", test_task_saved_before_pdptes);
    g_test_add_func("/emu-legacy/task/bad-pdptes", test_task_bad_pdptes);
    g_test_add_func("/emu-legacy/task/16-bits", test_task16);
    g_test_add_func("/emu-legacy/task/16-bits-faults", test_task16_faults);
    g_test_add_func("/emu-legacy/task/16-bits-gate", test_task16_gate);
    g_test_add_func("/emu-legacy/task/16-bits-stacks", test_tss16_stacks);
    g_test_add_func("/emu-legacy/real", test_real);
    return g_test_run();
}
