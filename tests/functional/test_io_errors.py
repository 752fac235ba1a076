# SPDX-License-Identifier: GPL-2.0-or-later
# Errors of the block layer reach a Linux guest as I/O errors, and nothing else suffers.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""A disk with one unreadable and one unwritable sector, next to a healthy one.

SCSI ids: 0 healthy, 1 with the bad sectors. The stock LSI loses a request that fails in the block
layer: Linux waits 30 s, aborts it, and its driver crashes in the abort. So with a stock controller
these tests are expected to fail.
"""

import pytest

import disks
import witness

MIB = 1 << 20
UNREADABLE = 16384              # sectors of disk 1: 8 MiB and 12 MiB from its start
UNWRITABLE = 24576

STEPS = {
    "find": "load_drivers 2",
    "read-around": "dd if=$(disk 1) bs=4k count=1024 2>/dev/null | sha256sum; "
                   "dd if=$(disk 1) bs=4k skip=2560 count=512 2>/dev/null | sha256sum",
    "read-bad": "time dd if=$(disk 1) of=/dev/null bs=4k skip=2048 count=1",
    "read-across": "dd if=$(disk 1) of=/dev/null bs=256k",
    "write-good": "dd if=/dev/zero of=$(disk 1) bs=4k seek=3200 count=8 conv=fsync",
    "write-bad": "dd if=/dev/zero of=$(disk 1) bs=4k seek=3072 count=1 conv=fsync",
    "read-healthy": "digest $(disk 0)",
    "read-again": "drop_caches; dd if=$(disk 1) bs=4k count=1024 2>/dev/null | sha256sum",
    "kernel-log": "dmesg",
}


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot the guest, let it run all steps; adds the images to the witness.Run."""
    rundir = tmp_path_factory.mktemp("errors")
    images = [disks.patterned(rundir / f"disk{n}", 16, seed=4 + n) for n in (0, 1)]
    before = [disks.digest(images[1], 0, 4 * MIB), disks.digest(images[1], 10 * MIB, 2 * MIB)]
    options = [*disks.CONTROLLER, *disks.hard_disk(0, images[0]),
               *disks.failing_disk(1, images[1], read=UNREADABLE, write=UNWRITABLE)]
    with witness.Machine(rundir, variant, options, linux(rundir, STEPS)) as machine:
        result = witness.Run(machine, 300)
    result.images, result.before = images, before
    return result


@pytest.fixture
def errors_work(variant):
    """For tests in which a request fails."""
    if variant.stock or variant.in_process:
        pytest.xfail("the stock LSI loses requests that fail in the block layer")


def test_sectors_beside_a_bad_one_are_read(run):
    text = run.ok("read-around")
    assert run.before[0] in text and run.before[1] in text


def test_unreadable_sector_is_an_io_error(run, errors_work):
    step = run.step("read-bad")
    assert step.status != 0 and "Input/output error" in step.output


def test_unreadable_sector_does_not_wait_for_a_time_out(run, errors_work):
    assert run.step("read-bad").seconds < 25        # Linux aborts a lost command after 30 s
    assert "ABORT operation" not in run.ok("kernel-log")


def test_error_among_queued_reads_is_an_io_error(run, errors_work):
    step = run.step("read-across")
    assert step.status != 0 and "Input/output error" in step.output


def test_unwritable_sector_is_an_io_error(run, errors_work):
    run.ok("write-good")
    step = run.step("write-bad")
    assert step.status != 0 and "Input/output error" in step.output


def test_error_comes_with_sense_data(run, errors_work):
    assert "Sense Key" in run.ok("kernel-log")


def test_healthy_disk_on_the_same_bus_is_not_disturbed(run, errors_work):
    assert disks.digest(run.images[0]) in run.ok("read-healthy")


def test_failing_disk_stays_usable(run, errors_work):
    assert run.before[0] in run.ok("read-again")


def test_guest_powers_off_cleanly_after_errors(run, errors_work):
    run.assert_powered_off()


def test_written_sectors_are_in_the_image(run, errors_work):
    run.ok("write-good")
    with open(run.images[1], "rb") as image:
        image.seek(3200 * 4096)
        assert image.read(8 * 4096) == bytes(8 * 4096)
        image.seek(3072 * 4096)
        assert any(image.read(4096))
