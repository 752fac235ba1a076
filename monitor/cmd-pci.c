/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP command query-pci.
 *
 * Runs in: both programs.
 *
 * It tells what the registers of this process say and asks nobody else: a proxy whose remote is slow or dead is
 * listed as ever.
 */
#include "hw/pci/pci.h"
#include "monitor/commands-int.h"

static JsonObject *describe_bar(const PciBar *bar, unsigned index)
{
    bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
    JsonObject *region = json_object_new();

    json_object_set_int_member(region, "bar", index);
    json_object_set_string_member(region, "type", io ? "io" : "memory");
    /* -1: not mapped */
    json_object_set_int_member(region, "address", bar->addr == PCI_BAR_UNMAPPED ? -1 : (int64_t)bar->addr);
    json_object_set_int_member(region, "size", (int64_t)bar->size);
    if (!io) {
        json_object_set_boolean_member(region, "prefetch", (bar->type & PCI_BASE_ADDRESS_MEM_PREFETCH) != 0);
        json_object_set_boolean_member(region, "mem_type_64", (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64) != 0);
    }
    return region;
}

static JsonArray *describe_bars(const PciDevice *dev)
{
    JsonArray *regions = json_array_new();

    for (unsigned i = 0; i < PCI_NUM_REGIONS; i++) {
        if (dev->bars[i].size) {
            json_array_add_object_element(regions, describe_bar(&dev->bars[i], i));
        }
    }
    return regions;
}

static JsonObject *describe_class(const PciFunctionInfo *info)
{
    JsonObject *object = json_object_new();

    json_object_set_int_member(object, "class", info->class_code);
    if (info->class_name) {
        json_object_set_string_member(object, "desc", info->class_name);
    }
    return object;
}

static JsonObject *describe_ids(const PciFunctionInfo *info)
{
    JsonObject *object = json_object_new();

    json_object_set_int_member(object, "vendor", info->vendor_id);
    json_object_set_int_member(object, "device", info->device_id);
    json_object_set_int_member(object, "subsystem-vendor", info->subsystem_vendor_id);
    json_object_set_int_member(object, "subsystem", info->subsystem_id);
    return object;
}

static JsonObject *describe_function(PciDevice *dev)
{
    JsonObject *function = json_object_new();
    PciFunctionInfo info;

    pci_device_info(dev, &info);
    json_object_set_int_member(function, "bus", 0);
    json_object_set_int_member(function, "slot", PCI_SLOT_OF(dev->devfn));
    json_object_set_int_member(function, "function", PCI_FUNC_OF(dev->devfn));
    json_object_set_object_member(function, "class_info", describe_class(&info));
    json_object_set_object_member(function, "id", describe_ids(&info));
    json_object_set_int_member(function, "irq_pin", info.irq_pin);
    if (info.irq_pin) {
        json_object_set_int_member(function, "irq", info.irq_line);
    }
    json_object_set_string_member(function, "qdev_id", dev->dev.id ? dev->dev.id : "");
    json_object_set_array_member(function, "regions", describe_bars(dev));
    return function;
}

static void describe_bus(Bus *base, void *opaque)
{
    PciBus *bus = PCI_BUS(base);
    JsonObject *entry = json_object_new();
    JsonArray *functions = json_array_new();

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(bus, (uint8_t)devfn);

        if (dev && dev->dev.realized) {
            json_array_add_object_element(functions, describe_function(dev));
        }
    }
    json_object_set_int_member(entry, "bus", 0); /* root buses are all there is */
    json_object_set_array_member(entry, "devices", functions);
    json_array_add_object_element(opaque, entry);
}

static bool cmd_query_pci(QmpCall *call, JsonObject *args, JsonNode **ret_value, GError **errp)
{
    JsonArray *buses = json_array_new();

    bus_foreach(TYPE_PCI_BUS, describe_bus, buses);
    *ret_value = node_take_array(buses);
    return true;
}

const QmpCommandImpl pci_commands[] = {
    { "query-pci", cmd_query_pci },
    { NULL },
};
