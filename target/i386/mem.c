/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: filling the software TLB, and every access that it does not serve.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <string.h>
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"
#include "target/i386/mem.h"
#include "target/i386/ops.h"

/* ---- guest-physical memory --------------------------------------------------------------------------------------- */

uint8_t *x86_ram_host(X86Cpu *cpu, uint64_t gpa, bool write)
{
    const uint64_t page = gpa & X86_PAGE_MASK;
    const unsigned slot = (page / X86_PAGE) % G_N_ELEMENTS(cpu->ram_cache);

    if (cpu->ram_cache[slot].gpa != page) {
        bool writable = false;
        uint8_t *host = cpu->bus->ram_page(cpu->opaque, page, &writable);

        cpu->ram_cache[slot].gpa = page;
        cpu->ram_cache[slot].host = host;
        cpu->ram_cache[slot].writable = writable;
    }
    if (cpu->ram_cache[slot].host == NULL || (write && !cpu->ram_cache[slot].writable)) {
        return NULL;
    }
    return cpu->ram_cache[slot].host + (gpa & (X86_PAGE - 1));
}

/* Devices get accesses that lie within an 8-byte unit; others are made byte by byte. */
static uint64_t mmio_read(X86Cpu *cpu, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    if ((gpa & 7) + size <= 8) {
        return cpu->bus->mmio_read(cpu->opaque, gpa, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (cpu->bus->mmio_read(cpu->opaque, gpa + i, 1) & 0xff) << 8 * i;
    }
    return value;
}

static void mmio_write(X86Cpu *cpu, uint64_t gpa, uint64_t value, unsigned size)
{
    if ((gpa & 7) + size <= 8) {
        cpu->bus->mmio_write(cpu->opaque, gpa, size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1), size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        cpu->bus->mmio_write(cpu->opaque, gpa + i, value >> 8 * i & 0xff, 1);
    }
}

/* ---- data breakpoints -------------------------------------------------------------------------------------------- */

#define DR7_RW(dr7, i) ((dr7) >> (16 + 4 * (i)) & 3)
#define DR7_LEN(dr7, i) ((dr7) >> (18 + 4 * (i)) & 3)

static unsigned watch_length(uint64_t dr7, unsigned i)
{
    static const uint8_t length[4] = { 1, 2, 8, 4 };

    return length[DR7_LEN(dr7, i)];
}

/* Whether data breakpoint I is in force and touches [ADDR, ADDR + SIZE). */
static bool watched(const X86Cpu *cpu, unsigned i, uint64_t addr, uint64_t size)
{
    const uint64_t dr7 = cpu->dr[7];
    const unsigned length = watch_length(dr7, i);
    const uint64_t from = cpu->dr[i] & ~(uint64_t)(length - 1);

    return (dr7 >> 2 * i & 3) && (DR7_RW(dr7, i) & 1) && addr < from + length && from < addr + size;
}

static bool page_watched(const X86Cpu *cpu, uint64_t page)
{
    for (unsigned i = 0; (cpu->dr[7] & 0xff) && i < 4; i++) {
        if (watched(cpu, i, page, X86_PAGE)) {
            return true;
        }
    }
    return false;
}

static void check_watch(X86Cpu *cpu, uint64_t addr, unsigned size, X86Access access)
{
    for (unsigned i = 0; i < 4; i++) {
        if (watched(cpu, i, addr, size) && (access == X86_WRITE || DR7_RW(cpu->dr[7], i) == 3)) {
            cpu->dr6_pending |= UINT64_C(1) << i;
        }
    }
}

/* ---- translation ------------------------------------------------------------------------------------------------- */

/*
 * The entry of MODE for the page of ADDR, good for ACCESS (read or write) except that it may be X86_TLB_SLOW.  Raises
 * #PF.
 */
static X86TlbEntry *translate(X86Cpu *cpu, uint64_t addr, X86Access access, X86MmuMode mode)
{
    const uint64_t page = addr & X86_PAGE_MASK;
    X86TlbEntry *t = &cpu->tlbs[mode][(addr / X86_PAGE) & (X86_TLB_ENTRIES - 1)];
    const uint64_t tag = access == X86_WRITE ? t->tag_write : t->tag_read;
    uint8_t *host, *writable_host;
    uint64_t slow, gpa;
    uint32_t error = 0;
    bool may_write;
    X86Walk walk;

    if ((tag & ~(uint64_t)X86_TLB_SLOW) == page) {
        return t;
    }
    if (!x86_mmu_walk(cpu, addr, access, mode, &walk, &error)) {
        x86_page_fault(cpu, addr, error);
    }
    may_write = walk.dirty && (walk.writable || (mode != X86_MMU_USER && !(cpu->cr0 & X86_CR0_WP)));
    gpa = walk.gpa & X86_PAGE_MASK;
    host = x86_ram_host(cpu, gpa, false);
    writable_host = x86_ram_host(cpu, gpa, true);
    slow = page_watched(cpu, page) ? X86_TLB_SLOW : 0;
    cpu->tlb_used[mode] = true;
    cpu->tlb_large[addr >> 63] |= walk.page_size > X86_PAGE;
    t->gpa =
        gpa | x86_large_flag(walk.page_size) | (walk.global ? X86_TLB_GPA_GLOBAL : 0) | (host ? X86_TLB_GPA_RAM : 0);
    t->addend = (uintptr_t)host - (uintptr_t)page;
    t->tag_read = page | (host ? slow : X86_TLB_SLOW);
    if (!may_write) {
        t->tag_write = X86_TLB_INVALID;
    } else if (writable_host == NULL) {
        t->tag_write = page | X86_TLB_SLOW;
    } else {
        t->tag_write = page | slow;
        /* x86_machine_mark() sets the mark before it asks for X86_PENDING_MARKS: one of both is seen. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(x86_marks(cpu, host), memory_order_relaxed) != 0) {
            t->tag_write = page | X86_TLB_SLOW;
        }
    }
    return t;
}

static void check_canonical(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    if (x86_is_64(cpu)) {
        if ((uint64_t)((int64_t)(addr << 16) >> 16) != addr ||
            (uint64_t)((int64_t)((addr + size - 1) << 16) >> 16) != addr + size - 1) {
            x86_raise(cpu, x86_code_uses_stack(cpu, addr) ? X86_EXC_SS : X86_EXC_GP, 0);
        }
    }
}

static uint64_t read_in_page(X86Cpu *cpu, const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    if (unlikely(cpu->dr[7] & 0xff)) {
        check_watch(cpu, addr, size, X86_READ);
    }
    if (t->gpa & X86_TLB_GPA_RAM) {
        const uint8_t *p = x86_hit_host(t, addr);
        uint64_t value = 0;

        switch (size) {
        case 1:
            return *(X86Mem8 *)p;
        case 2:
            return *(X86Mem16 *)p;
        case 4:
            return *(X86Mem32 *)p;
        case 8:
            return *(X86Mem64 *)p;
        default:
            memcpy(&value, p, size);
            return value;
        }
    }
    return mmio_read(cpu, (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1)), size);
}

/* Whether RIP of the instruction being executed lies in the page of RAM at HOST, or its bytes reach into it. */
static bool executing_from(X86Cpu *cpu, const uint8_t *host)
{
    const uint64_t linear = x86_op_rip(cpu, cpu->op) + cpu->cs_base;
    const X86ExecEntry *e = &cpu->exec_tlb[cpu->cpl == 3 ? 0 : 1][(linear / X86_PAGE) & (X86_EXEC_TLB_ENTRIES - 1)];

    /* Not in the TLB any more: it may be. */
    return e->tag != (linear & X86_PAGE_MASK) || e->page == NULL || e->page->host == host;
}

/* The lines of its page that SIZE bytes at HOST are in, as bits of the page's mark. */
static uint64_t lines_of(const uint8_t *host, unsigned size)
{
    const unsigned offset = (uintptr_t)host & (X86_PAGE - 1);

    return UINT64_C(1) << offset / X86_LINE | UINT64_C(1) << (offset + size - 1) / X86_LINE;
}

/*
 * A write to RAM at HOST (in one page) whose page is marked is about to be made.  When the running block comes from
 * that page, the instruction is begun again in a block of its own: the next ones may be what it changes.
 */
static bool write_hits_code(X86Cpu *cpu, const uint8_t *host, unsigned size)
{
    const unsigned offset = (uintptr_t)host & (X86_PAGE - 1);

    if (!(atomic_load_explicit(x86_marks(cpu, host), memory_order_relaxed) & lines_of(host, size))) {
        return false;
    }
    if (!cpu->one_insn && cpu->op != NULL && executing_from(cpu, host - offset)) {
        cpu->fault.vector = -1;
        cpu->fault.restart = true;
        longjmp(cpu->fault_jmp, 1);
    }
    return true;
}

static void write_in_page(X86Cpu *cpu, X86TlbEntry *t, uint64_t addr, uint64_t value, unsigned size)
{
    const uint64_t gpa = (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1));
    uint8_t *p;
    bool code;

    if (unlikely(cpu->dr[7] & 0xff)) {
        check_watch(cpu, addr, size, X86_WRITE);
    }
    p = x86_ram_host(cpu, gpa, true);
    if (p == NULL) {
        mmio_write(cpu, gpa, value, size);
        return;
    }
    code = write_hits_code(cpu, p, size);
    switch (size) {
    case 1:
        *(X86Mem8 *)p = (uint8_t)value;
        break;
    case 2:
        *(X86Mem16 *)p = (uint16_t)value;
        break;
    case 4:
        *(X86Mem32 *)p = (uint32_t)value;
        break;
    case 8:
        *(X86Mem64 *)p = value;
        break;
    default:
        memcpy(p, &value, size);
        break;
    }
    if (code) {
        x86_machine_written(cpu, p - (gpa & (X86_PAGE - 1)));
    }
    if ((t->tag_write & X86_TLB_SLOW) && !page_watched(cpu, addr & X86_PAGE_MASK)) {
        t->tag_write = X86_TLB_INVALID; /* the next fill looks whether the page is still marked */
    }
}

static uint64_t wrap(const X86Cpu *cpu, uint64_t addr)
{
    return x86_long_mode(cpu) ? addr : (uint32_t)addr;
}

static uint64_t load(X86Cpu *cpu, uint64_t addr, unsigned size, X86MmuMode mode)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));
    const X86TlbEntry *t;
    uint64_t value;

    addr = wrap(cpu, addr);
    if (size <= room) {
        return read_in_page(cpu, translate(cpu, addr, X86_READ, mode), addr, size);
    }
    t = translate(cpu, addr, X86_READ, mode);
    /* Neighbouring pages have different places in the TLB. */
    translate(cpu, wrap(cpu, addr + room), X86_READ, mode);
    value = read_in_page(cpu, t, addr, room);
    addr = wrap(cpu, addr + room);
    return value | read_in_page(cpu, translate(cpu, addr, X86_READ, mode), addr, size - room) << 8 * room;
}

static void store(X86Cpu *cpu, uint64_t addr, uint64_t value, unsigned size, X86MmuMode mode)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));
    X86TlbEntry *t;

    addr = wrap(cpu, addr);
    if (size <= room) {
        write_in_page(cpu, translate(cpu, addr, X86_WRITE, mode), addr, value, size);
        return;
    }
    t = translate(cpu, addr, X86_WRITE, mode);
    translate(cpu, wrap(cpu, addr + room), X86_WRITE, mode);
    write_in_page(cpu, t, addr, value, room);
    addr = wrap(cpu, addr + room);
    write_in_page(cpu, translate(cpu, addr, X86_WRITE, mode), addr, value >> 8 * room, size - room);
}

uint64_t x86_ld_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    cpu->op = op;
    check_canonical(cpu, addr, size);
    return load(cpu, addr, size, cpu->mmu_mode);
}

void x86_st_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, uint64_t value, unsigned size)
{
    cpu->op = op;
    check_canonical(cpu, addr, size);
    store(cpu, addr, value, size, cpu->mmu_mode);
}

uint64_t x86_ld_sys(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    return load(cpu, addr, size, X86_MMU_KERNEL_USER);
}

void x86_st_sys(X86Cpu *cpu, uint64_t addr, uint64_t value, unsigned size)
{
    store(cpu, addr, value, size, X86_MMU_KERNEL_USER);
}

void x86_probe_write(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));

    if (x86_hit_write(x86_tlb_entry(cpu, addr), addr, size)) {
        return;
    }
    cpu->op = op;
    check_canonical(cpu, addr, size);
    for (unsigned done = 0; done < size; done += room) {
        const uint64_t part = wrap(cpu, addr + done);
        const X86TlbEntry *t = translate(cpu, part, X86_WRITE, cpu->mmu_mode);
        const uint8_t *p = x86_ram_host(cpu, (t->gpa & X86_PAGE_MASK) | (part & (X86_PAGE - 1)), true);

        if (p != NULL) {
            write_hits_code(cpu, p, MIN(size - done, X86_PAGE - (unsigned)(part & (X86_PAGE - 1))));
        }
    }
}

void x86_ld128(X86Cpu *cpu, const X86Op *op, uint64_t addr, X86Xmm *value)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (likely(x86_hit_read(t, addr, 16))) {
        memcpy(value, x86_hit_host(t, addr), 16);
    } else {
        const uint64_t low = x86_ld64(cpu, op, addr);

        value->u64[1] = x86_ld64(cpu, op, addr + 8);
        value->u64[0] = low;
    }
}

void x86_st128(X86Cpu *cpu, const X86Op *op, uint64_t addr, const X86Xmm *value)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (likely(x86_hit_write(t, addr, 16))) {
        memcpy(x86_hit_host(t, addr), value, 16);
    } else {
        const X86Xmm copy = *value;

        x86_probe_write(cpu, op, addr, 16);
        x86_st64(cpu, op, addr, copy.u64[0]);
        x86_st64(cpu, op, addr + 8, copy.u64[1]);
    }
}

void x86_ld_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, void *data, unsigned size)
{
    uint8_t *out = data;

    for (unsigned i = 0; i < size; i++) {
        out[i] = x86_ld8(cpu, op, addr + i);
    }
}

void x86_st_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, const void *data, unsigned size)
{
    const uint8_t *in = data;

    if (size > 0) {
        x86_probe_write(cpu, op, addr, size);
    }
    for (unsigned i = 0; i < size; i++) {
        x86_st8(cpu, op, addr + i, in[i]);
    }
}

/* ---- locked accesses --------------------------------------------------------------------------------------------- */

/*
 * RAM that is in one page, but slow for this processor only (a data breakpoint, code in other lines of the page):
 * others have it for fast access, so the host's atomics are needed here, too.
 */
static uint8_t *slow_ram_target(X86Cpu *cpu, const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    uint8_t *p;

    if ((addr & (X86_PAGE - 1)) + size > X86_PAGE || (t->tag_write & X86_PAGE_MASK) != (addr & X86_PAGE_MASK) ||
        (t->tag_write & X86_TLB_INVALID)) {
        return NULL;
    }
    p = x86_ram_host(cpu, (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1)), true);
    if (p == NULL || (atomic_load_explicit(x86_marks(cpu, p), memory_order_relaxed) & lines_of(p, size))) {
        return NULL;
    }
    if (cpu->dr[7] & 0xff) {
        check_watch(cpu, addr, size, X86_WRITE);
    }
    return p;
}

uint8_t *x86_lock_target(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (unlikely(!x86_hit_write(t, addr, size))) {
        x86_probe_write(cpu, op, addr, size);
        if (!x86_hit_write(t, addr, size)) {
            return slow_ram_target(cpu, t, addr, size);
        }
    }
    return x86_hit_host(t, addr);
}

/* Who has it may be in a device, and wait for somebody who waits for this processor to leave guest code. */
void x86_lock_bus(X86Cpu *cpu)
{
    if (!g_mutex_trylock(&cpu->machine->bus_lock)) {
        if (cpu->bus->wait_begin != NULL) {
            cpu->bus->wait_begin(cpu->opaque);
        }
        g_mutex_lock(&cpu->machine->bus_lock);
        if (cpu->bus->wait_end != NULL) {
            cpu->bus->wait_end(cpu->opaque);
        }
    }
    cpu->bus_locked = true;
}

void x86_unlock_bus(X86Cpu *cpu)
{
    cpu->bus_locked = false;
    g_mutex_unlock(&cpu->machine->bus_lock);
}

/* ---- flushing ---------------------------------------------------------------------------------------------------- */

static void invalidate(X86TlbEntry *t)
{
    t->tag_read = t->tag_write = X86_TLB_INVALID;
}

void x86_tlb_flush(X86Cpu *cpu, bool keep_global)
{
    cpu->tlb_large[0] = false;
    cpu->tlb_large[1] = cpu->tlb_large[1] && keep_global;
    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        bool left = false;

        if (!cpu->tlb_used[mode]) {
            continue;
        }
        for (unsigned i = 0; i < X86_TLB_ENTRIES; i++) {
            X86TlbEntry *t = &cpu->tlbs[mode][i];

            if (!keep_global || !(t->gpa & X86_TLB_GPA_GLOBAL)) {
                invalidate(t);
            } else {
                left = true;
                cpu->tlb_large[0] |=
                    (t->gpa & (X86_TLB_GPA_2M | X86_TLB_GPA_1G)) != 0 && !((t->tag_read & t->tag_write) >> 63);
            }
        }
        cpu->tlb_used[mode] = left;
    }
    x86_exec_flush(cpu, keep_global);
}

/* INVLPG in a large page is for all of it. */
static void flush_large(X86Cpu *cpu, uint64_t linear)
{
    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        for (unsigned i = 0; cpu->tlb_used[mode] && i < X86_TLB_ENTRIES; i++) {
            X86TlbEntry *t = &cpu->tlbs[mode][i];
            const uint64_t tag = t->tag_read & X86_TLB_INVALID ? t->tag_write : t->tag_read;

            if (x86_same_large(tag, linear, t->gpa)) {
                invalidate(t);
            }
        }
    }
    x86_exec_flush_large(cpu, linear);
}

void x86_tlb_flush_page(X86Cpu *cpu, uint64_t linear)
{
    const uint64_t page = linear & X86_PAGE_MASK;

    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        X86TlbEntry *t = &cpu->tlbs[mode][(linear / X86_PAGE) & (X86_TLB_ENTRIES - 1)];

        if ((t->tag_read & X86_PAGE_MASK) == page || (t->tag_write & X86_PAGE_MASK) == page) {
            invalidate(t);
        }
    }
    x86_exec_flush_page(cpu, linear);
    if (cpu->tlb_large[linear >> 63]) {
        flush_large(cpu, linear);
    }
}

void x86_tlb_drop_marked(X86Cpu *cpu)
{
    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        for (unsigned i = 0; cpu->tlb_used[mode] && i < X86_TLB_ENTRIES; i++) {
            X86TlbEntry *t = &cpu->tlbs[mode][i];

            if (t->tag_write & (X86_TLB_SLOW | X86_TLB_INVALID)) {
                continue;
            }
            if (atomic_load_explicit(x86_marks(cpu, x86_hit_host(t, t->tag_write)), memory_order_relaxed) != 0) {
                t->tag_write = X86_TLB_INVALID;
                cpu->gave_up_page = true;
            }
        }
    }
}
