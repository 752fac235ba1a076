# SPDX-License-Identifier: GPL-2.0-or-later
# What floods cost: memory, descriptors, requests and log lines of both programs stay within limits.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""Each flood is as long as makes a leak or a queue without limit show: a kilobyte for each of its actions would break
the limit several times over.  Bounds that other tests hold: of monitors test_qmp.py and test_hmp.py (a client that does
not read, events, descriptors, lines without an end), of a remote's control channel test_hostile_control.py, of random
messages test_hostile_peers.py."""

import os
import re
import socket
import subprocess
import time

import pytest

import mpqemu_link
import neighbour_peer
from block_rig import SECTOR, Place, read10
from hotplug_rig import RAM, Guest
from lsi_driver import DSP, MMIO_BASE, SCRATCHA
from managed import Managed, image
from test_slow_io import disk, slow

KIB = 1024
GROWTH = 4096                 # KiB of anonymous memory that a flood may cost; the allocator keeps some
SANITIZED = 64                # times that much, where the program keeps freed memory for a while (ASan, 256 MiB)
WAIT = 60.0


def private_memory(pid):
    """Anonymous resident memory in KiB: neither the program's files nor shared guest RAM."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"^RssAnon:\s+(\d+) kB", status.read(), re.M).group(1))


def sanitized(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return "asan" in maps.read()


class Bounds:
    """A process, from now on."""

    def __init__(self, pid):
        self.pid = pid
        self.memory, self.fds, self.maps = private_memory(pid), self._fds(), self._maps()

    def _fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _maps(self):
        with open(f"/proc/{self.pid}/maps", "rb") as maps:
            return sum(b"memfd:" in line for line in maps)

    def hold(self, growth=GROWTH, fds=0, maps=0):
        """No more than so much more than at first."""
        growth *= SANITIZED if sanitized(self.pid) else 1
        assert private_memory(self.pid) <= self.memory + growth
        assert self._fds() <= self.fds + fds
        assert self._maps() <= self.maps + maps


class Served:
    """A qemu-remote with a controller and a disk, and a Guest behind its link.  A context manager."""

    def __init__(self, program, directory):
        ours, theirs = mpqemu_link.socket_pair()
        path = image(directory / "disk.img")
        self.process = subprocess.Popen(
            [program, "-nodefaults", "-device", "lsi53c895a,id=lsi0", "-drive", f"id=d0,if=none,format=raw,file={path}",
             "-device", "scsi-hd,id=hd0,drive=d0,bus=lsi0.0",
             "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        theirs.close()
        self.guest = Guest(mpqemu_link.LinkClient(ours, WAIT))
        self.guest.start_up()
        self.guest.read(0, 1)
        self.errors = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.guest.close()
        try:
            self.errors = self.process.communicate(timeout=WAIT)[1]
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()
        assert kind or self.process.returncode == 0


@pytest.fixture(name="served")
def _served(remote_program, tmp_path):
    with Served(remote_program, tmp_path) as served:
        yield served
    assert served.errors == ""


# -- a guest, over the link ----------------------------------------------------------------------------

def test_register_flood(served):
    guest, bounds = served.guest, Bounds(served.process.pid)
    for value in range(20000):
        guest.link.bar_write(MMIO_BASE + value % 0x60 // 4 * 4 + 0x80, value, 4)
    for value in range(5000):
        guest.link.bar_read(MMIO_BASE + SCRATCHA, 4)
        guest.link.bar_read(0xffff0000 + value, 1)          # nobody's: answered, and not said
    bounds.hold()


def test_command_flood(served):
    """One after the other, and 2,000 that are aborted right away."""
    guest, bounds = served.guest, Bounds(served.process.pid)
    for lba in range(1000):
        status, _ = guest.command(read10(lba % 64), SECTOR)
        assert status == 0
    for lba in range(2000):
        guest.lsi.start(read10(lba % 64, 8), data_len=8 * SECTOR)
        guest.lsi.start_up()
    guest.read(0, 1)
    bounds.hold()


def test_memory_table_flood(served):
    """8 ranges each, all of them other files than before; and the same table for ever."""
    guest, bounds = served.guest, Bounds(served.process.pid)
    files = [mpqemu_link.memfd(2 * RAM) for _ in range(16)]
    try:
        for turn in range(1500):
            chosen = files[turn % 2 * 8:][:8]
            guest.link.sync_sysmem([mpqemu_link.Range(fd, i * RAM, RAM, turn % 3 * 4096)
                                    for i, fd in enumerate(chosen)])
            if turn % 50 == 0:
                guest.link.barrier()
                bounds.hold(fds=16, maps=16)
        for _ in range(3000):
            guest.link.sync_sysmem([mpqemu_link.Range(guest.memory, 0, RAM)])
        guest.link.barrier()
        bounds.hold()
    finally:
        for fd in files:
            os.close(fd)
    guest.read(0, 1)


def test_interrupt_descriptor_flood(served):
    guest, bounds = served.guest, Bounds(served.process.pid)
    for turn in range(3000):
        pair = [mpqemu_link.eventfd(), mpqemu_link.eventfd()]
        guest.link.set_irqfd(*pair)
        for fd in pair:
            os.close(fd)
        if turn % 100 == 0:
            guest.link.barrier()
            bounds.hold(fds=2)
    guest.link.set_irqfd(guest.irq, guest.resample)
    guest.link.barrier()
    bounds.hold()
    guest.read(0, 1)


def test_log_lines_of_a_hostile_peer_are_few(remote_program, tmp_path):
    """10 a second, and what was left out is told with the next one."""
    with Served(remote_program, tmp_path) as served:
        guest, bounds = served.guest, Bounds(served.process.pid)
        begin = time.monotonic()
        # An interrupt that stands, and one descriptor for both ends of it: an error, but no reason to end the link.
        os.pwrite(guest.memory, neighbour_peer.INT, neighbour_peer.CODE)
        guest.writel(MMIO_BASE + DSP, neighbour_peer.CODE)
        for _ in range(5000):
            guest.link.set_irqfd(guest.irq, guest.irq)
            guest.link.barrier()
        seconds = time.monotonic() - begin
        bounds.hold()
        time.sleep(1.1)
        guest.link.set_irqfd(guest.irq, guest.irq)
        guest.link.barrier()
    lines = served.errors.splitlines()
    assert 10 <= len(lines) <= 10 * (int(seconds) + 2) + 1, f"{len(lines)} lines in {seconds} s"
    left_out = sum(int(count) for count in re.findall(r"\((\d+) earlier such lines suppressed\)", served.errors))
    assert left_out > 1000


@pytest.mark.parametrize("kind", ["main", "remote"])
def test_requests_that_the_host_does_not_end_are_bounded(kind, main_program, remote_program, tmp_path):
    """A guest that gives up its reads and makes new ones, on storage that hangs: as many as the bus has room for
    wait."""
    program = {"main": main_program, "remote": remote_program}[kind]
    with Place(kind, program, tmp_path, *disk(tmp_path, 0, slow(6, cancellable=False)), *disk(tmp_path, 1)) as place:
        place.ready()
        place.ready(1)
        bounds = Bounds(place.pid)
        deadline = time.monotonic() + 4
        for _ in range(600):
            place.start(read10(32, 64), data_len=64 * SECTOR)
            place.reset_controller()
            if time.monotonic() > deadline:
                break
        bounds.hold(growth=2 * GROWTH)
        # The requests of one bus are one stock: there may be none left for the other disk before the host answers.
        wait = time.monotonic() + WAIT
        while place.qmp.command("query-blockstats")[0]["stats"]["rd_operations"] < 1 and time.monotonic() < wait:
            time.sleep(0.05)
        place.reset_controller()
        place.ready()
        place.ready(1)
        assert place.scsi(read10(0), data_len=SECTOR) == (0, b"\x40" * SECTOR)
        bounds.hold()


# -- a monitor's client --------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["main", "remote"])
def test_disks_that_come_and_go(kind, main_program, remote_program, tmp_path):
    program = {"main": main_program, "remote": remote_program}[kind]
    other = image(tmp_path / "other.img")
    with Place(kind, program, tmp_path, *disk(tmp_path, 0)) as place:
        with open(other, "rb") as file:
            def once():
                place.qmp.command("add-fd", _fds=[file.fileno()], **{"fdset-id": 7})
                place.qmp.command("blockdev-add", driver="file", **{"node-name": "n", "read-only": True,
                                                                    "filename": "/dev/fdset/7"})
                place.qmp.command("device_add", driver="scsi-hd", id="hd9", drive="n", bus="lsi0.0", **{"scsi-id": 3})
                place.qmp.command("device_del", id="hd9")
                place.qmp.wait_event("DEVICE_DELETED")
                place.qmp.command("blockdev-del", **{"node-name": "n"})
                place.qmp.command("remove-fd", **{"fdset-id": 7})
            for _ in range(50):
                once()
            bounds = Bounds(place.pid)
            for _ in range(400):
                once()
            bounds.hold(growth=GROWTH // 4)


def test_monitors_that_come_and_go(main_program, tmp_path):
    """QMP and HMP, and HMP within QMP; each asks something that is long, and leaves without reading it."""
    path = str(tmp_path / "hmp")
    with Managed(main_program, tmp_path, "-monitor", f"unix:{path},server=on,wait=off") as m:
        def once():
            with socket.socket(socket.AF_UNIX) as hmp:
                hmp.connect(path)
                hmp.sendall(b"info qom-tree\nhelp\n" * 20)
            with socket.socket(socket.AF_UNIX) as qmp:
                qmp.connect(m.path)
                qmp.sendall(b'{"execute":"qmp_capabilities"}' + b'{"execute":"query-qmp-schema"}' * 5)
            m.qmp.command("human-monitor-command", **{"command-line": "info mtree"})
        for _ in range(30):
            once()
        bounds = Bounds(m.pid)
        for _ in range(200):
            once()
        m.qmp.command("query-status")
        bounds.hold(growth=2 * GROWTH, fds=2)


# -- a remote, over the link and by its interrupts -----------------------------------------------------------------

def test_reset_and_remapping_flood_of_the_main_emulator(main_program, remote_program, tmp_path):
    """Each makes work that is posted for the link: what is old is replaced, not queued."""
    with Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={remote_program}",
                 "-rdevice", "lsi53c895a,rid=r0,id=lsi0,addr=2") as m:
        m.lsi(2)
        main, remote = Bounds(m.pid), Bounds(m.remotes()["r0"]["pid"])
        for turn in range(1500):
            m.q.pci_write(2, 0x14, 4, 0xe0000000 + turn % 64 * 0x10000)
            m.q.pci_write(2, 4, 2, 6 if turn % 2 else 0)
            if turn % 5 == 0:
                m.qmp.command("system_reset")
                m.qmp.events.clear()
        main.hold()
        remote.hold()
        assert len(m.q.stderr().splitlines()) < 10
