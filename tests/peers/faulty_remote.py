# SPDX-License-Identifier: GPL-2.0-or-later
# Stands between a main emulator and a real device process, and does harm where a test says so.
# Runs in: neither program; is started by mpqemu in the place of qemu-remote.
"""A faulty remote process.

Theory of operation

A test makes an executable with write_script() and names it with -remote exec=.  mpqemu's spawner starts it like a
qemu-remote.  It starts the real one on a control channel of its own and passes everything on: the control channel,
and each link, since any socket that is passed through the control channel is replaced by one of its own.  All in one
thread, message by message.

The test controls it by Faults, which listens on a socket that every instance (there is a new one after each restart)
connects to.  A line of JSON is an order:

  {"hold": WHAT}      keep the next message of WHAT and everything behind it, and say {"held": WHAT}.  WHAT: "config",
                      "bar-read", "bar-write", "sync", "reset", or "control:NAME" for the answer to a QMP command
  {"release": true}   pass on what is held
  {"fault": KIND}     "half-close": send no more to the main emulator; "garbage": send it bytes that mean nothing, once
                      now and in the place of every answer; "slow": hold each answer for {"delay": seconds}.  On the
                      links, or with {"where": "control"} on the control channel.
  {"rules": [[DIRECTION, ACTION]...]}
                      what link_shim.py does to the next message of each link that was made after the first such order

Death and stop are done by the test, by signal.
"""

import array
import ctypes
import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import link_shim
import mpqemu_link

MAX_FDS = 16
KINDS = {
    "config": (mpqemu_link.PCI_CFGREAD, mpqemu_link.PCI_CFGWRITE),
    "bar-read": (mpqemu_link.BAR_READ,),
    "bar-write": (mpqemu_link.BAR_WRITE,),
    "sync": (mpqemu_link.SYNC_SYSMEM,),
    "reset": (mpqemu_link.DEVICE_RESET,),
}
GARBAGE = b"\xde\xad\xbe\xef" * 64


# --------------------------------------------------------------------- in the faulty process

def _receive(sock, size=65536):
    """(data, fds) of one recvmsg."""
    fds = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(MAX_FDS * fds.itemsize))
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def _send(sock, data, fds=()):
    """All of data, fds with its first byte; fds are closed."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        sent = sock.sendmsg([data], ancillary)
        sock.sendall(data[sent:])
    except OSError:
        pass                            # that side is gone: the other will see it
    for fd in fds:
        os.close(fd)


class _Channel:
    """Two sockets of which one leads to the main emulator; requests go down, answers up."""

    def __init__(self, remote, main, real):
        self.remote, self.main, self.real = remote, main, real
        self.down, self.fds = b"", []
        self.held = []                  # what is kept while the channel is on hold: (socket, data, fds)
        self.on_hold = self.closed = False

    def forward(self, sock, data, fds=()):
        """Pass on, unless the channel is on hold."""
        if self.on_hold:
            self.held.append((sock, data, fds))
        elif sock is self.main:
            self.answer(data)
        else:
            _send(sock, data, fds)

    def answer(self, data):
        """To the main emulator, as well as the fault lets us."""
        fault = self.remote.fault_of(self)
        if fault == "slow":
            time.sleep(self.remote.delay)
        if fault == "garbage":
            data = GARBAGE
        if fault != "half-close":
            _send(self.main, data)

    def release(self):
        self.on_hold = False
        held, self.held = self.held, []
        for item in held:
            self.forward(*item)

    def ready(self, sock):
        """Something to read on one side."""
        try:
            data, fds = _receive(sock)
        except OSError:
            data, fds = b"", []
        if not data:
            self.close()
        elif sock is self.main:
            self.request(data, fds)
        else:
            self.reply(data)

    def close(self):
        self.closed = True
        for sock in (self.main, self.real):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


class _Link(_Channel):
    """A device link: requests are cut into messages, so that they can be told apart."""

    def request(self, data, fds):
        self.down += data
        self.fds += fds
        while len(self.down) >= mpqemu_link.HEADER.size:
            command, size = mpqemu_link.HEADER.unpack(self.down[:mpqemu_link.HEADER.size])
            size += mpqemu_link.HEADER.size
            if len(self.down) < size:
                return
            message, self.down = self.down[:size], self.down[size:]
            if command in KINDS.get(self.remote.hold, ()):
                self.on_hold = True
                self.remote.tell_held()
            fds, self.fds = self.fds, []
            self.forward(self.real, message, fds)

    def reply(self, data):
        self.forward(self.main, data)


class _Control(_Channel):
    """The control channel; sockets in it become links of ours."""

    def __init__(self, *args):
        super().__init__(*args)
        self.up, self.names = b"", {}

    def request(self, data, fds):
        for line in filter(None, data.split(b"\n")):
            try:
                command = json.loads(line)
                self.names[str(command.get("id"))] = command.get("execute")
            except ValueError:
                pass                    # a part of a line; no test holds such a long command
        self.forward(self.real, data, [self.remote.interpose(fd) for fd in fds])

    def reply(self, data):
        self.up += data
        while b"\n" in self.up:
            line, self.up = self.up.split(b"\n", 1)
            name = self.names.get(str(json.loads(line).get("id")))
            if name and self.remote.hold == "control:" + name:
                self.on_hold = True
                self.remote.tell_held()
            self.forward(self.main, line + b"\n")


class _Remote:
    """The faulty process."""

    def __init__(self, real, faults_path, args):
        self.hold, self.delay, self.fault, self.where = None, 0.0, None, "link"
        self.shims = None               # FaultyLinks, when links are to be these
        self.orders = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.orders.connect(faults_path)
        self.lines = b""
        ours, theirs = socket.socketpair()
        args = [arg.replace("fd=3", f"fd={theirs.fileno()}") for arg in args]
        self.process = subprocess.Popen([real, *args], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                        preexec_fn=_die_with_parent)
        theirs.close()
        self.control = _Control(self, socket.socket(fileno=3), ours)
        self.channels = [self.control]
        self.say(pid=os.getpid(), real=self.process.pid)
        try:
            self.obey_first()
        except ConnectionError:
            os._exit(0)

    def obey_first(self):
        """The test may want a fault from the start: it says so before anything is passed on."""
        while b"\n" not in self.lines:
            data = self.orders.recv(4096)
            if not data:
                raise ConnectionError
            self.lines += data
        self.read_orders()

    def say(self, **what):
        self.orders.sendall(json.dumps(what).encode() + b"\n")

    def tell_held(self):
        what, self.hold = self.hold, None
        self.say(held=what)

    def fault_of(self, channel):
        return self.fault if (channel is self.control) == (self.where == "control") else None

    def interpose(self, fd):
        """A socket is replaced by one that we have the other end of; other descriptors pass."""
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return fd
        ours, theirs = socket.socketpair()
        if self.shims is None:
            self.channels.append(_Link(self, socket.socket(fileno=fd), ours))
        else:
            self.shims.append(link_shim.FaultyLink(socket.socket(fileno=fd), ours, [], self.process.kill))
            self.shims[-1].start()
        return theirs.detach()

    def victims(self):
        return [c for c in self.channels if (c is self.control) == (self.where == "control")]

    def read_orders(self):
        while b"\n" in self.lines:
            line, self.lines = self.lines.split(b"\n", 1)
            self.obey(json.loads(line))

    def obey(self, order):
        self.hold = order.get("hold", self.hold)
        self.where = order.get("where", self.where)
        self.delay = order.get("delay", self.delay)
        if "fault" in order:
            self.fault = order["fault"]
            for channel in self.victims():
                if self.fault == "half-close":
                    channel.main.shutdown(socket.SHUT_WR)
                elif self.fault == "garbage":
                    _send(channel.main, GARBAGE)
        if "rules" in order:
            self.shims = self.shims or []
            for shim in self.shims:
                shim.arm(*order["rules"])
        if "release" in order:
            for channel in self.channels:
                channel.release()
        self.say(done=True)

    def run(self):
        while not self.control.closed:
            self.channels = [channel for channel in self.channels if not channel.closed]
            by_socket = {s: c for c in self.channels for s in (c.main, c.real)}
            for sock in select.select([self.orders, *by_socket], [], [])[0]:
                if sock is self.orders:
                    data = sock.recv(4096)
                    if not data:
                        return          # the test is over
                    self.lines += data
                    self.read_orders()
                elif not by_socket[sock].closed:
                    by_socket[sock].ready(sock)


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(real, faults_path):
    """Be the faulty remote; called by the script of write_script()."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    remote = _Remote(real, faults_path, sys.argv[1:])
    remote.run()
    remote.process.kill()
    remote.process.wait()


# -------------------------------------------------------------------------------- in the test

def write_script(path, real, faults_path):
    """Make PATH an executable that stands in front of the program REAL; returns PATH."""
    with open(path, "w", encoding="utf-8") as script:
        script.write(f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, {os.path.dirname(__file__)!r})\n"
                     f"import faulty_remote\nfaulty_remote.main({real!r}, {str(faults_path)!r})\n")
    os.chmod(path, 0o755)
    return str(path)


class Instance:
    """One faulty process, as the test sees it: pid, real (pid of the real remote)."""

    def __init__(self, connection, wait):
        self._connection, self._wait, self._lines = connection, wait, b""
        connection.settimeout(wait)
        greeting = self._line()
        self.pid, self.real = greeting["pid"], greeting["real"]

    def _line(self):
        while b"\n" not in self._lines:
            data = self._connection.recv(4096)
            if not data:
                raise ConnectionError("the faulty remote has ended")
            self._lines += data
        line, self._lines = self._lines.split(b"\n", 1)
        return json.loads(line)

    def order(self, **what):
        """Gives an order that has been obeyed when the call returns."""
        self._connection.sendall(json.dumps(what).encode() + b"\n")
        while "done" not in self._line():
            pass

    def wait_held(self):
        """Waits until what was ordered to be held is held."""
        while "held" not in self._line():
            pass

    def close(self):
        self._connection.close()


class Faults:
    """Listens for the instances; FIRST is the order that each gets before it passes anything on."""

    def __init__(self, path, wait=20.0, first=None):
        self.path, self.first, self._wait = str(path), first or {}, wait
        self._instances, self._changed = [], threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self._listener.accept()[0]
                instance = Instance(connection, self._wait)
                instance.order(**self.first)
            except (OSError, ValueError):
                if self._listener.fileno() < 0:
                    return
                continue
            with self._changed:
                self._instances.append(instance)
                self._changed.notify_all()

    def instance(self, number=0):
        """The NUMBER-th process that was started, waiting for it."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._instances) > number, self._wait), \
                f"faulty remote {number} was not started"
            return self._instances[number]

    def close(self):
        self._listener.close()
        with self._changed:
            for instance in self._instances:
                instance.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
