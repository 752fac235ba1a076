/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 power management function (82371AB, function 3): ACPI's fixed registers, the PM timer, general purpose events.
 *
 * Thread: with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 82371AB (PIIX4) data sheet (order 290562), registers PMBA, PMREGMISC, DEVACTB, PMSTS, PMEN, PMCNTRL,
 * PMTMR, APMC, APMS; ACPI 5.0, section 4.8.  The general purpose event block is our own, at the place that QEMU's
 * machines have it.
 *
 * Ports.
 *
 *   PMBA + 0   PM1 status      timer, global, power button, RTC, wake; a written 1 clears
 *   PMBA + 2   PM1 enable      timer, global, power button, RTC
 *   PMBA + 4   PM1 control     SCI_EN, SLP_TYP; SLP_EN with type 0 is S5: the machine is switched off.  Other types:
 *                              nothing
 *   PMBA + 8   PM timer        24 bits, 3.579545 MHz of the guest's time
 *   0xb2, 0xb3 APM control and status.  Control PM_ACPI_ENABLE and PM_ACPI_DISABLE set and clear SCI_EN at once:
 *              there is no system management mode, nobody is interrupted.  Other values are only kept
 *   0xafe0     GPE0 status (16 bits, a written 1 clears) and enable (16 bits)
 *
 * PMBA (config 0x40) is PM_BASE and enabled (config 0x80) after a reset, as firmware leaves it, since a kernel may be
 * booted without firmware; firmware can place it elsewhere.  DEVACTB (config 0x58) has APMC_EN set, by which firmware
 * sees that there is no system management mode to be set up.  The SMBus controller is absent: its base address reads 0.
 *
 * SCI is ISA interrupt 9, a level: asserted while SCI_EN is set and an enabled event is pending.
 */
#ifndef HW_ACPI_PM_H
#define HW_ACPI_PM_H

#include "hw/pci/pci.h"

#define PM_BASE 0x600u
#define PM_BLOCK_SIZE 64u
#define PM_SCI_IRQ 9u
#define PM_GPE0_BASE 0xafe0u
#define PM_GPE0_SIZE 4u
#define PM_APM_CONTROL 0xb2u
#define PM_ACPI_ENABLE 0xf1u
#define PM_ACPI_DISABLE 0xf0u
#define PM_TIMER_HZ 3579545u

/* Offsets in the block. */
enum { PM1_STATUS = 0, PM1_ENABLE = 2, PM1_CONTROL = 4, PM_TIMER = 8 };
/* Bits of status and enable. */
enum {
    PM1_TIMER = 1 << 0,
    PM1_GLOBAL = 1 << 5,
    PM1_POWER_BUTTON = 1 << 8,
    PM1_RTC = 1 << 10,
    PM1_WAKE = 1 << 15, /* status only */
};
/* Bits of control. */
enum {
    PM1_SCI_ENABLE = 1 << 0,
    PM1_SLEEP_TYPE_SHIFT = 10, /* 3 bits */
    PM1_SLEEP_ENABLE = 1 << 13,
};
#define PM_SLEEP_TYPE_S5 0u

/* Events of GPE0. */
enum { PM_GPE_PCI_HOTPLUG = 1 };

typedef struct AcpiPm AcpiPm;

typedef struct AcpiPmHooks {
    void (*set_sci)(void *opaque, int level); /* at changes */
    void (*shutdown)(void *opaque);           /* the guest switched the machine off */
    void *opaque;
} AcpiPmHooks;

/*
 * Makes the function at DEVFN of BUS, with its ports in IO.  HOOKS is copied.  Function 0 of the slot is there already.
 * Lives as long as the program.
 */
AcpiPm *acpi_pm_new(PciBus *bus, uint8_t devfn, MemoryRegion *io, const AcpiPmHooks *hooks, GError **errp);

/* The user pressed the power button: the guest is asked to shut down, if it listens. */
void acpi_pm_power_button(AcpiPm *pm);

/* Event BIT (PM_GPE_*) happened. */
void acpi_pm_raise_gpe(AcpiPm *pm, unsigned bit);

/* Whether the guest has enabled ACPI and event BIT: an operating system has looked at the namespace. */
bool acpi_pm_listens(const AcpiPm *pm, unsigned bit);

GType acpi_pm_get_type(void);

#endif
