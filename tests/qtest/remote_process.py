# SPDX-License-Identifier: GPL-2.0-or-later
# Starts qemu-remote with links and talks to it with a few raw messages.
# Runs in: neither program; drives qemu-remote from outside.
"""Harness of the tests of qemu-remote.

The program is MPQEMU_REMOTE, else build/remote/qemu-remote. All waits have a limit (WAIT seconds). A remote is
started and ended by its own handle only.
"""

import os
import signal
import subprocess

import mpqemu_link
from device_process import device_pid

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("MPQEMU_BUILD", os.path.join(ROOT, "build"))
PROGRAM = os.environ.get("MPQEMU_REMOTE", os.path.join(BUILD, "remote", "qemu-remote"))
WAIT = 20
LSI_IDS = 0x00121000          # vendor 1000, device 0012


class Link(mpqemu_link.LinkClient):
    """The proxy's end of a link to a Remote that is still to be started."""

    def __init__(self):
        sock, self.remote_end = mpqemu_link.socket_pair()
        super().__init__(sock, WAIT)

    @property
    def fd(self):
        """Number of the remote's end, for the command line."""
        return self.remote_end.fileno()

    def started(self):
        """The remote has inherited its end: drop ours."""
        self.remote_end.close()

    def send(self, command, payload=b"", fds=(), size=None):
        """One message; size is what the header says, when it lies."""
        self.raw(mpqemu_link.pack(command, payload, size), fds)

    def reply(self):
        """The value of the next reply, or None at the end of the link."""
        try:
            message = self.read_message()
        except mpqemu_link.LinkClosed:
            return None
        assert (message.cmd, len(message.payload), message.fds) == (mpqemu_link.RET, 8, [])
        return mpqemu_link.VALUE.unpack(message.payload)[0]

    def ids(self):
        """Vendor and device id, or None at the end of the link."""
        try:
            return self.config_read(0, 4)
        except mpqemu_link.LinkClosed:
            return None


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

    @property
    def pid(self):
        """Of the process with the devices; once it has answered."""
        return device_pid(self.process.pid)

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
