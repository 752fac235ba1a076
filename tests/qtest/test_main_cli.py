# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu's command line: what each mistake gets.
# Runs in: neither program; drives mpqemu from outside.
"""Each refusal is one line that names option, value and remedy, with status 1 and nothing started."""

import os
import socket
import subprocess
import time

import pytest

from mpqemu_link import LinkServer, FakeDevice, socket_pair
from qtest import WAIT, Qtest

LSI = ("-device", "lsi53c895a,id=lsi0")


@pytest.fixture(name="image")
def _image(tmp_path):
    """Path of a raw image of 1 MiB."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


@pytest.fixture(name="refused")
def _refused(main_program):
    """Runs mpqemu; it must refuse the options with one line that has the words."""
    def check(args, words, fds=()):
        result = subprocess.run([main_program, "-accel", "qtest", *args], stdin=subprocess.DEVNULL, pass_fds=fds,
                                capture_output=True, text=True, timeout=WAIT, check=False)
        assert (result.returncode, result.stdout) == (1, ""), result.stderr
        assert result.stderr.startswith("mpqemu: ") and result.stderr.count("\n") == 1, result.stderr
        for word in words:
            assert word in result.stderr
    return check


def disk(path, name="d0", bus="lsi0.0", scsi_id=0, more=""):
    return ("-drive", f"id={name},file={path},format=raw,if=none{more}",
            "-device", f"scsi-hd,drive={name},bus={bus},scsi-id={scsi_id}")


@pytest.mark.parametrize("args, words", [
    (("-device", "nosuch"), ("-device", "'nosuch'", "-device help")),
    (("-device", "lsi53c895a,foo=1"), ("-device lsi53c895a", "foo", "help")),
    (("-device", "lsi53c895a,id=a7,foo=1"), ("-device lsi53c895a,id=a7", "foo")),
    (("-device", "pci-proxy-dev"), ("-device pci-proxy-dev", "'fd'", "give")),
    (("-device", "pci-proxy-dev,fd=0"), ("-device", "descriptor 0", "AF_UNIX stream socket")),
    (("-device", "pci-proxy-dev,fd=987"), ("-device", "987", "not open")),
    (("-device", "pci-proxy-dev,fd=link"), ("-device", "fd=link", "-add-fd")),
    (("-device", "pci-proxy-dev,fd=0,timeout=0"), ("-device", "timeout", "'0'", "from 1")),
    ((*LSI, "-device", "scsi-hd,bus=lsi7.0,drive=d0"), ("-device scsi-hd", "bus=lsi7.0", "no bus")),
    ((*LSI, "-device", "scsi-hd,bus=pci.0,drive=d0"), ("-device scsi-hd", "bus=pci.0", "SCSI bus")),
    ((*LSI, "-device", "scsi-hd,bus=lsi0.0,drive=nosuch"), ("drive", "nosuch", "-drive")),
    ((*LSI, *LSI), ("-device", "lsi0")),
    (("-device", "lsi53c895a,addr=5", "-device", "lsi53c895a,addr=5"), ("-device", "5.0", "another addr=")),
    (("-machine", "q35"), ("-machine q35", "-machine help")),
    (("-machine", "none", *LSI), ("-device lsi53c895a", "PCI")),
    (("-machine", "pc,memory-backend=m7"), ("memory-backend=m7", "-object")),
    (("-m", "lots"), ("-m lots", "give megabytes")),
    (("-m", "0"), ("-m 0", "give megabytes")),
    (("-m", "64", "-object", "memory-backend-memfd,id=m,size=32M", "-numa", "node,memdev=m"),
     ("-m 64M", "the same size")),
    (("-object", "memory-backend-memfd,id=m,size=1234567"), ("-object", "1234567", "page size")),
    (("-object", "memory-backend-memfd,id=m,size=16M,share=off"), ("-object", "share=off")),
    (("-accel", "hvf"), ("-accel hvf", "-accel help")),
    (("-qtest", "tcp::1"), ("-qtest tcp::1", "unix:PATH")),
    (("-qtest", "unix:/nosuch/socket"), ("-qtest unix:/nosuch/socket", "server=on")),
    (("-nosuch",), ("-nosuch", "-help")),
    (("-device",), ("-device",)),
    (("lsi53c895a",), ("lsi53c895a", "-help")),
    (("-trace", "nosuch_*"), ("-trace", "nosuch_*", "-trace help")),
], ids=lambda value: " ".join(value)[:60] if value[0].startswith("-") and " " not in value[0] else "")
def test_mistake_is_refused(refused, args, words):
    refused(args, words)


def test_images(refused, image, tmp_path):
    short, second = tmp_path / "short.img", tmp_path / "second.img"
    short.write_bytes(bytes(100))
    second.write_bytes(bytes(1 << 20))
    refused((*LSI, *disk(tmp_path / "nosuch.img")), ("-drive", "nosuch.img", "No such file", "correct the path"))
    refused((*LSI, *disk(tmp_path)), ("-drive", str(tmp_path), "directory", "give the path of an image"))
    refused((*LSI, *disk(short)), (str(short), "100 bytes", "larger"))
    refused((*LSI, "-drive", f"id=d0,file={image},if=none,format=qcow2"), ("-drive", "'qcow2'", "use one of"))
    refused((*LSI, *disk(image, scsi_id=3), *disk(second, "d1", scsi_id=3)), ("-device", "scsi-id=3", "choose"))
    refused((*LSI, *disk(image, scsi_id=7)), ("-device", "scsi-id=7"))


def test_busy_image(main_program, refused, image):
    with Qtest(main_program, [*LSI, *disk(image)]):
        refused((*LSI, *disk(image)), (image, "in use", "readonly=on"))
    # A refused start has not kept the lock: whoever comes next may have the image.
    refused((*LSI, *disk(image), "-device", "nosuch"), ("nosuch",))
    with Qtest(main_program, [*LSI, *disk(image)]) as qtest:
        assert qtest.stderr() == ""


def test_ram_that_is_not_shareable(refused, tmp_path):
    ours, theirs = socket_pair()
    with ours, LinkServer(theirs, FakeDevice()) as server:
        refused(("-object", f"memory-backend-file,id=m7,size=16M,mem-path={tmp_path}/ram,share=off",
                 "-machine", "pc,memory-backend=m7", "-device", f"pci-proxy-dev,id=p7,fd={ours.fileno()}"),
                ("-device pci-proxy-dev,id=p7", "'m7'", "share=on"), [ours.fileno()])
        assert server.log == []             # it has not been spoken to


def test_remote_that_is_gone(refused):
    ours, theirs = socket_pair()
    theirs.close()
    with ours:
        refused(("-device", f"pci-proxy-dev,id=p7,fd={ours.fileno()}"),
                ("-device pci-proxy-dev,id=p7", "peer closed", "look whether"), [ours.fileno()])


def test_refusal_starts_nothing(refused, tmp_path, image):
    """The last option is bad: no qtest socket waits, no lock is left, and the remote sees its link's end."""
    ours, theirs = socket_pair()
    path = tmp_path / "qtest.sock"
    server = LinkServer(theirs, FakeDevice())
    with server:
        refused(("-qtest", f"unix:{path},server=on", *LSI, *disk(image), "-device",
                 f"pci-proxy-dev,id=p7,fd={ours.fileno()}", "-device", "lsi53c895a,id=p7"), ("p7",), [ours.fileno()])
        ours.close()
        deadline = time.monotonic() + WAIT
        while server.error is None and time.monotonic() < deadline:
            time.sleep(0.01)
        # The server notices when it reads, or when it answers a reset.
        assert server.error in ("the end of the stream", "the peer has closed the link")
    assert not os.path.exists(path)
    with open(image, "r+b") as other:
        os.lockf(other.fileno(), os.F_TLOCK, 0)


def test_sockets_of_another_kind(refused):
    for sock in (socket.socket(socket.AF_INET), socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0],
                 socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0]):
        with sock:
            refused(("-device", f"pci-proxy-dev,fd={sock.fileno()}"), ("-device", "socket"), [sock.fileno()])
