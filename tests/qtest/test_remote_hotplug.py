# SPDX-License-Identifier: GPL-2.0-or-later
# Hot-plug in a device process, seen by the guest's driver over the link.
# Runs in: neither program; drives qemu-remote and stock QEMU from outside.
"""Disks behind a live controller, controllers and links that come at run time, removal under I/O, limits, leaks.

Disks run on stock's x-remote, too. Further links have no stock twin: it says "Reached maximum number of devices: 1"
after it has answered object-add with success.
"""

import contextlib
import hashlib

import pytest

import mpqemu_link
from hotplug_rig import READ_10, WAIT, Guest, Process
from lsi_driver import IO_BASE, ISTAT0, MMIO_BASE, Lsi
from qtest import Qtest
from test_lsi_driver import wait_until_idle

SECTOR, SECTORS = 512, 16384
LSI_IDS = 0x00121000
OURS, STOCK = "ours", "stock"
LUNS_CHANGED = (6, 0x3f, 0x0e)


def pattern(lba):
    return hashlib.sha512(lba.to_bytes(8, "little")).digest() * (SECTOR // 64)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"".join(pattern(lba) for lba in range(SECTORS)))
    return str(path)


def node(name, image):
    return "-blockdev", f"driver=file,node-name={name},filename={image},read-only=on"


class Rig:
    """A device process that serves lsi0, with two nodes of one image; `guest` drives lsi0."""

    def __init__(self, name, program, image, directory, stack, *options):
        ours, theirs = mpqemu_link.socket_pair()
        words = [program, "-machine", "x-remote", *node("n0", image), *node("n1", image),
                 "-device", "lsi53c895a,id=lsi0",
                 "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}", *options]
        if name == STOCK:
            words += ["-nodefaults", "-display", "none"]
        self.process = stack.enter_context(Process(words, directory, pass_fds=[theirs.fileno()]))
        theirs.close()
        if name == STOCK:
            wait_until_idle(self.process.process)
        self.guest = stack.enter_context(Guest(mpqemu_link.LinkClient(ours, WAIT)))
        self.guest.start_up()

    def add_disk(self, id="hd0", node="n0", bus="lsi0.0", **more):
        self.process.ok("device_add", driver="scsi-hd", drive=node, id=id, bus=bus, **more)

    def remove(self, id):
        self.process.ok("device_del", id=id)
        assert self.process.deleted() == (id, f"/machine/peripheral/{id}")

    def link(self, devid, name):
        """Serves DEVID by object NAME over a new link; returns its other end."""
        ours, theirs = mpqemu_link.socket_pair()
        with theirs:
            self.process.getfd("link", theirs.fileno())
        self.process.ok("object-add", **{"qom-type": "x-remote-object", "id": name, "devid": devid, "fd": "link"})
        return mpqemu_link.LinkClient(ours, WAIT)


@pytest.fixture
def make_rig(request, remote_program, image, tmp_path):
    with contextlib.ExitStack() as stack:
        def make(name, *options):
            program = remote_program if name == OURS else request.getfixturevalue("stock_program")
            return Rig(name, program, image, tmp_path, stack, *options)
        yield make


@pytest.fixture
def rig(make_rig):
    return make_rig(OURS)


@pytest.fixture(params=[OURS, STOCK])
def any_rig(request, make_rig):
    return make_rig(request.param)


# ---------------------------------------------------------------------------------- disks

def test_disk_behind_a_live_controller(any_rig):
    guest = any_rig.guest
    assert guest.inquiry() is None
    for _ in range(3):
        any_rig.add_disk(**{"scsi-id": 0})
        assert guest.inquiry() == "QEMU"
        assert guest.read(5, 2) == pattern(5) + pattern(6)
        any_rig.remove("hd0")
        assert guest.inquiry() is None


def test_units_tell_of_others_at_their_target(rig):
    """Without a stock twin: stock's LSI takes units at LUN 0 only."""
    guest = rig.guest
    rig.add_disk(**{"scsi-id": 2})
    guest.read(0, 1, target=2)
    assert guest.sense(target=2) is None
    rig.add_disk("hd1", "n1", **{"scsi-id": 2, "lun": 1})
    assert guest.sense(target=2) == LUNS_CHANGED
    assert guest.sense(target=2) is None
    rig.remove("hd1")
    assert guest.sense(target=2) == LUNS_CHANGED
    rig.add_disk("hd1", "n1", **{"scsi-id": 3})         # another target is none of its business
    assert guest.sense(target=2) is None


def test_refused_disk_is_not_told(rig):
    rig.add_disk(**{"scsi-id": 2})
    rig.guest.read(0, 1, target=2)
    rig.process.fails("GenericError", "device_add", driver="scsi-hd", drive="nope", **{"scsi-id": 2, "lun": 1})
    assert rig.guest.sense(target=2) is None


BLOCKS = 8192                                           # 4 MiB


def start_read(guest, lba=0):
    guest.lsi.start([READ_10, 0, *lba.to_bytes(4, "big"), 0, *BLOCKS.to_bytes(2, "big"), 0], data_len=512 * BLOCKS)


def test_disk_removed_while_it_works(rig):
    """At any stage of the transfer; afterwards controller and link are as ever."""
    guest, process = rig.guest, rig.process
    fds = process.open_descriptors()
    for round in range(30):
        rig.add_disk(**{"scsi-id": 0})
        guest.read(round, 1)
        start_read(guest, round)
        for _ in range(round % 6):
            guest.lsi.readb(ISTAT0)
        rig.remove("hd0")
        assert guest.link.config_read(0, 4) == LSI_IDS
        guest.lsi.start_up()                            # what a driver does after a time-out
        assert guest.inquiry() is None
    assert process.open_descriptors() == fds


def test_other_links_are_served_during_a_removal(rig):
    rig.process.ok("device_add", driver="lsi53c895a", id="lsi1")
    rig.add_disk("hd1", "n1", "lsi1.0", **{"scsi-id": 0})
    with Guest(rig.link("lsi1", "r1")) as other:
        other.start_up()
        other.read(0, 1)
        for round in range(10):
            rig.add_disk(**{"scsi-id": 0})
            rig.guest.read(0, 1)
            start_read(other)
            start_read(rig.guest)
            rig.remove("hd0")
            assert other.interrupt() == ("done", 0x600d) and other.lsi.status() == 0
            rig.guest.lsi.start_up()


# ---------------------------------------------------------------------------------- controllers and links

def test_controller_and_link_at_run_time(rig):
    process = rig.process
    process.ok("device_add", driver="lsi53c895a", id="lsi1", bus="remote-pci")
    rig.add_disk("hd1", "n1", "lsi1.0", **{"scsi-id": 4})
    with Guest(rig.link("lsi1", "r1")) as guest:
        guest.start_up()
        assert guest.inquiry(4) == "QEMU"
        assert guest.read(7, 1, target=4) == pattern(7)
        assert rig.guest.inquiry(4) is None
        assert "served by x-remote-object 'r1'" in process.fails("GenericError", "device_del", id="lsi1")
        assert guest.inquiry(4) == "QEMU"
        process.ok("object-del", id="r1")
        assert guest.link.at_end()
    process.ok("device_del", id="lsi1")
    assert [process.deleted()[0] for _ in range(2)] == ["hd1", "lsi1"]
    assert rig.guest.link.config_read(0, 4) == LSI_IDS


def test_link_that_ended_holds_its_device_until_object_del(rig):
    process = rig.process
    process.ok("device_add", driver="lsi53c895a", id="lsi1")
    link = rig.link("lsi1", "r1")
    assert link.config_read(0, 4) == LSI_IDS
    link.close()
    assert "object-del" in process.fails("GenericError", "device_del", id="lsi1")
    process.ok("object-del", id="r1")
    with rig.link("lsi1", "r1") as link:                # and it can be served anew
        assert link.config_read(0, 4) == LSI_IDS
        process.ok("object-del", id="r1")
    rig.remove("lsi1")


def test_object_del_of_the_last_link_ends_no_process(rig):
    rig.process.ok("object-del", id="r0")
    assert rig.guest.link.at_end()
    with rig.link("lsi0", "r0") as link:
        assert link.config_read(0, 4) == LSI_IDS
    assert rig.process.wait() == 0                      # that link was ended by its peer


def test_removal_of_everything_while_it_works(rig):
    fds = rig.process.open_descriptors()
    maps = rig.process.mappings("memfd:")
    for round in range(20):
        rig.process.ok("device_add", driver="lsi53c895a", id="lsi1")
        rig.add_disk("hd1", "n1", "lsi1.0", **{"scsi-id": 0})
        with Guest(rig.link("lsi1", "r1")) as guest:
            guest.start_up()
            guest.read(0, 1)
            start_read(guest)
            if round % 2:
                rig.process.ok("object-del", id="r1")
                rig.process.ok("device_del", id="lsi1")
                assert [rig.process.deleted()[0] for _ in range(2)] == ["hd1", "lsi1"]
            else:
                rig.process.ok("device_del", id="hd1")
                rig.process.ok("object-del", id="r1")
                rig.process.ok("device_del", id="lsi1")
                assert [rig.process.deleted()[0] for _ in range(2)] == ["hd1", "lsi1"]
    assert rig.guest.inquiry() is None
    assert (rig.process.open_descriptors(), rig.process.mappings("memfd:")) == (fds, maps)


def test_200_links_leave_nothing(rig):
    process = rig.process

    def once():
        process.ok("device_add", driver="lsi53c895a", id="lsi1")
        with Guest(rig.link("lsi1", "r1")) as guest:
            guest.start_up()
            assert guest.inquiry() is None
            process.ok("object-del", id="r1")
        rig.remove("lsi1")

    once()
    fds, maps = process.open_descriptors(), process.mappings("memfd:")
    for _ in range(200):
        once()
    assert (process.open_descriptors(), process.mappings("memfd:")) == (fds, maps)


def test_limit_of_links(rig):
    process, links = rig.process, []
    with contextlib.ExitStack() as stack:
        for i in range(1, 64):
            process.ok("device_add", driver="lsi53c895a", id=f"lsi{i}", addr=f"{1 + (i - 1) // 8:x}.{(i - 1) % 8}",
                       multifunction=True)
        for i in range(1, 63):
            links.append(stack.enter_context(rig.link(f"lsi{i}", f"r{i}")))
        ours, theirs = mpqemu_link.socket_pair()
        stack.callback(ours.close)
        process.getfd("link", theirs.fileno())
        theirs.close()
        assert "at most 63 links" in process.fails(
            "GenericError", "object-add",
            **{"qom-type": "x-remote-object", "id": "r63", "devid": "lsi63", "fd": "link"})
        assert all(link.config_read(0, 4) == LSI_IDS for link in links)
        process.ok("object-del", id="r7")
        stack.enter_context(rig.link("lsi63", "r63"))


@pytest.mark.parametrize("fd, words", [
    ("nope", ["nope"]), ("0", ["fd=0", "socket"]), ("2", ["fd=2", "socket"]), ("-1", ["fd=-1"]), ("", ["fd"]),
    ("987654", ["987654"]), ("99999999999999999999", ["999"]), ("x" * 500, ["xxx"]), ("../link", ["../link"])])
def test_links_of_wrong_descriptors(rig, fd, words):
    rig.process.ok("device_add", driver="lsi53c895a", id="lsi1")
    fds = rig.process.open_descriptors()
    desc = rig.process.fails("GenericError", "object-add",
                             **{"qom-type": "x-remote-object", "id": "r1", "devid": "lsi1", "fd": fd})
    for word in words:
        assert word in desc
    assert rig.process.open_descriptors() == fds
    rig.remove("lsi1")


def test_no_number_of_the_process_is_a_link(rig):
    """Its own sockets (monitor, the other link) are refused and live on."""
    rig.process.ok("device_add", driver="lsi53c895a", id="lsi1")
    for fd in range(64):
        rig.process.fails("GenericError", "object-add",
                          **{"qom-type": "x-remote-object", "id": "r1", "devid": "lsi1", "fd": str(fd)})
    assert rig.guest.link.config_read(0, 4) == LSI_IDS


@pytest.mark.parametrize("devid, error_class", [("nope", "DeviceNotFound"), ("hd0", "GenericError"),
                                                ("lsi0", "GenericError"), ("/machine", "DeviceNotFound")])
def test_links_to_what_cannot_be_served(rig, devid, error_class):
    rig.add_disk()
    ours, theirs = mpqemu_link.socket_pair()
    with ours, theirs:
        rig.process.getfd("link", theirs.fileno())
        rig.process.fails(error_class, "object-add",
                          **{"qom-type": "x-remote-object", "id": "r1", "devid": devid, "fd": "link"})


# ---------------------------------------------------------------------------------- in the main emulator

class MainRig:
    """mpqemu with a monitor; a test program plays the CPU."""

    def __init__(self, program, image, directory, stack):
        self.process = Process.unstarted(directory)
        self.qtest = stack.enter_context(Qtest(program, ["-m", "64", "-nodefaults", *node("n0", image),
                                                         *self.process.monitor_options()]))
        stack.enter_context(self.process.attach(self.qtest.process))


@pytest.fixture
def main_rig(main_program, image, tmp_path):
    with contextlib.ExitStack() as stack:
        yield MainRig(main_program, image, tmp_path, stack)


def test_controller_in_the_main_emulator(main_rig):
    qtest, process = main_rig.qtest, main_rig.process
    lsi = Lsi(qtest, 3)
    for _ in range(3):
        assert qtest.pci_read(3, 0, 4) == 0xffffffff
        process.ok("device_add", driver="lsi53c895a", id="lsi0", addr="3")
        process.ok("device_add", driver="scsi-hd", drive="n0", id="hd0", bus="lsi0.0")
        assert qtest.pci_read(3, 0, 4) == LSI_IDS
        assert qtest.pci_read(3, 4, 2) == 0             # as after a reset
        lsi.map_bars()
        lsi.start_up()
        lsi.start([0x12, 0, 0, 0, 36, 0], data_len=36)
        while not lsi.readb(ISTAT0) & 1:
            pass
        assert lsi.acknowledge()[2] == 0x600d and lsi.status() == 0
        regions = {region["bar"]: region["address"] for bus in process.ok("query-pci") for function in bus["devices"]
                   if function["qdev_id"] == "lsi0" for region in function["regions"]}
        assert (regions[0], regions[1]) == (IO_BASE, MMIO_BASE)
        process.ok("device_del", id="lsi0")
        assert [process.deleted()[0] for _ in range(2)] == ["hd0", "lsi0"]
        assert qtest.readl(MMIO_BASE) == 0xffffffff


def test_interrupt_of_a_controller_that_goes_falls(main_rig):
    qtest, process = main_rig.qtest, main_rig.process
    process.ok("device_add", driver="lsi53c895a", id="lsi0", addr="3")
    lsi = Lsi(qtest, 3)
    qtest.irq_intercept_in("/machine/ioapic")
    lsi.map_bars()
    lsi.start_up()
    lsi.start([0, 0, 0, 0, 0, 0])                       # nobody is there: selection time-out
    qtest.wait_irq(lsi.pin, "raise")
    process.ok("device_del", id="lsi0")
    qtest.wait_irq(lsi.pin, "lower")


# ---------------------------------------------------------------------------------- a proxy and its remote

PROXY_IDS = {"vendor": 0x1af4, "device": 0x10ff, "subsystem-vendor": 0, "subsystem": 0}


def proxied(process):
    bus, = process.ok("query-pci")
    found = [function for function in bus["devices"] if function["qdev_id"] == "p0"]
    return found[0] if found else None


@pytest.mark.parametrize("fate", ["well", "silent", "gone"])
def test_pci_of_a_proxy_is_told_without_its_remote(main_program, tmp_path, fate):
    ours, theirs = mpqemu_link.socket_pair()
    device = mpqemu_link.FakeDevice(bars={0: 4096, 1: 256}, io_bars=(1,))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(mpqemu_link.LinkServer(theirs, device))
        words = [main_program, "-accel", "qtest", "-m", "64", "-nodefaults",
                 "-device", f"pci-proxy-dev,id=p0,fd={ours.fileno()},addr=5"]
        process = stack.enter_context(Process(words, tmp_path, pass_fds=[ours.fileno()]))
        ours.close()
        if fate == "silent":
            for command in (mpqemu_link.PCI_CFGREAD, mpqemu_link.PCI_CFGWRITE, mpqemu_link.BAR_READ):
                server.behave(command, lambda *_: None)
        elif fate == "gone":
            server.stop()
        asked = len(server.log)
        function = proxied(process)
        assert (function["slot"], function["id"], function["irq_pin"]) == (5, PROXY_IDS, 1)
        assert [(bar["bar"], bar["type"], bar["size"], bar["address"]) for bar in function["regions"]] == \
            [(0, "memory", 4096, -1), (1, "io", 256, -1)]
        assert not {entry[0] for entry in server.log[asked:]} & {mpqemu_link.PCI_CFGREAD, mpqemu_link.BAR_READ}
        process.ok("device_del", id="p0")
        assert process.deleted() == ("p0", "/machine/peripheral/p0")
        assert proxied(process) is None
