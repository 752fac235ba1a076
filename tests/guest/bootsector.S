# SPDX-License-Identifier: GPL-2.0-or-later
# Boot sector that exercises SeaBIOS's own disk driver and reports on the serial port.
# Runs in: neither program; started by SeaBIOS in a guest of stock QEMU.
#
# Theory of operation: it prints a line, reads MESSAGE_SECTORS sectors from MESSAGE_LBA with INT 13h function 42h,
# prints the text at the start of the last one, writes those sectors to COPY_LBA with function 43h, and powers off.
# Everything is polled; no interrupt of the controller is needed.

.equ MESSAGE_LBA, 100
.equ COPY_LBA, 300
.equ MESSAGE_SECTORS, 32
.equ BUFFER_SEGMENT, 0x1000
.equ COM1, 0x3f8
.equ POWER_CONTROL, 0x604       # where SeaBIOS puts PM1a_CNT of the PIIX4
.equ SOFT_OFF, 0x2000

.include "sector.inc"

SECTOR_BEGIN

    movw $hello, %si
    call print

    movb $0x42, %ah
    call transfer
    jc failed
    movw $BUFFER_SEGMENT, %ax
    movw %ax, %ds
    movw $(MESSAGE_SECTORS - 1) * 512, %si
    call print
    xorw %ax, %ax
    movw %ax, %ds

    movl $COPY_LBA, packet_lba
    movw $0x4300, %ax
    call transfer
    jc failed
    movw $written, %si
    call print
    jmp off

failed:
    movw $failure, %si
    call print
off:
    movw $POWER_CONTROL, %dx
    movw $SOFT_OFF, %ax
    outw %ax, %dx
stop:
    hlt
    jmp stop

# INT 13h function %ah on the boot drive with the packet below; carry set on an error.
transfer:
    movb drive, %dl
    movw $packet, %si
    int $0x13
    ret

# Print the zero-terminated text at %ds:%si.
print:
    lodsb
    testb %al, %al
    jz printed
    movb %al, %bl
    movw $(COM1 + 5), %dx
busy:
    inb %dx, %al
    testb $0x20, %al
    jz busy
    movb %bl, %al
    movw $COM1, %dx
    outb %al, %dx
    jmp print
printed:
    ret

hello:
    .asciz "boot sector runs\r\n"
written:
    .asciz "sectors written\r\n"
failure:
    .asciz "INT 13h failed\r\n"

.balign 4
packet:
    .byte 16, 0
    .word MESSAGE_SECTORS
    .word 0, BUFFER_SEGMENT
packet_lba:
    .quad MESSAGE_LBA

SECTOR_END
