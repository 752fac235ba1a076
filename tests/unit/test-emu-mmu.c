/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page walks of the built-in processor: formats, rights, reserved bits, accessed and dirty bits. */
#include "emu-system-rig.h"
#include "target/i386/mem.h"

#define P 1u
#define W 2u
#define U 4u
#define A 0x20u
#define D 0x40u
#define PS 0x80u
#define G 0x100u
#define NX (1ull << 63)

/* Error code bits */
#define E_P 1u
#define E_W 2u
#define E_U 4u
#define E_RSVD 8u
#define E_I 16u

#define PAGE 0x70000u /* the page that tests change the entry of */
#define PTE(size) (SYS_PT + PAGE / 4096 * (size))

static void set(SysRig *rig)
{
    x86_cpu_set_state(rig->cpu, &rig->state);
}

static void expect_gpa(SysRig *rig, uint64_t linear, X86Access access, X86MmuMode mode, uint64_t gpa)
{
    uint32_t error = 0;
    X86Walk walk;

    g_assert_true(x86_mmu_walk(rig->cpu, linear, access, mode, &walk, &error));
    g_assert_cmphex(walk.gpa, ==, gpa);
}

static void expect_error(SysRig *rig, uint64_t linear, X86Access access, X86MmuMode mode, uint32_t expected)
{
    uint32_t error = 0;
    X86Walk walk;

    g_assert_false(x86_mmu_walk(rig->cpu, linear, access, mode, &walk, &error));
    g_assert_cmphex(error, ==, expected);
}

static void test_no_paging(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected(&rig);
    set(&rig);
    expect_gpa(&rig, 0xfffff123, X86_WRITE, X86_MMU_USER, 0xfffff000);
    sys_rig_clear(&rig);
}

static void test_rights(void)
{
    static const struct {
        uint64_t entry;
        X86Access access;
        X86MmuMode mode;
        bool no_wp, smep;
        int error; /* -1: none */
    } cases[] = {
        { 0, X86_READ, X86_MMU_KERNEL, false, false, 0 },
        { 0, X86_WRITE, X86_MMU_USER, false, false, E_W | E_U },
        { 0, X86_EXEC, X86_MMU_USER, false, false, E_U | E_I },
        { P, X86_READ, X86_MMU_KERNEL, false, false, -1 },
        { P, X86_READ, X86_MMU_USER, false, false, E_P | E_U },
        { P, X86_WRITE, X86_MMU_KERNEL, false, false, E_P | E_W },
        { P, X86_WRITE, X86_MMU_KERNEL, true, false, -1 },
        { P | W, X86_WRITE, X86_MMU_KERNEL, false, false, -1 },
        { P | W, X86_WRITE, X86_MMU_USER, false, false, E_P | E_W | E_U },
        { P | U, X86_READ, X86_MMU_USER, false, false, -1 },
        { P | U, X86_WRITE, X86_MMU_USER, false, false, E_P | E_W | E_U },
        { P | U, X86_WRITE, X86_MMU_USER, true, false, E_P | E_W | E_U },
        { P | W | U, X86_WRITE, X86_MMU_USER, false, false, -1 },
        /* SMAP */
        { P | W | U, X86_READ, X86_MMU_KERNEL, false, false, E_P },
        { P | W | U, X86_WRITE, X86_MMU_KERNEL, false, false, E_P | E_W },
        { P | W | U, X86_WRITE, X86_MMU_KERNEL_USER, false, false, -1 },
        { P | W | U, X86_EXEC, X86_MMU_KERNEL, false, false, -1 },
        /* SMEP */
        { P | W | U, X86_EXEC, X86_MMU_KERNEL_USER, false, true, E_P | E_I },
        { P | W, X86_EXEC, X86_MMU_KERNEL, false, true, -1 },
        { P | W | U, X86_EXEC, X86_MMU_USER, false, true, -1 },
        /* NX */
        { P | W | U | NX, X86_EXEC, X86_MMU_USER, false, false, E_P | E_U | E_I },
        { P | W | NX, X86_EXEC, X86_MMU_KERNEL, false, false, E_P | E_I },
        { P | W | U | NX, X86_READ, X86_MMU_USER, false, false, -1 },
        /* beyond 40 bits */
        { P | W | U | 1ull << 40, X86_READ, X86_MMU_USER, false, false, E_P | E_U | E_RSVD },
        { P | W | U | 1ull << 51, X86_WRITE, X86_MMU_KERNEL, false, false, E_P | E_W | E_RSVD },
        { P | W | U | 1ull << 39, X86_READ, X86_MMU_USER, false, false, -1 },
        { P | W | U | 1ull << 52, X86_READ, X86_MMU_USER, false, false, -1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        SysRig rig;

        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        if (cases[i].no_wp) {
            rig.state.cr0 &= ~(uint64_t)X86_CR0_WP;
        }
        if (cases[i].smep) {
            rig.state.cr4 |= X86_CR4_SMEP;
        }
        sys_put(&rig, PTE(8), PAGE | cases[i].entry, 8);
        set(&rig);
        if (cases[i].error < 0) {
            expect_gpa(&rig, PAGE + 8, cases[i].access, cases[i].mode, PAGE | (cases[i].entry & 1ull << 39));
        } else {
            expect_error(&rig, PAGE + 8, cases[i].access, cases[i].mode, cases[i].error);
            g_assert_cmphex(sys_get(&rig, PTE(8), 8), ==, PAGE | cases[i].entry);
        }
        sys_rig_clear(&rig);
    }
}

/* Rights of all levels count. */
static void test_rights_of_levels(void)
{
    static const uint32_t tables[] = { SYS_TABLES, SYS_PDPT, SYS_PD };
    SysRig rig;

    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        sys_rig_init(&rig, NULL);
        sys_long(&rig);
        sys_put(&rig, PTE(8), PAGE | P | W | U, 8);
        uint64_t entry = sys_get(&rig, tables[i], 8);
        set(&rig);
        expect_gpa(&rig, PAGE, X86_WRITE, X86_MMU_USER, PAGE);
        sys_put(&rig, tables[i], entry & ~(uint64_t)U, 8);
        expect_error(&rig, PAGE, X86_READ, X86_MMU_USER, E_P | E_U);
        sys_put(&rig, tables[i], entry & ~(uint64_t)W, 8);
        expect_error(&rig, PAGE, X86_WRITE, X86_MMU_USER, E_P | E_W | E_U);
        sys_put(&rig, tables[i], entry | NX, 8);
        expect_error(&rig, PAGE, X86_EXEC, X86_MMU_USER, E_P | E_U | E_I);
        sys_put(&rig, tables[i], entry & ~(uint64_t)P, 8);
        expect_error(&rig, PAGE, X86_READ, X86_MMU_USER, E_U);
        sys_put(&rig, tables[i], entry | 1ull << 45, 8);
        expect_error(&rig, PAGE, X86_READ, X86_MMU_USER, E_P | E_U | E_RSVD);
        sys_rig_clear(&rig);
    }
}

static void test_accessed_dirty(void)
{
    uint32_t error = 0;
    X86Walk walk;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, PTE(8), PAGE | P | W | U | G, 8);
    rig.state.cr4 |= X86_CR4_PGE;
    set(&rig);
    g_assert_true(x86_mmu_walk(rig.cpu, PAGE, X86_READ, X86_MMU_USER, &walk, &error));
    g_assert_false(walk.dirty);
    g_assert_true(walk.global && walk.user && walk.writable && walk.executable);
    g_assert_cmphex(sys_get(&rig, PTE(8), 8), ==, PAGE | P | W | U | G | A);
    g_assert_cmphex(sys_get(&rig, SYS_PD, 8) & (A | D), ==, A);
    g_assert_cmphex(sys_get(&rig, SYS_PDPT, 8) & (A | D), ==, A);
    g_assert_cmphex(sys_get(&rig, SYS_TABLES, 8) & (A | D), ==, A);
    g_assert_true(x86_mmu_walk(rig.cpu, PAGE, X86_WRITE, X86_MMU_USER, &walk, &error));
    g_assert_true(walk.dirty);
    g_assert_cmphex(sys_get(&rig, PTE(8), 8), ==, PAGE | P | W | U | G | A | D);
    g_assert_true(x86_mmu_walk(rig.cpu, PAGE, X86_READ, X86_MMU_USER, &walk, &error));
    g_assert_true(walk.dirty);
    sys_rig_clear(&rig);
}

static void test_large_pages(void)
{
    uint32_t error = 0;
    X86Walk walk;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 8, 0xc00000 | P | W | PS, 8);                  /* 2 MiB at 2 MiB */
    sys_put(&rig, SYS_PDPT + 8, 0x40000000 | P | W | PS | 1u << 12, 8);   /* 1 GiB at 1 GiB, with PAT */
    sys_put(&rig, SYS_PD + 16, 0x800000 | P | W | PS | 1u << 13, 8);      /* reserved bit */
    sys_put(&rig, SYS_PDPT + 16, 0x40000000 | P | W | PS | 1u << 29, 8);  /* reserved bit */
    sys_put(&rig, SYS_TABLES + 8, SYS_PDPT | P | W | PS, 8);              /* no such size */
    set(&rig);
    g_assert_true(x86_mmu_walk(rig.cpu, 0x2abcde, X86_READ, X86_MMU_KERNEL, &walk, &error));
    g_assert_cmphex(walk.gpa, ==, 0xcab000);
    g_assert_cmphex(walk.page_size, ==, 2u << 20);
    g_assert_true(x86_mmu_walk(rig.cpu, 0x7fffffff, X86_WRITE, X86_MMU_KERNEL, &walk, &error));
    g_assert_cmphex(walk.gpa, ==, 0x7ffff000);
    g_assert_cmphex(walk.page_size, ==, 1u << 30);
    g_assert_cmphex(sys_get(&rig, SYS_PDPT + 8, 8) & (A | D), ==, A | D);
    expect_error(&rig, 4u << 20, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    expect_error(&rig, 0x80000000u, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    expect_error(&rig, 1ull << 39, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    sys_rig_clear(&rig);

    sys_rig_init(&rig, "max,-pdpe1gb");
    sys_long(&rig);
    sys_put(&rig, SYS_PDPT + 8, 0x40000000 | P | W | PS, 8);
    set(&rig);
    expect_error(&rig, 0x40000000, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    sys_rig_clear(&rig);
}

static void test_nx_not_enabled(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    rig.state.efer &= ~(uint64_t)X86_EFER_NXE;
    sys_put(&rig, PTE(8), PAGE | P | W | NX, 8);
    set(&rig);
    expect_error(&rig, PAGE, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    sys_put(&rig, PTE(8), 0, 8);
    expect_error(&rig, PAGE, X86_EXEC, X86_MMU_KERNEL, 0); /* does not tell of fetches */
    sys_rig_clear(&rig);
}

static void test_32bit(void)
{
    uint32_t error = 0;
    X86Walk walk;
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, false);
    set(&rig);
    expect_gpa(&rig, PAGE + 5, X86_WRITE, X86_MMU_KERNEL, PAGE);
    g_assert_cmphex(sys_get(&rig, PTE(4), 4), ==, PAGE | P | W | A | D);
    expect_error(&rig, PAGE, X86_READ, X86_MMU_USER, E_P | E_U);
    expect_error(&rig, 0x400000, X86_READ, X86_MMU_USER, E_U);
    /* Without PSE the bit does not count. */
    sys_put(&rig, SYS_PD + 4, SYS_PT | P | W | PS, 4);
    expect_gpa(&rig, 0x400000 + PAGE, X86_READ, X86_MMU_KERNEL, PAGE);
    rig.state.cr4 |= X86_CR4_PSE;
    sys_put(&rig, SYS_PD + 4, 0x400000 | 0x3u << 13 | P | W | PS, 4); /* bits 33 and 32 */
    set(&rig);
    g_assert_true(x86_mmu_walk(rig.cpu, 0x400000 + PAGE, X86_READ, X86_MMU_KERNEL, &walk, &error));
    g_assert_cmphex(walk.gpa, ==, 0x300400000 + PAGE);
    g_assert_cmphex(walk.page_size, ==, 4u << 20);
    sys_put(&rig, SYS_PD + 4, 0x400000 | 1u << 21 | P | W | PS, 4);
    expect_error(&rig, 0x400000, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    sys_rig_clear(&rig);
}

static void test_pae(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_protected_paging(&rig, true);
    set(&rig);
    expect_gpa(&rig, PAGE, X86_WRITE, X86_MMU_KERNEL, PAGE);
    g_assert_cmphex(sys_get(&rig, PTE(8), 8), ==, PAGE | P | W | A | D);
    expect_gpa(&rig, SYS_USER, X86_WRITE, X86_MMU_USER, SYS_USER); /* the register's U bit is none */
    expect_error(&rig, 0x40000000, X86_READ, X86_MMU_KERNEL, 0);
    sys_put(&rig, PTE(8), PAGE | P | 1ull << 62, 8);
    expect_error(&rig, PAGE, X86_READ, X86_MMU_KERNEL, E_P | E_RSVD);
    sys_put(&rig, SYS_PD + 8, 0xc00000 | P | PS, 8);
    expect_gpa(&rig, 0x212345, X86_READ, X86_MMU_KERNEL, 0xc12000);
    sys_rig_clear(&rig);
}

/* Tables where no RAM is. */
static void test_tables_outside_ram(void)
{
    SysRig rig;

    sys_rig_init(&rig, NULL);
    sys_long(&rig);
    sys_put(&rig, SYS_PD + 8, 0xf000000000ull | P | W | U, 8);
    set(&rig);
    expect_error(&rig, 2u << 20, X86_READ, X86_MMU_KERNEL, 0);
    rig.state.cr3 = 0xff00000000ull;
    set(&rig);
    expect_error(&rig, 0, X86_READ, X86_MMU_USER, E_U);
    sys_rig_clear(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/emu-mmu/no-paging", test_no_paging);
    g_test_add_func("/emu-mmu/rights", test_rights);
    g_test_add_func("/emu-mmu/rights-of-levels", test_rights_of_levels);
    g_test_add_func("/emu-mmu/accessed-dirty", test_accessed_dirty);
    g_test_add_func("/emu-mmu/large-pages", test_large_pages);
    g_test_add_func("/emu-mmu/nx-not-enabled", test_nx_not_enabled);
    g_test_add_func("/emu-mmu/32bit", test_32bit);
    g_test_add_func("/emu-mmu/pae", test_pae);
    g_test_add_func("/emu-mmu/tables-outside-ram", test_tables_outside_ram);
    return g_test_run();
}
