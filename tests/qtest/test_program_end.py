# SPDX-License-Identifier: GPL-2.0-or-later
# How mpqemu ends: by signals, whatever is under way.
# Runs in: neither program; drives mpqemu from outside.
"""The program must end in time, with status 0, in each of these situations."""

import os
import signal
import subprocess
import threading

import pytest

from qtest import Qtest, QtestError

WAIT = 20  # seconds: far above any answer, so only a hang reaches it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_the_program(main_program, number):
    q = Qtest(main_program, ["-device", "lsi53c895a"])
    q.process.send_signal(number)
    assert q.process.wait(WAIT) == 0
    q.close()


def test_signal_ends_it_while_nobody_reads_its_output(main_program):
    """The answer does not fit into the pipe, and the qtest thread waits for room."""
    process = subprocess.Popen([main_program, "-accel", "qtest", "-qtest", "stdio", "-m", "16"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(b"endianness\nread 0 0x100000\n")
        process.stdin.flush()
        assert os.read(process.stdout.fileno(), 10) == b"OK little\n"
        assert process.stdout.read(1) == b"O"  # the long answer has begun
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_signal_ends_it_amid_config_accesses(main_program):
    """Devices go while the test program's accesses to them are under way."""
    for _ in range(5):
        q = Qtest(main_program, ["-device", "lsi53c895a,addr=3"])
        q.outl(0xcf8, 0x80001800)

        def ask(q=q):
            try:
                while True:
                    q.raw(b"inl 0xcfc\n" * 500)
                    for _ in range(500):
                        q.answer()
            except (QtestError, OSError):
                pass  # the program has ended

        thread = threading.Thread(target=ask)
        thread.start()
        q.process.send_signal(signal.SIGTERM)
        assert q.process.wait(WAIT) == 0, q.stderr()
        thread.join()
        q.close()
