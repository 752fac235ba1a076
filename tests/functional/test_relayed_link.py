# SPDX-License-Identifier: GPL-2.0-or-later
# The guest works the same when every link message passes through tests/peers/relay.py.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""A second boot with the relay in the middle of the link, where no right to trace is needed."""

import re

import pytest

import disks
import witness

STEPS = {
    "find": "load_drivers 1",
    "read": (120, "digest $(disk 0)"),
    "write": (120, "dd if=/dev/zero of=$(disk 0) bs=64k seek=16 count=16 conv=fsync && "
                   "drop_caches && digest $(disk 0)"),
    "interrupts": "grep sym53c8xx /proc/interrupts",
}


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot with a relayed link; adds image, before and messages to the witness.Run."""
    if variant.in_process:
        pytest.skip("there is no link in-process")
    rundir = tmp_path_factory.mktemp("relayed")
    image = disks.patterned(rundir / "disk0", 8, seed=6)
    before = disks.digest(image)
    options = [*disks.CONTROLLER, *disks.hard_disk(0, image)]
    with witness.Machine(rundir, variant, options, linux(rundir, STEPS), link="relay") as machine:
        result = witness.Run(machine, 300)
        result.messages = machine.relay.messages
    result.image, result.before = image, before
    return result


def test_known_contents_are_read_through_the_relay(run):
    assert run.before in run.ok("read")
    assert run.messages > 1000


def test_written_blocks_are_read_back_through_the_relay(run):
    assert disks.digest(run.image) in run.ok("write")


def test_each_guest_interrupt_is_one_pulse_of_the_pump(run):
    taken = int(re.search(r"10: +(\d+)", run.ok("interrupts")).group(1))
    assert 0 < taken <= run.interrupts


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
