// SPDX-License-Identifier: GPL-2.0-or-later
// What a user program can do wrong, and single steps: what signal handlers are told is printed.
// Runs in: neither program; compiled and run in a guest and on the host by tests/functional/test_user_space.py.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE = 4096, STEPS = 200 };

// Each is a function that is called with RDI = address (see where()). INT1 is left out: a host that is itself a guest
// of KVM tells its place wrong.
#define FAULTS(X) \
    X(divide_by_zero, NOWHERE, "movl $5, %eax; xorl %edx, %edx; xorl %ecx, %ecx; divl %ecx") \
    X(quotient_too_large, NOWHERE, "movl $5, %edx; movl $5, %ecx; divl %ecx") \
    X(quotient_negative, NOWHERE, "movl $0x80, %eax; cwtl; movb $-1, %cl; movw $0x8000, %ax; idivb %cl") \
    X(breakpoint, NOWHERE, "nop; int3") \
    X(breakpoint_by_number, NOWHERE, "nop; int $3") \
    X(int_of_system, NOWHERE, "int $0x81") \
    X(int_of_exception, NOWHERE, "int $13") \
    X(undefined, NOWHERE, "nop; ud2") \
    X(undefined_by_lock, NOWHERE, ".byte 0xf0, 0x90") \
    X(undefined_in_64_bits, NOWHERE, ".byte 0x27") \
    X(halt, NOWHERE, "hlt") \
    X(disable, NOWHERE, "nop; cli") \
    X(port, NOWHERE, "inb $0x80, %al") \
    X(read_cr0, NOWHERE, "movq %cr0, %rax") \
    X(read_dr7, NOWHERE, "movq %dr7, %rax") \
    X(read_msr, NOWHERE, "movl $0x10, %ecx; rdmsr") \
    X(invalidate, NOWHERE, "invlpg (%rdi)") \
    X(load_null_stack, NOWHERE, "xorl %eax, %eax; movw %ax, %ss") \
    X(load_absent_segment, NOWHERE, "movl $0xfff0, %eax; movw %ax, %ds") \
    X(load_kernel_segment, NOWHERE, "movl $0x10, %eax; movw %ax, %ss") \
    X(far_to_null, NOWHERE, "pushq $0; pushq $0; lretq") \
    X(far_to_data, NOWHERE, "pushq $0x2b; leaq 1f(%rip), %rax; pushq %rax; lretq; 1: nop") \
    X(return_by_iret, NOWHERE, "pushq $0x2b; pushq %rsp; pushfq; pushq $0x18; pushq $0; iretq") \
    X(aligned_move, WRITTEN, "movaps 8(%rdi), %xmm0") \
    X(aligned_exchange, WRITTEN, "lock cmpxchg16b 8(%rdi)") \
    X(alignment_check, WRITTEN, "pushfq; orl $0x40000, (%rsp); popfq; movl 2(%rdi), %eax") \
    X(no_alignment_check, WRITTEN, "pushfq; orl $0x40000, (%rsp); popfq; movb 3(%rdi), %al; movl 4(%rdi), %eax; " \
      "pushfq; andl $~0x40000, (%rsp); popfq") \
    X(read_nothing, NONE, "nop; movl 4(%rdi), %eax") \
    X(write_nothing, NONE, "movl %eax, 5(%rdi)") \
    X(write_read_only, READ_ONLY, "movb %al, 9(%rdi)") \
    X(read_write_read_only, READ_ONLY, "lock incl 12(%rdi)") \
    X(write_across, READ_ONLY, "movl %eax, -2(%rdi)") \
    X(write_across_end, NONE, "movq %rax, -2(%rdi)") \
    X(repeated_across_end, NONE, "subq $0x100, %rdi; movl $1000, %ecx; rep stosb") \
    X(push_to_nothing, NONE, "movq %rsp, %rbx; leaq 32(%rdi), %rsp; push %rax; movq %rbx, %rsp") \
    X(call_nothing, NONE, "jmp *%rdi") \
    X(call_data, WRITTEN, "jmp *%rdi") \
    X(across_into_nothing, BEFORE_NONE, "movb $0x90, (%rdi); movb $0xb8, 1(%rdi); jmp *%rdi") \
    X(not_canonical, NOWHERE, "movabsq $0x800000000000, %rax; movl (%rax), %ecx") \
    X(not_canonical_stack, NOWHERE, "movq %rsp, %rbx; movabsq $0x800000000004, %rsp; popq %rax; movq %rbx, %rsp") \
    X(jump_not_canonical, NOWHERE, "movabsq $0x800000000000, %rax; jmp *%rax") \
    X(kernel_address, KERNEL, "movl (%rdi), %eax") \
    X(kernel_code, KERNEL, "jmp *%rdi") \
    X(x87_divide, NOWHERE, "pushq $0x37b; fldcw (%rsp); popq %rax; fld1; fldz; fdivrp; nop; fwait") \
    X(x87_stack, NOWHERE, "pushq $0x37e; fldcw (%rsp); popq %rax; fstp %st(0); nop; fld1") \
    X(x87_waits_not, NOWHERE, "pushq $0x37b; fldcw (%rsp); popq %rax; fld1; fldz; fdivrp; fnstsw %ax; fnclex; fld1") \
    X(sse_divide, NOWHERE, "pushq $0x1d80; ldmxcsr (%rsp); popq %rax; movl $1, %eax; cvtsi2sdl %eax, %xmm0; " \
      "xorps %xmm1, %xmm1; divsd %xmm1, %xmm0") \
    X(sse_inexact, NOWHERE, "pushq $0xf80; ldmxcsr (%rsp); popq %rax; movl $3, %eax; cvtsi2ssl %eax, %xmm0; " \
      "sqrtps %xmm0, %xmm0") \
    X(sse_control, NOWHERE, "pushq $0x10000; ldmxcsr (%rsp); popq %rax") \
    X(extended_control, NOWHERE, "xorl %ecx, %ecx; xgetbv; xsetbv") \
    X(store_machine_word, NOWHERE, "smsw %ax; andl $1, %eax")

// Single-stepped from the first instruction to the last: the places at which the trap is taken.
#define STEPPED(X) \
    X(steps_plain, NOWHERE, "nop; movl $3, %eax; addl $5, %eax; nop") \
    X(steps_of_loop, NOWHERE, "movl $5, %ecx; 1: decl %ecx; jnz 1b; nop") \
    X(steps_of_repetition, WRITTEN, "movl $5, %ecx; rep stosb; nop; xorl %ecx, %ecx; rep stosl; nop") \
    X(steps_of_scan, WRITTEN, "movl $9, %ecx; movb $1, (%rdi); movb $2, 1(%rdi); movb $1, %al; repe scasb; nop") \
    X(steps_of_call, NOWHERE, "call 1f; jmp 2f; 1: nop; ret; 2: nop") \
    X(steps_of_flags, NOWHERE, "pushfq; popq %rax; pushq %rax; popfq; nop") \
    X(steps_of_segment, NOWHERE, "movl %ds, %eax; movl %eax, %ds; nop; movl %ss, %eax; movl %eax, %ss; nop; nop") \
    X(steps_of_system_call, NOWHERE, "movl $39, %eax; syscall; nop") \
    X(steps_of_float, WRITTEN, "fld1; fadd %st(0); fistpl (%rdi); cvtsi2sdl (%rdi), %xmm0; sqrtsd %xmm0, %xmm0") \
    X(steps_of_lock, WRITTEN, "lock incl (%rdi); xchgl %eax, (%rdi); cmpxchg %eax, (%rdi); cpuid; nop") \
    X(steps_of_condition, NOWHERE, "xorl %eax, %eax; testl %eax, %eax; jnz 1f; cmpl $1, %eax; jb 1f; nop; 1: nop")

enum { NOWHERE, NONE, BEFORE_NONE, READ_ONLY, WRITTEN, KERNEL };

#define CODE(name, at, code) __asm__(".text\n" #name ": " code "; ret"); extern const char name[];
#define TRACED(name, at, code) \
    __asm__(".text\n" #name ": pushfq; orl $0x100, (%rsp); popfq; " code \
            "; pushfq; andl $~0x100, (%rsp); popfq; ret"); \
    extern const char name[];
FAULTS(CODE)
STEPPED(TRACED)

typedef struct Case {
    const char *name, *code;
    int at;
} Case;

#define ROW(name, at, code) {#name, name, at},
static const Case faults[] = { FAULTS(ROW) };
static const Case stepped[] = { STEPPED(ROW) };

static sigjmp_buf back;
static struct { int signal, code, trap, error; long place, address; } told;
static long steps[STEPS];
static int step_count;
static const char *start;
static char *pages;

// None, then what is read only, none, and what is read and written.
static char *where(int at)
{
    switch (at) {
    case NONE: return pages + 2 * PAGE;
    case BEFORE_NONE: return pages + 2 * PAGE - 2;
    case READ_ONLY: return pages + 4 * PAGE;
    case WRITTEN: return pages + PAGE;
    case KERNEL: return (char *)0xffffffff81000000;
    default: return NULL;
    }
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    __asm__ volatile("pushfq; andl $~0x40000, (%%rsp); popfq" : : : "memory", "cc");
    told.signal = signal;
    told.code = info->si_code;
    told.trap = (int)registers[REG_TRAPNO];
    told.error = (int)registers[REG_ERR];
    told.place = registers[REG_RIP];
    told.address = registers[REG_CR2];
    siglongjmp(back, 1);
}

static void on_step(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    if (step_count < STEPS) {
        steps[step_count++] = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] - (long)start;
    }
}

static void call(const Case *one)
{
    __asm__ volatile("call *%0" : : "r"(one->code), "D"(where(one->at))
                     : "rax", "rbx", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "memory", "cc");
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *))
{
    static char stack[64 << 10];
    stack_t elsewhere = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaltstack(&elsewhere, NULL);
    sigaction(signal, &action, NULL);
}

int main(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    unsigned short control = 0x37f;
    unsigned int sse_control = 0x1f80;

    pages = mmap(NULL, 6 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
    mprotect(pages + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE);
    mprotect(pages + 4 * PAGE, PAGE, PROT_READ);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        handle(signals[i], on_signal);
    }
    for (volatile size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const Case *const one = &faults[i];
        memset(&told, 0, sizeof(told));
        // Code is put into the written page before it is made executable where it runs into the next one.
        mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE | (one->at == BEFORE_NONE ? PROT_EXEC : 0));
        if (sigsetjmp(back, 1) == 0) {
            call(one);
        }
        __asm__ volatile("fninit; fldcw %0; ldmxcsr %1; cld" : : "m"(control), "m"(sse_control));
        printf("%s: signal %d code %d trap %d error %x", one->name, told.signal, told.code, told.trap, told.error);
        long place = told.place - (long)one->code;
        if (place >= 0 && place < 200) {
            printf(" place %ld", place);
        }
        if (told.trap == 14 && one->at != NOWHERE) {
            printf(" address %+ld", told.address - (long)where(one->at));
        }
        printf("\n");
    }
    handle(SIGTRAP, on_step);
    for (size_t i = 0; i < sizeof(stepped) / sizeof(stepped[0]); i++) {
        step_count = 0;
        start = stepped[i].code;
        call(&stepped[i]);
        printf("%s:", stepped[i].name);
        for (int step = 0; step < step_count; step++) {
            printf(" %ld", steps[step]);
        }
        printf("\n");
    }
    return 0;
}
