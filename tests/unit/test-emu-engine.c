/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the built-in processor executes: translated code that changes, by whomever; pages and what crosses them;
 * repeated and interrupted instructions.
 */
#include <string.h>
#include "emu-system-rig.h"
#include "target/i386/mem.h"

/* ---- code that changes ------------------------------------------------------------------------------------------- */

/* The immediate of an instruction of the same block is written right before it runs. */
GUEST(same_block, 64,
      "xor %esi, %esi\n xor %eax, %eax\n mov $100, %ecx\n"
      "1: incl 2f+1(%rip)\n"
      "2: mov $0, %edx\n"
      "add %edx, %eax\n dec %ecx\n jnz 1b\n hlt");

static void test_same_block(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, same_block);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(rig.state.gpr[X86_RAX], ==, 5050);
    sys_rig_clear(&rig);
}

/* So by a string operation, a push, a locked operation. */
GUEST(same_block_others, 64,
      "lea 1f+1(%rip), %rdi\n mov $7, %eax\n stosb\n"
      "1: mov $0, %ecx\n"
      "mov %rsp, %rbp\n lea 2f+10(%rip), %rsp\n push $5\n"
      "2: movabs $0, %rdx\n"
      "mov %rbp, %rsp\n lock incb 3f+1(%rip)\n"
      "3: mov $8, %ebx\n hlt");

static void test_same_block_others(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, same_block_others);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(rig.state.gpr[X86_RCX], ==, 7);
    g_assert_cmpint(rig.state.gpr[X86_RDX], ==, 5);
    g_assert_cmpint(rig.state.gpr[X86_RBX], ==, 9);
    sys_rig_clear(&rig);
}

/*
 * CMP and ADC take turns behind what writes them: ADC needs the flags that nobody would have read before CMP.  That a
 * page changes itself is known from the second time on.
 */
GUEST(new_reader, 64,
      "xor %edi, %edi\n mov $6, %ecx\n mov $0x39, %dl\n"
      "1: xor $0x28, %dl\n xor %ebx, %ebx\n mov $-1, %eax\n add $1, %eax\n mov %dl, 2f(%rip)\n"
      "2: cmp %ebx, %ebx\n"
      "add %ebx, %edi\n dec %ecx\n jnz 1b\n hlt");

static void test_new_reader_of_flags(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, new_reader);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpuint(rig.state.gpr[X86_RDI], >=, 2);
    sys_rig_clear(&rig);
}

/* A function in another page is rewritten between its calls. */
GUEST(patch_function, 64,
      "xor %ebp, %ebp\n mov $50, %ecx\n"
      "1: mov $0x22000, %ebx\n call *%rbx\n add %eax, %ebp\n incl 0x22001\n dec %ecx\n jnz 1b\n hlt");
GUEST(function, 64, "mov $0, %eax\n ret");

static void test_other_page(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_code(&rig, 0x22000, function, function_end);
    SYS_CODE(&rig, SYS_KERNEL, patch_function);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(rig.state.gpr[X86_RBP], ==, 49 * 50 / 2);
    sys_rig_clear(&rig);
}

/* A device changes code: seen when the page was taken out of the TLB. */
GUEST(reload, 64, "mov %cr3, %rax\n mov %rax, %cr3\n mov $0x22000, %ebx\n call *%rbx\n hlt\n jmp reload");
GUEST(invalidate, 64, "invlpg 0x22000\n mov $0x22000, %ebx\n call *%rbx\n hlt\n jmp invalidate");

static void test_device_writes(const void *code)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_code(&rig, 0x22000, function, function_end);
    if (code == reload) {
        SYS_CODE(&rig, SYS_KERNEL, reload);
    } else {
        SYS_CODE(&rig, SYS_KERNEL, invalidate);
    }
    for (unsigned i = 0; i < 20; i++) {
        rig.ram[0x22001] = (uint8_t)(i * 3);
        rig.state.halted = false;
        if (i == 0) {
            SYS_RUN_VECTOR(&rig, -1);
        } else {
            g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
            x86_cpu_get_state(rig.cpu, &rig.state);
        }
        g_assert_cmpint(rig.state.gpr[X86_RAX], ==, i * 3);
        rig.cpu->halted = false;
    }
    sys_rig_clear(&rig);
}

/* Code of one page at two linear addresses: calls and RIP-relative operands are of the place it runs at. */
GUEST(position, 64, "lea position(%rip), %rax\n call 1f\n 1: pop %rbx\n mov position(%rip), %ecx\n jmp *%rdx");
GUEST(two_places, 64,
      "lea 1f(%rip), %rdx\n mov $0x22000, %esi\n jmp *%rsi\n"
      "1: mov %rax, %r8\n mov %rbx, %r9\n lea 2f(%rip), %rdx\n mov $0x25000, %esi\n jmp *%rsi\n 2: hlt");

static void test_two_places(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PT + 0x25 * 8, 0x22003, 8);
    sys_code(&rig, 0x22000, position, position_end);
    SYS_CODE(&rig, SYS_KERNEL, two_places);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[8], ==, 0x22000);
    g_assert_cmphex(rig.state.gpr[9], ==, 0x22000 + 12);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x25000);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0x25000 + 12);
    sys_rig_clear(&rig);
}

/* More code than fits: a row of functions, each with its block, run over and over. */
static void test_cache_full(void)
{
    const unsigned functions = 0x800000 / 16;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    for (unsigned i = 0; i < functions; i++) {
        /* add $1, %rax; jmp to the next one */
        static const uint8_t code[] = { 0x48, 0x83, 0xc0, 0x01, 0xeb, 0x0a };

        memcpy(rig.ram + 0x800000 + 16 * i, code, sizeof(code));
    }
    for (unsigned i = 0; i < 4; i++) {
        sys_put(&rig, SYS_PD + (4 + i) * 8, (0x800000 + 0x200000 * i) | 0x83, 8);
    }
    rig.ram[SYS_RAM_SIZE - 16] = 0xf4;
    rig.state.rip = 0x800000;
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(rig.state.gpr[X86_RAX], ==, functions - 1);
    sys_rig_clear(&rig);
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

/* An instruction goes on in the next page, which changes. */
GUEST(crossing, 64, "mov $0x11223344, %eax\n hlt\n jmp crossing");

static void test_crossing(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    for (unsigned first = 1; first < 5; first++) {
        sys_code(&rig, 0x23000 - first, crossing, crossing_end);
        for (unsigned i = 0; i < 3; i++) {
            rig.ram[0x23000 - first + 4] = (uint8_t)i;
            rig.state.rip = 0x23000 - first;
            rig.state.halted = false;
            SYS_RUN_VECTOR(&rig, -1);
            g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x223344 | i << 24);
            /* Without losing what is translated. */
            rig.ram[0x23000 - first + 4] = (uint8_t)(i + 0x40);
            rig.cpu->halted = false;
            g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_HALTED);
            g_assert_cmphex(rig.cpu->regs[X86_RAX] >> 24, ==, i + 0x40);
        }
    }
    /* The second page is gone: the fault is at its address, of the instruction. */
    sys_put(&rig, SYS_PT + 0x23 * 8, 0, 8);
    rig.state.rip = 0x23000 - 2;
    sys_code(&rig, 0x23000 - 2, crossing, crossing_end);
    rig.state.gpr[X86_RAX] = 77;
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.cr2, ==, 0x23000);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, 0x23000 - 2);
    g_assert_cmpint(rig.state.gpr[X86_RAX], ==, 77);
    sys_rig_clear(&rig);
}

/* Data that crosses pages: read, written, faulting in either page without a half-made change. */
GUEST(split_store, 64,
      "movabs $0x8877665544332211, %rax\n mov $0x71ffd, %ebx\n mov %rax, (%rbx)\n mov (%rbx), %rcx\n hlt");
GUEST(split_add, 64, "mov $0x71ffd, %ebx\n addl $1, (%rbx)\n lock addl $1, (%rbx)\n xchg %eax, (%rbx)\n hlt");

static void test_split(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, split_store);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x8877665544332211);
    g_assert_cmphex(sys_get(&rig, 0x71ffd, 8), ==, 0x8877665544332211);
    sys_long(&rig);
    sys_put(&rig, 0x71ffd, 0xfffffffe, 4);
    rig.state.gpr[X86_RAX] = 5;
    SYS_CODE(&rig, SYS_KERNEL, split_add);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0);
    g_assert_cmphex(sys_get(&rig, 0x71ffd, 4), ==, 5);
    /* The second page is read-only (with CR0.WP): nothing of the first changes. */
    sys_long(&rig);
    rig.state.cr0 |= X86_CR0_WP;
    sys_put(&rig, SYS_PT + 0x72 * 8, 0x72001, 8);
    sys_put(&rig, 0x71ff8, 0, 8);
    SYS_CODE(&rig, SYS_KERNEL, split_store);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.cr2, ==, 0x72000);
    g_assert_cmphex(sys_get(&rig, 0x71ff8, 8), ==, 0);
    sys_rig_clear(&rig);
}

/* Physically discontiguous pages next to each other. */
static void test_split_apart(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PT + 0x72 * 8, 0x7a003, 8);
    SYS_CODE(&rig, SYS_KERNEL, split_store);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(sys_get(&rig, 0x71ffd, 3), ==, 0x332211);
    g_assert_cmphex(sys_get(&rig, 0x7a000, 5), ==, 0x8877665544);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x8877665544332211);
    sys_rig_clear(&rig);
}

/* INVLPG of any address in a large page is for all of it, data and code. */
GUEST(large, 64,
      "mov 0x601000, %eax\n mov $0x602000, %ebx\n call *%rbx\n mov %ecx, %edx\n"
      "movq $0x800083, 0x12018\n"
      "invlpg 0x7ff000\n"
      "mov 0x601000, %esi\n mov $0x602000, %ebx\n call *%rbx\n hlt");
GUEST(large_function, 64, "mov $1, %ecx\n ret");

static void test_large_page(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 3 * 8, 0x600083, 8);
    sys_put(&rig, 0x601000, 0x11, 4);
    sys_put(&rig, 0x801000, 0x22, 4);
    sys_code(&rig, 0x602000, large_function, large_function_end);
    sys_code(&rig, 0x802000, large_function, large_function_end);
    rig.ram[0x802001] = 2;
    SYS_CODE(&rig, SYS_KERNEL, large);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 0x11);
    g_assert_cmphex(rig.state.gpr[X86_RDX], ==, 1);
    g_assert_cmphex(rig.state.gpr[X86_RSI], ==, 0x22);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 2);
    sys_rig_clear(&rig);
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

GUEST(rep_movs, 64, "rep movsb\n hlt");
GUEST(rep_movsq, 64, "rep movsq\n hlt");
GUEST(rep_movs_down, 64, "std\n rep movsb\n hlt");
GUEST(rep_stosl, 64, "rep stosl\n hlt");

static void test_strings(void)
{
    uint8_t expected[0x8000];
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    /* Over several pages, not aligned. */
    for (unsigned i = 0; i < 0x3000; i++) {
        rig.ram[0x70003 + i] = (uint8_t)(i * 7);
    }
    rig.state.gpr[X86_RSI] = 0x70003;
    rig.state.gpr[X86_RDI] = 0x78001;
    rig.state.gpr[X86_RCX] = 0x3000;
    SYS_CODE(&rig, SYS_KERNEL, rep_movs);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpmem(rig.ram + 0x78001, 0x3000, rig.ram + 0x70003, 0x3000);
    g_assert_cmphex(rig.state.gpr[X86_RDI], ==, 0x7b001);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0);
    /* The destination right behind the source: a pattern repeats. */
    for (unsigned distance = 1; distance < 20; distance += 6) {
        sys_long(&rig);
        memset(rig.ram + 0x70000, 0, 0x2000);
        for (unsigned i = 0; i < distance; i++) {
            rig.ram[0x70000 + i] = expected[i] = (uint8_t)(i + 1);
        }
        for (unsigned i = distance; i < 0x1800; i++) {
            expected[i] = expected[i - distance];
        }
        rig.state.gpr[X86_RSI] = 0x70000;
        rig.state.gpr[X86_RDI] = 0x70000 + distance;
        rig.state.gpr[X86_RCX] = 0x1800 - distance;
        SYS_CODE(&rig, SYS_KERNEL, rep_movs);
        SYS_RUN_VECTOR(&rig, -1);
        g_assert_cmpmem(rig.ram + 0x70000, 0x1800, expected, 0x1800);
    }
    /* The other way round: as memmove() in either direction. */
    sys_long(&rig);
    for (unsigned i = 0; i < 0x1800; i++) {
        rig.ram[0x70000 + i] = expected[i] = (uint8_t)(i * 5);
    }
    rig.state.gpr[X86_RSI] = 0x70000 + 0x17ff;
    rig.state.gpr[X86_RDI] = 0x70010 + 0x17ff;
    rig.state.gpr[X86_RCX] = 0x1800;
    SYS_CODE(&rig, SYS_KERNEL, rep_movs_down);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpmem(rig.ram + 0x70010, 0x1800, expected, 0x1800);
    /* Elements that cross pages. */
    sys_long(&rig);
    for (unsigned i = 0; i < 0x2000; i++) {
        rig.ram[0x70003 + i] = (uint8_t)(i * 11);
    }
    rig.state.gpr[X86_RSI] = 0x70003;
    rig.state.gpr[X86_RDI] = 0x78ffd;
    rig.state.gpr[X86_RCX] = 0x400;
    SYS_CODE(&rig, SYS_KERNEL, rep_movsq);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpmem(rig.ram + 0x78ffd, 0x2000, rig.ram + 0x70003, 0x2000);
    sys_rig_clear(&rig);
}

/* A fault in the middle: registers tell how far it came, and it goes on from there. */
static void test_string_fault(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PT + 0x72 * 8, 0, 8);
    rig.state.gpr[X86_RDI] = 0x71f00;
    rig.state.gpr[X86_RCX] = 0x100;
    rig.state.gpr[X86_RAX] = 0x01020304;
    SYS_CODE(&rig, SYS_KERNEL, rep_stosl);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(rig.state.gpr[X86_RDI], ==, 0x72000);
    g_assert_cmphex(rig.state.gpr[X86_RCX], ==, 0x100 - 0x40);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_KERNEL);
    g_assert_cmphex(rig.state.cr2, ==, 0x72000);
    sys_rig_clear(&rig);
}

/* ---- stopping ---------------------------------------------------------------------------------------------------- */

GUEST(endless, 64, "1: jmp 1b");
GUEST(endless_string, 64, "mov $-1, %rcx\n rep stosb");
GUEST(endless_call, 64, "1: call 2f\n jmp 1b\n 2: ret");

static gpointer kick_later(gpointer data)
{
    g_usleep(20000);
    x86_cpu_kick(data);
    return NULL;
}

static void test_kick(void)
{
    static const struct { const uint8_t *code, *end; } loops[] = {
        { endless, endless_end }, { endless_string, endless_string_end }, { endless_call, endless_call_end },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    /* Before it runs. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, endless);
    x86_cpu_set_state(rig.cpu, &rig.state);
    x86_cpu_kick(rig.cpu);
    g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_KICKED);
    for (unsigned i = 0; i < G_N_ELEMENTS(loops); i++) {
        GThread *thread;

        sys_long(&rig);
        rig.state.gpr[X86_RDI] = 0x70000;
        if (loops[i].code == endless_string) {
            /* Writes through all pages of a table that is one page over and over. */
            for (unsigned k = 0; k < 512; k++) {
                sys_put(&rig, 0x80000 + 8 * k, 0x70003, 8);
                sys_put(&rig, 0x81000 + 8 * k, 0x80003, 8);
                sys_put(&rig, 0x82000 + 8 * k, 0x81003, 8);
            }
            for (unsigned k = 1; k < 256; k++) {
                sys_put(&rig, SYS_TABLES + 8 * k, 0x82003, 8);
            }
            rig.state.gpr[X86_RDI] = UINT64_C(1) << 39;
        }
        sys_code(&rig, SYS_KERNEL, loops[i].code, loops[i].end);
        x86_cpu_set_state(rig.cpu, &rig.state);
        thread = g_thread_new("kick", kick_later, rig.cpu);
        g_assert_cmpint(x86_cpu_run(rig.cpu), ==, X86_EXIT_KICKED);
        g_thread_join(thread);
        x86_cpu_get_state(rig.cpu, &rig.state);
        g_assert_cmphex(rig.state.rip & ~UINT64_C(0xf), ==, SYS_KERNEL);
    }
    sys_rig_clear(&rig);
}

/* An interrupt that comes while a loop runs. */
static gpointer interrupt_later(gpointer data)
{
    SysRig *rig = data;

    g_usleep(20000);
    rig->interrupt = 0x41;
    x86_cpu_set_intr(rig->cpu, true);
    return NULL;
}

GUEST(wait_interrupt, 64, "sti\n 1: jmp 1b");
GUEST(blocked_interrupt, 64, "mov $1000000, %ecx\n 1: dec %ecx\n jnz 1b\n sti\n mov $1, %eax\n mov $2, %eax\n hlt");

static void test_interrupt(void)
{
    GThread *thread;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, wait_interrupt);
    thread = g_thread_new("interrupt", interrupt_later, &rig);
    SYS_RUN_VECTOR(&rig, 0x41);
    g_thread_join(thread);
    /* It waits for IF, and one instruction more. */
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, blocked_interrupt);
    rig.interrupt = 0x42;
    x86_cpu_set_intr(rig.cpu, true);
    SYS_RUN_VECTOR(&rig, 0x42);
    g_assert_cmpint(rig.state.gpr[X86_RCX], ==, 0);
    g_assert_cmpint(rig.state.gpr[X86_RAX], >=, 1);
    sys_rig_clear(&rig);
}

/* ---- debugging --------------------------------------------------------------------------------------------------- */

GUEST(watched, 64, "mov $1, %eax\n mov %eax, 0x70010\n mov 0x70010, %ebx\n mov $2, %eax\n hlt");

/* DR7 for breakpoint 0: WHEN 1 write, 3 access; LENGTH as encoded. */
static void run_watched(SysRig *rig, unsigned when, unsigned length, uint64_t address)
{
    sys_long(rig);
    rig->state.dr[0] = address;
    rig->state.dr[7] = 0x401 | when << 16 | length << 18;
    SYS_CODE(rig, SYS_KERNEL, watched);
    sys_run(rig);
    g_assert_cmpint(rig->exit, ==, X86_EXIT_HALTED);
}

static void test_watchpoint(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    run_watched(&rig, 1, 3, 0x70010);
    g_assert_cmpint(sys_vector(&rig), ==, X86_EXC_DB);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 12);
    g_assert_cmphex(rig.state.dr[6] & 0xf, ==, 1);
    run_watched(&rig, 3, 0, 0x70013); /* its last byte */
    g_assert_cmpint(sys_vector(&rig), ==, X86_EXC_DB);
    run_watched(&rig, 1, 0, 0x70014); /* the byte behind */
    g_assert_cmpint(sys_vector(&rig), ==, -1);
    run_watched(&rig, 0, 0, SYS_KERNEL + 5); /* an instruction: a fault before it */
    g_assert_cmpint(sys_vector(&rig), ==, X86_EXC_DB);
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, SYS_KERNEL + 5);
    g_assert_cmphex(sys_get(&rig, 0x70010, 4), ==, 1); /* of the run before */
    sys_rig_clear(&rig);
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

static void test_decoding(void)
{
    static const struct { uint8_t bytes[16]; unsigned size; int vector; } cases[] = {
        { { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90 }, 15, -1 },
        { { 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90 }, 16,
          X86_EXC_GP },
        { { 0xf0, 0x90 }, 2, X86_EXC_UD },             /* LOCK NOP */
        { { 0xf0, 0x01, 0xc0 }, 3, X86_EXC_UD },       /* LOCK ADD of registers */
        { { 0xf0, 0x39, 0x00 }, 3, X86_EXC_UD },       /* LOCK CMP */
        { { 0xf0, 0x8b, 0x00 }, 3, X86_EXC_UD },       /* LOCK MOV */
        { { 0x06 }, 1, X86_EXC_UD },                   /* PUSH ES */
        { { 0x0f, 0x0b }, 2, X86_EXC_UD },
        { { 0x0f, 0xff, 0xc0 }, 3, X86_EXC_UD },
        { { 0x8d, 0xc0 }, 2, X86_EXC_UD },             /* LEA of a register */
        { { 0xff, 0xff }, 2, X86_EXC_UD },
        { { 0xc4, 0xe2, 0x78, 0xf2, 0xc0 }, 5, X86_EXC_UD }, /* VEX */
        { { 0x48, 0x66, 0xb8, 0x34, 0x12 }, 5, -1 },   /* REX before another prefix does not count */
        { { 0xf3, 0x0f, 0x1e, 0xfa }, 4, -1 },         /* ENDBR64 */
        { { 0x0f, 0x0d, 0x08 }, 3, -1 },               /* PREFETCHW */
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_long(&rig);
        rig.state.gpr[X86_RAX] = 0x70000;
        memset(rig.ram + SYS_KERNEL, 0xf4, 32);
        memcpy(rig.ram + SYS_KERNEL, cases[i].bytes, cases[i].size);
        rig.state.rip = SYS_KERNEL;
        SYS_RUN_VECTOR(&rig, cases[i].vector);
        if (cases[i].vector == -1) {
            g_assert_cmphex(rig.state.rip, ==, SYS_KERNEL + cases[i].size + 1);
        }
    }
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-engine/code/same-block", test_same_block);
    g_test_add_func("/emu-engine/code/same-block-others", test_same_block_others);
    g_test_add_func("/emu-engine/code/same-block-new-reader-of-flags", test_new_reader_of_flags);
    g_test_add_func("/emu-engine/code/other-page", test_other_page);
    g_test_add_data_func("/emu-engine/code/device-writes-cr3", reload, test_device_writes);
    g_test_add_data_func("/emu-engine/code/device-writes-invlpg", invalidate, test_device_writes);
    g_test_add_func("/emu-engine/code/two-places", test_two_places);
    g_test_add_func("/emu-engine/code/cache-full", test_cache_full);
    g_test_add_func("/emu-engine/pages/crossing", test_crossing);
    g_test_add_func("/emu-engine/pages/split", test_split);
    g_test_add_func("/emu-engine/pages/split-apart", test_split_apart);
    g_test_add_func("/emu-engine/pages/large", test_large_page);
    g_test_add_func("/emu-engine/strings/bulk", test_strings);
    g_test_add_func("/emu-engine/strings/fault", test_string_fault);
    g_test_add_func("/emu-engine/stop/kick", test_kick);
    g_test_add_func("/emu-engine/stop/interrupt", test_interrupt);
    g_test_add_func("/emu-engine/debug/breakpoints", test_watchpoint);
    g_test_add_func("/emu-engine/decoding", test_decoding);
    return g_test_run();
}
