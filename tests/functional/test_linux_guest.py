# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's unmodified kernel in stock QEMU, on disks behind the LSI controller under test.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""One boot, many behaviours.

The guest is booted once a module and runs STEPS; each test then judges one step by its transcript,
or looks at the images on the host. SCSI ids: 0 a blank disk that gets a file system, 1 a disk with
known contents, 2 a CD-ROM.
"""

import hashlib
import os
import re
import subprocess

import pytest

import disks
import file_system
import guest_image
import witness
from packages import need

BOOT_SECONDS = 600              # all steps together, on a busy machine
MIB = 1 << 20
ZEROES = hashlib.sha256(bytes(8 * MIB)).hexdigest()

STEPS = {
    "find": "load_drivers 3; lsscsi; for id in 0 1; do echo $id $(disk $id) "
            "$(cat /sys/class/block/$(basename $(disk $id))/size); done",
    "identify": "for id in 0 1; do sg_inq $(sg $id); sg_vpd -p sn $(sg $id); "
                "sg_readcap $(sg $id); sg_readcap -l $(sg $id); done; sg_vpd -p di $(sg 1); "
                "sg_inq $(sg 2)",
    "read-known": (120, "digest $(disk 1)"),
    "make-file-system": (120, "load_ext4 && mkfs.ext4 -q $(disk 0) && "
                              "mount -t ext4 $(disk 0) /mnt"),
    "write-files": (120,
                    "mkdir /mnt/dir && cd /mnt/dir\n"
                    "for n in 1 2 3 4; do dd if=/dev/urandom of=big$n bs=64k count=32; done\n"
                    "for n in $(seq 40); do dd if=/dev/urandom of=small$n bs=$((n * 97)) count=1; "
                    "done 2>/dev/null\n"
                    "cd /mnt && sha256sum dir/* >/tmp/sums && cp /tmp/sums sums && cat sums && "
                    "sync"),
    "read-files": (120, "drop_caches; cd /mnt && sha256sum -c /tmp/sums && drop_caches && "
                        "sha256sum -c sums"),
    "trim-files": (120, "cd /mnt && rm dir/big4 && sync && fstrim -v /mnt"),
    "discard-blocks": "blkdiscard -o 16777216 -l 8388608 $(disk 1) && drop_caches && "
                      "dd if=$(disk 1) bs=1M skip=16 count=8 2>/dev/null | sha256sum",
    "reset-device": (120, "sg_reset -d $(sg 1) && dd if=$(disk 1) bs=1M count=1 2>/dev/null | "
                          "sha256sum"),
    # The reset comes in the middle of reads that have several requests in flight.
    "reset-bus": (180, "drop_caches; for part in 0 1 2 3; do\n"
                       "  dd if=$(disk 1) bs=256k skip=$((part * 32)) count=32 2>/dev/null | "
                       "sha256sum >/tmp/part$part & done\n"
                       "sg_reset -b $(sg 0); status=$?; wait; cat /tmp/part?; exit $status"),
    "reset-host": (120, "sg_reset -H $(sg 0); status=$?; drop_caches\n"
                        "dd if=$(disk 1) bs=1M count=1 2>/dev/null | sha256sum; exit $status"),
    "read-cd": "digest $(disk 2)",
    "eject-cd": "echo 0 >/proc/sys/dev/cdrom/autoclose; sg_start --eject $(sg 2) && "
                "! dd if=$(disk 2) of=/dev/null bs=2k count=1",
    "load-cd": "sg_start --load $(sg 2) && drop_caches && digest $(disk 2)",
    "unload-driver": "cd /; umount /mnt && rmmod sym53c8xx && ls /sys/bus/scsi/devices && "
                     "! lsmod | grep sym53c8xx",
    "reload-driver": (120, "modprobe sym53c8xx && wait_devices 3 && "
                           "mount -t ext4 $(disk 0) /mnt && cd /mnt && "
                           "grep -v big4 sums | sha256sum -c"),
    "unmount": "cd /; umount /mnt",
    "kernel-log": "dmesg; grep sym53c8xx /proc/interrupts",
}


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot the guest, let it run all steps; adds images, known and cd to the witness.Run.

    known   digests of disk 1 as it was before the boot: {(first MiB, number of MiB): digest}
    """
    rundir = tmp_path_factory.mktemp("linux")
    images = [disks.blank(rundir / "disk0", 64), disks.patterned(rundir / "disk1", 32, seed=1),
              disks.patterned(rundir / "disk2", 4, seed=2)]
    parts = [(0, 32), (0, 1), *((part * 8, 8) for part in range(4))]
    known = {(start, size): disks.digest(images[1], start * MIB, size * MIB)
             for start, size in parts}
    options = [*disks.CONTROLLER, *disks.hard_disk(0, images[0], ",serial=WITNESS-0"),
               *disks.hard_disk(1, images[1], ",serial=WITNESS-1,wwn=0x5000c50015ea71ac"),
               *disks.cd_rom(2, images[2])]
    with witness.Machine(rundir, variant, options, linux(rundir, STEPS)) as machine:
        result = witness.Run(machine, BOOT_SECONDS)
    result.images, result.known, result.cd = images, known, disks.digest(images[2])
    return result


def test_finds_two_disks_and_a_cd_on_one_controller(run):
    text = run.ok("find")
    found = re.findall(r"\[(\d+):0:(\d+):0\]\s+(\S+)", text)
    assert sorted((int(scsi_id), kind) for _, scsi_id, kind in found) == [
        (0, "disk"), (1, "disk"), (2, "(5)")]
    assert len({host for host, _, _ in found}) == 1


def test_disks_have_the_size_of_their_images(run):
    sizes = dict(re.findall(r"^(\d) /dev/sd. (\d+)$", run.ok("find"), re.M))
    assert sizes == {"0": str(64 * 2048), "1": str(32 * 2048)}


def test_disks_report_their_serial_numbers(run):
    assert re.findall(r"Unit serial number: (\S+)", run.ok("identify"))[::2] == [
        "WITNESS-0", "WITNESS-1"]


def test_disk_reports_its_world_wide_name(run):
    assert "5000c50015ea71ac" in run.ok("identify").replace(" ", "").lower()


def test_known_contents_are_read(run):
    assert run.known[0, 32] in run.ok("read-known")


def test_ext4_is_made_and_mounted(run):
    run.ok("make-file-system")


def test_written_files_read_back_after_dropping_caches(run):
    run.ok("write-files")
    assert run.ok("read-files").count(": OK") == 2 * 44


def test_file_system_is_trimmed(run):
    trimmed = re.search(r"/mnt: (\d+) bytes trimmed", run.ok("trim-files"))
    assert trimmed and int(trimmed.group(1)) > 30 * MIB


def test_discarded_blocks_read_as_zeroes(run):
    assert ZEROES in run.ok("discard-blocks")


def test_device_reset_keeps_the_disk_usable(run):
    assert run.known[0, 1] in run.ok("reset-device")


def test_bus_reset_loses_no_read_in_flight(run):
    # The third part holds the blocks that were discarded before.
    digests = re.findall(r"^(\w{64}) ", run.ok("reset-bus"), re.M)
    assert digests == [run.known[0, 8], run.known[8, 8], ZEROES, run.known[24, 8]]


def test_host_reset_keeps_the_disk_usable(run):
    assert run.known[0, 1] in run.ok("reset-host")


def test_cd_is_read(run):
    assert run.cd in run.ok("read-cd")


def test_ejected_cd_has_no_medium(run):
    assert "No medium found" in run.ok("eject-cd")


def test_loaded_cd_is_read_again(run):
    assert run.cd in run.ok("load-cd")


def test_driver_unloads_and_its_disks_go(run):
    assert "host" not in run.ok("unload-driver")


def test_reloaded_driver_finds_the_same_files(run):
    assert run.ok("reload-driver").count(": OK") == 43


def test_guest_powers_off_cleanly(run):
    run.ok("unmount")
    run.assert_powered_off()


def test_kernel_saw_no_timeout_and_no_lost_interrupt(run):
    text = run.ok("kernel-log")
    for bad in ("nobody cared", "timed out", "TIMEOUT", "device offlined", "BUG:", "Oops",
                "ABORT operation"):
        assert bad not in text


def test_remote_says_nothing_in_normal_operation(run, variant):
    if variant.in_process or variant.stock:
        pytest.skip("a promise of qemu-remote only")
    assert run.logs["remote"] == ""


def test_file_system_check_finds_nothing(run):
    run.ok("unmount")
    file_system.assert_clean(run.images[0])


def test_files_are_byte_identical_on_the_host(run, tmp_path):
    need("debugfs")
    run.ok("unmount")
    subprocess.run([guest_image.which("debugfs"), "-R", f"rdump /dir {tmp_path}", run.images[0]],
                   check=True, capture_output=True, timeout=60)
    sums = dict(reversed(line.split()) for line in run.ok("write-files").split("\n")
                if " dir/" in line)
    del sums["dir/big4"]
    assert len(sums) == 43
    assert {name: disks.digest(tmp_path / name) for name in sums} == sums


def test_discards_become_holes_in_the_image(run):
    run.ok("discard-blocks")
    assert os.stat(run.images[1]).st_blocks * 512 <= 24 * MIB + 64 * 1024
