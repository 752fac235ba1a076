/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI functions and buses: config space, BARs, capabilities, INTx.
 *
 * Thread: with the machine lock held, except where a function says "any thread".  Runs in: both
 * programs.
 *
 * Register offsets and bits come from the kernel's <linux/pci_regs.h> (PCI Local Bus 3.0, PCI
 * Express 3.0).
 *
 * Config space.  `config` holds the bytes, `wmask` the bits a guest may write, `w1cmask` those a
 * written 1 clears. The core owns command, BARs, interrupt line and the standard capabilities' side
 * effects; a class hooks config_read/config_write for more.
 *
 * BARs.  A device registers a MemoryRegion per BAR (0..5) or ROM (PCI_ROM_SLOT).  The core maps it
 * into the bus's memory or I/O space when command and address allow.  On a bus with per-function
 * spaces (the remote's) every function has a memory and an I/O container of its own, so functions
 * of different links can never meet.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include <linux/pci_regs.h>
#include "hw/core/bus.h"
#include "hw/core/irq.h"
#include "system/dma.h"
#include "system/memory.h"

#define PCI_CONFIG_SIZE 256u
#define PCIE_CONFIG_SIZE 4096u
#define PCI_ROM_SLOT 6
#define PCI_NUM_REGIONS 7
#define PCI_DEVFN_MAX 256
#define PCI_BAR_UNMAPPED UINT64_MAX

#define PCI_DEVFN_OF(slot, fn) ((uint8_t)(((slot) << 3) | (fn)))
#define PCI_SLOT_OF(devfn) ((devfn) >> 3)
#define PCI_FUNC_OF(devfn) ((devfn) & 7)

typedef struct PciDevice PciDevice;
typedef struct PciDeviceClass PciDeviceClass;
typedef struct PciBus PciBus;
typedef struct PciBusClass PciBusClass;

typedef struct PciBar {
    uint64_t size;      /* 0: not there; a power of two */
    uint8_t type;       /* PCI_BASE_ADDRESS_* flag bits of the low byte */
    MemoryRegion *mr;   /* the device's */
    uint64_t addr;      /* where it is mapped, or PCI_BAR_UNMAPPED */
    MemoryRegion *space; /* the container it is mapped in */
} PciBar;

struct PciDevice {
    Device dev;
    char *addr_text;     /* property "addr": SLOT or SLOT.FUNCTION in hex; NULL or "": see `addr` */
    int32_t addr;        /* a board's own functions: devfn; -1: the bus chooses */
    uint8_t devfn;       /* valid once plugged */
    bool irq_level;      /* the function asserts its INTx pin */
    bool irq_delivered;  /* the level its bus line sees: irq_level unless the command register
                            disables INTx */
    unsigned config_size;
    uint8_t *config;     /* config_size bytes each */
    uint8_t *wmask;
    uint8_t *w1cmask;
    PciBar bars[PCI_NUM_REGIONS];
    MemoryRegion bar_mem; /* per-function spaces; used when the bus asks for them */
    MemoryRegion bar_io;
    DmaContext dma;
    bool multifunction;  /* property */
    uint8_t *cap_used;   /* config_size bytes: 1 where a capability or the header lives */
    uint8_t msi_cap;     /* offset of the MSI capability; 0: none (hw/pci/msi.h) */
    struct PciMsix *msix; /* MSI-X table state; NULL: none */
};

struct PciDeviceClass {
    DeviceClass device_class;
    uint16_t vendor_id;
    uint16_t device_id;
    uint16_t subsystem_vendor_id;
    uint16_t subsystem_id;
    uint8_t revision;
    uint32_t class_code;   /* 24 bits: base class, sub-class, programming interface */
    uint8_t interrupt_pin; /* 0: none, 1..4: INTA..INTD */
    bool express;          /* 4096 bytes of config space */
    bool unlocked_config;  /* config_read/config_write are called without the machine lock, by
                              several threads */

    /*
     * Realize and unrealize of the function itself; the core's own work surrounds them.  The core
     * owns DeviceClass.realize/unrealize/reset: command, BARs and interrupt are reset first, then
     * RESET is called.
     */
    bool (*realize)(PciDevice *dev, GError **errp);
    void (*unrealize)(PciDevice *dev);
    void (*reset)(PciDevice *dev);

    /*
     * Defaults: pci_default_config_read/write.  ADDR + SIZE is inside the config space; SIZE is 1,
     * 2 or 4.
     */
    uint32_t (*config_read)(PciDevice *dev, unsigned addr, unsigned size);
    void (*config_write)(PciDevice *dev, unsigned addr, uint32_t value, unsigned size);
};

QOM_DECLARE_TYPE(PciDevice, pci_device, PCI_DEVICE)
#define TYPE_PCI_DEVICE (pci_device_get_type())

struct PciBus {
    Bus bus;
    PciDevice *devices[PCI_DEVFN_MAX];
    uint8_t devfn_min;     /* the first the bus gives out by itself */
    bool per_function_spaces;
    MemoryRegion *mem;     /* shared spaces of the bus; NULL with per_function_spaces */
    MemoryRegion *io;
    AddressSpace *dma_as;  /* default DMA space of its functions */
    /*
     * INTx: wired-OR of the functions per routed line; FN(opaque, line, level) on changes of the
     * line.
     */
    unsigned (*map_irq)(PciDevice *dev, unsigned pin);
    IrqHandler *set_irq;
    void *irq_opaque;
    unsigned irq_line_count;
    /* Delivers a message-signalled interrupt; NULL: the bus has no MSI and devices use INTx. */
    void (*send_msi)(void *opaque, PciDevice *dev, uint64_t addr, uint32_t data);
    void *msi_opaque;
    unsigned irq_asserted[PCI_DEVFN_MAX]; /* functions asserting each line */
};

struct PciBusClass {
    BusClass bus_class;
};

QOM_DECLARE_TYPE(PciBus, pci_bus, PCI_BUS)
#define TYPE_PCI_BUS (pci_bus_get_type())

/* A root bus NAME ("pci.0").  MEM, IO may be NULL for per-function spaces. */
PciBus *pci_root_bus_new(const char *name, MemoryRegion *mem, MemoryRegion *io,
                         AddressSpace *dma_as, uint8_t devfn_min);

/*
 * How the bus delivers INTx: MAP chooses a line below COUNT (<= PCI_DEVFN_MAX) for a function's pin
 * (0..3).
 */
void pci_bus_set_irqs(PciBus *bus, unsigned (*map)(PciDevice *dev, unsigned pin), IrqHandler *set,
                      void *opaque, unsigned count);

/* The function at DEVFN, or NULL. */
PciDevice *pci_bus_device(PciBus *bus, uint8_t devfn);
PciBus *pci_device_bus(PciDevice *dev);

/*
 * What a monitor tells of a function, from the copy of its registers in this process: of a function whose registers
 * are elsewhere too (a proxy), what was last read or written here.
 */
typedef struct PciFunctionInfo {
    uint16_t vendor_id, device_id;
    uint16_t subsystem_vendor_id, subsystem_id;
    uint16_t class_code;    /* base class and sub-class */
    const char *class_name; /* static; NULL: a class without a name here */
    uint8_t irq_pin;        /* 0: none, 1..4 */
    uint8_t irq_line;
} PciFunctionInfo;
void pci_device_info(PciDevice *dev, PciFunctionInfo *ret_info);

/* A name of the 16 bits of base class and sub-class, or of the base class; NULL: none. */
const char *pci_class_name(uint16_t class_code);

/*
 * A config access by the bus (host bridges, link server).  Any thread, machine lock not needed: it
 * is taken unless the class is `unlocked_config`.  An access that is no 1, 2 or 4 bytes or leaves
 * the space is refused: reads give all ones of SIZE and the result is false.  The same for a
 * function that has been unrealized (the caller holds a reference).
 */
bool pci_config_read(PciDevice *dev, unsigned addr, uint32_t *ret_value, unsigned size);
bool pci_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size);

uint32_t pci_default_config_read(PciDevice *dev, unsigned addr, unsigned size);
void pci_default_config_write(PciDevice *dev, unsigned addr, uint32_t value, unsigned size);

/* Little-endian accessors of a config image. */
uint16_t pci_get_word(const uint8_t *p);
uint32_t pci_get_long(const uint8_t *p);
void pci_set_word(uint8_t *p, uint16_t value);
void pci_set_long(uint8_t *p, uint32_t value);

/*
 * Registers MR as BAR INDEX (0..5, PCI_ROM_SLOT) with TYPE flags: PCI_BASE_ADDRESS_SPACE_IO, or
 * PCI_BASE_ADDRESS_SPACE_MEMORY | PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH.  A
 * 64-bit BAR takes the next index too.  The size is MR's, a power of two of at least 16 (memory), 4
 * (I/O), 2 KiB (ROM).  In realize only.
 */
void pci_register_bar(PciDevice *dev, unsigned index, uint8_t type, MemoryRegion *mr);

/*
 * The BAR (or ROM) that contains [addr, addr + size) of the MEMORY or I/O space now, or -1;
 * *ret_offset inside it.
 */
int pci_find_bar(PciDevice *dev, bool memory, uint64_t addr, unsigned size, uint64_t *ret_offset);

/*
 * Adds a capability of SIZE bytes in config space; OFFSET 0 chooses.  Returns its offset or 0 with
 * *errp.
 */
uint8_t pci_add_capability(PciDevice *dev, uint8_t cap_id, uint8_t offset, uint8_t size,
                           GError **errp);

/*
 * Drives the function's INTx pin; honours the command register's interrupt disable and the status
 * bit.
 */
void pci_set_irq(PciDevice *dev, int level);

/* Delivers the level anew after the command register's interrupt disable bit changed. */
void pci_update_irq(PciDevice *dev);

static inline void pci_irq_assert(PciDevice *dev) { pci_set_irq(dev, 1); }
static inline void pci_irq_deassert(PciDevice *dev) { pci_set_irq(dev, 0); }

/*
 * Recomputes where the BARs are mapped; after the core's registers were changed by other means than
 * config writes.
 */
void pci_update_mappings(PciDevice *dev);

#endif
