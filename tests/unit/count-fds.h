/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a test's own process has open, for tests that nothing is left behind.
 *
 * Runs in: tests
 */
#ifndef TESTS_COUNT_FDS_H
#define TESTS_COUNT_FDS_H

#include <glib.h>

static inline unsigned count_entries(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    unsigned count = 0;

    while (g_dir_read_name(dir)) {
        count++;
    }
    g_dir_close(dir);
    return count;
}

/* Open descriptors, and one that this itself needs. */
static inline unsigned count_fds(void)
{
    return count_entries("/proc/self/fd");
}

#endif
