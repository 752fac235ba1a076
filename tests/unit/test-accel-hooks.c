/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a migration and a doorbell need of the real accelerators: dirty logs and eventfds, with guest code that runs on
 * emu and, where there is /dev/kvm, on kvm.  The guest is in real mode, which every KVM runs.
 *
 * The guest asks port COMMAND what to do, a step of the test's script; whatever the test does between two steps it does
 * in that access, on the vCPU's thread, while the guest is in the middle of its program.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "accel/emu.h"
#include "accel/kvm.h"
#include "accel/kvm/kvm-int.h"
#include "system/dirty-log.h"
#include "system/memory.h"
#include "system/reset.h"
#include "util/fd.h"
#include "util/machine-lock.h"

#define PAGES 256u /* of RAM from 0 on */
#define RAM_SIZE (PAGES * DIRTY_PAGE)
#define AP_PAGE 0xe0u /* the code again, where the second processor begins */
#define ROM_BASE 0xffff0000u
#define ROM_SIZE 0x10000u
#define MMIO_BASE 0xc0000u
#define COMMAND 0x81u
#define BASE 0x84u
#define DOORBELL 0x90u
#define WAIT_US (20 * G_USEC_PER_SEC)

/* What AL of a command says; AH is the page. */
enum { WRITE, WRITE_ACROSS, READ, FILL, PORT_WRITE, MMIO_WRITE, STOP, HAMMER };

extern const uint8_t guest[], guest_end[];
__asm__(".pushsection .rodata\n"
        ".code16\n"
        "guest:\n"
        "1:  inw $0x81, %ax\n"
        "    movb %al, %bl\n"
        "    movb %ah, %al\n"
        "    xorb %ah, %ah\n"
        "    shlw $8, %ax\n"
        "    movw %ax, %es\n"
        "    cmpb $0, %bl; je 10f\n"
        "    cmpb $1, %bl; je 11f\n"
        "    cmpb $2, %bl; je 12f\n"
        "    cmpb $3, %bl; je 13f\n"
        "    cmpb $4, %bl; je 14f\n"
        "    cmpb $5, %bl; je 15f\n"
        "    cmpb $7, %bl; je 17f\n"
        "    hlt\n"
        "10: movb $1, %es:0x123; jmp 1b\n"
        "11: movw $0x101, %es:0xfff; jmp 1b\n"
        "12: movb %es:0x123, %al; jmp 1b\n"
        "13: movw $0x3000, %cx; xorw %di, %di; cld; rep stosb; jmp 1b\n" /* three pages */
        "14: movw $0xabcd, %ax; outw %ax, $0x90; jmp 1b\n"
        "15: movw $0xc000, %ax; movw %ax, %es; movl $0x12345678, %es:0x40; jmp 1b\n"
        /* Words of 64 KiB in an order that looks random, for ever. */
        "17: inw $0x84, %ax; movw %ax, %es\n"
        "18: imulw $25173, %si, %si; addw $13849, %si; movw %si, %di; andw $0xfffe, %di\n"
        "    incw %es:(%di); jmp 18b\n"
        "guest_end:\n"
        ".code64\n"
        ".popsection");

/* One step of a script: COMMAND's answer, and what is done before the guest gets it. */
typedef struct Step {
    void (*act)(const char *text); /* may be NULL */
    const char *text;
    uint8_t command, page;
} Step;

static const Accel *accel;
static MemoryRegion ram, rom, command_port, base_port, doorbell_port, mmio;
static const Step *step; /* the next one */
static bool done;        /* the guest stops; atomic */
static DirtyLog *dirty_log;
static unsigned port_writes, mmio_writes; /* that came to the device */
static unsigned dispatched;               /* writes to the doorbells that came to the memory dispatch */
static bool refuse_eventfds;
static unsigned bases;                    /* vCPUs that hammer; atomic */

/* KVM's kernel part does not come here, which nothing else tells. */
MemResult __real_address_space_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size);
MemResult __wrap_address_space_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size);
MemResult __wrap_address_space_write(AddressSpace *as, hwaddr addr, uint64_t value, unsigned size)
{
    if (as == system_io() ? addr == DOORBELL : addr - MMIO_BASE < 0x1000) {
        dispatched++;
    }
    return __real_address_space_write(as, addr, value, size);
}

/* By which KVM's exits of MMIO come; the other one is called from here without being seen. */
MemResult __real_address_space_copy_to(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len, bool ram_only);
MemResult __wrap_address_space_copy_to(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len, bool ram_only);
MemResult __wrap_address_space_copy_to(AddressSpace *as, hwaddr addr, const void *buf, uint64_t len, bool ram_only)
{
    if (addr - MMIO_BASE < 0x1000) {
        dispatched++;
    }
    return __real_address_space_copy_to(as, addr, buf, len, ram_only);
}

/* A kernel without room. */
int __real_kvm_ioctl(int fd, unsigned long request, const void *arg);
int __wrap_kvm_ioctl(int fd, unsigned long request, const void *arg);
int __wrap_kvm_ioctl(int fd, unsigned long request, const void *arg)
{
    if (request == KVM_IOEVENTFD && refuse_eventfds) {
        return -ENOSPC;
    }
    return __real_kvm_ioctl(fd, request, arg);
}

static MemResult command_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    if (step->act) {
        step->act(step->text);
    }
    *ret_value = step->command | (unsigned)step->page << 8;
    if (step->command == STOP) {
        __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    } else {
        step++;
    }
    return MEM_OK;
}

static MemResult base_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0x1000 * (1 + vcpu_current()->index);
    __atomic_fetch_add(&bases, 1, __ATOMIC_RELEASE);
    return MEM_OK;
}

static MemResult no_read(void *opaque, hwaddr addr, uint64_t *ret_value, unsigned size)
{
    *ret_value = 0;
    return MEM_OK;
}

static MemResult count_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    ++*(unsigned *)opaque;
    return MEM_OK;
}

static const MemoryRegionOps command_ops = { command_read, count_write, .unaligned = true };
static const MemoryRegionOps base_ops = { base_read, count_write, .unaligned = true };
static const MemoryRegionOps device_ops = { no_read, count_write };

static void put_code(RamBlock *block, uint64_t offset)
{
    memcpy(block->host + offset, guest, (uintptr_t)guest_end - (uintptr_t)guest);
}

/* False: ACCEL cannot be had here; the test is skipped. */
static bool setup(const Accel *which, unsigned cpus)
{
    MemoryRegion *memory = address_space_root(system_memory());
    MemoryRegion *io = address_space_root(system_io());
    RamBlock *block;
    GError *error = NULL;

    if (!which->open(true, &error)) {
        g_test_skip(error->message);
        g_error_free(error);
        return false;
    }
    accel = which;
    accel_set_current(which);
    block = ram_block_new_memfd("ram", RAM_SIZE, true, NULL);
    put_code(block, AP_PAGE * DIRTY_PAGE);
    memory_region_init_ram(&ram, NULL, "ram", block, 0, RAM_SIZE);
    ram_block_unref(block);
    block = ram_block_new_memfd("rom", ROM_SIZE, true, NULL);
    put_code(block, 0);
    memcpy(block->host + 0xfff0, (const uint8_t[]) { 0xe9, 0x0d, 0x00 }, 3); /* jmp 0 */
    memory_region_init_rom(&rom, NULL, "rom", block, 0, ROM_SIZE);
    ram_block_unref(block);
    memory_region_init_io(&mmio, NULL, &device_ops, &mmio_writes, "mmio", 0x1000);
    memory_region_init_io(&command_port, NULL, &command_ops, NULL, "command", 2);
    memory_region_init_io(&base_port, NULL, &base_ops, NULL, "base", 2);
    memory_region_init_io(&doorbell_port, NULL, &device_ops, &port_writes, "doorbell", 2);
    if (!which->init(NULL, &error)) {
        g_error("%s", error->message);
    }
    g_assert_true(vcpus_create(&(VcpuTopology){ 1, cpus, 1 }, NULL));
    memory_region_add(memory, 0, &ram, 0);
    memory_region_add(memory, ROM_BASE, &rom, 0);
    memory_region_add(memory, MMIO_BASE, &mmio, 1);
    memory_region_add(io, COMMAND, &command_port, 1);
    memory_region_add(io, BASE, &base_port, 1);
    memory_region_add(io, DOORBELL, &doorbell_port, 0);
    g_assert_true(vcpus_start(NULL));
    done = false;
    port_writes = mmio_writes = dispatched = bases = 0;
    return true;
}

static void teardown(void)
{
    vm_stop(RUN_STATE_PAUSED);
    vcpus_destroy();
    dirty_log_stop(g_steal_pointer(&dirty_log));
    memory_region_destroy(&ram);
    memory_region_destroy(&rom);
    memory_region_destroy(&mmio);
    memory_region_destroy(&command_port);
    memory_region_destroy(&base_port);
    memory_region_destroy(&doorbell_port);
    accel->cleanup();
}

/* Waits without the machine lock until *WHAT is at least VALUE. */
static void wait_for(const unsigned *what, unsigned value)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;

    machine_unlock();
    while (__atomic_load_n(what, __ATOMIC_ACQUIRE) < value) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
    machine_lock();
}

static void run(const Step *steps)
{
    gint64 end_us = g_get_monotonic_time() + WAIT_US;

    step = steps;
    system_reset();
    vm_start();
    machine_unlock();
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end_us);
        g_usleep(1000);
    }
    machine_lock();
}

/* ---- dirty logs ------------------------------------------------------------------------------------------------ */

static void start_log(const char *text)
{
    dirty_log = dirty_log_start(ram.ram);
}

static void stop_log(const char *text)
{
    dirty_log_stop(g_steal_pointer(&dirty_log));
}

static void told(const char *text)
{
    uint64_t bits[PAGES / 64];
    g_autoptr(GString) pages = g_string_new(NULL);

    dirty_log_take(dirty_log, bits);
    for (unsigned i = 0; i < PAGES; i++) {
        if (bits[i / 64] >> (i % 64) & 1) {
            g_string_append_printf(pages, "%s%x", pages->len ? " " : "", i);
        }
    }
    g_assert_cmpstr(pages->str, ==, text);
}

/* The second half of RAM goes, and its slot with it; and comes back. */
static void hide_ram(const char *text)
{
    memory_region_set_enabled(&ram, false);
}

static void show_ram(const char *text)
{
    memory_region_set_enabled(&ram, true);
}

static void own_write(const char *text)
{
    address_space_write(system_memory(), 0x30 * DIRTY_PAGE, 1, 4);
}

static void test_running_guest_is_logged(gconstpointer which)
{
    static const Step steps[] = {
        { NULL, NULL, WRITE, 0x10 },
        { NULL, NULL, WRITE, 0x11 },
        { start_log, NULL, READ, 0x10 },
        { told, "", WRITE, 0x10 },
        { told, "10", WRITE, 0x10 }, /* again */
        { told, "10", WRITE, 0x11 },
        { NULL, NULL, WRITE, 0x12 },
        { NULL, NULL, WRITE, 0x11 },
        { told, "11 12", READ, 0x11 },
        { told, "", WRITE_ACROSS, 0x20 },
        { told, "20 21", FILL, 0x22 },
        { told, "22 23 24", WRITE, 0x10 },
        { own_write, NULL, READ, 0x10 },
        { told, "10 30", WRITE, 0x13 },
        { hide_ram, NULL, WRITE, 0x14 }, /* to nothing */
        { show_ram, NULL, WRITE, 0x15 },
        { told, "13 15", WRITE, 0x16 },
        { stop_log, NULL, WRITE, 0x17 },
        { start_log, NULL, WRITE, 0x18 },
        { told, "18", STOP, 0 },
    };

    if (setup(which, 1)) {
        run(steps);
        teardown();
    }
}

/* Copying pages while the guest writes them is a race by intent, not for ThreadSanitizer: it sees the rest. */
#ifdef __SANITIZE_THREAD__
#define COPIES false
#else
#define COPIES true
#endif

/*
 * The copy that a migration would make: of all at the start, then again and again of what was written meanwhile, at
 * last when the guest stands.  It is the guest's memory.
 */
static void test_copy_follows_a_running_guest(gconstpointer which)
{
    static const Step steps[] = { { NULL, NULL, HAMMER, 0 }, { NULL, NULL, HAMMER, 0 } };
    g_autofree uint8_t *copy = g_malloc(RAM_SIZE);
    g_autofree uint8_t *memory = g_malloc(RAM_SIZE);
    const unsigned cpus = which == &emu_accel ? 2 : 1; /* KVM's second one waits for an APIC's message */
    unsigned told_pages = 0;

    if (!setup(which, cpus)) {
        return;
    }
    step = steps;
    system_reset();
    vm_start();
    if (cpus == 2) {
        vcpu_sipi(vcpu_get(1), AP_PAGE);
    }
    wait_for(&bases, cpus);
    dirty_log = dirty_log_start(ram.ram);
    if (COPIES) {
        address_space_copy_from(system_memory(), 0, copy, RAM_SIZE, true);
    }
    for (unsigned round = 0; round < 100; round++) {
        uint64_t bits[PAGES / 64];

        machine_unlock();
        g_usleep(500);
        machine_lock();
        if (round == 99) {
            vm_stop(RUN_STATE_PAUSED);
        }
        told_pages += dirty_log_take(dirty_log, bits);
        for (unsigned i = 0; i < PAGES; i++) {
            if (COPIES && (bits[i / 64] >> (i % 64) & 1)) {
                address_space_copy_from(system_memory(), i * DIRTY_PAGE, copy + i * DIRTY_PAGE, DIRTY_PAGE, true);
            }
        }
    }
    address_space_copy_from(system_memory(), 0, memory, RAM_SIZE, true);
    if (COPIES) {
        g_assert_cmpmem(copy, RAM_SIZE, memory, RAM_SIZE);
    }
    g_assert_cmpuint(told_pages, >, 16);
    g_assert_cmpuint(told_pages, <=, 100 * 16 * cpus); /* 64 KiB each, and nothing else */
    teardown();
}

/* ---- eventfds --------------------------------------------------------------------------------------------------- */

static int event_fd = -1;
static const MemoryEventfd port_event = { .size = 2, .match_data = true, .data = 0xabcd };
static const MemoryEventfd mmio_event = { .addr = 0x40, .size = 4 };
static const MemoryEventfd other_data = { .size = 2, .match_data = true, .data = 0xabcc };
static const MemoryEventfd other_size = { .addr = 0x40, .size = 8 };

static void add(MemoryRegion *mr, MemoryEventfd eventfd)
{
    GError *error = NULL;

    eventfd.fd = event_fd;
    memory_region_add_eventfd(mr, &eventfd, &error);
    g_assert_no_error(error);
}

static void del(MemoryRegion *mr, MemoryEventfd eventfd)
{
    eventfd.fd = event_fd;
    memory_region_del_eventfd(mr, &eventfd);
}

/* Signals since the last call. */
static uint64_t signals_taken(void)
{
    uint64_t count = 0;

    if (read(event_fd, &count, sizeof(count)) < 0) {
        g_assert_cmpint(errno, ==, EAGAIN);
    }
    return count;
}

/*
 * Since the last call: signals, writes to the devices, and writes that came to the memory dispatch, to which an
 * accelerator in software adds those that signal.
 */
static void took(uint64_t signals, unsigned device, unsigned in_dispatch)
{
    g_assert_cmpuint(signals_taken(), ==, signals);
    g_assert_cmpuint(port_writes + mmio_writes, ==, device);
    g_assert_cmpuint(dispatched, ==, in_dispatch + (accel == &emu_accel ? signals : 0));
    port_writes = mmio_writes = dispatched = 0;
}

static void none_yet(const char *text)
{
    took(0, 2, 2);
    add(&doorbell_port, other_data);
    add(&mmio, other_size);
}

static void others(const char *text)
{
    took(0, 2, 2);
    add(&doorbell_port, port_event);
    add(&mmio, mmio_event);
}

static void both(const char *text)
{
    took(2, 0, 0);
    memory_region_set_address(&doorbell_port, DOORBELL + 2);
    memory_region_set_enabled(&mmio, false);
}

/* MMIO then goes to the RAM below. */
static void moved(const char *text)
{
    took(0, 0, 1);
    memory_region_set_address(&doorbell_port, DOORBELL);
    memory_region_set_enabled(&mmio, true);
}

static void back(const char *text)
{
    took(2, 0, 0);
    del(&doorbell_port, port_event);
    del(&mmio, mmio_event);
}

static void gone(const char *text)
{
    took(0, 2, 2);
}

static void test_eventfds(gconstpointer which)
{
    static const Step steps[] = {
        { NULL, NULL, PORT_WRITE, 0 },     { NULL, NULL, MMIO_WRITE, 0 }, { none_yet, NULL, PORT_WRITE, 0 },
        { NULL, NULL, MMIO_WRITE, 0 },     { others, NULL, PORT_WRITE, 0 }, { NULL, NULL, MMIO_WRITE, 0 },
        { both, NULL, PORT_WRITE, 0 },     { NULL, NULL, MMIO_WRITE, 0 }, { moved, NULL, PORT_WRITE, 0 },
        { NULL, NULL, MMIO_WRITE, 0 },     { back, NULL, PORT_WRITE, 0 }, { NULL, NULL, MMIO_WRITE, 0 },
        { gone, NULL, STOP, 0 },
    };

    if (setup(which, 1)) {
        event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        run(steps);
        teardown();
        fd_close(&event_fd);
    }
}

/* What the kernel refuses is the memory dispatch's; it is not missed when it goes. */
static void test_eventfd_that_the_kernel_refuses(gconstpointer which)
{
    static const Step steps[] = { { NULL, NULL, PORT_WRITE, 0 }, { NULL, NULL, STOP, 0 } };

    if (!setup(which, 1)) {
        return;
    }
    event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    refuse_eventfds = true;
    add(&doorbell_port, port_event);
    refuse_eventfds = false;
    run(steps);
    took(1, 0, accel->kernel_irqchip ? 1 : 0);
    del(&doorbell_port, port_event);
    teardown();
    fd_close(&event_fd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc function;
    } tests[] = {
        { "running-guest-is-logged", test_running_guest_is_logged },
        { "copy-follows-a-running-guest", test_copy_follows_a_running_guest },
        { "eventfds", test_eventfds },
        { "eventfd-that-the-kernel-refuses", test_eventfd_that_the_kernel_refuses },
    };
    static const Accel *const accels_tested[] = { &emu_accel, &accel_kvm };

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    for (unsigned a = 0; a < G_N_ELEMENTS(accels_tested); a++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
            g_autofree char *path = g_strdup_printf("/accel-hooks/%s/%s", accels_tested[a]->name, tests[i].name);

            g_test_add_data_func(path, accels_tested[a], tests[i].function);
        }
    }
    return g_test_run();
}
