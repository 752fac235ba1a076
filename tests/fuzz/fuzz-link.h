/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both fuzz targets of the link share: the input as a series of sends, and the comparison with the kernel.
 * Runs in: fuzz targets
 *
 * Input: sends, one after the other:
 *     1 byte   LEN - 1: bytes of this send (1 to 256; what is missing at the end of the input is left out)
 *     1 byte   low 4 bits: descriptors of this send; high 4 bits: which (FUZZ_FD_KINDS; every second one is the next)
 *     LEN      the bytes
 * tests/fuzz/link_seeds.py writes the seeds.
 *
 * A target is a function fuzz_link_run(), which returns a number that depends on all that the link did.  With
 * MPQEMU_FUZZ_KERNEL in the environment each input is run a second time, on a socket of the kernel's, and must give the
 * same number; that is for the corpus, it costs most of the speed.
 */
#ifndef TESTS_FUZZ_LINK_H
#define TESTS_FUZZ_LINK_H

#include <stdint.h>
#include <stdlib.h>
#include "fuzz-socket.h"
#include "io/mpqemu-link.h"

#define FUZZ_SENDS_MAX 32 /* fewer bytes than a socket takes before it blocks */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void check(bool good, const char *what)
{
    if (!good) {
        g_error("fuzz-link: %s", what);
    }
}

/* Sends the next part of the input; false at its end. */
static inline bool fuzz_send(const uint8_t **data, size_t *left)
{
    unsigned kinds[16], num, kind;
    size_t len;

    if (*left < 3) {
        return false;
    }
    len = MIN((*data)[0] + 1u, *left - 2);
    num = (*data)[1] & 15;
    kind = (*data)[1] >> 4;
    for (unsigned i = 0; i < num; i++) {
        /* Kinds 0 to 3 alone, 4 and more mixed. */
        kinds[i] = (kind + (kind >= FUZZ_FD_KINDS ? i : 0)) % FUZZ_FD_KINDS;
    }
    fuzz_socket_peer_send(*data + 2, len, kinds, num);
    *data += 2 + len;
    *left -= 2 + len;
    return true;
}

/* Adds VALUE to what a run gives. */
static inline uint64_t fuzz_mix(uint64_t sum, uint64_t value)
{
    return (sum ^ value) * UINT64_C(0x100000001b3);
}

/* The same for what is left of LINK, which is freed, and its descriptors. */
static inline uint64_t fuzz_link_end(uint64_t sum, MpqemuLink *link)
{
    const MpqemuLinkStats *stats = mpqemu_link_stats(link);

    sum = fuzz_mix(sum, stats->msgs_in);
    sum = fuzz_mix(sum, stats->bytes_in);
    sum = fuzz_mix(sum, stats->fds_in);
    sum = fuzz_mix(sum, stats->refused);
    sum = fuzz_mix(sum, g_str_hash(mpqemu_link_reason(link) ? mpqemu_link_reason(link) : ""));
    mpqemu_link_free(link);
    check(fuzz_socket_finish() == 0, "descriptors are left open");
    return sum;
}

static inline int fuzz_link_both(uint64_t (*run)(const uint8_t *data, size_t size, FuzzSocketMode mode),
                                 const uint8_t *data, size_t size)
{
    static int compare = -1;
    uint64_t sum = run(data, size, FUZZ_SOCKET_MODEL);

    if (compare < 0) {
        compare = g_getenv("MPQEMU_FUZZ_KERNEL") != NULL;
    }
    check(!compare || run(data, size, FUZZ_SOCKET_KERNEL) == sum, "the kernel's socket is not as ours");
    return 0;
}

#endif
