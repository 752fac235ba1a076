# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu's command line: what is accepted, what each mistake gets, how the program ends.
# Runs in: neither program; drives mpqemu from outside.
"""Each refusal must be one line that names option, value and remedy, with status 1 and nothing started."""

import os
import signal
import subprocess
import threading

import pytest

from qtest import Qtest

WAIT = 20  # seconds: far above any answer, so only a hang reaches it

QTEST = ("-accel", "qtest", "-qtest", "stdio")


def run(program, *args):
    """Exit status, output and messages of mpqemu whose qtest client says nothing."""
    result = subprocess.run([program, *QTEST, *args], stdin=subprocess.DEVNULL, timeout=WAIT,
                            capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


def memdev(name, size="4M"):
    return ("-object", f"memory-backend-memfd,id={name},size={size}")


# ------------------------------------------------------------------------------------------ mistakes

@pytest.mark.parametrize("args, words", [
    (("-machine", "nosuch"), ("-machine", "nosuch", "help")),
    (("-machine", "pc,colour=red"), ("-machine", "colour", "red")),
    (("-machine", "pc,memory-backend=m0"), ("memory-backend", "m0", "-object")),
    (("-m", "lots"), ("-m", "lots")),
    (("-m", "0"), ("-m", "0")),
    (("-m", "1025K,slots=2"), ("-m", "slots")),
    (("-m", "1T"), ("-m", "512G")),
    (("-numa", "cpu"), ("-numa", "node,memdev=")),
    (("-numa", "node,memdev=m0"), ("-numa", "m0", "-object")),
    ((*memdev("m0"), "-numa", "node,memdev=m0,nodeid=x"), ("-numa", "nodeid", "x")),
    ((*memdev("m0"), "-numa", "node,memdev=m0,nodeid=1"), ("-numa", "nodeid", "1", "0")),
    ((*memdev("m0"), *memdev("m1"), "-numa", "node,memdev=m0,nodeid=1",
      "-numa", "node,memdev=m1,nodeid=0"), ("-numa", "nodeid", "1", "0")),
    ((*memdev("m0"), "-numa", "node,memdev=m0", "-numa", "node,memdev=m0"), ("-numa", "m0")),
    ((*memdev("m0"), "-m", "8", "-machine", "pc,memory-backend=m0"), ("-m", "8")),
    ((*memdev("m0", "4095"),), ("-object", "m0", "4095")),
    ((*memdev("m0"), *memdev("m0")), ("-object", "m0")),
    (("-add-fd", "fd=0"), ("-add-fd", "set")),
    (("-add-fd", "set=0"), ("-add-fd", "fd")),
    (("-add-fd", "fd=999,set=0"), ("-add-fd", "999")),
    (("-add-fd", "fd=0,set=-1"), ("-add-fd", "set", "-1")),
    (("-device", "pci-proxy-dev"), ("-device", "pci-proxy-dev", "fd")),
    (("-device", "pci-proxy-dev,fd=999"), ("-device", "fd", "999")),
    (("-device", "pci-proxy-dev,fd=nosuch"), ("-device", "nosuch", "-add-fd")),
    (("-device", "pci-proxy-dev,fd=0,timeout=0"), ("-device", "timeout", "0")),
    (("-device", "lsi53c895a,addr=-1"), ("-device", "addr", "-1")),
    (("-accel", "kvm"), ("-accel", "kvm", "qtest")),
    (("-display", "gtk"), ("-display", "gtk", "none")),
    (("-qtest", "tcp:1"), ("-qtest", "tcp:1", "unix:")),
    (("-qtest", "unix:/nonexistent/socket,server=on"), ("-qtest", "/nonexistent/socket")),
    (("-nosuch",), ("-nosuch", "-help")),
    (("stray",), ("stray",)),
])
def test_mistake_is_refused(main_program, args, words):
    status, out, err = run(main_program, *args)
    assert status == 1, err
    assert out == ""
    assert err.startswith("mpqemu: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


# ------------------------------------------------------------------------------------------ machine

def test_machine_options_add_up(main_program):
    """A later -machine replaces only what it says."""
    with Qtest(main_program, ["-M", "none", *memdev("m0"), "-machine", "memory-backend=m0"]) as q:
        assert q.readl((4 << 20) - 4) == 0
        assert q.readl(4 << 20) == 0xffffffff
        q.outl(0xcf8, 0x80000000)
        assert q.inl(0xcfc) == 0xffffffff  # "none" has no PCI bus


def test_nodes_in_order(main_program):
    with Qtest(main_program, [*memdev("a"), *memdev("b", "8M"), "-numa", "node,memdev=b,nodeid=0",
                              "-numa", "node,nodeid=1,memdev=a"]) as q:
        assert q.readl((12 << 20) - 4) == 0
        assert q.readl(12 << 20) == 0xffffffff


# ------------------------------------------------------------------------------------------ the end

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_the_program(main_program, number):
    q = Qtest(main_program, ["-device", "lsi53c895a"])
    q.process.send_signal(number)
    assert q.process.wait(WAIT) == 0
    q.close()


def test_signal_ends_it_while_nobody_reads_its_output(main_program):
    """The answer does not fit into the pipe, and the qtest thread waits for room."""
    process = subprocess.Popen([main_program, *QTEST, "-m", "16"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
            except Exception:  # pylint: disable=broad-except
                pass  # the program has ended

        thread = threading.Thread(target=ask)
        thread.start()
        q.process.send_signal(signal.SIGTERM)
        assert q.process.wait(WAIT) == 0, q.stderr()
        thread.join()
        q.close()
