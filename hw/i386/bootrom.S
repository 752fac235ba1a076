/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot ROM (hw/i386/bootrom.h).
 *
 * Runs in: the guest, from reset on; here it is read-only data.
 *
 * Theory of operation.  The ROM's place is fixed, but not that of this section, so each address is a difference of
 * labels plus BOOT_ROM_BASE.  The reset vector is reached in real mode with a CS base of 0xffff0000, where the page is
 * 0xf000 to 0xffff of the segment.  The GDT's descriptors are marked as accessed: a processor that wants to do that
 * would write here.
 *
 * Memory types.  Operating systems expect that firmware has set the MTRRs, the same ones on all processors: all memory
 * is write-back, but where VGA's would be, and the PCI hole from 3 GiB to 4 GiB.  The others are woken for that by a
 * start-up message, and begin in the ROM's copy below 1 MiB.  They find themselves in real mode there as well, and take
 * a segment in which offsets are what they are at the reset vector.
 *
 * Source: Intel SDM volume 3, sections 8.4 and 11.11.
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

#define MSR_MTRR_PHYS_BASE0 0x200
#define MSR_MTRR_PHYS_MASK0 0x201
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MTRR_DEF_TYPE 0xc06    /* enabled, the fixed ones, too; write-back */
#define MTRR_VALID 0x800
#define PCI_HOLE 0xc0000000    /* to 4 GiB; uncacheable is type 0 */
#define CPUID_MTRR (1 << 12)   /* leaf 1, EDX */

#define APIC_ICR 0xfee00300
#define ICR_OTHERS_INIT 0x000c4500
#define ICR_OTHERS_STARTUP (0x000c4600 | BOOT_ROM_COPY >> 12)

    .section .rodata
    .balign 16
    .globl boot_rom
    .type boot_rom, @object
    .size boot_rom, BOOT_ROM_SIZE
boot_rom:
    .code16
    cli
    ljmp $(BOOT_ROM_COPY - 0xf000) >> 4, $IN_SEGMENT(other)
other:
    movw $IN_SEGMENT(sleep), %sp
    jmp set_memory_types
sleep:
    hlt
    jmp sleep

/* Goes on at SP: there is no stack. */
set_memory_types:
    movl $1, %eax
    cpuid
    testl $CPUID_MTRR, %edx
    jz 3f
    movw $IN_SEGMENT(fixed_mtrrs), %si
1:
    movl %cs:(%si), %ecx
    jecxz 2f
    movl %cs:4(%si), %eax
    movl %eax, %edx
    wrmsr
    addw $8, %si
    jmp 1b
2:
    /* The mask has as many bits as a physical address. */
    movl $0x80000008, %eax
    cpuid
    movb %al, %cl
    subb $32, %cl
    movl $1, %edx
    shll %cl, %edx
    decl %edx
    movl $MSR_MTRR_PHYS_MASK0, %ecx
    movl $(PCI_HOLE | MTRR_VALID), %eax
    wrmsr
    movl $MSR_MTRR_PHYS_BASE0, %ecx
    movl $PCI_HOLE, %eax
    xorl %edx, %edx
    wrmsr
    movl $MSR_MTRR_DEF_TYPE, %ecx
    movl $MTRR_DEF_TYPE, %eax
    wrmsr
3:
    jmp *%sp

/* MSR, and the half of its value, eight ranges' types in all. */
fixed_mtrrs:
    .long 0x250, 0x06060606
    .long 0x258, 0x06060606
    .long 0x259, 0 /* 0xa0000 to 0xbffff */
    .long 0x268, 0x06060606
    .long 0x269, 0x06060606
    .long 0x26a, 0x06060606
    .long 0x26b, 0x06060606
    .long 0x26c, 0x06060606
    .long 0x26d, 0x06060606
    .long 0x26e, 0x06060606
    .long 0x26f, 0x06060606
    .long 0

start: /* not global: no relocation */
    cli
    cld
    movw $IN_SEGMENT(types_set), %sp
    jmp set_memory_types
types_set:
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
    cmpl $BOOT_ROM_HALT, %eax
    je halt
    /* Nobody waits for the others: where they run, nobody writes. */
    movl $ICR_OTHERS_INIT, APIC_ICR
    movl $ICR_OTHERS_STARTUP, APIC_ICR
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
