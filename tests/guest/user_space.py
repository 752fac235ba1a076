# SPDX-License-Identifier: GPL-2.0-or-later
# The host's own programs as a guest's user space on a disk, and the work that they do there.
# Runs in: neither program; makes a disk image on the host.
"""Debian's programs and libraries, as installed here, on an ext4 disk image, with jobs for them.

A job is a few lines of shell. It prints what its programs compute; the same programs compute the same on the host,
where the jobs run natively in a directory of the same layout:

  jobs/NAME     the job; it runs in work/NAME, so its inputs are ../../in/*
  in/           inputs: sources, a text, some noise, a key
  out/NAME      what it prints, and out/NAME.errors
  run           runs one job

Programs choose their way by CPUID, so a guest runs other variants of many functions than the host does: their results
have to agree. An exception is libm, whose variants with FMA round differently; the host is told not to use these.
"""

import glob
import os
import random
import shutil
import subprocess
import tempfile

from guest_image import Layer, MissingPackage, which

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "user-space")
ENVIRONMENT = {"PATH": "/usr/bin:/usr/sbin", "LC_ALL": "C", "TZ": "UTC", "HOME": "/", "PYTHONHASHSEED": "0",
               "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4"}
PROGRAMS = {                    # program -> the Debian package that brings it, where that is not Essential
    "gcc": "gcc", "as": "binutils", "ld": "binutils", "tcc": "tcc", "xz": "xz-utils", "zstd": "zstd", "bzip2": "bzip2",
    "openssl": "openssl", "busybox": "busybox-static", "python3": "python3", "gzip": None, "awk": None, "sed": None,
    "sort": None, "grep": None, "perl": None, "sh": None, "timeout": None, "xargs": None, "sha256sum": None,
    "sha512sum": None, "sha1sum": None, "md5sum": None, "b2sum": None, "cksum": None, "sum": None, "cat": None,
    "tr": None, "cut": None, "uniq": None, "wc": None, "head": None, "tail": None, "join": None, "comm": None,
    "paste": None, "od": None, "seq": None, "factor": None, "cmp": None, "diff": None, "split": None, "ls": None,
    "shuf": None, "mkdir": None, "rm": None, "cp": None, "expr": None, "tee": None, "env": None, "find": None,
    "tar": None, "nl": None, "fold": None, "tsort": None, "base64": None, "numfmt": None, "nproc": None, "sleep": None,
}
PYTHON_WITHOUT = ("test", "idlelib", "lib2to3", "ensurepip", "tkinter", "pydoc_data", "dist-packages", "distutils")
COMPILED = ("numbers.c", "threads.c", "faults.c")

JOBS = {
    "gzip": "gzip -9nc ../../in/text | tee packed; gzip -dc packed | cmp - ../../in/text; gzip -1nc ../../in/noise",
    "bzip2": "bzip2 -9c ../../in/text | tee packed; bzip2 -dc packed | cmp - ../../in/text",
    "xz": "xz -6 -T1 -c ../../in/text | tee packed; xz -dc packed | cmp - ../../in/text; "
          "xz --x86 --lzma2=preset=1 -C sha256 -c ../../in/noise",
    "zstd": "zstd -q -19 --single-thread -c ../../in/text | tee packed; zstd -qdc packed | cmp - ../../in/text; "
            "zstd -q -3 --check --single-thread -c ../../in/text",
    "tar": "cp ../../in/*.c .; tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 --mode=644 -cf t *.c; "
           "cat t; tar -tf t",
    "checksums": "for sum in sha256sum sha512sum sha1sum md5sum b2sum cksum sum 'cksum -a sha384' 'cksum -a sm3' "
                 "'cksum -a crc'; do echo $sum; $sum ../../in/text ../../in/noise; done",
    "digests": "for name in md4 sha3-512 blake2s256 ripemd160 shake128 sha512-256 sm3; do "
               "openssl dgst -provider legacy -provider default -$name ../../in/text; done; "
               "openssl dgst -sha256 -hmac key ../../in/noise",
    "ciphers": "for name in aes-256-ctr aes-128-cbc chacha20 camellia-256-cbc aria-128-ctr des-ede3-cbc aes-256-ofb; "
               "do echo $name; "
               "openssl enc -$name -pbkdf2 -iter 500 -S 0011223344556677 -k word -in ../../in/text | tee c "
               "| sha256sum; openssl enc -d -$name -pbkdf2 -iter 500 -S 0011223344556677 -k word -in c "
               "| cmp - ../../in/text; done",
    "signatures": "openssl dgst -sha256 -sign ../../in/key -out s ../../in/text; sha256sum s; "
                  "openssl pkey -in ../../in/key -pubout -out public; "
                  "openssl dgst -sha256 -verify public -signature s ../../in/text; "
                  "openssl pkeyutl -derive -inkey ../../in/curve -peerkey ../../in/other | od -An -tx1; "
                  "openssl pkeyutl -sign -rawin -inkey ../../in/edwards -in ../../in/run | od -An -tx1; "
                  "openssl prime 170141183460469231731687303715884105727; openssl kdf -keylen 32 -kdfopt pass:word "
                  "-kdfopt salt:salt -kdfopt n:128 -kdfopt r:8 -kdfopt p:1 SCRYPT",
    "awk": "awk '{ for (i = 1; i <= NF; i++) { count[$i]++; sum += length($i) / 7 } } END { for (word in count) "
           "printf \"%s %d %.17g\\n\", word, count[word], sqrt(count[word]); "
           "printf \"%.17g %g\\n\", sum, exp(sin(sum)) }' ../../in/text | sort; "
           "seq 3000 | awk '{ a = (a * 31 + $1) % 1000003; print a, a / 3, int(a / 7), a ^ 0.3 }'",
    "text-tools": "tr -cs A-Za-z '\\n' <../../in/text | sort | uniq -c | sort -k1,1nr -k2 | tee words; "
                  "cut -c9- words | sort >names; sort -u names | join - names | comm -12 - names | wc; "
                  "grep -nE '([a-z])\\1' ../../in/text; grep -cwF -e return -e static ../../in/text; "
                  "sed -E 's/([a-z]+)_([a-z]+)/\\2-\\1/g; /^ *[/]/d; y/abc/xyz/' ../../in/text; paste -d: words names "
                  "| tail -50 | nl; fold -w 30 ../../in/text | od -An -tx4 | head -2000; seq 10000 | sort -R "
                  "--random-source=../../in/noise | sort -g | tail -3; factor 1000000007000000049 18446744073709551557 "
                  "| numfmt --invalid=ignore; ! diff ../../in/numbers.c ../../in/threads.c",
    "shell": "i=0; sum=0; while [ $i -lt 6000 ]; do sum=$(((sum * 31 + i) % 1000003)); i=$((i + 1)); done; echo $sum; "
             "for i in $(seq 40); do expr $i \\* $i | cat | tr 0-9 a-j; done; "
             "(exit 3) & wait $! || echo $?; trap 'echo caught' USR1; kill -USR1 $$; sh -c 'kill -SEGV $$' || echo $?",
    "perl": "perl ../../in/work.pl ../../in/text",
    "busybox": "for sum in sha3sum sha512sum md5sum sha1sum crc32; do busybox $sum ../../in/text; done; "
               "busybox gzip -c ../../in/text | busybox zcat | busybox sha256sum; busybox bunzip2 <../../in/packed.bz2 "
               "| busybox sha1sum; busybox unxz <../../in/packed.xz | busybox sha1sum; "
               "busybox awk '{ n += length($0) / 7 } END { printf \"%.15g\\n\", n }' ../../in/text; "
               "echo '2^300 / 7^20 + 5 % 3' | busybox bc; "
               "busybox sort ../../in/text | busybox uniq -c | busybox sort -n | busybox tail -20; "
               "busybox sed 's/[aeiou]/<&>/g' ../../in/numbers.c; busybox factor 600851475143 9007199254740993",
    **{f"gcc{way}": f"cp ../../in/numbers.c .; gcc {options} -o numbers numbers.c -lm; sha256sum numbers; ./numbers"
       for way, options in (("", "-O2"), ("-x87", "-O0 -mfpmath=387"))},
    "assembler": "gcc -O1 -S -o - ../../in/threads.c | tee t.s; as -o t.o t.s; sha256sum t.o",
    "tcc": "cp ../../in/numbers.c .; tcc -o numbers numbers.c -lm; sha256sum numbers; ./numbers; "
           "tcc -run -lm numbers.c",
    "faults": "cp ../../in/faults.c .; gcc -O1 -o faults faults.c; sha256sum faults; ./faults",
    "threads": "cp ../../in/threads.c .; gcc -O2 -o threads threads.c; sha256sum threads; ./threads",
    **{f"python-{name}": f"python3 ../../in/work.py {name} ../../in/text"
       for name in ("floats", "integers", "texts", "coders", "database", "processes")},
}

# Published test suites, which judge themselves: they pass when they end with status 0.
PYTHON_TESTS = ("test_float", "test_complex", "test_cmath", "test_struct", "test_binascii", "test_pow")
STRESS = {                      # all of a row at the same time
    "arithmetic": "--cpu 2 --cpu-method all --matrix 1 --fp-error 1",
    "vectors": "--vecmath 1 --vecfp 1 --vecshuf 1 --vecwide 1",
    "locks": "--atomic 1 --mutex 1 --peterson 1 --sem 1",
    "faults": "--sigfpe 1 --sigsegv 1 --tlb-shootdown 1 --longjmp 1",
    "memory": "--memcpy 1 --str 1 --vm 1 --vm-bytes 16M --qsort 1 --qsort-size 4096",
}
SUITES = {
    **{f"stress-{name}": f"stress-ng --temp-path . --verify --no-rand-seed --metrics-brief -t 6 {options}"
       for name, options in STRESS.items()},
    "python-tests": f"python3 -m test --tempdir . {' '.join(PYTHON_TESTS)}",
}


def suite_files(layer):
    """stress-ng, and CPython's own tests that PYTHON_TESTS names."""
    path = shutil.which("stress-ng", path=ENVIRONMENT["PATH"])
    if not path:
        raise MissingPackage("stress-ng")
    layer.program(path)
    root = os.path.join(_python_root(), "test")
    if not os.path.exists(os.path.join(root, "libregrtest")):
        raise MissingPackage("libpython3.11-testsuite")
    for pattern in ("*.txt", "__*.py", "regrtest.py", "ann_module*.py", "support/**/*.py", "libregrtest/**/*.py",
                    *(f"{name}.py" for name in (*PYTHON_TESTS, "test_grammar", "test_math"))):
        for path in glob.glob(os.path.join(root, pattern), recursive=True):
            layer.file(path)


def _python_root():
    """Directory of the standard library."""
    return subprocess.run([os.path.realpath("/usr/bin/python3"), "-c",
                           "import os; print(os.path.dirname(os.__file__))"],
                          capture_output=True, text=True, check=True).stdout.strip()


def _python_files(layer):
    """The standard library with what is compiled of it, and the libraries of its modules."""
    for directory, names, files in os.walk(_python_root()):
        names[:] = [name for name in names if name not in PYTHON_WITHOUT and not name.startswith("config-")]
        for name in files:
            path = os.path.join(directory, name)
            (layer.program if name.endswith(".so") else layer.file)(path)


def _compiler_files(layer):
    """gcc with as and ld, tcc, and what they read to compile and link COMPILED."""
    for name in ("cc1", "collect2", "liblto_plugin.so"):
        layer.program(_of_gcc("-print-prog-name=" if "." not in name else "-print-file-name=", name))
    for name in ("crt1.o", "Scrt1.o", "crti.o", "crtn.o", "crtbeginS.o", "crtendS.o", "libgcc.a", "libgcc_s.so",
                 "libgcc_s.so.1", "libc.so", "libc.so.6", "libc_nonshared.a", "libm.so", "libm.so.6", "libmvec.so.1"):
        layer.file(_of_gcc("-print-file-name=", name))
    sources = [os.path.join(SOURCES, name) for name in COMPILED]
    with tempfile.TemporaryDirectory() as directory:   # tcc removes what its output replaces: not a device, then
        for command in ([which("gcc"), "-O2", "-M", *sources],
                        [which("tcc"), "-o", "object", "-MD", "-MF", "/dev/stdout", "-c", sources[0]]):
            listed = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout
            for path in listed.replace("\\\n", " ").split():
                if path.startswith("/usr/"):
                    layer.file(path)
    for path in glob.glob("/usr/lib/*/tcc/**", recursive=True):
        if os.path.isfile(path):
            layer.file(path)


def _of_gcc(option, name):
    path = subprocess.run([which("gcc"), option + name], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        raise MissingPackage("libc6-dev")
    return os.path.normpath(path)


def _programs(layer):
    for name, package in PROGRAMS.items():
        path = shutil.which(name, path=ENVIRONMENT["PATH"])
        if not path:
            raise MissingPackage(package or name)
        layer.program(path)
    for path in glob.glob("/usr/lib/*/perl-base/**", recursive=True) + glob.glob("/usr/lib/*/ossl-modules/*.so"):
        if os.path.isfile(path):
            layer.file(path)
    layer.file("/etc/ssl/openssl.cnf", "/usr/lib/ssl/openssl.cnf")


def _write(layer, directory):
    """The layer's files below DIRECTORY, in merged directories as Debian has them, with their times."""
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(directory, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(directory, name))
    for name in ("proc", "dev", "tmp"):
        os.makedirs(os.path.join(directory, name))
    for path, (_, source, _) in layer.entries.items():
        if isinstance(source, str):
            place = os.path.join(directory, os.path.realpath("/" + os.path.dirname(path)).strip("/"),
                                 os.path.basename(path))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if not os.path.exists(place):
                shutil.copy2(source, place)


def make_work(directory, jobs):
    """DIRECTORY becomes what jobs (name -> shell) run in."""
    for name in ("jobs", "in", "out", "work"):
        os.makedirs(os.path.join(directory, name))
    inputs = os.path.join(directory, "in")
    for path in glob.glob(os.path.join(SOURCES, "*")):
        shutil.copy(path, inputs)
    shutil.copy(os.path.join(SOURCES, "run"), directory)
    for name, text in jobs.items():
        with open(os.path.join(directory, "jobs", name), "w", encoding="utf-8") as job:
            job.write(text + "\n")
    source = random.Random(5)
    with open(os.path.join(inputs, "noise"), "wb") as noise:
        noise.write(source.randbytes(100000))
    text = b"".join(open(path, "rb").read() for path in sorted(glob.glob(os.path.join(inputs, "*.[cp]*"))))
    words = text.split()
    with open(os.path.join(inputs, "text"), "wb") as file:
        file.write(text + b" ".join(source.choice(words) + (b"\n" if n % 9 == 0 else b"") for n in range(25000)))
    for packer, end in (("bzip2", "bz2"), ("xz", "xz")):
        with open(os.path.join(inputs, "packed." + end), "wb") as packed:
            subprocess.run([which(packer), "-c", os.path.join(inputs, "text")], stdout=packed, check=True)
    for name, options in (("key", ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"]), ("curve", ["X25519"]),
                          ("peer", ["X25519"]), ("edwards", ["ED25519"])):
        subprocess.run([which("openssl"), "genpkey", "-algorithm", *options, "-out", os.path.join(inputs, name)],
                       check=True, capture_output=True)
    subprocess.run([which("openssl"), "pkey", "-in", os.path.join(inputs, "peer"), "-pubout", "-out",
                    os.path.join(inputs, "other")], check=True)


def make_image(path, work, layers=()):
    """An ext4 image with the host's programs and, as /user-space, a copy of the directory WORK; returns PATH.

    layers   functions that add files to a Layer
    """
    layer = Layer()
    for add in (_programs, _python_files, _compiler_files, *layers):
        add(layer)
    root = path + ".root"
    _write(layer, root)
    shutil.copytree(work, os.path.join(root, "user-space"))
    subprocess.run([which("mkfs.ext4"), "-q", "-F", "-m", "0", "-d", root, path, "300M"], check=True)
    shutil.rmtree(root)
    return path


def run_here(directory, jobs, processors):
    """Run JOBS in DIRECTORY on the host; returns {name: (exit status, SHA-256 of what it printed)}."""
    done = subprocess.run(["xargs", "-n", "1", "-P", str(processors), "./run"], input="\n".join(jobs), text=True,
                          cwd=directory, env=ENVIRONMENT, capture_output=True, check=True)
    return results(done.stdout)


def guest_step(jobs, processors):
    """Shell lines of a guest's step that runs JOBS on the image, which is its first SCSI disk."""
    environment = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    return (f"load_drivers 1 && load_ext4 && mount -t ext4 $(disk 0) /mnt || exit 1; "
            f"mount -t proc proc /mnt/proc; mount -t devtmpfs dev /mnt/dev; mount -t tmpfs tmpfs /mnt/tmp; "
            f"echo '{' '.join(jobs)}' | chroot /mnt /usr/bin/env -i {environment} "
            f"sh -c 'cd /user-space; xargs -n 1 -P {processors} ./run'; "
            "umount /mnt/proc /mnt/dev /mnt/tmp /mnt")


def results(text):
    """{name: (exit status, SHA-256)} of the lines that run prints."""
    rows = (line.split() for line in text.replace("\r", "").splitlines() if line.startswith("@@job "))
    return {row[1]: (int(row[2]), row[3]) for row in rows if len(row) == 4}
