// SPDX-License-Identifier: GPL-2.0-or-later
// Tables, events and text of the payloads that try privileged behaviour.
// Runs in: neither program; a guest's kernel, compiled for 64 and for 32 bits.
#include "harness.h"

enum { CONSOLE = 0xe9, EXIT = 0xf4, INTERRUPT_GATE = 0x8e, USER_GATE = 0xee };

Event event;
u64 gdt[GDT_END / 8];
u8 kernel_stack[8192] __attribute__((aligned(16))), user_stack[8192] __attribute__((aligned(16)));
u8 task[256] __attribute__((aligned(128))), other_task[256] __attribute__((aligned(128)));
struct Stop stops[64];
int going_on, stop_count;
extern char vectors[], event_stack_end[];

static u64 idt[512] __attribute__((aligned(16)));
static u64 ldt[8];
static word cr0, cr3, cr4;
#ifdef __x86_64__
static u8 double_stack[4096] __attribute__((aligned(16)));
#endif

typedef struct __attribute__((packed)) Pointer {
    u16 limit;
    word base;
} Pointer;

void say(const char *text)
{
    for (; *text; text++) {
        outb(CONSOLE, (u8)*text);
    }
}

void hex(u64 value)
{
    char digits[17];
    int place = 16;

    digits[16] = 0;
    do {
        digits[--place] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value);
    say(digits + place);
}

void quit(void)
{
    outb(EXIT, 0x10);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

u64 descriptor(word base, u32 limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 |
        (u64)flags << 52 | (u64)(base >> 24 & 0xff) << 56;
}

void set_gate(unsigned vector, u64 offset, unsigned selector, unsigned attributes, unsigned ist)
{
    u64 low = (offset & 0xffff) | (u64)selector << 16 | (u64)ist << 32 | (u64)attributes << 40 |
        (offset >> 16 & 0xffff) << 48;

#ifdef __x86_64__
    idt[vector * 2] = low;
    idt[vector * 2 + 1] = offset >> 32;
#else
    idt[vector] = low;
#endif
}

static void set_tables(void)
{
    Pointer gdtr = {sizeof(gdt) - 1, (word)gdt}, idtr = {sizeof(word) * 2 * 256 - 1, (word)idt};

    gdt[1] = descriptor(0, 0xfffff, 0x9b, sizeof(word) == 8 ? 0xa : 0xc);
    gdt[2] = descriptor(0, 0xfffff, 0x93, 0xc);
    gdt[3] = descriptor(0, 0xfffff, 0xfb, 0xc);
    gdt[4] = descriptor(0, 0xfffff, 0xf3, 0xc);
    gdt[5] = descriptor(0, 0xfffff, 0xfb, sizeof(word) == 8 ? 0xa : 0xc);
    gdt[6] = descriptor((word)task, 0x67, 0x89, 0);
    gdt[7] = 0;
    gdt[8] = descriptor((word)ldt, sizeof(ldt) - 1, 0x82, 0);
    gdt[9] = 0;
    gdt[10] = descriptor(0, 0xfffff, 0x9b, 0xc);
    gdt[11] = descriptor(0, 0xffff, 0x9b, 0);
    gdt[12] = descriptor((word)other_task, 0x67, 0x89, 0);
    gdt[13] = 0;
    ldt[1] = descriptor(0, 0xfffff, 0xf3, 0xc);
    for (unsigned vector = 0; vector < 256; vector++) {
        set_gate(vector, (word)vectors + vector * 16, KERNEL_CODE, vector == DONE ? USER_GATE : INTERRUPT_GATE,
                 sizeof(word) == 8 && vector == DOUBLE);
    }
#ifdef __x86_64__
    *(u64 *)(task + 4) = (u64)event_stack_end;          // RSP0
    *(u64 *)(task + 36) = (u64)(double_stack + sizeof(double_stack));      // IST1
#else
    *(u32 *)(task + 4) = (u32)event_stack_end;          // ESP0, SS0
    *(u32 *)(task + 8) = KERNEL_DATA;
#endif
    *(u32 *)(task + 100) = 0x68u << 16;                 // no map of ports
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdtr), "m"(idtr));
    __asm__ volatile("ltr %w0" : : "r"(TASK));
    __asm__ volatile("lldt %w0" : : "r"(0));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%ss" : : "r"(KERNEL_DATA));
    __asm__ volatile("mov %0, %%fs; mov %0, %%gs" : : "r"(0));
}

void restore(void)
{
    u32 mxcsr = 0x1f80;

    if (!cr0) {
        outb(0x21, 0xff);               // no interrupts from outside in trials of STI and POPF
        outb(0xa1, 0xff);
        cr0 = READ_CR(0);
        cr3 = READ_CR(3);
        cr4 = READ_CR(4);
    }
    WRITE_CR(0, cr0);
    WRITE_CR(4, cr4);
    WRITE_CR(3, cr3);
    set_tables();
    WRITE_DR(7, 0x400);
    WRITE_DR(6, 0xffff0ff0ul);
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
#ifdef __x86_64__
    wrmsr(0xc0000080, (rdmsr(0xc0000080) & ~0x100ul) | 0x901);
#endif
}

int tells(Frame *frame)
{
    if (going_on && frame->vector == DEBUG && stop_count < (int)COUNT(stops)) {
        stops[stop_count].ip = frame->ip;
        stops[stop_count++].dr6 = READ_DR(6);
        if (!(stops[stop_count - 1].dr6 & 0x4000)) {
            frame->flags |= 1u << 16;   // RF, after what may be an instruction's breakpoint and not a step
        }
        WRITE_DR(6, 0xffff0ff0ul);
        return 1;
    }
    event.frame = *frame;
    event.frame.cs &= 0xffff;
    event.frame.ss &= 0xffff;
    event.cr2 = READ_CR(2);
    event.dr6 = READ_DR(6);
    event.task_type = gdt[OTHER_TASK / 8] >> 40 & 0xff;
    return 0;
}

void try(const void *code, word argument, int cpl, word flags)
{
    stop_count = 0;
    if (cpl) {
        enter((const char *)code + USER_BASE, argument, USER_CODE, USER_DATA,
              (word)user_stack + sizeof(user_stack) - 64 + USER_BASE, flags | 2);
    } else {
        enter(code, argument, KERNEL_CODE, KERNEL_DATA, (word)kernel_stack + sizeof(kernel_stack) - 64, flags | 2);
    }
    restore();
}

static void number(const char *name, u64 value)
{
    say(name);
    hex(value);
}

void tell(const char *name, const void *code, int cpl)
{
    const Frame *frame = &event.frame;
    word place = frame->ip - (word)code - (frame->cs & 3 ? USER_BASE : 0);

    say(name);
    say(cpl ? " user:" : " kernel:");
    for (int stop = 0; stop < stop_count; stop++) {
        number(" +", stops[stop].ip - (word)code - (cpl ? USER_BASE : 0));
        number("/", stops[stop].dr6);
    }
    number(" vector ", frame->vector);
    number(" error ", frame->error);
    if (place < 4096) {
        number(" place ", place);
    } else {
        number(" ip ", frame->ip);
    }
    number(" cs ", frame->cs);
    // Arithmetic flags are left undefined by some instructions that are tried.
    number(" flags ", frame->flags & ~0x108d5ul);
    say(frame->flags & 1u << 16 ? " RF" : "");
    number(" inside ", frame->inside & ~0x8d5ul);
    number(" a ", frame->ax);
    number(" d ", frame->dx);
    if (sizeof(word) == 8) {
        number(" ss ", frame->ss);
    }
    if (frame->vector == PAGE_FAULT) {
        number(" cr2 ", event.cr2);
    }
    if (frame->vector == DEBUG) {
        number(" dr6 ", event.dr6);
    }
    say("\n");
}

void tell_segment(const char *name, u64 low, unsigned selector, int cpl)
{
    say("segment ");
    say(name);
    hex(low >> 40 & 0xff);
    number(" flags ", low >> 52 & 15);
    number(" rpl ", selector & 3);
    say(cpl ? " user:" : " kernel:");
}

void tell_result(const char *name)
{
    say(name);
    if (event.frame.vector == DONE) {
        number("=", event.frame.ax & 0xffffffff);
    } else {
        number("=v", event.frame.vector);
        number("/", event.frame.error);
    }
}

void tell_changed(u64 low)
{
    if ((gdt[TRIED / 8] ^ low) >> 40 & 0xff) {
        number("/now", gdt[TRIED / 8] >> 40 & 0xff);
    }
}
