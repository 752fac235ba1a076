# SPDX-License-Identifier: GPL-2.0-or-later
# Linux' own 8250 driver on our UART: what it finds, and that no byte is lost in either direction, both at once.
# Runs in: neither program; boots Debian's kernel in mpqemu.
"""MPQEMU_SERIAL_ACCEL is the accelerator (default: emu)."""

import hashlib
import os
import random
import socket
import subprocess
import threading

import pytest

import guest_image
import witness
from witness import BUILD

MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(BUILD, "main", "mpqemu"))
ACCEL = os.environ.get("MPQEMU_SERIAL_ACCEL", "emu")
BOOT_SECONDS = 300
SIZE = 200000
DATA = random.Random(16550).randbytes(SIZE)
# The driver empties the receiver when a port is opened: it stays open, and the peer is told when it may send.
OPEN = "exec 3<>/dev/ttyS1; stty raw -echo 115200 <&3; printf G >&3;"
STEPS = {
    "finds": "cat /proc/tty/driver/serial",
    "both-ways": (120, f"head -c {SIZE} /dev/urandom >/tmp/data; sha256sum </tmp/data; {OPEN} "
                       f"cat /tmp/data >&3 & head -c {SIZE} <&3 | sha256sum; wait"),
    "counts": "grep ^1: /proc/tty/driver/serial",
}


class Peer(threading.Thread):
    """At the other end of the second port: when the guest is ready it sends all at once, and keeps what comes."""

    def __init__(self, sock):
        super().__init__(name="peer", daemon=True)
        self.sock, self.received = sock, b""
        self.start()

    def run(self):
        assert self.sock.recv(1) == b"G"
        threading.Thread(target=self.sock.sendall, args=(DATA,), daemon=True).start()
        while len(self.received) < SIZE:
            data = self.sock.recv(65536)
            if not data:
                return
            self.received += data


@pytest.fixture(name="run", scope="module")
def _run(linux, tmp_path_factory):
    """(steps by name, what the peer has received)"""
    rundir = tmp_path_factory.mktemp("serial")
    ours, theirs = socket.socketpair()
    boot = linux(rundir, STEPS)
    with ours, theirs:
        process = subprocess.Popen(
            [MAIN, "-accel", ACCEL, "-m", "256", "-nodefaults", "-no-reboot", "-serial", "stdio", "-chardev",
             f"socket,id=peer,fd={theirs.fileno()}", "-serial", "chardev:peer", *boot],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
        try:
            console = witness.Console(process.stdout)
            if not console.wait_for("@@guest up", BOOT_SECONDS):
                pytest.fail(f"the guest does not come up: {console.text[-2000:]}")
            theirs.close()
            peer = Peer(ours)
            assert console.wait_for("@@guest down", BOOT_SECONDS), console.text[-2000:]
            peer.join(10)
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return guest_image.parse_transcript(console.text), peer.received


def test_driver_finds_16550as(run):
    ports = run[0]["finds"].output
    assert "0: uart:16550A port:000003F8 irq:4" in ports
    assert "1: uart:16550A port:000002F8 irq:3" in ports
    assert "2: uart:unknown" in ports


def test_no_byte_is_lost(run):
    steps, received = run
    sent, got = (line.split()[0] for line in steps["both-ways"].lines if line.strip())
    assert got == hashlib.sha256(DATA).hexdigest()
    assert len(received) == SIZE and hashlib.sha256(received).hexdigest() == sent


def test_driver_saw_no_errors(run):
    """Framing and parity errors, breaks and overruns would be counted behind rx:."""
    words = run[0]["counts"].output.split()
    assert f"tx:{SIZE + 1}" in words and f"rx:{SIZE}" in words
    assert not [word for word in words if word[:3] in ("fe:", "pe:", "brk", "oe:", "bo:")]
