# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-remote seen from the link: the LSI behind it, guest RAM, interrupts, and what a hostile peer gets.
# Runs in: neither program; drives qemu-remote from outside.
"""Each test has a neighbour: a second device on a second link that must not notice anything."""

import contextlib
import os
import random
import select
import struct

import pytest

import lsi_driver
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, FAILED, PCI_CFGREAD, RET, SET_IRQFD, SYNC_SYSMEM,
                         LinkClosed, Range, pack_bar, pack_conf, pack_table)
from remote_process import LSI_IDS, WAIT, Link, Remote, serve

IO, REGS, RAM = 0xc000, 0xfebf0000, 0xfebf2000        # where we put the three BARs
ISTAT, DSTAT, DSP, DSPS, DIEN = 0x14, 0x0c, 0x2c, 0x30, 0x39
DSTAT_SIR, DSTAT_BF = 0x04, 0x20                       # SCRIPTS interrupt, bus fault
PAGE = 4096
MIB = 1 << 20


def lsi_options(count):
    return [word for i in range(count) for word in ("-device", f"lsi53c895a,id=lsi{i}")]


@pytest.fixture
def link():
    """A link to lsi0; the process also serves a neighbour, which must be well at the end."""
    link, neighbour = Link(), Link()
    with Remote("-no-shutdown", *lsi_options(2), *serve(link), *serve(neighbour, "lsi1", "r1")) as remote:
        assert neighbour.ids() == LSI_IDS
        link.remote, link.neighbour = remote, neighbour
        yield link
        assert neighbour.ids() == LSI_IDS
        status, _, err = remote.terminate()
        assert status == 0, err


@pytest.fixture
def memory():
    """A memfd of 1 MiB."""
    fd = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
    os.ftruncate(fd, MIB)
    yield fd
    os.close(fd)


@pytest.fixture
def eventfds():
    """An interrupt and a resample eventfd."""
    fds = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(2)]
    yield fds
    for fd in fds:
        os.close(fd)


def map_bars(link):
    for offset, value in ((0x10, IO), (0x14, REGS), (0x18, RAM), (0x04, 7)):
        assert link.config_write(offset, value, 4 if offset >= 0x10 else 2) == 0


def wait_event(fd):
    """The eventfd's count, waited for."""
    assert select.select([fd], [], [], WAIT)[0], "no interrupt"
    return os.eventfd_read(fd)


def no_event(link, fd):
    """True when nothing has been signalled by the time the remote has done all we asked."""
    assert link.ids() == LSI_IDS
    return not select.select([fd], [], [], 0)[0]


def open_descriptors(link):
    return len(os.listdir(f"/proc/{link.remote.pid}/fd"))


# ---------------------------------------------------------------------------------- config and BARs

def test_config_space_can_be_read_to_its_last_byte(link):
    for addr in range(253, 256):
        assert link.config_read(addr, 1) <= 0xff
    assert link.config_read(254, 2) <= 0xffff
    assert link.config_read(252, 4) <= 0xffffffff


@pytest.mark.parametrize("addr, size", [(256, 1), (255, 2), (253, 4), (4092, 4), (0xfffffffc, 4), (0, 0), (0, 3),
                                        (0, 8), (0, 256), (0, -1)])
def test_config_access_outside_is_an_error_and_no_more(link, addr, size):
    assert link.config_read(addr, size) == FAILED
    assert link.config_write(addr, 0, size) == FAILED
    assert link.ids() == LSI_IDS


def test_bars_are_sized_as_the_data_sheet_says(link):
    sizes = []
    for offset in range(0x10, 0x28, 4):
        link.config_write(offset, 0xffffffff, 4)
        value = link.config_read(offset, 4)
        mask = 0xfffffffc if value & 1 else 0xfffffff0
        sizes.append((value & 1, -(value & mask) & 0xffffffff))
        link.config_write(offset, 0, 4)
    assert sizes == [(1, 256), (0, 1024), (0, 8192), (0, 0), (0, 0), (0, 0)]
    assert link.config_read(0x3d, 1) == 1                  # interrupt pin INTA


def test_bar_accesses_reach_the_registers_by_ports_and_memory(link):
    map_bars(link)
    assert link.bar_write(REGS + 0x34, 0x12345678, 4) == 0             # SCRATCHA
    assert link.bar_read(REGS + 0x34, 4) == 0x12345678
    assert link.bar_read(IO + 0x35, 1, memory=False) == 0x56
    assert link.bar_write(RAM + 8188, 0xcafe, 4) == 0
    assert link.bar_read(RAM + 8188, 4) == 0xcafe


@pytest.mark.parametrize("addr, size, is_memory", [
    (0x1000, 4, True), (REGS - 1, 1, True), (REGS + 1023, 2, True), (REGS + 1024, 4, True), (RAM + 8192, 1, True),
    (IO + 254, 4, False), (IO, 4, True), (REGS, 4, False), (1 << 63, 8, True), (FAILED, 1, True), (REGS, 0, True),
    (REGS, 3, True), (REGS, 16, True)])
def test_bar_access_to_nothing_is_an_error_and_no_more(link, memory, addr, size, is_memory):
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB)])
    assert link.bar_read(addr, size, is_memory) == FAILED
    assert link.bar_write(addr, 0x5a, size, is_memory) == FAILED
    assert os.pread(memory, MIB, 0) == bytes(MIB)          # guest RAM is nobody's BAR
    assert link.ids() == LSI_IDS


def test_bars_follow_the_command_register(link):
    map_bars(link)
    link.config_write(0x04, 1, 2)
    assert link.bar_read(REGS + ISTAT, 1) == FAILED
    assert link.bar_read(IO + ISTAT, 1, memory=False) == 0
    link.config_write(0x04, 0, 2)
    assert link.bar_read(IO + ISTAT, 1, memory=False) == FAILED


def test_reset_brings_the_power_on_state(link):
    map_bars(link)
    link.bar_write(REGS + 0x34, 0x12345678, 4)
    link.send(DEVICE_RESET)
    reply = link.read_message()
    assert (reply.cmd, reply.payload) == (RET, b"")
    assert link.config_read(0x04, 2) == 0
    map_bars(link)
    assert link.bar_read(REGS + 0x34, 4) == 0


# --------------------------------------------------------------------------- guest RAM, interrupts

def interrupt_script(code):
    """SCRIPTS: INT code."""
    return struct.pack("<II", 0x98080000, code)


def move_script(source, target, count):
    """SCRIPTS: memory move."""
    return struct.pack("<III", 0xc0000000 | count, source, target)


def run_script(link, memory, script, addr=0x1000, enable=DSTAT_SIR | DSTAT_BF):
    os.pwrite(memory, script, addr)
    link.bar_write(REGS + DIEN, enable, 1)
    assert link.bar_write(REGS + DSP, addr, 4) == 0


def test_script_in_guest_ram_runs_and_interrupts(link, memory, eventfds):
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB)])
    link.set_irqfd(*eventfds)
    os.pwrite(memory, b"through the device", 0x8000)
    run_script(link, memory, move_script(0x8000, 0x9000, 18) + interrupt_script(0x1234))
    assert wait_event(eventfds[0]) == 1
    assert os.pread(memory, 18, 0x9000) == b"through the device"
    assert link.bar_read(REGS + ISTAT, 1) & 1              # DMA interrupt pending
    assert link.bar_read(REGS + DSPS, 4) == 0x1234

    # The guest has ended the interrupt, the device still asserts it: again.  After the read of DSTAT: no more.
    os.eventfd_write(eventfds[1], 1)
    assert wait_event(eventfds[0]) == 1
    assert link.bar_read(REGS + DSTAT, 1) & DSTAT_SIR
    os.eventfd_write(eventfds[1], 1)
    assert no_event(link, eventfds[0])


def test_second_pair_of_eventfds_takes_over_a_pending_interrupt(link, memory, eventfds):
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB)])
    link.set_irqfd(*eventfds)
    run_script(link, memory, interrupt_script(1))
    assert wait_event(eventfds[0]) == 1
    before = open_descriptors(link)
    with contextlib.ExitStack() as stack:
        new = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
        for fd in new:
            stack.callback(os.close, fd)
        link.set_irqfd(*new)
        assert wait_event(new[0]) == 1
        assert no_event(link, eventfds[0])
        assert open_descriptors(link) == before


def test_full_blocking_eventfd_does_not_stop_the_remote(link, memory):
    irqfd, resample = os.eventfd(0), os.eventfd(0)
    try:
        os.eventfd_write(irqfd, (1 << 64) - 2)
        map_bars(link)
        link.sync_sysmem([Range(memory, 0, MIB)])
        link.set_irqfd(irqfd, resample)
        run_script(link, memory, interrupt_script(1))
        for _ in range(1000):
            if link.bar_read(REGS + ISTAT, 1) & 1:
                break
        assert link.bar_read(REGS + DSPS, 4) == 1
    finally:
        os.close(irqfd)
        os.close(resample)


def test_device_reaches_only_what_the_last_table_holds(link, memory, eventfds):
    other = os.memfd_create("other", os.MFD_CLOEXEC)
    try:
        os.ftruncate(other, MIB)
        map_bars(link)
        link.set_irqfd(*eventfds)
        link.sync_sysmem([Range(memory, 0, MIB)])
        link.sync_sysmem([Range(other, 16 * MIB, MIB)])
        run_script(link, memory, interrupt_script(1))
        assert wait_event(eventfds[0]) == 1
        assert link.bar_read(REGS + DSTAT, 1) & DSTAT_BF

        link.sync_sysmem([Range(memory, 0, MIB), Range(other, 16 * MIB, MIB)])
        os.eventfd_write(eventfds[1], 1)
        run_script(link, memory, move_script(16 * MIB, 0x9000, 4) + interrupt_script(2))
        assert wait_event(eventfds[0]) == 1
        assert link.bar_read(REGS + DSPS, 4) == 2
    finally:
        os.close(other)


def test_bus_master_bit_is_needed_for_dma(link, memory, eventfds):
    map_bars(link)
    link.config_write(0x04, 3, 2)
    link.sync_sysmem([Range(memory, 0, MIB)])
    link.set_irqfd(*eventfds)
    run_script(link, memory, interrupt_script(1))
    assert wait_event(eventfds[0]) == 1
    assert link.bar_read(REGS + DSTAT, 1) & DSTAT_BF


def test_memory_that_shrinks_under_the_device_harms_nobody(link, memory):
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB)])
    run_script(link, memory, interrupt_script(1))
    assert link.bar_read(REGS + ISTAT, 1) is not None
    os.ftruncate(memory, 0)
    link.bar_write(REGS + DSP, 0x1000, 4)
    for _ in range(100):
        assert link.bar_read(REGS + ISTAT, 1) != FAILED
    # Back to its size: the same table must show the file again, not the pages that were lost.
    os.ftruncate(memory, MIB)
    link.reset()
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB)])
    run_script(link, memory, interrupt_script(7))
    for _ in range(1000):
        if link.bar_read(REGS + ISTAT, 1) & 1:
            break
    assert link.bar_read(REGS + DSPS, 4) == 7


def test_table_without_ranges_takes_all_memory_away(link, memory, eventfds):
    map_bars(link)
    link.set_irqfd(*eventfds)
    link.sync_sysmem([Range(memory, 0, MIB)])
    link.sync_sysmem([])
    run_script(link, memory, interrupt_script(1))
    assert wait_event(eventfds[0]) == 1
    assert link.bar_read(REGS + DSTAT, 1) & DSTAT_BF


def test_eight_ranges_shrink_and_grow(link, memory):
    before = None
    for count in (8, 1, 8, 3, 8):
        link.sync_sysmem([Range(memory, i * MIB, PAGE * (i + 1), PAGE * i) for i in range(count)])
        assert link.ids() == LSI_IDS
        if count == 8:
            before = before or open_descriptors(link)
            assert open_descriptors(link) == before


# --------------------------------------------------------------------------------------------- disks

class Guest:
    """What lsi_driver needs of a machine, by a link and the guest's RAM."""

    def __init__(self, link, memory):
        self.link, self.memory = link, memory

    def pci_read(self, _slot, offset, size):
        return self.link.config_read(offset, size)

    def pci_write(self, _slot, offset, size, value):
        self.link.config_write(offset, value, size)

    def write(self, addr, data):
        os.pwrite(self.memory, data, addr)

    def _access(self, addr, size, value=None):
        if addr < MIB:
            return int.from_bytes(os.pread(self.memory, size, addr), "little")
        if value is None:
            return self.link.bar_read(addr, size)
        return self.link.bar_write(addr, value, size)

    def readb(self, addr):
        return self._access(addr, 1)

    def readl(self, addr):
        return self._access(addr, 4)

    def writeb(self, addr, value):
        self._access(addr, 1, value)

    def writel(self, addr, value):
        self._access(addr, 4, value)


def start_lsi(link, memory, eventfds=None):
    """A driver on the link's controller, which has RAM and, when given, an interrupt."""
    link.sync_sysmem([Range(memory, 0, MIB)])
    if eventfds:
        link.set_irqfd(*eventfds)
    lsi = lsi_driver.Lsi(Guest(link, memory), 0)
    lsi.map_bars()
    lsi.start_up()
    return lsi


def transfer(opcode, lba, blocks):
    """READ(10) or WRITE(10)."""
    return struct.pack(">BBIBHB", opcode, 0, lba, 0, blocks, 0)


def disk_options(path, bus):
    return ("-drive", f"id={bus}-disk,file={path},format=raw,if=none",
            "-device", f"scsi-hd,drive={bus}-disk,bus={bus}.0,scsi-id=0")


def test_sectors_go_to_the_image_and_come_back(memory, eventfds, tmp_path):
    image, link = tmp_path / "disk.img", Link()
    image.write_bytes(bytes(MIB))
    data = random.Random(1).randbytes(8 * 512)
    with Remote(*lsi_options(1), *disk_options(image, "lsi0"), *serve(link)) as remote:
        lsi = start_lsi(link, memory, eventfds)
        for opcode, more in ((0x00, {}), (0x2a, {"data": data}), (0x28, {"data_len": len(data)})):
            cdb = bytes(6) if opcode == 0 else transfer(opcode, 100, 8)
            for _ in range(2 if opcode == 0 else 1):    # the first answer is the unit attention of power-on
                lsi.start(cdb, **more)
                wait_event(eventfds[0])
                istat, _, dsps = lsi.acknowledge()
                assert istat & lsi_driver.ISTAT_DIP and dsps == lsi_driver.DONE
                os.eventfd_write(eventfds[1], 1)
            assert lsi.status() == 0
            if opcode == 0x2a:
                os.pwrite(memory, bytes(len(data)), lsi_driver.BUFFER)
        assert os.pread(memory, len(data), lsi_driver.BUFFER) == data
        link.close()
        assert remote.wait()[0] == 0
    assert image.read_bytes()[51200:51200 + len(data)] == data


def test_links_that_end_during_transfers_harm_nobody(tmp_path):
    # Each link starts a transfer of 256 KiB and goes away without a word, its memory shrinking behind it.
    links, healthy = [Link() for _ in range(20)], Link()
    args = []
    for i, link in enumerate(links):
        image = tmp_path / f"disk{i}.img"
        image.write_bytes(bytes(MIB))
        args += [*disk_options(image, f"lsi{i}"), *serve(link, f"lsi{i}", f"r{i}")]
    with Remote("-no-shutdown", *lsi_options(21), *args, *serve(healthy, "lsi20", "healthy")) as remote:
        for i, link in enumerate(links):
            memory = os.memfd_create("guest-ram", os.MFD_CLOEXEC)
            os.ftruncate(memory, MIB)
            lsi = start_lsi(link, memory)
            for _ in range(2):
                lsi.start(transfer(0x28 if i % 2 else 0x2a, i, 512), data_len=512 * 512)
            if i % 4 > 1:
                os.ftruncate(memory, 0)
            link.close()
            os.close(memory)
            assert healthy.ids() == LSI_IDS
        status, _, err = remote.terminate()
        assert status == 0, err


# ------------------------------------------------------------------------------------ hostile peers

def payload_of(message):
    return message[16:]


def sync_payload(*ranges):
    """Payload of SYNC_SYSMEM for (gpa, size, offset) of up to 8 ranges."""
    return payload_of(pack_table([Range(None, *part) for part in ranges]))


CONF = payload_of(pack_conf(PCI_CFGREAD, 0, 0, 4))
BAR = payload_of(pack_bar(BAR_READ, REGS, 0, 4, True))
# name: (command, payload, kinds of descriptors, size in the header)
REFUSED = {
    "unknown-command": (8, b"", "", None),
    "negative-command": (0xffffffff, b"", "", None),
    "huge-command": (0x7fffffff, b"", "", None),
    "reply-to-a-server": (RET, bytes(8), "", None),
    "config-too-short": (PCI_CFGREAD, CONF[:8], "", None),
    "config-too-long": (PCI_CFGREAD, CONF + bytes(4), "", None),
    "config-with-fd": (PCI_CFGREAD, CONF, "e", None),
    "bar-too-short": (BAR_READ, BAR[:20], "", None),
    "bar-write-with-fd": (BAR_WRITE, BAR, "m", None),
    "size-over-the-limit": (SYNC_SYSMEM, b"", "", 193),
    "size-huge": (BAR_READ, b"", "", (1 << 64) - 1),
    "reset-with-payload": (DEVICE_RESET, bytes(8), "", None),
    "irqfd-without-fds": (SET_IRQFD, b"", "", None),
    "irqfd-with-one": (SET_IRQFD, b"", "e", None),
    "irqfd-with-three": (SET_IRQFD, b"", "eee", None),
    "irqfd-pipe": (SET_IRQFD, b"", "ep", None),
    "irqfd-memfd": (SET_IRQFD, b"", "me", None),
    "irqfd-null-device": (SET_IRQFD, b"", "en", None),
    "sync-nine-fds": (SYNC_SYSMEM, sync_payload(*((i * MIB, PAGE, 0) for i in range(8))), "m" * 9, None),
    "sync-of-an-eventfd": (SYNC_SYSMEM, sync_payload((0, PAGE, 0)), "e", None),
    "sync-of-a-pipe": (SYNC_SYSMEM, sync_payload((0, PAGE, 0)), "p", None),
    "sync-of-the-null-device": (SYNC_SYSMEM, sync_payload((0, PAGE, 0)), "n", None),
    "sync-overlap": (SYNC_SYSMEM, sync_payload((0, 2 * PAGE, 0), (PAGE, PAGE, 0)), "mm", None),
    "sync-empty-range": (SYNC_SYSMEM, sync_payload((0, 0, 0)), "m", None),
    "sync-wraps": (SYNC_SYSMEM, sync_payload((1 << 63, 1 << 63, 0)), "m", None),
    "sync-too-high": (SYNC_SYSMEM, sync_payload((1 << 46, PAGE, 0)), "m", None),
    "sync-negative-offset": (SYNC_SYSMEM, sync_payload((0, PAGE, -PAGE)), "m", None),
    "sync-past-the-end": (SYNC_SYSMEM, sync_payload((0, MIB + 1, 0)), "m", None),
    "sync-behind-the-end": (SYNC_SYSMEM, sync_payload((0, PAGE, MIB)), "m", None),
    "sync-of-an-empty-file": (SYNC_SYSMEM, sync_payload((0, PAGE, 0)), "f", None),
    "sync-of-a-read-only-file": (SYNC_SYSMEM, sync_payload((0, PAGE, 0)), "r", None),
}


def make_descriptors(kinds, stack):
    """One descriptor per letter: eventfd, memfd of 1 MiB, the same read-only, empty file, pipe, null device."""
    fds = []
    for kind in kinds:
        if kind == "e":
            new = [os.eventfd(0)]
        elif kind == "m":
            new = [os.memfd_create("test")]
            os.ftruncate(new[0], MIB)
        elif kind == "r":
            new = [os.memfd_create("test")]
            os.ftruncate(new[0], MIB)
            new.insert(0, os.open(f"/proc/self/fd/{new[0]}", os.O_RDONLY))
        elif kind == "f":
            new = [os.open("/tmp", os.O_TMPFILE | os.O_RDWR, 0o600)]
        elif kind == "p":
            new = list(os.pipe())
        else:
            new = [os.open("/dev/null", os.O_RDWR)]
        for fd in new:
            stack.callback(os.close, fd)
        fds.append(new[0])
    return fds


@pytest.mark.parametrize("name", REFUSED)
def test_message_that_breaks_the_protocol_ends_its_link_only(link, name):
    command, payload, kinds, size = REFUSED[name]
    with contextlib.ExitStack() as stack:
        fds = make_descriptors(kinds, stack)
        before = open_descriptors(link)
        link.send(command, payload, fds, size)
        assert link.reply() is None
        # All it sent and had is closed, by the time the neighbour is served.
        assert link.neighbour.ids() == LSI_IDS
        assert open_descriptors(link) == before - 1
        for kind, fd in zip(kinds, fds):
            assert kind not in "mrf" or os.fstat(fd).st_size == (0 if kind == "f" else MIB)   # not grown
    # The fixture checks the neighbour and that the process ends well.


def test_half_a_header_and_silence(link):
    """Only that link waits; its neighbour is served, and the process ends when told to (by the fixture)."""
    link.raw(pack_conf(PCI_CFGREAD, 0, 0, 4)[:8])
    for _ in range(100):
        assert link.neighbour.ids() == LSI_IDS
    assert not select.select([link.stream.sock], [], [], 0)[0]


@pytest.mark.parametrize("last_words", [b"", b"\0" * 7, b"\xff" * 64])
def test_links_end_whose_socket_somebody_else_holds_too(last_words):
    """A launcher's or shell's copy of the remote's end keeps the socket, and what watches it, alive in the kernel."""
    link, neighbour = Link(), Link()
    with link.remote_end.dup(), \
         Remote("-no-shutdown", *lsi_options(2), *serve(link), *serve(neighbour, "lsi1", "r1")) as remote:
        assert link.ids() == LSI_IDS
        link.raw(last_words)
        link.close()
        for _ in range(100):
            assert neighbour.ids() == LSI_IDS
        status, _, err = remote.terminate()
        assert status == 0, err


def test_peers_that_go_before_the_reply():
    links, healthy = [Link() for _ in range(30)], Link()
    served = [word for i, link in enumerate(links) for word in serve(link, f"lsi{i}", f"r{i}")]
    for i, link in enumerate(links):
        for _ in range(1 + i):
            link.raw(pack_bar(BAR_READ, REGS, 0, 4, True) if i % 2 else pack_conf(PCI_CFGREAD, 0, 0, 4))
        link.close()                        # its requests are still in the socket
    with Remote("-no-shutdown", *lsi_options(31), *served, *serve(healthy, "lsi30", "healthy")) as remote:
        assert healthy.ids() == LSI_IDS
        status, _, err = remote.terminate()
        assert status == 0, err


def test_guest_ram_over_the_own_bars_is_ram_for_dma_only(link, memory, eventfds):
    map_bars(link)
    link.sync_sysmem([Range(memory, 0, MIB // 2), Range(memory, REGS & -PAGE, PAGE * 4, MIB // 2)])
    link.set_irqfd(*eventfds)
    os.pwrite(memory, bytes(1024), MIB // 2)
    assert link.bar_write(REGS + 0x34, 0x12345678, 4) == 0
    assert link.bar_read(REGS + 0x34, 4) == 0x12345678
    assert os.pread(memory, 1024, MIB // 2) == bytes(1024)
    os.pwrite(memory, b"data", 0x8000)
    run_script(link, memory, move_script(0x8000, REGS + 0x200, 4) + interrupt_script(3))
    assert wait_event(eventfds[0]) == 1
    assert link.bar_read(REGS + DSPS, 4) == 3
    assert link.bar_read(REGS + 0x34, 4) == 0x12345678


def test_peer_that_reads_no_replies_is_not_read_from(link):
    message = pack_conf(PCI_CFGREAD, 0, 0, 4)
    sent = 0
    link.stream.sock.setblocking(False)
    while select.select([], [link.stream.sock], [], 0.5)[1]:      # until the remote has stopped reading for good
        with contextlib.suppress(BlockingIOError):
            sent += link.stream.sock.send(message * 16)
    link.stream.sock.settimeout(WAIT)
    replies = 0
    while replies < sent // len(message):
        assert link.reply() == LSI_IDS
        replies += 1
    assert replies > 100


def test_random_bytes_end_a_link_and_nothing_else():
    links, healthy = [Link() for _ in range(30)], Link()
    served = [word for i, link in enumerate(links) for word in serve(link, f"lsi{i}", f"r{i}")]
    seed = random.SystemRandom().randrange(1 << 32)
    source = random.Random(seed)
    with Remote("-no-shutdown", *lsi_options(31), *served, *serve(healthy, "lsi30", "healthy")) as remote:
        for link in links:
            with contextlib.suppress(LinkClosed):     # cut off already
                for _ in range(source.randrange(1, 20)):
                    command = source.choice([source.randrange(10), source.getrandbits(32)])
                    size = source.choice([0, 8, 12, 24, 192, source.randrange(260)])
                    link.send(command, source.randbytes(size),
                              size=source.choice([size, size, source.getrandbits(64)]))
            link.close()
            assert healthy.ids() == LSI_IDS, f"seed {seed}"
        status, _, err = remote.terminate()
        assert status == 0, f"seed {seed}: {err}"
