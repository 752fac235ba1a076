# SPDX-License-Identifier: GPL-2.0-or-later
# The guest reboots in every way there is, in the midst of its work too, and its device processes live on.
# Runs in: neither program; drives mpqemu from outside.
"""One start of our main emulator, many of the guest.

The boots are counted in a sector of disk 0, and the guest does in each what stands in WAYS for its number.  Each boot
reads known contents, mends and mounts the file system of disk 1, and looks at the file of the boot before.  disk 1 is
on a controller of its own, in a second process.
"""

import re

import pytest

import disks
import file_system
import own_machine
import witness

SECONDS = 300                   # for one boot on a busy host
KNOWN = 2                       # MiB at the start of disk 0
COUNTER = KNOWN << 11           # sector of disk 0
# What ends a boot: a word of /sys/kernel/reboot/type; or, under writes, the kernel's or the host's reset.
WAYS = ("kbd", "triple", "pci", "sysrq", "host", "off")

FUNCTIONS = f"""
boot_number() {{ dd if=$(disk 0) bs=512 skip={COUNTER} count=1 2>/dev/null | tr -dc 0-9; }}
set_boot_number() {{ echo $1 | dd of=$(disk 0) bs=512 seek={COUNTER} conv=sync,fsync,notrunc 2>/dev/null; }}
# Endless work on both controllers.  What was under way at the reset is never looked at again.
keep_busy() {{
    while :; do dd if=/dev/zero of=/mnt/torn bs=64k count=32 conv=fsync status=none; done &
    while :; do dd if=$(disk 0) of=/dev/null bs=64k count=32 iflag=direct status=none; done &
    sleep 1
}}
"""
STEPS = {
    "boot": (SECONDS, f"""
modprobe sym53c8xx settle=0; load_drivers 2 && load_ext4 || exit 1
number=$(boot_number); number=${{number:-0}}
echo "@@boot $number: $(dd if=$(disk 0) bs=1M count={KNOWN} 2>/dev/null | sha256sum)"
if [ $number = 0 ]; then
    mkfs.ext4 -q $(disk 1) || exit 1
fi
mount -t ext4 $(disk 1) /mnt || exit 1
if [ $number != 0 ]; then
    sha256sum -c /mnt/sum || exit 1
fi
rm -f /mnt/torn
(echo "boot $number"; dd if=/dev/urandom bs=64k count=8 status=none) >/mnt/file && sha256sum /mnt/file >/mnt/sum && sync
set_boot_number $((number + 1))
set -- {" ".join(WAYS)}
shift $number
echo "@@way $1; complaints: $(dmesg | grep -cE '{"|".join(own_machine.BAD_WORDS)}')"
case $1 in
off) umount /mnt ;;
sysrq) keep_busy; echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger; sleep 100 ;;
host) keep_busy; echo "@@reset me"; sleep 100 ;;
*) umount /mnt; echo $1 >/sys/kernel/reboot/type; reboot -f; sleep 100 ;;
esac"""),
    "power-off-at-work": "while :; do dd if=$(disk 0) of=/dev/null bs=64k count=32 iflag=direct status=none; done &\n"
                         "sleep 1",
}


class Result:
    """The console, processes and images of all boots.

    pids     of the device processes: at the start, after the guest's own resets, after the host's
    """

    def __init__(self, images, known):
        self.images, self.known, self.pids, self.remotes, self.events = images, known, [], {}, []


@pytest.fixture(scope="module")
def run(linux, tmp_path_factory):
    """Run through all boots to the power-off."""
    rundir = tmp_path_factory.mktemp("own-reboot")
    images = [disks.patterned(rundir / "disk0", KNOWN, seed=50), disks.blank(rundir / "disk1", 24)]
    result = Result(images, disks.digest(images[0]))
    with open(images[0], "ab") as image:
        image.write(bytes(1 << 20))
    options = [*own_machine.controller("lsi0", 4, [images[0]]),
               *own_machine.controller("lsi1", 5, [images[1]], first_id=1)]
    layer, steps = own_machine.with_functions(FUNCTIONS, STEPS)
    with own_machine.OwnMachine(rundir, linux(rundir, steps, [lambda: layer]), options, smp=2, reboots=True) as machine:
        result.pids.append(machine.pids())
        assert machine.console.wait_for("@@reset me\n", SECONDS * 5), machine.report()
        result.pids.append(machine.pids())
        machine.monitor.command("system_reset")
        machine.monitor.wait_event("RESET", lambda event: not event["data"]["guest"])
        machine.monitor.command("system_reset")     # a guest that has hardly begun
        assert machine.console.wait_for("@@way off", SECONDS), machine.report()
        result.pids.append(machine.pids())
        result.remotes = machine.remotes()
        result.end = witness.Run(machine, SECONDS)
        result.events = machine.monitor.events
    return result


def test_guest_boots_again_after_each_way_to_reboot(run):
    assert re.findall(r"^@@way (\S+); ", run.end.text.replace("\r", ""), re.M) == list(WAYS)


def test_known_contents_are_read_in_each_boot(run):
    boots = re.findall(r"^@@boot (\d+): (\w+)", run.end.text, re.M)
    assert boots == [(str(number), run.known) for number in range(len(WAYS))]


def test_files_of_the_boot_before_are_whole(run):
    """Though the last thing that the boot before did was to write another, in some."""
    assert run.end.text.count("/mnt/file: OK") == len(WAYS) - 1


def test_device_processes_live_on(run):
    assert len(run.pids) == 3 and all(pids == run.pids[0] for pids in run.pids)
    assert all(entry["state"] == "ready" and entry["restarts"] == 0 for entry in run.remotes.values())


def test_kernel_complains_of_nothing_in_any_boot(run):
    assert re.findall(r"complaints: (\d+)", run.end.text) == ["0"] * len(WAYS)


def test_each_reset_is_told(run):
    by_guest = [event["data"]["guest"] for event in run.events if event["event"] == "RESET"]
    assert by_guest == [True] * 4 + [False]         # the host's first was waited for, and is not among them


def test_guest_powers_off_while_it_works(run):
    run.end.ok("power-off-at-work")
    run.end.assert_powered_off()


def test_file_system_check_finds_nothing(run):
    run.end.assert_powered_off()
    file_system.assert_clean(run.images[1])
