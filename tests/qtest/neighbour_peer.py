#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# The hostile half of the tests of a healthy neighbour: a main emulator's end of a link, with a guest behind it.
# Runs in: neither program; a process of its own beside qemu-remote, so that what it does costs its neighbour nothing
# here.
"""neighbour_peer.py WHAT FD: drives the LSI 53C895A behind link FD, with a disk at target 0 whose sector 64 hangs,
until it is killed."""

import os
import random
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../peers"))

import mpqemu_link                                       # noqa: E402  (needs the path above)
from hotplug_rig import RAM, Guest                       # noqa: E402
from lsi_driver import DSP, DSTAT, ISTAT0, MMIO_BASE     # noqa: E402

CODE = 0x100000               # in the guest's memory
INT = bytes.fromhex("00000898") + bytes(4)              # SCRIPTS: interrupt
JUMP_TO_ITSELF = bytes.fromhex("00000880") + CODE.to_bytes(4, "little")


def registers(guest):
    """A guest that writes anything anywhere, and lets the chip run whatever is in its memory."""
    rng = random.Random(1)
    os.pwrite(guest.memory, rng.randbytes(0x10000), CODE)
    while True:
        guest.link.bar_write(MMIO_BASE + rng.randrange(0x100), rng.getrandbits(8), 1)
        guest.link.bar_read(MMIO_BASE + rng.randrange(0x100), 1)
        if rng.randrange(50) == 0:
            guest.link.bar_write(MMIO_BASE + DSP, CODE + 4 * rng.randrange(0x4000), 4)


def interrupts(guest):
    """One interrupt after the other, each taken and acknowledged."""
    os.pwrite(guest.memory, INT, CODE)
    while True:
        guest.writel(MMIO_BASE + DSP, CODE)
        while not guest.readb(MMIO_BASE + ISTAT0) & 1:
            pass
        guest.readb(MMIO_BASE + DSTAT)
        os.eventfd_write(guest.resample, 1)


def endless_scripts(guest):
    """The chip's processor in a loop that never ends."""
    os.pwrite(guest.memory, JUMP_TO_ITSELF, CODE)
    while True:
        guest.start_up()
        guest.writel(MMIO_BASE + DSP, CODE)
        for _ in range(1000):
            guest.readb(MMIO_BASE + ISTAT0)


def disk_reads(guest):
    """64 KiB at a time, one after the other."""
    while True:
        guest.command([0x28, 0, 0, 0, 1, 0, 0, 0, 128, 0], 128 * 512)


def tables(guest):
    """A new memory table and new eventfds all the time."""
    while True:
        guest.link.sync_sysmem([mpqemu_link.Range(guest.memory, 0, RAM)])
        guest.link.set_irqfd(guest.irq, guest.resample)
        guest.link.barrier()


def unread_answers(guest):
    """Requests whose answers nobody reads, until nothing goes any more."""
    request = mpqemu_link.pack_conf(mpqemu_link.PCI_CFGREAD, 0, 0, 4)
    guest.link.stream.sock.settimeout(1)
    try:
        while True:
            guest.link.raw(request * 100)
    except (mpqemu_link.LinkError, OSError):
        signal.pause()


def hung_disk(guest):
    """A read that the host does not answer, and the reset of a driver that gives it up."""
    while True:
        guest.lsi.start([0x28, 0, 0, 0, 0, 64, 0, 0, 1, 0], data_len=512)
        guest.start_up()


def gone(_guest):
    """The end of the process, in the middle of everything."""


def stopped(guest):
    """Nothing any more, with a command under way."""
    guest.lsi.start([0x28, 0, 0, 0, 1, 0, 0, 0, 128, 0], data_len=65536)
    signal.pause()


WHAT = {function.__name__: function for function in
        (registers, interrupts, endless_scripts, disk_reads, tables, unread_answers, hung_disk, gone, stopped)}


def main():
    guest = Guest(mpqemu_link.LinkClient(socket.socket(fileno=int(sys.argv[2])), 60))
    guest.start_up()
    guest.command([0] * 6)
    guest.command([3, 0, 0, 0, 18, 0], 18)
    WHAT[sys.argv[1]](guest)


if __name__ == "__main__":
    main()
