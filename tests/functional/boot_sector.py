# SPDX-License-Identifier: GPL-2.0-or-later
# Assembles the boot sectors of tests/guest.
# Runs in: neither program.
"""For tests that let SeaBIOS boot from a disk."""

import os
import subprocess

import guest_image
from packages import need
from witness import TESTS


def assemble(rundir, name):
    """The boot sector of tests/guest/NAME as bytes."""
    need("as", "ld")
    directory = os.path.join(TESTS, "guest")
    linked, binary = str(rundir / "boot.o"), str(rundir / "boot.bin")
    subprocess.run([guest_image.which("as"), "--32", "-I", directory, "-o", linked, os.path.join(directory, name)],
                   check=True)
    subprocess.run([guest_image.which("ld"), "-m", "elf_i386", "-Ttext", "0x7c00",
                    "--oformat", "binary", "-o", binary, linked], check=True)
    with open(binary, "rb") as code:
        return code.read()
