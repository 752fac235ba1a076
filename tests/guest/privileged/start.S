# SPDX-License-Identifier: GPL-2.0-or-later
# Start of the payloads of tests/functional/test_privileged.py, and the way into and out of what they try.
# Runs in: neither program; a guest's kernel (PVH), under mpqemu and under stock QEMU.
#
# Theory of operation: a trial is a piece of code that ends in an exception, an interrupt or INT 0x80. enter() goes to
# by IRET; the first event that tells() does not take for one to go on from is copied, and enter() returns.

#ifdef __x86_64__
#define WORD 8
#define A %rax
#define SP_ %rsp
#else
#define WORD 4
#define A %eax
#define SP_ %esp
#endif

    .section .note.pvh, "a"
    .balign 4
    .long 4, 4, 18                      # XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start32

    .bss
    .balign 4096
    .globl tables
tables: .skip 4 * 4096                  # PML4, PDPT, PD of the first GiB, PD of the alias and of the last GiB
stack:  .skip 16384
stack_end:
    .globl event_stack_end, resume_sp
event_stack: .skip 16384
event_stack_end:
resume_sp: .skip WORD

    .text
    .code32
    .globl start32
start32:
    cli
    movl $stack_end, %esp
#ifdef __x86_64__
    # The first GiB for the kernel; the first 16 MiB again for users, at 1 GiB; the last 2 MiB pages for the local APIC.
    movl $tables + 0x1003, tables
    orl $4, tables
    movl $tables + 0x2003, tables + 0x1000
    movl $tables + 0x3007, tables + 0x1008
    movl $tables + 0x3003, tables + 0x1018
    xorl %ecx, %ecx
    movl $0x83, %eax
1:  movl %eax, tables + 0x2000(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $512, %ecx
    jne 1b
    xorl %ecx, %ecx
    movl $0x87, %eax
2:  movl %eax, tables + 0x3000(, %ecx, 8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $8, %ecx
    jne 2b
    movl $0xfee00083, tables + 0x3000 + 0x1f7 * 8
    movl %cr4, %eax
    orl $0x620, %eax                    # PAE, SSE
    movl %eax, %cr4
    movl $tables, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x901, %eax                    # LME, NXE, SCE
    wrmsr
    movl $0x80010033, %eax              # PG, WP, NE, ET, MP, PE
    movl %eax, %cr0
    lgdt first_gdt_pointer
    ljmp $8, $start64
    .balign 8
first_gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
first_gdt_pointer:
    .word . - first_gdt - 1
    .long first_gdt
    .code64
start64:
    movl $stack_end, %esp
#else
    movl %cr4, %eax
    orl $0x600, %eax
    movl %eax, %cr4
    movl $0x33, %eax
    movl %eax, %cr0
#endif
    call run
1:  hlt
    jmp 1b

# Vectors 0 to 255, 16 bytes each: error code or 0, vector.
    .balign 16
    .globl vectors
vectors:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
    push $0
    .endif
    push $vector
    jmp common
    .set vector, vector + 1
    .endr

#ifdef __x86_64__
common:
    push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi
    push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15
    pushfq
    movq %rsp, %rdi
    movl %ds, %eax
    push %rax
    movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    cld
    andq $~15, %rsp
    movq %rdi, %rbx
    call tells
    testl %eax, %eax
    jz 1f
    movq %rbx, %rsp
    addq $8, %rsp
    pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8
    pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax
    addq $16, %rsp
    iretq
1:  movq resume_sp, %rsp
    movl $0x10, %eax
    movl %eax, %ss
    pushq $2
    popfq
    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
    ret

# enter(code, argument, cs, ss, sp, flags)
    .globl enter
enter:
    push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
    movq %rsp, resume_sp
    push %rcx
    push %r8
    push %r9
    push %rdx
    push %rdi
    movq %rsi, %rdi
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %ebp, %ebp
    xorl %esi, %esi
    iretq
#else
common:
    pushal
    pushfl
    movl %esp, %ebx
    movl %ss, %eax
    larl %eax, %eax
    testl $0x400000, %eax
    jnz 1f
    movzwl %bx, %ebx                    # a stack of 16 bits
1:  movl $0x10, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %ebx, %esp
    cld
    pushl %ebx
    call tells
    addl $4, %esp
    testl %eax, %eax
    jz 1f
    popfl
    popal
    addl $8, %esp
    iretl
1:  movl $0x10, %eax
    movl %eax, %ss
    movl resume_sp, %esp
    pushl $2
    popfl
    popl %edi; popl %esi; popl %ebx; popl %ebp
    ret

# enter(code, argument, cs, ss, sp, flags)
    .globl enter
enter:
    pushl %ebp; pushl %ebx; pushl %esi; pushl %edi
    movl %esp, resume_sp
    movl %esp, %ebp
    movl 32(%ebp), %eax
    testl $3, 28(%ebp)
    jz 1f
    pushl 32(%ebp)                      # SS
    pushl 36(%ebp)                      # ESP
    jmp 2f
1:  movl 36(%ebp), %esp                 # the same stack segment: the frame is on the trial's stack
2:  pushl 40(%ebp)
    pushl 28(%ebp)
    pushl 20(%ebp)
    movl 24(%ebp), %edi
    testl $3, 28(%ebp)
    jz 3f
    movl $0x23, %eax
    movl %eax, %ds
    movl %eax, %es
3:  xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %ebp, %ebp
    iretl
#endif
    .section .note.GNU-stack, "", @progbits
