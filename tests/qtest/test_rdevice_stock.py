# SPDX-License-Identifier: GPL-2.0-or-later
# Stock QEMU as a remote process that mpqemu manages: what it cannot do, and that this harms nobody.
# Runs in: neither program; drives mpqemu from outside, with stock QEMU in the place of qemu-remote.
"""-remote exec=qemu-system-x86_64.

Stock QEMU (7.2) cannot serve as one.  As a black box:

  - object-add of an x-remote-object at run time ends the process by SIGSEGV when a device with an id exists; before
    there is one, it prints "(null) is not a PCI device", succeeds, and the link is never served.  With --preconfig the
    same: no device can be made before.  So a link can only be given on its command line, beside its -device: that is
    how pci-proxy-dev fd= works with it (test_stock_remote.py).
  - It has no QMP command drive_add: a drive is blockdev-add there, without werror=, rerror= and cache=writethrough,
    which are properties of the device.  Nothing is translated, since no controller could be served that would use it.

What works is told below: it starts, answers, says its types, and every refusal comes back; its death is noticed, and
the machine and the other processes do not mind.
"""

import signal

import pytest

from managed import Holdings, Managed, QmpError, image, wait_same_holdings, wait_until


@pytest.fixture
def machine(main_program, stock_program, tmp_path):
    """Process r0 would be stock QEMU; r1 is ours, with a disk."""
    with Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={stock_program},timeout=20000,heartbeat-limit=20000",
                 "-rdrive", f"rid=r1,id=n0,file={image(tmp_path / 'neighbour', 0x77)},format=raw",
                 "-rdevice", "lsi53c895a,rid=r1,id=lsi1,addr=3",
                 "-rdevice", "scsi-hd,rid=r1,id=nhd,drive=n0,bus=lsi1.0") as m:
        lsi = m.lsi(3)
        m.works(lsi, 0x77)
        before = Holdings(m.pid)
        yield m
        m.wait_state("r0", "gone")
        assert m.q.pci_read(2, 0, 4) == 0xffffffff
        wait_same_holdings(m.pid, before)
        m.works(lsi, 0x77)


def test_a_controller_of_stock_qemu_is_refused_by_its_death(machine):
    for _ in range(2):
        with pytest.raises(QmpError, match="closed the connection|has ended"):
            machine.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi0", addr="2")
        data = machine.wait_event("REMOTE_STATE", id="r0", to="dead")["data"]
        assert data["from"] == "ready" and data.get("signal") in (None, signal.SIGSEGV)
        machine.wait_state("r0", "gone")


def test_a_drive_of_stock_qemu_is_refused_in_its_words(machine):
    with pytest.raises(QmpError, match="command drive_add has not been found") as error:
        machine.qmp.command("rdrive_add", rid="r0", id="d0", file=image(machine.directory / "disk"), format="raw")
    assert error.value.error_class == "CommandNotFound"


def test_wrong_drivers_and_properties_are_refused_in_its_words(machine):
    with pytest.raises(QmpError, match="no-such"):
        machine.qmp.command("rdevice_add", rid="r0", driver="no-such", id="x")
    with pytest.raises(QmpError, match="colour"):
        machine.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="x", colour="red")
    wait_until(lambda: machine.remotes()["r0"]["state"] == "gone", "the process is left")
