# SPDX-License-Identifier: GPL-2.0-or-later
# A remote process made in Python, which a test makes lie, hang, flood or die where it wants.
# Runs in: neither program; is started by mpqemu in the place of qemu-remote.
"""A remote that speaks QMP on descriptor 3 and serves its controllers by mpqemu_link.FakeDevice.

It is honest as far as a test does not say otherwise: write_script() makes an executable of the base class and of
methods that the test gives as text.  A method do_NAME(args) is the QMP command NAME (with '_' for '-'); it returns the
value, or SILENCE for no answer, or raises Refusal.
"""

import array
import json
import os
import socket
import textwrap

from mpqemu_link import FakeDevice, LinkServer

SILENCE = object()
GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}
PCI_TYPES = ["lsi53c895a", "pci-fake"]


class Refusal(Exception):
    """An error answer."""

    def __init__(self, desc, error_class="GenericError"):
        super().__init__(desc)
        self.answer = {"class": error_class, "desc": desc}


class LyingRemote:
    """The process; see the module."""

    def __init__(self):
        self.sock = socket.socket(fileno=3)
        self.input, self.fds = b"", []
        self.devices, self.named, self.links = {}, {}, {}
        self.request_id = None

    # ---- what is said

    def raw(self, data):
        """Bytes, whatever they are."""
        self.sock.sendall(data)

    def say(self, text):
        """A JSON value."""
        self.raw(json.dumps(text).encode() + b"\n")

    def event(self, name, **data):
        """An event."""
        self.say({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}})

    def greet(self):
        """The first that is said."""
        self.say(GREETING)

    # ---- what is heard

    def read_line(self):
        """The next request, or the end of the process."""
        while b"\n" not in self.input:
            fds = array.array("i")
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16 * fds.itemsize))
            for _, _, content in ancillary:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
            self.fds += fds
            if not data:
                self.ended()
            self.input += data
        line, self.input = self.input.split(b"\n", 1)
        return json.loads(line)

    def ended(self):
        """The channel has ended."""
        os._exit(0)

    def answer(self, request):
        """Carries a request out."""
        method = getattr(self, "do_" + request["execute"].replace("-", "_"), None)
        self.request_id = request["id"]
        try:
            if not method:
                raise Refusal("not known here", "CommandNotFound")
            value = method(request.get("arguments", {}))
            if value is not SILENCE:
                self.say({"return": value, "id": request["id"]})
        except Refusal as refusal:
            self.say({"error": refusal.answer, "id": request["id"]})

    def run(self):
        """Its life."""
        self.greet()
        while True:
            self.answer(self.read_line())

    # ---- commands

    def do_qmp_capabilities(self, _args):
        return {}

    def do_query_status(self, _args):
        return {"status": "running", "singlestep": False, "running": True}

    def do_cont(self, _args):
        return {}

    def do_quit(self, _args):
        os._exit(0)

    def do_qom_list_types(self, _args):
        return [{"name": name} for name in PCI_TYPES]

    def do_device_list_properties(self, _args):
        return []

    def do_device_add(self, args):
        self.devices[args["id"]] = args["driver"]
        return {}

    def do_qom_get(self, args):
        return self.devices[args["path"].split("/")[-1]]

    def do_getfd(self, args):
        self.named[args["fdname"]] = self.fds.pop()
        return {}

    def do_closefd(self, args):
        os.close(self.named.pop(args["fdname"]))
        return {}

    def do_object_add(self, args):
        sock = socket.socket(fileno=self.named.pop(args["fd"]))
        self.links[args["id"]] = LinkServer(sock, FakeDevice(ids=(0x1000, 0x12), bars={0: 0x1000})).start()
        return {}

    def do_object_del(self, args):
        self.links.pop(args["id"]).stop()
        return {}

    def do_device_del(self, args):
        del self.devices[args["id"]]
        self.event("DEVICE_DELETED", device=args["id"], path="/machine/peripheral/" + args["id"])
        return {}

    def do_add_fd(self, args):
        os.close(self.fds.pop())
        return {"fdset-id": args["fdset-id"], "fd": 9}

    def do_remove_fd(self, _args):
        return {}

    def do_drive_add(self, _args):
        return {}

    def do_drive_del(self, _args):
        return {}

    def do_block_resize(self, _args):
        return {}


def write_script(path, methods=""):
    """Makes PATH an executable whose remote has METHODS (text) instead of the honest ones; returns PATH."""
    with open(path, "w", encoding="utf-8") as script:
        script.write("#!/usr/bin/python3\nimport json, os, signal, socket, sys, threading, time\n"
                     f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
                     "from lying_remote import *\n"
                     "class Remote(LyingRemote):\n    pass\n"
                     f"{textwrap.indent(textwrap.dedent(methods), '    ')}\n"
                     "Remote().run()\n")
    os.chmod(path, 0o755)
    return str(path)


__all__ = ["GREETING", "SILENCE", "LyingRemote", "Refusal", "write_script"]
