/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: a PCI device against any guest.
 * Runs in: fuzz target
 *
 * One function of any PCI type (environment MPQEMU_FUZZ_DEVICE, default lsi53c895a) on a bus with guest RAM, read-only
 * memory, and, when it has a SCSI bus, two disks and a CD whose images are in memory and whose requests end when the
 * input says so.  The input is what guest, user and host do (fuzz-device.h).  The machine is made once; each input
 * finds the function reset and mapped, its disks plugged and empty.
 *
 * Checked, besides what the sanitizers see, at the end of each input: once the host's requests have ended and the
 * function was reset, nothing is under way any more (DMA, requests, interrupt), it looks as it did after its first
 * reset, and the read-only memory is what it was.
 */
#include "fuzz-device.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include "../unit/pci-rig.h"
#include "../unit/scsi-fake-block.h"
#include "hw/scsi/lsi53c895a.h"
#include "system/runstate.h"

#define RAM_SIZE (64u * 1024)
#define ROM_ADDR 0x20000u
#define ROM_SIZE 4096u
#define ROM_BYTE 0x5a
#define NOWHERE 0x40000000u
#define HIGH_ADDR (UINT64_C(1) << 32) /* RAM again, for 64-bit addresses */
#define REGS_MAX 64u
#define DISK_BYTES (128u * 512)
#define CLOCK_MAX_US 10000000u
/* A turn may last as long as the device lets a guest's endless program run; so the turns of an input are bounded. */
#define TURNS_MAX 32u
/* These take a hundred times as long as a register access. */
#define PLUGS_MAX 2u

/* The disks of a device with a SCSI bus; their drives are called alike. */
static const struct {
    const char *id, *options;
} disks[] = {
    { "d0", "scsi-hd,id=d0,drive=d0,scsi-id=0" },
    { "d1", "scsi-hd,id=d1,drive=d1,scsi-id=2,lun=3,logical_block_size=2048,rerror=stop,werror=stop" },
    { "d2", "scsi-cd,id=d2,drive=d2,scsi-id=5" },
};
#define DISKS G_N_ELEMENTS(disks)

static struct {
    PciRig rig;
    GType type;
    const FuzzHints *hints;
    bool has_scsi;
    MemoryRegion rom_region, high_region;
    RamBlock *rom;
    BlockBackend *drives[DISKS];
    uint8_t fresh_config[PCIE_CONFIG_SIZE]; /* of the function after a reset ... */
    uint64_t fresh_regs[REGS_MAX];          /* ... and the first registers of its first BAR */
    uint8_t fresh_ram[RAM_SIZE];
    uint8_t fresh_rom[ROM_SIZE];
    /* Of this input. */
    uint64_t program;      /* where the next word of a program goes */
    unsigned turns, plugs; /* so far */
} fuzz;

typedef struct Record {
    uint8_t sel;
    uint16_t off;
    uint32_t value;
} Record;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* Nothing here waits for a descriptor, deferred calls and timers are all there is; so the kernel need not be asked. */
int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
    return 0;
}

static void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-device: %s", what);
    }
}

/* ---- the machine ------------------------------------------------------------------------------------------------- */

static void plug_disk(unsigned i)
{
    g_autoptr(Options) opts = options_parse("-device", disks[i].options, "driver", NULL);
    GError *error = NULL;

    if (!device_add(opts, &error)) {
        g_error("%s", error->message);
    }
}

/* What is plugged has no attention to tell: its first command does what it says. */
static void plug_disks(void)
{
    for (unsigned i = 0; fuzz.has_scsi && i < DISKS; i++) {
        Device *dev = device_find(disks[i].id);

        if (!dev) {
            plug_disk(i);
            dev = device_find(disks[i].id);
        }
        SCSI_DEVICE(dev)->attention_count = 0;
    }
}

static void reset_drives(void)
{
    for (unsigned i = 0; i < DISKS; i++) {
        BlockBackend *blk = fuzz.drives[i];

        blk->hold = true;
        blk->late_cancel = false;
        blk->read_only = i == 2;
        blk->wce = true;
        blk->locked = false;
        if (blk->length != DISK_BYTES) {
            fake_set_medium(blk, DISK_BYTES);
        }
        if (blk->writes + blk->zeroes + blk->discards > 0) {
            memset(blk->data, 0, DISK_BYTES);
            blk->writes = blk->zeroes = blk->discards = 0;
        }
    }
}

static void make_memory(void)
{
    GError *error = NULL;

    for (unsigned i = 0; i < RAM_SIZE; i += 4) {
        pci_set_long(fuzz.fresh_ram + i, fuzz.hints->fill);
    }
    fuzz.rom = ram_block_new_memfd("rom", ROM_SIZE, true, &error);
    g_assert_no_error(error);
    memset(fuzz.fresh_rom, ROM_BYTE, ROM_SIZE);
    memcpy(fuzz.rom->host, fuzz.fresh_rom, ROM_SIZE);
    memory_region_init_rom(&fuzz.rom_region, NULL, "rom", fuzz.rom, 0, ROM_SIZE);
    memory_region_add(&fuzz.rig.root_mem, ROM_ADDR, &fuzz.rom_region, 0);
    memory_region_init_alias(&fuzz.high_region, NULL, "high", &fuzz.rig.ram_region, 0, RAM_SIZE);
    memory_region_add(&fuzz.rig.root_mem, HIGH_ADDR, &fuzz.high_region, 0);
}

/* ---- addresses --------------------------------------------------------------------------------------------------- */

/* The BAR number N that there is, cyclically; NULL: the function has none. */
static PciBar *bar_of(unsigned n)
{
    PciBar *found[PCI_NUM_REGIONS];
    unsigned num = 0;

    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        if (fuzz.rig.dev->bars[i].size > 0) {
            found[num++] = &fuzz.rig.dev->bars[i];
        }
    }
    return num ? found[n % num] : NULL;
}

/* KIND's low three bits and OFFSET as fuzz-device.h says; a BAR that is not mapped is nowhere. */
static uint64_t address(unsigned kind, uint32_t offset)
{
    const PciBar *bar;

    switch (kind % 8) {
    case 0:
    case 1:
        return offset % RAM_SIZE;
    case 2:
        return ROM_ADDR + offset % ROM_SIZE;
    case 3:
        return NOWHERE + offset;
    case 7:
        return (uint64_t)offset << 8;
    default:
        bar = bar_of(kind % 8 - 4);
        return bar && bar->addr != PCI_BAR_UNMAPPED ? bar->addr + offset % bar->size : NOWHERE;
    }
}

static uint64_t value_address(uint32_t value)
{
    return address(value >> 24, value & 0xffffff);
}

/* The register that R names; false: its BAR is not mapped. */
static bool find_register(const Record *r, AddressSpace **ret_as, uint64_t *ret_addr, unsigned *ret_size)
{
    const PciBar *bar = bar_of(r->sel % 8);

    if (!bar || bar->addr == PCI_BAR_UNMAPPED) {
        return false;
    }
    *ret_as = bar->type & PCI_BASE_ADDRESS_SPACE_IO ? fuzz.rig.io : fuzz.rig.mem;
    *ret_addr = bar->addr + r->off % bar->size;
    *ret_size = 1u << (r->sel >> 4) % 4;
    return true;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

static void op_config_read(const Record *r)
{
    uint32_t value;

    pci_config_read(fuzz.rig.dev, r->off % 512, &value, r->sel % 8);
}

static void op_config_write(const Record *r)
{
    pci_config_write(fuzz.rig.dev, r->off % 512, r->value, r->sel % 8);
}

static void op_reg_read(const Record *r)
{
    AddressSpace *as;
    uint64_t addr, value;
    unsigned size;

    if (find_register(r, &as, &addr, &size)) {
        address_space_read(as, addr, &value, size);
    }
}

static void reg_write(const Record *r, uint64_t value)
{
    AddressSpace *as;
    uint64_t addr;
    unsigned size;

    if (find_register(r, &as, &addr, &size)) {
        address_space_write(as, addr, value, size);
    }
}

static void op_reg_write(const Record *r)
{
    reg_write(r, r->value | (uint64_t)r->value << 32);
}

static void op_reg_address(const Record *r)
{
    const Record dword = { .sel = (uint8_t)(r->sel % 8 | 2 << 4), .off = r->off };

    reg_write(&dword, value_address(r->value));
}

static void op_reg_ack(const Record *r)
{
    AddressSpace *as;
    uint64_t addr, value;
    unsigned size;

    if (find_register(r, &as, &addr, &size)) {
        address_space_read(as, addr, &value, size);
        address_space_write(as, addr, value, size);
    }
}

/* The guest's CPU writes a dword. */
static void mem_write32(uint64_t addr, uint32_t value)
{
    address_space_write(fuzz.rig.mem, addr, value, 4);
}

static void op_mem_write(const Record *r)
{
    mem_write32(address(r->sel, r->off), r->value);
}

static void op_mem_address(const Record *r)
{
    mem_write32(address(r->sel, r->off), (uint32_t)value_address(r->value));
}

static void op_mem_read(const Record *r)
{
    uint64_t value;

    address_space_read(fuzz.rig.mem, address(r->sel, r->off), &value, 1u << r->value % 4);
}

static void op_program_at(const Record *r)
{
    fuzz.program = value_address(r->value);
}

static void op_program(const Record *r)
{
    mem_write32(fuzz.program, fuzz.hints->words[r->sel % fuzz.hints->num] ^ r->off);
    mem_write32(fuzz.program + 4, (uint32_t)value_address(r->value));
    fuzz.program += 8;
}

static void op_cdb(const Record *r)
{
    uint8_t cdb[16];

    fuzz_scsi_cdb(r->sel, (uint16_t)r->value, (uint16_t)(r->value >> 16), cdb);
    address_space_copy_to(fuzz.rig.mem, address(0, r->off), cdb, sizeof(cdb), false);
}

static void op_turn(const Record *r)
{
    for (unsigned i = 0; i <= r->sel % 8u && fuzz.turns < TURNS_MAX; i++, fuzz.turns++) {
        if (!event_loop_turn(event_loop_main(), false)) {
            break;
        }
    }
}

static void op_complete(const Record *r)
{
    static const int errors[] = { 0, 0, 0, EIO, ENOSPC, ENOMEDIUM, ECANCELED, EROFS };

    fake_complete(fuzz.drives[r->sel % DISKS], r->off, errors[r->value % G_N_ELEMENTS(errors)]);
}

static void op_drive_mode(const Record *r)
{
    BlockBackend *blk = fuzz.drives[r->sel % DISKS];

    blk->hold = !(r->off & 1);
    blk->late_cancel = r->off & 2;
    blk->no_discard = r->off & 4;
}

static void op_clock(const Record *r)
{
    event_clock_step(event_loop_main(), (int64_t)(r->value % CLOCK_MAX_US) * 1000);
}

static void op_reset(const Record *r)
{
    device_reset(&fuzz.rig.dev->dev);
}

static void op_map(const Record *r)
{
    pci_rig_map(&fuzz.rig);
}

/* The block layer takes a medium away only when nothing of it is under way. */
static void op_medium(const Record *r)
{
    BlockBackend *blk = fuzz.drives[r->sel % DISKS];

    if (blk->in_flight == 0) {
        fake_set_medium(blk, r->off % (DISK_BYTES / 512 + 1) * 512u);
    }
}

static void op_tray(const Record *r)
{
    const BlockBackend *blk = fuzz.drives[r->sel % DISKS];

    if (blk->tray) {
        (r->off % 2 ? blk->tray->open : blk->tray->request)(blk->tray_opaque);
    }
}

static void op_run(const Record *r)
{
    if (r->off % 2) {
        vm_start();
    } else {
        vm_stop(RUN_STATE_PAUSED);
    }
}

static void op_plug(const Record *r)
{
    unsigned i = r->sel % DISKS;
    Device *dev = device_find(disks[i].id);

    if (!fuzz.has_scsi || fuzz.plugs++ >= PLUGS_MAX) {
        return;
    }
    if (dev) {
        device_unplugged(dev);
    } else if (fuzz.drives[i]->length >= 2048) {
        plug_disk(i);
    }
}

static void replug(void)
{
    pci_rig_unplug(&fuzz.rig);
    reset_drives();
    pci_rig_plug(&fuzz.rig, fuzz.type);
    plug_disks();
}

static void op_replug(const Record *r)
{
    if (fuzz.plugs++ < PLUGS_MAX) {
        replug();
    }
}

static void (*const ops[FUZZ_OPS])(const Record *r) = {
    [FUZZ_CONFIG_READ] = op_config_read, [FUZZ_CONFIG_WRITE] = op_config_write,
    [FUZZ_REG_READ] = op_reg_read,       [FUZZ_REG_WRITE] = op_reg_write,
    [FUZZ_REG_ADDRESS] = op_reg_address, [FUZZ_REG_ACK] = op_reg_ack,
    [FUZZ_MEM_WRITE] = op_mem_write,     [FUZZ_MEM_ADDRESS] = op_mem_address,
    [FUZZ_MEM_READ] = op_mem_read,       [FUZZ_PROGRAM_AT] = op_program_at,
    [FUZZ_PROGRAM] = op_program,         [FUZZ_CDB] = op_cdb,
    [FUZZ_TURN] = op_turn,               [FUZZ_COMPLETE] = op_complete,
    [FUZZ_DRIVE_MODE] = op_drive_mode,   [FUZZ_CLOCK] = op_clock,
    [FUZZ_RESET] = op_reset,             [FUZZ_MAP] = op_map,
    [FUZZ_MEDIUM] = op_medium,           [FUZZ_TRAY] = op_tray,
    [FUZZ_RUN] = op_run,                 [FUZZ_PLUG] = op_plug,
    [FUZZ_REPLUG] = op_replug,
};

/* ---- one input --------------------------------------------------------------------------------------------------- */

/* The first dwords of the first BAR, mapped or not. */
static void read_registers(uint64_t *ret_values)
{
    const PciBar *bar = bar_of(0);

    for (unsigned i = 0; bar && i < REGS_MAX && 4 * i < bar->size; i++) {
        memory_region_read(bar->mr, 4 * i, &ret_values[i], 4);
    }
}

static void check_bus(Bus *bus, void *opaque)
{
    check(SCSI_BUS(bus)->live_requests == 0, "requests live after a reset");
}

/* The host ends what is under way, the machine goes on, the function is reset. */
static void finish(void)
{
    PciDevice *dev = fuzz.rig.dev;
    uint64_t regs[REGS_MAX] = { 0 };

    vm_start();
    for (unsigned i = 0; i < DISKS; i++) {
        while (fake_complete(fuzz.drives[i], 0, 0)) {
            continue;
        }
    }
    device_reset(&dev->dev);
    for (unsigned i = 0; i < DISKS; i++) {
        check(blk_drain(fuzz.drives[i], 0), "a request does not end");
    }
    pci_rig_settle();
    check(!event_loop_turn(event_loop_main(), false), "the event loop does not come to rest after a reset");
    check(dev->dma.mapped == 0, "guest memory still lent after a reset");
    check(fuzz.rig.irq == 0, "interrupt asserted after a reset");
    check(memcmp(fuzz.fresh_config, dev->config, dev->config_size) == 0, "config space differs after a reset");
    read_registers(regs);
    check(memcmp(fuzz.fresh_regs, regs, sizeof(regs)) == 0, "registers differ after a reset");
    bus_foreach(TYPE_SCSI_BUS, check_bus, NULL);
    check(memcmp(fuzz.fresh_rom, fuzz.rom->host, ROM_SIZE) == 0, "read-only memory was written");
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    GType (*const types[])(void) = { lsi53c895a_get_type, scsi_hd_get_type, scsi_cd_get_type, NULL };
    const char *name = g_getenv("MPQEMU_FUZZ_DEVICE");
    bool any;

    name = name ? name : TYPE_LSI53C895A_NAME;
    qom_register_types(types);
    fuzz.type = qom_type_by_name(name);
    if (!fuzz.type || !g_type_is_a(fuzz.type, TYPE_PCI_DEVICE)) {
        fprintf(stderr, "fuzz-device: MPQEMU_FUZZ_DEVICE=%s is no PCI device of this program\n", name);
        exit(EXIT_FAILURE);
    }
    fuzz.hints = fuzz_hints(name);
    event_clock_set_manual();
    pci_rig_init(&fuzz.rig, RAM_SIZE);
    make_memory();
    for (unsigned i = 0; i < DISKS; i++) {
        fuzz.drives[i] = fake_drive(disks[i].id, DISK_BYTES);
    }
    pci_rig_plug(&fuzz.rig, fuzz.type);
    bus_find_by_type(TYPE_SCSI_BUS, &any);
    fuzz.has_scsi = any;
    plug_disks();
    pci_rig_settle();
    device_reset(&fuzz.rig.dev->dev);
    memcpy(fuzz.fresh_config, fuzz.rig.dev->config, fuzz.rig.dev->config_size);
    read_registers(fuzz.fresh_regs);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memcpy(fuzz.rig.ram, fuzz.fresh_ram, RAM_SIZE);
    fuzz.program = 0;
    fuzz.turns = fuzz.plugs = 0;
    reset_drives();
    plug_disks();
    pci_rig_settle();
    pci_rig_map(&fuzz.rig);
    for (unsigned i = 0; i < MIN(size / FUZZ_RECORD, FUZZ_RECORDS_MAX); i++, data += FUZZ_RECORD) {
        const Record r = { data[1], pci_get_word(data + 2), pci_get_long(data + 4) };

        ops[data[0] % FUZZ_OPS](&r);
    }
    finish();
    return 0;
}
