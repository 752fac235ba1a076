# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu against remotes that lie, hang, die, or speak nonsense.
# Runs in: neither program; drives mpqemu from outside, with remotes made in Python.
"""The remotes are tests/peers/mpqemu_link.py's LinkServer with the behaviours of lying.py.

In every case the machine must live on: another device answers, the main emulator ends when told to,
with status 0, and its descriptors do not pile up.
"""

import os
import random
import signal
import socket
import subprocess
import time

import pytest

import lying
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, PCI_CFGREAD, PCI_CFGWRITE, FakeDevice,
                         LinkServer, socket_pair)
from qtest import Qtest, QtestError

BAR = 0xe0000000
TIMEOUT_MS = 1500

BEHAVIOURS = {
    "silent": lying.never_reply,
    "hang-up": lying.hang_up,
    "half-reply": lying.half_reply,
    "half-reply-then-hang-up": lying.half_reply_then_hang_up,
    "wrong-command": lying.wrong_command,
    "wrong-size": lying.wrong_size,
    "huge-size": lying.huge_size,
    "empty-reply": lying.empty_reply,
    "one-fd": lying.extra_fds,
    "nine-fds": lambda s, m, h: lying.extra_fds(s, m, h, count=9),
    "garbage": lying.garbage,
}

REQUESTS = {"config-read": PCI_CFGREAD, "config-write": PCI_CFGWRITE, "bar-read": BAR_READ,
            "bar-write": BAR_WRITE}


def fake_device():
    return FakeDevice(bars={0: 0x1000, 1: 0x100}, io_bars=(1,))


class Machine:
    """mpqemu with a fake remote in slot 2 and an honest one in slot 3."""

    def __init__(self, program, device=None, options=f",timeout={TIMEOUT_MS}", prepare=None):
        self.servers = []
        args, fds = ["-m", "16"], []
        for name, made in (("p1", device or fake_device()), ("p2", fake_device())):
            ours, theirs = socket_pair()
            server = LinkServer(theirs, made)
            if prepare and not self.servers:
                prepare(server)
            self.servers.append(server.start())
            fds.append(ours)
            args += ["-device", f"pci-proxy-dev,id={name},fd={ours.fileno()}{options}"]
        try:
            self.q = Qtest(program, args, pass_fds=[s.fileno() for s in fds])
        except QtestError:
            self._stop_servers()
            raise
        finally:
            for sock in fds:
                sock.close()
        self.server = self.servers[0]

    def __enter__(self):
        for slot, base in ((2, BAR), (3, BAR + 0x10000)):
            self.q.pci_write(slot, 0x10, 4, base)
            self.q.pci_write(slot, 4, 2, 6)
        return self

    def __exit__(self, kind, *_):
        status = self.q.close()
        self._stop_servers()
        assert kind or status == 0

    def _stop_servers(self):
        for server in self.servers:
            server.stop()

    def check_other_lives(self):
        """The machine and its other device are well."""
        assert self.q.pci_read(3, 0, 4) == 0x10ff1af4
        self.q.writel(BAR + 0x10010, 0x5eed)
        assert self.q.readl(BAR + 0x10010) == 0x5eed

    def access(self, what):
        """One access to the first device; what a read gave."""
        if what == "config-read":
            return self.q.pci_read(2, 0, 4)
        if what == "config-write":
            self.q.pci_write(2, 0x3c, 1, 5)
        elif what == "bar-read":
            return self.q.readl(BAR)
        else:
            self.q.writel(BAR, 1)
        return None

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.q.process.pid}/fd"))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("what", REQUESTS)
def test_broken_answer(main_program, what, behaviour):
    with Machine(main_program) as m:
        m.check_other_lives()
        fds = m.fd_count()
        m.server.behave(REQUESTS[what], BEHAVIOURS[behaviour])
        start = time.monotonic()
        assert m.access(what) in (None, 0xffffffff)
        for other in REQUESTS:
            assert m.access(other) in (None, 0xffffffff)
        assert time.monotonic() - start < 10
        m.check_other_lives()
        assert m.fd_count() <= fds
        told = [line for line in m.q.stderr().splitlines() if "p1" in line]
        assert len(told) == 1 and "dead" in told[0], told


@pytest.mark.parametrize("what", REQUESTS)
def test_failed_access_is_no_death(main_program, what):
    with Machine(main_program) as m:
        m.server.behave(REQUESTS[what], lying.failed)
        assert m.access(what) in (None, 0xffffffff)
        m.server.behave(REQUESTS[what], lambda s, _m, honest: s.stream.send(honest))
        m.q.pci_write(2, 4, 2, 6)
        m.q.writel(BAR + 8, 0x1234)
        assert m.q.readl(BAR + 8) == 0x1234
        assert m.q.stderr() == ""


def test_two_remotes_of_different_shape(main_program):
    """Ids, BAR kinds and BAR sizes belong to each device alone."""
    with Machine(main_program, FakeDevice(ids=(0x8086, 0x1234), bars={0: 0x100, 2: 0x20}, io_bars=(2,))) as m:
        for slot, bar, port in ((2, 0x18, 0xc000), (3, 0x14, 0xc100)):
            m.q.pci_write(slot, bar, 4, port)
            m.q.pci_write(slot, 4, 2, 7)
        assert m.q.pci_read(2, 0, 4) == 0x12348086
        assert m.q.pci_read(3, 0, 4) == 0x10ff1af4
        # The last words of each BAR.
        for address in (BAR + 0xfc, BAR + 0x10ffc):
            m.q.writel(address, 0x12345678)
            assert m.q.readl(address) == 0x12345678
            assert m.q.readl(address + 4) == 0xffffffff
        for port in (0xc01c, 0xc1fc):
            m.q.outl(port, 0x9abcdef0)
            assert m.q.inl(port) == 0x9abcdef0
            assert m.q.inl(port + 4) == 0xffffffff


def test_slow_bytes_within_the_limit(main_program):
    with Machine(main_program, options=",timeout=20000") as m:
        m.server.behave(BAR_READ, lying.drip)
        m.q.writel(BAR, 77)
        assert m.q.readl(BAR) == 77


def test_values_wider_than_the_access_are_cut(main_program):
    with Machine(main_program) as m:
        m.server.behave(BAR_READ, lying.value_of(0x1122334455667788))
        m.server.behave(PCI_CFGREAD, lying.value_of(0x1122334455667788))
        assert m.q.readb(BAR) == 0x88
        assert m.q.readw(BAR) == 0x7788
        assert m.q.readl(BAR) == 0x55667788
        assert m.q.readq(BAR) == 0x1122334455667788
        assert m.q.pci_read(2, 0, 1) == 0x88


def test_hung_remote_does_not_stop_the_machine(main_program):
    """SIGTERM ends the emulator while an access waits for a remote that says nothing."""
    with Machine(main_program, options=",timeout=3600000") as m:
        m.server.behave(BAR_READ, lying.never_reply)
        m.q.send(f"readl {BAR}")
        time.sleep(0.1)
        m.q.process.send_signal(signal.SIGTERM)
        assert m.q.process.wait(20) == 0


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("after", [0, 1, 9, 30])
def test_broken_answer_at_start(main_program, behaviour, after):
    """No device, exit status 1, one clear line, in time."""
    start = time.monotonic()
    with pytest.raises(QtestError) as error:
        Machine(main_program,
                prepare=lambda s: s.behave(PCI_CFGREAD, BEHAVIOURS[behaviour], after))
    assert time.monotonic() - start < 10
    assert "exit status 1" in str(error.value)
    assert "-device pci-proxy-dev" in str(error.value)


def test_reset_that_is_never_answered(main_program):
    with Machine(main_program, prepare=lambda s: s.behave(DEVICE_RESET, lying.never_reply)) as m:
        m.check_other_lives()
        assert m.q.pci_read(2, 0, 4) == 0xffffffff
        m.check_other_lives()


class Noise:
    """A remote that sends random bytes or random answers, seeded."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def __call__(self, server, message, honest):
        rng = self.random
        choice = rng.randrange(8)
        if choice < 3:
            server.stream.send(honest[:16] + rng.randbytes(8))
        elif choice < 5:
            server.stream.send(honest)
        elif choice == 5:
            at = rng.randrange(len(honest))
            server.stream.send(honest[:at] + bytes([rng.randrange(256)]) + honest[at + 1:])
        elif choice == 6:
            server.stream.send(rng.randbytes(rng.randrange(1, 64)))
        else:
            lying.extra_fds(server, message, honest, rng.randrange(1, 4))


class RandomSpace(FakeDevice):
    """A function whose config space is random bytes that change at random."""

    def __init__(self, seed):
        super().__init__()
        rng = random.Random(seed)
        self.config[:] = rng.randbytes(256)
        self.writable[:] = rng.randbytes(256)
        if rng.randrange(2):
            self.config[0:2] = b"\x34\x12"
            self.config[0x0e] = 0
            self.config[0x3d] = rng.randrange(6)
            for i in range(6):
                size = 1 << rng.randrange(2, 33)
                self.config[0x10 + 4 * i:0x14 + 4 * i] = rng.choice((0, 1, 4, 8, 12, 2)).to_bytes(
                    4, "little")
                self.writable[0x10 + 4 * i:0x14 + 4 * i] = (-size & 0xffffffff).to_bytes(
                    4, "little")


@pytest.mark.parametrize("seed", range(60))
def test_random_remote(main_program, seed):
    """Started or refused with a message; when started, it outlives what comes."""
    rng = random.Random(seed)
    after = rng.choice((0, 3, 20, 60, 200))

    def prepare(server):
        noise = Noise(seed)
        for command in (PCI_CFGREAD, PCI_CFGWRITE, BAR_READ, BAR_WRITE):
            server.behave(command, noise, after if command == PCI_CFGREAD else 0)

    device = RandomSpace(seed) if rng.randrange(2) else None
    try:
        machine = Machine(main_program, device, ",timeout=300", prepare)
    except QtestError as error:
        assert "exit status 1" in str(error) and "mpqemu: -device pci-proxy-dev" in str(error)
        return
    with machine as m:
        for _ in range(20):
            what = rng.choice(list(REQUESTS))
            m.access(what)
        m.check_other_lives()


def test_guest_ram_that_a_remote_makes_shorter(main_program, tmp_path):
    """A file cannot be sealed as a memfd is: what is lost reads as zeros, and the machine runs on."""
    path = tmp_path / "ram"
    path.write_bytes(bytes(1 << 20))
    ours, theirs = socket_pair()
    with ours, LinkServer(theirs, fake_device()) as server, Qtest(
            main_program, ["-object", f"memory-backend-file,id=m,size=1M,mem-path={path},share=on",
                           "-machine", "pc,memory-backend=m", "-device", f"pci-proxy-dev,fd={ours.fileno()}"],
            pass_fds=[ours.fileno()]) as q:
        q.writel(0x8000, 0x12345678)
        assert server.dma_read(0x8000, 4) == b"\x78\x56\x34\x12"
        os.ftruncate(server.ranges[0].fd, 0)
        assert q.readl(0x8000) == 0
        q.writel(0x8000, 0x9abcdef0)
        assert q.readl(0x8000) == 0x9abcdef0
        assert q.pci_read(2, 0, 4) == 0x10ff1af4
        assert q.close() == 0


def test_no_socket(main_program):
    for fd, text in (("99", "not open"), ("0", "socket"), ("x", "no descriptor of this name")):
        result = subprocess.run([main_program, "-accel", "qtest", "-device",
                                 f"pci-proxy-dev,fd={fd}"], capture_output=True, timeout=20,
                                check=False, text=True)
        assert result.returncode == 1
        assert text in result.stderr and result.stderr.count("\n") == 1


def test_one_socket_for_two_devices(main_program):
    ours, theirs = socket_pair()
    with ours, LinkServer(theirs, fake_device()):
        result = subprocess.run(
            [main_program, "-accel", "qtest", "-device", f"pci-proxy-dev,fd={ours.fileno()}",
             "-device", f"x-pci-proxy-dev,fd={ours.fileno()}"], pass_fds=[ours.fileno()],
            capture_output=True, timeout=20, check=False, text=True)
        assert result.returncode == 1 and "in use" in result.stderr


def test_datagram_and_listening_sockets(main_program, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, \
            socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen(1)
        for sock in (datagram, listening):
            result = subprocess.run(
                [main_program, "-accel", "qtest", "-device", f"pci-proxy-dev,fd={sock.fileno()}"],
                pass_fds=[sock.fileno()], capture_output=True, timeout=20, check=False, text=True)
            assert result.returncode == 1 and "socket" in result.stderr
