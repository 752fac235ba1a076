#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compiles an ACPI source: dsdt-gen.py INPUT.asl OUTPUT.h IASL CC...

The C preprocessor (CC -E) and iasl make byte code of it, which OUTPUT.h has as the array dsdt_aml.  iasl's words are
shown only when it finds an error or warns.
"""

import os
import subprocess
import sys
import tempfile


def main():
    source, header, iasl = sys.argv[1:4]
    compiler = sys.argv[4:]
    with tempfile.TemporaryDirectory() as where:
        asl = os.path.join(where, "dsdt.dsl")
        preprocess = [*compiler, "-E", "-P", "-x", "assembler-with-cpp", source, "-o", asl]
        if subprocess.run(preprocess, check=False).returncode:
            return 1
        result = subprocess.run([iasl, "-we", "-p", os.path.join(where, "dsdt"), asl], capture_output=True, text=True,
                                check=False)
        if result.returncode:
            sys.stderr.write(result.stdout + result.stderr)
            return 1
        with open(os.path.join(where, "dsdt.aml"), "rb") as file:
            code = file.read()
    with open(header, "w", encoding="ascii") as out:
        out.write("/* Made by scripts/dsdt-gen.py. */\n#include <stdint.h>\n\n")
        out.write("static const uint8_t dsdt_aml[] = {\n")
        for at in range(0, len(code), 16):
            out.write("    " + " ".join(f"0x{byte:02x}," for byte in code[at:at + 16]) + "\n")
        out.write("};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
