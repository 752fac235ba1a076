/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An ISA bus in an I/O space of its own, whose interrupt lines are counted, and a virtual clock that stands.
 */
#ifndef TESTS_ISA_RIG_H
#define TESTS_ISA_RIG_H

#include "hw/isa/isa-bus.h"

typedef struct IsaRig {
    MemoryRegion io;
    IsaBus *bus;
    int level[ISA_IRQS];
    unsigned raised[ISA_IRQS]; /* rising edges */
} IsaRig;

/* Machine lock held.  The clock is made manual by the program's first rig. */
void isa_rig_setup(IsaRig *rig);

/* Unrealizes the devices, too. */
void isa_rig_teardown(IsaRig *rig);

/* One byte at a port. */
uint8_t isa_in(IsaRig *rig, uint16_t port);
void isa_out(IsaRig *rig, uint16_t port, uint8_t value);

/* Lets the virtual clock run, and the timers of the devices. */
void isa_rig_step(int64_t ns);

/* Lets the clock run while the event loop does not, so that timers come late at the next step. */
void isa_rig_stall(int64_t ns);

#endif
