# SPDX-License-Identifier: GPL-2.0-or-later
# The Python link client and server against real programs: stock QEMU and this project's.
# Runs in: neither program; the programs are black boxes.
"""The protocol page is right when an implementation written from it works with stock QEMU's two ends.

Every test runs twice, with stock and with our program in the other role, so that the two are seen to behave the same.
A program that is not there is skipped with the reason. Programs: MPQEMU_REMOTE and MPQEMU_MAIN, else build/.
"""

import os
import select
import shutil
import struct
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, FAILED, SET_IRQFD, SYNC_SYSMEM,  # noqa: E402
                         FakeDevice, LinkClient, LinkServer, Range, eventfd, memfd, signalled, socket_pair)

ROOT = os.path.dirname(os.path.dirname(HERE))
STOCK = "qemu-system-x86_64"
OUR_REMOTE = os.environ.get("MPQEMU_REMOTE", os.path.join(ROOT, "build", "remote", "qemu-remote"))
OUR_MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(ROOT, "build", "main", "mpqemu"))
WAIT = 30
MIB = 1 << 20


def program(which, ours):
    """The program's path, or skip."""
    path = STOCK if which == "stock" else ours
    if not shutil.which(path):
        pytest.skip(f"no {path} here")
    return path


def end(process):
    """Kill the process if it lives; return its status."""
    if process.poll() is None:
        process.kill()
    process.communicate()
    return process.returncode


# ------------------------------------------------------------------- our client, their server

PORTS, REGS, RAM = 0xc000, 0xfe000000, 0xfe002000     # where this "firmware" puts the LSI's BARs
IO_MEM_MASTER = 7

# LSI 53C895A registers and SCRIPTS, from the data sheet
DSTAT, ISTAT, DSP, DIEN, SCRATCHA = 0x0c, 0x14, 0x2c, 0x39, 0x34
SIR = 0x04                                            # SCRIPTS interrupt, in DSTAT and DIEN
DIP = 0x01                                            # DMA interrupt pending, in ISTAT
MEMORY_MOVE = 0xc0000000
INT = 0x98080000


def wait_for_main_loop(process):
    """Stock answers the first messages before it resets its machine once, which undoes them: let that pass."""
    process.stdin.write(b'{"execute": "qmp_capabilities"}\n')
    process.stdin.flush()
    for _ in range(2):                                # the greeting, the answer
        assert select.select([process.stdout], [], [], WAIT)[0]
        assert process.stdout.readline()


@pytest.fixture(params=["stock", "ours"])
def lsi(request):
    """A LinkClient whose server is an LSI 53C895A; .process is the server."""
    path = program(request.param, OUR_REMOTE)
    is_stock = request.param == "stock"
    ours, theirs = socket_pair()
    process = subprocess.Popen(
        [path, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device", "lsi53c895a,id=lsi0",
         "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}", *(["-qmp", "stdio"] if is_stock else [])],
        pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    theirs.close()
    if is_stock:
        wait_for_main_loop(process)
    with LinkClient(ours, WAIT) as client:
        client.process = process
        client.is_stock = is_stock
        yield client
    end(process)


def map_bars(client):
    """Do what firmware does."""
    for addr, value in ((0x10, PORTS), (0x14, REGS), (0x18, RAM)):
        assert client.config_write(addr, value, 4) == 0
    assert client.config_write(4, IO_MEM_MASTER, 2) == 0


def test_server_identifies(lsi):
    assert lsi.config_read(0, 4) == 0x00121000
    assert lsi.config_read(0, 2) == 0x1000
    assert lsi.config_read(2, 2) == 0x0012
    assert lsi.config_read(0x0b, 1) == 0x01             # mass storage
    assert lsi.config_read(0x3d, 1) == 1                # INTA


def test_server_sizes_bars(lsi):
    assert lsi.bar_size(0)[1] == 0xffffff01
    assert lsi.bar_size(1)[1] == 0xfffffc00
    assert lsi.bar_size(2)[1] == 0xffffe000
    assert lsi.bar_size(3)[1] == 0


def test_server_reads_and_writes_bars(lsi):
    map_bars(lsi)
    assert lsi.bar_write(REGS + SCRATCHA, 0x12345678, 4) == 0
    assert lsi.bar_read(REGS + SCRATCHA, 4) == 0x12345678
    assert lsi.bar_read(REGS + SCRATCHA + 1, 1) == 0x56
    assert lsi.bar_read(PORTS + SCRATCHA, 4, memory=False) == 0x12345678
    assert lsi.bar_write(PORTS + SCRATCHA, 0xaa, 1, memory=False) == 0
    assert lsi.bar_read(REGS + SCRATCHA, 2) == 0x56aa
    assert lsi.bar_write(RAM + 4096, 0xcafe, 4) == 0
    assert lsi.bar_read(RAM + 4096, 4) == 0xcafe


def test_server_ignores_padding(lsi):
    lsi.raw(struct.pack("<IIQ", 3, 0xdeadbeef, 12) + struct.pack("<III", 0, 0, 4))
    assert lsi.read_message().payload == struct.pack("<Q", 0x00121000)


def test_server_takes_requests_in_any_pieces(lsi):
    data = struct.pack("<IIQIII", 3, 0, 12, 0, 0, 4)
    for i in range(len(data)):
        lsi.raw(data[i:i + 1])
    assert lsi.read_message().payload == struct.pack("<Q", 0x00121000)


def test_server_resets(lsi):
    map_bars(lsi)
    lsi.bar_write(REGS + SCRATCHA, 0x12345678, 4)
    lsi.reset()
    if not lsi.is_stock:                                # stock 7.2 leaves configuration space alone
        assert lsi.config_read(4, 2) == 0
        assert lsi.config_read(0x14, 4) == 0
        map_bars(lsi)
    assert lsi.bar_read(REGS + SCRATCHA, 4) == 0


def test_server_answers_a_bad_width(lsi):
    map_bars(lsi)
    assert lsi.bar_read(REGS, 3) == FAILED
    assert lsi.bar_read(REGS + SCRATCHA, 4) == 0


def run_script(client, ram, words):
    """Put SCRIPTS at guest address 1 MiB + 64 KiB and start them."""
    os.pwrite(ram, struct.pack(f"<{len(words)}I", *words), 0x10000)
    client.bar_write(REGS + DIEN, SIR, 1)
    client.bar_write(REGS + DSP, MIB + 0x10000, 4)


def test_server_does_dma_and_interrupts(lsi):
    """SCRIPTS copy guest RAM and interrupt; the level comes as eventfds with resample."""
    ram, irq, resample = memfd(2 * MIB), eventfd(), eventfd()
    try:
        map_bars(lsi)
        # Guest address 1 MiB is the file's start, 8 MiB its second half.
        lsi.sync_sysmem([Range(ram, MIB, MIB, 0), Range(ram, 8 * MIB, MIB, MIB)])
        lsi.set_irqfd(irq, resample)
        os.pwrite(ram, b"from the guest's memory!", 0)
        run_script(lsi, ram, [MEMORY_MOVE | 24, MIB, 8 * MIB + 256, INT, 0])
        assert signalled(irq, WAIT) == 1
        assert os.pread(ram, 24, MIB + 256) == b"from the guest's memory!"

        # The line is still high: an end of interrupt brings another signal.
        os.eventfd_write(resample, 1)
        assert signalled(irq, WAIT) == 1
        # Reading the cause lowers it: no other signal. The exchange behind the resample gives time for one.
        assert lsi.bar_read(REGS + ISTAT, 1) & DIP
        assert lsi.bar_read(REGS + DSTAT, 1) & SIR
        os.eventfd_write(resample, 1)
        for _ in range(20):
            lsi.barrier()
        assert signalled(irq, 0) == 0
    finally:
        for fd in (ram, irq, resample):
            os.close(fd)


def test_server_replaces_the_table(lsi):
    """A second table takes the place of the first; the exchange behind it is the barrier."""
    first, second, irq, resample = memfd(MIB), memfd(MIB), eventfd(), eventfd()
    try:
        map_bars(lsi)
        lsi.set_irqfd(irq, resample)
        lsi.sync_sysmem([Range(first, MIB, MIB, 0)])
        lsi.barrier()
        lsi.sync_sysmem([Range(second, MIB, MIB, 0)])
        lsi.barrier()
        os.pwrite(second, b"two", 0)
        run_script(lsi, second, [MEMORY_MOVE | 3, MIB, MIB + 512, INT, 0])
        assert signalled(irq, WAIT) == 1
        assert os.pread(second, 3, 512) == b"two"
        assert os.pread(first, 3, 512) == bytes(3)
    finally:
        for fd in (first, second, irq, resample):
            os.close(fd)


def test_server_takes_seven_ranges(lsi):
    ram = memfd(8 * MIB)
    try:
        lsi.sync_sysmem([Range(ram, i * 2 * MIB, MIB, i * MIB) for i in range(7)])
        assert lsi.barrier() == 0x1000
    finally:
        os.close(ram)


def test_server_ends_with_the_link(lsi):
    lsi.barrier()
    lsi.close()
    assert lsi.process.wait(WAIT) == 0


# Where stock ends its process, ours goes on; the page's section "Differences from stock QEMU".

def need_ours(client):
    if client.is_stock:
        pytest.skip("stock ends its process here")


def test_server_takes_eight_ranges_and_none(lsi):
    need_ours(lsi)
    ram = memfd(8 * MIB)
    try:
        lsi.sync_sysmem([Range(ram, i * 2 * MIB, MIB, i * MIB) for i in range(8)])
        assert lsi.barrier() == 0x1000
        lsi.sync_sysmem([])
        assert lsi.barrier() == 0x1000
    finally:
        os.close(ram)


@pytest.mark.parametrize("addr, length, good", [
    (253, 1, True), (255, 1, True), (254, 2, True), (0, 3, False), (0, 0, False), (0, 8, False), (0, 256, False),
    (0, -1, False), (4096, 1, False), (4095, 2, False), (0xffffffff, 1, False)])
def test_server_answers_odd_config_accesses(lsi, addr, length, good):
    need_ours(lsi)
    assert (lsi.config_read(addr, length) != FAILED) == good
    assert lsi.config_read(0, 4) == 0x00121000


@pytest.mark.parametrize("addr, size", [
    (0xdead0000, 4), (REGS + 1022, 4), (REGS - 1, 2), (MIB, 4), (0, 1), (FAILED, 1), (FAILED, 8)])
def test_server_answers_what_no_bar_decodes(lsi, addr, size):
    need_ours(lsi)
    ram = memfd(MIB)
    try:
        map_bars(lsi)
        lsi.sync_sysmem([Range(ram, MIB, MIB, 0)])
        assert lsi.bar_read(addr, size) == FAILED
        assert lsi.bar_write(addr, 0xff, size) == FAILED
        assert os.pread(ram, 8, 0) == bytes(8)          # guest RAM is nobody's BAR
        assert lsi.config_read(0, 4) == 0x00121000
    finally:
        os.close(ram)


# ------------------------------------------------------------------- our server, their client

class Main:
    """A main emulator with a qtest console, and a LinkServer behind its proxy in slot 4."""

    def __init__(self, which):
        path = program(which, OUR_MAIN)
        ours, theirs = socket_pair()
        self.device = FakeDevice(bars={0: 256, 1: 4096}, io_bars=(0,))
        self.server = LinkServer(ours, self.device).start()
        accel = ["-accel", "tcg", "-S", "-display", "none", "-qtest-log", "/dev/null"] if which == "stock" \
            else ["-accel", "qtest", "-display", "none"]
        self.process = subprocess.Popen(
            [path, "-machine", "pc,memory-backend=m", "-m", "64", "-nodefaults", *accel, "-qtest", "stdio",
             "-object", "memory-backend-memfd,id=m,size=64M",
             "-device", f"x-pci-proxy-dev,id=p0,addr=04.0,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, bufsize=1)
        theirs.close()

    def close(self):
        """End both."""
        end(self.process)
        self.server.stop()

    def qtest(self, command):
        """The words of the answer behind OK."""
        self.process.stdin.write(command + "\n")
        while True:
            assert select.select([self.process.stdout], [], [], WAIT)[0], f"no answer to {command}"
            line = self.process.stdout.readline()
            assert line, "the main emulator has ended: " + self.process.stderr.read()[-500:]
            if line.startswith("OK"):
                return line.split()[1:]
            assert not line.startswith(("FAIL", "ERR")), line

    def config_read(self, addr, width="l"):
        """What the guest reads at ADDR of the function's configuration space."""
        self.qtest(f"outl 0xcf8 {0x80002000 + (addr & ~3):#x}")
        return int(self.qtest(f"in{width} {0xcfc + (addr & 3):#x}")[0], 0)

    def config_write(self, addr, value, width="l"):
        """The guest writes there."""
        self.qtest(f"outl 0xcf8 {0x80002000 + (addr & ~3):#x}")
        self.qtest(f"out{width} {0xcfc + (addr & 3):#x} {value:#x}")

    def map_bars(self):
        """Ports at 0xc000, memory at 0xe0000000."""
        self.config_write(0x10, 0xc000)
        self.config_write(0x14, 0xe0000000)
        self.config_write(0x04, 7, "w")

    def wait_for(self, what):
        """Wait until WHAT() is true."""
        limit = time.monotonic() + WAIT
        while not what():
            assert time.monotonic() < limit, f"not in time; the log: {self.server.log}, {self.server.error}"
            time.sleep(0.01)


@pytest.fixture(params=["stock", "ours"])
def main(request):
    """A Main of each kind."""
    emulator = Main(request.param)
    yield emulator
    emulator.close()


def test_client_starts_up(main):
    """It sends what the page's section "Start-up" tells, and our server understands all of it."""
    assert main.config_read(0) == 0x10ff1af4
    main.wait_for(lambda: (DEVICE_RESET, ()) in main.server.log)
    commands = [command for command, _ in main.server.log]
    assert commands.count(SET_IRQFD) == 1
    assert SYNC_SYSMEM in commands
    assert len(main.server.irq_fds) == 2
    assert main.server.error is None


def test_client_forwards_config(main):
    main.config_write(0x3c, 0x0b, "b")
    assert main.config_read(0x3c, "b") == 0x0b
    assert main.config_read(0x3c, "w") == 0x010b
    assert main.device.config[0x3c] == 0x0b
    main.config_write(0x14, 0xffffffff)
    assert main.config_read(0x14) == 0xfffff000
    main.config_write(0x10, 0xffffffff)
    assert main.config_read(0x10) == 0xffffff01


def test_client_forwards_bars(main):
    main.map_bars()
    content = main.device.bars[1][2]
    main.qtest("writeb 0xe0000010 0x11")
    main.qtest("writew 0xe0000020 0x2222")
    main.qtest("writel 0xe0000030 0x33333333")
    main.qtest("writeq 0xe0000040 0x4444444455555555")
    assert content[0x10] == 0x11
    assert content[0x20:0x22] == b"\x22\x22"
    assert content[0x30:0x34] == b"\x33" * 4
    assert content[0x40:0x48] == b"\x55" * 4 + b"\x44" * 4
    assert int(main.qtest("readq 0xe0000040")[0], 0) == 0x4444444455555555
    assert int(main.qtest("readb 0xe0000010")[0], 0) == 0x11
    main.qtest("outl 0xc080 0xa1b2c3d4")
    assert int(main.qtest("inw 0xc082")[0], 0) == 0xa1b2
    assert bytes(main.device.bars[0][2][0x80:0x84]) == b"\xd4\xc3\xb2\xa1"
    memory = [fields for command, fields in main.server.log if command == BAR_WRITE and fields[3] == 1]
    ports = [fields for command, fields in main.server.log if command == BAR_READ and fields[2] == 0]
    assert memory[0] == (0xe0000010, 0x11, 1, 1)        # absolute addresses
    assert ports[-1] == (0xc082, 2, 0)


def test_client_shares_memory(main):
    """The table leads to the guest's own RAM, below and above the hole."""
    main.wait_for(lambda: main.server.ranges)
    for addr in (0x1000, 2 * MIB, 63 * MIB):
        main.qtest(f"writeq {addr:#x} {addr + 1:#x}")
        assert main.server.dma_read(addr, 8) == struct.pack("<Q", addr + 1)
        assert main.server.dma_write(addr + 8, b"\x99" * 8)
        assert int(main.qtest(f"readq {addr + 8:#x}")[0], 0) == 0x9999999999999999
    assert main.server.dma_read(65 * MIB, 1) is None


def test_client_resets_the_device(main):
    main.wait_for(lambda: main.device.resets > 0)
    assert main.server.error is None


def test_client_ends_the_link(main):
    main.wait_for(lambda: (DEVICE_RESET, ()) in main.server.log)
    end(main.process)
    main.wait_for(lambda: main.server.error)
    assert main.server.error == "the end of the stream"
