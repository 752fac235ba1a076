# SPDX-License-Identifier: GPL-2.0-or-later
# What the reset vector finds: -kernel, -initrd, -append and -bios as a guest would see them, and what they refuse.
# Runs in: neither program; drives mpqemu from outside.
"""Kernels are synthetic; tests/functional boots real ones.  Layout: hw/i386/linux-boot.h, hw/i386/bootrom.h."""

import struct
import subprocess
import time

import pytest

from device_process import CONFINES
from qtest import Qtest
from qmp import Qmp

MIB = 1 << 20
RAM = 64 * MIB
SETUP = 1024                                    # one sector of setup behind the boot sector
KERNEL_ADDRESS, KERNEL_SIZE = 16 * MIB, 8 * MIB
BOOT_PARAMS, CMDLINE = 0x7000, 0x20000
ROM, ROM_PARAMS = 0xfffff000, 0xffffff80
CODE = bytes(range(256)) * 16


def bzimage(**fields):
    """A kernel that wants KERNEL_SIZE bytes at KERNEL_ADDRESS."""
    image = bytearray(SETUP) + CODE
    values = {"setup_sects": (0x1f1, "B", 1), "syssize": (0x1f4, "<I", len(CODE) // 16),
              "boot_flag": (0x1fe, "<H", 0xaa55), "jump": (0x200, "<H", 0x6aeb),
              "magic": (0x202, "4s", b"HdrS"), "version": (0x206, "<H", 0x20f),
              "loadflags": (0x211, "B", 1), "initrd_addr_max": (0x22c, "<I", 0x7fffffff),
              "alignment": (0x230, "<I", 0x200000), "relocatable": (0x234, "B", 1), "xloadflags": (0x236, "<H", 1),
              "cmdline_size": (0x238, "<I", 255), "pref_address": (0x258, "<Q", KERNEL_ADDRESS),
              "init_size": (0x260, "<I", KERNEL_SIZE)}
    for name, (offset, form, value) in values.items():
        struct.pack_into(form, image, offset, fields.get(name, value))
    return bytes(image)


@pytest.fixture
def files(tmp_path):
    """Function (name, bytes) -> path of a new file."""
    def make(name, content):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)
    return make


def boot_options(files):
    return ["-m", str(RAM // MIB), "-kernel", files("kernel", bzimage()), "-initrd", files("initrd", b"the initrd"),
            "-append", "console=ttyS0"]


def check_memory(q):
    assert q.read(KERNEL_ADDRESS, len(CODE)) == CODE
    assert q.read(CMDLINE, 14) == b"console=ttyS0\0"
    initrd = q.readl(BOOT_PARAMS + 0x218)
    assert q.read(initrd, q.readl(BOOT_PARAMS + 0x21c)) == b"the initrd"
    assert q.readl(BOOT_PARAMS + 0x228) == CMDLINE


@pytest.mark.parametrize("sandbox", ["off", pytest.param("on", marks=pytest.mark.skipif(
    not CONFINES, reason="what a sanitizer does at the end of a thread is not on the list of system calls"))])
def test_kernel_is_in_memory(main_program, files, sandbox):
    with Qtest(main_program, [*boot_options(files), "-sandbox", sandbox]) as q:
        check_memory(q)


def test_boot_rom_is_at_the_reset_vector(main_program, files):
    with Qtest(main_program, boot_options(files)) as q:
        assert q.readb(0xfffffff0) == 0xe9      # a jump
        mode, page_table, entry, argument = struct.unpack("<IIQQ", q.read(ROM_PARAMS, 24))
        assert (mode, page_table, entry, argument) == (1, 0x9000, KERNEL_ADDRESS + 0x200, BOOT_PARAMS)
        code = q.read(ROM, 0x1000)
        q.write(ROM, bytes(0x1000))
        assert q.read(ROM, 0x1000) == code


def test_memory_map_and_acpi(main_program, files):
    with Qtest(main_program, boot_options(files)) as q:
        table = [struct.unpack("<QQI", q.read(BOOT_PARAMS + 0x2d0 + 20 * i, 20))
                 for i in range(q.readb(BOOT_PARAMS + 0x1e8))]
        usable = [(start, size) for start, size, kind in table if kind == 1]
        acpi, = [(start, size) for start, size, kind in table if kind == 3]
        assert usable == [(0, 0xa0000), (MIB, acpi[0] - MIB)]
        assert acpi[0] + acpi[1] == RAM
        rsdp = q.readq(BOOT_PARAMS + 0x70)
        assert acpi[0] <= rsdp < RAM and q.read(rsdp, 8) == b"RSD PTR "
        initrd = q.readl(BOOT_PARAMS + 0x218)
        assert initrd + 4096 <= acpi[0]
        assert q.read(0xf0000, 4) == b"_SM_"


def test_reset_writes_all_anew(main_program, files, tmp_path):
    socket = str(tmp_path / "qmp")
    with Qtest(main_program, [*boot_options(files), "-qmp", f"unix:{socket},server=on,wait=off"]) as q:
        for address in (BOOT_PARAMS, CMDLINE, KERNEL_ADDRESS, q.readl(BOOT_PARAMS + 0x218), 0x9000, 0xf0000):
            q.memset(address, 0x1000, 0xee)
        with Qmp.connect(socket) as qmp:
            qmp.negotiate()
            qmp.command("system_reset")
        check_memory(q)
        assert q.read(0xf0000, 4) == b"_SM_"
        assert q.readq(0x9000) == 0xa003        # the page tables' first entry


def test_guest_resets_by_0xcf9(main_program, files):
    with Qtest(main_program, boot_options(files)) as q:
        q.memset(KERNEL_ADDRESS, 0x1000, 0xee)
        q.outb(0xcf9, 0x06)
        deadline = time.monotonic() + 20
        while True:         # the reset comes from the main loop, and memory is read beside it
            try:
                check_memory(q)
                break
            except AssertionError:
                if time.monotonic() > deadline:
                    raise


def test_firmware_is_at_both_places(main_program, files):
    image = b"".join(struct.pack("<I", n) * 4 for n in range(0x40000 // 16))
    with Qtest(main_program, ["-bios", files("bios", image)]) as q:
        assert q.read(0xfffc0000, 0x1000) == image[:0x1000]
        assert q.read(0xfffff000, 0x1000) == image[-0x1000:]
        assert q.read(0xe0000, 0x20000) == image[-0x20000:]
        assert q.readl(0xdfffc) == 0xffffffff
        q.writel(0xf0000, 0)                    # the host bridge shows ROM there
        assert q.read(0xf0000, 0x1000) == image[-0x10000:-0xf000]


def test_small_firmware_has_a_small_copy(main_program, files):
    image = bytes(range(256)) * 256
    with Qtest(main_program, ["-bios", files("bios", image)]) as q:
        assert q.read(0xffff0000, 0x100) == q.read(0xf0000, 0x100) == image[:0x100]
        assert q.readl(0xffff0000 - 4) == q.readl(0xf0000 - 4) == 0xffffffff


def test_clock_has_the_sizes_of_memory(main_program):
    def cmos(q, index):
        q.outb(0x70, index)
        return q.inb(0x71)

    with Qtest(main_program, ["-m", "64"]) as q:
        assert cmos(q, 0x15) | cmos(q, 0x16) << 8 == 640
        assert cmos(q, 0x17) | cmos(q, 0x18) << 8 == 63 * 1024
        assert cmos(q, 0x34) | cmos(q, 0x35) << 8 == 48 * 16
        assert [cmos(q, index) for index in (0x5b, 0x5c, 0x5d)] == [0, 0, 0]
    with Qtest(main_program, ["-m", "3100"]) as q:
        assert cmos(q, 0x17) | cmos(q, 0x18) << 8 == 65535
        assert cmos(q, 0x34) | cmos(q, 0x35) << 8 == (3072 - 16) * 16
        assert cmos(q, 0x5b) | cmos(q, 0x5c) << 8 == 28 * 16


def test_clock_starts_at_its_base(main_program):
    with Qtest(main_program, ["-rtc", "base=2006-06-17T16:01:21"]) as q:
        def clock(index):
            q.outb(0x70, index)
            return q.inb(0x71)
        assert [clock(index) for index in (0x32, 9, 8, 7, 4, 2, 0)] == [0x20, 0x06, 0x06, 0x17, 0x16, 0x01, 0x21]


def refused(program, args):
    result = subprocess.run([program, "-accel", "qtest", *args], stdin=subprocess.DEVNULL, timeout=20,
                            capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("mpqemu: ") and result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.parametrize("args, words", [
    (["-initrd", "x"], "-initrd x: only a kernel takes it; add -kernel"),
    (["-append", "x"], "-append x: only a kernel takes it; add -kernel"),
    (["-kernel", "/no/such/file"],
     "-kernel: Could not open '/no/such/file': No such file or directory; check the path"),
    (["-kernel", "/"], "-kernel /: this is a directory; give a regular file"),
    (["-kernel", "x", "-bios", "y"], "-bios y: -kernel is booted without firmware"),
    (["-bios", "/no/such/file"], "-bios: Could not open '/no/such/file': No such file or directory; check the path"),
    (["-bios", "no-such-file"], "-bios: there is no file 'no-such-file' here or in"),
    (["-bios", "/"], "-bios: '/' cannot be read"),
    (["-machine", "none", "-bios", "x"], "-machine none boots nothing"),
    (["-machine", "none", "-kernel", "x"], "-machine none boots nothing"),
    (["-boot", "n"], "disks are tried first"),
    (["-boot", "menu=on"], "without a menu"),
    (["-boot", "once=d"], "once"),
    (["-rtc", "base=tomorrow"], "tomorrow"),
    (["-rtc", "clock=host"], "use clock=vm"),
    (["-rtc", "driftfix=slew"], "driftfix"),
])
def test_refused_options(main_program, args, words):
    assert words in refused(main_program, args)


@pytest.mark.parametrize("fields, words", [
    ({"magic": b"HdrX"}, "neither a bzImage nor an ELF kernel"),
    ({"xloadflags": 0}, "no 64-bit entry; use one for x86-64"),
    ({"version": 0x20b}, "boot protocol 2.11 has no 64-bit entry"),
    ({"syssize": 0x10000}, "truncated"),
    ({"init_size": 70 * MIB}, "it needs 72 MiB of memory, and there are only 63; give -m 88 or more"),
])
def test_refused_kernels(main_program, files, fields, words):
    assert words in refused(main_program, ["-m", "64", "-kernel", files("kernel", bzimage(**fields))])


def test_advice_on_memory_counts_the_initrd_in(main_program, files):
    """Whoever follows it does not meet the next error."""
    kernel, initrd = files("kernel", bzimage(init_size=70 * MIB)), files("initrd", bytes(100 * MIB))
    boot = ["-kernel", kernel, "-initrd", initrd]
    assert "give -m 188 or more" in refused(main_program, ["-m", "64", *boot])
    with Qtest(main_program, ["-m", "188", *boot]):
        pass


def test_more_memory_than_the_host_has_is_told(main_program):
    run = subprocess.run([main_program, "-accel", "qtest", "-m", "500G", "-nodefaults", "-S", "-qmp", "stdio"],
                         input='{"execute":"qmp_capabilities"}{"execute":"quit"}', timeout=60, capture_output=True,
                         text=True, check=False)
    assert run.returncode == 0 and run.stderr.count("\n") == 1
    assert "-m: 512000 MiB are more than this host's" in run.stderr and "give less" in run.stderr


def test_long_command_line_is_refused(main_program, files):
    kernel = files("kernel", bzimage())
    with Qtest(main_program, ["-kernel", kernel, "-append", "x" * 255]) as q:
        assert q.read(CMDLINE, 256) == b"x" * 255 + b"\0"
    assert "-append: the text has 256 characters; this kernel takes 255" in refused(
        main_program, ["-kernel", kernel, "-append", "x" * 256])


def test_large_initrd_is_refused(main_program, files):
    args = ["-m", "64", "-kernel", files("kernel", bzimage()), "-initrd", files("initrd", bytes(40 * MIB))]
    assert "-initrd: its 40 MiB do not fit into the memory beside the kernel; give -m 80 or more" in refused(
        main_program, args)


@pytest.mark.parametrize("size", [0, 0xffff, 0x10001, (16 << 20) + 0x10000])
def test_firmware_of_odd_size_is_refused(main_program, files, size):
    assert "firmware has a multiple of 64 KiB, and 16 MiB at most" in refused(
        main_program, ["-bios", files("bios", bytes(size))])
