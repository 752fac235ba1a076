# SPDX-License-Identifier: GPL-2.0-or-later
# Disks and the whole controller come and go in a running Linux guest, while it works.
# Runs in: neither program; drives qemu-remote (or a stock remote) and stock QEMU from outside.
"""One boot.  The guest asks for each change by a line on its console, and is answered on a second serial line.

What it asks for is done by QMP: in the device process (disks, sizes, media, the served controller) and in stock's main
emulator (its x-pci-proxy-dev).  SCSI ids: 0 a disk that a worker in the guest reads and writes all the time, 1 the disk
that comes and goes, 2 a CD-ROM.
"""

import os
import socket

import pytest

import disks
import guest_worker
import relay
import witness
from qmp import Qmp, QmpError

SECONDS = 300
WAIT = 120                      # for one event
MIB = 1 << 20
SIZE, NEW_SIZE = 16, 24         # MiB of the disk that comes and goes

STEPS = {
    "find": "load_drivers 2; start_worker",
    "add-disk": "ask add-disk; rescan; poll 10 is_there 1 && digest $(disk 1) && worker_goes_on",
    "write": "dd if=/dev/urandom of=/tmp/data bs=64k count=16 status=none\n"
             "dd if=/tmp/data of=$(disk 1) bs=1M seek=4 conv=notrunc,fsync status=none && digest /tmp/data",
    "resize": "cat $(sysfs 1)/size; ask resize; echo 1 >$(sysfs 1)/device/rescan; cat $(sysfs 1)/size\n"
              "dd if=/tmp/data of=$(disk 1) bs=1M seek=23 conv=notrunc,fsync status=none && drop_caches &&\n"
              "dd if=$(disk 1) bs=1M skip=23 status=none | cmp - /tmp/data && worker_goes_on",
    "remove-disk": "echo 1 >$(sysfs 1)/device/delete; ask remove-disk; rescan; is_absent 1 && worker_goes_on",
    "add-disk-again": "ask add-disk-again; rescan; poll 10 is_there 1 && digest $(disk 1)",
    # The reader must end by an error; a hang would end this step by its limit.
    "yank-disk": (120, "(while dd if=$(disk 1) of=/dev/null bs=64k iflag=direct status=none; do : >/tmp/reads; done)"
                       " >/tmp/reader 2>&1 & reader=$!\n"
                       "poll 60 test -e /tmp/reads && ask yank-disk; wait $reader; cat /tmp/reader\n"
                       "echo 1 >$(sysfs 1)/device/delete; rescan; is_absent 1 && worker_goes_on"),
    "locked-medium": "digest $(disk 2); exec 6<$(disk 2); ask eject-locked; exec 6<&-; digest $(disk 2)",
    "eject-medium": "ask eject; ! dd if=$(disk 2) of=/dev/null bs=2k count=1 && worker_goes_on",
    "remove-controller": (120, "worker_goes_on && ask remove-controller; poll 60 controllers_are 0 && is_absent 0 &&\n"
                               "touch /tmp/stop && poll 60 worker_ended && head -1 /tmp/errors"),
    "add-controller": (120, "ask add-controller; poll 60 is_there 0 && poll 60 is_there 1 && digest $(disk 1) &&\n"
                            "start_worker"),
    "end": "touch /tmp/stop; poll 60 worker_ended; dmesg",
}


class HotplugMachine(witness.AnsweringMachine):
    """Its processes have monitors for the test: control (of the device process) and monitor."""

    def _spawn_remote(self, end):
        ours, theirs = socket.socketpair()
        with theirs:
            remote = self._spawn("remote", [
                self.variant.program, "-machine", "x-remote", "-nodefaults", "-display", "none", "-no-shutdown",
                *self.devices, "-object", f"x-remote-object,id=r0,devid=lsi0,fd={end.fileno()}",
                "-chardev", f"socket,id=control,fd={theirs.fileno()}", "-mon", "chardev=control,mode=control"],
                end, theirs)
        self.control = Qmp(ours, wait=WAIT)
        return remote

    def _start(self):
        self.boot += ["-qmp", f"unix:{self._path('monitor')},server=on,wait=off"]
        super()._start()
        self.control.negotiate()
        self.monitor = Qmp.connect(self._path("monitor"), wait=WAIT, check=False).negotiate()

    def close(self):
        super().close()
        for name in ("control", "monitor"):
            if hasattr(self, name):
                getattr(self, name).close()


class Host:
    """Does what the guest asks for; each method named as do_WHAT.

    images   of SCSI ids 0 to 2
    """

    def __init__(self, machine, images):
        self.machine, self.images = machine, images
        self.control, self.monitor = machine.control, machine.monitor
        self.seen = {}

    def run(self, steps):
        """Until the guest has asked for all."""
        for _, text in steps.values():
            if "ask " in text:
                what = text.split("ask ")[1].split(";")[0]
                self.machine.wait_asked(what, SECONDS)
                getattr(self, "do_" + what.replace("-", "_"))()
                self.machine.answer()

    def add_node(self, number):
        """Node nN on an image that is passed as a descriptor."""
        image = os.open(self.images[number], os.O_RDWR)
        self.control.command("add-fd", _fds=[image], **{"fdset-id": number})
        os.close(image)
        self.control.command("blockdev-add", **{"driver": "file", "node-name": f"n{number}",
                                                "filename": f"/dev/fdset/{number}"})

    def add_disk(self, number):
        self.control.command("device_add", driver="scsi-hd", id=f"hd{number}", drive=f"n{number}", bus="lsi0.0",
                             **{"scsi-id": number})

    def remove_disk(self):
        self.control.command("device_del", id="hd1")
        self.control.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "hd1")

    def remove_node(self):
        self.control.command("blockdev-del", **{"node-name": "n1"})
        self.control.command("remove-fd", **{"fdset-id": 1})

    # ---- disk

    def do_add_disk(self):
        self.add_node(1)
        self.add_disk(1)

    do_add_disk_again = do_add_disk

    def do_resize(self):
        self.seen["written"] = disks.digest(self.images[1], 4 * MIB, MIB)
        self.control.command("block_resize", **{"node-name": "n1", "size": NEW_SIZE * MIB})

    def do_remove_disk(self):
        self.remove_disk()
        self.remove_node()
        self.seen["written behind the old end"] = disks.digest(self.images[1], 23 * MIB, MIB)
        self.seen["all"] = disks.digest(self.images[1])

    def do_yank_disk(self):
        self.remove_disk()
        self.remove_node()

    # ---- medium

    def do_eject_locked(self):
        with pytest.raises(QmpError) as refusal:
            self.control.command("eject", device="d2")
        self.seen["refusal"] = refusal.value.desc

    def do_eject(self):
        self.control.command("eject", device="d2")
        self.seen["tray"] = self.control.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"]

    # ---- controller

    def do_remove_controller(self):
        main = self.monitor
        bus, = main.command("query-pci")
        device, = (device for device in bus["devices"] if device["qdev_id"] == "lsi0")
        self.slot, self.pin = device["slot"], device["irq"]
        main.command("device_del", id="lsi0")
        # The guest must let it go, and does while it works on the disk.
        main.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "lsi0")
        self.control.command("object-del", id="r0")
        self.control.command("device_del", id="lsi0")
        self.control.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "lsi0")
        self.seen["devices left"] = [entry["name"] for entry in
                                     self.control.command("qom-list", path="/machine/peripheral")
                                     if entry["type"].startswith("child<")]

    def do_add_controller(self):
        self.control.command("device_add", driver="lsi53c895a", id="lsi0")
        self.add_disk(0)
        self.add_node(1)
        self.add_disk(1)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.control.command("getfd", _fds=[theirs.fileno()], fdname="link")
            self.control.command("object-add", **{"qom-type": "x-remote-object", "id": "r1", "devid": "lsi0",
                                                  "fd": "link"})
            self.monitor.command("getfd", _fds=[ours.fileno()], fdname="link")
        self.monitor.command("device_add", driver="x-pci-proxy-dev", id="lsi0", fd="link", addr=f"{self.slot:#x}")
        pair, = relay.eventfds_of(self.machine.main.pid, self.machine.remote.pid)
        # The firmware has not seen this device; the interrupt pin is that of its slot.
        self.machine.pump.add(*pair, lambda: self.pin)


@pytest.fixture(scope="module")
def run(variant, linux, tmp_path_factory):
    """Boot the guest, let it run all steps; adds host (Host) and known (digests of images) to the witness.Run."""
    if variant.in_process:
        pytest.skip("there is no device process in-process")
    rundir = tmp_path_factory.mktemp("hotplug")
    images = [disks.patterned(rundir / "disk0", 9, seed=20), disks.patterned(rundir / "disk1", SIZE, seed=21),
              disks.patterned(rundir / "disk2", 2, seed=22)]
    known = [disks.digest(image) for image in images]
    devices = [*disks.CONTROLLER, "-blockdev", f"driver=file,node-name=n0,filename={images[0]}",
               "-device", "scsi-hd,id=hd0,drive=n0,bus=lsi0.0,scsi-id=0", *disks.cd_rom(2, images[2])]
    layer, steps = guest_worker.prepare({name: step for name, step in STEPS.items()
                                         if not (variant.stock and name == "add-controller")}, images[0], 128)
    boot = linux(rundir, steps, [lambda: layer])
    with HotplugMachine(rundir, variant, devices, boot) as machine:
        host = Host(machine, images)
        host.run(steps)
        machine.console.wait_for("@@guest down", SECONDS)
        machine.wait_exit("main", WAIT)         # the guest puts its disks in order before
        machine.control.command("quit")
        result = witness.Run(machine, SECONDS)
    result.host, result.known = host, known
    return result


def test_disk_is_added_behind_a_live_controller(run):
    assert run.known[1] in run.ok("add-disk")


def test_writes_reach_the_image_of_the_added_disk(run):
    assert run.host.seen["written"] in run.ok("write")


def test_new_size_is_seen(run):
    assert guest_worker.answers(run.ok("resize")) == [str(SIZE * 2048), str(NEW_SIZE * 2048)]


def test_new_part_is_written(run):
    assert run.host.seen["written behind the old end"] in run.ok("write")


def test_removed_disk_is_not_found(run):
    run.ok("remove-disk")


def test_removed_disk_is_added_again_as_it_was(run):
    assert run.host.seen["all"] in run.ok("add-disk-again")


def test_disk_that_is_yanked_under_io_gives_errors_and_no_hang(run):
    assert "error" in run.ok("yank-disk").lower()


def test_medium_that_the_guest_has_locked_is_not_ejected(run):
    assert guest_worker.answers(run.ok("locked-medium")) == [run.known[2]] * 2
    assert "lock" in run.host.seen["refusal"]


def test_ejected_medium_is_gone(run):
    assert "No medium found" in run.ok("eject-medium")
    assert run.host.seen["tray"] is True


def test_controller_is_removed_under_io(run):
    """The guest's worker was in the middle of a turn, which has failed."""
    assert "turn" in run.ok("remove-controller")
    assert run.host.seen["devices left"] == []


def test_controller_is_added_in_the_same_slot_and_works(run, variant):
    if variant.stock:
        pytest.skip("a stock device process ends when it is asked for a second link")
    assert run.host.seen["all"] in run.ok("add-controller")


def test_worker_was_never_disturbed_but_by_the_removal_of_its_controller(run):
    for name in ("find", "add-disk", "resize", "remove-disk", "yank-disk", "eject-medium"):
        run.ok(name)


def test_kernel_saw_no_time_out(run):
    text = run.ok("end")
    for bad in ("nobody cared", "timed out", "TIMEOUT", "BUG:", "Oops", "ABORT operation"):
        assert bad not in text


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()


def test_remote_says_nothing_in_normal_operation(run, variant):
    if variant.stock:
        pytest.skip("a promise of qemu-remote only")
    assert run.logs["remote"] == ""
