# SPDX-License-Identifier: GPL-2.0-or-later
# A QMP client, and a checker of values against what query-qmp-schema says.
# Runs in: neither program; talks to mpqemu, qemu-remote and stock QEMU from outside.
"""QMP from the client's side, written from docs/interop and QEMU's protocol, not from our C.

    with Qmp.connect(path) as qmp:          # or Qmp(sock), sock connected
        qmp.negotiate()
        qmp.command("stop")
        event = qmp.wait_event("STOP")

Errors come as QmpError with .error_class and .desc.  Events that come meanwhile are kept in .events.  All waits end
after WAIT seconds.  With `check=True` (the default) each answer and each event is checked against the program's own
schema.
"""

import json
import os
import socket
import time

WAIT = 30


class QmpError(Exception):
    """An error answer."""

    def __init__(self, error_class, desc, answer=None):
        super().__init__(f"{error_class}: {desc}")
        self.error_class = error_class
        self.desc = desc
        self.answer = answer


class QmpClosed(Exception):
    """The program has closed the connection."""


class SchemaMismatch(AssertionError):
    """A value is not what the program's schema says."""


class Schema:
    """The answer of query-qmp-schema, as a checker."""

    def __init__(self, entries):
        self.entries = {}
        for entry in entries:
            assert entry["name"] not in self.entries, f"{entry['name']} is there twice"
            self.entries[entry["name"]] = entry
        for entry in entries:
            for name in self._references(entry):
                assert name in self.entries, f"{entry['name']} refers to {name}, which is not there"

    @staticmethod
    def _references(entry):
        for key in ("arg-type", "ret-type", "element-type"):
            if key in entry:
                yield entry[key]
        for item in (*entry.get("variants", ()), *entry.get("members", ())):
            if entry["meta-type"] != "enum":
                yield item["type"]

    def names(self, meta_type):
        return {name for name, entry in self.entries.items() if entry["meta-type"] == meta_type}

    def unreachable(self):
        """Types that no command or event uses."""
        todo = [*self.names("command"), *self.names("event")]
        seen = set(todo)
        while todo:
            for name in self._references(self.entries[todo.pop()]):
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return set(self.entries) - seen

    def check_return(self, command, value):
        self.check(self.entries[command]["ret-type"], value, f"return of {command}")

    def check_event(self, event):
        name = event["event"]
        if name not in self.entries or self.entries[name]["meta-type"] != "event":
            raise SchemaMismatch(f"event {name} is not in the schema")
        assert set(event) <= {"event", "data", "timestamp"}, event
        assert set(event["timestamp"]) == {"seconds", "microseconds"}
        assert 0 <= event["timestamp"]["microseconds"] < 10**6
        self.check(self.entries[name]["arg-type"], event.get("data", {}), f"data of {name}")

    def check(self, type_name, value, where):
        """Raises SchemaMismatch unless value is of the type."""
        entry = self.entries[type_name]
        if not getattr(self, "_check_" + entry["meta-type"])(entry, value, where):
            raise SchemaMismatch(f"{where}: {value!r} is no {entry['meta-type']} {type_name}")

    @staticmethod
    def _check_builtin(entry, value, _):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"string": isinstance(value, str), "number": number, "int": number and isinstance(value, int),
                "boolean": isinstance(value, bool), "null": value is None, "value": True,
                "object": isinstance(value, dict), "array": isinstance(value, list)}[entry["json-type"]]

    @staticmethod
    def _check_enum(entry, value, _):
        return value in [member["name"] for member in entry["members"]]

    def _check_array(self, entry, value, where):
        if not isinstance(value, list):
            return False
        for i, element in enumerate(value):
            self.check(entry["element-type"], element, f"{where}[{i}]")
        return True

    def _check_object(self, entry, value, where):
        if not isinstance(value, dict):
            return False
        members = list(entry["members"])
        for variant in entry.get("variants", ()):
            if variant["case"] == value.get(entry["tag"]):
                members += self.entries[variant["type"]]["members"]
        known = set()
        for member in members:
            known.add(member["name"])
            if member["name"] in value:
                self.check(member["type"], value[member["name"]], f"{where}.{member['name']}")
            elif "default" not in member:
                raise SchemaMismatch(f"{where}: member {member['name']} is missing in {value!r}")
        unknown = set(value) - known
        if unknown and "open" not in entry.get("features", ()):
            raise SchemaMismatch(f"{where}: members {unknown} are not in the schema")
        return True

    def _check_alternate(self, entry, value, where):
        for member in entry["members"]:
            try:
                self.check(member["type"], value, where)
                return True
            except SchemaMismatch:
                pass
        return False


class Qmp:
    """A session.  sock is connected and becomes the session's; the greeting is read at once."""

    def __init__(self, sock, check=True, wait=WAIT):
        self.sock = sock
        self.wait = wait
        self.check = check
        self.schema = None
        self.events = []          # not taken by wait_event() yet
        self._unchecked = []      # events that came before the schema
        self._buffer = b""
        self._serial = 0
        sock.settimeout(wait)
        try:
            self.greeting = self.read()
        except BaseException:
            sock.close()
            raise

    @classmethod
    def connect(cls, path, **options):
        """A session on the socket at path, which may still be about to be made."""
        deadline = time.monotonic() + WAIT
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(path)
                return cls(sock, **options)
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def negotiate(self, oob=False):
        """Ends the negotiation, and fetches the schema to check against."""
        self.command("qmp_capabilities", **({"enable": ["oob"]} if oob else {}))
        if self.check:
            self.schema = Schema(self.command("query-qmp-schema"))
            self.schema.check_return("query-qmp-schema", list(self.schema.entries.values()))
            for event in self._unchecked:
                self.schema.check_event(event)
        return self

    # ---- bytes and texts

    def send_raw(self, data, fds=()):
        """Sends bytes, with descriptors at the first of them."""
        if fds:
            sent = socket.send_fds(self.sock, [data], list(fds))
            data = data[sent:]
        self.sock.sendall(data)

    def send(self, text, fds=()):
        """Sends a JSON value."""
        self.send_raw(json.dumps(text).encode() + b"\n", fds)

    def read(self):
        """The next text of the program, whatever it is."""
        while b"\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                raise QmpClosed(self._buffer.decode(errors="replace"))
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def read_answer(self):
        """The next text that is no event."""
        while True:
            text = self.read()
            if "event" not in text:
                return text
            self._take_event(text)

    def read_end(self):
        """Reads up to the end of the connection; the answers that came."""
        answers = []
        while True:
            try:
                answers.append(self.read_answer())
            except (QmpClosed, ConnectionResetError):
                return answers

    def _take_event(self, event):
        self.events.append(event)
        if self.schema:
            self.schema.check_event(event)
        else:
            self._unchecked.append(event)

    # ---- commands and events

    def command(self, name, /, _fds=(), _oob=False, **arguments):
        """The value that the command returns.  Names of arguments with '-' are given by `**{"fdset-id": 1}`."""
        self._serial += 1
        request = {"exec-oob" if _oob else "execute": name, "id": self._serial}
        if arguments:
            request["arguments"] = arguments
        self.send(request, _fds)
        answer = self.read_answer()
        assert answer.get("id") == self._serial, answer
        return self.result(name, answer)

    def result(self, name, answer):
        """The value of an answer to the command, checked."""
        assert set(answer) <= {"return", "error", "id"}, answer
        if "error" in answer:
            assert set(answer["error"]) == {"class", "desc"}, answer
            raise QmpError(answer["error"]["class"], answer["error"]["desc"], answer)
        if self.schema:
            self.schema.check_return(name, answer["return"])
        return answer["return"]

    def wait_event(self, name, predicate=lambda event: True):
        """The next event of the name for which predicate(event) is true; earlier ones stay in .events."""
        deadline = time.monotonic() + self.wait
        looked_at = 0
        while True:
            for event in self.events[looked_at:]:
                if event["event"] == name and predicate(event):
                    self.events.remove(event)
                    return event
            looked_at = len(self.events)
            if time.monotonic() > deadline:
                raise TimeoutError(f"no event {name}; there were {self.events}")
            text = self.read()
            assert "event" in text, f"an answer to nothing: {text}"
            self._take_event(text)

    def hmp(self, line):
        """What the monitor for people prints."""
        return self.command("human-monitor-command", **{"command-line": line})


def socketpair():
    """(a session's socket to be, descriptor for the program's command line as a socket object)."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    os.set_inheritable(theirs.fileno(), True)
    return ours, theirs
