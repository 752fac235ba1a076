/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions as monitors tell of them.
 *
 * Runs in: both programs.
 *
 * Source of the class codes: PCI Local Bus 3.0, appendix D.
 */
#include "hw/pci/pci.h"

static const struct {
    uint16_t code;
    const char *name;
} classes[] = {
    { 0x0100, "SCSI controller" },
    { 0x0101, "IDE controller" },
    { 0x0102, "Floppy controller" },
    { 0x0104, "RAID controller" },
    { 0x0106, "SATA controller" },
    { 0x0107, "SAS controller" },
    { 0x0108, "NVMe controller" },
    { 0x0200, "Ethernet controller" },
    { 0x0280, "Network controller" },
    { 0x0300, "VGA controller" },
    { 0x0380, "Display controller" },
    { 0x0401, "Audio controller" },
    { 0x0403, "Audio controller" },
    { 0x0500, "RAM controller" },
    { 0x0600, "Host bridge" },
    { 0x0601, "ISA bridge" },
    { 0x0604, "PCI bridge" },
    { 0x0680, "Bridge" },
    { 0x0700, "Serial port" },
    { 0x0780, "Communication controller" },
    { 0x0800, "Interrupt controller" },
    { 0x0c03, "USB controller" },
    { 0x0c05, "SMBus" },
};

/* By base class, where the sub-class has no row above. */
static const char *const base_classes[] = {
    [0x01] = "Storage controller",
    [0x02] = "Network controller",
    [0x03] = "Display controller",
    [0x04] = "Multimedia controller",
    [0x05] = "Memory controller",
    [0x06] = "Bridge",
    [0x07] = "Communication controller",
    [0x08] = "System peripheral",
    [0x09] = "Input device",
    [0x0b] = "Processor",
    [0x0c] = "Serial bus controller",
    [0x0d] = "Wireless controller",
};

const char *pci_class_name(uint16_t class_code)
{
    unsigned base = class_code >> 8;

    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (classes[i].code == class_code) {
            return classes[i].name;
        }
    }
    return base < G_N_ELEMENTS(base_classes) ? base_classes[base] : NULL;
}

void pci_device_info(PciDevice *dev, PciFunctionInfo *ret_info)
{
    const uint8_t *config = dev->config;

    *ret_info = (PciFunctionInfo) {
        .vendor_id = pci_get_word(config + PCI_VENDOR_ID),
        .device_id = pci_get_word(config + PCI_DEVICE_ID),
        .subsystem_vendor_id = pci_get_word(config + PCI_SUBSYSTEM_VENDOR_ID),
        .subsystem_id = pci_get_word(config + PCI_SUBSYSTEM_ID),
        .class_code = pci_get_word(config + PCI_CLASS_DEVICE),
        .irq_pin = config[PCI_INTERRUPT_PIN],
        .irq_line = config[PCI_INTERRUPT_LINE],
    };
    ret_info->class_name = pci_class_name(ret_info->class_code);
}
