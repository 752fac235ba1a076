# SPDX-License-Identifier: GPL-2.0-or-later
# pytest fixtures of the qtest tests: the programs under test.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Fixtures.

MPQEMU_MAIN and MPQEMU_REMOTE are the programs under test, by default those of the directory build/
below the source root.
"""

import os
import shutil
import sys

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "peers"))

BUILD = os.environ.get("MPQEMU_BUILD", os.path.join(os.path.dirname(TESTS), "build"))
STOCK = "qemu-system-x86_64"


def _program(variable, *default):
    path = os.environ.get(variable, os.path.join(BUILD, *default))
    if not os.access(path, os.X_OK):
        pytest.fail(f"no program at {path}: build it, or set {variable}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def main_program():
    """Path of mpqemu."""
    return _program("MPQEMU_MAIN", "main", "mpqemu")


@pytest.fixture(scope="session")
def remote_program():
    """Path of qemu-remote."""
    return _program("MPQEMU_REMOTE", "remote", "qemu-remote")


@pytest.fixture(scope="session")
def stock_program():
    """Path of stock QEMU."""
    path = shutil.which(STOCK)
    if path is None:
        pytest.skip("needs the Debian package qemu-system-x86")
    return path
