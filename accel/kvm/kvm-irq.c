/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of a KVM machine: the kernel's 8259s, I/O APIC, local APICs and 8254.
 *
 * Runs in: mpqemu.
 *
 * Routing is the board's (include/hw/i386/pc.h): GSIs 0 to 15 go to the 8259s and the I/O APIC, interrupt 0 to pin 2 of
 * the latter; 16 to 23 to the I/O APIC only.  Through the PIIX3 a PCI interrupt reaches the 8259s as another GSI: the
 * board drives that line, too, and gives an irqfd to the one of the two that the guest goes by (hw/i386/pc-irq.h).
 *
 * The table never changes.  One GSI could be routed to an 8259 and to a pin of the I/O APIC, but the kernel tells a
 * guest's end of interrupt to one GSI of each pin only: of two PIRQs that share an ISA interrupt, the other would stay
 * raised.
 */
#include <string.h>

#include "accel/kvm/kvm-int.h"
#include "system/reset.h"
#include "util/error.h"
#include "util/log.h"

#define ISA_IRQS 16u
#define GSIS 24u
#define CASCADE 2u

/* The controllers' state as the kernel made it. */
static struct kvm_irqchip power_on_chips[3];
static struct kvm_pit_state2 power_on_pit;

static void add_route(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];

    entry->gsi = gsi;
    entry->type = KVM_IRQ_ROUTING_IRQCHIP;
    entry->u.irqchip.irqchip = chip;
    entry->u.irqchip.pin = pin;
}

static int set_routing(void)
{
    g_autofree struct kvm_irq_routing *table =
        g_malloc0(sizeof(*table) + (ISA_IRQS + GSIS) * sizeof(struct kvm_irq_routing_entry));

    for (unsigned gsi = 0; gsi < GSIS; gsi++) {
        if (gsi < ISA_IRQS && gsi != CASCADE) {
            add_route(table, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi & 7);
        }
        if (gsi != CASCADE) {
            add_route(table, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
        }
    }
    return kvm_ioctl(kvm_vm.vm_fd, KVM_SET_GSI_ROUTING, table);
}

/* Controllers to their state after power-on. */
static void kvm_irq_reset(void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(power_on_chips); i++) {
        kvm_ioctl(kvm_vm.vm_fd, KVM_SET_IRQCHIP, &power_on_chips[i]);
    }
    kvm_ioctl(kvm_vm.vm_fd, KVM_SET_PIT2, &power_on_pit);
}

bool kvm_irq_init(GError **errp)
{
    const struct kvm_reinject_control no_reinject = { .pit_reinject = 0 };
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    int ret = kvm_ioctl(kvm_vm.vm_fd, KVM_CREATE_IRQCHIP, NULL);

    if (ret == 0) {
        ret = kvm_ioctl(kvm_vm.vm_fd, KVM_CREATE_PIT2, &pit);
    }
    if (ret == 0) {
        /*
         * A tick that the guest did not take is lost, as on hardware; also those of the time while the machine stood.
         */
        ret = kvm_ioctl(kvm_vm.vm_fd, KVM_REINJECT_CONTROL, &no_reinject);
    }
    if (ret == 0) {
        ret = set_routing();
    }
    for (unsigned i = 0; ret == 0 && i < G_N_ELEMENTS(power_on_chips); i++) {
        power_on_chips[i].chip_id = i;
        ret = kvm_ioctl(kvm_vm.vm_fd, KVM_GET_IRQCHIP, &power_on_chips[i]);
    }
    if (ret == 0) {
        ret = kvm_ioctl(kvm_vm.vm_fd, KVM_GET_PIT2, &power_on_pit);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "-accel kvm: the kernel does not make interrupt controllers");
        return false;
    }
    reset_register(kvm_irq_reset, NULL);
    return true;
}

void kvm_set_gsi(unsigned gsi, int level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level != 0 };

    kvm_ioctl(kvm_vm.vm_fd, KVM_IRQ_LINE, &line);
}

bool kvm_irqfd_add(unsigned gsi, int trigger_fd, int resample_fd, GError **errp)
{
    struct kvm_irqfd irqfd = {
        .fd = trigger_fd,
        .gsi = gsi,
        .flags = KVM_IRQFD_FLAG_RESAMPLE,
        .resamplefd = resample_fd,
    };
    int ret = kvm_ioctl(kvm_vm.vm_fd, KVM_IRQFD, &irqfd);

    if (ret < 0) {
        error_setg_errno(errp, -ret, "the kernel does not take an eventfd for interrupt %u", gsi);
        return false;
    }
    return true;
}

void kvm_irqfd_remove(unsigned gsi, int trigger_fd, int resample_fd)
{
    struct kvm_irqfd irqfd = {
        .fd = trigger_fd,
        .gsi = gsi,
        .flags = KVM_IRQFD_FLAG_DEASSIGN,
        .resamplefd = resample_fd,
    };

    kvm_ioctl(kvm_vm.vm_fd, KVM_IRQFD, &irqfd);
}

void kvm_send_msi(uint64_t address, uint32_t data)
{
    struct kvm_msi msi = { .address_lo = (uint32_t)address, .address_hi = address >> 32, .data = data };
    int ret = kvm_ioctl(kvm_vm.vm_fd, KVM_SIGNAL_MSI, &msi);

    if (ret < 0) {
        log_guest_error("MSI of data 0x%x to 0x%" G_GINT64_MODIFIER "x reaches no vCPU: %s", data, address,
                        errno_text(-ret));
    }
}
