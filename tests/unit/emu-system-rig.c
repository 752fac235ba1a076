/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine for tests of the processor's system parts: see emu-system-rig.h. */
#include <stdlib.h>
#include <string.h>
#include "emu-system-rig.h"

#define HLT 0xf4

/* Attributes as in X86SegmentState */
#define ATTR_CODE64 0xa09b
#define ATTR_CODE32 0xc09b
#define ATTR_CODE16 0x009b
#define ATTR_DATA 0xc093
#define ATTR_DATA16 0x0093
#define ATTR_DPL3 0x60

static uint8_t *rig_ram_page(void *opaque, uint64_t gpa, bool *writable)
{
    SysRig *rig = opaque;

    *writable = true;
    return gpa < SYS_RAM_SIZE ? rig->ram + gpa : NULL;
}

static void rig_ram_written(void *opaque, uint64_t gpa)
{
    SysRig *rig = opaque;

    g_assert_cmpuint(gpa % 4096, ==, 0);
    g_assert_cmpuint(gpa, <, SYS_RAM_SIZE);
    rig->written[gpa / 4096 / 64] |= 1ull << (gpa / 4096 % 64);
}

static uint64_t rig_mmio_read(void *opaque, uint64_t gpa, unsigned size)
{
    return ~0ull;
}

static void rig_mmio_write(void *opaque, uint64_t gpa, uint64_t value, unsigned size)
{
}

static uint32_t rig_port_in(void *opaque, uint16_t port, unsigned size)
{
    SysRig *rig = opaque;

    rig->port = port;
    rig->port_size = size;
    return 0x12345678;
}

static void rig_port_out(void *opaque, uint16_t port, uint32_t value, unsigned size)
{
    SysRig *rig = opaque;

    rig->port = port;
    rig->port_size = size;
    rig->port_value = value;
    if (rig->port_hook) {
        rig->port_hook(rig);
    }
}

static int rig_interrupt_ack(void *opaque)
{
    SysRig *rig = opaque;
    int vector = rig->interrupt;

    rig->interrupt = -1;
    x86_cpu_set_intr(rig->cpu, false);
    return vector;
}

static uint64_t rig_tsc(void *opaque)
{
    SysRig *rig = opaque;

    return rig->tsc;
}

static uint8_t rig_tpr_get(void *opaque)
{
    SysRig *rig = opaque;

    return rig->tpr;
}

static void rig_tpr_set(void *opaque, uint8_t value)
{
    SysRig *rig = opaque;

    rig->tpr = value;
}

static bool rig_msr_read(void *opaque, uint32_t msr, uint64_t *value)
{
    SysRig *rig = opaque;

    *value = msr == 0x1b ? rig->apic_base : rig->deadline;
    return msr == 0x1b || msr == 0x6e0;
}

static bool rig_msr_write(void *opaque, uint32_t msr, uint64_t value)
{
    SysRig *rig = opaque;

    if (msr != 0x1b && msr != 0x6e0) {
        return false;
    }
    *(msr == 0x1b ? &rig->apic_base : &rig->deadline) = value;
    return true;
}

static const X86Bus rig_bus = {
    .ram_page = rig_ram_page,
    .ram_written = rig_ram_written,
    .mmio_read = rig_mmio_read,
    .mmio_write = rig_mmio_write,
    .port_in = rig_port_in,
    .port_out = rig_port_out,
    .interrupt_ack = rig_interrupt_ack,
    .tsc = rig_tsc,
    .tpr_get = rig_tpr_get,
    .tpr_set = rig_tpr_set,
    .msr_read = rig_msr_read,
    .msr_write = rig_msr_write,
};

const X86Bus *sys_rig_bus(void)
{
    return &rig_bus;
}

void sys_rig_init(SysRig *rig, const char *model)
{
    X86CpuConfig config = { .model = model, .count = 1, .code_cache_bytes = 1 << 20 };
    GError *error = NULL;

    memset(rig, 0, sizeof(*rig));
    rig->ram = aligned_alloc(4096, SYS_RAM_SIZE);
    memset(rig->ram, 0, SYS_RAM_SIZE);
    rig->interrupt = -1;
    rig->apic_base = 0xfee00900;
    rig->machine = x86_machine_new();
    rig->cpu = x86_cpu_new(rig->machine, &config, &rig_bus, rig, &error);
    g_assert_no_error(error);
    x86_cpu_get_state(rig->cpu, &rig->state);
    memset(rig->ram + SYS_HANDLERS, HLT, 256 * 16);
}

void sys_rig_clear(SysRig *rig)
{
    x86_cpu_free(rig->cpu);
    x86_machine_free(rig->machine);
    free(rig->ram);
}

void sys_put(SysRig *rig, uint32_t addr, uint64_t value, unsigned size)
{
    memcpy(rig->ram + addr, &value, size);
}

uint64_t sys_get(const SysRig *rig, uint32_t addr, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, rig->ram + addr, size);
    return value;
}

void sys_descriptor(SysRig *rig, unsigned offset, uint32_t base, uint32_t limit, uint16_t attr)
{
    uint32_t units = attr & 0x8000 ? limit >> 12 : limit;

    sys_put(rig, SYS_GDT + offset,
            (units & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)attr << 40 |
                (uint64_t)(units >> 16 & 0xf) << 48 | (uint64_t)(base >> 24) << 56,
            8);
}

void sys_gate(SysRig *rig, unsigned vector, uint16_t selector, uint64_t offset, unsigned type, unsigned dpl,
              unsigned ist)
{
    uint64_t low = (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)ist << 32 |
                   (uint64_t)(0x80 | dpl << 5 | type) << 40 | (offset >> 16 & 0xffff) << 48;

    if (rig->state.efer & X86_EFER_LMA) {
        sys_put(rig, SYS_IDT + vector * 16, low, 8);
        sys_put(rig, SYS_IDT + vector * 16 + 8, offset >> 32, 8);
    } else {
        sys_put(rig, SYS_IDT + vector * 8, low, 8);
    }
}

static void put_gdt(SysRig *rig, unsigned tss_limit)
{
    sys_descriptor(rig, SYS_CS64, 0, 0xffffffff, ATTR_CODE64);
    sys_descriptor(rig, SYS_DS, 0, 0xffffffff, ATTR_DATA);
    sys_descriptor(rig, SYS_CS32, 0, 0xffffffff, ATTR_CODE32);
    sys_descriptor(rig, SYS_CS16, 0, 0xffff, ATTR_CODE16);
    sys_descriptor(rig, SYS_DS16, 0, 0xffff, ATTR_DATA16);
    sys_descriptor(rig, SYS_USER_CS32 & ~7, 0, 0xffffffff, ATTR_CODE32 | ATTR_DPL3);
    sys_descriptor(rig, SYS_USER_DS & ~7, 0, 0xffffffff, ATTR_DATA | ATTR_DPL3);
    sys_descriptor(rig, SYS_USER_CS64 & ~7, 0, 0xffffffff, ATTR_CODE64 | ATTR_DPL3);
    sys_descriptor(rig, SYS_TR, SYS_TSS, tss_limit, 0x8b);
    sys_descriptor(rig, SYS_TR2, SYS_TSS2, 0x67, 0x89);
    sys_descriptor(rig, SYS_ABSENT, 0, 0xffffffff, ATTR_DATA & ~0x80);
    sys_descriptor(rig, SYS_READ_ONLY, 0, 0xffffffff, 0xc091);
    sys_descriptor(rig, SYS_SMALL, SYS_DATA, 15, 0x4093);
}

static X86SegmentState segment(uint16_t selector, uint32_t limit, uint16_t attr)
{
    return (X86SegmentState){ .selector = selector, .limit = limit, .attr = attr };
}

static void set_segments(SysRig *rig, X86SegmentState cs, X86SegmentState data)
{
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        rig->state.segment[i] = data;
    }
    rig->state.segment[X86_CS] = cs;
}

static void base_state(SysRig *rig)
{
    X86State *s = &rig->state;

    s->rip = SYS_KERNEL;
    s->rflags = 2;
    s->gpr[X86_RSP] = SYS_KERNEL_STACK;
    s->gdt_base = SYS_GDT;
    s->gdt_limit = SYS_GDT_END - 1;
    s->idt_base = SYS_IDT;
    s->cr0 = X86_CR0_ET | X86_CR0_NE;
    s->cr3 = s->cr4 = s->efer = 0;
    s->tr = (X86SegmentState){ .selector = SYS_TR, .base = SYS_TSS, .limit = 0x6f, .attr = 0x8b };
    s->ldt = (X86SegmentState){ 0 };
    s->halted = false;
}

void sys_real(SysRig *rig)
{
    base_state(rig);
    put_gdt(rig, 0x6f);
    set_segments(rig, segment(0, 0xffff, ATTR_CODE16), segment(0, 0xffff, ATTR_DATA16));
    rig->state.segment[X86_CS].selector = SYS_KERNEL >> 4;
    rig->state.segment[X86_CS].base = SYS_KERNEL;
    rig->state.rip = 0;
    rig->state.gpr[X86_RSP] = 0xf000;
    rig->state.idt_base = 0;
    rig->state.idt_limit = 0x3ff;
    for (unsigned i = 0; i < 256; i++) {
        sys_put(rig, i * 4, (SYS_HANDLERS >> 4) << 16 | i * 16, 4);
    }
}

void sys_protected(SysRig *rig)
{
    base_state(rig);
    put_gdt(rig, 0x6f);
    rig->state.cr0 |= X86_CR0_PE;
    set_segments(rig, segment(SYS_CS32, 0xffffffff, ATTR_CODE32), segment(SYS_DS, 0xffffffff, ATTR_DATA));
    rig->state.idt_limit = 256 * 8 - 1;
    for (unsigned i = 0; i < 256; i++) {
        sys_gate(rig, i, SYS_CS32, SYS_HANDLERS + i * 16, 0xe, i == 0x80 ? 3 : 0, 0);
    }
    sys_put(rig, SYS_TSS + 4, SYS_INNER_STACK, 4);
    sys_put(rig, SYS_TSS + 8, SYS_DS, 2);
    sys_put(rig, SYS_TSS + 102, 104, 2); /* I/O permissions: the last 8 bytes */
    memset(rig->ram + SYS_TSS + 104, 0xff, 8);
}

/* The leaf entry of the 4 KiB page at ADDR. */
static uint64_t page_entry(uint32_t addr)
{
    bool user = (addr >= SYS_USER && addr < SYS_USER + 0x10000) || (addr >= 0x50000 && addr < 0x60000);

    return addr | (user ? 7 : 3);
}

void sys_protected_paging(SysRig *rig, bool pae)
{
    unsigned size = pae ? 8 : 4;

    sys_protected(rig);
    rig->state.cr0 |= X86_CR0_PG | X86_CR0_WP;
    if (pae) {
        rig->state.cr4 |= X86_CR4_PAE;
        sys_put(rig, SYS_PDPT, SYS_PD | 1, 8);
        rig->state.cr3 = SYS_PDPT;
    } else {
        rig->state.cr3 = SYS_PD;
    }
    sys_put(rig, SYS_PD, SYS_PT | 7, size);
    for (uint32_t i = 0; i < 4096 / size; i++) {
        sys_put(rig, SYS_PT + i * size, page_entry(i * 4096), size);
    }
}

void sys_long(SysRig *rig)
{
    base_state(rig);
    put_gdt(rig, 0x6f);
    rig->state.cr0 |= X86_CR0_PE | X86_CR0_PG | X86_CR0_WP;
    rig->state.cr4 = X86_CR4_PAE;
    rig->state.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
    rig->state.cr3 = SYS_TABLES;
    set_segments(rig, segment(SYS_CS64, 0xffffffff, ATTR_CODE64), segment(SYS_DS, 0xffffffff, ATTR_DATA));
    sys_put(rig, SYS_TABLES, SYS_PDPT | 7, 8);
    sys_put(rig, SYS_PDPT, SYS_PD | 7, 8);
    sys_put(rig, SYS_PD, SYS_PT | 7, 8);
    for (uint32_t i = 0; i < 512; i++) {
        sys_put(rig, SYS_PT + i * 8, page_entry(i * 4096), 8);
    }
    rig->state.idt_limit = 256 * 16 - 1;
    for (unsigned i = 0; i < 256; i++) {
        sys_gate(rig, i, SYS_CS64, SYS_HANDLERS + i * 16, 0xe, i == 0x80 ? 3 : 0, 0);
    }
    sys_put(rig, SYS_TSS + 4, SYS_INNER_STACK, 8);
    sys_put(rig, SYS_TSS + 36, SYS_IST, 8);
    sys_put(rig, SYS_TSS + 102, 104, 2);
    memset(rig->ram + SYS_TSS + 104, 0xff, 8);
    rig->state.star = (uint64_t)(SYS_USER_CS32) << 48 | (uint64_t)SYS_CS64 << 32;
}

void sys_user64(SysRig *rig)
{
    sys_long(rig);
    set_segments(rig, segment(SYS_USER_CS64, 0xffffffff, ATTR_CODE64 | ATTR_DPL3),
                 segment(SYS_USER_DS, 0xffffffff, ATTR_DATA | ATTR_DPL3));
    rig->state.rflags = X86_IF | 2;
    rig->state.rip = SYS_USER;
    rig->state.gpr[X86_RSP] = SYS_USER_STACK;
}

void sys_user32(SysRig *rig)
{
    set_segments(rig, segment(SYS_USER_CS32, 0xffffffff, ATTR_CODE32 | ATTR_DPL3),
                 segment(SYS_USER_DS, 0xffffffff, ATTR_DATA | ATTR_DPL3));
    rig->state.rflags = X86_IF | 2;
    rig->state.rip = SYS_USER;
    rig->state.gpr[X86_RSP] = SYS_USER_STACK;
}

void sys_vm86(SysRig *rig, unsigned iopl)
{
    static const uint16_t selectors[X86_SEGMENTS] = { 0x7100, 0x3000, 0x5000, 0x7000, 0x7200, 0x7300 };

    sys_protected(rig);
    for (unsigned i = 0; i < X86_SEGMENTS; i++) {
        rig->state.segment[i] = (X86SegmentState){
            .selector = selectors[i], .base = selectors[i] << 4, .limit = 0xffff, .attr = 0x00f3,
        };
    }
    memset(rig->state.gpr, 0, sizeof(rig->state.gpr));
    rig->state.gpr[X86_RSP] = SYS_VM_STACK;
    rig->state.rflags = X86_VM | iopl << X86_IOPL_SHIFT | 2;
    rig->state.rip = 0;
    memset(rig->ram + SYS_USER, HLT, 64);
    memset(rig->ram + 0x50000 + SYS_VM_STACK, 0, 64);
}

void sys_code(SysRig *rig, uint32_t addr, const uint8_t *code, const uint8_t *end)
{
    memcpy(rig->ram + addr, code, end - code);
    rig->state.rip = addr - rig->state.segment[X86_CS].base;
    rig->state.halted = false;
}

void sys_run(SysRig *rig)
{
    x86_cpu_set_state(rig->cpu, &rig->state);
    rig->exit = x86_cpu_run(rig->cpu);
    x86_cpu_get_state(rig->cpu, &rig->state);
}

int sys_vector(const SysRig *rig)
{
    uint64_t linear = rig->state.rip + rig->state.segment[X86_CS].base;

    return linear > SYS_HANDLERS && linear < SYS_HANDLERS + 256 * 16 ? (int)(linear - SYS_HANDLERS) / 16 : -1;
}

uint64_t sys_stack(const SysRig *rig, unsigned n, unsigned size)
{
    const X86SegmentState *ss = &rig->state.segment[X86_SS];
    uint64_t base = rig->state.efer & X86_EFER_LMA ? 0 : ss->base;

    return sys_get(rig, base + rig->state.gpr[X86_RSP] + n * size, size);
}
