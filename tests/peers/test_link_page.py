# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of the protocol page against the second implementation, and that implementation against itself.
# Runs in: neither program.
"""docs/interop/mpqemu-link.rst shows each message as bytes; they must be what mpqemu_link makes."""

import os
import re
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

# pylint: disable=wrong-import-position
from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, DMA_ANSWER, DMA_READ, FAILED, PCI_CFGREAD,  # noqa: E402
                         PCI_CFGWRITE, RET, SET_BOUNCE, SET_IRQFD, BounceHost, FakeDevice, LinkClient, LinkServer,
                         Range, eventfd, memfd, open_fds, pack,
                         pack_bar, pack_bounce_table, pack_conf, pack_dma, pack_ret, pack_table, signalled,
                         socket_pair)

PAGE = os.path.join(HERE, "..", "..", "docs", "interop", "mpqemu-link.rst")
HEX_LINE = re.compile(r"    [0-9a-f]{2}( {1,2}[0-9a-f]{2})*$")


def page_examples():
    """The hexadecimal blocks of the page as bytes, in order."""
    blocks, block = [], b""
    with open(PAGE, encoding="utf-8") as page:
        for line in page:
            if HEX_LINE.match(line):
                block += bytes.fromhex(line)
            elif block:
                blocks.append(block)
                block = b""
    return blocks


def test_page_examples_are_the_bytes_we_make():
    table = [Range(-1, 0, 768 << 10, 0), Range(-1, 1 << 20, 63 << 20, 1 << 20)]
    assert page_examples() == [
        pack_ret(0x00121000),
        pack_conf(PCI_CFGREAD, 0, 0, 4),
        pack_conf(PCI_CFGWRITE, 4, 7, 2),
        pack_bar(BAR_WRITE, 0xfebf0014, 0x80, 1, True),
        pack_bar(BAR_READ, 0xc000, 0, 4, False),
        pack_table(table),
        pack(SET_IRQFD),
        pack(DEVICE_RESET),
        pack(RET),
        pack(SET_BOUNCE),
        pack_bounce_table([(0, 16 << 20), (4 << 30, 1 << 20)]),
        pack_dma(5, DMA_READ, [(0x10000, 8, 0)]),
        DMA_ANSWER.pack(5, 0),
    ]


@pytest.fixture
def pair():
    """(client, server) of a made-up device; no descriptor may be left."""
    before = open_fds()
    ours, theirs = socket_pair()
    with LinkServer(theirs, FakeDevice(bars={0: 256, 1: 4096}, io_bars=(0,))) as server, LinkClient(ours) as client:
        yield client, server
    assert open_fds() == before


def test_client_and_server_agree(pair):
    client, server = pair
    assert client.config_read(0, 4) == 0x10ff1af4
    assert client.bar_size(1)[1] == 0xfffff000
    client.config_write(0x14, 0xfe000000, 4)
    client.config_write(4, 2, 2)
    assert client.bar_write(0xfe000ffc, 0xdeadbeef, 4) == 0
    assert client.bar_read(0xfe000ffe, 2) == 0xdead
    assert client.bar_read(0xfe000ffe, 4) == FAILED
    client.reset()
    assert client.bar_read(0xfe000ffc, 4) == FAILED
    assert server.error is None


def test_interrupt_level_and_resample(pair):
    client, server = pair
    irq, resample = eventfd(), eventfd()
    try:
        server.set_irq(True)
        client.set_irqfd(irq, resample)                 # high already: signalled at once
        assert signalled(irq, 10) == 1
        os.eventfd_write(resample, 1)
        assert signalled(irq, 10) == 1
        server.set_irq(False)
        server.set_irq(True)
        assert signalled(irq, 10) == 1
    finally:
        os.close(irq)
        os.close(resample)


def test_memory_is_shared(pair):
    client, server = pair
    ram = memfd(1 << 20)
    try:
        client.sync_sysmem([Range(ram, 0x100000, 0x10000, 0x20000)])
        client.barrier()
        assert server.dma_write(0x100004, b"shared")
        assert os.pread(ram, 6, 0x20004) == b"shared"
        assert server.dma_read(0x10fffe, 4) is None
    finally:
        os.close(ram)


@pytest.mark.parametrize("data, fds", [
    pytest.param(pack(9), 0, id="unknown-command"),
    pytest.param(pack_ret(0), 0, id="ret"),
    pytest.param(pack(DEVICE_RESET, b"12345678"), 0, id="payload-of-reset"),
    pytest.param(pack(PCI_CFGREAD, b"", FAILED), 0, id="huge-size"),
    pytest.param(pack(DEVICE_RESET), 1, id="fd-with-reset"),
    pytest.param(pack(SET_IRQFD), 2, id="ram-as-eventfd"),
    pytest.param(pack_table([]), 9, id="nine-fds"),
    pytest.param(pack_table([Range(-1, 0, 0)]), 1, id="empty-range"),
    pytest.param(pack_table([Range(-1, 0, 8192), Range(-1, 4096, 8192)]), 2, id="overlap"),
    pytest.param(pack_table([Range(-1, 0, 1 << 30)]), 1, id="beyond-the-file")])
def test_server_refuses(pair, data, fds):
    client, server = pair
    ram = memfd(1 << 20)
    try:
        client.raw(data, [ram] * fds)
        assert client.at_end()
        assert server.error
    finally:
        os.close(ram)


def test_bounced_dma(pair):
    client, server = pair
    with BounceHost(1 << 16) as host:
        assert client.set_bounce(host.remote_end, host.window) == 0
        client.sync_bounce([(0, 1 << 16)])
        client.barrier()
        assert server.bounced == [(0, 1 << 16)]
        assert server.dma_write(0x1000, b"hello") and host.guest[0x1000:0x1005] == b"hello"
        assert server.dma_read(0x0fff, 4) == b"\0hel"
        assert server.dma_read((1 << 16) - 1, 2) is None
        host.master = False
        assert not server.dma_write(0, b"x")
        assert [kind for kind, _ in host.requests] == [2, 1, 1, 2]
