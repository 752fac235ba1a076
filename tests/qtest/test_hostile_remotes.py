# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu with many hostile remotes at once, by seed.
# Runs in: neither program; drives mpqemu from outside, with remotes made in Python.
"""One mpqemu has HOSTILE proxies whose remotes are honest at first, and one with a remote that stays so.

From a random request on, a remote does what a random number tells it, for each request anew: it answers rightly, with a
random value, with changed bytes, twice, in pieces, with descriptors, not at all; it fills or empties the eventfds,
sends what nobody asked for, tries to change the size of guest RAM, or hangs up. The machine accesses all of them, at
random, and the honest one in between, whose answers must be right. At the end it has no more descriptors and not much
more memory than at the start, ends with status 0 (under ASan: without a leak), and has told of each death once.
"""

import contextlib
import os
import random
import time

import pytest

import lying
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, PCI_CFGREAD, PCI_CFGWRITE, FakeDevice, LinkServer,
                         pack_ret, socket_pair)
from qtest import Qtest

FIRST = 2                       # slot that the board leaves free
HOSTILE = 26                    # proxies in the slots from there; the honest one's is the next
HONEST = FIRST + HOSTILE
MACHINES = 12
BASE, STEP = 0xe0000000, 0x10000
ACCESSES = 25                   # to each hostile device
TIMEOUT_MS = 1000               # of the hostile ones, for the whole start-up, too
RSS_GROWTH_KIB = 16 * 1024


class Quiet(LinkServer):
    """A server without a thread for resample events: there are many of them."""

    def _resample(self):
        pass


class Hostile:
    """A behaviour that is random from request number AFTER on. Silence is rare, since each costs a time-out."""

    def __init__(self, seed, after):
        self.rng = random.Random(seed)
        self.after = after
        self.silent = self.rng.randrange(HOSTILE) == 0

    def __call__(self, server, message, honest):
        rng = self.rng
        if self.after:
            self.after -= 1
            server.stream.send(honest)
            return
        rng.choice((self.events, self.resize, self.nothing, self.nothing))(server)
        if self.silent and rng.randrange(4) == 0:
            return
        answer = rng.choice((self.honest, self.honest, self.honest, self.value, self.value, self.changed, self.noise,
                             self.twice, self.pieces, self.descriptors, self.wrong, self.end))
        answer(server, message, honest)

    def nothing(self, _server):
        pass

    def events(self, server):
        """Fills, empties or signals the eventfds, which the machine also holds."""
        for fd in server.irq_fds:
            with contextlib.suppress(BlockingIOError):
                what = self.rng.randrange(4)
                if what == 0:
                    os.set_blocking(fd, False)
                    os.eventfd_write(fd, (1 << 64) - 2)
                elif what == 1:
                    os.set_blocking(fd, False)
                    os.eventfd_read(fd)
                elif what == 2:
                    os.eventfd_write(fd, 1)
                else:
                    os.set_blocking(fd, self.rng.randrange(2) == 0)

    def resize(self, server):
        """Guest RAM is sealed: it must keep its size."""
        for r in server.ranges:
            with contextlib.suppress(PermissionError):
                os.ftruncate(r.fd, self.rng.choice((0, 4096, 1 << 30)))

    def honest(self, server, _message, honest):
        server.stream.send(honest)

    def value(self, server, _message, _honest):
        server.stream.send(pack_ret(self.rng.choice((0, 1, (1 << 64) - 1, self.rng.getrandbits(64)))))

    def changed(self, server, _message, honest):
        at = self.rng.randrange(len(honest))
        server.stream.send(honest[:at] + bytes([self.rng.randrange(256)]) + honest[at + 1:])
        self._more(server)

    def noise(self, server, _message, _honest):
        server.stream.send(self.rng.randbytes(self.rng.randrange(1, 100)))
        self._more(server)

    def twice(self, server, message, honest):
        lying.two_replies(server, message, honest)

    def pieces(self, server, message, honest):
        for i in range(0, len(honest), 5):
            server.stream.send(honest[i:i + 5])

    def descriptors(self, server, message, honest):
        lying.extra_fds(server, message, honest, self.rng.randrange(1, 12))

    def wrong(self, server, message, honest):
        self.rng.choice((lying.wrong_command, lying.wrong_size, lying.huge_size, lying.empty_reply))(
            server, message, honest)
        self._more(server)

    def end(self, server, message, honest):
        self.rng.choice((lying.hang_up, lying.half_reply_then_hang_up))(server, message, honest)

    def _more(self, server):
        """What was sent may be too short for an answer: fill it up, or leave the machine to its time limit."""
        if not self.silent:
            server.stream.send(bytes(256))


def rss(process):
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def access(q, slot, rng):
    """One access to the device in SLOT; its result means nothing."""
    base, size = BASE + slot * STEP, rng.choice((1, 2, 4, 8))
    what = rng.randrange(6)
    if what == 0:
        q.pci_read(slot, rng.randrange(64) * 4, 4)
    elif what == 1:
        q.pci_write(slot, rng.choice((0x3c, 0x0c, 0x40, 253, 254, 255)), 1, rng.getrandbits(8))
    elif what < 4:
        at = base + rng.randrange(0x1000 - 8)
        {1: q.readb, 2: q.readw, 4: q.readl, 8: q.readq}[size](at)
    else:
        at = base + rng.randrange(0x1000 - 8)
        {1: q.writeb, 2: q.writew, 4: q.writel, 8: q.writeq}[size](at, rng.getrandbits(8 * size))


def check_honest(q, rng):
    value = rng.getrandbits(32)
    q.writel(BASE + HONEST * STEP + 16, value)
    assert q.readl(BASE + HONEST * STEP + 16) == value
    assert q.pci_read(HONEST, 0, 4) == 0x10ff1af4


@pytest.mark.parametrize("seed", range(MACHINES))
def test_machine_outlives_its_remotes(main_program, seed, monkeypatch):
    # ASan keeps freed memory for a while, which would look like growth.
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1".lstrip(":"))
    rng = random.Random(seed)
    servers, ends, args = [], [], ["-m", "16"]
    with contextlib.ExitStack() as stack:
        for slot in range(FIRST, HONEST + 1):
            ours, theirs = socket_pair()
            ends.append(stack.enter_context(ours))
            servers.append(stack.enter_context(Quiet(theirs, FakeDevice(bars={0: 0x1000}))))
            args += ["-device", f"pci-proxy-dev,id=p{slot},addr={slot:x},fd={ours.fileno()}"
                     + (f",timeout={TIMEOUT_MS}" if slot != HONEST else "")]
        q = stack.enter_context(Qtest(main_program, args, pass_fds=[end.fileno() for end in ends]))
        for end in ends:
            end.close()
        for slot in range(FIRST, HONEST + 1):
            q.pci_write(slot, 0x10, 4, BASE + slot * STEP)
            q.pci_write(slot, 4, 2, 6)
        check_honest(q, rng)
        for slot, server in enumerate(servers[:HOSTILE], FIRST):
            behaviour = Hostile(f"{seed} {slot}", rng.randrange(ACCESSES))
            for command in (PCI_CFGREAD, PCI_CFGWRITE, BAR_READ, BAR_WRITE, DEVICE_RESET):
                server.behave(command, behaviour)
        before, memory = descriptors(q.process), rss(q.process)

        for _ in range(ACCESSES):
            for slot in rng.sample(range(FIRST, HONEST), HOSTILE):
                access(q, slot, rng)
            start = time.monotonic()
            check_honest(q, rng)
            assert time.monotonic() - start < 5

        assert descriptors(q.process) <= before
        assert rss(q.process) - memory < RSS_GROWTH_KIB
        for server in servers:
            for r in server.ranges:
                assert os.fstat(r.fd).st_size == 16 << 20
        lines = q.stderr().splitlines()
        for slot in range(FIRST, HONEST + 1):
            told = [line for line in lines if f"'p{slot}'" in line]
            assert len(told) <= (slot != HONEST), told
        assert len(lines) > HOSTILE // 2           # most were hostile enough to be given up
        q.pci_read(FIRST, 0, 4)
        assert q.close() == 0, q
