# SPDX-License-Identifier: GPL-2.0-or-later
# What a disk command costs with guest RAM mapped and with bounced DMA.
# Runs in: neither program; starts mpqemu, which starts its remotes.
"""Figures of `scripts/bench --only dma`.

A SCRIPTS program runs the same SCSI command CHAIN times before its one interrupt, so that qtest's own cost, which is
that of a few register accesses, is spread over them.  The program lies in the chip's own RAM, as Linux's does, or in
guest RAM, from where each instruction is a DMA read.
"""

import os
import statistics
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for _directory in ("../peers", "../qtest"):
    sys.path.insert(0, os.path.join(HERE, _directory))

from lsi_driver import (BUFFER, CDB, DONE, DSP, MESSAGE, RAM_BASE, SCRATCHA, SCRIPT, STATUS_BYTE,   # noqa: E402
                        script)
from managed import Managed, image      # noqa: E402

CHAIN = 12          # commands of one program: as many as the chip's 8 KiB hold in 16 pieces
RUNS = 60
PAGE = 4096

ROWS = {            # row -> operation code, bytes, bytes of a piece, address of the program
    "read 4 KiB": (0x28, PAGE, PAGE, RAM_BASE),
    "write 4 KiB": (0x2a, PAGE, PAGE, RAM_BASE),
    "read 64 KiB in one piece": (0x28, 16 * PAGE, 16 * PAGE, RAM_BASE),
    "write 64 KiB in one piece": (0x2a, 16 * PAGE, 16 * PAGE, RAM_BASE),
    "read 64 KiB in 16 pages": (0x28, 16 * PAGE, PAGE, RAM_BASE),
    "write 64 KiB in 16 pages": (0x2a, 16 * PAGE, PAGE, RAM_BASE),
    "read 4 KiB, program in guest RAM": (0x28, PAGE, PAGE, SCRIPT),
}


def command_us(machine, lsi, opcode, size, piece, base):
    """Microseconds of one command."""
    q = machine.q
    step = len(script(0, 10, size, base, piece))
    program = b"".join(script(0, 10, size, base + i * step, piece, None if i == CHAIN - 1 else base + (i + 1) * step)
                       for i in range(CHAIN))
    q.write(MESSAGE, b"\xc0")
    q.write(CDB, bytes([opcode, 0, 0, 0, 0, 0, 0, *(size // 512).to_bytes(2, "big"), 0]))
    q.write(base, program)
    times = []
    for _ in range(RUNS):
        q.write(STATUS_BYTE, b"\xff")
        start = time.perf_counter()
        lsi.writel(DSP, base)
        q.wait_irq(lsi.pin, "raise")
        times.append(time.perf_counter() - start)
        assert lsi.acknowledge()[2] == DONE and lsi.status() == 0
        lsi.ioapic.end()
        q.wait_irq(lsi.pin, "lower")
    return statistics.median(times) / CHAIN * 1e6


def register_us(lsi, count):
    """Microseconds of a register read by qtest, this client's own cost included."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        lsi.readl(SCRATCHA)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def figures(main_program, remote_program, directory):
    """{dma=map, dma=bounce: {row: microseconds}}, of one round."""
    result = {}
    for dma in ("map", "bounce"):
        with Managed(main_program, directory, "-remote", f"rid=r,exec={remote_program}",
                     "-rdrive", f"rid=r,id=d0,file={image(directory / 'disk')},format=raw",
                     "-rdevice", f"lsi53c895a,rid=r,id=lsi0,dma={dma}",
                     "-rdevice", "scsi-hd,rid=r,id=hd0,drive=d0,bus=lsi0.0") as machine:
            lsi = machine.lsi()
            machine.read_sector(lsi)
            machine.q.memset(BUFFER, 16 * PAGE, 0x5a)
            rows = {row: command_us(machine, lsi, *what) for row, what in ROWS.items()}
            rows["register read, by qtest"] = register_us(lsi, 2000)
            result[f"dma={dma}"] = rows
    return result
