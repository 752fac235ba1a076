/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Recognising image formats that are not raw, so that one is not given to a guest as if it were a disk's contents.
 *
 * Runs in: both.
 *
 * Only asked when the user did not say format=raw.  The magic numbers are in the formats' specifications: QCOW2 and QED
 * (QEMU docs/interop), VMDK 5.0 and VHDX (vendors' published specifications), VDI, VPC/VHD, LUKS on-disk format,
 * Parallels (QEMU docs/interop), cloop and DMG are left out: they are read-only and rare.
 */
#include <string.h>
#include "block/block-int.h"

/* The VDI signature is farthest from the start. */
#define PROBE_BYTES 512

static const struct {
    const char *format;
    size_t offset;
    const char *magic;
    size_t len;
} magics[] = {
    { "qcow", 0, "QFI\xfb\0\0\0\x01", 8 },
    { "qcow2", 0, "QFI\xfb", 4 },
    { "qed", 0, "QED\0", 4 },
    { "vmdk", 0, "KDMV", 4 },
    { "vmdk", 0, "COWD", 4 },
    { "vmdk", 0, "# Disk DescriptorFile", 21 },
    { "vdi", 0x40, "\x7f\x10\xda\xbe", 4 },
    { "vhdx", 0, "vhdxfile", 8 },
    { "vpc", 0, "conectix", 8 },
    { "luks", 0, "LUKS\xba\xbe", 6 },
    { "parallels", 0, "WithoutFreeSpace", 16 },
    { "parallels", 0, "WithouFreSpacExt", 16 },
};

const char *block_probe_format(BlockNode *node)
{
    char buf[PROBE_BYTES];
    ssize_t len;

    while (node->child) {
        node = node->child;
    }
    if (!node->driver->peek) {
        return NULL;
    }
    len = node->driver->peek(node, buf, sizeof(buf));
    for (unsigned i = 0; i < G_N_ELEMENTS(magics); i++) {
        if (len >= (ssize_t)(magics[i].offset + magics[i].len) &&
            !memcmp(buf + magics[i].offset, magics[i].magic, magics[i].len)) {
            return magics[i].format;
        }
    }
    return NULL;
}
