# SPDX-License-Identifier: GPL-2.0-or-later
# fio in the guest writes and verifies checksummed blocks at queue depth 16.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""Data integrity under load.

MPQEMU_FIO_SECONDS sets how long fio writes and verifies (default 60). Each block carries its own
checksum and a header with its offset and a generation number, so a block that is lost, torn,
stale or in the wrong place is found. A second disk is read by another job meanwhile.
"""

import json
import os

import pytest

import disks
import guest_image
import witness

SECONDS = int(os.environ.get("MPQEMU_FIO_SECONDS", "60"))
JOBS = f"""
[global]
ioengine=libaio
direct=1
iodepth=16
time_based=1
runtime={SECONDS}

[verify]
filename=DISK0
rw=randrw
bssplit=512/10:4k/60:16k/20:64k/10
blockalign=512
randseed=20
verify=crc32c
verify_fatal=1
verify_dump=0
verify_backlog=256
serialize_overlap=1

[read]
filename=DISK1
rw=randread
bs=4k
"""
STEPS = {
    "find": "load_drivers 2; cat /sys/class/block/sd?/device/queue_depth",
    "fio": (SECONDS * 2 + 120,
            "sed \"s,DISK0,$(disk 0),; s,DISK1,$(disk 1),\" >/tmp/jobs <<'END'\n" + JOBS + "\nEND\n"
            "fio --eta=never --output-format=json --output=/tmp/result /tmp/jobs; status=$?\n"
            "cat /tmp/result; exit $status"),
    "read": (120, "drop_caches; digest $(disk 0) $(disk 1)"),
    "kernel-log": "dmesg",
}


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot and run fio; adds the images to the witness.Run."""
    rundir = tmp_path_factory.mktemp("fio")
    images = [disks.blank(rundir / "disk0", 32), disks.patterned(rundir / "disk1", 32, seed=8)]
    options = [*disks.CONTROLLER, *disks.hard_disk(0, images[0]),
               *disks.hard_disk(1, images[1])]
    with witness.Machine(rundir, variant, options, linux(rundir, STEPS, [guest_image.fio_layer]),
                         memory=512) as machine:
        result = witness.Run(machine, SECONDS * 2 + 400)
    result.images = images
    return result


def test_queue_depth_is_at_least_16(run):
    assert min(int(depth) for depth in run.ok("find").split()) >= 16


def test_fio_verifies_every_block_at_queue_depth_16(run):
    text = run.ok("fio")
    verify, read = json.loads(text[text.index("{"):text.rindex("}") + 1])["jobs"]
    assert verify["error"] == 0 and read["error"] == 0
    assert verify["write"]["total_ios"] > 0 and verify["read"]["total_ios"] > 0
    print(f"verify job: {verify['write']['total_ios']} writes, "
          f"{verify['read']['total_ios']} reads; read job: {read['read']['iops']:.0f} IOPS")


def test_kernel_saw_no_error_under_load(run):
    text = run.ok("kernel-log")
    for bad in ("nobody cared", "I/O error", "ABORT operation", "BUS RESET", "BUG:"):
        assert bad not in text


def test_images_hold_what_the_guest_reads_after_the_load(run):
    assert run.ok("read").split() == [disks.digest(image) for image in run.images]


def test_guest_powers_off_cleanly_after_the_load(run):
    run.assert_powered_off()
