# SPDX-License-Identifier: GPL-2.0-or-later
# What a device in trouble costs its neighbour.
# Runs in: neither program; starts both programs.
"""Figures of a healthy neighbour: the rows of `scripts/bench --only neighbour`.

Device B does 4 KiB reads and writes, one after the other, while something happens to device A; seen from B's guest, by
a client in Python, so absolute times are the client's as much as ours.  B, its client and the programs share one CPU,
A's process too; what disturbs A from outside has another.  "killed" and "unplugged and plugged" come one after the
other without pause: then B's CPU starts processes, or makes devices, all the time, and what is seen is that.  The same
at a rate is in rows of its own: "killed 10/s" with the new processes on another CPU than B's, and on B's.  "times" says
how often it happened in all: a scheduler may keep a process that was killed from its last turn for seconds while B is
busy.  In each round every disturbance is measured right behind an undisturbed run, and the ratio is that of the two;
shown is the median of the rounds.
"""

import os
import statistics
import sys
import tempfile
import pathlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../qtest"))

from managed import Asker                           # noqa: E402  (needs the path above)
from neighbour import OneProcess, TwoProcesses      # noqa: E402

SECONDS = 2.0


def percentile(times, share):
    return sorted(times)[int(len(times) * share)] * 1e6


def one_figure(rig, name):
    """(median us, p99 us, worst answer of the monitor in ms, times) of B while NAME happens to A."""
    with rig.disturbed(name):
        times = rig.some_io(SECONDS)
        asker = Asker(rig.monitor)          # by itself: it would cost B's client time
        rig.some_io(SECONDS / 2)
        worst = asker.worst_ms()
    return percentile(times, 0.5), percentile(times, 0.99), worst, rig.turns


def rounds_of(make_rig, names, rounds):
    """{name: [(alone, disturbed)]}; each pair by a rig of its own."""
    figures = {name: [] for name in names}
    cpus = sorted(os.sched_getaffinity(0))
    aside = set(cpus[1:]) or None
    os.sched_setaffinity(0, cpus[:1])       # and so of all that is started from here on
    for _ in range(rounds):
        for name in names:
            with tempfile.TemporaryDirectory(prefix="mpqemu-bench-") as directory, \
                    make_rig(pathlib.Path(directory)) as rig:
                rig.aside = aside
                rig.some_io(0)
                figures[name].append((one_figure(rig, "nothing"), one_figure(rig, name)))
    os.sched_setaffinity(0, cpus)
    return figures


def print_table(title, figures, rounds):
    print(f"\n{title} (us; median of {rounds}; worst answer of the monitor in ms, of all)")
    print(f"  {'what happens to A':<28}{'B p50 alone':>12}{'p50':>8}{'ratio':>7}{'p99 alone':>12}{'p99':>8}{'ratio':>7}"
          f"{'monitor':>10}{'times':>7}")
    for name, pairs in figures.items():
        cells = []
        for column in (0, 1):
            cells += [statistics.median(alone[column] for alone, _ in pairs),
                      statistics.median(disturbed[column] for _, disturbed in pairs),
                      statistics.median(disturbed[column] / alone[column] for alone, disturbed in pairs)]
        worst = max(disturbed[2] for _, disturbed in pairs)
        turns = [disturbed[3] for _, disturbed in pairs]
        print(f"  {name.replace('_', ' '):<28}{cells[0]:>12.0f}{cells[1]:>8.0f}{cells[2]:>7.2f}{cells[3]:>12.0f}"
              f"{cells[4]:>8.0f}{cells[5]:>7.2f}{worst:>10.1f}{'' if None in turns else sum(turns):>7}", flush=True)


def report(main_program, remote_program, rounds):
    """Prints the tables."""
    for title, make, names in (
            ("healthy neighbour, A and B in two device processes of one main emulator",
             lambda directory: TwoProcesses(main_program, remote_program, directory),
             TwoProcesses.NAMES + TwoProcesses.PACED),
            ("healthy neighbour, A and B in one device process",
             lambda directory: OneProcess(remote_program, directory), OneProcess.NAMES)):
        print_table(title, rounds_of(make, names, rounds), rounds)
