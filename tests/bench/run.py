#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Benchmarks: ours and stock side by side in one run, medians and ratios.
# Runs in: neither program; starts both programs, stock QEMU and guests.
"""Prints tables that compare this project with stock QEMU.

Each figure is the median over --rounds rounds; within a round the candidates take turns, so that a machine whose
speed drifts treats them alike. A ratio is the median of the rounds' ratios. Nothing here passes or fails.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
for _directory in ("tests/guest", "tests/peers", "tests/functional"):
    sys.path.insert(0, os.path.join(TOP, _directory))

import disks        # noqa: E402  (needs the paths above)
import dma          # noqa: E402
import emu          # noqa: E402
import guest_image  # noqa: E402
import manage       # noqa: E402
import neighbour_rows   # noqa: E402
import witness      # noqa: E402

STOCK = witness.STOCK
GUEST_JOBS = {          # row -> fio options
    "sequential write 64 KiB (MB/s)": "rw=write bs=64k iodepth=4",
    "sequential read 64 KiB (MB/s)": "rw=read bs=64k iodepth=4",
    "random read 4 KiB, depth 1 (IOPS)": "rw=randread bs=4k iodepth=1",
    "random write 4 KiB, depth 1 (IOPS)": "rw=randwrite bs=4k iodepth=1",
    "random read 4 KiB, depth 4 (IOPS)": "rw=randread bs=4k iodepth=4",
    "random write 4 KiB, depth 16 (IOPS)": "rw=randwrite bs=4k iodepth=16",
}


def build_client(directory):
    """Compile tests/bench/access.c; returns its path."""
    program = os.path.join(directory, "access")
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "access.c")], check=True)
    return program


def measure(client, *arguments):
    """Run the access client; returns {name: figure}."""
    done = subprocess.run([client, *arguments], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["name"]: row.get("p50", row.get("value")) for row in rows}


def remote_command(program, image):
    """A device process with one LSI controller and one disk."""
    return [program, "-machine", "x-remote", "-nodefaults", "-display", "none", "-device", "lsi53c895a,id=lsi0",
            "-drive", f"id=d0,file={image},format=raw,if=none",
            "-device", "scsi-hd,drive=d0,bus=lsi0.0,scsi-id=0",
            "-object", "x-remote-object,id=r0,devid=lsi0,fd=@FD@"]


def main_command(program, accelerator):
    """A main emulator with one proxy in slot 4."""
    return [program, *accelerator, "-nodefaults", "-display", "none",
            "-object", "memory-backend-memfd,id=m,size=64M", "-machine", "pc,memory-backend=m",
            "-qtest", "unix:@QTEST@,server=on,wait=off", "-qtest-log", "/dev/null",
            "-device", "x-pci-proxy-dev,id=p0,addr=4,fd=@FD@"]


def static_figures(program):
    """Shared libraries and text size of a program and of the libraries it loads."""
    listing = subprocess.run(["ldd", guest_image.which(program) if "/" not in program else program],
                             check=True, capture_output=True, text=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listing)
    text = 0
    for path in [guest_image.which(program) if "/" not in program else program, *libraries]:
        sizes = subprocess.run(["size", path], check=True, capture_output=True, text=True).stdout.splitlines()
        text += int(sizes[1].split()[0])
    return {"shared libraries": len(libraries), "text incl. libraries (MiB)": text / (1 << 20)}


def table(title, columns, rounds, better):
    """Print one table. rounds: list of {column: {row: figure}}; better: 'lower' or 'higher' for the headline."""
    print(f"\n{title} ({better} is better; median of {len(rounds)})")
    print(f"  {'':<40}" + "".join(f"{column:>22}" for column in columns) + f"{columns[-1] + '/' + columns[-2]:>28}")
    for row in rounds[0][columns[0]]:
        cells = [statistics.median(one[column][row] for one in rounds) for column in columns]
        ratio = statistics.median(one[columns[-1]][row] / one[columns[-2]][row] for one in rounds)
        print(f"  {row:<40}" + "".join(f"{cell:>22.2f}" for cell in cells) + f"{ratio:>28.2f}", flush=True)


def bench_access(client, options, directory):
    """Latency of the link and through the main emulators, start-up, memory, sizes."""
    image = disks.blank(os.path.join(directory, "access.img"), 16)
    remotes = {"stock remote": remote_command(STOCK, image), "our remote": remote_command(options.remote, image)}
    mains = {"stock main": main_command(STOCK, ["-accel", "tcg", "-S"]),
             "our main": main_command(options.main, ["-accel", "qtest"])}
    count = str(options.count)
    floors, links, through, added = [], [], [], []
    for _ in range(options.rounds):
        floors.append(measure(client, "floor", count))
        links.append({name: measure(client, "remote", count, "--", *command) for name, command in remotes.items()})
        through.append({name: measure(client, "main", count, "--", *command) for name, command in mains.items()})
        added.append({name: {row: value - figures["qtest floor (inl of a local port)"] for row, value in figures.items()
                             if row.startswith("proxied")} for name, figures in through[-1].items()})
    print("\nfloors on this machine (us, all on one core)")
    for row in floors[0]:
        print(f"  {row:<40}{statistics.median(one[row] for one in floors):>22.2f}")
    for one in links:
        for name, program in (("stock remote", STOCK), ("our remote", options.remote)):
            one[name].update(static_figures(program))
    table("device process, bare link client (us unless told)", list(remotes), links, "lower")
    table("main emulator by qtest, device answers at once (us)", list(mains), through, "lower")
    table("what the main emulator adds to qtest's own cost (us)", list(mains), added, "lower")


def guest_steps(seconds):
    """One fio run a row, on a disk that is read once before so that the host's cache is warm."""
    steps = {"load": "load_drivers 1 && dd if=$(disk 0) of=/dev/null bs=1M 2>/dev/null"}
    for number, job in enumerate(GUEST_JOBS.values()):
        arguments = " ".join("--" + word for word in job.split())
        steps[f"job{number}"] = (seconds + 60,
                                 f"fio --name=j --filename=$(disk 0) --direct=1 --ioengine=libaio {arguments} "
                                               f"--time_based --runtime={seconds} --minimal >/tmp/out && cat /tmp/out")
    return steps


def guest_figures(variant, kernel, options, directory, emulator=witness.EMULATOR):
    """Boot one guest in EMULATOR and run all jobs; returns {row: figure}."""
    with tempfile.TemporaryDirectory(dir=directory) as rundir:
        image = disks.patterned(os.path.join(rundir, "disk"), 64, seed=3)
        cache = os.path.join(TOP, "build/tests/guest")
        os.makedirs(cache, exist_ok=True)
        initrd = guest_image.build_initrd(os.path.join(rundir, "initrd"), cache, [guest_image.fio_layer()],
                                          guest_steps(options.seconds))
        boot = ["-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 panic=-1 quiet"]
        devices = [*disks.CONTROLLER, *disks.hard_disk(0, image)]
        with witness.Machine(rundir, variant, devices, boot, memory=512, emulator=emulator) as machine:
            run = witness.Run(machine, 120 + len(GUEST_JOBS) * (options.seconds + 30))
        figures = {}
        for number, (row, job) in enumerate(GUEST_JOBS.items()):
            fields = re.search(r"^3;.*$", run.ok(f"job{number}"), re.M).group(0).split(";")
            # fio's terse format, version 3: KB/s and IOPS of reads at 6 and 7, of writes at 47 and 48.
            base = 47 if "write" in job else 6
            figures[row] = int(fields[base]) / 1000 if "MB/s" in row else float(fields[base + 1])
        return figures


def bench_guest(options, directory):
    """I/O in a guest on the three set-ups."""
    setups = {"(a) stock in-process": witness.Variant(witness.IN_PROCESS),
              "(b) stock remote": witness.Variant("stock"), "(c) our remote": witness.Variant(options.remote)}
    own_main = witness.Emulator("emu")
    own_main.command[0] = options.main
    cache = os.path.join(TOP, "build/tests/guest")
    kernel = guest_image.find_kernel(cache)[0]
    rounds = []
    for _ in range(options.rounds):
        rounds.append({name: guest_figures(variant, kernel, options, directory) for name, variant in setups.items()})
        rounds[-1]["(d) our main, our remote"] = guest_figures(setups["(c) our remote"], kernel, options, directory,
                                                               own_main)
    table("guest I/O, stock main under TCG, interrupts pumped alike in (b) and (c)", list(setups), rounds, "higher")
    table("the same beside our main under its own engine", ["(a) stock in-process", "(d) our main, our remote"], rounds,
          "higher")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--remote", default=os.path.join(TOP, "build/remote/qemu-remote"), metavar="PATH")
    parser.add_argument("--main", default=os.path.join(TOP, "build/main/mpqemu"), metavar="PATH")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each comparison (default 3)")
    parser.add_argument("--count", type=int, default=20000, help="accesses a figure (default 20000)")
    parser.add_argument("--seconds", type=int, default=5, help="duration of a fio job (default 5)")
    parser.add_argument("--only", choices=("access", "dma", "emu", "manage", "neighbour", "guest"),
                        help="one part only")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="mpqemu-bench-") as directory:
        if options.only in (None, "access"):
            bench_access(build_client(directory), options, directory)
        if options.only in (None, "dma"):
            rounds = [dma.figures(options.main, options.remote, pathlib.Path(directory)) for _ in range(options.rounds)]
            table("disk commands and register accesses with dma=map and dma=bounce (us)", list(rounds[0]), rounds,
                  "lower")
        if options.only in (None, "emu"):
            emu.report(options, directory, table)
        if options.only in (None, "manage"):
            manage.report(options.main, options.remote, STOCK, pathlib.Path(directory), options.rounds)
        if options.only in (None, "neighbour"):
            neighbour_rows.report(options.main, options.remote, options.rounds)
        if options.only in (None, "guest"):
            bench_guest(options, directory)


if __name__ == "__main__":
    main()
