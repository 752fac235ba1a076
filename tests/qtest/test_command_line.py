# SPDX-License-Identifier: GPL-2.0-or-later
# mpqemu's command line: what is accepted, and what is refused with which words.
# Runs in: neither program; drives mpqemu from outside.
"""A refusal is one line that names option, value and remedy; exit status 1; nothing half-started."""

import subprocess

import pytest

from mpqemu_link import FakeDevice, LinkServer, socket_pair
from qtest import Qtest

MEMFD = ("-object", "memory-backend-memfd,id=m0,size=32M")


def run(program, *args, **kwargs):
    return subprocess.run([program, *args], capture_output=True, text=True, timeout=20,
                          stdin=subprocess.DEVNULL, check=False, **kwargs)


@pytest.mark.parametrize("args,text", [
    (["-accel", "tcg"], "-accel tcg: there is no tcg in this program; its own engine is emu"),
    (["-accel", "qtest:hvf"], "-accel qtest:hvf: there is no accelerator 'hvf'; -accel help lists them"),
    (["-accel", "qtest,thread=multi"], "thread"),
    (["-machine", "pc,accel=tcg"], "-machine accel tcg: there is no tcg"),
    (["-smp", "0"], "-smp 0: there can be 1 to 8 processors"),
    (["-smp", "9"], "-smp 9: there can be 1 to 8 processors"),
    (["-smp", "4,sockets=3"], "do not make 4 processors"),
    (["-smp", "4,sockets=1,cores=2,threads=1"], "do not make 4 processors"),
    (["-smp", "4,sockets=0"], "do not make 4 processors"),
    (["-smp", "8,threads=3"], "do not make 8 processors"),
    (["-smp", "6,sockets=2"], "gaps between APIC IDs"),
    (["-smp", "6,cores=2,threads=3"], "gaps between APIC IDs"),
    (["-smp", "2,maxcpus=4"], "leave maxcpus= out"),
    (["-smp", "2,dies=2"], "dies"),
    (["-smp", "2"], "-smp: with qtest a test program plays the CPU, and there are no processors; leave it out"),
    (["-cpu", "host"], "-cpu: with qtest"),
    (["-machine", "none", "-serial", "null"], "-serial null: -machine none has no serial ports; leave it out"),
    (["-machine", "none", "-debugcon", "null"], "-debugcon null: -machine none has no I/O ports"),
    (["-machine", "none", "-rtc", "base=utc"], "-rtc base=utc: -machine none has no clock"),
    (["-qtest", "unix:/no/such/s,wait=off"], "wait=off is for one that listens; leave it out, or add server=on"),
    (["-qmp", "unix:/no/such/s,wait=off"], "wait=off is for one that listens"),
    (["-chardev", "socket,id=c,path=/no/such/s,wait=on"], "wait=on is for one that listens"),
    (["-chardev", "socket,id=m,path=/no/such/s,wait=off", "-mon", "m"], "wait=off is for one that listens"),
    (["-serial", "unix:/no/such/s,wait=off"], "wait=off is for one that listens"),
    *[(["-chardev", "null,id=c", "-device", f"isa-debugcon,iobase={port},chardev=c"],
       f"-device isa-debugcon: I/O ports {port} to {port}: {owner}; choose others") for port, owner in (
           ("0xcf8", "'the PCI config mechanism' has 0xcf8 to 0xcff"),
           ("0xcff", "'the PCI config mechanism' has 0xcf8 to 0xcff"),
           ("0x511", "'fw_cfg' has 0x510 to 0x51b"),
           ("0x600", "'ACPI power management' has 0x600 to 0x63f"),
           ("0xafe0", "'ACPI GPE' has 0xafe0 to 0xafe3"),
           ("0xae13", "'ACPI PCI hot-plug' has 0xae00 to 0xae13"))],
    (["-d", "in_asm"], "-d in_asm: there is no log item 'in_asm'; -d help lists them"),
    (["-d", "trace:no_such_event"], "no trace event"),
    (["-frobnicate"], "-frobnicate: unknown option; -help"),
    (["-device"], "-device: its argument is missing"),
    (["disk.img"], "unexpected argument 'disk.img'"),
    (["-machine", "q35"], "unsupported machine type 'q35'"),
    (["-machine", "pc,foo=1"], "foo"),
    (["-m", "0"], "-m 0: '0' is no size"),
    (["-m", "12x"], "'12x' is no size"),
    (["-m", "1K"], "whole pages"),
    (["-m", "256,slots=2,maxmem=1G"], "leave slots= and maxmem= out"),
    (["-m", "size=1024G"], "at most 512G"),
    (["-numa", "node"], "-numa node: not supported; give -numa node,memdev=ID"),
    (["-numa", "node,memdev=nope"], "-numa node,memdev=nope: there is no memory backend"),
    (["-machine", "pc,memory-backend=nope"], "memory-backend=nope"),
    ([*MEMFD, "-numa", "node,memdev=m0", "-numa", "node,memdev=m0"], "in use already"),
    ([*MEMFD, "-m", "64", "-numa", "node,memdev=m0"], "give both the same size"),
    ([*MEMFD, "-machine", "pc,memory-backend=m0", "-numa", "node,memdev=m0"], "exclude each other"),
    (["-object", "memory-backend-memfd,id=m0"], "size"),
    (["-object", "nonsense,id=x"], "'nonsense' is not an object type"),
    (["-device", "nonsense"], "'nonsense' is not a valid device model name"),
    (["-device", "ioapic"], "'ioapic' is not a valid device model name"),
    (["-device", "i440FX"], "'i440FX' is not a valid device model name"),
    (["-device", "lsi53c895a,foo=1"], "foo"),
    (["-device", "lsi53c895a,bus=pci.7"], "bus=pci.7: there is no bus"),
    (["-device", "lsi53c895a,addr=0"], "taken by i440FX"),
    (["-device", '{"driver":"lsi53c895a","addr":"20"}'], "no PCI address"),
    (["-machine", "none", "-device", "lsi53c895a"], "no 'PCI' bus found"),
    (["-device", "scsi-hd,drive=d0"], "bus found"),
    (["-device", "lsi53c895a"] * 31, "-device lsi53c895a: all PCI buses are full"),
    (["-device", "lsi53c895a,bus=pci.0"] * 31, "-device lsi53c895a: PCI bus 'pci.0' has no free slot; give addr= or"),
    (["-device", "lsi53c895a", "-device", "scsi-hd,drive=d0"], "d0"),
    (["-drive", "id=d0,file=/no/such/file,format=raw,if=none"], "/no/such/file"),
    (["-device", "pci-proxy-dev,id=p0"], "property 'fd' is missing"),
    (["-device", "pci-proxy-dev,fd=99"], "99"),
    (["-device", "pci-proxy-dev,fd=99,timeout=0"], "timeout"),
    (["-add-fd", "fd=99,set=1"], "99"),
    (["-add-fd", "set=1"], "-add-fd: fd is missing"),
    (["-qtest", "tcp:1.2.3.4"], "-qtest tcp:1.2.3.4: not supported"),
    (["-qtest", "unix:/no/such/directory/s"], "cannot connect"),
    (["-qtest", "unix:/no/such/directory/s,server=on"], "cannot listen"),
    (["-qtest", "unix:" + "x" * 120 + ",server=on"], "use a shorter one"),
    (["-qtest-log", "/no/such/directory/l", "-qtest", "stdio"], "-qtest-log"),
    (["-display", "gtk"], "only 'none' is accepted"),
    (["-monitor", "tcp::1"], "give unix:PATH"),
    (["-daemonize"], "-daemonize is not supported"),
    (["-trace", "no_such_event"], "no trace event"),
    (["-trace", "file=/no/such/t"], "-trace: parameter 'file': Could not open '/no/such/t': No such file or directory"),
    (["-D", "/no/such/t"], "-D: Could not open '/no/such/t': No such file or directory; give a file that can be made"),
    (["-serial"],
     "give -serial stdio | mon:stdio | unix:PATH[,server=on][,wait=off] | file:PATH | pty | null | chardev:ID"),
    (["-nic", "user"], "-nic user: not in this version; only 'none' is accepted"),
])
def test_refused(main_program, args, text):
    if args and not any(a.startswith("-accel") or "accel=" in a for a in args):
        args = ["-accel", "qtest", *args]
    result = run(main_program, *args)
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    assert text in result.stderr
    assert result.stderr.startswith("mpqemu: ") and result.stderr.count("\n") == 1, result.stderr


@pytest.mark.parametrize("args,texts", [
    (["-help"], ["usage: mpqemu", "-device", "-qtest"]),
    (["--help"], ["usage: mpqemu"]),
    (["-h"], ["usage: mpqemu"]),
    (["-version"], ["mpqemu"]),
    (["-machine", "help"], ["none", "pc"]),
    (["-device", "help"], ['"pci-proxy-dev"', '"lsi53c895a"', '"scsi-hd"']),
    (["-device", "pci-proxy-dev,help"], ["fd=", "timeout=", "5000"]),
    (["-device", "x-pci-proxy-dev,help"], ["fd="]),
    (["-rdevice", "help"], ['"lsi53c895a"', '"scsi-hd"']),
    (["-rdevice", "scsi-hd,help"], ["scsi-id=", "drive="]),
    (["-object", "help"], ["memory-backend-memfd"]),
    (["-trace", "help"], ["proxy_state", "mpqemu_link_out"]),
    (["-accel", "help"], ["qtest"]),
    (["-d", "help"], ["guest_errors", "trace:"]),
])
def test_help(main_program, args, texts):
    result = run(main_program, *args)
    assert result.returncode == 0 and result.stderr == ""
    for text in texts:
        assert text in result.stdout


@pytest.mark.parametrize("size,last", [("16", 16 << 20), ("24M", 24 << 20), ("size=8192K", 8 << 20),
                                       ("0.5G", 512 << 20)])
def test_memory_size(main_program, size, last):
    with Qtest(main_program, ["-m", size]) as q:
        q.writeb(last - 1, 0x5a)
        assert q.readb(last - 1) == 0x5a
        assert q.readb(last) == 0xff


def test_memory_above_4_gib(main_program):
    with Qtest(main_program, ["-m", "4G"]) as q:
        q.writel((3 << 30) - 4, 1)
        assert q.readl((3 << 30) - 4) == 1
        assert q.readl(3 << 30) == 0xffffffff
        q.writel((5 << 30) - 4, 2)
        assert q.readl((5 << 30) - 4) == 2
        assert q.readl(5 << 30) == 0xffffffff


def test_machine_none(main_program):
    with Qtest(main_program, ["-M", "none", "-m", "8"]) as q:
        q.writel(0x1000, 3)
        assert q.readl(0x1000) == 3
        assert q.inl(0xcfc) == 0xffffffff


def test_stock_users_words(main_program, tmp_path):
    """The options of a stock command line with its memory backend."""
    path = tmp_path / "ram"
    with Qtest(main_program, [
            "-machine", "pc,accel=qtest", "-name", "vm", "-nodefaults", "-nographic", "-display",
            "none", "-monitor", "none", "-serial", "none", "-vga", "none", "-net", "none", "-nic", "none",
            "-parallel", "none", "-no-reboot", "-no-shutdown", "-S", "-m", "64", *MEMFD,
            "-object", f"memory-backend-file,id=m1,size=32M,mem-path={path},share=on",
            "-numa", "node,memdev=m0", "-numa", "node,nodeid=1,memdev=m1"]) as q:
        q.write((32 << 20) - 2, b"abcd")
        assert q.read((32 << 20) - 2, 4) == b"abcd"
        with open(path, "rb") as stream:
            assert stream.read(2) == b"cd"


def test_json_device(main_program):
    ours, theirs = socket_pair()
    with LinkServer(theirs, FakeDevice()), ours:
        with Qtest(main_program, ["-device", '{"driver":"pci-proxy-dev","id":"p","addr":"5.0",'
                                  f'"fd":"{ours.fileno()}"}}'], pass_fds=[ours.fileno()]) as q:
            assert q.pci_read(5, 0, 4) == 0x10ff1af4
            assert q.pci_read(3, 0, 4) == 0xffffffff


def test_proxy_by_name_and_set(main_program):
    """fd= names what -add-fd named; the remote sees the end of its link when the program ends."""
    ours, theirs = socket_pair()
    with LinkServer(theirs, FakeDevice()) as server:
        with ours:
            q = Qtest(main_program, ["-add-fd", f"fd={ours.fileno()},set=1,opaque=disk",
                                     "-device", "pci-proxy-dev,id=p,fd=disk"],
                      pass_fds=[ours.fileno()])
        assert q.pci_read(2, 0, 4) == 0x10ff1af4
        assert q.close() == 0
        server._thread.join(20)
        assert server.error == "the end of the stream"


def test_private_memory_and_a_proxy(main_program, tmp_path):
    ours, theirs = socket_pair()
    args = ["-accel", "qtest", "-object",
            f"memory-backend-file,id=m0,size=32M,mem-path={tmp_path}/ram,share=off", "-machine",
            "pc,memory-backend=m0", "-device", f"pci-proxy-dev,fd={ours.fileno()}"]
    with LinkServer(theirs, FakeDevice()), ours:
        result = run(main_program, *args, pass_fds=[ours.fileno()])
    assert result.returncode == 1
    assert "share=on" in result.stderr and "private" in result.stderr


def test_eight_parts_of_memory(main_program):
    """As many nodes as the link can carry, as one piece of guest memory."""
    args = []
    for i in range(8):
        args += ["-object", f"memory-backend-memfd,id=m{i},size=1M", "-numa", f"node,memdev=m{i}"]
    ours, theirs = socket_pair()
    with LinkServer(theirs, FakeDevice()) as server:
        with ours, Qtest(main_program, [*args, "-device", f"pci-proxy-dev,fd={ours.fileno()}"],
                         pass_fds=[ours.fileno()]) as q:
            q.pci_read(2, 0, 4)
            assert len(server.ranges) == 8
            q.write((2 << 20) - 2, b"over")
            assert server.dma_read((2 << 20) - 2, 2) == b"ov"
            assert server.dma_read(2 << 20, 2) == b"er"
            assert server.dma_write(5 << 20, b"dma")
            assert q.read(5 << 20, 3) == b"dma"
