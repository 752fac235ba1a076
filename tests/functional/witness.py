# SPDX-License-Identifier: GPL-2.0-or-later
# Starts a stock main emulator and a remote, watches the serial console, and cleans up.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""Harness of the foreign witness tests.

Theory of operation

A Machine is a main emulator, the Emulator, with a shareable memfd as guest RAM: stock's under -accel
tcg, or ours; and the place where its SCSI controller lives, the Variant:

  remote      a device process, ours or stock's: both take the same command line, so a variant is
              only a program name
  in-process  no remote: the same -device options are given to the main emulator

The two processes get the ends of a socketpair. Interrupts, which stock cannot deliver without KVM,
come from tests/peers/relay.py: by default with the link left direct ("direct"), otherwise with
the relay in the middle of the link ("relay"). Ours delivers them itself.

Every wait has a deadline. Each process writes its stderr to a file in the run directory, and a
failed wait shows the ends of all of them; the console is kept there too. Only processes started
here are ended, each by its own handle.
"""

import os
import socket
import subprocess
import threading
import time

import guest_image
import relay

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("MPQEMU_BUILD", os.path.join(os.path.dirname(TESTS), "build"))
CACHE = os.path.join(BUILD, "tests", "guest")
STOCK = "qemu-system-x86_64"
IN_PROCESS = "in-process"


class Variant:
    """Where the SCSI controller lives: name for messages, program (None: in-process)."""

    def __init__(self, choice):
        """choice: a path, or one of the words 'stock' and 'in-process'."""
        self.in_process = choice == IN_PROCESS
        self.program = None if self.in_process else STOCK if choice == "stock" else choice
        self.stock = not self.in_process and os.path.basename(self.program) == STOCK
        self.name = choice

    def __str__(self):
        return self.name


class Emulator:
    """The main emulator: name for messages, its command, its proxy device, and who delivers interrupts."""

    def __init__(self, choice):
        """choice: 'stock', or an accelerator of ours."""
        self.stock = choice == "stock"
        self.name = choice
        if self.stock:
            self.command, self.proxy = [STOCK, "-accel", "tcg", "-cpu", "max"], "x-pci-proxy-dev"
        else:
            program = os.environ.get("MPQEMU_MAIN", os.path.join(BUILD, "main", "mpqemu"))
            self.command, self.proxy = [program, "-accel", choice], "pci-proxy-dev"


EMULATOR = Emulator(os.environ.get("MPQEMU_EMULATOR", "stock"))


class Console(threading.Thread):
    """Collects what a guest prints on its serial line."""

    def __init__(self, stream):
        super().__init__(name="console", daemon=True)
        self._stream = stream
        self._changed = threading.Condition()
        self._text = ""
        self._ended = False
        self.start()

    @property
    def text(self):
        with self._changed:
            return self._text

    def run(self):
        while True:
            data = os.read(self._stream.fileno(), 65536)
            with self._changed:
                self._text += data.decode("utf-8", "replace")
                self._ended = not data
                self._changed.notify_all()
            if not data:
                return

    def wait_for(self, word, seconds, times=1):
        """True when word has been printed (so often), False at the deadline or at the end of the output."""
        with self._changed:
            self._changed.wait_for(lambda: self._text.count(word) >= times or self._ended, seconds)
            return self._text.count(word) >= times


class Machine:
    """A main emulator with its SCSI controllers here or in remotes; a context manager.

    rundir    directory for sockets and logs
    variant   Variant
    devices   options of the device process; a remote serves its device with the id lsi0
    boot      options of the main emulator that make it boot (-kernel ..., or nothing)
    memory    MiB
    link      "direct" or "relay"
    relay_class   what stands in the middle of a relayed link
    emulator  Emulator
    reboots   a guest that reboots does so; else that ends the main emulator
    """

    def __init__(self, rundir, variant, devices, boot, memory=256, link="direct", relay_class=relay.LinkRelay,
                 emulator=EMULATOR, reboots=False):
        self.rundir, self.variant, self.link = str(rundir), variant, link
        self._relay_class, self.emulator, self.reboots = relay_class, emulator, reboots
        self.devices = list(devices)
        self.boot, self.memory = list(boot), memory
        self.main = self.remote = self.console = self.qmp = self.pump = self.relay = None
        self._logs = {}
        self._pairs, self._pairs_lock = [], threading.Lock()

    # ------------------------------------------------------------------------ start and end

    def __enter__(self):
        try:
            self._start()
        except (OSError, RuntimeError) as error:
            self.close()
            raise AssertionError(f"the machine did not start: {error}" + self.report()) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _start(self):
        sockets, device = [], self.devices
        if not self.variant.in_process:
            main_end, remote_end = socket.socketpair()
            sockets = [main_end, remote_end]
            if self.link == "relay":
                middle_main, middle_remote = socket.socketpair(), socket.socketpair()
                for end in sockets:
                    end.close()
                sockets = [middle_main[0], middle_remote[0]]
                main_end, remote_end = sockets
                self.relay = self._relay_class(middle_main[1], middle_remote[1], self._got_irqfds)
            self.remote = self._spawn_remote(remote_end)
            device = ["-device", f"{self.emulator.proxy},id=lsi0,fd={main_end.fileno()}"]
        pumped = self.emulator.stock and not self.variant.in_process
        self.main = self._spawn("main", [
            *self.emulator.command, "-nodefaults", "-display", "none",
            *([] if self.reboots else ["-no-reboot"]),
            "-object", f"memory-backend-memfd,id=mem,size={self.memory}M,share=on",
            "-machine", "pc,memory-backend=mem",
            "-qmp", f"unix:{self._path('qmp')},server=on,wait=off",
            *(["-qtest", f"unix:{self._path('qtest')},server=on,wait=off", "-qtest-log", "/dev/null"]
              if pumped else []),
            "-serial", "stdio", *self.boot, *device], *sockets[:1])
        self.console = Console(self.main.stdout)
        for end in sockets:
            end.close()
        if self.relay:
            self.relay.start()
        self.qmp = relay.Qmp(self._wait_socket("qmp"))
        if pumped:
            with self._pairs_lock:
                self.pump = relay.InterruptPump(self._wait_socket("qtest"))
                self.pump.start()
                self._pass_on_pairs()
            if self.link == "direct":
                for pair in relay.eventfds_of(self.main.pid, self.remote.pid):
                    self._got_irqfds(*pair)

    def _spawn_remote(self, end):
        # A confined process shows its descriptors to root alone, and a direct link needs to see them.
        open_to_us = ["-sandbox", "off"] if self.link == "direct" and os.geteuid() and not self.variant.stock else []
        return self._spawn("remote", [
            self.variant.program, *open_to_us, "-machine", "x-remote", "-nodefaults", "-display", "none", *self.devices,
            "-object", f"x-remote-object,id=r0,devid=lsi0,fd={end.fileno()}"], end)

    def restart_remote(self, seconds):
        """Start the device process anew, and attach it where a RestartingRelay has lost the former one."""
        self.remote.wait(seconds)
        ours, theirs = socket.socketpair()
        with theirs:
            self.remote = self._spawn_remote(theirs)
        self.relay.reattach(ours, seconds)

    def _got_irqfds(self, irqfd, resample):
        # On a relayed link the pair comes before the pump, which needs a main emulator that has
        # finished its start; and the relay must not wait here, or that start never finishes.
        with self._pairs_lock:
            self._pairs.append((irqfd, resample))
            self._pass_on_pairs()

    def _pass_on_pairs(self):
        """Give the pump the pairs that have arrived; _pairs_lock is held."""
        while self.pump and self._pairs:
            self.pump.add(*self._pairs.pop(), lambda: self.qmp.irq_line("lsi0"))

    def close(self):
        """End what still runs and release all; may be called twice."""
        for process in (self.main, self.remote):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        for helper in (self.relay, self.pump):
            if helper and helper.ident:
                helper.stop()
        self.relay = self.pump = None
        if self.qmp:
            self.qmp.close()
            self.qmp = None
        if self.console and not self.main.stdout.closed:
            self.console.join()
            self.main.stdout.close()
            with open(self._path("console.log"), "w", encoding="utf-8") as log:
                log.write(self.console.text)

    def _spawn(self, name, command, *sockets):
        """Start a process; the main emulator's stdout is the console, all else goes to a log."""
        self._logs[name] = self._path(name + ".log")
        with open(self._logs[name], "wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log,
                                    stdout=subprocess.PIPE if name == "main" else log,
                                    pass_fds=[end.fileno() for end in sockets])

    def _path(self, name):
        return os.path.join(self.rundir, name)

    def _wait_socket(self, name):
        deadline = time.monotonic() + 30
        while not os.path.exists(self._path(name)):
            if self.main.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("the main emulator did not start" + self.report())
            time.sleep(0.01)
        return self._path(name)

    # ------------------------------------------------------------------------------ watching

    def log(self, name):
        """What the process ('main' or 'remote') has written to stderr."""
        with open(self._logs[name], encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def report(self):
        """How the processes are and the ends of console and logs, for failure messages."""
        parts = [f"\n{name}: exit status {process.returncode}" for name, process in
                 (("main", self.main), ("remote", self.remote)) if process]
        parts += [f"\n--- {name} stderr\n{self.log(name)[-2000:]}" for name in self._logs]
        if self.console:
            parts.append(f"\n--- console\n{self.console.text[-3000:]}")
        return "".join(parts)

    def wait_exit(self, name, seconds):
        """Exit status of 'main' or 'remote'; fails if it has not ended by then."""
        process = {"main": self.main, "remote": self.remote}[name]
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} still runs after {seconds} s" + self.report()) from None


class AnsweringMachine(Machine):
    """A Machine whose guest can ask for something (ask of steps.sh) and wait until it is there."""

    def _start(self):
        self.boot += ["-serial", f"unix:{self._path('answers')},server=on,wait=off"]
        super()._start()
        self._answers = socket.socket(socket.AF_UNIX)
        self._answers.connect(self._path("answers"))

    def wait_asked(self, what, seconds):
        """The guest has asked for it; it now waits for answer()."""
        asked = self.console.wait_for(f"@@please {what}\n", seconds)
        assert asked, f"the guest has not asked for {what}" + self.report()

    def answer(self):
        self._answers.sendall(b"done\n")

    def close(self):
        super().close()
        if hasattr(self, "_answers"):
            self._answers.close()


class Run:
    """A machine whose guest has run its steps to the end, or has not made it in time.

    steps    {name: guest_image.Step}
    text     the whole console
    exits    {"main": exit status, "remote": ...} of the processes that ended by themselves
    logs     {"main": stderr, ...}
    interrupts  pulses of the interrupt pump; None in-process
    """

    def __init__(self, machine, seconds):
        machine.console.wait_for("@@guest down", seconds)
        self.exits, self.failure = {}, ""
        for name in ("main", "remote") if machine.remote else ("main",):
            try:
                self.exits[name] = machine.wait_exit(name, 30)
            except AssertionError as error:
                self.failure = str(error)
        self.text = machine.console.text
        self.steps = guest_image.parse_transcript(self.text)
        self.logs = {name: machine.log(name) for name in ("main", "remote")
                     if name == "main" or machine.remote}
        self.interrupts = machine.pump.interrupts if machine.pump else None
        self.failure = self.failure or machine.report()

    def step(self, name):
        """A step, which must have run to its end."""
        step = self.steps.get(name)
        assert step and step.status is not None, f"step {name} did not end" + self.failure
        return step

    def ok(self, name):
        """The output of a step, which must have succeeded."""
        step = self.step(name)
        assert step.status == 0, f"step {name} ended with status {step.status}:\n{step.output}"
        return step.output

    def assert_powered_off(self):
        """Guest, main emulator and remote have all ended in good order."""
        assert "@@guest down" in self.text, self.failure
        assert set(self.exits.values()) == {0} and len(self.exits) == len(self.logs), \
            f"exit statuses {self.exits}" + self.failure
