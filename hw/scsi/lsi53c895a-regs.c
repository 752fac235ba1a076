/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lsi53c895a: the operating registers (data sheet chapter 4) as a table, their side effects, and
 * the interrupts.
 *
 * Runs in: both.
 *
 * Theory of operation.  The register file is 256 bytes.  A table entry tells width, value after
 * reset, which bits a write changes, and hooks for registers where an access does more than that.
 * Accesses of any size are sequences of bytes from low to high addresses, as on the chip's internal
 * bus; that is why writing DSP starts SCRIPTS at its highest byte.
 *
 * Interrupts (chapter 2, "Interrupt Handling").  A condition sets its bit in DSTAT or SIST0/1.
 * While one is visible (SIP or DIP), further ones are stacked behind and come up when reading has
 * cleared the visible ones.  A fatal condition stops SCRIPTS whether it is enabled or not; enabling
 * decides only on the pin and, for the few non-fatal ones, on SIP.
 */
#include "hw/scsi/lsi53c895a-int.h"

#include "trace/hw-scsi.h"

/* Non-fatal conditions in initiator mode; all others stop SCRIPTS. */
#define SIST0_NONFATAL (SIST0_CMP | SIST0_SEL | SIST0_RSL)
#define SIST1_NONFATAL (SIST1_GEN | SIST1_HTH)
#define DSTAT_CONDITIONS 0x7d

typedef struct LsiRegister {
    const char *name;
    uint8_t offset;
    uint8_t width;      /* bytes */
    uint32_t reset;
    uint32_t wmask;     /* bits a write changes */
    /* The byte that a read of REG gives; its stored value is s->reg[REG]. */
    uint8_t (*read)(LsiState *s, unsigned reg);
    /*
     * After the maskable bits were stored: VALUE is what was written, OLD what was stored before.
     */
    void (*write)(LsiState *s, unsigned reg, uint8_t value, uint8_t old);
} LsiRegister;

/* ---- interrupts ------------------------------------------------------------------------------ */

static bool dma_pending(const LsiState *s)
{
    return s->reg[LSI_DSTAT] & DSTAT_CONDITIONS;
}

/* A masked non-fatal condition can be seen in SIST but is no interrupt. */
static bool scsi_pending(const LsiState *s)
{
    return (s->reg[LSI_SIST0] & (~SIST0_NONFATAL | s->reg[LSI_SIEN0])) ||
           (s->reg[LSI_SIST1] & (~SIST1_NONFATAL | s->reg[LSI_SIEN1]));
}

void lsi_irq_settle(LsiState *s)
{
    uint8_t level;

    if (!dma_pending(s) && !scsi_pending(s) && (s->dstat2 | s->sist0_2 | s->sist1_2)) {
        s->reg[LSI_DSTAT] |= s->dstat2;
        s->reg[LSI_SIST0] |= s->sist0_2;
        s->reg[LSI_SIST1] |= s->sist1_2;
        s->dstat2 = s->sist0_2 = s->sist1_2 = 0;
    }
    level = (s->reg[LSI_ISTAT0] & ISTAT0_INTF) ||
            (s->reg[LSI_DSTAT] & s->reg[LSI_DIEN] & DSTAT_CONDITIONS) ||
            (s->reg[LSI_SIST0] & s->reg[LSI_SIEN0]) || (s->reg[LSI_SIST1] & s->reg[LSI_SIEN1]);
    if ((s->reg[LSI_DCNTL] & DCNTL_IRQD) || (s->reg[LSI_ISTAT1] & ISTAT1_SI)) {
        level = 0;
    }
    if (level != s->irq_level) {
        s->irq_level = level;
        trace_lsi_irq(s, level, s->reg[LSI_ISTAT0], s->reg[LSI_DSTAT], s->reg[LSI_SIST0],
                      s->reg[LSI_SIST1]);
        pci_set_irq(&s->pci, level);
    }
    lsi_notice_update(s);
}

void lsi_raise_dma(LsiState *s, uint8_t dstat)
{
    /* All DMA conditions are fatal. */
    lsi_scripts_stop(s);
    if (dma_pending(s) || scsi_pending(s)) {
        s->dstat2 |= dstat;
    } else {
        s->reg[LSI_DSTAT] |= dstat;
    }
    trace_lsi_raise(s, dstat, 0, 0);
    lsi_irq_settle(s);
}

void lsi_raise_scsi(LsiState *s, uint8_t sist0, uint8_t sist1)
{
    if ((sist0 & ~SIST0_NONFATAL) || (sist1 & ~SIST1_NONFATAL)) {
        lsi_scripts_stop(s);
    }
    if (dma_pending(s) || scsi_pending(s)) {
        s->sist0_2 |= sist0;
        s->sist1_2 |= sist1;
    } else {
        s->reg[LSI_SIST0] |= sist0;
        s->reg[LSI_SIST1] |= sist1;
    }
    trace_lsi_raise(s, 0, sist0, sist1);
    lsi_irq_settle(s);
}

static uint8_t read_dstat(LsiState *s, unsigned reg)
{
    uint8_t value = s->reg[reg];

    s->reg[reg] = 0;
    /* The DMA FIFO never holds anything between two accesses. */
    return value | DSTAT_DFE;
}

static uint8_t read_clear(LsiState *s, unsigned reg)
{
    uint8_t value = s->reg[reg];

    s->reg[reg] = 0;
    return value;
}

static uint8_t read_istat0(LsiState *s, unsigned reg)
{
    return s->reg[reg] | (s->con.state == LSI_BUS_CONNECTED ? ISTAT0_CON : 0) |
           (scsi_pending(s) ? ISTAT0_SIP : 0) | (dma_pending(s) ? ISTAT0_DIP : 0);
}

static void write_istat0(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    if (value & ISTAT0_SRST) {
        /*
         * The data sheet wants the bit cleared by a second write; here it clears itself, since
         * SeaBIOS's driver relies on that and no driver can tell otherwise.
         */
        s->bus_reset_pending = false;
        lsi_soft_reset(s);
        return;
    }
    if (value & ISTAT0_INTF) {
        s->reg[reg] &= (uint8_t)~ISTAT0_INTF;
    }
    if ((value & ISTAT0_ABRT) && !(old & ISTAT0_ABRT)) {
        lsi_raise_dma(s, DSTAT_ABRT);
    }
    if (value & ISTAT0_SIGP) {
        lsi_kick(s);
    }
}

static uint8_t read_istat1(LsiState *s, unsigned reg)
{
    return s->reg[reg] | (s->running ? ISTAT1_SRUN : 0);
}

/* Reading CTEST2 fetches and clears SIGP: how SCRIPTS take the host's signal. */
static uint8_t read_ctest2(LsiState *s, unsigned reg)
{
    uint8_t value = s->reg[reg] | CTEST2_DACK;

    if (s->reg[LSI_ISTAT0] & ISTAT0_SIGP) {
        value |= CTEST2_SIGP;
    }
    if (s->pci.bars[0].addr != PCI_BAR_UNMAPPED) {
        value |= CTEST2_CIO;
    }
    if (s->pci.bars[1].addr != PCI_BAR_UNMAPPED) {
        value |= CTEST2_CM;
    }
    s->reg[LSI_ISTAT0] &= (uint8_t)~ISTAT0_SIGP;
    return value;
}

/* ---- SCSI bus -------------------------------------------------------------------------------- */

static uint8_t read_scntl1(LsiState *s, unsigned reg)
{
    return s->reg[reg] | (s->con.state == LSI_BUS_CONNECTED ? SCNTL1_CON : 0);
}

static void write_scntl1(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    if ((value & SCNTL1_RST) && !(old & SCNTL1_RST)) {
        lsi_target_bus_reset(s);
        lsi_raise_scsi(s, SIST0_RST, 0);
    }
}

/* Writing 1 to the two wide residue flags clears them. */
static void write_scntl2(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    s->reg[reg] &= (uint8_t)~(value & (SCNTL2_WSS | SCNTL2_WSR));
}

static uint8_t read_socl(LsiState *s, unsigned reg)
{
    return (uint8_t)((s->reg[reg] & ~(SOCL_ACK | SOCL_ATN)) | (s->con.ack ? SOCL_ACK : 0) |
                     (s->con.atn ? SOCL_ATN : 0));
}

static void write_socl(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    if (s->con.state != LSI_BUS_CONNECTED) {
        return;
    }
    s->con.atn = value & SOCL_ATN;
    if (s->con.ack && !(value & SOCL_ACK)) {
        lsi_target_acknowledge(s);
        lsi_kick(s);
    }
}

static uint8_t read_sbcl(LsiState *s, unsigned reg)
{
    const LsiConnection *con = &s->con;

    switch (con->state) {
    case LSI_BUS_CONNECTED:
        return (uint8_t)(SBCL_BSY | con->phase | (con->req ? SBCL_REQ : 0) |
                         (con->ack ? SBCL_ACK : 0) | (con->atn ? SBCL_ATN : 0));
    case LSI_BUS_SELECTING:
        return (uint8_t)(SBCL_SEL | (con->atn ? SBCL_ATN : 0));
    default:
        return 0;
    }
}

static uint8_t read_sstat0(LsiState *s, unsigned reg)
{
    return s->reg[LSI_SCNTL1] & SCNTL1_RST ? SSTAT0_RST : 0;
}

static uint8_t read_sstat1(LsiState *s, unsigned reg)
{
    return s->con.state == LSI_BUS_CONNECTED ? s->con.phase : 0;
}

static uint8_t read_stest4(LsiState *s, unsigned reg)
{
    /* The clock quadrupler locks at once when it is enabled. */
    return s->reg[reg] | (s->reg[LSI_STEST1] & STEST1_QEN ? STEST4_LOCK : 0);
}

/* ---- DMA ------------------------------------------------------------------------------------- */

/* Drivers find the bytes in the DMA FIFO as the difference of these ten bits and DBC: none. */
static uint8_t read_dfifo(LsiState *s, unsigned reg)
{
    return s->reg[LSI_DBC];
}

static uint8_t read_ctest5(LsiState *s, unsigned reg)
{
    return s->reg[reg] | (s->reg[LSI_DBC + 1] & 3);
}

static void write_dsp(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    if (reg == LSI_DSP + 3 && !s->in_slice && !(s->reg[LSI_DMODE] & DMODE_MAN)) {
        lsi_scripts_start(s);
    }
}

static void write_dcntl(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    /* STD starts SCRIPTS in manual mode and continues single steps. */
    if ((value & DCNTL_STD) && !s->in_slice && !s->running) {
        lsi_scripts_start(s);
    }
}

/* With CTEST2.PCICIE set SCRATCHA and SCRATCHB show where BAR 1 and BAR 2 are. */
static uint8_t read_scratch_bar(LsiState *s, unsigned reg)
{
    unsigned bar = reg < LSI_SCRATCHB ? 1 : 2;

    if (s->reg[LSI_CTEST2] & CTEST2_PCICIE) {
        return s->pci.config[PCI_BASE_ADDRESS_0 + 4 * bar + (reg & 3)];
    }
    return s->reg[reg];
}

/* ---- the rest -------------------------------------------------------------------------------- */

/* Pins switched to input are pulled up: no serial EEPROM answers there. */
static uint8_t read_gpreg(LsiState *s, unsigned reg)
{
    return s->reg[reg] | (s->reg[LSI_GPCNTL] & 0x1f);
}

static void write_stime0(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    lsi_hth_timer_update(s);
}

static void write_stime1(LsiState *s, unsigned reg, uint8_t value, uint8_t old)
{
    lsi_gen_timer_update(s);
}

#define RW32 0xffffffffu

static const LsiRegister registers[] = {
    { "SCNTL0", 0x00, 1, 0xc0, 0xfb },
    { "SCNTL1", 0x01, 1, 0, 0xef, read_scntl1, write_scntl1 },
    { "SCNTL2", 0x02, 1, 0, 0xf6, NULL, write_scntl2 },
    { "SCNTL3", 0x03, 1, 0, 0xff },
    /*
     * The data sheet's reset value is 0; boards come up with 7 from firmware or EEPROM, which are
     * absent here.
     */
    { "SCID", 0x04, 1, LSI_OWN_ID, 0x6f },
    { "SXFER", 0x05, 1, 0, 0xff },
    { "SDID", 0x06, 1, 0, 0x0f },
    { "GPREG", 0x07, 1, 0, 0xff, read_gpreg },
    { "SFBR", 0x08, 1, 0, 0xff },
    { "SOCL", 0x09, 1, 0, 0xff, read_socl, write_socl },
    { "SSID", 0x0a, 1, 0, 0 },
    { "SBCL", 0x0b, 1, 0, 0, read_sbcl },
    { "DSTAT", 0x0c, 1, 0, 0, read_dstat },
    { "SSTAT0", 0x0d, 1, 0, 0, read_sstat0 },
    { "SSTAT1", 0x0e, 1, 0, 0, read_sstat1 },
    { "SSTAT2", 0x0f, 1, SSTAT2_LDSC, 0 },
    { "DSA", 0x10, 4, 0, RW32 },
    { "ISTAT0", 0x14, 1, 0, ISTAT0_ABRT | ISTAT0_SIGP | ISTAT0_SEM, read_istat0, write_istat0 },
    { "ISTAT1", 0x15, 1, 0, ISTAT1_SI, read_istat1 },
    { "MBOX0", 0x16, 1, 0, 0xff },
    { "MBOX1", 0x17, 1, 0, 0xff },
    { "CTEST0", 0x18, 1, 0xff, 0xff },
    { "CTEST1", 0x19, 1, 0xf0, 0 },
    { "CTEST2", 0x1a, 1, 0, CTEST2_PCICIE, read_ctest2 },
    { "CTEST3", 0x1b, 1, 0, 0x03 },
    { "TEMP", 0x1c, 4, 0, RW32 },
    { "DFIFO", 0x20, 1, 0, 0, read_dfifo },
    { "CTEST4", 0x21, 1, 0, 0xff },
    { "CTEST5", 0x22, 1, 0, 0x3c, read_ctest5 },
    { "CTEST6", 0x23, 1, 0, 0xff },
    { "DBC", 0x24, 3, 0, 0xffffff },
    { "DCMD", 0x27, 1, 0, 0xff },
    { "DNAD", 0x28, 4, 0, RW32 },
    { "DSP", 0x2c, 4, 0, RW32, NULL, write_dsp },
    { "DSPS", 0x30, 4, 0, RW32 },
    { "SCRATCHA", 0x34, 4, 0, RW32, read_scratch_bar },
    { "DMODE", 0x38, 1, 0, 0xff },
    { "DIEN", 0x39, 1, 0, 0x7d },
    { "SBR", 0x3a, 1, 0, 0xff },
    { "DCNTL", 0x3b, 1, 0, 0xbb, NULL, write_dcntl },
    { "ADDER", 0x3c, 4, 0, 0 },
    { "SIEN0", 0x40, 1, 0, 0xff },
    { "SIEN1", 0x41, 1, 0, SIST1_SBMC | SIST1_STO | SIST1_GEN | SIST1_HTH },
    { "SIST0", 0x42, 1, 0, 0, read_clear },
    { "SIST1", 0x43, 1, 0, 0, read_clear },
    { "SLPAR", 0x44, 1, 0, 0xff },
    { "SWIDE", 0x45, 1, 0, 0 },
    { "MACNTL", 0x46, 1, 0x0f, 0x0f },
    { "GPCNTL", 0x47, 1, 0x0f, 0xff },
    { "STIME0", 0x48, 1, 0, 0xff, NULL, write_stime0 },
    { "STIME1", 0x49, 1, 0, 0x7f, NULL, write_stime1 },
    { "RESPID", 0x4a, 2, 0, 0xffff },
    { "STEST0", 0x4c, 1, 0x03, 0 },
    { "STEST1", 0x4d, 1, 0, 0xcc },
    { "STEST2", 0x4e, 1, 0, 0xbf },
    { "STEST3", 0x4f, 1, 0, 0xfd },
    { "SIDL", 0x50, 2, 0, 0 },
    /* Bus mode: low voltage differential. */
    { "STEST4", 0x52, 1, 0xc0, 0, read_stest4 },
    { "SODL", 0x54, 2, 0, 0xffff },
    { "CCNTL0", 0x56, 1, 0, 0xf3 },
    { "CCNTL1", 0x57, 1, 0, 0x9f },
    { "SBDL", 0x58, 2, 0, 0 },
    { "SCRATCHB", 0x5c, 4, 0, RW32, read_scratch_bar },
    { "SCRATCHC", 0x60, 4, 0, RW32 },
    { "SCRATCHD", 0x64, 4, 0, RW32 },
    { "SCRATCHE", 0x68, 4, 0, RW32 },
    { "SCRATCHF", 0x6c, 4, 0, RW32 },
    { "SCRATCHG", 0x70, 4, 0, RW32 },
    { "SCRATCHH", 0x74, 4, 0, RW32 },
    { "SCRATCHI", 0x78, 4, 0, RW32 },
    { "SCRATCHJ", 0x7c, 4, 0, RW32 },
    { "SCRATCHK", 0x80, 4, 0, RW32 },
    { "SCRATCHL", 0x84, 4, 0, RW32 },
    { "SCRATCHM", 0x88, 4, 0, RW32 },
    { "SCRATCHN", 0x8c, 4, 0, RW32 },
    { "SCRATCHO", 0x90, 4, 0, RW32 },
    { "SCRATCHP", 0x94, 4, 0, RW32 },
    { "SCRATCHQ", 0x98, 4, 0, RW32 },
    { "SCRATCHR", 0x9c, 4, 0, RW32 },
    { "MMRS", 0xa0, 4, 0, RW32 },
    { "MMWS", 0xa4, 4, 0, RW32 },
    { "SFS", 0xa8, 4, 0, RW32 },
    { "DRS", 0xac, 4, 0, RW32 },
    { "SBMS", 0xb0, 4, 0, RW32 },
    { "DBMS", 0xb4, 4, 0, RW32 },
    { "DNAD64", 0xb8, 4, 0, RW32 },
    { "PMJAD1", 0xc0, 4, 0, RW32 },
    { "PMJAD2", 0xc4, 4, 0, RW32 },
    { "RBC", 0xc8, 4, 0, RW32 },
    { "UA", 0xcc, 4, 0, RW32 },
    { "ESA", 0xd0, 4, 0, RW32 },
    { "IA", 0xd4, 4, 0, RW32 },
    { "SBC", 0xd8, 3, 0, 0 },
    { "CSBC", 0xdc, 4, 0, RW32 },
};

/* Entry of each byte of the register file; NULL: reserved, reads 0 and drops writes. */
static const LsiRegister *lookup(unsigned reg)
{
    static const LsiRegister *map[LSI_REG_SIZE];
    static gsize ready;

    if (g_once_init_enter(&ready)) {
        for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
            for (unsigned j = 0; j < registers[i].width; j++) {
                map[registers[i].offset + j] = &registers[i];
            }
        }
        g_once_init_leave(&ready, 1);
    }
    return map[reg];
}

uint8_t lsi_reg_read(LsiState *s, unsigned reg)
{
    const LsiRegister *r = lookup(reg % LSI_REG_SIZE);
    uint8_t value = 0;

    reg %= LSI_REG_SIZE;
    if (r) {
        value = r->read ? r->read(s, reg) : s->reg[reg];
        trace_lsi_reg_read(s, r->name, reg, value);
    }
    return value;
}

void lsi_reg_write(LsiState *s, unsigned reg, uint8_t value)
{
    const LsiRegister *r = lookup(reg % LSI_REG_SIZE);
    uint8_t mask, old;

    reg %= LSI_REG_SIZE;
    if (!r) {
        return;
    }
    trace_lsi_reg_write(s, r->name, reg, value);
    mask = (uint8_t)(r->wmask >> 8 * (reg - r->offset));
    old = s->reg[reg];
    s->reg[reg] = (uint8_t)((old & ~mask) | (value & mask));
    if (r->write) {
        r->write(s, reg, value, old);
    }
}

void lsi_regs_reset(LsiState *s)
{
    memset(s->reg, 0, sizeof(s->reg));
    for (unsigned i = 0; i < G_N_ELEMENTS(registers); i++) {
        for (unsigned j = 0; j < registers[i].width; j++) {
            s->reg[registers[i].offset + j] = (uint8_t)(registers[i].reset >> 8 * j);
        }
    }
    s->dstat2 = s->sist0_2 = s->sist1_2 = 0;
    s->carry = false;
}

void lsi_soft_reset(LsiState *s)
{
    LsiTask *task = s->con.task;

    lsi_scripts_stop(s);
    /* The chip lets go of the bus: the target that held it gives its command up. */
    lsi_target_free(s, true);
    if (task) {
        lsi_task_free(task, true);
    }
    lsi_regs_reset(s);
    lsi_gen_timer_update(s);
    lsi_hth_timer_update(s);
    lsi_irq_settle(s);
}
