# SPDX-License-Identifier: GPL-2.0-or-later
# A device in trouble, or one that makes some, costs its neighbour nothing but time.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""While device A is fuzzed, killed, stopped, hung or flooded with interrupts, device B's I/O completes with the right
data, and the monitor answers.  The limits on time are those of a hang: tests/bench measures."""

import pytest

from managed import Asker
from neighbour import OneProcess, TwoProcesses

SECONDS = 1.5                 # of each disturbance
WORST = 5.0                   # seconds; nothing is as slow, not even on a loaded machine


def check(rig, names):
    """B's I/O and the monitor, before, during and after each."""
    rig.some_io(0)
    for name in names:
        asker = Asker(rig.monitor)
        with rig.disturbed(name):
            worst = max(rig.some_io(SECONDS))
            wait = asker.worst_ms()
        assert worst < WORST, name
        assert len(asker.waits) > 5 and wait < WORST * 1e3, name
    rig.some_io(0)


def test_devices_in_two_processes(main_program, remote_program, tmp_path):
    with TwoProcesses(main_program, remote_program, tmp_path) as rig:
        check(rig, TwoProcesses.NAMES)


@pytest.mark.parametrize("name", OneProcess.NAMES)
def test_devices_in_one_process(remote_program, tmp_path, name):
    with OneProcess(remote_program, tmp_path) as rig:
        check(rig, [name])
