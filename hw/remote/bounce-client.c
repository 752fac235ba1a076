/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's end of bounced DMA: the DMA socket.
 *
 * Runs in: qemu-remote.
 */
#include "hw/remote/bounce-client.h"

#include <errno.h>
#include <string.h>

#include "io/dma-link.h"
#include "trace/hw-remote.h"
#include "util/fd.h"

G_STATIC_ASSERT(DMA_BOUNCE_PIECES_MAX == DMA_LINK_PIECES_MAX);

struct BounceClient {
    char *name;
    int fd;
    uint32_t serial;
    DmaBounce *bounce;
    BounceClientFailed *failed;
    void *opaque;
};

static const MemResult results[DMA_LINK_RESULT_MAX] = {
    [DMA_LINK_OK] = MEM_OK,
    [DMA_LINK_NO_RAM] = MEM_DECODE_ERROR,
    [DMA_LINK_REFUSED] = MEM_ERROR,
};

static const char *reason_of(int rc)
{
    switch (rc) {
    case -ETIMEDOUT:
        return "DMA: the main emulator does not answer in time";
    case -EPROTO:
        return "DMA: the main emulator's answer is none";
    case -ECONNRESET:
        return "DMA: the main emulator has closed the DMA socket";
    default:
        return "DMA: the DMA socket fails";
    }
}

static MemResult bounce_client_copy(void *opaque, bool write, const DmaBouncePiece *pieces, unsigned count)
{
    BounceClient *client = opaque;
    DmaLinkRequest request = {
        .serial = client->serial++,
        .kind = write ? DMA_LINK_WRITE : DMA_LINK_READ,
        .count = count,
    };
    DmaLinkResult result;
    int rc;

    for (unsigned i = 0; i < count; i++) {
        request.pieces[i] = (DmaLinkPiece) { pieces[i].addr, pieces[i].len, pieces[i].offset };
    }
    rc = dma_link_call(client->fd, &request, &result);
    trace_bounce_client_copy(client->name, write, pieces[0].addr, pieces[0].len, count, rc < 0 ? rc : (int)result);
    if (rc < 0) {
        dma_bounce_end(client->bounce);
        client->failed(client->opaque, rc, reason_of(rc));
        return MEM_ERROR;
    }
    return results[result];
}

BounceClient *bounce_client_new(MpqemuMsg *msg, const char *name, BounceClientFailed *failed, void *opaque,
                                GError **errp)
{
    g_autofree char *window_name = g_strdup_printf("%s.window", name);
    RamBlock *window = ram_block_new_take_fd(window_name, mpqemu_msg_take_fd(msg, 1), 0, DMA_LINK_WINDOW, false, errp);
    BounceClient *client;

    if (!window) {
        return NULL;
    }
    client = g_new0(BounceClient, 1);
    client->name = g_strdup(name);
    client->fd = mpqemu_msg_take_fd(msg, 0);
    client->bounce = dma_bounce_new(window, bounce_client_copy, client);
    client->failed = failed;
    client->opaque = opaque;
    ram_block_unref(window);
    return client;
}

void bounce_client_free(BounceClient *client)
{
    if (client) {
        dma_bounce_end(client->bounce);
        dma_bounce_unref(client->bounce);
        fd_close(&client->fd);
        g_free(client->name);
        g_free(client);
    }
}

DmaBounce *bounce_client_bounce(BounceClient *client)
{
    return client->bounce;
}
