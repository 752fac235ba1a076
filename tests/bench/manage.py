# SPDX-License-Identifier: GPL-2.0-or-later
# How long monitors wait for remotes that are in trouble, and how fast a death is noticed and mended.
# Runs in: neither program; starts both programs and stock QEMU.
"""Figures of managing remote processes: the rows of `scripts/bench --only manage`.

A monitor's wait is measured by a client that asks query-status again and again while something else goes on; the worst
answer counts, since that is what a user of the monitor may meet.
"""

import os
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for _directory in ("../peers", "../qtest"):
    sys.path.insert(0, os.path.join(HERE, _directory))

from managed import PATIENCE, Asker, Managed, image    # noqa: E402  (needs the paths above)
from qmp import Qmp                                    # noqa: E402


def ours(main_program, remote_program, directory):
    """A machine with one remote that is easily stopped."""
    return Managed(main_program, directory, "-remote", f"rid=r,exec={remote_program},timeout=1500,heartbeat-limit=3000",
                   "-rdrive", f"rid=r,id=d0,file={image(directory / 'disk')},format=raw",
                   "-rdevice", "lsi53c895a,rid=r,id=lsi0", "-rdevice", "scsi-hd,rid=r,id=hd0,drive=d0,bus=lsi0.0",
                   status=None)


def while_stopped(machine, what, seconds=1.0):
    """The worst wait in ms while the remote is stopped and WHAT(machine) goes on."""
    pid = machine.remotes()["r"]["pid"]
    asker = Asker(machine.path)
    os.kill(pid, signal.SIGSTOP)
    what(machine)
    time.sleep(seconds)
    worst = asker.worst_ms()
    os.kill(pid, signal.SIGCONT)
    return worst


def read_register(machine):
    machine.q.send("readl 0xe0000034")


def hot_plug(machine):
    other = machine.connect()
    other.send({"execute": "rdevice_add", "arguments": {"rid": "r", "driver": "lsi53c895a", "id": "lsi1"}})


def reset(machine):
    machine.qmp.command("system_reset")


def plug_silent(machine):
    """device_add of a proxy whose peer never answers."""
    pair = socket.socketpair()
    machine.kept = pair
    machine.qmp.command("getfd", _fds=[pair[1].fileno()], fdname="silent")
    other = machine.connect()
    other.send({"execute": "device_add", "arguments": {"driver": "pci-proxy-dev", "id": "p", "fd": "silent"}})


def monitor_rows(main_program, remote_program, directory, rounds):
    """{row: worst ms of all rounds} of our main emulator."""
    rows = {}
    for name, what in (("idle, remote stopped", lambda machine: None), ("guest reads a register of it", read_register),
                       ("rdevice_add into it", hot_plug), ("system_reset", reset),
                       ("device_add with a silent peer", plug_silent)):
        for _ in range(rounds):
            with ours(main_program, remote_program, directory) as machine:
                machine.lsi()
                rows[name] = max(rows.get(name, 0.0), while_stopped(machine, what))
    return rows


def stock_pair(stock, directory):
    """(main emulator, remote, its qtest socket, path of its QMP socket) of stock QEMU, with lsi0 mapped in slot 4."""
    ours_end, theirs = socket.socketpair()
    qmp, qtest = str(directory / "stock-qmp"), str(directory / "stock-qtest")
    with ours_end, theirs:
        remote = subprocess.Popen([stock, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device",
                                   "lsi53c895a,id=lsi0", "-object",
                                   f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
                                  pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
        # No CPU runs (-S): a test program plays the guest. Debian's build has no accelerator for that, but TCG will do.
        main = subprocess.Popen([stock, "-accel", "tcg", "-S", "-nodefaults", "-display", "none",
                                 "-object", "memory-backend-memfd,id=m,size=64M", "-machine", "pc,memory-backend=m",
                                 "-qmp", f"unix:{qmp},server=on,wait=off", "-qmp", f"unix:{qmp}2,server=on,wait=off",
                                 "-qtest", f"unix:{qtest},server=on,wait=off",
                                 "-device", f"x-pci-proxy-dev,id=lsi0,addr=4,fd={ours_end.fileno()}"],
                                pass_fds=[ours_end.fileno()], stderr=subprocess.DEVNULL)
    Qmp.connect(qmp + "2", check=False).close()
    time.sleep(0.5)             # a stock remote resets its device at the end of its start
    guest = socket.socket(socket.AF_UNIX)
    guest.connect(qtest)
    for line in ("outl 0xcf8 0x80002014", "outl 0xcfc 0xe0000000", "outl 0xcf8 0x80002004", "outw 0xcfc 0x6"):
        guest.sendall(line.encode() + b"\n")
        assert guest.recv(100).startswith(b"OK")
    return main, remote, guest, qmp


def stock_rows(stock, directory):
    """The same for stock's main emulator, where it can be asked: {row: ms}; PATIENCE means given up."""
    rows = {}
    for name in ("guest reads a register of it", "system_reset"):
        main, remote, guest, path = stock_pair(stock, directory)
        try:
            asker = Asker(path)
            other = Qmp.connect(path + "2", check=False).negotiate()
            os.kill(remote.pid, signal.SIGSTOP)
            if name == "system_reset":
                other.send({"execute": "system_reset"})
            else:
                guest.sendall(b"readl 0xe0000034\n")
            time.sleep(1)
            rows[name] = asker.worst_ms()
        finally:
            for process in (main, remote):
                process.kill()
                process.wait()
            guest.close()
    return rows


def death_rows(main_program, remote_program, directory, count):
    """Milliseconds from kill(2) to the event, and to a device that answers again: {row: (median, worst)}."""
    noticed, mended = [], []
    with ours(main_program, remote_program, directory) as machine:
        machine.lsi()
        for _ in range(count):
            pid = machine.remotes()["r"]["pid"]
            machine.qmp.events.clear()
            start = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            machine.wait_event("REMOTE_STATE", to="dead")
            noticed.append((time.monotonic() - start) * 1e3)
            start = time.monotonic()
            machine.qmp.command("remote_restart", rid="r")
            mended.append((time.monotonic() - start) * 1e3)
            assert machine.q.pci_read(2, 0, 4) == 0x00121000
    return {"SIGKILL to the event": (statistics.median(noticed), max(noticed)),
            "remote_restart to a device that answers": (statistics.median(mended), max(mended))}


def report(main_program, remote_program, stock, directory, rounds):
    """Prints the tables."""
    mine = monitor_rows(main_program, remote_program, directory, rounds)
    theirs = stock_rows(stock, directory)
    print(f"\nworst wait of a monitor while a remote is stopped (ms, of {rounds} rounds; lower is better)")
    print(f"  {'':<44}{'stock main':>16}{'our main':>16}")
    for row, value in mine.items():
        other = "-" if row not in theirs else f"> {PATIENCE * 1e3:.0f}" if theirs[row] >= PATIENCE * 1e3 \
            else f"{theirs[row]:.1f}"
        print(f"  {row:<44}{other:>16}{value:>16.1f}")
    print("\nend and new beginning of a remote process (ms; median and worst of 50)")
    for row, (median, worst) in death_rows(main_program, remote_program, directory, 50).items():
        print(f"  {row:<44}{median:>16.2f}{worst:>16.2f}", flush=True)
