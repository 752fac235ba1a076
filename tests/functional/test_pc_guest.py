# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's kernel boots on our own pc board and processor: -accel emu, nothing of anybody else's.
# Runs in: neither program; drives mpqemu from outside.
"""The machine by itself: ways to boot, processors, memory above 4 GiB, reset, power off, and interrupts as of old."""

import contextlib
import hashlib
import os
import struct
import subprocess

import pytest

import disks
import guest_image
from boot_sector import assemble
from witness import BUILD, Console

MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(BUILD, "main", "mpqemu"))
SECONDS = 300       # for one boot on a busy host


@contextlib.contextmanager
def guest(*options):
    """A running machine and what it prints: (process, Console)."""
    process = subprocess.Popen([MAIN, "-accel", "emu", "-nodefaults", "-serial", "stdio", *options],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process, Console(process.stdout)
    finally:
        process.kill()
        process.wait()


def run_to_end(*options):
    """What the guest prints until it switches the machine off."""
    with guest("-no-reboot", *options) as (process, console):
        console.wait_for("@@guest down", SECONDS)
        assert process.wait(60) == 0, console.text[-2000:]
        return console.text.replace("\r", "")


@pytest.fixture(scope="module")
def big(linux, tmp_path_factory):
    """One boot with four processors, confined: the transcript."""
    steps = {"processors": "nproc; grep -c ^processor /proc/cpuinfo",
             "memory": "head -1 /proc/meminfo",
             "clock": "cat /sys/class/rtc/rtc0/date /sys/class/rtc/rtc0/time",
             "vendor": "cat /sys/class/dmi/id/sys_vendor",
             "interrupts": "cat /proc/interrupts",
             "ipi": "for i in 0 1 2 3; do taskset $((1 << i)) sh -c "
                    "'echo runs on $(cut -d\" \" -f39 /proc/self/stat)'; done",
             "memory-types": "cat /proc/mtrr; dmesg | grep -iE 'mtrr|x86/PAT'",
             "complaints": "dmesg | grep -E 'WARNING|BUG:|Oops|rcu.*stall|spurious' || echo none"}
    boot = linux(tmp_path_factory.mktemp("big"), steps)
    return run_to_end("-m", "512", "-smp", "4", "-sandbox", "on", "-rtc", "base=2031-02-03T04:05:06", *boot)


def output(text, step):
    """What STEP printed."""
    return text.split(f"@@begin {step}\n", 1)[1].split(f"@@end {step}", 1)[0]


def test_all_processors_work(big):
    assert output(big, "processors").split() == ["4", "4"]
    assert {line for line in output(big, "ipi").splitlines() if line.startswith("runs on ")} == {
        f"runs on {i}" for i in range(4)}


@pytest.mark.parametrize("smp,expected", [
    ("8,sockets=2,cores=2", ["0 0 0-1", "0 0 0-1", "0 1 2-3", "0 1 2-3", "1 0 4-5", "1 0 4-5", "1 1 6-7", "1 1 6-7"]),
    ("3", ["0 0 0", "0 1 1", "0 2 2"])])
def test_processors_are_put_together_as_asked(linux, tmp_path, smp, expected):
    boot = linux(tmp_path, {"topology": "cd /sys/devices/system/cpu; for cpu in cpu[0-9]*; do cd $cpu/topology; "
                                        "echo $(cat physical_package_id core_id thread_siblings_list); cd ../..; done"})
    text = run_to_end("-m", "256", "-smp", smp, *boot)
    assert output(text, "topology").strip().splitlines() == expected


def test_memory_is_there(big):
    assert 440 << 10 < int(output(big, "memory").split()[1]) < 512 << 10


def test_clock_is_what_was_asked_for(big):
    assert output(big, "clock").startswith("2031-02-03\n04:")


def test_inventory_names_the_board(big):
    assert output(big, "vendor").strip() == "mpqemu"


def test_interrupts_come_through_the_io_apic(big):
    table = {line.split(":")[0].strip(): line for line in output(big, "interrupts").splitlines() if ":" in line}
    for irq, name in (("4", "ttyS0"), ("9", "acpi"), ("1", "i8042"), ("12", "i8042"), ("8", "rtc0")):
        assert "IO-APIC" in table[irq] and name in table[irq], table[irq]
    assert sum(map(int, table["4"].split()[1:5])) > 0
    assert all(int(count) > 0 for count in table["LOC"].split()[1:5])       # each local APIC's timer
    assert table["ERR"].split()[1] == "0"


def test_memory_types_are_as_firmware_sets_them(big):
    """All processors' MTRRs, so that the kernel uses PAT."""
    types = output(big, "memory-types")
    assert "base=0x0c0000000 ( 3072MB), size= 1024MB, count=1: uncachable" in types
    assert "x86/PAT: Configuration [0-7]: WB  WC  UC- UC" in types
    assert "disabled" not in types and "inconsistent" not in types


def test_kernel_complains_of_nothing(big):
    assert output(big, "complaints").strip() == "none"


def test_pvh_kernel_with_memory_above_4g(linux, tmp_path):
    boot = linux(tmp_path, {"memory": "head -1 /proc/meminfo"})
    vmlinux = tmp_path / "vmlinux"
    vmlinux.write_bytes(guest_image.unpack_vmlinux(boot[1]))
    text = run_to_end("-m", "5G", "-kernel", str(vmlinux), *boot[2:])
    assert 4600 << 10 < int(output(text, "memory").split()[1]) < 5 << 20


def test_guest_reboots(linux, tmp_path):
    boot = linux(tmp_path, {"again": "reboot -f; sleep 60"})
    with guest("-m", "256", "-smp", "2", *boot) as (_, console):
        for times in (1, 2, 3):
            assert console.wait_for("@@guest up", SECONDS, times), f"boot {times}: {console.text[-2000:]}"


def test_old_interrupt_controllers_serve_a_disk(linux, tmp_path):
    """Without APICs: 8254, 8259s, and PCI interrupts by the PIIX3, which the kernel programs by ACPI's link devices."""
    image = disks.patterned(tmp_path / "disk0", 8, seed=3)
    steps = {"disk": "load_drivers 1; dd if=$(disk 0) bs=1M count=8 2>/dev/null | sha256sum",
             "interrupts": "cat /proc/interrupts"}
    boot = linux(tmp_path, steps)
    boot[boot.index("-append") + 1] += " noapic nolapic"
    text = run_to_end("-m", "256", *boot, *disks.CONTROLLER, *disks.hard_disk(0, image))
    with open(image, "rb") as stream:
        assert hashlib.sha256(stream.read()).hexdigest() in output(text, "disk"), text[-2000:]
    assert "XT-PIC" in output(text, "interrupts") and "sym53c8xx" in output(text, "interrupts")


PARTS = 0x1a0                       # as in linuxsector.S
INITRD_BASE = 160 << 20
COMMAND_LINE_BASE = 0x98000


def disk_with_kernel(path, rundir, boot):
    """PATH becomes a disk from which firmware starts what BOOT, -kernel and so on, names."""
    kernel, initrd = (bytearray(open(boot[boot.index(option) + 1], "rb").read()) for option in ("-kernel", "-initrd"))
    command_line = boot[boot.index("-append") + 1].encode() + b"\0"
    real_mode_size = (kernel[0x1f1] + 1) * 512
    kernel[0x210] = 0xff            # a boot loader without a number
    kernel[0x211] |= 0x80           # there is a heap, to:
    struct.pack_into("<H", kernel, 0x224, 0x8000 - 0x200)
    struct.pack_into("<II", kernel, 0x218, INITRD_BASE, len(initrd))
    struct.pack_into("<I", kernel, 0x228, COMMAND_LINE_BASE)
    image = bytearray(assemble(rundir, "linuxsector.S"))
    at = PARTS
    for address, data in ((0x90000, kernel[:real_mode_size]), (0x100000, kernel[real_mode_size:]),
                          (INITRD_BASE, initrd), (COMMAND_LINE_BASE, command_line)):
        sectors = (len(data) + 511) // 512
        struct.pack_into("<III", image, at, len(image) // 512, sectors, address)
        at += 12
        image += data.ljust(sectors * 512, b"\0")
    path.write_bytes(image.ljust((len(image) + 0xfffff) & ~0xfffff, b"\0"))
    return str(path)


@pytest.mark.parametrize("firmware", [False, True], ids=["boot-rom", "seabios"])
def test_disk_without_acpi(linux, tmp_path, firmware):
    """PCI interrupts by the tables of old: our $PIR without firmware, the MP table of SeaBIOS with it."""
    image = disks.patterned(tmp_path / "disk1", 8, seed=4)
    steps = {"disk": "load_drivers 2; dd if=$(disk 1) bs=1M count=8 2>/dev/null | sha256sum",
             "interrupts": "cat /proc/interrupts"}
    boot = linux(tmp_path, steps)
    boot[boot.index("-append") + 1] += " acpi=off"
    kernel_disk = disk_with_kernel(tmp_path / "disk0", tmp_path, boot)
    with guest("-no-reboot", "-m", "256", *([] if firmware else boot), *disks.CONTROLLER,
               *disks.hard_disk(0, kernel_disk), *disks.hard_disk(1, image)) as (_, console):
        assert console.wait_for("@@end interrupts", SECONDS), console.text[-2000:]
        text = console.text.replace("\r", "")
    with open(image, "rb") as stream:
        assert hashlib.sha256(stream.read()).hexdigest() in output(text, "disk"), text[-2000:]
    line = next(line for line in output(text, "interrupts").splitlines() if "sym53c8xx" in line)
    assert ("IO-APIC" if firmware else "XT-PIC") in line
