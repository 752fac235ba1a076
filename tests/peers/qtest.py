# SPDX-License-Identifier: GPL-2.0-or-later
# A client of QEMU's qtest protocol that starts and ends the emulator under test.
# Runs in: neither program; drives mpqemu (or a stock main emulator) from outside.
"""qtest client.

Theory of operation

The client listens on a socket of its own, the emulator connects (-qtest unix:PATH) and ends by
itself when the client closes, so a test that dies leaves nothing behind. A line "IRQ raise N" or
"IRQ lower N" may come at any time, also in front of an answer; it is kept in `irqs`, in order.

Every wait has a deadline; a failed one shows the end of the emulator's standard error.
"""

import os
import select
import shutil
import socket
import subprocess
import tempfile
import time

WAIT = 20.0  # seconds: far above any answer, so only a hang reaches it


class QtestError(Exception):
    """The emulator answered FAIL, closed the connection, or was silent for too long."""


class Qtest:
    """An emulator and the qtest connection to it; a context manager."""

    def __init__(self, program, args, pass_fds=(), wait=WAIT):
        self.wait = wait
        self.irqs = []
        self._buffer = b""
        self._connection = None
        self._directory = tempfile.mkdtemp(prefix="qtest-")
        path = os.path.join(self._directory, "qtest.sock")
        self._stderr = open(os.path.join(self._directory, "stderr"), "w+b")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(0.05)
            self.process = subprocess.Popen(
                [program, "-accel", "qtest", "-qtest", "unix:" + path, *args],
                stdin=subprocess.DEVNULL, stderr=self._stderr, pass_fds=pass_fds)
            deadline = time.monotonic() + wait
            while self._connection is None:
                try:
                    self._connection = listener.accept()[0]
                except socket.timeout:
                    if self.process.poll() is not None:
                        text = self.stderr()
                        self.close()
                        raise QtestError(f"exit status {self.process.returncode}: {text}") from None
                    if time.monotonic() > deadline:
                        self.process.kill()
                        self.close()
                        raise QtestError("no connection") from None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def stderr(self):
        """What the emulator has written to standard error so far."""
        with open(self._stderr.name, "rb") as stream:
            return stream.read().decode(errors="replace")

    def close(self):
        """Ends the emulator and returns its exit status."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        try:
            self.process.wait(self.wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stderr.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        return self.process.returncode

    # -- lines -------------------------------------------------------------------------------

    def _line(self, deadline):
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                raise QtestError("no answer; stderr: " + self.stderr()[-2000:])
            data = self._connection.recv(1 << 20)
            if not data:
                raise QtestError("connection closed; stderr: " + self.stderr()[-2000:])
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def _event(self, line):
        words = line.split()
        if words[:1] != ["IRQ"]:
            return False
        self.irqs.append((words[1], int(words[2])))
        return True

    def raw(self, data):
        """Sends any bytes."""
        self._connection.settimeout(self.wait)
        self._connection.sendall(data)

    def send(self, text):
        """Sends a command line without waiting for the answer."""
        self.raw(text.encode() + b"\n")

    def answer(self, timeout=None):
        """The answer's text behind OK."""
        deadline = time.monotonic() + (timeout or self.wait)
        while True:
            line = self._line(deadline)
            if self._event(line):
                continue
            if line == "OK" or line.startswith("OK "):
                return line[3:]
            raise QtestError(line)

    def command(self, text):
        """Sends a command line; the answer's text behind OK."""
        self.send(text)
        return self.answer()

    def wait_irq(self, pin, level, timeout=None):
        """Waits for the next event of PIN that is not looked at yet; it must be 'raise' or 'lower'."""
        deadline = time.monotonic() + (timeout or self.wait)
        while True:
            for i, (what, which) in enumerate(self.irqs):
                if which == pin:
                    del self.irqs[i]
                    assert what == level, f"IRQ {what} {pin}, expected {level}"
                    return
            line = self._line(deadline)
            assert self._event(line), f"unexpected line {line!r}"

    def no_irq(self, pin, seconds=0.1):
        """True when no event of PIN comes for a while."""
        deadline = time.monotonic() + seconds
        try:
            while not any(which == pin for _, which in self.irqs):
                line = self._line(deadline)
                assert self._event(line), f"unexpected line {line!r}"
        except QtestError:
            return True
        return False

    # -- accesses ----------------------------------------------------------------------------

    def inb(self, port):
        return int(self.command(f"inb 0x{port:x}"), 0)

    def inw(self, port):
        return int(self.command(f"inw 0x{port:x}"), 0)

    def inl(self, port):
        return int(self.command(f"inl 0x{port:x}"), 0)

    def outb(self, port, value):
        self.command(f"outb 0x{port:x} 0x{value:x}")

    def outw(self, port, value):
        self.command(f"outw 0x{port:x} 0x{value:x}")

    def outl(self, port, value):
        self.command(f"outl 0x{port:x} 0x{value:x}")

    def readb(self, addr):
        return int(self.command(f"readb 0x{addr:x}"), 0)

    def readw(self, addr):
        return int(self.command(f"readw 0x{addr:x}"), 0)

    def readl(self, addr):
        return int(self.command(f"readl 0x{addr:x}"), 0)

    def readq(self, addr):
        return int(self.command(f"readq 0x{addr:x}"), 0)

    def writeb(self, addr, value):
        self.command(f"writeb 0x{addr:x} 0x{value:x}")

    def writew(self, addr, value):
        self.command(f"writew 0x{addr:x} 0x{value:x}")

    def writel(self, addr, value):
        self.command(f"writel 0x{addr:x} 0x{value:x}")

    def writeq(self, addr, value):
        self.command(f"writeq 0x{addr:x} 0x{value:x}")

    def read(self, addr, size):
        """SIZE bytes of memory."""
        return bytes.fromhex(self.command(f"read 0x{addr:x} 0x{size:x}")[2:])

    def write(self, addr, data):
        """Bytes to memory."""
        self.command(f"write 0x{addr:x} 0x{len(data):x} 0x{data.hex()}")

    def memset(self, addr, size, value):
        self.command(f"memset 0x{addr:x} 0x{size:x} 0x{value:x}")

    def clock_step(self, ns=None):
        return int(self.command("clock_step" if ns is None else f"clock_step {ns}"))

    def irq_intercept_in(self, path):
        self.command(f"irq_intercept_in {path}")

    def set_irq_in(self, path, pin, level):
        self.command(f"set_irq_in {path} unnamed-gpio-in {pin} {level}")

    # -- PCI config space, mechanism 1 ---------------------------------------------------------

    def pci_select(self, slot, offset, function=0):
        """Selects the double word of OFFSET; returns the data port of its byte."""
        self.outl(0xcf8, 1 << 31 | slot << 11 | function << 8 | offset & 0xfc)
        return 0xcfc + (offset & 3)

    def pci_read(self, slot, offset, size, function=0):
        port = self.pci_select(slot, offset, function)
        return {1: self.inb, 2: self.inw, 4: self.inl}[size](port)

    def pci_write(self, slot, offset, size, value, function=0):
        port = self.pci_select(slot, offset, function)
        {1: self.outb, 2: self.outw, 4: self.outl}[size](port, value)
