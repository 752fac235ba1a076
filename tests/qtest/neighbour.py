# SPDX-License-Identifier: GPL-2.0-or-later
# A device that is disturbed, and a healthy one beside it whose I/O is checked and timed.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""Rig of the tests and of the benchmark of a healthy neighbour.

TwoProcesses   an mpqemu with two device processes; A and B are their controllers
OneProcess     a qemu-remote with two links; A's is used by neighbour_peer.py, which is a process, too

Both: with RIG(...) as rig: with rig.disturbed(NAME): rig.some_io(...); NAMES are the disturbances, "nothing" the first.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import mpqemu_link
import neighbour_peer
from hotplug_rig import Guest
from lsi_driver import BUFFER, DONE, MMIO_BASE
from managed import WAIT, Managed, children, image, proc_name, wait_until
from qmp import Qmp

FORK = multiprocessing.get_context("fork")
SECTORS = 8                   # of one I/O: 4 KiB
HERE = os.path.dirname(os.path.abspath(__file__))
FLOOD_PIN = 16 + ((4 - 1) & 3)      # of the I/O APIC
FLOOD = "import os\nwhile True: os.write({fd}, b'\\1' + bytes(7))"


class Neighbour:
    """What both rigs have: B's I/O.  aside: the CPUs for what disturbs A from outside; None: any.  turns: how many
    times the last disturbance that comes again and again did; None: it is of another kind."""

    def __init__(self):
        self.aside = None
        self.turns = None
        self._rng = random.Random(2)
        self._model = {}                # LBA -> what was written

    def _put_aside(self, pid):
        if self.aside:
            os.sched_setaffinity(pid, self.aside)

    def command(self, cdb, data=b"", data_len=0):
        """One SCSI command of B: seconds from the write that starts it to its interrupt.  B's client sleeps meanwhile:
        one that polled would compete with the device for their CPU, and the scheduler's turns would be what is
        measured."""
        raise NotImplementedError

    def memory(self, length):
        """What B's last command has brought."""
        raise NotImplementedError

    def one_io(self):
        """4 KiB written or read, and what was read compared; seconds."""
        lba = self._rng.randrange(64) * SECTORS
        address = [0, *lba.to_bytes(4, "big"), 0, 0, SECTORS, 0]
        if lba in self._model and self._rng.randrange(2):
            seconds = self.command([0x28, *address], data_len=SECTORS * 512)
            assert self.memory(SECTORS * 512) == self._model[lba], f"wrong data at block {lba}"
            return seconds
        self._model[lba] = self._rng.randbytes(SECTORS * 512)
        return self.command([0x2a, *address], data=self._model[lba])

    def some_io(self, seconds):
        """I/O for so long, and 100 times at least; the seconds of each."""
        end, times = time.monotonic() + seconds, []
        while len(times) < 100 or time.monotonic() < end:
            times.append(self.one_io())
        return times


class TwoProcesses(Neighbour):
    """mpqemu; A is "lsi0" of the process r0 (slot 2), or a proxy "flood" whose other end raises interrupts (slot 4)."""

    NAMES = ("nothing", "stopped", "killed", "interrupts", "guest fuzzes it", "unplugged and plugged")
    # Too many for a test of each; the first is what a client of the monitor costs by itself.
    PACED = ("monitor asked 20/s", "killed 10/s", "killed 10/s, one CPU", "plugged 5/s")

    def __init__(self, main_program, remote_program, directory):
        super().__init__()
        main_end, self._flooder = mpqemu_link.socket_pair()
        self._server = mpqemu_link.LinkServer(self._flooder, mpqemu_link.FakeDevice(bars={0: 0x1000})).start()
        limits = f"exec={remote_program},heartbeat-limit=60000"
        with main_end:
            self.m = Managed(main_program, directory, "-remote", f"rid=r0,{limits}", "-remote", f"rid=r1,{limits}",
                             "-rdrive", f"rid=r0,id=d0,file={image(directory / 'a.img')},format=raw",
                             "-rdevice", "lsi53c895a,rid=r0,id=lsi0,addr=2",
                             "-rdevice", "scsi-hd,rid=r0,id=hd0,drive=d0,bus=lsi0.0",
                             "-rdrive", f"rid=r1,id=d1,file={image(directory / 'b.img')},format=raw",
                             "-rdevice", "lsi53c895a,rid=r1,id=lsi1,addr=3",
                             "-rdevice", "scsi-hd,rid=r1,id=hd1,drive=d1,bus=lsi1.0",
                             "-device", f"pci-proxy-dev,id=flood,addr=4,fd={main_end.fileno()}",
                             pass_fds=[main_end.fileno()])
        self.monitor = self.m.path
        self._lsi = None
        self._flood_irqs = 0

    def __enter__(self):
        self.m.q.pci_write(2, 0x14, 4, MMIO_BASE + 0x10000)
        self.m.q.pci_write(2, 4, 2, 6)
        self._lsi = self.m.lsi(3)
        self.m.read_sector(self._lsi)
        return self

    def __exit__(self, *exc):
        self.m.__exit__(*exc)
        self._server.stop()

    def command(self, cdb, data=b"", data_len=0):
        self._lsi.prepare(cdb, data, data_len)
        begin = time.monotonic()
        self._lsi.go()
        self.m.q.wait_irq(self._lsi.pin, "raise", WAIT)
        seconds = time.monotonic() - begin
        assert self._lsi.acknowledge()[2] == DONE and self._lsi.status() == 0
        self._lsi.ioapic.end()
        self.m.q.wait_irq(self._lsi.pin, "lower", WAIT)
        self._flood_irqs += self.m.q.irqs.count(("raise", FLOOD_PIN))
        self.m.q.irqs.clear()
        self._between()
        return seconds

    def memory(self, length):
        return self.m.q.read(BUFFER, length)

    def _between(self):
        """What the one CPU does to A after each I/O of B."""

    @contextlib.contextmanager
    def disturbed(self, name):
        """A is in trouble meanwhile."""
        with {"nothing": contextlib.nullcontext, "stopped": self._stopped, "interrupts": self._flooded,
              "guest fuzzes it": self._fuzzed,
              "killed": lambda: self._looped(self._kill), "killed 10/s": self._killed_aside,
              "killed 10/s, one CPU": lambda: self._looped(self._kill, 0.1),
              "unplugged and plugged": lambda: self._looped(self._plug),
              "plugged 5/s": lambda: self._looped(self._plug, 0.2),
              "monitor asked 20/s": lambda: self._looped(lambda qmp: qmp.command("query-status"), 0.05)}[name]():
            yield

    @contextlib.contextmanager
    def _stopped(self):
        pid = self.m.remotes()["r0"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def _looped(self, function, period=0):
        """FUNCTION(a monitor's session) every PERIOD seconds, or without pause, by a process of its own: B's client
        shall not wait for it."""
        enough, turns = FORK.Event(), FORK.Value("i", 0)

        def loop():
            with self.m.connect() as qmp:
                begin = time.monotonic()
                while not enough.wait(max(begin + period - time.monotonic(), 0)):
                    begin = time.monotonic()
                    function(qmp)
                    turns.value += 1

        process = FORK.Process(target=loop)
        process.start()
        self._put_aside(process.pid)
        try:
            yield
        finally:
            enough.set()
            process.join()
            self.turns = turns.value
        assert process.exitcode == 0

    @contextlib.contextmanager
    def _killed_aside(self):
        """New processes are on the CPUs of what disturbs A, as a scheduler that is free to choose would have it."""
        spawner, = (pid for pid in children(self.m.pid) if proc_name(pid) == "mpqemu-spawner")
        before = os.sched_getaffinity(spawner)
        self._put_aside(spawner)
        try:
            with self._looped(self._kill, 0.1):
                yield
        finally:
            os.sched_setaffinity(spawner, before)

    @staticmethod
    def _kill(qmp):
        os.kill(next(e["pid"] for e in qmp.command("query-remote") if e["id"] == "r0"), signal.SIGKILL)
        wait_until(lambda: {e["id"]: e["state"] for e in qmp.command("query-remote")}["r0"] == "dead", "r0 dies")
        qmp.command("remote_restart", rid="r0")

    @staticmethod
    def _plug(qmp):
        qmp.command("rdevice_add", rid="r0", driver="lsi53c895a", id="lsi9")
        qmp.command("rdevice_del", rid="r0", id="lsi9")

    @contextlib.contextmanager
    def _flooded(self):
        """Written as fast as the host can; and the guest ends each interrupt, so that the next one counts."""
        self._lsi.ioapic.enable(FLOOD_PIN)
        before = self._flood_irqs
        flood = subprocess.Popen([sys.executable, "-c", FLOOD.format(fd=self._server.irq_fds[0])],
                                 pass_fds=[self._server.irq_fds[0]])
        self._put_aside(flood.pid)
        try:
            wait_until(lambda: self.one_io() and self._flood_irqs > before, "the flood begins")
            yield
            assert flood.poll() is None
        finally:
            flood.kill()
            flood.wait()

    @contextlib.contextmanager
    def _fuzzed(self):
        rng = random.Random(3)

        def fuzz():
            for _ in range(5):
                self.m.q.writeb(MMIO_BASE + 0x10000 + rng.randrange(0x60), rng.getrandbits(8))
        self._between = fuzz
        try:
            yield
        finally:
            del self._between


class OneProcess(Neighbour):
    """qemu-remote; A is "lsi0", B is "lsi1"."""

    NAMES = ("nothing", *neighbour_peer.WHAT, "unplugged with a hung disk")

    def __init__(self, remote_program, directory):
        super().__init__()
        self.monitor = str(directory / "remote-qmp")
        ours, theirs = mpqemu_link.socket_pair()
        self._peer_end, peer_theirs = mpqemu_link.socket_pair()
        a, b = image(directory / "a.img"), image(directory / "b.img")
        self.process = subprocess.Popen(
            [remote_program, "-nodefaults", "-qmp", f"unix:{self.monitor},server=on,wait=off",
             "-blockdev", f"driver=file,node-name=f0,filename={a}",
             "-blockdev", "driver=blkdebug,node-name=d0,image=f0,inject-delay.0.event=read_aio,"
                          "inject-delay.0.sector=64,inject-delay.0.ns=5000000000,inject-delay.0.cancellable=off",
             "-device", "lsi53c895a,id=lsi0", "-device", "scsi-hd,id=hd0,drive=d0,bus=lsi0.0",
             "-drive", f"id=d1,if=none,format=raw,file={b}",
             "-device", "lsi53c895a,id=lsi1", "-device", "scsi-hd,id=hd1,drive=d1,bus=lsi1.0",
             "-object", f"x-remote-object,id=r0,devid=lsi0,fd={peer_theirs.fileno()}",
             "-object", f"x-remote-object,id=r1,devid=lsi1,fd={theirs.fileno()}"],
            pass_fds=[peer_theirs.fileno(), theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True)
        theirs.close()
        peer_theirs.close()
        self._guest = Guest(mpqemu_link.LinkClient(ours, WAIT))

    def __enter__(self):
        self._guest.start_up()
        self._guest.read(0, 1)
        return self

    def __exit__(self, kind, *_):
        self._peer_end.close()
        self._guest.close()
        try:
            _, text = self.process.communicate(timeout=WAIT)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.communicate()
        assert kind or self.process.returncode in (0, 1), text
        assert kind or len(text.splitlines()) < 1000, "it says too much"

    def command(self, cdb, data=b"", data_len=0):
        self._guest.lsi.start(cdb, data, data_len)
        begin = time.monotonic()
        assert self._guest.interrupt() == ("done", DONE)
        seconds = time.monotonic() - begin
        assert self._guest.lsi.status() == 0
        return seconds

    def memory(self, length):
        return os.pread(self._guest.memory, length, BUFFER)

    @contextlib.contextmanager
    def disturbed(self, name):
        """A is in trouble meanwhile.  Only once: its link is of no use afterwards."""
        if name == "nothing":
            yield
            return
        peer = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "neighbour_peer.py"),
             "hung_disk" if name == "unplugged with a hung disk" else name, str(self._peer_end.fileno())],
            pass_fds=[self._peer_end.fileno()], stderr=subprocess.DEVNULL)
        self._put_aside(peer.pid)
        self._peer_end.close()
        try:
            time.sleep(0.3)
            if name == "unplugged with a hung disk":
                with Qmp.connect(self.monitor).negotiate() as qmp:
                    qmp.command("device_del", id="hd0")
            yield
            assert name == "gone" or peer.poll() is None, "the hostile peer has ended by itself"
        finally:
            peer.kill()
            peer.wait()
