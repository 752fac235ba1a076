# SPDX-License-Identifier: GPL-2.0-or-later
# What happens when a remote process dies, hangs or lies: every fault, at every time, under every policy.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""The kill matrix.

Each case: a machine with a healthy neighbour (process r1) gets a process r0 with a controller and a disk at run time.
A fault strikes r0 at a chosen time.  What must hold, whatever fault and time:

  - the access under way returns in bounded time, and reads all ones;
  - monitor and neighbour answer meanwhile;
  - an event says that r0 is dead, and why;
  - the policy is carried out;
  - when r0's objects have been removed, nothing of it is left, and a new one of the same name works.

The main emulator is not confined, but in one case of each policy; MPQEMU_MAIN_SANDBOX=on confines it in all.
"""

import contextlib
import os
import signal
import threading
import time

import pytest

from device_process import CONFINES
from faulty_remote import Faults, write_script
from lsi_driver import PCI_COMMAND, SCRATCHA
from managed import Holdings, Managed, QmpError, alive, image, wait_same_holdings, wait_until

# Long enough for a loaded machine to start a process, short enough to wait for.
LIMITS = "timeout=2500,heartbeat-interval=400,heartbeat-limit=2000"
SLOWER = 8.0        # seconds: beyond every limit
MONITOR = 1.0       # a monitor that is held up by a fault would wait for LIMITS

FAULTS = ["kill", "stop", "half-close", "garbage", "slow"]
TIMES = ["idle", "config", "bar-read", "bar-write", "dma", "hot-plug"]
POLICIES = ["detach", "restart", "pause", "exit"]


class Case:
    """A machine with r1 healthy and r0 ready to be struck."""

    def __init__(self, main_program, remote_program, directory, policy, *options):
        self.directory, self.policy = directory, policy
        self.faults = Faults(directory / "faults")
        script = write_script(directory / "faulty-remote", remote_program, self.faults.path)
        self.m = Managed(main_program, directory, *options,
                         "-remote", f"rid=r0,exec={script},on-death={policy},{LIMITS}",
                         "-rdrive", f"rid=r1,id=n0,file={image(directory / 'neighbour', 0x77)},format=raw",
                         "-rdevice", "lsi53c895a,rid=r1,id=lsi1,addr=3",
                         "-rdevice", "scsi-hd,rid=r1,id=nhd,drive=n0,bus=lsi1.0",
                         status=1 if policy == "exit" else 0)
        self.images = [image(directory / f"disk{i}") for i in range(2)]
        self.neighbour = self.m.lsi(3)
        self.m.works(self.neighbour, 0x77)
        self.unmap(self.neighbour)
        self.before = Holdings(self.m.pid)
        self.add()
        self.lsi = self.m.lsi(2)
        self.m.works(self.lsi)
        self.struck = self.faults.instance()
        self.error = None

    def unmap(self, lsi):
        """The tests' controllers share one set of addresses."""
        self.m.q.pci_write(lsi.slot, PCI_COMMAND, 2, 0)

    def add(self):
        self.m.qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi0", addr="2")
        self.m.add_disk("r0", "lsi0", 0, self.images[0], **{"scsi-id": 0})

    def remove(self):
        for device in ("hd0", "lsi0"):
            self.m.qmp.command("rdevice_del", rid="r0", id=device)
        for drive in self.m.remotes()["r0"]["drives"]:
            self.m.qmp.command("rdrive_del", rid="r0", id=drive["id"])
        wait_until(lambda: self.m.remotes()["r0"]["state"] == "gone", "the last object's process stays")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.faults.close()
        self.m.__exit__(*exc)

    # -- the guest's access at the time of the fault --------------------------------------------

    def begin(self, when):
        """Brings the machine to the moment WHEN."""
        q = self.m.q
        if when == "config":
            port = q.pci_select(2, 0)
            self.struck.order(hold="config")
            q.send(f"inl 0x{port:x}")
        elif when == "bar-read":
            self.struck.order(hold="bar-read")
            q.send(f"readl 0x{0xe0000000 + SCRATCHA:x}")
        elif when == "bar-write":
            self.struck.order(hold="bar-write")
            q.send(f"writel 0x{0xe0000000 + SCRATCHA:x} 0x1")
        elif when == "dma":
            self.lsi.start([0x28, 0, 0, 0, 0, 0, 0, 4, 0, 0], data_len=1024 * 512)
            return
        elif when == "hot-plug":
            self.struck.order(hold="control:device_add")
            self.plug = threading.Thread(target=self.hot_plug)
            self.plug.start()
        else:
            return
        self.struck.wait_held()

    def hot_plug(self):
        with self.m.connect() as qmp:
            try:
                qmp.command("rdrive_add", rid="r0", id="d1", file=self.images[1], format="raw")
                qmp.command("rdevice_add", rid="r0", id="hd1", driver="scsi-hd", drive="d1", bus="lsi0.0")
            except (QmpError, ConnectionError) as error:
                self.error = error

    def strike(self, fault, when):
        where = "control" if when == "hot-plug" else "link"
        if fault in ("kill", "stop"):
            os.kill(self.struck.pid, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[fault])
        else:
            with contextlib.suppress(ConnectionError):      # it may be killed before it has said "done"
                self.struck.order(fault=fault, where=where, delay=SLOWER)

    def end(self, when):
        """The end of what begin() began, and one more access in any case."""
        q = self.m.q
        if when in ("config", "bar-read"):
            assert int(q.answer(10), 0) == 0xffffffff
        elif when == "bar-write":
            q.answer(10)
        elif when == "hot-plug":
            self.plug.join(20)
            assert not self.plug.is_alive() and self.error, "a hot-plug in a process that died has succeeded"
        start = time.monotonic()
        value = q.readl(0xe0000000 + SCRATCHA)
        assert time.monotonic() - start < 10
        return value


def check_detach(case):
    m, entry = case.m, case.m.wait_state("r0", "dead")
    assert entry["reason"] and "pid" not in entry
    link = entry["devices"][0]["link"]
    assert m.q.pci_read(2, 0, 4) == 0xffffffff
    m.q.writel(0xe0000000 + SCRATCHA, 1)
    after = m.remotes()["r0"]["devices"][0]["link"]
    assert link["state"] == "dead"
    assert after["dropped-writes"] == link["dropped-writes"] + 1
    assert after["dropped-reads"] > link["dropped-reads"]
    assert m.qmp.command("query-status")["running"]
    with pytest.raises(QmpError, match="dead"):
        m.qmp.command("rdrive_add", rid="r0", id="d9", file=case.images[1], format="raw")
    case.unmap(case.neighbour)


def check_restart(case):
    entry = case.m.wait_state("r0", "ready")
    assert entry["restarts"] == 1 and entry["pid"] != case.struck.pid
    assert entry["devices"][0]["link"]["state"] == "ready"
    # The guest's BARs and command register are where they were.
    case.m.works(case.lsi)


def check_pause(case):
    m = case.m
    m.wait_state("r0", "dead")
    assert m.qmp.command("query-status") == {"status": "paused", "singlestep": False, "running": False}
    m.qmp.command("remote_restart", rid="r0")
    assert m.qmp.command("query-status")["running"]
    check_restart(case)


CHECKS = {"detach": check_detach, "restart": check_restart, "pause": check_pause}


def check_fault(case, fault, when, policy):
    m = case.m
    case.begin(when)
    case.strike(fault, when)
    start = time.monotonic()
    assert m.qmp.command("query-status")
    assert "r0" in m.remotes()
    assert time.monotonic() - start < MONITOR, "the monitor is held up by a remote"
    if policy == "exit":
        # The links' faults are noticed by an access.
        try:
            case.end(when)
        except Exception:           # pylint: disable=broad-except
            pass                    # the emulator ends in the middle of it
        assert m.q.process.wait(20) == 1
        wait_until(lambda: not alive(case.struck.pid) and not alive(case.struck.real), "processes are left")
        assert "r0" in m.q.stderr()
        return
    value = case.end(when)
    event = m.wait_event("REMOTE_STATE", id="r0", to="dead")["data"]
    assert event["from"] in ("ready", "suspect") and event["reason"]
    if fault in ("kill", "stop"):
        assert event["signal"] == signal.SIGKILL            # its own, or ours
    else:
        assert event.get("signal") == signal.SIGKILL or event["exit-status"] == 0   # when it saw our end
    assert value == 0xffffffff or policy == "restart"
    CHECKS[policy](case)
    # The neighbour has not noticed.
    if policy != "detach":
        case.unmap(case.lsi)
    m.works(case.m.lsi(3), 0x77)
    case.unmap(case.neighbour)
    neighbour = m.remotes()["r1"]
    assert neighbour["restarts"] == 0 and neighbour["state"] in ("ready", "suspect")    # a busy machine is late
    # Nothing is left of it, and the name can be used again.
    case.remove()
    wait_until(lambda: not alive(case.struck.pid) and not alive(case.struck.real), "the process is left")
    wait_same_holdings(m.pid, case.before)
    if policy == "detach":
        case.add()
        m.works(m.lsi(2))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(main_program, remote_program, tmp_path, fault, when, policy):
    with Case(main_program, remote_program, tmp_path, policy) as case:
        check_fault(case, fault, when, policy)


@pytest.mark.skipif(not CONFINES,
                    reason="what a sanitizer does at the end of a process is not on the list of system calls")
@pytest.mark.parametrize("policy", POLICIES)
def test_fault_of_a_confined_main_emulators_remote(main_program, remote_program, tmp_path, policy):
    with Case(main_program, remote_program, tmp_path, policy, "-sandbox", "on") as case:
        assert case.m.qmp.command("query-sandbox")["level"] == "seccomp"
        check_fault(case, "kill", "bar-read", policy)
