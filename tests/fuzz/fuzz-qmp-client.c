/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the QMP client against any server.
 * Runs in: fuzz target
 *
 * The first byte chooses what the client does; the rest is what the server says, in pieces that NUL bytes end; the
 * event loop turns between them.  Ids are known: "mpqemu-1" is qmp_capabilities, then commands and heartbeats in
 * their order.  Checked, besides what the sanitizers see: each command has one end, `closed` comes at most once and
 * after them, no descriptor is left open.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "io/qmp-client.h"

/* Bits of the first byte. */
#define CHOOSE_GREETED 1u  /* the server begins well */
#define CHOOSE_PING 2u     /* after each piece */
#define CHOOSE_CHAIN 4u    /* a callback asks for more */
#define CHOOSE_FREE 8u     /* an event's callback frees the client */
#define CHOOSE_FD 16u      /* commands carry a descriptor */

#define COMMANDS 3
#define PIECES_MAX 64

static const char beginning[] = "{\"QMP\": {}}{\"return\": {}, \"id\": \"mpqemu-1\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static QmpClient *client;
static unsigned choice, asked, ended, closed;

static void ask(void);

static void on_event(QmpClient *c, const char *name, JsonObject *data, void *opaque)
{
    if (!g_utf8_validate(name, -1, NULL)) {
        abort();
    }
    if (choice & CHOOSE_FREE) {
        qmp_client_free(g_steal_pointer(&client));
    }
}

static void on_closed(QmpClient *c, const char *reason, void *opaque)
{
    closed++;
}

static void on_done(JsonNode *value, const GError *err, void *opaque)
{
    if (!value == !err || closed) {
        abort();
    }
    ended++;
    if ((choice & CHOOSE_CHAIN) && client && !err) {
        ask();
    }
}

static void ask(void)
{
    asked++;
    qmp_client_command(client, "x", NULL, choice & CHOOSE_FD ? 0 : -1, 0, on_done, NULL);
}

static void settle(void)
{
    while (event_loop_turn(event_loop_main(), false)) {
        continue;
    }
}

/* The next piece of the input to SOCK; what the client says is thrown away. */
static void say_piece(int sock, const uint8_t **data, size_t *left)
{
    const uint8_t *end = memchr(*data, 0, *left);
    size_t len = end ? (size_t)(end - *data) : *left;
    char bytes[4096];

    send(sock, *data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    len += end != NULL;
    *data += len;
    *left -= len;
    settle();
    while (recv(sock, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        continue;
    }
}

static int lowest_fd(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const QmpClientOps ops = { .event = on_event, .closed = on_closed };
    int before, socks[2];
    int64_t silent_ms;

    if (size == 0) {
        return 0;
    }
    choice = *data++;
    size--;
    asked = ended = closed = 0;
    event_loop_main();
    before = lowest_fd();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0) {
        abort();
    }
    client = qmp_client_new_take_fd(socks[0], &ops, NULL, NULL);
    for (int i = 0; i < COMMANDS; i++) {
        ask();
    }
    if (choice & CHOOSE_GREETED) {
        const uint8_t *text = (const uint8_t *)beginning;
        size_t len = strlen(beginning);

        say_piece(socks[1], &text, &len);
    }
    for (int i = 0; i < PIECES_MAX && size && client; i++) {
        say_piece(socks[1], &data, &size);
        if (client && (choice & CHOOSE_PING)) {
            qmp_client_ping(client, &silent_ms);
        }
    }
    close(socks[1]);
    settle();
    /* With the peer gone nothing may be left; a client that a callback has freed is not told. */
    if (ended != asked || (client ? closed != 1 : closed != 0) || lowest_fd() != before) {
        abort();
    }
    qmp_client_free(g_steal_pointer(&client));
    return 0;
}
