# SPDX-License-Identifier: GPL-2.0-or-later
# qemu-remote's command line: what a stock launcher may say, what each mistake gets, when the process ends.
# Runs in: neither program; drives qemu-remote from outside.
"""Each refusal must be one line that names option, value and remedy, with status 1 and nothing started."""

import json
import os
import signal
import socket

import pytest

from mpqemu_link import PCI_CFGREAD, pack_conf
from qmp import Qmp
from remote_process import LSI_IDS, WAIT, Link, Remote, run, serve

STOCK_WORDS = ("-machine", "x-remote", "-nodefaults", "-display", "none")
LSI = ("-device", "lsi53c895a,id=lsi0")


@pytest.fixture
def image(tmp_path):
    """Path of a raw image of 1 MiB."""
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(1 << 20))
    return str(path)


def disk(path, name="d0", bus="lsi0.0", scsi_id=0, more=""):
    """Options of one disk as stock's documentation writes them."""
    return ("-drive", f"id={name},file={path},format=raw,if=none{more}",
            "-device", f"scsi-hd,drive={name},bus={bus},scsi-id={scsi_id}")


def assert_refused(result, *words):
    status, out, err = result
    assert status == 1, err
    assert out == ""
    assert err.startswith("qemu-remote: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


# ------------------------------------------------------------------------------------------ mistakes

@pytest.mark.parametrize("args, words", [
    (("-device", "nosuch"), ("-device", "'nosuch'", "help")),
    (("-device", "lsi53c895a,foo=1"), ("-device", "lsi53c895a", "foo")),
    (("-device", "lsi53c895a,id=0bad"), ("-device", "0bad")),
    (("-device", "lsi53c895a,bus=nosuch"), ("-device", "bus", "nosuch")),
    (("-device", "lsi53c895a,addr=99"), ("-device", "addr", "99")),
    (("-device", "lsi53c895a,addr=5", "-device", "lsi53c895a,addr=5"), ("-device", "5")),
    ((*LSI, *LSI), ("-device", "lsi0")),
    (("-device", "scsi-hd"), ("-device", "scsi-hd")),
    ((*LSI, "-device", "scsi-hd,bus=lsi0.0,drive=nosuch"), ("-device", "drive", "nosuch")),
    ((*LSI, "-device", "scsi-hd,bus=lsi0.0"), ("-device", "drive")),
    (("-device", '{"driver": "lsi53c895a", '), ("-device",)),
    (("-device", '{"driver": "nosuch"}'), ("-device", "nosuch")),
    (("-object", "nosuch,id=o0"), ("-object", "nosuch")),
    (("-object", "memory-backend-memfd,id=m0,size=lots"), ("-object", "size", "lots")),
    ((*LSI, "-object", "x-remote-object,id=r0,devid=lsi0"), ("-object", "fd")),
    ((*LSI, "-object", "x-remote-object,id=r0,fd=0"), ("-object", "devid")),
    ((*LSI, "-object", "x-remote-object,id=r0,devid=lsi0,fd=987"), ("-object", "987", "open")),
    ((*LSI, "-object", "x-remote-object,id=r0,devid=lsi0,fd=link"), ("-object", "link", "number")),
    ((*LSI, "-object", "x-remote-object,id=r0,devid=lsi0,fd=0"), ("-object", "fd=0", "socket")),
    (("-machine", "pc"), ("-machine", "pc", "x-remote")),
    (("-machine", "x-remote,vfio-user=on"), ("-machine", "vfio-user=on")),
    (("-machine", "x-remote,nosuch=1"), ("-machine", "nosuch")),
    (("-machine", "x-remote,auto-shutdown=perhaps"), ("-machine", "auto-shutdown", "perhaps")),
    (("-display", "gtk"), ("-display", "gtk", "none")),
    (("-monitor", "tcp::1"), ("-monitor tcp::1", "unix:PATH")),
    (("-qmp", "tcp::1"), ("-qmp tcp::1", "unix:PATH")),
    (("-serial", "stdio"), ("-serial", "stdio", "none")),
    (("-sandbox", "perhaps"), ("-sandbox", "perhaps", "on")),
    (("-sandbox", "on,ns=perhaps"), ("-sandbox", "ns", "perhaps")),
    (("-sandbox", "on,nosuch=1"), ("-sandbox", "nosuch")),
    (("-sandbox", "on,spawn=allow"), ("-sandbox", "spawn=allow")),
    (("-sandbox", "off,ns=on"), ("-sandbox off,ns=on", "ns=on contradicts off")),
    (("-sandbox", "ns=off"), ("-sandbox ns=off", "mode is missing", "on, off or log")),
    (("-daemonize",), ("-daemonize", "launcher")),
    (("-S",), ("-S", "-qmp")),
    (("-nosuch",), ("-nosuch", "-help")),
    (("-device",), ("-device", "missing")),
    (("lsi53c895a",), ("lsi53c895a", "-help")),
    (("-add-fd", "fd=987,set=1"), ("-add-fd", "987")),
    (("-add-fd", "fd=0"), ("-add-fd", "set")),
    (("-blockdev", "driver=nosuch,node-name=n0"), ("-blockdev", "nosuch")),
    (("-trace", "nosuch_*"), ("nosuch_*",)),
    (("-D", "/no/such/t"), ("-D: Could not open '/no/such/t'", "No such file", "give a file that can be made")),
], ids=lambda value: " ".join(value)[:60] if isinstance(value, tuple) and value[0].startswith("-") else "")
def test_mistake_is_refused(args, words):
    assert_refused(run(*STOCK_WORDS, *args), *words)


def test_missing_image_is_refused(tmp_path):
    path = str(tmp_path / "nosuch.img")
    assert_refused(run(*LSI, *disk(path)), "-drive", path, "No such file")


def test_wrong_format_is_refused(image):
    assert_refused(run("-drive", f"id=d0,file={image},if=none,format=qcow2"), "-drive", "format", "qcow2")


def test_image_shorter_than_a_sector_is_refused(tmp_path):
    short = tmp_path / "short.img"
    short.write_bytes(bytes(100))
    assert_refused(run(*LSI, *disk(short)), str(short))


def test_image_shorter_than_its_own_sector_size_is_refused(tmp_path):
    short = tmp_path / "short.img"
    short.write_bytes(bytes(1024))
    assert_refused(run(*LSI, "-drive", f"id=d0,file={short},format=raw,if=none", "-device",
                       "scsi-hd,drive=d0,bus=lsi0.0,logical_block_size=4096,physical_block_size=4096"),
                   "-device", "4096")


def test_busy_image_is_refused_until_the_first_user_ends(image):
    link, other = Link(), Link()
    with Remote(*LSI, *disk(image), *serve(link)) as first:
        assert link.ids() == LSI_IDS
        assert_refused(run(*LSI, *disk(image)), "-drive", image, "lock")
        link.close()
        assert first.wait()[0] == 0
    with Remote(*LSI, *disk(image), *serve(other)):
        assert other.ids() == LSI_IDS


def test_two_devices_on_one_scsi_id_are_refused(image, tmp_path):
    second = tmp_path / "second.img"
    second.write_bytes(bytes(1 << 20))
    assert_refused(run(*LSI, *disk(image, scsi_id=3), *disk(second, name="d1", scsi_id=3)),
                   "-device", "scsi-id", "3")


def test_scsi_id_of_the_controller_is_refused(image):
    assert_refused(run(*LSI, *disk(image, scsi_id=7)), "-device", "scsi-id", "7")


def test_one_drive_for_two_devices_is_refused(image):
    assert_refused(run(*LSI, *disk(image), "-device", "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=1"),
                   "-device", "drive", "d0")


@pytest.mark.parametrize("make", [
    lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0],
    lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)[0],
], ids=["unconnected", "inet", "datagram", "seqpacket"])
def test_wrong_socket_is_refused(make):
    with make() as sock:
        assert_refused(run(*LSI, "-object", f"x-remote-object,id=r0,devid=lsi0,fd={sock.fileno()}",
                           fds=[sock.fileno()]), "-object", "socket")


def test_eventfd_for_a_link_is_refused():
    fd = os.eventfd(0)
    try:
        assert_refused(run(*LSI, "-object", f"x-remote-object,id=r0,devid=lsi0,fd={fd}", fds=[fd]),
                       "-object", f"fd={fd}", "eventfd", "socket")
    finally:
        os.close(fd)


def test_unknown_devid_is_refused():
    assert_refused(run(*LSI, *serve(Link(), devid="nosuch")), "-object", "devid=nosuch")


def test_devid_of_a_disk_is_refused(image):
    assert_refused(run(*LSI, "-drive", f"id=d0,file={image},format=raw,if=none", "-device",
                       "scsi-hd,id=disk0,drive=d0,bus=lsi0.0", *serve(Link(), devid="disk0")),
                   "-object", "devid=disk0", "PCI")


def test_second_object_for_a_device_is_refused_and_the_first_serves_nothing():
    first = Link()
    # Sent before the start: it would be answered by a process that serves before it has started whole.
    first.raw(pack_conf(PCI_CFGREAD, 0, 0, 4))
    with Remote(*LSI, *serve(first), *serve(Link(), name="r1")) as remote:
        assert_refused(remote.wait(), "-object", "lsi0", "another object")
        assert first.reply() is None


def test_one_socket_for_two_objects_is_refused():
    link = Link()
    assert_refused(run(*LSI, "-device", "lsi53c895a,id=lsi1", *serve(link), "-object",
                       f"x-remote-object,id=r1,devid=lsi1,fd={link.fd}"), "-object", "in use", "r0")


# ------------------------------------------------------------------------------------- what works

def test_stock_command_line_serves(image):
    link = Link()
    with Remote(*STOCK_WORDS, *LSI, *disk(image), *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        link.close()
        assert remote.wait() == (0, "", "")


def test_documented_command_line_of_stock_serves(image):
    # Without format= and if=, as on the page of stock's manual; a warning on the format is in order.
    link = Link()
    with Remote("-machine", "x-remote", *LSI, "-nographic", "-monitor", "none", "-drive", f"id=d0,file={image}",
                "-device", "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0", *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        link.close()
        assert remote.wait()[0] == 0


def test_words_of_stock_launchers_are_accepted():
    link = Link()
    with Remote("-M", "x-remote,vfio-user=off,auto-shutdown=on", "-nodefaults", "-no-user-config", "-nographic",
                "-m", "64", "-accel", "tcg", "-name", "guest=vm0,process=lsi-vm0", "-monitor", "none", "-serial",
                "none", "-parallel", "none", "-vga", "none", "-net", "none", "-nic", "none", "-sandbox", "off",
                *LSI, *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        with open(f"/proc/{remote.pid}/comm", encoding="ascii") as comm:
            assert comm.read() == "lsi-vm0\n"


def test_order_of_options_does_not_matter(image):
    link = Link()
    drive, device = disk(image)[:2], disk(image)[2:]
    with Remote(*serve(link), *LSI, *device, *drive, *STOCK_WORDS):
        assert link.ids() == LSI_IDS


def test_two_dashes_are_as_good_as_one():
    link = Link()
    words = serve(link)
    with Remote("--machine", "x-remote", "--device", "lsi53c895a,id=lsi0", "--object", *words[1:]):
        assert link.ids() == LSI_IDS


def test_json_forms(image):
    link = Link()
    with Remote("-blockdev", json.dumps({"driver": "raw", "node-name": "n0",
                                         "file": {"driver": "file", "filename": image}}),
                "-device", json.dumps({"driver": "lsi53c895a", "id": "lsi0"}),
                "-device", json.dumps({"driver": "scsi-hd", "drive": "n0", "bus": "lsi0.0", "scsi-id": 2}),
                "-object", json.dumps({"qom-type": "x-remote-object", "id": "r0", "devid": "lsi0",
                                       "fd": str(link.fd)}), fds=[link.fd]):
        link.started()
        assert link.ids() == LSI_IDS
        link.close()


def test_image_from_a_descriptor_set(image):
    link = Link()
    fd = os.open(image, os.O_RDWR)
    try:
        with Remote(*LSI, *disk("/dev/fdset/3"), "-add-fd", f"fd={fd},set=3,opaque=disk", *serve(link), fds=[fd]):
            assert link.ids() == LSI_IDS
    finally:
        os.close(fd)


def test_bus_and_slot_have_stocks_names():
    link = Link()
    with Remote("-device", "lsi53c895a,id=lsi0,bus=remote-pci,addr=4", *serve(link)):
        assert link.ids() == LSI_IDS


def test_scsi_buses_of_controllers_without_id_have_stocks_names(image):
    link = Link()
    with Remote("-device", "lsi53c895a", "-device", "lsi53c895a", *disk(image, bus="scsi.1"),
                *LSI, *serve(link)):
        assert link.ids() == LSI_IDS
    assert_refused(run("-device", "lsi53c895a", *disk(image, bus="scsi.1")), "bus=scsi.1")


def test_memory_backends_are_accepted():
    link = Link()
    with Remote("-object", "memory-backend-memfd,id=m0,size=1M", *LSI, *serve(link)):
        assert link.ids() == LSI_IDS


def test_traces_go_to_a_file(tmp_path):
    link, path = Link(), tmp_path / "trace,with=what an option is parted by"
    with Remote(*LSI, *serve(link), "--trace", "link_server_*", "-D", str(path)) as remote:
        assert link.ids() == LSI_IDS
        link.close()
        remote.wait()
    assert "link_server_end" in path.read_text()


@pytest.mark.parametrize("args, words", [
    (("-device", "help"), ("lsi53c895a", "scsi-hd", "scsi-cd")),
    (("-device", "lsi53c895a,help"), ("addr", "multifunction")),
    (("-device", "scsi-hd,help"), ("serial", "logical_block_size", "scsi-id")),
    (("-object", "help"), ("x-remote-object", "memory-backend-memfd")),
    (("-object", "x-remote-object,help"), ("devid", "fd")),
    (("-machine", "help"), ("x-remote",)),
    (("-machine", "x-remote,help"), ("auto-shutdown",)),
    (("-trace", "help"), ("link_server_state",)),
    (("-version",), ("version",)),
    (("--help",), ("-device DRIVER", "-no-shutdown")),
], ids=lambda value: " ".join(value) if value[0].startswith("-") else "")
def test_help_is_printed(args, words):
    status, out, err = run(*args)
    assert (status, err) == (0, "")
    for word in words:
        assert word in out


def test_help_names_every_option_that_stock_launchers_pass():
    text = run("-help")[1]
    for option in ("device", "drive", "blockdev", "object", "machine", "add-fd", "nodefaults", "nographic",
                   "display", "no-shutdown", "name", "trace", "monitor", "serial"):
        assert f"\n-{option}" in text


# ------------------------------------------------------------------------------- links and the end

def test_several_devices_and_links_in_one_process(image, tmp_path):
    second = tmp_path / "second.img"
    second.write_bytes(bytes(1 << 20))
    links = [Link() for _ in range(4)]
    args = []
    for i, link in enumerate(links):
        args += ["-device", f"lsi53c895a,id=lsi{i}", *serve(link, f"lsi{i}", f"r{i}")]
    with Remote(*args, *disk(image), *disk(second, "d1", "lsi3.0")) as remote:
        for link in links:
            assert link.ids() == LSI_IDS
        for i, link in enumerate(links):
            link.close()
            for other in links[i + 1:]:
                assert other.ids() == LSI_IDS
        assert remote.wait() == (0, "", "")


@pytest.mark.parametrize("words", [("-no-shutdown",), ("-machine", "x-remote,auto-shutdown=off")],
                         ids=["no-shutdown", "auto-shutdown=off"])
def test_process_may_outlive_its_last_link(words):
    link, other = Link(), Link()
    with Remote(*words, *LSI, "-device", "lsi53c895a,id=lsi1", "-trace", "remote_object_ended", *serve(link),
                *serve(other, "lsi1", "r1")) as remote:
        link.close()
        other.close()
        for left in (1, 0):                 # both ends have been seen before we ask for the process
            assert f"left {left}" in remote.process.stderr.readline()
        assert remote.process.poll() is None
        assert remote.terminate()[0] == 0


class Control:
    """The manager's end of a control channel; options() for the command line."""

    def __init__(self, name="c"):
        self.name = name
        self.ours, self.theirs = socket.socketpair()

    def options(self):
        return ("-chardev", f"socket,id={self.name},fd={self.theirs.fileno()}",
                "-mon", f"chardev={self.name},mode=control")

    def started(self):
        """The greeting has come, so the process is in its main loop or about to be."""
        self.theirs.close()
        self.ours.settimeout(WAIT)
        assert b"QMP" in self.ours.recv(4096)


def managed(*args, controls):
    """A Remote that outlives its links and has these control channels."""
    words = [word for control in controls for word in control.options()]
    remote = Remote("-no-shutdown", "-trace", "remote_object_ended", *words, *args,
                    fds=[control.theirs.fileno() for control in controls])
    for control in controls:
        control.started()
    return remote


def test_managed_process_without_links_ends_with_its_control_channel():
    control = Control()
    with managed(*LSI, controls=[control]) as remote:
        control.ours.close()
        assert remote.wait() == (0, "", "")


def test_managed_process_serves_its_link_when_the_control_channel_has_gone(image):
    control, link = Control(), Link()
    with managed(*LSI, *disk(image), *serve(link), controls=[control]) as remote:
        control.ours.close()
        for _ in range(100):
            assert link.ids() == LSI_IDS
        link.close()
        status, out, err = remote.wait()
        assert (status, out) == (0, "") and "left 0" in err


def test_managed_process_waits_without_links_for_its_control_channel(image):
    control, link = Control(), Link()
    with managed(*LSI, *disk(image), *serve(link), controls=[control]) as remote:
        link.close()
        assert "left 0" in remote.process.stderr.readline()
        control.ours.sendall(b'{"execute": "qmp_capabilities"}')
        assert b"return" in control.ours.recv(4096)
        control.ours.close()
        assert remote.wait() == (0, "", "")
    other = Link()
    with Remote(*LSI, *disk(image), *serve(other)):             # the image is free
        assert other.ids() == LSI_IDS


def test_half_closed_control_channel_is_answered_first():
    control = Control()
    with managed(*LSI, controls=[control]) as remote:
        control.ours.sendall(b'{"execute": "qmp_capabilities"} {"execute": "query-status", "id": 7}')
        control.ours.shutdown(socket.SHUT_WR)
        answers = b""
        while data := control.ours.recv(4096):
            answers += data
        assert b'"id": 7' in answers or b'"id":7' in answers
        assert remote.wait()[0] == 0


def test_process_ends_with_the_last_of_its_control_channels():
    controls = [Control("a"), Control("b")]
    with managed(*LSI, controls=controls) as remote:
        controls[0].ours.close()
        controls[1].ours.sendall(b'{"execute": "qmp_capabilities"}')
        assert b"return" in controls[1].ours.recv(4096)
        controls[1].ours.close()
        assert remote.wait()[0] == 0


def test_listening_monitor_keeps_a_process_that_has_lost_its_control_channel(tmp_path):
    control, path = Control(), str(tmp_path / "qmp")
    with managed(*LSI, "-qmp", f"unix:{path},server=on,wait=off", controls=[control]) as remote:
        control.ours.close()
        with Qmp.connect(path) as qmp:
            qmp.negotiate()
            qmp.command("quit")
        assert remote.wait()[0] == 0


def test_broken_link_shows_in_the_status_of_a_managed_process():
    control, link = Control(), Link()
    with managed(*LSI, *serve(link), controls=[control]) as remote:
        link.raw(b"\xff" * 16)
        while "left 0" not in remote.process.stderr.readline():
            pass
        control.ours.close()
        assert remote.wait()[0] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_the_process_cleanly(image, number):
    link = Link()
    with Remote(*LSI, *disk(image), *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        status, _, err = remote.terminate(number)
        assert status == 0
        assert f"signal {int(number)}" in err
        assert link.ids() is None


def test_hostile_neighbour_is_cut_off_alone():
    hostile, healthy = Link(), Link()
    with Remote(*LSI, "-device", "lsi53c895a,id=lsi1", *serve(hostile), *serve(healthy, "lsi1", "r1")) as remote:
        assert hostile.ids() == LSI_IDS
        hostile.send(99)
        assert hostile.reply() is None
        assert healthy.ids() == LSI_IDS
        healthy.close()
        status, _, err = remote.wait()
        # One line that names the link and the reason; the status tells the launcher.
        assert status == 1
        assert err.count("\n") == 1 and "lsi0" in err and "99" in err


def test_peer_that_goes_inside_a_message_is_no_protocol_error():
    link = Link()
    with Remote(*LSI, *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        link.raw(b"\3\0\0\0")
        link.close()
        status, _, err = remote.wait()
        assert status == 0
        assert "lsi0" in err


def test_process_without_links_says_so():
    with Remote(*LSI) as remote:
        assert "x-remote-object" in remote.process.stderr.readline()
        assert remote.terminate()[0] == 0


def test_start_to_first_answer_leaves_no_descriptor_behind(image):
    # What a remote holds open does not grow with the messages it answers.
    link = Link()
    with Remote(*LSI, *disk(image), *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        before = os.listdir(f"/proc/{remote.pid}/fd")
        for _ in range(1000):
            assert link.ids() == LSI_IDS
        assert os.listdir(f"/proc/{remote.pid}/fd") == before
