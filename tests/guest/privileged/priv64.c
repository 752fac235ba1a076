// SPDX-License-Identifier: GPL-2.0-or-later
// Privileged behaviour in long mode: pages, segments, control registers, MSRs, debug registers, system calls, delivery.
// Runs in: neither program; a guest's kernel, started by tests/functional/test_privileged.py.
#include "harness.h"
#include "trials64.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, RF = 1 << 16, AC = 1 << 18, TF = 1 << 8, IF = 1 << 9,
       NT = 1 << 14 };
enum { WP = 1 << 16, SMEP = 1 << 20, SMAP = 1 << 21 };
#define NX (1ull << 63)
#define TESTED 0x8000000000ull          // the page under test, in a tree of its own

static u64 upper[3][512] __attribute__((aligned(4096)));        // PDPT, PD, PT
static u8 page[4096] __attribute__((aligned(4096)));
extern u64 tables[];

CODE(read_it, "movl 16(%rdi), %eax")
CODE(write_it, "movl %eax, 16(%rdi)")
CODE(call_it, "jmp *%rdi")

// ------------------------------------------------------------------------------------------------------ pages

// Maps the page under test by an entry of LEVEL (1: 4 KiB) with FLAGS, below entries with RIGHTS; returns its address.
static word map(int level, u64 flags, u64 rights)
{
    word place = (word)page;
    u64 size = 4096ull << 9 * (level - 1);

    tables[1] = (word)upper[0] | P | rights;
    upper[0][0] = (word)upper[1] | P | rights;
    upper[1][0] = (word)upper[2] | P | rights;
    upper[3 - level][0] = (place & ~(size - 1)) | flags | (level > 1 ? LARGE : 0);
    WRITE_CR(3, READ_CR(3));
    return TESTED + (place & (size - 1));
}

static void page_outcome(const char *code, word at, int level, int cpl, word flags)
{
    u64 *entry = &upper[3 - level][0];

    *entry &= ~(u64)(A | D);
    WRITE_CR(3, READ_CR(3));
    try(code, at, cpl, flags);
    say(" ");
    if (event.frame.vector == PAGE_FAULT) {
        hex(event.frame.error);
        if (event.cr2 != (code == call_it ? at : at + 16)) {
            say("!");
            hex(event.cr2);
        }
    } else if (event.frame.vector == DONE) {
        say("ok");
    } else {
        say("vector");
        hex(event.frame.vector);
    }
    say(*entry & D ? "/ad" : *entry & A ? "/a" : "");
}

static void pages_at(const char *name, int level, u64 flags, u64 rights)
{
    static const struct { word cr0, cr4, flags; } settings[] = {
        {0, 0, 0}, {WP, 0, 0}, {WP, SMEP, 0}, {WP, SMAP, 0}, {WP, SMAP, AC}, {0, SMAP, 0}
    };
    static const char *const codes[] = {read_it, write_it, call_it};
    word at = map(level, flags, rights), old0 = READ_CR(0), old4 = READ_CR(4);

    say("page ");
    hex((unsigned)level);
    say(name);
    say(flags & P ? " P" : " -");
    say(flags & W ? "W" : "-");
    say(flags & U ? "U" : "-");
    say(flags & NX ? "X" : "-");
    say(rights & W ? " W" : " -");
    say(rights & U ? "U" : "-");
    say(rights & NX ? "X:" : "-:");
    for (unsigned i = 0; i < COUNT(settings); i++) {
        for (unsigned access = 0; access < COUNT(codes); access++) {
            WRITE_CR(0, (old0 & ~(word)WP) | settings[i].cr0);
            WRITE_CR(4, old4 | settings[i].cr4);
            page_outcome(codes[access], at, level, 0, settings[i].flags);
        }
        say(",");
    }
    for (unsigned access = 0; access < COUNT(codes); access++) {
        page_outcome(codes[access], at, level, 3, 0);
    }
    say("\n");
}

static void pages(void)
{
    static const u64 above[] = {W | U, U, W, W | U | NX};
    static const struct { const char *name; int level; u64 bit; } reserved[] = {
        {" bit51", 1, 1ull << 51}, {" bit51", 2, 1ull << 51}, {" bit13", 2, 1 << 13}, {" bit20", 2, 1 << 20},
        {" bit13", 3, 1 << 13}, {" bit29", 3, 1 << 29}, {" bit62", 1, 1ull << 62}, {" bit8", 1, 1 << 8},
        {" bit12", 2, 1 << 12}, {" bit7", 1, 1 << 7}
    };

    page[0] = 0xcd;
    page[1] = DONE;
    for (int level = 1; level <= 3; level++) {
        for (unsigned i = 0; i < COUNT(above); i++) {
            for (unsigned flags = 0; flags < 16; flags++) {
                pages_at("", level, (flags & 7) | (flags & 8 ? NX : 0), above[i]);
            }
        }
    }
    for (unsigned i = 0; i < COUNT(reserved); i++) {
        pages_at(reserved[i].name, reserved[i].level, reserved[i].bit | P | W | U, W | U);
        pages_at(reserved[i].name, reserved[i].level, reserved[i].bit | P, W | U);
        pages_at(reserved[i].name, reserved[i].level, reserved[i].bit | W, W | U);
    }
    word at = map(1, P | W | U, W | U);
    tables[1] |= LARGE;
    say("page PML4 with bit 7:");
    page_outcome(read_it, at, 1, 0, 0);
    page_outcome(write_it, at, 1, 3, 0);
    say("\n");
}

// Without EFER.NXE the bit is a reserved one.
static void pages_without_nx(void)
{
    word at = map(1, P | W | U | NX, W | U);
    static const char *const codes[] = {read_it, write_it, call_it};

    say("page without NXE:");
    for (int i = 0; i < 6; i++) {
        wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ul);
        page_outcome(codes[i / 2], at, 1, i % 2 * 3, 0);
    }
    say("\n");
}

// --------------------------------------------------------------------------------------------------- segments

extern const char landing[];
CODE(landing, "nop")
// EDI: the selector. Each leaves what it finds in EAX.
#define SEGMENT_OPS(X) \
    X(ds, "movl %edi, %ds; movl %ds, %eax") \
    X(ss, "movl %edi, %ss; movl %ss, %eax") \
    X(fs, "movl %edi, %fs; movl %fs, %eax") \
    X(lldt, "lldt %di; sldt %eax") \
    X(ltr, "ltr %di; str %eax") \
    X(lar, "movl $0x1111, %eax; larl %edi, %eax; jz 1f; orl $0x10000000, %eax; 1:") \
    X(lsl, "movl $0x1111, %eax; lsll %edi, %eax; jz 1f; orl $0x10000000, %eax; 1:") \
    X(verr, "verr %di; sete %al") \
    X(verw, "verw %di; sete %al") \
    X(jump, "leaq landing(%rip), %rax; push %rdi; push %rax; ljmpl *(%rsp)") \
    X(call, "leaq landing(%rip), %rax; push %rdi; movl %edi, 4(%rsp); pushq $0; movl %eax, 4(%rsp); " \
      "movl %edi, 8(%rsp); lcalll *4(%rsp)") \
    X(return, "leaq landing(%rip), %rax; pushq $0x23; pushq %rsp; push %rdi; push %rax; lretq") \
    X(iret_kernel, "leaq landing(%rip), %rax; movq %rsp, %rcx; pushq $0x10; push %rcx; pushq $2; push %rdi; " \
      "push %rax; iretq") \
    X(iret_user, "leaq landing(%rip), %rax; movq %rsp, %rcx; pushq $0x23; push %rcx; pushq $2; push %rdi; " \
      "push %rax; iretq")
#define SEGMENT_CODE(name, text) CODE(seg_##name, text)
#define SEGMENT_ROW(name, text) {" " #name, seg_##name},
SEGMENT_OPS(SEGMENT_CODE)
static const Trial segment_ops[] = { SEGMENT_OPS(SEGMENT_ROW) };

static void outcome(const char *name, int cpl, u64 low)
{
    const Frame *frame = &event.frame;
    int done = frame->vector == DONE;
    word cs = cpl ? USER_CODE : KERNEL_CODE;

    tell_result(name);
    // A trial that is done may have come to the other RPL.
    if (done ? (frame->cs | 3) != (cs | 3) : frame->cs != cs) {
        say("/cs");
        hex(frame->cs);
        if (done) {
            say("/ss");
            hex(frame->ss);
        }
    }
    tell_changed(low);
}

static void segment_line(const char *name, u64 low, u64 high, unsigned selector, int cpl)
{
    tell_segment(name, low, selector, cpl);
    for (unsigned i = 0; i < COUNT(segment_ops); i++) {
        gdt[TRIED / 8] = low;
        gdt[TRIED / 8 + 1] = high;
        try(segment_ops[i].code, selector, cpl, 0);
        outcome(segment_ops[i].name, cpl, low);
    }
    say("\n");
}

static void segments(void)
{
    for (int cpl = 0; cpl <= 3; cpl += 3) {
        for (unsigned access = 0; access < 256; access++) {
            if ((access & 0x60) == 0x20 || (access & 0x60) == 0x40) {
                continue;               // DPL 0 and 3 only
            }
            for (unsigned rpl = 0; rpl <= 3; rpl += 3) {
                word target = (word)landing + (cpl ? USER_BASE : 0);
                if (access & 0x10) {
                    for (unsigned flags = 8; flags <= 0xe; flags += 2) {
                        if (access & 8 || flags == 0xc) {       // L and D matter for code
                            segment_line("", descriptor(0, 0xfffff, access, flags), 0, TRIED | rpl, cpl);
                        }
                    }
                } else if ((access & 15) == 12 || (access & 15) > 13 || (access & 15) == 4) {
                    segment_line("gate ", (target & 0xffff) | KERNEL_CODE << 16 | (u64)access << 40 |
                                 (u64)(target >> 16) << 48, 0, TRIED | rpl, cpl);
                } else {
                    segment_line("", descriptor((word)other_task, 0x67, access, 0), 0, TRIED | rpl, cpl);
                }
            }
        }
        segment_line("null ", 0, 0, 0, cpl);
        segment_line("beyond ", 0, 0, GDT_END + 8 + 3, cpl);
        segment_line("local ", 0, 0, TRIED | 4, cpl);
        segment_line("high part of LDT not 0 ", descriptor((word)other_task, 0x67, 0x82, 0), 1ull << 40, TRIED, cpl);
        segment_line("base of LDT not canonical ", descriptor((word)other_task, 0x67, 0x82, 0), 0x8000, TRIED, cpl);
        segment_line("base of TSS not canonical ", descriptor((word)other_task, 0x67, 0x89, 0), 0x8000, TRIED, cpl);
        segment_line("TSS beyond ", descriptor((word)other_task, 0x67, 0x89, 0), 0, GDT_END - 8, cpl);
        static const unsigned to[] = {0, KERNEL_DATA, USER_CODE, KERNEL_CODE32, TRIED, KERNEL_CODE | 3};
        for (unsigned i = 0; i < COUNT(to); i++) {
            word target = (word)landing;
            u64 low = (target & 0xffff) | (u64)to[i] << 16 | 0xecull << 40 | (u64)(target >> 16) << 48;
            segment_line("gate to another selector ", low, 0, TRIED, cpl);
            segment_line("gate not canonical ", low, 0x8000, TRIED, cpl);
            segment_line("gate with type above ", low, 1ull << 40, TRIED, cpl);
        }
    }
}

// ---------------------------------------------------------------------------------------- one by one, at CPL 0 and 3

#define X(name, text) CODE(trial_##name, text)
TRIALS
FATAL_TRIALS
#undef X
#define X(name, text) {#name, trial_##name},
static const Trial trials[] = { TRIALS }, fatal_trials[] = { FATAL_TRIALS };
#undef X

static void one_by_one(const Trial *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        for (int cpl = 0; cpl <= 3; cpl += 3) {
            try(list[i].code, 0, cpl, 0);
            tell(list[i].name, list[i].code, cpl);
        }
    }
}

// --------------------------------------------------------------------------------------------------- debugging

static u64 watched[4] __attribute__((aligned(32)));

#define X(name, text) CODE(stop_##name, text)
STOPS
#undef X
#define X(name, text) {#name, stop_##name},
static const Trial stop_trials[] = { STOPS };
#undef X

static void debugging(void)
{
    // DR7: what breakpoint 0 at the watched word or, 0, at the second byte of the code is for; 1 with TF.
    static const struct { const char *name; u32 dr7; int with_tf, on_code; } ways[] = {
        {"step ", 0x400, 1, 0}, {"write1 ", 0x10401, 0, 0}, {"write8 ", 0x90402, 0, 0}, {"readwrite4 ", 0xf0402, 0, 0},
        {"readwrite2+step ", 0x70401, 1, 0}, {"off ", 0x90400, 0, 0}, {"code ", 0x402, 0, 1},
        {"code+step ", 0x401, 1, 1},
        {"code+write8 ", 0x90002 | 0x408, 0, 1}, {"io ", 0x20402, 0, 2}, {"io+de ", 0x20402, 0, 3}
    };
    word old4 = READ_CR(4);

    for (unsigned way = 0; way < COUNT(ways); way++) {
        for (unsigned i = 0; i < COUNT(stop_trials); i++) {
            for (int cpl = 0; cpl <= 3; cpl += 3) {
                word base = cpl ? USER_BASE : 0, at = (word)&watched[1] + base;
                char name[40], *out = name;
                // The second instruction of most.
                word code = (word)stop_trials[i].code + base + 1;

                watched[0] = watched[1] = watched[2] = 0;
                WRITE_DR(0, ways[way].on_code == 1 ? code : ways[way].on_code ? 0x84 : at);
                WRITE_DR(1, ways[way].dr7 & 12 ? code + 1 : 0);
                WRITE_CR(4, old4 | (ways[way].on_code == 3 ? 8 : 0));
                WRITE_DR(7, ways[way].dr7);
                going_on = 1;
                try(stop_trials[i].code, at, cpl, ways[way].with_tf ? TF : 0);
                going_on = 0;
                for (const char *from = ways[way].name; *from; from++) {
                    *out++ = *from;
                }
                for (const char *from = stop_trials[i].name; *from; from++) {
                    *out++ = *from;
                }
                *out = 0;
                tell(name, stop_trials[i].code, cpl);
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------- system calls

CODE(system_call, "movl $0x1234, %ecx; movl $0x5678, %r11d; syscall; nop")
CODE(system_target, "movq %rcx, %rax; movq %r11, %rdx; leaq trial_of_syscall(%rip), %rcx; nop")
CODE(system_return, "leaq returned(%rip), %rcx; addq $0x40000000, %rcx; movl $0x243ed7, %r11d; sysretq")
CODE(system_return32, "leaq returned(%rip), %rcx; addq $0x40000000, %rcx; movl $0x243ed7, %r11d; sysretl")
CODE(returned, "nop")
CODE(trial_of_syscall, "nop")
CODE(system_enter, "sysenter")
CODE(system_exit, "leaq returned(%rip), %rdx; addq $0x40000000, %rdx; movq %rsp, %rcx; sysexitl")
CODE(system_exit64, "leaq returned(%rip), %rdx; addq $0x40000000, %rdx; movq %rsp, %rcx; sysexitq")

static void system_calls(void)
{
    static const Trial ways[] = {
        {"syscall", system_call}, {"sysretq", system_return}, {"sysretl", system_return32}, {"sysenter", system_enter},
        {"sysexitl", system_exit}, {"sysexitq", system_exit64}
    };

    for (unsigned i = 0; i < COUNT(ways); i++) {
        for (int cpl = 0; cpl <= 3; cpl += 3) {
            for (word flags = 0; flags <= 0x247ed5; flags += 0x243cd5) {
                wrmsr(0xc0000081, (u64)0x1b << 48 | (u64)KERNEL_CODE << 32);
                wrmsr(0xc0000082, (word)system_target);
                wrmsr(0xc0000084, flags ? 0x4600 : 0);
                wrmsr(0x174, i < 4 || cpl ? KERNEL_CODE : 0x13);
                wrmsr(0x175, (word)kernel_stack + 4096);
                wrmsr(0x176, (word)system_target);
                try(ways[i].code, 0, cpl, flags & ~(word)0x4000);
                event.frame.ax = event.frame.dx = 0;
                tell(ways[i].name, i ? ways[i].code : system_target, cpl);
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------- alignment

#define X(name, text) CODE(aligned_##name, text)
ALIGNED
#undef X
#define X(name, text) {"alignment " #name, aligned_##name},
static const Trial alignments[] = { ALIGNED };
#undef X

static void alignment(void)
{
    static u64 data[4] __attribute__((aligned(16)));

    for (unsigned i = 0; i < COUNT(alignments); i++) {
        for (int cpl = 0; cpl <= 3; cpl += 3) {
            for (int mask = 0; mask < 2; mask++) {
                WRITE_CR(0, READ_CR(0) | (mask ? 1 << 18 : 0));
                try(alignments[i].code, (word)data + (cpl ? USER_BASE : 0), cpl, AC);
                tell(alignments[i].name, alignments[i].code, cpl);
            }
        }
    }
}

// ----------------------------------------------------------------------------------------------------- delivery

extern const char vectors[], event_stack_end[];
extern volatile word nmi_count, nmi_nested;
CODE(undefined, "nop; ud2")
CODE(protection, "nop; movabsq $0x800000000000, %rax; movl (%rax), %ecx")
CODE(no_page, "nop; movabsq $0x9000000000, %rax; movl (%rax), %ecx")
CODE(call_82, "nop; int $0x82")
CODE(division, "nop; xorl %ecx, %ecx; divl %ecx")
CODE(step_own, "pushq $0x102; popfq; nop; nop")
// The first NMI sends another one, which has to wait for IRET.
__asm__(".pushsection .text\n"
        "nmi_handler: push %rax; push %rbx; push %rcx; incq nmi_count; cmpq $1, nmi_count; jne 1f\n"
        "movl $0xfee00300, %ebx; movl $0x400, (%rbx); movl $1000, %ecx; 2: loop 2b\n"
        "movq nmi_count, %rax; movq %rax, nmi_nested\n"
        "1: pop %rcx; pop %rbx; pop %rax; iretq\n"
        ".popsection; .bss; .balign 8; nmi_count: .skip 8; nmi_nested: .skip 8; .text");
extern const char nmi_handler[];
CODE(send_nmi, "movl $0xfee00310, %ebx; movl $0, (%rbx); movl $0xfee00300, %ebx; movl $0x400, (%rbx); "
     "movl $1000, %ecx; 1: loop 1b; movq nmi_count, %rax; movq nmi_nested, %rdx")

enum { UNDEFINED = 6, NOT_PRESENT = 11, STACK = 12, PROTECTION = 13 };
static const struct { const char *name; u64 offset; unsigned selector, attributes, ist; } gates[] = {
    {"trap gate", 0, KERNEL_CODE, 0x8f, 0}, {"gate for users", 0, KERNEL_CODE, 0xee, 0},
    {"gate not present", 0, KERNEL_CODE, 0x0e, 0}, {"gate not present for users", 0, KERNEL_CODE, 0x6e, 0},
    {"gate of type 6", 0, KERNEL_CODE, 0x86, 0}, {"gate of type 5", 0, KERNEL_CODE, 0x85, 0},
    {"gate of type 12", 0, KERNEL_CODE, 0x8c, 0}, {"gate to null", 0, 0, 0x8e, 0},
    {"gate to data", 0, KERNEL_DATA, 0x8e, 0},
    {"gate to 32-bit code", 0, KERNEL_CODE32, 0x8e, 0}, {"gate to user code", 0, USER_CODE, 0x8e, 0},
    {"gate beyond GDT", 0, GDT_END, 0x8e, 0}, {"gate into LDT", 0, 12, 0x8e, 0},
    {"gate with RPL 3", 0, KERNEL_CODE | 3, 0x8e, 0},
    {"gate with IST 2", 0, KERNEL_CODE, 0x8e, 2}, {"gate with IST not canonical", 0, KERNEL_CODE, 0x8e, 3},
    {"gate with IST in no page", 0, KERNEL_CODE, 0x8e, 4}, {"gate to no page", 0x9000000000, KERNEL_CODE, 0x8e, 0},
    {"gate not canonical", 0x800000000000, KERNEL_CODE, 0x8e, 0}
};
static const struct { const char *name; unsigned vector; const char *code; } events[] = {
    {": undefined", UNDEFINED, undefined}, {": protection", PROTECTION, protection},
    {": page fault", PAGE_FAULT, no_page},
    {": INT n", 0x82, call_82}, {": division", 0, division}, {": step", DEBUG, step_own}
};

// Events through gates of the table from FIRST, before LAST.
static void through_gates(unsigned first, unsigned last)
{
    static u8 ist_stack[4096] __attribute__((aligned(16)));

    for (unsigned gate = first; gate < last; gate++) {
        for (unsigned i = 0; i < COUNT(events); i++) {
            unsigned vector = events[i].vector;
            if (vector == PAGE_FAULT && (gates[gate].selector == USER_CODE || gates[gate].offset)) {
                continue;               // a page fault's handler that faults at its first instruction: no end of it
            }
            for (int cpl = 0; cpl <= 3; cpl += 3) {
                *(u64 *)(task + 44) = (word)ist_stack + sizeof(ist_stack) - 3;        // IST2, to be aligned
                *(u64 *)(task + 52) = 0x900000000000;
                *(u64 *)(task + 60) = 0x9000000000;
                u64 to = gates[gate].offset ? gates[gate].offset : (word)vectors + vector * 16;
                set_gate(vector, to, gates[gate].selector, gates[gate].attributes, gates[gate].ist);
                try(events[i].code, 0, cpl, 0);
                say(gates[gate].name);
                tell(events[i].name, events[i].code, cpl);
            }
        }
    }
}

static void delivery(void)
{
    *(u64 *)(task + 4) = 0x900000000000;        // RSP0
    try(undefined, 0, 3, 0);
    tell("stack not canonical", undefined, 3);
    *(u64 *)(task + 4) = 0x9000000000;
    try(undefined, 0, 3, 0);
    tell("stack in no page", undefined, 3);
    *(u64 *)(task + 4) = (word)event_stack_end + USER_BASE;
    try(undefined, 0, 3, 0);
    tell("stack of users", undefined, 3);
    *(u64 *)(task + 4) = (word)event_stack_end + 5;
    try(undefined, 0, 3, 0);
    tell("stack not aligned", undefined, 3);
    struct __attribute__((packed)) { u16 limit; word base; } idtr;
    static const unsigned limits[] = {0x82f, 0x82e, 0x827, 0xdf, 0x8f, 0x7f};
    for (unsigned i = 0; i < COUNT(limits); i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            __asm__ volatile("sidt %0" : "=m"(idtr));
            idtr.limit = (u16)limits[i];
            if (limits[i] >= 0x8f) {            // else: shutdown
                __asm__ volatile("lidt %0" : : "m"(idtr));
                say("IDT's limit ");
                hex(limits[i]);
                try(events[kind].code, 0, 0, 0);
                tell(events[kind].name, events[kind].code, 0);
            }
        }
    }
    nmi_count = 0;
    set_gate(NMI, (word)nmi_handler, KERNEL_CODE, 0x8e, 0);
    try(send_nmi, 0, 0, 0);
    tell("NMI in NMI", send_nmi, 0);
}

// ---------------------------------------------------------------------------------------------- compatibility mode

#define CODE32(name, text) CODE(name, ".code32; " text "; int $0x80; .code64; nop")
#define X(name, text) CODE32(compatible_##name, text)
COMPATIBLE
#undef X
#define X(name, text) {"32-bit " #name, compatible_##name},
static const Trial compatible[] = { COMPATIBLE };
#undef X

// By enter(): a far selector of 32-bit code. Its addresses are the kernel's, so pages are for all.
static void compatibility(void)
{
    for (unsigned i = 0; i < 512; i++) {
        tables[0x2000 / 8 + i] |= U;
    }
    tables[0x1000 / 8] |= U;
    for (unsigned i = 0; i < COUNT(compatible); i++) {
        for (int cpl = 0; cpl <= 3; cpl += 3) {
            stop_count = 0;
            wrmsr(0x176, (word)landing);
            __asm__ volatile("mov %0, %%ds" : : "r"(cpl ? USER_DATA : KERNEL_DATA));
            enter(compatible[i].code, 0, cpl ? USER_CODE32 : KERNEL_CODE32, cpl ? USER_DATA : KERNEL_DATA,
                  (word)user_stack + sizeof(user_stack) - 64, 2);
            restore();
            event.frame.ax &= 0xffffffff;
            event.frame.ip += cpl && event.frame.cs & 3 ? USER_BASE : 0;
            tell(compatible[i].name, compatible[i].code, cpl);
        }
    }
}

void run(void)
{
    restore();
    one_by_one(trials, COUNT(trials));
    pages();
    pages_without_nx();
    segments();
    debugging();
    system_calls();
    alignment();
    through_gates(0, COUNT(gates) - 1);
    delivery();
    compatibility();
    say("fatal to stock\n");
    one_by_one(fatal_trials, COUNT(fatal_trials));
    through_gates(COUNT(gates) - 1, COUNT(gates));
    say("end\n");
    quit();
}
