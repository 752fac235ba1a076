#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes the seeds of the device fuzzer: tests/fuzz/device_seeds.py
# Runs in: neither program; a developer's tool.  The seeds are kept in the tree.
"""What a driver of the 53C895A does, in the input format of tests/fuzz/fuzz-device.h."""

import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))

# FuzzOp, in its order.
(CONFIG_READ, CONFIG_WRITE, REG_READ, REG_WRITE, REG_ADDRESS, REG_ACK, MEM_WRITE, MEM_ADDRESS, MEM_READ, PROGRAM_AT,
 PROGRAM, CDB, TURN, COMPLETE, DRIVE_MODE, CLOCK, RESET, MAP, MEDIUM, TRAY, RUN, PLUG, REPLUG) = range(23)

# Indices of lsi_words in fuzz-device-hints.c, and of the commands there.
(SEL0, SEL2, SEL5, SEL9, SEL0_NOATN, SEL_TBL, WAIT_DISC, WAIT_RESEL, SET_ATN, CLEAR_ACK, SET_ACK, CLEAR_ATN,
 M_MSGOUT, M_CMD, M_DOUT, M_DIN, M_STATUS, M_MSGIN, CH_DIN, CH_DOUT, T_MSGOUT, T_CMD, T_DOUT, T_DIN, I_DIN, M_4, M_5,
 JUMP, CALL, RETURN, INT, INTFLY) = range(32)
SFBR_OP, SDU_OFF = 38, 39
LOAD, MEMORY_MOVE = 45, 49
TUR, SENSE, READ6, WRITE6, INQUIRY = range(5)
MODE_SELECT6, MODE_SENSE6, START_STOP, PREVENT, CAPACITY, READ10, WRITE10 = 6, 9, 10, 12, 13, 14, 16
VERIFY_BYTES, SYNC, WRITE_SAME, UNMAP, TOC, CONFIG, EVENTS = 21, 23, 24, 26, 27, 29, 30
LUNS, OPCODES, READ_CD = 45, 46, 52
VPD, FORMATTED_TOC, DISC, MECHANISM, READ16 = 5, 28, 31, 51, 36

RAM, ROM, NOWHERE, BAR0, BAR1, BAR2 = 0, 2 << 24, 3 << 24, 4 << 24, 5 << 24, 6 << 24
BYTE, WORD, DWORD = 0x01, 0x11, 0x21  # in BAR 1, the registers in memory space
DSA, ISTAT0, CTEST2, DSP, DIEN, DCNTL, SIEN0, SIST0, DSTAT, SCNTL1, SCNTL3, STEST2, STIME1 = (
    0x10, 0x14, 0x1a, 0x2c, 0x39, 0x3b, 0x40, 0x42, 0x0c, 0x01, 0x03, 0x4e, 0x49)

CODE, DATA, MSG, CDB_AT, STATUS, MSG_IN, TABLE = 0x1000, 0x4000, 0x3000, 0x3010, 0x3020, 0x3030, 0x2000


def op(kind, sel=0, off=0, value=0):
    """One record."""
    return struct.pack("<BBHI", kind, sel, off, value)


def write(reg, value, size=BYTE):
    """A register write."""
    return op(REG_WRITE, size, reg, value)


def init():
    """Reset as drivers do it, and interrupts on."""
    return (write(ISTAT0, 0x40) + write(ISTAT0, 0) + write(SCNTL3, 0x05) + write(DIEN, 0x7d) +
            write(SIEN0, 0x048f, WORD))


def program(*insns, at=CODE):
    """Instructions: (word, xor, address)."""
    return op(PROGRAM_AT, value=at) + b"".join(op(PROGRAM, word, xor, addr) for word, xor, addr in insns)


def run(at=CODE, turns=8):
    """Starts SCRIPTS."""
    return op(REG_ADDRESS, 1, DSP, at) + op(TURN, turns - 1)


def ack():
    """An interrupt handler's reads."""
    return op(REG_READ, BYTE, ISTAT0) + op(REG_READ, WORD, SIST0) + op(REG_READ, BYTE, DSTAT)


END = ((M_STATUS, 0, STATUS), (M_MSGIN, 0, MSG_IN), (SDU_OFF, 0, 0), (CLEAR_ACK, 0, 0), (WAIT_DISC, 0, 0),
       (INT, 0, 0x100))


def command(select, lun, index, lba, length, data=None, count=0, msg=None, cdb_len=10):
    """
    Select, IDENTIFY, command, one data move, status; completes what the disk asks for.  A move that is too long ends in
    a phase mismatch, which leaves the bus connected: a software reset makes it free for the next command.
    """
    moves = ((data, count, DATA),) if data is not None else ()
    drive = {SEL0: 0, SEL2: 1, SEL5: 2}[select]
    message = msg if msg is not None else bytes([0x80 | lun])
    return (op(MEM_WRITE, 0, MSG, int.from_bytes(message[:4], "little")) +
            op(MEM_WRITE, 0, MSG + 4, int.from_bytes(message[4:8], "little")) +
            op(CDB, index, CDB_AT, lba | length << 16) +
            program((select, 0, CODE + 0x100), (M_MSGOUT, len(message), MSG), (M_CMD, cdb_len, CDB_AT), *moves, *END) +
            run() + op(COMPLETE, drive) + op(TURN, 7) + op(COMPLETE, drive) + op(TURN, 7) + ack() +
            (write(ISTAT0, 0x40) + write(ISTAT0, 0)))


def memory(at, data):
    """DATA, whole dwords, in guest memory."""
    return b"".join(op(MEM_WRITE, 0, at + i, int.from_bytes(data[i:i + 4], "little")) for i in range(0, len(data), 4))


def go_wide():
    """Start, and 16 bits agreed with target 2."""
    return (init() + write(SCNTL3, 0x0d) + memory(MSG, bytes([0x80, 1, 2, 3, 1, 0, 0, 0])) + op(CDB, TUR, CDB_AT) +
            program((SEL2, 0, CODE + 0x100), (M_MSGOUT, 5, MSG), (M_MSGIN, 4 ^ 1, MSG_IN), (CLEAR_ACK, 0, 0),
                    (M_CMD, 6, CDB_AT), *END) + run() + ack())


# The words of M_MSGIN and M_STATUS have a count of 1, which the xor makes another.
RESELECT = program((WAIT_RESEL, 0, CODE + 0x100), (M_MSGIN, 0, MSG_IN), (CLEAR_ACK, 0, 0), (M_MSGIN, 2 ^ 1, MSG_IN),
                   (CLEAR_ACK, 0, 0), *END, at=CODE + 0x200)

# A tagged command that the disk works on; SIGP makes the target give up the bus that it only holds to wait.
DISCONNECTED = (init() + op(MEM_WRITE, 0, MSG, 0x0120c0) + op(CDB, SYNC, CDB_AT) +
                program((SEL0, 0, CODE + 0x100), (M_MSGOUT, 3, MSG), (M_CMD, 10, CDB_AT), (M_MSGIN, 0, MSG_IN),
                        (SDU_OFF, 0, 0), (CLEAR_ACK, 0, 0), (WAIT_DISC, 0, 0), (INT, 0, 0x101)) +
                run() + write(ISTAT0, 0x20) + op(TURN, 7) + op(REG_READ, BYTE, CTEST2) + ack())

SEEDS = {
    "inquiry": init() + command(SEL0, 0, INQUIRY, 0, 36, M_DIN, 36, cdb_len=6),
    "read": init() + command(SEL0, 0, READ10, 3, 2, M_DIN, 1024),
    "read-chained": init() + command(SEL2, 3, READ10, 1, 1, CH_DIN, 2048),
    "write": init() + command(SEL0, 0, WRITE10, 5, 1, M_DOUT, 512) + command(SEL0, 0, VERIFY_BYTES, 5, 1, M_DOUT, 512),
    "sense": init() + command(SEL0, 0, READ10, 60000, 1, M_DIN, 512) + command(SEL0, 0, SENSE, 0, 252, M_DIN, 18,
                                                                             cdb_len=6),
    "mode": init() + command(SEL0, 0, MODE_SENSE6, 0x3f00, 255, M_DIN, 60, cdb_len=6) +
    command(SEL0, 0, MODE_SELECT6, 0, 24, M_DOUT, 24, cdb_len=6),
    "same": init() + command(SEL0, 0, WRITE_SAME, 0, 64, M_DOUT, 512) + command(SEL0, 0, UNMAP, 0, 24, M_DOUT, 24),
    "luns": init() + command(SEL2, 0, LUNS, 0, 64, M_DIN, 24, cdb_len=12) +
    command(SEL0, 0, OPCODES, 0, 0xffff, M_DIN, 400, cdb_len=12),
    "cd": init() + command(SEL5, 0, CAPACITY, 0, 0, M_DIN, 8) + command(SEL5, 0, TOC, 0, 100, M_DIN, 20) +
    command(SEL5, 0, EVENTS, 0, 8, M_DIN, 8) + command(SEL5, 0, READ_CD, 0, 1, M_DIN, 2048, cdb_len=12),
    "eject": init() + command(SEL5, 0, PREVENT, 0, 1, cdb_len=6) + op(TRAY, 2, 0) +
    command(SEL5, 0, EVENTS, 0, 8, M_DIN, 8) + command(SEL5, 0, PREVENT, 0, 0, cdb_len=6) +
    command(SEL5, 0, START_STOP, 0, 2, cdb_len=6) + op(MEDIUM, 2, 0) + op(MEDIUM, 2, 64),
    "disconnect": DISCONNECTED + RESELECT + run(CODE + 0x200) + op(COMPLETE) + op(TURN, 7) + ack(),
    "abort": DISCONNECTED + op(MEM_WRITE, 0, MSG, 0x06c0) + op(DRIVE_MODE, 0, 2) +
    program((SEL0, 0, CODE + 0x100), (SDU_OFF, 0, 0), (M_MSGOUT, 2, MSG), (WAIT_DISC, 0, 0), (INT, 0, 0x102)) + run() +
    ack() +
    op(COMPLETE) + op(TURN, 1),
    "gone-while-disconnected": DISCONNECTED + op(PLUG, 0) + op(TURN, 1) + RESELECT + run(CODE + 0x200) + ack(),
    "bus-reset": init() + op(MEM_WRITE, 0, MSG, 0xc0) + op(CDB, READ10, CDB_AT, 4 << 16) +
    program((SEL0, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 10, CDB_AT), (M_DIN, 2048, DATA), *END) + run() +
    write(SCNTL1, 0x08) + op(TURN, 1) + write(SCNTL1, 0) + op(TURN, 1) + ack() + op(COMPLETE),
    "reset-in-flight": init() + op(MEM_WRITE, 0, MSG, 0x80) + op(CDB, WRITE10, CDB_AT, 4 << 16) +
    program((SEL0, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 10, CDB_AT), (M_DOUT, 2048, DATA), *END) + run() +
    op(DRIVE_MODE, 0, 2) + op(RESET) + op(TURN, 1) + op(COMPLETE) + op(MAP) + init() + op(REPLUG),
    "stopped": init() + op(MEM_WRITE, 0, MSG, 0x83) + op(CDB, WRITE10, CDB_AT, 1 << 16) +
    program((SEL2, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 10, CDB_AT), (M_DOUT, 2048, DATA), *END) + run() +
    op(COMPLETE, 1, 0, 4) + op(TURN, 2) + op(RUN, 0, 1) + op(TURN, 1) + op(COMPLETE, 1) + op(TURN, 2) + ack(),
    "absent": init() + write(STIME1, 0x0f) + program((SEL9, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (INT, 0, 1)) + run() +
    op(CLOCK, value=500000) + op(TURN, 1) + ack(),
    "vpd": init() + b"".join(command(SEL0, 0, VPD, page << 8, 255, M_DIN, 64, cdb_len=6) for page in (0, 0x80, 0x83)),
    "vpd-limits": init() + b"".join(command(SEL0, 0, VPD, page << 8, 255, M_DIN, 64, cdb_len=6)
                                    for page in (0xb0, 0xb1, 0xb2)),
    "unmap": init() + memory(DATA, bytes.fromhex("0016001000000000") + bytes(8) + bytes.fromhex("0000000800000000")) +
    command(SEL0, 0, UNMAP, 0, 24, M_DOUT, 24) + op(COMPLETE) + op(TURN, 7),
    "toc": init() + b"".join(command(SEL5, 0, index, lba, 100, M_DIN, 48)
                             for index, lba in ((TOC, 0), (FORMATTED_TOC, 0), (CONFIG, 0), (EVENTS, 0x1000))),
    "cd-state": init() + command(SEL5, 0, DISC, 0, 100, M_DIN, 34) + command(SEL5, 0, MECHANISM, 0, 100, M_DIN, 8,
                                                                            cdb_len=12) +
    op(TRAY, 2, 1) + command(SEL5, 0, EVENTS, 0x1000, 8, M_DIN, 8) + op(MEDIUM, 2, 0) + op(MEDIUM, 2, 64),
    "sync": init() + command(SEL5, 0, TUR, 0, 0, msg=bytes([0x80, 1, 3, 1, 10, 15]), cdb_len=6),
    "wide": go_wide() + command(SEL2, 0, INQUIRY, 0, 35, M_DIN, 35, cdb_len=6),
    "wide-odd-moves": go_wide() + op(MEM_WRITE, 0, MSG, 0x83) + op(CDB, READ10, CDB_AT, 1 << 16) +
    program((SEL2, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 10, CDB_AT), (CH_DIN, 3, DATA), (CH_DIN, 5, DATA + 64),
            (M_DIN, 2040, DATA), *END) + run() + op(COMPLETE, 1) + op(TURN, 7) + ack(),
    "wide-odd-out": go_wide() + op(MEM_WRITE, 0, MSG, 0x83) + op(CDB, WRITE10, CDB_AT, 1 << 16) +
    program((SEL2, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 10, CDB_AT), (CH_DOUT, 3, DATA),
            (CH_DOUT, 5, DATA + 64), (M_DOUT, 2040, DATA), *END) + run() + op(COMPLETE, 1) + op(TURN, 7) + ack(),
    "write-same-many": init() + command(SEL0, 0, WRITE_SAME, 0, 0, M_DOUT, 512) + op(COMPLETE) + op(TURN, 7),
    "read-16": init() + command(SEL0, 0, READ16, 3, 2, M_DIN, 1024, cdb_len=16),
    "own-registers": init() + program((MEMORY_MOVE, 0x40, BAR1 | 0), (INT, 0, DATA)) +
    program((LOAD, 4, BAR1 | DSP), (MEMORY_MOVE, 4, DATA), at=CODE + 0x40) + run() + ack() + run(CODE + 0x40) + ack(),
    "own-memory": init() + program((JUMP, 0, CODE), at=BAR2 | 0x100) + program((MEMORY_MOVE, 0x80, CODE), (INT, 0, 1)) +
    run(BAR2 | 0x100, 2) + write(ISTAT0, 0x80) + op(TURN, 1) + ack(),
    "endless": init() + program((JUMP, 0, CODE)) + run(turns=2) + write(ISTAT0, 0x80) + op(TURN) + ack(),
    "rom": init() + command(SEL0, 0, INQUIRY, 0, 36, cdb_len=6) +
    program((SEL0, 0, CODE + 0x100), (M_MSGOUT, 1, MSG), (M_CMD, 6, CDB_AT), (M_DIN, 36, ROM), *END) + run() + ack(),
    "config": b"".join(op(CONFIG_READ, 4, i) for i in range(0, 64, 4)) +
    b"".join(op(CONFIG_WRITE, 4, 0x10 + 4 * i, 0xffffffff) + op(CONFIG_READ, 4, 0x10 + 4 * i) for i in range(6)) +
    op(CONFIG_WRITE, 2, 4, 0x406) + op(MAP),
    "plug": init() + op(PLUG, 0) + op(TURN, 1) + op(PLUG, 0) + op(TURN, 1) + command(SEL0, 0, TUR, 0, 0, cdb_len=6),
}


def main():
    """Write each seed to its file."""
    folder = os.path.join(HERE, "corpus", "device")
    os.makedirs(folder, exist_ok=True)
    for name, data in SEEDS.items():
        with open(os.path.join(folder, name), "wb") as seed:
            seed.write(data)


if __name__ == "__main__":
    main()
