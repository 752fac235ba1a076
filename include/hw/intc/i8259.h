/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two cascaded 8259A interrupt controllers of a pc, as one device with 16 inputs.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 8259A data sheet (order 231468); the edge/level registers (ELCR) at 0x4d0 as in the PIIX3 data sheet
 * (order 290550).  Ports 0x20 and 0x21 are the master's, 0xa0 and 0xa1 the slave's, whose output is the
 * master's input 2.  QOM path on the pc board: /machine/unattached/isa-i8259; its inputs answer to qtest's
 * irq_intercept_in.
 *
 * Choices where parts differ.  Whether an input is edge or level triggered is told by ELCR alone, as in the PIIX3, not
 * by ICW1.  An edge stays requested until it is acknowledged, also when its line falls before, so that a source with a
 * short pulse loses nothing; the 8259A would give a spurious interrupt 7.  Level requests follow their line and do
 * give one.  The 8080's mode (CALL instructions) does not exist.
 */
#ifndef HW_INTC_I8259_H
#define HW_INTC_I8259_H

#include "hw/isa/isa-bus.h"

#define I8259_PINS 16

/* One of the two controllers.  Bit n of a mask is its input n. */
typedef struct I8259Chip {
    uint8_t lines;      /* inputs that are asserted now; the master's bit 2 is the slave's output */
    uint8_t edges;      /* edges seen and not acknowledged */
    uint8_t level;      /* ELCR: level-triggered inputs */
    uint8_t imr;        /* masked */
    uint8_t isr;        /* in service */
    uint8_t base;       /* vector of input 0 */
    uint8_t icw3;
    uint8_t lowest;     /* input of the lowest priority; the next one has the highest */
    uint8_t init_step;  /* ICW that the data port waits for: 2 to 4; 0: initialised */
    bool single;        /* ICW1: no ICW3 follows */
    bool need_icw4;
    bool auto_eoi;
    bool rotate_on_aeoi;
    bool fully_nested;  /* special fully nested mode */
    bool special_mask;
    bool read_isr;      /* the command port reads ISR, else IRR */
    bool poll;          /* the next read is an acknowledge */
} I8259Chip;

/* The guest ends ISA interrupt IRQ, level or edge triggered.  Called before its next request is looked for. */
typedef void I8259Eoi(void *opaque, unsigned irq);

typedef struct I8259 {
    IsaDevice isa;
    I8259Chip master, slave;
    MemoryRegion master_io, slave_io, elcr_io;
    IrqLine **pins;   /* I8259_PINS inputs; pin 2 goes nowhere */
    IrqLine *intr;    /* where the output goes; NULL: nowhere */
    bool intr_level;
    I8259Eoi *eoi;    /* NULL: nobody listens */
    void *eoi_opaque;
} I8259;

typedef struct I8259Class {
    IsaDeviceClass isa_class;
} I8259Class;

QOM_DECLARE_TYPE(I8259, i8259, I8259_PAIR)
#define TYPE_I8259 (i8259_get_type())

/* Makes the board's pair on BUS; owned by the tree.  NULL with *errp. */
I8259 *i8259_create(IsaBus *bus, GError **errp);

/* The output (INTR) drives LINE, which the caller owns, at each change from now on, and at once to its level. */
void i8259_set_intr(I8259 *pic, IrqLine *line);
void i8259_set_eoi(I8259 *pic, I8259Eoi *eoi, void *opaque);

/* Whether an interrupt waits for a processor: the level of INTR. */
bool i8259_pending(const I8259 *pic);

/*
 * The processor's interrupt acknowledge: the vector of the highest request, which is in service then.  Without a
 * request (it has gone meanwhile) the vector of the spurious interrupt 7; never 15, for the slave has no time to
 * change its mind between the master's cycle and its own.
 */
uint8_t i8259_acknowledge(I8259 *pic);

#endif
