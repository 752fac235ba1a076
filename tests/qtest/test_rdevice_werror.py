# SPDX-License-Identifier: GPL-2.0-or-later
# Errors of a remote drive's image, and what werror= makes of them for the machine.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""werror=stop and enospc: the process with the disk meets the error, the machine stops, "cont" lets both go on.

The images are real: one lies in a file system that is full (a tmpfs in a mount namespace of its own; its descriptors
come out), or the process may not write beyond a size (RLIMIT_FSIZE).
"""

import os
import resource
import signal
import socket
import subprocess
import sys

import pytest

from lsi_driver import DONE
from managed import Managed, QmpError, wait_until

SPACE = 512 * 1024          # of the file system
SIZE = 4 << 20              # of the image
LBA = 4096                  # of a sector without space

# Makes the file system and gives away an image and the file that takes up the space; descriptor 0 is a socket.
MAKER = f"""
import os, socket, subprocess
subprocess.run(["mount", "-t", "tmpfs", "-o", "size={SPACE}", "none", "/mnt"], check=True)
image = os.open("/mnt/image", os.O_RDWR | os.O_CREAT)
filler = os.open("/mnt/filler", os.O_RDWR | os.O_CREAT)
os.ftruncate(image, {SIZE})
socket.send_fds(socket.socket(fileno=0), [b"x"], [image, filler])
"""


@pytest.fixture
def full():
    """(image, filler): descriptors of files in a full file system."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for options in ("-m", "-Urm"):
            made = subprocess.run(["unshare", options, sys.executable, "-c", MAKER], stdin=theirs, check=False,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
            if made:
                break
        else:
            pytest.skip("needs a mount namespace: root, or user namespaces")
        _, (image, filler), _, _ = socket.recv_fds(ours, 1, 2)
    fill(filler)
    yield image, filler
    os.close(image)
    os.close(filler)


def fill(filler):
    """Takes up all space."""
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError:
        pass


def add(machine, image, **options):
    """A disk on the image; its controller's driver."""
    machine.qmp.command("add-fd", _fds=[image], **{"fdset-id": 7})
    machine.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi0")
    machine.qmp.command("rdrive_add", rid="0", id="d0", file="/dev/fdset/7", format="raw", **options)
    machine.qmp.command("rdevice_add", rid="0", driver="scsi-hd", id="hd0", drive="d0", bus="lsi0.0")
    lsi = machine.lsi()
    for _ in range(4):      # past the unit attentions
        if machine.command(lsi, [0] * 6)[0] == 0:
            return lsi
        machine.command(lsi, [3, 0, 0, 0, 18, 0], data_len=18)
    raise AssertionError("the disk does not become ready")


def start_write(lsi, fill_byte, lba=LBA):
    lsi.start([0x2a, 0, *lba.to_bytes(4, "big"), 0, 0, 1, 0], bytes([fill_byte]) * 512, 0, 0)


def finish(machine, lsi):
    """The end of the command under way: its status."""
    machine.q.wait_irq(lsi.pin, "raise")
    assert lsi.acknowledge()[2] == DONE
    lsi.ioapic.end()
    machine.q.wait_irq(lsi.pin, "lower")
    return lsi.status()


def status(machine):
    return machine.qmp.command("query-status")["status"]


def wait_stopped(machine, nospace):
    data = machine.wait_event("BLOCK_IO_ERROR", rid="0")["data"]
    assert (data["device"], data["operation"], data["action"], data["nospace"]) == ("d0", "write", "stop", nospace)
    machine.qmp.wait_event("STOP")
    assert status(machine) == "io-error"


# For a test that sets limits of the device process, which a confined one allows nobody but a full root.
SETS_LIMITS = pytest.mark.parametrize("remote", [("-remote", "rid=0,sandbox=off")], ids=["off"])


@pytest.fixture
def remote():
    """Options of mpqemu for the process."""
    return ()


@pytest.fixture
def machine(main_program, tmp_path, remote):
    with Managed(main_program, tmp_path, *remote) as m:
        yield m


@pytest.mark.parametrize("options", [{}, {"werror": "stop"}], ids=["default", "stop"])
def test_a_full_file_system_stops_the_machine_and_cont_repeats_the_write(machine, full, options):
    image, filler = full
    lsi = add(machine, image, **options)
    start_write(lsi, 0xc3)
    wait_stopped(machine, True)
    machine.qmp.command("cont")             # there is still no space
    machine.qmp.wait_event("RESUME")
    machine.qmp.wait_event("STOP")
    assert status(machine) == "io-error"
    os.ftruncate(filler, 0)
    machine.qmp.command("cont")
    assert finish(machine, lsi) == 0
    assert status(machine) == "running"
    assert os.pread(image, 512, LBA * 512) == bytes([0xc3]) * 512


def test_a_full_file_system_is_the_guests_affair_with_report(machine, full):
    lsi = add(machine, full[0], werror="report")
    start_write(lsi, 0xc3)
    assert finish(machine, lsi) == 2
    data = machine.wait_event("BLOCK_IO_ERROR", rid="0")["data"]
    assert data["action"] == "report"
    assert status(machine) == "running"
    assert not [event for event in machine.qmp.events if event["event"] == "STOP"]


def limited(machine, size):
    pid = machine.remotes()["0"]["pid"]
    return resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def plain(tmp_path):
    with open(tmp_path / "image", "w+b") as stream:
        stream.truncate(SIZE)
        yield stream.fileno()


@SETS_LIMITS
def test_any_error_stops_with_stop_and_only_no_space_with_enospc(machine, plain):
    lsi = add(machine, plain, werror="enospc")
    limited(machine, LBA * 512)
    start_write(lsi, 1)
    assert finish(machine, lsi) == 2
    assert machine.wait_event("BLOCK_IO_ERROR", rid="0")["data"]["action"] == "report"
    assert status(machine) == "running"


@SETS_LIMITS
def test_an_error_that_is_gone_after_cont(machine, plain):
    lsi = add(machine, plain, werror="stop")
    limited(machine, LBA * 512)
    start_write(lsi, 0x99)
    wait_stopped(machine, False)
    limited(machine, resource.RLIM_INFINITY)
    machine.qmp.command("cont")
    assert finish(machine, lsi) == 0
    assert os.pread(plain, 512, LBA * 512) == bytes([0x99]) * 512


@SETS_LIMITS
def test_a_remote_that_dies_while_the_machine_stands(machine, plain):
    """The machine goes on by "cont", with a restarted process, which knows nothing of the request."""
    lsi = add(machine, plain, werror="stop")
    limited(machine, LBA * 512)
    start_write(lsi, 1)
    wait_stopped(machine, False)
    os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
    machine.wait_state("0", "dead")
    assert status(machine) == "io-error"
    machine.qmp.command("remote_restart", rid="0")
    assert status(machine) == "io-error", "a restart is no cont"
    machine.qmp.command("cont")
    assert status(machine) == "running"
    lsi.start_up()
    assert machine.read_sector(lsi) == bytes(512)


@SETS_LIMITS
def test_a_disk_can_be_removed_while_its_request_waits(machine, plain):
    lsi = add(machine, plain, werror="stop")
    limited(machine, LBA * 512)
    start_write(lsi, 1)
    wait_stopped(machine, False)
    machine.qmp.command("rdevice_del", rid="0", id="lsi0")
    machine.qmp.command("rdrive_del", rid="0", id="d0")
    wait_until(lambda: machine.remotes()["0"]["state"] == "gone", "the process is left")
    machine.qmp.command("cont")
    assert status(machine) == "running"


@SETS_LIMITS
def test_the_program_ends_while_a_request_waits(main_program, tmp_path, remote, plain):
    with Managed(main_program, tmp_path, *remote) as m:
        lsi = add(m, plain, werror="stop")
        limited(m, LBA * 512)
        start_write(lsi, 1)
        wait_stopped(m, False)


def test_wrong_words_for_werror_are_the_remotes_refusal(machine, plain):
    machine.qmp.command("add-fd", _fds=[plain], **{"fdset-id": 7})
    with pytest.raises(QmpError, match="'werror' does not accept 'explode'"):
        machine.qmp.command("rdrive_add", rid="0", id="d0", file="/dev/fdset/7", werror="explode")
    wait_until(lambda: not machine.remotes(), "the process is left")
