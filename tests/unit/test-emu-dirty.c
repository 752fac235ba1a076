/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The built-in processor tells of each page it writes to: by every kind of instruction, by page walks and system
 * structures, and again after the answer was taken.
 */
#include <string.h>
#include "emu-system-rig.h"

/* Pages of their own for the tests: 0x100000 and up, mapped as kernel pages. */

/* The pages told since the last call, without those of the page tables, are those of TEXT (hexadecimal addresses). */
static void told(SysRig *rig, const char *text)
{
    g_autoptr(GString) pages = g_string_new(NULL);

    for (unsigned i = 0; i < SYS_RAM_SIZE / 4096; i++) {
        const uint32_t addr = i * 4096;

        if ((rig->written[i / 64] >> (i % 64) & 1) && !(addr >= SYS_TABLES && addr < SYS_TABLES + 0x4000)) {
            g_string_append_printf(pages, "%s%x", pages->len ? " " : "", addr);
        }
    }
    g_assert_cmpstr(pages->str, ==, text);
    memset(rig->written, 0, sizeof(rig->written));
}

/* Every way to write: what comes to the first page, then across both. */
GUEST(write_mov, 64, "mov $0x100100, %edi\n movb $1, (%rdi)\n hlt");
GUEST(write_cross, 64, "mov $0x100ffd, %edi\n mov %rax, (%rdi)\n hlt");
GUEST(write_alu, 64, "mov $0x100100, %edi\n addl $1, (%rdi)\n hlt");
GUEST(write_not, 64, "mov $0x100100, %edi\n notl (%rdi)\n hlt");
GUEST(write_lock, 64, "mov $0x100100, %edi\n lock incl (%rdi)\n hlt");
GUEST(write_lock_cross, 64, "mov $0x100ffe, %edi\n lock incl (%rdi)\n hlt");
GUEST(write_xchg, 64, "mov $0x100100, %edi\n xchg %eax, (%rdi)\n hlt");
GUEST(write_cmpxchg16b, 64, "mov $0x100100, %edi\n lock cmpxchg16b (%rdi)\n hlt");
GUEST(write_push, 64, "mov $0x100108, %esp\n push %rax\n hlt");
GUEST(write_call, 64, "mov $0x100108, %esp\n call 1f\n 1: hlt");
GUEST(write_stos, 64, "mov $0x100ff8, %edi\n mov $16, %ecx\n xor %eax, %eax\n cld\n rep stosb\n hlt");
GUEST(write_movs, 64,
      "mov $0x70000, %esi\n mov $0x100ff8, %edi\n mov $4, %ecx\n cld\n rep movsl\n hlt");
GUEST(write_movs_back, 64,
      "mov $0x70100, %esi\n mov $0x101008, %edi\n mov $4, %ecx\n std\n rep movsq\n cld\n hlt");
GUEST(write_sse, 64, "mov $0x100100, %edi\n movaps %xmm0, (%rdi)\n hlt");
GUEST(write_sse_cross, 64, "mov $0x100ff8, %edi\n movups %xmm0, (%rdi)\n hlt");
GUEST(write_x87, 64, "mov $0x100100, %edi\n fninit\n fldz\n fstpt (%rdi)\n hlt");
GUEST(write_fxsave, 64, "mov $0x100f00, %edi\n fxsave (%rdi)\n hlt");
GUEST(write_bts, 64, "mov $0x100100, %edi\n mov $0x8003, %eax\n bts %eax, (%rdi)\n hlt"); /* bit in the next page */
GUEST(write_sgdt, 64, "mov $0x100100, %edi\n sgdt (%rdi)\n hlt");
GUEST(write_setcc, 64, "mov $0x100100, %edi\n sete (%rdi)\n hlt");
GUEST(write_pop, 64, "mov $0x100100, %edi\n mov $0x70000, %esp\n pop (%rdi)\n hlt");
GUEST(read_only, 64, "mov $0x100100, %edi\n mov (%rdi), %eax\n cmpb $0, (%rdi)\n lodsb\n hlt");

static void prepare(SysRig *rig)
{
    sys_long(rig);
    rig->state.cr0 &= ~(uint64_t)(X86_CR0_EM | X86_CR0_TS);
    rig->state.cr4 |= X86_CR4_OSFXSR;
    /* The page of the stack, touched by nothing here. */
    rig->state.gpr[X86_RSI] = SYS_DATA;
}

static void test_every_kind_of_write(void)
{
    static const struct {
        const char *name;
        const uint8_t *code, *end;
        const char *pages;
    } cases[] = {
        { "mov", write_mov, write_mov_end, "100000" },
        { "mov across", write_cross, write_cross_end, "100000 101000" },
        { "add", write_alu, write_alu_end, "100000" },
        { "not", write_not, write_not_end, "100000" },
        { "lock inc", write_lock, write_lock_end, "100000" },
        { "lock inc across", write_lock_cross, write_lock_cross_end, "100000 101000" },
        { "xchg", write_xchg, write_xchg_end, "100000" },
        { "cmpxchg16b", write_cmpxchg16b, write_cmpxchg16b_end, "100000" },
        { "push", write_push, write_push_end, "100000" },
        { "call", write_call, write_call_end, "100000" },
        { "stos across", write_stos, write_stos_end, "100000 101000" },
        { "movs across", write_movs, write_movs_end, "100000 101000" },
        { "movs across, down", write_movs_back, write_movs_back_end, "100000 101000" },
        { "movaps", write_sse, write_sse_end, "100000" },
        { "movups across", write_sse_cross, write_sse_cross_end, "100000 101000" },
        { "fstp", write_x87, write_x87_end, "100000" },
        { "fxsave across", write_fxsave, write_fxsave_end, "100000 101000" },
        { "bts beyond", write_bts, write_bts_end, "101000" },
        { "sgdt", write_sgdt, write_sgdt_end, "100000" },
        { "setcc", write_setcc, write_setcc_end, "100000" },
        { "pop", write_pop, write_pop_end, "100000" },
        { "reads", read_only, read_only_end, "" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SysRig rig;

        g_test_message("%s", cases[i].name);
        sys_rig_init(&rig, NULL);
        prepare(&rig);
        /* Not asked: nothing is told, and the TLB knows the pages afterwards. */
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, -1);
        told(&rig, "");
        for (unsigned round = 0; round < 2; round++) {
            x86_cpu_log_writes(rig.cpu, true);
            prepare(&rig);
            sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
            SYS_RUN_VECTOR(&rig, -1);
            told(&rig, cases[i].pages);
        }
        x86_cpu_log_writes(rig.cpu, false);
        prepare(&rig);
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, -1);
        told(&rig, "");
        sys_rig_clear(&rig);
    }
}

/* Write A, ask anew, write A and B, ask anew, read both: within one run, so with a TLB that holds all. */
GUEST(asks, 64,
      "mov $0x100100, %edi\n movl $1, (%rdi)\n out %al, $1\n"
      "movl $2, (%rdi)\n movl $3, 0x1000(%rdi)\n movl $4, (%rdi)\n out %al, $2\n"
      "mov (%rdi), %eax\n mov 0x1000(%rdi), %eax\n out %al, $3\n"
      "movl $5, 0x1000(%rdi)\n out %al, $4\n hlt");

static void ask(SysRig *rig)
{
    static const char *const expected[] = { "", "100000", "100000 101000", "", "101000" };

    told(rig, expected[rig->port]);
    x86_cpu_log_writes(rig->cpu, true);
}

static void test_told_again_after_each_question(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    prepare(&rig);
    rig.port_hook = ask;
    x86_cpu_log_writes(rig.cpu, true);
    SYS_CODE(&rig, SYS_KERNEL, asks);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpuint(rig.port, ==, 4);
    sys_rig_clear(&rig);
}

/* A page with translated code never gets into the TLB for writing; neither does one with a breakpoint. */
GUEST(slow_pages, 64,
      "mov $0x20800, %edi\n movl $1, (%rdi)\n out %al, $1\n movl $2, (%rdi)\n lock incl (%rdi)\n out %al, $2\n"
      "lock incl (%rdi)\n out %al, $3\n"
      "mov $0x100100, %edi\n mov %rdi, %dr0\n mov $0xd0001, %eax\n mov %rax, %dr7\n"
      "movl $3, 8(%rdi)\n out %al, $4\n movl $4, 8(%rdi)\n out %al, $5\n lock incl 8(%rdi)\n out %al, $6\n"
      "mov 8(%rdi), %eax\n hlt");

static void ask_slow(SysRig *rig)
{
    static const char *const expected[] = { "", "20000", "20000", "20000", "100000", "100000", "100000" };

    told(rig, expected[rig->port]);
    x86_cpu_log_writes(rig->cpu, true);
}

static void test_slow_pages(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    prepare(&rig);
    rig.port_hook = ask_slow;
    x86_cpu_log_writes(rig.cpu, true);
    SYS_CODE(&rig, SYS_KERNEL, slow_pages);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpuint(rig.port, ==, 6);
    told(&rig, "");
    sys_rig_clear(&rig);
}

/* Accessed and dirty bits are writes to the page tables. */
static void test_page_walks(void)
{
    const unsigned table = SYS_PT / 4096;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    prepare(&rig);
    x86_cpu_log_writes(rig.cpu, true);
    SYS_CODE(&rig, SYS_KERNEL, write_mov);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_true(rig.written[table / 64] >> (table % 64) & 1);
    g_assert_cmphex(sys_get(&rig, SYS_PT + 0x100 * 8, 8) & 0x60, ==, 0x60);
    memset(rig.written, 0, sizeof(rig.written));
    /* All bits are set: nothing is written. */
    prepare(&rig);
    for (unsigned i = 0; i < 512; i++) {
        sys_put(&rig, SYS_PT + i * 8, sys_get(&rig, SYS_PT + i * 8, 8) | 0x60, 8);
    }
    for (unsigned i = 0; i < 3; i++) {
        sys_put(&rig, SYS_TABLES + i * 4096, sys_get(&rig, SYS_TABLES + i * 4096, 8) | 0x20, 8);
    }
    SYS_CODE(&rig, SYS_KERNEL, write_mov);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_false(rig.written[table / 64] >> (table % 64) & 1);
    told(&rig, "100000");
    /* A page that could be written because its D bit is set is only read. */
    x86_cpu_flush_memory(rig.cpu);
    SYS_CODE(&rig, SYS_KERNEL, read_only);
    SYS_RUN_VECTOR(&rig, -1);
    told(&rig, "");
    sys_rig_clear(&rig);
}

/* The frame of an exception, and the accessed bit of a descriptor. */
GUEST(system_writes, 64, "mov $0x90, %eax\n mov %eax, %fs\n int $0x80\n");

static void test_system_structures(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    prepare(&rig);
    sys_descriptor(&rig, SYS_FREE, 0, 0xffffffff, 0xc092); /* not accessed yet */
    x86_cpu_log_writes(rig.cpu, true);
    SYS_CODE(&rig, SYS_KERNEL, system_writes);
    SYS_RUN_VECTOR(&rig, 0x80);
    told(&rig, "1000 47000"); /* GDT; SYS_KERNEL_STACK is a page's end */
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-dirty/every-kind-of-write", test_every_kind_of_write);
    g_test_add_func("/emu-dirty/told-again-after-each-question", test_told_again_after_each_question);
    g_test_add_func("/emu-dirty/slow-pages", test_slow_pages);
    g_test_add_func("/emu-dirty/page-walks", test_page_walks);
    g_test_add_func("/emu-dirty/system-structures", test_system_structures);
    return g_test_run();
}
