/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compares the engine with the host's processor, instruction by instruction.
 *
 * Runs in: tests.
 *
 *   test-emu-differential [--seed N] [--count N] [--group integer|compat|sequence|sse|x87]
 *
 * Each case is run on both from the same registers, FPU state and memory, and must end in the same exception with the
 * same registers, flags, FPU state and memory, but for flags that the architecture leaves undefined.  COUNT cases of
 * each group are run (default 20000).  A case that differs is printed with all that differs; it comes again with its
 * own seed: --seed N --count 1 --group G.
 *
 * The sse group walks over all opcodes of the maps 0F, 0F 38 and 0F 3A with all prefixes.  An instruction that the
 * host has and the engine does not is listed, and is an error unless it is of an extension that the engine does not
 * tell its guest about.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "guest.h"

#define DIFFERENCES_SHOWN 20
#define VECTOR_BP 3u
#define VECTOR_PF 14u
#define HOST_USER_END 0x7ffffffff000u
#define ARITHMETIC_FLAGS 0x8d5u

static unsigned differences;

typedef struct Outcome {
    NativeState state;
    NativeEnd end;
    uint8_t data[NATIVE_DATA_SIZE];
    bool ended;
} Outcome;

static void report(const Case *c, uint64_t seed, const char *group)
{
    if (++differences > DIFFERENCES_SHOWN) {
        return;
    }
    printf("%s: %s: --seed %" PRIu64 " --count 1 --group %s\n  code", group, c->text, seed, group);
    for (unsigned i = 0; i < c->size; i++) {
        printf(" %02x", c->code[i]);
    }
    printf("\n");
}

static void detail(const char *what, uint64_t start, uint64_t host, uint64_t engine)
{
    if (differences <= DIFFERENCES_SHOWN) {
        printf("  %-12s start %016" PRIx64 " host %016" PRIx64 " engine %016" PRIx64 "\n", what, start, host, engine);
    }
}

static uint64_t get(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    memcpy(&value, bytes, size);
    return value;
}

/* The places of the FXSAVE image that count. */
static const struct {
    const char *name;
    unsigned offset, size, step, count;
    bool x87;
} image_parts[] = {
    { "fcw", 0, 2, 0, 1, true },       { "fsw", 2, 2, 0, 1, true },       { "ftw", 4, 1, 0, 1, true },
    { "mxcsr", 24, 4, 0, 1, false },   { "st", 32, 8, 16, 8, true },      { "st exponent", 40, 2, 16, 8, true },
    { "xmm low", 160, 8, 16, 16, false }, { "xmm high", 168, 8, 16, 16, false },
};

/* Calls DIFFERENT for each place that differs; the number of them. */
static unsigned compare(const Case *c, const Outcome *host, const Outcome *engine,
                        void (*different)(const char *what, uint64_t start, uint64_t host, uint64_t engine))
{
    uint64_t flags = 0xcd5 & ~c->undefined;
    unsigned found = 0;
    bool open = c->open_when_zero && (host->state.rflags & 0x40);

#define CHECK(what, start, x, y) \
    do { \
        if ((x) != (y)) { \
            found++; \
            different(what, start, x, y); \
        } \
    } while (0)
    CHECK("exception", 0, host->end.vector, engine->end.vector);
    CHECK("error code", 0, host->end.error, engine->end.error);
    CHECK("cr2", 0, host->end.cr2, engine->end.cr2);
    CHECK("rip", c->state.rip, host->state.rip, engine->state.rip);
    CHECK("flags", c->state.rflags, host->state.rflags & flags, engine->state.rflags & flags);
    for (unsigned i = 0; i < 16 && !open; i++) {
        static const char *const names[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                               "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15" };

        CHECK(names[i], c->state.gpr[i], host->state.gpr[i], engine->state.gpr[i]);
    }
    for (unsigned i = 0; i < sizeof(image_parts) / sizeof(image_parts[0]); i++) {
        for (unsigned j = 0; j < image_parts[i].count && (c->x87 || !image_parts[i].x87); j++) {
            unsigned at = image_parts[i].offset + j * image_parts[i].step, size = image_parts[i].size;
            char name[32];

            snprintf(name, sizeof(name), "%s %u", image_parts[i].name, j);
            CHECK(name, get(c->state.fxsave + at, size), get(host->state.fxsave + at, size),
                  get(engine->state.fxsave + at, size));
        }
    }
    for (unsigned i = 0; i < NATIVE_DATA_SIZE && memcmp(host->data, engine->data, NATIVE_DATA_SIZE) != 0; i += 8) {
        CHECK("memory", NATIVE_DATA + i, get(host->data + i, 8), get(engine->data + i, 8));
    }
#undef CHECK
    return found;
}

static void ignore(const char *what, uint64_t start, uint64_t host, uint64_t engine)
{
}

static Outcome host_outcome, engine_outcome;

static void run(const Case *c, const uint8_t *data)
{
    memcpy(native_data(), data, NATIVE_DATA_SIZE);
    host_outcome.state = c->state;
    native_run(c->code, c->size, &host_outcome.state, &host_outcome.end);
    memcpy(host_outcome.data, native_data(), NATIVE_DATA_SIZE);

    memcpy(guest_data(), data, NATIVE_DATA_SIZE);
    engine_outcome.state = c->state;
    engine_outcome.ended = guest_run(c->code, c->size, &engine_outcome.state, &engine_outcome.end);
    memcpy(engine_outcome.data, guest_data(), NATIVE_DATA_SIZE);
}

/*
 * Of an environment, the pointers; and how far a processor has come in it when it faults in its second page, which is
 * not the same on all.
 */
static void forget_environment(const Case *c, Outcome *outcome)
{
    if (c->address >= NATIVE_DATA && c->address + 28 <= NATIVE_DATA + NATIVE_DATA_SIZE) {
        memset(outcome->data + (c->address - NATIVE_DATA) + 12, 0, 16);
    }
    outcome->end.cr2 &= ~(uint64_t)0xfff;
}

/* Whether there is a page of the kernel's where user code may not look: not the same on both sides. */
static void forget_kernel(Outcome *outcome)
{
    if (outcome->end.vector == 14 && outcome->end.cr2 >> 63) {
        outcome->end.error &= ~(uint64_t)1;
    }
}

static void check_case(const Case *c, uint64_t seed, const char *group, const uint8_t *data)
{
    run(c, data);
    forget_kernel(&host_outcome);
    forget_kernel(&engine_outcome);
    if (c->environment) {
        forget_environment(c, &host_outcome);
        forget_environment(c, &engine_outcome);
    }
    if (!engine_outcome.ended) {
        report(c, seed, group);
        printf("  the engine came to no end\n");
    } else if (compare(c, &host_outcome, &engine_outcome, ignore)) {
        report(c, seed, group);
        compare(c, &host_outcome, &engine_outcome, detail);
    }
}

/* ---- groups --------------------------------------------------------------------------------------- */

static void run_integer(Generator *g, uint64_t seed, const uint8_t *data)
{
    Case c;

    generate_integer(g, &c, false);
    check_case(&c, seed, "integer", data);
}

static void run_compat(Generator *g, uint64_t seed, const uint8_t *data)
{
    Case c;

    generate_integer(g, &c, true);
    check_case(&c, seed, "compat", data);
}

static void run_x87(Generator *g, uint64_t seed, const uint8_t *data)
{
    unsigned escape = 0xd8 + generate_below(g, 8), modrm = generate_below(g, 256);
    Case c;

    generate_x87(g, &c, escape, modrm);
    check_case(&c, seed, "x87", data);
}

/* Opcodes that the host has and the engine has not, as map << 16 | prefix << 8 | opcode. */
static unsigned missing[64], missing_count;

/* MOVNTSS and MOVNTSD of SSE4A, which only some processors have and the engine tells nobody of. */
static const unsigned not_told[] = { 0x1f32b, 0x1f22b };

static void note_missing(unsigned map, unsigned opcode, unsigned prefix)
{
    unsigned what = map << 16 | prefix << 8 | opcode;

    for (unsigned i = 0; i < sizeof(not_told) / sizeof(not_told[0]); i++) {
        if (not_told[i] == what) {
            return;
        }
    }
    for (unsigned i = 0; i < missing_count; i++) {
        if (missing[i] == what) {
            return;
        }
    }
    if (missing_count < sizeof(missing) / sizeof(missing[0])) {
        missing[missing_count++] = what;
    }
}

static void run_sse(Generator *g, uint64_t seed, const uint8_t *data)
{
    static const unsigned prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
    unsigned map = 1 + generate_below(g, 3), opcode = generate_below(g, 256), prefix = prefixes[generate_below(g, 4)];
    Case c;

    if (!generate_sse(g, &c, map, opcode, prefix)) {
        return;
    }
    run(&c, data);
    if (engine_outcome.ended && engine_outcome.end.vector == 6 && host_outcome.end.vector != 6) {
        note_missing(map, opcode, prefix);
        return;
    }
    check_case(&c, seed, "sse", data);
}

static void run_sequence(Generator *g, uint64_t seed, const uint8_t *data)
{
    Case c;

    generate_sequence(g, &c);
    run(&c, data);
    if (host_outcome.end.vector == VECTOR_PF && host_outcome.end.cr2 >= HOST_USER_END) {
        return; /* a wild pointer: Linux tells of a protection fault whatever is there */
    }
    if (host_outcome.end.vector != VECTOR_BP) {
        c.undefined = ARITHMETIC_FLAGS;
    }
    check_case(&c, seed, "sequence", data);
}

static const struct {
    const char *name;
    void (*run)(Generator *g, uint64_t seed, const uint8_t *data);
} groups[] = {
    { "integer", run_integer },
    { "compat", run_compat },
    { "sequence", run_sequence },
    { "sse", run_sse },
    { "x87", run_x87 },
};

static void run_group(unsigned group, uint64_t seed, uint64_t count)
{
    static uint8_t data[NATIVE_DATA_SIZE];

    for (uint64_t i = 0; i < count; i++) {
        Generator g = { seed + i }, d = { (seed + i) / 64 };

        if (i == 0 || (seed + i) % 64 == 0) {
            generate_data(&d, data, sizeof(data));
        }
        generate_random(&g);
        groups[group].run(&g, seed + i, data);
    }
    printf("%s: %" PRIu64 " cases from seed %" PRIu64 "\n", groups[group].name, count, seed);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' },
        { "count", required_argument, NULL, 'c' },
        { "group", required_argument, NULL, 'g' },
        { 0 },
    };
    uint64_t seed = 1, count = 20000;
    const char *only = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 's':
            seed = strtoull(optarg, NULL, 0);
            break;
        case 'c':
            count = strtoull(optarg, NULL, 0);
            break;
        case 'g':
            only = optarg;
            break;
        default:
            fprintf(stderr, "usage: %s [--seed N] [--count N] [--group integer|compat|sequence|sse|x87]\n", argv[0]);
            return 2;
        }
    }
    native_init();
    guest_init(NULL);
    for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (!only || strcmp(only, groups[i].name) == 0) {
            run_group(i, seed, count);
        }
    }
    guest_free();
    for (unsigned i = 0; i < missing_count; i++) {
        printf("the host has map %u opcode %02x prefix %02x, the engine has not\n", missing[i] >> 16, missing[i] & 0xff,
               missing[i] >> 8 & 0xff);
    }
    if (differences || missing_count) {
        printf("%u cases differ, %u opcodes are missing\n", differences, missing_count);
        return 1;
    }
    return 0;
}
