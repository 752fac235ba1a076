/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of scsi-hd and scsi-cd share.
 *
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 *
 * Theory of operation.  Each started request gets a ScsiDiskOp, freed with the request.  The command table
 * (scsi-disk-cmds.c) checks the command block and the unit's readiness, then the command's handler runs.  A handler
 * ends the request, answers from memory (scsi_req_answer()), asks for a parameter list (scsi_disk_get_list()), or
 * starts the first piece of a transfer.  I/O goes through scsi_disk_io(), which keeps the request alive, applies
 * rerror/werror, and repeats the piece after a stop; op->done then goes on with the next piece.  Pieces are bounded, so
 * a request's memory is (two buffers of SCSI_CHUNK_MAX at most), and an I/O's length too.
 *
 * Files: scsi-disk.c (types, properties, life cycle), -cmds.c (table, simple commands), -io.c (I/O, errors),
 * -rw.c (READ ... VERIFY), -erase.c (WRITE SAME, UNMAP), -inquiry.c, -mode.c, scsi-cd.c (MMC commands).
 */
#ifndef HW_SCSI_SCSI_DISK_H
#define HW_SCSI_SCSI_DISK_H

#include "block/block.h"
#include "hw/scsi/scsi-int.h"

typedef struct ScsiDisk ScsiDisk;
typedef struct ScsiDiskClass ScsiDiskClass;
typedef struct ScsiDiskOp ScsiDiskOp;
typedef struct ScsiDiskCmd ScsiDiskCmd;

/* QEMU's limits of these texts: INQUIRY fields, and 36 bytes of serial number. */
#define SCSI_DISK_VENDOR_LEN 8
#define SCSI_DISK_PRODUCT_LEN 16
#define SCSI_DISK_VERSION_LEN 4
#define SCSI_DISK_SERIAL_MAX 36
#define SCSI_DISK_DEVICE_ID_MAX 20 /* of it in a designator (QEMU cuts there too) */

/* Blocks from 512 B (the block layer's unit) to 32 KiB: a chunk holds whole ones. */
#define SCSI_DISK_BLOCK_MIN 512u
#define SCSI_DISK_BLOCK_MAX 32768u
/* Bytes per UNMAP command: 1 GiB as in QEMU; VPD page B0 tells it. */
#define SCSI_DISK_UNMAP_MAX (1024ull * 1024 * 1024)
/* Ranges per UNMAP command; VPD page B0 tells it. */
#define SCSI_DISK_UNMAP_RANGES 255u
/* Blocks per WRITE SAME: 4 GiB of 512-byte blocks, so that one command ends in sight; VPD page B0 tells it. */
#define SCSI_DISK_WRITE_SAME_MAX 0x7fffffu

struct ScsiDisk {
    ScsiDevice scsi;

    /* Properties. */
    char *drive;
    char *serial;
    char *vendor;
    char *product;
    char *version;
    char *device_id;
    uint64_t wwn;
    uint64_t port_wwn;
    uint16_t port_index;
    uint64_t logical_block_size;  /* 0: 512, CD 2048 */
    uint64_t physical_block_size; /* 0: as the logical one */
    uint64_t min_io_size;
    uint64_t opt_io_size;
    uint64_t discard_granularity; /* UINT32_MAX: 4096; 0: no UNMAP */
    uint16_t rotation_rate;
    bool removable;
    int32_t bootindex;
    int write_cache; /* ScsiDiskAuto */
    int rerror;      /* index into the policy names: 0 auto, then BlockErrorAction + 1 */
    int werror;
    uint32_t channel;

    /* State. */
    BlockBackend *blk;     /* attached while realized */
    uint32_t block_size;   /* of the logical blocks; fixed from realize on */
    bool was_inserted;     /* at the last look: a change handler call is about medium or length */
    bool default_wce;      /* write cache as configured: the mode page's default */
    bool stopped;          /* START STOP UNIT stopped a disk (not a CD) */
    bool tray_open;        /* property; by the guest; the medium is out of reach, but still there for the block layer */
    bool prevented;        /* PREVENT ALLOW MEDIUM REMOVAL holds */
    uint8_t media_event;   /* next media event for GET EVENT STATUS NOTIFICATION, 0: none */
    GQueue waiting;        /* ops whose I/O waits for the machine to go on */
    unsigned lingering;    /* block requests of cancelled ops that the kernel has not ended yet */
    GQueue held;           /* ops with CMD_IO that wait until lingering is 0 */
};

struct ScsiDiskClass {
    ScsiDeviceClass scsi_class;
    bool is_cd;
};

QOM_DECLARE_TYPE(ScsiDisk, scsi_disk, SCSI_DISK)

/* Media event codes (MMC-5 table 303). */
enum {
    MEDIA_EVENT_NONE = 0,
    MEDIA_EVENT_EJECT_REQUEST = 1,
    MEDIA_EVENT_NEW = 2,
    MEDIA_EVENT_REMOVED = 3,
};

typedef void ScsiDiskStep(ScsiDiskOp *op);

struct ScsiDiskOp {
    ScsiDisk *disk;
    ScsiRequest *req;
    const ScsiDiskCmd *cmd;
    uint64_t lba;        /* next block to move */
    uint64_t blocks;     /* left */
    uint8_t *buf;        /* data chunk or parameter list; owned */
    size_t buf_size;
    uint8_t *other;      /* what was read back to compare with buf; owned */
    size_t len;          /* bytes of the piece under way */
    unsigned index;      /* UNMAP: range under way */
    unsigned write_flags; /* BLOCK_REQ_* */
    bool check_data;     /* VERIFY with BYTCHK, WRITE AND VERIFY */

    ScsiDiskStep *data;  /* DATA_OUT arrived or DATA_IN was taken */

    /* I/O under way. */
    BlockRequest *aio;
    ScsiDiskStep *submit; /* sets aio; called again after a stop */
    ScsiDiskStep *done;   /* it ended well */
    bool io_writes;       /* it changes the medium: werror and write sense data apply */
    bool io_has_lba;      /* a failure concerns lba */
    bool lingers;         /* counted in disk->lingering */
    bool is_waiting;      /* in disk->waiting */
    bool is_held;         /* in disk->held */
    GList wait_link;      /* in one of the two */
};

/* ---- command table --------------------------------------------------------------------------- */

enum {
    CMD_HD = 1 << 0,      /* scsi-hd has it */
    CMD_CD = 1 << 1,      /* scsi-cd has it */
    CMD_ALL = CMD_HD | CMD_CD,
    CMD_MEDIUM = 1 << 2,  /* needs a medium and a started unit */
    CMD_WRITES = 1 << 3,  /* refused when the medium is write protected */
    CMD_THIN = 1 << 4,    /* only with logical block provisioning */
    CMD_SA = 1 << 5,      /* byte 1 has a service action */
    CMD_IO = 1 << 6,      /* reads or writes blocks: waits for cancelled I/O to end */
};

struct ScsiDiskCmd {
    uint8_t opcode;
    uint8_t service_action;
    uint8_t flags;
    const char *name;
    ScsiDiskStep *handler;
    /* CDB usage data (SPC-4 6.37): the bits that are looked at; any other that is set is an invalid field. */
    uint8_t usage[SCSI_CDB_MAX];
};

/* Class methods. */
void scsi_disk_execute(ScsiDevice *dev, ScsiRequest *req);
void scsi_disk_data_done(ScsiDevice *dev, ScsiRequest *req);
void scsi_disk_fetch(ScsiDevice *dev, ScsiRequest *req);
void scsi_disk_cancel(ScsiDevice *dev, ScsiRequest *req);
void scsi_disk_release(ScsiDevice *dev, ScsiRequest *req);

/* Fills the look-up of the table; from class_init. */
void scsi_disk_cmds_init(void);

/* Answers with BUF, cut to ALLOC; ends OP with GOOD. */
void scsi_disk_answer(ScsiDiskOp *op, const uint8_t *buf, size_t len, size_t alloc);
void scsi_disk_good(ScsiDiskOp *op);
void scsi_disk_check(ScsiDiskOp *op, ScsiSense sense);
/* INVALID FIELD IN CDB at BYTE. */
void scsi_disk_bad_cdb(ScsiDiskOp *op, unsigned byte);

/* Asks for LEN (at most SCSI_CHUNK_MAX) bytes of parameters into op->buf, then calls THEN. */
void scsi_disk_get_list(ScsiDiskOp *op, size_t len, ScsiDiskStep *then);

/* Makes op->buf at least SIZE bytes; without memory the request ends with BUSY status and false comes back. */
bool scsi_disk_buffer(ScsiDiskOp *op, size_t size);

static inline bool scsi_disk_is_cd(ScsiDisk *disk)
{
    return SCSI_DISK_GET_CLASS(disk)->is_cd;
}

/* Whole blocks on the medium. */
uint64_t scsi_disk_blocks(ScsiDisk *disk);

/* Whether the medium can be worked with; false: *ret says why not. */
bool scsi_disk_ready(ScsiDisk *disk, ScsiSense *ret);
bool scsi_disk_write_protected(ScsiDisk *disk);
bool scsi_disk_is_thin(const ScsiDisk *disk);
bool scsi_disk_is_removable(ScsiDisk *disk);

/* LBA .. LBA + COUNT - 1 are on the medium; else OP ends with LBA OUT OF RANGE. */
bool scsi_disk_check_range(ScsiDiskOp *op, uint64_t lba, uint64_t count);

/* ---- I/O (scsi-disk-io.c) -------------------------------------------------------------------- */

/* Runs SUBMIT, which starts one block request with scsi_disk_io_complete(op), and DONE after its good end. */
void scsi_disk_io(ScsiDiskOp *op, bool writes, bool has_lba, ScsiDiskStep *submit, ScsiDiskStep *done);
void scsi_disk_io_complete(void *opaque, int ret);
/* Common SUBMIT functions: op->len bytes at op->lba from op->buf (or lent memory); a flush of the cache. */
void scsi_disk_submit_read(ScsiDiskOp *op);
void scsi_disk_submit_write(ScsiDiskOp *op);
void scsi_disk_submit_flush(ScsiDiskOp *op);
/* Gives lent memory back; TRANSFERRED bytes count as moved. */
void scsi_disk_end_lending(ScsiDiskOp *op, uint64_t transferred);
/* True when OP was put aside because cancelled I/O lingers; it comes back by scsi_disk_begin(). */
bool scsi_disk_hold(ScsiDiskOp *op);
/* Checks readiness and runs the handler (scsi-disk-cmds.c). */
void scsi_disk_begin(ScsiDiskOp *op);
/* Takes OP out of disk->held; nothing when it is not there. */
void scsi_disk_unhold(ScsiDiskOp *op);
/* Ops in disk->waiting go on. */
void scsi_disk_retry_waiting(ScsiDisk *disk);

/* ---- handlers by file ------------------------------------------------------------------------ */

ScsiDiskStep scsi_disk_read, scsi_disk_write, scsi_disk_verify, scsi_disk_write_verify;   /* -rw.c */
ScsiDiskStep scsi_disk_read_cd;
ScsiDiskStep scsi_disk_fetch_piece;
ScsiDiskStep scsi_disk_write_same, scsi_disk_unmap;                                       /* -erase.c */
ScsiDiskStep scsi_disk_inquiry;                                                           /* -inquiry.c */
ScsiDiskStep scsi_disk_mode_sense, scsi_disk_mode_select;                                 /* -mode.c */
ScsiDiskStep scsi_cd_read_toc, scsi_cd_get_configuration, scsi_cd_get_event_status;       /* scsi-cd.c */
ScsiDiskStep scsi_cd_read_disc_information, scsi_cd_mechanism_status;
ScsiDiskStep scsi_disk_start_stop, scsi_disk_prevent_allow;

/* The user's eject. */
extern const BlockTrayOps scsi_cd_tray_ops;

/* The medium came or went by the user's hand (not the guest's). */
void scsi_cd_medium_changed(ScsiDisk *disk);

#endif
