# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu-launch starts a device process, mpqemu manages it by the control channel that both were given.
# Runs in: neither program; drives mpqemu-launch and mpqemu from outside.
"""The real programs, with a driver as the guest.

A LaunchedMachine's first process is the launcher; its children are the remotes, in the order of the command line, and
the emulator.
"""

import contextlib
import os
import signal

import pytest

from device_process import device_pid
from launcher import PROGRAM, children_of, processes_with, state_of
from managed import Managed, QmpError, image, wait_until
from lsi_driver import SCRATCHA
from test_launch_programs import script, title_of

MMIO = 0xe0000000


class LaunchedMachine(Managed):
    """A Managed whose process is the launcher; remotes: pids of the remotes."""

    def __init__(self, main_program, directory, remotes, *args, status=0):
        launch = script(directory / "launch", PROGRAM, "--name", "web", *remotes, "--", main_program)
        super().__init__(launch, directory, *args, status=status)
        self.children = children_of(self.pid)
        self.remote_pids = self.children[:-1]
        self.emulator = self.children[-1]

    def launcher_says(self, text):
        wait_until(lambda: text in self.q.stderr(), text)


@contextlib.contextmanager
def launched(main_program, directory, remotes, *args, **more):
    """A LaunchedMachine; when it has ended, nothing is left of it, and nothing was terminated by a signal for it."""
    with LaunchedMachine(main_program, directory, remotes, *args, **more) as machine:
        yield machine
        machine.qmp.command("quit")
        machine.q.process.wait(30)
        err = machine.q.stderr()
    assert "SIGTERM" not in err and "Sanitizer" not in err, err
    assert processes_with(str(directory)) == {}


R0 = ("--remote", "r0,control=on")
GIVEN = ("-remote", "rid=r0,fd=@control:r0@")


def add_controller(machine, directory, number=0):
    machine.qmp.command("rdevice_add", rid="r0", id=f"lsi{number}", driver="lsi53c895a")
    machine.qmp.command("rdrive_add", rid="r0", id=f"d{number}", file=image(directory / f"disk{number}"), format="raw")
    machine.qmp.command("rdevice_add", rid="r0", id=f"hd{number}", driver="scsi-hd", drive=f"d{number}",
                        bus=f"lsi{number}.0")


def test_devices_and_drives_are_added_to_a_launchers_remote(main_program, tmp_path):
    with launched(main_program, tmp_path, R0, *GIVEN) as machine:
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())
        entry = machine.remotes()["r0"]
        assert entry["state"] == "ready" and "process" not in entry
        assert [title_of(pid) for pid in machine.remote_pids] == ["qemu-remote: web/r0"]
        assert len(machine.children) == 2               # mpqemu has started none of its own


def test_option_is_added_by_the_launcher(main_program, tmp_path):
    with launched(main_program, tmp_path, R0, "-rdevice", "lsi53c895a,rid=r0,id=lsi0") as machine:
        machine.lsi()
        assert "process" not in machine.remotes()["r0"]


def test_all_links_may_go_and_another_come(main_program, tmp_path):
    """A drive keeps the process; without links and without -no-shutdown it would end."""
    with launched(main_program, tmp_path, R0, *GIVEN) as machine:
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())
        for _ in range(3):
            machine.qmp.command("rdevice_del", rid="r0", id="lsi0")
            machine.wait_event("DEVICE_DELETED", device="lsi0")
            machine.qmp.command("rdevice_add", rid="r0", id="lsi0", driver="lsi53c895a")
            machine.qmp.command("rdevice_add", rid="r0", id="hd0", driver="scsi-hd", drive="d0", bus="lsi0.0")
            machine.works(machine.lsi())
        assert [state_of(pid) in "RS" for pid in machine.remote_pids] == [True]


def test_all_may_go_and_another_come(main_program, tmp_path):
    """mpqemu cannot start it again, so it lets it go at its own end only."""
    with launched(main_program, tmp_path, R0, *GIVEN) as machine:
        for number in range(3):
            add_controller(machine, tmp_path, number)
            machine.works(machine.lsi())
            machine.qmp.command("rdevice_del", rid="r0", id=f"lsi{number}")
            machine.qmp.command("rdrive_del", rid="r0", id=f"d{number}")
            entry = machine.remotes()["r0"]
            assert (entry["state"], entry["devices"], entry["drives"]) == ("ready", [], [])


def test_refused_device_leaves_the_remote_for_the_next_one(main_program, tmp_path):
    with launched(main_program, tmp_path, R0, *GIVEN) as machine:
        with pytest.raises(QmpError, match="nosuch"):
            machine.qmp.command("rdevice_add", rid="r0", id="lsi0", driver="nosuch")
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())


def test_managed_devices_beside_a_launchers_link(main_program, tmp_path):
    """The launcher's own device goes; the process, which mpqemu manages, does not."""
    remote = ("--remote", "r0,control=on,device=lsi9", "-device", "lsi53c895a,id=lsi9")
    with launched(main_program, tmp_path, remote, *GIVEN, "-device",
                  "pci-proxy-dev,id=lsi9,addr=9,fd=@fd:lsi9@") as machine:
        machine.qmp.command("device_del", id="lsi9")
        machine.wait_event("DEVICE_DELETED", device="lsi9")
        assert machine.q.pci_read(9, 0, 4) == 0xffffffff
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())


def test_death_is_seen_by_both(main_program, tmp_path):
    with launched(main_program, tmp_path, R0, *GIVEN) as machine:
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())
        os.kill(machine.remote_pids[0], signal.SIGKILL)
        event = machine.wait_event("REMOTE_STATE", id="r0", to="dead")
        assert event["data"]["from"] == "ready"
        machine.launcher_says(f"mpqemu-launch: remote 'r0' (process {machine.remote_pids[0]}) was killed by signal 9")
        assert machine.q.readl(MMIO + SCRATCHA) == 0xffffffff
        with pytest.raises(QmpError, match="launcher"):
            machine.qmp.command("remote_restart", rid="r0")
        machine.qmp.command("rdevice_del", rid="r0", id="lsi0")
        assert machine.q.pci_read(2, 0, 4) == 0xffffffff
        machine.qmp.command("rdrive_del", rid="r0", id="d0")
        with pytest.raises(QmpError, match="its launcher can start it again"):
            machine.qmp.command("rdevice_add", rid="r0", id="lsi0", driver="lsi53c895a")


def test_remote_that_was_given_up_ends_when_it_goes_on(main_program, tmp_path):
    """It is stopped; mpqemu closes what it has of it, and the launcher need not do more than wait."""
    with launched(main_program, tmp_path, R0, "-remote",
                  "rid=r0,heartbeat-interval=100,heartbeat-limit=400,fd=@control:r0@") as machine:
        add_controller(machine, tmp_path)
        pid, = machine.remote_pids
        working = device_pid(pid)
        os.kill(working, signal.SIGSTOP)
        machine.wait_event("REMOTE_STATE", id="r0", to="dead")
        os.kill(working, signal.SIGCONT)
        machine.launcher_says(f"mpqemu-launch: remote 'r0' (process {pid}) ended with status 0")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_remote_ends_with_the_emulator(main_program, tmp_path, number):
    """However that ends; the remote by the end of its channels, well before the launcher would do anything."""
    remote = ("--grace", "600", *R0)
    with LaunchedMachine(main_program, tmp_path, remote, *GIVEN, status=None) as machine:
        add_controller(machine, tmp_path)
        machine.works(machine.lsi())
        os.kill(machine.emulator, number)
        assert machine.q.process.wait(30) == (-number if number == signal.SIGKILL else 0)
        err = machine.q.stderr()
    assert "mpqemu-launch:" not in err, err
    assert processes_with(str(tmp_path)) == {}


def test_unused_remote_ends_with_the_emulator(main_program, tmp_path):
    """It has never had a link, nor a command."""
    remote = ("--grace", "600", *R0)
    with launched(main_program, tmp_path, remote, *GIVEN) as machine:
        assert [title_of(pid) for pid in machine.remote_pids] == ["qemu-remote: web/r0"]
