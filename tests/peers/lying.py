# SPDX-License-Identifier: GPL-2.0-or-later
# Ways in which a device's process can break the mpqemu link's protocol.
# Runs in: neither program; stands in for a hostile remote.
"""Behaviours for mpqemu_link.LinkServer.behave().

Each is called as BEHAVIOUR(server, message, honest): the request, and the bytes that an honest server would answer. It
sends something else, or nothing.
"""

import os
import socket
import time

from mpqemu_link import FAILED, RET, memfd, pack, pack_ret


def never_reply(_server, _message, _honest):
    """Silence."""


def hang_up(server, _message, _honest):
    """The end of the link instead of an answer."""
    server.stream.sock.shutdown(socket.SHUT_RDWR)


def half_reply(server, _message, honest):
    """The first half of the answer, then silence."""
    server.stream.send(honest[:len(honest) // 2])


def half_reply_then_hang_up(server, message, honest):
    """The end of the link inside the answer."""
    half_reply(server, message, honest)
    hang_up(server, message, honest)


def wrong_command(server, message, _honest):
    """The request itself for an answer."""
    server.stream.send(pack(message.cmd, message.payload))


def wrong_size(server, _message, _honest):
    """A RET of 4 bytes."""
    server.stream.send(pack(RET, bytes(4)))


def huge_size(server, _message, _honest):
    """A RET that announces 2^64 - 1 bytes."""
    server.stream.send(pack(RET, b"", FAILED) + bytes(8))


def empty_reply(server, _message, _honest):
    """A RET without a value."""
    server.stream.send(pack(RET))


def two_replies(server, _message, honest):
    """The answer twice."""
    server.stream.send(honest + honest)


def extra_fds(server, _message, honest, count=1):
    """The answer with descriptors."""
    fds = [memfd(4096) for _ in range(count)]
    server.stream.send(honest, fds)
    for fd in fds:
        os.close(fd)


def garbage(server, _message, _honest):
    """Bytes that are no message."""
    server.stream.send(b"\xa5" * 64)


def drip(server, _message, honest):
    """The answer, one byte each 50 ms."""
    for i in range(len(honest)):
        server.stream.send(honest[i:i + 1])
        time.sleep(0.05)


def failed(server, _message, _honest):
    """RET with all ones: the access failed."""
    server.stream.send(pack_ret(FAILED))


def value_of(value):
    """A behaviour that always answers VALUE."""
    return lambda server, _message, _honest: server.stream.send(pack_ret(value))
