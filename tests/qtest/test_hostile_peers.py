# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-remote under tens of thousands of broken, random and malicious messages, by seed.
# Runs in: neither program; drives qemu-remote from outside.
"""One qemu-remote serves many links. All but one are hostile; a thread drives the healthy one the whole time.

Theory of operation

A hostile link lives until its first message that the protocol cannot answer, so a wave needs many: each of LINKS
devices has one. A hostile peer is a generator of (bytes, descriptors), seeded by wave and link:

    noise      random bytes with random descriptors
    mutants    a driver's session in which messages are flipped, cut, doubled, glued, and given wrong descriptors
    guest      only messages the protocol allows, with a guest behind them that writes random registers, lets random
               SCRIPTS run in random memory, and shrinks that memory meanwhile

Each link must come to its end after its peer has hung up, the neighbour's every answer must be right and in time, and
the process must have as many descriptors as before, no more memory than the links before needed, and end with status 0
(under ASan: without a leak).
"""

import contextlib
import os
import random
import select
import socket
import struct
import threading
import time

import pytest

from device_process import device_pid
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, PCI_CFGREAD, PCI_CFGWRITE, RET, SET_IRQFD,
                         LinkError, Range, pack, pack_bar, pack_conf, pack_table)
from remote_process import LSI_IDS, WAIT, Link, Remote, serve

REGS, RAM, IO = 0xfebf0000, 0xfebf2000, 0xc000
DSP, SCRATCHA = 0x2c, 0x34
MIB = 1 << 20
PAGE = 4096
LINKS = 62           # hostile links of one process, which serves at most 63
RSS_GROWTH_KIB = 16 * 1024

EDGES = (0, 1, 2, 3, 4, 7, 8, 12, 16, 24, 127, 191, 192, 193, 253, 255, 256, 4095, 4096, 0x7fffffff, 0x80000000,
         0xfffffffc, 0xffffffff, 1 << 32, 1 << 46, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, REGS, REGS + 1023, RAM)


class Descriptors:
    """A small stock of descriptors of each kind, shared by all hostile peers."""

    def __init__(self):
        memory = [os.memfd_create("guest-ram", os.MFD_CLOEXEC) for _ in range(3)]
        os.ftruncate(memory[0], MIB)
        os.ftruncate(memory[1], 16 * PAGE)
        self.memory = memory
        self.events = [os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0)]
        self.others = [*os.pipe(), os.open("/dev/null", os.O_RDWR), os.open("/", os.O_RDONLY),
                       os.open("/dev/zero", os.O_RDWR)]
        with contextlib.suppress(OSError):      # a kernel without huge pages
            self.others.append(os.memfd_create("huge", os.MFD_CLOEXEC | os.MFD_HUGETLB))
            os.ftruncate(self.others[-1], 2 * MIB)
        self.all = self.memory + self.events + self.others

    def close(self):
        for fd in self.all:
            os.close(fd)


@pytest.fixture(name="stock")
def _stock():
    stock = Descriptors()
    yield stock
    stock.close()


# ------------------------------------------------------------------------------- hostile peers

def number(rng, bits):
    """A number of BITS bits, often one at an edge."""
    value = rng.choice(EDGES) + rng.randrange(-2, 3) if rng.randrange(2) else rng.getrandbits(bits)
    return value & (1 << bits) - 1


def conf_message(rng, command):
    if rng.randrange(4):
        return pack_conf(command, rng.randrange(256), number(rng, 32), rng.choice((1, 2, 4)))
    return pack_conf(command, number(rng, 32), number(rng, 32), number(rng, 32))


def bar_message(rng, command):
    if rng.randrange(4):
        base, size, memory = rng.choice(((REGS, 1024, 1), (RAM, 8192, 1), (IO, 256, 0)))
        return pack_bar(command, base + rng.randrange(size), number(rng, 64), rng.choice((1, 2, 4, 8)), memory)
    return pack_bar(command, number(rng, 64), number(rng, 64), number(rng, 32), rng.randrange(256))


def table_message(rng, stock):
    """(message, descriptors), mostly of a table that can be."""
    fds = [rng.choice(stock.memory if rng.randrange(20) else stock.all) for _ in range(rng.randrange(9))]
    ranges = [Range(fd, i * MIB, PAGE * rng.randrange(1, 16), 0) for i, fd in enumerate(fds)]
    if ranges and rng.randrange(4) == 0:
        i = rng.randrange(len(ranges))
        ranges[i] = Range(fds[i], number(rng, 64), number(rng, 64), number(rng, 63))
    return pack_table(ranges), fds


def message(rng, stock):
    """(bytes, descriptors): one message that may well be valid."""
    kind = rng.randrange(12)
    if kind < 3:
        return conf_message(rng, rng.choice((PCI_CFGREAD, PCI_CFGWRITE))), []
    if kind < 8:
        return bar_message(rng, rng.choice((BAR_READ, BAR_WRITE))), []
    if kind < 10:
        return table_message(rng, stock)
    if kind == 10:
        return pack(DEVICE_RESET), []
    return pack(SET_IRQFD), rng.choices(stock.events, k=2)


def noise(rng, stock):
    """Random bytes."""
    for _ in range(rng.randrange(1, 8)):
        data = rng.randbytes(rng.randrange(1, 300))
        if rng.randrange(2):
            data = struct.pack("<I4xQ", rng.randrange(9), rng.choice((0, 8, 12, 24, 192))) + data
        yield data, rng.choices(stock.all, k=rng.randrange(10)) if rng.randrange(4) == 0 else []


def flip(rng, data):
    """The message with some bytes changed."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(len(data))] = rng.choice((0, 1, 0x7f, 0x80, 0xff, rng.randrange(256)))
    return bytes(data)


def mutants(rng, stock):
    """A session with mistakes."""
    yield pack_conf(PCI_CFGWRITE, 0x14, REGS, 4), []
    yield pack_conf(PCI_CFGWRITE, 4, 7, 2), []
    for _ in range(rng.randrange(10, 80)):
        data, fds = message(rng, stock)
        how = rng.randrange(60)
        if how == 0:
            data = flip(rng, data)
        elif how == 1:
            data = data[:rng.randrange(len(data))]
        elif how == 2:
            fds = fds + rng.choices(stock.all, k=rng.randrange(1, 4))
        elif how == 3:
            fds = fds[:-1]
        elif how == 4:
            data = flip(rng, data[:16]) + data[16:]
        elif how == 5:
            data = data + rng.randbytes(rng.randrange(40))
        elif how == 6:
            data = pack(rng.choice((RET, 8, 0xffffffff)), rng.randbytes(rng.choice((0, 8))))
        elif how < 16:
            data = data + message(rng, stock)[0]
        elif how < 26 and not fds:
            at = rng.randrange(1, len(data))
            yield data[:at], []
            data = data[at:]
        yield data, fds


def scripts(rng):
    """A random SCRIPTS program of 4 KiB, of instructions that often mean something."""
    words = []
    while len(words) < 1024:
        first = rng.choice((rng.randrange(1 << 27),                              # block moves
                            0x40000000 | rng.getrandbits(27),                    # I/O, registers
                            0x80000000 | rng.getrandbits(27),                    # transfer control
                            0xc0000000 | rng.randrange(PAGE),                    # memory move
                            0xe0000000 | rng.getrandbits(25),                    # load, store
                            rng.getrandbits(32)))
        words += [first, rng.choice((rng.randrange(16 * PAGE) & ~3, rng.getrandbits(32), RAM))]
    return struct.pack("<1024I", *words[:1024])


def guest(rng, stock):
    """A guest without scruples on a link without faults."""
    memory = stock.memory[1]
    for offset, value in ((0x10, IO), (0x14, REGS), (0x18, RAM), (4, 7)):
        yield pack_conf(PCI_CFGWRITE, offset, value, 4), []
    yield pack(SET_IRQFD), stock.events[1:]
    for _ in range(rng.randrange(2, 6)):
        os.ftruncate(memory, 16 * PAGE)
        os.pwrite(memory, scripts(rng), PAGE)
        yield pack_table([Range(memory, 0, 16 * PAGE, 0)]), [memory]
        for _ in range(rng.randrange(1, 12)):
            register = rng.randrange(0x60)
            yield pack_bar(BAR_WRITE, REGS + register, rng.getrandbits(32), rng.choice((1, 2, 4)), 1), []
        yield pack_bar(BAR_WRITE, REGS + DSP, PAGE + 8 * rng.randrange(512), 4, 1), []
        if rng.randrange(4) == 0:
            os.ftruncate(memory, rng.randrange(16) * PAGE)
        yield pack_bar(BAR_READ, REGS + rng.randrange(0x60), 0, 4, 1), []


# kind: (generator, processes). A process sees about 80, 1000, 2200 messages.
KINDS = {"noise": (noise, 40), "mutants": (mutants, 24), "guest": (guest, 12)}


# --------------------------------------------------------------------------------- one wave

class Neighbour(threading.Thread):
    """Drives a healthy link until stopped; `error` is what went wrong, `rounds` how often all was right."""

    def __init__(self, link):
        super().__init__(daemon=True)
        self.link, self.error, self.rounds = link, None, 0
        self.done = threading.Event()
        for offset, value in ((0x14, REGS), (4, 2)):
            assert link.config_write(offset, value, 4) == 0

    def run(self):
        rng = random.Random(0)
        try:
            while not self.done.is_set():
                value = rng.getrandbits(32)
                assert self.link.bar_write(REGS + SCRATCHA, value, 4) == 0
                assert self.link.bar_read(REGS + SCRATCHA, 4) == value
                assert self.link.ids() == LSI_IDS
                self.rounds += 1
                time.sleep(0.0002)
        except (LinkError, AssertionError) as error:
            self.error = error

    def stop(self):
        self.done.set()
        self.join(2 * WAIT)
        assert not self.is_alive() and self.error is None, self.error


def drain(sock):
    """Throws away what has come; False at the end of the link."""
    with contextlib.suppress(ConnectionResetError):
        while select.select([sock], [], [], 0)[0]:
            if not sock.recv(1 << 16):
                return False
        return True
    return False


def attack(link, stream):
    """Sends all of STREAM, then hangs up and waits for the other side's end; the number of messages."""
    sock, sent = link.stream.sock, 0
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for data, fds in stream:
            if not data:
                continue
            if len(fds) > 8:
                fds = fds[:9]
            socket.send_fds(sock, [data], fds) if fds else sock.sendall(data)
            sent += 1
            if not drain(sock):
                break
        sock.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + WAIT
    while drain(sock):
        left = deadline - time.monotonic()
        assert left > 0 and select.select([sock], [], [], left)[0], "the link does not end"
    link.close()
    return sent


def rss(process):
    with open(f"/proc/{device_pid(process.pid)}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(process):
    return len(os.listdir(f"/proc/{device_pid(process.pid)}/fd"))


def wait_for_descriptors(process, most):
    """Waits until PROCESS has at most MOST: a link's are closed after its socket."""
    deadline = time.monotonic() + WAIT
    while descriptors(process) > most:
        assert time.monotonic() < deadline, f"{descriptors(process)} descriptors, {most} were expected"
        time.sleep(0.01)


def device_options(count):
    """COUNT controllers in as many functions as slots have."""
    words = []
    for i in range(count):
        slot, function = 1 + i // 8, i % 8
        more = ",multifunction=on" if function == 0 else ""
        words += ["-device", f"lsi53c895a,id=lsi{i},addr={slot:x}.{function}{more}"]
    return words


@pytest.mark.parametrize("kind, wave", [(kind, wave) for kind in KINDS for wave in range(KINDS[kind][1])])
def test_hostile_links(kind, wave, stock, monkeypatch):
    # ASan keeps freed memory for a while, which would look like growth.
    options = os.environ.get("ASAN_OPTIONS", "")
    monkeypatch.setenv("ASAN_OPTIONS", f"{options}:quarantine_size_mb=1".lstrip(":"))
    links, healthy = [Link() for _ in range(LINKS)], Link()
    served = [word for i, link in enumerate(links) for word in serve(link, f"lsi{i}", f"r{i}")]
    with Remote("-no-shutdown", *device_options(LINKS + 1), *served,
                *serve(healthy, f"lsi{LINKS}", "healthy")) as remote:
        # The log of refusals is not for us to judge, but must not fill its pipe.
        log = []
        reader = threading.Thread(target=lambda: log.extend(remote.process.stderr), daemon=True)
        assert healthy.ids() == LSI_IDS
        reader.start()
        neighbour = Neighbour(healthy)
        neighbour.start()
        before, sent = descriptors(remote.process), 0
        for i, link in enumerate(links):
            if i == LINKS // 2:
                half = rss(remote.process)
            sent += attack(link, KINDS[kind][0](random.Random(f"{kind} {wave} {i}"), stock))
        neighbour.stop()
        assert remote.process.poll() is None
        wait_for_descriptors(remote.process, before - LINKS)
        assert rss(remote.process) - half < RSS_GROWTH_KIB
        assert neighbour.rounds > 0 and sent >= LINKS
        remote.process.terminate()
        assert remote.process.wait(WAIT) == 0, "".join(log)[-3000:]
        reader.join(WAIT)
