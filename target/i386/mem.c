/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory: filling the software TLB, and every access that it does not serve.
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <string.h>
#include "target/i386/bus.h"
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

void x86_ram_written(X86Cpu *cpu, uint64_t gpa)
{
    if (unlikely(cpu->log_writes)) {
        cpu->bus->ram_written(cpu->opaque, gpa & X86_PAGE_MASK);
    }
}

/* Devices get accesses that lie within an 8-byte unit; others are made byte by byte. */
static uint64_t mmio_read(X86Cpu *cpu, uint64_t gpa, unsigned size)
{
    uint64_t value = 0;

    if ((gpa & 7) + size <= 8) {
        return x86_bus_mmio_read(cpu, gpa, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= (x86_bus_mmio_read(cpu, gpa + i, 1) & 0xff) << 8 * i;
    }
    return value;
}

static void mmio_write(X86Cpu *cpu, uint64_t gpa, uint64_t value, unsigned size)
{
    if ((gpa & 7) + size <= 8) {
        x86_bus_mmio_write(cpu, gpa, size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1), size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        x86_bus_mmio_write(cpu, gpa + i, value >> 8 * i & 0xff, 1);
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

void x86_check_watch(X86Cpu *cpu, uint64_t addr, unsigned size, X86Access access)
{
    for (unsigned i = 0; (cpu->dr[7] & 0xff) && i < 4; i++) {
        if (watched(cpu, i, addr, size) && (access == X86_WRITE || DR7_RW(cpu->dr[7], i) == 3)) {
            cpu->dr6_pending |= UINT64_C(1) << i;
        }
    }
}

/* A port's breakpoint has the kind that is undefined without CR4.DE. */
void x86_watch_port(X86Cpu *cpu, uint16_t port, unsigned size)
{
    for (unsigned i = 0; (cpu->dr[7] & 0xff) && (cpu->cr4 & X86_CR4_DE) && i < 4; i++) {
        const unsigned length = watch_length(cpu->dr[7], i);
        const uint64_t from = cpu->dr[i] & ~(uint64_t)(length - 1);

        if ((cpu->dr[7] >> 2 * i & 3) && DR7_RW(cpu->dr[7], i) == 2 && port < from + length && from < port + size) {
            cpu->dr6_pending |= UINT64_C(1) << i;
        }
    }
}

/* ---- translation ------------------------------------------------------------------------------------------------- */

/*
 * Before entries go.  Another processor that asks by X86_PENDING_MARKS has read RAM, perhaps before what was written
 * by way of an entry that would not be found any more when it is served: what is asked is looked at now.  The fence
 * puts such writes before the question, as x86_machine_mark() has its mark and question before its reading.
 */
static void heed_marks(X86Cpu *cpu)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&cpu->pending, memory_order_relaxed) & X86_PENDING_MARKS) {
        x86_tlb_drop_marked(cpu);
    }
}

/*
 * The entry of MODE for the page of ADDR, good for ACCESS (read or write) except that it may be X86_TLB_SLOW.  Raises
 * #PF.
 */
static X86TlbEntry *translate(X86Cpu *cpu, uint64_t addr, X86Access access, X86MmuMode mode)
{
    const X86MmuMode rights = mode == X86_MMU_USER_ALIGNED ? X86_MMU_USER : mode;
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
    if (!x86_mmu_walk(cpu, addr, access, rights, &walk, &error)) {
        x86_page_fault(cpu, addr, error);
    }
    if (!(t->tag_write & (X86_TLB_SLOW | X86_TLB_INVALID))) {
        heed_marks(cpu);
    }
    may_write = walk.dirty && (walk.writable || (rights != X86_MMU_USER && !(cpu->cr0 & X86_CR0_WP)));
    gpa = walk.gpa & X86_PAGE_MASK;
    host = x86_ram_host(cpu, gpa, false);
    writable_host = x86_ram_host(cpu, gpa, true);
    slow = page_watched(cpu, page) || mode == X86_MMU_USER_ALIGNED ? X86_TLB_SLOW : 0;
    cpu->tlb_used[mode] = true;
    cpu->tlb_large[addr >> 63] |= walk.page_size > X86_PAGE;
    t->gpa =
        gpa | x86_large_flag(walk.page_size) | (walk.global ? X86_TLB_GPA_GLOBAL : 0) | (host ? X86_TLB_GPA_RAM : 0);
    t->addend = (uintptr_t)host - (uintptr_t)page;
    t->tag_read = page | (host ? slow : X86_TLB_SLOW);
    if (!may_write || (cpu->log_writes && access != X86_WRITE && writable_host != NULL)) {
        t->tag_write = X86_TLB_INVALID;
    } else if (writable_host == NULL) {
        t->tag_write = page | X86_TLB_SLOW;
    } else {
        x86_ram_written(cpu, gpa);
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
    if (x86_is_64(cpu) && !(x86_canonical(addr) && x86_canonical(addr + size - 1))) {
        x86_raise(cpu, x86_code_uses_stack(cpu, addr) ? X86_EXC_SS : X86_EXC_GP, 0);
    }
}

/* What the TLB cannot know of an access of SIZE bytes; operands of 2 to 16 bytes by powers of two are aligned by it. */
static void check_operand(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    cpu->op = op;
    check_canonical(cpu, addr, size);
    if (size <= 16 && (size & (size - 1)) == 0) {
        x86_check_alignment(cpu, op, addr, size);
    }
}

static uint64_t wrap(const X86Cpu *cpu, uint64_t addr)
{
    return x86_long_mode(cpu) ? addr : (uint32_t)addr;
}

static uint64_t read_in_page(X86Cpu *cpu, const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    x86_check_watch(cpu, addr, size, X86_READ);
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

/* The page of code that RIP of the instruction being executed lies in; NULL: not in the exec TLB any more. */
static X86CodePage *running_page(X86Cpu *cpu)
{
    const uint64_t linear = x86_op_rip(cpu, cpu->op) + cpu->cs_base;
    const X86ExecEntry *e = &cpu->exec_tlb[cpu->cpl == 3 ? 0 : 1][(linear / X86_PAGE) & (X86_EXEC_TLB_ENTRIES - 1)];

    return e->tag == (linear & X86_PAGE_MASK) ? e->page : NULL;
}

static _Noreturn void begin_again(X86Cpu *cpu)
{
    cpu->fault.vector = -1;
    cpu->fault.restart = true;
    longjmp(cpu->fault_jmp, 1);
}

static bool is_marked(const X86Cpu *cpu, const uint8_t *host, unsigned size)
{
    return atomic_load_explicit(x86_marks(cpu, host), memory_order_relaxed) & x86_lines(host, size);
}

/*
 * A write to RAM at HOST (in one page) whose page is marked is about to be made.  When the running block comes from
 * that page, the instruction is begun again in a block of its own: the next ones may be what it changes.
 */
static bool write_hits_code(X86Cpu *cpu, const uint8_t *host, unsigned size)
{
    const unsigned offset = (uintptr_t)host & (X86_PAGE - 1);

    if (!is_marked(cpu, host, size)) {
        return false;
    }
    if (!cpu->one_insn && cpu->op != NULL) {
        X86CodePage *page = running_page(cpu);

        if (page == NULL) {
            begin_again(cpu); /* it may be that one */
        }
        if (page->host == host - offset) {
            page->changes_itself = true;
            begin_again(cpu);
        }
    }
    return true;
}

/* IS_PART: before_write() has looked, and the instruction must not begin again, since a part may have been written. */
static void write_in_page(X86Cpu *cpu, X86TlbEntry *t, uint64_t addr, uint64_t value, unsigned size, bool is_part)
{
    const uint64_t gpa = (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1));
    uint8_t *p;
    bool code;

    x86_check_watch(cpu, addr, size, X86_WRITE);
    p = x86_ram_host(cpu, gpa, true);
    if (p == NULL) {
        mmio_write(cpu, gpa, value, size);
        return;
    }
    code = is_part ? is_marked(cpu, p, size) : write_hits_code(cpu, p, size);
    x86_ram_written(cpu, gpa);
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
    /*
     * One that translates this line of a marked page at the same time tells nobody: either its mark is seen here, or its
     * reading sees the write.
     */
    atomic_thread_fence(memory_order_seq_cst);
    if (code || is_marked(cpu, p, size)) {
        x86_machine_written(cpu, p - (gpa & (X86_PAGE - 1)));
    }
    if ((t->tag_write & X86_TLB_SLOW) && !page_watched(cpu, addr & X86_PAGE_MASK)) {
        t->tag_write = X86_TLB_INVALID; /* the next fill looks whether the page is still marked */
    }
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

/* A part of a write that has several: an instruction that has to begin again does so before the first of them. */
static void before_write(X86Cpu *cpu, const X86TlbEntry *t, uint64_t addr, unsigned size)
{
    const uint8_t *p = x86_ram_host(cpu, (t->gpa & X86_PAGE_MASK) | (addr & (X86_PAGE - 1)), true);

    if (p != NULL) {
        write_hits_code(cpu, p, size);
    }
}

static void store(X86Cpu *cpu, uint64_t addr, uint64_t value, unsigned size, X86MmuMode mode)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));
    X86TlbEntry *t, *next;

    addr = wrap(cpu, addr);
    if (size <= room) {
        write_in_page(cpu, translate(cpu, addr, X86_WRITE, mode), addr, value, size, false);
        return;
    }
    t = translate(cpu, addr, X86_WRITE, mode);
    next = translate(cpu, wrap(cpu, addr + room), X86_WRITE, mode);
    before_write(cpu, t, addr, room);
    before_write(cpu, next, wrap(cpu, addr + room), size - room);
    write_in_page(cpu, t, addr, value, room, true);
    addr = wrap(cpu, addr + room);
    write_in_page(cpu, translate(cpu, addr, X86_WRITE, mode), addr, value >> 8 * room, size - room, true);
}

/* Of SIZE bytes: 8, 4, 2 or 1, so that devices see the accesses a processor makes. */
static unsigned part_of(unsigned size)
{
    return size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
}

/*
 * SIZE (up to a page) bytes in several parts.  Both pages are translated before the first part is written, and by these
 * translations all of them are: what the first ones do to the TLB, or to the page's own entry, does not cut it short.
 */
static void store_parts(X86Cpu *cpu, uint64_t addr, const void *data, unsigned size, X86MmuMode mode)
{
    const unsigned room = MIN(size, X86_PAGE - (unsigned)(addr & (X86_PAGE - 1)));
    X86TlbEntry *t, *next;

    addr = wrap(cpu, addr);
    t = translate(cpu, addr, X86_WRITE, mode);
    next = size > room ? translate(cpu, wrap(cpu, addr + room), X86_WRITE, mode) : t;
    before_write(cpu, t, addr, room);
    if (size > room) {
        before_write(cpu, next, wrap(cpu, addr + room), size - room);
    }
    for (unsigned done = 0, part; done < size; done += part) {
        uint64_t value = 0;

        part = part_of((done < room ? room : size) - done);
        memcpy(&value, (const uint8_t *)data + done, part);
        write_in_page(cpu, done < room ? t : next, wrap(cpu, addr + done), value, part, true);
    }
}

uint64_t x86_ld_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    check_operand(cpu, op, addr, size);
    return load(cpu, addr, size, cpu->mmu_mode);
}

void x86_st_slow(X86Cpu *cpu, const X86Op *op, uint64_t addr, uint64_t value, unsigned size)
{
    check_operand(cpu, op, addr, size);
    store(cpu, addr, value, size, cpu->mmu_mode);
}

/* Tables, TSS and stacks come from registers and descriptors whose limits reach where no address is. */
static void check_system(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    if (x86_long_mode(cpu) && !(x86_canonical(addr) && x86_canonical(addr + size - 1))) {
        x86_raise(cpu, X86_EXC_GP, cpu->event.ext);
    }
}

uint64_t x86_ld_sys(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    check_system(cpu, addr, size);
    return load(cpu, addr, size, X86_MMU_KERNEL_USER);
}

void x86_st_sys(X86Cpu *cpu, uint64_t addr, uint64_t value, unsigned size)
{
    check_system(cpu, addr, size);
    store(cpu, addr, value, size, X86_MMU_KERNEL_USER);
}

/* Translates all of SIZE (up to a page) bytes, so that what follows faults no more. */
static void translate_all(X86Cpu *cpu, uint64_t addr, unsigned size, X86Access access, X86MmuMode mode)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));

    translate(cpu, wrap(cpu, addr), access, mode);
    if (size > room) {
        translate(cpu, wrap(cpu, addr + room), access, mode);
    }
}

void x86_probe_sys(X86Cpu *cpu, uint64_t addr, unsigned size)
{
    check_system(cpu, addr, size);
    translate_all(cpu, addr, size, X86_WRITE, X86_MMU_KERNEL_USER);
}

void x86_probe_write(X86Cpu *cpu, const X86Op *op, uint64_t addr, unsigned size)
{
    const unsigned room = X86_PAGE - (addr & (X86_PAGE - 1));

    if (x86_hit_write(x86_tlb_entry(cpu, addr), addr, size)) {
        return;
    }
    check_operand(cpu, op, addr, size);
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
        check_operand(cpu, op, addr, 16);
        const uint64_t low = load(cpu, addr, 8, cpu->mmu_mode);

        value->u64[1] = load(cpu, addr + 8, 8, cpu->mmu_mode);
        value->u64[0] = low;
    }
}

void x86_st128(X86Cpu *cpu, const X86Op *op, uint64_t addr, const X86Xmm *value)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (likely(x86_hit_write(t, addr, 16))) {
        memcpy(x86_hit_host(t, addr), value, 16);
    } else {
        check_operand(cpu, op, addr, 16);
        store_parts(cpu, addr, value, 16, cpu->mmu_mode);
    }
}

void x86_ld_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, void *data, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (likely(x86_hit_read(t, addr, size))) {
        memcpy(data, x86_hit_host(t, addr), size);
        return;
    }
    check_operand(cpu, op, addr, size);
    translate_all(cpu, addr, size, X86_READ, cpu->mmu_mode);
    for (unsigned done = 0, part; done < size; done += part) {
        part = part_of(size - done);
        const uint64_t value = load(cpu, addr + done, part, cpu->mmu_mode);

        memcpy((uint8_t *)data + done, &value, part);
    }
}

void x86_st_bytes(X86Cpu *cpu, const X86Op *op, uint64_t addr, const void *data, unsigned size)
{
    const X86TlbEntry *t = x86_tlb_entry(cpu, addr);

    if (likely(x86_hit_write(t, addr, size))) {
        memcpy(x86_hit_host(t, addr), data, size);
        return;
    }
    check_operand(cpu, op, addr, size);
    store_parts(cpu, addr, data, size, cpu->mmu_mode);
}

/* ---- flushing ---------------------------------------------------------------------------------------------------- */

static void invalidate(X86TlbEntry *t)
{
    t->tag_read = t->tag_write = X86_TLB_INVALID;
}

void x86_tlb_flush(X86Cpu *cpu, bool keep_global)
{
    heed_marks(cpu);
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

    heed_marks(cpu);
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

void x86_tlb_drop_written(X86Cpu *cpu)
{
    x86_tlb_drop_marked(cpu);
    for (unsigned mode = 0; mode < X86_MMU_MODES; mode++) {
        for (unsigned i = 0; cpu->tlb_used[mode] && i < X86_TLB_ENTRIES; i++) {
            X86TlbEntry *t = &cpu->tlbs[mode][i];

            /* Slow ones tell of each write, and devices' stay. */
            if (!(t->tag_write & X86_TLB_SLOW)) {
                t->tag_write = X86_TLB_INVALID;
            }
        }
    }
}
