/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The device's end of bounced DMA: asks the main emulator for copies and waits for them.
 *
 * Thread: event loop with the machine lock held.  Runs in: qemu-remote.
 *
 * A copy is one sendmsg() and one recvmsg() on the DMA socket.  The wait is bounded by the socket's own time limit,
 * which the other side has set (dma_link_pair()): a main emulator that set none can stop its own device process, as it
 * can by a signal.
 *
 * After the first copy that is not answered as it must be, nothing is asked any more, and the owner ends the link.
 */
#ifndef HW_REMOTE_BOUNCE_CLIENT_H
#define HW_REMOTE_BOUNCE_CLIENT_H

#include "io/mpqemu-link.h"
#include "system/dma-bounce.h"

typedef struct BounceClient BounceClient;

/*
 * Called once, from inside an access to guest memory, when the other side has failed: RC is -EPROTO when it broke the
 * protocol.  Must not free the client.
 */
typedef void BounceClientFailed(void *opaque, int rc, const char *reason);

/* With the descriptors of MSG, a valid SET_BOUNCE, which are taken.  NAME (copied) is for messages. */
BounceClient *bounce_client_new(MpqemuMsg *msg, const char *name, BounceClientFailed *failed, void *opaque,
                                GError **errp);

/* Transfers under way keep the window, and reach the guest no more.  Accepts NULL. */
void bounce_client_free(BounceClient *client);

/* For DmaContext.bounce, as long as the client lives. */
DmaBounce *bounce_client_bounce(BounceClient *client);

#endif
