# SPDX-License-Identifier: GPL-2.0-or-later
# A program under test with monitors on socketpairs, for the tests of QMP.
# Runs in: neither program; starts mpqemu, qemu-remote and stock QEMU.
"""Program, and the fixtures `paths` and `ours`, which a test file imports by their names _paths and _ours."""

import subprocess
import time

import pytest

from qmp import Qmp, QmpError, WAIT, socketpair

OURS = ("mpqemu", "qemu-remote")
# What each program needs to run at all.
RUNNING = {
    "mpqemu": ("-accel", "qtest"),
    "qemu-remote": (),
    "guest": ("-accel", "emu"),         # mpqemu with processors
    "stock": ("-machine", "none", "-accel", "tcg", "-nodefaults", "-display", "none"),
}


def fails(qmp, name, /, _fds=(), **arguments):
    """(class, text) of a command that fails."""
    with pytest.raises(QmpError) as caught:
        qmp.command(name, _fds=_fds, **arguments)
    return caught.value.error_class, caught.value.desc


class Program:
    """A running program with monitors on socketpairs; a context manager that leaves nothing behind."""

    def __init__(self, path, name, *args, monitors=1, pretty=False, **popen):
        self.name = name
        self.ends, theirs, options = [], [], []
        for i in range(monitors):
            ours, other = socketpair()
            self.ends.append(ours)
            theirs.append(other)
            options += ["-chardev", f"socket,id=c{i},fd={other.fileno()}",
                        "-mon", f"chardev=c{i},mode=control" + (",pretty=on" if pretty else "")]
        self.process = subprocess.Popen(
            [path, *RUNNING[name], *args, *options],
            pass_fds=[*popen.pop("pass_fds", ()), *(sock.fileno() for sock in theirs)],
            stdin=popen.pop("stdin", subprocess.DEVNULL), stdout=popen.pop("stdout", subprocess.DEVNULL),
            stderr=subprocess.PIPE, text=True, **popen)
        for sock in theirs:
            sock.close()
        self.sessions = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (*self.ends, *self.sessions):
            sock.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def session(self, number=0, negotiate=True, **options):
        """The session on the monitor of the number."""
        qmp = Qmp(self.ends[number], **options)
        self.sessions.append(qmp)
        return qmp.negotiate() if negotiate else qmp

    def wait(self):
        """(status, what it said) after the program has ended."""
        _, err = self.process.communicate(timeout=WAIT)
        return self.process.returncode, err


@pytest.fixture(name="paths")
def _paths(main_program, remote_program):
    return {"mpqemu": main_program, "qemu-remote": remote_program}


def starter(path, name):
    """For a fixture: yields start(*args, **options) of programs, which it ends."""
    programs = []

    def start(*args, **options):
        programs.append(Program(path, name, *args, **options))
        return programs[-1]
    yield start
    for program in programs:
        program.__exit__()


@pytest.fixture(name="ours", params=OURS)
def _ours(request, paths):
    """Starts each of our programs: ours(*args, monitors=1)."""
    yield from starter(paths[request.param], request.param)


def wait_until(condition, what):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
