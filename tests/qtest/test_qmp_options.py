# SPDX-License-Identifier: GPL-2.0-or-later
# The options that make monitors, in both programs: sockets, descriptors, files, standard input and output.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""Each test runs with mpqemu and qemu-remote."""

import json
import os
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

from device_process import device_pid
from qmp import Qmp, WAIT, socketpair
from qmp_program import OURS, RUNNING, wait_until, _ours, _paths  # noqa: F401 (fixtures)


@pytest.fixture(name="start", params=OURS)
def _start(request, paths):
    """Starts a program with options only: start(*args)."""
    programs = []

    def run(*args, **popen):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True,
                   **popen}
        programs.append(subprocess.Popen([paths[request.param], *RUNNING[request.param], *args], **options))
        return programs[-1]
    yield run
    for process in programs:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refused(start, *args, **popen):
    """What the program says when it refuses the options."""
    process = start(*args, **popen)
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 1 and err.count("\n") == 1, (process.returncode, err)
    return err


def test_listening_socket_has_several_clients(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    process = start("-qmp", f"unix:{path},server=on,wait=off")
    with Qmp.connect(path) as first, Qmp.connect(path) as second:
        first.negotiate()
        second.negotiate()
        first.command("stop")
        second.wait_event("STOP")
        first.close()
        with Qmp.connect(path) as third:
            third.negotiate()
            third.command("cont")
            second.wait_event("RESUME")
            third.command("quit")
    assert process.wait(WAIT) == 0
    assert not os.path.exists(path)


def test_more_clients_than_the_limit_wait(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    start("-qmp", f"unix:path={path},server=on,wait=off")
    clients = [Qmp.connect(path, check=False) for _ in range(16)]
    late = socket.socket(socket.AF_UNIX)
    late.connect(path)
    clients[0].negotiate()
    clients[0].command("query-status")
    assert not select.select([late], [], [], 0.2)[0]
    clients[1].close()
    with Qmp(late) as qmp:
        qmp.negotiate()
    for client in clients:
        client.close()
    with Qmp.connect(path) as qmp:
        qmp.negotiate()


def test_wait_holds_the_start(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    process = start("-qmp", f"unix:{path},server=on", "-trace", "runstate_set")
    wait_until(lambda: os.path.exists(path), "no socket")
    assert not select.select([process.stderr], [], [], 0.2)[0]      # it has not been started
    with Qmp.connect(path) as qmp:
        qmp.negotiate()
        wait_until(lambda: qmp.command("query-status")["running"], "it does not run")


def test_wait_can_be_ended_by_a_signal(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    process = start("-qmp", f"unix:{path},server=on")
    wait_until(lambda: os.path.exists(path), "no socket")
    process.terminate()
    assert process.wait(WAIT) == 0
    assert not os.path.exists(path)


def test_socket_files(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    process = start("-qmp", f"unix:{path},server=on,wait=off")
    Qmp.connect(path).close()
    # Somebody else's file of the same name stays.
    os.unlink(path)
    with open(path, "w", encoding="ascii"):
        process.terminate()
        assert process.wait(WAIT) == 0
    assert os.path.exists(path)
    assert "cannot listen" in refused(start, "-qmp", f"unix:{path},server=on,wait=off")
    assert os.path.exists(path)


def test_two_monitors_on_one_path_are_refused(start, tmp_path):
    path = str(tmp_path / "monitor.sock")
    err = refused(start, "-qmp", f"unix:{path},server=on,wait=off", "-monitor", f"unix:{path},server=on,wait=off")
    assert f"-monitor unix:{path},server=on,wait=off: unix:{path}: this program listens there already" in err
    assert not os.path.exists(path)


def test_path_limit(start, tmp_path):
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        path = "x" * 107
        start("-qmp", f"unix:{path},server=on,wait=off")
        Qmp.connect(path).close()
    finally:
        os.chdir(here)
    assert "longer than 107 bytes" in refused(start, "-qmp", f"unix:{'x' * 108},server=on,wait=off")


def test_connecting(start, tmp_path):
    path = str(tmp_path / "listen.sock")
    assert "cannot connect" in refused(start, "-qmp", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(WAIT)
        start("-qmp", f"unix:{path}")
        with Qmp(listener.accept()[0]) as qmp:
            qmp.negotiate()


@pytest.mark.parametrize("args, words", [
    (("-qmp", "tcp::1"), ("-qmp tcp::1", "unix:PATH")),
    (("-qmp", "unix:/nosuch/dir/x,server=on"), ("-qmp", "/nosuch/dir/x", "No such file")),
    (("-qmp", "unix:x,server=maybe"), ("-qmp", "server", "maybe")),
    (("-qmp", "unix:x,server=on,foo=1"), ("-qmp", "foo")),
    (("-qmp", "unix:,server=on"), ("-qmp", "path=")),
    (("-mon", "c0"), ("-mon", "chardev=c0", "-chardev")),
    (("-mon", "mode=control"), ("-mon", "-chardev")),
    (("-chardev", "null,id=c0", "-mon", "c0,mode=dialog"), ("-mon", "mode", "dialog")),
    (("-chardev", "null,id=c0", "-mon", "c0", "-mon", "c0"), ("-mon", "c0", "another monitor")),
    (("-chardev", "null,id=c0", "-chardev", "null,id=c0"), ("-chardev", "id")),
    (("-chardev", "null"), ("-chardev null", "id")),
    (("-chardev", "vc,id=c0", "-mon", "c0"), ("-mon", "vc", "socket, stdio or null")),
    (("-chardev", "vc,id=c0"), ("-chardev vc,id=c0", "socket, stdio or null")),
    (("-chardev", "file,id=c0,path=x", "-mon", "c0"), ("'file'", "socket, stdio or null")),
    (("-chardev", "socket,id=c0", "-mon", "c0"), ("-mon", "path=PATH", "fd=N")),
    (("-chardev", "socket,id=c0,path=x,fd=3", "-mon", "c0"), ("-mon", "path=PATH", "fd=N")),
    (("-chardev", "socket,id=c0,fd=987", "-mon", "c0"), ("-mon", "987", "not open")),
    (("-chardev", "socket,id=c0,fd=0", "-mon", "c0"), ("-mon", "descriptor 0", "connected stream socket")),
    (("-chardev", "stdio,id=c0", "-mon", "c0,mode=control", "-qmp", "stdio"), ("standard input", "another user")),
], ids=lambda value: " ".join(value) if value[0].startswith("-") and len(value) > 1 and value[1:2] else "")
def test_mistakes_in_options(start, args, words):
    err = refused(start, *args)
    for word in words:
        assert word in err, err


def test_sockets_of_another_kind(start):
    for sock in (socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0], socket.socket(socket.AF_UNIX)):
        with sock:
            err = refused(start, "-chardev", f"socket,id=c,fd={sock.fileno()}", "-mon", "c,mode=control",
                          pass_fds=[sock.fileno()])
            assert "connected stream socket" in err


def test_monitor_of_a_descriptor_that_a_program_names(start):
    """A descriptor serves one use."""
    sock, theirs = socketpair()
    with sock, theirs:
        err = refused(start, "-chardev", f"socket,id=a,fd={theirs.fileno()}", "-mon", "a,mode=control",
                      "-chardev", f"socket,id=b,fd={theirs.fileno()}", "-mon", "b,mode=control",
                      pass_fds=[theirs.fileno()])
        assert "in use by this program" in err


def test_no_monitor(start):
    process = start("-qmp", "none", "-monitor", "none", "-qmp", "null")
    process.terminate()
    assert process.wait(WAIT) in (0, -signal.SIGTERM)


def test_pretty(ours):
    program = ours(pretty=True)
    sock = program.ends[0]
    sock.settimeout(WAIT)
    text = b""
    while not text.endswith(b"\n}\r\n"):
        text += sock.recv(4096)
    assert json.loads(text)["QMP"]["capabilities"] == ["oob"]
    assert text.count(b"\n") > 5


# ---- standard input and output --------------------------------------------------------------------------


def lines_of(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


COMMANDS = '{"execute":"qmp_capabilities"}\n{"execute":"query-status","id":1}\n{"execute":"quit"}\n'


@pytest.mark.parametrize("kind", ["pipe", "file", "socket", "terminal"])
def test_stdio(start, tmp_path, kind):
    out_path = tmp_path / "out"
    if kind == "pipe":
        process = start("-qmp", "stdio", stdin=subprocess.PIPE)
        out, _ = process.communicate(COMMANDS, timeout=WAIT)
    elif kind == "file":
        (tmp_path / "in").write_text(COMMANDS, encoding="ascii")
        with open(tmp_path / "in", encoding="ascii") as stdin, open(out_path, "w", encoding="ascii") as stdout:
            stdout.write("before\n")
            stdout.flush()
            process = start("-qmp", "stdio", stdin=stdin, stdout=stdout)
            assert process.wait(WAIT) == 0
        out = out_path.read_text(encoding="ascii")
        assert out.startswith("before\n")
    elif kind == "socket":
        ours, theirs = socket.socketpair()
        process = start("-qmp", "stdio", stdin=theirs, stdout=theirs)
        theirs.close()
        ours.sendall(COMMANDS.encode())
        out = ""
        while data := ours.recv(4096):
            out += data.decode()
        ours.close()
    else:
        master, slave = os.openpty()
        process = start("-qmp", "stdio", stdin=slave, stdout=slave)
        os.close(slave)
        os.write(master, COMMANDS.encode())
        out = ""
        while True:
            try:
                data = os.read(master, 4096)
            except OSError:
                break
            if not data:
                break
            out += data.decode()
        os.close(master)
    assert process.wait(WAIT) == 0
    answers = [line for line in lines_of(out) if "return" in line]
    assert {"return": {"running": True, "singlestep": False, "status": "running"}, "id": 1} in answers, out


def test_closed_standard_descriptors_are_nothing_else(start, tmp_path):
    """An image or a socket in the place of standard error would get the messages."""
    path = str(tmp_path / "qmp.sock")

    def close_all():
        for number in range(3):
            os.close(number)
    process = start("-qmp", f"unix:{path},server=on,wait=off", preexec_fn=close_all)
    wait_until(lambda: os.path.exists(path), "no socket")
    Qmp.connect(path).close()
    assert [os.readlink(f"/proc/{device_pid(process.pid)}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3


def test_stdio_flags_stay_as_they_are(start):
    """The descriptions of standard input and output may be shared with the shell."""
    read_fd, write_fd = os.pipe()
    process = start("-qmp", "stdio", stdin=read_fd)
    os.write(write_fd, b'{"execute":"qmp_capabilities"}\n')
    process.stdout.readline()
    process.stdout.readline()
    assert os.get_blocking(read_fd) and os.get_blocking(process.stdout.fileno())
    os.close(read_fd)
    os.close(write_fd)


def test_end_of_standard_input_ends_the_session_only(start, tmp_path):
    path = str(tmp_path / "qmp.sock")
    process = start("-qmp", "stdio", "-qmp", f"unix:{path},server=on,wait=off", stdin=subprocess.DEVNULL)
    with Qmp.connect(path) as qmp:
        qmp.negotiate()
        assert qmp.command("query-status")["running"]
        qmp.command("quit")
    assert process.wait(WAIT) == 0


def test_reader_of_standard_output_that_sleeps(start, tmp_path):
    """The pipe is full; the program goes on, and can be ended."""
    path = str(tmp_path / "qmp.sock")
    process = start("-qmp", "stdio", "-qmp", f"unix:{path},server=on,wait=off", stdin=subprocess.PIPE)
    os.set_blocking(process.stdin.fileno(), False)
    with Qmp.connect(path) as qmp:
        qmp.negotiate()
        flooded = 0
        stuck = time.monotonic()
        os.write(process.stdin.fileno(), b'{"execute":"qmp_capabilities"}')
        while time.monotonic() - stuck < 1:
            try:
                flooded += os.write(process.stdin.fileno(), b'{"execute":"query-commands"}')
                stuck = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        assert qmp.command("query-status")["running"]
        qmp.command("quit")
    assert process.wait(WAIT) == 0
