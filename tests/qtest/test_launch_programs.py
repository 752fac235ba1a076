# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu-launch with real programs, and the examples of its page.
# Runs in: neither program; drives mpqemu-launch from outside.
"""The examples are taken from docs/system/mpqemu-launch.rst and run as they stand there, but for the paths of
programs, images and sockets, and for KVM, which a test machine need not have."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import xml.etree.ElementTree

import pytest

from launcher import BUILD, PROGRAM, WAIT, Launch, children_of, processes_with, run, wait_until
from qtest import Qtest

DOCS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "system")
LSI_IDS = 0x00121000
PCI_BAR1 = 0x14
PCI_COMMAND = 4
SCRATCHA = 0x34
TCG = ["-accel", "tcg", "-S"]         # stock's qtest accelerator is not in every package; no CPU runs with -S


@pytest.fixture(name="image")
def _image(tmp_path):
    path = tmp_path / "disk.img"
    with open(path, "wb") as image:
        image.truncate(1 << 20)
    return path


def remote_words(image):
    return ["--remote", "disk,device=lsi0", "-device", "lsi53c895a,id=lsi0",
            "-drive", f"id=d0,file={image},format=raw,if=none", "-device", "scsi-hd,drive=d0,bus=lsi0.0"]


def script(path, *words):
    """An executable that runs these words with "$@" at its end."""
    path.write_text("#!/bin/sh\nexec " + shlex.join(map(str, words)) + ' "$@"\n')
    path.chmod(0o755)
    return str(path)


def use_controller(q):
    """Finds the controller on the bus; a register of it keeps what is written to it."""
    slot = next(slot for slot in range(32) if q.pci_read(slot, 0, 4) == LSI_IDS)
    q.pci_write(slot, PCI_BAR1, 4, 0xe0000000)
    q.pci_write(slot, PCI_COMMAND, 2, 6)
    q.writel(0xe0000000 + SCRATCHA, 0x12345678)
    assert q.readl(0xe0000000 + SCRATCHA) == 0x12345678


def title_of(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as line:
        return line.read().split(b"\0")[0].decode()


def remotes_of(launcher):
    return [pid for pid in children_of(launcher) if title_of(pid).startswith("qemu-remote: ")]


# ---- real programs --------------------------------------------------------------------------------------------------

def test_our_emulator(tmp_path, main_program, image):
    launch = script(tmp_path / "launch", PROGRAM, "--name", "web", *remote_words(image), "--", main_program)
    with Qtest(launch, []) as q:
        use_controller(q)
        assert [title_of(pid) for pid in remotes_of(q.process.pid)] == ["qemu-remote: web/disk"]
        assert q.close() == 0
    assert processes_with(str(tmp_path)) == {}


def test_several_remotes_of_our_emulator(tmp_path, main_program):
    words = []
    for number in range(3):
        words += ["--remote", f"{number},device=lsi{number}", "-device", f"lsi53c895a,id=lsi{number}"]
    launch = script(tmp_path / "launch", PROGRAM, *words, "--", main_program)
    with Qtest(launch, ["-device", "pci-proxy-dev,id=lsi1,fd=@fd:lsi1@,addr=9"]) as q:
        assert [slot for slot in range(32) if q.pci_read(slot, 0, 4) == LSI_IDS] == [2, 3, 9]
        first = remotes_of(q.process.pid)[0]
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: "killed by signal 9" in q.stderr(), "the remote's end")
        use_controller(q)                               # another one's
        assert q.close() == 0


def test_stock_emulator(tmp_path, stock_program, image):
    launch = tmp_path / "launch"
    script(launch, PROGRAM, *remote_words(image), "--", stock_program, *TCG, "-nodefaults", "-display", "none",
           "-name", "guest=web,debug-threads=on", "-object", "memory-backend-memfd,id=mem,size=64M", "-m", "64",
           "-machine", "pc,memory-backend=mem")
    # Qtest's first two words are -accel qtest.
    launch.write_text(launch.read_text().replace("exec ", "shift 2\nexec "))
    with Qtest(str(launch), []) as q:
        use_controller(q)
        assert [title_of(pid) for pid in remotes_of(q.process.pid)] == ["qemu-remote: web/disk"]
        q.process.send_signal(signal.SIGTERM)
        assert q.close() == 0
    assert processes_with(str(tmp_path)) == {}


def test_image_is_free_when_the_command_has_come_back(tmp_path, main_program, image):
    launch = script(tmp_path / "launch", PROGRAM, *remote_words(image), "--", main_program)
    for _ in range(5):
        with Qtest(launch, []) as q:        # it would not start with a locked image
            use_controller(q)
            assert q.close() == 0


def test_remote_with_a_mistake(tmp_path, main_program, image):
    """Its own message, the launcher's, and the emulator's; nothing is left."""
    status, _, err = run(tmp_path, *remote_words(image), "-device", "nosuch", "--", main_program, "-accel", "qtest")
    assert status == 1
    assert "qemu-remote: " in err and "'nosuch'" in err
    assert "mpqemu-launch: remote 'disk'" in err and "ended with status 1" in err


@pytest.mark.parametrize("program", ["main_program", "stock_program"])
def test_version_is_asked_through_the_launcher(request, tmp_path, image, program):
    program = request.getfixturevalue(program)
    before = os.stat(image).st_atime_ns
    status, out, err = run(tmp_path, *remote_words(image), "--", program, "-version")
    assert (status, err) == (0, "") and "version" in out
    assert os.stat(image).st_atime_ns == before


def test_program_is_the_one_beside_the_launcher(tmp_path, main_program):
    """As installed: both in one directory; the launcher is a link to it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    shutil.copy(PROGRAM, directory / "mpqemu-launch")
    shutil.copy(os.path.join(BUILD, "remote", "qemu-remote"), directory / "qemu-remote")
    os.symlink(directory / "mpqemu-launch", tmp_path / "link")
    launch = script(tmp_path / "launch", tmp_path / "link", "--remote", "r,device=lsi0",
                    "-device", "lsi53c895a,id=lsi0", "--", main_program)
    with Qtest(launch, []) as q:
        use_controller(q)
        assert [os.readlink(f"/proc/{pid}/exe") for pid in remotes_of(q.process.pid)] == [f"{directory}/qemu-remote"]
    (directory / "qemu-remote").unlink()
    result = subprocess.run([launch], capture_output=True, text=True, timeout=WAIT, check=False)
    assert result.returncode == 125 and f"beside {directory}/mpqemu-launch" in result.stderr


# ---- the page's examples --------------------------------------------------------------------------------------------

def blocks(page):
    """[(name or None, text)] of the code blocks of a page."""
    with open(os.path.join(DOCS, page), encoding="utf-8") as stream:
        lines = stream.read().split("\n")
    found, i = [], 0
    while i < len(lines):
        if lines[i].startswith(".. code::"):
            name, text = None, []
            i += 1
            while i < len(lines) and (not lines[i] or lines[i].startswith("   ")):
                option = re.fullmatch(r"   :name: (\S+)", lines[i])
                if option:
                    name = option.group(1)
                else:
                    text.append(lines[i][3:])
                i += 1
            found.append((name, "\n".join(text).strip("\n") + "\n"))
        else:
            i += 1
    return found


def example(name):
    return dict(blocks("mpqemu-launch.rst"))[name]


def substitute(text, *pairs):
    """TEXT with each old word replaced, which must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, str(new))
    return text


@pytest.fixture(name="qmp_path")
def _qmp_path(tmp_path):
    return tmp_path / "qmp"


class Qmp:
    """A client of stock's QMP on a socket that appears while it starts."""

    def __init__(self, path, process):
        def connect():
            assert process.poll() is None, process.communicate()
            client = socket.socket(socket.AF_UNIX)
            try:
                client.connect(str(path))
                return client
            except OSError:
                client.close()
                return None
        self.socket = wait_until(connect, "no QMP")
        self.socket.settimeout(WAIT)
        self.lines = self.socket.makefile("rw", encoding="utf-8")
        assert "QMP" in json.loads(self.lines.readline())
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]

    def close(self):
        self.lines.close()
        self.socket.close()


def start_and_stop(launch, qmp_path):
    """The machine has the remote's controller; SIGTERM to the launcher ends all with status 0."""
    qmp = Qmp(qmp_path, launch.process)
    assert "lsi0" in [device["qdev_id"] for bus in qmp.command("query-pci") for device in bus["devices"]]
    assert len(remotes_of(launch.process.pid)) == 1
    qmp.close()
    launch.process.send_signal(signal.SIGTERM)
    status, _, err = launch.wait()
    assert status == 0, err
    assert "mpqemu-launch: " not in err


class Command(Launch):
    """Any command that becomes the launcher."""

    def __init__(self, directory, command, **more):
        self.directory = str(directory)
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, **more)


def test_example_stock(tmp_path, stock_program, image, qmp_path):
    text = substitute(example("example-stock"), ("mpqemu-launch", f"exec {PROGRAM}"), ("disk.img", image),
                      ("-accel kvm", f"-accel tcg -S -qmp unix:{qmp_path},server=on,wait=off"),
                      ("qemu-system-x86_64", stock_program), ("size=1G -m 1G", "size=64M -m 64M"))
    with Command(tmp_path, ["sh", "-c", text]) as launch:
        start_and_stop(launch, qmp_path)


def test_page_on_stock_qemu_has_the_same_line():
    assert example("example-stock") in [text for _, text in blocks("stock-qemu.rst")]


@pytest.fixture(name="unit")
def _unit(stock_program, image, qmp_path):
    """The text of the page's systemd unit, with our paths."""
    return substitute(example("example-systemd"), ("/usr/local/bin/mpqemu-launch", PROGRAM),
                      ("/usr/bin/qemu-system-x86_64", stock_program), ("/var/lib/mpqemu/web.img", image),
                      ("/run/mpqemu/web.qmp", qmp_path))


def test_example_systemd_is_a_valid_unit(tmp_path, unit):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs the Debian package systemd")
    path = tmp_path / "web.service"
    path.write_text(unit)
    check = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], timeout=WAIT, check=False,
                           capture_output=True, text=True)
    assert [line for line in check.stderr.split("\n") if "web.service" in line] == []


def test_example_systemd(tmp_path, unit, qmp_path):
    text = unit
    start = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", text, re.M).group(1)
    words = shlex.split(substitute(start.replace("\\\n", " "), ("-accel kvm", "-accel tcg -S"),
                                   ("size=1G -m 1G", "size=64M -m 64M")))
    with Command(tmp_path, words) as launch:
        start_and_stop(launch, qmp_path)


@pytest.fixture(name="emulator")
def _emulator(tmp_path, stock_program, image):
    """libvirt's <emulator>, installed as the example says."""
    path = tmp_path / "qemu-with-lsi"
    path.write_text(substitute(example("example-libvirt-emulator"), ("/usr/local/bin/mpqemu-launch", PROGRAM),
                               ("/usr/bin/qemu-system-x86_64", stock_program),
                               ("/var/lib/libvirt/images/data.img", image)))
    path.chmod(0o755)
    return str(path)


def test_example_libvirt_domain():
    domain = xml.etree.ElementTree.fromstring(example("example-libvirt-domain"))
    assert domain.find("memoryBacking/source").get("type") == "memfd"
    assert domain.find("memoryBacking/access").get("mode") == "shared"
    assert os.path.dirname(domain.find("devices/emulator").text) == "/usr/local/bin"


def test_example_libvirt_machine(tmp_path, emulator):
    """libvirt makes the monitor's socket and passes it by number."""
    path = tmp_path / "monitor"
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.bind(str(path))
        monitor.listen(1)
        ram = {"qom-type": "memory-backend-memfd", "id": "pc.ram", "share": True, "size": 64 << 20}
        words = ["-name", "guest=web,debug-threads=on", "-S", "-machine", "pc,usb=off,memory-backend=pc.ram",
                 "-accel", "tcg", "-m", "64", "-object", json.dumps(ram), "-display", "none", "-no-user-config",
                 "-nodefaults", "-chardev", f"socket,id=charmonitor,fd={monitor.fileno()},server=on,wait=off",
                 "-mon", "chardev=charmonitor,id=monitor,mode=control", "-no-shutdown",
                 "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
        with Command(tmp_path, [emulator, *words], pass_fds=[monitor.fileno()]) as launch:
            qmp = Qmp(path, launch.process)
            assert qmp.command("qom-get", path="/machine/peripheral/lsi0", property="addr") == 0x1e << 3
            remote, = remotes_of(launch.process.pid)
            assert title_of(remote) == "qemu-remote: web/disk"
            qmp.close()
            launch.process.send_signal(signal.SIGTERM)
            assert launch.wait()[0] == 0


def test_example_libvirt_questions(tmp_path, emulator, image):
    """As libvirt asks: by -version, and over QMP without a machine while the image is another's."""
    result = subprocess.run([emulator, "-version"], capture_output=True, text=True, timeout=WAIT, check=False)
    assert result.returncode == 0 and result.stdout.startswith("QEMU emulator version")
    path = tmp_path / "qmp.monitor"
    with Command(tmp_path, [emulator, "-S", "-no-user-config", "-nodefaults", "-nographic", "-machine",
                            "none,accel=kvm:tcg", "-qmp", f"unix:{path},server=on,wait=off", "-pidfile",
                            str(tmp_path / "qmp.pid"), "-daemonize"]) as launch:
        assert launch.process.wait(WAIT) == 0
        daemon = int((tmp_path / "qmp.pid").read_text())
        assert list(processes_with(str(tmp_path))) == [daemon]
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            lines = client.makefile("rw", encoding="utf-8")
            assert "QMP" in lines.readline()
            for command in ("qmp_capabilities", "quit"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                assert any("return" in line for line in iter(lines.readline, ""))     # SHUTDOWN may come first
            lines.close()
