# SPDX-License-Identifier: GPL-2.0-or-later
# QEMU's qtest protocol as mpqemu speaks it.
# Runs in: neither program; drives mpqemu from outside.
"""The commands, their answers word by word, and what a client can do wrong."""

import os
import socket
import subprocess
import time

import pytest

from qtest import Qtest, QtestError

RAM = 16 << 20


@pytest.fixture
def q(main_program):
    with Qtest(main_program, ["-m", "16"]) as machine:
        yield machine


def test_memory_accesses(q):
    q.writeq(0x1000, 0x8877665544332211)
    assert q.command("readb 0x1000") == "0x0000000000000011"
    assert q.command("readw 0x1001") == "0x0000000000003322"
    assert q.command("readl 4098") == "0x0000000066554433"
    assert q.readq(0x1000) == 0x8877665544332211
    q.writeb(0x1000, 0xaa)
    q.writew(0x1002, 0xbbbb)
    q.writel(0x1004, 0xcccccccc)
    assert q.read(0x1000, 8) == bytes.fromhex("aa22bbbbcccccccc")


def test_unassigned_memory_reads_all_ones(q):
    assert q.readl(RAM) == 0xffffffff
    assert q.readq(RAM - 4) == 0xffffffff00000000
    assert q.read(RAM - 2, 4) == b"\0\0\xff\xff"
    q.writel(RAM, 1)


def test_blocks(q):
    assert q.command("write 0x2000 4 0x0102") == ""
    assert q.command("read 0x2000 6") == "0x010200000000"
    assert q.command("b64write 0x2000 3 QUJDRA==") == ""
    assert q.command("b64read 0x2000 4") == "QUJDAA=="
    q.memset(0x3000, 0x2000, 0x5a)
    assert q.read(0x2fff, 0x2002) == b"\0" + b"\x5a" * 0x2000 + b"\0"
    q.command("memset 0x3000 0 0")
    data = os.urandom(1 << 20)
    q.write(0x110000, data)
    assert q.read(0x110000, len(data)) == data


def test_ports(q):
    assert q.command("inb 0x80") == "0x00ff"
    assert q.command("inw 0x80") == "0xffff"
    assert q.command("inl 0x80") == "0xffffffff"
    q.outl(0xcf8, 0x80000000)
    assert q.command("inl 0xcfc") == "0x12378086"
    assert q.command("inw 0xcfe") == "0x1237"
    assert q.command("inb 0xcfd") == "0x0080"


def test_reset_clears_the_config_address(q):
    q.outl(0xcf8, 0x80000000)
    assert q.inl(0xcfc) == 0x12378086
    q.outb(0xcf9, 2)
    q.outb(0xcf9, 6)
    deadline = time.monotonic() + 20
    while q.inl(0xcf8) != 0:  # the main loop resets
        assert time.monotonic() < deadline
    assert q.inl(0xcfc) == 0xffffffff


def test_config_address_register_is_a_double_word(q):
    q.outl(0xcf8, 0x80000008)
    q.outb(0xcf8, 0)
    q.outw(0xcf8, 0)
    assert q.inl(0xcf8) == 0x80000008
    assert q.inb(0xcf8) == 0xff
    q.outl(0xcf8, 0x00000000)  # not enabled
    assert q.inl(0xcfc) == 0xffffffff
    q.outl(0xcf8, 0xffffffff)
    assert q.inl(0xcf8) == 0x80fffffc
    assert q.inl(0xcfc) == 0xffffffff  # bus 255


def test_clock(q):
    assert q.command("clock_step 1000") == "1000"
    assert q.command("clock_set 5000") == "5000"
    assert q.command("clock_set 10") == "5000"  # time does not go back
    assert int(q.command("clock_step")) >= 5000


def test_endianness(q):
    assert q.command("endianness") == "little"


def test_irq_lines(q):
    q.irq_intercept_in("/machine/ioapic")
    q.irq_intercept_in("ioapic")
    q.set_irq_in("/machine/ioapic", 3, 1)
    q.set_irq_in("/machine/ioapic", 3, 1)
    q.set_irq_in("/machine/ioapic", 3, 0)
    q.set_irq_in("/machine/ioapic", 23, 1)
    assert q.irqs == [("raise", 3), ("lower", 3), ("raise", 23)]


@pytest.mark.parametrize("line,answer", [
    ("", "FAIL"), ("nonsense", "FAIL Unknown command 'nonsense'"), ("readb", "FAIL readb takes"),
    ("readb 1 2", "FAIL readb takes"), ("readb x", "FAIL 'x' is not a number"),
    ("readb -1", "FAIL"), ("inb 0x10000", "FAIL"), ("read 0 0", "FAIL size 0"),
    ("read 0 0x1000001", "FAIL"), ("read 0xffffffffffffffff 2", "FAIL the range wraps"),
    ("write 0 4 1234", "FAIL the data"), ("write 0 4 0xzz", "FAIL the data"),
    ("clock_step x", "FAIL"), ("clock_step 0xffffffffffffffff", "FAIL"),
    ("irq_intercept_in /nowhere", "FAIL there is no object"),
    ("irq_intercept_in /machine", "FAIL '/machine' has no input pins"),
    ("irq_intercept_out /machine/ioapic", "FAIL '/machine/ioapic' has no output pins"),
    ("set_irq_in /machine/ioapic unnamed-gpio-in 24 1", "FAIL '/machine/ioapic' has pins 0 to 23"),
    ("set_irq_in /machine/ioapic other 1 1", "FAIL 'other'"), ("a b c d e f g", "FAIL"),
])
def test_mistakes_are_answered(q, line, answer):
    with pytest.raises(QtestError) as error:
        q.command(line)
    assert str(error.value).startswith(answer)
    assert q.command("endianness") == "little"


def test_lines_in_any_pieces(q):
    q.raw(b"endianness\r\nendianness\nendi")
    assert [q.answer(), q.answer()] == ["little", "little"]
    q.raw(b"anness\n")
    assert q.answer() == "little"


def test_an_endless_line_ends_the_connection(q):
    with pytest.raises((QtestError, OSError)):
        for _ in range(64):
            q.raw(b"x" * (1 << 20))
        q.answer()
    assert q.close() == 0


def test_ends_with_its_client(main_program):
    q = Qtest(main_program, [])
    assert q.close() == 0


def test_server_serves_one_client_after_the_other(main_program, tmp_path):
    path = str(tmp_path / "qtest.sock")
    with subprocess.Popen([main_program, "-qtest", f"unix:{path},server=on,wait=off"],
                          stderr=subprocess.DEVNULL) as process:
        for _ in range(3):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            for _ in range(1000):
                try:
                    client.connect(path)
                    break
                except OSError:
                    time.sleep(0.01)
            client.sendall(b"endianness\n")
            assert client.recv(100) == b"OK little\n"
            client.close()
        process.terminate()
        assert process.wait(20) == 0
    assert not os.path.exists(path)


def test_socket_of_another_program_is_left_alone(main_program, tmp_path):
    """One that somebody listens at is not replaced; one that came later is not removed; a stale one is in nobody's
    way."""
    path = str(tmp_path / "qtest.sock")
    args = [main_program, "-qtest", f"unix:{path},server=on"]
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        result = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 1
        assert result.stderr == (f"mpqemu: -qtest unix:{path}: another program listens there; end it, or give another "
                                 "path\n")
        assert os.path.exists(path)
    # Nobody listens any more.
    with subprocess.Popen(args, stderr=subprocess.DEVNULL) as process:
        with socket.socket(socket.AF_UNIX) as client:
            while client.connect_ex(path) != 0:
                assert process.poll() is None
                time.sleep(0.01)
        os.rename(path, path + ".old")
        with open(path, "w", encoding="ascii"):
            pass
        process.terminate()
        assert process.wait(20) == 0
    assert os.path.exists(path)


def test_stdio(main_program):
    result = subprocess.run([main_program, "-accel", "qtest", "-qtest", "stdio"], timeout=20,
                            input=b"readb 0\nendianness\nbad\n", capture_output=True, check=False)
    assert result.returncode == 0
    assert result.stdout == (b"OK 0x0000000000000000\nOK little\n"
                             b"FAIL Unknown command 'bad'\n")


def test_log(main_program, tmp_path):
    log = tmp_path / "log"
    with Qtest(main_program, ["-qtest-log", str(log)]) as machine:
        machine.command("endianness")
    text = log.read_text()
    assert "] endianness\n" in text and "] OK little\n" in text


def test_client_that_does_not_read_holds_up_nobody(main_program):
    """Interrupt lines pile up; the main loop goes on and the machine ends in time."""
    q = Qtest(main_program, [])
    q.irq_intercept_in("/machine/ioapic")
    q.wait = 1
    try:
        for i in range(100000):
            q.send(f"set_irq_in /machine/ioapic unnamed-gpio-in 3 {i & 1}")
    except OSError:
        pass  # the socket is full: it does not read while it cannot write
    q.process.terminate()
    assert q.process.wait(20) == 0
    q.close()
