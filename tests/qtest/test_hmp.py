# SPDX-License-Identifier: GPL-2.0-or-later
# The monitor for people over sockets and human-monitor-command, in both programs.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""What a person or an expect script gets from each command, and that nobody who talks to the monitor can break it."""

import ast
import glob
import os
import random
import re
import select
import socket
import subprocess
import time

import pytest

from device_process import device_pid
from hmp_session import WAIT, Hmp, Program
from qmp import Qmp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DISK = 8 << 20
OURS_ONLY = ("info remote", "rdevice_add")


class Machine:
    """A program with both kinds of monitors, a controller `scsi0` and a disk `d1` on drive `drive0`."""

    def __init__(self, tmp_path, kind, main, remote, sandbox=()):
        self.path = tmp_path
        self.kind = kind
        self.image = tmp_path / "disk.img"
        self.image.write_bytes(bytes(DISK))
        self.hmp_path = tmp_path / "hmp"
        self.qmp_path = tmp_path / "qmp"
        head = (main, "-accel", "qtest", "-name", "a-vm") if kind == "mpqemu" else (remote, *sandbox)
        self.program = Program(
            *head, "-device", "lsi53c895a,id=scsi0", "-drive", f"id=drive0,if=none,format=raw,file={self.image}",
            "-device", "scsi-hd,id=d1,drive=drive0,bus=scsi0.0", "-monitor", f"unix:{self.hmp_path},server=on,wait=off",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.program.__exit__(*args)

    def hmp(self):
        return Hmp(self.hmp_path)

    def qmp(self):
        qmp = Qmp.connect(str(self.qmp_path))
        qmp.negotiate()
        return qmp


@pytest.fixture(name="sandbox")
def _sandbox():
    """Options of qemu-remote; a test that opens files while it runs overrides them."""
    return ()


OPENS_FILES = pytest.mark.parametrize("sandbox", [("-sandbox", "off")], ids=["off"])


@pytest.fixture(name="machine", params=["mpqemu", "qemu-remote"])
def _machine(request, tmp_path, main_program, remote_program, sandbox):
    with Machine(tmp_path, request.param, main_program, remote_program, sandbox) as machine:
        yield machine
        assert machine.program.process.poll() is None or machine.program.process.returncode == 0
        if machine.program.process.poll() is None:
            status, err = machine.program.terminate()
            assert status == 0, err


@pytest.fixture(name="hmp")
def _hmp(machine):
    with machine.hmp() as hmp:
        yield hmp


# ---- what scripts look for ----


def test_banner_and_prompt_are_those_that_scripts_wait_for(hmp):
    assert re.fullmatch(r"mpqemu \d+\.\d+\.\d+ monitor - type 'help' for more information\n", hmp.banner)
    hmp.send(b"\n")
    assert hmp.read_prompt() == ""


@pytest.mark.parametrize("line, answer", [
    ("foo", "unknown command: 'foo'\n"),
    ("info foo", "unknown command: 'info foo'\n"),
    ("help foo", "unknown command: 'foo'\n"),
    ("device_del zz", "Error: Device 'zz' not found"),
    ("block_resize drive0 xx", "invalid size"),
    ("block_resize", "Try \"help block_resize\" for more information\n"),
    ("stop x", "extraneous characters at the end of line\n"),
    ("eject drive0", "Error: Device 'drive0' is not removable"),
    ("eject zz", "Error: Device 'zz' not found"),
    ("drive_del zz", "Device 'zz' not found"),
    ("device_add foo", "'foo' is not a valid device model name"),
    ("object_del m0", "Error: object 'm0' not found"),
    ("qom-list /nope", "Error: Device '/nope' not found"),
    ("qom-get /machine/peripheral/d1 drive", "\"drive0\"\n"),
    ("getfd a", "Error: No file descriptor supplied via SCM_RIGHTS"),
    ("closefd a", "Error: File descriptor named 'a' not found"),
    ("trace-event zz on", "unknown event \"zz\""),
    ("trace-event lsi_irq foo", "Expected 'on' or 'off'"),
    ("info block", "    Attached to:      d1\n    Cache mode:       writeback\n"),
    ("info block -v", "virtual size: 8 MiB (8388608 bytes)\n"),
    ("info blockstats", "drive0: rd_bytes=0 wr_bytes=0 rd_operations=0 wr_operations=0 flush_operations=0 "),
    ("info pci", "SCSI controller: PCI device 1000:0012\n      PCI subsystem 0000:1000\n      IRQ 0, pin A\n"),
    ("info qtree", "dev: lsi53c895a, id \"scsi0\"\n"),
    ("info qtree", "        bus: scsi0.0\n          type SCSI\n          dev: scsi-hd, id \"d1\"\n"),
    ("info qtree", "            drive = \"drive0\"\n"),
    ("info qtree", "            logical_block_size = 512 (512 B)\n"),
    ("info qom-tree", "    /scsi0 (lsi53c895a)\n"),
    ("info mtree -f", "FlatView #0\n AS \""),
])
def test_answers_are_as_in_stock(hmp, stock_program, tmp_path, line, answer):
    """The same words from both; how deep a bus stands, and so how far it is indented, is each one's own."""
    (tmp_path / "stock.img").write_bytes(bytes(DISK))
    sock = tmp_path / "stock"
    with Program(stock_program, "-accel", "tcg", "-S", "-display", "none", "-nodefaults",
                 "-device", "lsi53c895a,id=scsi0", "-drive", f"id=drive0,if=none,format=raw,file={tmp_path}/stock.img",
                 "-device", "scsi-hd,id=d1,drive=drive0,bus=scsi0.0", "-monitor", f"unix:{sock},server=on,wait=off"):
        with Hmp(sock) as stock:
            def plain(text):
                return re.sub(r"^ +", "", text, flags=re.M)

            assert plain(answer) in plain(stock.run(line)), "stock has other words"
            assert plain(answer) in plain(hmp.run(line))


@pytest.mark.parametrize("line, pattern", [
    ("info version", r"\d+\.\d+\.\d+ mpqemu .*\n"),
    ("info status", r"VM status: running\n"),
    ("help stop", r"stop\|s  -- .*\n"),
    ("? q", r"quit\|q  -- .*\n"),
    ("help info status", r"info status  -- .*\n"),
    ("info mtree", r"address-space: (.*\n)+"),
    ("info trace-events lsi_irq", r"lsi_irq : state 0\n"),
    ("info fdsets", r""),
    ("info history", r"Error: only a monitor on a terminal .*\n"),
    ("device_add help", r"(name \".*\".*\n)+"),
    ("device_add scsi-hd,help", r"scsi-hd options:\n(  .*\n)+"),
    ("qom-list /", r"type \(string\)\n(.*\n)+"),
])
def test_answers(hmp, line, pattern):
    assert re.fullmatch(pattern, hmp.run(line))


def test_help_lists_what_can_be_run(hmp):
    def names(text):
        return re.findall(r"^((?:info )?[a-z][\w-]*)(?:\|\S+)? .* ?-- ", text, flags=re.M)

    commands = names(hmp.run("help"))
    infos = names(hmp.run("info"))
    assert "device_add" in commands and commands == sorted(commands)
    assert "info qtree" in infos and infos == sorted(infos)
    for name in commands + infos:
        assert hmp.run(f"help {name}").startswith(name)
    for name in infos:
        assert "unknown command" not in hmp.run(name)


def test_remote_commands_are_offered_only_where_they_are(machine, hmp):
    if machine.kind == "qemu-remote":
        for line in OURS_ONLY:
            assert hmp.run(line).startswith("unknown command: ")
            assert line not in hmp.run("help") + hmp.run("info")


# ---- commands that change something ----


def test_stop_and_cont(machine, hmp):
    with machine.qmp() as qmp:
        assert hmp.run("stop") == ""
        qmp.wait_event("STOP")
        assert hmp.run("info status") == "VM status: paused\n"
        assert hmp.run("c") == ""
        qmp.wait_event("RESUME")
        assert hmp.run("s") == ""
        assert hmp.run("cont") == ""
        assert hmp.run("system_reset") == ""
        qmp.wait_event("RESET")


@OPENS_FILES
def test_drive_and_device_come_and_go(machine, hmp):
    image = machine.path / "more.img"
    image.write_bytes(bytes(1 << 20))
    with machine.qmp() as qmp:
        assert hmp.run(f"drive_add 0 if=none,id=y,format=raw,file={image}") == "OK\n"
        assert "y (#block" in hmp.run("info block")
        assert hmp.run("device_add scsi-hd,id=d2,drive=y,bus=scsi0.0,scsi-id=3") == ""
        assert 'dev: scsi-hd, id "d2"' in hmp.run("info qtree")
        assert hmp.run("drive_del y").startswith("Error: ")
        assert hmp.run("block_resize y 2") == ""
        assert "2 MiB" in hmp.run("info block -v y")
        assert image.stat().st_size == 2 << 20
        assert hmp.run("device_del d2") == ""
        qmp.wait_event("DEVICE_DELETED", lambda event: event["data"].get("device") == "d2")
        assert hmp.run("drive_del y") == ""
        assert "y (" not in hmp.run("info block")


@OPENS_FILES
def test_objects_come_and_go(hmp):
    assert hmp.run("object_add memory-backend-memfd,id=m0,size=1M") == ""
    assert "m0 (child<memory-backend-memfd>)" in hmp.run("qom-list /objects")
    assert hmp.run("qom-get /objects/m0 size") == "1048576\n"
    again = 'object_add {"qom-type": "memory-backend-memfd", "id": "m0", "size": 4096}'
    assert hmp.run(again).startswith("Error: ")
    assert hmp.run("object_del m0") == ""
    assert "m0" not in hmp.run("qom-list /objects")
    assert hmp.run("qom-set /machine/peripheral/d1 drive x").startswith("Error: ")


@pytest.mark.parametrize("line, shown, unknown", [
    ("object_add help", 'name "memory-backend-memfd"', "user-creatable"),
    ("object_add memory-backend-memfd,help", "memory-backend-memfd options:", None),
    ("device_add help", 'name "lsi53c895a"', None),
    ("device_add lsi53c895a,help", "lsi53c895a options:", None),
])
def test_help_on_types(hmp, line, shown, unknown):
    answer = hmp.run(line)
    assert shown in answer and not (unknown and unknown in answer), answer


def test_help_on_the_types_of_rdevice_add(tmp_path, main_program):
    with Machine(tmp_path, "mpqemu", main_program, None) as machine, machine.hmp() as hmp:
        assert 'name "scsi-hd"' in hmp.run("rdevice_add help")
        assert "scsi-hd options:" in hmp.run("rdevice_add scsi-hd,help")
        assert hmp.run("info remote") == "No remote processes\n"


def test_trace_events_are_switched(hmp):
    assert hmp.run("trace-event lsi_irq on") == ""
    assert hmp.run("info trace-events lsi_irq") == "lsi_irq : state 1\n"
    assert hmp.run("trace-event lsi_* off") == ""
    assert " : state 1" not in hmp.run("info trace-events lsi_*")


def test_getfd_takes_the_descriptor_of_its_line(machine, hmp):
    with open(machine.image, "rb") as image:
        socket.send_fds(hmp.sock, [b"getfd a\n"], [image.fileno()])
    assert hmp.read_prompt() == ""
    assert hmp.run("closefd a") == ""
    assert hmp.run("closefd a").startswith("Error: ")


def test_descriptors_left_with_us_are_bounded(machine, hmp):
    with open(machine.image, "rb") as image:
        for i in range(513):
            socket.send_fds(hmp.sock, [f"getfd n{i}\n".encode()], [image.fileno()])
            answer = hmp.read_prompt()
            assert answer == "" if i < 512 else "512 descriptors" in answer, i
        assert hmp.run("closefd n0") == ""
        socket.send_fds(hmp.sock, [b"getfd more\n"], [image.fileno()])
        assert hmp.read_prompt() == ""


def test_quit_ends_the_program_with_status_0(machine, hmp):
    hmp.send(b"q\n")
    hmp.read_end()
    assert machine.program.end()[0] == 0


# ---- remote processes ----


def test_remote_devices_by_position_and_by_key(tmp_path, main_program):
    """The lines of the first patches' users, the same by keys, and what is shown meanwhile."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(DISK))
    sock = tmp_path / "hmp"
    with Program(main_program, "-accel", "qtest", "-name", "vm", "-monitor",
                 f"unix:{sock},server=on,wait=off") as program:
        with Hmp(sock) as hmp:
            assert hmp.run("info remote") == "No remote processes\n"
            assert hmp.run(f"rdrive_add 0 drive0 file={image},format=raw") == ""
            assert hmp.run("rdevice_add 0 lsi53c895a scsi0") == ""
            assert hmp.run("rdevice_add 0 scsi-hd drive1 drive0 scsi0.0") == ""
            rows = [line.split()[1:3] for line in hmp.run("remote_proc_list").splitlines()]
            assert rows == [["RID", "QEMU"], ["0", "scsi0"], ["0", "drive1"], ["0", "drive0"]]
            text = hmp.run("info remote")
            assert re.match(r"0: ready\n  pid \d+, process .*\n  sandbox \w+, on-death detach, 0 restarts, ", text)
            assert "  device scsi0 (lsi53c895a), controller\n    link ready: " in text
            assert hmp.run("rblock_resize 0 drive0 16") == ""
            assert image.stat().st_size == 16 << 20
            assert hmp.run("rdevice_add scsi-hd,id=d3,rid=0,drive=nope").startswith("Error: ")
            assert hmp.run("remote_restart 0") == ""
            assert hmp.run("rdevice_del 0 drive1") == ""
            assert hmp.run("rdevice_add scsi-hd,id=d2,rid=0,drive=drive0,bus=scsi0.0") == ""
            assert hmp.run("rdevice_del scsi0 d2") == ""
            assert hmp.run("rdrive_del 0 drive0") == ""
            assert hmp.run(f"rdrive_add id=drive0,file={image},format=raw,rid=0") == ""
            assert hmp.run("rdrive_del 0 drive0") == ""
            assert hmp.run("rdevice_del 0 scsi0") == ""
            assert hmp.run("info remote") == "No remote processes\n"
            assert hmp.run("rdevice_del 0 x").startswith("Error: there is no remote process '0'")
        assert program.terminate()[0] == 0


# ---- human-monitor-command ----


def test_human_monitor_command(machine):
    with machine.qmp() as qmp:
        assert qmp.hmp("info status") == "VM status: running\r\n"
        assert qmp.hmp("foo") == "unknown command: 'foo'\r\n"
        assert qmp.hmp("") == ""
        assert qmp.hmp("device_del zz").startswith("Error: Device 'zz' not found")
        assert qmp.hmp("info history").startswith("Error: ")
        assert qmp.hmp("stop") == ""
        assert qmp.command("query-status")["status"] == "paused"
        assert "longer than 16384" in qmp.hmp("stop " + "x" * 16384)
        assert qmp.hmp("info \u00e4") == "unknown command: 'info \u00e4'\r\n"


def test_stock_answers_human_monitor_command_with_the_same_line_ends(stock_program, tmp_path):
    sock = tmp_path / "stock"
    with Program(stock_program, "-accel", "tcg", "-S", "-display", "none", "-nodefaults", "-qmp",
                 f"unix:{sock},server=on,wait=off"):
        with Qmp.connect(str(sock), check=False) as qmp:
            qmp.negotiate()
            assert qmp.hmp("foo") == "unknown command: 'foo'\r\n"


# ---- those who misbehave ----


def test_line_length_at_the_limit_and_over_it(hmp):
    assert hmp.run("help " + " " * (16384 - 9) + "stop").startswith("stop|s ")
    assert hmp.run("help " + " " * (16384 - 8) + "stop").startswith("Error: the line is longer than 16384 bytes")


@pytest.mark.parametrize("data", [
    b"\x00info status\n", b"in\x00fo status\r\n", b"\xff\xfb\x01\xff\xfd\x03info status\r\x00",
    b"\x1b[A\x1b[Binfo status\n",
    b"xx\x7f\x7finfo status\n", b"quit\x15info status\n", b"quit\x03info status\n", b"  info\t status  \n",
])
def test_bytes_of_terminals_and_telnet_are_understood(hmp, data):
    hmp.send(data)
    assert hmp.read_prompt() == "VM status: running\n"


def test_random_bytes_break_nothing(machine, hmp):
    source = random.Random(5)
    for _ in range(50):
        with machine.hmp() as noisy:
            noisy.send(source.randbytes(20000).replace(b"q", b"").replace(b"\n", b"\nX"))
    assert hmp.run("info status").startswith("VM status: ")


def test_flood_without_newline_is_not_kept(machine, hmp):
    with machine.hmp() as noisy:
        for _ in range(200):
            noisy.send(b"x" * 65536)
        assert hmp.run("info status") == "VM status: running\n"
        noisy.send(b"\n")
        assert noisy.read_prompt().startswith("Error: the line is longer")
    with open(f"/proc/{device_pid(machine.program.process.pid)}/status", encoding="ascii") as status:
        peak = int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))
    assert peak < 400 << 10


def test_client_that_does_not_read_gets_no_more_commands_run(machine, hmp):
    """Its commands wait, in the socket; the other client does not."""
    with machine.hmp() as deaf:
        deaf.sock.setblocking(False)
        sent = 0
        last = time.monotonic()
        while time.monotonic() - last < 1:
            if select.select([], [deaf.sock], [], 0.2)[1]:
                try:
                    sent += deaf.sock.send(b"help\n" * 1000)
                    last = time.monotonic()
                except BlockingIOError:
                    pass
            assert sent < 64 << 20, "all of it is taken"
        assert hmp.run("info status") == "VM status: running\n"
        deaf.sock.setblocking(True)
        deaf.sock.settimeout(WAIT)
        deaf.read_prompt()
        assert "quit|q" in deaf.read_prompt() + deaf.read_prompt()


def test_clients_that_vanish_leave_nothing(machine, hmp):
    fds = f"/proc/{device_pid(machine.program.process.pid)}/fd"
    hmp.run("stop")
    before = len(os.listdir(fds))
    for _ in range(100):
        with machine.hmp() as gone:
            gone.send(b"info qtree\ninfo mtree\ninfo blo")
    deadline = time.monotonic() + WAIT
    while len(os.listdir(fds)) > before:
        assert time.monotonic() < deadline
        hmp.run("info status")
    assert hmp.run("cont") == ""


def test_half_closed_client_gets_its_answers(machine):
    with machine.hmp() as half:
        half.send(b"info status\nfoo\nquit")
        half.sock.shutdown(socket.SHUT_WR)
        assert half.read_end() == "VM status: running\r\n(qemu) unknown command: 'foo'\r\n(qemu) "
    with machine.hmp() as other:
        assert other.run("info status") == "VM status: running\n"


@pytest.mark.parametrize("kind", ["mpqemu", "qemu-remote"])
def test_pipe_as_stdio_is_line_mode(kind, main_program, remote_program):
    head = (main_program, "-accel", "qtest") if kind == "mpqemu" else (remote_program,)
    result = subprocess.run([*head, "-monitor", "stdio"], input=b"info status\nquit\n", capture_output=True,
                            timeout=WAIT, check=False)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(rb"mpqemu .*\r\n\(qemu\) VM status: running\r\n\(qemu\) (\(qemu\) )?", result.stdout)


# ---- the page ----


def table_rows():
    """(name, alias, arguments, help) of each row of the tables in monitor/hmp*.c, the text parts joined."""
    strings = r'"(?:[^"\\]|\\.)*"'
    row = rf'\n    \{{ ({strings}), (NULL|{strings}), ((?:{strings}\s*)+),\s+((?:{strings}\s*)+),'
    for source in sorted(glob.glob(os.path.join(ROOT, "monitor", "hmp*.c"))):
        with open(source, encoding="utf-8") as text:
            for found in re.findall(row, text.read()):
                yield [ast.literal_eval(f"({part})") if part != "NULL" else None for part in found]


def page_entry(name, alias, args, text):
    names = name + (f"|{alias}" if alias else "")
    return f"``{' '.join(filter(None, (names, args)))}``\n    {text}\n"


def test_the_page_lists_every_command_as_help_does():
    with open(os.path.join(ROOT, "docs", "system", "monitor.rst"), encoding="utf-8") as page:
        listed = page.read().split(".. hmp-commands\n\n")[1]
    assert listed == "".join(page_entry(*row) for row in sorted(table_rows(), key=lambda row: row[0]))
