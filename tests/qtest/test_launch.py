# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu-launch: what its children get, how signals and ends pass through it, what each mistake gets.
# Runs in: neither program; drives mpqemu-launch from outside, with fake remotes and emulators.
"""Each rule of docs/system/mpqemu-launch.rst, with processes that report what they see."""

import os
import pty
import re
import resource
import signal
import socket
import subprocess
import sys
import termios

import pytest

from relay import fd_of
from launcher import FAKE, PROGRAM, WAIT, Fakes, Launch, children_of, run, state_of, wait_until


@pytest.fixture(name="fakes")
def _fakes(tmp_path):
    return Fakes(tmp_path)


def number(argv, pattern):
    """The descriptor's number in the one argument that matches."""
    found = [re.fullmatch(pattern, word) for word in argv]
    found = [match for match in found if match]
    assert len(found) == 1, argv
    return int(found[0].group(1))


def connected(emulator, remote, emulator_fd, remote_fd):
    """The two numbers are ends of one socketpair: neither process reads, so this one can."""
    with socket.socket(fileno=fd_of(remote["pid"], remote_fd)) as one, \
            socket.socket(fileno=fd_of(emulator["pid"], emulator_fd)) as other:
        token = f"{emulator_fd} {remote_fd}".encode()
        one.send(token)
        other.settimeout(WAIT)
        return other.recv(100) == token


# ---- what the children get ------------------------------------------------------------------------------------------

def test_each_gets_its_end_of_the_link(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", "-device", "x"), *fakes.held("-m", "64")) as launch:
        remote, emulator = launch.report("r0"), launch.report("emulator")
        assert remote["argv"][1:-1] == [f"report={tmp_path}/r0", "-device", "x", "-object"]
        theirs = number(remote["argv"], r"x-remote-object,id=link-dev-r0,devid=dev-r0,fd=(\d+)")
        assert emulator["argv"][2:-1] == [f"wait={tmp_path}/release", "-m", "64", "-device"]
        ours = number(emulator["argv"], r"x-pci-proxy-dev,id=dev-r0,fd=(\d+)")
        assert set(remote["fds"]) == {0, 1, 2, theirs} and set(emulator["fds"]) == {0, 1, 2, ours}
        assert connected(emulator, remote, ours, theirs)
        assert remote["parent"] == emulator["parent"] == launch.process.pid
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_several_remotes_with_several_devices(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("a", keys="device=d1,device=d2"), *fakes.remote("0", keys="device=d3"),
                *fakes.held()) as launch:
        first, second, emulator = launch.report("a"), launch.report("0"), launch.report("emulator")
        for name, remote in (("d1", first), ("d2", first), ("d3", second)):
            assert connected(emulator, remote, number(emulator["argv"], f"x-pci-proxy-dev,id={name},fd=(\\d+)"),
                             number(remote["argv"], f"x-remote-object,id=link-{name},devid={name},fd=(\\d+)"))
        assert [len(report["fds"]) for report in (first, second, emulator)] == [5, 4, 6]
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_number_is_put_where_the_place_is(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", "--link=@fd:dev-r0@,fd=@fd:dev-r0@"),
                *fakes.held("-device", "pci-proxy-dev,fd=@fd:dev-r0@,addr=5", "-x",
                            "@fd:dev-r0@@fd:dev-r0@")) as launch:
        remote, emulator = launch.report("r0"), launch.report("emulator")
        ours = number(emulator["argv"], r"pci-proxy-dev,fd=(\d+),addr=5")
        assert emulator["argv"][-2:] == ["-x", f"{ours}{ours}"]
        theirs = number(remote["argv"], r"--link=\d+,fd=(\d+)")
        assert remote["argv"][2:] == [f"--link={theirs},fd={theirs}"]
        assert connected(emulator, remote, ours, theirs)
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_control_channel_goes_to_the_emulator(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", keys="control=on"), *fakes.remote("1", keys="control=on,device=d"),
                *fakes.held("-remote", "rid=1,on-death=restart,fd=@control:1@")) as launch:
        first, second, emulator = launch.report("r0"), launch.report("1"), launch.report("emulator")
        for remote in (first, second):
            at = remote["argv"].index("-chardev")
            assert remote["argv"][at + 2:at + 5] == ["-mon", "chardev=control,mode=control", "-no-shutdown"]
        assert emulator["argv"][-4:-1] == ["-remote", f"rid=r0,fd={number(emulator['argv'], 'rid=r0,fd=([0-9]+)')}",
                                           "-device"]
        for remote, pattern in ((first, r"rid=r0,fd=(\d+)"), (second, r"rid=1,on-death=restart,fd=(\d+)")):
            assert connected(emulator, remote, number(emulator["argv"], pattern),
                             number(remote["argv"], r"socket,id=control,fd=(\d+)"))
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_inherited_descriptors_reach_the_emulator_only(tmp_path, fakes):
    with open(tmp_path / "kept", "wb") as kept, socket.socket() as listener:
        with Launch(tmp_path, *fakes.remote("r0"), *fakes.held(),
                    pass_fds=[kept.fileno(), listener.fileno()]) as launch:
            remote, emulator = launch.report("r0"), launch.report("emulator")
            assert emulator["fds"][kept.fileno()] == str(tmp_path / "kept")
            assert emulator["fds"][listener.fileno()].startswith("socket:")
            assert len(emulator["fds"]) == 6
            assert len(remote["fds"]) == 4 and str(tmp_path / "kept") not in remote["fds"].values()
            fakes.release()
            assert launch.wait() == (0, "", "")


def test_launcher_holds_no_descriptor_while_it_watches(tmp_path, fakes):
    """What the emulator has is closed for all others when it ends, its output and input too."""
    reader, writer = os.pipe()
    with Launch(tmp_path, *fakes.remote("r0", "stubborn"), *fakes.held(), pass_fds=[writer]) as launch:
        os.close(writer)
        launch.report("emulator")
        proc = f"/proc/{launch.process.pid}/fd"
        wait_until(lambda: sorted(os.listdir(proc), key=int) == ["0", "1", "2"], "descriptors in the launcher")
        assert [os.readlink(f"{proc}/{fd}") for fd in (0, 1)] == ["/dev/null"] * 2
        fakes.release()
        assert os.read(reader, 1) == b""              # the remote still runs
        assert launch.process.stdout.read() == ""
        assert launch.process.poll() is None
    os.close(reader)


def test_surroundings_of_a_remote(tmp_path, fakes):
    env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TZ": "UTC", "SECRET": "1", "NOTIFY_SOCKET": "/x"}
    with Launch(tmp_path, *fakes.remote("r0"), *fakes.held(), env=env, stdin=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as launch:
        remote, emulator = launch.report("r0"), launch.report("emulator")
        assert remote["fds"][0] == "/dev/null" and remote["fds"][1] == remote["fds"][2] == emulator["fds"][2]
        assert emulator["fds"][1] != emulator["fds"][2] and emulator["fds"][0].startswith("pipe:")
        assert remote["session"] == remote["group"] == remote["pid"]
        assert emulator["group"] == os.getpgid(launch.process.pid) and emulator["session"] == os.getsid(0)
        # Python itself adds LC_CTYPE in the C locale, and ignores SIGPIPE and SIGXFSZ.
        assert {"LANG", "TZ"} <= set(remote["env"]) <= {"LANG", "TZ", "LC_CTYPE"}
        assert set(env) <= set(emulator["env"])
        hangup = 1 << (signal.SIGHUP - 1)
        assert not int(remote["ignored"], 16) & hangup and int(emulator["ignored"], 16) & hangup
        assert int(remote["blocked"], 16) == int(emulator["blocked"], 16) == 0
        assert remote["parent_death"] == emulator["parent_death"] == signal.SIGKILL
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_closed_standard_descriptors_do_not_become_links(tmp_path, fakes):
    def close_all():
        os.closerange(0, 3)
    with Launch(tmp_path, *fakes.remote("r0"), *fakes.held(), preexec_fn=close_all, stdin=None, stdout=None,
                stderr=None) as launch:
        remote, emulator = launch.report("r0"), launch.report("emulator")
        for report in (remote, emulator):
            assert [report["fds"][fd] for fd in (0, 1, 2)] == ["/dev/null"] * 3 and len(report["fds"]) == 4
        fakes.release()
        assert launch.process.wait(WAIT) == 0


def test_ignored_sigchld_does_not_hide_the_emulators_end(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0"), *fakes.held("status=7"),
                preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN)) as launch:
        assert int(launch.report("emulator")["ignored"], 16) & 1 << (signal.SIGCHLD - 1)
        assert not int(launch.report("r0")["ignored"], 16) & 1 << (signal.SIGCHLD - 1)
        fakes.release()
        assert launch.wait()[0] == 7


# ---- ends -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_exit_status_is_the_emulators(tmp_path, fakes, status):
    assert run(tmp_path, *fakes.remote("r0"), *fakes.emulator(f"status={status}", f"wait={tmp_path}")) == \
        (status, "", "")


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGSEGV", "SIGABRT", "SIGUSR1"])
def test_launcher_dies_by_the_emulators_signal(tmp_path, fakes, name):
    assert run(tmp_path, *fakes.remote("r0"), *fakes.emulator(f"wait={tmp_path}", f"die={name}"), cwd=tmp_path) == \
        (-signal.Signals[name], "", "")


@pytest.mark.parametrize("behaviour, words", [
    (["status=3"], ["ended with status 3"]),
    (["die=SIGSEGV"], ["was killed by signal 11", "Segmentation fault"]),
])
def test_failed_remote_is_told_at_once_and_the_emulator_goes_on(tmp_path, fakes, behaviour, words):
    with Launch(tmp_path, *fakes.remote("r0", f"wait={tmp_path}/go", *behaviour), *fakes.remote("r1"),
                *fakes.held("status=4")) as launch:
        pid = launch.report("r0")["pid"]
        launch.report("emulator")
        (tmp_path / "go").touch()
        line = launch.process.stderr.readline()
        assert line.startswith(f"mpqemu-launch: remote 'r0' (process {pid}, dev-r0) ")
        for word in [*words, "while the emulator runs"]:
            assert word in line
        assert launch.process.poll() is None
        fakes.release()
        assert launch.wait() == (4, "", "")


def test_remote_that_ends_cleanly_is_told_when_the_emulator_stays(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", f"wait={tmp_path}/go"), *fakes.held()) as launch:
        launch.report("emulator")
        (tmp_path / "go").touch()
        line = launch.process.stderr.readline()
        assert "'r0'" in line and "ended with status 0 while the emulator runs" in line
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_remote_that_fails_after_the_emulator_is_told(tmp_path, fakes):
    status, _, err = run(tmp_path, *fakes.remote("r0", "status=9"), *fakes.remote("r1"),
                         *fakes.emulator(f"wait={tmp_path}"))
    assert status == 0 and err.count("\n") == 1
    assert "'r0'" in err and "status 9" in err


def with_remote_that_stays(tmp_path, fakes, *behaviour):
    """(status, stdout, stderr) of a launcher whose remote r0 does not end with its link."""
    with Launch(tmp_path, "--grace", 1, *fakes.remote("r0", "stubborn", *behaviour), *fakes.remote("r1"),
                *fakes.held("status=5")) as launch:
        for name in ("r0", "r1", "emulator"):
            launch.report(name)
        fakes.release()
        return launch.wait()


def test_remote_that_stays_is_sent_sigterm(tmp_path, fakes):
    status, _, err = with_remote_that_stays(tmp_path, fakes)
    assert status == 5 and err.count("\n") == 1
    assert "remote 'r0' (process" in err and "sent SIGTERM" in err


def test_remote_that_ignores_sigterm_is_killed(tmp_path, fakes):
    status, _, err = with_remote_that_stays(tmp_path, fakes, "ignore=SIGTERM")
    assert status == 5 and err.count("\n") == 2
    assert "sent SIGTERM" in err.split("\n")[0] and "sent SIGKILL" in err.split("\n")[1]


def test_stopped_remote_is_killed(tmp_path, fakes):
    with Launch(tmp_path, "--grace", 1, *fakes.remote("r0"), *fakes.held()) as launch:
        os.kill(launch.report("r0")["pid"], signal.SIGSTOP)
        launch.report("emulator")
        fakes.release()
        status, _, err = launch.wait()
        assert status == 0 and "sent SIGKILL" in err


def test_signal_after_the_emulators_end_shortens_the_grace(tmp_path, fakes):
    with Launch(tmp_path, "--grace", 3600, *fakes.remote("r0", "stubborn", "ignore=SIGTERM"), *fakes.held()) as launch:
        launch.report("r0")
        emulator = launch.report("emulator")["pid"]
        fakes.release()
        wait_until(lambda: emulator not in children_of(launch.process.pid), "the emulator's end")
        launch.process.send_signal(signal.SIGTERM)
        assert "sent SIGTERM" in launch.process.stderr.readline()
        launch.process.send_signal(signal.SIGINT)
        assert launch.wait()[0] == 0


def test_killed_launcher_leaves_nothing(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", "stubborn", "ignore=SIGTERM"), *fakes.remote("r1", "stubborn"),
                *fakes.held("ignore=SIGTERM")) as launch:
        for name in ("r0", "r1", "emulator"):
            launch.report(name)
        launch.process.kill()
        # The context manager waits until no process of this test is left.


def test_launcher_killed_amid_its_start_leaves_nothing(tmp_path, fakes):
    for wanted in (1, 2, 3) * 5:
        with Launch(tmp_path, *fakes.remote("r0", "stubborn"), *fakes.remote("r1", "stubborn"),
                    *fakes.held()) as launch:
            wait_until(lambda launch=launch, wanted=wanted: len(children_of(launch.process.pid)) >= wanted, "children")
            launch.process.kill()


def test_first_process_of_a_container_reports_the_signal_as_status(tmp_path, fakes):
    unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        pytest.skip("needs the right to make namespaces")
    result = subprocess.run([*unshare, PROGRAM, *fakes.remote("r0"),
                             *fakes.emulator(f"wait={tmp_path}", "die=SIGKILL")],
                            capture_output=True, text=True, timeout=WAIT, check=False)
    assert (result.returncode, result.stderr) == (128 + signal.SIGKILL, "")


# ---- signals --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH",
                                  "SIGALRM", "SIGCONT"])
def test_signal_is_passed_to_the_emulator_once(tmp_path, fakes, name):
    with Launch(tmp_path, *fakes.remote("r0", f"signals={tmp_path}/r0.signals"),
                *fakes.held(f"signals={tmp_path}/emulator.signals")) as launch:
        launch.report("r0")
        launch.report("emulator")
        launch.process.send_signal(signal.Signals[name])
        wait_until(lambda: fakes.signals("emulator"), "the signal")
        launch.process.send_signal(signal.SIGTERM)      # comes behind what would have been sent twice
        wait_until(lambda: fakes.signals("emulator")[1:], "the second signal")
        assert fakes.signals("emulator") == [name, "SIGTERM"]
        assert fakes.signals("r0") == []
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_signal_that_comes_during_the_start_is_not_lost(tmp_path, fakes):
    for _ in range(10):
        with Launch(tmp_path, *fakes.remote("r0"), *fakes.held()) as launch:
            wait_until(lambda pid=launch.process.pid: children_of(pid), "the first child")
            launch.process.send_signal(signal.SIGTERM)
            assert launch.wait()[0] == -signal.SIGTERM


def test_full_standard_error_pipe_that_closes_does_not_end_the_emulator(tmp_path, fakes):
    with Launch(tmp_path, *fakes.remote("r0", f"wait={tmp_path}/go", "status=3"), *fakes.held("status=4")) as launch:
        remote = launch.report("r0")["pid"]
        launch.report("emulator")
        launch.process.stderr.close()
        (tmp_path / "go").touch()
        wait_until(lambda: remote not in children_of(launch.process.pid), "the remote's end")
        fakes.release()
        assert launch.process.wait(WAIT) == 4


class Terminal:
    """A small shell on a terminal of its own that runs a launcher as a job; this is its parent."""

    SHELL = """
import os, signal, sys
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    print("stopped" if os.WIFSTOPPED(status) else f"ended {status}", job, file=sys.stderr, flush=True)
    if not os.WIFSTOPPED(status):
        break
"""

    def __init__(self, directory, *args, leader=False):
        self.directory = str(directory)
        command = [PROGRAM] if leader else [sys.executable, "-c", self.SHELL, PROGRAM]
        self.master, slave = pty.openpty()

        def take_terminal():
            os.setsid()
            import fcntl
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([*command, *map(str, args)], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                                        text=True, preexec_fn=take_terminal)
        os.close(slave)

    report = Launch.report

    def __enter__(self):
        return self

    def __exit__(self, *more):
        if self.master >= 0:
            os.close(self.master)
        Launch.__exit__(self, *more)

    def type(self, key):
        os.write(self.master, key)


@pytest.mark.parametrize("key, name", [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_signal_from_the_terminal_comes_once_and_spares_the_remotes(tmp_path, fakes, key, name):
    with Terminal(tmp_path, *fakes.remote("r0", f"signals={tmp_path}/r0.signals"),
                  *fakes.held(f"signals={tmp_path}/emulator.signals", "quit=SIGTERM", "status=6")) as terminal:
        terminal.report("r0")
        launcher = terminal.report("emulator")["parent"]
        terminal.type(key)
        wait_until(lambda: fakes.signals("emulator"), "the signal")
        os.kill(launcher, signal.SIGTERM)
        assert terminal.process.stderr.readline() == f"ended {6 << 8} {launcher}\n"
        assert fakes.signals("emulator") == [name, "SIGTERM"] and fakes.signals("r0") == []


def test_job_stops_and_goes_on(tmp_path, fakes):
    with Terminal(tmp_path, *fakes.remote("r0"), *fakes.held("status=6")) as terminal:
        remote, emulator = terminal.report("r0")["pid"], terminal.report("emulator")["pid"]
        for _ in range(3):
            terminal.type(b"\x1a")
            line = terminal.process.stderr.readline().split()
            assert line[0] == "stopped"
            launcher = int(line[1])
            wait_until(lambda: state_of(emulator) == "T", "the emulator has not stopped")
            assert state_of(remote) != "T"
            os.killpg(launcher, signal.SIGCONT)
            wait_until(lambda: state_of(emulator) != "T" != state_of(launcher), "not continued")
        # The same by kill(2) to the launcher alone.
        os.kill(launcher, signal.SIGTSTP)
        assert terminal.process.stderr.readline().startswith("stopped")
        wait_until(lambda: state_of(emulator) == "T", "the emulator has not stopped")
        os.kill(launcher, signal.SIGCONT)
        wait_until(lambda: state_of(emulator) != "T", "not continued")
        fakes.release()
        assert terminal.process.stderr.readline() == f"ended {6 << 8} {launcher}\n"


def test_lost_terminal_of_a_session_leader_is_passed_on(tmp_path, fakes):
    with Terminal(tmp_path, *fakes.remote("r0"), *fakes.held(f"signals={tmp_path}/emulator.signals", "quit=SIGHUP"),
                  leader=True) as terminal:
        terminal.report("r0")
        terminal.report("emulator")
        os.close(terminal.master)
        terminal.master = -1
        assert terminal.process.wait(WAIT) == 0
        assert fakes.signals("emulator") == ["SIGHUP"]


# ---- what cannot be started -----------------------------------------------------------------------------------------

def test_remote_that_cannot_be_run_leaves_nothing(tmp_path, fakes):
    for name, mode, reason in (("missing", None, "No such file or directory"), ("text", 0o644, "Permission denied")):
        if mode:
            (tmp_path / name).write_text("x")
        status, out, err = run(tmp_path, *fakes.remote("r0"), "--remote", f"r1,device=d1,exec={tmp_path}/{name}",
                               *fakes.emulator())
        assert (status, out) == (125, "")
        assert err.startswith("mpqemu-launch: remote 'r1': cannot run ") and err.count("\n") == 1
        assert f"{tmp_path}/{name}" in err and reason in err
        assert not (tmp_path / "emulator").exists()


def test_failed_start_ends_remotes_that_stay(tmp_path, fakes):
    status, _, err = run(tmp_path, "--grace", 3, *fakes.remote("r0", "stubborn"), *fakes.remote("r1", "status=3"),
                         "--", tmp_path / "missing")
    assert status == 127
    assert "'r0'" in err and "sent SIGTERM" in err
    assert "'r1'" in err and "status 3 and the emulator was not started" in err


@pytest.mark.parametrize("make, status, reason", [
    (None, 127, "No such file or directory"),
    (lambda path: path.write_text("x"), 126, "Permission denied"),
    (lambda path: path.mkdir(), 126, "Permission denied"),
])
def test_emulator_that_cannot_be_run_leaves_nothing(tmp_path, fakes, make, status, reason):
    path = tmp_path / "emulator-program"
    if make:
        make(path)
    found, out, err = run(tmp_path, *fakes.remote("r0"), "--", path)
    assert (found, out) == (status, "")
    assert err.startswith(f"mpqemu-launch: the emulator: cannot run '{path}'") and reason in err
    assert run(tmp_path, *fakes.remote("r0"), "--", path, "-version")[0] == status


def test_emulator_is_searched_in_path_but_a_remote_is_not(tmp_path, fakes):
    env = {**os.environ, "PATH": os.path.dirname(FAKE) + ":" + os.environ["PATH"]}
    name = os.path.basename(FAKE)
    assert run(tmp_path, *fakes.remote("r0"), "--", name, "status=3", f"wait={tmp_path}", env=env)[0] == 3
    status, _, err = run(tmp_path, "--remote", f"r0,device=d,exec={name}", "--", name, env=env)
    assert status == 2 and "absolute path" in err


def test_limit_of_descriptors_is_told(tmp_path, fakes):
    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))
    devices = ",".join(f"device=d{i}" for i in range(8))
    status, _, err = run(tmp_path, *fakes.remote("r0", keys=devices), *fakes.emulator(), preexec_fn=limit)
    assert status == 125 and "'r0'" in err and "ulimit -n" in err


# ---- mistakes -------------------------------------------------------------------------------------------------------

R = ("--remote", "r0,device=d0")
E = ("--", "/bin/false")


@pytest.mark.parametrize("args, words", [
    ((), ("no emulator", "--")),
    (R, ("no emulator", "'-- EMULATOR")),
    ((*R, "--"), ("--: no emulator follows", "-- EMULATOR")),
    ((*R, "--", "-accel"), ("'-accel'", "not a program")),
    (E, ("no remote", "--remote")),
    (("--remote",), ("--remote", "argument is missing")),
    (("--remote", *E), ("--remote", "argument is missing")),
    (("--remote", *R, *E), ("--remote", "argument is missing")),
    (("--remote", "r0", *E), ("--remote r0", "device=ID or control=on")),
    (("--remote", "r0,control=off", *E), ("--remote r0", "device=ID or control=on")),
    (("--remote", "r0,control=maybe", *E), ("control=maybe", "on or off")),
    (("--remote", "r0,devcie=d0", *E), ("--remote r0", "'devcie=d0'", "device=ID")),
    (("--remote", "r0,d0", *E), ("'d0'", "device=ID")),
    (("--remote", "r0,device=d0,", *E), ("''", "device=ID")),
    (("--remote", "r0,device=", *E), ("device=", "begin with a letter")),
    (("--remote", "r0,device=0d", *E), ("device=0d", "begin with a letter")),
    (("--remote", "r0,device=a/b", *E), ("device=a/b", "begin with a letter")),
    (("--remote", "r0,device=" + "d" * 123, *E), ("122 at most",)),
    (("--remote", "r0,device=d0,device=d0", *E), ("device=d0", "twice")),
    ((*R, "--remote", "r1,device=d0", *E), ("--remote r1,device=d0", "twice")),
    ((*R, "--remote", "r0,device=d1", *E), ("--remote r0", "two remotes")),
    (("--remote", "device=d0", *E), ("'device=d0'", "not a remote's id")),
    (("--remote", ",device=d0", *E), ("''", "not a remote's id")),
    (("--remote", "-r,device=d0", *E), ("'-r'", "not a remote's id")),
    (("--remote", "r" * 128 + ",device=d0", *E), ("127 at most",)),
    (("--remote", "r0,device=d0,exec=qemu-remote", *E), ("exec=qemu-remote", "absolute path")),
    (("--grace", "0", *R, *E), ("--grace 0", "from 1 to 3600")),
    (("--grace", "3601", *R, *E), ("--grace 3601", "from 1 to 3600")),
    (("--grace", "1.5", *R, *E), ("--grace 1.5", "whole seconds")),
    (("--grace",), ("--grace", "missing")),
    (("--name", "", *R, *E), ("--name", "empty")),
    (("--nosuch", *R, *E), ("--nosuch", "-help")),
    (("qemu", *R, *E), ("'qemu'", "-help")),
    ((*R, *E, "-daemonize"), ("-daemonize", "background")),
    ((*R, *E, "--daemonize"), ("-daemonize", "background")),
], ids=lambda value: " ".join(value)[:50] if value and value[0].startswith("--") and " " not in value[0] else "")
def test_mistake_is_refused(tmp_path, args, words):
    status, out, err = run(tmp_path, *args)
    assert (status, out) == (2, "") and err.startswith("mpqemu-launch: ") and err.count("\n") == 1, err
    for word in words:
        assert word in err


@pytest.mark.parametrize("args, words", [
    ((*R, *E, "-x", "fd=@fd:d1@"), ("the emulator", "@fd:d1@", "device=ID")),
    ((*R, *E, "-x", "fd=@control:r0@"), ("the emulator", "@control:r0@", "control=on")),
    ((*R, "fd=@fd:d1@", "--remote", "r1,device=d1", *E), ("remote 'r0'", "@fd:d1@", "this remote")),
])
def test_place_that_names_nothing_is_refused(tmp_path, args, words):
    status, out, err = run(tmp_path, *args)
    assert (status, out) == (125, "") and err.count("\n") == 1
    for word in words:
        assert word in err


def test_ids_at_their_limits(tmp_path, fakes):
    rid, device = "9" * 127, "d" * 122
    with Launch(tmp_path, *fakes.remote("r0", keys=f"device={device}")[:1], f"{rid},device={device},exec={FAKE}",
                *fakes.words("r0"), *fakes.held()) as launch:
        number(launch.report("r0")["argv"], f"x-remote-object,id=link-{device},devid={device},fd=(\\d+)")
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_comma_in_a_path_is_written_twice(tmp_path, fakes):
    directory = tmp_path / "a,b,,c"
    directory.mkdir()
    os.symlink(FAKE, directory / "fake")
    spec = f"rid=r0,device=d,exec={str(directory).replace(',', ',,')}/fake"
    with Launch(tmp_path, "--remote", spec, *fakes.words("r0"), *fakes.held()) as launch:
        assert launch.report("r0")["argv"][0] == f"{directory}/fake"
        fakes.release()
        assert launch.wait() == (0, "", "")


def test_help_and_version(tmp_path):
    status, out, err = run(tmp_path, "--help")
    assert (status, err) == (0, "")
    for word in ("--name", "--grace", "--remote", "device=", "exec=", "control=on", "@fd:ID@"):
        assert word in out
    assert run(tmp_path, "-h")[1] == out
    status, out, err = run(tmp_path, "--version")
    assert (status, err) == (0, "") and re.fullmatch(r"mpqemu-launch \(mpqemu\) version [0-9.]+\n", out)


# ---- command lines without a guest ----------------------------------------------------------------------------------

NO_GUEST = [
    "-version", "--version", "-help", "-h", "-audio-help", "-cpu help", "-cpu ?", "-machine help", "-M help",
    "-device help", "-device lsi53c895a,help", "-accel help", "-nic model=help", "-drive format=?", "-machine none",
    "-M none,accel=qtest", "-machine accel=kvm:tcg,type=none", "-machine pc -machine none", "-append x -version",
    "-S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg -daemonize",
]
GUEST = [
    "", "-machine pc", "-machine none -machine pc", "-machine none -machine q35 -machine accel=kvm", "-append -version",
    "-append -help", "-name help", "-kernel help", "-name none", "-device x,id=help", "-machine q35,accel=none", "help",
    "-device help2", "-daemonizer",
]


@pytest.mark.parametrize("line", NO_GUEST)
def test_emulator_without_guest_is_run_without_remotes(tmp_path, fakes, line):
    places = ["-device", "x-pci-proxy-dev,fd=@fd:dev-r0@", "-remote", "rid=r0,fd=@control:r0@", "last"]
    with Launch(tmp_path, *fakes.remote("r0", keys="device=dev-r0,control=on"), *fakes.emulator(*line.split()), *places,
                "status=3", f"wait={tmp_path}") as launch:
        emulator = launch.report("emulator")
        assert emulator["pid"] == launch.process.pid
        assert emulator["argv"][1:] == [f"report={tmp_path}/emulator", *line.split(), "last", "status=3",
                                        f"wait={tmp_path}"]
        assert set(emulator["fds"]) == {0, 1, 2}
        assert launch.wait() == (3, "", "")
        assert not (tmp_path / "r0").exists()


@pytest.mark.parametrize("line", GUEST)
def test_emulator_with_guest_gets_its_remotes(tmp_path, fakes, line):
    with Launch(tmp_path, *fakes.remote("r0"), *fakes.held(*line.split())) as launch:
        emulator = launch.report("emulator")
        assert emulator["parent"] == launch.process.pid
        assert emulator["argv"][3:-2] == line.split()
        launch.report("r0")
        fakes.release()
        assert launch.wait() == (0, "", "")
