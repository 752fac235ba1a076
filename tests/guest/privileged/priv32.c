// SPDX-License-Identifier: GPL-2.0-or-later
// Privileged behaviour in protected mode of 32 bits: segments, gates, tasks, pages with and without PAE.
// Runs in: neither program; a guest's kernel, started by tests/functional/test_privileged.py.
#include "harness.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, LARGE = 0x80, WP = 1 << 16, PG = 1u << 31, PSE = 16, PAE = 32,
       SMEP = 1 << 20, SMAP = 1 << 21, AC = 1 << 18, INNER = 0x90 };
#define NX (1ull << 63)

extern const char landing[], vectors[], event_stack_end[];
CODE(landing, "nop")

// ------------------------------------------------------------------------------------------------- segments, gates

// EDI: the selector. What they find is in EAX.
#define SEGMENT_OPS(X) \
    X(ds, "movl %edi, %ds; movl %ds, %eax") \
    X(ss, "movl %ss, %ecx; movl %edi, %ss; movl %ss, %eax; movl %ecx, %ss") \
    X(lldt, "lldt %di; sldt %eax") \
    X(ltr, "ltr %di; str %eax") \
    X(lar, "movl $0x1111, %eax; larl %edi, %eax; jz 1f; orl $0x10000000, %eax; 1:") \
    X(lsl, "movl $0x1111, %eax; lsll %edi, %eax; jz 1f; orl $0x10000000, %eax; 1:") \
    X(verr, "verr %di; sete %al") \
    X(verw, "verw %di; sete %al") \
    X(jump, "pushl %edi; pushl $landing; ljmpl *(%esp)") \
    X(call, "pushl %edi; pushl $landing; lcalll *(%esp)") \
    X(return, "movl %esp, %ecx; pushl $0x23; pushl %ecx; pushl %edi; pushl $landing; lretl") \
    X(iret, "movl %esp, %ecx; pushl $0x23; pushl %ecx; pushl $2; pushl %edi; pushl $landing; iretl") \
    X(read, "movl %edi, %es; movl %es:0xffff, %eax; movl %es:0xfffc, %eax; xorl %eax, %eax") \
    X(write, "movl %edi, %es; movl %eax, %es:0x20000")
#define SEGMENT_CODE(name, text) CODE(seg_##name, text)
#define SEGMENT_ROW(name, text) {" " #name, seg_##name},
SEGMENT_OPS(SEGMENT_CODE)
static const Trial segment_ops[] = { SEGMENT_OPS(SEGMENT_ROW) };

// The same as one of 16 bits.
static void set_short_task(void)
{
    u16 *fields = (u16 *)other_task;

    for (unsigned i = 0; i < 22; i++) {
        fields[i] = 0;
    }
    fields[7] = (u16)(word)landing;
    fields[8] = 2;
    fields[13] = 0x7000;
    fields[17] = KERNEL_DATA;
    fields[18] = KERNEL_CODE;
    fields[19] = KERNEL_DATA;
    fields[20] = KERNEL_DATA;
}

// A task that begins at CODE, at CPL 0.
static void set_task(u32 *fields, const char *code, const void *stack_end)
{
    for (unsigned i = 0; i < 26; i++) {
        fields[i] = 0;
    }
    fields[1] = (u32)event_stack_end;
    fields[2] = KERNEL_DATA;
    fields[8] = (u32)code;
    fields[9] = 2;
    fields[14] = (u32)stack_end;
    fields[18] = KERNEL_DATA;
    fields[19] = KERNEL_CODE;
    fields[20] = KERNEL_DATA;
    fields[21] = KERNEL_DATA;
    fields[25] = 0x68u << 16;
}

// Exceptions without a stack to push to need tasks: #DF, #TS, #SS and #GP have some then.
static void set_fault_tasks(void)
{
    static const u8 numbers[4] = {DOUBLE, 10, 12, 13};
    static u32 states[4][32] __attribute__((aligned(128)));

    for (unsigned i = 0; i < COUNT(numbers); i++) {
        set_task(states[i], vectors + numbers[i] * 16, event_stack_end);
        gdt[FAULT_TASKS / 8 + i] = descriptor((word)states[i], 0x67, 0x89, 0);
        set_gate(numbers[i], 0, FAULT_TASKS + i * 8, 0x85, 0);
    }
}

// A task that ends where all trials do.
static void set_other_task(void)
{
    u8 *low = (u8 *)((word)landing & 0xffff);

    // Gates and tasks of 16 bits have short addresses.
    __asm__("" : "+r"(low));
    low[0] = 0xcd;
    low[1] = DONE;
    set_task((u32 *)other_task, landing, kernel_stack + sizeof(kernel_stack) / 2);
}

static void outcome(const char *name, int cpl, u64 low)
{
    tell_result(name);
    if (event.frame.cs != (cpl ? USER_CODE : KERNEL_CODE)) {
        say("/cs");
        hex(event.frame.cs);
    }
    tell_changed(low);
    if (event.frame.flags & 1 << 14) {
        say("/NT");
    }
}

static void segment_line(const char *name, u64 low, unsigned selector, int cpl)
{
    tell_segment(name, low, selector, cpl);
    for (unsigned i = 0; i < COUNT(segment_ops); i++) {
        gdt[TRIED / 8] = low;
        gdt[INNER / 8] = descriptor(0, 0xfffff, 0x9f, 0xc);     // conforming
        set_other_task();
        if ((low >> 40 & 0x1d) == 1) {
            set_short_task();
        }
        try(segment_ops[i].code, selector, cpl, 0);
        outcome(segment_ops[i].name, cpl, low);
    }
    say("\n");
}

static void segments(void)
{
    static const unsigned dpls[] = {0, 3}, flags[] = {4, 12};

    for (int cpl = 0; cpl <= 3; cpl += 3) {
        for (unsigned type = 0; type < 32; type++) {
            for (unsigned way = 0; way < 4; way++) {
                unsigned access = type | dpls[way % 2] << 5 | (way < 2 ? 0x80 : 0);
                for (unsigned rpl = 0; rpl <= 3; rpl += 3) {
                    if (type & 16) {
                        for (unsigned i = 0; i < 2; i++) {
                            // With byte limits the trial's own code is out of reach.
                            u32 limit = flags[i] & 8 ? 0xfffff : type & 8 ? 0xfffff : 0xffff;
                            segment_line("", descriptor(0, limit, access, flags[i]), TRIED | rpl, cpl);
                        }
                    } else if (type == 4 || type == 6 || type == 7 || type == 12 || type == 14 || type == 15) {
                        word target = (word)landing;
                        segment_line("gate ", (target & 0xffff) | KERNEL_CODE << 16 | 2ull << 32 | (u64)access << 40 |
                                     (u64)(target >> 16) << 48, TRIED | rpl, cpl);
                    } else if (type == 5) {
                        segment_line("task gate ", (u64)OTHER_TASK << 16 | (u64)access << 40, TRIED | rpl, cpl);
                    } else {
                        segment_line("", descriptor((word)other_task, 0x67, access, 0), TRIED | rpl, cpl);
                    }
                }
            }
        }
        segment_line("null ", 0, 0, cpl);
        segment_line("null 3 ", 0, 3, cpl);
        segment_line("beyond ", 0, (GDT_END + 8) | 3, cpl);
        segment_line("local ", 0, TRIED | 4, cpl);
        segment_line("short task ", descriptor((word)other_task, 0x66, 0xe9, 0), TRIED, cpl);
        segment_line("task gate to null ", 0xe5ull << 40, TRIED, cpl);
        segment_line("task gate to data ", (u64)KERNEL_DATA << 16 | 0xe5ull << 40, TRIED, cpl);
        segment_line("task gate to busy task ", (u64)TASK << 16 | 0xe5ull << 40, TRIED, cpl);
        static const unsigned to[] = {
            0, KERNEL_DATA, USER_CODE, KERNEL_CODE | 3, INNER, TASK, GDT_END, KERNEL_CODE | 4
        };
        for (unsigned i = 0; i < COUNT(to); i++) {
            word target = (word)landing;
            segment_line("gate to another selector ", (target & 0xffff) | (u64)to[i] << 16 | 0xecull << 40 |
                         (u64)(target >> 16) << 48, TRIED, cpl);
        }
    }
}

// Tasks whose state is bad in one place; entered by JMP, CALL and through a gate by INT and an exception.
static void tasks(void)
{
    static const struct { const char *name; unsigned field; u32 value; } faults[] = {
        {"task", 0, 0}, {"task CS null", 19, 0}, {"task CS data", 19, KERNEL_DATA}, {"task CS user", 19, USER_CODE},
        {"task CS rpl", 19, KERNEL_CODE | 3}, {"task CS beyond", 19, GDT_END}, {"task SS null", 20, 0},
        {"task SS code", 20, KERNEL_CODE}, {"task SS user", 20, USER_DATA}, {"task SS beyond", 20, GDT_END},
        {"task DS code", 21, KERNEL_CODE}, {"task DS beyond", 21, GDT_END}, {"task ES null", 18, 0},
        {"task LDT", 24, LDT},
        {"task LDT bad", 24, KERNEL_DATA}, {"task LDT local", 24, 12}, {"task NT", 9, 0x4002},
        {"task trap", 25, 0x680001}, {"task flags", 9, 0x47cd7}, {"task FS system", 22, TASK}
    };
    static const Trial ways[] = {{" by jump", seg_jump}, {" by call", seg_call}};

    for (unsigned i = 0; i < COUNT(faults); i++) {
        for (unsigned way = 0; way < COUNT(ways); way++) {
            set_other_task();
            set_fault_tasks();
            ((u32 *)other_task)[faults[i].field] = faults[i].value;
            gdt[OTHER_TASK / 8] = descriptor((word)other_task, 0x67, 0x89, 0);
            try(ways[way].code, OTHER_TASK, 0, 0);
            say(faults[i].name);
            tell(ways[way].name, landing, 0);
            say(faults[i].name);
            say(ways[way].name);
            say(" afterwards: link ");
            hex(*(u16 *)other_task);
            say(" type ");
            hex(event.task_type);
            say("\n");
        }
    }
}

// ----------------------------------------------------------------------------------------------------- delivery

CODE(undefined, "nop; ud2")
CODE(protection, "nop; movl $0xfff8, %eax; movl %eax, %ds")
CODE(call_82, "nop; int $0x82")
CODE(division, "nop; xorl %ecx, %ecx; divl %ecx")
CODE(over, "movb $127, %al; incb %al; into")
CODE(bounds, "pushl $5; pushl $1; movl $7, %eax; boundl %eax, (%esp)")

static void delivery(void)
{
    static const struct { const char *name; unsigned selector, attributes; } gates[] = {
        {"interrupt gate", KERNEL_CODE, 0x8e}, {"trap gate", KERNEL_CODE, 0x8f}, {"gate for users", KERNEL_CODE, 0xee},
        {"gate not present", KERNEL_CODE, 0x0e}, {"call gate", KERNEL_CODE, 0x8c}, {"free type", KERNEL_CODE, 0x80},
        {"gate to null", 0, 0x8e}, {"gate to data", KERNEL_DATA, 0x8e}, {"gate to user code", USER_CODE, 0x8e},
        {"gate to conforming code", INNER, 0x8e}, {"gate beyond GDT", GDT_END, 0x8e}, {"gate into LDT", 12, 0x8e},
        {"gate to task", OTHER_TASK, 0x85}, {"gate to no task", KERNEL_DATA, 0x85}, {"gate to busy task", TASK, 0x85},
        {"gate to local task", OTHER_TASK | 4, 0x85}
    };
    static const struct { const char *name; unsigned vector; const char *code; } events[] = {
        {": undefined", 6, undefined}, {": protection", 13, protection}, {": INT n", 0x82, call_82},
        {": division", 0, division},
        {": INTO", 4, over}, {": BOUND", 5, bounds}
    };

    for (unsigned gate = 0; gate < COUNT(gates); gate++) {
        for (unsigned i = 0; i < COUNT(events); i++) {
            unsigned vector = events[i].vector;
            if (vector == 13 && (gates[gate].selector == USER_CODE || gates[gate].selector == INNER)) {
                continue;               // the handler would need rights that it has not, for ever
            }
            for (int cpl = 0; cpl <= 3; cpl += 3) {
                set_other_task();
                gdt[INNER / 8] = descriptor(0, 0xfffff, 0x9f, 0xc);
                gdt[OTHER_TASK / 8] = descriptor((word)other_task, 0x67, 0x89, 0);
                set_gate(vector, (word)vectors + vector * 16, gates[gate].selector, gates[gate].attributes, 0);
                try(events[i].code, 0, cpl, 0);
                say(gates[gate].name);
                tell(events[i].name, events[i].code, cpl);
            }
        }
    }
    static const struct { const char *name; u32 ss; } stacks[] = {
        {"stack null", 0}, {"stack of users", USER_DATA}, {"stack code", KERNEL_CODE}, {"stack beyond", GDT_END},
        {"stack rpl", KERNEL_DATA | 1}, {"stack absent", TRIED}
    };
    for (unsigned i = 0; i < COUNT(stacks); i++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            gdt[TRIED / 8] = descriptor(0, 0xfffff, 0x13, 0xc);
            *(u32 *)(task + 8) = stacks[i].ss;
            set_fault_tasks();
            try(events[kind].code, 0, 3, 0);
            say(stacks[i].name);
            tell(events[kind].name, events[kind].code, 3);
        }
    }
}

// ---------------------------------------------------------------------------------------- limits, other instructions

#define TRIALS \
    X(real_far, "pushl $2f; popl %eax; nop; 2: nop") \
    X(sysenter_null, "sysenter") \
    X(arpl, "movl $0x80, %eax; movl $3, %edx; arpl %dx, %ax; setz %dl") \
    X(lds, "pushl $0x10; pushl $0; movl %cs, %eax; testl $3, %eax; jz 1f; movl $0x23, 4(%esp); 1: lds (%esp), %eax") \
    X(les_beyond, "pushl $0xfff8; pushl $0; les (%esp), %eax; movl %es, %edx") \
    X(ds_null, "xorl %eax, %eax; movl %eax, %es; movl %es:0, %eax") \
    X(cs_write, "movl %eax, %cs:0x100") \
    X(popf, "pushl $0x47dd7; popfl; pushfl; popl %eax; pushl $2; popfl") \
    X(popf_vm, "pushl $0x20002; popfl; pushfl; popl %eax") \
    X(popf16, "pushw $0x7cd7; popfw; pushfl; popl %eax; pushl $2; popfl") \
    X(iret_nt, "pushl $0x4002; popfl; iretl") \
    X(cli, "cli; nop") \
    X(in, "inb $0x84, %al; xorl %eax, %eax") \
    X(outs, "xorl %ecx, %ecx; movl $0x84, %edx; rep outsb; xorl %edx, %edx") \
    X(cr4_pcide, "movl %cr4, %eax; orl $0x20000, %eax; movl %eax, %cr4") \
    X(cr8_lock, ".byte 0xf0, 0x0f, 0x20, 0xc0") \
    X(lgdt16, "subl $8, %esp; sgdtw (%esp); movl 2(%esp), %eax; shrl $24, %eax") \
    X(sidt, "subl $8, %esp; sidt (%esp); movzwl (%esp), %eax") \
    X(smsw, "movl $0x12345678, %eax; smsw %eax") \
    X(lmsw, "movl $0xf, %eax; lmsw %ax; movl %cr0, %eax") \
    X(daa, "movb $0x9a, %al; daa") \
    X(salc, "stc; .byte 0xd6; movzbl %al, %eax") \
    X(aam, "aam $0") \
    X(into_not, "xorl %eax, %eax; into") \
    X(ud2, "ud2") \
    X(icebp, ".byte 0xf1") \
    X(int3, "int3") \
    X(syscall, "syscall") \
    X(swapgs, ".byte 0x0f, 0x01, 0xf8") \
    X(lar_null, "xorl %ecx, %ecx; larl %ecx, %eax; setz %al") \
    X(enter, "enter $16, $3; leave; movl $5, %eax") \
    X(pusha, "pushal; popal") \
    X(bound, "pushl $5; pushl $1; movl $3, %eax; boundl %eax, (%esp)") \
    X(xlat, "movl %esp, %ebx; movl $7, (%ebx); movl $0, %eax; xlatb") \
    X(stack16, "movl %ss, %eax; movl %esp, %edx; pushw %ax; popw %cx; subl %esp, %edx") \
    X(mov_seg_memory, "pushl $-1; movw %ds, (%esp); popl %eax; andl $0xffff0000, %eax") \
    X(push_seg, "pushl $-1; popl %eax; pushl %ds; popl %eax; shrl $16, %eax") \
    X(pop_cs_is_not, ".byte 0x8e, 0xc8") \
    X(fs_limit, "movl $0x88, %eax; movl %eax, %fs; movl %fs:0xffc, %eax; movl %fs:0xffd, %eax") \
    X(down, "movl $0x90, %eax; movl %eax, %fs; movl %fs:0x1000, %ecx; movl %fs:0xffd, %ecx") \
    X(down_top, "movl $0x90, %eax; movl %eax, %fs; movl %fs:0xfffc, %ecx; movl %fs:0xfffd, %ecx") \
    X(limit_of_stack, "movl %cs, %eax; testl $3, %eax; jz 1f; movl $0x88, %eax; movl %eax, %ss; " \
      "movl $0x1000, %esp; pushl %eax; movl $2, %esp; pushl %eax; 1: nop")

#define X(name, text) CODE(trial_##name, text)
TRIALS
#undef X
#define X(name, text) {#name, trial_##name},
static const Trial trials[] = { TRIALS };
#undef X

static void one_by_one(void)
{
    for (unsigned i = 0; i < COUNT(trials); i++) {
        for (int cpl = 0; cpl <= 3; cpl += 3) {
            gdt[0x88 / 8] = descriptor(0, 0xfff, cpl ? 0xf3 : 0x93, 4);
            gdt[0x90 / 8] = descriptor(0, 0xfff, cpl ? 0xf7 : 0x97, 0);         // expands down to 0x1000
            try(trials[i].code, 0, cpl, 0);
            tell(trials[i].name, trials[i].code, cpl);
        }
    }
}

// -------------------------------------------------------------------------------------------------------- pages

static u32 directory[1024] __attribute__((aligned(4096))), table[1024] __attribute__((aligned(4096)));
static u64 pae_pointers[4] __attribute__((aligned(32))), pae_directory[4][512] __attribute__((aligned(4096)));
static u64 pae_table[512] __attribute__((aligned(4096)));
static u8 page[4096] __attribute__((aligned(4096)));
CODE(read_it, "movl 16(%edi), %eax")
CODE(write_it, "movl %eax, 16(%edi)")
CODE(call_it, "jmp *%edi")
static const char *const accesses[] = {read_it, write_it, call_it};
#define TESTED 0x80000000u

// The program's own pages, the first 16 MiB, are for whom it runs.
static void map_program(unsigned rights)
{
    for (unsigned i = 0; i < 4; i++) {
        directory[i] = i << 22 | LARGE | rights | W | P;
    }
    for (unsigned i = 0; i < 8; i++) {
        pae_directory[0][i] = i << 21 | LARGE | rights | W | P;
    }
}

static void with_paging(const char *code, word at, int cpl, word flags, int wide, word cr0, word cr4)
{
    map_program(cpl ? U : 0);
    WRITE_CR(4, READ_CR(4) | PSE | (wide ? PAE : 0) | cr4);
    WRITE_CR(3, wide ? (word)pae_pointers : (word)directory);
    WRITE_CR(0, READ_CR(0) | PG | cr0);
    try(code, at, cpl, flags);
}

static void page_line(const char *name, word at, int wide)
{
    static const struct { word cr0, cr4, flags; } settings[] = {
        {0, 0, 0}, {WP, 0, 0}, {WP, SMEP, 0}, {WP, SMAP, 0}, {WP, SMAP, AC}
    };

    say("page ");
    say(name);
    for (unsigned i = 0; i <= COUNT(settings); i++) {
        for (unsigned access = 0; access < COUNT(accesses); access++) {
            if (i == COUNT(settings)) {
                with_paging(accesses[access], at, 3, 0, wide, 0, 0);
            } else {
                with_paging(accesses[access], at, 0, settings[i].flags, wide, settings[i].cr0, settings[i].cr4);
            }
            say(" ");
            if (event.frame.vector == PAGE_FAULT) {
                hex(event.frame.error);
                say(event.cr2 == at + (accesses[access] == call_it ? 0 : 16) ? "" : "!");
            } else if (event.frame.vector == DONE) {
                say("ok");
            } else {
                say("vector");
                hex(event.frame.vector);
            }
        }
        say(",");
    }
    say("\n");
}

static void flags_line(const char *kind, u64 flags, u64 rights, word at, int wide)
{
    char name[64], *out = name;

    for (; *kind; kind++) {
        *out++ = *kind;
    }
    *out++ = ' ';
    *out++ = flags & P ? 'P' : '-';
    *out++ = flags & W ? 'W' : '-';
    *out++ = flags & U ? 'U' : '-';
    *out++ = flags & NX ? 'X' : '-';
    *out++ = rights & W ? 'W' : '-';
    *out++ = rights & U ? 'U' : '-';
    *out++ = ':';
    *out = 0;
    page_line(name, at, wide);
}

static void pages(void)
{
    static const u64 above[] = {W | U, U, W};
    // Of 4 MiB pages bits 13 to 20 are the address above 4 GiB.
    static const struct { const char *name; u32 bit; int wide; } large[] = {
        {"4 MiB", 0, 0}, {"4 MiB bit 12", 1 << 12, 0}, {"4 MiB bit 21", 1 << 21, 0}, {"2 MiB", 0, 1},
        {"2 MiB bit 12", 1 << 12, 1}, {"2 MiB bit 13", 1 << 13, 1}, {"2 MiB bit 20", 1 << 20, 1}
    };

    page[0] = 0xcd;
    page[1] = DONE;
    for (unsigned i = 0; i < 4; i++) {
        pae_pointers[i] = (word)pae_directory[i] | P;
    }
    for (unsigned i = 0; i < COUNT(above); i++) {
        for (unsigned flags = 0; flags < 8; flags++) {
            directory[TESTED >> 22] = (word)table | P | (u32)above[i];
            table[0] = (word)page | flags;
            flags_line("32-bit", flags, above[i], TESTED, 0);
        }
        for (unsigned flags = 0; flags < 16; flags++) {
            u64 bits = (flags & 7) | (flags & 8 ? NX : 0);
            wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
            pae_directory[2][0] = (word)pae_table | P | above[i];
            pae_table[0] = (word)page | bits;
            flags_line("PAE", bits, above[i], TESTED, 1);
        }
    }
    for (unsigned i = 0; i < COUNT(large); i++) {
        word inside = large[i].wide ? 0x1fffff : 0x3fffff;
        u32 entry = ((word)page & ~inside) | LARGE | P | W | U | large[i].bit;

        directory[TESTED >> 22] = entry;
        pae_directory[2][0] = entry;
        flags_line(large[i].name, P | W | U, 0, TESTED | ((word)page & inside), large[i].wide);
    }
    pae_directory[2][0] = (word)pae_table | P | W | U;
    pae_table[0] = (word)page | P | W | U | 1ull << 52;
    flags_line("PAE bit 52", P | W | U, W | U, TESTED, 1);
    pae_pointers[2] = 0;
    flags_line("PAE without directory", P | W | U, W | U, TESTED, 1);
}

void run(void)
{
    restore();
    one_by_one();
    segments();
    tasks();
    delivery();
    pages();
    say("end\n");
    quit();
}
