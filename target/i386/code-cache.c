/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translated code of one processor (code-cache.h).
 *
 * Thread: the processor's own.  Runs in: mpqemu.
 */
#include <string.h>
#include <sys/mman.h>
#include "target/i386/bus.h"
#include "target/i386/code-cache.h"
#include "target/i386/machine.h"
#include "target/i386/mem.h"
#include "target/i386/ops.h"
#include "target/i386/translate.h"

#define CODE_DEFAULT_BYTES (64u << 20)
#define CODE_LEAST_BYTES (1u << 20)
#define PAGE_OPS (sizeof(X86CodePage) / sizeof(X86Op))
#define TABLE_SIZE 4096u

struct X86CodeCache {
    X86Op *ops;     /* also in X86Cpu */
    size_t bytes;
    unsigned size;  /* in operations */
    unsigned used;  /* index 0 is nothing's */
    X86CodePage *table[TABLE_SIZE]; /* by host address */
    X86Op one[X86_BLOCK_OPS];
};

bool x86_code_init(X86Cpu *cpu, size_t bytes)
{
    void *ops;

    bytes = bytes == 0 ? CODE_DEFAULT_BYTES : MAX(bytes, CODE_LEAST_BYTES);
    bytes = (bytes + X86_PAGE - 1) & X86_PAGE_MASK;
    ops = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ops == MAP_FAILED) {
        return false;
    }
    cpu->code = g_new0(X86CodeCache, 1);
    cpu->code->ops = cpu->ops = ops;
    cpu->code->bytes = bytes;
    cpu->code->size = (unsigned)MIN(bytes / sizeof(X86Op), UINT32_MAX);
    x86_code_flush(cpu);
    return true;
}

void x86_code_free(X86Cpu *cpu)
{
    if (cpu->code != NULL) {
        munmap(cpu->code->ops, cpu->code->bytes);
        g_free(cpu->code);
        cpu->code = NULL;
    }
}

/* ---- the jump cache and the exec TLB ----------------------------------------------------------------------------- */

static void forget_jumps(X86Cpu *cpu, unsigned half)
{
    cpu->jump_epoch[half]++;
    x86_update_jump_keys(cpu);
}

void x86_update_jump_keys(X86Cpu *cpu)
{
    for (unsigned half = 0; half < 2; half++) {
        if (cpu->jump_epoch[half] >= X86_JUMP_EPOCHS) {
            cpu->jump_epoch[half] = 1;
            memset(cpu->jumps, 0, sizeof(cpu->jumps));
        }
        cpu->jump_key[half] = cpu->jump_epoch[half] << X86_JUMP_MODE_BITS | cpu->code_flags << 1 | (cpu->cpl == 3);
    }
}

void x86_exec_flush(X86Cpu *cpu, bool keep_global)
{
    for (unsigned user = 0; user < 2; user++) {
        for (unsigned i = 0; i < X86_EXEC_TLB_ENTRIES; i++) {
            X86ExecEntry *e = &cpu->exec_tlb[user][i];

            if (!keep_global || !e->global) {
                e->tag = X86_TLB_INVALID;
                e->page = NULL;
            } else if (e->page != NULL && e->large && !(e->tag >> 63)) {
                cpu->tlb_large[0] = true; /* which x86_tlb_flush() makes anew of what it keeps */
            }
        }
    }
    forget_jumps(cpu, 0);
    if (!keep_global || cpu->high_not_global) {
        cpu->exec_evicted = false; /* as long as jumps are kept, what was evicted must be known of */
        cpu->high_not_global = false;
        forget_jumps(cpu, 1);
    }
}

void x86_exec_flush_large(X86Cpu *cpu, uint64_t linear)
{
    for (unsigned user = 0; user < 2; user++) {
        for (unsigned i = 0; i < X86_EXEC_TLB_ENTRIES; i++) {
            X86ExecEntry *e = &cpu->exec_tlb[user][i];

            if (e->page != NULL && x86_same_large(e->tag, linear, e->large)) {
                e->tag = X86_TLB_INVALID;
                e->page = NULL;
                forget_jumps(cpu, linear >> 63);
            }
        }
    }
}

void x86_exec_flush_page(X86Cpu *cpu, uint64_t linear)
{
    const uint64_t page = linear & X86_PAGE_MASK;

    for (unsigned user = 0; user < 2; user++) {
        X86ExecEntry *e = &cpu->exec_tlb[user][(linear / X86_PAGE) & (X86_EXEC_TLB_ENTRIES - 1)];

        if (e->tag == page) {
            e->tag = X86_TLB_INVALID;
            e->page = NULL;
            forget_jumps(cpu, linear >> 63);
        }
    }
    if (cpu->exec_evicted) {
        forget_jumps(cpu, linear >> 63);
    }
}

/* ---- pages ------------------------------------------------------------------------------------------------------- */

static X86CodePage **table_slot(const X86Cpu *cpu, const uint8_t *host)
{
    return &cpu->code->table[((uintptr_t)host / X86_PAGE) & (TABLE_SIZE - 1)];
}

static X86CodePage *find_page(const X86Cpu *cpu, const uint8_t *host)
{
    X86CodePage *page = *table_slot(cpu, host);

    while (page != NULL && page->host != host) {
        page = page->next;
    }
    return page;
}

static void forget_blocks(X86Cpu *cpu, X86CodePage *page)
{
    page->lines = 0;
    memset(page->bucket, 0, sizeof(page->bucket));
    forget_jumps(cpu, 0);
    forget_jumps(cpu, 1);
}

void x86_code_drop(X86Cpu *cpu, const uint8_t *host)
{
    bool shared = false;

    for (X86CodePage *page = *table_slot(cpu, host); page != NULL; page = page->next) {
        if (page->host == host) {
            forget_blocks(cpu, page);
        } else if (x86_marks(cpu, page->host) == x86_marks(cpu, host) && page->lines != 0) {
            shared = true;
        }
    }
    if (shared) {
        x86_exec_flush(cpu, false);
        atomic_store_explicit(&cpu->attention, 1, memory_order_relaxed);
    }
}

void x86_code_flush(X86Cpu *cpu)
{
    memset(cpu->code->table, 0, sizeof(cpu->code->table));
    cpu->code->used = 1;
    x86_exec_flush(cpu, false);
}

/* Forgets the page's blocks when RAM is not what they were made from any more. */
static void verify(X86Cpu *cpu, X86CodePage *page)
{
    if (page->lines == 0) {
        return;
    }
    x86_machine_mark(cpu, page->host, page->lines);
    for (uint64_t lines = page->lines; lines != 0; lines &= lines - 1) {
        const unsigned at = (unsigned)__builtin_ctzll(lines) * X86_LINE;

        if (memcmp(page->bytes + at, page->host + at, X86_LINE) != 0) {
            forget_blocks(cpu, page);
            return;
        }
    }
}

static bool nearly_full(const X86Cpu *cpu)
{
    return cpu->code->size - cpu->code->used < PAGE_OPS + X86_BLOCK_OPS + 2;
}

/* The page at HOST, checked.  Between blocks. */
static X86CodePage *get_page(X86Cpu *cpu, const uint8_t *host)
{
    X86CodePage *page = find_page(cpu, host);

    if (page != NULL) {
        verify(cpu, page);
        return page;
    }
    page = (X86CodePage *)&cpu->ops[cpu->code->used];
    cpu->code->used += PAGE_OPS;
    memset(page, 0, offsetof(X86CodePage, bytes));
    page->host = host;
    page->next = *table_slot(cpu, host);
    *table_slot(cpu, host) = page;
    return page;
}

/* Host address of the page of instructions at LINEAR, NULL where there is no RAM; raises. */
static const uint8_t *fetch_page(X86Cpu *cpu, uint64_t linear, bool *global)
{
    X86Walk walk;
    uint32_t error = 0;

    if (!x86_canonical(linear)) {
        x86_raise(cpu, X86_EXC_GP, 0); /* an instruction that begins in the last page before */
    }
    if (!x86_mmu_walk(cpu, linear, X86_EXEC, cpu->cpl == 3 ? X86_MMU_USER : X86_MMU_KERNEL, &walk, &error)) {
        x86_page_fault(cpu, linear, error);
    }
    *global = walk.global;
    cpu->fetch_large = x86_large_flag(walk.page_size);
    cpu->tlb_large[linear >> 63] |= cpu->fetch_large != 0;
    cpu->fetch_gpa = walk.gpa & X86_PAGE_MASK;
    return x86_ram_host(cpu, walk.gpa & X86_PAGE_MASK, false);
}

/* The exec TLB's page at LINEAR; NULL where there is no RAM; raises. */
static X86CodePage *exec_page(X86Cpu *cpu, uint64_t linear)
{
    X86ExecEntry *e = &cpu->exec_tlb[cpu->cpl == 3 ? 0 : 1][(linear / X86_PAGE) & (X86_EXEC_TLB_ENTRIES - 1)];
    const uint64_t tag = linear & X86_PAGE_MASK;
    const uint8_t *host;
    bool global;

    if (likely(e->tag == tag)) {
        return e->page;
    }
    host = fetch_page(cpu, linear, &global);
    if (host == NULL) {
        return NULL;
    }
    if (e->tag != X86_TLB_INVALID) {
        cpu->exec_evicted = true;
    }
    e->page = get_page(cpu, host);
    e->tag = tag;
    e->global = global;
    e->large = cpu->fetch_large;
    if ((linear >> 63) && !global) {
        cpu->high_not_global = true;
    }
    return e->page;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Makes the copy of the page's lines from OFFSET on hold LENGTH bytes. */
static void need_lines(X86Cpu *cpu, X86CodePage *page, unsigned offset, unsigned length)
{
    const unsigned last = MIN(offset + length - 1, X86_PAGE - 1) / X86_LINE;

    for (unsigned line = offset / X86_LINE; line <= last; line++) {
        const uint64_t bit = UINT64_C(1) << line;

        if (!(page->lines & bit)) {
            x86_machine_mark(cpu, page->host, bit);
            memcpy(page->bytes + line * X86_LINE, page->host + line * X86_LINE, X86_LINE);
            page->lines |= bit;
        }
    }
}

static uint32_t find_block(const X86Cpu *cpu, const X86CodePage *page, unsigned offset)
{
    uint32_t index = page->bucket[offset % X86_CODE_BUCKETS];

    while (index != 0) {
        const X86Block *block = (const X86Block *)&cpu->ops[index];

        if (block->pc_off == offset && block->flags == cpu->code_flags) {
            return index + 1;
        }
        index = block->next;
    }
    return 0;
}

/* Puts the operations after the end of the used part into PAGE as the block at OFFSET; index of the first one. */
static uint32_t add_block(X86Cpu *cpu, X86CodePage *page, unsigned offset, unsigned count)
{
    const uint32_t index = cpu->code->used;
    X86Block *block = (X86Block *)&cpu->ops[index];
    uint32_t *bucket = &page->bucket[offset % X86_CODE_BUCKETS];

    *block =
        (X86Block){ .next = *bucket, .flags = cpu->code_flags, .pc_off = (uint16_t)offset, .count = (uint16_t)count };
    *bucket = index;
    cpu->code->used += 1 + count;
    return index + 1;
}

/*
 * Translates from OFFSET of PAGE on.  0: the first instruction goes on in the next page.  How far a block reaches is
 * only known when it is decoded: the lines of a whole block are made ready step by step.
 */
static uint32_t make_block(X86Cpu *cpu, X86CodePage *page, unsigned offset)
{
    X86Op *ops = &cpu->ops[cpu->code->used + 1];
    const unsigned room = X86_PAGE - offset;
    const uint32_t flags = cpu->code_flags | (page->changes_itself ? X86_CODE_ALL_FLAGS : 0);
    unsigned count, used;

    for (unsigned ready = 2 * X86_LINE;; ready *= 2) {
        const unsigned available = MIN(ready, room);

        need_lines(cpu, page, offset, available);
        count = x86_translate(cpu, flags, page->bytes + offset, available, offset, X86_BLOCK_INSNS, ops, &used);
        if (available == room || used + X86_INSN_MAX <= available) {
            break;
        }
    }
    return count == 0 ? 0 : add_block(cpu, page, offset, count);
}

/* How many bytes CS has from RIP on, which is in it. */
static uint64_t bytes_in_segment(const X86Cpu *cpu, uint64_t rip)
{
    return x86_is_64(cpu) ? UINT64_MAX : cpu->seg[X86_CS].limit - rip + 1;
}

/*
 * An instruction that goes on in the next page begins with an operation that compares the bytes there with those it was
 * made from: op->aux bytes at op->disp and what follows.
 */
X86_OP(x86_op_cross)
{
    const uint64_t linear = (x86_op_rip(cpu, op) + cpu->cs_base + X86_PAGE) & X86_PAGE_MASK;
    const X86CodePage *page;

    cpu->op = op;
    if (bytes_in_segment(cpu, x86_op_rip(cpu, op)) < X86_PAGE - op->pc_off + op->aux) {
        cpu->force_one = true; /* nothing is to be fetched from beyond CS's limit */
        return x86_leave_to(cpu, x86_op_rip(cpu, op));
    }
    page = nearly_full(cpu) ? NULL : exec_page(cpu, x86_is_64(cpu) ? linear : (uint32_t)linear);
    if (unlikely(page == NULL || memcmp(page->host, &op->disp, op->aux) != 0)) {
        cpu->force_one = true;
        return x86_leave_to(cpu, x86_op_rip(cpu, op));
    }
    NEXT;
}

static uint32_t make_cross_block(X86Cpu *cpu, X86CodePage *page, unsigned offset, uint64_t linear)
{
    const unsigned room = X86_PAGE - offset;
    X86Op *ops = &cpu->ops[cpu->code->used + 1];
    uint8_t bytes[X86_INSN_MAX];
    const uint8_t *host;
    unsigned count, used;
    bool global;

    if (bytes_in_segment(cpu, cpu->rip) <= room) {
        return 0;
    }
    host = fetch_page(cpu, x86_is_64(cpu) ? linear + room : (uint32_t)(linear + room), &global);
    if (host == NULL) {
        return 0;
    }
    memcpy(bytes, page->bytes + offset, room);
    memcpy(bytes + room, host, sizeof(bytes) - room);
    count = x86_translate(cpu, cpu->code_flags, bytes, sizeof(bytes), offset, 1, ops + 1, &used);
    if (count == 0 || used <= room) {
        return 0;
    }
    ops[0] = (X86Op) { .fn = x86_op_cross, .pc_off = (uint16_t)offset, .aux = (uint8_t)(used - room) };
    memcpy(&ops[0].disp, bytes + room, used - room);
    return add_block(cpu, page, offset, count + 1);
}

static void remember_jump(X86Cpu *cpu, uint64_t linear, uint32_t index)
{
    X86JumpEntry *e = &cpu->jumps[(linear ^ (linear >> 12)) & (X86_JUMP_ENTRIES - 1)];

    *e = (X86JumpEntry) { .pc = linear, .key = cpu->jump_key[linear >> 63], .op = index };
}

/* The linear address of RIP for instructions; raises #GP when there can be none. */
static uint64_t code_linear(X86Cpu *cpu)
{
    if (x86_is_64(cpu)) {
        if (!x86_canonical(cpu->rip)) {
            x86_raise(cpu, X86_EXC_GP, 0);
        }
        return cpu->rip;
    }
    if (cpu->rip > cpu->seg[X86_CS].limit) {
        x86_raise(cpu, X86_EXC_GP, 0);
    }
    return (uint32_t)(cpu->rip + cpu->cs_base);
}

const X86Op *x86_code_lookup(X86Cpu *cpu)
{
    const uint64_t linear = code_linear(cpu);
    const unsigned offset = linear & (X86_PAGE - 1);
    X86CodePage *page;
    uint32_t index;

    cpu->regs[X86_REG_PAGE] = cpu->rip - offset;
    if (nearly_full(cpu)) {
        x86_code_flush(cpu);
    }
    page = exec_page(cpu, linear);
    if (page == NULL) {
        return x86_code_one(cpu);
    }
    index = find_block(cpu, page, offset);
    if (index == 0) {
        if (nearly_full(cpu)) {
            x86_code_flush(cpu);
            return NULL; /* to the run loop, which comes again */
        }
        index = make_block(cpu, page, offset);
        if (index == 0) {
            index = make_cross_block(cpu, page, offset, linear);
        }
        if (index == 0) {
            return x86_code_one(cpu);
        }
    }
    remember_jump(cpu, linear, index);
    return &cpu->ops[index];
}

const X86Op *x86_code_in_page(X86Cpu *cpu, uint64_t rip)
{
    const uint64_t linear = x86_is_64(cpu) ? rip : (uint32_t)(rip + cpu->cs_base);
    const X86ExecEntry *e = &cpu->exec_tlb[cpu->cpl == 3 ? 0 : 1][(linear / X86_PAGE) & (X86_EXEC_TLB_ENTRIES - 1)];
    const unsigned offset = linear & (X86_PAGE - 1);
    uint32_t index = 0;

    if (e->tag == (linear & X86_PAGE_MASK) && !nearly_full(cpu)) {
        index = find_block(cpu, e->page, offset);
        if (index == 0) {
            index = make_block(cpu, e->page, offset);
        }
    }
    if (index == 0) {
        cpu->rip = rip;
        return NULL;
    }
    return &cpu->ops[index];
}

/*
 * Reads the instruction bytes at LINEAR on into BYTES from FROM to the end of the page or of BYTES; how many there
 * are then.
 */
static unsigned fetch(X86Cpu *cpu, uint64_t linear, uint8_t bytes[X86_INSN_MAX], unsigned from)
{
    const uint64_t at = x86_is_64(cpu) ? linear + from : (uint32_t)(linear + from);
    const unsigned part = MIN(X86_INSN_MAX - from, X86_PAGE - (unsigned)(at & (X86_PAGE - 1)));
    bool global;
    const uint8_t *host = fetch_page(cpu, at, &global);

    for (unsigned i = 0; i < part; i++) {
        const unsigned where = (at & (X86_PAGE - 1)) + i;

        bytes[from + i] = host ? host[where] : (uint8_t)x86_bus_mmio_read(cpu, cpu->fetch_gpa + where, 1);
    }
    return from + part;
}

const X86Op *x86_code_one(X86Cpu *cpu)
{
    const uint64_t linear = code_linear(cpu);
    const unsigned offset = linear & (X86_PAGE - 1);
    uint8_t bytes[X86_INSN_MAX];
    const uint64_t room = bytes_in_segment(cpu, cpu->rip);
    unsigned available = 0, count = 0, used;

    cpu->regs[X86_REG_PAGE] = cpu->rip - offset;
    while (count == 0) {
        if (available >= room) {
            x86_raise(cpu, X86_EXC_GP, 0);
        }
        available = (unsigned)MIN(fetch(cpu, linear, bytes, available), room);
        count = x86_translate(cpu, cpu->code_flags | X86_CODE_ONE, bytes, available, offset, 1, cpu->code->one, &used);
    }
    return cpu->code->one;
}

bool x86_code_uses_stack(X86Cpu *cpu, uint64_t addr)
{
    const uint64_t linear = x86_op_rip(cpu, cpu->op) + cpu->cs_base;
    uint8_t bytes[X86_INSN_MAX];
    X86DecodeResult result = X86_DECODE_MORE;
    unsigned available = 0;
    const X86Row *row;
    X86Insn insn;

    while (result == X86_DECODE_MORE) {
        available = fetch(cpu, linear, bytes, available);
        result = x86_decode(cpu, cpu->code_flags, bytes, available, linear & (X86_PAGE - 1), &insn, &row);
    }
    if (result != X86_DECODE_OK) {
        return false;
    }
    if (insn.is_mem && (addr == cpu->ea || !(row->attr & (X86_A_D64 | X86_A_F64)))) {
        return insn.seg == X86_SS;
    }
    /* What has a fixed operand size in 64-bit mode uses the stack, near branches included. */
    return row->attr & (X86_A_D64 | X86_A_F64);
}
