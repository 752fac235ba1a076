/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI units under a guest and an adapter that do anything: random commands, many at once, random order of steps,
 * cancels, resets, media changes, errors, stops.  Seeded: a failure repeats.
 * Runs in: tests
 */
#include "hw/scsi/scsi-int.h"
#include "scsi-fake-block.h"
#include "system/runstate.h"

#define STEPS 60000
#define LIVE_MAX 48
#define TARGETS 3

typedef struct Chaos {
    TestHba *hba;
    GRand *rand;
    BlockBackend *blk[TARGETS];
    ScsiRequest *live[LIVE_MAX];
    unsigned count;
    unsigned good, checked, cancelled; /* ends seen: the run must not be all of one kind */
} Chaos;

static unsigned pick(Chaos *c, unsigned n)
{
    return (unsigned)g_rand_int_range(c->rand, 0, (gint32)n);
}

/* A known operation code three times in four, with small numbers and mostly zero bits so that many get through. */
static unsigned random_cdb(Chaos *c, uint8_t *cdb)
{
    static const uint8_t known[] = {
        0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x28, 0x2a, 0x2a, 0x2e, 0x2f, 0x35,
        0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0x88, 0x8a, 0x8e, 0x8f, 0x91, 0x93, 0x9e, 0xa0, 0xa3,
        0xa8, 0xaa, 0xae, 0xaf, 0xbd, 0xbe,
    };
    unsigned len;

    memset(cdb, 0, 16);
    cdb[0] = pick(c, 4) ? known[pick(c, sizeof(known))] : (uint8_t)g_rand_int(c->rand);
    len = scsi_cdb_length(cdb[0]);
    len = len ? len : 16;
    /* Low bytes of address and count, where their fields are. */
    if (len > 6) {
        cdb[len == 16 ? 9 : 5] = (uint8_t)pick(c, 256);
        cdb[len == 16 ? 13 : len == 12 ? 9 : 8] = (uint8_t)pick(c, 64);
        cdb[len == 16 ? 12 : len == 12 ? 8 : 7] = pick(c, 4) ? 0 : (uint8_t)pick(c, 8);
    } else {
        cdb[4] = (uint8_t)pick(c, 64);
    }
    switch (cdb[0]) {
    case 0x9e:
        cdb[1] = 0x10;
        break;
    case 0xa3:
        cdb[1] = 0x0c;
        break;
    case 0x15:
    case 0x55:
        cdb[1] = 0x10;
        break;
    case 0x1a:
    case 0x5a:
        cdb[2] = 0x3f;
        break;
    case 0x12:
    case 0x1e:
        cdb[4] &= (uint8_t)pick(c, 2);
        break;
    case 0x1b:
        cdb[4] = (uint8_t)(pick(c, 8) ? 1 + 2 * pick(c, 2) : pick(c, 4));
        break;
    case 0x25:
        memset(cdb + 1, 0, 8);
        break;
    }
    for (unsigned n = pick(c, 8) ? 0 : pick(c, 5); n > 0; n--) {
        cdb[pick(c, len)] ^= (uint8_t)(1 << pick(c, 8));
    }
    return pick(c, 50) ? len : pick(c, 17);
}

static void start_one(Chaos *c)
{
    static const uint8_t luns[] = { 0, 0, 0, 0, 0, 0, 1, 255 };
    uint8_t cdb[16];
    unsigned len = random_cdb(c, cdb);
    ScsiRequest *req;

    if (c->count == LIVE_MAX) {
        return;
    }
    req = scsi_req_new(c->hba->bus, pick(c, TARGETS), luns[pick(c, 8)], g_rand_int(c->rand), cdb, len, NULL);
    /* Requests whose I/O outlives a cancel fill the bus. */
    if (req) {
        c->live[c->count++] = req;
        test_start(c->hba, req);
    }
}

static void drop(Chaos *c, unsigned i)
{
    ScsiRequest *req = c->live[i];

    if (req->state == SCSI_REQ_DONE) {
        *(req->status == SCSI_STATUS_GOOD ? &c->good : &c->checked) += 1;
    } else {
        test_cancel(c->hba, req);
        c->cancelled++;
    }
    c->live[i] = c->live[--c->count];
    scsi_req_unref(req);
}

static void lend(Chaos *c, ScsiRequest *req)
{
    unsigned granule = scsi_req_direct_granule(req);
    size_t len = granule * (1 + pick(c, (unsigned)(req->data_len / granule)));

    /* Sometimes what an adapter must not do. */
    if (pick(c, 100) == 0) {
        len = pick(c, 3) * 511;
    }
    test_direct(c->hba, req, 0, MIN(len, SCSI_OFFER_MAX));
}

static void move_data(Chaos *c, ScsiRequest *req)
{
    static const uint8_t caching[] = { 0, 0, 0, 0, 0x08, 0x12 };
    size_t len;
    uint8_t *data = scsi_req_buffer(req, &len);

    g_assert_nonnull(data);
    if (req->state == SCSI_REQ_DATA_OUT && req->data_pos == 0) {
        memset(data, 0, len);
        if (pick(c, 2)) {
            memcpy(data, caching, MIN(len, sizeof(caching)));
        }
        for (unsigned n = pick(c, 6); n > 0; n--) {
            data[pick(c, (unsigned)MIN(len, 64))] = (uint8_t)g_rand_int(c->rand);
        }
    }
    test_consume(c->hba, req, pick(c, 4) ? len : pick(c, (unsigned)len + 1));
}

static void step_one(Chaos *c)
{
    unsigned i;
    ScsiRequest *req;

    if (c->count == 0) {
        return;
    }
    i = pick(c, c->count);
    req = c->live[i];
    if (pick(c, 30) == 0) {
        drop(c, i);
        return;
    }
    switch (req->state) {
    case SCSI_REQ_OFFER_IN:
        if (scsi_req_direct_granule(req) && pick(c, 2)) {
            lend(c, req);
        } else {
            test_fetch(c->hba, req);
        }
        break;
    case SCSI_REQ_DATA_OUT:
        if (scsi_req_direct_granule(req) && pick(c, 2)) {
            lend(c, req);
            break;
        }
        move_data(c, req);
        break;
    case SCSI_REQ_DATA_IN:
        move_data(c, req);
        break;
    case SCSI_REQ_DONE:
        drop(c, i);
        break;
    default:
        break;
    }
}

/* What happens around the requests. */
static void disturb(Chaos *c)
{
    static const int errors[] = { 0, 0, 0, 0, 0, 0, 0, 0, EIO, ENOSPC, ENOMEDIUM };
    unsigned id = pick(c, TARGETS);
    BlockBackend *blk = c->blk[id];

    switch (pick(c, 400)) {
    case 0:
        scsi_bus_reset_devices(c->hba->bus, (ScsiResetKind)pick(c, 4));
        break;
    case 1:
        scsi_target_reset(c->hba->bus, id, (ScsiResetKind)pick(c, 4));
        break;
    case 2:
        scsi_unit_reset(c->hba->bus, id, pick(c, 2), (ScsiResetKind)pick(c, 4));
        break;
    case 3:
        device_reset(&scsi_bus_unit(c->hba->bus, id, 0)->dev);
        break;
    case 4:
    case 5:
        blk->fail = errors[pick(c, G_N_ELEMENTS(errors))];
        break;
    case 6:
        blk->hold = !blk->hold;
        break;
    case 7:
        blk->late_cancel = !blk->late_cancel;
        break;
    case 8:
        /* The CD's medium comes and goes; the disks' change in length.  Not under the feet of the memory they are. */
        if (blk->in_flight == 0) {
            fake_set_medium(blk, id == 1 && pick(c, 2) ? 0 : 4096u * (1 + pick(c, 300)));
        }
        break;
    case 9:
        blk->read_only = pick(c, 4) == 0 && id != 1;
        break;
    case 10:
    case 11:
    case 12:
        vm_start();
        break;
    default:
        test_turn();
    }
}

static void test_anything(gconstpointer seed)
{
    Chaos c = { .hba = test_hba_new(8, 8, 7), .rand = g_rand_new_with_seed(GPOINTER_TO_UINT(seed)) };

    c.blk[0] = fake_drive("d0", 1024 * 1024);
    c.blk[1] = fake_drive("d1", 1024 * 1024);
    c.blk[2] = fake_drive("d2", 1024 * 1024);
    test_add(c.hba, "scsi-hd", "drive=d0,scsi-id=0,rerror=stop,werror=stop");
    test_add(c.hba, "scsi-cd", "drive=d1,scsi-id=1");
    test_add(c.hba, "scsi-hd", "drive=d2,scsi-id=2,logical_block_size=4096,removable=on,rerror=ignore");
    for (unsigned i = 0; i < STEPS; i++) {
        if (pick(&c, 3) == 0) {
            start_one(&c);
        }
        step_one(&c);
        disturb(&c);
    }
    while (c.count) {
        drop(&c, 0);
    }
    for (unsigned id = 0; id < TARGETS; id++) {
        blk_drain(c.blk[id], INT64_MAX);
    }
    g_assert_cmpuint(c.hba->bus->live_requests, ==, 0);
    g_assert_cmpuint(c.hba->dma.mapped, ==, 0);
    g_test_message("%u good, %u checked, %u cancelled", c.good, c.checked, c.cancelled);
    g_assert_cmpuint(c.good, >, STEPS / 100);
    g_assert_cmpuint(c.checked, >, STEPS / 100);
    g_assert_cmpuint(c.cancelled, >, STEPS / 1000);
    /* The units still work, their attentions told. */
    for (unsigned id = 0; id < TARGETS; id++) {
        Reply reply;
        unsigned tries = 0;

        c.blk[id]->fail = 0;
        c.blk[id]->read_only = false;
        fake_set_medium(c.blk[id], 1024 * 1024);
        do {
            g_assert_cmpuint(tries++, <, 8);
            test_cmd(c.hba, id, 0, 0x1b, 0, 0, 0, id == 0 ? 1 : 3, 0);
            reply = test_cmd(c.hba, id, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0);
        } while (reply.status != SCSI_STATUS_GOOD);
    }
    g_rand_free(c.rand);
    test_hba_free(c.hba);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned seed = 1; seed <= 5; seed++) {
        g_autofree char *name = g_strdup_printf("/scsi-random/anything-%u", seed);

        g_test_add_data_func(name, GUINT_TO_POINTER(seed), test_anything);
    }
    return g_test_run();
}
