/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trials of privileged behaviour: try() runs a piece of code at CPL 0 or 3 and tells what event ended it.
 *
 * Runs in: neither program; a guest's kernel, compiled for 64 and for 32 bits.
 */
#ifndef TESTS_GUEST_PRIVILEGED_HARNESS_H
#define TESTS_GUEST_PRIVILEGED_HARNESS_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOINLINE __attribute__((noinline))

/* Selectors of the GDT; those of TRIED and behind it are for trials. */
enum {
    KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_CODE32 = 0x1b, USER_DATA = 0x23, USER_CODE = 0x2b, TASK = 0x30,
    LDT = 0x40, KERNEL_CODE32 = 0x50, KERNEL_CODE16 = 0x58, OTHER_TASK = 0x60, TRIED = 0x80, FAULT_TASKS = 0xa0,
    GDT_END = 0xc0
};
enum { DONE = 0x80, DEBUG = 1, NMI = 2, DOUBLE = 8, PAGE_FAULT = 14 };
/* Where users see what the kernel sees at 0; trials at CPL 3 run there. 32 bits: the same addresses, no paging. */
#ifdef __x86_64__
#define USER_BASE 0x40000000ul
#else
#define USER_BASE 0ul
#endif

/* What is on the stack in tells(). */
typedef struct Frame {
    word inside;                        /* flags at the handler's first instruction */
#ifdef __x86_64__
    word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
#else
    word di, si, bp, sp_of_pusha, bx, dx, cx, ax;
#endif
    word vector, error, ip, cs, flags, sp, ss;      /* 32 bits: sp and ss only when CPL has changed */
} Frame;

typedef struct Event {
    Frame frame;
    word cr2, dr6;
    u8 task_type;                       /* of the descriptor OTHER_TASK */
} Event;

extern Event event;
extern u64 gdt[GDT_END / 8];
extern u8 kernel_stack[8192], user_stack[8192];
/* When not 0: #DB is noted in stops[] and the trial goes on. */
extern int going_on, stop_count;
extern struct Stop { word ip, dr6; } stops[64];
extern u8 task[256], other_task[256];

void enter(const void *code, word argument, word cs, word ss, word sp, word flags);
int tells(Frame *frame);

void say(const char *text);
void hex(u64 value);
void restore(void);                     /* tables, control registers, x87 and so on, as before all trials */
void set_gate(unsigned vector, u64 offset, unsigned selector, unsigned attributes, unsigned ist);
u64 descriptor(word base, u32 limit, unsigned access, unsigned flags);

/* Runs CODE with DI = ARGUMENT at CPL; what happened is in event. The machine is as before afterwards. */
void try(const void *code, word argument, int cpl, word flags);
/* Prints the event, its place relative to CODE. */
void tell(const char *name, const void *code, int cpl);
/* Begins a line on a descriptor LOW and the SELECTOR it is tried by. */
void tell_segment(const char *name, u64 low, unsigned selector, int cpl);
/* Goes on with one trial: what it left in EAX, or its exception; and how the processor has changed LOW in TRIED. */
void tell_result(const char *name);
void tell_changed(u64 low);
void quit(void) __attribute__((noreturn));

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline u64 rdmsr(u32 number)
{
    u32 low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (u64)high << 32 | low;
}

static inline void wrmsr(u32 number, u64 value)
{
    __asm__ volatile("wrmsr" : : "a"((u32)value), "d"((u32)(value >> 32)), "c"(number) : "memory");
}

#define READ_CR(n) ({ word value_; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(value_)); value_; })
#define WRITE_CR(n, value) __asm__ volatile("mov %0, %%cr" #n : : "r"((word)(value)) : "memory")
#define READ_DR(n) ({ word value_; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(value_)); value_; })
#define WRITE_DR(n, value) __asm__ volatile("mov %0, %%dr" #n : : "r"((word)(value)) : "memory")

/* A trial's code: a label, the instructions, INT 0x80. */
#define CODE(name, text) \
    __asm__(".pushsection .text; " #name ": " text "; int $0x80; .popsection"); \
    extern const char name[];
#define ROW(name, text) {#name, name},
typedef struct Trial {
    const char *name, *code;
} Trial;

#endif
