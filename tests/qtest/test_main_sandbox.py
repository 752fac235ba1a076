# SPDX-License-Identifier: GPL-2.0-or-later
# The sandbox of mpqemu and of its opener: rule by rule from the inside, hot-plug under it from the outside.
# Runs in: neither program; drives mpqemu from outside, and by a preloaded probe from inside.
"""As test_sandbox.py, for the main emulator: it has threads, starts processes and opens images while it is confined,
the last two by its spawner and its opener."""

import errno
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from device_process import held
from managed import Managed, QmpError, alive, children, image, wait_until
from remote_process import WAIT
from sandbox_probe import BUILD, NEEDS_PROBE, NUMBERS, RING_OF_DISKS, Prober, listed, other_numbers, proc_status

MAIN = os.environ.get("MPQEMU_MAIN", os.path.join(BUILD, "main", "mpqemu"))
ON = ("-sandbox", "on")
PROBER = Prober(MAIN, *ON, "-accel", "qtest", "-nodefaults")
OPENER = Prober(MAIN, *ON, "-accel", "qtest", "-nodefaults", variable="SANDBOX_PROBE_OPENER")

pytestmark = NEEDS_PROBE

ALLOWED, REFUSED = listed(MAIN, "main emulator")
OPENER_ALLOWED, OPENER_REFUSED = listed(MAIN, "opener")
# These end the thread or the process, or need a signal's frame.
ENDING = ("exit", "exit_group", "rt_sigreturn")


# ---------------------------------------------------------------------------------- rule by rule

@pytest.mark.parametrize("rule", [rule for rule in ALLOWED if rule.name not in ENDING], ids=repr)
def test_allowed_call_is_made(rule):
    result, = PROBER.lives(rule.words())
    assert result != -errno.ENOSYS


def test_allowed_call_that_ends_the_process_is_made():
    assert PROBER.probe(f"{NUMBERS['exit_group']} 7")[0] == 7
    assert PROBER.probe(f"{NUMBERS['rt_sigreturn']}")[0] == -signal.SIGSEGV


@pytest.mark.parametrize("rule, wrong", [(rule, index) for rule in ALLOWED + REFUSED for index in rule.args], ids=repr)
def test_call_with_another_argument_kills(rule, wrong):
    PROBER.killed(rule.words(wrong))


@pytest.mark.parametrize("rule", REFUSED, ids=repr)
def test_refused_call_fails_as_declared(rule):
    assert PROBER.lives(rule.words()) == [-getattr(errno, rule.error)]


def test_every_other_call_kills():
    PROBER.all_killed(other_numbers(ALLOWED + REFUSED))


@pytest.mark.parametrize("step", [
    f"{NUMBERS['clone']} {signal.SIGCHLD} 0 0 0 0", f"{NUMBERS['fork']}", f"{NUMBERS['vfork']}",
    f"{NUMBERS['execve']} s=/bin/sh 0 0",
    f"{NUMBERS['execveat']} -100 s=/bin/sh 0 0 0", f"{NUMBERS['open']} s=/etc/passwd 0", f"{NUMBERS['socket']} 1 1 0",
    f"{NUMBERS['socketpair']} 2 1 0 p", f"{NUMBERS['connect']} 3 p 16", f"{NUMBERS['bind']} 3 p 16",
    f"{NUMBERS['kill']} 1 9",
    f"{NUMBERS['pidfd_open']} 1 0", f"{NUMBERS['ptrace']} 16 1", f"{NUMBERS['mmap']} 0 4096 7 0x22 -1 0",
    f"{NUMBERS['mprotect']} p 4096 7", f"{NUMBERS['prctl']} 22 0", f"{NUMBERS['unlink']} s=/tmp/x",
    f"{NUMBERS['io_uring_setup']} 8 p",
], ids=lambda step: step)
def test_intruder_is_killed(step):
    PROBER.killed(step)


def test_ring_takes_its_operations_only():
    assert PROBER.ring_takes(0) == RING_OF_DISKS
    assert PROBER.lives("ring 1 0") == [-errno.ENXIO]   # there is no second


def test_call_of_a_32_bit_program_kills():
    if PROBER.probe("int80 20", options=("-sandbox", "off"))[0] == -signal.SIGSEGV:
        pytest.skip("this kernel does not run 32-bit programs")
    PROBER.killed("int80 20")
    PROBER.killed("int80 11")                           # execve()


def test_files_are_not_there():
    assert PROBER.lives(f"{NUMBERS['openat']} -100 s=/etc/passwd 0") == [-errno.ENOENT]


@pytest.mark.parametrize("name", ["malloc", "localtime", "messages"])
def test_library_path_works(name):
    assert PROBER.lives(f"call {name}") == [0]


# ---------------------------------------------------------------------------------- the opener, from inside

def opener_probe(*steps):
    """Results of an opener that does STEPS instead of its work; mpqemu says that there is none."""
    status, results, err = OPENER.probe(*steps)
    assert status == 1 and "there is no opener" in err, (status, err)
    return results


@pytest.mark.parametrize("rule", [rule for rule in OPENER_ALLOWED if rule.name not in ENDING], ids=repr)
def test_opener_makes_allowed_call(rule):
    result, = opener_probe(rule.words())
    assert result != -errno.ENOSYS


@pytest.mark.parametrize("rule, wrong", [(rule, index) for rule in OPENER_ALLOWED for index in rule.args], ids=repr)
def test_opener_dies_of_call_with_another_argument(rule, wrong):
    assert opener_probe(rule.words(wrong)) == []


@pytest.mark.parametrize("number", other_numbers(OPENER_ALLOWED + OPENER_REFUSED)[::7])
def test_opener_dies_of_other_calls(number):
    """Every seventh, as each takes a whole mpqemu."""
    assert opener_probe(str(number)) == []


def test_opener_makes_no_files():
    create = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    assert opener_probe(f"{NUMBERS['openat']} -100 s=/tmp/never-made {create} 0600") == []
    assert not os.path.exists("/tmp/never-made")


# ---------------------------------------------------------------------------------- option

@pytest.mark.parametrize("arg, words", [
    ("log", "log is for qemu-remote"), ("on,ns=on", "keeps its namespaces"), ("maybe", "maybe"),
    ("off,ns=on", "contradicts off"), ("ns=off", "mode is missing"), ("on,spawn=allow", "spawn=allow")])
def test_option_is_refused_with_its_reason(arg, words):
    run = subprocess.run([MAIN, "-accel", "qtest", "-sandbox", arg], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=WAIT)
    assert run.returncode == 1 and words in run.stderr


@pytest.mark.parametrize("options, level", [
    ((), "none"), (("-sandbox", "off"), "none"), (ON, "seccomp"), (("-sandbox", "on,ns=off"), "seccomp"),
    (("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"), "seccomp")], ids=str)
def test_level_is_told_by_qmp(tmp_path, options, level):
    with Managed(MAIN, tmp_path, *options) as m:
        info = m.qmp.command("query-sandbox")
    assert info["level"] == level
    assert info["syscalls"] == (sorted({rule.name for rule in ALLOWED}) if level != "none" else [])


# ---------------------------------------------------------------------------------- seen from outside

LSI = ("-rdevice", "lsi53c895a,rid=0,id=lsi0")


@pytest.fixture(name="machine")
def _machine(tmp_path):
    """Confined, with a remote process: lsi0 in slot 2, hd0."""
    with Managed(MAIN, tmp_path, *ON, *LSI, "-rdrive", f"rid=0,id=d0,file={image(tmp_path / 'disk')},format=raw",
                 "-rdevice", "scsi-hd,rid=0,id=hd0,drive=d0,bus=lsi0.0") as m:
        yield m


@pytest.fixture(name="empty")
def _empty(tmp_path):
    """Confined, without devices."""
    with Managed(MAIN, tmp_path, *ON) as m:
        yield m


def helper(machine, name):
    """The pid of the machine's opener or spawner, which may not have its name yet."""
    pid, = wait_until(lambda: [pid for pid in children(machine.pid) if proc_status(pid)["Name"] == f"mpqemu-{name}"],
                      name)
    return pid


def test_every_thread_is_confined(machine):
    machine.works(machine.lsi())
    tasks = os.listdir(f"/proc/{machine.pid}/task")
    assert len(tasks) >= 3                              # main loop, qtest, the proxy's worker
    for task in tasks:
        status = proc_status(f"{machine.pid}/task/{task}")
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1"), status["Name"]
        kill_only = 1 << 5 if os.geteuid() == 0 else 0
        assert {int(status[name], 16) for name in ("CapPrm", "CapEff")} == {kill_only}, status["Name"]
        assert not any(int(status[name], 16) for name in ("CapInh", "CapBnd", "CapAmb")), status["Name"]


def test_opener_is_confined(machine):
    status = proc_status(helper(machine, "opener"))
    assert (status["Seccomp"], status["NoNewPrivs"], status["Threads"]) == ("2", "1", "1")
    assert int(status["CapEff"], 16) & ~0b110 == 0      # DAC_OVERRIDE, DAC_READ_SEARCH
    targets = [target for fd, target in held(helper(machine, "opener")).items() if fd > 2]
    assert sorted(re.sub(r"\W.*", "", target) for target in targets) == ["", "anon_inode", "socket"]


def test_there_is_no_opener_without_a_sandbox(tmp_path):
    with Managed(MAIN, tmp_path) as m:
        spawner, = children(m.pid)
        wait_until(lambda: proc_status(spawner)["Name"] == "mpqemu-spawner", "a helper has its name soon")


def test_socket_files_are_removed_at_the_end(tmp_path):
    qtest_path = tmp_path / "qtest"
    process = subprocess.Popen([MAIN, *ON, "-accel", "qtest", "-qtest", f"unix:{qtest_path},server=on", "-qmp",
                                f"unix:{tmp_path}/qmp,server=on,wait=off"], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: os.path.exists(qtest_path) and os.path.exists(tmp_path / "qmp"), "sockets")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(qtest_path))
            process.terminate()
            assert process.wait(WAIT) == 0
        assert os.listdir(tmp_path) == []
    finally:
        process.kill()
        process.wait()


def test_socket_files_are_removed_after_sigkill(tmp_path):
    with Managed(MAIN, tmp_path, *ON, status=None) as m:
        os.kill(m.pid, signal.SIGKILL)
        wait_until(lambda: not os.path.exists(m.path), "the opener removes the file")


# ---------------------------------------------------------------------------------- hot-plug

def test_remote_device_and_disk_are_plugged_by_path(empty, tmp_path):
    empty.qmp.command("rdevice_add", rid="1", id="lsi1", driver="lsi53c895a")
    empty.add_disk("1", "lsi1", 1, image(tmp_path / "late", fill=0x77))
    empty.works(empty.lsi(), fill=0x77)
    assert f"opened '{tmp_path}/late' for reading and writing" in empty.q.stderr()
    pid = empty.remotes()["1"]["pid"]
    empty.qmp.command("rdevice_del", rid="1", id="hd1")
    empty.qmp.command("rdrive_del", rid="1", id="d1")
    empty.qmp.command("rdevice_del", rid="1", id="lsi1")
    wait_until(lambda: not alive(pid), "the process of a removed device ends")


def test_killed_remote_is_started_again(machine):
    machine.works(machine.lsi())
    os.kill(machine.remotes()["0"]["pid"], signal.SIGKILL)
    machine.wait_event("REMOTE_STATE", to="dead")
    machine.qmp.command("remote_restart", rid="0")
    machine.wait_state("0", "ready")
    machine.works(machine.lsi())


def test_stopped_remote_is_killed(machine):
    """By pidfd; as root it is another user's process."""
    pid = machine.remotes()["0"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    machine.wait_event("REMOTE_STATE", to="dead")
    wait_until(lambda: not alive(pid), "a process that was given up")


def test_local_device_and_disk_are_plugged_by_path(empty, tmp_path):
    path = image(tmp_path / "local", fill=0x33)
    empty.qmp.command("blockdev-add", driver="raw", **{"node-name": "n0", "file": {"driver": "file", "filename": path}})
    empty.qmp.command("device_add", driver="lsi53c895a", id="lsi0")
    empty.qmp.command("device_add", driver="scsi-hd", id="hd0", drive="n0", bus="lsi0.0")
    empty.works(empty.lsi(), fill=0x33)
    empty.qmp.command("device_del", id="hd0")
    empty.qmp.command("blockdev-del", **{"node-name": "n0"})


def test_drive_is_added_by_hmp(empty, tmp_path):
    path = image(tmp_path / "drive")
    assert empty.qmp.command("human-monitor-command",
                             **{"command-line": f"drive_add 0 if=none,id=d7,file={path},format=raw"}
                             ).strip() == "OK"


def test_memory_backend_is_made_at_run_time(empty, tmp_path):
    empty.qmp.command("object-add", **{"qom-type": "memory-backend-memfd", "id": "m1", "size": 1 << 20})
    with pytest.raises(QmpError, match="confined and opens no mem-path"):
        empty.qmp.command("object-add", **{"qom-type": "memory-backend-file", "id": "m2", "size": 1 << 20,
                                           "mem-path": str(tmp_path / "x")})


def test_many_threads_come_and_go(empty):
    """More than glibc has malloc arenas for without counting processors."""
    for number in range(20):
        empty.qmp.command("rdevice_add", rid="many", id=f"lsi{number}", driver="lsi53c895a")
    for number in range(20):
        empty.qmp.command("rdevice_del", rid="many", id=f"lsi{number}")
    empty.qmp.command("query-status")


def test_stopped_main_emulator_goes_on(machine):
    """SIGSTOP in a wait with a limit makes the kernel begin it again by restart_syscall()."""
    lsi = machine.lsi()
    for _ in range(3):
        os.kill(machine.pid, signal.SIGSTOP)
        time.sleep(0.05)
        os.kill(machine.pid, signal.SIGCONT)
        machine.works(lsi)


# ---------------------------------------------------------------------------------- what the opener refuses

def refused(machine, path, message):
    with pytest.raises(QmpError, match=message):
        machine.qmp.command("rdrive_add", rid="0", id="dx", file=str(path), format="raw")
    assert machine.qmp.command("query-status")["status"] == "running"


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize("make, message", [
    (lambda path: os.mkfifo(path), "it is a FIFO"),
    (make_socket, "it is a socket"),
    (lambda path: os.mkdir(path), "it is a directory"),
    (lambda path: os.symlink("/proc/self/mem", path), "file system of the kernel's own"),
    (lambda path: os.symlink("/dev/null", path), "it is a character device"),
    (lambda path: None, "No such file or directory"),
    (lambda path: os.symlink(path, path), "Too many levels"),
], ids=["fifo", "socket", "directory", "link-to-proc", "character-device", "missing", "loop"])
def test_opener_refuses(machine, tmp_path, make, message):
    make(tmp_path / "thing")
    refused(machine, tmp_path / "thing", message)


@pytest.mark.parametrize("path, message", [
    ("/proc/self/status", "file system of the kernel's own"), ("/sys/kernel/notes", "file system of the kernel's own"),
    ("/dev/pts", "file system of the kernel's own"), ("/" + 5000 * "x", "File name too long"),
    ("/" + 300 * "x", "File name too long"),
], ids=["proc", "sys", "pts", "long-path", "long-name"])
def test_opener_refuses_path(machine, path, message):
    refused(machine, path, message)


def test_read_only_image_is_opened_for_reading_only(machine, tmp_path):
    path = image(tmp_path / "ro")
    machine.qmp.command("rdrive_add", rid="0", id="dr", file=path, format="raw", readonly="on")
    assert f"opened '{path}' for reading\n" in machine.q.stderr()


def test_killed_opener_is_an_error_and_no_more(machine, tmp_path):
    os.kill(helper(machine, "opener"), signal.SIGKILL)
    path = image(tmp_path / "late")
    refused(machine, path, "the opener process has ended")
    machine.works(machine.lsi())


def test_silent_opener_is_waited_for_with_a_limit(machine, tmp_path):
    pid = helper(machine, "opener")
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    refused(machine, image(tmp_path / "late"), "no answer in 5 s")
    assert 4.5 < time.monotonic() - began < 10
    os.kill(pid, signal.SIGCONT)
    # The late answer is nobody's.
    machine.qmp.command("rdrive_add", rid="0", id="dl", file=image(tmp_path / "later"), format="raw")


def test_hmp_clients_are_served(tmp_path):
    path = tmp_path / "hmp"
    with Managed(MAIN, tmp_path, *ON, "-monitor", f"unix:{path},server=on,wait=off") as m:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(WAIT)
                client.connect(str(path))
                client.sendall(b"info status\n")
                text = b""
                while b"running" not in text:
                    data = client.recv(4096)
                    assert data, text
                    text += data
        with m.connect() as second:
            assert second.command("query-status")["running"]


# ---------------------------------------------------------------------------------- what the spawner refuses

def test_own_program_needs_no_supervisor(tmp_path):
    """With -remote and without exec= it is born into its PID namespace, too: its pid is that of the device process."""
    with Managed(MAIN, tmp_path, *ON, "-remote", "rid=0,heartbeat-limit=60000", *LSI) as m:
        status = proc_status(m.remotes()["0"]["pid"])
        assert (status["Name"], status["NSpid"].split()[1:]) == ("qemu-remote", ["1"])
        assert "sandbox" not in {proc_status(pid)["Name"] for pid in children(m.pid)}


def test_programs_of_the_command_line_are_started_at_any_time(tmp_path, remote_program):
    with Managed(MAIN, tmp_path, *ON, "-remote", f"rid=a,exec={remote_program}", "-remote",
                 "rid=b,sandbox=seccomp") as m:
        for rid, level in (("a", "full"), ("b", "seccomp"), ("c", "full")):
            m.qmp.command("rdevice_add", rid=rid, id=f"lsi{rid}", driver="lsi53c895a")
            assert m.remotes()[rid]["sandbox"] == level
