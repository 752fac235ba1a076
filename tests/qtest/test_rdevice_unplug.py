# SPDX-License-Identifier: GPL-2.0-or-later
# Removal of a remote controller from a guest that listens to ACPI, and from one that does not answer.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""The test plays the guest's ACPI by its ports: hw/acpi/dsdt.asl says what an operating system does with them."""

import os
import signal

import pytest

from device_process import device_pid
from managed import Managed, image, wait_until

SLOT = 2
UP, DOWN, EJECT, OUTCOME = 0xae00, 0xae04, 0xae08, 0xae10
BUS_CHECK = 1                   # in UP
EJECT_REQUEST, DEVICE_IN_USE = 3, 0x81


@pytest.fixture
def machine(main_program, tmp_path):
    """A machine with process 0: lsi0 in slot 2, hd0; its guest has switched ACPI on and listens for hot-plug."""
    with Managed(main_program, tmp_path, "-rdevice", "lsi53c895a,rid=0,id=lsi0",
                 "-rdrive", f"rid=0,id=d0,file={image(tmp_path / 'disk')},format=raw",
                 "-rdevice", "scsi-hd,rid=0,id=hd0,drive=d0,bus=lsi0.0") as m:
        m.q.outb(0xb2, 0xf1)
        m.q.outw(0xafe2, 1 << 1)
        yield m


def is_there(m):
    return m.q.pci_read(SLOT, 0, 4) == 0x00121000


def events(m, name):
    """The data of those that have come by now."""
    m.qmp.command("query-status")
    return [event["data"] for event in m.qmp.events if event["event"] == name]


@pytest.mark.parametrize("command, arguments", [("rdevice_del", {"rid": "0", "id": "lsi0"}),
                                                ("device_del", {"id": "lsi0"})])
def test_guest_that_listens_is_asked_and_lets_go(machine, command, arguments):
    m = machine
    m.qmp.command(command, **arguments)
    assert m.q.inl(DOWN) == 1 << SLOT
    assert is_there(m) and not events(m, "DEVICE_DELETED")
    m.works(m.lsi())            # as long as it likes
    m.q.outl(EJECT, 1 << SLOT)
    m.wait_event("DEVICE_DELETED", device="lsi0")
    assert not is_there(m)
    wait_until(lambda: m.remotes()["0"]["devices"] == [], "the remote keeps the controller")
    assert m.q.inl(UP) == 0     # it knows


def test_request_may_be_repeated_and_then_forced(machine):
    m = machine
    for _ in range(2):
        m.qmp.command("rdevice_del", rid="0", id="lsi0")
        assert m.q.inl(DOWN) == 1 << SLOT
    m.qmp.command("rdevice_del", rid="0", id="lsi0", force=True)
    assert events(m, "DEVICE_DELETED") == [{"device": "lsi0", "path": "/machine/peripheral/lsi0"}]
    assert not is_there(m) and m.remotes()["0"]["devices"] == []
    assert m.q.inl(UP) & BUS_CHECK and m.q.inl(DOWN) == 0
    m.q.outl(EJECT, 1 << SLOT)  # too late
    m.qmp.command("query-status")


def test_controller_is_pulled_by_hmp_with_f(machine):
    assert machine.qmp.hmp("rdevice_del -f 0 lsi0") == ""
    assert not is_there(machine)


def test_guest_that_keeps_the_controller_is_told_of(machine):
    m = machine
    m.qmp.command("rdevice_del", rid="0", id="lsi0")
    m.q.outl(OUTCOME, SLOT | EJECT_REQUEST << 8 | DEVICE_IN_USE << 16)
    data = m.wait_event("DEVICE_UNPLUG_GUEST_ERROR")["data"]
    assert data == {"device": "lsi0", "path": "/machine/peripheral/lsi0"}
    assert is_there(m)
    m.works(m.lsi())
    m.qmp.command("rdevice_del", rid="0", id="lsi0")
    m.q.outl(EJECT, 1 << SLOT)
    m.wait_event("DEVICE_DELETED", device="lsi0")


def test_reset_completes_the_removal(machine):
    m = machine
    m.qmp.command("rdevice_del", rid="0", id="lsi0")
    m.qmp.command("system_reset")
    m.wait_event("DEVICE_DELETED", device="lsi0")
    assert not is_there(m)


def test_guest_is_not_asked_for_a_dead_controller(machine):
    m = machine
    os.kill(device_pid(m.remotes()["0"]["pid"]), signal.SIGKILL)
    m.wait_state("0", "dead")
    m.qmp.command("rdevice_del", rid="0", id="lsi0")
    assert events(m, "DEVICE_DELETED") == [{"device": "lsi0", "path": "/machine/peripheral/lsi0"}]
    assert m.q.inl(DOWN) == 0 and m.q.inl(UP) & BUS_CHECK


def test_process_that_dies_while_the_guest_is_asked_loses_nothing(machine):
    """The controller goes when the guest lets it go, alive or dead."""
    m = machine
    m.qmp.command("rdevice_del", rid="0", id="lsi0")
    os.kill(device_pid(m.remotes()["0"]["pid"]), signal.SIGKILL)
    m.wait_state("0", "dead")
    m.q.outl(EJECT, 1 << SLOT)
    m.wait_event("DEVICE_DELETED", device="lsi0")
    wait_until(lambda: m.remotes()["0"]["devices"] == [], "the controller is listed")


def test_disk_goes_without_asking(machine):
    machine.qmp.command("rdevice_del", rid="0", id="hd0")
    assert [device["id"] for device in machine.remotes()["0"]["devices"]] == ["lsi0"]
    assert machine.q.inl(DOWN) == 0


def test_guest_without_acpi_is_not_asked(machine):
    machine.q.outb(0xb2, 0xf0)
    machine.qmp.command("rdevice_del", rid="0", id="lsi0")
    assert not is_there(machine)
