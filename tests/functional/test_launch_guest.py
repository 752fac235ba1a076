# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's kernel in stock QEMU, started by one line of mpqemu-launch, on a disk in a qemu-remote.
# Runs in: neither program; drives mpqemu-launch from outside.
"""The launcher takes the place of the harness' own socketpairs; all else is as in test_linux_guest.py."""

import os

import pytest

import disks
import relay
import witness
from witness import BUILD

LAUNCHER = os.environ.get("MPQEMU_LAUNCH", os.path.join(BUILD, "launch", "mpqemu-launch"))
BOOT_SECONDS = 300
STEPS = {
    "find": "load_drivers 1; lsscsi",
    "read-known": (120, "digest $(disk 0)"),
    "write": (120, "dd if=/dev/urandom of=/tmp/data bs=64k count=16 && dd if=/tmp/data of=$(disk 0) bs=64k && sync && "
                   "sha256sum </tmp/data"),
}
MIB = 1 << 20


class LaunchedMachine(witness.Machine):
    """A witness.Machine whose two processes are the launcher's children; main is the launcher."""

    def _start(self):
        # As witness.Machine: only root sees the descriptors of a confined process.
        open_to_us = ["-sandbox", "off"] if os.geteuid() and not self.variant.stock else []
        launcher = [LAUNCHER, "--name", "witness", "--remote", f"disk,device=lsi0,exec={self.variant.program}",
                    *open_to_us, "-machine", "x-remote", "-nodefaults", "-display", "none", *self.devices, "--"]
        self.main = self._spawn("main", [
            *launcher, witness.STOCK, "-nodefaults", "-display", "none", "-no-reboot",
            "-object", f"memory-backend-memfd,id=mem,size={self.memory}M,share=on", "-m", str(self.memory),
            "-machine", "pc,memory-backend=mem", "-accel", "tcg", "-cpu", "max",
            "-qmp", f"unix:{self._path('qmp')},server=on,wait=off",
            "-qtest", f"unix:{self._path('qtest')},server=on,wait=off", "-qtest-log", "/dev/null",
            "-serial", "stdio", *self.boot])
        self.console = witness.Console(self.main.stdout)
        self.qmp = relay.Qmp(self._wait_socket("qmp"))
        self.pump = relay.InterruptPump(self._wait_socket("qtest"))
        self.pump.start()
        # Children are listed in the order of their start: remotes first.
        with open(f"/proc/{self.main.pid}/task/{self.main.pid}/children", encoding="ascii") as children:
            remote, emulator = map(int, children.read().split())
        for pair in relay.eventfds_of(emulator, remote):
            self.pump.add(*pair, lambda: self.qmp.irq_line("lsi0"))


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    if variant.in_process:
        pytest.skip("needs a remote")
    rundir = tmp_path_factory.mktemp("launch")
    image = disks.patterned(rundir / "disk0", 8, seed=3)
    known = disks.digest(image)
    with LaunchedMachine(rundir, variant, [*disks.CONTROLLER, *disks.hard_disk(0, image)],
                         linux(rundir, STEPS)) as machine:
        result = witness.Run(machine, BOOT_SECONDS)
    result.image, result.known = image, known
    return result


def test_guest_finds_and_reads_the_disk(run):
    assert run.ok("find").count("disk") == 1
    assert run.known in run.ok("read-known")
    assert run.interrupts > 0


def test_what_the_guest_writes_is_in_the_image(run):
    assert disks.digest(run.image, 0, MIB) in run.ok("write")


def test_all_end_with_the_guest(run):
    """The launcher's status is the emulator's; it has nothing to say."""
    run.ok("write")
    run.assert_powered_off()
    assert run.logs["main"] == ""
