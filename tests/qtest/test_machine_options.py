# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu's machine from several options: how -machine options add up, the order of NUMA nodes.
# Runs in: neither program; drives mpqemu from outside.
"""What only shows in the machine that comes of it; single mistakes are in test_command_line.py."""

import subprocess

import pytest

from qtest import Qtest


def memdev(name, size="4M"):
    return ("-object", f"memory-backend-memfd,id={name},size={size}")


def test_machine_options_add_up(main_program):
    """A later -machine replaces only what it says."""
    with Qtest(main_program, ["-M", "none", *memdev("m0"), "-machine", "memory-backend=m0"]) as q:
        assert q.readl((4 << 20) - 4) == 0
        assert q.readl(4 << 20) == 0xffffffff
        q.outl(0xcf8, 0x80000000)
        assert q.inl(0xcfc) == 0xffffffff  # "none" has no PCI bus


def test_nodes_in_order(main_program):
    with Qtest(main_program, [*memdev("a"), *memdev("b", "8M"), "-numa", "node,memdev=b,nodeid=0",
                              "-numa", "node,nodeid=1,memdev=a"]) as q:
        assert q.readl((12 << 20) - 4) == 0
        assert q.readl(12 << 20) == 0xffffffff


@pytest.mark.parametrize("args, words", [
    ((*memdev("m0"), "-numa", "node,memdev=m0,nodeid=x"), ("-numa", "nodeid", "x")),
    ((*memdev("m0"), "-numa", "node,memdev=m0,nodeid=1"), ("-numa", "nodeid=1", "nodeid=0")),
    ((*memdev("m0"), *memdev("m1"), "-numa", "node,memdev=m0,nodeid=1",
      "-numa", "node,memdev=m1,nodeid=0"), ("-numa", "nodeid=1", "nodeid=0")),
])
def test_nodes_out_of_order_are_refused(main_program, args, words):
    result = subprocess.run([main_program, "-accel", "qtest", *args], stdin=subprocess.DEVNULL,
                            timeout=20, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("mpqemu: ") and result.stderr.count("\n") == 1, result.stderr
    for word in words:
        assert word in result.stderr
