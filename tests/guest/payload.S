# SPDX-License-Identifier: GPL-2.0-or-later
# Start and tools of the payloads of tests/functional/test_kvm_payloads.py, which is appended to this file.
# Runs in: neither program; a guest's firmware (-bios).
#
# Theory of operation: the image is 64 KiB of ROM, at 0xffff0000 and, for real mode, at 0xf0000; labels are offsets in
# segment 0xf000. `main` runs in real mode with DS = ES = SS = 0 and a stack below 0x7000. Text goes to port 0x402, the
# result to isa-debug-exit at port 0xf4. The tools change EAX, EDX and ESI.

.equ CONSOLE, 0x402
.equ EXIT, 0xf4
.equ SEGMENT, 0xf000
.equ BASE, SEGMENT << 4
.equ STACK, 0x7000

# Ends the program with status N * 2 + 1.
.macro quit n
    movb $\n, %al
    outb %al, $EXIT
7:  hlt
    jmp 7b
.endm

# The text, in real mode.
.macro text string
    call say
    .asciz "\string"
.endm

# A name, and %eax as eight digits.
.macro show name
    pushl %eax
    text "\name "
    popl %eax
    call hex
.endm

# The same in protected mode.
.macro text32 string
    call say32
    .asciz "\string"
.endm
.macro show32 name
    pushl %eax
    text32 "\name "
    popl %eax
    call hex32
.endm

# To 32 bits: code in the ROM below 1 MiB, data flat, the same stack.
.macro enter32
    lgdtl %cs:gdt_pointer
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmpl $8, $8f
    .code32
8:  movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movzwl %sp, %esp
.endm

# Register REG of the host bridge becomes VALUE.
.macro bridge reg, value
    movl $0x80000000 + (\reg & ~3), %eax
    movw $0xcf8, %dx
    outl %eax, %dx
    movb $\value, %al
    movw $0xcfc + (\reg & 3), %dx
    outb %al, %dx
.endm

# Dword REG of the PCI function in SLOT becomes VALUE.
.macro config slot, reg, value
    movl $0x80000000 + (\slot << 11) + \reg, %eax
    movw $0xcf8, %dx
    outl %eax, %dx
    movl $\value, %eax
    movw $0xcfc, %dx
    outl %eax, %dx
.endm

.code16
.globl _start
_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $STACK, %sp
    jmp main

say:
    popw %si
    movw $CONSOLE, %dx
1:  lodsb %cs:(%si), %al
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  jmp *%si

hex:
    pushw %cx
    movw $8, %cx
    movw $CONSOLE, %dx
    movl %eax, %esi
1:  roll $4, %esi
    movl %esi, %eax
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe 2f
    addb $'a' - '9' - 1, %al
2:  outb %al, %dx
    loop 1b
    movb $'\n', %al
    outb %al, %dx
    popw %cx
    ret

.code32
say32:
    popl %esi
    movw $CONSOLE, %dx
1:  lodsb %cs:(%esi), %al
    testb %al, %al
    jz 2f
    outb %al, %dx
    jmp 1b
2:  jmp *%esi

hex32:
    pushl %ecx
    movl $8, %ecx
    movw $CONSOLE, %dx
    movl %eax, %esi
1:  roll $4, %esi
    movl %esi, %eax
    andb $15, %al
    addb $'0', %al
    cmpb $'9', %al
    jbe 2f
    addb $'a' - '9' - 1, %al
2:  outb %al, %dx
    loop 1b
    movb $'\n', %al
    outb %al, %dx
    popl %ecx
    ret

# Accessed already, since a ROM cannot be marked.
.balign 8
gdt:
    .quad 0
    .quad 0x00cf9b0f0000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word . - gdt - 1
    .long BASE + gdt

.section .reset, "ax"
.code16
    ljmp $SEGMENT, $_start
.text
.code16
