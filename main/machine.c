/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine types, and the guest's RAM.
 *
 * Runs in: mpqemu.
 */
#include <stdio.h>

#include "accel/accel.h"
#include "hw/core/bus.h"
#include "hw/i386/pc.h"
#include "machine.h"
#include "system/memory.h"
#include "util/error.h"

#define DEFAULT_RAM_SIZE (128ull << 20) /* QEMU's */

/* Backends that make up RAM; 8 is also the most parts a link can carry. */
#define RAM_PARTS_MAX 8

typedef struct MachineType {
    const char *name;
    const char *description;
    bool (*init)(const MainConfig *config, MemoryRegion *ram, uint64_t ram_size, GError **errp);
} MachineType;

/* RAM from address 0 and nothing else. */
static bool none_init(const MainConfig *config, MemoryRegion *ram, uint64_t ram_size, GError **errp)
{
    if (config->kernel || config->bios) {
        error_setg(errp, "%s: -machine none boots nothing; use -machine pc", config->kernel ? "-kernel" : "-bios");
        return false;
    }
    memory_region_add(address_space_root(system_memory()), 0, ram, 0);
    return true;
}

static bool pc_machine_init(const MainConfig *config, MemoryRegion *ram, uint64_t ram_size, GError **errp)
{
    /* Without processors, nobody would run it. */
    const char *firmware = accel_current()->vcpu_init && !config->kernel ? PC_FIRMWARE_DEFAULT : NULL;
    PcConfig pc = {
        .ram = ram,
        .ram_size = ram_size,
        .rtc_base = config->rtc_base,
        .kernel = config->kernel,
        .initrd = config->initrd,
        .append = config->append,
        .bios = config->bios ? config->bios : firmware,
    };

    for (unsigned i = 0; i < config->num_serials; i++) {
        pc.serial_ports |= config->serials[i].chardev ? 1u << i : 0;
    }
    return pc_init(&pc, errp);
}

static const MachineType machine_types[] = {
    { "none", "memory only, no bus", none_init },
    { "pc", "PC with an i440FX-class PCI host bridge and an I/O APIC (default)", pc_machine_init },
};

static const MachineType *find_type(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(machine_types); i++) {
        if (g_str_equal(machine_types[i].name, name)) {
            return &machine_types[i];
        }
    }
    return NULL;
}

bool machine_type_exists(const char *name)
{
    return find_type(name) != NULL;
}

void machine_print_types(void)
{
    printf("Supported machines are:\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(machine_types); i++) {
        printf("%-20s %s\n", machine_types[i].name, machine_types[i].description);
    }
}

/* ---- RAM ------------------------------------------------------------------------------------- */

/* The memory backend ID of OPTION, now in use by the machine; NULL with *errp. */
static MemoryBackend *take_backend(const char *option, const char *id, GError **errp)
{
    QomObject *obj = qom_child(qom_container("/objects"), id);
    MemoryBackend *backend;

    if (!IS_MEMORY_BACKEND(obj)) {
        error_setg(errp, "%s=%s: there is no memory backend of this id; add -object "
                   "memory-backend-memfd,id=%s,size=SIZE", option, id, id);
        return NULL;
    }
    backend = MEMORY_BACKEND(obj);
    if (backend->mapped) {
        error_setg(errp, "%s=%s: the memory backend is in use already; give each node its own",
                   option, id);
        return NULL;
    }
    backend->mapped = true;
    return backend;
}

/* A memory backend as the user could have made it: for RAM without one. */
static bool make_default_backend(uint64_t size, GError **errp)
{
    g_autoptr(Options) opts = options_new("-m");
    g_autofree char *size_text = g_strdup_printf("%" G_GUINT64_FORMAT, size);

    options_set(opts, "qom-type", "memory-backend-memfd");
    options_set(opts, "id", "pc.ram");
    options_set(opts, "size", size_text);
    return user_creatable_add(opts, errp) != NULL;
}

/* Collects the backends that make up RAM; returns their number, 0 with *errp. */
static unsigned collect_backends(const MainConfig *config, MemoryBackend **ret_parts, GError **errp)
{
    unsigned count = config->numa_memdevs->len;

    if (count && config->memory_backend) {
        error_setg(errp, "-machine memory-backend=%s and -numa node,memdev=%s exclude each other; "
                   "leave one out", config->memory_backend,
                   (const char *)config->numa_memdevs->pdata[0]);
        return 0;
    }
    if (count > RAM_PARTS_MAX) {
        error_setg(errp, "-numa: %u nodes; there can be at most %u", count, RAM_PARTS_MAX);
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        ret_parts[i] = take_backend("-numa node,memdev", config->numa_memdevs->pdata[i], errp);
        if (!ret_parts[i]) {
            return 0;
        }
    }
    if (count) {
        return count;
    }
    if (config->memory_backend) {
        ret_parts[0] = take_backend("-machine memory-backend", config->memory_backend, errp);
    } else {
        uint64_t size = config->ram_size ? config->ram_size : DEFAULT_RAM_SIZE;

        ret_parts[0] = make_default_backend(size, errp) ? take_backend("-m", "pc.ram", errp) : NULL;
    }
    return ret_parts[0] ? 1 : 0;
}

/* The region of all RAM; *ret_size bytes.  Lives as long as the program.  NULL with *errp. */
static MemoryRegion *make_ram(const MainConfig *config, uint64_t *ret_size, GError **errp)
{
    static MemoryRegion ram;
    static MemoryRegion parts[RAM_PARTS_MAX];
    MemoryBackend *backends[RAM_PARTS_MAX];
    unsigned count = collect_backends(config, backends, errp);
    uint64_t total = 0;

    if (count == 0) {
        return NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        total += backends[i]->size;
    }
    if (config->ram_size && config->ram_size != total) {
        error_setg(errp, "-m %" G_GUINT64_FORMAT "M: the memory backends have %" G_GUINT64_FORMAT
                   " bytes, RAM %" G_GUINT64_FORMAT "; give both the same size",
                   config->ram_size >> 20, total, config->ram_size);
        return NULL;
    }
    memory_region_init(&ram, NULL, "ram", total);
    *ret_size = total;
    total = 0;
    for (unsigned i = 0; i < count; i++) {
        /* The owner tells a proxy that this is guest memory (hw/proxy/sync.c). */
        memory_region_init_ram(&parts[i], QOM_OBJECT(backends[i]), backends[i]->qom.name,
                               backends[i]->block, 0, backends[i]->size);
        memory_region_add(&ram, total, &parts[i], 0);
        total += backends[i]->size;
    }
    return &ram;
}

/* ---- machine --------------------------------------------------------------------------------- */

/* Processors have no properties, but a place in the tree, which query-cpus-fast tells. */
static bool make_vcpus(const VcpuTopology *topology, GError **errp)
{
    if (!vcpus_create(topology, errp)) {
        return false;
    }
    for (unsigned i = 0; i < vcpu_count(); i++) {
        g_autofree char *path = g_strdup_printf("/machine/cpu[%u]", i);

        qom_container(path);
    }
    return true;
}

bool machine_create(const MainConfig *config, GError **errp)
{
    uint64_t ram_size;
    MemoryRegion *ram = make_ram(config, &ram_size, errp);

    /* RAM and processors first: the board connects them. */
    return ram && accel_init(config->cpu_model, errp) && make_vcpus(&config->cpus, errp) &&
           find_type(config->machine)->init(config, ram, ram_size, errp);
}

/* The board's own stay: a vCPU may still be on its way to one of their registers. */
void machine_destroy_devices(void)
{
    Bus *bus = bus_find("pci.0");
    guint i = bus ? bus->devices->len : 0;

    while (i > 0) {
        Device *dev = bus->devices->pdata[--i];

        if (DEVICE_GET_CLASS(dev)->hotpluggable) {
            device_unrealize(dev); /* takes along what is on buses below it */
            i = MIN(i, bus->devices->len);
        }
    }
}
