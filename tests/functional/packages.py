# SPDX-License-Identifier: GPL-2.0-or-later
# What a functional test needs on its machine.
# Runs in: neither program.
"""Apart from witness.py, which the demonstration uses on machines without pytest."""

import pytest

import guest_image


def need(*programs):
    """Skip the test, naming the Debian package, when a program is not installed."""
    for program in programs:
        try:
            guest_image.which(program)
        except guest_image.MissingPackage as missing:
            pytest.skip(f"needs the Debian package {missing}")
