/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: kernel files, as -kernel reads them, and where they would go.
 * Runs in: fuzz target
 *
 * Input: 1 byte, the MiB of RAM (0: 5 GiB); the file.  Checked, besides what the sanitizers see: an image that is taken
 * lies in its file, one that is placed lies in RAM, away from the loader's own pages and from its initrd; who refuses
 * says why in one line.
 */
#include <string.h>

#include "hw/i386/linux-boot.h"
#include "hw/i386/pc.h"

#define MIB UINT64_C(0x100000)
#define INITRD_SIZE (3 * MIB + 1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-linux-image: %s", what);
    }
}

static void check_error(GError **err)
{
    check(*err && (*err)->message[0] && !strchr((*err)->message, '\n'), "an error is no line of text");
    g_clear_error(err);
}

static bool in_ram(const LinuxRam *ram, uint64_t start, uint64_t size)
{
    return (start >= LINUX_KERNEL_MIN && start <= ram->low_end && size <= ram->low_end - start) ||
           (start >= PC_HIGH_RAM_BASE && start <= ram->high_end && size <= ram->high_end - start);
}

static void check_plan(const LinuxImage *image, const LinuxPlan *plan, const LinuxRam *ram)
{
    check(in_ram(ram, plan->initrd, INITRD_SIZE) && plan->initrd + INITRD_SIZE - 1 <= image->initrd_max,
          "the initrd is out of reach");
    for (unsigned i = 0; i < image->segment_count; i++) {
        uint64_t start = image->segments[i].address + plan->move, size = image->segments[i].mem_size;

        check(in_ram(ram, start, size) && start < PC_LOW_RAM_MAX, "a segment is not in RAM");
        check(plan->initrd >= start + size || plan->initrd + INITRD_SIZE <= start, "the initrd lies over the kernel");
    }
    check(in_ram(ram, plan->entry, 1), "the entry is not in RAM");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GError *err = NULL;
    LinuxImage image;
    LinuxPlan plan;
    LinuxRam ram;

    if (size < 1) {
        return 0;
    }
    ram = data[0] ? (LinuxRam) { data[0] * MIB, PC_HIGH_RAM_BASE } :
                    (LinuxRam) { PC_LOW_RAM_MAX, PC_HIGH_RAM_BASE + 2048 * MIB };
    if (!linux_image_parse(data + 1, size - 1, &image, &err)) {
        check_error(&err);
        return 0;
    }
    check(image.segment_count <= LINUX_SEGMENTS_MAX && image.header_size <= sizeof(image.header), "too much was taken");
    for (unsigned i = 0; i < image.segment_count; i++) {
        const LinuxSegment *segment = &image.segments[i];

        check(segment->offset <= size - 1 && segment->file_size <= size - 1 - segment->offset &&
              segment->file_size <= segment->mem_size, "a segment is not in the file");
    }
    if (linux_boot_plan(&image, &ram, INITRD_SIZE, 100, &plan, &err)) {
        check_plan(&image, &plan, &ram);
    } else {
        check_error(&err);
    }
    return 0;
}
