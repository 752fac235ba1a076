#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Stands in the middle of a device link and does harm to chosen messages.
# Runs in: neither program; between a main emulator and a device process, ours or stock.
"""A link that delays, drops, cuts, doubles, swaps and corrupts messages, or ends.

Theory of operation

Each direction, to-remote (requests) and to-main (replies), counts its messages from 1.  A rule is ACTION@WHEN:

  delay=MS          keep the message, and all behind it in both directions, for MS milliseconds
  drop              do not send it
  truncate=BYTES    send its first BYTES bytes only; what comes next follows right behind
  duplicate         send it twice, with its descriptors
  swap              send it behind the next message of its direction
  corrupt=OFFSET    invert the bits of the byte at OFFSET (0: command, 8: size, 16: payload); nothing beyond its end
  close             end the link in front of it
  kill              kill the remote's process (SIGKILL) in front of it

  @N                the Nth message
  @every:K          each Kth
  @random:PERCENT   by chance, the same for the same --seed
  @command:C:N      the Nth message with command number C (docs/interop/mpqemu-link.rst)

Several rules may hit one message; they are applied in their order.  A message that is longer than the protocol allows
ends the link: the shim could not tell the next one.

By hand it starts the programs, or takes over sockets that it has inherited:

  link_shim.py --to-main delay=200@every:10 --remote 'qemu-remote -device lsi53c895a,id=lsi0 ...
      -object x-remote-object,id=r0,devid=lsi0,fd={fd}' --main 'qemu-system-x86_64 ... -device x-pci-proxy-dev,fd={fd}'
  link_shim.py --to-remote drop@20 --remote fd:5 --main fd:6
"""

import argparse
import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import threading

import relay

DIRECTIONS = ("to-remote", "to-main")
ACTIONS = {"delay": True, "drop": False, "truncate": True, "duplicate": False, "swap": False, "corrupt": True,
           "close": False, "kill": False}    # whether there is a number


class Rule:
    """One rule; raises ValueError for a text that is none.  hits: messages that it has hit."""

    def __init__(self, direction, text):
        self.direction, self.text, self.hits = direction, text, 0
        action, at, when = text.partition("@")
        self.action, equals, number = action.partition("=")
        if direction not in DIRECTIONS or not at or self.action not in ACTIONS \
                or bool(equals) != ACTIONS[self.action]:
            raise ValueError(f"{text!r} is no rule; see --help")
        self.number = int(number) if equals else 0
        words = when.split(":")
        self.kind = words[0] if len(words) > 1 else "number"
        self.when = [int(word) for word in (words[1:] if len(words) > 1 else words)]
        if {"number": 1, "every": 1, "random": 1, "command": 2}.get(self.kind) != len(self.when) \
                or self.number < 0 or min(self.when) < 0 or (self.kind == "every" and self.when[0] == 0):
            raise ValueError(f"{text!r}: {when!r} is no message; use N, every:K, random:PERCENT or command:C:N")
        self._seen = 0

    def is_hit(self, count, command, rng):
        """Whether the COUNTth message of its direction is meant; called once for each."""
        if self.kind == "command":
            self._seen += command == self.when[0]
            hit = command == self.when[0] and self._seen == self.when[1]
        elif self.kind == "random":
            hit = rng.random() * 100 < self.when[0]
        else:
            hit = count % self.when[0] == 0 if self.kind == "every" else count == self.when[0]
        self.hits += hit
        return hit


class FaultyLink(relay.LinkRelay):
    """A relay with rules.

    rules     Rule objects
    on_kill   called for "kill"
    seed      of random rules
    counts    messages so far, by direction
    """

    def __init__(self, main, remote, rules, on_kill=None, seed=0):
        super().__init__(main, remote, lambda *fds: [os.close(fd) for fd in fds])
        self.rules, self.counts = rules, dict.fromkeys(DIRECTIONS, 0)
        self._on_kill, self._rng = on_kill, random.Random(seed)
        self._swapped = {}              # direction -> messages that wait for the next one
        self._stopping = threading.Event()

    def arm(self, *rules):
        """Rules of the next message from now on, in the place of all there are: pairs of direction and action."""
        self.rules = [Rule(direction, f"{action}@{self.counts[direction] + 1}") for direction, action in rules]

    def stop(self):
        self._stopping.set()
        super().stop()

    def run(self):
        super().run()
        for messages in self._swapped.values():
            for _, fds in messages:
                for fd in fds:
                    os.close(fd)

    def _forward_request(self):
        self._forward("to-remote", self._main, self._remote)
        self.messages += 1

    def _forward_reply(self):
        self._forward("to-main", self._remote, self._main)

    def _forward(self, direction, source, target):
        command, data, fds = relay.receive_message(source)
        self.counts[direction] += 1
        waiting, copies = self._swapped.pop(direction, []), 1
        try:
            for rule in self.rules:
                if rule.direction == direction and rule.is_hit(self.counts[direction], command, self._rng):
                    data, copies = self._apply(rule, data, copies)
            if copies == "swap":
                self._swapped[direction], fds = [(data, fds)], []
                copies = 0
            for _ in range(copies):
                if data:
                    relay.send_message(target, data, fds)
            for late, late_fds in waiting:
                relay.send_message(target, late, late_fds)
        finally:
            for fd in [*fds, *(fd for _, late_fds in waiting for fd in late_fds)]:
                os.close(fd)

    def _apply(self, rule, data, copies):
        """The bytes to be sent, and how often (or "swap")."""
        if rule.action == "delay":
            self._stopping.wait(rule.number / 1000)
        elif rule.action == "drop":
            copies = 0
        elif rule.action == "truncate":
            data = data[:rule.number]
        elif rule.action == "duplicate":
            copies = 2
        elif rule.action == "swap":
            copies = "swap"
        elif rule.action == "corrupt" and rule.number < len(data):
            data = data[:rule.number] + bytes([data[rule.number] ^ 0xff]) + data[rule.number + 1:]
        elif rule.action == "kill":
            self._on_kill()
        elif rule.action == "close":
            raise ConnectionResetError("by a rule")
        return data, copies


# ------------------------------------------------------------------------------------- by hand

def _endpoint(text, processes):
    """The shim's socket to one side, whose program is started unless TEXT is fd:N."""
    if text.startswith("fd:"):
        return socket.socket(fileno=int(text[3:]))
    ours, theirs = socket.socketpair()
    words = [word.replace("{fd}", str(theirs.fileno())) for word in shlex.split(text)]
    processes.append(subprocess.Popen(words, pass_fds=[theirs.fileno()]))
    theirs.close()
    return ours


def main():
    """Forward until the link ends; then wait for the programs, and tell what the rules have hit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to-remote", action="append", default=[], metavar="RULE", help="a rule for requests")
    parser.add_argument("--to-main", action="append", default=[], metavar="RULE", help="a rule for replies")
    parser.add_argument("--seed", type=int, default=0, help="of random rules")
    for side in ("remote", "main"):
        parser.add_argument("--" + side, required=True, metavar="COMMAND|fd:N",
                            help=f"the {side}'s command line, with {{fd}} for its end of the link; or our end of it")
    options = parser.parse_args()
    try:
        rules = [Rule(direction, text) for direction, texts in
                 (("to-remote", options.to_remote), ("to-main", options.to_main)) for text in texts]
    except ValueError as error:
        parser.error(str(error))
    if options.remote.startswith("fd:") and any(rule.action == "kill" for rule in rules):
        parser.error("kill: the shim must have started the remote; use close")
    processes = []
    remote = _endpoint(options.remote, processes)
    link = FaultyLink(_endpoint(options.main, processes), remote, rules, lambda: processes[0].kill(), options.seed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: [process.terminate() for process in processes])
    link.start()
    link.join()
    link.stop()
    for rule in rules:
        print(f"link_shim: {rule.direction} {rule.text}: {rule.hits} of {link.counts[rule.direction]} messages",
              file=sys.stderr)
    for process in processes:
        process.wait()


if __name__ == "__main__":
    main()
