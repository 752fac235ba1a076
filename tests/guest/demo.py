#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# The demonstration behind scripts/demo: a Linux guest in mpqemu on a disk in a process of its own, told step by step.
# Runs in: neither program; starts mpqemu, which starts qemu-remote.
"""Boots Debian's kernel in mpqemu, with its SCSI controller and disks in a sandboxed qemu-remote, and shows what
happens: checked I/O, a disk that is plugged in, a device process that is killed and comes back."""

import argparse
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for _directory in ("tests/guest", "tests/peers", "tests/functional"):
    sys.path.insert(0, os.path.join(TOP, _directory))

import disks        # noqa: E402  (needs the paths above)
import guest_image  # noqa: E402
from device_process import device_pid  # noqa: E402
from qmp import Qmp  # noqa: E402
from witness import Console  # noqa: E402

BOOT_SECONDS = 240
# Each step is a script of the guest's; "ask" makes this program act, by the table below.
STEPS = {
    "find the controller and its disk": (
        # The driver's pause of 3 s after it has reset the bus is used to load the file system's modules.
        "dmesg -n 1; modprobe sd_mod; modprobe sym53c8xx & load_ext4; wait; wait_devices 1\n"
        "echo \"driver: $(cat /sys/class/scsi_host/host*/proc_name)\"; lsscsi"),
    "make a file system and mount it": (
        "mkfs.ext4 -q $(disk 0) 2>/dev/null && mount -t ext4 $(disk 0) /mnt && df -h /mnt | tail -1"),
    "write 4 MiB and read them back after dropping caches": (
        "dd if=/dev/urandom of=/mnt/data bs=1M count=4 2>&1 | tail -1\n"
        "sha256sum /mnt/data >/tmp/sum && drop_caches && sha256sum -c /tmp/sum"),
    "plug in a second disk while the guest runs": (
        "ask second-disk; rescan; wait_devices 2; lsscsi; dd if=$(disk 1) bs=1M 2>/dev/null | sha256sum"),
    "kill the device process under a read": (
        # The new controller tells of a bus reset; the driver pauses for its 3 s, then sends the lost commands again.
        "drop_caches; sha256sum -c /tmp/sum >/tmp/result 2>&1 & ask kill; wait; cat /tmp/result\n"
        "dmesg | grep 'SCSI BUS' | tail -2; grep -q OK /tmp/result"),
    "use both disks afterwards": (
        "echo 'written by the guest' >/mnt/hello && sync && drop_caches && sha256sum -c /tmp/sum && "
        "dd if=$(disk 1) bs=1M 2>/dev/null | sha256sum"),
    "count the interrupts": "grep sym53c8xx /proc/interrupts; umount /mnt",
}
SHELL_STEP = {"shell": (86400, "mount $(disk 0) /mnt; ask shell; echo 'The disk is mounted on /mnt again.  "
                               "Ctrl-] leaves the guest; \"poweroff -f\" ends it.'; setsid cttyhack sh -i")}


STARTED = time.monotonic()
QUIET_SECONDS = 3   # nothing was said for so long: say what is going on


def elapsed():
    return time.monotonic() - STARTED


def say(text):
    print(text, flush=True)


def tell(text):
    """A line with the time since the start."""
    say(f"{elapsed():5.1f} s  {text}")


def verdict(good):
    return "ok" if good else "FAILED"


def process_line(name, pid):
    """One line about a running process, as ps would show it, and what it may still do."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    left = "system calls filtered" if fields["Seccomp"] == "2" else "not confined"
    if len(fields["NSpid"].split()) > 1:
        left += ", own namespaces"
    return (f"  {name:<28} pid {pid:<7} threads {fields['Threads']:<3} uid {fields['Uid'].split()[0]:<6} "
            f"resident {int(fields.get('VmRSS', '0').split()[0]) // 1024:>4} MiB  {left}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listing:
        return [int(child) for child in listing.read().split()]


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
        return comm.read().strip()


def show_tree(pid, depth=0):
    """The processes below PID, each with its confinement."""
    say(process_line("  " * depth + name_of(pid), pid))
    for child in children(pid):
        show_tree(child, depth + 1)


class Demo:
    """The machine, what the guest has asked for, and what was shown already."""

    def __init__(self, options, rundir, images, boot):
        self.images, self.failed, self.shown = images, False, set()
        self.qmp_path, asks_path = os.path.join(rundir, "qmp"), os.path.join(rundir, "asks")
        self.log_path = os.path.join(rundir, "main.log")
        self.last_word = elapsed()
        self.killed = self.recovery = None     # seconds from the kill to the end of the read that it hit
        self.command = [options.main, "-name", "demo", "-machine", "pc", "-m", "512", "-nodefaults", "-display", "none",
                   "-accel", options.accel, "-no-reboot", "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                   "-serial", "stdio", "-serial", f"unix:{asks_path},server=on,wait=off", *boot,
                   "-remote", "rid=disks,on-death=restart",
                   "-rdrive", f"id=d0,file={images[0]},format=raw,rid=disks",
                   "-rdevice", "lsi53c895a,id=lsi0,rid=disks",
                   "-rdevice", "scsi-hd,id=hd0,drive=d0,bus=lsi0.0,scsi-id=0,rid=disks"]
        with open(self.log_path, "wb") as log:
            self.main = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self.console = Console(self.main.stdout)
        self.qmp = Qmp.connect(self._wait_socket(self.qmp_path), check=False)
        self.qmp.negotiate()
        self.asks = socket.socket(socket.AF_UNIX)
        self.asks.connect(self._wait_socket(asks_path))

    def _wait_socket(self, path):
        deadline = time.monotonic() + 20
        while not os.path.exists(path):
            if self.main.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("mpqemu did not start:\n" + self.log())
            time.sleep(0.01)
        return path

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def remote_pid(self):
        return self.qmp.command("query-remote")[0]["pid"]

    # ---------------------------------------------------------------- what the guest asks for

    def second_disk(self):
        say("  host: rdrive_add disks d1, rdevice_add scsi-hd: the image goes to the device process as a descriptor")
        self.qmp.hmp(f"rdrive_add disks d1 file={self.images[1]},format=raw")
        self.qmp.command("rdevice_add", driver="scsi-hd", id="hd1", rid="disks", drive="d1", bus="lsi0.0",
                         **{"scsi-id": 1})

    def kill(self):
        pid = self.remote_pid()
        self.qmp.command("query-status")        # takes the events of before
        self.qmp.events.clear()
        say(f"  host: kill -9 {pid}, the device process")
        killed = time.monotonic()
        os.kill(device_pid(pid), signal.SIGKILL)
        for state in ("dead", "ready"):
            data = self.qmp.wait_event("REMOTE_STATE", lambda event, to=state: event["data"]["to"] == to)["data"]
            milliseconds = 1000 * (time.monotonic() - killed)
            say(f"  monitor, {milliseconds:.0f} ms later: REMOTE_STATE {data['id']}: {data['from']} -> {data['to']}"
                + (f", {data['reason']}" if "reason" in data else ""))
        say(f"  host: its images and options have gone to a new one, pid {self.remote_pid()}, as on-death=restart says")
        self.killed = killed

    def shell(self):
        forward_terminal(self)

    def serve_asks(self, text):
        """Do what the guest has asked for since the last call."""
        for action in ("second-disk", "kill", "shell"):
            if f"@@please {action}\n" in text.replace("\r", "") and action not in self.shown:
                self.shown.add(action)
                if action == "shell":
                    self.asks.sendall(b"done\n")
                    self.shell()
                    return
                getattr(self, action.replace("-", "_"))()
                self.asks.sendall(b"done\n")

    # ---------------------------------------------------------------- watching

    def show_steps(self, text):
        whole_lines = text.rpartition("\n")[0]
        for name, step in guest_image.parse_transcript(whole_lines).items():
            if step.status is None or name in self.shown or name == "shell":
                continue
            self.shown.add(name)
            self.failed |= step.status != 0
            self.last_word = elapsed()
            if name.startswith("kill") and self.killed:
                self.recovery = time.monotonic() - self.killed
            tell(f"[{verdict(step.status == 0)}] {name.replace('_', ' ')} ({step.seconds:.1f} s)")
            for line in filter(None, map(str.rstrip, step.output.splitlines())):
                if not line.startswith("@@please"):
                    say("      " + line)

    @staticmethod
    def going_on(text):
        """What the guest is at, by its console."""
        running = [name for name, step in guest_image.parse_transcript(text).items() if step.status is None]
        if running:
            return running[-1].replace("_", " ")
        lines = text.rstrip().splitlines()
        return f"the guest starts; its console's last line: {lines[-1].strip() if lines else '(none yet)'}"

    def follow(self):
        """Until the guest is down; True when every step has succeeded."""
        started = elapsed()
        while self.main.poll() is None and elapsed() - started < BOOT_SECONDS:
            text = self.console.text
            if "@@guest up" in text and "up" not in self.shown:
                self.shown.add("up")
                self.last_word = elapsed()
                tell(f"[ok] the kernel has started its first program ({elapsed() - started:.1f} s)")
                say("  host: the processes, each with what it may still do:")
                show_tree(self.main.pid)
            self.show_steps(text)
            if elapsed() - self.last_word > QUIET_SECONDS and "shell" not in self.shown:
                self.last_word = elapsed()
                tell("... " + self.going_on(text))
            self.serve_asks(text)
            time.sleep(0.05)
        self.console.wait_for("@@guest down", 1)
        self.show_steps(self.console.text)
        return not self.failed and all(name.replace(" ", "_") in self.shown for name in STEPS)

    def close(self):
        self.qmp.close()
        self.asks.close()
        if self.main.poll() is None:
            self.main.kill()
        self.main.wait()
        self.console.join()


def forward_terminal(demo):
    """The user's terminal is the guest's console until Ctrl-] or the guest's end."""
    saved = termios.tcgetattr(0) if os.isatty(0) else None
    ended = threading.Event()

    def show():
        printed = len(demo.console.text)
        while not ended.is_set() and demo.main.poll() is None:
            text = demo.console.text
            sys.stdout.write(text[printed:])
            sys.stdout.flush()
            printed = len(text)
            time.sleep(0.02)

    output = threading.Thread(target=show)
    output.start()
    try:
        if saved:
            tty.setraw(0)
        while demo.main.poll() is None:
            if select.select([0], [], [], 0.2)[0]:
                data = os.read(0, 4096)
                if not data or b"\x1d" in data:
                    break
                try:
                    demo.main.stdin.write(data)
                    demo.main.stdin.flush()
                except BrokenPipeError:     # the guest has just gone
                    break
    finally:
        if saved:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)
        ended.set()
        output.join()
    say("")
    if demo.main.poll() is None:
        demo.qmp.command("quit")


def host_view(image):
    """What the host finds on the image after the guest has powered off."""
    check = subprocess.run([guest_image.which("e2fsck"), "-fn", image], capture_output=True, text=True, check=False)
    hello = subprocess.run([guest_image.which("debugfs"), "-R", "cat /hello", image],
                           capture_output=True, text=True, check=False)
    good = check.returncode == 0 and "written by the guest" in hello.stdout
    tell(f"[{verdict(good)}] e2fsck -f on the host: "
        f"{check.stdout.strip().splitlines()[-1] if check.stdout else check.stderr.strip()}")
    say(f"      the guest's file, read on the host: {hello.stdout.strip()!r}")
    return good


def unpacked(cache, bzimage):
    """(file for -kernel, what to call it): the engine would take longer to unpack the kernel than to boot it."""
    try:
        return guest_image.unpacked_kernel(cache, bzimage), f"{bzimage} (unpacked on the host)"
    except ValueError:
        return bzimage, bzimage


def summary(demo, good):
    steps = sum(name.replace(" ", "_") in demo.shown for name in STEPS)
    text = f"{'done' if good else 'FAILED'} in {elapsed():.0f} s: {steps} of {len(STEPS)} steps"
    if demo.recovery:
        text += (f"; {demo.recovery:.1f} s after the death of its device process the guest had read its file to the "
                 "end, 3 s of them its driver's pause after a bus reset")
    return (text + ".\nBy hand: scripts/demo --shell leaves you in the guest; docs/system/mpqemu.rst, "
            "docs/system/remote-devices.rst; with stock QEMU: docs/system/stock-qemu.rst")


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--shell", action="store_true", help="leaves you in the guest afterwards")
    parser.add_argument("--accel", metavar="A[:B]", default="kvm:emu",
                        help="what executes the guest (default: kvm:emu, KVM where it is usable)")
    parser.add_argument("--main", metavar="PATH", default=os.path.join(TOP, "build/main/mpqemu"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--keep", metavar="DIR", help="keep images and logs in this new directory")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="mpqemu-demo-") as temporary:
        rundir = options.keep or temporary
        if options.keep:
            os.makedirs(rundir)
        cache = os.path.join(TOP, "build/tests/guest")
        os.makedirs(cache, exist_ok=True)
        tell("preparing: Debian's kernel, a small initramfs, two raw images")
        bzimage = guest_image.find_kernel(cache)[0]
        kernel, what = unpacked(cache, bzimage)
        steps = {name.replace(" ", "_"): (120, script) for name, script in STEPS.items()}
        if options.shell:
            steps.update(SHELL_STEP)
        initrd = guest_image.build_initrd(os.path.join(rundir, "initrd"), cache, [], steps)
        images = [disks.blank(os.path.join(rundir, "disk0"), 48),
                  disks.patterned(os.path.join(rundir, "disk1"), 4, seed=1)]
        boot = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1"]

        tell(f"starting: mpqemu -accel {options.accel} -kernel {what} ... -rdevice lsi53c895a,rid=disks ...")
        demo = Demo(options, rundir, images, boot)
        try:
            for line in demo.log().splitlines():
                say("  " + line)
            good = demo.follow()
            try:
                status = demo.main.wait(30)
            except subprocess.TimeoutExpired:
                status = "none, it was ended"
            if not good or status != 0:
                good = False
                say(f"--- mpqemu\n{demo.log()[-2000:]}\n--- console\n{demo.console.text[-3000:]}")
        finally:
            demo.close()
        tell(f"[{verdict(status == 0)}] the guest has powered off; exit status of mpqemu: {status}")
        good = (options.shell or host_view(images[0])) and good
        say(summary(demo, good) + (f"\nimages and logs are in {rundir}; the same machine by hand:\n"
                                   f"  {shlex.join(demo.command)}" if options.keep else ""))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
