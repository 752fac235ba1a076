/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A front that keeps what comes, and the other ends.
 *
 * Runs in: tests
 */
#include "chardev-rig.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "util/fd.h"

static size_t front_can_read(void *opaque)
{
    return ((Front *)opaque)->room;
}

static void front_read(void *opaque, const uint8_t *data, size_t len)
{
    Front *front = opaque;

    g_assert_cmpuint(len, <=, front->room);
    front->room -= len;
    g_string_append_len(front->input, (const char *)data, (gssize)len);
}

static void front_can_write(void *opaque)
{
    ((Front *)opaque)->told++;
}

static void front_event(void *opaque, ChardevEvent event)
{
    Front *front = opaque;
    unsigned *const counters[] = { &front->opened, &front->closed, &front->breaks };

    (*counters[event])++;
}

void attach(Front *front, const char *id, size_t room)
{
    static const ChardevOps ops = { front_can_read, front_read, front_can_write, front_event };

    *front = (Front) { .input = g_string_new(NULL), .room = room };
    front->chr = chardev_attach(id, &ops, front, NULL);
    g_assert_nonnull(front->chr);
}

void detach(Front *front)
{
    chardev_detach(front->chr);
    g_string_free(front->input, TRUE);
}

void give_room(Front *front, size_t room)
{
    front->room = room;
    chardev_accept_input(front->chr);
}

bool add(const char *text, GError **errp)
{
    g_autoptr(Options) opts = options_parse("-chardev", text, "backend", errp);

    return opts && chardev_add(opts, errp);
}

void add_fd(const char *id, int fd, const char *more)
{
    g_autofree char *text = g_strdup_printf("socket,id=%s,fd=%d%s", id, fd, more);
    g_autoptr(GError) err = NULL;

    add(text, &err);
    g_assert_no_error(err);
    g_assert_true(chardevs_start());
}

void settle(void)
{
    while (event_loop_turn(event_loop_main(), false)) {
    }
}

int make_pair(int *ret_theirs)
{
    int fds[2], small = 1;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    fd_set_nonblock(fds[0], true);
    *ret_theirs = fds[1];
    return fds[0];
}

void drain(int fd, GString *text)
{
    char data[4096];
    ssize_t n;

    while ((n = read(fd, data, sizeof(data))) > 0) {
        g_string_append_len(text, data, n);
        settle();
    }
}

size_t write_pattern(Chardev *chr, size_t from, size_t len)
{
    g_autofree uint8_t *data = g_malloc(len);

    for (size_t i = 0; i < len; i++) {
        data[i] = (uint8_t)((from + i) * 31 >> 3);
    }
    return chardev_write(chr, data, len);
}

void check_pattern(const GString *text)
{
    for (size_t i = 0; i < text->len; i++) {
        g_assert_cmphex((uint8_t)text->str[i], ==, (uint8_t)(i * 31 >> 3));
    }
}
