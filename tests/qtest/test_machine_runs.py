# SPDX-License-Identifier: GPL-2.0-or-later
# A machine whose processors run: stopping, resetting, switching off, several processors.
# Runs in: neither program; drives mpqemu from outside.
"""The guest is a firmware image of a few instructions in real mode.  It tells what it does by letters on port 0xe9."""

import os
import time

import pytest

from qmp import QmpError
from qmp_program import Program, wait_until
from sandbox_probe import PROBE
from qmp_program import _paths      # noqa: F401  # pylint: disable=unused-import

SIZE = 0x10000


def out8(port, value):
    """mov al, VALUE; mov dx, PORT; out dx, al"""
    return bytes([0xb0, value, 0xba, port & 0xff, port >> 8, 0xee])


def say(letter):
    return out8(0xe9, ord(letter))


def forever(code):
    """CODE over and over."""
    return code + b"\xe9" + (-len(code) - 3 & 0xffff).to_bytes(2, "little")


def wrmsr(msr, high, low):
    """mov ecx, MSR; mov edx, HIGH; mov eax, LOW; wrmsr"""
    return b"".join([b"\x66\xb9", msr.to_bytes(4, "little"), b"\x66\xba", high.to_bytes(4, "little"),
                     b"\x66\xb8", low.to_bytes(4, "little"), b"\x0f\x30"])


DELAY = b"\x31\xc9\xe2\xfe"         # xor cx, cx; 1: loop 1b
SLEEP = forever(b"\xfa\xf4")        # cli; hlt
TICK = forever(DELAY + say("."))
TRIPLE_FAULT = b"\x2e\x0f\x01\x1e\x00\xff\xcc"  # lidt cs:[0xff00], which is zeroes; int3
RESETS = {
    "triple-fault": TRIPLE_FAULT,
    "reset-control": out8(0xcf9, 2) + out8(0xcf9, 6),
    "port-92": out8(0x92, 1),
    "keyboard-controller": out8(0x64, 0xfe),
}
SWITCH_OFF = b"\xb8\x00\x20\xba\x04\x06\xef"    # mov ax, SLP_EN; mov dx, 0x604; out dx, ax

# The processors 1 and up start at 0x9000, where a copy of AP is; x2APIC, since its registers are MSRs.
AP = b"\xb0\x61\xba\xe9\x00\xee" + SLEEP            # say("a")
START_OTHERS = b"".join([
    b"\x31\xc0\x8e\xc0",                            # xor ax, ax; mov es, ax
    b"\xbe\x00\x80\xbf\x00\x90\xb9\x40\x00",        # mov si, 0x8000; mov di, 0x9000; mov cx, 64
    b"\xfc\xf3\x2e\xa4",                            # cld; rep movs es:[di], cs:[si]
    wrmsr(0x1b, 0, 0xfee00d00),                     # enable, x2APIC, BSP
    wrmsr(0x830, 0, 0xc4500),                       # INIT to all others
    DELAY, wrmsr(0x830, 0, 0xc4609),                # start-up at 0x9000
    wrmsr(0x830, 0, 0xc4609), say("b")])


def firmware(path, code):
    image = bytearray(b"\x00" * SIZE)
    image[:len(code)] = code
    image[0x8000:0x8000 + len(AP)] = AP
    image[0xfff0:0xfff3] = b"\xe9\x0d\x00"          # jmp to the image's first byte
    path.write_bytes(image)
    return str(path)


@pytest.fixture(name="machine")
def _machine(paths, tmp_path):
    """machine(code, *args): a running machine with a session; machine.letters() is what its guest has said."""
    started = []
    log = tmp_path / "letters"

    def start(code, *args):
        image = firmware(tmp_path / "firmware", code)
        started.append(Program(paths["mpqemu"], "guest", "-m", "16", "-nodefaults", "-bios", image, "-debugcon",
                               f"file:{log}", *args))
        started[-1].letters = lambda: log.read_text() if log.exists() else ""
        started[-1].qmp = started[-1].session()
        return started[-1]
    yield start
    for program in started:
        program.__exit__()


def wait_letters(machine, letter, count=1):
    wait_until(lambda: machine.letters().count(letter) >= count,
               f"{count} times {letter!r}: {machine.letters()[-100:]!r}")


def wait_more(machine):
    before = len(machine.letters())
    wait_until(lambda: len(machine.letters()) > before, "the guest stands")


def check_stands(machine):
    """It says nothing; what it was saying when it was stopped may still come, but a guest that runs has no such
    pause."""
    deadline = time.monotonic() + 10
    while True:
        before = machine.letters()
        time.sleep(0.3)
        if machine.letters() == before:
            return
        assert time.monotonic() < deadline, "the guest runs"


@pytest.mark.parametrize("sandbox", ["off", "on"])
def test_stop_and_cont(machine, sandbox):
    if sandbox == "on" and not os.path.exists(PROBE):
        pytest.skip("the opener's filter has not what a sanitizer needs")
    m = machine(TICK, "-S", "-smp", "2", "-sandbox", sandbox)
    assert m.qmp.command("query-status")["status"] == "prelaunch"
    check_stands(m)
    assert m.letters() == ""
    m.qmp.command("cont")
    wait_more(m)
    for _ in range(20):
        m.qmp.command("stop")
        m.qmp.command("cont")
    wait_more(m)
    m.qmp.command("stop")
    check_stands(m)
    m.qmp.command("system_reset")
    assert m.qmp.wait_event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    assert m.qmp.command("query-status")["status"] == "prelaunch"
    check_stands(m)
    m.qmp.command("cont")
    wait_more(m)


def test_processors_are_told(machine):
    m = machine(TICK, "-smp", "3,sockets=1")
    cpus = m.qmp.command("query-cpus-fast")
    assert [cpu["cpu-index"] for cpu in cpus] == [0, 1, 2]
    assert [cpu["props"] for cpu in cpus] == [{"socket-id": 0, "core-id": i, "thread-id": 0} for i in range(3)]
    assert len({cpu["thread-id"] for cpu in cpus}) == 3
    assert "cpu[2]" in str(m.qmp.command("qom-list", path="/machine"))
    assert "CS =f000" in m.qmp.command("x-query-registers")["human-readable-text"]
    text = m.qmp.hmp("info registers 2")
    assert text.startswith("CPU#2 (waits for a start-up IPI)") and "RIP=" in text
    assert f"* CPU #0: thread_id={cpus[0]['thread-id']}\r\n" in m.qmp.hmp("info cpus")
    for bad in (3, 8, -1, 1 << 40):
        with pytest.raises(QmpError, match="there is no processor"):
            m.qmp.command("x-query-registers", **{"cpu-index": bad})
    wait_more(m)


@pytest.mark.parametrize("how", RESETS)
def test_guest_resets_the_machine(machine, how):
    m = machine(say("r") + RESETS[how] + SLEEP)
    for count in range(1, 4):
        assert m.qmp.wait_event("RESET")["data"] == {"guest": True, "reason": "guest-reset"}
        wait_letters(m, "r", count + 1)


@pytest.mark.parametrize("how", RESETS)
def test_no_reboot(machine, how):
    m = machine(say("r") + RESETS[how] + SLEEP, "-no-reboot", "-S")
    m.qmp.command("cont")
    assert m.qmp.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-reset"}
    assert m.wait()[0] == 0
    assert m.letters() == "r"


def test_guest_switches_the_machine_off(machine):
    m = machine(say("o") + SWITCH_OFF + SLEEP, "-S")
    m.qmp.command("cont")
    assert m.qmp.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
    assert m.wait()[0] == 0


def test_no_shutdown(machine):
    m = machine(say("o") + SWITCH_OFF + SLEEP, "-no-shutdown", "-S")      # or the event comes before we listen
    m.qmp.command("cont")
    for count in (1, 2):
        assert m.qmp.wait_event("SHUTDOWN")["data"] == {"guest": True, "reason": "guest-shutdown"}
        m.qmp.wait_event("STOP")
        assert m.qmp.command("query-status") == {"running": False, "singlestep": False, "status": "shutdown"}
        with pytest.raises(QmpError, match="use system_reset first"):
            m.qmp.command("cont")
        assert m.letters() == "o" * count
        m.qmp.command("system_reset")
        assert m.qmp.command("query-status")["status"] == "prelaunch"
        m.qmp.command("cont")
    m.qmp.command("quit")
    assert m.wait()[0] == 0


@pytest.mark.parametrize("count", [1, 2, 8])
def test_start_up_of_processors(machine, count):
    m = machine(START_OTHERS + SLEEP, "-smp", str(count))
    wait_letters(m, "b")
    wait_letters(m, "a", count - 1)
    check_stands(m)
    assert sorted(m.letters()) == ["a"] * (count - 1) + ["b"]
    # They wait for another start after a reset.
    m.qmp.command("system_reset")
    wait_letters(m, "b", 2)
    wait_letters(m, "a", 2 * (count - 1))


def test_nmi_button_of_a_guest_that_has_not_set_it_up(machine):
    m = machine(TICK)
    m.qmp.command("inject-nmi")     # LINT1 is masked
    wait_more(m)


def test_power_button(machine):
    m = machine(TICK)
    m.qmp.command("system_powerdown")
    m.qmp.wait_event("POWERDOWN")
    wait_more(m)


def test_quit_while_it_runs(machine):
    m = machine(TICK, "-smp", "2")
    wait_more(m)
    m.qmp.command("quit")
    assert m.wait()[0] == 0


def test_qtest_has_no_processors(paths):
    with Program(paths["mpqemu"], "mpqemu") as program:
        qmp = program.session()
        assert qmp.command("query-cpus-fast") == []
        with pytest.raises(QmpError, match="there is no processor 0"):
            qmp.command("x-query-registers")
        with pytest.raises(QmpError, match="qtest has no NMI"):
            qmp.command("inject-nmi")
        qmp.command("system_powerdown")
