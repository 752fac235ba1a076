/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pci-proxy-dev with dma=bounce: copies between guest RAM and the window, asked for by the remote.
 *
 * Runs in: mpqemu.
 *
 * Theory of operation.  The remote maps no guest RAM.  It asks for copies on a socket of its own, also while a vCPU
 * waits for its answer to a register access; so neither that vCPU's thread nor a holder of the machine lock can serve
 * it, and each connection has a thread for it.  The thread takes no lock but the bounce lock, waits for nothing but
 * the next request, and sends without waiting; so it can be joined by whoever frees the connection.
 *
 * What a copy needs.  Each piece is copied with the bounce lock held, and only when the connection is the one in use
 * and the local copy of the command register lets the function master the bus.  Both are changed with the lock held,
 * so after a disabled bus mastering, a reset, a death or an unplug no copy is under way and none follows.  (A remote
 * that answers an access has had the answers to its own requests before, so what it tells the guest never overtakes
 * its DMA.)
 *
 * The remote is hostile.  Window and socket are all that it can write to: the window's bytes are copied and never
 * looked at; addresses are looked up in the memory map at each copy and reach RAM only.  What breaks the protocol
 * ends the link.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "hw/proxy/proxy-int.h"
#include "io/dma-link.h"
#include "trace/hw-proxy.h"
#include "util/error.h"
#include "util/fd.h"

struct ProxyBounce {
    /* Constant. */
    PciProxyDev *proxy;
    int shutdown_fd;     /* the connection's */
    int fd;              /* our end of the DMA socket */
    RamBlock *window;

    /* Who uses the link; the main loop once the connection has ended. */
    int remote_fd;       /* the remote's end until it is passed, else -1 */
    GThread *thread;     /* NULL: not started */

    /* The bounce lock: the innermost of all, held for the copy of one piece. */
    pthread_mutex_t lock;
    bool allowed;
    const char *reason;  /* static; why the link has ended when it has now, or NULL */

    bool stopped;        /* atomic: for good */
};

ProxyBounce *proxy_bounce_new(PciProxyDev *proxy, int shutdown_fd, GError **errp)
{
    ProxyBounce *bounce = g_new0(ProxyBounce, 1);
    int rc;

    bounce->proxy = proxy;
    bounce->shutdown_fd = shutdown_fd;
    bounce->fd = bounce->remote_fd = -1;
    pthread_mutex_init(&bounce->lock, NULL);
    rc = dma_link_pair(proxy->timeout_ms, &bounce->fd, &bounce->remote_fd);
    if (rc < 0) {
        error_setg_errno(errp, -rc, "cannot make the DMA socket; raise the limit of descriptors (ulimit -n)");
    } else {
        bounce->window = ram_block_new_memfd("dma-window", DMA_LINK_WINDOW, true, errp);
    }
    if (!bounce->window) {
        proxy_bounce_free(bounce);
        return NULL;
    }
    return bounce;
}

void proxy_bounce_stop(ProxyBounce *bounce)
{
    if (bounce) {
        __atomic_store_n(&bounce->stopped, true, __ATOMIC_RELEASE); /* pieces that have not begun do not */
        pthread_mutex_lock(&bounce->lock);
        bounce->allowed = false;
        pthread_mutex_unlock(&bounce->lock);
        shutdown(bounce->fd, SHUT_RDWR);
    }
}

void proxy_bounce_free(ProxyBounce *bounce)
{
    if (bounce) {
        proxy_bounce_stop(bounce);
        if (bounce->thread) {
            g_thread_join(bounce->thread);
        }
        fd_close(&bounce->fd);
        fd_close(&bounce->remote_fd);
        ram_block_unref(bounce->window);
        pthread_mutex_destroy(&bounce->lock);
        g_free(bounce);
    }
}

void proxy_bounce_update(PciProxyDev *proxy)
{
    ProxyBounce *bounce = proxy->conn ? proxy->conn->bounce : NULL;

    if (bounce) {
        pthread_mutex_lock(&bounce->lock);
        bounce->allowed = proxy->pci.dma.enabled && !__atomic_load_n(&bounce->stopped, __ATOMIC_ACQUIRE);
        pthread_mutex_unlock(&bounce->lock);
    }
}

void proxy_bounce_fence(ProxyBounce *bounce)
{
    if (bounce) {
        pthread_mutex_lock(&bounce->lock);
        pthread_mutex_unlock(&bounce->lock);
    }
}

const char *proxy_bounce_reason(ProxyBounce *bounce)
{
    const char *reason = NULL;

    if (bounce) {
        pthread_mutex_lock(&bounce->lock);
        reason = bounce->reason;
        pthread_mutex_unlock(&bounce->lock);
    }
    return reason;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static MemResult copy_piece(ProxyBounce *bounce, DmaLinkKind kind, const DmaLinkPiece *piece)
{
    uint8_t *at = bounce->window->host + piece->offset;
    MemResult result = MEM_DECODE_ERROR;

    /* What a guest may have told its device; copying would begin anew at address 0. */
    if (piece->gpa + (piece->len - 1) < piece->gpa) {
        return MEM_DECODE_ERROR;
    }
    pthread_mutex_lock(&bounce->lock);
    if (bounce->allowed) {
        result = kind == DMA_LINK_READ ? address_space_copy_from(system_memory(), piece->gpa, at, piece->len, true)
                                       : address_space_copy_to(system_memory(), piece->gpa, at, piece->len, true);
    }
    pthread_mutex_unlock(&bounce->lock);
    PROXY_COUNT_BY(bounce->proxy, bounced_bytes, result == MEM_OK ? piece->len : 0);
    return result;
}

static DmaLinkResult copy(ProxyBounce *bounce, const DmaLinkRequest *request)
{
    MemResult result = MEM_OK;

    for (unsigned i = 0; i < request->count && !__atomic_load_n(&bounce->stopped, __ATOMIC_ACQUIRE); i++) {
        result |= copy_piece(bounce, request->kind, &request->pieces[i]);
    }
    trace_proxy_bounce(bounce->proxy->name, request->kind == DMA_LINK_WRITE, request->pieces[0].gpa,
                       request->pieces[0].len, request->count, result);
    return result & MEM_DECODE_ERROR ? DMA_LINK_NO_RAM : result ? DMA_LINK_REFUSED : DMA_LINK_OK;
}

static gpointer bounce_thread(gpointer opaque)
{
    ProxyBounce *bounce = opaque;
    DmaLinkRequest request;
    const char *why = NULL;
    int rc;

    while ((rc = dma_link_receive(bounce->fd, &request, &why)) > 0) {
        rc = dma_link_answer(bounce->fd, request.serial, copy(bounce, &request));
        if (rc < 0) {
            why = rc == -EAGAIN ? "the remote does not read the answers to its DMA requests" : NULL;
            break;
        }
    }
    if (!__atomic_load_n(&bounce->stopped, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&bounce->lock);
        bounce->reason = why;
        bounce->allowed = false;
        pthread_mutex_unlock(&bounce->lock);
        shutdown(bounce->fd, SHUT_RDWR); /* the remote may be waiting for an answer */
        /* Whoever uses the link, or watches it, finds it at its end, and does what is to be done then. */
        shutdown(bounce->shutdown_fd, SHUT_RDWR);
    }
    return NULL;
}

/* ---- the first exchange ---------------------------------------------------------------------- */

#define REMEDY "a remote that does not know dma=bounce (QEMU's) ends the link at it: give dma=map, or use this " \
               "project's qemu-remote and look whether it runs"

static void set_reason(ProxyBounce *bounce, const char *reason)
{
    pthread_mutex_lock(&bounce->lock);
    bounce->reason = reason;
    pthread_mutex_unlock(&bounce->lock);
}

bool proxy_bounce_offer(ProxyConn *conn, GError **errp)
{
    ProxyBounce *bounce = conn->bounce;
    g_autofree char *thread_name = g_strdup_printf("dma/%s", conn->proxy->name);
    g_autoptr(GError) err = NULL;
    MpqemuMsg msg = { .cmd = MPQEMU_CMD_SET_BOUNCE, .num_fds = 2, .fds = { bounce->remote_fd, bounce->window->fd } };
    uint64_t value;

    /* For the main loop, which may see the end of the link before this thread does. */
    set_reason(bounce, "the remote has closed the connection; " REMEDY);
    if (!proxy_conn_call(conn, &msg, &value)) {
        error_setg(errp, "%s; " REMEDY, proxy_conn_reason(conn));
        return false;
    }
    set_reason(bounce, NULL);
    fd_close(&bounce->remote_fd); /* so that the end of the remote's copy is the end of the connection */
    if (value != 0) {
        error_setg(errp, "dma=bounce: the remote refuses it; give dma=map, or look at what the remote printed");
        return false;
    }
    bounce->thread = g_thread_try_new(thread_name, bounce_thread, bounce, &err);
    if (!bounce->thread) {
        error_setg(errp, "cannot start the proxy's DMA thread: %s; raise the limit of threads (ulimit -u)",
                   err->message);
        return false;
    }
    return true;
}
