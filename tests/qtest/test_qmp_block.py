# SPDX-License-Identifier: GPL-2.0-or-later
# QMP's commands and events of block devices, with a guest's driver at the other end of the disks.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Each command's success and each of its errors, in both programs; shapes are compared with stock QEMU's."""

import os
import subprocess

import pytest

from block_rig import SECTOR, WAIT, Place, read10, until, write10
from device_process import held
from lsi_driver import ISTAT0, ISTAT_SIP, SIST0
from qmp import Qmp
from qmp_program import fails

KIB = 1024
MIB = 1 << 20
SIST0_UDC = 0x04              # unexpected disconnect
PATTERN = bytes(range(256)) * 2


# For a test whose qemu-remote opens files while it runs.
OPENS_FILES = pytest.mark.parametrize("sandbox", [("-sandbox", "off")], ids=["off"])


@pytest.fixture
def sandbox():
    """Options of qemu-remote alone."""
    return ()


@pytest.fixture(params=["main", "remote"])
def start(request, main_program, remote_program, tmp_path, sandbox):
    """Starts a program with the options given; ends it after the test."""
    places = []
    program = {"main": main_program, "remote": remote_program}[request.param]

    def run(*options):
        places.append(Place(request.param, program, tmp_path, *(sandbox if request.param == "remote" else ()),
                            *options))
        return places[-1]

    yield run
    for place in places:
        place.__exit__(None)


@pytest.fixture
def image(tmp_path):
    """A disk of 1 MiB."""
    path = tmp_path / "disk.img"
    path.write_bytes(b"")
    os.truncate(path, MIB)
    return str(path)


def hd(path, *options, more=""):
    """Options of a disk "disk0" (target 0) with drive "d0"."""
    return ("-drive", f"id=d0,if=none,format=raw,file={path}{more}",
            "-device", ",".join(("scsi-hd,id=disk0,drive=d0,bus=lsi0.0,scsi-id=0", *options)))


def cd(path):
    """Options of a CD drive "cd0" (target 2) with drive "c0"."""
    return ("-drive", f"id=c0,if=none,format=raw,media=cdrom,file={path}",
            "-device", "scsi-cd,id=cd0,drive=c0,bus=lsi0.0,scsi-id=2")


def block(qmp, **match):
    """The element of query-block with these members."""
    found = [e for e in qmp.command("query-block") if all(e.get(k) == v for k, v in match.items())]
    assert len(found) == 1
    return found[0]


def stats(qmp, device):
    found = [e for e in qmp.command("query-blockstats") if e["device"] == device]
    assert len(found) == 1
    return found[0]["stats"]


# -- making and removing -----------------------------------------------------------------------

@OPENS_FILES
def test_blockdev_add_and_del(start, image):
    qmp = start().qmp
    node = {"driver": "raw", "node-name": "n0", "read-only": True,
            "file": {"driver": "file", "filename": image, "cache": {"direct": False}}}
    for _ in range(3):
        assert qmp.command("blockdev-add", **node) == {}
        assert fails(qmp, "blockdev-add", **node)[0] == "GenericError"
        assert qmp.command("blockdev-del", **{"node-name": "n0"}) == {}
    kind, text = fails(qmp, "blockdev-del", **{"node-name": "n0"})
    assert kind == "GenericError" and "n0" in text


@OPENS_FILES
@pytest.mark.parametrize("options, words", [
    ({"driver": "file", "filename": "IMAGE"}, ["node-name"]),
    ({"driver": "nope", "node-name": "x"}, ["driver", "nope"]),
    ({"driver": "file", "node-name": "x"}, ["filename"]),
    ({"driver": "file", "node-name": "x", "filename": "/nope"}, ["/nope", "No such file"]),
    ({"driver": "file", "node-name": "x", "filename": "IMAGE", "foo": 1}, ["foo", "unexpected"]),
    ({"driver": "file", "node-name": "9x", "filename": "IMAGE"}, ["9x"]),
    ({"driver": "raw", "node-name": "x", "file": "nope"}, ["nope"]),
    ({"driver": "raw", "node-name": "x", "offset": 1, "file": {"driver": "file", "filename": "IMAGE"}},
     ["offset", "512"]),
    ({"driver": "null-co", "node-name": "d0"}, ["d0", "in use"]),
])
def test_blockdev_add_errors(start, image, tmp_path, options, words):
    other = tmp_path / "other.img"
    other.write_bytes(bytes(MIB))
    qmp = start(*hd(image)).qmp
    text = repr(options).replace("IMAGE", str(other))
    kind, desc = fails(qmp, "blockdev-add", **eval(text))  # pylint: disable=eval-used
    assert kind == "GenericError"
    assert all(word in desc for word in words), desc
    # Nothing is left of it.
    qmp.command("blockdev-add", **{"driver": "file", "node-name": "x", "filename": str(other)})


def test_nodes_and_drives_in_use_are_kept(start, image):
    qmp = start("-blockdev", f"driver=file,node-name=f0,filename={image}",
                "-blockdev", "driver=raw,node-name=r0,file=f0",
                "-device", "scsi-hd,id=disk0,drive=r0,bus=lsi0.0",
                "-drive", "id=d1,if=none,file=null-co://,node-name=n1",
                "-device", "scsi-hd,id=disk1,drive=d1,bus=lsi0.0").qmp
    for name, words in (("f0", ["r0"]), ("r0", ["disk0"]), ("n1", ["blockdev-add"])):
        kind, text = fails(qmp, "blockdev-del", **{"node-name": name})
        assert kind == "GenericError" and all(word in text for word in [name, *words]), text
    kind, text = fails(qmp, "drive_del", id="d1")
    assert kind == "GenericError" and "disk1" in text
    assert fails(qmp, "drive_del", id="r0")[0] == "DeviceNotFound"


@OPENS_FILES
def test_drive_add_and_del(start, image):
    qmp = start().qmp
    for _ in range(3):
        qmp.command("drive_add", id="d5", file=image, format="raw", **{"if": "none"}, werror="stop")
        element = block(qmp, device="d5")
        assert element["inserted"]["file"] == image and "qdev" not in element
        kind, text = fails(qmp, "drive_add", id="d5", file=image, format="raw")
        assert kind == "GenericError" and "d5" in text
        qmp.command("drive_del", id="d5")
    assert fails(qmp, "drive_del", id="d5") == ("DeviceNotFound", "Device 'd5' not found")
    for options, words in (({"file": "/nope"}, ["file=/nope"]), ({"file": image, "nope": 1}, ["nope"]),
                           ({"file": image, "format": "qcow2"}, ["qcow2"]), ({"if": "ide"}, ["ide"])):
        kind, text = fails(qmp, "drive_add", id="x", **options)
        assert kind == "GenericError" and all(word in text for word in words), text
    assert qmp.command("query-block") == []


@OPENS_FILES
def test_images_come_and_go_without_a_trace(start, image):
    place = start()

    def come_and_go(times):
        for _ in range(times):
            place.qmp.command("blockdev-add", **{"driver": "file", "node-name": "f", "filename": image})
            place.qmp.command("blockdev-add", **{"driver": "raw", "node-name": "r", "file": "f"})
            place.qmp.command("blockdev-del", **{"node-name": "r"})
            place.qmp.command("blockdev-del", **{"node-name": "f"})
        until(lambda: image not in held(place.pid).values())

    come_and_go(1)
    before = len(held(place.pid))
    come_and_go(200)
    assert len(held(place.pid)) == before


@OPENS_FILES
def test_disks_come_and_go_a_thousand_times(start, image):
    """A node, a device on it, and away with both: nothing leaks, and the names serve again."""
    place = start()
    qmp = place.qmp

    def come_and_go(times):
        for _ in range(times):
            qmp.command("blockdev-add", **{"driver": "raw", "node-name": "n",
                                           "file": {"driver": "file", "filename": image}})
            qmp.command("device_add", driver="scsi-hd", id="disk0", drive="n", bus="lsi0.0", **{"scsi-id": 0})
            assert "disk0" in fails(qmp, "blockdev-del", **{"node-name": "n"})[1]
            qmp.command("device_del", id="disk0")
            qmp.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "disk0")
            qmp.command("blockdev-del", **{"node-name": "n"})
        until(lambda: image not in held(place.pid).values())

    def memory():
        with open(f"/proc/{place.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[5]) * 4096  # data and stack

    come_and_go(50)
    before = len(held(place.pid)), memory()
    come_and_go(1000)
    assert len(held(place.pid)) == before[0]
    assert "asan" in os.environ.get("MPQEMU_BUILD", "") or memory() - before[1] < MIB
    assert qmp.command("query-block") == []


def test_drive_serves_the_next_device(start, image):
    place = start(*hd(image))
    place.ready()
    assert place.scsi(write10(0), data=PATTERN)[0] == 0
    for _ in range(3):
        place.qmp.command("device_del", id="disk0")
        assert "qdev" not in block(place.qmp, device="d0")
        place.qmp.command("device_add", driver="scsi-hd", id="disk0", drive="d0", bus="lsi0.0", **{"scsi-id": 0})
        place.ready()
        assert place.scsi(read10(0), data_len=SECTOR) == (0, PATTERN)
    place.qmp.command("device_del", id="disk0")
    place.qmp.command("drive_del", id="d0")


# -- resizing ----------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [
    {"device": "d0"}, {"node-name": "n0"}, {"device": "disk0"}, {"device": "/machine/peripheral/disk0"},
])
def test_resize_is_seen_by_the_guest(start, image, name):
    place = start(*hd(image, more=",node-name=n0"))
    place.ready()
    assert place.capacity() == MIB
    for size in (2 * MIB, 64 * KIB, MIB + SECTOR):
        assert place.qmp.command("block_resize", size=size, **name) == {}
        assert os.path.getsize(image) == size
        place.expect_sense([0] * 6, (6, 0x2a, 0x09))
        assert place.capacity() == size
        assert block(place.qmp, device="d0")["inserted"]["image"]["virtual-size"] == size
    last = (MIB + SECTOR) // SECTOR - 1
    assert place.scsi(write10(last), data=PATTERN)[0] == 0
    assert place.scsi(read10(last), data_len=SECTOR) == (0, PATTERN)
    place.expect_sense(read10(last + 1), (5, 0x21, 0), data_len=SECTOR)
    # What is the case already changes nothing.
    place.qmp.command("block_resize", size=MIB + SECTOR, **name)
    assert place.scsi([0] * 6)[0] == 0


def test_resize_by_somebody_else_is_picked_up(start, image):
    place = start(*hd(image))
    place.ready()
    os.truncate(image, 3 * MIB)
    assert place.capacity() == MIB
    place.qmp.command("block_resize", device="d0", size=3 * MIB)
    place.expect_sense([0] * 6, (6, 0x2a, 0x09))
    assert place.capacity() == 3 * MIB


def test_image_below_one_block(start, image):
    place = start(*hd(image, "logical_block_size=4096,physical_block_size=4096"))
    place.ready()
    place.qmp.command("block_resize", device="d0", size=SECTOR)
    place.expect_sense([0] * 6, (6, 0x2a, 0x09))
    place.expect_sense([0] * 6, (2, 0x30, 0))
    place.expect_sense(read10(0), (2, 0x30, 0), data_len=4096)
    place.qmp.command("block_resize", device="d0", size=0)
    place.qmp.command("block_resize", device="d0", size=8192)
    place.ready()
    assert place.capacity() == 8192


def test_resize_errors(start, image):
    qmp = start(*hd(image), "-drive", "id=e0,if=none",
                "-drive", f"id=ro,if=none,format=raw,readonly=on,file={__file__}",
                "-blockdev", "driver=null-co,node-name=null").qmp
    not_found = "Cannot find device='{}' nor node-name='{}'"
    assert fails(qmp, "block_resize", size=SECTOR) == ("GenericError", not_found.format("", ""))
    assert fails(qmp, "block_resize", device="no", size=SECTOR) == ("GenericError", not_found.format("no", ""))
    assert fails(qmp, "block_resize", size=SECTOR, **{"node-name": "no"}) == \
        ("GenericError", not_found.format("", "no"))
    assert fails(qmp, "block_resize", device="d0", size=-1) == ("GenericError", "Parameter 'size' expects a >0 size")
    for name, size, word in (("d0", 1000, "512"), ("e0", SECTOR, "medium"), ("ro", SECTOR, "read-only"),
                             ("d0", (1 << 63) - SECTOR, "File too large")):
        kind, text = fails(qmp, "block_resize", device=name, size=size)
        assert kind == "GenericError" and word in text, text
    assert "null" in fails(qmp, "block_resize", size=SECTOR, **{"node-name": "null"})[1]
    assert fails(qmp, "block_resize", device="d0")[1] == "Parameter 'size' is missing"
    assert os.path.getsize(image) == MIB


# -- errors of the image -----------------------------------------------------------------------

def failing(path, event, *rules, errno=5, policy="", sector=None, once=True):
    """Options of a disk whose image gives errors."""
    rule = {"event": event, "errno": errno, "once": once}
    if sector is not None:
        rule["sector"] = sector
    words = [f"inject-error.0.{k}={str(v).lower() if not isinstance(v, bool) else 'on' if v else 'off'}"
             for k, v in rule.items()]
    return ("-blockdev", f"driver=file,node-name=f0,filename={path}",
            "-blockdev", ",".join(["driver=blkdebug,node-name=b0,image=f0", *words, *rules]),
            "-device", f"scsi-hd,id=disk0,drive=b0,bus=lsi0.0,scsi-id=0{policy}")


@pytest.mark.parametrize("event, errno, policy, operation, reason", [
    ("write_aio", 5, ",werror=stop", "write", "Input/output error"),
    ("write_aio", 28, "", "write", "No space left on device"),
    ("read_aio", 5, ",rerror=stop", "read", "Input/output error"),
])
def test_stopped_request_waits_for_cont(start, image, event, errno, policy, operation, reason):
    place = start(*failing(image, event, errno=errno, policy=policy))
    qmp = place.qmp
    place.ready()
    assert block(qmp, qdev="disk0")["io-status"] == "ok"
    if operation == "write":
        place.start(write10(5), data=PATTERN)
    else:
        place.start(read10(5), data_len=SECTOR)
    data = qmp.wait_event("BLOCK_IO_ERROR")["data"]
    assert data == {"device": "", "node-name": "b0", "operation": operation, "action": "stop",
                    "nospace": errno == 28, "reason": reason}
    qmp.wait_event("STOP")
    assert qmp.command("query-status") == {"running": False, "singlestep": False, "status": "io-error"}
    assert block(qmp, qdev="disk0")["io-status"] == ("nospace" if errno == 28 else "failed")
    assert not place.is_done()
    qmp.command("cont")
    assert place.finish() == 0
    assert qmp.command("query-status")["status"] == "running"
    assert block(qmp, qdev="disk0")["io-status"] == "ok"
    if operation == "write":
        with open(image, "rb") as stream:
            stream.seek(5 * SECTOR)
            assert stream.read(SECTOR) == PATTERN


def test_request_that_fails_again_stops_again(start, image):
    place = start(*failing(image, "write_aio", policy=",werror=stop", once=False, sector=5))
    place.ready()
    place.start(write10(5), data=PATTERN)
    for _ in range(5):
        assert place.qmp.wait_event("BLOCK_IO_ERROR")["data"]["action"] == "stop"
        place.qmp.wait_event("STOP")
        assert not place.is_done()
        place.qmp.command("cont")
    place.qmp.wait_event("STOP")
    # The guest gives up, and the disk is as before.
    place.reset_controller()
    place.qmp.command("cont")
    place.ready()
    assert place.scsi(write10(6), data=PATTERN)[0] == 0


def test_disk_is_unplugged_while_its_request_waits(start, image):
    place = start(*failing(image, "write_aio", policy=",werror=stop", once=False))
    place.ready()
    place.start(write10(5), data=PATTERN)
    place.qmp.wait_event("STOP")
    assert not place.is_done()
    assert "disk0" in fails(place.qmp, "blockdev-del", **{"node-name": "b0"})[1]
    place.qmp.command("device_del", id="disk0")
    for name in ("b0", "f0"):
        place.qmp.command("blockdev-del", **{"node-name": name})
    # The target that was on the bus has left it.
    until(lambda: place.lsi.readb(ISTAT0) & ISTAT_SIP)
    assert place.lsi.readb(SIST0) == SIST0_UDC
    place.qmp.command("cont")
    assert place.qmp.command("query-status")["status"] == "running"
    with open(image, "rb") as stream:
        stream.seek(5 * SECTOR)
        assert stream.read(SECTOR) == bytes(SECTOR)


def test_machine_is_reset_while_a_request_waits(start, image):
    place = start(*failing(image, "write_aio", policy=",werror=stop"))
    place.ready()
    place.start(write10(5), data=PATTERN)
    place.qmp.wait_event("STOP")
    place.qmp.command("system_reset")
    place.qmp.command("cont")
    place.lsi.map_bars()
    place.lsi.start_up()
    place.ready()
    assert place.scsi(write10(5), data=PATTERN)[0] == 0


def test_reported_errors_do_not_flood_the_monitor(start, image):
    place = start(*failing(image, "write_aio", policy=",werror=report", once=False))
    place.ready()
    for _ in range(50):
        assert place.scsi(write10(0), data=PATTERN)[0] == 2
        assert place.sense() == (3, 0x0c, 0)
    assert place.qmp.command("query-status")["status"] == "running"
    assert place.qmp.wait_event("BLOCK_IO_ERROR")["data"]["action"] == "report"
    counted = stats(place.qmp, "")
    assert counted["failed_wr_operations"] == 50 and counted["wr_operations"] == 0
    # 50 errors in far less than 25 s.
    assert len([e for e in place.qmp.events if e["event"] == "BLOCK_IO_ERROR"]) < 25


def test_ignored_error(start, image):
    place = start(*failing(image, "write_aio", policy=",werror=ignore"))
    place.ready()
    assert place.scsi(write10(0), data=PATTERN)[0] == 0
    assert place.qmp.wait_event("BLOCK_IO_ERROR")["data"]["action"] == "ignore"
    assert "io-status" not in block(place.qmp, qdev="disk0")


# -- eject -------------------------------------------------------------------------------------

def test_eject(start, image):
    place = start(*cd(image))
    qmp = place.qmp
    place.ready(2)
    assert place.capacity(2) == MIB
    element = block(qmp, device="c0")
    assert element["removable"] and not element["tray_open"] and element["inserted"]["ro"]
    qmp.command("eject", id="cd0")
    assert qmp.wait_event("DEVICE_TRAY_MOVED")["data"] == {"device": "c0", "id": "cd0", "tray-open": True}
    element = block(qmp, device="c0")
    assert element["tray_open"] and "inserted" not in element
    place.expect_sense([0] * 6, (2, 0x3a, 0x02), target=2)
    qmp.command("eject", device="c0")
    # The guest closes it: empty.
    assert place.scsi([0x1b, 0, 0, 0, 3, 0], target=2)[0] == 0
    assert not qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"]
    place.expect_sense([0] * 6, (2, 0x3a, 0x01), target=2)


def test_eject_of_a_locked_medium(start, image):
    place = start(*cd(image))
    qmp = place.qmp
    place.ready(2)
    assert place.scsi([0x1e, 0, 0, 0, 1, 0], target=2)[0] == 0
    assert block(qmp, device="c0")["locked"]
    text = "Device '{}' is locked and force was not specified, wait for tray to open and try again"
    assert fails(qmp, "eject", device="c0") == ("GenericError", text.format("c0"))
    # The guest hears of it, once.
    for event in (1, 0):
        status, data = place.scsi([0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8, 0], data_len=8, target=2)
        assert status == 0 and data[4] & 0xf == event
    assert place.capacity(2) == MIB
    # It lets go and opens the tray; the user takes the medium.
    assert place.scsi([0x1e, 0, 0, 0, 0, 0], target=2)[0] == 0
    assert place.scsi([0x1b, 0, 0, 0, 2, 0], target=2)[0] == 0
    assert qmp.wait_event("DEVICE_TRAY_MOVED")["data"]["tray-open"]
    assert "inserted" in block(qmp, device="c0")
    qmp.command("eject", device="c0")
    assert "inserted" not in block(qmp, device="c0")


def test_eject_by_force(start, image):
    place = start(*cd(image))
    place.ready(2)
    assert place.scsi([0x1e, 0, 0, 0, 1, 0], target=2)[0] == 0
    place.qmp.command("eject", device="c0", force=True)
    assert "inserted" not in block(place.qmp, device="c0")
    place.expect_sense([0] * 6, (2, 0x3a, 0x02), target=2)


def test_eject_errors(start, image):
    qmp = start(*hd(image)).qmp
    one_of = ("GenericError", "Need exactly one of 'device' and 'id'")
    assert fails(qmp, "eject") == one_of
    assert fails(qmp, "eject", device="d0", id="disk0") == one_of
    assert fails(qmp, "eject", device="no") == ("DeviceNotFound", "Device 'no' not found")
    assert fails(qmp, "eject", id="no") == ("DeviceNotFound", "Device 'no' not found")
    for name in ({"device": "d0"}, {"id": "disk0"}, {"id": "/machine/peripheral/disk0"}):
        kind, text = fails(qmp, "eject", force=True, **name)
        assert kind == "GenericError" and "is not removable" in text


# -- counters ----------------------------------------------------------------------------------

def test_counters_are_what_the_driver_did(start, image):
    place = start(*hd(image, more=",discard=unmap"))
    place.ready()
    before = stats(place.qmp, "d0")
    assert (before["rd_operations"], before["wr_operations"], before["wr_highest_offset"]) == (0, 0, 0)
    for lba in range(7):
        assert place.scsi(read10(lba, 2), data_len=2 * SECTOR)[0] == 0
    for lba in (100, 3):
        assert place.scsi(write10(lba), data=PATTERN)[0] == 0
    for _ in range(3):
        assert place.scsi([0x35] + [0] * 9)[0] == 0
    unmap = bytes([0, 22, 0, 16, 0, 0, 0, 0]) + (8).to_bytes(8, "big") + (16).to_bytes(4, "big") + bytes(4)
    assert place.scsi([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], data=unmap)[0] == 0
    after = stats(place.qmp, "d0")
    expected = {"rd_operations": 7, "rd_bytes": 7 * 2 * SECTOR, "wr_operations": 2, "wr_bytes": 2 * SECTOR,
                "flush_operations": 3, "unmap_operations": 1, "unmap_bytes": 16 * SECTOR,
                "wr_highest_offset": 101 * SECTOR}
    assert {name: after[name] for name in expected} == expected
    assert all(after[name] == 0 for name in after if name.startswith(("failed", "invalid")))
    assert all(after[f"{name}_total_time_ns"] > 0 for name in ("rd", "wr", "flush", "unmap"))
    assert after["idle_time_ns"] >= 0
    nodes = place.qmp.command("query-blockstats", **{"query-nodes": True})
    assert [n["stats"]["wr_highest_offset"] for n in nodes] == [101 * SECTOR, 0]
    assert nodes[1]["parent"]["node-name"] == nodes[0]["node-name"]


# -- shapes ------------------------------------------------------------------------------------

def shape(value):
    """Member names and types of an answer; what only some drivers have is left out."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items() if name not in ("driver-specific", "dirty-flag")}
    if isinstance(value, list):
        return [shape(element) for element in value]
    return type(value).__name__


def test_shapes_are_stocks(start, stock_program, image, tmp_path):
    """query-block and query-blockstats of a free drive, a disk, nodes with a device, an empty CD drive."""
    paths = [str(tmp_path / f"{i}.img") for i in range(3)]
    for path in paths:
        with open(path, "wb") as stream:
            stream.truncate(MIB)
    options = ["-drive", f"if=none,id=free,file={paths[0]},format=raw",
               "-drive", f"if=none,id=d1,file={paths[1]},format=raw,werror=report",
               "-device", "scsi-hd,drive=d1,id=disk1,bus=lsi0.0",
               "-drive", "if=none,id=e0,media=cdrom", "-device", "scsi-cd,drive=e0,id=cd0,bus=lsi0.0",
               "-blockdev", f"driver=file,node-name=f0,filename={paths[2]}",
               "-blockdev", "driver=raw,node-name=r0,file=f0", "-device", "scsi-hd,drive=r0,id=disk2,bus=lsi0.0"]
    qmp = start(*options).qmp
    ours = [qmp.command(name, **args) for name, args in QUERIES]
    sock = str(tmp_path / "stock.sock")
    for path in paths:
        os.rename(path, path + ".ours")
        with open(path, "wb") as stream:
            stream.truncate(MIB)
    stock = subprocess.Popen(
        [stock_program, "-nodefaults", "-display", "none", "-accel", "tcg", "-S",
         "-device", "lsi53c895a,id=lsi0", *options, "-qmp", f"unix:{sock},server=on,wait=off"],
         stdin=subprocess.DEVNULL)
    try:
        until(lambda: os.path.exists(sock))
        client = Qmp.connect(sock, check=False).negotiate()
        theirs = [client.command(name, **args) for name, args in QUERIES]
        client.command("quit")
        client.close()
    finally:
        if stock.poll() is None:
            try:
                stock.wait(WAIT)
            except subprocess.TimeoutExpired:
                stock.kill()
                stock.wait()
    for our, their, (name, _) in zip(ours, theirs, QUERIES):
        assert shape(our) == shape(their), name
    for our, their in zip(ours[0], theirs[0]):
        for member in ("device", "qdev", "removable", "locked", "type", "tray_open", "io-status"):
            assert our.get(member) == their.get(member), (our, their)


QUERIES = (("query-block", {}), ("query-blockstats", {}))
