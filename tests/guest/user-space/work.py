# SPDX-License-Identifier: GPL-2.0-or-later
# What CPython and the libraries below it compute, printed to the last digit: python3 work.py NAME FILE.
# Runs in: neither program; run in a guest and on the host by tests/functional/test_user_space.py.
"""Each function takes the contents of FILE and prints; seeded, so that every run prints the same."""

import sys


def floats(_):
    """Arithmetic, shortest and exact digits, and libm."""
    import cmath
    import math
    import random
    import statistics
    source = random.Random(1)
    values = [source.gauss(0, 10 ** source.uniform(-30, 30)) for _ in range(1500)]
    for a, b in zip(values, values[1:]):
        print(a + b, a * b, a / b, (a % b).hex(), math.fmod(a, b), divmod(a, 3.7), round(a, 3), a // b)
        print(math.sin(a), math.exp(math.fmod(a, 50)), math.log(abs(a)), math.atan2(a, b), math.gamma(abs(b) % 30 + 1),
              math.hypot(a, b), math.frexp(a), math.erf(b), cmath.sqrt(complex(a, b)))
        print(float(repr(a)) == a, f"{a:.40e} {b:.3g} {a!r}", float.fromhex(a.hex()) == a, a.as_integer_ratio())
    print(math.fsum(values), math.prod(values[:30]), statistics.pstdev(values), sorted(values)[700])


def integers(_):
    """Long integers, fractions and decimals."""
    import decimal
    import fractions
    import math
    import random
    source = random.Random(2)
    for bits in (10, 60, 100, 700, 5000):
        for _ in range(20):
            a, b = source.getrandbits(bits) + 1, source.getrandbits(bits // 2) + 3
            print(a * b, a // b, a % b, pow(a, b >> (bits // 2 - 4), b), math.gcd(a, b), math.isqrt(a), a << 7 ^ b)
    print(sum(map(fractions.Fraction, [f"1/{n}" for n in range(1, 200)])))
    decimal.getcontext().prec = 400
    two, ten = decimal.Decimal(2), decimal.Decimal(10)
    print(two.sqrt(), ten.ln(), two.exp(), ten ** decimal.Decimal("0.3"), (two / 7).quantize(decimal.Decimal("1e-50")))
    print(math.factorial(900), pow(3, 20011, 10 ** 60))


def texts(data):
    """Regular expressions, JSON, dictionaries, Unicode."""
    import collections
    import json
    import re
    import unicodedata
    text = data.decode()
    words = collections.Counter(re.findall(r"[A-Za-z_]\w+", text))
    print(words.most_common(60))
    print(re.sub(r"(?m)^\s*//\s*(\w+).*$", lambda match: match.group(1).upper(), text)[:20000])
    print(len(re.findall(r"\b(\w)\w*\1\b|\((?:[^()]|\([^()]*\))*\)", text)))
    tree = {word: {"count": count, "of": [count / 3, -count, None, count % 2 == 0, word[::-1]]}
            for word, count in words.items()}
    coded = json.dumps(tree, sort_keys=True, indent=1)
    print(coded[:30000], json.loads(coded) == tree)
    print(unicodedata.normalize("NFKD", "Ǆürich ﬁ ½ Å"), [unicodedata.name(c) for c in "αß€"], "ÄÖß".casefold())


def coders(data):
    """Checksums and compressors that are not programs of their own."""
    import base64
    import binascii
    import bz2
    import hashlib
    import hmac
    import lzma
    import struct
    import zlib
    for name in sorted(hashlib.algorithms_guaranteed):
        digest = hashlib.new(name, data)
        print(name, digest.hexdigest(40) if name.startswith("shake") else digest.hexdigest())
    print(zlib.crc32(data), zlib.adler32(data), binascii.crc_hqx(data, 1), hmac.digest(b"key", data, "sha512").hex())
    print(hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 500).hex(),
          hashlib.scrypt(b"w", salt=b"s", n=64, r=8, p=1).hex())
    for packed, unpack in [*((zlib.compress(data, level), zlib.decompress) for level in (1, 6, 9)),
                           (bz2.compress(data), bz2.decompress), (lzma.compress(data, preset=2), lzma.decompress)]:
        print(len(packed), hashlib.sha256(packed).hexdigest(), unpack(packed) == data)
    print(base64.b85encode(data[:3000]), binascii.hexlify(base64.b64encode(data[-500:])))
    count = len(data) // 8
    values = struct.unpack(f"<{count}q", data[:count * 8])
    print(struct.pack(">hIqdf", -5, 77, values[3], values[4] / 9e9, 0.1).hex(), sum(values) % 1000003)


def database(data):
    """SQLite, in memory and in a file."""
    import sqlite3
    for place in (":memory:", "rows.db"):
        base = sqlite3.connect(place)
        base.execute("create table words (id integer primary key, word text, size int, part real)")
        words = data.decode().split()[:6000]
        base.executemany("insert into words (word, size, part) values (?, ?, ?)",
                         ((word, len(word), number / 7) for number, word in enumerate(words)))
        base.execute("create index by_word on words (word)")
        base.commit()
        for query in ("select word, count(*), sum(part), avg(size) from words group by word order by 2 desc, 1 "
                      "limit 40",
                      "select a.word, b.id from words a join words b on a.word = b.word and a.id < b.id "
                      "where a.size > 9 order by a.id, b.id limit 50",
                      "with recursive f(n, a, b) as "
                      "(select 1, 0, 1 union all select n + 1, b, a + b from f where n < 80) "
                      "select sum(a), max(b), hex(max(b)), printf('%.15g', avg(a)) from f",
                      "select upper(substr(word, 2, 5)) w, round(total(part), 4) from words where word glob '*[0-9]*' "
                      "group by w order by 2, 1 limit 30"):
            print(base.execute(query).fetchall())
        base.execute("delete from words where id % 3 = 0")
        base.commit()
        base.execute("vacuum")
        print(base.execute("pragma integrity_check").fetchall(), base.execute("select count(*) from words").fetchall())
        base.close()


def processes(data):
    """Threads, processes, pipes and mapped files."""
    import concurrent.futures
    import hashlib
    import mmap
    import os
    parts = [data[start:start + 5000] for start in range(0, len(data), 5000)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(list(pool.map(lambda part: hashlib.sha1(part).hexdigest(), parts)))
    for number in range(6):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, str(sum(part[number] for part in parts)).encode())
            os._exit(number)
        os.close(writing)
        print(os.read(reading, 100), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os.close(reading)
    with open("mapped", "w+b") as file:
        file.truncate(300000)
        with mmap.mmap(file.fileno(), 0) as view:
            for place in range(0, 290000, 3001):
                view[place:place + 100] = data[place % 1000:place % 1000 + 100]
            view.move(1000, 500, 200000)
            print(hashlib.sha256(view).hexdigest(), view.find(data[40:60]))
        file.seek(0)
        print(hashlib.sha256(file.read()).hexdigest())


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file_of_data:
        globals()[sys.argv[1]](file_of_data.read())
