# SPDX-License-Identifier: GPL-2.0-or-later
# Privileged behaviour of the built-in engine and of stock's TCG, trial by trial.
# Runs in: neither program; drives mpqemu and stock QEMU from outside.
"""One image for each of two modes (tests/guest/privileged), run by both; what they print is compared.

Where they differ, one of both is wrong. TCG leaves out a good deal that no operating system asks for; what it leaves
out is in a table here, with the manual's section. Anything else that differs is a failure,
and so is a row of the table that nothing needs any more. Rows of segments and pages are taken apart, so that each trial
in them is judged by itself.

SDM is Intel's Software Developer's Manual, volume and section; APM is AMD's Programmer's Manual.
"""

import os
import re
import subprocess

import pytest

import guest_image
import witness
from packages import need
from witness import TESTS

SECONDS = 120
PASSED = 0x10 << 1 | 1
DIRECTORY = os.path.join(TESTS, "guest", "privileged")
BUILD_OPTIONS = ["-O1", "-Wall", "-Werror", "-ffreestanding", "-fno-pic", "-no-pie", "-mno-red-zone",
                 "-mgeneral-regs-only", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
                 "-fcf-protection=none", "-nostdlib", "-static", "-Wl,--build-id=none,--no-warn-rwx-segments", "-T",
                 os.path.join(DIRECTORY, "link.ld")]
DEVICES = ["-nodefaults", "-display", "none", "-m", "64", "-no-reboot", "-chardev", "stdio,id=text",
           "-device", "isa-debugcon,iobase=0xe9,chardev=text", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
FAULTS = ("0", "6", "7", "a", "b", "c", "d", "e", "10", "11", "13")


def fields(value):
    """{"vector": "d", ...} of an event's text."""
    return dict(re.findall(r"\b(vector|error|place|ip|cs|flags|inside|a|d|ss|cr2|dr6) ([0-9a-f]+)", value))


def only(*names):
    """A rule: nothing but these fields differs."""
    def rule(stock, ours):
        one, other = fields(stock), fields(ours)
        return one and {name for name in {*one, *other} if one.get(name) != other.get(name)} <= set(names)
    return rule


def doubled_number(stock, ours):
    """Index of the IDT times 16, and without EXT."""
    one, other = (int(fields(text).get("error", "0"), 16) for text in (stock, ours))
    return only("error")(stock, ours) and one & 7 == 2 and other & 6 == 2 and one >> 4 == other >> 3


def without_ext(stock, ours):
    one, other = (int(fields(text).get("error", "0"), 16) for text in (stock, ours))
    return only("error")(stock, ours) and one | 1 == other


def faults_in_ours(*vectors):
    """A rule: goes on in stock, and is one of these faults in ours."""
    def rule(stock, ours):
        return fields(ours).get("vector") in vectors and fields(stock).get("vector") != fields(ours)["vector"]
    return rule


def item(pattern_of_stock, pattern_of_ours):
    """A rule for what is no event."""
    def rule(stock, ours):
        return bool(re.fullmatch(pattern_of_stock, stock) and re.fullmatch(pattern_of_ours, ours))
    return rule


def marked_accessed(stock, ours):
    """The same, and ours has set the accessed bit of the descriptor."""
    return re.fullmatch(r"(.*)/now[9f][9bdf]", ours) and ours.rsplit("/now", 1)[0] == stock


def any_way(_stock, _ours):
    return True


# name, manual, trials (a pattern), rule (of both results)
DEVIATIONS = [
    ("error code of INT n and of gates", "SDM 3A 6.13", r".*", doubled_number),
    ("EXT bit of error codes", "SDM 3A 6.13", r".*", without_ext),
    # pages
    ("error code of reserved bits tells no translation", "SDM 3A 4.7", r"page .*",
     item(r"[8ac]|e|18|1c", r"[9bd]|f|19|1d")),
    # segments
    ("far CALL and returns leave CS unmarked", "SDM 3A 5.8, APM 2 4.7", r"segment .* (jump|call|return|iret\w*)",
     marked_accessed),
    ("CS.L with CS.D", "SDM 2A CALL, JMP, RET, IRET", r"segment (9|f|1|7)[89abcdef] flags e .*", item(r".*", r"vd/80")),
    ("16-bit TSS and other types that long mode has not", "SDM 2A LAR, LSL, LTR", r"segment .* (lar|lsl|ltr)",
     item(r"[0-9a-f]+|vb/80|8[03]/now(83|e3)", r"10001111|vd/80")),
    ("LTR of the null selector", "SDM 2A LTR", r"segment null.* ltr", item(r"[03]", r"vd/0")),
    ("upper type bits of an LDT's descriptor", "SDM 3A 3.5.2", r"segment high part of LDT.* lldt",
     item(r"80", r"vd/80")),
    ("call gate to no address", "SDM 2A CALL", r"segment gate not canonical .* call", item(r"vd/0/cs8", r"vd/0")),
    ("RPL of CS behind a gate to conforming code", "SDM 2A CALL", r"segment gate to another selector .* user call",
     item(r"0/cs90", r"0/cs93")),
    ("limits and rights of data segments", "SDM 3A 5.3, 5.4",
     r"segment .* (read|write)|(ds_null|cs_write|fs_limit|down|down_top|32-bit lds_null|32-bit high) \w+",
     lambda stock, ours: "vd/0" in ours or faults_in_ours("d")(stock, ours)),
    ("limit of CS behind far transfers", "SDM 2A CALL, RET, IRET", r"segment .* flags 4 .* (call|return|iret)",
     item(r"vd/80|0/cs8[03]", r"vd/0")),
    # descriptors, control registers, MSRs
    ("branches to no address fault at the target", "SDM 2A CALL, IRET, 2B RET, SYSRET, SYSEXIT",
     r"(call|ret|iret_ip|lret|sysret|sysexit)_not_canonical \w+", only("ip", "place", "cs", "ss")),
    ("#SS for addresses that are not canonical", "SDM 1 3.3.7.1", r"(stack|rbp|enter|push)_not_canonical \w+",
     lambda stock, ours: fields(ours)["vector"] == "c" and fields(stock)["vector"] in ("d", "e")),
    ("an operand that ends beyond the canonical addresses", "SDM 1 3.3.7.1", r"across_canonical \w+",
     faults_in_ours("d")),
    ("null SS with RPL 3 for CPL 0", "SDM 2A IRET", r"iret_null_ss_3 kernel", faults_in_ours("d")),
    ("reserved bits of control registers", "SDM 3A 2.5", r"cr(0_nw_without_cd|0_high|8_reserved|4_pcide) kernel",
     faults_in_ours("d")),
    ("reserved bits of CR0 that are ignored", "SDM 3A 2.5", r"cr0_others kernel", only("a")),
    ("canonical MSRs", "SDM 4 2.1", r"wrmsr_(lstar|cstar|fsbase|kernelgs|sysenter_ip) kernel", faults_in_ours("d")),
    ("MSRs that are not there, or are read-only", "SDM 4 2.1, 3A 6.15", r"(rd|wr)msr_(tsc_absent|mtrr_cap) kernel",
     faults_in_ours("d")),
    ("reserved values of MSRs", "SDM 4 2.1, 3A 11.12", r"wrmsr_(efer_\w+|pat|apic_base) kernel", faults_in_ours("d")),
    ("performance counters that are not there", "SDM 2B RDPMC", r"(rdpmc|pce) kernel", faults_in_ours("d")),
    ("WRFSBASE of no address", "SDM 2D WRFSBASE", r"fsgsbase_on kernel", faults_in_ours("d")),
    ("MONITOR is not told in our CPUID", "SDM 2B MONITOR", r"monitor kernel", faults_in_ours("6")),
    ("XSETBV without CR4.OSXSAVE at CPL 3", "SDM 2D XSETBV", r"xsetbv_off user", faults_in_ours("6")),
    ("LOCK before what cannot be locked", "SDM 2A LOCK", r"(lock_mov|cr8_lock) \w+", faults_in_ours("6")),
    ("INT1", "SDM 2A INT1", r"(.* )?icebp \w+", any_way),
    ("SYSCALL of 32-bit code, which Intel's have not", "SDM 2B SYSCALL", r"32-bit syscall \w+", faults_in_ours("6")),
    # x87, SSE
    ("exceptions of SSE", "SDM 1 11.5", r"sse_exception \w+", faults_in_ours("13")),
    ("exceptions of SSE without CR4.OSXMMEXCPT", "SDM 3A 2.5", r"no_osxmmexcpt kernel", faults_in_ours("6")),
    ("reserved bits of MXCSR", "SDM 1 10.2.3", r"ldmxcsr_reserved \w+", faults_in_ours("d")),
    ("x87 exceptions are taken by the next instruction", "SDM 1 8.7", r"x87_by_(next|mmx|pin) \w+",
     faults_in_ours("10")),
    ("x87 exceptions that keep the operands", "SDM 1 8.5.3", r"x87_not_by_control \w+", only("a")),
    ("MMX with CR0.TS or CR0.EM", "SDM 3A 12.1", r"cr0_(ts|em)_mmx kernel", faults_in_ours("7", "6")),
    ("SSE with CR0.EM and CR0.TS", "SDM 3A 13.1", r"cr0_em_ts_sse kernel", only("vector")),
    # debugging, alignment
    ("alignment check", "SDM 3A 6.15", r"alignment .* user", faults_in_ours("11")),
    ("reserved bits of DR6 and DR7", "SDM 3B 17.2", r"dr[67]_bits kernel", only("a")),
    ("DR7.GD", "SDM 3B 17.2.4", r"dr7_gd kernel", faults_in_ours("1")),
    ("data breakpoints are traps", "SDM 3B 17.3.1.2", r"readwrite2\+step .*|readwrite4 shadowed_write \w+", any_way),
    ("breakpoint of the instruction after a single step", "SDM 3A 6.9", r"code\+step .*", any_way),
    ("breakpoints of ports without CR4.DE", "SDM 3B 17.2.4", r"io port kernel", any_way),
    # tasks
    ("T flag of a TSS", "SDM 3A 7.2.1", r"task trap by \w+ kernel", faults_in_ours("1")),
    ("task gate to a local selector", "SDM 2A INT n", r"gate to local task: .*",
     lambda stock, ours: fields(stock)["vector"] == "a" and fields(ours)["vector"] == "d"),
    ("inner stack that is not present", "SDM 2A INT n", r"stack absent: .*",
     lambda stock, ours: fields(stock)["vector"] == "a" and fields(ours)["vector"] == "c"),
]
# What ends stock's processor: the vector and error code of ours.
FATAL = [
    ("LGDT of no address", "SDM 2A LGDT", r"lgdt_not_canonical \w+", "d", "0"),
    ("reserved bits and combinations of control registers", "SDM 3A 2.5", r"cr[034]_\w+ \w+", "d", "0"),
    ("gate to no address", "SDM 2A INT n", r"gate not canonical: (undefined|step) \w+", "d", "1"),
    ("gate to no address, by INT n", "SDM 2A INT n", r"gate not canonical: INT n kernel", "d", "0"),
    ("gate that is not for users", "SDM 2A INT n", r"gate not canonical: INT n user", "d", "412"),
    ("gate to no address, of a contributory exception", "SDM 3A 6.15", r"gate not canonical: (protection|division) \w+",
     "8", "0"),
]


class Payload:
    """The lines of one image: .stock, .ours as {trial: result}, .fatal what only ours could do."""

    def __init__(self, directory, bits):
        image = str(directory / f"privileged{bits}")
        sources = [os.path.join(DIRECTORY, name) for name in ("start.S", "harness.c", f"priv{bits}.c")]
        subprocess.run([guest_image.which("cc"), f"-m{bits}", *BUILD_OPTIONS, "-o", image, *sources], check=True,
                       timeout=60)
        stock, _ = self._run([witness.STOCK, "-accel", "tcg", "-cpu", "max,vendor=GenuineIntel"], image)
        ours, status = self._run(witness.Emulator("emu").command, image)
        assert status == PASSED and ours.endswith("\nend\n"), ours[-2000:]
        assert "\nfatal to stock\n" in stock or stock.endswith("\nend\n"), stock[-2000:]
        self.stock = parse(stock.split("fatal to stock\n")[0])
        self.ours = parse(ours.split("fatal to stock\n")[0])
        self.fatal = parse(ours.partition("fatal to stock\n")[2])

    @staticmethod
    def _run(command, image):
        done = subprocess.run([*command, *DEVICES, "-kernel", image], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=SECONDS, check=False)
        return done.stdout, done.returncode


def parse(text):
    """{trial: result}; a trial that is there twice is numbered."""
    results = {}

    def add(name, result):
        number = 1
        while (name, number) in results:
            number += 1
        results[name, number] = result.strip()

    for line in text.splitlines():
        if line in ("end", ""):
            continue
        match = re.match(r"(segment .*?|page .*?|.*? (?:kernel|user)|.*afterwards):(.*)", line)
        assert match, line
        name, result = match.groups()
        if name.startswith("segment"):
            for part in result.split():
                operation, _, value = part.partition("=")
                add(f"{name} {operation}", value)
        elif name.startswith("page"):
            for number, part in enumerate(result.replace(",", " ").split()):
                # Whether a translation that fails marks its entry as accessed is the processor's choice.
                add(f"{name} {number}", part if part.startswith("ok") else part.removesuffix("/a"))
        else:
            add(name, result)
    return {f"{name} [{number}]" if number > 1 else name: result for (name, number), result in results.items()}


@pytest.fixture(scope="module")
def payloads(tmp_path_factory):
    """Both images, by their bits."""
    need("cc", "as", "ld", witness.STOCK)
    directory = tmp_path_factory.mktemp("payload")
    return {bits: Payload(directory, bits) for bits in (64, 32)}


@pytest.fixture(params=[64, 32])
def payload(request, payloads):
    return payloads[request.param]


def without_rf(result):
    """TCG never sets RF in what a fault saves (SDM 3B 17.3.1.1); ours is checked by itself."""
    return result.replace(" RF", "")


def differences(payload):
    return {name: (without_rf(payload.stock.get(name, "nothing")), without_rf(result))
            for name, result in payload.ours.items()
            if without_rf(payload.stock.get(name, "nothing")) != without_rf(result)}


def deviation(name, stock, ours):
    name = re.sub(r" \[\d+\]$", "", name)
    return next((row for row in DEVIATIONS if re.fullmatch(row[2], name) and row[3](stock, ours)), None)


def test_agrees_with_stock_or_with_the_manual(payload):
    assert payload.stock.keys() == payload.ours.keys()
    unexplained = [f"{name}\n  stock: {stock}\n  ours:  {ours}" for name, (stock, ours) in differences(payload).items()
                   if not deviation(name, stock, ours)]
    assert not unexplained, f"{len(unexplained)} of {len(payload.ours)}:\n" + "\n".join(unexplained[:60])


def test_faults_save_rf_and_traps_do_not(payload):
    """SDM 3B 17.3.1.1. Events through a task gate save nothing in the frame."""
    told = [(name, result) for name, result in payload.ours.items()
            if " vector " in f" {result}" and " cs 0 " not in result]
    assert len(told) > 100
    wrong = [f"{name}: {result}" for name, result in told
             if (" RF" in result) != (fields(result)["vector"] in FAULTS)
             and fields(result)["vector"] not in ("1", "4", "5")]
    assert not wrong, "\n".join(wrong)


def test_every_deviation_is_still_there(payloads):
    seen = {deviation(name, *results)[0] for payload in payloads.values()
            for name, results in differences(payload).items() if deviation(name, *results)}
    assert seen == {row[0] for row in DEVIATIONS}


def test_does_what_stock_cannot(payload):
    """Trials after which stock's processor does not go on."""
    if not payload.fatal:
        pytest.skip("none in this mode")
    for name, result in payload.fatal.items():
        row = next(row for row in FATAL if re.fullmatch(row[2], name))
        assert (fields(result)["vector"], fields(result)["error"]) == row[3:], f"{row[0]} ({row[1]}), {name}: {result}"
