# SPDX-License-Identifier: GPL-2.0-or-later
# Virtual-8086 mode and tasks of the built-in processor beside those of stock QEMU's TCG: the same firmware in both.
# Runs in: neither program; drives mpqemu and stock QEMU from outside.
"""What x86-64 systems do not use any more: each step of a payload prints what the processor made of it.

Segment limits, INT1 and RF in the flags of a fault are no part of it: TCG does not have them (the unit tests
test-emu-limits.c and test-emu-vm86.c do, by the manual).
"""

import shutil
import subprocess

import pytest

import witness
from packages import need
from test_kvm_payloads import DEVICES, PASSED, Payload, need_accelerator

SECONDS = 60

# A GDT in RAM at 0x1000, whose descriptors can be marked; TSSs of 32 bits at 0x3000 and of 16 bits at 0x3800; an IDT at
# 0x2000 whose handlers push vector and error code (0 where there is none) and go on at `event`.
TABLES = """
    enter32
        cld
        movl $0x1000, %edi; movl $BASE + tables, %esi; movl $(tables_end - tables) / 4, %ecx; rep movsl
        movw $tables_end - tables - 1, 0x500; movl $0x1000, 0x502; lgdtl 0x500
        movl $0x3000, %edi; movl $0x400, %ecx; xorl %eax, %eax; rep stosl
        movl $0x6f00, 0x3004; movl $0x10, 0x3008; movw $0x68, 0x3066
        movl $0xffffffff, 0x3088; movb $0xff, 0x308c       # ports 0 to 0xff, but for the last 32, are allowed
        movw $0x18, %ax; ltr %ax
        movl $0x2000, %edi; movl $stubs, %edx; movl $64, %ecx
    9:  movl %edx, %eax; andl $0xffff, %eax; orl $0x80000, %eax; movl %eax, (%edi)
        movl $0xee00, 4(%edi)
        addl $8, %edi; addl $16, %edx; loop 9b
        movw $0x1ff, 0x500; movl $0x2000, 0x502; lidtl 0x500
        jmp begin
    .balign 16
    stubs:
        .set vector, 0
        .rept 64
            .balign 16
            .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
                pushl $0
            .endif
            pushl $vector
            jmp event
            .set vector, vector + 1
        .endr
    .balign 8
    tables:
        .quad 0, 0x00cf9b0f0000ffff, 0x00cf93000000ffff
        .quad 0x000089003000008f, 0x000081003800002b       # 0x18, 0x20: TSSs
        .quad 0x00009b0f0000ffff, 0x000093000000ffff       # 0x28, 0x30: 16 bits
        .quad 0x000085000020ffff                           # 0x38: a task gate to the 16-bit one
    tables_end:
"""

VM86 = """
    begin:
        movl $0, 0x600                          # number of the step
    next:
        movl $0x10, %eax; movw %ax, %ds; movw %ax, %es; movw %ax, %ss; movl $STACK, %esp
        pushfl; andl $~0x7100, (%esp); popfl
        movl 0x600, %eax; movl %eax, %ebx; shrl $1, %ebx
        cmpl $(steps_end - steps) / 2, %ebx
        jae done
        show32 step
        movl 0x600, %ebx; incl 0x600
        movl %ebx, %ecx; shrl $1, %ebx; andl $1, %ecx
        movzwl %cs:steps(,%ebx,2), %edx
        imull $0x3000, %ecx, %ecx; orl $0x20002, %ecx
        movl $0x12340010, 0x4ffc; movl $0xf000f000, 0x5ffc      # for IRET and RETF: what is on the stack
        movw $halt, 0x6000 - 0x100; movw $SEGMENT, 0x6000 - 0xfe; movw $0x3202, 0x6000 - 0xfc
        pushl $0x700; pushl $0x710; pushl $0x720; pushl $0x730  # GS FS DS ES
        pushl $0x500; pushl $0xf00; pushl %ecx; pushl $SEGMENT; pushl %edx
        movl $0x11112222, %eax; movl $0x33334444, %ebx; movl $0x55556666, %ecx; movl $0x77778888, %edx
        movl $0x9999aaaa, %ebp; xorl %esi, %esi; movl $0x40, %edi
        iretl
    event:
        cld
        movl %esp, %ebp
        pushl %ecx; pushl %eax
        movl $0x10, %eax; movw %ax, %ds
        popl %eax; show32 eax
        popl %eax; show32 ecx
        movl (%ebp), %eax; show32 vector
        movl 4(%ebp), %eax; show32 error
        movl 8(%ebp), %eax; show32 eip
        movl 12(%ebp), %eax; show32 cs
        movl 16(%ebp), %eax; andl $~0x108d5, %eax; show32 eflags
        pushfl; popl %eax; andl $~0x8d5, %eax; show32 now
        testl $0x20000, 16(%ebp); jz next
        movl 20(%ebp), %eax; show32 esp
        movzwl 24(%ebp), %eax; show32 ss
        movzwl 28(%ebp), %eax; show32 es
        movzwl 32(%ebp), %eax; show32 ds
        movzwl 36(%ebp), %eax; show32 fs
        movzwl 40(%ebp), %eax; show32 gs
        jmp next
    done:
        quit 0x10
    .code16
    halt: hlt
    s_nop: nop; hlt
    s_cli: cli; hlt
    s_sti: sti; hlt
    s_pushf: pushfw; popw %ax; hlt
    s_pushfl: pushfl; popl %eax; hlt
    s_popf: pushw $0x3ed7; popfw; pushfw; popw %cx; hlt
    s_popfl: pushl $0x3c3ed7; popfl; pushfl; popl %ecx; hlt
    s_int: int $0x21; hlt
    s_int3: int3; hlt
    s_into: movb $0x7f, %al; incb %al; into; hlt
    s_iret: movw $0xf00, %sp; iretw; hlt
    s_retf: movw $0xf00, %sp; lretw; hlt
    s_in: inb $0x61, %al; xorl %eax, %eax; hlt
    s_in_no: inb $0xe4, %al; hlt
    s_in_word: inw $0xdf, %ax; xorl %eax, %eax; hlt
    s_insb: cld; movw $0xe4, %dx; insb; hlt
    s_cr0: movl %cr0, %eax; hlt
    s_clts: clts; hlt
    s_lgdt: lgdtw 0; hlt
    s_lmsw: lmsw %ax; hlt
    s_smsw: smsw %ax; hlt
    s_sldt: sldt %ax; hlt
    s_str: str %ax; hlt
    s_lldt: lldt %ax; hlt
    s_ltr: ltr %ax; hlt
    s_lar: lar %ax, %ax; hlt
    s_lsl: lsl %ax, %ax; hlt
    s_verr: verr %ax; hlt
    s_arpl: arpl %ax, %ax; hlt
    s_wbinvd: wbinvd; hlt
    s_invlpg: invlpg 0; hlt
    s_rdmsr: rdmsr; hlt
    s_dr7: movl %dr7, %eax; hlt
    s_ud2: ud2
    s_lock: .byte 0xf0, 0x90; hlt
    s_div: xorw %cx, %cx; divw %cx; hlt
    s_bound: movl $0x00050003, 0x10; movw $9, %ax; boundw %ax, 0x10; hlt
    s_far: ljmpw $SEGMENT - 0x100, $0x1000 + halt
    s_call: lcallw $SEGMENT, $s_back; hlt
    s_back: movw %sp, %cx; lretw
    s_segments: movw %cs, %ax; movw %ax, %fs; movw %fs, %cx; movw $0x20, %ax; movw %ax, %gs; hlt
    s_stack: movw $0x510, %ax; movw %ax, %ss; movw $0x40, %sp; pushw %ss; popw %cx; hlt
    s_pusha: pushaw; movw %sp, %cx; popaw; hlt
    s_enter: enterw $8, $2; movw %bp, %cx; leavew; hlt
    s_step: pushw $0x3102; popfw; nop; nop; hlt
    s_strings: movw $0x20, %si; movw $0x30, %di; movw $5, %cx; rep movsb; movw %di, %ax; hlt
    s_swap: xchgw %ax, %cx; hlt
    .balign 2
    steps:
        .word s_nop, s_cli, s_sti, s_pushf, s_pushfl, s_popf, s_popfl, s_int, s_int3, s_into, s_iret, s_retf
        .word s_in, s_in_no, s_in_word, s_insb, s_cr0, s_clts, s_lgdt, s_lmsw, s_smsw, s_sldt, s_str, s_lldt, s_ltr
        .word s_lar, s_lsl, s_verr, s_arpl, s_wbinvd, s_invlpg, s_rdmsr, s_dr7, s_ud2, s_lock, s_div, s_bound, s_far
        .word s_call, s_segments, s_stack, s_pusha, s_enter, s_step, s_strings, s_swap
    steps_end:
"""

# Tasks: to the one of 16 bits and back, by CALL, by JMP, by a task gate; nested; through interrupts.
TASKS = """
    begin:
        call fresh
        movl $0x12345678, %ebx
        lcall $0x20, $0
        show32 returned
        movl %ebx, %eax; show32 ebx
        call state
        call fresh
        lcall $0x38, $0                         # by a gate
        call state
        call fresh
        movw $task_jumps, 0x380e
        ljmp $0x20, $0
        show32 jumped-back
        call state
        call fresh
        movl $0x380000, 0x2000 + 0x30 * 8 - 0   # vector 0x30: the task gate's selector
        movl $0x00200000, 0x2000 + 0x30 * 8; movl $0xe500, 0x2000 + 0x30 * 8 + 4
        int $0x30
        call state
        ljmp $0x18, $0                          # busy: itself
    event:
        cld
        movl (%esp), %eax; show32 vector
        movl 4(%esp), %eax; show32 error
        str %eax; show32 tr
        quit 0x10
    fresh:                                      # the 16-bit task begins anew
        movl $0x3800, %edi; movl $12, %ecx; xorl %eax, %eax; rep stosl
        movw $task16, 0x380e; movw $0x4102 & ~0x4000, 0x3810; andw $~0x100, 0x3810
        movw $0x1111, 0x3812; movw $0x2222, 0x3814; movw $0x3333, 0x3816; movw $0x4444, 0x3818
        movw $0x6e00, 0x381a; movw $0x5555, 0x381c
        movw $0x10, 0x3822; movw $0x28, 0x3824; movw $0x30, 0x3826; movw $0x10, 0x3828
        movb $0x81, 0x1025
        ret
    state:
        movzbl 0x101d, %eax; show32 type-of-32
        movzbl 0x1025, %eax; show32 type-of-16
        movzwl 0x3800, %eax; show32 link
        movzwl 0x380e, %eax; subl $task16, %eax; show32 ip
        movzwl 0x3810, %eax; andl $~0x8d5, %eax; show32 flags
        movzwl 0x3812, %eax; show32 ax
        movzwl 0x381a, %eax; show32 sp
        movzwl 0x3824, %eax; show32 cs
        movl 0x3024, %eax; andl $~0x8d5, %eax; show32 eflags-of-32
        movl 0x3038, %eax; show32 esp-of-32
        pushfl; popl %eax; andl $~0x8d5, %eax; show32 eflags
        movl %cr0, %eax; show32 cr0
        clts
        str %eax; show32 tr
        ret
    .code16
    task16:
        addw %bx, %ax
        pushw %ax
        movw %fs, %cx
        pushfw; popw %dx
        iretw
        addw $1, %ax
        iretw
    task_jumps:
        movw %sp, %ax
        ljmpw $0x18, $0
"""


def lines(program, accel, image):
    run = subprocess.run([program, "-accel", accel, *DEVICES, "-bios", image], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=SECONDS, check=False)
    assert run.returncode == PASSED, f"{program}: exit status {run.returncode}\n{run.stdout[-2000:]}\n{run.stderr}"
    return run.stdout.splitlines()


@pytest.mark.parametrize("body,least", [(VM86, 92 * 14), (TASKS, 50)], ids=["vm86", "tasks"])
def test_same_as_tcg(tmp_path, body, least):
    need("as", "ld")
    need_accelerator("emu")
    stock = shutil.which(witness.Emulator("stock").command[0])
    if not stock:
        pytest.skip("needs QEMU to compare with: qemu-system-x86")
    image = Payload("emu", tmp_path).firmware(TABLES + body)
    ours, theirs = lines(witness.Emulator("emu").command[0], "emu", image), lines(stock, "tcg", image)
    assert len(ours) >= least
    step, different = None, []
    for mine, other in zip(ours, theirs):
        step = mine if mine.startswith("step") else step
        if mine != other:
            different.append(f"{step}: {mine}, TCG {other}")
    assert different == [] and len(ours) == len(theirs)
