/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of character devices: a front, and the other ends.
 *
 * Runs in: tests; the test's thread is the main loop and holds the machine lock.
 */
#ifndef TESTS_CHARDEV_RIG_H
#define TESTS_CHARDEV_RIG_H

#include "chardev/chardev-int.h"
#include "util/event-loop.h"

/* Far above anything that does not hang. */
#define WAIT_NS (20 * G_GINT64_CONSTANT(1000000000))

/* How long a peer that does not read holds a guest up here. */
#define STALL_NS (50 * 1000 * 1000)

/* Turns the loop until CONDITION. */
#define WAIT_FOR(condition) \
    do { \
        int64_t deadline_ = event_clock_ns(EVENT_CLOCK_REAL) + WAIT_NS; \
        while (!(condition)) { \
            g_assert_cmpint(event_clock_ns(EVENT_CLOCK_REAL), <, deadline_); \
            if (!event_loop_turn(event_loop_main(), false)) { \
                g_usleep(200); \
            } \
        } \
    } while (0)

/* A front that keeps what comes. */
typedef struct Front {
    Chardev *chr;
    GString *input;
    size_t room;  /* for input */
    unsigned told; /* of room for output */
    unsigned opened, closed, breaks;
} Front;

/* FRONT is that of the device ID, with ROOM for input; detach() frees its input. */
void attach(Front *front, const char *id, size_t room);
void detach(Front *front);
void give_room(Front *front, size_t room);

/* -chardev TEXT; the second: a socket on FD, with MORE behind. */
bool add(const char *text, GError **errp);
void add_fd(const char *id, int fd, const char *more);

/* All that is to be done at once. */
void settle(void);

/* A socket whose kernel buffers are as small as can be; ours is not inherited by anything. */
int make_pair(int *ret_theirs);

/* Reads what is there into TEXT. */
void drain(int fd, GString *text);

/* Writes a pattern of LEN bytes that begins at FROM; returns what was taken. */
size_t write_pattern(Chardev *chr, size_t from, size_t len);
void check_pattern(const GString *text);

#endif
