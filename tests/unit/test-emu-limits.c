/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the built-in processor's accesses end: limits of code and data segments, sizes of operands, alignment,
 * canonical addresses of system structures.
 */
#include <string.h>
#include "emu-system-rig.h"

#define DATA_BIG 0x4093 /* attributes: data, writable, 32 bits, limit in bytes */
#define DATA_READ_ONLY 0x4091
#define DATA_EXPAND_DOWN 0x4097

/* ---- the end of the code segment ------------------------------------------------------------------------------- */

GUEST(follow, 32, "inc %eax\n inc %eax\n inc %eax\n inc %eax\n hlt\n");
GUEST(cross, 32, "inc %eax\n mov $0x11223344, %ebx\n hlt\n");
GUEST(jump, 32, "inc %eax\n jmp . + 0x12\n hlt\n");
GUEST(jump_near, 32, "inc %eax\n jmp . + 0x100\n hlt\n");
GUEST(condition, 32, "inc %eax\n jnz . + 0x12\n hlt\n");
GUEST(compare, 32, "inc %eax\n cmp $1, %eax\n je . + 0x12\n hlt\n");
GUEST(not_taken, 32, "inc %eax\n jz . + 0x12\n hlt\n");
GUEST(loop, 32, "inc %eax\n mov $5, %ecx\n loop . + 0x12\n hlt\n");
GUEST(call, 32, "inc %eax\n call . + 0x100\n hlt\n");
GUEST(ret, 32, "inc %eax\n push $0x20100\n ret\n hlt\n");

/* The code, and its segment's last byte at LAST; the fault is at AT, or HLT is reached (-1). */
static void test_code_limit(void)
{
    static const struct {
        const char *name;
        const uint8_t *code, *end;
        unsigned last;
        int at;
        unsigned ecx, pushed;
    } cases[] = {
        { "follows beyond", follow, follow_end, 1, 2, 0, 0 },
        { "crosses", cross, cross_end, 4, 1, 0, 0 },
        { "within", cross, cross_end, 6, -1, 0, 0 },
        { "JMP", jump, jump_end, 0xf, 1, 0, 0 },
        { "JMP, 32 bits", jump_near, jump_near_end, 0xff, 1, 0, 0 },
        { "Jcc", condition, condition_end, 0xf, 1, 0, 0 },
        { "CMP and Jcc", compare, compare_end, 0xf, 4, 0, 0 },
        { "Jcc not taken", not_taken, not_taken_end, 0xf, -1, 0, 0 },
        { "LOOP", loop, loop_end, 0xf, 6, 5, 0 },
        { "CALL", call, call_end, 0xff, 1, 0, 0 },
        { "RET", ret, ret_end, 0xff, 6, 0, 4 },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s", cases[i].name);
        sys_protected(&rig);
        memset(rig.ram + SYS_KERNEL, 0xf4, 0x200);
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        rig.state.segment[X86_CS].limit = SYS_KERNEL + cases[i].last;
        rig.state.gpr[X86_RAX] = rig.state.gpr[X86_RBX] = rig.state.gpr[X86_RCX] = 0;
        SYS_RUN_VECTOR(&rig, cases[i].at < 0 ? -1 : X86_EXC_GP);
        g_assert_cmphex(rig.state.gpr[X86_RAX], ==, cases[i].code == follow ? 2 : 1);
        if (cases[i].at >= 0) {
            g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
            g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL + (unsigned)cases[i].at);
            g_assert_cmphex(rig.state.gpr[X86_RSP], ==, SYS_KERNEL_STACK - 16 - cases[i].pushed);
            g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 0);
            g_assert_cmphex(rig.state.gpr[X86_RCX], ==, cases[i].ecx);
        }
    }
    sys_rig_clear(&rig);
}

/* No byte beyond the limit is fetched: the page there may be missing. */
static void test_code_limit_at_page(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, false);
    sys_put(&rig, SYS_PT + 0x23 * 4, 0, 4);
    rig.state.segment[X86_CS].limit = 0x22fff;
    rig.state.gpr[X86_RAX] = 0;
    sys_code(&rig, 0x22ffc, cross, cross_end);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, 0x22ffd);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 1);
    sys_rig_clear(&rig);
}

/* The same function by a large and a small segment, so that what was translated for one runs in the other. */
GUEST(two_segments, 32,
      "xor %eax, %eax\n lcall $0x90, $0x22000\n lcall $0x90, $0x22000\n lcall $0x98, $0x22000\n hlt\n");
GUEST(far_function, 32, "inc %eax\n jmp 1f\n 1: inc %eax\n lret\n");

static void test_code_limit_by_segment(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    sys_descriptor(&rig, 0x90, 0, 0x2ffff, 0x409b);
    sys_descriptor(&rig, 0x98, 0, 0x22002, 0x409b);
    sys_code(&rig, 0x22000, far_function, far_function_end);
    SYS_CODE(&rig, SYS_KERNEL, two_segments);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 5);
    g_assert_cmphex(sys_stack(&rig, 1, 4), ==, 0x22001); /* JMP to what is beyond */
    g_assert_cmphex(sys_stack(&rig, 2, 4), ==, 0x98);
    sys_rig_clear(&rig);
}

GUEST(real_wide, 16, "mov $0x1234, %bx\n hlt\n");
GUEST(real_last, 16, "inc %ax\n inc %ax\n inc %ax\n");
GUEST(real_wrap, 16, "jmp . + 0x12\n");

/* At 64 KiB nothing goes on but a branch, whose target is cut to 16 bits. */
static void test_real_wrap(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_real(&rig);
    rig.state.gpr[X86_RBX] = 7;
    sys_code(&rig, SYS_KERNEL + 0xfffe, real_wide, real_wide_end);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(sys_stack(&rig, 0, 2), ==, 0xfffe);
    g_assert_cmphex(rig.state.gpr[X86_RBX], ==, 7);
    sys_real(&rig);
    rig.state.gpr[X86_RAX] = 0;
    sys_code(&rig, SYS_KERNEL + 0xfffe, real_last, real_last_end);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 2);
    g_assert_cmphex(sys_stack(&rig, 0, 2), ==, 0); /* of 10000h */
    sys_real(&rig);
    sys_put(&rig, SYS_KERNEL + 0x10, 0xf4, 1);
    sys_code(&rig, SYS_KERNEL + 0xfffe, real_wrap, real_wrap_end);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmphex(rig.state.rip, ==, 0x11);
    sys_rig_clear(&rig);
}

/* ---- operands by their size ------------------------------------------------------------------------------------ */

#define AT 512 /* offset of operands */

/* Opcodes without ModRM, whose reg field is REG. */
typedef struct Operand {
    const char *name;
    uint8_t opcode[4];
    uint8_t length, reg;
    uint16_t size;
    bool writes;
} Operand;

static const Operand operands[] = {
    { "FLD m32", { 0xd9 }, 1, 0, 4, false },
    { "FST m32", { 0xd9 }, 1, 2, 4, true },
    { "FLD m64", { 0xdd }, 1, 0, 8, false },
    { "FSTP m64", { 0xdd }, 1, 3, 8, true },
    { "FLD m80", { 0xdb }, 1, 5, 10, false },
    { "FSTP m80", { 0xdb }, 1, 7, 10, true },
    { "FBLD", { 0xdf }, 1, 4, 10, false },
    { "FBSTP", { 0xdf }, 1, 6, 10, true },
    { "FILD m16", { 0xdf }, 1, 0, 2, false },
    { "FISTP m16", { 0xdf }, 1, 3, 2, true },
    { "FISTP m64", { 0xdf }, 1, 7, 8, true },
    { "FLDCW", { 0xd9 }, 1, 5, 2, false },
    { "FNSTCW", { 0xd9 }, 1, 7, 2, true },
    { "FNSTSW", { 0xdd }, 1, 7, 2, true },
    { "FLDENV", { 0xd9 }, 1, 4, 28, false },
    { "FNSTENV", { 0xd9 }, 1, 6, 28, true },
    { "FLDENV, 16 bits", { 0x66, 0xd9 }, 2, 4, 14, false },
    { "FNSTENV, 16 bits", { 0x66, 0xd9 }, 2, 6, 14, true },
    { "FRSTOR", { 0xdd }, 1, 4, 108, false },
    { "FNSAVE", { 0xdd }, 1, 6, 108, true },
    { "FRSTOR, 16 bits", { 0x66, 0xdd }, 2, 4, 94, false },
    { "FNSAVE, 16 bits", { 0x66, 0xdd }, 2, 6, 94, true },
    { "FXSAVE", { 0x0f, 0xae }, 2, 0, 512, true },
    { "FXRSTOR", { 0x0f, 0xae }, 2, 1, 512, false },
    { "LDMXCSR", { 0x0f, 0xae }, 2, 2, 4, false },
    { "STMXCSR", { 0x0f, 0xae }, 2, 3, 4, true },
    { "MOVAPS load", { 0x0f, 0x28 }, 2, 1, 16, false },
    { "MOVAPS store", { 0x0f, 0x29 }, 2, 1, 16, true },
    { "MOVUPS store", { 0x0f, 0x11 }, 2, 1, 16, true },
    { "MOVSS load", { 0xf3, 0x0f, 0x10 }, 3, 1, 4, false },
    { "MOVSS store", { 0xf3, 0x0f, 0x11 }, 3, 1, 4, true },
    { "MOVSD load", { 0xf2, 0x0f, 0x10 }, 3, 1, 8, false },
    { "MOVSD store", { 0xf2, 0x0f, 0x11 }, 3, 1, 8, true },
    { "MOVLPS store", { 0x0f, 0x13 }, 2, 1, 8, true },
    { "MOVD load", { 0x66, 0x0f, 0x6e }, 3, 1, 4, false },
    { "MOVD store", { 0x66, 0x0f, 0x7e }, 3, 1, 4, true },
    { "MOVQ mm store", { 0x0f, 0x7f }, 2, 1, 8, true },
    { "PUNPCKLBW mm", { 0x0f, 0x60 }, 2, 1, 4, false },
    { "PADDB mm", { 0x0f, 0xfc }, 2, 1, 8, false },
    { "PADDB xmm", { 0x66, 0x0f, 0xfc }, 3, 1, 16, false },
    { "ADDSS", { 0xf3, 0x0f, 0x58 }, 3, 1, 4, false },
    { "CVTPS2PD", { 0x0f, 0x5a }, 2, 1, 8, false },
    { "CVTSI2SD", { 0xf2, 0x0f, 0x2a }, 3, 1, 4, false },
    { "UCOMISD", { 0x66, 0x0f, 0x2e }, 3, 1, 8, false },
    { "PMOVZXBQ", { 0x66, 0x0f, 0x38, 0x32 }, 4, 1, 2, false },
    { "CMPXCHG8B", { 0x0f, 0xc7 }, 2, 1, 8, true },
    { "BOUND", { 0x62 }, 1, 6, 8, false },
    { "LGDT", { 0x0f, 0x01 }, 2, 2, 6, false },
    { "SGDT", { 0x0f, 0x01 }, 2, 0, 6, true },
    { "SIDT", { 0x0f, 0x01 }, 2, 1, 6, true },
    { "BTS", { 0x0f, 0xab }, 2, 6, 4, true },
    { "BT", { 0x0f, 0xa3 }, 2, 6, 4, false },
    { "LES", { 0xc4 }, 1, 1, 6, false },
    { "INC", { 0xff }, 1, 0, 4, true },
};

/* Data as it was before each case: what every instruction above can take. */
static void fill_operand(SysRig *rig)
{
    memset(rig->ram + SYS_DATA, 0, 0x2000);
    sys_put(rig, SYS_DATA + AT + 24, 0x1f80, 4); /* FXRSTOR's MXCSR */
}

/* [EBP + AT] in SS or [AT] in DS; what comes to its end halts. */
static void put_operand_code(SysRig *rig, const Operand *o, bool stack, uint32_t offset)
{
    uint8_t *p = rig->ram + SYS_KERNEL;

    memset(p, 0xf4, 32);
    memcpy(p, o->opcode, o->length);
    p += o->length;
    *p++ = (uint8_t)(o->reg << 3 | (stack ? 0x85 : 0x05));
    memcpy(p, &offset, 4);
    rig->state.rip = SYS_KERNEL;
    rig->state.halted = false;
}

/* All registers 0, and all exceptions masked. */
static void clear_fpu(SysRig *rig)
{
    static const uint8_t control[] = { 0x7f, 0x03 }, mxcsr[] = { 0x80, 0x1f };

    memset(rig->state.fxsave, 0, sizeof(rig->state.fxsave));
    memcpy(rig->state.fxsave, control, sizeof(control));
    memcpy(rig->state.fxsave + 24, mxcsr, sizeof(mxcsr));
    rig->state.fxsave[4] = 0xff; /* none is empty */
}

static void protected_with_sse(SysRig *rig)
{
    sys_protected(rig);
    rig->state.cr4 |= X86_CR4_OSFXSR;
    memset(rig->state.gpr, 0, sizeof(rig->state.gpr));
    rig->state.gpr[X86_RSP] = SYS_KERNEL_STACK;
    clear_fpu(rig);
    fill_operand(rig);
}

static void test_operand_limit(void)
{
    SysRig rig;

    sys_rig_init(&rig, "max");
    for (unsigned i = 0; i < G_N_ELEMENTS(operands); i++) {
        const Operand *o = &operands[i];
        /* LES loads a null selector, LGDT an empty table: nothing after it could be delivered. */
        const bool once = o->opcode[0] == 0x0f && o->opcode[1] == 0x01 && o->reg == 2;
        X86SegmentState data = { .selector = SYS_DS, .base = SYS_DATA, .attr = DATA_BIG };

        g_test_message("%s", o->name);
        /* The last byte is the last of the segment; it is the first beyond. */
        protected_with_sse(&rig);
        data.limit = AT + o->size - 1;
        rig.state.segment[X86_DS] = data;
        put_operand_code(&rig, o, false, AT);
        SYS_RUN_VECTOR(&rig, -1);
        if (once) {
            continue;
        }
        protected_with_sse(&rig);
        data.limit = AT + o->size - 2;
        rig.state.segment[X86_DS] = data;
        put_operand_code(&rig, o, false, AT);
        SYS_RUN_VECTOR(&rig, X86_EXC_GP);
        g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
        g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL);
        /* By rights. */
        protected_with_sse(&rig);
        data.limit = 0xffff;
        data.attr = DATA_READ_ONLY;
        rig.state.segment[X86_DS] = data;
        put_operand_code(&rig, o, false, AT);
        SYS_RUN_VECTOR(&rig, o->writes ? X86_EXC_GP : -1);
        /* A segment that grows downward begins after its limit. */
        for (unsigned more = 0; more < 2; more++) {
            protected_with_sse(&rig);
            data.limit = AT - 1 + more;
            data.attr = DATA_EXPAND_DOWN;
            rig.state.segment[X86_DS] = data;
            put_operand_code(&rig, o, false, AT);
            SYS_RUN_VECTOR(&rig, more ? X86_EXC_GP : -1);
        }
    }
    sys_rig_clear(&rig);
}

/* The same in the stack's segment, whose handler has a stack of its own: from level 3. */
static void test_operand_stack_limit(void)
{
    SysRig rig;

    sys_rig_init(&rig, "max");
    for (unsigned i = 0; i < G_N_ELEMENTS(operands); i++) {
        const Operand *o = &operands[i];

        if (o->opcode[0] == 0x0f && o->opcode[1] == 0x01) {
            continue; /* tables are level 0's */
        }
        g_test_message("%s", o->name);
        for (unsigned less = 0; less < 2; less++) {
            protected_with_sse(&rig);
            sys_user32(&rig);
            rig.state.segment[X86_SS].limit = AT + o->size - 1 - less;
            rig.state.segment[X86_SS].attr = DATA_BIG | 0x60;
            rig.state.segment[X86_SS].base = SYS_DATA;
            rig.state.gpr[X86_RSP] = 0x100;
            put_operand_code(&rig, o, true, AT);
            /* HLT at level 3 is #GP. */
            SYS_RUN_VECTOR(&rig, less ? X86_EXC_SS : X86_EXC_GP);
            g_assert_cmphex(sys_stack(&rig, 0, 4), ==, 0);
            if (less) {
                g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL);
            }
        }
    }
    sys_rig_clear(&rig);
}

/* Operands over the end of a page whose successor is missing: nothing is written, CR2 is the first byte there. */
static void test_operand_over_pages(void)
{
    SysRig rig;

    sys_rig_init(&rig, "max");
    for (unsigned i = 0; i < G_N_ELEMENTS(operands); i++) {
        const Operand *o = &operands[i];
        const bool aligned = o->size == 512 || strstr(o->name, "MOVAPS") || strstr(o->name, "xmm");
        const unsigned before = aligned ? o->size / 2 : 1;

        if (aligned && o->size == 16) {
            continue; /* cannot be */
        }
        g_test_message("%s", o->name);
        protected_with_sse(&rig);
        rig.state.cr0 |= X86_CR0_PG | X86_CR0_WP;
        rig.state.cr3 = SYS_PD;
        sys_put(&rig, SYS_PD, SYS_PT | 7, 4);
        for (unsigned page = 0; page < 1024; page++) {
            sys_put(&rig, SYS_PT + page * 4, page << 12 | 3, 4);
        }
        /* For a write it is enough that the page is read-only. */
        sys_put(&rig, SYS_PT + 0x71 * 4, o->writes ? 0x71001 : 0, 4);
        memset(rig.ram + SYS_DATA, 0x5a, 0x2000);
        put_operand_code(&rig, o, false, SYS_DATA + 0x1000 - before);
        SYS_RUN_VECTOR(&rig, X86_EXC_PF);
        g_assert_cmphex(rig.state.cr2, ==, SYS_DATA + 0x1000);
        g_assert_cmphex(sys_stack(&rig, 0, 4), ==, o->writes ? 3 : 0);
        g_assert_cmphex(sys_stack(&rig, 1, 4), ==, SYS_KERNEL);
        for (unsigned byte = 0; byte < 0x2000; byte++) {
            g_assert_cmphex(rig.ram[SYS_DATA + byte], ==, 0x5a);
        }
    }
    sys_rig_clear(&rig);
}

GUEST(pusha_over, 32, "mov $0x71008, %esp\n pusha\n");
GUEST(enter_low, 32, "enter $0x200, $0\n");
GUEST(misaligned, 64, "mov $0x70008, %ebx\n movaps (%rbx), %xmm0\n");

/* Stacks: all of PUSHA or nothing, ENTER with its locals; SSE's own alignment is #GP whatever the segment. */
static void test_operand_others(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, false);
    sys_gate(&rig, X86_EXC_PF, SYS_TR2, 0, 5, 0, 0);
    sys_put(&rig, SYS_TSS2 + 28, SYS_PD, 4);
    sys_put(&rig, SYS_TSS2 + 32, SYS_HANDLERS + X86_EXC_PF * 16, 4);
    sys_put(&rig, SYS_TSS2 + 40 + X86_RSP * 4, SYS_IST, 4);
    for (unsigned i = 0; i < 6; i++) {
        sys_put(&rig, SYS_TSS2 + 72 + i * 4, i == X86_CS ? SYS_CS32 : SYS_DS, 4);
    }
    sys_put(&rig, SYS_PT + 0x70 * 4, 0, 4);
    rig.state.gpr[X86_RAX] = 0x1234;
    SYS_CODE(&rig, SYS_KERNEL, pusha_over);
    SYS_RUN_VECTOR(&rig, X86_EXC_PF);
    g_assert_cmphex(sys_get(&rig, 0x71004, 4), ==, 0);
    g_assert_cmphex(sys_get(&rig, SYS_TSS + 40 + X86_RSP * 4, 4), ==, 0x71008);

    protected_with_sse(&rig);
    sys_user32(&rig);
    rig.state.segment[X86_SS] = (X86SegmentState){
        .selector = SYS_USER_DS, .base = SYS_DATA, .limit = 0xfff, .attr = DATA_EXPAND_DOWN | 0x60,
    };
    rig.state.gpr[X86_RSP] = 0x1200 + 4; /* down to 1000h */
    SYS_CODE(&rig, SYS_USER, enter_low);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP); /* by HLT */
    protected_with_sse(&rig);
    sys_user32(&rig);
    rig.state.segment[X86_SS] = (X86SegmentState){
        .selector = SYS_USER_DS, .base = SYS_DATA, .limit = 0x1000, .attr = DATA_EXPAND_DOWN | 0x60,
    };
    rig.state.gpr[X86_RSP] = 0x1200 + 4;
    SYS_CODE(&rig, SYS_USER, enter_low);
    SYS_RUN_VECTOR(&rig, X86_EXC_SS);
    g_assert_cmphex(sys_stack(&rig, 4, 4), ==, 0x1204);

    sys_long(&rig);
    rig.state.cr4 |= X86_CR4_OSFXSR;
    SYS_CODE(&rig, SYS_KERNEL, misaligned);
    SYS_RUN_VECTOR(&rig, X86_EXC_GP);
    sys_rig_clear(&rig);
}

/* ---- #AC ------------------------------------------------------------------------------------------------------- */

/*
 * What an AMD EPYC does with EFLAGS.AC at level 3: the operand at OFFSET from a place that is a multiple of 64 is
 * accepted or is #AC.
 */
static void test_alignment(void)
{
    static const struct {
        const char *name;
        uint8_t opcode[4];
        uint8_t length, reg, offset;
        bool fault;
    } cases[] = {
        { "MOV 8", { 0x8a }, 1, 0, 1, false },
        { "MOV 16", { 0x66, 0x8b }, 2, 0, 1, true },
        { "MOV 32", { 0x8b }, 1, 0, 2, true },
        { "MOV 32, aligned", { 0x8b }, 1, 0, 4, false },
        { "MOV 64", { 0x48, 0x8b }, 2, 0, 4, true },
        { "MOV store", { 0x89 }, 1, 0, 1, true },
        { "ADD", { 0x01 }, 1, 0, 2, true },
        { "XCHG", { 0x87 }, 1, 0, 2, true },
        { "XCHG, aligned", { 0x87 }, 1, 0, 4, false },
        { "MOVUPS load", { 0x0f, 0x10 }, 2, 0, 8, true },
        { "MOVUPS store", { 0x0f, 0x11 }, 2, 0, 8, true },
        { "MOVUPS, aligned", { 0x0f, 0x11 }, 2, 0, 16, false },
        { "MOVSD", { 0xf2, 0x0f, 0x10 }, 3, 0, 4, true },
        { "FLD m80", { 0xdb }, 1, 5, 4, true },
        { "FLD m80, aligned by 8", { 0xdb }, 1, 5, 8, false },
        { "FLD m64", { 0xdd }, 1, 0, 4, true },
        { "FNSTENV", { 0xd9 }, 1, 6, 2, true },
        { "FNSTENV, aligned by 4", { 0xd9 }, 1, 6, 4, false },
        { "FNSAVE, 16 bits", { 0x66, 0xdd }, 2, 6, 1, true },
        { "FNSAVE, 16 bits, aligned by 2", { 0x66, 0xdd }, 2, 6, 2, false },
        { "FLDCW", { 0xd9 }, 1, 5, 1, true },
        { "STMXCSR", { 0x0f, 0xae }, 2, 3, 2, true },
        { "CMPXCHG8B", { 0x0f, 0xc7 }, 2, 1, 4, true },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        /* In force; without AC; without CR0.AM. */
        for (unsigned way = 0; way < 3; way++) {
            uint8_t *p = rig.ram + SYS_USER;

            g_test_message("%s, way %u", cases[i].name, way);
            sys_user64(&rig);
            clear_fpu(&rig);
            rig.state.cr4 |= X86_CR4_OSFXSR;
            rig.state.cr0 |= way == 2 ? 0 : X86_CR0_AM;
            rig.state.rflags |= way == 1 ? 0 : X86_AC;
            memset(p, 0xf4, 32);
            memcpy(p, cases[i].opcode, cases[i].length);
            p[cases[i].length] = (uint8_t)(cases[i].reg << 3 | 3); /* [RBX] */
            rig.state.gpr[X86_RBX] = 0x50000 + cases[i].offset;
            SYS_RUN_VECTOR(&rig, cases[i].fault && way == 0 ? X86_EXC_AC : X86_EXC_GP /* HLT */);
            g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0);
            if (cases[i].fault && way == 0) {
                g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_USER);
            }
        }
    }
    /* Level 0 is not checked. */
    sys_long(&rig);
    rig.state.cr0 |= X86_CR0_AM;
    rig.state.rflags |= X86_AC;
    sys_put(&rig, SYS_KERNEL, 0xf4038b, 3); /* MOV EAX, [RBX] */
    rig.state.gpr[X86_RBX] = 0x50001;
    SYS_RUN_VECTOR(&rig, -1);
    sys_rig_clear(&rig);
}

/* ---- system structures at addresses that are none -------------------------------------------------------------- */

GUEST(load_ldt_selector, 64, "mov $0x0c, %eax\n mov %eax, %es\n hlt\n");
GUEST(undefined, 64, "ud2\n");

/* Bits above 47 are no alias of the address without them. */
static void test_system_canonical(void)
{
    const uint64_t high = 1ull << 48;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned bad = 0; bad < 2; bad++) {
        sys_long(&rig);
        sys_put(&rig, SYS_LDT + 8, sys_get(&rig, SYS_GDT + SYS_DS, 8), 8);
        rig.state.ldt = (X86SegmentState){ .base = SYS_LDT | (bad ? high : 0), .limit = 0xff, .attr = 0x82 };
        SYS_CODE(&rig, SYS_KERNEL, load_ldt_selector);
        SYS_RUN_VECTOR(&rig, bad ? X86_EXC_GP : -1);
    }
    g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0);
    g_assert_cmphex(sys_stack(&rig, 1, 8), ==, SYS_KERNEL + 5);
    /* The TSS: no inner stack for #UD; a stack of its own for what comes of that. */
    sys_user64(&rig);
    rig.state.tr.base |= high;
    SYS_CODE(&rig, SYS_USER, undefined);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_SHUTDOWN);
    /* The IDT: nothing can be delivered. */
    sys_long(&rig);
    rig.state.idt_base |= high;
    SYS_CODE(&rig, SYS_KERNEL, undefined);
    sys_run(&rig);
    g_assert_cmpint(rig.exit, ==, X86_EXIT_SHUTDOWN);
    sys_rig_clear(&rig);
}

/* ---- where addresses end --------------------------------------------------------------------------------------- */

#define LAST_PAGE 0x7ffffffff000u
#define LAST_PAGE_GPA 0x90000u

GUEST(jump64, 64, "inc %eax\n jmp . + 0x40\n hlt\n");
GUEST(jump_near64, 64, "inc %eax\n jmp . + 0x1000\n hlt\n");
GUEST(condition64, 64, "inc %eax\n jnz . + 0x40\n hlt\n");
GUEST(compare64, 64, "inc %eax\n cmp $1, %eax\n je . + 0x40\n hlt\n");
GUEST(loop64, 64, "inc %eax\n mov $5, %ecx\n loop . + 0x40\n hlt\n");
GUEST(no_count64, 64, "inc %eax\n jrcxz . + 0x40\n hlt\n");
GUEST(call64, 64, "inc %eax\n call . + 0x1000\n hlt\n");
GUEST(not_taken64, 64, "inc %eax\n jz . + 0x40\n hlt\n");

static void map_last_page(SysRig *rig)
{
    sys_put(rig, SYS_TABLES + 255 * 8, 0x81003, 8);
    sys_put(rig, 0x81000 + 511 * 8, 0x82003, 8);
    sys_put(rig, 0x82000 + 511 * 8, 0x83003, 8);
    sys_put(rig, 0x83000 + 511 * 8, LAST_PAGE_GPA | 3, 8);
}

/* A branch to where no address can be is what faults, as the host's processor has it too, and changes nothing. */
static void test_branch_canonical(void)
{
    static const struct {
        const char *name;
        const uint8_t *code, *end;
        int at;
        unsigned ecx;
    } cases[] = {
        { "JMP, 8 bits", jump64, jump64_end, 2, 0 },
        { "JMP, 32 bits", jump_near64, jump_near64_end, 2, 0 },
        { "Jcc", condition64, condition64_end, 2, 0 },
        { "CMP and Jcc", compare64, compare64_end, 5, 0 },
        { "LOOP", loop64, loop64_end, 7, 5 },
        { "JRCXZ", no_count64, no_count64_end, 2, 0 },
        { "CALL", call64, call64_end, 2, 0 },
        { "Jcc not taken", not_taken64, not_taken64_end, -1, 0 },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        const unsigned n = i / 2;
        const unsigned offset = X86_PAGE - (unsigned)(cases[n].end - cases[n].code);

        g_test_message("%s", cases[n].name);
        sys_long(&rig);
        map_last_page(&rig);
        sys_code(&rig, LAST_PAGE_GPA + offset, cases[n].code, cases[n].end);
        rig.state.rip = LAST_PAGE + offset;
        rig.state.gpr[X86_RAX] = rig.state.gpr[X86_RCX] = 0;
        rig.state.dr[7] = i % 2; /* with a breakpoint somewhere instructions run one at a time */
        SYS_RUN_VECTOR(&rig, cases[n].at < 0 ? -1 : X86_EXC_GP);
        g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 1);
        g_assert_cmphex(rig.state.gpr[X86_RCX], ==, cases[n].ecx);
        if (cases[n].at >= 0) {
            g_assert_cmphex(sys_stack(&rig, 0, 8), ==, 0);
            g_assert_cmphex(sys_stack(&rig, 1, 8), ==, LAST_PAGE + offset + cases[n].at);
            g_assert_cmphex(sys_stack(&rig, 4, 8), ==, SYS_KERNEL_STACK);
        }
    }
    sys_rig_clear(&rig);
}

GUEST(runs_out, 64, "inc %eax\n mov $0x11223344, %ebx\n");

/*
 * Code that just runs to there has done nothing wrong before; an instruction that is partly beyond faults itself, and
 * is not fetched from the other half of the address space, which has tables of the same kind.
 */
static void test_code_canonical(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned within = 2; within < runs_out_end - runs_out; within++) {
        sys_long(&rig);
        map_last_page(&rig);
        sys_put(&rig, SYS_TABLES + 256 * 8, SYS_PDPT | 3, 8);
        sys_code(&rig, LAST_PAGE_GPA + X86_PAGE - within, runs_out, runs_out + within);
        rig.state.rip = LAST_PAGE + X86_PAGE - within;
        rig.state.gpr[X86_RAX] = 0;
        SYS_RUN_VECTOR(&rig, X86_EXC_GP);
        g_assert_cmphex(rig.state.gpr[X86_RAX], ==, 1);
        g_assert_cmphex(sys_stack(&rig, 1, 8), ==, LAST_PAGE + X86_PAGE - within + 2);
    }
    sys_rig_clear(&rig);
}

/* ---- writes in parts ------------------------------------------------------------------------------------------- */

#define SELF_MAP 0x80000u /* the page of SYS_PT again: its first entry there is its own */
#define SELF_ENTRY (SYS_PT + SELF_MAP / X86_PAGE * 8)
#define CALL_INTO_TABLE "mov $0x13800, %eax\n call *%rax\n mov $0x80400, %edi\n"

GUEST(exchange_own_entry, 64,
      CALL_INTO_TABLE "mov (%rdi), %rax\n mov 8(%rdi), %rdx\n xor %ebx, %ebx\n mov $0x77, %ecx\n"
                      "lock cmpxchg16b (%rdi)\n hlt\n");
GUEST(store_own_entry, 64, CALL_INTO_TABLE "pxor %xmm0, %xmm0\n movups %xmm0, (%rdi)\n hlt\n");

/*
 * 16 bytes that go the long way (the page has code) are written whole, although the first half of them is the entry
 * that their page was found by, and takes it away.
 */
static void test_written_whole(void)
{
    static const struct {
        const uint8_t *code, *end;
        uint64_t high;
    } cases[] = {
        { exchange_own_entry, exchange_own_entry_end, 0x77 },
        { store_own_entry, store_own_entry_end, 0 },
    };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        sys_long(&rig);
        rig.state.cr4 |= X86_CR4_OSFXSR;
        sys_put(&rig, SYS_PT + 0x800, 0xc3, 1); /* RET */
        sys_put(&rig, SELF_ENTRY, SYS_PT | 0x63, 8); /* accessed and dirty: it stays so until it is written */
        sys_code(&rig, SYS_KERNEL, cases[i].code, cases[i].end);
        SYS_RUN_VECTOR(&rig, -1);
        g_assert_cmphex(sys_get(&rig, SELF_ENTRY, 8), ==, 0);
        g_assert_cmphex(sys_get(&rig, SELF_ENTRY + 8, 8), ==, cases[i].high);
    }
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-limits/code/faults-at-the-instruction-beyond", test_code_limit);
    g_test_add_func("/emu-limits/code/does-not-fetch-beyond", test_code_limit_at_page);
    g_test_add_func("/emu-limits/code/is-the-running-segments", test_code_limit_by_segment);
    g_test_add_func("/emu-limits/code/ends-at-64k-in-real-mode", test_real_wrap);
    g_test_add_func("/emu-limits/code/branch-to-no-address-faults-itself", test_branch_canonical);
    g_test_add_func("/emu-limits/code/runs-out-of-addresses", test_code_canonical);
    g_test_add_func("/emu-limits/operand/size-and-rights", test_operand_limit);
    g_test_add_func("/emu-limits/operand/stack-segment", test_operand_stack_limit);
    g_test_add_func("/emu-limits/operand/both-pages-first", test_operand_over_pages);
    g_test_add_func("/emu-limits/operand/stacks", test_operand_others);
    g_test_add_func("/emu-limits/operand/16-bytes-are-written-whole", test_written_whole);
    g_test_add_func("/emu-limits/alignment-check", test_alignment);
    g_test_add_func("/emu-limits/system-structures-are-canonical", test_system_canonical);
    return g_test_run();
}
