/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine as the other side of the comparison.  The manual is guest.h.
 */
#include "guest.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "target/i386/engine.h"

/* Guest-physical memory. */
enum {
    RAM_SIZE = 0x100000,
    PML4 = 0x1000,
    PDPT = 0x2000,
    PAGE_DIRECTORY = 0x3000,
    PDPT_KERNEL = 0xd000,
    PAGE_DIRECTORY_KERNEL = 0xe000,
    TABLE_LOW = 0x4000,
    TABLE_CODE = 0x5000,
    TABLE_DATA = 0x6000,
    GDT = 0x8000,
    IDT = 0x9000,
    TSS = 0xa000,
    HANDLERS = 0xb000, /* 16 bytes each */
    KERNEL_STACK = 0x11000,
    CODE = 0x20000,
    DATA = 0x30000,
};

/* The kernel's addresses: physical memory again, where the test's cases do not get. */
#define KERNEL_BASE 0xffff800000000000u

#define PTE_KERNEL 0x3u /* present, writable */
#define PTE_USER 0x7u
#define PTE_USER_READ 0x5u

#define KERNEL_CS 0x08u
#define USER_DS 0x2bu
#define USER_CS 0x33u
#define COMPAT_CS 0x23u
#define TSS_SELECTOR 0x40u

static uint8_t *ram;
static X86Machine *machine;
static X86Cpu *cpu;
static bool timed_out;

static uint8_t *ram_page(void *opaque, uint64_t gpa, bool *writable)
{
    *writable = true;
    return gpa < RAM_SIZE ? ram + gpa : NULL;
}

static uint64_t mmio_read(void *opaque, uint64_t gpa, unsigned size)
{
    return UINT64_MAX;
}

static void mmio_write(void *opaque, uint64_t gpa, uint64_t value, unsigned size)
{
}

static uint32_t port_in(void *opaque, uint16_t port, unsigned size)
{
    return UINT32_MAX;
}

static void port_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
}

static int interrupt_ack(void *opaque)
{
    return -1;
}

static uint64_t tsc(void *opaque)
{
    static uint64_t now;

    return now += 1000;
}

static uint8_t tpr_get(void *opaque)
{
    return 0;
}

static void tpr_set(void *opaque, uint8_t value)
{
}

static bool msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    return false;
}

static bool msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    return false;
}

static const X86Bus bus = {
    .ram_page = ram_page,
    .mmio_read = mmio_read,
    .mmio_write = mmio_write,
    .port_in = port_in,
    .port_out = port_out,
    .interrupt_ack = interrupt_ack,
    .tsc = tsc,
    .tpr_get = tpr_get,
    .tpr_set = tpr_set,
    .msr_read = msr_read,
    .msr_write = msr_write,
};

static void put64(unsigned address, uint64_t value)
{
    memcpy(ram + address, &value, sizeof(value));
}

static uint64_t get64(uint64_t address)
{
    uint64_t value = 0;

    if (address <= RAM_SIZE - sizeof(value)) {
        memcpy(&value, ram + address, sizeof(value));
    }
    return value;
}

static void make_page_tables(void)
{
    put64(PML4, PDPT | PTE_USER);
    put64(PML4 + (KERNEL_BASE >> 39 & 511) * 8, PDPT_KERNEL | PTE_KERNEL);
    put64(PDPT, PAGE_DIRECTORY | PTE_USER);
    put64(PDPT_KERNEL, PAGE_DIRECTORY_KERNEL | PTE_KERNEL);
    put64(PAGE_DIRECTORY_KERNEL, TABLE_LOW | PTE_KERNEL);
    put64(PAGE_DIRECTORY + (NATIVE_CODE >> 21) * 8, TABLE_CODE | PTE_USER);
    put64(PAGE_DIRECTORY + (NATIVE_DATA >> 21) * 8, TABLE_DATA | PTE_USER);
    for (unsigned i = 0; i < RAM_SIZE / 4096; i++) {
        put64(TABLE_LOW + i * 8, i * 4096u | PTE_KERNEL);
    }
    put64(TABLE_CODE, CODE | PTE_USER_READ);
    for (unsigned i = 0; i < NATIVE_DATA_SIZE / 4096; i++) {
        put64(TABLE_DATA + i * 8, (DATA + i * 4096u) | PTE_USER);
    }
}

/* Interrupt gates; those that INT n may use have DPL 3, as a kernel has them. */
static void make_gates(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t handler = KERNEL_BASE + HANDLERS + i % 32 * 16;
        unsigned dpl = i == 3 || i == 4 ? 3 : 0;

        put64(IDT + i * 16, (handler & 0xffff) | KERNEL_CS << 16 | (uint64_t)(0x8e00 | dpl << 13) << 32 |
                            (handler >> 16 & 0xffff) << 48);
        put64(IDT + i * 16 + 8, handler >> 32);
        ram[HANDLERS + i % 32 * 16] = 0xf4; /* HLT */
    }
    put64(TSS + 4, KERNEL_BASE + KERNEL_STACK);
    ram[TSS + 0x66] = 0x68; /* no I/O permission map */
    put64(GDT + KERNEL_CS, 0x00af9b000000ffffull);
}

static void on_alarm(int number)
{
    timed_out = true;
    x86_cpu_kick(cpu); /* NOLINT(bugprone-signal-handler,cert-sig30-c): safe, as engine.h says */
}

void guest_init(const char *model)
{
    X86CpuConfig config = { .model = model, .count = 1 };
    g_autoptr(GError) err = NULL;

    ram = aligned_alloc(4096, RAM_SIZE);
    memset(ram, 0, RAM_SIZE);
    make_page_tables();
    make_gates();
    machine = x86_machine_new();
    cpu = x86_cpu_new(machine, &config, &bus, NULL, &err);
    if (!cpu) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
    signal(SIGPROF, on_alarm);
}

void guest_free(void)
{
    x86_cpu_free(cpu);
    x86_machine_free(machine);
    free(ram);
}

uint8_t *guest_data(void)
{
    return ram + DATA;
}

/* The state of user code, with 64 or (COMPAT) 32 bits. */
static void user_state(X86State *state, bool compat)
{
    const X86SegmentState data = { .selector = USER_DS, .attr = 0xc0f3, .limit = UINT32_MAX };

    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        state->segment[i] = data;
    }
    state->segment[X86_CS] = (X86SegmentState) { .selector = USER_CS, .attr = 0xa0fb, .limit = UINT32_MAX };
    if (compat) {
        state->segment[X86_CS].selector = COMPAT_CS;
        state->segment[X86_CS].attr = 0xc0fb;
    }
    state->ldt = (X86SegmentState) { .attr = 0x82 };
    state->tr = (X86SegmentState) { .selector = TSS_SELECTOR, .attr = 0x8b, .limit = 0x67, .base = KERNEL_BASE + TSS };
    state->gdt_base = KERNEL_BASE + GDT;
    state->gdt_limit = 0xff;
    state->idt_base = KERNEL_BASE + IDT;
    state->idt_limit = 0xfff;
    state->cr0 = 0x80010033; /* PG WP NE ET MP PE */
    state->cr2 = 0;
    state->cr3 = PML4;
    state->cr4 = 0x620; /* PAE OSFXSR OSXMMEXCPT */
    state->efer = 0xd01; /* NXE LMA LME SCE */
    state->halted = false;
}

static bool has_error(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

bool guest_run(const uint8_t *code, size_t size, NativeState *state, NativeEnd *end)
{
    const struct itimerval second = { .it_value.tv_sec = 1 }, never = { 0 };
    X86State all;
    uint64_t frame;
    X86Exit why;

    memcpy(ram + CODE, code, size);
    x86_cpu_get_state(cpu, &all);
    user_state(&all, state->compat);
    memcpy(all.gpr, state->gpr, sizeof(all.gpr));
    all.rip = state->rip;
    all.rflags = (state->rflags & 0xcd5) | 0x202;
    memcpy(all.fxsave, state->fxsave, 416);
    x86_cpu_set_state(cpu, &all);
    timed_out = false;
    setitimer(ITIMER_PROF, &second, NULL);
    do {
        why = x86_cpu_run(cpu);
    } while (why == X86_EXIT_KICKED && !timed_out);
    setitimer(ITIMER_PROF, &never, NULL);
    if (why != X86_EXIT_HALTED) {
        return false;
    }
    x86_cpu_get_state(cpu, &all);
    end->vector = (unsigned)(all.rip - KERNEL_BASE - HANDLERS) / 16;
    frame = all.gpr[X86_RSP] - KERNEL_BASE;
    end->error = 0;
    if (has_error(end->vector)) {
        end->error = get64(frame);
        frame += 8;
    }
    end->cr2 = end->vector == 14 ? all.cr2 : 0;
    memcpy(state->gpr, all.gpr, sizeof(state->gpr));
    state->gpr[X86_RSP] = get64(frame + 24);
    state->rip = get64(frame);
    state->rflags = get64(frame + 16) & 0xcd5;
    memcpy(state->fxsave, all.fxsave, 416);
    return true;
}
