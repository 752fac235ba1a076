# SPDX-License-Identifier: GPL-2.0-or-later
# Four processors on four controllers in three processes at the same time, in our main emulator under our processor.
# Runs in: neither program; drives mpqemu from outside.
"""Checked data by many ways at once.

lsi0 has three disks and a process of its own, lsi1 has two and shares lsi0's interrupt line, lsi2 and lsi3 have a disk
each and live in one process.  A worker for each disk, and a second one for disk 0, each bound to a processor, write,
read back and compare, while each interrupt moves from processor to processor.
"""

import re

import pytest

import disks
import own_machine
import witness

SECONDS = 8             # of work
PROCESSORS = 4
BLOCK = 64 << 10
KNOWN = 8               # blocks at the start of each disk that nobody writes, before two parts of WRITTEN blocks
WRITTEN = 4
# (controller, slot, process, SCSI ids); no two disks have one SCSI id, so that an id names a disk.
CONTROLLERS = (("lsi0", 4, "r0", (0, 1, 2)), ("lsi1", 8, "r1", (3, 4)), ("lsi2", 5, "r2", (5,)),
               ("lsi3", 6, "r2", (6,)))
DISKS = range(7)
WORKERS = [(disk, 0) for disk in DISKS] + [(0, 1)]      # (disk, half of what is written)

FUNCTIONS = f"""
# worker NUMBER DISK HALF: tells how often it went round; ends at the first byte that is not what it shall be.
worker() {{
    turn=0; at=$(({KNOWN} + {WRITTEN} * $3)); data=/tmp/data$1
    while [ ! -e /tmp/stop ]; do
        (echo "worker $1 turn $turn"; cat /tmp/random) | head -c {WRITTEN * BLOCK} >$data
        dd if=$data of=$(disk $2) bs=64k seek=$at oflag=direct conv=notrunc status=none || return 1
        dd if=$(disk $2) bs=64k count={KNOWN} iflag=direct status=none | cmp - /tmp/known$2 || return 1
        dd if=$(disk $2) bs=64k skip=$at count={WRITTEN} iflag=direct status=none | cmp - $data || return 1
        turn=$((turn + 1))
    done
    echo "worker $1 turns $turn"
}}
lines() {{ awk -F: '/sym53c8xx/ {{print $1 + 0}}' /proc/interrupts; }}
wander() {{
    round=0
    while [ ! -e /tmp/stop ]; do
        for line in $(lines); do
            round=$((round + 1)); echo $((1 << (round % {PROCESSORS}))) >/proc/irq/$line/smp_affinity
        done
        sleep 0.1
    done
}}
"""


def work():
    """The step that runs all workers."""
    start = "".join(f"(taskset {1 << number % PROCESSORS} sh -c '. /etc/steps.sh; . /etc/functions.sh; "
                    f"worker {number} {disk} {half}' || echo worker {number} failed) &\n"
                    for number, (disk, half) in enumerate(WORKERS))
    return SECONDS * 10 + 60, f"wander & \n{start}sleep {SECONDS}; touch /tmp/stop; wait; cat /proc/interrupts"


@pytest.fixture(scope="module")
def run(linux, tmp_path_factory):
    """Boot and work; adds the images, digests of their known starts, and what query-remote said at the end to the
    witness.Run."""
    rundir = tmp_path_factory.mktemp("own-controllers")
    images = [disks.patterned(rundir / f"disk{number}", 1, seed=40 + number) for number in DISKS]
    known = [disks.digest(image, 0, KNOWN * BLOCK) for image in images]
    options = [option for name, slot, rid, ids in CONTROLLERS for option in
               own_machine.controller(name, slot, [images[number] for number in ids], first_id=ids[0], rid=rid)]
    ids = " ".join(map(str, DISKS))
    layer, steps = own_machine.with_functions(FUNCTIONS, {
        "find": f"modprobe sym53c8xx settle=0; load_drivers {len(DISKS)}; lsscsi; grep sym53c8xx /proc/interrupts",
        "know": f"dd if=/dev/urandom of=/tmp/random bs=64k count={WRITTEN} status=none; for id in {ids}; do\n"
                f"dd if=$(disk $id) of=/tmp/known$id bs=64k count={KNOWN} status=none; digest /tmp/known$id; done",
        "work": work(),
        "read": f"drop_caches; for id in {ids}; do digest $(disk $id); done; ask look",
        "kernel-log": "dmesg"})
    with own_machine.OwnMachine(rundir, linux(rundir, steps, [lambda: layer]), options, smp=PROCESSORS) as machine:
        machine.wait_asked("look", 300)
        remotes = machine.remotes()
        machine.answer()
        result = witness.Run(machine, 120)
    result.images, result.known, result.remotes = images, known, remotes
    return result


def test_all_disks_are_found_on_their_controllers(run):
    hosts = {}
    for host, scsi_id in re.findall(r"\[(\d+):0:(\d+):0\]", run.ok("find")):
        hosts.setdefault(host, []).append(int(scsi_id))
    assert sorted(map(sorted, hosts.values())) == [[0, 1, 2], [3, 4], [5], [6]]


def test_known_contents_are_read(run):
    assert run.ok("know").split() == run.known


def test_each_worker_on_each_processor_reads_what_it_wrote(run):
    turns = dict(re.findall(r"^worker (\d+) turns (\d+)$", run.ok("work"), re.M))
    print("turns of the workers:", turns)
    assert len(turns) == len(WORKERS) and all(int(count) > 0 for count in turns.values()), run.ok("work")


def test_every_processor_takes_interrupts_of_every_line(run):
    lines = [line.split() for line in run.ok("work").splitlines() if "sym53c8xx" in line]
    assert len(lines) == 3 and all(int(count) > 0 for line in lines for count in line[1:1 + PROCESSORS]), lines


def test_disks_hold_what_the_guest_reads_after_the_work(run):
    digests = re.findall(r"^[0-9a-f]{64}$", run.ok("read"), re.M)
    assert digests == [disks.digest(image) for image in run.images]


def test_kernel_complains_of_nothing(run):
    assert own_machine.complaints(run.ok("kernel-log")) == []


def test_each_process_serves_its_own_controllers(run):
    served = {rid: [device["id"] for device in entry["devices"] if device["controller"]]
              for rid, entry in run.remotes.items()}
    assert served == {"r0": ["lsi0"], "r1": ["lsi1"], "r2": ["lsi2", "lsi3"]}
    assert all(device["link"]["state"] == "ready" and device["link"]["interrupts"] > 0 and not device["link"]["failed"]
               for entry in run.remotes.values() for device in entry["devices"] if device["controller"])


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
