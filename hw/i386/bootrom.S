/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot ROM (hw/i386/bootrom.h).
 *
 * Runs in: the guest, on the bootstrap processor, from reset on; here it is read-only data.
 *
 * Theory of operation.  The ROM's place is fixed, but not that of this section, so each address is a difference of
 * labels plus BOOT_ROM_BASE.  The reset vector is reached in real mode with a CS base of 0xffff0000, where the page is
 * 0xf000 to 0xffff of the segment.  The GDT's descriptors are marked as accessed: a processor that wants to do that
 * would write here.
 */
#include "hw/i386/bootrom.h"

#define ADDRESS(label) (label - boot_rom + BOOT_ROM_BASE)
#define IN_SEGMENT(label) (label - boot_rom + 0xf000)
#define PARAM(offset) (BOOT_ROM_BASE + BOOT_ROM_PARAMS + (offset))

#define CR0_PE 0x00000001
#define CR0_ET 0x00000010
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

    .section .rodata
    .balign 16
    .globl boot_rom
    .type boot_rom, @object
    .size boot_rom, BOOT_ROM_SIZE
boot_rom:
start: /* not global: no relocation */
    .code16
    cli
    cld
    lgdtl %cs:IN_SEGMENT(gdt_pointer)
    /* Caches on, too: reset leaves them off. */
    movl $(CR0_PE | CR0_ET), %eax
    movl %eax, %cr0
    ljmpl $BOOT_ROM_CODE32, $ADDRESS(protected)

    .code32
protected:
    movl $BOOT_ROM_DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl PARAM(BOOT_ROM_MODE), %eax
    cmpl $BOOT_ROM_LINUX64, %eax
    je linux64
    cmpl $BOOT_ROM_PVH, %eax
    je pvh
halt:
    hlt
    jmp halt

pvh:
    movl PARAM(BOOT_ROM_ARGUMENT), %ebx
    movl PARAM(BOOT_ROM_ENTRY), %eax
    jmp *%eax

linux64:
    movl PARAM(BOOT_ROM_PAGE_TABLE), %eax
    movl %eax, %cr3
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmpl $BOOT_ROM_CODE64, $ADDRESS(long_mode)

    .code64
long_mode:
    /* A 32-bit move clears the upper half; as a displacement the address would be sign-extended. */
    movl $PARAM(0), %eax
    movq BOOT_ROM_ARGUMENT(%rax), %rsi
    movq BOOT_ROM_ENTRY(%rax), %rax
    jmp *%rax

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* BOOT_ROM_CODE32: base 0, 4 GiB, execute/read */
    .quad 0x00af9b000000ffff /* BOOT_ROM_CODE64 */
    .quad 0x00cf93000000ffff /* BOOT_ROM_DATA: read/write */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long ADDRESS(gdt)

    .org BOOT_ROM_VECTOR
    .code16
    jmp start
    .org BOOT_ROM_SIZE

    .section .note.GNU-stack, "", @progbits
