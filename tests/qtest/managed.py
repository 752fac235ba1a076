# SPDX-License-Identifier: GPL-2.0-or-later
# An mpqemu that manages its remote processes, with its monitor and a guest's driver at hand.
# Runs in: neither program; drives mpqemu from outside.
"""Harness of the tests of -rdevice, -rdrive and the commands on remote processes."""

import collections
import contextlib
import os
import signal
import threading
import time

from device_process import held
from lsi_driver import BUFFER, DONE, SCRATCHA, Ioapic, Lsi
from qmp import Qmp, QmpError
from qtest import Qtest

WAIT = 30
MAIN_SANDBOX = os.environ.get("MPQEMU_MAIN_SANDBOX")
PATIENCE = 10.0     # seconds after which a monitor that does not answer is given up by an Asker


def wait_until(condition, what, seconds=WAIT):
    """Waits until CONDITION() is true; its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.005)


def alive(pid):
    """Whether process PID runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def proc_name(pid):
    """The name of process PID for ps."""
    with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
        return comm.read().strip()


def children(pid):
    """Pids of all processes that descend from PID."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as text:
            for child in map(int, text.read().split()):
                found += [child, *children(child)]
    return found


def image(path, fill=0x5a, sectors=4096):
    """A raw image whose sectors hold FILL; its path as text."""
    with open(path, "wb") as stream:
        stream.write(bytes([fill]) * 512 * 64)
        stream.truncate(512 * sectors)
    return str(path)


class Holdings:
    """What a process holds: descriptors by kind, mapped files but the system's own, threads; each counted."""

    def __init__(self, pid):
        self.counts = collections.Counter(target.split(":[")[0] for target in held(pid).values())
        with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
            # Names only: anonymous memory is the allocator's affair.
            for line in maps:
                name = line.split(None, 5)[5:]
                if name and not name[0].startswith("/usr/"):
                    self.counts["map " + name[0].strip()] += 1
        self.counts["thread"] = len(os.listdir(f"/proc/{pid}/task"))

    def __eq__(self, other):
        return self.counts == other.counts

    def difference(self, other):
        """What is more here than in OTHER, and what less."""
        return f"more: {dict(self.counts - other.counts)} less: {dict(other.counts - self.counts)}"


def wait_same_holdings(pid, before, what=""):
    """Waits until process PID holds what it did BEFORE."""
    deadline = time.monotonic() + WAIT
    while Holdings(pid) != before:
        assert time.monotonic() < deadline, f"{what} {Holdings(pid).difference(before)}"
        time.sleep(0.01)


class Asker(threading.Thread):
    """Asks query-status without pause; `waits` are the seconds of each answer."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self._qmp = Qmp.connect(path, check=False, wait=PATIENCE).negotiate()
        self._enough = threading.Event()
        self.waits = []
        self.start()

    def run(self):
        while not self._enough.is_set():
            start = time.monotonic()
            try:
                self._qmp.command("query-status")
            except OSError:
                self.waits.append(PATIENCE)
                return
            self.waits.append(time.monotonic() - start)
            time.sleep(0.001)

    def worst_ms(self):
        self._enough.set()
        self.join(PATIENCE + 1)
        return max(self.waits, default=PATIENCE) * 1e3


class Managed:
    """mpqemu -accel qtest with a QMP socket; a context manager.

    q, qmp    the guest's CPU and the monitor
    args      further options of mpqemu; MPQEMU_MAIN_SANDBOX=on|off in the environment is its -sandbox, unless they say
              one
    status    the exit status that is expected at the end; None: any
    """

    def __init__(self, main_program, directory, *args, status=0, pass_fds=()):
        self.directory, self.status = directory, status
        self.path = str(directory / "qmp")
        if MAIN_SANDBOX and "-sandbox" not in args:
            args = ("-sandbox", MAIN_SANDBOX, *args)
        self.q = Qtest(main_program, ["-m", "64", "-nodefaults", "-name", "vm",
                                      "-qmp", f"unix:{self.path},server=on,wait=off", *args], pass_fds=pass_fds)
        try:
            self.qmp = self.connect()
        except BaseException:
            self.q.process.kill()
            self.q.close()
            raise
        self.pid = self.q.process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        left = children(self.pid) if self.q.process.poll() is None else []
        for pid in left:                # a stopped process ends only when it goes on
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.qmp.close()
        if kind:
            print(self.q.stderr()[-4000:])
        status = self.q.close()
        for pid in left:
            wait_until(lambda pid=pid: not alive(pid), f"process {pid} outlives mpqemu")
        assert kind or self.status in (None, status), f"mpqemu ended with status {status}"

    def connect(self):
        """One more session of the monitor; close it, or use it as a context manager."""
        return Qmp.connect(self.path).negotiate()

    # -- remote processes ---------------------------------------------------------------------

    def remotes(self):
        """query-remote as {rid: entry}."""
        return {entry["id"]: entry for entry in self.qmp.command("query-remote")}

    def wait_state(self, rid, state):
        """Waits for the process's state; its entry."""
        return wait_until(lambda: (lambda e: e if e and e["state"] == state else None)(self.remotes().get(rid)),
                          f"{rid} {state}: {self.remotes().get(rid)}")

    def wait_event(self, name, **members):
        """The next event of that name with these members of its data."""
        return self.qmp.wait_event(name, lambda event: all(event["data"].get(key) == value
                                                           for key, value in members.items()))

    def add_disk(self, rid, controller, number, path, **properties):
        """A drive dN and a scsi-hd hdN behind CONTROLLER."""
        self.qmp.command("rdrive_add", rid=rid, id=f"d{number}", file=path, format="raw")
        self.qmp.command("rdevice_add", rid=rid, id=f"hd{number}", driver="scsi-hd", drive=f"d{number}",
                         bus=f"{controller}.0", **properties)

    # -- the guest ----------------------------------------------------------------------------

    def lsi(self, slot=2):
        """A controller that is mapped and started, its interrupt enabled."""
        controller = Lsi(self.q, slot)
        self.q.irq_intercept_in("/machine/ioapic")
        controller.ioapic = Ioapic(self.q)
        controller.ioapic.enable(controller.pin)
        controller.map_bars()
        controller.start_up()
        return controller

    def command(self, lsi, cdb, data=b"", data_len=0, target=0):
        """Runs one SCSI command to its end; (status, data read)."""
        lsi.start(cdb, data, data_len, target)
        self.q.wait_irq(lsi.pin, "raise")
        cause = lsi.acknowledge()
        assert cause[2] == DONE, f"interrupt {cause}, status 0x{lsi.status():x}"
        lsi.ioapic.end()
        self.q.wait_irq(lsi.pin, "lower")
        return lsi.status(), self.q.read(BUFFER, data_len) if data_len else b""

    def read_sector(self, lsi, target=0, lba=0):
        """A sector; a unit attention before it is taken."""
        for _ in range(4):
            status, data = self.command(lsi, [0x28, 0, *lba.to_bytes(4, "big"), 0, 0, 1, 0], data_len=512,
                                        target=target)
            if status == 0:
                return data
            assert status == 2
            self.command(lsi, [3, 0, 0, 0, 18, 0], data_len=18, target=target)     # REQUEST SENSE
        raise AssertionError("the disk does not become ready")

    def works(self, lsi, fill=0x5a, target=0):
        """The controller answers, and reads from its disk, after a driver has started it anew."""
        assert self.q.pci_read(lsi.slot, 0, 4) == 0x00121000
        lsi.start_up()
        lsi.ioapic.end()                # an interrupt of before, perhaps of a process that has died
        self.q.irqs.clear()
        lsi.writel(SCRATCHA, 0x12345678)
        assert lsi.readl(SCRATCHA) == 0x12345678
        assert self.read_sector(lsi, target) == bytes([fill]) * 512


__all__ = ["Asker", "Managed", "Holdings", "QmpError", "alive", "children", "image", "proc_name", "wait_same_holdings",
           "wait_until", "PATIENCE", "WAIT"]
