# SPDX-License-Identifier: GPL-2.0-or-later
# Controllers and disks in processes come and go in Debian's kernel, which hears of them by ACPI, under our processor.
# Runs in: neither program; drives mpqemu from outside.
"""One boot.  The guest asks for each change by a line on its console; the host makes it by QMP.

A worker reads and writes disk 0, behind lsi0, all the time.  lsi1, in another process, comes and goes, with disk 1 and
at times disk 2: let go by the guest when asked, also while disk 1 is mounted, and pulled out.
"""

import subprocess

import pytest

import disks
import guest_image
import guest_worker
import own_machine
import witness
from packages import need

SECONDS = 300
SLOT = 6                        # of lsi1
BLOCKS = 16                     # of 64 KiB, that the worker knows
FUNCTIONS = """
disk_comes() { poll 60 controllers_are 2; rescan; poll 20 is_there $1; }
"""
STEPS = {
    "find": "modprobe sym53c8xx settle=0; load_drivers 1; load_ext4; start_worker",
    "add-controller": (120, "ask add-controller; disk_comes 1 &&\n"
                            "dd if=$(disk 1) bs=64k count=16 status=none | sha256sum && worker_goes_on"),
    "add-disk": (120, "ask add-disk; rescan; poll 20 is_there 2 && digest $(disk 2) && worker_goes_on"),
    "remove-disk": (120, "echo 1 >$(sysfs 2)/device/delete; ask remove-disk; rescan; is_absent 2 && worker_goes_on"),
    # Linux flushes the disks when it is asked, but what is dirty in its own cache is lost: the device is offline then.
    "remove": (120, "mkfs.ext4 -q $(disk 1) && sync; dd if=/dev/urandom of=/tmp/data bs=64k count=16 status=none\n"
                    "dd if=/tmp/data of=$(disk 1) bs=64k seek=128 oflag=direct conv=notrunc status=none\n"
                    "ask remove; poll 60 controllers_are 1 && is_absent 1 && worker_goes_on"),
    "add-again": (120, "ask add-controller-again; disk_comes 1 && drop_caches &&\n"
                       "dd if=$(disk 1) bs=64k skip=128 count=16 status=none | cmp - /tmp/data && worker_goes_on"),
    "remove-mounted": (120, "mount -t ext4 $(disk 1) /mnt &&\n"
                            "echo 'written while mounted' >/mnt/file && sync || exit 1\n"
                            "ask remove-mounted; poll 60 controllers_are 1 && is_absent 1 && worker_goes_on\n"
                            "status=$?; umount /mnt; exit $status"),
    "add-mounted": (120, "ask add-controller-anew; disk_comes 1 && mount -t ext4 $(disk 1) /mnt && cat /mnt/file &&\n"
                         "umount /mnt && worker_goes_on"),
    # The reader must end by an error; a hang would end this step by its limit.  Without a write cache the driver
    # flushes nothing, for which it would wait for the time limits of its recovery three times.
    "pull": (120, "echo 'write through' >$(echo $(sysfs 1)/device/scsi_disk/*/cache_type)\n"
                  "echo 1 >$(sysfs 1)/device/timeout\n"
                  "(while dd if=$(disk 1) of=/dev/null bs=64k count=64 iflag=direct status=none\n"
                  "do : >/tmp/reads; done) >/tmp/reader 2>&1 & reader=$!\n"
                  "poll 60 test -e /tmp/reads && ask pull; wait $reader; cat /tmp/reader\n"
                  "poll 60 controllers_are 1 && is_absent 1 && worker_goes_on"),
    "add-after-pull": (120, "ask add-controller-once-more; disk_comes 1 && mount -t ext4 $(disk 1) /mnt &&\n"
                            "cat /mnt/file && umount /mnt && worker_goes_on"),
    "device-del": (120, "ask device-del; poll 60 controllers_are 1 && is_absent 1 && worker_goes_on"),
    "end": (120, "worker_goes_on; status=$?; touch /tmp/stop; poll 60 worker_ended; dmesg; exit $status"),
}


class Host(own_machine.Host):
    def add_one_disk(self, number):
        self.qmp.command("rdrive_add", rid="r1", id=f"d{number}", file=self.images[number], format="raw")
        self.qmp.command("rdevice_add", rid="r1", driver="scsi-hd", id=f"hd{number}", drive=f"d{number}", bus="lsi1.0",
                         **{"scsi-id": number})

    def add_controller(self):
        self.qmp.command("rdevice_add", rid="r1", driver="lsi53c895a", id="lsi1", addr=f"{SLOT:#x}")
        self.add_one_disk(1)

    add_controller_again = add_controller_once_more = add_controller

    def add_disk(self):
        self.add_one_disk(2)

    def remove_disk(self):
        self.qmp.command("rdevice_del", rid="r1", id="hd2")
        self.qmp.command("rdrive_del", rid="r1", id="d2")

    def gone(self):
        """The controller has been let go, or pulled; the drive stays with its process until now."""
        self.qmp.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "lsi1")
        # The remote's half goes a little later; operations of a process come one after the other.
        self.qmp.command("rdrive_del", rid="r1", id="d1")
        self.qmp.wait_event("REMOTE_STATE", lambda event: event["data"]["to"] == "gone")

    def is_in_the_machine(self):
        bus, = self.qmp.command("query-pci")
        return "lsi1" in [device["qdev_id"] for device in bus["devices"]]

    def remove(self):
        """The guest stands while it is asked, so that the order of things is certain."""
        self.qmp.command("stop")
        self.qmp.command("rdevice_del", rid="r1", id="lsi1")
        self.seen["there until the guest lets go"] = self.is_in_the_machine()
        self.qmp.command("cont")
        self.gone()

    def remove_mounted(self):
        self.remove()
        check = subprocess.run([guest_image.which("e2fsck"), "-f", "-y", self.images[1]], capture_output=True,
                               text=True, timeout=60, check=False) if have("e2fsck") else None
        self.seen["check"] = check and (check.returncode, check.stdout)

    add_controller_anew = add_controller

    def pull(self):
        self.qmp.command("stop")
        self.qmp.command("rdevice_del", rid="r1", id="lsi1", force=True)
        self.seen["there when pulled"] = self.is_in_the_machine()
        self.qmp.command("cont")
        self.gone()

    def device_del(self):
        self.qmp.command("device_del", id="lsi1")
        self.gone()
        self.seen["left"] = sorted(self.machine.remotes())


def have(program):
    try:
        return guest_image.which(program)
    except guest_image.MissingPackage:
        return None


@pytest.fixture(scope="module")
def run(linux, tmp_path_factory):
    """Boot the guest, let it run all steps; adds host (Host) and known (of the images' first MiB) to the
    witness.Run."""
    rundir = tmp_path_factory.mktemp("own-hotplug")
    images = [disks.patterned(rundir / "disk0", 2, seed=60), disks.patterned(rundir / "disk1", 12, seed=61),
              disks.patterned(rundir / "disk2", 1, seed=62)]
    known = [disks.digest(image, 0, 1 << 20) for image in images]
    layer, steps = guest_worker.prepare(STEPS, images[0], BLOCKS, FUNCTIONS)
    boot = linux(rundir, steps, [lambda: layer])
    with own_machine.OwnMachine(rundir, boot, own_machine.controller("lsi0", 4, [images[0]])) as machine:
        host = Host(machine, images)
        machine.serve(host, STEPS, SECONDS)
        result = witness.Run(machine, SECONDS)
    result.host, result.known = host, known
    return result


def test_controller_in_a_new_process_is_found_without_a_rescan(run):
    assert run.known[1] in run.ok("add-controller")


def test_disk_comes_and_goes_behind_it(run):
    assert run.known[2] in run.ok("add-disk")
    run.ok("remove-disk")


def test_controller_stays_until_the_guest_lets_go(run):
    run.ok("remove")
    assert run.host.seen["there until the guest lets go"]


def test_disk_comes_back_with_its_controller_as_it_was(run):
    run.ok("add-again")


def test_controller_of_a_mounted_disk_is_let_go(run):
    run.ok("remove-mounted")
    need("e2fsck")
    status, text = run.host.seen["check"]
    assert status in (0, 1), text          # nothing worse than a journal that is replayed
    assert guest_worker.answers(run.ok("add-mounted")) == ["written while mounted"]


def test_controller_that_is_pulled_under_io_gives_errors_and_no_hang(run):
    assert "dd: " in run.ok("pull")
    assert not run.host.seen["there when pulled"]
    assert "written while mounted" in run.ok("add-after-pull")


def test_device_del_asks_the_guest_too(run):
    run.ok("device-del")
    assert run.host.seen["left"] == ["lsi0"]


def test_worker_on_the_other_controller_was_never_disturbed(run):
    run.ok("end")


def test_kernel_saw_no_lost_interrupt(run):
    text = run.ok("end")
    for bad in ("nobody cared", "BUG:", "Oops", "blocked for more"):
        assert bad not in text
    before = text.split("suspicious SCSI data")[0]      # that is of what was pulled
    assert "ABORT operation" not in before.split("Synchronizing SCSI cache")[0]


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
