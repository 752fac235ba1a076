# SPDX-License-Identifier: GPL-2.0-or-later
# Which accelerator is taken, and what is said when one cannot be: -accel with all kinds of /dev/kvm.
# Runs in: neither program; drives mpqemu from outside.
"""The other machines are mount namespaces with a /dev of their own. No guest runs: -S, then quit."""

import re
import shutil
import subprocess

import pytest

SECONDS = 60
# Files in an own /dev, then the program.  Without its two capabilities root is refused what a mode refuses.
MACHINES = {
    "absent": "",
    "forbidden": "touch /dev/kvm && chmod 0 /dev/kvm && ",
    "other": "touch /dev/kvm && ",
}
REASONS = {
    "absent": r"cannot open /dev/kvm \(load kvm_intel or kvm_amd, or use -accel emu\): No such file or directory",
    "forbidden": r"cannot open /dev/kvm \(become a member of its group, kvm on most systems, or use -accel emu\): "
                 r"Permission denied",
    "other": r"/dev/kvm is something else than KVM: Inappropriate ioctl for device",
}


def without_kvm(machine):
    """Command prefix that makes MACHINE of this one."""
    for program in ("unshare", "setpriv"):
        if not shutil.which(program):
            pytest.skip("needs the Debian package util-linux")
    prefix = ["unshare", "--map-root-user", "--mount", "--", "sh", "-c",
              f"mount -t tmpfs none /dev && {MACHINES[machine]} exec \"$@\"", "sh",
              "setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
    trial = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=SECONDS, check=False)
    if trial.returncode:
        pytest.skip(f"needs user and mount namespaces: {trial.stderr.strip()}")
    return prefix


def start(prefix, program, accel):
    """Exit status, and the lines on standard error, of a machine that is told to quit."""
    talk = '{"execute":"qmp_capabilities"}{"execute":"quit"}'
    run = subprocess.run([*prefix, program, "-accel", accel, "-machine", "none", "-nodefaults", "-display", "none",
                          "-S", "-qmp", "stdio"], input=talk, capture_output=True, text=True, timeout=SECONDS,
                          check=False)
    return run.returncode, run.stderr.splitlines()


@pytest.mark.parametrize("machine", MACHINES)
def test_kvm_alone_is_an_error_in_one_line(main_program, machine):
    status, lines = start(without_kvm(machine), main_program, "kvm")
    assert status == 1 and len(lines) == 1
    assert re.fullmatch("mpqemu: -accel kvm: none works here: kvm: " + REASONS[machine], lines[0])


@pytest.mark.parametrize("machine", MACHINES)
def test_fallback_tells_why_in_one_line(main_program, machine):
    status, lines = start(without_kvm(machine), main_program, "kvm:emu")
    assert status == 0 and len(lines) == 1
    assert re.fullmatch(rf"mpqemu: info: accelerator emu is used \(kvm: {REASONS[machine]}\)", lines[0])


def test_order_is_the_users(main_program):
    status, lines = start([], main_program, "emu:kvm")
    assert (status, lines) == (0, [])


def test_unknown_name_is_told_before_anything_is_tried(main_program):
    status, lines = start([], main_program, "kvm:nonsense")
    assert status == 1
    assert lines == ["mpqemu: -accel kvm:nonsense: there is no accelerator 'nonsense'; -accel help lists them"]


def test_kvm_without_hardware_is_passed_over_when_there_is_a_choice(main_program):
    try:
        with open("/dev/kvm", "r+b", buffering=0), open("/proc/cpuinfo", encoding="ascii") as info:
            if re.search(r"(?m)^flags.* (vmx|svm) ", info.read()):
                pytest.skip("needs a /dev/kvm on a processor without VMX and SVM")
    except OSError as error:
        pytest.skip(f"needs /dev/kvm: {error.strerror}")
    status, lines = start([], main_program, "kvm:emu")
    assert status == 0 and len(lines) == 1 and "this processor has neither VMX nor SVM" in lines[0]
    status, lines = start([], main_program, "kvm")
    assert status == 0 and len(lines) == 1
    assert lines[0].startswith("mpqemu: warning: -accel kvm: this processor has neither")
