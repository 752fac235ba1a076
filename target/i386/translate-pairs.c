/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From operations to handlers of several operations (ops-steps.h).
 *
 * Thread: any.  Runs in: mpqemu.
 *
 * Going backward through a block finds the cheapest way from each operation to the end.  Every operation gets the
 * handler of its way, also those that a longer one before passes over: when that one gives up in the middle it goes on
 * with them.
 */
#include <pthread.h>
#include <glib.h>
#include "target/i386/ops-steps.h"
#include "target/i386/translate.h"

/* What an operation is: a step, a comparison that branches, or an operation whose flags a branch may test. */
typedef struct Kind {
    X86Fn *fn;
    uint8_t step;      /* X86_STEP_COUNT: none */
    uint8_t tail;      /* X86_TAIL_*, X86_TAILS: none */
    uint8_t size, condition;
    bool no_flags;
    const X86FlagsBranch *flags;
} Kind;

#define KIND_SLOTS 1024u /* more than twice as many as there are kinds */
static Kind kinds[KIND_SLOTS];

static unsigned slot_of(X86Fn *fn)
{
    return (unsigned)(((uintptr_t)fn * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}

static const Kind *find_kind(X86Fn *fn)
{
    unsigned i = slot_of(fn);

    while (kinds[i].fn != NULL && kinds[i].fn != fn) {
        i = (i + 1) % KIND_SLOTS;
    }
    return kinds[i].fn != NULL ? &kinds[i] : NULL;
}

static void add_kind(Kind kind)
{
    unsigned i = slot_of(kind.fn);

    while (kinds[i].fn != NULL) {
        i = (i + 1) % KIND_SLOTS;
    }
    kinds[i] = kind;
}

static void add_tails(unsigned tail, X86Fn *const fns[2][X86_SIZES][16])
{
    for (unsigned i = 0; i < 2 * 2 * 16; i++) {
        const unsigned n = i / 32, s = i & 16 ? X86_S64 : X86_S32, c = i % 16;

        if (fns[n][s][c] != NULL) {
            add_kind((Kind) { .fn = fns[n][s][c], .step = X86_STEP_COUNT, .tail = (uint8_t)tail, .size = (uint8_t)s,
                              .condition = (uint8_t)c, .no_flags = n });
        }
    }
}

static void make_kinds(void)
{
#define ADD_STEP(name) add_kind((Kind) { .fn = X86_FN_##name, .step = X86_STEP_##name, .tail = X86_TAILS });
    X86_STEPS(ADD_STEP)
#undef ADD_STEP
    add_tails(X86_TAIL_CMP_RR, x86_cmp_rr_jcc);
    add_tails(X86_TAIL_CMP_RI, x86_cmp_ri_jcc);
    add_tails(X86_TAIL_TEST_RR, x86_test_rr_jcc);
    for (unsigned i = 0; i < x86_flags_branches; i++) {
        add_kind((Kind) { .fn = *x86_flags_branch[i].fn, .step = X86_STEP_COUNT, .tail = X86_TAILS,
                          .flags = &x86_flags_branch[i] });
    }
}

static bool is_memory(const Kind *kind)
{
    return kind->step >= X86_REG_STEP_COUNT && kind->step < X86_STEP_COUNT;
}

/* Whether B, behind A, may go without a look into the TLB where A went: same base, which A leaves as it was. */
static bool same_page(const Kind *kind_a, const X86Op *a, const X86Op *b)
{
    if (kind_a->step == X86_STEP_push || kind_a->step == X86_STEP_pop) {
        return a->reg != X86_RSP && b->reg != X86_RSP;
    }
    return a->base == b->base && (a->reg != a->base || kind_a->step == X86_STEP_st32 || kind_a->step == X86_STEP_st64);
}

/* How many operations from OPS on, of KIND, are of one kind and may go to one page. */
static unsigned run_length(const X86Op *ops, const Kind *const *kind, unsigned count)
{
    unsigned n = 1;

    while (n < count && kind[n] == kind[0] && same_page(kind[0], &ops[n - 1], &ops[n])) {
        n++;
    }
    return n;
}

/* The handler for OPS[0] and OPS[1], or NULL. */
static X86Fn *pair(const X86Op *ops, const Kind *a, const Kind *b, bool *linked)
{
    const bool reg = ops[1].reg == ops[0].reg;
    X86Fn *fn = NULL;

    *linked = false;
    if (b->flags != NULL) {
        return NULL;
    }
    if (b->step == X86_STEP_COUNT) {
        return x86_pair_branch[b->no_flags][a->step][b->tail][b->size][b->condition];
    }
    if (is_memory(a) && is_memory(b)) {
        const unsigned i = a->step - X86_REG_STEP_COUNT, k = b->step - X86_REG_STEP_COUNT;

        fn = same_page(a, &ops[0], &ops[1]) ? x86_pair_page[i][k] : NULL;
        *linked = fn != NULL;
        return fn != NULL ? fn : x86_pair_mem_mem[i][k];
    }
    if (is_memory(b)) {
        return x86_pair_reg_mem[a->step][b->step - X86_REG_STEP_COUNT];
    }
    if (is_memory(a)) {
        fn = reg ? x86_pair_load_reg[a->step - X86_REG_STEP_COUNT][b->step] : NULL;
        *linked = fn != NULL;
        return fn != NULL ? fn : x86_pair_mem_reg[a->step - X86_REG_STEP_COUNT][b->step];
    }
    fn = reg ? x86_pair_reg[a->step][b->step] : NULL;
    *linked = fn != NULL;
    return fn != NULL ? fn : x86_pair[a->step][b->step];
}

/* The handler of an operation that FLAGS is about and of JUMP behind it, or NULL. */
static X86Fn *flags_branch(const X86FlagsBranch *flags, const X86Op *jump)
{
    const unsigned condition = jump->aux & 15;

    return jump->fn == x86_jcc[flags->known][condition] ? flags->branch[jump->imm != 0][condition] : NULL;
}

void x86_pair_up(X86Op *ops, unsigned count)
{
    static pthread_once_t made = PTHREAD_ONCE_INIT;
    const Kind *kind[X86_BLOCK_OPS + 4] = { NULL };
    unsigned gain[X86_BLOCK_OPS + 4] = { 0 }; /* of the best way from here */

    pthread_once(&made, make_kinds);
    for (unsigned i = count; i-- > 0;) {
        unsigned run, best;
        bool linked;
        X86Fn *fn;

        kind[i] = find_kind(ops[i].fn);
        gain[i] = gain[i + 1];
        if (kind[i] == NULL || i + 1 == count) {
            continue;
        }
        if (kind[i]->flags != NULL) {
            fn = flags_branch(kind[i]->flags, &ops[i + 1]);
            if (fn != NULL) {
                gain[i] = 3 + gain[i + 2];
                ops[i].fn = fn;
            }
            continue;
        }
        if (kind[i]->step == X86_STEP_COUNT || kind[i + 1] == NULL) {
            continue;
        }
        /* A jump saved counts for three links. */
        fn = pair(&ops[i], kind[i], kind[i + 1], &linked);
        best = 3 + linked + gain[i + 2];
        if (fn != NULL && best > gain[i]) {
            gain[i] = best;
            ops[i].fn = fn;
        }
        if (!is_memory(kind[i]) || x86_quad_page[kind[i]->step - X86_REG_STEP_COUNT] == NULL) {
            continue;
        }
        run = run_length(&ops[i], &kind[i], count - i);
        if (run >= 3 && 6 + 2 + gain[i + 3] > gain[i]) {
            gain[i] = 6 + 2 + gain[i + 3];
            ops[i].fn = x86_triple_page[kind[i]->step - X86_REG_STEP_COUNT];
        }
        if (run >= 4 && 9 + 3 + gain[i + 4] > gain[i]) {
            gain[i] = 9 + 3 + gain[i + 4];
            ops[i].fn = x86_quad_page[kind[i]->step - X86_REG_STEP_COUNT];
        }
    }
}
