/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks: from linear to guest-physical addresses.
 *
 * Thread: the processor's own; the tables are in RAM that other processors and devices write to.  Runs in: mpqemu.
 *
 * Theory of operation.  A walk reads one entry per level and keeps where it found it.  Rights are checked once the leaf
 * is known; only then accessed and dirty bits are set, each by compare-and-exchange against the value the walk went by.
 * When an entry has changed in between, the walk begins anew, so a translation never mixes old and new entries, and an
 * entry that its owner has just made not present does not get bits back.
 *
 * Sources: AMD APM volume 2, chapter 5; Intel SDM volume 3, chapter 4.
 */
#include "target/i386/cpuid.h"
#include "target/i386/mem.h"
#include "target/i386/system.h"

#define PTE_P 0x01u
#define PTE_W 0x02u
#define PTE_U 0x04u
#define PTE_A 0x20u
#define PTE_D 0x40u
#define PTE_PS 0x80u
#define PTE_G 0x100u
#define PTE_NX (1ull << 63)

#define ERROR_P 0x01u
#define ERROR_W 0x02u
#define ERROR_U 0x04u
#define ERROR_RSVD 0x08u
#define ERROR_I 0x10u

#define PHYS_MASK ((1ull << X86_PHYS_BITS) - 1)
#define BITS(high, low) (((2ull << (high)) - 1) & ~((1ull << (low)) - 1))

#define LEVELS_MAX 4

/* Another processor can change entries without end; after as many walks the bits of this one stay as they are. */
#define TRIES 1000

/* How a paging mode's tables look. */
typedef struct Format {
    uint8_t levels;
    uint8_t index_bits;
    uint8_t entry_size;
    uint64_t reserved; /* in all entries */
} Format;

static const Format format_32 = { .levels = 2, .index_bits = 10, .entry_size = 4 };
static const Format format_pae = {
    .levels = 2, .index_bits = 9, .entry_size = 8, .reserved = BITS(62, X86_PHYS_BITS),
};
static const Format format_4level = {
    .levels = 4, .index_bits = 9, .entry_size = 8, .reserved = BITS(51, X86_PHYS_BITS),
};

typedef struct Entry {
    uint8_t *host; /* NULL: not in RAM, its bits cannot be set */
    uint64_t gpa;
    uint64_t value;
} Entry;

/* What a table outside of RAM and ROM reads as: not present. Entries are aligned; other processors set bits in them. */
static void read_entry(X86Cpu *cpu, const Format *format, uint64_t gpa, Entry *ret_entry)
{
    uint8_t *host = x86_ram_host(cpu, gpa, true);

    ret_entry->host = host;
    ret_entry->gpa = gpa;
    if (host == NULL) {
        host = x86_ram_host(cpu, gpa, false);
    }
    if (host == NULL) {
        ret_entry->value = 0;
    } else if (format->entry_size == 4) {
        ret_entry->value = __atomic_load_n((uint32_t *)host, __ATOMIC_RELAXED);
    } else {
        ret_entry->value = __atomic_load_n((uint64_t *)host, __ATOMIC_RELAXED);
    }
}

/* False: the entry is no longer what the walk went by. */
static bool set_bits(X86Cpu *cpu, const Format *format, Entry *entry, uint64_t bits)
{
    uint64_t old = entry->value;

    if ((old & bits) == bits || entry->host == NULL) {
        return true;
    }
    entry->value = old | bits;
    x86_ram_written(cpu, entry->gpa);
    if (format->entry_size == 4) {
        uint32_t old32 = old;

        return __atomic_compare_exchange_n((uint32_t *)entry->host, &old32, (uint32_t)(old | bits), false,
                                           __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    return __atomic_compare_exchange_n((uint64_t *)entry->host, &old, old | bits, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

/* True when ENTRY, at level LEVEL (1: the last), maps a page itself. */
static bool is_leaf(X86Cpu *cpu, const Format *format, unsigned level, uint64_t entry)
{
    if (level == 1) {
        return true;
    }
    if (!(entry & PTE_PS)) {
        return false;
    }
    if (level == 2) {
        return format->entry_size == 8 || (cpu->cr4 & X86_CR4_PSE);
    }
    return level == 3 && x86_cpuid_has(cpu, X86_CPUID_PDPE1GB);
}

/* Bits of ENTRY that have to be 0, beyond those of all entries. */
static uint64_t reserved_bits(X86Cpu *cpu, const Format *format, unsigned level, uint64_t entry, bool leaf)
{
    if (format->entry_size == 4) {
        /* A 4 MiB page: bits 20 to 13 are the physical address's bits 39 to 32. */
        return level == 2 && leaf ? BITS(21, 21) : 0;
    }
    uint64_t reserved = format->reserved | (cpu->efer & X86_EFER_NXE ? 0 : PTE_NX);
    if (level >= 3 && !leaf) {
        return reserved | PTE_PS;
    }
    return reserved | (!leaf || level == 1 ? 0 : level == 2 ? BITS(20, 13) : BITS(29, 13));
}

static uint64_t leaf_address(const Format *format, unsigned level, uint64_t entry)
{
    if (format->entry_size == 4 && level == 2) {
        return (entry & BITS(31, 22)) | (entry & BITS(20, 13)) << 19;
    }
    return entry & PHYS_MASK & ~(((uint64_t)X86_PAGE << (level - 1) * format->index_bits) - 1);
}

/* True when the rights of WALK allow ACCESS. */
static bool allowed(X86Cpu *cpu, const X86Walk *walk, X86Access access, X86MmuMode mode)
{
    if (access == X86_EXEC && !walk->executable) {
        return false;
    }
    if (mode == X86_MMU_USER) {
        return walk->user && (access != X86_WRITE || walk->writable);
    }
    if (walk->user) {
        if (access == X86_EXEC && (cpu->cr4 & X86_CR4_SMEP)) {
            return false;
        }
        if (access != X86_EXEC && mode == X86_MMU_KERNEL) {
            return false;
        }
    }
    return access != X86_WRITE || walk->writable || !(cpu->cr0 & X86_CR0_WP);
}

typedef enum WalkResult { WALK_OK, WALK_FAULT, WALK_CHANGED } WalkResult;

static WalkResult walk_once(X86Cpu *cpu, const Format *format, uint64_t linear, X86Access access, X86MmuMode mode,
                            X86Walk *walk, uint32_t *error)
{
    Entry path[LEVELS_MAX];
    unsigned count = 0, level = format->levels;
    uint64_t table = cpu->cr3 & PHYS_MASK & X86_PAGE_MASK;
    uint64_t rights = PTE_W | PTE_U, nx = 0, entry;

    if (format == &format_pae) {
        /* Its third level is in registers. */
        table = cpu->pdpte[linear >> 30 & 3];
        if (!(table & PTE_P)) {
            return WALK_FAULT;
        }
        table &= PHYS_MASK & X86_PAGE_MASK;
    }
    for (;; level--) {
        unsigned shift = 12 + (level - 1) * format->index_bits;
        uint64_t index = linear >> shift & ((1u << format->index_bits) - 1);

        read_entry(cpu, format, table + index * format->entry_size, &path[count]);
        entry = path[count++].value;
        if (!(entry & PTE_P)) {
            return WALK_FAULT;
        }
        bool leaf = is_leaf(cpu, format, level, entry);
        if (entry & reserved_bits(cpu, format, level, entry, leaf)) {
            *error |= ERROR_P | ERROR_RSVD;
            return WALK_FAULT;
        }
        rights &= entry;
        nx |= entry & PTE_NX;
        if (leaf) {
            walk->page_size = 1ull << shift;
            walk->gpa = leaf_address(format, level, entry) | (linear & (walk->page_size - 1) & X86_PAGE_MASK);
            break;
        }
        table = entry & PHYS_MASK & X86_PAGE_MASK;
    }
    walk->user = rights & PTE_U;
    walk->writable = rights & PTE_W;
    walk->executable = format->entry_size == 4 || !nx;
    walk->global = (entry & PTE_G) && (cpu->cr4 & X86_CR4_PGE);
    if (!allowed(cpu, walk, access, mode)) {
        *error |= ERROR_P;
        return WALK_FAULT;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!set_bits(cpu, format, &path[i], PTE_A | (i == count - 1 && access == X86_WRITE ? PTE_D : 0))) {
            return WALK_CHANGED;
        }
    }
    /* Where the bit cannot be kept, a write counts as having set it. */
    walk->dirty = (path[count - 1].value & PTE_D) || access == X86_WRITE;
    return WALK_OK;
}

bool x86_mmu_walk(X86Cpu *cpu, uint64_t linear, X86Access access, X86MmuMode mode, X86Walk *walk, uint32_t *error)
{
    const Format *format = x86_long_mode(cpu) ? &format_4level : cpu->cr4 & X86_CR4_PAE ? &format_pae : &format_32;
    bool tells_fetch = (cpu->cr4 & X86_CR4_SMEP) || (format->entry_size == 8 && (cpu->efer & X86_EFER_NXE));
    WalkResult result = WALK_CHANGED;

    if (!(cpu->cr0 & X86_CR0_PG)) {
        *walk = (X86Walk){
            .gpa = (uint32_t)linear & X86_PAGE_MASK, .user = true, .writable = true, .executable = true, .dirty = true,
            .page_size = X86_PAGE,
        };
        return true;
    }
    if (!x86_long_mode(cpu)) {
        linear = (uint32_t)linear;
    }
    for (unsigned i = 0; i < TRIES && result == WALK_CHANGED; i++) {
        *error = (access == X86_WRITE ? ERROR_W : 0) | (mode == X86_MMU_USER ? ERROR_U : 0) |
                 (access == X86_EXEC && tells_fetch ? ERROR_I : 0);
        result = walk_once(cpu, format, linear, access, mode, walk, error);
    }
    if (result == WALK_CHANGED) {
        walk->dirty = access == X86_WRITE;
    }
    return result != WALK_FAULT;
}

bool x86_load_pdptes(X86Cpu *cpu, uint64_t cr3)
{
    uint64_t pdpte[4];

    for (unsigned i = 0; i < 4; i++) {
        Entry entry;

        read_entry(cpu, &format_pae, (cr3 & BITS(31, 5)) + i * 8, &entry);
        pdpte[i] = entry.value;
        if ((entry.value & PTE_P) && (entry.value & (BITS(63, X86_PHYS_BITS) | BITS(8, 5) | BITS(2, 1)))) {
            return false;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        cpu->pdpte[i] = pdpte[i];
    }
    return true;
}
