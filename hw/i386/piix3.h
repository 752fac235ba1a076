/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3 ISA bridge (82371SB), function 0 of its slot: PCI interrupt routing and the reset control register.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 82371FB/82371SB (PIIX/PIIX3) data sheet (order 290550), registers PIRQRC and RC.  What it bridges to
 * (8259, 8254, RTC, keyboard controller, ELCR) are devices of their own on the board's ISA bus.
 *
 * PIRQRC registers 0x60 to 0x63: bit 7 disables PIRQ A..D's route, else bits 3:0 name the ISA interrupt (3 to 7, 9 to
 * 12, 14, 15; others are no route).  An ISA interrupt is asserted while any PIRQ routed to it is.
 *
 * Reset control 0xcf9 (pci_host_set_reset_control()): a write with bit 2 resets; bit 1 says the whole machine, else the
 * processors only.  Bit 2 does not stay set.
 */
#ifndef HW_I386_PIIX3_H
#define HW_I386_PIIX3_H

#include "hw/pci/pci.h"

#define PIIX3_PIRQS 4u
#define PIIX3_PIRQRC 0x60u /* and the three behind it */
#define PIIX3_PIRQRC_DISABLE 0x80u

typedef struct Piix3 Piix3;

/* How it reaches the rest of the board. */
typedef struct Piix3Hooks {
    /*
     * What the routed PIRQs want of ISA interrupt IRQ; at the 8259s only, where it is or-ed with what other sources
     * want. Called at changes.
     */
    void (*set_isa_irq)(void *opaque, unsigned irq, int level);
    /* The guest asked for a reset: HARD of the machine, else of the processors (INIT).  Later, not in the call. */
    void (*reset)(void *opaque, bool hard);
    /* What piix3_route() tells may have changed. */
    void (*rerouted)(void *opaque);
    void *opaque;
} Piix3Hooks;

/* Makes the function at DEVFN (function 0; multifunction) of BUS.  HOOKS is copied.  Lives as long as the program. */
Piix3 *piix3_new(PciBus *bus, uint8_t devfn, const Piix3Hooks *hooks, GError **errp);

/* PIRQ (0 to 3) is asserted or not: from the PCI bus's lines. */
void piix3_set_pirq(Piix3 *piix3, unsigned pirq, int level);

/* The ISA interrupt that PIRQ (0 to 3) is routed to, or -1. */
int piix3_route(Piix3 *piix3, unsigned pirq);

/* The reset control register, one byte; the bridge's. */
MemoryRegion *piix3_reset_control(Piix3 *piix3);

GType piix3_get_type(void);

#endif
