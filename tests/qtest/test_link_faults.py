# SPDX-License-Identifier: GPL-2.0-or-later
# Our main emulator and our device process with a faulty link between them: every fault, in both directions.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""tests/peers/link_shim.py stands in the middle of one link; a second device, in a process of its own, has none.

Whatever the shim does to a message: the guest's access ends in bounded time, with the right value or with all ones; who
sees that the stream is broken ends the link and says why, once; nothing crashes; the other device works."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

import link_shim
import mpqemu_link
from faulty_remote import Faults, write_script
from lsi_driver import BUFFER, DONE, ISTAT0, ISTAT_DIP, SCRATCHA, SCRATCHB, Lsi
from managed import Managed, image, wait_until
from qtest import Qtest, QtestError

TIMEOUT_MS = 1500
LIMIT = 20.0                  # seconds; a hang would last longer
BASE = 0xe0010000             # the faulty device's; the neighbour is where lsi_driver wants it
ALL_ONES = 0xffffffff
VALUE, OTHER = 0x12345678, 0x0badcafe

NO_ANSWER = "no answer in time"
HUNG_UP = "peer closed|closed the connection"


class Rig:
    """mpqemu with two controllers, each with a disk in a qemu-remote of its own; the link of the first is faulty.

    rules   of the start, for link_shim.Rule
    """

    def __init__(self, main_program, remote_program, directory, *rules):
        main_end, middle_main = mpqemu_link.socket_pair()
        remote_end, middle_remote = mpqemu_link.socket_pair()
        main_end2, remote_end2 = mpqemu_link.socket_pair()
        self.remotes = []
        for number, end in enumerate((remote_end, remote_end2)):
            path = image(directory / f"disk{number}.img", 0x30 + number)
            self.remotes.append(subprocess.Popen(
                [remote_program, "-machine", "x-remote", "-nodefaults", "-device", "lsi53c895a,id=lsi0",
                 "-drive", f"id=d0,if=none,format=raw,file={path}", "-device", "scsi-hd,drive=d0,bus=lsi0.0",
                 "-object", f"x-remote-object,id=r0,devid=lsi0,fd={end.fileno()}"],
                pass_fds=[end.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
            end.close()
        self.shim = link_shim.FaultyLink(middle_main, middle_remote, [link_shim.Rule(*rule) for rule in rules],
                                         on_kill=self.remotes[0].kill)
        self.shim.start()
        args = ["-m", "16", "-nodefaults"]
        for number, end in enumerate((main_end, main_end2)):
            args += ["-device", f"pci-proxy-dev,id=p{number + 1},fd={end.fileno()},timeout={TIMEOUT_MS}"]
        try:
            self.q = Qtest(main_program, args, pass_fds=[main_end.fileno(), main_end2.fileno()])
        except QtestError:
            main_end.close()
            main_end2.close()
            self.shim.stop()
            self._end_remotes()
            raise
        main_end.close()
        main_end2.close()
        self.neighbour = Lsi(self.q, 3)
        self.results = None

    def __enter__(self):
        try:
            self.q.pci_write(2, 0x14, 4, BASE)
            self.q.pci_write(2, 4, 2, 6)
            self.neighbour.map_bars()
            self.neighbour.start_up()
        except BaseException:
            self.__exit__(True)
            raise
        return self

    def __exit__(self, kind, *_):
        """Everything ends: the main emulator and the neighbour well.  results: (status, text) of the faulty remote."""
        status = self.q.close()
        self.shim.stop()
        results = self._end_remotes()
        self.results = results[0]
        assert kind or status == 0
        assert kind or results[1] == (0, ""), results[1]

    def _end_remotes(self):
        """(status, text) of each; their links are closed."""
        try:
            return [(remote.wait(LIMIT), remote.stderr.read()) for remote in self.remotes]
        finally:
            for remote in self.remotes:
                if remote.poll() is None:
                    remote.kill()
                    remote.wait()
                remote.stderr.close()

    # -- the faulty device ------------------------------------------------------------------------

    def read(self, register=SCRATCHA):
        """A register; in bounded time."""
        begin = time.monotonic()
        value = self.q.readl(BASE + register)
        assert time.monotonic() - begin < LIMIT
        return value

    def write(self, value, register=SCRATCHA):
        self.q.writel(BASE + register, value)

    def said(self):
        """What the main emulator has said of it."""
        return [line for line in self.q.stderr().splitlines() if "p1" in line]

    def must_be_dead(self, reason):
        """All ones at once, and one line that says why."""
        begin = time.monotonic()
        for _ in range(50):
            assert self.read() == ALL_ONES
            self.write(1)
        assert time.monotonic() - begin < LIMIT
        said = self.said()
        assert len(said) == 1 and re.search(f"({reason}).*; the device is dead", said[0]), said

    def must_live(self):
        for value in (0x5eed, VALUE):
            self.write(value)
            assert self.read() == value
        assert self.said() == []

    # -- the other one ------------------------------------------------------------------------------

    def neighbour_works(self):
        """Its registers, its DMA and its disk."""
        self.neighbour.start_up()
        for _ in range(4):              # the first command is told of the power-on
            self.neighbour.start([0x28, 0, 0, 0, 0, 5, 0, 0, 1, 0], data_len=512)
            wait_until(lambda: self.neighbour.readb(ISTAT0) & ISTAT_DIP, "the neighbour's command")
            assert self.neighbour.acknowledge()[2] == DONE
            if self.neighbour.status() == 0:
                break
            self.neighbour.start([3, 0, 0, 0, 18, 0], data_len=18)
            wait_until(lambda: self.neighbour.readb(ISTAT0) & ISTAT_DIP, "the neighbour's REQUEST SENSE")
            self.neighbour.acknowledge()
        assert self.q.read(BUFFER, 512) == b"\x31" * 512
        assert self.remotes[1].poll() is None


# Rule, and what comes of it: None (nothing is broken), or why the main emulator ends the link.
FAULTS = [
    ("to-remote", "delay=100", None),
    ("to-remote", "delay=5000", NO_ANSWER),
    ("to-remote", "drop", NO_ANSWER),
    ("to-remote", "truncate=5", NO_ANSWER),
    ("to-remote", "truncate=20", NO_ANSWER),
    ("to-remote", "duplicate", "bytes that nobody has asked for|bytes behind the answer"),
    ("to-remote", "swap", NO_ANSWER),
    ("to-remote", "corrupt=0", HUNG_UP),
    ("to-remote", "corrupt=4", None),
    ("to-remote", "corrupt=8", HUNG_UP),
    ("to-remote", "corrupt=15", HUNG_UP),
    ("to-remote", "close", HUNG_UP),
    ("to-remote", "kill", HUNG_UP),
    ("to-main", "delay=100", None),
    ("to-main", "delay=5000", NO_ANSWER),
    ("to-main", "drop", NO_ANSWER),
    ("to-main", "truncate=5", NO_ANSWER),
    ("to-main", "truncate=20", NO_ANSWER),
    ("to-main", "duplicate", "bytes that nobody has asked for|bytes behind the answer"),
    ("to-main", "swap", NO_ANSWER),
    ("to-main", "corrupt=0", "command 254 is unknown"),
    ("to-main", "corrupt=4", None),
    ("to-main", "corrupt=8", "RET: 247 bytes of payload"),
    ("to-main", "corrupt=15", "RET: 18374686479671623688 bytes of payload"),
    ("to-main", "close", HUNG_UP),
    ("to-main", "kill", HUNG_UP),
]
IDS = [f"{direction}-{action}" for direction, action, _ in FAULTS]

# What the device process says when it is the one that sees it: (exit status, text).
REMOTE_SAYS = {
    ("to-remote", "truncate=5"): (0, "link ended: peer closed inside a message"),
    ("to-remote", "truncate=20"): (0, "link ended: peer closed inside a message"),
    ("to-remote", "corrupt=0"): (1, "link ended: command 25. is unknown"),
    ("to-remote", "corrupt=8"): (1, "link ended: BAR_.*: 231 bytes of payload, must be 24"),
    ("to-remote", "corrupt=15"): (1, "link ended: BAR_.*: 18374686479671623704 bytes of payload, must be 24"),
}


def check_remote(rig, direction, action):
    """The faulty link's device process has ended as it should, and said what it saw, once."""
    status, text = rig.results
    if action == "kill":
        assert (status, text) == (-signal.SIGKILL, "")
        return
    expected, said = REMOTE_SAYS.get((direction, action), (0, None))
    assert status == expected, text
    if action == "delay=5000" and text:         # its answer comes when nobody is there any more
        said = "link ended: peer closed"
    assert len(text.splitlines()) == (1 if said else 0), text
    assert not said or re.search(said, text), text


@pytest.mark.parametrize("access", ["read", "write"])
@pytest.mark.parametrize("direction, action, reason", FAULTS, ids=IDS)
def test_fault_in_an_access(main_program, remote_program, tmp_path, direction, action, reason, access):
    with Rig(main_program, remote_program, tmp_path) as rig:
        rig.must_live()
        rig.write(OTHER, SCRATCHB)
        rig.shim.arm((direction, action))
        if access == "write":
            rig.write(VALUE)
        else:
            assert rig.read() in (VALUE, ALL_ONES)
        assert rig.shim.rules[0].hits == 1
        if reason is None:
            rig.must_live()
        else:
            # A doubled answer is found a little later; for that long, values are the last register's.  A confined
            # process dies a little after the one that was killed, which watches it.
            deadline = time.monotonic() + LIMIT
            while rig.read(SCRATCHB) != ALL_ONES:
                assert action in ("duplicate", "kill") and time.monotonic() < deadline
            rig.must_be_dead(reason)
        rig.neighbour_works()
    check_remote(rig, direction, action)


@pytest.mark.parametrize("direction", link_shim.DIRECTIONS)
@pytest.mark.parametrize("offset", range(16, 40))
def test_payload_that_was_changed_is_another_message(main_program, remote_program, tmp_path, direction, offset):
    """Nobody can see that; it is answered, or refused, as what it is now."""
    with Rig(main_program, remote_program, tmp_path) as rig:
        rig.must_live()
        rig.shim.arm((direction, f"corrupt={offset}"))
        rig.read()
        rig.neighbour_works()
        assert len(rig.said()) <= 1
        rig.read()
    assert rig.results[0] in (0, 1)


@pytest.mark.parametrize("when", [1, 2, 20])
@pytest.mark.parametrize("direction, action, reason", FAULTS, ids=IDS)
def test_fault_while_the_main_emulator_starts(main_program, remote_program, tmp_path, direction, action, reason, when):
    """The shape of a device comes over the link: either it starts as ever, or it says what is wrong and ends."""
    begin = time.monotonic()
    try:
        with Rig(main_program, remote_program, tmp_path, (direction, f"{action}@{when}")) as rig:
            rig.neighbour_works()
            if rig.said() == []:
                rig.must_live()
    except QtestError as error:
        assert reason is not None
        assert "exit status 1" in str(error) and "p1" in str(error), error
        assert len(str(error).strip().splitlines()) == 1, error
    assert time.monotonic() - begin < LIMIT


@pytest.mark.parametrize("rule", [f"{action}@command:{command}:1"
                                  for command in (mpqemu_link.SYNC_SYSMEM, mpqemu_link.SET_IRQFD)
                                  for action in ("duplicate", "swap", "drop", "truncate=30", "corrupt=20",
                                                 "delay=100")])
def test_fault_in_a_message_with_descriptors(main_program, remote_program, tmp_path, rule):
    """Memory table and interrupt: sent without a reply, with descriptors, of which none may be lost or left."""
    try:
        with Rig(main_program, remote_program, tmp_path, ("to-remote", rule)) as rig:
            assert rig.shim.rules[0].hits == 1
            if rule.startswith(("duplicate", "swap", "delay")):
                rig.must_live()
            else:
                rig.read()
            rig.neighbour_works()
            fds = len(os.listdir("/proc/self/fd"))
            rig.q.pci_read(2, 0, 4)
            assert len(os.listdir("/proc/self/fd")) <= fds
    except QtestError as error:
        assert "exit status 1" in str(error) and "p1" in str(error), error


@pytest.mark.parametrize("seed", range(6))
def test_many_faults_by_chance(main_program, remote_program, tmp_path, seed):
    """Until the link dies of one; the same by the same seed."""
    actions = ["delay=5", "corrupt=16", "corrupt=17", "drop", "duplicate", "swap", "truncate=30", "corrupt=9"]
    with Rig(main_program, remote_program, tmp_path) as rig:
        rig.shim.rules = [link_shim.Rule(direction, f"{action}@random:{10 if i < 3 else 1}")
                          for direction in link_shim.DIRECTIONS for i, action in enumerate(actions)]
        deadline = time.monotonic() + LIMIT
        while not rig.said() and time.monotonic() < deadline:
            rig.write(VALUE)
            rig.read()
        rig.neighbour_works()
        assert len(rig.said()) == 1
    assert rig.results[0] in (0, 1)


# -- a device that gets another process --------------------------------------------------------------

FATAL = [(direction, action) for direction, action, reason in FAULTS
         if reason and action not in ("duplicate", "truncate=5", "corrupt=15")]


@pytest.mark.parametrize("direction, action", FATAL, ids=[f"{d}-{a}" for d, a in FATAL])
def test_link_that_broke_is_made_again(main_program, remote_program, tmp_path, direction, action):
    """on-death=restart: the same fault strikes the process's successor, too; the third is left alone."""
    limits = "timeout=2000,heartbeat-interval=400,heartbeat-limit=2000"
    with Faults(tmp_path / "faults", first={"rules": []}) as faults:
        script = write_script(tmp_path / "faulty-remote", remote_program, faults.path)
        with Managed(main_program, tmp_path, "-remote", f"rid=r0,exec={script},on-death=restart,{limits}",
                     "-rdrive", f"rid=r0,id=d0,file={image(tmp_path / 'disk')},format=raw",
                     "-rdevice", "lsi53c895a,rid=r0,id=lsi0,addr=2",
                     "-rdevice", "scsi-hd,rid=r0,id=hd0,drive=d0,bus=lsi0.0") as m:
            lsi = m.lsi(2)
            m.works(lsi)
            for number in range(2):
                faults.instance(number).order(rules=[(direction, action)])
                assert lsi.readl(SCRATCHA) in (ALL_ONES, VALUE)
                data = m.wait_event("REMOTE_STATE", id="r0", to="dead")["data"]
                assert data["reason"]
                assert m.qmp.command("query-status")["running"]
                faults.instance(number + 1)
                m.wait_state("r0", "ready")
                wait_until(lambda: m.q.pci_read(2, 0, 4) == 0x00121000, "the device comes back")
                lsi.map_bars()
                m.works(lsi)


# -- by hand --------------------------------------------------------------------------------------------

def test_the_shim_by_hand(main_program, remote_program):
    """As a program between two others, with ours and their command lines."""
    remote = f"{remote_program} -device lsi53c895a,id=lsi0 -object x-remote-object,id=r0,devid=lsi0,fd={{fd}}"
    main = f"{main_program} -m 16 -accel qtest -qtest stdio -device pci-proxy-dev,id=p1,fd={{fd}},timeout=1000"
    shim = [sys.executable, os.path.join(os.path.dirname(link_shim.__file__), "link_shim.py")]
    result = subprocess.run([*shim, "--to-main", "delay=1@every:5", "--to-remote", "close@90", "--remote", remote,
                             "--main", main], input="outl 0xcf8 0x80001000\ninl 0xcfc\n" + "inl 0xcfc\n" * 60,
                            capture_output=True, text=True, timeout=LIMIT, check=True)
    lines = result.stdout.splitlines()
    assert lines[1] == "OK 0x121000" and lines[-1] == "OK 0xffffffff", (lines, result.stderr)
    assert "link_shim: to-remote close@90: 1 of 90 messages" in result.stderr
    for wrong in (["--to-main", "drop"], ["--to-main", "delay@3"], ["--to-main", "drop=3@3"],
                  ["--to-main", "drop@every:0"], ["--to-main", "nonsense@3"], ["--to-remote", "drop@command:3"],
                  ["--remote", "fd:0", "--to-main", "kill@3"]):
        failed = subprocess.run([*shim, "--remote", "fd:0", "--main", "fd:0", *wrong], capture_output=True, text=True,
                                timeout=LIMIT, check=False)
        assert failed.returncode == 2 and wrong[-1].split("@")[0] in failed.stderr, failed.stderr
