# SPDX-License-Identifier: GPL-2.0-or-later
# A controller with disks, in mpqemu or in qemu-remote, driven by a guest's driver and by a QMP client.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""The rig of the tests of block devices at run time.

Place starts one of the two programs with an LSI 53C895A "lsi0" and options of the test's own, a QMP client on
it (qmp), and a driver of the controller (scsi()).  In mpqemu the driver comes by qtest; in qemu-remote it is
the proxy: LinkGuest offers what Lsi uses of a Qtest, over the device link.
"""

import mmap
import os
import socket
import subprocess
import time

from device_process import device_pid
from lsi_driver import DONE, DSTAT_SIR, ISTAT0, ISTAT_DIP, ISTAT_SRST, BUFFER, Lsi
from mpqemu_link import LinkClient, Range
from qmp import Qmp
from qtest import Qtest

WAIT = 20.0
MIB = 1 << 20
SECTOR = 512


class LinkGuest:
    """A guest behind a device link: its RAM, and its accesses to the one device."""

    def __init__(self, sock):
        self.link = LinkClient(sock, WAIT)
        self.memory = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        os.ftruncate(self.memory, MIB)
        self.ram = mmap.mmap(self.memory, MIB)
        self.link.sync_sysmem([Range(self.memory, 0, MIB)])

    def close(self):
        self.link.close()
        self.ram.close()
        os.close(self.memory)

    def pci_read(self, _slot, offset, size):
        return self.link.config_read(offset, size)

    def pci_write(self, _slot, offset, size, value):
        self.link.config_write(offset, value, size)

    def readb(self, addr):
        return self.link.bar_read(addr, 1)

    def readl(self, addr):
        return self.link.bar_read(addr, 4)

    def writeb(self, addr, value):
        self.link.bar_write(addr, value, 1)

    def writel(self, addr, value):
        self.link.bar_write(addr, value, 4)

    def read(self, addr, size):
        return self.ram[addr:addr + size]

    def write(self, addr, data):
        self.ram[addr:addr + len(data)] = data


class GuestRam:
    """Single bytes of guest RAM, which Lsi reads like registers, where a LinkGuest has them elsewhere."""

    def __init__(self, guest):
        self.guest = guest

    def __getattr__(self, name):
        return getattr(self.guest, name)

    def readb(self, addr):
        return self.guest.read(addr, 1)[0] if addr < MIB else self.guest.readb(addr)


class Place:
    """One program with the controller; a context manager.

    kind        "main" or "remote"
    program     its path
    options     more options, behind -device lsi53c895a,id=lsi0
    """

    def __init__(self, kind, program, directory, *options):
        qmp_path = os.path.join(directory, "qmp.sock")
        options = ["-nodefaults", "-qmp", f"unix:{qmp_path},server=on,wait=off",
                   "-device", "lsi53c895a,id=lsi0", *options]
        self.qtest = self.process = None
        if kind == "main":
            self.qtest = Qtest(program, ["-m", "64", *options])
            self.pid = self.qtest.process.pid
            guest = self.qtest
        else:
            ours, theirs = socket.socketpair()
            with theirs:
                self.process = subprocess.Popen(
                    [program, "-machine", "x-remote", "-display", "none", *options,
                     "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
                    pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            guest = LinkGuest(ours)
            guest.link.barrier()
            self.pid = device_pid(self.process.pid)
        self.guest = guest
        self.qmp = Qmp.connect(qmp_path).negotiate()
        self.lsi = Lsi(GuestRam(guest), 2)
        self.lsi.map_bars()
        self.lsi.start_up()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.qmp.close()
        if self.qtest:
            status = self.qtest.close()
        else:
            self.guest.close()
            status = self.process.wait(WAIT)
        assert kind is not None or status == 0

    # -- the guest ---------------------------------------------------------------------------

    def start(self, cdb, data=b"", data_len=0, target=0):
        self.lsi.start(cdb, data, data_len, target)

    def is_done(self):
        """Whether the command that was started has come to its end (seen once)."""
        if not self.lsi.readb(ISTAT0) & ISTAT_DIP:
            return False
        _, dstat, dsps = self.lsi.acknowledge()
        assert dstat & DSTAT_SIR and dsps == DONE
        return True

    def finish(self):
        """Waits for the command's end; its status byte."""
        until(self.is_done)
        return self.lsi.status()

    def scsi(self, cdb, data=b"", data_len=0, target=0):
        """A command from start to end: (status, data)."""
        self.start(cdb, data, data_len, target)
        status = self.finish()
        return status, self.guest.read(BUFFER, data_len) if data_len else b""

    def sense(self, target=0):
        """REQUEST SENSE: (key, asc, ascq)."""
        status, data = self.scsi([3, 0, 0, 0, 18, 0], data_len=18, target=target)
        assert status == 0
        return data[2] & 0xf, data[12], data[13]

    def expect_sense(self, cdb, sense, data_len=0, target=0):
        """The command ends with CHECK CONDITION and this sense data."""
        status, _ = self.scsi(cdb, data_len=data_len, target=target)
        assert status == 2
        assert self.sense(target) == sense

    def ready(self, target=0):
        """TEST UNIT READY until what was to be told is told."""
        for _ in range(4):
            if self.scsi([0] * 6, target=target)[0] == 0:
                return
        raise AssertionError("the unit does not become ready")

    def capacity(self, target=0):
        """READ CAPACITY: bytes."""
        status, data = self.scsi([0x25] + [0] * 9, data_len=8, target=target)
        assert status == 0
        return (int.from_bytes(data[:4], "big") + 1) * int.from_bytes(data[4:], "big")

    def reset_controller(self):
        """Whatever it is doing."""
        self.lsi.writeb(ISTAT0, ISTAT_SRST)
        self.lsi.start_up()


def read10(lba, blocks=1):
    return [0x28, 0, *lba.to_bytes(4, "big"), 0, *blocks.to_bytes(2, "big"), 0]


def write10(lba, blocks=1):
    return [0x2a, 0, *lba.to_bytes(4, "big"), 0, *blocks.to_bytes(2, "big"), 0]


def until(condition):
    """Waits until CONDITION() is true."""
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)
