# SPDX-License-Identifier: GPL-2.0-or-later
# Disks whose images are slow, or hang: aborts, removal, the end of the program.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""blkdebug's inject-delay makes the images slow.  A delay that can be cancelled is a host that is busy; one that cannot
(cancellable=off) is a host that hangs.  A limit on time below is always far from both: the delay is much longer, what
should be quick is much quicker."""

import signal
import time

import pytest

from block_rig import SECTOR, WAIT, Place, read10, write10
from qmp import QmpError

S = 10 ** 9                   # nanoseconds
SLOW = 64                     # the slow sector
LIMIT = 5                     # the program's own for the end of requests is 10 s
MESSAGE = "storage does not answer: requests to"


@pytest.fixture(params=["main", "remote"])
def start(request, main_program, remote_program, tmp_path):
    """Starts a program with the options given; kills it after the test if it still runs."""
    places = []
    program = {"main": main_program, "remote": remote_program}[request.param]

    def run(*options):
        places.append(Place(request.param, program, tmp_path, *options))
        return places[-1]

    yield run
    for place in places:
        process = process_of(place)
        if process.poll() is None:
            process.kill()
        process.wait()


def process_of(place):
    """The program under test."""
    return place.process or place.qtest.process


def messages(place, capfd):
    """What the program has said on standard error."""
    return place.qtest.stderr() if place.qtest else capfd.readouterr().err


def disk(tmp_path, number, *rules):
    """Options of the disk "hdN" at target N, on node "dN", with blkdebug's RULES below."""
    path = tmp_path / f"disk{number}.img"
    path.write_bytes(bytes([0x40 + number]) * SECTOR * 256)
    return ("-blockdev", f"driver=file,node-name=f{number},filename={path}",
            "-blockdev", ",".join([f"driver=blkdebug,node-name=d{number},image=f{number}", *rules]),
            "-device", f"scsi-hd,id=hd{number},drive=d{number},bus=lsi0.0,scsi-id={number}")


def slow(seconds, cancellable=True, event="read_aio"):
    """A rule: requests for sector SLOW take so long."""
    return (f"inject-delay.0.event={event},inject-delay.0.sector={SLOW},inject-delay.0.ns={int(seconds * S)},"
            f"inject-delay.0.cancellable={'on' if cancellable else 'off'}")


def reads(place, target, lba=0):
    """Sector LBA is read and right."""
    place.ready(target)
    assert place.scsi(read10(lba), data_len=SECTOR, target=target) == (0, bytes([0x40 + target]) * SECTOR)


def start_slow(place, target=0):
    """Starts a read of the slow sector, of which nothing is to be seen then."""
    place.ready(target)
    place.start(read10(SLOW), data_len=SECTOR, target=target)
    time.sleep(0.05)
    assert not place.is_done()


def quick(seconds, function, *args, **kwargs):
    """FUNCTION's value; it must not take SECONDS."""
    begin = time.monotonic()
    value = function(*args, **kwargs)
    assert time.monotonic() - begin < seconds
    return value


def try_again(function):
    """Calls FUNCTION until it does not fail any more; the text of its first error, or None."""
    first = None
    deadline = time.monotonic() + WAIT
    while True:
        try:
            function()
            return first
        except QmpError as error:
            first = first or error.desc
            assert time.monotonic() < deadline, error.desc
        time.sleep(0.05)


# -- the end of a link -----------------------------------------------------------------------------

@pytest.fixture(name="served")
def _served(remote_program, tmp_path):
    with Place("remote", remote_program, tmp_path, *disk(tmp_path, 0, slow(1, cancellable=False))) as place:
        yield place


def test_link_is_deleted_when_its_transfers_have_ended(served):
    """A read that the host does not give up: whoever is told that the link is gone may use its memory for something else."""
    start_slow(served)
    assert served.guest.read(0x30000, SECTOR) != b"\x40" * SECTOR
    begin = time.monotonic()
    quick(LIMIT, served.qmp.command, "object-del", id="r0")
    assert served.guest.read(0x30000, SECTOR) == b"\x40" * SECTOR or time.monotonic() - begin > 2
    served.qmp.command("quit")              # nobody else would end it


# -- aborts ----------------------------------------------------------------------------------------

def test_slow_read_ends_with_its_data(start, tmp_path):
    place = start(*disk(tmp_path, 0, slow(0.5)), *disk(tmp_path, 1))
    start_slow(place)
    assert place.qmp.command("query-status")["running"]
    assert place.finish() == 0
    assert place.guest.read(0x30000, SECTOR) == b"\x40" * SECTOR


@pytest.mark.parametrize("how", ["controller reset", "system_reset"])
def test_aborted_slow_io_is_over(start, tmp_path, how):
    """A minute's delay: what follows does not wait for it, neither on this disk nor on others."""
    place = start(*disk(tmp_path, 0, slow(60)), *disk(tmp_path, 1))
    start_slow(place)
    begin = time.monotonic()
    if how == "system_reset":
        place.qmp.command("system_reset")
        place.lsi.map_bars()
    place.reset_controller()
    reads(place, 1)
    reads(place, 0)
    assert time.monotonic() - begin < 30
    place.__exit__(None)


def test_command_waits_for_hung_write_that_was_aborted(start, tmp_path):
    """The order on the medium is the guest's: the old write comes to its end before the new one begins.

    A remote does not even answer before the guest's memory is free of it, or two seconds have passed.
    """
    place = start(*disk(tmp_path, 0, slow(1, cancellable=False, event="write_aio") + ",inject-delay.0.once=on"),
                  *disk(tmp_path, 1))
    place.ready()
    place.start(write10(SLOW), data=b"\x11" * SECTOR)
    time.sleep(0.05)
    begin = time.monotonic()
    place.reset_controller()
    reads(place, 1)
    place.ready()
    assert place.process or time.monotonic() - begin < 0.9, "nothing of this waits for the image"
    assert place.scsi(write10(SLOW), data=b"\x22" * SECTOR)[0] == 0
    assert time.monotonic() - begin > 0.5
    assert place.scsi(read10(SLOW), data_len=SECTOR) == (0, b"\x22" * SECTOR)
    place.__exit__(None)


# -- removal ---------------------------------------------------------------------------------------

def removed(place, number):
    """Removes a disk, which must be quick; the guest does not see it any more."""
    quick(LIMIT, place.qmp.command, "device_del", id=f"hd{number}")
    quick(LIMIT, place.qmp.wait_event, "DEVICE_DELETED", lambda event: event["data"].get("device") == f"hd{number}")


def test_removal_cancels_slow_io(start, tmp_path):
    place = start(*disk(tmp_path, 0, slow(60)), *disk(tmp_path, 1))
    start_slow(place)
    removed(place, 0)
    quick(LIMIT, place.qmp.command, "blockdev-del", **{"node-name": "d0"})
    place.reset_controller()
    reads(place, 1)
    place.__exit__(None)


def test_removal_of_hung_disk_holds_nobody(start, tmp_path):
    place = start(*disk(tmp_path, 0, slow(15, cancellable=False)), *disk(tmp_path, 1))
    start_slow(place)
    begin = time.monotonic()
    removed(place, 0)
    assert place.qmp.command("query-status")["running"]
    place.reset_controller()
    reads(place, 1)
    # The node is in use until the host has answered, and no other device gets it.
    with pytest.raises(QmpError, match="request that is under way"):
        place.qmp.command("blockdev-del", **{"node-name": "d0"})
    with pytest.raises(QmpError, match="removed device under way"):
        place.qmp.command("device_add", driver="scsi-hd", id="hd2", drive="d0", bus="lsi0.0", **{"scsi-id": 2})
    assert time.monotonic() - begin < 10
    process_of(place).kill()


def test_node_of_hung_disk_is_free_in_the_end(start, tmp_path):
    place = start(*disk(tmp_path, 0, slow(1, cancellable=False)), *disk(tmp_path, 1))
    start_slow(place)
    removed(place, 0)
    try_again(lambda: place.qmp.command("blockdev-del", **{"node-name": "d0"}))
    place.qmp.command("blockdev-del", **{"node-name": "f0"})
    place.__exit__(None)


def test_drive_of_hung_disk_is_deleted_at_once(start, tmp_path):
    """Its name is free at once, its image when the host has answered."""
    path = tmp_path / "slow.img"
    path.write_bytes(bytes(SECTOR * 256))
    rules = slow(2, cancellable=False).replace("inject", "file.inject")
    place = start("-drive", f"id=d0,if=none,format=raw,file.driver=blkdebug,file.image.filename={path},{rules}",
                  "-device", "scsi-hd,id=hd0,drive=d0,bus=lsi0.0,scsi-id=0", *disk(tmp_path, 1))
    start_slow(place)
    removed(place, 0)
    quick(LIMIT, place.qmp.command, "human-monitor-command", **{"command-line": "drive_del d0"})
    assert "d0" not in place.qmp.command("human-monitor-command", **{"command-line": "info block"}).replace("hd0", "")
    with open(path, "r+b") as file:     # a confined process opens no paths
        place.qmp.command("add-fd", _fds=[file.fileno()], **{"fdset-id": 7})

    def add():
        place.qmp.command("blockdev-add", driver="file", **{"node-name": "again", "filename": "/dev/fdset/7"})
        try:
            place.qmp.command("device_add", driver="scsi-hd", id="hd0", drive="again", bus="lsi0.0", **{"scsi-id": 0})
        except QmpError:
            place.qmp.command("blockdev-del", **{"node-name": "again"})
            raise

    assert "lock" in try_again(add)
    place.reset_controller()
    place.ready()
    assert place.scsi(read10(SLOW), data_len=SECTOR) == (0, bytes(SECTOR))
    place.__exit__(None)


def test_controller_with_hung_disk_is_removed(start, tmp_path):
    """With its disks; what the host still does is for nobody."""
    place = start(*disk(tmp_path, 0, slow(4, cancellable=False)), *disk(tmp_path, 1))
    start_slow(place)
    if place.process:
        place.qmp.command("object-del", id="r0")
    quick(LIMIT, place.qmp.command, "device_del", id="lsi0")
    quick(LIMIT, place.qmp.wait_event, "DEVICE_DELETED", lambda event: event["data"].get("device") == "lsi0")
    assert try_again(lambda: place.qmp.command("blockdev-del", **{"node-name": "d0"}))
    assert end(place, "quit")[0] == 0


# -- the end of the program ------------------------------------------------------------------------

def end(place, how):
    """Asks for the end; (exit status, seconds)."""
    begin = time.monotonic()
    if how == "quit":
        place.qmp.command("quit")
    else:
        process_of(place).send_signal(signal.SIGTERM)
    status = process_of(place).wait(60)
    return status, time.monotonic() - begin


@pytest.mark.parametrize("how", ["quit", "SIGTERM"])
def test_end_cancels_slow_io(start, tmp_path, how, capfd):
    place = start(*disk(tmp_path, 0, slow(60)), *disk(tmp_path, 1))
    start_slow(place)
    status, seconds = end(place, how)
    assert status == 0 and seconds < 9
    assert MESSAGE not in messages(place, capfd)


@pytest.mark.parametrize("how", ["quit", "SIGTERM"])
def test_end_waits_for_hung_write(start, tmp_path, how):
    """Storage that answers late loses nothing."""
    place = start(*disk(tmp_path, 0, slow(2, cancellable=False, event="write_aio")), *disk(tmp_path, 1))
    place.ready()
    place.start(write10(SLOW), data=b"\x77" * SECTOR)
    time.sleep(0.05)
    status, seconds = end(place, how)
    assert status == 0 and seconds > 1
    assert (tmp_path / "disk0.img").read_bytes()[SLOW * SECTOR:][:SECTOR] == b"\x77" * SECTOR


@pytest.mark.parametrize("how", ["quit", "SIGTERM"])
def test_end_gives_up_storage_that_hangs(start, tmp_path, how, capfd):
    place = start(*disk(tmp_path, 0, slow(300, cancellable=False)), *disk(tmp_path, 1))
    start_slow(place)
    status, seconds = end(place, how)
    assert status == 1 and 9 < seconds < 40
    assert f"{MESSAGE} 'd0' are given up" in messages(place, capfd)


def test_end_of_the_link_ends_a_process_with_slow_io(remote_program, tmp_path):
    place = Place("remote", remote_program, tmp_path, *disk(tmp_path, 0, slow(60)))
    start_slow(place)
    place.qmp.close()
    place.guest.close()
    assert place.process.wait(9) == 0
