# SPDX-License-Identifier: GPL-2.0-or-later
# The host's look at a file system that a guest has written.
# Runs in: neither program.
"""e2fsck and debugfs on an image that nobody uses any more; a test without them is skipped."""

import os
import subprocess

import disks
import guest_image
from packages import need


def assert_clean(image):
    """e2fsck finds nothing on IMAGE, and changes nothing."""
    need("e2fsck")
    check = subprocess.run([guest_image.which("e2fsck"), "-f", "-n", image], capture_output=True, text=True,
                           timeout=60, check=False)
    assert check.returncode == 0, check.stdout


def digests(image, names, directory):
    """{name: digest} of files in the root of IMAGE, which are copied to DIRECTORY."""
    need("debugfs")
    for name in names:
        subprocess.run([guest_image.which("debugfs"), "-R", f"dump /{name} {directory / name}", image],
                       check=True, capture_output=True, timeout=60)
    return {name: disks.digest(os.path.join(directory, name)) for name in names}
