/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of util/: texts.
 *
 * Runs in: tests
 */
#ifndef TESTS_UTIL_RIG_H
#define TESTS_UTIL_RIG_H

#include <string.h>
#include <glib.h>

static inline void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) {
        g_error("'%s' not in '%s'", part, text);
    }
}

#endif
