# SPDX-License-Identifier: GPL-2.0-or-later
# Starts qemu-remote with links and talks to it with a few raw messages.
# Runs in: neither program; drives qemu-remote from outside.
"""Harness of the tests of qemu-remote.

The program is MPQEMU_REMOTE, else build/remote/qemu-remote. All waits have a limit (WAIT seconds). A remote is
started and ended by its own handle only.
"""

import os
import signal
import socket
import struct
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.environ.get("MPQEMU_REMOTE", os.path.join(ROOT, "build", "remote", "qemu-remote"))
WAIT = 20
LSI_IDS = 0x00121000          # vendor 1000, device 0012

SYNC_SYSMEM, RET, CFGWRITE, CFGREAD, BAR_WRITE, BAR_READ, SET_IRQFD, DEVICE_RESET = range(8)
ERROR = (1 << 64) - 1


class Link:
    """The proxy's end of a link, as bytes."""

    def __init__(self):
        self.sock, self.remote_end = socket.socketpair()
        self.sock.settimeout(WAIT)

    @property
    def fd(self):
        """Number of the remote's end, for the command line."""
        return self.remote_end.fileno()

    def started(self):
        """The remote has inherited its end: drop ours."""
        self.remote_end.close()

    def send(self, command, payload=b"", fds=(), size=None):
        """One message; size is what the header says, when it lies."""
        data = struct.pack("<iiQ", command, 0, len(payload) if size is None else size) + payload
        if fds:
            self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])
        else:
            self.sock.sendall(data)

    def reply(self):
        """The value of the next reply, or None at the end of the link."""
        try:
            data = self.sock.recv(24, socket.MSG_WAITALL)
        except ConnectionResetError:
            return None
        if not data:
            return None
        command, _, size, value = struct.unpack("<iiQQ", data)
        assert (command, size) == (1, 8)
        return value

    def _config(self, command, addr, value, size):
        try:
            self.send(command, struct.pack("<IIi", addr, value, size))
        except (BrokenPipeError, ConnectionResetError):
            return None
        return self.reply()

    def config_read(self, addr, size):
        """The value, ERROR, or None at the end of the link."""
        return self._config(CFGREAD, addr, 0, size)

    def config_write(self, addr, value, size):
        return self._config(CFGWRITE, addr, value, size)

    def ids(self):
        """Vendor and device id."""
        return self.config_read(0, 4)

    def bar_read(self, addr, size, memory=True):
        self.send(BAR_READ, struct.pack("<QQIB3x", addr, 0, size, memory))
        return self.reply()

    def bar_write(self, addr, value, size, memory=True):
        self.send(BAR_WRITE, struct.pack("<QQIB3x", addr, value, size, memory))
        return self.reply()

    def sync(self, *ranges):
        """The guest's RAM is now these (gpa, size, offset, fd)."""
        columns = [[part[i] for part in ranges] for i in range(3)]
        payload = b"".join(struct.pack("<8Q", *(column + [0] * 8)[:8]) for column in columns)
        self.send(SYNC_SYSMEM, payload, [part[3] for part in ranges])

    def set_irqfd(self, irqfd, resamplefd):
        self.send(SET_IRQFD, b"", [irqfd, resamplefd])

    def close(self):
        self.sock.close()


class Remote:
    """A running qemu-remote; a context manager that leaves nothing behind.

    args    options; a Link in the place of a word is its descriptor number, as is '{}' in a word after
            one: ("-object", "x-remote-object,id=r0,devid=lsi0,fd={}", link)
    fds     more descriptors to inherit
    """

    def __init__(self, *args, fds=()):
        words, links = [], []
        for arg in args:
            if isinstance(arg, Link):
                links.append(arg)
                words[-1] = words[-1].format(arg.fd)
            else:
                words.append(arg)
        self.links = links
        self.process = subprocess.Popen(
            [PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=[*(link.fd for link in links), *fds], text=True)
        for link in links:
            link.started()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for link in self.links:
            link.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def wait(self):
        """(status, stdout, stderr) after the process has ended by itself."""
        out, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, out, err

    def terminate(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait()


def serve(link, devid="lsi0", name="r0"):
    """Options that serve devid on link."""
    return "-object", f"x-remote-object,id={name},devid={devid},fd={{}}", link


def run(*args, fds=()):
    """(status, stdout, stderr) of a remote that ends by itself."""
    with Remote(*args, fds=fds) as remote:
        return remote.wait()
