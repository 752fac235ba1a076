# SPDX-License-Identifier: GPL-2.0-or-later
# Boot sector that starts Linux from raw sectors, so that firmware boots a kernel without a boot loader of anybody's.
# Runs in: neither program; started by SeaBIOS in a guest.
#
# The test (test_pc_guest.py) fills in PARTS: what lies where on the disk, and where it goes in memory. The kernel's
# real-mode part goes to 0x90000, its header has been completed, and is entered as the boot protocol says (Linux,
# Documentation/arch/x86/boot.rst). All is read by INT 13h function 42h and copied up by INT 15h function 87h.

.equ CHUNK, 64                  # sectors
.equ BUFFER, 0x10000
.equ KERNEL_SEGMENT, 0x9000
.equ HEAP_END, 0x8000           # in that segment: the stack's top

.include "sector.inc"

SECTOR_BEGIN
    movw $parts, %di            # LBA, sectors, address; sectors 0: the end

next_part:
    cmpl $0, 4(%di)
    je enter
next_chunk:
    movl 4(%di), %ebp
    cmpl $CHUNK, %ebp
    jbe 1f
    movl $CHUNK, %ebp
1:
    movw %bp, packet_count
    movl (%di), %eax
    movl %eax, packet_lba
    movb $0x42, %ah
    movb drive, %dl
    movw $packet, %si
    int $0x13
    jc failed
    movl 8(%di), %eax
    movw %ax, to_base
    shrl $16, %eax
    movb %al, to_base + 2
    movb %ah, to_base + 5
    movb $0x87, %ah
    movw %bp, %cx
    shlw $8, %cx                # in words
    movw $descriptors, %si
    int $0x15
    jc failed
    addl %ebp, (%di)
    movl %ebp, %eax
    shll $9, %eax
    addl %eax, 8(%di)
    subl %ebp, 4(%di)
    jnz next_chunk
    addw $12, %di
    jmp next_part

enter:
    cli
    movw $KERNEL_SEGMENT, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movw $HEAP_END, %sp
    ljmp $KERNEL_SEGMENT + 0x20, $0

failed:
    movw $0x3f8, %dx
    movb $'!', %al
    outb %al, %dx
stop:
    hlt
    jmp stop

.balign 4
packet:
    .byte 16, 0
packet_count:
    .word 0
    .word 0, BUFFER >> 4
packet_lba:
    .quad 0

.balign 8
descriptors:
    .quad 0, 0
    .word CHUNK * 512 - 1, BUFFER & 0xffff
    .byte BUFFER >> 16, 0x93, 0, 0
    .word CHUNK * 512 - 1
to_base:
    .word 0
    .byte 0, 0x93, 0, 0
    .quad 0, 0

.org 0x1a0
parts:
SECTOR_END
