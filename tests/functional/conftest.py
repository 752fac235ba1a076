# SPDX-License-Identifier: GPL-2.0-or-later
# pytest fixtures of the functional tests: which remote, which packages, one booted guest a module.
# Runs in: neither program; drives qemu-remote (or a stock remote) from outside.
"""Fixtures. The variables that choose what is tested are described in README.md."""

import os
import sys

import pytest

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
for _directory in ("guest", "peers"):
    sys.path.insert(0, os.path.join(_TESTS, _directory))

import guest_image  # noqa: E402  (needs the path above)
import witness      # noqa: E402
from packages import need      # noqa: E402
from witness import BUILD, CACHE      # noqa: E402


@pytest.fixture(scope="session")
def variant():
    """The controller under test: MPQEMU_REMOTE is a path, 'stock' or 'in-process'."""
    choice = witness.Variant(os.environ.get("MPQEMU_REMOTE",
                                            os.path.join(BUILD, "remote", "qemu-remote")))
    if witness.EMULATOR.stock:
        need(witness.STOCK)
    if choice.program and not choice.stock and not os.access(choice.program, os.X_OK):
        pytest.fail(f"no remote at {choice.program}: build it, or set MPQEMU_BUILD or "
                    "MPQEMU_REMOTE (a path, 'stock' or 'in-process')", pytrace=False)
    return choice


@pytest.fixture(scope="session")
def kernel():
    """Path of Debian's kernel."""
    need("qemu-system-x86_64", "depmod")
    try:
        return guest_image.find_kernel(CACHE)[0]
    except guest_image.MissingPackage as missing:
        pytest.skip(f"needs the Debian package {missing}")


@pytest.fixture(scope="session")
def linux(kernel):
    """Function (rundir, steps, layers) -> options that make the main emulator run these steps.

    layers   functions that make the guest_image.Layers to add
    """
    def options(rundir, steps, layers=()):
        try:
            initrd = guest_image.build_initrd(os.path.join(str(rundir), "initrd"), CACHE,
                                              [layer() for layer in layers], steps)
        except guest_image.MissingPackage as missing:
            pytest.skip(f"needs the Debian package {missing}")
        return ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet"]
    return options
