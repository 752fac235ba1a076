# SPDX-License-Identifier: GPL-2.0-or-later
# What kills a stock remote and must not come through mpqemu's proxy.
# Runs in: neither program; drives mpqemu, qemu-remote and stock QEMU from outside.
"""Stock QEMU as a remote ends its process at some requests that a guest can cause.

The same tests run against our remote, which is not to notice any difference.
"""

import contextlib
import subprocess

import pytest

from mpqemu_link import socket_pair
from qtest import WAIT, Qtest, QtestError
from test_lsi_driver import wait_until_idle

LSI_IDS = 0x00121000


@pytest.fixture(params=["stock", "ours"])
def remote(request):
    """Name and path of a remote program."""
    return request.param, request.getfixturevalue(
        "stock_program" if request.param == "stock" else "remote_program")


@contextlib.contextmanager
def machine(main_program, program, parts):
    """mpqemu whose RAM has PARTS backends, with an LSI of the remote in slot 2: (qtest, remote's process)."""
    ours, theirs = socket_pair()
    args = ["-nodefaults"]
    for i in range(parts):
        args += ["-object", f"memory-backend-memfd,id=m{i},size=1M", "-numa", f"node,memdev=m{i}"]
    with ours, theirs:
        process = subprocess.Popen(
            [program, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device", "lsi53c895a,id=lsi0",
             "-object", f"x-remote-object,id=r0,devid=lsi0,fd={theirs.fileno()}"],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            theirs.close()
            wait_until_idle(process)
            args += ["-device", f"pci-proxy-dev,id=lsi0,fd={ours.fileno()}"]
            qtest = Qtest(main_program, args, pass_fds=[ours.fileno()])
            ours.close()
            with qtest:
                yield qtest, process
            process.wait(WAIT)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def test_last_config_bytes(main_program, remote):
    with machine(main_program, remote[1], 1) as (qtest, process):
        qtest.pci_write(2, 252, 4, 0x44332211)
        last = bytearray(qtest.pci_read(2, 252, 4).to_bytes(4, "little"))
        # Stock lets the guest write where there is no register, ours does not.
        writable = last != bytes(4)
        assert writable == (remote[0] == "stock")
        for offset, size in ((252, 1), (253, 1), (254, 1), (255, 1), (254, 2), (253, 1), (252, 2)):
            at = slice(offset - 252, offset - 252 + size)
            assert qtest.pci_read(2, offset, size) == int.from_bytes(last[at], "little")
            data = bytes(0x80 | offset - 252 + i for i in range(size))
            qtest.pci_write(2, offset, size, int.from_bytes(data, "little"))
            if writable:
                last[at] = data
            assert qtest.pci_read(2, 252, 4).to_bytes(4, "little") == last
        assert qtest.pci_read(2, 0, 4) == LSI_IDS
        assert process.poll() is None
        assert qtest.stderr() == ""


@pytest.mark.parametrize("parts", [1, 7])
def test_guest_memory_in_parts(main_program, remote, parts):
    with machine(main_program, remote[1], parts) as (qtest, process):
        assert qtest.pci_read(2, 0, 4) == LSI_IDS
        assert process.poll() is None


def test_eight_parts_of_guest_memory(main_program, remote):
    """Ours takes 8, stock's limit is 7: a message that says so, and no machine."""
    if remote[0] == "ours":
        with machine(main_program, remote[1], 8) as (qtest, _):
            assert qtest.pci_read(2, 0, 4) == LSI_IDS
        return
    with pytest.raises(QtestError) as error:
        with machine(main_program, remote[1], 8):
            pass
    assert "exit status 1" in str(error.value)
    assert "-device pci-proxy-dev,id=lsi0" in str(error.value) and "takes 7 parts" in str(error.value)
