/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A test rig around one lsi53c895a: guest RAM, a PCI bus, register access, SCRIPTS assembly, a SCSI
 * unit whose answers the test controls.
 */
#ifndef TESTS_UNIT_LSI_RIG_H
#define TESTS_UNIT_LSI_RIG_H

#include <string.h>
#include "hw/scsi/lsi53c895a-int.h"
#include "pci-rig.h"

#define RIG_RAM_SIZE (1024u * 1024)
/* Where pci_rig_map() puts the BARs. */
#define RIG_IO PCI_RIG_IO
#define RIG_MMIO PCI_RIG_MMIO
#define RIG_SRAM (PCI_RIG_MMIO + PCI_RIG_BAR_STEP)
/* Where tests put things. */
#define RIG_CODE 0x1000u
#define RIG_DSA 0x4000u
#define RIG_BUF 0x8000u
#define RIG_NOWHERE 0x40000000u

#define FAKE_BLOCKS 1024u

/*
 * A unit with 512-byte blocks; opcodes 00, 12 (CDB[4] bytes), 28, 2a, and 35, which takes as long
 * as the test says.
 */
typedef struct FakeDisk {
    ScsiDevice scsi;
    bool hold;          /* I/O ends by fake_release() only */
    bool no_lending;
    GQueue held;        /* ScsiRequest, not referenced */
    unsigned lent;      /* requests that got lent memory */
    unsigned copied;
    unsigned cancelled;
    unsigned resets;
    uint8_t fail_status; /* status of the next I/O when not GOOD */
    size_t chunk;       /* bytes offered at once; 0: everything */
    uint8_t *store;     /* FAKE_BLOCKS blocks */
} FakeDisk;

typedef struct Rig {
    PciRig pci;
    uint8_t *ram;       /* the guest's */
    LsiState *lsi;
    uint32_t pc;        /* where rig_emit() goes on */
} Rig;

/* A rig with a running controller, BARs mapped, bus master on; units are added by rig_unit(). */
Rig *rig_new(void);
void rig_free(Rig *rig);
FakeDisk *rig_unit(Rig *rig, unsigned id, unsigned lun);
void rig_unplug(FakeDisk *unit);
/* Ends the I/O that was held longest. */
void fake_release(FakeDisk *unit);

uint32_t rig_read(Rig *rig, unsigned reg, unsigned size);
void rig_write(Rig *rig, unsigned reg, uint32_t value, unsigned size);

/* Sets where the next instruction goes; appends one of two dwords, or one dword. */
void rig_at(Rig *rig, uint32_t addr);
void rig_emit(Rig *rig, uint32_t first, uint32_t second);
void rig_emit1(Rig *rig, uint32_t word);
uint32_t rig_get32(Rig *rig, uint32_t addr);
void rig_put32(Rig *rig, uint32_t addr, uint32_t value);

/* Starts SCRIPTS at ADDR by writing DSP. */
void rig_start(Rig *rig, uint32_t addr);
/* Starts at RIG_CODE, settles, expects the interrupt instruction's VECTOR. */
void rig_expect_int(Rig *rig, uint32_t vector);
/* Settles and expects this interrupt with these bits, then clears it. */
void rig_expect_dma(Rig *rig, uint8_t dstat);
void rig_expect_scsi(Rig *rig, uint16_t sist);

/* Instructions (data sheet chapter 5). */
#define INT 0x98080000u
#define INTFLY 0x98180000u
#define JUMP 0x80080000u
#define CALL 0x88080000u
#define RETURN 0x90080000u
#define IF_DATA(cond, data) ((cond) ^ 0x00040000u ^ (data))
#define WHEN_PHASE(cond, phase) ((cond) ^ 0x00030000u ^ ((uint32_t)(phase) << 24))
#define IF_PHASE(cond, phase) ((cond) ^ 0x00020000u ^ ((uint32_t)(phase) << 24))
#define UNLESS(insn) ((insn) ^ 0x00080000u)
#define IF_CARRY(cond) ((cond) ^ 0x00200000u)
#define MOVE(phase, count) (0x08000000u | (uint32_t)(phase) << 24 | (count))
#define CHMOV(phase, count) ((uint32_t)(phase) << 24 | (count))
#define MOVE_TBL(phase) (0x18000000u | (uint32_t)(phase) << 24)
#define SELECT_ATN(id) (0x41000000u | (uint32_t)(id) << 16)
#define SELECT(id) (0x40000000u | (uint32_t)(id) << 16)
#define WAIT_DISCONNECT 0x48000000u
#define WAIT_RESELECT 0x50000000u
#define SET_ATN 0x58000008u
#define CLEAR_ACK 0x60000040u
#define REG_OF(reg) ((((uint32_t)(reg) & 0x7f) << 16) | ((reg) & 0x80))
#define RMW(kind, op, reg, data) \
    ((kind) | (uint32_t)(op) << 24 | REG_OF(reg) | (uint32_t)(data) << 8)
#define REG_OP(op, reg, data) RMW(0x78000000u, op, reg, data)
#define FROM_REG(op, reg, data) RMW(0x70000000u, op, reg, data)
#define TO_REG(op, reg, data) RMW(0x68000000u, op, reg, data)
#define LOAD(reg, n) (0xe1000000u | (uint32_t)(reg) << 16 | (n))
#define STORE(reg, n) (0xe0000000u | (uint32_t)(reg) << 16 | (n))
#define DSA_RELATIVE 0x10000000u
#define MEMORY_MOVE(n) (0xc0000000u | (n))

#endif
