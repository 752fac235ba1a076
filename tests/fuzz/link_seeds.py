#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes the seeds of the link's fuzz targets: tests/fuzz/link_seeds.py
# Runs in: neither program; a developer's tool.  The seeds are kept in the tree.
"""Valid dialogues, and a few that end badly, in the input format of tests/fuzz/fuzz-link.h."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "peers"))

from mpqemu_link import (BAR_READ, BAR_WRITE, DEVICE_RESET, PCI_CFGREAD, PCI_CFGWRITE, RET,  # noqa: E402
                         SET_BOUNCE, SET_IRQFD, Range, pack, pack_bar, pack_bounce_table, pack_conf, pack_ret,
                         pack_table)

MEMFD, EVENTFD, SOCKET, MIXED = 0, 1, 2, 4


def part(data, fds=0, kind=MEMFD):
    """One send."""
    return bytes([len(data) - 1, kind << 4 | fds]) + data


def table(count):
    """SYNC_SYSMEM of COUNT ranges with their memfds."""
    return part(pack_table([Range(-1, i << 20, 1 << 20, i << 20) for i in range(count)]), count)


READ = pack_conf(PCI_CFGREAD, 0, 0, 4)
SERVER = {
    "config": part(READ) + part(pack_conf(PCI_CFGWRITE, 4, 7, 2)) + part(pack_conf(PCI_CFGREAD, 255, 0, 1)),
    "bar": part(pack_bar(BAR_READ, 0xfe000000, 0, 4, True)) + part(pack_bar(BAR_WRITE, 0xc000, 1, 8, False)),
    "startup": table(2) + part(pack(SET_IRQFD), 2, EVENTFD) + part(READ) + part(pack(DEVICE_RESET)),
    "eight": table(8) + table(0),
    "nine": part(pack_table([]), 9),
    "split": part(READ[:5]) + part(READ[5:20]) + part(READ[20:]),
    "glued": part(READ + pack(SET_IRQFD), 2, EVENTFD) + part(READ),
    "kinds": part(pack_table([Range(-1, 0, 1, 0)]), 1, EVENTFD) + part(pack(SET_IRQFD), 2, MIXED),
    "fields": part(pack_conf(PCI_CFGREAD, 4096, 0, 1)) + part(pack_bar(BAR_READ, (1 << 64) - 1, 0, 2, True)),
    "ret": part(pack_ret(0)),
    "bounce": part(pack_bounce_table([(i << 20, 1 << 20) for i in range(8)])) + part(pack(SET_BOUNCE), 2, SOCKET),
}
CLIENT = {
    "values": b"\0" + b"".join(part(reply) for reply in (pack_ret(1), pack(RET), pack_ret(2), pack_ret(3))),
    "failed": b"\2" + part(pack_ret((1 << 64) - 1)),
    "split": b"\0" + part(pack_ret(5)[:7]) + part(pack_ret(5)[7:]),
    "two": b"\0" + part(pack_ret(5) * 2),
    "fds": b"\0" + part(pack_ret(5), 1),
    "request": b"\0" + part(READ),
}


def main():
    """Write each seed to its file."""
    for target, seeds in (("link-server", SERVER), ("link-client", CLIENT)):
        folder = os.path.join(HERE, "corpus", target)
        os.makedirs(folder, exist_ok=True)
        for name, data in seeds.items():
            with open(os.path.join(folder, name), "wb") as seed:
                seed.write(data)


if __name__ == "__main__":
    main()
