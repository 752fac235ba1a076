/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the few tests that need what valgrind does not give a program (`meson test --setup valgrind` sets
 * MPQEMU_VALGRIND):
 *
 *     if (skip_under_valgrind("why")) {
 *         return;
 *     }
 */
#ifndef TESTS_UNDER_VALGRIND_H
#define TESTS_UNDER_VALGRIND_H

#include <stdbool.h>
#include <glib.h>

/* Marks the running test as skipped, and says so, when the program runs under valgrind. */
static inline bool skip_under_valgrind(const char *why)
{
    if (!g_getenv("MPQEMU_VALGRIND")) {
        return false;
    }
    g_test_skip(why);
    return true;
}

#endif
