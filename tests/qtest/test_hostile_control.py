# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu against remote processes that lie on their control channel.
# Runs in: neither program; drives mpqemu from outside, with remotes made in Python.
"""Each case makes process r0 a liar (tests/peers/lying_remote.py) beside a healthy neighbour r1.

Whatever r0 does: mpqemu lives, its monitor answers at once, the neighbour works, every command comes to its end, and
when r0's objects have been removed nothing of it is left.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time

import pytest

from lying_remote import write_script
from managed import Holdings, Managed, QmpError, alive, children, image, wait_same_holdings, wait_until
from qtest import Qtest, QtestError

LIMITS = "timeout=1000,heartbeat-interval=200,heartbeat-limit=900"
BOUND = 20              # seconds in which anything ends here: some limits of 1 s, on a loaded machine
MONITOR = 1.0           # seconds in which a monitor answers


class Liar:
    """A machine whose process r0 runs whatever script says at the time of its start."""

    def __init__(self, main_program, directory, *args, options="", **more):
        self.directory, self.script = directory, directory / "liar"
        write_script(self.script)
        self.disk = image(directory / "disk")
        self.m = Managed(main_program, directory,
                         "-remote", f"rid=r0,exec={self.script},{LIMITS}{options}",
                         "-rdrive", f"rid=r1,id=n0,file={image(directory / 'neighbour', 0x77)},format=raw",
                         "-rdevice", "lsi53c895a,rid=r1,id=lsi1,addr=3",
                         "-rdevice", "scsi-hd,rid=r1,id=nhd,drive=n0,bus=lsi1.0", *args, **more)
        self.qmp = self.m.qmp
        self.neighbour = self.m.lsi(3)
        self.m.works(self.neighbour, 0x77)
        self.before = Holdings(self.m.pid)

    def lie(self, methods=""):
        """The next process of r0 has these methods."""
        write_script(self.script, methods)

    def run(self, command, **arguments):
        """A command; its error, None when it succeeds.  It ends in bounded time."""
        start = time.monotonic()
        try:
            self.qmp.command(command, **arguments)
            return None
        except QmpError as error:
            return str(error)
        finally:
            assert time.monotonic() - start < BOUND, f"{command} took {time.monotonic() - start:.1f} s"

    def add_controller(self, **more):
        return self.run("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi0", addr="2", **more)

    def responsive(self):
        """The monitor answers at once."""
        start = time.monotonic()
        self.qmp.command("query-status")
        self.qmp.command("query-remote")
        assert time.monotonic() - start < MONITOR, "the monitor is held up"

    def clean(self):
        """Removes what r0 has; then nothing of it is left, and the neighbour works."""
        self.responsive()
        for _ in range(3):
            entry = self.m.remotes()["r0"]
            for device in reversed(entry["devices"]):
                self.run("rdevice_del", rid="r0", id=device["id"])
            for drive in entry["drives"]:
                self.run("rdrive_del", rid="r0", id=drive["id"])
            entry = self.m.remotes()["r0"]
            if not entry["devices"] and not entry["drives"]:
                break
            # It will not let it go: without a process there is nobody to ask.
            if "pid" in entry:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(entry["pid"], signal.SIGKILL)
                self.m.wait_state("r0", "dead")
        self.m.wait_state("r0", "gone")
        self.responsive()
        self.m.works(self.neighbour, 0x77)
        wait_same_holdings(self.m.pid, self.before)
        self.qmp.events.clear()

    def close(self):
        self.m.__exit__(None, None, None)


@pytest.fixture(scope="module")
def machines(main_program, tmp_path_factory):
    """A function that returns one machine for all cases, a new one when a case has ended it."""
    made = []

    def get():
        if not made or made[-1].m.q.process.poll() is not None:
            made.append(Liar(main_program, tmp_path_factory.mktemp("shared")))
        return made[-1]

    yield get
    if made:
        made[-1].close()


@pytest.fixture
def liar(machines):
    """The shared machine, checked after each case."""
    machine = machines()
    machine.lie()
    yield machine
    machine.clean()


def test_an_honest_fake_works(liar):
    """The tests' own foundation."""
    assert not liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk)
    assert not liar.add_controller()
    assert not liar.run("rdevice_add", rid="r0", driver="scsi-hd", id="hd0", drive="d0", bus="lsi0.0")
    assert liar.m.q.pci_read(2, 0, 4) == 0x00121000
    assert not liar.run("remote_restart", rid="r0")
    assert liar.m.q.pci_read(2, 0, 4) == 0x00121000
    assert not liar.run("rdevice_del", rid="r0", id="hd0")


# --------------------------------------------------------------------------------- bring-up

BRING_UP = {
    "no-greeting": ("def greet(self): pass", "not ready 1000 ms after its start"),
    "late-greeting": ("def greet(self):\n    time.sleep(3)\n    self.say(GREETING)", "not ready 1000 ms"),
    "no-json": ("def greet(self): self.raw(b'hello\\n' * 100)", "no QMP"),
    "greeting-is-null": ("def greet(self): self.say({'QMP': None})", "greeting that is none"),
    "two-greetings": ("def greet(self):\n    self.say(GREETING)\n    self.say(GREETING)", "second greeting"),
    "event-first": ("def greet(self): self.event('STOP')", "before its greeting"),
    "answer-first": ("def greet(self): self.say({'return': {}, 'id': 'mpqemu-1'})", "nobody asked for"),
    "no-line-end": ("def greet(self):\n    while True: self.raw(b'[' + b'1,' * 1000)", "no QMP"),
    "one-byte-a-time": ("def greet(self):\n    for c in json.dumps(GREETING):\n        self.raw(c.encode())\n"
                        "        time.sleep(0.1)", "not ready 1000 ms"),
    "ends-at-once": ("def greet(self): os._exit(3)", "exit status 3|closed the connection|has ended"),
    "closes-the-channel": ("def greet(self):\n    self.sock.close()\n    time.sleep(99)", "closed the connection"),
    "capabilities-refused": ("def do_qmp_capabilities(self, args): raise Refusal('never')", "never"),
    "capabilities-unanswered": ("def do_qmp_capabilities(self, args): return SILENCE", "not ready 1000 ms"),
    "capabilities-without-id": ("def do_qmp_capabilities(self, args):\n    self.say({'return': {}})\n"
                                "    return SILENCE", "nobody asked for"),
    "types-refused": ("def do_qom_list_types(self, args): raise Refusal('no types')", "no types"),
    "types-unanswered": ("def do_qom_list_types(self, args): return SILENCE", "not ready|not answered"),
    "types-null": ("def do_qom_list_types(self, args): return None", None),
    "types-object": ("def do_qom_list_types(self, args): return {'name': 'lsi53c895a'}", None),
    "types-of-anything": ("def do_qom_list_types(self, args): return [1, None, [], {}, {'name': 1}, {'name': {}}]",
                          None),
    "types-near-the-limit": ("def do_qom_list_types(self, args):\n"
                             "    return [{'name': f'{i:080}'} for i in range(10000)]", None),
    "types-beyond-the-limit": ("def do_qom_list_types(self, args): return ['x' * (2 << 20)]", "no QMP"),
    "error-without-class": ("def do_qom_list_types(self, args):\n"
                            "    self.say({'error': {'desc': 'classless'}, 'id': self.request_id})\n"
                            "    return SILENCE", "classless"),
    "error-without-words": ("def do_qom_list_types(self, args):\n"
                            "    self.say({'error': {'class': 'GenericError'}, 'id': self.request_id})\n"
                            "    return SILENCE", "error without a description"),
    "error-with-other-words": ("def do_qom_list_types(self, args):\n"
                               "    raise Refusal('\\x1b[2J\\x07\\n' + 'x' * 500000)", "set up"),
}


@pytest.mark.parametrize("case", BRING_UP)
def test_a_lie_at_the_start(liar, case):
    methods, message = BRING_UP[case]
    liar.lie(methods)
    error = liar.add_controller()
    if message is None:
        assert error is None            # a device that is no PCI function, by the remote's word
        assert not liar.m.remotes()["r0"]["devices"][0]["controller"]
        assert liar.m.q.pci_read(2, 0, 4) == 0xffffffff
    else:
        assert error and any(part in error for part in message.split("|")), error
        assert len(error) < 600000 and "\x1b" not in str(liar.m.remotes())


# ------------------------------------------------------------------------------- operations

COMMANDS = ["device-list-properties", "device_add", "qom-get", "getfd", "object-add", "object-del", "device_del",
            "add-fd", "drive_add", "remove-fd", "drive_del", "block_resize"]
LIES = {
    "null": "return None",
    "number": "return 1e300",
    "array": "return [[], {}, None, 1, 'x', {'name': 'y', 'type': []}, {'name': 'drive', 'type': 'bool'}]",
    "huge": "return [{'name': f'p{i}', 'type': 'x' * 30} for i in range(12000)]",
    "refusal": "raise Refusal('I will not')",
    "classless": "self.say({'error': {'desc': 'no class', 'class': 7}, 'id': self.request_id})\n    return SILENCE",
    "other-id": "self.say({'return': {}, 'id': 'mpqemu-99999'})\n    return SILENCE",
    "numeric-id": "self.say({'return': {}, 'id': 5})\n    return SILENCE",
    "twice": "self.say({'return': {}, 'id': self.request_id})\n    return {}",
    "silence": "return SILENCE",
    "end": "os._exit(0)",
    "crash": "os.kill(os.getpid(), signal.SIGSEGV)",
    "stop": "os.kill(os.getpid(), signal.SIGSTOP)",
    "half-an-answer": "self.raw(b'{\"return\": {')\n    os._exit(0)",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_in_an_operation(liar, command, lie):
    liar.lie(f"def do_{command.replace('-', '_')}(self, args):\n    {LIES[lie]}")
    liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk)
    liar.add_controller()
    liar.run("rdevice_add", rid="r0", driver="scsi-hd", id="hd0", drive="d0", bus="lsi0.0")
    liar.run("rblock_resize", rid="r0", device="d0", size=4096)
    liar.responsive()
    liar.run("rdevice_del", rid="r0", id="hd0")
    liar.run("rdrive_del", rid="r0", id="d0")
    liar.run("rdevice_del", rid="r0", id="lsi0")


@pytest.mark.parametrize("methods", [
    # object-add succeeds, and the link ends, is silent, is garbage.
    "def do_object_add(self, args):\n    os.close(self.named.pop(args['fd']))\n    return {}",
    "def do_object_add(self, args):\n    return {}",
    "def do_object_add(self, args):\n    os.write(self.named[args['fd']], b'x' * 4096)\n    return {}",
], ids=["closed", "silent", "garbage"])
def test_a_link_that_is_none(liar, methods):
    liar.lie(methods)
    assert liar.add_controller()
    assert liar.m.remotes()["r0"]["devices"] == []
    assert liar.m.q.pci_read(2, 0, 4) == 0xffffffff


@pytest.mark.parametrize("command", ["rdevice_del", "remote_restart", "none"])
def test_an_addition_whose_link_is_held_by_another_process_ends(liar, command):
    """The remote dies while its link is probed, and a child of it keeps the link open."""
    liar.lie("""
        def do_object_add(self, args):
            if os.fork() == 0:
                self.sock.close()
                time.sleep(4)
                os._exit(0)
            threading.Timer(0.3, os._exit, [0]).start()
            return {}
        """)
    start = time.monotonic()
    with liar.m.connect() as other:
        other.send({"execute": "rdevice_add",
                    "arguments": {"rid": "r0", "driver": "lsi53c895a", "id": "lsi0", "addr": "2"}})
        wait_until(lambda: liar.m.remotes()["r0"]["state"] == "ready", "it does not start")
        if command == "rdevice_del":
            assert "no device" in liar.run("rdevice_del", rid="r0", id="lsi0")
        elif command == "remote_restart":
            liar.run("remote_restart", rid="r0")
        assert "error" in other.read_answer()
    assert time.monotonic() - start < BOUND


def test_what_was_a_disk_may_not_come_back_as_a_pci_function(liar):
    assert not liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk)
    assert not liar.run("rdevice_add", rid="r0", driver="scsi-hd", id="hd0", drive="d0")
    liar.lie("def do_qom_get(self, args): return 'lsi53c895a'")
    error = liar.run("remote_restart", rid="r0")
    assert error and "unlike before" in error
    assert not liar.m.remotes()["r0"]["devices"][0]["controller"]


def test_what_was_a_pci_function_may_not_come_back_as_a_disk(liar):
    assert not liar.add_controller()
    liar.lie("def do_qom_get(self, args): return 'scsi-hd'")
    error = liar.run("remote_restart", rid="r0")
    assert error and "unlike before" in error
    assert liar.m.remotes()["r0"]["devices"][0]["controller"]
    liar.lie()
    assert not liar.run("remote_restart", rid="r0")
    assert liar.m.q.pci_read(2, 0, 4) == 0x00121000


def test_devices_on_each_others_buses_can_be_removed(liar):
    for name, bus in (("a", "b.0"), ("b", "a.0"), ("c", "c.0")):
        assert not liar.run("rdevice_add", rid="r0", driver="scsi-hd", id=name, bus=bus)
    assert not liar.run("rdevice_del", rid="r0", id="a")
    assert [d["id"] for d in liar.m.remotes()["r0"]["devices"]] == ["c"]


def test_an_id_is_taken_while_it_is_added_elsewhere(liar):
    liar.lie("def do_device_add(self, args):\n    time.sleep(0.5)\n    return {}\n"
             "def do_qom_get(self, args): return 'scsi-hd'")
    with liar.m.connect() as other:
        other.send({"execute": "rdevice_add", "arguments": {"rid": "r0", "driver": "scsi-hd", "id": "same"}})
        wait_until(lambda: liar.m.remotes()["r0"]["state"] == "ready", "it does not start")
        error = liar.run("rdevice_add", rid="r1", driver="scsi-hd", id="same", drive="n0", bus="lsi1.0")
        assert error and "in use in remote process 'r0'" in error
        assert "return" in other.read_answer()


def test_ids_that_look_like_our_own_names(liar):
    """A user's link-lsi0 and descriptor of that name are no link of lsi0."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        liar.qmp.command("getfd", _fds=[theirs.fileno()], fdname="link-lsi0")
        assert not liar.run("rdevice_add", rid="r0", driver="pci-fake", id="link-lsi0", addr="4")
        assert not liar.add_controller()
        assert liar.run("rdevice_add", rid="r0", driver="pci-fake", id="link-link-lsi0", bus="no-such")
        assert liar.m.q.pci_read(2, 0, 4) == liar.m.q.pci_read(4, 0, 4) == 0x00121000
        liar.qmp.command("closefd", fdname="link-lsi0")      # it is still there
        assert not liar.run("rdevice_del", rid="r0", id="link-lsi0")
        assert liar.m.q.pci_read(2, 0, 4) == 0x00121000


# ----------------------------------------------------------------------------------- events

def memory_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


def growth_allowed_kib(pid):
    """ASan keeps up to 256 MiB of freed memory."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        return (512 if "asan" in maps.read() else 64) * 1024


FLOODS = {
    "BLOCK_IO_ERROR": "device='d', **{'node-name': 'n', 'operation': 'write', 'action': 'report', 'nospace': False, "
                      "'reason': 'x' * 200}",
    "DEVICE_DELETED": "device='lsi1', path='/machine/peripheral/lsi1'",
    "SCSI_BUS_RESET_WATCH": "device='lsi0', enabled=True",
    "STOP": "",
    "NONSENSE": "a='x' * 500",
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_events_holds_up_nobody_and_costs_bounded_memory(liar, name):
    liar.lie(f"""
        def do_device_add(self, args):
            self.devices[args["id"]] = args["driver"]
            threading.Thread(target=self.flood, daemon=True).start()
            return {{}}
        lock = threading.Lock()
        answers = False  # an answer waits for the lock: the flood lets it by, or its time would be over now and then
        def say(self, text):
            self.answers = True
            with self.lock:
                self.answers = False
                super().say(text)
        def flood(self):
            event = b"".join([json.dumps(dict(event={name!r}, data=dict({FLOODS[name]}))).encode() + b"\\n"] * 100)
            for _ in range(1000):
                while self.answers:
                    time.sleep(0.001)
                with self.lock:
                    self.raw(event)
        """)
    # A monitor that does not read: what is lost there is lost.
    with liar.m.connect() as deaf:
        assert deaf
        before = memory_kib(liar.m.pid)
        assert not liar.add_controller()
        first = liar.m.remotes()["r0"]["control"]["received"]
        worst, turns = 0.0, 0
        while True:
            start = time.monotonic()
            received = liar.m.remotes()["r0"]["control"]["received"]
            worst, turns = max(worst, time.monotonic() - start), turns + 1
            liar.qmp.events.clear()
            if received == first and turns > 50:
                break
            first = received
            time.sleep(0.01)
        assert worst < 5 * MONITOR     # the flood comes from this process, too
        assert memory_kib(liar.m.pid) - before < growth_allowed_kib(liar.m.pid)
        assert liar.qmp.command("query-status")["running"], "it has no drive that may stop the machine"
        assert liar.m.remotes()["r1"]["devices"], "it has removed another process's device"
        liar.m.works(liar.neighbour, 0x77)


WRONG_EVENTS = [
    {"event": "BLOCK_IO_ERROR"},
    {"event": "BLOCK_IO_ERROR", "data": {}},
    {"event": "BLOCK_IO_ERROR", "data": {"device": 1, "operation": "write", "action": "report", "reason": "x"}},
    {"event": "BLOCK_IO_ERROR", "data": {"device": "d", "operation": "burn", "action": "report", "reason": "x"}},
    {"event": "BLOCK_IO_ERROR", "data": {"device": "d", "operation": "read", "action": "stop", "reason": {},
                                         "rid": []}},
    {"event": "BLOCK_IO_ERROR", "data": {"device": "d", "operation": "read", "action": "stop", "reason": "r", "x": 1}},
    {"event": "DEVICE_DELETED"},
    {"event": "DEVICE_DELETED", "data": {"device": None}},
    {"event": "DEVICE_DELETED", "data": {"device": {"device": "lsi0"}}},
    {"event": "DEVICE_DELETED", "data": {"device": "lsi1", "path": "/machine/peripheral/lsi1"}},
    {"event": "DEVICE_TRAY_MOVED", "data": {"device": "d", "id": 3, "tray-open": "yes"}},
    {"event": "SCSI_BUS_RESET_WATCH"}, {"event": "SCSI_BUS_RESET_WATCH", "data": {"device": []}},
    {"event": "SCSI_BUS_RESET_WATCH", "data": {"device": "lsi1", "enabled": True}},
    {"event": "SCSI_BUS_RESET_WATCH", "data": {"device": "lsi0", "enabled": {"x": 1}}},
    {"event": "STOP", "data": {"x": [[[[]]]]}},
    {"event": "RESUME"}, {"event": "SHUTDOWN", "data": {"guest": True, "reason": "x"}}, {"event": "RESET"},
    {"event": "REMOTE_STATE", "data": {"id": "r1", "from": "ready", "to": "dead"}},
]


def test_wrong_events_go_no_further(liar):
    liar.lie(f"""
        def do_device_list_properties(self, args):
            for event in {WRONG_EVENTS!r}:
                self.say(event)
            return []
        """)
    liar.qmp.events.clear()
    assert not liar.add_controller()
    liar.qmp.command("query-status")
    # Our own, about r0 and its device.
    about = {(event["event"], event["data"].get("id", event["data"].get("device"))) for event in liar.qmp.events}
    assert about <= {("REMOTE_STATE", "r0"), ("REMOTE_LINK_STATE", "lsi0")}
    assert liar.m.remotes()["r1"]["state"] == "ready"


DELETED = "self.event('DEVICE_DELETED', device={!r}, path='/machine/peripheral/{}')\n"


@pytest.mark.parametrize("when", ["device_add", "qom_get", "object_add", "object_del", "device_del", "getfd"])
@pytest.mark.parametrize("victim", ["lsi0", "hd0", "lsi1"])
def test_device_deleted_at_a_bad_moment(liar, when, victim):
    liar.lie(f"""
        def do_{when}(self, args):
            {DELETED.format(victim, victim)}
            return super().do_{when}(args)
        """)
    liar.add_controller()
    liar.run("rdevice_add", rid="r0", driver="scsi-hd", id="hd0", bus="lsi0.0")
    liar.responsive()
    liar.run("remote_restart", rid="r0")
    liar.run("rdevice_del", rid="r0", id="hd0")
    liar.run("rdevice_del", rid="r0", id="lsi0")
    assert liar.m.remotes()["r1"]["devices"][0]["id"] == "lsi1"


def test_device_deleted_before_a_restarted_process_is_ready_is_not_heard(liar):
    assert not liar.add_controller()
    assert not liar.run("rdevice_add", rid="r0", driver="scsi-hd", id="hd0", bus="lsi0.0")
    liar.lie(f"""
        def do_qmp_capabilities(self, args):
            {DELETED.format("lsi0", "lsi0")}
            {DELETED.format("hd0", "hd0")}
            return {{}}
        """)
    assert not liar.run("remote_restart", rid="r0")
    assert [d["id"] for d in liar.m.remotes()["r0"]["devices"]] == ["lsi0", "hd0"]
    assert liar.m.q.pci_read(2, 0, 4) == 0x00121000


STOPPER = """
    def do_drive_add(self, args):
        threading.Thread(target=self.storm, daemon=True).start()
        return {}
    def do_cont(self, args):
        self.event("STOP")
        return {}
    def storm(self):
        time.sleep(0.3)
        self.event("STOP")
    """


def running(liar):
    return liar.qmp.command("query-status")["running"]


def test_a_remote_stops_the_machine_once_for_each_cont(liar):
    """What werror=enospc, the default, allows: "cont" may be answered by a stop, at the pace of who says it."""
    liar.lie(STOPPER)
    assert not liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk)
    for _ in range(20):
        wait_until(lambda: not running(liar), "STOP is not heard")
        assert liar.qmp.command("query-status")["status"] == "io-error"
        liar.responsive()
        liar.qmp.command("cont")
    wait_until(lambda: not running(liar), "STOP is not heard")
    os.kill(liar.m.remotes()["r0"]["pid"], signal.SIGKILL)
    liar.m.wait_state("r0", "dead")
    liar.qmp.command("cont")
    assert running(liar)


@pytest.mark.parametrize("options", [{"werror": "report"}, {"werror": "ignore", "rerror": "report"},
                                     {"readonly": "on"}], ids=str)
def test_a_remote_whose_drives_may_not_stop_the_machine_does_not(liar, options):
    liar.lie(STOPPER)
    assert not liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk, **options)
    wait_until(lambda: "none of its drives may stop" in liar.m.q.stderr(), "STOP is not heard")
    assert running(liar)


@pytest.mark.parametrize("options", [{"werror": "stop"}, {"readonly": "on", "rerror": "stop"}], ids=str)
def test_a_remote_whose_drives_may_stop_the_machine_does(liar, options):
    liar.lie(STOPPER.replace("def do_cont", "def do_never"))
    assert not liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk, **options)
    wait_until(lambda: not running(liar), "STOP is not heard")
    liar.qmp.command("cont")
    assert running(liar)


# ------------------------------------------------------------------------ silence and numbers

def test_events_for_ever_are_no_answer(liar):
    """A command's limit does not care what else is heard."""
    liar.lie("def do_device_add(self, args):\n    while True:\n        self.event('NOISE')\n        time.sleep(0.01)")
    error = liar.add_controller()
    assert error and "not answered within 1000 ms" in error


def test_a_remote_that_reads_nothing(liar):
    """Commands and descriptors for it wait here, as many as can be, and end with it."""
    liar.lie("def run(self):\n    self.greet()\n    self.answer(self.read_line())\n    self.answer(self.read_line())\n"
             "    time.sleep(99)")
    sessions = [liar.m.connect() for _ in range(8)]
    for i, session in enumerate(sessions):
        session.send({"execute": "rdrive_add", "arguments": {"rid": "r0", "id": f"d{i}", "file": liar.disk}})
    liar.responsive()
    for session in sessions:
        assert "error" in session.read_answer()
        session.close()


def test_256_operations_wait_and_no_more(main_program, tmp_path):
    """More are refused, also by the command line, which tries again when some have succeeded."""
    drives = [word for i in range(300)
              for word in ("-rdrive", f"rid=r,id=d{i},file=null-co://,format=raw")]
    with Managed(main_program, tmp_path, *drives) as m:
        assert len(m.remotes()["r"]["drives"]) == 300
    script = write_script(tmp_path / "liar", "def do_qom_list_types(self, args):\n    time.sleep(99)")
    with pytest.raises(QtestError, match="not ready"):
        Qtest(main_program, ["-nodefaults", "-remote", f"rid=r,exec={script},timeout=1000", *drives]).close()


def test_the_65th_process_is_refused(main_program, tmp_path):
    options = [word for i in range(64) for word in ("-remote", f"rid=p{i}")]
    with Managed(main_program, tmp_path, *options) as m:
        before = Holdings(m.pid)
        with pytest.raises(QmpError, match="64 remote processes"):
            m.qmp.command("rdevice_add", rid="one-more", driver="lsi53c895a", id="x")
        with pytest.raises(QmpError, match="64 remote processes"):
            m.qmp.command("rdrive_add", rid="one-more", id="x", file=image(tmp_path / "disk"))
        m.qmp.command("rdevice_add", rid="p63", driver="lsi53c895a", id="x")
        m.qmp.command("rdevice_del", rid="p63", id="x")
        m.wait_state("p63", "gone")
        wait_same_holdings(m.pid, before)


def test_64_processes_live_side_by_side(main_program, tmp_path):
    script = write_script(tmp_path / "liar")
    options = [word for i in range(64)
               for word in ("-remote", f"rid=p{i},exec={script},timeout=60000,heartbeat-limit=60000",
                            "-rdrive", f"rid=p{i},id=d{i},file=null-co://,format=raw")]
    with Managed(main_program, tmp_path, *options) as m:
        assert [e["state"] for e in m.remotes().values()] == ["ready"] * 64
        with pytest.raises(QmpError, match="64 remote processes"):
            m.qmp.command("rdrive_add", rid="one-more", id="x", file="null-co://")


def test_a_monitor_client_that_goes_does_not_take_its_addition_with_it(liar):
    liar.lie("def do_device_add(self, args):\n    time.sleep(0.5)\n    self.devices[args['id']] = args['driver']\n"
             "    return {}")
    other = liar.m.connect()
    other.send({"execute": "rdevice_add",
                "arguments": {"rid": "r0", "driver": "lsi53c895a", "id": "lsi0", "addr": "2"}})
    liar.m.wait_state("r0", "ready")
    other.close()
    liar.responsive()
    wait_until(lambda: liar.m.remotes()["r0"]["devices"], "the addition was lost")
    assert liar.m.q.pci_read(2, 0, 4) == 0x00121000


def test_a_controller_is_removed_while_its_process_starts_again(liar):
    assert not liar.add_controller()
    liar.lie("def do_device_add(self, args):\n    time.sleep(0.3)\n    self.devices[args['id']] = args['driver']\n"
             "    return {}")
    with liar.m.connect() as other, liar.m.connect() as third:
        other.send({"execute": "remote_restart", "arguments": {"rid": "r0"}})
        liar.m.wait_event("REMOTE_STATE", id="r0", to="restarting")
        third.send({"execute": "rdevice_del", "arguments": {"rid": "r0", "id": "lsi0"}})
        assert liar.run("device_del", id="lsi0") is None
        assert "return" in other.read_answer()
        third.read_answer()
    wait_until(lambda: not liar.m.remotes()["r0"]["devices"], "the device is kept")


def test_an_error_cannot_command_the_users_terminal(liar):
    liar.lie("def do_device_add(self, args): raise Refusal('\\x1b[2Jgone\\x07')")
    text = liar.qmp.hmp("rdevice_add r0 lsi53c895a,id=lsi0")
    if "gone" not in text:
        text = liar.qmp.hmp("rdevice_add rid=r0,driver=lsi53c895a,id=lsi0")
    assert "gone" in text and "\x1b" not in text and "\x07" not in text


# ---------------------------------------------------------------------------------- on-death

def kill(liar, rid="r0"):
    os.kill(liar.m.remotes()[rid]["pid"], signal.SIGKILL)
    liar.m.wait_state(rid, "dead")


@pytest.fixture
def pausing(main_program, tmp_path):
    """r0 and r2 have on-death=pause, and a controller each."""
    script = write_script(tmp_path / "liar2")
    liar = Liar(main_program, tmp_path, "-remote", f"rid=r2,exec={script},on-death=pause,{LIMITS}",
                options=",on-death=pause")
    assert not liar.add_controller()
    assert not liar.run("rdevice_add", rid="r2", driver="lsi53c895a", id="lsi2", addr="4")
    yield liar
    liar.close()


def test_a_pause_that_cont_has_ended_does_not_come_back(pausing):
    kill(pausing)
    assert not running(pausing)
    pausing.qmp.command("cont")
    pausing.qmp.command("stop")
    assert not pausing.run("remote_restart", rid="r0")
    assert not running(pausing), "the user's stop was undone"
    pausing.qmp.command("cont")


def test_a_pause_for_two_processes_ends_with_the_second(pausing):
    kill(pausing)
    kill(pausing, "r2")
    assert not pausing.run("remote_restart", rid="r0")
    assert not running(pausing)
    assert not pausing.run("remote_restart", rid="r2")
    assert running(pausing)


def test_a_pause_ends_with_the_removal_of_the_devices(pausing):
    kill(pausing)
    assert not running(pausing)
    assert not pausing.run("rdevice_del", rid="r0", id="lsi0")
    wait_until(lambda: running(pausing), "the machine stands")


# ---------------------------------------------------------------------------- start and end

def start_with(main_program, script, *args, options=""):
    return subprocess.Popen([main_program, "-accel", "qtest", "-nodefaults", "-m", "16", "-display", "none",
                             "-remote", f"rid=r,exec={script},timeout=60000{options}",
                             "-rdevice", "lsi53c895a,rid=r,id=x", *args],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("methods", [
    "def greet(self): pass",
    "def do_device_add(self, args): return SILENCE",
    "def do_object_add(self, args): return {}",
], ids=["greeting", "device_add", "probe"])
def test_sigterm_ends_a_start_that_waits(main_program, tmp_path, methods):
    script = write_script(tmp_path / "liar", methods)
    with start_with(main_program, script) as process:
        left = wait_until(lambda: len(children(process.pid)) > 1 and children(process.pid), "nothing is started")
        time.sleep(0.5)                 # into the wait: before and after are right, too
        process.terminate()
        assert process.wait(BOUND) == 0, process.stderr.read()
        for pid in left:
            wait_until(lambda pid=pid: not alive(pid), "a process is left")


def test_on_death_exit_ends_a_start(main_program, tmp_path):
    """It does not wait for what others have not answered."""
    script = write_script(tmp_path / "liar", "def do_device_add(self, args): os._exit(4)")
    silent = write_script(tmp_path / "silent", "def greet(self): pass")
    with start_with(main_program, script, "-remote", f"rid=s,exec={silent},timeout=60000",
                    "-rdrive", "rid=s,id=d,file=null-co://", options=",on-death=exit") as process:
        assert process.wait(BOUND) == 1
        assert "on-death=exit" in process.stderr.read()


@pytest.mark.parametrize("rdevice", [False, True], ids=["idle", "busy"])
def test_a_remote_that_hears_neither_quit_nor_sigterm_is_ended(main_program, tmp_path, rdevice):
    script = write_script(tmp_path / "liar", """
        def do_quit(self, args): return {}
        def run(self):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            super().run()
        def ended(self): time.sleep(99)
        def do_object_add(self, args): return {}
        """)
    with Managed(main_program, tmp_path, "-remote", f"rid=r,exec={script},timeout=60000,heartbeat-limit=90000",
                 "-rdrive", "rid=r,id=d,file=null-co://") as m:
        pid = m.remotes()["r"]["pid"]
        if rdevice:
            with m.connect() as other:
                other.send({"execute": "rdevice_add", "arguments": {"rid": "r", "driver": "lsi53c895a", "id": "x"}})
                time.sleep(0.3)
        start = time.monotonic()
        m.q.process.terminate()
        m.q.process.wait(BOUND)
        assert time.monotonic() - start < 10
        wait_until(lambda: not alive(pid), "it lives on")


def test_a_control_channel_that_is_closed_at_once(main_program, tmp_path):
    for shut in ("close", "read", "fill"):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            if shut == "close":
                theirs.close()
            elif shut == "read":
                theirs.shutdown(socket.SHUT_RD)
            else:
                theirs.sendall(b" " * 10000)
            with pytest.raises(QtestError, match="-rdevice.*'r'"):
                Qtest(main_program, ["-nodefaults", "-remote", f"rid=r,fd={ours.fileno()},timeout=1000",
                                     "-rdevice", "lsi53c895a,rid=r,id=x"], pass_fds=[ours.fileno()]).close()


def test_few_descriptors_are_an_error_and_no_crash(liar):
    """Each step of an addition without a free number."""
    soft, hard = resource.prlimit(liar.m.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{liar.m.pid}/fd"))
    failed = 0
    try:
        for free in range(0, 24):
            resource.prlimit(liar.m.pid, resource.RLIMIT_NOFILE, (used + free, hard))
            error = liar.run("rdrive_add", rid="r0", id="d0", file=liar.disk) or liar.add_controller()
            failed += error is not None
            liar.responsive()
            resource.prlimit(liar.m.pid, resource.RLIMIT_NOFILE, (soft, hard))
            liar.clean()
    finally:
        resource.prlimit(liar.m.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert failed
