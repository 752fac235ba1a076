/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs: one for each vCPU, for accelerators without an interrupt controller of their own.
 *
 * Thread: any, with the machine lock held.  Runs in: mpqemu.
 *
 * Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3A, chapter "Advanced Programmable
 * Interrupt Controller (APIC)".  Version 0x14: six LVT entries (timer, thermal, performance, LINT0, LINT1, error), no
 * directed EOI.  xAPIC and x2APIC.
 *
 * The registers are at 0xfee00000, each vCPU its own, and in x2APIC mode MSRs 0x800 to 0x8ff.  The window stays
 * there: a guest that moves it by the base MSR is told of as a guest error.  A write elsewhere in the megabyte from
 * 0xfee00000, or one that is no vCPU's, is a message (MSI).
 *
 * The timer's clock, and the time stamp counter that its deadline is compared with, count nanoseconds of the virtual
 * clock.  A periodic timer comes APIC_TIMER_MIN_NS apart at least; periods that a late main loop has missed are one
 * interrupt.
 *
 * LINT0 is the 8259's output on the bootstrap processor, and after reset passes it on as ExtINT, as firmware leaves it
 * (virtual wire mode).  LINT1 is the NMI button of all.
 *
 * Deviations: no SMI; delivery takes no time, so delivery status is 0 always; a change of the guest's own offset of the
 * time stamp counter does not move the deadline.
 */
#ifndef HW_INTC_APIC_H
#define HW_INTC_APIC_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/vcpu.h"
#include "hw/core/irq.h"
#include "hw/intc/ioapic.h"
#include "system/memory.h"

#define APIC_BASE 0xfee00000u
#define APIC_WINDOW_SIZE 0x1000u
#define APIC_MSI_SIZE 0x100000u /* with the window in front */

#define APIC_TIMER_MIN_NS 20000

/* Offsets in the window; the MSR is APIC_MSR_X2 + offset / 16. */
enum {
    APIC_REG_ID = 0x020,
    APIC_REG_VERSION = 0x030,
    APIC_REG_TPR = 0x080,
    APIC_REG_APR = 0x090,
    APIC_REG_PPR = 0x0a0,
    APIC_REG_EOI = 0x0b0,
    APIC_REG_LDR = 0x0d0,
    APIC_REG_DFR = 0x0e0,
    APIC_REG_SVR = 0x0f0,
    APIC_REG_ISR = 0x100, /* 8 registers */
    APIC_REG_TMR = 0x180,
    APIC_REG_IRR = 0x200,
    APIC_REG_ESR = 0x280,
    APIC_REG_ICR = 0x300,
    APIC_REG_ICR_HIGH = 0x310,
    APIC_REG_LVT = 0x320, /* 6 registers, in the order of ApicLvt */
    APIC_REG_TIMER_INITIAL = 0x380,
    APIC_REG_TIMER_CURRENT = 0x390,
    APIC_REG_TIMER_DIVIDE = 0x3e0,
    APIC_REG_SELF_IPI = 0x3f0, /* x2APIC only */
};

typedef enum ApicLvt {
    APIC_LVT_TIMER,
    APIC_LVT_THERMAL,
    APIC_LVT_PERFORMANCE,
    APIC_LVT_LINT0,
    APIC_LVT_LINT1,
    APIC_LVT_ERROR,
    APIC_LVT_COUNT,
} ApicLvt;

/* MSRs. */
#define APIC_MSR_BASE 0x1bu
#define APIC_MSR_TSC_DEADLINE 0x6e0u
#define APIC_MSR_X2 0x800u

#define APIC_BASE_BSP (1u << 8)
#define APIC_BASE_X2 (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

/* Of LVT entries and of the ICR. */
#define APIC_MODE_SHIFT 8
enum {
    APIC_MODE_FIXED = 0,
    APIC_MODE_LOWEST = 1,
    APIC_MODE_SMI = 2,
    APIC_MODE_NMI = 4,
    APIC_MODE_INIT = 5,
    APIC_MODE_SIPI = 6,
    APIC_MODE_EXTINT = 7,
};
#define APIC_LVT_MASKED (1u << 16)
#define APIC_LVT_PERIODIC (1u << 17)
#define APIC_LVT_TSC_DEADLINE (2u << 17)
#define APIC_ICR_LOGICAL (1u << 11)
#define APIC_ICR_ASSERT (1u << 14)
#define APIC_ICR_LEVEL (1u << 15)
#define APIC_ICR_SHORTHAND_SHIFT 18

#define APIC_SVR_ENABLE (1u << 8)

/* Of the ESR. */
#define APIC_ERROR_SEND_VECTOR (1u << 5)
#define APIC_ERROR_RECEIVE_VECTOR (1u << 6)
#define APIC_ERROR_REGISTER (1u << 7)

typedef struct LocalApic LocalApic;

/* ---- for the board --------------------------------------------------------------------------------- */

/*
 * Makes the local APICs of all vCPUs, maps their window into MEMORY, takes IOAPIC's messages, and resets with the
 * machine.  They live as long as the program, or until apics_destroy().  After vcpus_create(); once.
 */
void apics_create(MemoryRegion *memory, Ioapic *ioapic);
void apics_destroy(void);

/* The input for the 8259's INTR output. */
IrqLine *apic_pic_line(void);

/* ACKNOWLEDGE(opaque) gives the 8259's vector when a processor takes its interrupt. */
void apic_set_pic(uint8_t (*acknowledge)(void *opaque), void *opaque);

/* A message-signalled interrupt: a device's write of DATA to ADDRESS (PciBus.send_msi).  Not to 0xfeexxxxx: nothing. */
void apic_send_msi(uint64_t address, uint32_t data);

/* ---- for accelerators ------------------------------------------------------------------------------- */

/*
 * The processor's interrupt acknowledge: a vector, or -1 when there is nothing any more.  INTR is driven by
 * Accel.vcpu_set_intr().
 */
int apic_accept(LocalApic *apic);

/* CR8. */
uint8_t apic_tpr_get(const LocalApic *apic);
void apic_tpr_set(LocalApic *apic, uint8_t cr8);

/* Its MSRs: base, TSC deadline, x2APIC.  False: #GP. */
bool apic_msr_read(LocalApic *apic, uint32_t msr, uint64_t *ret_value);
bool apic_msr_write(LocalApic *apic, uint32_t msr, uint64_t value);

/* ---- for monitors ----------------------------------------------------------------------------------- */

/* The NMI button: LINT1 of all processors has an edge. */
void apic_nmi_button(void);

#endif
