# SPDX-License-Identifier: GPL-2.0-or-later
# The serial ports of mpqemu and what is at their other ends: sockets, files, pseudo-terminals, a shared terminal.
# Runs in: neither program; drives mpqemu from outside, by registers through qtest, and as the person at the terminal.
"""-serial, -debugcon, -chardev, and the keys behind Ctrl-A of mon:stdio."""

import os
import re
import signal
import socket
import subprocess
import termios
import time

import pytest

from hmp_session import PROMPT, Program, Terminal, wait_until
from qmp import Qmp
from qtest import Qtest
from sandbox_probe import PROBE

WAIT = 20
CONFINED = pytest.mark.skipif(not os.path.exists(PROBE), reason="a sanitizer's threads need more than the profile has")
COM1 = 0x3f8
RBR, IER, IIR, LCR, MCR, LSR, SCR = 0, 1, 2, 3, 4, 5, 7
LSR_DR, LSR_BI, LSR_THRE = 0x01, 0x10, 0x20


class Port:
    """The guest's side of a serial port, polled."""

    def __init__(self, qtest, base=COM1):
        self.qtest, self.base = qtest, base
        qtest.outb(base + IIR, 0x07)  # FIFOs on, and empty

    def lsr(self):
        return self.qtest.inb(self.base + LSR)

    def write(self, data):
        for byte in data:
            wait_until(lambda: self.lsr() & LSR_THRE, "the transmitter's turn")
            self.qtest.outb(self.base, byte)

    def read(self, count):
        data = b""
        while len(data) < count:
            wait_until(lambda: self.lsr() & LSR_DR, f"input behind {data!r}")
            data += bytes([self.qtest.inb(self.base)])
        return data


class Person(Terminal):
    """Whom the terminal is shown to: where in a line its end is put does not matter to them."""

    def _read(self, seconds):
        super()._read(seconds)
        self.screen = re.sub(r"\r+\n", "\r\n", self.screen)


class Client(Qtest):
    """A qtest connection to a program that somebody else has started."""

    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.wait, self.irqs, self._buffer = WAIT, [], b""
        self._connection = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + WAIT
        while self._connection.connect_ex(path) != 0:
            assert time.monotonic() < deadline, "nobody listens"
            time.sleep(0.02)

    def stderr(self):
        return ""

    def close(self):
        self._connection.close()


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(WAIT)
    sock.connect(str(path))
    return sock


def receive(sock, count):
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, f"it has closed after {data!r}"
        data += more
    return data


# ---------------------------------------------------------------------------------- ports

def test_no_port_by_default(main_program):
    with Qtest(main_program, ["-nographic"]) as qtest:
        assert qtest.inb(COM1 + LSR) == 0xff


def test_four_ports_and_one_left_out(main_program):
    with Qtest(main_program, ["-serial", "null", "-serial", "none", "-serial", "null", "-serial", "null"]) as qtest:
        for base, there in ((0x3f8, True), (0x2f8, False), (0x3e8, True), (0x2e8, True)):
            qtest.outb(base + SCR, 0x5a)
            assert (qtest.inb(base + SCR) == 0x5a) == there


def test_interrupt_reaches_the_io_apic(main_program):
    with Qtest(main_program, ["-serial", "null"]) as qtest:
        qtest.command("irq_intercept_in /machine/ioapic")
        qtest.outb(COM1 + MCR, 0x08)
        qtest.outb(COM1 + IER, 0x02)
        qtest.inb(COM1)
        assert ("raise", 4) in qtest.irqs


# ---------------------------------------------------------------------------------- sockets

def test_socket_and_the_next_peer(main_program, tmp_path):
    path = tmp_path / "com1"
    with Qtest(main_program, ["-serial", f"unix:{path},server=on,wait=off"]) as qtest:
        port = Port(qtest)
        port.write(b"nobody hears this")
        for text in (b"first", b"second"):
            with connect(path) as peer:
                peer.sendall(b"hello " + text)
                assert port.read(6 + len(text)) == b"hello " + text
                port.write(b"answer to " + text)
                assert receive(peer, 10 + len(text)) == b"answer to " + text
    assert not path.exists()


def test_many_bytes_both_ways(main_program, tmp_path):
    """A peer that sends all at once is held back by the guest; nothing is lost."""
    path = tmp_path / "com1"
    data = bytes(i * 7 % 256 for i in range(3000))
    with Qtest(main_program, ["-serial", f"unix:{path},server=on,wait=off"]) as qtest, connect(path) as peer:
        port = Port(qtest)
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        assert port.read(len(data)) == data
        port.write(data)  # a peer that has ended only its own direction still hears
        assert receive(peer, len(data)) == data


def test_last_words_of_a_peer_are_heard(main_program, tmp_path):
    path = tmp_path / "com1"
    with Qtest(main_program, ["-serial", f"unix:{path},server=on,wait=off"]) as qtest:
        port = Port(qtest)
        with connect(path) as peer:
            peer.sendall(b"x" * 100)
            assert port.read(1) == b"x"
        assert port.read(99) == b"x" * 99


def test_start_waits_for_the_peer(main_program, tmp_path):
    path = tmp_path / "com1"
    with Qtest(main_program, ["-serial", f"unix:{path},server=on"]) as qtest:
        qtest.raw(b"inb 0x3fb\n")
        with pytest.raises(Exception):
            qtest.wait = 0.5
            qtest.raw(b"")
            qtest._line(time.monotonic() + 0.5)  # pylint: disable=protected-access
        qtest.wait = WAIT
        with connect(path):
            assert qtest._line(time.monotonic() + WAIT).startswith("OK")  # pylint: disable=protected-access


def test_socket_of_the_launcher(main_program):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Qtest(main_program, ["-chardev", f"socket,id=c0,fd={theirs.fileno()}", "-serial", "chardev:c0"],
                   pass_fds=[theirs.fileno()]) as qtest:
            ours.settimeout(WAIT)
            Port(qtest).write(b"x")
            assert ours.recv(1) == b"x"


# ---------------------------------------------------------------------------------- files, pseudo-terminals

def test_file(main_program, tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"old")
    with Qtest(main_program, ["-serial", f"file:{path}"]) as qtest:
        Port(qtest).write(b"one")
    assert path.read_bytes() == b"one"
    with Qtest(main_program, ["-chardev", f"file,id=c0,path={path},append=on",
                              "-device", "isa-serial,chardev=c0"]) as qtest:
        Port(qtest).write(b"two")
    assert path.read_bytes() == b"onetwo"


def test_full_file_system(main_program):
    with Qtest(main_program, ["-serial", "file:/dev/full"]) as qtest:
        port = Port(qtest)
        for _ in range(3):
            port.write(b"0123456789")
        wait_until(lambda: "No space left" in qtest.stderr(), "the message")
        assert port.lsr() & LSR_THRE
        assert qtest.stderr().count("No space left") == 1


def test_debug_console(main_program, tmp_path):
    path = tmp_path / "log"
    with Qtest(main_program, ["-debugcon", f"file:{path}"]) as qtest:
        assert qtest.inb(0xe9) == 0xe9
        for byte in b"firmware":
            qtest.outb(0xe9, byte)
    assert path.read_bytes() == b"firmware"


def test_monitor_shows_what_ports_are_connected_to(main_program, tmp_path):
    """What libvirt asks for, to find a pseudo-terminal."""
    qtest_path, port_path, qmp_path = (str(tmp_path / name) for name in ("qtest", "port", "qmp"))
    with Program(main_program, "-accel", "qtest", "-qtest", f"unix:{qtest_path},server=on", "-serial", "pty",
                 "-serial", f"unix:{port_path},server=on,wait=off", "-debugcon", f"file:{tmp_path}/log",
                 "-chardev", "null,id=free", "-chardev", "pty,id=both,mux=on", "-mon", "both",
                 "-qmp", f"unix:{qmp_path},server=on,wait=off") as program:
        ptys = {}
        for _ in range(2):
            line = program.process.stdout.readline().decode()
            told = re.fullmatch(r"char device redirected to (/dev/pts/\d+) \(label (\w+)\)\n", line)
            ptys[told[2]] = told[1]
        Client(qtest_path).close()
        qmp = Qmp(connect(qmp_path))
        qmp.command("qmp_capabilities")
        assert {device["label"]: (device["filename"], device["frontend-open"])
                for device in qmp.command("query-chardev")} == {
            "serial0": (f"pty:{ptys['serial0']}", True), "serial1": (f"unix:{port_path},server=on", True),
            "debugcon": ("file", True), "free": ("null", False), "both": (f"pty:{ptys['both']}", True)}
        assert f"serial0: filename=pty:{ptys['serial0']}\r\n" in qmp.hmp("info chardev")


def test_pty(main_program, tmp_path):
    path = str(tmp_path / "qtest")
    with Program(main_program, "-accel", "qtest", "-qtest", f"unix:{path},server=on", "-serial", "pty") as program:
        line = program.process.stdout.readline().decode()
        name = re.fullmatch(r"char device redirected to (/dev/pts/\d+) \(label serial0\)\n", line)[1]
        qtest = Client(path)
        port = Port(qtest)
        port.write(b"before ")
        terminal = os.open(name, os.O_RDWR | os.O_NOCTTY)
        port.write(b"after\n")
        data = b""
        while len(data) < 13:
            data += os.read(terminal, 100)
        assert data == b"before after\n"
        os.write(terminal, b"\x03\r")  # nothing means anything to the terminal
        assert port.read(2) == b"\x03\r"
        os.close(terminal)
        port.write(b"nobody")
        qtest.close()


# ---------------------------------------------------------------------------------- a shared terminal

@pytest.fixture(name="start")
def _start(main_program, tmp_path):
    """Starts the program on a terminal with mon:stdio; returns it and the guest's side."""
    started = []

    def start(*words, serial=("-serial", "mon:stdio")):
        path = str(tmp_path / f"qtest{len(started)}")
        program = Person(main_program, "-accel", "qtest", "-qtest", f"unix:{path},server=on", *serial, *words,
                           env={"LSAN_OPTIONS": "detect_leaks=0"})
        started.append(program)
        qtest = Client(path)
        started.append(qtest)
        return program, Port(qtest)

    yield start
    for one in reversed(started):
        if isinstance(one, Client):
            one.close()
        else:
            one.__exit__()


def modes(program):
    return termios.tcgetattr(program.slave)


def state(program):
    with open(f"/proc/{program.process.pid}/stat", encoding="ascii") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def test_keys_go_to_the_guest(start):
    program, port = start()
    program.type("ls\r\x03\x1a")
    assert port.read(5) == b"ls\r\x03\x1a"
    assert program.screen == ""  # the guest makes the echo
    port.write(b"total 0\r\n")
    program.expect("total 0\r\n")


def test_monitor_and_back(start):
    program, port = start()
    program.type("\x01c")
    program.expect("[monitor]")
    program.expect("monitor - type 'help' for more information\r\n")
    program.expect(PROMPT)
    program.type("info sta\t\r")  # editing and completion as on any terminal
    program.expect("VM status: running")
    program.expect(PROMPT)
    port.write(b"guest goes on\r\n")
    program.expect("guest goes on\r\n")
    program.type("\x01c")
    program.expect("[port 1]")
    program.type("x")
    assert port.read(1) == b"x"
    program.type("\x01cquit\r")
    assert program.end()[0] == 0
    assert modes(program) == program.modes


def test_help_break_literal_and_unknown(start):
    program, port = start()
    program.type("\x01h")
    program.expect("Ctrl-A x")
    program.expect("Ctrl-A Ctrl-A")
    program.type("\x01\x01")
    assert port.read(1) == b"\x01"
    program.type("\x01b")
    wait_until(lambda: port.lsr() & LSR_BI, "the break")
    assert port.read(1) == b"\0"
    program.type("\x01qz")
    assert port.read(1) == b"z"


def test_timestamps(start):
    program, port = start()
    program.type("\x01t")
    program.type("a")
    port.read(1)  # the switch came before it
    port.write(b"one\r\ntwo\r\n")
    program.expect("two\r\n")
    program.type("\x01t")
    program.type("a")
    port.read(1)
    port.write(b"three\r\n")
    assert program.expect("three\r\n") == ""


def test_timestamps_look(start):
    program, port = start()
    program.type("\x01ta")
    port.read(1)
    port.write(b"one\r\ntwo\r\n.")
    text = program.expect("\r\n") + "|" + program.expect("\r\n")
    assert re.fullmatch(r"\[00:00:\d\d\.\d{3}\] one\|\[00:00:\d\d\.\d{3}\] two", text), text


def test_exit(start):
    program, _ = start()
    program.type("\x01x")
    program.expect("terminated by Ctrl-A x")
    assert program.end()[0] == 0
    assert modes(program) == program.modes


def test_exit_from_a_guest_that_takes_no_input(start):
    """More than a port keeps: for a second it may only be busy, then it is dropped, and the keys work."""
    program, _ = start()
    for _ in range(10):
        program.type("y" * 1000)
    program.type("\x01x")
    assert program.end()[0] == 0


def test_two_ports_and_a_monitor_share(start):
    program, port = start(serial=("-chardev", "stdio,id=tty,mux=on", "-serial", "chardev:tty", "-serial", "chardev:tty",
                                  "-mon", "chardev=tty"))
    second = Port(port.qtest, 0x2f8)
    program.type("a\x01cb\x01c")
    program.expect(PROMPT)
    program.type("\x01cc")
    assert port.read(2) == b"ac" and second.read(1) == b"b"


def test_modes_by_signals(start):
    program, _ = start()
    raw = modes(program)
    assert raw != program.modes and not raw[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    os.kill(program.process.pid, signal.SIGTSTP)
    wait_until(lambda: state(program) == "T", "the stop")
    assert modes(program) == program.modes
    os.kill(program.process.pid, signal.SIGCONT)
    wait_until(lambda: modes(program) == raw, "raw mode")
    os.kill(program.process.pid, signal.SIGTERM)
    assert program.end()[0] == 0
    assert modes(program) == program.modes


def test_ctrl_z_and_ctrl_c_without_a_monitor(start):
    program, port = start(serial=("-serial", "stdio"))
    program.type("a")
    assert port.read(1) == b"a"
    os.kill(program.process.pid, signal.SIGTSTP)
    wait_until(lambda: state(program) == "T", "the stop")
    assert modes(program) == program.modes
    os.kill(program.process.pid, signal.SIGCONT)
    program.type("b")
    assert port.read(1) == b"b"
    program.type("\x03")
    assert program.end()[0] == 0
    assert modes(program) == program.modes


def test_nographic(main_program):
    """Without a test program: a machine whose serial port shares the terminal with a monitor."""
    with Person(main_program, "-accel", "qtest", "-nographic", env={"LSAN_OPTIONS": "detect_leaks=0"}) as program:
        wait_until(lambda: not modes(program)[3] & termios.ISIG, "raw mode")
        program.type("\x01c")
        program.expect(PROMPT)
        program.type("info qtree\r")
        program.expect("isa-serial")
        program.type("\x01x")
        assert program.end()[0] == 0
        assert modes(program) == program.modes


def test_nographic_with_another_monitor(main_program):
    with Person(main_program, "-accel", "qtest", "-nographic", "-monitor", "none",
                env={"LSAN_OPTIONS": "detect_leaks=0"}) as program:
        wait_until(lambda: not modes(program)[3] & termios.ICANON, "raw mode")
        assert modes(program)[3] & termios.ISIG
        program.type("\x01c\x01x")
        program.type("\x03")
        assert program.end()[0] == 0
        assert "[monitor]" not in program.screen and "Ctrl-A" not in program.screen


def test_modes_after_a_crash(start):
    program, _ = start()
    os.kill(program.process.pid, signal.SIGABRT)
    assert program.end()[0] == -signal.SIGABRT
    assert modes(program) == program.modes


@CONFINED
def test_confined(start):
    program, port = start("-sandbox", "on")
    program.type("a")
    assert port.read(1) == b"a"
    port.write(b"hello\r\n")
    program.expect("hello\r\n")
    program.type("\x01cinfo status\r")
    program.expect("VM status: running")
    os.kill(program.process.pid, signal.SIGTSTP)
    wait_until(lambda: state(program) == "T", "the stop")
    assert modes(program) == program.modes
    os.kill(program.process.pid, signal.SIGCONT)
    program.type("\x01x")
    assert program.end()[0] == 0
    assert modes(program) == program.modes


@CONFINED
def test_confined_sockets_and_files(main_program, tmp_path):
    with Qtest(main_program, ["-sandbox", "on", "-serial", f"unix:{tmp_path}/com1,server=on,wait=off", "-serial",
                              f"file:{tmp_path}/log", "-serial", "pty"]) as qtest:
        first, second, third = (Port(qtest, base) for base in (0x3f8, 0x2f8, 0x3e8))
        for _ in range(2):
            with connect(tmp_path / "com1") as peer:
                peer.sendall(b"in")
                assert first.read(2) == b"in"
                first.write(b"out")
                assert receive(peer, 3) == b"out"
        second.write(b"to the file")
        third.write(b"to nobody")
    assert (tmp_path / "log").read_bytes() == b"to the file"
    assert not (tmp_path / "com1").exists()


# ---------------------------------------------------------------------------------- mistakes

@pytest.mark.parametrize("args,text", [
    (["-serial", "tcp::1"], "-serial tcp::1: not supported; give stdio"),
    (["-serial", "mon:tcp::1"], "-serial mon:tcp::1: not supported"),
    (["-serial", "stdio", "-serial", "stdio"], "have another user"),
    (["-serial", "stdio", "-monitor", "stdio"], "have another user"),
    (["-serial", "chardev:c0"], "-serial chardev:c0: chardev=c0: there is no such device"),
    (["-serial", "file:/no/such/directory/f"], "cannot be opened for writing"),
    (["-serial", "unix:/no/such/directory/s"], "cannot connect"),
    (["-serial", "unix:/no/such/directory/s,server=on"], "cannot listen"),
    (["-serial", "unix:"], "needs path=PATH"),
    (["-serial", "unix:/no/such/directory/s,wait=off"], "wait=off is for one that listens"),
    (["-debugcon", "null", "-debugcon", "null"], "-debugcon null: there is one already, null"),
    (["-serial", "null", "-serial", "null", "-serial", "null", "-serial", "null", "-serial", "null"], "4 of them"),
    (["-chardev", "null,id=c0", "-serial", "chardev:c0", "-serial", "chardev:c0"], "chardev=c0: it is in use"),
    (["-chardev", "socket,id=c0,path=x,banana=1"], "banana"),
    (["-chardev", "null,id=serial0", "-serial", "null"], "serial0"),
    (["-chardev", "file,id=c0,path=/dev/null,mux=on"], "mux"),
    (["-chardev", "stdio,id=c0,mux=maybe"], "mux"),
    (["-device", "isa-debugcon"], "chardev"),
])
def test_refused(main_program, args, text):
    result = subprocess.run([main_program, "-accel", "qtest", *args], stdin=subprocess.DEVNULL, capture_output=True,
                            text=True, timeout=WAIT, check=False)
    assert result.returncode == 1
    assert text in result.stderr and result.stderr.count("\n") == 1, result.stderr
