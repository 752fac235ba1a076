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
import signal
import time

import pytest

import disks
import relay
import witness

SECONDS = 300

STEPS = {
    # The driver gives a command 5 s instead of 30 before it looks what is wrong.
    "find": "load_drivers 2; for id in 0 1; do echo 5 >/sys/block/$(basename $(disk $id))/device/timeout; done",
    "under-load": (SECONDS,
                   "load_ext4 && mkfs.ext4 -q $(disk 1) && mount -t ext4 $(disk 1) /mnt\n"
                   "for turn in $(seq 12); do\n"
                   "  drop_caches; digest $(disk 0) >/tmp/sum || exit 1\n"
                   "  dd if=/dev/urandom of=/mnt/file bs=64k count=64 conv=fsync 2>/dev/null || exit 1\n"
                   "  sha256sum /mnt/file >/tmp/file; drop_caches; sha256sum -c /tmp/file || exit 1\n"
                   "  echo @@turn $turn $(cat /tmp/sum)\n"
                   "done"),
    "unmount": "umount /mnt",
    "log": "dmesg | grep RESET",
}


def test_the_driver_recovers_when_the_device_process_dies_and_comes_back(variant, linux, tmp_path):
    if variant.in_process:
        pytest.skip("there is no device process in-process")
    image, other = disks.patterned(tmp_path / "disk0", 8, seed=6), disks.blank(tmp_path / "disk1", 64)
    options = [*disks.CONTROLLER, *disks.hard_disk(0, image), *disks.hard_disk(1, other)]
    with witness.Machine(tmp_path, variant, options, linux(tmp_path, STEPS), link="relay",
                         relay_class=relay.RestartingRelay) as machine:
        assert machine.console.wait_for("@@turn 2 ", SECONDS), machine.report()
        os.kill(machine.remote.pid, signal.SIGKILL)
        time.sleep(1)                   # some accesses find nobody
        machine.restart_remote(30)
        dropped = machine.relay.dropped
        run = witness.Run(machine, SECONDS)
    run.ok("under-load")
    run.ok("unmount")
    assert dropped > 0
    assert "BUS RESET operation complete" in run.ok("log")
    assert f"@@turn 12 {disks.digest(image)}" in run.text
    run.assert_powered_off()
