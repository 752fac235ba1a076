# SPDX-License-Identifier: GPL-2.0-or-later
# Devices whose process maps no guest RAM, as a user has them.
# Runs in: neither program; drives mpqemu and its remotes from outside.
"""dma=bounce: on the command line and at run time, restarted, beside others; what the process holds."""

import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys

import pytest

import lsi_driver
import managed
from device_process import held
from lsi_driver import BUFFER, DONE, DSP, DSPS, MMIO_BASE, PCI_COMMAND
from mpqemu_link import DMA_READ, DMA_WRITE, BounceHost, FakeDevice, LinkServer
from managed import Managed, QmpError, children, image, wait_until
from qtest import Qtest, QtestError
from remote_process import Link, Remote, serve

RAM = 64 << 20      # of Managed's machine
WINDOW = 1 << 20


def pattern(size, seed):
    """SIZE bytes, no 32 of them alike."""
    return b"".join(hashlib.sha256(b"%d %d" % (seed, i)).digest() for i in range(size // 32))


def rdevice(rid="r", device="lsi0", **properties):
    """A controller of a process."""
    return ["-rdevice", ",".join(["lsi53c895a", f"rid={rid}", f"id={device}",
                                  *(f"{key}={value}" for key, value in properties.items())])]


def disk(path, rid="r", number=0, controller="lsi0"):
    return ["-rdrive", f"rid={rid},id=d{number},file={path},format=raw",
            "-rdevice", f"scsi-hd,rid={rid},id=hd{number},drive=d{number},bus={controller}.0"]


def device_process(pid):
    """The process that has the devices: PID, or the child that it is confined in."""
    return (children(pid) or [pid])[-1]


def shared_mappings(pid):
    """Bytes of each writable shared mapping of a device process."""
    sizes = []
    with open(f"/proc/{device_process(pid)}/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            area, rights = line.split()[:2]
            start, end = (int(word, 16) for word in area.split("-"))
            # The rings of io_uring are the kernel's; the counters of a build with coverage are a file.
            if rights[1] == "w" and rights[3] == "s" and "io_uring" not in line and ".profraw" not in line:
                sizes.append(end - start)
    return sorted(sizes)


def memory_descriptors(pid):
    """Sizes of the memfds that a device process holds."""
    pid = device_process(pid)
    return sorted(os.stat(f"/proc/{pid}/fd/{fd}").st_size for fd, target in held(pid).items()
                  if target.startswith("/memfd:"))


def rw(machine, lsi, lba, blocks, data=b""):
    """READ(10) of BLOCKS sectors, or WRITE(10) of DATA."""
    cdb = [0x2a if data else 0x28, 0, *lba.to_bytes(4, "big"), 0, *blocks.to_bytes(2, "big"), 0]
    status, got = machine.command(lsi, cdb, data, 0 if data else 512 * blocks)
    assert status == 0
    return got


def link(machine, rid="r", index=0):
    return machine.remotes()[rid]["devices"][index]["link"]


@pytest.fixture
def machine(main_program, tmp_path):
    """Process r: lsi0 in slot 2 with dma=bounce, hd0."""
    with Managed(main_program, tmp_path, *rdevice(dma="bounce"), *disk(image(tmp_path / "disk", sectors=16384))) as m:
        yield m


def test_process_holds_no_guest_ram(main_program, tmp_path):
    """The same look finds guest RAM in a process with dma=map, so it would find it here."""
    with Managed(main_program, tmp_path, *rdevice("a", "lsi0", dma="bounce", addr=2),
                 *disk(image(tmp_path / "disk"), "a"), *rdevice("b", "lsi1", dma="map", addr=3)) as m:
        m.works(m.lsi(2))
        pids = {rid: entry["pid"] for rid, entry in m.remotes().items()}
        assert sum(shared_mappings(pids["b"])) >= RAM - (1 << 20)
        assert any(size >= RAM for size in memory_descriptors(pids["b"]))
        assert shared_mappings(pids["a"]) == [WINDOW]
        assert memory_descriptors(pids["a"]) == [WINDOW]
        assert link(m, "a")["dma"] == "bounce" and link(m, "b")["dma"] == "map"
        assert link(m, "a")["bounced-bytes"] > 512 and link(m, "b")["bounced-bytes"] == 0


@pytest.mark.parametrize("blocks", [1, 7, 128, 2048, 4096])
def test_transfers_of_any_size(machine, blocks, monkeypatch):
    """Up to twice the window; what does not fit there is copied piece by piece."""
    for module in (lsi_driver, managed, sys.modules[__name__]):
        monkeypatch.setattr(module, "BUFFER", 1 << 20)      # above the hole in guest memory
    lsi = machine.lsi()
    machine.read_sector(lsi)
    data = pattern(512 * blocks, blocks)
    rw(machine, lsi, 1000, blocks, data)
    machine.q.memset(BUFFER, len(data), 0)
    assert rw(machine, lsi, 1000, blocks) == data
    assert machine.q.read(BUFFER + len(data), 64) == bytes(64)      # nothing behind it
    with open(machine.directory / "disk", "rb") as stream:
        stream.seek(1000 * 512)
        assert stream.read(len(data)) == data
    assert rw(machine, lsi, 0, 1) == b"\x5a" * 512


def test_without_bus_mastering_nothing_moves(machine):
    lsi = machine.lsi()
    machine.read_sector(lsi)
    before = link(machine)["bounced-bytes"]
    machine.q.pci_write(2, PCI_COMMAND, 2, 3)
    lsi.start([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], data_len=512)
    assert lsi.readb(0x0c) & 0x20       # DSTAT: bus fault
    assert link(machine)["bounced-bytes"] == before
    machine.q.pci_write(2, PCI_COMMAND, 2, 7)
    machine.works(lsi)


def test_restart_bounces_again(machine):
    lsi = machine.lsi()
    machine.works(lsi)
    os.kill(machine.remotes()["r"]["pid"], signal.SIGKILL)
    machine.wait_state("r", "dead")
    machine.qmp.command("remote_restart", rid="r")
    entry = machine.wait_state("r", "ready")
    wait_until(lambda: link(machine)["state"] == "ready", "the link is ready")
    machine.works(lsi)
    assert shared_mappings(entry["pid"]) == [WINDOW]
    assert link(machine)["dma"] == "bounce" and link(machine)["reattached"] == 1


def test_hot_plug_beside_others(main_program, tmp_path):
    """Two controllers of one process, one with guest RAM; and they go again."""
    with Managed(main_program, tmp_path) as m:
        m.qmp.command("rdevice_add", rid="r", id="lsi0", driver="lsi53c895a", addr="2", dma="bounce")
        m.add_disk("r", "lsi0", 0, image(tmp_path / "d0", 0x11))
        m.qmp.command("rdevice_add", rid="r", id="lsi1", driver="lsi53c895a", addr="3")
        m.add_disk("r", "lsi1", 1, image(tmp_path / "d1", 0x22))
        m.works(m.lsi(2), 0x11)
        m.q.pci_write(2, PCI_COMMAND, 2, 0)
        m.works(m.lsi(3), 0x22)
        states = {d["id"]: d["link"]["dma"] for d in m.remotes()["r"]["devices"] if d["controller"]}
        assert states == {"lsi0": "bounce", "lsi1": "map"}
        m.qmp.command("rdevice_del", rid="r", id="lsi1")
        pid = m.remotes()["r"]["pid"]
        wait_until(lambda: shared_mappings(pid) == [WINDOW], "guest RAM is let go")
        m.q.pci_write(3, PCI_COMMAND, 2, 0)
        m.works(m.lsi(2), 0x11)
        m.qmp.command("rdevice_del", rid="r", id="lsi0")
        assert shared_mappings(pid) == [] and memory_descriptors(pid) == []


def test_private_guest_ram_will_do(main_program, tmp_path):
    """What dma=map refuses: RAM that no other process can map."""
    with open(tmp_path / "ram", "wb") as stream:
        stream.truncate(RAM)
    args = ["-object", f"memory-backend-file,id=m,size=64M,mem-path={tmp_path}/ram,share=off",
            "-machine", "pc,memory-backend=m"]
    with Managed(main_program, tmp_path, *args, *rdevice(dma="bounce"), *disk(image(tmp_path / "disk"))) as m:
        m.works(m.lsi())


def test_wrong_values(main_program, tmp_path):
    with Managed(main_program, tmp_path) as m:
        with pytest.raises(QmpError, match="map, bounce|'dma'|dma="):
            m.qmp.command("rdevice_add", rid="r", id="lsi0", driver="lsi53c895a", dma="bouncy")
        m.qmp.command("rdevice_add", rid="r", id="lsi0", driver="lsi53c895a")
        m.qmp.command("rdrive_add", rid="r", id="d0", file=image(tmp_path / "d"), format="raw")
        with pytest.raises(QmpError, match="dma"):      # a disk reaches memory by its controller alone
            m.qmp.command("rdevice_add", rid="r", id="hd0", driver="scsi-hd", drive="d0", dma="bounce")


def test_second_implementation_copies_for_our_remote():
    """The LSI fetches a program from the guest RAM of a Python client: write of a word, interrupt."""
    link = Link()
    with Remote("-device", "lsi53c895a,id=lsi0", *serve(link)), BounceHost(RAM) as host:
        assert link.set_bounce(host.remote_end, host.window) == 0
        link.sync_bounce([(0, RAM)])
        link.config_write(0x14, MMIO_BASE, 4)
        link.config_write(0x04, 6, 2)
        # LOAD SCRATCHA from memory, STORE it elsewhere, INTERRUPT.
        host.guest[0x1000:0x1018] = struct.pack("<6I", 0xe1340004, 0x2000, 0xe0340004, 0x3000, 0x98080000, DONE)
        host.guest[0x2000:0x2004] = b"word"
        link.bar_write(MMIO_BASE + DSP, 0x1000, 4)
        assert link.bar_read(MMIO_BASE + DSPS, 4) == DONE
        assert host.guest[0x3000:0x3004] == b"word"
        assert [(kind, pieces[0][:2]) for kind, pieces in host.requests] == [
            (DMA_READ, (0x1000, 8)), (DMA_READ, (0x2000, 4)), (DMA_READ, (0x1008, 8)), (DMA_WRITE, (0x3000, 4)),
            (DMA_READ, (0x1010, 8))]
        link.bar_read(MMIO_BASE + 0x0c, 1)      # DSTAT: takes the interrupt
        host.master = False                     # the client's own no: a bus fault
        link.bar_write(MMIO_BASE + DSP, 0x1000, 4)
        assert link.bar_read(MMIO_BASE + 0x0c, 1) & 0x20


def test_our_proxy_copies_for_a_second_implementation(main_program):
    ours, theirs = socket.socketpair()
    with ours, LinkServer(theirs, FakeDevice()) as server:
        q = Qtest(main_program, ["-m", "64", "-device", f"pci-proxy-dev,addr=2,fd={ours.fileno()},dma=bounce"],
                  pass_fds=[ours.fileno()])
        ours.close()
        q.write(0x10000, b"from the guest")
        assert server.dma_read(0x10000, 14) is None     # no bus master yet
        q.pci_write(2, PCI_COMMAND, 2, 4)
        assert server.dma_read(0x10000, 14) == b"from the guest"
        assert server.dma_write(RAM - 4, b"tail")
        q.pci_read(2, 0, 4)             # an access orders guest memory as on a bus
        assert q.read(RAM - 4, 4) == b"tail"
        assert server.dma_read(RAM - 3, 4) is None
        assert sum(size for _, size in server.bounced) <= RAM and server.ranges == []
        assert q.close() == 0


def test_stock_remote_says_what_to_do(main_program, stock_program, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(
            [stock_program, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device", "lsi53c895a,id=lsi0",
             "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as remote:
        theirs.close()
        with pytest.raises(QtestError, match="give dma=map, or use this project's qemu-remote"):
            Qtest(main_program, ["-m", "64", "-device", f"pci-proxy-dev,fd={ours.fileno()},dma=bounce"],
                  pass_fds=[ours.fileno()]).close()
        ours.close()
        remote.kill()
