/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test rig of the lsi53c895a unit tests.
 */
#include "lsi-rig.h"

#include "util/iov.h"

/* ---- the SCSI unit --------------------------------------------------------------------------- */

typedef struct FakeDiskClass {
    ScsiDeviceClass scsi_class;
} FakeDiskClass;

GType fake_disk_get_type(void);
QOM_DEFINE_TYPE(FakeDisk, fake_disk, "test-scsi-unit", TYPE_SCSI_DEVICE, 0)

static uint64_t offset_of(const ScsiRequest *req)
{
    return (req->cdb[4] << 8 | req->cdb[5]) % FAKE_BLOCKS * 512u;
}

/* Bytes done so far stand in device_private. */
static size_t done_of(const ScsiRequest *req)
{
    return GPOINTER_TO_SIZE(req->device_private);
}

static void next(FakeDisk *unit, ScsiRequest *req)
{
    size_t left = (size_t)req->xfer_len - done_of(req);
    size_t n = unit->chunk ? MIN(left, unit->chunk) : left;

    req->granule = unit->no_lending ? 0 : 512;
    if (left == 0) {
        scsi_req_done(req, SCSI_STATUS_GOOD);
    } else if (req->to_device) {
        scsi_req_data_out(req, unit->store + offset_of(req) + done_of(req), n);
    } else {
        scsi_req_offer_in(req, n);
    }
}

/* The I/O of the current chunk is finished. */
static void finish(FakeDisk *unit, ScsiRequest *req)
{
    uint8_t *p = unit->store + offset_of(req) + done_of(req);
    uint8_t status = unit->fail_status;
    DmaMap *map = req->map;

    unit->fail_status = 0;
    if (map) {
        size_t n = map->size;

        if (status == 0) {
            if (req->to_device) {
                iov_to_buf(map->iov, map->count, 0, p, n);
            } else {
                iov_from_buf(map->iov, map->count, 0, p, n);
            }
        }
        req->map = NULL;
        req->device_private = GSIZE_TO_POINTER(done_of(req) + n);
        dma_unmap(map, n);
        g_free(map);
        unit->lent++;
    } else if (req->to_device) {
        req->device_private = GSIZE_TO_POINTER(done_of(req) + req->data_len);
        unit->copied++;
    }
    if (status) {
        scsi_req_done(req, status);
    } else if (!map && !req->to_device && req->xfer_len) {
        unit->copied++;
        scsi_req_data_in(req, p, req->data_len);
    } else {
        next(unit, req);
    }
}

static void begin(FakeDisk *unit, ScsiRequest *req)
{
    if (unit->hold) {
        g_queue_push_tail(&unit->held, req);
    } else {
        finish(unit, req);
    }
}

static void fake_execute(ScsiDevice *dev, ScsiRequest *req)
{
    FakeDisk *unit = (FakeDisk *)dev;

    switch (req->cdb[0]) {
    case 0x00:
        scsi_req_done(req, SCSI_STATUS_GOOD);
        break;
    case 0x12:
        req->xfer_len = req->cdb[4];
        scsi_req_data_in(req, unit->store, req->cdb[4]);
        break;
    case 0x28:
        req->xfer_len = (req->cdb[7] << 8 | req->cdb[8]) * 512u;
        next(unit, req);
        break;
    case 0x2a:
        req->to_device = true;
        req->xfer_len = (req->cdb[7] << 8 | req->cdb[8]) * 512u;
        next(unit, req);
        break;
    case 0x3b: /* odd lengths to the unit: CDB[8] bytes */
        req->to_device = true;
        req->xfer_len = req->cdb[8];
        req->granule = 0;
        scsi_req_data_out(req, unit->store, req->cdb[8]);
        break;
    case 0x35:
        begin(unit, req);
        break;
    default:
        scsi_req_check(req, scsi_sense(5, 0x20, 0));
        break;
    }
}

static void fake_data_done(ScsiDevice *dev, ScsiRequest *req)
{
    FakeDisk *unit = (FakeDisk *)dev;

    if (req->to_device && req->cdb[0] != 0x3b) {
        begin(unit, req);
    } else if (req->cdb[0] == 0x28) {
        req->device_private = GSIZE_TO_POINTER(done_of(req) + req->data_len);
        next(unit, req);
    } else {
        scsi_req_done(req, SCSI_STATUS_GOOD);
    }
}

static void fake_fetch(ScsiDevice *dev, ScsiRequest *req)
{
    begin((FakeDisk *)dev, req);
}

static void fake_cancel(ScsiDevice *dev, ScsiRequest *req)
{
    FakeDisk *unit = (FakeDisk *)dev;

    g_queue_remove(&unit->held, req);
    if (req->map) {
        dma_unmap(req->map, 0);
        g_clear_pointer(&req->map, g_free);
    }
    unit->cancelled++;
}

static void fake_unit_reset(ScsiDevice *dev)
{
    ((FakeDisk *)dev)->resets++;
}

static void fake_disk_finalize(GObject *gobject)
{
    g_free(((FakeDisk *)gobject)->store);
    G_OBJECT_CLASS(fake_disk_parent_class)->finalize(gobject);
}

static void fake_disk_class_init(FakeDiskClass *klass)
{
    ((GObjectClass *)klass)->finalize = fake_disk_finalize;
    klass->scsi_class.execute = fake_execute;
    klass->scsi_class.data_done = fake_data_done;
    klass->scsi_class.fetch = fake_fetch;
    klass->scsi_class.cancel = fake_cancel;
    klass->scsi_class.unit_reset = fake_unit_reset;
}

static void fake_disk_init(FakeDisk *self)
{
    g_queue_init(&self->held);
    self->store = g_malloc(FAKE_BLOCKS * 512);
    for (size_t i = 0; i < FAKE_BLOCKS * 512; i++) {
        self->store[i] = (uint8_t)(i * 7 + i / 512);
    }
}

void fake_release(FakeDisk *unit)
{
    ScsiRequest *req = g_queue_pop_head(&unit->held);

    g_assert_nonnull(req);
    finish(unit, req);
}

/* ---- the rig --------------------------------------------------------------------------------- */

Rig *rig_new(void)
{
    Rig *rig = g_new0(Rig, 1);

    pci_rig_init(&rig->pci, RIG_RAM_SIZE);
    rig->ram = rig->pci.ram;
    rig->lsi = LSI53C895A(pci_rig_plug(&rig->pci, lsi53c895a_get_type()));
    rig_write(rig, LSI_DIEN, 0x7d, 1);
    rig_write(rig, LSI_SIEN0, 0x8f, 1);
    rig_write(rig, LSI_SIEN1, 0x04, 1);
    rig_at(rig, RIG_CODE);
    return rig;
}

void rig_free(Rig *rig)
{
    pci_rig_cleanup(&rig->pci);
    g_free(rig);
}

FakeDisk *rig_unit(Rig *rig, unsigned id, unsigned lun)
{
    GError *error = NULL;
    Device *dev = device_new(fake_disk_get_type());
    FakeDisk *unit = (FakeDisk *)dev;

    unit->scsi.scsi_id = (int32_t)id;
    unit->scsi.lun = lun;
    g_assert_true(device_realize(dev, &rig->lsi->bus->bus, &error));
    g_assert_no_error(error);
    g_object_unref(dev);
    unit->scsi.attention_count = 0;
    unit->resets = 0;
    pci_rig_settle();
    return unit;
}

void rig_unplug(FakeDisk *unit)
{
    device_unrealize(&unit->scsi.dev);
}

uint32_t rig_read(Rig *rig, unsigned reg, unsigned size)
{
    uint64_t value = 0;

    g_assert_cmpint(address_space_read(rig->pci.mem, RIG_MMIO + reg, &value, size), ==, MEM_OK);
    return (uint32_t)value;
}

void rig_write(Rig *rig, unsigned reg, uint32_t value, unsigned size)
{
    g_assert_cmpint(address_space_write(rig->pci.mem, RIG_MMIO + reg, value, size), ==, MEM_OK);
}

uint32_t rig_get32(Rig *rig, uint32_t addr)
{
    uint8_t *p = addr >= RIG_SRAM ? rig->lsi->ram + (addr - RIG_SRAM) : rig->ram + addr;

    return pci_get_long(p);
}

void rig_put32(Rig *rig, uint32_t addr, uint32_t value)
{
    uint8_t *p = addr >= RIG_SRAM ? rig->lsi->ram + (addr - RIG_SRAM) : rig->ram + addr;

    pci_set_long(p, value);
}

void rig_at(Rig *rig, uint32_t addr)
{
    rig->pc = addr;
}

void rig_emit1(Rig *rig, uint32_t word)
{
    rig_put32(rig, rig->pc, word);
    rig->pc += 4;
}

void rig_emit(Rig *rig, uint32_t first, uint32_t second)
{
    rig_emit1(rig, first);
    rig_emit1(rig, second);
}

void rig_start(Rig *rig, uint32_t addr)
{
    rig_write(rig, LSI_DSP, addr, 4);
}

void rig_expect_dma(Rig *rig, uint8_t dstat)
{
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1) & (ISTAT0_DIP | ISTAT0_SIP), ==, ISTAT0_DIP);
    g_assert_cmphex(rig_read(rig, LSI_DSTAT, 1), ==, dstat | DSTAT_DFE);
}

void rig_expect_scsi(Rig *rig, uint16_t sist)
{
    pci_rig_settle();
    g_assert_cmphex(rig_read(rig, LSI_ISTAT0, 1) & (ISTAT0_DIP | ISTAT0_SIP), ==, ISTAT0_SIP);
    g_assert_cmphex(rig_read(rig, LSI_SIST0, 2), ==, sist);
}

void rig_expect_int(Rig *rig, uint32_t vector)
{
    rig_start(rig, RIG_CODE);
    rig_expect_dma(rig, DSTAT_SIR);
    g_assert_cmphex(rig_read(rig, LSI_DSPS, 4), ==, vector);
}
