/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in processor's virtual-8086 mode, without extensions, by running guest code. */
#include <string.h>
#include "emu-system-rig.h"

GUEST(to_vm, 32,
      "push $0\n push $0\n push $0x7000\n push $0\n push $0x5000\n push $0x8000\n"
      "push $0x23202\n push $0x3000\n push $0x10\n iret\n");
GUEST(in_vm, 16, "mov %ds:0, %ax\n mov %cs, %bx\n int $0x80\n");

/* IRET to virtual-8086 mode; an interrupt leaves it. */
static void test_vm86(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_put(&rig, SYS_DATA, 0xbeef, 2);
    SYS_CODE(&rig, SYS_USER + 0x10, in_vm);
    SYS_CODE(&rig, SYS_KERNEL, to_vm);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX] & 0xffff, ==, 0xbeef);
    g_assert_cmphex(rig.state.gpr[X86_RBX] & 0xffff, ==, 0x3000);
    g_assert_cmphex(rig.state.rflags & X86_VM, ==, 0);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_INNER_STACK - 36);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0x10 + (in_vm_end - in_vm));
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, 0x3000);
    g_assert_cmphex(sys_stack(&rig, 2, 4) & X86_VM, ==, X86_VM);
    g_assert_cmphex(sys_stack(&rig, 3, 4), ==, 0x8000);
    g_assert_cmphex(sys_stack(&rig, 4, 4), ==, 0x5000);
    g_assert_cmphex(sys_stack(&rig, 6, 4), ==, 0x7000); /* DS */
    g_assert_cmphex(rig.state.segment[X86_DS].selector, ==, 0);
    sys_rig_clear(&rig);
}

GUEST(vm_cli, 16, "cli\n");
GUEST(vm_sti, 16, "sti\n");
GUEST(vm_pushf, 16, "pushf\n");
GUEST(vm_popf, 16, "popf\n");
GUEST(vm_int, 16, "int $0x80\n");
GUEST(vm_int_dpl0, 16, "int $0x20\n");
GUEST(vm_int3, 16, "int3\n");
GUEST(vm_int1, 16, ".byte 0xf1\n");
GUEST(vm_iret, 16, "iret\n");
GUEST(vm_in_allowed, 16, "in $0x10, %al\n");
GUEST(vm_in_denied, 16, "in $0x40, %al\n");
GUEST(vm_hlt, 16, "hlt\n");
GUEST(vm_mov_cr, 16, "mov %cr0, %eax\n");
GUEST(vm_clts, 16, "clts\n");
GUEST(vm_lgdt, 16, "lgdt 0\n");
GUEST(vm_smsw, 16, "smsw %ax\n");
GUEST(vm_sldt, 16, "sldt %ax\n");
GUEST(vm_str, 16, "str %ax\n");
GUEST(vm_lldt, 16, "lldt %ax\n");
GUEST(vm_lar, 16, "lar %ax, %ax\n");
GUEST(vm_verr, 16, "verr %ax\n");
GUEST(vm_arpl, 16, "arpl %ax, %ax\n");
GUEST(vm_over_data, 16, "mov 0xffff, %ax\n");
GUEST(vm_over_far, 16, ".byte 0x67, 0xa0\n .long 0x10000\n"); /* addr32 mov 0x10000, %al, which clang refuses */
GUEST(vm_over_stack, 16, "mov $0xffff, %bp\n mov (%bp), %ax\n");
GUEST(vm_over_code, 16, ".byte 0x66, 0xe9\n .long 0x10000 - 6\n");

#define ON -1 /* goes on to the HLT behind it, which is #GP */

static void test_vm86_instructions(void)
{
    static const struct {
        const char *name;
        const uint8_t *code, *end;
        int by_iopl[2]; /* vector with IOPL 0 and 3 */
        uint32_t error; /* with IOPL 3 */
        unsigned at;    /* of the instruction */
    } cases[] = {
        { "CLI", vm_cli, vm_cli_end, { X86_EXC_GP, ON }, 0, 0 },
        { "STI", vm_sti, vm_sti_end, { X86_EXC_GP, ON }, 0, 0 },
        { "PUSHF", vm_pushf, vm_pushf_end, { X86_EXC_GP, ON }, 0, 0 },
        { "POPF", vm_popf, vm_popf_end, { X86_EXC_GP, ON }, 0, 0 },
        { "INT", vm_int, vm_int_end, { X86_EXC_GP, 0x80 }, 0, 0 },
        { "INT, gate of level 0", vm_int_dpl0, vm_int_dpl0_end, { X86_EXC_GP, X86_EXC_GP }, 0x20 * 8 + 2, 0 },
        { "INT3, gate of level 0", vm_int3, vm_int3_end, { X86_EXC_GP, X86_EXC_GP }, X86_EXC_BP * 8 + 2, 0 },
        { "INT1", vm_int1, vm_int1_end, { X86_EXC_DB, X86_EXC_DB }, 0, 1 },
        { "IRET", vm_iret, vm_iret_end, { X86_EXC_GP, ON }, 0, 0 },
        { "IN, allowed", vm_in_allowed, vm_in_allowed_end, { ON, ON }, 0, 0 },
        { "IN, denied", vm_in_denied, vm_in_denied_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "HLT", vm_hlt, vm_hlt_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "MOV CR0", vm_mov_cr, vm_mov_cr_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "CLTS", vm_clts, vm_clts_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "LGDT", vm_lgdt, vm_lgdt_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "SMSW", vm_smsw, vm_smsw_end, { ON, ON }, 0, 0 },
        { "SLDT", vm_sldt, vm_sldt_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "STR", vm_str, vm_str_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "LLDT", vm_lldt, vm_lldt_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "LAR", vm_lar, vm_lar_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "VERR", vm_verr, vm_verr_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "ARPL", vm_arpl, vm_arpl_end, { X86_EXC_UD, X86_EXC_UD }, 0, 0 },
        { "word at FFFFh", vm_over_data, vm_over_data_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "byte at 10000h", vm_over_far, vm_over_far_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
        { "word of the stack", vm_over_stack, vm_over_stack_end, { X86_EXC_SS, X86_EXC_SS }, 0, 3 },
        { "JMP to 10000h", vm_over_code, vm_over_code_end, { X86_EXC_GP, X86_EXC_GP }, 0, 0 },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (unsigned full = 0; full < 2; full++) {
            int vector = cases[i].by_iopl[full];
            bool with_error = vector != X86_EXC_UD && vector != X86_EXC_DB && vector != 0x80;

            g_test_message("%s, IOPL %u", cases[i].name, full * 3);
            sys_vm86(&rig, full * 3);
            memset(rig.ram + SYS_TSS + 104, 0, 8); /* ports 0 to 63 */
            sys_put(&rig, 0x50000 + SYS_VM_STACK, 0x10, 2); /* for IRET: a HLT at 3000h:10h */
            sys_put(&rig, 0x50000 + SYS_VM_STACK + 2, 0x3000, 2);
            sys_code(&rig, SYS_USER, cases[i].code, cases[i].end);
            SYS_RUN_VECTOR(&rig, vector == ON ? X86_EXC_GP : vector);
            if (with_error) {
                /* INT n is refused before its gate is looked at. */
                g_assert_cmphex(sys_stack(&rig, 0, 4), ==,
                                vector == ON || (!full && cases[i].code == vm_int_dpl0) ? 0 : cases[i].error);
            }
            if (vector != ON) {
                g_assert_cmphex(sys_stack(&rig, with_error, 4), ==,
                                vector == 0x80 ? (unsigned)(cases[i].end - cases[i].code) : cases[i].at);
            } else {
                g_assert_cmphex(sys_stack(&rig, 1, 4), ==,
                                cases[i].code == vm_iret ? 0x10 : (unsigned)(cases[i].end - cases[i].code));
            }
            g_assert_cmphex(rig.state.rflags & X86_VM, ==, 0);
            g_assert_cmphex(sys_stack(&rig, with_error + 1, 4), ==, 0x3000);
            g_assert_cmphex(sys_stack(&rig, with_error + 2, 4) & X86_VM, ==, X86_VM);
            g_assert_cmphex(sys_stack(&rig, with_error + 2, 4) & X86_RF, ==,
                            vector == X86_EXC_DB || vector == 0x80 ? 0 : X86_RF);
        }
    }
    sys_rig_clear(&rig);
}

GUEST(vm_flags, 16, "pushl $0x3f3ed7\n popfl\n pushfl\n pop %eax\n int $0x80\n");

/* With IOPL 3 a program changes IF; never IOPL, VM, RF and the virtual interrupt flags, whatever it pops. */
static void test_vm86_flags(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_vm86(&rig, 3);
    SYS_CODE(&rig, SYS_USER, vm_flags);
    /* TF is in what is popped: the first trap is after PUSHFL. */
    sys_put(&rig, SYS_USER + 2, 0x3f3ed7 & ~X86_TF, 4);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, X86_ID | X86_AC | X86_IOPL | X86_OF | X86_DF | X86_IF | 0xd7);
    g_assert_cmphex(sys_stack(&rig, 2, 4), ==, X86_ID | X86_AC | X86_VM | X86_IOPL | X86_OF | X86_DF | X86_IF | 0xd7);
    sys_rig_clear(&rig);
}

GUEST(vm_round, 16, "mov $0x1234, %ax\n int $0x80\n mov %ds:0, %bx\n mov %fs, %cx\n int $0x81\n");
GUEST(vm_handler, 32, "mov %ds, %edx\n mov $0x10, %ebp\n mov %ebp, %ds\n incl 0x71000\n iret\n");

/* An interrupt leaves with null data segments, and IRET goes back to all of them. */
static void test_vm86_round_trip(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_vm86(&rig, 3);
    sys_gate(&rig, 0x81, SYS_CS32, SYS_HANDLERS + 0x81 * 16, 0xe, 3, 0);
    sys_gate(&rig, 0x80, SYS_CS32, SYS_KERNEL, 0xe, 3, 0);
    SYS_CODE(&rig, SYS_KERNEL, vm_handler);
    sys_put(&rig, 0x71000, 5, 4);
    sys_put(&rig, SYS_DATA, 0xbeef, 2);
    SYS_CODE(&rig, SYS_USER, vm_round);
    rig.state.rip = 0;
    SYS_RUN_VECTOR(&rig, 0x81);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x1234);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0xbeef);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x7200);
    g_assert_cmphex(rig.state.gpr[X86_RDX], ==, 0);
    g_assert_cmphex(sys_get(&rig, 0x71000, 4), ==, 6);
    g_assert_cmphex(sys_stack(&rig, 3, 4), ==, SYS_VM_STACK);
    g_assert_cmphex(sys_stack(&rig, 4, 4), ==, 0x5000);
    g_assert_cmphex(sys_stack(&rig, 5, 4), ==, 0x7100); /* ES */
    g_assert_cmphex(sys_stack(&rig, 6, 4), ==, 0x7000);
    g_assert_cmphex(sys_stack(&rig, 7, 4), ==, 0x7200);
    g_assert_cmphex(sys_stack(&rig, 8, 4), ==, 0x7300);
    sys_rig_clear(&rig);
}

GUEST(vm_count, 16, "sti\n 1: inc %ax\n jmp 1b\n");

static void test_vm86_interrupts(void)
{
    SysRig rig;

    /* From outside. */
    sys_rig_init(&rig, NULL);
    sys_vm86(&rig, 3);
    SYS_CODE(&rig, SYS_USER, vm_count);
    rig.interrupt = 0x31;
    x86_cpu_set_intr(rig.cpu, true);
    SYS_RUN_VECTOR(&rig, 0x31);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_INNER_STACK - 36);
    /* By a gate of 16 bits: words. */
    sys_vm86(&rig, 3);
    sys_gate(&rig, 0x80, SYS_CS32, 0xfff0, 6, 3, 0);
    sys_put(&rig, 0xfff0, 0xf4, 1);
    SYS_CODE(&rig, SYS_USER, vm_int);
    sys_run(&rig);
    g_assert_cmphex(rig.state.rip, ==, 0xfff1);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_INNER_STACK - 18);
    g_assert_cmphex(sys_stack(&rig, 0, 2), ==, 2);
    g_assert_cmphex(sys_stack(&rig, 1, 2), ==, 0x3000);
    g_assert_cmphex(sys_stack(&rig, 3, 2), ==, SYS_VM_STACK);
    g_assert_cmphex(sys_stack(&rig, 8, 2), ==, 0x7300);
    /* Handlers are at level 0, and conforming they are not. */
    for (unsigned i = 0; i < 2; i++) {
        sys_vm86(&rig, 3);
        sys_descriptor(&rig, 0x90, 0, 0xffffffff, i ? 0xc09e : 0xc0ba);
        sys_gate(&rig, 0x80, 0x90 | (i ? 0 : 1), SYS_HANDLERS, 0xe, 3, 0);
        SYS_CODE(&rig, SYS_USER, vm_int);
        SYS_RUN_VECTOR(&rig, X86_EXC_GP);
        g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0x90);
    }
    /* IRET to what is not in the segment is level 0's fault. */
    sys_protected(&rig);
    SYS_CODE(&rig, SYS_KERNEL, to_vm);
    /* PUSH 10000h in place of the last one; IRET */
    sys_put(&rig, SYS_KERNEL + (to_vm_end - to_vm) - 3, 0xcf0001000068, 6);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
    g_assert_cmphex(sys_stack(&rig, 2, 4), ==, SYS_CS32);
    /* Pages are accessed with a user's rights. */
    sys_protected_paging(&rig, false);
    X86State paging = rig.state;
    sys_vm86(&rig, 3);
    rig.state.cr0 = paging.cr0;
    rig.state.cr3 = paging.cr3;
    SYS_CODE(&rig, SYS_USER, vm_round); /* the INT, then DS is a supervisor's page */
    sys_put(&rig, SYS_USER + 3, 0x9090, 2);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 5);
    g_assert_cmphex(rig.state.cr2, ==, SYS_DATA);
    sys_rig_clear(&rig);
}

GUEST(jump_task, 32, "ljmp $0x90, $0\n");

/* A task can be one of virtual-8086 mode. */
static void test_task_vm86(void)
{
    static const uint16_t segments[] = { 0x7100, 0x3000, 0x5000, 0x7000, 0x7200, 0x7300 };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned beyond = 0; beyond < 2; beyond++) {
        sys_protected(&rig);
        memset(rig.ram + SYS_TSS2, 0, 104);
        sys_put(&rig, SYS_TSS2 + 32, beyond ? 0x10000 : 0, 4);
        sys_put(&rig, SYS_TSS2 + 36, X86_VM | X86_IOPL | 2, 4);
        sys_put(&rig, SYS_TSS2 + 40 + X86_RSP * 4, SYS_VM_STACK, 4);
        sys_put(&rig, SYS_TSS2 + 4, SYS_INNER_STACK, 4);
        sys_put(&rig, SYS_TSS2 + 8, SYS_DS, 2);
        for (unsigned i = 0; i < 6; i++) {
            sys_put(&rig, SYS_TSS2 + 72 + i * 4, segments[i], 4);
        }
        sys_descriptor(&rig, SYS_FREE, SYS_TSS2, 0x67, 0x89);
        SYS_CODE(&rig, SYS_USER, vm_int);
        SYS_CODE(&rig, SYS_KERNEL, jump_task);
        SYS_RUN_VECTOR(&rig, beyond ? X86_EXC_GP : 0x80);
        g_assert_cmphex(rig.state.tr.selector, ==, SYS_FREE);
        g_assert_cmphex(sys_stack(&rig, beyond + 1, 4), ==, 0x3000);
        g_assert_cmphex(sys_stack(&rig, beyond + 2, 4) & X86_VM, ==, X86_VM);
        g_assert_cmphex(sys_stack(&rig, beyond + 6, 4), ==, 0x7000);
    }
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-vm86/enter-and-leave", test_vm86);
    g_test_add_func("/emu-vm86/instructions", test_vm86_instructions);
    g_test_add_func("/emu-vm86/flags", test_vm86_flags);
    g_test_add_func("/emu-vm86/round-trip", test_vm86_round_trip);
    g_test_add_func("/emu-vm86/interrupts", test_vm86_interrupts);
    g_test_add_func("/emu-vm86/task", test_task_vm86);
    return g_test_run();
}
