# SPDX-License-Identifier: GPL-2.0-or-later
# A second implementation of the mpqemu link, client and server, in plain Python.
# Runs in: neither program; talks to them, or to stock QEMU, from outside.
"""The mpqemu link, written from docs/interop/mpqemu-link.rst and from nothing else.

    LinkClient(sock)                the proxy's end: config_read(), bar_write(), sync_sysmem(), ...
    LinkServer(sock, FakeDevice())  the device's end, in a thread; serves a made-up PCI function honestly,
                                    except where behave() tells it to lie
    socket_pair()                   the two ends of a link
    memfd(size), eventfd()          what to share

A client that pokes at a server uses raw() and read_message() besides. All waits are bounded by the timeout given to
the constructor. Descriptors given to a call stay the caller's; descriptors received belong to the Message, which
closes them with close().
"""

import collections
import mmap
import os
import select
import socket
import stat
import struct
import threading
import time

# Commands
SYNC_SYSMEM, RET, PCI_CFGWRITE, PCI_CFGREAD, BAR_WRITE, BAR_READ, SET_IRQFD, DEVICE_RESET = range(8)
SET_BOUNCE, SYNC_BOUNCE = 32, 33
NAMES = dict(enumerate(("SYNC_SYSMEM", "RET", "PCI_CFGWRITE", "PCI_CFGREAD", "BAR_WRITE", "BAR_READ", "SET_IRQFD",
                        "DEVICE_RESET"))) | {SET_BOUNCE: "SET_BOUNCE", SYNC_BOUNCE: "SYNC_BOUNCE"}

FAILED = 0xffffffffffffffff             # the value of a RET that means "failed"
MAX_FDS = 8
MAX_PAYLOAD = 192

HEADER = struct.Struct("<I4xQ")         # cmd, padding, size
CONF = struct.Struct("<III")            # addr, val, len
BAR = struct.Struct("<QQIB3x")          # addr, val, size, memory
VALUE = struct.Struct("<Q")
TABLE = struct.Struct("<8Q8Q8q")        # gpas, sizes, offsets
BOUNCE_TABLE = struct.Struct("<I4x8Q8Q")    # count, gpas, sizes

# Bounced DMA
DMA_REQUEST = struct.Struct("<III4x")   # serial, kind, count; then the pieces
DMA_PIECE = struct.Struct("<QII")       # gpa, len, offset
DMA_ANSWER = struct.Struct("<II")       # serial, result
DMA_READ, DMA_WRITE = 1, 2              # guest RAM to window, window to guest RAM
DMA_DONE, DMA_NO_RAM, DMA_READ_ONLY = range(3)
WINDOW = 1 << 20

# command: (payload bytes, fewest fds, most fds, has a reply) of the requests
REQUESTS = {
    SYNC_SYSMEM: (TABLE.size, 0, 8, False),
    PCI_CFGWRITE: (CONF.size, 0, 0, True),
    PCI_CFGREAD: (CONF.size, 0, 0, True),
    BAR_WRITE: (BAR.size, 0, 0, True),
    BAR_READ: (BAR.size, 0, 0, True),
    SET_IRQFD: (0, 2, 2, False),
    DEVICE_RESET: (0, 0, 0, True),
    SET_BOUNCE: (0, 2, 2, True),
    SYNC_BOUNCE: (BOUNCE_TABLE.size, 0, 0, False),
}

Range = collections.namedtuple("Range", "fd gpa size offset", defaults=(0,))


class LinkError(Exception):
    """The peer broke the protocol, or did not answer in time. The link is of no more use."""


class LinkClosed(LinkError):
    """The peer has closed the link."""


def socket_pair():
    """(client's end, server's end), both close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def memfd(size, name="guest-ram"):
    """A new memfd of SIZE bytes; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


def eventfd():
    """A new eventfd that does not block; the caller closes it."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def signalled(fd, timeout):
    """Wait for the eventfd FD; return its count and set it to 0, or return 0 after TIMEOUT seconds."""
    if not select.select([fd], [], [], timeout)[0]:
        return 0
    return os.eventfd_read(fd)


def is_eventfd(fd):
    """Whether the descriptor is an eventfd."""
    return os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[eventfd]"


def is_ram_file(fd):
    """Whether the descriptor can be guest RAM: a memfd or another regular file."""
    return stat.S_ISREG(os.fstat(fd).st_mode)


def open_fds():
    """Number of descriptors this process has open; for leak checks."""
    return len(os.listdir("/proc/self/fd"))


def pack(cmd, payload=b"", size=None):
    """A message as bytes. SIZE is what the header says, when it is to lie."""
    return HEADER.pack(cmd, len(payload) if size is None else size) + payload


def pack_conf(cmd, addr, val, length):
    """PCI_CFGREAD or PCI_CFGWRITE as bytes."""
    return pack(cmd, CONF.pack(addr, val & 0xffffffff, length & 0xffffffff))


def pack_bar(cmd, addr, val, size, memory):
    """BAR_READ or BAR_WRITE as bytes."""
    return pack(cmd, BAR.pack(addr, val & FAILED, size & 0xffffffff, int(memory)))


def pack_table(ranges):
    """SYNC_SYSMEM as bytes, for a list of at most 8 Range."""
    spare = [0] * (8 - len(ranges))
    return pack(SYNC_SYSMEM, TABLE.pack(*[r.gpa for r in ranges], *spare, *[r.size for r in ranges], *spare,
                                        *[r.offset for r in ranges], *spare))


def pack_bounce_table(ranges):
    """SYNC_BOUNCE as bytes, for a list of at most 8 (gpa, size)."""
    spare = [0] * (8 - len(ranges))
    return pack(SYNC_BOUNCE, BOUNCE_TABLE.pack(len(ranges), *[r[0] for r in ranges], *spare,
                                               *[r[1] for r in ranges], *spare))


def pack_dma(serial, kind, pieces):
    """A DMA request as bytes, for a list of (gpa, len, offset)."""
    return DMA_REQUEST.pack(serial, kind, len(pieces)) + b"".join(DMA_PIECE.pack(*piece) for piece in pieces)


def pack_ret(value):
    """RET with a value as bytes."""
    return pack(RET, VALUE.pack(value))


class Message:
    """A received message: cmd, payload, and its descriptors in fds."""

    def __init__(self, cmd, payload, fds=()):
        self.cmd, self.payload, self.fds = cmd, payload, list(fds)

    def __repr__(self):
        name = NAMES.get(self.cmd, str(self.cmd))
        return f"<{name} {self.payload.hex()} {len(self.fds)} fds>"

    def take_fds(self):
        """The descriptors; the caller closes them."""
        fds, self.fds = self.fds, []
        return fds

    def close(self):
        """Close the descriptors that nobody took."""
        for fd in self.take_fds():
            os.close(fd)


class Stream:
    """Messages over a socket, cut and put together as the page tells."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""
        self.sets = []                  # [offset in data of a message's first byte, descriptors]

    def send(self, data, fds=()):
        """All of DATA, the descriptors with its first byte."""
        try:
            if fds:
                sent = socket.send_fds(self.sock, [data], list(fds), socket.MSG_NOSIGNAL)
                data = data[sent:]
            if data:
                self.sock.sendall(data, socket.MSG_NOSIGNAL)
        except TimeoutError as error:
            raise LinkError("the peer does not read") from error
        except (BrokenPipeError, ConnectionResetError) as error:
            raise LinkClosed("the peer has closed the link") from error

    def _last_beginning(self, chunk):
        """Where the last message that begins at CHUNK or later does so, or None."""
        at, last = 0, None
        while at < len(self.data):
            if at >= chunk:
                last = at
            if len(self.data) - at < HEADER.size:
                break
            at += HEADER.size + HEADER.unpack_from(self.data, at)[1]
        return last

    def _more(self):
        chunk = len(self.data)
        try:
            data, fds, flags, _ = socket.recv_fds(self.sock, 4096, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError as error:
            raise LinkError("nothing came in time") from error
        except ConnectionResetError:
            data, fds, flags = b"", [], 0
        if not data:
            raise LinkClosed("the end of the stream" + (" inside a message" if self.data else ""))
        self.data += data
        if fds or flags & socket.MSG_CTRUNC:
            begin = self._last_beginning(chunk)
            self.sets.append([begin or 0, list(fds)])
            if flags & socket.MSG_CTRUNC:
                raise LinkError("more than 8 descriptors")
            if begin is None:
                raise LinkError("descriptors in the middle of a message")

    def receive(self, check_header=None):
        """The next Message. CHECK_HEADER(cmd, size) may raise LinkError before the payload is there."""
        while len(self.data) < HEADER.size:
            self._more()
        cmd, size = HEADER.unpack_from(self.data)
        if check_header:
            check_header(cmd, size)
        if size > MAX_PAYLOAD:
            raise LinkError(f"a payload of {size} bytes")
        end = HEADER.size + size
        while len(self.data) < end:
            self._more()
        fds = self.sets.pop(0)[1] if self.sets and self.sets[0][0] == 0 else []
        message = Message(cmd, self.data[HEADER.size:end], fds)
        self.data = self.data[end:]
        for pending in self.sets:
            pending[0] -= end
        return message

    def close(self):
        """Close the socket and the descriptors of messages that nobody received."""
        for _, fds in self.sets:
            for fd in fds:
                os.close(fd)
        self.sets = []
        self.sock.close()


# ------------------------------------------------------------------- client

class LinkClient:
    """The proxy's end. A context manager; takes the socket."""

    def __init__(self, sock, timeout=10.0):
        sock.settimeout(timeout)
        self.stream = Stream(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the link. The server resets its device."""
        self.stream.close()

    def raw(self, data, fds=()):
        """Any bytes, with descriptors at the first of them."""
        self.stream.send(data, fds)

    def read_message(self):
        """The next message of the server, whatever it is. LinkClosed at the end of the link."""
        return self.stream.receive()

    def at_end(self):
        """Whether the server closes the link, and says nothing before. Waits for it."""
        try:
            self.read_message().close()
        except LinkClosed:
            return True
        except LinkError:
            return False
        return False

    def call(self, data, reset=False):
        """Send a request and return the value of its RET, FAILED included. RESET: a RET may be empty."""
        self.raw(data)
        reply = self.read_message()
        try:
            if reply.cmd != RET or reply.fds:
                raise LinkError(f"not a reply: {reply}")
            if reset and not reply.payload:
                return 0
            if len(reply.payload) != VALUE.size:
                raise LinkError(f"a reply of {len(reply.payload)} bytes")
            if self.stream.data:
                raise LinkError("bytes behind the reply")
            return VALUE.unpack(reply.payload)[0]
        finally:
            reply.close()

    def config_read(self, addr, length):
        """The value at ADDR in configuration space, or FAILED."""
        return self.call(pack_conf(PCI_CFGREAD, addr, 0, length))

    def config_write(self, addr, value, length):
        """0, or FAILED."""
        return self.call(pack_conf(PCI_CFGWRITE, addr, value, length))

    def bar_read(self, addr, size, memory=True):
        """The value at bus address ADDR of memory or port space, or FAILED."""
        return self.call(pack_bar(BAR_READ, addr, 0, size, memory))

    def bar_write(self, addr, value, size, memory=True):
        """0, or FAILED."""
        return self.call(pack_bar(BAR_WRITE, addr, value, size, memory))

    def sync_sysmem(self, ranges):
        """Give the server the guest's RAM: a list of Range(fd, gpa, size, offset)."""
        self.raw(pack_table(ranges), [r.fd for r in ranges])

    def set_bounce(self, dma_socket, window):
        """Give the server a DMA socket and a window; 0, or FAILED."""
        self.raw(pack(SET_BOUNCE), [dma_socket.fileno(), window])
        return self.call(b"")

    def sync_bounce(self, ranges):
        """Tell the server what is RAM: a list of (gpa, size)."""
        self.raw(pack_bounce_table(ranges))

    def set_irqfd(self, interrupt, resample):
        """Give the server its eventfds."""
        self.raw(pack(SET_IRQFD), [interrupt, resample])

    def reset(self):
        """Reset the device."""
        self.call(pack(DEVICE_RESET), reset=True)

    def barrier(self):
        """Wait until the server has done everything sent before. Returns the vendor id."""
        return self.config_read(0, 2)

    def bar_size(self, index):
        """Size a 32-bit BAR as firmware does: (register, size mask with its low bits)."""
        addr = 0x10 + 4 * index
        first = self.config_read(addr, 4)
        self.config_write(addr, 0xffffffff, 4)
        mask = self.config_read(addr, 4)
        self.config_write(addr, first, 4)
        return first, mask


class BounceHost:
    """The client's half of bounced DMA, in a thread: copies between a bytearray, guest RAM, and a window.

    remote_end, window  what set_bounce() passes; guest: the RAM, at address 0
    requests            those that came, as (kind, [(gpa, len, offset), ...])
    master              whether the device may master the bus
    """

    def __init__(self, size, timeout=10):
        self.guest, self.master, self.requests = bytearray(size), True, []
        self.window = memfd(WINDOW, "window")
        self._view = mmap.mmap(self.window, WINDOW)
        self._sock, self.remote_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        limit = struct.pack("ll", timeout, 0)
        self.remote_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.remote_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._sock.close()
        self.remote_end.close()
        self._view.close()
        os.close(self.window)

    def _run(self):
        while True:
            packet = self._sock.recv(4096)
            if not packet:
                return
            serial, kind, count = DMA_REQUEST.unpack_from(packet)
            pieces = [DMA_PIECE.unpack_from(packet, DMA_REQUEST.size + i * DMA_PIECE.size) for i in range(count)]
            assert len(packet) == DMA_REQUEST.size + count * DMA_PIECE.size and 1 <= count <= 16
            self.requests.append((kind, pieces))
            self._sock.send(DMA_ANSWER.pack(serial, max(self._copy(kind, *piece) for piece in pieces)))

    def _copy(self, kind, gpa, length, offset):
        assert kind in (DMA_READ, DMA_WRITE) and 1 <= length and offset + length <= WINDOW
        if not self.master or gpa + length > len(self.guest):
            return DMA_NO_RAM
        if kind == DMA_READ:
            self._view[offset:offset + length] = self.guest[gpa:gpa + length]
        else:
            self.guest[gpa:gpa + length] = self._view[offset:offset + length]
        return DMA_DONE


# ------------------------------------------------------------------- server

class FakeDevice:
    """A PCI function made of bytes: type-0 header, BARs that are plain storage, one interrupt line.

    ids     vendor, device
    bars    {index: size}; 32-bit memory BARs, or I/O BARs when the index is in IO_BARS
    """

    def __init__(self, ids=(0x1af4, 0x10ff), bars=None, io_bars=(), class_code=0x00ff00, pin=1):
        self.config = bytearray(256)
        self.writable = bytearray(256)
        self.bars = {}                  # index: (size, is memory, bytearray)
        self._ids, self._class, self._pin = ids, class_code, pin
        for index, size in (bars or {}).items():
            self.bars[index] = (size, index not in io_bars, bytearray(size))
        self.resets = 0
        self.reset()
        self.resets = 0

    def reset(self):
        """The state after power-on."""
        self.resets += 1
        self.config[:] = bytes(256)
        self.writable[:] = bytes(256)
        struct.pack_into("<HH", self.config, 0, *self._ids)
        struct.pack_into("<I", self.config, 8, self._class << 8)
        self.config[0x3d] = self._pin
        struct.pack_into("<H", self.writable, 4, 0x0407)
        self.writable[0x0c] = self.writable[0x0d] = self.writable[0x3c] = 0xff
        for index, (size, is_memory, content) in self.bars.items():
            struct.pack_into("<I", self.config, 0x10 + 4 * index, 0 if is_memory else 1)
            struct.pack_into("<I", self.writable, 0x10 + 4 * index, -size & 0xffffffff)
            content[:] = bytes(size)

    def config_read(self, addr, length):
        """A value, or FAILED."""
        if addr + length > len(self.config):
            return FAILED
        return int.from_bytes(self.config[addr:addr + length], "little")

    def config_write(self, addr, value, length):
        """0, or FAILED."""
        if addr + length > len(self.config):
            return FAILED
        for i in range(length):
            mask = self.writable[addr + i]
            self.config[addr + i] = self.config[addr + i] & ~mask | value >> 8 * i & mask
        return 0

    def _find_bar(self, addr, size, memory):
        command = self.config[4]
        for index, (bar_size, is_memory, content) in self.bars.items():
            base = struct.unpack_from("<I", self.config, 0x10 + 4 * index)[0] & (~0xf if is_memory else ~3)
            if is_memory == memory and command & (2 if memory else 1) and base and \
                    base <= addr and addr + size <= base + bar_size:
                return content, addr - base
        return None, 0

    def bar_read(self, addr, size, memory):
        """A value, or FAILED."""
        content, offset = self._find_bar(addr, size, memory)
        return FAILED if content is None else int.from_bytes(content[offset:offset + size], "little")

    def bar_write(self, addr, value, size, memory):
        """0, or FAILED."""
        content, offset = self._find_bar(addr, size, memory)
        if content is None:
            return FAILED
        content[offset:offset + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        return 0


class LinkServer:
    """The device's end: serves a FakeDevice in a thread. A context manager; takes the socket.

    log         the requests, in order, as (command, decoded fields)
    error       why the link ended, None while it lives; "the end of the stream" is the regular end
    irq_fds     [interrupt, resample] or []
    ranges      the memory table as a list of Range with descriptors of this object
    """

    def __init__(self, sock, device=None):
        sock.settimeout(None)
        self.device = device or FakeDevice()
        self.stream = Stream(sock)
        self.log, self.ranges, self.irq_fds = [], [], []
        self.bounced, self.bounce_fds = None, []    # the list of SYNC_BOUNCE; DMA socket and window
        self.error = None
        self._behaviours = {}
        self._level = False
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._resampler = threading.Thread(target=self._resample, daemon=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Begin to serve."""
        self._thread.start()
        self._resampler.start()
        return self

    def stop(self):
        """End the link and the threads, and close every descriptor."""
        self._stop.set()
        try:
            self.stream.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass                        # closed already
        self._thread.join(10)
        self._resampler.join(10)
        self._drop()

    def behave(self, command, behaviour, after=0):
        """Answer COMMAND by BEHAVIOUR(server, message, honest_reply_bytes) from its AFTER-th time on."""
        self._behaviours[command] = [behaviour, after]

    # -- the device's own actions

    def set_irq(self, level):
        """Drive the interrupt line."""
        with self._lock:
            rising = level and not self._level
            self._level = bool(level)
            if rising:
                self._signal()

    def _signal(self):
        if self.irq_fds:
            try:
                os.eventfd_write(self.irq_fds[0], 1)
            except BlockingIOError:
                pass                    # full: the client has a signal it has not read

    def dma_read(self, gpa, length):
        """Bytes of guest RAM, or None outside the table."""
        return self._dma(gpa, length, None)

    def dma_write(self, gpa, data):
        """Write to guest RAM; False outside the table."""
        return self._dma(gpa, len(data), data) is not None

    def _dma_bounced(self, gpa, length, data):
        """LENGTH is at most the window."""
        with self._lock, mmap.mmap(self.bounce_fds[1], WINDOW) as window, \
                socket.socket(fileno=os.dup(self.bounce_fds[0])) as sock:
            if data is not None:
                window[:length] = data
            sock.send(pack_dma(7, DMA_READ if data is None else DMA_WRITE, [(gpa, length, 0)]))
            serial, result = DMA_ANSWER.unpack(sock.recv(100))
            assert serial == 7
            return window[:length] if result == DMA_DONE else None

    def _dma(self, gpa, length, data):
        if self.bounce_fds:
            return self._dma_bounced(gpa, length, data)
        with self._lock:
            for r in self.ranges:
                if r.gpa <= gpa and gpa + length <= r.gpa + r.size:
                    with mmap.mmap(r.fd, r.size, offset=r.offset) as view:
                        at = gpa - r.gpa
                        if data is not None:
                            view[at:at + length] = data
                        return view[at:at + length]
        return None

    # -- serving

    def _run(self):
        try:
            while True:
                message = self.stream.receive(self._check_header)
                try:
                    self._serve(message)
                finally:
                    message.close()
        except LinkError as error:
            self.error = str(error)
        except OSError as error:
            self.error = f"socket: {error}"
        with self._lock:
            self.stream.close()

    def _resample(self):
        while not self._stop.is_set():
            with self._lock:
                if self.irq_fds and select.select([self.irq_fds[1]], [], [], 0)[0]:
                    os.eventfd_read(self.irq_fds[1])
                    if self._level:
                        self._signal()
            time.sleep(0.001)

    @staticmethod
    def _check_header(cmd, size):
        if cmd not in REQUESTS:
            raise LinkError(f"command {cmd}")
        if size != REQUESTS[cmd][0]:
            raise LinkError(f"{NAMES[cmd]} of {size} bytes")

    def _serve(self, message):
        _, fewest, most, has_reply = REQUESTS[message.cmd]
        if not fewest <= len(message.fds) <= most:
            raise LinkError(f"{NAMES[message.cmd]} with {len(message.fds)} descriptors")
        value = getattr(self, "_do_" + NAMES[message.cmd].lower())(message)
        if not has_reply:
            return
        honest = pack(RET) if message.cmd == DEVICE_RESET else pack_ret(value)
        entry = self._behaviours.get(message.cmd)
        if entry and entry[1] == 0:
            entry[0](self, message, honest)
            return
        if entry:
            entry[1] -= 1
        self.stream.send(honest)

    def _do_pci_cfgread(self, message):
        addr, _, length = CONF.unpack(message.payload)
        self.log.append((PCI_CFGREAD, (addr, length)))
        return self.device.config_read(addr, length) if length in (1, 2, 4) else FAILED

    def _do_pci_cfgwrite(self, message):
        addr, value, length = CONF.unpack(message.payload)
        self.log.append((PCI_CFGWRITE, (addr, value, length)))
        return self.device.config_write(addr, value, length) if length in (1, 2, 4) else FAILED

    def _do_bar_read(self, message):
        addr, _, size, memory = BAR.unpack(message.payload)
        self.log.append((BAR_READ, (addr, size, memory)))
        if size not in (1, 2, 4, 8) or memory > 1 or addr + size > 1 << 64:
            return FAILED
        return self.device.bar_read(addr, size, bool(memory))

    def _do_bar_write(self, message):
        addr, value, size, memory = BAR.unpack(message.payload)
        self.log.append((BAR_WRITE, (addr, value, size, memory)))
        if size not in (1, 2, 4, 8) or memory > 1 or addr + size > 1 << 64:
            return FAILED
        return self.device.bar_write(addr, value, size, bool(memory))

    def _do_sync_sysmem(self, message):
        table = TABLE.unpack(message.payload)
        ranges = [Range(fd, table[i], table[8 + i], table[16 + i]) for i, fd in enumerate(message.fds)]
        self.log.append((SYNC_SYSMEM, tuple(r[1:] for r in ranges)))
        for i, r in enumerate(ranges):
            if not is_ram_file(r.fd):
                raise LinkError(f"range {i} is no file")
            if r.size == 0 or r.gpa + r.size > 1 << 64 or r.offset < 0 or \
                    r.offset + r.size > os.fstat(r.fd).st_size:
                raise LinkError(f"range {i} is not valid: {r}")
            if any(r.gpa < o.gpa + o.size and o.gpa < r.gpa + r.size for o in ranges[:i]):
                raise LinkError(f"range {i} overlaps another")
        message.take_fds()
        with self._lock:
            old, self.ranges = self.ranges, ranges
            for r in old:
                os.close(r.fd)

    def _do_set_bounce(self, message):
        self.log.append((SET_BOUNCE, ()))
        if not stat.S_ISSOCK(os.fstat(message.fds[0]).st_mode) or os.fstat(message.fds[1]).st_size != WINDOW:
            raise LinkError("SET_BOUNCE without a socket and a window")
        if self.bounce_fds or self.ranges:
            raise LinkError("SET_BOUNCE out of place")
        self.bounce_fds = message.take_fds()
        return 0

    def _do_sync_bounce(self, message):
        count, *numbers = BOUNCE_TABLE.unpack(message.payload)
        if count > 8 or not self.bounce_fds:
            raise LinkError("SYNC_BOUNCE out of place, or too long")
        self.bounced = [(numbers[i], numbers[8 + i]) for i in range(count)]
        self.log.append((SYNC_BOUNCE, tuple(self.bounced)))

    def _do_set_irqfd(self, message):
        self.log.append((SET_IRQFD, ()))
        if not all(is_eventfd(fd) for fd in message.fds):
            raise LinkError("SET_IRQFD without eventfds")
        with self._lock:
            old, self.irq_fds = self.irq_fds, message.take_fds()
            for fd in old:
                os.close(fd)
            if self._level:
                self._signal()

    def _do_device_reset(self, _message):
        self.log.append((DEVICE_RESET, ()))
        self.device.reset()
        with self._lock:
            self._level = False

    def _drop(self):
        with self._lock:
            for fd in [r.fd for r in self.ranges] + self.irq_fds + self.bounce_fds:
                os.close(fd)
            self.ranges, self.irq_fds, self.bounce_fds = [], [], []
