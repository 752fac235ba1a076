# SPDX-License-Identifier: GPL-2.0-or-later
# The monitor for people on a terminal (-monitor stdio), in both programs.
# Runs in: neither program; drives mpqemu and qemu-remote from outside, on pseudo-terminals.
"""Keys as a person types them, and the terminal as the shell wants it back."""

import os
import signal
import termios

import pytest

from hmp_session import Hmp, PROMPT, Terminal, wait_until

# libedit and libtinfo keep a few hundred bytes for good.
LEAKS = "leak:wcsdup\nleak:_nc_trim_sgr0\nleak:libedit\nleak:libtinfo\n"


@pytest.fixture(name="start", params=["mpqemu", "qemu-remote"])
def _start(request, tmp_path, main_program, remote_program):
    """Starts the program on a terminal; the prompt is there."""
    (tmp_path / "leaks").write_text(LEAKS)
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    # Unconfined: editing needs a thread.
    head = (main_program, "-accel", "qtest") if request.param == "mpqemu" else (remote_program, "-sandbox", "off")
    started = []

    def start(*words):
        program = Terminal(*head, "-device", "lsi53c895a,id=scsi0", "-drive",
                           f"id=drive0,if=none,format=raw,file={tmp_path}/disk.img", "-device",
                           "scsi-hd,id=d1,drive=drive0", "-monitor", "stdio", *words,
                           env={"LSAN_OPTIONS": f"suppressions={tmp_path}/leaks:print_suppressions=0"})
        started.append(program)
        program.expect("monitor - type 'help' for more information\r\n")
        program.expect(PROMPT)
        return program

    yield start
    for program in started:
        program.__exit__()


def assert_ended(program, status=0):
    """It has ended, and the terminal has its modes back."""
    assert program.end()[0] == status
    assert termios.tcgetattr(program.slave) == program.modes


def test_typing_and_quit(start):
    program = start()
    program.type("info status\r")
    program.expect("VM status: running\r\n")
    program.expect(PROMPT)
    program.type("foo\r")
    program.expect("unknown command: 'foo'\r\n")
    program.type("quit\r")
    assert_ended(program)


def test_confined_process_has_a_plain_monitor_on_the_terminal(tmp_path, remote_program):
    """Lines are edited by the terminal itself; the monitor is in another session than the terminal."""
    with Terminal(remote_program, "-sandbox", "on", "-device", "lsi53c895a,id=scsi0", "-monitor", "stdio") as program:
        program.expect(PROMPT)
        program.type("info status\r")
        program.expect("VM status: running\r")
        program.expect(PROMPT)
        program.type("quit\r")
        assert_ended(program)


def test_arrow_keys_edit_and_recall(start):
    program = start()
    program.type("nfo status\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Di\r")
    program.expect("VM status: running\r\n")
    program.expect(PROMPT)
    program.type("stop\r")
    program.expect(PROMPT)
    program.type("\x1b[A\x1b[A\r")
    program.expect("VM status: paused\r\n")
    program.type("info history\r")
    program.expect("0: 'info status'\r\n1: 'stop'\r\n2: 'info status'\r\n3: 'info history'\r\n")
    program.type("quit\r")
    assert_ended(program)


def test_tab_completes_commands_and_names(start):
    program = start()
    program.type("info st\t\r")
    program.expect("VM status: running\r\n")
    program.type("device_\t")
    program.expect("device_add  device_del\r\n")
    program.type("\x15block_r\tdr\t9\r")
    program.expect(PROMPT)
    program.type("info block -v\r")
    program.expect("virtual size: 9 MiB")
    program.type("device_del d\t\r")
    program.expect(PROMPT)
    program.type("device_del d1\r")
    program.expect("Error: Device 'd1' not found")
    program.type("device_add scsi-hd,bus=nosuch,dri\tdrive0\r")
    program.expect("Error: ")
    program.expect("nosuch")
    program.type("quit\r")
    assert_ended(program)


def test_ctrl_c_drops_the_line_and_not_the_machine(start):
    program = start()
    program.type("quit\x03")
    program.expect("^C\r\n")
    program.expect(PROMPT)
    program.type("info status\r")
    program.expect("VM status: running\r\n")
    program.type("quit\r")
    assert_ended(program)


def test_ctrl_d_ends_the_monitor_and_not_the_machine(start, tmp_path):
    program = start("-monitor", f"unix:{tmp_path}/other,server=on,wait=off")
    program.type("\x04")
    program.expect("The monitor has ended, the program runs on.\r\n")
    wait_until(lambda: termios.tcgetattr(program.slave) == program.modes, "the terminal's own mode")
    with Hmp(tmp_path / "other") as other:
        assert other.run("info status") == "VM status: running\n"
    program.type("\x03")  # a signal again
    assert_ended(program)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("typed", ["", "info sta", "\x1b", "\x1b[", "\x16", "\x12stat"])
def test_signal_restores_the_terminal_whatever_was_typed(start, number, typed):
    program = start()
    program.type(typed)
    program.process.send_signal(number)
    assert_ended(program)


def test_lone_escape_holds_no_other_monitor(start, tmp_path):
    program = start("-monitor", f"unix:{tmp_path}/other,server=on,wait=off")
    program.type("\x1b")
    with Hmp(tmp_path / "other") as other:
        for _ in range(20):
            assert other.run("info status") == "VM status: running\n"
        other.send(b"quit\n")
        assert_ended(program)


def test_terminal_that_is_not_read_holds_nobody(start, tmp_path):
    program = start("-monitor", f"unix:{tmp_path}/other,server=on,wait=off")
    program.type("info qtree\rinfo mtree\rhelp\rinfo\r" * 20)
    with Hmp(tmp_path / "other") as other:
        for _ in range(20):
            assert other.run("info status") == "VM status: running\n"
        other.send(b"quit\n")
    status = program.process.wait(60)
    assert (status, termios.tcgetattr(program.slave)) == (0, program.modes)


def test_hangup_of_the_terminal_ends_as_sighup_does(start):
    program = start()
    os.close(program.master)
    assert program.process.wait(60) == 0
    program.master = os.open("/dev/null", os.O_RDWR)


def test_lines_typed_ahead_are_run_one_by_one(start):
    program = start()
    program.type("stop\rinfo status\rcont\rinfo status\r")
    program.expect("VM status: paused\r\n")
    program.expect("VM status: running\r\n")
    program.type("quit\r")
    assert_ended(program)


def test_start_that_fails_leaves_the_terminal_alone(start, main_program, remote_program, request):
    head = (main_program, "-accel", "qtest") if "mpqemu" in request.node.name else (remote_program,)
    program = Terminal(*head, "-monitor", "stdio", "-device", "nosuch")
    try:
        assert_ended(program, status=1)
    finally:
        program.__exit__()
