# SPDX-License-Identifier: GPL-2.0-or-later
# Stock QEMU's CPU runs our boot ROM on what our loader has put into guest RAM, and Debian's kernel comes up.
# Runs in: neither program; reads the ROM and RAM out of mpqemu, and gives them to stock QEMU.
"""The boot path has a CPU of somebody else's: ROM as firmware, RAM as an image.

mpqemu stands still under qtest; what -kernel, -initrd and -append have made of its memory is read from it, and stock's
"loader" device puts it at the same addresses.
"""

import base64
import os
import subprocess

import pytest

import guest_image
from qtest import Qtest
from witness import BUILD, STOCK, Console

MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(BUILD, "main", "mpqemu"))
MIB = 1 << 20
RAM = 192 * MIB
ROM_BASE, ROM_SIZE = 0xfffff000, 0x1000
FIRMWARE_SIZE = 0x10000     # stock wants whole 64 KiB, ending at 4 GiB like the ROM
LOW_RAM = 0xa0000
APPEND = "console=ttyS0 panic=-1 acpi=off"
STEPS = {"boots": "cat /proc/cmdline"}


def read_memory(q, address, size, path):
    """Copies guest memory to a new file."""
    with open(path, "wb") as out:
        for at in range(address, address + size, MIB):
            part = min(MIB, address + size - at)
            out.write(base64.b64decode(q.command(f"b64read {at:#x} {part:#x}")))


@pytest.fixture(params=["bzImage", "pvh"])
def console(request, linux, tmp_path):
    """What the guest prints."""
    boot = linux(tmp_path, STEPS)
    boot[boot.index("-append") + 1] = APPEND
    if request.param == "pvh":
        vmlinux = tmp_path / "vmlinux"
        vmlinux.write_bytes(guest_image.unpack_vmlinux(boot[1]))
        boot[1] = str(vmlinux)
    rom, low, high = (str(tmp_path / name) for name in ("rom", "low", "high"))
    with Qtest(MAIN, ["-m", str(RAM // MIB), *boot]) as q:
        read_memory(q, ROM_BASE, ROM_SIZE, rom)
        read_memory(q, 0, LOW_RAM, low)
        read_memory(q, MIB, RAM - MIB, high)
    with open(rom, "rb") as stream:
        code = stream.read()
    with open(rom, "wb") as stream:
        stream.write(bytes(FIRMWARE_SIZE - ROM_SIZE) + code)
    main = subprocess.Popen(
        [STOCK, "-accel", "tcg", "-machine", "pc", "-m", str(RAM // MIB), "-nodefaults", "-display", "none",
         "-no-reboot", "-serial", "stdio", "-bios", rom, "-device", f"loader,file={low},addr=0,force-raw=on",
         "-device", f"loader,file={high},addr={MIB:#x},force-raw=on"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        output = Console(main.stdout)
        output.wait_for("@@guest down", 120)    # without ACPI it cannot power off
        return output.text
    finally:
        main.kill()
        main.wait()


def test_kernel_boots_by_our_rom_on_stocks_cpu(console):
    assert "Linux version" in console, console[-2000:]
    assert f"\n{APPEND}" in console.replace("\r", ""), console[-2000:]    # printed by a step, so the initrd was found
    assert "@@end boots status=0" in console, console[-2000:]
