/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of the mpqemu link: layout and validity.
 * Runs in: both
 *
 * Theory of operation
 *
 * specs[] is the protocol: one line per command, and nothing else in the program knows a size or a descriptor
 * count.  A message passes in this order, each step using only what the steps before have proved:
 *   1. header: the command exists, goes in this direction, and has its size;
 *   2. descriptors: their count, then the kind of each, asked of the kernel and not of the sender;
 *   3. fields: ranges, by the command's own function.
 * Steps 1 and 2 fail only for a peer that does not speak the protocol, so the link is closed.  A failure of step 3
 * in a request with a reply is answered with MPQEMU_RET_ERROR instead: the stream's position is known, and a
 * guest's odd access must not cost the guest its device.
 *
 * The format is that of a C compiler on a 64-bit little-endian machine; here it is spelled out byte by byte, so
 * that padding never carries anything out of this process nor into it.
 */
#include "mpqemu-msg.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "util/fd.h"

#define PCI_CONFIG_SPACE_MAX 4096 /* PCI Express; the device's own size is its server's affair */

enum {
    HEADER_CMD = 0, /* 4 bytes, then 4 of padding */
    HEADER_LEN = 8, /* 8 bytes: what follows the header */
};

enum {
    CONF_ADDR = 0,
    CONF_VAL = 4,
    CONF_LEN = 8,
    CONF_SIZE = 12,
};

enum {
    BAR_ADDR = 0,
    BAR_VAL = 8,
    BAR_LEN = 16,
    BAR_MEMORY = 20, /* 1 byte, then 3 of padding */
    BAR_SIZE = 24,
};

enum {
    SYNC_GPAS = 0,
    SYNC_SIZES = 8 * MPQEMU_FDS_MAX,
    SYNC_OFFSETS = 16 * MPQEMU_FDS_MAX,
    SYNC_SIZE = 24 * MPQEMU_FDS_MAX,
};

enum {
    BOUNCE_COUNT = 0, /* 4 bytes, then 4 of padding */
    BOUNCE_GPAS = 8,
    BOUNCE_SIZES = BOUNCE_GPAS + 8 * MPQEMU_BOUNCE_RANGES_MAX,
    BOUNCE_SIZE = BOUNCE_SIZES + 8 * MPQEMU_BOUNCE_RANGES_MAX,
};

enum {
    RET_SIZE = 8,
};

/* What mmap() can share with another process; a file covers memory-backend-file on an ordinary file system. */
#define KINDS_OF_RAM (1u << FD_KIND_SHMEM | 1u << FD_KIND_FILE)
#define KINDS_OF_IRQ (1u << FD_KIND_EVENTFD)
#define KINDS_OF_SOCKET (1u << FD_KIND_SOCKET)
#define KINDS_OF_WINDOW (1u << FD_KIND_SHMEM)

typedef struct MsgSpec {
    const char *name;
    MpqemuRole receiver;
    uint8_t size_min, size_max;   /* payload: one of the two, nothing between */
    uint8_t fds_min, fds_max;
    uint32_t fd_kinds;            /* bit (1 << FdKind): what each descriptor may be, */
    uint32_t fd1_kinds;           /* but for descriptor 1 when this is not 0 */
    bool has_reply;
    uint8_t reply_min, reply_max; /* payload of the RET, as size_min and size_max; reply_min is what we send */
    void (*encode)(const MpqemuMsg *msg, uint8_t *payload);
    bool (*decode)(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why);
    bool (*check)(const MpqemuMsg *msg, MpqemuWhy *why);
    MpqemuSummary (*summary)(const MpqemuMsg *msg);
} MsgSpec;

void mpqemu_why(MpqemuWhy *why, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why->text, sizeof(why->text), fmt, ap);
    va_end(ap);
}

/* Loads and stores at any alignment; the wire is little-endian. */
static uint32_t get_le32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT32_FROM_LE(v);
}

static uint64_t get_le64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return GUINT64_FROM_LE(v);
}

static void put_le32(uint8_t *p, uint32_t v)
{
    v = GUINT32_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

static void put_le64(uint8_t *p, uint64_t v)
{
    v = GUINT64_TO_LE(v);
    memcpy(p, &v, sizeof(v));
}

/* The low LEN bytes of VALUE: either side may leave anything above an access's own width. */
static uint64_t low_bytes(uint64_t value, unsigned len)
{
    return len < 8 ? value & ((UINT64_C(1) << (8 * len)) - 1) : value;
}

/* Memory table: as many entries as descriptors came; the rest of the arrays is not looked at. */

static void encode_sync(const MpqemuMsg *msg, uint8_t *payload)
{
    for (unsigned i = 0; i < msg->num_fds; i++) {
        put_le64(payload + SYNC_GPAS + 8 * i, msg->sync.gpas[i]);
        put_le64(payload + SYNC_SIZES + 8 * i, msg->sync.sizes[i]);
        put_le64(payload + SYNC_OFFSETS + 8 * i, msg->sync.offsets[i]);
    }
}

/* Range I of a list, the ranges before it being good. */
static bool check_range(const uint64_t *gpas, const uint64_t *sizes, unsigned i, MpqemuWhy *why)
{
    uint64_t last;

    if (sizes[i] == 0) {
        mpqemu_why(why, "range %u is empty", i);
        return false;
    }
    if (__builtin_add_overflow(gpas[i], sizes[i] - 1, &last)) {
        mpqemu_why(why, "range %u wraps: address 0x%" PRIx64 ", size 0x%" PRIx64, i, gpas[i], sizes[i]);
        return false;
    }
    for (unsigned j = 0; j < i; j++) {
        if (gpas[j] <= last && gpas[i] <= gpas[j] + (sizes[j] - 1)) {
            mpqemu_why(why, "ranges %u and %u overlap at 0x%" PRIx64, j, i, MAX(gpas[i], gpas[j]));
            return false;
        }
    }
    return true;
}

static bool check_sync(const MpqemuMsg *msg, MpqemuWhy *why)
{
    const MpqemuSyncSysmem *s = &msg->sync;

    for (unsigned i = 0; i < msg->num_fds; i++) {
        if (!check_range(s->gpas, s->sizes, i, why)) {
            return false;
        }
        /* off_t: signed on the wire, and the end of the mapping must be one, too. */
        if (s->offsets[i] > INT64_MAX || s->sizes[i] > INT64_MAX - s->offsets[i]) {
            mpqemu_why(why, "range %u: offset 0x%" PRIx64 ", size 0x%" PRIx64 " is no part of a file", i,
                       s->offsets[i], s->sizes[i]);
            return false;
        }
    }
    return true;
}

static bool decode_sync(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    for (unsigned i = 0; i < msg->num_fds; i++) {
        msg->sync.gpas[i] = get_le64(payload + SYNC_GPAS + 8 * i);
        msg->sync.sizes[i] = get_le64(payload + SYNC_SIZES + 8 * i);
        msg->sync.offsets[i] = get_le64(payload + SYNC_OFFSETS + 8 * i);
    }
    return check_sync(msg, why);
}

static MpqemuSummary summary_sync(const MpqemuMsg *msg)
{
    return (MpqemuSummary) {
        .addr = msg->num_fds ? msg->sync.gpas[0] : 0,
        .val = msg->num_fds ? msg->sync.sizes[0] : 0,
        .len = msg->num_fds,
    };
}

/* What is RAM, without descriptors */

static void encode_bounce(const MpqemuMsg *msg, uint8_t *payload)
{
    put_le32(payload + BOUNCE_COUNT, msg->bounce.count);
    for (unsigned i = 0; i < msg->bounce.count; i++) {
        put_le64(payload + BOUNCE_GPAS + 8 * i, msg->bounce.gpas[i]);
        put_le64(payload + BOUNCE_SIZES + 8 * i, msg->bounce.sizes[i]);
    }
}

static bool check_bounce(const MpqemuMsg *msg, MpqemuWhy *why)
{
    const MpqemuSyncBounce *b = &msg->bounce;

    if (b->count > MPQEMU_BOUNCE_RANGES_MAX) {
        mpqemu_why(why, "%" PRIu32 " ranges, at most %d", b->count, MPQEMU_BOUNCE_RANGES_MAX);
        return false;
    }
    for (unsigned i = 0; i < b->count; i++) {
        if (!check_range(b->gpas, b->sizes, i, why)) {
            return false;
        }
    }
    return true;
}

static bool decode_bounce(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    msg->bounce.count = get_le32(payload + BOUNCE_COUNT);
    for (unsigned i = 0; i < MPQEMU_BOUNCE_RANGES_MAX; i++) {
        msg->bounce.gpas[i] = get_le64(payload + BOUNCE_GPAS + 8 * i);
        msg->bounce.sizes[i] = get_le64(payload + BOUNCE_SIZES + 8 * i);
    }
    return check_bounce(msg, why);
}

static MpqemuSummary summary_bounce(const MpqemuMsg *msg)
{
    return (MpqemuSummary) {
        .addr = msg->bounce.count ? msg->bounce.gpas[0] : 0,
        .val = msg->bounce.count ? msg->bounce.sizes[0] : 0,
        .len = msg->bounce.count,
    };
}

/* PCI config space */

static void encode_conf(const MpqemuMsg *msg, uint8_t *payload)
{
    put_le32(payload + CONF_ADDR, msg->conf.addr);
    put_le32(payload + CONF_VAL, msg->conf.val);
    put_le32(payload + CONF_LEN, msg->conf.len);
}

static bool check_conf(const MpqemuMsg *msg, MpqemuWhy *why)
{
    const MpqemuPciConf *c = &msg->conf;

    if (c->len != 1 && c->len != 2 && c->len != 4) {
        mpqemu_why(why, "length %" PRIu32 " is not 1, 2 or 4", c->len);
        return false;
    }
    /* With the real length: the last byte of config space can be read as a byte. */
    if (c->addr > PCI_CONFIG_SPACE_MAX - c->len) {
        mpqemu_why(why, "offset 0x%" PRIx32 ", length %" PRIu32 " is beyond config space", c->addr, c->len);
        return false;
    }
    return true;
}

static bool decode_conf(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    msg->conf = (MpqemuPciConf) {
        .addr = get_le32(payload + CONF_ADDR),
        .val = get_le32(payload + CONF_VAL),
        .len = get_le32(payload + CONF_LEN),
    };
    if (!check_conf(msg, why)) {
        return false;
    }
    msg->conf.val = low_bytes(msg->conf.val, msg->conf.len);
    return true;
}

static MpqemuSummary summary_conf(const MpqemuMsg *msg)
{
    return (MpqemuSummary) { msg->conf.addr, msg->conf.val, msg->conf.len };
}

/* BARs, by absolute bus address */

static void encode_bar(const MpqemuMsg *msg, uint8_t *payload)
{
    put_le64(payload + BAR_ADDR, msg->bar.addr);
    put_le64(payload + BAR_VAL, msg->bar.val);
    put_le32(payload + BAR_LEN, msg->bar.size);
    payload[BAR_MEMORY] = msg->bar.memory;
}

static bool check_bar(const MpqemuMsg *msg, MpqemuWhy *why)
{
    const MpqemuBarAccess *b = &msg->bar;

    if (b->size != 1 && b->size != 2 && b->size != 4 && b->size != 8) {
        mpqemu_why(why, "size %" PRIu32 " is not 1, 2, 4 or 8", b->size);
        return false;
    }
    if (b->addr > UINT64_MAX - (b->size - 1)) {
        mpqemu_why(why, "address 0x%" PRIx64 ", size %" PRIu32 " wraps", b->addr, b->size);
        return false;
    }
    return true;
}

static bool decode_bar(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    /* Looked at before it becomes a bool, which can hold no third value. */
    if (payload[BAR_MEMORY] > 1) {
        mpqemu_why(why, "space %u is not 0 (I/O) or 1 (memory)", payload[BAR_MEMORY]);
        return false;
    }
    msg->bar = (MpqemuBarAccess) {
        .addr = get_le64(payload + BAR_ADDR),
        .val = get_le64(payload + BAR_VAL),
        .size = get_le32(payload + BAR_LEN),
        .memory = payload[BAR_MEMORY],
    };
    if (!check_bar(msg, why)) {
        return false;
    }
    msg->bar.val = low_bytes(msg->bar.val, msg->bar.size);
    return true;
}

static MpqemuSummary summary_bar(const MpqemuMsg *msg)
{
    return (MpqemuSummary) { msg->bar.addr, msg->bar.val, msg->bar.size };
}

/* The reply */

static void encode_ret(const MpqemuMsg *msg, uint8_t *payload)
{
    put_le64(payload, msg->ret);
}

static bool decode_ret(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    msg->ret = size == RET_SIZE ? get_le64(payload) : 0;
    return true;
}

static MpqemuSummary summary_ret(const MpqemuMsg *msg)
{
    return (MpqemuSummary) { .val = msg->ret };
}

/* SET_IRQFD, DEVICE_RESET and SET_BOUNCE have no payload. */

static void encode_none(const MpqemuMsg *msg, uint8_t *payload)
{
}

static bool decode_none(const uint8_t *payload, size_t size, MpqemuMsg *msg, MpqemuWhy *why)
{
    return true;
}

static bool check_none(const MpqemuMsg *msg, MpqemuWhy *why)
{
    return true;
}

static MpqemuSummary summary_none(const MpqemuMsg *msg)
{
    return (MpqemuSummary) { 0 };
}

/* docs/interop/mpqemu-link.rst, "Commands" */
static const MsgSpec specs[MPQEMU_CMD_MAX] = {
    [MPQEMU_CMD_SYNC_SYSMEM] = {
        .name = "SYNC_SYSMEM", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = SYNC_SIZE, .size_max = SYNC_SIZE,
        .fds_max = MPQEMU_FDS_MAX, .fd_kinds = KINDS_OF_RAM,
        .encode = encode_sync, .decode = decode_sync, .check = check_sync, .summary = summary_sync,
    },
    [MPQEMU_CMD_RET] = {
        .name = "RET", .receiver = MPQEMU_ROLE_CLIENT,
        .size_min = 0, .size_max = RET_SIZE,
        .encode = encode_ret, .decode = decode_ret, .check = check_none, .summary = summary_ret,
    },
    [MPQEMU_CMD_PCI_CFGWRITE] = {
        .name = "PCI_CFGWRITE", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = CONF_SIZE, .size_max = CONF_SIZE,
        .has_reply = true, .reply_min = RET_SIZE, .reply_max = RET_SIZE,
        .encode = encode_conf, .decode = decode_conf, .check = check_conf, .summary = summary_conf,
    },
    [MPQEMU_CMD_PCI_CFGREAD] = {
        .name = "PCI_CFGREAD", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = CONF_SIZE, .size_max = CONF_SIZE,
        .has_reply = true, .reply_min = RET_SIZE, .reply_max = RET_SIZE,
        .encode = encode_conf, .decode = decode_conf, .check = check_conf, .summary = summary_conf,
    },
    [MPQEMU_CMD_BAR_WRITE] = {
        .name = "BAR_WRITE", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = BAR_SIZE, .size_max = BAR_SIZE,
        .has_reply = true, .reply_min = RET_SIZE, .reply_max = RET_SIZE,
        .encode = encode_bar, .decode = decode_bar, .check = check_bar, .summary = summary_bar,
    },
    [MPQEMU_CMD_BAR_READ] = {
        .name = "BAR_READ", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = BAR_SIZE, .size_max = BAR_SIZE,
        .has_reply = true, .reply_min = RET_SIZE, .reply_max = RET_SIZE,
        .encode = encode_bar, .decode = decode_bar, .check = check_bar, .summary = summary_bar,
    },
    [MPQEMU_CMD_SET_IRQFD] = {
        .name = "SET_IRQFD", .receiver = MPQEMU_ROLE_SERVER,
        .fds_min = 2, .fds_max = 2, .fd_kinds = KINDS_OF_IRQ,
        .encode = encode_none, .decode = decode_none, .check = check_none, .summary = summary_none,
    },
    [MPQEMU_CMD_DEVICE_RESET] = {
        .name = "DEVICE_RESET", .receiver = MPQEMU_ROLE_SERVER,
        .has_reply = true, .reply_min = 0, .reply_max = RET_SIZE,
        .encode = encode_none, .decode = decode_none, .check = check_none, .summary = summary_none,
    },
    [MPQEMU_CMD_SET_BOUNCE] = {
        .name = "SET_BOUNCE", .receiver = MPQEMU_ROLE_SERVER,
        .fds_min = 2, .fds_max = 2, .fd_kinds = KINDS_OF_SOCKET, .fd1_kinds = KINDS_OF_WINDOW,
        .has_reply = true, .reply_min = RET_SIZE, .reply_max = RET_SIZE,
        .encode = encode_none, .decode = decode_none, .check = check_none, .summary = summary_none,
    },
    [MPQEMU_CMD_SYNC_BOUNCE] = {
        .name = "SYNC_BOUNCE", .receiver = MPQEMU_ROLE_SERVER,
        .size_min = BOUNCE_SIZE, .size_max = BOUNCE_SIZE,
        .encode = encode_bounce, .decode = decode_bounce, .check = check_bounce, .summary = summary_bounce,
    },
};

/* The numbers between stock's commands and ours are nobody's. */
static bool is_command(uint32_t cmd)
{
    return cmd < MPQEMU_CMD_MAX && specs[cmd].name;
}

const char *mpqemu_cmd_name(unsigned cmd)
{
    return is_command(cmd) ? specs[cmd].name : "?";
}

bool mpqemu_cmd_has_reply(MpqemuCmd cmd)
{
    return is_command(cmd) && specs[cmd].has_reply;
}

bool mpqemu_reply_size_ok(MpqemuCmd request, size_t size)
{
    return size == specs[request].reply_min || size == specs[request].reply_max;
}

uint64_t mpqemu_reply_value(const MpqemuMsg *request, uint64_t value)
{
    uint32_t width = specs[request->cmd].summary(request).len;

    return value == MPQEMU_RET_ERROR || width == 0 ? value : low_bytes(value, width);
}

MpqemuSummary mpqemu_msg_summary(const MpqemuMsg *msg)
{
    return specs[msg->cmd].summary(msg);
}

bool mpqemu_header_check(MpqemuRole role, const uint8_t *header, size_t *ret_size, MpqemuWhy *why)
{
    uint32_t cmd = get_le32(header + HEADER_CMD);
    uint64_t size = get_le64(header + HEADER_LEN);
    const MsgSpec *spec;

    if (!is_command(cmd)) {
        mpqemu_why(why, "command %" PRIu32 " is unknown", cmd);
        return false;
    }
    spec = &specs[cmd];
    if (spec->receiver != role) {
        mpqemu_why(why, "%s: is not for this side of the link", spec->name);
        return false;
    }
    if (size != spec->size_min && size != spec->size_max) {
        mpqemu_why(why, "%s: %" PRIu64 " bytes of payload, must be %u", spec->name, size, spec->size_max);
        return false;
    }
    *ret_size = size;
    return true;
}

static bool check_fd_count(const MsgSpec *spec, unsigned num_fds, MpqemuWhy *why)
{
    if (num_fds < spec->fds_min || num_fds > spec->fds_max) {
        mpqemu_why(why, "%s: %u descriptors, must be %u to %u", spec->name, num_fds, spec->fds_min,
                   spec->fds_max);
        return false;
    }
    return true;
}

/* A field's reason is found without knowing the command; put the name in front. */
static void name_in_front(const MsgSpec *spec, MpqemuWhy *why)
{
    MpqemuWhy field = *why;

    mpqemu_why(why, "%s: %.*s", spec->name, (int)(sizeof(field.text) - 16), field.text);
}

MpqemuVerdict mpqemu_msg_decode(const uint8_t *wire, const int *fds, unsigned num_fds, MpqemuMsg *msg,
                                MpqemuWhy *why)
{
    uint32_t cmd = get_le32(wire + HEADER_CMD);
    const MsgSpec *spec = &specs[cmd];

    if (!check_fd_count(spec, num_fds, why)) {
        return MPQEMU_MSG_REFUSED;
    }
    for (unsigned i = 0; i < num_fds; i++) {
        uint32_t kinds = i == 1 && spec->fd1_kinds ? spec->fd1_kinds : spec->fd_kinds;
        FdKind kind = fd_kind(fds[i]);

        if (!(kinds & 1u << kind)) {
            mpqemu_why(why, "%s: descriptor %u is %s", spec->name, i, fd_kind_name(kind));
            return MPQEMU_MSG_REFUSED;
        }
    }

    msg->cmd = cmd;
    msg->num_fds = num_fds;
    if (!spec->decode(wire + MPQEMU_HEADER_SIZE, get_le64(wire + HEADER_LEN), msg, why)) {
        msg->num_fds = 0;
        name_in_front(spec, why);
        return spec->has_reply ? MPQEMU_MSG_BAD_FIELD : MPQEMU_MSG_REFUSED;
    }
    for (unsigned i = 0; i < num_fds; i++) {
        msg->fds[i] = fds[i];
    }
    return MPQEMU_MSG_OK;
}

bool mpqemu_msg_check(const MpqemuMsg *msg, MpqemuWhy *why)
{
    const MsgSpec *spec;

    if (!is_command(msg->cmd) || specs[msg->cmd].receiver != MPQEMU_ROLE_SERVER) {
        mpqemu_why(why, "command %d is no request", (int)msg->cmd);
        return false;
    }
    spec = &specs[msg->cmd];
    if (!check_fd_count(spec, msg->num_fds, why)) {
        return false;
    }
    if (!spec->check(msg, why)) {
        name_in_front(spec, why);
        return false;
    }
    return true;
}

static size_t encode(const MpqemuMsg *msg, size_t size, uint8_t *wire)
{
    memset(wire, 0, MPQEMU_HEADER_SIZE + size);
    put_le32(wire + HEADER_CMD, msg->cmd);
    put_le64(wire + HEADER_LEN, size);
    if (size) {
        specs[msg->cmd].encode(msg, wire + MPQEMU_HEADER_SIZE);
    }
    return MPQEMU_HEADER_SIZE + size;
}

size_t mpqemu_msg_encode(const MpqemuMsg *msg, uint8_t *wire)
{
    return encode(msg, specs[msg->cmd].size_max, wire);
}

size_t mpqemu_ret_encode(MpqemuCmd request, uint64_t value, uint8_t *wire)
{
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_RET, .ret = value };

    return encode(&msg, specs[request].reply_min, wire);
}
