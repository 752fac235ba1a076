# SPDX-License-Identifier: GPL-2.0-or-later
# QMP in both programs: the protocol, the commands of the monitor itself, and clients that misbehave.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Each test of the protocol runs with mpqemu and qemu-remote; those that take `peer` with stock QEMU too, so that what
is equal is seen to be equal.  Every answer and event is checked against the program's own query-qmp-schema by
tests/peers/qmp.py.
"""

import os
import select
import signal
import socket
import time

import pytest

from device_process import device_pid, held
from qmp import Qmp, WAIT, socketpair
from qmp_program import OURS, Program, fails, starter, wait_until, _ours, _paths  # noqa: F401 (fixtures)


@pytest.fixture(name="peer", params=[*OURS, "stock"])
def _peer(request, paths):
    """As ours, and stock QEMU."""
    stock = request.param == "stock"
    yield from starter(request.getfixturevalue("stock_program") if stock else paths[request.param], request.param)


def error_of(qmp, text, fds=()):
    """(class, desc) of the answer to a JSON value or bytes."""
    if isinstance(text, bytes):
        qmp.send_raw(text, fds)
    else:
        qmp.send(text, fds)
    answer = qmp.read_answer()
    assert "error" in answer, answer
    return answer["error"]["class"], answer["error"]["desc"]


# ---- the protocol, as stock QEMU has it -----------------------------------------------------------------


def test_greeting(peer):
    qmp = peer().session(negotiate=False, check=False)
    assert set(qmp.greeting) == {"QMP"}
    assert set(qmp.greeting["QMP"]) == {"version", "capabilities"}
    assert qmp.greeting["QMP"]["capabilities"] == ["oob"]
    version = qmp.greeting["QMP"]["version"]
    assert set(version) == {"qemu", "package"} and set(version["qemu"]) == {"major", "minor", "micro"}
    qmp.negotiate()
    assert qmp.command("query-version") == version


def test_negotiation_comes_first(peer):
    qmp = peer().session(negotiate=False, check=False)
    first = ("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'")
    assert error_of(qmp, {"execute": "query-version"}) == first
    assert error_of(qmp, {"execute": "nosuch"}) == first
    assert error_of(qmp, {"execute": "qmp_capabilities", "arguments": {"enable": "oob"}}) == \
        ("GenericError", "Invalid parameter type for 'enable', expected: array")
    assert error_of(qmp, {"execute": "qmp_capabilities", "arguments": {"enable": ["bad"]}})[1].endswith(
        "does not accept value 'bad'")
    assert error_of(qmp, {"execute": "qmp_capabilities", "arguments": {"x": 1}}) == \
        ("GenericError", "Parameter 'x' is unexpected")
    assert qmp.command("qmp_capabilities") == {}
    assert error_of(qmp, {"execute": "qmp_capabilities"}) == \
        ("CommandNotFound", "Capabilities negotiation is already complete, command ignored")
    assert set(qmp.command("query-status")) == {"running", "singlestep", "status"}


def test_no_events_before_negotiation(peer):
    program = peer(monitors=2)
    mute, qmp = program.session(0, negotiate=False, check=False), program.session(1, check=False)
    qmp.command("stop")
    qmp.command("cont")
    assert [event["event"] for event in qmp.events] == ["STOP", "RESUME"]
    assert mute.command("qmp_capabilities") == {}
    assert mute.events == []


def test_a_key_that_is_there_twice_is_refused_as_in_stock(peer):
    qmp = peer().session()
    for text in (b'{"execute":"query-status","execute":"quit"}',
                 b'{"execute":"qom-get","arguments":{"path":"/nosuch","path":"/machine","property":"type"}}'):
        qmp.send_raw(text)
        error = qmp.read_answer()["error"]
        assert error["class"] == "GenericError" and "duplicate key" in error["desc"]
    assert qmp.command("query-status")


@pytest.mark.parametrize("request_, wanted", [
    ({"execute": "nosuch"}, ("CommandNotFound", "The command nosuch has not been found")),
    ({"execute": "query-status", "foo": 1}, ("GenericError", "QMP input member 'foo' is unexpected")),
    ({"execute": 1}, ("GenericError", "QMP input member 'execute' must be a string")),
    ({"execute": None}, ("GenericError", "QMP input member 'execute' must be a string")),
    ({"arguments": {}}, ("GenericError", "QMP input lacks member 'execute'")),
    ({}, ("GenericError", "QMP input lacks member 'execute'")),
    ([1], ("GenericError", "QMP input must be a JSON object")),
    ({"execute": "query-status", "arguments": 1}, ("GenericError", "QMP input member 'arguments' must be an object")),
    ({"execute": "query-status", "arguments": {"a": 1}}, ("GenericError", "Parameter 'a' is unexpected")),
    ({"exec-oob": "query-status"}, ("GenericError", "QMP input member 'exec-oob' is unexpected")),
    ({"execute": "getfd"}, ("GenericError", "Parameter 'fdname' is missing")),
    ({"execute": "getfd", "arguments": {"fdname": 3}},
     ("GenericError", "Invalid parameter type for 'fdname', expected: string")),
    ({"execute": "closefd", "arguments": {"fdname": "x"}}, ("GenericError", "File descriptor named 'x' not found")),
    ({"execute": "getfd", "arguments": {"fdname": "x"}},
     ("GenericError", "No file descriptor supplied via SCM_RIGHTS")),
    ({"execute": "add-fd"}, ("GenericError", "No file descriptor supplied via SCM_RIGHTS")),
    ({"execute": "remove-fd", "arguments": {"fdset-id": 1}},
     ("GenericError", "File descriptor named 'fdset-id:1' not found")),
    ({"execute": "remove-fd", "arguments": {"fdset-id": 1, "fd": 2}},
     ("GenericError", "File descriptor named 'fdset-id:1, fd:2' not found")),
    ({"execute": "trace-event-get-state", "arguments": {"name": "nosuch"}}, ("GenericError", 'unknown event "nosuch"')),
    ({"execute": "trace-event-set-state", "arguments": {"name": "nosuch", "enable": True}},
     ("GenericError", 'unknown event "nosuch"')),
], ids=str)
def test_errors_are_stocks(peer, request_, wanted):
    qmp = peer().session(check=False)
    assert error_of(qmp, request_) == wanted
    qmp.command("query-status")


@pytest.mark.parametrize("value", [None, True, 0, -1, 1.5, "x", "\u00e4\U0001f600\n", [], {}, {"a": [1, {"b": None}]},
                                   2**62],
                         ids=str)
def test_id_comes_back(peer, value):
    qmp = peer().session(check=False)
    for command in ("query-status", "nosuch"):
        qmp.send({"execute": command, "id": value})
        answer = qmp.read_answer()
        assert "id" in answer and answer["id"] == value and type(answer["id"]) is type(value)


def test_text_that_is_no_json_is_told_and_skipped(peer):
    qmp = peer().session(check=False)
    for bad in (b"{bad}\n", b'{"a":}\n', b'{"execute":"query-status",}\n'):
        error_class, desc = error_of(qmp, bad)
        assert error_class == "GenericError" and desc.startswith("JSON parse error"), desc
        qmp.command("query-status")


def test_texts_may_be_cut_and_glued(peer):
    qmp = peer().session(check=False)
    one = b'{"execute":"query-status","id":"}{"}'
    for byte in one:
        qmp.send_raw(bytes([byte]))
    assert qmp.read_answer()["id"] == "}{"
    qmp.send_raw(b"".join(b'{"execute":"query-status","id":%d}' % i for i in range(20)))
    assert [qmp.read_answer()["id"] for _ in range(20)] == list(range(20))
    qmp.send_raw(b' \r\n\t{"execute"\n:\n"query-status"\n,"id":\n1}\n')
    assert qmp.read_answer()["id"] == 1


def test_out_of_band(peer):
    qmp = peer().session(negotiate=False, check=False)
    assert error_of(qmp, {"exec-oob": "qmp_capabilities"})[1] == "QMP input member 'exec-oob' is unexpected"
    qmp.command("qmp_capabilities", enable=["oob"])
    assert error_of(qmp, {"exec-oob": "nosuch"}) == ("CommandNotFound", "The command nosuch has not been found")
    assert error_of(qmp, {"exec-oob": "stop"}) == ("GenericError", "The command stop does not support OOB")
    assert error_of(qmp, {"exec-oob": "query-status", "execute": "query-status"})[1] == \
        "QMP input member 'execute' clashes with 'exec-oob'"
    qmp.command("query-status")


def test_stop_and_cont(peer):
    qmp = peer().session(check=False)
    assert qmp.command("query-status") == {"running": True, "singlestep": False, "status": "running"}
    for _ in range(2):
        assert qmp.command("stop") == {}
        assert qmp.command("query-status") == {"running": False, "singlestep": False, "status": "paused"}
    for _ in range(2):
        assert qmp.command("cont") == {}
        assert qmp.command("query-status")["status"] == "running"
    assert [event["event"] for event in qmp.events] == ["STOP", "RESUME"]
    assert all(set(event) == {"event", "timestamp"} for event in qmp.events)


def test_start_stopped(peer):
    qmp = peer("-S").session(check=False)
    assert qmp.command("query-status") == {"running": False, "singlestep": False, "status": "prelaunch"}
    qmp.command("stop")
    assert qmp.command("query-status")["running"] is False
    qmp.command("cont")
    assert qmp.command("query-status")["status"] == "running"
    assert qmp.wait_event("RESUME")


def test_system_reset(peer):
    qmp = peer().session(check=False)
    qmp.command("system_reset")
    event = qmp.wait_event("RESET")
    assert event["data"] == {"guest": False, "reason": "host-qmp-system-reset"}
    assert abs(event["timestamp"]["seconds"] - time.time()) < 600
    assert qmp.command("query-status")["status"] == "running"
    qmp.command("stop")
    qmp.command("system_reset")
    qmp.wait_event("RESET")
    assert qmp.command("query-status")["status"] in ("paused", "prelaunch")      # stock resets a little later
    qmp.command("cont")
    assert qmp.command("query-status")["status"] == "running"


def test_reset_of_a_stopped_machine_is_a_new_start(ours):
    qmp = ours().session()
    qmp.command("stop")
    qmp.command("system_reset")
    assert qmp.command("query-status")["status"] == "prelaunch"
    qmp.command("cont")
    assert [event["event"] for event in qmp.events] == ["STOP", "RESET", "RESUME"]


def test_quit(peer):
    program = peer()
    qmp = program.session(check=False)
    assert qmp.command("quit") == {}
    assert qmp.read_end() == []
    assert qmp.events[-1]["event"] == "SHUTDOWN"
    assert qmp.events[-1]["data"] == {"guest": False, "reason": "host-qmp-quit"}
    assert program.wait()[0] == 0


def test_signal(peer):
    program = peer()
    qmp = program.session(check=False)
    program.process.send_signal(signal.SIGTERM)
    assert qmp.wait_event("SHUTDOWN")["data"] == {"guest": False, "reason": "host-signal"}
    assert program.wait()[0] == 0


def test_name(peer):
    assert peer("-name", "vm7").session(check=False).command("query-name") == {"name": "vm7"}
    assert peer("-name", "guest=vm8,debug-threads=on").session(check=False).command("query-name") == {"name": "vm8"}
    assert peer().session(check=False).command("query-name") == {}


def test_several_sessions(peer):
    program = peer(monitors=3)
    sessions = [program.session(i, check=False) for i in range(3)]
    for i, qmp in enumerate(sessions):
        qmp.send({"execute": "query-status", "id": i})
    assert [qmp.read_answer()["id"] for qmp in sessions] == [0, 1, 2]
    sessions[0].command("stop")
    for qmp in sessions:
        qmp.wait_event("STOP")
    sessions[1].close()
    sessions[2].command("cont")
    sessions[0].wait_event("RESUME")


def test_half_closed_client_gets_its_answers(ours):
    qmp = ours().session(check=False)
    qmp.send_raw(b"".join(b'{"execute":"query-status","id":%d}' % i for i in range(50)))
    qmp.sock.shutdown(socket.SHUT_WR)
    assert [answer["id"] for answer in qmp.read_end()] == list(range(50))


def test_trace_events(peer):
    qmp = peer().session(check=False)
    events = qmp.command("trace-event-get-state", name="runstate_*")
    assert {"name": "runstate_set", "state": "disabled", "vcpu": False} in events
    qmp.command("trace-event-set-state", name="runstate_set", enable=True)
    assert qmp.command("trace-event-get-state", name="runstate_set") == \
        [{"name": "runstate_set", "state": "enabled", "vcpu": False}]
    qmp.command("trace-event-set-state", name="runstate_s*", enable=False)
    assert qmp.command("trace-event-get-state", name="runstate_set")[0]["state"] == "disabled"
    assert qmp.command("trace-event-get-state", name="nosuch*") == []
    assert qmp.command("trace-event-set-state", name="nosuch*", enable=True) == {}


# ---- descriptors ----------------------------------------------------------------------------------------


def pipe_pair():
    """(reading end, writing end), as file objects."""
    read_fd, write_fd = os.pipe()
    return os.fdopen(read_fd, "rb", 0), os.fdopen(write_fd, "wb", 0)


def is_closed(reader):
    """True when no one has the writing end any more."""
    return bool(select.select([reader], [], [], WAIT)[0]) and reader.read(1) == b""


def still_open(reader):
    return not select.select([reader], [], [], 0)[0]


def test_getfd_and_closefd(peer):
    qmp = peer().session(check=False)
    reader, writer = pipe_pair()
    with reader:
        assert qmp.command("getfd", _fds=[writer.fileno()], fdname="x") == {}
        writer.close()
        assert still_open(reader)
        assert qmp.command("closefd", fdname="x") == {}
        assert is_closed(reader)
    assert fails(qmp, "closefd", fdname="x") == ("GenericError", "File descriptor named 'x' not found")


def test_getfd_replaces(peer):
    qmp = peer().session(check=False)
    first, writer = pipe_pair()
    qmp.command("getfd", _fds=[writer.fileno()], fdname="x")
    writer.close()
    second, writer = pipe_pair()
    qmp.command("getfd", _fds=[writer.fileno()], fdname="x")
    writer.close()
    assert is_closed(first) and still_open(second)
    first.close()
    second.close()


def test_getfd_name_with_a_digit(peer):
    qmp = peer().session(check=False)
    reader, writer = pipe_pair()
    assert fails(qmp, "getfd", _fds=[writer.fileno()], fdname="1x")[0] == "GenericError"
    writer.close()
    assert is_closed(reader)
    reader.close()


def test_fdsets(peer):
    qmp = peer().session(check=False)
    readers = []
    added = []
    for arguments in ({}, {"fdset-id": 0, "opaque": "text"}, {"fdset-id": 7}, {}):
        reader, writer = pipe_pair()
        readers.append(reader)
        added.append(qmp.command("add-fd", _fds=[writer.fileno()], **arguments))
        writer.close()
    assert [info["fdset-id"] for info in added] == [0, 0, 7, 1]
    sets = {info["fdset-id"]: info["fds"] for info in qmp.command("query-fdsets")}
    assert set(sets) == {0, 1, 7}
    by_fd = {fd["fd"]: fd.get("opaque") for fd in sets[0]}
    assert by_fd == {added[0]["fd"]: None, added[1]["fd"]: "text"}
    assert qmp.command("remove-fd", **{"fdset-id": 0, "fd": added[1]["fd"]}) == {}
    assert is_closed(readers[1]) and still_open(readers[0])
    assert fails(qmp, "remove-fd", **{"fdset-id": 0, "fd": added[1]["fd"]})[1] == \
        f"File descriptor named 'fdset-id:0, fd:{added[1]['fd']}' not found"
    for number in (0, 1, 7):
        qmp.command("remove-fd", **{"fdset-id": number})
    assert qmp.command("query-fdsets") == []
    for reader in readers:
        assert is_closed(reader)
        reader.close()


def test_bad_set_numbers(ours):
    qmp = ours().session()
    reader, writer = pipe_pair()
    assert fails(qmp, "add-fd", _fds=[writer.fileno()], **{"fdset-id": -1})[0] == "GenericError"
    qmp.command("add-fd", _fds=[writer.fileno()], **{"fdset-id": 3})
    for fd in (-1, 2**31, 2**32, 2**63 - 1, -2**63):
        text = fails(qmp, "remove-fd", **{"fdset-id": 3, "fd": fd})[1]
        assert text.startswith("File descriptor named 'fdset-id:3, fd:")
    writer.close()
    assert still_open(reader)
    qmp.command("remove-fd", **{"fdset-id": 3})
    assert is_closed(reader)
    reader.close()


def test_descriptors_nobody_takes_are_closed(ours):
    program = ours()
    qmp = program.session()
    before = len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd"))
    readers = []
    for command in (b'{"execute":"query-status"}\n', b'{"execute":"nosuch"}\n', b"{bad}\n", b"\n",
                    b'{"execute":"getfd","arguments":{"fdname":"x"}}\n'):
        pairs = [pipe_pair() for _ in range(8)]
        qmp.send_raw(command, [writer.fileno() for _, writer in pairs])
        for reader, writer in pairs:
            readers.append(reader)
            writer.close()
    qmp.send_raw(b'{"execute":"query-status","id":"last"}\n')
    while qmp.read_answer().get("id") != "last":
        pass
    qmp.command("closefd", fdname="x")
    for reader in readers:
        assert is_closed(reader)
        reader.close()
    assert len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd")) == before


def test_more_descriptors_than_a_command_may_have(ours):
    program = ours()
    qmp = program.session()
    pairs = [pipe_pair() for _ in range(30)]
    qmp.send_raw(b'{"execute":"add-fd","id":1}\n', [writer.fileno() for _, writer in pairs])
    assert "return" in qmp.read_answer()
    for _, writer in pairs:
        writer.close()
    assert still_open(pairs[0][0])
    for reader, _ in pairs[1:]:
        assert is_closed(reader)


def test_descriptors_of_a_text_that_comes_in_pieces(ours):
    qmp = ours().session()
    reader, writer = pipe_pair()
    qmp.send_raw(b'{"execute":', [writer.fileno()])
    writer.close()
    qmp.send_raw(b'"getfd",')
    qmp.send_raw(b'"arguments":{"fdname":"x"}}')
    assert qmp.read_answer() == {"return": {}}
    assert still_open(reader)
    qmp.command("closefd", fdname="x")
    assert is_closed(reader)
    reader.close()


def test_each_byte_of_a_text_brings_descriptors(ours):
    program = ours()
    qmp = program.session()
    before = len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd"))
    reader, writer = pipe_pair()
    for byte in b'{"execute":"query-status","arguments":{}}':
        qmp.send_raw(bytes([byte]), [writer.fileno()] * 8)
    assert "return" in qmp.read_answer()
    writer.close()
    assert is_closed(reader)
    reader.close()
    assert len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd")) == before


def test_descriptors_left_with_us_are_bounded(ours):
    qmp = ours().session()
    with open("/dev/null", "rb") as null:
        for i in range(512):
            if i % 2:
                qmp.command("getfd", _fds=[null.fileno()], fdname=f"n{i}")
            else:
                qmp.command("add-fd", _fds=[null.fileno()])
        for name, arguments in (("getfd", {"fdname": "more"}), ("add-fd", {})):
            assert "512" in fails(qmp, name, _fds=[null.fileno()], **arguments)[1]
        qmp.command("closefd", fdname="n1")
        qmp.command("getfd", _fds=[null.fileno()], fdname="more")


def test_session_with_descriptors_ends(ours):
    program = ours(monitors=2)
    qmp, other = program.session(0), program.session(1)
    before = len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd"))
    reader, writer = pipe_pair()
    qmp.send_raw(b'{"execute":', [writer.fileno()])
    writer.close()
    qmp.close()
    assert is_closed(reader)
    reader.close()
    other.command("query-status")
    assert len(os.listdir(f"/proc/{device_pid(program.process.pid)}/fd")) == before - 1


# ---- the schema -----------------------------------------------------------------------------------------


def test_schema_tells_the_commands_and_no_more(ours):
    qmp = ours().session()
    commands = {info["name"] for info in qmp.command("query-commands")}
    assert commands == qmp.schema.names("command")
    assert {"qmp_capabilities", "query-version", "query-commands", "query-qmp-schema", "query-status", "query-name",
            "stop", "cont", "system_reset", "quit", "getfd", "closefd", "add-fd", "remove-fd", "query-fdsets",
            "human-monitor-command", "trace-event-get-state", "trace-event-set-state"} <= commands
    assert qmp.schema.unreachable() == set()
    assert {"SHUTDOWN", "RESET", "STOP", "RESUME", "DEVICE_DELETED", "BLOCK_IO_ERROR", "DEVICE_TRAY_MOVED",
            "REMOTE_STATE"} <= qmp.schema.names("event")
    for name in sorted(commands):
        qmp.send({"execute": name, "arguments": {"no-such-member": 1}})
        answer = qmp.read_answer()
        if "open" not in qmp.schema.entries[qmp.schema.entries[name]["arg-type"]].get("features", ()):
            assert "error" in answer, (name, answer)


def same_shape(ours, stock, mine, theirs, seen=None):
    """Whether type `mine` is a part of type `theirs`: its members are stock's, and stock's others may be left out."""
    seen = seen or set()
    if (mine, theirs) in seen:
        return
    seen.add((mine, theirs))
    a, b = ours.entries[mine], stock.entries[theirs]
    assert a["meta-type"] == b["meta-type"], (a, b)
    if a["meta-type"] == "builtin":
        assert a["json-type"] == b["json-type"], (a, b)
    elif a["meta-type"] == "enum":
        assert set(a["values"]) <= set(b["values"]), set(a["values"]) - set(b["values"])
    elif a["meta-type"] == "array":
        same_shape(ours, stock, a["element-type"], b["element-type"], seen)
    elif a["meta-type"] == "object":
        other = {member["name"]: member for member in b["members"]}
        for member in a["members"]:
            assert member["name"] in other, (member, b)
            assert ("default" in member) == ("default" in other[member["name"]]), (member, b)
            same_shape(ours, stock, member["type"], other.pop(member["name"])["type"], seen)
        assert all("default" in member for member in other.values()), other
        cases = {variant["case"] for variant in b.get("variants", ())}
        assert {variant["case"] for variant in a.get("variants", ())} <= cases


# What is ours, or more than stock's, on purpose.
OUR_COMMANDS = {"drive_add", "drive_del", "rdevice_add", "rdevice_del", "rdrive_add", "rdrive_del", "rblock_resize",
                "remote_restart", "query-remote", "query-sandbox", "x-query-registers"}
OUR_EVENTS = {"EVENTS_LOST", "REMOTE_LINK_STATE", "REMOTE_STATE", "SCSI_BUS_RESET_WATCH"}


def test_shapes_are_stocks(ours, stock_program):
    mine = ours().session().schema
    with Program(stock_program, "stock") as program:
        theirs = program.session().schema
    for name in sorted(mine.names("command") - OUR_COMMANDS - {"query-qmp-schema", "object-add", "blockdev-add"}):
        for key in ("arg-type", "ret-type"):
            same_shape(mine, theirs, mine.entries[name][key], theirs.entries[name][key])
    for name in sorted(mine.names("event") - OUR_EVENTS - {"BLOCK_IO_ERROR", "DEVICE_TRAY_MOVED"}):     # with a rid
        same_shape(mine, theirs, mine.entries[name]["arg-type"], theirs.entries[name]["arg-type"])


# ---- clients that misbehave -----------------------------------------------------------------------------


def test_only_json_is_read_as_json(ours):
    qmp = ours().session()
    for bad in (b"'x'", b'{"id":010,"execute":"query-status"}', b'{"id":0x10,"execute":"query-status"}',
                b'{"execute":"query-status"} // comment', b'{"execute":"a\\u0000b"}', b'{"execute":"a\\qb"}',
                b'{"execute":"\x01"}',
                b'{"execute":"\xff"}', b'{"id":1e999,"execute":"query-status"}', b"}", b"]", b"\x00", b"\xff\xfe",
                b'{"execute":"query-status","id":NaN}'):
        qmp.send_raw(bad + b"\n")
        answers = [qmp.read_answer()]
        if "return" in answers[0]:
            answers.append(qmp.read_answer())       # a good text, then a comment
        assert answers[-1]["error"]["class"] == "GenericError", (bad, answers)
        qmp.command("query-status")


def test_text_beyond_the_limits(ours):
    qmp = ours().session()
    long_id = "x" * (1 << 19)
    qmp.send({"execute": "query-status", "id": long_id})
    assert qmp.read_answer()["id"] == long_id
    for text in (b'{"id":"' + b"x" * (1 << 20) + b'"}\n', b'{"id":' + b"[" * 100 + b"]" * 100 + b"}\n",
                 b'{"id":[' + b"0," * 40000 + b"0]}\n", b"[" * 100000 + b"\n"):
        assert error_of(qmp, text)[1].startswith("JSON parse error")
        qmp.command("query-status")


def test_garbage(ours):
    program = ours(monitors=2)
    qmp, other = program.session(0), program.session(1)
    state = 12345
    garbage = bytearray()
    for _ in range(1 << 17):
        state = (state * 1103515245 + 12345) & 0x7fffffff
        garbage.append(state >> 16 & 0xff)
    qmp.sock.settimeout(0)
    view = memoryview(bytes(garbage))
    deadline = time.monotonic() + WAIT
    while view and time.monotonic() < deadline:
        readable, writable, _ = select.select([qmp.sock], [qmp.sock], [], 1)
        if readable:
            qmp.sock.recv(1 << 16)
        if writable:
            view = view[qmp.sock.send(view[:4096]):]
    assert not view
    assert other.command("query-status")["running"]


def flood(sock, data, seconds=3):
    """Sends data over and over without reading until nothing more goes in."""
    sock.settimeout(0)
    sent, stuck = 0, time.monotonic()
    while time.monotonic() - stuck < seconds:
        try:
            sent += sock.send(data)
            stuck = time.monotonic()
            assert sent < 1 << 26, "the flood never stops"
        except BlockingIOError:
            select.select([], [sock], [], 0.05)
    return sent


def memory_of(pid):
    """Resident memory in bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_client_that_never_reads(ours):
    """It fills what it is given, then is not read any more; the others do not notice, and it can come back."""
    program = ours(monitors=2)
    qmp, other = program.session(0), program.session(1)
    before = memory_of(device_pid(program.process.pid))
    command = b'{"execute":"query-qmp-schema"}\n'
    sent = flood(qmp.sock, command)
    assert other.command("query-status")["running"]
    assert memory_of(device_pid(program.process.pid)) < before + (96 << 20)
    assert sent < 1 << 22
    qmp.sock.settimeout(WAIT)
    for _ in range(sent // len(command)):
        assert "return" in qmp.read_answer()


def test_events_that_a_client_does_not_read_are_lost_and_told(ours):
    program = ours(monitors=2)
    qmp, other = program.session(0), program.session(1)
    deadline = time.monotonic() + 2 * WAIT
    sent = 0
    # A MiB and what the socket holds: then the first is lost.
    for _ in range(12000):
        other.send_raw(b'{"execute":"stop"}{"execute":"cont"}')
        for _ in range(2):
            assert "return" in other.read_answer()
        sent += 2
        assert time.monotonic() < deadline
        other.events.clear()
    other.command("query-status")
    lost = qmp.wait_event("EVENTS_LOST")
    received = len(qmp.events)
    qmp.events.clear()
    assert lost["data"]["count"] > 0
    assert received + lost["data"]["count"] == sent
    other.command("stop")
    qmp.wait_event("STOP")


def test_flood_of_commands_leaves_room_for_others(ours):
    """A client that sends as fast as it can, and reads, against another's single commands."""
    program = ours(monitors=2)
    fast, slow = program.session(0), program.session(1)
    pid = os.fork()
    if pid == 0:
        try:
            fast.sock.settimeout(0)
            data = b'{"execute":"query-commands"}' * 200
            while True:
                readable, writable, _ = select.select([fast.sock], [fast.sock], [])
                if readable and not fast.sock.recv(1 << 20):
                    os._exit(0)
                if writable:
                    try:
                        fast.sock.send(data)
                    except BlockingIOError:
                        pass
        finally:
            os._exit(1)
    try:
        for _ in range(200):
            assert slow.command("query-status")["running"]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_client_that_vanishes_anywhere(ours):
    text = b'{"execute":"qmp_capabilities"}{"execute":"query-qmp-schema"}{"execute":"query-commands","id":1}'
    program = ours(monitors=24)
    last = program.session(23)
    for i in range(23):
        sock = program.ends[i]
        sock.sendall(text[:i * len(text) // 22])
        if i % 3 == 0:
            sock.recv(10)
        sock.close()
    last.command("query-status")
    pid = device_pid(program.process.pid)
    own = 2 if program.name == "mpqemu" else 1      # the last session's; mpqemu's to its spawner

    def sockets():
        return [target for target in held(pid).values() if target.startswith("socket:")]
    wait_until(lambda: len(sockets()) == own, "the sockets of clients that left are closed")


def test_client_that_stops_reading_in_one_direction(ours):
    program = ours(monitors=2)
    qmp, other = program.session(0), program.session(1)
    qmp.sock.shutdown(socket.SHUT_RD)
    qmp.send({"execute": "query-status"})
    assert other.command("query-status")["running"]


def test_description_shared_with_a_launcher_blocks(paths):
    """O_NONBLOCK belongs to the open file description, which the launcher shares here: we neither set nor need it."""
    for name in OURS:
        sock, theirs = socketpair()
        with theirs, Program(paths[name], name, "-chardev", f"socket,id=x,fd={theirs.fileno()}", "-mon",
                             "x,mode=control", pass_fds=[theirs.fileno()]) as program:
            with Qmp(sock) as qmp:
                qmp.negotiate()
                flood(qmp.sock, b'{"execute":"query-commands"}\n', seconds=1)
                assert program.session().command("query-status")["running"]
                assert theirs.getblocking() and os.get_blocking(theirs.fileno())
