# SPDX-License-Identifier: GPL-2.0-or-later
# A Linux guest in mpqemu whose device process is killed again and again under its reads and writes.
# Runs in: neither program; drives mpqemu, which starts qemu-remote.
"""What a restart of a device process asks of a guest with Debian's unmodified driver, when it is told of it.

The controller of the new process reports a SCSI bus reset, so the driver starts anew at once; without that it would
find out by the time-outs of its commands, after 30 s and more.  Its own pause after a bus reset is 3 s.  SCSI ids: 0 a
disk with known contents that is read, 1 a file system that is written, flushed and read back, 2 a CD-ROM that is read.
"""

import os
import re
import signal

import pytest

import disks
import file_system
import witness
from device_process import device_pid
from qmp import Qmp

SECONDS = 400
KILLS = 10
# Of these, every fifth is by the command remote_restart: more than five deaths a minute would be final.
BY_COMMAND = 5

FUNCTIONS = """
read_known() { [ "$(dd if=$(disk $1) iflag=direct bs=64k count=16 status=none | digest)" = KNOWN ]; }
write_some() {
    dd if=/dev/urandom of=/tmp/data bs=64k count=8 status=none
    dd if=/tmp/data of=/mnt/file bs=64k conv=fsync status=none &&
    dd if=/mnt/file iflag=direct bs=64k status=none | cmp - /tmp/data
}
# worker NAME COMMAND...: turn by turn; the first that fails ends it, and tells.
worker() {
    name=$1; shift; turns=0
    while [ ! -e /tmp/stop ]; do
        "$@" || { echo "$name, turn $turns" >>/tmp/wrong; return; }
        turns=$((turns + 1)); echo $turns >/tmp/new-$name; mv /tmp/new-$name /tmp/$name
    done
}
# All have gone on: the turn under way at the call is not enough.
counts_above() { [ $(cat /tmp/reader) -gt $1 ] && [ $(cat /tmp/writer) -gt $2 ] && [ $(cat /tmp/cd) -gt $3 ]; }
wait_turns() { poll 60 counts_above $(($(cat /tmp/reader) + 1)) $(($(cat /tmp/writer) + 1)) $(($(cat /tmp/cd) + 1)); }
now() { read -r up _ </proc/uptime; echo $up; }
"""

STEPS = {
    "find": "load_drivers 3; load_ext4 && mkfs.ext4 -q $(disk 1) && mount -t ext4 $(disk 1) /mnt",
    "kills": (SECONDS, """
for name in reader writer cd; do echo 0 >/tmp/$name; done
worker reader read_known 0 & worker writer write_some & worker cd read_known 2 & wait_turns || exit 1
for turn in $(seq KILLS); do
    before=$(now); ask kill; wait_turns; status=$?
    echo "@@recovered $before $(now)"
    [ $status = 0 ] && [ ! -e /tmp/wrong ] || exit 1
done
touch /tmp/stop; wait; [ ! -e /tmp/wrong ]"""),
    "unmount": "cat /tmp/wrong; umount /mnt",
    "log": "dmesg",
    # Without a driver nobody would take an interrupt: the line would be switched off for all devices on it.
    "without-driver": "rmmod sym53c8xx; ask kill; sleep 1; grep -q sym53c8xx /proc/interrupts || echo none\n"
                      "dmesg | tail -20; modprobe sym53c8xx; wait_devices 3; digest $(disk 0)",
}


def with_functions(step, known):
    limit, text = step if isinstance(step, tuple) else (60, step)
    return limit, FUNCTIONS.replace("KNOWN", known) + text.replace("KILLS", str(KILLS))


class ManagedProcess(witness.Machine):
    """A main emulator of ours that starts the device process itself: rid "disks", devices as for -rdevice and
    -rdrive."""

    def _start(self):
        self.main = self._spawn("main", [
            *self.emulator.command, "-nodefaults", "-display", "none", "-no-reboot", "-m", str(self.memory),
            "-qmp", f"unix:{self._path('qmp')},server=on,wait=off", "-serial", "stdio", *self.boot,
            "-remote", "rid=disks,on-death=restart", *self.devices])
        self.console = witness.Console(self.main.stdout)
        self.qmp = Qmp.connect(self._wait_socket("qmp")).negotiate()


class KillingMachine(witness.AnsweringMachine, ManagedProcess):
    """Its guest asks for the death of the device process."""

    def kill(self, by_command):
        self.qmp.events.clear()
        if by_command:
            self.qmp.command("remote_restart", rid="disks")
        else:
            os.kill(device_pid(self.qmp.command("query-remote")[0]["pid"]), signal.SIGKILL)
            self.qmp.wait_event("REMOTE_STATE", lambda event: event["data"]["to"] == "ready")
        self.answer()


def remote_disk(scsi_id, image):
    return ["-rdrive", f"id=d{scsi_id},file={image},format=raw,rid=disks",
            "-rdevice", f"scsi-hd,id=hd{scsi_id},drive=d{scsi_id},bus=lsi0.0,scsi-id={scsi_id},rid=disks"]


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot the guest and kill the device process when it asks for it; adds the writable image to the Run."""
    if variant.in_process or variant.stock:
        pytest.skip("-rdevice starts our qemu-remote")
    emulator = witness.Emulator("emu") if witness.EMULATOR.stock else witness.EMULATOR
    rundir = tmp_path_factory.mktemp("rdevice")
    known, image = disks.patterned(rundir / "disk0", 1, seed=8), disks.blank(rundir / "disk1", 32)
    medium = disks.patterned(rundir / "medium", 1, seed=8)
    devices = ["-rdevice", "lsi53c895a,id=lsi0,rid=disks", *remote_disk(0, known), *remote_disk(1, image),
               "-rdrive", f"id=d2,file={medium},format=raw,media=cdrom,readonly=on,rid=disks",
               "-rdevice", "scsi-cd,id=cd2,drive=d2,bus=lsi0.0,scsi-id=2,rid=disks"]
    steps = {name: with_functions(step, disks.digest(known)) for name, step in STEPS.items()}
    with KillingMachine(rundir, variant, devices, linux(rundir, steps), emulator=emulator) as machine:
        for turn in range(1, KILLS + 2):
            if not machine.console.wait_for("@@please kill\n", SECONDS, times=turn):
                break
            machine.kill(by_command=turn % BY_COMMAND == 0)
        result = witness.Run(machine, SECONDS)
    result.image = image
    return result


def test_reads_and_writes_go_on_after_each_death(run, record_property):
    """Nothing that was read or written is wrong, and every command was sent again."""
    times = [float(end) - float(begin) for begin, end in re.findall("@@recovered (.*) (.*)", run.ok("kills"))]
    record_property("recovery_seconds", times)
    print("kill to the next checked read and write, s:", *(f"{seconds:.1f}" for seconds in times))
    assert len(times) == KILLS


def test_the_driver_hears_of_a_bus_reset_at_once(run):
    """Its error handler, which time-outs of commands call, has nothing to do."""
    log = run.ok("log")
    assert log.count("SCSI BUS reset detected") == KILLS
    assert "operation started" not in log and "I/O error" not in log and "EXT4-fs error" not in log


def test_nobody_hears_of_it_when_there_is_no_driver(run):
    """An interrupt that no driver takes would cost the line's other devices theirs."""
    output = run.ok("without-driver")
    assert "nobody cared" not in output and "reset detected" not in output.rpartition("none")[2]


def test_the_file_system_is_whole(run):
    run.ok("unmount")
    file_system.assert_clean(run.image)


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
