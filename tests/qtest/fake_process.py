#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Plays a remote or an emulator for the tests of mpqemu-launch.
# Runs in: neither program; is started by mpqemu-launch.
"""Reports what it was started with, then does what its arguments say; other arguments have no meaning.

report=PATH     JSON about the process, written whole (renamed into place)
signals=PATH    catches all signals and appends their names, one a line
quit=NAME       ends by this caught signal (SIGTERM)
ignore=NAME     ignores this signal
wait=PATH       ends when this file exists; without it, when all links (fd=N in the arguments) have ended
stubborn        does not end then
status=N        exit status
die=NAME        ends by this signal instead
"""

import ctypes
import json
import os
import re
import select
import signal
import sys
import time

PR_GET_PDEATHSIG = 2


def descriptors():
    """{number: what it is}, without the one that lists them."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return found


def report(path):
    parent_death = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_PDEATHSIG, ctypes.byref(parent_death))
    with open("/proc/self/status", encoding="ascii") as lines:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
    about = {"argv": sys.argv, "fds": FDS, "env": dict(os.environ), "pid": os.getpid(), "parent": os.getppid(),
             "group": os.getpgrp(), "session": os.getsid(0), "parent_death": parent_death.value,
             "blocked": status["SigBlk"], "ignored": status["SigIgn"]}
    with open(path + ".new", "w", encoding="utf-8") as stream:
        json.dump(about, stream)
    os.rename(path + ".new", path)


def catch_signals(path, quits, status):
    def caught(number, _):
        with open(path, "a", encoding="ascii") as stream:
            stream.write(signal.Signals(number).name + "\n")
        if signal.Signals(number).name in quits:
            os._exit(status)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGTSTP, signal.SIGCHLD}:
        signal.signal(number, caught)


def wait_for_links(numbers):
    poller = select.poll()
    for number in numbers:
        poller.register(number, select.POLLIN)
    left = set(numbers)
    while left:
        for number, _ in poller.poll():
            if not os.read(number, 4096):
                poller.unregister(number)
                left.remove(number)


def main():
    options = {}
    for word in sys.argv[1:]:
        name, _, value = word.partition("=")
        options.setdefault(name, []).append(value)
    status = int(options.get("status", ["0"])[0])
    if "signals" in options:
        catch_signals(options["signals"][0], options.get("quit", []), status)
    for name in options.get("ignore", []):
        signal.signal(signal.Signals[name], signal.SIG_IGN)
    if "report" in options:
        report(options["report"][0])
    if "wait" in options:
        while not os.path.exists(options["wait"][0]):
            time.sleep(0.01)
    else:
        wait_for_links([int(number) for number in re.findall(r"\bfd=(\d+)", " ".join(sys.argv))])
    if "die" in options:
        os.kill(os.getpid(), signal.Signals[options["die"][0]])
    while "stubborn" in options:
        signal.pause()
    return status


FDS = descriptors()
if __name__ == "__main__":
    sys.exit(main())
