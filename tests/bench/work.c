/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer work for a processor: what it does, a line each, as NAME NANOSECONDS CHECKSUM.
 *
 * Runs in: a guest, and on the host.  Usage: work [NAME].
 *
 * Plain C that a compiler makes ordinary code of; no system calls in between.  The checksums are the same everywhere.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t random_state = 88172645463325252u;

/* Marsaglia's xorshift. */
static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t sieve(void)
{
    static uint8_t composite[2000000];
    uint64_t primes = 0;

    for (unsigned round = 0; round < 4; round++) {
        memset(composite, 0, sizeof(composite));
        for (uint32_t i = 2; i < sizeof(composite); i++) {
            if (!composite[i]) {
                primes++;
                for (uint64_t j = (uint64_t)i * i; j < sizeof(composite); j += i) {
                    composite[j] = 1;
                }
            }
        }
    }
    return primes;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint64_t sort(void)
{
    static uint32_t numbers[200000];
    uint64_t sum = 0;

    for (unsigned i = 0; i < 200000; i++) {
        numbers[i] = (uint32_t)next_random();
    }
    qsort(numbers, 200000, sizeof(numbers[0]), compare);
    for (unsigned i = 0; i < 200000; i += 1000) {
        sum = sum * 31 + numbers[i];
    }
    return sum;
}

static uint64_t hash(void)
{
    static uint8_t text[65536];
    uint64_t value = 14695981039346656037u;

    for (unsigned i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)next_random();
    }
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < sizeof(text); i++) {
            value = (value ^ text[i]) * 1099511628211u;
        }
    }
    return value;
}

static uint32_t fibonacci(uint32_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t calls(void)
{
    return fibonacci(32);
}

typedef struct Node {
    struct Node *left, *right;
    uint64_t key;
} Node;

static uint64_t tree(void)
{
    static Node nodes[100000];
    Node *root = NULL;
    uint64_t depth = 0;

    for (unsigned i = 0; i < 100000; i++) {
        Node **place = &root;

        nodes[i] = (Node) { .key = next_random() };
        while (*place) {
            place = nodes[i].key < (*place)->key ? &(*place)->left : &(*place)->right;
            depth++;
        }
        *place = &nodes[i];
    }
    return depth;
}

static const struct {
    const char *name;
    uint64_t (*run)(void);
} works[] = { { "sieve", sieve }, { "sort", sort }, { "hash", hash }, { "calls", calls }, { "tree", tree } };

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        struct timespec start, end;
        uint64_t result;

        if (argc > 1 && strcmp(argv[1], works[i].name) != 0) {
            continue;
        }
        random_state = 88172645463325252u;
        clock_gettime(CLOCK_MONOTONIC, &start);
        result = works[i].run();
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%s %lld %016" PRIx64 "\n", works[i].name,
               (end.tv_sec - start.tv_sec) * 1000000000ll + (end.tv_nsec - start.tv_nsec), result);
    }
    return 0;
}
