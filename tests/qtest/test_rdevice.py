# SPDX-License-Identifier: GPL-2.0-or-later
# Remote devices managed by mpqemu: options, commands, errors, processes.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""-rdevice, -rdrive, -remote; rdevice_add and its family; query-remote; what the processes look like."""

import os
import re
import signal
import socket
import subprocess

import pytest

from device_process import CONFINES, DEFAULT_LEVEL, held
from lsi_driver import ISTAT0, ISTAT_SIP, PCI_COMMAND, SCRATCHA, SIEN0, SIST0, SIST0_RST
from managed import WAIT, Holdings, Managed, QmpError, alive, image, wait_same_holdings, wait_until
from qtest import Qtest, QtestError

LSI = ["-rdevice", "lsi53c895a,rid=0,id=lsi0"]


def disk(path, rid="0", drive="d0", device="hd0", bus="lsi0.0"):
    return ["-rdrive", f"rid={rid},id={drive},file={path},format=raw",
            "-rdevice", f"scsi-hd,rid={rid},id={device},drive={drive},bus={bus}"]


@pytest.fixture
def machine(main_program, tmp_path):
    """A machine with process 0: lsi0 in slot 2, hd0."""
    with Managed(main_program, tmp_path, *LSI, *disk(image(tmp_path / "disk"))) as m:
        yield m


@pytest.fixture
def empty(main_program, tmp_path):
    """A machine without remote devices."""
    with Managed(main_program, tmp_path) as m:
        yield m


# ---------------------------------------------------------------------------- command line

def test_a_guest_uses_a_disk_of_the_command_line(machine):
    machine.works(machine.lsi())


def test_options_come_in_any_order(main_program, tmp_path):
    path = image(tmp_path / "disk")
    with Managed(main_program, tmp_path,
                 "-rdevice", "scsi-hd,rid=a,id=hd0,drive=d0,bus=lsi0.0",
                 "-rdevice", "lsi53c895a,rid=a,id=lsi0",
                 "-rdrive", f"id=d0,rid=a,file={path}",
                 "-remote", "a,heartbeat-limit=9000") as m:
        m.works(m.lsi())
        assert [d["id"] for d in m.remotes()["a"]["devices"]] == ["lsi0", "hd0"]


def test_one_rid_is_one_process_and_rids_are_compared_whole(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, "-rdevice", "lsi53c895a,rid=0,id=lsi1",
                 "-rdevice", "lsi53c895a,rid=01,id=lsi2", "-rdevice", "lsi53c895a,rid=10,id=lsi3") as m:
        remotes = m.remotes()
        assert {rid: [d["id"] for d in entry["devices"]] for rid, entry in remotes.items()} == {
            "0": ["lsi0", "lsi1"], "01": ["lsi2"], "10": ["lsi3"]}
        assert len({entry["pid"] for entry in remotes.values()}) == 3


def test_bus_and_addr_of_a_controller_are_the_machines(main_program, tmp_path):
    with Managed(main_program, tmp_path, "-rdevice", "lsi53c895a,rid=r,id=lsi0,bus=pci.0,addr=1d") as m:
        assert m.q.pci_read(0x1d, 0, 4) == 0x00121000
        assert m.q.pci_read(2, 0, 4) == 0xffffffff


@pytest.mark.parametrize("args, message", [
    (["-rdevice", "lsi53c895a,id=lsi0"], "rid is missing"),
    (["-rdevice", "lsi53c895a,rid=r"], "id is missing"),
    (["-rdevice", "rid=r,id=x"], "driver is missing"),
    (["-rdevice", "lsi53c895a,rid=r,id=1x"], "id=1x is malformed"),
    (["-rdevice", f"lsi53c895a,rid=r,id={'x' * 121}"], "malformed"),
    (["-rdevice", "lsi53c895a,rid=-r,id=x"], "rid=-r is malformed"),
    (["-rdevice", f"lsi53c895a,id=x,rid={'r' * 128}"], "malformed"),
    (["-rdevice", "no-such,rid=r,id=x"], "no-such"),
    (["-rdevice", "lsi53c895a,rid=r,id=x,colour=red"], "colour"),
    (["-rdevice", "lsi53c895a,rid=r,id=x,addr=99"], "addr=99"),
    (["-rdevice", "lsi53c895a,rid=r,id=x", "-rdevice", "lsi53c895a,rid=q,id=x"], "id=x is in use"),
    (["-rdevice", "scsi-hd,rid=r,id=x,drive=nope"], "nope"),
    (["-rdrive", "rid=r,id=d0,file=/no/such/image"], "/no/such/image"),
    (["-rdrive", "rid=r,id=d0,file=/dev/null,format=raw"], "character device"),
    (["-rdrive", "id=d0,file=x"], "rid is missing"),
    (["-remote", "exec=/bin/true"], "rid is missing"),
    (["-remote", "rid=r,exec=bin/true"], "not absolute"),
    (["-remote", "rid=r,exec=/bin/true,fd=3"], "exclude each other"),
    (["-remote", "rid=r,fd=0"], "not a socket"),
    (["-remote", "rid=r,fd=77"], "77"),
    (["-remote", "rid=r,on-death=resurrect"], "detach, restart, pause, exit"),
    (["-remote", "rid=r,sandbox=perhaps"], "perhaps"),
    (["-remote", "rid=r,heartbeat-interval=5000,heartbeat-limit=5000"], "heartbeat-limit=5000 is not above"),
    (["-remote", "rid=r,heartbeat-interval=0"], "heartbeat-interval=0"),
    (["-remote", "rid=r,color=red"], "color"),
    (["-remote", "rid=r", "-remote", "rid=r"], "configured already"),
    (["-remote", "rid=r,exec=/no/such/program", "-rdevice", "lsi53c895a,rid=r,id=x"], "/no/such/program"),
    (["-remote", "rid=r,exec=/bin/false", "-rdevice", "lsi53c895a,rid=r,id=x"], "remote process 'r'"),
])
def test_a_wrong_option_ends_the_start_with_its_name(main_program, args, message):
    with pytest.raises(QtestError) as error:
        Qtest(main_program, ["-nodefaults", *args]).close()
    text = str(error.value)
    assert message in text and "exit status 1" in text
    assert "mpqemu: -r" in text


def test_help_names_the_options(main_program):
    text = subprocess.run([main_program, "-help"], check=True, capture_output=True, text=True).stdout
    for option in ("-rdevice DRIVER,id=ID,rid=RID", "-rdrive id=ID,file=PATH,rid=RID", "-remote rid=RID"):
        assert option in text


# -------------------------------------------------------------------------------- processes

def test_a_process_looks_as_documented(machine):
    pid = machine.remotes()["0"]["pid"]
    with open(f"/proc/{pid}/cmdline", encoding="ascii") as text:
        assert text.read().split("\0")[0] == "qemu-remote: vm/0"
    with open(f"/proc/{pid}/environ", "rb") as text:
        assert text.read() == b""
    with open(f"/proc/{pid}/status", encoding="ascii") as text:
        parent = int(re.search(r"^PPid:\s*(\d+)", text.read(), re.M).group(1))
    assert parent != machine.pid        # the spawner
    with open(f"/proc/{parent}/status", encoding="ascii") as text:
        status = text.read()
    assert re.search(rf"^PPid:\s*{machine.pid}$", status, re.M)
    if CONFINES:                        # not a build with a sanitizer, which may have one
        assert re.search(r"^Threads:\s*1$", status, re.M)
    # No path of the main emulator's: it has opened nothing but what it was given.
    names = set(held(pid).values())
    output = {os.readlink(f"/proc/{machine.pid}/fd/{n}") for n in (1, 2)}
    files = {name for name in names - output if name.startswith("/") and not name.startswith("/memfd:")}
    assert files == {"/dev/null", str(machine.directory / "disk")}


def test_processes_end_with_the_machine(machine):
    pids = [entry["pid"] for entry in machine.remotes().values()]
    assert machine.q.close() == 0
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), "a process outlives the machine")


def test_processes_end_when_the_main_emulator_is_killed(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, *disk(image(tmp_path / "disk")), status=None) as m:
        pid = m.remotes()["0"]["pid"]
        os.kill(pid, signal.SIGSTOP)    # even one that hears nothing
        m.q.process.kill()
        wait_until(lambda: not alive(pid), "a process outlives the main emulator")


def test_the_image_is_free_when_the_machine_has_ended(main_program, tmp_path):
    path = image(tmp_path / "disk")
    for _ in range(3):
        with Managed(main_program, tmp_path, *LSI, *disk(path)) as m:
            m.works(m.lsi())


def test_a_launchers_process_is_used_by_its_control_channel(main_program, remote_program, tmp_path):
    ours, theirs = socket.socketpair()
    with subprocess.Popen([remote_program, "-machine", "x-remote,auto-shutdown=off", "-nodefaults",
                           "-chardev", f"socket,id=c,fd={theirs.fileno()}", "-mon", "chardev=c,mode=control"],
                          pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL) as process:
        theirs.close()
        try:
            with Managed(main_program, tmp_path, "-remote", f"rid=r,fd={ours.fileno()}",
                         *disk(image(tmp_path / "disk"), "r"), "-rdevice", "lsi53c895a,rid=r,id=lsi0",
                         pass_fds=[ours.fileno()]) as m:
                ours.close()
                entry = m.remotes()["r"]
                assert "process" not in entry and entry["state"] == "ready"
                m.works(m.lsi())
                with pytest.raises(QmpError, match="launcher"):
                    m.qmp.command("remote_restart", rid="r")
                process.kill()
                m.wait_event("REMOTE_STATE", id="r", to="dead")
                assert m.q.readl(0xe0000000 + SCRATCHA) == 0xffffffff
                with pytest.raises(QmpError, match="launcher"):
                    m.qmp.command("remote_restart", rid="r")
        finally:
            process.kill()


# --------------------------------------------------------------------------------- commands

def test_query_remote_tells_all(machine):
    machine.works(machine.lsi())
    entry = machine.remotes()["0"]
    assert os.path.samefile(entry["process"], f"/proc/{entry['pid']}/exe")
    link = entry["devices"][0].pop("link")
    control = entry.pop("control")
    del entry["process"], entry["pid"]
    assert entry == {"id": "0", "state": "ready", "sandbox": DEFAULT_LEVEL, "on-death": "detach", "restarts": 0,
                     "devices": [{"id": "lsi0", "driver": "lsi53c895a", "controller": True},
                                 {"id": "hd0", "driver": "scsi-hd", "controller": False}],
                     "drives": [{"id": "d0"}]}
    assert link["state"] == "ready" and link["messages"] > 20 and link["bytes"] > 40 * link["messages"]
    assert link["worst-wait-ns"] > 1000 and link["timeouts"] == 0 and link["interrupts"] >= 1
    assert control["received"] > 100 and control["sent"] > 100


def test_a_controller_and_disk_are_added_and_removed(empty):
    m = empty
    before = Holdings(m.pid)
    path = image(m.directory / "disk")
    for turn in range(3):
        m.qmp.command("rdevice_add", rid="r", driver="lsi53c895a", id="lsi0")
        m.add_disk("r", "lsi0", 0, path)
        m.works(m.lsi())
        pid = m.remotes()["r"]["pid"]
        m.qmp.command("rdevice_del", rid="r", id="hd0")
        m.qmp.command("rdrive_del", rid="r", id="d0")
        m.qmp.command("rdevice_del", rid="r", id="lsi0")
        assert m.wait_event("DEVICE_DELETED", device="lsi0")
        assert m.q.pci_read(2, 0, 4) == 0xffffffff
        wait_until(lambda: not m.remotes(), "a process without objects is listed")
        wait_until(lambda pid=pid: not alive(pid), "a process without objects runs on")
        wait_same_holdings(m.pid, before, f"turn {turn}:")


def test_a_controller_goes_with_its_disks(machine):
    machine.qmp.command("rdevice_del", rid="0", id="lsi0")
    assert machine.remotes()["0"]["devices"] == []
    assert machine.remotes()["0"]["drives"] == [{"id": "d0"}]
    machine.qmp.command("rdrive_del", rid="0", id="d0")
    wait_until(lambda: not machine.remotes(), "the process is listed")


def test_device_del_of_a_controller_is_rdevice_del(machine):
    machine.qmp.command("device_del", id="lsi0")
    machine.wait_event("DEVICE_DELETED", device="lsi0")
    wait_until(lambda: machine.remotes()["0"]["devices"] == [], "the remote keeps the device")
    machine.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi0")
    machine.qmp.command("rdevice_add", rid="0", driver="scsi-hd", id="hd0", drive="d0", bus="lsi0.0")
    machine.works(machine.lsi())


def test_a_controller_that_names_the_machines_bus_is_no_child_of_a_device_called_alike(empty):
    m = empty
    m.qmp.command("rdevice_add", rid="r", driver="lsi53c895a", id="pci", addr="5")
    m.qmp.command("rdevice_add", rid="r", driver="lsi53c895a", id="lsi1", bus="pci.0", addr="6")
    m.qmp.command("rdevice_del", rid="r", id="pci")
    assert [d["id"] for d in m.remotes()["r"]["devices"]] == ["lsi1"]
    assert m.q.pci_read(5, 0, 4) == 0xffffffff
    assert m.q.pci_read(6, 0, 4) == 0x00121000


def test_an_added_controllers_link_is_told_from_its_first_state(empty):
    empty.qmp.command("rdevice_add", rid="r", driver="lsi53c895a", id="lsi0")
    data = empty.wait_event("REMOTE_LINK_STATE", device="lsi0")["data"]
    assert data == {"device": "lsi0", "path": "/machine/peripheral/lsi0", "from": "starting", "to": "ready"}


def test_a_link_that_fails_before_its_device_is_there_is_told_with_its_path(main_program, tmp_path):
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, Managed(main_program, tmp_path, pass_fds=[ours.fileno()]) as m:
        with pytest.raises(QmpError):
            m.qmp.command("device_add", driver="pci-proxy-dev", id="p0", fd=str(ours.fileno()))
        data = m.wait_event("REMOTE_LINK_STATE")["data"]
        assert (data["device"], data["path"]) == ("p0", "/machine/peripheral/p0")
        assert (data["from"], data["to"]) == ("starting", "dead")


def test_the_program_ends_while_a_proxy_asks_a_silent_remote(main_program, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs, Managed(main_program, tmp_path, pass_fds=[ours.fileno()]) as m:
        with m.connect() as other:
            other.send({"execute": "device_add", "arguments": {
                "driver": "pci-proxy-dev", "id": "p0", "fd": str(ours.fileno()), "timeout": 600000}})
            wait_until(lambda: "p0" in [c["name"] for c in m.qmp.command("qom-list", path="/machine/peripheral")],
                       "the device is not being made")


def test_any_object_names_its_process(machine):
    path = image(machine.directory / "more", 0x21)
    machine.qmp.command("rdrive_add", rdev_id="hd0", id="d1", file=path, format="raw")
    machine.qmp.command("rdevice_add", rdev_id="d1", driver="scsi-hd", id="hd1", drive="d1", bus="lsi0.0",
                        **{"scsi-id": 1})
    machine.works(machine.lsi(), 0x21, target=1)
    machine.qmp.command("rdevice_del", rdev_id="lsi0", id="hd1")
    machine.qmp.command("rdrive_del", rdev_id="d0", id="d1")


def test_an_image_is_passed_as_a_descriptor(machine):
    path = image(machine.directory / "passed", 0x33)
    with open(path, "r+b") as stream:
        added = machine.qmp.command("add-fd", _fds=[stream.fileno()], **{"fdset-id": 7})
    machine.qmp.command("rdrive_add", rid="0", id="d1", file=f"/dev/fdset/{added['fdset-id']}", format="raw")
    machine.qmp.command("rdevice_add", rid="0", driver="scsi-hd", id="hd1", drive="d1", bus="lsi0.0",
                        **{"scsi-id": 1})
    machine.works(machine.lsi(), 0x33, target=1)


def test_a_resize_is_seen_by_the_guest(machine):
    lsi = machine.lsi()
    machine.works(lsi)
    machine.qmp.command("rblock_resize", rid="0", device="d0", size=8 << 20)
    assert os.path.getsize(machine.directory / "disk") == 8 << 20
    # The unit attention that tells of it.
    assert machine.command(lsi, [0] * 6)[0] == 2
    _, sense = machine.command(lsi, [3, 0, 0, 0, 18, 0], data_len=18)
    assert (sense[2] & 15, sense[12], sense[13]) == (6, 0x2a, 0x09)
    _, capacity = machine.command(lsi, [0x25, *[0] * 9], data_len=8)
    assert (int.from_bytes(capacity[:4], "big") + 1) * 512 == 8 << 20


@pytest.mark.parametrize("command, args, kind, message", [
    ("rdevice_add", {"driver": "lsi53c895a", "id": "x"}, "GenericError", "rid"),
    ("rdevice_add", {"driver": "lsi53c895a", "id": "x", "rid": "0", "rdev_id": "0"}, "GenericError", "same"),
    ("rdevice_add", {"driver": "lsi53c895a", "id": "lsi0", "rid": "0"}, "GenericError", "in use"),
    ("rdevice_add", {"driver": "lsi53c895a", "id": "hd0", "rid": "1"}, "GenericError", "in use"),
    ("rdevice_add", {"driver": "no-such", "id": "x", "rid": "0"}, "GenericError", "no-such"),
    ("rdevice_add", {"driver": "scsi-hd", "id": "x", "rid": "0", "drive": "d0"}, "GenericError", "in use"),
    ("rdevice_add", {"driver": "lsi53c895a", "id": "x", "rid": "0", "addr": "2"}, "GenericError", "slot 2.0"),
    ("rdevice_add", {"driver": "lsi53c895a", "id": "x", "rid": "new", "bad": 1}, "GenericError", "bad"),
    ("rdevice_del", {"rid": "0", "id": "none"}, "DeviceNotFound", "none"),
    ("rdevice_del", {"rid": "nowhere", "id": "lsi0"}, "DeviceNotFound", "nowhere"),
    ("rdrive_add", {"rid": "0", "id": "d0", "file": "x"}, "GenericError", "in use"),
    ("rdrive_add", {"rid": "0", "id": "x", "file": "/no/such"}, "GenericError", "/no/such"),
    ("rdrive_add", {"rid": "new", "id": "x", "file": "/dev/zero"}, "GenericError", "character device"),
    ("rdrive_del", {"rid": "0", "id": "none"}, "DeviceNotFound", "none"),
    ("rdrive_del", {"rid": "0", "id": "d0"}, "GenericError", "in use"),
    ("rblock_resize", {"rid": "0", "device": "none", "size": 512}, "DeviceNotFound", "none"),
    ("rblock_resize", {"rid": "0", "device": "d0", "size": -1}, "GenericError", "size"),
    ("rblock_resize", {"rid": "0", "device": "d0", "size": 1000}, "GenericError", "512"),
    ("remote_restart", {"rid": "nowhere"}, "DeviceNotFound", "nowhere"),
])
def test_an_error_comes_back_and_leaves_nothing(machine, command, args, kind, message):
    before, remotes = Holdings(machine.pid), machine.remotes()
    with pytest.raises(QmpError, match=re.escape(message)) as error:
        machine.qmp.command(command, **args)
    assert error.value.error_class == kind
    wait_until(lambda: machine.remotes().keys() == remotes.keys(), f"{machine.remotes()}")
    assert machine.remotes()["0"]["devices"][1:] == remotes["0"]["devices"][1:]
    assert machine.remotes()["0"]["drives"] == remotes["0"]["drives"]
    wait_same_holdings(machine.pid, before)
    machine.works(machine.lsi())


def test_a_controller_that_the_machine_refuses_is_undone_in_the_remote(machine):
    for _ in range(3):
        with pytest.raises(QmpError, match="slot 2.0"):
            machine.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi1", addr="2")
    machine.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi1", addr="3")
    assert machine.q.pci_read(3, 0, 4) == 0x00121000


# ------------------------------------------------------------------------- death and restart

def test_death_is_told_with_the_signal(machine):
    # The first process of a PID namespace dies of no other signal from outside.
    os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
    data = machine.wait_event("REMOTE_STATE", to="dead")["data"]
    assert (data["id"], data["from"], data["signal"]) == ("0", "ready", signal.SIGKILL)
    assert machine.q.readl(0xe0000000 + SCRATCHA) == 0xffffffff


def test_a_dead_processes_devices_can_be_removed_and_made_again(machine):
    os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
    machine.wait_state("0", "dead")
    machine.qmp.command("rdevice_del", rid="0", id="lsi0")
    machine.wait_event("DEVICE_DELETED", device="lsi0")
    machine.qmp.command("rdrive_del", rid="0", id="d0")
    wait_until(lambda: not machine.remotes(), "a dead process without objects is listed")
    machine.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi0")
    machine.add_disk("0", "lsi0", 0, str(machine.directory / "disk"))
    machine.works(machine.lsi())


def test_a_disk_goes_with_the_last_controller_of_a_dead_process(main_program, tmp_path):
    """Also one that was added without bus=: which controller's it got was the remote's choice."""
    path = image(tmp_path / "disk")
    with Managed(main_program, tmp_path, *LSI, "-rdrive", f"rid=0,id=d0,file={path},format=raw",
                 "-rdevice", "scsi-hd,rid=0,id=hd0,drive=d0") as m:
        m.works(m.lsi())
        os.kill(m.remotes()["0"]["pid"], signal.SIGKILL)
        m.wait_state("0", "dead")
        m.qmp.command("rdevice_del", rid="0", id="lsi0")
        assert m.remotes()["0"]["devices"] == []
        m.qmp.command("remote_restart", rid="0")
        m.qmp.command("rdevice_add", rid="0", driver="lsi53c895a", id="lsi0")
        m.qmp.command("rdevice_add", rid="0", driver="scsi-hd", id="hd0", drive="d0")
        m.works(m.lsi())


def test_restart_brings_back_what_was_added_later(machine):
    path = image(machine.directory / "more", 0x21)
    lsi = machine.lsi()
    machine.add_disk("0", "lsi0", 1, path, **{"scsi-id": 3})
    machine.qmp.command("remote_restart", rid="0")
    machine.works(lsi)
    machine.works(lsi, 0x21, target=3)
    entry = machine.remotes()["0"]
    assert entry["restarts"] == 1 and [d["id"] for d in entry["devices"]] == ["lsi0", "hd0", "hd1"]
    assert entry["devices"][0]["link"]["reattached"] == 1


# A driver is told of a bus reset by the controller of the new process, when it would have heard of one from the old.

@pytest.fixture(params=["map", "bounce"])
def quiet(main_program, tmp_path, request):
    """A machine whose process says nothing by itself but by events."""
    with Managed(main_program, tmp_path, "-rdevice", f"lsi53c895a,rid=0,id=lsi0,dma={request.param}",
                 *disk(image(tmp_path / "disk")),
                 "-remote", "rid=0,heartbeat-interval=60000,heartbeat-limit=100000") as m:
        yield m


def heard(machine):
    return machine.remotes()["0"]["control"]["received"]


def replace_process(machine):
    os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
    machine.wait_state("0", "dead")
    machine.qmp.command("remote_restart", rid="0")


def test_a_driver_hears_of_a_bus_reset_from_the_new_process(quiet):
    before = heard(quiet)
    lsi = quiet.lsi()
    for _ in range(3):
        if before is not None:
            wait_until(lambda: heard(quiet) > before, "the controller has not told that its driver listens")
        before = None                   # the next processes know it from the first
        quiet.q.irqs.clear()
        replace_process(quiet)
        quiet.q.wait_irq(lsi.pin, "raise")
        assert lsi.readb(ISTAT0) == ISTAT_SIP and lsi.readb(SIST0) == SIST0_RST
        assert lsi.readb(ISTAT0) == 0
        lsi.ioapic.end()
        quiet.works(lsi)


def test_nobody_hears_of_a_bus_reset_who_has_not_asked(quiet):
    """As polling firmware."""
    lsi = quiet.lsi()
    lsi.writeb(SIEN0, 0x8d)
    replace_process(quiet)
    assert lsi.readb(ISTAT0) == 0 and lsi.readb(SIST0) == 0 and lsi.readb(SIEN0) == 0
    quiet.works(lsi)


def test_a_controller_that_is_switched_off_is_replaced_in_silence(quiet):
    before = heard(quiet)
    lsi = quiet.lsi()
    wait_until(lambda: heard(quiet) > before, "the controller has not told that its driver listens")
    quiet.q.pci_write(lsi.slot, PCI_COMMAND, 2, 3)
    replace_process(quiet)
    assert lsi.readb(ISTAT0) == 0 and lsi.readb(SIST0) == 0
    quiet.q.pci_write(lsi.slot, PCI_COMMAND, 2, 7)
    assert lsi.readb(ISTAT0) == 0
    quiet.works(lsi)


def test_a_storm_of_restarts_is_bounded_and_not_for_ever(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, *disk(image(tmp_path / "disk")),
                 "-remote", "rid=0,on-death=restart") as m:
        lsi = m.lsi()
        for turn in range(6):
            os.kill(m.remotes()["0"]["pid"], signal.SIGKILL)
            reason = m.wait_event("REMOTE_STATE", to="dead")["data"]["reason"]
            assert ("5 times" in reason) == (turn == 5)
            if turn < 5:
                m.wait_state("0", "ready")
        assert m.wait_state("0", "dead")["reason"] == reason
        assert "remote_restart 0" in m.q.stderr()
        m.qmp.command("remote_restart", rid="0")
        m.works(lsi)
        os.kill(m.remotes()["0"]["pid"], signal.SIGKILL)     # counted anew
        m.wait_event("REMOTE_STATE", to="dead")
        m.wait_state("0", "ready")
        m.works(lsi)


def test_two_hundred_restarts_leave_no_leak(machine):
    lsi = machine.lsi()
    machine.works(lsi)
    before = None
    for turn in range(200):
        if turn % 2:
            os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
            machine.wait_state("0", "dead")
        machine.qmp.command("remote_restart", rid="0")
        if turn == 10:
            before = Holdings(machine.pid)
    machine.works(lsi)
    wait_same_holdings(machine.pid, before)
    assert machine.remotes()["0"]["restarts"] == 200


def test_a_restart_under_way_is_told(machine):
    os.kill(machine.remotes()["0"]["pid"], signal.SIGSTOP)
    with machine.connect() as other:
        other.send({"execute": "remote_restart", "arguments": {"rid": "0"}})
        machine.wait_event("REMOTE_STATE", to="dead")
        with pytest.raises(QmpError, match="being started"):
            machine.qmp.command("remote_restart", rid="0")
        assert "return" in other.read_answer()
    machine.works(machine.lsi())


def test_a_stopped_process_is_suspect_then_dead_then_killed(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, "-remote", "rid=0,heartbeat-interval=100,heartbeat-limit=700") as m:
        pid = m.remotes()["0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        assert m.wait_event("REMOTE_STATE", id="0", to="suspect")["data"]["from"] == "ready"
        data = m.wait_event("REMOTE_STATE", id="0", to="dead")["data"]
        assert data["from"] == "suspect" and "not answered" in data["reason"]
        wait_until(lambda: not alive(pid), "a process that was given up runs on")


def test_a_suspect_process_that_answers_again_is_ready(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI,
                 "-remote", f"rid=0,heartbeat-interval=100,heartbeat-limit={1000 * WAIT}") as m:
        pid = m.remotes()["0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        m.wait_event("REMOTE_STATE", id="0", to="suspect")
        assert m.remotes()["0"]["devices"][0]["link"]["state"] == "suspect"
        os.kill(pid, signal.SIGCONT)
        m.wait_event("REMOTE_STATE", id="0", to="ready")
        assert m.remotes()["0"]["devices"][0]["link"]["state"] == "ready"


def test_pause_can_be_ended_by_cont_too(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, "-remote", "rid=0,on-death=pause") as m:
        os.kill(m.remotes()["0"]["pid"], signal.SIGKILL)
        m.qmp.wait_event("STOP")
        m.qmp.command("cont")
        assert m.qmp.command("query-status")["running"]
        assert m.remotes()["0"]["state"] == "dead"
        m.qmp.command("remote_restart", rid="0")
        assert m.qmp.command("query-status")["running"]


def test_a_reset_does_not_make_a_machine_forget_what_it_waits_for(main_program, tmp_path):
    with Managed(main_program, tmp_path, *LSI, "-remote", "rid=0,on-death=pause") as m:
        os.kill(m.remotes()["0"]["pid"], signal.SIGKILL)
        m.qmp.wait_event("STOP")
        m.qmp.command("system_reset")
        m.qmp.wait_event("RESET")
        assert not m.qmp.command("query-status")["running"]
        m.qmp.command("remote_restart", rid="0")
        assert m.qmp.command("query-status")["running"]


def test_the_config_space_survives_a_restart(machine):
    lsi = machine.lsi()
    machine.q.pci_write(2, 0x0c, 1, 0x08)       # cache line size
    machine.q.pci_write(2, 0x3c, 1, 0x2b)       # interrupt line
    bars = [machine.q.pci_read(2, offset, 4) for offset in range(0x10, 0x28, 4)]
    machine.qmp.command("remote_restart", rid="0")
    assert [machine.q.pci_read(2, offset, 4) for offset in range(0x10, 0x28, 4)] == bars
    assert machine.q.pci_read(2, PCI_COMMAND, 2) == 7
    assert machine.q.pci_read(2, 0x0c, 1) == 0x08 and machine.q.pci_read(2, 0x3c, 1) == 0x2b
    assert lsi.readl(SCRATCHA) == 0
