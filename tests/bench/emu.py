# SPDX-License-Identifier: GPL-2.0-or-later
# The built-in CPU engine beside stock QEMU's TCG: the start of a kernel, and integer work.
# Runs in: neither program; boots guests in both.
"""Figures of -accel emu and of stock's -accel tcg, one processor each.

Boot: from the start of the emulator to the first line of /init. Work: tests/bench/work.c in the guest, by the
guest's clock. Million instructions a second: the instructions that valgrind counts for the same program on the
host, by that time.
"""

import os
import re
import subprocess
import time

import guest_image
import witness

HERE = os.path.dirname(os.path.abspath(__file__))
BOOT_SECONDS = 300
WORKS = ("sieve", "sort", "hash", "calls", "tree")


def build_work(directory):
    """Compile tests/bench/work.c for guest and host; returns its path."""
    program = os.path.join(directory, "work")
    subprocess.run(["cc", "-O2", "-static", "-o", program, os.path.join(HERE, "work.c")], check=True)
    return program


def instructions(program, name):
    """How many instructions the work NAME is; its start included, which is little."""
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, name],
                          capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


def guest(emulator, directory, kernel, program):
    """Boot one guest and let it work; returns {row: figure}."""
    layer = guest_image.Layer()
    layer.file(program, "/bin/work")
    cache = os.path.join(witness.BUILD, "tests", "guest")
    os.makedirs(cache, exist_ok=True)
    initrd = guest_image.build_initrd(os.path.join(directory, "initrd"), cache, [layer], {"work": (200, "work")})
    command = [*emulator.command, "-nodefaults", "-display", "none", "-no-reboot", "-m", "512", "-smp", "1",
               "-machine", "pc", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
               "-append", "console=ttyS0 panic=-1 quiet"]
    started = time.monotonic()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        console = witness.Console(process.stdout)
        try:
            assert console.wait_for("@@guest up", BOOT_SECONDS), console.text[-1000:]
            figures = {"start of the emulator to /init (ms)": (time.monotonic() - started) * 1000}
            assert console.wait_for("@@guest down", BOOT_SECONDS), console.text[-1000:]
        finally:
            process.kill()
            process.wait()
            console.join()
    for name, nanoseconds in re.findall(r"^(\w+) (\d+) [0-9a-f]{16}\r?$", console.text, re.M):
        figures[f"{name} (ms)"] = int(nanoseconds) / 1e6
    assert len(figures) == 1 + len(WORKS), console.text[-1000:]
    return figures


def report(options, directory, table):
    """Print the table of both, and the engine's instructions a second."""
    program = build_work(directory)
    kernel = guest_image.find_kernel(os.path.join(witness.BUILD, "tests", "guest"))[0]
    stock, ours = witness.Emulator("stock"), witness.Emulator("emu")
    ours.command[0] = options.main
    rounds = [{"stock, tcg": guest(stock, directory, kernel, program),
               "mpqemu, emu": guest(ours, directory, kernel, program)} for _ in range(options.rounds)]
    table("one processor without KVM", ["stock, tcg", "mpqemu, emu"], rounds, "lower")
    print("\nmillion instructions a second (higher is better; best of the rounds)")
    for name in WORKS:
        count = instructions(program, name)
        best = min(one["mpqemu, emu"][f"{name} (ms)"] for one in rounds)
        print(f"  {name:<40}{count / best / 1000:>22.0f}")
