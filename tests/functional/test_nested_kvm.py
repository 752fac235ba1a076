# SPDX-License-Identifier: GPL-2.0-or-later
# Real KVM interrupts: stock -accel kvm drives the remote inside a guest that stock's TCG runs.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""The one test in which nobody helps the interrupts along.

The outer guest, under TCG, loads kvm-amd and starts stock QEMU with -accel kvm and a remote, linked
by tests/guest/linkpair.c. KVM takes the irqfd and the resample fd. The inner guest makes a file
system on the LSI disk, writes and reads it back; that disk is the outer guest's virtio disk, so the
host can check it.

The outer emulator has a fault: in about one run in ten its vCPU sleeps although an interrupt is
pending, and the outer guest freezes. So a run that does not end in time is repeated, at most twice,
with a warning for each try that froze. A run that ends, well or badly, is final.
"""

import re
import warnings

import pytest

import disks
import file_system
import guest_image
import witness
from packages import need
from witness import CACHE

TRIES, TRY_SECONDS = 3, 120
INNER_STEPS = {
    "find": "load_drivers 1 && load_ext4",
    "file-system": "mkfs.ext4 -q -T default $(disk 0) && mount -t ext4 $(disk 0) /mnt",
    "write": "cd /mnt; for n in 1 2 3 4; do dd if=/dev/urandom of=file$n bs=64k count=24; done "
             "2>/dev/null; sha256sum file* | tee sums",
    "read": "drop_caches; cd /mnt && sha256sum -c sums",
    "interrupts": "grep sym53c8xx /proc/interrupts",
    "unmount": "umount /mnt",
    "kernel-log": "dmesg | grep -iE 'sym|abort|timed|cared' || true",
}
REMOTE = ("remote -machine x-remote -nodefaults -display none -device lsi53c895a,id=lsi0 "
          "-drive id=d0,file=/dev/vda,format=raw,if=none "
          "-device scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0 "
          "-object x-remote-object,id=r0,devid=lsi0,fd=10")
MAIN = ("qemu-system-x86_64 -nodefaults -display none -no-reboot -accel kvm -cpu host "
        "-object memory-backend-memfd,id=mem,size=256M,share=on -machine pc,memory-backend=mem "
        "-serial stdio -kernel /nested/vmlinuz -initrd /nested/initrd "
        "-append 'console=ttyS0 panic=-1 quiet' -device x-pci-proxy-dev,id=lsi0,fd=11")
OUTER_STEPS = {
    "host": "modprobe virtio_pci && modprobe virtio_blk && modprobe kvm-amd && "
            "ls -l /dev/kvm /dev/vda",
    # The inner guest's lines get a mark of their own; the status comes through a file.
    "inner": (TRY_SECONDS, f"(linkpair {REMOTE} -- {MAIN}; echo $? >/tmp/status) 2>&1 </dev/null | "
                           "while IFS= read -r line; do echo \"inner: $line\"; done; "
                           "exit $(cat /tmp/status)"),
}


class Nested:
    """The outer witness.Run, the inner steps and the image."""

    def __init__(self, run, image):
        self.run, self.image = run, image
        text = "\n".join(line.removeprefix("inner: ") for line in run.step("inner").lines)
        self.steps = guest_image.parse_transcript(text)

    def ok(self, name):
        """The output of an inner step, which must have succeeded."""
        step = self.steps.get(name)
        assert step and step.status == 0, \
            f"inner step {name} failed:\n{step.output if step else ''}" + self.run.failure
        return step.output


@pytest.fixture(scope="module")
def nested(variant, linux, tmp_path_factory):
    """Boot until one try ends in time."""
    if variant.in_process:
        pytest.skip("there is no remote in-process")
    need("cc", "qemu-system-x86_64")
    program = guest_image.which(variant.program) if variant.stock else variant.program

    def inner_layer():
        layer = guest_image.Layer()
        inner = guest_image.build_initrd(str(rundir / "inner-initrd"), CACHE, [], INNER_STEPS)
        layer.file(inner, "/nested/initrd")
        return layer

    for number in range(1, TRIES + 1):
        rundir = tmp_path_factory.mktemp(f"nested{number}-")
        image = disks.blank(rundir / "disk0", 64)
        options = ["-drive", f"id=v0,file={image},format=raw,if=none",
                   "-device", "virtio-blk-pci,drive=v0", "-smp", "2"]
        boot = linux(rundir, OUTER_STEPS,
                     [lambda: guest_image.nested_layer(CACHE, program), inner_layer])
        with witness.Machine(rundir, witness.Variant(witness.IN_PROCESS), options, boot,
                             memory=1024) as machine:
            if machine.console.wait_for("\n@@guest down", TRY_SECONDS):
                return Nested(witness.Run(machine, 1), image)
        last_line = machine.console.text.rstrip().rpartition("\n")[2]
        warnings.warn(f"nested KVM: try {number} of {TRIES} froze at {last_line!r}", stacklevel=1)
    pytest.fail(f"none of {TRIES} tries ended within {TRY_SECONDS} s")


def test_inner_guest_finds_the_disk_under_kvm(nested):
    nested.ok("find")


def test_kvm_delivers_the_interrupts_of_the_remote(nested):
    taken = re.search(r"(\d+) +IO-APIC.*fasteoi", nested.ok("interrupts"))
    assert taken and int(taken.group(1)) > 50
    for bad in ("nobody cared", "timed out", "ABORT operation"):
        assert bad not in nested.ok("kernel-log")


def test_inner_guest_reads_back_what_it_wrote(nested):
    nested.ok("file-system")
    assert nested.ok("read").count(": OK") == 4


def test_main_and_remote_exit_cleanly_under_kvm(nested):
    nested.ok("unmount")
    assert "inner: linkpair: main exited with status 0" in nested.run.ok("inner")
    assert "inner: linkpair: remote exited with status 0" in nested.run.ok("inner")


def test_file_system_check_finds_nothing_on_the_host(nested):
    file_system.assert_clean(nested.image)


def test_files_are_byte_identical_on_the_host(nested, tmp_path):
    sums = dict(reversed(line.split()) for line in nested.ok("write").split("\n")
                if " file" in line)
    assert len(sums) == 4
    assert file_system.digests(nested.image, sums, tmp_path) == sums
