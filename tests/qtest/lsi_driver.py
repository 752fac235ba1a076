# SPDX-License-Identifier: GPL-2.0-or-later
# A driver for the LSI 53C895A and one SCSI disk, over qtest.
# Runs in: neither program; plays the guest's CPU.
"""A small driver of the LSI 53C895A.

Source: LSI53C895A PCI to Ultra2 SCSI Controller Technical Manual, chapters 4 (registers) and 5
(SCRIPTS). The SCRIPTS program follows the target through the phases it chooses, disconnection and
reselection included, and ends with an interrupt.
"""

# Registers.
SCNTL0, SCNTL2, SCID, DSTAT, ISTAT0 = 0x00, 0x02, 0x04, 0x0c, 0x14
DSP, DSPS, SCRATCHA, DIEN, SIEN0, SIEN1, SIST0 = 0x2c, 0x30, 0x34, 0x39, 0x40, 0x41, 0x42
RESPID0, SCRATCHB = 0x4a, 0x5c

ISTAT_SRST, ISTAT_SIP, ISTAT_DIP = 0x40, 0x02, 0x01
DSTAT_SIR = 0x04
SIST0_RST = 0x02

# Phases.
DATA_OUT, DATA_IN, COMMAND, STATUS, MSG_OUT, MSG_IN = 0, 1, 2, 3, 6, 7

DONE, LOST = 0x600d, 0xbad  # DSPS of the program's interrupts

PCI_COMMAND, PCI_BAR0, PCI_INTERRUPT_PIN = 0x04, 0x10, 0x3d

BARS = ((0, "io", 0x100), (1, "memory", 0x400), (2, "memory", 0x2000))
IO_BASE, MMIO_BASE, RAM_BASE = 0xc000, 0xe0000000, 0xe0002000

# Where things lie in guest RAM.
SCRIPT, MESSAGE, CDB, STATUS_BYTE, MESSAGE_IN, BUFFER = (
    0x10000, 0x20000, 0x20010, 0x20020, 0x20030, 0x30000)


def script(target, cdb_len, data_len, base=SCRIPT, piece=1 << 23, then=None):
    """The SCRIPTS program for one command to a target, as bytes for address BASE.

    The data are moved in pieces of PIECE bytes.  At its end is an interrupt, or a jump to THEN.
    """
    code, labels, fixups = [], {}, []

    def emit(first, second=0):
        if isinstance(second, str):
            fixups.append((len(code) + 1, second))
            second = 0
        code.extend((first, second))

    def label(name):
        labels[name] = base + 4 * len(code)

    def move(phase, count, address):
        emit(0x08000000 | phase << 24 | count, address)

    def move_data(phase):
        for at in range(0, max(data_len, 1), piece):
            move(phase, min(piece, data_len - at), BUFFER + at)

    def jump_when(phase, target_label):
        emit(0x800b0000 | phase << 24, target_label)

    def jump(target_label):
        emit(0x80080000, target_label)

    clear_ack, wait_disconnect = 0x60000040, 0x48000000
    expect_disconnect = 0x7c027f00  # SCNTL2 & 0x7f: the coming disconnection is no error

    emit(0x41000000 | target << 16, "lost")
    move(MSG_OUT, 1, MESSAGE)
    move(COMMAND, cdb_len, CDB)
    label("follow")
    jump_when(DATA_IN, "data in")
    jump_when(DATA_OUT, "data out")
    jump_when(STATUS, "status")
    jump_when(MSG_IN, "message")
    label("lost")
    emit(0x98080000, LOST)
    label("data in")
    move_data(DATA_IN)
    jump("follow")
    label("data out")
    move_data(DATA_OUT)
    jump("follow")
    label("message")
    move(MSG_IN, 1, MESSAGE_IN)
    emit(0x800c0004, "disconnect")  # the byte just received is 04h, DISCONNECT
    emit(clear_ack)                 # SAVE DATA POINTER, RESTORE POINTERS: nothing to do
    jump("follow")
    label("disconnect")
    emit(expect_disconnect)
    emit(clear_ack)
    emit(wait_disconnect)
    emit(0x50000000, "lost")        # WAIT RESELECT
    move(MSG_IN, 1, MESSAGE_IN)     # IDENTIFY
    emit(clear_ack)
    jump("follow")
    label("status")
    move(STATUS, 1, STATUS_BYTE)
    move(MSG_IN, 1, MESSAGE_IN)     # COMMAND COMPLETE
    emit(expect_disconnect)
    emit(clear_ack)
    emit(wait_disconnect)
    if then is None:
        emit(0x98080000, DONE)
    else:
        jump(then)
    for at, name in fixups:
        code[at] = labels[name]
    return b"".join(word.to_bytes(4, "little") for word in code)


class Ioapic:
    """The I/O APIC of the pc machine."""

    BASE = 0xfec00000
    VECTOR = 0x51

    def __init__(self, qtest):
        self.qtest = qtest

    def _select(self, register):
        self.qtest.writel(self.BASE, register)

    def version(self):
        self._select(1)
        return self.qtest.readl(self.BASE + 0x10)

    def enable(self, pin):
        """Level-triggered, active low, not masked, to physical APIC 0."""
        self._select(0x11 + 2 * pin)
        self.qtest.writel(self.BASE + 0x10, 0)
        self._select(0x10 + 2 * pin)
        self.qtest.writel(self.BASE + 0x10, 0xa000 | self.VECTOR)

    def in_service(self, pin):
        """The entry's remote IRR bit: accepted, not ended."""
        self._select(0x10 + 2 * pin)
        return bool(self.qtest.readl(self.BASE + 0x10) & 1 << 14)

    def end(self):
        """The guest's end of interrupt."""
        self.qtest.writel(self.BASE + 0x40, self.VECTOR)


class Lsi:
    """The controller in a slot."""

    def __init__(self, qtest, slot):
        self.qtest = qtest
        self.slot = slot
        self.pin = 16 + ((slot - 1) & 3)  # the I/O APIC's, for INTA

    def bar_size(self, index):
        """Sizes a BAR as firmware does: (size, is I/O)."""
        offset = PCI_BAR0 + 4 * index
        original = self.qtest.pci_read(self.slot, offset, 4)
        self.qtest.pci_write(self.slot, offset, 4, 0xffffffff)
        sized = self.qtest.pci_read(self.slot, offset, 4)
        self.qtest.pci_write(self.slot, offset, 4, original)
        if sized == 0:
            return 0, False
        is_io = bool(sized & 1)
        mask = sized & ~(3 if is_io else 0xf) & 0xffffffff
        if is_io:
            mask |= 0xffff0000
        return (1 << 32) - mask, is_io

    def map_bars(self):
        for index, address in ((0, IO_BASE), (1, MMIO_BASE), (2, RAM_BASE)):
            self.qtest.pci_write(self.slot, PCI_BAR0 + 4 * index, 4, address)
        self.qtest.pci_write(self.slot, PCI_COMMAND, 2, 7)

    def readb(self, register):
        return self.qtest.readb(MMIO_BASE + register)

    def writeb(self, register, value):
        self.qtest.writeb(MMIO_BASE + register, value)

    def readl(self, register):
        return self.qtest.readl(MMIO_BASE + register)

    def writel(self, register, value):
        self.qtest.writel(MMIO_BASE + register, value)

    def start_up(self):
        """Soft reset, then: initiator 7, reselection allowed, all interrupts on."""
        self.writeb(ISTAT0, ISTAT_SRST)
        self.writeb(ISTAT0, 0)
        self.writeb(SCNTL0, 0xc0)
        self.writeb(SCID, 0x47)
        self.writeb(RESPID0, 0x80)
        self.writeb(DIEN, 0x7d)
        self.writeb(SIEN0, 0x8f)
        self.writeb(SIEN1, 0x07)

    def prepare(self, cdb, data=b"", data_len=0, target=0):
        """All of one command in memory, for go()."""
        data_len = len(data) or data_len
        if data:
            self.qtest.write(BUFFER, data)
        self.qtest.write(MESSAGE, b"\xc0")  # IDENTIFY, may disconnect, LUN 0
        self.qtest.write(CDB, bytes(cdb))
        self.qtest.write(STATUS_BYTE, b"\xff")
        self.qtest.write(SCRIPT, script(target, len(cdb), data_len))

    def go(self):
        """Starts the command that is prepared; its end is an interrupt."""
        self.writel(DSP, SCRIPT)

    def start(self, cdb, data=b"", data_len=0, target=0):
        """prepare() and go()."""
        self.prepare(cdb, data, data_len, target)
        self.go()

    def acknowledge(self):
        """Reads what the interrupt was about, which clears it: (istat, dstat, dsps)."""
        istat = self.readb(ISTAT0)
        assert not istat & ISTAT_SIP, f"SCSI interrupt, SIST0 0x{self.readb(SIST0):x}"
        dsps = self.readl(DSPS)
        return istat, self.readb(DSTAT), dsps

    def status(self):
        """The SCSI status byte of the last command."""
        return self.qtest.readb(STATUS_BYTE)
