# SPDX-License-Identifier: GPL-2.0-or-later
# Small firmware (-bios) that does one thing to the machine and tells what came of it, with -accel kvm and emu.
# Runs in: neither program; drives mpqemu from outside.
"""Payloads in real and protected mode, for every machine that has /dev/kvm at all, also one that boots no Linux.

Each is tests/guest/payload.S with a few lines of its own, assembled here. What it prints is compared with what real
hardware would do; the same for both accelerators.
"""

import os
import re
import signal
import subprocess
import time

import pytest

import guest_image
import witness
from packages import need
from qmp import Qmp, QmpError
from witness import TESTS

SECONDS = 20
PASSED = 0x10 << 1 | 1                  # quit 0x10
RAM_MIB = 64
DEVICES = ["-nodefaults", "-display", "none", "-m", str(RAM_MIB), "-chardev", "stdio,id=text",
           "-device", "isa-debugcon,iobase=0x402,chardev=text", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]

# The 8259s: IRQ 0 at vector 0x20, all others masked.
PIC = """
    movw $tick, 0x20 * 4
    movw $SEGMENT, 0x20 * 4 + 2
    movb $0x11, %al; outb %al, $0x20; outb %al, $0xa0
    movb $0x20, %al; outb %al, $0x21; movb $0x28, %al; outb %al, $0xa1
    movb $4, %al; outb %al, $0x21; movb $2, %al; outb %al, $0xa1
    movb $1, %al; outb %al, $0x21; outb %al, $0xa1
    movb $0xff, %al; outb %al, $0xa1
    movb $0xfe, %al; outb %al, $0x21
"""
# The 8254's channel 0: about 1 kHz.
PIT = """
    movb $0x34, %al; outb %al, $0x43
    movb $0xa9, %al; outb %al, $0x40; movb $4, %al; outb %al, $0x40
"""
LSI = ["-device", "lsi53c895a,id=lsi0,addr=4"]
# LSI's registers at 0xe0000000, its script RAM at 0xe0001000.
LSI_BARS = """
    config 4, 0x14, 0xe0000000
    config 4, 0x18, 0xe0001000
    config 4, 0x04, 0x00000006
"""
# Interrupt tables of protected mode at 0x2000; the way back from an interrupt.
IDT = """
        movl $0x2000, %edi; movl $0x600, %ecx; xorl %eax, %eax; rep stosl
        .macro gate vector, handler
            movl $0x80000 + \\handler, 0x2000 + \\vector * 8
            movl $0x8e00, 0x2000 + \\vector * 8 + 4
        .endm
        movw $0x7ff, 0x500; movl $0x2000, 0x502; lidtl 0x500
        movl $0x1ff, 0xfee000f0
"""
RETURN = """
    return:                                     # as IRET, which not every KVM can emulate in protected mode
        movl $0, 0xfee000b0
        pushl %eax
        movl 12(%esp), %eax; movl %eax, 8(%esp)
        movl 4(%esp), %eax; movl %eax, 12(%esp)
        popl %eax
        leal 4(%esp), %esp
        popfl
        ret
"""
# What a reset must bring back: it is printed, made wrong, and printed by the next boot.
SHOW_STATE = """
    pushl %edx
    movl %cr0, %eax; show cr0
    movl %cr3, %eax; show cr3
    movl %cr4, %eax; show cr4
    pushfl; popl %eax; andl $~0x8d5, %eax; show eflags     # without those of arithmetic
    movl %dr7, %eax; show dr7
    movl $0xc0000080, %ecx; rdmsr; show efer
    movl $0x1b, %ecx; rdmsr; show apic-base
    movl $0x2ff, %ecx; rdmsr; show mtrr
    movl $0x277, %ecx; rdmsr; show pat
    movl $0x174, %ecx; rdmsr; show sysenter
    sgdt 0x500; xorl %eax, %eax; movw 0x500, %ax; show gdt-limit
    sidt 0x500; xorl %eax, %eax; movw 0x500, %ax; show idt-limit
    popl %eax; show edx
"""
# Boot 0 falls through, boot 1 jumps to `again`. RAM and CMOS outlive a reset.
COUNT_BOOTS = """
    cmpl $0x600df00d, 0x600
    je again
    movl $0x600df00d, 0x600
"""
MAKE_WRONG = """
    movl $0x2ff, %ecx; movl $0xc06, %eax; xorl %edx, %edx; wrmsr
    movl $0x277, %ecx; xorl %eax, %eax; xorl %edx, %edx; wrmsr
    movl $0x174, %ecx; movl $8, %eax; wrmsr
    movl $0xc0000080, %ecx; movl $0x100, %eax; wrmsr
    movl $0x155, %eax; movl %eax, %dr7
    movl $0x3000, %eax; movl %eax, %cr3
    movl $0x10, %eax; movl %eax, %cr4
    lidtl %cs:gdt_pointer
    enter32
    movl $0x1ff, 0xfee000f0
"""
RESETS = {
    "port-92": "movb $1, %al; outb %al, $0x92",
    "cf9": "movw $0xcf9, %dx; movb $2, %al; outb %al, %dx; movb $6, %al; outb %al, %dx",
    "keyboard": "movb $0xfe, %al; outb %al, $0x64",
    "triple-fault": "pushl $0; pushl $0; lidt (%esp); int3",
}


class Payload:
    """Makes programs, and runs them with one accelerator."""

    def __init__(self, accel, rundir):
        self.accel, self.rundir = accel, rundir

    def firmware(self, body):
        """Path of the image whose main is BODY."""
        paths = {end: str(self.rundir / f"payload.{end}") for end in ("S", "o", "bin")}
        with open(paths["S"], "w", encoding="ascii") as source, \
                open(os.path.join(TESTS, "guest", "payload.S"), encoding="ascii") as tools:
            source.write(tools.read() + "main:\n" + body + "\n")
        subprocess.run([guest_image.which("as"), "--32", "-o", paths["o"], paths["S"]], check=True, timeout=60)
        subprocess.run([guest_image.which("ld"), "-m", "elf_i386", "-Ttext", "0", "--section-start=.reset=0xfff0",
                        "-e", "_start", "--oformat", "binary", "-o", paths["bin"], paths["o"]], check=True, timeout=60)
        with open(paths["bin"], "ab") as image:
            image.truncate(0x10000)
        return paths["bin"]

    def command(self, body, *options):
        program = witness.Emulator(self.accel).command[0]
        return [program, "-accel", self.accel, *DEVICES, *options, "-bios", self.firmware(body)]

    def run(self, body, *options, status=PASSED):
        """The lines that it prints; it must end with STATUS."""
        run = subprocess.run(self.command(body, *options), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=SECONDS, check=False)
        assert run.returncode == status, f"exit status {run.returncode}\n{run.stdout}\n{run.stderr}"
        self.errors = run.stderr
        return run.stdout.splitlines()


def need_accelerator(accel):
    """Skip, with the reason, where ACCEL cannot be had."""
    program = witness.Emulator(accel).command[0]
    if not os.access(program, os.X_OK):
        pytest.fail(f"no program at {program}: build it, or set MPQEMU_BUILD or MPQEMU_MAIN", pytrace=False)
    listed = subprocess.run([program, "-accel", "help"], capture_output=True, text=True, timeout=60, check=True).stdout
    if not re.search(rf"(?m)^{accel} ", listed):
        pytest.skip(f"this mpqemu has no accelerator {accel}")
    if accel == "kvm":
        try:
            os.close(os.open("/dev/kvm", os.O_RDWR))
        except OSError as error:
            pytest.skip(f"needs /dev/kvm: {error.strerror}")


@pytest.fixture(params=["kvm", "emu"])
def payload(request, tmp_path):
    need("as", "ld")
    need_accelerator(request.param)
    return Payload(request.param, tmp_path)


def need_triple_faults(payload, way):
    """Skip where the kernel's KVM is one that interprets, and gives up on what it does not know."""
    if payload.accel == "kvm" and way == "triple-fault":
        with open("/proc/cpuinfo", encoding="ascii") as info:
            if not re.search(r"(?m)^flags.* (vmx|svm) ", info.read()):
                pytest.skip("needs VMX or SVM: /dev/kvm without them gives up on a triple fault")


@pytest.fixture(params=["off", "on"])
def sandbox(request):
    """Options that confine the program, or not."""
    return ["-sandbox", request.param]


# ---------------------------------------------------------------------------------------- ports

def test_ports_of_all_sizes(payload):
    assert payload.run("""
        movb $0x50, %al; outb %al, $0x70; movb $0xa5, %al; outb %al, $0x71
        movb $0x50, %al; outb %al, $0x70; xorl %eax, %eax; inb $0x71, %al; show cmos
        movl $0x80000000, %eax; movw $0xcf8, %dx; outl %eax, %dx
        movw $0xcfc, %dx; inl %dx, %eax; show bridge
        movw $0xcfe, %dx; xorl %eax, %eax; inw %dx, %ax; show device
        movw $0xcfd, %dx; xorl %eax, %eax; inb %dx, %al; show vendor-high
        movw $0xcfd, %dx; xorl %eax, %eax; inw %dx, %ax; show unaligned
        movw $0x1234, %dx; xorl %eax, %eax; inb %dx, %al; show none-8
        movw $0x1234, %dx; xorl %eax, %eax; inw %dx, %ax; show none-16
        movw $0x1234, %dx; inl %dx, %eax; show none-32
        quit 0x10""") == ["cmos 000000a5", "bridge 12378086", "device 00001237", "vendor-high 00000080",
                          "unaligned 00003780", "none-8 000000ff", "none-16 0000ffff", "none-32 ffffffff"]


def test_repeated_ports(payload):
    """Strings to and from ports, upwards and downwards, and none at all."""
    assert payload.run("""
        movw $SEGMENT, %ax; movw %ax, %ds
        movw $upwards, %si; movw $10, %cx; movw $CONSOLE, %dx; rep outsb
        std; movw $upwards + 8, %si; movw $9, %cx; rep outsb; cld
        movb $'\\n', %al; outb %al, %dx
        xorw %cx, %cx; rep outsb
        xorw %ax, %ax; movw %ax, %ds
        movw $0x510, %dx; outw %ax, %dx         # fw_cfg: its signature
        movw $0x600, %di; movw $4, %cx; movw $0x511, %dx; rep insb
        movl 0x600, %eax; show signature
        movl $0x80000000, %eax; movw $0xcf8, %dx; outl %eax, %dx
        movw $0x600, %di; movw $3, %cx; movw $0xcfc, %dx; rep insl
        movl 0x600, %eax; show first
        movl 0x608, %eax; show third
        movl 0x60c, %eax; show behind
        movw $0xcfc, %dx; movw $0x701, %di; movw $600, %cx; rep insw      # more than a page, at odd addresses
        movl 0x701 + 1198 - 2, %eax; show last
        movzwl %cx, %eax; show left
        movzwl %di, %eax; show index
        quit 0x10
    upwards: .ascii "123456789\\n" """) == [
        "123456789", "987654321", "signature 554d4551", "first 12378086", "third 12378086", "behind 00000000",
        "last 80868086", "left 00000000", "index 00000bb1"]


# --------------------------------------------------------------------------------------- memory

def test_mmio_of_a_bar(payload):
    """LSI's scratch register and script RAM, by all sizes, unaligned, by strings and by SSE."""
    assert payload.run(LSI_BARS + """
        enter32
        movl $0x12345678, 0xe0000034
        movl 0xe0000034, %eax; show32 dword
        movzwl 0xe0000035, %eax; show32 unaligned
        movzbl 0xe0000037, %eax; show32 byte
        movb $0x9a, 0xe0000036
        movw $0xbcde, 0xe0000034
        movl 0xe0000034, %eax; show32 mixed
        orl $0x01000000, 0xe0000034; xchgl 0xe0000034, %ebx
        movl %ebx, %eax; show32 exchanged
        movl $0xe0001000, %edi; movl $0x11223344, %eax; movl $1024, %ecx; rep stosl
        movl $0xe0001000, %esi; movl $0x10000, %edi; movl $1024, %ecx; rep movsl
        movl 0x10ffc, %eax; show32 copied
        movl 0x11000, %eax; show32 behind
        movl %cr4, %eax; orl $0x200, %eax; movl %eax, %cr4
        movups 0x10000, %xmm0
        movups %xmm0, 0xe0001003
        movups 0xe0001002, %xmm1; movups %xmm1, 0x10000
        movl 0x10000, %eax; show32 sse-0
        movl 0x1000c, %eax; show32 sse-12
        movl $0x5678, 0xe0001ffe                # half of it behind the end of the BAR
        movzwl 0xe0001ffe, %eax; show32 end
        movl 0xe0001ffe, %eax; show32 beyond
        quit 0x10""", *LSI) == [
        "dword 12345678", "unaligned 00003456", "byte 00000012", "mixed 129abcde", "exchanged 139abcde",
        "copied 11223344", "behind 00000000", "sse-0 22334422", "sse-12 22334411", "end 00005678", "beyond ffff5678"]


def test_memory_without_anything(payload):
    """Reads give ones, writes go nowhere, also where the address space ends."""
    assert payload.run("""
        enter32
        movl 0xd0000000, %eax; show32 hole
        movl $0, 0xd0000000
        movl 0xd0000000, %eax; show32 hole
        movl 0x04000000 - 4, %eax; show32 ram-end
        movl 0x04000000 - 2, %eax; show32 across
        quit 0x10""") == ["hole ffffffff", "hole ffffffff", "ram-end 00000000", "across ffff0000"]


def test_rom_ignores_writes(payload):
    assert payload.run("""
        enter32
        movl BASE + there, %eax; show32 low
        movl $0, BASE + there
        lock incl BASE + there
        movl BASE + there, %eax; show32 low
        movl $0, 0xffff0000 + there
        movl $0xffff0000 + there, %edi; movl $1, %ecx; xorl %eax, %eax; rep stosl
        movl 0xffff0000 + there, %eax; show32 high
        quit 0x10
    .balign 4
    there: .long 0xcafe1234""") == ["low cafe1234", "low cafe1234", "high cafe1234"]


def test_host_bridge_switches_what_is_below_1_mib(payload, sandbox):
    """The code that switches runs in what is switched. Register 0x59 is 0xf0000, 0x5a 0xc0000 (i440FX, PAM)."""
    assert payload.run("""
        movw $SEGMENT, %ax; movw %ax, %ds; movw %ax, %es
        movl there, %eax; show rom
        xorw %ax, %ax; movw %ax, %es            # what copies is in RAM: KVM executes nothing that is split
        movw $copy, %si; movw $0x8000, %di; movw $copy_end - copy, %cx; rep movsb
        movw $SEGMENT, %ax; movw %ax, %es
        lcall $0, $0x8000
        movl %ebx, %eax; show split
        movl there, %eax; show ram
        movl $0x11111111, there
        movl there, %eax; show written
        bridge 0x59, 0x10                       # reads RAM
        movl $0x22222222, there
        movl there, %eax; show kept
        bridge 0x59, 0x00                       # ROM again
        movl there, %eax; show rom
        movw $0xc000, %ax; movw %ax, %es
        movl %es:0x100, %eax; show none
        bridge 0x5a, 0x33
        movl $0x33333333, %es:0x100
        movl %es:0x100, %eax; show ram
        bridge 0x5a, 0x30                       # its lower half is closed
        movl %es:0x100, %eax; show none
        movw $1000, %cx                         # often
    1:  pushw %cx
        bridge 0x5a, 0x33
        incl %es:0x104
        bridge 0x5a, 0x00
        popw %cx
        loop 1b
        bridge 0x5a, 0x33
        movl %es:0x104, %eax; show counted
        quit 0x10
    copy:
        bridge 0x59, 0x20                       # reads ROM, writes RAM
        xorw %si, %si; xorw %di, %di; movw $0x4000, %cx; rep movsl
        movl there, %eax; notl %eax; movl %eax, there
        movl there, %ebx
        bridge 0x59, 0x30                       # reads and writes RAM: the copy goes on there
        lret
    copy_end:
    .balign 4
    there: .long 0xcafe1234""", *sandbox) == [
        "rom cafe1234", "split cafe1234", "ram 3501edcb", "written 11111111", "kept 11111111", "rom cafe1234",
        "none ffffffff", "ram 33333333", "none ffffffff", "counted 000003e8"]


# ----------------------------------------------------------------------------------- interrupts

def test_timer_wakes_a_halted_processor(payload):
    """8254, 8259s, HLT: the handler counts to 50."""
    assert payload.run(PIC + PIT + """
        sti
    1:  hlt
        cmpl $50, 0x604
        jb 1b
        cli
        text "done\\n"
        quit 0x10
    tick:
        pushw %ax
        incl 0x604
        movb $0x20, %al; outb %al, $0x20
        popw %ax
        iret""") == ["done"]


def test_masked_interrupt_waits(payload):
    """An edge that came while it was masked is delivered when it no longer is, once."""
    assert payload.run(PIC + """
        movb $0xff, %al; outb %al, $0x21
        movb $0x30, %al; outb %al, $0x43        # one edge, after a millisecond
        movb $0xa9, %al; outb %al, $0x40; movb $4, %al; outb %al, $0x40
        sti
    1:  movb $0x0a, %al; outb %al, $0x20; inb $0x20, %al
        testb $1, %al
        jz 1b
        movl 0x604, %eax; show masked
        movb $0xfe, %al; outb %al, $0x21
    2:  inb $0x80, %al; cmpl $0, 0x604; je 2b
        movw $2000, %cx
    3:  inb $0x80, %al; loop 3b
        movl 0x604, %eax; show unmasked
        quit 0x10
    tick:
        pushw %ax
        incl 0x604
        movb $0x20, %al; outb %al, $0x20
        popw %ax
        iret""") == ["masked 00000000", "unmasked 00000001"]


def test_io_apic_and_local_apic(payload):
    """The 8254 at pin 2 of the I/O APIC, the local APIC's timer, and an IPI to oneself."""
    assert payload.run(PIC + PIT + """
        movb $0xff, %al; outb %al, $0x21
        enter32
        """ + IDT + """
        gate 0x40, on_pit
        gate 0x41, on_timer
        gate 0x42, on_ipi
        movl $0x14, 0xfec00000; movl $0x40, 0xfec00010
        movl $0x15, 0xfec00000; movl $0, 0xfec00010
        sti
    1:  hlt
        cmpl $5, 0x604
        jb 1b
        text32 "pit\\n"
        movl $0x14, 0xfec00000; movl $0x10000, 0xfec00010
        movl $0x0b, 0xfee003e0
        movl $0x20041, 0xfee00320               # periodic
        movl $100000, 0xfee00380
    2:  hlt
        cmpl $5, 0x608
        jb 2b
        text32 "timer\\n"
        movl $0x10000, 0xfee00320
        movl $0x44042, 0xfee00300
    3:  cmpl $0, 0x60c
        je 3b
        text32 "ipi\\n"
        quit 0x10
    on_pit:   incl 0x604; jmp return
    on_timer: incl 0x608; jmp return
    on_ipi:   incl 0x60c
        """ + RETURN + """
    .code16
    tick: iret""") == ["pit", "timer", "ipi"]


@pytest.mark.parametrize("processors", [2, 8])
def test_other_processors_start(payload, processors):
    """INIT and start-up IPIs to all others; each adds one and halts."""
    assert payload.run(f"""
        movw $SEGMENT, %ax; movw %ax, %ds
        movw $ap, %si; movw $0x8000, %di; movw $ap_end - ap, %cx; rep movsb
        xorw %ax, %ax; movw %ax, %ds
        enter32
        movl $0x1ff, 0xfee000f0
        movl $0xc4500, 0xfee00300
        movl $0xc4608, 0xfee00300
    1:  pause
        cmpl ${processors - 1}, 0x610
        jb 1b
        movl 0x610, %eax; show32 others
        movl 0x614, %eax; show32 ids
        quit 0x10
    .code16
    ap: xorw %ax, %ax
        movw %ax, %ds
        movl $1, %eax
        cpuid
        shrl $24, %ebx
        movb %bl, %cl
        movl $1, %eax
        shll %cl, %eax
        lock orl %eax, 0x614
        lock incl 0x610
    2:  hlt
        jmp 2b
    ap_end:""", "-smp", str(processors)) == [f"others {processors - 1:08x}", f"ids {(1 << processors) - 2:08x}"]


@pytest.mark.parametrize("smp,threads,of_package,bits", [
    ("8,sockets=2,cores=2", 2, 4, (1, 2)), ("3", 1, 3, (0, 2)), ("4,sockets=4", 1, 1, (0, 0)),
    ("6,cores=3,threads=2", 2, 6, (1, 3))])
def test_processors_tell_how_they_are_put_together(payload, smp, threads, of_package, bits):
    lines = payload.run("""
        movl $0xb, %eax; xorl %ecx, %ecx; cpuid
        pushl %ebx; show thread-bits; popl %eax; show threads
        movl $0xb, %eax; movl $1, %ecx; cpuid
        pushl %ebx; show package-bits; popl %eax; show processors
        movl $1, %eax; cpuid
        pushl %edx; movl %ebx, %eax; shrl $16, %eax; andl $0xff, %eax; show numbers
        popl %eax; shrl $28, %eax; andl $1, %eax; show several
        quit 0x10""", "-smp", smp)
    assert lines[:5] == [f"thread-bits {bits[0]:08x}", f"threads {threads:08x}", f"package-bits {bits[1]:08x}",
                         f"processors {of_package:08x}", f"numbers {1 << bits[1]:08x}"]
    # A kernel whose KVM interprets has been seen to say so of one processor, too, whatever it was told.
    if of_package > 1 or payload.accel == "emu":
        assert lines[5] == f"several {int(of_package > 1):08x}"


# ---------------------------------------------------------------------------------------- reset

@pytest.mark.parametrize("way", RESETS)
def test_reset_brings_back_the_state_after_power_on(payload, way, sandbox):
    need_triple_faults(payload, way)
    lines = payload.run(SHOW_STATE + COUNT_BOOTS + MAKE_WRONG + RESETS[way] + """
        1: hlt; jmp 1b
    .code16
    again: quit 0x10""", *sandbox)
    half = len(lines) // 2
    assert lines[:half] == lines[half:] and half == 13
    values = dict(line.split() for line in lines[:half])
    assert values["cr0"] in ("60000010", "00000010") and values["eflags"] == "00000002"
    assert values["apic-base"] == "fee00900" and values["pat"] == "00070406"
    assert values["gdt-limit"] == values["idt-limit"] == "0000ffff"


@pytest.mark.parametrize("way", RESETS)
def test_no_reboot_ends_the_program(payload, way):
    need_triple_faults(payload, way)
    assert payload.run("""
        text "boot\\n"
        enter32
        """ + RESETS[way] + "\n1: hlt; jmp 1b", "-no-reboot", status=0) == ["boot"]


def test_reset_stops_all_processors(payload, sandbox):
    """Those that another one had started wait for start-up again."""
    assert payload.run("""
        cmpl $0x600df00d, 0x600
        je again
        movl $0x600df00d, 0x600
        movw $SEGMENT, %ax; movw %ax, %ds
        movw $ap, %si; movw $0x8000, %di; movw $ap_end - ap, %cx; rep movsb
        xorw %ax, %ax; movw %ax, %ds
        enter32
        movl $0xc4500, 0xfee00300
        movl $0xc4608, 0xfee00300
    1:  pause; cmpl $1000, 0x610; jb 1b
        movb $1, %al; outb %al, $0x92
    2:  hlt; jmp 2b
    .code16
    again:
        movl 0x610, %ebx
        movl $100000, %ecx
    3:  inb $0x80, %al; decl %ecx; cmpl $99000, %ecx; ja 3b
        xorl %eax, %eax; cmpl 0x610, %ebx; setne %al
        show running
        quit 0x10
    ap: xorw %ax, %ax; movw %ax, %ds
    4:  lock incl 0x610; jmp 4b
    ap_end:""", "-smp", "2", *sandbox) == ["running 00000000"]


# -------------------------------------------------------------------------------------- monitor

class Monitored:
    """A payload that runs until a monitor ends it."""

    def __init__(self, payload, body, *options):
        self.socket = str(payload.rundir / "qmp")
        self._command = [*payload.command(body, *options), "-qmp", f"unix:{self.socket},server=on,wait=on"]

    def __enter__(self):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.console = witness.Console(self.process.stdout)
        self.qmp = Qmp.connect(self.socket)
        self.qmp.negotiate()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.errors = self.process.communicate()[1].decode() if self.process.stderr else ""
        self.qmp.close()

    def quit(self):
        """The program must end well."""
        self.qmp.command("quit")
        assert self.process.wait(SECONDS) == 0


DEAF = 'text "up\\n"; cli\n1: hlt; jmp 1b'
BUSY = 'text "up\\n"; cli\n1: incl 0x600; jmp 1b'


@pytest.mark.parametrize("body", [DEAF, BUSY], ids=["halted", "busy"])
def test_monitor_and_a_processor_that_does_not_listen(payload, sandbox, body):
    """Nothing that a monitor does waits for a guest that halts for ever, or never does."""
    with Monitored(payload, body, *sandbox) as machine:
        for boots in range(1, 4):
            assert machine.console.wait_for("up\n" * boots, SECONDS), machine.process.poll()
            machine.qmp.command("inject-nmi")
            text = machine.qmp.command("x-query-registers", **{"cpu-index": 0})["human-readable-text"]
            assert "CPU#0" in text
            machine.qmp.command("stop")
            assert machine.qmp.command("query-status")["status"] == "paused"
            machine.qmp.command("cont")
            machine.qmp.command("system_reset")
        assert machine.console.wait_for("up\nup\nup\nup\n", SECONDS)
        machine.quit()


def test_stopped_guest_does_nothing(payload):
    with Monitored(payload, BUSY) as machine:
        assert machine.console.wait_for("up\n", SECONDS)
        machine.qmp.command("stop")
        registers = [machine.qmp.command("x-query-registers")["human-readable-text"] for _ in range(3)]
        assert registers[0] == registers[1] == registers[2]
        machine.qmp.command("system_reset")
        assert machine.qmp.command("query-status")["status"] == "prelaunch"
        machine.qmp.command("cont")
        assert machine.console.wait_for("up\nup\n", SECONDS)
        machine.quit()


def test_processor_that_cannot_go_on_stops_the_machine(payload, sandbox):
    """KVM executes nothing from where a device, or nothing, is. Only a reset leads on."""
    if payload.accel != "kvm":
        pytest.skip("about KVM; the engine executes whatever it reads")
    with Monitored(payload, """
            text "up\\n"
            cmpb $1, 0x600
            je 2f
            movb $1, 0x600
            enter32
            movl $0xd0000000, %eax
            jmp *%eax
        .code16
        2:  hlt
            jmp 2b""", *sandbox) as machine:
        deadline = time.monotonic() + SECONDS       # its STOP may have come before we listened
        while machine.qmp.command("query-status")["running"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert machine.qmp.command("query-status")["status"] == "internal-error"
        with pytest.raises(QmpError, match="use system_reset first"):
            machine.qmp.command("cont")
        machine.qmp.command("system_reset")
        machine.qmp.command("cont")
        assert machine.console.wait_for("up\nup\n", SECONDS)
        machine.quit()
    assert "KVM gave up on vCPU 0: internal error 1" in machine.errors


# How slot 4's INTA, which is PIRQ D, becomes vector 0x43: (in real mode, in protected mode, at the handler's end).
ROUTE_TO_11 = "config 1, 0x60, 0x0b808080\n"
PIC_OFF = "movb $0xff, %al; outb %al, $0x21; outb %al, $0xa1\n"
PIN = "movl $0x%x, 0xfec00000; movl $0xa043, 0xfec00010; movl $0x%x, 0xfec00000; movl $0, 0xfec00010\n"
WAYS = {
    "pin-19": ("", PIN % (0x36, 0x37), ""),
    # As an operating system that uses ACPI, after firmware.
    "pin-19-after-pic": (ROUTE_TO_11 + PIC_OFF + "movw $0xae20, %dx; movb $1, %al; outb %al, %dx\n", PIN % (0x36, 0x37), ""),
    # As one that goes by the MP table.
    "pin-11": (ROUTE_TO_11 + PIC_OFF, PIN % (0x26, 0x27), ""),
    # As one without either: PIRQ D's route, the second 8259, the local APIC's ExtINT.
    "8259s": (ROUTE_TO_11 + """
        movb $0x11, %al; outb %al, $0x20; outb %al, $0xa0
        movb $0x20, %al; outb %al, $0x21; movb $0x40, %al; outb %al, $0xa1
        movb $4, %al; outb %al, $0x21; movb $2, %al; outb %al, $0xa1
        movb $1, %al; outb %al, $0x21; outb %al, $0xa1
        movw $0x4d1, %dx; movb $8, %al; outb %al, %dx
        movb $0xfb, %al; outb %al, $0x21; movb $0xf7, %al; outb %al, $0xa1
    """, "movl $0x700, 0xfee00350\n", "movb $0x20, %al; outb %al, $0xa0; outb %al, $0x20\n"),
}
# Interrupts of a script's INT instruction, for ever; a dot for each hundred.
REMOTE_INTERRUPTS = LSI_BARS + "{before}\n enter32" + IDT + """
        gate 0x43, on_lsi
        {enable}
        movl $0x98080000, 0x3000; movl $0x77, 0x3004
        sti
        xorl %ebx, %ebx
    1:  movl $100, %edi
    2:  movb $4, 0xe0000039                     # DIEN: SIR
        movl $0x3000, 0xe000002c                # DSP: starts the script
        movl $20000, %ecx                       # the device may have gone: not for ever
    3:  pause
        cmpl %ebx, 0x620
        jne 4f
        inb $0x80, %al
        loop 3b
        jmp 2b
    4:  movl 0x620, %ebx
        decl %edi
        jnz 2b
        text32 "."
        jmp 1b
    on_lsi:
        pushl %eax
        movb 0xe000000c, %al                    # DSTAT: reading it lowers the line
        cmpb $0xff, %al
        je 5f
        incl 0x620
    5:  {end}
        popl %eax
        """ + RETURN + ".code16"


def remote_interrupts(way):
    text = REMOTE_INTERRUPTS
    for name, code in zip(("before", "enable", "end"), WAYS[way]):
        text = text.replace("{" + name + "}", code)
    return text


@pytest.mark.parametrize("way", WAYS)
def test_interrupts_of_a_remote_device_that_dies_and_comes_back(payload, sandbox, way):
    """Its eventfds are taken away, and given anew."""
    options = ["-rdevice", "lsi53c895a,id=lsi0,rid=disks,addr=4", "-remote", "rid=disks,on-death=restart", *sandbox]
    with Monitored(payload, remote_interrupts(way), *options) as machine:
        def remote():
            return machine.qmp.command("query-remote")[0]

        for restarts in range(3):
            shown = len(machine.console.text)
            assert machine.console.wait_for("." * (shown + 3), SECONDS), (restarts, remote())
            os.kill(remote()["pid"], signal.SIGKILL)
            deadline = time.monotonic() + SECONDS
            while remote()["restarts"] != restarts + 1 or remote()["state"] != "ready":
                assert time.monotonic() < deadline, remote()
                time.sleep(0.05)
        assert machine.console.wait_for("." * (len(machine.console.text) + 3), SECONDS), remote()
        machine.quit()
