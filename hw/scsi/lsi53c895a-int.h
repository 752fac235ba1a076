/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the lsi53c895a share: registers, state, the calls between them.
 *
 * Thread: main loop with the machine lock held.  Runs in: both.
 *
 * Facts are from the "LSI53C895A PCI to Ultra2 SCSI Controller Technical Manual" (here: the data
 * sheet); chapter 2 is the functional description, 4 the registers, 5 the SCRIPTS instructions.
 * Register and bit names are the data sheet's.
 *
 * Theory of operation.  Seven files, each one layer:
 *   lsi53c895a.c          the PCI function: BARs, reset, timers, the event loop's calls
 *   lsi53c895a-regs.c     the register file as a table, with hooks where an access has a side
 *                         effect; interrupts
 *   lsi53c895a-scripts.c  the SCRIPTS processor: fetch, decode, all instructions but block moves
 *   lsi53c895a-move.c     block moves: the chip's end of the information transfer phases
 *   lsi53c895a-target.c   the other end of the SCSI bus: what a target does (phases, disconnection,
 *                         requests)
 *   lsi53c895a-message.c  the messages a target gets
 *   lsi53c895a-notice.c   what a controller that takes the place of a lost one tells its driver
 * and lsi53c895a-dma.c, through which every address that SCRIPTS give goes, plus
 * lsi53c895a-lookahead.c, which lends guest memory to requests so that data need not be copied.
 *
 * A bus phase is never an action that is waited for: the target sets `con.phase` and `con.req`
 * (REQ/ asserted), the processor looks at them.  An instruction that needs what is not there yet
 * leaves the processor `suspended`; it is executed again when lsi_kick() is called because
 * something changed.
 */
#ifndef HW_SCSI_LSI53C895A_INT_H
#define HW_SCSI_LSI53C895A_INT_H

#include <string.h>
#include "hw/pci/pci.h"
#include "hw/scsi/lsi53c895a.h"
#include "hw/scsi/scsi.h"
#include "util/event-loop.h"

#define LSI_REG_SIZE 256u
#define LSI_MMIO_SIZE 1024u
#define LSI_RAM_SIZE 8192u
#define LSI_TARGETS 16u
#define LSI_LUNS 8u
#define LSI_OWN_ID 7u
/*
 * Instructions in one slice.  A busy driver's burst fits; an endless loop costs some 100 us before
 * others get a turn.  The fuzzers' build has shorter ones: they meet many endless loops.
 */
#ifndef LSI_SLICE
#define LSI_SLICE 4000
#endif
/* Longest message sequence an initiator sends in one go: IDENTIFY, tag, PPR need 11 bytes. */
#define LSI_MSG_MAX 32

/* Operating registers (chapter 4). */
enum {
    LSI_SCNTL0 = 0x00, LSI_SCNTL1 = 0x01, LSI_SCNTL2 = 0x02, LSI_SCNTL3 = 0x03,
    LSI_SCID = 0x04, LSI_SXFER = 0x05, LSI_SDID = 0x06, LSI_GPREG = 0x07,
    LSI_SFBR = 0x08, LSI_SOCL = 0x09, LSI_SSID = 0x0a, LSI_SBCL = 0x0b,
    LSI_DSTAT = 0x0c, LSI_SSTAT0 = 0x0d, LSI_SSTAT1 = 0x0e, LSI_SSTAT2 = 0x0f,
    LSI_DSA = 0x10, LSI_ISTAT0 = 0x14, LSI_ISTAT1 = 0x15, LSI_MBOX0 = 0x16, LSI_MBOX1 = 0x17,
    LSI_CTEST0 = 0x18, LSI_CTEST1 = 0x19, LSI_CTEST2 = 0x1a, LSI_CTEST3 = 0x1b,
    LSI_TEMP = 0x1c, LSI_DFIFO = 0x20, LSI_CTEST4 = 0x21, LSI_CTEST5 = 0x22, LSI_CTEST6 = 0x23,
    LSI_DBC = 0x24, LSI_DCMD = 0x27, LSI_DNAD = 0x28, LSI_DSP = 0x2c, LSI_DSPS = 0x30,
    LSI_SCRATCHA = 0x34, LSI_DMODE = 0x38, LSI_DIEN = 0x39, LSI_SBR = 0x3a, LSI_DCNTL = 0x3b,
    LSI_ADDER = 0x3c, LSI_SIEN0 = 0x40, LSI_SIEN1 = 0x41, LSI_SIST0 = 0x42, LSI_SIST1 = 0x43,
    LSI_SLPAR = 0x44, LSI_SWIDE = 0x45, LSI_MACNTL = 0x46, LSI_GPCNTL = 0x47,
    LSI_STIME0 = 0x48, LSI_STIME1 = 0x49, LSI_RESPID0 = 0x4a, LSI_RESPID1 = 0x4b,
    LSI_STEST0 = 0x4c, LSI_STEST1 = 0x4d, LSI_STEST2 = 0x4e, LSI_STEST3 = 0x4f,
    LSI_SIDL = 0x50, LSI_STEST4 = 0x52, LSI_SODL = 0x54, LSI_CCNTL0 = 0x56, LSI_CCNTL1 = 0x57,
    LSI_SBDL = 0x58, LSI_SCRATCHB = 0x5c, LSI_SCRATCHC = 0x60,
    LSI_MMRS = 0xa0, LSI_MMWS = 0xa4, LSI_SFS = 0xa8, LSI_DRS = 0xac, LSI_SBMS = 0xb0,
    LSI_DBMS = 0xb4,
    LSI_DNAD64 = 0xb8, LSI_PMJAD1 = 0xc0, LSI_PMJAD2 = 0xc4, LSI_RBC = 0xc8, LSI_UA = 0xcc,
    LSI_ESA = 0xd0, LSI_IA = 0xd4, LSI_SBC = 0xd8, LSI_CSBC = 0xdc,
};

/* Bits that the code looks at. */
enum {
    SCNTL0_AAP = 0x02, SCNTL0_TRG = 0x01,
    SCNTL1_CON = 0x10, SCNTL1_RST = 0x08,
    SCNTL2_SDU = 0x80, SCNTL2_CHM = 0x40, SCNTL2_WSS = 0x08, SCNTL2_WSR = 0x01,
    SCNTL3_EWS = 0x08, SCNTL3_CCF = 0x07,
    SOCL_ACK = 0x40, SOCL_ATN = 0x08,
    SBCL_REQ = 0x80, SBCL_ACK = 0x40, SBCL_BSY = 0x20, SBCL_SEL = 0x10, SBCL_ATN = 0x08,
    SSID_VAL = 0x80,
    DSTAT_DFE = 0x80, DSTAT_BF = 0x20, DSTAT_ABRT = 0x10,
    DSTAT_SSI = 0x08, DSTAT_SIR = 0x04, DSTAT_IID = 0x01,
    SSTAT0_RST = 0x02, SSTAT2_LDSC = 0x02,
    ISTAT0_ABRT = 0x80, ISTAT0_SRST = 0x40, ISTAT0_SIGP = 0x20,
    ISTAT0_SEM = 0x10, ISTAT0_CON = 0x08,
    ISTAT0_INTF = 0x04, ISTAT0_SIP = 0x02, ISTAT0_DIP = 0x01,
    ISTAT1_SRUN = 0x02, ISTAT1_SI = 0x01,
    CTEST2_SIGP = 0x40, CTEST2_CIO = 0x20, CTEST2_CM = 0x10,
    CTEST2_PCICIE = 0x08, CTEST2_DACK = 0x01,
    DMODE_SIOM = 0x20, DMODE_DIOM = 0x10, DMODE_MAN = 0x01,
    DCNTL_SSM = 0x10, DCNTL_STD = 0x04, DCNTL_IRQD = 0x02, DCNTL_COM = 0x01,
    SIST0_MA = 0x80, SIST0_CMP = 0x40, SIST0_SEL = 0x20,
    SIST0_RSL = 0x10, SIST0_SGE = 0x08, SIST0_UDC = 0x04,
    SIST0_RST = 0x02, SIST0_PAR = 0x01,
    SIST1_SBMC = 0x10, SIST1_STO = 0x04, SIST1_GEN = 0x02, SIST1_HTH = 0x01,
    STEST1_QEN = 0x08, STEST1_QSEL = 0x04,
    STEST4_LOCK = 0x20,
    CCNTL0_ENPMJ = 0x80, CCNTL0_PMJCTL = 0x40, CCNTL0_ENNDJ = 0x20,
    CCNTL1_64TIMOD = 0x04, CCNTL1_EN64TIBMV = 0x02, CCNTL1_EN64DBMV = 0x01,
};

/* SCSI bus phases: MSG/, C_D/, I_O/ as in SBCL and in the instructions. */
typedef enum LsiPhase {
    LSI_DATA_OUT = 0,
    LSI_DATA_IN = 1,
    LSI_COMMAND = 2,
    LSI_STATUS = 3,
    LSI_MSG_OUT = 6,
    LSI_MSG_IN = 7,
} LsiPhase;

/* Messages (SPI-3 chapter 16). */
enum {
    MSG_COMMAND_COMPLETE = 0x00, MSG_EXTENDED = 0x01, MSG_SAVE_POINTERS = 0x02,
    MSG_DISCONNECT = 0x04,
    MSG_INITIATOR_ERROR = 0x05, MSG_ABORT = 0x06,
    MSG_REJECT = 0x07, MSG_NOP = 0x08, MSG_PARITY_ERROR = 0x09,
    MSG_DEVICE_RESET = 0x0c, MSG_ABORT_TAG = 0x0d, MSG_CLEAR_QUEUE = 0x0e,
    MSG_SIMPLE_TAG = 0x20, MSG_ORDERED_TAG = 0x22, MSG_IGNORE_RESIDUE = 0x23, MSG_IDENTIFY = 0x80,
    EXT_SDTR = 0x01, EXT_WDTR = 0x03, EXT_PPR = 0x04,
};

typedef struct LsiState LsiState;
typedef struct LsiTask LsiTask;

/* A run of guest memory that SCRIPTS will move next (lookahead). */
typedef struct LsiSegment {
    hwaddr addr;
    uint32_t len;
    uint8_t first;  /* the first byte that came there, when LsiTask.firsts_read */
} LsiSegment;

/* A nexus with a command: from the last CDB byte to the acknowledged COMMAND COMPLETE. */
struct LsiTask {
    GList link;          /* in LsiState.tasks, in order of arrival */
    LsiState *hba;
    ScsiRequest *req;    /* a reference */
    uint8_t id;
    uint8_t lun;
    bool tagged;
    uint8_t tag;
    bool disconnect_ok;  /* IDENTIFY granted the privilege */
    bool moved;          /* data moved since the pointers were saved last */
    bool wants_bus;      /* disconnected and has something to say: in LsiState.reselect */
    bool odd;            /* an odd number of data bytes crossed the bus */
    bool padded;         /* the padding byte of an odd wide transfer crossed it, too */
    GList reselect_link;
    /* Memory lent or to be lent to the request (lsi53c895a-lookahead.c). */
    LsiSegment *segments;
    unsigned segment_count;
    unsigned segment_pos; /* DATA IN: the next to be retired by a move */
    uint32_t segment_off; /* bytes of it retired already */
    uint64_t lent_left;   /* DATA IN: bytes lent and not retired yet */
    bool firsts_read;     /* DATA IN: LsiSegment.first is good from segment_pos on */
    DmaMap *collected;    /* DATA OUT: memory of the moves so far, not lent yet */
};

/* Where a connected target stands, when no message is due. */
typedef enum LsiStage {
    LSI_STAGE_IDENTIFY, /* entered by selection; left by the first message or command byte */
    LSI_STAGE_COMMAND,  /* wants the CDB; left when it is complete */
    LSI_STAGE_TASK,     /* con.task says what happens; left by its end */
    LSI_STAGE_STATUS,   /* con.status is to be sent (also without a task: BUSY, TASK SET FULL) */
    LSI_STAGE_COMPLETE, /* COMMAND COMPLETE was sent; left by its acknowledge, to bus free */
    LSI_STAGE_LEAVE,    /* goes to bus free once its messages are acknowledged */
} LsiStage;

typedef enum LsiBusState {
    LSI_BUS_FREE,
    LSI_BUS_SELECTING, /* nobody answers; left by the time-out, abort or reset */
    LSI_BUS_CONNECTED, /* a target holds the bus; left by lsi_target_free() */
} LsiBusState;

/* The one connection there can be on the bus. */
typedef struct LsiConnection {
    LsiBusState state;
    LsiStage stage;
    uint8_t id;
    uint8_t lun;
    bool identified;
    bool disconnect_ok;
    bool tagged;
    uint8_t tag;
    bool with_atn;       /* selected with ATN/ */
    bool atn;            /* the initiator asserts ATN/ */
    bool ack;            /* the initiator holds ACK/ after a message byte */
    bool req;            /* the target asserts REQ/: phase is valid */
    LsiPhase phase;
    LsiTask *task;
    uint8_t status;
    uint8_t cdb[SCSI_CDB_MAX];
    unsigned cdb_len;
    uint8_t msg_in[LSI_MSG_MAX];
    unsigned msg_in_len;
    unsigned msg_in_pos;
    uint8_t msg_out[LSI_MSG_MAX];
    unsigned msg_out_len;
} LsiConnection;

/* Data transfer agreement with a target (SPI-3 section 4.12). */
typedef struct LsiAgreement {
    bool wide;
    uint8_t period;
    uint8_t offset;
} LsiAgreement;

struct LsiState {
    PciDevice pci;
    ScsiBus *bus;
    MemoryRegion io;
    MemoryRegion mmio;
    MemoryRegion ram_region;
    EventBh *run_bh;      /* the next slice of SCRIPTS */
    EventBh *select_bh;   /* selection time-out */
    EventTimer *gen_timer;
    EventTimer *hth_timer;
    EventTimer *watch_timer;  /* tells that watch_told has changed; armed while watch_changed */

    bool bus_reset_pending;   /* property; off once the guest's driver has been told, or has reset the chip */
    bool watch_told;          /* what SCSI_BUS_RESET_WATCH said last */
    int64_t watch_told_at;    /* EVENT_CLOCK_REAL */
    bool watch_changed;       /* it is otherwise now */
    bool config_written;      /* ever: the link's other end is here */
    unsigned resets_pending;  /* those since then, while bus_reset_pending */
    uint8_t reg[LSI_REG_SIZE];
    uint8_t ram[LSI_RAM_SIZE];
    uint8_t dstat2, sist0_2, sist1_2; /* interrupts stacked behind the visible ones */
    uint8_t irq_level;

    bool running;         /* SCRIPTS are being executed: ISTAT1.SRUN */
    bool suspended;       /* the instruction in DCMD/DBC/DSPS is executed again */
    bool in_slice;        /* lsi_scripts_run() is on the stack */
    bool carry;
    bool decoded;         /* a suspended block move has its address and count in DNAD and DBC */
    bool move_first;      /* the next byte received is the first of this move: it goes to SFBR */
    uint32_t insn_addr;   /* of the instruction being executed */
    int budget;           /* instructions left in this slice */

    LsiConnection con;
    LsiAgreement agreement[LSI_TARGETS];
    GQueue tasks;         /* LsiTask, all live */
    GQueue reselect;      /* LsiTask that want the bus, oldest first */
};

typedef struct LsiStateClass {
    PciDeviceClass parent_class;
} LsiStateClass;

QOM_DECLARE_TYPE(LsiState, lsi53c895a, LSI53C895A)

/* Little-endian fields of the register file. */
static inline uint32_t lsi_get32(const LsiState *s, unsigned reg)
{
    uint32_t value;

    memcpy(&value, s->reg + reg, 4);
    return GUINT32_FROM_LE(value);
}

static inline void lsi_set32(LsiState *s, unsigned reg, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(s->reg + reg, &value, 4);
}

/* DBC is 24 bits wide. */
static inline uint32_t lsi_get24(const LsiState *s, unsigned reg)
{
    return lsi_get32(s, reg) & 0xffffff;
}

static inline void lsi_set24(LsiState *s, unsigned reg, uint32_t value)
{
    lsi_set32(s, reg, (lsi_get32(s, reg) & 0xff000000) | (value & 0xffffff));
}

/* ---- lsi53c895a.c ---- */

/* Lets SCRIPTS run in the event loop's next turn; harmless when there is nothing to do. */
void lsi_kick(LsiState *s);
/* Starts the timers anew after their registers changed. */
void lsi_gen_timer_update(LsiState *s);
void lsi_hth_timer_update(LsiState *s);

/* ---- lsi53c895a-regs.c ---- */

/* Power-on values; connections and tasks are the caller's business. */
void lsi_regs_reset(LsiState *s);
/*
 * Software reset by ISTAT0.SRST: registers, SCRIPTS and the connection; disconnected tasks live on
 * in their targets.
 */
void lsi_soft_reset(LsiState *s);
/*
 * One byte with all side effects but the settling of interrupts: follow up with lsi_irq_settle().
 */
uint8_t lsi_reg_read(LsiState *s, unsigned reg);
void lsi_reg_write(LsiState *s, unsigned reg, uint8_t value);
/* Moves stacked interrupts up when the visible ones are gone, and drives INTA/. */
void lsi_irq_settle(LsiState *s);
/* Raises interrupt conditions; the fatal ones stop SCRIPTS. */
void lsi_raise_dma(LsiState *s, uint8_t dstat);
void lsi_raise_scsi(LsiState *s, uint8_t sist0, uint8_t sist1);

/* ---- lsi53c895a-notice.c ---- */

/* Life cycle of the notice; called by realize and unrealize. */
void lsi_notice_init(LsiState *s);
void lsi_notice_clear(LsiState *s);
/* After every access: sees whether the driver's wish to hear of bus resets has changed. */
void lsi_notice_update(LsiState *s);

/* The function is reset; before its registers are. */
void lsi_notice_reset(LsiState *s);
/* A config write, which may let the device master the bus. */
void lsi_notice_config_written(LsiState *s);

/* ---- lsi53c895a-dma.c ---- */

/*
 * Memory as the chip sees it: its own RAM and registers by their BAR addresses, everything else
 * through the DMA choke point.  False: bus fault; a failed read leaves 0xff in what could not be
 * read.
 */
bool lsi_mem_read(LsiState *s, hwaddr addr, void *buf, uint32_t len);
bool lsi_mem_write(LsiState *s, hwaddr addr, const void *buf, uint32_t len);
/*
 * The same for memory moves, which may also address I/O space (DMODE.SIOM, DIOM): only the chip's
 * own BAR 0 is there.
 */
bool lsi_io_read(LsiState *s, hwaddr addr, void *buf, uint32_t len);
bool lsi_io_write(LsiState *s, hwaddr addr, const void *buf, uint32_t len);
/* True when [addr, addr + len) touches the chip's operating registers. */
bool lsi_addr_is_registers(LsiState *s, hwaddr addr, uint32_t len);
/* True when it touches the chip's RAM or registers: not to be lent. */
bool lsi_addr_is_own(LsiState *s, hwaddr addr, uint32_t len);

/* ---- lsi53c895a-scripts.c ---- */

/* Executes SCRIPTS until they stop, suspend, or the slice is used up.  From the event loop only. */
void lsi_scripts_run(LsiState *s);
/* Begins at DSP. */
void lsi_scripts_start(LsiState *s);
/* Stops without an interrupt of its own. */
void lsi_scripts_stop(LsiState *s);

/* ---- lsi53c895a-move.c ---- */

/* The block move in DCMD/DBC/DSPS.  Returns false when it has to wait. */
bool lsi_block_move(LsiState *s);
/*
 * Address and count of a block move with first dword INSN and second DSPS; false: bus fault while
 * reading a table.
 */
bool lsi_move_operand(LsiState *s, uint32_t insn, uint32_t dsps, uint32_t insn_addr,
                      hwaddr *ret_addr, uint32_t *ret_count);

/* ---- lsi53c895a-target.c ---- */

/* Selects ID; false when no target is there. */
bool lsi_target_select(LsiState *s, unsigned id, bool atn);
/* Lets the oldest target that waits for the bus reselect; false when none does. */
bool lsi_target_reselect(LsiState *s);
/*
 * The target decides on the next phase: after a move, an acknowledge, a change of ATN/ or of its
 * request.
 */
void lsi_target_step(LsiState *s);
/* As lsi_target_step() inside a data move: only the request's state is looked at. */
void lsi_target_data_step(LsiState *s);
/* A target that holds the bus only to wait gives it up when somebody else needs it. */
void lsi_target_yield(LsiState *s);
/* MESSAGE OUT or COMMAND bytes; returns how many the target took. */
unsigned lsi_target_take(LsiState *s, const uint8_t *buf, unsigned len);
/* Appends a message to what the target will send in MESSAGE IN. */
void lsi_target_queue_message(LsiState *s, const uint8_t *msg, unsigned len);
/* The next byte of MESSAGE IN or STATUS. */
uint8_t lsi_target_give(LsiState *s);
/* Negates ACK/. */
void lsi_target_acknowledge(LsiState *s);
/* BUS FREE now; EXPECTED: no unexpected-disconnect interrupt whatever SCNTL2.SDU says. */
void lsi_target_free(LsiState *s, bool expected);
/* Is the data phase 16 bits wide on both ends? */
bool lsi_target_wide(LsiState *s);
/*
 * Drops tasks: of target ID (LSI_TARGETS: all) and LUN (LSI_LUNS: all).  CANCEL: their requests are
 * still alive.
 */
void lsi_tasks_drop(LsiState *s, unsigned id, unsigned lun, bool cancel);
void lsi_task_free(LsiTask *task, bool cancel);
/* The task of this nexus, or NULL. */
LsiTask *lsi_task_find(LsiState *s, unsigned id, unsigned lun, bool tagged, uint8_t tag);
/* SCSI bus reset by this initiator. */
void lsi_target_bus_reset(LsiState *s);

extern const ScsiHbaOps lsi_scsi_ops;

/* ---- lsi53c895a-message.c ---- */

/* A MESSAGE OUT move ended: the target acts on what it got. */
void lsi_target_messages(LsiState *s);

/* ---- lsi53c895a-lookahead.c ---- */

/*
 * DATA IN, at a move whose operand is decoded and while the request is in OFFER_IN: looks ahead
 * over the moves that follow, lends their memory and starts the request's reading.  False: nothing
 * was lent, nothing changed.
 */
bool lsi_lend_in(LsiState *s, LsiTask *task);
/*
 * DATA IN: the move at ADDR, LEN takes bytes that were read into lent memory: returns how many; 0:
 * bus fault (they were lent from another address, and could not be copied).
 */
uint32_t lsi_retire_in(LsiState *s, LsiTask *task, hwaddr addr, uint32_t len);
/*
 * DATA OUT: adds up to LEN bytes at ADDR to what will be lent, and lends it when the request has
 * all it asked for.  Returns the bytes taken; 0: this move is to be copied, and what was collected
 * was copied (*ret_fault: could not be).
 */
uint32_t lsi_collect_out(LsiState *s, LsiTask *task, hwaddr addr, uint32_t len, bool *ret_fault);
void lsi_lookahead_drop(LsiTask *task);

#endif
