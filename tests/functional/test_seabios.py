# SPDX-License-Identifier: GPL-2.0-or-later
# SeaBIOS boots from the disk through its own LSI driver, which polls.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""The boot sector is tests/guest/bootsector.S, assembled here; no interrupts are needed."""

import pytest

import disks
import witness
from boot_sector import assemble

MESSAGE_LBA, COPY_LBA, MESSAGE_SECTORS = 100, 300, 32       # as in bootsector.S
MESSAGE = b"text from the last of 32 sectors\r\n"


@pytest.fixture(scope="module", params=["unconfined", "confined"])
def boot(request, variant, tmp_path_factory):
    """Boot once; returns (console text, main's exit status, image path, failure report)."""
    confine = ["-sandbox", "on"] if request.param == "confined" else []
    if confine and witness.EMULATOR.stock:
        pytest.skip("-sandbox on is about our main emulator: set MPQEMU_EMULATOR")
    rundir = tmp_path_factory.mktemp("seabios")
    image = disks.patterned(rundir / "disk0", 1, seed=9)
    with open(image, "r+b") as disk:
        disk.write(assemble(rundir, "bootsector.S"))
        disk.seek((MESSAGE_LBA + MESSAGE_SECTORS - 1) * 512)
        disk.write(MESSAGE + b"\0")
    options = [*disks.CONTROLLER, *disks.hard_disk(0, image)]
    with witness.Machine(rundir, variant, options, confine) as machine:
        machine.console.wait_for("sectors written", 120)
        try:
            status = machine.wait_exit("main", 30)
        except AssertionError:
            status = None
        return machine.console.text, status, image, machine.report()


def test_seabios_boots_from_the_disk(boot):
    text, _, _, report = boot
    assert "boot sector runs" in text, report


def test_seabios_reads_many_sectors_at_once(boot):
    text, _, _, report = boot
    assert MESSAGE.decode().strip() in text, report


def test_seabios_writes_what_it_read(boot):
    text, _, image, report = boot
    assert "sectors written" in text, report
    size = MESSAGE_SECTORS * 512
    assert disks.digest(image, COPY_LBA * 512, size) == disks.digest(image, MESSAGE_LBA * 512, size)


def test_boot_sector_powers_the_machine_off(boot):
    _, status, _, report = boot
    assert status == 0, report
