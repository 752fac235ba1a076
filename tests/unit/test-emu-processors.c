/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Built-in processors side by side on the same RAM: locked instructions, code that changes, waits. */
#include <stdatomic.h>
#include <string.h>
#include "emu-system-rig.h"
#include "target/i386/machine.h"
#include "target/i386/ops.h"

static uint8_t *ram_of_two;

static uint8_t *second_ram_page(void *opaque, uint64_t gpa, bool *writable)
{
    *writable = true;
    return gpa < SYS_RAM_SIZE ? ram_of_two + gpa : NULL;
}

static int no_interrupt(void *opaque)
{
    return -1;
}

/* Reads of device memory by the second processor wait here. */
static GMutex gate;
static GCond gate_moved;
static bool gate_reached, gate_open;

static uint64_t second_mmio_read(void *opaque, uint64_t gpa, unsigned size)
{
    g_mutex_lock(&gate);
    gate_reached = true;
    g_cond_broadcast(&gate_moved);
    while (!gate_open) {
        g_cond_wait(&gate_moved, &gate);
    }
    g_mutex_unlock(&gate);
    return 0x55;
}

/* Processor INDEX on the RAM of RIG, in its state but for RIP and the stack. */
static X86Cpu *another_cpu(SysRig *rig, unsigned index, uint64_t rip)
{
    static const X86Bus bus = {
        .ram_page = second_ram_page, .interrupt_ack = no_interrupt, .mmio_read = second_mmio_read,
    };
    X86CpuConfig config = { .index = index, .count = index + 1 };
    X86State state = rig->state;
    X86Cpu *cpu = x86_cpu_new(rig->machine, &config, &bus, NULL, NULL);

    ram_of_two = rig->ram;
    g_assert_nonnull(cpu);
    state.rip = rip;
    state.gpr[X86_RSP] = SYS_IST;
    x86_cpu_set_state(cpu, &state);
    return cpu;
}

static X86Cpu *second_cpu(SysRig *rig, uint64_t rip)
{
    return another_cpu(rig, 1, rip);
}

static gpointer run_cpu(gpointer cpu)
{
    return GINT_TO_POINTER(x86_cpu_run(cpu));
}

/* Two processors that write to the same memory are what ThreadSanitizer calls a fault. */
static bool guest_may_not_race(void)
{
#ifdef __SANITIZE_THREAD__
    g_test_skip("guest code that races by intent is not for ThreadSanitizer");
    return true;
#else
    return false;
#endif
}

GUEST(count, 64,
      "mov $100000, %ecx\n mov $1, %edx\n mov $0x70000, %ebx\n"
      "1: lock incl (%rbx)\n lock addq $3, 8(%rbx)\n mov $1, %eax\n lock xaddl %eax, 16(%rbx)\n"
      "mov 24(%rbx), %rax\n 2: lea 1(%rax), %rsi\n lock cmpxchg %rsi, 24(%rbx)\n jne 2b\n"
      "3: lock btsl $0, 32(%rbx)\n jc 3b\n incl 36(%rbx)\n movl $0, 32(%rbx)\n"
      "lock incl 0xffe(%rbx)\n"
      "dec %ecx\n jnz 1b\n hlt");

static void test_locked(void)
{
    GThread *thread;
    SysRig rig;
    X86Cpu *second;

    if (guest_may_not_race()) {
        return;
    }
    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    SYS_CODE(&rig, SYS_KERNEL, count);
    second = second_cpu(&rig, SYS_KERNEL);
    thread = g_thread_new("second", run_cpu, second);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, X86_EXIT_HALTED);
    g_assert_cmpint(sys_get(&rig, 0x70000, 4), ==, 200000);
    g_assert_cmpint(sys_get(&rig, 0x70008, 8), ==, 600000);
    g_assert_cmpint(sys_get(&rig, 0x70010, 4), ==, 200000);
    g_assert_cmpint(sys_get(&rig, 0x70018, 8), ==, 200000);
    g_assert_cmpint(sys_get(&rig, 0x70024, 4), ==, 200000);
    g_assert_cmpint(sys_get(&rig, 0x70ffe, 4), ==, 200000); /* crosses pages */
    x86_cpu_free(second);
    sys_rig_clear(&rig);
}

/*
 * A counter over the end of a cache line, and of a page: one processor adds to all of it, the other one to its upper
 * half, which is a word of its own for that one.
 */
GUEST(split_whole, 64, "mov $30000, %ecx\n 1: lock addl $1, (%rbx)\n dec %ecx\n jnz 1b\n hlt");
GUEST(split_half, 64, "mov $30000, %ecx\n 1: lock addw $1, 2(%rbx)\n dec %ecx\n jnz 1b\n hlt");

static void test_split_lock(gconstpointer data)
{
    const uint32_t at = *(const uint32_t *)data;
    GThread *thread;
    SysRig rig;
    X86Cpu *second;

    if (guest_may_not_race()) {
        return;
    }
    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    rig.state.gpr[X86_RBX] = at;
    sys_put(&rig, at, 0, 8);
    sys_code(&rig, 0x24000, split_half, split_half_end);
    SYS_CODE(&rig, SYS_KERNEL, split_whole);
    second = second_cpu(&rig, 0x24000);
    thread = g_thread_new("second", run_cpu, second);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, X86_EXIT_HALTED);
    g_assert_cmphex(sys_get(&rig, at, 4), ==, 30000u + (30000u << 16));
    g_assert_cmphex(sys_get(&rig, at + 4, 4), ==, 0);
    x86_cpu_free(second);
    sys_rig_clear(&rig);
}

/* No place for the host's instructions: what crosses cache lines. */
static void test_split_lock_stays(void)
{
    static const struct {
        uint32_t at;
        unsigned size;
        bool host;
    } cases[] = {
        { 0x70000, 8, true }, { 0x7003c, 4, true }, { 0x7003d, 4, false }, { 0x7003f, 2, false }, { 0x70039, 8, false },
        { 0x70031, 8, true }, { 0x70ffe, 4, false }, { 0x70ff0, 16, true },
    };
    const X86Op op = { .pc_off = 0 };
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    x86_cpu_set_state(rig.cpu, &rig.state);
    for (unsigned round = 0; round < 2; round++) { /* without and with the page in the TLB */
        for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
            uint8_t *host = x86_lock_target(rig.cpu, &op, cases[i].at, cases[i].size);

            g_assert_true(host == (cases[i].host ? rig.ram + cases[i].at : NULL));
        }
    }
    sys_rig_clear(&rig);
}

/* A processor that waits in a device holds nobody up; it goes on when the other one has been alone. */
GUEST(read_device, 64, "mov $0x1900000, %ebx\n mov (%rbx), %eax\n lock incl 0x7003e\n hlt");
GUEST(split_often, 64, "mov $1000, %ecx\n 1: lock incl 0x7003e\n dec %ecx\n jnz 1b\n hlt");

static void test_split_lock_beside_device(void)
{
    GThread *thread;
    X86State state;
    SysRig rig;
    X86Cpu *second;

    if (guest_may_not_race()) {
        return;
    }
    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 12 * 8, 0x1800083, 8); /* beyond RAM */
    sys_put(&rig, 0x7003e, 0, 4);
    sys_code(&rig, 0x24000, read_device, read_device_end);
    SYS_CODE(&rig, SYS_KERNEL, split_often);
    second = second_cpu(&rig, 0x24000);
    thread = g_thread_new("second", run_cpu, second);
    g_mutex_lock(&gate);
    while (!gate_reached) {
        g_cond_wait(&gate_moved, &gate);
    }
    g_mutex_unlock(&gate);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(sys_get(&rig, 0x7003e, 4), ==, 1000);
    g_mutex_lock(&gate);
    gate_open = true;
    g_cond_broadcast(&gate_moved);
    g_mutex_unlock(&gate);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(second, &state);
    g_assert_cmphex(state.gpr[X86_RAX], ==, 0x55);
    g_assert_cmpint(sys_get(&rig, 0x7003e, 4), ==, 1001);
    x86_cpu_free(second);
    sys_rig_clear(&rig);
}

/*
 * One processor does nothing but split LOCKs, and looks after each three of them whether the others have come on, which
 * count until it is done: two that only count, and one whose LOCKs are split as well.  EBP: how often one of them had
 * not.  What they share they write by LOCK, which ThreadSanitizer takes for atomic.
 */
#define CAME_ON(counter, last) \
    "mov " counter ", %eax\n xor %edx, %edx\n cmp %eax, " last "\n sete %dl\n add %edx, %ebp\n mov %eax, " last "\n"
GUEST(hog, 64,
      "1: cmpl $0, 0x71000\n je 1b\n 1: cmpl $0, 0x71040\n je 1b\n 1: cmpl $0, 0x71080\n je 1b\n"
      "xor %ebp, %ebp\n xor %esi, %esi\n xor %edi, %edi\n xor %ebx, %ebx\n mov $20, %ecx\n"
      "1: lock incl 0x7003e\n lock incl 0x7003e\n lock incl 0x7003e\n"
      CAME_ON("0x71000", "%esi") CAME_ON("0x71040", "%edi") CAME_ON("0x71080", "%ebx")
      "dec %ecx\n jnz 1b\n lock incl 0x72000\n hlt");
GUEST(counts, 64, "1: lock incl (%rbx)\n cmpl $0, 0x72000\n je 1b\n hlt");
GUEST(hogs_and_counts, 64, "1: lock incl 0x7007e\n lock incl (%rbx)\n cmpl $0, 0x72000\n je 1b\n hlt");

static void test_split_lock_fair(void)
{
    GThread *threads[3];
    X86Cpu *others[3];
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_code(&rig, 0x24000, counts, counts_end);
    sys_code(&rig, 0x25000, hogs_and_counts, hogs_and_counts_end);
    SYS_CODE(&rig, SYS_KERNEL, hog);
    for (unsigned i = 0; i < 3; i++) {
        rig.state.gpr[X86_RBX] = 0x71000 + i * 64;
        others[i] = another_cpu(&rig, 1 + i, i < 2 ? 0x24000 : 0x25000);
    }
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = g_thread_new("other", run_cpu, others[i]);
    }
    SYS_RUN_VECTOR(&rig, -1);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(threads[i])), ==, X86_EXIT_HALTED);
    }
    for (unsigned i = 0; i < 3; i++) {
        x86_cpu_free(others[i]);
    }
    g_assert_cmpuint(sys_get(&rig, 0x7003e, 4), ==, 60);
    g_assert_cmpuint(rig.state.gpr[X86_RBP], ==, 0);
    sys_rig_clear(&rig);
}

/* A device's register, whose reads and writes are far apart. */
static atomic_uint register_value;

static uint64_t register_read(void *opaque, uint64_t gpa, unsigned size)
{
    const unsigned value = atomic_load(&register_value);

    g_usleep(10);
    return value;
}

static void register_write(void *opaque, uint64_t gpa, uint64_t value, unsigned size)
{
    atomic_store(&register_value, (unsigned)value);
}

GUEST(lock_device, 64, "mov $0x1900000, %ebx\n mov $500, %ecx\n 1: lock incl (%rbx)\n dec %ecx\n jnz 1b\n hlt");

/* Locked accesses to a device exclude one another. */
static void test_lock_device(void)
{
    static const X86Bus bus = {
        .ram_page = second_ram_page, .interrupt_ack = no_interrupt, .mmio_read = register_read,
        .mmio_write = register_write,
    };
    X86Cpu *cpus[2];
    GThread *threads[2];
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 12 * 8, 0x1800083, 8);
    SYS_CODE(&rig, SYS_KERNEL, lock_device);
    x86_cpu_free(rig.cpu);
    ram_of_two = rig.ram;
    atomic_store(&register_value, 0);
    for (unsigned i = 0; i < 2; i++) {
        X86CpuConfig config = { .index = i, .count = 2 };

        cpus[i] = x86_cpu_new(rig.machine, &config, &bus, NULL, NULL);
        x86_cpu_set_state(cpus[i], &rig.state);
    }
    for (unsigned i = 0; i < 2; i++) {
        threads[i] = g_thread_new("processor", run_cpu, cpus[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(threads[i])), ==, X86_EXIT_HALTED);
        x86_cpu_free(cpus[i]);
    }
    rig.cpu = NULL;
    g_assert_cmpuint(atomic_load(&register_value), ==, 1000);
    sys_rig_clear(&rig);
}

/* With others around each 64th PAUSE yields, and the count begins anew; a processor by itself does not even count. */
GUEST(pauses, 64, "mov $100, %ecx\n 1: pause\n dec %ecx\n jnz 1b\n hlt");

static void test_pause(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    for (unsigned processors = 1; processors <= 2; processors++) {
        const X86CpuConfig config = { .count = processors, .code_cache_bytes = 1 << 20 };

        x86_cpu_free(rig.cpu);
        rig.cpu = x86_cpu_new(rig.machine, &config, sys_rig_bus(), &rig, NULL);
        sys_long(&rig);
        SYS_CODE(&rig, SYS_KERNEL, pauses);
        SYS_RUN_VECTOR(&rig, -1);
        g_assert_cmpuint(rig.cpu->pauses, ==, processors == 1 ? 0 : 100 - 64);
    }
    sys_rig_clear(&rig);
}

GUEST(function, 64, "mov $0, %eax\n ret");

/* One processor rewrites what the other one calls, tells it, and waits for the answer. */
GUEST(writer, 64,
      "xor %ecx, %ecx\n"
      "1: inc %ecx\n mov %ecx, 0x22001\n mov %ecx, 0x70000\n"
      "2: pause\n cmp %ecx, 0x70004\n jne 2b\n cmp $2000, %ecx\n jne 1b\n hlt");
GUEST(caller, 64,
      "xor %ecx, %ecx\n mov $0x22000, %ebx\n xor %ebp, %ebp\n"
      "1: inc %ecx\n 2: pause\n cmp %ecx, 0x70000\n jne 2b\n"
      "push %rcx\n mov $0, %ecx\n mov %ecx, %eax\n cpuid\n pop %rcx\n"
      "mov $0x22000, %ebx\n call *%rbx\n cmp %ecx, %eax\n je 3f\n inc %ebp\n"
      "3: mov %ecx, 0x70004\n cmp $2000, %ecx\n jne 1b\n hlt");

static void test_cross_modifying(void)
{
    GThread *thread;
    X86State state;
    SysRig rig;
    X86Cpu *second;

    if (guest_may_not_race()) {
        return;
    }
    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_code(&rig, 0x22000, function, function_end);
    sys_code(&rig, 0x24000, caller, caller_end);
    SYS_CODE(&rig, SYS_KERNEL, writer);
    second = second_cpu(&rig, 0x24000);
    thread = g_thread_new("second", run_cpu, second);
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(GPOINTER_TO_INT(g_thread_join(thread)), ==, X86_EXIT_HALTED);
    x86_cpu_get_state(second, &state);
    g_assert_cmpint(state.gpr[X86_RBP], ==, 0);
    x86_cpu_free(second);
    sys_rig_clear(&rig);
}

/*
 * A processor writes to a page from which another one translates at that time, and loses the page from its TLB before
 * it comes to what the other one asks: that one has to look at the bytes again all the same.
 */
GUEST(write_and_out, 64, "movl $1, 0x70000\n out %al, $0x80\n nop\n hlt");

static X86Cpu *translating;
static void (*lose_page)(SysRig *rig);

static void translate_meanwhile(SysRig *rig)
{
    x86_machine_mark(translating, rig->ram + 0x70000, 1);
    g_assert_cmpint(atomic_load(&rig->cpu->pending) & X86_PENDING_MARKS, !=, 0);
    lose_page(rig);
    g_assert_false(x86_hit_write(x86_tlb_entry(rig->cpu, 0x70000), 0x70000, 4));
}

static void lose_by_flush(SysRig *rig)
{
    x86_tlb_flush(rig->cpu, true);
}

static void lose_by_invlpg(SysRig *rig)
{
    x86_tlb_flush_page(rig->cpu, 0x70000);
}

static void lose_by_eviction(SysRig *rig)
{
    x86_ld32(rig->cpu, rig->cpu->op, 0x70000 + X86_TLB_ENTRIES * X86_PAGE);
}

static void test_lost_page(const void *how)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 2 * 8, SYS_PT | 7, 8); /* what is at 4 MiB shares entries of the TLB with what is at 0 */
    SYS_CODE(&rig, SYS_KERNEL, write_and_out);
    translating = second_cpu(&rig, SYS_KERNEL);
    lose_page = *(void (*const *)(SysRig *))how;
    rig.port_hook = translate_meanwhile;
    SYS_RUN_VECTOR(&rig, -1);
    g_assert_cmpint(atomic_load(&translating->pending) & X86_PENDING_CODE, !=, 0);
    x86_cpu_free(translating);
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    static void (*const flush)(SysRig *) = lose_by_flush;
    static void (*const invlpg)(SysRig *) = lose_by_invlpg;
    static void (*const eviction)(SysRig *) = lose_by_eviction;
    static const uint32_t over_line = 0x7003e, over_page = 0x70ffe;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-processors/locked", test_locked);
    g_test_add_data_func("/emu-processors/split-lock/over-cache-lines", &over_line, test_split_lock);
    g_test_add_data_func("/emu-processors/split-lock/over-pages", &over_page, test_split_lock);
    g_test_add_func("/emu-processors/split-lock/never-reaches-the-host", test_split_lock_stays);
    g_test_add_func("/emu-processors/split-lock/waits-for-no-device", test_split_lock_beside_device);
    g_test_add_func("/emu-processors/split-lock/others-come-on", test_split_lock_fair);
    g_test_add_func("/emu-processors/locked-device", test_lock_device);
    g_test_add_func("/emu-processors/pause", test_pause);
    g_test_add_func("/emu-processors/cross-modifying", test_cross_modifying);
    g_test_add_data_func("/emu-processors/page-lost-while-translated-from/flush", &flush, test_lost_page);
    g_test_add_data_func("/emu-processors/page-lost-while-translated-from/invlpg", &invlpg, test_lost_page);
    g_test_add_data_func("/emu-processors/page-lost-while-translated-from/eviction", &eviction, test_lost_page);
    return g_test_run();
}
