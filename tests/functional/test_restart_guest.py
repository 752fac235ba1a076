# SPDX-License-Identifier: GPL-2.0-or-later
# A device process dies under load and comes back reset: the guest's own driver recovers.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""What a re-attachment asks of a guest, shown with Debian's unmodified driver.

The main emulator is stock QEMU, which has no re-attachment, so a relay does on the link what our pci-proxy-dev does:
all ones while there is no remote, then memory table, interrupt fds, reset, header registers (the relay's class
tells).  The device process is killed in the middle of the guest's reads and writes, and a new one is started on the
same image.
"""

import os
import re
import signal
import time

import pytest

import disks
import file_system
import relay
import witness

SECONDS = 300

# The driver gives a command 5 s instead of 30 before it looks what is wrong, and then takes 5 s for each one that is
# under way: hence one for each disk.
STEPS = {
    "find": "modprobe sym53c8xx cmd_per_lun=1; load_drivers 2\n"
            "for id in 0 1; do echo 5 >/sys/block/$(basename $(disk $id))/device/timeout; done",
    # Each turn reads a known disk while it writes a file on another, flushes it, and reads it back.
    "under-load": (SECONDS, """
turn() {
    drop_caches
    digest $(disk 0) >/tmp/sum & reader=$!
    dd if=/dev/urandom of=/mnt/file bs=64k count=64 conv=fsync status=none || return 1
    wait $reader && echo "@@turn $(cat /tmp/sum)" || return 1
    sha256sum /mnt/file >/tmp/file; drop_caches; sha256sum -c /tmp/file >/dev/null
}
work() {
    turns=0
    while [ ! -e /tmp/stop ]; do
        turn || return 1
        turns=$((turns + 1)); echo $turns >/tmp/turns.new; mv /tmp/turns.new /tmp/turns
    done
}
turns_above() { [ -e /tmp/turns ] && [ $(cat /tmp/turns) -gt $1 ]; }
load_ext4 && mkfs.ext4 -q $(disk 1) && mount -t ext4 $(disk 1) /mnt || exit 1
work & worker=$!
poll 60 turns_above 0
ask another-process; before=$(cat /tmp/turns)
poll 150 turns_above $((before + 2)); status=$?
touch /tmp/stop; wait $worker && exit $status"""),
    "unmount": "umount /mnt",
    "log": "dmesg",
}


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot the guest, kill the device process under load, start another; adds images and known to the Run."""
    if variant.in_process:
        pytest.skip("there is no device process in-process")
    rundir = tmp_path_factory.mktemp("restart")
    images = disks.patterned(rundir / "disk0", 8, seed=6), disks.blank(rundir / "disk1", 64)
    options = [*disks.CONTROLLER, *disks.hard_disk(0, images[0]), *disks.hard_disk(1, images[1])]
    with witness.AnsweringMachine(rundir, variant, options, linux(rundir, STEPS), link="relay",
                                  relay_class=relay.RestartingRelay) as machine:
        machine.wait_asked("another-process", SECONDS)
        os.kill(machine.remote.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while machine.relay.dropped < 2:        # the guest has found nobody
            assert time.monotonic() < deadline, machine.report()
            time.sleep(0.01)
        machine.restart_remote(30)
        machine.answer()
        result = witness.Run(machine, SECONDS)
    result.images, result.known = images, disks.digest(images[0])
    return result


def test_the_driver_recovers_when_the_device_process_dies_and_comes_back(run):
    """Every read of before and after gives what is there, every file is what was written, though a process died."""
    sums = re.findall("@@turn (.*)", run.ok("under-load"))
    assert len(sums) >= 4 and set(sums) == {run.known}


def test_the_driver_has_reset_the_bus_itself(run):
    assert "BUS RESET operation complete" in run.ok("log")


def test_the_file_system_is_whole(run):
    run.ok("unmount")
    assert "EXT4-fs error" not in run.ok("log") and "I/O error" not in run.ok("log")
    file_system.assert_clean(run.images[1])


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
