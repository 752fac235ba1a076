# SPDX-License-Identifier: GPL-2.0-or-later
# A device process with a monitor and with links that are made at run time; the guest is played over a link.
# Runs in: neither program; drives qemu-remote or stock QEMU from outside.
"""Rig of the hot-plug tests.

Guest plays the machine of lsi_driver.Lsi over a device link: guest memory is a memfd, which the process maps; config
space and BARs are messages.
"""

import os
import select
import subprocess
import time

import pytest

import mpqemu_link
from device_process import device_pid
from lsi_driver import DONE, DSTAT_SIR, DSPS, ISTAT0, ISTAT_DIP, ISTAT_SIP, BUFFER, DSTAT, SIST0, Lsi
from qmp import Qmp, QmpError

WAIT = 60
RAM = 8 << 20
SIST1 = 0x43
INQUIRY, READ_10, REQUEST_SENSE, TEST_READY = 0x12, 0x28, 0x03, 0x00


class Process:
    """A running program with a QMP monitor, of which this is a client.  A context manager."""

    def __init__(self, words, directory, pass_fds=()):
        self._prepare(directory)
        self.process = subprocess.Popen([*words, *self.monitor_options()], pass_fds=pass_fds, stdin=subprocess.DEVNULL)
        self._owns_process = True
        self._connect()

    @classmethod
    def unstarted(cls, directory):
        """For a program that somebody else starts with monitor_options(); attach() connects."""
        self = cls.__new__(cls)
        self._prepare(directory)
        return self

    def attach(self, process):
        self.process = process
        self._owns_process = False
        self._connect()
        return self

    def _prepare(self, directory):
        self._path = f"{directory}/qmp.sock"
        self.expect_status = 0

    def monitor_options(self):
        return ["-qmp", f"unix:{self._path},server=on,wait=off"]

    def _connect(self):
        self.qmp = Qmp.connect(self._path, wait=WAIT).negotiate()

    def ok(self, command, **args):
        """The command's value; a failure fails the test."""
        return self.qmp.command(command, **args)

    def fails(self, error_class, command, **args):
        """The failed command's message."""
        with pytest.raises(QmpError) as info:
            self.qmp.command(command, **args)
        assert info.value.error_class == error_class, info.value.desc[:500]
        return info.value.desc

    def getfd(self, name, fd):
        self.qmp.command("getfd", _fds=[fd], fdname=name)

    def deleted(self):
        """Id (or None) and path of the next DEVICE_DELETED."""
        data = self.qmp.wait_event("DEVICE_DELETED")["data"]
        return data.get("device"), data["path"]

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{device_pid(self.process.pid)}/fd"))

    def mappings(self, of):
        """Number of mappings whose name contains OF."""
        with open(f"/proc/{device_pid(self.process.pid)}/maps", encoding="utf-8") as maps:
            return sum(of in line for line in maps)

    def wait(self):
        """The exit status of a program that ends by itself."""
        return self.process.wait(WAIT)

    def close(self):
        self.qmp.close()
        if self._owns_process:
            if self.process.poll() is None:
                self.process.terminate()
            assert self.process.wait(WAIT) == self.expect_status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Guest:
    """What lsi_driver.Lsi wants of a machine, over LINK (a mpqemu_link.LinkClient)."""

    def __init__(self, link):
        self.link = link
        self.memory = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
        os.ftruncate(self.memory, RAM)
        self.irq, self.resample = (os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(2))
        link.sync_sysmem([mpqemu_link.Range(self.memory, 0, RAM)])
        link.set_irqfd(self.irq, self.resample)
        self.lsi = Lsi(self, 0)

    def close(self):
        self.link.close()
        for fd in (self.memory, self.irq, self.resample):
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # The machine.

    def pci_read(self, _slot, offset, size):
        return self.link.config_read(offset, size)

    def pci_write(self, _slot, offset, size, value):
        assert self.link.config_write(offset, value, size) == 0

    def _access(self, addr, size):
        if addr < RAM:
            return int.from_bytes(os.pread(self.memory, size, addr), "little")
        value = self.link.bar_read(addr, size)
        assert value != mpqemu_link.FAILED
        return value

    def _store(self, addr, value, size):
        if addr < RAM:
            os.pwrite(self.memory, value.to_bytes(size, "little"), addr)
        else:
            assert self.link.bar_write(addr, value, size) == 0

    def readb(self, addr):
        return self._access(addr, 1)

    def readl(self, addr):
        return self._access(addr, 4)

    def writeb(self, addr, value):
        self._store(addr, value, 1)

    def writel(self, addr, value):
        self._store(addr, value, 4)

    def write(self, addr, data):
        os.pwrite(self.memory, data, addr)

    # The driver.

    def start_up(self):
        self.lsi.map_bars()
        self.lsi.start_up()

    def interrupt(self):
        """Waits for the controller's interrupt: ("done" or "scsi", DSPS or SIST1:SIST0)."""
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            istat = self.lsi.readb(ISTAT0)
            if istat & ISTAT_SIP:
                return "scsi", self.lsi.readb(SIST0) | self.lsi.readb(SIST1) << 8
            if istat & ISTAT_DIP:
                dsps = self.lsi.readl(DSPS)
                assert self.lsi.readb(DSTAT) & DSTAT_SIR
                return "done", dsps
            select.select([self.irq], [], [], 0.01)
        raise AssertionError("the controller does not interrupt")

    def command(self, cdb, data_len=0, target=0):
        """Runs one command: (status, data), or None when the target does not answer its selection."""
        self.lsi.start(cdb, data_len=data_len, target=target)
        kind, what = self.interrupt()
        if kind == "scsi":
            assert what == 0x0400, f"SCSI interrupt {what:#x}"      # STO
            self.lsi.start_up()
            return None
        assert what == DONE
        return self.lsi.status(), os.pread(self.memory, data_len, BUFFER)

    def inquiry(self, target=0):
        """The vendor of the unit, or None when nobody is there.  Unit attentions do not matter to it."""
        answer = self.command([INQUIRY, 0, 0, 0, 36, 0], 36, target)
        if answer is None:
            return None
        assert answer[0] == 0
        return answer[1][8:16].rstrip(b" ").decode()

    def sense(self, target=0):
        """Key, ASC and ASCQ of a TEST UNIT READY that fails, or None when it succeeds."""
        status, _ = self.command([TEST_READY, 0, 0, 0, 0, 0], 0, target)
        if status == 0:
            return None
        _, data = self.command([REQUEST_SENSE, 0, 0, 0, 18, 0], 18, target)
        return data[2] & 0xf, data[12], data[13]

    def read(self, lba, blocks, target=0):
        """The blocks; unit attentions are taken first."""
        while self.sense(target) is not None:
            pass
        cdb = [READ_10, 0, *lba.to_bytes(4, "big"), 0, *blocks.to_bytes(2, "big"), 0]
        status, data = self.command(cdb, 512 * blocks, target)
        assert status == 0
        return data
