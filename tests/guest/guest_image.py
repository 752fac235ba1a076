#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Builds the kernel and initramfs that the foreign witness tests boot.
# Runs in: neither program; the guest images are made on the host and run under stock QEMU.
"""Guest images from Debian packages: kernel, layered initramfs, scenario steps.

Theory of operation

A guest is Debian's unmodified kernel plus an initramfs of concatenated cpio archives ("layers"),
which the kernel unpacks one after the other:

  base     busybox, the SCSI and ext4 modules, e2fsprogs, sg3-utils, /init
  fio      fio with its shared libraries
  nested   kvm-amd, a main emulator (stock QEMU with its firmware, or ours) and a remote, with their libraries
  steps    the scenario of one test: /steps/NN-NAME, each a shell script

/init runs the steps in order and frames what they print with marker lines on the serial console, so
the host can read one transcript and give each step a verdict of its own. A step has a time limit; a
step that fails does not stop the next one. Afterwards the guest powers off.

Layers are deterministic (sorted names, no owners, no times). The base layer, the slow one to
collect, is cached: it is rebuilt only when the list of its files, or one of them, has changed. The
archive is written here and not by cpio(1), because device nodes can then be made without root.
"""

import argparse
import glob
import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ["sym53c8xx", "sd_mod", "sr_mod", "sg", "ext4", "crc32c_generic"]
NESTED_MODULES = ["kvm-amd", "virtio_pci", "virtio_blk"]
NEEDS = {                       # program -> the Debian package that brings it
    "busybox": "busybox-static",
    "depmod": "kmod",
    "mkfs.ext4": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "fio": "fio",
    "qemu-system-x86_64": "qemu-system-x86",
    "cc": "gcc",
    "as": "binutils",
    "ld": "binutils",
}
QEMU_FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/kvmvapic.bin",
                 "/usr/share/qemu/linuxboot_dma.bin"]
SG_PROGRAMS = ["sg_get_config", "sg_inq", "sg_luns", "sg_modes", "sg_prevent", "sg_raw",
               "sg_readcap", "sg_reset", "sg_start", "sg_sync", "sg_turs", "sg_unmap",
               "sg_verify", "sg_vpd", "sg_write_same"]
NEEDS.update({name: "sg3-utils" for name in SG_PROGRAMS})
BASE_PROGRAMS = ["mkfs.ext4", "e2fsck", *SG_PROGRAMS]


class MissingPackage(Exception):
    """A Debian package that the image needs is not installed; str() is its name."""


def which(name):
    """Path of a program; also looks where an ordinary user's PATH does not."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise MissingPackage(NEEDS.get(name, name))
    return path


# ---------------------------------------------------------------------------------- the kernel

def _version_key(release):
    return [int(part) for part in re.findall(r"\d+", release)]


def find_kernel(cache):
    """Return (vmlinuz, modules directory, release) of Debian's generic kernel.

    The installed package is used when it is complete: a container may leave out /boot, the cloud
    kernel has no sym53c8xx, and the kernel that runs here need not be Debian's. Otherwise the
    package is downloaded with apt and unpacked in the cache.
    """
    found = _kernel_below("/")
    return found if found else kernel_from_deb(cache)


def _kernel_below(root):
    releases = []
    for vmlinuz in glob.glob(os.path.join(root, "boot/vmlinuz-*-amd64")):
        release = os.path.basename(vmlinuz)[len("vmlinuz-"):]
        modules = os.path.join(root, "lib/modules", release)
        if (os.path.exists(os.path.join(modules, "modules.dep")) and os.access(vmlinuz, os.R_OK)
                and glob.glob(os.path.join(modules, "kernel/drivers/scsi/*/sym53c8xx.ko*"))):
            releases.append((_version_key(release), vmlinuz, modules, release))
    return max(releases)[1:] if releases else None


def kernel_from_deb(cache):
    """The same from the .deb that linux-image-amd64 depends on, unpacked below the cache."""
    root = os.path.join(cache, "kernel")
    if not _kernel_below(root):
        os.makedirs(root, exist_ok=True)
        listing = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], check=True,
                                 capture_output=True, text=True).stdout
        package = re.search(r"Depends: (linux-image-\S+)", listing)
        if not package:
            raise MissingPackage("linux-image-amd64")
        subprocess.run(["apt-get", "download", package.group(1)], check=True, cwd=root)
        deb = max(glob.glob(os.path.join(root, "*.deb")), key=os.path.getmtime)
        subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
        os.unlink(deb)
        for release in os.listdir(os.path.join(root, "lib/modules")):
            subprocess.run([which("depmod"), "-b", root, release], check=True)
    found = _kernel_below(root)
    if not found:
        raise MissingPackage("linux-image-amd64")
    return found


def unpack_vmlinux(bzimage):
    """The ELF file in Debian's bzImage, which it packs by xz; ValueError when it is packed otherwise."""
    with open(bzimage, "rb") as stream:
        image = stream.read()
    try:
        start = ((image[0x1f1] or 4) + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
        return lzma.LZMADecompressor().decompress(image[start:])
    except (lzma.LZMAError, struct.error, IndexError) as error:
        raise ValueError(f"{bzimage} holds no kernel packed by xz") from error


def unpacked_kernel(cache, vmlinuz):
    """Path of unpack_vmlinux()'s file in the cache, written first if it is absent or out of date."""
    state = os.stat(vmlinuz)
    release = os.path.basename(vmlinuz)[len("vmlinuz-"):]
    path = os.path.join(cache, f"vmlinux-{release}-{state.st_size}-{state.st_mtime_ns}")
    if not os.path.exists(path):
        for old in glob.glob(os.path.join(cache, "vmlinux-*")):
            os.unlink(old)
        with open(f"{path}.{os.getpid()}", "wb") as out:
            out.write(unpack_vmlinux(vmlinuz))
        os.rename(out.name, path)
    return path


# ----------------------------------------------------------------------------- cpio and layers

class Layer:
    """A list of files that becomes one "newc" cpio archive."""

    def __init__(self):
        self.entries = {}       # path -> (mode, source path | bytes, rdev)

    def directory(self, path):
        while path not in ("", "/"):
            self.entries.setdefault(path.strip("/"), (stat.S_IFDIR | 0o755, b"", (0, 0)))
            path = os.path.dirname(path)

    def text(self, path, content, mode=0o755):
        self.directory(os.path.dirname(path))
        self.entries[path.strip("/")] = (stat.S_IFREG | mode, content.encode(), (0, 0))

    def file(self, source, path=None):
        path = path or source
        self.directory(os.path.dirname(path))
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self.entries[path.strip("/")] = (stat.S_IFREG | mode, source, (0, 0))

    def link(self, path, target):
        self.directory(os.path.dirname(path))
        self.entries[path.strip("/")] = (stat.S_IFLNK | 0o777, target.encode(), (0, 0))

    def device(self, path, major, minor):
        self.directory(os.path.dirname(path))
        self.entries[path.strip("/")] = (stat.S_IFCHR | 0o600, b"", (major, minor))

    def program(self, source, path=None):
        """A program with the shared libraries that ldd finds, at the places where it finds them."""
        self.file(source, path)
        listing = subprocess.run(["ldd", source], capture_output=True, text=True,
                                 check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listing):
            self.file(library)

    def modules(self, modules_dir, release, names):
        """Kernel modules with all they depend on, and a modules.dep for just these."""
        dependencies = {}
        with open(os.path.join(modules_dir, "modules.dep"), encoding="ascii") as lines:
            for line in lines:
                module, needed = line.split(":")
                dependencies[_module_name(module)] = (module, needed.split())
        wanted, queue = {}, [name.replace("-", "_") for name in names]
        while queue:
            name = queue.pop()
            if name in dependencies and name not in wanted:     # absent: built into the kernel
                wanted[name] = dependencies[name]
                queue += [_module_name(path) for path in dependencies[name][1]]
        for module, _ in wanted.values():
            self.file(os.path.join(modules_dir, module), f"/lib/modules/{release}/{module}")
        return "".join(f"{module}: {' '.join(needed)}\n"
                       for module, needed in sorted(wanted.values()))

    def key(self):
        """A digest that changes when the archive would."""
        digest = hashlib.sha256()
        for path, (mode, source, rdev) in sorted(self.entries.items()):
            digest.update(f"{path} {mode:o} {rdev} ".encode())
            if isinstance(source, bytes):
                digest.update(source)
            else:
                state = os.stat(source)
                digest.update(f"{source} {state.st_size} {state.st_mtime_ns}".encode())
        return digest.hexdigest()

    def write(self, out):
        """Write the archive; the kernel wants each one padded to four bytes."""
        for inode, (path, (mode, source, rdev)) in enumerate(sorted(self.entries.items()), 1):
            if isinstance(source, bytes):
                _cpio_member(out, path, mode, source, rdev, inode)
            else:
                with open(source, "rb") as stream:
                    _cpio_member(out, path, mode, stream.read(), rdev, inode)
        _cpio_member(out, "TRAILER!!!", 0, b"", (0, 0), 0)

    def cached(self, cache, name):
        """Path of the archive in the cache, written first if it is absent or out of date."""
        os.makedirs(cache, exist_ok=True)
        archive, stamp = (os.path.join(cache, name + end) for end in (".cpio", ".key"))
        key = self.key()
        if os.path.exists(archive) and os.path.exists(stamp):
            with open(stamp, encoding="ascii") as old:
                if old.read() == key:
                    return archive
        with open(f"{archive}.{os.getpid()}", "wb") as out:
            self.write(out)
        os.rename(out.name, archive)
        with open(f"{stamp}.{os.getpid()}", "w", encoding="ascii") as out:
            out.write(key)
        os.rename(out.name, stamp)
        return archive


def _module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def _cpio_member(out, path, mode, data, rdev, inode):
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out.write(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))


# ------------------------------------------------------------------------------- the layers

def base_layer(cache):
    """busybox, modules, file system and SCSI tools, /init."""
    _, modules_dir, release = find_kernel(cache)
    layer = Layer()
    layer.file(which("busybox"), "/bin/busybox")
    listing = subprocess.run([which("busybox"), "--list"], check=True, capture_output=True,
                             text=True).stdout
    for applet in listing.split():
        if applet not in ("busybox", "init", "mke2fs"):
            layer.link("/bin/" + applet, "busybox")
    for path in ("/proc", "/sys", "/dev", "/tmp", "/mnt", "/steps", "/run"):
        layer.directory(path)
    layer.device("/dev/console", 5, 1)
    layer.device("/dev/null", 1, 3)
    for name in BASE_PROGRAMS:
        layer.program(which(name), "/sbin/" + name)
    listing = layer.modules(modules_dir, release, MODULES)
    layer.text(f"/lib/modules/{release}/modules.dep", listing, 0o644)
    layer.text("/etc/mke2fs.conf", "[defaults]\n\tbase_features = sparse_super,large_file,filetype,"
               "resize_inode,dir_index,ext_attr\n\tblocksize = 4096\n"
               "[fs_types]\n\tsmall = {\n\t}\n\text4 = {\n"
               "\t\tfeatures = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,"
               "extra_isize\n\t}\n", 0o644)
    layer.text("/etc/passwd", "root::0:0:root:/:/bin/sh\n", 0o644)
    layer.file(os.path.join(HERE, "steps.sh"), "/etc/steps.sh")
    with open(os.path.join(HERE, "init"), encoding="utf-8") as script:
        layer.text("/init", script.read())
    return layer


def fio_layer():
    """fio and the libraries it is linked with."""
    layer = Layer()
    layer.program(which("fio"), "/bin/fio")
    return layer


def _nested_host(cache):
    """kvm-amd, linkpair, and the inner guest's kernel."""
    vmlinuz, modules_dir, release = find_kernel(cache)
    layer = Layer()
    listing = layer.modules(modules_dir, release, MODULES + NESTED_MODULES)
    layer.text(f"/lib/modules/{release}/modules.dep", listing, 0o644)
    launcher = os.path.join(cache, "linkpair")
    os.makedirs(cache, exist_ok=True)
    subprocess.run([which("cc"), "-O", "-Wall", "-Werror", "-o", f"{launcher}.{os.getpid()}",
                    os.path.join(HERE, "linkpair.c")], check=True)
    os.rename(f"{launcher}.{os.getpid()}", launcher)
    layer.program(launcher, "/bin/linkpair")
    layer.file(vmlinuz, "/nested/vmlinuz")
    return layer


def nested_layer(cache, remote):
    """Stock QEMU with kvm-amd, and a remote (a path), for a guest that is itself a host.

    The inner guest's kernel is /nested/vmlinuz; its initrd, /nested/initrd, comes in another layer.
    """
    layer = _nested_host(cache)
    layer.program(which("qemu-system-x86_64"), "/usr/bin/qemu-system-x86_64")
    # Loaded by a stock remote, which has TCG as its accelerator although it has no CPU.
    for module in sorted(glob.glob("/usr/lib/*/qemu/accel-tcg-*.so")):
        layer.program(module)
    for path in QEMU_FIRMWARE:
        if not os.path.exists(path):
            raise MissingPackage("seabios" if "seabios" in path else "qemu-system-data")
        layer.file(path)
    layer.program(remote, "/usr/bin/remote")
    return layer


def nested_own_layer(cache, emulator, remote):
    """The same with our main emulator (a path) in the place of stock QEMU."""
    layer = _nested_host(cache)
    layer.program(emulator, "/usr/bin/mpqemu")
    layer.program(remote, "/usr/bin/qemu-remote")
    return layer


def steps_layer(steps):
    """steps: dict of name -> shell text, or (seconds, shell text) for a limit other than 60 s."""
    layer = Layer()
    for number, (name, step) in enumerate(steps.items()):
        seconds, text = step if isinstance(step, tuple) else (60, step)
        layer.text(f"/steps/{number:02d}-{name}", f"# limit={seconds}\n{text}\n")
    return layer


def build_initrd(path, cache, layers, steps):
    """Write an initrd to path: the base layer, further Layers, then the steps; returns path."""
    base = base_layer(cache).cached(cache, "base")
    with open(path, "wb") as out:
        with open(base, "rb") as archive:
            shutil.copyfileobj(archive, out, 1 << 20)
        for layer in [*layers, steps_layer(steps)]:
            layer.write(out)
    return path


# ------------------------------------------------------------------------------- transcripts

class Step:
    """What one step did: its exit status (None: not finished), its output and its duration."""

    def __init__(self, name):
        self.name, self.status, self.seconds, self.lines = name, None, None, []

    @property
    def output(self):
        return "\n".join(self.lines)


def parse_transcript(text):
    """Return {step name: Step} from a serial transcript with /init's marker lines."""
    steps, current = {}, None
    for line in text.replace("\r", "").split("\n"):
        mark = re.match(r"@@(begin|end) (\S+)(?: status=(\d+) seconds=([\d.]+))?", line)
        if mark and mark.group(1) == "begin":
            current = steps[mark.group(2)] = Step(mark.group(2))
        elif mark and current:
            current.status, current.seconds = int(mark.group(3)), float(mark.group(4))
            current = None
        elif current:
            current.lines.append(line)
    return steps


def main():
    """Build what is cached, and say where it is."""
    parser = argparse.ArgumentParser(description="Build the base image of the witness guests.")
    parser.add_argument("cache", help="directory for the images, for example build/guest")
    arguments = parser.parse_args()
    try:
        print(find_kernel(arguments.cache)[0])
        print(base_layer(arguments.cache).cached(arguments.cache, "base"))
    except MissingPackage as missing:
        sys.exit(f"guest_image: install the Debian package {missing}")


if __name__ == "__main__":
    main()
