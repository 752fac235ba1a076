# SPDX-License-Identifier: GPL-2.0-or-later
# Our main emulator against a remote that breaks the protocol.
# Runs in: neither program; mpqemu is driven through qtest, the remote is in Python.
"""Whatever a remote does, the machine runs on: the function reads all ones, nothing hangs, no descriptor stays.

The proxy's time limit is set to half a second, so that silence is soon over.
"""

import os
import select
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
import lying                                                                        # noqa: E402
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, PCI_CFGREAD, PCI_CFGWRITE, FakeDevice,  # noqa: E402
                         LinkServer, socket_pair)

ROOT = os.path.dirname(os.path.dirname(HERE))
MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(ROOT, "build", "main", "mpqemu"))
WAIT = 30
ONES = 0xffffffff

pytestmark = pytest.mark.skipif(not os.access(MAIN, os.X_OK), reason=f"no {MAIN} here")


def nine_fds(server, message, honest):
    """More descriptors than the protocol knows."""
    lying.extra_fds(server, message, honest, 9)


def eight_fds(server, message, honest):
    """As many as any message may have."""
    lying.extra_fds(server, message, honest, 8)


# What ends the link when it comes instead of an answer with a value.
FATAL = [lying.never_reply, lying.hang_up, lying.half_reply, lying.half_reply_then_hang_up, lying.wrong_command,
         lying.wrong_size, lying.huge_size, lying.empty_reply, lying.two_replies, lying.extra_fds, eight_fds, nine_fds,
         lying.garbage, lying.drip]


class Machine:
    """mpqemu with a proxy in slot 4, and the remote behind it."""

    def __init__(self, before_start=None):
        ours, theirs = socket_pair()
        self.device = FakeDevice(bars={0: 256, 1: 4096}, io_bars=(0,))
        self.server = LinkServer(ours, self.device)
        if before_start:
            before_start(self.server)
        self.server.start()
        self.process = subprocess.Popen(
            [MAIN, "-machine", "pc", "-m", "16", "-nodefaults", "-accel", "qtest", "-display", "none",
             "-qtest", "stdio", "-device", f"pci-proxy-dev,id=p0,addr=04.0,timeout=500,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, bufsize=1)
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.server.stop()

    def qtest(self, command):
        """The words behind OK."""
        self.process.stdin.write(command + "\n")
        assert select.select([self.process.stdout], [], [], WAIT)[0], f"no answer to {command}"
        line = self.process.stdout.readline()
        assert line.startswith("OK"), line + self.process.stderr.read()
        return line.split()[1:]

    def config_read(self, addr):
        """A 4-byte read of configuration space."""
        self.qtest(f"outl 0xcf8 {0x80002000 + addr:#x}")
        return int(self.qtest("inl 0xcfc")[0], 0)

    def config_write(self, addr, value):
        """A 4-byte write."""
        self.qtest(f"outl 0xcf8 {0x80002000 + addr:#x}")
        self.qtest(f"outl 0xcfc {value:#x}")

    def map_bars(self):
        """Memory at 0xe0000000."""
        self.config_write(0x14, 0xe0000000)
        self.config_write(0x04, 7)

    def fds(self):
        """Number of descriptors of the program."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def must_live_without_device(self):
        """The machine works, the function reads all ones at once, its memory is gone."""
        begin = time.monotonic()
        assert self.config_read(0) == ONES
        assert int(self.qtest("readl 0xe0000000")[0], 0) == ONES
        self.qtest("writel 0xe0000000 1")
        assert time.monotonic() - begin < WAIT / 2
        self.qtest("writel 0x1000 0x12345678")
        assert int(self.qtest("readl 0x1000")[0], 0) == 0x12345678
        assert self.process.poll() is None


@pytest.mark.parametrize("behaviour", FATAL, ids=lambda b: b.__name__)
def test_lie_on_bar_read(behaviour):
    with Machine() as machine:
        machine.map_bars()
        assert int(machine.qtest("readl 0xe0000000")[0], 0) == 0
        before = machine.fds()
        machine.server.behave(BAR_READ, behaviour)
        assert int(machine.qtest("readl 0xe0000000")[0], 0) == ONES
        machine.must_live_without_device()
        assert machine.fds() <= before


@pytest.mark.parametrize("command", [BAR_WRITE, PCI_CFGREAD, PCI_CFGWRITE])
def test_hang_up_on_other_commands(command):
    with Machine() as machine:
        machine.map_bars()
        machine.server.behave(command, lying.hang_up)
        if command == BAR_WRITE:
            machine.qtest("writel 0xe0000000 1")
        elif command == PCI_CFGWRITE:
            machine.config_write(0x3c, 1)
        machine.must_live_without_device()


@pytest.mark.parametrize("behaviour", [lying.never_reply, lying.hang_up, lying.wrong_size], ids=lambda b: b.__name__)
def test_lie_on_reset_does_not_stop_the_start(behaviour):
    with Machine(lambda server: server.behave(DEVICE_RESET, behaviour)) as machine:
        machine.qtest("writel 0x1000 0x12345678")
        assert int(machine.qtest("readl 0x1000")[0], 0) == 0x12345678


@pytest.mark.parametrize("behaviour", FATAL, ids=lambda b: b.__name__)
@pytest.mark.parametrize("after", [0, 7])
def test_lie_while_probed_is_an_error_message(behaviour, after):
    """A remote that lies while it is asked what it is gives no device: the program says so and ends with 1."""
    with Machine(lambda server: server.behave(PCI_CFGREAD, behaviour, after)) as machine:
        _, errors = machine.process.communicate(timeout=WAIT)
        assert machine.process.returncode == 1
        assert "p0" in errors or "pci-proxy-dev" in errors
        assert len(errors.splitlines()) == 1


def test_failed_answers_read_all_ones_and_the_link_lives():
    with Machine() as machine:
        machine.map_bars()
        machine.server.behave(BAR_READ, lying.failed)
        assert int(machine.qtest("readl 0xe0000000")[0], 0) == ONES
        machine.server.behave(BAR_READ, lying.value_of(0x77))
        assert int(machine.qtest("readl 0xe0000000")[0], 0) == 0x77
        assert machine.config_read(0) == 0x10ff1af4


@pytest.mark.parametrize("width, mask", [("b", 0xff), ("w", 0xffff), ("l", 0xffffffff)])
def test_answers_wider_than_the_access_are_cut(width, mask):
    with Machine() as machine:
        machine.map_bars()
        machine.server.behave(BAR_READ, lying.value_of(0x1122334455667788))
        assert int(machine.qtest(f"read{width} 0xe0000000")[0], 0) == 0x1122334455667788 & mask


def test_death_while_idle():
    with Machine() as machine:
        machine.map_bars()
        machine.server.stop()
        machine.must_live_without_device()
