# SPDX-License-Identifier: GPL-2.0-or-later
# Which process does the work of a program that was started, and what it holds.
# Runs in: neither program.
"""A confined qemu-remote works in a child, which its first process only supervises."""

import json
import os

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BUILD = os.environ.get("MPQEMU_BUILD", os.path.join(os.path.dirname(_TESTS), "build"))


def _build_option(name):
    """The value of an option with which the build directory was configured; None: programs from elsewhere."""
    try:
        with open(os.path.join(_BUILD, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as text:
            return next(option["value"] for option in json.load(text) if option["name"] == name)
    except FileNotFoundError:
        return None


# Of a qemu-remote without -sandbox: builds with sanitizers or coverage confine nothing.
CONFINES = _build_option("sandbox_default") is not False
DEFAULT_LEVEL = "full" if CONFINES else "none"


def device_pid(pid):
    """The process that works when PID was started: PID itself, or its child; once it has answered."""
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        if comm.read().strip() != "sandbox":
            return pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return int(children.read().split()[0])


def held(pid):
    """What process PID has open, {number: target}; a descriptor that it closes meanwhile is left out."""
    targets = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            targets[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return targets
