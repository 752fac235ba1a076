/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block layer in memory for tests of SCSI units: include/block/block.h with chosen failures and delays.
 * Runs in: tests
 */
#include "scsi-fake-block.h"

typedef enum FakeKind { FAKE_READ, FAKE_WRITE, FAKE_FLUSH, FAKE_DISCARD, FAKE_ZEROES } FakeKind;

struct BlockRequest {
    BlockBackend *blk;
    FakeKind kind;
    uint64_t offset, len;
    struct iovec *iov;
    unsigned count;
    unsigned flags;
    BlockCompletion *cb;
    void *opaque;
    bool cancelled;
};

static GPtrArray *drives;
static EventBh *work;

/* ---- drives ---------------------------------------------------------------------------------- */

static void free_drives(void)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        BlockBackend *blk = drives->pdata[i];

        g_assert_cmpuint(blk->in_flight, ==, 0);
        g_assert_false(blk->attached);
        g_free(blk->name);
        g_free(blk->data);
        g_free(blk);
    }
    g_clear_pointer(&drives, g_ptr_array_unref);
    g_clear_pointer(&work, event_bh_free);
}

BlockBackend *fake_drive(const char *name, uint64_t length)
{
    BlockBackend *blk = g_new0(BlockBackend, 1);

    if (!drives) {
        drives = g_ptr_array_new();
        test_free_drives = free_drives;
    }
    blk->name = g_strdup(name);
    blk->length = length;
    blk->data = length ? g_malloc0(length) : NULL;
    blk->wce = true;
    blk->action[0] = BLOCK_ERROR_REPORT;
    blk->action[1] = BLOCK_ERROR_ENOSPC;
    blk->fail_at = UINT64_MAX;
    g_queue_init(&blk->queue);
    g_ptr_array_add(drives, blk);
    return blk;
}

void fake_set_medium(BlockBackend *blk, uint64_t length)
{
    blk->data = length ? g_realloc(blk->data, length) : (g_free(blk->data), NULL);
    blk->length = length;
    if (blk->changed) {
        blk->changed(blk->changed_opaque);
    }
}

BlockBackend *blk_by_name(const char *name, GError **errp)
{
    for (guint i = 0; drives && i < drives->len; i++) {
        BlockBackend *blk = drives->pdata[i];

        if (g_str_equal(blk->name, name)) {
            return blk;
        }
    }
    error_setg(errp, "drive=%s: no such drive", name);
    return NULL;
}

bool blk_attach(BlockBackend *blk, const char *dev_id, bool writable, GError **errp)
{
    (void)dev_id;
    if (blk->attached) {
        error_setg(errp, "drive=%s: in use", blk->name);
        return false;
    }
    blk->attached = true;
    blk->attached_writable = writable;
    return true;
}

void blk_detach(BlockBackend *blk)
{
    g_assert_true(blk->attached);
    g_assert_cmpuint(blk->in_flight, ==, 0);
    g_assert_null(blk->changed);
    blk->tray = NULL;
    blk->attached = false;
}

const char *blk_name(const BlockBackend *blk)
{
    return blk->name;
}

bool blk_is_inserted(const BlockBackend *blk)
{
    return blk->data != NULL;
}

bool blk_is_read_only(const BlockBackend *blk)
{
    return blk->read_only;
}

uint64_t blk_length(const BlockBackend *blk)
{
    return blk->length;
}

bool blk_write_cache_enabled(const BlockBackend *blk)
{
    return blk->wce;
}

void blk_set_write_cache(BlockBackend *blk, bool enabled)
{
    blk->wce = enabled;
}

bool blk_discard_enabled(const BlockBackend *blk)
{
    return !blk->no_discard;
}

BlockErrorAction blk_error_action(const BlockBackend *blk, bool is_write)
{
    return blk->action[is_write];
}

void blk_set_error_action(BlockBackend *blk, bool is_write, BlockErrorAction action)
{
    blk->action[is_write] = action;
}

void blk_eject(BlockBackend *blk)
{
    if (!blk->locked) {
        fake_set_medium(blk, 0);
    }
}

void blk_lock_medium(BlockBackend *blk, bool locked)
{
    blk->locked = locked;
}

void blk_set_change_handler(BlockBackend *blk, void (*fn)(void *opaque), void *opaque)
{
    blk->changed = fn;
    blk->changed_opaque = opaque;
}

void blk_set_device_path(BlockBackend *blk, const char *path)
{
    g_assert_true(g_str_has_prefix(path, "/machine/"));
}

void blk_set_tray(BlockBackend *blk, const BlockTrayOps *ops, void *opaque, bool open)
{
    blk->tray_open = open;
    blk->tray = ops;
    blk->tray_opaque = opaque;
}

void blk_tray_moved(BlockBackend *blk, bool open)
{
    blk->tray_moves++;
    blk->tray_open = open;
}

void blk_report_error(BlockBackend *blk, bool is_write, int error, BlockErrorAction action)
{
    blk->errors_told++;
    blk->told_write = is_write;
    blk->told_error = error;
    blk->told_action = action;
}

void blk_reset_io_status(BlockBackend *blk)
{
    blk->status_resets++;
}

/* ---- requests -------------------------------------------------------------------------------- */

static bool concerns_failure(const BlockRequest *req)
{
    const BlockBackend *blk = req->blk;

    if (blk->fail == 0 || (blk->fail_flush_only && req->kind != FAKE_FLUSH)) {
        return false;
    }
    return blk->fail_at == UINT64_MAX || (blk->fail_at >= req->offset && blk->fail_at - req->offset < req->len);
}

static void transfer(BlockRequest *req)
{
    uint8_t *at = req->blk->data + req->offset;

    if (req->kind == FAKE_DISCARD || req->kind == FAKE_ZEROES) {
        memset(at, 0, req->len);
        return;
    }
    for (unsigned i = 0; i < req->count; i++) {
        if (req->kind == FAKE_READ) {
            memcpy(req->iov[i].iov_base, at, req->iov[i].iov_len);
        } else {
            memcpy(at, req->iov[i].iov_base, req->iov[i].iov_len);
        }
        at += req->iov[i].iov_len;
    }
}

static int perform(BlockRequest *req)
{
    if (req->cancelled) {
        return -ECANCELED;
    }
    if (concerns_failure(req)) {
        return -req->blk->fail;
    }
    if (!req->blk->data) {
        return -ENOMEDIUM;
    }
    if (req->offset > req->blk->length || req->len > req->blk->length - req->offset) {
        return -EIO;
    }
    transfer(req);
    return 0;
}

/* Ends REQ, out of the queue, with ERROR or, when that is 0, as it comes. */
static void complete(BlockRequest *req, int error)
{
    int ret = error ? -error : perform(req);

    req->blk->in_flight--;
    req->cb(req->opaque, ret);
    g_free(req->iov);
    g_free(req);
}

static bool complete_one(BlockBackend *blk)
{
    BlockRequest *req = g_queue_peek_head(&blk->queue);

    if (!req || (blk->hold && !req->cancelled)) {
        return false;
    }
    complete(g_queue_pop_head(&blk->queue), 0);
    return true;
}

bool fake_complete(BlockBackend *blk, unsigned index, int error)
{
    unsigned num = blk->queue.length;

    if (num == 0) {
        return false;
    }
    complete(g_queue_pop_nth(&blk->queue, index % num), error);
    return true;
}

static void do_work(void *opaque)
{
    (void)opaque;
    for (guint i = 0; i < drives->len; i++) {
        while (complete_one(drives->pdata[i])) {
        }
    }
}

static BlockRequest *submit(BlockBackend *blk, FakeKind kind, uint64_t offset, uint64_t len, const struct iovec *iov,
                            unsigned count, unsigned flags, BlockCompletion *cb, void *opaque)
{
    BlockRequest *req = g_new0(BlockRequest, 1);

    g_assert_true(blk->attached);
    g_assert_cmpuint(offset % 512, ==, 0);
    for (unsigned i = 0; i < count; i++) {
        len += iov[i].iov_len;
    }
    g_assert_cmpuint(len % 512, ==, 0);
    *req = (BlockRequest) {
        .blk = blk, .kind = kind, .offset = offset, .len = len, .iov = g_memdup2(iov, count * sizeof(*iov)),
        .count = count, .flags = flags, .cb = cb, .opaque = opaque,
    };
    g_queue_push_tail(&blk->queue, req);
    blk->in_flight++;
    blk->submitted++;
    if (!work) {
        work = event_bh_new(event_loop_main(), do_work, NULL);
    }
    event_bh_schedule(work);
    return req;
}

BlockRequest *blk_preadv(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count,
                         BlockCompletion *cb, void *opaque)
{
    BlockRequest *req = submit(blk, FAKE_READ, offset, 0, iov, count, 0, cb, opaque);

    blk->reads++;
    blk->read_bytes_max = MAX(blk->read_bytes_max, req->len);
    return req;
}

BlockRequest *blk_pwritev(BlockBackend *blk, uint64_t offset, const struct iovec *iov, unsigned count, unsigned flags,
                          BlockCompletion *cb, void *opaque)
{
    g_assert_true(blk->attached_writable);
    blk->writes++;
    blk->fua += flags & BLOCK_REQ_FUA ? 1 : 0;
    return submit(blk, FAKE_WRITE, offset, 0, iov, count, flags, cb, opaque);
}

BlockRequest *blk_flush(BlockBackend *blk, BlockCompletion *cb, void *opaque)
{
    blk->flushes++;
    return submit(blk, FAKE_FLUSH, 0, 0, NULL, 0, 0, cb, opaque);
}

BlockRequest *blk_discard(BlockBackend *blk, uint64_t offset, uint64_t len, BlockCompletion *cb, void *opaque)
{
    blk->discards++;
    return submit(blk, FAKE_DISCARD, offset, len, NULL, 0, 0, cb, opaque);
}

BlockRequest *blk_write_zeroes(BlockBackend *blk, uint64_t offset, uint64_t len, unsigned flags, BlockCompletion *cb,
                               void *opaque)
{
    blk->zeroes++;
    blk->unmap_zeroes += flags & BLOCK_REQ_MAY_UNMAP ? 1 : 0;
    return submit(blk, FAKE_ZEROES, offset, len, NULL, 0, flags, cb, opaque);
}

void blk_cancel(BlockRequest *req)
{
    req->blk->cancels++;
    req->cancelled = !req->blk->late_cancel;
    event_bh_schedule(work);
}

unsigned blk_in_flight(const BlockBackend *blk)
{
    return blk->in_flight;
}

/* What is held comes to its end too: a drain waits for the kernel, not for the test. */
bool blk_drain(BlockBackend *blk, int64_t limit_ns)
{
    (void)limit_ns;
    blk->hold = false;
    while (complete_one(blk)) {
    }
    return true;
}

/* ---- a disk on an adapter ------------------------------------------------------------------------ */

static BlockBackend *disk_backend;

TestHba *test_hba_with_disk(const char *properties)
{
    TestHba *hba = test_hba_new(8, 8, 7);
    g_autofree char *text = g_strdup_printf("drive=d0,scsi-id=0%s%s", properties ? "," : "",
                                            properties ? properties : "");

    disk_backend = fake_drive("d0", 1024 * 1024);
    test_add(hba, "scsi-hd", text);
    test_clear_attention(hba, 0, 0);
    return hba;
}

BlockBackend *test_disk_backend(void)
{
    return disk_backend;
}
