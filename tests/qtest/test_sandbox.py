# SPDX-License-Identifier: GPL-2.0-or-later
# The sandbox of qemu-remote, rule by rule from the inside, and as it looks from the outside.
# Runs in: neither program; drives qemu-remote from outside, and by a preloaded probe from inside.
"""Each rule of the list is probed on both sides, and every other system call there is must kill (sandbox_probe.py)."""

import errno
import os
import re
import select
import signal
import socket
import subprocess
import time

import pytest

import mpqemu_link
from device_process import device_pid, held
from managed import Managed, wait_until
from qmp import Qmp, QmpError
from remote_process import LSI_IDS, PROGRAM, WAIT, Link, Remote, serve
from sandbox_probe import (NEEDS_PROBE, NUMBERS, PROBE, PROBED, RING_OF_DISKS, RING_OF_INTERRUPTS, Prober, listed,
                           other_numbers, proc_status)

LSI = ("-no-shutdown", "-device", "lsi53c895a,id=lsi0")

pytestmark = NEEDS_PROBE

PROBER = Prober(PROGRAM, *LSI)
probe, lives = PROBER.probe, PROBER.lives
ALLOWED, REFUSED = listed(PROGRAM, "device")


def killed(step):
    assert "a system call that its sandbox forbids" in PROBER.killed(step)


# ---------------------------------------------------------------------------------- rule by rule

def test_there_are_at_most_24_calls():
    assert len({rule.name for rule in ALLOWED}) <= 24


@pytest.mark.parametrize("rule", [rule for rule in ALLOWED if rule.name not in ("exit_group", "rt_sigreturn")],
                         ids=repr)
def test_allowed_call_is_made(rule):
    result, = lives(rule.words())
    assert result != -errno.ENOSYS


def test_allowed_call_that_ends_the_process_is_made():
    assert probe(f"{NUMBERS['exit_group']} 7")[0] == 7
    # Without a signal's frame on the stack it is a fault, not a refusal.
    assert probe(f"{NUMBERS['rt_sigreturn']}")[0] == -signal.SIGSEGV


@pytest.mark.parametrize("rule, wrong", [(rule, index) for rule in ALLOWED + REFUSED for index in rule.args], ids=repr)
def test_call_with_another_argument_kills(rule, wrong):
    killed(rule.words(wrong))


@pytest.mark.parametrize("rule", REFUSED, ids=repr)
def test_refused_call_fails_as_declared(rule):
    assert lives(rule.words()) == [-getattr(errno, rule.error)]


def test_every_other_call_kills():
    PROBER.all_killed(other_numbers(ALLOWED + REFUSED))


# ---------------------------------------------------------------------------------- what an intruder would try

@pytest.mark.parametrize("name, args", [
    ("openat", "-100 s=/etc/passwd 0"),                 # AT_FDCWD
    ("openat", "-100 s=/proc/self/mem 2"),
    ("newfstatat", "-100 s=/ p 0"),
], ids=["passwd", "mem", "root"])
def test_files_are_not_there(name, args):
    assert lives(f"{NUMBERS[name]} {args}") == [-errno.ENOENT]


@pytest.mark.parametrize("name, args", [
    ("open", "s=/etc/passwd 0"), ("creat", "s=/tmp/x 0600"), ("socket", "1 1 0"), ("connect", "3 p 16"),
    ("socketpair", "1 1 0 p"), ("bind", "3 p 16"), ("ptrace", "16 1"), ("execve", "s=/bin/sh 0 0"),
    ("execveat", "-100 s=/bin/sh 0 0 0"), ("clone", "17"), ("clone3", "p 64"), ("fork", ""), ("vfork", ""),
    ("mount", "p p p 0 0"), ("umount2", "s=/ 2"), ("pivot_root", "p p"), ("chroot", "s=/"), ("setns", "3 0"),
    ("unshare", "0x10000000"), ("bpf", "0 p 64"), ("perf_event_open", "p 0 0 -1 0"), ("userfaultfd", "0"),
    ("mprotect", "p 4096 7"), ("pkey_mprotect", "p 4096 7 -1"), ("kill", "1 9"), ("kill", "-1 9"),
    ("pidfd_open", "1 0"),
    ("pidfd_getfd", "3 0 0"), ("process_vm_readv", "1 p 1 p 1 0"), ("process_vm_writev", "1 p 1 p 1 0"),
    ("io_uring_setup", "8 p"), ("memfd_secret", "0"), ("keyctl", "0"), ("add_key", "p p p 0 0"),
    ("landlock_create_ruleset", "p 8 0"), ("seccomp", "1 0 p"), ("prctl", "22 0"), ("setuid", "0"), ("capset", "p p"),
    ("personality", "0x0400000"), ("modify_ldt", "0 p 16"), ("open_by_handle_at", "3 p 0"),
    ("mknodat", "-100 s=/x 0 0"),
    ("shmget", "0 4096 0"), ("msgget", "0 0"), ("name_to_handle_at", "-100 s=/ p p 0"), ("splice", "0 0 1 0 1 0"),
    ("vmsplice", "1 p 1 0"), ("dup", "0"), ("dup2", "0 1"), ("pipe2", "p 0"), ("eventfd2", "0 0"),
    ("reboot", "0 0 0 0"),
], ids=lambda value: str(value).split(" ", maxsplit=1)[0])
def test_intruder_is_killed(name, args):
    killed(f"{NUMBERS[name]} {args}")


def test_memory_is_never_executable():
    prot_rwx, private_anonymous = 7, 0x22
    killed(f"{NUMBERS['mmap']} 0 4096 {prot_rwx} {private_anonymous} -1 0")
    killed(f"{NUMBERS['mmap']} 0 4096 4 {private_anonymous} -1 0")
    mapped, = lives(f"{NUMBERS['mmap']} 0 4096 3 {private_anonymous} -1 0")
    assert mapped > 0


def test_rings_take_their_operations_only():
    """Those of the program itself, when it is confined: one for interrupts, one for disks."""
    assert PROBER.ring_takes(0) == RING_OF_INTERRUPTS
    assert PROBER.ring_takes(1) == RING_OF_DISKS
    assert lives("ring 2 0") == [-errno.ENXIO]          # there is no third


def test_call_of_a_32_bit_program_kills():
    """By int 0x80: its numbers mean other calls, 20 is getpid() there and writev() here."""
    status, results, err = probe("int80 20", options=("-sandbox", "off"))
    if status == -signal.SIGSEGV:
        pytest.skip("this kernel does not run 32-bit programs")
    assert status == PROBED and results[0] > 0, err
    # getpid, exit, read, write, open, execve, socketcall, exit_group
    for number in (20, 1, 3, 4, 5, 11, 102, 252):
        killed(f"int80 {number}")


def test_ring_is_not_what_it_may_not_be():
    """Neither ring takes another purpose."""
    register = NUMBERS["io_uring_register"]
    killed(f"{register} 8 11 p 1")                      # IORING_REGISTER_RESTRICTIONS
    killed(f"{register} 8 2 p 1")                       # IORING_REGISTER_FILES


def test_memory_that_is_not_mapped_is_a_fault():
    assert probe("call read_beyond")[0] == -signal.SIGSEGV


def test_no_other_descriptor_can_be_read():
    """Another device's image lies open in the test; the process has nothing of it."""
    with open(__file__, "rb") as image:
        os.set_inheritable(image.fileno(), True)        # as by a careless launcher
        run = subprocess.run([PROGRAM, *LSI], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT,
                             close_fds=False, env={**os.environ, "LD_PRELOAD": PROBE, "SANDBOX_PROBE": ";".join(
                                 f"{NUMBERS['fstat']} {fd} p" for fd in range(3, 64))})
    results = [int(x) for x in re.findall(r"^probe: (-?\d+)$", run.stderr, re.M)]
    assert run.returncode == PROBED and len(results) == 61
    # Event loop, its eventfd, signals, two rings; the image's own number is closed.
    assert results.count(0) == 5 and set(results) == {0, -errno.EBADF}


def test_images_do_not_grow_where_nobody_can_resize_them(tmp_path):
    """Without a monitor.  With one the image may be resized, on its user's word."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    steps = [f"{NUMBERS['ftruncate']} {fd} {size}" for size in (1 << 20, (1 << 20) + 1) for fd in range(3, 10)]
    drive = ("-drive", f"file={image},format=raw,if=none,id=d0", "-device", "scsi-hd,drive=d0")
    status, results, err = probe(*steps, options=drive)
    assert status == PROBED, err
    assert results[:7].count(0) == 1 and results[7:].count(-errno.EFBIG) == 1 and results[7:].count(0) == 0
    status, results, err = probe(*steps, options=(*drive, "-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off"))
    assert status == PROBED and results[7:].count(0) == 1, err


# ---------------------------------------------------------------------------------- libraries

@pytest.mark.parametrize("name", ["malloc", "localtime", "messages"])
def test_library_path_works(name):
    assert lives(f"call {name}") == [0]


def test_messages_of_libraries_are_seen():
    _, _, err = probe("call messages")
    for text in ("a warning of GLib's", "a message of GLib's", "No such file or directory"):
        assert text in err


def test_program_ends_by_exit_as_ever():
    assert probe("call exit")[0] == PROBED


@pytest.mark.parametrize("name, ends", [
    ("abort", (signal.SIGSEGV,)), ("assert", (signal.SIGSEGV, signal.SIGTRAP)), ("free_twice", (signal.SIGSEGV,))])
def test_crash_of_a_library_is_a_crash(name, ends):
    """The first process of a PID namespace cannot be ended by its own SIGABRT: the C library's last resort does it."""
    status, results, err = probe(f"call {name}")
    assert -status in ends and not results, (status, err)


def test_failed_assertion_says_why():
    assert "should not be reached" in probe("call assert")[2]


# ---------------------------------------------------------------------------------- seen from outside

@pytest.fixture(name="confined")
def _confined(tmp_path):
    """A serving process with a disk, a monitor and a link; its device process's pid is .pid."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    link = Link()
    with Remote(*LSI, "-drive", f"file={image},format=raw,if=none,id=d0", "-device", "scsi-hd,drive=d0", "-qmp",
                f"unix:{tmp_path}/qmp,server=on,wait=off", *serve(link)) as remote:
        assert link.ids() == LSI_IDS
        remote.qmp_path = str(tmp_path / "qmp")
        yield remote


def test_process_has_nothing_left(confined):
    status = proc_status(confined.pid)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert (status["NoNewPrivs"], status["Seccomp"], status["Threads"]) == ("1", "2", "1")
    assert status["NSpid"].split()[1:] == ["1"]
    if os.geteuid() == 0:
        assert set(status["Uid"].split() + status["Gid"].split()) == {"65534"} and not status["Groups"].strip()
    with open(f"/proc/{confined.pid}/uid_map", encoding="ascii") as uid_map:
        assert uid_map.read() == ""
    with open(f"/proc/{confined.pid}/limits", encoding="ascii") as limits:
        text = limits.read()
    for line in ("core file size +0 +0", "processes +128 +128", "open files +4096 +4096", "msgqueue size +0 +0"):
        assert re.search(f"^Max {line} ", text, re.M), line


def test_namespaces_are_its_own(confined):
    for name in ("user", "mnt", "pid", "ipc", "uts", "net", "cgroup"):
        assert os.readlink(f"/proc/{confined.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name


def test_root_is_empty_and_read_only(confined):
    assert os.listdir(f"/proc/{confined.pid}/root") == [] == os.listdir(f"/proc/{confined.pid}/cwd")
    with open(f"/proc/{confined.pid}/mounts", encoding="ascii") as mounts:
        lines = mounts.read().splitlines()
    assert len(lines) == 1 and re.match(r"tmpfs / tmpfs ro,nosuid,nodev,noexec,", lines[0])


def test_descriptors_are_those_it_needs(confined, tmp_path):
    kinds = [re.sub(r":\[\d+\]", "", target) for fd, target in held(confined.pid).items() if fd > 2]
    assert sorted(kinds) == sorted(["socket"] * 2 + ["anon_inode:[signalfd]", "anon_inode:[eventpoll]",
                                       "anon_inode:[eventfd]", "anon_inode:[io_uring]", "anon_inode:[io_uring]",
                                       f"{tmp_path}/disk.img"])


def test_no_memory_is_writable_and_executable(confined):
    with open(f"/proc/{confined.pid}/maps", encoding="ascii") as maps:
        assert not [line for line in maps if re.match(r"\S+ \S?wx", line)]


def test_session_is_its_own(confined):
    assert os.getsid(confined.pid) == confined.pid != os.getsid(0)


def test_level_is_told_by_qmp(confined):
    with Qmp.connect(confined.qmp_path) as qmp:
        info = qmp.negotiate().command("query-sandbox")
    assert info["level"] == "full" and info["landlock"] >= 0
    allowed, _ = listed(PROGRAM, "device with a listening monitor")
    assert info["syscalls"] == sorted({rule.name for rule in allowed})


def test_socket_file_of_a_monitor_is_removed_at_the_end(confined):
    assert os.path.exists(confined.qmp_path)
    assert confined.terminate()[0] == 0
    assert not os.path.exists(confined.qmp_path)


def test_supervisor_holds_nothing(confined):
    pid = confined.process.pid
    assert confined.pid != pid and proc_status(pid)["Name"] == "sandbox"
    assert [text for fd, text in held(pid).items() if fd > 2
            and not re.match(r"anon_inode:\[signalfd\]|socket:", text)] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_reach_the_device_process(confined, number):
    pid = confined.pid
    status, _, text = confined.terminate(number)
    assert status == 0 and f"terminating on signal {number.value}\n" in text     # the sender has no number in there
    assert not os.path.exists(f"/proc/{pid}")


def test_stop_of_a_terminal_stops_the_device_process_too(confined):
    """SIGTSTP, that is; and SIGCONT lets both go on, also after a SIGSTOP of one."""
    both = (confined.process.pid, confined.pid)
    link, = confined.links
    for number, stopped in ((signal.SIGTSTP, both), (signal.SIGSTOP, both[:1])):
        confined.process.send_signal(number)
        wait_until(lambda: all(proc_status(pid)["State"][0] == "T" for pid in stopped), "both stop")
        if number == signal.SIGTSTP:
            link.send(mpqemu_link.PCI_CFGREAD, mpqemu_link.CONF.pack(0, 0, 4))
            assert select.select([link.stream.sock], [], [], 0.2)[0] == []
        confined.process.send_signal(signal.SIGCONT)
        if number == signal.SIGTSTP:
            assert link.reply() == LSI_IDS
        wait_until(lambda: all(proc_status(pid)["State"][0] != "T" for pid in both), "both go on")
    assert link.ids() == LSI_IDS
    assert confined.terminate()[0] == 0


def test_device_process_dies_with_its_supervisor(confined):
    pid = confined.pid
    confined.process.kill()
    deadline = time.monotonic() + WAIT
    while os.path.exists(f"/proc/{pid}") and proc_status(pid)["State"][0] not in "ZX":
        assert time.monotonic() < deadline, "the device process lives"
        time.sleep(0.01)


def test_supervisor_ends_as_the_device_process_did(confined):
    os.kill(confined.pid, signal.SIGKILL)
    assert confined.wait()[0] == -signal.SIGKILL


def test_supervisor_ends_where_sigchld_is_ignored():
    """By who started it: the child would be reaped without a word."""
    process = subprocess.Popen([PROGRAM, *LSI], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    process.stderr.readline()                           # "no device is served": it is about to be confined
    process.terminate()
    assert process.wait(WAIT) in (0, -signal.SIGTERM)
    process.communicate()


def test_trace_lines_tell_the_pid_that_the_user_knows(main_program, tmp_path):
    """And not the 1 of the PID namespace into which the spawner has put the process."""
    program, trace = tmp_path / "traced-remote", tmp_path / "trace"
    program.write_text(f"#!/bin/sh\nexec {PROGRAM} \"$@\" -trace enable=device_realize,file={trace}\n")
    program.chmod(0o755)
    with Managed(main_program, tmp_path, "-remote", f"rid=r,exec={program},sandbox=on", "-rdevice",
                 "lsi53c895a,rid=r,id=lsi0") as m:
        pid = m.remotes()["r"]["pid"]
        assert proc_status(pid)["NSpid"].split() == [str(pid), "1"]
        assert {line.split()[1] for line in trace.read_text().splitlines()} == {str(pid)}


# ---------------------------------------------------------------------------------- levels

def level(*options, env=None, prefix=()):
    """(query-sandbox of a process with OPTIONS, its Uid)."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([*prefix, PROGRAM, *LSI, *options, "-chardev", f"socket,id=c,fd={theirs.fileno()}",
                                    "-mon",
                                    "chardev=c,mode=control"], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, env=env)
    ours.settimeout(WAIT)
    try:
        qmp = Qmp(ours).negotiate()
        info = qmp.command("query-sandbox")
        qmp.command("quit")
        assert process.wait(WAIT) == 0
        return info
    finally:
        ours.close()
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("options, wanted", [
    ((), "full"), (("-sandbox", "on"), "full"), (("-sandbox", "on,ns=off"), "seccomp"), (("-sandbox", "off"), "none"),
    (("-sandbox", "log"), "log"), (("-sandbox", "log,ns=off"), "log"),
    (("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"), "full"),
], ids=lambda value: "-".join(value) if isinstance(value, tuple) else value)
def test_level_is_what_was_asked_for(options, wanted):
    info = level(*options)
    assert info["level"] == wanted and (info["syscalls"] == []) == (wanted == "none")


def test_without_namespaces_the_filter_is_the_same():
    status, results, _ = probe(f"{NUMBERS['socket']} 1 1 0", options=("-sandbox", "on,ns=off"))
    assert (status, results) == (-signal.SIGSYS, [])


def test_log_reports_and_lets_pass():
    status, results, err = probe(f"{NUMBERS['socket']} 1 1 0", f"{NUMBERS['getppid']}", options=("-sandbox", "log"))
    assert status == PROBED and results[0] > 0 and len(results) == 2, err
    assert "the sandbox would refuse socket(0x1, 0x1, 0x0" in err and "would refuse getppid(" in err


def test_landlock_shuts_paths_where_the_filter_only_reports():
    """With ns=off it is the second lock on them; not there on kernels without."""
    if level()["landlock"] == 0:
        pytest.skip("this kernel has no Landlock")
    status, results, err = probe(f"{NUMBERS['open']} s=/etc/passwd 0", options=("-sandbox", "log,ns=off"))
    assert (status, results) == (PROBED, [-errno.EACCES]), err


def test_securebits_are_locked():
    """NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE are set and locked, KEEP_CAPS is locked."""
    get_securebits = 27
    status, results, err = probe(f"{NUMBERS['prctl']} {get_securebits}", options=("-sandbox", "log"))
    assert (status, results) == (PROBED, [0b11101111]), err


@pytest.mark.parametrize("title, options, call", [
    ("device with a listening monitor", ("-qmp", "unix:{}/qmp,server=on,wait=off"), "accept4 9999 0 0 0"),
    ("device with a monitor on standard input", ("-qmp", "stdio"), "poll p 0 0"),
], ids=["listening", "stdio"])
def test_monitors_add_what_they_need(title, options, call, tmp_path):
    name, _, args = call.partition(" ")
    allowed, _ = listed(PROGRAM, title)
    assert {rule.name for rule in allowed} - {rule.name for rule in ALLOWED} == {name}
    run = subprocess.run([PROGRAM, *LSI, *(option.format(tmp_path) for option in options)], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=WAIT,
                         env={**os.environ, "LD_PRELOAD": PROBE, "SANDBOX_PROBE": f"{NUMBERS[name]} {args}"})
    assert run.returncode == PROBED, run.stderr
    killed(f"{NUMBERS[name]} {args}")                   # without that monitor


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up a part of its capabilities")
@pytest.mark.parametrize("name", ["setuid", "setgid", "kill"])
def test_root_that_cannot_become_nobody_is_an_error(name):
    run = subprocess.run(["setpriv", "--bounding-set", f"-{name}", PROGRAM, *LSI], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=WAIT, check=False)
    assert run.returncode == 1 and f"CAP_{name.upper()}" in run.stderr, run.stderr


NOBODY = ("setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "--no-new-privs")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_ordinary_user_is_confined_as_well():
    assert level(prefix=NOBODY)["level"] == "full"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_of_a_user_namespace_is_confined_as_well():
    """As in a container without privileges."""
    assert level(prefix=(*NOBODY, "unshare", "--user", "--map-root-user"))["level"] == "full"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can set the limit of a namespace")
@pytest.mark.parametrize("kind", ["user", "net"])
def test_level_that_cannot_be_reached_is_an_error(kind):
    """In a user namespace where no more of the kind may be made."""
    script = f"echo 0 >/proc/sys/user/max_{kind}_namespaces && exec \"$@\""
    prefix = (*NOBODY, "unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    run = subprocess.run([*prefix, PROGRAM, *LSI], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=WAIT, check=False)
    assert run.returncode == 1 and "-sandbox" in run.stderr and "-sandbox on,ns=off" in run.stderr, run.stderr
    assert level("-sandbox", "on,ns=off", prefix=prefix)["level"] == "seccomp"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_uid_that_cannot_be_mapped_is_an_error_with_its_own_remedy():
    """User namespaces are allowed here; it is /proc that forbids to write the map."""
    prefix = ("unshare", "--mount", "sh", "-c", "mount -o remount,bind,ro /proc && exec \"$@\"", "sh", *NOBODY)
    run = subprocess.run([*prefix, PROGRAM, *LSI], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=WAIT, check=False)
    assert run.returncode == 1 and "mount /proc for writing" in run.stderr and "ns=off" in run.stderr, run.stderr
    assert level("-sandbox", "on,ns=off", prefix=prefix)["level"] == "seccomp"


def test_chroot_without_proc_is_an_error():
    """Nothing is skipped silently where /proc is missing."""
    prefix = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /proc; exec \"$@\"",
              "sh")
    run = subprocess.run([*prefix, PROGRAM, *LSI], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         timeout=WAIT,
                         check=False)
    assert run.returncode == 1 and "/proc" in run.stderr, run.stderr


# ---------------------------------------------------------------------------------- nobody is answered before

def test_nobody_is_answered_before_the_process_is_confined(tmp_path):
    """Held before its last stage it leaves a request, and a monitor's client, without a byte; released it answers, with
    a filter."""
    with Link() as link, socket.socket(socket.AF_UNIX) as client:
        process = subprocess.Popen(
            [PROGRAM, *LSI, "-object", f"x-remote-object,id=r0,devid=lsi0,fd={link.fd}", "-qmp",
             f"unix:{tmp_path}/qmp,server=on,wait=off"], pass_fds=[link.fd], stdin=subprocess.PIPE,
             stderr=subprocess.PIPE,
            text=True, env={**os.environ, "LD_PRELOAD": PROBE, "SANDBOX_PROBE_HOLD": "1"})
        try:
            link.started()
            link.send(mpqemu_link.PCI_CFGREAD, mpqemu_link.CONF.pack(0, 0, 4))
            assert process.stderr.readline() == "probe: held\n"
            pid = device_pid(process.pid)
            client.connect(f"{tmp_path}/qmp")
            assert proc_status(pid)["Seccomp"] == "0"
            assert select.select([link.stream.sock, client], [], [], 0.5)[0] == []
            process.stdin.close()                       # goes on
            assert link.reply() == LSI_IDS
            assert client.recv(100).startswith(b'{"QMP"')
            assert proc_status(pid)["Seccomp"] == "2"
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def test_signal_in_the_midst_of_the_start_is_not_lost():
    """The first process of a PID namespace does not get signals that it does not wait for."""
    for turn in range(150):
        process = subprocess.Popen([PROGRAM, *LSI], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(turn * 0.0001)
            process.terminate()
            assert process.wait(WAIT) in (0, -signal.SIGTERM)
        finally:
            process.kill()
            process.wait()


def test_images_on_paths_are_refused_with_the_remedy(confined, tmp_path):
    with Qmp.connect(confined.qmp_path) as qmp:
        qmp.negotiate()
        with pytest.raises(QmpError, match="confined.*/dev/fdset/"):
            qmp.command("blockdev-add", driver="file", **{"node-name": "x", "filename": str(tmp_path / "disk.img")})
        with pytest.raises(QmpError, match="Operation not permitted"):
            qmp.command("object-add", **{"qom-type": "memory-backend-memfd", "id": "m", "size": 4096})
        assert qmp.command("query-status")["running"]
