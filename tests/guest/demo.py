#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# The demonstration behind scripts/demo: a Linux guest on a disk behind qemu-remote, told step by step.
# Runs in: neither program; starts stock QEMU and qemu-remote.
"""Boots Debian's kernel in stock QEMU with its SCSI controller in our qemu-remote and shows what happens."""

import argparse
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for _directory in ("tests/guest", "tests/peers", "tests/functional"):
    sys.path.insert(0, os.path.join(TOP, _directory))

import disks        # noqa: E402  (needs the paths above)
import guest_image  # noqa: E402
import witness      # noqa: E402
from device_process import device_pid  # noqa: E402

BOOT_SECONDS = 300
STEPS = {
    "find the controller and its disks": (
        "load_drivers 2; echo \"driver: $(cat /sys/class/scsi_host/host*/proc_name)\"; lsscsi"),
    "make a file system on the first disk and mount it": (
        "load_ext4 && mkfs.ext4 -q $(disk 0) 2>/dev/null && mount -t ext4 $(disk 0) /mnt && "
        "df -h /mnt | tail -1"),
    "write 16 MiB and read them back after dropping caches": (
        "dd if=/dev/urandom of=/mnt/data bs=1M count=16 2>&1 | tail -1\n"
        "sha256sum /mnt/data >/tmp/sum && drop_caches && sha256sum -c /tmp/sum"),
    "reset the SCSI bus and read again": (
        "sg_reset -b $(sg 0) && drop_caches && sha256sum -c /tmp/sum"),
    "trim and unmount": (
        "rm /mnt/data && echo \"written by the guest\" >/mnt/hello && sync && fstrim -v /mnt && umount /mnt"),
    "count the interrupts that took the way through the eventfds": "grep sym53c8xx /proc/interrupts",
}


def say(text):
    print(text, flush=True)


def process_line(name, pid):
    """One line about a running process, as ps would show it, and what it may still do."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
    left = "system calls filtered" if fields["Seccomp"] == "2" else "not confined"
    if len(fields["NSpid"].split()) > 1:
        left += ", own namespaces"
    return (f"  {name:<16} pid {pid:<7} threads {fields['Threads']:<3} uid {fields['Uid'].split()[0]:<6} "
            f"resident {int(fields['VmRSS'].split()[0]) // 1024:>3} MiB  {left}")


def show_new_steps(machine, shown):
    """Print the steps that have ended and are not in shown ({name: succeeded}) yet."""
    for name, step in guest_image.parse_transcript(machine.console.text).items():
        if step.status is None or name in shown:
            continue
        shown[name] = step.status == 0
        say(f"[{'ok' if shown[name] else 'FAILED'}] {name.replace('_', ' ')}")
        for line in filter(None, map(str.rstrip, step.output.splitlines())):
            say("      " + line)


def follow(machine):
    """Tell the guest's steps as they end; returns True when all of them succeeded."""
    deadline = time.monotonic() + BOOT_SECONDS
    shown = {}
    while time.monotonic() < deadline and machine.main.poll() is None:
        show_new_steps(machine, shown)
        time.sleep(0.2)
    machine.console.wait_for("@@guest down", 5)
    show_new_steps(machine, shown)
    return len(shown) == len(STEPS) and all(shown.values())


def host_view(image):
    """What the host finds on the image after the guest has powered off."""
    check = subprocess.run([guest_image.which("e2fsck"), "-fn", image], capture_output=True, text=True, check=False)
    hello = subprocess.run([guest_image.which("debugfs"), "-R", "cat /hello", image],
                           capture_output=True, text=True, check=False)
    say(f"[{'ok' if check.returncode == 0 else 'FAILED'}] e2fsck -f on the host: "
        f"{check.stdout.strip().splitlines()[-1] if check.stdout else check.stderr.strip()}")
    say(f"      the guest's file, read on the host: {hello.stdout.strip()!r}")
    return check.returncode == 0 and "written by the guest" in hello.stdout


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--remote", metavar="PATH", default=os.path.join(TOP, "build/remote/qemu-remote"),
                        help="the device process; 'stock' for stock QEMU's own (default: our build)")
    parser.add_argument("--keep", metavar="DIR", help="keep images and logs in this new directory")
    options = parser.parse_args()
    started = time.monotonic()

    with tempfile.TemporaryDirectory(prefix="mpqemu-demo-") as temporary:
        rundir = options.keep or temporary
        if options.keep:
            os.makedirs(rundir)
        cache = os.path.join(TOP, "build/tests/guest")
        os.makedirs(cache, exist_ok=True)
        say("preparing: Debian's kernel, a small initramfs, two raw images")
        kernel = guest_image.find_kernel(cache)[0]
        steps = {name.replace(" ", "_"): script for name, script in STEPS.items()}
        initrd = guest_image.build_initrd(os.path.join(rundir, "initrd"), cache, [], steps)
        images = [disks.blank(os.path.join(rundir, "disk0"), 64), disks.blank(os.path.join(rundir, "disk1"), 32)]
        variant = witness.Variant(options.remote)
        devices = [*disks.CONTROLLER, *disks.hard_disk(0, images[0]), *disks.hard_disk(1, images[1])]
        boot = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet"]

        say(f"starting: {witness.STOCK} with x-pci-proxy-dev, and {variant}")
        with witness.Machine(rundir, variant, devices, boot,
                             link="relay" if os.geteuid() else "direct") as machine:
            say(process_line("main emulator", machine.main.pid))
            say(process_line("device process", device_pid(machine.remote.pid)))
            say("booting the guest (software emulation, some seconds) ...")
            good = follow(machine)
            exits = {name: machine.wait_exit(name, 30) for name in ("main", "remote")}
            if not good:
                say(machine.report())
        say(f"[{'ok' if set(exits.values()) == {0} else 'FAILED'}] guest powered off; exit status: "
            + ", ".join(f"{name} {status}" for name, status in exits.items()))
        good = host_view(images[0]) and good and set(exits.values()) == {0}
        say(f"{'done' if good else 'FAILED'} in {time.monotonic() - started:.0f} s. By hand: docs/system/stock-qemu.rst"
            + (f"; images and logs are in {rundir}" if options.keep else ""))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
