# SPDX-License-Identifier: GPL-2.0-or-later
# Nothing of a device process writes guest memory after the guest was told that it is gone, or was reset.
# Runs in: neither program; drives mpqemu from outside, with remotes that are slow, or made in Python to lie.
"""What a removal, a reset of the machine, and a link that was given up wait for, and what they do when that does not come."""

import os
import signal
import threading

import pytest

import faulty_remote
import lying_remote
from device_process import device_pid
from managed import Managed, QmpError, alive, image, wait_until
from qmp_program import Program
from qmp_program import _paths      # noqa: F401  # pylint: disable=unused-import
from test_machine_runs import TICK, firmware

LIMITS = "timeout=2500,heartbeat-interval=400,heartbeat-limit=2000"
# It ends its control channel at a word, and lives on until it is killed.
LIVES_ON = """
    def do_block_resize(self, _args):
        self.sock.shutdown(socket.SHUT_RDWR)
        time.sleep(1000)
"""
# It ends the link of lsi0 at a word, and writes down which links it is told to let go of.
ENDS_A_LINK = """
    def do_block_resize(self, _args):
        self.links["link-lsi0"].stop()
        return {{}}

    def do_object_del(self, args):
        with open({path!r}, "a", encoding="ascii") as log:
            log.write(args["id"] + "\\n")
        if args["id"] not in self.links:
            raise Refusal("there is none")
        {then}
"""


def is_there(m, slot=2):
    return m.q.pci_read(slot, 0, 4) not in (0xffffffff, 0)


def deleted(m):
    """Ids of the devices whose end has been told by now."""
    m.qmp.command("query-status")
    return [event["data"].get("device") for event in m.qmp.events if event["event"] == "DEVICE_DELETED"]


class Asked(threading.Thread):
    """A command that is answered later."""

    def __init__(self, m, name, **arguments):
        super().__init__(daemon=True)
        self.m, self.name_, self.arguments, self.error = m, name, arguments, None
        self.start()

    def run(self):
        with self.m.connect() as qmp:
            try:
                qmp.command(self.name_, **self.arguments)
            except (QmpError, ConnectionError) as error:
                self.error = error

    def end(self):
        self.join(30)
        assert not self.is_alive(), f"{self.name_} does not end"
        return self.error


class Slow:
    """A machine with a controller and a disk in process r0, whose messages the test can hold."""

    def __init__(self, main_program, remote_program, directory):
        self.faults = faulty_remote.Faults(directory / "faults")
        script = faulty_remote.write_script(directory / "faulty-remote", remote_program, self.faults.path)
        self.m = Managed(main_program, directory, "-remote", f"rid=r0,exec={script},{LIMITS}")
        self.m.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi0", addr="2")
        self.m.add_disk("r0", "lsi0", 0, image(directory / "disk"), **{"scsi-id": 0})
        self.process = self.faults.instance()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.faults.close()
        self.m.__exit__(*exc)


@pytest.fixture(name="slow")
def _slow(main_program, remote_program, tmp_path):
    with Slow(main_program, remote_program, tmp_path) as slow:
        yield slow


# ---- removal

@pytest.mark.parametrize("command, arguments", [("rdevice_del", {"rid": "r0", "id": "lsi0", "force": True}),
                                                ("device_del", {"id": "lsi0"})])
def test_removal_waits_for_the_remotes_rest(slow, command, arguments):
    """And nobody waits with it.  The guest's accesses do not come through any more: none may begin a transfer anew."""
    m = slow.m
    m.works(m.lsi())
    slow.process.order(hold="reset")
    asked = Asked(m, command, **arguments)
    slow.process.wait_held()
    assert deleted(m) == [] and [d["id"] for d in m.remotes()["r0"]["devices"]] == ["lsi0", "hd0"]
    before = m.remotes()["r0"]["devices"][0]["link"]["messages"]
    assert m.q.pci_read(2, 0, 4) == 0xffffffff and m.q.readl(0xe0000000) == 0xffffffff
    assert m.remotes()["r0"]["devices"][0]["link"]["messages"] == before
    slow.process.order(release=True)
    assert asked.end() is None
    m.wait_event("DEVICE_DELETED", device="lsi0")
    wait_until(lambda: m.remotes()["r0"]["devices"] == [], "the remote keeps the controller")


@pytest.mark.parametrize("stopped", [False, True])
def test_process_that_does_not_answer_the_reset_of_a_removal_ends_before_it(slow, stopped):
    m = slow.m
    m.works(m.lsi())
    slow.process.order(hold="reset")
    if stopped:
        os.kill(slow.process.real, signal.SIGSTOP)
    asked = Asked(m, "rdevice_del", rid="r0", id="lsi0", force=True)
    slow.process.wait_held()
    m.wait_event("DEVICE_DELETED", device="lsi0")
    assert not alive(slow.process.pid)
    assert asked.end() is None
    assert m.remotes()["r0"]["state"] == "dead" and not is_there(m)


def test_reset_completes_a_removal_that_waits(slow):
    """Whatever it waits for: the firmware must find the slot empty at its first look."""
    m = slow.m
    slow.process.order(hold="control:block_resize")
    busy = Asked(m, "rblock_resize", rid="r0", device="d0", size=4096 * 512)
    slow.process.wait_held()
    m.qmp.command("device_del", id="lsi0")
    assert is_there(m) and deleted(m) == []
    m.qmp.command("system_reset")
    assert not is_there(m)
    assert deleted(m) == ["lsi0"]
    slow.process.order(release=True)
    assert busy.end() is None
    wait_until(lambda: m.remotes()["r0"]["devices"] == [], "the remote keeps the controller")
    m.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi0", addr="2")
    assert is_there(m)


def test_reset_completes_a_removal_under_way(slow):
    m = slow.m
    slow.process.order(hold="reset")
    asked = Asked(m, "rdevice_del", rid="r0", id="lsi0", force=True)
    slow.process.wait_held()
    m.qmp.command("system_reset")
    assert deleted(m) == ["lsi0"]
    slow.process.order(release=True)
    assert asked.end() is None
    assert m.remotes()["r0"]["devices"] == [] and m.remotes()["r0"]["state"] == "ready"


def test_reset_completes_a_removal_of_a_controller_that_is_being_attached_again(slow):
    """The process is ready, and the others of its controllers work."""
    m = slow.m
    m.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi1", addr="3")
    os.kill(slow.process.pid, signal.SIGKILL)
    m.wait_state("r0", "dead")
    slow.faults.first = {"hold": "reset"}
    restart = Asked(m, "remote_restart", rid="r0")
    process = slow.faults.instance(1)
    process.wait_held()
    m.qmp.command("device_del", id="lsi0")
    m.qmp.command("system_reset")
    assert deleted(m) == ["lsi0"] and not is_there(m, 2)
    process.order(release=True)
    assert restart.end() is None
    wait_until(lambda: [d["id"] for d in m.remotes()["r0"]["devices"]] == ["lsi1"], "the remote keeps the controller")
    assert m.remotes()["r0"]["state"] == "ready" and is_there(m, 3)


def test_program_ends_in_the_middle_of_a_removal(slow):
    slow.process.order(hold="reset")
    asked = Asked(slow.m, "rdevice_del", rid="r0", id="lsi0", force=True)
    slow.process.wait_held()
    slow.m.qmp.command("quit")
    asked.join(30)
    assert slow.m.q.process.wait(20) == 0


# ---- a link that was given up

@pytest.fixture(name="two")
def _two(main_program, tmp_path):
    """two(then): a machine with lsi0 and lsi1 in process r0, which ends the former's link at rblock_resize."""
    machines = []

    def start(then):
        log = tmp_path / "let-go"
        script = lying_remote.write_script(tmp_path / "liar", ENDS_A_LINK.format(path=str(log), then=then))
        m = Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={script},{LIMITS}",
                    "-rdrive", f"rid=r0,id=d0,file={image(tmp_path / 'disk')},format=raw",
                    *(word for n in range(2) for word in ("-rdevice", f"pci-fake,rid=r0,id=lsi{n},addr={2 + n}")))
        machines.append(m)
        m.let_go = lambda: log.read_text(encoding="ascii").split() if log.exists() else []
        m.qmp.command("rblock_resize", rid="r0", device="d0", size=512)
        m.wait_event("REMOTE_LINK_STATE", device="lsi0", to="dead")
        return m
    yield start
    for m in machines:
        m.__exit__(None)


def test_process_lets_go_of_a_link_that_was_given_up(two):
    m = two("return LyingRemote.do_object_del(self, args)")
    wait_until(lambda: m.let_go() == ["link-lsi0"], "nobody asks for it")
    assert is_there(m, 3) and not is_there(m, 2)
    # It can be removed, for which there is nothing more to be waited for.
    m.qmp.command("rdevice_del", rid="r0", id="lsi0")
    assert deleted(m) == ["lsi0"]
    assert m.remotes()["r0"]["state"] == "ready" and is_there(m, 3)


def test_process_that_does_not_let_go_of_a_link_is_ended(two):
    m = two("raise Refusal('mine')")
    event = m.wait_event("REMOTE_STATE", id="r0", to="dead")["data"]
    assert "does not let go of the link of device 'lsi0'" in event["reason"] and "mine" in event["reason"]
    assert event.get("signal") == signal.SIGKILL or event["exit-status"] == 0       # when it saw our end
    assert not is_there(m, 3)


# It ends the link of lsi0 while lsi1 is attached, in the process that finds the file.
ENDS_A_LINK_EARLY = """
    def do_object_add(self, args):
        value = super().do_object_add(args)
        if args["id"] == "link-lsi1" and os.path.exists({path!r}):
            os.unlink({path!r})
            self.links["link-lsi1"].device.reset = self.end_first
        return value

    def end_first(self):
        self.links["link-lsi0"].stop()
        time.sleep(0.3)     # it is noticed before this one is attached
"""


def test_link_that_ends_before_all_are_attached_has_lost_its_device(main_program, tmp_path):
    flag = tmp_path / "end-a-link"
    script = lying_remote.write_script(tmp_path / "liar", ENDS_A_LINK_EARLY.format(path=str(flag)))
    with Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={script},on-death=restart",
                 *(word for n in range(2) for word in ("-rdevice", f"pci-fake,rid=r0,id=lsi{n},addr={2 + n}"))) as m:
        flag.touch()
        os.kill(device_pid(m.remotes()["r0"]["pid"]), signal.SIGKILL)
        m.wait_event("REMOTE_STATE", id="r0", to="dead")
        event = m.wait_event("REMOTE_STATE", id="r0", to="dead")["data"]
        assert "link of device 'lsi0'" in event["reason"]
        wait_until(lambda: is_there(m, 2) and is_there(m, 3), "a device stays away")
        assert m.remotes()["r0"]["state"] == "ready" and not flag.exists()


# ---- a reset of a machine that runs

def test_reset_waits_for_the_end_of_a_process_that_is_dead_to_us(paths, tmp_path):
    script = lying_remote.write_script(tmp_path / "liar", LIVES_ON)
    with Program(paths["mpqemu"], "guest", "-m", "16", "-nodefaults", "-bios", firmware(tmp_path / "firmware", TICK),
                 "-remote", f"rid=r0,exec={script}", "-rdevice", "pci-fake,rid=r0,id=lsi0",
                 "-rdrive", f"rid=r0,id=d0,file={image(tmp_path / 'disk')},format=raw") as machine:
        qmp = machine.session()
        pid = device_pid(qmp.command("query-remote")[0]["pid"])
        with pytest.raises(QmpError):
            qmp.command("rblock_resize", rid="r0", device="d0", size=512)
        assert alive(pid)
        qmp.command("system_reset")
        qmp.wait_event("RESET")
        assert not alive(pid)


# ---- a medium that was ejected

def test_ejected_medium_is_not_in_the_drive_of_the_new_process(main_program, tmp_path):
    start_stop, test_ready, sense = [0x1b, 0, 0, 0], [0] * 6, [3, 0, 0, 0, 18, 0]
    with Managed(main_program, tmp_path, "-remote", "rid=0,on-death=restart", "-rdevice", "lsi53c895a,rid=0,id=lsi0",
                 "-rdrive", f"rid=0,id=c0,file={image(tmp_path / 'medium')},format=raw,media=cdrom",
                 "-rdevice", "scsi-cd,rid=0,id=cd0,drive=c0,bus=lsi0.0,scsi-id=0") as m:

        def expect_sense(key, asc, ascq):
            for _ in range(4):
                status, _data = m.command(lsi, test_ready)
                if status == 0:
                    assert key == 0
                    return
                data = m.command(lsi, sense, data_len=18)[1]
                if data[2] & 15 != 6:           # unit attentions of before
                    break
            assert (data[2] & 15, data[12], data[13]) == (key, asc, ascq)

        def restart():
            os.kill(device_pid(m.remotes()["0"]["pid"]), signal.SIGKILL)
            m.wait_event("REMOTE_STATE", to="ready")
            lsi.start_up()
            lsi.ioapic.end()
            m.q.irqs.clear()

        lsi = m.lsi()
        expect_sense(0, 0, 0)
        assert m.command(lsi, [*start_stop, 2, 0])[0] == 0
        m.wait_event("DEVICE_TRAY_MOVED", device="c0", rid="0", **{"tray-open": True})
        for _ in range(2):                      # the second process has not been told, but knows
            restart()
            expect_sense(2, 0x3a, 2)
        # The medium is on the tray.
        assert m.command(lsi, [*start_stop, 3, 0])[0] == 0
        m.wait_event("DEVICE_TRAY_MOVED", device="c0", rid="0", **{"tray-open": False})
        expect_sense(0, 0, 0)
        restart()
        expect_sense(0, 0, 0)


LIES_OF_A_TRAY = """
    def do_device_list_properties(self, _args):
        return [{"name": "tray-open", "type": "bool"}]

    def do_device_add(self, args):
        if args.get("tray-open"):
            raise Refusal("the medium cannot be ejected")
        return super().do_device_add(args)

    def do_block_resize(self, _args):
        self.event("DEVICE_TRAY_MOVED", **{"device": "d0", "id": "", "tray-open": True})
        os._exit(0)
"""


def test_tray_of_a_disk_without_one_does_not_keep_the_next_process_from_starting(main_program, tmp_path):
    script = lying_remote.write_script(tmp_path / "liar", LIES_OF_A_TRAY)
    with Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={script},on-death=restart",
                 "-rdevice", "pci-fake,rid=r0,id=lsi0",
                 "-rdrive", f"rid=r0,id=d0,file={image(tmp_path / 'disk')},format=raw",
                 "-rdevice", "scsi-hd,rid=r0,id=hd0,drive=d0,bus=lsi0.0") as m:
        for _ in range(2):
            with pytest.raises(QmpError):
                m.qmp.command("rblock_resize", rid="r0", device="d0", size=512)
            m.wait_event("REMOTE_STATE", id="r0", to="ready")
