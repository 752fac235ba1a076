# SPDX-License-Identifier: GPL-2.0-or-later
# Disk images and the device options that put them on an LSI controller.
# Runs in: neither program; prepares files on the host.
"""Images with reproducible contents, and options in the syntax both remotes take."""

import hashlib
import random


CONTROLLER = ["-device", "lsi53c895a,id=lsi0"]


def patterned(path, mebibytes, seed):
    """Make an image of seeded random bytes; returns the path as a string."""
    source = random.Random(seed)
    with open(path, "wb") as image:
        for _ in range(mebibytes):
            image.write(source.randbytes(1 << 20))
    return str(path)


def blank(path, mebibytes):
    """Make an image that is one hole; returns the path as a string."""
    with open(path, "wb") as image:
        image.truncate(mebibytes << 20)
    return str(path)


def digest(path, start=0, size=None):
    """SHA-256 of a file or of a part of it, as sha256sum prints it."""
    with open(path, "rb") as image:
        image.seek(start)
        return hashlib.sha256(image.read() if size is None else image.read(size)).hexdigest()


def hard_disk(scsi_id, image, properties=""):
    """A scsi-hd on a raw image; discards reach the image as holes."""
    return ["-drive", f"id=d{scsi_id},file={image},format=raw,if=none,discard=unmap",
            "-device", f"scsi-hd,drive=d{scsi_id},bus=lsi0.0,scsi-id={scsi_id}{properties}"]


def cd_rom(scsi_id, image):
    """A scsi-cd with the image as its medium."""
    return ["-drive", f"id=d{scsi_id},file={image},format=raw,if=none,media=cdrom,readonly=on",
            "-device", f"scsi-cd,drive=d{scsi_id},bus=lsi0.0,scsi-id={scsi_id}"]


def failing_disk(scsi_id, image, **bad_sectors):
    """A scsi-hd whose block node answers EIO to each request that touches a 512-byte sector.

    bad_sectors   sector by kind of request: read=, write=, flush= and so on

    The rules have event=none, which means from the start and for ever. The older event=read_aio
    would need a "raw" format node on top, because only format drivers emit such events.
    """
    rules = "".join(f",inject-error.{n}.event=none,inject-error.{n}.iotype={kind},"
                    f"inject-error.{n}.errno=5,inject-error.{n}.sector={sector},"
                    f"inject-error.{n}.once=off"
                    for n, (kind, sector) in enumerate(bad_sectors.items()))
    return ["-blockdev", f"driver=file,node-name=file{scsi_id},filename={image}",
            "-blockdev", f"driver=blkdebug,node-name=debug{scsi_id},image=file{scsi_id}{rules}",
            "-device", f"scsi-hd,drive=debug{scsi_id},bus=lsi0.0,scsi-id={scsi_id}"]
