# SPDX-License-Identifier: GPL-2.0-or-later
# The monitor for people, as a script uses it: on a Unix socket and on a terminal.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Programs with monitors, and what expect scripts do with them.  All waits have a limit (WAIT seconds).

    with Program(path, *options, "-monitor", f"unix:{sock},server=on,wait=off") as program:
        with Hmp(sock) as hmp:
            assert hmp.run("info status") == "VM status: running\n"
"""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

WAIT = 60
PROMPT = "(qemu) "


def wait_until(condition, what):
    """Until condition() is true."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"{what} does not come"
        time.sleep(0.02)


class Program:
    """A process, ended by its own handle only."""

    def __init__(self, *words, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        self.process = subprocess.Popen(words, stdout=options.pop("stdout", subprocess.PIPE),
                                        stderr=options.pop("stderr", subprocess.PIPE), **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self):
        """(status, stderr) when it has ended by itself."""
        _, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, err.decode() if err else ""

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)
        return self.end()


class Hmp:
    """A client of a monitor in line mode."""

    def __init__(self, path, banner=True):
        deadline = time.monotonic() + WAIT
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(str(path))
                break
            except OSError:
                self.sock.close()
                assert time.monotonic() < deadline, f"nobody listens at {path}"
                time.sleep(0.02)
        self.sock.settimeout(WAIT)
        self.data = b""
        self.banner = self.read_prompt() if banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def read_prompt(self):
        """Text up to the next prompt, with LF line ends."""
        while PROMPT.encode() not in self.data:
            more = self.sock.recv(65536)
            assert more, f"the monitor has closed after {self.data!r}"
            self.data += more
        text, self.data = self.data.split(PROMPT.encode(), 1)
        return text.decode().replace("\r\n", "\n")

    def read_end(self):
        """What comes until the monitor closes."""
        while True:
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                text, self.data = self.data, b""
                return text.decode()
            self.data += more

    def send(self, data):
        self.sock.sendall(data)

    def run(self, line):
        """What a command prints."""
        self.send(line.encode() + b"\n")
        return self.read_prompt()


class Terminal(Program):
    """A program on a pseudo-terminal of its own, which is its controlling one; `screen` is what it shows."""

    def __init__(self, *words, env=None):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(self.slave)
        self.screen = ""
        super().__init__(*words, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
                         preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
                         env={**os.environ, "TERM": "xterm", **(env or {})})

    def __exit__(self, *args):
        super().__exit__(*args)
        os.close(self.master)
        os.close(self.slave)

    def type(self, keys):
        os.write(self.master, keys.encode())

    def _read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            text = os.read(self.master, 65536).decode(errors="replace")
            # The codes that colour and place are not of interest, only the text.
            self.screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def expect(self, text):
        """Waits until text is shown; returns what was before it, and forgets both."""
        deadline = time.monotonic() + WAIT
        while text not in self.screen:
            assert time.monotonic() < deadline, f"{text!r} does not come; there is {self.screen!r}"
            self._read(0.1)
        before, self.screen = self.screen.split(text, 1)
        return before

    def end(self):
        """(status, what was shown) when it has ended by itself."""
        deadline = time.monotonic() + WAIT
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; there is {self.screen!r}"
            self._read(0.05)
        self._read(0.05)
        return self.process.returncode, self.screen
