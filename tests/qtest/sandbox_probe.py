# SPDX-License-Identifier: GPL-2.0-or-later
# The printed lists of system calls, and probes inside confined processes.
# Runs in: neither program; drives both from outside, and by a preloaded probe from inside.
"""Harness of the tests of -sandbox.

What a program prints with -sandbox list is taken at its word.  The probe (tests/sandbox/probe.c) acts in the unchanged
program when it is confined and idle.
"""

import errno
import os
import re
import signal
import subprocess

import pytest

from device_process import CONFINES
from remote_process import BUILD, WAIT

PROBE = os.path.join(BUILD, "tests", "sandbox", "sandbox-probe.so")
NEEDS_PROBE = pytest.mark.skipif(not CONFINES,
                                 reason="a build with sanitizers or coverage has another profile and no probe")
PROBED = 42                     # exit status of a process whose probe came to its end
# IORING_OP_*: what block/uring.c and io/eventfd-signal.c need.
RING_OF_DISKS = {1, 2, 3, 14, 17, 22, 23}   # READV, WRITEV, FSYNC, ASYNC_CANCEL, FALLOCATE, READ, WRITE
RING_OF_INTERRUPTS = {0}                    # NOP
X32 = 0x40000000                # __X32_SYSCALL_BIT
FAR = 9999                      # a descriptor number that is not open


def syscall_numbers():
    """{name: number} of this machine, from the kernel's header (package linux-libc-dev)."""
    text = subprocess.run(["cc", "-E", "-dM", "-"], input="#include <sys/syscall.h>\n#include <asm/unistd.h>\n",
                          text=True, check=True, capture_output=True).stdout
    return {name: int(number) for name, number in re.findall(r"^#define __NR_(\w+) (\d+)$", text, re.M)}


NUMBERS = syscall_numbers()

# Arguments that change nothing; other calls get a descriptor that is not open.
HARMLESS = {
    "brk": [0], "clock_gettime": [0, "p"], "mmap": [0, 0], "munmap": [1, 0],
    "futex": ["p", 0x81, 0],     # FUTEX_WAKE_PRIVATE
   
    "ppoll": [0, 0, "p"],                               # no descriptor, no time
    "clone": [0, 0, 0, 0, 0xffffffffffffffff],          # no address for a thread's own data: EPERM
}


class Rule:
    """A line of the list: name, {argument: (mask, value)}, errno name of a refused call or None."""

    def __init__(self, line):
        left, _, self.error = line.strip().partition(" -> ")
        self.name, _, conditions = left.partition(" ")
        self.args = {}
        for text in filter(None, conditions.split(", ")):
            index, mask, value = re.fullmatch(r"arg(\d)(?: & (0x[0-9a-f]+))? == (0x[0-9a-f]+)", text).groups()
            self.args[int(index)] = (int(mask or "0xffffffff", 16), int(value, 16))
        self.number = NUMBERS[self.name]

    def __repr__(self):
        return "-".join([self.name, *(f"{value:x}" for _, value in self.args.values()), *filter(None, [self.error])])

    def words(self, wrong=None):
        """A harmless call that fits, or one whose argument WRONG does not."""
        args = HARMLESS.get(self.name, [FAR])
        args = args + [0] * (6 - len(args))
        for index, (_, value) in self.args.items():
            args[index] = value
        if wrong is not None:
            mask, value = self.args[wrong]
            args[wrong] = value + 1000000 if mask == 0xffffffff else value | mask
        return " ".join(map(str, [self.number, *args]))


def listed(program, title):
    """(allowed rules, refused rules) of the profile TITLE of a program."""
    text = subprocess.run([program, "-sandbox", "list"], check=True, capture_output=True, text=True,
                          timeout=WAIT).stdout
    found = {}
    for line in text.splitlines():
        if line and not line.startswith(" "):
            current = found.setdefault(line, [])
        elif line.startswith("  ") and not line.startswith("   "):
            current.append(Rule(line))
    allowed = next(rules for head, rules in found.items() if re.fullmatch(title + r": \d+ system calls", head))
    return allowed, found[title + ": not made, but no reason to die"]


def other_numbers(rules):
    """Numbers of system calls of which no rule says anything; some beyond the last one, and of x32, too."""
    # The kernel's own probes of functions pass every filter; a process that has none installed gains nothing by them.
    exempt = {335, 336}                                 # uretprobe, uprobe
    known = {rule.number for rule in rules} | exempt
    others = [number for number in range(max(NUMBERS.values()) + 20) if number not in known]
    # Numbers of x32: two that it shares, and its own recvmsg, sendmsg and execve.
    return others + [X32 + NUMBERS["read"], X32 + NUMBERS["openat"], X32 + 519, X32 + 518, X32 + 520]


class Prober:
    """Probes in a confined process of the command line ARGS."""

    def __init__(self, *args, variable="SANDBOX_PROBE"):
        if CONFINES and not os.path.exists(PROBE):
            pytest.fail(f"no probe at {PROBE}: build it", pytrace=False)
        self.args = args
        self.variable = variable

    def env(self, *steps):
        return {**os.environ, "LD_PRELOAD": PROBE, self.variable: ";".join(steps)}

    def probe(self, *steps, options=(), timeout=WAIT):
        """(status, results, standard error) of a confined process that does STEPS."""
        run = subprocess.run([*self.args, *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                             timeout=timeout, env=self.env(*steps))
        return run.returncode, [int(x) for x in re.findall(r"^probe: (-?\d+)$", run.stderr, re.M)], run.stderr

    def lives(self, *steps):
        """Results of STEPS, all of which are done."""
        status, results, err = self.probe(*steps)
        assert status == PROBED and len(results) == len(steps), (status, err)
        return results

    def ring_takes(self, index):
        """Which IORING_OP_* the program's INDEXth ring takes, of those that this kernel knows; all others give
        EACCES."""
        results = self.lives(*(f"ring {index} {operation}" for operation in range(128)))
        known = [result for result in results if result != -errno.EINVAL]
        assert len(known) > 40 and -errno.EINVAL not in results[:len(known)], results
        return {operation for operation, result in enumerate(known) if result != -errno.EACCES}

    def killed(self, step):
        """STEP ends the process; its standard error."""
        status, results, err = self.probe(step)
        assert (status, results) == (-signal.SIGSYS, []), (step, status, results)
        return err

    def all_killed(self, numbers):
        """Each number on its own, sixteen processes at a time."""
        for start in range(0, len(numbers), 16):
            running = [(number, subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                                 stderr=subprocess.DEVNULL, env=self.env(str(number))))
                       for number in numbers[start:start + 16]]
            for number, process in running:
                assert process.wait(WAIT) == -signal.SIGSYS, f"system call {number}"


def proc_status(pid):
    """/proc/PID/status as {name: text}; PID may be "PID/task/TID"."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as text:
        return dict(line.rstrip("\n").split(":\t", 1) for line in text if ":\t" in line)
