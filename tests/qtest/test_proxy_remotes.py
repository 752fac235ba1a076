# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu with several remote processes, of which some stop or die.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Several proxies in one machine: each has its own link, state and interrupt line."""

import os
import signal
import socket
import subprocess
import time

import pytest

from device_process import device_pid
from lsi_driver import (BUFFER, DONE, ISTAT0, PCI_BAR0, PCI_COMMAND, SCRATCHA, Ioapic, Lsi)
from qmp import Qmp
from qtest import Qtest
from test_lsi_driver import disk_options, wait_until_idle


@pytest.fixture(params=["remote_program", "stock_program"])
def remote(request):
    """Path of a program that can be a remote."""
    return request.getfixturevalue(request.param)


class Machine:
    """mpqemu and COUNT remotes with one controller each, in slots 2 and up."""

    def __init__(self, main_program, remote, directory, count=2, timeout_ms=10000, options=()):
        self.remotes, links, args = [], [], ["-m", "64", *options]
        for i in range(count):
            image = directory / f"disk{i}.img"
            with open(image, "wb") as stream:
                stream.write(bytes([0x10 + i]) * 512)
                stream.truncate(1 << 20)
            ours, theirs = socket.socketpair()
            with theirs:
                self.remotes.append(subprocess.Popen(
                    [remote, "-machine", "x-remote", "-nodefaults", "-display", "none",
                     *disk_options(image),
                     "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL))
            links.append(ours)
            args += ["-device",
                     f"pci-proxy-dev,id=p{i + 1},fd={ours.fileno()},timeout={timeout_ms}"]
        try:
            self.q = Qtest(main_program, args, pass_fds=[s.fileno() for s in links])
        finally:
            for link in links:
                link.close()
        for process in self.remotes:
            wait_until_idle(process)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.q.close()
        for process in self.remotes:
            process.kill()
            process.wait()
        assert kind or status == 0


def map_slot(q, slot):
    """Memory BAR 1 of the slot's controller, at an address of its own, which is returned."""
    base = 0xe0000000 + 0x100000 * slot
    q.pci_write(slot, PCI_BAR0 + 4, 4, base)
    q.pci_write(slot, PCI_COMMAND, 2, 6)
    return base


def test_each_has_its_own_registers(main_program, remote, tmp_path):
    with Machine(main_program, remote, tmp_path) as m:
        bases = [map_slot(m.q, slot) for slot in (2, 3)]
        for i, base in enumerate(bases):
            m.q.writel(base + SCRATCHA, 0x11111111 * (i + 1))
        assert [m.q.readl(base + SCRATCHA) for base in bases] == [0x11111111, 0x22222222]


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGSTOP])
def test_one_dies(main_program, remote, tmp_path, kill):
    with Machine(main_program, remote, tmp_path, timeout_ms=2000) as m:
        first, second = [map_slot(m.q, slot) for slot in (2, 3)]
        os.kill(device_pid(m.remotes[0].pid), kill)
        if kill == signal.SIGKILL:
            m.remotes[0].wait()
        start = time.monotonic()
        assert m.q.readl(first + SCRATCHA) == 0xffffffff
        assert time.monotonic() - start < 10
        start = time.monotonic()
        for _ in range(50):
            assert m.q.readl(first + SCRATCHA) == 0xffffffff
            m.q.writel(first + SCRATCHA, 1)
            assert m.q.pci_read(2, 0, 4) == 0xffffffff
        assert time.monotonic() - start < 5
        m.q.writel(second + SCRATCHA, 0x5eed)
        assert m.q.readl(second + SCRATCHA) == 0x5eed
        assert m.q.stderr().count("p1") == 1
        assert "pci-proxy-dev 'p1'" in m.q.stderr() and "dead" in m.q.stderr()


def test_death_is_noticed_without_an_access(main_program, remote, tmp_path):
    with Machine(main_program, remote, tmp_path) as m:
        m.remotes[1].kill()
        deadline = time.monotonic() + 20
        while "'p2'" not in m.q.stderr():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert m.q.pci_read(2, 0, 4) == 0x00121000
        assert m.q.pci_read(3, 0, 4) == 0xffffffff


def test_remotes_end_with_the_machine(main_program, remote, tmp_path):
    with Machine(main_program, remote, tmp_path) as m:
        assert m.q.close() == 0
        for process in m.remotes:
            assert process.wait(20) == 0


def test_interrupts_of_two(main_program, remote_program, tmp_path):
    """Each controller reads from its own disk and raises its own pin."""
    with Machine(main_program, remote_program, tmp_path) as m:
        m.q.irq_intercept_in("/machine/ioapic")
        ioapic = Ioapic(m.q)
        for i, slot in enumerate((2, 3)):
            # One after the other at the driver's addresses.
            lsi = Lsi(m.q, slot)
            ioapic.enable(lsi.pin)
            lsi.map_bars()
            lsi.start_up()
            for _ in range(2):
                lsi.start([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], data_len=512)
                m.q.wait_irq(lsi.pin, "raise")
                assert lsi.acknowledge()[2] == DONE
                ioapic.end()
                m.q.wait_irq(lsi.pin, "lower")
            assert lsi.status() == 0
            assert m.q.read(BUFFER, 512) == bytes([0x10 + i]) * 512
            m.q.pci_write(slot, PCI_COMMAND, 2, 0)
        assert m.q.irqs == []


def test_dead_remote_leaves_no_interrupt(main_program, remote_program, tmp_path):
    """A line that was raised falls when its remote dies."""
    with Machine(main_program, remote_program, tmp_path) as m:
        m.q.irq_intercept_in("/machine/ioapic")
        lsi = Lsi(m.q, 2)
        lsi.map_bars()
        lsi.start_up()
        lsi.start([0] * 6)
        m.q.wait_irq(lsi.pin, "raise")
        m.remotes[0].kill()
        m.q.wait_irq(lsi.pin, "lower")
        assert m.q.no_irq(lsi.pin)
        assert lsi.readb(ISTAT0) == 0xff


def test_twelve_remotes(main_program, remote_program, tmp_path):
    with Machine(main_program, remote_program, tmp_path, count=12) as m:
        for slot in range(2, 14):
            base = map_slot(m.q, slot)
            m.q.writel(base + SCRATCHA, slot)
        for slot in range(2, 14):
            assert m.q.readl(0xe0000000 + 0x100000 * slot + SCRATCHA) == slot


def test_two_devices_in_one_remote(main_program, remote_program):
    """One process, two links."""
    pairs = [socket.socketpair() for _ in range(2)]
    ours, theirs = zip(*pairs)
    args = []
    for i in range(2):
        args += ["-device", f"lsi53c895a,id=lsi{i}", "-object",
                 f"x-remote-object,id=r{i},devid=lsi{i},fd={theirs[i].fileno()}"]
    with subprocess.Popen([remote_program, "-machine", "x-remote", "-nodefaults", *args],
                          pass_fds=[s.fileno() for s in theirs]) as process:
        for sock in theirs:
            sock.close()
        with Qtest(main_program, ["-device", f"pci-proxy-dev,id=p1,fd={ours[0].fileno()}",
                                  "-device", f"pci-proxy-dev,id=p2,fd={ours[1].fileno()}"],
                   pass_fds=[s.fileno() for s in ours]) as q:
            for sock in ours:
                sock.close()
            bases = [map_slot(q, slot) for slot in (2, 3)]
            for i, base in enumerate(bases):
                q.writel(base + SCRATCHA, i + 0x70)
            assert [q.readl(base + SCRATCHA) for base in bases] == [0x70, 0x71]
        assert process.wait(20) == 0


def test_death_of_a_launchers_remote_is_an_event(main_program, remote_program, tmp_path):
    path = str(tmp_path / "qmp")
    with Machine(main_program, remote_program, tmp_path, options=["-qmp", f"unix:{path},server=on,wait=off"]) as m:
        with Qmp.connect(path).negotiate() as qmp:
            m.remotes[1].kill()
            data = qmp.wait_event("REMOTE_LINK_STATE")["data"]
            assert data.pop("reason")
            assert data == {"device": "p2", "path": "/machine/peripheral/p2", "from": "ready", "to": "dead"}
