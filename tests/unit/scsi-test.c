/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Harness of the SCSI unit tests: the host adapter and the running of commands.
 * Runs in: tests
 */
#include "scsi-test.h"

/* A request that does not end after so long hangs. */
#define WAIT_MAX_US (60ll * 1000 * 1000)
#define RAM_SIZE (8u * 1024 * 1024)

void (*test_free_drives)(void);

typedef struct HbaDevice {
    Device dev;
} HbaDevice;

typedef struct HbaDeviceClass {
    DeviceClass device_class;
} HbaDeviceClass;

GType hba_device_get_type(void);
QOM_DEFINE_TYPE(HbaDevice, hba_device, "test-hba", TYPE_DEVICE, 0)

static void hba_device_class_init(HbaDeviceClass *klass)
{
    klass->device_class.qom_class.internal = true;
}

static void hba_device_init(HbaDevice *dev)
{
    (void)dev;
}

static void on_ready(ScsiRequest *req)
{
    TestHba *hba = req->bus->hba;

    g_assert_false(hba->in_call);
    g_assert_cmpint(req->state, !=, SCSI_REQ_BUSY);
    g_assert_cmpint(req->state, !=, SCSI_REQ_NEW);
    hba->ready_calls++;
}

static void on_changed(ScsiBus *bus)
{
    TestHba *hba = bus->hba;

    g_assert_false(hba->in_call);
    hba->changed_calls++;
}

static const ScsiHbaOps hba_ops = { on_ready, on_changed };

TestHba *test_hba_new(unsigned targets, unsigned luns, unsigned own_id)
{
    TestHba *hba = g_new0(TestHba, 1);
    GError *error = NULL;
    GType (*const types[])(void) = { scsi_hd_get_type, scsi_cd_get_type, NULL };

    qom_register_types(types);
    hba->dev = device_new(hba_device_get_type());
    g_assert_true(device_realize(hba->dev, NULL, &error));
    g_assert_no_error(error);
    hba->bus = scsi_bus_new(hba->dev, &hba_ops, hba, targets, luns, own_id);
    hba->ram = ram_block_new_memfd("test", RAM_SIZE, false, &error);
    g_assert_no_error(error);
    dma_context_init(&hba->dma, NULL);
    return hba;
}

void test_hba_free(TestHba *hba)
{
    g_assert_cmpuint(hba->dma.mapped, ==, 0);
    g_assert_cmpuint(hba->bus->live_requests, ==, 0);
    device_unrealize(hba->dev);
    g_object_unref(hba->dev);
    ram_block_unref(hba->ram);
    g_free(hba);
    if (test_free_drives) {
        test_free_drives();
    }
}

static ScsiDevice *add(TestHba *hba, const char *type, const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-device", text, NULL, NULL);
    static const char *const skip[] = { "id", NULL };
    GType gtype = qom_type_by_name(type);
    Device *dev;
    bool ok;

    g_assert_nonnull(opts);
    g_assert_cmpuint(gtype, !=, 0);
    dev = device_new(gtype);
    dev->id = g_strdup(options_get(opts, "id"));
    ok = qom_set_options(dev, opts, skip, errp) && device_realize(dev, &hba->bus->bus, errp);
    /* The tree keeps a realized device. */
    g_object_unref(dev);
    return ok ? SCSI_DEVICE(dev) : NULL;
}

ScsiDevice *test_add(TestHba *hba, const char *type, const char *text)
{
    GError *error = NULL;
    ScsiDevice *dev = add(hba, type, text, &error);

    g_assert_no_error(error);
    return dev;
}

void test_add_fails(TestHba *hba, const char *type, const char *text, const char *const *needles)
{
    g_autoptr(GError) error = NULL;
    unsigned before = hba->bus->bus.devices->len;

    g_assert_null(add(hba, type, text, &error));
    g_assert_nonnull(error);
    for (; *needles; needles++) {
        if (!strstr(error->message, *needles)) {
            g_error("\"%s\" is missing in: %s", *needles, error->message);
        }
    }
    g_assert_cmpuint(hba->bus->bus.devices->len, ==, before);
}

/* ---- single steps ---------------------------------------------------------------------------- */

void test_turn(void)
{
    event_loop_turn(event_loop_main(), false);
}

void test_wait(ScsiRequest *req)
{
    gint64 deadline = g_get_monotonic_time() + WAIT_MAX_US;

    while (req->state == SCSI_REQ_BUSY) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        if (!event_loop_turn(event_loop_main(), false)) {
            g_usleep(50);
        }
    }
}

ScsiRequest *test_request(TestHba *hba, uint32_t tag, const uint8_t *cdb, unsigned len)
{
    ScsiRequest *req = scsi_req_new(hba->bus, 0, 0, tag, cdb, len, NULL);

    g_assert_nonnull(req);
    return req;
}

ScsiReqState test_start(TestHba *hba, ScsiRequest *req)
{
    ScsiReqState state;

    hba->in_call = true;
    state = scsi_req_start(req);
    hba->in_call = false;
    return state;
}

ScsiReqState test_consume(TestHba *hba, ScsiRequest *req, size_t n)
{
    ScsiReqState state;

    hba->in_call = true;
    state = scsi_req_consume(req, n);
    hba->in_call = false;
    return state;
}

ScsiReqState test_fetch(TestHba *hba, ScsiRequest *req)
{
    ScsiReqState state;

    hba->in_call = true;
    state = scsi_req_fetch(req);
    hba->in_call = false;
    return state;
}

void test_cancel(TestHba *hba, ScsiRequest *req)
{
    hba->in_call = true;
    scsi_req_cancel(req);
    hba->in_call = false;
}

/* In two entries, with a hole between them, so that scatter lists are exercised. */
ScsiReqState test_direct(TestHba *hba, ScsiRequest *req, size_t offset, size_t len)
{
    DmaMap *map = g_new0(DmaMap, 1);
    size_t first = MIN(len, 512);
    ScsiReqState state;

    dma_map_init(map, &hba->dma, req->state == SCSI_REQ_OFFER_IN ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
    map->iov[map->count] = (struct iovec) { hba->ram->host + offset, first };
    map->blocks[map->count++] = ram_block_ref(hba->ram);
    if (len > first) {
        map->iov[map->count] = (struct iovec) { hba->ram->host + RAM_SIZE / 2 + offset, len - first };
        map->blocks[map->count++] = ram_block_ref(hba->ram);
    }
    map->size = len;
    if (len) {
        hba->dma.mapped++;
    }
    hba->in_call = true;
    state = scsi_req_direct(req, map);
    hba->in_call = false;
    return state;
}

/* ---- whole commands -------------------------------------------------------------------------- */

/* The bytes that test_direct() placed, or will take. */
static void copy_lent(TestHba *hba, uint8_t *bytes, size_t len, bool to_ram)
{
    size_t first = MIN(len, 512);
    uint8_t *host = hba->ram->host;

    if (to_ram) {
        memcpy(host, bytes, first);
        memcpy(host + RAM_SIZE / 2, bytes + first, len - first);
    } else {
        memcpy(bytes, host, first);
        memcpy(bytes + first, host + RAM_SIZE / 2, len - first);
    }
}

static uint8_t *last_in;

static void grow_in(Reply *reply, size_t n)
{
    last_in = g_realloc(last_in, reply->in_len + n);
    reply->in = last_in;
}

static void buffered_step(TestHba *hba, ScsiRequest *req, Reply *reply, const uint8_t *out, size_t out_len)
{
    size_t len;
    uint8_t *data = scsi_req_buffer(req, &len);

    g_assert_nonnull(data);
    g_assert_cmpuint(len, >, 0);
    g_assert_cmpuint(len, <=, SCSI_CHUNK_MAX);
    if (hba->piece) {
        len = MIN(len, hba->piece);
    }
    if (req->state == SCSI_REQ_DATA_IN) {
        grow_in(reply, len);
        memcpy(reply->in + reply->in_len, data, len);
        reply->in_len += len;
    } else {
        g_assert_cmpuint(reply->out_len + len, <=, out_len);
        memcpy(data, out + reply->out_len, len);
        reply->out_len += len;
    }
    test_consume(hba, req, len);
}

static void step(TestHba *hba, ScsiRequest *req, Reply *reply, const uint8_t *out, size_t out_len)
{
    size_t len = req->data_len;
    bool direct = hba->direct && scsi_req_direct_granule(req) > 0;

    switch (req->state) {
    case SCSI_REQ_OFFER_IN:
        g_assert_cmpuint(len, <=, SCSI_OFFER_MAX);
        if (direct) {
            test_direct(hba, req, 0, len);
            test_wait(req);
            grow_in(reply, len);
            copy_lent(hba, reply->in + reply->in_len, len, false);
            reply->in_len += len;
        } else {
            test_fetch(hba, req);
        }
        break;
    case SCSI_REQ_DATA_OUT:
        if (direct) {
            g_assert_cmpuint(reply->out_len + len, <=, out_len);
            copy_lent(hba, (uint8_t *)out + reply->out_len, len, true);
            reply->out_len += len;
            test_direct(hba, req, 0, len);
            break;
        }
        buffered_step(hba, req, reply, out, out_len);
        break;
    case SCSI_REQ_DATA_IN:
        buffered_step(hba, req, reply, out, out_len);
        break;
    default:
        test_wait(req);
    }
}

Reply test_cmd_out(TestHba *hba, unsigned id, unsigned lun, const uint8_t *cdb, unsigned n, const void *out,
                   size_t out_len)
{
    ScsiRequest *req = scsi_req_new(hba->bus, id, lun, SCSI_NO_TAG, cdb, n, NULL);
    Reply reply = { 0 };

    g_assert_nonnull(req);
    g_clear_pointer(&last_in, g_free);
    test_start(hba, req);
    while (req->state != SCSI_REQ_DONE) {
        step(hba, req, &reply, out, out_len);
    }
    reply.status = req->status;
    reply.xfer_len = req->xfer_len;
    if (req->status == SCSI_STATUS_GOOD) {
        g_assert_cmpuint(req->moved, ==, req->xfer_len);
    }
    g_assert_null(req->map);
    scsi_req_unref(req);
    return reply;
}

void test_expect_bytes(const char *where, Reply reply, const uint8_t *bytes, size_t len)
{
    if (reply.status != SCSI_STATUS_GOOD || reply.in_len != len || memcmp(reply.in, bytes, len) != 0) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (size_t i = 0; i < reply.in_len; i++) {
            g_string_append_printf(text, "%s%02x", i % 16 ? " " : "\n", reply.in[i]);
        }
        g_error("%s: status %02x, %zu bytes:%s", where, reply.status, reply.in_len, text->str);
    }
}

void test_expect_sense(const char *where, TestHba *hba, unsigned id, unsigned lun, Reply reply, uint8_t key,
                       uint8_t asc, uint8_t ascq, int64_t specific, int64_t info)
{
    uint8_t want[18] = { 0x70, [2] = key, [7] = 10, [12] = asc, [13] = ascq };
    Reply sense;

    if (reply.status != SCSI_STATUS_CHECK_CONDITION) {
        g_error("%s: status %02x in place of CHECK CONDITION", where, reply.status);
    }
    sense = test_cmd(hba, id, lun, 0x03, 0, 0, 0, 252, 0);
    g_assert_cmpuint(sense.in_len, ==, sizeof(want));
    if (specific >= 0) {
        want[15] = (uint8_t)(specific >> 16);
        want[16] = (uint8_t)(specific >> 8);
        want[17] = (uint8_t)specific;
    } else {
        memcpy(want + 15, sense.in + 15, 3);
    }
    if (info >= 0) {
        want[0] |= 0x80;
        for (unsigned i = 0; i < 4; i++) {
            want[3 + i] = (uint8_t)(info >> (24 - 8 * i));
        }
    } else {
        want[0] |= sense.in[0] & 0x80;
        memcpy(want + 3, sense.in + 3, 4);
    }
    test_expect_bytes(where, sense, want, sizeof(want));
}

void test_clear_attention(TestHba *hba, unsigned id, unsigned lun)
{
    expect_sense(hba, id, lun, test_cmd(hba, id, lun, 0x00, 0, 0, 0, 0, 0), 6, 0x29, 0x01);
}
