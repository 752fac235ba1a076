/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watched descriptor and a deferred call that note what happens to them.
 *
 * Runs in: tests.
 */
#include "event-rig.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include "util/fd.h"

EventLoop *new_loop(void)
{
    g_autoptr(GError) err = NULL;
    EventLoop *loop = event_loop_new(&err);

    g_assert_no_error(err);
    g_assert_nonnull(loop);
    return loop;
}

int new_fd(bool ready)
{
    int fd = eventfd(ready, EFD_CLOEXEC | EFD_NONBLOCK);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void watch_handler(int fd, unsigned ready, void *opaque)
{
    Watch *watch = opaque;

    g_assert_cmpint(fd, ==, watch->fd);
    watch->ready = ready;
    watch->calls++;
    watch->depth++;
    watch->max_depth = MAX(watch->max_depth, watch->depth);
    if (watch->action) {
        watch->action(watch);
    }
    watch->depth--;
}

void watch_fd(Watch *watch, EventLoop *loop, int fd, unsigned events)
{
    watch->loop = loop;
    watch->fd = fd;
    watch->source = event_loop_add_fd(loop, fd, events, watch_handler, watch);
    g_assert_nonnull(watch->source);
}

void unwatch(Watch *watch)
{
    event_source_remove(watch->source);
    watch->source = NULL;
    fd_close(&watch->fd);
}

void consume(Watch *watch)
{
    uint64_t value;

    g_assert_cmpint(read(watch->fd, &value, sizeof(value)), ==, sizeof(value));
}

static void call_handler(void *opaque)
{
    Call *call = opaque;

    g_assert_false(call->busy);
    call->busy = true;
    g_string_append_c(call->log, call->letter);
    if (call->again > 0) {
        call->again--;
        event_bh_schedule(call->bh);
    }
    if (call->nest) {
        while (event_loop_turn(call->loop, false)) {
            continue;
        }
    }
    if (call->free_self) {
        event_bh_free(call->bh);
        call->bh = NULL;
    }
    call->busy = false;
}

void init_calls(Call *calls, unsigned count, EventLoop *loop, GString *log)
{
    for (unsigned i = 0; i < count; i++) {
        calls[i] = (Call) { .loop = loop, .log = log, .letter = (char)('a' + i) };
        calls[i].bh = event_bh_new(loop, call_handler, &calls[i]);
    }
}

void free_calls(Call *calls, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        event_bh_free(calls[i].bh);
    }
}
