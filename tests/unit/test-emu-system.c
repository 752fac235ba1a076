/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in processor's modes, segments, exceptions, interrupts and system calls, by running guest code. */
#include "emu-system-rig.h"

GUEST(halt, 64, "hlt");

/* ---- modes ----------------------------------------------------------------------------------------------------- */

GUEST(enter_long, 16,
      "lgdtl %cs:0x100\n"
      "mov $0x20, %eax\n mov %eax, %cr4\n"       /* PAE */
      "mov $0x10000, %eax\n mov %eax, %cr3\n"
      "mov $0xc0000080, %ecx\n rdmsr\n bts $8, %eax\n wrmsr\n" /* LME */
      "mov %cr0, %eax\n or $0x80000001, %eax\n mov %eax, %cr0\n"
      "ljmpl $0x08, $0x20200\n");
GUEST(in_long, 64, "mov $0x1122334455667788, %rax\n mov %cs, %ecx\n hlt");

static void test_enter_long(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig); /* for its tables */
    sys_real(&rig);
    sys_code(&rig, SYS_KERNEL + 0x200, in_long, in_long_end);
    sys_code(&rig, SYS_KERNEL, enter_long, enter_long_end);
    sys_put(&rig, SYS_KERNEL + 0x100, SYS_GDT_END - 1, 2);
    sys_put(&rig, SYS_KERNEL + 0x102, SYS_GDT, 4);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_HALTED);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x1122334455667788);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, SYS_CS64);
    g_assert_cmphex(rig.state.efer, ==, X86_EFER_LME | X86_EFER_LMA);
    g_assert_cmphex(rig.state.rip, ==, SYS_KERNEL + 0x200 + (in_long_end - in_long));
    sys_rig_clear(&rig);
}

GUEST(leave_long, 64, "ljmp *1f(%rip)\n 1: .long 0x20100\n .word 0x18");
GUEST(compat, 32,
      "mov $-1, %eax\n inc %eax\n"
      "mov %cr0, %eax\n btr $31, %eax\n mov %eax, %cr0\n"
      "ljmp $0x20, $0\n");

/* Through compatibility mode to 32-bit and 16-bit code: the 16-bit segment is one of protected mode. */
static void test_leave_long(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_descriptor(&rig, SYS_CS16, SYS_KERNEL + 0x300, 0xffff, 0x9b);
    sys_put(&rig, SYS_KERNEL + 0x300, 0xf4, 1);
    SYS_CODE(&rig, SYS_KERNEL + 0x100, compat);
    SYS_CODE(&rig, SYS_KERNEL, leave_long);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.efer & X86_EFER_LMA, ==, 0);
    g_assert_cmphex(rig.state.segment[X86_CS].selector, ==, SYS_CS16);
    g_assert_cmphex(rig.state.segment[X86_CS].base, ==, SYS_KERNEL + 0x300);
    g_assert_cmphex(rig.state.rip, ==, 1);
    sys_rig_clear(&rig);
}

/* ---- exceptions in 64-bit mode --------------------------------------------------------------------------------- */

GUEST(exc_de, 64, "xor %edx, %edx\n xor %ecx, %ecx\n 1: div %ecx\n");
GUEST(exc_ud, 64, "nop\n ud2\n");
GUEST(exc_gp_canonical, 64, "mov $0x800000000000, %rax\n mov (%rax), %eax\n");
GUEST(exc_ss_canonical, 64, "mov $0x800000000000, %rax\n mov %rax, %rbp\n mov (%rbp), %eax\n");
GUEST(exc_gp_selector, 64, "mov $0xc3, %eax\n mov %eax, %ds\n");
GUEST(exc_gp_null_ss, 64, "mov $3, %eax\n mov %eax, %ss\n");
GUEST(exc_np, 64, "mov $0x78, %eax\n mov %eax, %es\n");
GUEST(exc_ss_absent, 64, "mov $0x78, %eax\n mov %eax, %ss\n");
GUEST(exc_gp_read_only_ss, 64, "mov $0x80, %eax\n mov %eax, %ss\n");
GUEST(exc_pf, 64, "mov $0x12345678, %eax\n mov %eax, (%rax)\n");
GUEST(exc_cr0, 64, "xor %eax, %eax\n mov %rax, %cr0\n");
GUEST(exc_cr4, 64, "mov $0x100000, %eax\n mov %rax, %cr4\n");
GUEST(exc_cr4_pae, 64, "xor %eax, %eax\n mov %rax, %cr4\n");
GUEST(exc_msr, 64, "mov $0x12345, %ecx\n rdmsr\n");
GUEST(exc_int_gate, 64, "nop\n int $0xff\n");

/* Exceptions of level 0: vector, error code, and how many bytes before the end of the code RIP is. */
static void test_exceptions(void)
{
    static const struct {
        const char *name;
        const uint8_t *code, *end;
        int vector;
        int64_t error; /* -1: no error code */
        unsigned length;
    } cases[] = {
        { "DE", exc_de, exc_de_end, X86_EXC_DE, -1, 2 },
        { "UD", exc_ud, exc_ud_end, X86_EXC_UD, -1, 2 },
        { "GP canonical", exc_gp_canonical, exc_gp_canonical_end, X86_EXC_GP, 0, 2 },
        { "SS canonical", exc_ss_canonical, exc_ss_canonical_end, X86_EXC_SS, 0, 3 },
        { "GP selector", exc_gp_selector, exc_gp_selector_end, X86_EXC_GP, 0xc0, 2 },
        { "GP null SS", exc_gp_null_ss, exc_gp_null_ss_end, X86_EXC_GP, 0, 2 },
        { "NP", exc_np, exc_np_end, X86_EXC_NP, 0x78, 2 },
        { "SS absent", exc_ss_absent, exc_ss_absent_end, X86_EXC_SS, 0x78, 2 },
        { "GP read-only SS", exc_gp_read_only_ss, exc_gp_read_only_ss_end, X86_EXC_GP, 0x80, 2 },
        { "PF", exc_pf, exc_pf_end, X86_EXC_PF, 2, 2 },
        { "GP CR0", exc_cr0, exc_cr0_end, X86_EXC_GP, 0, 3 },
        { "GP CR4", exc_cr4, exc_cr4_end, X86_EXC_GP, 0, 3 },
        { "GP CR4.PAE", exc_cr4_pae, exc_cr4_pae_end, X86_EXC_GP, 0, 3 },
        { "GP MSR", exc_msr, exc_msr_end, X86_EXC_GP, 0, 2 },
        { "GP IDT", exc_int_gate, exc_int_gate_end, X86_EXC_GP, 0xff * 8 + 2, 2 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        unsigned frame = cases[i].error < 0 ? 0 : 1;
        SysRig rig;

        g_test_message("%s", cases[i].name);
        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        rig.state.idt_limit = 0xff * 16 - 1;
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        if (frame) {
            g_assert_cmphex(sys_stack(&rig, 0, 8), ==, cases[i].error);
        }
        g_assert_cmphex(sys_stack(&rig, frame, 8), ==,
                        SYS_KERNEL + (cases[i].end - cases[i].code) - cases[i].length);
        g_assert_cmphex(sys_stack(&rig, frame + 1, 8), ==, SYS_CS64);
        g_assert_cmphex(sys_stack(&rig, frame + 2, 8) & X86_RF, ==, X86_RF);
        g_assert_cmphex(sys_stack(&rig, frame + 3, 8), ==, SYS_KERNEL_STACK);
        g_assert_cmphex(sys_stack(&rig, frame + 4, 8), ==, SYS_DS);
        if (cases[i].vector == X86_EXC_PF) {
            g_assert_cmphex(rig.state.cr2, ==, 0x12345678);
        }
        sys_rig_clear(&rig);
    }
}

GUEST(trap_int3, 64, "int3\n");
GUEST(trap_int, 64, "int $0x80\n");

/* Traps save the next instruction's RIP, and RF as it is. */
static void test_traps(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, trap_int3);
    SYS_RUN_VECTOR(&rig, X86_EXC_BP);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 1);
    g_assert_cmphex(sys_stack(&rig, 2, 8) & X86_RF, ==, 0);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, trap_int);
    rig.state.rflags |= X86_IF;
    rig.state.gpr[X86_RSP] = SYS_KERNEL_STACK - 3; /* the frame is aligned */
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 2);
    g_assert_cmphex(sys_stack(&rig, 2, 8), ==, X86_IF | 2);
    g_assert_cmphex(sys_stack(&rig, 3, 8), ==, SYS_KERNEL_STACK - 3);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_KERNEL_STACK - 16 - 40);
    g_assert_cmphex(rig.state.rflags & X86_IF, ==, 0);
    /* A trap gate leaves interrupts on. */
    sys_long(&rig);
    sys_gate(&rig, 0x80, SYS_CS64, SYS_HANDLERS + 0x80 * 16, 0xf, 0, 0);
    SYS_CODE(&rig, SYS_KERNEL, trap_int);
    rig.state.rflags |= X86_IF;
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.rflags & X86_IF, ==, X86_IF);
    sys_rig_clear(&rig);
}

GUEST(two_nops, 64, "nop\n nop\n hlt\n");

static void test_single_step(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, two_nops);
    rig.state.rflags |= X86_TF;
    SYS_RUN_VECTOR(&rig, X86_EXC_DB);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 1);
    g_assert_cmphex(sys_stack(&rig, 2, 8), ==, X86_TF | 2);
    g_assert_cmphex(rig.state.rflags & X86_TF, ==, 0);
    g_assert_cmphex(rig.state.dr[6], ==, 0xffff4ff0);
    sys_rig_clear(&rig);
}

GUEST(user_gp, 64, "cli\n");
GUEST(user_int, 64, "int $0x20\n");
GUEST(user_hlt, 64, "hlt\n");
GUEST(user_read_kernel, 64, "mov 0x20000, %eax\n");

/* From level 3: the inner stack, the DPL of gates, rights of pages. */
static void test_user_exceptions(void)
{
    static const struct {
        const uint8_t *code, *end;
        int vector;
        uint64_t error;
    } cases[] = {
        { user_gp, user_gp_end, X86_EXC_GP, 0 },
        { user_int, user_int_end, X86_EXC_GP, 0x20 * 8 + 2 },
        { user_hlt, user_hlt_end, X86_EXC_GP, 0 },
        { user_read_kernel, user_read_kernel_end, X86_EXC_PF, 5 },
    };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_rig_init(&rig, NULL);
        sys_user64(&rig);
        sys_code(&rig, SYS_USER, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_INNER_STACK - 48);
        g_assert_cmphex(rig.state.segment[X86_SS].selector, ==, 0);
        g_assert_cmphex(rig.state.segment[X86_CS].selector, ==, SYS_CS64);
        g_assert_cmphex(sys_stack(&rig, 0, 8), ==, cases[i].error);
        g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER);
        g_assert_cmphex(sys_stack(&rig, 2, 8), ==, SYS_USER_CS64);
        g_assert_cmphex(sys_stack(&rig, 4, 8), ==, SYS_USER_STACK);
        g_assert_cmphex(sys_stack(&rig, 5, 8), ==, SYS_USER_DS);
        sys_rig_clear(&rig);
    }
}

/* ---- double and triple faults ---------------------------------------------------------------------------------- */

static void test_double_fault(void)
{
    SysRig rig;

    /* #PF without a present gate: the #NP of its delivery is the second. */
    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_IDT + X86_EXC_PF * 16 + 5, 0x0e, 1);
    SYS_CODE(&rig, SYS_KERNEL, exc_pf);
    SYS_RUN_VECTOR(&rig, X86_EXC_DF);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_KERNEL + (exc_pf_end - exc_pf) - 2);
    /* A benign exception is no double fault: the #NP is delivered, and tells that it is not the program's. */
    sys_long(&rig);
    sys_put(&rig, SYS_IDT + X86_EXC_UD * 16 + 5, 0x0e, 1);
    SYS_CODE(&rig, SYS_KERNEL, exc_ud);
    SYS_RUN_VECTOR(&rig, X86_EXC_NP);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, X86_EXC_UD * 8 + 3);
    /* A page fault during delivery of a contributory one is delivered. */
    sys_long(&rig);
    rig.state.gpr[X86_RSP] = 0x400000; /* not mapped */
    sys_gate(&rig, X86_EXC_PF, SYS_CS64, SYS_HANDLERS + X86_EXC_PF * 16, 0xe, 0, 1);
    SYS_CODE(&rig, SYS_KERNEL, exc_de);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.cr2, ==, 0x400000 - 8);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_IST - 48);
    g_assert_cmphex(sys_stack(&rig, 4, 8), ==, 0x400000);
    /* Two page faults. */
    sys_long(&rig);
    rig.state.gpr[X86_RSP] = 0x400000;
    sys_gate(&rig, X86_EXC_DF, SYS_CS64, SYS_HANDLERS + X86_EXC_DF * 16, 0xe, 0, 1);
    SYS_CODE(&rig, SYS_KERNEL, exc_pf);
    SYS_RUN_VECTOR(&rig, X86_EXC_DF);
    sys_rig_clear(&rig);
}

static void test_triple_fault(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    rig.state.idt_limit = 0;
    SYS_CODE(&rig, SYS_KERNEL, exc_ud);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_SHUTDOWN);
    x86_cpu_reset(rig.cpu, false);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmphex(rig.state.rip, ==, 0xfff0);
    g_assert_cmphex(rig.state.segment[X86_CS].base, ==, 0xffff0000);
    g_assert_cmphex(rig.state.cr0, ==, 0x60000010);
    /* Real mode too. */
    sys_real(&rig);
    rig.state.idt_limit = 3;
    sys_put(&rig, SYS_KERNEL, 0x0b0f, 2); /* UD2 */
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_SHUTDOWN);
    sys_rig_clear(&rig);
}

/* ---- interrupts ------------------------------------------------------------------------------------------------ */

GUEST(count, 64, "1: inc %rax\n jmp 1b\n");
GUEST(sti_hlt, 64, "sti\n hlt\n");

static void test_interrupt(void)
{
    SysRig rig;

    /* From level 3, on an interrupt stack. */
    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    sys_gate(&rig, 0x31, SYS_CS64, SYS_HANDLERS + 0x31 * 16, 0xe, 0, 1);
    SYS_CODE(&rig, SYS_USER, count);
    rig.interrupt = 0x31;
    x86_cpu_set_intr(rig.cpu, true);
    SYS_RUN_VECTOR(&rig, 0x31);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_IST - 40);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER_CS64);
    g_assert_cmphex(sys_stack(&rig, 2, 8) & X86_IF, ==, X86_IF);
    /* Not taken while IF is clear; STI lets HLT begin first, which the interrupt ends. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, sti_hlt);
    rig.interrupt = 0x32;
    x86_cpu_set_intr(rig.cpu, true);
    SYS_RUN_VECTOR(&rig, 0x32);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 2);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, halt);
    rig.interrupt = 0x33;
    x86_cpu_set_intr(rig.cpu, true);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(rig.interrupt, ==, 0x33);
    x86_cpu_set_intr(rig.cpu, false);
    sys_rig_clear(&rig);
}

GUEST(nmi_handler, 64, "hlt\n inc %eax\n iretq\n");
GUEST(nop_hlt, 64, "nop\n hlt\n");

static void test_nmi(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_HANDLERS + X86_EXC_NMI * 16, nmi_handler);
    SYS_CODE(&rig, SYS_KERNEL, nop_hlt);
    x86_cpu_nmi(rig.cpu);
    SYS_RUN_VECTOR(&rig, X86_EXC_NMI);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL);
    uint64_t sp = rig.state.gpr[X86_RSP];
    /* Another one waits for IRET, and does not end HLT. */
    x86_cpu_nmi(rig.cpu);
    g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, sp);
    rig.cpu->halted = false;
    g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmpint(sys_vector(&rig), ==, X86_EXC_NMI);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 1);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, sp);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL);
    sys_rig_clear(&rig);
}

/* An IRET that faults ends the blocking, too: the next NMI comes before the fault's handler. */
GUEST(nmi_bad_iret, 64, "hlt\n movq $0x10, 8(%rsp)\n iretq\n");

static void test_nmi_after_faulting_iret(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_HANDLERS + X86_EXC_NMI * 16, nmi_bad_iret);
    SYS_CODE(&rig, SYS_KERNEL, nop_hlt);
    x86_cpu_nmi(rig.cpu);
    SYS_RUN_VECTOR(&rig, X86_EXC_NMI);
    x86_cpu_nmi(rig.cpu);
    rig.cpu->halted = false;
    g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmpint(sys_vector(&rig), ==, X86_EXC_NMI);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_HANDLERS + X86_EXC_GP * 16);
    sys_rig_clear(&rig);
}

/*
 * An IRET that is begun again, because the accessed bit it sets is beside translated code, is still the one IRET: the
 * next NMI comes after it, not in its middle.
 */
GUEST(nmi_iret, 64, "hlt\n incl %eax\n iretq\n");

static void test_nmi_after_restarted_iret(void)
{
    const uint16_t selector = 0xc0; /* right after the GDT's others, in a line with the handler */
    const uint32_t handler = SYS_GDT + 0xd0;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_descriptor(&rig, selector, 0, 0xffffffff, 0xa09a);
    rig.state.gdt_limit = 0xc7;
    sys_gate(&rig, X86_EXC_NMI, SYS_CS64, handler, 0xe, 0, 0);
    sys_code(&rig, handler, nmi_iret, nmi_iret_end);
    SYS_CODE(&rig, SYS_KERNEL, nop_hlt);
    rig.state.segment[X86_CS].selector = selector;
    x86_cpu_nmi(rig.cpu);
    sys_run(&rig);
    g_assert_cmphex(rig.state.rip, ==, handler + 1);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + selector + 5, 1), ==, 0x9a);
    x86_cpu_nmi(rig.cpu);
    rig.cpu->halted = false;
    g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(rig.cpu, &rig.state);
    g_assert_cmphex(rig.state.rip, ==, handler + 1);
    g_assert_cmphex(sys_get(&rig, SYS_GDT + selector + 5, 1), ==, 0x9b);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL);
    g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_KERNEL_STACK - 40);
    sys_rig_clear(&rig);
}

/* ---- IRET ------------------------------------------------------------------------------------------------------ */

GUEST(iret_user, 64,
      "push $0x3b\n push $0x58000\n push $0x202\n push $0x43\n push $0x30000\n iretq\n");
GUEST(iret_compat, 64,
      "push $0x3b\n push $0x58000\n push $0x3202\n push $0x33\n push $0x30000\n iretq\n");
GUEST(user64_exit, 64, "mov $-1, %rax\n int $0x80\n");
GUEST(user32_exit, 32, "mov $-1, %eax\n inc %eax\n int $0x80\n");
GUEST(iret_bad_cs, 64,
      "push $0x3b\n push $0x58000\n push $0x202\n push $0x10\n push $0x30000\n iretq\n");
GUEST(iret_null_ss, 64,
      "push $3\n push $0x58000\n push $0x202\n push $0x43\n push $0x30000\n iretq\n");

static void test_iret(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_USER, user64_exit);
    SYS_CODE(&rig, SYS_KERNEL, iret_user);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, ~0ull);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_USER + (user64_exit_end - user64_exit));
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER_CS64);
    g_assert_cmphex(sys_stack(&rig, 2, 8), ==, 0x202);
    g_assert_cmphex(sys_stack(&rig, 3, 8), ==, SYS_USER_STACK);
    g_assert_cmphex(sys_stack(&rig, 4, 8), ==, SYS_USER_DS);
    /* DS was level 0's. */
    g_assert_cmphex(rig.state.segment[X86_DS].selector, ==, 0);
    /* To 32-bit code. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_USER, user32_exit);
    SYS_CODE(&rig, SYS_KERNEL, iret_compat);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER_CS32);
    g_assert_cmphex(sys_stack(&rig, 2, 8) & X86_IOPL, ==, X86_IOPL);
    /* What cannot be returned to. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, iret_bad_cs);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0x10);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_KERNEL + (iret_bad_cs_end - iret_bad_cs) - 2);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, iret_null_ss);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0);
    /* NT is no 64-bit matter. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, iret_user);
    rig.state.rflags |= X86_NT;
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

/* At level 3, IOPL and IF stay what they are. */
GUEST(user_popf, 64, "push $0x3000\n popf\n pushf\n pop %rax\n int $0x80\n");

static void test_user_flags(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    SYS_CODE(&rig, SYS_USER, user_popf);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x202);
    /* With IOPL 3, IF can be changed. */
    sys_user64(&rig);
    rig.state.rflags |= X86_IOPL;
    SYS_CODE(&rig, SYS_USER, user_popf);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x3002);
    sys_rig_clear(&rig);
}

/* ---- SYSCALL and friends --------------------------------------------------------------------------------------- */

GUEST(do_syscall, 64, "mov $7, %eax\n syscall\n int $0x80\n");
GUEST(do_sysret, 64, "mov %rcx, %rdx\n mov %r11, %rbx\n mov %cs, %esi\n mov %ss, %edi\n pushf\n pop %rbp\n sysretq\n");
GUEST(do_sysret32, 64, "sysretl\n");
GUEST(bad_sysret, 64, "mov $0x800000000000, %rcx\n sysretq\n");

static void test_syscall(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    rig.state.lstar = SYS_KERNEL;
    rig.state.fmask = X86_IF | X86_DF;
    rig.state.rflags |= X86_DF;
    SYS_CODE(&rig, SYS_KERNEL, do_sysret);
    SYS_CODE(&rig, SYS_USER, do_syscall);
    rig.state.gpr[X86_RSP] = SYS_KERNEL_STACK; /* SYSCALL loads none */
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RDX], ==, SYS_USER + 7);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, X86_IF | X86_DF | 2);
    g_assert_cmphex(rig.state.gpr[X86_RBP], ==, 2);
    g_assert_cmphex(rig.state.gpr[X86_RSI], ==, SYS_CS64);
    g_assert_cmphex(rig.state.gpr[X86_RDI], ==, SYS_DS);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_USER + 9);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER_CS64);
    g_assert_cmphex(sys_stack(&rig, 2, 8), ==, X86_IF | X86_DF | 2);
    g_assert_cmphex(sys_stack(&rig, 4, 8), ==, SYS_USER_DS);
    /* Back to 32-bit code. */
    sys_long(&rig);
    rig.state.gpr[X86_RCX] = SYS_USER;
    rig.state.gpr[11] = 0x202;
    SYS_CODE(&rig, SYS_USER, user32_exit);
    SYS_CODE(&rig, SYS_KERNEL, do_sysret32);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER_CS32);
    /* SYSRET checks RIP at level 0. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, bad_sysret);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 2, 8), ==, SYS_CS64);
    /* Not enabled; not from level 3; not from 32-bit code. */
    sys_user64(&rig);
    rig.state.efer &= ~(uint64_t)X86_EFER_SCE;
    SYS_CODE(&rig, SYS_USER, do_syscall);
    SYS_RUN_VECTOR(&rig, X86_EXC_UD);
    sys_user64(&rig);
    SYS_CODE(&rig, SYS_USER, do_sysret32);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_user64(&rig);
    sys_user32(&rig);
    sys_put(&rig, SYS_USER, 0x050f, 2);
    SYS_RUN_VECTOR(&rig, X86_EXC_UD);
    sys_rig_clear(&rig);
}

/* The trap looks at the flags that SYSCALL has masked. */
GUEST(only_syscall, 64, "syscall\n");
GUEST(only_hlt, 64, "hlt\n");

static void test_syscall_masks_the_trap_flag(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned masked = 0; masked < 2; masked++) {
        sys_user64(&rig);
        rig.state.lstar = SYS_KERNEL;
        rig.state.fmask = masked ? X86_TF : 0;
        SYS_CODE(&rig, SYS_KERNEL, only_hlt);
        SYS_CODE(&rig, SYS_USER, only_syscall);
        rig.state.rflags |= X86_TF;
        rig.state.gpr[X86_RSP] = SYS_KERNEL_STACK;
        SYS_RUN_VECTOR(&rig, masked ? -1 : X86_EXC_DB);
        g_assert_cmphex(rig.state.gpr[11], ==, X86_TF | X86_IF | 2);
    }
    sys_rig_clear(&rig);
}

/* The displacement is at its end, and RSP after the POP beyond. */
GUEST(far_pop, 64, "popq 0x7ffffffc(%rsp)\n");

static void test_pop_beyond_the_displacement(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, far_pop);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.cr2, ==, SYS_KERNEL_STACK + 8 + UINT64_C(0x7ffffffc));
    sys_rig_clear(&rig);
}

GUEST(outs_of_nothing, 64, "xor %ecx, %ecx\n mov $0x80, %edx\n rep outsb\n hlt\n");

static void test_outs_of_nothing_meets_no_breakpoint(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, outs_of_nothing);
    rig.state.cr4 |= X86_CR4_DE;
    rig.state.dr[0] = 0x80;
    rig.state.dr[7] = 0x401 | 2 << 16; /* a port, one byte */
    SYS_RUN_VECTOR(&rig, -1);
    sys_rig_clear(&rig);
}

GUEST(do_sysenter, 64, "sysenter\n");
GUEST(do_sysexit, 64, "mov $0x30010, %edx\n mov $0x58000, %ecx\n sysexitq\n");

static void test_sysenter(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    /* The user's selectors that SYSEXIT makes: 32 and 40 after CS. */
    rig.state.sysenter_cs = 0x20;
    rig.state.sysenter_esp = SYS_KERNEL_STACK;
    rig.state.sysenter_eip = SYS_KERNEL;
    SYS_CODE(&rig, SYS_KERNEL, do_sysexit);
    SYS_CODE(&rig, SYS_USER + 0x10, user64_exit);
    SYS_CODE(&rig, SYS_USER, do_sysenter);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, 0x43);
    g_assert_cmphex(sys_stack(&rig, 3, 8), ==, 0x58000);
    g_assert_cmphex(sys_stack(&rig, 4, 8), ==, 0x4b);
    g_assert_cmphex(sys_stack(&rig, 2, 8) & X86_IF, ==, 0);
    sys_user64(&rig);
    SYS_CODE(&rig, SYS_USER, do_sysenter);
    rig.state.sysenter_cs = 0;
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

GUEST(do_swapgs, 64, "swapgs\n mov %gs:0, %eax\n hlt\n");

static void test_swapgs(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, do_swapgs);
    rig.state.kernel_gs_base = SYS_DATA;
    rig.state.segment[X86_GS].base = 0x1234;
    sys_put(&rig, SYS_DATA, 0x55aa1122, 4);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x55aa1122);
    g_assert_cmphex(rig.state.kernel_gs_base, ==, 0x1234);
    sys_user64(&rig);
    SYS_CODE(&rig, SYS_USER, do_swapgs);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

/* ---- call gates ------------------------------------------------------------------------------------------------ */

GUEST(call_gate64, 64, "lcall *1f(%rip)\n int $0x80\n 1: .long 0\n .word 0x6b\n");
GUEST(gate_target64, 64, "mov (%rsp), %rax\n mov %ss, %ecx\n lretq\n");

static void test_call_gate64(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_user64(&rig);
    sys_put(&rig, SYS_GDT + SYS_GATE,
            (SYS_KERNEL & 0xffff) | SYS_CS64 << 16 | 0xecull << 40 | (uint64_t)(SYS_KERNEL >> 16) << 48, 8);
    sys_put(&rig, SYS_GDT + SYS_GATE + 8, 0, 8);
    SYS_CODE(&rig, SYS_KERNEL, gate_target64);
    SYS_CODE(&rig, SYS_USER, call_gate64);
    SYS_RUN_VECTOR(&rig, 0x80);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, SYS_USER + 6);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_USER + 8);
    g_assert_cmphex(sys_stack(&rig, 3, 8), ==, SYS_USER_STACK);
    sys_rig_clear(&rig);
}

/* A device's register that tells another target each time. */
static unsigned target_reads;

static uint64_t read_target(void *opaque, uint64_t gpa, unsigned size)
{
    return 0x21000 + 0x1000 * target_reads++;
}

GUEST(call_device, 64, "mov $0x1900000, %ebx\n call *(%rbx)\n");

/* CALL reads its target once: at first there is neither the stack in the TLB nor the target in the jump cache. */
static void test_call_reads_once(void)
{
    const X86CpuConfig config = { .count = 1, .code_cache_bytes = 1 << 20 };
    X86Bus bus = *sys_rig_bus();
    SysRig rig;

    bus.mmio_read = read_target;
    target_reads = 0;
    sys_rig_init(&rig, NULL);
    x86_cpu_free(rig.cpu);
    rig.cpu = x86_cpu_new(rig.machine, &config, &bus, &rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 12 * 8, 0x1800083, 8); /* beyond RAM */
    sys_put(&rig, 0x21000, 0xf4, 1);
    sys_put(&rig, 0x22000, 0xf4, 1);
    SYS_CODE(&rig, SYS_KERNEL, call_device);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.rip, ==, 0x21001);
    g_assert_cmpuint(target_reads, ==, 1);
    sys_rig_clear(&rig);
}

GUEST(multiply, 64, "mulsd %xmm1, %xmm0\n hlt");
GUEST(narrow, 64, "cvtsd2ss %xmm1, %xmm0\n hlt");
GUEST(add_neighbours, 64, "haddpd %xmm1, %xmm0\n hlt");
GUEST(dot_product, 64, "dppd $0x31, %xmm1, %xmm0\n hlt");

/*
 * An overflow or underflow that is not masked is inexact only if the result is so without a bound of its exponent; a
 * tiny result raises it even when it is exact.
 */
static void test_sse_unmasked(void)
{
    enum { PE = 0x20, UE = 0x10, OE = 0x08, DE = 0x02, MASKED = 0x1f80 };
    static const struct {
        const uint8_t *code, *end;
        double a, b;
        unsigned unmasked, flags;
        bool raises;
    } cases[] = {
        { multiply, multiply_end, 0x1p600, 0x1p600, OE, OE, true },
        { multiply, multiply_end, 0x1.0000000000001p600, 0x1.0000000000001p600, OE, OE | PE, true },
        { multiply, multiply_end, 0x1p600, 0x1p600, PE, OE | PE, true },
        { multiply, multiply_end, 0x1p600, 0x1p600, UE, OE | PE, false },
        { multiply, multiply_end, 0x1p-1000, 0x1p-40, UE, UE, true },
        { multiply, multiply_end, 0x1p-1000, 0x1.0000000000001p-40, UE, UE, true },
        { multiply, multiply_end, 0x1.8p-1000, 0x1.5555555555555p-40, UE, UE | PE, true },
        { multiply, multiply_end, 0x1p-1000, 0x1p-40, OE, 0, false },
        { multiply, multiply_end, 0x1p-500, 0x1p-40, UE, 0, false },
        { narrow, narrow_end, 0, 0x1p200, OE, OE, true },
        { narrow, narrow_end, 0, 0x1.0000000000001p200, OE, OE | PE, true },
        { narrow, narrow_end, 0, 0x1p-140, UE, UE, true },
        { add_neighbours, add_neighbours_end, 0x1p1023, 1, OE, OE, true },
        { dot_product, dot_product_end, 0x1p600, 0x1p600, OE, OE, true },
        { dot_product, dot_product_end, 0x1p511, 0x1p512, OE, OE, true },
    };
    SysRig rig;

    if (!__builtin_cpu_supports("sse4.1")) {
        g_test_skip("the host has no DPPD");
        return;
    }
    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const uint32_t mxcsr = MASKED & ~(cases[i].unmasked << 7);
        const double values[4] = { cases[i].a, cases[i].a, cases[i].b, cases[i].b };
        uint32_t after;

        g_test_message("case %u", i);
        sys_long(&rig);
        rig.state.cr4 |= X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
        memcpy(rig.state.fxsave + 24, &mxcsr, 4);
        memcpy(rig.state.fxsave + 160, values, sizeof(values));
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, cases[i].raises ? X86_EXC_XM : -1);
        memcpy(&after, rig.state.fxsave + 24, 4);
        g_assert_cmphex(after, ==, mxcsr | cases[i].flags);
    }
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-system/enter-long", test_enter_long);
    g_test_add_func("/emu-system/leave-long", test_leave_long);
    g_test_add_func("/emu-system/exceptions", test_exceptions);
    g_test_add_func("/emu-system/traps", test_traps);
    g_test_add_func("/emu-system/single-step", test_single_step);
    g_test_add_func("/emu-system/user-exceptions", test_user_exceptions);
    g_test_add_func("/emu-system/double-fault", test_double_fault);
    g_test_add_func("/emu-system/triple-fault", test_triple_fault);
    g_test_add_func("/emu-system/interrupt", test_interrupt);
    g_test_add_func("/emu-system/nmi", test_nmi);
    g_test_add_func("/emu-system/nmi-after-faulting-iret", test_nmi_after_faulting_iret);
    g_test_add_func("/emu-system/nmi-after-restarted-iret", test_nmi_after_restarted_iret);
    g_test_add_func("/emu-system/iret", test_iret);
    g_test_add_func("/emu-system/user-flags", test_user_flags);
    g_test_add_func("/emu-system/syscall", test_syscall);
    g_test_add_func("/emu-system/syscall-masks-tf", test_syscall_masks_the_trap_flag);
    g_test_add_func("/emu-system/pop-beyond-the-displacement", test_pop_beyond_the_displacement);
    g_test_add_func("/emu-system/outs-of-nothing", test_outs_of_nothing_meets_no_breakpoint);
    g_test_add_func("/emu-system/sysenter", test_sysenter);
    g_test_add_func("/emu-system/call-reads-its-target-once", test_call_reads_once);
    g_test_add_func("/emu-system/swapgs", test_swapgs);
    g_test_add_func("/emu-system/sse-unmasked-overflow-and-underflow", test_sse_unmasked);
    g_test_add_func("/emu-system/call-gate64", test_call_gate64);
    return g_test_run();
}
