# SPDX-License-Identifier: GPL-2.0-or-later
# A worker in a Linux guest that reads and writes a disk all the time, for tests that disturb others, or the disk.
# Runs in: neither program; what the guest is given.
"""Shell functions and the worker's script for a guest whose SCSI ids name its disks: the worker has disk 0."""

import disks
import guest_image

BLOCK = 64 << 10

# Reads blocks that are known, writes the next MiB and reads it back, until /tmp/stop is there.  What fails is told.
# The disk is held open: by its name, dd would make a file of that name when the disk has gone.
WORKER = """
exec 3<>$1
turn=0
while [ ! -e /tmp/stop ]; do
    dd if=/proc/$$/fd/3 bs=64k count=$3 iflag=direct status=none | sha256sum | grep -q $2 || echo "turn $turn: read"
    dd if=/dev/urandom bs=64k count=16 of=/tmp/written status=none
    dd if=/tmp/written of=/proc/$$/fd/3 bs=64k seek=$3 oflag=direct conv=notrunc status=none || echo "turn $turn: write"
    dd if=/proc/$$/fd/3 bs=64k skip=$3 count=16 iflag=direct status=none |
        cmp - /tmp/written || echo "turn $turn: compare"
    turn=$((turn + 1))
    echo $turn >/tmp/turns.new; mv /tmp/turns.new /tmp/turns
done
"""

FUNCTIONS = """
start_worker() {
    rm -f /tmp/stop; echo 0 >/tmp/turns
    sh /etc/worker.sh $(disk 0) {known} {blocks} >/tmp/errors 2>&1 </dev/null &
    echo $! >/tmp/worker
    worker_goes_on
}
turns_above() { [ $(cat /tmp/turns) -gt $1 ]; }
worker_goes_on() {              # another turn ends, and none has failed
    poll 60 turns_above $(cat /tmp/turns) && ! grep . /tmp/errors
}
worker_ended() { ! kill -0 $(cat /tmp/worker) 2>/dev/null; }
sysfs() { echo /sys/class/block/$(basename $(disk $1)); }
is_there() { ls -d /sys/bus/scsi/devices/*:0:$1:0/block/* >/dev/null 2>&1; }
is_absent() { ! is_there $1; }
controllers() { ls -d /sys/bus/pci/drivers/sym53c8xx/0000:* 2>/dev/null | wc -l; }
controllers_are() { [ $(controllers) = $1 ]; }
"""


def prepare(steps, image, blocks, functions=""):
    """(layer, steps): the worker knows the first BLOCKS blocks of IMAGE and writes the 16 behind them.

    A step is text, or (seconds, text); it may use the functions, and FUNCTIONS of the test's own.
    """
    known = disks.digest(image, 0, blocks * BLOCK)
    layer = guest_image.Layer()
    layer.text("/etc/worker.sh", WORKER)
    layer.text("/etc/hotplug.sh", FUNCTIONS.replace("{known}", known).replace("{blocks}", str(blocks)) + functions)
    pairs = {name: step if isinstance(step, tuple) else (60, step) for name, step in steps.items()}
    return layer, {name: (limit, ". /etc/hotplug.sh\n" + text) for name, (limit, text) in pairs.items()}


def answers(output):
    """The lines without those that ask."""
    return [line for line in output.split("\n") if line and not line.startswith("@@")]
