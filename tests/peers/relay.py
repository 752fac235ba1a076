#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Gives stock QEMU's x-pci-proxy-dev working interrupts under -accel tcg.
# Runs in: neither program; stands beside stock's main emulator.
"""Interrupts for a stock main emulator without KVM.

Theory of operation

Stock hands the two eventfds of a proxied device (irqfd, resample fd) to KVM and to nobody else, so
under TCG the remote's interrupts are never read. Here KVM's part is played from outside:

  InterruptPump   waits for the irqfd; raises and drops the device's IOAPIC pin through the main
                  emulator's qtest socket; then signals the resample fd, so that a remote whose line
                  is still up writes the irqfd again.

The IOAPIC latches a level-triggered pin on the rising level while the vCPU has not taken the
interrupt, so one pulse is one interrupt. A pulse that falls between the guest's handler and its EOI
is lost; that is repaired by the resample, which comes a moment after each pulse and is repeated,
with growing distance, for as long as the remote keeps its line up.

There are two ways to get at the eventfds:

  eventfds_of()   pidfd_getfd() out of the running main emulator. The link stays direct between main
                  and remote, so link speed is that of the two programs. Needs the right to trace
                  both processes (parent of them, or root).
  LinkRelay       stands in the middle of the link, forwards every message with its fds, and keeps a
                  copy of the pair that SET_IRQFD carries. Needs no rights, costs two more hops
                  per message.

Both ends of one eventfd show the same eventfd-id in /proc/PID/fdinfo; that is how the pair of a
link is told from the many other eventfds of the main emulator. The main emulator creates the irqfd
first, so it has the lower number.
"""

import argparse
import array
import ctypes
import json
import os
import re
import select
import socket
import struct
import threading
import time

from device_process import device_pid

HEADER = struct.Struct("<iIQ")          # command, padding, payload size
SET_IRQFD = 6
MAX_PAYLOAD = 192
MAX_FDS = 16
IOAPIC = "/machine/i440fx/ioapic"
FIRST_RESAMPLE = 100e-6                 # seconds between a pulse and its resample
LAST_RESAMPLE = 2e-3
SYS_PIDFD_GETFD = 438


# ------------------------------------------------------------------- fds of another process

def _eventfd_ids(pid):
    """Return {eventfd-id: lowest fd number} of a process."""
    ids = {}
    for name in sorted(os.listdir(f"/proc/{pid}/fdinfo"), key=int):
        try:
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as info:
                found = re.search(r"^eventfd-id:\s*(\d+)", info.read(), re.M)
        except OSError:
            continue                    # closed since it was listed
        if found:
            ids.setdefault(int(found.group(1)), int(name))
    return ids


def fd_of(pid, number):
    """A copy of another process's descriptor; the caller owns it."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"pidfd_getfd of process {pid}: {os.strerror(code)}")
        return fd
    finally:
        os.close(pidfd)


def eventfds_of(main_pid, remote_pid, pairs=1, seconds=10):
    """Return [(irqfd, resample fd)] that a main emulator and one remote have in common.

    Waits until there are as many as asked for: SET_IRQFD has no reply. The caller owns the fds.
    """
    deadline = time.monotonic() + seconds
    while True:
        main, remote = _eventfd_ids(main_pid), _eventfd_ids(device_pid(remote_pid))
        common = sorted(main[number] for number in main.keys() & remote.keys())
        if len(common) >= 2 * pairs:
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"main {main_pid} and remote {remote_pid} share {len(common)} "
                               f"eventfds, not {2 * pairs}, after {seconds} s")
        time.sleep(0.01)
    fds = [fd_of(main_pid, number) for number in common]
    return list(zip(fds[0::2], fds[1::2]))


# ------------------------------------------------------------------------------------- QMP

def _connect(path, seconds=10):
    """A connection to a socket that the main emulator makes while it starts.

    The path is there a moment before anyone listens, hence the repeated tries.
    """
    deadline = time.monotonic() + seconds
    while True:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.connect(path)
            return client
        except OSError:
            client.close()
            if time.monotonic() > deadline:
                raise
        time.sleep(0.01)


class Qmp:
    """A client of the main emulator's QMP; command() may be called from several threads."""

    def __init__(self, path):
        self._socket = _connect(path)
        self._socket.settimeout(60)
        self._lines = self._socket.makefile("rw", encoding="utf-8")
        self._lock = threading.Lock()
        self._lines.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        with self._lock:
            self._lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self._lines.flush()
            while True:
                answer = self._lines.readline()
                if not answer:
                    raise ConnectionResetError(f"the main emulator closed QMP during {name}")
                answer = json.loads(answer)
                if "error" in answer:
                    raise RuntimeError(f"QMP {name}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]

    def irq_line(self, device_id):
        """The interrupt line that the firmware wrote in a device's config space, or None."""
        for bus in self.command("query-pci"):
            for device in bus["devices"]:
                if device["qdev_id"] == device_id and device["irq_pin"]:
                    return device.get("irq") or None
        return None

    def close(self):
        self._lines.close()
        self._socket.close()


# ------------------------------------------------------------------------------- the pump

class _Source:
    """One device's pair; next_resample is None while no pulse waits for its resample."""

    def __init__(self, irqfd, resample, find_pin):
        self.irqfd, self.resample, self.find_pin = irqfd, resample, find_pin
        self.pulse = None
        self.delay = FIRST_RESAMPLE
        self.next_resample = None
        self.resampled_at = 0.0


class InterruptPump(threading.Thread):
    """Thread that turns irqfds into IOAPIC pin pulses; see the theory above.

    qtest_path   UNIX socket of the main emulator's -qtest
    interrupts   number of pulses sent so far
    error        why the pump ended early, or None
    """

    def __init__(self, qtest_path):
        super().__init__(name="interrupt-pump", daemon=True)
        self.interrupts = 0
        self.error = None
        self._sources = {}
        self._wake_r, self._wake_w = os.pipe()
        self._stopping = False
        self._qtest = _connect(qtest_path)
        self._qtest.settimeout(10)
        self._unread = b""

    def add(self, irqfd, resample, find_pin):
        """Take over a pair of fds. find_pin() returns the pin and is called at the first interrupt,
        when the firmware has programmed the routing; None means not known yet."""
        os.set_blocking(irqfd, False)
        self._sources[irqfd] = _Source(irqfd, resample, find_pin)
        os.write(self._wake_w, b"+")

    def stop(self):
        """End the thread and close all fds."""
        self._stopping = True
        os.write(self._wake_w, b"-")
        self.join()
        for source in list(self._sources.values()):
            os.close(source.irqfd)
            os.close(source.resample)
        os.close(self._wake_r)
        os.close(self._wake_w)
        self._qtest.close()

    def run(self):
        try:
            while not self._stopping:
                self._turn()
        except OSError as error:
            # The socket closes when the main emulator ends, which is no fault.
            self.error = None if isinstance(error, ConnectionError) else error

    def _turn(self):
        now = time.monotonic()
        waiting = [source.next_resample for source in list(self._sources.values())
                   if source.next_resample is not None]
        timeout = max(0.0, min(waiting) - now) if waiting else None
        ready, _, _ = select.select([self._wake_r, *self._sources], [], [], timeout)
        for fd in ready:
            if fd == self._wake_r:
                os.read(fd, 64)
            else:
                self._interrupt(self._sources[fd])
        now = time.monotonic()
        for source in list(self._sources.values()):
            if source.next_resample is not None and source.next_resample <= now:
                source.next_resample = None
                source.resampled_at = now
                os.write(source.resample, struct.pack("=Q", 1))

    def _interrupt(self, source):
        try:
            os.read(source.irqfd, 8)
        except BlockingIOError:
            return
        if source.pulse is None:
            pin = source.find_pin()
            if pin is not None:
                head = f"set_irq_in {IOAPIC} unnamed-gpio-in {pin}"
                source.pulse = f"{head} 1\n{head} 0\n".encode()
        now = time.monotonic()
        # An interrupt right after a resample is most likely the line that was still up.
        again = now - source.resampled_at < LAST_RESAMPLE
        source.delay = min(source.delay * 2, LAST_RESAMPLE) if again else FIRST_RESAMPLE
        if source.pulse is not None:
            self._qtest.sendall(source.pulse)
            self._expect_ok(2)
            self.interrupts += 1
        source.next_resample = time.monotonic() + source.delay

    def _expect_ok(self, lines):
        while self._unread.count(b"\n") < lines:
            data = self._qtest.recv(4096)
            if not data:
                raise ConnectionResetError("the main emulator closed its qtest socket")
            self._unread += data
        answer, self._unread = self._unread, b""
        if answer != b"OK\n" * lines:
            raise OSError(f"qtest refused set_irq_in: {answer!r}")


# ------------------------------------------------------------------------------- the relay

def receive_message(sock):
    """The next message of one side: (command, all its bytes, descriptors, which the caller then owns)."""
    fds = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(
        HEADER.size, socket.CMSG_SPACE(MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    try:
        data += _exactly(sock, HEADER.size - len(data))
        command, _, size = HEADER.unpack(data)
        if size > MAX_PAYLOAD:
            raise ConnectionError(f"a payload of {size} bytes cannot be forwarded")
        return command, data + _exactly(sock, size), list(fds)
    except OSError:
        for fd in fds:
            os.close(fd)
        raise


def send_message(sock, data, fds=()):
    """Send DATA with FDS, which stay the caller's."""
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    if sock.sendmsg([data], control) != len(data):
        raise ConnectionError("a socket took only part of a message")


def _exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionResetError("one side closed the link")
        data += more
    return data


class LinkRelay(threading.Thread):
    """Thread in the middle of one link; forwards both ways until either side closes.

    main, remote  connected sockets, owned by the relay from now on
    on_irqfds     called once per SET_IRQFD with copies of its two fds, which the callee then owns
    messages      requests forwarded so far
    """

    def __init__(self, main, remote, on_irqfds):
        super().__init__(name="link-relay", daemon=True)
        self.messages = 0
        self._main, self._remote, self._on_irqfds = main, remote, on_irqfds

    def stop(self):
        """Close the link to both sides and end the thread."""
        for sock in (self._main, self._remote):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass                    # that side has closed already
        self.join()
        self._main.close()
        self._remote.close()

    def run(self):
        poller = select.poll()
        poller.register(self._main, select.POLLIN)
        poller.register(self._remote, select.POLLIN)
        try:
            while True:
                for fd, _ in poller.poll():
                    if fd == self._main.fileno():
                        self._forward_request()
                    else:
                        self._forward_reply()
        except OSError:
            # One side is gone: let the other see it, as it would on a direct link.
            for sock in (self._main, self._remote):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def _forward_request(self):
        command, data, fds = receive_message(self._main)
        try:
            send_message(self._remote, data, fds)
            self.messages += 1
            if command == SET_IRQFD and len(fds) == 2:
                self._on_irqfds(os.dup(fds[0]), os.dup(fds[1]))
        finally:
            for fd in fds:
                os.close(fd)

    def _forward_reply(self):
        data = self._remote.recv(4096)
        if not data:
            raise ConnectionResetError("the remote closed the link")
        self._main.sendall(data)


class RestartingRelay(LinkRelay):
    """A relay whose remote may die and be replaced, as a pci-proxy-dev does it in the main emulator.

    While there is no remote, reads give all ones and writes are dropped. reattach() gives a new remote the
    memory table, the interrupt fds and the header registers that the guest has programmed.

    dropped  requests answered without a remote
    """

    # Written back in this order: BARs and ROM, cache line size, latency timer, interrupt line, command.
    _HEADER = [*range(0x10, 0x28, 4), 0x30, 0x0c, 0x0d, 0x3c, 0x04]
    _NO_REPLY = (0, SET_IRQFD)
    _RET, _CFGWRITE, _RESET = 1, 2, 7

    def __init__(self, main, remote, on_irqfds):
        super().__init__(main, remote, on_irqfds)
        self.dropped = 0
        self._kept = {}                 # command -> (message, fds) of SYNC_SYSMEM and SET_IRQFD
        self._header = {}               # address -> message that wrote it last
        self._lost = self._waiting = False
        self._replacement = None
        self._attached = threading.Event()

    def reattach(self, remote, seconds):
        """Use the socket of a new remote from now on; returns when it has been set up."""
        self._attached.clear()
        self._replacement = remote
        if not self._attached.wait(seconds):
            raise TimeoutError("the relay did not attach the new remote")

    def run(self):
        try:
            while True:
                if self._replacement:
                    self._set_up()
                sides = [self._main] if self._lost else [self._main, self._remote]
                for side in select.select(sides, [], [], 0.02)[0]:
                    if side is self._main:
                        self._forward_request()
                    else:
                        self._forward_reply_or_lose()
        except OSError:
            self._remote.shutdown(socket.SHUT_RDWR)     # the main emulator has ended
        for _, fds in self._kept.values():
            for fd in fds:
                os.close(fd)

    def _forward_reply_or_lose(self):
        try:
            self._forward_reply()
        except OSError:
            self._lost = True
            if self._waiting:
                self._answer_for_nobody()

    def _answer_for_nobody(self):
        self._waiting = False
        self.dropped += 1
        self._main.sendall(HEADER.pack(self._RET, 0, 8) + b"\xff" * 8)

    def _forward_reply(self):
        super()._forward_reply()
        self._waiting = False

    def _forward_request(self):
        command, data, fds = receive_message(self._main)
        self._keep(command, data, fds)
        self._waiting = command not in self._NO_REPLY
        if not self._lost:
            try:
                self._send(data, fds)
                return
            except OSError:
                self._lost = True
        if self._waiting:
            self._answer_for_nobody()

    def _send(self, data, fds=()):
        send_message(self._remote, data, fds)
        self.messages += 1

    def _keep(self, command, data, fds):
        if command in self._NO_REPLY:
            for fd in self._kept.get(command, ((), ()))[1]:
                os.close(fd)
            self._kept[command] = (data, list(fds))
            if command == SET_IRQFD:
                self._on_irqfds(os.dup(fds[0]), os.dup(fds[1]))
        elif command == self._CFGWRITE and not self._lost:
            address = struct.unpack_from("<I", data, HEADER.size)[0]
            if address in self._HEADER:
                self._header[address] = data

    def _ask(self, data):
        """A request of our own, whose answer is nobody else's."""
        self._send(data)
        answer = b""
        while len(answer) < HEADER.size + HEADER.unpack(answer.ljust(HEADER.size, b"\0")[:HEADER.size])[2] \
                or len(answer) < HEADER.size:
            more = self._remote.recv(4096)
            if not more:
                raise ConnectionResetError("the new remote closed the link")
            answer += more

    def _set_up(self):
        self._remote.close()
        self._remote, self._replacement = self._replacement, None
        for data, fds in self._kept.values():
            self._send(data, fds)
        self._ask(HEADER.pack(self._RESET, 0, 0))
        for address in self._HEADER:
            if address in self._header:
                self._ask(self._header[address])
        self._lost = False
        self._attached.set()


def main():
    """Pump the interrupts of a running pair of processes until the main emulator ends."""
    parser = argparse.ArgumentParser(
        description="Deliver a remote's interrupts to a stock main emulator under -accel tcg.")
    parser.add_argument("--qtest", required=True, help="path of the main emulator's -qtest socket")
    parser.add_argument("--qmp", required=True, help="path of a -qmp socket of the main emulator")
    parser.add_argument("--main", required=True, type=int, help="its process id")
    parser.add_argument("--remote", required=True, type=int, help="process id of the remote")
    parser.add_argument("--device", default="lsi0", help="id of the x-pci-proxy-dev")
    options = parser.parse_args()
    qmp = Qmp(options.qmp)
    pump = InterruptPump(options.qtest)
    for irqfd, resample in eventfds_of(options.main, options.remote):
        pump.add(irqfd, resample, lambda: qmp.irq_line(options.device))
    pump.start()
    ended = os.pidfd_open(options.main)         # readable when the process has ended
    select.select([ended], [], [])
    os.close(ended)
    pump.stop()
    qmp.close()
    print(f"{pump.interrupts} interrupts")


if __name__ == "__main__":
    main()
