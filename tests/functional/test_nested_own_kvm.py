# SPDX-License-Identifier: GPL-2.0-or-later
# Our main emulator with -accel kvm, on a KVM that runs Linux: inside a guest that stock's TCG runs.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""mpqemu -accel kvm boots Debian's kernel, its disk behind an LSI controller in our confined qemu-remote.

As in test_nested_kvm.py the outer guest, under TCG, loads kvm-amd; here it starts our programs, twice:

  pair      linkpair gives each its end of a socket; one processor of the default model
  managed   mpqemu starts the remote itself (-rdevice); two processors, -cpu host, -sandbox on. The guest reboots
            before it uses the disk, and is stopped and continued while it writes

The disk is the outer guest's virtio disk, so the host can check what is on it. The outer emulator sometimes freezes
(test_nested_kvm.py tells more): a run that prints nothing for SILENCE seconds is repeated, with a warning. A run that
ends, well or badly, is final.
"""

import os
import re
import time
import warnings

import pytest

import disks
import file_system
import guest_image
import witness
from packages import need
from witness import CACHE

TRIES, SILENCE, TRY_SECONDS = 2, 100, 300 if "MPQEMU_NESTED_REBOOTS" not in os.environ else 900
# As in /sys/kernel/reboot/type.  Each takes half a minute and more there: "kbd acpi triple pci" is all of them.
REBOOTS = tuple(os.environ.get("MPQEMU_NESTED_REBOOTS", "acpi").split())
COUNTER = 120 << 10                             # sector that counts the boots, behind the file system
STOPPED = 12                                    # seconds for which the guest does not run

USE_DISK = {
    "find": "load_drivers 1 && load_ext4 && lsscsi",
    "file-system": "mkfs.ext4 -q -F -T default $(disk 0) 48m && mount -t ext4 $(disk 0) /mnt",
    "write": "cd /mnt; for n in 1 2 3 4; do dd if=/dev/urandom of=file$n bs=64k count=24; done "
             "2>/dev/null; sha256sum file* | tee sums",
    "read": "drop_caches; cd /mnt && sha256sum -c sums",
    "interrupts": "grep sym53c8xx /proc/interrupts",
    "processors": "grep -E '^(processor|physical id|siblings|core id|cpu cores)' /proc/cpuinfo; "
                  "cat /sys/devices/system/clocksource/clocksource0/current_clocksource",
}
END = {
    "unmount": "umount /mnt",
    "kernel-log": "dmesg | grep -iE 'sym|abort|timed|cared|stall|lockup|BUG:|WARNING:' || true",
}
PAIR_STEPS = {**USE_DISK, **END}
MANAGED_STEPS = {
    "reboot": (120, f"""
        load_drivers 1 || exit 1
        boots=$(dd if=$(disk 0) bs=512 skip={COUNTER} count=1 2>/dev/null | tr -d '\\000')
        boots=${{boots:-0}}
        echo "boot $boots with $(grep -c ^processor /proc/cpuinfo) processors"
        set -- {' '.join(REBOOTS)}
        if [ $boots -lt $# ]; then
            shift $boots
            echo $((boots + 1)) | dd of=$(disk 0) bs=512 seek={COUNTER} conv=sync,fsync 2>/dev/null
            echo $1 >/sys/kernel/reboot/type
            reboot -f
            sleep 100
        fi"""),
    **USE_DISK,
    # The longest time that passes between two looks at the clock, and what was written meanwhile.
    "stop": (120, f"""
        dd if=/dev/urandom of=/mnt/big bs=64k count=160 2>/dev/null &
        echo "@@please stop"
        worst=0
        before=$(cut -d' ' -f1 /proc/uptime)
        for _ in $(seq 100); do
            sleep 0.2
            now=$(cut -d' ' -f1 /proc/uptime)
            worst=$(echo "$now $before $worst" | awk '{{d = $1 - $2; print (d > $3) ? d : $3}}')
            before=$now
        done
        wait
        echo "longest gap $worst"
        sync
        sha256sum /mnt/big >/tmp/sum && drop_caches && sha256sum -c /tmp/sum"""),
    **END,
}

MAIN = ("mpqemu -accel kvm -nodefaults -display none -m 256 -kernel /nested/vmlinuz "
        "-append 'console=ttyS0 panic=-1 quiet'")
PAIR_REMOTE = ("qemu-remote -machine x-remote -nodefaults -display none -device lsi53c895a,id=lsi0 "
               "-drive id=d0,file=/dev/vda,format=raw,if=none -device scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0 "
               "-object x-remote-object,id=r0,devid=lsi0,fd=10")
PAIR_MAIN = f"{MAIN} -no-reboot -serial stdio -initrd /nested/pair -device pci-proxy-dev,id=lsi0,fd=11"
MANAGED_MAIN = (f"{MAIN} -smp 2 -cpu host -sandbox on -qmp stdio -serial file:/tmp/serial -initrd /nested/managed "
                "-rdrive id=d0,file=/dev/vda,format=raw,rid=disks -rdevice lsi53c895a,id=lsi0,rid=disks "
                "-rdevice scsi-hd,id=hd0,drive=d0,bus=lsi0.0,scsi-id=0,rid=disks")
OUTER_STEPS = {
    "host": "modprobe virtio_pci && modprobe virtio_blk && modprobe kvm-amd && ls -l /dev/kvm /dev/vda",
    # The inner guest's lines get a mark of their own; the status comes through a file.
    "pair": (TRY_SECONDS, f"(linkpair {PAIR_REMOTE} -- {PAIR_MAIN}; echo $? >/tmp/status) 2>&1 </dev/null | "
                          "while IFS= read -r line; do echo \"pair: $line\"; done; exit $(cat /tmp/status)"),
    "managed": (TRY_SECONDS, f"""
        mkfifo /tmp/qmp
        exec 7<>/tmp/qmp
        : >/tmp/serial
        {MANAGED_MAIN} </tmp/qmp >/tmp/qmp.out 2>/tmp/err &
        main=$!
        tail -f /tmp/serial | sed 's/^/managed: /' &
        shown=$!
        poll 30 pidof qemu-remote
        echo "remote at the start: $(pidof qemu-remote)"
        while kill -0 $main 2>/dev/null && ! grep -q '@@please stop' /tmp/serial; do
            sleep 1
        done
        echo '{{"execute":"qmp_capabilities"}}{{"execute":"stop"}}' >&7
        sleep {STOPPED}
        echo "remote at the end: $(pidof qemu-remote)"
        echo '{{"execute":"cont"}}{{"execute":"inject-nmi"}}{{"execute":"x-query-registers"}}' >&7
        wait $main
        status=$?
        sleep 2
        kill $shown
        sed 's/^/err: /' /tmp/err
        sed 's/^/qmp: /' /tmp/qmp.out
        dmesg | grep 'sig=31'
        echo "remote after the end: $(pidof qemu-remote)"
        exit $status"""),
}


class Inner:
    """One inner guest: its steps, and all that it printed."""

    def __init__(self, run, name):
        self.outer = run.step(name)
        self.name, self.failure = name, run.failure
        self.text = "\n".join(line.removeprefix(f"{name}: ") for line in self.outer.lines)
        self.steps = guest_image.parse_transcript(self.text)

    def ok(self, name):
        """The output of a step, which must have succeeded."""
        step = self.steps.get(name)
        assert step and step.status == 0, \
            f"{self.name}, inner step {name} failed:\n{step.output if step else ''}" + self.text[-3000:] + self.failure
        return step.output


class Nested:
    """The outer witness.Run and the image."""

    def __init__(self, run, image):
        self.run, self.image = run, image
        self.guests = {name: Inner(run, name) for name in ("pair", "managed")}


def wait_for_end(console):
    """False when the outer guest prints nothing for SILENCE seconds, or does not end within TRY_SECONDS."""
    deadline, last, seen = time.monotonic() + TRY_SECONDS, time.monotonic(), 0
    while not console.wait_for("\n@@guest down", 5):
        now, length = time.monotonic(), len(console.text)
        if length != seen:
            last, seen = now, length
        if now > deadline or now - last > SILENCE:
            return False
    return True


@pytest.fixture(scope="module")
def nested(variant, linux, tmp_path_factory):
    """Boot until one try ends in time."""
    if variant.in_process or variant.stock:
        pytest.skip("this is about our own remote")
    need("cc", "qemu-system-x86_64")
    emulator = witness.Emulator("kvm").command[0]

    def inner_layer():
        layer = guest_image.Layer()
        for name, steps in (("pair", PAIR_STEPS), ("managed", MANAGED_STEPS)):
            layer.file(guest_image.build_initrd(str(rundir / name), CACHE, [], steps), f"/nested/{name}")
        return layer

    for number in range(1, TRIES + 1):
        rundir = tmp_path_factory.mktemp(f"own{number}-")
        image = disks.blank(rundir / "disk0", 64)
        options = ["-drive", f"id=v0,file={image},format=raw,if=none",
                   "-device", "virtio-blk-pci,drive=v0", "-smp", "2"]
        boot = linux(rundir, OUTER_STEPS,
                     [lambda: guest_image.nested_own_layer(CACHE, emulator, variant.program), inner_layer])
        with witness.Machine(rundir, witness.Variant(witness.IN_PROCESS), options, boot, memory=1280,
                             emulator=witness.Emulator("stock")) as machine:
            if wait_for_end(machine.console):
                return Nested(witness.Run(machine, 1), image)
        last_line = machine.console.text.rstrip().rpartition("\n")[2]
        warnings.warn(f"nested KVM: try {number} of {TRIES} froze at {last_line!r}", stacklevel=1)
    pytest.fail(f"none of {TRIES} tries ended")


@pytest.fixture(params=("pair", "managed"))
def guest(request, nested):
    """Each of the two inner guests."""
    return nested.guests[request.param]


def test_guest_finds_the_disk(guest):
    assert guest.ok("find").count("disk") == 1


def test_kvm_delivers_the_interrupts_of_the_remote(guest):
    taken = [sum(map(int, re.findall(r"\d+", columns))) for columns in
             re.findall(r"\d+:([ \d]+?) +IO-APIC.*fasteoi +sym53c8xx", guest.ok("interrupts"))]
    assert len(taken) == 1 and taken[0] > 50
    # -cpu host has XSAVE, and TCG's SVM does not tell KVM when the guest sets XCR0, so CPUID's size stays the old one.
    log = [line for line in guest.ok("kernel-log").splitlines() if "fpu__init_system_xstate" not in line]
    # Lockups are told when the outer emulator is slow.
    for bad in ("nobody cared", "timed out", "ABORT operation", "WARNING:"):
        assert not [line for line in log if bad in line]


def test_guest_reads_back_what_it_wrote(guest):
    guest.ok("file-system")
    assert guest.ok("read").count(": OK") == 4


def test_guest_sees_one_package_of_its_processors(guest):
    """All processors are cores of one package."""
    count = {"pair": 1, "managed": 2}[guest.name]
    values = dict.fromkeys(("processor", "physical id", "core id"))
    for name in values:
        values[name] = re.findall(rf"(?m)^{name}\s*: (\d+)", guest.ok("processors"))
    assert values["processor"] == [str(n) for n in range(count)]
    if values["physical id"]:       # a kernel tells none when there is one thread in all
        assert set(values["physical id"]) == {"0"} and len(set(values["core id"])) == count


def test_pair_exits_cleanly(nested):
    text = nested.run.ok("pair")
    assert "pair: linkpair: main exited with status 0" in text and "pair: linkpair: remote exited with status 0" in text


def test_guest_reboots_in_every_way_and_the_remote_stays(nested):
    guest = nested.guests["managed"]
    guest.ok("reboot")
    booted = re.findall(r"(?m)^boot (\d) with (\d) processors", guest.text)
    assert booted == [(str(n), "2") for n in range(len(REBOOTS) + 1)]
    pids = re.findall(r"(?m)^remote at the (\w+): (\d+)$", guest.text)
    assert [when for when, _ in pids] == ["start", "end"] and pids[0][1] == pids[1][1]


def test_guest_goes_on_where_it_was_stopped(nested):
    """Its clock stood for as long, and what it was writing is right."""
    stopped = nested.guests["managed"].ok("stop")
    assert ": OK" in stopped
    assert float(re.search(r"longest gap ([\d.]+)", stopped).group(1)) < STOPPED / 2
    assert '"STOP"' in nested.guests["managed"].text and '"RESUME"' in nested.guests["managed"].text


def test_monitor_reaches_a_running_processor(nested):
    """Neither an NMI nor a look at the registers waits for a guest that does not leave KVM by itself."""
    text = nested.guests["managed"].text
    assert "qmp: " in text and '"error"' not in text and "human-readable-text" in text


def test_managed_machine_exits_cleanly(nested):
    guest = nested.guests["managed"]
    assert guest.outer.status == 0, guest.text[-3000:]
    assert re.search(r"(?m)^remote after the end: $", guest.text)


def test_file_system_check_finds_nothing_on_the_host(nested):
    nested.guests["managed"].ok("unmount")
    file_system.assert_clean(nested.image)


def test_files_are_byte_identical_on_the_host(nested, tmp_path):
    sums = dict(reversed(line.split()) for line in nested.guests["managed"].ok("write").split("\n") if " file" in line)
    assert len(sums) == 4
    assert file_system.digests(nested.image, sums, tmp_path) == sums
