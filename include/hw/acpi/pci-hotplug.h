/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI PCI hot-plug: tells the guest of functions of a root bus that come and go, and asks it to give one up.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: the registers have the places and meanings of QEMU's "QEMU<->ACPI BIOS PCI hotplug interface" (docs/specs),
 * of whose one-bus form this is; that a read clears is ours.  Their driver is our own namespace, hw/acpi/dsdt.asl.
 *
 * Ports; each register has 32 bits, bit n for slot n.
 *
 *   0xae00  up, read only       slots to be looked at again, because a function came; bit 0, whose slot is the board's:
 *                               the whole bus, because a function went without asking.  The read clears it
 *   0xae04  down, read only     slots the guest is asked to eject; the read clears it
 *   0xae08  eject, write        all hot-pluggable functions of these slots are given up: they are removed, from the
 *                               main loop, soon after.  Reads 0: no features beyond these
 *   0xae0c  removable           slots without a function of the board
 *   0xae10  outcome, write      what became of a request (_OST): slot in bits 0 to 7, the low byte of the event's code
 *                               in 8 to 15, of the status in 16 to 23.  An eject request (3) that has failed is off.
 *                               Ours
 *
 * Each change of up or down raises PM_GPE_PCI_HOTPLUG.
 *
 * Whom to ask.  A guest listens when it has enabled that event and ACPI.  Then device_del() waits for its eject, for
 * ever when neither that nor a refusal comes; what still waits at a reset of the machine is removed then.  While nobody
 * listens (firmware, qtest) device_del() removes at once.  Removals that do not ask (rdevice_del with force, a
 * program's end) are told as a bus check: a guest that looks finds the slot empty.  (Of a slot alone Linux asks only
 * what came.)
 */
#ifndef HW_ACPI_PCI_HOTPLUG_H
#define HW_ACPI_PCI_HOTPLUG_H

#include "hw/acpi/pm.h"

#define ACPI_PCI_HOTPLUG_BASE 0xae00u
#define ACPI_PCI_HOTPLUG_SIZE 0x14u

typedef struct AcpiPciHotplug AcpiPciHotplug;

/*
 * The registers in IO for BUS, with events by PM; becomes the program's guest hooks (device_set_guest_hooks()).  Lives
 * as long as the program.
 */
AcpiPciHotplug *acpi_pci_hotplug_new(PciBus *bus, AcpiPm *pm, MemoryRegion *io);

/* For the board's reset, before that of the bus: it completes the removals that wait, for the guest or for a remote. */
void acpi_pci_hotplug_reset(AcpiPciHotplug *hotplug);

#endif
