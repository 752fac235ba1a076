/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCSI bus, devices and requests: what a host bus adapter (HBA) and a SCSI device say to each other.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Theory of operation.  The HBA makes a request from a command block and starts it; from then on the request is in
 * one of the states of ScsiReqState, and the HBA looks at req->state after each call.  Only a request that was left
 * BUSY changes by itself: the device then calls ops->ready(req) from the event loop.  ready() is NEVER called
 * synchronously inside one of the HBA's own calls, so neither side has to fear re-entrancy.
 *
 *   start -> BUSY -> OFFER_IN  -> (direct | fetch) -> BUSY -> DATA_IN -> consumed -> BUSY or next chunk ... -> DONE
 *                 -> DATA_OUT  -> consumed or direct -> BUSY -> ...                                      -> DONE
 *                 -> DATA_IN (small answers, e.g. INQUIRY: the device has the bytes)                     -> DONE
 *                 -> DONE
 *
 * Sense data (SPC-4 4.5) is kept by the device per logical unit and fetched by REQUEST SENSE; there is no autosense
 * on a parallel bus.  Unit attention conditions likewise.
 *
 * An HBA call in a state it does not fit changes nothing and returns the state there is; scsi_req_buffer() gives NULL
 * and length 0 then.  That happens to a correct HBA when a unit is unplugged: its requests end with CHECK CONDITION
 * (LOGICAL UNIT NOT SUPPORTED), by ready() when they were BUSY.
 */
#ifndef HW_SCSI_SCSI_H
#define HW_SCSI_SCSI_H

#include "hw/core/bus.h"
#include "system/dma.h"
#include "util/event-loop.h"

#define SCSI_CDB_MAX 16
#define SCSI_SENSE_MAX 96
/* Largest piece of data a request buffers at once; longer transfers go in chunks.  Bounds memory per request. */
#define SCSI_CHUNK_MAX (256u * 1024)
/* Largest piece on offer in OFFER_IN: what lent guest memory may take in one go (DMA_MAP_MAX pages). */
#define SCSI_OFFER_MAX (1024u * 1024)
/* Requests alive per bus; more get TASK SET FULL.  Bounds memory per bus. */
#define SCSI_REQUESTS_MAX 256
/* CHECK CONDITIONs of one unit whose sense data waits for REQUEST SENSE: as many as drivers queue commands. */
#define SCSI_SENSE_QUEUE 64
/* Unit attention conditions pending at once per unit: one of each kind there is (reset, medium, capacity, luns). */
#define SCSI_ATTENTION_QUEUE 4

typedef struct ScsiBus ScsiBus;
typedef struct ScsiBusClass ScsiBusClass;
typedef struct ScsiDevice ScsiDevice;
typedef struct ScsiDeviceClass ScsiDeviceClass;
typedef struct ScsiRequest ScsiRequest;

/* SAM status codes. */
enum {
    SCSI_STATUS_GOOD = 0x00,
    SCSI_STATUS_CHECK_CONDITION = 0x02,
    SCSI_STATUS_CONDITION_MET = 0x04,
    SCSI_STATUS_BUSY = 0x08,
    SCSI_STATUS_RESERVATION_CONFLICT = 0x18,
    SCSI_STATUS_TASK_SET_FULL = 0x28,
};

typedef struct ScsiSense {
    uint8_t key;
    uint8_t asc;
    uint8_t ascq;
    bool info_valid;  /* INFORMATION field: the LBA in question */
    uint64_t info;
    bool field_valid; /* sense-key specific: field pointer into the CDB (illegal request) */
    bool in_cdb;
    uint16_t field;
} ScsiSense;

typedef enum ScsiReqState {
    SCSI_REQ_NEW,      /* made, not started; left by scsi_req_start() */
    SCSI_REQ_BUSY,     /* the device works; left by itself, with ops->ready() */
    SCSI_REQ_OFFER_IN, /* the device has LEN bytes to send but has not read them; left by _direct() or _fetch() */
    SCSI_REQ_DATA_IN,  /* bytes wait in req->data; left when all are consumed */
    SCSI_REQ_DATA_OUT, /* the device wants req->data_len bytes; left by _consume() of all, or by _direct() */
    SCSI_REQ_DONE,     /* status is valid; only scsi_req_unref() follows */
} ScsiReqState;

struct ScsiRequest {
    ScsiBus *bus;
    ScsiDevice *device;     /* the logical unit; a stand-in answers for absent units of a present target */
    unsigned refs;          /* the HBA's */
    uint32_t tag;           /* the HBA's: unique among the unit's live requests, or SCSI_NO_TAG */
    uint8_t lun;
    uint8_t cdb[SCSI_CDB_MAX];
    unsigned cdb_len;
    ScsiReqState state;
    uint8_t status;         /* valid in DONE */
    uint64_t xfer_len;      /* bytes the command moves in all */
    bool to_device;         /* direction of these */
    uint64_t moved;         /* bytes the HBA has moved so far */
    uint8_t *data;          /* current chunk: the device's buffer */
    size_t data_len;        /* its length; in OFFER_IN the length on offer */
    size_t data_pos;        /* consumed so far */
    DmaMap *map;            /* guest memory lent by scsi_req_direct(); owned by the HBA */
    unsigned granule;       /* see scsi_req_direct_granule(); set by the device before it offers or asks for data */
    void *hba_private;      /* the HBA's */
    void *device_private;   /* the device's; freed by its class's release() */

    /* Private to scsi-request.c. */
    uint8_t *answer;        /* owned copy of a small answer (scsi_req_answer()) */
    unsigned holds;         /* references of the device and the core */
    unsigned in_call;       /* HBA calls about this request on the stack: no ready() */
    bool closed;            /* cancelled or lost: the device is not heard any more */
    bool cancelled;         /* the HBA is not called any more */
    bool queued;            /* in device->requests */
    bool ready_queued;      /* in bus->ready_queue, with a reference */
    GList link;             /* in device->requests */
};

#define SCSI_NO_TAG UINT32_MAX

typedef struct ScsiHbaOps {
    /* REQ left BUSY: look at req->state.  Called from the event loop only. */
    void (*ready)(ScsiRequest *req);
    /* The bus's population changed (hot-plug); may be NULL.  Called from the event loop only. */
    void (*changed)(ScsiBus *bus);
} ScsiHbaOps;

struct ScsiBus {
    Bus bus;
    const ScsiHbaOps *ops;
    void *hba;             /* the HBA's */
    unsigned targets;      /* ids 0..targets-1 */
    unsigned luns;
    unsigned own_id;       /* the initiator's id: no device may sit there */
    unsigned live_requests;

    /* Private. */
    ScsiDevice **stand_ins; /* per target: answers for absent units; NULL until needed */
    unsigned calls;         /* HBA calls on the stack */
    GQueue ready_queue;     /* requests whose ready() had to wait for the stack to unwind; a reference each */
    EventBh *ready_bh;
    bool changed;           /* ops->changed() is due, by ready_bh too */
    bool *lost_unit;        /* per target: a unit that was counted went since ops->changed() */
};

struct ScsiBusClass {
    BusClass bus_class;
};

QOM_DECLARE_TYPE(ScsiBus, scsi_bus, SCSI_BUS)
#define TYPE_SCSI_BUS (scsi_bus_get_type())

struct ScsiDevice {
    Device dev;
    int32_t scsi_id;  /* property "scsi-id"; -1: the lowest free one */
    uint32_t lun;     /* property "lun" */
    GQueue requests;  /* live ones, oldest first */
    /*
     * Sense data of CHECK CONDITIONs not fetched yet, oldest first: with tagged commands several fail before the
     * initiator comes with its REQUEST SENSEs, which it sends in the order of the statuses.
     */
    ScsiSense sense[SCSI_SENSE_QUEUE];
    unsigned sense_count;
    ScsiSense attentions[SCSI_ATTENTION_QUEUE]; /* pending unit attention conditions, first to be told first */
    unsigned attention_count;
    bool removable;   /* its medium may change: set by its realize */
    bool counted;     /* private to the bus: part of the population that ops->changed() told of */
};

struct ScsiDeviceClass {
    DeviceClass device_class;
    /* Executes a started request: leaves it in any state but NEW; calls no HBA function. */
    void (*execute)(ScsiDevice *dev, ScsiRequest *req);
    /* The chunk in req->data was consumed (DATA_IN) or filled (DATA_OUT), or lent memory arrived: go on. */
    void (*data_done)(ScsiDevice *dev, ScsiRequest *req);
    /* OFFER_IN answered: read into req->map when there is one, else into a buffer of the device. */
    void (*fetch)(ScsiDevice *dev, ScsiRequest *req);
    /* Stop working on REQ.  Memory lent to I/O in flight stays referenced until that I/O ends. */
    void (*cancel)(ScsiDevice *dev, ScsiRequest *req);
    /* Reset of the unit: state to power-on; its requests were cancelled before; the caller sets the attention. */
    void (*unit_reset)(ScsiDevice *dev);
    /* REQ's last reference goes: free device_private.  NULL: nothing to free. */
    void (*release)(ScsiDevice *dev, ScsiRequest *req);
};

QOM_DECLARE_TYPE(ScsiDevice, scsi_device, SCSI_DEVICE)
#define TYPE_SCSI_DEVICE (scsi_device_get_type())

/* ---- for the HBA ----------------------------------------------------------------------------- */

/* A bus below HBA ("lsi0.0") with TARGETS ids of LUNS units; OWN_ID is the initiator's. */
ScsiBus *scsi_bus_new(Device *hba, const ScsiHbaOps *ops, void *opaque, unsigned targets, unsigned luns,
                      unsigned own_id);

/* True when any logical unit answers at target ID: selection succeeds. */
bool scsi_target_present(ScsiBus *bus, unsigned id);

/*
 * Makes a request for (target ID, LUN).  The target must be present.  CDB_LEN bytes are copied (6, 10, 12, 16; a
 * shorter one than the operation code's group needs gives CHECK CONDITION).  Returns a reference, or NULL when
 * SCSI_REQUESTS_MAX are alive: the HBA reports TASK SET FULL.
 */
ScsiRequest *scsi_req_new(ScsiBus *bus, unsigned id, unsigned lun, uint32_t tag, const uint8_t *cdb,
                          unsigned cdb_len, void *hba_private);
ScsiRequest *scsi_req_ref(ScsiRequest *req);
/* When the HBA's last reference goes, a request that has not ended is cancelled. */
void scsi_req_unref(ScsiRequest *req);

/* Length of a command by its operation code's group: 6, 10, 12 or 16; 0: vendor specific, unknown. */
unsigned scsi_cdb_length(uint8_t opcode);

ScsiReqState scsi_req_start(ScsiRequest *req);

/* In DATA_IN or DATA_OUT: the rest of the current chunk, *ret_len bytes of it. */
uint8_t *scsi_req_buffer(ScsiRequest *req, size_t *ret_len);

/* N of these bytes were taken (DATA_IN) or filled (DATA_OUT). */
ScsiReqState scsi_req_consume(ScsiRequest *req, size_t n);

/* In OFFER_IN: fetch the bytes into the device's buffer. */
ScsiReqState scsi_req_fetch(ScsiRequest *req);

/*
 * In OFFER_IN or DATA_OUT: use MAP's guest memory in place of a buffer.  MAP->size must be > 0, a multiple of the
 * unit's block size (scsi_req_direct_granule()) and at most req->data_len; another size ends the request with ABORTED
 * COMMAND.  MAP stays valid until the request leaves BUSY (req->map is NULL again then) or, after a cancel, until ops
 * of the block layer ended: the device calls dma_unmap() and frees MAP itself (g_free), so MAP comes from g_new and
 * changes owner with this call.
 */
ScsiReqState scsi_req_direct(ScsiRequest *req, DmaMap *map);

/* Lent memory comes in multiples of this many bytes; 0: this request takes no lent memory. */
unsigned scsi_req_direct_granule(const ScsiRequest *req);

/* Ends REQ without status (ABORT, reset, HBA reset): no ready() follows.  The HBA still drops its reference. */
void scsi_req_cancel(ScsiRequest *req);

/* Finds a live request; NULL: none.  No new reference. */
ScsiRequest *scsi_req_find(ScsiBus *bus, unsigned id, unsigned lun, uint32_t tag);

/* Resets as told by messages or the RST line; all requests concerned are cancelled, unit attentions set (SPC-4 5.7). */
typedef enum ScsiResetKind {
    SCSI_RESET_POWER_ON, /* 29/01 */
    SCSI_RESET_BUS,      /* 29/02 */
    SCSI_RESET_TARGET,   /* 29/03: BUS DEVICE RESET message */
    SCSI_RESET_ABORT,    /* ABORT TASK SET: requests only, no attention */
} ScsiResetKind;
void scsi_bus_reset_devices(ScsiBus *bus, ScsiResetKind kind);
void scsi_target_reset(ScsiBus *bus, unsigned id, ScsiResetKind kind);
void scsi_unit_reset(ScsiBus *bus, unsigned id, unsigned lun, ScsiResetKind kind);

/*
 * Units with removable media will not tell of a reset that they have not told of yet: for an initiator that knows.  To
 * Linux any attention of such a unit is a new medium, and it gives up the read that meets it.
 */
void scsi_bus_forget_resets(ScsiBus *bus);

/* ---- for SCSI devices ------------------------------------------------------------------------ */

/*
 * Moves REQ on.  From execute/data_done/fetch the state just changes; from an I/O completion (event loop) the
 * HBA's ready() is called.  The device never tells which: scsi.c knows whether an HBA call is on the stack.
 */
void scsi_req_offer_in(ScsiRequest *req, size_t len);
void scsi_req_data_in(ScsiRequest *req, uint8_t *data, size_t len);
void scsi_req_data_out(ScsiRequest *req, uint8_t *data, size_t len);
void scsi_req_done(ScsiRequest *req, uint8_t status);

/* CHECK CONDITION with SENSE stored in the unit. */
void scsi_req_check(ScsiRequest *req, ScsiSense sense);

/* Ready-made sense data. */
ScsiSense scsi_sense(uint8_t key, uint8_t asc, uint8_t ascq);
ScsiSense scsi_sense_invalid_field_in_cdb(unsigned byte);
ScsiSense scsi_sense_invalid_opcode(void);
ScsiSense scsi_sense_lba_out_of_range(uint64_t lba);

/* Writes fixed (0x70) or descriptor (0x72) format sense data to BUF; returns its length, at most SCSI_SENSE_MAX. */
unsigned scsi_sense_format(const ScsiSense *sense, bool descriptor, uint8_t *buf);

/* The capacity or medium changed: unit attention 2A/09 or 28/00. */
void scsi_device_set_unit_attention(ScsiDevice *dev, ScsiSense sense);

/*
 * Ends all live requests of DEV with CHECK CONDITION and SENSE (the unit goes away or was reset behind the HBA's back).
 * A BUSY one gets ready() from the event loop.
 */
void scsi_device_end_requests(ScsiDevice *dev, ScsiSense sense);

/*
 * Answers the commands that every unit understands by itself: REPORT LUNS and REQUEST SENSE.  False: not one of them.
 */
bool scsi_device_execute_common(ScsiDevice *dev, ScsiRequest *req);

/* Ends REQ with GOOD after sending LEN bytes of the answer BUF (copied), cut to the CDB's allocation length ALLOC. */
void scsi_req_answer(ScsiRequest *req, const uint8_t *buf, size_t len, size_t alloc);

GType scsi_hd_get_type(void);
GType scsi_cd_get_type(void);

#endif
