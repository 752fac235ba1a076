# SPDX-License-Identifier: GPL-2.0-or-later
# Debian's programs do in a guest of -accel emu exactly what they do on the host.
# Runs in: neither program; drives mpqemu and qemu-remote from outside.
"""Compilers, packers, checksums, interpreters, threads and faults: the jobs of tests/guest/user_space.py.

The guest has the host's own programs on an ext4 disk on an LSI controller in a remote. With one processor the jobs run
one after the other, with four four at a time. Published test suites run in a third boot and judge themselves.
"""

import os
import re
import subprocess

import pytest

import disks
import guest_image
import user_space
import witness
from packages import need

SECONDS = 900       # for one boot with all jobs, on a busy host


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The directory with inputs and jobs, before any has run."""
    directory = tmp_path_factory.mktemp("work") / "user-space"
    try:
        user_space.make_work(str(directory), {**user_space.JOBS, **user_space.SUITES})
    except guest_image.MissingPackage as missing:
        pytest.skip(f"needs the Debian package {missing}")
    return directory


@pytest.fixture(scope="module")
def image(work, tmp_path_factory):
    """The disk, before any job has run."""
    need("mkfs.ext4", "debugfs")
    try:
        return user_space.make_image(str(tmp_path_factory.mktemp("image") / "disk"), str(work))
    except guest_image.MissingPackage as missing:
        pytest.skip(f"needs the Debian package {missing}")


@pytest.fixture(scope="module")
def suites(work, variant, linux, tmp_path_factory):
    """The same with published test suites, run in a guest of four processors."""
    need("mkfs.ext4", "debugfs", "stress-ng")
    rundir = tmp_path_factory.mktemp("suites")
    try:
        image = user_space.make_image(str(rundir / "image"), str(work), [user_space.suite_files])
    except guest_image.MissingPackage as missing:
        pytest.skip(f"needs the Debian package {missing}")
    return GuestRun(rundir, variant, linux, image, user_space.SUITES, 4, 1)


@pytest.fixture(scope="module")
def here(image, work):
    """(results of the host, the directory with what the jobs printed there)."""
    return user_space.run_here(str(work), user_space.JOBS, 2), work / "out"


class GuestRun:
    """What JOBS did in a guest with PROCESSORS, AT_ONCE so many of them."""

    def __init__(self, rundir, variant, linux, image, jobs, processors, at_once):
        if variant.stock or variant.in_process:
            pytest.skip("the guest's main emulator is ours, which is tested with our remote")
        disk = str(rundir / "disk")
        subprocess.run(["cp", "--sparse=always", image, disk], check=True)
        boot = linux(rundir, {"jobs": (SECONDS, user_space.guest_step(jobs, at_once))})
        with witness.Machine(rundir, variant, [*disks.CONTROLLER, *disks.hard_disk(0, disk)],
                             [*boot, "-smp", str(processors)], memory=768,
                             emulator=witness.Emulator("emu")) as machine:
            self.run = witness.Run(machine, SECONDS)
        self.results = user_space.results(self.run.text)
        self.out = rundir / "out"
        subprocess.run([guest_image.which("debugfs"), "-R", f"rdump /user-space/out {rundir}", disk], check=True,
                       capture_output=True)
        os.unlink(disk)

    def printed(self, directory, job):
        """What JOB printed, and its last errors, for a failure message."""
        return "\n".join((directory / (job + end)).read_text(errors="replace")[-9000:] for end in ("", ".errors"))


@pytest.fixture(scope="module", params=[1, 4], ids=["one-processor", "four-processors"])
def guest(request, variant, linux, image, tmp_path_factory):
    processors = request.param
    return GuestRun(tmp_path_factory.mktemp("guest"), variant, linux, image, user_space.JOBS, processors, processors)


@pytest.mark.parametrize("job", user_space.JOBS)
def test_work_has_the_same_result_as_on_the_host(guest, here, job):
    results, out = here
    assert results[job][0] == 0, f"fails on the host: {guest.printed(out, job)}"
    assert job in guest.results, f"did not end{guest.run.failure}"
    if guest.results[job] != results[job]:
        pytest.fail(f"host: {results[job]}\n{guest.printed(out, job)}\n"
                    f"guest: {guest.results[job]}\n{guest.printed(guest.out, job)}", pytrace=False)
    assert (guest.out / job).read_bytes() == (out / job).read_bytes(), "the disk holds something else"


def complaints(run):
    """What the kernel shows on the console of warnings and worse."""
    return [line for line in run.text.splitlines() if any(
        word in line for word in ("BUG:", "WARNING", "Oops", "EXT4-fs error", "Call Trace"))]


def test_kernel_complains_of_nothing(guest):
    guest.run.assert_powered_off()
    assert not complaints(guest.run), guest.run.text[-3000:]


@pytest.mark.parametrize("suite", user_space.SUITES)
def test_published_suite_passes(suites, suite):
    assert suite in suites.results, f"did not end{suites.run.failure}"
    printed = suites.printed(suites.out, suite)
    assert suites.results[suite][0] == 0, printed
    if suite.startswith("stress-"):
        # stressor, operations, ...: each has done some
        done = dict(re.findall(r"metrc: \[\d+\] (\S+) +(\d+) +[\d.]+ +[\d.]+ +[\d.]+ ", printed))
        wanted = re.findall(r"--([a-z-]+) \d+(?= |$)", user_space.STRESS[suite.removeprefix("stress-")])
        counted = {name for name in wanted if name in done and int(done[name]) > 0}
        assert counted >= set(wanted) - {"qsort-size"}, printed
    else:
        assert "Tests result: SUCCESS" in printed, printed


def test_kernel_complains_of_nothing_under_suites(suites):
    suites.run.assert_powered_off()
    assert not complaints(suites.run), suites.run.text[-3000:]
