# SPDX-License-Identifier: GPL-2.0-or-later
# A device process dies under a guest's reads: it comes back by itself, or its controller is replaced by hand.
# Runs in: neither program; drives mpqemu from outside.
"""One boot of Debian's kernel in our main emulator.

lsi0 has on-death=restart, and a worker that reads and writes disk 0 never hears of the death.  lsi1 has
on-death=detach: its reader gets errors, the dead controller is taken out, and another one in a new process takes its
slot.
"""

import os
import signal

import pytest

import disks
import guest_worker
import own_machine
import witness
from device_process import device_pid

SECONDS = 300
SLOT = 6                        # of lsi1
BLOCKS = 16                     # of 64 KiB, that the worker knows

STEPS = {
    # The driver gives a command 2 s instead of 30 before it looks what is wrong; it flushes no disk without a cache.
    "find": "modprobe sym53c8xx settle=0; load_drivers 2; start_worker; digest $(disk 1)\n"
            "for id in 0 1; do echo 2 >$(sysfs $id)/device/timeout; done\n"
            "echo 'write through' >$(echo $(sysfs 1)/device/scsi_disk/*/cache_type)",
    "restart": (150, "ask kill-lsi0; worker_goes_on && worker_goes_on; status=$?\n"
                     "dmesg | grep -c 'RESET operation started'; exit $status"),
    # The reader must end by an error; a hang would end this step by its limit.
    "detach": (150, "(while dd if=$(disk 1) of=/dev/null bs=64k count=16 iflag=direct status=none\n"
                    "do : >/tmp/reads; done) >/tmp/reader 2>&1 & reader=$!\n"
                    "poll 60 test -e /tmp/reads && ask kill-lsi1; wait $reader; cat /tmp/reader\n"
                    "poll 100 controllers_are 1 && is_absent 1 && worker_goes_on"),
    "replace": (120, "ask new-lsi1; poll 60 controllers_are 2; rescan; poll 20 is_there 1 && digest $(disk 1) &&\n"
                     "worker_goes_on"),
    "end": (120, "worker_goes_on; status=$?; touch /tmp/stop; poll 60 worker_ended; dmesg; exit $status"),
}


class Host(own_machine.Host):
    def _kill(self, rid):
        os.kill(device_pid(self.machine.pids()[rid]), signal.SIGKILL)
        return self.qmp.wait_event("REMOTE_STATE", lambda event: event["data"]["id"] == rid and
                                   event["data"]["to"] == "dead")["data"]

    def kill_lsi0(self):
        self._kill("lsi0")
        self.qmp.wait_event("REMOTE_STATE", lambda event: event["data"]["id"] == "lsi0" and
                            event["data"]["to"] == "ready")
        self.seen["restarted"] = self.machine.remotes()["lsi0"]

    def kill_lsi1(self):
        self.seen["death"] = self._kill("lsi1")
        self.seen["dead"] = self.machine.remotes()["lsi1"]["state"]
        # The guest is not asked: a driver could only wait for what does not answer.
        self.qmp.command("rdevice_del", rid="lsi1", id="lsi1")
        self.qmp.command("rdrive_del", rid="lsi1", id="lsi1-d1")

    def new_lsi1(self):
        self.qmp.command("rdrive_add", rid="new", id="new-d1", file=self.images[1], format="raw")
        self.qmp.command("rdevice_add", rid="new", driver="lsi53c895a", id="lsi1", addr=f"{SLOT:#x}")
        self.qmp.command("rdevice_add", rid="new", driver="scsi-hd", id="hd1", drive="new-d1", bus="lsi1.0",
                         **{"scsi-id": 1})


@pytest.fixture(scope="module")
def run(linux, tmp_path_factory):
    """Boot the guest, let it run all steps; adds host (Host) and known (digests of the images) to the witness.Run."""
    rundir = tmp_path_factory.mktemp("own-death")
    images = [disks.patterned(rundir / "disk0", 2, seed=70), disks.patterned(rundir / "disk1", 1, seed=71)]
    known = [disks.digest(image) for image in images]
    layer, steps = guest_worker.prepare(STEPS, images[0], BLOCKS)
    options = [*own_machine.controller("lsi0", 4, [images[0]]), "-remote", "rid=lsi0,on-death=restart",
               *own_machine.controller("lsi1", SLOT, [images[1]], first_id=1)]
    with own_machine.OwnMachine(rundir, linux(rundir, steps, [lambda: layer]), options) as machine:
        host = Host(machine, images)
        machine.serve(host, STEPS, SECONDS)
        result = witness.Run(machine, SECONDS)
    result.host, result.known = host, known
    return result


def test_worker_goes_on_when_its_process_is_restarted(run):
    """What it reads and writes is right, and no command of its has failed: the driver has sent it again."""
    assert run.known[1] in run.ok("find")
    run.ok("restart")
    entry = run.host.seen["restarted"]
    assert entry["state"] == "ready" and entry["restarts"] == 1
    assert entry["devices"][0]["link"]["reattached"] == 1


def test_reader_on_a_detached_process_gets_errors_and_no_hang(run):
    assert "dd: " in run.ok("detach")
    assert run.host.seen["dead"] == "dead" and run.host.seen["death"]["signal"] == signal.SIGKILL


def test_another_controller_takes_the_slot_of_the_dead_one(run):
    assert run.known[1] in run.ok("replace")


def test_kernel_survives(run):
    text = run.ok("end")
    for bad in ("nobody cared", "BUG:", "Oops", "blocked for more"):
        assert bad not in text


def test_guest_powers_off_cleanly(run):
    run.assert_powered_off()
