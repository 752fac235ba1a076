# SPDX-License-Identifier: GPL-2.0-or-later
# The transcripts of docs/system/remote-devices.rst are what the programs say.
# Runs in: neither program; drives mpqemu from outside.
"""Runs the page's command line, its HMP session and its QMP session, in this order, on one machine."""

import json
import os
import re
import shlex
import subprocess

import pytest

from managed import image
from qmp import Qmp

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "system", "remote-devices.rst")


def blocks():
    """The page's literal blocks, without their indentation."""
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    found = re.findall(r"(?:^|\n)[^\n]*::[^\n]*\n\n((?:   [^\n]*\n|\n)+)", text)
    return ["\n".join(line[3:] for line in block.rstrip().split("\n")) for block in found]


def block(beginning):
    """The block that begins like this."""
    return next(text for text in blocks() if text.startswith(beginning))


def without_numbers(text):
    """Pids, counters and the remote's path differ from run to run."""
    text = re.sub(r"(/\S*)?/qemu-remote", "qemu-remote", text)
    text = re.sub(r"\bsandbox (full|none)\b", "sandbox LEVEL", text)       # none: a build with a sanitizer
    text = re.sub(r"(?<![a-z\"'])\b\d+\b", "N", text)
    return [re.sub(r" +", " ", line).strip() for line in text.strip().splitlines()]


@pytest.fixture
def machine(main_program, tmp_path):
    """The page's machine, with its images in the current directory; stdin and stdout are the HMP monitor."""
    image(tmp_path / "disk.img")
    image(tmp_path / "more.img")
    words = shlex.split(block("mpqemu -name vm1 -m").replace("\\\n", ""))
    with subprocess.Popen([main_program, *words[1:], "-qmp", "unix:qmp,server=on,wait=off"], cwd=tmp_path, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def test_the_sessions_of_the_page(machine, tmp_path):
    qmp = Qmp.connect(str(tmp_path / "qmp")).negotiate()
    session = block("(qemu) info remote")
    expected = re.split(r"^\(qemu\) (.*)$", session, flags=re.M)[1:]
    lines = expected[::2]
    machine.stdin.write("".join(line + "\n" for line in lines))
    machine.stdin.flush()
    output = ""
    # The last prompt comes when everything has been done.
    while output.count("(qemu) ") <= len(lines):
        character = machine.stdout.read(1)
        assert character, output
        output += character
    answers = output.replace("\r", "").split("(qemu) ")[1:-1]
    for line, answer, wanted in zip(lines, answers, expected[1::2]):
        assert without_numbers(answer) == without_numbers(wanted), line
    assert "mpqemu 0" in output

    for request, wanted in re.findall(r"^-> (.*)\n<- (.*)$", block("-> {"), re.M):
        qmp.send(json.loads(request))
        assert qmp.read_answer() == json.loads(wanted)

    event = json.loads(block("<- {\"event\": \"REMOTE_STATE\"")[3:].replace(", ...}", "}"))
    pid = qmp.command("query-remote")[0]["pid"]
    qmp.events.clear()              # those of the session
    os.kill(pid, event["data"]["signal"])
    assert qmp.wait_event("REMOTE_STATE", lambda e: e["data"]["to"] == "dead")["data"] == event["data"]
    qmp.wait_event("REMOTE_STATE", lambda e: e["data"]["to"] == "ready")
    qmp.command("quit")
    qmp.close()
    assert machine.wait(20) == 0


def test_the_processes_of_the_page(machine, tmp_path):
    Qmp.connect(str(tmp_path / "qmp")).close()
    tree = block("mpqemu -name vm1 ...").splitlines()

    def of_parent(pid):
        """[(pid, command line as ps shows it)] of a process's children."""
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            pids = children.read().split()
        found = []
        for child in pids:
            with open(f"/proc/{child}/cmdline", encoding="ascii") as words:
                found.append((child, words.read().replace("\0", " ").strip()))
        return found

    [(spawner, title)] = of_parent(machine.pid)
    assert title == tree[1].split("\\_ ")[1]
    [(_, title)] = of_parent(spawner)
    assert title.startswith(tree[2].split("\\_ ")[1].removesuffix(" ..."))
