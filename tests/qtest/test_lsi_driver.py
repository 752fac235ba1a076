# SPDX-License-Identifier: GPL-2.0-or-later
# The same LSI driver on a stock remote, on our remote with and without guest RAM, and on the device in mpqemu itself.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""One test body, four set-ups of the device.

remote-stock: mpqemu's proxy drives stock QEMU's -machine x-remote. remote-ours: it drives our
qemu-remote; remote-bounce: that maps no guest RAM (dma=bounce). in-process: the device sits in mpqemu. What the driver
sees is the same, but for one thing: a remote's interrupt line is seen by events, so it falls at the guest's end of
interrupt and not already when the driver has read the cause.
"""

import hashlib
import socket
import subprocess
import time

import pytest

from lsi_driver import (BARS, BUFFER, DONE, DSTAT_SIR, IO_BASE, ISTAT_DIP, ISTAT0, MMIO_BASE,
                        PCI_BAR0, PCI_COMMAND, PCI_INTERRUPT_PIN, RAM_BASE, SCRATCHA, Ioapic, Lsi)
from qtest import Qtest

SECTOR = 512
SECTORS = 2048


def pattern(lba):
    """The sector's first content on the image."""
    return hashlib.sha512(lba.to_bytes(8, "little")).digest() * (SECTOR // 64)


def disk_options(image):
    return ["-device", "lsi53c895a,id=lsi0", "-drive", f"id=d0,file={image},format=raw,if=none",
            "-device", "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0"]


def wait_until_idle(process):
    """Waits until a process has slept for a while, its machine's start-up being over.

    A stock remote serves its link before its own start-up has ended, and resets its device at the
    end: the first time it finds no message waiting. A driver that is fast enough to have mapped
    the BARs by then (only under qtest) finds them gone.
    """
    asleep = 0
    for _ in range(1000):
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
            asleep = asleep + 1 if stat.read().rsplit(")", 1)[1].split()[0] == "S" else 0
        if asleep == 5:
            return
        time.sleep(0.005)
    pytest.fail("the remote does not come to rest")


class Setup:
    """A machine with the controller in slot 2."""

    def __init__(self, name, main_program, remote, image):
        self.proxied = remote is not None
        self.image = image
        self.remote = None
        args, pass_fds = ["-m", "64", "-nodefaults"], []
        if not self.proxied:
            self.qtest = Qtest(main_program, args + disk_options(image))
            return
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.remote = subprocess.Popen(
                [remote, "-machine", "x-remote", "-nodefaults", "-display", "none",
                 *disk_options(image),
                 "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
            pass_fds = [ours.fileno()]
            dma = "bounce" if name == "remote-bounce" else "map"
            args += ["-device", f"pci-proxy-dev,id=lsi0,fd={ours.fileno()},dma={dma}"]
            theirs.close()
            self.qtest = Qtest(main_program, args, pass_fds=pass_fds)
            if name == "remote-stock":
                wait_until_idle(self.remote)

    def close(self):
        """Ends main emulator and remote; both must end by themselves and well."""
        assert self.qtest.close() == 0
        if self.remote is not None:
            assert self.remote.wait(20) == 0


@pytest.fixture(params=["remote-stock", "remote-ours", "remote-bounce", "in-process"])
def setup(request, main_program, tmp_path):
    image = tmp_path / "disk.img"
    with open(image, "wb") as stream:
        for lba in range(64):
            stream.write(pattern(lba))
        stream.truncate(SECTOR * SECTORS)
    remote = {"remote-stock": "stock_program", "remote-ours": "remote_program",
              "remote-bounce": "remote_program"}.get(request.param)
    remote = remote and request.getfixturevalue(remote)
    machine = Setup(request.param, main_program, remote, image)
    yield machine
    machine.close()


@pytest.fixture
def lsi(setup):
    """The controller, mapped and started, its interrupt enabled and watched."""
    controller = Lsi(setup.qtest, 2)
    setup.qtest.irq_intercept_in("/machine/ioapic")
    setup.ioapic = Ioapic(setup.qtest)
    setup.ioapic.enable(controller.pin)
    controller.map_bars()
    controller.start_up()
    return controller


def finish(setup, lsi):
    """Takes the interrupt that ends a command."""
    setup.qtest.wait_irq(lsi.pin, "raise")
    assert setup.ioapic.in_service(lsi.pin)
    istat, dstat, dsps = lsi.acknowledge()
    assert istat & ISTAT_DIP and dstat & DSTAT_SIR and dsps == DONE
    setup.ioapic.end()
    setup.qtest.wait_irq(lsi.pin, "lower")
    assert not setup.ioapic.in_service(lsi.pin)
    assert lsi.readb(ISTAT0) & ISTAT_DIP == 0


def test_config_space(setup):
    q = setup.qtest
    assert q.pci_read(2, 0, 4) == 0x00121000
    assert q.pci_read(2, 0, 2) == 0x1000 and q.pci_read(2, 2, 2) == 0x0012
    assert q.pci_read(2, 0x0a, 2) == 0x0100  # SCSI controller
    assert q.pci_read(2, 0x0b, 1) == 0x01
    assert q.pci_read(2, 0x0e, 1) == 0x00    # an ordinary function
    assert q.pci_read(2, 0x2c, 4) == 0x10000000
    assert q.pci_read(2, PCI_INTERRUPT_PIN, 1) == 1
    assert q.pci_read(3, 0, 4) == 0xffffffff


def test_config_byte_lanes(setup):
    q = setup.qtest
    q.pci_write(2, 0x3c, 1, 0xa5)
    assert q.pci_read(2, 0x3c, 1) == 0xa5
    assert q.pci_read(2, 0x3c, 2) == 0x01a5
    q.pci_write(2, 0x3d, 1, 4)  # read-only
    assert q.pci_read(2, 0x3d, 1) == 1
    q.pci_write(2, 0x0c, 4, 0)
    assert q.pci_read(2, 0x3c, 1) == 0xa5


def test_bar_sizes(setup):
    controller = Lsi(setup.qtest, 2)
    for index, kind, size in BARS:
        assert controller.bar_size(index) == (size, kind == "io")
    for index in (3, 4, 5):
        assert controller.bar_size(index) == (0, False)


def test_bars_decode_by_command_register(setup):
    q = setup.qtest
    controller = Lsi(q, 2)
    controller.map_bars()
    controller.writel(SCRATCHA, 0x12345678)
    assert controller.readl(SCRATCHA) == 0x12345678
    assert q.inl(IO_BASE + SCRATCHA) == 0x12345678
    q.pci_write(2, PCI_COMMAND, 2, 1)  # I/O only
    assert controller.readl(SCRATCHA) == 0xffffffff
    assert q.inl(IO_BASE + SCRATCHA) == 0x12345678
    q.pci_write(2, PCI_COMMAND, 2, 2)  # memory only
    assert controller.readl(SCRATCHA) == 0x12345678
    assert q.inl(IO_BASE + SCRATCHA) == 0xffffffff
    q.pci_write(2, PCI_BAR0 + 4, 4, MMIO_BASE + 0x10000)
    assert controller.readl(SCRATCHA) == 0xffffffff
    assert q.readl(MMIO_BASE + 0x10000 + SCRATCHA) == 0x12345678


def test_access_widths(setup):
    q = setup.qtest
    Lsi(q, 2).map_bars()
    for base, read, write in ((MMIO_BASE, (q.readb, q.readw, q.readl),
                               (q.writeb, q.writew, q.writel)),
                              (IO_BASE, (q.inb, q.inw, q.inl), (q.outb, q.outw, q.outl))):
        write[2](base + SCRATCHA, 0x44332211)
        assert [read[0](base + SCRATCHA + i) for i in range(4)] == [0x11, 0x22, 0x33, 0x44]
        assert [read[1](base + SCRATCHA + i) for i in (0, 2)] == [0x2211, 0x4433]
        write[0](base + SCRATCHA + 1, 0xaa)
        write[1](base + SCRATCHA + 2, 0xccbb)
        assert read[2](base + SCRATCHA) == 0xccbbaa11


def test_on_chip_ram(setup):
    q = setup.qtest
    Lsi(q, 2).map_bars()
    data = bytes(range(256)) * 32
    q.write(RAM_BASE, data)
    assert q.read(RAM_BASE, len(data)) == data
    assert q.readl(RAM_BASE + 0x1ffc) == 0xfffefdfc


def test_read_a_sector(setup, lsi):
    lsi.start([0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0], data_len=SECTOR)
    finish(setup, lsi)
    assert lsi.status() == 0x02  # CHECK CONDITION: unit attention after power-on
    lsi.start([0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0], data_len=SECTOR)
    finish(setup, lsi)
    assert lsi.status() == 0
    assert setup.qtest.read(BUFFER, SECTOR) == pattern(7)


def ready(setup, lsi):
    """TEST UNIT READY until the unit attention of power-on is gone."""
    for _ in range(3):
        lsi.start([0] * 6)
        finish(setup, lsi)
        if lsi.status() == 0:
            return
    pytest.fail("the disk does not become ready")


def test_write_and_read_back(setup, lsi):
    ready(setup, lsi)
    data = bytes((i * 7 + 3) & 0xff for i in range(SECTOR))
    lsi.start([0x2a, 0, 0, 0, 1, 0, 0, 0, 1, 0], data=data)
    finish(setup, lsi)
    assert lsi.status() == 0
    setup.qtest.memset(BUFFER, SECTOR, 0)
    lsi.start([0x28, 0, 0, 0, 1, 0, 0, 0, 1, 0], data_len=SECTOR)
    finish(setup, lsi)
    assert lsi.status() == 0
    assert setup.qtest.read(BUFFER, SECTOR) == data
    with open(setup.image, "rb") as stream:
        stream.seek(256 * SECTOR)
        assert stream.read(SECTOR) == data


def test_level_that_stays_is_seen_again(setup, lsi):
    """The guest ends an interrupt whose cause it has not removed."""
    ready(setup, lsi)
    lsi.start([0] * 6)
    setup.qtest.wait_irq(lsi.pin, "raise")
    for _ in range(3):
        assert setup.ioapic.in_service(lsi.pin)
        setup.ioapic.end()
        if setup.proxied:
            setup.qtest.wait_irq(lsi.pin, "lower")
            setup.qtest.wait_irq(lsi.pin, "raise")
        assert setup.ioapic.in_service(lsi.pin)
    lsi.acknowledge()
    setup.ioapic.end()
    setup.qtest.wait_irq(lsi.pin, "lower")
    assert setup.qtest.no_irq(lsi.pin)
    assert not setup.ioapic.in_service(lsi.pin)


def test_many_commands(setup, lsi):
    """Each command's interrupt is one, whatever came before."""
    ready(setup, lsi)
    for lba in range(40):
        lsi.start([0x28, 0, 0, 0, 0, lba, 0, 0, 1, 0], data_len=SECTOR)
        finish(setup, lsi)
        assert setup.qtest.read(BUFFER, SECTOR) == pattern(lba)
    assert setup.qtest.no_irq(lsi.pin)
