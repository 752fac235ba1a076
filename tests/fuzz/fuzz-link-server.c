/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the server's end of the link against any client.
 * Runs in: fuzz target
 *
 * After each send everything is received and answered.  At the end the client hangs up.  Checked, besides what the
 * sanitizers see: what is handed out is valid, no descriptor is left open, the number of receives is bounded.
 */
#include "fuzz-link.h"

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

static void check_message(const MpqemuMsg *msg)
{
    check((unsigned)msg->cmd < MPQEMU_CMD_MAX && msg->cmd != MPQEMU_CMD_RET);
    check(msg->num_fds <= (msg->cmd == MPQEMU_CMD_SYNC_SYSMEM ? MPQEMU_FDS_MAX : 0) ||
          ((msg->cmd == MPQEMU_CMD_SET_IRQFD || msg->cmd == MPQEMU_CMD_SET_BOUNCE) && msg->num_fds == 2));
    check(msg->cmd != MPQEMU_CMD_SYNC_BOUNCE || msg->bounce.count <= MPQEMU_BOUNCE_RANGES_MAX);
    for (unsigned i = 0; msg->cmd == MPQEMU_CMD_SYNC_BOUNCE && i < msg->bounce.count; i++) {
        check(msg->bounce.sizes[i] > 0);
        check(msg->bounce.gpas[i] + (msg->bounce.sizes[i] - 1) >= msg->bounce.gpas[i]);
    }
    if (msg->cmd == MPQEMU_CMD_PCI_CFGREAD || msg->cmd == MPQEMU_CMD_PCI_CFGWRITE) {
        check(msg->conf.len == 1 || msg->conf.len == 2 || msg->conf.len == 4);
        check(msg->conf.addr <= 4096 - msg->conf.len);
    }
    if (msg->cmd == MPQEMU_CMD_BAR_READ || msg->cmd == MPQEMU_CMD_BAR_WRITE) {
        check(msg->bar.size == 1 || msg->bar.size == 2 || msg->bar.size == 4 || msg->bar.size == 8);
        check(msg->bar.addr + (msg->bar.size - 1) >= msg->bar.addr);
    }
    for (unsigned i = 0; i < msg->num_fds && msg->cmd == MPQEMU_CMD_SYNC_SYSMEM; i++) {
        check(msg->sync.sizes[i] > 0);
        check(msg->sync.gpas[i] + (msg->sync.sizes[i] - 1) >= msg->sync.gpas[i]);
        check(msg->sync.offsets[i] + msg->sync.sizes[i] <= INT64_MAX);
    }
}

/* Everything that can be received now; returns false when the link is closed. */
static bool receive_all(MpqemuLink *link)
{
    for (;;) {
        MpqemuMsg msg;
        bool error;
        int ret = mpqemu_link_receive(link, &msg, &error);

        if (ret <= 0) {
            return ret == 0;
        }
        if (!error) {
            check_message(&msg);
        }
        mpqemu_msg_clear(&msg);
        if (msg.cmd != MPQEMU_CMD_SYNC_SYSMEM && msg.cmd != MPQEMU_CMD_SET_IRQFD && msg.cmd != MPQEMU_CMD_SYNC_BOUNCE) {
            mpqemu_link_reply(link, msg.cmd, error ? MPQEMU_RET_ERROR : 0);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before, raw;
    MpqemuLink *link;

    fuzz_fds();
    before = fuzz_lowest_fd();
    link = fuzz_link(MPQEMU_ROLE_SERVER, &raw);
    for (int i = 0; i < FUZZ_SENDS_MAX && fuzz_send(raw, &data, &size); i++) {
        /* Even and odd sends are glued. */
        if (i % 2 && !receive_all(link)) {
            break;
        }
    }
    close(raw);
    for (int i = 0; mpqemu_link_state(link) == MPQEMU_LINK_OPEN; i++) {
        check(i < 2 * FUZZ_SENDS_MAX);
        receive_all(link);
    }
    mpqemu_link_free(link);
    check(fuzz_lowest_fd() == before);
    return 0;
}
