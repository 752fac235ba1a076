# SPDX-License-Identifier: GPL-2.0-or-later
# Starts mpqemu-launch with fake and real programs, and looks at its children.
# Runs in: neither program; drives mpqemu-launch from outside.
"""Harness of the tests of mpqemu-launch.

All waits have a limit (WAIT seconds). Whatever is started has the test's directory in its arguments, so
that what was left behind can be found in /proc; only such processes are ended.
"""

import json
import os
import signal
import subprocess
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FAKE = os.path.join(TESTS, "qtest", "fake_process.py")
BUILD = os.environ.get("MPQEMU_BUILD", os.path.join(os.path.dirname(TESTS), "build"))
PROGRAM = os.environ.get("MPQEMU_LAUNCH", os.path.join(BUILD, "launch", "mpqemu-launch"))
WAIT = 30


def wait_until(condition, what):
    """The first true value of condition()."""
    deadline = time.monotonic() + WAIT
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def processes_with(text):
    """{pid: arguments} of the living processes that have text in an argument."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as line:
                words = line.read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(text in word for word in words):
            found[int(name)] = words
    return found


def state_of(pid):
    """The letter of a process's state."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def children_of(pid):
    """[pid] of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(word) for word in children.read().split()]


class Launch:
    """A running mpqemu-launch; a context manager that leaves nothing behind, and fails if something was.

    directory   of the test
    args        the command line, without the program
    more        for subprocess.Popen
    """

    def __init__(self, directory, *args, **more):
        self.directory = str(directory)
        self.process = subprocess.Popen(
            [PROGRAM, *map(str, args)], **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
                                           "stderr": subprocess.PIPE, "text": True, **more})

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdout, self.process.stderr):
            if stream and not stream.closed:
                stream.close()
        self.process.wait()
        try:
            wait_until(lambda: not processes_with(self.directory), "processes were left behind")
        finally:
            for pid in processes_with(self.directory):
                os.kill(pid, signal.SIGKILL)

    def report(self, name):
        """What the fake process of that name was started with; waits for it."""
        path = os.path.join(self.directory, name)
        wait_until(lambda: os.path.exists(path) or self.process.poll() is not None, f"no report of {name}")
        assert os.path.exists(path), self.process.communicate()
        with open(path, encoding="utf-8") as stream:
            about = json.load(stream)
        about["fds"] = {int(number): what for number, what in about["fds"].items()}
        return about

    def wait(self):
        """(status, stdout, stderr) after the launcher has ended; it must leave nothing."""
        out, err = self.process.communicate(timeout=WAIT)
        assert processes_with(self.directory) == {}
        return self.process.returncode, out, err


def run(directory, *args, **more):
    """(status, stdout, stderr) of a launcher that ends by itself."""
    with Launch(directory, *args, **more) as launch:
        return launch.wait()


class Fakes:
    """Arguments for fake processes of a test's directory."""

    def __init__(self, directory):
        self.directory = directory

    def words(self, name, *behaviour):
        """Of a process that reports under name."""
        return [f"report={self.directory}/{name}", *behaviour]

    def remote(self, rid, *behaviour, keys=None):
        """A whole --remote; keys default to device=dev-RID."""
        return ["--remote", f"{rid},{keys or 'device=dev-' + rid},exec={FAKE}", *self.words(rid, *behaviour)]

    def emulator(self, *behaviour):
        """The part from "--" on."""
        return ["--", FAKE, *self.words("emulator", *behaviour)]

    def held(self, *behaviour):
        """As emulator(), of one that runs until release()."""
        return self.emulator(f"wait={self.directory}/release", *behaviour)

    def release(self):
        with open(f"{self.directory}/release", "w", encoding="ascii"):
            pass

    def signals(self, name):
        """Names of the signals that a fake with signals=DIRECTORY/name.signals has caught."""
        try:
            with open(f"{self.directory}/{name}.signals", encoding="ascii") as stream:
                return stream.read().split()
        except FileNotFoundError:
            return []
