/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot: -kernel, -initrd and -append, without firmware.
 *
 * Thread: main thread, with the machine lock held.  Runs in: mpqemu.
 *
 * Theory of operation.  The files are mapped and looked at once, at the start; what goes where is decided then, too
 * (the plan).  Each reset writes all of it into guest RAM anew while the vCPUs stand, and the boot ROM takes the
 * bootstrap processor from its reset vector to the kernel.  The accelerators know nothing of it.
 *
 * Guest RAM, by physical address:
 *
 *   0x00001000  PVH: hvm_start_info, the module list, the memory map
 *   0x00007000  bzImage: boot_params
 *   0x00009000  bzImage: page tables, the low 4 GiB as they are
 *   0x00020000  the command line
 *   0x00100000  the kernel where it wants to be, mostly 16 MiB; else at its alignment from here on
 *   ...         the initrd, ending as high as the kernel can reach it; above 4 GiB when there is no room below
 *
 * Sources: those of linux-image.h; zero-page.rst for boot_params; xen/include/public/arch-x86/hvm/start_info.h for the
 * layout of hvm_start_info.
 */
#ifndef HW_I386_LINUX_BOOT_H
#define HW_I386_LINUX_BOOT_H

#include "hw/i386/bootrom.h"
#include "hw/i386/e820.h"
#include "hw/i386/linux-image.h"

#define LINUX_START_INFO 0x1000u
#define LINUX_BOOT_PARAMS 0x7000u
#define LINUX_PAGE_TABLES 0x9000u
#define LINUX_CMDLINE 0x20000u
#define LINUX_CMDLINE_MAX 0xffffu /* bytes without the NUL; kernels take 2047 */
#define LINUX_KERNEL_MIN 0x100000u

/* What the kernel may use. */
typedef struct LinuxRam {
    uint64_t low_end;  /* RAM is from 0 to here, but for the VGA window and firmware's place; at most 3 GiB */
    uint64_t high_end; /* RAM is from 4 GiB to here; 4 GiB: none */
} LinuxRam;

/* What goes where. */
typedef struct LinuxPlan {
    uint64_t move;    /* added to the addresses of the image's segments */
    uint64_t entry;   /* guest address */
    uint64_t initrd;  /* its first byte */
} LinuxPlan;

/*
 * Finds the places for IMAGE, an initrd of INITRD_SIZE bytes (0: none) and a command line of CMDLINE_LEN bytes.  The
 * error's text names the option and what would do.
 */
bool linux_boot_plan(const LinuxImage *image, const LinuxRam *ram, uint64_t initrd_size, size_t cmdline_len,
                     LinuxPlan *ret_plan, GError **errp);

typedef struct LinuxBoot LinuxBoot;

/* Opens and plans.  INITRD and CMDLINE may be NULL. */
LinuxBoot *linux_boot_open(const char *kernel, const char *initrd, const char *cmdline, const LinuxRam *ram,
                           GError **errp);
void linux_boot_free(LinuxBoot *boot);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LinuxBoot, linux_boot_free)

/* What the kernel is told besides: MAP's COUNT entries (copied), and where the RSDP is (0: it shall search). */
void linux_boot_set_board(LinuxBoot *boot, const E820Entry *map, unsigned count, uint64_t rsdp);

/* For the boot ROM. */
BootRomParams linux_boot_params(const LinuxBoot *boot);

/* Writes everything into system_memory(); at each reset. */
void linux_boot_load(const LinuxBoot *boot);

#endif
