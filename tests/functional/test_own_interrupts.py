# SPDX-License-Identifier: GPL-2.0-or-later
# Two controllers in two processes share one interrupt line, both busy, in our main emulator under our processor.
# Runs in: neither program; drives mpqemu from outside.
"""Level-triggered INTx with resample under load.

fio writes and verifies checksummed blocks at queue depth 16 on a disk of each controller, for MPQEMU_OWN_FIO_SECONDS
(default 10).  Meanwhile the guest notes every second how many interrupts and how many requests of each disk there were,
and the host raises interrupts that no device has asked for.
"""

import json
import os
import re
import threading

import pytest

import disks
import guest_image
import own_machine
import relay
import witness

SECONDS = int(os.environ.get("MPQEMU_OWN_FIO_SECONDS", "10"))
STILL = 15              # seconds without progress; a lost interrupt makes 30, the driver's time limit
SPURIOUS_PER_SECOND = 200
SLOTS = 4, 8            # their pins A are one PIRQ

JOBS = f"""
[global]
ioengine=libaio
direct=1
iodepth=16
time_based=1
runtime={SECONDS}
rw=randrw
bssplit=512/10:4k/60:16k/20:64k/10
blockalign=512
verify=crc32c
verify_fatal=1
verify_dump=0
verify_backlog=256
serialize_overlap=1

[first]
filename=DISK0
randseed=31

[second]
filename=DISK1
randseed=32
"""
FUNCTIONS = """
requests() { awk '{print $1 + $5}' /sys/class/block/$(basename $(disk $1))/stat; }
interrupts() { awk '/sym53c8xx/ {for (i = 2; i <= 3; i++) sum += $i} END {print sum}' /proc/interrupts; }
now() { read -r up _ </proc/uptime; echo $up; }
sample() { while [ ! -e /tmp/stop ]; do echo "sample $(now) $(interrupts) $(requests 0) $(requests 1)"; sleep 1; done; }
"""
STEPS = {
    "find": "modprobe sym53c8xx settle=0; load_drivers 2; grep sym53c8xx /proc/interrupts",
    "fio": (SECONDS * 2 + 120,
            "sed \"s,DISK0,$(disk 0),; s,DISK1,$(disk 1),\" >/tmp/jobs <<'END'\n" + JOBS + "\nEND\n"
            "ask spurious-begin; sample >/tmp/samples & \n"
            "fio --eta=never --output-format=json --output=/tmp/result /tmp/jobs; status=$?\n"
            "touch /tmp/stop; wait; ask spurious-end; echo taken $(interrupts)\n"
            "cat /tmp/samples /tmp/result; exit $status"),
    "read": (120, "drop_caches; digest $(disk 0) $(disk 1)"),
    "kernel-log": "dmesg",
}


class Host:
    """Raises interrupts for nothing while it is asked to, in turn for each controller.

    spurious   how many there were; None: this user cannot
    """

    def __init__(self, machine):
        self.machine, self.spurious = machine, None
        self._stop, self._thread = threading.Event(), None

    def spurious_begin(self):
        if os.geteuid() == 0:       # only root sees the descriptors of a confined process
            pairs = [relay.eventfds_of(self.machine.main.pid, pid)[0] for pid in self.machine.pids().values()]
            self.spurious = 0
            self._thread = threading.Thread(target=self._raise, args=(pairs,))
            self._thread.start()

    def _raise(self, pairs):
        while not self._stop.wait(1 / SPURIOUS_PER_SECOND):
            os.eventfd_write(pairs[self.spurious % len(pairs)][0], 1)
            self.spurious += 1
        for fd in (fd for pair in pairs for fd in pair):
            os.close(fd)

    def spurious_end(self):
        self._stop.set()
        if self._thread:
            self._thread.join()


@pytest.fixture(scope="module")
def run(linux, tmp_path_factory):
    """Boot and run fio; adds the images, the host and what query-remote said at the end to the witness.Run."""
    rundir = tmp_path_factory.mktemp("own-interrupts")
    images = [disks.blank(rundir / f"disk{number}", 32) for number in range(2)]
    options = [option for number, slot in enumerate(SLOTS)
               for option in own_machine.controller(f"lsi{number}", slot, [images[number]], first_id=number)]
    layer, steps = own_machine.with_functions(FUNCTIONS, STEPS)
    boot = linux(rundir, steps, [guest_image.fio_layer, lambda: layer])
    with own_machine.OwnMachine(rundir, boot, options, smp=2, memory=512) as machine:
        host = Host(machine)
        try:
            machine.serve(host, STEPS, SECONDS * 2 + 240)
        finally:
            host.spurious_end()
        remotes = machine.remotes()
        result = witness.Run(machine, 240)
    result.images, result.host, result.remotes = images, host, remotes
    return result


def jobs(run):
    text = run.ok("fio")
    return json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"]


def samples(run):
    """Columns of what the guest noted since fio began: seconds, interrupts, requests of each disk."""
    rows = [list(map(float, line.split()[1:])) for line in run.ok("fio").splitlines() if line.startswith("sample ")]
    return list(zip(*[row for row in rows if all(now > first for now, first in zip(row, rows[0]))]))


def longest_pause(seconds, counts):
    """How long a count stayed as it was."""
    pause, since = 0, seconds[0]
    for now, before, count in zip(seconds[1:], counts, counts[1:]):
        pause = max(pause, now - since)
        since = now if count != before else since
    return pause


def test_both_controllers_have_one_interrupt_line(run):
    lines = [line for line in run.ok("find").splitlines() if "sym53c8xx" in line]
    assert len(lines) == 1 and lines[0].count("sym53c8xx") == 2 and "fasteoi" in lines[0]


def test_fio_verifies_every_block_on_both_controllers(run):
    for job in jobs(run):
        assert job["error"] == 0 and job["write"]["total_ios"] > 0 and job["read"]["total_ios"] > 0
        print(f"{job['jobname']}: {job['write']['total_ios']} writes, {job['read']['total_ios']} reads, "
              f"longest {max(job[way]['clat_ns']['max'] for way in ('read', 'write')) / 1e6:.0f} ms")


def test_no_controller_waits_for_a_lost_interrupt(run):
    """Neither the line nor one of the disks behind it is ever still for long."""
    seconds, *columns = samples(run)
    assert len(seconds) > 2
    pauses = [longest_pause(seconds, column) for column in columns]
    print(f"longest pauses of the line and the disks: {pauses} s")
    assert max(pauses) < STILL, columns


def test_line_is_low_when_nobody_wants_the_guest(run):
    """A line that stays high would interrupt it without end; a request has some interrupts of its own."""
    raised = sum(device["link"]["interrupts"] for remote in run.remotes.values()
                 for device in remote["devices"] if device["controller"])
    taken = int(re.search(r"^taken (\d+)$", run.ok("fio"), re.M).group(1))
    requests = samples(run)[2][-1] + samples(run)[3][-1]
    print(f"{taken} interrupts taken, {raised} raised by the devices, {run.host.spurious} for nothing, "
          f"{requests} requests")
    assert taken <= raised + (run.host.spurious or 0)
    assert taken <= 3 * requests + (run.host.spurious or 0) + 1000


def test_interrupts_for_nothing_are_survived(run):
    if run.host.spurious is None:
        pytest.skip("only root sees the descriptors of a confined process")
    assert run.host.spurious > SECONDS * SPURIOUS_PER_SECOND / 10


def test_kernel_complains_of_nothing(run):
    assert own_machine.complaints(run.ok("kernel-log")) == []


def test_images_hold_what_the_guest_reads_after_the_load(run):
    assert run.ok("read").split() == [disks.digest(image) for image in run.images]


def test_processes_were_never_restarted(run):
    assert {remote["state"] for remote in run.remotes.values()} == {"ready"}
    assert {remote["restarts"] for remote in run.remotes.values()} == {0}


def test_guest_powers_off_cleanly_after_the_load(run):
    run.assert_powered_off()
