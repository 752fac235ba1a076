/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device fuzzer: mutations of whole records, so that what follows a change keeps its meaning.
 * Runs in: fuzz target
 */
#include "fuzz-device.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                                 size_t max_size, unsigned seed);

/* Records [from, from + num) are repeated at TO; returns the new number of records. */
static size_t repeat(uint8_t *data, size_t count, size_t from, size_t num, size_t to)
{
    g_autofree uint8_t *copy = g_memdup2(data + from * FUZZ_RECORD, num * FUZZ_RECORD);

    memmove(data + (to + num) * FUZZ_RECORD, data + to * FUZZ_RECORD, (count - to) * FUZZ_RECORD);
    memcpy(data + to * FUZZ_RECORD, copy, num * FUZZ_RECORD);
    return count + num;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t count = size / FUZZ_RECORD, max = MIN(max_size / FUZZ_RECORD, FUZZ_RECORDS_MAX);
    size_t at, num;

    if (max == 0) {
        return 0;
    }
    if (count == 0 || count > max) {
        count = count ? max : 1;
        memset(data + (count - 1) * FUZZ_RECORD, 0, FUZZ_RECORD);
    }
    at = rand_r(&seed) % count;
    num = 1 + (size_t)rand_r(&seed) % 8;
    num = MIN(num, count - at);
    switch (rand_r(&seed) % 8) {
    case 0: /* some go */
        if (num < count) {
            memmove(data + at * FUZZ_RECORD, data + (at + num) * FUZZ_RECORD, (count - at - num) * FUZZ_RECORD);
            count -= num;
        }
        break;
    case 1: /* some come again */
        if (count + num <= max) {
            count = repeat(data, count, at, num, (size_t)rand_r(&seed) % (count + 1));
        }
        break;
    case 2: /* one comes, of another kind */
        if (count < max) {
            count = repeat(data, count, at, 1, at);
            data[at * FUZZ_RECORD] = (uint8_t)(rand_r(&seed) % FUZZ_OPS);
            LLVMFuzzerMutate(data + at * FUZZ_RECORD + 1, FUZZ_RECORD - 1, FUZZ_RECORD - 1);
        }
        break;
    default: /* one changes, mostly not in its kind */
        num = rand_r(&seed) % 8 != 0;
        LLVMFuzzerMutate(data + at * FUZZ_RECORD + num, FUZZ_RECORD - num, FUZZ_RECORD - num);
        break;
    }
    return count * FUZZ_RECORD;
}

/* The beginning of A, then the end of B. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size, uint8_t *out,
                                 size_t max_size, unsigned seed)
{
    size_t max = MIN(max_size / FUZZ_RECORD, FUZZ_RECORDS_MAX);
    size_t from_a = (size_t)rand_r(&seed) % (a_size / FUZZ_RECORD + 1);
    size_t skip_b = (size_t)rand_r(&seed) % (b_size / FUZZ_RECORD + 1);
    size_t from_b = b_size / FUZZ_RECORD - skip_b;

    from_a = MIN(from_a, max);
    from_b = MIN(from_b, max - from_a);
    memcpy(out, a, from_a * FUZZ_RECORD);
    memcpy(out + from_a * FUZZ_RECORD, b + skip_b * FUZZ_RECORD, from_b * FUZZ_RECORD);
    return (from_a + from_b) * FUZZ_RECORD;
}
