# SPDX-License-Identifier: GPL-2.0-or-later
# Our main emulator with controllers in processes that it starts itself, and a monitor.
# Runs in: neither program; drives mpqemu from outside.
"""Harness of the tests of our own proxy under our own processor.

MPQEMU_MAIN_SANDBOX=on confines the main emulator, too; its remotes always are.
"""

import os
import re

import guest_image
import witness
from qmp import Qmp

ACCELERATOR = "kvm" if witness.EMULATOR.name == "kvm" else "emu"
BAD_WORDS = ("nobody cared", "timed out", "TIMEOUT", "ABORT operation", "BUS RESET", "I/O error", "BUG:", "Oops",
             "stall", "blocked for more", "EXT4-fs error")


def controller(name, slot, images, first_id=0, rid=None):
    """Options of a controller at SLOT with a disk for each image, in the process RID (one of the controller's name)."""
    rid = rid or name
    options = ["-rdevice", f"lsi53c895a,id={name},rid={rid},addr={slot:#x}"]
    for scsi_id, image in enumerate(images, first_id):
        options += ["-rdrive", f"id={name}-d{scsi_id},file={image},format=raw,rid={rid}",
                    "-rdevice", f"scsi-hd,id={name}-hd{scsi_id},drive={name}-d{scsi_id},bus={name}.0,"
                                f"scsi-id={scsi_id},rid={rid}"]
    return options


class OwnMachine(witness.AnsweringMachine):
    """Our main emulator; a context manager.

    options   of its devices: controller()
    smp       processors
    wait      seconds for one event of .monitor, a session whose answers are checked
    """

    def __init__(self, rundir, boot, options, smp=1, wait=120, **more):
        super().__init__(rundir, witness.Variant(witness.IN_PROCESS), options, [*boot, "-smp", str(smp)],
                         emulator=witness.Emulator(ACCELERATOR), **more)
        self._wait = wait
        if os.environ.get("MPQEMU_MAIN_SANDBOX"):
            self.boot += ["-sandbox", os.environ["MPQEMU_MAIN_SANDBOX"]]

    def _start(self):
        self.boot += ["-qmp", f"unix:{self._path('monitor')},server=on,wait=off"]
        super()._start()
        self.monitor = Qmp.connect(self._path("monitor"), wait=self._wait).negotiate()

    def close(self):
        super().close()
        if hasattr(self, "monitor"):
            self.monitor.close()

    def remotes(self):
        """{rid: what query-remote tells of the process}."""
        return {entry["id"]: entry for entry in self.monitor.command("query-remote")}

    def pids(self):
        return {rid: entry["pid"] for rid, entry in self.remotes().items()}

    def serve(self, host, steps, seconds):
        """Do what the guest asks for in the order of the steps: `ask do-this` calls host.do_this()."""
        for step in steps.values():
            for what in re.findall(r"\bask ([\w-]+)", step[1] if isinstance(step, tuple) else step):
                self.wait_asked(what, seconds)
                getattr(host, what.replace("-", "_"))()
                self.answer()


class Host:
    """Does what the guest asks for: its methods are for OwnMachine.serve().

    seen   what the tests look at
    """

    def __init__(self, machine, images):
        self.machine, self.qmp, self.images, self.seen = machine, machine.monitor, images, {}


def with_functions(functions, steps):
    """(layer, steps): the shell functions for all steps; a step is text, or (seconds, text)."""
    layer = guest_image.Layer()
    layer.text("/etc/functions.sh", functions)
    sourced = {name: (step[0], ". /etc/functions.sh\n" + step[1]) if isinstance(step, tuple)
               else (60, ". /etc/functions.sh\n" + step) for name, step in steps.items()}
    return layer, sourced


def complaints(log):
    """Lines of a kernel log that tell of an interrupt or a command that was lost, or of worse."""
    return [line for line in log.splitlines() if any(word in line for word in BAD_WORDS)]
