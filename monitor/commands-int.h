/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of QMP handlers share.
 * Thread: main loop with the machine lock held.  Runs in: both programs.
 */
#ifndef MONITOR_COMMANDS_INT_H
#define MONITOR_COMMANDS_INT_H

#include "monitor/monitor.h"

/* Nodes of the caller's that take OBJECT or ARRAY. */
static inline JsonNode *node_take_object(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    return node;
}

static inline JsonNode *node_take_array(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);

    json_node_take_array(node, array);
    return node;
}

/* Tables of the files behind qmp_register_objects(). */
extern const QmpCommandImpl qom_commands[];
extern const QmpCommandImpl device_commands[];
extern const QmpCommandImpl pci_commands[];

#endif
